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
//! | `syslog`, `message` | RFC 5424 over TCP and UDP |
//! | `file` | lines with rotation |
//! | `status` | what a sink is doing, for metrics and people |
//!
//! To add a sink: a file, a variant of [`SinkConfig`] and of [`AnySink`], a row in [`SINKS`].
//!
//! Invariant: the cursor moves past a frame only when the receiver has taken all of it. What
//! arrives twice carries the same `event.id`.

mod config;
mod delivery;
mod error;
mod file;
mod message;
mod status;
mod syslog;
mod task;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use config::Transport;
pub use config::{Address, AddressError, Facility, FileConfig, Framing, SinkConfig, SyslogConfig};
pub use delivery::{Action, Delivery, Input};
pub use error::SinkError;
pub use file::{FileMark, FileSink};
pub use status::{Failure, SinkReport, SinkStatus};
pub use syslog::SyslogSink;
pub use task::{Decode, SinkTask};

use crate::engine::batch::EventBatch;
use crate::engine::render::Agent;
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
        summary: "RFC 5424 messages with the event in any encoding, over TCP or UDP",
        example: "[[sink]]\ntype = \"syslog\"\naddress = \"tcp://siem.example.org:601\"\n",
    },
    SinkEntry {
        kind: "file",
        summary: "one event a line in any encoding, appended to a file that is rotated",
        example: "[[sink]]\ntype = \"file\"\npath = \"/var/log/gatewatch/events.json\"\n",
    },
];

/// What sinks know about the program they run in.
#[derive(Clone, Debug, Default)]
pub struct SinkContext {
    /// How the program names itself in events.
    pub agent: Agent,
    /// Its process id.
    pub pid: u32,
}

/// A sink of any type.
#[derive(Debug)]
pub struct AnySink {
    name: String,
    required: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Syslog(SyslogSink),
    File(FileSink),
}

impl AnySink {
    /// A sink as `config` describes it. Opens nothing: a receiver that is away when the daemon
    /// starts is no reason not to start.
    pub fn new(config: &SinkConfig, context: &SinkContext) -> Self {
        let kind = match config {
            SinkConfig::Syslog(config) => Kind::Syslog(SyslogSink::new(config, context)),
            SinkConfig::File(config) => Kind::File(FileSink::new(config, context)),
        };
        Self { name: config.name(), required: config.required(), kind }
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

    /// Writes the events of `batch` from number `from` on into `out` until that is full; returns
    /// the number of the first event that was not written. `created` is when they were read.
    pub fn render(
        &mut self,
        batch: &EventBatch,
        from: usize,
        created: Timestamp,
        out: &mut Rendered,
    ) -> usize {
        match &mut self.kind {
            Kind::Syslog(sink) => sink.render(batch, from, created, out),
            Kind::File(sink) => sink.render(batch, from, created, out),
        }
    }

    /// A frame begins, for the first time or anew. `saved` was stored with the cursor; what is
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
        }
    }

    async fn send(&mut self, rendered: &Rendered, now: Timestamp) -> Result<(), SinkError> {
        match &mut self.kind {
            Kind::Syslog(sink) => sink.send(rendered, now).await,
            Kind::File(sink) => sink.send(rendered).await,
        }
    }

    /// All of the frame was sent: waits until it is as safe as this sink can make it. What is
    /// returned goes with the cursor.
    async fn finish(&mut self) -> Result<Option<FileMark>, SinkError> {
        match &mut self.kind {
            Kind::Syslog(_) => Ok(None),
            Kind::File(sink) => sink.finish().await,
        }
    }
}

/// Events as the bytes of a sink, a part of a frame at a time; a buffer that is used again.
#[derive(Debug, Default)]
pub struct Rendered {
    bytes: Vec<u8>,
    /// Where each event ends.
    ends: Vec<usize>,
    /// Events that gave up fields to fit.
    shrunk: u64,
    /// Events that do not fit at all.
    rejected: u64,
}

/// A part is sent when it has this size: a frame as a whole would need many times its own.
const PART_BYTES: usize = 256 << 10;

impl Rendered {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.shrunk = 0;
        self.rejected = 0;
    }

    /// It is time to send.
    pub fn is_full(&self) -> bool {
        PART_BYTES <= self.bytes.len()
    }

    /// The bytes of all events.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of each event.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    fn end_event(&mut self) {
        self.ends.push(self.bytes.len());
    }
}
