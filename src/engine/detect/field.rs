//! Fields as rules name them: those of the line, and those that follow from it.

use std::borrow::Cow;
use std::net::IpAddr;

use jiff::tz::TimeZone;

use super::signature::{self, Class};
use crate::engine::address::{client_net, client_prefix};
use crate::engine::batch::{Action, AuthOutcome, ClientSource, Event, FIELDS, Field, Kind};
use crate::engine::enrich::crawler;
use crate::engine::text::unescape;
use crate::units::Timestamp;

/// Something of an event that a rule may look at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A text field of the line.
    Text(Field),
    /// `event.kind`: `event` or `pipeline_error`.
    EventKind,
    /// `event.category`: `web` and `authentication`; a line may have both.
    Category,
    /// `event.action`.
    Action,
    /// `event.outcome`: `success`, `failure`, `unknown`.
    Outcome,
    /// `event.reason`.
    Reason,
    /// `event.module`.
    Module,
    /// `log.level`.
    Level,
    /// `http.response.status_code`.
    Status,
    /// `http.response.body.bytes`.
    Bytes,
    /// `gatewatch.auth.outcome`: `success`, `failure`, `challenge`, `attempt`.
    AuthOutcome,
    /// `gatewatch.auth.counted`: `true` or `false`.
    AuthCounted,
    /// `gatewatch.user.in_roster`: `true` or `false`, where a log-in names a user and there is a
    /// roster.
    InRoster,
    /// `gatewatch.malformed`.
    Malformed,
    /// `gatewatch.crawler.standing`: `verified`, `claimed` or `unverified`, where the agent names a
    /// crawler whose networks are known.
    CrawlerStanding,
    /// `gatewatch.detections`: the classes of attack that the signatures find; a line may have
    /// several.
    Detections,
    /// `vulnerability.id`: the published weakness that a request is for.
    Vulnerability,
    /// `source.ip`.
    SourceIp,
    /// `client.net`: the address (IPv4) or its /64 (IPv6): who a client is.
    ClientNet,
    /// `client.prefix`: the /24 (IPv4) or /48 (IPv6) that the client is in.
    ClientPrefix,
    /// `source`: the name of the source that the line came from.
    Source,
    /// `site`: the virtual host, else the site of the source.
    Site,
    /// `url.extension`, lower-case.
    Extension,
    /// `gatewatch.static`: `true` or `false`: the extension is one of what pages are made of.
    Static,
    /// `event.original`: the whole line, as it is and with its escapes undone.
    Line,
    /// `event.duration`: how long the request took, in nanoseconds.
    Duration,
    /// The same in milliseconds, as W3C logs have it.
    TimeTaken,
    /// `HTTP/1.1`
    Protocol,
    /// `@timestamp`: the logged time in seconds since 1970.
    Timestamp,
    /// A part of the logged time in UTC.
    Time(TimePart),
}

/// A part of a time, in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimePart {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// Of the month.
    Day,
    /// Of the year, by ISO 8601.
    Week,
    /// 1 to 12.
    Month,
    /// Four digits.
    Year,
}

impl TimePart {
    /// The part that a modifier of Sigma names.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "year" => Self::Year,
            _ => return None,
        })
    }

    fn of(self, time: Timestamp) -> Option<u64> {
        let seconds = i64::try_from(time.0 / 1_000_000_000).ok()?;
        let time = jiff::Timestamp::from_second(seconds).ok()?.to_zoned(TimeZone::UTC);
        u64::try_from(match self {
            Self::Minute => i64::from(time.minute()),
            Self::Hour => i64::from(time.hour()),
            Self::Day => i64::from(time.day()),
            Self::Week => i64::from(time.date().iso_week_date().week()),
            Self::Month => i64::from(time.month()),
            Self::Year => i64::from(time.year()),
        })
        .ok()
    }
}

/// The subjects that are no text field, by name.
pub const SUBJECTS: &[(&str, Subject)] = &[
    ("event.kind", Subject::EventKind),
    ("event.category", Subject::Category),
    ("event.action", Subject::Action),
    ("event.outcome", Subject::Outcome),
    ("event.reason", Subject::Reason),
    ("event.module", Subject::Module),
    ("log.level", Subject::Level),
    ("http.response.status_code", Subject::Status),
    ("http.response.body.bytes", Subject::Bytes),
    ("gatewatch.auth.outcome", Subject::AuthOutcome),
    ("gatewatch.auth.counted", Subject::AuthCounted),
    ("gatewatch.user.in_roster", Subject::InRoster),
    ("gatewatch.malformed", Subject::Malformed),
    ("gatewatch.crawler.standing", Subject::CrawlerStanding),
    ("gatewatch.detections", Subject::Detections),
    ("vulnerability.id", Subject::Vulnerability),
    ("source.ip", Subject::SourceIp),
    ("client.net", Subject::ClientNet),
    ("client.prefix", Subject::ClientPrefix),
    ("source", Subject::Source),
    ("site", Subject::Site),
    ("url.extension", Subject::Extension),
    ("gatewatch.static", Subject::Static),
    ("event.original", Subject::Line),
    ("event.duration", Subject::Duration),
    ("gatewatch.time_taken_ms", Subject::TimeTaken),
    ("gatewatch.protocol", Subject::Protocol),
    ("@timestamp", Subject::Timestamp),
    ("gatewatch.time.minute", Subject::Time(TimePart::Minute)),
    ("gatewatch.time.hour", Subject::Time(TimePart::Hour)),
    ("gatewatch.time.day", Subject::Time(TimePart::Day)),
    ("gatewatch.time.week", Subject::Time(TimePart::Week)),
    ("gatewatch.time.month", Subject::Time(TimePart::Month)),
    ("gatewatch.time.year", Subject::Time(TimePart::Year)),
];

