//! What a sample holds, counted while it is written.

use std::collections::{BTreeMap, BTreeSet};

use super::attack::Episode;

/// What has been written so far: what any reader of the log should find in it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Truth {
    /// Lines.
    pub lines: u64,
    /// Bytes, with line feeds.
    pub bytes: u64,
    /// Lines that end in the middle, so that nobody can read them.
    pub unreadable: u64,
    /// Readable lines by status; empty for a login log.
    pub by_status: BTreeMap<u16, u64>,
    /// Different clients in readable lines, attackers included.
    pub clients: u64,
    /// Log-ins that went well.
    pub logins_succeeded: u64,
    /// Log-ins that were refused, those of attacks included.
    pub logins_failed: u64,
    /// The attacks that have begun, in the order of the configuration.
    pub episodes: Vec<Episode>,
}

/// Counts of lines, cheap enough to keep for every one of them.
#[derive(Debug)]
pub(super) struct Counts {
    lines: u64,
    bytes: u64,
    unreadable: u64,
    /// Indexed by status.
    by_status: [u64; 600],
    succeeded: u64,
    failed: u64,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self { lines: 0, bytes: 0, unreadable: 0, by_status: [0; 600], succeeded: 0, failed: 0 }
    }

    /// Counts a line of `bytes` bytes.
    #[inline]
    pub(super) fn line(&mut self, bytes: usize) {
        self.lines += 1;
        self.bytes += bytes as u64;
    }

    /// Counts a readable line's status, or an unreadable line.
    #[inline]
    pub(super) fn status(&mut self, status: Option<u16>) {
        match status {
            Some(status) => self.by_status[usize::from(status)] += 1,
            None => self.unreadable += 1,
        }
    }

    /// Counts how a log-in ended, where there was one.
    #[inline]
    pub(super) fn log_in(&mut self, succeeded: Option<bool>) {
        match succeeded {
            Some(true) => self.succeeded += 1,
            Some(false) => self.failed += 1,
            None => (),
        }
    }

    /// All of it for the caller; `ordinary_clients` are those that attacked nobody.
    pub(super) fn truth(&self, ordinary_clients: u64, episodes: Vec<Episode>) -> Truth {
        let attackers: BTreeSet<_> = episodes.iter().flat_map(|episode| &episode.clients).collect();
        let statuses = (0u16..).zip(self.by_status).filter(|(_, lines)| *lines != 0);
        Truth {
            lines: self.lines,
            bytes: self.bytes,
            unreadable: self.unreadable,
            by_status: statuses.collect(),
            clients: ordinary_clients + attackers.len() as u64,
            logins_succeeded: self.succeeded,
            logins_failed: self.failed,
            episodes,
        }
    }
}
