//! Events as JSON objects with the names of the Elastic Common Schema, one object a line.
//!
//! The objects are written by hand, member by member in a fixed order: `parse` and every sink
//! spend most of their time here, and a reader who compares two events should find each name in
//! the same place. What all events of a batch share is written
//! once.
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
mod threat;
mod web;

use super::facts::level_of;
use super::json::{self, Json, key};
use super::limits::{self, Limits, SHORT, WORD};
use super::view::{AddressText, Fields, Labels, View, label_byte};
use super::{Agent, OriginEncoder};
use crate::engine::batch::{Event, Field, Kind, Module, Origin, Row};
use crate::engine::redact::{self, Form};
use crate::units::Timestamp;

/// `"agent":{…},`
pub(super) fn agent(agent: &Agent, out: &mut Vec<u8>) {
    let mut json = Json::new(out);
    json.raw(r#""agent":{"type":"gatewatch","#);
    json.text(key!("version"), "agent.version", agent.version.as_bytes(), WORD);
    if !agent.id.is_empty() {
        json.text(key!("id"), "agent.id", agent.id.as_bytes(), WORD);
    }
    if !agent.name.is_empty() {
        json.text(key!("name"), "agent.name", agent.name.as_bytes(), WORD);
    }
    json.close(json::Mark::default(), b'}');
}

/// `"file":{…},`, or nothing for inputs that are no file.
pub(super) fn origin(origin: &Origin, out: &mut Vec<u8>) {
    let mut json = Json::new(out);
    if !origin.path.is_empty() {
        json.raw(r#""file":{"#);
        json.text(key!("path"), "log.file.path", origin.path.as_bytes(), limits::TEXT);
        json.close(json::Mark::default(), b'}');
    }
}

/// Everything that is known: what ready-made detection rules expect.
pub(super) fn full(view: &View<'_>, out: &mut Vec<u8>) {
    Scribe::new(view, out, true).object(view.created);
}

/// Without `agent`, `related`, hash, start and end, and without diagnostics: about half the size.
pub(super) fn compact(view: &View<'_>, out: &mut Vec<u8>) {
    Scribe::new(view, out, false).object(view.created);
}

/// Writes one event. Each method writes the member it is named after, with its comma.
struct Scribe<'s, 'o> {
    json: Json<'o>,
    view: &'s View<'s>,
    encoder: &'s OriginEncoder<'s>,
    fields: &'s Fields<'s>,
    event: &'s Event<'s>,
    row: &'s Row,
    limits: &'static Limits,
    full: bool,
    client: &'s AddressText,
}

impl<'s, 'o> Scribe<'s, 'o> {
    fn new(view: &'s View<'s>, out: &'o mut Vec<u8>, full: bool) -> Self {
        Self {
            json: Json::new(out),
            view,
            encoder: view.encoder,
            fields: &view.fields,
            event: &view.event,
            row: view.row,
            limits: view.limits,
            full: full && !view.limits.minimal,
            client: &view.client,
        }
    }
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
            self.rule();
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
            self.json.out.extend_from_slice(&self.encoder.encoder.shared);
        }
        self.log();
        if !self.limits.minimal {
            self.threat();
        }
        self.vulnerability();
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
        if self.encoder.encoder.show_secrets {
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
        if !self.encoder.shared.is_empty() {
            self.json.out.extend_from_slice(&self.encoder.shared);
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

#[cfg(test)]
mod tests;
