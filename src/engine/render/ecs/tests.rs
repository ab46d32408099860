//! Events as JSON: the names, the limits, and what hostile bytes become.
//!
//! Invariant: each event is one valid JSON object, whatever its fields hold.

mod samples;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use self::samples::*;
use super::*;
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, ClientSource, Confidence, EventBatch, FIELDS, Grade,
    Level, Malformed, Module, Reason, Stamp, Writer,
};
use crate::engine::render::event_id::fingerprint;
use crate::engine::render::{Encoder, Encoding, Shrink};

const CREATED: Timestamp = Timestamp::from_ms(1_795_160_801_120);
const TIME: Timestamp = Timestamp::from_ms(1_795_160_801_000);

fn agent() -> Agent {
    Agent {
        version: "0.1.0".to_owned(),
        id: "0b9d6a7e-6f0e-4f5c-9a53-1c1c6f1f2a10".to_owned(),
        name: "web1.example.org".to_owned(),
    }
}

/// A batch of one event, filled by `fill` from the raw line.
fn batch(line: &[u8], fill: impl Fn(&[u8], &mut Writer<'_>)) -> EventBatch {
    let origin = Origin {
        source: "web1:nginx-access".to_owned(),
        path: "/var/log/nginx/access.log".to_owned(),
        fingerprint: fingerprint(&[line, b"\n"].concat()),
        site: "www.example.org".to_owned(),
        host: "web1.example.org".to_owned(),
        wide: false,
    };
    let mut batch = EventBatch::default();
    batch.refill(Arc::new(origin), line.to_vec());
    let (raw, mut writer) = batch.open();
    writer.set_line(raw);
    writer.row.time = TIME;
    fill(raw, &mut writer);
    writer.finish();
    batch
}

fn render(encoding: Encoding, batch: &EventBatch) -> String {
    let mut out = b"before ".to_vec();
    let encoder = Encoder::new(encoding, &agent(), false).detecting(true);
    encoder.render(&batch.event(0), CREATED, &mut out);
    let text = String::from_utf8(out).expect("UTF-8");
    text.strip_prefix("before ").expect("what was there stays").to_owned()
}

fn set(writer: &mut Writer<'_>, fields: &[(Field, &str)]) {
    for (field, value) in fields {
        writer.set(*field, value.as_bytes());
    }
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ecs").join(name)
}

#[test]
fn events_are_written_as_the_golden_files_show() {
    for (name, build) in CASES {
        let batch = build();
        let actual = [Encoding::Ecs, Encoding::EcsCompact].map(|encoding| render(encoding, &batch));
        let actual = format!("{}\n{}\n", actual[0], actual[1]);
        let path = golden(&format!("{name}.ndjson"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &actual).expect("a golden file that can be written");
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(expected, actual, "{}", path.display());
    }
}

#[test]
fn every_name_is_in_the_list_and_every_name_of_the_list_is_written() {
    let mut written = BTreeSet::new();
    for (_, build) in CASES {
        let text = render(Encoding::Ecs, &build());
        written.extend(names(&text));
        let mut kept = Vec::new();
        Encoder::new(Encoding::Ecs, &agent(), true).render(&build().event(0), CREATED, &mut kept);
        written.extend(names(&String::from_utf8(kept).expect("UTF-8")));
    }
    let list = std::fs::read_to_string(golden("names.txt")).expect("the list of names");
    let listed: BTreeSet<String> = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, written);
}

#[test]
fn the_raw_line_is_kept_where_the_operator_wants_it() {
    let mut out = Vec::new();
    Encoder::new(Encoding::EcsCompact, &agent(), true).render(
        &failed_login().event(0),
        CREATED,
        &mut out,
    );
    let event: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(event["event"]["original"].as_str().map(str::as_bytes), Some(ACCESS_LINE));
}

#[test]
fn secrets_in_queries_are_written_only_where_the_operator_wants_them() {
    let line = b"/in?token=abc&x=1 https://www.example.org/?password=pw";
    let batch = batch(line, |raw, writer| {
        writer.set_line(raw);
        writer.set(Field::Target, &raw[..17]);
        writer.set(Field::Query, &raw[4..17]);
        writer.set(Field::Referrer, &raw[18..]);
    });
    let render = |show| {
        let mut out = Vec::new();
        let ecs = Encoder::new(Encoding::Ecs, &agent(), true).showing_secrets(show);
        ecs.render(&batch.event(0), CREATED, &mut out);
        String::from_utf8(out).expect("UTF-8")
    };
    let hidden = render(false);
    assert!(!hidden.contains("abc") && !hidden.contains("=pw"), "{hidden}");
    for text in [r#""original":"/in?token=***&x=1""#, r#""query":"token=***&x=1""#] {
        assert!(hidden.contains(text), "{hidden}");
    }
    assert_eq!(hidden, render(true).replace("abc", "***").replace("=pw", "=***"));
}

#[test]
fn each_step_of_shrinking_gives_a_smaller_event_that_says_what_it_lacks() {
    let batch = batch(&[b'r'; 9000], |raw, writer| {
        for field in [Field::UserAgent, Field::Referrer, Field::Query, Field::Target, Field::Path] {
            writer.set(field, raw);
        }
        writer.row.client = "192.0.2.9".parse().ok();
    });
    let ecs = Encoder::new(Encoding::Ecs, &agent(), true);
    let mut last = usize::MAX;
    let mut step = Some(Shrink::NONE);
    while let Some(shrink) = step {
        let mut out = Vec::new();
        let encoder = ecs.open(&batch.origin);
        for record in encoder.records(&batch.event(0)) {
            encoder.render_shrunk(&record, CREATED, shrink, &mut out);
        }
        let event: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert!(out.len() < last, "{shrink:?}");
        assert!(event["gatewatch"]["truncated"].is_array(), "{shrink:?}");
        assert_eq!("192.0.2.9", event["source"]["ip"]);
        assert!(event["event"]["id"].is_string());
        last = out.len();
        step = shrink.next();
    }
    assert!(last < 800, "{last}");
}

/// A parsed object in which no name stands twice.
struct Unique(BTreeSet<String>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object without repeated names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut names = BTreeSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    let Unique(below) = map.next_value()?;
                    let fresh = match below.is_empty() {
                        true => names.insert(name.clone()),
                        false => below.iter().all(|below| names.insert(format!("{name}.{below}"))),
                    };
                    if !fresh {
                        return Err(serde::de::Error::custom(format!("`{name}` stands twice")));
                    }
                }
                Ok(Unique(names))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
                while seq.next_element::<Unique>()?.is_some() {}
                Ok(Unique(BTreeSet::new()))
            }

            fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
                Ok(Unique(BTreeSet::new()))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
                Ok(Unique(BTreeSet::new()))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
                Ok(Unique(BTreeSet::new()))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
                Ok(Unique(BTreeSet::new()))
            }
        }
        deserializer.deserialize_any(Names)
    }
}

