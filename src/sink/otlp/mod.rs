//! The OTLP sink: events and alerts as log records of OpenTelemetry, over HTTP or gRPC.
//!
//! | file | |
//! |---|---|
//! | `config` | settings, and the standard variables |
//! | `answer` | what an answer means |
//! | `grpc` | calls over gRPC; over HTTP the client of all sinks is used |
//!
//! A portion is a request, or several where receivers would find it too large. A request that is
//! refused is sent again in halves, so that one bad record takes no other with it. What was
//! answered for is remembered until the turn ends: when a turn is sent again because another
//! request failed, those that were taken stay out of it.
//!
//! A receiver too slow for its limit of time gets half as many records at a time, and more again
//! when it has taken them.
//!
//! Invariant: a turn is finished when each record was taken, counted as rejected by the receiver, or
//! is a dead letter. Requests run at the same time, at most `in_flight`; with one, records arrive in
//! their order.

mod answer;
mod config;
mod grpc;

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::HeaderMap;
use tokio::task::JoinSet;

pub use self::config::{Headers, OtelVariables, OtlpConfig, Protocol};

use self::answer::Verdict;
use self::config::Settings;
use self::grpc::GrpcClient;
use super::http::client::{Credentials, HttpClient, Request};
use super::{
    Chosen, Finished, OnClientError, Portion, Rendered, SinkCommon, SinkContext, SinkError, smaller,
};
use crate::engine::detect::Alert;
use crate::engine::render::otlp::{Form, OtlpEncoder, Piece};
use crate::engine::render::{Encoder, Encoding, Shrink};
use crate::store::DeadLetter;
use crate::units::{Period, Timestamp};

/// How we name ourselves to receivers.
const AGENT: &str = concat!(
    env!("CARGO_PKG_NAME"),
    "/",
    env!("CARGO_PKG_VERSION"),
    " OTel-OTLP-Exporter-Rust/",
    env!("CARGO_PKG_VERSION")
);

/// The pause after an answer that only the operator can change.
const HOLD_PAUSE: Period = Period::from_secs(60);

/// Requests that are remembered; a turn has far fewer.
const MEMORY_MAX: usize = 8192;

/// A sink that sends log records of OpenTelemetry.
#[derive(Debug)]
pub struct OtlpSink {
    line: Arc<Line>,
    /// Requests under way.
    running: JoinSet<Result<Outcome, SinkError>>,
    in_flight: usize,
    /// Records of a request: as configured, and now.
    records_max: usize,
    records: usize,
    bytes_max: usize,
    outcome: Outcome,
    scratch: Vec<u8>,
    /// Large records that were rendered and not sent, with less and less of them.
    smaller: Smaller,
}

/// Smaller forms of records by their ids.
type Smaller = HashMap<Vec<u8>, Vec<Vec<u8>>>;

/// What the requests of a sink share.
#[derive(Debug)]
struct Line {
    sink: String,
    encoder: OtlpEncoder,
    settings: Settings,
    wire: Wire,
    holds: bool,
    /// The headers of this turn.
    headers: Mutex<HeaderMap>,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
enum Wire {
    Http(HttpClient, &'static str),
    Grpc(GrpcClient),
}

/// What receivers have said for good about requests of this turn, by a hash of each.
#[derive(Debug)]
struct Memory {
    hashers: [ahash::RandomState; 2],
    said: HashMap<[u64; 2], Verdict>,
    /// What came with the last success that was not one for all records.
    words: String,
}

/// What came of the requests of a turn.
#[derive(Debug, Default)]
struct Outcome {
    letters: Vec<DeadLetter>,
    rejected: u64,
}

impl OtlpSink {
    /// A sink as `config` describes it; connects when there is something to send.
    pub fn new(
        config: &OtlpConfig,
        common: &SinkCommon,
        name: &str,
        context: &SinkContext,
    ) -> Self {
        let settings = Settings::new(config, &context.otel);
        let encoder = Encoder::new(Encoding::OtlpJson, &context.agent, common.keep_original)
            .showing_secrets(common.show_secrets);
        let (url, limit, tls) = (&settings.url, settings.timeout, &settings.tls);
        let has_secret = settings.headers_file.is_some()
            || !settings.headers.is_empty()
            || settings.credentials != Credentials::None;
        if has_secret && !url.https && !url.is_loopback() {
            tracing::warn!(sink = name, "http:// shows all headers to everybody on the way");
        }
        let http = |content_type| {
            let client = HttpClient::new(url, Credentials::None, tls, limit, name);
            Wire::Http(client, content_type)
        };
        let (form, wire) = match settings.protocol {
            Protocol::HttpProtobuf => (Form::Protobuf, http("application/x-protobuf")),
            Protocol::HttpJson => (Form::Json, http("application/json")),
            Protocol::Grpc => {
                let client = GrpcClient::new(url, tls, limit, settings.compress, name);
                (Form::Protobuf, Wire::Grpc(client))
            }
        };
        let hashers = [(); 2].map(|()| ahash::RandomState::new());
        let line = Line {
            sink: name.to_owned(),
            encoder: OtlpEncoder::new(form, encoder, &context.agent, &settings.resource),
            wire,
            holds: config.on_client_error == OnClientError::Hold,
            headers: Mutex::default(),
            memory: Mutex::new(Memory { hashers, said: HashMap::new(), words: String::new() }),
            settings,
        };
        let records_max = config.max_records as usize;
        Self {
            line: Arc::new(line),
            running: JoinSet::new(),
            in_flight: config.in_flight as usize,
            records_max,
            records: records_max,
            bytes_max: config.max_request.0 as usize,
            outcome: Outcome::default(),
            scratch: Vec::new(),
            smaller: Smaller::new(),
        }
    }

