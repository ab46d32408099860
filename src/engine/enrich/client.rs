//! Whose request it was, when a proxy stands in front.
//!
//! The word of a header is taken only from a trusted proxy, and a list of hops is read from the
//! right: everything left of the first stranger was written by that stranger.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::engine::address;
use crate::engine::batch::{ClientSource, Field, Writer};

/// Hops of a list that are looked at.
const MAX_HOPS: usize = 32;

/// Replaces the peer by the client it speaks for, where that can be believed.
pub(super) fn resolve(trusted: &[IpNet], raw: &[u8], out: &mut Writer<'_>) {
    let Some(peer) = out.row.client else { return };
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    if !is_trusted(peer) {
        return;
    }
    let single = out.field(raw, Field::RealIp).and_then(address::parse_ip);
    let (client, source) = match single {
        Some(ip) => (ip, ClientSource::RealIp),
        None => {
            let Some(chain) = out.field(raw, Field::Forwarded) else { return };
            (right_most_stranger(chain, peer, is_trusted), ClientSource::Forwarded)
        }
    };
    if client == peer {
        return;
    }
    out.row.client = Some(client);
    out.row.client_source = source;
    out.copy(Field::ClientAddress, Field::Peer);
    out.set_with(Field::ClientAddress, |to| to.extend_from_slice(client.to_string().as_bytes()));
}

fn right_most_stranger(chain: &[u8], peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut last = peer;
    for hop in chain.rsplit(|byte| *byte == b',').take(MAX_HOPS) {
        match hop_address(hop) {
            // A hop that hides itself ends what can be known.
            None => return last,
            Some(ip) if is_trusted(ip) => last = ip,
            Some(ip) => return ip,
        }
    }
    last
}

/// The address of one hop: bare, with a port, or as `for=` of RFC 7239.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let hop = hop.trim_ascii();
    let node = hop.split(|byte| *byte == b';').find_map(|pair| {
        let pair = pair.trim_ascii();
        let (name, value) = pair.split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    });
    let node = node.unwrap_or(hop);
    let node = node.strip_prefix(b"\"").unwrap_or(node);
    let node = node.strip_suffix(b"\"").unwrap_or(node);
    address::parse_ip(node).or_else(|| address::parse_ip(address::split_port(node).0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chain: &str, expected: &str) {
        let trusted: IpNet = "10.0.0.0/8".parse().expect("a network");
        let peer = "10.0.0.2".parse().expect("an address");
        let client = right_most_stranger(chain.as_bytes(), peer, |ip| trusted.contains(&ip));
        assert_eq!(expected, client.to_string(), "{chain}");
    }

    #[test]
    fn the_right_most_stranger_is_the_client() {
        check("1.1.1.1, 203.0.113.77, 10.0.0.1", "203.0.113.77");
        check("203.0.113.77", "203.0.113.77");
        check("2001:db8::5", "2001:db8::5");
        check("[2001:db8::5]:443, 10.0.0.9", "2001:db8::5");
        check("for=192.0.2.60;proto=http, for=\"[2001:db8::9]:80\"", "2001:db8::9");
    }

    #[test]
    fn a_hop_that_hides_itself_ends_what_can_be_known() {
        check("203.0.113.7, 10.0.0.1, unknown", "10.0.0.2");
        check("203.0.113.7, _hidden, 10.0.0.7", "10.0.0.7");
        check("", "10.0.0.2");
    }
}
