//! Events and alerts as text for the world outside: one file an encoding, one row of [`ENCODINGS`].
//!
//! An [`Encoder`] knows the encoding and the settings, an [`OriginEncoder`] what the events of one
//! origin have in common. Both kinds of wires, JSON and lines of text, are written the same way, so
//! a sink need not know which encoding it carries.
//!
//! To add an encoding: a file here, a variant of [`Encoding`], a row in [`ENCODINGS`].
//!
//! Invariant: any bytes in any field give a record that has neither a line feed nor a NUL in it, so
//! that a line or a zero byte can end it. Text that is too long is cut before it is encoded, never
//! after.

pub mod alert;
mod cef;
mod csv;
mod ecs;
pub mod event_id;
mod fact;
mod facts;
mod gelf;
mod json;
mod leef;
mod limits;
mod line;
mod ocsf;
mod of_alert;
mod of_event;
pub mod otel;
pub mod otlp;
mod sd;
mod text;
mod view;

use serde::{Deserialize, Serialize};

pub use self::facts::{
    action as action_of, address_in, dataset as dataset_of, hops, level_of, outcome as outcome_of,
};
pub use self::limits::Shrink;

use self::event_id::EventId;
use self::of_alert::AlertView;
use self::otel::OtelVisitor;
use self::view::{AddressText, Fields, TimeText, View};
use crate::engine::batch::{Event, Origin};
use crate::engine::detect::Alert;
use crate::units::Timestamp;

/// How events are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Everything that is known, as ready-made detection rules expect it.
    #[default]
    Ecs,
    /// The same without `agent`, `related`, hash, start and end, and without diagnostics.
    EcsCompact,
    /// ArcSight's Common Event Format.
    Cef,
    /// IBM's Log Event Extended Format.
    Leef,
    /// Graylog's Extended Log Format.
    Gelf,
    /// A line for people.
    Text,
    /// Comma-separated values.
    Csv,
    /// The Open Cybersecurity Schema Framework.
    Ocsf,
    /// Log records of OpenTelemetry in JSON.
    OtlpJson,
}

/// A row of [`ENCODINGS`].
pub struct EncodingEntry {
    /// The encoding.
    pub encoding: Encoding,
    /// Its name in the configuration and on the command line.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// A record is one JSON object; otherwise it is a line of text.
    pub json: bool,
    /// The line that a file of such records begins with, without its line feed.
    pub header: Option<&'static str>,
    scheme: Scheme,
}

