//! The pack against small logs: what fires, what stays silent, and that nothing depends on how the
//! lines were cut into batches.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::engine::batch::Origin;
use crate::engine::enrich::Enricher;
use crate::engine::format::FormatSet;
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;

const START: u64 = 1_795_160_000;
const READ_AT: Timestamp = Timestamp::from_secs(START + 1_000_000);

/// One request of `client`, `second` after the start.
fn line(second: u64, client: &str, user: &str, request: &str, status: u16) -> String {
    let time = Timestamp::from_secs(START + second);
    let text = time.rfc3339();
    let clock = &text[11..19];
    let day = &text[8..10];
    format!(
        "{client} - {user} [{day}/Nov/2026:{clock} +0000] \"{request}\" {status} 10 \"-\" \"-\"\n"
    )
}

/// A time as access logs write it, in November 2026.
fn clf(time: Timestamp) -> String {
    let text = time.rfc3339();
    format!("{}/Nov/2026:{} +0000", &text[8..10], &text[11..19])
}

/// Runs the pack over `lines`, `batch_lines` at a time, and gives back every transition.
fn run(lines: &[String], batch_lines: usize) -> Vec<Alert> {
    let formats = FormatSet::from_definition("combined").expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, READ_AT);
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let mut detectors = Detectors::new(rule::builtin(), Limits::new(5));
    let (mut alerts, mut batch, mut from) = (Vec::new(), EventBatch::default(), 0);
    for chunk in lines.chunks(batch_lines) {
        let bytes = chunk.concat().into_bytes();
        let length = bytes.len() as u64;
        let origin = Arc::new(Origin { source: "web".to_owned(), ..Origin::default() });
        let text = Text { origin, bytes, from, truncated_last: false, read_at: READ_AT };
        from += length;
        parser.fill(&mut batch, text);
        detectors.see(&batch, READ_AT, &mut alerts);
    }
    detectors.tick(READ_AT, &mut alerts);
    alerts
}

/// The transitions as `rule state count group`.
#[track_caller]
fn check(lines: &[String], expected: &[&str]) {
    let whole = run(lines, usize::MAX);
    let show = |alert: &Alert| {
        let group: Vec<&str> = alert.group.iter().map(|(_, value)| value.as_str()).collect();
        let (state, count) = (alert.state.name(), alert.count);
        format!("{} {state} {count} {}", alert.rule.id, group.join(" ")).trim_end().to_owned()
    };
    assert_eq!(expected, whole.iter().map(show).collect::<Vec<_>>());
    for batch_lines in [1, 2, 7] {
        assert_eq!(whole, run(lines, batch_lines), "in batches of {batch_lines} lines");
    }
}

fn failures(count: u64, every: u64, client: &str, user: impl Fn(u64) -> String) -> Vec<String> {
    let one = |n| line(n * every, client, &user(n), "GET /members/ HTTP/1.1", 401);
    (0..count).map(one).collect()
}

#[test]
fn ten_failed_logins_of_two_users_fire_once_and_resolve_once() {
    let lines = failures(14, 50, "203.0.113.7", |n| format!("user{}", n % 2));
    check(
        &lines,
        &[
            "auth.bruteforce.client firing 10 203.0.113.7",
            "auth.bruteforce.client resolved 14 203.0.113.7",
        ],
    );
}

#[test]
fn somebody_who_forgot_a_password_stays_silent() {
    check(&failures(19, 25, "203.0.113.7", |_| "alice".to_owned()), &[]);
}

#[test]
fn tries_faster_than_hands_are_noticed_at_once() {
    let lines = failures(5, 2, "203.0.113.7", |_| "alice".to_owned());
    check(
        &lines,
        &[
            "auth.bruteforce.client firing 5 203.0.113.7",
            "auth.bruteforce.client resolved 5 203.0.113.7",
        ],
    );
    let alert = run(&lines, 1).remove(0);
    assert_eq!("5 failed log-ins from 203.0.113.7 within 10s", alert.summary);
    assert_eq!((5, None), (alert.threshold, alert.distinct), "events decided, not names");
}

