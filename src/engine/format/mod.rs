//! Log formats: from the bytes of one line to the fields of one event.
//!
//! Each format is one row in [`FORMATS`]; the table drives lookup by name, the help text,
//! automatic detection and the golden tests. A parser either reads the whole line or says why not
//! ([`Miss`]); it never panics and never guesses.

mod apache;
mod apache_error;
mod auth;
mod capture;
mod combined;
mod lighttpd_error;
mod nginx;
mod nginx_error;
mod pattern;
mod template;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use super::batch::{EventBatch, Field, Module, Writer};
use super::time::TimeReader;
use pattern::RegexFormat;
use template::Template;

/// Why a format does not read a line; the names are the values of the `reason` label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Miss {
    /// The shape is another one.
    Shape,
    /// The shape fits and the time is none.
    Time,
    /// The shape fits and the status is none.
    Status,
    /// The shape fits and the client is neither an address nor a host name.
    Client,
}

impl Miss {
    /// The value of the `reason` label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shape => "no_match",
            Self::Time => "bad_time",
            Self::Status => "bad_status",
            Self::Client => "bad_client",
        }
    }

    /// All reasons, for counters that start at zero.
    pub const ALL: [Self; 4] = [Self::Shape, Self::Time, Self::Status, Self::Client];
}

/// What a parser may use beside the line.
#[derive(Debug)]
pub struct Context<'c> {
    /// Reads times in the zone of the source.
    pub times: &'c mut TimeReader,
}

/// A format known by name.
pub struct FormatEntry {
    /// The name in configuration and on the command line.
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
    build: fn() -> Result<Format, String>,
}

/// Every format known by name; `auto` tries them all. Of formats that read a line equally well the
/// one that reads more fields wins, then the one that stands first.
pub const FORMATS: &[FormatEntry] = &[
    FormatEntry {
        name: "combined",
        help: "nginx and Apache: client, ident, user, time, request, status, bytes, referrer, agent",
        build: || shared("combined", COMBINED, false),
    },
    FormatEntry {
        name: "common",
        help: "Common Log Format: combined without referrer and agent",
        build: || shared("common", COMMON, false),
    },
    FormatEntry {
        name: "forwarded_combined",
        help: "X-Forwarded-For in quotes in front of combined",
        build: || {
            shared("forwarded_combined", &format!("\"%{{X-Forwarded-For}}i\" {COMBINED}"), true)
        },
    },
    FormatEntry {
        name: "vhost_combined",
        help: "Debian's Apache: site and port in front of combined",
        // Debian logs the whole response, not its body.
        build: || vhost("vhost_combined", &COMBINED.replace("%b", "%O")),
    },
    FormatEntry {
        name: "vhost_common",
        help: "site in front of common",
        build: || vhost("vhost_common", COMMON),
    },
    FormatEntry {
        name: "nginx_main",
        help: "nginx's packaged `main`: combined and X-Forwarded-For",
        build: || {
            let text = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for""#;
            nginx::compile("nginx_main", text).map(Format::template)
        },
    },
    FormatEntry {
        name: "combinedio",
        help: "Apache: combined and the bytes in and out",
        build: || {
            let text = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %I %O"#;
            apache::compile("combinedio", text, false).map(Format::template)
        },
    },
    FormatEntry {
        name: "userless_combined",
        help: "combined without the column of the user",
        build: || shared("userless_combined", &COMBINED.replace("%l %u", "-"), true),
    },
    FormatEntry {
        name: "nginx_error",
        help: "nginx's error log",
        build: || Ok(Format::Fixed(&nginx_error::FORMAT)),
    },
    FormatEntry {
        name: "apache_error",
        help: "Apache's error log, 2.2 and 2.4",
        build: || Ok(Format::Fixed(&apache_error::FORMAT)),
    },
    FormatEntry {
        name: "lighttpd_error",
        help: "lighttpd's error log",
        build: || Ok(Format::Fixed(&lighttpd_error::FORMAT)),
    },
    FormatEntry {
        name: "auth",
        help: "auth.log and secure: sshd, PAM, sudo and su lines of syslog",
        build: || Ok(Format::Fixed(&auth::FORMAT)),
    },
];

const COMMON: &str = r#"%h %l %u %t "%r" %>s %b"#;
const COMBINED: &str = r#"%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#;

fn shared(name: &'static str, text: &str, client_is_address: bool) -> Result<Format, String> {
    apache::compile_shared(name, text, client_is_address).map(Format::template)
}

fn vhost(name: &'static str, text: &str) -> Result<Format, String> {
    // Without the demand for an address, `host user` would pass for `site client`.
    apache::compile(name, &format!("%v {text}"), true).map(Format::template)
}

