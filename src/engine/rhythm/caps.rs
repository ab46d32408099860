//! How much of one client counts within an hour.
//!
//! Invariant: at most [`KEYS_MAX`] clients are remembered, those of the last hour. Beyond that
//! whatever comes counts in full: a crowd is what the rhythm looks for.

use std::collections::HashMap;

use super::measure::Measure;
use crate::engine::address::client_net;
use crate::engine::batch::{ClientSource, Event, Field};
use crate::units::{Period, Timestamp};

/// Clients and users remembered at a time.
const KEYS_MAX: usize = 65_536;

const HOUR: Period = Period::from_secs(3600);

/// What of whom has been counted since when.
#[derive(Debug)]
pub(super) struct Caps {
    hasher: ahash::RandomState,
    counted: HashMap<u64, (Timestamp, u32)>,
}

impl Caps {
    pub(super) fn new(hasher: ahash::RandomState) -> Self {
        Self { hasher, counted: HashMap::new() }
    }

    /// How many of the `times` of `event` at `time` count for `measure`.
    pub(super) fn count(&mut self, measure: Measure, event: &Event<'_>, time: Timestamp) -> u64 {
        let times = event.row().count;
        let Some(cap) = measure.cap() else { return times.into() };
        let key = self.key(measure, event);
        if KEYS_MAX <= self.counted.len() && !self.counted.contains_key(&key) {
            self.counted.retain(|_, (first, _)| time < first.plus(HOUR));
            if KEYS_MAX <= self.counted.len() {
                return times.into();
            }
        }
        let (first, counted) = self.counted.entry(key).or_insert((time, 0));
        // A line that is late belongs to the hour that is known.
        if first.plus(HOUR) <= time {
            (*first, *counted) = (time, 0);
        }
        let counts = times.min(cap - *counted);
        *counted += counts;
        counts.into()
    }

    fn key(&self, measure: Measure, event: &Event<'_>) -> u64 {
        let row = event.row();
        let is_clear = row.client_source != ClientSource::Ambiguous;
        let client = row.client.filter(|_| is_clear).map(|ip| client_net(ip).address);
        let is_login = measure == Measure::Failures;
        let user = is_login.then(|| event.field(Field::User)).flatten();
        self.hasher.hash_one((measure, client, user, event.site()))
    }
}
