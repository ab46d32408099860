//! ArcSight's Common Event Format, version 0: `CEF:0|vendor|product|version|class|name|severity|keys`.
//!
//! Invariant: what a client sends cannot add a key. Every `=` and `\` of a value is escaped, a value
//! has no blank at its ends, and a key with nothing to say is left out.

use super::Agent;
use super::fact::{ANY, Fact, Pair, Subject, Value, each_pair, labelled, pair};
use super::facts::Class;
use super::line::{Escape, number, trimmed};

const NAME_MAX: usize = 512;
const CLASS_MAX: usize = 1023;
const VERSION_MAX: usize = 31;

/// In the order in which they are written. The lengths are those of the format's dictionary.
pub(super) const PAIRS: &[Pair] = &[
    pair("rt", Fact::Time, ANY),
    pair("start", Fact::Start, ANY),
    pair("end", Fact::End, ANY),
    pair("src", Fact::ClientIpv4, ANY),
    labelled("c6a2", "Source IPv6 Address", Fact::ClientIpv6, ANY),
    pair("spt", Fact::ClientPort, ANY),
    pair("shost", Fact::ClientName, 1023),
    pair("suser", Fact::ActingUser, 1023),
    pair("duser", Fact::LoginUser, 1023),
    pair("dhost", Fact::Domain, 1023),
    pair("dst", Fact::ServerIpv4, ANY),
    labelled("c6a3", "Destination IPv6 Address", Fact::ServerIpv6, ANY),
    pair("dpt", Fact::ServerPort, ANY),
    pair("app", Fact::App, 31),
    pair("proto", Fact::Transport, 31),
    pair("requestMethod", Fact::Method, 1023),
    pair("request", Fact::Url, 1023),
    pair("requestClientApplication", Fact::UserAgent, 1023),
    pair("requestContext", Fact::Referrer, 2048),
    pair("in", Fact::RequestBytes, ANY),
    pair("out", Fact::ResponseBytes, ANY),
    pair("act", Fact::AlertState, 63),
    pair("outcome", Fact::Outcome, 63),
    pair("reason", Fact::Reason, 1023),
    pair("reason", Fact::Error, 1023),
    labelled("cn1", "httpStatus", Fact::Status, ANY),
    labelled("cn2", "durationMs", Fact::Duration, ANY),
    labelled("cs1", "xForwardedFor", Fact::Forwarded, 4000),
    labelled("cs1", "addresses", Fact::Addresses, 4000),
    labelled("cs2", "authMethod", Fact::AuthMethod, 4000),
    labelled("cs2", "users", Fact::Users, 4000),
    labelled("cs3", "httpVersion", Fact::HttpVersion, 4000),
    labelled("cs3", "rawLine", Fact::Unread, 4000),
    labelled("cs4", "peerIp", Fact::Peer, 4000),
    labelled("cs4", "alertId", Fact::AlertId, 4000),
    labelled("cs5", "site", Fact::Site, 4000),
    labelled("cs6", "srcCountry", Fact::Country, 4000),
    labelled("flexString1", "attackTechnique", Fact::Technique, 1023),
    pair("dvchost", Fact::Host, 100),
    pair("dvcpid", Fact::Pid, ANY),
    pair("cat", Fact::Dataset, 1023),
    pair("cnt", Fact::Count, ANY),
    pair("type", Fact::CorrelatedType, ANY),
    pair("filePath", Fact::File, 1023),
    pair("externalId", Fact::Id, 40),
    pair("msg", Fact::Message, 1023),
];

/// The label of the names of what was cut, which stand behind everything else.
const TRUNCATED: (&str, &str) = ("flexString2", "truncated");

const HEADER: Escape = Escape {
    odd: |byte| byte < b' ' || byte == 0x7f || byte == b'|' || byte == b'\\',
    push: |byte, out| match byte {
        b'|' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        _ => out.push(b' '),
    },
};

