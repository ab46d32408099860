//! Signatures of events: asked by rules, worked out once, and only where somebody asks.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::engine::batch::EventBatch;
use crate::engine::detect::predicate::Predicate;
use crate::engine::enrich::Enricher;
use crate::engine::format::FormatSet;
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::units::Timestamp;

const READ_AT: Timestamp = Timestamp::from_secs(1_795_176_000);

fn read(format: &str, line: &str) -> EventBatch {
    let formats = FormatSet::from_definition(format).expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, READ_AT);
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let (origin, bytes) = (Arc::default(), format!("{line}\n").into_bytes());
    let mut batch = EventBatch::default();
    let text = Text { origin, bytes, from: 0, truncated_last: false, read_at: READ_AT };
    parser.fill(&mut batch, text);
    batch
}

fn request(text: &str) -> EventBatch {
    let head = "192.0.2.7 - - [20/Nov/2026:10:00:00 +0000]";
    read("combined", &format!("{head} \"{text}\" 200 5 \"-\" \"sqlmap/1.8\""))
}

#[track_caller]
fn check_rule(condition: &str, request_line: &str, expected: bool) {
    let table = condition.parse().expect("TOML");
    let predicate = Predicate::compile(&table).expect("a condition");
    let batch = request(request_line);
    assert_eq!(expected, predicate.holds(&batch.event(0)), "{condition}: {request_line}");
}

#[test]
fn a_rule_asks_for_one_of_several_classes() {
    let attack = "GET /?q=1'%20or%20'1'='1 HTTP/1.1";
    check_rule("\"gatewatch.detections\" = [\"sqli\", \"xss\"]", attack, true);
    check_rule("\"gatewatch.detections\" = \"scanner\"", attack, true);
    check_rule("\"gatewatch.detections\" = \"xss\"", attack, false);
    check_rule("\"gatewatch.detections|exists\" = true", attack, true);
    check_rule("\"gatewatch.detections\" = \"sqli\"", "GET /?q=O'Brien HTTP/1.1", false);
    let weak = "GET /?q=${jndi:dns://x} HTTP/1.1";
    check_rule("\"vulnerability.id\" = \"CVE-2021-44228\"", weak, true);
    check_rule("\"vulnerability.id|exists\" = true", attack, false);
}

#[test]
fn an_event_is_looked_at_when_it_is_asked_and_keeps_the_answer() {
    let batch = request("GET /.env HTTP/1.1");
    let event = batch.event(0);
    assert_eq!(None, event.row().signs.get());
    let signs = of(&event);
    assert!(signs.classes.has(Class::SensitivePath) && signs.classes.has(Class::Scanner));
    assert_eq!(Some(&signs), event.row().signs.get());
    assert_eq!(Some(&b"/.env"[..]), event.field(Field::Target), "the event stays what it is");
}

#[test]
fn what_proxies_log_all_day_is_no_odd_request_there() {
    let names = |batch: &EventBatch| -> Vec<&str> {
        of(&batch.event(0)).classes.iter().map(Class::name).collect()
    };
    let tunnel = "1795176000.123 90 192.0.2.7 TCP_TUNNEL/200 39 CONNECT example.org:443 - \
                  HIER_DIRECT/198.51.100.4 -";
    assert!(names(&read("squid", tunnel)).is_empty(), "{:?}", names(&read("squid", tunnel)));
    let absolute = "1795176000.123 90 192.0.2.7 TCP_MISS/200 39 GET http://example.org/a - \
                    HIER_DIRECT/198.51.100.4 text/html";
    assert!(names(&read("squid", absolute)).is_empty());
    assert_eq!(["scanner", "protocol"], names(&request("CONNECT example.org:443 HTTP/1.1"))[..]);
    let foreign = request("GET http://example.net/ HTTP/1.1");
    assert_eq!(["scanner", "protocol"], names(&foreign)[..]);
    assert_eq!(["scanner", "protocol"], names(&request("GET / HTTP/1.7"))[..]);
    assert_eq!(["scanner"], names(&request("GET / HTTP/2.0"))[..]);
}
