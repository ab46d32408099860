//! Hostile values in every encoding at real receivers: one line of a log is one record there, and each
//! value is read back as it was sent, or as its beginning where the record says that it was cut.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use gatewatch::engine::render::{ENCODINGS, Encoding};
use serde_json::Value;

use super::readback::{self, Sent};
use super::support::{Place, clf, json_lines, now, open_log, until};
use super::values::{self, Request};
use super::{kernel_drops, otlp, peer, rsyslog, syslog_ng};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Requests, in the logs of a place.
struct Sample {
    place: Place,
    requests: Vec<Request>,
}

impl Sample {
    /// Writes each request in both of nginx's forms, the long ones, too.
    fn write() -> Self {
        let place = Place::new();
        let requests = [values::requests(), values::long_requests()].concat();
        let time = clf(now());
        for (name, form) in [
            ("access.log", Request::combined as fn(&Request, &str) -> Vec<u8>),
            ("api.log", Request::json),
        ] {
            let lines: Vec<Vec<u8>> = requests.iter().map(|request| form(request, &time)).collect();
            open_log(&place.log(name)).write_all(&lines.concat()).expect("the log is written");
        }
        Self { place, requests }
    }

    fn count(&self) -> usize {
        2 * self.requests.len()
    }

    /// Runs gatewatch over the logs; answers with the requests by the ids of their events.
    fn run(&self, sinks: &str) -> BTreeMap<String, &Request> {
        let log = |name| self.place.log(name);
        self.place.configure(&format!(
            "[follow]\nmax_line_size = \"1MiB\"\n[[source]]\npath = {:?}\nformat = \"combined\"\n\
             [[source]]\npath = {:?}\nformat = \"json\"\n{sinks}",
            log("access.log"),
            log("api.log")
        ));
        let (status, _, errors) = self.place.ask(&["run"], &["--once"]);
        assert!(status.success(), "{errors}");
        let mut events: BTreeMap<(String, u64), Value> = BTreeMap::new();
        // What is hostile raises alerts; the receivers get none.
        let events_of_file = json_lines(&self.place.events()).into_iter();
        for event in events_of_file.filter(|event| event["event"]["kind"] == "event") {
            let path = event["log"]["file"]["path"].as_str().expect("a path").to_owned();
            let offset = event["log"]["offset"].as_u64().expect("an offset");
            events.insert((path, offset), event);
        }
        // By file and offset: the requests in their order, twice.
        let events =
            events.into_values().map(|event| event["event"]["id"].as_str().map(str::to_owned));
        let ids: Vec<String> = events.map(|id| id.expect("an id")).collect();
        assert_eq!(self.count(), ids.len());
        ids.into_iter().zip(self.requests.iter().cycle()).collect()
    }
}

/// What is being looked at, shown when a check fails.
struct Looking<'m>(&'m str);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in {}", self.0);
        }
    }
}

/// A record of this encoding is one of an event of `left`, which is taken out, with all its values.
fn check_record(encoding: Encoding, record: &str, left: &mut BTreeMap<String, &Request>) {
    let _looking = Looking(record);
    let id = id_of(encoding, record);
    let request = left.remove(&id).unwrap_or_else(|| panic!("{id} is forged, or there twice"));
    let Request { user, path, agent, referrer } = request;
    let target = [b"/", path.as_slice()].concat();
    let sent = Sent { user, target: &target, agent, referrer };
    readback::check(encoding, VERSION, record, &sent);
}

fn id_of(encoding: Encoding, record: &str) -> String {
    let mut fields = readback::fields(encoding, VERSION, record);
    let key = match encoding {
        Encoding::Cef => "externalId",
        Encoding::Leef => "eventId",
        Encoding::Gelf => "_event_id",
        Encoding::Text => "id",
        Encoding::Csv => "event_id",
        Encoding::OtlpJson => "log.record.uid",
        Encoding::Ocsf => "metadata.uid",
        Encoding::Ecs | Encoding::EcsCompact => "event.id",
    };
    fields.remove(key).unwrap_or_else(|| panic!("no {key}"))
}

/// A sink for each encoding in the place of `sink`; the program's name in the header tells them apart.
fn in_each_encoding(sink: &str) -> String {
    let of = |name: &str| {
        let sink = sink.replacen("name = \"", &format!("name = \"{name} "), 1);
        format!("{sink}app_name = \"{name}\"\nencoding = \"{name}\"\n")
    };
    ENCODINGS.iter().map(|entry| of(entry.name)).collect()
}

