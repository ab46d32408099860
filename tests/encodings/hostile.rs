//! Any bytes in any field: one record in, one record out, with nothing forged and nothing lost but
//! what the format cannot say.

use gatewatch::engine::batch::{Field, Kind};
use gatewatch::engine::render::{ENCODINGS, Encoding, Shrink};
use proptest::prelude::*;

use super::alerts;
use super::decode;
use super::events::{encoder, made, records};
use super::readback::{self, Sent};

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
            let sent =
                Sent { user: &user, target: &path, agent: &agent, referrer: &referrer };
            let mut step = Some(Shrink::NONE);
            while let Some(shrink) = step {
                let line = &records(&encoder(entry.encoding), &batch, shrink)[0];
                readback::check(entry.encoding, "0.0.0", line, &sent);
                step = shrink.next();
            }
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
            let rendered = alerts::rendered(entry, &alert);
            let whole = rendered.len();
            let mut last = usize::MAX;
            let mut step = Some(Shrink::NONE);
            while let Some(shrink) = step {
                let line = alerts::shrunk(entry, &alert, shrink);
                prop_assert!(!line.contains(['\n', '\r', '\0']), "{}: {line:?}", entry.name);
                let says_so = match entry.encoding {
                    Encoding::Csv => decode::csv(&line).last().is_some_and(|cell| !cell.is_empty()),
                    Encoding::Cef => line.contains(" flexString2="),
                    _ => line.contains("truncated"),
                };
                prop_assert!(says_so || line == rendered, "{} {shrink:?}: {line}", entry.name);
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