/// A compiled format.
#[derive(Clone, Debug)]
pub enum Format {
    /// Literals and captures in turn.
    Template(Arc<Template>),
    /// The operator's expression.
    Regex(Box<RegexFormat>),
    /// A parser written by hand, that keeps nothing from line to line.
    Fixed(&'static FixedFormat),
}

/// A format whose parser is a function of the line alone. Each has a file of its own here and a
/// constant of this type in it.
#[derive(Debug)]
pub struct FixedFormat {
    /// `gatewatch.format` in its events.
    pub(super) name: &'static str,
    /// The program family whose lines these are.
    pub(super) module: Module,
    /// How many fields it can read, to be weighed against other formats that read a line too.
    pub(super) captures: usize,
    pub(super) parse: ParseLine,
}

/// Reads one line into the open row, or says why it cannot.
pub(super) type ParseLine = fn(&[u8], &mut Context<'_>, &mut Writer<'_>) -> Result<(), Miss>;

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
        /// `log_format`, `LogFormat` or `pattern`.
        what: &'static str,
        /// Why.
        complaint: String,
    },
}

impl Format {
    fn template(template: Template) -> Self {
        Self::Template(Arc::new(template))
    }

    /// The format of that name.
    pub fn named(name: &str) -> Result<Self, FormatError> {
        let Some(entry) = FORMATS.iter().find(|entry| entry.name == name) else {
            let names: Vec<&str> = FORMATS.iter().map(|entry| entry.name).collect();
            let near = crate::units::nearest(name, names.iter().copied());
            let hint = near.map_or_else(String::new, |near| format!(", did you mean `{near}`?"));
            return Err(FormatError::Unknown {
                name: name.to_owned(),
                hint,
                known: names.join(", "),
            });
        };
        Ok((entry.build)().expect("the formats of the table compile: a test builds each"))
    }

    /// A format as the server's configuration writes it: nginx's where a `$` names a variable,
    /// Apache's otherwise.
    pub fn written(text: &str) -> Result<Self, FormatError> {
        if text.trim().is_empty() {
            let complaint = "it is empty".to_owned();
            return Err(FormatError::Definition { what: "log format", complaint });
        }
        let (what, compiled) = if text.contains('$') {
            ("log_format", nginx::compile("nginx:custom", text))
        } else {
            ("LogFormat", apache::compile("apache:custom", text, false))
        };
        let compiled = compiled.map_err(|complaint| FormatError::Definition { what, complaint })?;
        Ok(Self::template(compiled))
    }

    /// A regular expression whose groups are named as nginx variables.
    pub fn regex(pattern: &str) -> Result<Self, FormatError> {
        match RegexFormat::compile(pattern) {
            Ok(format) => Ok(Self::Regex(Box::new(format))),
            Err(complaint) => Err(FormatError::Definition { what: "pattern", complaint }),
        }
    }

    /// Reads one line into the row that `out` holds open. After a miss the row must be reset.
    pub fn parse(
        &mut self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        match self {
            Self::Template(template) => template.parse(line, cx, out),
            Self::Regex(regex) => regex.parse(line, cx, out),
            Self::Fixed(fixed) => (fixed.parse)(line, cx, out),
        }
    }

    /// How many fields it can read.
    fn captures(&self) -> usize {
        match self {
            Self::Template(template) => template.captures(),
            Self::Regex(regex) => regex.captures(),
            Self::Fixed(fixed) => fixed.captures,
        }
    }

    /// The program family whose lines these are, and the name of the format in their events.
    fn identity(&self) -> (Module, &'static str) {
        match self {
            Self::Template(template) => template.identity(),
            Self::Regex(_) => (Module::App, pattern::NAME),
            Self::Fixed(fixed) => (fixed.module, fixed.name),
        }
    }
}

/// The format of a source: one, or the one that was detected with all others behind it for the
/// odd line.
#[derive(Clone, Debug)]
pub struct FormatSet {
    definition: String,
    primary: Format,
    others: Vec<Format>,
}

impl FormatSet {
    /// Makes the set of a stored definition: `auto:combined`, a name of [`FORMATS`],
    /// `written:…` or `regex:…`.
    pub fn from_definition(definition: &str) -> Result<Self, FormatError> {
        let (primary, others) = match definition.split_once(':') {
            Some(("auto", name)) => (Format::named(name)?, all_but(name)),
            Some(("written", text)) => (Format::written(text)?, Vec::new()),
            Some(("regex", pattern)) => (Format::regex(pattern)?, Vec::new()),
            _ => (Format::named(definition)?, Vec::new()),
        };
        Ok(Self { definition: definition.to_owned(), primary, others })
    }

