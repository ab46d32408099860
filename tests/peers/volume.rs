//! Many events of several sources at real receivers, a route each: what arrives is what the file sink
//! wrote, byte by byte and in its order, and every line of the logs is in it once.
//!
//! `GATEWATCH_EVENTS=1000000 cargo nextest run --test peers volume` raises the number.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::support::{PATIENCE, Place, clf, now, until};
use super::{kernel_drops, otlp, peer, rsyslog, syslog_ng, values};
use gatewatch::units::Timestamp;

/// Lines of all sources together, unless `GATEWATCH_EVENTS` says another number.
const EVENTS: u64 = 20_000;

/// The logs, and their formats.
const SOURCES: [(&str, &str); 3] =
    [("access.log", "combined"), ("api.log", "json"), ("auth.log", "auth")];

/// What a sink gets besides its address: room for the longest event, so that none is shortened.
const WHOLE: &str = "max_message = \"60000B\"\n";

fn events() -> u64 {
    let Some(given) = std::env::var_os("GATEWATCH_EVENTS") else { return EVENTS };
    let number = given.to_str().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("GATEWATCH_EVENTS is no number: {}", given.display()))
}

/// Logs that are there before the run, and how long their lines are.
struct Logs {
    place: Place,
    lengths: [Vec<u32>; SOURCES.len()],
}

impl Logs {
    /// Writes `count` lines, no two alike, every fiftieth with something hostile in it.
    fn write(count: u64) -> Self {
        let place = Place::new();
        let mut files =
            SOURCES.map(|(name, _)| BufWriter::new(File::create(place.log(name)).expect("a log")));
        let mut lengths = [const { Vec::new() }; SOURCES.len()];
        let mut write = |source: usize, line: &[u8]| {
            files[source].write_all(line).expect("the log is written");
            lengths[source].push(line.len() as u32);
        };
        let odd = odd_lines();
        for line in &odd {
            write(0, line);
        }
        let hostile = values::requests();
        let start = now().secs() - count / 1000;
        for number in 0..count.saturating_sub(odd.len() as u64) {
            let time = Timestamp::from_secs(start + number / 1000);
            let request = match number % 50 {
                7 => &hostile[(number / 50) as usize % hostile.len()],
                _ => &values::Request::default(),
            };
            // The sources take turns, in runs of different lengths.
            match number % 11 {
                0..6 => write(0, &request.numbered(number).combined(&clf(time))),
                6..9 => write(1, &request.numbered(number).json(&clf(time))),
                _ => write(2, &auth_line(number, time)),
            }
        }
        for mut file in files {
            file.flush().expect("the log is written");
        }
        Self { place, lengths }
    }

    /// Writes the configuration: the logs, a file that keeps everything, and `sinks`.
    fn configure(&self, sinks: &str) {
        let log = |name: &str| self.place.log(name);
        let sources = SOURCES.map(|(name, format)| {
            format!(
                "[[source]]\nname = {name:?}\npath = {:?}\nformat = {format:?}\nsite = {name:?}\n",
                log(name)
            )
        });
        self.place.configure_bare(&format!(
            "{}[[sink]]\ntype = \"file\"\nname = \"events\"\npath = {:?}\nmax_size = \"100GiB\"\n\
             daily = false\nalerts = false\n{sinks}",
            sources.concat(),
            self.place.events()
        ));
    }

    /// Lines of all logs.
    fn count(&self) -> u64 {
        self.lengths.iter().map(|lines| lines.len() as u64).sum()
    }

    /// Runs gatewatch over the logs, until all sinks have everything; answers with its process id.
    fn run(&self) -> i32 {
        let mut run = self.place.run(&["--once"]);
        let pid = run.pid().as_raw_nonzero().get();
        let limit = PATIENCE + Duration::from_millis(self.count());
        assert!(run.ends_within(limit), "it does not end: {}", run.words());
        assert!(run.ends().success(), "{}", run.words());
        pid
    }
}

impl values::Request {
    fn numbered(&self, number: u64) -> Self {
        let mut request = self.clone();
        request.path.extend_from_slice(format!("/{number}").as_bytes());
        request
    }
}

/// What somebody who guesses passwords leaves in the log of sshd.
fn auth_line(number: u64, time: Timestamp) -> Vec<u8> {
    let time = jiff::Timestamp::from_second(time.secs() as i64).expect("a time");
    let (time, pid) = (time.strftime("%b %e %H:%M:%S"), 1000 + number);
    let user = match number % 50 {
        7 => "x from 203.0.113.99 port 22 ssh2",
        _ => "guest",
    };
    format!(
        "{time} web1 sshd[{pid}]: Failed password for invalid user {user}{number} from 192.0.2.8 \
         port 40000 ssh2\n"
    )
    .into_bytes()
}

/// Lines that no server writes, or none that is well: long ones, raw controls, parts of messages.
fn odd_lines() -> Vec<Vec<u8>> {
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

/// The lines of a file that somebody is still writing.
struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
}

