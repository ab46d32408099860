//! Gotify: a message of an application, as plain text.

use serde_json::json;

use super::{Failure, Letter, Parcel};
use crate::engine::detect::Severity;

/// Bytes of a message: a phone shows no more.
const MESSAGE_MAX: usize = 8000;
/// Characters of a title.
const TITLE_MAX: usize = 200;

pub(super) fn render(letter: &Letter<'_>) -> Result<Parcel, Failure> {
    let told = letter.told();
    // From 8 on a phone makes itself heard at once, from 4 on it makes a sound.
    let priority = match letter.matter.severity() {
        _ if letter.matter.is_over() => 2,
        Severity::Critical => 10,
        Severity::High => 8,
        Severity::Medium => 5,
        Severity::Low => 2,
        Severity::Info => 1,
    };
    let body = json!({
        "title": told.headline(TITLE_MAX),
        "message": told.text(MESSAGE_MAX),
        "priority": priority,
        "extras": { "client::display": { "contentType": "text/plain" } },
    });
    let path =
        format!("{}/message", letter.path.trim_end_matches('/').trim_end_matches("/message"));
    Ok(Parcel { path, ..Parcel::json(letter, body.to_string().into_bytes()) })
}
