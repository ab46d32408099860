//! The days a report is about: whole days in the organisation's zone.
//!
//! The weekly mail covers the seven days before it is sent, `report --week 2026-W47` an ISO week;
//! both are [`Days`], so there is one code for either. A day lasts 23 or 25 hours when the clocks
//! change; only the zone knows, so every moment is asked of it.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use jiff::ToSpan as _;
use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;

use crate::units::Timestamp;

/// More than a month makes no readable table of days.
const DAYS_MAX: i32 = 31;

/// Whole days from midnight to midnight; written `2026-11-13..2026-11-20`, the end left out.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Days {
    from: Date,
    to: Date,
}

impl Days {
    /// The days from `from` up to, and without, `to`: 1 to 31 of them between 1970 and 2200.
    pub fn new(from: Date, to: Date) -> Option<Self> {
        let days = (to - from).get_days();
        let years = 1970..=2200;
        let in_range = years.contains(&from.year()) && years.contains(&to.year());
        (in_range && (1..=DAYS_MAX).contains(&days)).then_some(Self { from, to })
    }

    /// The seven days that end when `day` begins.
    pub fn week_before(day: Date) -> Option<Self> {
        Self::new(day.checked_sub(7.days()).ok()?, day)
    }

    /// The first day.
    pub fn from(self) -> Date {
        self.from
    }

    /// The day after the last one.
    pub fn to(self) -> Date {
        self.to
    }

    /// The last day.
    pub fn last(self) -> Date {
        self.to.yesterday().expect("a day after 1970")
    }

    /// How many days.
    pub fn count(self) -> u32 {
        (self.to - self.from).get_days().unsigned_abs()
    }

    /// Each of the days.
    pub fn iter(self) -> impl Iterator<Item = Date> {
        self.from.series(1.day()).take(self.count() as usize)
    }

    /// As many days, just before these.
    pub fn before(self) -> Option<Self> {
        Self::new(self.from.checked_sub(i64::from(self.count()).days()).ok()?, self.from)
    }

    /// The ISO week that these days are.
    pub fn iso_week(self) -> Option<Week> {
        let whole = self.count() == 7 && self.from.weekday() == Weekday::Monday;
        whole.then(|| Week(self.from.iso_week_date()))
    }

    /// The moments when the first day begins and the last one ends.
    pub fn moments(self, zone: &TimeZone) -> (Timestamp, Timestamp) {
        (midnight(self.from, zone), midnight(self.to, zone))
    }

    /// The hours of the store, counted from 1970 in UTC, that begin in these days.
    pub fn hours(self, zone: &TimeZone) -> Range<u32> {
        let (from, to) = self.moments(zone);
        let begins_at_or_after = |time: Timestamp| time.secs().div_ceil(3600) as u32;
        begins_at_or_after(from)..begins_at_or_after(to)
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

impl FromStr for Days {
    type Err = DaysError;

    fn from_str(text: &str) -> Result<Self, DaysError> {
        let ends = text
            .split_once("..")
            .and_then(|(from, to)| Self::new(from.parse::<Date>().ok()?, to.parse::<Date>().ok()?));
        ends.ok_or_else(|| DaysError {
            text: text.to_owned(),
            what: "a stretch of 1 to 31 days",
            hint: "write its first day and the day after its last, such as `2026-11-13..2026-11-20`",
        })
    }
}

/// An ISO week, Monday to Sunday; written `2026-W47`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Week(ISOWeekDate);

impl Week {
    /// Its seven days.
    pub fn days(self) -> Days {
        let monday = self.0.date();
        let next = monday.checked_add(7.days()).expect("a week before 2200");
        Days { from: monday, to: next }
    }
}

impl fmt::Display for Week {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-W{:02}", self.0.year(), self.0.week())
    }
}

impl FromStr for Week {
    type Err = DaysError;

