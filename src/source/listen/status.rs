//! How a listener is doing: told by its tasks, read by the daemon for metrics and readiness.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Why a connection, a request or a line was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(usize)]
pub enum Refusal {
    /// All places for connections were taken.
    Connections,
    /// The peer could not agree on TLS, or has no certificate that counts here.
    Tls,
    /// The token was missing or wrong, or a web page of another site asked.
    Token,
    /// It is no request that is answered here.
    Request,
    /// The body is larger than what is taken.
    TooLarge,
    /// The pipeline is behind, or the store takes nothing.
    Pressure,
}

impl Refusal {
    /// All reasons.
    pub const ALL: [Self; 6] =
        [Self::Connections, Self::Tls, Self::Token, Self::Request, Self::TooLarge, Self::Pressure];

    /// The value of the `reason` label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Tls => "tls",
            Self::Token => "token",
            Self::Request => "request",
            Self::TooLarge => "too_large",
            Self::Pressure => "pressure",
        }
    }
}

/// The state of one listener, shared by its tasks and the daemon.
#[derive(Debug, Default)]
pub struct ListenStatus {
    connections: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    cut_lines: AtomicU64,
    unfinished: AtomicU64,
    dropped: AtomicU64,
    /// Why it does not listen. Before the first try there is no reason.
    failure: Mutex<Option<Option<String>>>,
}

impl ListenStatus {
    /// Connections that are open.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// What was not taken, by [`Refusal::ALL`].
    pub fn refused(&self) -> [u64; Refusal::ALL.len()] {
        self.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Lines that were longer than the limit.
    pub fn cut_lines(&self) -> u64 {
        self.cut_lines.load(Ordering::Relaxed)
    }

    /// Connections that ended within a message.
    pub fn unfinished(&self) -> u64 {
        self.unfinished.load(Ordering::Relaxed)
    }

    /// Datagrams that the kernel dropped because nobody took them in time.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// It listens.
    pub fn is_listening(&self) -> bool {
        matches!(*self.failure(), Some(None))
    }

    /// Why it cannot listen, with address and fix.
    pub fn problem(&self) -> Option<String> {
        self.failure().clone().flatten()
    }

    /// It listens, or cannot for this reason. True when that is news.
    pub(super) fn set_problem(&self, problem: Option<&str>) -> bool {
        let mut failure = self.failure();
        let is_news = failure.as_ref().is_none_or(|known| known.as_deref() != problem);
        *failure = Some(problem.map(str::to_owned));
        is_news
    }

    pub(super) fn opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, reason: Refusal) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_cut_lines(&self, count: usize) {
        self.cut_lines.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn add_unfinished(&self) {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
    }

    /// The kernel's count; the answer is how many came since the last one.
    pub(super) fn set_dropped(&self, total: u64) -> u64 {
        total.saturating_sub(self.dropped.swap(total, Ordering::Relaxed))
    }

    fn failure(&self) -> MutexGuard<'_, Option<Option<String>>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_says_why_it_does_not_listen_and_only_once() {
        let status = ListenStatus::default();
        assert!(!status.is_listening() && status.problem().is_none());
        assert!(status.set_problem(Some("in use")));
        assert!(!status.set_problem(Some("in use")));
        assert_eq!(Some("in use"), status.problem().as_deref());
        assert!(status.set_problem(None));
        assert!(status.is_listening());
    }

    #[test]
    fn reasons_stand_where_their_counters_are() {
        for (index, reason) in Refusal::ALL.iter().enumerate() {
            assert_eq!(index, *reason as usize);
        }
        let status = ListenStatus::default();
        status.refuse(Refusal::Pressure);
        assert_eq!([0, 0, 0, 0, 0, 1], status.refused());
        assert_eq!((5, 2), (status.set_dropped(5), status.set_dropped(7)));
    }
}
