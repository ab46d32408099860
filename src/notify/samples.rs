//! Alerts for the tests of this module.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::tz::TimeZone;

use super::content::MailContext;
use super::mail::{self, RenderedMail};
use crate::engine::detect::{
    Alert, AlertState, Escalation, Evidence, Part, RuleInfo, Severity, Step,
};
use crate::units::{Period, Timestamp};

/// 17 November 2026, 02:11:40 in Paris.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_794_877_900);

pub(crate) fn context() -> MailContext {
    MailContext {
        zone: TimeZone::get("Europe/Paris").expect("a bundled zone"),
        host: "web1.example.org".into(),
        version: "0.1.0".into(),
        min_severity: Severity::Medium,
        organisation: Some("Example Association".into()),
    }
}

/// One client tries the names of many users.
pub(crate) fn spray() -> Alert {
    let line = |n: u64, user: &str| Evidence {
        time: Timestamp::from_secs(START.secs() + 55 * n),
        file: "/var/log/nginx/access.log".into(),
        offset: 88_123 + 214 * n,
        event_id: format!("01KA7J2M{n:018}"),
        line: format!(
            "203.0.113.7 - {user} [17/Nov/2026:02:{:02}:40 +0100] \"POST /login?next=[redacted] \
             HTTP/1.1\" 401 153 \"-\" \"python-requests/2.31.0\"",
            11 + n
        ),
    };
    let users =
        ["j.doe", "m.roe", "admin", "test", "info", "root", "a.smith", "guest", "web", "b.lee"];
    Alert {
        id: "7a2f4c1d9be05d3360c1f0a2b7e4d915".into(),
        state: AlertState::Firing,
        rule: RuleInfo {
            id: "auth.spray.client".into(),
            version: 1,
            title: "Password spraying from one client".into(),
            category: "authentication".into(),
            attack: vec!["T1110.003".into()],
            advice: vec![
                "Nothing was broken into so far. If it goes on, block the client.".into(),
                "If one of these users logged in at that time, reset the password.".into(),
            ],
        },
        severity: Severity::High,
        at: Timestamp::from_secs(START.secs() + 2252),
        group: vec![
            ("client.net".into(), "203.0.113.7".into()),
            ("site".into(), "www.example.org".into()),
        ],
        summary: "14 different user names failed to log in from 203.0.113.7 in 37 minutes; none \
                  of the 41 attempts succeeded."
            .into(),
        count: 41,
        distinct: Some(14),
        threshold: 8,
        window: Period::from_secs(3600),
        first_event: START,
        last_event: Timestamp::from_secs(START.secs() + 2252),
        addresses: vec!["203.0.113.7".parse().unwrap()],
        users: users.map(String::from).to_vec(),
        sites: vec!["www.example.org".into()],
        paths: vec!["/login".into()],
        statuses: BTreeMap::from([(401, 41)]),
        successes: 0,
        evidence: (0..10).map(|n| line(n, users[n as usize])).collect(),
        escalation: None,
        part: None,
        muted_by: None,
        members_90d: None,
        backfill: false,
        stays: false,
    }
}

/// A scanner over IPv6 that got an answer, with all the tricks in its lines.
pub(crate) fn hostile_scan() -> Alert {
    let line = |n: u64, line: &str| Evidence {
        time: Timestamp::from_secs(START.secs() + n),
        file: "/var/log/apache2/other_vhosts_access.log".into(),
        offset: 1_204 * n,
        event_id: String::new(),
        line: line.into(),
    };
    Alert {
        id: "00c0ffee9be05d3360c1f0a2b7e4d915".into(),
        state: AlertState::Firing,
        rule: RuleInfo {
            id: "http.sensitive".into(),
            version: 3,
            title: "Sensitive files asked for by one client".into(),
            category: "web".into(),
            attack: vec!["T1595.003".into()],
            advice: vec![
                "Fetch the paths yourself and see whether they give anything away.".into(),
            ],
        },
        severity: Severity::Critical,
        at: Timestamp::from_secs(START.secs() + 61),
        group: vec![("client.net".into(), "2001:db8:7:1::/64".into())],
        summary: "3 sensitive paths asked for by 2001:db8:7:1::/64 in 1 minute, one answered 200."
            .into(),
        count: 9,
        distinct: Some(3),
        threshold: 3,
        window: Period::from_secs(600),
        first_event: START,
        last_event: Timestamp::from_secs(START.secs() + 61),
        addresses: vec![
            "2001:db8:7:1::a".parse().unwrap(),
            "2001:db8:7:1:dead::b".parse().unwrap(),
        ],
        users: vec!["<b>root</b>".into(), "x\r\nBcc: all@example.org".into()],
        sites: vec!["shop.example.org".into(), "www.example.org".into()],
        paths: vec![
            "/.env".into(),
            "/?q=<script src=https://203.0.113.9/x.js></script>".into(),
            "/\u{202e}gpj.exe".into(),
        ],
        statuses: BTreeMap::from([(0, 1), (200, 1), (403, 2), (404, 5)]),
        successes: 0,
        evidence: vec![
            line(1, "2001:db8:7:1::a - - \"GET /.env HTTP/1.1\" 200 812 \"-\" \"curl/8.5\""),
            line(
                2,
                "2001:db8:7:1::a - - \"GET /\u{1b}[2J\u{1b}[31mowned HTTP/1.1\" 404 - \"http://evil.example/login\" \"<img src=x onerror=alert(1)>\"",
            ),
            line(
                3,
                &format!("2001:db8:7:1:dead::b - - \"GET /{} HTTP/1.1\" 404 -", "A".repeat(400)),
            ),
        ],
        escalation: None,
        part: None,
        muted_by: None,
        members_90d: None,
        backfill: false,
        stays: false,
    }
}