#[test]
fn an_office_behind_one_address_is_no_attack() {
    let mut lines = Vec::new();
    for n in 0..60 {
        let second = n * 10;
        if n % 5 == 0 {
            lines.push(line(second, "192.0.2.1", "-", "POST /login HTTP/1.1", 401));
        }
        lines.push(line(second + 5, "192.0.2.1", "-", "POST /login HTTP/1.1", 302));
    }
    check(&lines, &[]);
}

#[test]
fn eight_names_from_one_client_are_spraying() {
    let lines = failures(8, 240, "2001:db8::1", |n| format!("member{n}"));
    check(
        &lines,
        &["auth.spray.client firing 8 2001:db8::/64", "auth.spray.client resolved 8 2001:db8::/64"],
    );
}

#[test]
fn probing_many_missing_paths_fires_and_missing_images_do_not() {
    let probe = |n: u64| line(n, "198.51.100.9", "-", &format!("GET /x{n} HTTP/1.1"), 404);
    let lines: Vec<String> = (0..15).map(probe).collect();
    check(
        &lines,
        &["http.scan.paths firing 15 198.51.100.9", "http.scan.paths resolved 15 198.51.100.9"],
    );
    // A crawler finds what was moved; one that borrows its name is a stranger.
    let crawl = |client: &'static str| {
        move |n: u64| {
            probe(n).replace("198.51.100.9", client).replace("\"-\"\n", "\"Googlebot/2.1\"\n")
        }
    };
    check(&(0..15).map(crawl("66.249.66.1")).collect::<Vec<_>>(), &[]);
    let found = run(&(0..15).map(crawl("198.51.100.9")).collect::<Vec<_>>(), usize::MAX);
    let told = |id: &str| found.iter().filter(|alert| alert.rule.id == id).count();
    assert_eq!((2, 2), (told("http.scan.paths"), told("http.bot.fake")));
    let image = |n: u64| line(n, "198.51.100.9", "-", &format!("GET /x{n}.png HTTP/1.1"), 404);
    check(&(0..60).map(image).collect::<Vec<_>>(), &[]);
}

#[test]
fn server_errors_need_several_clients() {
    let error = |n: u64, clients: u64| {
        line(n, &format!("198.51.100.{}", n % clients), "-", "GET / HTTP/1.1", 503)
    };
    check(&(0..40).map(|n| error(n, 1)).collect::<Vec<_>>(), &[]);
    check(
        &(0..40).map(|n| error(n, 8)).collect::<Vec<_>>(),
        &["http.5xx.site firing 20 default", "http.5xx.site resolved 40 default"],
    );
}

#[test]
fn a_late_line_counts_where_it_belongs() {
    let mut lines = failures(10, 10, "203.0.113.7", |_| "alice".to_owned());
    lines.swap(2, 8);
    let alerts = run(&lines, 1);
    assert_eq!(10, alerts[0].count);
    assert_eq!(Timestamp::from_secs(START), alerts[0].first_event);
}

#[test]
fn a_source_that_is_ahead_ends_no_alert_of_another() {
    let formats = FormatSet::from_definition("combined").expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, READ_AT);
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let mut detectors = Detectors::new(rule::builtin(), Limits::new(5));
    let (mut alerts, mut batch) = (Vec::new(), EventBatch::default());
    let burst = failures(18, 20, "203.0.113.7", |n| format!("user{}", n % 2));
    let later = line(9000, "192.0.2.1", "-", "GET / HTTP/1.1", 200);
    for (source, bytes) in
        [("web1", burst[..11].concat()), ("web2", later), ("web1", burst[11..].concat())]
    {
        let origin = Arc::new(Origin { source: source.to_owned(), ..Origin::default() });
        let bytes = bytes.into_bytes();
        let text = Text { origin, bytes, from: 0, truncated_last: false, read_at: READ_AT };
        parser.fill(&mut batch, text);
        detectors.see(&batch, READ_AT, &mut alerts);
    }
    assert_eq!(1, alerts.len(), "{alerts:#?}");
}

#[test]
fn a_line_without_a_time_moves_no_clock() {
    let mut lines = failures(14, 50, "203.0.113.7", |n| format!("user{}", n % 2));
    lines.insert(11, "no line of any format\n".to_owned());
    check(
        &lines,
        &[
            "auth.bruteforce.client firing 10 203.0.113.7",
            "auth.bruteforce.client resolved 14 203.0.113.7",
        ],
    );
}

