//! Text for people's eyes: hostile characters made visible, addresses made dead, lines wrapped.
//!
//! Invariant: what [`safe`] returns holds no control, bidi or invisible character and no link a
//! mail program would make clickable, whatever the log held.

use jiff::tz::TimeZone;

use crate::escape;
use crate::units::{Period, Timestamp};

/// `text` as [`visible`] shows it, with its links dead as [`defanged`] makes them.
pub(crate) fn safe(text: &str, chars_max: usize) -> String {
    defanged(&visible(text, chars_max))
}

/// `text` as [`escape::visible`] shows it, in at most `chars_max` characters, the last one `…` where
/// something was cut.
pub(crate) fn visible(text: &str, chars_max: usize) -> String {
    // No character is shown as less than one, so more of them than fit need not be looked at.
    let end = text.char_indices().nth(chars_max + 1).map_or(text.len(), |(at, _)| at);
    cut(&escape::visible(&text[..end]), chars_max, "…")
}

/// At most `chars_max` characters of `text`, ending in `mark` where something was cut.
pub(crate) fn cut(text: &str, chars_max: usize, mark: &str) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept = chars_max.saturating_sub(mark.chars().count());
    let kept: String = text.chars().take(kept).collect();
    format!("{}{mark}", kept.trim_end())
}

/// `text` without anything that mail programs turn into a link: `hxxp://`, `www[.]`, `[@]`.
pub(crate) fn defanged(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let (dead, used) = if starts_with(rest, "http://") || starts_with(rest, "https://") {
            let colon = rest.find(':').unwrap_or(4);
            (format!("{}xx{}://", &rest[..1], &rest[3..colon]), colon + 3)
        } else if starts_with(rest, "://") {
            ("[:]//".to_owned(), 3)
        } else if starts_with(rest, "www.") {
            (format!("{}[.]", &rest[..3]), 4)
        } else if character == '@' {
            ("[@]".to_owned(), 1)
        } else {
            (character.to_string(), character.len_utf8())
        };
        out.push_str(&dead);
        rest = &rest[used..];
    }
    out
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Appends `text` in lines of at most `columns`, the first after `first` and the others after
/// `indent` blanks. Breaks at blanks; a word too long for a line is cut into pieces.
pub(crate) fn wrap(out: &mut String, first: &str, indent: usize, text: &str, columns: usize) {
    let room = columns.saturating_sub(indent).max(8);
    out.push_str(first);
    let mut used = first.chars().count().saturating_sub(indent);
    let mut at_start = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut word: Vec<char> = word.chars().collect();
        if !at_start && room < used + 1 + word.len() {
            new_line(out, indent);
            (used, at_start) = (0, true);
        }
        if !at_start {
            out.push(' ');
            used += 1;
        }
        while room < used + word.len() {
            let tail = word.split_off(room.saturating_sub(used).max(1).min(word.len()));
            out.extend(&word);
            word = tail;
            new_line(out, indent);
            used = 0;
        }
        used += word.len();
        at_start = false;
        out.extend(word);
    }
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
}

fn new_line(out: &mut String, indent: usize) {
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
}

/// `1 user`, `2 users`.
pub(crate) fn plural(count: u64, one: &str) -> String {
    match (count, one.strip_suffix("address")) {
        (1, _) => format!("1 {one}"),
        (_, Some(head)) => format!("{count} {head}addresses"),
        _ => format!("{count} {one}s"),
    }
}

/// A moment as people of `zone` write it, by a strftime pattern.
pub(crate) fn local(time: Timestamp, zone: &TimeZone, pattern: &str) -> String {
    let nanoseconds = i128::from(time.0);
    match jiff::Timestamp::from_nanosecond(nanoseconds) {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime(pattern).to_string(),
        Err(_) => time.rfc3339(),
    }
}

