//! Adversaries in a normal member week: each is noticed by the rule that names it, at the try it
//! must be noticed at; and honest members are left alone. `gatewatch simulate` makes the same logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use gatewatch::engine::batch::{EventBatch, Origin};
use gatewatch::engine::detect::{Alert, AlertState, Detectors, Limits, rule};
use gatewatch::engine::enrich::Enricher;
use gatewatch::engine::format::FormatSet;
use gatewatch::engine::parse::{Parser, Text};
use gatewatch::engine::time::TimeReader;
use gatewatch::sample::{ADVERSARIES, Adversary, LoginsConfig, logins};
use gatewatch::units::{Period, Timestamp};
use jiff::tz::TimeZone;

/// A Monday.
const START: Timestamp = Timestamp::from_secs(1_794_787_200);

/// Tuesday at two in the night.
const NIGHT: Timestamp = START.plus(Period::from_secs(26 * 3600));

fn week(seed: u64, weeks: u64) -> LoginsConfig {
    LoginsConfig { seed, start: START, weeks, members: 200 }
}

/// The alerts that the pack raises about a login log.
fn alerts(log: Vec<u8>) -> Vec<Alert> {
    let read_at = START.plus(Period::from_secs(400 * 86_400));
    let formats = FormatSet::from_definition("json").expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, read_at);
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let mut detectors = Detectors::new(rule::builtin(), Limits::new(5));
    let (mut batch, mut found) = (EventBatch::default(), Vec::new());
    let origin = Arc::new(Origin { source: "app".to_owned(), ..Origin::default() });
    parser.fill(&mut batch, Text { origin, bytes: log, from: 0, truncated_last: false, read_at });
    detectors.see(&batch, read_at, &mut found);
    found.retain(|alert| alert.state == AlertState::Firing);
    found
}

#[track_caller]
fn check(adversary: &Adversary) {
    let found = alerts(logins(&week(1, 1), &[(adversary, NIGHT)]));
    let told = |alert: &Alert| {
        format!("{} at try {}", alert.rule.id, adversary.tries_until(NIGHT, alert.at))
    };
    let told: Vec<String> = found.iter().map(told).collect();
    for (id, latest) in adversary.yields {
        let alert = found.iter().find(|alert| alert.rule.id == *id);
        let at = alert.map(|alert| adversary.tries_until(NIGHT, alert.at));
        assert!(at.is_some_and(|at| at <= *latest), "{}: {id} {at:?}; {told:?}", adversary.name);
    }
    for id in adversary.never {
        assert!(found.iter().all(|alert| alert.rule.id != *id), "{}: {told:?}", adversary.name);
    }
}

#[test]
fn each_adversary_is_noticed_in_time_by_the_rule_that_names_it() {
    ADVERSARIES.iter().for_each(check);
}

/// Alerts in `weeks` weeks without any adversary, by rule.
fn false_alarms(seed: u64, weeks: u64) -> BTreeMap<String, usize> {
    let mut by_rule = BTreeMap::new();
    for alert in alerts(logins(&week(seed, weeks), &[])) {
        *by_rule.entry(alert.rule.id).or_default() += 1;
    }
    by_rule
}

#[test]
fn honest_members_are_left_alone_for_forty_weeks() {
    let found: Vec<_> = (1..=5).map(|seed| false_alarms(seed, 40)).collect();
    let count: usize = found.iter().flat_map(BTreeMap::values).sum();
    assert!(count <= 30, "more than 0.15 a week: {found:?}");
}
