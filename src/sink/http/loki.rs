//! Grafana Loki's push interface, as JSON.
//!
//! Labels are few and never come from a client: job, host, dataset and level. Loki keeps an entry
//! once that has the same labels, time and text, so what is sent twice is there once. Of a request
//! that it answers with 400 it keeps the entries that were right.

use std::collections::BTreeMap;

use hyper::StatusCode;

use super::Api;
use super::batch::{Entry, Part, push_json_text};
use super::client::{Answer, Request};
use super::config::HttpConfig;
use super::deliver::{Fate, Verdict, by_status};
use crate::sink::SinkError;
use crate::units::Timestamp;

/// What stands in the answer about entries that Loki never takes.
const REFUSALS: &[&str] = &[
    "timestamp too old",
    "timestamp too new",
    "out of order",
    "too far behind",
    "ignored, reason",
    "max entry size",
    "max line size",
    "structured metadata",
    "label",
];

/// The interface.
#[derive(Debug)]
pub(super) struct Loki {
    path: String,
    job: String,
    tenant: Option<String>,
    metadata: bool,
    compress: bool,
}

impl Loki {
    pub(super) fn open(config: &HttpConfig) -> Box<dyn Api> {
        Box::new(Self {
            path: config.url.below("/loki/api/v1/push"),
            job: config.job.clone().unwrap_or_else(|| "gatewatch".to_owned()),
            tenant: config.tenant.clone(),
            metadata: config.structured_metadata.unwrap_or(true),
            compress: config.compress,
        })
    }

    fn body(&self, part: &Part<'_>) -> Vec<u8> {
        let mut streams: BTreeMap<Labels<'_>, Vec<(&Entry, &[u8])>> = BTreeMap::new();
        for (entry, record) in part.entries() {
            let labels = (entry.origin.host.as_str(), entry.dataset, entry.level);
            streams.entry(labels).or_default().push((entry, record));
        }
        let mut body = Vec::with_capacity(part.size() * 5 / 4 + part.len() * 80);
        body.extend_from_slice(b"{\"streams\":[");
        for (labels, entries) in &streams {
            self.push_stream(*labels, entries, &mut body);
            body.push(b',');
        }
        body.pop();
        body.extend_from_slice(b"]}");
        body
    }

    fn push_stream(&self, labels: Labels<'_>, entries: &[(&Entry, &[u8])], body: &mut Vec<u8>) {
        let (host, dataset, level) = labels;
        body.extend_from_slice(b"{\"stream\":{\"job\":");
        push_json_text(body, &self.job);
        for (name, value) in [("host", host), ("dataset", dataset), ("level", level)] {
            if !value.is_empty() {
                body.extend_from_slice(format!(",\"{name}\":").as_bytes());
                push_json_text(body, value);
            }
        }
        body.extend_from_slice(b"},\"values\":[");
        for (entry, record) in entries {
            body.extend_from_slice(format!("[\"{}\",", entry.time.0).as_bytes());
            push_json_text(body, &String::from_utf8_lossy(record));
            if self.metadata {
                body.extend_from_slice(b",{\"event_id\":");
                push_json_text(body, &entry.id);
                body.push(b'}');
            }
            body.extend_from_slice(b"],");
        }
        body.pop();
        body.extend_from_slice(b"]}");
    }
}

/// Host, dataset and level.
type Labels<'e> = (&'e str, &'e str, &'e str);

impl Api for Loki {
    fn request(&self, part: &Part<'_>, _: Timestamp) -> Result<Request, SinkError> {
        let request = Request::new(self.path.clone(), "application/json", self.body(part));
        let request = request.packed(self.compress);
        Ok(match &self.tenant {
            Some(tenant) => request.with("x-scope-orgid", tenant),
            None => request,
        })
    }

    fn judge(&self, part: &Part<'_>, answer: &Answer) -> Verdict {
        match answer.status {
            StatusCode::NO_CONTENT => return Verdict::Taken,
            StatusCode::OK if answer.body.is_empty() => return Verdict::Taken,
            StatusCode::BAD_REQUEST => (),
            StatusCode::UNAUTHORIZED if self.tenant.is_none() => {
                return Verdict::Wrong("; write `tenant`, or check the token or password");
            }
            status => return by_status(status),
        }
        let text = String::from_utf8_lossy(&answer.body);
        let text = text.to_ascii_lowercase();
        if text.contains("structured metadata") && text.contains("disallow") {
            return Verdict::Wrong(
                "; allow structured metadata in Loki, or write `structured_metadata = false`",
            );
        }
        if !REFUSALS.iter().any(|refusal| text.contains(refusal)) {
            return by_status(answer.status);
        }
        let named: Vec<bool> = part.entries().map(|(entry, _)| names(&text, entry)).collect();
        if !named.contains(&true) {
            return Verdict::Halve;
        }
        let reason = answer.words();
        let fate = |named| if named { Fate::Refused(reason.clone()) } else { Fate::Again };
        Verdict::Each(named.into_iter().map(fate).collect())
    }
}

/// The answer, in small letters, names the time of `entry` as one that is refused.
fn names(text: &str, entry: &Entry) -> bool {
    let after = |words: &'static str| text.split(words).skip(1).filter_map(time);
    after("oldest acceptable timestamp is: ").any(|oldest| entry.time < oldest)
        || after("timestamp too new: ").any(|refused| entry.time == refused)
        || text
            .split("entry with timestamp ")
            .skip(1)
            .filter(|rest| rest.split('\n').next().is_some_and(|line| line.contains("ignored")))
            .filter_map(time)
            .any(|refused| entry.time == refused)
}

/// The time at the beginning of `text`: as RFC 3339, or `2026-11-20 08:00:00.5 +0000 utc`.
fn time(text: &str) -> Option<Timestamp> {
    let end = |c: char| !matches!(c, '0'..='9' | '-' | ':' | '.' | 't' | 'z' | ' ' | '+');
    let text = &text[..text.find(end).unwrap_or(text.len())];
    let rfc3339 = match text.split_once(" +0000") {
        Some((time, _)) => format!("{}z", time.replacen(' ', "t", 1)),
        None => text.trim().trim_end_matches(['.', ':']).to_owned(),
    };
    let time: jiff::Timestamp = rfc3339.to_ascii_uppercase().parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_that_an_answer_names_are_known() {
        let entry = |ms| Entry {
            id: String::new(),
            time: Timestamp::from_ms(ms),
            dataset: "nginx.access",
            level: "info",
            origin: std::sync::Arc::default(),
            bytes: 0..0,
            smaller: Vec::new(),
        };
        // 2026-11-20T08:00:00.500Z
        let (named, later) = (entry(1_795_161_600_500), entry(1_795_161_600_501));
        for text in [
            "entry with timestamp 2026-11-20 08:00:00.5 +0000 utc ignored, reason: 'entry too far \
             behind, oldest acceptable timestamp is: 2026-11-20t07:00:00z' for stream: {a=\"b\"}",
            "entry for stream '{job=\"gatewatch\"}' has timestamp too new: 2026-11-20t08:00:00.5z",
            "entry for stream '{a=\"b\"}' has timestamp too old: 2026-11-20t08:00:00.5z, oldest \
             acceptable timestamp is: 2026-11-20t08:00:00.501z",
        ] {
            assert!(names(text, &named), "{text}");
            assert!(!names(text, &later), "{text}");
        }
        assert!(!names("max entry size '10' bytes exceeded", &named));
        assert!(!names("timestamp too new: é", &named));
    }
}
