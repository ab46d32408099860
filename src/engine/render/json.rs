//! Writes JSON by hand into one buffer: objects, lists, numbers, and text from hostile bytes.
//!
//! Each member ends with a comma, which the end of its object takes back; an object that stayed
//! empty vanishes with its name. So the callers need no book of what was written before.
//!
//! Invariant: whatever bytes a value holds, what is written is valid JSON in valid UTF-8, without
//! a control character and without one that turns the writing direction: safe on a terminal.

use super::limits::ALL_ELSE;
use crate::engine::text::hex_digit;

/// A member's name as it stands before its value; a literal, so it is put together when compiling.
macro_rules! key {
    ($name:literal) => {
        concat!('"', $name, "\":")
    };
}
pub(super) use key;

/// The text being written and what had to be done to values on the way.
#[derive(Debug)]
pub(super) struct Json<'o> {
    pub(super) out: &'o mut Vec<u8>,
    /// Names of the fields that were cut or left out.
    truncated: Vec<&'static str>,
    /// A value held bytes that are no UTF-8.
    pub(super) nonutf8: bool,
}

/// Where an object or a list began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark(usize);

impl<'o> Json<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, truncated: Vec::new(), nonutf8: false }
    }

    /// Appends text that is JSON already.
    #[inline]
    pub(super) fn raw(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Begins an object or a list; `start` is its name and its bracket: `"http":{`.
    #[inline]
    pub(super) fn open(&mut self, start: &'static str) -> Mark {
        let mark = Mark(self.out.len());
        self.raw(start);
        mark
    }

    /// Ends what `open` began; if it has no member, its name goes too.
    #[inline]
    pub(super) fn close(&mut self, mark: Mark, bracket: u8) {
        match self.out.last_mut() {
            Some(last) if *last == b',' => {
                *last = bracket;
                self.out.push(b',');
            }
            _ => self.out.truncate(mark.0),
        }
    }

    /// A member that is a text of at most `max` characters; `name` is its full ECS name.
    #[inline]
    pub(super) fn text(&mut self, key: &str, name: &'static str, value: &[u8], max: usize) {
        self.raw(key);
        self.item(name, value, max);
    }

    /// A text within a list, or the value of a member whose key was written before.
    #[inline]
    pub(super) fn item(&mut self, name: &'static str, value: &[u8], max: usize) {
        self.out.push(b'"');
        let written = push_text(self.out, value, max);
        self.out.extend_from_slice(b"\",");
        self.nonutf8 |= written.nonutf8;
        if written.cut {
            self.note_cut(name);
        }
    }

    /// A member that is a text of ours: a word of a closed list, needing no escape.
    #[inline]
    pub(super) fn word(&mut self, key: &str, word: &str) {
        self.raw(key);
        self.out.push(b'"');
        self.raw(word);
        self.out.extend_from_slice(b"\",");
    }

    /// A member that is a whole number. What is above 63 bits was no measurement, and receivers refuse
    /// the whole event for it, so it is left out.
    #[inline]
    pub(super) fn number(&mut self, key: &str, value: u64) {
        if value > i64::MAX.cast_unsigned() {
            return;
        }
        self.raw(key);
        self.raw(itoa::Buffer::new().format(value));
        self.out.push(b',');
    }

    /// A member that is true or false.
    pub(super) fn truth(&mut self, key: &str, value: bool) {
        self.raw(key);
        self.raw(if value { "true," } else { "false," });
    }

    /// Takes note that `name` was cut or left out.
    #[cold]
    pub(super) fn note_cut(&mut self, name: &'static str) {
        if !self.truncated.contains(&name) {
            self.truncated.push(name);
        }
    }

    /// Takes note that all went but what says what happened.
    #[cold]
    pub(super) fn note_all_cut(&mut self) {
        self.truncated = vec![ALL_ELSE];
    }

    /// A member, begun by `start`, that is the list of what was noted; none where nothing was.
    pub(super) fn cut_names(&mut self, start: &'static str) {
        let list = self.open(start);
        for name in std::mem::take(&mut self.truncated) {
            self.word("", name);
        }
        self.close(list, b']');
    }
}

