//! Receivers of OTLP that are not ours. rotel, a collector, over each way: one that was killed gets what
//! it missed (what it gets of many events is in `volume`). And the OpenTelemetry project's own schema,
//! in Python, which decodes what we send to what our other encodings say.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::rsyslog::{configure, ids_of, plain_lines, write};
use super::support::{Place, Running, clf, json_lines, now, open_log, until};
use super::{free_port, peer, script, values};

/// How requests travel, and more settings.
const WAYS: &[(&str, &str)] = &[
    ("http/protobuf", ""),
    ("http/protobuf", "compress = false\nin_flight = 1\nmax_records = 7"),
    ("http/json", "keep_original = true"),
    ("grpc", ""),
    ("grpc", "compress = false\nin_flight = 8\nmax_records = 50"),
];

/// rotel, which there is for one kind of machine only.
pub(crate) fn rotel() -> Option<PathBuf> {
    if cfg!(target_arch = "x86_64") { peer("rotel") } else { None }
}

pub(crate) struct Receiver {
    program: PathBuf,
    /// What it has got, printed.
    pub(crate) output: PathBuf,
    /// Of gRPC and of HTTP.
    ports: [u16; 2],
}

impl Receiver {
    pub(crate) fn new(program: PathBuf, place: &Place) -> Self {
        let output = place.path().join("rotel.log");
        Self { program, output, ports: [free_port(), free_port()] }
    }

    /// Starts it: whatever it takes, it prints, and hands on to the `exporter` of these arguments.
    pub(crate) fn start(&self, exporter: &[&str]) -> Running {
        // Through a shell, because the output of a program is thrown away here otherwise.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" >>\"$OUTPUT\""]).arg(&self.program);
        command.env("OUTPUT", &self.output).args(["start", "--exporter"]);
        command.args(if exporter.is_empty() { &["blackhole"] } else { exporter });
        command.args(["--debug-log", "logs", "--debug-log-verbosity", "detailed"]);
        let addresses = self.ports.map(|port| format!("127.0.0.1:{port}"));
        command.args(["--otlp-grpc-endpoint", &addresses[0]]);
        command.args(["--otlp-http-endpoint", &addresses[1]]);
        let running = Running::start(&mut command);
        let open = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
        until("rotel", || self.ports.iter().all(open).then_some(()));
        running
    }

    /// A sink that sends to it.
    pub(crate) fn sink(&self, name: &str, protocol: &str, more: &str) -> String {
        let port = self.ports[usize::from(protocol != "grpc")];
        format!(
            "[[sink]]\ntype = \"otlp\"\nname = \"{name}\"\nprotocol = \"{protocol}\"\n\
             url = \"http://127.0.0.1:{port}\"\n{more}\n"
        )
    }

    /// How often each event arrived, over all ways, by its id.
    fn received(&self) -> HashMap<String, usize> {
        let text = fs::read(&self.output).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut ids = HashMap::new();
        for id in text.lines().filter_map(id_of) {
            *ids.entry(id).or_default() += 1;
        }
        ids
    }
}

/// The id of an event, where rotel prints it.
pub(crate) fn id_of(line: &str) -> Option<String> {
    let id = line.trim_start().strip_prefix("-> log.record.uid: Str(")?;
    id.strip_suffix(')').map(str::to_owned)
}

#[test]
fn a_rotel_that_was_killed_gets_what_it_missed() {
    let Some(program) = rotel() else { return };
    let place = Place::new();
    let receiver = Receiver::new(program, &place);
    let mut rotel = receiver.start(&[]);
    let sinks = WAYS.iter().enumerate();
    let sinks = sinks.map(|(n, (protocol, more))| receiver.sink(&format!("{n}"), protocol, more));
    configure(&place, &sinks.collect::<String>());
    write(&place, &plain_lines(700));
    let mut daemon = place.run(&[]);
    let first = ids_of(&place, 700);
    let complete = |ids: &[String]| {
        let received = receiver.received();
        let whole = ids.iter().all(|id| received.get(id).is_some_and(|n| WAYS.len() <= *n));
        whole.then_some(received)
    };
    let received = until("every event by each way", || complete(&first));
    assert!(first.iter().all(|id| received[id] == WAYS.len()), "{received:?}");

    rotel.kill();
    write(&place, &plain_lines(200));
    daemon.says("events wait in the store");
    let _rotel = receiver.start(&[]);
    let all = ids_of(&place, 900);
    until("what it missed", || complete(&all));
    assert!(daemon.stops().success(), "{}", daemon.words());
}

/// A receiver that decodes with the OpenTelemetry project's own schema; each way has a file of exports of
/// one record.
pub(crate) struct Official {
    port: u16,
    folder: PathBuf,
    /// Killed with this value.
    _running: Running,
}

