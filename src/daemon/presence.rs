//! Who was there, for the part of the weekly report about the day on which all should come.
//!
//! Without a roster nobody is expected, and nothing about people is kept.

use std::sync::Arc;

use crate::config::Config;
use crate::engine::attendance::{Attendance, Sighting};
use crate::engine::batch::EventBatch;
use crate::units::Timestamp;

/// What was seen since the last commit; nothing where there is no roster.
#[derive(Debug)]
pub(super) struct Presence(Option<Attendance>);

impl Presence {
    pub(super) fn new(config: &Config, seed: u64) -> Self {
        let roster = config.circumstances.roster.as_ref();
        let zone = &config.circumstances.calendar.zone;
        Self(roster.map(|roster| Attendance::new(Arc::clone(roster), zone.clone(), seed)))
    }

    /// Looks at a batch read at `now`.
    pub(super) fn add(&mut self, batch: &EventBatch, now: Timestamp) {
        if let Some(attendance) = &mut self.0 {
            attendance.add(batch, now);
        }
    }

    /// What is to be stored with this commit.
    pub(super) fn sightings(&self) -> Vec<Sighting> {
        self.0.as_ref().map(Attendance::sightings).unwrap_or_default()
    }

    /// The commit is done.
    pub(super) fn committed(&mut self) {
        self.0.iter_mut().for_each(Attendance::committed);
    }
}
