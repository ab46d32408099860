//! What the columns of a line mean, and how the writer of the log parts and escapes them.
//!
//! Invariant: a line is read only where its number of columns is the server's word.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::super::capture::{Applier, Capture, Escape, Unit};
use super::super::{Context, Miss};
use super::services::{ftp, http_err, is_numbered};
use super::{Directives, NAME};
use crate::engine::batch::{Field, Module, Stamp, Writer};
use crate::engine::request;
use crate::engine::text::{hex_value, parse_u64};
use crate::engine::time::TimeReader;

/// Columns of a layout; CloudFront, which has the most, writes 33.
pub(super) const COLUMNS_MAX: usize = 128;

/// What IIS logs unless somebody chooses other columns.
pub(super) const IIS_DEFAULT: &str = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port \
    cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken";

/// Who writes the lines, as far as it matters how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Product {
    /// IIS: one blank between columns, `+` for a blank inside, milliseconds.
    Iis,
    /// IIS's module for logs of one's own choice: values may be in quotes.
    IisAdvanced,
    /// The error log of Windows' HTTP service, in the same manner.
    HttpErr,
    /// The FTP service of IIS, in the same manner.
    Ftp,
    /// CloudFront: TABs, percent-encoding, seconds.
    CloudFront,
    /// Anybody else: values may be in quotes.
    Other,
}

impl Product {
    pub(super) fn identity(self) -> (Module, &'static str) {
        match self {
            Self::Iis | Self::IisAdvanced => (Module::Iis, NAME),
            Self::Other => (Module::App, NAME),
            Self::HttpErr => (Module::Iis, "iis:error"),
            Self::Ftp => (Module::Iis, "iis:ftp"),
            Self::CloudFront => (Module::Aws, "cloudfront"),
        }
    }

    /// No blank or TAB of a client gets between the columns.
    fn escapes_blanks(self) -> bool {
        !matches!(self, Self::IisAdvanced | Self::Other)
    }
}

/// The meaning of one column.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Column {
    Date,
    Time,
    /// Both in one.
    Moment,
    /// The same in the zone of the machine, where nothing tells it in UTC.
    LocalDate,
    LocalTime,
    /// The client's address.
    Client,
    Method,
    /// The path, as IIS decoded it.
    Stem,
    Query,
    /// Path and query in one.
    Uri,
    TimeTaken,
    Substatus,
    Win32,
    /// Why HTTP.sys refused.
    Reason,
    /// The value of a header, in the writer's escaping.
    Header(Field),
    /// A meaning shared with other formats.
    Shared(Capture),
}

impl Column {
    fn of(name: &str, has: &dyn Fn(&str) -> bool) -> Self {
        let text = |field| Self::Shared(Capture::Text(field));
        let number = |field| Self::Shared(Capture::Number(field));
        match name {
            "date" => Self::Date,
            "time" => Self::Time,
            "date-time" | "datetime" | "timestamp" => Self::Moment,
            "date-local" if !has("date") => Self::LocalDate,
            "time-local" if !has("time") => Self::LocalTime,
            "c-ip" => Self::Client,
            "c-port" => number(Field::ClientPort),
            "s-ip" => text(Field::DestinationIp),
            "s-port" => number(Field::DestinationPort),
            "s-computername" => text(Field::Hostname),
            "cs-username" => Self::Shared(Capture::User),
            "cs-method" => Self::Method,
            "cs-uri-stem" | "cs-uri-path" => Self::Stem,
            "cs-uri-query" => Self::Query,
            "cs-uri" => Self::Uri,
            "cs-version" | "cs-protocol-version" => Self::Shared(Capture::Protocol),
            "cs-protocol" | "cs-uri-scheme" => text(Field::Scheme),
            "x-host-header" => Self::Shared(Capture::Host),
            // CloudFront's own name of the distribution, where the client's is there as well.
            "cs-host" | "cs(host)" if !has("x-host-header") => Self::Shared(Capture::Host),
            "cs(user-agent)" | "c-user-agent" | "c-agent" => Self::Header(Field::UserAgent),
            "cs(referer)" | "cs(referrer)" | "c-referrer" | "cs-referred" => {
                Self::Header(Field::Referrer)
            }
            "x-forwarded-for" | "cs(x-forwarded-for)" | "x_forwarded_for" => {
                Self::Header(Field::Forwarded)
            }
            "x-real-ip"
            | "cs(x-real-ip)"
            | "true-client-ip"
            | "cs(true-client-ip)"
            | "cf-connecting-ip"
            | "cs(cf-connecting-ip)" => Self::Header(Field::RealIp),
            "sc-status" => Self::Shared(Capture::Status),
            "c-status" if !has("sc-status") => Self::Shared(Capture::Status),
            "sc-substatus" => Self::Substatus,
            "sc-win32-status" => Self::Win32,
            "sc-bytes" => Self::Shared(Capture::ResponseBytes),
            "sc-content-len" => Self::Shared(Capture::BodyBytes),
            "cs-bytes" => number(Field::RequestBytes),
            "time-taken" => Self::TimeTaken,
            "timetakenms" => Self::Shared(Capture::Duration(Unit::Milliseconds)),
            "s-reason" => Self::Reason,
            "x-edge-request-id" | "cs(x-request-id)" | "x-request-id" => text(Field::RequestId),
            "x-edge-result-type" => text(Field::CacheStatus),
            "ssl-protocol" => Self::Shared(Capture::TlsVersion),
            "ssl-cipher" => text(Field::TlsCipher),
            // Whoever has one is logged in.
            "cs(cookie)"
            | "cs-cookie"
            | "sc(set-cookie)"
            | "cs(authorization)"
            | "cs(proxy-authorization)" => Self::Shared(Capture::Skip),
            other => Self::Shared(Capture::Label(label(other))),
        }
    }
}

