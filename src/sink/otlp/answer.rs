//! What a receiver's answer means for the records of a request. Pure.
//!
//! | over HTTP | over gRPC | reaction |
//! |---|---|---|
//! | 2xx | OK | taken; what "partial success" refuses is counted and never sent again |
//! | 408, 429, 502, 503, 504 | `CANCELLED`, `DEADLINE_EXCEEDED`, `ABORTED`, `OUT_OF_RANGE`, `UNAVAILABLE`, `DATA_LOSS`, `RESOURCE_EXHAUSTED` with `RetryInfo` | the turn is sent again, after what `Retry-After` or `RetryInfo` says |
//! | 3xx, 401, 403, 404, 405, 407, 415 | `NOT_FOUND`, `PERMISSION_DENIED`, `UNAUTHENTICATED`, `UNIMPLEMENTED` | says nothing about the records: `on_client_error` |
//! | other 5xx | `INTERNAL`, `UNKNOWN` | halves, down to single records; what is refused alone twice is a dead letter where others were taken, else `on_client_error` |
//! | 400, 413, the rest | `INVALID_ARGUMENT`, `RESOURCE_EXHAUSTED`, the rest | halves, down to single records, which become dead letters |
//!
//! The specification has the last three dropped. A log of attacks should not be lost because a
//! token has expired.

use prost::Message;
use serde::Deserialize;

use crate::escape::visible;
use crate::sink::http::client::Answer;
use crate::units::Period;

/// Characters of a receiver's words that are kept.
const WORDS_MAX: usize = 300;

/// What becomes of the records of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// They were taken, but for a number that the receiver tells nothing more about.
    Taken { rejected: u64, words: String },
    /// Not now.
    Later { words: String, pause: Option<Period> },
    /// Not before the operator has done something: what, with its separator.
    Misplaced { words: String, hint: &'static str },
    /// Not all of them together, or one of them not at all.
    Refused(String),
    /// The same, unless it is the receiver that cannot take any.
    Broken(String),
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// An answer over HTTP to a request in JSON or in protobuf; answers are in the same form.
pub(super) fn of_http(answer: &Answer, json: bool) -> Verdict {
    let status = answer.status.as_u16();
    if !answer.status.is_success() {
        return of_status(status, words_of(answer, json), answer.pause);
    }
    if answer.body.trim_ascii_start().starts_with(b"<") {
        let words = answer.words();
        return Verdict::Misplaced { words, hint: "; that is a page for people: check `url`" };
    }
    // What cannot be read was taken all the same: an answer like that is not sent again, either.
    match json {
        true => from_json(&answer.body),
        false => taken(ExportResponse::decode(answer.body.clone()).ok()),
    }
}

/// A status of HTTP that is no success.
pub(super) fn of_status(status: u16, words: String, pause: Option<Period>) -> Verdict {
    let misplaced = |hint| Verdict::Misplaced { words: words.clone(), hint };
    match status {
        408 | 429 | 502 | 503 | 504 => Verdict::Later { words, pause },
        300..=399 => misplaced("; write the address that it points to into `url`"),
        401 | 403 | 407 => misplaced("; check the token in `headers` or `headers_file`"),
        404 | 405 | 415 => misplaced("; check `url` and `protocol`"),
        500..=599 => Verdict::Broken(words),
        _ => Verdict::Refused(words),
    }
}

/// What a receiver says about a refusal, behind its status.
fn words_of(answer: &Answer, json: bool) -> String {
    #[derive(Deserialize)]
    struct InJson {
        message: String,
    }
    let message = match json {
        true => serde_json::from_slice::<InJson>(&answer.body).map(|told| told.message).ok(),
        false => Status::decode(answer.body.clone()).map(|told| told.message).ok(),
    };
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{}: {}", answer.status, shown(&message)),
        None => answer.words(),
    }
}

fn from_json(body: &[u8]) -> Verdict {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct InJson {
        partial_success: Option<Partial>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Partial {
        /// A text, or a number where somebody is less strict.
        rejected_log_records: serde_json::Value,
        error_message: String,
    }
    let told: InJson = serde_json::from_slice(body).unwrap_or_default();
    taken(told.partial_success.map(|partial| {
        let rejected = &partial.rejected_log_records;
        let rejected = rejected.as_i64().or_else(|| rejected.as_str()?.parse().ok());
        let partial_success = Some(PartialSuccess {
            rejected_log_records: rejected.unwrap_or(0),
            error_message: partial.error_message,
        });
        ExportResponse { partial_success }
    }))
}

fn taken(response: Option<ExportResponse>) -> Verdict {
    let partial = response.and_then(|response| response.partial_success).unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_log_records).unwrap_or(0);
    Verdict::Taken { rejected, words: shown(&partial.error_message) }
}

/// An answer over gRPC: its status, and the message, which is there where the status is 0.
pub(super) fn of_grpc(code: u16, message: &str, details: &[u8], body: &[u8]) -> Verdict {
    let name = CODES.get(usize::from(code)).copied().unwrap_or("an unknown status");
    let words = match message.is_empty() {
        true => name.to_owned(),
        false => format!("{name}: {}", shown(message)),
    };
    let pause = retry_delay(details);
    match code {
        0 => taken(ExportResponse::decode(body).ok()),
        1 | 4 | 10 | 11 | 14 | 15 => Verdict::Later { words, pause },
        8 if pause.is_some() => Verdict::Later { words, pause },
        7 | 16 => {
            let hint = "; check the token in `headers` or `headers_file`";
            Verdict::Misplaced { words, hint }
        }
        5 | 12 => Verdict::Misplaced { words, hint: "; check `url` and `protocol`" },
        2 | 13 => Verdict::Broken(words),
        _ => Verdict::Refused(words),
    }
}