#[test]
fn an_alert_carries_what_an_analyst_asks_for() {
    let lines = failures(12, 10, "203.0.113.7", |n| format!("user{}", n % 3));
    let alert = run(&lines, 4).remove(0);
    assert_eq!("10 failed log-ins from 203.0.113.7 within 10m", alert.summary);
    assert_eq!(vec!["203.0.113.7".parse::<std::net::IpAddr>().expect("ip")], alert.addresses);
    assert_eq!(["user0", "user1", "user2"].as_slice(), alert.users);
    assert_eq!(Some(&10), alert.statuses.get(&401));
    assert_eq!(10, alert.evidence.len());
    assert_eq!(0, alert.evidence[0].offset);
    assert_eq!(lines[0].len() as u64, alert.evidence[1].offset);
    assert_eq!(lines[0].trim_end(), alert.evidence[0].line);
}

#[test]
fn a_log_in_after_many_failures_is_told_with_the_tries_and_the_success() {
    let mut lines = failures(18, 100, "203.0.113.7", |_| "alice".to_owned());
    lines.push(line(1900, "203.0.113.7", "alice", "GET /members/ HTTP/1.1", 200));
    let found = told_by_the_application(&lines.concat());
    let alert = found.iter().find(|alert| alert.rule.id == "auth.success_after_failures");
    let alert = alert.expect("it is told");
    // Of the tries no more are remembered than the limit asks for.
    assert_eq!((15, 1), (alert.count, alert.successes));
    assert_eq!(Timestamp::from_secs(START + 1900), alert.at);
    assert!(
        alert.evidence.len() == 10 && alert.summary.contains("after at least 15 tries"),
        "{alert:?}"
    );
}

/// The alerts about the same log-ins, as an application logs them.
fn told_by_the_application(lines: &str) -> Vec<Alert> {
    let json: String = lines
        .lines()
        .map(|line| {
            let parts: Vec<&str> = line.split(' ').collect();
            let outcome = if line.contains(" 401 ") { "failure" } else { "success" };
            format!(
                "{{\"time\":\"{}\",\"event\":\"login\",\"outcome\":\"{outcome}\",\"user\":\"{}\",\
                 \"ip\":\"{}\"}}\n",
                parts[3].trim_start_matches('['),
                parts[2],
                parts[0]
            )
        })
        .collect();
    seen_as("json", &mut Detectors::new(rule::builtin(), Limits::new(5)), &json)
}

#[test]
fn what_keys_remember_stays_within_its_bytes() {
    let limits = Limits { keys_bytes_max: 256 << 10, ..Limits::new(5) };
    let mut detectors = Detectors::new(rule::builtin(), limits);
    // Each client is busy, and asks for other pages.
    let page = |n: u64| {
        let client = format!("10.0.{}.{}", n % 200 / 100, n % 100);
        line(n / 400, &client, "-", &format!("GET /page/{n} HTTP/1.1"), 200)
    };
    let log: String = (0..40_000).map(page).collect();
    seen_by(&mut detectors, &log);
    assert!(detectors.keys.bytes() <= 320 << 10, "{} bytes", detectors.keys.bytes());
    assert_ne!(0, detectors.keys().1, "some were let go, and counted");
}

#[test]
fn an_allowed_client_raises_nothing_until_its_day() {
    let allow = |expires: &str| {
        let text = format!(
            "name = \"scanner\"\nclients = [\"203.0.113.0/24\"]\nrules = [\"auth.*\"]\n\
             expires = \"{expires}\"\nreason = \"ours\""
        );
        let entry: Allow = toml::from_str(&text).expect("an entry");
        Detectors::new(rule::builtin(), Limits::new(5))
            .in_circumstances(Circumstances { allowed: vec![entry], ..Circumstances::default() })
    };
    let lines = failures(30, 2, "203.0.113.7", |n| format!("user{n}")).concat();
    let mut past = allow("2026-11-01");
    assert_ne!(0, seen_by(&mut past, &lines).len());
    let mut now = allow("2027-11-01");
    assert_eq!(Vec::<Alert>::new(), seen_by(&mut now, &lines));
    let (name, count) = now.allowed().next().expect("the entry");
    assert!(name == "scanner" && 0 < count, "{count}");

    // What many do to a site is told, whoever of them is allowed.
    let crowd: String = (0..60)
        .map(|n| line(n, &format!("203.0.113.{n}"), "-", "POST /login HTTP/1.1", 401))
        .collect();
    let told = seen_by(&mut allow("2027-11-01"), &crowd);
    assert!(told.iter().any(|alert| alert.rule.id == "auth.stuffing.site"), "{told:?}");
}

