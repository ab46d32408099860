//! Any bytes in any field: one record in, one record out, with nothing forged and nothing lost but
//! what the format cannot say.

use gatewatch::engine::batch::{Field, Kind};
use gatewatch::engine::render::{ENCODINGS, Encoding, Shrink};
use proptest::prelude::*;

use super::alerts;
use super::decode::{self, Fields};
use super::events::{encoder, made, records};

/// The text fields that encodings of flat names have a place for.
pub(super) const FIELDS: &[Field] = &[
    Field::User,
    Field::Method,
    Field::Target,
    Field::Path,
    Field::Query,
    Field::HttpVersion,
    Field::Referrer,
    Field::UserAgent,
    Field::Domain,
    Field::Peer,
    Field::ClientPort,
    Field::Forwarded,
    Field::DestinationIp,
    Field::DestinationPort,
    Field::Scheme,
    Field::RequestId,
    Field::RequestBytes,
    Field::ResponseBytes,
    Field::TlsVersion,
    Field::TlsCipher,
    Field::TlsServerName,
    Field::Country,
    Field::City,
    Field::AsNumber,
    Field::AsOrganisation,
    Field::Code,
    Field::Process,
    Field::Pid,
    Field::TargetUser,
];

/// Bytes that mean something to one format or another, and any others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "|",
            "=",
            "\\",
            "^",
            "\"",
            "'",
            ",",
            " ",
            "\n",
            "\r",
            "\t",
            "\0",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "\u{202e}",
            "%5E",
            "\\n",
            " src=203.0.113.99",
            "^src=203.0.113.99",
            "é€",
            "=cmd",
            "+1",
            "-1",
            "@x",
            "{\"a\":1}",
            "</script>",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
        "[a-z/.]{0,6}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
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

