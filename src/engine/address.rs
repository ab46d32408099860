//! Addresses of clients: read, cut from their ports, and grouped by network.
//!
//! Invariant: one host has one spelling. An IPv4 address that travelled inside IPv6
//! (`::ffff:192.0.2.7`) is IPv4, a zone (`%eth0`) is dropped, and what only resembles an address
//! (`192.0.2.07`, `1.2.3`) is none, because a leading zero means octal to some readers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::batch::{Field, Writer};
use super::text::parse_u64;

/// The address that `text` is, with or without brackets and a zone; `None` for anything else.
pub fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    let text = match text {
        [b'[', inner @ .., b']'] => inner,
        _ => text,
    };
    if let Some(address) = parse_v4(text) {
        return Some(IpAddr::V4(address));
    }
    // The shortest is `::`, the longest holds an IPv4 address and has 45 bytes before its zone.
    let text = memchr::memchr(b'%', text).map_or(text, |zone| &text[..zone]);
    if text.len() < 2 || 45 < text.len() || !text.contains(&b':') {
        return None;
    }
    let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
}

fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    if text.len() < 7 || 15 < text.len() {
        return None;
    }
    let (a, rest) = octet(text)?;
    let (b, rest) = octet(rest.strip_prefix(b".")?)?;
    let (c, rest) = octet(rest.strip_prefix(b".")?)?;
    let (d, rest) = octet(rest.strip_prefix(b".")?)?;
    rest.is_empty().then(|| Ipv4Addr::new(a, b, c, d))
}

/// Reads 0 to 255 without leading zeros; answers what follows the last digit.
#[inline]
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |at: usize| text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|it| *it <= 9);
    let first = digit(0)?;
    let Some(second) = digit(1) else { return Some((first, &text[1..])) };
    if first == 0 {
        return None;
    }
    let Some(third) = digit(2) else { return Some((first * 10 + second, &text[2..])) };
    let value = u16::from(first) * 100 + u16::from(second) * 10 + u16::from(third);
    u8::try_from(value).ok().map(|value| (value, &text[3..]))
}

/// Cuts the port from `192.0.2.7:567`, `[2001:db8::1]:80` and `host.example.org:80`; a bare IPv6
/// address has none. Brackets go, too.
pub fn split_port(text: &[u8]) -> (&[u8], Option<u16>) {
    if let [b'[', rest @ ..] = text
        && let Some(close) = memchr::memchr(b']', rest)
    {
        let port = rest[close + 1..].strip_prefix(b":").and_then(parse_port);
        return (&rest[..close], port);
    }
    match memchr::memchr(b':', text) {
        Some(colon) if memchr::memchr(b':', &text[colon + 1..]).is_none() => {
            match parse_port(&text[colon + 1..]) {
                Some(port) => (&text[..colon], Some(port)),
                None => (text, None),
            }
        }
        _ => (text, None),
    }
}

/// Cuts the port behind the last colon, brackets or not, as Apache writes clients:
/// `2001:db8::1:54321`. Only for callers that know a port to be there: where what stands before
/// the colon is no address, the whole text is taken for one.
pub fn split_last_port(text: &[u8]) -> (&[u8], Option<u16>) {
    if !text.starts_with(b"[")
        && let Some(colon) = memchr::memrchr(b':', text)
        && let Some(port) = parse_port(&text[colon + 1..])
        && parse_ip(&text[..colon]).is_some()
    {
        return (&text[..colon], Some(port));
    }
    split_port(text)
}

fn parse_port(text: &[u8]) -> Option<u16> {
    parse_u64(text).and_then(|port| u16::try_from(port).ok())
}

/// Could be the name of a host: letters, digits, `.`, `-`, `_`, and at most 255 bytes.
pub fn is_host_name(text: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= 255 && text.iter().all(fits)
}

/// Sets the client of a row: the text as it was logged, and the address where it is one.
pub fn set_client(out: &mut Writer<'_>, logged: &[u8]) {
    out.set(Field::ClientAddress, logged);
    out.row.client = parse_ip(logged);
}

/// A block of addresses: the first of them and how many bits are the same in all.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// Length of the common prefix in bits.
    pub bits: u8,
}

