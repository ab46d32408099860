//! Times as lists write them.

use jiff::tz::TimeZone;

use crate::engine::time::TimeReader;
use crate::units::Timestamp;

/// Seconds since 1970 of a time, a day or a number of seconds; without a zone it is UTC.
pub(super) fn second(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii();
    let text = text.strip_suffix(b" UTC").unwrap_or(text);
    let mut times = TimeReader::new(TimeZone::UTC, Timestamp(0));
    let (time, _) = match text.len() {
        10 if text[4] == b'-' => times.any(&[text, b"T00:00:00Z"].concat()),
        _ => times.any(text),
    }?;
    u32::try_from(time.secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_day_and_a_number_are_read() {
        let check = |text: &str, expected| assert_eq!(expected, second(text.as_bytes()), "{text}");
        check("2026-11-17T10:00:00.5Z", Some(1_794_909_600));
        check("2026-11-17 10:00:00", Some(1_794_909_600));
        check("2026-11-17 10:00:00 UTC", Some(1_794_909_600));
        check("2026-11-17T12:00:00+02:00", Some(1_794_909_600));
        check("2026-11-17", Some(1_794_873_600));
        check("1794909600", Some(1_794_909_600));
        check("yesterday", None);
        check("", None);
    }
}