/// Extensions of what pages are made of and nobody generates.
const STATIC: &[&[u8]] = &[
    b"css", b"js", b"map", b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"avif", b"ico",
    b"woff", b"woff2", b"ttf", b"eot", b"mp4", b"webm", b"mp3", b"pdf",
];

impl Subject {
    /// The subject of that name.
    pub fn named(name: &str) -> Option<Self> {
        if let Some((_, subject)) = SUBJECTS.iter().find(|(known, _)| *known == name) {
            return Some(*subject);
        }
        FIELDS.iter().find(|entry| entry.name == name).map(|entry| Self::Text(entry.field))
    }

    /// All names, for messages.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SUBJECTS.iter().map(|(name, _)| *name).chain(FIELDS.iter().map(|entry| entry.name))
    }

    /// The value as a number, where it is one.
    pub fn number(self, event: &Event<'_>) -> Option<u64> {
        match self {
            Self::Status => (event.row().status != 0).then(|| u64::from(event.row().status)),
            Self::Bytes => event.row().bytes,
            Self::Duration => event.row().duration_ns,
            Self::TimeTaken => Some(event.row().duration_ns? / 1_000_000),
            Self::Timestamp => Some(event.row().time.0 / 1_000_000_000),
            Self::Time(part) => part.of(event.row().time),
            Self::Text(field) => crate::engine::text::parse_u64(event.field(field)?),
            _ => None,
        }
    }

    /// Calls `test` with each value as text, until one passes; false where there is none.
    pub fn any(self, event: &Event<'_>, mut test: impl FnMut(&[u8]) -> bool) -> bool {
        if self == Self::Category {
            let (web, auth) = categories(event);
            return (web && test(b"web")) || (auth && test(b"authentication"));
        }
        if self == Self::Detections {
            return signature::of(event).classes.iter().any(|class| test(class.name().as_bytes()));
        }
        if self == Self::Line {
            let line = event.line();
            return test(line) || unescaped(line).is_some_and(|line| test(&line));
        }
        self.text(event).is_some_and(|value| test(&value))
    }

    /// The value as an address, where it is one.
    pub fn address(self, event: &Event<'_>) -> Option<IpAddr> {
        match self {
            Self::SourceIp | Self::ClientNet | Self::Text(Field::ClientAddress) => {
                event.row().client
            }
            _ => std::str::from_utf8(&self.text(event)?).ok()?.parse().ok(),
        }
    }

    /// It is the whole line, in which a text may stand anywhere.
    pub fn is_line(self) -> bool {
        self == Self::Line
    }

    /// The value as text; of several categories or classes the first.
    pub fn text<'a>(self, event: &Event<'a>) -> Option<Cow<'a, [u8]>> {
        let row = event.row();
        let fixed = |text: &'static str| Some(Cow::Borrowed(text.as_bytes()));
        match self {
            Self::Text(field) => event.field(field).map(Cow::Borrowed),
            Self::EventKind if row.kind == Kind::ParseFailure => fixed("pipeline_error"),
            Self::EventKind => fixed("event"),
            Self::Category => match categories(event) {
                (true, _) => fixed("web"),
                (false, true) => fixed("authentication"),
                (false, false) => None,
            },
            Self::Action => fixed(row.action.name()),
            Self::Outcome => outcome(event).and_then(fixed),
            Self::Reason => fixed(row.auth?.reason?.name()),
            Self::Module => fixed(row.module.name()),
            Self::Level => fixed(row.level.name()),
            Self::Status
            | Self::Bytes
            | Self::Duration
            | Self::TimeTaken
            | Self::Timestamp
            | Self::Time(_) => {
                let number = self.number(event)?;
                Some(Cow::Owned(number.to_string().into_bytes()))
            }
            Self::AuthOutcome => fixed(row.auth?.outcome.name()),
            Self::AuthCounted => fixed(if row.auth?.counted { "true" } else { "false" }),
            Self::InRoster => fixed(if row.in_roster? { "true" } else { "false" }),
            Self::Malformed => fixed(row.malformed?.name()),
            Self::CrawlerStanding => fixed(crawler(event)?.name()),
            Self::Detections => {
                signature::of(event).classes.iter().next().map(Class::name).and_then(fixed)
            }
            Self::Vulnerability => fixed(signature::of(event).cve()?),
            // Where the text allows two readings, nobody is held to account.
            Self::SourceIp | Self::ClientNet | Self::ClientPrefix
                if row.client_source == ClientSource::Ambiguous =>
            {
                None
            }
            Self::SourceIp => Some(Cow::Owned(row.client?.to_string().into_bytes())),
            Self::ClientNet => client(event),
            Self::ClientPrefix => {
                Some(Cow::Owned(client_prefix(row.client?).to_string().into_bytes()))
            }
            Self::Source => Some(Cow::Borrowed(event.origin().source.as_bytes())),
            Self::Site => Some(Cow::Borrowed(event.site())),
            Self::Extension => extension(event),
            Self::Static => {
                // Only requests have pages.
                event.field(Field::Path)?;
                let is_static = extension(event).is_some_and(|ext| STATIC.contains(&&*ext));
                fixed(if is_static { "true" } else { "false" })
            }
            Self::Line => Some(Cow::Borrowed(event.line())),
            Self::Protocol => {
                let version = event.field(Field::HttpVersion)?;
                Some(Cow::Owned([b"HTTP/", version].concat()))
            }
        }
    }

    /// Appends the value to a key: told apart by its bytes, not made to be read. False where there
    /// is none.
    pub fn append_key(self, event: &Event<'_>, out: &mut Vec<u8>) -> bool {
        if let (Self::ClientNet, Some(ip)) = (self, event.row().client)
            && event.row().client_source != ClientSource::Ambiguous
        {
            append_net(ip, out);
            return true;
        }
        match self.text(event) {
            Some(value) => {
                append_text(&value, out);
                true
            }
            None => false,
        }
    }

    /// The same from the value's text, as an alert holds it.
    pub fn append_key_text(self, text: &str, out: &mut Vec<u8>) {
        let address = text.split_once('/').map_or(text, |(address, _)| address);
        match address.parse() {
            Ok(ip) if self == Self::ClientNet => append_net(ip, out),
            _ => append_text(text.as_bytes(), out),
        }
    }
}

