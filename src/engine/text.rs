//! Bytes of a log as text: escapes undone, and what is no UTF-8 kept visible.

/// Appends `bytes` as UTF-8: whatever is not becomes `\xHH`, upper case, reversibly.
pub fn push_utf8(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for byte in chunk.invalid() {
            out.extend_from_slice(&[b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
}

/// `bytes` as UTF-8, at most `max` bytes of it, as [`push_utf8`] does it.
pub fn to_utf8(bytes: &[u8], max: usize) -> String {
    let cut = bytes.len().min(max);
    let mut out = Vec::with_capacity(cut);
    push_utf8(&mut out, &bytes[..cut]);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends `field` with the log's escapes undone: `\xHH`, `\"`, `\\`, `\n`, `\r`, `\t`, `\b`,
/// `\v`; any other backslash stays as it is (nginx's default escaping and Apache's alike).
pub fn unescape(out: &mut Vec<u8>, field: &[u8]) {
    let mut rest = field;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (byte, used) = match rest[at + 1..] {
            [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex_value(high) << 4 | hex_value(low), 4)
            }
            [b'"', ..] => (b'"', 2),
            [b'\\', ..] => (b'\\', 2),
            [b'n', ..] => (b'\n', 2),
            [b'r', ..] => (b'\r', 2),
            [b't', ..] => (b'\t', 2),
            [b'b', ..] => (8, 2),
            [b'v', ..] => (11, 2),
            _ => (b'\\', 1),
        };
        out.push(byte);
        rest = &rest[at + used..];
    }
    out.extend_from_slice(rest);
}

/// Cuts `text` in front of and behind the first `part`.
pub fn cut<'t>(text: &'t [u8], part: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = memchr::memmem::find(text, part)?;
    Some((&text[..at], &text[at + part.len()..]))
}

/// Bytes that `text` takes in UTF-16: what it took in a file that was read from there.
///
/// Four for a character outside the basic plane, else two; half of a surrogate pair counts as one.
pub fn wide_len(text: &[u8]) -> u64 {
    let units = text.iter().map(|byte| match byte {
        0x80..=0xbf => 0,
        0xf0.. => 2,
        _ => 1,
    });
    units.sum::<u64>() * 2
}

/// Hexadecimal digit of a value below 16, upper case.
pub fn hex_digit(value: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(value & 15)]
}

/// Lower-case hexadecimal of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [hex_digit(byte >> 4), hex_digit(*byte)]);
    digits.map(|digit| char::from(digit.to_ascii_lowercase())).collect()
}

/// Value of a hexadecimal digit of either case.
pub fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// A whole number of decimal digits, or `None`.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() || 19 < text.len() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(escaped: &[u8], expected: &[u8]) {
        let mut out = Vec::new();
        unescape(&mut out, escaped);
        assert_eq!(expected.escape_ascii().to_string(), out.escape_ascii().to_string());
    }

    #[test]
    fn escapes_of_both_servers_are_undone() {
        check(br"caf\xC3\xA9 \x22q\x22 \x5C", "café \"q\" \\".as_bytes());
        check(br#"bad\"user\nx a\\b\tc"#, b"bad\"user\nx a\\b\tc");
    }

    #[test]
    fn what_is_no_escape_stays_as_it_is() {
        check(br"C:\dir \xZZ \x4", br"C:\dir \xZZ \x4");
        check(b"ends with \\", b"ends with \\");
    }

    #[test]
    fn bytes_that_are_no_text_stay_visible() {
        assert_eq!("a\\xFFb\u{e9}", to_utf8(b"a\xffb\xc3\xa9", 64));
        assert_eq!("ab\\xC3", to_utf8(b"ab\xc3\xa9", 3), "a character cut in two");
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(Some(1200), parse_u64(b"1200"));
        for text in [&b""[..], b"-1", b"1.5", b"99999999999999999999"] {
            assert_eq!(None, parse_u64(text));
        }
    }
}
