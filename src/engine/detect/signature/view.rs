//! The payload view of a field: what a lenient program behind the server might read in it.
//!
//! Attackers write one thing in many ways: percent signs twice, character references, escapes of
//! scripts, overlong UTF-8, full-width letters, comments between words. The view undoes these, so
//! that a pattern is written once. The field itself stays what it is; the view is only looked at.
//!
//! In a view letters are lower-case, white space is one blank (or one line feed where there was a
//! line break), and in an address [`PARAM`] stands before the name of each parameter and [`VALUE`]
//! before its value, so that a pattern can tell the `&` that parts from the one that was sent.
//!
//! Invariant: a view is made in one buffer that never grows beyond [`FIELD_MAX`] bytes, in passes
//! that each look at every byte a constant number of times.

/// Longer fields are cut: what is behind is not looked at.
pub(super) const FIELD_MAX: usize = 4096;

/// Stands before the name of a parameter.
pub(super) const PARAM: u8 = 0x01;

/// Stands before the value of a parameter.
pub(super) const VALUE: u8 = 0x02;

/// What a field is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// A path and a query, or a whole address.
    Address,
    /// Anything else.
    Text,
}

/// What was met while a view was made, beside its text.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Marks {
    /// A NUL.
    pub nul: bool,
    /// The sign that begins a terminal's commands.
    pub escape: bool,
    /// A line break before the first value: in a path, or in the name of a parameter.
    pub early_break: bool,
    /// A carriage return without its line feed.
    pub lone_return: bool,
    /// A sign that turns the writing direction.
    pub bidi: bool,
    /// ASCII in more bytes than it takes.
    pub overlong: bool,
    /// A comment stood between two words.
    pub comment: bool,
}

/// A view, whose buffer is used again for the next one.
#[derive(Clone, Debug, Default)]
pub struct View {
    text: Vec<u8>,
    /// What was met on the way.
    pub marks: Marks,
}

impl View {
    /// Makes the view of `field`.
    pub fn read(&mut self, field: &[u8], shape: Shape) {
        self.marks = Marks::default();
        self.text.clear();
        let field = &field[..field.len().min(FIELD_MAX)];
        if shape == Shape::Address && is_plain(field) {
            split_plain(field, &mut self.text);
        } else {
            self.decode(field, shape);
        }
    }

    /// The long way.
    pub(super) fn decode(&mut self, field: &[u8], shape: Shape) {
        match shape {
            Shape::Address => split(field, &mut self.text),
            Shape::Text => self.text.extend(field.iter().map(|byte| unmarked(*byte))),
        }
        for _ in 0..2 {
            if memchr::memchr(b'%', &self.text).is_none() {
                break;
            }
            rewrite(&mut self.text, percent);
        }
        if memchr::memchr2(b'&', b'\\', &self.text).is_some() {
            rewrite(&mut self.text, reference);
        }
        self.fold();
        if memchr::memmem::find(&self.text, b"/*").is_some() {
            self.uncomment();
        }
    }

    /// What was read.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The text without what a shell passes over inside a word: quotes, backslashes, carets and
    /// variables that are empty. False where that would be the same text.
    pub fn squeeze(&self, out: &mut Vec<u8>) -> bool {
        out.clear();
        if !self
            .text
            .iter()
            .any(|byte| matches!(byte, b'\'' | b'"' | b'\\' | b'^' | b'$' | b'[' | b'+'))
        {
            return false;
        }
        let mut rest = self.text.as_slice();
        while let [first, tail @ ..] = rest {
            let skip = match first {
                b'\'' | b'"' | b'\\' | b'^' => 1,
                b'+' => {
                    out.push(b' ');
                    1
                }
                // A set of one letter is that letter.
                b'[' if matches!(tail, [letter, b']', ..] if letter.is_ascii_alphanumeric()) => {
                    out.push(tail[0]);
                    3
                }
                b'$' => variable(tail).map_or(0, |(length, blank)| {
                    if blank {
                        out.push(b' ');
                    }
                    1 + length
                }),
                _ => 0,
            };
            if skip == 0 {
                out.push(*first);
                rest = tail;
            } else {
                rest = &rest[skip..];
            }
        }
        true
    }

