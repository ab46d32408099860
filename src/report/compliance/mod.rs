//! The day on which everybody should log in: who came, who was late, who was not seen.
//!
//! ```text
//!  sightings of the store, roster ──▶ judge: one day, everybody ──▶ list: `--who-logged-in`
//!                                          │ and the days of the weeks before
//!                                          ▼
//!                                     Compliance: section 2 of the report ──▶ words
//! ```
//!
//! Pure, as all of the report. Absence of evidence is no evidence of absence: where lines of the
//! window are missing, figures are lower bounds and say so, and nobody is "absent", only not seen.

mod config;
mod doubt;
mod judge;
pub mod list;
pub mod words;

use std::collections::BTreeSet;

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Serialize;

pub use config::{ComplianceConfig, Least};
pub use doubt::{Doubts, Watched};
pub use judge::{DayRows, MemberRow, Others, State, StrangerRow, Terms};

use super::days::Days;
use super::figures;
use super::week::rfc3339;
use crate::units::Timestamp;

/// People listed in the report; all of them are counted, and `--who-logged-in` lists all.
const LISTED_MAX: usize = 20;
/// Earlier weeks that tell what is usual.
pub const WEEKS: usize = 8;
/// Fewer weeks tell nothing.
const WEEKS_MIN: usize = 4;

/// What the section is made of.
#[derive(Clone, Debug)]
pub struct ComplianceInput<'a> {
    /// What is asked, of whom.
    pub terms: Terms<'a>,
    /// How the day went, with [`DayRows::with_running`].
    pub today: DayRows,
    /// How the same day of the weeks before went, the newest first; those that nobody watched, and
    /// holidays, are left out.
    pub before: Vec<DayRows>,
    /// Who was there on any day before; nothing where too little was seen to tell.
    pub known: Option<BTreeSet<String>>,
    /// Why the figures may be too low.
    pub doubts: Doubts,
    /// Now.
    pub now: Timestamp,
}

/// Section 2 of the weekly report.
#[derive(Clone, Debug, Serialize)]
pub struct Compliance {
    /// `2026-11-19`.
    pub day: String,
    /// `Thursday`.
    pub weekday: String,
    /// `08:00–24:00`.
    pub window: String,
    /// Zone of the day.
    pub zone: String,
    /// The weakest evidence that counts.
    pub evidence: &'static str,
    /// Until when somebody may be late.
    #[serde(serialize_with = "rfc3339")]
    pub grace_ends: Timestamp,
    /// That time is over.
    pub grace_is_over: bool,
    /// It was a holiday: nobody was expected.
    pub is_holiday: bool,
    /// Lines of the window are missing: all figures are lower bounds.
    pub at_least: bool,
    /// What makes the figures doubtful.
    pub doubts: Vec<String>,
    /// People of the roster.
    pub roster: u64,
    /// Of these, not expected.
    pub exempt: u64,
    /// Expected.
    pub expected: u64,
    /// Logged in within the window.
    pub done: u64,
    /// Logged in within the grace.
    pub late: u64,
    /// Was refused, and never let in.
    pub failed_only: u64,
    /// The name was seen, and nobody is known to have checked it.
    pub unproven: u64,
    /// Only before the window.
    pub early: u64,
    /// Nothing was seen.
    pub never: u64,
    /// Tenths of a percent of those expected.
    pub rate_permille: Option<u64>,
    /// The week before.
    pub before: Option<Earlier>,
    /// What is usual.
    pub usual: Option<Usual>,
    /// How many came in each hour of the day.
    pub hours: Vec<u64>,
    /// Who was late.
    pub late_members: Listed<MemberRow>,
    /// Who was expected and not let in, those first who were missing most often in a row.
    pub missing_members: Listed<MemberRow>,
    /// How many were missing on two of these days in a row, or more.
    pub missing_running: u64,
    /// Who came for the first time; nothing where too little is known of the time before.
    pub first_timers: Option<Listed<MemberRow>>,
    /// Who was let in and is not on the roster.
    pub strangers: Listed<StrangerRow>,
    /// What is known of the rest.
    pub others: Others,
}

/// The same day a week earlier.
#[derive(Clone, Debug, Serialize)]
pub struct Earlier {
    /// The day.
    pub day: String,
    /// Expected, by the roster of today.
    pub expected: u64,
    /// Logged in within the window.
    pub done: u64,
    /// Logged in within the grace.
    pub late: u64,
    /// Tenths of a percentage point between then and now.
    pub change_permille: Option<i64>,
}

/// What is usual, in tenths of a percent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Usual {
    /// The middle one of the weeks before.
    pub median_permille: u64,
    /// Nine of ten days are not below.
    pub low_permille: u64,
    /// Nor above.
    pub high_permille: u64,
    /// Weeks this rests on.
    pub weeks: u64,
}

/// The first ones of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed<R> {
    /// The first ones.
    pub list: Vec<R>,
    /// How many there are besides.
    pub more: u64,
}

impl<R> Listed<R> {
    fn of(mut list: Vec<R>) -> Self {
        let more = list.len().saturating_sub(LISTED_MAX) as u64;
        list.truncate(LISTED_MAX);
        Self { list, more }
    }

