//! What a captured piece of a line means, and how it becomes a field.
//!
//! nginx variables, Apache directives and the groups of a user's regular expression all name one
//! of these captures, so each meaning has one implementation, whoever wrote the line.

use std::net::IpAddr;

use super::{Context, Miss};
use crate::engine::address;
use crate::engine::batch::{FIELDS, Field, Module, Stamp, Writer};
use crate::engine::json;
use crate::engine::request;
use crate::engine::text::{parse_u64, unescape};
use crate::engine::time::{Logged, TimeReader};

/// How a time is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum TimeForm {
    /// `20/Nov/2026:07:46:41 +0000`.
    Clf,
    /// RFC 3339 and its relatives.
    Iso,
    /// Seconds, milli- or microseconds since 1970.
    Epoch,
    /// As a strftime pattern says.
    Pattern(String),
    /// Any of these but a pattern, told by its looks.
    Any,
}

/// The unit of a duration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unit {
    /// Seconds, with or without a fraction.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
    /// Seconds where the number has a fraction, else milliseconds: what most programs mean that
    /// do not say.
    Guessed,
}

/// The meaning of one piece of a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Capture {
    /// Nothing of interest.
    Skip,
    /// The client: address, host name, or a list of addresses.
    Client,
    /// The client's address with or without its port.
    Endpoint,
    /// The answer of identd, `-` nearly always. Not kept; one about a client that is no address
    /// means that the columns are those of another format, such as a line of syslog.
    Ident,
    /// The login name.
    User,
    /// The login name that the application put into a header of its answer.
    ServedUser,
    /// When it happened.
    Time(TimeForm),
    /// `GET /path HTTP/1.1`.
    Request,
    /// The target alone, with its query.
    Target,
    /// The path after the server's own mapping, decoded: for logs that hold nothing better.
    MappedPath,
    /// `HTTP/1.1`.
    Protocol,
    /// The status.
    Status,
    /// Bytes of the response body.
    BodyBytes,
    /// Bytes of the whole response.
    ResponseBytes,
    /// How long the request took.
    Duration(Unit),
    /// A host with or without a port.
    Host,
    /// The name the server goes by, where the log does not hold the host that was asked for.
    ServerName,
    /// A list of values of the upstreams tried; the last one counts, if it has a field.
    Upstream(Option<Field>),
    /// `TLSv1.3`.
    TlsVersion,
    /// `r` or `Resumed` where an earlier session was taken up again.
    TlsResumed,
    /// `on` where the request came over TLS.
    Https,
    /// A `traceparent` header (W3C Trace Context).
    TraceParent,
    /// Any other field, as it is.
    Text(Field),
    /// A number; anything else is left out.
    Number(Field),
    /// A value outside the schema.
    Label(Box<str>),
}

impl Capture {
    /// The name of what it sets beside text fields, which know their own place.
    pub(super) fn sets(&self) -> Option<&'static str> {
        match self {
            Self::Time(_) => Some("@timestamp"),
            Self::Status => Some("http.response.status_code"),
            Self::BodyBytes | Self::ResponseBytes => Some("http.response.body.bytes"),
            Self::Duration(_) => Some("event.duration"),
            _ => None,
        }
    }

    /// The names of the fields that it may set.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let fields: &[Field] = match self {
            Self::Client | Self::Endpoint => &[Field::ClientAddress],
            Self::User | Self::ServedUser => &[Field::User],
            Self::Request => {
                &[Field::Method, Field::Target, Field::Path, Field::Query, Field::HttpVersion]
            }
            Self::Target => &[Field::Target, Field::Path, Field::Query],
            Self::MappedPath => &[Field::Path],
            Self::Protocol => &[Field::HttpVersion],
            Self::ResponseBytes => &[Field::ResponseBytes],
            Self::Host | Self::ServerName => &[Field::Domain],
            Self::TlsVersion => &[Field::TlsVersion],
            Self::Upstream(Some(field)) | Self::Text(field) | Self::Number(field) => {
                std::slice::from_ref(field)
            }
            _ => &[],
        };
        let named = FIELDS.iter().filter(|entry| fields.contains(&entry.field));
        self.sets().into_iter().chain(named.map(|entry| entry.name)).collect()
    }

    /// Bytes that a value has at most, where that is known; a longer one is none.
    pub(super) fn longest(&self) -> Option<usize> {
        match self {
            Self::Status => Some(3),
            Self::BodyBytes | Self::ResponseBytes => Some(20),
            Self::Duration(_) => Some(32),
            Self::Time(TimeForm::Clf | TimeForm::Iso | TimeForm::Epoch) => Some(48),
            Self::Time(TimeForm::Pattern(_)) => Some(128),
            _ => None,
        }
    }
}

