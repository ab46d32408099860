//! Sigma documents against single lines: what is loaded, what matches, and what is said of the
//! rest.

use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::engine::batch::EventBatch;
use crate::engine::detect::{Detectors, Limits};
use crate::engine::format::FormatSet;
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::units::Timestamp;

const READ_AT: Timestamp = Timestamp::from_secs(1_795_160_801);

fn batch(format: &str, text: &str) -> EventBatch {
    let formats = FormatSet::from_definition(format).expect("a definition");
    let times = TimeReader::new(TimeZone::UTC, READ_AT);
    let mut parser = Parser::new(formats, times, Arc::default());
    let mut batch = EventBatch::default();
    let (origin, bytes) = (Arc::default(), text.as_bytes().to_vec());
    parser
        .fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at: READ_AT });
    batch
}

fn request(target: &str, status: u16, agent: &str) -> String {
    format!(
        "203.0.113.9 - - [20/Nov/2026:07:00:06 +0000] \"GET {target} HTTP/1.1\" {status} 5 \"-\" \"{agent}\""
    )
}

fn compiled(texts: &[&str]) -> Compiled {
    let mut collection = Collection::default();
    for (number, text) in texts.iter().enumerate() {
        collection.read(&format!("{number}.yml"), text);
    }
    collection.compile()
}

/// A rule of the web server's log with this `detection`.
fn rule(detection: &str) -> String {
    let detection = detection.lines().map(|line| format!("    {line}\n")).collect::<String>();
    format!(
        "title: A rule\nid: r1\nlogsource:\n    category: webserver\ndetection:\n{detection}level: high\n"
    )
}

#[track_caller]
fn check(detection: &str, matching: &[String], other: &[String]) {
    let compiled = compiled(&[&rule(detection)]);
    assert_eq!([1, 0, 0], compiled.counts(), "{:?}", compiled.report);
    let condition = &compiled.rules[0].condition;
    for (lines, expected) in [(matching, true), (other, false)] {
        for line in lines {
            let batch = batch("combined", line);
            assert_eq!(expected, condition.holds(&batch.event(0)), "{detection}\n{line}");
        }
    }
}

#[track_caller]
fn check_refused(text: &str, state: &str, line: usize, reason: &str) {
    let compiled = compiled(&[text]);
    let entry = compiled.report.first().expect("an entry");
    assert_eq!(state, entry.state.name(), "{entry:?}");
    let said = entry.state.reason().expect("a reason");
    assert!(said.contains(reason), "{said}");
    assert_eq!(line, entry.line, "{said}");
}

#[test]
fn lists_are_alternatives_and_maps_hold_together() {
    check(
        "selection:\n    cs-method: GET\n    cs-uri-query|contains:\n        - '/shell'\n        - 'cmd='\ncondition: selection",
        &[request("/SHELL.php", 200, "a"), request("/?cmd=id", 404, "a")],
        &[request("/", 200, "a")],
    );
    check(
        "selection:\n    - cs-uri-stem|endswith: '.bak'\n    - sc-status: [500, 502]\n      cs-user-agent|startswith: probe\ncondition: selection",
        &[request("/a.bak?x", 200, "a"), request("/", 502, "Probe/1")],
        &[request("/", 500, "a"), request("/?a.bak", 200, "probe")],
    );
    check(
        "selection:\n    cs-uri-query|contains|all: ['/api/', 'token=']\ncondition: selection",
        &[request("/api/x?token=1", 200, "a")],
        &[request("/api/x", 200, "a")],
    );
}

#[test]
fn conditions_bind_as_the_specification_says() {
    let parts = "a:\n    cs-uri-query|contains: aaa\nb:\n    cs-uri-query|contains: bbb\nc:\n    cs-uri-query|contains: ccc\n_d:\n    cs-uri-query|contains: ddd\n";
    let with = |target: &str| request(target, 200, "x");
    let check = |condition: &str, yes: &[&str], no: &[&str]| {
        let lines = |list: &[&str]| list.iter().map(|one| with(one)).collect::<Vec<_>>();
        check(&format!("{parts}condition: {condition}"), &lines(yes), &lines(no));
    };
    check("a or b and c", &["/aaa", "/bbbccc"], &["/bbb"]);
    check("(a or b) and c", &["/aaaccc"], &["/aaa"]);
    check("not a and b", &["/bbb"], &["/aaabbb"]);
    check("a and not 1 of b*", &["/aaa"], &["/aaabbb"]);
    check("all of them", &["/aaabbbccc"], &["/aaabbb"]);
    check("1 of them", &["/ccc"], &["/ddd"]);
    check("2 of them", &["/aaaccc"], &["/aaa", "/aaaddd"]);
    check("[a and b, c]", &["/aaabbb", "/ccc"], &["/aaa"]);
}

