//! Tests of the metrics as a scraper sees them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;
use crate::engine::batch::{AuthOutcome, Level, Malformed};
use crate::engine::detect::{Escalation, RuleInfo};
use crate::serve::METRICS;
use crate::serve::testing::{Lines, check_golden};
use crate::units::Period;

const START: Timestamp = Timestamp::from_secs(1_795_160_000);
const BUILD: BuildInfo =
    BuildInfo { version: "1.2.3", revision: "abc", rustc: "1.95.0", target: "x86_64-linux" };

fn metrics(config: &ServeConfig) -> Metrics {
    Metrics::new(config, &BUILD, START)
}

/// The samples of a scrape by name with labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a value behind a blank");
        (series.to_owned(), value.parse().expect("a number"))
    };
    lines.map(sample).collect()
}

/// Sum of all series of `metric` that contain `label`.
fn sum(samples: &BTreeMap<String, f64>, metric: &str, label: &str) -> f64 {
    let named = |series: &str| series.split('{').next() == Some(metric) && series.contains(label);
    samples.iter().filter(|(series, _)| named(series)).map(|(_, value)| value).sum()
}

fn alert(rule: &str, severity: Severity, state: AlertState) -> Alert {
    Alert {
        id: "0".repeat(32),
        state,
        rule: RuleInfo { id: rule.to_owned(), ..RuleInfo::default() },
        severity,
        at: START,
        group: Vec::new(),
        summary: String::new(),
        count: 1,
        distinct: None,
        threshold: 1,
        window: Period::from_secs(60),
        first_event: START,
        last_event: START,
        addresses: Vec::new(),
        users: Vec::new(),
        sites: Vec::new(),
        paths: Vec::new(),
        statuses: BTreeMap::new(),
        successes: 0,
        evidence: Vec::new(),
        escalation: None,
        part: None,
        muted_by: None,
        members_90d: None,
        backfill: false,
        stays: false,
    }
}

/// A batch with something of everything.
fn traffic() -> Lines {
    let mut lines = Lines::new(256);
    for (client, method, status, times) in [
        ("203.0.113.7", "POST", 401, 12),
        ("198.51.100.20", "GET", 200, 30),
        ("2001:db8::1", "GET", 404, 4),
        ("192.0.2.5", "BREW", 500, 2),
        ("192.0.2.5", "GET", 530, 1),
        ("192.0.2.5", "GET", 0, 1),
        ("unix:", "GET", 200, 3),
    ] {
        for _ in 0..times {
            lines.request("www.example.org", client, method, status);
        }
    }
    lines.request("shop.example.org\"\n\\", "198.51.100.20", "HEAD", 304);
    lines.malformed("www.example.org", "203.0.113.9", Malformed::TlsBytes);
    for _ in 0..5 {
        lines.login("bastion", "203.0.113.7", AuthOutcome::Failure);
    }
    lines.login("bastion", "198.51.100.20", AuthOutcome::Success);
    lines.login("bastion", "", AuthOutcome::Failure);
    lines.server_error("www.example.org", Level::Error);
    lines.unparsed();
    lines
}

/// A list of indicators and what it met.
fn fill_lists(metrics: &Metrics) {
    metrics.set_feed(&FeedState {
        name: "blocklist",
        is_up: true,
        counts: Some(vec![("ipv4", 5), ("domain", 2)]),
        refused: 1,
        as_of: Some(START),
        max_age: Period::from_secs(259_200),
    });
    metrics.add_feed_matches("blocklist", 3);
}

fn fill_history(metrics: &Metrics) {
    metrics.set_history(&HistoryState {
        events: 5000,
        parts: 9,
        bytes: 3 << 20,
        limit_bytes: 2 << 30,
        oldest: Some(START),
        waiting: 12,
        last_success: Some(START),
        removed_by_age: 2,
        ..HistoryState::default()
    });
}

