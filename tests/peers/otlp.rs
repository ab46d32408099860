//! A collector that is not ours, rotel, takes every event over each way of OTLP.

use std::collections::HashMap;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use super::rsyslog::{configure, hostile_lines, ids_of, plain_lines, write};
use super::support::{Place, Running, until};
use super::{free_port, peer};

/// How requests travel, whether over the port of HTTP or of gRPC, and more settings.
const WAYS: &[(&str, bool, &str)] = &[
    ("http/protobuf", false, ""),
    ("http/protobuf", false, "compress = false\nin_flight = 1\nmax_records = 7"),
    ("http/json", false, "keep_original = true"),
    ("grpc", true, ""),
    ("grpc", true, "compress = false\nin_flight = 8\nmax_records = 50"),
];

struct Receiver {
    program: PathBuf,
    output: PathBuf,
    /// Of gRPC and of HTTP.
    ports: [u16; 2],
}

impl Receiver {
    fn new(program: PathBuf, place: &Place) -> Self {
        let output = place.path().join("rotel.log");
        Self { program, output, ports: [free_port(), free_port()] }
    }

    /// Starts it: whatever it takes, it prints.
    fn start(&self) -> Running {
        // Through a shell, because the output of a program is thrown away here otherwise.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" >>\"$OUTPUT\""]).arg(&self.program);
        command.env("OUTPUT", &self.output).args(["start", "--exporter", "blackhole"]);
        command.args(["--debug-log", "logs", "--debug-log-verbosity", "detailed"]);
        let addresses = self.ports.map(|port| format!("127.0.0.1:{port}"));
        command.args(["--otlp-grpc-endpoint", &addresses[0]]);
        command.args(["--otlp-http-endpoint", &addresses[1]]);
        let running = Running::start(&mut command);
        let open = |port: &u16| TcpStream::connect(("127.0.0.1", *port)).is_ok();
        until("rotel", || self.ports.iter().all(open).then_some(()));
        running
    }

    fn sinks(&self) -> String {
        let sink = |(number, (protocol, is_grpc, more)): (usize, &(&str, bool, &str))| {
            let port = self.ports[usize::from(!is_grpc)];
            format!(
                "[[sink]]\ntype = \"otlp\"\nname = \"way {number}\"\nprotocol = \"{protocol}\"\n\
                 url = \"http://127.0.0.1:{port}\"\n{more}\n"
            )
        };
        WAYS.iter().enumerate().map(sink).collect()
    }

    /// How often each event arrived, over all ways, by its id.
    fn received(&self) -> HashMap<String, usize> {
        let text = fs::read(&self.output).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut ids = HashMap::new();
        for line in text.lines() {
            let id = line.trim_start().strip_prefix("-> log.record.uid: Str(");
            if let Some(id) = id.and_then(|id| id.strip_suffix(')')) {
                *ids.entry(id.to_owned()).or_default() += 1;
            }
        }
        ids
    }
}

#[test]
fn every_event_reaches_rotel_once_and_what_it_missed_when_it_was_killed() {
    // There is none for other machines.
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let Some(program) = peer("rotel") else { return };
    let place = Place::new();
    let receiver = Receiver::new(program, &place);
    let mut rotel = receiver.start();
    configure(&place, &receiver.sinks());
    let lines = [hostile_lines(), plain_lines(700), hostile_lines()].concat();
    write(&place, &lines);
    let mut daemon = place.run(&[]);
    let first = ids_of(&place, lines.len());
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
    let _rotel = receiver.start();
    let all = ids_of(&place, lines.len() + 200);
    until("what it missed", || complete(&all));
    assert!(daemon.stops().success(), "{}", daemon.words());
}
