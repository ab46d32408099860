//! Alerts to be written: an ordinary one, and one of which every text is hostile.

use std::collections::BTreeMap;

use gatewatch::engine::detect::{Alert, AlertState, Evidence, RuleInfo, Severity};
use gatewatch::engine::render::{EncodingEntry, Shrink};
use gatewatch::units::{Period, Timestamp};

use super::events::encoder;

pub(super) fn rendered(entry: &EncodingEntry, alert: &Alert) -> String {
    shrunk(entry, alert, Shrink::NONE)
}

pub(super) fn shrunk(entry: &EncodingEntry, alert: &Alert, shrink: Shrink) -> String {
    let mut out = b"before".to_vec();
    encoder(entry.encoding).render_alert(alert, shrink, &mut out);
    let line = String::from_utf8(out).expect("records are UTF-8");
    line.strip_prefix("before").expect("what was there stays").to_owned()
}

/// An alert of which every text that comes from a log is `text`.
pub(super) fn of_text(text: &str) -> Alert {
    let mut alert = burst();
    alert.summary = text.to_owned();
    alert.group = ["client.net", "user", "site"].map(|name| (name.into(), text.into())).to_vec();
    alert.users = vec![text.into(); 10];
    alert.sites = vec![text.into(); 10];
    alert.paths = vec![text.into(); 10];
    let line = alert.evidence.pop().expect("it has a line");
    // Evidence is at most 512 bytes, and ten lines.
    let end = text.floor_char_boundary(512);
    alert.evidence = vec![Evidence { line: text[..end].to_owned(), ..line }; 10];
    alert.addresses =
        (1..=10).map(|host| std::net::Ipv4Addr::new(192, 0, 2, host).into()).collect();
    alert
}

pub(super) fn alerts() -> Vec<Alert> {
    vec![burst(), hostile()]
}

fn burst() -> Alert {
    Alert {
        id: "bfb2dfe59111cba3ef8bf329f5864b9f".into(),
        state: AlertState::Firing,
        rule: RuleInfo {
            id: "auth.bruteforce.client".into(),
            version: 1,
            title: "Failed login burst from one client".into(),
            category: "authentication".into(),
            attack: vec!["T1110".into()],
            advice: vec!["Look at the lines.".into()],
        },
        severity: Severity::High,
        at: Timestamp::from_secs(1_795_160_821),
        group: vec![("client.net".into(), "198.51.100.23".into())],
        summary: "198.51.100.23 failed to log in 12 times in 1 min".into(),
        count: 12,
        distinct: None,
        threshold: 10,
        window: Period::from_secs(60),
        first_event: Timestamp::from_secs(1_795_160_761),
        last_event: Timestamp::from_secs(1_795_160_821),
        addresses: vec!["198.51.100.23".parse().expect("an address")],
        users: vec!["bob".into()],
        sites: vec!["www.example.org".into()],
        paths: vec!["/members/".into()],
        statuses: BTreeMap::from([(401, 12)]),
        successes: 0,
        evidence: vec![Evidence {
            time: Timestamp::from_secs(1_795_160_801),
            file: "/var/log/nginx/access.log".into(),
            offset: 0,
            event_id: "01M7VYQZQ81JRCME75BR5M89E2".into(),
            line: "198.51.100.23 - bob [20/Nov/2026:07:46:41 +0000] \"GET /members/\" 401".into(),
        }],
        escalation: None,
        part: None,
        muted_by: None,
        members_90d: None,
        backfill: false,
        stays: false,
    }
}

fn hostile() -> Alert {
    let text = "a=b|c^d\\e\"f,g\nh\r\ti\0j\u{2028}k\u{202e}l";
    let mut alert = burst();
    alert.state = AlertState::Resolved;
    alert.severity = Severity::Low;
    alert.rule.title = format!("={text}");
    alert.rule.id = "own rule|x".into();
    alert.summary = format!("@{text} src=203.0.113.99");
    alert.group = vec![("user".into(), text.into()), ("site".into(), "a".into())];
    alert.users = vec![text.into(), "-x".into()];
    alert.sites = vec![text.into()];
    alert.paths = vec![text.into()];
    alert.addresses.insert(0, "2001:db8::7".parse().expect("an address"));
    alert.evidence.iter_mut().for_each(|line| line.line = text.into());
    alert
}
