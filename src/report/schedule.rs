//! When the weekly report is due, and which days it covers. Pure: the caller brings the time.
//!
//! A report sent on a Friday at 07:00 covers the seven days that ended at midnight, so the figures
//! of Thursday are complete and fresh.
//!
//! Invariant: the same days are never mailed twice. A report is due only when it ends later than
//! the last one that was sent, so neither a restart, nor a clock set back, nor another `at` sends
//! it again; [`key`] is unique in the outbox and holds that even between two processes. After a
//! downtime only the newest report is sent, and it names those that were missed.

use jiff::ToSpan as _;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use super::config::ReportConfig;
use super::days::{Days, moment};
use super::figures::local;
use crate::units::Timestamp;

/// Transition name of reports in the outbox.
pub const TRANSITION: &str = "report";

/// Missed reports that are named one by one: a year of them.
const MISSED_MAX: usize = 52;

/// The name of a report in the outbox, where it is unique.
pub fn key(days: Days) -> String {
    format!("{TRANSITION}:{days}")
}

/// The days of a report, from its name in the outbox.
pub fn days_of_key(key: &str) -> Option<Days> {
    key.strip_prefix(TRANSITION)?.strip_prefix(':')?.parse().ok()
}

/// A report that should be sent now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Due {
    /// What it covers.
    pub days: Days,
    /// Reports that were never sent because nothing ran when they were due, newest first.
    pub missed: Vec<Days>,
}

/// When reports are sent.
#[derive(Clone, Debug)]
pub struct Schedule {
    weekday: Weekday,
    at: Time,
    zone: TimeZone,
}

impl Schedule {
    /// The schedule of `config` in `zone`; none when reports are switched off.
    pub fn new(config: &ReportConfig, zone: TimeZone) -> Option<Self> {
        let schedule = Self { weekday: config.weekday.into(), at: config.at.into(), zone };
        config.enabled.then_some(schedule)
    }

    /// The report that should be sent now, if any. Reports that were due before `watched_since`
    /// (the first start on this machine) had nothing to say and are not made up for.
    pub fn due(
        &self,
        now: Timestamp,
        watched_since: Timestamp,
        last_sent: Option<Days>,
    ) -> Option<Due> {
        let mut day = self.last_sending_day(now)?;
        let wanted = |day: Date| {
            let fresh = last_sent.is_none_or(|last| last.to() < day);
            fresh && watched_since < moment(day, self.at, &self.zone)
        };
        if !wanted(day) {
            return None;
        }
        let days = Days::week_before(day)?;
        let mut missed = Vec::new();
        while missed.len() < MISSED_MAX {
            day = day.checked_sub(7.days()).ok()?;
            if !wanted(day) {
                break;
            }
            missed.extend(Days::week_before(day));
        }
        Some(Due { days, missed })
    }

