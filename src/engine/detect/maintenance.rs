//! Times at which some alerts are expected: recorded as ever, and mailed to nobody.
//!
//! Rules about log-ins are muted only where they are named one by one: whoever knows when you
//! work on the servers must not find the door unwatched.

use jiff::civil::DateTime;
use serde::Deserialize;

use super::allow::covers;
use super::calendar::{Calendar, Hours};
use super::rule::Rule;
use crate::units::{TimeOfDay, Timestamp, Weekday};

/// An entry of `[[maintenance]]`: once, from `begins` to `ends`, or every week on `days`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// What people call it.
    pub name: String,
    /// Rules whose alerts are not mailed: ids, or their beginnings followed by `*`.
    pub rules: Vec<String>,
    /// When it begins, where it happens once: `2026-12-01T22:00`, in the zone of `[calendar]`.
    pub begins: Option<Moment>,
    /// When it ends.
    pub ends: Option<Moment>,
    /// Days of the week on which it begins, where it comes again.
    #[serde(default)]
    pub days: Vec<Weekday>,
    /// In which weeks of a month: 1 for the days from the first to the seventh; all if none is
    /// named.
    #[serde(default)]
    pub weeks_of_month: Vec<u8>,
    /// Time of day at which it begins.
    pub from: Option<TimeOfDay>,
    /// Time of day at which it ends; on the next day where that is earlier.
    pub to: Option<TimeOfDay>,
}

/// A moment as clocks on walls show it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Moment(DateTime);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = text.parse().map(Self);
        read.map_err(|_| format!("`{text}` is no moment such as `2026-12-01T22:00`"))
    }
}

impl Maintenance {
    /// What is wrong with the entry: the key and the reason.
    pub fn complaint(&self, rules: &[Rule]) -> Option<(&'static str, String)> {
        let said = |key, reason: &str| Some((key, reason.to_owned()));
        match (self.begins, self.ends) {
            (Some(begins), Some(ends)) if ends.0 <= begins.0 => {
                return said("ends", "it lies before `begins`");
            }
            (Some(_), Some(_)) if self.repeats() => {
                return said("days", "`begins` and `ends` are for what happens once");
            }
            (Some(_), None) => return said("ends", "say when it ends: it must not last for ever"),
            (None, Some(_)) => return said("begins", "say when it begins"),
            (None, None) if self.from.is_none() || self.to.is_none() => {
                return said("from", "it needs `begins` and `ends`, or `days`, `from` and `to`");
            }
            _ => {}
        }
        if self.weeks_of_month.iter().any(|week| !(1..=5).contains(week)) {
            return said("weeks_of_month", "a month has the weeks 1 to 5");
        }
        let is_of_none = |pattern: &&String| !rules.iter().any(|rule| mutes(pattern, rule));
        let pattern = self.rules.iter().find(is_of_none)?;
        let reason = if rules.iter().any(|rule| covers(pattern, &rule.id)) {
            format!("`{pattern}`: rules about log-ins are muted by their whole id only")
        } else {
            format!("`{pattern}` is the id of no rule that is in force")
        };
        Some(("rules", reason))
    }

    fn repeats(&self) -> bool {
        !self.days.is_empty() || self.from.is_some() || self.to.is_some()
    }

    /// It mutes `rule` at `time`.
    pub(super) fn holds(&self, rule: &Rule, calendar: &Calendar, time: Timestamp) -> bool {
        if !self.rules.iter().any(|pattern| mutes(pattern, rule)) {
            return false;
        }
        if let (Some(begins), Some(ends)) = (self.begins, self.ends) {
            return calendar.moment(begins.0) <= time && time < calendar.moment(ends.0);
        }
        let hours = Hours { days: self.days.clone(), from: self.from, to: self.to };
        hours.hold(calendar, time) && self.is_in_week(calendar, &hours, time)
    }

