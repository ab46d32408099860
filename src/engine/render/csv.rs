//! Comma-separated values (RFC 4180), one line an event, with the same columns for all.
//!
//! A cell that a spreadsheet would take for a formula, because it begins with `=`, `+`, `-`, `@`, TAB or
//! CR, begins with an apostrophe instead. Controls are written as `\x0A`, so that a record is always
//! one line.
//!
//! Invariant: every line has as many cells as [`HEADER`] has names.

use super::Agent;
use super::fact::{ANY, Fact, Pair, Subject, Value, each_pair, pair};
use super::line::{Escape, number};
use crate::engine::text::hex_digit;

/// The columns from left to right; a test holds [`HEADER`] to them.
pub(super) const PAIRS: &[Pair] = &[
    pair("time", Fact::Time, ANY),
    pair("kind", Fact::Kind, ANY),
    pair("dataset", Fact::Dataset, ANY),
    pair("level", Fact::Level, ANY),
    pair("severity", Fact::Severity, ANY),
    pair("action", Fact::Action, ANY),
    pair("outcome", Fact::Outcome, ANY),
    pair("reason", Fact::Reason, ANY),
    pair("source_ip", Fact::ClientIp, ANY),
    pair("source_name", Fact::ClientName, ANY),
    pair("source_port", Fact::ClientPort, ANY),
    pair("source_country", Fact::Country, ANY),
    pair("source_as", Fact::AsNumber, ANY),
    pair("user", Fact::User, ANY),
    pair("target_user", Fact::TargetUser, ANY),
    pair("auth_method", Fact::AuthMethod, ANY),
    pair("auth_grade", Fact::Grade, ANY),
    pair("method", Fact::Method, ANY),
    pair("host", Fact::Domain, ANY),
    pair("path", Fact::Path, ANY),
    pair("query", Fact::Query, ANY),
    pair("http_version", Fact::HttpVersion, ANY),
    pair("status", Fact::Status, ANY),
    pair("bytes", Fact::ResponseBytes, ANY),
    pair("duration_ms", Fact::Duration, ANY),
    pair("referrer", Fact::Referrer, ANY),
    pair("user_agent", Fact::UserAgent, ANY),
    pair("site", Fact::Site, ANY),
    pair("machine", Fact::Host, ANY),
    pair("message", Fact::Message, ANY),
    pair("error", Fact::Error, ANY),
    pair("code", Fact::Code, ANY),
    pair("count", Fact::Count, ANY),
    pair("rule_id", Fact::RuleId, ANY),
    pair("rule_name", Fact::RuleName, ANY),
    pair("alert_id", Fact::AlertId, ANY),
    pair("alert_state", Fact::AlertState, ANY),
    pair("technique", Fact::Technique, ANY),
    pair("addresses", Fact::Addresses, ANY),
    pair("users", Fact::Users, ANY),
    pair("file", Fact::File, ANY),
    pair("offset", Fact::Offset, ANY),
    pair("event_id", Fact::Id, ANY),
    pair("original", Fact::Original, ANY),
];

/// The first line of a file. `truncated` names the fields that were cut.
pub(super) const HEADER: &str = "time,kind,dataset,level,severity,action,outcome,reason,source_ip,\
source_name,source_port,source_country,source_as,user,target_user,auth_method,auth_grade,method,host,\
path,query,http_version,status,bytes,duration_ms,referrer,user_agent,site,machine,message,error,code,\
count,rule_id,rule_name,alert_id,alert_state,technique,addresses,users,file,offset,event_id,original,\
truncated";

const CELL: Escape = Escape {
    odd: |byte| byte < b' ' || byte == 0x7f || byte == b'"',
    push: |byte, out| match byte {
        b'"' => out.extend_from_slice(b"\"\""),
        _ => out.extend_from_slice(&[b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte)]),
    },
};

/// A line has nothing in common with the next.
pub(super) fn agent(_: &Agent, _: &mut Vec<u8>) {}

/// Appends one line.
pub(super) fn write(subject: &dyn Subject, out: &mut Vec<u8>) {
    let mut column = 0;
    let cuts = each_pair(subject, PAIRS, |pair, value, max| {
        while pair.key != PAIRS[column].key {
            out.push(b',');
            column += 1;
        }
        push(&value, max, out)
    });
    for _ in column..PAIRS.len() {
        out.push(b',');
    }
    // One name needs no quotes, more than one have commas between them.
    if !cuts.is_empty() {
        push(&Value::Text(cuts.join(",").into_bytes().into()), ANY, out);
    }
}

fn push(value: &Value<'_>, max: usize, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Text(text) => return cell(text, max, out),
        Value::Word(word) => out.extend_from_slice(word.as_bytes()),
        Value::Number(value) => number(*value, out),
        Value::Time(time) => time.write_rfc3339(out),
        Value::Nanos(nanos) => number(nanos / 1_000_000, out),
    }
    false
}

fn cell(text: &[u8], max: usize, out: &mut Vec<u8>) -> bool {
    let quoted = text.iter().any(|byte| matches!(byte, b'"' | b',' | b' '));
    if quoted {
        out.push(b'"');
    }
    if matches!(text.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r')) {
        out.push(b'\'');
    }
    let cut = CELL.text(text, max, out);
    if quoted {
        out.push(b'"');
    }
    cut
}
