//! Requests of OTLP, read back with the types that OpenTelemetry publishes.
//!
//! What an event says is collected through the same visitor into a plain list; the request in
//! protobuf, decoded by `prost`, and the one in JSON must both say the same.

use std::borrow::Cow;
use std::sync::Arc;

use gatewatch::engine::batch::{EventBatch, Field, Origin};
use gatewatch::engine::render::otel::{OtelRecord, OtelVisitor, SCHEMA_URL};
use gatewatch::engine::render::otlp::{Form, OtlpEncoder, Piece};
use gatewatch::engine::render::{Agent, Encoding, Shrink};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use proptest::prelude::*;
use prost::Message;

use super::events::{INPUTS, NOW, encoder, made};

/// A record in the words of the published types, and the name of its service.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    service: String,
    host: String,
    record: LogRecord,
}

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.to_owned())) }
}

impl Model {
    fn attribute(&mut self, key: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        let attribute = KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
        self.record.attributes.push(attribute);
    }
}

impl OtelVisitor for Model {
    fn record(&mut self, record: &OtelRecord<'_>) {
        self.service = record.resource.service_name.to_string();
        self.host = record.resource.host_name.to_string();
        self.record = LogRecord {
            time_unix_nano: record.time_unix_nano,
            observed_time_unix_nano: record.observed_time_unix_nano,
            severity_number: i32::from(record.severity_number),
            severity_text: record.severity_text.to_owned(),
            body: Some(text(&record.body)),
            trace_id: record.trace_id.map(|id| id.to_vec()).unwrap_or_default(),
            span_id: record.span_id.map(|id| id.to_vec()).unwrap_or_default(),
            event_name: record.event_name.to_owned(),
            ..LogRecord::default()
        };
    }

    fn attr_str(&mut self, key: &'static str, value: &str) {
        self.attribute(key, Value::StringValue(value.to_owned()));
    }

    fn attr_int(&mut self, key: &'static str, value: i64) {
        self.attribute(key, Value::IntValue(value));
    }

    fn attr_f64(&mut self, key: &'static str, value: f64) {
        self.attribute(key, Value::DoubleValue(value));
    }

    fn attr_str_list(&mut self, key: &'static str, values: &[Cow<'_, str>]) {
        let values = values.iter().map(|value| text(value)).collect();
        let list = opentelemetry_proto::tonic::common::v1::ArrayValue { values };
        self.attribute(key, Value::ArrayValue(list));
    }
}

fn otlp(form: Form, resource: &[(&str, &str)]) -> OtlpEncoder {
    let agent = Agent { version: "0.0.0".to_owned(), ..Agent::default() };
    let resource: Vec<(String, String)> =
        resource.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    OtlpEncoder::new(form, encoder(Encoding::OtlpJson), &agent, &resource)
}

/// The pieces of all events, and what they must say.
fn pieces(otlp: &OtlpEncoder, batches: &[EventBatch]) -> (Vec<Vec<u8>>, Vec<Model>) {
    let (mut pieces, mut models) = (Vec::new(), Vec::new());
    for batch in batches {
        let opened = otlp.encoder().open(&batch.origin);
        for event in batch.events() {
            for record in opened.records(&event) {
                let (mut piece, mut model) = (Vec::new(), Model::default());
                otlp.event(&opened, &record, NOW, Shrink::NONE, &mut piece);
                opened.visit_otel(&record, NOW, Shrink::NONE, &mut model);
                pieces.push(piece);
                models.push(model);
            }
        }
    }
    for alert in super::alerts::alerts() {
        let (mut piece, mut model) = (Vec::new(), Model::default());
        otlp.alert(&alert, Shrink::NONE, &mut piece);
        otlp.encoder().visit_alert_otel(&alert, Shrink::NONE, &mut model);
        pieces.push(piece);
        models.push(model);
    }
    (pieces, models)
}

fn assemble(otlp: &OtlpEncoder, pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Vec::new();
    otlp.assemble(pieces.iter().map(|piece| Piece::of(piece)), &mut request);
    request
}

/// The records of a request, with the resources they stand under, which must be told once each.
fn decoded(request: &[u8]) -> Vec<(Vec<KeyValue>, LogRecord)> {
    let request = ExportLogsServiceRequest::decode(request).expect("a request");
    let mut records = Vec::new();
    for logs in request.resource_logs {
        let resource = logs.resource.expect("a resource").attributes;
        assert_eq!((SCHEMA_URL, 1), (logs.schema_url.as_str(), logs.scope_logs.len()));
        let told = records.iter().any(|(other, _)| *other == resource);
        assert!(!told, "{resource:?} is told twice");
        for scoped in logs.scope_logs {
            let scope = scoped.scope.expect("a scope");
            assert_eq!(("gatewatch", "0.0.0"), (scope.name.as_str(), scope.version.as_str()));
            assert_eq!(SCHEMA_URL, scoped.schema_url);
            assert!(!scoped.log_records.is_empty());
            records.extend(scoped.log_records.into_iter().map(|r| (resource.clone(), r)));
        }
    }
    records
}

