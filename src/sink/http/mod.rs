//! The HTTP sink: events to receivers that say what became of them.
//!
//! | file | |
//! |---|---|
//! | `config`, `url` | settings |
//! | `client` | requests and answers, for all sinks that speak HTTP |
//! | `batch` | records, and what is known of each |
//! | `deliver` | what an answer means, and what is sent again |
//! | the others | one interface each |
//!
//! To add an interface: a file with an [`Api`], a variant of [`ApiName`], a row in [`APIS`].
//!
//! Invariant: a turn is finished when every record was taken or is a dead letter. Requests of one
//! turn run at the same time, at most `in_flight`; with one, records arrive in their order.

mod batch;
pub(crate) mod client;
mod config;
mod deliver;
mod elasticsearch;
mod gelf;
mod json;
mod loki;
mod splunk;
mod url;

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tests;

pub use config::{ApiName, HttpConfig, OnClientError};
pub use url::{Url, UrlError};

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use tokio::task::JoinSet;

use self::batch::{Batch, Entry, Part, Whence};
use self::client::{Answer, HttpClient, Request};
use self::deliver::{Outcome, Verdict};
use super::{Chosen, Finished, Portion, Rendered, SinkCommon, SinkContext, SinkError, smaller};
use crate::engine::detect::Alert;
use crate::engine::render::alert::transition_id;
use crate::engine::render::{Encoder, Shrink, dataset_of, level_of};
use crate::store::DeadLetter;
use crate::units::{Period, Timestamp};

/// Records of a request: a receiver that answers for each, or has to be asked for halves, has
/// enough to do with them.
const RECORDS_MAX: usize = 2000;

/// Records of a turn that are known to be taken; what is beyond may be sent twice.
const SETTLED_MAX: usize = 1 << 16;

/// How long indexers may take to confirm.
const ACK_LIMIT: Period = Period::from_secs(120);

/// What a receiver speaks.
trait Api: fmt::Debug + Send + Sync {
    /// How many records go into a request at most.
    fn most(&self) -> usize {
        usize::MAX
    }

