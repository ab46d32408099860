//! The W3C extended log format: IIS, its FTP server and its HTTPERR log, CloudFront, and whoever
//! else writes a line `#Fields: date time c-ip …` above its lines.
//!
//! The columns are named in the file, and may change in its middle. So what a line means depends
//! on the directives before it: [`State`] is all that has to be known of them. It is a short text
//! as well, so that a line can be read again without the lines before it.
//!
//! IIS writes blanks inside a value as `+` and CloudFront as `%20`, so there the number of columns
//! is the server's word. Other writers put such values in quotes, or do not care: a line of theirs
//! that has not the right number of columns is refused, because what a client sends could stand
//! in the place of the status.
//!
//! Invariant: the state is changed by lines that begin with `#` and by nothing else.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::capture::{Applier, Capture, Escape, Unit};
use super::{Context, Miss};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Kind, Level, Module, Reason, Stamp,
    Writer,
};
use crate::engine::request;
use crate::engine::text::{hex_value, parse_u64};
use crate::engine::time::TimeReader;

/// Name of the format, and of its row in the table.
pub(super) const NAME: &str = "w3c";

/// Columns of a layout; CloudFront, which has the most, writes 33.
const COLUMNS_MAX: usize = 128;

/// Bytes of a `#Fields` line that are kept: the state is stored with each block of lines.
const FIELDS_BYTES_MAX: usize = 4096;

/// Bytes of the name of the writer that are kept.
const SOFTWARE_BYTES_MAX: usize = 64;

/// What IIS logs unless somebody chooses other columns.
const IIS_DEFAULT: &str = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username \
    c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken";

/// How many columns of a line are of interest, to be weighed against other formats.
const CAPTURES: usize = 16;

/// A reader of lines under the directives seen so far.
#[derive(Clone, Debug, Default)]
pub struct W3c {
    state: Arc<State>,
}

/// The directives in force, and what they make of a line.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The same as a text: `Software: …#Fields: …#Date: …`, each where it matters.
    text: String,
    directives: Directives,
    layout: Option<Layout>,
}

/// What was said by directives and matters to later lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Directives {
    software: String,
    /// Only until columns are named that hold the date themselves.
    date: String,
    fields: String,
}

impl W3c {
    /// A reader that goes on where the one with the state `text` was.
    pub(super) fn with_state(text: &str) -> Self {
        let mut reader = Self::default();
        for directive in text.split('#').filter(|directive| !directive.is_empty()) {
            reader.obey(directive.as_bytes());
        }
        reader
    }

    pub(super) fn state(&self) -> &Arc<State> {
        &self.state
    }

    pub(super) fn set_state(&mut self, state: &Arc<State>) {
        self.state = Arc::clone(state);
    }

    /// Takes in the directives among the lines of `bytes`; no other line is looked at.
    pub(super) fn skim(&mut self, bytes: &[u8]) {
        for at in memchr::memchr_iter(b'#', bytes) {
            // A writer that lost its place leaves NUL bytes in front of a line.
            let nuls = bytes[..at].iter().rev().take_while(|byte| **byte == 0).count();
            if at == nuls || bytes[at - nuls - 1] == b'\n' {
                let line = &bytes[at + 1..];
                let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
                self.obey(&line[..end]);
            }
        }
    }

    pub(super) fn captures(&self) -> usize {
        CAPTURES
    }

    pub(super) fn identity(&self) -> (Module, &'static str) {
        self.state.layout.as_ref().map_or((Module::Iis, NAME), |layout| layout.product.identity())
    }

    /// Reads one line, or obeys it.
    pub(super) fn parse(
        &mut self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        if let [b'#', directive @ ..] = line {
            self.obey(directive);
            (out.row.module, out.row.format) = self.identity();
            out.row.kind = Kind::ServerError;
            out.row.action = Action::LogDirective;
            out.set(Field::Message, line);
            return Ok(());
        }
        self.state.layout.as_ref().ok_or(Miss::Shape)?.parse(line, cx, out)
    }