/// What an encoding has to be able to do.
struct Scheme {
    /// What all events of an encoder share, written once.
    agent: fn(&Agent, &mut Vec<u8>),
    /// What all events of an origin share.
    origin: fn(&Origin, &mut Vec<u8>),
    /// The records that an event is made of, at least one.
    parts: fn(&Event<'_>) -> &'static [Part],
    event: fn(&View<'_>, &mut Vec<u8>),
    alert: fn(&AlertView<'_>, &mut Vec<u8>),
}

/// Every encoding.
pub const ENCODINGS: &[EncodingEntry] = &[
    EncodingEntry {
        encoding: Encoding::Ecs,
        name: "ecs",
        summary: "Elastic Common Schema 8.11 as JSON, with everything that is known",
        json: true,
        header: None,
        scheme: Scheme {
            agent: ecs::agent,
            origin: ecs::origin,
            parts: whole,
            event: ecs::full,
            alert: alert::write,
        },
    },
    EncodingEntry {
        encoding: Encoding::EcsCompact,
        name: "ecs_compact",
        summary: "the same with about half of it: what most searches need",
        json: true,
        header: None,
        scheme: Scheme {
            agent: nothing_of_agent,
            origin: ecs::origin,
            parts: whole,
            event: ecs::compact,
            alert: alert::write,
        },
    },
    EncodingEntry {
        encoding: Encoding::Cef,
        name: "cef",
        summary: "ArcSight's Common Event Format, version 0",
        json: false,
        header: None,
        scheme: Scheme {
            agent: cef::agent,
            origin: nothing_of_origin,
            parts: whole,
            event: |view, out| cef::write(view, out),
            alert: |view, out| cef::write(view, out),
        },
    },
    EncodingEntry {
        encoding: Encoding::Leef,
        name: "leef",
        summary: "IBM's Log Event Extended Format, version 2.0",
        json: false,
        header: None,
        scheme: Scheme {
            agent: leef::agent,
            origin: nothing_of_origin,
            parts: whole,
            event: |view, out| leef::write(view, out),
            alert: |view, out| leef::write(view, out),
        },
    },
    EncodingEntry {
        encoding: Encoding::Gelf,
        name: "gelf",
        summary: "Graylog's Extended Log Format, version 1.1, as JSON",
        json: true,
        header: None,
        scheme: Scheme {
            agent: gelf::agent,
            origin: nothing_of_origin,
            parts: whole,
            event: |view, out| gelf::write(view, out),
            alert: |view, out| gelf::write(view, out),
        },
    },
    EncodingEntry {
        encoding: Encoding::Text,
        name: "text",
        summary: "a line for people: a summary and key=value",
        json: false,
        header: None,
        scheme: Scheme {
            agent: text::agent,
            origin: nothing_of_origin,
            parts: whole,
            event: |view, out| text::write(view, out),
            alert: |view, out| text::write(view, out),
        },
    },
    EncodingEntry {
        encoding: Encoding::Csv,
        name: "csv",
        summary: "comma-separated values with a header line",
        json: false,
        header: Some(csv::HEADER),
        scheme: Scheme {
            agent: csv::agent,
            origin: nothing_of_origin,
            parts: whole,
            event: |view, out| csv::write(view, out),
            alert: |view, out| csv::write(view, out),
        },
    },
    EncodingEntry {
        encoding: Encoding::Ocsf,
        name: "ocsf",
        summary: "Open Cybersecurity Schema Framework 1.8 as JSON; a log-in by HTTP is two records",
        json: true,
        header: None,
        scheme: Scheme {
            agent: ocsf::agent,
            origin: nothing_of_origin,
            parts: ocsf::parts,
            event: ocsf::event,
            alert: ocsf::finding,
        },
    },
    EncodingEntry {
        encoding: Encoding::OtlpJson,
        name: "otlp_json",
        summary: "OpenTelemetry's log records in JSON, as collectors write files",
        json: true,
        header: None,
        scheme: Scheme {
            agent: otel::agent,
            origin: nothing_of_origin,
            parts: whole,
            event: |view, out| otel::write(view, out),
            alert: |view, out| otel::write(view, out),
        },
    },
];

fn nothing_of_agent(_: &Agent, _: &mut Vec<u8>) {}

fn whole(_: &Event<'_>) -> &'static [Part] {
    &[Part::Whole]
}

fn nothing_of_origin(_: &Origin, _: &mut Vec<u8>) {}

impl Encoding {
    /// The row of the table.
    pub fn entry(self) -> &'static EncodingEntry {
        &ENCODINGS[self as usize]
    }

    /// The encoding of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        ENCODINGS.iter().find(|entry| entry.name == name).map(|entry| entry.encoding)
    }
}

/// The program that writes the events, as it names itself in them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Agent {
    /// Version of the program.
    pub version: String,
    /// Identifier that this installation keeps.
    pub id: String,
    /// Name of the machine it runs on.
    pub name: String,
}

/// Writes events and alerts in one encoding.
#[derive(Clone, Debug)]
pub struct Encoder {
    encoding: Encoding,
    agent: Agent,
    keep_original: bool,
    show_secrets: bool,
    detect: bool,
    /// What all events share, as [`Scheme::agent`] wrote it.
    shared: Vec<u8>,
}

impl Encoder {
    /// An encoder; with `keep_original` each event carries its raw line where the encoding has a
    /// place for it, as unread lines always do.
    pub fn new(encoding: Encoding, agent: &Agent, keep_original: bool) -> Self {
        let mut shared = Vec::new();
        (encoding.entry().scheme.agent)(agent, &mut shared);
        Self {
            encoding,
            agent: agent.clone(),
            keep_original,
            show_secrets: false,
            detect: false,
            shared,
        }
    }

    /// Writes the values of secret query parameters as they were logged; by default they are
    /// hidden ([`crate::engine::redact`]).
    #[must_use]
    pub fn showing_secrets(mut self, show: bool) -> Self {
        self.show_secrets = show;
        self
    }

    /// Says what each event looks like, by the signatures: `gatewatch.detections` and
    /// `vulnerability`. Only ECS has a place for it.
    #[must_use]
    pub fn detecting(mut self, detect: bool) -> Self {
        self.detect = detect;
        self
    }

    /// The encoding, with what a sink has to know of it.
    pub fn entry(&self) -> &'static EncodingEntry {
        self.encoding.entry()
    }

