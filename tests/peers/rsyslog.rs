//! rsyslog: every event arrives, whole and once, in each framing; a receiver that was killed gets
//! what it missed.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::support::{Place, Running, clf, now, open_log, until};
use super::{free_port, peer};

/// The ways in: the sink's name and the rest of its configuration, without the address.
const WAYS: &[(&str, &str, &str)] = &[
    ("lf", "tcp", "framing = \"lf\""),
    ("octets", "tcp", "framing = \"octet_counting\""),
    ("datagrams", "udp", ""),
];

/// An rsyslog of our own: a port and a file for each of [`WAYS`].
struct Receiver {
    program: PathBuf,
    directory: PathBuf,
    ports: Vec<u16>,
}

impl Receiver {
    fn new(program: PathBuf, directory: &Path) -> Self {
        let ports = WAYS.iter().map(|_| free_port()).collect();
        let receiver = Self { program, directory: directory.to_owned(), ports };
        fs::create_dir(receiver.path("work")).expect("a directory for rsyslog");
        let mut text = format!(
            "global(workDirectory={:?} maxMessageSize=\"64k\")\n\
             module(load=\"imtcp\")\nmodule(load=\"imudp\")\n\
             template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n",
            receiver.path("work")
        );
        for ((name, transport, _), port) in WAYS.iter().zip(&receiver.ports) {
            let file = receiver.path(name);
            text.push_str(&format!(
                "input(type=\"im{transport}\" address=\"127.0.0.1\" port=\"{port}\" \
                 ruleset=\"{name}\")\n\
                 ruleset(name=\"{name}\") {{\n  action(type=\"omfile\" file={file:?} \
                 template=\"raw\")\n}}\n"
            ));
        }
        fs::write(receiver.path("rsyslog.conf"), text).expect("rsyslog.conf is written");
        receiver
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn start(&self) -> Running {
        let mut command = Command::new(&self.program);
        command.arg("-n").arg("-f").arg(self.path("rsyslog.conf"));
        let running = Running::start(command.arg("-i").arg(self.path("rsyslog.pid")));
        let open = |port: &u16| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
        let tcp = WAYS.iter().zip(&self.ports).filter(|(way, _)| way.1 == "tcp");
        let tcp: Vec<u16> = tcp.map(|(_, port)| *port).collect();
        until("rsyslog", || tcp.iter().all(open).then_some(()));
        // The datagrams' port is bound when the TCP ports are served: the inputs start together.
        running
    }

    fn sinks(&self, ways: &[&str]) -> String {
        let ways = WAYS.iter().zip(&self.ports).filter(|(way, _)| ways.contains(&way.0));
        let sink = |((name, transport, more), port): (&(&str, &str, &str), &u16)| {
            format!(
                "[[sink]]\ntype = \"syslog\"\nname = \"{name}\"\n\
                 address = \"{transport}://127.0.0.1:{port}\"\n{more}\n"
            )
        };
        ways.map(sink).collect()
    }

    /// How often each event arrived, by its id. Every message must be one.
    fn received(&self, way: &str) -> HashMap<String, u32> {
        let text = fs::read(self.path(way)).unwrap_or_default();
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut ids = HashMap::new();
        for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = std::str::from_utf8(line).expect("a message is UTF-8");
            *ids.entry(event_of(line)).or_default() += 1;
        }
        ids
    }
}

/// The id of the event in a message of RFC 5424.
#[track_caller]
fn event_of(message: &str) -> String {
    let parts: Vec<&str> = message.splitn(8, ' ').collect();
    let [head, time, host, program, pid, _, structured, body] = parts[..] else {
        panic!("no message: {message:?}");
    };
    let level = head.strip_prefix('<').and_then(|head| head.strip_suffix(">1"));
    assert!(level.is_some_and(|level| level.parse::<u8>().is_ok()), "{message:?}");
    assert!(time.ends_with('Z') && time.len() == 24, "{message:?}");
    assert_eq!(("web1.example.org", "gatewatch", "-"), (host, program, structured), "{message:?}");
    assert!(pid.parse::<u32>().is_ok(), "{message:?}");
    assert!(!body.contains(char::is_control), "{message:?}");
    let event: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body:?}"));
    event["event"]["id"].as_str().unwrap_or_else(|| panic!("no id: {body}")).to_owned()
}

