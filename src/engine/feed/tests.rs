//! Readers and marks together: from the bytes of a list to what an event says.

use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::engine::batch::{Event, EventBatch, Field, Origin};
use crate::engine::enrich::Enricher;
use crate::engine::format::FormatSet;
use crate::engine::format::testing::mutated;
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;

/// 2026-11-19 00:00, the day before the lines.
const AS_OF: Timestamp = Timestamp::from_secs(1_795_046_400);

fn settings() -> FeedConfig {
    let mut settings = FeedConfig::of_file("lists/test.txt".as_ref());
    settings.ttl = Period::from_secs(7 * 86_400);
    settings
}

fn finished(read: impl FnOnce(&mut Builder)) -> Feed {
    let mut out = Builder::new(&settings(), AS_OF, 7);
    read(&mut out);
    out.finish(&settings()).expect("a small list")
}

fn plain(text: &str) -> Feed {
    finished(|out| {
        let mut reader = PlainReader::default();
        text.lines().for_each(|line| reader.line(line.as_bytes(), out));
    })
}

fn csv(columns: &Columns, text: &str) -> Feed {
    finished(|out| {
        let mut reader = CsvReader::new(columns);
        text.lines().for_each(|line| reader.line(line.as_bytes(), out));
        reader.end(out).expect("a header");
    })
}

fn stix(objects: &str) -> Feed {
    let text = format!(r#"{{"type":"bundle","id":"bundle--1","objects":[{objects}]}}"#);
    finished(|out| {
        read_stix(&mut serde_json::Deserializer::from_str(&text), out).expect("a bundle");
    })
}

fn misp(text: &str) -> Feed {
    finished(|out| {
        let json = || serde_json::Deserializer::from_str(text);
        let header = read_misp_header(&mut json()).expect("an event");
        read_misp(&mut json(), &header, out).expect("an event");
    })
}

fn events(set: FeedSet, lines: &str) -> EventBatch {
    let formats = FormatSet::from_definition("combined").expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, AS_OF);
    let mut enricher = Enricher { feeds: Some(set), ..Enricher::default() };
    enricher.trusted_proxies.push("192.0.2.0/28".parse().expect("a network"));
    let mut parser = Parser::new(formats, times, Arc::new(enricher));
    let mut batch = EventBatch::default();
    let (origin, bytes) = (Arc::new(Origin::default()), lines.as_bytes().to_vec());
    let text = Text { origin, bytes, from: 0, truncated_last: false, read_at: AS_OF };
    parser.fill(&mut batch, text);
    batch
}

fn said(event: &Event<'_>, field: Field) -> String {
    String::from_utf8_lossy(event.field(field).unwrap_or(b"-")).into_owned()
}

/// A line of `client` on 2026-11-20.
fn line(client: &str, request: &str, status: u16, referrer: &str, agent: &str) -> String {
    format!(
        "{client} - - [20/Nov/2026:07:00:00 +0000] \"{request}\" {status} 10 \"{referrer}\" \"{agent}\"\n"
    )
}

/// Indicator, place and severity that `line` is told to meet; `-` where it meets none.
#[track_caller]
fn check(feed: Feed, line: &str, expected: &str) {
    let batch = events(FeedSet::new(vec![Arc::new(feed)]), line);
    let event = batch.event(0);
    let parts = [Field::ThreatIndicator, Field::ThreatMatched, Field::ThreatSeverity];
    let actual = parts.map(|field| said(&event, field)).join(" ");
    let actual = if actual == "- - -" { "-".to_owned() } else { actual };
    assert_eq!(expected, actual, "{line}");
    assert_eq!(expected != "-", event.row().is_listed);
}

fn of(client: &str) -> String {
    line(client, "GET / HTTP/1.1", 200, "-", "-")
}