    /// The request that hands `part` over.
    fn request(&self, part: &Part<'_>, now: Timestamp) -> Result<Request, SinkError>;

    /// What the answer says about the records of `part`.
    fn judge(&self, part: &Part<'_>, answer: &Answer) -> Verdict;

    /// Asks whether what `ticket` was given for is safe.
    fn question(&self, ticket: u64) -> Request {
        unreachable!("an interface that gives tickets ({ticket}) is asked about them")
    }

    /// What the answer to that question says.
    fn is_safe(&self, _ticket: u64, _answer: &Answer) -> Option<bool> {
        None
    }
}

/// A row of [`APIS`].
pub(super) struct ApiEntry {
    /// The value of `api`.
    name: &'static str,
    /// The word before a token in `Authorization`.
    token: &'static str,
    /// What the success of a request proves.
    proof: &'static str,
    /// How to find an event there, with `ID` in the place of its id.
    query: &'static str,
    open: fn(&HttpConfig) -> Box<dyn Api>,
}

/// Every interface.
const APIS: &[ApiEntry] = &[
    ApiEntry {
        name: "elasticsearch",
        token: "ApiKey",
        proof: "Elasticsearch has indexed it",
        query: "in Discover: event.id : \"ID\"",
        open: elasticsearch::Elasticsearch::open,
    },
    ApiEntry {
        name: "splunk_hec",
        token: "Splunk",
        proof: "Splunk has taken it; with indexer acknowledgement its indexers have stored it",
        query: "search: index=* event.id=\"ID\"",
        open: splunk::Splunk::open,
    },
    ApiEntry {
        name: "loki",
        token: "Bearer",
        proof: "Loki has taken it",
        query: "in Explore: {job=~\".+\"} |= \"ID\"",
        open: loki::Loki::open,
    },
    ApiEntry {
        name: "gelf",
        token: "Bearer",
        proof: "Graylog's input has got it; whether it is stored is not known",
        query: "search: event_id:ID",
        open: gelf::Gelf::open,
    },
    ApiEntry {
        name: "json",
        token: "Bearer",
        proof: "the receiver says that it has taken it",
        query: "search for ID",
        open: json::Json::open,
    },
];

/// What the requests of a sink share.
#[derive(Debug)]
struct Line {
    api: Box<dyn Api>,
    client: HttpClient,
    on_client_error: OnClientError,
    ack_limit: Period,
}

/// A sink that sends events over HTTP.
#[derive(Debug)]
pub struct HttpSink {
    encoder: Encoder,
    line: Arc<Line>,
    /// What is known of the records that were rendered and not sent.
    entries: Vec<Entry>,
    /// Requests under way.
    running: JoinSet<Outcome>,
    in_flight: usize,
    portion: Portion,
    /// The ids of what was taken or refused in this turn, over all its attempts: it is not sent
    /// again with the rest.
    settled: HashSet<String>,
    /// What was refused for good in this turn.
    letters: Vec<DeadLetter>,
}

impl HttpSink {
    /// A sink as `config` describes it; connects when there is something to send.
    pub fn new(
        config: &HttpConfig,
        common: &SinkCommon,
        name: &str,
        context: &SinkContext,
    ) -> Self {
        let encoder = Encoder::new(config.encoding(), &context.agent, common.keep_original)
            .showing_secrets(common.show_secrets);
        let client =
            HttpClient::new(&config.url, config.credentials(), &config.tls, config.timeout, name);
        let line = Line {
            api: (config.api.entry().open)(config),
            client,
            on_client_error: config.on_client_error,
            ack_limit: config.ack_timeout.unwrap_or(ACK_LIMIT),
        };
        let bytes = config.max_request.0 as usize;
        Self {
            encoder,
            line: Arc::new(line),
            entries: Vec::new(),
            running: JoinSet::new(),
            in_flight: config.in_flight as usize,
            portion: Portion { bytes, messages: RECORDS_MAX, ..Portion::default() },
            settled: HashSet::new(),
            letters: Vec::new(),
        }
    }

    pub(super) fn portion(&self) -> Portion {
        self.portion
    }

    pub(super) fn render(
        &mut self,
        chosen: Chosen<'_>,
        from: usize,
        created: Timestamp,
        out: &mut Rendered,
    ) -> usize {
        let origin = &chosen.batch().origin;
        let whence = Arc::new(Whence { host: origin.host.clone(), path: origin.path.clone() });
        let encoder = self.encoder.open(origin);
        let mut next = from;
        for event in chosen.events(from) {
            if out.is_full() {
                break;
            }
            next += 1;
            let row = event.row();
            let id = encoder.id(&event);
            for (number, record) in encoder.records(&event).enumerate() {
                let start = out.bytes.len();
                let write = |shrink: Shrink, out: &mut Vec<u8>| {
                    encoder.render_shrunk(&record, created, shrink, out);
                };
                write(Shrink::NONE, &mut out.bytes);
                out.end_message();
                let smaller = smaller(out.bytes.len() - start, write);
                let mut id: String = id.iter().copied().map(char::from).collect();
                if number != 0 {
                    // Another document, which has to have an id of its own.
                    id.push_str(&format!("-{number}"));
                }
                self.entries.push(Entry {
                    id,
                    time: row.time,
                    dataset: dataset_of(row),
                    level: level_of(row).name(),
                    origin: Arc::clone(&whence),
                    bytes: start..out.bytes.len(),
                    smaller,
                });
            }
            out.events += 1;
        }
        next
    }

    pub(super) fn render_alert(&mut self, alert: &Alert, host: &str, out: &mut Rendered) {
        let start = out.bytes.len();
        let write = |shrink: Shrink, out: &mut Vec<u8>| {
            self.encoder.render_alert(alert, shrink, out);
        };
        write(Shrink::NONE, &mut out.bytes);
        out.end_message();
        out.alerts += 1;
        let smaller = smaller(out.bytes.len() - start, write);
        self.entries.push(Entry {
            id: transition_id(alert),
            time: alert.at,
            dataset: "gatewatch.alert",
            level: alert.severity.name(),
            origin: Arc::new(Whence { host: host.to_owned(), path: String::new() }),
            bytes: start..out.bytes.len(),
            smaller,
        });
    }

    /// A turn begins, for the first time or anew: what an older attempt has under way is given up.
    pub(super) fn begin(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            if let Ok(outcome) = ended {
                self.settle(outcome);
            }
        }
        self.running = JoinSet::new();
        self.entries.clear();
    }

    /// Hands a portion over, when one of the requests under way has ended if there are too many.
    pub(super) async fn send(
        &mut self,
        rendered: &Rendered,
        now: Timestamp,
    ) -> Result<(), SinkError> {
        while self.in_flight <= self.running.len() {
            self.one_ended().await?;
        }
        let mut entries = std::mem::take(&mut self.entries);
        entries.retain(|entry| !self.settled.contains(&entry.id));
        if !entries.is_empty() {
            let batch = Batch { bytes: rendered.bytes.clone(), entries };
            self.running.spawn(deliver::deliver(Arc::clone(&self.line), batch, now));
        }
        Ok(())
    }

    /// Waits for all requests of the turn.
    pub(super) async fn finish(&mut self) -> Result<Finished, SinkError> {
        while !self.running.is_empty() {
            self.one_ended().await?;
        }
        self.settled.clear();
        let rejections = std::mem::take(&mut self.letters);
        Ok(Finished { rejections, ..Finished::default() })
    }

    async fn one_ended(&mut self) -> Result<(), SinkError> {
        match self.running.join_next().await {
            Some(Ok(outcome)) => self.settle(outcome).map_or(Ok(()), Err),
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Given up by `begin` only, which forgets them.
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// Takes note of what became of a portion; returns what was wrong.
    fn settle(&mut self, outcome: Outcome) -> Option<SinkError> {
        let room = SETTLED_MAX.saturating_sub(self.settled.len());
        self.settled.extend(outcome.taken.into_iter().take(room));
        // Each letter once, however many there are.
        self.settled.extend(outcome.letters.iter().map(|letter| letter.event_id.clone()));
        self.letters.extend(outcome.letters);
        outcome.error
    }
}