    /// All of them.
    pub fn count(&self) -> u64 {
        self.list.len() as u64 + self.more
    }
}

impl Compliance {
    /// Makes the section.
    pub fn build(input: ComplianceInput<'_>) -> Self {
        let ComplianceInput { terms, mut today, before, known, doubts, now } = input;
        let (_, _, grace_ends) = terms.window(today.day);
        let is_holiday = terms.calendar.holidays.iter().any(|day| day.0 == today.day);
        let of = |wanted: fn(&MemberRow) -> bool| -> Vec<MemberRow> {
            today.members.iter().filter(|row| wanted(row)).cloned().collect()
        };
        let mut missing = if is_holiday { Vec::new() } else { of(|row| row.state.is_missing()) };
        missing.sort_by_key(|row| std::cmp::Reverse(row.missing_running));
        let (expected, done) = (today.expected(), today.count(State::Done));
        let rate = rate(&today).filter(|_| !is_holiday);
        let first_timers = known.map(|known| {
            let mut rows = of(|row| row.at.is_some());
            rows.retain(|row| !known.contains(&row.user));
            Listed::of(rows)
        });
        let rates: Vec<u64> = before.iter().filter_map(self::rate).collect();
        let mut hours = vec![0; 24];
        let came = today.hours.iter().zip(&today.members);
        for (hour, _) in came.filter(|(_, row)| row.state == State::Done) {
            hours[hour.unwrap_or_default() as usize] += 1;
        }
        Self {
            day: today.day.to_string(),
            weekday: today.day.strftime("%A").to_string(),
            window: words::window(terms.config),
            zone: figures::zone_name(terms.zone(), grace_ends),
            evidence: crate::engine::batch::Grade::from(terms.config.evidence).name(),
            grace_ends,
            grace_is_over: grace_ends <= now,
            is_holiday,
            at_least: doubts.at_least,
            doubts: doubts.reasons,
            roster: today.members.len() as u64,
            exempt: today.count(State::Exempt),
            expected,
            done,
            late: today.count(State::Late),
            failed_only: today.count(State::FailedOnly),
            unproven: today.count(State::Unproven),
            early: today.count(State::Early),
            never: today.count(State::Never),
            rate_permille: rate,
            before: before.iter().find(|earlier| Some(earlier.day) == week_ago(today.day)).map(
                |earlier| Earlier {
                    day: earlier.day.to_string(),
                    expected: earlier.expected(),
                    done: earlier.count(State::Done),
                    late: earlier.count(State::Late),
                    change_permille: rate
                        .zip(self::rate(earlier))
                        .map(|(now, then)| now.cast_signed() - then.cast_signed()),
                },
            ),
            usual: usual(rates),
            hours,
            late_members: Listed::of(of(|row| row.state == State::Late)),
            missing_running: missing.iter().filter(|row| 1 < row.missing_running).count() as u64,
            missing_members: Listed::of(missing),
            first_timers,
            strangers: Listed::of(std::mem::take(&mut today.strangers)),
            others: today.others,
        }
    }

    /// Fewer than usual came, as far as the data tells.
    pub fn is_low(&self) -> bool {
        let rate = self.rate_permille.zip(self.usual);
        !self.at_least && rate.is_some_and(|(rate, usual)| rate < usual.low_permille)
    }
}

/// The last day of `days` that is one of the days in question.
pub fn day_in(days: Days, terms: &Terms<'_>) -> Option<Date> {
    let weekday = jiff::civil::Weekday::from(terms.config.weekday);
    days.iter().filter(|day| day.weekday() == weekday).last()
}

/// The same day of the weeks before, the newest first, without holidays.
pub fn days_before(day: Date, terms: &Terms<'_>) -> Vec<Date> {
    let days = (1..=WEEKS as i64).filter_map(|weeks| day.checked_sub((7 * weeks).days()).ok());
    days.filter(|day| !terms.calendar.holidays.iter().any(|holiday| holiday.0 == *day)).collect()
}

fn week_ago(day: Date) -> Option<Date> {
    day.checked_sub(7.days()).ok()
}

/// Tenths of a percent of those expected who were there in time.
fn rate(day: &DayRows) -> Option<u64> {
    let (done, expected) = (day.count(State::Done), day.expected());
    (0 < expected).then(|| (2000 * done / expected).div_ceil(2))
}

/// The median of the rates, and the band that holds nine of ten, by the median distance from it.
fn usual(mut rates: Vec<u64>) -> Option<Usual> {
    if rates.len() < WEEKS_MIN {
        return None;
    }
    let weeks = rates.len() as u64;
    let median = median(&mut rates);
    let mut distances: Vec<u64> = rates.iter().map(|rate| rate.abs_diff(median)).collect();
    // 1.645 deviations hold nine of ten, and 1.4826 median distances are one deviation. A rate moves
    // by whole people, so the band is never narrower than a percentage point.
    let reach = (self::median(&mut distances) as f64 * 1.4826 * 1.645).round().max(10.0) as u64;
    Some(Usual {
        median_permille: median,
        low_permille: median.saturating_sub(reach),
        high_permille: (median + reach).min(1000),
        weeks,
    })
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2,
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests;