#[test]
fn clients_are_found_by_address_network_and_stretch() {
    let list = "203.0.113.7 # one\n203.0.113.64/27\n198.51.100.9-198.51.100.11\n2001:db8:1::/48\n";
    check(plain(list), &of("203.0.113.7"), "203.0.113.7 source.ip medium");
    check(plain(list), &of("203.0.113.95"), "203.0.113.64/27 source.ip medium");
    check(plain(list), &of("203.0.113.96"), "-");
    check(plain(list), &of("198.51.100.11"), "198.51.100.9-198.51.100.11 source.ip medium");
    check(plain(list), &of("2001:db8:1:2::3"), "2001:db8:1::/48 source.ip medium");
    check(plain(list), &of("::ffff:203.0.113.7"), "203.0.113.7 source.ip medium");
}

#[test]
fn what_belongs_to_nobody_in_particular_never_matches() {
    let list = "10.0.0.1\n127.0.0.0/8\n192.0.2.5\n::1\nfe80::/16\n100.64.0.1\n";
    for client in ["10.0.0.1", "127.0.0.1", "192.0.2.5", "::1", "100.64.0.1"] {
        check(plain(list), &of(client), "-");
    }
    assert_eq!(5, plain(list).report().left_out);
}

#[test]
fn a_domain_holds_all_below_it() {
    let from = |referrer| line("198.51.100.1", "GET / HTTP/1.1", 200, referrer, "-");
    let found = "evil.example http.request.referrer low";
    check(plain("evil[.]example"), &from("https://a.b.EVIL.example:8080/x"), found);
    check(plain("evil.example"), &from("http://evil.example"), found);
    check(plain("evil.example"), &from("https://notevil.example/"), "-");
    check(plain("evil.example"), &from("https://good.example/?u=evil.example"), "-");
    let absolute = line("198.51.100.1", "GET http://x.evil.example/ HTTP/1.1", 200, "-", "-");
    check(plain("evil.example"), &absolute, "evil.example destination.domain medium");
}

#[test]
fn a_request_is_found_by_path_and_url_however_it_is_written() {
    let get = |target: &str, status| {
        line("198.51.100.1", &format!("GET {target} HTTP/1.1"), status, "-", "-")
    };
    check(plain("/c99.php"), &get("/%63%39%39.php?a=1", 404), "/c99.php url.original medium");
    check(plain("/c99.php"), &get("/c99.php", 200), "/c99.php url.original high");
    check(plain("/c99.php"), &get("/x/c99.php", 200), "-");
    check(plain("/x?a=1"), &get("/x?a=1", 404), "/x?a=1 url.original medium");
    check(plain("/x?a=1"), &get("/x?a=2", 404), "-");
    let list = "http://evil.example/gate.php?id=12345\nhttp://evil.example/wp-login.php\n";
    check(plain(list), &get("/gate.php?id=12345", 404), "/gate.php?id=12345 url.original low");
    check(plain(list), &get("/wp-login.php", 200), "-");
    let whole = get("http://evil.example/wp-login.php", 404);
    check(plain(list), &whole, "evil.example/wp-login.php url.original medium");
}

#[test]
fn an_agent_is_found_to_the_letter() {
    let by = |agent| line("198.51.100.1", "GET / HTTP/1.1", 200, "-", agent);
    let list = "Mozilla/5.0 (evil; X11)\n";
    let found = "Mozilla/5.0 (evil; X11) user_agent.original medium";
    check(plain(list), &by("Mozilla/5.0 (evil; X11)"), found);
    check(plain(list), &by("Mozilla/5.0 (evil; X11) more"), "-");
}

#[test]
fn an_indicator_ends_by_the_time_of_the_event() {
    let at = |day: u32| of("203.0.113.7").replace("20/Nov", &format!("{day}/Nov"));
    check(plain("203.0.113.7"), &at(25), "203.0.113.7 source.ip medium");
    check(plain("203.0.113.7"), &at(26), "-");
    let list = "ip,valid_until\n203.0.113.7,2026-11-21\n";
    check(csv(&Columns::default(), list), &at(20), "203.0.113.7 source.ip medium");
    check(csv(&Columns::default(), list), &at(21), "-");
}

