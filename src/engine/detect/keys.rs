//! What is remembered for each rule and key, and how much of it.

use ahash::RandomState;
use hashbrown::HashTable;

use super::firing::Firing;
use super::sketch::{self, Sketches};
use super::steps::Progress;
use super::window::{LastTimes, LastValues, Sums};
use crate::units::{Period, Timestamp};

/// The memory of one rule about one key.
#[derive(Debug, Default)]
pub(super) struct KeyState {
    /// Rule number and group values, each with its length.
    pub(super) key: Box<[u8]>,
    /// Events that matched.
    pub(super) times: LastTimes,
    /// Different values among them, for each subject that the rule tells apart.
    pub(super) values: Box<[LastValues]>,
    /// For rules that watch shares: events for and against, for each window.
    pub(super) shares: Box<[Sums]>,
    /// For rules that watch a sum.
    pub(super) sum: Option<Box<Sums>>,
    /// For rules of several steps: how far they have come.
    pub(super) steps: Progress,
    /// When the key was taken up.
    pub(super) since: Timestamp,
    /// The alert that goes on.
    pub(super) firing: Option<Box<Firing>>,
    /// When it was last asked for.
    last_used: Timestamp,
    /// Bytes that it counts for in the memory of all keys.
    charged: usize,
}

impl KeyState {
    /// Forgets the windows.
    pub(super) fn clear(&mut self) {
        self.times = LastTimes::default();
        self.values = Box::default();
        self.shares = Box::default();
        self.sum = None;
        self.steps = Progress::default();
    }

    /// Bytes of the windows, about.
    fn cost(&self) -> usize {
        let values: usize = self.values.iter().map(LastValues::bytes).sum();
        let sums = self.shares.len() + usize::from(self.sum.is_some());
        let windows = self.times.bytes() + values + sums * size_of::<Sums>();
        size_of::<Self>() + self.key.len() + windows + size_of_val(&*self.steps)
    }
}

/// All keys of all rules.
#[derive(Debug)]
pub(super) struct Keys {
    states: Vec<KeyState>,
    free: Vec<u32>,
    /// Keyed hash and number of each key.
    index: HashTable<(u64, u32)>,
    hasher: RandomState,
    keys_max: usize,
    bytes: usize,
    bytes_max: usize,
    evicted: u64,
    sketches: Sketches,
    /// Sightings of keys that were not taken up, because room was short.
    passed: u64,
    /// The key that each rule found last: the site of nearly every line is that of the line before.
    last: Vec<u32>,
}