/// The name of a column as a label: headers are called as nginx calls them.
fn label(name: &str) -> Box<str> {
    let header = |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')'));
    if let Some(header) = header("cs(") {
        return format!("http_{}", header.replace('-', "_")).into();
    }
    match header("sc(").or_else(|| header("rs(")) {
        Some(header) => format!("sent_http_{}", header.replace('-', "_")).into(),
        None => name.into(),
    }
}

/// What the columns of a line mean.
#[derive(Debug)]
pub(super) struct Layout {
    columns: Vec<Column>,
    pub(super) product: Product,
    /// The date of lines that hold only a time.
    date: String,
    applier: Applier,
}

impl Layout {
    /// `None` where the columns are not those of a log of requests, or tell no time.
    pub(super) fn compile(said: &Directives) -> Option<Self> {
        let fields = said.fields.to_ascii_lowercase();
        let names: Vec<&str> = fields.split(' ').filter(|name| !name.is_empty()).collect();
        let has = |name: &str| names.contains(&name);
        if names.is_empty() || COLUMNS_MAX < names.len() || names.iter().any(|n| n.contains(',')) {
            return None;
        }
        let columns: Vec<Column> = names.iter().map(|name| Column::of(name, &has)).collect();
        let is = |column: Column| columns.contains(&column);
        let of_requests = is(Column::Client)
            || is(Column::Stem)
            || is(Column::Uri)
            || is(Column::Shared(Capture::Status));
        let has_date = is(Column::Date) || is(Column::Moment);
        let dated = is(Column::Moment)
            || is(Column::Time) && (has_date || !said.date.is_empty())
            || is(Column::LocalTime) && is(Column::LocalDate);
        let product = product(&has, &said.software);
        let layout = Self {
            product,
            date: if has_date { String::new() } else { said.date.clone() },
            columns,
            applier: Applier {
                escape: Escape::None,
                module: product.identity().0,
                stamp: Stamp::End,
                client_is_address: product.escapes_blanks(),
            },
        };
        (of_requests && dated).then_some(layout)
    }

