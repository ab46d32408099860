//! The JSON object of one line, read leaf by leaf.
//!
//! [`Reader`] walks over the bytes once and hands out each value that is no container with the
//! path of its keys, joined by dots, so that `{"source":{"ip":1}}` and `{"source.ip":1}` read the
//! same. Nothing is allocated; values are parts of the line, their escapes still in them.
//!
//! Servers write JSON by templates, and clients choose the text in it, so more than the standard
//! allows is read: bytes that are no UTF-8 (nginx copies them), an escape of Apache (`\xHH`), a
//! missing number (`"x":,` and `"x":-,`, which are null), a list of bare numbers (`"x":0.1, 0.2`,
//! which is one number value), a comma before a closing bracket.
//!
//! Invariant: a line is read whole or refused; what follows the object is refused. Depth is
//! bounded by [`DEPTH_MAX`]; a value whose path is longer than [`PATH_BYTES_MAX`] is passed over.
//! The caller decides about a key that is there twice; the house rule is that the first one wins,
//! because a writer that does not escape puts the client's text behind it.

use memchr::memchr2;

/// Containers inside one another.
pub const DEPTH_MAX: usize = 32;

/// Bytes of a path; real ones have at most eighty.
pub const PATH_BYTES_MAX: usize = 200;

/// How keys are put into paths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Keys {
    /// As they are.
    Exact,
    /// In lower case, without `_` and blanks: `remoteAddr` and `remote_addr` are one. A `-` stays,
    /// so that a header `X_Real_Ip`, which proxies do not know, is not the one they set.
    Folded,
}

/// What a value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A string, its escapes not undone.
    Text,
    /// A number, or several of a list that stands bare.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`, or nothing where a value should be.
    Null,
    /// An array or object without items.
    Empty,
}

/// A value of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Value<'l> {
    /// What it is.
    pub kind: Kind,
    /// Its text: between the quotes of a string, nothing for null and empty containers.
    pub text: &'l [u8],
    /// There is a backslash in it.
    pub escaped: bool,
    /// Its place in the array it stands in; 0 outside.
    pub index: u32,
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Leaf<'r, 'l> {
    /// The keys to it; items of an array have the path of the array.
    pub path: &'r [u8],
    /// The value.
    pub value: Value<'l>,
}

/// The line is no JSON object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotJson;

/// Walks over one line.
#[derive(Debug)]
pub struct Reader<'l> {
    line: &'l [u8],
    at: usize,
    keys: Keys,
    path: [u8; PATH_BYTES_MAX],
    path_len: usize,
    /// The path did not fit.
    is_hidden: bool,
    open: [Frame; DEPTH_MAX],
    depth: usize,
    /// An item may begin here: behind a bracket or a comma.
    may_begin: bool,
}

/// An array or object that is open.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    is_array: bool,
    is_hidden: bool,
    path_len: u16,
    items: u32,
}

impl<'l> Reader<'l> {
    /// A reader of `line`, which must be one object.
    pub fn new(line: &'l [u8], keys: Keys) -> Result<Self, NotJson> {
        let mut reader = Self {
            line,
            at: 0,
            keys,
            path: [0; PATH_BYTES_MAX],
            path_len: 0,
            is_hidden: false,
            open: [Frame::default(); DEPTH_MAX],
            depth: 0,
            may_begin: false,
        };
        reader.skip_blanks();
        if reader.peek() != Some(b'{') {
            return Err(NotJson);
        }
        reader.push(false)?;
        Ok(reader)
    }

    /// The next value; none at the end of the object.
    pub fn next_leaf(&mut self) -> Result<Option<Leaf<'_, 'l>>, NotJson> {
        loop {
            self.skip_blanks();
            if self.depth == 0 {
                return if self.at == self.line.len() { Ok(None) } else { Err(NotJson) };
            }
            let frame = self.open[self.depth - 1];
            let close = if frame.is_array { b']' } else { b'}' };
            let value = match self.peek().ok_or(NotJson)? {
                byte if byte == close => {
                    self.at += 1;
                    self.depth -= 1;
                    self.may_begin = false;
                    self.path_len = usize::from(frame.path_len);
                    self.is_hidden = frame.is_hidden;
                    if frame.items != 0 || self.depth == 0 {
                        continue;
                    }
                    Some(self.value(Kind::Empty, b"", false))
                }
                b',' if !self.may_begin => {
                    self.at += 1;
                    self.may_begin = true;
                    continue;
                }
                _ if !self.may_begin => return Err(NotJson),
                _ => self.item(frame)?,
            };
            // The path borrows the reader from here on.
            if let Some(value) = value.filter(|_| !self.is_hidden) {
                return Ok(Some(Leaf { path: &self.path[..self.path_len], value }));
            }
        }
    }