#[test]
fn keywords_stand_anywhere_in_the_line_and_in_what_it_escapes() {
    check(
        "keywords:\n    - 'Union Select'\n    - 'x\"y'\n    - 418\ncondition: keywords",
        &[
            request("/?q=union select", 200, "a"),
            request("/", 200, r"x\x22y"),
            request("/", 418, "a"),
        ],
        &[request("/union+select", 200, "a")],
    );
    check(
        "keywords:\n    '|all':\n        - 'GET'\n        - '/x*y'\ncondition: keywords",
        &[request("/x-and-y", 200, "a")],
        &[request("/y-x", 200, "a")],
    );
}

#[test]
fn absent_empty_and_wild_values_differ() {
    let no_agent = request("/", 200, "-");
    let agent = request("/", 200, "curl/8");
    let check_agent = |value: &str, yes: &String, no: &String| {
        let detection = format!("selection:\n    {value}\ncondition: selection");
        check(&detection, std::slice::from_ref(yes), std::slice::from_ref(no));
    };
    check_agent("cs-user-agent: null", &no_agent, &agent);
    check_agent("cs-user-agent|exists: true", &agent, &no_agent);
    check_agent("cs-user-agent|exists: false", &no_agent, &agent);
    check_agent("cs-user-agent: '*'", &agent, &no_agent);
    check_agent("cs-user-agent: 'CURL/?'", &agent, &no_agent);
    check_agent("cs-user-agent|cased: 'curl/8'", &agent, &request("/", 200, "Curl/8"));
    check_agent("cs-user-agent|re: '^curl/\\d+$'", &agent, &request("/", 200, "CURL/8"));
    check_agent("cs-user-agent|re|i: '^CURL'", &agent, &no_agent);
    check_agent("cs-user-agent|neq: 'wget'", &agent, &request("/", 200, "Wget"));
    check_agent("sc-status|gte: 500", &request("/", 500, "a"), &agent);
    check_agent("sc-status|lt: '300'", &agent, &request("/", 301, "a"));
    check_agent("sc-status|startswith: '4'", &request("/", 404, "a"), &agent);
    check_agent("c-ip|cidr: 203.0.113.0/24", &agent, &agent.replace("203.0", "192.0"));
    check_agent("'@timestamp|hour': 7", &agent, &agent.replace(":07:", ":08:"));
    check_agent("cs-version: HTTP/1.1", &agent, &agent.replace("HTTP/1.1", "HTTP/1.0"));
    let twice = request("/probe", 200, "/probe");
    check_agent("cs-user-agent|fieldref: cs-uri-stem", &twice, &agent);
    check_agent(
        "cs-uri-query|base64offset|contains: '/bin/sh'",
        &request("/?c=eC9iaW4vc2g=", 200, "a"),
        &agent,
    );
}

#[test]
fn a_field_that_no_log_has_makes_a_rule_unevaluable_or_a_part_of_it_unmet() {
    check_refused(
        &rule("selection:\n    cs-method: POST\n    cs-cookie|contains: x\ncondition: selection"),
        "unevaluable",
        8,
        "`cs-cookie`",
    );
    let either = rule("a:\n    cs-cookie: x\nb:\n    cs-uri-query: /b\ncondition: a or b");
    let compiled = compiled(&[&either]);
    assert_eq!([1, 0, 0], compiled.counts());
    assert!(compiled.report[0].notes[0].contains("cs-cookie"), "{:?}", compiled.report);
    let hit = batch("combined", &request("/b", 200, "a"));
    assert!(compiled.rules[0].condition.holds(&hit.event(0)));
}