    /// Less than a request may have, so that the last record does not need one of its own.
    pub(super) fn portion(&self) -> Portion {
        let bytes = self.bytes_max / 8 * 7;
        Portion { bytes, messages: self.records_max, ..Portion::default() }
    }

    pub(super) fn render(
        &mut self,
        chosen: Chosen<'_>,
        from: usize,
        created: Timestamp,
        out: &mut Rendered,
    ) -> usize {
        let line = Arc::clone(&self.line);
        let opened = line.encoder.encoder().open(&chosen.batch().origin);
        let mut next = from;
        for event in chosen.events(from) {
            if out.is_full() {
                break;
            }
            next += 1;
            for record in opened.records(&event) {
                self.append(out, |shrink, piece| {
                    line.encoder.event(&opened, &record, created, shrink, piece);
                });
            }
            out.events += 1;
        }
        next
    }

    pub(super) fn render_alert(&mut self, alert: &Alert, out: &mut Rendered) {
        let line = Arc::clone(&self.line);
        self.append(out, |shrink, piece| line.encoder.alert(alert, shrink, piece));
        out.alerts += 1;
    }

    /// Writes a record, with less of it where a request would have no room for all.
    fn append(&mut self, out: &mut Rendered, write: impl Fn(Shrink, &mut Vec<u8>)) {
        let mut shrink = Shrink::NONE;
        self.scratch.clear();
        write(shrink, &mut self.scratch);
        while self.bytes_max / 8 < self.scratch.len()
            && let Some(next) = shrink.next()
        {
            shrink = next;
            self.scratch.clear();
            write(shrink, &mut self.scratch);
        }
        let forms = smaller(self.scratch.len(), write);
        if !forms.is_empty() {
            self.smaller.insert(Piece::of(&self.scratch).id.to_vec(), forms);
        }
        out.bytes.extend_from_slice(&self.scratch);
        out.end_message();
        out.shrunk += u64::from(shrink != Shrink::NONE);
    }

    /// The request that carries one record.
    pub(super) fn alone(&self, piece: &[u8]) -> Vec<u8> {
        self.line.request_of(Piece::of(piece))
    }

    /// A turn begins, for the first time or anew: what an older one has under way is given up.
    pub(super) fn begin(&mut self) -> Result<(), SinkError> {
        self.running = JoinSet::new();
        self.outcome = Outcome::default();
        self.smaller.clear();
        *lock(&self.line.headers) = self.line.settings.headers()?;
        Ok(())
    }

    /// Hands a portion over, when one of the requests under way has ended if there are too many.
    pub(super) async fn send(
        &mut self,
        rendered: &Rendered,
        now: Timestamp,
    ) -> Result<(), SinkError> {
        let smaller = Arc::new(std::mem::take(&mut self.smaller));
        for batch in batches(rendered, self.records, self.bytes_max) {
            while self.in_flight <= self.running.len() {
                self.one_ended().await?;
            }
            self.running.spawn(deliver(Arc::clone(&self.line), batch, Arc::clone(&smaller), now));
        }
        Ok(())
    }