    /// Lower case, plain ASCII for its look-alikes, one blank for white space.
    fn fold(&mut self) {
        let Self { text, marks } = self;
        let (mut from, mut to) = (0, 0);
        let mut in_value = false;
        while from < text.len() {
            let byte = text[from];
            if matches!(byte, 0x21..=0x7E) {
                text[to] = byte.to_ascii_lowercase();
                (from, to) = (from + 1, to + 1);
                continue;
            }
            let (character, length) = character(&text[from..], marks);
            let next = from + length;
            match character {
                Folded::Blank(is_break) => {
                    marks.early_break |= is_break && !in_value;
                    let is_pair = text.get(next) == Some(&b'\n');
                    marks.lone_return |= text[from] == b'\r' && !is_pair;
                    to = push_blank(text, to, is_break);
                }
                Folded::Nothing => (),
                Folded::As(byte) => {
                    in_value |= byte == VALUE;
                    text[to] = byte;
                    to += 1;
                }
                Folded::Raw => {
                    text.copy_within(from..next, to);
                    to += length;
                }
            }
            from = next;
        }
        text.truncate(to);
    }

    /// Puts a blank for each comment that only parts words; one that holds something else stays,
    /// because a page would show it.
    fn uncomment(&mut self) {
        let Self { text, marks } = self;
        let (mut from, mut to) = (0, 0);
        let (mut is_inline, mut one_ends) = (false, true);
        while from < text.len() {
            let skip = match &text[from..] {
                // A database runs what is inside.
                [b'/', b'*', b'!', rest @ ..] => {
                    is_inline = true;
                    3 + rest.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count()
                }
                [b'*', b'/', ..] if is_inline => {
                    is_inline = false;
                    2
                }
                [b'/', b'*', rest @ ..] if one_ends => {
                    let end = memchr::memmem::find(rest, b"*/");
                    one_ends = end.is_some();
                    end.map_or(0, |end| {
                        let is_word = |byte: &u8| byte.is_ascii_alphanumeric();
                        let beside = text[..to].last().is_some_and(is_word)
                            && rest.get(end + 2).is_some_and(is_word);
                        let inside = &rest[..end];
                        marks.comment |= beside && !inside.contains(&b'/');
                        let parts = inside
                            .iter()
                            .all(|byte| is_word(byte) || b" \n_-+.,:*!?@#~".contains(byte));
                        if parts { end + 4 } else { 0 }
                    })
                }
                _ => 0,
            };
            let byte = text[from];
            if skip == 0 && matches!(byte, b' ' | b'\n') {
                (from, to) = (from + 1, push_blank(text, to, byte == b'\n'));
            } else if skip == 0 {
                text[to] = byte;
                (from, to) = (from + 1, to + 1);
            } else {
                (from, to) = (from + skip, push_blank(text, to, false));
            }
        }
        text.truncate(to);
    }
}

/// Marks the parameters of an address; `+` is a blank in its query.
fn split(field: &[u8], out: &mut Vec<u8>) {
    #[derive(PartialEq)]
    enum At {
        Path,
        Name,
        Value,
    }
    let mut at = At::Path;
    let mut name_from = 0;
    for byte in field {
        let mark = match (&at, byte) {
            (At::Path, b'?') | (At::Name | At::Value, b'&') => {
                at = At::Name;
                name_from = out.len() + 1;
                PARAM
            }
            (At::Name, b'=') if is_name(&out[name_from..]) => {
                at = At::Value;
                VALUE
            }
            (At::Name | At::Value, b'+') => b' ',
            _ => unmarked(*byte),
        };
        out.push(mark);
    }
}

/// There is nothing to decode in an address of these bytes, and nothing to fold but its case.
fn is_plain(address: &[u8]) -> bool {
    let is_plain = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'/' | b'.' | b'_' | b'-' | b'=' | b'&' | b'?' | b'~' | b',' | b'@' | b':'
            )
    };
    let mut path = address.split(|byte| *byte == b'?');
    // An ampersand in a path may begin a character reference.
    address.iter().fold(true, |all, byte| all & is_plain(byte))
        && !path.next().unwrap_or_default().contains(&b'&')
}

/// The view of an address that [`is_plain`]: the short way that most of them take.
fn split_plain(address: &[u8], out: &mut Vec<u8>) {
    let (path, query) = match memchr::memchr(b'?', address) {
        Some(at) => (&address[..at], Some(&address[at + 1..])),
        None => (address, None),
    };
    out.extend_from_slice(path);
    for parameter in query.into_iter().flat_map(|query| query.split(|byte| *byte == b'&')) {
        out.push(PARAM);
        match memchr::memchr(b'=', parameter) {
            Some(at) if is_name(&parameter[..at]) => {
                out.extend_from_slice(&parameter[..at]);
                out.push(VALUE);
                out.extend_from_slice(&parameter[at + 1..]);
            }
            _ => out.extend_from_slice(parameter),
        }
    }
    out.make_ascii_lowercase();
}

