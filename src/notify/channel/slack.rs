//! Slack's incoming webhooks.
//!
//! What comes from logs stands in `plain_text` objects, which Slack neither formats nor links nor
//! searches for mentions; the fall-back for notifications has `&`, `<` and `>` escaped, without which
//! there is no mention and no link in its syntax.

use serde_json::json;

use super::{Failure, Letter, Parcel};

/// Characters of a header block and of a section, as Slack documents them.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3000;

pub(super) fn render(letter: &Letter<'_>) -> Result<Parcel, Failure> {
    let told = letter.told();
    let plain = |text: String| json!({ "type": "plain_text", "text": text, "emoji": false });
    let body = json!({
        "text": escaped(&told.headline(300)),
        "blocks": [
            { "type": "header", "text": plain(told.headline(HEADER_MAX)) },
            { "type": "section", "text": plain(told.text(SECTION_MAX)) },
        ],
        "unfurl_links": false,
        "unfurl_media": false,
    });
    Ok(Parcel::json(letter, body.to_string().into_bytes()))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
