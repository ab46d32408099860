//! Who visits: a fixed number of clients, some of them often.
//!
//! Each client is a rank; rank 0 comes most often. Its address, browser and habits follow from the
//! rank alone, so nothing is kept for a client but one bit: whether it was seen.
//!
//! Invariant: after all slots are used, every client was seen, if there were as many slots.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::random::{Random, mix};

/// Most clients that a sample can have: what the address blocks below hold with room to spare.
pub const CLIENTS_MAX: u32 = 2_000_000;

/// Every how manieth client speaks IPv6.
const IPV6_EVERY: u32 = 8;

/// The clients of a sample and which of them were seen.
#[derive(Debug)]
pub(super) struct Clients {
    count: u32,
    seen: Vec<u64>,
    distinct: u32,
    /// Newcomers come in an order of their own: rank `turn * step` modulo the count.
    turn: u64,
    step: u64,
}

impl Clients {
    pub(super) fn new(count: u32) -> Self {
        let count = count.clamp(1, CLIENTS_MAX);
        let mut step = u64::from(count) * 5 / 8 + 1;
        while common_divisor(step, u64::from(count)) != 1 {
            step += 1;
        }
        let seen = vec![0; count.div_ceil(64) as usize];
        Self { count, seen, distinct: 0, turn: 0, step }
    }

    /// How many different clients were seen.
    pub(super) fn distinct(&self) -> u32 {
        self.distinct
    }

    /// A client not seen yet, where it is time for one to come: `left` slots are left, this one
    /// included, and all clients have to fit into them.
    #[inline]
    pub(super) fn newcomer(&mut self, random: &mut Random, left: u64) -> Option<u32> {
        let unseen = u64::from(self.count - self.distinct);
        if unseen == 0 || unseen <= random.below(left) {
            return None;
        }
        loop {
            let rank = (self.turn * self.step % u64::from(self.count)) as u32;
            self.turn += 1;
            if !self.was_seen(rank) {
                return Some(rank);
            }
        }
    }

    /// A client that comes of habit.
    #[inline]
    pub(super) fn regular(&self, random: &mut Random) -> u32 {
        random.zipf(u64::from(self.count)) as u32
    }

    /// Takes note that a readable line names this client.
    #[inline]
    pub(super) fn see(&mut self, rank: u32) {
        if !self.was_seen(rank) {
            self.seen[rank as usize / 64] |= 1 << (rank % 64);
            self.distinct += 1;
        }
    }

    fn was_seen(&self, rank: u32) -> bool {
        self.seen[rank as usize / 64] & (1 << (rank % 64)) != 0
    }
}

/// Address of the client of that rank. Blocks set aside for documentation, tests of equipment
/// (RFC 2544) and sharing between providers (RFC 6598), so nobody's address is ever shown.
///
/// 198.51.100.0/24 and 203.0.113.0/24 are kept for attackers.
pub(super) fn address(rank: u32) -> IpAddr {
    if rank % IPV6_EVERY == IPV6_EVERY - 1 {
        let site = rank / IPV6_EVERY;
        let host = mix(u64::from(rank)) as u16 | 1;
        let (high, low) = ((site >> 8) as u16, (site << 8) as u16);
        return Ipv6Addr::new(0x2001, 0xdb8, high, low, 0, 0, 0, host).into();
    }
    let number = rank - rank / IPV6_EVERY;
    let v4 = match number {
        0..254 => u32::from(Ipv4Addr::new(192, 0, 2, 1)) + number,
        254..131_000 => u32::from(Ipv4Addr::new(198, 18, 0, 1)) + number - 254,
        _ => u32::from(Ipv4Addr::new(100, 64, 0, 1)) + number - 131_000,
    };
    Ipv4Addr::from(v4).into()
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_client_has_an_address_of_its_own_and_one_in_eight_is_ipv6() {
        let addresses: HashSet<IpAddr> = (0..CLIENTS_MAX).map(address).collect();
        assert_eq!(CLIENTS_MAX as usize, addresses.len());
        let v6 = addresses.iter().filter(|address| address.is_ipv6()).count();
        assert_eq!(CLIENTS_MAX as usize / 8, v6);
    }

    #[test]
    fn no_address_is_anybodys() {
        for rank in 0..CLIENTS_MAX {
            let IpAddr::V4(v4) = address(rank) else { continue };
            let [a, b, c, _] = v4.octets();
            let reserved = matches!((a, b), (198, 18..=19) | (100, 64..=127));
            assert!(reserved || (a, b, c) == (192, 0, 2), "{v4}");
        }
    }

    #[test]
    fn all_clients_are_seen_whatever_their_number() {
        for (count, slots) in [(1, 1), (1, 50), (7, 7), (1000, 1000), (1000, 5000), (64, 65)] {
            let (mut clients, mut random) = (Clients::new(count), Random::new(3, 0));
            for left in (1..=slots).rev() {
                let rank = clients.newcomer(&mut random, left);
                let rank = rank.unwrap_or_else(|| clients.regular(&mut random));
                clients.see(rank);
            }
            assert_eq!(count, clients.distinct(), "{slots} slots");
        }
    }
}