    /// Prepares what the events of `origin` have in common.
    pub fn open(&self, origin: &Origin) -> OriginEncoder<'_> {
        let scheme = &self.entry().scheme;
        let mut shared = Vec::new();
        (scheme.origin)(origin, &mut shared);
        OriginEncoder {
            encoder: self,
            scheme,
            id: EventId::new(origin),
            shared,
            time: TimeText::new(),
            created: TimeText::new(),
        }
    }

    /// Appends the first record of `event`, without a line break.
    ///
    /// `created` is when the line was read. For many events of one origin, [`Encoder::open`] saves
    /// the work they share.
    pub fn render(&self, event: &Event<'_>, created: Timestamp, out: &mut Vec<u8>) {
        let record = Record { event: *event, part: Part::Whole };
        self.open(event.origin()).render_shrunk(&record, created, Shrink::NONE, out);
    }

    /// Appends `alert` as one record, with less and less of it as `shrink` grows.
    pub fn render_alert(&self, alert: &Alert, shrink: Shrink, out: &mut Vec<u8>) {
        let view = AlertView { encoder: self, alert, limits: shrink.limits() };
        (self.entry().scheme.alert)(&view, out);
    }

    /// Appends `alert` as parameters of structured data, whatever the encoding.
    pub fn alert_parameters(&self, alert: &Alert, shrink: Shrink, out: &mut Vec<u8>) {
        sd::write(&AlertView { encoder: self, alert, limits: shrink.limits() }, out);
    }

    /// Hands `alert` to `visitor` as a log record of OpenTelemetry, whatever the encoding.
    pub fn visit_alert_otel(&self, alert: &Alert, shrink: Shrink, visitor: &mut dyn OtelVisitor) {
        otel::visit(&AlertView { encoder: self, alert, limits: shrink.limits() }, visitor);
    }
}

/// One record of an event: an encoding that knows one class an event makes two of a request that is
/// a log-in.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The event.
    pub event: Event<'a>,
    part: Part,
}

/// Which record of an event it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    /// The event itself.
    Whole,
    /// The log-in that it is.
    Login,
}

/// Writes the events of one origin.
pub struct OriginEncoder<'e> {
    encoder: &'e Encoder,
    scheme: &'static Scheme,
    id: EventId,
    /// What all events of the origin share, as [`Scheme::origin`] wrote it.
    shared: Vec<u8>,
    time: TimeText,
    created: TimeText,
}

impl OriginEncoder<'_> {
    /// The records of `event`, at least one, in the order in which they are sent.
    pub fn records<'a>(&self, event: &Event<'a>) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let event = *event;
        (self.scheme.parts)(&event).iter().map(move |part| Record { event, part: *part })
    }

    /// `event.id` of `event`.
    pub fn id(&self, event: &Event<'_>) -> [u8; event_id::ID_LEN] {
        self.id.of(event)
    }

    /// Appends all of `record`, whose line was read at `created`, without a line break.
    pub fn render(&self, record: &Record<'_>, created: Timestamp, out: &mut Vec<u8>) {
        self.render_shrunk(record, created, Shrink::NONE, out);
    }

    /// As [`OriginEncoder::render`], with less and less of the event as `shrink` grows.
    pub fn render_shrunk(
        &self,
        record: &Record<'_>,
        created: Timestamp,
        shrink: Shrink,
        out: &mut Vec<u8>,
    ) {
        (self.scheme.event)(&self.view(record, created, shrink), out);
    }

    /// Appends `record` as parameters of structured data, whatever the encoding.
    pub fn parameters(
        &self,
        record: &Record<'_>,
        created: Timestamp,
        shrink: Shrink,
        out: &mut Vec<u8>,
    ) {
        sd::write(&self.view(record, created, shrink), out);
    }

    /// Hands `record` to `visitor` as a log record of OpenTelemetry, whatever the encoding.
    pub fn visit_otel(
        &self,
        record: &Record<'_>,
        created: Timestamp,
        shrink: Shrink,
        visitor: &mut dyn OtelVisitor,
    ) {
        otel::visit(&self.view(record, created, shrink), visitor);
    }

    fn view<'v>(&'v self, record: &Record<'v>, created: Timestamp, shrink: Shrink) -> View<'v> {
        let row = record.event.row();
        View {
            encoder: self,
            fields: Fields::of(record.event),
            event: record.event,
            row,
            part: record.part,
            limits: shrink.limits(),
            created,
            client: AddressText::of(row.client),
        }
    }
}

#[cfg(test)]
mod tests;
