//! `_bulk` of Elasticsearch and OpenSearch.
//!
//! Each record is a `create` whose `_id` is its `event.id`: what is sent twice answers 409, which
//! says that it is there. (In a data stream that holds until it rolls over to its next index.)

use std::fmt::Write as _;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Api;
use super::batch::{Entry, Part, push_json_text};
use super::client::{Answer, Request};
use super::config::HttpConfig;
use super::deliver::{Fate, Verdict, by_status};
use crate::sink::SinkError;
use crate::units::Timestamp;

/// What its stock rules and dashboards look at.
const INDEX: &str = "logs-{event.dataset}-default";

/// Longest name of an index.
const NAME_BYTES_MAX: usize = 255;

/// Only what is looked at: the answer would be as long as the request.
const FILTER: &str = "?filter_path=errors,items.*.status,items.*.error";

/// Errors with status 400 that say something about the index, not about the event.
const OF_THE_INDEX: &[&str] =
    &["validation_exception", "invalid_index_name_exception", "index_closed_exception"];

/// The name of an index with places for what the event says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct IndexName {
    parts: Vec<Piece>,
    /// Each event says in which data stream it is.
    data_stream: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Text(String),
    Dataset,
    Module,
}

impl IndexName {
    /// The name that `text` describes, or what is wrong with it.
    pub(super) fn new(text: Option<&str>, data_stream: bool) -> Result<Self, String> {
        let text = text.unwrap_or(INDEX);
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("`{` has no `}`")?;
            parts.push(Piece::Text(before.to_owned()));
            parts.push(match name {
                "event.dataset" => Piece::Dataset,
                "event.module" => Piece::Module,
                _ => {
                    return Err(format!(
                        "`{{{name}}}` is not offered; write {{event.dataset}} or {{event.module}}"
                    ));
                }
            });
            rest = after;
        }
        parts.push(Piece::Text(rest.to_owned()));
        let index = Self { parts, data_stream };
        let fixed: String = index.texts().collect();
        let is_safe =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        if !fixed.chars().all(is_safe) || text.starts_with(['-', '_', '.']) || text.is_empty() {
            return Err(
                "write small letters, digits, `.`, `_` and `-`, and begin with a letter or \
                        digit"
                    .to_owned(),
            );
        }
        if NAME_BYTES_MAX / 2 < text.len() {
            return Err("it is too long".to_owned());
        }
        if data_stream && fixed.matches('-').count() != 2 {
            return Err("with `data_stream` it is TYPE-DATASET-NAMESPACE".to_owned());
        }
        Ok(index)
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The index of `entry`.
    fn of(&self, entry: &Entry) -> String {
        let module = entry.dataset.split('.').next().unwrap_or_default();
        let mut name = String::new();
        for piece in &self.parts {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Dataset => push_safe(&mut name, entry.dataset),
                Piece::Module => push_safe(&mut name, module),
            }
        }
        name
    }
}

/// What a name of an index may have, and no hyphen: it would begin another part.
fn push_safe(name: &mut String, text: &str) {
    let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    name.extend(text.chars().map(|c| if safe(c) { c } else { '_' }));
}

/// The interface.
#[derive(Debug)]
pub(super) struct Elasticsearch {
    path: String,
    index: IndexName,
    compress: bool,
}

impl Elasticsearch {
    pub(super) fn open(config: &HttpConfig) -> Box<dyn Api> {
        let index = IndexName::new(config.index.as_deref(), config.data_stream);
        Box::new(Self {
            path: format!("{}{FILTER}", config.url.below("/_bulk")),
            index: index.expect("settings are checked when they are read"),
            compress: config.compress,
        })
    }

    fn push(&self, entry: &Entry, record: &[u8], body: &mut Vec<u8>) {
        let index = self.index.of(entry);
        body.extend_from_slice(b"{\"create\":{\"_index\":");
        push_json_text(body, &index);
        body.extend_from_slice(b",\"_id\":");
        push_json_text(body, &entry.id);
        body.extend_from_slice(b"}}\n");
        if self.index.data_stream
            && let Some(fields) = data_stream(&index)
            && let Some(rest) = record.strip_prefix(b"{")
        {
            body.extend_from_slice(fields.as_bytes());
            body.extend_from_slice(rest);
        } else {
            body.extend_from_slice(record);
        }
        body.push(b'\n');
    }
}

/// `{"data_stream":{…},` for the data stream of that name.
fn data_stream(name: &str) -> Option<String> {
    let (kind, rest) = name.split_once('-')?;
    let (dataset, namespace) = rest.rsplit_once('-')?;
    let mut text = String::new();
    write!(
        text,
        "{{\"data_stream\":{{\"type\":\"{kind}\",\"dataset\":\"{dataset}\",\"namespace\":\
         \"{namespace}\"}},"
    )
    .ok()?;
    Some(text)
}

