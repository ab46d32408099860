//! One matching engine for the wording of all daemons: literal text with slots between.
//!
//! Invariant: a client can choose its name and more, so the address is found by what the daemon
//! writes around it. Where only the daemon writes behind the address the last place that fits is
//! the true one; where only the daemon writes before it, the first; where clients write on both
//! sides, every place that fits must name the same address, or the line is ambiguous.

use memchr::memmem;

use crate::engine::address::{is_host_name, parse_ip, split_last_port};

/// A stretch of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// These words.
    Text(&'static str),
    /// The account: any text of the client.
    User,
    /// The address of the client, with or without port, brackets and family.
    Client,
    /// The same, or the name of the host.
    Host,
    /// At least one byte, and no blank.
    Word,
    /// Digits.
    Number,
    /// Text that only the daemon writes; may be empty.
    Own,
    /// Text in which clients have a say; may be empty.
    Free,
}

/// Writes the parts of a message as they are read: `parts!("user " user " from " client)`.
macro_rules! parts {
    ($($part:tt)*) => { &[$($crate::engine::format::auth::grammar::part!($part)),*] };
}

macro_rules! part {
    (user) => {
        $crate::engine::format::auth::grammar::Part::User
    };
    (client) => {
        $crate::engine::format::auth::grammar::Part::Client
    };
    (host) => {
        $crate::engine::format::auth::grammar::Part::Host
    };
    (word) => {
        $crate::engine::format::auth::grammar::Part::Word
    };
    (number) => {
        $crate::engine::format::auth::grammar::Part::Number
    };
    (own) => {
        $crate::engine::format::auth::grammar::Part::Own
    };
    (free) => {
        $crate::engine::format::auth::grammar::Part::Free
    };
    ($text:literal) => {
        $crate::engine::format::auth::grammar::Part::Text($text)
    };
}

pub(super) use {part, parts};

/// What the slots of a message hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading<'t> {
    pub(super) user: Option<&'t [u8]>,
    pub(super) client: Option<Address<'t>>,
    /// No other reading names another client.
    pub(super) is_sure: bool,
}

/// An address as it stands in a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Address<'t> {
    pub(super) text: &'t [u8],
    /// Empty where the line does not say.
    pub(super) port: &'t [u8],
    /// Bytes of the message, with brackets and port.
    pub(super) len: usize,
}

/// Places of an address that are looked at where clients write on both sides of it.
const PLACES: usize = 16;

/// Reads the whole of `text` by `parts`.
pub(super) fn read<'t>(parts: &[Part], text: &'t [u8]) -> Option<Reading<'t>> {
    if let Some(Part::Text(start)) = parts.first()
        && !text.starts_with(start.as_bytes())
    {
        return None;
    }
    let Some(at) = parts.iter().position(|part| matches!(part, Part::Client | Part::Host)) else {
        let user = bind(parts, text)?.user;
        return Some(Reading { user, client: None, is_sure: true });
    };
    let place = Place { before: &parts[..at], what: parts[at], after: &parts[at + 1..], text };
    if !place.after.iter().any(is_of_clients) {
        return place.last();
    }
    let mut readings = place.readings();
    let first = readings.next()?;
    if !place.before.iter().any(is_of_clients) {
        return Some(first);
    }
    let mut others = readings.by_ref().take(PLACES);
    let is_sure = others.all(|other| address_of(&other) == address_of(&first));
    Some(Reading { is_sure, ..first })
}

fn address_of<'t>(reading: &Reading<'t>) -> &'t [u8] {
    reading.client.unwrap_or_default().text
}

fn is_of_clients(part: &Part) -> bool {
    matches!(part, Part::User | Part::Free)
}

/// The parts on both sides of the address.
#[derive(Clone, Copy)]
struct Place<'p, 't> {
    before: &'p [Part],
    what: Part,
    after: &'p [Part],
    text: &'t [u8],
}

