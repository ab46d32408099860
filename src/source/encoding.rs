//! How a file writes its text: bytes as they are, or UTF-16 as Windows programs write it.
//!
//! Lines are cut in the file's own bytes, so that a position is a position in the file whatever
//! the encoding; only what leaves this module is UTF-8.
//!
//! Invariant: decoding loses nothing. A unit that is no text (half of a surrogate pair) becomes the
//! three bytes that UTF-8 would give its number, so the text of a line tells how many units it had.

use memchr::{memchr_iter, memrchr_iter};
use serde::{Deserialize, Serialize};

/// The encoding of a file, by its first bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// UTF-8, or any other that keeps ASCII: the bytes are taken as they are.
    #[default]
    Bytes,
    /// UTF-16, the low byte of each unit first.
    Utf16Le,
    /// UTF-16, the high byte of each unit first.
    Utf16Be,
}

/// Byte order marks: the first bytes of files that say how they are written.
const MARKS: &[(&[u8], Encoding)] = &[
    (b"\xef\xbb\xbf", Encoding::Bytes),
    (b"\xff\xfe", Encoding::Utf16Le),
    (b"\xfe\xff", Encoding::Utf16Be),
];

/// Bytes of an unmarked file that show its encoding: 32 characters of ASCII, each beside a NUL.
pub(super) const SNIFF_BYTES: usize = 64;

/// So many do for a file that is whole.
const SNIFF_BYTES_MIN: usize = 16;

impl Encoding {
    /// The encoding of a file that begins with `first`, and its byte order mark. `None` as long as
    /// more bytes could change it; `whole` says that no more will come.
    pub(super) fn of(first: &[u8], whole: bool) -> Option<(Self, &'static [u8])> {
        if let Some((mark, encoding)) = MARKS.iter().find(|(mark, _)| first.starts_with(mark)) {
            return Some((*encoding, mark));
        }
        let is_undecided = |mark: &[u8]| first.len() < mark.len() && mark.starts_with(first);
        if !whole && MARKS.iter().any(|(mark, _)| is_undecided(mark)) {
            return None;
        }
        let first = &first[..first.len().min(SNIFF_BYTES)];
        let is_text = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
        let is_wide = |low: usize| {
            let mut all = first.iter().enumerate();
            all.all(|(at, byte)| if at % 2 == low { is_text(*byte) } else { *byte == 0 })
        };
        let encoding = match (is_wide(0), is_wide(1)) {
            (true, _) => Self::Utf16Le,
            (_, true) => Self::Utf16Be,
            _ => return Some((Self::Bytes, b"")),
        };
        let needed = if whole { SNIFF_BYTES_MIN } else { SNIFF_BYTES };
        match first.len() {
            length if needed <= length => Some((encoding, b"")),
            _ if whole => Some((Self::Bytes, b"")),
            _ => None,
        }
    }

    /// True for UTF-16.
    pub fn is_wide(self) -> bool {
        self != Self::Bytes
    }

    /// Bytes of a line feed.
    pub(super) fn width(self) -> usize {
        if self.is_wide() { 2 } else { 1 }
    }

    /// The longest line that is kept whole, in whole units.
    pub(super) fn limit(self, max_line_bytes: usize) -> usize {
        self.whole_units(max_line_bytes).max(self.width())
    }

    /// The part of `length` that is whole units.
    pub(super) fn whole_units(self, length: usize) -> usize {
        length - length % self.width()
    }

    /// The end of the first line in `bytes`, which begin with a unit.
    pub(super) fn first_line_end(self, bytes: &[u8]) -> Option<usize> {
        memchr_iter(b'\n', bytes).find_map(|at| self.line_feed_end(bytes, at))
    }

    /// The end of the last line in `bytes`, which begin with a unit.
    pub(super) fn last_line_end(self, bytes: &[u8]) -> Option<usize> {
        memrchr_iter(b'\n', bytes).find_map(|at| self.line_feed_end(bytes, at))
    }

    /// The end of the line feed of which the byte at `at` is a part, if it is one.
    fn line_feed_end(self, bytes: &[u8], at: usize) -> Option<usize> {
        match self {
            Self::Bytes => Some(at + 1),
            Self::Utf16Le => {
                (at.is_multiple_of(2) && bytes.get(at + 1) == Some(&0)).then_some(at + 2)
            }
            Self::Utf16Be => (!at.is_multiple_of(2) && bytes[at - 1] == 0).then_some(at + 1),
        }
    }

    /// True when the line at the start of `bytes` begins with `sign`.
    pub(super) fn begins_with(self, bytes: &[u8], sign: u8) -> bool {
        match self {
            Self::Bytes => bytes.first() == Some(&sign),
            Self::Utf16Le => bytes.starts_with(&[sign, 0]),
            Self::Utf16Be => bytes.starts_with(&[0, sign]),
        }
    }