#[test]
fn what_cannot_be_used_is_told_with_its_line_and_its_reason() {
    let of = |detection: &str| rule(detection);
    check_refused(
        &of("selection:\n    cs-uri-query|contian: x\ncondition: selection"),
        "rejected",
        7,
        "contian",
    );
    check_refused(
        &of("selection:\n    cs-uri-query|re: '(?=x)'\ncondition: selection"),
        "rejected",
        7,
        "look-around",
    );
    check_refused(
        &of("selection:\n    cs-uri-query: x\ncondition: selectoin"),
        "rejected",
        8,
        "did you mean `selection`",
    );
    check_refused(
        &of("selection:\n    cs-uri-query: x\ncondition: selection and"),
        "rejected",
        8,
        "cannot be read",
    );
    check_refused(
        &of("selection:\n    cs-uri-query: x\ncondition: selection | count() > 5"),
        "rejected",
        8,
        "write a correlation",
    );
    check_refused(
        &of("selection:\n    cs-uri-query|expand: '%x%'\ncondition: selection"),
        "rejected",
        7,
        "placeholders",
    );
    check_refused(&of("selection: {}\ncondition: selection"), "rejected", 6, "asks for nothing");
    check_refused("title: x\ndetection: [\n", "rejected", 3, "node");
    check_refused("logsource:\n    category: webserver\n", "rejected", 1, "title");
    check_refused(
        "title: x\nid: y\nlogsource:\n    category: process_creation\n    product: windows\ndetection:\n    a: [b]\n    condition: a\n",
        "unevaluable",
        3,
        "`category: process_creation`, `product: windows`",
    );
    check_refused(
        &of(&format!("selection: [x]\ncondition: {}selection", "not ".repeat(5000))),
        "rejected",
        1,
        "in a row",
    );
    let nested =
        format!("selection: [x]\ncondition: {}selection{}", "(".repeat(5000), ")".repeat(5000));
    check_refused(&of(&nested), "rejected", 1, "brackets");
}

#[test]
fn one_bad_document_loses_no_other() {
    let file = format!(
        "{}---\ntitle: broken\nid: r2\ndetection: 5\n---\n{}",
        rule("k: [aaa]\ncondition: k"),
        rule("k: [bbb]\ncondition: k").replace("id: r1", "id: r3")
    );
    let compiled = compiled(&[&file, "\t- nonsense: [", &rule("k: [ccc]\ncondition: k")]);
    assert_eq!([2, 0, 3], compiled.counts(), "{:?}", compiled.report);
    let lines: Vec<(&str, usize)> =
        compiled.report.iter().map(|entry| (entry.file.as_str(), entry.line)).collect();
    assert_eq!(("0.yml", 1), lines[0]);
    assert_eq!(("0.yml", 9), lines[1]);
    assert_eq!(("0.yml", 14), lines[2]);
    assert!(compiled.report[4].state.reason().expect("twice").contains("0.yml line 1"));
}

#[test]
fn a_global_document_goes_into_those_behind_it() {
    let file = "action: global\ntitle: Family\nlogsource:\n    category: webserver\n---\nid: g1\ndetection:\n    k: [aaa]\n    condition: k\n---\nid: g2\ndetection:\n    k: [bbb]\n    condition: k\n";
    let compiled = compiled(&[file]);
    assert_eq!([2, 0, 0], compiled.counts(), "{:?}", compiled.report);
    assert_eq!("g2", compiled.rules[1].id);
}

#[test]
fn a_filter_takes_lines_from_the_rules_it_names() {
    let filter = "title: Our probe\nlogsource:\n    category: webserver\nfilter:\n    rules: [r1]\n    selection:\n        cs-user-agent: our-probe\n    condition: not selection\n";
    let compiled = compiled(&[&rule("k: [aaa]\ncondition: k"), filter]);
    assert_eq!([2, 0, 0], compiled.counts(), "{:?}", compiled.report);
    let condition = &compiled.rules[0].condition;
    let holds = |agent: &str| {
        let batch = batch("combined", &request("/aaa", 200, agent));
        condition.holds(&batch.event(0))
    };
    assert!(holds("other"));
    assert!(!holds("our-probe"));
}

