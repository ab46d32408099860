//! Settings of the weekly report: the `[report]` table.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::units::{TimeOfDay, Weekday};

/// `[report]`: the weekly report by mail.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportConfig {
    /// Send the weekly report.
    pub enabled: bool,

    /// Day on which it is sent.
    ///
    /// It covers the seven days before: on Friday morning, Friday to Thursday.
    pub weekday: Weekday,

    /// Time of day at which it is sent.
    pub at: TimeOfDay,

    /// Time zone of its days and times, such as `"Europe/Paris"`; the machine's own when missing.
    pub timezone: Option<String>,

    /// Addresses it is sent to; those of `mail.to` when empty.
    pub to: Vec<String>,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            weekday: Weekday::Friday,
            at: TimeOfDay::at_hour(7),
            timezone: None,
            to: Vec::new(),
        }
    }
}

impl ReportConfig {
    /// The zone the report is in: the one configured, else `machine`.
    pub fn zone(&self, machine: TimeZone) -> Result<TimeZone, ReportConfigError> {
        match &self.timezone {
            None => Ok(machine),
            Some(name) => TimeZone::get(name)
                .map_err(|source| ReportConfigError::Zone { name: name.clone(), source }),
        }
    }
}

/// A setting that reads well and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReportConfigError {
    /// The zone is not in the time zone database.
    #[error(
        "report.timezone: `{name}` is not a time zone; write a name such as `Europe/Paris` or `UTC`"
    )]
    Zone {
        /// As configured.
        name: String,
        /// What the database said.
        source: jiff::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let error = toml::from_str::<ReportConfig>(text).expect_err("the text must be refused");
        assert!(error.message().contains(expected), "got: {}", error.message());
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(Ok(ReportConfig::default()), toml::from_str(""));
    }

    #[test]
    fn all_settings_are_read() {
        let text = "enabled = false\nweekday = \"monday\"\nat = \"23:59\"\ntimezone = \"UTC\"\n\
                    to = [\"board@example.org\"]\n";
        let config: ReportConfig = toml::from_str(text).expect("a valid table");
        assert_eq!(
            (false, Weekday::Monday, "23:59"),
            (config.enabled, config.weekday, &*config.at.to_string())
        );
        let paris = TimeZone::get("Europe/Paris").expect("a zone of the database");
        assert_eq!(Some("UTC"), config.zone(paris).expect("a zone").iana_name());
    }

    #[test]
    fn mistakes_are_named_with_an_example() {
        check_error("day = \"friday\"", "unknown field `day`");
        check_error("weekday = \"Freitag\"", "unknown variant `Freitag`");
        for time in ["7:00", "24:00", "07:60", "+7:00", "0700", "07:00:00"] {
            check_error(&format!("at = \"{time}\""), "such as `07:00`");
        }
        let config = ReportConfig { timezone: Some("Paris".to_owned()), ..Default::default() };
        let message = config.zone(TimeZone::UTC).expect_err("no zone").to_string();
        assert!(message.contains("`Paris` is not a time zone"), "{message}");
    }
}