/// The attributes of the first resource of a request.
fn decoded_resource(request: &[u8]) -> Vec<KeyValue> {
    let request = ExportLogsServiceRequest::decode(request).expect("a request");
    request.resource_logs[0].resource.clone().expect("a resource").attributes
}

fn key<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::StringValue(text) => vec![text],
        Value::ArrayValue(list) => {
            list.values.iter().flat_map(|value| texts(value.value.as_ref().expect("it"))).collect()
        }
        _ => Vec::new(),
    }
}

/// What must hold for every record, whatever is in it.
fn check_record(record: &LogRecord) {
    assert!(record.attributes.len() <= 128, "{} attributes", record.attributes.len());
    let mut keys: Vec<&str> = record.attributes.iter().map(|a| a.key.as_str()).collect();
    keys.sort_unstable();
    let count = keys.len();
    keys.dedup();
    assert_eq!(count, keys.len(), "a key is there twice: {record:?}");
    for attribute in &record.attributes {
        for text in texts(key(&record.attributes, &attribute.key).expect("a value")) {
            assert!(!text.is_empty(), "{} is empty", attribute.key);
            assert!(text.chars().count() <= 4096, "{} is too long", attribute.key);
        }
    }
    assert_ne!(0, record.observed_time_unix_nano);
    assert!((1..=24).contains(&record.severity_number));
    assert!(record.event_name.starts_with("gatewatch."));
}

/// Each model stands in the request, in the order of its resource.
fn check_same(request: &[u8], models: &[Model]) {
    let records = decoded(request);
    assert_eq!(models.len(), records.len());
    let mut left: Vec<&Model> = models.iter().collect();
    for (resource, record) in records {
        check_record(&record);
        let service = match key(&resource, "service.name") {
            Some(Value::StringValue(name)) => name.clone(),
            other => panic!("service.name is {other:?}"),
        };
        let is_it = |model: &&Model| match model.service.as_str() {
            "" => service == "gatewatch",
            own => service == own,
        };
        let place = left.iter().position(is_it).expect("a record of that service");
        let model = left.remove(place);
        let host = key(&resource, "host.name").map(|value| texts(value)[0]).unwrap_or_default();
        assert_eq!(model.host, host);
        assert_eq!(model.record, record);
    }
}

/// A value in JSON.
fn value(json: &serde_json::Value) -> AnyValue {
    let (kind, inner) = json.as_object().and_then(|map| map.iter().next()).expect("a value");
    let value = match kind.as_str() {
        "stringValue" => Value::StringValue(inner.as_str().expect("a text").to_owned()),
        "intValue" => Value::IntValue(inner.as_str().expect("a text").parse().expect("a number")),
        "doubleValue" => Value::DoubleValue(inner.as_f64().expect("a number")),
        "arrayValue" => Value::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue {
            values: inner["values"].as_array().expect("a list").iter().map(value).collect(),
        }),
        other => panic!("a value of kind {other}"),
    };
    AnyValue { value: Some(value) }
}

/// JSON as the same types: whole numbers are texts, identifiers hexadecimal.
fn from_json(request: &[u8]) -> Vec<u8> {
    let request: serde_json::Value = serde_json::from_slice(request).expect("JSON");
    let string = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &serde_json::Value| string(value).parse::<u64>().expect("a number");
    let attributes = |json: &serde_json::Value| -> Vec<KeyValue> {
        let pairs = json.as_array().expect("attributes").iter();
        let pair = |pair: &serde_json::Value| KeyValue {
            key: string(&pair["key"]),
            value: Some(value(&pair["value"])),
            ..KeyValue::default()
        };
        pairs.map(pair).collect()
    };
    let hex = |json: &serde_json::Value| -> Vec<u8> {
        let text = string(json);
        (0..text.len() / 2)
            .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("digits"))
            .collect()
    };
    let mut out = ExportLogsServiceRequest::default();
    for logs in request["resourceLogs"].as_array().expect("resources") {
        let mut resource_logs = opentelemetry_proto::tonic::logs::v1::ResourceLogs {
            schema_url: string(&logs["schemaUrl"]),
            resource: Some(opentelemetry_proto::tonic::resource::v1::Resource {
                attributes: attributes(&logs["resource"]["attributes"]),
                ..Default::default()
            }),
            ..Default::default()
        };
        for scoped in logs["scopeLogs"].as_array().expect("scopes") {
            let record = |record: &serde_json::Value| LogRecord {
                time_unix_nano: number(&record["timeUnixNano"]),
                observed_time_unix_nano: number(&record["observedTimeUnixNano"]),
                severity_number: record["severityNumber"].as_i64().expect("a number") as i32,
                severity_text: string(&record["severityText"]),
                event_name: string(&record["eventName"]),
                body: Some(value(&record["body"])),
                trace_id: hex(&record["traceId"]),
                span_id: hex(&record["spanId"]),
                attributes: attributes(&record["attributes"]),
                ..LogRecord::default()
            };
            let records = scoped["logRecords"].as_array().expect("records");
            resource_logs.scope_logs.push(opentelemetry_proto::tonic::logs::v1::ScopeLogs {
                scope: Some(opentelemetry_proto::tonic::common::v1::InstrumentationScope {
                    name: string(&scoped["scope"]["name"]),
                    version: string(&scoped["scope"]["version"]),
                    ..Default::default()
                }),
                schema_url: string(&scoped["schemaUrl"]),
                log_records: records.iter().map(record).collect(),
            });
        }
        out.resource_logs.push(resource_logs);
    }
    out.encode_to_vec()
}

