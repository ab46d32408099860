//! Times as logs write them, as moments.
//!
//! Nearly every line has the same second, hour and zone as the line before it, so the last answer
//! is kept and compared first. A time without a zone is local to its source; a time without a year
//! is the one nearest below the reference moment (a file's last change, or the time of reading).
//!
//! Invariant: no time is guessed. What does not read as a valid date and time is `None`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::units::{Timestamp, days_from_civil};

/// A moment, and the zone it was logged in as minutes east of UTC.
pub type Logged = (Timestamp, i16);

/// Reads times; keeps what it learnt from the line before.
#[derive(Clone, Debug)]
pub struct TimeReader {
    zone: TimeZone,
    reference: Timestamp,
    /// A CLF text of 26 bytes and its moment.
    clf: ([u8; 26], Logged),
    /// A local quarter of an hour, counted from 1970, and its offset from UTC in seconds.
    local: (i64, i32),
}

impl TimeReader {
    /// Times without a zone are of `zone`; times without a year lie before `reference`.
    pub fn new(zone: TimeZone, reference: Timestamp) -> Self {
        Self { zone, reference, clf: ([0; 26], (Timestamp(0), 0)), local: (i64::MIN, 0) }
    }

    /// The latest moment that a time without a year may mean, less a day for clocks that differ.
    pub fn set_reference(&mut self, reference: Timestamp) {
        self.reference = reference;
    }

    /// `20/Nov/2026:07:46:41 +0000`, as `$time_local` and `%t` write it; a fraction after the
    /// seconds is read too.
    pub fn clf(&mut self, text: &[u8]) -> Option<Logged> {
        if let Ok(exact) = <&[u8; 26]>::try_from(text) {
            if *exact == self.clf.0 {
                return Some(self.clf.1);
            }
            let logged = self.clf_parts(text)?;
            self.clf = (*exact, logged);
            return Some(logged);
        }
        self.clf_parts(text)
    }

    fn clf_parts(&mut self, text: &[u8]) -> Option<Logged> {
        // dd/Mon/yyyy:HH:MM:SS[.fff][ +hhmm]; a one-digit day is written by some servers.
        let slash = text.iter().position(|byte| *byte == b'/')?;
        let day = digits(&text[..slash])?;
        let rest = &text[slash + 1..];
        let month = month(rest.get(..3)?)?;
        if rest.get(3) != Some(&b'/') || rest.get(8) != Some(&b':') {
            return None;
        }
        let year = digits(&rest[4..8])?;
        let (seconds, rest) = clock(rest.get(9..)?)?;
        let (nanos, rest) = fraction(rest)?;
        let civil = Civil { year: year as i64, month, day, seconds, nanos };
        self.zoned(civil, rest)
    }

    /// RFC 3339 and ISO 8601 with `T` or a blank, a fraction after `.` or `,`, and any zone or
    /// none.
    pub fn iso(&mut self, text: &[u8]) -> Option<Logged> {
        let (civil, zone) = iso_parts(text)?;
        self.zoned(civil, zone)
    }

    /// As [`TimeReader::iso`], in UTC where no zone is written.
    pub fn iso_utc(&mut self, text: &[u8]) -> Option<Logged> {
        let (civil, zone) = iso_parts(text)?;
        if zone.is_empty() { civil.utc() } else { self.zoned(civil, zone) }
    }

    /// `2026-11-20` and `07:46:41`, which may have a fraction: UTC, as the W3C format has it.
    pub fn w3c(date: &[u8], time: &[u8]) -> Option<Logged> {
        w3c_parts(date, time)?.utc()
    }

    /// The same in local time, as IIS writes it on demand.
    pub fn w3c_local(&mut self, date: &[u8], time: &[u8]) -> Option<Logged> {
        self.local(w3c_parts(date, time)?)
    }