/// `Tue 17 Nov 2026 02:11:40 to 02:49:12 CET`: both dates where they differ.
pub(crate) fn span(from: Timestamp, to: Timestamp, zone: &TimeZone) -> String {
    const FULL: &str = "%a %-d %b %Y %H:%M:%S";
    let same_offset = local(from, zone, "%Z") == local(to, zone, "%Z");
    let start = local(from, zone, if same_offset { FULL } else { "%a %-d %b %Y %H:%M:%S %Z" });
    if from == to {
        return local(from, zone, "%a %-d %b %Y %H:%M:%S %Z");
    }
    let same_day = local(from, zone, "%F") == local(to, zone, "%F");
    let end = if same_day { "%H:%M:%S %Z" } else { "%a %-d %b %Y %H:%M:%S %Z" };
    format!("{start} to {}", local(to, zone, end))
}

/// A length of time in its two largest units: `37 min 32 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn length(period: Period) -> String {
    let seconds = period.secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")];
    let Some(largest) = parts.iter().position(|(count, _)| *count != 0) else {
        return "less than a second".to_owned();
    };
    let shown = parts[largest..].iter().take(2).filter(|(count, _)| *count != 0);
    shown.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_wrap(text: &str, expected: &str) {
        let mut out = String::new();
        wrap(&mut out, "Who   ", 6, text, 20);
        assert_eq!(expected, out);
    }

    #[test]
    fn lines_break_at_blanks_and_long_words_are_cut() {
        check_wrap("one two three four", "Who   one two three\n      four\n");
        check_wrap("abcdefghijklmnopqrst", "Who   abcdefghijklmn\n      opqrst\n");
        check_wrap("", "Who\n");
    }

    #[test]
    fn characters_that_deceive_the_eye_are_shown() {
        assert_eq!("a\\x1B[31mb\\r\\nc", safe("a\u{1b}[31mb\r\nc", 99));
        assert_eq!("\\u{202E}txt.exe\\u{200B}", safe("\u{202e}txt.exe\u{200b}", 99));
        assert_eq!("caf\u{e9} \u{4f60}", safe("caf\u{e9} \u{4f60}", 99));
        assert_eq!("abc…", safe("abcdef", 4));
    }

    #[test]
    fn nothing_stays_that_a_mail_program_would_link() {
        assert_eq!("hxxp://a HxxpS://b", safe("http://a HTtpS://b", 99));
        assert_eq!("ftp[:]//a www[.]b.example j[@]c", safe("ftp://a www.b.example j@c", 99));
    }

    #[test]
    fn spans_and_lengths_read_like_speech() {
        let zone = TimeZone::get("Europe/Paris").expect("a bundled zone");
        let start = Timestamp::from_secs(1_794_877_900);
        let expected = "Tue 17 Nov 2026 02:11:40 to 02:49:12 CET";
        assert_eq!(expected, span(start, Timestamp(start.0 + 2_252_000_000_000), &zone));
        assert_eq!("Tue 17 Nov 2026 02:11:40 CET", span(start, start, &zone));
        assert_eq!("37 min 32 s", length(Period::from_secs(2252)));
        assert_eq!("3 d", length(Period::from_secs(3 * 86_400 + 59)));
        assert_eq!("less than a second", length(Period(3)));
        assert_eq!(
            "2 addresses, 1 user",
            format!("{}, {}", plural(2, "address"), plural(1, "user"))
        );
    }

    proptest! {
        #[test]
        fn safe_text_is_bounded_and_holds_nothing_hidden(
            text in any::<String>(), max in 1usize..60,
        ) {
            let shown = visible(&text, max);
            prop_assert!(shown.chars().count() <= max);
            let shown = defanged(&shown);
            prop_assert!(shown.chars().all(escape::is_visible));
            let lower = shown.to_ascii_lowercase();
            prop_assert!(!lower.contains("http://") && !lower.contains("https://"));
        }

        #[test]
        fn wrapped_lines_fit_and_lose_nothing(text in "[a-z <>é]{0,200}") {
            let mut out = String::new();
            wrap(&mut out, "What  ", 6, &text, 30);
            prop_assert!(out.lines().all(|line| line.chars().count() <= 30), "{out}");
            let squeezed = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(format!("What{}", squeezed(&text)), squeezed(&out));
        }
    }
}