    /// Makes UTF-8 of `bytes`, which begin with a unit; bytes that are taken as they are stay.
    pub(super) fn decode(self, bytes: &mut Vec<u8>) {
        let unit: fn([u8; 2]) -> u16 = match self {
            Self::Bytes => return,
            Self::Utf16Le => u16::from_le_bytes,
            Self::Utf16Be => u16::from_be_bytes,
        };
        let (pairs, rest) = bytes.as_chunks::<2>();
        let mut text = Vec::with_capacity(pairs.len() + pairs.len() / 8);
        for character in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
            match character {
                Ok(character) if character.is_ascii() => text.push(character as u8),
                Ok(character) => {
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Err(error) => text.extend_from_slice(&unpaired(error.unpaired_surrogate())),
            }
        }
        if !rest.is_empty() {
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
        *bytes = text;
    }
}

/// The bytes that UTF-8 would have for half of a surrogate pair.
fn unpaired(unit: u16) -> [u8; 3] {
    let part = |shift: u16| 0x80 | (unit >> shift & 0x3f) as u8;
    [0xe0 | (unit >> 12) as u8, part(6), part(0)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::text::wide_len;

    fn utf16(text: &str, encoding: Encoding) -> Vec<u8> {
        let bytes = |unit: u16| match encoding {
            Encoding::Utf16Be => unit.to_be_bytes(),
            _ => unit.to_le_bytes(),
        };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[track_caller]
    fn check(first: &[u8], whole: bool, expected: Option<(Encoding, usize)>) {
        let found = Encoding::of(first, whole).map(|(encoding, mark)| (encoding, mark.len()));
        assert_eq!(expected, found, "{first:x?}");
    }

    #[test]
    fn a_byte_order_mark_decides_at_once() {
        check(b"\xff\xfe", false, Some((Encoding::Utf16Le, 2)));
        check(b"\xfe\xff\0a", false, Some((Encoding::Utf16Be, 2)));
        check(b"\xef\xbb\xbf", false, Some((Encoding::Bytes, 3)));
        for part in [&b""[..], b"\xff", b"\xfe", b"\xef\xbb"] {
            check(part, false, None);
            check(part, true, Some((Encoding::Bytes, 0)));
        }
    }

    #[test]
    fn utf_16_without_a_mark_is_believed_only_when_clear() {
        for encoding in [Encoding::Utf16Le, Encoding::Utf16Be] {
            let text = utf16("2026-11-20 07:46:41 GET / \u{e4}\r\n".repeat(3).as_str(), encoding);
            check(&text, false, Some((Encoding::Bytes, 0)));
            let text = utf16("2026-11-20 07:46:41 GET /index.htm 200\r\n", encoding);
            check(&text, false, Some((encoding, 0)));
            check(&text[..40], false, None);
            check(&text[..40], true, Some((encoding, 0)));
            check(&text[..8], true, Some((Encoding::Bytes, 0)));
        }
        check(&[0; 100], false, Some((Encoding::Bytes, 0)));
        check(b"192.0.2.1 - -", false, Some((Encoding::Bytes, 0)));
        check(b"\x001\n", false, Some((Encoding::Bytes, 0)));
    }

    #[test]
    fn a_line_feed_is_a_whole_unit() {
        // U+0A0A and U+010A have its byte in them.
        for encoding in [Encoding::Utf16Le, Encoding::Utf16Be] {
            let bytes = utf16("\u{a0a}\u{10a}\u{a01}\nb\nc", encoding);
            assert_eq!(Some(8), encoding.first_line_end(&bytes));
            assert_eq!(Some(12), encoding.last_line_end(&bytes));
            assert_eq!(None, encoding.first_line_end(&bytes[..7]), "half a line feed");
            assert!(encoding.begins_with(&bytes[8..], b'b'));
        }
    }

    #[test]
    fn what_is_no_text_stays_visible() {
        let mut bytes = vec![b'a', 0, 0x00, 0xd8, b'b', 0, 7];
        Encoding::Utf16Le.decode(&mut bytes);
        assert_eq!(b"a\xed\xa0\x80b\xef\xbf\xbd".as_slice(), bytes);
    }

    proptest! {
        #[test]
        fn the_text_tells_how_long_it_was_in_the_file(units: Vec<u16>) {
            for encoding in [Encoding::Utf16Le, Encoding::Utf16Be] {
                let mut bytes: Vec<u8> = units.iter().flat_map(|unit| match encoding {
                    Encoding::Utf16Be => unit.to_be_bytes(),
                    _ => unit.to_le_bytes(),
                }).collect();
                encoding.decode(&mut bytes);
                prop_assert_eq!(units.len() as u64 * 2, wide_len(&bytes));
            }
        }
    }
}
