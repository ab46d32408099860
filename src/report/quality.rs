//! How complete the data behind a report is: silent hours, lines that were not understood, lists
//! that were cut.
//!
//! A small site is silent in many an hour, so silence alone is no gap. It is one where lines were
//! expected: in the same hours of the week before, or, where nobody watched then, in the same hours of
//! the other days, there were at least [`EXPECTED_MIN`] of them. By chance alone silence is then rarer than
//! one in a hundred million.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::days::Days;
use super::figures::local;
use super::top::{CountRow, Ranked};
use super::week::{HourCounts, rfc3339};
use crate::units::Timestamp;

/// Lines that must be missing before a silence counts as a gap.
pub const EXPECTED_MIN: u64 = 20;

/// Gaps that are listed one by one; all of them are counted.
pub const GAPS_MAX: usize = 20;

/// How complete the data is.
#[derive(Clone, Debug, Serialize)]
pub struct Quality {
    /// Hours of the period.
    pub hours: u64,
    /// Of these, hours with at least one line.
    pub hours_with_lines: u64,
    /// Silent hours in which no lines were to be expected.
    pub quiet_hours: u64,
    /// Silent hours in which lines were expected.
    pub gap_hours: u64,
    /// Hours before the first start on this machine, or not over when the report was made.
    pub unwatched_hours: u64,
    /// The gaps, oldest first, at most [`GAPS_MAX`].
    pub gaps: Vec<Gap>,
    /// Gaps beyond those listed.
    pub more_gaps: u64,
    /// Lines read.
    pub lines: u64,
    /// Of these, lines that no format understood.
    pub unparsed: u64,
    /// Shapes of those lines.
    pub shapes: Ranked<CountRow>,
    /// Lines of each source.
    pub sources: Vec<SourceLines>,
    /// Requests that make no sense, by kind, without kinds that did not occur.
    pub malformed: Vec<(&'static str, u64)>,
    /// What a reader must know to read the figures right.
    pub notes: Vec<String>,
}

/// A stretch of silence where lines were expected.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Gap {
    /// Its first hour begins.
    #[serde(serialize_with = "rfc3339")]
    pub from: Timestamp,
    /// Its last hour ends.
    #[serde(serialize_with = "rfc3339")]
    pub to: Timestamp,
    /// Lines that the same hours held otherwise.
    pub expected: u64,
}

/// Lines of one source.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SourceLines {
    /// Its name in the configuration.
    pub name: String,
    /// Lines read.
    pub lines: u64,
    /// Bytes of these lines.
    pub bytes: u64,
}

impl Quality {
    /// Hours whose log is believed to be complete.
    pub fn covered_hours(&self) -> u64 {
        self.hours.saturating_sub(self.gap_hours + self.unwatched_hours)
    }

    /// Every hour is covered.
    pub fn is_complete(&self) -> bool {
        self.covered_hours() == self.hours
    }

    /// More than one line in a hundred was not understood.
    pub fn is_badly_parsed(&self) -> bool {
        self.lines < self.unparsed.saturating_mul(100)
    }
}

/// What [`silence`] found.
#[derive(Debug, Default)]
pub(super) struct Silence {
    pub(super) gaps: Vec<Gap>,
    pub(super) gap_hours: u64,
    pub(super) quiet_hours: u64,
}

/// Counts of hours, by hours since 1970.
pub(super) type Hours = BTreeMap<u32, HourCounts>;

/// Sorts the silent ones among the `watched` hours into gaps and quiet hours. With the hours of
/// the week before comes the first hour that was ever watched.
pub(super) fn silence(
    watched: Range<u32>,
    this: &Hours,
    before: Option<(&Hours, u32)>,
    zone: &TimeZone,
) -> Silence {
    let expected = Expected::new(this, before, zone);
    let lines = |hour: u32| this.get(&hour).map_or(0, |counts| counts.lines);
    let mut found = Silence::default();
    let mut hour = watched.start;
    while hour < watched.end {
        let end = (hour..watched.end).find(|next| 0 < lines(*next)).unwrap_or(watched.end);
        let missing: u64 = (hour..end).map(|hour| expected.lines(hour)).sum();
        let length = u64::from(end - hour);
        // Nobody runs this over logs that never say anything.
        let nothing_at_all = (hour, end) == (watched.start, watched.end);
        if EXPECTED_MIN <= missing || (nothing_at_all && 0 < length) {
            let (from, to) = (begin_of(hour), begin_of(end));
            found.gaps.push(Gap { from, to, expected: missing });
            found.gap_hours += length;
        } else {
            found.quiet_hours += length;
        }
        hour = end + 1;
    }
    found
}

/// When an hour of the store begins.
pub(super) fn begin_of(hour: u32) -> Timestamp {
    Timestamp::from_secs(u64::from(hour) * 3600)
}

/// Lines to be expected in an hour.
struct Expected<'z> {
    /// Lines at each time on the clock in the week before.
    before: BTreeMap<DateTime, u64>,
    /// Hours from this one on have a watched hour a week before them.
    known_from: u32,
    /// Lines in each hour of the day, and on how many days there were any.
    days: BTreeMap<Time, (u64, u64)>,
    zone: &'z TimeZone,
}

const HOURS_OF_WEEK: u32 = 7 * 24;

