//! An alert as one JSON object with the field names of ECS.
//!
//! The alert log, `scan --output alerts` and `alerts --output json` print the same bytes. Keys come
//! in a fixed order, so that two runs over the same lines differ in nothing; what is not known is
//! absent.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::event_id::EventId;
use super::limits::ALL_ELSE;
use super::of_alert::AlertView;
use crate::engine::answer::{Answer, Standing};
use crate::engine::batch::Origin;
use crate::engine::detect::{Alert, AlertState};
use crate::escape::push_json;
use crate::units::Timestamp;

/// Appends `alert` as one minified JSON object, without a line ending.
///
/// JSON escapes control characters itself, so hostile text cannot end the line.
pub fn alert_json(alert: &Alert, out: &mut Vec<u8>) {
    push_json(out, &document(alert, &[]));
}

/// The same with what people said to it.
pub fn answered_alert_json(alert: &Alert, standing: &Standing<'_>, out: &mut Vec<u8>) {
    let mut document = document(alert, &[]);
    document.gatewatch.alert.verdict = standing.verdict.map(Said::of);
    document.gatewatch.alert.answer = standing.attention.map(Said::of);
    push_json(out, &document);
}

/// An answer as a line of its own, for the alert log: the alert as it was told last, and who said
/// what about it.
pub fn answer_json(alert: &Alert, answer: &Answer, out: &mut Vec<u8>) {
    let mut document = document(alert, &[]);
    document.timestamp = answer.at.rfc3339();
    document.event.action = "alert_answered";
    document.event.id = answer_id(answer);
    let said = Some(Said::of(answer));
    let alert = &mut document.gatewatch.alert;
    match answer.reply.is_verdict() {
        true => alert.verdict = said,
        false => alert.answer = said,
    }
    push_json(out, &document);
}

/// `event.id` of an answer.
fn answer_id(answer: &Answer) -> String {
    let origin = Origin { source: "gatewatch:answer".to_owned(), ..Origin::default() };
    let name = format!("{}-{}", answer.alert, answer.number);
    let id = EventId::new(&origin).of_line(answer.at.ms(), 0, name.as_bytes());
    id.map(char::from).iter().collect()
}

/// The same for a message that must be short: the lines and the advice go first, then the lists. What
/// went is named.
pub(super) fn write(view: &AlertView<'_>, out: &mut Vec<u8>) {
    let limits = view.limits;
    if limits.original != 0 {
        return alert_json(view.alert, out);
    }
    let mut alert = view.alert.clone();
    let mut truncated = vec!["gatewatch.alert.evidence", "gatewatch.alert.advice"];
    alert.rule.advice.clear();
    alert.evidence.clear();
    if !limits.diagnostics {
        truncated = vec![ALL_ELSE];
        alert.statuses.clear();
        for list in [&mut alert.users, &mut alert.sites, &mut alert.paths] {
            list.truncate(1);
            list.iter_mut().for_each(|text| shorten(text, limits.path));
        }
        alert.addresses.truncate(1);
        alert.group.iter_mut().for_each(|(_, value)| shorten(value, limits.path));
        shorten(&mut alert.summary, limits.message);
    }
    if limits.minimal {
        alert.users.clear();
        alert.sites.clear();
        alert.paths.clear();
        alert.group.clear();
    }
    push_json(out, &document(&alert, &truncated));
}

/// Cuts `text` behind its first `max` characters.
fn shorten(text: &mut String, max: usize) {
    if let Some((end, _)) = text.char_indices().nth(max) {
        text.truncate(end);
    }
}

/// Separates the values of a group key, as in the alert's id.
const GROUP_SEPARATOR: &str = "\u{1f}";

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    ecs: Ecs,
    message: &'a str,
    event: Event<'a>,
    rule: Rule<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    threat: Option<Threat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Url<'a>>,
    #[serde(skip_serializing_if = "Related::is_empty")]
    related: Related<'a>,
    gatewatch: Gatewatch<'a>,
}

#[derive(Serialize)]
struct Ecs {
    version: &'static str,
}

#[derive(Serialize)]
struct Event<'a> {
    kind: &'static str,
    category: &'static [&'static str],
    r#type: [&'static str; 1],
    module: &'static str,
    dataset: &'static str,
    action: &'static str,
    code: &'a str,
    id: String,
    severity: u8,
    risk_score: u8,
    start: String,
    end: String,
}

#[derive(Serialize)]
struct Rule<'a> {
    id: &'a str,
    name: &'a str,
    category: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ruleset: Option<&'static str>,
    version: String,
}

