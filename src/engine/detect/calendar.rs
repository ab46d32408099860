//! Days and hours of the week in the organisation's zone, and the days on which nobody comes.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use serde::Deserialize;

use crate::units::{Day, Period, TimeOfDay, Timestamp, Weekday};

/// Zone and holidays.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Calendar {
    /// The zone that days and hours are in.
    pub zone: TimeZone,
    /// Days on which nobody is missed.
    pub holidays: Vec<Day>,
}

impl Default for Calendar {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, holidays: Vec::new() }
    }
}

impl Calendar {
    /// `time` as clocks on walls show it.
    pub fn local(&self, time: Timestamp) -> Zoned {
        let seconds = i64::try_from(time.secs()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        time.to_zoned(self.zone.clone())
    }

    /// The moment at which clocks on walls show `time`; the later one where there are two, and the
    /// one after the gap where there is none.
    pub(super) fn moment(&self, time: DateTime) -> Timestamp {
        let zoned = self.zone.to_ambiguous_zoned(time).later();
        let seconds = zoned.map_or(0, |zoned| zoned.timestamp().as_second());
        Timestamp::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    /// It is a day on which nobody is missed.
    pub(in crate::engine) fn is_holiday(&self, day: Date) -> bool {
        self.holidays.iter().any(|holiday| holiday.0 == day)
    }
}

/// Days of the week and hours of these days, such as the nights of a week-end.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Hours {
    /// Days of the week; all of them if none is named.
    pub days: Vec<Weekday>,
    /// When they begin; midnight if nothing is said.
    pub from: Option<TimeOfDay>,
    /// When they end; the end of the day if nothing is said. Earlier than the beginning: on the
    /// day after.
    pub to: Option<TimeOfDay>,
}

impl Hours {
    /// The hours on `day` hold.
    pub(super) fn has_day(&self, day: Date) -> bool {
        let weekday = day.weekday();
        self.days.is_empty() || self.days.iter().any(|named| weekday == (*named).into())
    }

    /// When the hours of a day begin.
    pub(super) fn begin(&self) -> Time {
        self.from.unwrap_or(TimeOfDay::MIDNIGHT).into()
    }

    /// They hold at `time`.
    pub(super) fn hold(&self, calendar: &Calendar, time: Timestamp) -> bool {
        let local = calendar.local(time);
        let (day, clock, from) = (local.date(), local.time(), self.begin());
        match self.to.filter(|to| *to != TimeOfDay::MIDNIGHT).map(Time::from) {
            None => self.has_day(day) && from <= clock,
            Some(to) if from < to => self.has_day(day) && from <= clock && clock < to,
            Some(to) => {
                let day_before = day.checked_sub(1.day()).unwrap_or(day);
                (self.has_day(day) && from <= clock) || (self.has_day(day_before) && clock < to)
            }
        }
    }
}

/// How long a day may be searched for that is on the calendar: longer holidays end a schedule.
const DAYS_AHEAD: i32 = 400;

/// The first of `times` on a day of `hours`, no holiday, that lies after `after`, with that day.
pub(super) fn next(
    calendar: &Calendar,
    hours: &Hours,
    times: &[TimeOfDay],
    after: Timestamp,
) -> Option<(Timestamp, Date)> {
    // A day before, because zones may move a moment over midnight.
    let first = calendar.local(after.minus(Period::from_secs(86_400))).date();
    let days = first.series(1.day()).take(DAYS_AHEAD as usize);
    let mut days = days.filter(|day| hours.has_day(*day) && !calendar.is_holiday(*day));
    days.find_map(|day| {
        let moments = times.iter().map(|time| calendar.moment(day.to_datetime((*time).into())));
        moments.filter(|moment| after < *moment).min().map(|moment| (moment, day))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar() -> Calendar {
        let day = Day::try_from("2026-12-24".to_owned()).expect("a day");
        Calendar { zone: TimeZone::get("Europe/Paris").expect("a zone"), holidays: vec![day] }
    }

    fn at(text: &str) -> Timestamp {
        calendar().moment(text.parse().expect("a time"))
    }

    #[track_caller]
    fn check(hours: &str, time: &str, expected: bool) {
        let hours: Hours = toml::from_str(hours).expect("hours");
        assert_eq!(expected, hours.hold(&calendar(), at(time)), "{hours:?} {time}");
    }

    #[test]
    fn hours_hold_on_their_days_and_may_reach_into_the_next() {
        // A Thursday.
        check("", "2026-11-19T03:00", true);
        check("days = [\"thursday\"]", "2026-11-19T00:00", true);
        check("days = [\"thursday\"]", "2026-11-19T23:59", true);
        check("days = [\"thursday\"]", "2026-11-20T00:00", false);
        let evening = "days = [\"thursday\"]\nfrom = \"17:00\"\nto = \"21:00\"";
        check(evening, "2026-11-19T16:59", false);
        check(evening, "2026-11-19T17:00", true);
        check(evening, "2026-11-19T21:00", false);
        let night = "days = [\"thursday\"]\nfrom = \"22:00\"\nto = \"02:00\"";
        check(night, "2026-11-19T01:00", false);
        check(night, "2026-11-19T22:30", true);
        check(night, "2026-11-20T01:59", true);
        check(night, "2026-11-20T22:30", false);
        check("from = \"22:00\"\nto = \"00:00\"", "2026-11-20T23:30", true);
    }

    #[track_caller]
    fn check_next(after: &str, expected: &str) {
        let hours = Hours { days: vec![Weekday::Thursday], ..Hours::default() };
        let times = [TimeOfDay::at_hour(18), TimeOfDay::at_hour(2)];
        let (moment, day) = next(&calendar(), &hours, &times, at(after)).expect("a moment");
        assert_eq!(expected, format!("{} {day}", calendar().local(moment).strftime("%F %R")));
    }

    #[test]
    fn the_next_moment_passes_over_holidays_and_knows_when_clocks_change() {
        check_next("2026-11-18T12:00", "2026-11-19 02:00 2026-11-19");
        check_next("2026-11-19T02:00", "2026-11-19 18:00 2026-11-19");
        check_next("2026-11-19T18:00", "2026-11-26 02:00 2026-11-26");
        check_next("2026-12-20T00:00", "2026-12-31 02:00 2026-12-31");
        let hours = Hours::default();
        let at_half_past_two = [TimeOfDay::try_from("02:30".to_owned()).expect("a time")];
        let next = |after: &str| next(&calendar(), &hours, &at_half_past_two, at(after));
        // In the night of the 29th of March there is no half past two.
        let (moment, _) = next("2026-03-28T12:00").expect("a moment");
        assert_eq!("03:30", calendar().local(moment).strftime("%R").to_string());
        // In that of the 25th of October there are two, an hour apart.
        let (moment, _) = next("2026-10-24T12:00").expect("a moment");
        assert_eq!("02:30 +0100", calendar().local(moment).strftime("%R %z").to_string());
    }
}
