//! HAProxy in front of an nginx: `httplog` with headers and the head of syslog, `httpslog`, CLF, and
//! a format of an administrator's own with more columns behind it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::support::{Place, Running};
use super::super::{free_port, peer, web};
use super::nginx::Nginx;
use super::{Fate, Kind, Request, Sent, Told};

/// The fronts: the name, how it logs, and what comes on top.
const FRONTS: &[(&str, &str, &str)] = &[
    (
        "stock",
        "format rfc3164",
        "option httplog\n    capture request header User-Agent len 64\n    capture request header \
         Referer len 64\n    capture request header Host len 64",
    ),
    ("secure", "format raw", "option httpslog"),
    ("clf", "len 16384 format raw", "option httplog clf"),
    (
        "odd",
        "format rfc5424",
        "log-format \"%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc \
         %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r %ID %[src_port]\"",
    ),
];

/// File descriptor of the first log; the shell opens them.
const FIRST: usize = 3;

/// The front at `ready` logs nothing, and is the last to listen.
fn write_config(place: &Place, origin: &str, ports: &[u16], ready: u16) {
    // Of two threads that log at the same time, HAProxy drops the line of one.
    let mut text = format!(
        "global\n    maxconn 100\n    nbthread 1\ndefaults\n    mode http\n    timeout client 30s\n    \
         timeout server 30s\n    timeout connect 30s\n    default_backend web\nbackend web\n    \
         server origin {origin}\n"
    );
    for (index, ((name, log, more), port)) in FRONTS.iter().zip(ports).enumerate() {
        let file = FIRST + index;
        text.push_str(&format!(
            "frontend {name}\n    bind 127.0.0.1:{port}\n    log fd@{file} {log} local0\n    {more}\n"
        ));
    }
    text.push_str(&format!("frontend ready\n    bind 127.0.0.1:{ready}\n"));
    fs::write(place.path().join("haproxy.cfg"), text).expect("haproxy.cfg is written");
}

/// An HAProxy whose log of each front is a file.
fn start(program: &Path, place: &Place) -> Running {
    let log = |(index, front): (usize, &(&str, &str, &str))| {
        format!(" {}>{:?}", FIRST + index, place.log(front.0))
    };
    let logs: String = FRONTS.iter().enumerate().map(log).collect();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec \"$0\" \"$@\"{logs}")).arg(program).args(["-db", "-f"]);
    Running::start(shell.arg(place.path().join("haproxy.cfg")).env("TZ", "UTC"))
}

/// HAProxy logs no names and says nothing about a request that it refuses; the rest it hands on.
fn fate(request: &Request, told: &mut Told) -> Fate {
    (told.user, told.agent, told.referrer) = (None, None, None);
    told.is_failure = false;
    match request.kind {
        Kind::Raw(_)
        | Kind::Line(
            "blanks" | "fields" | "absolute" | "CONNECT" | "non-ASCII" | "control" | "tab"
            | "braces",
        ) => {
            (told.method, told.target) = (None, None);
            Fate::Unmarked
        }
        // The mark was in the agent.
        Kind::Line("OPTIONS") => Fate::Unmarked,
        _ => Fate::Marked,
    }
}

/// The same where headers are in the log.
fn fate_with_headers(request: &Request, told: &mut Told) -> Fate {
    match (request.kind, fate(request, told)) {
        (Kind::Line("OPTIONS"), _) => Fate::Marked,
        (_, fate) => fate,
    }
}

#[test]
fn every_request_to_haproxy_is_one_right_event() {
    let (Some(haproxy), Some(nginx)) = (peer("haproxy"), peer("nginx")) else { return };
    let Some(openssl) = peer("openssl") else { return };
    let place = Place::new();
    let origin = Nginx::start(&nginx, &openssl, &place);
    let ports: Vec<u16> = FRONTS.iter().map(|_| free_port()).collect();
    // A probe of the others would be a line of their logs: `dontlognull` leaves out the request
    // that is but line ends too, or not, depending on whether its end comes with it.
    let ready = free_port();
    write_config(&place, &origin.address, &ports, ready);
    let mut server = start(&haproxy, &place);
    web::until_listening(&format!("127.0.0.1:{ready}"));
    let sent: Vec<Sent> = ports.iter().map(|port| Sent::to(&format!("127.0.0.1:{port}"))).collect();
    // It writes a line when the answer is out, and others when it ends.
    for ((name, ..), sent) in FRONTS.iter().zip(&sent) {
        sent.until_logged(&place.log(name), fate);
    }
    server.kill();
    for ((name, ..), sent) in FRONTS.iter().zip(&sent) {
        let log = place.log(name);
        if *name == "stock" {
            sent.check(&log, &[], fate_with_headers);
            sent.check(&log, &["--format", "haproxy"], fate_with_headers);
        } else {
            sent.check(&log, &[], fate);
        }
    }
}