#[test]
fn of_several_the_worst_is_told_and_of_equals_the_surest() {
    let mut high = plain("evilbot/1.0");
    high.severity = Severity::High;
    let set = FeedSet::new(vec![Arc::new(plain("203.0.113.7\nevilbot/1.0\n")), Arc::new(high)]);
    let text = line("203.0.113.7", "GET / HTTP/1.1", 200, "-", "evilbot/1.0");
    let batch = events(set, &text);
    assert_eq!("high", said(&batch.event(0), Field::ThreatSeverity));
    check(plain("203.0.113.7\nevilbot/1.0\n"), &text, "203.0.113.7 source.ip medium");
}

#[test]
fn a_hosts_file_and_comments_are_read() {
    let feed = plain("; old\n// new\n0.0.0.0 evil.example # ads\n203.0.113.7\t12\n\n");
    assert_eq!(2, feed.report().taken);
    assert_eq!(0, feed.report().refused);
    let batch = events(FeedSet::new(vec![Arc::new(feed)]), &of("203.0.113.7"));
    assert_eq!("12; list of 2026-11-19", said(&batch.event(0), Field::ThreatNote));
}

#[test]
fn what_cannot_be_read_is_told_and_costs_nothing_else() {
    let feed = plain("com\n203.0.113.7\n0.0.0.0/0\n1\n2\n3\n4\n");
    let report = feed.report();
    assert_eq!((1, 6, 5), (report.taken, report.refused, report.first.len()));
    assert_eq!("line 3", report.first[1].0);
    let complaint = report.complaint().expect("there is something to say");
    assert!(complaint.starts_with("1 entry is in force, 6 cannot be read; line 1: it is no "));
}

#[test]
fn columns_are_found_by_their_names() {
    let list = "# a list\n# \"first_seen_utc\",\"ioc_value\",\"ioc_type\",\"confidence_level\",\"malware\"\n\
                \"2026-11-17 10:00:00\", \"203.0.113.7:80\", \"ip:port\", \"75\", \"a \"\"b\"\"\"\n\
                \"2026-11-17 10:00:00\", \"evil.example\", \"domain\", \"20\", \"c\"\n\
                \"\",\"x\",\"ip:port\",\"\",\"\"\n";
    let columns = Columns { value: Some("IOC_value".to_owned()), ..Columns::default() };
    let feed = csv(&columns, list);
    assert_eq!((2, 1), (feed.report().taken, feed.report().refused));
    assert_eq!("line 5", feed.report().first[0].0);
    let batch = events(FeedSet::new(vec![Arc::new(feed)]), &of("203.0.113.7"));
    let event = batch.event(0);
    assert_eq!("High", said(&event, Field::ThreatConfidence));
    assert_eq!("2026-11-17T10:00:00.000Z", said(&event, Field::ThreatSince));
    let note = "a \"b\"; known since 2026-11-17, 2 days before; list of 2026-11-19";
    assert_eq!(note, said(&event, Field::ThreatNote));
}

#[test]
fn a_record_may_go_on_in_the_next_line_and_a_header_must_be_there() {
    let list = "address;comment\n203.0.113.7;\"two\nlines\"\n203.0.113.8;\n";
    assert_eq!(2, csv(&Columns::default(), list).report().taken);
    let mut out = Builder::new(&settings(), AS_OF, 7);
    let mut reader = CsvReader::new(&Columns::default());
    reader.line(b"203.0.113.7,x", &mut out);
    assert!(reader.end(&mut out).expect_err("no header").contains("set `columns"));
}

fn indicator(id: u32, modified: &str, pattern: &str, more: &str) -> String {
    format!(
        r#"{{"type":"indicator","id":"indicator--{id}","modified":"{modified}","pattern_type":"stix",
        "pattern":"{pattern}","valid_from":"2026-11-18T00:00:00Z"{more}}}"#
    )
}

