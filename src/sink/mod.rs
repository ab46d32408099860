//! Sinks: where events go.
//!
//! A sink turns a batch of events into its own bytes ([`AnySink::render`], no I/O) and gets them
//! to its receiver (`begin`, `send`, `finish`). Each one runs in a task of its own
//! ([`SinkTask::run`]) with a cursor of its own in the store, so that a dead receiver delays
//! nothing else. When to send, to wait and to move on is decided by [`Delivery`].
//!
//! | file | |
//! |---|---|
//! | `config` | the `[[sink]]` tables |
//! | `delivery` | the pure decisions |
//! | `task` | obeys them: store → events → bytes → receiver → cursor |
//! | `select` | which events a sink gets, and without which fields |
//! | `veil` | what it may tell about people |
//! | `syslog`, `message`, `header`, `chunks` | syslog messages, and their way to a receiver |
//! | `preset` | what well-known receivers want |
//! | `connection`, `tls`, `unacked` | what a connection is, for all sinks that use the network |
//! | `relp` | syslog with an answer to each message |
//! | `http` | Elasticsearch, Splunk, Loki, Graylog, JSON lines |
//! | `file`, `lines` | lines with rotation |
//! | `exec`, `stdout` | lines for a program, and for whoever started us |
//! | `progress` | how far a sink is, as the store keeps it |
//! | `otlp` | OpenTelemetry's log records, over HTTP and gRPC |
//! | `status` | what a sink is doing, for metrics and people |
//!
//! To add a sink: a file, a variant of [`SinkConfig`] and of [`AnySink`], a row in [`SINKS`].
//!
//! Alerts go the same way as events, before the frames that wait.
//!
//! Invariant: the cursor moves past a frame only when the receiver has taken or refused for good
//! all of it. What arrives twice carries the same `event.id`; what was refused is kept as a dead
//! letter.

mod address;
mod chunks;
mod config;
mod connection;
mod delivery;
mod error;
mod exec;
mod file;
mod header;
mod http;
mod lines;
mod message;
mod otlp;
mod preset;
mod progress;
pub mod relp;
mod select;
mod status;
mod stdout;
mod syslog;
mod task;
mod tls;
mod unacked;
mod veil;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod tests;

pub use address::{Address, AddressError, Addresses, Target, Transport};
pub use config::{
    Facility, FileConfig, Framing, SinkCommon, SinkComplaint, SinkConfig, SinkKind, SyslogConfig,
};
pub use delivery::{Action, Delivery, Input, Position};
pub use error::SinkError;
pub use exec::ExecSink;
pub use file::{FileMark, FileSink};
pub use header::{HeaderForm, StructuredData};
pub(crate) use http::client::{Answer, Credentials, HttpClient, Request, secret};
pub use http::{ApiName, HttpConfig, HttpSink, OnClientError, Url, UrlError};
pub use otlp::{Headers, OtelVariables, OtlpConfig, OtlpSink, Protocol};
pub use preset::Preset;
pub use progress::{Milestone, Progress};
pub use select::Chosen;
pub use status::{Failure, SinkReport, SinkStatus};
pub use stdout::StdoutSink;
pub use syslog::SyslogSink;
pub use task::{Decode, SinkTask};
pub use tls::{Fingerprint, FingerprintError, TlsConfig, TlsError, Verify};
pub use veil::{KeyError, PrivacyConfig, PrivacyKey, PrivacyMode, Users};

use std::borrow::Cow;

use self::connection::network;
use self::select::Selection;
use self::veil::Veil;
use crate::engine::batch::{Event, EventBatch};
use crate::engine::detect::Alert;
use crate::engine::render::event_id::EventId;
use crate::engine::render::{Agent, Shrink};
use crate::store::DeadLetter;
use crate::units::Timestamp;

/// A type of sink, as the manual and the command line know it.
#[derive(Clone, Copy, Debug)]
pub struct SinkEntry {
    /// The value of `type`.
    pub kind: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The least that has to be written to have one.
    pub example: &'static str,
}

