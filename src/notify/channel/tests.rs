//! Channels between a real store and receivers that judge as the real ones do.
//!
//! Invariant: time moves only when a test moves it.

use std::sync::{Arc, Mutex};

use ring::hmac;
use serde_json::Value;

use super::stand_in::{
    Got, Reply, StandIn, TAKEN, check_alertmanager, check_gotify, check_mattermost, check_ntfy,
    check_pagerduty, check_slack, check_teams,
};
use super::told::Matter;
use super::*;
use crate::engine::detect::rule::builtin;
use crate::engine::detect::{Alert, AlertState};
use crate::engine::render::alert::alert_json;
use crate::engine::text::hex;
use crate::io::{Clock, Seeded};
use crate::notify::samples;
use crate::store::{Commit, OutboxCounts, Store, StoreReader};

mod incidents;
mod inert;

/// How each receiver judges.
const JUDGES: [(&str, Judge); 7] = [
    ("alertmanager", check_alertmanager),
    ("slack", check_slack),
    ("mattermost", check_mattermost),
    ("teams", check_teams),
    ("ntfy", check_ntfy),
    ("gotify", check_gotify),
    ("pagerduty", check_pagerduty),
];

type Judge = fn(&Got);

/// A clock that stands until it is moved.
#[derive(Debug)]
struct Hand(Mutex<Timestamp>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("not poisoned")
    }
}

impl Hand {
    fn moves(&self, seconds: u64) {
        let mut now = self.0.lock().expect("not poisoned");
        *now = now.plus(Period::from_secs(seconds));
    }
}

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    receiver: StandIn,
    clock: Arc<Hand>,
}

impl Bench {
    fn new(replies: &[Reply]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("a store");
        let clock = Arc::new(Hand(Mutex::new(samples::START.plus(Period::from_secs(9000)))));
        Self { dir, store, receiver: StandIn::start(replies), clock }
    }

    fn reader(&self) -> StoreReader {
        StoreReader::open(self.dir.path()).expect("a reader")
    }

    /// A channel of that type to the stand-in, with the secrets that it needs.
    fn config(&self, kind: &str) -> ChannelConfig {
        let file = |name: &str, content: &str| {
            let path = self.dir.path().join(name);
            std::fs::write(&path, content).expect("written");
            format!("{:?}", path)
        };
        let more = match kind {
            "webhook" => format!(
                "url = {:?}\nsecret_file = {}",
                self.receiver.url("/hook"),
                file("key", "open sesame\n")
            ),
            "alertmanager" => format!("url = {:?}", self.receiver.url("")),
            "ntfy" => format!("url = {:?}", self.receiver.url("/alerts")),
            "gotify" => format!(
                "url = {:?}\ntoken_file = {}",
                self.receiver.url(""),
                file("token", "sesame\n")
            ),
            "pagerduty" => format!(
                "url = {:?}\nrouting_key_file = {}",
                self.receiver.url("/v2/enqueue"),
                file("routing", "0123456789abcdef0123456789abcdef\n")
            ),
            "file" => format!("path = {:?}", self.dir.path().join("alerts.out")),
            "exec" => String::new(),
            _ => format!("url_file = {}", file("url", &self.receiver.url("/services/T0/s3cret"))),
        };
        channel(&format!("type = {kind:?}\nname = \"it\"\n{more}\n"))
    }

    /// A courier as after a start of the program.
    fn courier(&self, config: &ChannelConfig) -> Courier {
        let setup = ChannelSetup {
            config: config.clone(),
            credentials: None,
            context: samples::context(),
            reader: self.reader(),
            clock: self.clock.clone(),
            chance: Box::new(Seeded::new(7)),
            observer: Box::new(|_, _| ()),
            mail: MailState::default(),
        };
        Courier::new(setup).expect("a courier")
    }

    fn commit(&mut self, config: &ChannelConfig, alerts: &[Alert]) {
        let now = self.clock.now();
        let outbox: Vec<_> = alerts.iter().filter_map(|alert| config.enqueue(alert, now)).collect();
        let commit = Commit { alerts, outbox: &outbox, ..Commit::default() };
        self.store.commit(&commit, now).expect("commit");
    }

