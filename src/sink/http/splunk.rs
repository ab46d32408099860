//! Splunk's HTTP Event Collector, with indexer acknowledgement where the token asks for it.
//!
//! Splunk recognises nothing that it gets twice: what is sent again is there again, with the same
//! `event.id`.

use hyper::StatusCode;
use serde_json::Value;

use super::Api;
use super::batch::{Part, push_json_text};
use super::client::{Answer, Request};
use super::config::HttpConfig;
use super::deliver::{Fate, Verdict, by_status};
use crate::sink::SinkError;
use crate::units::Timestamp;

const EVENTS: &str = "/services/collector/event";
const ACKS: &str = "/services/collector/ack";

/// The interface.
#[derive(Debug)]
pub(super) struct Splunk {
    events: String,
    acks: String,
    /// Tickets are numbered within it.
    channel: String,
    source: Option<String>,
    sourcetype: String,
    index: Option<String>,
    /// The record is a JSON object.
    json: bool,
    compress: bool,
}

impl Splunk {
    pub(super) fn open(config: &HttpConfig) -> Box<dyn Api> {
        let events = config.url.below(EVENTS);
        let channel = uuid::Uuid::new_v4().to_string();
        let acks = events.strip_suffix(EVENTS).unwrap_or_default();
        let json = config.encoding().entry().json;
        let usual = if json { "_json" } else { "gatewatch" };
        Box::new(Self {
            acks: format!("{acks}{ACKS}?channel={channel}"),
            events,
            channel,
            source: config.source.clone(),
            sourcetype: config.sourcetype.clone().unwrap_or_else(|| usual.to_owned()),
            index: config.index.clone(),
            json,
            compress: config.compress,
        })
    }

    fn push(&self, part: &Part<'_>, body: &mut Vec<u8>) {
        for (entry, record) in part.entries() {
            let ms = entry.time.ms();
            let time = format!("{{\"time\":{}.{:03}", ms / 1000, ms % 1000);
            body.extend_from_slice(time.as_bytes());
            let source = self.source.as_deref().unwrap_or(&entry.origin.path);
            let index = self.index.as_deref().unwrap_or_default();
            let names = [
                ("host", entry.origin.host.as_str()),
                ("source", source),
                ("sourcetype", &self.sourcetype),
                ("index", index),
            ];
            for (name, value) in names.into_iter().filter(|(_, value)| !value.is_empty()) {
                body.extend_from_slice(format!(",\"{name}\":").as_bytes());
                push_json_text(body, value);
            }
            body.extend_from_slice(b",\"event\":");
            match self.json {
                true => body.extend_from_slice(record),
                false => push_json_text(body, &String::from_utf8_lossy(record)),
            }
            body.extend_from_slice(b"}\n");
        }
    }
}

impl Api for Splunk {
    fn request(&self, part: &Part<'_>, _: Timestamp) -> Result<Request, SinkError> {
        let mut body = Vec::with_capacity(part.size() + part.len() * 128);
        self.push(part, &mut body);
        let request = Request::new(self.events.clone(), "application/json", body);
        Ok(request.packed(self.compress).with("x-splunk-request-channel", &self.channel))
    }

    fn judge(&self, part: &Part<'_>, answer: &Answer) -> Verdict {
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = said["code"].as_u64();
        if answer.status == StatusCode::OK {
            return match (code, said["ackId"].as_u64()) {
                (Some(0), Some(number)) => Verdict::Ticket(number),
                (Some(0), None) => Verdict::Taken,
                _ => Verdict::Strange,
            };
        }
        match code {
            Some(6 | 12 | 13 | 15) => {
                let bad = said["invalid-event-number"].as_u64().map(|number| number as usize);
                match bad.filter(|number| *number < part.len()) {
                    Some(bad) => Verdict::Each(
                        (0..part.len())
                            .map(|row| match row == bad {
                                true => Fate::Refused(answer.words()),
                                false => Fate::Again,
                            })
                            .collect(),
                    ),
                    None => Verdict::Halve,
                }
            }
            Some(1..=4) => Verdict::Wrong("; check that the token is right and enabled"),
            Some(7) => Verdict::Wrong("; create the index, and let the token write to it"),
            Some(10 | 11 | 14) => {
                Verdict::Wrong("; check the indexer acknowledgement of the token")
            }
            Some(8 | 9) => Verdict::Later,
            _ => by_status(answer.status),
        }
    }

    fn question(&self, ticket: u64) -> Request {
        let body = format!("{{\"acks\":[{ticket}]}}");
        Request::new(self.acks.clone(), "application/json", body.into_bytes())
            .with("x-splunk-request-channel", &self.channel)
    }

    fn is_safe(&self, ticket: u64, answer: &Answer) -> Option<bool> {
        let said: Value = serde_json::from_slice(&answer.body).ok()?;
        said["acks"][ticket.to_string()].as_bool()
    }
}