/// Lines that would like to be more than one message, or less.
fn hostile_lines() -> Vec<Vec<u8>> {
    let time = clf(now());
    let long = "x".repeat(8 << 10);
    let requests: Vec<Vec<u8>> = vec![
        b"GET /a\x01\x02\x1b[31m\x7f HTTP/1.1".to_vec(),
        "GET /\u{e9}\u{20ac}\u{1f512}?\u{2028}=\u{85} HTTP/1.1".into(),
        b"GET /\xff\xfe\xc3( HTTP/1.1".to_vec(),
        format!("GET /{long}?{long} HTTP/1.1").into(),
        br#"GET /]]>"\"\\x22 HTTP/1.1"#.to_vec(),
        b"GET /\r<34>1 2026-11-20T00:00:00Z forged su - - - x HTTP/1.1".to_vec(),
        b"\x16\x03\x01\x02\x00\x01".to_vec(),
        b"17 <34>1 - - - - - -".to_vec(),
        b"%timegenerated% %msg:::drop-last-lf% {{}} $!all".to_vec(),
    ];
    let line = |request: &Vec<u8>| {
        let head = format!("192.0.2.9 - - [{time}] \"");
        [head.as_bytes(), request, b"\" 400 9 \"-\" \"]\\\" \xf0\x9f\n".as_slice()].concat()
    };
    let mut lines: Vec<Vec<u8>> = requests.iter().map(line).collect();
    lines.push(b"no request at all \x00\x01 ]\n".to_vec());
    lines.push(b"\"\"\"\"\n".to_vec());
    lines
}

fn write(place: &Place, lines: &[Vec<u8>]) {
    let mut log = open_log(&place.log("access.log"));
    log.write_all(&lines.concat()).expect("the log is written");
}

fn plain_lines(count: usize) -> Vec<Vec<u8>> {
    let time = clf(now());
    let line = |n| format!("192.0.2.8 - - [{time}] \"GET /{n} HTTP/1.1\" 200 9 \"-\" \"-\"\n");
    (0..count).map(|n| line(n).into_bytes()).collect()
}

fn configure(place: &Place, sinks: &str) {
    let log = place.log("access.log");
    let source = format!("[[source]]\npath = {log:?}\nformat = \"combined\"\n");
    place.configure(&(source + sinks));
}

/// The ids of the events in the file sink, once there are `count`.
fn ids_of(place: &Place, count: usize) -> Vec<String> {
    place.until_delivered(count as u64);
    let id = |event: Value| event["event"]["id"].as_str().expect("an id").to_owned();
    let ids: Vec<String> = place.sunk().into_iter().map(id).collect();
    assert_eq!(count, ids.len());
    ids
}

/// All `lines` arrive once by each of `ways`.
fn check(ways: &[&str], lines: &[Vec<u8>]) {
    let Some(program) = peer("rsyslogd") else { return };
    let place = Place::new();
    let receiver = Receiver::new(program, place.path());
    let _rsyslog = receiver.start();
    configure(&place, &receiver.sinks(ways));
    write(&place, lines);
    let mut daemon = place.run(&[]);
    let ids = ids_of(&place, lines.len());
    for way in ways {
        until(way, || (ids.len() <= receiver.received(way).len()).then_some(()));
        let received = receiver.received(way);
        assert!(ids.iter().all(|id| received.get(id) == Some(&1)), "{way}: {received:?}");
        assert_eq!(ids.len(), received.len(), "{way}");
    }
    assert!(daemon.stops().success(), "{}", daemon.words());
}

#[test]
fn every_event_reaches_rsyslog_once_whatever_is_in_it() {
    check(&["lf", "octets"], &[hostile_lines(), plain_lines(300), hostile_lines()].concat());
}

#[test]
fn datagrams_carry_the_same_events() {
    // No more than the receiver's buffer holds: what does not fit is lost without a word.
    check(&["datagrams"], &hostile_lines());
}

#[test]
fn an_rsyslog_that_was_killed_gets_what_it_missed() {
    let Some(program) = peer("rsyslogd") else { return };
    let place = Place::new();
    let receiver = Receiver::new(program, place.path());
    let mut rsyslog = receiver.start();
    let ways = ["lf", "octets"];
    configure(&place, &receiver.sinks(&ways));
    write(&place, &plain_lines(200));
    let mut daemon = place.run(&[]);
    // Plain TCP tells nobody what a program has read: what it had taken and not written when it
    // was killed is gone. So it is killed when it has written everything.
    let first = ids_of(&place, 200);
    for way in ways {
        until(way, || (first.len() <= receiver.received(way).len()).then_some(()));
    }
    rsyslog.kill();
    write(&place, &plain_lines(150));
    daemon.says("events wait in the store");
    write(&place, &plain_lines(50));
    let _rsyslog = receiver.start();
    let all = ids_of(&place, 400);
    for way in ways {
        until(way, || (all.len() <= receiver.received(way).len()).then_some(()));
        let received = receiver.received(way);
        assert!(all.iter().all(|id| received.contains_key(id)), "{way}");
    }
    assert!(daemon.stops().success(), "{}", daemon.words());
}
