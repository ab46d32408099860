//! A complaint about the configuration, located and with its fix.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::units::nearest;

/// One mistake in the configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Problem {
    /// The file, where one is to blame.
    pub file: Option<PathBuf>,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// The key: `mail.smtp`, `source[0].path`.
    pub key: String,
    /// What is wrong.
    pub reason: String,
    /// What to write instead; empty where the reason says it.
    pub hint: String,
}

impl Problem {
    /// A problem of a value.
    pub fn new(key: &str, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        let (reason, hint) = (reason.into(), hint.into());
        Self { key: key.to_owned(), reason, hint, ..Self::default() }
    }

    /// What TOML's reader says about `key`, or about one below it.
    pub fn of_toml(error: &toml::de::Error, key: &str) -> Self {
        let message = error.message().trim_end();
        match unknown_field(message) {
            Some((field, hint)) => {
                let key = if key.is_empty() { field.to_owned() } else { format!("{key}.{field}") };
                Self::new(&key, "there is no such setting", hint)
            }
            None => Self::new(key, message.replace('\n', " "), ""),
        }
    }

    /// It lies in `file`, at byte `at` of its `text`.
    pub fn in_file(self, file: &Path, text: &str, at: usize) -> Self {
        Self { file: Some(file.to_owned()), line: Some(line_of(text, at)), ..self }
    }

    /// A file that cannot be read.
    pub fn of_file(file: &Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path given with `--config`",
            std::io::ErrorKind::PermissionDenied => {
                "let the user that runs gatewatch read it, for instance `chgrp gatewatch FILE`"
            }
            _ => "",
        };
        let reason = format!("cannot be read: {error}");
        Self { file: Some(file.to_owned()), reason, hint: hint.to_owned(), ..Self::default() }
    }
}

impl fmt::Display for Problem {
    /// `FILE:LINE: KEY: REASON; HINT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, _) => (),
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// The line, from 1, in which byte `at` of `text` stands.
pub fn line_of(text: &str, at: usize) -> usize {
    let before = &text.as_bytes()[..at.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// From serde's words about an unknown field: the field, and the known one nearest to it.
fn unknown_field(message: &str) -> Option<(&str, String)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (field, rest) = rest.split_once('`')?;
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let hint = match nearest(field, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", known.join(", ")),
    };
    Some((field, hint))
}
