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

    /// The last `limit` events lie within `window`, which ends at `now` or with the last of them.
    pub fn reaches(&self, limit: usize, window: Period, now: Timestamp) -> bool {
        let first = self.seen.len().checked_sub(limit).and_then(|at| self.seen.get(at));
        let Some((first, last)) = first.zip(self.seen.back()) else { return limit == 0 };
        last.time.max(now).since(first.time) <= window
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.seen.capacity() * size_of::<Seen>()
    }

    /// The events, oldest first.
    pub fn events(&self) -> impl Iterator<Item = Seen> + '_ {
        self.seen.iter().copied()
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

    /// The `limit` values seen last lie within `window`, which ends at `now` or with the last.
    pub fn reaches(&self, limit: usize, window: Period, now: Timestamp) -> bool {
        let first = self.seen.len().checked_sub(limit).and_then(|at| self.seen.get(at));
        let Some((first, last)) = first.zip(self.seen.last()) else { return limit == 0 };
        last.1.time.max(now).since(first.1.time) <= window
    }

    /// When a value was seen last.
    pub fn last_seen(&self, value: u64) -> Option<Timestamp> {
        self.seen.iter().find(|(known, _)| *known == value).map(|(_, seen)| seen.time)
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.seen.capacity() * size_of::<(u64, Seen)>()
    }

    /// How many values are known.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// No value is known.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// The event of each value, least recent first.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Seen> + '_ {
        self.seen.iter().map(|(_, seen)| *seen)
    }
}

/// Parts that the window of a sum is divided into.
const PARTS: usize = 12;

/// Two sums over the last window.
///
/// Counted in twelve parts of the window, so its far end is up to one part (a twelfth of the
/// window) further away than asked for; both sums share that error.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Number of the latest part, counted from 1970, and the milliseconds that it began after.
    latest: u64,
    start: u64,
    parts: [(u64, u64); PARTS],
}

impl Sums {
    /// Adds to both sums at `time`; too late ones are let go.
    pub fn add(&mut self, time: Timestamp, window: Period, (one, other): (u64, u64)) {
        let length = (window.ms() / PARTS as u64).max(1);
        // Nearly always the event belongs to the latest part, which is told without a division.
        let is_latest = self.start <= time.ms() && time.ms() - self.start < length;
        let part = if is_latest { self.latest } else { time.ms() / length };
        if self.latest < part {
            let passed = (part - self.latest).min(PARTS as u64);
            for ahead in 1..=passed {
                self.parts[((part - passed + ahead) % PARTS as u64) as usize] = (0, 0);
            }
            (self.latest, self.start) = (part, part * length);
        } else if part + PARTS as u64 <= self.latest {
            return;
        }
        let sums = &mut self.parts[(part % PARTS as u64) as usize];
        *sums = (sums.0.saturating_add(one), sums.1.saturating_add(other));
    }

    /// Both sums.
    pub fn totals(&self) -> (u64, u64) {
        let add =
            |(a, b): (u64, u64), (c, d): &(u64, u64)| (a.saturating_add(*c), b.saturating_add(*d));
        self.parts.iter().fold((0, 0), add)
    }

    /// Share of the first sum; 1 where nothing was counted.
    pub fn share(&self) -> f64 {
        let (matching, others) = self.totals();
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
                prop_assert_eq!(limit <= naive, ring.reaches(limit, WINDOW, Timestamp(0)));
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
                prop_assert_eq!(limit <= naive.len(), ring.reaches(limit, WINDOW, Timestamp(0)));
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
            let (mut shares, mut all, mut now) = (Sums::default(), Vec::new(), 1_000_000);
            for (gap, against) in steps {
                now += gap;
                all.push((now, against));
                let one = if against { (0, 1) } else { (1, 0) };
                shares.add(Timestamp::from_ms(now), window, one);
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