/// Every type of sink.
pub const SINKS: &[SinkEntry] = &[
    SinkEntry {
        kind: "syslog",
        summary: "syslog messages with the event in any encoding, over TCP, TLS, RELP or UDP",
        example: "[[sink]]\ntype = \"syslog\"\naddress = \"tcp://siem.example.org:601\"\n",
    },
    SinkEntry {
        kind: "http",
        summary: "what Elasticsearch, Splunk, Loki, Graylog or any web server takes, over HTTPS",
        example: "[[sink]]\ntype = \"http\"\napi = \"elasticsearch\"\n\
                  url = \"https://es.example.org:9200\"\n",
    },
    SinkEntry {
        kind: "otlp",
        summary: "OpenTelemetry's log records, to any collector, over HTTP or gRPC",
        example: "[[sink]]\ntype = \"otlp\"\nurl = \"https://otel.example.org:4318\"\n",
    },
    SinkEntry {
        kind: "file",
        summary: "one event a line in any encoding, appended to a file that is rotated",
        example: "[[sink]]\ntype = \"file\"\npath = \"/var/log/gatewatch/events.json\"\n",
    },
    SinkEntry {
        kind: "exec",
        summary: "one event a line in any encoding, for a program of your own on its standard input",
        example: "[[sink]]\ntype = \"exec\"\ncommand = [\"/usr/local/bin/forward\", \"--all\"]\n",
    },
    SinkEntry {
        kind: "stdout",
        summary: "one event a line in any encoding, to standard output",
        example: "[[sink]]\ntype = \"stdout\"\n",
    },
];

/// What sinks know about the program they run in.
#[derive(Clone, Debug, Default)]
pub struct SinkContext {
    /// How the program names itself in events.
    pub agent: Agent,
    /// Its process id.
    pub pid: u32,
    /// Where systemd puts credentials.
    pub credentials: Option<std::path::PathBuf>,
    /// What the environment says about sending to OpenTelemetry.
    pub otel: OtelVariables,
}

/// A sink of any type.
#[derive(Debug)]
pub struct AnySink {
    name: String,
    required: bool,
    alerts: bool,
    selection: Selection,
    veil: Option<Veil>,
    /// Name of this machine: where alerts are raised.
    host: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Syslog(Box<SyslogSink>),
    File(Box<FileSink>),
    Http(Box<HttpSink>),
    Exec(Box<ExecSink>),
    Stdout(StdoutSink),
    Otlp(Box<OtlpSink>),
}

