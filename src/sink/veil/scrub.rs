//! Finds addresses and names in text that anybody may have written.
//!
//! Known ones, those of the event itself, are found in all their spellings: an address with dots,
//! dashes or underscores, backwards, as one number, inside IPv6, a name as a whole word in any case.
//! Unknown ones are found where they stand alone. `%XX` is undone, several times.
//!
//! Invariant: the work is in proportion to the length of the text, of which [`TEXT_MAX`] bytes are
//! looked at and no more are kept.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use memchr::memmem;

use crate::engine::address::{parse_ip, split_port};
use crate::engine::text::hex_value;

/// Longer than anything that is written: 8192 characters of four bytes.
const TEXT_MAX: usize = 32 << 10;

/// How often `%XX` is undone.
const ROUNDS: usize = 3;

/// Shorter names would be found in every text.
const NAME_BYTES_MIN: usize = 3;

/// Longest spelling of an address with a port: eight groups, brackets, `:65535`.
const RUN_BYTES_MAX: usize = 60;

/// Texts that must not remain, and what stands in their place.
#[derive(Debug, Default)]
pub(super) struct Marks {
    known: Vec<Mark>,
    addresses: Vec<(IpAddr, Vec<u8>)>,
}

#[derive(Debug)]
struct Mark {
    /// In lower case.
    text: Vec<u8>,
    /// A byte that may not stand beside it: it would be a part of something longer.
    beside: fn(u8) -> bool,
    put: Vec<u8>,
}

/// Where in a text to look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Look {
    /// For what is known.
    Known,
    /// For other addresses, too.
    Addresses,
}

impl Marks {
    /// `put` stands for `ip` from now on.
    pub(super) fn address(&mut self, ip: IpAddr, put: &[u8]) {
        if self.addresses.iter().any(|(known, _)| *known == ip) {
            return;
        }
        self.addresses.push((ip, put.to_vec()));
        let mut mark = |text: String, beside| {
            self.known.push(Mark { text: text.into_bytes(), beside, put: put.to_vec() });
        };
        match ip {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                let digit: fn(u8) -> bool = |byte| byte.is_ascii_digit();
                for dot in ['.', '-', '_'] {
                    mark(format!("{a}{dot}{b}{dot}{c}{dot}{d}"), digit);
                    mark(format!("{d}{dot}{c}{dot}{b}{dot}{a}"), digit);
                }
                mark(u32::from(v4).to_string(), digit);
                let hex: fn(u8) -> bool = |byte| byte.is_ascii_hexdigit();
                mark(format!("{a:02x}{b:02x}{c:02x}{d:02x}"), hex);
                mark(
                    format!("{:x}:{:x}", u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
                    hex,
                );
            }
            IpAddr::V6(v6) => {
                let groups = v6.segments();
                let joined = |write: fn(&u16) -> String, between: &str| {
                    groups.iter().map(write).collect::<Vec<_>>().join(between)
                };
                mark(v6.to_string(), |_| false);
                mark(v6.to_string().replace(':', "-"), |_| false);
                for between in [":", "-", ""] {
                    mark(joined(|group| format!("{group:04x}"), between), |_| false);
                }
                mark(joined(|group| format!("{group:x}"), ":"), |_| false);
            }
        }
    }

    /// `put` stands for `name` from now on.
    pub(super) fn name(&mut self, name: &[u8], put: &[u8]) {
        if NAME_BYTES_MIN <= name.len() && name.len() <= TEXT_MAX {
            let beside = |byte: u8| byte.is_ascii_alphanumeric();
            self.known.push(Mark { text: name.to_ascii_lowercase(), beside, put: put.to_vec() });
        }
    }

