//! Any bytes as a list of indicators, read in each of its forms, then as lines that are held against it.
//! What a list takes up is found again.

#![no_main]

use std::sync::Arc;

use gatewatch::engine::batch::EventBatch;
use gatewatch::engine::enrich::Enricher;
use gatewatch::engine::feed::{
    Builder, Columns, CsvReader, Feed, FeedConfig, FeedSet, PlainReader, read_misp,
    read_misp_header, read_stix,
};
use gatewatch::engine::format::FormatSet;
use gatewatch::engine::parse::{Parser, Text};
use gatewatch::engine::time::TimeReader;
use gatewatch::units::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

fuzz_target!(|bytes: &[u8]| {
    let lines = || bytes.split(|byte| *byte == b'\n');
    let plain = list(|out| {
        let mut reader = PlainReader::default();
        lines().for_each(|line| reader.line(line, out));
    });
    let csv = list(|out| {
        let mut reader = CsvReader::new(&Columns::default());
        lines().for_each(|line| reader.line(line, out));
        let _ = reader.end(out);
    });
    let json = || serde_json::Deserializer::from_slice(bytes);
    let stix = list(|out| drop(read_stix(&mut json(), out)));
    let misp = list(|out| {
        if let Ok(header) = read_misp_header(&mut json()) {
            drop(read_misp(&mut json(), &header, out));
        }
    });
    for feed in [&plain, &csv, &stix, &misp] {
        let different: u64 = feed.counts().map(|(_, count)| count).sum();
        assert!(different <= feed.report().taken, "each indicator comes from an entry");
    }
    let feeds = [plain, csv, stix, misp].map(Arc::new).to_vec();
    let formats = FormatSet::from_definition("auto:combined").expect("a definition");
    let times = TimeReader::new(TimeZone::UTC, NOW);
    let enricher = Enricher { feeds: Some(FeedSet::new(feeds)), ..Enricher::default() };
    let mut parser = Parser::new(formats, times, Arc::new(enricher));
    let text = String::from_utf8_lossy(bytes).replace(['"', '\n', '\\'], " ");
    let client = text.split_whitespace().next().unwrap_or("203.0.113.7");
    let log = format!(
        "{client} - - [20/Nov/2026:07:00:00 +0000] \"GET {text} HTTP/1.1\" 200 1 \"{text}\" \"{text}\"\n"
    );
    let mut batch = EventBatch::default();
    let (origin, bytes) = (Arc::default(), log.into_bytes());
    parser.fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at: NOW });
});

fn list(read: impl FnOnce(&mut Builder)) -> Feed {
    let settings = FeedConfig::of_file("fuzz".as_ref());
    let mut out = Builder::new(&settings, NOW, 7);
    read(&mut out);
    out.finish(&settings).expect("few entries")
}