#[derive(Deserialize)]
struct Bulk {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Outcome,
}

#[derive(Deserialize)]
struct Outcome {
    status: u16,
    #[serde(default)]
    error: Option<Value>,
}

impl Outcome {
    fn fate(self) -> Fate {
        let error = self.error.unwrap_or_default();
        let kind = error["type"].as_str().unwrap_or_default().to_owned();
        match self.status {
            // What is there already was sent before.
            200 | 201 | 409 => Fate::Taken,
            408 | 429 | 500..=599 => Fate::Later(words(self.status, &error)),
            401 | 403 | 404 => Fate::Wrong(
                words(self.status, &error),
                "; let the token write to this index, and create it or let it be created",
            ),
            400 if OF_THE_INDEX.contains(&kind.as_str()) => Fate::Wrong(
                words(self.status, &error),
                "; mend the index or the cluster, or correct `index`",
            ),
            _ => Fate::Refused(words(self.status, &error)),
        }
    }
}

/// The receiver's own reason, with what it was caused by.
fn words(status: u16, error: &Value) -> String {
    let mut words = status.to_string();
    let mut level = Some(error);
    // A cause has a cause has a cause: two say enough.
    for _ in 0..3 {
        let Some(error) = level else { break };
        for part in [&error["type"], &error["reason"]] {
            if let Some(text) = part.as_str() {
                words.push_str(": ");
                words.push_str(text);
            }
        }
        level = error.get("caused_by");
    }
    words
}

impl Api for Elasticsearch {
    fn request(&self, part: &Part<'_>, _: Timestamp) -> Result<Request, SinkError> {
        let mut body = Vec::with_capacity(part.size() + part.len() * 128);
        for (entry, record) in part.entries() {
            self.push(entry, record, &mut body);
        }
        let request = Request::new(self.path.clone(), "application/x-ndjson", body);
        Ok(request.packed(self.compress))
    }

    fn judge(&self, part: &Part<'_>, answer: &Answer) -> Verdict {
        if answer.status == StatusCode::BAD_REQUEST && answer.body.starts_with(b"{\"error\"") {
            return Verdict::Halve;
        }
        if answer.status != StatusCode::OK {
            return by_status(answer.status);
        }
        match serde_json::from_slice::<Bulk>(&answer.body) {
            Ok(bulk) if bulk.items.len() == part.len() => {
                Verdict::Each(bulk.items.into_iter().map(|item| item.create.fate()).collect())
            }
            _ => Verdict::Strange,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dataset: &'static str) -> Entry {
        Entry {
            id: "01".to_owned(),
            time: Timestamp(0),
            dataset,
            level: "info",
            origin: std::sync::Arc::default(),
            bytes: 0..0,
            smaller: Vec::new(),
        }
    }

    #[test]
    fn an_index_is_named_by_the_dataset() {
        let check = |text: Option<&str>, dataset, expected: &str| {
            let index = IndexName::new(text, false).expect("a name");
            assert_eq!(expected, index.of(&entry(dataset)));
        };
        check(None, "nginx.access", "logs-nginx.access-default");
        check(None, "gatewatch.alert", "logs-gatewatch.alert-default");
        check(Some("web-{event.module}"), "nginx.access", "web-nginx");
        check(Some("gatewatch"), "nginx.access", "gatewatch");
        check(Some("x{event.dataset}"), "A-b/c.d", "x__b_c.d");
    }

    #[test]
    fn a_data_stream_is_written_into_the_event() {
        let fields = data_stream("logs-nginx.access-default").expect("a data stream");
        let value: Value = serde_json::from_str(&format!("{fields}\"x\":1}}")).expect("JSON");
        assert_eq!("logs", value["data_stream"]["type"]);
        assert_eq!("nginx.access", value["data_stream"]["dataset"]);
        assert_eq!("default", value["data_stream"]["namespace"]);
    }

    #[test]
    fn a_reason_holds_its_cause() {
        let error = serde_json::json!({"type": "document_parsing_exception", "reason": "failed",
            "caused_by": {"type": "date_time_exception", "reason": "no date"}});
        let outcome = Outcome { status: 400, error: Some(error) };
        let words = "400: document_parsing_exception: failed: date_time_exception: no date";
        assert_eq!(Fate::Refused(words.to_owned()), outcome.fate());
        let full = serde_json::json!({"type": "validation_exception", "reason": "too many shards"});
        let outcome = Outcome { status: 400, error: Some(full) };
        assert!(matches!(outcome.fate(), Fate::Wrong(..)));
    }
}
