//! Numbers and times as people read them; the same in every report.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::units::{Period, Timestamp};

/// `12,345,678`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if 0 < index && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun: `1 line`, `2 lines`.
pub fn of(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

/// `512 B`, `2.4 MiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would print as 1024.0 of the smaller unit.
    while 1023.95 <= scaled {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// The share of `part` in `whole`: `8.1 %`. Never rounds something to nothing, nor nearly all to
/// all.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let tenths = (u128::from(part) * 2000 / u128::from(whole)).div_ceil(2);
    match tenths {
        _ if part == 0 => "0 %".to_owned(),
        0 => "<0.1 %".to_owned(),
        1000 if part < whole => ">99.9 %".to_owned(),
        1000 => "100 %".to_owned(),
        _ => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// How `now` differs from `before`: `+12.3 %`, `−40.0 %`, `×12`, `new`, `=`; `–` without a before.
pub fn change(now: u64, before: Option<u64>) -> String {
    let Some(before) = before else { return "–".to_owned() };
    if now == before {
        return "=".to_owned();
    }
    if before == 0 {
        return "new".to_owned();
    }
    let times = now as f64 / before as f64;
    let percent = (times - 1.0) * 100.0;
    match percent {
        _ if 10.0 <= times => format!("×{}", count(times.round() as u64)),
        99.95.. => format!("+{percent:.0} %"),
        0.05.. => format!("+{percent:.1} %"),
        ..-0.05 => format!("−{:.1} %", -percent),
        _ => "±0.0 %".to_owned(),
    }
}

/// Lengths of a bar's last cell, in eighths.
const EIGHTHS: [char; 8] = ['█', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A bar of at most `width` columns, `max` being the whole width; never empty for something.
pub fn bar(value: u64, max: u64, width: usize) -> String {
    if value == 0 || max == 0 {
        return String::new();
    }
    let whole = u128::from(max);
    let eighths = u128::from(value.min(max)) * width as u128 * 8 / whole;
    let eighths = (eighths as usize).max(1);
    let mut out: String = std::iter::repeat_n('█', eighths / 8).collect();
    if !eighths.is_multiple_of(8) {
        out.push(EIGHTHS[eighths % 8]);
    }
    out
}

/// A length of time in its two largest units: `340 ms`, `41 min`, `2 h 5 min`, `6 d 23 h`.
pub fn lasting(period: Period) -> String {
    let seconds = period.secs();
    let two = |large: u64, large_name: &str, small: u64, small_name: &str| match small {
        0 => format!("{large} {large_name}"),
        _ => format!("{large} {large_name} {small} {small_name}"),
    };
    match seconds {
        0 => format!("{} ms", period.ms()),
        1..10 if !period.ms().is_multiple_of(1000) => {
            format!("{}.{} s", seconds, period.ms() % 1000 / 100)
        }
        1..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds / 60 % 60, "min"),
        _ => two(seconds / 86_400, "d", seconds / 3600 % 24, "h"),
    }
}

/// What the status says, for those that are seen every day.
pub fn phrase(status: &str) -> &'static str {
    match status {
        "200" => "OK",
        "201" => "Created",
        "204" => "No Content",
        "206" => "Partial Content",
        "301" => "Moved Permanently",
        "302" => "Found",
        "303" => "See Other",
        "304" => "Not Modified",
        "307" => "Temporary Redirect",
        "308" => "Permanent Redirect",
        "400" => "Bad Request",
        "401" => "Unauthorized",
        "403" => "Forbidden",
        "404" => "Not Found",
        "405" => "Method Not Allowed",
        "408" => "Request Timeout",
        "410" => "Gone",
        "413" => "Content Too Large",
        "414" => "URI Too Long",
        "429" => "Too Many Requests",
        "444" => "closed unanswered",
        "499" => "client went away",
        "500" => "Internal Server Error",
        "502" => "Bad Gateway",
        "503" => "Service Unavailable",
        "504" => "Gateway Timeout",
        _ => "",
    }
}

/// `time` on the clocks of `zone`.
pub fn local(time: Timestamp, zone: &TimeZone) -> DateTime {
    let moment = jiff::Timestamp::from_nanosecond(i128::from(time.0));
    zone.to_datetime(moment.unwrap_or(jiff::Timestamp::MAX))
}

/// `Tue 17 Nov 2026 02:00:14`.
pub fn second(time: Timestamp, zone: &TimeZone) -> String {
    local(time, zone).strftime("%a %d %b %Y %H:%M:%S").to_string()
}

/// `Tue 17 Nov 02:00`, for places where the year is plain.
pub fn minute(time: Timestamp, zone: &TimeZone) -> String {
    local(time, zone).strftime("%a %d %b %H:%M").to_string()
}

/// `Tue 17 Nov 02:00 – 05:00`, or both days where they differ.
pub fn stretch(from: Timestamp, to: Timestamp, zone: &TimeZone) -> String {
    let (first, last) = (local(from, zone), local(to, zone));
    let end = if first.date() == last.date() { "%H:%M" } else { "%a %d %b %H:%M" };
    format!("{} – {}", minute(from, zone), last.strftime(end))
}

/// `Tue 17 Nov 2026 02:00:14 – 02:41:07`, or both days where they differ.
pub fn exact_stretch(from: Timestamp, to: Timestamp, zone: &TimeZone) -> String {
    let (first, last) = (local(from, zone), local(to, zone));
    let end = if first.date() == last.date() { "%H:%M:%S" } else { "%a %d %b %Y %H:%M:%S" };
    format!("{} – {}", second(from, zone), last.strftime(end))
}

/// `Tue 17 Nov 2026`.
pub fn day(date: Date) -> String {
    date.strftime("%a %d %b %Y").to_string()
}

/// The zone's name, or its offset where it has none.
pub fn zone_name(zone: &TimeZone, at: Timestamp) -> String {
    match zone.iana_name() {
        Some(name) => name.to_owned(),
        None => {
            let moment = jiff::Timestamp::from_nanosecond(i128::from(at.0));
            format!("UTC{}", zone.to_offset(moment.unwrap_or(jiff::Timestamp::MAX)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_thousands_separators() {
        assert_eq!(["0", "999", "1,000", "12,345,678"], [0, 999, 1000, 12_345_678].map(count));
        assert_eq!("1 line", of(1, "line", "lines"));
        assert_eq!("1,200 lines", of(1200, "line", "lines"));
    }

    #[test]
    fn sizes_have_the_unit_that_keeps_them_short() {
        let sizes = [0, 1023, 1024, 1_048_575, 1_048_576, u64::MAX].map(bytes);
        assert_eq!(["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB", "16.0 EiB"], sizes);
    }

    #[test]
    fn shares_never_hide_the_few_nor_the_missing() {
        let shares = [(0, 9), (1, 9_999_999), (81, 1000), (9999, 10_000), (9_999_999, 10_000_000)];
        let shown = shares.map(|(part, whole)| percent(part, whole));
        assert_eq!(["0 %", "<0.1 %", "8.1 %", ">99.9 %", ">99.9 %"], shown);
        assert_eq!("100 %", percent(7, 7));
        assert_eq!("–", percent(0, 0));
        assert_eq!("100 %", percent(u64::MAX, u64::MAX));
    }

    #[test]
    fn changes_say_their_direction() {
        let pairs = [(112, 100), (60, 100), (200, 100), (1200, 100), (5, 0), (0, 0), (0, 7)];
        let shown = pairs.map(|(now, before)| change(now, Some(before)));
        assert_eq!(["+12.0 %", "−40.0 %", "+100 %", "×12", "new", "=", "−100.0 %"], shown);
        assert_eq!("–", change(5, None));
        assert_eq!("±0.0 %", change(100_001, Some(100_000)));
    }

    #[test]
    fn bars_are_never_empty_for_something_and_never_too_long() {
        assert_eq!("", bar(0, 10, 8));
        assert_eq!("▏", bar(1, 1_000_000, 8));
        assert_eq!("████", bar(5, 10, 8));
        assert_eq!("████▌", bar(9, 16, 8));
        assert_eq!("████████", bar(99, 10, 8));
    }

    #[test]
    fn lengths_of_time_have_two_units_at_most() {
        let lengths = [340, 1500, 12_000, 2_460_000, 7_500_000, 603_000_000].map(Period);
        let shown = lengths.map(lasting);
        assert_eq!(["340 ms", "1.5 s", "12 s", "41 min", "2 h 5 min", "6 d 23 h"], shown);
    }
}