impl Lines {
    fn of(path: &Path) -> Self {
        let file = until("the first event", || File::open(path).ok());
        Self { file: BufReader::new(file), line: Vec::new() }
    }

    /// The next line without its end, if there is a whole one.
    fn next(&mut self) -> Option<&[u8]> {
        if self.line.last() == Some(&b'\n') {
            self.line.clear();
        }
        self.file.read_until(b'\n', &mut self.line).expect("the file can be read");
        self.line.strip_suffix(b"\n")
    }

    /// The next line, once it is there.
    #[track_caller]
    fn wait(&mut self, what: &str) -> Vec<u8> {
        until(what, || self.next().map(<[u8]>::to_vec))
    }
}

/// What this needs of an event.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "@timestamp")]
    time: String,
    event: Inner,
    log: Log,
}

#[derive(Deserialize)]
struct Inner {
    id: String,
    kind: String,
    severity: u8,
    dataset: String,
}

#[derive(Deserialize)]
struct Log {
    file: LogFile,
    offset: u64,
}

#[derive(Deserialize)]
struct LogFile {
    path: PathBuf,
}

/// What the file sink wrote: every line of each log, once and in order.
struct Truth<'l> {
    logs: &'l Logs,
    lines: Lines,
    /// Number of the next line of each log, and where it begins.
    next: [(usize, u64); SOURCES.len()],
    ids: HashSet<String>,
}

impl<'l> Truth<'l> {
    fn of(logs: &'l Logs) -> Self {
        let lines = Lines::of(&logs.place.events());
        Self { logs, lines, next: Default::default(), ids: HashSet::new() }
    }

    /// The next event, as it was written; nothing when each line of the logs was there.
    fn next(&mut self) -> Option<(usize, Event, Vec<u8>)> {
        let Some(line) = self.lines.next().map(<[u8]>::to_vec) else {
            let lines = self.logs.lengths.each_ref().map(Vec::len);
            assert_eq!(lines, self.next.map(|(number, _)| number), "lines of each log");
            return None;
        };
        let event: Event = serde_json::from_slice(&line)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&line)));
        let name = event.log.file.path.file_name().and_then(|name| name.to_str());
        let source = SOURCES.iter().position(|(known, _)| name == Some(known)).expect("a source");
        let (number, offset) = &mut self.next[source];
        assert_eq!(*offset, event.log.offset, "line {number} of {name:?}");
        *offset += u64::from(self.logs.lengths[source][*number]);
        *number += 1;
        assert!(self.ids.insert(event.event.id.clone()), "{} is there twice", event.event.id);
        Some((source, event, line))
    }
}

/// What stands before an event.
#[derive(Clone, Copy)]
enum Header {
    Rfc5424,
    Rfc3164,
}

impl Header {
    /// The header of RFC 5424 or RFC 3164 that belongs to `event`, from the standards' own words.
    fn of(self, event: &Event, pid: i32) -> String {
        let severity = match event.event.severity {
            1 => 6,
            10 => 5,
            21 => 4,
            47 => 3,
            other => panic!("no line here is that bad: {other}"),
        };
        let (priority, time) = (16 * 8 + severity, &event.time);
        let id = match (event.event.kind.as_str(), event.event.dataset.as_str()) {
            ("pipeline_error", _) => "parse_error",
            (_, "system.auth") => "auth",
            _ => "access",
        };
        match self {
            Self::Rfc5424 => {
                format!("<{priority}>1 {time} web1.example.org gatewatch {pid} {id} - ")
            }
            Self::Rfc3164 => {
                let time: jiff::Timestamp = time.parse().expect("a time");
                let time = time.strftime("%b %e %H:%M:%S");
                format!("<{priority}>{time} web1.example.org gatewatch[{pid}]: ")
            }
        }
    }
}

/// Whatever came over this way is what the file sink wrote, behind a header.
///
/// A datagram (`datagrams` is the receiver's port) is never acknowledged: who sent it cannot know what
/// became of it. What may be claimed, and is checked: each comes at most once, whole and in order, and
/// those that do not come were dropped by the kernel of the receiver, which counts them.
fn check_messages(
    name: &str,
    logs: &Logs,
    (header, pid): (Header, i32),
    output: &Path,
    datagrams: Option<u16>,
) {
    let drops = datagrams.map_or(0, |port| {
        let (mut lines, mut came) = (Lines::of(output), 0);
        until("every datagram, or its loss", || {
            while lines.next().is_some() {
                came += 1;
            }
            let drops = kernel_drops(port);
            (logs.count() <= came + drops).then_some(drops)
        })
    });
    let (mut truth, mut arrived) = (Truth::of(logs), Lines::of(output));
    let (mut same, mut missing) = (0, 0);
    let mut message = None;
    while let Some((_, event, body)) = truth.next() {
        let expected = [header.of(&event, pid).into_bytes(), body].concat();
        if message.is_none() {
            message = match datagrams {
                None => Some(arrived.wait(name)),
                Some(_) => arrived.next().map(<[u8]>::to_vec),
            };
        }
        if message.as_ref() == Some(&expected) {
            (same, message) = (same + 1, None);
            continue;
        }
        missing += 1;
        let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let found = message.as_deref().map(shown);
        let expected = shown(&expected);
        assert!(missing <= drops, "{name}, number {same}:\n{found:?}\ninstead of\n{expected}");
    }
    assert_eq!(drops, missing, "{name}: datagrams that the kernel dropped");
    assert_eq!(None, message.as_deref().or_else(|| arrived.next()), "{name}: more than was sent");
    eprintln!("{name}: {} sent, {same} came byte by byte, {drops} dropped", logs.count());
}