/// What may be the name of a parameter; a `=` in anything else is part of a value without one.
fn is_name(text: &[u8]) -> bool {
    let sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.[]%:$@~".contains(byte);
    !text.is_empty() && text.iter().all(sound)
}

/// A client may not write our marks.
fn unmarked(byte: u8) -> u8 {
    if byte == PARAM || byte == VALUE { b' ' } else { byte }
}

/// Replaces in place what `rule` reads at a place: the length of it and what stands for it, which is
/// never longer.
fn rewrite(text: &mut Vec<u8>, rule: fn(&[u8]) -> Option<(usize, char)>) {
    let (mut from, mut to) = (0, 0);
    while from < text.len() {
        match rule(&text[from..]) {
            Some((length, character)) => {
                // A code below 256 of a percent sign is a byte, not a character.
                let mut bytes = [0; 4];
                let written = match u8::try_from(character) {
                    Ok(byte) => {
                        bytes[0] = unmarked(byte);
                        1
                    }
                    Err(_) => character.encode_utf8(&mut bytes).len(),
                };
                text[to..to + written].copy_from_slice(&bytes[..written]);
                (from, to) = (from + length, to + written);
            }
            None => {
                text[to] = text[from];
                (from, to) = (from + 1, to + 1);
            }
        }
    }
    text.truncate(to);
}

/// `%41`, `%u0041`.
fn percent(text: &[u8]) -> Option<(usize, char)> {
    match text {
        [b'%', b'u' | b'U', digits @ ..] if 4 <= digits.len() => {
            Some((6, char::from_u32(hex(&digits[..4])?)?))
        }
        [b'%', high, low, ..] => Some((3, char::from_u32(hex(&[*high, *low])?)?)),
        _ => None,
    }
}

/// Longest name of a character reference that is known here, with room for leading zeros.
const REFERENCE_MAX: usize = 64;

/// Names that pages use for signs which patterns look for.
const NAMED: &[(&[u8], char)] = &[
    (b"lt", '<'),
    (b"gt", '>'),
    (b"amp", '&'),
    (b"quot", '"'),
    (b"apos", '\''),
    (b"colon", ':'),
    (b"semi", ';'),
    (b"tab", '\t'),
    (b"newline", '\n'),
    (b"lpar", '('),
    (b"rpar", ')'),
    (b"sol", '/'),
    (b"bsol", '\\'),
    (b"period", '.'),
    (b"equals", '='),
    (b"grave", '`'),
    (b"dollar", '$'),
    (b"lbrace", '{'),
    (b"rbrace", '}'),
    (b"nbsp", ' '),
];

