//! Receivers that break in every way, together with kill -9: nothing is lost, what comes twice is
//! the same and was not confirmed, and nobody else waits.
//!
//! A receiver of ours is killed, hangs, is slow, refuses, resets or shows an expired certificate, as
//! drawn from a seed, while a log is written and the program is killed and started again. Beside it
//! stand a file sink and a mail server that are sound. The seed that is printed on a failure repeats
//! the draws (the machine adds its own chance): `GATEWATCH_FAULT_SEED`. `GATEWATCH_FAULT_ROUNDS` asks
//! for more rounds, each with a seed, a store and a receiver of its own; `GATEWATCH_FAULT_MS` lets each
//! fault last for up to so long.
//!
//! What may come twice, and no more:
//!
//! - RELP, HTTP and OTLP: what was not behind the cursor in the store when the connection was
//!   opened: a turn that met an error, or died with the program before its cursor was stored;
//! - TCP and TLS: besides that what was sent last and may not have been read: 1 MiB and the rest of
//!   its turn.
//!
//! The order holds within each connection for everything that none before it brought.

#![expect(clippy::print_stderr, reason = "a failure tells its seed, a long run what it met")]

mod support;
#[path = "support/seeded.rs"]
mod seeded;

#[path = "faults/delay.rs"]
mod delay;
#[path = "faults/receiver.rs"]
mod receiver;
#[path = "support/smtp.rs"]
mod smtp;
#[path = "faults/speak.rs"]
mod speak;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gatewatch::engine::detect::AlertState;
use gatewatch::io::{Chance, Seeded};
use gatewatch::store::{AlertFilter, DeadLetter, Seq, StoreReader};
use receiver::{Book, Fault, Receiver};
use seeded::{Told, between, setting};
use smtp::MailServer;
use speak::{Papers, Way};
use support::{Place, Running, clf, each_once, json_lines, now, open_log, until};

/// What a connection of TCP or TLS may bring again: what is kept, with the rest of a turn.
const REPLAY_BYTES_MAX: usize = 4 << 20;

/// A log that is being written: requests, and now and then one that is worth an alert.
struct Log {
    file: File,
    lines: u64,
    alarms: u64,
}

impl Log {
    fn open(place: &Place) -> Self {
        Self { file: open_log(&place.log("access.log")), lines: 0, alarms: 0 }
    }

    fn line(&mut self, client: &str, status: u16) {
        let time = clf(now());
        let agent = "x".repeat((self.lines % 700) as usize);
        let line = format!(
            "{client} - - [{time}] \"GET /line?n={} HTTP/1.1\" {status} 9 \"-\" \"{agent}\"\n",
            self.lines
        );
        self.file.write_all(line.as_bytes()).expect("the log is written");
        self.lines += 1;
    }

    fn requests(&mut self, count: u64) {
        for _ in 0..count {
            self.line("192.0.2.8", 200);
        }
    }

    /// The line that completes an alert; the answer is its client, whom the event names; the mail names
    /// the client's network.
    fn alarm(&mut self) -> String {
        self.alarms += 1;
        let client = format!("2001:db8:{:x}::1", self.alarms);
        self.line(&client, 418);
        client
    }
}

/// A [`Log`] that is written until it is enough.
struct Server {
    stop: Sender<()>,
    thread: JoinHandle<Log>,
}

impl Server {
    fn start(place: &Place, seed: u64) -> Self {
        let (stop, stopped) = channel();
        let mut chance = Seeded::new(seed);
        let mut log = Log::open(place);
        log.requests(between(&mut chance, 50, 1500));
        let thread = std::thread::spawn(move || {
            loop {
                let pause = Duration::from_millis(between(&mut chance, 2, 30));
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                    return log;
                }
                log.requests(between(&mut chance, 1, 20));
                if between(&mut chance, 0, 19) == 0 {
                    log.alarm();
                }
            }
        });
        Self { stop, thread }
    }

    fn finish(self) -> Log {
        drop(self.stop);
        self.thread.join().expect("the writer ends")
    }
}

