//! Texts with places to fill in: `member{i}`, `198.51.100.{1..250}`.
//!
//! `{i}` is the number of the repetition, from 1; `{a..b}` goes through the numbers from `a` to `b`
//! again and again; `{time}` is the event's time, as RFC 3339 writes it; `{{` and `}}` stand for braces.

use serde::Deserialize;

use crate::units::Timestamp;

/// A text to be filled in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Number,
    Range(u64, u64),
    Time,
}

impl Template {
    /// Reads a text; the complaint names what is no placeholder.
    fn read(text: &str) -> Result<Self, String> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let ("{", Some((name, after))) = (brace, rest.split_once('}')) else {
                return Err(format!("`{brace}` alone in `{text}`; write `{brace}{brace}`"));
            };
            let part = placeholder(name).ok_or_else(|| {
                format!("`{{{name}}}` is no placeholder; write {{i}}, {{1..250}}, {{time}} or {{{{")
            })?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The text of repetition `number`, counted from 1, at `time`.
    pub(super) fn fill(&self, number: u64, time: Timestamp) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Number => text.push_str(&number.to_string()),
                Part::Range(from, to) => {
                    text.push_str(&(from + (number - 1) % (to - from + 1)).to_string());
                }
                Part::Time => text.push_str(&time.rfc3339()),
            }
        }
        text
    }
}

fn placeholder(name: &str) -> Option<Part> {
    match name {
        "i" => return Some(Part::Number),
        "time" => return Some(Part::Time),
        _ => (),
    }
    let (from, to) = name.split_once("..")?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from <= to && to < u64::MAX).then_some(Part::Range(from, to))
}

/// One text, or a list of which each repetition takes the next.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "toml::Value")]
pub(super) struct Values(Vec<Template>);

impl Values {
    /// The text of repetition `number`, counted from 1, at `time`.
    pub(super) fn fill(&self, number: u64, time: Timestamp) -> String {
        self.0[(number - 1) as usize % self.0.len()].fill(number, time)
    }
}

impl TryFrom<toml::Value> for Values {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let list = match value {
            toml::Value::Array(list) if list.is_empty() => {
                return Err("an empty list; name at least one value".to_owned());
            }
            toml::Value::Array(list) => list,
            one => vec![one],
        };
        let text = |value: toml::Value| match value {
            toml::Value::String(text) => Template::read(&text),
            toml::Value::Integer(number) => Template::read(&number.to_string()),
            other => Err(format!("`{other}` is neither a text nor a number")),
        };
        list.into_iter().map(text).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, number: u64, expected: &str) {
        let made = Template::read(text).map(|text| text.fill(number, Timestamp::from_secs(0)));
        assert_eq!(expected, made.unwrap_or_else(|complaint| complaint));
    }

    #[test]
    fn places_are_filled_in() {
        check("member{i}", 3, "member3");
        check("198.51.100.{1..250}", 251, "198.51.100.1");
        check("{0..3}", 2, "1");
        check("${{jndi:ldap://{i}.example.org}}", 7, "${jndi:ldap://7.example.org}");
        check("{time}", 1, "1970-01-01T00:00:00.000Z");
        check("", 1, "");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        check("a{n}", 1, "`{n}` is no placeholder; write {i}, {1..250}, {time} or {{");
        check("a{5..1}", 1, "`{5..1}` is no placeholder; write {i}, {1..250}, {time} or {{");
        check("a{i", 1, "`{` alone in `a{i`; write `{{`");
        check("a}", 1, "`}` alone in `a}`; write `}}`");
    }
}
