//! Times as applications write them, found at the start of a text whose rest is something else.
//!
//! Invariant: a time is taken only where its parts can mean one thing. Between slashes the month
//! comes first, between dashes and dots the day, as their writers do; what does not fit is no time.

use super::time::{Logged, TimeReader};

/// Reads a date and a time of day at the start of `text`; answers the moment and how many bytes it
/// took.
pub fn at_start(text: &[u8], times: &mut TimeReader) -> Option<(Logged, usize)> {
    let first = *text.first()?;
    let mut cursor = Cursor { rest: text };
    let logged = match first {
        b'@' => cursor.tai64()?,
        b'0'..=b'9' => match text.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            10 | 13 => cursor.epoch()?,
            6 => {
                let date = cursor.compact_date()?;
                cursor.clock_behind(date, times)?
            }
            _ => {
                let date = cursor.numeric_date()?;
                cursor.clock_behind(date, times)?
            }
        },
        b'A'..=b'Z' | b'a'..=b'z' => cursor.named_date(times)?,
        _ => return None,
    };
    Some((logged, text.len() - cursor.rest.len()))
}

fn is_digit(byte: &&u8) -> bool {
    byte.is_ascii_digit()
}

/// Year (where there is one), month, day.
type Date = (Option<i64>, u32, u32);

struct Cursor<'t> {
    rest: &'t [u8],
}

impl<'t> Cursor<'t> {
    /// Between `min` and `max` digits, and no more behind them.
    fn number(&mut self, min: usize, max: usize) -> Option<u32> {
        let len = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if len < min || max < len {
            return None;
        }
        let value = super::text::parse_u64(&self.rest[..len])?;
        self.rest = &self.rest[len..];
        u32::try_from(value).ok()
    }

    fn take(&mut self, text: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn mark(&mut self, marks: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        marks.contains(first).then(|| self.rest = rest)?;
        Some(*first)
    }

    fn blanks(&mut self) -> usize {
        let len = self.rest.iter().take_while(|byte| **byte == b' ').count();
        self.rest = &self.rest[len..];
        len
    }

    /// A month by its English name, whole or cut, with or without a full stop.
    fn month(&mut self) -> Option<u32> {
        const NAMES: [&[u8]; 12] = [
            b"january",
            b"february",
            b"march",
            b"april",
            b"may",
            b"june",
            b"july",
            b"august",
            b"september",
            b"october",
            b"november",
            b"december",
        ];
        let len = self.rest.iter().take(10).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let word = &self.rest[..len];
        let fits = |name: &&[u8]| {
            3 <= len && name.get(..len).is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        let month = NAMES.iter().position(fits)?;
        self.rest = &self.rest[len..];
        let _ = self.take(b".");
        u32::try_from(month + 1).ok()
    }

    /// `2026-11-20`, `2026/11/20`, `20-Nov-2026`, `20/Nov/2026`, `20.11.2026`, `11/20/2026`.
    fn numeric_date(&mut self) -> Option<Date> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 4 {
            let year = self.number(4, 4)?;
            let mark = self.mark(b"-/.:")?;
            let month = self.number(2, 2).or_else(|| self.month())?;
            self.take(&[mark])?;
            return Some((Some(i64::from(year)), month, self.number(2, 2)?));
        }
        let first = self.number(1, 2)?;
        let mark = self.mark(b"-/. ")?;
        let (month, day) = match self.month() {
            Some(month) => (month, first),
            None if mark == b' ' => return None,
            None => {
                let second = self.number(1, 2)?;
                if mark == b'/' { (first, second) } else { (second, first) }
            }
        };
        self.take(&[mark])?;
        Some((Some(self.year()?), month, day))
    }

    /// `261120` and at least one blank.
    fn compact_date(&mut self) -> Option<Date> {
        let all = self.number(6, 6)?;
        (self.rest.first() == Some(&b' ')).then_some((
            Some(i64::from(2000 + all / 10_000)),
            all / 100 % 100,
            all % 100,
        ))
    }

    fn year(&mut self) -> Option<i64> {
        match self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            4 => self.number(4, 4).map(i64::from),
            2 => self.number(2, 2).map(|year| 2000 + i64::from(year)),
            _ => None,
        }
    }

    /// What stands between date and time of day, and the time of day with its zone.
    fn clock_behind(&mut self, date: Date, times: &mut TimeReader) -> Option<Logged> {
        let between: [&[u8]; 7] = [b"T", b" - ", b", ", b" time=", b": ", b":", b"-"];
        if !between.iter().any(|mark| self.take(mark).is_some()) && self.blanks() == 0 {
            return None;
        }
        let clock = self.clock()?;
        let zone = self.zone();
        times.parts(date, clock, zone)
    }

