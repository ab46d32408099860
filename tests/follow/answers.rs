//! What people say to alerts by other processes while the daemon runs, and what comes of it.

use std::collections::BTreeMap;

use gatewatch::engine::detect::Alert;
use gatewatch::units::Timestamp;
use serde_json::Value;

use super::smtp::{Mail, MailServer};
use super::support::json_lines;
use super::*;

/// A daemon with a rule that fires by one request and is over a minute later.
struct Bench {
    place: Place,
    mail: MailServer,
    daemon: Running,
    start: Timestamp,
}

impl Bench {
    fn start() -> Self {
        let (place, mail) = (Place::new(), MailServer::start());
        let file = place.path().join("rules.toml");
        let rule = "schema = 1\n[[rule]]\nid = \"own.alarm\"\ntitle = \"Alarm\"\nwhere = { \
                    \"url.path\" = \"/alarm\" }\ngroup_by = [\"client.net\"]\nwindow = \"10s\"\n\
                    threshold = 1\nresolve_after = \"20s\"\nseverity = \"high\"\nexplain = \
                    \"alarm by {client.net}\"\n";
        fs::write(&file, rule).expect("the rules are written");
        let rules = format!("[rules]\nfiles = [{file:?}]\n");
        place.configure(&format!("{}{rules}{}", mail.settings(), source(&place.log("a.log"))));
        let daemon = place.run(&[]);
        // What comes later has times of the next minutes: the log's clock is the one that counts.
        let start = now();
        Self { place, mail, daemon, start }
    }

    /// A request by `client`, so many seconds after the start.
    fn asks(&self, client: &str, seconds: u64, path: &str) {
        let time = clf(self.start.plus(Period::from_secs(seconds)));
        let line = format!("{client} - - [{time}] \"GET {path} HTTP/1.1\" 404 9 \"-\" \"-\"\n");
        open_log(&self.place.log("a.log")).write_all(line.as_bytes()).expect("written");
    }

    /// The alert about `client`, once it is in the store in this state.
    fn alert(&self, client: &str, state: AlertState) -> Alert {
        let reader = until("the store", || StoreReader::open(&self.place.state()).ok());
        until(&format!("{client} {}", state.name()), || {
            let all = reader.alerts(&AlertFilter::default()).ok()?;
            let is_it =
                |one: &Alert| one.state == state && one.group_value("client.net") == Some(client);
            all.into_iter().find(is_it)
        })
    }

    /// Waits for the mail about `client`; the answer is the mails so far, by subject.
    fn mails_until(&self, client: &str) -> Vec<String> {
        until(&format!("the mail about {client}"), || {
            let mails = self.mail.mails();
            let about = |mail: &Mail| mail.subject.contains(client);
            mails.iter().any(about).then(|| mails.iter().map(|one| one.subject.clone()).collect())
        })
    }

    fn ask(&self, command: &[&str], arguments: &[&str]) -> String {
        let (status, out, errors) = self.place.ask(command, arguments);
        assert!(status.success(), "{command:?} {arguments:?}: {errors}");
        out
    }

    fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        let all = [&["--output", "json"], arguments].concat();
        let out = self.ask(&["alerts"], &all);
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

#[test]
fn what_was_acknowledged_is_not_told_again_and_what_is_silenced_not_at_all() {
    let mut bench = Bench::start();
    bench.asks("203.0.113.7", 0, "/alarm");
    let first = bench.alert("203.0.113.7", AlertState::Firing);
    let mails = bench.mails_until("203.0.113.7");
    assert_eq!(1, mails.len(), "{mails:?}");
    let code = first.code();
    assert!(bench.mail.mails()[0].raw.contains(&format!("gatewatch ack {code}")));
    // The begin of the code will do; nobody asks for the hyphen.
    let said = bench.ask(&["ack"], &[&code.replace('-', "").to_lowercase()[..7], "--note", "mine"]);
    assert!(said.contains("unless it gets worse") && said.contains(&code), "{said}");

    let silenced = bench.ask(
        &["silence"],
        &["--rule", "own.*", "--client", "198.51.100.0/24", "--for", "1h", "--reason", "a test"],
    );
    assert!(silenced.starts_with("silence 1: "), "{silenced}");
    bench.asks("198.51.100.1", 100, "/alarm");
    bench.alert("203.0.113.7", AlertState::Resolved);
    bench.asks("192.0.2.1", 110, "/alarm");
    let mails = bench.mails_until("192.0.2.1");
    assert_eq!(2, mails.len(), "neither the end of one nor the begin of the other: {mails:?}");
    let muted = bench.alert("198.51.100.1", AlertState::Firing).muted_by;
    assert_eq!(Some("silence 1: a test"), muted.as_deref());

    bench.ask(&["silence"], &["--end", "1"]);
    bench.asks("198.51.100.2", 120, "/alarm");
    assert_eq!(3, bench.mails_until("198.51.100.2").len());
    let list = bench.ask(&["silence"], &["--list"]);
    assert!(list.contains("ended") && list.contains("a test"), "{list}");

    let logged = bench.place.state().join("alerts.jsonl");
    let answered = until("the answer in the alert log", || {
        let lines = json_lines(&logged);
        lines.into_iter().find(|line| line["event"]["action"] == "alert_answered")
    });
    assert_eq!("ack", answered["gatewatch"]["alert"]["answer"]["reply"]);
    assert_eq!("mine", answered["gatewatch"]["alert"]["answer"]["note"]);
    assert_eq!(first.id, answered["gatewatch"]["alert"]["id"].as_str().expect("an id"));
    assert!(bench.daemon.stops().success(), "{}", bench.daemon.words());
}

#[test]
fn a_snooze_puts_the_end_off_and_holds_over_a_restart() {
    let mut bench = Bench::start();
    bench.asks("203.0.113.7", 0, "/alarm");
    let alert = bench.alert("203.0.113.7", AlertState::Firing);
    bench.mails_until("203.0.113.7");
    bench.ask(&["snooze"], &[&alert.code(), "4h"]);
    let reader = StoreReader::open(&bench.place.state()).expect("the store");
    // What is being sent at this moment is none of it.
    let waiting = || -> Vec<String> {
        let mut all = reader.outbox_waiting("mail", 9).expect("readable");
        all.retain(|one| now().plus(Period::from_secs(3 * 3600)) < one.due);
        all.into_iter().map(|one| one.transition).collect()
    };
    assert_eq!(["snoozed-1"], waiting().as_slice(), "to be told when the time is up");
    assert!(bench.daemon.stops().success(), "{}", bench.daemon.words());
    bench.daemon = bench.place.run(&[]);
    bench.asks("192.0.2.1", 100, "/alarm");
    bench.alert("203.0.113.7", AlertState::Resolved);
    let mails = bench.mails_until("192.0.2.1");
    assert_eq!(2, mails.len(), "{mails:?}");
    assert_eq!(["resolved"], waiting().as_slice(), "in place of the reminder");
    let (status, _, errors) = bench.place.ask(&["snooze"], &[&alert.code(), "4h"]);
    assert!(status.code() == Some(2) && errors.contains("it is over"), "{errors}");
    assert!(bench.daemon.stops().success(), "{}", bench.daemon.words());
}

#[test]
fn verdicts_are_listed_counted_and_can_be_asked_for() {
    let mut bench = Bench::start();
    let clients: Vec<String> = (1..=6).map(|n| format!("203.0.{n}.7")).collect();
    let mut codes = BTreeMap::new();
    for (n, client) in clients.iter().enumerate() {
        bench.asks(client, 10 * n as u64, "/alarm");
        codes.insert(client.clone(), bench.alert(client, AlertState::Firing).code());
        bench.mails_until(client);
    }
    let of = |n: usize| codes[&clients[n]].as_str();
    bench.ask(&["confirm"], &[of(0), "--note", "they \u{1b}[31mgot in"]);
    bench.ask(&["false-positive"], &[of(1), of(2)]);
    bench.ask(&["expected"], &[of(3)]);
    bench.ask(&["false-positive"], &[of(4)]);
    bench.ask(&["expected"], &[of(4)]);

    let verdicts: Vec<Value> = bench
        .objects(&["--rule", "own.*"])
        .iter()
        .rev()
        .filter(|one| one["gatewatch"]["alert"]["state"] == "firing")
        .map(|one| one["gatewatch"]["alert"]["verdict"]["reply"].clone())
        .collect();
    let expected = [
        "confirm".into(),
        "false-positive".into(),
        "false-positive".into(),
        "expected".into(),
        "expected".into(),
        Value::Null,
    ];
    assert_eq!(expected, verdicts.as_slice());
    let unanswered = bench.objects(&["--unanswered"]);
    assert!(unanswered.iter().all(|one| one["source"]["ip"] == *clients[5]), "{unanswered:?}");
    assert!(!unanswered.is_empty());
    for arguments in [["--client", "203.0.2.0/24"], ["--incident", of(1)]] {
        let found = bench.objects(&arguments);
        assert!(!found.is_empty());
        assert!(found.iter().all(|one| one["source"]["ip"] == *clients[1]), "{found:?}");
    }
    assert_eq!(0, bench.objects(&["--user", "nobody"]).len());
    assert_eq!(0, bench.objects(&["--severity", "critical"]).len());
    assert_eq!(2, bench.objects(&["--state", "firing", "-n", "2"]).len());
    let shown = bench.ask(&["alerts", "show"], &[of(0)]);
    assert!(shown.contains("confirm by ") && shown.contains("they \\x1B[31mgot in"), "{shown}");

    let rules = bench.ask(&["alerts", "rules"], &["--output", "json"]);
    let rules: Vec<Value> =
        rules.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let own = rules.iter().find(|rule| rule["rule"] == "own.alarm").expect("the rule");
    assert_eq!((6, 6), (own["fired"].as_u64().unwrap(), own["mailed"].as_u64().unwrap()));
    let counts = ["confirmed", "false_positive", "expected"].map(|name| own[name].as_u64());
    assert_eq!([Some(1), Some(2), Some(2)], counts);
    assert_eq!(Some(0.2), own["precision"]["share"].as_f64());
    let table = bench.ask(&["alerts", "rules"], &[]);
    assert!(table.contains("20 % (5 to 56 %)"), "{table}");

    let (status, _, errors) = bench.place.ask(&["ack"], &["00000000000000"]);
    assert_eq!(Some(66), status.code());
    assert!(errors.contains("the newest ones are") && errors.contains(of(5)), "{errors}");
    assert!(bench.daemon.stops().success(), "{}", bench.daemon.words());
}

#[test]
fn a_silence_without_reason_end_or_aim_is_refused_with_what_to_write() {
    let place = Place::new();
    place.configure(&source(&place.log("a.log")));
    assert!(place.run(&["--once"]).ends().success());
    let check = |arguments: &[&str], words: &str| {
        let (status, out, errors) = place.ask(&["silence"], arguments);
        assert_eq!((Some(2), ""), (status.code(), out.as_str()), "{errors}");
        assert!(errors.contains(words), "{errors}");
    };
    let (rule, reason, lasting) =
        (["--rule", "http.flood.site"], ["--reason", "x"], ["--for", "1h"]);
    check(&[&rule[..], &lasting].concat(), "add --reason 'TEXT'");
    check(&[&rule[..], &lasting, &["--reason", " "]].concat(), "add --reason 'TEXT'");
    check(&[&rule[..], &reason].concat(), "add --for 8h");
    check(&[&reason[..], &lasting].concat(), "say what is to be silent");
    check(&[&rule[..], &reason, &["--for", "91d"]].concat(), "[[allow]]");
    check(&[&["--rule", "no.such"], &reason[..], &lasting].concat(), "gatewatch rules list");
    check(&[&["--rule", "auth.*"], &reason[..], &lasting].concat(), "by their whole id only");
    check(&[&["--client", "10.0.0"], &reason[..], &lasting].concat(), "192.0.2.0/24");
    let (status, out, errors) = place
        .ask(&["silence"], &[&["--rule", "auth.*", "--user", "a"], &reason[..], &lasting].concat());
    assert!(status.success() && out.contains("rule auth.*, user a"), "{errors}");
    let (status, _, errors) = place.ask(&["silence"], &["--end", "7"]);
    assert!(status.code() == Some(66) && errors.contains("--list"), "{errors}");
}

#[test]
fn explain_counts_again_what_the_store_holds_and_tries_other_limits() {
    let mut bench = Bench::start();
    // All of it has happened.
    bench.start = bench.start.minus(Period::from_secs(20));
    for second in [0, 3, 6] {
        bench.asks("203.0.113.7", second, "/alarm");
    }
    let alert = bench.alert("203.0.113.7", AlertState::Firing);
    bench.place.until_delivered(3);
    until("the third request", || {
        let told = bench.ask(&["explain"], &[&alert.code()]);
        told.contains("limit 3: fires at").then_some(())
    });
    // The end knows until when it went on, which is the time that is counted again.
    bench.asks("192.0.2.1", 200, "/alarm");
    bench.alert("203.0.113.7", AlertState::Resolved);
    let told = bench.ask(&["explain"], &[&alert.code()]);
    for words in [
        "counted    1 events",
        "rule says  1 events within 10s  (this one was reached)",
        "a.log:0  ",
        "with all 1 events",
        "limit 1 (in force): fires at",
        "limit 3: fires at",
        "limit 5: silent",
    ] {
        assert!(told.contains(words), "no `{words}` in {told}");
    }
    let json = bench.ask(&["explain"], &["--output", "json", &alert.id]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let third = json["what_if"].as_array().expect("a list").iter().find(|one| one["limit"] == 3);
    assert_eq!(Some(3), third.expect("tried")["at_event"].as_u64());
    assert_eq!(true, json["evidence"][0]["in_store"]);
    assert!(bench.daemon.stops().success(), "{}", bench.daemon.words());
    fs::write(bench.place.path().join("rules.toml"), "schema = 1\n").expect("written");
    let told = bench.ask(&["explain"], &[&alert.code()]);
    assert!(told.contains("not in force any more"), "{told}");
}
