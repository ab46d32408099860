//! Which clients have series of their own: the busiest ones, and no more than fit.
//!
//! Pure: time comes as an argument, and the counts themselves live with the other series. A
//! client's weight is its number of events, halved every hour, so that yesterday's flood makes
//! way for today's visitors.
//!
//! A place changes hands only around a scrape, and in this order, so that no event is lost to
//! `rate()`: [`ClientSlots::admit`] before the page is rendered, so that a new series is first
//! seen at 0; [`ClientSlots::evict`] after it, so that the last value of an old one has been
//! seen. In between, a client without a place counts as `other`. This is exact for one scraper;
//! a second one may miss the last step of an evicted client, never more.
//!
//! Invariant: at most `capacity` clients have a place, and each keeps it for [`STAY`].

use std::collections::BTreeMap;

use crate::units::{Period, Timestamp};

/// A client keeps its place this long, however many others come: churn is what hurts Prometheus.
pub const STAY: Period = Period::from_secs(600);

/// In this time a weight falls to its half.
const HALF_LIFE: Period = Period::from_secs(3600);

/// A weight below this is forgotten: one request after four hours of silence.
const FORGOTTEN: f64 = 1.0 / 16.0;

/// Weights held for each place. More than a few, so that a rising client is not forgotten between
/// two scrapes.
const WEIGHTS_PER_SLOT: usize = 16;

/// The places of one metric.
#[derive(Debug)]
pub(super) struct ClientSlots {
    capacity: usize,
    slots: BTreeMap<String, Timestamp>,
    weights: BTreeMap<String, f64>,
    decayed: Timestamp,
}

impl ClientSlots {
    /// Room for `capacity` clients; 0 means that all are `other`.
    pub(super) fn new(capacity: usize, now: Timestamp) -> Self {
        Self { capacity, slots: BTreeMap::new(), weights: BTreeMap::new(), decayed: now }
    }

    /// How many clients have a place.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The client has a place.
    pub(super) fn holds(&self, client: &str) -> bool {
        self.slots.contains_key(client)
    }

    /// Takes note of `events` events of `client`.
    pub(super) fn weigh(&mut self, client: &str, events: u64) {
        if self.capacity == 0 || events == 0 {
            return;
        }
        if let Some(weight) = self.weights.get_mut(client) {
            *weight += events as f64;
            return;
        }
        if 2 * WEIGHTS_PER_SLOT * self.capacity <= self.weights.len() {
            self.forget_the_light_half();
        }
        self.weights.insert(client.to_owned(), events as f64);
    }

    /// Before a scrape: gives the free places, at most `room`, to the busiest clients without
    /// one and returns them.
    pub(super) fn admit(&mut self, now: Timestamp, room: usize) -> Vec<String> {
        self.decay(now);
        let free = self.capacity.saturating_sub(self.slots.len()).min(room);
        let admitted: Vec<String> =
            self.waiting().into_iter().take(free).map(|(client, _)| client.to_owned()).collect();
        for client in &admitted {
            self.slots.insert(client.clone(), now);
        }
        assert!(self.slots.len() <= self.capacity);
        admitted
    }

    /// After a scrape: takes the place of each client that is silent for hours, or lighter than
    /// one that waits and finds no free place, and returns them.
    pub(super) fn evict(&mut self, now: Timestamp) -> Vec<String> {
        let mut settled: Vec<(f64, &str)> = self
            .slots
            .iter()
            .filter(|(_, admitted)| STAY <= now.since(**admitted))
            .map(|(client, _)| (self.weight(client), client.as_str()))
            .collect();
        settled.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
        let free = self.capacity - self.slots.len();
        let mut waiting = self.waiting().into_iter().skip(free).map(|(_, weight)| weight);
        let gives_way = |weight: f64, rival: Option<f64>| {
            weight < FORGOTTEN || rival.is_some_and(|rival| weight < rival)
        };
        // The lightest holder meets the heaviest rival, the next the next: once a holder is the
        // heavier one, so are all after it.
        let evicted: Vec<String> = settled
            .iter()
            .take_while(|(weight, _)| gives_way(*weight, waiting.next()))
            .map(|(_, client)| (*client).to_owned())
            .collect();
        for client in &evicted {
            self.slots.remove(client);
        }
        evicted
    }

