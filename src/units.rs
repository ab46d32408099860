//! Small value types with a unit in their name, shared by every module.
//!
//! Configuration never holds a bare number: a size is `"64KiB"`, a period is `"10m"`.

mod day;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use day::{Day, TimeOfDay, TimeOfDayError, Weekday};

/// A moment, in nanoseconds since 1970-01-01 UTC.
///
/// The engine receives it as an argument; only `io::SystemClock` reads the real clock.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `seconds` after 1970-01-01 UTC.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// The moment `ms` milliseconds after 1970-01-01 UTC.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// Whole seconds since 1970-01-01 UTC.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Whole milliseconds since 1970-01-01 UTC.
    pub const fn ms(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The moment `ms` milliseconds after `self`.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// The moment `period` after `self`.
    pub const fn plus(self, period: Period) -> Self {
        self.plus_ms(period.0)
    }

    /// The moment `period` before `self`, not before 1970.
    pub const fn minus(self, period: Period) -> Self {
        Self(self.0.saturating_sub(period.0.saturating_mul(1_000_000)))
    }

    /// Time from `earlier` to `self`; zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Period {
        Period(self.0.saturating_sub(earlier.0) / 1_000_000)
    }

    /// Start of the UTC hour that holds `self`, in hours since 1970.
    pub const fn hour(self) -> u32 {
        (self.secs() / 3600) as u32
    }

    /// RFC 3339 in UTC with three fraction digits: `2026-11-20T07:46:41.000Z`.
    pub fn rfc3339(self) -> String {
        let mut out = Vec::with_capacity(24);
        self.write_rfc3339(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Appends [`Timestamp::rfc3339`] to `out` without an allocation.
    pub fn write_rfc3339(self, out: &mut Vec<u8>) {
        let ms = self.ms();
        let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
        let (year, month, day) = civil_from_days(days as i64);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        put(&mut text[0..4], year as u64);
        put(&mut text[5..7], u64::from(month));
        put(&mut text[8..10], u64::from(day));
        put(&mut text[11..13], ms / 3_600_000);
        put(&mut text[14..16], ms / 60_000 % 60);
        put(&mut text[17..19], ms / 1000 % 60);
        put(&mut text[20..23], ms % 1000);
        out.extend_from_slice(&text);
    }
}

fn put(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date; the month counts from 1.
pub const fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    // Years start in March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = ((month + 9) % 12) as i64;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i64 - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date (year, month from 1, day from 1) that lies `days` after 1970-01-01.
pub const fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month as u32, day)
}

/// A length of time in milliseconds, written in configuration as `"500ms"`, `"30s"`, `"10m"`,
/// `"2h"`, `"7d"`.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub u64);

impl Period {
    /// A period of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// Milliseconds.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// Whole seconds.
    pub const fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// The same length as the standard library says it.
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

const PERIOD_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_with_unit(text, PERIOD_UNITS).map(Self).ok_or_else(|| UnitError {
            text: text.to_owned(),
            what: "a period",
            hint: "write a number with ms, s, m, h or d, such as `10m`",
        })
    }
}

impl TryFrom<String> for Period {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    /// The largest unit that divides the period: `90s`, `10m`, `1h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |unit: &&(&str, u64)| self.0.is_multiple_of(unit.1) && unit.1 <= self.0;
        match PERIOD_UNITS.iter().rev().find(divides) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => f.write_str("0s"),
        }
    }
}

/// A size in bytes, written in configuration as `"64KiB"` or `"1GiB"`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(pub u64);

const SIZE_UNITS: &[(&str, u64)] =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse_with_unit(text, SIZE_UNITS).map(Self).ok_or_else(|| UnitError {
            text: text.to_owned(),
            what: "a size",
            hint: "write a number with B, KiB, MiB or GiB, such as `64KiB`",
        })
    }
}

impl TryFrom<String> for ByteSize {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> Self {
        size.to_string()
    }
}

impl fmt::Display for ByteSize {
    /// The largest unit that divides the size: `64KiB`, `1GiB`, `1000B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let divides = |unit: &&(&str, u64)| self.0.is_multiple_of(unit.1) && unit.1 <= self.0;
        let (name, unit) = SIZE_UNITS.iter().rev().find(divides).unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{}{name}", self.0 / unit)
    }
}

fn parse_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (_, factor) = units.iter().find(|(name, _)| *name == &text[digits.len()..])?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A text that should be a number with a unit.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{text}` is not {what}; {hint}")]
pub struct UnitError {
    text: String,
    what: &'static str,
    hint: &'static str,
}

/// The address and port that `text` means. Names other than `localhost` are not looked up: an answer
/// from the network must not decide where we listen.
pub fn socket_address(text: &str) -> Option<SocketAddr> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
    match local {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text.parse().ok(),
    }
}

/// The one of `known` that `typed` was probably meant to be: at most two in five letters differ.
pub fn nearest<'k>(typed: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let scored = known.map(|name| (edit_distance(typed, name), name));
    let (distance, name) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance * 5 <= 2 * typed.len().max(name.len())).then_some(name)
}

/// How many letters were added, left out, replaced or swapped with their neighbour, in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if 1 < i && 1 < j && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339_with_three_digits() {
        assert_eq!("2026-11-20T07:46:41.120Z", Timestamp::from_ms(1_795_160_801_120).rfc3339());
        assert_eq!("1970-01-01T00:00:00.000Z", Timestamp(0).rfc3339());
        assert_eq!("2024-02-29T23:59:59.000Z", Timestamp::from_secs(1_709_251_199).rfc3339());
    }

    #[test]
    fn dates_survive_the_round_trip_through_days() {
        for days in (-200_000..200_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days, days_from_civil(year, month, day));
        }
    }

    #[test]
    fn periods_and_sizes_read_and_print_the_same_text() {
        for text in ["500ms", "90s", "10m", "2h", "7d"] {
            assert_eq!(Ok(text.to_owned()), text.parse::<Period>().map(|p| p.to_string()));
        }
        for text in ["64KiB", "1GiB", "1000B"] {
            assert_eq!(Ok(text.to_owned()), text.parse::<ByteSize>().map(|s| s.to_string()));
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_an_example() {
        let message = "10".parse::<Period>().expect_err("no unit").to_string();
        assert!(message.contains("such as `10m`"), "{message}");
        assert!("1 gig".parse::<ByteSize>().is_err());
        assert!("99999999999999999999GiB".parse::<ByteSize>().is_err());
    }

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        let known = ["path", "format", "log_format"];
        assert_eq!(Some("format"), nearest("fromat", known.iter().copied()));
        assert_eq!(Some("serve"), nearest("sevre", ["store", "serve"].into_iter()));
        assert_eq!(Some("log_format"), nearest("logformat", known.iter().copied()));
        assert_eq!(None, nearest("colour", known.iter().copied()));
    }
}