    /// The day on which it began is in one of its weeks.
    fn is_in_week(&self, calendar: &Calendar, hours: &Hours, time: Timestamp) -> bool {
        let local = calendar.local(time);
        let is_of_yesterday = local.time() < hours.begin();
        let began =
            if is_of_yesterday { local.date().yesterday().ok() } else { Some(local.date()) };
        let week = |day: jiff::civil::Date| (day.day().unsigned_abs() - 1) / 7 + 1;
        self.weeks_of_month.is_empty()
            || began.is_some_and(|day| self.weeks_of_month.contains(&week(day)))
    }
}

fn mutes(pattern: &str, rule: &Rule) -> bool {
    pattern == rule.id || (rule.category != "authentication" && covers(pattern, &rule.id))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::engine::detect::rule;

    fn entry(lines: &str) -> Maintenance {
        toml::from_str(&format!("name = \"patches\"\n{lines}")).expect("an entry")
    }

    #[track_caller]
    fn check(lines: &str, rule: &str, time: &str, expected: bool) {
        let calendar =
            Calendar { zone: TimeZone::get("Europe/Paris").expect("a zone"), holidays: Vec::new() };
        let rules = rule::builtin();
        let rule = rules.iter().find(|one| one.id == rule).expect("a rule");
        let time = calendar.moment(time.parse().expect("a time"));
        let entry = entry(lines);
        assert_eq!(None, entry.complaint(&rules));
        assert_eq!(expected, entry.holds(rule, &calendar, time), "{lines} {}", rule.id);
    }

    #[test]
    fn rules_are_muted_while_it_lasts() {
        let once = "begins = \"2026-12-01T22:00\"\nends = \"2026-12-02T02:00\"\n\
                    rules = [\"ops.*\", \"auth.posts\"]";
        check(once, "ops.silence", "2026-12-01T21:59", false);
        check(once, "ops.silence", "2026-12-01T22:00", true);
        check(once, "ops.silence", "2026-12-02T01:59", true);
        check(once, "ops.silence", "2026-12-02T02:00", false);
        check(once, "http.5xx.site", "2026-12-01T23:00", false);
        // The first Tuesday of a month.
        let monthly = "days = [\"tuesday\"]\nweeks_of_month = [1]\nfrom = \"22:00\"\n\
                       to = \"02:00\"\nrules = [\"ops.silence\"]";
        check(monthly, "ops.silence", "2026-12-01T23:00", true);
        check(monthly, "ops.silence", "2026-12-02T01:00", true);
        check(monthly, "ops.silence", "2026-12-08T23:00", false);
        check(monthly, "ops.silence", "2026-12-02T23:00", false);
    }

    #[test]
    fn rules_about_log_ins_are_muted_by_name_only() {
        let night = "from = \"22:00\"\nto = \"02:00\"\n";
        let all = format!("{night}rules = [\"*\"]");
        check(&all, "auth.spray.client", "2026-12-01T23:00", false);
        check(&all, "ops.silence", "2026-12-01T23:00", true);
        let named = format!("{night}rules = [\"auth.spray.client\"]");
        check(&named, "auth.spray.client", "2026-12-01T23:00", true);
    }

    #[test]
    fn an_entry_that_cannot_work_is_refused_with_its_key() {
        let complaint = |lines: &str| entry(lines).complaint(&rule::builtin()).expect("one");
        assert_eq!("from", complaint("rules = [\"ops.*\"]").0);
        assert_eq!("ends", complaint("rules = [\"ops.*\"]\nbegins = \"2026-12-01T22:00\"").0);
        let twice = "begins = \"2026-12-01T22:00\"\nends = \"2026-12-02T22:00\"\n";
        assert_eq!("days", complaint(&format!("{twice}rules = []\ndays = [\"monday\"]")).0);
        let (key, reason) = complaint(&format!("{twice}rules = [\"auth.spray.*\"]"));
        assert!(key == "rules" && reason.contains("by their whole id only"), "{reason}");
    }
}