impl AnySink {
    /// A sink as `config` describes it. Opens nothing: a receiver that is away when the daemon
    /// starts is no reason not to start.
    pub fn new(config: &SinkConfig, context: &SinkContext) -> Self {
        let common = &config.common;
        let kind = match &config.kind {
            SinkKind::Syslog(config) => {
                Kind::Syslog(Box::new(SyslogSink::new(config, common, context)))
            }
            SinkKind::File(config) => Kind::File(Box::new(FileSink::new(config, common, context))),
            SinkKind::Http(http) => {
                Kind::Http(Box::new(HttpSink::new(http, common, &config.name(), context)))
            }
            SinkKind::Exec(exec) => {
                Kind::Exec(Box::new(ExecSink::new(exec, common, &config.name(), context)))
            }
            SinkKind::Stdout(config) => Kind::Stdout(StdoutSink::new(config, common, context)),
            SinkKind::Otlp(otlp) => {
                Kind::Otlp(Box::new(OtlpSink::new(otlp, common, &config.name(), context)))
            }
        };
        Self {
            name: config.name(),
            required: config.required(),
            alerts: common.alerts,
            selection: Selection::new(common).expect("settings are checked when they are read"),
            veil: Veil::new(&common.privacy, context.credentials.clone()),
            host: context.agent.name.clone(),
            kind,
        }
    }

    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type as configured.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Syslog(_) => "syslog",
            Kind::File(_) => "file",
            Kind::Http(_) => "http",
            Kind::Exec(_) => "exec",
            Kind::Stdout(_) => "stdout",
            Kind::Otlp(_) => "otlp",
        }
    }

    /// Name of its cursor in the store.
    pub fn reader_name(&self) -> String {
        format!("sink:{}", self.name)
    }

    /// Events wait in the store until this sink has taken them.
    pub fn required(&self) -> bool {
        self.required
    }

    /// Reads what has to be there before anything may be written: the key of tokens.
    pub fn ready(&mut self) -> Result<(), KeyError> {
        self.veil.as_mut().map_or(Ok(()), Veil::ready)
    }

    /// Takes from the chosen events of `batch` what the receiver may not see.
    fn hide(&mut self, batch: &mut EventBatch, rows: &[u32], now: Timestamp) {
        if let Some(veil) = &mut self.veil {
            veil.events(batch, rows, now);
        }
    }

    /// How much goes out between two moves of the cursor, and in one piece.
    fn portion(&self) -> Portion {
        match &self.kind {
            Kind::Syslog(_) | Kind::Exec(_) | Kind::Stdout(_) => Portion::default(),
            // Each frame is synced before its cursor moves, and files are rotated between them.
            Kind::File(_) => Portion { frames: 1, ..Portion::default() },
            Kind::Http(sink) => sink.portion(),
            Kind::Otlp(sink) => sink.portion(),
        }
    }

    /// Appends the events of `chosen` from number `from` on to `out` until that is full; returns
    /// the number of the first event that was not written. `created` is when they were read.
    pub fn render(
        &mut self,
        chosen: Chosen<'_>,
        from: usize,
        created: Timestamp,
        out: &mut Rendered,
    ) -> usize {
        match &mut self.kind {
            Kind::Syslog(sink) => sink.render(chosen, from, created, out),
            Kind::File(sink) => sink.lines.render(chosen, from, created, out),
            Kind::Exec(sink) => sink.lines.render(chosen, from, created, out),
            Kind::Stdout(sink) => sink.lines.render(chosen, from, created, out),
            Kind::Http(sink) => sink.render(chosen, from, created, out),
            Kind::Otlp(sink) => sink.render(chosen, from, created, out),
        }
    }

    /// Appends one transition of an alert to `out`.
    fn render_alert(&mut self, alert: &Alert, now: Timestamp, out: &mut Rendered) {
        if alert.stays {
            return;
        }
        let veiled = self.veil.as_mut().map(|veil| veil.alert(alert, now));
        let alert = veiled.as_ref().unwrap_or(alert);
        match &mut self.kind {
            Kind::Syslog(sink) => sink.render_alert(alert, &self.host, out),
            Kind::File(sink) => sink.lines.render_alert(alert, out),
            Kind::Exec(sink) => sink.lines.render_alert(alert, out),
            Kind::Stdout(sink) => sink.lines.render_alert(alert, out),
            Kind::Http(sink) => sink.render_alert(alert, &self.host, out),
            Kind::Otlp(sink) => sink.render_alert(alert, out),
        }
    }

    /// A turn begins, for the first time or anew. `saved` was stored with the cursor; what is
    /// returned must be stored in its place before anything is sent.
    async fn begin(
        &mut self,
        saved: Option<FileMark>,
        now: Timestamp,
    ) -> Result<Option<FileMark>, SinkError> {
        match &mut self.kind {
            Kind::Syslog(sink) => {
                sink.begin();
                Ok(None)
            }
            Kind::File(sink) => sink.begin(saved, now).await.map(Some),
            Kind::Http(sink) => {
                sink.begin();
                Ok(None)
            }
            Kind::Exec(sink) => sink.begin(now).await.map(|()| None),
            Kind::Stdout(_) => Ok(None),
            Kind::Otlp(sink) => sink.begin().map(|()| None),
        }
    }

    /// What is sent from now on lies behind `from`.
    fn note_turn(&mut self, from: Milestone) {
        if let Kind::Syslog(sink) = &mut self.kind {
            sink.note_turn(from);
        }
    }

    /// Nothing more will be sent: ends the connection, where that tells something. True when the
    /// receiver has shown that it has read everything.
    async fn part(&mut self) -> bool {
        match &mut self.kind {
            Kind::Syslog(sink) => sink.part().await,
            _ => true,
        }
    }

    /// Hands a portion over; it need not have arrived when this returns.
    async fn send(&mut self, rendered: &Rendered, now: Timestamp) -> Result<(), SinkError> {
        match &mut self.kind {
            Kind::Syslog(sink) => sink.send(rendered, now).await,
            Kind::File(sink) => sink.send(rendered).await,
            Kind::Http(sink) => sink.send(rendered, now).await,
            Kind::Exec(sink) => sink.send(rendered, now).await,
            Kind::Stdout(sink) => sink.send(rendered).await,
            Kind::Otlp(sink) => sink.send(rendered, now).await,
        }
    }

    /// All of the turn was sent: waits until it is as safe as this sink can make it, and tells
    /// what the receiver refused for good.
    async fn finish(&mut self) -> Result<Finished, SinkError> {
        match &mut self.kind {
            Kind::Syslog(sink) => {
                let (unproved, rejections) = sink.finish().await?;
                Ok(Finished { unproved, rejections, ..Finished::default() })
            }
            Kind::File(sink) => Ok(Finished { mark: sink.finish().await?, ..Finished::default() }),
            Kind::Http(sink) => sink.finish().await,
            Kind::Exec(sink) => sink.finish().await.map(|()| Finished::default()),
            Kind::Stdout(_) => Ok(Finished::default()),
            Kind::Otlp(sink) => sink.finish().await,
        }
    }
}

/// What [`AnySink::deliver_once`] has done.
#[derive(Debug)]
pub struct Delivered {
    /// Bytes that were sent.
    pub bytes: usize,
    /// What was refused for good.
    pub rejections: Vec<DeadLetter>,
    /// How much more was refused without saying what.
    pub rejected: u64,
}

