//! Moments as people type them: `2d`, `yesterday`, `last thursday`, `2026-11-20 07:00`.
//!
//! A word that means a day is the whole day: the beginning of it for `--since`, its end for `--until`.

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;

use crate::units::{Period, Timestamp};

/// A moment, or a day from its midnight to the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct When {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

const HINT: &str = "write a period ago (`2d`, `90m`), a day (`today`, `yesterday`, `last thursday`, \
    `2026-11-20`) or a moment (`07:30`, `2026-11-20 07:30`, `2026-11-20T07:30:00Z`)";

/// What `text` means at `now` in `zone`.
pub(super) fn read(text: &str, now: Timestamp, zone: &TimeZone) -> Result<When, String> {
    let lower = text.trim().to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    let unknown = || format!("`{text}` is no time; {HINT}");
    let today = local(now, zone).ok_or_else(unknown)?.date();
    let found = match words.as_slice() {
        ["now"] => Some(moment(now)),
        ["today"] => day(today, zone),
        ["yesterday"] => today.yesterday().ok().and_then(|date| day(date, zone)),
        [period] | [period, "ago"] if period.parse::<Period>().is_ok() => {
            period.parse().ok().map(|period| moment(now.minus(period)))
        }
        ["last", name] | [name] if weekday(name).is_some() => {
            weekday(name).and_then(|weekday| day(last(weekday, today)?, zone))
        }
        [clock] if !clock.contains(['-', 't']) && clock.parse::<Time>().is_ok() => {
            clock.parse().ok().and_then(|time| civil(today.to_datetime(time), zone))
        }
        [date] if date.parse::<Date>().is_ok() && !date.contains('t') => {
            date.parse().ok().and_then(|date| day(date, zone))
        }
        _ => absolute(text.trim(), zone),
    };
    found.ok_or_else(unknown)
}

fn moment(at: Timestamp) -> When {
    When { from: at, until: at }
}

fn local(at: Timestamp, zone: &TimeZone) -> Option<DateTime> {
    let seconds = i64::try_from(at.secs()).ok()?;
    let stamp = jiff::Timestamp::from_second(seconds).ok()?;
    Some(stamp.to_zoned(zone.clone()).datetime())
}

fn stamp(at: jiff::Timestamp) -> Option<Timestamp> {
    u64::try_from(at.as_nanosecond()).ok().map(Timestamp)
}

fn civil(at: DateTime, zone: &TimeZone) -> Option<When> {
    stamp(at.to_zoned(zone.clone()).ok()?.timestamp()).map(moment)
}

fn day(date: Date, zone: &TimeZone) -> Option<When> {
    let from = civil(date.to_datetime(Time::midnight()), zone)?.from;
    let until = civil(date.tomorrow().ok()?.to_datetime(Time::midnight()), zone)?.from;
    Some(When { from, until })
}

/// A date with a time, with a zone or without; a `T` or a blank between them.
fn absolute(text: &str, zone: &TimeZone) -> Option<When> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return stamp(at).map(moment);
    }
    civil(text.parse::<DateTime>().ok()?, zone)
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

/// The latest such day before `today`.
fn last(weekday: Weekday, today: Date) -> Option<Date> {
    let back = i64::from(weekday.until(today.weekday()));
    let back = if back == 0 { 7 } else { back };
    today.checked_sub(back.days()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Friday, 20 November 2026, 08:00 UTC.
    const NOW: Timestamp = Timestamp::from_secs(1_795_161_600);

    #[track_caller]
    fn check(text: &str, from: &str, until: &str) {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let when = read(text, NOW, &zone).expect(text);
        let short = |time: Timestamp| time.rfc3339().replace(":00.000Z", "Z");
        assert_eq!(
            (from, until),
            (short(when.from).as_str(), short(when.until).as_str()),
            "{text}"
        );
    }

    #[track_caller]
    fn check_moment(text: &str, at: &str) {
        check(text, at, at);
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        check_moment("now", "2026-11-20T08:00Z");
        check_moment("2d", "2026-11-18T08:00Z");
        check_moment("90m ago", "2026-11-20T06:30Z");
        check_moment("07:30", "2026-11-20T06:30Z");
        check_moment("2026-11-19 07:30", "2026-11-19T06:30Z");
        check_moment("2026-11-19T07:30:00Z", "2026-11-19T07:30Z");
        check_moment("2026-11-19t07:30:00+05:00", "2026-11-19T02:30Z");
    }

    #[test]
    fn days_are_whole_days_of_the_zone() {
        check("today", "2026-11-19T23:00Z", "2026-11-20T23:00Z");
        check("Yesterday", "2026-11-18T23:00Z", "2026-11-19T23:00Z");
        check("last thursday", "2026-11-18T23:00Z", "2026-11-19T23:00Z");
        check("last friday", "2026-11-12T23:00Z", "2026-11-13T23:00Z");
        check("monday", "2026-11-15T23:00Z", "2026-11-16T23:00Z");
        check("2026-10-25", "2026-10-24T22:00Z", "2026-10-25T23:00Z");
    }

    #[test]
    fn what_is_no_time_is_told_with_examples() {
        for text in ["", "soon", "last", "next thursday", "2026-13-01", "25:00", "7", "-2d"] {
            let error = read(text, NOW, &TimeZone::UTC).expect_err(text);
            assert!(error.contains("last thursday"), "{error}");
        }
    }
}
