//! The dispatcher between a real store and a mail server that plays a part.
//!
//! Invariant: time moves only when a test moves it, so each test says when a mail leaves.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::engine::detect::{Part, Step};
use crate::io::Seeded;
use crate::notify::samples;
use crate::notify::smtp_server::{END, Reply, SmtpServer};
use crate::store::{Commit, Store};

/// A clock that stands until it is moved.
#[derive(Debug)]
struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("not poisoned")
    }
}

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    server: SmtpServer,
    config: MailConfig,
    clock: Arc<Hand>,
    /// What the observer has heard.
    fates: Arc<Mutex<HashMap<Fate, usize>>>,
}

impl Bench {
    fn new(rules: &[(&'static str, Reply)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("a store");
        let server = SmtpServer::start(rules);
        let config = MailConfig { max_per_hour: 3, ..server.config("") };
        let clock = Arc::new(Hand(Mutex::new(samples::START)));
        Self { dir, store, server, config, clock, fates: Arc::default() }
    }

    fn reader(&self) -> StoreReader {
        StoreReader::open(self.dir.path()).expect("a reader")
    }

    /// A dispatcher as after a start of the program.
    fn dispatcher(&self) -> Dispatcher {
        let fates = Arc::clone(&self.fates);
        let transport = Transport::new(&self.config, None)
            .expect("a transport")
            .with_timeout(Duration::from_millis(400));
        Dispatcher::new(
            self.reader(),
            transport,
            &self.config,
            samples::context(),
            self.clock.clone(),
            Box::new(Seeded::new(5)),
        )
        .expect("a dispatcher")
        .observed_by(Box::new(move |fate, count| {
            *fates.lock().expect("not poisoned").entry(fate).or_default() += count;
        }))
    }

    /// How many messages met which end, or failed tries.
    fn heard(&self) -> [usize; 4] {
        let fates = self.fates.lock().expect("not poisoned");
        [Fate::Sent, Fate::Failed, Fate::Expired, Fate::RateLimited]
            .map(|fate| fates.get(&fate).copied().unwrap_or_default())
    }

    fn move_clock(&self, seconds: u64) {
        let mut now = self.clock.0.lock().expect("not poisoned");
        *now = now.plus_ms(seconds * 1000);
    }

    /// Stores an alert and its message, as the daemon does.
    fn fire(&mut self, number: u32, change: impl FnOnce(&mut Alert)) {
        let mut alert = Alert { id: format!("{number:08x}{number:024x}"), ..samples::spray() };
        change(&mut alert);
        let now = self.clock.now();
        let outbox: Vec<NewMessage> = enqueue(&alert, &self.config, now).into_iter().collect();
        let commit = Commit { alerts: &[alert], outbox: &outbox, ..Commit::default() };
        self.store.commit(&commit, now).expect("stored");
    }

    fn subjects(&self) -> Vec<String> {
        let seen = self.server.seen();
        let subject = |mail: &String| {
            let start = mail.find("Subject: ").expect("a subject") + 9;
            mail[start..].split("\r\n").next().unwrap_or_default().to_owned()
        };
        seen.mails.iter().map(subject).collect()
    }
}

#[tokio::test]
async fn an_alert_is_mailed_once_and_a_restart_sends_nothing_again() {
    let mut bench = Bench::new(&[]);
    bench.fire(1, |_| ());
    bench.dispatcher().drain().await.expect("sent");
    bench.dispatcher().drain().await.expect("nothing to do");
    assert_eq!(1, bench.subjects().len());
    let counts = bench.reader().outbox_counts().expect("counts");
    assert_eq!((0, 1), (counts.waiting, counts.sent));
    let mail = bench.server.seen().mails[0].clone();
    let id = format!("<{:08x}{:024x}.firing@gatewatch.web1.example.org>", 1, 1);
    assert!(mail.contains(&format!("Message-ID: {id}\r\n")), "{mail}");
}

#[tokio::test]
async fn an_incident_that_got_worse_before_anybody_was_told_is_one_mail() {
    let mut bench = Bench::new(&[]);
    let part = |step, severity, before| Part {
        incident: format!("{:08x}{:024x}", 1, 1),
        step,
        severity,
        before,
        alerts: 1,
        opened: samples::START,
        titles: Vec::new(),
        repeats: 0,
    };
    let (medium, high) = (Severity::Medium, Severity::High);
    bench.fire(1, |alert| {
        alert.severity = medium;
        alert.part = Some(part(Step::Opened, medium, None));
    });
    let worse = |alert: &mut Alert| alert.part = Some(part(Step::Worsened, high, Some(medium)));
    bench.fire(2, worse);
    bench.fire(3, |alert| alert.part = Some(part(Step::Joined, high, Some(high))));
    bench.dispatcher().drain().await.expect("sent");
    let subjects = bench.subjects();
    assert!(subjects.len() == 1 && subjects[0].starts_with("[gatewatch] HIGH "), "{subjects:?}");
    let counts = bench.reader().outbox_counts().expect("counts");
    assert_eq!((0, 2), (counts.waiting, counts.sent), "what only joined was not put there");

    bench.fire(4, worse);
    bench.dispatcher().drain().await.expect("sent");
    let subjects = bench.subjects();
    assert!(subjects.len() == 2 && subjects[1].starts_with("[gatewatch] UPDATE HIGH "));
    let answers = format!("In-Reply-To: <{:08x}{:024x}.firing@", 1, 1);
    assert!(bench.server.seen().mails[1].contains(&answers));
}

#[tokio::test]
async fn when_the_answer_is_lost_the_same_message_id_comes_again() {
    let mut bench = Bench::new(&[]);
    bench.fire(1, |_| ());
    let mut dispatcher = bench.dispatcher();
    dispatcher.drain().await.expect("sent");
    // As if the program had died between the server's yes and the mark in the store.
    let reader = bench.reader();
    let message = enqueue(&samples::spray(), &bench.config, samples::START).expect("mailed");
    assert!(reader.outbox_add(&message, samples::START).expect("added"));
    dispatcher.drain().await.expect("sent");
    let again = NewMessage { transition: "again".into(), ..message };
    assert!(reader.outbox_add(&again, samples::START).expect("added"));
    dispatcher.drain().await.expect("sent");
    let ids: Vec<String> = bench.server.seen().mails[1..]
        .iter()
        .filter_map(|mail| mail.lines().find(|line| line.starts_with("Message-ID")))
        .map(str::to_owned)
        .collect();
    assert_eq!(2, ids.len());
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_refusing_server_is_tried_later_and_its_words_are_kept() {
    let mut bench = Bench::new(&[("MAIL", Reply::Say("450 4.7.1 come back later"))]);
    bench.fire(1, |_| ());
    let mut dispatcher = bench.dispatcher();
    let until = dispatcher.drain().await.expect("waits");
    let wait = until.since(samples::START).secs();
    assert!((54..=66).contains(&wait), "{wait} s");
    let counts = bench.reader().outbox_counts().expect("counts");
    let error = counts.failed_last.expect("an error");
    assert!(error.starts_with("sender: the server said 450: 4.7.1 come back later; "), "{error}");
    // The server has come to its senses.
    bench.server.seen().rules.clear();
    bench.move_clock(wait + 1);
    dispatcher.drain().await.expect("sent");
    assert_eq!(1, bench.subjects().len());
}

#[tokio::test]
async fn one_mail_that_is_refused_does_not_hold_up_the_next() {
    let mut bench = Bench::new(&[(END, Reply::Say("554 5.7.1 looks like spam"))]);
    bench.fire(1, |_| ());
    let mut dispatcher = bench.dispatcher();
    dispatcher.drain().await.expect("refused");
    bench.server.seen().rules.clear();
    bench.fire(2, |_| ());
    dispatcher.drain().await.expect("sent");
    assert_eq!(1, bench.subjects().len());
    assert_eq!(1, bench.reader().outbox_counts().expect("counts").waiting);
}

#[tokio::test]
async fn a_storm_is_told_in_one_mail_and_each_alert_is_marked() {
    let mut bench = Bench::new(&[]);
    for number in 1..=9 {
        bench.fire(number, |_| ());
    }
    bench.dispatcher().drain().await.expect("sent");
    let subjects = bench.subjects();
    assert_eq!(4, subjects.len());
    assert_eq!("[gatewatch] STORM: 6 more alerts, 6 high", subjects[3]);
    assert_eq!(9, bench.reader().outbox_counts().expect("counts").sent);
    assert_eq!([3, 0, 0, 6], bench.heard());
    // The count of the hour survives a restart.
    bench.fire(10, |_| ());
    let until = bench.dispatcher().drain().await.expect("held back");
    assert_eq!(samples::START.plus_ms(3_600_000), until);
    bench.fire(11, |alert| alert.severity = Severity::Critical);
    bench.dispatcher().drain().await.expect("the reserve");
    assert!(bench.subjects()[4].starts_with("[gatewatch] CRITICAL "), "{:?}", bench.subjects());
}

#[tokio::test]
async fn alerts_from_old_lines_wait_for_each_other() {
    let mut bench = Bench::new(&[]);
    for number in 1..=3 {
        bench.fire(number, |alert| alert.backfill = true);
    }
    let mut dispatcher = bench.dispatcher();
    let until = dispatcher.drain().await.expect("collects");
    assert_eq!(samples::START.plus(BACKFILL_WAIT), until);
    bench.move_clock(60);
    dispatcher.drain().await.expect("sent");
    let expected = "[gatewatch] 3 alerts were raised while old lines were read, 3 high";
    assert_eq!(vec![expected], bench.subjects());
}

#[tokio::test]
async fn an_alert_that_waited_too_long_is_given_up() {
    let mut bench = Bench::new(&[("MAIL", Reply::Say("450 later"))]);
    bench.fire(1, |_| ());
    let mut dispatcher = bench.dispatcher();
    dispatcher.drain().await.expect("waits");
    bench.move_clock(72 * 3600);
    dispatcher.drain().await.expect("given up");
    let counts = bench.reader().outbox_counts().expect("counts");
    assert_eq!((0, 0, 1), (counts.waiting, counts.sent, counts.expired));
    assert_eq!([0, 1, 1, 0], bench.heard());
}

#[tokio::test]
async fn a_letter_goes_to_its_own_recipients_and_once() {
    let bench = Bench::new(&[]);
    let letter = Letter {
        subject: "[gatewatch] week 47".into(),
        text: "Quiet week.\n".into(),
        html: "<p>Quiet week.</p>".into(),
        to: vec!["board@example.org".into()],
    };
    let message = enqueue_letter("2026-W47", &letter, samples::START);
    assert!(bench.reader().outbox_add(&message, samples::START).expect("added"));
    assert!(!bench.reader().outbox_add(&message, samples::START).expect("known"));
    bench.dispatcher().drain().await.expect("sent");
    assert_eq!(vec!["[gatewatch] week 47"], bench.subjects());
    let to: Vec<String> =
        bench.server.seen().commands.iter().filter(|c| c.starts_with("RCPT")).cloned().collect();
    assert_eq!(vec!["RCPT TO:<board@example.org>"], to);
}

#[tokio::test]
async fn a_letter_to_a_wrong_address_does_not_hold_up_alerts() {
    let mut bench = Bench::new(&[("RCPT TO:<board", Reply::Say("550 5.1.1 no such user"))]);
    let letter = Letter {
        subject: "[gatewatch] week 47".into(),
        text: "Quiet week.\n".into(),
        html: "<p>Quiet week.</p>".into(),
        to: vec!["board@example.org".into()],
    };
    let message = enqueue_letter("2026-W47", &letter, samples::START);
    bench.reader().outbox_add(&message, samples::START).expect("added");
    bench.fire(1, |_| ());
    bench.dispatcher().drain().await.expect("sent");
    assert_eq!(1, bench.subjects().len());
    assert_eq!(1, bench.reader().outbox_counts().expect("counts").waiting);
}

#[tokio::test]
async fn a_message_nobody_can_read_does_not_block_the_others() {
    let mut bench = Bench::new(&[]);
    let broken = NewMessage {
        channel: CHANNEL.into(),
        alert_id: "x".into(),
        transition: "firing".into(),
        due: samples::START,
        body: "{".into(),
    };
    bench.reader().outbox_add(&broken, samples::START).expect("added");
    bench.fire(1, |_| ());
    bench.dispatcher().drain().await.expect("sent");
    let counts = bench.reader().outbox_counts().expect("counts");
    assert_eq!((0, 1, 1), (counts.waiting, counts.sent, counts.expired));
    assert_eq!([1, 0, 1, 0], bench.heard());
}

#[tokio::test]
async fn the_task_wakes_on_the_bell_and_ends_when_asked() {
    let mut bench = Bench::new(&[]);
    let (wake, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let dispatcher = bench.dispatcher();
    let stopped = stop.clone();
    let task = tokio::spawn({
        let wake = wake.clone();
        async move { dispatcher.run(wake, async move { stopped.notified().await }).await }
    });
    bench.fire(1, |_| ());
    wake.notify_one();
    // The mark in the store is the last thing a sent mail leaves.
    while bench.reader().outbox_counts().expect("counts").sent == 0 {
        tokio::task::yield_now().await;
    }
    stop.notify_one();
    task.await.expect("ended");
}

#[test]
fn what_is_mailed_is_decided_by_severity_and_age() {
    let config = SmtpServer::start(&[]).config("");
    let mailed = |change: fn(&mut Alert)| {
        let mut alert = samples::spray();
        change(&mut alert);
        enqueue(&alert, &config, samples::START).map(|message| message.transition)
    };
    assert_eq!(Some("firing".to_owned()), mailed(|_| ()));
    assert_eq!(Some("resolved".to_owned()), mailed(|alert| alert.state = AlertState::Resolved));
    assert_eq!(None, mailed(|alert| alert.severity = Severity::Low));
    assert_eq!(
        None,
        mailed(|alert| {
            alert.backfill = true;
            alert.state = AlertState::Resolved;
        })
    );
    assert_eq!(None, enqueue(&samples::spray(), &MailConfig::default(), samples::START));
    let muted = Alert { muted_by: Some("patches".to_owned()), ..samples::spray() };
    assert_eq!(None, enqueue(&muted, &config, samples::START), "during maintenance");
}
