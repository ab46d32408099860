//! Who logged in from where, and when last: for the advice whether an address may be blocked.
//!
//! Only log-ins that the log proves count (grade A or B), and names are kept as hashes only: the
//! question is how many people use an address, not who they are.
//!
//! Invariant: memory is bounded by `KNOWN_MAX` pairs; one that is forgotten is only written again.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

use super::address::client_net;
use super::batch::{AuthOutcome, ClientSource, EventBatch, Field, Grade};
use crate::units::Timestamp;

/// Pairs of client and user whose day is remembered, so that each is written once a day.
const KNOWN_MAX: usize = 65_536;

const DAY_S: u64 = 86_400;

/// A user by the hash of the name.
pub type UserHash = [u8; 8];

/// A client's network in sixteen bytes, so that those of a larger network stand side by side; IPv4 as
/// IPv6 maps it.
pub type NetKey = [u8; 16];

/// A user who logged in from somewhere.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Member {
    /// The client: one address of IPv4, the /64 of IPv6.
    pub net: NetKey,
    /// The user.
    pub user: UserHash,
    /// The day, counted since 1970.
    pub day: u32,
}

/// Log-ins since the last commit.
#[derive(Debug)]
pub struct Members {
    seed: u64,
    /// The last day of each pair that is known to be stored, or is about to be.
    known: HashMap<(NetKey, UserHash), u32, ahash::RandomState>,
    fresh: BTreeMap<(NetKey, UserHash), u32>,
}

/// The day of `time`, counted since 1970.
pub fn day_of(time: Timestamp) -> u32 {
    u32::try_from(time.secs() / DAY_S).unwrap_or(u32::MAX)
}

/// The key of an address, as its client is known by.
pub fn net_key(address: IpAddr) -> NetKey {
    octets(client_net(address).address)
}

/// The bytes of an address.
pub fn octets(address: IpAddr) -> NetKey {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The hash of a name; upper and lower case are the same person.
pub fn user_hash(seed: u64, name: &[u8]) -> UserHash {
    let mut hash = Sha256::new();
    hash.update(b"gwm1\0");
    hash.update(seed.to_le_bytes());
    hash.update(name.to_ascii_lowercase());
    let mut short = UserHash::default();
    short.copy_from_slice(&hash.finalize()[..8]);
    short
}

impl Members {
    /// Nothing seen as yet. `seed` keeps the hashes of one machine from meaning anything elsewhere.
    pub fn new(seed: u64) -> Self {
        let known = HashMap::with_hasher(ahash::RandomState::with_seeds(seed, 3, 5, 7));
        Self { seed, known, fresh: BTreeMap::new() }
    }

    /// Takes note of the log-ins in `batch`, read at `read_at`.
    pub fn see(&mut self, batch: &EventBatch, read_at: Timestamp) {
        for event in batch.events() {
            let row = event.row();
            let is_let_in = row.auth.is_some_and(|auth| auth.outcome == AuthOutcome::Success);
            let is_proven = matches!(row.grade, Some(Grade::A | Grade::B));
            let is_clear = row.client_source != ClientSource::Ambiguous;
            if !is_let_in || !is_proven || !is_clear {
                continue;
            }
            let user = event.field(Field::User).filter(|user| !user.is_empty());
            if let (Some(client), Some(user)) = (row.client, user) {
                let pair = (net_key(client), user_hash(self.seed, user));
                self.note(pair, day_of(row.time.min(read_at)));
            }
        }
    }

    fn note(&mut self, pair: (NetKey, UserHash), day: u32) {
        if self.known.get(&pair).is_some_and(|known| day <= *known) {
            return;
        }
        if KNOWN_MAX <= self.known.len() {
            self.known.clear();
        }
        self.known.insert(pair, day);
        let last = self.fresh.entry(pair).or_default();
        *last = day.max(*last);
    }

    /// What the next commit has to store; at most as many as lines were read since the last one.
    pub fn fresh(&self) -> Vec<Member> {
        let member = |(&(net, user), &day): (&(NetKey, UserHash), &u32)| Member { net, user, day };
        self.fresh.iter().map(member).collect()
    }

    /// It is stored.
    pub fn committed(&mut self) {
        self.fresh.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::batch::Origin;
    use crate::engine::enrich::Enricher;
    use crate::engine::format::FormatSet;
    use crate::engine::parse::{Parser, Text};
    use crate::engine::time::TimeReader;

    const READ_AT: Timestamp = Timestamp::from_secs(1_795_190_000);

    fn batch(text: &str) -> EventBatch {
        let formats = FormatSet::from_definition("auth").expect("a format");
        let times = TimeReader::new(jiff::tz::TimeZone::UTC, READ_AT);
        let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
        let mut batch = EventBatch::default();
        let part = Text {
            origin: Arc::new(Origin::default()),
            bytes: text.as_bytes().to_vec(),
            from: 0,
            truncated_last: false,
            read_at: READ_AT,
        };
        parser.fill(&mut batch, part);
        batch
    }

    fn line(what: &str, user: &str, client: &str) -> String {
        format!(
            "Nov 20 07:00:06 web1 sshd[7]: {what} password for {user} from {client} port 4 ssh2\n"
        )
    }

    #[test]
    fn proven_log_ins_are_noted_once_a_day_and_failures_never() {
        let mut members = Members::new(7);
        let text = [
            line("Accepted", "alice", "203.0.113.7"),
            line("Accepted", "ALICE", "203.0.113.7"),
            line("Accepted", "bob", "203.0.113.7"),
            line("Failed", "carol", "203.0.113.7"),
            line("Accepted", "alice", "2001:db8:1:2:3::4"),
        ]
        .concat();
        members.see(&batch(&text), READ_AT);
        let day = day_of(READ_AT);
        let member = |net: &str, user: &str| Member {
            net: octets(net.parse().expect("an address")),
            user: user_hash(7, user.as_bytes()),
            day,
        };
        let mut expected = vec![
            member("203.0.113.7", "alice"),
            member("203.0.113.7", "bob"),
            member("2001:db8:1:2::", "alice"),
        ];
        expected.sort();
        assert_eq!(expected, members.fresh());
        members.committed();
        members.see(&batch(&text), READ_AT);
        assert!(members.fresh().is_empty(), "each pair is written once a day");
    }

    #[test]
    fn a_name_means_nothing_on_another_machine() {
        assert_ne!(user_hash(1, b"alice"), user_hash(2, b"alice"));
        assert_eq!(user_hash(1, b"alice"), user_hash(1, b"Alice"));
    }
}