#[test]
fn indicators_of_stix_have_a_life_of_their_own() {
    let (old, new) = ("2026-11-18T00:00:00.1Z", "2026-11-18T00:00:00.2Z");
    let pattern = |last: u32| format!("[ipv4-addr:value = '203.0.113.{last}']");
    let objects = [
        r#"{"type":"malware","id":"malware--1"}"#.to_owned(),
        // A newer version comes first, and a withdrawn one last.
        indicator(1, new, &pattern(1), ""),
        indicator(1, old, &pattern(2), ""),
        indicator(3, old, &pattern(3), ""),
        indicator(3, new, &pattern(3), r#","revoked":true"#),
        indicator(4, old, &pattern(4), r#","valid_until":"2026-11-19T00:00:00Z""#),
        indicator(5, old, "[url:value MATCHES 'x']", ""),
        indicator(6, old, &pattern(6), "").replace("2026-11-18T00:00:00Z", "2026-11-21T00:00:00Z"),
        indicator(
            7,
            old,
            &pattern(7),
            r#","name":"botnet","indicator_types":["c2"],"confidence":90,
            "external_references":[{"source_name":"x","url":"https://cti.example/7"}],
            "object_marking_refs":["marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"]"#,
        ),
        indicator(8, old, &pattern(8), "").replace("valid_from", "valid_form"),
    ];
    let feed = || stix(&objects.join(","));
    for (last, is_found) in [(1, true), (2, false), (3, false), (4, false), (6, false), (7, true)] {
        let client = format!("203.0.113.{last}");
        let found = format!("{client} source.ip medium");
        check(feed(), &of(&client), if is_found { &found } else { "-" });
    }
    let report = feed().report().clone();
    assert_eq!((1, 1), (report.unsupported, report.refused));
    let set = FeedSet::new(vec![Arc::new(feed())]);
    let others = events(set.for_others(), &of("203.0.113.7"));
    assert_eq!("-", said(&others.event(0), Field::ThreatFeed), "amber stays here");
    let batch = events(set, &of("203.0.113.7"));
    let event = batch.event(0);
    assert_eq!("AMBER", said(&event, Field::ThreatTlp));
    let note = "botnet (c2); https://cti.example/7; known since 2026-11-18, 2 days before; \
                list of 2026-11-19";
    assert_eq!(note, said(&event, Field::ThreatNote));
}

#[test]
fn a_url_that_is_withdrawn_is_one_entry_less() {
    let url = "[url:value = 'http://evil.example/a/long/path']";
    let objects = [
        indicator(1, "2026-11-18T00:00:00.1Z", url, ""),
        indicator(1, "2026-11-18T00:00:00.2Z", url, ""),
        indicator(2, "2026-11-18T00:00:00.1Z", "[url:value = 'http://a.example/b/long/path']", ""),
    ];
    let feed = stix(&objects.join(","));
    assert_eq!((2, 1), (feed.report().taken, feed.report().left_out));
    assert_eq!(2, feed.counts().map(|(_, count)| count).sum::<u64>());
}

const EVENT: &str = r#"{"Event":{"Attribute":[
    {"uuid":"u1","type":"ip-dst|port","to_ids":true,"value":"203.0.113.7|80","comment":"c2",
     "timestamp":"1794909600"},
    {"uuid":"u2","type":"domain|ip","to_ids":true,"value":"evil.example|203.0.113.8"},
    {"uuid":"u3","type":"ip-src","to_ids":false,"value":"203.0.113.9"},
    {"uuid":"u4","type":"mutex","to_ids":true,"value":"m"},
    {"uuid":"u5","type":"ip-src","to_ids":true,"value":"nonsense"}],
  "Object":[{"name":"x","Attribute":[{"type":"user-agent","to_ids":true,"value":"evilbot/1.0"}]}],
  "info":"Campaign","uuid":"e1","Tag":[{"name":"tlp:green"},{"name":"other"}]}}"#;

