//! What the texts that a client chose must be when a record is read back, in each encoding.
//!
//! Invariant: nothing here asks the encoders; [`decode`] reads the record.

use gatewatch::engine::render::Encoding;

use super::decode::{self, Fields};

/// What a client sent; nothing is an empty text.
pub(super) struct Sent<'s> {
    pub(super) user: &'s [u8],
    /// A path without a query.
    pub(super) target: &'s [u8],
    pub(super) agent: &'s [u8],
    pub(super) referrer: &'s [u8],
}

/// An address that no log line here has as its client: what hostile texts would like to be.
const FORGED: &str = "203.0.113.99";

/// Where an encoding has what is looked at.
struct Keys {
    user: &'static str,
    target: &'static str,
    agent: &'static str,
    referrer: &'static str,
    /// The names of what was cut.
    cut: &'static str,
    client: &'static str,
}

fn keys(encoding: Encoding, fields: &Fields) -> Keys {
    let keys = |user, target, agent, referrer, cut, client| Keys {
        user,
        target,
        agent,
        referrer,
        cut,
        client,
    };
    let agent = "user_agent.original";
    match encoding {
        Encoding::Cef => {
            let (agent, cut) = ("requestClientApplication", "flexString2");
            keys("suser", "request", agent, "requestContext", cut, "src")
        }
        Encoding::Leef => keys("usrName", "url", "userAgent", "referer", "truncated", "src"),
        Encoding::Csv => keys("user", "path", "user_agent", "referrer", "truncated", "source_ip"),
        Encoding::Text => keys("user", "url", "agent", "referrer", "truncated", "client"),
        Encoding::Gelf => {
            let (path, agent) = ("_http_request_path", "_user_agent_original");
            let cut = "_gatewatch_truncated";
            keys("_user_name", path, agent, "_http_referrer", cut, "_source_ip")
        }
        Encoding::Ocsf => {
            // A user has a place in the schema where the client is known.
            let owner = "src_endpoint.owner.name";
            let user = if fields.contains_key(owner) { owner } else { "unmapped.user" };
            let (path, agent) = ("http_request.url.path", "http_request.user_agent");
            let cut = "unmapped.gatewatch_truncated";
            keys(user, path, agent, "http_request.referrer", cut, "src_endpoint.ip")
        }
        Encoding::OtlpJson => {
            let (referrer, cut) = ("http.request.header.referer", "gatewatch.truncated");
            keys("user.name", "url.path", agent, referrer, cut, "client.address")
        }
        Encoding::Ecs | Encoding::EcsCompact => {
            let (referrer, cut) = ("http.request.referrer", "gatewatch.truncated");
            keys("user.name", "url.path", agent, referrer, cut, "source.ip")
        }
    }
}

/// The fields of a record; its head must be that of the product in `version`.
pub(super) fn fields(encoding: Encoding, version: &str, line: &str) -> Fields {
    match encoding {
        Encoding::Cef => {
            let (header, fields) = decode::cef(line);
            assert_eq!(["CEF:0", "gatewatch", "gatewatch", version], header[..4]);
            fields
        }
        Encoding::Leef => {
            let (header, fields) = decode::leef(line);
            assert_eq!(["LEEF:2.0", "gatewatch", "gatewatch", version], header[..4]);
            fields
        }
        Encoding::Csv => {
            let cells = decode::csv(line);
            let names: Vec<&str> = encoding.entry().header.unwrap_or_default().split(',').collect();
            assert_eq!(names.len(), cells.len());
            assert!(!cells.iter().any(|cell| cell.starts_with(['=', '+', '-', '@'])), "a formula");
            names.into_iter().map(str::to_owned).zip(cells).collect()
        }
        Encoding::Text => decode::text(line),
        Encoding::OtlpJson => {
            let mut fields = decode::otlp(line);
            if let Some(header) = fields.get_mut("http.request.header.referer") {
                let list: serde_json::Value = serde_json::from_str(header).expect("a list");
                *header = list["values"][0]["stringValue"].as_str().expect("a text").to_owned();
            }
            fields
        }
        Encoding::Gelf => {
            let fields = decode::json(line);
            let fixed = ["version", "host", "short_message", "full_message", "timestamp", "level"];
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            for name in fields.keys().filter(|name| !fixed.contains(&name.as_str())) {
                let own = name.starts_with('_') && name.chars().all(word) && name != "_id";
                assert!(own, "{name}");
            }
            fields
        }
        Encoding::Ocsf | Encoding::Ecs | Encoding::EcsCompact => decode::json(line),
    }
}