    fn counts(&self) -> OutboxCounts {
        self.reader().outbox_counts_of("it").expect("counts")
    }

    /// What the receiver was told of, as `id state`.
    fn told(&self) -> Vec<String> {
        let line = |got: &Got| {
            let json = got.json();
            let (id, kind) = (&json["gatewatch"]["alert"]["id"], &json["event"]["action"]);
            format!("{} {}", id.as_str().unwrap_or("?"), kind.as_str().unwrap_or("?"))
        };
        self.receiver.got().iter().map(line).collect()
    }
}

fn channel(text: &str) -> ChannelConfig {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn drain(courier: &mut Courier) -> Timestamp {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(courier.drain()).expect("a store")
}

fn alert(id: &str, state: AlertState) -> Alert {
    Alert { id: id.to_owned(), state, ..samples::spray() }
}

fn firing(id: &str) -> Alert {
    alert(id, AlertState::Firing)
}

fn resolved(id: &str) -> Alert {
    alert(id, AlertState::Resolved)
}

#[test]
fn the_table_is_in_the_order_of_the_types() {
    for entry in CHANNELS {
        let config = channel(&format!("type = {:?}\nname = \"a\"", entry.kind));
        assert_eq!(entry.kind, config.kind.entry().kind);
    }
}

#[test]
fn a_webhook_is_signed_and_says_what_the_alert_log_says() {
    let mut bench = Bench::new(&[TAKEN]);
    let config = bench.config("webhook");
    let alert = samples::spray();
    bench.commit(&config, std::slice::from_ref(&alert));
    drain(&mut bench.courier(&config));
    let got = &bench.receiver.got()[0];
    let mut line = Vec::new();
    alert_json(&alert, &mut line);
    assert_eq!(line, got.body);
    assert_eq!(("POST", "/hook"), (got.method.as_str(), got.path.as_str()));
    // As a receiver verifies it.
    let time = &got.headers["x-gatewatch-timestamp"];
    assert_eq!(bench.clock.now().secs().to_string(), *time);
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"open sesame");
    let signed = [time.as_bytes(), b".", &got.body].concat();
    let expected = format!("sha256={}", hex(hmac::sign(&key, &signed).as_ref()));
    assert_eq!(expected, got.headers["x-gatewatch-signature"]);
    assert_eq!((0, 1), (bench.counts().waiting, bench.counts().sent));
}