/// A collector prints each record that it got; it was told of them in the order of each log.
fn check_records(name: &str, logs: &Logs, output: &Path) {
    let mut truth = Truth::of(logs);
    let mut expected: HashMap<String, (usize, u64)> = HashMap::new();
    let mut numbers = [0; SOURCES.len()];
    while let Some((source, event, _)) = truth.next() {
        expected.insert(event.event.id, (source, numbers[source]));
        numbers[source] += 1;
    }
    let (mut lines, mut next) = (Lines::of(output), [0; SOURCES.len()]);
    while !expected.is_empty() {
        let line = lines.wait(name);
        let Some(id) = otlp::id_of(&String::from_utf8_lossy(&line)) else { continue };
        let (source, number) = expected.remove(&id).unwrap_or_else(|| panic!("{name}: {id} again"));
        assert_eq!(next[source], number, "{name}: a record of {} out of order", SOURCES[source].0);
        next[source] += 1;
    }
    let more = std::iter::from_fn(|| lines.next().map(<[u8]>::to_vec));
    let more: Vec<String> =
        more.filter_map(|line| otlp::id_of(&String::from_utf8_lossy(&line))).collect();
    assert!(more.is_empty(), "{name}: more than was sent: {more:?}");
    eprintln!("{name}: {} sent, each came once, in the order of its log", logs.count());
}

fn check_rsyslog(way: &str) {
    let Some(program) = peer("rsyslogd") else { return };
    let logs = Logs::write(events());
    let receiver = rsyslog::Receiver::new(program, logs.place.path(), &[way]);
    let Some(port) = receiver.port(way) else { return };
    let mut rsyslog = receiver.start();
    logs.configure(&(receiver.sinks() + WHOLE));
    let pid = logs.run();
    let datagrams = (way == "datagrams").then_some(port);
    let output = receiver.path(way);
    check_messages(&format!("rsyslog {way}"), &logs, (Header::Rfc5424, pid), &output, datagrams);
    rsyslog.stops();
}

fn check_syslog_ng(way: &str, header: Header) {
    let Some(program) = peer("syslog-ng") else { return };
    let logs = Logs::write(events());
    let receiver = syslog_ng::Receiver::new(program, logs.place.path(), &[way]);
    let _syslog_ng = receiver.start();
    logs.configure(&(receiver.sinks() + WHOLE));
    let pid = logs.run();
    check_messages(&format!("syslog-ng {way}"), &logs, (header, pid), &receiver.path(way), None);
}

fn check_rotel(protocol: &str) {
    let Some(program) = otlp::rotel() else { return };
    let logs = Logs::write(events());
    let receiver = otlp::Receiver::new(program, &logs.place);
    let _rotel = receiver.start(&[]);
    // One request at a time: those that are under way together may overtake each other.
    logs.configure(&receiver.sink("rotel", protocol, "in_flight = 1\nalerts = false"));
    logs.run();
    check_records(&format!("rotel {protocol}"), &logs, &receiver.output);
}

#[test]
fn rsyslog_gets_every_event_over_udp_but_those_its_kernel_dropped() {
    check_rsyslog("datagrams");
}

#[test]
fn rsyslog_gets_every_event_over_tcp_with_octet_counting() {
    check_rsyslog("octets");
}

#[test]
fn rsyslog_gets_every_event_over_tcp_with_line_feeds() {
    check_rsyslog("lf");
}

#[test]
fn rsyslog_gets_every_event_over_tls_with_a_certificate() {
    check_rsyslog("tls");
}

#[test]
fn rsyslog_gets_every_event_over_relp() {
    check_rsyslog("relp");
}

#[test]
fn syslog_ng_gets_every_event_over_tcp_with_octet_counting() {
    check_syslog_ng("counted", Header::Rfc5424);
}

#[test]
fn syslog_ng_gets_every_event_over_tcp_with_line_feeds() {
    check_syslog_ng("lines", Header::Rfc5424);
}

#[test]
fn syslog_ng_gets_every_event_in_the_old_form() {
    check_syslog_ng("old", Header::Rfc3164);
}

#[test]
fn syslog_ng_gets_every_event_over_tls_with_a_certificate() {
    check_syslog_ng("tls", Header::Rfc5424);
}

#[test]
fn rotel_gets_every_event_over_http_in_protobuf() {
    check_rotel("http/protobuf");
}

#[test]
fn rotel_gets_every_event_over_http_in_json() {
    check_rotel("http/json");
}

#[test]
fn rotel_gets_every_event_over_grpc() {
    check_rotel("grpc");
}