impl AnySink {
    /// Sends all events of `batch`, which were read at `now`, the way the daemon does, and without
    /// it: no cursor moves, and settings that choose events are passed over.
    pub async fn deliver_once(
        &mut self,
        batch: &EventBatch,
        now: Timestamp,
    ) -> Result<Delivered, SinkError> {
        self.ready()?;
        // A turn begins with nothing rendered.
        self.begin(None, now).await?;
        let rendered = self.preview(batch, batch.len(), now);
        if !rendered.is_empty() {
            self.send(&rendered, now).await?;
        }
        let Finished { mut rejections, rejected, .. } = self.finish().await?;
        rejections.extend(rendered.rejections);
        Ok(Delivered { bytes: rendered.bytes.len(), rejections, rejected })
    }

    /// A message of [`AnySink::preview`] as it would be sent alone.
    pub fn shown<'m>(&self, message: &'m [u8]) -> Cow<'m, [u8]> {
        match &self.kind {
            Kind::Otlp(sink) => sink.alone(message).into(),
            _ => message.into(),
        }
    }

    /// The first events of `batch`, at most `limit`, as the bytes that would be sent.
    pub fn preview(&mut self, batch: &EventBatch, limit: usize, now: Timestamp) -> Rendered {
        let rows: Vec<u32> = (0..batch.len() as u32).take(limit).collect();
        let portion = Portion { bytes: usize::MAX, messages: usize::MAX, ..self.portion() };
        let mut rendered = Rendered { portion, ..Rendered::default() };
        let mut batch = batch.clone();
        self.hide(&mut batch, &rows, now);
        self.render(Chosen::new(&batch, &rows), 0, now, &mut rendered);
        rendered
    }
}

/// How much a sink takes at once.
#[derive(Clone, Copy, Debug)]
struct Portion {
    /// Rendered bytes after which a portion is sent.
    bytes: usize,
    /// Messages after which a portion is sent.
    messages: usize,
    /// Frames of one turn.
    frames: usize,
}

impl Default for Portion {
    /// A frame as a whole would need many times its own size.
    fn default() -> Self {
        Self { bytes: 256 << 10, messages: usize::MAX, frames: 64 }
    }
}

/// No receiver's limit for one record is below this.
const LARGE_BYTES: usize = 4096;

/// A record of `length` bytes as `write` makes it with less and less of it, for a receiver that says
/// it is too large; nothing for one of ordinary length.
fn smaller(length: usize, write: impl Fn(Shrink, &mut Vec<u8>)) -> Vec<Vec<u8>> {
    let mut forms: Vec<Vec<u8>> = Vec::new();
    let mut last = length;
    let mut shrink = Shrink::NONE;
    while LARGE_BYTES < last
        && let Some(next) = shrink.next()
    {
        shrink = next;
        let mut form = Vec::new();
        write(shrink, &mut form);
        if form.len() < last {
            last = form.len();
            forms.push(form);
        }
    }
    forms
}

/// How a turn ended.
#[derive(Debug, Default)]
struct Finished {
    /// Goes into the store with the cursor.
    mark: Option<FileMark>,
    /// What the receiver refused for good.
    rejections: Vec<DeadLetter>,
    /// How much more it refused without saying what.
    rejected: u64,
    /// What came behind this place may not have been read.
    unproved: Option<Milestone>,
}

/// Events as the bytes of a sink, a portion at a time; a buffer that is used again.
#[derive(Debug, Default)]
pub struct Rendered {
    bytes: Vec<u8>,
    /// Where each message ends; an event may make several.
    ends: Vec<usize>,
    /// Events in it.
    events: u64,
    /// Transitions of alerts in it.
    alerts: u64,
    /// Events that gave up fields to fit.
    shrunk: u64,
    /// Events that do not fit at all.
    rejections: Vec<DeadLetter>,
    portion: Portion,
}

impl Rendered {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        (self.events, self.alerts) = (0, 0);
        self.shrunk = 0;
        self.rejections.clear();
    }

    /// It is time to send.
    pub fn is_full(&self) -> bool {
        self.portion.bytes <= self.bytes.len() || self.portion.messages <= self.ends.len()
    }

    /// The bytes of all messages.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of each message.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    fn end_message(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// No receiver could take `event`.
    fn reject(&mut self, event: &Event<'_>, reason: &str) {
        let id = EventId::new(event.origin()).of(event);
        self.rejections.push(DeadLetter {
            event_id: String::from_utf8_lossy(&id).into_owned(),
            reason: reason.to_owned(),
            body: event.line_to_show().unwrap_or_default().to_vec(),
            ..DeadLetter::default()
        });
    }
}