#[test]
fn each_receiver_takes_begin_end_and_old_lines() {
    for (kind, check) in JUDGES {
        let mut bench = Bench::new(&[TAKEN]);
        let config = bench.config(kind);
        let old = |n: u64| Alert { backfill: true, ..firing(&format!("{n:032x}")) };
        let alerts: Vec<Alert> =
            [samples::spray(), samples::hostile_scan(), resolved(&samples::spray().id)]
                .into_iter()
                .chain((0..30).map(old))
                .collect();
        bench.commit(&config, &alerts);
        let mut courier = bench.courier(&config);
        drain(&mut courier);
        bench.clock.moves(61);
        drain(&mut courier);
        let got = bench.receiver.got();
        got.iter().for_each(check);
        // Two begins, an end, and the old ones together; Alertmanager is told of what is open twice.
        assert_eq!(if kind == "alertmanager" { 5 } else { 4 }, got.len(), "{kind}");
        assert_eq!(0, bench.counts().waiting, "{kind}");
        let secrets = ["s3cret", "sesame", "0123456789abcdef"];
        let shown = format!("{config:?}");
        assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
}

#[test]
fn alertmanager_knows_an_alert_by_its_key_and_hears_of_it_until_it_is_over() {
    let mut bench = Bench::new(&[TAKEN]);
    let config = bench.config("alertmanager");
    bench.commit(&config, &[samples::spray()]);
    let mut courier = bench.courier(&config);
    let again = drain(&mut courier);
    assert_eq!(bench.clock.now().plus(Period::from_secs(60)), again);
    bench.clock.moves(60);
    drain(&mut courier);
    bench.commit(&config, &[Alert { count: 99, ..resolved(&samples::spray().id) }]);
    drain(&mut courier);
    bench.clock.moves(60);
    drain(&mut courier);
    let got = bench.receiver.got();
    // Its begin at once, with the repetition that was due; a minute later again; its end.
    assert_eq!(4, got.len());
    let labels: Vec<Value> = got.iter().map(|got| got.json()[0]["labels"].clone()).collect();
    assert!(labels.iter().all(|one| *one == labels[0]), "{labels:?}");
    let expected = serde_json::json!({
        "alertname": "auth.spray.client",
        "rule": "auth.spray.client",
        "severity": "high",
        "site": "www.example.org",
        "client_net": "203.0.113.7",
    });
    assert_eq!(expected, labels[0]);
    let end = got[3].json()[0]["endsAt"].as_str().map(str::to_owned);
    assert!(end < Some(bench.clock.now().rfc3339()), "{end:?}");
}

#[test]
fn a_restart_between_begin_and_end_repeats_nothing_and_keeps_the_order() {
    let mut bench = Bench::new(&[TAKEN]);
    let config = bench.config("webhook");
    bench.commit(&config, &[firing("a")]);
    // Killed before it was told: the next start tells it, once.
    drop(bench.courier(&config));
    drain(&mut bench.courier(&config));
    bench.commit(&config, &[firing("b"), resolved("a"), resolved("b")]);
    drain(&mut bench.courier(&config));
    drain(&mut bench.courier(&config));
    let told = bench.told();
    assert_eq!(4, told.len(), "{told:?}");
    let begins: Vec<&str> = told.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(vec!["a", "b", "a", "b"], begins);
    // The same transition again, as after a replay, is not told again.
    bench.commit(&config, &[firing("a")]);
    drain(&mut bench.courier(&config));
    assert_eq!(4, bench.told().len());
}

#[test]
fn an_end_whose_begin_was_never_told_is_dropped() {
    let mut bench = Bench::new(&[(400, "", "no thanks"), TAKEN]);
    let config = bench.config("webhook");
    bench.commit(&config, &[firing("refused"), firing("b")]);
    let mut courier = bench.courier(&config);
    drain(&mut courier);
    bench.commit(&config, &[resolved("refused"), resolved("b"), resolved("unknown")]);
    drain(&mut courier);
    let ids: Vec<String> =
        bench.told().iter().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    assert_eq!(vec!["refused", "b", "b"], ids);
    assert_eq!((0, 2, 3), {
        (bench.counts().waiting, bench.counts().sent, bench.counts().expired)
    });
}

#[test]
fn a_receiver_that_wants_to_be_left_alone_is() {
    let mut bench = Bench::new(&[(429, "Retry-After: 90\r\n", "slow down"), TAKEN]);
    let config = bench.config("webhook");
    bench.commit(&config, &[firing("a")]);
    let mut courier = bench.courier(&config);
    assert_eq!(bench.clock.now().plus(Period::from_secs(90)), drain(&mut courier));
    bench.clock.moves(89);
    drain(&mut courier);
    assert_eq!(1, bench.receiver.got().len());
    let (_, words) = courier.status().failure().expect("it fails");
    assert!(words.contains("429") && words.contains("slow down"), "{words}");
    bench.clock.moves(2);
    drain(&mut courier);
    assert_eq!(2, bench.receiver.got().len());
    assert_eq!(None, courier.status().failure());
    assert_eq!((0, 1), (bench.counts().waiting, bench.counts().sent));
}

#[test]
fn pauses_grow_and_end_with_retry_for() {
    let mut bench = Bench::new(&[(503, "", "")]);
    let config = ChannelConfig { retry_for: Period::from_secs(3600), ..bench.config("webhook") };
    bench.commit(&config, &[firing("a")]);
    let mut courier = bench.courier(&config);
    let mut pauses = Vec::new();
    while bench.counts().waiting != 0 {
        let until = drain(&mut courier);
        if bench.counts().waiting == 0 {
            break;
        }
        pauses.push(until.since(bench.clock.now()).secs());
        bench.clock.moves(pauses.last().expect("one") + 1);
    }
    assert!((3..=7).contains(&pauses[0]), "{pauses:?}");
    assert!((600..=1200).contains(pauses.iter().max().expect("one")), "{pauses:?}");
    assert!((8..20).contains(&pauses.len()), "{pauses:?}");
    let reason = bench.counts().given_up_last.expect("a reason");
    assert!(reason.starts_with("given up after 1h: it answered 503"), "{reason}");
}

#[test]
fn a_refused_message_is_told_and_not_repeated_and_a_wrong_token_waits() {
    let mut bench = Bench::new(&[(422, "", "bad \u{1b}[31m field")]);
    let config = bench.config("webhook");
    bench.commit(&config, &[firing("a")]);
    let mut courier = bench.courier(&config);
    drain(&mut courier);
    bench.clock.moves(3600);
    drain(&mut courier);
    assert_eq!(1, bench.receiver.got().len());
    let reason = bench.counts().given_up_last.expect("a reason");
    assert!(reason.contains("422") && reason.contains("bad \\x1B[31m field"), "{reason}");
    assert!(courier.status().failure().is_some());

    bench.receiver.answer((401, "", "who are you?"));
    bench.commit(&config, &[firing("b")]);
    drain(&mut courier);
    assert_eq!(1, bench.counts().waiting);
    bench.receiver.answer(TAKEN);
    bench.clock.moves(301);
    drain(&mut courier);
    assert_eq!((0, 1), (bench.counts().waiting, bench.counts().sent));
}

#[test]
fn a_receiver_that_never_answers_costs_its_own_time_only() {
    let mut bench = Bench::new(&[(0, "", "")]);
    let slow = ChannelConfig { timeout: Period(300), ..bench.config("webhook") };
    let fast = ChannelConfig { name: "file".to_owned(), ..bench.config("file") };
    bench.commit(&slow, &[firing("a")]);
    bench.commit(&fast, &[firing("b")]);
    let (mut slow, mut quick) = (bench.courier(&slow), bench.courier(&fast));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let hung = slow.drain();
        tokio::pin!(hung);
        tokio::select! {
            biased;
            _ = &mut hung => panic!("it answered"),
            done = quick.drain() => assert!(bench.clock.now() < done.expect("a store")),
        }
        hung.await.expect("a store");
    });
    let (_, words) = slow.status().failure().expect("it fails");
    assert!(words.contains("did not answer within"), "{words}");
    assert_eq!(1, bench.reader().outbox_counts_of("file").expect("counts").sent);
}

