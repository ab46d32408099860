//! Counts by the hour, for the weekly report.
//!
//! Each commit brings counts for the hours of its lines; they are added to what the store holds
//! for these hours and written in the same transaction as the lines, so the report and the lines
//! cannot disagree.

use std::collections::BTreeMap;

use crate::engine::batch::EventBatch;
use crate::engine::tally::{Tally, TallyLimits, TallyRecord};
use crate::store::{Store, StoreError};
use crate::units::Timestamp;

/// Hours kept in memory between commits: the present one and those that late lines belong to.
const CACHED_HOURS: usize = 8;

/// Hours that one commit may touch by itself; a line dated further off counts for the hour of
/// reading, so that nonsense in a log cannot fill the store with hours.
const HOURS_PER_COMMIT: usize = 2400;

/// The counts by hour.
#[derive(Debug)]
pub(super) struct Hours {
    limits: TallyLimits,
    /// Of this commit.
    fresh: BTreeMap<u32, Tally>,
    /// As the store has them.
    cached: BTreeMap<u32, Tally>,
}

impl Hours {
    pub(super) fn new(seed: u64) -> Self {
        let limits = TallyLimits::hour(seed);
        Self { limits, fresh: BTreeMap::new(), cached: BTreeMap::new() }
    }

    /// Counts a batch read at `now`.
    pub(super) fn add(&mut self, batch: &EventBatch, now: Timestamp) {
        let latest = now.plus_ms(86_400_000);
        let mut current: Option<(u32, Tally)> = None;
        for event in batch.events() {
            let row = event.row();
            let time = if row.time_is_read || latest < row.time { now } else { row.time };
            let mut hour = time.hour();
            if current.as_ref().is_none_or(|(open, _)| *open != hour) {
                if HOURS_PER_COMMIT <= self.fresh.len() && !self.fresh.contains_key(&hour) {
                    hour = now.hour();
                }
                self.close(current.take());
                let tally = self.fresh.remove(&hour);
                current = Some((hour, tally.unwrap_or_else(|| Tally::new(self.limits))));
            }
            if let Some((_, tally)) = &mut current {
                tally.count(&event);
            }
        }
        self.close(current);
    }

    fn close(&mut self, open: Option<(u32, Tally)>) {
        if let Some((hour, tally)) = open {
            self.fresh.insert(hour, tally);
        }
    }

    /// The counts of this commit alone, hour by hour.
    pub(super) fn fresh(&self) -> impl Iterator<Item = &Tally> {
        self.fresh.values()
    }

    /// The hours as they are to be stored with this commit.
    pub(super) fn records(&mut self, store: &Store) -> Result<Vec<(u32, String)>, StoreError> {
        let mut records = Vec::new();
        for (hour, fresh) in &self.fresh {
            if !self.cached.contains_key(hour) {
                let known = store.hour(*hour)?.and_then(|text| {
                    // An hour that cannot be read back starts anew; the store said so already.
                    serde_json::from_str::<TallyRecord>(&text).ok()
                });
                let tally = known
                    .map_or_else(|| Tally::new(self.limits), |record| record.restore(self.limits));
                self.cached.insert(*hour, tally);
            }
            let mut sum = self.cached[hour].clone();
            sum.merge(fresh);
            let text = serde_json::to_string(&TallyRecord::from(&sum));
            records.push((*hour, text.expect("a tally is JSON")));
        }
        Ok(records)
    }

    /// The commit is done: its counts are the store's now.
    pub(super) fn committed(&mut self) {
        for (hour, fresh) in std::mem::take(&mut self.fresh) {
            if let Some(sum) = self.cached.get_mut(&hour) {
                sum.merge(&fresh);
            }
        }
        while CACHED_HOURS < self.cached.len() {
            self.cached.pop_first();
        }
    }
}