#[derive(Serialize)]
struct Threat<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    framework: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    technique: Option<Technique<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    feed: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    indicator: Option<Named<'a>>,
}

impl<'a> Threat<'a> {
    /// The techniques of the rule, and the indicator that an alert is about.
    fn of(alert: &'a Alert) -> Option<Self> {
        let named = |field| alert.group_value(field).map(|name| Named { name });
        let techniques = alert.rule.attack.as_slice();
        let has_any = !techniques.is_empty();
        let threat = Self {
            framework: has_any.then_some("MITRE ATT&CK"),
            technique: has_any.then_some(Technique { id: techniques }),
            feed: named("threat.feed.name"),
            indicator: named("threat.indicator.name"),
        };
        (has_any || threat.feed.is_some() || threat.indicator.is_some()).then_some(threat)
    }
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Technique<'a> {
    id: &'a [String],
}

#[derive(Serialize)]
struct Source<'a> {
    ip: Values<'a, IpAddr>,
}

#[derive(Serialize)]
struct User<'a> {
    name: Values<'a, String>,
}

#[derive(Serialize)]
struct Url<'a> {
    #[serde(skip_serializing_if = "Values::is_empty")]
    domain: Values<'a, String>,
    #[serde(skip_serializing_if = "Values::is_empty")]
    path: Values<'a, String>,
}

/// Of fields that have one value in an event, an alert may know several: then they are a list.
struct Values<'a, T>(&'a [T]);

impl<T> Values<'_, T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Values<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [value] => value.serialize(serializer),
            values => values.serialize(serializer),
        }
    }
}

/// All of each kind, always as lists.
#[derive(Serialize)]
struct Related<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ip: &'a [IpAddr],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    user: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    hosts: &'a [String],
}

impl Related<'_> {
    fn is_empty(&self) -> bool {
        self.ip.is_empty() && self.user.is_empty() && self.hosts.is_empty()
    }
}

#[derive(Serialize)]
struct Gatewatch<'a> {
    alert: Details<'a>,
    /// What had to go.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    truncated: &'a [&'static str],
}

#[derive(Serialize)]
struct Details<'a> {
    id: &'a str,
    state: &'static str,
    severity: &'static str,
    group_key: String,
    group: BTreeMap<&'a str, &'a str>,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    distinct: Option<u64>,
    threshold: u64,
    window_s: u64,
    first_seen: String,
    last_seen: String,
    successes: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    statuses: BTreeMap<u16, u64>,
    sample_ids: Vec<&'a str>,
    evidence: Vec<Line<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    advice: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    escalation: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<Incident<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    muted_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collateral: Option<Collateral>,
    backfill: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Said<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Said<'a>>,
}

/// Whom a block of its clients would hurt.
#[derive(Serialize)]
struct Collateral {
    members_90d: u32,
}

/// What somebody said.
#[derive(Serialize)]
struct Said<'a> {
    reply: &'static str,
    at: String,
    by: Speaker<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

/// A user of the system.
#[derive(Serialize)]
struct Speaker<'a> {
    name: &'a str,
    id: u32,
}

impl<'a> Said<'a> {
    fn of(answer: &'a Answer) -> Self {
        Self {
            reply: answer.reply.name(),
            at: answer.at.rfc3339(),
            by: Speaker { name: &answer.login, id: answer.uid },
            until: answer.until.map(Timestamp::rfc3339),
            note: &answer.note,
        }
    }
}

#[derive(Serialize)]
struct Incident<'a> {
    id: &'a str,
    step: &'static str,
    severity: &'static str,
    alerts: u32,
    opened: String,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    file: &'a str,
    offset: u64,
    event_id: &'a str,
    text: &'a str,
}