#[test]
fn what_is_muted_low_or_not_chosen_is_not_told() {
    let bench = Bench::new(&[TAKEN]);
    let base = bench.config("webhook");
    let now = bench.clock.now();
    let told = |config: &ChannelConfig, alert: Alert| config.enqueue(&alert, now).is_some();
    assert!(told(&base, firing("a")));
    assert!(!told(&base, Alert { muted_by: Some("patches".to_owned()), ..firing("a") }));
    assert!(!told(&base, Alert { severity: Severity::Low, ..firing("a") }));
    assert!(!told(&base, Alert { backfill: true, ..resolved("a") }));
    assert!(told(&base, resolved("a")));
    assert!(!told(&ChannelConfig { resolved: false, ..base.clone() }, resolved("a")));
    let chosen = |pattern: &str| ChannelConfig { rules: vec![pattern.to_owned()], ..base.clone() };
    assert!(told(&chosen("auth.*"), firing("a")) && !told(&chosen("http.*"), firing("a")));
    let pager = bench.config("pagerduty");
    assert!(!told(&pager, Alert { severity: Severity::Medium, ..firing("a") }));
}

#[test]
fn a_file_gets_each_line_once_whenever_a_crash_came() {
    let mut bench = Bench::new(&[TAKEN]);
    let config = bench.config("file");
    let path = config.path.clone().expect("a path");
    bench.commit(&config, &[firing("a"), firing("b")]);
    drain(&mut bench.courier(&config));
    let all = std::fs::read(&path).expect("the file");
    assert_eq!(2, all.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count());
    let line = webhook::line(Matter::Alert(&firing("b")));
    let line = [line.as_slice(), b"\n"].concat();
    let again = |kept: usize| {
        std::fs::write(&path, &all[..kept]).expect("written");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(file::append(&path, &line)).expect("appended");
        assert_eq!(all, std::fs::read(&path).expect("the file"), "cut at {kept}");
    };
    for cut in [0, 1, line.len() / 2, line.len() - 1, line.len()] {
        again(all.len() - cut);
    }
}