/// What `bytes` of a client must be when they are read back.
fn expected(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Cef => trimmed(bytes, |character| match character {
            '\n' | '\r' => character.to_string(),
            _ => " ".to_owned(),
        }),
        Encoding::Leef => trimmed(bytes, |_| " ".to_owned()).replace('^', "%5E"),
        Encoding::Csv => {
            let is_formula =
                matches!(bytes.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'));
            let guard = if is_formula { "'" } else { "" };
            format!("{guard}{}", shown(bytes, |c| format!("\\x{:02X}", u32::from(c))))
        }
        Encoding::Text => shown(bytes, |character| character.to_string()),
        _ => json(bytes),
    }
}

/// Checks one record of an access: each text is as it was, or the record says that it was cut and has
/// the beginning of it; and no text became another field. `version` is the one of the product.
pub(super) fn check(encoding: Encoding, version: &str, line: &str, sent: &Sent<'_>) {
    let fields = &fields(encoding, version, line);
    let keys = keys(encoding, fields);
    let record = Record { fields, cut: read(fields, keys.cut) };
    // Some have the path, some the whole.
    let target = if keys.target.ends_with("path") { "url.path" } else { "url." };
    for (key, name, bytes) in [
        (keys.user, "user.name", sent.user),
        (keys.target, target, sent.target),
        (keys.agent, "user_agent.original", sent.agent),
        (keys.referrer, "http.request.referrer", sent.referrer),
    ] {
        record.same(key, name, &expected(encoding, bytes));
    }
    assert_ne!(FORGED, read(fields, keys.client));
}

/// What was read, and the names of what was cut.
struct Record<'f> {
    fields: &'f Fields,
    cut: String,
}

impl Record<'_> {
    /// The value of `key` is `expected`, or its beginning if `name` was cut.
    fn same(&self, key: &str, name: &str, expected: &str) {
        let found = read(self.fields, key);
        // A star says that all went but the most needed.
        match self.cut.contains(name) || self.cut.contains('*') {
            true => assert!(expected.starts_with(&found), "{key}: {found:?} of {expected:?}"),
            false => assert_eq!(expected, found, "{key}; cut: {}", self.cut),
        }
    }
}

/// What becomes of a text on a wire that is lines: bytes that are no UTF-8 and characters that end
/// lines or turn their direction are spelt out; `control` says what becomes of those of ASCII.
fn shown(bytes: &[u8], control: impl Fn(char) -> String) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\u{80}'..='\u{9f}'
                | '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => {
                    out.push_str(&format!("\\u{{{:04X}}}", u32::from(character)));
                }
                _ if character.is_ascii_control() => out.push_str(&control(character)),
                _ => out.push(character),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02X}"));
        }
    }
    out
}

/// The same without the blanks and controls at its ends, which CEF and LEEF do not carry.
fn trimmed(bytes: &[u8], control: impl Fn(char) -> String) -> String {
    let text = bytes.trim_ascii();
    let blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    shown(&text[start..end], control)
}

/// A value read back, or the empty text where its key is left out.
fn read(fields: &Fields, key: &str) -> String {
    fields.get(key).cloned().unwrap_or_default()
}

/// What becomes of a text in JSON, which can say everything but bytes that are no UTF-8.
fn json(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    out
}