impl<'p, 't> Place<'p, 't> {
    /// What stands right before the address; without it the address begins the message.
    fn landmark(&self) -> &'static [u8] {
        match self.before.last() {
            Some(Part::Text(text)) => text.as_bytes(),
            _ => b"",
        }
    }

    /// The reading with the address behind the landmark that ends at `at`.
    fn at(&self, at: usize) -> Option<Reading<'t>> {
        let address = match self.what {
            Part::Host => host_at(&self.text[at..], self.after.first()),
            _ => address_at(&self.text[at..]),
        }?;
        let after = bind(self.after, &self.text[at + address.len..])?.user;
        let user = bind(self.before, &self.text[..at])?.user;
        Some(Reading { user: user.or(after), client: Some(address), is_sure: true })
    }

    fn readings(self) -> impl Iterator<Item = Reading<'t>> + use<'p, 't> {
        let landmark = self.landmark();
        let mut next = Some(0);
        std::iter::from_fn(move || {
            let from = next?;
            if landmark.is_empty() {
                next = None;
                return Some(0);
            }
            let at = from + memmem::find(&self.text[from..], landmark)?;
            next = Some(at + 1);
            Some(at + landmark.len())
        })
        .filter_map(move |at| self.at(at))
    }

    fn last(self) -> Option<Reading<'t>> {
        let landmark = self.landmark();
        if landmark.is_empty() {
            return self.at(0);
        }
        let mut end = self.text.len();
        loop {
            let at = memmem::rfind(&self.text[..end], landmark)?;
            if let Some(reading) = self.at(at + landmark.len()) {
                return Some(reading);
            }
            end = (at + landmark.len()).checked_sub(1)?;
        }
    }
}

/// What parts without an address hold.
struct Bound<'t> {
    user: Option<&'t [u8]>,
}

/// Fits `parts`, none of them an address, to the whole of `text`. The account reaches as far as it
/// can on both sides.
fn bind<'t>(parts: &[Part], text: &'t [u8]) -> Option<Bound<'t>> {
    let pivot = parts.iter().position(|part| *part == Part::User);
    let open = |part: &Part| matches!(part, Part::Own | Part::Free);
    let Some(pivot) = pivot.or_else(|| parts.iter().position(open)) else {
        let rest = from_start(parts, text)?;
        return rest.is_empty().then_some(Bound { user: None });
    };
    let rest = from_start(&parts[..pivot], text)?;
    let middle = from_end(&parts[pivot + 1..], rest)?;
    Some(Bound { user: (parts[pivot] == Part::User).then_some(middle) })
}

/// Fits `parts` to the start of `text`; answers what follows.
fn from_start<'t>(parts: &[Part], text: &'t [u8]) -> Option<&'t [u8]> {
    let mut rest = text;
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        if let Part::Text(words) = part {
            rest = rest.strip_prefix(words.as_bytes())?;
            continue;
        }
        let end = match parts.peek() {
            Some(Part::Text(words)) => memmem::find(rest, words.as_bytes())?,
            _ => rest.iter().take_while(|byte| fits(*part, **byte)).count(),
        };
        rest = slot(*part, &rest[..end]).then_some(&rest[end..])?;
    }
    Some(rest)
}

/// Fits `parts` to the end of `text`; answers what stands before.
fn from_end<'t>(parts: &[Part], text: &'t [u8]) -> Option<&'t [u8]> {
    let mut rest = text;
    let mut parts = parts.iter().rev().peekable();
    while let Some(part) = parts.next() {
        if let Part::Text(words) = part {
            rest = rest.strip_suffix(words.as_bytes())?;
            continue;
        }
        let start = match parts.peek() {
            Some(Part::Text(words)) => memmem::rfind(rest, words.as_bytes())? + words.len(),
            _ => rest.len() - rest.iter().rev().take_while(|byte| fits(*part, **byte)).count(),
        };
        rest = slot(*part, &rest[start..]).then_some(&rest[..start])?;
    }
    Some(rest)
}

fn slot(part: Part, text: &[u8]) -> bool {
    let may_be_empty = matches!(part, Part::Own | Part::Free);
    (may_be_empty || !text.is_empty()) && text.iter().all(|byte| fits(part, *byte))
}

fn fits(part: Part, byte: u8) -> bool {
    match part {
        Part::Word => !byte.is_ascii_whitespace(),
        Part::Number => byte.is_ascii_digit(),
        _ => true,
    }
}

