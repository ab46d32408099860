//! Parameters of an element of structured data (RFC 5424, section 6.3.3): ` name="value" name="value"`.
//!
//! They are what receivers that do not look into the message sort and search by, under the keys of CEF
//! where it has one.
//!
//! Invariant: no value can end itself, its element or the message.

use super::fact::{Fact, Pair, Subject, Value, each_pair, pair};
use super::line::{Escape, number};

/// Characters of a value: the parameters go beside an event that has all of it.
const MAX: usize = 255;

const PAIRS: &[Pair] = &[
    pair("src", Fact::ClientIp, MAX),
    pair("spt", Fact::ClientPort, MAX),
    pair("suser", Fact::ActingUser, MAX),
    pair("duser", Fact::LoginUser, MAX),
    pair("dhost", Fact::Domain, MAX),
    pair("requestMethod", Fact::Method, MAX),
    pair("request", Fact::Url, MAX),
    pair("httpStatus", Fact::Status, MAX),
    pair("act", Fact::AlertState, MAX),
    pair("outcome", Fact::Outcome, MAX),
    pair("reason", Fact::Reason, MAX),
    pair("cnt", Fact::Count, MAX),
    pair("ruleId", Fact::RuleId, MAX),
    pair("alertId", Fact::AlertId, MAX),
    pair("cat", Fact::Dataset, MAX),
    pair("externalId", Fact::Id, MAX),
];

const VALUE: Escape = Escape {
    odd: |byte| byte < b' ' || byte == 0x7f || matches!(byte, b'"' | b'\\' | b']'),
    push: |byte, out| match byte {
        b'"' | b'\\' | b']' => out.extend_from_slice(&[b'\\', byte]),
        _ => out.push(b' '),
    },
};

/// Appends the parameters, with a blank before each.
pub(super) fn write(subject: &dyn Subject, out: &mut Vec<u8>) {
    each_pair(subject, PAIRS, |pair, value, max| {
        out.push(b' ');
        out.extend_from_slice(pair.key.as_bytes());
        out.extend_from_slice(b"=\"");
        let cut = match value {
            Value::Text(text) => VALUE.text(&text, max, out),
            Value::Word(word) => VALUE.text(word.as_bytes(), max, out),
            Value::Number(value) | Value::Nanos(value) => {
                number(value, out);
                false
            }
            Value::Time(time) => {
                number(time.ms(), out);
                false
            }
        };
        out.push(b'"');
        cut
    });
}
