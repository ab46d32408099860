//! What the tests of all formats share: a line in, its fields by name out.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Context, Miss};
use crate::engine::batch::{
    AuthMethod, AuthOutcome, Confidence, EventBatch, FIELDS, Field, Malformed, Reason, Writer,
};
use crate::engine::time::TimeReader;
use crate::units::Timestamp;

/// The parser of one format.
pub(crate) type Parse = fn(&[u8], &mut Context<'_>, &mut Writer<'_>) -> Result<(), Miss>;

/// Everything the event of `line` says, by name; read in UTC on 2026-11-20.
pub(crate) fn read(
    mut parse: impl FnMut(&[u8], &mut Context<'_>, &mut Writer<'_>) -> Result<(), Miss>,
    line: &[u8],
) -> Result<BTreeMap<String, String>, Miss> {
    let mut times = TimeReader::new(TimeZone::UTC, Timestamp::from_secs(1_795_160_801));
    let mut batch = EventBatch::default();
    batch.refill(Arc::default(), line.to_vec());
    let (raw, mut out) = batch.open();
    out.set_line(raw);
    let parsed = parse(raw, &mut Context { times: &mut times }, &mut out);
    if let Err(miss) = parsed {
        out.reset();
        return Err(miss);
    }
    out.finish();
    Ok(facts(&batch))
}

fn facts(batch: &EventBatch) -> BTreeMap<String, String> {
    let event = batch.event(0);
    let row = event.row();
    let mut facts = BTreeMap::new();
    let mut put = |name: &str, value: String| {
        facts.insert(name.to_owned(), value);
    };
    for entry in FIELDS {
        if let Some(value) = event.field(entry.field) {
            put(entry.name, String::from_utf8_lossy(value).into_owned());
        }
    }
    let mut label = String::new();
    for (field, value) in event.rare() {
        let value = String::from_utf8_lossy(value).into_owned();
        match field {
            Field::LabelName => label = value,
            Field::LabelValue => put(&format!("labels.{label}"), value),
            _ => {}
        }
    }
    put("kind", format!("{:?}", row.kind));
    put("module", row.module.name().to_owned());
    put("format", row.format.to_owned());
    put("action", row.action.name().to_owned());
    put("level", row.level.name().to_owned());
    put("time", row.time.rfc3339());
    put("time_is_read", row.time_is_read.to_string());
    put("zone", row.zone_minutes.to_string());
    put("client_source", row.client_source.name().to_owned());
    put("empty_user", row.empty_user.to_string());
    let mut maybe = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            put(name, value);
        }
    };
    maybe("status", (row.status != 0).then(|| row.status.to_string()));
    maybe("bytes", row.bytes.map(|bytes| bytes.to_string()));
    maybe("duration", row.duration_ns.map(|duration| duration.to_string()));
    maybe("client", row.client.map(|client| client.to_string()));
    maybe("malformed", row.malformed.map(Malformed::name).map(str::to_owned));
    if 1 < row.count {
        put("count", row.count.to_string());
    }
    if let Some(auth) = row.auth {
        put("outcome", AuthOutcome::name(auth.outcome).to_owned());
        put("method", AuthMethod::name(auth.method).to_owned());
        put("confidence", Confidence::name(auth.confidence).to_owned());
        put("counted", auth.counted.to_string());
        if let Some(reason) = auth.reason.map(Reason::name) {
            put("reason", reason.to_owned());
        }
    }
    facts
}

/// Reads `line` and looks for each `(name, value)`; the value `-` says that the line must not
/// set the name. Names are those of [`FIELDS`] and of the row.
#[track_caller]
pub(crate) fn check(parse: Parse, line: &str, expected: &[(&str, &str)]) {
    let facts = match read(parse, line.as_bytes()) {
        Ok(facts) => facts,
        Err(miss) => panic!("{miss:?}: {line}"),
    };
    for (name, value) in expected {
        let actual = facts.get(*name).map_or("-", String::as_str);
        assert_eq!(*value, actual, "{name} of {line}\n{facts:#?}");
    }
}

/// `line` must be refused for the reason `expected`.
#[track_caller]
pub(crate) fn check_miss(parse: Parse, line: &str, expected: Miss) {
    match read(parse, line.as_bytes()) {
        Ok(facts) => panic!("read {line} as {facts:#?}"),
        Err(miss) => assert_eq!(expected, miss, "{line}"),
    }
}

/// Lines of `lines` after a few edits: bytes replaced, put in, cut out, parts repeated.
pub(crate) fn mutated(lines: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..5u8, any::<Index>(), any::<Index>(), any::<u8>());
    let edits = proptest::collection::vec(edit, 0..6);
    (proptest::sample::select(lines), edits).prop_map(|(line, edits)| {
        let mut line = line.as_bytes().to_vec();
        for (edit, one, two, byte) in edits {
            let (one, two) = (one.index(line.len() + 1), two.index(line.len() + 1));
            let (from, to) = (one.min(two), one.max(two));
            match edit {
                0 if from < line.len() => line[from] = byte,
                1 => line.insert(from, byte),
                2 => drop(line.drain(from..to)),
                3 => line.truncate(to),
                _ => {
                    let part = line[from..to.min(from + 64)].to_vec();
                    line.splice(to..to, part);
                }
            }
        }
        line
    })
}