/// Raises an alert for each line with the status 418, and nothing else.
const RULES: &str = "schema = 1\n[[rule]]\nid = \"test.alarm\"\nversion = 1\ntitle = \"Alarm\"\n\
                     category = \"web\"\nwhere = { \"http.response.status_code\" = 418 }\n\
                     group_by = [\"source.ip\"]\nwindow = \"1m\"\nthreshold = 1\n\
                     severity = \"high\"\nexplain = \"alarm by {source.ip}\"\n";

/// Configures a place with a file sink, mail and the `sinks`.
fn configure(place: &Place, mail: &MailServer, sinks: &str) {
    let (log, rules) = (place.log("access.log"), place.path().join("rules.toml"));
    fs::write(&rules, RULES).expect("the rules are written");
    // The rules that come along would raise alerts of their own.
    let pack = include_str!("../src/engine/detect/pack.toml").lines();
    let others: Vec<&str> = pack.filter_map(|line| line.strip_prefix("id = ")).collect();
    place.configure(&format!(
        "{sinks}\n[[source]]\nname = \"site\"\npath = {log:?}\nformat = \"combined\"\n[rules]\n\
         files = [{rules:?}]\ndisable = [{}]\n{}",
        others.join(", "),
        mail.settings()
    ));
}

/// The sink that sends to `receiver` by `way`.
fn sink(way: Way, receiver: &Receiver, place: &Place, papers: &str) -> String {
    let address = receiver.address;
    let authority: PathBuf = place.path().join("ca.pem");
    fs::write(&authority, papers).expect("the authority is written");
    let settings = match way {
        Way::Tcp => {
            format!(
                "type = \"syslog\"\naddress = \"tcp://{address}\"\nframing = \"octet_counting\""
            )
        }
        Way::Tls => format!(
            "type = \"syslog\"\naddress = \"tls://{address}\"\ntls = {{ ca_file = {authority:?} }}"
        ),
        Way::Relp => format!("type = \"syslog\"\naddress = \"relp://{address}\""),
        Way::Bulk => format!(
            "type = \"http\"\napi = \"elasticsearch\"\nurl = \"http://{address}\"\nin_flight = 1\n\
             timeout = \"1s\""
        ),
        Way::OtlpHttp => {
            format!("type = \"otlp\"\nurl = \"http://{address}\"\nin_flight = 1\ntimeout = \"1s\"")
        }
        Way::OtlpGrpc => format!(
            "type = \"otlp\"\nprotocol = \"grpc\"\nurl = \"http://{address}\"\nin_flight = 1\n\
             timeout = \"1s\""
        ),
    };
    format!("[[sink]]\nname = \"siem\"\n{settings}\n")
}

/// Bytes of the log that the faulty sink has saved as delivered.
fn confirmed(place: &Place) -> impl FnMut() -> u64 + Send + 'static {
    let state = place.state();
    move || {
        let to = || {
            let reader = StoreReader::open(&state).ok()?;
            let cursor = reader.cursor("sink:siem").ok()??;
            Some(reader.frame(cursor.seq).ok()??.to)
        };
        to().unwrap_or(0)
    }
}

/// The next fault that `way` can have.
fn fault(way: Way, chance: &mut Seeded) -> Fault {
    loop {
        let fault = match between(chance, 0, 8) {
            0 => Fault::None,
            1 => Fault::Down,
            2 => Fault::Hung,
            3 => Fault::Slow,
            4 => Fault::Reset,
            5 => Fault::Expired,
            _ => Fault::Refusing,
        };
        let is_program = matches!(way, Way::Bulk | Way::OtlpHttp | Way::OtlpGrpc | Way::Relp);
        match fault {
            Fault::Expired if way != Way::Tls => (),
            // Over plain syslog there is little to say: half as often.
            Fault::Refusing if !is_program && between(chance, 0, 2) != 0 => (),
            fault => return fault,
        }
    }
}

