//! Objects of ECS held to the list of fields of version 8.11.0: every name is in it and has its type.
//!
//! The list is `schema/ecs_8_11_0.txt`. What is ours stands under `gatewatch.`, `labels.` or in `OURS`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gatewatch::engine::batch::Field;
use gatewatch::engine::field::FIELDS;
use gatewatch::engine::render::{Encoding, Shrink};
use serde_json::Value;

use super::events::{INPUTS, encoder, made, records};
use super::{alerts, hostile};

/// The additions that ARCHITECTURE.md tells of, all numbers.
const OURS: &[&str] = &["event.count", "log.offset"];

const LIST: &str = include_str!("schema/ecs_8_11_0.txt");

struct Kind {
    name: &'static str,
    is_list: bool,
    allowed: Vec<&'static str>,
}

struct Schema {
    fields: BTreeMap<&'static str, Kind>,
    required: Vec<&'static str>,
    /// What `event.type` may be, by category.
    types: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Schema {
    fn read() -> Self {
        let mut schema =
            Self { fields: BTreeMap::new(), required: Vec::new(), types: BTreeMap::new() };
        for line in LIST.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.splitn(3, ' ');
            let (name, rest) = (words.next().expect("a name"), words.next().expect("a type"));
            if let Some(category) = name.strip_prefix("category:") {
                schema.types.insert(category, rest.split('|').collect());
                continue;
            }
            let (kind, required) =
                rest.strip_suffix('!').map_or((rest, false), |kind| (kind, true));
            let (kind, is_list) =
                kind.strip_suffix("[]").map_or((kind, false), |kind| (kind, true));
            let allowed = words.next().map(|words| words.split('|').collect()).unwrap_or_default();
            schema.fields.insert(name, Kind { name: kind, is_list, allowed });
            if required {
                schema.required.push(name);
            }
        }
        assert!(200 < schema.fields.len() && schema.types.contains_key("web"));
        schema
    }

    fn check(&self, line: &str) {
        let event: Value = serde_json::from_str(line).expect("a JSON object");
        for name in &self.required {
            let pointer = format!("/{}", name.replace('.', "/"));
            assert!(event.pointer(&pointer).is_some(), "{name} is missing in {line}");
        }
        self.check_object("", &event, line);
        let types = strings(&event["event"]["type"]);
        let categories = strings(&event["event"]["category"]);
        for kind in &types {
            let fits = |category: &&str| self.types[category].contains(kind);
            assert!(categories.iter().any(fits), "{kind} fits none of {categories:?}: {line}");
        }
        for category in &categories {
            let fits = |kind: &&str| self.types[category].contains(kind);
            assert!(types.iter().any(fits), "{category} has none of {types:?}: {line}");
        }
    }

    fn check_object(&self, path: &str, value: &Value, line: &str) {
        for (name, value) in value.as_object().expect("an object") {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if path == "gatewatch" {
                continue;
            }
            match self.fields.get(path.as_str()) {
                Some(kind) => check_field(&path, value, kind, line),
                None if OURS.contains(&path.as_str()) => assert!(value.is_u64(), "{path}: {line}"),
                None if value.is_object() => self.check_object(&path, value, line),
                None => panic!("{path} is no field of ECS 8.11: {line}"),
            }
        }
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn check_field(path: &str, value: &Value, kind: &Kind, line: &str) {
    let Some(items) = value.as_array() else {
        assert!(!kind.is_list, "{path} is no list: {line}");
        return check_value(path, value, kind, line);
    };
    // An alert may know several addresses, users, sites and paths, an event only several rules.
    let is_several = (line.contains(r#""kind":"alert""#) && 1 < items.len())
        || matches!(path, "rule.id" | "rule.name");
    assert!((kind.is_list || is_several) && !items.is_empty(), "{path} is a list: {line}");
    for item in items {
        check_value(path, item, kind, line);
    }
}

fn check_value(path: &str, value: &Value, kind: &Kind, line: &str) {
    let text = value.as_str();
    let fits = match kind.name {
        "keyword" | "constant_keyword" | "wildcard" | "match_only_text" => text.is_some(),
        "long" => value.as_i64().is_some(),
        "float" => value.is_number(),
        "boolean" => value.is_boolean(),
        "ip" => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        "date" => text.is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        "geo_point" => [("lat", 90.0), ("lon", 180.0)]
            .iter()
            .all(|(name, most)| value[name].as_f64().is_some_and(|degrees| degrees.abs() <= *most)),
        "object" => value.as_object().is_some_and(|labels| labels.values().all(Value::is_string)),
        other => panic!("{path} has the type {other}, of which this test knows nothing"),
    };
    assert!(fits, "{path} is no {}: {value} in {line}", kind.name);
    let allowed = kind.allowed.is_empty() || text.is_some_and(|text| kind.allowed.contains(&text));
    assert!(allowed, "{path} may not be {value}: {line}");
}

const ENCODINGS: [Encoding; 2] = [Encoding::Ecs, Encoding::EcsCompact];

fn steps() -> impl Iterator<Item = Shrink> {
    std::iter::successors(Some(Shrink::NONE), |shrink| shrink.next())
}

#[test]
fn every_field_of_an_event_is_in_the_list_and_has_its_type() {
    let schema = Schema::read();
    for encoding in ENCODINGS {
        for batch in INPUTS.iter().map(super::events::Input::batch) {
            for shrink in steps() {
                for line in records(&encoder(encoding), &batch, shrink) {
                    schema.check(&line);
                }
            }
        }
    }
}

#[test]
fn every_field_of_an_alert_is_in_the_list_and_has_its_type() {
    let schema = Schema::read();
    for encoding in ENCODINGS {
        for alert in alerts::alerts().into_iter().chain([alerts::of_text("192.0.2.7")]) {
            for shrink in steps() {
                schema.check(&alerts::shrunk(encoding.entry(), &alert, shrink));
            }
        }
    }
}

#[test]
fn whatever_a_log_says_in_a_field_has_the_type_of_the_list() {
    let schema = Schema::read();
    let huge = u64::MAX.to_string();
    let addresses =
        ["192.0.2.7", "2001:db8::7", "[2001:db8::7]:443", "192.0.2.7:80", "fe80::1%eth0"];
    let others = ["7", "-1", "1.3", "95", "a b", "true", "\u{202e}", &huge];
    for value in addresses.into_iter().chain(others) {
        for field in FIELDS.iter().map(|entry| entry.field) {
            check_field_with(&schema, &[field], value);
        }
        let all: Vec<Field> = FIELDS.iter().map(|entry| entry.field).collect();
        check_field_with(&schema, &all, value);
        check_field_with(&schema, hostile::FIELDS, value);
    }
}

fn check_field_with(schema: &Schema, fields: &[Field], value: &str) {
    for status in [0, 200] {
        let batch = made(b"x", |writer| {
            for field in fields {
                writer.set(*field, value.as_bytes());
            }
            writer.row.status = status;
            writer.row.bytes = Some(u64::MAX);
            writer.row.duration_ns = Some(u64::MAX);
            writer.row.client = "192.0.2.9".parse().ok();
        });
        for encoding in ENCODINGS {
            for line in records(&encoder(encoding), &batch, Shrink::NONE) {
                schema.check(&line);
            }
        }
    }
}
