//! Days and times of day, as configuration writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Timestamp, days_from_civil};

/// A day of the week.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names of the days say it all")]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl From<Weekday> for jiff::civil::Weekday {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Monday,
            Weekday::Tuesday => Self::Tuesday,
            Weekday::Wednesday => Self::Wednesday,
            Weekday::Thursday => Self::Thursday,
            Weekday::Friday => Self::Friday,
            Weekday::Saturday => Self::Saturday,
            Weekday::Sunday => Self::Sunday,
        }
    }
}

/// A time of day, written `"07:00"`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    hour: i8,
    minute: i8,
}

impl TimeOfDay {
    /// The beginning of a day.
    pub const MIDNIGHT: Self = Self { hour: 0, minute: 0 };

    /// That many hours after midnight.
    ///
    /// # Panics
    ///
    /// Where a day has fewer hours.
    pub const fn at_hour(hour: i8) -> Self {
        assert!(0 <= hour && hour < 24);
        Self { hour, minute: 0 }
    }
}

impl From<TimeOfDay> for jiff::civil::Time {
    fn from(time: TimeOfDay) -> Self {
        jiff::civil::time(time.hour, time.minute, 0, 0)
    }
}

impl FromStr for TimeOfDay {
    type Err = TimeOfDayError;

    fn from_str(text: &str) -> Result<Self, TimeOfDayError> {
        let number = |text: &str, end: i8| {
            let two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i8>().ok().filter(|value| two_digits && *value < end)
        };
        let parts = text
            .split_once(':')
            .and_then(|(hour, minute)| Some((number(hour, 24)?, number(minute, 60)?)));
        let (hour, minute) = parts.ok_or_else(|| TimeOfDayError { text: text.to_owned() })?;
        Ok(Self { hour, minute })
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = TimeOfDayError;

    fn try_from(text: String) -> Result<Self, TimeOfDayError> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// A text that should be a time of day.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not a time of day; write hours and minutes, such as `07:00`")]
pub struct TimeOfDayError {
    text: String,
}

/// A day, written `2027-06-30`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub struct Day(pub jiff::civil::Date);

impl Day {
    /// Its midnight in UTC.
    pub fn begins_utc(self) -> Timestamp {
        let (year, month, day) = (self.0.year(), self.0.month(), self.0.day());
        let days = days_from_civil(
            i64::from(year),
            u32::from(month.unsigned_abs()),
            u32::from(day.unsigned_abs()),
        );
        Timestamp::from_secs(86_400 * u64::try_from(days).unwrap_or(0))
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let date = jiff::civil::Date::from_str(&text)
            .map_err(|_| format!("`{text}` is no day such as `2027-06-30`"))?;
        if date.year() < 1970 { Err(format!("`{text}` is before 1970")) } else { Ok(Self(date)) }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