/// The messages that a receiver wrote, raw, one a line: each of `expected` once in each encoding.
fn check_messages(path: &Path, expected: &BTreeMap<String, &Request>, dropped: usize) {
    let mut left: BTreeMap<&str, BTreeMap<String, &Request>> =
        ENCODINGS.iter().map(|entry| (entry.name, expected.clone())).collect();
    let text = fs::read_to_string(path).expect("messages are UTF-8");
    for message in text.split_terminator('\n') {
        let looking = Looking(message);
        let parts: Vec<&str> = message.splitn(8, ' ').collect();
        let [head, _, host, name, _, id, data, body] = parts[..] else { panic!("no message") };
        assert!(head.starts_with('<') && head.ends_with(">1"));
        assert_eq!(("web1.example.org", "access", "-"), (host, id, data));
        drop(looking);
        let entry = ENCODINGS.iter().find(|entry| entry.name == name).expect("an encoding");
        check_record(entry.encoding, body, left.get_mut(name).expect("an encoding"));
    }
    let missing: usize = left.values().map(BTreeMap::len).sum();
    assert_eq!(dropped, missing, "{}: {left:?}", path.display());
}

fn lines_in(path: &Path) -> usize {
    fs::read(path).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count())
}

fn check_rsyslog(way: &str) {
    let Some(program) = peer("rsyslogd") else { return };
    let sample = Sample::write();
    let receiver = rsyslog::Receiver::new(program, sample.place.path(), &[way]);
    let Some(port) = receiver.port(way) else { return };
    let _rsyslog = receiver.start();
    let expected = sample.run(&in_each_encoding(&receiver.sinks()));
    let drops = || if way == "datagrams" { kernel_drops(port) as usize } else { 0 };
    let path = receiver.path(way);
    let all = ENCODINGS.len() * sample.count();
    until(way, || (all <= lines_in(&path) + drops()).then_some(()));
    check_messages(&path, &expected, drops());
}

fn check_syslog_ng(way: &str) {
    let Some(program) = peer("syslog-ng") else { return };
    let sample = Sample::write();
    let receiver = syslog_ng::Receiver::new(program, sample.place.path(), &[way]);
    let _syslog_ng = receiver.start();
    let expected = sample.run(&in_each_encoding(&receiver.sinks()));
    let path = receiver.path(way);
    let all = ENCODINGS.len() * sample.count();
    until(way, || (all <= lines_in(&path)).then_some(()));
    check_messages(&path, &expected, 0);
}

#[test]
fn rsyslog_reads_each_value_as_it_was_over_udp() {
    check_rsyslog("datagrams");
}

#[test]
fn rsyslog_reads_each_value_as_it_was_over_tcp_with_line_feeds() {
    check_rsyslog("lf");
}

#[test]
fn rsyslog_reads_each_value_as_it_was_over_tcp_with_octet_counting() {
    check_rsyslog("octets");
}

#[test]
fn rsyslog_reads_each_value_as_it_was_over_relp() {
    check_rsyslog("relp");
}

#[test]
fn syslog_ng_reads_each_value_as_it_was_over_tcp_with_line_feeds() {
    check_syslog_ng("lines");
}

#[test]
fn syslog_ng_reads_each_value_as_it_was_over_tcp_with_octet_counting() {
    check_syslog_ng("counted");
}

#[test]
fn rotel_hands_on_each_value_as_it_was() {
    let Some(program) = otlp::rotel() else { return };
    let sample = Sample::write();
    let Some(official) = otlp::Official::start(&sample.place) else { return };
    let receiver = otlp::Receiver::new(program, &sample.place);
    let _rotel = receiver.start(&[
        "otlp",
        "--otlp-exporter-protocol",
        "http",
        "--otlp-exporter-endpoint",
        &official.url("rotel"),
    ]);
    let protocols = ["http/protobuf", "http/json", "grpc"];
    let sinks = protocols.map(|protocol| receiver.sink(protocol, protocol, "alerts = false"));
    let expected = sample.run(&sinks.concat());
    let mut left = vec![expected; protocols.len()];
    for export in official.records("rotel", protocols.len() * sample.count()) {
        let record = export.to_string();
        let id = id_of(Encoding::OtlpJson, &record);
        let one = left.iter_mut().find(|left| left.contains_key(&id));
        let one = one.unwrap_or_else(|| panic!("{id} is forged, or there too often"));
        check_record(Encoding::OtlpJson, &record, one);
    }
    assert!(left.iter().all(BTreeMap::is_empty), "{left:?}");
}