    /// Waits for all requests of the turn.
    pub(super) async fn finish(&mut self) -> Result<Finished, SinkError> {
        while !self.running.is_empty() {
            self.one_ended().await?;
        }
        lock(&self.line.memory).said.clear();
        self.records = self.records_max.min(self.records * 2);
        let Outcome { letters: rejections, rejected } = std::mem::take(&mut self.outcome);
        Ok(Finished { rejections, rejected, ..Finished::default() })
    }

    /// One failure ends the turn; what else is under way may end first, so that it is remembered.
    async fn one_ended(&mut self) -> Result<(), SinkError> {
        let Some(first) = self.running.join_next().await else { return Ok(()) };
        let error = match joined(first) {
            Ok(outcome) => {
                self.outcome.letters.extend(outcome.letters);
                self.outcome.rejected += outcome.rejected;
                return Ok(());
            }
            Err(error) => error,
        };
        while let Some(other) = self.running.join_next().await {
            // The turn has failed already; it will be told when it fails again.
            drop(joined(other));
        }
        if matches!(error, SinkError::Timeout { .. }) {
            // One that is late even with a single record may have been away: it gets all again.
            self.records = if self.records == 1 { self.records_max } else { self.records / 2 };
        }
        Err(error)
    }
}

fn joined(
    ended: Result<Result<Outcome, SinkError>, tokio::task::JoinError>,
) -> Result<Outcome, SinkError> {
    match ended {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Given up by `begin` only, which forgets them.
        Err(_) => Ok(Outcome::default()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The records of a request.
#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    fn pieces(&self) -> Vec<Piece<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| Piece::of(&self.bytes[start..*end])).collect()
    }
}

/// A portion in requests of at most so many records and bytes.
fn batches(rendered: &Rendered, records_max: usize, bytes_max: usize) -> Vec<Batch> {
    let mut batches = vec![Batch::default()];
    for piece in rendered.messages() {
        let last = batches.last_mut().expect("there is one from the start");
        let is_full = records_max <= last.ends.len() || bytes_max < last.bytes.len() + piece.len();
        let last = match is_full && !last.ends.is_empty() {
            true => batches.push_mut(Batch::default()),
            false => last,
        };
        last.bytes.extend_from_slice(piece);
        last.ends.push(last.bytes.len());
    }
    batches.retain(|batch| !batch.ends.is_empty());
    batches
}

/// Gets the records of `batch` to the receiver, in parts where it must.
async fn deliver(
    line: Arc<Line>,
    batch: Batch,
    smaller: Arc<Smaller>,
    now: Timestamp,
) -> Result<Outcome, SinkError> {
    let pieces = batch.pieces();
    let mut outcome = Outcome::default();
    let (mut taken, mut unsure, mut asked_again) = (false, Vec::new(), false);
    // The part that is sent next stands last.
    let mut parts = Vec::new();
    parts.push(0..pieces.len());
    loop {
        let Some(part) = parts.pop() else {
            if !taken || asked_again || unsure.is_empty() {
                break;
            }
            // It takes others, so it may have been broken for a moment only.
            asked_again = true;
            parts.extend(unsure.drain(..).rev().map(|(at, _)| at..at + 1));
            continue;
        };
        match line.ask(&pieces[part.clone()], now).await? {
            Verdict::Taken { rejected, words } => {
                taken = true;
                outcome.rejected += rejected.min(part.len() as u64);
                line.tell(rejected, &words);
            }
            Verdict::Later { words, pause } => return Err(line.refused(words, "", pause)),
            Verdict::Misplaced { words, hint } if line.holds => {
                return Err(line.refused(words, hint, Some(HOLD_PAUSE)));
            }
            Verdict::Misplaced { words, .. } => {
                outcome
                    .letters
                    .extend(pieces[part].iter().map(|piece| line.letter(*piece, &words)));
            }
            Verdict::Refused(_) | Verdict::Broken(_) if 1 < part.len() => {
                let Range { start, end } = part;
                let middle = start.midpoint(end);
                parts.extend([middle..end, start..middle]);
            }
            Verdict::Refused(words) => {
                let piece = pieces[part.start];
                match line.with_less(piece, &smaller, now).await? {
                    Some(rejected) => {
                        taken = true;
                        outcome.rejected += rejected;
                    }
                    None => outcome.letters.push(line.letter(piece, &words)),
                }
            }
            Verdict::Broken(words) => unsure.push((part.start, words)),
        }
    }
    match unsure.first() {
        Some((_, words)) if line.holds && !taken => {
            let hint = "; it takes nothing: look into its own log";
            Err(line.refused(words.clone(), hint, Some(HOLD_PAUSE)))
        }
        _ => {
            let letters = unsure.iter().map(|(at, words)| line.letter(pieces[*at], words));
            outcome.letters.extend(letters);
            Ok(outcome)
        }
    }
}

impl Line {
    /// Sends one request, unless it was answered for already.
    async fn ask(&self, pieces: &[Piece<'_>], now: Timestamp) -> Result<Verdict, SinkError> {
        let mut request = Vec::new();
        self.encoder.assemble(pieces.iter().copied(), &mut request);
        let key = {
            let memory = lock(&self.memory);
            let key = [0, 1].map(|index: usize| memory.hashers[index].hash_one(&request));
            if let Some(said) = memory.said.get(&key) {
                return Ok(said.clone());
            }
            key
        };
        let headers = lock(&self.headers).clone();
        let verdict = match &self.wire {
            Wire::Http(client, content_type) => {
                let path = self.settings.path.clone();
                let request = Request::new(path, content_type, request);
                let mut request = request.packed(self.settings.compress).with("user-agent", AGENT);
                request.headers.extend(headers);
                let answer = client.post(request, now).await?;
                answer::of_http(&answer, self.settings.protocol == Protocol::HttpJson)
            }
            Wire::Grpc(client) => client.export(&headers, &request).await?,
        };
        if matches!(verdict, Verdict::Taken { .. } | Verdict::Refused(_)) {
            let mut memory = lock(&self.memory);
            if MEMORY_MAX <= memory.said.len() {
                memory.said.clear();
            }
            memory.said.insert(key, verdict.clone());
        }
        Ok(verdict)
    }

    /// Sends a record that was refused alone with less and less of it. `None` if it is refused in
    /// each form, else how much of what was sent the receiver refused after all.
    async fn with_less(
        &self,
        piece: Piece<'_>,
        smaller: &Smaller,
        now: Timestamp,
    ) -> Result<Option<u64>, SinkError> {
        for form in smaller.get(piece.id).into_iter().flatten() {
            match self.ask(&[Piece::of(form)], now).await? {
                Verdict::Taken { rejected, words } => {
                    self.tell(rejected, &words);
                    return Ok(Some(rejected.min(1)));
                }
                Verdict::Later { words, pause } => return Err(self.refused(words, "", pause)),
                Verdict::Misplaced { .. } | Verdict::Refused(_) | Verdict::Broken(_) => (),
            }
        }
        Ok(None)
    }

    /// Tells what came with a success, once for the same words.
    fn tell(&self, rejected: u64, words: &str) {
        let sink = self.sink.as_str();
        if rejected == 0 && words.is_empty() {
            return;
        }
        let mut memory = lock(&self.memory);
        if memory.words == words {
            return;
        }
        words.clone_into(&mut memory.words);
        match rejected {
            0 => tracing::info!(sink, "the receiver says: {words}"),
            _ => tracing::warn!(
                sink,
                rejected,
                "the receiver refused records and does not say which: {words}"
            ),
        }
    }

    fn refused(&self, answer: String, hint: &'static str, pause: Option<Period>) -> SinkError {
        let url = match &self.wire {
            Wire::Http(client, _) => client.url(),
            Wire::Grpc(client) => client.url(),
        };
        SinkError::Refused { address: url.to_string(), answer, hint, pause }
    }

    fn request_of(&self, piece: Piece<'_>) -> Vec<u8> {
        let mut request = Vec::new();
        self.encoder.assemble(std::iter::once(piece), &mut request);
        request
    }

    /// A record that was refused for good: a whole request, so that it can be sent by hand.
    fn letter(&self, piece: Piece<'_>, reason: &str) -> DeadLetter {
        DeadLetter {
            event_id: String::from_utf8_lossy(piece.id).into_owned(),
            reason: reason.to_owned(),
            body: self.request_of(piece),
            ..DeadLetter::default()
        }
    }
}