#[test]
fn an_alert_that_grows_is_told_again_at_ten_and_a_hundred_times_its_limit() {
    let grown = |count: u64| {
        let lines = failures(count, 1, "203.0.113.7", |_| "alice".to_owned());
        let mut found =
            seen_by(&mut Detectors::new(rule::builtin(), Limits::new(5)), &lines.concat());
        found.retain(|alert| alert.rule.id == "auth.bruteforce.client");
        found
    };
    let told = |found: &[Alert]| -> Vec<_> {
        found.iter().map(|alert| (alert.transition(), alert.severity, alert.count)).collect()
    };
    let fired = ("firing".to_owned(), Severity::Medium, 5);
    let tenfold = ("escalated-1".to_owned(), Severity::High, 50);
    let hundredfold = ("escalated-2".to_owned(), Severity::High, 500);
    assert_eq!(vec![fired.clone()], told(&grown(49)));
    assert_eq!(vec![fired.clone(), tenfold.clone()], told(&grown(499)));
    let found = grown(1000);
    assert_eq!(vec![fired, tenfold, hundredfold], told(&found));
    assert_eq!("500 failed log-ins from 203.0.113.7 within 9m", found[2].summary);
    assert_eq!(found[0].id, found[2].id);
}

#[test]
fn alerts_during_maintenance_are_raised_and_marked() {
    let entry = |rules: &str| {
        let text = format!(
            "name = \"patches\"\nbegins = \"2026-11-01T00:00\"\nends = \"2026-12-01T00:00\"\n\
             rules = [{rules}]"
        );
        let maintenance = vec![toml::from_str(&text).expect("an entry")];
        Circumstances { maintenance, ..Circumstances::default() }
    };
    let marks = |rules: &str| {
        let mut detectors = Detectors::new(rule::builtin(), Limits::new(5));
        detectors = detectors.in_circumstances(entry(rules));
        let lines = failures(25, 10, "203.0.113.7", |_| "alice".to_owned()).concat();
        seen_by(&mut detectors, &lines).into_iter().map(|one| one.muted_by).collect::<Vec<_>>()
    };
    let named = Some("patches".to_owned());
    assert!(marks("\"auth.bruteforce.client\"").contains(&named));
    assert!(marks("\"*\"").iter().all(Option::is_none), "log-ins by name only");
}

/// The alerts that `detectors` raise about `lines`.
fn seen_by(detectors: &mut Detectors, lines: &str) -> Vec<Alert> {
    seen_as("combined", detectors, lines)
}

fn seen_as(format: &str, detectors: &mut Detectors, lines: &str) -> Vec<Alert> {
    let formats = FormatSet::from_definition(format).expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, READ_AT);
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let (mut batch, mut alerts) = (EventBatch::default(), Vec::new());
    let (origin, bytes) = (Arc::default(), lines.as_bytes().to_vec());
    parser
        .fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at: READ_AT });
    detectors.see(&batch, READ_AT, &mut alerts);
    alerts
}

