//! Events and alerts as log records of OpenTelemetry, with the names of its semantic conventions 1.44.
//!
//! A record is handed out piece by piece to an [`OtelVisitor`], so that each form on the wire is one
//! visitor and none builds a tree. The form in JSON, as the `File Exporter` of collectors writes it,
//! is here.
//!
//! Invariant: no key is handed out twice, no text is empty, and every text is valid UTF-8 of at most
//! [`TEXT_MAX`] characters.

use std::borrow::Cow;

use super::Agent;
use super::fact::{ANY, Fact, Pair, Subject, Value, each_pair, pair};
use super::facts::{Class, Rank, hops};
use super::json::push_text;
use super::line::number;
use crate::engine::batch::Level;
use crate::engine::detect::Severity;
use crate::engine::text::hex_digit;

/// Where the meaning of the names is written down.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// Characters of a text at most.
pub const TEXT_MAX: usize = 4096;

/// Who made a record, and where: records with the same values belong under one resource.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OtelResource<'r> {
    /// `service.name`; empty where it is not known.
    pub service_name: Cow<'r, str>,
    /// `host.name`; empty where it is not known.
    pub host_name: Cow<'r, str>,
}

/// A record without its attributes.
#[derive(Clone, Debug)]
pub struct OtelRecord<'r> {
    /// The resource it belongs under.
    pub resource: OtelResource<'r>,
    /// When it happened.
    pub time_unix_nano: u64,
    /// When it was read.
    pub observed_time_unix_nano: u64,
    /// 1 to 24.
    pub severity_number: u8,
    /// The word of the log, or ours.
    pub severity_text: &'static str,
    /// The kind of event.
    pub event_name: &'static str,
    /// The raw line where it is kept, else the summary.
    pub body: Cow<'r, str>,
    /// The trace it belongs to.
    pub trace_id: Option<[u8; 16]>,
    /// The step of that trace.
    pub span_id: Option<[u8; 8]>,
}

