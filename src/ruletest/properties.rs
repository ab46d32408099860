//! What holds for the whole pack, whatever happens: over random streams of actors, each of which
//! does one thing for a while.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::bench::Fired;
use super::script::{Delivery, shuffle};
use super::{Bench, read};
use crate::engine::detect::rule::{self, Rule};
use crate::engine::detect::{Circumstances, LATENESS};
use crate::engine::enrich::Enricher;
use crate::io::Seeded;
use crate::units::Period;

/// Long enough for most alerts to end.
const QUIET: Option<Period> = Some(Period::from_secs(2 * 3600));

/// What actors do; none of it speaks for them.
const HOSTILE: &[&str] = &[
    r#"client = "203.0.113.{1..2}", user = "member{i}", outcome = "failure""#,
    r#"client = "203.0.113.3", user = "anna", outcome = "failure""#,
    r#"client = "198.18.{1..40}.9", user = "anna", outcome = "failure""#,
    r#"client = "198.18.{1..40}.9", user = "member{i}", outcome = "failure", reason = "unknown user""#,
    r#"client = "203.0.113.3", path = "/old/{i}", status = 404"#,
    r#"client = "203.0.113.4", path = "/old{i}.php", status = 404"#,
    r#"client = "203.0.113.4", path = "/intern", status = 403"#,
    r#"client = "203.0.113.{5..6}", path = "/api/{i}", status = 401, method = ["GET", "POST"]"#,
    r#"client = "203.0.113.7", path = "/login", status = 200, method = "POST""#,
    r#"client = "203.0.113.8", path = "/i?id={i}%27+UNION+SELECT+a+FROM+b--", status = [200, 403]"#,
    r#"client = "203.0.113.8", path = ["/.git/config", "/.env", "/id_rsa"], status = [404, 200]"#,
    r#"client = "203.0.113.9", agent = "sqlmap/1.8", status = 400"#,
    r#"client = "198.18.{1..12}.9", path = "/{i}", status = 500"#,
    r#"client = "203.0.113.9", path = "/x/{i}", bytes = 200000000"#,
];

/// What honest people do, from some of the same addresses.
const HONEST: &[&str] = &[
    r#"client = "203.0.113.{1..5}", user = "member{i}", outcome = "success""#,
    r#"client = "198.18.{1..40}.9", user = "anna", outcome = "success""#,
    r#"client = "198.51.100.{1..3}", user = "root", outcome = "success""#,
    r#"client = "203.0.113.{1..9}", path = "/page/{i}""#,
];

/// Who acts, how often, every how many seconds, and from which second on.
type Act = (usize, u64, u64, u64);

fn acts(kinds: usize) -> impl Strategy<Value = Vec<Act>> {
    let every = prop_oneof![0..4_u64, 4..90_u64, 600..4000_u64];
    prop::collection::vec((0..kinds, 1..36_u64, every, 0..5000_u64), 1..6)
}

fn stream(acts: &[Act]) -> Vec<Delivery> {
    let mut text = "[[test]]\nrule = \"x\"\nname = \"x\"\nexpect = []\nevents = [\n".to_owned();
    for (kind, repeat, every, start) in acts {
        let set = HOSTILE.iter().chain(HONEST).nth(*kind).expect("one of them");
        let entry = format!("repeat = {repeat}, every = \"{every}s\", start = \"{start}s\"");
        writeln!(text, "  {{ {entry}, set = {{ {set} }} }},").expect("memory");
    }
    text.push_str("]\n");
    let (cases, problems) = read(Path::new("x.test.toml"), &text);
    assert!(problems.is_empty(), "{problems:#?}\n{text}");
    cases[0].script.deliveries(cases[0].clock)
}

fn bench(rules: Vec<Rule>) -> Bench {
    Bench {
        rules,
        enricher: Arc::new(Enricher::default()),
        circumstances: Circumstances::default(),
        seed: 1,
    }
}

fn play(bench: &Bench, deliveries: &[Delivery], restart: Option<usize>) -> Vec<Fired> {
    bench.play(bench.rules.clone(), deliveries, None, restart).fired
}

/// Rules that ask for numbers alone: what came before what is no business of theirs. What covers
/// one rule fires before or after it, so nothing does here. Rules for the busy count by the minute in
/// which a line comes.
fn counting(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.retain(|rule| {
        rule.then.is_none()
            && rule.first_seen.is_none()
            && rule.looks_at_events()
            && !rule.is_for_the_busy
    });
    rules.iter_mut().for_each(|rule| rule.covered_by.clear());
    rules
}

/// Rule and group of all alerts.
fn told(fired: &[Fired]) -> BTreeSet<(String, Vec<(String, String)>)> {
    fired.iter().map(|one| (one.alert.rule.id.clone(), one.alert.group.clone())).collect()
}

fn check_order(rules: Vec<Rule>, acts: &[Act], seed: u64) -> Result<(), TestCaseError> {
    let bench = bench(rules);
    let straight = stream(acts);
    let mut late = straight.clone();
    shuffle(&mut late, LATENESS, &mut Seeded::new(seed));
    prop_assert_eq!(told(&play(&bench, &straight, None)), told(&play(&bench, &late, None)));
    Ok(())
}

/// The bench with keys hashed by another seed.
fn seeded(seed: u64) -> Bench {
    Bench { seed, ..bench(rule::builtin()) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn late_lines_change_nothing_where_nothing_speaks_against(
        acts in acts(HOSTILE.len()),
        seed in 1..1000_u64,
    ) {
        check_order(counting(rule::builtin()), &acts, seed)?;
    }

    #[test]
    fn late_lines_change_nothing_for_rules_that_count(
        acts in acts(HOSTILE.len() + HONEST.len()),
        seed in 1..1000_u64,
    ) {
        let mut rules = counting(rule::builtin());
        rules.retain(|rule| rule.share.is_none());
        check_order(rules, &acts, seed)?;
    }

    #[test]
    fn a_restart_behind_any_event_changes_no_alert(
        acts in acts(HOSTILE.len() + HONEST.len()),
        at in any::<prop::sample::Index>(),
    ) {
        let bench = bench(rule::builtin());
        let deliveries = stream(&acts);
        let restart = Some(at.index(deliveries.len()) + 1);
        let play = |restart| bench.play(bench.rules.clone(), &deliveries, QUIET, restart);
        prop_assert_eq!(play(None), play(restart));
    }

    #[test]
    fn the_same_lines_raise_alerts_of_the_same_id(acts in acts(HOSTILE.len() + HONEST.len())) {
        let deliveries = stream(&acts);
        let [one, other] = [1, 2].map(|seed| play(&seeded(seed), &deliveries, None));
        prop_assert_eq!(one, other);
    }
}