impl Network {
    /// The network of `bits` bits that holds `address`; more bits than there are means all.
    pub fn of(address: IpAddr, bits: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let bits = bits.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Self { address: IpAddr::V4((u32::from(address) & mask).into()), bits }
            }
            IpAddr::V6(address) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Self { address: IpAddr::V6((u128::from(address) & mask).into()), bits }
            }
        }
    }
}

impl fmt::Display for Network {
    /// A single address without its length, a larger block with it: `2001:db8::/64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        if self.bits == whole {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

/// What counts as one client: an IPv4 address, or the /64 that one IPv6 subscriber gets.
pub fn client_net(address: IpAddr) -> Network {
    Network::of(address, if address.is_ipv4() { 32 } else { 64 })
}

/// The neighbourhood of a client, for views that shall not name it: /24 or /48.
pub fn client_prefix(address: IpAddr) -> Network {
    Network::of(address, if address.is_ipv4() { 24 } else { 48 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let actual =
            parse_ip(text.as_bytes()).map_or_else(|| "none".to_owned(), |ip| ip.to_string());
        assert_eq!(expected, actual, "{text}");
    }

    #[test]
    fn one_host_has_one_spelling() {
        check("192.0.2.7", "192.0.2.7");
        check("0.0.0.0", "0.0.0.0");
        check("255.255.255.255", "255.255.255.255");
        check("2001:DB8:0:0::1", "2001:db8::1");
        check("[2001:db8::1]", "2001:db8::1");
        check("fe80::1%eth0", "fe80::1");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("::", "::");
    }

    #[test]
    fn what_only_resembles_an_address_is_none() {
        for text in [
            "",
            "-",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "192.0.2.07",
            "1..2.3",
            ".1.2.3",
            "1.2.3.",
            "1.2.3.4:80",
            "unix:",
            "example.org",
            "12345",
            "2001:db8::g",
            ":::",
            "1.2.3.4 ",
            "00.0.0.0",
        ] {
            check(text, "none");
        }
    }

    #[test]
    fn every_octet_is_read_as_the_standard_library_reads_it() {
        for value in 0..=999 {
            let text = format!("{value}.0.{value}.1");
            let expected = text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
            assert_eq!(expected, parse_ip(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn ports_are_cut_where_they_are_sure_to_be_one() {
        let check = |text: &str, address: &str, port: Option<u16>| {
            let (actual, number) = split_port(text.as_bytes());
            assert_eq!((address.as_bytes(), port), (actual, number), "{text}");
        };
        check("192.0.2.7:567", "192.0.2.7", Some(567));
        check("[2001:db8::1]:80", "2001:db8::1", Some(80));
        check("[2001:db8::1]", "2001:db8::1", None);
        check("2001:db8::1:54321", "2001:db8::1:54321", None);
        check("192.0.2.7", "192.0.2.7", None);
        check("unix:", "unix:", None);
        check("192.0.2.7:99999", "192.0.2.7:99999", None);
    }

    #[test]
    fn a_port_behind_a_bare_ipv6_address_is_cut_on_request() {
        let check = |text: &str, address: &str, port: Option<u16>| {
            let (actual, number) = split_last_port(text.as_bytes());
            assert_eq!((address.as_bytes(), port), (actual, number), "{text}");
        };
        check("2001:db8::1:54321", "2001:db8::1", Some(54321));
        check("::1:50058", "::1", Some(50058));
        check("[2001:db8::1]:54321", "2001:db8::1", Some(54321));
        check("192.0.2.7:5", "192.0.2.7", Some(5));
        check("2001:db8::1", "2001:db8::1", None);
        check("192.0.2.7", "192.0.2.7", None);
    }

    #[test]
    fn networks_hold_their_neighbours() {
        let net = |text: &str| client_net(text.parse().expect("an address")).to_string();
        let prefix = |text: &str| client_prefix(text.parse().expect("an address")).to_string();
        assert_eq!("192.0.2.7", net("192.0.2.7"));
        assert_eq!("2001:db8:1:2::/64", net("2001:db8:1:2:3:4:5:6"));
        assert_eq!("192.0.2.0/24", prefix("192.0.2.7"));
        assert_eq!("2001:db8:1::/48", prefix("2001:db8:1:2:3:4:5:6"));
        assert_eq!("0.0.0.0/0", Network::of("192.0.2.7".parse().expect("ip"), 0).to_string());
        assert_eq!("192.0.2.7", Network::of("192.0.2.7".parse().expect("ip"), 200).to_string());
    }
}