    /// `text` without any of them; nothing where it may stay as it is. `unknown` says what stands in
    /// the place of an address that is not known.
    pub(super) fn scrub(
        &self,
        text: &[u8],
        look: Look,
        unknown: impl Fn(IpAddr) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let mut text = Cow::Borrowed(text);
        if TEXT_MAX < text.len() {
            text = Cow::Owned(text[..TEXT_MAX].to_vec());
        }
        // Each stage by itself: what undoing once more would take apart is there before.
        for round in 0..=ROUNDS {
            let Some(plain) = Plain::of(&text, round) else { break };
            let mut hits = self.known_in(&plain.text);
            if look == Look::Addresses {
                self.addresses_in(&plain.text, &unknown, &mut hits);
            }
            if !hits.is_empty() {
                text = Cow::Owned(replaced(&text, &plain, hits));
            }
        }
        match text {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text),
        }
    }

    fn known_in(&self, plain: &[u8]) -> Vec<Hit<'_>> {
        let mut hits = Vec::new();
        for mark in &self.known {
            for start in memmem::find_iter(plain, &mark.text) {
                let end = start + mark.text.len();
                let before = start.checked_sub(1).map(|at| plain[at]);
                let inside = [before, plain.get(end).copied()];
                if !inside.into_iter().flatten().any(mark.beside) {
                    hits.push(Hit { start, end, put: Cow::Borrowed(&mark.put) });
                }
            }
        }
        hits
    }

    /// Runs of bytes that addresses are made of, where such a run is one.
    fn addresses_in<'m>(
        &'m self,
        plain: &[u8],
        unknown: &impl Fn(IpAddr) -> Option<Vec<u8>>,
        hits: &mut Vec<Hit<'m>>,
    ) {
        let of_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':');
        let mut at = 0;
        while at < plain.len() {
            let Some(skip) = plain[at..].iter().position(of_address) else { return };
            let start = at + skip;
            let length = plain[start..].iter().position(|byte| !of_address(byte));
            at = length.map_or(plain.len(), |length| start + length);
            // A letter before it makes it a part of a word, such as the 1.2.3.4 of v1.2.3.4.
            let in_word = start.checked_sub(1).is_some_and(|at| plain[at].is_ascii_alphanumeric());
            let Some((from, to, ip)) = address_of(&plain[start..at]).filter(|_| !in_word) else {
                continue;
            };
            let known = self.addresses.iter().find(|(known, _)| *known == ip);
            let put = match known {
                Some((_, put)) => Some(Cow::Borrowed(put.as_slice())),
                None => unknown(ip).map(Cow::Owned),
            };
            if let Some(put) = put {
                hits.push(Hit { start: start + from, end: start + to, put });
            }
        }
    }
}

/// A part of a text that must go.
struct Hit<'m> {
    start: usize,
    end: usize,
    put: Cow<'m, [u8]>,
}

/// `text` with each of `hits` replaced; of those that begin at one place the longest.
fn replaced(text: &[u8], plain: &Plain, mut hits: Vec<Hit<'_>>) -> Vec<u8> {
    hits.sort_by_key(|hit| (hit.start, std::cmp::Reverse(hit.end)));
    let (mut out, mut done) = (Vec::with_capacity(text.len()), 0);
    for hit in hits {
        if done <= hit.start {
            out.extend_from_slice(&text[plain.place(done)..plain.place(hit.start)]);
            out.extend_from_slice(&hit.put);
        }
        done = done.max(hit.end);
    }
    out.extend_from_slice(&text[plain.place(done)..]);
    out
}

/// The address that a run of its bytes is, without a port or what ends a sentence, and where in it.
fn address_of(run: &[u8]) -> Option<(usize, usize, IpAddr)> {
    let odd = |byte: &u8| matches!(byte, b'.' | b':');
    let from = match run {
        [b':', b':', ..] => 0,
        _ => run.iter().position(|byte| !odd(byte))?,
    };
    let to = match run {
        [.., b':', b':'] => run.len(),
        _ => run.iter().rposition(|byte| !odd(byte))? + 1,
    };
    let text = run.get(from..to).filter(|text| text.len() <= RUN_BYTES_MAX)?;
    let whole = parse_ip(text).map(|ip| (from, to, ip));
    let found = whole.or_else(|| {
        let host = split_port(text).0;
        parse_ip(host).map(|ip| (from, from + host.len(), ip))
    })?;
    is_somebodys(found.2).then_some(found)
}