    /// Reads an item of the innermost container; none if it is a container itself.
    fn item(&mut self, frame: Frame) -> Result<Option<Value<'l>>, NotJson> {
        self.path_len = usize::from(frame.path_len);
        self.is_hidden = frame.is_hidden;
        if !frame.is_array {
            self.key()?;
        }
        self.open[self.depth - 1].items += 1;
        let byte = self.peek().ok_or(NotJson)?;
        if matches!(byte, b'{' | b'[') {
            self.push(byte == b'[')?;
            return Ok(None);
        }
        self.may_begin = false;
        let (kind, text, escaped) = match byte {
            b'"' => {
                self.at += 1;
                let (text, escaped) = self.string()?;
                (Kind::Text, text, escaped)
            }
            b',' | b'}' if !frame.is_array => (Kind::Null, &b""[..], false),
            b'-' | b'0'..=b'9' => {
                let text = self.number(frame.is_array)?;
                let kind = if text == b"-" { Kind::Null } else { Kind::Number };
                (kind, if kind == Kind::Null { b"" } else { text }, false)
            }
            _ => self.word()?,
        };
        Ok(Some(self.value(kind, text, escaped)))
    }

    /// A value at the place of the innermost container.
    fn value(&self, kind: Kind, text: &'l [u8], escaped: bool) -> Value<'l> {
        let frame = self.open[self.depth - 1];
        let index = if frame.is_array { frame.items - 1 } else { 0 };
        Value { kind, text, escaped, index }
    }

    fn push(&mut self, is_array: bool) -> Result<(), NotJson> {
        let frame =
            Frame { is_array, is_hidden: self.is_hidden, path_len: self.path_len as u16, items: 0 };
        *self.open.get_mut(self.depth).ok_or(NotJson)? = frame;
        self.depth += 1;
        self.at += 1;
        self.may_begin = true;
        Ok(())
    }

    /// Reads `"key":` and the blanks behind it, and puts the key at the end of the path.
    fn key(&mut self) -> Result<(), NotJson> {
        if self.peek() != Some(b'"') {
            return Err(NotJson);
        }
        self.at += 1;
        let (key, escaped) = self.string()?;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return Err(NotJson);
        }
        self.at += 1;
        self.skip_blanks();
        if escaped {
            let mut clear = Vec::with_capacity(key.len());
            unescape(&mut clear, key);
            self.extend_path(&clear);
        } else {
            self.extend_path(key);
        }
        Ok(())
    }

    fn extend_path(&mut self, key: &[u8]) {
        let dot = usize::from(1 < self.depth);
        if self.is_hidden || PATH_BYTES_MAX < self.path_len + dot + key.len() {
            self.is_hidden = true;
            return;
        }
        if dot == 1 {
            self.path[self.path_len] = b'.';
            self.path_len += 1;
        }
        match self.keys {
            Keys::Exact => {
                self.path[self.path_len..self.path_len + key.len()].copy_from_slice(key);
                self.path_len += key.len();
            }
            Keys::Folded => {
                for byte in key {
                    let folded = FOLDED[usize::from(*byte)];
                    self.path[self.path_len] = folded;
                    self.path_len += usize::from(folded != 0);
                }
            }
        }
    }

    /// Reads to the quote that ends a string; tells whether there is a backslash.
    fn string(&mut self) -> Result<(&'l [u8], bool), NotJson> {
        let start = self.at;
        let mut escaped = false;
        loop {
            let length = memchr2(b'"', b'\\', self.line.get(self.at..).ok_or(NotJson)?);
            let end = self.at + length.ok_or(NotJson)?;
            if self.line[end] == b'"' {
                self.at = end + 1;
                return Ok((&self.line[start..end], escaped));
            }
            escaped = true;
            self.at = end + 2;
        }
    }

    /// Reads a number; in an object all of a list whose items no quotes hold together.
    fn number(&mut self, in_array: bool) -> Result<&'l [u8], NotJson> {
        let start = self.at;
        loop {
            let rest = &self.line[self.at..];
            let is_part =
                |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
            self.at += rest.iter().take_while(|byte| is_part(byte)).count();
            let end = self.at;
            let next = &self.line[end..];
            let Some((b',' | b':', next)) = next.trim_ascii_start().split_first() else {
                return Ok(&self.line[start..end]);
            };
            let next = next.trim_ascii_start();
            if in_array || !matches!(next.first(), Some(b'0'..=b'9' | b'-')) {
                return Ok(&self.line[start..end]);
            }
            self.at = self.line.len() - next.len();
        }
    }

    fn word(&mut self) -> Result<(Kind, &'l [u8], bool), NotJson> {
        let rest = &self.line[self.at..];
        let words: [(&[u8], Kind); 3] =
            [(b"true", Kind::Bool), (b"false", Kind::Bool), (b"null", Kind::Null)];
        let (word, kind) =
            words.into_iter().find(|(word, _)| rest.starts_with(word)).ok_or(NotJson)?;
        self.at += word.len();
        Ok((kind, if kind == Kind::Null { b"" } else { &rest[..word.len()] }, false))
    }

    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }
}

