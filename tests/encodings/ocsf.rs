//! Objects of OCSF held to the schema: every attribute is in its class or object and has its type,
//! required ones are there, values of enumerations are allowed and have their captions, what follows
//! from others does, and an observable is found where its name points to.
//!
//! The schema is `schema/ocsf_1_8_0.txt`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gatewatch::engine::batch::Field;
use gatewatch::engine::field::FIELDS;
use gatewatch::engine::render::{Encoding, Shrink};
use serde_json::{Map, Value};

use super::events::{INPUTS, encoder, made, records};
use super::{alerts, hostile};

const TEXT: &str = include_str!("schema/ocsf_1_8_0.txt");

struct Attribute {
    kind: &'static str,
    is_list: bool,
    is_required: bool,
    /// Allowed values and their captions.
    values: BTreeMap<u64, &'static str>,
}

#[derive(Default)]
struct Object {
    attributes: BTreeMap<&'static str, Attribute>,
    at_least_one: Vec<&'static str>,
}

struct Schema(BTreeMap<&'static str, Object>);

impl Schema {
    fn read() -> Self {
        let mut objects: BTreeMap<&str, Object> = BTreeMap::new();
        let mut current = "";
        for line in TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(head) = line.strip_prefix('[') {
                let (name, rest) = head.split_once(']').expect("the end of a head");
                let names = rest.trim().strip_prefix("at_least_one=").unwrap_or_default();
                let at_least_one = names.split(',').filter(|name| !name.is_empty()).collect();
                objects.insert(name, Object { at_least_one, ..Object::default() });
                current = name;
                continue;
            }
            let (name, attribute) = attribute(line);
            objects.get_mut(current).expect("a section").attributes.insert(name, attribute);
        }
        assert!(objects.contains_key("class 4002") && 20 < objects.len());
        Self(objects)
    }

    /// Checks one record; its class.
    #[track_caller]
    fn check(&self, line: &str) -> u64 {
        let event: Value = serde_json::from_str(line).expect("a JSON object");
        let class = event["class_uid"].as_u64().expect("a class");
        self.check_object("", &event, &format!("class {class}"), line);
        let activity = event["activity_id"].as_u64().expect("an activity");
        assert_eq!(Some(class * 100 + activity), event["type_uid"].as_u64(), "{line}");
        assert_eq!(Some(class / 1000), event["category_uid"].as_u64(), "{line}");
        let names = [&event["class_name"], &event["activity_name"]].map(|name| name.as_str());
        let type_name = names.map(|name| name.expect("a name")).join(": ");
        assert_eq!(type_name, event["type_name"], "{line}");
        check_profiles(&event, line);
        check_observables(&event, line);
        class
    }

    fn check_object(&self, path: &str, value: &Value, object: &str, line: &str) {
        let members = value.as_object().unwrap_or_else(|| panic!("{path} is no object: {line}"));
        let schema = self.0.get(object);
        let schema = schema.unwrap_or_else(|| panic!("{path}: the table has no {object}"));
        for (name, attribute) in &schema.attributes {
            let is_there = !attribute.is_required || members.contains_key(*name);
            assert!(is_there, "{path} lacks {name}: {line}");
        }
        let names = &schema.at_least_one;
        let any = names.is_empty() || names.iter().any(|name| members.contains_key(*name));
        assert!(any, "{path} has none of {names:?}: {line}");
        for (name, value) in members {
            let path = format!("{path}.{name}");
            let attribute = schema.attributes.get(name.as_str());
            let attribute = attribute.unwrap_or_else(|| panic!("{path} is unknown: {line}"));
            match (attribute.is_list, value.as_array()) {
                (true, Some(items)) => {
                    assert!(!items.is_empty(), "{path} is empty: {line}");
                    for item in items {
                        self.check_value(&path, item, attribute, line);
                    }
                }
                (false, None) => self.check_value(&path, value, attribute, line),
                _ => panic!("{path}: a list where the schema has none, or none: {line}"),
            }
            check_caption(&path, name, value, attribute, members, line);
        }
    }

    fn check_value(&self, path: &str, value: &Value, attribute: &Attribute, line: &str) {
        let text = value.as_str();
        let whole = value.as_i64();
        let fits = match attribute.kind {
            "ip_t" => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
            "integer_t" => whole.is_some_and(|number| i32::try_from(number).is_ok()),
            "port_t" => whole.is_some_and(|number| u16::try_from(number).is_ok()),
            "long_t" | "timestamp_t" => whole.is_some(),
            "boolean_t" => value.is_boolean(),
            "json_t" => true,
            // Words of other names, such as `username_t`.
            other if other.ends_with("_t") => text.is_some(),
            // What the schema has no place for.
            "object" => value.as_object().is_some_and(|members| !members.is_empty()),
            object => return self.check_object(path, value, object, line),
        };
        assert!(fits, "{path} is no {}: {value} in {line}", attribute.kind);
        let values = &attribute.values;
        let is_allowed =
            values.is_empty() || value.as_u64().is_some_and(|id| values.contains_key(&id));
        assert!(is_allowed, "{path} may not be {value}: {line}");
    }
}

