//! rsyslog as a receiver, in each framing and over TLS and RELP: one that was killed or stopped gets what
//! it missed, and one that is not believed gets nothing. What it gets of many events is in `volume`.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatewatch::sink::Progress;
use gatewatch::store::StoreReader;
use rustix::process::Signal;
use serde_json::Value;

use super::support::{Place, Running, clf, now, open_log, until};
use super::syslog::write_certificates;
use super::{free_port, peer, skip};

/// A way in.
struct Way {
    /// Name of the sink, the ruleset and the file.
    name: &'static str,
    scheme: &'static str,
    /// The rest of the sink's configuration; `DIR` stands for the folder of the test.
    sink: &'static str,
    /// Type and settings of rsyslog's input.
    input: &'static str,
    /// The module that rsyslog needs, where its package is one of its own.
    module: Option<&'static str>,
}

/// Who the sink is, where it is asked.
const PAPERS: &str = "tls = { ca_file = \"DIR/ca.pem\", cert_file = \"DIR/client.pem\", \
                      key_file = \"DIR/client.key\" }";

const WAYS: &[Way] = &[
    Way {
        name: "lf",
        scheme: "tcp",
        sink: "framing = \"lf\"",
        input: "type=\"imtcp\"",
        module: None,
    },
    Way {
        name: "octets",
        scheme: "tcp",
        sink: "framing = \"octet_counting\"",
        input: "type=\"imtcp\"",
        module: None,
    },
    Way {
        name: "datagrams",
        scheme: "udp",
        sink: "",
        // What comes while nobody reads has to wait in the kernel, as far as that is allowed.
        input: "type=\"imudp\" rcvbufSize=\"64m\"",
        module: None,
    },
    Way {
        name: "tls",
        scheme: "tls",
        sink: PAPERS,
        input: "type=\"imtcp\" streamDriver.name=\"ossl\" streamDriver.mode=\"1\" \
                streamDriver.authMode=\"x509/certvalid\"",
        module: Some("lmnsd_ossl.so"),
    },
    Way {
        name: "relp",
        scheme: "relp",
        sink: "",
        input: "type=\"imrelp\"",
        module: Some("imrelp.so"),
    },
];

/// The ways of `names` that this rsyslog has.
fn ways(program: &Path, names: &[&str]) -> Vec<&'static Way> {
    // The wrapper of an unpacked rsyslog names the folder of its modules.
    let wrapper = fs::read(program).map(|text| String::from_utf8_lossy(&text).into_owned());
    let named = wrapper.unwrap_or_default();
    let named = named.split('\'').find(|part| part.ends_with("/rsyslog")).map(PathBuf::from);
    let usual = ["/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/rsyslog", "/usr/lib64/rsyslog"];
    let folders: Vec<PathBuf> = named.into_iter().chain(usual.map(PathBuf::from)).collect();
    let has = |way: &&Way| {
        let Some(module) = way.module else { return true };
        let found = folders.iter().any(|folder| folder.join(module).exists());
        if !found {
            skip(&format!("rsyslog has no {module}"));
        }
        found
    };
    WAYS.iter().filter(|way| names.contains(&way.name)).filter(has).collect()
}

