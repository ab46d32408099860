//! Graylog's Extended Log Format, version 1.1: one JSON object with flat names, those of Graylog's own
//! information model where it has one.
//!
//! Invariant: every object has `version`, `host`, `short_message`, `timestamp` and `level`; a level
//! that is absent would be read as an alert. Every other name begins with `_`, none is `_id`, and
//! values are texts and numbers only.

use super::Agent;
use super::fact::{ANY, Fact, Pair, Subject, Value, each_pair, pair};
use super::json::{Json, push_text};
use super::line::number;
use crate::units::Timestamp;

pub(super) const PAIRS: &[Pair] = &[
    pair("host", Fact::Host, ANY),
    pair("short_message", Fact::Message, ANY),
    pair("full_message", Fact::Original, ANY),
    pair("_event_id", Fact::Id, ANY),
    pair("_event_kind", Fact::Kind, ANY),
    pair("_event_dataset", Fact::Dataset, ANY),
    pair("_event_action", Fact::Action, ANY),
    pair("_event_outcome", Fact::Outcome, ANY),
    pair("_event_reason", Fact::Reason, ANY),
    pair("_event_code", Fact::Code, ANY),
    pair("_event_severity", Fact::Severity, ANY),
    pair("_event_count", Fact::Count, ANY),
    pair("_event_created", Fact::Created, ANY),
    pair("_event_duration_ms", Fact::Duration, ANY),
    pair("_log_level", Fact::Level, ANY),
    pair("_log_file_path", Fact::File, ANY),
    pair("_log_offset", Fact::Offset, ANY),
    pair("_error_message", Fact::Error, ANY),
    pair("_source_ip", Fact::ClientIp, ANY),
    pair("_source_port", Fact::ClientPort, ANY),
    pair("_source_hostname", Fact::ClientName, ANY),
    pair("_source_geo_country", Fact::Country, ANY),
    pair("_source_geo_city", Fact::City, ANY),
    pair("_source_as_number", Fact::AsNumber, ANY),
    pair("_source_as_organization", Fact::AsName, ANY),
    pair("_gatewatch_peer_ip", Fact::Peer, ANY),
    pair("_http_xff", Fact::Forwarded, ANY),
    pair("_network_type", Fact::NetworkType, ANY),
    pair("_destination_ip", Fact::ServerIp, ANY),
    pair("_destination_port", Fact::ServerPort, ANY),
    pair("_user_name", Fact::User, ANY),
    pair("_user_effective_name", Fact::TargetUser, ANY),
    pair("_http_request_method", Fact::Method, ANY),
    pair("_http_response_code", Fact::Status, ANY),
    pair("_http_response_bytes", Fact::ResponseBytes, ANY),
    pair("_http_request_bytes", Fact::RequestBytes, ANY),
    pair("_http_request_path", Fact::Path, ANY),
    pair("_http_uri", Fact::Target, ANY),
    pair("_url_query", Fact::Query, ANY),
    pair("_url_scheme", Fact::Scheme, ANY),
    pair("_http_host", Fact::Domain, ANY),
    pair("_http_referrer", Fact::Referrer, ANY),
    pair("_http_version", Fact::HttpVersion, ANY),
    pair("_http_request_id", Fact::RequestId, ANY),
    pair("_user_agent_original", Fact::UserAgent, ANY),
    pair("_service_name", Fact::Site, ANY),
    pair("_tls_version", Fact::TlsVersion, ANY),
    pair("_tls_cipher", Fact::TlsCipher, ANY),
    pair("_tls_server_name", Fact::ServerName, ANY),
    pair("_trace_id", Fact::TraceId, ANY),
    pair("_process_name", Fact::Process, ANY),
    pair("_process_pid", Fact::Pid, ANY),
    pair("_auth_method", Fact::AuthMethod, ANY),
    pair("_auth_outcome", Fact::AuthOutcome, ANY),
    pair("_auth_app", Fact::LoginApp, ANY),
    pair("_auth_grade", Fact::Grade, ANY),
    pair("_gatewatch_malformed", Fact::Malformed, ANY),
    pair("_rule_id", Fact::RuleId, ANY),
    pair("_rule_name", Fact::RuleName, ANY),
    pair("_rule_version", Fact::RuleVersion, ANY),
    pair("_rule_category", Fact::RuleCategory, ANY),
    pair("_threat_technique_id", Fact::Technique, ANY),
    pair("_alert_id", Fact::AlertId, ANY),
    pair("_alert_state", Fact::AlertState, ANY),
    pair("_alert_count", Fact::AlertCount, ANY),
    pair("_alert_threshold", Fact::Threshold, ANY),
    pair("_alert_window_s", Fact::Window, ANY),
    pair("_alert_group_key", Fact::Group, ANY),
    pair("_related_ip", Fact::Addresses, ANY),
    pair("_related_user", Fact::Users, ANY),
];

/// Texts that every object must have, and what stands there where nothing is known.
const REQUIRED: [(Fact, &str); 2] = [(Fact::Host, "unknown"), (Fact::Message, "-")];

/// `"version":"1.1",`
pub(super) fn agent(_: &Agent, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"version":"1.1","#);
}

/// Appends one object.
pub(super) fn write(subject: &dyn Subject, out: &mut Vec<u8>) {
    out.extend_from_slice(subject.shared());
    if let Some(Value::Time(time)) = subject.get(Fact::Time) {
        out.extend_from_slice(b"\"timestamp\":");
        push_seconds(time, out);
        out.push(b',');
    }
    let mut json = Json::new(out);
    json.number("\"level\":", u64::from(subject.rank().syslog()));
    for (fact, stand_in) in REQUIRED {
        let known = subject.get(fact);
        if let (None, Some(pair)) = (known, PAIRS.iter().find(|pair| pair.fact == fact)) {
            name(pair.key, json.out);
            json.word("", stand_in);
        }
    }
    let cuts = each_pair(subject, PAIRS, |pair, value, max| {
        name(pair.key, out);
        let cut = push(&value, max, out);
        out.push(b',');
        cut
    });
    if !cuts.is_empty() {
        name("_gatewatch_truncated", out);
        out.push(b'"');
        out.extend_from_slice(cuts.join(",").as_bytes());
        out.extend_from_slice(b"\",");
    }
    out.pop();
    out.push(b'}');
}

fn name(name: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn push(value: &Value<'_>, max: usize, out: &mut Vec<u8>) -> bool {
    let mut cut = false;
    match value {
        Value::Number(value) => number(*value, out),
        Value::Nanos(nanos) => {
            number(nanos / 1_000_000, out);
            push_fraction(nanos / 1000 % 1000, out);
        }
        Value::Text(text) => {
            out.push(b'"');
            cut = push_text(out, text, max).cut;
            out.push(b'"');
        }
        Value::Word(word) => {
            out.push(b'"');
            out.extend_from_slice(word.as_bytes());
            out.push(b'"');
        }
        Value::Time(time) => {
            out.push(b'"');
            time.write_rfc3339(out);
            out.push(b'"');
        }
    }
    cut
}

/// Seconds with three decimals.
fn push_seconds(time: Timestamp, out: &mut Vec<u8>) {
    number(time.secs(), out);
    push_fraction(time.ms() % 1000, out);
}

/// A point and three digits.
fn push_fraction(thousandths: u64, out: &mut Vec<u8>) {
    let digit = |value: u64| b'0' + (value % 10) as u8;
    let [hundreds, tens] = [thousandths / 100, thousandths / 10];
    out.extend_from_slice(&[b'.', digit(hundreds), digit(tens), digit(thousandths)]);
}