#[test]
fn one_client_that_reads_everything_is_told_and_a_verified_crawler_is_not() {
    let crawl = |client: &str, agent: &str| -> String {
        let page = |n| {
            line(n, client, "-", &format!("GET /page/{n} HTTP/1.1"), 200)
                .replace("\"-\"\n", &format!("\"{agent}\"\n"))
        };
        (0..500).map(page).collect()
    };
    let found = |log: &str| {
        let mut detectors = Detectors::new(rule::builtin(), Limits::new(5));
        let alerts = seen_by(&mut detectors, log);
        alerts.iter().map(|alert| alert.rule.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(["http.crawl"], *found(&crawl("203.0.113.7", "curl/8.5.0")));
    assert!(found(&crawl("66.249.66.1", "Googlebot/2.1")).is_empty());
}

#[test]
fn a_gigabyte_within_an_hour_is_told_once() {
    let log: String = (0..20)
        .map(|n| {
            let text = line(n * 100, "203.0.113.7", "-", "GET /video HTTP/1.1", 200);
            text.replace(" 200 10 ", " 200 100000000 ")
        })
        .collect();
    let alerts = seen_by(&mut Detectors::new(rule::builtin(), Limits::new(5)), &log);
    let told: Vec<(&str, u64)> =
        alerts.iter().map(|alert| (alert.rule.id.as_str(), alert.count)).collect();
    assert_eq!([("http.exfil.volume", 11)], *told);
}

#[test]
fn whoever_borrows_the_name_of_a_crawler_is_told_where_the_list_decides() {
    let ask = |client: &str, count: u64| -> Vec<String> {
        let one = |n: u64| line(n * 60, client, "-", &format!("GET /page{} HTTP/1.1", n % 3), 200);
        let agent = "\"Mozilla/5.0 (compatible; bingbot/2.0)\"\n";
        (0..count).map(|n| one(n).replace("\"-\"\n", agent)).collect()
    };
    check(
        &ask("198.51.100.9", 5),
        &["http.bot.fake firing 5 198.51.100.9", "http.bot.fake resolved 5 198.51.100.9"],
    );
    check(&ask("198.51.100.9", 4), &[]);
    // Its own network, one that its owner lets to others, and a proxy in front of the site.
    for client in ["157.55.39.7", "20.200.1.2", "10.0.0.1"] {
        check(&ask(client, 50), &[]);
    }
}

#[test]
fn a_source_that_is_being_written_and_stops_is_told_until_it_goes_on() {
    let formats = FormatSet::from_definition("combined").expect("a known format");
    let start = Timestamp::from_secs(START);
    let times = TimeReader::new(TimeZone::UTC, start);
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let mut detectors = Detectors::new(rule::builtin(), Limits::new(5));
    let (mut alerts, mut batch) = (Vec::new(), EventBatch::default());
    let mut read = |detectors: &mut Detectors, second: u64, alerts: &mut Vec<Alert>| {
        let origin = Arc::new(Origin { source: "web".to_owned(), ..Origin::default() });
        let bytes = line(second, "192.0.2.1", "-", "GET / HTTP/1.1", 200).into_bytes();
        let read_at = start.plus_ms(1000 * second);
        parser.fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at });
        detectors.see(&batch, read_at, alerts);
    };
    // Pauses of five minutes: twenty minutes of nothing are needed.
    for n in 0..30 {
        read(&mut detectors, 300 * n, &mut alerts);
    }
    detectors.tick(start.plus_ms(1000 * (300 * 29 + 1190)), &mut alerts);
    assert_eq!(Vec::<Alert>::new(), alerts);
    detectors.tick(start.plus_ms(1000 * (300 * 29 + 1260)), &mut alerts);
    assert_eq!(
        "Nothing came from web for 21m, which is much longer than its pauses",
        alerts[0].summary
    );
    read(&mut detectors, 12_000, &mut alerts);
    let states: Vec<_> = alerts.iter().map(|alert| (alert.rule.id.as_str(), alert.state)).collect();
    assert_eq!(
        [("ops.silence", AlertState::Firing), ("ops.silence", AlertState::Resolved)],
        *states
    );
}

