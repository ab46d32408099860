//! Export requests of OTLP 1.10: log records under their resources, in protobuf or in JSON.
//!
//! A record is written once, as a *piece* that knows its resource and its id. A request is put
//! together from any pieces ([`OtlpEncoder::assemble`]), so what a receiver refuses can be sent
//! again in smaller parts without being written anew.
//!
//! Invariant: lengths on the wire are computed before what they count is written, so no text can
//! reach beyond its field.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::otel::{self, JsonWriter, OtelRecord, OtelVisitor, SCHEMA_URL};
use super::{Agent, Encoder, OriginEncoder, Record, Shrink};
use crate::engine::batch::Origin;
use crate::engine::detect::Alert;
use crate::units::Timestamp;

/// The two forms of a request on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// Protobuf.
    Protobuf,
    /// The JSON that is defined for it.
    Json,
}

/// The name of a service that nobody named.
const SERVICE: &str = "gatewatch";

/// The longest id of a record.
const ID_MAX: usize = 64;

/// Writes events and alerts as pieces, and requests from pieces.
#[derive(Debug)]
pub struct OtlpEncoder {
    form: Form,
    encoder: Encoder,
    /// `service.name` and `host.name` of records that have none.
    service: String,
    host: String,
    /// Attributes that every resource has, as they stand on the wire.
    shared: Vec<u8>,
    scope: Vec<u8>,
}

impl OtlpEncoder {
    /// An encoder; `resource` are attributes of every resource, of which `service.name` and
    /// `host.name` stand in where a record has none.
    pub fn new(form: Form, encoder: Encoder, agent: &Agent, resource: &[(String, String)]) -> Self {
        let named = |key: &str| {
            let found = resource.iter().find(|(name, value)| name == key && !value.is_empty());
            found.map(|(_, value)| value.clone())
        };
        let mut writer = PieceWriter::new(form, "", "", Vec::new());
        let others = resource.iter().filter(|(name, value)| {
            !matches!(name.as_str(), "service.name" | "host.name") && !value.is_empty()
        });
        others.for_each(|(name, value)| writer.resource_attribute(name, value));
        let shared = writer.out;
        let mut scope = Vec::new();
        match form {
            Form::Protobuf => {
                let mut inner = Vec::new();
                bytes_field(0x0a, b"gatewatch", &mut inner);
                bytes_field(0x12, agent.version.as_bytes(), &mut inner);
                bytes_field(0x0a, &inner, &mut scope);
            }
            Form::Json => otel::agent(agent, &mut scope),
        }
        let service = named("service.name").unwrap_or_else(|| SERVICE.to_owned());
        let host = named("host.name").unwrap_or_default();
        Self { form, encoder, service, host, shared, scope }
    }

    /// What the events of an origin are opened with.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Appends `record` as a piece.
    pub fn event(
        &self,
        opened: &OriginEncoder<'_>,
        record: &Record<'_>,
        created: Timestamp,
        shrink: Shrink,
        out: &mut Vec<u8>,
    ) {
        self.piece(out, |visitor| opened.visit_otel(record, created, shrink, visitor));
    }

    /// Appends `alert` as a piece.
    pub fn alert(&self, alert: &Alert, shrink: Shrink, out: &mut Vec<u8>) {
        self.piece(out, |visitor| self.encoder.visit_alert_otel(alert, shrink, visitor));
    }

    fn piece(&self, out: &mut Vec<u8>, visit: impl FnOnce(&mut dyn OtelVisitor)) {
        let taken = std::mem::take(out);
        let mut writer = PieceWriter::new(self.form, &self.service, &self.host, taken);
        visit(&mut writer);
        *out = writer.finish();
    }

