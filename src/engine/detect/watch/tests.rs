//! Findings, clocks and floods: what is told, what is just below, and what only looks like it.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::engine::batch::{EventBatch, Kind, Origin};
use crate::engine::detect::AlertState::{self, Firing, Resolved};
use crate::engine::detect::{Circumstances, Limits, rule};
use crate::engine::enrich::Enricher;
use crate::engine::format::FormatSet;
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::units::Period;

/// A Monday, midnight.
const START: Timestamp = Timestamp::from_secs(1_794_787_200);

/// The pack, and lines for it.
struct Bench {
    parser: Parser,
    detectors: Detectors,
    batch: EventBatch,
    alerts: Vec<Alert>,
}

fn at(seconds: u64) -> Timestamp {
    START.plus(Period::from_secs(seconds))
}

fn new_bench() -> Bench {
    let formats = FormatSet::from_definition("json").expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, START);
    Bench {
        parser: Parser::new(formats, times, Arc::new(Enricher::default())),
        detectors: Detectors::new(rule::builtin(), Limits::new(5)),
        batch: EventBatch::default(),
        alerts: Vec::new(),
    }
}

impl Bench {
    /// Reads requests, each a time, a status and how many milliseconds it took.
    fn read(&mut self, requests: &[(Timestamp, u16, u64)], read_at: Timestamp) {
        let mut bytes = Vec::new();
        for (n, (time, status, took)) in requests.iter().enumerate() {
            let line = format!(
                "{{\"time\":\"{}\",\"remote_addr\":\"10.0.{}.{}\",\"host\":\"www.example.org\",\"request\":\
                 \"GET /p{} HTTP/1.1\",\"status\":{status},\"request_time\":{}.{:03}}}\n",
                time.rfc3339(),
                n / 200 % 200,
                n % 200,
                n % 7,
                took / 1000,
                took % 1000,
            );
            bytes.extend_from_slice(line.as_bytes());
        }
        let origin = Arc::new(Origin { source: "web".to_owned(), ..Origin::default() });
        let text = Text { origin, bytes, from: 0, truncated_last: false, read_at };
        self.parser.fill(&mut self.batch, text);
        assert!(self.batch.events().all(|event| event.row().kind == Kind::Access), "they are read");
        self.detectors.see(&self.batch, read_at, &mut self.alerts);
    }

    /// A line of `off` seconds before it is read, every ten seconds.
    fn live(&mut self, seconds: std::ops::Range<u64>, off: i64) {
        for second in seconds.step_by(10) {
            let time = at(second.saturating_add_signed(-off));
            self.read(&[(time, 200, 5)], at(second));
        }
    }

    /// `per_minute` requests in each minute of `minutes`, one in `failing` with 503, read at once.
    fn minutes(
        &mut self,
        minutes: std::ops::Range<u64>,
        per_minute: impl Fn(u64) -> u64,
        how: (u64, u64),
    ) {
        let (failing, took) = how;
        let mut requests = Vec::new();
        for minute in minutes {
            let count = per_minute(minute);
            for n in 0..count {
                let status = if 0 < failing && n % failing == 0 { 503 } else { 200 };
                requests.push((START.plus_ms(60_000 * minute + 60_000 * n / count), status, took));
            }
        }
        self.read(&requests, at(400 * 86_400));
    }

    /// The transitions of rule `id`.
    fn told(&self, id: &str) -> Vec<&Alert> {
        self.alerts.iter().filter(|alert| alert.rule.id == id).collect()
    }

    fn states(&self, id: &str) -> Vec<AlertState> {
        self.told(id).iter().map(|alert| alert.state).collect()
    }
}

fn mail(since: u64) -> Finding<'static> {
    let about = &["mail"];
    Finding { what: Reported::Delivery, about, detail: "{count} refused", since: at(since) }
}

#[test]
fn a_finding_that_lasts_is_told_once_and_ends_with_it() {
    let mut bench = new_bench();
    for second in (60..=359).step_by(10) {
        bench.detectors.report(&mail(60), at(second), &mut bench.alerts);
    }
    assert!(bench.alerts.is_empty(), "not for five minutes yet");
    for second in (360..=900).step_by(10) {
        bench.detectors.report(&mail(60), at(second), &mut bench.alerts);
    }
    bench.detectors.report_end(Reported::Delivery, &["sink x"], at(901), &mut bench.alerts);
    assert_eq!([Firing], *bench.states("ops.delivery"));
    bench.detectors.report_end(Reported::Delivery, &["mail"], at(902), &mut bench.alerts);
    assert_eq!([Firing, Resolved], *bench.states("ops.delivery"));
    let alert = &bench.alerts[0];
    let words = "mail has taken nothing for 5m, and something waits: {count} refused";
    assert_eq!((words, at(60)), (alert.summary.as_str(), alert.first_event));
    assert_eq!(vec![("channel".to_owned(), "mail".to_owned())], alert.group);
    assert_eq!(alert.id, bench.alerts[1].id);
}

