//! One line for people: time, level, the summary in quotes, and the facts as `key=value`.
//!
//! ```text
//! 2026-11-20T07:46:41.000Z warn "GET /members/ 401 bob 198.51.100.23" action=login outcome=failure …
//! ```
//!
//! The pairs are those of logfmt. Invariant: a value that is more than a plain word stands in double
//! quotes, in which a quote, a backslash and every control is escaped with a backslash; so what a
//! client sends can neither end its quotes nor add a pair.

use super::Agent;
use super::fact::{ANY, Fact, Pair, Subject, Value, each_pair, pair};
use super::line::{Escape, number};
use crate::engine::text::hex_digit;

/// In the order in which they are written. The time and the level go without their keys, as does the
/// summary.
pub(super) const PAIRS: &[Pair] = &[
    pair("", Fact::Time, ANY),
    pair("", Fact::Level, ANY),
    pair("", Fact::Message, ANY),
    pair("rule", Fact::RuleId, ANY),
    pair("state", Fact::AlertState, ANY),
    pair("action", Fact::Action, ANY),
    pair("outcome", Fact::Outcome, ANY),
    pair("reason", Fact::Reason, ANY),
    pair("client", Fact::ClientIp, ANY),
    pair("client", Fact::ClientName, ANY),
    pair("user", Fact::User, ANY),
    pair("as_user", Fact::TargetUser, ANY),
    pair("method", Fact::Method, ANY),
    pair("url", Fact::Url, ANY),
    pair("status", Fact::Status, ANY),
    pair("bytes", Fact::ResponseBytes, ANY),
    pair("duration_ms", Fact::Duration, ANY),
    pair("referrer", Fact::Referrer, ANY),
    pair("agent", Fact::UserAgent, ANY),
    pair("site", Fact::Site, ANY),
    pair("host", Fact::Host, ANY),
    pair("country", Fact::Country, ANY),
    pair("auth", Fact::AuthMethod, ANY),
    pair("grade", Fact::Grade, ANY),
    pair("code", Fact::Code, ANY),
    pair("error", Fact::Error, ANY),
    pair("malformed", Fact::Malformed, ANY),
    pair("count", Fact::Count, ANY),
    pair("addresses", Fact::Addresses, ANY),
    pair("users", Fact::Users, ANY),
    pair("technique", Fact::Technique, ANY),
    pair("alert", Fact::AlertId, ANY),
    pair("log", Fact::Dataset, ANY),
    pair("id", Fact::Id, ANY),
    pair("raw", Fact::Original, ANY),
];

const QUOTED: Escape = Escape {
    odd: |byte| byte < b' ' || matches!(byte, 0x7f | b'"' | b'\\'),
    push: |byte, out| match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => out.extend_from_slice(&[b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte)]),
    },
};

/// A line has nothing in common with the next.
pub(super) fn agent(_: &Agent, _: &mut Vec<u8>) {}

/// Appends one line.
pub(super) fn write(subject: &dyn Subject, out: &mut Vec<u8>) {
    let cuts = each_pair(subject, PAIRS, |pair, value, max| {
        if !pair.key.is_empty() {
            out.extend_from_slice(pair.key.as_bytes());
            out.push(b'=');
        }
        let cut = push(pair, &value, max, out);
        out.push(b' ');
        cut
    });
    if cuts.is_empty() {
        out.pop();
    } else {
        out.extend_from_slice(b"truncated=");
        out.extend_from_slice(cuts.join(",").as_bytes());
    }
}

fn push(pair: &Pair, value: &Value<'_>, max: usize, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Text(text) if pair.fact != Fact::Message && text.iter().all(is_plain) => {
            let end = text.len().min(max);
            out.extend_from_slice(&text[..end]);
            return end < text.len();
        }
        Value::Text(text) => {
            out.push(b'"');
            let cut = QUOTED.text(text, max, out);
            out.push(b'"');
            return cut;
        }
        Value::Word(word) => out.extend_from_slice(word.as_bytes()),
        Value::Number(value) => number(*value, out),
        Value::Time(time) => time.write_rfc3339(out),
        Value::Nanos(nanos) => number(nanos / 1_000_000, out),
    }
    false
}

/// A byte of a word that needs no quotes.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._:/@%+,~?&;-".contains(byte)
}