    /// `07:33:00`, `7:33:00 PM`, with a fraction or without: seconds since midnight, and
    /// nanoseconds.
    fn clock(&mut self) -> Option<(u32, u64)> {
        let mut hour = self.number(1, 2)?;
        self.take(b":")?;
        let minute = self.number(2, 2)?;
        self.take(b":")?;
        let second = self.number(2, 2)?;
        let mut nanos = 0;
        if let [b'.' | b',', digit, ..] = self.rest
            && digit.is_ascii_digit()
        {
            self.rest = &self.rest[1..];
            let len = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let scale = u32::try_from(9usize.checked_sub(len)?).ok()?;
            nanos = super::text::parse_u64(&self.rest[..len])? * 10u64.pow(scale);
            self.rest = &self.rest[len..];
        }
        if let [b' ', half @ (b'A' | b'P' | b'a' | b'p'), b'M' | b'm', ..] = self.rest {
            let is_afternoon = half.eq_ignore_ascii_case(&b'p');
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if is_afternoon { 12 } else { 0 };
            self.rest = &self.rest[3..];
        }
        let is_time = hour < 24 && minute < 60 && second <= 60;
        is_time.then_some((hour * 3600 + minute * 60 + second.min(59), nanos))
    }

    /// `Z`, ` UTC`, `+01:00`, ` +0100`, or nothing.
    fn zone(&mut self) -> &'t [u8] {
        let (blank, rest) = match self.rest.strip_prefix(b" ") {
            Some(rest) => (1, rest),
            None => (0, self.rest),
        };
        let ends = |rest: &[u8]| !rest.first().is_some_and(u8::is_ascii_alphanumeric);
        for (name, len) in [(&b"Z"[..], 1), (b"UTC", 3), (b"GMT", 3)] {
            if let Some(behind) = rest.strip_prefix(name)
                && ends(behind)
                && (name == b"Z") == (blank == 0)
            {
                self.rest = &self.rest[blank + len..];
                return b"Z";
            }
        }
        let len = match rest {
            [b'+' | b'-', a, b, b':', c, d, ..] if [a, b, c, d].iter().all(is_digit) => 6,
            [b'+' | b'-', a, b, c, d, ..] if [a, b, c, d].iter().all(is_digit) => 5,
            _ => return b"",
        };
        self.rest = &rest[len..];
        &rest[..len]
    }

    /// `Fri Nov 20 07:46:01 2026`, `Fri, 20 Nov 2026 07:46:01 +0000`, `Nov 20, 2026 7:46:01 AM`,
    /// `Nov 20 07:46:01`, `Nov-20-26 07:46:01`.
    fn named_date(&mut self, times: &mut TimeReader) -> Option<Logged> {
        // `I1120 07:46:01.5`, as glog writes it.
        if let [b'I' | b'W' | b'E' | b'F', digits @ ..] = self.rest
            && digits.first().is_some_and(u8::is_ascii_digit)
        {
            self.rest = digits;
            let date = self.number(4, 4)?;
            self.take(b" ")?;
            return times.parts((None, date / 100, date % 100), self.clock()?, b"");
        }
        const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
        if DAYS.iter().any(|day| self.take(day).is_some()) {
            let _ = self.take(b",");
            if self.blanks() == 0 {
                return None;
            }
        }
        if self.rest.first()?.is_ascii_digit() {
            let date = self.numeric_date()?;
            return self.clock_behind(date, times);
        }
        let month = self.month()?;
        if self.take(b"-").is_some() {
            let day = self.number(1, 2)?;
            self.take(b"-")?;
            let date = (Some(self.year()?), month, day);
            return self.clock_behind(date, times);
        }
        if self.blanks() == 0 {
            return None;
        }
        let day = self.number(1, 2)?;
        if self.take(b", ").is_some() {
            let date = (Some(self.year()?), month, day);
            return self.clock_behind(date, times);
        }
        if self.blanks() == 0 {
            return None;
        }
        // `Nov 20 2026 07:46:01`
        if let Some(year) = self.number(4, 4) {
            return self.clock_behind((Some(i64::from(year)), month, day), times);
        }
        let clock = self.clock()?;
        // `CEST 2026`, `2026`, or no year.
        let (rest, mut year) = (self.rest, None);
        if self.blanks() == 1 {
            let letters = self.rest.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
            if (3..=5).contains(&letters) && self.rest.get(letters) == Some(&b' ') {
                self.rest = &self.rest[letters + 1..];
            }
            year = self.number(4, 4).map(i64::from).filter(|year| (1970..2200).contains(year));
        }
        if year.is_none() {
            self.rest = rest;
        }
        times.parts((year, month, day), clock, b"")
    }

    /// `1795160801`, `1795160801.5`, `1795160801500`.
    fn epoch(&mut self) -> Option<Logged> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut len = digits;
        if self.rest.get(digits) == Some(&b'.') {
            let fraction = self.rest[digits + 1..].iter().take_while(|byte| byte.is_ascii_digit());
            let fraction = fraction.count();
            if (1..=9).contains(&fraction) {
                len += 1 + fraction;
            }
        }
        let logged = TimeReader::epoch(&self.rest[..len])?;
        self.rest = &self.rest[len..];
        // Ten digits are a time between 2001 and 2100, or they are a number of something.
        (1_000_000_000..4_102_444_800).contains(&logged.0.secs()).then_some(logged)
    }

    /// `@400000006b…`, as daemontools write it: seconds and nanoseconds of atomic time.
    fn tai64(&mut self) -> Option<Logged> {
        let label = self.rest.get(1..25).filter(|it| it.iter().all(u8::is_ascii_hexdigit))?;
        let text = std::str::from_utf8(label).ok()?;
        let seconds = u64::from_str_radix(&text[..16], 16).ok()?.checked_sub((1 << 62) + 10)?;
        let nanos = u64::from_str_radix(&text[16..], 16).ok()?;
        if 999_999_999 < nanos || 7_258_118_400 < seconds {
            return None;
        }
        self.rest = &self.rest[25..];
        Some((crate::units::Timestamp(seconds * 1_000_000_000 + nanos), 0))
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::units::Timestamp;

    fn times() -> TimeReader {
        TimeReader::new(TimeZone::UTC, Timestamp::from_secs(1_795_160_801)) // 2026-11-20T07:46:41Z
    }

    /// The time and what is left, as `time|rest`.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual = at_start(text.as_bytes(), &mut times())
            .map(|((time, _), len)| format!("{}|{}", time.rfc3339(), &text[len..]));
        assert_eq!(expected, actual.as_deref().unwrap_or("-"), "{text}");
    }

    #[test]
    fn the_dialects_of_applications_are_read() {
        for text in [
            "2026-11-20 07:46:41,500 x",
            "2026-11-20T07:46:41.500Z x",
            "2026-11-20T08:46:41.5+01:00 x",
            "2026-11-20 08:46:41.5 +0100 x",
            "2026-11-20 07:46:41.500 UTC x",
            "2026/11/20 07:46:41.500000 x",
            "2026/11/20 - 07:46:41.5 x",
            "2026:11:20-07:46:41.5 x",
            "20-Nov-2026 07:46:41.500 x",
            "20/Nov/2026:07:46:41.5 +0000 x",
            "20/Nov/2026 07:46:41.5 x",
            "20.11.2026 07:46:41,5 x",
            "20-11-2026 07:46:41.5 x",
            "11/20/2026, 7:46:41.5 AM x",
            "11/20/26 07:46:41.500 x",
            "Fri Nov 20 07:46:41.5 2026 x",
            "Fri Nov 20 07:46:41.5 CEST 2026 x",
            "Fri, 20 Nov 2026 07:46:41.5 GMT x",
            "Nov 20, 2026 7:46:41.5 AM x",
            "Nov 20 07:46:41.5 x",
            "Nov 20 2026 07:46:41.5 x",
            "Nov-20-26 07:46:41.5 x",
            "I1120 07:46:41.5 x",
            "261120  7:46:41.5 x",
            "1795160801.5 x",
            "1795160801500 x",
        ] {
            check(text, "2026-11-20T07:46:41.500Z| x");
        }
        check("11/20/2026, 7:46:41 PM x", "2026-11-20T19:46:41.000Z| x");
        check("@400000006b0000330ee6b280 x", "2026-11-20T08:09:13.250Z| x");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "x",
            "2026",
            "2026-11-20",
            "2026-11-20 x",
            "2026-13-20 07:46:41",
            "20/11/2026 7:46",
            "2026-11-20 25:00:00",
            "12345678901 x",
            "0000000001 x",
            "Nov 20",
            "Fri",
            "@4000",
            "@0123456789abcd\u{a51}9abcdef",
            "@0123456789abcdef+1234567",
            "May be",
            "20/11/2026 07:46:41",
            "2026-11-20 13:00:00 PM",
        ] {
            check(text, "-");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9A-Za-z@:/., +-]{0,40}|\\PC{0,30}") {
            let _ = at_start(text.as_bytes(), &mut times());
        }
    }
}
