//! kill -9 at any moment: every line is stored once, forwarded once, and alerted about once.
//!
//! A thread writes and rotates a log the way a web server and logrotate do, while the program is
//! started and killed over and over. What it had told nobody yet must be there in the end, and
//! nothing twice. The seed that is printed on a failure repeats the writes and the delays (the
//! machine adds its own chance): `GATEWATCH_CRASH_SEED`. `GATEWATCH_CRASH_KILLS` asks for more.

#![expect(clippy::print_stderr, reason = "a failure tells its seed")]

mod support;
#[path = "support/seeded.rs"]
mod seeded;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gatewatch::engine::attendance::Evidence;
use gatewatch::engine::detect::{Alert, AlertState, Part};
use gatewatch::io::{Chance, Seeded};
use gatewatch::store::{AlertFilter, Seq, Store, StoreReader};
use gatewatch::units::{Period, Timestamp};
use seeded::{Told, between, setting};
use support::{Place, Running, clf, each_once, json_lines, now, open_log, until};

/// The variable that repeats a seed.
const SEED: &str = "GATEWATCH_CRASH_SEED";

/// The client whose failed log-ins must be told.
const ATTACKER: &str = "203.0.113.7";

/// Refused requests of this client, one with each burst: no life of the program sees them all.
const ATTACK_LINES: u64 = 40;

/// The names that they are sent with, in turn, stand on the roster.
const MEMBERS: u64 = 20;

/// Writes a log: whole lines and halves of lines, and a new file now and then.
struct Writer {
    chance: Seeded,
    path: PathBuf,
    file: File,
    rotated: u64,
    written: u64,
}

impl Writer {
    fn new(path: PathBuf, seed: u64) -> Self {
        let file = open_log(&path);
        Self { chance: Seeded::new(seed), path, file, rotated: 0, written: 0 }
    }

    fn line(&mut self, client: &str, user: &str, status: u16) {
        let number = self.written;
        self.written += 1;
        let time = clf(now());
        let line = format!(
            "{client} - {user} [{time}] \"GET /line/{number} HTTP/1.1\" {status} 512 \"-\" \"test\"\n"
        );
        // A server's buffer may end anywhere.
        let middle = match between(&mut self.chance, 0, 7) {
            0 => between(&mut self.chance, 1, line.len() as u64 - 1) as usize,
            _ => line.len(),
        };
        self.put(&line.as_bytes()[..middle]);
        self.put(&line.as_bytes()[middle..]);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.file.write_all(bytes).expect("the log is written");
    }

    fn burst(&mut self) {
        for _ in 0..between(&mut self.chance, 1, 40) {
            let client = format!("198.51.100.{}", between(&mut self.chance, 1, 250));
            self.line(&client, "-", 200);
        }
    }

    fn attack(&mut self, number: u64) {
        self.line(ATTACKER, &format!("member{:03}", number % MEMBERS), 401);
        if number == ATTACK_LINES / 2 {
            self.rotate();
        }
    }

    /// Renames like logrotate; the server goes on in the renamed file for a moment, as nginx does
    /// until it is told.
    fn rotate(&mut self) {
        let numbered = |n: u64| PathBuf::from(format!("{}.{n}", self.path.display()));
        for number in (1..=self.rotated).rev() {
            fs::rename(numbered(number), numbered(number + 1)).expect("a rotated log is renamed");
        }
        fs::rename(&self.path, numbered(1)).expect("the log is renamed");
        self.rotated += 1;
        if between(&mut self.chance, 0, 1) == 0 {
            self.burst();
        }
        self.file = open_log(&self.path);
    }
}

/// A [`Writer`] at work.
struct Server {
    stop: Sender<()>,
    thread: JoinHandle<Writer>,
}

impl Server {
    /// Begins once the program has seen the log: what was rotated away before is history to it.
    fn start(place: &Place, seed: u64) -> Self {
        let (stop, stopped) = channel();
        let mut writer = Writer::new(place.log("access.log"), seed);
        writer.burst();
        let (status, _, errors) = place.ask(&["run"], &["--once"]);
        assert!(status.success(), "{errors}");
        let mut attacks = 0..ATTACK_LINES;
        let thread = std::thread::spawn(move || {
            loop {
                writer.burst();
                if 200 <= writer.written
                    && let Some(number) = attacks.next()
                {
                    writer.attack(number);
                }
                if between(&mut writer.chance, 0, 59) == 0 {
                    writer.rotate();
                }
                let pause = Duration::from_millis(between(&mut writer.chance, 2, 30));
                if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout)
                    && attacks.is_empty()
                {
                    return writer;
                }
            }
        });
        Self { stop, thread }
    }

    /// Ends the writing; the answer is the number of lines.
    fn finish(self) -> u64 {
        drop(self.stop);
        let writer = self.thread.join().expect("the writer ends");
        assert!(0 < writer.rotated, "the log was never rotated");
        writer.written
    }
}

