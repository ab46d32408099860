//! Who has been here before: keys by their hash and when they were seen last.
//!
//! Bounded: when it is full, the half that was seen the longest ago is forgotten, which makes a
//! returning stranger of somebody known, never the reverse.

use std::collections::HashMap;

use crate::units::{Period, Timestamp};

/// Keys remembered, of all rules together: about 2 MiB.
const MAX: usize = 100_000;

/// Keys that were seen.
#[derive(Debug)]
pub(super) struct Known {
    seen: HashMap<u64, Timestamp, ahash::RandomState>,
}

impl Known {
    pub(super) fn new(hasher: ahash::RandomState) -> Self {
        Self { seen: HashMap::with_hasher(hasher) }
    }

    /// Notes that `key` was seen; answers whether it had been seen within `memory` before.
    pub(super) fn see(&mut self, key: u64, memory: Period, time: Timestamp) -> bool {
        if let Some(last) = self.seen.get_mut(&key) {
            let is_known = time <= last.plus(memory);
            *last = time.max(*last);
            return is_known;
        }
        if MAX <= self.seen.len() {
            let mut times: Vec<Timestamp> = self.seen.values().copied().collect();
            let middle = *times.select_nth_unstable(MAX / 2).1;
            self.seen.retain(|_, last| middle < *last);
        }
        self.seen.insert(key, time);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_known_and_the_number_is_bounded() {
        let mut known = Known::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let memory = Period::from_secs(1_000_000);
        for n in 0..3 * MAX as u64 {
            assert!(!known.see(n, memory, Timestamp::from_secs(n)));
            assert!(known.seen.len() <= MAX);
        }
        let last = 3 * MAX as u64;
        assert!(known.see(last - 1, memory, Timestamp::from_secs(last)));
        assert!(!known.see(1, memory, Timestamp::from_secs(last)));
        assert!(!known.see(last - 1, memory, Timestamp::from_secs(last + 2_000_000)));
    }
}