/// What a byte of a key becomes in [`Keys::Folded`]; 0 where it goes.
const FOLDED: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = match byte as u8 {
            b'_' | b' ' => 0,
            other => other.to_ascii_lowercase(),
        };
        byte += 1;
    }
    table
};

/// A key as [`Keys::Folded`] writes it.
pub fn folded(key: &[u8]) -> Vec<u8> {
    key.iter().map(|byte| FOLDED[usize::from(*byte)]).filter(|byte| *byte != 0).collect()
}

/// Appends the text of a string with its escapes undone: those of JSON, and `\xHH` and `\v` of
/// servers whose own escaping stands inside; any other backslash stays as it is.
pub fn unescape(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (used, byte) = match rest[at + 1..] {
            [b'n', ..] => (2, b'\n'),
            [b'r', ..] => (2, b'\r'),
            [b't', ..] => (2, b'\t'),
            [b'b', ..] => (2, 8),
            [b'f', ..] => (2, 12),
            [b'v', ..] => (2, 11),
            [byte @ (b'"' | b'\\' | b'/'), ..] => (2, byte),
            [b'x', ref tail @ ..] => match hex(tail, 2) {
                Some(byte) => (4, byte as u8),
                None => (1, b'\\'),
            },
            [b'u', ..] => match character(&rest[at..]) {
                Some((used, char)) => {
                    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = &rest[at + used..];
                    continue;
                }
                None => (1, b'\\'),
            },
            _ => (1, b'\\'),
        };
        out.push(byte);
        rest = &rest[at + used..];
    }
    out.extend_from_slice(rest);
}

/// Reads `\uHHHH`, or the two of a pair of surrogates; answers how many bytes it has.
fn character(text: &[u8]) -> Option<(usize, char)> {
    let first = hex(text.get(2..)?, 4)?;
    if let Some(char) = char::from_u32(first) {
        return Some((6, char));
    }
    let second = hex(text.get(6..)?.strip_prefix(b"\\u")?, 4)?;
    if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Some((12, char::from_u32(code)?))
}