const VALUE: Escape = Escape {
    odd: |byte| byte < b' ' || byte == 0x7f || byte == b'=' || byte == b'\\',
    push: |byte, out| match byte {
        b'=' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        _ => out.push(b' '),
    },
};

/// `CEF:0|gatewatch|gatewatch|0.1.0|`
pub(super) fn agent(agent: &Agent, out: &mut Vec<u8>) {
    out.extend_from_slice(b"CEF:0|gatewatch|gatewatch|");
    HEADER.text(agent.version.as_bytes(), VERSION_MAX, out);
    out.push(b'|');
}

/// Appends one line.
pub(super) fn write(subject: &dyn Subject, out: &mut Vec<u8>) {
    out.extend_from_slice(subject.shared());
    let (prefix, class, name) = names(subject.class());
    out.extend_from_slice(prefix.as_bytes());
    out.extend(class.bytes().take(CLASS_MAX).map(class_byte));
    out.push(b'|');
    HEADER.text(name.as_bytes(), NAME_MAX, out);
    out.push(b'|');
    number(u64::from(subject.rank().cef()), out);
    out.push(b'|');
    let body = out.len();
    let cuts = each_pair(subject, PAIRS, |pair, value, max| {
        let start = out.len();
        key(pair.key, body, out);
        let head = out.len();
        let cut = push(pair, &value, max, out);
        if out.len() == head {
            out.truncate(start);
            return cut;
        }
        if let Some(label) = pair.label {
            label_of(pair.key, label, out);
        }
        cut
    });
    if !cuts.is_empty() {
        key(TRUNCATED.0, body, out);
        out.extend_from_slice(cuts.join(",").as_bytes());
        label_of(TRUNCATED.0, TRUNCATED.1, out);
    }
}

/// A blank before each but the first, which stands at `body`.
fn key(key: &str, body: usize, out: &mut Vec<u8>) {
    if body < out.len() {
        out.push(b' ');
    }
    out.extend_from_slice(key.as_bytes());
    out.push(b'=');
}

fn label_of(key: &str, label: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"Label=");
    out.extend_from_slice(label.as_bytes());
}

fn push(pair: &Pair, value: &Value<'_>, max: usize, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Text(text) => {
            let cut = VALUE.text(trimmed(text), max, out);
            // A cut may have left blanks at the end.
            while out.last() == Some(&b' ') {
                out.pop();
            }
            return cut;
        }
        Value::Word(word) if pair.fact == Fact::Transport => {
            out.extend(word.bytes().map(|byte| byte.to_ascii_uppercase()));
        }
        Value::Word(word) => out.extend_from_slice(word.as_bytes()),
        Value::Number(value) => number(*value, out),
        Value::Time(time) => number(time.ms(), out),
        Value::Nanos(nanos) => number(nanos / 1_000_000, out),
    }
    false
}

/// The names of a class: what stands before it, its id, and a phrase without variables.
fn names<'c>(class: Class<'c>) -> (&'static str, &'c str, &'c str) {
    match class {
        Class::Access => ("", "http-access", "HTTP request"),
        Class::LoginFailure => ("", "auth-failure", "Failed login"),
        Class::LoginSuccess => ("", "auth-success", "Successful login"),
        Class::LoginAttempt => ("", "auth-attempt", "Login attempt"),
        Class::Logout => ("", "auth-logout", "Logout"),
        Class::AuthInfo => ("", "auth-info", "Authentication message"),
        Class::ServerError => ("", "server-error", "Server error"),
        Class::AccessDenied => ("", "access-denied", "Access denied"),
        Class::RateLimited => ("", "rate-limited", "Rate limited"),
        Class::ParseError => ("", "parse-error", "Line not understood"),
        Class::Alert(id, title) => ("alert:", id, title),
    }
}

/// Class ids are made of letters, digits and `. _ : -`.
fn class_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-') {
        byte
    } else {
        b'_'
    }
}
