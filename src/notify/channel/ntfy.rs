//! ntfy, by its JSON form: text from logs is in no header, and is shown as it stands.
//!
//! The topic is the last part of the configured address.

use serde_json::json;

use super::{Failure, Letter, Parcel};
use crate::engine::detect::Severity;

/// Bytes of a message; a longer one would become an attachment.
const MESSAGE_MAX: usize = 3900;
/// Characters of a title.
const TITLE_MAX: usize = 200;

pub(super) fn render(letter: &Letter<'_>) -> Result<Parcel, Failure> {
    let (prefix, topic) = letter.path.trim_end_matches('/').rsplit_once('/').unwrap_or_default();
    if topic.is_empty() || topic.contains('?') {
        let words = "its address has no topic: write https://ntfy.example.org/TOPIC".to_owned();
        return Err(Failure::Blocked { words });
    }
    let told = letter.told();
    let (priority, tag) = match letter.matter.severity() {
        _ if letter.matter.is_over() => (2, "white_check_mark"),
        Severity::Critical => (5, "rotating_light"),
        Severity::High => (4, "warning"),
        Severity::Medium => (3, "warning"),
        Severity::Low => (2, "information_source"),
        Severity::Info => (1, "information_source"),
    };
    let body = json!({
        "topic": topic,
        "title": told.headline(TITLE_MAX),
        "message": told.text(MESSAGE_MAX),
        "priority": priority,
        "tags": [tag],
        "markdown": false,
    });
    let body = body.to_string().into_bytes();
    Ok(Parcel { path: format!("{prefix}/"), ..Parcel::json(letter, body) })
}
