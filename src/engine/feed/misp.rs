//! Events of MISP: attributes that are meant for detection (`to_ids`), one after the other.
//!
//! An event says about itself what it is before or after its attributes, in any order of keys. So it
//! is read twice: for its header, then for its attributes; neither time is the whole of it in memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::build::Builder;
use super::kind::Taken;
use super::moment::second;
use super::notes::{About, Tlp};

/// What an event says about all of its attributes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Header {
    info: String,
    uuid: String,
    tlp: Tlp,
    /// There is an event, or a list of attributes.
    found: bool,
}

/// Events and attributes in each other; real ones are three deep.
const DEPTH_MAX: usize = 16;

/// Reads what the event in `input` says about itself.
pub fn read_header<'de, D: Deserializer<'de>>(input: D) -> Result<Header, D::Error> {
    let mut header = Header::default();
    Walk { depth: 0, what: &mut What::Header(&mut header) }.deserialize(input)?;
    if header.found {
        Ok(header)
    } else {
        Err(serde::de::Error::custom("there is no `Event` and no `Attribute` in it"))
    }
}

/// Reads the attributes of the event in `input`, about which `header` was read.
pub fn read_attributes<'de, D: Deserializer<'de>>(
    input: D,
    header: &Header,
    out: &mut Builder,
) -> Result<(), D::Error> {
    Walk { depth: 0, what: &mut What::Attributes(header, out) }.deserialize(input)
}

/// What is looked for.
enum What<'w> {
    Header(&'w mut Header),
    Attributes(&'w Header, &'w mut Builder),
}

/// Walks over events, objects and lists of them.
struct Walk<'w, 'h> {
    depth: usize,
    what: &'w mut What<'h>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        if DEPTH_MAX < self.depth {
            return Err(serde::de::Error::custom("events stand in each other too deep"));
        }
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event of MISP")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let depth = self.depth + 1;
            match (&*key, &mut *self.what) {
                ("Event" | "Object" | "response", what) => {
                    if let ("Event", What::Header(header)) = (&*key, &mut *what) {
                        header.found = true;
                    }
                    map.next_value_seed(Walk { depth, what })?;
                }
                ("Attribute", What::Header(header)) => {
                    header.found = true;
                    map.next_value::<IgnoredAny>()?;
                }
                ("Attribute", What::Attributes(header, out)) => {
                    map.next_value_seed(Attributes { header, out })?;
                }
                ("info", What::Header(header)) => set(&mut header.info, map.next_value()?),
                ("uuid", What::Header(header)) => set(&mut header.uuid, map.next_value()?),
                ("Tag", What::Header(header)) => {
                    header.tlp = header.tlp.max(tlp(&map.next_value()?));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let depth = self.depth + 1;
        while seq.next_element_seed(Walk { depth, what: &mut *self.what })?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The outermost event speaks for all.
fn set(place: &mut String, value: Json) {
    if let (true, Json::String(text)) = (place.is_empty(), value) {
        *place = text;
    }
}

struct Attributes<'w, 'h> {
    header: &'h Header,
    out: &'w mut Builder,
}

impl<'de> DeserializeSeed<'de> for Attributes<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Attributes<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of attributes")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let mut number: u64 = 0;
        while let Some(attribute) = seq.next_element::<Json>()? {
            number += 1;
            if !self.out.is_full() {
                take(&attribute, number, self.header, self.out);
            }
        }
        Ok(())
    }
}

fn take(attribute: &Json, number: u64, header: &Header, out: &mut Builder) {
    let text = |key: &str| attribute[key].as_str().unwrap_or_default();
    let is_meant = attribute["to_ids"] == true || matches!(text("to_ids"), "1" | "true");
    let is_deleted = attribute["deleted"] == true || matches!(text("deleted"), "1" | "true");
    if !is_meant || is_deleted {
        return out.leave_out();
    }
    let place = match text("uuid") {
        "" => format!("attribute {number}"),
        uuid => uuid.to_owned(),
    };
    let Some(values) = values(text("type"), text("value")) else {
        return out.unsupported(place, "its type is about something that no log has");
    };
    let comment = text("comment");
    let description = match (header.info.as_str(), comment) {
        (info, "") => info.to_owned(),
        ("", comment) => comment.to_owned(),
        (info, comment) => format!("{info}: {comment}"),
    };
    let moment = |key: &str| match &attribute[key] {
        Json::Number(number) => second(number.to_string().as_bytes()),
        Json::String(text) => second(text.as_bytes()),
        _ => None,
    };
    let about = About {
        description,
        reference: header.uuid.clone(),
        since: moment("first_seen").or_else(|| moment("timestamp")).unwrap_or(0),
        tlp: header.tlp.max(tlp(&attribute["Tag"])),
        ..out.about()
    };
    let note = out.notes().shared(about);
    for (value, taken) in values {
        if let Err(reason) = out.add(value.as_bytes(), taken, note) {
            out.refuse(place.clone(), reason);
        }
    }
}

/// The strictest mark among tags.
fn tlp(tags: &Json) -> Tlp {
    let tags = tags.as_array().into_iter().flatten();
    let names = tags.filter_map(|tag| tag["name"].as_str());
    let marks = names.filter(|name| name.to_ascii_lowercase().starts_with("tlp:"));
    marks.filter_map(Tlp::named).max().unwrap_or_default()
}

/// What an attribute of type `kind` stands for; of one of two parts those that logs hold.
fn values<'v>(kind: &str, value: &'v str) -> Option<Vec<(&'v str, Taken)>> {
    let (first, second) = value.split_once('|').unwrap_or((value, ""));
    let one = |value, taken| Some(vec![(value, taken)]);
    match kind {
        "ip-src" | "ip-dst" => one(value, Taken::Ip),
        "ip-src|port" | "ip-dst|port" => one(first, Taken::Ip),
        "domain" | "hostname" => one(value, Taken::Domain),
        "hostname|port" => one(first, Taken::Domain),
        "domain|ip" => Some(vec![(first, Taken::Domain), (second, Taken::Ip)]),
        "url" | "link" => one(value, Taken::Url),
        // A URI is a path where it begins like one.
        "uri" if value.starts_with('/') => one(value, Taken::Path),
        "uri" => one(value, Taken::Url),
        "user-agent" | "http-user-agent" => one(value, Taken::UserAgent),
        "md5" | "sha1" | "sha256" | "ja3-fingerprint-md5" => one(value, Taken::Hash),
        "filename|md5" | "filename|sha1" | "filename|sha256" => one(second, Taken::Hash),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_two_parts_is_split() {
        let both = vec![("evil.example", Taken::Domain), ("203.0.113.7", Taken::Ip)];
        assert_eq!(Some(both), values("domain|ip", "evil.example|203.0.113.7"));
        assert_eq!(Some(vec![("203.0.113.7", Taken::Ip)]), values("ip-dst|port", "203.0.113.7|80"));
        assert_eq!(None, values("mutex", "a"));
    }
}
