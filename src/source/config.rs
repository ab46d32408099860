//! Settings of the sources: the `[[source]]` tables and the `[follow]` limits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::glob::Pattern;
use super::listen::{Endpoint, ListenError};
use crate::units::ByteSize;

/// `[[source]]`: log files to follow, or an address to listen on.
///
/// The first line of each field comment becomes its line in the reference manual.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct SourceConfig {
    /// File to follow, or a pattern with `*`, `?`, `[a-z]` and `**`; `-` is standard input,
    /// `journal:` the system's journal, `journal:/directory` the journal files in a directory.
    pub path: String,

    /// Address to listen on instead, such as `udp://127.0.0.1:5514`.
    pub listen: Option<String>,

    /// Others than this machine may send syslog, of whom nobody knows who they are.
    pub allow_remote: bool,

    /// PEM file with the certificate of `tls://` and `https://`.
    pub tls_cert: Option<PathBuf>,

    /// PEM file with its private key.
    pub tls_key: Option<PathBuf>,

    /// PEM file with the authority whose certificates senders must have.
    pub tls_client_ca: Option<PathBuf>,

    /// File with the token that senders over HTTP must know.
    pub token_file: Option<PathBuf>,

    /// Stable name of the source in events, metrics and positions.
    ///
    /// The default is the path or the address as written. Changing it starts the files afresh.
    pub name: Option<String>,

    /// Log format: `auto`, or a format by name, such as `combined` or `docker>combined`.
    pub format: Format,

    /// Log format as the web server's configuration writes it.
    pub log_format: Option<String>,

    /// What fields of events are called in lines of JSON or of `key=value`, such as
    /// `{ client = "remote_ip", status = "code" }`.
    pub fields: BTreeMap<String, String>,

    /// Site the log belongs to, where its lines do not say.
    pub site: Option<String>,

    /// Time zone of times written without one, such as `Europe/Berlin`.
    pub timezone: Option<String>,

    /// Files to leave out: patterns of whole paths, or of file names when without `/`.
    pub exclude: Vec<String>,

    /// Units whose messages are read, of a journal: all when none is named.
    pub units: Vec<String>,

    /// Fields that messages must have, of a journal, such as `SYSLOG_IDENTIFIER=sudo`.
    pub matches: Vec<String>,

    /// Where a file seen for the first time is begun: `beginning` or `end`.
    pub start: Start,
}

/// The name of a log format.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub struct Format(pub String);

impl Default for Format {
    fn default() -> Self {
        Self("auto".to_owned())
    }
}

/// Where the first look at a source begins to read.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the first byte.
    #[default]
    Beginning,
    /// After the last whole line; files that appear later are read from their first byte.
    End,
}

impl SourceConfig {
    /// A source of `path` with every other setting at its default.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// The stable name: as configured, else the path or the address as written.
    pub fn id(&self) -> &str {
        match (&self.name, &self.listen, self.path.as_str()) {
            (Some(name), _, _) => name,
            (None, Some(address), _) => address,
            (None, None, "-") => "stdin",
            (None, None, path) => path,
        }
    }

    /// True for standard input, which is read by `LineBlocks` and not followed.
    pub fn is_stdin(&self) -> bool {
        self.path == "-"
    }

    /// True for log files, which are followed.
    pub fn is_followed(&self) -> bool {
        self.listen.is_none() && !self.is_stdin() && !self.is_journal()
    }

    /// Where it comes from, as configured: the path or the address.
    pub fn place(&self) -> &str {
        self.listen.as_deref().unwrap_or(&self.path)
    }

    /// What listens, where the source does.
    pub fn endpoint(&self) -> Result<Option<Endpoint>, SourceError> {
        let Some(address) = &self.listen else {
            return match self.setting_of_listeners() {
                Some(key) => Err(ListenError::Useless { key, what: "a file".to_owned() }.into()),
                None => Ok(None),
            };
        };
        if !self.path.is_empty() {
            return Err(SourceError::TwoPlaces);
        }
        Ok(Some(Endpoint::new(address, self)?))
    }