    /// Clients without a place, heaviest first.
    fn waiting(&self) -> Vec<(&str, f64)> {
        let outside = self.weights.iter().filter(|(client, _)| !self.slots.contains_key(*client));
        let mut waiting: Vec<(&str, f64)> =
            outside.map(|(client, weight)| (client.as_str(), *weight)).collect();
        waiting.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        waiting
    }

    fn weight(&self, client: &str) -> f64 {
        self.weights.get(client).copied().unwrap_or(0.0)
    }

    fn decay(&mut self, now: Timestamp) {
        let half_lives = now.since(self.decayed).ms() as f64 / HALF_LIFE.ms() as f64;
        self.decayed = self.decayed.max(now);
        let factor = (-half_lives).exp2();
        self.weights.retain(|_, weight| {
            *weight *= factor;
            FORGOTTEN <= *weight
        });
    }

    fn forget_the_light_half(&mut self) {
        let mut weights: Vec<f64> = self.weights.values().copied().collect();
        let middle = weights.len() / 2;
        let (_, median, _) = weights.select_nth_unstable_by(middle, f64::total_cmp);
        let limit = *median;
        let slots = &self.slots;
        // Holders stay: they are no more than one in `WEIGHTS_PER_SLOT`.
        self.weights.retain(|client, weight| limit < *weight || slots.contains_key(client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs steps of (seconds, client, events) around scrapes; the answer names who was admitted
    /// (`+`) and evicted (`-`) at which second.
    #[track_caller]
    fn check(capacity: usize, steps: &[(u64, &str, u64)], expected: &[&str]) {
        let mut slots = ClientSlots::new(capacity, Timestamp::from_secs(1_795_000_000));
        let mut actual = Vec::new();
        for (second, client, events) in steps {
            slots.weigh(client, *events);
            let now = Timestamp::from_secs(1_795_000_000 + second);
            let admitted = slots.admit(now, usize::MAX);
            actual.extend(admitted.iter().map(|client| format!("{second} +{client}")));
            let evicted = slots.evict(now);
            actual.extend(evicted.iter().map(|client| format!("{second} -{client}")));
        }
        assert_eq!(expected, actual);
    }

    #[test]
    fn a_place_is_kept_for_ten_minutes_and_then_goes_to_a_busier_client() {
        check(
            1,
            &[(0, "a", 1), (15, "b", 9), (599, "b", 9), (600, "b", 9), (615, "b", 0)],
            &["0 +a", "600 -a", "615 +b"],
        );
    }

    #[test]
    fn a_busier_holder_is_not_driven_out() {
        check(1, &[(0, "a", 9), (15, "b", 8), (900, "b", 0)], &["0 +a"]);
    }

    #[test]
    fn a_free_place_is_used_before_anybody_is_driven_out() {
        check(2, &[(0, "a", 1), (700, "b", 9)], &["0 +a", "700 +b"]);
    }

    #[test]
    fn silence_ends_a_place() {
        check(5, &[(0, "a", 1), (3 * 3600, "", 0), (5 * 3600, "", 0)], &["0 +a", "18000 -a"]);
    }

    #[test]
    fn no_capacity_means_no_places() {
        check(0, &[(0, "a", 5), (60, "a", 5)], &[]);
    }

    #[test]
    fn a_flood_of_clients_is_forgotten_and_a_heavy_one_stays() {
        let now = Timestamp::from_secs(1_795_000_000);
        let mut slots = ClientSlots::new(2, now);
        slots.weigh("heavy", 1000);
        for number in 0..10_000 {
            slots.weigh(&format!("light{number}"), 1);
            assert!(slots.weights.len() <= 2 * WEIGHTS_PER_SLOT * 2);
        }
        assert_eq!("heavy", slots.admit(now, 1)[0]);
    }
}