#[test]
fn a_finding_that_is_not_repeated_ends_by_itself() {
    let mut bench = new_bench();
    bench.detectors.report(&mail(0), at(400), &mut bench.alerts);
    bench.detectors.tick(at(699), &mut bench.alerts);
    assert_eq!([Firing], *bench.states("ops.delivery"));
    bench.detectors.tick(at(700), &mut bench.alerts);
    assert_eq!([Firing, Resolved], *bench.states("ops.delivery"));
}

#[test]
fn what_happens_is_told_at_once_and_counted_for_half_an_hour() {
    let mut bench = new_bench();
    let about = &["web", "/var/log/{count}.log"];
    let tampered =
        Finding { what: Reported::Tamper, about, detail: "it was truncated", since: at(5) };
    bench.detectors.report(&tampered, at(5), &mut bench.alerts);
    bench.detectors.report(&Finding { since: at(9), ..tampered }, at(9), &mut bench.alerts);
    bench.detectors.tick(at(9 + 1800), &mut bench.alerts);
    let told = bench.told("ops.tamper");
    assert_eq!([Firing, Resolved], *bench.states("ops.tamper"));
    let words = "/var/log/{count}.log of web is not what it was: it was truncated";
    assert_eq!((words, 1, 2), (told[0].summary.as_str(), told[0].count, told[1].count));
}

#[test]
fn an_open_finding_goes_on_over_a_restart_with_the_same_id() {
    let mut first = new_bench();
    first.detectors.report(&mail(0), at(300), &mut first.alerts);
    let open = first.alerts.clone();
    let mut second = new_bench();
    second.detectors.resume(&open, START, |_| ());
    second.detectors.report(&mail(310), at(320), &mut second.alerts);
    assert!(second.alerts.is_empty(), "it goes on");
    second.detectors.report_end(Reported::Delivery, &["mail"], at(330), &mut second.alerts);
    assert_eq!((Resolved, &open[0].id), (second.alerts[0].state, &second.alerts[0].id));
    let mut third = new_bench();
    third.detectors.resume(&[], START, |again| again.report(&mail(0), at(300), &mut Vec::new()));
    third.detectors.tick(at(90_000), &mut third.alerts);
    assert!(third.alerts.is_empty(), "it was resolved by an earlier run");
}

#[test]
fn a_rule_that_is_turned_off_is_told_nothing() {
    let rules = rule::builtin().into_iter().filter(|rule| rule.id != "ops.delivery").collect();
    let mut detectors = Detectors::new(rules, Limits::new(5));
    let mut alerts = Vec::new();
    detectors.report(&mail(0), at(900), &mut alerts);
    detectors.report_end(Reported::Delivery, &["mail"], at(901), &mut alerts);
    assert!(alerts.is_empty());
}

#[test]
fn a_finding_during_maintenance_is_raised_and_marked() {
    let text = "name = \"moving\"\nbegins = \"2026-11-16T00:00\"\nends = \"2026-11-16T02:00\"\n\
                rules = [\"ops.delivery\"]";
    let maintenance = vec![toml::from_str(text).expect("an entry")];
    let circumstances = Circumstances { maintenance, ..Circumstances::default() };
    for (at_hour, mute) in [(1, Some("moving")), (3, None)] {
        let mut bench = new_bench();
        bench.detectors = bench.detectors.in_circumstances(circumstances.clone());
        bench.detectors.report(&mail(0), at(3600 * at_hour), &mut bench.alerts);
        bench.detectors.tick(at(3600 * 9), &mut bench.alerts);
        let marks: Vec<_> = bench.alerts.iter().map(|alert| alert.muted_by.as_deref()).collect();
        assert_eq!([mute, mute], *marks, "also when it is over");
    }
}

#[test]
fn findings_that_go_on_are_bounded() {
    let mut bench = new_bench();
    for n in 0..1100 {
        let name = format!("source {n}");
        let finding =
            Finding { what: Reported::Unreadable, about: &[&name], detail: "gone", since: at(n) };
        bench.detectors.report(&finding, at(300 + n), &mut bench.alerts);
    }
    let states = bench.states("ops.unreadable");
    let count = |state| states.iter().filter(|one| **one == state).count();
    assert_eq!((1100, 76), (count(Firing), count(Resolved)));
}

#[test]
fn a_clock_that_is_an_hour_behind_or_ahead_is_told_until_it_is_right() {
    for (off, words) in [(3600, "1h behind"), (-3600, "1h ahead")] {
        let mut bench = new_bench();
        bench.live(90_000..90_300, off);
        assert!(bench.alerts.is_empty(), "not for five minutes yet");
        bench.live(90_300..90_400, off);
        let told = bench.told("ops.clock.skew");
        assert_eq!(1, told.len());
        assert!(told[0].summary.contains(words), "{}", told[0].summary);
        assert_eq!((Some("web"), at(90_000)), (told[0].group_value("source"), told[0].first_event));
        bench.live(90_400..90_410, 2);
        assert_eq!([Firing, Resolved], *bench.states("ops.clock.skew"));
    }
}