    fn from_str(text: &str) -> Result<Self, DaysError> {
        let week = text.split_once("-W").and_then(|(year, week)| {
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let written_in_full = year.len() == 4 && week.len() == 2;
            if !written_in_full || !digits(year) || !digits(week) {
                return None;
            }
            let (year, week) = (year.parse().ok()?, week.parse().ok()?);
            (1970..2200).contains(&year).then_some(())?;
            ISOWeekDate::new(year, week, Weekday::Monday).ok()
        });
        week.map(Self).ok_or_else(|| DaysError {
            text: text.to_owned(),
            what: "a week",
            hint: "write the ISO year and week, such as `2026-W47`",
        })
    }
}

/// A text that should name days.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not {what}; {hint}")]
pub struct DaysError {
    text: String,
    what: &'static str,
    hint: &'static str,
}

/// When `day` begins. Where the clocks skip midnight it begins with the first minute there is.
pub fn midnight(day: Date, zone: &TimeZone) -> Timestamp {
    moment(day, jiff::civil::Time::midnight(), zone)
}

/// When the clocks of `zone` show `time` on `day`: the earlier moment where they show it twice,
/// the time just as long after the gap where they skip it.
pub fn moment(day: Date, time: jiff::civil::Time, zone: &TimeZone) -> Timestamp {
    let moment = zone.to_ambiguous_timestamp(day.to_datetime(time)).compatible();
    let nanos = moment.map_or(0, jiff::Timestamp::as_nanosecond);
    Timestamp(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone of the database")
    }

    #[track_caller]
    fn check(days: &str, zone_name: &str, from: &str, to: &str, hours: u32) {
        let days: Days = days.parse().expect("days");
        let (start, end) = days.moments(&zone(zone_name));
        assert_eq!((from, to), (&start.rfc3339()[..16], &end.rfc3339()[..16]));
        assert_eq!(hours, days.hours(&zone(zone_name)).len() as u32);
    }

    #[test]
    fn an_iso_week_is_monday_to_monday() {
        let week: Week = "2026-W47".parse().expect("a week");
        assert_eq!("2026-11-16..2026-11-23", week.days().to_string());
        assert_eq!("2026-W47", week.to_string());
        assert_eq!(Some(week), week.days().iso_week());
        let first: Week = "2026-W01".parse().expect("a week");
        assert_eq!("2025-12-29..2026-01-05", first.days().to_string());
        assert_eq!(Ok("2026-W53".to_owned()), "2026-W53".parse::<Week>().map(|w| w.to_string()));
    }

    #[test]
    fn what_is_no_week_is_refused_with_an_example() {
        for text in ["2025-W53", "2026-W00", "2026-47", "2026-W7", "26-W07", "2026-W+7", ""] {
            let error = text.parse::<Week>().expect_err(text).to_string();
            assert!(error.contains("such as `2026-W47`"), "{error}");
        }
    }

    #[test]
    fn days_read_and_print_the_same_text() {
        let days: Days = "2026-11-13..2026-11-20".parse().expect("days");
        assert_eq!("2026-11-13..2026-11-20", days.to_string());
        assert_eq!((7, None), (days.count(), days.iso_week()));
        assert_eq!("2026-11-19", days.last().to_string());
        assert_eq!(Some("2026-11-06..2026-11-13".parse().expect("days")), days.before());
        assert_eq!(Some(days), Days::week_before(days.to()));
        assert_eq!(7, days.iter().count());
        for text in ["2026-11-20..2026-11-13", "2026-11-13..2026-12-31", "2026-11-13", "a..b"] {
            assert!(text.parse::<Days>().is_err(), "{text}");
        }
    }

    #[test]
    fn weeks_are_an_hour_longer_or_shorter_when_the_clocks_change() {
        let (summer, winter) = ("2026-03-27..2026-04-03", "2026-10-23..2026-10-30");
        check(summer, "Europe/Paris", "2026-03-26T23:00", "2026-04-02T22:00", 167);
        check(winter, "Europe/Paris", "2026-10-22T22:00", "2026-10-29T23:00", 169);
        check(winter, "UTC", "2026-10-23T00:00", "2026-10-30T00:00", 168);
    }

    #[test]
    fn a_day_whose_midnight_is_skipped_begins_when_the_clocks_go_on() {
        check(
            "2026-03-08..2026-03-09",
            "America/Havana",
            "2026-03-08T05:00",
            "2026-03-09T04:00",
            23,
        );
    }

    #[test]
    fn days_that_begin_at_half_past_take_the_hours_that_begin_in_them() {
        check(
            "2026-11-13..2026-11-20",
            "Asia/Kolkata",
            "2026-11-12T18:30",
            "2026-11-19T18:30",
            168,
        );
        let days: Days = "2026-11-13..2026-11-20".parse().expect("days");
        let first = Timestamp::from_secs(u64::from(days.hours(&zone("Asia/Kolkata")).start) * 3600);
        assert_eq!("2026-11-12T19:00:00.000Z", first.rfc3339());
    }
}