/// What is said of a source that falls silent on a Thursday at 18:30.
fn silent_evening(circumstances: Circumstances) -> Vec<Alert> {
    let monday = Timestamp::from_secs(1_794_787_200);
    let formats = FormatSet::from_definition("combined").expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, monday);
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let mut detectors =
        Detectors::new(rule::builtin(), Limits::new(5)).in_circumstances(circumstances);
    let (mut alerts, mut batch) = (Vec::new(), EventBatch::default());
    // A monitor asks every three minutes, and members on Thursday evening every one.
    let is_asked = |minute: u64| minute.is_multiple_of(3) || 4 * 1440 - 420 < minute;
    let falls_silent = 3 * 1440 + 18 * 60 + 30;
    for minute in 0..falls_silent + 16 {
        let now = monday.plus(Period::from_secs(60 * minute));
        if is_asked(minute) && minute < falls_silent {
            let time = clf(now);
            let bytes = format!("192.0.2.1 - - [{time}] \"GET / HTTP/1.1\" 200 9 \"-\" \"-\"\n")
                .into_bytes();
            let origin = Arc::new(Origin { source: "web".to_owned(), ..Origin::default() });
            let text = Text { origin, bytes, from: 0, truncated_last: false, read_at: now };
            parser.fill(&mut batch, text);
            detectors.see(&batch, now, &mut alerts);
        }
        detectors.tick(now, &mut alerts);
        let may_be_told = falls_silent + 13 < minute;
        assert!(may_be_told || alerts.iter().all(|one| one.rule.id != "ops.silence"), "{minute}");
    }
    alerts.retain(|one| one.rule.id == "ops.silence");
    alerts
}

#[test]
fn a_source_that_falls_silent_on_thursday_evening_is_told_within_a_quarter_of_an_hour() {
    let told = silent_evening(Circumstances::default());
    assert_eq!([None], *told.iter().map(|one| one.muted_by.clone()).collect::<Vec<_>>());
    let text = "name = \"patches\"\nbegins = \"2026-11-01T00:00\"\nends = \"2026-12-01T00:00\"\n\
                rules = [\"ops.*\"]";
    let maintenance = vec![toml::from_str(text).expect("an entry")];
    let told = silent_evening(Circumstances { maintenance, ..Circumstances::default() });
    assert_eq!(Some("patches"), told[0].muted_by.as_deref());
}

#[test]
fn a_flood_of_keys_neither_fills_the_memory_nor_hides_an_offender() {
    let limits = Limits { keys_max: 4096, ..Limits::new(5) };
    let mut detectors = Detectors::new(rule::builtin(), limits);
    let mut text = String::new();
    for n in 0..60_000_u64 {
        let client = format!("10.{}.{}.{}", n / 62_500, n / 250 % 250, n % 250);
        text.push_str(&line(n / 200, &client, "-", &format!("GET /x{n}.php HTTP/1.1"), 404));
        if n % 400 == 0 {
            // A try every two seconds, among two hundred strangers a second.
            let user = format!("member{}", n / 400);
            text.push_str(&line(n / 200, "203.0.113.7", &user, "GET /members/ HTTP/1.1", 401));
        }
    }
    let alerts = seen_by(&mut detectors, &text);
    let (held, _) = detectors.keys();
    assert!(held <= 4096 && 50_000 < detectors.passed(), "{held} held");
    let spray = alerts.iter().find(|alert| alert.rule.id == "auth.spray.client");
    let spray = spray.expect("the offender is found");
    let tries = spray.at.since(Timestamp::from_secs(START)).secs() / 2 + 1;
    assert!(tries <= 16, "at try {tries}");
}

#[test]
fn keys_stay_bounded_and_real_offenders_are_found() {
    let mut detectors = Detectors::new(rule::builtin(), Limits { keys_max: 64, ..Limits::new(5) });
    let formats = FormatSet::from_definition("combined").expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, READ_AT);
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let mut text = String::new();
    for n in 0..3000 {
        let client = format!("10.{}.{}.1", n / 250, n % 250);
        text.push_str(&line(n / 50, &client, "-", "GET /a HTTP/1.1", 403));
        if n % 2 == 0 {
            text.push_str(&line(n / 50, "203.0.113.7", "-", "GET /b HTTP/1.1", 403));
        }
    }
    let mut batch = EventBatch::default();
    let origin = Arc::new(Origin::default());
    let text =
        Text { origin, bytes: text.into_bytes(), from: 0, truncated_last: false, read_at: READ_AT };
    parser.fill(&mut batch, text);
    let mut alerts = Vec::new();
    detectors.see(&batch, READ_AT, &mut alerts);

    let (held, evicted) = detectors.keys();
    assert!(held <= 64 && 0 < detectors.passed() + evicted, "{held} held, {evicted} let go");
    assert!(alerts.iter().any(|alert| alert.group_value("client.net") == Some("203.0.113.7")));
}
