//! Which clients ask much: rules with high limits have no business with the others.
//!
//! Counted by keyed hash in a table that never grows, minute by minute. Two clients that share a
//! place count as one, so a quiet client may pass for a busy one and cost a little time; a busy one
//! never passes for a quiet one. Rules that ask here see a client from its [`EVENTS`]th event of a
//! minute on, so they may fire that many events later, never earlier.

use crate::units::Timestamp;

/// Events within a minute, or the one before it, that make a client busy.
pub const EVENTS: u64 = 12;

/// Places: 16,384 take 64 KiB, which a processor keeps at hand.
const PLACES: usize = 1 << 14;

/// The clients of this minute and of the one before.
#[derive(Debug, Default)]
pub(super) struct Busy {
    minute: u64,
    /// Events of this minute and of the one before, for each place.
    counts: Vec<(u16, u16)>,
}

impl Busy {
    /// Notes an event of the client with this hash; answers whether it is busy.
    #[inline]
    pub(super) fn see(&mut self, client: u64, time: Timestamp) -> bool {
        let minute = time.ms() / 60_000;
        if self.minute < minute {
            self.turn(minute);
        }
        let count = &mut self.counts[(client >> 40) as usize % PLACES];
        count.0 = count.0.saturating_add(1);
        EVENTS <= u64::from(count.0.max(count.1))
    }

    #[cold]
    fn turn(&mut self, minute: u64) {
        if self.counts.is_empty() || self.minute + 1 < minute {
            self.counts.clear();
            self.counts.resize(PLACES, (0, 0));
        } else {
            self.counts.iter_mut().for_each(|count| *count = (0, count.0));
        }
        self.minute = minute;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twelfth_event_of_a_minute_makes_a_client_busy_until_the_next_but_one() {
        let mut busy = Busy::default();
        let mut see = |second| busy.see(7 << 40, Timestamp::from_secs(second));
        assert!((0..11).all(|second| !see(600 + second)));
        assert!(see(611), "the twelfth");
        assert!(see(671), "the minute after");
        assert!(!see(731), "two minutes after");
        assert!((0..40).all(|minute| !see(6000 + 60 * minute)));
    }
}
