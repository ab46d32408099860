//! What no line tells, as its operator hears of it: logs that were tampered with, sources that
//! cannot be read, receivers that take nothing.

use std::collections::BTreeSet;
use std::net::TcpListener;

use gatewatch::engine::detect::{Alert, AlertState};
use gatewatch::store::AlertFilter;

use super::smtp::{Mail, MailServer};
use super::support::json_lines;
use super::*;

/// The transitions of rule `id` that are stored, the oldest first.
fn alerts(place: &Place, id: &str) -> Vec<Alert> {
    let reader = until("the store", || StoreReader::open(&place.state()).ok());
    let mut alerts = reader.alerts(&AlertFilter::default()).expect("the alerts");
    alerts.retain(|alert| alert.rule.id == id);
    alerts.reverse();
    alerts
}

/// Waits until rule `id` was so in the store, and tells about whom.
#[track_caller]
fn until_told(place: &Place, id: &str, state: AlertState) -> Alert {
    until(&format!("{id} {}", state.name()), || {
        alerts(place, id).into_iter().find(|alert| alert.state == state)
    })
}

/// The same of the rule about deliveries, where it is about `channel`. A second is a short time: on a
/// busy machine others may be told, too.
#[track_caller]
fn until_told_of(place: &Place, channel: &str, state: AlertState) -> Alert {
    let is_it =
        |alert: &Alert| alert.state == state && alert.group_value("channel") == Some(channel);
    until(&format!("{channel} {}", state.name()), || {
        alerts(place, "ops.delivery").into_iter().find(is_it)
    })
}

/// `[rules]` in which `id` waits for a second only.
fn at_once(place: &Place, id: &str, reported: &str) -> String {
    let file = place.path().join("rules.toml");
    let rule = format!(
        "schema = 1\n[[rule]]\nid = {id:?}\ntitle = \"Quick\"\ncategory = \"ops\"\ngroup_by = []\n\
         window = \"1s\"\nreported = {reported:?}\nseverity = \"high\"\n\
         explain = \"{{source}}{{channel}}: {{detail}}\"\n"
    );
    fs::write(&file, rule).expect("the rules are written");
    format!("[rules]\nfiles = [{file:?}]\n")
}

/// A request that is an alert by itself.
fn alarm(place: &Place) {
    let time = clf(now());
    let line =
        format!("198.51.100.9 - - [{time}] \"GET /.git/config HTTP/1.1\" 200 99 \"-\" \"-\"\n");
    open_log(&place.log("access.log")).write_all(line.as_bytes()).expect("the log is written");
}

#[test]
fn a_log_that_is_emptied_is_told_to_everybody_and_rotations_are_not() {
    let (place, mail) = (Place::new(), MailServer::start());
    let log = place.log("access.log");
    place.configure(&format!("{}{}", mail.settings(), source(&log)));
    write(&log, 0..100);
    let mut daemon = place.run(&[]);
    place.until_delivered(100);
    fs::rename(&log, place.log("access.log.1")).expect("rotated");
    write(&log, 100..200);
    place.until_delivered(200);
    fs::copy(&log, place.log("access.log.2")).expect("copied");
    open_log(&log).set_len(0).expect("truncated");
    write(&log, 200..300);
    place.until_delivered(300);
    assert_eq!(Vec::<Alert>::new(), alerts(&place, "ops.tamper"));
    open_log(&log).set_len(0).expect("truncated");
    let alert = until_told(&place, "ops.tamper", AlertState::Firing);
    let path = log.display().to_string();
    assert_eq!(Some(path.as_str()), alert.group_value("file"));
    assert_eq!(Some("site"), alert.group_value("source"));
    let begun = alert.at;
    let mail = until("the mail", || mail.mails().first().cloned());
    assert!(mail.subject.contains("A log file was changed"), "{}", mail.subject);
    assert!(!mail.message_id.is_empty() && begun <= mail.at && mail.raw.contains("ops.tamper"));
    write(&log, 300..310);
    place.until_delivered(310);
    assert!(daemon.stops().success(), "{}", daemon.words());
    let logged = json_lines(&place.state().join("alerts.jsonl"));
    let logged: Vec<_> =
        logged.iter().filter(|one| one.to_string().contains("ops.tamper")).collect();
    assert_eq!(1, logged.len(), "in the alert log, once");
    let sent = json_lines(&place.events());
    let is_told = |event: &&serde_json::Value| event["rule"]["id"] == "ops.tamper";
    assert_eq!(1, sent.iter().filter(is_told).count(), "by the sink, once");
    check_events(&place, 310);
}

