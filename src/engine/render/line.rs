//! Text for wires that are lines: what becomes of bytes that no line may hold.
//!
//! Invariant: nothing that is written here ends a line: no control character, and none of the
//! characters that some receivers take for a line end or that turn the writing direction. Those
//! outside ASCII become `\u{2028}`, a byte that is no UTF-8 becomes `\xHH`; each wire says what it
//! does with the controls of ASCII.

use std::io::Write as _;

use crate::engine::text::hex_digit;

/// How a wire writes the characters of ASCII.
pub(super) struct Escape {
    /// Which of them need more than to be copied.
    pub(super) odd: fn(u8) -> bool,
    /// Writes one of those.
    pub(super) push: fn(u8, &mut Vec<u8>),
}

impl Escape {
    /// Appends at most `max` characters of `bytes`; says whether it had to cut.
    #[inline]
    pub(super) fn text(&self, bytes: &[u8], max: usize, out: &mut Vec<u8>) -> bool {
        let is_odd = |byte: &u8| 0x80 <= *byte || (self.odd)(*byte);
        if bytes.len() <= max && !bytes.iter().any(is_odd) {
            out.extend_from_slice(bytes);
            return false;
        }
        self.odd_text(bytes, max, out)
    }

    fn odd_text(&self, bytes: &[u8], max: usize, out: &mut Vec<u8>) -> bool {
        let mut room = max;
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                if room == 0 {
                    return true;
                }
                room -= 1;
                self.character(character, out);
            }
            for byte in chunk.invalid() {
                if room < 4 {
                    return true;
                }
                room -= 4;
                for byte in [b'\\', b'x', hex_digit(byte >> 4), hex_digit(*byte)] {
                    self.byte(byte, out);
                }
            }
        }
        false
    }

    fn character(&self, character: char, out: &mut Vec<u8>) {
        if let Ok(byte) = u8::try_from(character)
            && byte.is_ascii()
        {
            self.byte(byte, out);
        } else if is_hidden(character) {
            let mut text = [0; 12];
            let mut rest = &mut text[..];
            let code = u32::from(character);
            let written = write!(rest, "\\u{{{code:04X}}}");
            let left = rest.len();
            if written.is_ok() {
                for byte in &text[..text.len() - left] {
                    self.byte(*byte, out);
                }
            }
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn byte(&self, byte: u8, out: &mut Vec<u8>) {
        if (self.odd)(byte) { (self.push)(byte, out) } else { out.push(byte) }
    }
}

/// Not ASCII, and not safe to look at or to split lines by.
fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9F}'
            | '\u{61C}'
            | '\u{200E}'
            | '\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Appends a whole number.
pub(super) fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `bytes` without blanks at its ends, in which a value would be taken for another one; controls
/// count as blanks, because that is what they become.
pub(super) fn trimmed(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let start = bytes.iter().position(|byte| !is_blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The first `max` characters of `bytes`.
pub(super) fn cut(bytes: &[u8], max: usize) -> &[u8] {
    if bytes.len() <= max {
        return bytes;
    }
    // No character has more than four bytes; bytes that only continue one are no characters.
    let mut starts = (0..bytes.len()).filter(|at| bytes[*at] & 0xC0 != 0x80);
    let end = starts.nth(max).unwrap_or(bytes.len());
    &bytes[..end.min(4 * max)]
}