fn names(text: &str) -> BTreeSet<String> {
    let Unique(names) =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    names
        .into_iter()
        .map(|name| if name.starts_with("labels.") { "labels.*".to_owned() } else { name })
        .collect()
}

fn any_field() -> impl Strategy<Value = Field> {
    (0..FIELDS.len() + 2).prop_map(|index| match FIELDS.get(index) {
        Some(entry) => entry.field,
        None if index == FIELDS.len() => Field::LabelName,
        None => Field::LabelValue,
    })
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        "\\PC{0,40}".prop_map(String::into_bytes),
        "[0-9]{1,20}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 4000..4100),
    ]
}

#[derive(Clone, Debug)]
struct Choices {
    kind: u8,
    action: u8,
    auth: u8,
    malformed: u8,
    module: u8,
    level: u8,
    time: u64,
    duration: Option<u64>,
    status: u16,
    bytes: Option<u64>,
    zone: i16,
    client: Option<[u8; 16]>,
    flags: u8,
}

fn choices() -> impl Strategy<Value = Choices> {
    let words = (any::<[u8; 6]>(), any::<u64>(), any::<Option<u64>>(), any::<u16>());
    let rest = (any::<Option<u64>>(), any::<i16>(), any::<Option<[u8; 16]>>(), any::<u8>());
    (words, rest).prop_map(|((words, time, duration, status), (bytes, zone, client, flags))| {
        let [kind, action, auth, malformed, module, level] = words;
        Choices {
            kind,
            action,
            auth,
            malformed,
            module,
            level,
            time,
            duration,
            status,
            bytes,
            zone,
            client,
            flags,
        }
    })
}