#[test]
fn log_sources_keep_rules_to_their_lines() {
    let of = |source: &str| {
        format!(
            "title: x\nid: r1\nlogsource:\n    {source}\ndetection:\n    k: ['key type']\n    condition: k\n"
        )
    };
    let sshd = "Nov 20 07:00:06 host sshd[44]: fatal: unknown or unsupported key type";
    let web = request("/key type", 200, "a");
    let holds = |source: &str, format: &str, line: &str| {
        let compiled = compiled(&[&of(source)]);
        compiled.rules[0].condition.holds(&batch(format, line).event(0))
    };
    assert!(holds("service: sshd", "auth", sshd));
    assert!(!holds("service: sudo", "auth", sshd));
    assert!(!holds("service: sshd", "combined", &web));
    assert!(holds("product: nginx", "combined", &web));
    assert!(holds("product: linux", "auth", sshd));
}

#[test]
fn each_client_gets_an_alert_of_its_own_with_the_rules_level() {
    let text = rule("k: [evil]\ncondition: k")
        .replace("title:", "tags: [attack.t1190, cve.2026-1]\ntitle:");
    let compiled = compiled(&[&text]);
    let mut detectors = Detectors::new(compiled.alert_rules(), Limits::new(1));
    let lines = [
        request("/evil", 200, "a"),
        request("/evil", 404, "a"),
        request("/good", 200, "a"),
        request("/evil", 200, "a").replace("203.0.113.9", "198.51.100.1"),
    ];
    let mut alerts = Vec::new();
    detectors.see(&batch("combined", &lines.join("\n")), READ_AT, &mut alerts);
    let told: Vec<_> =
        alerts.iter().map(|a| (a.group[0].1.as_str(), a.severity, a.rule.id.as_str())).collect();
    assert_eq!(
        vec![("203.0.113.9", Severity::High, "r1"), ("198.51.100.1", Severity::High, "r1")],
        told
    );
    assert_eq!(vec!["T1190".to_owned()], detectors.rules()[0].attack);
}

#[test]
fn correlations_count_events_and_values() {
    let base = rule("k: [evil]\ncondition: k");
    let count = "title: Many\nid: c1\ncorrelation:\n    type: event_count\n    rules: [r1]\n    group-by: [c-ip]\n    timespan: 5m\n    condition:\n        gte: 3\nlevel: critical\n";
    let both = compiled(&[&base, count]);
    assert_eq!([2, 0, 0], both.counts(), "{:?}", both.report);
    let rules = both.alert_rules();
    assert_eq!(1, rules.len(), "the rule itself falls silent");
    assert_eq!((3, 300_000), (rules[0].limits[0].events, rules[0].window().ms()));
    let loud = compiled(&[&base, &format!("generate: true\n{count}")]);
    assert_eq!(2, loud.alert_rules().len());
    let values = count
        .replace("event_count", "value_count")
        .replace("gte: 3", "gt: 3\n        field: cs-uri-stem");
    let values = compiled(&[&base, &values]);
    assert_eq!(vec![4], values.alert_rules()[0].limits[0].values);
    let refused = |text: &str, state: &str, reason: &str| {
        let all = compiled(&[&base, text]);
        let entry = &all.report[1];
        assert_eq!(state, entry.state.name(), "{entry:?}");
        assert!(entry.state.reason().is_some_and(|said| said.contains(reason)), "{entry:?}");
        assert_eq!(1, all.alert_rules().len(), "the rule itself still speaks");
    };
    refused(&count.replace("event_count", "temporal"), "rejected", "it names 1 rules");
    let average = count.replace("event_count", "value_avg");
    refused(&average.replace("gte: 3", "gte: 3\n        field: sc-bytes"), "rejected", "value_avg");
    refused(&count.replace("gte: 3", "lte: 3"), "rejected", "only `gte` or `gt`");
    refused(&count.replace("[r1]", "[r9]"), "unevaluable", "`r9`");
    refused(&count.replace("[c-ip]", "[cs-cookie]"), "unevaluable", "`cs-cookie`");
}