/// How the server escapes what it writes into a field.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Escape {
    /// nginx's default and Apache's: `\xHH` and C-style.
    #[default]
    Default,
    /// nginx's `escape=json`.
    Json,
    /// Not at all.
    None,
}

/// Turns the captured pieces of a whole line into one event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applier {
    pub(super) escape: Escape,
    pub(super) module: Module,
    /// The server writes the start of the request, not its end.
    pub(super) stamp: Stamp,
    /// The client must be an address: the format would read too much else otherwise.
    pub(super) client_is_address: bool,
}

impl Applier {
    /// Sets one field. `escaped` says that the line holds a backslash somewhere.
    pub(super) fn apply(
        &self,
        capture: &Capture,
        value: &[u8],
        escaped: bool,
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        if value == b"-" {
            return match capture {
                Capture::BodyBytes => {
                    out.row.bytes = Some(0);
                    Ok(())
                }
                Capture::ResponseBytes => {
                    out.row.bytes.get_or_insert(0);
                    Ok(())
                }
                Capture::Time(_) => Err(Miss::Time),
                Capture::Client | Capture::Endpoint => Err(Miss::Client),
                Capture::Request => {
                    request::split(b"", out);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        if escaped && self.escape != Escape::None && memchr::memchr(b'\\', value).is_some() {
            let mut clear = Vec::with_capacity(value.len());
            match self.escape {
                Escape::Json => json::unescape(&mut clear, value),
                Escape::Default | Escape::None => unescape(&mut clear, value),
            }
            return self.set(capture, &clear, cx, out);
        }
        self.set(capture, value, cx, out)
    }

    fn set(
        &self,
        capture: &Capture,
        value: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        match capture {
            Capture::Skip => (),
            Capture::Client => return self.client(value, out),
            Capture::Endpoint => return self.endpoint(value, out),
            Capture::Ident => {
                if out.row.client.is_none() {
                    return Err(Miss::Client);
                }
            }
            Capture::User => user(value, out),
            Capture::ServedUser => served_user(value, out),
            Capture::Time(form) => {
                let (time, zone) = read_time(form, value, cx.times).ok_or(Miss::Time)?;
                out.row.time = time;
                out.row.zone_minutes = zone;
            }
            Capture::Request => request::split(value, out),
            Capture::Target => request::split_target(value, out),
            Capture::MappedPath => {
                if !out.has(Field::Target) && !value.is_empty() {
                    out.set(Field::Target, value);
                    out.set(Field::Path, value);
                }
            }
            Capture::Protocol => request::set_version(value, out),
            Capture::Status => out.row.status = status(value)?,
            Capture::BodyBytes => out.row.bytes = count(value)?,
            Capture::ResponseBytes => {
                let bytes = set_count(Field::ResponseBytes, value, out)?;
                out.row.bytes = out.row.bytes.or(bytes);
            }
            Capture::Duration(unit) => out.row.duration_ns = duration(*unit, value),
            Capture::Host | Capture::ServerName => self.site(capture, value, out)?,
            Capture::Upstream(None) => (),
            Capture::Upstream(Some(field)) => upstream(*field, value, out),
            Capture::TlsVersion => set_tls_version(value, out)?,
            Capture::TlsResumed | Capture::Https | Capture::TraceParent => {
                set_by_word(capture, value, out);
            }
            Capture::Text(Field::Query) => {
                out.set(Field::Query, value.strip_prefix(b"?").unwrap_or(value));
            }
            Capture::Text(field) => out.set(*field, value),
            Capture::Number(field @ Field::RequestBytes) => {
                set_count(*field, value, out)?;
            }
            Capture::Number(field) => {
                if is_decimal(value) {
                    out.set(*field, value);
                }
            }
            Capture::Label(name) => {
                if !value.is_empty() {
                    out.label(name, value);
                }
            }
        }
        Ok(())
    }

    fn endpoint(&self, value: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
        let (address, port) = address::split_port(value);
        if port.is_some() {
            let digits = value.iter().rev().take_while(|byte| byte.is_ascii_digit());
            out.set(Field::ClientPort, &value[value.len() - digits.count()..]);
        }
        self.client(address, out)
    }

    fn site(&self, capture: &Capture, value: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
        let is_name = *capture == Capture::ServerName;
        if self.is_no_site(value) || (is_name && !is_server_name(value)) {
            return Err(Miss::Shape);
        }
        if !is_name || !out.has(Field::Domain) {
            host(value, out);
        }
        Ok(())
    }

    /// The value is what it should be, as far as the server vouches for it; sets nothing.
    pub(super) fn accepts(&self, capture: &Capture, value: &[u8], cx: &mut Context<'_>) -> bool {
        match capture {
            Capture::Time(form) => read_time(form, value, cx.times).is_some(),
            Capture::Status => value == b"-" || status(value).is_ok(),
            Capture::BodyBytes | Capture::ResponseBytes => {
                value == b"-" || parse_u64(value).is_some()
            }
            Capture::Duration(unit) => value == b"-" || duration(*unit, value).is_some(),
            Capture::Client => value != b"-" && self.client_of(value).is_ok(),
            Capture::Endpoint => self.client_of(address::split_port(value).0).is_ok(),
            // Servers escape the quotes of clients.
            Capture::Host => !value.contains(&b'"') && !self.is_no_site(value),
            Capture::ServerName => is_server_name(value) && !self.is_no_site(value),
            _ => true,
        }
    }

    /// Where the site stands in front of everything, words of another program may stand there: a
    /// name from the server's configuration is one word.
    fn is_no_site(&self, value: &[u8]) -> bool {
        self.client_is_address && value.contains(&b' ')
    }

    fn client(&self, value: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
        let (address, ip) = self.client_of(value)?;
        out.row.client = ip;
        out.set(Field::ClientAddress, address);
        if address.len() < value.len() {
            out.set(Field::Forwarded, value);
        }
        Ok(())
    }

    /// The text of the client in `value`, and its address if it is one.
    fn client_of<'v>(&self, value: &'v [u8]) -> Result<(&'v [u8], Option<IpAddr>), Miss> {
        // A list of hops: the right-most is the peer, the whole is what the peer claims.
        if let Some(comma) = memchr::memrchr(b',', value) {
            let last = value[comma + 1..].trim_ascii();
            return Ok((last, Some(address::parse_ip(last).ok_or(Miss::Client)?)));
        }
        match address::parse_ip(value) {
            Some(ip) => Ok((value, Some(ip))),
            None if self.client_is_address || !looks_like_host(value) => Err(Miss::Client),
            None => Ok((value, None)),
        }
    }
}

/// Headers of answers that name the user who has logged in, as variables of nginx call them.
pub(super) const SERVED_USER: &[&str] =
    &["x_user", "x_user_name", "x_username", "x_auth_user", "x_remote_user"];

fn served_user(value: &[u8], out: &mut Writer<'_>) {
    if !matches!(value, b"" | b"-") {
        out.remove(Field::User);
        out.set(Field::User, value);
        (out.row.served_user, out.row.empty_user) = (true, false);
    }
}

fn user(value: &[u8], out: &mut Writer<'_>) {
    // What the client claims does not matter where the server has said who it is.
    if out.row.served_user {
        return;
    }
    // Apache prints two quotes where the name sent is empty.
    if value == b"\"\"" || value.is_empty() {
        out.row.empty_user = value.len() == 2;
        return;
    }
    out.set(Field::User, value);
}

/// A number that the server counted; none where it logs nothing at all.
fn count(value: &[u8]) -> Result<Option<u64>, Miss> {
    match parse_u64(value) {
        None if !value.is_empty() => Err(Miss::Shape),
        count => Ok(count),
    }
}

fn set_count(field: Field, value: &[u8], out: &mut Writer<'_>) -> Result<Option<u64>, Miss> {
    let count = count(value)?;
    if count.is_some() {
        out.set(field, value);
    }
    Ok(count)
}

/// One word of the server's own configuration.
fn is_server_name(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b' ' | b'"' | b','))
}