fn pick<T: Copy>(from: &[T], choice: u8) -> T {
    from[usize::from(choice) % from.len()]
}

fn fill_row(row: &mut Row, choices: &Choices) {
    use AuthOutcome::{Attempt, Challenge, Failure, Success};
    row.kind =
        pick(&[Kind::Access, Kind::ServerError, Kind::Auth, Kind::ParseFailure], choices.kind);
    row.action = pick(&[Action::HttpRequest, Action::Login, Action::Logout], choices.action);
    row.auth =
        pick(&[None, Some(Success), Some(Failure), Some(Challenge), Some(Attempt)], choices.auth)
            .map(|outcome| Auth {
                outcome,
                reason: Some(Reason::Unknown),
                method: AuthMethod::Form,
                confidence: Confidence::Low,
                counted: false,
            });
    row.malformed = pick(&[None, Some(Malformed::Binary)], choices.malformed);
    row.module =
        pick(&[Module::Nginx, Module::Apache, Module::System, Module::App], choices.module);
    row.level = pick(&[Level::Debug, Level::Error, Level::Emergency], choices.level);
    row.time = Timestamp(choices.time);
    row.duration_ns = choices.duration;
    row.status = choices.status;
    row.bytes = choices.bytes;
    row.zone_minutes = choices.zone;
    row.client = choices.client.map(IpAddr::from);
    row.time_is_read = choices.flags & 1 != 0;
    row.empty_user = choices.flags & 2 != 0;
    row.stamp = pick(&[Stamp::Start, Stamp::End], choices.flags & 4);
    row.client_source = pick(
        &[ClientSource::Peer, ClientSource::Forwarded, ClientSource::RealIp],
        choices.flags >> 4,
    );
}

proptest! {
    #[test]
    fn any_bytes_in_any_field_give_one_valid_object(
        line: Vec<u8>,
        fields in proptest::collection::vec((any_field(), any_value()), 0..24),
        choices in choices(),
    ) {
        let batch = batch(&line, |_, writer| {
            for (field, value) in &fields {
                writer.set(*field, value);
            }
            fill_row(&mut writer.row, &choices);
        });
        let list = std::fs::read_to_string(golden("names.txt")).expect("the list of names");
        for encoding in [Encoding::Ecs, Encoding::EcsCompact] {
            let ecs = Encoder::new(encoding, &agent(), true).detecting(true);
            let mut step = Some(Shrink::NONE);
            let mut length = 0;
            while let Some(shrink) = step {
                let mut out = Vec::new();
                let encoder = ecs.open(&batch.origin);
                for record in encoder.records(&batch.event(0)) {
                    encoder.render_shrunk(&record, CREATED, shrink, &mut out);
                }
                let text = String::from_utf8(out).expect("UTF-8");
                prop_assert!(!text.bytes().any(|byte| byte < 0x20 || byte == 0x7f));
                for name in names(&text) {
                    prop_assert!(list.lines().any(|line| line == name), "{}", name);
                }
                length = text.len();
                step = shrink.next();
            }
            prop_assert!(length < 1600, "the least is {} bytes", length);
        }
    }

    #[test]
    fn what_a_client_sends_reads_back_as_it_was(path: String, user: String, agent_text: String) {
        let batch = batch(b"x", |_, writer| {
            writer.set(Field::Path, path.as_bytes());
            writer.set(Field::User, user.as_bytes());
            writer.set(Field::UserAgent, agent_text.as_bytes());
        });
        let text = render(Encoding::Ecs, &batch);
        let event: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let read = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        prop_assert_eq!(path, read(&event["url"]["path"]));
        prop_assert_eq!(user, read(&event["user"]["name"]));
        prop_assert_eq!(agent_text, read(&event["user_agent"]["original"]));
    }
}