/// Tells the metrics one of everything, so that each metric has a series.
fn fill(metrics: &Metrics) {
    metrics.add_tally(&traffic().tally);
    metrics.set_source(&SourceState {
        source: "nginx",
        formats: &["combined"],
        files: 2,
        lag_bytes: 4096,
        rotations: 3,
        truncations: 1,
        ..SourceState::default()
    });
    metrics.add_reading(&SourceReading {
        source: "nginx",
        lines: 62,
        bytes: 15_000,
        last_event: Some(START),
        read_at: START.plus_ms(500),
        parse_failures: &[("bad_time", 1), ("no such reason", 2)],
    });
    metrics.set_listener(&ListenerState {
        source: "nginx",
        up: true,
        connections: 2,
        refused: &[("connections", 1), ("tls", 0)],
        cut_lines: 4,
        unfinished: 5,
        dropped: 6,
    });
    metrics.set_sink(&SinkState {
        sink: "siem",
        up: true,
        sent: 60,
        rejected: 1,
        retries: 2,
        lag_events: 1,
        lag_bytes: 240,
        oldest_waiting: Some(START),
        last_success: Some(START),
        ..SinkState::default()
    });
    metrics.set_store(&StoreState {
        bytes: 1 << 20,
        limit_bytes: 2 << 30,
        frames: 7,
        oldest: Some(START),
        checkpoint: Some(START),
        ..StoreState::default()
    });
    fill_history(metrics);
    fill_outbox(metrics);
    metrics.add_rules([("auth.bruteforce.client", Severity::High), ("web.scan", Severity::Low)]);
    metrics.set_rule_files(&[]);
    metrics.set_open_alerts(&[alert("web.scan", Severity::Low, AlertState::Firing)]);
    metrics.add_alert(&alert("auth.bruteforce.client", Severity::High, AlertState::Firing));
    let escalation = Some(Escalation { step: 1, from: Severity::High });
    let grown = alert("auth.bruteforce.client", Severity::Critical, AlertState::Escalated);
    metrics.add_alert(&Alert { escalation, ..grown });
    metrics.add_alert(&alert("web.scan", Severity::Low, AlertState::Resolved));
    metrics.set_rule_keys("web.scan", 40, 2);
    metrics.set_allowed("uptime probe", 3);
    metrics.set_rhythm("requests@www.example.org", 0.25, [31.0, 44.5, 60.0]);
    fill_lists(metrics);
    metrics.set_process(&ProcessStats {
        resident_bytes: Some(30 << 20),
        cpu_seconds: Some(1.5),
        open_files: Some(12),
        max_files: Some(1024),
    });
}

fn fill_outbox(metrics: &Metrics) {
    metrics.set_outbox(1, Some(START));
    let (channel, last_success) = ("chat", Some(START));
    metrics.set_channel(&ChannelState { channel, up: true, waiting: 1, last_success });
    metrics.add_notifications("mail", NotificationResult::Sent, 1);
}

/// Two scrapes with traffic before and between them, so that clients have their places.
fn golden_scrape() -> String {
    let metrics = metrics(&ServeConfig::default());
    fill(&metrics);
    metrics.scrape(START.plus_ms(1000));
    metrics.add_tally(&traffic().tally);
    metrics.scrape(START.plus_ms(16_000))
}

#[test]
fn a_scrape_looks_like_the_golden_one() {
    check_golden("scrape.txt", &golden_scrape());
}

#[test]
fn each_metric_of_the_table_has_a_series() {
    let samples = samples(&golden_scrape());
    for entry in METRICS {
        let found = samples.keys().any(|series| series.split('{').next() == Some(entry.name));
        assert!(found, "nothing sets {}", entry.name);
    }
}

#[test]
fn prometheus_itself_finds_no_fault_with_a_scrape() {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let Ok(mut promtool) = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() else {
        let _ = writeln!(std::io::stderr(), "skipped: promtool is not installed");
        return;
    };
    let mut stdin = promtool.stdin.take().expect("piped");
    stdin.write_all(golden_scrape().as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("promtool ends");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.is_empty(), "{text}");
}

#[test]
fn clients_add_up_to_sites_in_every_class_that_is_known() {
    let samples = samples(&golden_scrape());
    let requests = sum(&samples, "gatewatch_http_requests_total", "");
    assert_eq!(requests, sum(&samples, "gatewatch_client_requests_total", ""));
    let failures = sum(&samples, "gatewatch_logins_total", "outcome=\"failure\"");
    assert_eq!(failures, sum(&samples, "gatewatch_client_login_failures_total", ""));
    let place = r#"gatewatch_client_requests_total{client_ip="203.0.113.7",status_class="4xx"}"#;
    assert_eq!(Some(&12.0), samples.get(place), "counted since it was admitted");
}

