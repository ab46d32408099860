//! IBM's Log Event Extended Format, version 2.0, with `^` between the keys:
//! `LEEF:2.0|vendor|product|version|event|^|keys`.
//!
//! The format has no escape. In the header `|` becomes `_`; in values `^` becomes `%5E`, and controls
//! become blanks. A TAB between the keys, which is the default, is rewritten by common relays.
//!
//! Invariant: what a client sends cannot add a key, and no key stands twice: receivers ignore the
//! second.

use super::Agent;
use super::fact::{ANY, Fact, Pair, Subject, Value, each_pair, pair};
use super::facts::Class;
use super::line::{Escape, number, trimmed};
use crate::units::{Timestamp, civil_from_days};

const EVENT_MAX: usize = 255;
const NAME_MAX: usize = 255;

/// In the order in which they are written, behind those for time and severity.
pub(super) const PAIRS: &[Pair] = &[
    pair("src", Fact::ClientIp, ANY),
    pair("srcPort", Fact::ClientPort, ANY),
    pair("dst", Fact::ServerIp, ANY),
    pair("dstPort", Fact::ServerPort, ANY),
    pair("proto", Fact::Transport, ANY),
    pair("usrName", Fact::User, NAME_MAX),
    pair("url", Fact::Url, ANY),
    pair("srcBytes", Fact::RequestBytes, ANY),
    pair("dstBytes", Fact::ResponseBytes, ANY),
    pair("method", Fact::Method, ANY),
    pair("status", Fact::Status, ANY),
    pair("userAgent", Fact::UserAgent, ANY),
    pair("referer", Fact::Referrer, ANY),
    pair("site", Fact::Site, ANY),
    pair("dstHost", Fact::Domain, ANY),
    pair("srcHost", Fact::ClientName, ANY),
    pair("outcome", Fact::Outcome, ANY),
    pair("reason", Fact::Reason, ANY),
    pair("error", Fact::Error, ANY),
    pair("raw", Fact::Unread, ANY),
    pair("authMethod", Fact::AuthMethod, ANY),
    pair("durationMs", Fact::Duration, ANY),
    pair("httpVersion", Fact::HttpVersion, ANY),
    pair("tlsVersion", Fact::TlsVersion, ANY),
    pair("xff", Fact::Forwarded, ANY),
    pair("peerIp", Fact::Peer, ANY),
    pair("srcCountry", Fact::Country, ANY),
    pair("requestId", Fact::RequestId, ANY),
    pair("dataset", Fact::Dataset, ANY),
    pair("ruleName", Fact::RuleName, ANY),
    pair("state", Fact::AlertState, ANY),
    pair("alertId", Fact::AlertId, ANY),
    pair("count", Fact::Count, ANY),
    pair("technique", Fact::Technique, ANY),
    pair("addresses", Fact::Addresses, ANY),
    pair("users", Fact::Users, ANY),
    pair("eventId", Fact::Id, ANY),
    pair("msg", Fact::Message, ANY),
];

/// The character between two pairs.
const DELIMITER: u8 = b'^';

/// How the time is written, in the letters of Java's `SimpleDateFormat`.
const TIME_FORMAT: &str = "MMM dd yyyy HH:mm:ss.SSS z";

const HEADER: Escape = Escape {
    odd: |byte| byte < b' ' || byte == 0x7f || byte == b'|' || byte == DELIMITER,
    push: |byte, out| out.push(if byte == b'|' || byte == DELIMITER { b'_' } else { b' ' }),
};

const VALUE: Escape = Escape {
    odd: |byte| byte < b' ' || byte == 0x7f || byte == DELIMITER,
    push: |byte, out| match byte {
        DELIMITER => out.extend_from_slice(b"%5E"),
        _ => out.push(b' '),
    },
};

/// `LEEF:2.0|gatewatch|gatewatch|0.1.0|`
pub(super) fn agent(agent: &Agent, out: &mut Vec<u8>) {
    out.extend_from_slice(b"LEEF:2.0|gatewatch|gatewatch|");
    HEADER.text(agent.version.as_bytes(), NAME_MAX, out);
    out.push(b'|');
}