fn seed() -> Told {
    Told::new(SEED, setting(SEED).unwrap_or_else(|| Seeded::from_machine().next_u64()))
}

/// A place whose log is watched as `pattern` says, with small event files and mails as files.
fn place(pattern: &str) -> Place {
    let place = Place::new();
    let (log, mails) = (place.log(pattern), place.path().join("mails"));
    let roster = place.path().join("members.csv");
    let members: String = (0..MEMBERS).map(|number| format!("member{number:03}\n")).collect();
    fs::write(&roster, format!("user\n{members}")).expect("the roster is written");
    place.configure(&format!(
        "max_size = \"256KiB\"\nkeep = 1000\n[[source]]\nname = \"site\"\npath = {log:?}\n[mail]\n\
         directory = {mails:?}\nfrom = \"gatewatch@example.org\"\nto = [\"analyst@example.org\"]\n\
         [roster]\nfile = {roster:?}\n[rules]\ndisable = [\"ops.absence\"]\n"
    ));
    place
}

/// When a kill comes.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// A random while after the start.
    AfterStart,
    /// A random while after the sinks began.
    AfterDelivering,
    /// As soon as the file of events has grown: its cursor is not stored yet.
    InDelivery,
    /// As soon as the store's journal has grown: in a commit.
    InCommit,
}

/// Kills the running program. False when it had ended by itself before.
fn kill(mut gatewatch: Running, place: &Place, moment: Moment, chance: &mut Seeded) -> bool {
    let while_ms = between(chance, 5, 150);
    let ended = match moment {
        Moment::AfterStart => gatewatch.ends_within(Duration::from_millis(while_ms)),
        Moment::AfterDelivering => {
            gatewatch.says("delivering");
            gatewatch.ends_within(Duration::from_millis(while_ms))
        }
        Moment::InDelivery => ends_before_growth(&mut gatewatch, &place.events()),
        Moment::InCommit => {
            ends_before_growth(&mut gatewatch, &place.state().join("gatewatch.db-wal"))
        }
    };
    gatewatch.kill();
    let words = gatewatch.words();
    assert!(!words.contains("panicked") && !words.contains("ERROR"), "{moment:?}: {words}");
    !ended
}

/// Looks at a file until it grows, for a fifth of a second at most; true when the program ended.
fn ends_before_growth(gatewatch: &mut Running, path: &Path) -> bool {
    let length = || fs::metadata(path).map_or(0, |meta| meta.len());
    let deadline = now().plus_ms(200);
    let mut last = length();
    while now() < deadline {
        let present = length();
        if last < present {
            return false;
        }
        last = present;
        if gatewatch.ends_within(Duration::from_micros(50)) {
            return true;
        }
    }
    false
}

#[test]
fn a_daemon_killed_at_any_moment_loses_nothing_and_says_nothing_twice() {
    let seed = seed();
    let mut chance = Seeded::new(seed.seed);
    let place = place("access.log");
    let server = Server::start(&place, chance.next_u64());
    for count in 0..setting("GATEWATCH_CRASH_KILLS").unwrap_or(200) {
        let moment = match between(&mut chance, 0, 3) {
            0 => Moment::AfterStart,
            1 => Moment::AfterDelivering,
            2 => Moment::InDelivery,
            _ => Moment::InCommit,
        };
        let killed = kill(place.run(&[]), &place, moment, &mut chance);
        assert!(killed, "the daemon ended by itself before kill {count}");
    }
    let lines = server.finish();
    let mut last = place.run(&[]);
    last.says("delivering");
    place.until_delivered(lines);
    assert!(last.stops().success(), "{}", last.words());
    check(&place, lines);
}

#[test]
fn a_run_from_cron_killed_at_any_moment_loses_nothing_and_says_nothing_twice() {
    let seed = seed();
    let mut chance = Seeded::new(seed.seed);
    let place = place("access.log*");
    let server = Server::start(&place, chance.next_u64());
    let wanted = setting("GATEWATCH_CRASH_KILLS").unwrap_or(200).div_ceil(4);
    let (mut kills, mut runs) = (0, 0);
    while kills < wanted {
        runs += 1;
        assert!(runs < 20 * wanted, "only {kills} of {runs} runs were there to be killed");
        // It ends by itself as soon as it has delivered.
        let moment = match between(&mut chance, 0, 2) {
            0 => Moment::AfterStart,
            1 => Moment::InDelivery,
            _ => Moment::InCommit,
        };
        kills += u64::from(kill(place.run(&["--once"]), &place, moment, &mut chance));
    }
    let lines = server.finish();
    let (status, _, errors) = place.ask(&["run"], &["--once"]);
    assert!(status.success(), "{errors}");
    check(&place, lines);
}