#[test]
fn a_source_that_cannot_be_read_is_told_in_the_words_of_readiness_and_a_rotation_is_not() {
    let place = Place::new();
    let (log, other) = (place.log("access.log"), place.log("other.log"));
    let other_source = source(&other).replace("site", "other");
    let rules = at_once(&place, "ops.unreadable", "unreadable");
    place.configure(&format!("{}{other_source}{rules}", source(&log)));
    write(&log, 0..3);
    write(&other, 3..5);
    let mut daemon = place.run(&[]);
    let pages = Pages::of(&mut daemon);
    place.until_delivered(5);
    pages.until_ready(true, "source other");
    // Rotated, and nothing is written as yet.
    fs::rename(&other, place.log("other.log.1")).expect("rotated");
    pages.until_ready(false, "no file matches");
    fs::rename(&log, place.log("kept")).expect("renamed");
    fs::create_dir(&log).expect("a directory");
    pages.until_ready(false, "source site");
    let alert = until_told(&place, "ops.unreadable", AlertState::Firing);
    assert_eq!(Some("site"), alert.group_value("source"));
    let (_, body) = try_get(pages.address(), "/readyz").expect("an answer");
    let reason = alert.summary.strip_prefix("site").and_then(|rest| rest.split_once(": "));
    let reason = reason.expect("a reason").1.to_owned();
    assert!(body.contains(&reason), "no `{reason}` in {body}");
    fs::remove_dir(&log).expect("removed");
    write(&log, 5..6);
    assert_eq!(alert.id, until_told(&place, "ops.unreadable", AlertState::Resolved).id);
    assert_eq!(2, alerts(&place, "ops.unreadable").len(), "nothing about the rotated one");
    assert!(daemon.stops().success(), "{}", daemon.words());
}

/// A port on which nobody listens.
fn closed_port() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    listener.local_addr().expect("bound")
}

#[test]
fn mail_that_cannot_be_sent_is_told_by_the_sinks_and_the_alert_log() {
    let place = Place::new();
    let address = closed_port();
    let rules = at_once(&place, "ops.delivery", "delivery");
    let settings = format!(
        "[mail]\nsmtp = \"smtp://{address}\"\nfrom = \"gatewatch@example.org\"\n\
         to = [\"analyst@example.org\"]\n"
    );
    place.configure(&format!("{settings}{}{rules}", source(&place.log("access.log"))));
    let mut daemon = place.run(&[]);
    let pages = Pages::of(&mut daemon);
    pages.until_ready(false, "no file matches");
    alarm(&place);
    let alert = until_told_of(&place, "mail", AlertState::Firing);
    let sunk = |state: &str| {
        json_lines(&place.events()).into_iter().find(|event| {
            let told = &event["gatewatch"]["alert"];
            told["id"] == *alert.id && told["state"] == state
        })
    };
    until("the alert in the sink", || sunk("firing"));
    let log = place.state().join("alerts.jsonl");
    until("the alert in the alert log", || {
        let lines = json_lines(&log);
        lines.iter().any(|line| line.to_string().contains(&alert.id)).then_some(())
    });
    assert!(daemon.stops().success(), "{}", daemon.words());
    // A start tries at once; nothing is left that waits.
    let mails = MailServer::on(TcpListener::bind(address).expect("the port is free still"));
    let mut daemon = place.run(&[]);
    until("the mails", || (2 <= mails.mails().len()).then_some(()));
    assert_eq!(alert.id, until_told_of(&place, "mail", AlertState::Resolved).id);
    until("the end in the sink", || sunk("resolved"));
    assert!(daemon.stops().success(), "{}", daemon.words());
}