/// Appends one line.
pub(super) fn write(subject: &dyn Subject, out: &mut Vec<u8>) {
    out.extend_from_slice(subject.shared());
    let class = subject.class();
    match class {
        Class::Alert(id, _) => {
            out.extend_from_slice(b"alert_");
            HEADER.text(id.as_bytes(), EVENT_MAX - b"alert_".len(), out);
        }
        _ => out.extend_from_slice(event(class).as_bytes()),
    }
    out.extend_from_slice(&[b'|', DELIMITER, b'|']);
    head(subject, out);
    let cuts = each_pair(subject, PAIRS, |pair, value, max| {
        let start = out.len();
        key(pair.key, out);
        let head = out.len();
        let cut = push(pair, &value, max, out);
        if out.len() == head {
            out.truncate(start);
        }
        cut
    });
    if !cuts.is_empty() {
        key("truncated", out);
        out.extend_from_slice(cuts.join(",").as_bytes());
    }
}

/// The time, what refines the event, and the severity.
fn head(subject: &dyn Subject, out: &mut Vec<u8>) {
    if let Some(Value::Time(time)) = subject.get(Fact::Time) {
        out.extend_from_slice(b"devTime=");
        push_time(time, out);
        key("devTimeFormat", out);
        out.extend_from_slice(TIME_FORMAT.as_bytes());
        out.push(DELIMITER);
    }
    // Receivers look an event up by its name and this: the status of a request, why a log-in
    // failed, or the log.
    out.extend_from_slice(b"cat=");
    let refined = match subject.class() {
        Class::Alert(..) => None,
        _ => subject.get(Fact::Status).or_else(|| subject.get(Fact::Reason)),
    };
    match refined.or_else(|| subject.get(Fact::Dataset)) {
        Some(Value::Number(status)) => number(status, out),
        Some(Value::Word(word)) => out.extend_from_slice(word.as_bytes()),
        _ => (),
    }
    key("sev", out);
    number(u64::from(subject.rank().leef()), out);
}

fn key(key: &str, out: &mut Vec<u8>) {
    out.push(DELIMITER);
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
}

fn push(pair: &Pair, value: &Value<'_>, max: usize, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Text(text) => return VALUE.text(trimmed(text), max, out),
        Value::Word(word) if pair.fact == Fact::Transport => {
            out.extend(word.bytes().map(|byte| byte.to_ascii_uppercase()));
        }
        Value::Word(word) => out.extend_from_slice(word.as_bytes()),
        Value::Number(value) => number(*value, out),
        Value::Time(time) => push_time(*time, out),
        Value::Nanos(nanos) => number(nanos / 1_000_000, out),
    }
    false
}

/// `Nov 20 2026 07:46:41.000 GMT`
fn push_time(time: Timestamp, out: &mut Vec<u8>) {
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let (year, month, day) = civil_from_days((time.ms() / 86_400_000) as i64);
    let month = (month as usize - 1) * 3;
    out.extend_from_slice(&MONTHS[month..month + 3]);
    out.extend_from_slice(&[b' ', b'0' + (day / 10) as u8, b'0' + (day % 10) as u8, b' ']);
    number(year.unsigned_abs(), out);
    let mut text = Vec::with_capacity(24);
    time.write_rfc3339(&mut text);
    out.push(b' ');
    out.extend_from_slice(&text[11..23]);
    out.extend_from_slice(b" GMT");
}

/// The name that receivers know an event by.
fn event(class: Class<'_>) -> &'static str {
    match class {
        Class::Access => "http_request",
        Class::LoginFailure => "login_failure",
        Class::LoginSuccess => "login_success",
        Class::LoginAttempt => "login_attempt",
        Class::Logout => "logout",
        Class::AuthInfo => "auth_info",
        Class::ServerError => "server_error",
        Class::AccessDenied => "access_denied",
        Class::RateLimited => "rate_limited",
        Class::ParseError => "parse_error",
        Class::Alert(..) => "alert",
    }
}