/// An address that may be a person's. Words of a language, such as `a::b`, can be read as others.
fn is_somebodys(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => !is_nobodys(ip),
        IpAddr::V6(v6) => {
            v6.segments()[0] >> 13 == 1 || v6.is_unique_local() || v6.is_unicast_link_local()
        }
    }
}

/// An address of no one: it may be told to everybody.
pub(super) fn is_nobodys(ip: IpAddr) -> bool {
    // Not all of 127.0.0.0/8: a client can write there the octets of an address in reverse.
    ip == Ipv4Addr::LOCALHOST
        || ip == Ipv6Addr::LOCALHOST
        || ip == Ipv4Addr::UNSPECIFIED
        || ip == Ipv6Addr::UNSPECIFIED
}

/// The address that the name of a host is made of, as providers name their customers':
/// `client-198-51-100-23.example.net`.
pub(super) fn address_within(name: &[u8]) -> Option<IpAddr> {
    let numbers: Vec<Option<u8>> = name
        .split(|byte| !byte.is_ascii_digit())
        .map(|digits| str::from_utf8(digits).ok()?.parse().ok())
        .collect();
    numbers.windows(4).find_map(|four| match *four {
        [Some(a), Some(b), Some(c), Some(d)] => Some(Ipv4Addr::new(a, b, c, d).into()),
        _ => None,
    })
}

/// A text as it is searched: in lower case, `%XX` undone.
struct Plain {
    text: Vec<u8>,
    /// Where each byte of it begins in the original; nothing where that is the same.
    places: Option<Vec<u32>>,
    length: usize,
}