#[test]
fn a_new_site_begins_with_its_usual_series_at_zero() {
    let metrics = metrics(&ServeConfig::default());
    metrics.add_site("www.example.org");
    let samples = samples(&metrics.scrape(START));
    for series in [
        r#"gatewatch_http_requests_total{site="www.example.org",method="GET",status="500"}"#,
        r#"gatewatch_logins_total{site="www.example.org",outcome="failure"}"#,
        r#"gatewatch_http_malformed_requests_total{site="www.example.org",kind="tls_bytes"}"#,
    ] {
        assert_eq!(Some(&0.0), samples.get(series), "{series}");
    }
}

#[test]
fn sites_beyond_the_limit_are_counted_together_and_none_is_lost() {
    let metrics = metrics(&ServeConfig::default());
    metrics.add_site("www.example.org");
    for number in 0..20 {
        let mut lines = Lines::new(256);
        for host in 0..50 {
            lines.request(&format!("h{number}-{host}.example.org"), "192.0.2.1", "GET", 200);
        }
        lines.request("www.example.org", "192.0.2.1", "GET", 200);
        metrics.add_tally(&lines.tally);
    }
    let samples = samples(&metrics.scrape(START));
    assert_eq!(1020.0, sum(&samples, "gatewatch_http_requests_total", ""));
    let named =
        r#"gatewatch_http_requests_total{site="www.example.org",method="GET",status="200"}"#;
    assert_eq!(Some(&20.0), samples.get(named));
    let sites = samples.keys().filter(|series| series.starts_with("gatewatch_http_response_bytes"));
    assert_eq!(MAX_SITES + 1, sites.count(), "64 names and `other`");
    assert!(0.0 < sum(&samples, "gatewatch_metrics_overflow_total", "http_requests"));
}