/// What had to be done to a text.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Written {
    pub(super) cut: bool,
    pub(super) nonutf8: bool,
}

/// Appends the inside of a JSON string: at most `max` characters of `bytes`.
///
/// A byte that is no UTF-8 becomes the four characters `\xHH`.
#[inline]
pub(super) fn push_text(out: &mut Vec<u8>, bytes: &[u8], max: usize) -> Written {
    if bytes.len() <= max && is_plain(bytes) {
        out.extend_from_slice(bytes);
        return Written::default();
    }
    push_odd_text(out, bytes, max)
}

/// All bytes are printable ASCII that JSON takes as they are.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    // No early exit: without it the compiler looks at sixteen bytes at once.
    let odd = |byte: &u8| {
        u8::from(byte.wrapping_sub(0x20) >= 0x5f)
            | u8::from(*byte == b'"')
            | u8::from(*byte == b'\\')
    };
    bytes.iter().fold(0, |sum, byte| sum | odd(byte)) == 0
}

fn push_odd_text(out: &mut Vec<u8>, bytes: &[u8], max: usize) -> Written {
    let mut written = Written::default();
    let mut room = max;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        // A text shorter in bytes is shorter in characters; only a longer one is counted out.
        let end = if valid.len() <= room {
            valid.len()
        } else {
            valid.char_indices().nth(room).map_or(valid.len(), |(at, _)| at)
        };
        escape(out, &valid.as_bytes()[..end]);
        written.cut = end < valid.len();
        if written.cut {
            return written;
        }
        room -= if valid.is_ascii() { end } else { valid.chars().count() };
        for byte in chunk.invalid() {
            if room < 4 {
                written.cut = true;
                return written;
            }
            written.nonutf8 = true;
            out.extend_from_slice(&[b'\\', b'\\', b'x', hex_digit(byte >> 4), hex_digit(*byte)]);
            room -= 4;
        }
    }
    written
}

/// Appends valid UTF-8 with quotes, backslashes, and what a terminal obeys escaped: control
/// characters and those that turn the writing direction.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let mut clean = 0;
    let mut at = 0;
    while at < text.len() {
        let Some((code, length)) = to_escape(&text[at..]) else {
            at += 1;
            continue;
        };
        out.extend_from_slice(&text[clean..at]);
        push_escape(out, code);
        at += length;
        clean = at;
    }
    out.extend_from_slice(&text[clean..]);
}

/// The character at the start of `text` and its length, if it must not stand as it is.
fn to_escape(text: &[u8]) -> Option<(u16, usize)> {
    let code = |base: u16, last: u8| base | u16::from(last & 0x3F);
    match *text {
        [byte @ (0..=0x1F | 0x7F | b'"' | b'\\'), ..] => Some((u16::from(byte), 1)),
        // The C1 controls.
        [0xC2, last @ 0x80..=0x9F, ..] => Some((code(0x0080, last), 2)),
        // All characters with the property Bidi_Control: U+061C, U+200E, U+200F, U+202A to
        // U+202E, U+2066 to U+2069.
        [0xD8, 0x9C, ..] => Some((0x061C, 2)),
        [0xE2, 0x80, last @ (0x8E | 0x8F | 0xAA..=0xAE), ..] => Some((code(0x2000, last), 3)),
        [0xE2, 0x81, last @ 0xA6..=0xA9, ..] => Some((code(0x2040, last), 3)),
        _ => None,
    }
}