fn run_program(script: &str, input: &[u8], limit: Period) -> Result<String, Failure> {
    let command = ["/bin/sh", "-c", script].map(str::to_owned);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(exec::run(&command, input, limit))
}

#[test]
fn a_program_gets_json_and_says_by_its_exit_code_whether_it_took_it() {
    let minute = Period::from_secs(60);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("got");
    let script = format!("cat > {}", path.display());
    run_program(&script, b"{\"a\":\"$(reboot)\"}\n", minute).expect("taken");
    assert_eq!("{\"a\":\"$(reboot)\"}\n", std::fs::read_to_string(&path).expect("written"));

    let check = |script: &str, limit: Period, expected: &str| {
        let failure = run_program(script, &vec![b'x'; 300_000], limit).expect_err(script);
        assert!(matches!(failure, Failure::Later { .. }), "{failure:?}");
        let words = failure.words();
        assert!(words.contains(expected) && words.len() < 1000, "{words}");
    };
    check("echo 'no \u{1b}[2J' >&2; exit 3", minute, "exit status: 3: no \\x1B[2J");
    check("yes complaint | head -c 200000 >&2; exit 1", minute, "exit status: 1: complaint");
    check("exec sleep 600", Period(200), "did not end within 200ms and was killed");
    let missing = ["/nowhere/at-all".to_owned()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failure = runtime.expect("one").block_on(exec::run(&missing, b"", minute));
    assert!(failure.expect_err("missing").words().starts_with("cannot start /nowhere/at-all"));
}

#[test]
fn others_are_told_once_that_mail_is_down_and_once_that_it_works() {
    let bench = Bench::new(&[TAKEN]);
    let config = bench.config("slack");
    let reader = bench.reader();
    let now = bench.clock.now();
    let failing = OutboxCounts {
        waiting: 3,
        failed_last: Some("the server said 421".to_owned()),
        oldest_waiting: Some(now.minus(Period::from_secs(299))),
        ..OutboxCounts::default()
    };
    let watch = || MailWatch::new(std::slice::from_ref(&config), &reader).expect("a watch");
    assert!(!watch().look(&failing, &reader, now).expect("a store"));
    bench.clock.moves(60);
    let now = bench.clock.now();
    assert!(watch().look(&failing, &reader, now).expect("a store"));
    // A restart does not tell it again.
    assert!(!watch().look(&failing, &reader, now).expect("a store"));
    drain(&mut bench.courier(&config));
    assert!(watch().look(&OutboxCounts::default(), &reader, now).expect("a store"));
    assert!(!watch().look(&OutboxCounts::default(), &reader, now).expect("a store"));
    drain(&mut bench.courier(&config));
    let got = bench.receiver.got();
    got.iter().for_each(check_slack);
    let titles: Vec<String> = got
        .iter()
        .map(|got| got.json()["blocks"][0]["text"]["text"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        vec!["HIGH: Alert mails do not leave", "RESOLVED: Alert mails do not leave"],
        titles
    );
}

#[test]
fn a_heartbeat_pings_while_lines_are_read_and_not_otherwise() {
    let receiver = StandIn::start(&[TAKEN]);
    let config: HeartbeatConfig =
        toml::from_str(&format!("url = {:?}\nmethod = \"POST\"", receiver.url("/ping/s3cret")))
            .expect("a table");
    let clock = Arc::new(Hand(Mutex::new(samples::START)));
    let run = |alive: bool| {
        let heartbeat = Heartbeat::new(&config, clock.clone()).expect("a heartbeat");
        let told = Arc::new(tokio::sync::Notify::new());
        let (heard, asked) = (Arc::clone(&told), Arc::clone(&told));
        let is_alive = move |_| {
            if !alive {
                asked.notify_one();
            }
            alive
        };
        let tell = move |failure: Option<&str>| {
            assert_eq!(None, failure);
            heard.notify_one();
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let stop = async move { told.notified().await };
        runtime.expect("a runtime").block_on(heartbeat.run(is_alive, tell, stop));
    };
    run(false);
    assert_eq!(0, receiver.got().len());
    run(true);
    let got = receiver.got();
    assert_eq!(1, got.len());
    assert_eq!(("POST", "/ping/s3cret"), (got[0].method.as_str(), got[0].path.as_str()));
}

#[test]
fn all_problems_of_a_channel_are_told_at_once() {
    let check = |text: &str, expected: &[&str]| {
        let found = channel(text).check(&builtin());
        let found: Vec<String> =
            found.iter().map(|one| format!("{}: {}; {}", one.key, one.reason, one.hint)).collect();
        assert_eq!(expected.len(), found.len(), "{found:#?}");
        for (expected, found) in expected.iter().zip(&found) {
            assert!(found.starts_with(expected), "{found}");
        }
    };
    check("type = \"webhook\"\nname = \"a\"\nurl = \"https://x.example.org/h?k=v\"", &[]);
    check("type = \"slack\"\nname = \"a\"\nurl_file = \"/etc/x\"", &[]);
    check("type = \"pagerduty\"\nname = \"a\"", &[]);
    check(
        "type = \"slack\"\nname = \"A b\"\nurl = \"https://hooks.slack.com/services/s3cret\"\n\
         path = \"/x\"\ntimeout = \"0s\"\nretry_for = \"1s\"\nrules = [\"auth.nothing\"]",
        &[
            "name: `A b` is no name for a channel; write a-z",
            "url: a channel of type `slack` has no such setting; its address is a secret",
            "path: a channel of type `slack` has no such setting; take it out",
            "timeout: `0s` is no sensible wait",
            "retry_for: `1s` is too short",
            "rules: `auth.nothing` is the id of no rule",
        ],
    );
    check("type = \"exec\"\nname = \"mail\"", &["name: `mail` is taken", "command: missing"]);
    check("type = \"ntfy\"\nname = \"a\"", &["url: missing"]);
    check("type = \"file\"\nname = \"a\"\nrules = []", &["path: missing", "rules: nothing"]);
}

#[test]
fn a_missing_secret_is_named_with_both_ways_to_hand_it_over() {
    let config = channel("type = \"slack\"\nname = \"ops\"");
    let problem = channel_problem(&config, None, samples::START).expect_err("no address");
    assert!(problem.contains("`url_file`") && problem.contains("`channel-ops-url`"), "{problem}");
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("channel-ops-url"), "http://127.0.0.1:9/s3cret").expect("it");
    channel_problem(&config, Some(dir.path()), samples::START).expect("a credential");
    let pager = channel("type = \"pagerduty\"\nname = \"pager\"");
    let problem = channel_problem(&pager, Some(dir.path()), samples::START).expect_err("no key");
    assert!(problem.contains("`channel-pager-routing-key`"), "{problem}");
}

#[test]
fn a_test_tells_a_sample_and_closes_what_it_opened() {
    for (kind, requests) in [("slack", 1), ("pagerduty", 2), ("alertmanager", 2), ("webhook", 1)] {
        let bench = Bench::new(&[TAKEN]);
        let config = bench.config(kind);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let now = bench.clock.now();
        let test = test_channel(&config, None, samples::context(), now);
        runtime.expect("a runtime").block_on(test).expect("taken");
        assert_eq!(requests, bench.receiver.got().len(), "{kind}");
    }
}