    /// The next moment after `now` at which a report is due.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let today = local(now, &self.zone).date();
        // The eighth day is today's weekday again, for when today's moment has passed.
        let days = today.series(1.day()).take(8).filter(|day| day.weekday() == self.weekday);
        days.map(|day| moment(day, self.at, &self.zone)).find(|time| now < *time)
    }

    fn last_sending_day(&self, now: Timestamp) -> Option<Date> {
        let today = local(now, &self.zone).date();
        let mut days = today.series(-1.days()).take(8);
        days.find(|day| day.weekday() == self.weekday && moment(*day, self.at, &self.zone) <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "2026-01-01T00:00Z";

    fn time(text: &str) -> Timestamp {
        let text = text.replace('Z', ":00Z");
        let moment: jiff::Timestamp = text.parse().expect("a time");
        Timestamp::from_secs(moment.as_second() as u64)
    }

    fn schedule(table: &str) -> Schedule {
        let config: ReportConfig = toml::from_str(table).expect("a valid table");
        let zone = config.zone(TimeZone::get("Europe/Paris").expect("a zone")).expect("a zone");
        Schedule::new(&config, zone).expect("reports are on")
    }

    /// What is due at `now`, as `days` or `days, missed days, …`.
    #[track_caller]
    fn check(table: &str, now: &str, since: &str, last: Option<&str>, expected: Option<&str>) {
        let last = last.map(|days| days.parse().expect("days"));
        let due = schedule(table).due(time(now), time(since), last);
        let due = due.map(|due| {
            let all = std::iter::once(due.days).chain(due.missed);
            all.map(|days| days.to_string()).collect::<Vec<_>>().join(", ")
        });
        assert_eq!(expected, due.as_deref());
    }

    #[test]
    fn on_friday_at_seven_the_seven_days_before_are_due() {
        let sent = Some("2026-11-06..2026-11-13");
        check("", "2026-11-20T05:59Z", START, sent, None);
        check("", "2026-11-20T06:00Z", START, sent, Some("2026-11-13..2026-11-20"));
        check("", "2026-11-26T22:00Z", START, sent, Some("2026-11-13..2026-11-20"));
    }

    #[test]
    fn nothing_is_sent_twice() {
        let sent = Some("2026-11-13..2026-11-20");
        check("", "2026-11-20T06:00Z", START, sent, None);
        check("", "2026-11-27T05:59Z", START, sent, None);
        check("at = \"09:00\"", "2026-11-20T08:00Z", START, sent, None);
        check("", "2026-11-14T06:00Z", START, sent, None);
    }

    #[test]
    fn after_a_downtime_the_newest_is_sent_and_names_the_missed_ones() {
        check(
            "",
            "2026-11-22T10:00Z",
            START,
            Some("2026-10-23..2026-10-30"),
            Some("2026-11-13..2026-11-20, 2026-11-06..2026-11-13, 2026-10-30..2026-11-06"),
        );
    }

    #[test]
    fn a_new_installation_begins_with_the_next_friday() {
        let installed = "2026-11-18T10:00Z";
        check("", "2026-11-18T10:01Z", installed, None, None);
        check("", "2026-11-20T06:00Z", installed, None, Some("2026-11-13..2026-11-20"));
    }

    #[test]
    fn another_weekday_sends_what_is_newer_than_the_last_report() {
        let sent = Some("2026-11-13..2026-11-20");
        let table = "weekday = \"monday\"\nat = \"08:30\"\ntimezone = \"UTC\"";
        check(table, "2026-11-23T08:29Z", START, sent, None);
        check(table, "2026-11-23T08:30Z", START, sent, Some("2026-11-16..2026-11-23"));
    }

    #[test]
    fn sending_times_follow_the_clocks_of_the_zone() {
        let friday = schedule("");
        let next = |now| friday.next_after(time(now)).map(|time| time.rfc3339()[..16].to_owned());
        assert_eq!(Some("2026-10-23T05:00".to_owned()), next("2026-10-20T00:00Z"), "summer");
        assert_eq!(Some("2026-10-30T06:00".to_owned()), next("2026-10-23T05:00Z"), "winter");
        // On the night the clocks go forward 02:30 is skipped: the report leaves at 03:30.
        let night = schedule("weekday = \"sunday\"\nat = \"02:30\"");
        let next = night.next_after(time("2026-03-28T12:00Z")).expect("a time");
        assert_eq!("2026-03-29T01:30:00.000Z", next.rfc3339());
        // When they go back 02:30 comes twice: once is enough.
        let next = night.next_after(time("2026-10-24T12:00Z")).expect("a time");
        assert_eq!("2026-10-25T00:30:00.000Z", next.rfc3339());
        assert_eq!("2026-11-01T01:30:00.000Z", night.next_after(next).expect("a time").rfc3339());
    }

    #[test]
    fn a_report_that_is_switched_off_is_never_due() {
        let config: ReportConfig = toml::from_str("enabled = false").expect("a valid table");
        assert!(Schedule::new(&config, TimeZone::UTC).is_none());
    }

    #[test]
    fn the_key_in_the_outbox_reads_back() {
        let days: Days = "2026-11-13..2026-11-20".parse().expect("days");
        assert_eq!("report:2026-11-13..2026-11-20", key(days));
        assert_eq!(Some(days), days_of_key(&key(days)));
        assert_eq!(None, days_of_key("firing:2026-11-13..2026-11-20"));
    }
}