fn attribute(line: &'static str) -> (&'static str, Attribute) {
    let mut words = line.splitn(3, ' ');
    let (name, kind) = (words.next().expect("a name"), words.next().expect("a type"));
    let (name, is_required) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
    let (kind, is_list) = kind.strip_suffix("[]").map_or((kind, false), |kind| (kind, true));
    let values = words.next().unwrap_or_default();
    let values = values.split('|').filter_map(|value| value.split_once(':'));
    let values = values.map(|(id, caption)| (id.parse().expect("a number"), caption)).collect();
    (name, Attribute { kind, is_list, is_required, values })
}

/// The caption of an identifier stands beside it; 99 is for words that the schema does not know.
fn check_caption(
    path: &str,
    name: &str,
    value: &Value,
    attribute: &Attribute,
    members: &Map<String, Value>,
    line: &str,
) {
    let caption = match name {
        "activity_id" => "activity_name".to_owned(),
        "category_uid" | "class_uid" => name.replace("_uid", "_name"),
        _ => name.trim_end_matches("_id").to_owned(),
    };
    if caption == name || attribute.values.is_empty() || value == 99 {
        return;
    }
    if let Some(actual) = members.get(&caption) {
        let id = value.as_u64().expect("an identifier");
        assert_eq!(attribute.values[&id], actual, "{path}: {line}");
    }
}

/// Attributes of a profile come with its name.
fn check_profiles(event: &Value, line: &str) {
    let profiles = event["metadata"]["profiles"].as_array().cloned().unwrap_or_default();
    let has = |name: &str| profiles.iter().any(|profile| profile == name);
    // A finding has a device of its own.
    let is_finding = event["class_uid"] == 2004;
    assert!(event["device"].is_null() || is_finding || has("host"), "{line}");
    assert!(event["action_id"].is_null() || has("security_control"), "{line}");
}

fn check_observables(event: &Value, line: &str) {
    for observable in event["observables"].as_array().into_iter().flatten() {
        let path = observable["name"].as_str().expect("a name");
        let mut found = vec![event];
        for step in path.split('.') {
            let name = step.trim_end_matches("[]");
            let below = found.iter().map(|value| &value[name]);
            found = match step.ends_with("[]") {
                true => below.filter_map(Value::as_array).flatten().collect(),
                false => below.collect(),
            };
        }
        assert!(found.contains(&&observable["value"]), "{path} has no such value: {line}");
    }
}

fn steps() -> impl Iterator<Item = Shrink> {
    std::iter::successors(Some(Shrink::NONE), |shrink| shrink.next())
}

#[test]
fn every_event_and_alert_fits_its_class() {
    let schema = Schema::read();
    let mut classes = Vec::new();
    for batch in INPUTS.iter().map(super::events::Input::batch) {
        for shrink in steps() {
            let lines = records(&encoder(Encoding::Ocsf), &batch, shrink);
            classes.extend(lines.iter().map(|line| schema.check(line)));
        }
    }
    for alert in alerts::alerts().into_iter().chain([alerts::of_text("192.0.2.7")]) {
        for shrink in steps() {
            classes.push(schema.check(&alerts::shrunk(Encoding::Ocsf.entry(), &alert, shrink)));
        }
    }
    for class in [4002, 3002, 2004, 6008] {
        assert!(classes.contains(&class), "no event of class {class}");
    }
}

#[test]
fn whatever_a_log_says_in_a_field_fits_the_class() {
    let schema = Schema::read();
    let every: Vec<Field> = FIELDS.iter().map(|entry| entry.field).collect();
    let huge = u64::MAX.to_string();
    let over = (u64::from(u32::MAX) + 1).to_string();
    let addresses = ["192.0.2.7", "[2001:db8::7]:443", "192.0.2.7:80", "fe80::1%eth0"];
    let others = ["7", "-1", "1.3", "a b", "GET", "BREW", &huge, &over, "70000"];
    for value in addresses.into_iter().chain(others) {
        let single = every.iter().map(std::slice::from_ref);
        for fields in single.chain([every.as_slice(), hostile::FIELDS]) {
            for status in [0, 200] {
                check_fields(&schema, fields, value, status);
            }
        }
    }
}

fn check_fields(schema: &Schema, fields: &[Field], value: &str, status: u16) {
    let batch = made(b"x", |writer| {
        for field in fields {
            writer.set(*field, value.as_bytes());
        }
        writer.row.status = status;
        writer.row.bytes = Some(u64::MAX);
        writer.row.duration_ns = Some(u64::MAX);
        writer.row.count = u32::MAX;
        writer.row.client = "192.0.2.9".parse().ok();
    });
    for shrink in steps() {
        for line in records(&encoder(Encoding::Ocsf), &batch, shrink) {
            schema.check(&line);
        }
    }
}

#[test]
fn the_second_record_of_a_log_in_names_the_first() {
    let batch = INPUTS[0].batch();
    let lines = records(&encoder(Encoding::Ocsf), &batch, Shrink::NONE);
    let first: Value = serde_json::from_str(&lines[0]).expect("a JSON object");
    let second: Value = serde_json::from_str(&lines[1]).expect("a JSON object");
    assert_eq!(4002, first["class_uid"]);
    assert_eq!(3002, second["class_uid"]);
    assert_eq!(first["metadata"]["uid"], second["metadata"]["correlation_uid"]);
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    assert_eq!("bob", second["user"]["name"]);
    let named = batch.event(0).field(Field::User);
    assert_eq!(Some(&b"bob"[..]), named);
}