/// `&lt;`, `&#60;`, `&#x3c;`, `\x3c`, `\u003c`, `\u{3c}`.
fn reference(text: &[u8]) -> Option<(usize, char)> {
    match text {
        [b'\\', b'x' | b'X', high, low, ..] => Some((4, char::from_u32(hex(&[*high, *low])?)?)),
        [b'\\', b'u' | b'U', b'{', rest @ ..] => {
            let end = rest.iter().take(8).position(|byte| *byte == b'}')?;
            Some((4 + end, char::from_u32(hex(&rest[..end])?)?))
        }
        [b'\\', b'u' | b'U', digits @ ..] if 4 <= digits.len() => {
            Some((6, char::from_u32(hex(&digits[..4])?)?))
        }
        [b'&', b'#', rest @ ..] => {
            let (radix, skip) = match rest {
                [b'x' | b'X', ..] => (16, 1),
                _ => (10, 0),
            };
            let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
            let count = rest[skip..].iter().take(REFERENCE_MAX).take_while(is_digit).count();
            let digits = std::str::from_utf8(&rest[skip..skip + count]).ok()?;
            let code = u32::from_str_radix(digits.trim_start_matches('0'), radix).ok()?;
            let closed = usize::from(rest.get(skip + count) == Some(&b';'));
            Some((2 + skip + count + closed, char::from_u32(code)?))
        }
        [b'&', rest @ ..] => {
            let end = rest.iter().take(8).position(|byte| *byte == b';')?;
            let known = NAMED.iter().find(|(name, _)| rest[..end].eq_ignore_ascii_case(name))?;
            Some((2 + end, known.1))
        }
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
}

/// What becomes of a character.
enum Folded {
    As(u8),
    Blank(bool),
    Nothing,
    /// It stays.
    Raw,
}

/// The first character of `text` and its length.
fn character(text: &[u8], marks: &mut Marks) -> (Folded, usize) {
    let tail = |at: usize| text.get(at).map_or(0, |byte| u32::from(*byte));
    let is_tail = |at: usize| tail(at) & 0xC0 == 0x80;
    match text[0] {
        b'\n' | b'\r' => (Folded::Blank(true), 1),
        b' ' | b'\t' | 0x0B | 0x0C => (Folded::Blank(false), 1),
        0 => {
            marks.nul = true;
            (Folded::Nothing, 1)
        }
        0x1B => {
            marks.escape = true;
            (Folded::Nothing, 1)
        }
        byte @ 0x01..=0x7F => (Folded::As(byte.to_ascii_lowercase()), 1),
        0xA0 => (Folded::Blank(false), 1),
        // Two bytes for what takes one.
        lead @ (0xC0 | 0xC1) if is_tail(1) => {
            marks.overlong = true;
            (overlong(u32::from(lead & 1) << 6 | tail(1) & 0x3F), 2)
        }
        0xC2 if tail(1) == 0xA0 => (Folded::Blank(false), 2),
        0xE0 if matches!(tail(1), 0x80 | 0x81) && is_tail(2) => {
            marks.overlong = true;
            (overlong((tail(1) & 1) << 6 | tail(2) & 0x3F), 3)
        }
        0xF0 if tail(1) == 0x80 && matches!(tail(2), 0x80 | 0x81) && is_tail(3) => {
            marks.overlong = true;
            (overlong((tail(2) & 1) << 6 | tail(3) & 0x3F), 4)
        }
        0xE2 if tail(1) == 0x80 && is_tail(2) => match tail(2) {
            0x98..=0x9B => (Folded::As(b'\''), 3),
            0x9C..=0x9F => (Folded::As(b'"'), 3),
            0x80..=0x8A => (Folded::Blank(false), 3),
            0xA8 | 0xA9 => (Folded::Blank(true), 3),
            0xAA..=0xAE => {
                marks.bidi = true;
                (Folded::Nothing, 3)
            }
            _ => (Folded::Raw, 3),
        },
        0xE2 if tail(1) == 0x81 && matches!(tail(2), 0xA6..=0xA9) => {
            marks.bidi = true;
            (Folded::Nothing, 3)
        }
        // Full-width forms.
        0xEF if matches!(tail(1), 0xBC | 0xBD) && is_tail(2) => {
            let code = (tail(1) & 0x3F) << 6 | tail(2) & 0x3F;
            match u8::try_from(code.wrapping_sub(0xF00) + 0x20) {
                Ok(byte @ 0x21..=0x7E) => (Folded::As(byte.to_ascii_lowercase()), 3),
                _ => (Folded::Raw, 3),
            }
        }
        _ => (Folded::Raw, 1),
    }
}

fn overlong(code: u32) -> Folded {
    match u8::try_from(code) {
        Ok(byte @ 0x21..=0x7E) => Folded::As(byte.to_ascii_lowercase()),
        _ => Folded::Blank(false),
    }
}

/// Puts one blank behind the first `to` bytes, unless one is there; a line break is the stronger.
fn push_blank(text: &mut [u8], to: usize, is_break: bool) -> usize {
    match to.checked_sub(1).map(|last| (last, text[last])) {
        Some((_, b'\n')) => to,
        Some((last, b' ')) => {
            if is_break {
                text[last] = b'\n';
            }
            to
        }
        _ => {
            text[to] = if is_break { b'\n' } else { b' ' };
            to + 1
        }
    }
}

/// A variable behind `$` that a shell would put nothing in place of, and whether it parts words.
fn variable(text: &[u8]) -> Option<(usize, bool)> {
    let is_ifs = |text: &[u8]| text.get(..3).is_some_and(|name| name == b"ifs");
    match text {
        [b'@' | b'*' | b'!' | b'-' | b'_' | b'$' | b'?', ..] => Some((1, false)),
        [b'{', rest @ ..] if is_ifs(rest) => {
            let end = rest.iter().take(16).position(|byte| *byte == b'}')?;
            Some((end + 2, true))
        }
        rest if is_ifs(rest) => Some((3, true)),
        [b'(', b')', ..] => Some((2, false)),
        [b'{', rest @ ..] => {
            let end = rest.iter().take(16).position(|byte| *byte == b'}')?;
            rest[..end].iter().all(u8::is_ascii_alphanumeric).then_some((end + 2, false))
        }
        [b'a'..=b'z' | b'0'..=b'9', ..] => {
            let is_name = |byte: &&u8| byte.is_ascii_alphanumeric();
            let length = text.iter().take(16).take_while(is_name).count();
            // A call, an element or an assignment is code of another kind.
            let code = matches!(text.get(length), Some(b'(' | b'[' | b'='));
            (!code).then_some((length, false))
        }
        _ => None,
    }
}
