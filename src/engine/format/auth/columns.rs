//! What loggers write between the time and the message: level, thread, class, process id.

use super::grammar::address_at;
use crate::engine::batch::Level;

/// What follows the first column of `text`, if that is one.
pub(super) fn skip(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii_start();
    let rest = match text.first()? {
        b'[' => bracketed(text, b']', 120)?,
        b'(' => bracketed(text, b')', 64)?,
        b'<' => bracketed(text, b'>', 64)?,
        b'-' | b'|' | b':' | b',' | b';' => {
            let marks = text.iter().take_while(|byte| b"-|:,;".contains(byte));
            &text[marks.count()..]
        }
        _ => word(text)?,
    };
    let rest = rest.strip_prefix(b":").unwrap_or(rest).trim_ascii_start();
    (!rest.is_empty()).then_some(rest)
}

/// `text` is nothing but columns, and at most one word more.
pub(super) fn is_only(text: &[u8]) -> bool {
    let mut rest = text.trim_ascii();
    while let Some(after) = skip(rest) {
        rest = after;
    }
    !rest.contains(&b' ')
}

/// What follows `[…]`. One that holds an address is no column of the logger alone.
fn bracketed(text: &[u8], close: u8, max: usize) -> Option<&[u8]> {
    let end = memchr::memchr(close, &text[..text.len().min(max)])?;
    address_at(&text[1..]).is_none().then_some(&text[end + 1..])
}

/// What follows a word that is a level, a number, or a name with a dot or colon in it.
fn word(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| matches!(byte, b' ' | b'|')).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\'' | b'`' | b'=' | b'@');
    if !word.iter().all(is_plain) || address_at(word).is_some() {
        return None;
    }
    // `in handle_request: …`
    if word == b"in" || word == b"at" {
        let next = rest.trim_ascii_start();
        let end = memchr::memchr(b' ', next)?;
        return next[..end].ends_with(b":").then_some(&next[end..]);
    }
    let is_path = word.contains(&b'/');
    // `SECURITY[26]`, and the topics of routers: `system,error,critical`.
    let has_number = word.ends_with(b"]") && word.first().is_some_and(u8::is_ascii_alphabetic);
    let is_topics =
        word.contains(&b',') && word.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b',');
    let is_column = has_number
        || is_topics
        || level(word).is_some()
        || word.iter().all(u8::is_ascii_digit)
        || word.ends_with(b":")
        || (!is_path && word.iter().any(|byte| matches!(byte, b'.' | b':')));
    is_column.then_some(rest)
}

/// The level among the first columns of `text`.
pub(super) fn find_level(text: &[u8]) -> Option<Level> {
    let is_mark =
        |byte: &u8| matches!(byte, b' ' | b'[' | b']' | b'|' | b'(' | b')' | b'<' | b'>' | b':');
    text[..text.len().min(160)]
        .split(is_mark)
        .filter(|word| !word.is_empty())
        .take(6)
        .find_map(level)
}

/// The level that a word names, in any case, with `[5]` or a comma behind it or not.
pub(super) fn level(word: &[u8]) -> Option<Level> {
    let end = word.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(word.len());
    // `local.WARNING`, `froxlor.ERROR`: the channel stands before the level.
    let (word, end) = match word.get(end) {
        Some(b'.') => {
            let rest = &word[end + 1..];
            let end = rest.iter().position(|byte| !byte.is_ascii_uppercase());
            (rest, end.unwrap_or(rest.len()))
        }
        _ => (word, end),
    };
    let mut name = [0; 9];
    let lower = name.get_mut(..end)?;
    for (to, from) in lower.iter_mut().zip(&word[..end]) {
        *to = from.to_ascii_lowercase();
    }
    Some(match &*lower {
        b"dbg" | b"verbose" | b"fine" | b"finer" | b"finest" => Level::Debug,
        b"inf" | b"information" => Level::Info,
        b"wrn" => Level::Warn,
        b"severe" => Level::Error,
        b"fatal" | b"ftl" | b"panic" => Level::Critical,
        other => Level::from_name(other)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All columns taken off.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut rest = text.as_bytes();
        while let Some(after) = skip(rest) {
            rest = after;
        }
        assert_eq!(expected, String::from_utf8_lossy(rest), "{text}");
    }

    #[test]
    fn what_loggers_write_first_is_taken_off() {
        check("[INFO] [app.auth] login failed", "login failed");
        check("WARN [main] o.e.Auth - login failed", "login failed");
        check("NOTICE[15] chan_sip.c:23 in handle_it: login failed", "login failed");
        check("|Warn|Auth: login failed", "login failed");
        check("12 [Note] [MY-1] login failed", "login failed");
        check("SECURITY[26] a.c: login failed", "login failed");
        check("system,error,critical login failed", "login failed");
        check("local.WARNING: login failed", "login failed");
    }

    #[test]
    fn what_may_be_a_message_stays() {
        check("[192.0.2.7:50] login failed", "[192.0.2.7:50] login failed");
        check("192.0.2.7: login failed", "192.0.2.7: login failed");
        check("user=bob: no", "user=bob: no");
        check("search for: x", "search for: x");
    }

    #[test]
    fn levels_are_found_in_any_spelling() {
        for (text, expected) in [
            ("[WRN] x", Some(Level::Warn)),
            ("NOTICE[15] x", Some(Level::Notice)),
            ("|Error|x", Some(Level::Error)),
            ("local.INFO: x", Some(Level::Info)),
            ("SEVERE: x", Some(Level::Error)),
            ("hello", None),
        ] {
            assert_eq!(expected, find_level(text.as_bytes()), "{text}");
        }
    }
}
