//! Finds the client at the end of a message: ` from 192.0.2.7 port 50022 ssh2`.
//!
//! The user name before it is text of the client and may hold the same words. What the daemon
//! wrote stands last, so everything here reads from the end.

use memchr::memmem;

use crate::engine::address::{is_host_name, parse_ip, set_client};
use crate::engine::batch::{Field, Writer};

/// A client as a daemon names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Peer<'l> {
    pub(super) address: &'l [u8],
    /// Empty where the line does not say.
    pub(super) port: &'l [u8],
}

impl<'l> Peer<'l> {
    pub(super) fn set(self, out: &mut Writer<'_>) {
        set_client(out, self.address);
        if !self.port.is_empty() {
            out.set(Field::ClientPort, self.port);
        }
    }

    /// Reads `… <address>[ port <n>]` from the end of `text`; answers what stands before it,
    /// without the blank.
    pub(super) fn at_end(text: &'l [u8]) -> Option<(&'l [u8], Self)> {
        let (head, last) = last_word(text);
        let (head, port) = match (is_port(last), last_word(head)) {
            (true, (head, b"port")) => (head, last),
            _ => (text, &b""[..]),
        };
        let (head, address) = last_word(head);
        is_address(address).then_some((head, Self { address, port }))
    }

    /// Reads `<head> from <address>[ port <n>]`, the whole of `text`.
    pub(super) fn from_end(text: &'l [u8]) -> Option<(&'l [u8], Self)> {
        let (head, peer) = Self::at_end(text)?;
        let head = head.strip_suffix(b"from")?;
        match head {
            [] => Some((head, peer)),
            [head @ .., b' '] => Some((head, peer)),
            _ => None,
        }
    }

    /// Reads `<address>[ port <n>]` at the start of `text`, up to a blank, a colon or the end;
    /// answers what follows.
    pub(super) fn at_start(text: &'l [u8]) -> Option<(Self, &'l [u8])> {
        let end = memchr::memchr(b' ', text).unwrap_or(text.len());
        let mut address = &text[..end];
        // `2001:db8::1: 11: Bye`: the colon behind an address is not a part of it.
        if !is_address(address) {
            address = address.strip_suffix(b":")?;
        }
        if !is_address(address) {
            return None;
        }
        let rest = &text[end..];
        let Some(after) = rest.strip_prefix(b" port ") else {
            return Some((Self { address, port: b"" }, rest));
        };
        let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (port, after) = after.split_at(digits);
        let port = if is_port(port) { port } else { b"" };
        Some((Self { address, port }, after))
    }

    /// The places in `text` that read `<head> from <address> port <n>` (or without the `from`)
    /// and then `end`: what stands before and behind. At most four; more are a forgery anyway.
    pub(super) fn places(
        text: &'l [u8],
        has_from: bool,
        end: &'static [u8],
    ) -> impl Iterator<Item = (&'l [u8], Self, &'l [u8])> + Clone {
        let places = memmem::find_iter(text, b" port ").filter_map(move |at| {
            let from = at + b" port ".len();
            let digits = text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let rest = text[from + digits..].strip_prefix(end)?;
            let read = if has_from { Self::from_end } else { Self::at_end };
            let (head, peer) = read(&text[..from + digits])?;
            (!peer.port.is_empty()).then_some((head, peer, rest))
        });
        places.take(4)
    }
}

/// The last word of `text` and what stands before its blank.
fn last_word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memrchr(b' ', text) {
        Some(blank) => (&text[..blank], &text[blank + 1..]),
        None => (&text[..0], text),
    }
}

fn is_port(text: &[u8]) -> bool {
    (1..=5).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

/// An address, or a host name where the daemon was told to look names up.
fn is_address(text: &[u8]) -> bool {
    parse_ip(text).is_some() || is_host_name(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str, &str)>) {
        let actual = Peer::from_end(text.as_bytes());
        let actual = actual.map(|(head, peer)| (head, peer.address, peer.port));
        let expected = expected
            .map(|(head, address, port)| (head.as_bytes(), address.as_bytes(), port.as_bytes()));
        assert_eq!(expected, actual, "{text}");
    }

    #[test]
    fn the_last_client_is_the_real_one() {
        check("a from 192.0.2.7 port 5", Some(("a", "192.0.2.7", "5")));
        check("a from 192.0.2.7", Some(("a", "192.0.2.7", "")));
        check(" from 192.0.2.7", Some(("", "192.0.2.7", "")));
        check("from 192.0.2.7", Some(("", "192.0.2.7", "")));
        check(
            "a from ::1 port 5 from h.example.org",
            Some(("a from ::1 port 5", "h.example.org", "")),
        );
        check("a from ::1 from 192.0.2.7 port 5", Some(("a from ::1", "192.0.2.7", "5")));
        check("afrom 192.0.2.7", None);
        check("a from 192.0.2.7 port x", None);
        check("", None);
    }
}