#[test]
fn five_minutes_or_few_lines_are_no_wrong_clock() {
    let mut bench = new_bench();
    bench.live(90_000..91_000, 300);
    bench.live(91_000..91_180, 3600);
    bench.live(91_180..91_190, 0);
    bench.live(91_190..91_370, 3600);
    // Requests that took long are written when they end.
    assert!(bench.alerts.is_empty());
}

#[test]
fn an_old_log_is_no_wrong_clock() {
    // Read in one go.
    let mut bench = new_bench();
    let old: Vec<_> = (0..5000).map(|n| (at(10 * n), 200, 5)).collect();
    bench.read(&old, at(90_000));
    // Read over ten minutes, faster than it was written.
    for second in 0..60 {
        let times: Vec<_> = (0..20).map(|n| (at(50_000 + 600 * second + 30 * n), 200, 5)).collect();
        bench.read(&times, at(90_000 + 10 * second));
    }
    // Copied here once an hour.
    for hour in 1..20 {
        let times: Vec<_> = (0..60).map(|n| (at(3600 * (30 + hour) + 60 * n), 200, 5)).collect();
        bench.read(&times, at(3600 * (32 + hour)));
    }
    assert!(bench.told("ops.clock.skew").is_empty());
}

/// Two days of a site with twenty requests a minute, and now.
fn known_site() -> (Bench, u64) {
    let mut bench = new_bench();
    let days = 2 * 1440;
    bench.minutes(0..days, |_| 20, (100, 20));
    (bench, days)
}

#[test]
fn a_flood_with_errors_is_told_within_five_minutes_and_ends() {
    let (mut bench, now) = known_site();
    bench.minutes(now..now + 3, |_| 600, (4, 20));
    let told = bench.told("http.flood.site");
    assert_eq!(1, told.len());
    let alert = told[0];
    assert!(alert.at <= START.plus_ms(60_000 * (now + 2)), "{}", alert.at.rfc3339());
    let words = ["www.example.org was sent 5", "where at most 100 are usual", "% of them failed"];
    assert!(words.iter().all(|word| alert.summary.contains(word)), "{}", alert.summary);
    // It goes on for an hour without becoming usual.
    bench.minutes(now + 3..now + 60, |_| 600, (4, 20));
    assert_eq!([Firing], *bench.states("http.flood.site"));
    bench.minutes(now + 60..now + 100, |_| 20, (100, 20));
    assert_eq!([Firing, Resolved], *bench.states("http.flood.site"));
}

#[test]
fn a_flood_that_makes_answers_slow_is_told() {
    let (mut bench, now) = known_site();
    bench.minutes(now..now + 5, |_| 600, (100, 900));
    let told = bench.told("http.flood.site");
    assert!(told[0].summary.contains("half of them took"), "{}", told[0].summary);
}

#[test]
fn less_than_five_times_or_a_site_that_does_not_suffer_is_no_flood() {
    // 480 requests in five minutes where 100 are usual, and then 2500 that all go well.
    let (mut bench, now) = known_site();
    bench.minutes(now..now + 10, |_| 96, (4, 900));
    bench.minutes(now + 100..now + 110, |_| 500, (100, 20));
    // A fifth fails, as always.
    let mut failing = new_bench();
    failing.minutes(0..2880, |_| 20, (5, 20));
    failing.minutes(2880..2890, |_| 600, (5, 20));
    for bench in [bench, failing] {
        assert!(bench.told("http.flood.site").is_empty());
    }
}

#[test]
fn in_the_first_day_nothing_is_a_flood() {
    let mut bench = new_bench();
    bench.minutes(0..1435, |_| 20, (100, 20));
    bench.minutes(1435..1440, |_| 600, (4, 20));
    assert!(bench.told("http.flood.site").is_empty());
}

/// Members log in on Thursdays from 17 to 21 h.
fn thursday(minute: u64) -> u64 {
    let (day, of_day) = (minute / 1440 % 7, minute % 1440);
    match of_day {
        // It doubles every ten minutes.
        1020..1080 if day == 3 => 4 << ((of_day - 1020) / 10),
        1080..1260 if day == 3 => 250,
        _ => 4,
    }
}

#[test]
fn the_members_of_every_thursday_are_no_flood_even_on_the_first() {
    let mut bench = new_bench();
    // The server has a hard time of it, too.
    bench.minutes(0..3 * 1440 + 1000, thursday, (100, 20));
    bench.minutes(3 * 1440 + 1000..3 * 1440 + 1300, thursday, (4, 900));
    bench.minutes(3 * 1440 + 1300..10 * 1440 + 1000, thursday, (100, 20));
    // In the second week they all come at once.
    bench.minutes(10 * 1440 + 1020..10 * 1440 + 1260, |_| 250, (4, 900));
    assert!(bench.told("http.flood.site").is_empty());
    // At three in the night, that many who are all refused are not expected.
    bench.minutes(11 * 1440 + 180..11 * 1440 + 185, |_| 250, (1, 20));
    assert_eq!([Firing], *bench.states("http.flood.site"));
}