#[test]
fn events_of_misp_are_read_as_far_as_they_are_meant_for_detection() {
    let feed = misp(EVENT);
    let report = feed.report().clone();
    assert_eq!((4, 1, 1, 1), (report.taken, report.refused, report.unsupported, report.left_out));
    assert_eq!("u4", report.first[0].0);
    check(misp(EVENT), &of("203.0.113.8"), "203.0.113.8 source.ip medium");
    check(misp(EVENT), &of("203.0.113.9"), "-");
    let batch = events(FeedSet::new(vec![Arc::new(feed)]), &of("203.0.113.7"));
    let event = batch.event(0);
    assert_eq!("GREEN", said(&event, Field::ThreatTlp));
    let note = "Campaign: c2; e1; known since 2026-11-17, 2 days before; list of 2026-11-19";
    assert_eq!(note, said(&event, Field::ThreatNote));
}

#[test]
fn what_is_no_bundle_and_no_event_is_refused() {
    let mut out = Builder::new(&settings(), AS_OF, 7);
    let read = |text: &str, out: &mut Builder| {
        read_stix(&mut serde_json::Deserializer::from_str(text), out)
    };
    assert!(read(r#"{"type":"bundle"}"#, &mut out).is_err());
    assert!(read(r#"{"objects":[{"type":"indicator""#, &mut out).is_err());
    let header = read_misp_header(&mut serde_json::Deserializer::from_str("{}"));
    assert!(header.expect_err("no event").to_string().contains("no `Event`"));
}

/// Lines of lists that come in mutated.
const LINES: &[&str] = &[
    "203.0.113.7 # one",
    "203.0.113.0/24 ; two",
    "203.0.113.9 - 203.0.113.11",
    "[2001:db8::1]:443",
    "hxxps[:]//user@Evil[.]example:80/a%41%?x#y",
    "*.evil.example.",
    "\"a\",\"b \"\"c\"\"\",d",
    "0.0.0.0 evil.example",
    "Mozilla/5.0 (compatible; evil)",
];

const PATTERNS: &[&str] = &[
    r"[ipv4-addr:value = '203.0.113.7'] OR ([url:value IN ('http://a.example/', 'b')])",
    r"[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = 'a \' b \\']",
    r"[(file:hashes.'SHA-256' = 'aa' OR domain-name:value = 'a.example') OR ipv6-addr:value ISSUBSET '::/32']",
];

proptest! {
    #[test]
    fn no_line_makes_a_reader_panic(lines in proptest::collection::vec(mutated(LINES), 0..6)) {
        let feed = finished(|out| {
            let mut reader = PlainReader::default();
            lines.iter().for_each(|line| reader.line(line, out));
            let mut reader = CsvReader::new(&Columns::default());
            reader.line(b"ip,type,comment", out);
            lines.iter().for_each(|line| reader.line(line, out));
            let _ = reader.end(out);
        });
        let text: String = lines.iter().map(|l| String::from_utf8_lossy(l).replace('"', "'")).collect();
        events(FeedSet::new(vec![Arc::new(feed)]), &line("203.0.113.7", &text, 200, &text, &text));
    }

    #[test]
    fn no_bundle_makes_a_reader_panic(pattern in mutated(PATTERNS), text in mutated(&[EVENT])) {
        let pattern = String::from_utf8_lossy(&pattern).into_owned();
        let object = serde_json::json!({"type": "indicator", "id": "i", "pattern": pattern,
            "valid_from": "2026-11-18T00:00:00Z"});
        stix(&object.to_string());
        finished(|out| {
            let json = || serde_json::Deserializer::from_slice(&text);
            if let Ok(header) = read_misp_header(&mut json()) {
                let _ = read_misp(&mut json(), &header, out);
            }
            let _ = read_stix(&mut json(), out);
        });
    }
}
