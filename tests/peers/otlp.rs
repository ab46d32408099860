//! A collector that is not ours, rotel, over each way of OTLP: one that was killed gets what it missed.
//! What it gets of many events is in `volume`.

use std::collections::HashMap;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use super::rsyslog::{configure, ids_of, plain_lines, write};
use super::support::{Place, Running, until};
use super::{free_port, peer};

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