    /// `11/20/2026` or `11/20/26`, and `7:46:41`, as IIS writes them in its own format: local time.
    pub fn iis(&mut self, date: &[u8], time: &[u8]) -> Option<Logged> {
        let mut parts = date.split(|byte| *byte == b'/');
        let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
        let year = match (year.len(), digits(year)? as i64) {
            (4, year) => year,
            (2, year @ 70..) => 1900 + year,
            (2, year) => 2000 + year,
            _ => return None,
        };
        let mut padded = *b"00:00:00";
        let time = match time.len() {
            7 => {
                padded[1..].copy_from_slice(time);
                &padded[..]
            }
            _ => time,
        };
        let (seconds, rest) = clock(time)?;
        if parts.next().is_some() || !rest.is_empty() || 2 < month.len() || 2 < day.len() {
            return None;
        }
        let (month, day) = (digits(month)?, digits(day)?);
        self.local(Civil { year, month, day, seconds, nanos: 0 })
    }

    /// `2026/11/20 07:46:41`, as nginx's error log writes it: local time.
    pub fn nginx_error(&mut self, text: &[u8]) -> Option<Logged> {
        if text.len() == 19 { self.slashed(text) } else { None }
    }

    /// The same with or without a fraction.
    fn slashed(&mut self, text: &[u8]) -> Option<Logged> {
        if text.len() < 19 || text[4] != b'/' || text[7] != b'/' || text[10] != b' ' {
            return None;
        }
        let (seconds, rest) = clock(&text[11..])?;
        let (nanos, rest) = fraction(rest)?;
        let (month, day) = (digits(&text[5..7])?, digits(&text[8..10])?);
        let civil = Civil { year: digits(&text[..4])? as i64, month, day, seconds, nanos };
        rest.is_empty().then(|| self.local(civil))?
    }

    /// A time whose form nobody told: in brackets or not, CLF, ISO, nginx's, ctime, or a number
    /// of seconds or parts of them since 1973 at least.
    pub fn any(&mut self, text: &[u8]) -> Option<Logged> {
        let text = match text {
            [b'[', inner @ .., b']'] => inner,
            _ => text,
        };
        match text {
            [b'A'..=b'Z', ..] => self.ctime(text),
            [_, _, _, _, b'-', ..] => self.iso(text),
            [_, _, _, _, b'/', ..] => self.slashed(text),
            [_, b'/', ..] | [_, _, b'/', ..] => self.clf(text),
            _ => Self::epoch(text).filter(|(time, _)| 100_000_000 <= time.secs()),
        }
    }

