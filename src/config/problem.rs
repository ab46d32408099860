//! A complaint about the configuration, located and with its fix.

use std::fmt;
use std::path::{Path, PathBuf};

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
