//! The columns of a line, taken from the left one by one.
//!
//! Columns are parted by one blank; a column in quotes ends at the first quote that no backslash
//! escapes, and a blank or the end of the line must stand behind it.
//!
//! Invariant: a column that does not fit takes nothing, so a reader can try another kind.

/// What is left of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<'l> {
    rest: &'l [u8],
}

impl<'l> Columns<'l> {
    pub(super) fn new(line: &'l [u8]) -> Self {
        Self { rest: line }
    }

    /// What was not taken yet.
    pub(super) fn rest(&self) -> &'l [u8] {
        self.rest
    }

    /// The text up to the next blank or the end; none where there is no text.
    pub(super) fn word(&mut self) -> Option<&'l [u8]> {
        let end = memchr::memchr(b' ', self.rest).unwrap_or(self.rest.len());
        if end == 0 {
            return None;
        }
        Some(self.take(0, end, end))
    }

    /// The text in quotes, which may be empty.
    pub(super) fn quoted(&mut self) -> Option<&'l [u8]> {
        self.rest.strip_prefix(b"\"")?;
        let end = 1 + find_quote(&self.rest[1..])?;
        matches!(self.rest.get(end + 1), None | Some(b' ')).then(|| self.take(1, end, end + 1))
    }

    /// The text in quotes, or a word where there are none.
    pub(super) fn quoted_or_word(&mut self) -> Option<&'l [u8]> {
        if self.rest.starts_with(b"\"") { self.quoted() } else { self.word() }
    }

    /// The text between `open` and the next `close`.
    pub(super) fn between(&mut self, open: u8, close: u8) -> Option<&'l [u8]> {
        if self.rest.first() != Some(&open) {
            return None;
        }
        let end = memchr::memchr(close, self.rest)?;
        matches!(self.rest.get(end + 1), None | Some(b' ')).then(|| self.take(1, end, end + 1))
    }

    /// Skips blanks that fill a column up.
    pub(super) fn skip_blanks(&mut self) {
        while let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn take(&mut self, start: usize, end: usize, behind: usize) -> &'l [u8] {
        let column = &self.rest[start..end];
        let rest = &self.rest[behind..];
        self.rest = rest.strip_prefix(b" ").unwrap_or(rest);
        column
    }
}

/// The next quote that no backslash escapes.
pub(super) fn find_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_taken_from_the_left() {
        let mut columns = Columns::new(br#"a "b \" c" [d e] "f"g"#);
        assert_eq!(None, columns.quoted());
        assert_eq!(Some(&b"a"[..]), columns.word());
        assert_eq!(Some(&br#"b \" c"#[..]), columns.quoted_or_word());
        assert_eq!(Some(&b"d e"[..]), columns.between(b'[', b']'));
        assert_eq!(None, columns.quoted(), "a letter stands behind the quote");
        assert_eq!(br#""f"g"#, columns.rest());
        assert_eq!(Some(&br#""f"g"#[..]), columns.word());
        assert_eq!((None, &b""[..]), (columns.word(), columns.rest()));
    }
}