fn resolved() -> Alert {
    let at = Timestamp::from_secs(START.secs() + 2252 + 1800);
    Alert { state: AlertState::Resolved, at, count: 57, ..spray() }
}

/// Ten times as much, and not alone.
fn escalated() -> Alert {
    let first = spray();
    let part = Part {
        incident: "5a31c0de00000000000000000000beef".to_owned(),
        step: Step::Worsened,
        severity: Severity::Critical,
        before: Some(Severity::High),
        alerts: 3,
        opened: Timestamp::from_secs(START.secs() - 3600),
        titles: vec!["2\u{d7} Failed log-ins from one client".to_owned(), first.rule.title.clone()],
        repeats: 3,
    };
    Alert {
        state: AlertState::Escalated,
        severity: Severity::Critical,
        summary: "140 different user names failed to log in from 203.0.113.7 within 38m".into(),
        count: 410,
        distinct: Some(140),
        escalation: Some(Escalation { step: 1, from: Severity::High }),
        part: Some(part),
        ..first
    }
}

fn many() -> Vec<Alert> {
    let copy = |n: usize| Alert {
        id: format!("{n:08x}9be05d3360c1f0a2b7e4d915"),
        group: vec![("client.net".into(), format!("203.0.113.{n}"))],
        severity: if n.is_multiple_of(3) { Severity::High } else { Severity::Medium },
        ..spray()
    };
    (1..=44).map(copy).chain([hostile_scan(), resolved()]).collect()
}

/// Those that wait for each other.
fn few() -> Vec<Alert> {
    many().into_iter().filter(|alert| alert.severity == Severity::Medium).take(5).collect()
}

/// Every kind of mail by the name of its golden files. The first two alerts are read from there,
/// and written there under `UPDATE_GOLDEN=1`.
pub(crate) fn mails(dir: &Path) -> Vec<(&'static str, RenderedMail)> {
    let context = context();
    let stored = |name: &str, alert: Alert| -> Alert {
        let path = dir.join(format!("{name}.json"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let text = serde_json::to_string_pretty(&alert).expect("JSON");
            std::fs::write(&path, format!("{text}\n")).expect("a writable golden file");
        }
        let text = std::fs::read_to_string(&path).expect("a golden alert");
        serde_json::from_str(&text).expect("an alert")
    };
    let (spray, scan) = (stored("spray", spray()), stored("hostile-scan", hostile_scan()));
    let now = |alert: &Alert| alert.at.plus_ms(4_000);
    vec![
        ("spray", mail::render(&spray, &context, now(&spray))),
        ("hostile-scan", mail::render(&scan, &context, now(&scan).plus_ms(11_520_000))),
        ("resolved", mail::render(&resolved(), &context, now(&resolved()))),
        ("update", mail::render(&escalated(), &context, now(&escalated()))),
        ("storm", mail::render_storm(&many(), 117, &context, now(&spray))),
        ("together", mail::render_bundle(&few(), 41, &context, now(&spray))),
        ("old-lines", mail::render_backfill(&many()[..3], 9, &context, now(&spray))),
    ]
}

/// The kinds of elements and attributes in `html`, which no text from a log may add to.
pub(crate) fn tags(html: &str) -> std::collections::BTreeSet<String> {
    let tags = html.split('<').skip(1);
    tags.map(|tag| tag.split([' ', '>']).next().unwrap_or_default().to_owned()).collect()
}

/// The elements that the template makes for [`spray`].
pub(crate) fn tags_of_spray() -> std::collections::BTreeSet<String> {
    let alert = spray();
    tags(&mail::render(&alert, &context(), alert.at).html.unwrap_or_default())
}
