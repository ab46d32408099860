//! A bounded map that lets go of what was not asked for the longest.
//!
//! It also tells which of its entries a batch was read with: a frame that is read again later, by
//! somebody who has not seen the lines before it, needs these and no others.
//!
//! Invariant: nothing that a batch has asked for is let go within the same batch, so a batch that is
//! read again with what it was read with finds the same.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys of one kind that outlive a batch. Within one there may be as many more as it has lines.
pub(super) const KEYS_MAX: usize = 32_768;

/// Longest key; what would have a longer one is not remembered.
pub(super) const KEY_BYTES_MAX: usize = 256;

/// The map. Its keys are text of strangers, and a tree cannot be flooded with collisions.
#[derive(Debug)]
pub(super) struct Recent<V> {
    entries: BTreeMap<Arc<[u8]>, Entry<V>>,
    order: BTreeMap<u64, Arc<[u8]>>,
    clock: u64,
    batch: u64,
    /// Keys and values that this batch was read with and an earlier one has left.
    used: Vec<(Arc<[u8]>, V)>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    asked: u64,
    /// The batch that made the entry, or the last one that is known to have used it.
    batch: u64,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            clock: 0,
            batch: 0,
            used: Vec::new(),
        }
    }
}

impl<V: Clone> Recent<V> {
    /// A new batch begins.
    pub(super) fn begin(&mut self) {
        self.batch += 1;
        self.shrink();
    }

    /// Lets go of what is too much, but of nothing that this batch has asked for.
    fn shrink(&mut self) {
        while KEYS_MAX < self.entries.len()
            && let Some(oldest) = self.order.first_entry()
            && self.entries.get(oldest.get()).is_none_or(|entry| entry.batch != self.batch)
        {
            self.entries.remove(&oldest.remove());
        }
    }

    /// What the batch was read with.
    pub(super) fn take_used(&mut self) -> Vec<(Arc<[u8]>, V)> {
        std::mem::take(&mut self.used)
    }

    /// The value of `key`.
    pub(super) fn get(&mut self, key: &[u8]) -> Option<&mut V> {
        let entry = self.entries.get_mut(key)?;
        let name = self.order.remove(&entry.asked).expect("each entry has its place in the order");
        if entry.batch != self.batch {
            entry.batch = self.batch;
            self.used.push((Arc::clone(&name), entry.value.clone()));
        }
        self.clock += 1;
        entry.asked = self.clock;
        self.order.insert(self.clock, name);
        Some(&mut entry.value)
    }

    /// Forgets `key`.
    pub(super) fn remove(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.asked);
        }
    }

    /// Sets the value of `key`, whatever it was.
    pub(super) fn insert(&mut self, key: &[u8], value: V) {
        if KEY_BYTES_MAX < key.len() {
            return;
        }
        self.clock += 1;
        let name: Arc<[u8]> = key.into();
        let entry = Entry { value, asked: self.clock, batch: self.batch };
        if let Some(before) = self.entries.insert(Arc::clone(&name), entry) {
            self.order.remove(&before.asked);
        }
        self.order.insert(self.clock, name);
        self.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_not_asked_for_the_longest_goes_first() {
        let mut recent = Recent::default();
        for key in 0..KEYS_MAX as u32 {
            recent.insert(&key.to_le_bytes(), key);
        }
        recent.begin();
        assert!(recent.get(&0u32.to_le_bytes()).is_some());
        recent.insert(b"new", 7);
        assert_eq!(Some(&mut 0), recent.get(&0u32.to_le_bytes()));
        assert_eq!(None, recent.get(&1u32.to_le_bytes()));
        assert_eq!(KEYS_MAX, recent.entries.len());
        assert_eq!(KEYS_MAX, recent.order.len());
    }

    #[test]
    fn nothing_of_the_same_batch_goes_before_its_end() {
        let mut recent = Recent::default();
        recent.begin();
        for key in 0..KEYS_MAX as u32 + 9 {
            recent.insert(&key.to_le_bytes(), key);
        }
        assert_eq!(Some(&mut 0), recent.get(&0u32.to_le_bytes()));
        recent.begin();
        assert_eq!(KEYS_MAX, recent.entries.len());
        assert_eq!(None, recent.get(&1u32.to_le_bytes()));
        assert_eq!(Some(&mut 0), recent.get(&0u32.to_le_bytes()));
    }

    #[test]
    fn what_an_earlier_batch_has_left_is_used_once() {
        let mut recent = Recent::default();
        recent.begin();
        recent.insert(b"a", 1);
        assert_eq!(Some(&mut 1), recent.get(b"a"));
        assert!(recent.take_used().is_empty(), "it is of this batch");
        recent.begin();
        for value in [1, 2] {
            let found = recent.get(b"a").expect("it is there");
            assert_eq!(value, *found);
            *found += 1;
        }
        assert_eq!(vec![(Arc::from(&b"a"[..]), 1)], recent.take_used());
    }

    #[test]
    fn a_key_that_is_too_long_is_not_kept() {
        let mut recent = Recent::default();
        recent.insert(&[b'x'; KEY_BYTES_MAX + 1], 1);
        assert!(recent.entries.is_empty());
    }
}