    /// `20-Nov-2026 07:00:01[.123456][ zone]`, as PHP writes it. A zone that is no offset but a name
    /// (`Europe/Berlin`) is taken to be the source's own, for a name means nothing without tables.
    pub fn php(&mut self, text: &[u8]) -> Option<Logged> {
        if text.len() < 20 || text[2] != b'-' || text[6] != b'-' || text[11] != b' ' {
            return None;
        }
        let (day, month, year) = (digits(&text[..2])?, month(&text[3..6])?, digits(&text[7..11])?);
        let (seconds, rest) = clock(&text[12..])?;
        let (nanos, rest) = fraction(rest)?;
        let civil = Civil { year: year as i64, month, day, seconds, nanos };
        let zone = match rest {
            [] => rest,
            [b' ', zone @ ..] => zone,
            _ => return None,
        };
        let is_name = zone.first().is_some_and(u8::is_ascii_uppercase)
            && !matches!(zone, b"UTC" | b"GMT" | b"Z")
            && zone.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(byte));
        if is_name { self.local(civil) } else { self.zoned(civil, zone) }
    }

    /// `Fri Nov 20 07:46:01.337583 2026`, as Apache's error log writes it: local time.
    pub fn ctime(&mut self, text: &[u8]) -> Option<Logged> {
        if text.len() < 24 || text[3] != b' ' || text[7] != b' ' || text[10] != b' ' {
            return None;
        }
        let month = month(&text[4..7])?;
        let day = digits(text[8..10].trim_ascii_start())?;
        let (seconds, rest) = clock(&text[11..])?;
        let (nanos, rest) = fraction(rest)?;
        let year = digits(rest.strip_prefix(b" ")?)?;
        self.local(Civil { year: year as i64, month, day, seconds, nanos })
    }

    /// `Nov 20 07:33:00` or `Nov  2 07:33:00` (RFC 3164): local time without a year. The year is
    /// the one that puts the time at most a day after the reference and less than a year before.
    pub fn syslog(&mut self, text: &[u8]) -> Option<Logged> {
        if text.len() < 14 || text[3] != b' ' {
            return None;
        }
        let month = month(&text[..3])?;
        let rest = text[4..].trim_ascii_start();
        let blank = rest.iter().position(|byte| *byte == b' ')?;
        let day = digits(&rest[..blank])?;
        let (seconds, rest) = clock(&rest[blank + 1..])?;
        rest.is_empty().then(|| self.latest(month, day, seconds, 0))?
    }

    fn latest(&mut self, month: u32, day: u32, seconds: u32, nanos: u64) -> Option<Logged> {
        let latest = self.reference.plus_ms(86_400_000);
        let (this_year, _, _) = crate::units::civil_from_days((latest.secs() / 86_400) as i64);
        for year in [this_year, this_year - 1] {
            // 29 February is skipped in a year that has none.
            let civil = Civil { year, month, day, seconds, nanos };
            if let Some((time, zone)) = self.local(civil)
                && time <= latest
            {
                return Some((time, zone));
            }
        }
        // A leap day may lie up to eight years back.
        (2..=8).find_map(|back| {
            self.local(Civil { year: this_year - back, month, day, seconds, nanos })
        })
    }

    /// Seconds since 1970, with or without a fraction; milli-, micro- and nanoseconds are told by
    /// their size.
    pub fn epoch(text: &[u8]) -> Option<Logged> {
        let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
            Some(dot) => (&text[..dot], &text[dot + 1..]),
            None => (text, &b""[..]),
        };
        let whole = super::text::parse_u64(whole)?;
        let scale = match whole {
            0..100_000_000_000 => 1_000_000_000,
            100_000_000_000..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1000,
            _ => 1,
        };
        // Floating point prints digits that are beyond nanoseconds.
        let fraction = &fraction[..fraction.len().min(9)];
        let nanos = if fraction.is_empty() { 0 } else { decimals(fraction)? };
        let nanos = nanos / (1_000_000_000 / scale);
        Some((Timestamp(whole.checked_mul(scale)?.checked_add(nanos)?), 0))
    }

    /// A time as a strftime `pattern` says; local where the pattern has no zone.
    pub fn pattern(&mut self, pattern: &str, text: &[u8]) -> Option<Logged> {
        let text = std::str::from_utf8(text).ok()?;
        let parts = jiff::fmt::strtime::parse(pattern, text).ok()?;
        if parts.offset().is_some() {
            let offset = parts.offset()?;
            let nanos = u64::try_from(parts.to_timestamp().ok()?.as_nanosecond()).ok()?;
            return Some((Timestamp(nanos), (offset.seconds() / 60) as i16));
        }
        let time = parts.to_datetime().ok()?;
        self.local(Civil {
            year: i64::from(time.year()),
            month: time.month() as u32,
            day: time.day() as u32,
            seconds: time.hour() as u32 * 3600 + time.minute() as u32 * 60 + time.second() as u32,
            nanos: time.subsec_nanosecond() as u64,
        })
    }

    /// A moment from its parts, `zone` as ISO 8601 writes it or empty; without a year the one that
    /// [`TimeReader::syslog`] takes.
    pub fn parts(
        &mut self,
        (year, month, day): (Option<i64>, u32, u32),
        (seconds, nanos): (u32, u64),
        zone: &[u8],
    ) -> Option<Logged> {
        match year {
            Some(year) => self.zoned(Civil { year, month, day, seconds, nanos }, zone),
            None => self.latest(month, day, seconds, nanos),
        }
    }

    fn zoned(&mut self, civil: Civil, zone: &[u8]) -> Option<Logged> {
        let zone = zone.strip_prefix(b" ").unwrap_or(zone);
        let minutes = match zone {
            b"" => return self.local(civil),
            b"Z" | b"z" | b"UTC" | b"GMT" => 0,
            [sign @ (b'+' | b'-'), digits @ ..] => {
                let (hours, minutes) = match digits {
                    [a, b, c, d] | [a, b, b':', c, d] => ([*a, *b], [*c, *d]),
                    [a, b] => ([*a, *b], *b"00"),
                    _ => return None,
                };
                let minutes = two(&hours)? * 60 + two(&minutes)?;
                if 24 * 60 <= minutes {
                    return None;
                }
                if *sign == b'-' { -(minutes as i64) } else { minutes as i64 }
            }
            _ => return None,
        };
        let seconds = civil.seconds_since_1970()? - minutes * 60;
        Some((civil.at(seconds)?, minutes as i16))
    }

    fn local(&mut self, civil: Civil) -> Option<Logged> {
        let seconds = civil.seconds_since_1970()?;
        // Zones change on quarters of an hour only.
        let quarter = seconds.div_euclid(900);
        if self.local.0 != quarter {
            let time = DateTime::new(
                civil.year as i16,
                civil.month as i8,
                civil.day as i8,
                (civil.seconds / 3600) as i8,
                (civil.seconds / 60 % 60) as i8,
                0,
                0,
            );
            // Of the two readings of a repeated hour the earlier one, of a skipped one the later.
            let zoned = self.zone.to_ambiguous_zoned(time.ok()?).compatible().ok()?;
            let utc = zoned.timestamp().as_second();
            self.local = (quarter, (seconds.div_euclid(60) * 60 - utc) as i32);
        }
        let offset = self.local.1;
        Some((civil.at(seconds - i64::from(offset))?, (offset / 60) as i16))
    }
}

