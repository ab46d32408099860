//! Any bytes as the fields of one event, in the encoding of `GATEWATCH_ENCODING`: each line of the
//! input is the value of one field, and the first byte of all chooses the kind of event.
//!
//! A record has no line feed and no NUL in it, JSON is JSON, and no step of shrinking panics.

#![no_main]

use std::sync::{Arc, LazyLock};

use gatewatch::engine::batch::{EventBatch, FIELDS, Kind, Origin};
use gatewatch::engine::render::{Agent, Encoder, Encoding, Shrink};
use gatewatch::units::Timestamp;
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

static ENCODER: LazyLock<Encoder> = LazyLock::new(|| {
    let name = std::env::var("GATEWATCH_ENCODING").expect("GATEWATCH_ENCODING names an encoding");
    let encoding = Encoding::from_name(&name).expect("an encoding of the table");
    Encoder::new(encoding, &Agent::default(), true)
});

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, text)) = bytes.split_first() else { return };
    let mut batch = EventBatch::default();
    batch.refill(Arc::new(Origin::default()), text.to_vec());
    let (raw, mut writer) = batch.open();
    writer.set_line(raw);
    for (value, entry) in raw.split(|byte| *byte == b'\n').zip(FIELDS) {
        writer.set(entry.field, value);
    }
    let kinds = [Kind::Access, Kind::ServerError, Kind::Auth, Kind::ParseFailure];
    writer.row.kind = kinds[usize::from(choice & 3)];
    writer.row.status = u16::from(*choice) * 3;
    writer.row.time = NOW;
    writer.finish();

    let encoder = ENCODER.open(&batch.origin);
    for record in encoder.records(&batch.event(0)) {
        let mut step = Some(Shrink::NONE);
        while let Some(shrink) = step {
            let mut out = Vec::new();
            encoder.render_shrunk(&record, NOW, shrink, &mut out);
            assert!(!out.iter().any(|byte| matches!(byte, b'\n' | 0)), "more than a line");
            assert!(std::str::from_utf8(&out).is_ok(), "no UTF-8");
            if ENCODER.entry().json {
                serde_json::from_slice::<serde_json::Value>(&out).expect("one JSON object");
            }
            step = shrink.next();
        }
    }
});