fn check_values(encoding: Encoding, line: &str, user: &[u8], path: &[u8], agent: &[u8]) {
    let hex = |character: char| format!("\\x{:02X}", u32::from(character));
    match encoding {
        Encoding::Cef => {
            let kept = |character: char| match character {
                '\n' | '\r' => character.to_string(),
                _ => " ".to_owned(),
            };
            let (header, fields) = decode::cef(line);
            assert_eq!(["CEF:0", "gatewatch", "gatewatch", "0.0.0"], header[..4]);
            assert_eq!(trimmed(user, kept), read(&fields, "suser"));
            assert_eq!(trimmed(agent, kept), read(&fields, "requestClientApplication"));
            assert_eq!(None, fields.get("src").filter(|src| *src == "203.0.113.99"));
        }
        Encoding::Leef => {
            let (header, fields) = decode::leef(line);
            assert_eq!(["LEEF:2.0", "gatewatch", "gatewatch", "0.0.0"], header[..4]);
            let value = |bytes: &[u8]| trimmed(bytes, |_| " ".into()).replace('^', "%5E");
            assert_eq!(value(user), read(&fields, "usrName"));
            assert_eq!(value(agent), read(&fields, "userAgent"));
            assert_eq!(None, fields.get("src"));
        }
        Encoding::Csv => {
            let cells = decode::csv(line);
            let names: Vec<&str> = encoding.entry().header.unwrap_or_default().split(',').collect();
            assert_eq!(names.len(), cells.len());
            let cell = |name: &str| {
                &cells[names.iter().position(|known| *known == name).expect("a column")]
            };
            for (name, bytes) in [("user", user), ("path", path), ("user_agent", agent)] {
                let guard =
                    matches!(bytes.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'));
                let guard = if guard { "'" } else { "" };
                assert_eq!(&format!("{guard}{}", shown(bytes, hex)), cell(name), "{name}");
                assert!(!cell(name).starts_with(['=', '+', '-', '@']), "a formula");
            }
        }
        Encoding::Text => {
            let fields = decode::text(line);
            let kept = |character: char| character.to_string();
            assert_eq!(shown(user, kept), read(&fields, "user"));
            assert_eq!(shown(agent, kept), read(&fields, "agent"));
            assert_eq!(None, fields.get("src"));
        }
        Encoding::Gelf => {
            let fields = decode::json(line);
            assert_eq!(json(user), read(&fields, "_user_name"));
            assert_eq!(json(path), read(&fields, "_http_request_path"));
            assert_eq!(json(agent), read(&fields, "_user_agent_original"));
            for name in fields.keys() {
                let fixed = ["version", "host", "short_message", "full_message", "timestamp"];
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let own = name.starts_with('_') && name.chars().all(word) && name != "_id";
                assert!(own || fixed.contains(&name.as_str()) || name == "level", "{name}");
            }
        }
        Encoding::Ocsf => {
            let names = ["unmapped.user", "http_request.url.path", "http_request.user_agent"];
            check_json(&decode::json(line), names, [user, path, agent]);
        }
        Encoding::OtlpJson => {
            let names = ["user.name", "url.path", "user_agent.original"];
            check_json(&decode::otlp(line), names, [user, path, agent]);
        }
        Encoding::Ecs | Encoding::EcsCompact => {
            let names = ["user.name", "url.path", "user_agent.original"];
            check_json(&decode::json(line), names, [user, path, agent]);
        }
    }
}

fn check_json(fields: &Fields, names: [&str; 3], values: [&[u8]; 3]) {
    for (name, value) in names.into_iter().zip(values) {
        assert_eq!(json(value), read(fields, name), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_of_a_client_are_read_back_as_they_were(
        user in bytes(),
        path in bytes(),
        agent in bytes(),
        referrer in bytes(),
    ) {
        let batch = made(b"x", |writer| {
            writer.set(Field::User, &user);
            writer.set(Field::Path, &path);
            writer.set(Field::Target, &path);
            writer.set(Field::UserAgent, &agent);
            writer.set(Field::Referrer, &referrer);
            writer.row.status = 200;
        });
        for entry in ENCODINGS {
            let lines = records(&encoder(entry.encoding), &batch, Shrink::NONE);
            prop_assert_eq!(1, lines.len());
            let odd = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}');
            let is_line = !lines[0].contains(|c| if entry.json { c < ' ' } else { odd(c) });
            prop_assert!(is_line, "{}: {:?}", entry.name, lines[0]);
            check_values(entry.encoding, &lines[0], &user, &path, &agent);
        }
    }

    #[test]
    fn any_line_that_no_format_read_is_one_record(line in bytes(), error in bytes()) {
        let batch = made(&line, |writer| {
            writer.row.kind = Kind::ParseFailure;
            writer.set(Field::Error, &error);
        });
        for entry in ENCODINGS {
            for line in records(&encoder(entry.encoding), &batch, Shrink::NONE) {
                prop_assert!(!line.contains(['\n', '\0']), "{}: {:?}", entry.name, line);
            }
        }
    }

    #[test]
    fn each_step_of_shrinking_is_no_longer_than_the_one_before(
        bytes in bytes(),
        repeat in 1_usize..200,
    ) {
        let long = bytes.repeat(repeat);
        let batch = made(&long, |writer| {
            for field in [
                Field::User, Field::Path, Field::Target, Field::Query, Field::UserAgent,
                Field::Referrer, Field::Domain, Field::Forwarded, Field::RequestId,
            ] {
                writer.set(field, &long);
            }
            writer.row.status = 503;
        });
        for entry in ENCODINGS {
            let mut last = usize::MAX;
            let mut step = Some(Shrink::NONE);
            while let Some(shrink) = step {
                let lines = records(&encoder(entry.encoding), &batch, shrink);
                let length = lines.iter().map(String::len).max().unwrap_or_default();
                // Names may come to the list of what was cut.
                prop_assert!(length <= last.saturating_add(256), "{} {shrink:?}", entry.name);
                last = length;
                step = shrink.next();
            }
            // Leaves room for the header of a message in a datagram of 2048 bytes.
            prop_assert!(last <= 1750, "{}: the least is {} bytes", entry.name, last);
        }
    }
}

proptest! {
    // Each case is a hundred long texts in each step of each encoding.
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_step_of_shrinking_an_alert_is_one_line_and_no_longer(
        bytes in bytes(),
        repeat in 1_usize..60,
    ) {
        let alert = alerts::of_text(&String::from_utf8_lossy(&bytes.repeat(repeat)));
        for entry in ENCODINGS {
            let whole = alerts::rendered(entry, &alert).len();
            let mut last = usize::MAX;
            let mut step = Some(Shrink::NONE);
            while let Some(shrink) = step {
                let line = alerts::shrunk(entry, &alert, shrink);
                prop_assert!(!line.contains(['\n', '\r', '\0']), "{}: {line:?}", entry.name);
                // Names may come to the list of what was cut.
                let length = line.len();
                prop_assert!(length <= last.saturating_add(256), "{} {shrink:?}", entry.name);
                last = length;
                step = shrink.next();
            }
            prop_assert!(last <= whole, "{}: {last} of {whole} bytes", entry.name);
            // Leaves room for the header of a message in a datagram of 2048 bytes.
            prop_assert!(last <= 1750, "{}: the least is {last} bytes", entry.name);
        }
    }
}

#[test]
fn what_was_cut_is_named() {
    let long = "é".repeat(9000);
    let batch = made(b"x", |writer| {
        writer.set(Field::UserAgent, long.as_bytes());
        writer.set(Field::Referrer, long.as_bytes());
        writer.row.status = 200;
    });
    for entry in ENCODINGS {
        let lines = records(&encoder(entry.encoding), &batch, Shrink::NONE);
        for name in ["user_agent.original", "http.request.referrer"] {
            assert!(lines[0].contains(name), "{} does not name {name}", entry.name);
        }
    }
}

#[test]
fn lengths_of_the_dictionary_hold_and_cut_between_characters() {
    let long = "é".repeat(5000);
    let batch = made(b"x", |writer| {
        for field in [Field::User, Field::Domain, Field::UserAgent, Field::Target] {
            writer.set(field, long.as_bytes());
        }
    });
    let line = &records(&encoder(Encoding::Cef), &batch, Shrink::NONE)[0];
    let (_, fields) = decode::cef(line);
    for (key, max) in [("suser", 256), ("requestClientApplication", 1023), ("request", 1023)] {
        assert_eq!("é".repeat(max), fields[key], "{key}");
    }
    let line = &records(&encoder(Encoding::Leef), &batch, Shrink::NONE)[0];
    assert_eq!("é".repeat(255), decode::leef(line).1["usrName"]);
}

#[test]
fn a_hostile_alert_forges_nothing() {
    for entry in ENCODINGS {
        for alert in alerts::alerts() {
            let line = alerts::rendered(entry, &alert);
            assert!(!line.contains(['\n', '\0', '\r']), "{}: {line:?}", entry.name);
            let source = match entry.encoding {
                Encoding::Cef => decode::cef(&line).1.remove("src"),
                Encoding::Leef => decode::leef(&line).1.remove("src"),
                Encoding::Text => decode::text(&line).remove("client"),
                Encoding::Csv => Some(decode::csv(&line)[8].clone()),
                _ => Some(decode::json(&line)).and(None),
            };
            assert_ne!(Some("203.0.113.99"), source.as_deref(), "{line}");
        }
    }
}
