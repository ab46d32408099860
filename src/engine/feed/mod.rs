//! Lists of indicators: addresses, domains, URLs, agents and hashes that others have seen do harm.
//!
//! A reader for each format (`plain`, `csv`, `stix`, `misp`) fills a [`Builder`], which becomes a
//! [`Feed`]: small, sorted, never changed again. A [`FeedSet`] is what lines are held against, right
//! after they were read (`mark`). Files are opened and watched elsewhere.
//!
//! Invariant: whether an indicator counts is decided by the time of the event, not by the clock. What
//! belongs to nobody in particular (this machine, private networks, trusted proxies) never matches.

mod build;
mod csv;
mod index;
mod kind;
mod mark;
mod misp;
mod moment;
mod notes;
mod plain;
mod settings;
mod stix;
mod value;

use std::sync::Arc;

use self::index::{Addresses, Texts};
use self::notes::Notes;
use super::detect::Severity;
use crate::units::{Period, Timestamp};

pub use self::build::{BYTES_MAX, Builder, ENTRIES_MAX, Report, Unusable};
pub use self::csv::CsvReader;
pub use self::kind::{Kind, Taken};
pub use self::misp::{Header, read_attributes as read_misp, read_header as read_misp_header};
pub use self::notes::Tlp;
pub use self::plain::PlainReader;
pub use self::settings::{Columns, FEEDS_MAX, FeedConfig, FeedFormat};
pub use self::stix::read as read_stix;

/// The kind, beside [`Kind`], of what stands behind the host of a URL.
const TARGET_CODE: u8 = 15;

/// A list, ready to be asked.
#[derive(Debug)]
pub struct Feed {
    name: String,
    severity: Severity,
    max_age: Period,
    as_of: Timestamp,
    report: Report,
    hasher: ahash::RandomState,
    v4: Addresses<u32>,
    v6: Addresses<[u8; 16]>,
    texts: Texts,
    notes: Notes,
    counts: [u64; Kind::ALL.len()],
}

impl Feed {
    /// What alerts and metrics call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the list was written.
    pub fn as_of(&self) -> Timestamp {
        self.as_of
    }

    /// What became of its entries.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// How many different indicators there are of each kind.
    pub fn counts(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.counts)
    }

    /// At `now` it was not written anew for longer than it should.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.as_of.plus(self.max_age) < now
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + self.texts.bytes() + self.notes.bytes()
    }

    fn has(&self, kind: Kind) -> bool {
        self.counts[kind as usize] != 0
    }

    fn count(&mut self) {
        let ((v4, v4_ranges), (v6, v6_ranges)) = (self.v4.len(), self.v6.len());
        for kind in Kind::ALL {
            self.counts[kind as usize] = match kind {
                Kind::Ipv4 => v4,
                Kind::Ipv6 => v6,
                Kind::Network => v4_ranges + v6_ranges,
                _ => self.texts.count(kind as u8),
            } as u64;
        }
    }
}

/// The lists that lines are held against.
#[derive(Clone, Debug, Default)]
pub struct FeedSet {
    feeds: Vec<Arc<Feed>>,
    /// What its list marks as not to be passed on is not seen.
    for_others: bool,
}

impl FeedSet {
    /// These lists.
    pub fn new(feeds: Vec<Arc<Feed>>) -> Self {
        Self { feeds, for_others: false }
    }

    /// The same for events that leave this machine: without indicators marked TLP amber or red.
    pub fn for_others(&self) -> Self {
        Self { feeds: self.feeds.clone(), for_others: true }
    }

    /// The lists.
    pub fn feeds(&self) -> &[Arc<Feed>] {
        &self.feeds
    }
}

#[cfg(test)]
mod tests;
