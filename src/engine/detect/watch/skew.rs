//! Clocks that are wrong: lines of a source that is being written, far from the time of reading.
//!
//! A line read long after it was written is either old or stamped by a wrong clock. What tells them
//! apart: a wrong clock stays wrong by the same amount while time passes, an old log is read in no
//! time, and the distance shrinks from line to line. So the distance must stay the same, within
//! [`DRIFT_MAX`], over the rule's number of lines and for as long as the rule's window.

use super::Reported;
use super::findings::{Findings, Found};
use crate::engine::batch::{Event, Stamp};
use crate::engine::detect::circumstances::Told;
use crate::engine::detect::rule::Rule;
use crate::units::{Period, Timestamp};

/// How far the distances of successive lines may differ.
const DRIFT_MAX: Period = Period::from_secs(60);

/// All sources under the rule about clocks.
#[derive(Debug)]
pub(super) struct Skews {
    /// The number of the rule, its window in milliseconds, and how many lines it asks for.
    rule: Option<(usize, u64, u64)>,
    /// In the order of the sources' clocks.
    runs: Vec<Run>,
}

/// Lines in a row that are off by the same amount.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    lines: u64,
    /// How far the first of them is off, in milliseconds; below zero where it is from the future.
    off: i64,
    /// When the first of them was read.
    since: Timestamp,
    /// An alert about the source may be going on.
    is_told: bool,
}

impl Skews {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let clock = |(number, rule): (usize, &Rule)| {
            let asked = (number, rule.window().ms(), rule.events_max() as u64);
            (rule.reported == Some(Reported::Clock)).then_some(asked)
        };
        let rule = rules.iter().enumerate().find_map(clock);
        Self { rule, runs: Vec::new() }
    }

    /// Sees an event of the source at `place`.
    #[inline]
    pub(super) fn see(
        &mut self,
        rules: &[Rule],
        place: usize,
        event: &Event<'_>,
        read_at: Timestamp,
        (findings, told): (&mut Findings, Told<'_>),
    ) {
        let Some((number, window, lines)) = self.rule else { return };
        if self.runs.len() <= place {
            // An alert may have been taken up from the last run.
            let run = Run { is_told: !findings.is_empty(), ..Run::default() };
            self.runs.resize(place + 1, run);
        }
        let run = &mut self.runs[place];
        let off = read_at.ms().cast_signed() - end_of(event).ms().cast_signed();
        if off.unsigned_abs() <= window {
            let was_told = std::mem::take(&mut run.is_told);
            run.lines = 0;
            if was_told {
                findings.end(number, &group(event), read_at, told.1);
            }
            return;
        }
        if run.lines == 0 || DRIFT_MAX.ms() < run.off.abs_diff(off) {
            (run.lines, run.off, run.since) = (0, off, read_at);
        }
        run.lines += 1;
        if lines <= run.lines && window <= read_at.since(run.since).ms() {
            run.is_told = true;
            let (detail, since, count) = (&*in_words(run.off), run.since, run.lines);
            let found = Found { group: group(event), detail, since, now: read_at, count };
            findings.hold(&rules[number], number, found, told);
        }
    }
}

/// When the line was written, as far as it says.
fn end_of(event: &Event<'_>) -> Timestamp {
    let row = event.row();
    match row.duration_ns {
        Some(took) if row.stamp == Stamp::Start => Timestamp(row.time.0.saturating_add(took)),
        _ => row.time,
    }
}

fn group(event: &Event<'_>) -> Vec<(String, String)> {
    vec![("source".to_owned(), event.origin().source.clone())]
}

/// `62m behind`.
fn in_words(off: i64) -> String {
    let minutes = Period::from_secs(off.unsigned_abs() / 60_000 * 60);
    format!("{minutes} {}", if off < 0 { "ahead" } else { "behind" })
}
