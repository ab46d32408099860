//! The weekly rhythm within the pipeline: what it finds odd becomes alerts, what it learns goes
//! into the transaction of the lines that it learnt from.

use crate::config::Config;
use crate::engine::batch::EventBatch;
use crate::engine::detect::{Alert, Detectors, Finding, Reported};
use crate::engine::rhythm::{Measure, Odd, Rhythm, Tail};
use crate::serve::Metrics;
use crate::store::{SeriesRecord, StoreError, StoreReader};
use crate::units::Timestamp;

/// The rhythm, and how it is told.
#[derive(Debug)]
pub(super) struct Weekly {
    rhythm: Rhythm,
    /// The newest hour that the metrics know.
    told: Option<u32>,
}

impl Weekly {
    /// Takes up what the store knows.
    pub(super) fn start(
        reader: &StoreReader,
        config: &Config,
        seed: u64,
    ) -> Result<Self, StoreError> {
        let mut rhythm = Rhythm::new(config.circumstances.calendar.clone(), seed);
        let damaged = rhythm.restore(&reader.rhythm()?);
        if damaged != 0 {
            tracing::error!("{damaged} series of the weekly rhythm are damaged and learn anew");
        }
        Ok(Self { rhythm, told: None })
    }

    /// Lines before `since` are not read again.
    pub(super) fn forget_before(&mut self, since: Timestamp) {
        self.rhythm.forget_before(since);
    }

    /// Counts what was read at `now`.
    pub(super) fn see(&mut self, batch: &EventBatch, now: Timestamp) {
        self.rhythm.see(batch, now);
    }

    /// All sources have come to `mark`: tells the rules what is odd.
    pub(super) fn turn_to(
        &mut self,
        mark: Timestamp,
        detectors: &mut Detectors,
        alerts: &mut Vec<Alert>,
    ) {
        self.rhythm.turn_to(mark);
        for odd in self.rhythm.take_odd() {
            let (series, detail) = (odd.series.to_string(), odd.detail(self.rhythm.calendar()));
            let (what, about) = (reported(&odd), &[&*series]);
            let finding = Finding { what, about, detail: &detail, since: odd.from };
            detectors.report(&finding, odd.to, alerts);
        }
    }

    /// What the next commit stores.
    pub(super) fn records(&self) -> Vec<SeriesRecord> {
        self.rhythm.records()
    }

    /// It is stored: the metrics may know.
    pub(super) fn committed(&mut self, metrics: &Metrics) {
        if self.rhythm.closed() == self.told {
            self.rhythm.committed();
            return;
        }
        self.told = self.rhythm.closed();
        self.rhythm.committed();
        for (name, standing) in self.rhythm.standings() {
            let band = standing.hour.band();
            let expected = [band.low, standing.hour.expected, band.high];
            metrics.set_rhythm(&name.to_string(), standing.oddness, expected);
        }
    }
}

/// Which rule is told of it.
fn reported(odd: &Odd) -> Reported {
    match (odd.series.measure, odd.tail()) {
        (Measure::Logins, Tail::Low) => Reported::Missing,
        (Measure::Failures, Tail::High) => Reported::Guessing,
        (_, Tail::Low) => Reported::Lull,
        (_, Tail::High) => Reported::Surge,
    }
}