    /// The text that makes the same set again.
    pub fn definition(&self) -> &str {
        &self.definition
    }

    /// The program family and the name of the file's own format: what a line that no format reads
    /// is taken to have been.
    pub fn identity(&self) -> (Module, &'static str) {
        self.primary.identity()
    }

    /// Reads one line; the row is reset after a miss.
    pub fn parse(
        &mut self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let primary = self.primary.parse(line, cx, out);
        if self.others.is_empty() || (primary.is_ok() && !out.has(Field::Trailing)) {
            return primary;
        }
        // A line of another format in the same file: whoever reads it without a rest is right,
        // then the format of the file, then whoever reads it at all.
        for format in &mut self.others {
            out.reset();
            if format.parse(line, cx, out).is_ok() && !out.has(Field::Trailing) {
                return Ok(());
            }
        }
        for format in std::iter::once(&mut self.primary).chain(&mut self.others) {
            out.reset();
            if format.parse(line, cx, out).is_ok() {
                return Ok(());
            }
        }
        out.reset();
        primary
    }
}

/// All formats but one, those first that read most.
fn all_but(name: &str) -> Vec<Format> {
    let others = FORMATS.iter().filter(|entry| entry.name != name);
    let mut others: Vec<Format> = others.filter_map(|entry| (entry.build)().ok()).collect();
    others.sort_by_key(|format| std::cmp::Reverse(format.captures()));
    others
}

/// How well a format reads a sample of lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    /// The format.
    pub name: &'static str,
    /// Mean over the lines: 1 for a line read whole, 0.5 with columns left over, 0 for a miss.
    pub score: f64,
    captures: usize,
}

/// Lines looked at by [`vote`].
pub const SAMPLE_LINES: usize = 200;

/// Lets every format read `sample` (whole lines) and answers all votes, the best first.
pub fn vote(sample: &[u8], times: &mut TimeReader) -> Vec<Vote> {
    let mut votes: Vec<Vote> = Vec::new();
    for entry in FORMATS {
        let Ok(mut format) = (entry.build)() else { continue };
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), sample.to_vec());
        let (raw, mut out) = batch.open();
        let mut cx = Context { times };
        let (mut lines, mut sum) = (0u32, 0f64);
        for line in raw.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            lines += 1;
            out.reset();
            if format.parse(line, &mut cx, &mut out).is_ok() {
                sum += if out.has(Field::Trailing) { 0.5 } else { 1.0 };
            }
            if lines as usize == SAMPLE_LINES {
                break;
            }
        }
        let score = if lines == 0 { 0.0 } else { sum / f64::from(lines) };
        votes.push(Vote { name: entry.name, score, captures: format.captures() });
    }
    votes.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.captures.cmp(&a.captures)));
    votes
}

/// The definition that suits `sample` best; `combined` where nothing reads any of it.
pub fn detect(sample: &[u8], times: &mut TimeReader) -> String {
    let votes = vote(sample, times);
    let best = votes.first().filter(|vote| 0.0 < vote.score);
    format!("auto:{}", best.map_or("combined", |vote| vote.name))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::units::Timestamp;

    fn times() -> TimeReader {
        TimeReader::new(TimeZone::UTC, Timestamp::from_secs(1_795_160_801))
    }

    #[test]
    fn every_format_of_the_table_compiles() {
        for entry in FORMATS {
            assert!((entry.build)().is_ok(), "{}", entry.name);
        }
    }

    #[test]
    fn the_format_that_reads_most_wins_the_vote() {
        let line = r#"192.0.2.45 - - [20/Nov/2026:07:00:06 +0000] "HEAD / HTTP/2.0" 304 210"#;
        for (text, expected) in [
            (line.to_owned(), "common"),
            (format!("{line} \"-\" \"-\""), "combined"),
            (format!("{line} \"-\" \"-\" \"-\""), "nginx_main"),
            (format!("{line} \"-\" \"-\" 120 240"), "combinedio"),
            (format!("www.example.org:443 {line} \"-\" \"-\""), "vhost_combined"),
            (format!("www.example.org {line}"), "vhost_common"),
            (format!("\"192.0.2.1, 192.0.2.2\" {line} \"-\" \"-\""), "forwarded_combined"),
            (format!("{} \"-\" \"-\"", line.replace("- -", "-")), "userless_combined"),
        ] {
            assert_eq!(format!("auto:{expected}"), detect(text.as_bytes(), &mut times()), "{text}");
        }
    }

    #[test]
    fn an_unknown_format_is_refused_with_a_near_name() {
        let error = Format::named("combine").expect_err("no such format").to_string();
        assert!(error.contains("did you mean `combined`?"), "{error}");
    }
}