impl Official {
    /// Starts it; nothing when the test is to be skipped.
    pub(crate) fn start(place: &Place) -> Option<Self> {
        let python = peer("otlp-python")?;
        let (port, folder) = (free_port(), place.path().join("official"));
        fs::create_dir(&folder).expect("a folder for records");
        let mut command = Command::new(python);
        command.arg(script("otlp_server.py")).arg("--port").arg(port.to_string());
        let mut running = Running::start(command.arg("--folder").arg(&folder));
        running.says("ready");
        Some(Self { port, folder, _running: running })
    }

    /// Where the records of `way` are to be sent.
    pub(crate) fn url(&self, way: &str) -> String {
        format!("http://127.0.0.1:{}/{way}", self.port)
    }

    /// The records of `way`, once there are `count`.
    pub(crate) fn records(&self, way: &str, count: usize) -> Vec<Value> {
        let records = || Some(json_lines(&self.folder.join(way))).filter(|all| count <= all.len());
        let records = until(way, records);
        assert_eq!(count, records.len(), "{way}");
        records
    }
}

/// The one record of an export.
fn record_of(export: &Value) -> &Value {
    &export["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
}

/// An attribute of a record, or of a resource.
fn attribute<'v>(holder: &'v Value, key: &str) -> Option<&'v Value> {
    let attributes = holder["attributes"].as_array()?;
    attributes.iter().find(|attribute| attribute["key"] == key).map(|found| &found["value"])
}

/// An attribute's value as text; several of a list.
fn texts(value: &Value) -> Vec<String> {
    let (kind, inner) = value.as_object().and_then(|kinds| kinds.iter().next()).expect("a kind");
    match (kind.as_str(), inner) {
        ("arrayValue", list) => {
            list["values"].as_array().expect("a list").iter().flat_map(texts).collect()
        }
        (_, Value::String(text)) => vec![text.clone()],
        (_, other) => vec![other.to_string()],
    }
}

/// A value of an ECS event as text; several of a list.
fn ecs<'v>(event: &'v Value, name: &str) -> Vec<String> {
    let found = name.split('.').try_fold(event, |at, key| at.get(key));
    let text = |value: &'v Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match found {
        None => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(text).collect(),
        Some(value) => vec![text(value)],
    }
}

/// What the table of encodings does not say: attributes of records that take a second name of ECS.
const ALSO: [(&str, &str); 2] =
    [("gatewatch.auth.outcome", "event.outcome"), ("server.address", "url.domain")];

/// Attributes that a record goes without where others of it say the same: path and query, the client,
/// who is named, the rule, the outcome of what is no log-in.
const SAID_BY_OTHERS: [&str; 6] = [
    "gatewatch.auth.outcome",
    "url.original",
    "network.peer.address",
    "gatewatch.alert.addresses",
    "gatewatch.alert.users",
    "gatewatch.code",
];

/// Attributes of records, each with the names of the same thing in ECS: last and first column of the
/// published table.
fn names() -> BTreeMap<String, Vec<String>> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/encodings.md");
    let page = fs::read_to_string(page).expect("the page of encodings");
    let name = |cell: &str| {
        cell.trim().strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).map(str::to_owned)
    };
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        if let [ecs, .., otlp] = cells[..]
            && cells.len() == 7
            && let Some((ecs, otlp)) = name(ecs).zip(name(otlp))
        {
            names.entry(otlp).or_default().push(ecs);
        }
    }
    assert!(40 < names.len(), "the table has {} attributes", names.len());
    for (key, also) in ALSO {
        names.entry(key.to_owned()).or_default().push(also.to_owned());
    }
    names
}

/// A record says what the event in ECS says, field by field.
fn check_same(event: &Value, export: &Value, names: &BTreeMap<String, Vec<String>>) {
    let record = record_of(export);
    let nanoseconds = |name: &str| {
        let time: jiff::Timestamp = ecs(event, name)[0].parse().expect("a time");
        time.as_nanosecond().to_string()
    };
    assert_eq!(nanoseconds("@timestamp"), record["timeUnixNano"]);
    assert_eq!(ecs(event, "message"), texts(&record["body"]), "{event}");
    let number = match (event["event"]["kind"].as_str(), event["event"]["severity"].as_u64()) {
        (Some("alert"), Some(47)) => 14,
        (Some("alert"), Some(73)) => 17,
        (_, Some(1)) => 9,
        (_, Some(10)) => 10,
        (_, Some(21)) => 13,
        (_, Some(47)) => 17,
        _ => panic!("a severity that has no number here: {event}"),
    };
    assert_eq!(number, record["severityNumber"], "{event}");
    let resource = &export["resourceLogs"][0]["resource"];
    for name in ["host.name", "service.name"] {
        let told = attribute(resource, name).map_or_else(Vec::new, texts);
        // An alert in ECS names neither; a resource has to.
        let expected = Some(ecs(event, name)).filter(|texts| !texts.is_empty());
        assert_eq!(expected.as_ref().unwrap_or(&told), &told, "{name}: {export}");
        assert_eq!(1, told.len(), "{name}: {export}");
    }
    for (key, names) in names {
        let values = names.iter().map(|name| ecs(event, name));
        let expected: Vec<Vec<String>> = values.filter(|texts| !texts.is_empty()).collect();
        let is_said = match attribute(record, key).map(texts) {
            // Of an alert's lists ECS has all, a record the first, and the users in one text.
            Some(told) => expected
                .iter()
                .any(|texts| *texts == told || told == [texts.join(",")] || told == texts[..1]),
            None => expected.is_empty() || SAID_BY_OTHERS.contains(&key.as_str()),
        };
        assert!(is_said, "{key}, for {expected:?} in\n{event}\n{export}");
    }
}

