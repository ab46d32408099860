//! The outside world as arguments: time and chance.
//!
//! Everything that decides takes its [`Clock`] or [`Chance`] from its caller, so that a test can
//! hand in its own and a seed repeats a run exactly. This module is the only one that may read
//! the machine's clock or its source of randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::units::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A source of chance.
pub trait Chance: Send {
    /// The next value, evenly spread over all 64 bits.
    fn next_u64(&mut self) -> u64;
}

/// A repeatable source of chance: the same seed gives the same values (xorshift64*).
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// Starts the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        // Zero is the one state that xorshift never leaves.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Starts a sequence nobody can foresee.
    pub fn from_machine() -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self::new(high ^ low)
    }
}

impl Chance for Seeded {
    fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// Wakes the daemon's loops: a lock-free flag with a wait, set by file events and by signals.
#[derive(Debug, Default)]
pub struct Waker {
    rung: std::sync::Mutex<bool>,
    bell: std::sync::Condvar,
}

impl Waker {
    /// Ends the present or the next [`Waker::wait`].
    pub fn wake(&self) {
        *self.rung.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = true;
        self.bell.notify_all();
    }

    /// Waits until woken, at most `limit`. True when woken.
    pub fn wait(&self, limit: std::time::Duration) -> bool {
        let guard = self.rung.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (mut guard, _) = self
            .bell
            .wait_timeout_while(guard, limit, |rung| !*rung)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut *guard)
    }
}