impl Keys {
    pub(super) fn new(keys_max: usize, bytes_max: usize, hasher: RandomState) -> Self {
        assert!(0 < keys_max);
        let index = HashTable::new();
        Self {
            states: Vec::new(),
            free: Vec::new(),
            index,
            hasher,
            keys_max,
            bytes: 0,
            bytes_max,
            evicted: 0,
            sketches: Sketches::default(),
            passed: 0,
            last: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes that all keys remember, with those of the sketches.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.sketches.bytes()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The number of a key that is known; the key that `rule` found last is tried first.
    pub(super) fn find_again(&mut self, rule: usize, key: &[u8]) -> Option<u32> {
        if self.last.len() <= rule {
            self.last.resize(rule + 1, 0);
        }
        let last = self.last[rule];
        if self.states.get(last as usize).is_some_and(|state| *state.key == *key) {
            return Some(last);
        }
        let hash = self.hasher.hash_one(key);
        let states = &self.states;
        let same = |held: &(u64, u32)| held.0 == hash && *states[held.1 as usize].key == *key;
        let (_, number) = *self.index.find(hash, same)?;
        self.last[rule] = number;
        Some(number)
    }

    /// The key that `rule` found last, if it is of one text, and this one.
    pub(super) fn is_still(&self, rule: usize, text: &[u8]) -> Option<u32> {
        let last = *self.last.get(rule)?;
        let key = &self.states.get(last as usize)?.key;
        (rule_of(key.get(..2)?) == rule && key.get(TEXT_AT..)? == text).then_some(last)
    }

    /// Sightings of keys that were not taken up, because room was short.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// The number of a key, if it is known, or new and there is room, or seen often enough: it is
    /// to be remembered for `window`.
    pub(super) fn admit(&mut self, key: &[u8], window: Period, now: Timestamp) -> Option<u32> {
        if self.is_short_of_room() {
            let hash = self.hasher.hash_one(key);
            let states = &self.states;
            let same = |held: &(u64, u32)| held.0 == hash && *states[held.1 as usize].key == *key;
            if self.index.find(hash, same).is_none() && !self.stands_out(key, window, now) {
                self.passed += 1;
                return None;
            }
        }
        Some(self.entry(key, now))
    }

    /// Up to three quarters of the room nothing is asked, nor where the sketches would take it all.
    fn is_short_of_room(&self) -> bool {
        let is_short =
            self.keys_max / 4 * 3 <= self.index.len() || self.bytes_max / 4 * 3 <= self.bytes();
        is_short && sketch::BYTES_MAX < self.bytes_max
    }

    /// Each value of the key was seen more often than most.
    fn stands_out(&mut self, key: &[u8], window: Period, now: Timestamp) -> bool {
        let (hasher, sketches) = (&self.hasher, &mut self.sketches);
        // All are asked, so that all are counted.
        let admits = |value| sketches.admits(hasher.hash_one(value), window, now);
        values_of(key).map(admits).fold(true, |all, one| all & one)
    }

    /// What is asked from now on is about another event.
    #[inline]
    pub(super) fn next_event(&mut self) {
        self.sketches.next_event();
    }

    /// The number of a key, which is taken up if it is new.
    pub(super) fn entry(&mut self, key: &[u8], now: Timestamp) -> u32 {
        let hash = self.hasher.hash_one(key);
        let states = &self.states;
        let same = |held: &(u64, u32)| held.0 == hash && *states[held.1 as usize].key == *key;
        if let Some((_, number)) = self.index.find(hash, same).copied() {
            self.states[number as usize].last_used = now;
            return number;
        }
        if self.keys_max <= self.index.len() {
            self.let_the_oldest_go();
        }
        let state = KeyState { key: key.into(), since: now, last_used: now, ..KeyState::default() };
        let number = match self.free.pop() {
            Some(number) => {
                self.states[number as usize] = state;
                number
            }
            None => {
                self.states.push(state);
                self.states.len() as u32 - 1
            }
        };
        self.index.insert_unique(hash, (hash, number), |held| held.0);
        number
    }

    /// An alert goes on for this key.
    pub(super) fn is_firing(&self, key: &[u8]) -> bool {
        let hash = self.hasher.hash_one(key);
        let same = |held: &(u64, u32)| held.0 == hash && *self.states[held.1 as usize].key == *key;
        let found = self.index.find(hash, same);
        found.is_some_and(|held| self.states[held.1 as usize].firing.is_some())
    }

    /// The memory of key `number`.
    pub(super) fn state(&mut self, number: u32) -> &mut KeyState {
        &mut self.states[number as usize]
    }

    /// Takes note of how much key `number` remembers now; makes room where all together is too much.
    pub(super) fn charge(&mut self, number: u32) {
        let state = &mut self.states[number as usize];
        let cost = state.cost();
        self.bytes = self.bytes + cost - std::mem::replace(&mut state.charged, cost);
        if self.bytes_max < self.bytes() {
            self.let_the_oldest_go();
        }
    }

    /// Makes room: an eighth of the keys goes, those first that were not asked for the longest.
    /// Keys with an alert that goes on stay.
    fn let_the_oldest_go(&mut self) {
        let states = &self.states;
        let mut idle: Vec<(Timestamp, u32)> = self
            .index
            .iter()
            .filter(|held| states[held.1 as usize].firing.is_none())
            .map(|held| (states[held.1 as usize].last_used, held.1))
            .collect();
        let count = (self.index.len() / 8).max(1).min(idle.len());
        if count < idle.len() {
            idle.select_nth_unstable(count);
        }
        for (_, number) in &idle[..count] {
            let KeyState { key, charged, .. } = std::mem::take(&mut self.states[*number as usize]);
            self.bytes -= charged;
            let hash = self.hasher.hash_one(&*key);
            if let Ok(found) = self.index.find_entry(hash, |held| held.1 == *number) {
                found.remove();
            }
            self.free.push(*number);
        }
        self.evicted += count as u64;
    }
}

/// Where the text of a key of one text begins: behind the rule, a tag and a length.
const TEXT_AT: usize = 5;

/// Starts the key of a rule.
pub(super) fn start_key(out: &mut Vec<u8>, rule: usize) {
    out.clear();
    out.extend_from_slice(&(rule as u16).to_le_bytes());
}

/// The values of a key, each as the bytes that tell it apart.
fn values_of(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = key.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = match *rest.first()? {
            4 => 5,
            6 => 9,
            _ => TEXT_AT - 2 + usize::from(u16::from_le_bytes([*rest.get(1)?, *rest.get(2)?])),
        };
        let value;
        (value, rest) = rest.split_at_checked(length)?;
        Some(value)
    })
}

/// The rule of a key.
pub(super) fn rule_of(key: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([key[0], key[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::field::Subject;
    use crate::engine::detect::window::Seen;

    /// Rules about clients, as many as the pack has about those who fail to log in.
    const OF_CLIENTS: usize = 6;

    /// Has all rules see a failure of `client` as `user`; true where the first one knows the client.
    fn see(keys: &mut Keys, client: &str, user: &str, now: Timestamp) -> bool {
        keys.next_event();
        let mut key = Vec::new();
        let mut is_known = false;
        for rule in 0..OF_CLIENTS + 2 {
            start_key(&mut key, rule);
            if rule < OF_CLIENTS || rule == OF_CLIENTS + 1 {
                Subject::ClientNet.append_key_text(client, &mut key);
            }
            if OF_CLIENTS <= rule {
                Subject::Text(crate::engine::batch::Field::User).append_key_text(user, &mut key);
            }
            let window = Period::from_secs([600, 3600, 86_400][rule % 3]);
            if let Some(number) = keys.admit(&key, window, now) {
                is_known |= rule == 0;
                keys.state(number).times.see(Seen { time: now, evidence: 0 }, 20);
                keys.charge(number);
            }
        }
        is_known
    }

    /// Goal: who comes again is known, however many come once.
    ///
    /// Method: strangers at the rate of five million in ten minutes, more than twenty times as many as
    /// there is room for; one comes again every two seconds.
    #[test]
    fn a_crowd_pushes_nobody_out_who_comes_again() {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        let (keys_max, bytes_max) = (8192, 16 << 20);
        let mut keys = Keys::new(keys_max, bytes_max, hasher);
        let (mut tries, mut known) = (0, 0);
        for n in 0..300_000_u64 {
            let now = Timestamp::from_ms(6_000_000 + n * 120 / 1000);
            let [_, a, b, c, ..] = (n << 32).to_be_bytes();
            see(&mut keys, &format!("10.{a}.{b}.{c}"), &format!("u{n}"), now);
            if n % 16_667 == 16_666 {
                tries += 1;
                known += u32::from(see(&mut keys, "203.0.113.7", "member", now));
            }
            assert!(keys.len() <= keys_max && keys.bytes() <= bytes_max + (1 << 20));
        }
        assert_eq!(17, tries);
        assert!(10 <= known, "known at {known} of {tries} tries");
    }
}
