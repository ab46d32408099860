//! What a sink is doing, for the metrics page and for `status`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::units::{Period, Timestamp};

/// Counts and times of one sink; the sink's task writes them, anybody reads them.
#[derive(Debug)]
pub struct SinkStatus {
    name: String,
    kind: &'static str,
    accepted: AtomicU64,
    rejected: AtomicU64,
    retried: AtomicU64,
    shrunk: AtomicU64,
    alerts: AtomicU64,
    sampled: AtomicU64,
    filtered: AtomicU64,
    forgotten: AtomicU64,
    waiting_events: AtomicU64,
    waiting_bytes: AtomicU64,
    waiting_since: AtomicU64,
    last_success: AtomicU64,
    failure: Mutex<Option<Failure>>,
}

/// The last failure, while nothing has succeeded since.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failure {
    /// When it happened.
    pub at: Timestamp,
    /// What happened, in words.
    pub words: String,
}

/// What a sink was doing at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SinkReport {
    /// Name of the sink.
    pub name: String,
    /// Its type as configured: `syslog`, `file`.
    pub kind: &'static str,
    /// Events the receiver took since the start.
    pub accepted: u64,
    /// Events that no receiver could have taken: longer than a message may be, or damaged;
    /// and those its receiver refused for good.
    pub rejected: u64,
    /// Frames that were sent again.
    pub retried: u64,
    /// Events that had to be made shorter to fit into a message.
    pub shrunk: u64,
    /// Events that the sink did not want.
    pub filtered: u64,
    /// Tokens that can no longer be revealed.
    pub forgotten: u64,
    /// Events that others of their sort stand for.
    pub sampled: u64,
    /// Transitions of alerts the receiver took since the start.
    pub alerts: u64,
    /// Events in the store that were not sent yet.
    pub waiting_events: u64,
    /// Their raw bytes.
    pub waiting_bytes: u64,
    /// How long the oldest of them has been waiting.
    pub waiting: Period,
    /// When a frame was delivered last; 0 when none was since the start.
    pub last_success: Timestamp,
    /// What went wrong since then.
    pub failure: Option<Failure>,
}

impl SinkStatus {
    /// The status of a sink that has done nothing yet.
    pub fn new(name: &str, kind: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            accepted: AtomicU64::default(),
            rejected: AtomicU64::default(),
            retried: AtomicU64::default(),
            shrunk: AtomicU64::default(),
            alerts: AtomicU64::default(),
            sampled: AtomicU64::default(),
            filtered: AtomicU64::default(),
            forgotten: AtomicU64::default(),
            waiting_events: AtomicU64::default(),
            waiting_bytes: AtomicU64::default(),
            waiting_since: AtomicU64::default(),
            last_success: AtomicU64::default(),
            failure: Mutex::default(),
        }
    }

    /// What the sink is doing at `now`.
    pub fn report(&self, now: Timestamp) -> SinkReport {
        let since = Timestamp(self.waiting_since.load(Relaxed));
        SinkReport {
            name: self.name.clone(),
            kind: self.kind,
            accepted: self.accepted.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            retried: self.retried.load(Relaxed),
            shrunk: self.shrunk.load(Relaxed),
            alerts: self.alerts.load(Relaxed),
            sampled: self.sampled.load(Relaxed),
            filtered: self.filtered.load(Relaxed),
            forgotten: self.forgotten.load(Relaxed),
            waiting_events: self.waiting_events.load(Relaxed),
            waiting_bytes: self.waiting_bytes.load(Relaxed),
            waiting: if since == Timestamp(0) { Period(0) } else { now.since(since) },
            last_success: Timestamp(self.last_success.load(Relaxed)),
            failure: self.lock().clone(),
        }
    }

    /// A frame was delivered. True when that ends a failure.
    pub(super) fn note_success(&self, now: Timestamp, counts: Counts) -> bool {
        self.note_done(counts);
        self.last_success.store(now.0, Relaxed);
        self.lock().take().is_some()
    }

    /// So many tokens can no longer be revealed.
    pub(super) fn note_forgotten(&self, tokens: u64) {
        self.forgotten.fetch_add(tokens, Relaxed);
    }

    /// A frame is done with, whether or not a receiver saw it.
    pub(super) fn note_done(&self, counts: Counts) {
        self.accepted.fetch_add(counts.accepted, Relaxed);
        self.rejected.fetch_add(counts.rejected, Relaxed);
        self.shrunk.fetch_add(counts.shrunk, Relaxed);
        self.alerts.fetch_add(counts.alerts, Relaxed);
        self.sampled.fetch_add(counts.sampled, Relaxed);
        self.filtered.fetch_add(counts.filtered, Relaxed);
    }

    /// A frame was not delivered. True when this is the first failure in a row.
    pub(super) fn note_failure(&self, now: Timestamp, words: String) -> bool {
        self.retried.fetch_add(1, Relaxed);
        self.lock().replace(Failure { at: now, words }).is_none()
    }

    /// What waits in the store, the oldest since `since` (0 when nothing waits).
    pub(super) fn note_waiting(&self, events: u64, bytes: u64, since: Timestamp) {
        self.waiting_events.store(events, Relaxed);
        self.waiting_bytes.store(bytes, Relaxed);
        self.waiting_since.store(since.0, Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What became of the events of a frame.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) shrunk: u64,
    pub(super) alerts: u64,
    pub(super) sampled: u64,
    pub(super) filtered: u64,
}
