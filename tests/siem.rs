//! The commands about receivers and the store, from the outside.

mod support;

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};

use support::{Place, clf, json_lines, now, open_log};

const FOUND: Option<i32> = Some(1);
const UNAVAILABLE: Option<i32> = Some(69);

/// A place with `lines` lines in its log, read by one `run --once`; `more` is configuration.
fn read(lines: usize, more: &str) -> Place {
    let place = Place::new();
    let log = place.log("access.log");
    place.configure(&format!("[[source]]\nname = \"web\"\npath = {log:?}\n{more}"));
    let mut file = open_log(&log);
    for number in 0..lines {
        let time = clf(now());
        writeln!(
            file,
            "192.0.2.7 - - [{time}] \"GET /{number} HTTP/1.1\" 200 9 \"-\" \"curl/8\""
        )
        .expect("written");
    }
    place.run(&["--once"]).ends();
    place
}

/// An address on which nobody listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("tcp://{}", listener.local_addr().expect("an address"))
}

#[test]
fn status_tells_what_waits_and_why() {
    let address = closed_port();
    let place = read(
        7,
        &format!("[[sink]]\ntype = \"syslog\"\nname = \"siem\"\naddress = \"{address}\"\n"),
    );
    let (status, text, _) = place.ask(&["status"], &[]);
    assert_eq!(FOUND, status.code(), "{text}");
    assert!(text.contains("sink events (file): nothing waits"), "{text}");
    assert!(text.contains("sink siem (syslog): 7 events ("), "{text}");
    assert!(text.contains("last success: never"), "{text}");
    assert!(text.contains(&format!("cannot connect to {address}: ")), "{text}");
    let (_, json, _) = place.ask(&["status"], &["--output", "json"]);
    let sinks: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&"events".into(), &0.into()), (&sinks[0]["sink"], &sinks[0]["waiting_events"]));
    assert!(sinks[0]["last_success"].is_string() && sinks[0]["error"].is_null(), "{json}");
    assert_eq!((&7.into(), &"syslog".into()), (&sinks[1]["waiting_events"], &sinks[1]["type"]));
    assert!(sinks[1]["error"].is_string() && sinks[1]["last_success"].is_null(), "{json}");
}

#[test]
fn what_is_in_the_store_can_be_taken_out_and_checked() {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = receiver.local_addr().expect("an address");
    let place = read(
        5,
        &format!(
            "[[sink]]\ntype = \"syslog\"\nname = \"small\"\naddress = \"udp://{address}\"\n\
             max_message = \"100B\"\n"
        ),
    );
    let log = fs::read_to_string(place.log("access.log")).expect("the log");
    let (_, lines, _) = place.ask(&["store", "export"], &["lines"]);
    assert_eq!(log, lines);
    let (_, none, _) = place.ask(&["store", "export"], &["lines", "--source", "other"]);
    assert_eq!("", none);
    let (_, events, _) = place.ask(&["store", "export"], &["events", "--encoding", "ecs"]);
    let ids = |text: &str| -> Vec<String> {
        let event = |line| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        text.lines().map(|line| event(line)["event"]["id"].to_string()).collect()
    };
    let sunk: Vec<String> =
        json_lines(&place.events()).iter().map(|event| event["event"]["id"].to_string()).collect();
    assert_eq!(sunk, ids(&events), "the same events as the sink wrote");

    let (_, letters, _) = place.ask(&["store", "export"], &["dead-letters", "--sink", "small"]);
    let letters: Vec<serde_json::Value> =
        letters.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(5, letters.len());
    assert_eq!("longer than a message may be: 100 bytes", letters[0]["reason"]);
    assert_eq!(log.lines().next(), letters[0]["body"].as_str());
    let (_, text, _) = place.ask(&["status"], &[]);
    assert!(text.contains("5 dead letters; see them with: gatewatch store export"), "{text}");

    let (status, text, _) = place.ask(&["store", "inspect"], &[]);
    assert!(status.success() && text.contains("source web: 5 lines, "), "{text}");
    assert!(text.contains("sink:small: frame 1 at "), "{text}");
    let (status, text, _) = place.ask(&["store", "verify"], &[]);
    assert!(status.success() && text.contains("frames: 1 read, 0 damaged"), "{text}");
}

#[test]
fn a_preview_shows_what_would_be_sent() {
    let place = Place::new();
    place.configure(
        "[[sink]]\ntype = \"syslog\"\nname = \"siem\"\naddress = \"tcp://192.0.2.1:601\"\nencoding \
         = \"cef\"\n",
    );
    let log = place.path().join("one.log");
    let line = format!(
        "192.0.2.7 - - [{}] \"GET /a|b=c HTTP/1.1\" 404 9 \"-\" \"x\"\n",
        clf(now())
    );
    fs::write(&log, line.repeat(9)).expect("written");
    let log = log.to_str().expect("UTF-8");
    let (status, text, errors) = place.ask(&["siem", "preview"], &["--sink", "siem", "-n", "2", log]);
    assert!(status.success(), "{errors}");
    assert_eq!(2, text.lines().count(), "{text}");
    assert!(text.starts_with("<133>1 20") && text.contains(" access - CEF:0|gatewatch|"), "{text}");
    let (_, text, _) = place.ask(&["siem", "preview"], &["--encoding", "leef", log]);
    assert_eq!(5, text.lines().count());
    assert!(text.starts_with("LEEF:2.0|gatewatch|"), "{text}");
    let (status, _, errors) = place.ask(&["siem", "preview"], &["--sink", "other", log]);
    assert_eq!(Some(2), status.code());
    assert!(errors.contains("there is no sink `other`; there are events, siem"), "{errors}");
    let (status, _, errors) = place.ask(&["siem", "preview"], &[]);
    assert_eq!(Some(66), status.code());
    assert!(errors.contains("name a log file instead"), "{errors}");
}

#[test]
fn a_canary_goes_the_way_of_events_and_can_be_found() {
    let place = Place::new();
    let address = closed_port();
    place.configure(&format!(
        "[[sink]]\ntype = \"syslog\"\nname = \"siem\"\naddress = \"{address}\"\n"
    ));
    let (status, text, _) = place.ask(&["siem", "verify"], &[]);
    assert_eq!(UNAVAILABLE, status.code(), "{text}");
    assert!(text.contains(&format!("FAILED   delivered  cannot connect to {address}: ")), "{text}");
    let (status, text, _) = place.ask(&["siem", "verify"], &["--sink", "events"]);
    assert!(status.success(), "{text}");
    let id = text.split("grep ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an id");
    let events = place.sunk();
    assert_eq!((1, Some(id)), (events.len(), events[0]["event"]["id"].as_str()));
    let message = events[0]["message"].as_str().expect("a message");
    assert!(message.starts_with("gatewatch canary "), "{message}");
}