#[test]
fn a_receiver_that_takes_nothing_is_told_by_mail_until_it_does() {
    let (place, mail) = (Place::new(), MailServer::start());
    let address = closed_port();
    let rules = at_once(&place, "ops.delivery", "delivery");
    let sink =
        format!("[[sink]]\ntype = \"syslog\"\nname = \"siem\"\naddress = \"tcp://{address}\"\n");
    let access = place.log("access.log");
    place.configure(&format!("{}{sink}{}{rules}", mail.settings(), source(&access)));
    write(&access, 0..5);
    let mut daemon = place.run(&[]);
    let alert = until_told_of(&place, "sink siem", AlertState::Firing);
    until("the mail", || {
        mail.mails().iter().any(|mail| mail.raw.contains("sink siem")).then_some(())
    });
    let siem = TcpListener::bind(address).expect("the port is free still");
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = siem.accept()?;
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    assert_eq!(alert.id, until_told_of(&place, "sink siem", AlertState::Resolved).id);
    assert!(daemon.stops().success(), "{}", daemon.words());
    assert!(0 < reader.join().expect("it ends").expect("it reads"));
    let of_siem = |alert: &Alert| alert.group_value("channel") == Some("sink siem");
    let told: BTreeSet<String> =
        alerts(&place, "ops.delivery").into_iter().filter(of_siem).map(|alert| alert.id).collect();
    assert_eq!(1, told.len(), "one outage is one alert");
}