    /// Appends one request with all `pieces`, those of each resource in their order.
    pub fn assemble<'p>(&self, pieces: impl Iterator<Item = Piece<'p>>, out: &mut Vec<u8>) {
        let mut groups: Vec<(&[u8], Vec<&[u8]>)> = Vec::new();
        let mut places: BTreeMap<&[u8], usize> = BTreeMap::new();
        for piece in pieces {
            let place = *places.entry(piece.resource).or_insert_with(|| {
                groups.push((piece.resource, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(piece.record);
        }
        match self.form {
            Form::Protobuf => {
                groups.iter().for_each(|(resource, records)| self.protobuf(resource, records, out));
            }
            Form::Json => self.json(&groups, out),
        }
    }

    /// One `ResourceLogs`.
    fn protobuf(&self, resource: &[u8], records: &[&[u8]], out: &mut Vec<u8>) {
        let schema = field_len(SCHEMA_URL.len());
        let resource_len = self.shared.len() + resource.len();
        let records_len: usize = records.iter().map(|record| field_len(record.len())).sum();
        let scope_len = self.scope.len() + records_len + schema;
        field(0x0a, field_len(resource_len) + field_len(scope_len) + schema, out);
        field(0x0a, resource_len, out);
        out.extend_from_slice(&self.shared);
        out.extend_from_slice(resource);
        field(0x12, scope_len, out);
        out.extend_from_slice(&self.scope);
        records.iter().for_each(|record| bytes_field(0x12, record, out));
        bytes_field(0x1a, SCHEMA_URL.as_bytes(), out);
        bytes_field(0x1a, SCHEMA_URL.as_bytes(), out);
    }

    fn json(&self, groups: &[(&[u8], Vec<&[u8]>)], out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"resourceLogs":["#);
        for (resource, records) in groups {
            out.extend_from_slice(br#"{"resource":{"attributes":["#);
            out.extend_from_slice(&self.shared);
            out.extend_from_slice(resource);
            drop_comma(out);
            out.extend_from_slice(br#"]},"schemaUrl":""#);
            out.extend_from_slice(SCHEMA_URL.as_bytes());
            out.extend_from_slice(br#"","scopeLogs":["#);
            out.extend_from_slice(&self.scope);
            for record in records {
                out.extend_from_slice(record);
                out.push(b',');
            }
            drop_comma(out);
            out.extend_from_slice(b"]}]},");
        }
        drop_comma(out);
        out.extend_from_slice(b"]}");
    }
}

fn drop_comma(out: &mut Vec<u8>) {
    out.pop_if(|last| *last == b',');
}

/// A record that was written, with what has to be known of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece<'p> {
    resource: &'p [u8],
    record: &'p [u8],
    /// Its `log.record.uid`.
    pub id: &'p [u8],
}

impl<'p> Piece<'p> {
    /// The piece that [`OtlpEncoder::event`] or [`OtlpEncoder::alert`] wrote.
    ///
    /// # Panics
    ///
    /// When `bytes` are something else.
    pub fn of(bytes: &'p [u8]) -> Self {
        let (length, rest) = bytes.split_first_chunk().expect("a piece begins with a length");
        let (resource, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        let (id_len, rest) = rest.split_last().expect("a piece ends with a length");
        let (record, id) = rest.split_at(rest.len() - usize::from(*id_len));
        Self { resource, record, id }
    }
}

/// Writes one piece: the length of the resource, the resource, the record, the id, its length.
struct PieceWriter<'w> {
    form: Form,
    service: &'w str,
    host: &'w str,
    out: Vec<u8>,
    id: [u8; ID_MAX],
    id_len: usize,
}

impl<'w> PieceWriter<'w> {
    fn new(form: Form, service: &'w str, host: &'w str, out: Vec<u8>) -> Self {
        Self { form, service, host, out, id: [0; ID_MAX], id_len: 0 }
    }

    fn resource_attribute(&mut self, key: &str, value: &str) {
        match self.form {
            Form::Protobuf => string(0x0a, key, value, &mut self.out),
            Form::Json => self.json(|json| json.text_attribute(key, value)),
        }
    }

    fn json(&mut self, write: impl FnOnce(&mut JsonWriter<'_>)) {
        write(&mut JsonWriter::new(&mut self.out));
    }

    fn finish(mut self) -> Vec<u8> {
        if self.form == Form::Json {
            drop_comma(&mut self.out);
            self.out.extend_from_slice(b"]}");
        }
        self.out.extend_from_slice(&self.id[..self.id_len]);
        self.out.push(self.id_len as u8);
        self.out
    }
}

impl OtelVisitor for PieceWriter<'_> {
    fn record(&mut self, record: &OtelRecord<'_>) {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        let resource = &record.resource;
        let or = |value: &str, other: &str| match value {
            "" | Origin::UNNAMED_SITE => other.to_owned(),
            value => value.to_owned(),
        };
        let service = or(&resource.service_name, self.service);
        self.resource_attribute("service.name", &service);
        let host = or(&resource.host_name, self.host);
        if !host.is_empty() {
            self.resource_attribute("host.name", &host);
        }
        let length = (self.out.len() - start - 4) as u32;
        self.out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        match self.form {
            Form::Protobuf => head(record, &mut self.out),
            Form::Json => self.json(|json| json.head(record)),
        }
    }

    fn attr_str(&mut self, key: &'static str, value: &str) {
        if key == "log.record.uid" {
            self.id_len = value.len().min(ID_MAX);
            self.id[..self.id_len].copy_from_slice(&value.as_bytes()[..self.id_len]);
        }
        match self.form {
            Form::Protobuf => string(ATTRIBUTE, key, value, &mut self.out),
            Form::Json => self.json(|json| json.attr_str(key, value)),
        }
    }

    fn attr_int(&mut self, key: &'static str, value: i64) {
        if self.form == Form::Json {
            return self.json(|json| json.attr_int(key, value));
        }
        let value = value as u64;
        key_value(ATTRIBUTE, key, 1 + varint_len(value), &mut self.out);
        self.out.push(0x18);
        varint(value, &mut self.out);
    }

    fn attr_f64(&mut self, key: &'static str, value: f64) {
        if self.form == Form::Json {
            return self.json(|json| json.attr_f64(key, value));
        }
        key_value(ATTRIBUTE, key, 9, &mut self.out);
        self.out.push(0x21);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn attr_str_list(&mut self, key: &'static str, values: &[Cow<'_, str>]) {
        if self.form == Form::Json {
            return self.json(|json| json.attr_str_list(key, values));
        }
        let list_len = values.iter().map(|value| field_len(field_len(value.len()))).sum();
        key_value(ATTRIBUTE, key, field_len(list_len), &mut self.out);
        field(0x2a, list_len, &mut self.out);
        for value in values {
            field(0x0a, field_len(value.len()), &mut self.out);
            bytes_field(0x0a, value.as_bytes(), &mut self.out);
        }
    }
}

/// `LogRecord.attributes`.
const ATTRIBUTE: u8 = 0x32;

/// A `LogRecord` without its attributes.
fn head(record: &OtelRecord<'_>, out: &mut Vec<u8>) {
    if record.time_unix_nano != 0 {
        out.push(0x09);
        out.extend_from_slice(&record.time_unix_nano.to_le_bytes());
    }
    out.extend_from_slice(&[0x10, record.severity_number]);
    bytes_field(0x1a, record.severity_text.as_bytes(), out);
    field(0x2a, field_len(record.body.len()), out);
    bytes_field(0x0a, record.body.as_bytes(), out);
    if let Some(id) = &record.trace_id {
        bytes_field(0x4a, id, out);
    }
    if let Some(id) = &record.span_id {
        bytes_field(0x52, id, out);
    }
    out.push(0x59);
    out.extend_from_slice(&record.observed_time_unix_nano.to_le_bytes());
    bytes_field(0x62, record.event_name.as_bytes(), out);
}

/// A `KeyValue` with a text.
fn string(tag: u8, key: &str, value: &str, out: &mut Vec<u8>) {
    key_value(tag, key, field_len(value.len()), out);
    bytes_field(0x0a, value.as_bytes(), out);
}

/// A `KeyValue` up to its value, an `AnyValue` of `value_len` bytes.
fn key_value(tag: u8, key: &str, value_len: usize, out: &mut Vec<u8>) {
    field(tag, field_len(key.len()) + field_len(value_len), out);
    bytes_field(0x0a, key.as_bytes(), out);
    field(0x12, value_len, out);
}

fn bytes_field(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    field(tag, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// The tag and the length of a field; every tag here is one byte.
fn field(tag: u8, length: usize, out: &mut Vec<u8>) {
    out.push(tag);
    varint(length as u64, out);
}

/// Bytes of a field that holds `length` bytes.
fn field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while 0x80 <= value {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}
