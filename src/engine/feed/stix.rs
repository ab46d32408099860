//! Bundles of STIX 2.1: its indicators, one after the other.
//!
//! Patterns are read as far as they say "this value or that one" about something that logs hold; a
//! pattern that asks for two things at once, or for a time between them, is counted as unsupported
//! (STIX 2.1, part 9). Of several versions of an indicator the newest counts, whatever their order.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::build::{Builder, hash_of};
use super::kind::Taken;
use super::moment::second;
use super::notes::{About, Tlp};

/// The markings of TLP by their ids (STIX 2.1, 7.2.1.4, and the definitions of TLP 2.0).
const MARKINGS: [(&str, Tlp); 9] = [
    ("marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
    ("marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
    ("marking-definition--f88d31f6-486f-44da-b317-01333bde0b82", Tlp::Amber),
    ("marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
    ("marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp::Clear),
    ("marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp::Green),
    ("marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp::Amber),
    ("marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp::Amber),
    ("marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp::Red),
];

/// Comparisons of one pattern at most.
const COMPARISONS_MAX: usize = 10_000;

/// Reads the bundle that `input` holds, object by object.
pub fn read<'de, D: Deserializer<'de>>(input: D, out: &mut Builder) -> Result<(), D::Error> {
    input.deserialize_any(Bundle { out, seen: Seen::default() })
}

/// The newest version of each indicator: when it was modified, and its note.
type Seen = HashMap<u64, (u64, Option<u32>)>;

struct Bundle<'b> {
    out: &'b mut Builder,
    seen: Seen,
}

impl<'de> Visitor<'de> for Bundle<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bundle with `objects`")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let Self { out, mut seen } = self;
        let mut objects = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "objects" {
                objects = true;
                map.next_value_seed(Objects { out, seen: &mut seen })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if objects { Ok(()) } else { Err(serde::de::Error::custom("there are no `objects` in it")) }
    }

    fn visit_seq<S: SeqAccess<'de>>(self, seq: S) -> Result<(), S::Error> {
        let Self { out, mut seen } = self;
        Objects { out, seen: &mut seen }.visit_seq(seq)
    }
}

struct Objects<'b> {
    out: &'b mut Builder,
    seen: &'b mut Seen,
}

impl<'de> serde::de::DeserializeSeed<'de> for Objects<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Objects<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<(), S::Error> {
        let mut number: u64 = 0;
        while let Some(object) = seq.next_element::<Json>()? {
            number += 1;
            if object["type"] == "indicator" && !self.out.is_full() {
                indicator(&object, number, self.seen, self.out);
            }
        }
        Ok(())
    }
}

fn indicator(object: &Json, number: u64, seen: &mut Seen, out: &mut Builder) {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let id = text("id");
    let place = if id.is_empty() { format!("object {number}") } else { id.to_owned() };
    // Where the id is missing each object stands for itself.
    let key = if id.is_empty() { number } else { hash_of(&ahash_of_ids(), &[id.as_bytes()]) };
    let modified = modified(text("modified"));
    if let Some((newest, note)) = seen.get(&key).copied() {
        if modified <= newest {
            return out.leave_out();
        }
        if let Some(note) = note {
            out.notes().withdraw(note);
        }
    }
    seen.insert(key, (modified, None));
    if object["revoked"] == true {
        return out.leave_out();
    }
    let Some(since) = second(text("valid_from").as_bytes()) else {
        return out.refuse(place, "`valid_from` is missing or no time");
    };
    let until = match object.get("valid_until") {
        None | Some(Json::Null) => out.about().until,
        Some(until) => match until.as_str().and_then(|until| second(until.as_bytes())) {
            Some(until) => until,
            None => return out.refuse(place, "`valid_until` is no time"),
        },
    };
    if !matches!(text("pattern_type"), "" | "stix") {
        return out.unsupported(place, "its `pattern_type` is not `stix`");
    }
    let about = About {
        description: description(object),
        reference: reference(object),
        since,
        until,
        starts: true,
        confidence: object["confidence"].as_u64().map(|number| number.min(100) as u8),
        tlp: tlp(object),
    };
    if out.is_unsure(&about) {
        return out.leave_out();
    }
    let Pattern { values, is_whole } = Pattern::read(text("pattern"));
    if values.is_empty() {
        return out
            .unsupported(place, "its pattern asks for more than one value, or for none in logs");
    }
    let note = out.notes().own(about);
    seen.insert(key, (modified, Some(note)));
    for (value, taken) in values {
        if let Err(reason) = out.add(value.as_bytes(), taken, note) {
            out.refuse(place.clone(), reason);
        }
    }
    if !is_whole {
        out.unsupported(place, "a part of its pattern is about something that no log has");
    }
}

/// Ids are compared within one bundle only, so nothing is gained by a secret.
fn ahash_of_ids() -> ahash::RandomState {
    ahash::RandomState::with_seeds(1, 2, 3, 4)
}

/// Nanoseconds, so that versions of the same second are told apart; 0 where it is no time.
fn modified(text: &str) -> u64 {
    let time: Option<jiff::Timestamp> = text.parse().ok();
    time.and_then(|time| u64::try_from(time.as_nanosecond()).ok()).unwrap_or(0)
}

fn description(object: &Json) -> String {
    let types = object["indicator_types"].as_array().into_iter().flatten();
    let types: Vec<&str> = types.filter_map(Json::as_str).collect();
    match (object["name"].as_str(), types.is_empty()) {
        (Some(name), true) => name.to_owned(),
        (Some(name), false) => format!("{name} ({})", types.join(", ")),
        (None, _) => types.join(", "),
    }
}

/// The first address where more is told, else the id.
fn reference(object: &Json) -> String {
    let references = object["external_references"].as_array().into_iter().flatten();
    let url = references.filter_map(|one| one["url"].as_str()).next();
    url.or_else(|| object["id"].as_str()).unwrap_or_default().to_owned()
}

fn tlp(object: &Json) -> Tlp {
    let marks = object["object_marking_refs"].as_array().into_iter().flatten();
    let known = marks.filter_map(|mark| {
        let mark = mark.as_str()?;
        MARKINGS.iter().find(|(id, _)| *id == mark).map(|(_, tlp)| *tlp)
    });
    known.max().unwrap_or_default()
}

/// What a pattern says.
#[derive(Debug, Default, Eq, PartialEq)]
struct Pattern {
    /// Any of these.
    values: Vec<(String, Taken)>,
    /// And nothing else.
    is_whole: bool,
}

impl Pattern {
    /// No value where the pattern asks for more than one of several.
    fn read(text: &str) -> Self {
        let mut reader =
            PatternReader { rest: text, found: Self { is_whole: true, ..Self::default() } };
        match reader.observations() {
            Some(()) => reader.found,
            None => Self::default(),
        }
    }
}

struct PatternReader<'p> {
    rest: &'p str,
    found: Pattern,
}

impl<'p> PatternReader<'p> {
    /// `[…] OR […]`, in brackets or not.
    fn observations(&mut self) -> Option<()> {
        loop {
            let mut depth = 0;
            while self.eat("(") {
                depth += 1;
            }
            self.sign("[")?;
            self.comparisons(0)?;
            self.sign("]")?;
            for _ in 0..depth {
                self.sign(")")?;
            }
            if self.rest.trim().is_empty() {
                return Some(());
            }
            self.word("OR")?;
        }
    }

    /// `a = 'x' OR b IN ('y', 'z')`; brackets may be around parts of it.
    fn comparisons(&mut self, depth: usize) -> Option<()> {
        loop {
            if depth < 8 && self.eat("(") {
                self.comparisons(depth + 1)?;
                self.sign(")")?;
            } else {
                self.comparison()?;
            }
            if self.word("OR").is_none() {
                return Some(());
            }
        }
    }

    fn comparison(&mut self) -> Option<()> {
        let path = self.path()?;
        let taken = taken_of(path);
        if self.eat("=") {
            let value = self.text()?;
            return self.take(value, taken);
        }
        if self.word("IN").is_some() {
            self.sign("(")?;
            loop {
                let value = self.text()?;
                self.take(value, taken)?;
                if !self.eat(",") {
                    return self.sign(")");
                }
            }
        }
        self.word("ISSUBSET")?;
        let value = self.text()?;
        // Only addresses have subsets.
        self.take(value, taken.filter(|taken| *taken == Taken::Ip))
    }

    fn take(&mut self, value: String, taken: Option<Taken>) -> Option<()> {
        match taken {
            Some(_) if COMPARISONS_MAX <= self.found.values.len() => return None,
            Some(taken) => self.found.values.push((value, taken)),
            None => self.found.is_whole = false,
        }
        Some(())
    }

    /// `network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'`
    fn path(&mut self) -> Option<&'p str> {
        let text = self.rest.trim_start();
        let mut quoted = false;
        let end = text.char_indices().find(|(_, sign)| {
            quoted ^= *sign == '\'';
            !quoted
                && (sign.is_whitespace() || matches!(sign, '=' | '!' | '<' | '>' | '(' | ')' | ']'))
        });
        let (path, rest) = text.split_at(end.map_or(text.len(), |(at, _)| at));
        self.rest = rest;
        path.contains(':').then_some(path)
    }

    /// `'a \' quote'`
    fn text(&mut self) -> Option<String> {
        let text = self.rest.trim_start().strip_prefix('\'')?;
        let mut value = String::new();
        let mut signs = text.char_indices();
        while let Some((at, sign)) = signs.next() {
            match sign {
                '\'' => {
                    self.rest = &text[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(signs.next().filter(|(_, sign)| matches!(sign, '\'' | '\\'))?.1),
                sign => value.push(sign),
            }
        }
        None
    }

    fn eat(&mut self, sign: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        rest.inspect(|rest| self.rest = rest).is_some()
    }

    fn sign(&mut self, sign: &str) -> Option<()> {
        self.eat(sign).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let text = self.rest.trim_start();
        let rest = text.strip_prefix(word)?;
        if rest.starts_with(|next: char| next.is_ascii_alphanumeric()) {
            return None;
        }
        self.rest = rest;
        Some(())
    }
}

/// What stands under an object path; nothing where no log has it.
fn taken_of(path: &str) -> Option<Taken> {
    Some(match path {
        "ipv4-addr:value"
        | "ipv6-addr:value"
        | "network-traffic:src_ref.value"
        | "network-traffic:dst_ref.value" => Taken::Ip,
        "domain-name:value" => Taken::Domain,
        "url:value" => Taken::Url,
        "user-account:user_id" | "user-account:account_login" => Taken::User,
        _ if path.starts_with("file:hashes.") => {
            let name = path["file:hashes.".len()..].trim_matches('\'');
            return matches!(name, "MD5" | "SHA-1" | "SHA-256").then_some(Taken::Hash);
        }
        _ => {
            let header = path.strip_prefix("network-traffic:extensions.'http-request-ext'.")?;
            let name = header.strip_prefix("request_header.")?.trim_matches('\'');
            return name.eq_ignore_ascii_case("User-Agent").then_some(Taken::UserAgent);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: &[(&str, Taken)], is_whole: bool) {
        let values = expected.iter().map(|(value, taken)| ((*value).to_owned(), *taken)).collect();
        assert_eq!(Pattern { values, is_whole }, Pattern::read(pattern), "{pattern}");
    }

    #[test]
    fn a_pattern_says_this_value_or_that_one() {
        check("[ipv4-addr:value = '203.0.113.7']", &[("203.0.113.7", Taken::Ip)], true);
        let two = [("203.0.113.7", Taken::Ip), ("203.0.113.8", Taken::Ip)];
        check("[ipv4-addr:value IN ('203.0.113.7','203.0.113.8')]", &two, true);
        check("[ipv4-addr:value='203.0.113.7' OR ipv4-addr:value = '203.0.113.8']", &two, true);
        check(
            "[ipv4-addr:value = '203.0.113.7'] OR ([ipv4-addr:value = '203.0.113.8'])",
            &two,
            true,
        );
        check("[(ipv4-addr:value = '203.0.113.7') OR ipv4-addr:value = '203.0.113.8']", &two, true);
        check("[ipv6-addr:value ISSUBSET '2001:db8::/32']", &[("2001:db8::/32", Taken::Ip)], true);
        let agent = "[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = 'it\\'s \\\\ me']";
        check(agent, &[("it's \\ me", Taken::UserAgent)], true);
        let hash = "0123456789abcdef0123456789abcdef";
        check(&format!("[file:hashes.MD5 = '{hash}']"), &[(hash, Taken::Hash)], true);
        let mixed = "[file:name = 'a.exe' OR domain-name:value = 'evil.example']";
        check(mixed, &[("evil.example", Taken::Domain)], false);
    }

    #[test]
    fn what_asks_for_more_is_not_supported() {
        for pattern in [
            "[ipv4-addr:value = '203.0.113.7' AND url:value = 'http://a.example/']",
            "[ipv4-addr:value = '203.0.113.7'] FOLLOWEDBY [url:value = 'http://a.example/']",
            "[ipv4-addr:value = '203.0.113.7'] WITHIN 5 SECONDS",
            "[ipv4-addr:value != '203.0.113.7']",
            "[NOT ipv4-addr:value = '203.0.113.7']",
            "[url:value LIKE 'http://%']",
            "[url:value MATCHES '^a']",
            "[ipv4-addr:value = '203.0.113.7'",
            "[ipv4-addr:value = '203.0.113.7]",
            "[ipv4-addr:value = 203.0.113.7]",
            "ipv4-addr:value = '203.0.113.7'",
            "",
        ] {
            check(pattern, &[], false);
        }
    }
}
