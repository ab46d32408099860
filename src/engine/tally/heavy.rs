//! Counts per key when there may be millions of keys: exact while they fit, bounded always.
//!
//! Up to `capacity` keys are counted exactly. When twice as many are held, the smaller half is
//! let go (the batched Misra–Gries method): each key that stays keeps its exact count since it
//! was admitted, and [`Heavy::error`] is how much any count may fall short of the truth.
//!
//! Invariant: at most `2 × capacity` keys are held, whoever chooses them.

use ahash::RandomState;
use hashbrown::HashTable;

/// Counters that a key carries: one total to rank by, and whatever else is added up with it.
pub trait Counters: Clone + Default {
    /// Adds `other`.
    fn add(&mut self, other: &Self);
    /// What keys are ranked by.
    fn total(&self) -> u64;
}

impl Counters for u64 {
    fn add(&mut self, other: &Self) {
        *self += other;
    }

    fn total(&self) -> u64 {
        *self
    }
}

/// A key and its counts.
///
/// Two keys are told apart by their keyed 64-bit hash and their length alone: looking at the bytes
/// would cost a cache miss for every event, and with a seed that nobody knows the chance that any
/// two of 32,768 keys are mixed up is one in 2³³.
#[derive(Clone, Debug)]
struct Held<C> {
    hash: u64,
    key: Box<[u8]>,
    counts: C,
}

impl<C> Held<C> {
    fn is(&self, hash: u64, key: &[u8]) -> bool {
        self.hash == hash && self.key.len() == key.len()
    }
}

/// Counts per key, the heaviest kept.
#[derive(Clone, Debug)]
pub struct Heavy<C> {
    capacity: usize,
    counts: HashTable<Held<C>>,
    hasher: RandomState,
    error: u64,
    evicted: u64,
}

impl<C: Counters> Heavy<C> {
    /// Holds `capacity` keys exactly. The seed makes the order of keys unforeseeable for whoever
    /// sends them.
    pub fn new(capacity: usize, seed: u64) -> Self {
        assert!(0 < capacity);
        let hasher = RandomState::with_seeds(seed, !seed, seed.rotate_left(17), 0x6761_7465);
        Self { capacity, counts: HashTable::new(), hasher, error: 0, evicted: 0 }
    }

    /// The counters of `key`, made if it is new.
    pub fn entry(&mut self, key: &[u8]) -> &mut C {
        self.hashed_entry(self.hash(key), key)
    }

    /// The keyed hash of `key`: the same in all tables of one seed.
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// [`Heavy::entry`] for a key whose hash is known.
    pub(super) fn hashed_entry(&mut self, hash: u64, key: &[u8]) -> &mut C {
        if 2 * self.capacity <= self.counts.len()
            && self.counts.find(hash, |held| held.is(hash, key)).is_none()
        {
            self.let_the_light_half_go();
        }
        let entry = self.counts.entry(hash, |held| held.is(hash, key), |held| held.hash);
        let new = || Held { hash, key: key.into(), counts: C::default() };
        &mut entry.or_insert_with(new).into_mut().counts
    }

    /// How many keys are held.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// No key is held.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Any total may be this much too small; 0 means that all are exact.
    pub fn error(&self) -> u64 {
        self.error
    }

    /// Keys let go so far.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The counters of `key`, if it is held.
    pub fn find(&self, key: &[u8]) -> Option<&C> {
        let hash = self.hasher.hash_one(key);
        self.counts.find(hash, |held| held.is(hash, key)).map(|held| &held.counts)
    }

    /// The `n` heaviest keys, heaviest first; equal ones in the order of their bytes.
    pub fn top(&self, n: usize) -> Vec<(&[u8], &C)> {
        let mut all: Vec<(&[u8], &C)> = self.iter().collect();
        all.sort_unstable_by(|a, b| b.1.total().cmp(&a.1.total()).then(a.0.cmp(b.0)));
        all.truncate(n);
        all
    }

    /// All keys, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &C)> {
        self.counts.iter().map(|held| (&*held.key, &held.counts))
    }

    /// Adds all of `other`; the errors add up.
    pub fn merge(&mut self, other: &Self) {
        for (key, count) in other.iter() {
            self.entry(key).add(count);
        }
        self.error += other.error;
        self.evicted += other.evicted;
    }

    /// Takes over the shortfall of keys that were let go before the table was stored.
    pub(super) fn add_error(&mut self, error: u64, evicted: u64) {
        self.error += error;
        self.evicted += evicted;
    }

    /// Forgets all keys and keeps the memory.
    pub fn clear(&mut self) {
        self.counts.clear();
        self.error = 0;
        self.evicted = 0;
    }

    fn let_the_light_half_go(&mut self) {
        let mut totals: Vec<u64> = self.iter().map(|(_, count)| count.total()).collect();
        let middle = totals.len() / 2;
        let (_, median, _) = totals.select_nth_unstable(middle);
        let limit = *median;
        let before = self.counts.len();
        self.counts.retain(|held| limit < held.counts.total());
        self.error += limit;
        self.evicted += (before - self.counts.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap as Naive;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_total_is_right_within_the_stated_error(
            keys in prop::collection::vec(0u8..60, 0..600), capacity in 1usize..40,
        ) {
            let mut heavy = Heavy::<u64>::new(capacity, 7);
            let mut naive = Naive::new();
            for key in &keys {
                *heavy.entry(&[*key]) += 1;
                *naive.entry(*key).or_insert(0u64) += 1;
            }
            prop_assert!(heavy.len() <= 2 * capacity);
            for (key, truth) in naive {
                let held = heavy.find(&[key]).copied().unwrap_or(0);
                prop_assert!(held <= truth && truth <= held + heavy.error());
            }
        }
    }

    #[test]
    fn totals_are_exact_while_the_keys_fit() {
        let mut heavy = Heavy::<u64>::new(3, 1);
        for key in [b"a", b"b", b"a", b"c", b"a", b"b"] {
            *heavy.entry(key) += 1;
        }
        assert_eq!(0, heavy.error());
        assert_eq!(vec![(&b"a"[..], &3), (&b"b"[..], &2)], heavy.top(2));
    }
}