/// The names of the status codes of gRPC.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// How long `RetryInfo` in the details of a status asks to wait.
fn retry_delay(details: &[u8]) -> Option<Period> {
    let status = Status::decode(details).ok()?;
    let is_it = |any: &&Any| any.type_url.ends_with("/google.rpc.RetryInfo");
    let info = RetryInfo::decode(&*status.details.iter().find(is_it)?.value).ok()?;
    let delay = info.retry_delay.unwrap_or_default();
    let seconds = u64::try_from(delay.seconds).unwrap_or(0);
    let ms = u64::try_from(delay.nanos).unwrap_or(0) / 1_000_000;
    Some(Period(seconds.saturating_mul(1000).saturating_add(ms)))
}

/// A receiver's words, made safe to print.
fn shown(text: &str) -> String {
    visible(&text.chars().take(WORDS_MAX).collect::<String>()).to_string()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::StatusCode;
    use opentelemetry_proto::tonic::collector::logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceResponse,
    };

    use super::*;

    fn http(status: u16, body: &[u8], json: bool) -> Verdict {
        let status = StatusCode::from_u16(status).expect("a status");
        let answer = Answer { status, body: Bytes::copy_from_slice(body), pause: Some(Period(7)) };
        of_http(&answer, json)
    }

    fn partial(rejected: i64, words: &str) -> Vec<u8> {
        let partial = ExportLogsPartialSuccess {
            rejected_log_records: rejected,
            error_message: words.to_owned(),
        };
        ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    }

    fn taken(rejected: u64, words: &str) -> Verdict {
        Verdict::Taken { rejected, words: words.to_owned() }
    }

    #[test]
    fn a_success_may_be_partial() {
        assert_eq!(taken(0, ""), http(200, b"", false));
        assert_eq!(taken(0, ""), http(204, b"", true));
        assert_eq!(taken(3, "too \\x1Bold"), http(200, &partial(3, "too \u{1b}old"), false));
        assert_eq!(taken(0, "slow"), http(200, &partial(0, "slow"), false));
        assert_eq!(taken(0, ""), http(200, &partial(-1, ""), false));
        assert_eq!(taken(0, ""), http(200, b"ok", false));
        assert_eq!(taken(0, ""), http(200, b"{}", true));
        let json = br#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"x"}}"#;
        assert_eq!(taken(2, "x"), http(200, json, true));
        let json = br#"{"partialSuccess":{"rejectedLogRecords":2}}"#;
        assert_eq!(taken(2, ""), http(200, json, true));
        assert_eq!(taken(4, "y"), of_grpc(0, "", b"", &partial(4, "y")));
        let page = http(200, b"\n<!doctype html>", false);
        assert!(matches!(page, Verdict::Misplaced { .. }), "{page:?}");
    }

    #[test]
    fn each_status_has_its_reaction() {
        for status in [408, 429, 502, 503, 504] {
            let pause = Some(Period(7));
            assert!(
                matches!(http(status, b"", false), Verdict::Later { pause: p, .. } if p == pause)
            );
        }
        for status in [301, 401, 403, 404, 405, 407, 415] {
            assert!(matches!(http(status, b"", false), Verdict::Misplaced { .. }), "{status}");
        }
        for status in [500, 501, 505] {
            assert!(matches!(http(status, b"", false), Verdict::Broken(_)), "{status}");
        }
        for status in [400, 409, 413, 422] {
            assert!(matches!(http(status, b"", false), Verdict::Refused(_)), "{status}");
        }
        let status = Status { message: "bad\ntime".to_owned(), details: Vec::new() };
        let words = Verdict::Refused("400 Bad Request: bad\\ntime".to_owned());
        assert_eq!(words, http(400, &status.encode_to_vec(), false));
        assert_eq!(words, http(400, br#"{"code":3,"message":"bad\ntime"}"#, true));
    }

    #[test]
    fn each_code_of_grpc_has_its_reaction() {
        let details = |delay: Option<Delay>| {
            let info = RetryInfo { retry_delay: delay };
            let any = Any {
                type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
                value: info.encode_to_vec(),
            };
            Status { message: String::new(), details: vec![any] }.encode_to_vec()
        };
        let soon = details(Some(Delay { seconds: 1, nanos: 250_000_000 }));
        for code in 1..17 {
            let (bare, with) = (of_grpc(code, "", b"", b""), of_grpc(code, "", &soon, b""));
            let is = |verdict: &Verdict| match verdict {
                Verdict::Later { pause, .. } => ("later", pause.map(Period::ms)),
                Verdict::Misplaced { .. } => ("misplaced", None),
                Verdict::Broken(_) => ("broken", None),
                Verdict::Refused(_) => ("refused", None),
                Verdict::Taken { .. } => ("taken", None),
            };
            let (expected, pause) = match code {
                1 | 4 | 10 | 11 | 14 | 15 => ("later", Some(1250)),
                5 | 7 | 12 | 16 => ("misplaced", None),
                2 | 13 => ("broken", None),
                _ => ("refused", None),
            };
            assert_eq!((expected, None), is(&bare), "{code}");
            match code {
                8 => assert_eq!(("later", Some(1250)), is(&with)),
                _ => assert_eq!((expected, pause), is(&with), "{code}"),
            }
        }
        let words = Verdict::Refused("INVALID_ARGUMENT: x\\n".to_owned());
        assert_eq!(words, of_grpc(3, "x\n", b"not protobuf", b""));
        let zero = of_grpc(8, "", &details(None), b"");
        assert!(matches!(zero, Verdict::Later { pause: Some(Period(0)), .. }), "{zero:?}");
    }
}
