//! Alertmanager's API v2: alerts as it knows them from Prometheus.
//!
//! An alert is told again each minute while it is open, and ends by itself a few minutes after the
//! last time; a resolved one has the moment of its end.
//!
//! Invariant: labels are what an alert is known by, the same at its begin and its end: its rule, its
//! severity and the key the rule groups by. No figure that grows stands in one.

use serde_json::{Map, Value, json};

use super::super::content;
use super::super::text::{cut, safe};
use super::told::Matter;
use super::{Failure, Letter, Parcel};
use crate::engine::detect::{Alert, AlertState};
use crate::units::Period;

/// How often open alerts are told again.
pub(super) const REPEAT_EVERY: Period = Period::from_secs(60);

/// How long an alert outlives the last time it was told: four times may fail, as for Prometheus.
const OUTLIVES: Period = Period::from_secs(4 * REPEAT_EVERY.secs());

/// Characters of a label's value.
const LABEL_MAX: usize = 200;
/// Characters of an annotation.
const ANNOTATION_MAX: usize = 2000;

pub(super) fn render(letter: &Letter<'_>) -> Result<Parcel, Failure> {
    let alerts = match letter.matter {
        Matter::Alert(alert) => std::slice::from_ref(alert),
        Matter::OldLines(alerts) => alerts,
    };
    let mut entries: Vec<Value> = alerts.iter().map(|alert| entry(alert, letter)).collect();
    entries.extend(alerts.iter().filter_map(before).map(|alert| entry(&alert, letter)));
    let body = serde_json::to_vec(&entries).expect("text is JSON");
    Ok(Parcel { path: path_of(letter.path), ..Parcel::json(letter, body) })
}

/// Below the configured address, which may be that of the API already.
fn path_of(path: &str) -> String {
    const END: &str = "/api/v2/alerts";
    let path = path.trim_end_matches('/');
    if path.ends_with(END) { path.to_owned() } else { format!("{path}{END}") }
}

fn entry(alert: &Alert, letter: &Letter<'_>) -> Value {
    // It refuses what ends before it starts, and a log's clock may be ahead of ours.
    let start = alert.first_event.min(letter.now);
    let end = match alert.state {
        AlertState::Firing | AlertState::Escalated => letter.now.plus(OUTLIVES),
        AlertState::Resolved => alert.at.min(letter.now).max(start),
    };
    json!({
        "labels": labels(alert),
        "annotations": annotations(alert, letter),
        "startsAt": start.rfc3339(),
        "endsAt": end.rfc3339(),
    })
}

/// What an alert was before it became worse: that is over, for its severity is a label.
fn before(alert: &Alert) -> Option<Alert> {
    let escalation = alert.escalation?;
    let worse = alert.state == AlertState::Escalated && escalation.from != alert.severity;
    worse.then(|| Alert { state: AlertState::Resolved, severity: escalation.from, ..alert.clone() })
}

fn labels(alert: &Alert) -> Map<String, Value> {
    let mut labels = Map::new();
    for (field, value) in &alert.group {
        let name = field.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) && !value.is_empty() {
            labels.insert(name, label(value).into());
        }
    }
    let rule = match alert.rule.id.as_str() {
        "" => "gatewatch".to_owned(),
        id => label(id),
    };
    // After the group: a rule cannot take these names.
    labels.insert("alertname".to_owned(), rule.clone().into());
    labels.insert("rule".to_owned(), rule.into());
    labels.insert("severity".to_owned(), alert.severity.name().into());
    labels
}

/// Routes match labels, so what can do no harm in a mail or a chat behind them stays as it is.
fn label(value: &str) -> String {
    let valid = |c: char| c.is_ascii_alphanumeric() || "._-:/@".contains(c);
    let harmless = value.chars().all(valid) && !value.contains("://") && !value.starts_with('@');
    if harmless { cut(value, LABEL_MAX, "…") } else { safe(value, LABEL_MAX) }
}

fn annotations(alert: &Alert, letter: &Letter<'_>) -> Map<String, Value> {
    let told = letter.told();
    let advice: Vec<String> =
        alert.rule.advice.iter().take(10).map(|step| safe(step, ANNOTATION_MAX / 10)).collect();
    let rows = [
        ("title", told.title.clone()),
        ("summary", safe(&alert.summary, ANNOTATION_MAX)),
        ("description", told.text(ANNOTATION_MAX)),
        ("runbook", advice.join("\n")),
        ("code", content::code(alert)),
    ];
    let rows = rows.into_iter().filter(|(_, text)| !text.is_empty());
    rows.map(|(name, text)| (name.to_owned(), text.into())).collect()
}