#[test]
fn events_and_alerts_say_the_same_in_both_forms() {
    let batches: Vec<EventBatch> = INPUTS.iter().map(|input| input.batch()).collect();
    let protobuf = otlp(Form::Protobuf, &[]);
    let (made, models) = pieces(&protobuf, &batches);
    assert!(15 < made.len());
    let request = assemble(&protobuf, &made);
    check_same(&request, &models);
    for (piece, model) in made.iter().zip(&models) {
        let uid = key(&model.record.attributes, "log.record.uid").expect("an id");
        assert_eq!(texts(uid)[0].as_bytes(), Piece::of(piece).id);
    }
    // Not a byte more than the library itself needs.
    let again = ExportLogsServiceRequest::decode(&*request).expect("a request").encode_to_vec();
    assert_eq!(again.len(), request.len());

    let json = otlp(Form::Json, &[]);
    let (made, models) = pieces(&json, &batches);
    check_same(&from_json(&assemble(&json, &made)), &models);
}

#[test]
fn what_was_configured_about_the_resource_is_on_every_one() {
    let given = [
        ("service.name", "edge"),
        ("host.name", "elsewhere.example.org"),
        ("deployment.environment.name", "production"),
        ("service.namespace", ""),
    ];
    for form in [Form::Protobuf, Form::Json] {
        let otlp = otlp(form, &given);
        let (named, _) = pieces(&otlp, &[INPUTS[0].batch(), made(b"x", |_| ())]);
        let request = assemble(&otlp, &named);
        let request = if form == Form::Json { from_json(&request) } else { request };
        for (resource, _) in decoded(&request) {
            let read = |name: &str| key(&resource, name).map(|value| texts(value)[0].to_owned());
            assert_eq!(Some("production".to_owned()), read("deployment.environment.name"));
            assert_eq!(None, read("service.namespace"));
            // A record that names its own keeps it.
            assert_eq!(Some("web1.example.org".to_owned()), read("host.name"));
            assert_ne!(Some("edge".to_owned()), read("service.name"));
        }
        let mut unnamed = made(b"x", |_| ());
        unnamed.refill(Arc::new(Origin::default()), b"x".to_vec());
        let (raw, mut writer) = unnamed.open();
        writer.set_line(raw);
        writer.finish();
        let (pieces, _) = pieces(&otlp, &[unnamed]);
        let request = assemble(&otlp, &pieces[..1]);
        let request = if form == Form::Json { from_json(&request) } else { request };
        let resource = &decoded_resource(&request);
        for (name, expected) in [("service.name", "edge"), ("host.name", "elsewhere.example.org")] {
            assert_eq!(Some(vec![expected]), key(resource, name).map(texts));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_field_are_decoded_as_they_were_meant(
        rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
        repeat in prop_oneof![4 => Just(1_usize), 1 => 20_usize..60],
    ) {
        let batches: Vec<EventBatch> = rows
            .iter()
            .map(|bytes| {
                let long = bytes.repeat(repeat);
                made(&long, |writer| {
                    for field in [
                        Field::User, Field::Path, Field::Target, Field::Query, Field::UserAgent,
                        Field::Referrer, Field::Domain, Field::Forwarded, Field::RequestId,
                        Field::Method, Field::Service, Field::TraceId, Field::Error,
                    ] {
                        writer.set(field, &long);
                    }
                    writer.row.status = 503;
                })
            })
            .collect();
        let protobuf = otlp(Form::Protobuf, &[]);
        let (made, models) = pieces(&protobuf, &batches);
        check_same(&assemble(&protobuf, &made), &models);
        let json = otlp(Form::Json, &[]);
        let (made, models) = pieces(&json, &batches);
        check_same(&from_json(&assemble(&json, &made)), &models);
        // Any part of them is a request, too.
        let half = made.len() / 2;
        check_same(&from_json(&assemble(&json, &made[half..])), &models[half..]);
    }
}