/// Reads an address at the start of `text`: `192.0.2.7`, `192.0.2.7:50`, `[2001:db8::1]:50`,
/// `192.0.2.7#50`, `IPv6:2001:db8::1`, `ipv4:192.0.2.7:50`, `IPV4/UDP/192.0.2.7/50`. A full stop
/// or a colon behind it belongs to the sentence.
pub(super) fn address_at(text: &[u8]) -> Option<Address<'_>> {
    let lead = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let (is_pathlike, family) = family(&text[lead..]);
    let start = lead + family;
    let rest = &text[start..];
    if rest.first() == Some(&b'[') {
        return bracketed(rest, start);
    }
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
    let mut length = rest.iter().take(64).take_while(|byte| is_part(byte)).count();
    // `%eth0`: the zone of a link-local address.
    if rest.get(length) == Some(&b'%') && rest[..length].contains(&b':') {
        let zone = rest[length + 1..].iter().take_while(|byte| byte.is_ascii_alphanumeric());
        length += 1 + zone.count().min(16);
    }
    loop {
        let token = &rest[..length];
        let (address, port) = split_last_port(token);
        if parse_ip(address).is_some() {
            if is_longer_name(&rest[length..]) {
                return None;
            }
            let port_len = if port.is_some() {
                token.len() - memchr::memrchr(b':', token).map_or(token.len(), |colon| colon + 1)
            } else {
                0
            };
            let mut port = &token[token.len() - port_len..];
            let mut len = length;
            // A port behind another mark, where nothing else can be meant.
            let mark = rest.get(length).copied();
            if port.is_empty() && matches!(mark, Some(b'#' | b'/')) {
                let digits = rest[length + 1..].iter().take_while(|byte| byte.is_ascii_digit());
                let digits = digits.count();
                // Up to three digits behind a slash are the length of a network.
                let min = if mark == Some(b'/') && !is_pathlike { 4 } else { 1 };
                if (min..=5).contains(&digits) {
                    port = &rest[length + 1..=length + digits];
                    len = length + 1 + digits;
                }
            }
            return Some(Address { text: address, port, len: start + len });
        }
        if let Some((address, port)) = dotted_port(token) {
            return Some(Address { text: address, port, len: start + length });
        }
        length = length.checked_sub(1)?;
        // Only the marks of the sentence are cut: half an address is none.
        if !matches!(rest[length], b'.' | b':') {
            return None;
        }
    }
}

