//! syslog-ng as a receiver: every event arrives once, over each of its sources.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::rsyslog::{configure, hostile_lines, ids_of, plain_lines, write};
use super::support::{Place, Running, until};
use super::syslog::{start_syslog_ng, write_certificates};
use super::{free_port, peer};

/// Name, address and settings of the sink, and the source of syslog-ng; `DIR` is the test's folder.
const WAYS: &[(&str, &str, &str, &str)] = &[
    ("counted", "tcp", "preset = \"syslog-ng\"", "syslog(transport(\"tcp\") ADDRESS)"),
    ("old", "tcp", "preset = \"syslog-ng-network\"", "network(transport(\"tcp\") ADDRESS)"),
    ("lines", "tcp", "", "network(transport(\"tcp\") flags(syslog-protocol) ADDRESS)"),
    (
        "tls",
        "tls",
        "tls = { ca_file = \"DIR/ca.pem\", cert_file = \"DIR/client.pem\", key_file = \
         \"DIR/client.key\" }",
        "syslog(transport(\"tls\") ADDRESS tls(ca-file(\"DIR/ca.pem\") \
         cert-file(\"DIR/server.pem\") key-file(\"DIR/server.key\") \
         peer-verify(required-trusted)))",
    ),
];

struct Receiver {
    program: PathBuf,
    directory: PathBuf,
    ports: Vec<u16>,
}

impl Receiver {
    fn new(program: PathBuf, directory: &Path) -> Self {
        write_certificates(directory);
        let ports = WAYS.iter().map(|_| free_port()).collect();
        let receiver = Self { program, directory: directory.to_owned(), ports };
        let dir = directory.display().to_string();
        let mut text = "@version: current\noptions { log-msg-size(65536); };\n".to_owned();
        for ((name, _, _, source), port) in WAYS.iter().zip(&receiver.ports) {
            let address = format!("ip(\"127.0.0.1\") port({port})");
            let source = source.replace("ADDRESS", &address).replace("DIR", &dir);
            text.push_str(&format!(
                "source s_{name} {{ {source}; }};\n\
                 destination d_{name} {{ file(\"{dir}/{name}\" template(\"$MSG\\n\")); }};\n\
                 log {{ source(s_{name}); destination(d_{name}); flags(flow-control); }};\n"
            ));
        }
        fs::write(directory.join("syslog-ng.conf"), text).expect("syslog-ng.conf is written");
        receiver
    }

    fn start(&self) -> Running {
        let running = start_syslog_ng(&self.program, &self.directory);
        let open = |port: &u16| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
        until("syslog-ng", || self.ports.iter().all(open).then_some(()));
        running
    }

    fn sinks(&self) -> String {
        let dir = self.directory.display().to_string();
        let sink = |((name, scheme, more, _), port): (&(&str, &str, &str, &str), &u16)| {
            format!(
                "[[sink]]\ntype = \"syslog\"\nname = \"{name}\"\n\
                 address = \"{scheme}://127.0.0.1:{port}\"\n{}\n",
                more.replace("DIR", &dir)
            )
        };
        WAYS.iter().zip(&self.ports).map(sink).collect()
    }

    /// How often each event arrived, by its id. Every message must be one.
    fn received(&self, way: &str) -> HashMap<String, u32> {
        let text = fs::read(self.directory.join(way)).unwrap_or_default();
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut ids = HashMap::new();
        for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = std::str::from_utf8(line).expect("a message is UTF-8");
            let event: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let id = event["event"]["id"].as_str().expect("an id").to_owned();
            *ids.entry(id).or_default() += 1;
        }
        ids
    }
}

#[test]
fn every_event_reaches_syslog_ng_once_and_what_it_missed_when_it_was_killed() {
    let Some(program) = peer("syslog-ng") else { return };
    let place = Place::new();
    let receiver = Receiver::new(program, place.path());
    let mut syslog_ng = receiver.start();
    configure(&place, &receiver.sinks());
    let lines = [hostile_lines(), plain_lines(300), hostile_lines()].concat();
    write(&place, &lines);
    let mut daemon = place.run(&[]);
    let first = ids_of(&place, lines.len());
    for (way, ..) in WAYS {
        until(way, || (first.len() <= receiver.received(way).len()).then_some(()));
        let received = receiver.received(way);
        assert!(first.iter().all(|id| received.get(id) == Some(&1)), "{way}: {received:?}");
        assert_eq!(first.len(), received.len(), "{way}");
    }
    syslog_ng.kill();
    write(&place, &plain_lines(200));
    daemon.says("events wait in the store");
    let _syslog_ng = receiver.start();
    let all = ids_of(&place, lines.len() + 200);
    for (way, ..) in WAYS {
        until(way, || (all.len() <= receiver.received(way).len()).then_some(()));
        let received = receiver.received(way);
        assert!(all.iter().all(|id| received.contains_key(id)), "{way}");
    }
    assert!(daemon.stops().success(), "{}", daemon.words());
}
