//! The memory from line to line, shared by the workers that read blocks at the same time.
//!
//! A block that depends on lines before it waits until all blocks before it have had their turn;
//! one that does not, as those of access logs, passes at once. Blocks are handed out in order, so
//! whoever waits waits for a worker that is parsing.
//!
//! Invariant: the memory sees blocks in the order in which they were read.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::engine::batch::EventBatch;
use crate::engine::enrich::Logins;
use crate::engine::memory::Memory;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug)]
struct State {
    memory: Memory,
    /// Number of the block whose turn it is.
    next: u64,
    /// Blocks after it that have passed.
    passed: BTreeSet<u64>,
}

impl State {
    fn pass(&mut self, number: u64) {
        self.passed.insert(number);
        while self.passed.remove(&self.next) {
            self.next += 1;
        }
    }
}

impl Turns {
    /// Nobody has had a turn; log-ins are told as `logins` says.
    pub(super) fn new(logins: &Logins) -> Self {
        let state = State { memory: Memory::new(logins), next: 0, passed: BTreeSet::new() };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    /// Completes the events of block `number`, read from a log of the format `own`. Each block
    /// comes here once.
    pub(super) fn complete(&self, number: u64, batch: &mut EventBatch, own: &'static str) {
        let concerned = Memory::concerns(batch, own);
        // Nobody panics while holding the lock but for a bug, and then waiting would never end.
        let lost = PoisonError::into_inner;
        let mut state = self.state.lock().unwrap_or_else(lost);
        if concerned {
            while state.next != number && !self.state.is_poisoned() {
                state = self.moved.wait(state).unwrap_or_else(lost);
            }
            state.memory.complete(batch, own);
        }
        state.pass(number);
        drop(state);
        self.moved.notify_all();
    }
}