/// Lets the receiver have one fault after the other, and kills the program in most of them.
fn break_things(place: &Place, way: Way, receiver: &Receiver, chance: &mut Seeded) {
    let longest = setting("GATEWATCH_FAULT_MS").unwrap_or(250);
    let mut running: Option<Running> = None;
    for _ in 0..PHASES {
        let fault = fault(way, chance);
        let before = receiver.met(fault);
        receiver.set(fault, between(chance, 0, 2) == 0);
        let daemon = running.get_or_insert_with(|| place.run(&[]));
        let can_be_met = !matches!(fault, Fault::None | Fault::Down);
        let deadline = now().plus_ms(1500);
        while can_be_met && receiver.met(fault) == before && now() < deadline {
            assert!(!daemon.ends_within(Duration::from_millis(2)), "{}", daemon.words());
        }
        let pause = Duration::from_millis(between(chance, 0, longest));
        assert!(!daemon.ends_within(pause), "it ended: {}", daemon.words());
        if between(chance, 0, 3) != 0 {
            daemon.kill();
            check_words(daemon);
            running = None;
        }
    }
    if let Some(mut daemon) = running {
        daemon.kill();
        check_words(&mut daemon);
    }
}

fn check_words(daemon: &mut Running) {
    let words = daemon.words();
    assert!(!words.contains("panicked") && !words.contains("ERROR"), "{words}");
}

/// Faults of a round.
const PHASES: u32 = 8;

/// One log, one receiver, one seed.
fn round(way: Way, seed: u64) -> HashMap<Fault, u64> {
    let told = Told::new("GATEWATCH_FAULT_SEED", seed);
    let mut chance = Seeded::new(seed);
    let (place, mail) = (Place::new(), MailServer::start());
    let papers = (way == Way::Tls).then(Papers::new);
    let authority = papers.as_ref().map(|papers| papers.authority.clone()).unwrap_or_default();
    let receiver = Receiver::start(way, chance.next_u64(), papers, confirmed(&place));
    configure(&place, &mail, &sink(way, &receiver, &place, &authority));
    let server = Server::start(&place, chance.next_u64());
    break_things(&place, way, &receiver, &mut chance);
    receiver.set(Fault::None, between(&mut chance, 0, 1) == 0);
    let log = server.finish();
    let mut last = place.run(&[]);
    last.says("delivering");
    place.until_delivered(log.lines);
    until_caught_up(&place);
    until("every mail", || {
        let ids = mails(&mail);
        (log.alarms <= ids.len() as u64).then_some(())
    });
    assert!(last.stops().success(), "{}", last.words());
    check_words(&mut last);
    check(&place, way, &receiver, &mail, &log);
    drop(told);
    let book = receiver.book();
    let mut met = book.met.clone();
    met.insert(Fault::None, book.repeats);
    met
}

/// Waits until the faulty sink has delivered everything; as long as it moves, it may take longer.
fn until_caught_up(place: &Place) {
    let reader = StoreReader::open(&place.state()).expect("the store is there");
    let last = reader.last_seq().expect("a number");
    let mut at = Seq(0);
    while at < last {
        at = until("the sink's next frame", || {
            let cursor = reader.cursor("sink:siem").ok()??;
            (at < cursor.seq).then_some(cursor.seq)
        });
    }
}

/// The mails by their Message-ID.
fn mails(mail: &MailServer) -> HashMap<String, String> {
    let mails = mail.mails();
    let is_whole = |raw: &str| raw.trim_end().ends_with("--");
    assert!(mails.iter().all(|mail| is_whole(&mail.raw)), "a mail is cut");
    mails.iter().map(|mail| (mail.message_id.clone(), mail.subject.clone())).collect()
}