impl Plain {
    /// `text` with `%XX` undone so many times; nothing where it was plain before that.
    fn of(text: &[u8], rounds: usize) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let mut plain = Self { length: text.len(), text, places: None };
        (0..rounds).all(|_| plain.decode()).then_some(plain)
    }

    /// Undoes each `%XX`; says whether there was one.
    fn decode(&mut self) -> bool {
        let triple = |at: usize| match self.text.get(at..at + 3) {
            Some([b'%', high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                Some((hex_value(*high) << 4 | hex_value(*low)).to_ascii_lowercase())
            }
            _ => None,
        };
        let Some(first) = (0..self.text.len()).find(|at| triple(*at).is_some()) else {
            return false;
        };
        let (mut text, mut places) = (self.text[..first].to_vec(), Vec::new());
        places.extend((0..first).map(|at| self.place(at) as u32));
        let mut at = first;
        while at < self.text.len() {
            places.push(self.place(at) as u32);
            let decoded = triple(at);
            text.push(decoded.unwrap_or(self.text[at]));
            at += if decoded.is_some() { 3 } else { 1 };
        }
        (self.text, self.places) = (text, Some(places));
        true
    }

    /// Where byte `at` begins in the original.
    fn place(&self, at: usize) -> usize {
        match &self.places {
            Some(places) => places.get(at).map_or(self.length, |place| *place as usize),
            None => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks() -> Marks {
        let mut marks = Marks::default();
        marks.address("198.51.100.23".parse().expect("an address"), b"OWN4");
        marks.address("2001:db8::1:2a".parse().expect("an address"), b"OWN6");
        marks.name(b"alice", b"NAME");
        marks.name(b"a@b", b"MAIL");
        marks.name(b"x", b"SHORT");
        marks
    }

    #[track_caller]
    fn check(look: Look, text: &str, expected: &str) {
        let scrubbed = marks().scrub(text.as_bytes(), look, |_| Some(b"OTHER".to_vec()));
        let scrubbed = scrubbed.unwrap_or_else(|| text.as_bytes().to_vec());
        assert_eq!(expected, String::from_utf8_lossy(&scrubbed), "{text}");
    }

    #[test]
    fn the_own_address_goes_in_every_spelling() {
        for text in [
            "198.51.100.23",
            "198-51-100-23",
            "198_51_100_23",
            "23.100.51.198",
            "3325256727",
            "C6336417",
            "c633:6417",
        ] {
            check(Look::Known, &format!("x {text}, y"), "x OWN4, y");
        }
        check(Look::Addresses, "[::ffff:198.51.100.23]:80", "[OWN4]:80");
        check(Look::Known, "host198.51.100.23.example.net", "hostOWN4.example.net");
        check(Look::Addresses, "/?a=198%2E51%2e100.%32%33&b", "/?a=OWN4&b");
        check(Look::Addresses, "/?a=198%252E51.100.23", "/?a=OWN4");
        check(Look::Known, "198.51.100.231 1198.51.100.23", "198.51.100.231 1198.51.100.23");
        for text in [
            "2001:db8::1:2a",
            "2001:DB8::1:2A",
            "2001:db8:0:0:0:0:1:2a",
            "2001:0db8:0000:0000:0000:0000:0001:002a",
            "20010db800000000000000000001002a",
            "2001-db8--1-2a",
        ] {
            check(Look::Known, &format!("x {text}, y"), "x OWN6, y");
        }
        check(Look::Addresses, "2001:db8:0::1:2A.", "OWN6.");
        check(Look::Addresses, "/?a=2001%3Adb8%3A%3A1%3a2A", "/?a=OWN6");
    }

    #[test]
    fn names_of_hosts_may_hold_an_address() {
        let check = |name: &str, expected: Option<&str>| {
            let expected = expected.map(|ip| ip.parse::<IpAddr>().expect("an address"));
            assert_eq!(expected, address_within(name.as_bytes()), "{name}");
        };
        check("client-198-51-100-23.example.net", Some("198.51.100.23"));
        check("23.100.51.198.dyn.example.net", Some("23.100.51.198"));
        check("host-1.2--3.4.example.net", None);
        check("www.example.net", None);
    }

    #[test]
    fn other_addresses_go_where_they_stand_alone() {
        check(Look::Addresses, "from 192.0.2.9:80, or 2001:db8::9.", "from OTHER:80, or OTHER.");
        check(Look::Addresses, "/?r=http%3A%2F%2F192.0.2.9%2F", "/?r=http%3A%2F%2FOTHER%2F");
        for text in ["192.0.2.9.1", "v1.2.3.4", "10:20:30", "a::b", "std::abc", "127.0.0.1", "::"] {
            check(Look::Addresses, text, text);
        }
        check(Look::Known, "Chrome/126.0.0.0", "Chrome/126.0.0.0");
    }

    #[test]
    fn a_name_goes_as_a_whole_word_in_any_case() {
        check(
            Look::Addresses,
            "/~Alice/?u=ALICE&v=malice&w=alice2",
            "/~NAME/?u=NAME&v=malice&w=alice2",
        );
        check(Look::Addresses, "/?u=%61lice&m=A%40b", "/?u=NAME&m=MAIL");
        check(Look::Known, "a x b", "a x b");
    }

    proptest! {
        #[test]
        fn any_text_is_scrubbed_without_a_trace(
            before in "[ -~]{0,12}",
            after in "[ -~]{0,12}",
            bytes in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let odd = marks().scrub(&bytes, Look::Addresses, |_| Some(b"OTHER".to_vec()));
            prop_assert!(odd.is_none_or(|odd| odd.len() <= 8 * bytes.len()));
            for (secret, edge) in [("198.51.100.23", "/"), ("2001:db8::1:2a", ""), ("alice", "/")] {
                let text = format!("{before}{edge}{secret}{edge}{after}");
                for look in [Look::Known, Look::Addresses] {
                    let scrubbed = marks().scrub(text.as_bytes(), look, |_| Some(b"OTHER".to_vec()));
                    let scrubbed = String::from_utf8_lossy(&scrubbed.expect("found")).into_owned();
                    prop_assert!(!scrubbed.contains(secret), "{text}: {scrubbed}");
                }
            }
        }
    }

    #[test]
    fn a_long_text_is_cut_and_looked_at_in_time() {
        for piece in [":", "1.", "a:", "%25", "198.51.100.23", "::1:"] {
            let text = piece.repeat(100_000);
            let scrubbed =
                marks().scrub(text.as_bytes(), Look::Addresses, |_| None).expect("it is cut");
            assert!(scrubbed.len() <= TEXT_MAX, "{piece}");
        }
    }
}