/// An error log of nginx, log-ins of sshd that raise an alert, and requests with anything in them.
fn write_logs(place: &Place) -> String {
    let write = |name: &str, lines: Vec<Vec<u8>>| {
        open_log(&place.log(name)).write_all(&lines.concat()).expect("the log is written");
    };
    let time = clf(now());
    let requests = values::requests();
    write("access.log", requests.iter().map(|request| request.combined(&time)).collect());
    let traced = "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"status\"";
    let json = requests.iter().map(|request| {
        let line = request.json(&time);
        let at = line.windows(8).rposition(|part| part == b"\"status\"").expect("a status");
        [&line[..at], traced.as_bytes(), &line[at + 8..]].concat()
    });
    write("api.log", json.collect());
    let moment = jiff::Timestamp::from_second(now().secs() as i64).expect("a time");
    let failed = |number: u32| {
        let time = moment.strftime("%b %e %H:%M:%S");
        format!(
            "{time} web1 sshd[{number}]: Failed password for bob from 192.0.2.66 port {number} ssh2\n"
        )
        .into_bytes()
    };
    write("auth.log", (2000..2060).map(failed).collect());
    let time = moment.strftime("%Y/%m/%d %H:%M:%S");
    let error = format!(
        "{time} [error] 71#71: *5 open() \"/srv/www/a=b|c\" failed (2: No such file or directory), \
         client: 2001:db8::7, server: www.example.org, request: \"GET /a=b|c HTTP/1.1\", host: \
         \"www.example.org\"\n"
    );
    write("error.log", vec![error.into_bytes()]);
    [("access", "combined"), ("api", "json"), ("auth", "auth"), ("error", "nginx_error")]
        .map(|(name, format)| {
            let path = place.log(&format!("{name}.log"));
            format!("[[source]]\nname = \"{name}\"\npath = {path:?}\nformat = \"{format}\"\n")
        })
        .concat()
}

#[test]
fn the_schema_of_opentelemetry_reads_what_our_other_encodings_say() {
    let place = Place::new();
    let Some(official) = Official::start(&place) else { return };
    let mut text = write_logs(&place);
    for (way, more) in [
        ("protobuf", ""),
        ("plain", "compress = false\nmax_records = 7"),
        ("json", "protocol = \"http/json\""),
    ] {
        let url = official.url(way);
        text.push_str(&format!(
            "[[sink]]\ntype = \"otlp\"\nname = \"{way}\"\nurl = \"{url}\"\n{more}\n"
        ));
    }
    let ours = place.path().join("ours.json");
    text.push_str(&format!(
        "[[sink]]\ntype = \"file\"\nname = \"ours\"\npath = {ours:?}\nencoding = \"otlp_json\"\n"
    ));
    place.configure(&text);
    let (status, _, errors) = place.ask(&["run"], &["--once"]);
    assert!(status.success(), "{errors}");

    let id = |export: &Value| texts(attribute(record_of(export), "log.record.uid").expect("an id"));
    let ours = json_lines(&ours);
    let events = json_lines(&place.events());
    assert_eq!(events.len(), ours.len());
    for way in ["protobuf", "plain", "json"] {
        let mut left: BTreeMap<Vec<String>, &Value> =
            ours.iter().map(|export| (id(export), export)).collect();
        assert_eq!(ours.len(), left.len(), "an id is there twice");
        for export in official.records(way, ours.len()) {
            let expected = left.remove(&id(&export));
            assert_eq!(expected, Some(&export), "{way}");
        }
    }
    let (names, mut alerts) = (names(), 0);
    let records: BTreeMap<Vec<String>, &Value> =
        ours.iter().map(|export| (id(export), export)).collect();
    for event in &events {
        let record = records[&ecs(event, "event.id")];
        check_same(event, record, &names);
        alerts += usize::from(event["event"]["kind"] == "alert");
    }
    assert!(0 < alerts, "no alert was raised");
}
