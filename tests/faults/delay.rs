//! A dead sink delays neither mails nor other sinks.
//!
//! The log has a backlog that a dead receiver never takes. Then alerts are raised one after the
//! other, each when the one before it has arrived by mail and as an event at a sound syslog receiver,
//! while the dead one is still dead. `cargo nextest run --test faults --run-ignored only --no-capture`
//! prints how long that takes, with and without a dead sink.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use gatewatch::store::StoreReader;
use gatewatch::units::Timestamp;
use serde_json::Value;

use super::receiver::{Fault, Receiver};
use super::smtp::MailServer;
use super::speak::Way;
use super::support::{Place, now, until};
use super::{Log, configure, confirmed, sink};

/// When each alert arrived at a receiver of syslog, by the client that raised it.
type Arrivals = Arc<Mutex<HashMap<String, Timestamp>>>;

/// A sound receiver of syslog in lines; the answer is its sink, too.
fn sound() -> (Arrivals, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let address = listener.local_addr().expect("bound");
    let arrivals = Arrivals::default();
    let seen = Arc::clone(&arrivals);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let at = now();
                let event =
                    line.find('{').and_then(|start| serde_json::from_str(&line[start..]).ok());
                let event: Value = event.unwrap_or_else(|| panic!("no event: {line}"));
                if event["event"]["kind"] == "alert" {
                    let client = event["source"]["ip"].as_str().expect("a client").to_owned();
                    seen.lock().expect("sound").insert(client, at);
                }
            }
        }
    });
    let sink =
        format!("[[sink]]\ntype = \"syslog\"\nname = \"sound\"\naddress = \"tcp://{address}\"\n");
    (arrivals, sink)
}

/// How long each alert took, in ms: by mail, and as an event.
struct Delays {
    mail: Vec<u64>,
    event: Vec<u64>,
}

/// Raises `count` alerts behind a backlog of `backlog` lines, beside a sink whose receiver has the
/// fault, if one is given.
fn measure(dead: Option<(Way, Fault)>, backlog: u64, count: u64) -> Delays {
    let (place, mail) = (Place::new(), MailServer::start());
    let (arrivals, sound) = sound();
    let dead = dead.map(|(way, fault)| {
        let receiver = Receiver::start(way, 1, None, confirmed(&place));
        receiver.set(fault, false);
        (way, fault, receiver)
    });
    let siem = dead.as_ref().map(|(way, _, receiver)| sink(*way, receiver, &place, ""));
    configure(&place, &mail, &(sound + &siem.unwrap_or_default()));
    let mut log = Log::open(&place);
    log.requests(backlog);
    let mut daemon = place.run(&[]);
    place.until_delivered(backlog);
    if let Some((_, fault, receiver)) = &dead
        && *fault != Fault::Down
    {
        until("the dead receiver's connection", || (0 < receiver.met(*fault)).then_some(()));
    }
    let mut delays = Delays { mail: Vec::new(), event: Vec::new() };
    for _ in 0..count {
        let written = now();
        let client = log.alarm();
        let whom = format!(" {}/64 ", client.trim_end_matches('1'));
        let at = until("the mail", || {
            let mails = mail.mails();
            mails.iter().find(|mail| mail.subject.contains(&whom)).map(|mail| mail.at)
        });
        delays.mail.push(at.since(written).ms());
        let at = until("the event", || arrivals.lock().expect("sound").get(&client).copied());
        delays.event.push(at.since(written).ms());
        if let Some((_, _, receiver)) = &dead {
            assert!(receiver.book().taken.is_empty(), "the dead receiver is not dead");
            let reader = StoreReader::open(&place.state()).expect("the store is there");
            let cursor = reader.cursor("sink:siem").expect("the store");
            let last = reader.last_seq().expect("a number");
            assert!(cursor.is_none_or(|cursor| cursor.seq < last), "its sink has delivered");
        }
    }
    // The hard way: a hung receiver would be waited for.
    daemon.kill();
    assert!(!daemon.words().contains("panicked"), "{}", daemon.words());
    delays
}

/// The dead receivers: none, one that reads nothing, one that says 503, one whose port is closed.
const DEAD: [(&str, Option<(Way, Fault)>); 4] = [
    ("none", None),
    ("hung", Some((Way::Tcp, Fault::Hung))),
    ("refusing", Some((Way::Bulk, Fault::Busy))),
    ("closed", Some((Way::Tcp, Fault::Down))),
];

#[test]
fn an_alert_is_told_while_a_sink_is_dead() {
    for (name, dead) in &DEAD[1..3] {
        let delays = measure(*dead, 5000, 5);
        assert_eq!((5, 5), (delays.mail.len(), delays.event.len()), "{name}");
    }
}

#[test]
#[ignore = "takes minutes; prints figures"]
fn how_long_alerts_take() {
    eprintln!("{:9} {:>26} {:>26}", "dead sink", "mail p50 p99 max (ms)", "event p50 p99 max (ms)");
    for (name, dead) in DEAD {
        let Delays { mut mail, mut event } = measure(dead, 20_000, 200);
        let figures = |delays: &mut Vec<u64>| {
            delays.sort_unstable();
            let at = |share: usize| delays[(delays.len() * share).div_ceil(100) - 1];
            format!("{:>14} {:>5} {:>5}", at(50), at(99), at(100))
        };
        eprintln!("{name:9} {:>26} {:>26}", figures(&mut mail), figures(&mut event));
    }
}
