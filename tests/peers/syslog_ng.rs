//! syslog-ng as a receiver, over each of its sources: one that was killed gets what it missed. What it
//! gets of many events is in `volume`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::rsyslog::{configure, ids_of, plain_lines, write};
use super::support::{Place, Running, until};
use super::syslog::{start_syslog_ng, write_certificates};
use super::{free_port, peer};

/// A way in.
struct Way {
    /// Name of the sink, the source and the file.
    name: &'static str,
    scheme: &'static str,
    /// The rest of the sink's configuration; `DIR` stands for the folder of the test.
    sink: &'static str,
    /// The driver, its transport and more, with `ADDRESS` in it.
    source: &'static str,
}

const WAYS: &[Way] = &[
    Way {
        name: "counted",
        scheme: "tcp",
        sink: "preset = \"syslog-ng\"",
        source: "syslog(transport(\"tcp\") flags(store-raw-message) ADDRESS)",
    },
    Way {
        name: "old",
        scheme: "tcp",
        sink: "preset = \"syslog-ng-network\"",
        source: "network(transport(\"tcp\") flags(store-raw-message) ADDRESS)",
    },
    Way {
        name: "lines",
        scheme: "tcp",
        sink: "",
        source: "network(transport(\"tcp\") flags(syslog-protocol, store-raw-message) ADDRESS)",
    },
    Way {
        name: "tls",
        scheme: "tls",
        sink: "tls = { ca_file = \"DIR/ca.pem\", cert_file = \"DIR/client.pem\", key_file = \
               \"DIR/client.key\" }",
        source: "syslog(transport(\"tls\") flags(store-raw-message) ADDRESS \
                 tls(ca-file(\"DIR/ca.pem\") cert-file(\"DIR/server.pem\") \
                 key-file(\"DIR/server.key\") peer-verify(required-trusted)))",
    },
];

/// A syslog-ng of our own: a port and two files for each way, the messages as they came (`NAME`) and
/// the text that syslog-ng found in them (`NAME.text`).
pub(crate) struct Receiver {
    program: PathBuf,
    directory: PathBuf,
    ways: Vec<(&'static Way, u16)>,
}

impl Receiver {
    pub(crate) fn new(program: PathBuf, directory: &Path, names: &[&str]) -> Self {
        write_certificates(directory);
        let ways = WAYS.iter().filter(|way| names.contains(&way.name));
        let ways = ways.map(|way| (way, free_port())).collect();
        let receiver = Self { program, directory: directory.to_owned(), ways };
        let dir = directory.display().to_string();
        let mut text = "@version: current\noptions { log-msg-size(65536); };\n".to_owned();
        for (Way { name, source, .. }, port) in &receiver.ways {
            let address = format!("ip(\"127.0.0.1\") port({port})");
            let source = source.replace("ADDRESS", &address).replace("DIR", &dir);
            text.push_str(&format!(
                "source s_{name} {{ {source}; }};\n\
                 destination d_{name} {{ file(\"{dir}/{name}\" template(\"$RAWMSG\\n\")); \
                 file(\"{dir}/{name}.text\" template(\"$MSG\\n\")); }};\n\
                 log {{ source(s_{name}); destination(d_{name}); flags(flow-control); }};\n"
            ));
        }
        fs::write(directory.join("syslog-ng.conf"), text).expect("syslog-ng.conf is written");
        receiver
    }

    /// A file of this name in the folder of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn start(&self) -> Running {
        let running = start_syslog_ng(&self.program, &self.directory);
        let open = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        until("syslog-ng", || self.ways.iter().all(|(_, port)| open(*port)).then_some(()));
        running
    }

    /// A sink for each way; what is added to the text belongs to the last one.
    pub(crate) fn sinks(&self) -> String {
        let dir = self.directory.display().to_string();
        let sink = |(way, port): &(&Way, u16)| {
            let Way { name, scheme, sink, .. } = way;
            format!(
                "[[sink]]\ntype = \"syslog\"\nname = \"{name}\"\n\
                 address = \"{scheme}://127.0.0.1:{port}\"\nalerts = false\n{}\n",
                sink.replace("DIR", &dir)
            )
        };
        self.ways.iter().map(sink).collect()
    }

    /// How often each event arrived, by its id. Every message must be one.
    fn received(&self, way: &str) -> HashMap<String, u32> {
        let text = fs::read(self.path(&format!("{way}.text"))).unwrap_or_default();
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
fn a_syslog_ng_that_was_killed_gets_what_it_missed() {
    let Some(program) = peer("syslog-ng") else { return };
    let place = Place::new();
    let names: Vec<&str> = WAYS.iter().map(|way| way.name).collect();
    let receiver = Receiver::new(program, place.path(), &names);
    let mut syslog_ng = receiver.start();
    configure(&place, &receiver.sinks());
    write(&place, &plain_lines(300));
    let mut daemon = place.run(&[]);
    let check = |ids: &[String]| {
        for way in &names {
            until(way, || (ids.len() <= receiver.received(way).len()).then_some(()));
            let received = receiver.received(way);
            assert!(ids.iter().all(|id| received.contains_key(id)), "{way}");
        }
    };
    check(&ids_of(&place, 300));
    syslog_ng.kill();
    write(&place, &plain_lines(200));
    daemon.says("events wait in the store");
    let _syslog_ng = receiver.start();
    check(&ids_of(&place, 500));
    assert!(daemon.stops().success(), "{}", daemon.words());
}