    fn iis_default() -> &'static Self {
        static DEFAULT: OnceLock<Layout> = OnceLock::new();
        DEFAULT.get_or_init(|| {
            let said = Directives { fields: IIS_DEFAULT.to_owned(), ..Directives::default() };
            Self::compile(&said).expect("a test reads lines of these columns")
        })
    }

    pub(super) fn has_date(&self) -> bool {
        self.columns.contains(&Column::Date) || self.columns.contains(&Column::Moment)
    }

    pub(super) fn parse(
        &self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let line = line.trim_ascii_end();
        let expected = self.columns.len();
        let is_whole = |values: &Values<'_>| values.clone().take(expected + 1).count() == expected;
        let plain = Values::plain(line, self.product);
        let loose = Values { is_loose: true, ..plain.clone() };
        let strict = self.product.escapes_blanks();
        let (first, second) = if strict { (&plain, &loose) } else { (&loose, &plain) };
        if let Some(values) = [first, second].into_iter().find(|values| is_whole(values)) {
            return self.read(values.clone(), cx, out);
        }
        if !strict {
            return Err(Miss::Shape);
        }
        let (count, default) = (plain.clone().count(), Self::iis_default());
        // The columns of an IIS that nobody has configured: lines of another server, or of the
        // time before, below a header that is not theirs.
        if self.product == Product::Iis
            && count == default.columns.len()
            && default.read(plain.clone(), cx, out).is_ok()
            && out.row.client.is_some()
            && out.row.status != 0
            && out.row.duration_ns.is_some()
            && out.has(Field::DestinationPort)
            && out.has(Field::IisSubstatus)
        {
            return Ok(());
        }
        if count < expected {
            return Err(Miss::Shape);
        }
        out.reset();
        self.read(plain, cx, out)
    }

    fn read(
        &self,
        mut values: Values<'_>,
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        (out.row.module, out.row.format) = self.product.identity();
        out.row.stamp = Stamp::End;
        let mut seen = Seen::default();
        for column in &self.columns {
            let value = values.next().ok_or(Miss::Shape)?;
            if !matches!(value, b"" | b"-") {
                self.apply(column, value, &mut seen, cx, out)?;
            }
        }
        for value in values {
            out.set(Field::Trailing, value);
        }
        let time = match (seen.moment, seen.time, seen.local) {
            (Some(moment), ..) => cx.times.iso_utc(moment),
            (None, Some(time), _) => {
                TimeReader::w3c(seen.date.unwrap_or(self.date.as_bytes()), time)
            }
            (None, None, (date, time)) => cx.times.w3c_local(date, time),
        };
        (out.row.time, out.row.zone_minutes) = time.ok_or(Miss::Time)?;
        self.finish(&seen, out);
        Ok(())
    }

    fn apply<'v>(
        &self,
        column: &Column,
        value: &'v [u8],
        seen: &mut Seen<'v>,
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        match column {
            Column::Date => seen.date = Some(value),
            Column::Time => seen.time = Some(value),
            Column::Moment => seen.moment = Some(value),
            Column::LocalDate => seen.local.0 = value,
            Column::LocalTime => seen.local.1 = value,
            Column::Client => self.applier.apply(&Capture::Client, value, false, cx, out)?,
            Column::Method => seen.method = Some(value),
            Column::Stem => seen.stem = Some(value),
            Column::Query => seen.query = Some(value.strip_prefix(b"?").unwrap_or(value)),
            Column::Uri => seen.uri = Some(value),
            Column::Substatus => seen.substatus = Some(number(value)?),
            Column::Win32 => {
                number(value)?;
                out.set(Field::IisWin32Status, value);
            }
            Column::Reason => seen.reason = Some(value),
            Column::TimeTaken => {
                let has_point = memchr::memchr(b'.', value).is_some();
                let seconds = has_point || self.product == Product::CloudFront;
                let unit = if seconds { Unit::Seconds } else { Unit::Milliseconds };
                self.applier.apply(&Capture::Duration(unit), value, false, cx, out)?;
            }
            Column::Header(field) => match self.header(value) {
                Cow::Borrowed(value) => out.set(*field, value),
                Cow::Owned(value) => out.set_with(*field, |to| to.extend_from_slice(&value)),
            },
            Column::Shared(capture) => self.applier.apply(capture, value, false, cx, out)?,
        }
        Ok(())
    }

    /// The value of a header as the client sent it, as far as that is still known.
    fn header<'v>(&self, value: &'v [u8]) -> Cow<'v, [u8]> {
        if self.product == Product::CloudFront {
            return percent_decoded(value);
        }
        // A writer that leaves blanks as they are has no need of another sign for them.
        if memchr::memchr(b'+', value).is_none() || memchr::memchr(b' ', value).is_some() {
            return Cow::Borrowed(value);
        }
        Cow::Owned(value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect())
    }

    /// Sets what depends on more than one column.
    fn finish(&self, seen: &Seen<'_>, out: &mut Writer<'_>) {
        if let Some(substatus) = seen.substatus {
            out.set(Field::IisSubstatus, substatus);
        }
        let command = seen.method.unwrap_or_default();
        if self.product == Product::Ftp || (self.product == Product::Iis && is_numbered(command)) {
            return ftp(seen, out);
        }
        if let (Some(substatus), status @ 1..) = (seen.substatus, out.row.status) {
            out.set_with(Field::Code, |to| {
                to.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
                to.push(b'.');
                to.extend_from_slice(substatus);
            });
        }
        if let Some(method) = seen.method {
            out.set(Field::Method, method);
        }
        target(seen, out);
        if self.product == Product::HttpErr {
            http_err(seen.reason.unwrap_or_default(), out);
        } else if let Some(reason) = seen.reason {
            out.label("s-reason", reason);
        }
    }
}

