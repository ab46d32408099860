//! `[compliance]`: the day of the week on which everybody of the roster should log in.

use jiff::civil::Time;
use serde::{Deserialize, Serialize};

use crate::engine::batch::Grade;
use crate::units::{Period, TimeOfDay, Weekday};

/// `[compliance]`: on which day of the week everybody of `[roster]` should log in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComplianceConfig {
    /// The day, in the zone of `calendar.timezone`; not on its holidays.
    pub weekday: Weekday,
    /// The hour from which on log-ins count.
    pub from: TimeOfDay,
    /// The hour up to which they count; `"00:00"` is the end of the day.
    pub to: TimeOfDay,
    /// Who logs in later, but within this time, is late and not missing.
    pub grace: Period,
    /// The weakest evidence that counts: `"A"` or `"B"`.
    pub evidence: Least,
}

/// The weakest evidence that counts. What only clients claim never does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Least {
    /// A daemon or application checked the name.
    A,
    /// Or a form let somebody in, and the server named whom.
    B,
}

impl From<Least> for Grade {
    fn from(least: Least) -> Self {
        match least {
            Least::A => Self::A,
            Least::B => Self::B,
        }
    }
}

/// The next week's day is not to be late for this one.
const GRACE_MAX: Period = Period::from_secs(6 * 86_400);

impl Default for ComplianceConfig {
    fn default() -> Self {
        Self {
            weekday: Weekday::Thursday,
            from: TimeOfDay::MIDNIGHT,
            to: TimeOfDay::MIDNIGHT,
            grace: Period::from_secs(3 * 86_400),
            evidence: Least::B,
        }
    }
}

impl ComplianceConfig {
    /// What is wrong with the settings: the key, the reason, and what to write.
    pub fn complaint(&self) -> Option<(&'static str, String, &'static str)> {
        for (key, time) in [("from", self.from), ("to", self.to)] {
            if Time::from(time).minute() != 0 {
                let reason = format!("`{time}` is no full hour, and log-ins are kept by the hour");
                return Some((key, reason, "write a full hour such as `08:00`"));
            }
        }
        let (first, end) = self.hours();
        if end <= first {
            let reason = format!("`{}` is not after `{}`", self.to, self.from);
            return Some(("to", reason, "a window does not go beyond midnight"));
        }
        if GRACE_MAX < self.grace {
            let reason = format!("`{}` is more than {GRACE_MAX}", self.grace);
            return Some(("grace", reason, "late log-ins must not reach the next week's day"));
        }
        None
    }

    /// The first hour of the window and the one behind it.
    pub(super) fn hours(&self) -> (u32, u32) {
        let hour = |time: TimeOfDay| u32::from(Time::from(time).hour().unsigned_abs());
        let end = hour(self.to);
        (hour(self.from), if end == 0 { 24 } else { end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_all_of_thursday() {
        let config: ComplianceConfig = toml::from_str("").expect("a valid table");
        assert_eq!(ComplianceConfig::default(), config);
        assert_eq!((None, (0, 24)), (config.complaint(), config.hours()));
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let config: ComplianceConfig = toml::from_str(text).expect("a table that reads");
        assert_eq!(Some(expected), config.complaint().map(|(key, ..)| key), "{text}");
    }

    #[test]
    fn settings_that_cannot_be_kept_are_named() {
        check("from = \"08:30\"", "from");
        check("from = \"20:00\"\nto = \"08:00\"", "to");
        check("grace = \"7d\"", "grace");
        let error = toml::from_str::<ComplianceConfig>("evidence = \"C\"").expect_err("refused");
        assert!(error.message().contains("unknown variant `C`"), "{error}");
    }
}