/// A date and time of day without a zone.
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    /// Since midnight.
    seconds: u32,
    nanos: u64,
}

impl Civil {
    fn seconds_since_1970(&self) -> Option<i64> {
        const LENGTHS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let length = LENGTHS.get(self.month.checked_sub(1)? as usize)?;
        let length = length + u32::from(leap && self.month == 2);
        if self.day < 1 || length < self.day || !(1970..=2200).contains(&self.year) {
            return None;
        }
        let days = days_from_civil(self.year, self.month, self.day);
        Some(days * 86_400 + i64::from(self.seconds))
    }

    fn utc(&self) -> Option<Logged> {
        Some((self.at(self.seconds_since_1970()?)?, 0))
    }

    fn at(&self, seconds: i64) -> Option<Timestamp> {
        Some(Timestamp(u64::try_from(seconds).ok()? * 1_000_000_000 + self.nanos))
    }
}

/// Date and time of RFC 3339, and the zone as it is written.
fn iso_parts(text: &[u8]) -> Option<(Civil, &[u8])> {
    if text.len() < 19 || text[4] != b'-' || text[7] != b'-' || !matches!(text[10], b'T' | b' ') {
        return None;
    }
    let (seconds, rest) = clock(&text[11..])?;
    let (nanos, rest) = fraction(rest)?;
    let (month, day) = (digits(&text[5..7])?, digits(&text[8..10])?);
    let civil = Civil { year: digits(&text[..4])? as i64, month, day, seconds, nanos };
    Some((civil, rest))
}

/// Date and time of the W3C format.
fn w3c_parts(date: &[u8], time: &[u8]) -> Option<Civil> {
    if date.len() != 10 || date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let (seconds, rest) = clock(time)?;
    let (nanos, rest) = fraction(rest)?;
    let (month, day) = (digits(&date[5..7])?, digits(&date[8..])?);
    let civil = Civil { year: digits(&date[..4])? as i64, month, day, seconds, nanos };
    rest.is_empty().then_some(civil)
}

/// `HH:MM:SS` as seconds since midnight, and what follows; second 60 counts as 59.
fn clock(text: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = text.split_at_checked(8)?;
    let &[a, b, b':', c, d, b':', e, f] = head else { return None };
    let (hour, minute, second) = (two(&[a, b])?, two(&[c, d])?, two(&[e, f])?);
    if 24 <= hour || 60 <= minute || 60 < second {
        return None;
    }
    Some((hour * 3600 + minute * 60 + second.min(59), rest))
}