#[test]
fn correlations_await_several_rules() {
    let named =
        |id: &str, text: &str| rule(&format!("k: [{text}]\ncondition: k")).replace("r1", id);
    let all = |kind: &str| {
        format!(
            "title: All\nid: c1\ncorrelation:\n    type: {kind}\n    rules: [r1, r2, r3]\n    \
             group-by: [c-ip]\n    timespan: 5m\nlevel: high\n"
        )
    };
    let told = |kind: &str, pages: &[&str]| {
        let rules = compiled(&[
            &named("r1", "one"),
            &named("r2", "two"),
            &named("r3", "three"),
            &all(kind),
        ]);
        let mut detectors = Detectors::new(rules.alert_rules(), Limits::new(1));
        let lines: Vec<String> = pages.iter().map(|page| request(page, 200, "a")).collect();
        let mut alerts = Vec::new();
        detectors.see(&batch("combined", &lines.join("\n")), READ_AT, &mut alerts);
        alerts.into_iter().map(|alert| alert.summary).collect::<Vec<_>>()
    };
    let together = vec!["together within 5m".to_owned()];
    assert_eq!(together, told("temporal", &["/three", "/two", "/two", "/one"]));
    assert_eq!(Vec::<String>::new(), told("temporal", &["/three", "/two", "/two"]));
    let ordered = vec!["one after the other within 5m".to_owned()];
    assert_eq!(ordered, told("temporal_ordered", &["/one", "/two", "/one", "/three"]));
    assert_eq!(Vec::<String>::new(), told("temporal_ordered", &["/three", "/two", "/one"]));
}

#[test]
fn correlations_sum_up() {
    let base = rule("k: [evil]\ncondition: k");
    let sum = "title: Much\nid: c1\ncorrelation:\n    type: value_sum\n    rules: [r1]\n    group-by: [c-ip]\n    timespan: 5m\n    condition:\n        gte: 90000\n        field: sc-bytes\nlevel: high\n";
    let rules = compiled(&[&base, sum]).alert_rules();
    assert_eq!(Some(90_000), rules[0].sum.map(|(_, least)| least), "{rules:?}");
}

#[test]
fn coverage_names_the_field_that_unlocks_a_rule() {
    let agent = rule("s:\n    cs-user-agent: x\n    cs-uri-query|contains: y\ncondition: s");
    let either = rule("a:\n    cs-referer: x\nb:\n    cs-user-agent: y\ncondition: a or b")
        .replace("r1", "r2");
    let plain = rule("s:\n    sc-status: 500\nf:\n    cs-user-agent: y\ncondition: s and not f")
        .replace("r1", "r3");
    let compiled = compiled(&[&agent, &either, &plain]);
    let mut available = Available::default();
    let lines = "203.0.113.9 - - [20/Nov/2026:07:00:06 +0000] \"GET /a HTTP/1.1\" 200 5";
    available.add_event(&batch("common", lines).event(0));
    let covers: Vec<Coverage> = compiled.rules.iter().map(|rule| available.covers(rule)).collect();
    let agent = "user_agent.original";
    assert_eq!(Coverage::Locked(vec![agent], vec![agent]), covers[0]);
    let Coverage::Locked(alone, _) = &covers[1] else { panic!("{:?}", covers[1]) };
    assert_eq!(&vec!["http.request.referrer", agent], alone);
    assert_eq!(Coverage::Full, covers[2]);
}

/// Something of most kinds of words.
const GARBLED: &str = "k:\n    cs-uri-query|contains: [a, 'b*']\nf:\n    sc-status|gte: 400\n\
    condition: k and not 1 of f*";

proptest! {
    /// Whatever stands in a file, reading it ends, and each thing in it has an entry.
    #[test]
    fn any_text_is_read(
        bytes in proptest::collection::vec(any::<u8>(), 0..64), at in 0usize..400,
        take in 0usize..8,
    ) {
        let mut text = rule(GARBLED).into_bytes();
        let at = at.min(text.len());
        let end = (at + take).min(text.len());
        text.splice(at..end, bytes);
        let text = String::from_utf8_lossy(&text);
        let compiled = compiled(&[&text]);
        let line = batch("combined", &request("/a", 404, "a"));
        for rule in &compiled.rules {
            rule.condition.holds(&line.event(0));
        }
        prop_assert!(compiled.rules.len() <= compiled.report.len());
    }
}