    /// The first setting that only listeners have.
    fn setting_of_listeners(&self) -> Option<&'static str> {
        let settings = [
            ("allow_remote", self.allow_remote),
            ("tls_cert", self.tls_cert.is_some()),
            ("tls_key", self.tls_key.is_some()),
            ("tls_client_ca", self.tls_client_ca.is_some()),
            ("token_file", self.token_file.is_some()),
        ];
        settings.into_iter().find_map(|(key, is_set)| is_set.then_some(key))
    }

    /// Says what is wrong with the address or the patterns, if anything.
    pub fn check(&self) -> Result<(), SourceError> {
        if !self.fields.is_empty() && (self.log_format.is_some() || self.format.0 != "auto") {
            return Err(SourceError::TwoFormats);
        }
        if self.endpoint()?.is_some() {
            return Ok(());
        }
        if self.path.is_empty() {
            return Err(SourceError::NoPath);
        }
        self.check_journal()?;
        let patterns = std::iter::once(&self.path).chain(&self.exclude);
        for pattern in patterns {
            Pattern::new(pattern)
                .map_err(|reason| SourceError::BadPattern { pattern: pattern.clone(), reason })?;
        }
        Ok(())
    }
}

/// A source that cannot be followed as configured.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is nothing to follow.
    #[error(
        "`path` is empty; name a log file, such as `/var/log/nginx/access.log`, or an address in `listen`"
    )]
    NoPath,

    /// Settings of a journal for something else.
    #[error(
        "`units` and `matches` belong to a journal; set `path = \"journal:\"`, or leave them out"
    )]
    NoJournal,

    /// What is to be matched is no field with a value.
    #[error("`{text}` is no match; write a field and its value, such as `SYSLOG_IDENTIFIER=sudo`")]
    BadMatch {
        /// As configured.
        text: String,
    },
    /// Two ways to say how the lines are read.
    #[error("`fields` says how lines are read, and so do `format` and `log_format`; keep one")]
    TwoFormats,

    /// It is two sources at once.
    #[error("`path` and `listen` are two sources; give each a [[source]] of its own")]
    TwoPlaces,

    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),

    /// A pattern has no meaning.
    #[error("`{pattern}` is not a pattern: {reason}")]
    BadPattern {
        /// As configured.
        pattern: String,
        /// What is wrong, and the fix.
        reason: &'static str,
    },
}

impl SourceError {
    /// The setting that is to be changed.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Listen(error) => error.key(),
            Self::NoPath | Self::TwoPlaces | Self::NoJournal | Self::BadPattern { .. } => "path",
            Self::BadMatch { .. } => "matches",
            Self::TwoFormats => "fields",
        }
    }
}

/// `[follow]`: limits that hold for all sources together.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Files followed at the same time.
    ///
    /// Each takes one open file; the service unit allows more than this default.
    pub max_files: usize,

    /// Longest line that is kept whole.
    ///
    /// Of a longer one the head is kept and marked. An 8 KiB request can fill 32 KiB of log.
    pub max_line_size: ByteSize,

    /// Set by `run --once`: nothing waits for more bytes, because nobody will look again.
    #[serde(skip)]
    pub once: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_files: 1024, max_line_size: ByteSize(64 << 10), once: false }
    }
}

impl Limits {
    /// `max_line_size` as a length in memory.
    pub fn max_line_bytes(&self) -> usize {
        usize::try_from(self.max_line_size.0).unwrap_or(usize::MAX).clamp(1, 16 << 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_enough_and_the_name_is_the_path() {
        let config: SourceConfig = toml::from_str(r#"path = "/var/log/a.log""#).unwrap();
        assert_eq!(SourceConfig::new("/var/log/a.log"), config);
        assert_eq!(("auto", "/var/log/a.log"), (config.format.0.as_str(), config.id()));
        assert_eq!("stdin", SourceConfig::new("-").id());
        assert_eq!(Ok(Limits::default()), toml::from_str(""));
    }

    #[test]
    fn a_misspelt_key_is_named() {
        let error = toml::from_str::<SourceConfig>("paht = \"x\"").expect_err("no such key");
        assert!(error.message().contains("unknown field `paht`"), "{}", error.message());
    }

    #[test]
    fn a_bad_pattern_says_what_to_write() {
        assert_eq!(Err(SourceError::NoPath), SourceConfig::default().check());
        let error = SourceConfig::new("/var/log/[a-").check().expect_err("no end");
        assert!(error.to_string().contains("close the `[`"), "{error}");
    }
}