fn push_escape(out: &mut Vec<u8>, code: u16) {
    let letter = match code {
        0x22 => b'"',
        0x5C => b'\\',
        0x0A => b'n',
        0x0D => b'r',
        0x09 => b't',
        _ => {
            let [high, low] = code.to_be_bytes();
            out.extend_from_slice(b"\\u");
            for byte in [high, low] {
                out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte)]);
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

/// `text` is a decimal number that JSON reads as the same number: `0.012`, `3`.
pub(super) fn is_decimal(text: &[u8]) -> bool {
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(dot) => (&text[..dot], Some(&text[dot + 1..])),
        None => (text, None),
    };
    let digits =
        |part: &[u8]| !part.is_empty() && part.len() <= 15 && part.iter().all(u8::is_ascii_digit);
    digits(whole) && (whole.len() == 1 || whole[0] != b'0') && fraction.is_none_or(digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], max: usize, expected: &str, cut: bool, nonutf8: bool) {
        let mut out = Vec::new();
        let written = push_text(&mut out, bytes, max);
        assert_eq!(expected, String::from_utf8_lossy(&out));
        assert_eq!(Written { cut, nonutf8 }, written);
    }

    #[test]
    fn plain_text_stays_and_control_characters_are_escaped() {
        check(b"/a?b=c|d", 99, "/a?b=c|d", false, false);
        check(b"a\"b\\c\nd\te\x00f\x7f", 99, r#"a\"b\\c\nd\te\u0000f\u007F"#, false, false);
        check("café €".as_bytes(), 99, "café €", false, false);
        check("a\u{9b}31mb\u{a0}".as_bytes(), 99, "a\\u009B31mb\u{a0}", false, false);
    }

    #[test]
    fn characters_that_turn_the_writing_direction_are_escaped_and_their_neighbours_are_not() {
        check("a\u{202e}gpj.exe".as_bytes(), 99, "a\\u202Egpj.exe", false, false);
        for code in (0x80..0xA0).chain([0x061C]).chain(0x2000..=0x2070) {
            let character = char::from_u32(code).expect("a character").to_string();
            let turns =
                matches!(code, 0x061C | 0x200E | 0x200F | 0x202A..=0x202E | 0x2066..=0x2069);
            let escaped = turns || code < 0xA0;
            let expected = if escaped { format!("\\u{code:04X}") } else { character.clone() };
            check(character.as_bytes(), 99, &expected, false, false);
        }
    }

    #[test]
    fn each_byte_alone_is_written_so_that_json_reads_it() {
        for byte in 0..=0x7f_u8 {
            let mut out = vec![b'"'];
            push_text(&mut out, &[byte], 9);
            out.push(b'"');
            assert!(!out.iter().any(u8::is_ascii_control), "{byte:#04x}");
            let text: String = serde_json::from_slice(&out).expect("a JSON string");
            assert_eq!([byte], text.as_bytes());
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay_readable() {
        check(b"a\xffb\xc3", 99, r"a\\xFFb\\xC3", false, true);
        check(b"ab\xff", 5, "ab", true, false);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        check(b"abcdef", 4, "abcd", true, false);
        check("ééééé".as_bytes(), 4, "éééé", true, false);
        check("éééé".as_bytes(), 4, "éééé", false, false);
    }

    #[test]
    fn only_numbers_that_json_knows_pass() {
        for text in ["0", "0.012", "12.5", "300"] {
            assert!(is_decimal(text.as_bytes()), "{text}");
        }
        for text in ["", "-", ".5", "5.", "01", "1e3", "-1", "1.2.3", "NaN"] {
            assert!(!is_decimal(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_back_as_it_was(text: String) {
            let mut out = vec![b'"'];
            push_text(&mut out, text.as_bytes(), usize::MAX);
            out.push(b'"');
            prop_assert_eq!(text, serde_json::from_slice::<String>(&out).expect("a JSON string"));
        }

        #[test]
        fn any_bytes_become_a_json_string_within_the_limit(bytes: Vec<u8>, max in 0_usize..80) {
            let mut out = vec![b'"'];
            push_text(&mut out, &bytes, max);
            out.push(b'"');
            let text: String = serde_json::from_slice(&out).expect("a JSON string");
            prop_assert!(text.chars().count() <= max);
            prop_assert!(!text.is_empty() || bytes.is_empty() || max < 4);
        }
    }
}