impl<'z> Expected<'z> {
    fn new(this: &Hours, before: Option<(&Hours, u32)>, zone: &'z TimeZone) -> Self {
        let at = |hour: &u32| local(begin_of(*hour), zone);
        let mut days: BTreeMap<Time, (u64, u64)> = BTreeMap::new();
        for (hour, counts) in this {
            let held = days.entry(at(hour).time()).or_default();
            *held = (held.0 + counts.lines, held.1 + 1);
        }
        let lines = before.iter().flat_map(|(hours, _)| hours.iter());
        Self {
            before: lines.map(|(hour, counts)| (at(hour), counts.lines)).collect(),
            known_from: before.map_or(u32::MAX, |(_, since)| since.saturating_add(HOURS_OF_WEEK)),
            days,
            zone,
        }
    }

    fn lines(&self, hour: u32) -> u64 {
        let at = local(begin_of(hour), self.zone);
        if self.known_from <= hour {
            let week_ago = at.checked_sub(jiff::Span::new().days(7)).ok();
            return week_ago.and_then(|at| self.before.get(&at)).copied().unwrap_or(0);
        }
        self.days.get(&at.time()).map_or(0, |(lines, count)| lines / (*count).max(1))
    }
}

/// Days of `days` with an hour outside the `watched` ones or in a gap.
pub(super) fn incomplete_days(
    days: Days,
    watched: Range<u32>,
    gaps: &[Gap],
    zone: &TimeZone,
) -> BTreeSet<Date> {
    let (from, to) = days.moments(zone);
    let unwatched = [(from, begin_of(watched.start)), (begin_of(watched.end), to)];
    let missing = unwatched.into_iter().chain(gaps.iter().map(|gap| (gap.from, gap.to)));
    let missing = missing.filter(|(from, to)| from < to);
    let days = missing.flat_map(|(from, to)| {
        let last = Timestamp(to.0 - 1);
        let (from, last) = (local(from, zone).date(), local(last, zone).date());
        from.series(jiff::Span::new().days(1)).take_while(move |day| *day <= last)
    });
    days.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u32 = 498_480; // 2026-11-12T00:00Z

    fn hours(lines: impl Fn(u32) -> u64) -> Hours {
        let all = (0..168).map(|hour| (hour, lines(hour)));
        let counts = |lines| HourCounts { lines, ..HourCounts::default() };
        let held = all.filter(|(_, lines)| 0 < *lines);
        held.map(|(hour, lines)| (START + hour, counts(lines))).collect()
    }

    /// Gaps and quiet hours of a week, the week before having `before` lines in each hour.
    #[track_caller]
    fn check(this: impl Fn(u32) -> u64, before: Option<u64>, gaps: &[(u32, u32)], quiet: u64) {
        check_since(this, before, 0, gaps, quiet);
    }

    #[track_caller]
    fn check_since(
        this: impl Fn(u32) -> u64,
        before: Option<u64>,
        since: u32,
        gaps: &[(u32, u32)],
        quiet: u64,
    ) {
        let before: Option<Hours> = before.map(|lines| {
            let all = hours(|_| lines).into_iter().map(|(hour, counts)| (hour - 168, counts));
            all.filter(|(hour, _)| since <= *hour).collect()
        });
        let before = before.as_ref().map(|hours| (hours, since));
        let found = silence(START..START + 168, &hours(this), before, &TimeZone::UTC);
        let index = |time: Timestamp| time.hour() - START;
        let actual: Vec<_> =
            found.gaps.iter().map(|gap| (index(gap.from), index(gap.to))).collect();
        assert_eq!((gaps, quiet), (actual.as_slice(), found.quiet_hours));
        let length: u64 = gaps.iter().map(|(from, to)| u64::from(to - from)).sum();
        assert_eq!(length, found.gap_hours);
    }

    #[test]
    fn silence_is_a_gap_where_the_week_before_was_not_silent() {
        let silent = |hour: u32| if (30..33).contains(&hour) { 0 } else { 50 };
        check(silent, Some(50), &[(30, 33)], 0);
        check(silent, Some(7), &[(30, 33)], 0);
        check(silent, Some(6), &[], 3);
        check(|hour| if hour == 30 { 0 } else { 50 }, Some(EXPECTED_MIN), &[(30, 31)], 0);
    }

    #[test]
    fn a_site_that_sleeps_at_night_has_no_gaps() {
        check(|hour| if hour % 24 < 6 { 0 } else { 50 }, None, &[], 42);
    }

    #[test]
    fn without_a_week_before_the_other_days_tell() {
        check(|hour| if hour == 40 { 0 } else { 50 }, None, &[(40, 41)], 0);
        check(|hour| if hour == 40 { 0 } else { 10 }, None, &[], 1);
        check(|hour| if (1..167).contains(&hour) { 99 } else { 0 }, None, &[(0, 1), (167, 168)], 0);
    }

    #[test]
    fn where_the_week_before_was_not_watched_the_other_days_tell() {
        let silent = |hour: u32| if hour == 30 || hour == 130 { 0 } else { 99 };
        check_since(silent, Some(1), START - 100, &[(30, 31)], 1);
    }

    #[test]
    fn a_week_without_any_line_is_one_gap() {
        check(|_| 0, Some(50), &[(0, 168)], 0);
        check(|_| 0, None, &[(0, 168)], 0);
    }
}
