//! What must hold for any bytes that are read as a log, whatever the format.

use std::sync::Arc;

use gatewatch::engine::batch::{EventBatch, Kind, Origin};
use gatewatch::engine::enrich::Enricher;
use gatewatch::engine::format::FormatSet;
use gatewatch::engine::parse::{Parser, Text};
use gatewatch::engine::render::{Agent, Encoder, Encoding};
use gatewatch::engine::time::TimeReader;
use gatewatch::units::Timestamp;
use jiff::tz::TimeZone;

/// The time of reading.
const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

/// Reads `bytes` with `formats` and looks at every event.
///
/// Each line is one event, in order; each event is one JSON object on one line, with no control
/// character in it.
pub fn read(formats: FormatSet, bytes: &[u8]) {
    let times = TimeReader::new(TimeZone::UTC, NOW);
    let enricher = Enricher { user_agents: true, ..Enricher::default() };
    let mut parser = Parser::new(formats, times, Arc::new(enricher));
    parser.keep_empty = true;
    let mut batch = EventBatch::default();
    let origin = Arc::new(Origin { source: "fuzz".to_owned(), ..Origin::default() });
    let bytes_in = bytes.to_vec();
    let text = Text { origin, bytes: bytes_in, from: 0, truncated_last: false, read_at: NOW };
    parser.fill(&mut batch, text);

    let lines = bytes.split(|byte| *byte == b'\n').count();
    let lines = lines - usize::from(bytes.is_empty() || bytes.ends_with(b"\n"));
    assert_eq!(lines, batch.len(), "one event for each line");
    let ecs = Encoder::new(Encoding::Ecs, &Agent::default(), true);
    let mut out = Vec::new();
    for event in batch.events() {
        assert_ne!(
            Some(&b"internal error while reading this line"[..]),
            event.field(gatewatch::engine::batch::Field::Error),
            "a parser panicked"
        );
        assert!(event.row().kind != Kind::ParseFailure || event.row().auth.is_none());
        out.clear();
        ecs.render(&event, NOW, &mut out);
        assert!(out.iter().all(|byte| 0x20 <= *byte && *byte != 0x7f), "a control character");
        serde_json::from_slice::<serde_json::Value>(&out).expect("one JSON object");
    }
}
