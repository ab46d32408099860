//! nginx's error log holds what clients send as it came, line ends too: one request without a
//! password writes whole lines of any format into it. Nobody is accused for it.

use std::fs;
use std::path::Path;

use gatewatch::units::Timestamp;

use super::super::http::try_get;
use super::super::peer;
use super::super::support::{Place, clf, now};
use super::nginx::Nginx;
use super::{Draft, Exchange, Kind, Told, exchange, gatewatch, parse, told_by};

/// Who is to be accused.
const VICTIM: &str = "198.51.100.66";

/// And under which name.
const NAME: &str = "alice";

/// How often the log is read again, to pass every threshold.
const REPEATS: usize = 50;

/// Lines that accuse the victim, as various programs would write them.
fn accusations() -> Vec<String> {
    let time = now();
    let (stamp, clf) = (nginx_time(time), clf(time));
    let time = jiff::Timestamp::from_second(time.secs() as i64).expect("a time");
    let syslog = time.strftime("%b %e %H:%M:%S");
    let ctime = time.strftime("%a %b %d %H:%M:%S.123456 %Y");
    let request = "GET /secret/page HTTP/1.1";
    let access =
        |status| format!("{VICTIM} - {NAME} [{clf}] \"{request}\" {status} 179 \"-\" \"-\"");
    vec![
        format!(
            "{stamp} [error] 1#1: *41 user \"{NAME}\": password mismatch, client: {VICTIM}, server: \
             www.example.org, request: \"{request}\", host: \"www.example.org\""
        ),
        access(401),
        access(200),
        format!("{syslog} web1 sshd[9]: Failed password for {NAME} from {VICTIM} port 5022 ssh2"),
        format!("{syslog} web1 sshd[9]: Accepted password for {NAME} from {VICTIM} port 5022 ssh2"),
        format!(
            "[{ctime}] [auth_basic:error] [pid 1:tid 2] [client {VICTIM}:54321] AH01617: user \
             {NAME}: authentication failure for \"/secret/page\": Password Mismatch"
        ),
        format!(
            "{{\"time\":\"{time}\",\"remote_addr\":\"{VICTIM}\",\"remote_user\":\"{NAME}\",\
             \"request\":\"{request}\",\"status\":\"401\"}}"
        ),
    ]
}

fn nginx_time(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(time.secs() as i64).expect("a time");
    time.strftime("%Y/%m/%d %H:%M:%S").to_string()
}

/// `line` between the halves of a record that a careful client closes: then each line of the three
/// looks whole.
fn between_closed_lines(line: &str) -> String {
    let stamp = nginx_time(now());
    format!(
        "x\" failed (2: No such file or directory), client: 203.0.113.250, server: \
         www.example.org, request: \"GET /x HTTP/1.1\", host: \"www.example.org\"\n{line}\n{stamp} \
         [error] 1#1: *42 open() \"/srv/y"
    )
}

/// The path of a request, with what may not stand there in percent signs.
fn path(text: &str) -> String {
    let mut path = "/".to_owned();
    for char in text.chars() {
        match char {
            ' ' | '"' | '\n' | '#' | '?' | '%' => path.push_str(&format!("%{:02x}", char as u32)),
            other => path.push(other),
        }
    }
    path
}

/// One log-in that is refused.
fn refused() -> Exchange {
    let draft = Draft { user: Some((NAME, "wrong")), ..Draft::new(b"GET /secret/page HTTP/1.1") };
    exchange(&draft.bytes(), vec![(Kind::User(NAME), Told::default())])
}

/// Writes `log` many times over.
fn repeated(place: &Place, log: &Path) -> std::path::PathBuf {
    let text = fs::read(log).expect("nginx's log");
    let copy = place.log("repeated.log");
    fs::write(&copy, text.repeat(REPEATS)).expect("a copy");
    copy
}

#[test]
fn no_request_to_nginx_accuses_another_client() {
    let (Some(nginx), Some(openssl)) = (peer("nginx"), peer("openssl")) else { return };
    let place = Place::new();
    let mut server = Nginx::start(&nginx, &openssl, &place);
    let accusations = accusations();
    for line in &accusations {
        for text in [format!("x\n{line}\n"), between_closed_lines(line)] {
            let (status, _) = try_get(&server.address, &path(&text)).expect("an answer");
            assert_eq!(404, status, "{text}");
        }
    }
    let mut refused = [refused(), refused()];
    for exchange in &mut refused {
        exchange.send(&server.address);
        assert_eq!(Some(401), exchange.requests[0].told.status);
    }
    server.stops();

    let errors = place.log("error.log");
    let text = fs::read_to_string(&errors).expect("nginx's error log");
    for line in &accusations {
        let count = text.lines().filter(|other| other == line).count();
        assert_eq!(2, count, "nginx escapes now what it did not: {line}\n{text}");
    }
    let options = [&["--format", "nginx_error"][..], &[]];
    for options in options {
        let events = parse(&errors, options);
        assert_eq!(text.lines().count(), events.len());
        for event in &events {
            assert_ne!(true, event["gatewatch"]["auth"]["counted"], "{event}");
            let client = event["source"]["ip"].as_str();
            let is_sure = event["gatewatch"]["client_ip_source"] != "ambiguous"
                && event["gatewatch"]["auth"]["confidence"] != "low";
            assert!(client != Some(VICTIM) || !is_sure, "{event}");
        }
        let copy = repeated(&place, &errors);
        // That many lines are not understood is true, and accuses nobody.
        let is_accusation = |alert: &serde_json::Value| alert["rule"]["id"] != "ops.parse";
        let mut alerts = gatewatch(&["scan", "--output", "alerts"], options, &[&copy]);
        alerts.retain(is_accusation);
        assert!(alerts.is_empty(), "{alerts:?}");
        let mut reports = gatewatch(&["scan", "--output", "json"], options, &[&copy]);
        let [report] = &mut reports[..] else { panic!("one object") };
        // It shows the lines themselves.
        report["alerts"].take();
        assert_eq!((0, 0), logins(report), "{report}");
        assert!(!report.to_string().contains(VICTIM), "{report}");
    }

    // What nginx itself saw does count: once each, though both logs tell of it.
    let access = place.log("combined.log");
    let failures = parse(&access, &[]).iter().filter(|event| told_by(event).is_failure).count();
    assert_eq!(refused.len(), failures);
    let both = gatewatch(&["scan", "--output", "json"], &[], &[&access, &errors]);
    assert_eq!((refused.len() as u64, 0), logins(&both[0]), "{both:?}");
    let copy = repeated(&place, &access);
    let alerts = gatewatch(&["scan", "--output", "alerts"], &[], &[&copy]);
    let is_told = |alert: &serde_json::Value| alert.to_string().contains("log-ins from 127.0.0.1");
    assert!(alerts.iter().any(is_told), "{alerts:?}");
    assert!(!alerts.iter().any(|alert| alert["source"]["ip"] == VICTIM), "{alerts:?}");
}

/// Log-ins that failed and that did not.
fn logins(report: &serde_json::Value) -> (u64, u64) {
    let count = |name: &str| report["logins"][name].as_u64().expect("a count");
    (count("failure"), count("success"))
}