/// Looks at everything the program left behind: `lines` were written.
#[track_caller]
fn check(place: &Place, lines: u64) {
    let reader = StoreReader::open(&place.state()).expect("the store is there");
    assert_eq!(lines, reader.ledger().expect("the ledger").lines, "lines in the ledger");
    check_store(&reader, lines);
    check_events(&place.sunk(), lines);
    let alerts = reader.alerts(&AlertFilter::default()).expect("the alerts");
    check_alerts(&alerts);
    let told = json_lines(&place.state().join("alerts.jsonl"));
    let told = told.iter().map(|alert| {
        let alert = &alert["gatewatch"]["alert"];
        (alert["id"].as_str().expect("an id"), alert["state"].as_str().expect("a state"))
    });
    let told: Vec<_> = told.collect();
    for alert in &alerts {
        let id = (alert.id.as_str(), alert.state.name());
        assert!(told.contains(&id), "{id:?} is missing in the alert log");
    }
    check_mails(&place.path().join("mails"), &alerts);
    check_attendance(&reader);
    let report = place.report();
    assert_eq!(Some(lines), report["quality"]["lines"].as_u64(), "lines in the weekly report");
}

/// Each refused log-in of each member is counted once.
fn check_attendance(reader: &StoreReader) {
    let days = ["2020-01-01", "2100-01-01"].map(|day| day.parse().expect("a day"));
    let mut tries: BTreeMap<String, u64> = BTreeMap::new();
    for seen in reader.sightings(days[0], days[1]).expect("who was there") {
        assert_eq!(Evidence::Failure, seen.evidence, "{seen:?}");
        *tries.entry(seen.person.to_string()).or_default() += seen.count;
    }
    let member = |number| (format!("member{number:03}"), ATTACK_LINES / MEMBERS);
    assert_eq!((0..MEMBERS).map(member).collect::<BTreeMap<_, _>>(), tries);
}

#[test]
fn a_daemon_killed_around_the_time_of_the_weekly_report_sends_it_once() {
    let seed = seed();
    let mut chance = Seeded::new(seed.seed);
    let place = Place::new();
    let (log, mails) = (place.log("access.log"), place.path().join("mails"));
    fs::write(&log, "").expect("a log");
    // It has been due since midnight, for something that has been watching for a month.
    let weekday = moment(now()).strftime("%A").to_string().to_ascii_lowercase();
    place.configure(&format!(
        "[[source]]\npath = {log:?}\n[mail]\ndirectory = {mails:?}\nfrom = \"gatewatch@example.org\"\n\
         to = [\"analyst@example.org\"]\n[report]\nweekday = \"{weekday}\"\nat = \"00:00\"\n\
         timezone = \"UTC\"\n"
    ));
    let since = now().minus(Period::from_secs(30 * 86_400));
    let mut store = Store::open(&place.state()).expect("a new store");
    store.set_meta("watched.since", &since.0.to_string()).expect("stored");
    drop(store);
    for _ in 0..setting("GATEWATCH_CRASH_KILLS").unwrap_or(200).div_ceil(8) {
        let moment = match between(&mut chance, 0, 1) {
            0 => Moment::AfterStart,
            _ => Moment::InCommit,
        };
        kill(place.run(&[]), &place, moment, &mut chance);
    }
    let mut last = place.run(&[]);
    last.says("delivering");
    let reader = StoreReader::open(&place.state()).expect("the store is there");
    until("the report", || {
        let counts = reader.outbox_counts_of("mail").ok()?;
        (counts.waiting == 0 && !reports(&mails).is_empty()).then_some(())
    });
    assert!(last.stops().success(), "{}", last.words());
    let ids: HashSet<String> = reports(&mails).into_iter().collect();
    assert_eq!(1, ids.len(), "a kill may send it again, but as the same mail: {ids:?}");
    let (status, _, errors) = place.ask(&["run"], &["--once"]);
    assert!(status.success(), "{errors}");
    assert_eq!(ids, reports(&mails).into_iter().collect(), "nor does the next start");
}

fn moment(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.secs() as i64).expect("a time")
}

/// Message ids of the weekly reports in `directory`.
fn reports(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mails = entries.map(|entry| entry.expect("an entry").path());
    let mails = mails.filter(|path| path.extension().is_some_and(|end| end == "eml"));
    let texts = mails.map(|path| fs::read_to_string(path).expect("a mail is text"));
    texts
        .map(|mail| {
            assert!(mail.contains("gatewatch weekly report"), "no other mail is due: {mail}");
            let id = mail.lines().find_map(|line| line.strip_prefix("Message-ID: "));
            id.expect("an id").to_owned()
        })
        .collect()
}