fn product(has: &dyn Fn(&str) -> bool, software: &str) -> Product {
    let by = |name: &str| software.contains(name);
    if has("x-edge-location") || has("x-edge-request-id") {
        Product::CloudFront
    } else if has("s-reason") && (has("s-queuename") || has("s-siteid") || by("HTTP API")) {
        Product::HttpErr
    } else if has("x-session") && has("cs-method") {
        Product::Ftp
    } else if by("Advanced Logging") || has("timetakenms") {
        Product::IisAdvanced
    } else if has("sc-win32-status") || has("sc-substatus") || by("Internet Information Services") {
        Product::Iis
    } else {
        Product::Other
    }
}

/// Values of a line that are understood together.
#[derive(Default)]
pub(super) struct Seen<'v> {
    pub(super) date: Option<&'v [u8]>,
    pub(super) time: Option<&'v [u8]>,
    pub(super) moment: Option<&'v [u8]>,
    pub(super) local: (&'v [u8], &'v [u8]),
    pub(super) method: Option<&'v [u8]>,
    pub(super) stem: Option<&'v [u8]>,
    pub(super) query: Option<&'v [u8]>,
    pub(super) uri: Option<&'v [u8]>,
    pub(super) substatus: Option<&'v [u8]>,
    pub(super) reason: Option<&'v [u8]>,
}

fn number(value: &[u8]) -> Result<&[u8], Miss> {
    parse_u64(value).map(|_| value).ok_or(Miss::Status)
}

/// Sets target, path and query.
fn target(seen: &Seen<'_>, out: &mut Writer<'_>) {
    match (seen.stem, seen.uri) {
        (Some(stem), _) => request::join_target(stem, seen.query, out),
        (None, Some(uri)) => request::split_target(uri, out),
        (None, None) => (),
    }
    if let (Some(query), false) = (seen.query, out.has(Field::Query)) {
        out.set(Field::Query, query);
    }
}

/// `%20` undone once; anything else stays as it is.
fn percent_decoded(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut clear = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'%', rest) {
        clear.extend_from_slice(&rest[..at]);
        match rest[at + 1..] {
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                clear.push(hex_value(high) << 4 | hex_value(low));
                rest = &rest[at + 3..];
            }
            _ => {
                clear.push(b'%');
                rest = &rest[at + 1..];
            }
        }
    }
    clear.extend_from_slice(rest);
    Cow::Owned(clear)
}

/// The values of a line, one after the other.
#[derive(Clone, Debug)]
struct Values<'l> {
    rest: Option<&'l [u8]>,
    separator: u8,
    /// Values may be in quotes, and several blanks are as good as one.
    is_loose: bool,
}

impl<'l> Values<'l> {
    fn plain(line: &'l [u8], product: Product) -> Self {
        let may_be_tab = matches!(product, Product::CloudFront | Product::Other);
        let is_tab = may_be_tab && memchr::memchr(b'\t', line).is_some();
        let separator = if is_tab { b'\t' } else { b' ' };
        Self { rest: Some(line), separator, is_loose: false }
    }

    /// The text in quotes at the start of `rest`, and what follows the separator behind it.
    fn quoted(&self, rest: &'l [u8]) -> Option<(&'l [u8], Option<&'l [u8]>)> {
        let inner = rest.strip_prefix(b"\"")?;
        // A quote inside is not followed by a separator.
        let ends = memchr::memchr_iter(b'"', inner);
        ends.into_iter().find_map(|end| match inner.get(end + 1) {
            None => Some((&inner[..end], None)),
            Some(byte) if *byte == self.separator => Some((&inner[..end], Some(&inner[end + 2..]))),
            Some(_) => None,
        })
    }
}

impl<'l> Iterator for Values<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        let mut rest = self.rest?;
        if self.is_loose {
            while let (b' ', [b' ', behind @ ..]) = (self.separator, rest) {
                rest = behind;
            }
            if let Some((value, rest)) = self.quoted(rest) {
                self.rest = rest;
                return Some(value);
            }
        }
        let end = memchr::memchr(self.separator, rest);
        self.rest = end.map(|end| &rest[end + 1..]);
        Some(&rest[..end.unwrap_or(rest.len())])
    }
}
