//! Events as JSON objects with the names of the Elastic Common Schema, one object a line.
//!
//! The objects are written by hand, member by member in a fixed order: `parse` and every sink
//! spend most of their time here, and a reader who compares two events should find each name in
//! the same place. What all events of a batch share is written once, by [`Ecs::open`].
//!
//! Every name exists in ECS 8.11 and 9.4, except `event.count` and `log.offset`, which we add, and
//! what lies under `gatewatch.`; `tests/golden/ecs/names.txt` lists them all, and tests hold this
//! module to it.
//!
//! Invariant: any bytes in any field give one valid JSON object without a line break, in which no
//! name stands twice. Text that is too long is cut before it is encoded, never after, and each
//! field that was cut is named in `gatewatch.truncated`.

mod event;
mod gatewatch;
mod json;
mod limits;
mod web;

use std::cell::Cell;
use std::io::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use self::event::level_of;
pub use self::limits::Shrink;

use self::json::{Json, key};
use self::limits::{Limits, SHORT, WORD};
use super::event_id::EventId;
use crate::engine::batch::{Event, Field, Kind, Module, Origin, Row};
use crate::engine::redact::{self, Form};
use crate::units::Timestamp;

/// How much of an event is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Everything that is known: what ready-made detection rules expect.
    #[default]
    Full,
    /// Without `agent`, `related`, hash, start and end, and without diagnostics: about half the
    /// size.
    Compact,
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

/// Writes events as ECS objects.
#[derive(Clone, Debug)]
pub struct Ecs {
    profile: Profile,
    keep_original: bool,
    show_secrets: bool,
    /// `"agent":{…},`
    agent: Vec<u8>,
}

impl Ecs {
    /// An encoder; with `keep_original` each event carries its raw line, as unread lines always do.
    pub fn new(profile: Profile, agent: &Agent, keep_original: bool) -> Self {
        let mut text = Vec::new();
        let mut json = Json::new(&mut text);
        json.raw(r#""agent":{"type":"gatewatch","#);
        json.text(key!("version"), "agent.version", agent.version.as_bytes(), WORD);
        if !agent.id.is_empty() {
            json.text(key!("id"), "agent.id", agent.id.as_bytes(), WORD);
        }
        if !agent.name.is_empty() {
            json.text(key!("name"), "agent.name", agent.name.as_bytes(), WORD);
        }
        json.close(json::Mark::default(), b'}');
        Self { profile, keep_original, show_secrets: false, agent: text }
    }

    /// Writes the values of secret query parameters as they were logged; by default they are
    /// hidden ([`crate::engine::redact`]).
    #[must_use]
    pub fn showing_secrets(mut self, show: bool) -> Self {
        self.show_secrets = show;
        self
    }

    /// Prepares what the events of `origin` have in common.
    pub fn open(&self, origin: &Origin) -> BatchEncoder<'_> {
        let mut file = Vec::new();
        let mut json = Json::new(&mut file);
        if !origin.path.is_empty() {
            json.raw(r#""file":{"#);
            json.text(key!("path"), "log.file.path", origin.path.as_bytes(), limits::TEXT);
            json.close(json::Mark::default(), b'}');
        }
        let id = EventId::new(origin);
        BatchEncoder { ecs: self, id, file, time: TimeText::new(), created: TimeText::new() }
    }

    /// Appends `event` as one object without a line break.
    ///
    /// `created` is when the line was read. For many events of one origin, [`Ecs::open`] saves the
    /// work they share.
    pub fn render(&self, event: &Event<'_>, created: Timestamp, out: &mut Vec<u8>) {
        self.open(event.origin()).render(event, created, out);
    }
}

/// Writes the events of one origin.
#[derive(Debug)]
pub struct BatchEncoder<'e> {
    ecs: &'e Ecs,
    id: EventId,
    /// `"file":{…},`, or nothing for inputs that are no file.
    file: Vec<u8>,
    time: TimeText,
    created: TimeText,
}

impl BatchEncoder<'_> {
    /// Appends `event`, which was read at `created`, as one object without a line break.
    pub fn render(&self, event: &Event<'_>, created: Timestamp, out: &mut Vec<u8>) {
        self.render_shrunk(event, created, Shrink::NONE, out);
    }

    /// As [`BatchEncoder::render`], with less and less of the event as `shrink` grows.
    pub fn render_shrunk(
        &self,
        event: &Event<'_>,
        created: Timestamp,
        shrink: Shrink,
        out: &mut Vec<u8>,
    ) {
        let limits = shrink.limits();
        let mut scribe = Scribe {
            json: Json::new(out),
            encoder: self,
            fields: Fields::of(*event),
            event,
            row: event.row(),
            limits,
            full: self.ecs.profile == Profile::Full && !limits.minimal,
            client: AddressText::of(event.row().client),
        };
        scribe.object(created);
    }
}

/// Writes one event. Each method writes the member it is named after, with its comma.
struct Scribe<'s, 'o> {
    json: Json<'o>,
    encoder: &'s BatchEncoder<'s>,
    fields: Fields<'s>,
    event: &'s Event<'s>,
    row: &'s Row,
    limits: &'static Limits,
    full: bool,
    client: AddressText,
}