/// Each line is in the store once, byte for byte at its place.
fn check_store(reader: &StoreReader, lines: u64) {
    let mut seen: HashMap<u64, u32> = HashMap::new();
    let mut ends: BTreeMap<u64, u64> = BTreeMap::new();
    let mut seq = Seq(0);
    while let Some(frame) = reader.frame_after(seq).expect("the frames can be read") {
        assert!(!frame.damaged, "frame {} is damaged", frame.seq.0);
        assert_eq!(seq.0 + 1, frame.seq.0, "frames follow each other");
        seq = frame.seq;
        let end = ends.insert(frame.generation, frame.to).unwrap_or(0);
        assert_eq!(end, frame.from, "frame {} begins where its file was left", seq.0);
        let text = String::from_utf8(frame.bytes).expect("the lines are UTF-8");
        for line in text.lines() {
            *seen.entry(number(line)).or_default() += 1;
        }
    }
    let missing: Vec<u64> = (0..lines).filter(|line| !seen.contains_key(line)).take(5).collect();
    assert!(missing.is_empty(), "lines are not in the store, such as {missing:?}");
    let twice: Vec<_> = seen.iter().filter(|(_, count)| 1 < **count).take(5).collect();
    assert!(twice.is_empty(), "lines are in the store more than once: {twice:?}");
    assert_eq!(lines, seen.len() as u64);
}

/// The number in `GET /line/NUMBER `.
fn number(line: &str) -> u64 {
    let number = line.split("/line/").nth(1).and_then(|rest| rest.split(' ').next());
    let number = number.and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("a torn line: {line:?}"))
}

/// Each line was forwarded as one event with an id of its own.
fn check_events(events: &[serde_json::Value], lines: u64) {
    let text = |event: &'_ serde_json::Value, path: &str| {
        event.pointer(path).and_then(|value| value.as_str()).map(str::to_owned)
    };
    let ids: Vec<_> = events.iter().filter_map(|event| text(event, "/event/id")).collect();
    let paths: Vec<_> = events.iter().filter_map(|event| text(event, "/url/path")).collect();
    assert_eq!(lines as usize, each_once("event ids", ids.iter().map(String::as_str)).len());
    assert_eq!(lines as usize, each_once("events", paths.iter().map(String::as_str)).len());
    assert_eq!(lines as usize, events.len());
}

fn check_alerts(alerts: &[Alert]) {
    let names: Vec<String> =
        alerts.iter().map(|alert| format!("{} {}", alert.id, alert.state.name())).collect();
    each_once("alerts", names.iter().map(String::as_str));
    let told = |alert: &&Alert| alert.state == AlertState::Firing;
    let groups: Vec<String> = alerts
        .iter()
        .filter(told)
        .map(|alert| format!("{} {}", alert.rule.id, group_of(alert)))
        .collect();
    let groups = each_once("alerts about one thing", groups.iter().map(String::as_str));
    let expected = format!("auth.bruteforce.client {ATTACKER}");
    assert!(groups.contains_key(expected.as_str()), "no {expected}: {groups:?}");
    assert!(groups.keys().all(|group| group.ends_with(ATTACKER)), "{groups:?}");
}

fn group_of(alert: &Alert) -> String {
    alert.group.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
}

/// Each incident left as a mail, and as another one where it got worse after that. A crash may send
/// one again: then with the same Message-ID.
fn check_mails(directory: &Path, alerts: &[Alert]) {
    let entries = fs::read_dir(directory).expect("the mails are there");
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut told: HashSet<String> = HashSet::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        let mail = fs::read_to_string(&path).expect("a mail is text");
        let header = |name: &str| {
            let found = mail.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or_else(|| panic!("no {name} in {}", path.display())).to_owned()
        };
        ids.insert(header("Message-ID: "), header("Subject: "));
        told.insert(header("X-Gatewatch-Incident: "));
    }
    let parts = || alerts.iter().filter_map(|alert| Some((alert.state, alert.part.as_ref()?)));
    assert_eq!(alerts.len(), parts().count(), "each alert is a part of an incident");
    let incidents: HashSet<String> = parts().map(|(_, part)| part.incident.clone()).collect();
    assert_eq!(incidents, told, "each incident is told: {ids:?}");
    let is_news =
        |(state, part): &(AlertState, &Part)| *state != AlertState::Resolved && part.step.is_news();
    let news = parts().filter(is_news).count();
    assert!(ids.len() <= news, "{} mails about {news} news: {ids:?}", ids.len());
}
