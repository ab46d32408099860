//! How far each source has come.

use crate::units::{Period, Timestamp};

/// The clock of rules stands this far behind the real one, so that late lines are not late.
pub const LATENESS: Period = Period::from_secs(60);

/// How far each source has come. An alert ends when every source that still speaks has passed its
/// end: one source that is ahead must not end what another one is in the middle of.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// Source, its newest event time, and when it was read last.
    sources: Vec<(String, Timestamp, Timestamp)>,
    /// All sources count as one.
    pub(super) one: bool,
}

/// A source that was not read for this long does not hold the clock back.
const SOURCE_IDLE: Period = Period::from_secs(30);

/// Sources told apart.
const MAX_SOURCES: usize = 1024;

impl Clocks {
    /// The place of `source`, read at `read_at`.
    pub(super) fn place(&mut self, source: &str, read_at: Timestamp) -> usize {
        let place = self.sources.iter().position(|(known, ..)| self.one || known == source);
        let place = place.unwrap_or_else(|| {
            if self.sources.len() < MAX_SOURCES {
                self.sources.push((source.to_owned(), Timestamp(0), read_at));
            }
            self.sources.len() - 1
        });
        self.sources[place].2 = read_at;
        place
    }

    /// The source at `place` has come to `time`; true where it was not that far.
    pub(super) fn advance(&mut self, place: usize, time: Timestamp) -> bool {
        let newest = &mut self.sources[place].1;
        let is_ahead = *newest < time;
        *newest = time.max(*newest);
        is_ahead
    }

    /// The moment that all sources which still speak have passed.
    pub(super) fn watermark(&self) -> Timestamp {
        let last_read = self.sources.iter().map(|one| one.2).max().unwrap_or_default();
        let speaking = self.sources.iter().filter(|one| last_read <= one.2.plus(SOURCE_IDLE));
        speaking.map(|one| one.1).min().unwrap_or_default()
    }
}