fn append_net(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(v4) => {
            out.push(4);
            out.extend_from_slice(&v4.octets());
        }
        // A client of IPv6 is its /64.
        IpAddr::V6(v6) => {
            out.push(6);
            out.extend_from_slice(&v6.octets()[..8]);
        }
    }
}

fn append_text(value: &[u8], out: &mut Vec<u8>) {
    let value = &value[..value.len().min(MAX_VALUE_BYTES)];
    out.push(0);
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
}

/// Longer values are cut in keys: a user name or a path may be anything.
const MAX_VALUE_BYTES: usize = 256;

/// The line with its escapes undone, where it has any.
fn unescaped(line: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'\\', line)?;
    let mut out = Vec::with_capacity(line.len());
    unescape(&mut out, line);
    Some(out)
}

fn categories(event: &Event<'_>) -> (bool, bool) {
    let row = event.row();
    let attempt = row.auth.is_some_and(|auth| auth.outcome != AuthOutcome::Challenge);
    match row.kind {
        Kind::Access | Kind::ServerError => (true, attempt),
        Kind::Auth => (false, !matches!(row.action, Action::SessionOpened | Action::SessionClosed)),
        Kind::ParseFailure => (false, false),
    }
}

/// `event.outcome`: the verdict about a log-in goes before the status.
pub fn outcome(event: &Event<'_>) -> Option<&'static str> {
    let row = event.row();
    match row.auth.map(|auth| auth.outcome) {
        Some(AuthOutcome::Success) => return Some("success"),
        Some(AuthOutcome::Failure) => return Some("failure"),
        Some(AuthOutcome::Attempt) => return Some("unknown"),
        Some(AuthOutcome::Challenge) => return None,
        None => (),
    }
    match (row.kind, row.status) {
        (Kind::Access, 100..=399) => Some("success"),
        (Kind::Access, 400..) => Some("failure"),
        (Kind::Access, _) => Some("unknown"),
        (Kind::ServerError | Kind::Auth | Kind::ParseFailure, _) => None,
    }
}

fn client<'a>(event: &Event<'a>) -> Option<Cow<'a, [u8]>> {
    match event.row().client {
        Some(ip) => Some(Cow::Owned(client_net(ip).to_string().into_bytes())),
        None => event.field(Field::ClientAddress).map(Cow::Borrowed),
    }
}

/// Of `/a/B.JPG` the `jpg`: at most eight letters and digits.
pub fn extension<'a>(event: &Event<'a>) -> Option<Cow<'a, [u8]>> {
    let path = event.field(Field::Path)?;
    let tail = &path[path.len().saturating_sub(9)..];
    let dot = memchr::memrchr(b'.', tail)?;
    let extension = &tail[dot + 1..];
    let sound = !extension.is_empty() && extension.iter().all(u8::is_ascii_alphanumeric);
    if !sound {
        return None;
    }
    if extension.iter().any(u8::is_ascii_uppercase) {
        return Some(Cow::Owned(extension.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(extension))
}