impl Scribe<'_, '_> {
    fn object(&mut self, created: Timestamp) {
        let line = self.event.line().len();
        self.json.out.reserve(2 * line + 1024);
        let start = self.json.open(r#"{"@timestamp":""#);
        self.encoder.time.push(self.row.time, self.json.out);
        self.json.raw(r#"","ecs":{"version":"8.11.0"},"#);
        self.event(created);
        self.message();
        self.error();
        if !self.limits.minimal {
            self.tags(created);
            self.labels();
        }
        self.source();
        if !self.limits.minimal {
            self.destination();
        }
        self.network();
        self.http();
        self.url();
        self.user();
        if !self.limits.minimal {
            self.user_agent();
            self.tls();
            self.trace();
            self.process();
        }
        self.host();
        if !self.limits.minimal {
            self.service();
        }
        if self.full {
            self.json.out.extend_from_slice(&self.encoder.ecs.agent);
        }
        self.log();
        self.related();
        self.gatewatch();
        self.json.close(start, b'}');
        // The comma behind the outermost object.
        self.json.out.pop();
    }

    /// A text field under its ECS name, where the line has it.
    fn field(&mut self, key: &str, name: &'static str, field: Field, max: usize) {
        if let Some(value) = self.fields.value(field) {
            self.json.text(key, name, value, max);
        }
    }

    /// The same for a text that may hold a query.
    fn url_text(&mut self, key: &str, name: &'static str, value: &[u8], form: Form, max: usize) {
        if self.encoder.ecs.show_secrets {
            self.json.text(key, name, value, max);
        } else {
            self.json.text(key, name, &redact::secrets(value, form), max);
        }
    }

    /// A whole number up to `max`, where the line has one.
    fn field_number(&mut self, key: &str, field: Field, max: u64) {
        let number = self.fields.value(field).and_then(crate::engine::text::parse_u64);
        if let Some(number) = number.filter(|number| *number <= max) {
            self.json.number(key, number);
        }
    }

    fn user(&mut self) {
        let user = self.json.open(r#""user":{"#);
        self.field(key!("name"), "user.name", Field::User, self.limits.user);
        if !self.limits.minimal && self.fields.value(Field::TargetUser).is_some() {
            let effective = self.json.open(r#""effective":{"#);
            let max = self.limits.user;
            self.field(key!("name"), "user.effective.name", Field::TargetUser, max);
            self.json.close(effective, b'}');
        }
        self.json.close(user, b'}');
    }

    fn process(&mut self) {
        if !self.fields.has_any(Field::Process, Field::Tid) {
            return;
        }
        let process = self.json.open(r#""process":{"#);
        self.field(key!("name"), "process.name", Field::Process, WORD);
        self.field_number(key!("pid"), Field::Pid, u64::MAX);
        let thread = self.json.open(r#""thread":{"#);
        self.field_number(key!("id"), Field::Tid, u64::MAX);
        self.json.close(thread, b'}');
        self.json.close(process, b'}');
    }

    fn host(&mut self) {
        let machine = self.event.origin().host.as_bytes();
        let logged = self.fields.value(Field::Hostname);
        let host = self.json.open(r#""host":{"#);
        let name = if machine.is_empty() { logged } else { Some(machine) };
        if let Some(name) = name {
            self.json.text(key!("name"), "host.name", name, WORD);
        }
        if let Some(logged) = logged
            && !self.limits.minimal
        {
            self.json.text(key!("hostname"), "host.hostname", logged, WORD);
        }
        self.json.close(host, b'}');
    }

    fn service(&mut self) {
        let service = self.json.open(r#""service":{"#);
        let name = self.fields.value(Field::Service).unwrap_or_else(|| self.event.site());
        if !name.is_empty() {
            self.json.text(key!("name"), "service.name", name, WORD);
        }
        match self.row.module {
            Module::System | Module::App => {
                self.field(key!("type"), "service.type", Field::Process, WORD);
            }
            server => self.json.word(key!("type"), server.name()),
        }
        self.json.close(service, b'}');
    }

    fn log(&mut self) {
        let log = self.json.open(r#""log":{"#);
        if !self.encoder.file.is_empty() {
            self.json.out.extend_from_slice(&self.encoder.file);
            self.json.number(key!("offset"), self.row.offset);
        }
        if self.row.kind != Kind::ParseFailure {
            // A server's own word stays; for requests and log-ins the level is our judgement.
            let level = match self.row.kind {
                Kind::Access => level_of(self.row),
                _ => self.row.level,
            };
            self.json.word(key!("level"), level.name());
        }
        self.json.close(log, b'}');
    }

    fn labels(&mut self) {
        let labels = self.json.open(r#""labels":{"#);
        let mut names = Labels::new(self.event);
        while let Some((name, value)) = names.next_label() {
            self.json.out.push(b'"');
            self.json.out.extend(name.iter().take(SHORT).map(|byte| label_byte(*byte)));
            self.json.text("\":", "labels", value, limits::TEXT);
        }
        self.json.close(labels, b'}');
    }
}

/// The fields of one event by their name, empty ones left out.
///
/// An empty text says as little as an absent one; only an empty query means something.
struct Fields<'a> {
    event: Event<'a>,
    /// The place of each in the event's list, from 1; 0 where it is not there. Bytes, because all of
    /// it is cleared for each event.
    rare: [u8; RARE],
    /// A bit for each of them: most events have none of most groups.
    present: u128,
}

const RARE: usize = Field::LabelName as usize - Field::Peer as usize;
const _: () = assert!(RARE <= u128::BITS as usize, "there is a bit for each");

impl<'a> Fields<'a> {
    fn of(event: Event<'a>) -> Self {
        let (mut rare, mut present) = ([0; RARE], 0);
        // What stands behind 255 columns of the operator's own is left out.
        for (number, field) in (1..=u8::MAX).zip(event.rare_fields()) {
            // Of a field that was set twice the first counts, as it does for rules.
            let index = (field as usize) - (Field::Peer as usize);
            if let Some(place @ 0) = rare.get_mut(index) {
                *place = number;
                present |= 1 << index;
            }
        }
        Self { event, rare, present }
    }

    #[inline]
    fn present(&self, field: Field) -> Option<&'a [u8]> {
        match (field as usize).checked_sub(Field::Peer as usize) {
            Some(place) => match self.rare[place] {
                0 => None,
                number => self.event.rare_value(usize::from(number) - 1),
            },
            None => self.event.field(field),
        }
    }

    /// One of the fields from `first` to `last`, in the order of [`Field`], is there.
    #[inline]
    fn has_any(&self, first: Field, last: Field) -> bool {
        let (first, last) = (first as u32 - Field::Peer as u32, last as u32 - Field::Peer as u32);
        self.present >> first & ((1 << (last - first + 1)) - 1) != 0
    }

    #[inline]
    fn value(&self, field: Field) -> Option<&'a [u8]> {
        self.present(field).filter(|value| !value.is_empty())
    }
}

/// Walks over the labels of an event: at most [`LABELS_MAX`], each name once.
struct Labels<'a> {
    event: &'a Event<'a>,
    seen: usize,
}

/// A format of the operator's names its columns; more than this many is a mistake.
const LABELS_MAX: usize = 32;

impl<'a> Labels<'a> {
    fn new(event: &'a Event<'a>) -> Self {
        Self { event, seen: 0 }
    }

    fn next_label(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        loop {
            let (name, value) = self.pairs().nth(self.seen).filter(|_| self.seen < LABELS_MAX)?;
            let written = |name: &'a [u8]| name.iter().take(SHORT).map(|byte| label_byte(*byte));
            let earlier = self.pairs().take(self.seen);
            self.seen += 1;
            let repeated = earlier.into_iter().any(|(other, _)| written(other).eq(written(name)));
            if !name.is_empty() && !value.is_empty() && !repeated {
                return Some((name, value));
            }
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut name: &[u8] = b"";
        self.event.rare().filter_map(move |(field, value)| match field {
            Field::LabelName => {
                name = value;
                None
            }
            Field::LabelValue => Some((std::mem::take(&mut name), value)),
            _ => None,
        })
    }
}

/// A label's name is made of letters, digits, `-` and `_`: a dot would open an object.
fn label_byte(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() || byte == b'-' { byte } else { b'_' }
}

/// The text of the last time that was written: neighbours often have the same one.
#[derive(Debug)]
struct TimeText(Cell<(Timestamp, [u8; Self::LEN])>);

impl TimeText {
    const LEN: usize = "1970-01-01T00:00:00.000Z".len();

    fn new() -> Self {
        Self(Cell::new((Timestamp(0), *b"1970-01-01T00:00:00.000Z")))
    }

    fn push(&self, time: Timestamp, out: &mut Vec<u8>) {
        let (last, text) = self.0.get();
        if last == time {
            out.extend_from_slice(&text);
            return;
        }
        time.write_rfc3339(out);
        if let Some(text) = out.last_chunk() {
            self.0.set((time, *text));
        }
    }
}

/// An address as text without an allocation; empty where there is none.
struct AddressText {
    bytes: [u8; Self::LEN_MAX],
    len: usize,
}

impl AddressText {
    /// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
    const LEN_MAX: usize = 46;

    fn of(address: Option<IpAddr>) -> Self {
        let mut text = Self { bytes: [0; Self::LEN_MAX], len: 0 };
        match address.map(|address| address.to_canonical()) {
            None => (),
            Some(IpAddr::V4(v4)) => {
                let mut number = itoa::Buffer::new();
                for (index, octet) in v4.octets().into_iter().enumerate() {
                    if index != 0 {
                        text.push(b".");
                    }
                    text.push(number.format(octet).as_bytes());
                }
            }
            Some(IpAddr::V6(v6)) => {
                let mut rest = &mut text.bytes[..];
                let written = write!(rest, "{v6}");
                let left = rest.len();
                text.len = if written.is_ok() { Self::LEN_MAX - left } else { 0 };
            }
        }
        text
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests;
