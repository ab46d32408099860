//! Reads what encodings write, by the rules of each format and with no code of ours.

use std::collections::BTreeMap;

/// The keys of a record with their values; a key that stands twice is a mistake.
pub(super) type Fields = BTreeMap<String, String>;

fn insert(fields: &mut Fields, key: &str, value: String) {
    assert!(!key.is_empty(), "a value without a key");
    assert!(fields.insert(key.to_owned(), value).is_none(), "`{key}` stands twice");
}

/// The seven columns of the header and the extension.
pub(super) fn cef(line: &str) -> (Vec<String>, Fields) {
    let mut header = vec![String::new()];
    let mut characters = line.chars();
    while header.len() <= 7 {
        match characters.next().expect("a header of seven columns") {
            '|' => header.push(String::new()),
            '\\' => {
                let escaped = characters.next().expect("an escaped character");
                assert!(matches!(escaped, '|' | '\\'), "`\\{escaped}` in the header");
                header.last_mut().expect("a column").push(escaped);
            }
            other => header.last_mut().expect("a column").push(other),
        }
    }
    header.pop();
    (header, extension(characters.as_str()))
}

/// `key=value key=value`: a key is the word before an equals sign without a backslash.
fn extension(text: &str) -> Fields {
    let mut equals = Vec::new();
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        if character == '=' && !escaped {
            equals.push(at);
        }
        escaped = character == '\\' && !escaped;
    }
    let key_start = |at: usize| text[..at].rfind(' ').map_or(0, |blank| blank + 1);
    let mut fields = Fields::new();
    for (index, at) in equals.iter().enumerate() {
        let end = equals.get(index + 1).map_or(text.len(), |next| key_start(*next) - 1);
        let value = &text[at + 1..end];
        assert_eq!(value.trim_matches(' '), value, "blanks at the ends of a value");
        insert(&mut fields, &text[key_start(*at)..*at], unescaped(value));
    }
    fields
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.push(match characters.next().expect("an escaped character") {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                plain @ ('=' | '\\' | '"') => plain,
                'x' => {
                    let digits: String = characters.by_ref().take(2).collect();
                    char::from(u8::from_str_radix(&digits, 16).expect("two digits"))
                }
                other => panic!("`\\{other}` is no escape"),
            }),
            other => out.push(other),
        }
    }
    out
}

/// The six columns of the header and the keys.
pub(super) fn leef(line: &str) -> (Vec<String>, Fields) {
    let parts: Vec<&str> = line.splitn(7, '|').collect();
    assert_eq!(7, parts.len(), "{line}");
    assert_eq!("^", parts[5]);
    let mut fields = Fields::new();
    for pair in parts[6].split('^') {
        let (key, value) = pair.split_once('=').unwrap_or_else(|| panic!("`{pair}` has no key"));
        assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "`{key}` is no key");
        insert(&mut fields, key, value.to_owned());
    }
    (parts[..5].iter().map(|part| (*part).to_owned()).collect(), fields)
}

/// The cells of one record.
pub(super) fn csv(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut characters = line.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        let cell = cells.last_mut().expect("a cell");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' if quoted => {
                quoted = false;
                assert!(matches!(characters.peek(), None | Some(',')), "text behind quotes");
            }
            '"' => {
                assert!(cell.is_empty(), "a quote within a cell: {line}");
                quoted = true;
            }
            ',' if !quoted => cells.push(String::new()),
            other => cell.push(other),
        }
    }
    assert!(!quoted, "quotes that do not end: {line}");
    cells
}

/// The time, the level and the summary under names of ours, and the pairs.
pub(super) fn text(line: &str) -> Fields {
    let mut fields = Fields::new();
    let (time, rest) = line.split_once(' ').expect("a time");
    let (level, mut rest) = rest.split_once(' ').expect("a level");
    insert(&mut fields, "time", time.to_owned());
    insert(&mut fields, "level", level.to_owned());
    if rest.starts_with('"') {
        let (summary, behind) = value(rest);
        insert(&mut fields, "summary", summary);
        rest = behind;
    }
    while !rest.is_empty() {
        let (key, behind) = rest.split_once('=').expect("a key");
        assert!(key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "`{key}`");
        let (value, behind) = value(behind);
        insert(&mut fields, key, value);
        rest = behind;
    }
    fields
}

/// A word or a quoted text, and what stands behind it and its blank.
fn value(text: &str) -> (String, &str) {
    let Some(inner) = text.strip_prefix('"') else {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        return (word.to_owned(), rest);
    };
    let mut escaped = false;
    let end = inner.char_indices().find(|(_, character)| {
        let ends = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        ends
    });
    let end = end.expect("quotes that end").0;
    let rest = &inner[end + 1..];
    (unescaped(&inner[..end]), rest.strip_prefix(' ').unwrap_or(rest))
}

/// The members of a JSON object, those within others by their path.
pub(super) fn json(line: &str) -> Fields {
    let mut fields = Fields::new();
    flatten("", &serde_json::from_str(line).expect("a JSON object"), &mut fields);
    fields
}

fn flatten(name: &str, value: &serde_json::Value, fields: &mut Fields) {
    match value {
        serde_json::Value::Object(members) => {
            for (member, value) in members {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(&format!("{name}{dot}{member}"), value, fields);
            }
        }
        serde_json::Value::String(text) => insert(fields, name, text.clone()),
        other => insert(fields, name, other.to_string()),
    }
}

/// The attributes of the one record of an export, texts and numbers; a list is its JSON.
pub(super) fn otlp(line: &str) -> Fields {
    let export: serde_json::Value = serde_json::from_str(line).expect("a JSON object");
    let record = &export["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    let mut fields = Fields::new();
    for attribute in record["attributes"].as_array().expect("attributes") {
        let kinds = attribute["value"].as_object().expect("a value of one kind");
        assert_eq!(1, kinds.len());
        let value = kinds.values().next().expect("a value");
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert!(!text.is_empty(), "an empty attribute");
        insert(&mut fields, attribute["key"].as_str().expect("a key"), text);
    }
    fields
}