/// Takes a record: first [`OtelVisitor::record`], then its attributes.
pub trait OtelVisitor {
    /// The record begins.
    fn record(&mut self, record: &OtelRecord<'_>);
    /// A text.
    fn attr_str(&mut self, key: &'static str, value: &str);
    /// A whole number.
    fn attr_int(&mut self, key: &'static str, value: i64);
    /// A number.
    fn attr_f64(&mut self, key: &'static str, value: f64);
    /// A list of texts, not empty.
    fn attr_str_list(&mut self, key: &'static str, values: &[Cow<'_, str>]);
}

pub(super) const PAIRS: &[Pair] = &[
    pair("log.record.uid", Fact::Id, ANY),
    pair("log.file.path", Fact::File, ANY),
    pair("gatewatch.file.offset", Fact::Offset, ANY),
    pair("gatewatch.dataset", Fact::Dataset, ANY),
    pair("gatewatch.action", Fact::Action, ANY),
    pair("gatewatch.outcome", Fact::Outcome, ANY),
    pair("gatewatch.reason", Fact::Reason, ANY),
    pair("gatewatch.code", Fact::Code, ANY),
    pair("gatewatch.count", Fact::Repeats, ANY),
    pair("error.message", Fact::Error, ANY),
    pair("http.request.method", Fact::Method, ANY),
    pair("url.path", Fact::Path, ANY),
    pair("url.query", Fact::Query, ANY),
    pair("url.scheme", Fact::Scheme, ANY),
    pair("url.original", Fact::OddTarget, ANY),
    pair("http.response.status_code", Fact::Status, ANY),
    pair("http.response.size", Fact::WholeBytes, ANY),
    pair("http.response.body.size", Fact::BodyBytes, ANY),
    pair("http.request.size", Fact::RequestBytes, ANY),
    pair("client.address", Fact::ClientIp, ANY),
    pair("client.address", Fact::ClientName, ANY),
    pair("client.port", Fact::ClientPort, ANY),
    pair("network.peer.address", Fact::Peer, ANY),
    pair("server.address", Fact::Domain, ANY),
    pair("server.port", Fact::ServerPort, ANY),
    pair("network.local.address", Fact::ServerIp, ANY),
    pair("network.transport", Fact::Transport, ANY),
    pair("network.type", Fact::NetworkType, ANY),
    pair("user_agent.original", Fact::UserAgent, ANY),
    pair("http.request.header.referer", Fact::Referrer, ANY),
    pair("http.request.header.x-forwarded-for", Fact::Forwarded, ANY),
    pair("network.protocol.version", Fact::HttpVersion, ANY),
    pair("geo.country.iso_code", Fact::Country, ANY),
    pair("user.name", Fact::User, ANY),
    pair("gatewatch.target_user", Fact::TargetUser, ANY),
    pair("gatewatch.duration_s", Fact::Duration, ANY),
    pair("gatewatch.request_id", Fact::RequestId, ANY),
    pair("gatewatch.auth.method", Fact::AuthMethod, ANY),
    pair("gatewatch.auth.outcome", Fact::AuthOutcome, ANY),
    pair("gatewatch.auth.app", Fact::LoginApp, ANY),
    pair("gatewatch.auth.grade", Fact::Grade, ANY),
    pair("gatewatch.malformed", Fact::Malformed, ANY),
    pair("tls.protocol.version", Fact::TlsVersion, ANY),
    pair("tls.cipher", Fact::TlsCipher, ANY),
    pair("process.executable.name", Fact::Process, ANY),
    pair("process.pid", Fact::Pid, ANY),
    pair("security_rule.uuid", Fact::RuleId, ANY),
    pair("security_rule.name", Fact::RuleName, ANY),
    pair("security_rule.category", Fact::RuleCategory, ANY),
    pair("security_rule.version", Fact::RuleVersion, ANY),
    pair("gatewatch.attack.technique_id", Fact::Technique, ANY),
    pair("gatewatch.alert.id", Fact::AlertId, ANY),
    pair("gatewatch.alert.state", Fact::AlertState, ANY),
    pair("gatewatch.alert.count", Fact::AlertCount, ANY),
    pair("gatewatch.alert.threshold", Fact::Threshold, ANY),
    pair("gatewatch.alert.window_s", Fact::Window, ANY),
    pair("gatewatch.alert.group_key", Fact::Group, ANY),
    pair("gatewatch.alert.addresses", Fact::Addresses, ANY),
    pair("gatewatch.alert.users", Fact::Users, ANY),
];

/// Hands the record of `subject` to `visitor`.
pub(super) fn visit(subject: &dyn Subject, visitor: &mut dyn OtelVisitor) {
    let text = |fact: Fact| match subject.get(fact) {
        Some(Value::Text(text)) => utf8(&text, fact.max(subject.limits())).0.into_owned(),
        _ => String::new(),
    };
    let time = |fact: Fact| match subject.get(fact) {
        Some(Value::Time(time)) => time.0,
        _ => 0,
    };
    let happened = time(Fact::Time);
    let (severity_number, severity_text) = severity(subject.rank());
    visitor.record(&OtelRecord {
        resource: OtelResource {
            service_name: text(Fact::Site).into(),
            host_name: text(Fact::Host).into(),
        },
        time_unix_nano: happened,
        observed_time_unix_nano: match time(Fact::Created) {
            0 => happened,
            created => created,
        },
        severity_number,
        severity_text,
        event_name: event_name(subject.class()),
        body: body(subject).into(),
        trace_id: id(subject, Fact::TraceId),
        span_id: id(subject, Fact::SpanId),
    });
    let cuts = each_pair(subject, PAIRS, |pair, value, max| attribute(pair, &value, max, visitor));
    derived(subject, visitor);
    if !cuts.is_empty() {
        let names: Vec<Cow<'_, str>> = cuts.into_iter().map(Cow::Borrowed).collect();
        visitor.attr_str_list("gatewatch.truncated", &names);
    }
}

/// What follows from other facts.
fn derived(subject: &dyn Subject, visitor: &mut dyn OtelVisitor) {
    if subject.get(Fact::HttpVersion).is_some() {
        visitor.attr_str("network.protocol.name", "http");
    }
    if subject.get(Fact::TlsVersion).is_some() {
        visitor.attr_str("tls.protocol.name", "tls");
    }
    if let (None, Some(Value::Text(name))) =
        (subject.get(Fact::Domain), subject.get(Fact::ServerName))
    {
        let max = Fact::ServerName.max(subject.limits());
        visitor.attr_str("server.address", &utf8(&name, max).0);
    }
    if let Some(Value::Number(status @ 500..)) = subject.get(Fact::Status) {
        visitor.attr_str("error.type", itoa::Buffer::new().format(status));
    }
}

/// The raw line where it is kept, else the summary.
fn body(subject: &dyn Subject) -> String {
    let max = subject.original_max();
    let is_alert = matches!(subject.class(), Class::Alert(..));
    let line = subject.get(Fact::Original).filter(|_| max != 0 && !is_alert);
    // The least of an event has no room to say the same twice.
    if line.is_none() && subject.limits().minimal && subject.get(Fact::Path).is_some() {
        return String::new();
    }
    let (value, max) = match line {
        Some(line) => (Some(line), max),
        None => (subject.get(Fact::Message), Fact::Message.max(subject.limits())),
    };
    match value {
        Some(Value::Text(text)) => utf8(&text, max).0.into_owned(),
        _ => String::new(),
    }
}

/// Hands one attribute on; says whether it had to cut.
fn attribute(
    pair: &'static Pair,
    value: &Value<'_>,
    max: usize,
    visitor: &mut dyn OtelVisitor,
) -> bool {
    let max = max.min(TEXT_MAX);
    match (pair.fact, value) {
        (Fact::Method, Value::Text(method)) => return request_method(method, max, visitor),
        (Fact::Referrer, Value::Text(text)) => {
            let (text, cut) = utf8(text, max);
            visitor.attr_str_list(pair.key, &[text]);
            return cut;
        }
        (Fact::Forwarded, Value::Text(text)) => {
            let entries: Vec<Cow<'_, str>> = hops(text).map(|hop| utf8(hop, max).0).collect();
            if !entries.is_empty() {
                visitor.attr_str_list(pair.key, &entries);
            }
        }
        (_, Value::Text(text)) => {
            let (text, cut) = utf8(text, max);
            if !text.is_empty() {
                visitor.attr_str(pair.key, &text);
            }
            return cut;
        }
        (_, Value::Word(word)) => visitor.attr_str(pair.key, word),
        (_, Value::Number(value)) => {
            visitor.attr_int(pair.key, i64::try_from(*value).unwrap_or(i64::MAX));
        }
        (_, Value::Nanos(nanos)) => visitor.attr_f64(pair.key, *nanos as f64 / 1e9),
        (_, Value::Time(time)) => {
            visitor.attr_int(pair.key, i64::try_from(time.0).unwrap_or(i64::MAX));
        }
    }
    false
}

/// The conventions know ten methods; any other goes beside `_OTHER`.
fn request_method(method: &[u8], max: usize, visitor: &mut dyn OtelVisitor) -> bool {
    const KNOWN: [&str; 10] =
        ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
    if let Some(known) = KNOWN.iter().find(|known| known.as_bytes() == method) {
        visitor.attr_str("http.request.method", known);
        return false;
    }
    visitor.attr_str("http.request.method", "_OTHER");
    let (original, cut) = utf8(method, max);
    visitor.attr_str("http.request.method_original", &original);
    cut
}

/// At most `max` characters of `bytes` as UTF-8, a bad byte as `\xHH`; and whether that is less than
/// all.
fn utf8(bytes: &[u8], max: usize) -> (Cow<'_, str>, bool) {
    if let Ok(text) = str::from_utf8(bytes) {
        return match text.char_indices().nth(max) {
            Some((end, _)) => (Cow::Borrowed(&text[..end]), true),
            None => (Cow::Borrowed(text), false),
        };
    }
    let mut out = String::new();
    let mut room = max;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if room == 0 {
                return (out.into(), true);
            }
            room -= 1;
            out.push(character);
        }
        for byte in chunk.invalid() {
            if room < 4 {
                return (out.into(), true);
            }
            room -= 4;
            let digits = [hex_digit(byte >> 4), hex_digit(*byte)];
            out.push_str("\\x");
            out.extend(digits.map(char::from));
        }
    }
    (out.into(), false)
}

/// An identifier in hexadecimal digits that is not all zeros.
fn id<const N: usize>(subject: &dyn Subject, fact: Fact) -> Option<[u8; N]> {
    let Some(Value::Text(text)) = subject.get(fact) else { return None };
    if text.len() != 2 * N {
        return None;
    }
    let mut id = [0; N];
    for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    (id != [0; N]).then_some(id)
}

/// Number and text of a severity: a server's own word stays.
fn severity(rank: Rank) -> (u8, &'static str) {
    let number = |level: Level| match level {
        Level::Debug => 5,
        Level::Info => 9,
        Level::Notice => 10,
        Level::Warn => 13,
        Level::Error => 17,
        Level::Critical => 18,
        Level::Alert => 19,
        Level::Emergency => 21,
    };
    match rank {
        Rank::Logged(level) => (number(level), level.name()),
        Rank::Judged(level) => {
            let word = match level {
                Level::Debug => "DEBUG",
                Level::Info => "INFO",
                Level::Notice => "NOTICE",
                Level::Warn => "WARN",
                Level::Error => "ERROR",
                Level::Critical | Level::Alert | Level::Emergency => "FATAL",
            };
            (number(level), word)
        }
        Rank::Alert(severity) => {
            let number = match severity {
                Severity::Info => 9,
                Severity::Low => 13,
                Severity::Medium => 14,
                Severity::High => 17,
                Severity::Critical => 18,
            };
            (number, severity.name())
        }
    }
}

fn event_name(class: Class<'_>) -> &'static str {
    match class {
        Class::Access => "gatewatch.http.access",
        Class::LoginFailure | Class::LoginSuccess | Class::LoginAttempt => "gatewatch.auth.login",
        Class::Logout => "gatewatch.auth.logout",
        Class::AuthInfo => "gatewatch.auth.info",
        Class::ServerError | Class::AccessDenied | Class::RateLimited => "gatewatch.http.error",
        Class::ParseError => "gatewatch.parse_error",
        Class::Alert(..) => "gatewatch.alert",
    }
}

/// The scope, as it stands between the resource and the records.
pub(super) fn agent(agent: &Agent, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"scope":{"name":"gatewatch","version":""#);
    push_text(out, agent.version.as_bytes(), super::limits::WORD);
    out.extend_from_slice(br#""},"schemaUrl":""#);
    out.extend_from_slice(SCHEMA_URL.as_bytes());
    out.extend_from_slice(br#"","logRecords":["#);
}

/// Appends one export of one record, as OTLP has it in JSON.
pub(super) fn write(subject: &dyn Subject, out: &mut Vec<u8>) {
    let mut writer = JsonWriter { out, scope: subject.shared() };
    visit(subject, &mut writer);
    // The comma behind the last attribute.
    writer.out.pop();
    writer.out.extend_from_slice(b"]}]}]}]}");
}

/// Writes a record in JSON: whole numbers as text, identifiers in hexadecimal digits.
pub(super) struct JsonWriter<'w> {
    out: &'w mut Vec<u8>,
    /// What stands between the resource and a record that is an export of its own.
    scope: &'w [u8],
}

impl<'w> JsonWriter<'w> {
    /// A writer of the parts of records.
    pub(super) fn new(out: &'w mut Vec<u8>) -> Self {
        Self { out, scope: &[] }
    }

    /// An attribute with a text, and the comma behind it.
    pub(super) fn text_attribute(&mut self, key: &str, value: &str) {
        self.raw(r#"{"key":"#);
        self.text(key);
        self.raw(r#","value":{"stringValue":"#);
        self.text(value);
        self.raw("}},");
    }

    /// A record up to its attributes.
    pub(super) fn head(&mut self, record: &OtelRecord<'_>) {
        self.raw(r#"{"timeUnixNano":""#);
        number(record.time_unix_nano, self.out);
        self.raw(r#"","observedTimeUnixNano":""#);
        number(record.observed_time_unix_nano, self.out);
        self.raw(r#"","severityNumber":"#);
        number(u64::from(record.severity_number), self.out);
        self.raw(r#","severityText":"#);
        self.text(record.severity_text);
        self.raw(r#","eventName":"#);
        self.text(record.event_name);
        self.raw(r#","body":{"stringValue":"#);
        self.text(&record.body);
        self.raw("},");
        if let Some(id) = &record.trace_id {
            self.id(r#""traceId":"#, id);
        }
        if let Some(id) = &record.span_id {
            self.id(r#""spanId":"#, id);
        }
        self.raw(r#""attributes":["#);
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.out.push(b'"');
        push_text(self.out, text.as_bytes(), usize::MAX);
        self.out.push(b'"');
    }

    fn key(&mut self, key: &str, kind: &str) {
        self.raw(r#"{"key":""#);
        self.raw(key);
        self.raw(r#"","value":{""#);
        self.raw(kind);
        self.raw("\":");
    }

    fn id(&mut self, name: &str, id: &[u8]) {
        self.raw(name);
        self.out.push(b'"');
        for byte in id {
            let digits = [hex_digit(byte >> 4), hex_digit(*byte)];
            self.out.extend(digits.map(|digit| digit.to_ascii_lowercase()));
        }
        self.raw("\",");
    }
}

impl OtelVisitor for JsonWriter<'_> {
    fn record(&mut self, record: &OtelRecord<'_>) {
        self.raw(r#"{"resourceLogs":[{"resource":{"attributes":["#);
        let resource = &record.resource;
        let named = [("service.name", &resource.service_name), ("host.name", &resource.host_name)];
        let before = self.out.len();
        for (key, value) in named {
            if !value.is_empty() {
                self.attr_str(key, value);
            }
        }
        if before != self.out.len() {
            self.out.pop();
        }
        self.raw(r#"]},"schemaUrl":""#);
        self.raw(SCHEMA_URL);
        self.raw(r#"","scopeLogs":["#);
        self.out.extend_from_slice(self.scope);
        self.head(record);
    }

    fn attr_str(&mut self, key: &'static str, value: &str) {
        self.key(key, "stringValue");
        self.text(value);
        self.raw("}},");
    }

    fn attr_int(&mut self, key: &'static str, value: i64) {
        self.key(key, "intValue");
        self.text(itoa::Buffer::new().format(value));
        self.raw("}},");
    }

    fn attr_f64(&mut self, key: &'static str, value: f64) {
        self.key(key, "doubleValue");
        self.raw(&value.to_string());
        self.raw("}},");
    }

    fn attr_str_list(&mut self, key: &'static str, values: &[Cow<'_, str>]) {
        self.key(key, "arrayValue");
        self.raw(r#"{"values":["#);
        for (index, value) in values.iter().enumerate() {
            self.raw(if index == 0 { r#"{"stringValue":"# } else { r#",{"stringValue":"# });
            self.text(value);
            self.raw("}");
        }
        self.raw("]}}},");
    }
}
