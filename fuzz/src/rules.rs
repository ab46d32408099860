//! A rule file, then lines of a log behind a line `%%`: a file of Sigma's, or one of ours where it
//! begins with `schema`. Reading ends, and all rules at once say what each says alone.

#![no_main]

use std::sync::Arc;

use gatewatch::engine::batch::EventBatch;
use gatewatch::engine::detect::matcher::{Matcher, RuleSet};
use gatewatch::engine::detect::predicate::Predicate;
use gatewatch::engine::detect::rule;
use gatewatch::engine::detect::sigma::Collection;
use gatewatch::engine::format::FormatSet;
use gatewatch::engine::parse::{Parser, Text};
use gatewatch::engine::time::TimeReader;
use gatewatch::units::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (rules, log) = text.split_once("\n%%\n").unwrap_or((text, ""));
    let conditions = conditions(rules);
    let mut matcher = Matcher::new(Arc::new(RuleSet::new(conditions.clone())));
    let batch = batch(log);
    for event in batch.events() {
        let alone = (0u32..).zip(&conditions).filter(|(_, one)| one.holds(&event));
        let alone: Vec<u32> = alone.map(|(number, _)| number).collect();
        assert_eq!(alone, matcher.matching(&event), "all at once");
    }
});

fn conditions(text: &str) -> Vec<Predicate> {
    if text.starts_with("schema") {
        let (rules, _) = rule::parse_each(text);
        return rules.into_iter().map(|rule| rule.condition).collect();
    }
    let mut collection = Collection::default();
    collection.read("fuzz.yml", text);
    let compiled = collection.compile();
    assert!(compiled.rules.len() <= compiled.report.len(), "each rule has an entry");
    compiled.rules.into_iter().map(|rule| rule.condition).collect()
}

fn batch(log: &str) -> EventBatch {
    let formats = FormatSet::from_definition("auto:combined").expect("a definition");
    let times = TimeReader::new(TimeZone::UTC, NOW);
    let mut parser = Parser::new(formats, times, Arc::default());
    let mut batch = EventBatch::default();
    let (origin, bytes) = (Arc::default(), log.as_bytes().to_vec());
    parser.fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at: NOW });
    batch
}
