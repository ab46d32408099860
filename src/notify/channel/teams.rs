//! Teams: a workflow that takes Adaptive Cards.
//!
//! What comes from logs stands in `TextRun`s of a `RichTextBlock`: there Markdown means nothing, and
//! without `msteams.entities` in the card nobody is mentioned.

use serde_json::{Value, json};

use super::{Failure, Letter, Parcel};
use crate::engine::detect::Severity;

/// Bytes of a message; Teams takes 28 KiB.
const TEXT_MAX: usize = 12_000;

pub(super) fn render(letter: &Letter<'_>) -> Result<Parcel, Failure> {
    let told = letter.told();
    let run = |text: String, more: Value| -> Value {
        let mut run = json!({ "type": "TextRun", "text": text });
        if let (Some(run), Value::Object(more)) = (run.as_object_mut(), more) {
            run.extend(more);
        }
        run
    };
    let block = |inlines: Vec<Value>| json!({ "type": "RichTextBlock", "inlines": inlines });
    let colour = match letter.matter.severity() {
        _ if letter.matter.is_over() => "Good",
        Severity::Critical | Severity::High => "Attention",
        Severity::Medium => "Warning",
        Severity::Low | Severity::Info => "Default",
    };
    let look = json!({ "weight": "Bolder", "size": "Medium", "color": colour });
    let mut body = vec![block(vec![run(told.headline(300), look)])];
    let mut room = TEXT_MAX;
    for line in &told.lines {
        let Some(left) = room.checked_sub(line.text.len()) else { break };
        room = left;
        let mut inlines = Vec::new();
        if !line.label.is_empty() {
            inlines.push(run(format!("{}: ", line.label), json!({ "weight": "Bolder" })));
        }
        inlines.push(run(line.text.clone(), Value::Null));
        body.push(block(inlines));
    }
    body.push(block(vec![run(told.footer, json!({ "isSubtle": true, "size": "Small" }))]));
    let message = json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
            },
        }],
    });
    Ok(Parcel::json(letter, message.to_string().into_bytes()))
}