    /// Changes the state as `Name: value` says; what is not known changes nothing.
    fn obey(&mut self, directive: &[u8]) {
        let Some(colon) = memchr::memchr(b':', &directive[..directive.len().min(16)]) else {
            return;
        };
        let (name, value) = (&directive[..colon], directive[colon + 1..].trim_ascii());
        let mut said = self.state.directives.clone();
        if name.eq_ignore_ascii_case(b"Software") {
            said.software =
                plain(&value[..value.len().min(SOFTWARE_BYTES_MAX)]).unwrap_or_default();
        } else if name.eq_ignore_ascii_case(b"Date") {
            said.date = value.get(..10).and_then(date).map(str::to_owned).unwrap_or_default();
        } else if name.eq_ignore_ascii_case(b"Fields") {
            // Columns that cannot be understood end those before them all the same.
            said.fields =
                plain(value).filter(|_| value.len() <= FIELDS_BYTES_MAX).unwrap_or_default();
        } else {
            return;
        }
        if said == self.state.directives {
            return;
        }
        let layout = Layout::compile(&said);
        if name.eq_ignore_ascii_case(b"Fields") && layout.as_ref().is_some_and(Layout::has_date) {
            said.date.clear();
        }
        self.state = Arc::new(State { text: said.text(), directives: said, layout });
    }
}

impl State {
    /// What [`W3c::with_state`] takes; empty before any directive.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Directives {
    fn text(&self) -> String {
        // In this order, for columns that are named end the use of a date named before them.
        let said = [("Software", &self.software), ("Fields", &self.fields), ("Date", &self.date)];
        let said = said.into_iter().filter(|(_, value)| !value.is_empty());
        said.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("#")
    }
}

/// A value that may stand in a definition, with one blank between its words.
fn plain(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let fits = |word: &&str| word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    words.iter().all(fits).then(|| words.join(" "))
}

/// `2026-11-20`, by its shape.
fn date(value: &[u8]) -> Option<&str> {
    let digit = |(at, byte): (usize, &u8)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    let fits = value.len() == 10 && value.iter().enumerate().all(digit);
    std::str::from_utf8(value).ok().filter(|_| fits)
}

/// Who writes the lines, as far as it matters how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Product {
    /// IIS: one blank between columns, `+` for a blank inside, milliseconds.
    Iis,
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
    fn identity(self) -> (Module, &'static str) {
        match self {
            Self::Iis | Self::Other => (Module::Iis, NAME),
            Self::HttpErr => (Module::Iis, "iis:error"),
            Self::Ftp => (Module::Iis, "iis:ftp"),
            Self::CloudFront => (Module::Aws, "cloudfront"),
        }
    }

    /// No blank or TAB of a client gets between the columns.
    fn escapes_blanks(self) -> bool {
        self != Self::Other
    }
}

/// The meaning of one column.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Column {
    Date,
    Time,
    /// Both in one.
    Moment,
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
struct Layout {
    columns: Vec<Column>,
    product: Product,
    /// The date of lines that hold only a time.
    date: String,
    applier: Applier,
}

