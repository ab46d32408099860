//! Exact sliding windows in bounded memory.
//!
//! "N events within W" needs only the last N times: it holds if and only if the N-th last lies
//! within W of the last. "N different values within W" needs only the N values seen most recently,
//! each with the time it was last seen. Both are exact for any W, and neither grows beyond N.
//!
//! A late event is put where it belongs by its time, as long as it is younger than what is kept.

use std::collections::VecDeque;

use crate::units::{Period, Timestamp};

/// One remembered event: when, and under which number its evidence is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Time of the event.
    pub time: Timestamp,
    /// Number of its evidence.
    pub evidence: u64,
}

/// The last N events of a key, oldest first.
#[derive(Clone, Debug, Default)]
pub struct LastTimes {
    seen: VecDeque<Seen>,
}

impl LastTimes {
    /// Notes an event; keeps the latest `limit`.
    pub fn see(&mut self, seen: Seen, limit: usize) {
        if self.seen.back().is_none_or(|last| last.time <= seen.time) {
            // Nearly always the event is the latest.
            if self.seen.len() == limit {
                self.seen.pop_front();
            }
            self.seen.push_back(seen);
            return;
        }
        let at = self.seen.iter().rposition(|one| one.time <= seen.time).map_or(0, |at| at + 1);
        if self.seen.len() < limit {
            self.seen.insert(at, seen);
        } else if 0 < at {
            self.seen.pop_front();
            self.seen.insert(at - 1, seen);
        }
    }

    /// There are `limit` events, all within `window`.
    pub fn is_full(&self, limit: usize, window: Period) -> bool {
        self.seen.len() == limit && self.span().is_some_and(|span| span <= window)
    }

    /// The events, oldest first.
    pub fn events(&self) -> impl Iterator<Item = Seen> + '_ {
        self.seen.iter().copied()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.seen.clear();
    }

    fn span(&self) -> Option<Period> {
        Some(self.seen.back()?.time.since(self.seen.front()?.time))
    }
}

/// The N values of a key seen most recently, least recent first.
#[derive(Clone, Debug, Default)]
pub struct LastValues {
    seen: Vec<(u64, Seen)>,
}

impl LastValues {
    /// Notes that the value with hash `value` was seen; keeps the `limit` most recent values.
    pub fn see(&mut self, value: u64, seen: Seen, limit: usize) {
        if let Some(at) = self.seen.iter().position(|(known, _)| *known == value) {
            if seen.time < self.seen[at].1.time {
                return;
            }
            self.seen.remove(at);
        }
        let at =
            self.seen.iter().rposition(|(_, one)| one.time <= seen.time).map_or(0, |at| at + 1);
        self.seen.insert(at, (value, seen));
        if limit < self.seen.len() {
            self.seen.remove(0);
        }
    }

    /// There are `limit` values, all seen within `window`.
    pub fn is_full(&self, limit: usize, window: Period) -> bool {
        let ends = self.seen.first().zip(self.seen.last());
        self.seen.len() == limit
            && ends.is_some_and(|(first, last)| last.1.time.since(first.1.time) <= window)
    }

    /// The event of each value, least recent first.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Seen> + '_ {
        self.seen.iter().map(|(_, seen)| *seen)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.seen.clear();
    }
}

/// Parts that the window of a share is divided into.
const PARTS: usize = 12;

/// How many events match and how many speak against, over the last window.
///
/// Counted in twelve parts of the window, so its far end is up to one part (a twelfth of the
/// window) further away than asked for; both counts share that error.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    /// Number of the latest part, counted from 1970.
    latest: u64,
    counts: [(u32, u32); PARTS],
}

impl Shares {
    /// Counts `times` events at `time`, for or against; too late ones are let go.
    pub fn see(&mut self, time: Timestamp, window: Period, times: u32, against: bool) {
        let part = time.ms() / (window.ms() / PARTS as u64).max(1);
        if self.latest < part {
            let passed = (part - self.latest).min(PARTS as u64);
            for ahead in 1..=passed {
                self.counts[((part - passed + ahead) % PARTS as u64) as usize] = (0, 0);
            }
            self.latest = part;
        } else if part + PARTS as u64 <= self.latest {
            return;
        }
        let (matching, others) = &mut self.counts[(part % PARTS as u64) as usize];
        let count = if against { others } else { matching };
        *count = count.saturating_add(times);
    }

    /// Share of the matching events; 1 where nothing was counted.
    pub fn share(&self) -> f64 {
        let sum = |(a, b): (u64, u64), (c, d): &(u32, u32)| (a + u64::from(*c), b + u64::from(*d));
        let (matching, others) = self.counts.iter().fold((0, 0), sum);
        if matching + others == 0 { 1.0 } else { matching as f64 / (matching + others) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const WINDOW: Period = Period::from_secs(10);

    fn seen(second: u64) -> Seen {
        Seen { time: Timestamp::from_secs(second), evidence: 0 }
    }

    proptest! {
        #[test]
        fn counting_equals_a_naive_window(
            gaps in prop::collection::vec(0u64..6, 1..200), limit in 1usize..12,
        ) {
            let (mut ring, mut all, mut now) = (LastTimes::default(), Vec::new(), 100);
            for gap in gaps {
                now += gap;
                all.push(now);
                ring.see(seen(now), limit);
                let naive = all.iter().filter(|time| now - **time <= WINDOW.secs()).count();
                prop_assert_eq!(limit <= naive, ring.is_full(limit, WINDOW));
            }
        }

        #[test]
        fn distinct_values_equal_a_naive_window(
            steps in prop::collection::vec((0u64..6, 0u64..9), 1..200), limit in 1usize..8,
        ) {
            let (mut ring, mut all, mut now) = (LastValues::default(), Vec::new(), 100);
            for (gap, value) in steps {
                now += gap;
                all.push((now, value));
                ring.see(value, seen(now), limit);
                let recent = all.iter().filter(|(time, _)| now - time <= WINDOW.secs());
                let naive: BTreeSet<u64> = recent.map(|(_, value)| *value).collect();
                prop_assert_eq!(limit <= naive.len(), ring.is_full(limit, WINDOW));
            }
        }

        #[test]
        fn the_order_of_arrival_does_not_matter_while_nothing_is_let_go(
            mut times in prop::collection::vec(0u64..50, 1..12),
        ) {
            let (mut shuffled, mut sorted) = (LastTimes::default(), LastTimes::default());
            times.iter().for_each(|time| shuffled.see(seen(*time), 12));
            times.sort_unstable();
            times.iter().for_each(|time| sorted.see(seen(*time), 12));
            prop_assert!(sorted.events().eq(shuffled.events()));
        }
    }

    proptest! {
        #[test]
        fn shares_equal_a_naive_count_within_a_twelfth_of_the_window(
            steps in prop::collection::vec((0u64..4000, any::<bool>()), 1..300),
        ) {
            let window = Period(12_000);
            let (mut shares, mut all, mut now) = (Shares::default(), Vec::new(), 1_000_000);
            for (gap, against) in steps {
                now += gap;
                all.push((now, against));
                shares.see(Timestamp::from_ms(now), window, 1, against);
                // The window as it is counted begins with the part eleven parts back.
                let start = (now / 1000 - 11) * 1000;
                let recent = all.iter().filter(|(time, _)| start <= *time);
                let matching = recent.clone().filter(|(_, against)| !against).count() as f64;
                let naive = matching / recent.count() as f64;
                prop_assert!((naive - shares.share()).abs() < 1e-9);
            }
        }
    }
}