/// Reads a status; 0 where the server had none.
pub(super) fn status(value: &[u8]) -> Result<u16, Miss> {
    match *value {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            Ok(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        [b'0', b'0', b'0'] | [b'0'] | [] => Ok(0),
        _ => Err(Miss::Status),
    }
}

/// Sets a virtual host with or without a port.
pub(super) fn host(value: &[u8], out: &mut Writer<'_>) {
    let (name, port) = address::split_port(value);
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() || name == b"_" {
        return;
    }
    if name.iter().any(u8::is_ascii_uppercase) {
        out.set_with(Field::Domain, |to| to.extend(name.iter().map(u8::to_ascii_lowercase)));
    } else {
        out.set(Field::Domain, name);
    }
    if port.is_some()
        && let Some(colon) = memchr::memrchr(b':', value)
    {
        out.set(Field::DestinationPort, &value[colon + 1..]);
    }
}

/// nginx joins the values of several upstreams by `, ` and those of several groups by ` : `.
fn upstream(field: Field, value: &[u8], out: &mut Writer<'_>) {
    let mut last = None;
    let mut count = 0u64;
    for item in value.split(|byte| *byte == b',') {
        // A colon inside an item is part of an address; one between blanks parts two groups.
        let mut rest = item;
        loop {
            let at = memchr::memmem::find(rest, b" : ");
            let one = rest[..at.unwrap_or(rest.len())].trim_ascii();
            count += 1;
            if one != b"-" && !one.is_empty() {
                last = Some(one);
            }
            match at {
                Some(at) => rest = &rest[at + 3..],
                None => break,
            }
        }
    }
    let Some(last) = last else { return };
    if field == Field::UpstreamAddress {
        out.set(field, last);
        out.set_with(Field::UpstreamAttempts, |to| {
            to.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
        });
    } else if is_decimal(last) {
        out.set(field, last);
    }
}

/// Sets `1.3` of `TLSv1.3`; any other word is no version.
fn set_tls_version(value: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
    let is_version = |name: &&[u8]| value.starts_with(name);
    let is_number = matches!(value, [] | [b'1', b'.', b'0'..=b'9']);
    if !is_number && ![&b"TLS"[..], b"SSL", b"QUIC"].iter().any(is_version) {
        return Err(Miss::Shape);
    }
    let version = value.strip_prefix(b"TLSv").unwrap_or(value);
    out.set(Field::TlsVersion, version);
    Ok(())
}

/// Sets what a word of the server stands for.
fn set_by_word(capture: &Capture, value: &[u8], out: &mut Writer<'_>) {
    match capture {
        Capture::TlsResumed => match value {
            b"r" | b"Resumed" => out.set(Field::TlsResumed, b"true"),
            b"." | b"Initial" => out.set(Field::TlsResumed, b"false"),
            _ => (),
        },
        Capture::Https if value.eq_ignore_ascii_case(b"on") => {
            out.set(Field::Scheme, b"https");
        }
        Capture::TraceParent => trace_parent(value, out),
        _ => (),
    }
}

/// Reads `00-<trace>-<span>-01`; identifiers of zeros are none.
fn trace_parent(value: &[u8], out: &mut Writer<'_>) {
    let mut parts = value.split(|byte| *byte == b'-').skip(1);
    let is_identifier = |text: &&[u8]| {
        text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && text.iter().any(|byte| *byte != b'0')
    };
    let (trace, span) = (parts.next(), parts.next());
    if let Some(trace) = trace.filter(|text| text.len() == 32).filter(is_identifier)
        && let Some(span) = span.filter(|text| text.len() == 16).filter(is_identifier)
    {
        out.set(Field::TraceId, trace);
        out.set(Field::SpanId, span);
    }
}

fn read_time(form: &TimeForm, value: &[u8], times: &mut TimeReader) -> Option<Logged> {
    match form {
        TimeForm::Clf => times.clf(value),
        TimeForm::Iso => times.iso(value),
        TimeForm::Epoch => TimeReader::epoch(value),
        TimeForm::Pattern(pattern) => times.pattern(pattern, value),
        TimeForm::Any => times.any(value),
    }
}

/// A number in `unit`, or one with its unit behind it, which then decides: `1.5ms`, `0.2s`.
pub(super) fn duration(unit: Unit, value: &[u8]) -> Option<u64> {
    let letters = value.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.');
    let (number, unit) = match letters.map(|at| value.split_at(at)) {
        None => (value, unit),
        Some((number, b"s")) => (number, Unit::Seconds),
        Some((number, b"ms")) => (number, Unit::Milliseconds),
        Some((number, b"us" | b"\xc2\xb5s" | b"\xce\xbcs")) => (number, Unit::Microseconds),
        Some((number, b"ns")) => (number, Unit::Nanoseconds),
        Some(_) => return None,
    };
    let (whole, fraction) = match memchr::memchr(b'.', number) {
        Some(dot) => (&number[..dot], &number[dot + 1..]),
        None => (number, &b""[..]),
    };
    let scale: u64 = match unit {
        Unit::Seconds => 1_000_000_000,
        Unit::Guessed if !fraction.is_empty() => 1_000_000_000,
        Unit::Milliseconds | Unit::Guessed => 1_000_000,
        Unit::Microseconds => 1000,
        Unit::Nanoseconds => 1,
    };
    let digits = fraction.len().min(9);
    let part = if digits == 0 { 0 } else { parse_u64(&fraction[..digits])? };
    let part = part * scale / 10u64.pow(digits as u32);
    parse_u64(whole)?.checked_mul(scale)?.checked_add(part)
}

/// A number as JSON accepts it: digits with at most one dot inside.
pub(super) fn is_decimal(value: &[u8]) -> bool {
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let (whole, fraction) = (parts.next().unwrap_or_default(), parts.next());
    let plain = whole == b"0" || whole.first() != Some(&b'0');
    value.len() <= 20 && plain && digits(whole) && fraction.is_none_or(digits)
}

/// A name of a site, perhaps with a port: has a dot inside and a top-level domain of letters.
pub(super) fn is_site(value: &[u8]) -> bool {
    let (name, _) = address::split_port(value);
    let Some(dot) = memchr::memrchr(b'.', name) else { return false };
    let top = &name[dot + 1..];
    0 < dot
        && 2 <= top.len()
        && (top.iter().all(u8::is_ascii_alphabetic) || top.starts_with(b"xn--"))
        && address::is_host_name(name)
}

/// A host name or `unix:`: what servers write where they resolve names.
fn looks_like_host(value: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let named = value.len() <= 253 && value.iter().all(allowed);
    value == b"unix:" || (named && value.iter().any(u8::is_ascii_alphabetic))
}