/// Looks at everything that was received.
fn check(place: &Place, way: Way, receiver: &Receiver, mail: &MailServer, log: &Log) {
    let reader = StoreReader::open(&place.state()).expect("the store is there");
    let alerts = reader.alerts(&AlertFilter::default()).expect("the alerts");
    assert!(alerts.iter().all(|alert| alert.state == AlertState::Firing), "none is over yet");
    assert_eq!(log.alarms, alerts.len() as u64, "alerts");
    let mails = mails(mail);
    assert_eq!(alerts.len(), mails.len(), "mails: {mails:?}");
    let report = place.report();
    assert_eq!(Some(log.lines), report["quality"]["lines"].as_u64(), "lines in the report");

    let sunk = json_lines(&place.events());
    assert_eq!(log.lines, place.sunk().len() as u64, "events at the healthy sink");
    let id =
        |event: &'_ serde_json::Value| event["event"]["id"].as_str().expect("an id").to_owned();
    let ids: Vec<String> = sunk.iter().map(id).collect();
    each_once("events at the healthy sink", ids.iter().map(String::as_str));
    assert_eq!(log.lines + log.alarms, ids.len() as u64);
    let offsets = sunk.iter().filter_map(|event| {
        Some((event["event"]["id"].as_str()?, event["log"]["offset"].as_u64()?))
    });
    let offsets: HashMap<&str, u64> = offsets.collect();

    let letters = reader.dead_letters(Some("sink:siem"), 0, usize::MAX).expect("the dead letters");
    // A message of syslog names its event itself.
    let id_of = |letter: DeadLetter| match speak::event_of(&letter.body) {
        Some(event) if letter.event_id.is_empty() => event.id,
        _ => letter.event_id,
    };
    let letters: BTreeSet<String> = letters.into_iter().map(id_of).collect();
    let book = receiver.book();
    assert!(book.wrong.is_empty(), "{:#?}", &book.wrong[..book.wrong.len().min(3)]);
    let unfounded: Vec<_> =
        letters.difference(&book.refused.iter().cloned().collect()).cloned().collect();
    assert!(unfounded.is_empty(), "dead letters that nobody refused for good: {unfounded:?}");
    let is_told = |id: &&String| {
        book.taken.contains_key(*id) || letters.contains(*id) || book.unnamed.contains(*id)
    };
    let lost: Vec<_> = ids.iter().filter(|id| !is_told(id)).collect();
    let places: Vec<_> = lost.iter().map(|id| offsets.get(id.as_str())).take(10).collect();
    assert!(lost.is_empty(), "{} events lost, such as those at {places:?}", lost.len());
    let known: BTreeSet<&String> = ids.iter().collect();
    let strange: Vec<_> = book.taken.keys().filter(|id| !known.contains(id)).collect();
    assert!(strange.is_empty(), "events that nobody sent: {strange:?}");
    check_talks(&book, way, &offsets);
}

/// What came again was not confirmed, and everything else came in order.
fn check_talks(book: &Book, way: Way, offsets: &HashMap<&str, u64>) {
    let is_stream = matches!(way, Way::Tcp | Way::Tls);
    let mut before: BTreeSet<&str> = BTreeSet::new();
    for (number, talk) in book.talks.iter().enumerate() {
        let mut newest = None;
        let mut again = 0;
        for (id, length) in &talk.seen {
            // Alerts have no place in the log.
            let Some(offset) = offsets.get(id.as_str()).copied() else { continue };
            if offset < talk.confirmed {
                again += length;
            }
            // What RELP refused comes again behind the rest of its turn.
            let is_late = way == Way::Relp && book.refused.contains(id);
            if before.insert(id) && !is_late {
                assert!(newest < Some(offset), "connection {number}: {offset} behind {newest:?}");
                newest = Some(offset);
            }
        }
        let most = if is_stream { REPLAY_BYTES_MAX } else { 0 };
        assert!(again <= most, "connection {number}: {again} bytes again that were confirmed");
    }
}

/// Rounds by `way`, each with the next seed.
fn rounds(way: Way) {
    let first = setting("GATEWATCH_FAULT_SEED");
    let first = first.unwrap_or_else(|| Seeded::from_machine().next_u64() >> 1);
    let count = setting("GATEWATCH_FAULT_ROUNDS").unwrap_or(1);
    let mut sum: HashMap<Fault, u64> = HashMap::new();
    for number in 0..count {
        for (fault, times) in round(way, first + number) {
            *sum.entry(fault).or_default() += times;
        }
    }
    let repeats = sum.remove(&Fault::None).unwrap_or(0);
    eprintln!("{way:?}: {count} rounds; events that came again: {repeats}; faults met: {sum:?}");
}

#[test]
fn syslog_over_tcp() {
    rounds(Way::Tcp);
}

#[test]
fn syslog_over_tls() {
    rounds(Way::Tls);
}

#[test]
fn relp() {
    rounds(Way::Relp);
}

#[test]
fn bulk() {
    rounds(Way::Bulk);
}

#[test]
fn otlp_over_http() {
    rounds(Way::OtlpHttp);
}

#[test]
fn otlp_over_grpc() {
    rounds(Way::OtlpGrpc);
}