fn document<'a>(alert: &'a Alert, truncated: &'a [&'static str]) -> Document<'a> {
    let (first, last) = (alert.first_event.rfc3339(), alert.last_event.rfc3339());
    let is_of_list = alert.rule.category == THREAT;
    Document {
        timestamp: alert.at.rfc3339(),
        ecs: Ecs { version: "8.11.0" },
        message: &alert.summary,
        event: Event {
            kind: "alert",
            category: category(&alert.rule.category),
            r#type: [if is_of_list { "indicator" } else { "info" }],
            module: "gatewatch",
            dataset: "gatewatch.alert",
            action: action(alert.state),
            code: &alert.rule.id,
            id: transition_id(alert),
            severity: alert.severity.score(),
            risk_score: alert.severity.score(),
            start: first.clone(),
            end: last.clone(),
        },
        rule: Rule {
            id: &alert.rule.id,
            name: &alert.rule.title,
            category: &alert.rule.category,
            ruleset: is_of_list.then_some("ioc"),
            version: alert.rule.version.to_string(),
        },
        tags: if is_of_list { &["ioc_match"] } else { &[] },
        threat: Threat::of(alert),
        source: (!alert.addresses.is_empty()).then_some(Source { ip: Values(&alert.addresses) }),
        user: (!alert.users.is_empty()).then_some(User { name: Values(&alert.users) }),
        url: (!alert.sites.is_empty() || !alert.paths.is_empty())
            .then_some(Url { domain: Values(&alert.sites), path: Values(&alert.paths) }),
        related: Related { ip: &alert.addresses, user: &alert.users, hosts: &alert.sites },
        gatewatch: Gatewatch { alert: details(alert, first, last), truncated },
    }
}

fn details(alert: &Alert, first_seen: String, last_seen: String) -> Details<'_> {
    let values: Vec<&str> = alert.group.iter().map(|(_, value)| value.as_str()).collect();
    Details {
        id: &alert.id,
        state: alert.state.name(),
        severity: alert.severity.name(),
        group_key: values.join(GROUP_SEPARATOR),
        group: alert.group.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        count: alert.count,
        distinct: alert.distinct,
        threshold: alert.threshold,
        window_s: alert.window.secs(),
        first_seen,
        last_seen,
        successes: alert.successes,
        // Lines without a status would read as a status 0 that no server sends.
        statuses: alert
            .statuses
            .iter()
            .filter(|(code, _)| **code != 0)
            .map(|(c, n)| (*c, *n))
            .collect(),
        sample_ids: alert
            .evidence
            .iter()
            .map(|line| line.event_id.as_str())
            .filter(|id| !id.is_empty())
            .collect(),
        evidence: alert
            .evidence
            .iter()
            .map(|line| Line {
                time: line.time.rfc3339(),
                file: &line.file,
                offset: line.offset,
                event_id: &line.event_id,
                text: &line.line,
            })
            .collect(),
        advice: &alert.rule.advice,
        escalation: alert.escalation.map(|escalation| escalation.step),
        incident: alert.part.as_ref().map(|part| Incident {
            id: &part.incident,
            step: part.step.name(),
            severity: part.severity.name(),
            alerts: part.alerts,
            opened: part.opened.rfc3339(),
        }),
        muted_by: alert.muted_by.as_deref(),
        collateral: alert.members_90d.map(|members_90d| Collateral { members_90d }),
        backfill: alert.backfill,
        verdict: None,
        answer: None,
    }
}

pub(super) fn action(state: AlertState) -> &'static str {
    match state {
        AlertState::Firing => "alert_firing",
        AlertState::Escalated => "alert_escalated",
        AlertState::Resolved => "alert_resolved",
    }
}

/// The category of rules about indicators.
const THREAT: &str = "threat";

/// ECS allows `info` for each of these but `threat`, which has `indicator`, and no category for what is
/// about operations.
fn category(rule: &str) -> &'static [&'static str] {
    match rule {
        "authentication" => &["authentication"],
        "web" => &["web"],
        THREAT => &["intrusion_detection", "threat"],
        _ => &["intrusion_detection"],
    }
}