/// A mail without its encoding for the wire, as far as this one goes.
fn plain(mail: &str) -> String {
    let joined = mail.replace("=\r\n", "");
    let mut parts = joined.split('=');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => bytes.extend_from_slice(format!("={part}").as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Requests that want to be something else where they are read.
fn hostile(time: &str) -> Vec<String> {
    let forged = format!("192.0.2.66 - root [{time}] %22GET /forged HTTP/1.1%22 200 9");
    let line = |client: &str, user: &str, path: &str, agent: &str| {
        format!("{client} - {user} [{time}] \"GET {path} HTTP/1.1\" 404 9 \"-\" \"{agent}\"\n")
    };
    let mut lines = vec![
        line("198.51.100.1", "-", &format!("/a%0a{}", forged.replace(' ', "%20")), "-"),
        line("198.51.100.2", "-", "/b", "\u{1b}]0;owned\u{7}\u{1b}[2J"),
        line("198.51.100.3", "-", "/c\u{202e}gnp.exe", "-"),
        line(
            "198.51.100.4",
            "-",
            &format!("/{}%0d%0aBcc:%20all@example.org", "d".repeat(1000)),
            "-",
        ),
        line("198.51.100.5", "-", &format!("/{}", "e".repeat(60_000)), "-"),
    ];
    // A name that is markup fails as often as an alert needs.
    let user = "<img/src=x/onerror=alert(1)>";
    lines.extend(
        (0..25).map(|_| line("198.51.100.6", user, "/members/", "-").replace(" 404 ", " 401 ")),
    );
    lines
}

#[test]
fn hostile_lines_make_no_event_of_their_own_and_reach_nobody_raw() {
    let (place, mail) = (Place::new(), MailServer::start());
    let log = place.log("access.log");
    place.configure(&format!("{}{}", mail.settings(), source(&log)));
    let lines = hostile(&clf(now()));
    open_log(&log).write_all(lines.concat().as_bytes()).expect("the log is written");
    let mut daemon = place.run(&[]);
    place.until_delivered(lines.len() as u64);
    let wanted: BTreeSet<String> = (1..=4).map(|n| format!("198.51.100.{n}")).collect();
    let found = until("log injection", || {
        let alerts = alerts(&place, "ops.log_injection");
        let clients: BTreeSet<String> = alerts
            .iter()
            .filter_map(|one| one.group_value("client.net"))
            .map(String::from)
            .collect();
        (wanted == clients).then_some(alerts.len())
    });
    assert_eq!(4, found);
    until_told(&place, "auth.bruteforce.client", AlertState::Firing);
    // One about what was sent, and one about who guesses.
    let tells = |words: &str| mail.mails().iter().any(|one| one.raw.contains(words));
    until("the mails", || {
        (tells("ops.log_injection") && tells("auth.bruteforce.client")).then_some(())
    });
    assert!(daemon.stops().success(), "{}", daemon.words());
    assert_eq!(lines.len(), place.sunk().len(), "an event for each line, and no other");
    for event in place.sunk() {
        let client = event["source"]["ip"].as_str().expect("a client");
        assert!(client.starts_with("198.51.100."), "{event}");
    }
    // Control characters that neither a mail nor a file of lines has a use for.
    let is_raw =
        |c: char| (c.is_control() && !"\r\n".contains(c)) || ('\u{202a}'..='\u{202e}').contains(&c);
    for mail in mail.mails().iter() {
        let text = plain(&mail.raw);
        let raw = text.find(is_raw).map(|at| text[at..].chars().take(20).collect::<String>());
        assert_eq!(None, raw, "in: {}", mail.subject);
        let (_, page) = text.split_once("text/html").expect("a page");
        assert!(!page.contains("<img"), "markup in: {}", mail.subject);
        assert!(text.lines().all(|line| !line.starts_with("Bcc:")), "{text}");
        assert!(mail.raw.lines().all(|line| line.len() <= 998), "a line too long for mail");
    }
    let escaped = |mail: &Mail| plain(&mail.raw).contains("&#60;img/src=x/onerror");
    assert!(mail.mails().iter().any(escaped), "the name is shown as text");
    for file in [place.events(), place.state().join("alerts.jsonl")] {
        let text = fs::read_to_string(&file).expect("it is there and UTF-8");
        assert!(!text.contains(is_raw), "{}", file.display());
    }
    let words = daemon.words();
    assert!(!words.contains(|c| is_raw(c) && c != '\t'), "{words:?}");
}

#[test]
fn three_days_of_backlog_with_twenty_attacks_are_one_mail() {
    let (place, mail) = (Place::new(), MailServer::start());
    let log = place.log("access.log");
    place.configure(&format!("{}{}", mail.settings(), source(&log)));
    let start = now().minus(Period::from_secs(3 * 86_400));
    let mut text = String::new();
    // A request a minute, and twenty clients who guess in an hour of their own.
    for minute in 0..3 * 1440 - 60 {
        let time = clf(start.plus(Period::from_secs(60 * minute)));
        text.push_str(&format!(
            "192.0.2.8 - - [{time}] \"GET /{minute} HTTP/1.1\" 200 9 \"-\" \"-\"\n"
        ));
        if minute % 200 < 20 && minute / 200 < 20 {
            let (client, user) = (minute / 200 + 1, minute % 200);
            for try_ in 0..3 {
                text.push_str(&format!(
                    "198.18.{client}.7 - user{user} [{time}] \"GET /members/{try_} HTTP/1.1\" 401 9 \"-\" \"-\"\n"
                ));
            }
        }
    }
    let lines = text.lines().count() as u64;
    open_log(&log).write_all(text.as_bytes()).expect("the log is written");
    let mut daemon = place.run(&[]);
    place.until_delivered(lines);
    let firing = |alert: &Alert| alert.state == AlertState::Firing && alert.backfill;
    let spraying = alerts(&place, "auth.spray.client").iter().filter(|one| firing(one)).count();
    assert_eq!(20, spraying, "each attack is an alert");
    // Told together a minute later: a run from cron sends what is due, and ends.
    assert!(daemon.stops().success(), "{}", daemon.words());
    assert_eq!(0, mail.mails().len(), "not one by one");
    let reader = StoreReader::open(&place.state()).expect("the store is there");
    let waiting =
        reader.outbox_due("mail", now().plus(Period::from_secs(120)), 1000).expect("read");
    assert!(2 <= waiting.len(), "more than one has something to tell");
    for message in &waiting {
        // An operator who has the patience to wait a minute needs none here.
        reader.outbox_failed(message.id, "not yet", now()).expect("marked");
    }
    let mut daemon = place.run(&[]);
    let first = until("the mail", || mail.mails().first().cloned());
    until("an empty outbox", || (reader.outbox_counts().ok()?.waiting == 0).then_some(()));
    assert!(daemon.stops().success(), "{}", daemon.words());
    assert_eq!(1, mail.mails().len(), "{}", first.subject);
    let all = format!("{} alerts were raised while old lines were read", waiting.len());
    assert!(first.subject.contains(&all), "{}", first.subject);
}
