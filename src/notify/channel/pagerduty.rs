//! PagerDuty's Events API v2: an alert opens an incident, its end closes it.
//!
//! Both have the alert's id as `dedup_key`, so what comes twice is one incident.

use serde_json::{Map, Value, json};

use super::super::content;
use super::super::text::{cut, safe};
use super::{Failure, Letter, Parcel};
use crate::engine::detect::Severity;

/// Characters, as PagerDuty documents them.
const SUMMARY_MAX: usize = 1024;
const KEY_MAX: usize = 255;
/// Of an integration key.
const ROUTING_KEY: usize = 32;
/// Bytes of the details: an event may have 512 KB in all.
const DETAILS_MAX: usize = 16_000;

pub(super) fn render(letter: &Letter<'_>) -> Result<Parcel, Failure> {
    let key = letter.key()?.ok_or_else(|| Failure::Blocked {
        words: "no integration key: write `routing_key_file`".to_owned(),
    })?;
    if key.len() != ROUTING_KEY || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let words = "`routing_key_file` holds no integration key: one has 32 letters and digits";
        return Err(Failure::Blocked { words: words.to_owned() });
    }
    let mut event = json!({
        "routing_key": key,
        "event_action": if letter.matter.is_over() { "resolve" } else { "trigger" },
        "dedup_key": cut(&safe(&letter.matter.key(), KEY_MAX), KEY_MAX, ""),
    });
    if !letter.matter.is_over() {
        event["payload"] = payload(letter);
        event["client"] = "gatewatch".into();
    }
    Ok(Parcel::json(letter, event.to_string().into_bytes()))
}

fn payload(letter: &Letter<'_>) -> Value {
    let (told, alert) = (letter.told(), letter.matter.alert());
    let severity = match letter.matter.severity() {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    };
    let mut payload = Map::new();
    let source = alert.group_value("site").map(|site| safe(site, 200));
    let source = source.filter(|site| !site.is_empty());
    let source = source.unwrap_or_else(|| safe(&letter.context.host, 200));
    payload.insert("summary".to_owned(), told.headline(SUMMARY_MAX).into());
    payload.insert("source".to_owned(), source.into());
    payload.insert("severity".to_owned(), severity.into());
    payload.insert("timestamp".to_owned(), alert.at.rfc3339().into());
    payload.insert("component".to_owned(), "gatewatch".into());
    if !alert.rule.id.is_empty() {
        payload.insert("class".to_owned(), safe(&alert.rule.id, 200).into());
    }
    let details = json!({ "text": told.text(DETAILS_MAX), "code": content::code(alert) });
    payload.insert("custom_details".to_owned(), details);
    payload.into()
}
