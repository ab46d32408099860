//! What the rules make of public logs with known attacks: which fire, and at which line first.
//!
//! The logs are others' and lie in a folder of yours, one log a file, that `GATEWATCH_DATASETS`
//! names; without it nothing is judged but the measuring itself. For the scans of
//! ocatak/apache-http-logs, the `OpenSSH` sample of logpai/loghub and the Apache log of
//! elastic/examples:
//!
//! ```sh
//! GATEWATCH_DATASETS=~/logs cargo test --test datasets -- --nocapture
//! ```

#![expect(clippy::print_stdout, reason = "what was measured or skipped is told")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use gatewatch::engine::batch::{EventBatch, Origin};
use gatewatch::engine::detect::{Alert, AlertState, Detectors, Limits, rule};
use gatewatch::engine::enrich::Enricher;
use gatewatch::engine::format::{FormatSet, detect};
use gatewatch::engine::memory::Memory;
use gatewatch::engine::parse::{Parser, Text};
use gatewatch::engine::time::TimeReader;
use gatewatch::units::Timestamp;
use jiff::tz::TimeZone;

/// After every log that is looked at.
const READ_AT: Timestamp = Timestamp::from_secs(1_900_000_000);

/// What was found in a log.
struct Found {
    lines: usize,
    understood: usize,
    began: Timestamp,
    /// The number of the line that raised it, counted from 1, and the alert.
    alerts: Vec<(usize, Alert)>,
}

/// Reads a log as `scan` does, a line at a time.
fn find(log: &[u8]) -> Found {
    let mut times = TimeReader::new(TimeZone::UTC, READ_AT);
    // A reader sees the first block of a file when it makes up its mind.
    let definition = detect(&log[..log.len().min(256 << 10)], &mut times);
    let formats = FormatSet::from_definition(&definition).expect("a format that exists");
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let mut memory = Memory::default();
    let mut detectors = Detectors::new(rule::builtin(), Limits::new(5)).with_one_clock();
    let origin = Arc::new(Origin { source: "log".to_owned(), ..Origin::default() });
    let (mut batch, mut alerts) = (EventBatch::default(), Vec::new());
    let mut found = Found { lines: 0, understood: 0, began: Timestamp(0), alerts: Vec::new() };
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        found.lines += 1;
        let (origin, bytes) = (Arc::clone(&origin), line.to_vec());
        let text = Text { origin, bytes, from: 0, truncated_last: false, read_at: READ_AT };
        parser.fill(&mut batch, text);
        memory.complete(&mut batch, parser.format_name());
        for event in batch.events().filter(|event| !event.row().time_is_read) {
            found.understood += 1;
            if found.began == Timestamp(0) {
                found.began = event.row().time;
            }
        }
        detectors.see(&batch, READ_AT, &mut alerts);
        let fired = alerts.drain(..).filter(|alert| alert.state == AlertState::Firing);
        found.alerts.extend(fired.map(|alert| (found.lines, alert)));
    }
    found
}

/// One row for each rule that fired.
fn table(name: &str, found: &Found) -> String {
    let mut text = format!(
        "{name}: {} lines, {} understood, {} alerts\n",
        found.lines,
        found.understood,
        found.alerts.len()
    );
    let mut told: Vec<&str> = Vec::new();
    for (line, alert) in &found.alerts {
        let id = alert.rule.id.as_str();
        if told.contains(&id) {
            continue;
        }
        told.push(id);
        let count = found.alerts.iter().filter(|(_, other)| other.rule.id == id).count();
        let after = alert.at.since(found.began).secs();
        let _ =
            writeln!(text, "  {id:<34} {count:>4} alerts, first at line {line} after {after} s");
    }
    text
}

#[test]
fn the_line_that_raises_an_alert_is_found() {
    let request = |second: usize, path: &str| {
        format!(
            "203.0.113.7 - - [17/Nov/2026:02:00:{second:02} +0000] \"GET {path} HTTP/1.1\" 404 9 \
             \"-\" \"Mozilla/5.0\"\n"
        )
    };
    let log: String = (0..20).map(|n| request(n, &format!("/nothing/{n}"))).collect();
    let found = find(log.as_bytes());
    assert_eq!((20, 20), (found.lines, found.understood));
    let lines: Vec<_> =
        found.alerts.iter().map(|(line, alert)| (*line, alert.rule.id.as_str())).collect();
    assert!(lines.contains(&(15, "http.scan.paths")), "{lines:?}");
    let told = table("one scan", &found);
    assert!(
        told.contains("http.scan.paths                       1 alerts, first at line 15"),
        "{told}"
    );
}

#[test]
fn public_logs_are_told_rule_by_rule() {
    let Some(folder) = std::env::var_os("GATEWATCH_DATASETS") else {
        println!("skipped: GATEWATCH_DATASETS names no folder with public logs");
        return;
    };
    let entries = fs::read_dir(Path::new(&folder)).expect("GATEWATCH_DATASETS can be read");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.is_file()) {
        let found = find(&fs::read(file).expect("a log"));
        assert_ne!(0, found.understood, "{}: no line is understood", file.display());
        println!("{}", table(&file.display().to_string(), &found));
    }
}