/// `[192.0.2.7]` and `[2001:db8::1]:50`; `start` bytes stand before them.
fn bracketed(text: &[u8], start: usize) -> Option<Address<'_>> {
    let close = memchr::memchr(b']', &text[..text.len().min(64)])?;
    let inner = &text[1..close];
    let (_, family) = family(inner);
    parse_ip(&inner[family..])?;
    let digits = match text.get(close + 1) {
        Some(b':') => text[close + 2..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let (port, len) = if (1..=5).contains(&digits) {
        (&text[close + 2..close + 2 + digits], close + 2 + digits)
    } else {
        (&text[..0], close + 1)
    };
    Some(Address { text: &inner[family..], port, len: start + len })
}

/// `192.0.2.7.50`, as the tools of BSD write a port.
fn dotted_port(token: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memrchr(b'.', token)?;
    let (address, port) = (&token[..dot], &token[dot + 1..]);
    let is_port = (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    (is_port && address.contains(&b'.') && parse_ip(address).is_some()).then_some((address, port))
}

/// What stands behind an address makes it a part of a name: `192.0.2.7.dyn.example.org`.
fn is_longer_name(behind: &[u8]) -> bool {
    match behind {
        [b'.' | b'-', next, ..] => next.is_ascii_alphanumeric(),
        [next, ..] => next.is_ascii_alphanumeric() || *next == b'_',
        [] => false,
    }
}

/// How long the name of the address family before an address is, and whether it is a path.
fn family(text: &[u8]) -> (bool, usize) {
    for name in [&b"IPv6:"[..], b"ipv6:", b"ipv4:", b"::ffff:IPv4:"] {
        if text.starts_with(name) {
            return (false, name.len());
        }
    }
    let Some(rest) = text.strip_prefix(b"IPV4/").or_else(|| text.strip_prefix(b"IPV6/")) else {
        return (false, 0);
    };
    match memchr::memchr(b'/', &rest[..rest.len().min(8)]) {
        Some(slash) => (true, b"IPV4/".len() + slash + 1),
        None => (false, 0),
    }
}

/// An address, or a host name up to the words behind it.
fn host_at<'t>(text: &'t [u8], after: Option<&Part>) -> Option<Address<'t>> {
    if let Some(address) = address_at(text) {
        return Some(address);
    }
    let end = match after {
        Some(Part::Text(words)) => memmem::find(text, words.as_bytes())?,
        _ => text.len(),
    };
    let name = &text[..end];
    is_host_name(name).then_some(Address { text: name, port: b"", len: end })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// User, client and whether that is sure, as `user|client|true`; `-` where nothing fits.
    #[track_caller]
    fn check(parts: &[Part], text: &str, expected: &str) {
        let actual = read(parts, text.as_bytes()).map_or_else(
            || "-".to_owned(),
            |reading| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let user = reading.user.map_or_else(|| "-".to_owned(), text);
                let client = reading.client.unwrap_or_default();
                let port = text(client.port);
                let colon = if port.is_empty() { "" } else { "#" };
                format!("{user}|{}{colon}{port}|{}", text(client.text), reading.is_sure)
            },
        );
        assert_eq!(expected, actual, "{text}");
    }

    #[test]
    fn what_the_daemon_writes_last_is_read_from_the_end() {
        let parts = parts!("Failed login for " user " from " client);
        check(parts, "Failed login for bob from 192.0.2.7", "bob|192.0.2.7|true");
        check(parts, "Failed login for bob from 192.0.2.7:50", "bob|192.0.2.7#50|true");
        check(
            parts,
            "Failed login for a from 6.6.6.6 from 192.0.2.7",
            "a from 6.6.6.6|192.0.2.7|true",
        );
        check(parts, "Failed login for  from 192.0.2.7", "|192.0.2.7|true");
        check(parts, "Failed login for bob from 192.0.2.7 or so", "-");
        check(parts, "Failed login for bob from here", "-");
    }

    #[test]
    fn what_the_daemon_writes_first_is_read_from_the_start() {
        let parts = parts!("denied from " client " for " user);
        check(
            parts,
            "denied from 192.0.2.7 for a from 6.6.6.6 for b",
            "a from 6.6.6.6 for b|192.0.2.7|true",
        );
        let parts = parts!(own "[" client "] user=" user ", end" own);
        check(
            parts,
            "x[192.0.2.7] user=a[6.6.6.6] user=b, end",
            "a[6.6.6.6] user=b|192.0.2.7|true",
        );
    }

    #[test]
    fn clients_on_both_sides_make_an_address_uncertain() {
        let parts = parts!("no " user " from " client ": " free);
        check(parts, "no bob from 192.0.2.7: x", "bob|192.0.2.7|true");
        check(parts, "no bob from 192.0.2.7: x from 192.0.2.7: y", "bob|192.0.2.7|true");
        check(parts, "no a from 6.6.6.6: b from 192.0.2.7: x", "a|6.6.6.6|false");
    }

    #[test]
    fn words_and_numbers_hold_no_blanks() {
        let parts = parts!("[" number "] " word " says no to '" user "'");
        check(parts, "[15] auth says no to 'it's'", "it's||true");
        check(parts, "[x] auth says no to 'bob'", "-");
        check(parts, "[15] the auth says no to 'bob'", "-");
    }

    #[test]
    fn a_host_may_be_named() {
        let parts = parts!("'" user "'@'" host "' refused");
        check(parts, "'bob'@'localhost' refused", "bob|localhost|true");
        check(parts, "'a'@'x'@'192.0.2.7' refused", "a'@'x|192.0.2.7|true");
        check(parts, "'bob'@'a b' refused", "-");
    }

    #[test]
    fn addresses_are_read_in_all_their_coats() {
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7||9"),
            ("192.0.2.7.", "192.0.2.7||9"),
            ("192.0.2.7: no", "192.0.2.7||9"),
            ("192.0.2.7:50, no", "192.0.2.7|50|12"),
            ("[192.0.2.7]:50", "192.0.2.7|50|14"),
            ("[2001:db8::1]", "2001:db8::1||13"),
            ("[192.0.2.7]:50: no", "192.0.2.7|50|14"),
            ("[IPv6:2001:db8::1]", "2001:db8::1||18"),
            ("192.0.2.7] x", "192.0.2.7||9"),
            ("2001:db8::1: x", "2001:db8::1||11"),
            ("192.0.2.7#53 (x)", "192.0.2.7|53|12"),
            ("IPv6:2001:db8::1]", "2001:db8::1||16"),
            ("ipv4:192.0.2.7:50]", "192.0.2.7|50|17"),
            ("IPV4/UDP/192.0.2.7/5060\"", "192.0.2.7|5060|23"),
            ("192.0.2.7/24", "192.0.2.7||9"),
            ("192.0.2.7/50000 x", "192.0.2.7|50000|15"),
            ("192.0.2.7.50 x", "192.0.2.7|50|12"),
            ("fe80::1%eth0 x", "fe80::1%eth0||12"),
            (" 192.0.2.7", "192.0.2.7||10"),
        ] {
            let address = address_at(text.as_bytes()).expect(text);
            let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let actual = format!("{}|{}|{}", show(address.text), show(address.port), address.len);
            assert_eq!(expected, actual, "{text}");
        }
        for text in
            ["", "localhost", "1.2.3", "192.0.2.700", "12:30:00", "dead", "[x]", "192.0.2.7.dyn.x"]
        {
            assert_eq!(None, address_at(text.as_bytes()), "{text}");
        }
    }
}
