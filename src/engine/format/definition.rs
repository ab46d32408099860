//! The text that names a format: its name, and behind `#` what lines have told so far; and why a text
//! names none.

use super::W3c;
use super::json::mapped;
use super::w3c;

/// A format that cannot be made; completes "failed to use the format: …".
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// No format has this name.
    #[error("`{name}` is no format{hint}; known are auto, {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// A near name, or nothing.
        hint: String,
        /// All names.
        known: String,
    },
    /// The definition does not compile.
    #[error("bad {what}: {complaint}")]
    Definition {
        /// `log_format`, `LogFormat`, `fields` or `pattern`.
        what: &'static str,
        /// Why.
        complaint: String,
    },
}

/// What fields of an event are called in a log, as the text behind `fields:` in a definition.
pub fn fields_text<'f>(fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> String {
    let entries = fields.into_iter().map(|(field, key)| format!("{field}={key}"));
    entries.collect::<Vec<_>>().join(&mapped::SEPARATOR.to_string())
}

/// A definition without what lines have told.
pub fn base_of(definition: &str) -> &str {
    parts_of(definition).0
}

/// What lines have told, as a part of a definition; empty where there is nothing to tell.
pub fn state_of(definition: &str) -> &str {
    parts_of(definition).1
}

/// The definition of a format at a place where lines have told `state`.
pub fn with_state(base: &str, state: &str) -> String {
    match (base.strip_prefix("auto:").unwrap_or(base), state) {
        (w3c::NAME, state) if !state.is_empty() => format!("{base}#{state}"),
        _ => base.to_owned(),
    }
}

fn parts_of(definition: &str) -> (&str, &str) {
    match definition.split_once('#') {
        Some((base, state)) if matches!(base.strip_prefix("auto:").unwrap_or(base), w3c::NAME) => {
            (base, state)
        }
        _ => (definition, ""),
    }
}

/// What the directives among the lines of `bytes` say, to stand before lines that follow them:
/// a `state` for [`with_state`].
pub fn directives_of(bytes: &[u8]) -> String {
    let mut w3c = W3c::default();
    w3c.skim(bytes);
    w3c.state().text().to_owned()
}