#[test]
fn clients_are_hidden_where_the_configuration_says_so() {
    for (client_ip, expected) in [
        (ClientLabel::Full, "203.0.113.7"),
        (ClientLabel::Prefix, "203.0.113.0/24"),
        (ClientLabel::Off, "other"),
    ] {
        let metrics = metrics(&ServeConfig { client_ip, ..ServeConfig::default() });
        let mut lines = Lines::new(16);
        lines.request("www.example.org", "203.0.113.7", "GET", 200);
        metrics.add_tally(&lines.tally);
        metrics.scrape(START);
        metrics.add_tally(&lines.tally);
        let text = metrics.scrape(START);
        let series = format!(r#"{{client_ip="{expected}",status_class="2xx"}}"#);
        assert!(0.0 < sum(&samples(&text), "gatewatch_client_requests_total", &series), "{text}");
        assert_eq!(client_ip == ClientLabel::Full, text.contains("203.0.113.7"));
    }
}

#[test]
fn lag_grows_while_something_waits_and_is_zero_otherwise() {
    let metrics = metrics(&ServeConfig::default());
    fill(&metrics);
    let lag = |metrics: &Metrics, second: u64| {
        let samples = samples(&metrics.scrape(START.plus_ms(second * 1000)));
        (
            sum(&samples, "gatewatch_source_lag_seconds", ""),
            sum(&samples, "gatewatch_sink_lag_seconds", ""),
        )
    };
    assert_eq!((40.0, 40.0), lag(&metrics, 40));
    metrics.set_source(&SourceState { source: "nginx", ..SourceState::default() });
    metrics.set_sink(&SinkState { sink: "siem", ..SinkState::default() });
    assert_eq!((0.0, 0.0), lag(&metrics, 50));
}

#[test]
fn a_line_from_the_future_does_not_hide_a_silent_source() {
    let metrics = metrics(&ServeConfig::default());
    metrics.add_reading(&SourceReading {
        source: "nginx",
        last_event: Some(START.plus(Period::from_secs(86_400 * 365))),
        read_at: START,
        ..SourceReading::default()
    });
    let samples = samples(&metrics.scrape(START));
    let last = sum(&samples, "gatewatch_source_last_event_timestamp_seconds", "");
    assert_eq!(START.secs() as f64, last);
}

#[test]
fn what_is_no_longer_configured_leaves_no_series() {
    let metrics = metrics(&ServeConfig::default());
    fill(&metrics);
    metrics.forget_source("nginx");
    metrics.forget_sink("siem");
    let text = metrics.scrape(START);
    assert!(!text.contains("source=\"nginx\"") && !text.contains("sink=\"siem\""), "{text}");
}

#[test]
fn active_alerts_follow_their_transitions() {
    let metrics = metrics(&ServeConfig::default());
    let active =
        |metrics: &Metrics| sum(&samples(&metrics.scrape(START)), "gatewatch_alerts_active", "");
    let firing = alert("web.scan", Severity::Low, AlertState::Firing);
    metrics.set_open_alerts(std::slice::from_ref(&firing));
    metrics.add_alert(&firing);
    assert_eq!(2.0, active(&metrics));
    for expected in [1.0, 0.0, 0.0] {
        metrics.add_alert(&alert("web.scan", Severity::Low, AlertState::Resolved));
        assert_eq!(expected, active(&metrics));
    }
}

/// One step of the property below.
#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<(u8, u16, bool)>),
    Scrape(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let status = prop::sample::select(vec![0, 101, 200, 302, 404, 503, 530, 700]);
    let request = (any::<u8>().prop_map(|client| client % 24), status, any::<bool>());
    let step = prop_oneof![
        prop::collection::vec(request, 0..60).prop_map(Step::Batch),
        (1..2000u64).prop_map(Step::Scrape),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    /// For every interval between two scrapes, the increases of all clients add up to the
    /// increase of the total, as Prometheus itself counts increases: a series is an increase
    /// over its last sample, and one that was not there before begins with a sample of 0.
    #[test]
    fn increases_of_clients_add_up_between_any_two_scrapes(steps in steps()) {
        let metrics = metrics(&ServeConfig { top_clients: 3, ..ServeConfig::default() });
        let mut now = START;
        let mut before = samples(&metrics.scrape(now));
        for step in steps {
            match step {
                Step::Batch(requests) => metrics.add_tally(&batch(&requests).tally),
                Step::Scrape(seconds) => {
                    now = now.plus(Period::from_secs(seconds));
                    let after = samples(&metrics.scrape(now));
                    check_increases(&before, &after)?;
                    before = after;
                }
            }
        }
    }
}

/// Few keys, so that the tally lets clients go; some lines have no client that is an address.
fn batch(requests: &[(u8, u16, bool)]) -> Lines {
    let mut lines = Lines::new(4);
    for (client, status, failed) in requests {
        let client = match client {
            0 => String::new(),
            1 => "unix:".to_owned(),
            _ => format!("192.0.2.{client}"),
        };
        lines.request("www.example.org", &client, "GET", *status);
        if *failed {
            lines.login("www.example.org", &client, AuthOutcome::Failure);
        }
    }
    lines
}

fn check_increases(
    before: &BTreeMap<String, f64>,
    after: &BTreeMap<String, f64>,
) -> Result<(), TestCaseError> {
    let increase = |metric: &str, label: &str| {
        let named =
            |series: &str| series.split('{').next() == Some(metric) && series.contains(label);
        let series = after.iter().filter(|(series, _)| named(series));
        series
            .map(|(series, value)| match before.get(series) {
                Some(earlier) if earlier <= value => value - earlier,
                Some(_) => *value,
                None if series.contains("client_ip") => {
                    assert_eq!(0.0, *value, "{series} is first seen at 0");
                    0.0
                }
                None => *value,
            })
            .sum::<f64>()
    };
    prop_assert_eq!(
        increase("gatewatch_http_requests_total", ""),
        increase("gatewatch_client_requests_total", "")
    );
    prop_assert_eq!(
        increase("gatewatch_logins_total", "outcome=\"failure\""),
        increase("gatewatch_client_login_failures_total", "")
    );
    let other = r#"gatewatch_client_login_failures_total{client_ip="other"}"#;
    prop_assert!(before[other] <= after[other], "`other` never falls");
    Ok(())
}
