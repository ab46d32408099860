//! The runner against small rules and test files, and the tests of the pack themselves.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::engine::detect::rule::{self, Rule};
use crate::engine::detect::{Circumstances, Reported};
use crate::engine::enrich::Enricher;

fn bench() -> Bench {
    Bench {
        rules: rule::builtin(),
        enricher: Arc::new(Enricher::default()),
        circumstances: Circumstances::default(),
        seed: 1,
    }
}

/// Reads `text` and runs its tests: all that is wrong, joined.
fn complaints(text: &str) -> String {
    let (cases, problems) = read(Path::new("x.test.toml"), text);
    let problems = problems.iter().map(ToString::to_string);
    let verdicts = cases.iter().flat_map(|case| bench().run(case).complaints);
    problems.chain(verdicts).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let found = complaints(text);
    assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{found}");
}

/// A test of spraying with `count` tries and more keys.
fn spraying(count: u64, more: &str) -> String {
    format!(
        "[[test]]\nrule = \"auth.spray.client\"\nname = \"x\"\nevents = [\n  {{ repeat = {count}, \
         every = \"4m\", set = {{ client = \"203.0.113.7\", user = \"m{{i}}\", outcome = \
         \"failure\" }} }},\n]\n{more}\n"
    )
}

#[test]
fn every_rule_of_the_pack_has_a_test_of_each_kind_and_all_pass() {
    let (cases, problems) = pack();
    assert!(problems.is_empty(), "{problems:#?}");
    let has: BTreeSet<(&str, Kind)> =
        cases.iter().filter_map(|case| Some((case.rule.as_str(), case.kind?))).collect();
    let mut wrong = Vec::new();
    // What the daemon reports no event can make: `engine::detect::watch` tests it.
    let is_told = |rule: &Rule| rule.reported.is_some_and(|what| what != Reported::Clock);
    for rule in rule::builtin().into_iter().filter(|rule| !is_told(rule)) {
        for kind in Kind::ALL.into_iter().filter(|kind| !has.contains(&(&rule.id, *kind))) {
            let group = rule.id.split('.').next().unwrap_or_default();
            let file = format!("src/engine/detect/pack_tests/{group}.test.toml");
            wrong.push(format!("{}: {file}: add a test of kind \"{}\"", rule.id, kind.name()));
        }
    }
    let bench = bench();
    for case in &cases {
        for complaint in bench.run(case).complaints {
            let Case { file, line, name, .. } = case;
            wrong.push(format!("{file}:{line}: {}: {name}: {complaint}", case.rule));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_expected_and_not_raised_is_told_with_what_was() {
    check(&spraying(8, "expect = [{ at_event = 8, severity = \"high\", distinct = 8 }]"), "");
    check(&spraying(8, "expect = [{ at_event = 7 }]"), "expected at_event 7, got 8: auth.spray");
    check(&spraying(8, "expect = [{ observed = 9 }]"), "expected observed 9, got 8");
    check(&spraying(8, "expect = [{ severity = \"low\" }]"), "expected severity low, got high");
    check(
        &spraying(8, "expect = [{ group = { \"client.net\" = \"192.0.2.1\" } }]"),
        "expected group client.net 192.0.2.1, got 203.0.113.7",
    );
    check(&spraying(8, "expect = [{ summary = \"nine\" }]"), "expected a summary with \"nine\"");
    check(&spraying(8, "expect = []"), "expected silence, got auth.spray.client at event 8");
    check(&spraying(7, "expect = [{}]"), "expected an alert of auth.spray.client, got nothing");
    check(&spraying(8, "expect = [{ count = 2 }]"), "expected a 2. alert of auth.spray.client");
    check(&spraying(8, "expect = [{}, { rule = \"http.crawl\" }]"), "an alert of http.crawl");
}

#[test]
fn a_test_that_is_far_below_is_told() {
    check(&spraying(7, "expect = []\nkind = \"below\""), "");
    check(&spraying(6, "expect = []\nkind = \"below\""), "one more repetition of the last entry");
}

#[test]
fn other_rules_count_where_the_test_says_so() {
    let spraying_and_more = |more: &str| {
        spraying(8, more).replace(
            "events = [",
            "events = [{ set = { client = \"203.0.113.7\", path = \"/.git/config\" } },",
        )
    };
    check(&spraying_and_more("expect = [{}]"), "");
    let wanted = "expected silence, got http.sensitive.served at event 1";
    check(&spraying_and_more("expect = [{}]\nnothing_else = true"), wanted);
    check(&spraying_and_more("expect = [{}]\nnothing_else = true\nalone = true"), "");
    // What covers a rule is there unless the rule runs alone.
    let covered = |more: &str| {
        let text = spraying(8, more).replace("auth.spray.client", "auth.spray.client_day");
        text.replace("repeat = 8", "repeat = 10")
    };
    check(&covered("expect = []"), "");
    check(&covered("expect = [{ at_event = 10 }]\nalone = true"), "");
}

#[test]
fn a_mistake_in_a_test_file_is_told_with_its_line_and_the_fix() {
    let rows = [
        (
            "exepct = []",
            "x.test.toml:7: test[0].exepct: there is no such setting; did you mean `expect`?",
        ),
        ("expect = [{ at = 3 }]", "x.test.toml:7: test[0].at: there is no such setting"),
        ("expect = [{ severity = \"hihg\" }]", "x.test.toml:7: test[0]: unknown variant `hihg`"),
        ("expect = []\nkind = \"fires\"", "x.test.toml:1: test[0].kind: `fires`, and no alert"),
        ("expect = [{}]\nkind = \"benign\"", "an alert is expected; write kind = \"fires\""),
        ("expect = []\nshuffle = \"2m\"", "x.test.toml:8: test[0].shuffle: lines later than 1m"),
        ("expect = [{ at_event = 8 }]\nshuffle = \"5s\"", "which event fires changes"),
        ("expect = []\nclock = \"noon\"", "`noon` is no moment; write one such as"),
        ("expect = []\nformat = \"combined\"", "it goes with `lines`"),
        ("expect = []\nlines = \"nowhere.log\"", "there are `events`, too"),
        ("expect = []\n[[rule]]\nid = \"x\"", "x.test.toml:8: rule: there is no such section"),
    ];
    for (more, expected) in rows {
        check(&spraying(3, more), expected);
    }
    let replaced = |from: &str, to: &str| spraying(3, "expect = []").replace(from, to);
    check(
        &replaced("client =", "clinet ="),
        "x.test.toml:5: test[0].clinet: there is no such setting; did you mean `client`?",
    );
    check(&replaced("m{i}", "m{n}"), "x.test.toml:5: test[0]: `{n}` is no placeholder");
    check(
        &replaced(", every = \"4m\"", ""),
        "x.test.toml:5: test[0].events[0].every: it is missing",
    );
    check(&replaced("outcome", "path = \"/\", outcome"), "an event with an `outcome` is a log-in");
    check(&replaced("repeat = 3", "repeat = 0"), "it lies between 1 and 100000");
    check(&replaced("auth.spray.client", "auth.spray.clint"), "did you mean `auth.spray.client`?");
    check("[test]\nrule = \"x\"", "write it as [[test]]");
    check("[[test]]\nrule = \"x", "x.test.toml:2: ");
}

#[test]
fn a_report_for_servers_holds_hostile_names_as_text() {
    let text = spraying(8, "expect = []").replace("\"x\"", "\"<b>&\\\"']]>\\u001b[2J\"");
    let (cases, problems) = read(Path::new("x.test.toml"), &text);
    assert!(problems.is_empty(), "{problems:#?}");
    let verdicts: Vec<Verdict> = cases.iter().map(|case| bench().run(case)).collect();
    let report = junit(cases.iter().zip(&verdicts));
    assert!(report.contains("tests=\"1\" failures=\"1\""), "{report}");
    assert!(report.contains("name=\"&#60;b&#62;&#38;&#34;&#39;]]&#62;\\x1B[2J\""), "{report}");
    assert!(report.contains("<failure message=\"expected silence, got auth.spray.client"));
    assert!(!report.contains('\u{1b}') && !report.contains("<b>"), "{report}");
}