/// `event.id` of an alert's transition. Differs between the transitions of one alert and is the same in every replay.
pub fn transition_id(alert: &Alert) -> String {
    let number = match alert.state {
        AlertState::Firing => 0,
        AlertState::Resolved => 1,
        AlertState::Escalated => 1 + alert.escalation.map_or(1, |escalation| escalation.step),
    };
    let origin = Origin { source: "gatewatch:alert".to_owned(), ..Origin::default() };
    let name = format!("{}-{number}", alert.id);
    let id = EventId::new(&origin).of_line(alert.at.ms(), 0, name.as_bytes());
    id.map(char::from).iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::{Evidence, RuleInfo, Severity};
    use crate::units::Period;

    fn alert() -> Alert {
        Alert {
            id: "7a2f4c1d00000000000000000000beef".into(),
            state: AlertState::Firing,
            rule: RuleInfo {
                id: "auth.spray.client".into(),
                version: 1,
                title: "Password spraying from one client".into(),
                category: "authentication".into(),
                attack: vec!["T1110.003".into()],
                advice: vec![],
            },
            severity: Severity::High,
            at: Timestamp::from_secs(1_795_160_801),
            group: vec![("client.net".into(), "203.0.113.7".into()), ("site".into(), "a".into())],
            summary: "14 users failed\nfrom \"203.0.113.7\"".into(),
            count: 41,
            distinct: Some(14),
            threshold: 8,
            window: Period::from_secs(3600),
            first_event: Timestamp::from_secs(1_795_160_000),
            last_event: Timestamp::from_secs(1_795_160_800),
            addresses: vec!["203.0.113.7".parse().unwrap()],
            users: vec!["j.doe".into()],
            sites: vec!["a".into()],
            paths: vec![],
            statuses: BTreeMap::from([(0, 1), (401, 40)]),
            successes: 0,
            evidence: vec![Evidence {
                time: Timestamp::from_secs(1_795_160_000),
                file: "access.log".into(),
                offset: 88_123,
                event_id: "01J".into(),
                line: "GET / \u{1b}[31m".into(),
            }],
            escalation: None,
            part: None,
            muted_by: None,
            members_90d: None,
            backfill: false,
            stays: false,
        }
    }

    fn json(alert: &Alert) -> String {
        let mut out = Vec::new();
        alert_json(alert, &mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn an_alert_is_one_line_with_the_keys_in_their_order() {
        let expected = concat!(
            r#"{"@timestamp":"2026-11-20T07:46:41.000Z","ecs":{"version":"8.11.0"},"#,
            r#""message":"14 users failed\nfrom \"203.0.113.7\"","#,
            r#""event":{"kind":"alert","category":["authentication"],"type":["info"],"#,
            r#""module":"gatewatch","dataset":"gatewatch.alert","action":"alert_firing","#,
            r#""code":"auth.spray.client","id":"@ID@","severity":73,"risk_score":73,"#,
            r#""start":"2026-11-20T07:33:20.000Z","end":"2026-11-20T07:46:40.000Z"},"#,
            r#""rule":{"id":"auth.spray.client","name":"Password spraying from one client","#,
            r#""category":"authentication","version":"1"},"#,
            r#""threat":{"framework":"MITRE ATT&CK","technique":{"id":["T1110.003"]}},"#,
            r#""source":{"ip":"203.0.113.7"},"user":{"name":"j.doe"},"#,
            r#""url":{"domain":"a"},"#,
            r#""related":{"ip":["203.0.113.7"],"user":["j.doe"],"hosts":["a"]},"#,
            r#""gatewatch":{"alert":{"id":"7a2f4c1d00000000000000000000beef","state":"firing","#,
            r#""severity":"high","group_key":"203.0.113.7\u001fa","#,
            r#""group":{"client.net":"203.0.113.7","site":"a"},"count":41,"distinct":14,"#,
            r#""threshold":8,"window_s":3600,"first_seen":"2026-11-20T07:33:20.000Z","#,
            r#""last_seen":"2026-11-20T07:46:40.000Z","successes":0,"statuses":{"401":40},"#,
            r#""sample_ids":["01J"],"evidence":[{"time":"2026-11-20T07:33:20.000Z","#,
            r#""file":"access.log","offset":88123,"event_id":"01J","text":"GET / \u001b[31m"}],"#,
            r#""backfill":false}}}"#,
        );
        assert_eq!(expected.replace("@ID@", &transition_id(&alert())), json(&alert()));
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let mut alert = alert();
        (alert.addresses, alert.users, alert.sites) = (vec![], vec![], vec![]);
        alert.rule.attack.clear();
        let value: serde_json::Value = serde_json::from_str(&json(&alert)).expect("valid JSON");
        for key in ["source", "user", "url", "threat"] {
            assert_eq!(None, value.get(key));
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_reads_back_the_same() {
        let mut alert = alert();
        alert.summary = "a\u{202e}b\u{9b}2J\u{7f}\u{e0041}\u{e9}\r\n".into();
        let text = json(&alert);
        let shown = r#""message":"a\u202eb\u009b2J\u007f\udb40\udc41é\r\n""#;
        assert!(text.contains(shown), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
        assert_eq!(alert.summary, value["message"]);
    }

    #[test]
    fn each_transition_has_its_own_event_id() {
        let firing = alert();
        let resolved = Alert { state: AlertState::Resolved, ..alert() };
        assert_ne!(transition_id(&firing), transition_id(&resolved));
        assert!(json(&resolved).contains(r#""action":"alert_resolved""#));
        assert_eq!(json(&firing), json(&alert()), "the same alert, the same bytes");
    }
}