/// The value of the first `count` bytes as hexadecimal digits.
fn hex(text: &[u8], count: usize) -> Option<u32> {
    text.get(..count)?.iter().try_fold(0, |sum, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(sum << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    /// All leaves as `path=kind:text`, escapes undone.
    fn leaves(line: &[u8], keys: Keys) -> Result<Vec<String>, NotJson> {
        let mut reader = Reader::new(line, keys)?;
        let mut all = Vec::new();
        while let Some(leaf) = reader.next_leaf()? {
            let path = String::from_utf8_lossy(leaf.path).into_owned();
            let mut text = Vec::new();
            unescape(&mut text, leaf.value.text);
            let text = String::from_utf8_lossy(&text).into_owned();
            all.push(format!("{path}={:?}:{text}", leaf.value.kind));
        }
        Ok(all)
    }

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        assert_eq!(
            Ok(expected.iter().map(|s| (*s).to_owned()).collect()),
            leaves(line.as_bytes(), Keys::Exact),
            "{line}"
        );
    }

    /// The same leaves as the library of the trade reads them.
    fn expected(path: &str, value: &Json, all: &mut Vec<String>) {
        match value {
            Json::Null => all.push(format!("{path}=Null:")),
            Json::Bool(value) => all.push(format!("{path}=Bool:{value}")),
            Json::Number(value) => all.push(format!("{path}=Number:{value}")),
            Json::String(value) => all.push(format!("{path}=Text:{value}")),
            Json::Array(items) if items.is_empty() => all.push(format!("{path}=Empty:")),
            Json::Array(items) => items.iter().for_each(|item| expected(path, item, all)),
            Json::Object(items) if items.is_empty() => all.push(format!("{path}=Empty:")),
            Json::Object(items) => items.iter().for_each(|(key, item)| {
                expected(&format!("{path}.{key}"), item, all);
            }),
        }
    }

    fn value() -> impl Strategy<Value = Json> {
        // Backslashes are always JSON's own here: `\v` and `\x` are read beyond the standard.
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            (0..u64::MAX).prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                proptest::collection::btree_map("\\PC{0,6}", inner, 0..5)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn nested_and_dotted_keys_read_the_same() {
        check(r#"{"a":{"b":1},"a.c":"x"}"#, &["a.b=Number:1", "a.c=Text:x"]);
        check(
            r#" { "a" : [ 1 , {"b":true} , [] ] } "#,
            &["a=Number:1", "a.b=Bool:true", "a=Empty:"],
        );
        check(r#"{"a":[],"b":{},"c":null}"#, &["a=Empty:", "b=Empty:", "c=Null:"]);
        check("{}", &[]);
    }

    #[test]
    fn what_servers_write_beyond_the_standard_is_read() {
        check(r#"{"a":,"b":}"#, &["a=Null:", "b=Null:"]);
        check(r#"{"a":-,"b": - }"#, &["a=Null:", "b=Null:"]);
        check(r#"{"a":0.1, 0.2 : -,"b":000,}"#, &["a=Number:0.1, 0.2 : -", "b=Number:000"]);
        check(r#"{"a":"\x41\"\v"}"#, &["a=Text:A\"\u{b}"]);
        let raw = leaves(b"{\"a\":\"\xff\xc3\"}", Keys::Exact);
        assert_eq!(Ok(vec!["a=Text:\u{fffd}\u{fffd}".to_owned()]), raw);
    }

    #[test]
    fn keys_are_folded_where_asked() {
        let line = br#"{"Remote_Addr":1,"request":{"User-Agent":2},"\u0073":3}"#;
        let all = leaves(line, Keys::Folded).expect("an object");
        assert_eq!(vec!["remoteaddr=Number:1", "request.user-agent=Number:2", "s=Number:3"], all);
        assert_eq!(b"user-agent".to_vec(), folded(b"User-_Agent"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for line in [
            "",
            "x",
            "[1]",
            "\"a\"",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "{\"a\":1}x",
            "{\"a\":1}{}",
            "{,}",
            "{\"a\":1,,\"b\":2}",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":tru}",
            "{\"a\":[1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":[1 2]}",
        ] {
            assert_eq!(Err(NotJson), leaves(line.as_bytes(), Keys::Exact), "{line}");
        }
    }

    #[test]
    fn depth_and_paths_are_bounded() {
        let deep = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(leaves(deep(DEPTH_MAX - 1).as_bytes(), Keys::Exact).is_ok());
        assert_eq!(Err(NotJson), leaves(deep(DEPTH_MAX).as_bytes(), Keys::Exact));
        let long = "k".repeat(PATH_BYTES_MAX);
        check(
            &format!(r#"{{"{long}":1,"{long}x":{{"a":2}},"b":3}}"#),
            &[&format!("{long}=Number:1"), "b=Number:3"],
        );
    }

    proptest! {
        #[test]
        fn any_object_has_the_leaves_that_the_library_reads(
            map in proptest::collection::btree_map("\\PC{0,6}", value(), 0..6),
            pretty in any::<bool>(),
        ) {
            let object = Json::Object(map.into_iter().collect());
            let text = if pretty {
                serde_json::to_string_pretty(&object).expect("text")
            } else {
                object.to_string()
            };
            let mut all = Vec::new();
            if let Json::Object(items) = &object {
                items.iter().for_each(|(key, item)| expected(key, item, &mut all));
            }
            prop_assert_eq!(Ok(all), leaves(text.as_bytes(), Keys::Exact));
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(
                prop_oneof![
                    proptest::sample::select(&b"{}[]\",:\\-1uxtn "[..]),
                    any::<u8>(),
                ],
                0..80,
            ),
        ) {
            let mut line = b"{\"a\":".to_vec();
            line.extend(&bytes);
            let _ = leaves(&line, Keys::Folded);
            let _ = leaves(&bytes, Keys::Exact);
        }
    }
}