/// `.123` or `,123` as nanoseconds, and what follows; no fraction is zero.
fn fraction(text: &[u8]) -> Option<(u64, &[u8])> {
    let [b'.' | b',', rest @ ..] = text else { return Some((0, text)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    Some((decimals(&rest[..length])?, &rest[length..]))
}

fn decimals(text: &[u8]) -> Option<u64> {
    if text.is_empty() || 9 < text.len() {
        return None;
    }
    let value = super::text::parse_u64(text)?;
    Some(value * 10u64.pow(9 - text.len() as u32))
}

fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() || 4 < text.len() {
        return None;
    }
    text.iter()
        .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

fn two(text: &[u8; 2]) -> Option<u32> {
    (text[0].is_ascii_digit() && text[1].is_ascii_digit())
        .then(|| u32::from(text[0] - b'0') * 10 + u32::from(text[1] - b'0'))
}

fn month(name: &[u8]) -> Option<u32> {
    const NAMES: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";
    let [a, b, c] = *name else { return None };
    let name = [a | 0x20, b | 0x20, c | 0x20];
    let at = NAMES.chunks_exact(3).position(|month| month == name)?;
    Some(at as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(zone: &str) -> TimeReader {
        let zone = TimeZone::get(zone).expect("a zone of the database");
        TimeReader::new(zone, Timestamp::from_secs(1_795_160_801)) // 2026-11-20T07:46:41Z
    }

    #[track_caller]
    fn check(actual: Option<Logged>, expected: &str, zone_minutes: i16) {
        let (time, zone) = actual.expect("a time");
        assert_eq!((expected, zone_minutes), (time.rfc3339().as_str(), zone));
    }

    #[test]
    fn clf_times_carry_their_zone() {
        let mut utc = reader("UTC");
        check(utc.clf(b"20/Nov/2026:08:00:01 +0100"), "2026-11-20T07:00:01.000Z", 60);
        check(utc.clf(b"20/Nov/2026:08:00:01 +0100"), "2026-11-20T07:00:01.000Z", 60);
        check(utc.clf(b"31/Dec/2025:20:00:60 -0330"), "2025-12-31T23:30:59.000Z", -210);
        check(utc.clf(b"20/Nov/2026:07:46:41.655 +0000"), "2026-11-20T07:46:41.655Z", 0);
        check(utc.clf(b"20/Nov/2026:07:46:41"), "2026-11-20T07:46:41.000Z", 0);
    }

    #[test]
    fn iso_times_are_read_in_all_their_dialects() {
        let mut utc = reader("UTC");
        for text in [
            "2026-11-20T07:46:41.5Z",
            "2026-11-20 07:46:41,500+00:00",
            "2026-11-20T08:46:41.500000+0100",
            "2026-11-20T07:46:41.500",
        ] {
            let (time, _) = utc.iso(text.as_bytes()).expect(text);
            assert_eq!("2026-11-20T07:46:41.500Z", time.rfc3339(), "{text}");
        }
    }

    #[test]
    fn times_without_a_zone_follow_the_clock_of_their_source() {
        let mut paris = reader("Europe/Paris");
        check(paris.nginx_error(b"2026/11/20 08:46:41"), "2026-11-20T07:46:41.000Z", 60);
        check(paris.ctime(b"Fri Jul 03 08:46:01.337583 2026"), "2026-07-03T06:46:01.337Z", 120);
        // The night the clocks go back: 02:30 happens twice, the first one is meant.
        check(paris.nginx_error(b"2026/10/25 02:30:00"), "2026-10-25T00:30:00.000Z", 120);
        // The night they go forward: 02:30 does not exist.
        check(paris.nginx_error(b"2026/03/29 02:30:00"), "2026-03-29T01:30:00.000Z", 60);
    }

    #[test]
    fn a_missing_year_is_the_one_just_past() {
        let mut utc = reader("UTC");
        check(utc.syslog(b"Nov 20 07:33:00"), "2026-11-20T07:33:00.000Z", 0);
        check(utc.syslog(b"Nov  2 07:33:00"), "2026-11-02T07:33:00.000Z", 0);
        check(utc.syslog(b"Nov 21 07:46:00"), "2026-11-21T07:46:00.000Z", 0);
        check(utc.syslog(b"Dec 31 23:59:59"), "2025-12-31T23:59:59.000Z", 0);
        check(utc.syslog(b"Feb 29 12:00:00"), "2024-02-29T12:00:00.000Z", 0);
    }

    #[test]
    fn iis_writes_utc_in_one_format_and_local_time_in_another() {
        let mut paris = reader("Europe/Paris");
        check(TimeReader::w3c(b"2026-11-20", b"07:46:41"), "2026-11-20T07:46:41.000Z", 0);
        check(TimeReader::w3c(b"2026-11-20", b"07:46:41.5"), "2026-11-20T07:46:41.500Z", 0);
        check(paris.w3c_local(b"2026-11-20", b"08:46:41.5"), "2026-11-20T07:46:41.500Z", 60);
        check(paris.iso_utc(b"2026-11-20T07:46:41.5"), "2026-11-20T07:46:41.500Z", 0);
        check(paris.iso_utc(b"2026-11-20 08:46:41+01:00"), "2026-11-20T07:46:41.000Z", 60);
        check(paris.iis(b"11/20/2026", b"8:46:41"), "2026-11-20T07:46:41.000Z", 60);
        check(paris.iis(b"7/3/26", b"12:46:41"), "2026-07-03T10:46:41.000Z", 120);
        for date in ["2026-11-31", "2026-1-020", "20261120", "", "2026-11-20 "] {
            assert_eq!(None, TimeReader::w3c(date.as_bytes(), b"07:46:41"), "{date}");
        }
        for (date, time) in [
            ("20/11/2026", "7:46:41"),
            ("11/20/226", "7:46:41"),
            ("11/20/2026/1", "7:46:41"),
            ("11/20/2026", "7:46"),
            ("11/20/2026", "17:46:411"),
        ] {
            assert_eq!(None, paris.iis(date.as_bytes(), time.as_bytes()), "{date} {time}");
        }
        assert_eq!(None, TimeReader::w3c(b"2026-11-20", b"7:46:41"));
    }

    #[test]
    fn epochs_are_told_apart_by_their_size() {
        for text in ["1795160801.5", "1795160801500", "1795160801500000", "1795160801500000000"] {
            let (time, _) = TimeReader::epoch(text.as_bytes()).expect(text);
            assert_eq!("2026-11-20T07:46:41.500Z", time.rfc3339(), "{text}");
        }
    }

    #[test]
    fn times_are_told_by_their_looks() {
        let mut utc = reader("UTC");
        for text in [
            "20/Nov/2026:07:46:41.5 +0000",
            "[20/Nov/2026:08:46:41.5 +0100]",
            "2026-11-20 07:46:41.5",
            "2026/11/20 07:46:41.500",
            "Fri Nov 20 07:46:41.500000 2026",
            "1795160801.5",
            "1795160801500.25",
            "1795160801.5000000001",
        ] {
            let (time, _) = utc.any(text.as_bytes()).expect(text);
            assert_eq!("2026-11-20T07:46:41.500Z", time.rfc3339(), "{text}");
        }
        for text in ["", "-", "x", "12", "0.25", "[", "1/2", "2026-", "2026/", "99999999"] {
            assert_eq!(None, utc.any(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        let mut utc = reader("UTC");
        for text in ["", "-", "30/Feb/2026:00:00:00 +0000", "20/Nov/2026:24:00:00 +0000", "x/y/z"] {
            assert_eq!(None, utc.clf(text.as_bytes()), "{text}");
        }
        assert_eq!(None, utc.nginx_error(b"2026/13/20 08:46:41"));
        assert_eq!(None, utc.syslog(b"Foo 20 07:33:00"));
        assert_eq!(None, TimeReader::epoch(b"1.2.3"));
    }
}
