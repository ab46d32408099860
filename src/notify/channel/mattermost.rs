//! Mattermost's incoming webhooks: Markdown, with everything escaped that could be more than a
//! letter.
//!
//! A backslash before each sign of punctuation keeps formatting, links, channel links, emoji and
//! tables from beginning, and stands between `@` or `<!` and a name, so nobody is mentioned.

use serde_json::json;

use super::{Failure, Letter, Parcel};

/// Characters that fit into a post of any server.
const TEXT_MAX: usize = 3900;

pub(super) fn render(letter: &Letter<'_>) -> Result<Parcel, Failure> {
    let told = letter.told();
    let mut text = format!("**{}**\n", escaped(&told.headline(300)));
    for line in &told.lines {
        let label = if line.label.is_empty() { "" } else { &format!("{}: ", line.label) };
        let line = format!("{}{}\n", escaped(label), escaped(&line.text));
        if TEXT_MAX < text.chars().count() + line.chars().count() + 2 * told.footer.len() {
            text.push_str("…\n");
            break;
        }
        text.push_str(&line);
    }
    text.push_str(&escaped(&told.footer));
    Ok(Parcel::json(letter, json!({ "text": text }).to_string().into_bytes()))
}

/// CommonMark takes a backslash before any ASCII punctuation.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(character);
    }
    out
}
