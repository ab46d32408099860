//! Messages that are all `key=value`: logfmt, and what firewalls and identity servers write.
//!
//! Invariant: only a message that is pairs from its first to its last byte is read here. Then a
//! text of the client is inside a quoted value, or it had to add a key of its own, which makes
//! two keys for the client.

use super::grammar::{Address, address_at};
use super::phrases::name_of;

/// The pairs of one message.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Pairs<'t>(&'t [u8]);

/// The pairs of `text`, if it is nothing but pairs, and at least two.
pub(in super::super) fn pairs(text: &[u8]) -> Option<Pairs<'_>> {
    let pairs = Pairs(text);
    let mut steps = Steps { rest: text, is_sound: true };
    let count = steps.by_ref().count();
    (steps.is_sound && 2 <= count).then_some(pairs)
}

/// Keys under which programs write the name of the account, the likeliest first.
const USERS: [&[u8]; 14] = [
    b"user",
    b"username",
    b"user_name",
    b"uname",
    b"usr",
    b"login",
    b"account",
    b"accountid",
    b"acct",
    b"principal",
    b"suser",
    b"duser",
    b"email",
    b"name",
];

impl<'t> Pairs<'t> {
    pub(in super::super) fn iter(self) -> impl Iterator<Item = (&'t [u8], &'t [u8])> {
        Steps { rest: self.0, is_sound: true }
    }

    /// The value of `key`, in any case.
    pub(super) fn get(self, key: &[u8]) -> Option<&'t [u8]> {
        self.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    /// The client, and whether the keys agree about it.
    pub(super) fn client(self) -> Option<(Address<'t>, bool)> {
        let mut clients = self.iter().filter(|(key, _)| is_client(key)).filter_map(|(_, value)| {
            let address = address_at(value)?;
            // A list was written by proxies and clients; its last place is the nearest.
            let rest = value[address.len..].trim_ascii();
            rest.is_empty().then_some(address)
        });
        let first = clients.next()?;
        let (mut last, mut is_sure) = (first, true);
        for client in clients {
            is_sure &= client.text == first.text;
            last = client;
        }
        Some((last, is_sure))
    }

    /// The account.
    pub(super) fn user(self) -> Option<&'t [u8]> {
        USERS.iter().find_map(|key| {
            let user = self.get(key)?.trim_ascii();
            let is_name = !user.is_empty() && user != b"-" && user != b"null" && user != b"N/A";
            is_name.then_some(user)
        })
    }
}

/// `remote_ip`, `RemoteAddr`, `srcip`: the last parts of a key decide.
fn is_client(key: &[u8]) -> bool {
    let mut name = [0; 24];
    let mut len = 0;
    for byte in key.iter().filter(|byte| byte.is_ascii_alphanumeric()).take(24) {
        name[len] = byte.to_ascii_lowercase();
        len += 1;
    }
    name_of(&name[..len]) == Some(true)
}

/// Walks over pairs; stops, and says so, at what is none.
struct Steps<'t> {
    rest: &'t [u8],
    is_sound: bool,
}

impl<'t> Iterator for Steps<'t> {
    type Item = (&'t [u8], &'t [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let is_between = |byte: &u8| matches!(byte, b' ' | b',' | b';' | b'\t');
        let skip = self.rest.iter().take_while(|byte| is_between(byte)).count();
        self.rest = &self.rest[skip..];
        if self.rest.is_empty() {
            return None;
        }
        let step = pair(self.rest);
        self.is_sound &= step.is_some();
        let (key, value, rest) = step?;
        self.rest = rest;
        Some((key, value))
    }
}

/// Reads one pair; answers key, value and what follows.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let is_key =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@');
    let length = text.iter().take(64).take_while(|byte| is_key(byte)).count();
    let rest = text[length..].strip_prefix(b"=")?;
    if length == 0 {
        return None;
    }
    let key = &text[..length];
    if let Some(quote @ (b'"' | b'\'')) = rest.first() {
        let (mut is_escaped, inner) = (false, &rest[1..]);
        let end = inner.iter().position(|byte| {
            let ends = byte == quote && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            ends
        })?;
        let after = &inner[end + 1..];
        let is_end = after.first().is_none_or(|byte| matches!(byte, b' ' | b',' | b';' | b'\t'));
        return is_end.then_some((key, &inner[..end], after));
    }
    let end =
        rest.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'"')).unwrap_or(rest.len());
    if rest.get(end) == Some(&b'"') {
        return None;
    }
    let value = &rest[..end];
    let value = value.strip_suffix(b",").or_else(|| value.strip_suffix(b";")).unwrap_or(value);
    Some((key, value, &rest[value.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let actual: Vec<(String, String)> = pairs(text.as_bytes())
            .map(|pairs| pairs.iter().map(|(key, value)| (show(key), show(value))).collect())
            .unwrap_or_default();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(expected, actual, "{text}");
    }

    #[test]
    fn whole_messages_of_pairs_are_read() {
        check("a=1 b=two", &[("a", "1"), ("b", "two")]);
        check("a=1, b=two, c=", &[("a", "1"), ("b", "two"), ("c", "")]);
        check(r#"a="x y" b="q \" q" c='z'"#, &[("a", "x y"), ("b", r#"q \" q"#), ("c", "z")]);
        check(r#"A="1",B="2""#, &[("A", "1"), ("B", "2")]);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "a=1", "a=1 and b=2", r#"a=1 b="open"#, r#"a=1 b="x"y"#, "=1 b=2"] {
            check(text, &[]);
        }
    }
}