/// An rsyslog of our own: a port and a file for each way.
pub(crate) struct Receiver {
    program: PathBuf,
    directory: PathBuf,
    ways: Vec<(&'static Way, u16)>,
}

impl Receiver {
    pub(crate) fn new(program: PathBuf, directory: &Path, names: &[&str]) -> Self {
        let ways = ways(&program, names).into_iter().map(|way| (way, free_port())).collect();
        let receiver = Self { program, directory: directory.to_owned(), ways };
        fs::create_dir(receiver.path("work")).expect("a directory for rsyslog");
        write_certificates(directory);
        let dir = directory.display();
        let mut text = format!(
            "global(workDirectory={:?} maxMessageSize=\"64k\" \
             defaultNetstreamDriverCAFile=\"{dir}/ca.pem\" \
             defaultNetstreamDriverCertFile=\"{dir}/server.pem\" \
             defaultNetstreamDriverKeyFile=\"{dir}/server.key\")\n\
             main_queue(queue.type=\"FixedArray\" queue.timeoutEnqueue=\"600000\")\n\
             module(load=\"imtcp\")\nmodule(load=\"imudp\")\n\
             template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n",
            receiver.path("work")
        );
        for (way, port) in &receiver.ways {
            let (file, name, input) = (receiver.path(way.name), way.name, way.input);
            if way.scheme == "relp" {
                text.push_str("module(load=\"imrelp\")\n");
            }
            text.push_str(&format!(
                "input({input} address=\"127.0.0.1\" port=\"{port}\" ruleset=\"{name}\")\n\
                 ruleset(name=\"{name}\") {{\n  action(type=\"omfile\" file={file:?} \
                 template=\"raw\")\n}}\n"
            ));
        }
        fs::write(receiver.path("rsyslog.conf"), text).expect("rsyslog.conf is written");
        receiver
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn start(&self) -> Running {
        let mut command = Command::new(&self.program);
        command.arg("-n").arg("-f").arg(self.path("rsyslog.conf"));
        let running = Running::start(command.arg("-i").arg(self.path("rsyslog.pid")));
        let open = |port: &u16| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok();
        let streams = self.ways.iter().filter(|(way, _)| way.scheme != "udp");
        let ports: Vec<u16> = streams.map(|(_, port)| *port).collect();
        until("rsyslog", || ports.iter().all(open).then_some(()));
        // The datagrams' port is bound when the TCP ports are served: the inputs start together.
        running
    }

    /// The port of a way that this rsyslog has.
    pub(crate) fn port(&self, name: &str) -> Option<u16> {
        self.ways.iter().find(|(way, _)| way.name == name).map(|(_, port)| *port)
    }

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

    /// Waits until each way has `count` events, and checks that each of `ids` came once.
    #[track_caller]
    fn check(&self, ids: &[String]) {
        for (Way { name, .. }, _) in &self.ways {
            until(name, || (ids.len() <= self.received(name).len()).then_some(()));
            let received = self.received(name);
            assert!(ids.iter().all(|id| received.get(id) == Some(&1)), "{name}: {received:?}");
            assert_eq!(ids.len(), received.len(), "{name}");
        }
    }

    /// Waits until each way has every event of `ids`, some of them perhaps twice.
    #[track_caller]
    fn check_all(&self, ids: &[String]) {
        for (Way { name, .. }, _) in &self.ways {
            until(name, || (ids.len() <= self.received(name).len()).then_some(()));
            let received = self.received(name);
            assert!(ids.iter().all(|id| received.contains_key(id)), "{name}");
        }
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

pub(crate) fn write(place: &Place, lines: &[Vec<u8>]) {
    let mut log = open_log(&place.log("access.log"));
    log.write_all(&lines.concat()).expect("the log is written");
}

pub(crate) fn plain_lines(count: usize) -> Vec<Vec<u8>> {
    let time = clf(now());
    let line = |n| format!("192.0.2.8 - - [{time}] \"GET /{n} HTTP/1.1\" 200 9 \"-\" \"-\"\n");
    (0..count).map(|n| line(n).into_bytes()).collect()
}

pub(crate) fn configure(place: &Place, sinks: &str) {
    let log = place.log("access.log");
    let source = format!("[[source]]\npath = {log:?}\nformat = \"combined\"\n");
    place.configure(&(source + sinks));
}

/// The ids of the events in the file sink, once there are `count`.
pub(crate) fn ids_of(place: &Place, count: usize) -> Vec<String> {
    place.until_delivered(count as u64);
    let id = |event: Value| event["event"]["id"].as_str().expect("an id").to_owned();
    let ids: Vec<String> = place.sunk().into_iter().map(id).collect();
    assert_eq!(count, ids.len());
    ids
}

#[test]
fn an_rsyslog_that_was_killed_gets_what_it_missed() {
    let Some(program) = peer("rsyslogd") else { return };
    let place = Place::new();
    let receiver = Receiver::new(program, place.path(), &["lf", "octets", "tls", "relp"]);
    let mut rsyslog = receiver.start();
    configure(&place, &receiver.sinks());
    write(&place, &plain_lines(200));
    let mut daemon = place.run(&[]);
    // Plain TCP tells nobody what a program has read, and RELP not what it has written: what it had
    // taken and not written when it was killed is gone. So it is killed when it has written all.
    receiver.check_all(&ids_of(&place, 200));
    rsyslog.kill();
    write(&place, &plain_lines(150));
    daemon.says("events wait in the store");
    write(&place, &plain_lines(50));
    let _rsyslog = receiver.start();
    receiver.check_all(&ids_of(&place, 400));
    assert!(daemon.stops().success(), "{}", daemon.words());
}

#[test]
fn an_rsyslog_that_was_stopped_for_a_while_gets_everything_once() {
    let Some(program) = peer("rsyslogd") else { return };
    let place = Place::new();
    let receiver = Receiver::new(program, place.path(), &["lf", "tls", "relp"]);
    let rsyslog = receiver.start();
    configure(&place, &receiver.sinks());
    write(&place, &plain_lines(50));
    let mut daemon = place.run(&[]);
    receiver.check(&ids_of(&place, 50));
    // Its kernel goes on taking what comes; the program does not.
    rsyslog.signal(Signal::STOP);
    write(&place, &plain_lines(3000));
    let ids = ids_of(&place, 3050);
    rsyslog.signal(Signal::CONT);
    receiver.check(&ids);
    assert!(daemon.stops().success(), "{}", daemon.words());
}

/// Goal: what a dying rsyslog's kernel had taken is sent again, although gatewatch died before it.
#[test]
fn an_rsyslog_that_dies_unread_gets_everything_again_after_a_crash() {
    let Some(program) = peer("rsyslogd") else { return };
    let place = Place::new();
    let receiver = Receiver::new(program, place.path(), &["lf", "octets", "tls", "relp"]);
    let mut rsyslog = receiver.start();
    configure(&place, &receiver.sinks());
    write(&place, &plain_lines(50));
    let mut daemon = place.run(&[]);
    receiver.check(&ids_of(&place, 50));
    rsyslog.signal(Signal::STOP);
    write(&place, &plain_lines(100));
    let ids = ids_of(&place, 150);
    // Its machine has all of it, as far as there is no answer to wait for.
    let reader = StoreReader::open(&place.state()).expect("the store is there");
    let last = reader.last_seq().expect("a number");
    for (way, _) in receiver.ways.iter().filter(|(way, _)| way.scheme != "relp") {
        let name = format!("sink:{}", way.name);
        until("the cursor", || (reader.cursor(&name).ok()??.seq == last).then_some(()));
    }
    daemon.kill();
    rsyslog.kill();
    let _rsyslog = receiver.start();
    let mut daemon = place.run(&[]);
    receiver.check_all(&ids);
    assert!(daemon.stops().success(), "{}", daemon.words());
    // It has closed each connection when we did: nothing is sent a third time.
    for (way, _) in &receiver.ways {
        let cursor = reader.cursor(&format!("sink:{}", way.name)).expect("the store");
        let progress = Progress::from_state(&cursor.expect("a cursor").state);
        assert_eq!(None, progress.unproved, "{}", way.name);
    }
}

#[test]
fn an_rsyslog_with_an_expired_certificate_gets_nothing_until_it_is_renewed() {
    let Some(program) = peer("rsyslogd") else { return };
    let place = Place::new();
    let receiver = Receiver::new(program, place.path(), &["tls"]);
    if receiver.ways.is_empty() {
        return;
    }
    let keep = |from: &str, to: &str| {
        fs::copy(receiver.path(from), receiver.path(to)).expect("copied");
    };
    keep("server.pem", "good.pem");
    keep("expired.pem", "server.pem");
    let mut rsyslog = receiver.start();
    configure(&place, &receiver.sinks());
    write(&place, &plain_lines(20));
    let mut daemon = place.run(&[]);
    let words = daemon.says("events wait in the store");
    let fix = "its certificate has expired; renew it there, or set this machine's clock";
    assert!(words.contains(fix), "{words}");
    assert_eq!(0, receiver.received("tls").len());
    rsyslog.kill();
    keep("good.pem", "server.pem");
    let _rsyslog = receiver.start();
    receiver.check(&ids_of(&place, 20));
    assert!(daemon.stops().success(), "{}", daemon.words());
}