impl Layout {
    /// `None` where the columns are not those of a log of requests, or tell no time.
    fn compile(said: &Directives) -> Option<Self> {
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
        let dated = is(Column::Moment) || is(Column::Time) && (has_date || !said.date.is_empty());
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

    fn has_date(&self) -> bool {
        self.columns.contains(&Column::Date) || self.columns.contains(&Column::Moment)
    }

    fn parse(&self, line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
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
        let (time, zone) = match (seen.moment, seen.time) {
            (Some(moment), _) => cx.times.iso_utc(moment),
            (None, Some(time)) => TimeReader::w3c(seen.date.unwrap_or(self.date.as_bytes()), time),
            (None, None) => None,
        }
        .ok_or(Miss::Time)?;
        (out.row.time, out.row.zone_minutes) = (time, zone);
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
    } else if has("sc-win32-status") || has("sc-substatus") || by("Internet Information Services") {
        Product::Iis
    } else {
        Product::Other
    }
}

/// Values of a line that are understood together.
#[derive(Default)]
struct Seen<'v> {
    date: Option<&'v [u8]>,
    time: Option<&'v [u8]>,
    moment: Option<&'v [u8]>,
    method: Option<&'v [u8]>,
    stem: Option<&'v [u8]>,
    query: Option<&'v [u8]>,
    uri: Option<&'v [u8]>,
    substatus: Option<&'v [u8]>,
    reason: Option<&'v [u8]>,
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

/// Why HTTP.sys closed a connection or refused a request, before any site saw it.
fn http_err(reason: &[u8], out: &mut Writer<'_>) {
    let row = &mut out.row;
    row.kind = Kind::ServerError;
    let is_of_pool = |word: &[u8]| memchr::memmem::find(reason, word).is_some();
    row.action = match row.status {
        _ if matches!(reason, b"ConnLimit" | b"Connections_Refused" | b"RequestQueueFull") => {
            Action::RateLimited
        }
        _ if is_of_pool(b"App") || reason == b"QueueFull" || reason == b"Disabled" => {
            Action::UpstreamError
        }
        403 => Action::AccessDenied,
        400..=499 | 505 => Action::BadRequest,
        _ => Action::ServerError,
    };
    row.level = match row.status {
        500.. => Level::Error,
        400.. => Level::Warn,
        // Idle clients are let go all the time.
        _ if reason.starts_with(b"Timer_") => Level::Info,
        _ => Level::Notice,
    };
    out.set(Field::Message, reason);
}

/// `[12]USER`: the FTP service of IIS 6 numbers its connections.
fn is_numbered(command: &[u8]) -> bool {
    let Some(rest) = command.strip_prefix(b"[") else { return false };
    memchr::memchr(b']', rest)
        .is_some_and(|end| 0 < end && rest[..end].iter().all(u8::is_ascii_digit))
}

/// A command of FTP. The answer to PASS is the verdict about the log-in; what was sent with it is
/// not kept.
fn ftp(seen: &Seen<'_>, out: &mut Writer<'_>) {
    (out.row.module, out.row.format) = Product::Ftp.identity();
    (out.row.kind, out.row.action) = (Kind::Auth, Action::AuthInfo);
    let command = seen.method.unwrap_or_default();
    let start = memchr::memchr(b']', command).filter(|_| is_numbered(command));
    let command = &command[start.map_or(0, |end| end + 1)..];
    // A status of FTP is none of HTTP.
    let status = std::mem::take(&mut out.row.status);
    let is_password = command.eq_ignore_ascii_case(b"PASS");
    let argument = seen.stem.filter(|_| !is_password);
    if command.eq_ignore_ascii_case(b"USER")
        && let (Some(name), false) = (argument, out.has(Field::User))
    {
        out.set(Field::User, name);
    } else if let Some(path) = argument {
        out.set(Field::Target, path);
        out.set(Field::Path, path);
    }
    if !command.is_empty() {
        out.label("ftp_command", command);
    }
    let mut code = itoa::Buffer::new();
    let code = if status == 0 { "-" } else { code.format(status) };
    if status != 0 {
        out.set(Field::Code, code.as_bytes());
    }
    out.set_with(Field::Message, |to| {
        to.extend_from_slice(b"FTP ");
        to.extend_from_slice(if command.is_empty() { b"-" } else { command });
        to.push(b' ');
        to.extend_from_slice(code.as_bytes());
    });
    if !is_password {
        return;
    }
    let auth = |outcome, reason, counted| {
        let (method, confidence) = (AuthMethod::Password, Confidence::High);
        Some(Auth { outcome, reason, method, confidence, counted })
    };
    match status {
        230 | 232 => out.row.auth = auth(AuthOutcome::Success, None, false),
        430 | 530 => {
            out.row.auth = auth(AuthOutcome::Failure, Some(Reason::BadCredentials), true);
            out.row.level = Level::Warn;
        }
        _ => return,
    }
    out.row.action = Action::Login;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{mutated, read};
    use super::super::{FormatSet, detect};
    use super::*;
    use crate::engine::batch::EventBatch;
    use crate::engine::parse::{Parser, Text};
    use crate::units::Timestamp;

    const IIS: &str = IIS_DEFAULT;
    const FTP: &str = "time c-ip cs-method cs-uri-stem sc-status";

    /// The reader of lines below `#Fields: fields`.
    fn below(fields: &str) -> W3c {
        W3c::with_state(&format!("Fields: {fields}"))
    }

    /// As [`super::super::testing::check`], below these columns.
    #[track_caller]
    fn check(fields: &str, line: &str, expected: &[(&str, &str)]) {
        let mut reader = below(fields);
        let facts = read(|line, cx, out| reader.parse(line, cx, out), line.as_bytes());
        let facts = facts.unwrap_or_else(|miss| panic!("{miss:?}: {line}"));
        for (name, value) in expected {
            let actual = facts.get(*name).map_or("-", String::as_str);
            assert_eq!(*value, actual, "{name} of {line}\n{facts:#?}");
        }
    }

    #[track_caller]
    fn check_miss(fields: &str, line: &str, expected: Miss) {
        let mut reader = below(fields);
        match read(|line, cx, out| reader.parse(line, cx, out), line.as_bytes()) {
            Ok(facts) => panic!("read {line} as {facts:#?}"),
            Err(miss) => assert_eq!(expected, miss, "{line}"),
        }
    }

    #[test]
    fn a_line_means_what_its_columns_say() {
        check(
            IIS,
            "2026-11-20 07:00:10 10.2.2.2 GET /a.aspx id=7&x=%27 443 CORP\\anna 192.0.2.60 \
             Mozilla/5.0+(X11;+Linux) https://www.example.org/ 401 1 2148074252 46",
            &[
                ("time", "2026-11-20T07:00:10.000Z"),
                ("zone", "0"),
                ("destination.ip", "10.2.2.2"),
                ("destination.port", "443"),
                ("http.request.method", "GET"),
                ("url.original", "/a.aspx?id=7&x=%27"),
                ("url.path", "/a.aspx"),
                ("url.query", "id=7&x=%27"),
                ("user.name", "CORP\\anna"),
                ("client", "192.0.2.60"),
                ("user_agent.original", "Mozilla/5.0 (X11; Linux)"),
                ("http.request.referrer", "https://www.example.org/"),
                ("status", "401"),
                ("event.code", "401.1"),
                ("gatewatch.iis.substatus", "1"),
                ("gatewatch.iis.win32_status", "2148074252"),
                ("duration", "46000000"),
                ("module", "iis"),
                ("format", "w3c"),
            ],
        );
        // Whatever their order and case.
        check(
            "SC-Status C-IP Date Time",
            "304 2001:db8::7 2026-11-20 07:00:10.5",
            &[("status", "304"), ("client", "2001:db8::7"), ("time", "2026-11-20T07:00:10.500Z")],
        );
    }

    #[test]
    fn durations_are_milliseconds_unless_the_writer_counts_seconds() {
        for (fields, taken, expected) in [
            ("date time c-ip sc-win32-status time-taken", "15", "15000000"),
            ("date time c-ip sc-win32-status time-taken", "1.5", "1500000000"),
            ("date time c-ip x-edge-location time-taken", "15", "15000000000"),
            ("date time c-ip x-edge-location time-taken", "0.001", "1000000"),
            ("date time c-ip s-action time-taken", "15", "15000000"),
        ] {
            let line = format!("2026-11-20 07:00:10 192.0.2.7 0 {taken}");
            check(fields, &line, &[("duration", expected)]);
        }
    }

    #[test]
    fn values_that_reveal_a_session_are_dropped_and_unknown_ones_are_labels() {
        check(
            "date time c-ip cs(Cookie) cs(Authorization) cs(X-Trace-Id) x-point sc(Set-Cookie)",
            "2026-11-20 07:00:10 192.0.2.7 sid=1 Basic+eA== abc eu sid=2",
            &[
                ("labels.http_x_trace_id", "abc"),
                ("labels.x-point", "eu"),
                ("labels.http_cookie", "-"),
                ("labels.cs(cookie)", "-"),
                ("labels.http_authorization", "-"),
                ("labels.sent_http_set_cookie", "-"),
            ],
        );
    }

    #[test]
    fn cloudfront_escapes_once_and_names_the_site_twice() {
        check(
            "date time x-edge-location c-ip cs(Host) sc-status cs(User-Agent) x-host-header",
            "2026-11-20\t07:00:10\tFRA60\t192.0.2.7\td1.example.net\t000\ta%20b%2520c%\tWWW.Example.org",
            &[
                ("user_agent.original", "a b%20c%"),
                ("destination.domain", "www.example.org"),
                ("labels.http_host", "d1.example.net"),
                ("status", "-"),
                ("module", "aws"),
                ("format", "cloudfront"),
            ],
        );
    }

    #[test]
    fn forwarding_headers_are_known_by_their_usual_names() {
        for name in ["X-Forwarded-For", "cs(X-Forwarded-For)", "x-forwarded-for"] {
            check(
                &format!("date time c-ip sc-substatus {name}"),
                "2026-11-20 07:00:10 192.0.2.7 0 203.0.113.9,+198.51.100.2",
                &[("gatewatch.xff_chain", "203.0.113.9, 198.51.100.2"), ("client", "192.0.2.7")],
            );
        }
    }

    #[test]
    fn a_log_in_over_ftp_ends_with_the_answer_to_the_password() {
        let fields = "date time c-ip cs-username cs-method cs-uri-stem sc-status sc-win32-status \
                      x-session";
        for (line, expected) in [
            (
                "- USER bob 331 0 s",
                [("user.name", "bob"), ("outcome", "-"), ("action", "auth_info")],
            ),
            (
                "- PASS *** 530 1326 s",
                [("outcome", "failure"), ("counted", "true"), ("status", "-")],
            ),
            (
                "bob PASS *** 230 0 s",
                [("outcome", "success"), ("user.name", "bob"), ("url.path", "-")],
            ),
            (
                "- LIST - 530 5 s",
                [("outcome", "-"), ("event.code", "530"), ("action", "auth_info")],
            ),
            ("bob RETR /a 226 0 s", [("url.path", "/a"), ("outcome", "-"), ("kind", "Auth")]),
        ] {
            check(fields, &format!("2026-11-20 07:00:10 192.0.2.7 {line}"), &expected);
        }
    }

    #[test]
    fn the_date_of_old_logs_stands_above_their_lines() {
        let iis = "#Software: Microsoft Internet Information Services 6.0";
        let mut reader = W3c::default();
        for line in [iis, "#Date: 2026-11-20 00:00:00", &format!("#Fields: {FTP}")] {
            read(|line, cx, out| reader.parse(line, cx, out), line.as_bytes()).expect("obeyed");
        }
        let mut see = |line: &str| {
            let facts = read(|line, cx, out| reader.parse(line, cx, out), line.as_bytes());
            facts.map(|facts| (facts["time"].clone(), facts["format"].clone()))
        };
        let line = "07:00:10 192.0.2.7 [3]PASS secret 530";
        let known = |time: &str| Ok((time.to_owned(), "iis:ftp".to_owned()));
        assert_eq!(known("2026-11-20T07:00:10.000Z"), see(line));
        see("#Date: 2026-11-21 00:00:00").expect("obeyed");
        assert_eq!(known("2026-11-21T07:00:10.000Z"), see(line));
        see("#Date: soon").expect("obeyed");
        assert_eq!(Err(Miss::Shape), see(line), "no date is better than the one before");
    }

    #[test]
    fn a_password_is_not_kept() {
        let state = format!("Software: Internet Information Services#Fields: date {FTP}");
        let mut reader = W3c::with_state(&state);
        let line = b"2026-11-20 07:00:10 192.0.2.7 [3]PASS hunter2 530";
        let facts = read(|line, cx, out| reader.parse(line, cx, out), line).expect("a line");
        assert!(facts.values().all(|value| !value.contains("hunter2")), "{facts:#?}");
    }

    #[test]
    fn quotes_hold_blanks_together_where_the_writer_has_no_other_way() {
        let fields = "date time c-ip cs(User-Agent) sc-status cs(Referer)";
        check(
            fields,
            "2026-11-20 07:00:10 192.0.2.7 \"a+b c\" 200 \"-\"",
            &[("user_agent.original", "a+b c"), ("status", "200"), ("http.request.referrer", "-")],
        );
        check(
            fields,
            "2026-11-20  07:00:10 192.0.2.7 a+b 200 -",
            &[("user_agent.original", "a b")],
        );
        // IIS does not quote; a quote is the client's.
        check(
            IIS,
            "2026-11-20 07:00:10 10.2.2.2 GET / - 80 - 192.0.2.7 \"a b\" 200 0 0 1",
            &[("user_agent.original", "\"a"), ("http.request.referrer", "b\"")],
        );
    }

    #[test]
    fn a_client_cannot_move_the_columns() {
        let fields = "date time c-ip cs(User-Agent) sc-status";
        for agent in ["a b", "\"a\" 200", "\"a", "a\" 200 \"b", "x 200"] {
            for quote in ["", "\""] {
                let line = format!("2026-11-20 07:00:10 192.0.2.7 {quote}{agent}{quote} 404");
                let mut reader = below(fields);
                let facts = read(|line, cx, out| reader.parse(line, cx, out), line.as_bytes());
                let status = facts.map(|facts| facts["status"].clone());
                assert!(status.is_err() || status.as_deref() == Ok("404"), "{line}: {status:?}");
            }
        }
    }

    #[test]
    fn columns_too_many_are_kept_apart_and_columns_too_few_are_refused() {
        let fields = "date time c-ip sc-status sc-substatus";
        check(fields, "2026-11-20 07:00:10 192.0.2.7 200 0 more", &[("gatewatch.extra", "more")]);
        check_miss(fields, "2026-11-20 07:00:10 192.0.2.7 200", Miss::Shape);
        check_miss("date time c-ip sc-status", "2026-11-20 07:00:10 192.0.2.7 200 0", Miss::Shape);
    }

    #[test]
    fn lines_of_the_default_columns_are_read_below_other_columns_of_iis() {
        let line = "2026-11-20 07:00:10 10.2.2.2 GET / - 80 - 192.0.2.7 a - 200 0 0 15";
        check(IIS, line, &[("status", "200")]);
        check(&IIS.replace(" s-port", ""), line, &[("client", "192.0.2.7"), ("status", "200")]);
        check("date time c-ip sc-win32-status", line, &[("client", "192.0.2.7")]);
        let longer = format!("{IIS} cs-host");
        check(
            &longer,
            line,
            &[("status", "200"), ("duration", "15000000"), ("client", "192.0.2.7")],
        );
        let unsure = "2026-11-20 07:00:10 10.2.2.2 GET / - - - 192.0.2.7 a - 200 0 0 15";
        check_miss(&longer, unsure, Miss::Shape);
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        let fields = "date time c-ip sc-status sc-substatus sc-win32-status";
        check_miss(fields, "2026-11-31 07:00:10 192.0.2.7 200 0 0", Miss::Time);
        check_miss(fields, "- 07:00:10 192.0.2.7 200 0 0", Miss::Time);
        check_miss(fields, "2026-11-20 07:00:10 localhost 200 0 0", Miss::Client);
        check_miss(fields, "2026-11-20 07:00:10 192.0.2.7 2000 0 0", Miss::Status);
        check_miss(fields, "2026-11-20 07:00:10 192.0.2.7 200 x 0", Miss::Status);
        check_miss(fields, "2026-11-20 07:00:10 192.0.2.7 200 0 -1", Miss::Status);
    }

    #[test]
    fn columns_of_other_logs_are_none() {
        for fields in [
            "date time action protocol src-ip dst-ip",
            "date-time,session-id,c-ip",
            "time c-ip sc-status",
            "date c-ip sc-status",
            "",
        ] {
            let mut reader = below(fields);
            let line = b"2026-11-20 07:00:10 192.0.2.7 200 192.0.2.7 200";
            let facts = read(|line, cx, out| reader.parse(line, cx, out), line);
            assert_eq!(Err(Miss::Shape), facts, "{fields}");
        }
        let many = "x ".repeat(COLUMNS_MAX) + "date time c-ip";
        check_miss(&many, "2026-11-20 07:00:10 192.0.2.7", Miss::Shape);
    }

    #[test]
    fn a_header_that_is_not_understood_ends_the_one_before() {
        let mut reader = below(IIS);
        reader.skim(b"#Fields: date time \xff\n");
        assert_eq!("", reader.state().text());
        assert!(reader.state().layout.is_none());
    }

    #[test]
    fn what_is_kept_of_a_header_is_bounded() {
        let mut reader = W3c::default();
        let long = "c-ip ".repeat(60_000);
        reader.skim(format!("#Software: {long}\n#Date: {long}\n#Fields: {long}\n").as_bytes());
        assert!(reader.state().text().len() < 100, "{}", reader.state().text());
    }

    /// Parts of a file: directives, lines below them, and what looks like either.
    fn file() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            mutated(LINES),
            prop::sample::select(LINES).prop_map(|line| line.as_bytes().to_vec()),
        ];
        let end = prop::sample::select(vec![&b"\n"[..], b"\r\n", b"\n\0\0", b"\n\n", b"\n#"]);
        prop::collection::vec((part, end), 0..24).prop_map(|parts| {
            parts.into_iter().flat_map(|(part, end)| [part, end.to_vec()].concat()).collect()
        })
    }

    const LINES: &[&str] = &[
        "#Software: Microsoft Internet Information Services 10.0",
        "#Software: Microsoft HTTP API 2.0",
        "#Date: 2026-11-20 07:00:00",
        "#Date: none",
        "#Remark: nothing",
        "#Fields: time c-ip cs-method cs-uri-stem sc-status",
        "#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query cs(User-Agent) sc-status sc-substatus",
        "#Fields: date-time\tc-ip\tcs-uri\tcs(User-Agent)\ttime-taken",
        "#Fields: date time c-ip c-port cs-method cs-uri sc-status s-siteid s-reason s-queuename",
        "#Fields: nothing of interest",
        "07:00:10 192.0.2.7 GET /a 200",
        "07:00:10 192.0.2.7 [3]PASS secret 530",
        "2026-11-20 07:00:10 192.0.2.7 GET /a b=1 curl+8 401 2",
        "2026-11-20 07:00:10 192.0.2.7 GET /a #Fields:+date curl+8 401 2",
        "2026-11-20T07:00:10Z\t192.0.2.7\t/a?b\t\"curl 8\"\t0.5",
        "2026-11-20 07:00:10 192.0.2.7 5000 GET /a?b 503 1 ConnLimit Pool",
    ];

    /// The events of blocks that follow one another, each read by a parser of its own, made from
    /// the definition that the block before has left.
    fn events(blocks: &[&[u8]], keep_empty: bool) -> Vec<String> {
        let mut definition = NAME.to_owned();
        let (mut events, mut from) = (Vec::new(), 0);
        for bytes in blocks {
            let formats = FormatSet::from_definition(&definition).expect("a definition");
            let times = TimeReader::new(jiff::tz::TimeZone::UTC, Timestamp(0));
            let mut parser = Parser::new(formats, times, Arc::default());
            parser.keep_empty = keep_empty;
            let mut batch = EventBatch::default();
            parser.fill(
                &mut batch,
                Text {
                    origin: Arc::default(),
                    bytes: bytes.to_vec(),
                    from,
                    truncated_last: false,
                    read_at: Timestamp::from_secs(1_795_160_801),
                },
            );
            from += bytes.len() as u64;
            let shown = batch.events().map(|event| {
                let fields = crate::engine::batch::FIELDS.iter().map(|entry| {
                    event.field(entry.field).map(|value| value.escape_ascii().to_string())
                });
                let row = event.row();
                let told = (row.offset, row.time, row.kind, row.status, row.format, row.module);
                format!("{told:?} {:?} {:?}", row.auth, fields.collect::<Vec<_>>())
            });
            events.extend(shown);
            definition = parser.definition().into_owned();
        }
        events
    }

    proptest! {
        #[test]
        fn a_file_gives_the_same_events_however_it_is_cut(
            text in file(),
            cuts in prop::collection::vec(any::<bool>(), 1..8),
            keep_empty in any::<bool>(),
        ) {
            let mut blocks = Vec::new();
            let (mut start, mut end) = (0, 0);
            for (line, cut) in text.split_inclusive(|byte| *byte == b'\n').zip(cuts.iter().cycle()) {
                end += line.len();
                if *cut {
                    blocks.push(&text[start..end]);
                    start = end;
                }
            }
            blocks.push(&text[start..]);
            prop_assert_eq!(events(&[&text], keep_empty), events(&blocks, keep_empty));
        }

        #[test]
        fn to_skim_is_to_read_as_far_as_directives_go(text in file()) {
            let mut skimmed = FormatSet::from_definition("auto:w3c").expect("a format");
            skimmed.skim(&text);
            let formats = FormatSet::from_definition("auto:w3c").expect("a format");
            let times = TimeReader::new(jiff::tz::TimeZone::UTC, Timestamp(0));
            let mut parser = Parser::new(formats, times, Arc::default());
            let read_at = Timestamp(1);
            let text = Text { origin: Arc::default(), bytes: text, from: 0, truncated_last: false, read_at };
            parser.fill(&mut EventBatch::default(), text);
            prop_assert_eq!(parser.definition(), skimmed.definition());
        }

        #[test]
        fn a_state_is_its_text(text in file()) {
            let mut reader = W3c::default();
            reader.skim(&text);
            let again = W3c::with_state(reader.state().text());
            prop_assert_eq!(&reader.state().directives, &again.state().directives);
            prop_assert_eq!(reader.state().text(), again.state().text());
            prop_assert_eq!(
                format!("{:?}", reader.state().layout),
                format!("{:?}", again.state().layout)
            );
        }

        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(LINES), header in prop::sample::select(LINES)) {
            let mut reader = W3c::default();
            reader.skim(header.as_bytes());
            let _ = read(|line, cx, out| reader.parse(line, cx, out), &line);
        }
    }

    #[test]
    fn a_definition_says_which_columns_are_in_force() {
        let mut formats = FormatSet::from_definition("auto:w3c").expect("a format");
        assert_eq!("auto:w3c", formats.definition());
        formats
            .skim(b"#Version: 1.0\r\n#Date: 2026-11-20 07:00:00\r\n#Fields: date  time\tc-ip\r\n");
        let told = "auto:w3c#Fields: date time c-ip";
        assert_eq!(told, formats.definition());
        let again = FormatSet::from_definition(told).expect("what it says itself");
        assert_eq!(told, again.definition());
        // Other formats have no use for it.
        for definition in
            ["regex:(?P<remote_addr>#Fields)", "written:$remote_addr #Fields: $status"]
        {
            let formats = FormatSet::from_definition(definition).expect("a format");
            assert_eq!(definition, formats.definition());
        }
        assert!(FormatSet::from_definition("combined#Fields: date").is_err());
    }

    #[test]
    fn a_line_with_names_of_columns_tells_the_format_and_other_comments_do_not() {
        let mut times = TimeReader::new(jiff::tz::TimeZone::UTC, Timestamp(0));
        let combined =
            "192.0.2.7 - - [20/Nov/2026:07:00:06 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"";
        let fields = format!("#Fields: {IIS}");
        let line = "2026-11-20 07:00:10 10.2.2.2 GET / - 80 - 192.0.2.7 a - 200 0 0 15";
        for (sample, expected) in [
            (format!("{line}\n{line}\n{fields}\n"), "auto:w3c"),
            (format!("{fields}\n{line}\n{combined}\n{line}\n"), "auto:w3c"),
            (format!("{fields}\n"), "auto:w3c"),
            (format!("# a comment\n# another\n{combined}\n"), "auto:combined"),
            (format!("{fields}\n{combined}\n"), "auto:combined"),
            ("# a comment\n".to_owned(), "auto:combined"),
            (format!("{line}\n"), "auto:combined"),
        ] {
            assert_eq!(expected, detect(sample.as_bytes(), &mut times), "{sample}");
        }
    }

    #[test]
    fn a_line_of_another_format_is_read_by_it_and_changes_nothing() {
        let mut formats = FormatSet::from_definition("auto:combined").expect("a format");
        formats.skim(b"#Fields: date time c-ip\n");
        assert_eq!("auto:combined", formats.definition());
        let state = FormatSet::from_definition("w3c#Fields: date time c-ip").expect("a format");
        formats.set_state(&state.state());
        assert_eq!("auto:combined", formats.definition());
    }
}
