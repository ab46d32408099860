//! Which clients are worth a look: rules with high limits have no business with those that ask
//! little, and shares none with those that did nothing.
//!
//! Counted by keyed hash in a table that never grows, minute by minute. Two clients that share a
//! place count as one, so a quiet client may pass for a busy one and cost a little time; a busy one
//! never passes for a quiet one. Rules that ask here see a client from its [`EVENTS`]th event of a
//! minute on, so they may fire that many events later, never earlier.

use crate::units::Timestamp;

/// Events within a minute, or the one before it, that make a client busy.
pub const EVENTS: u64 = 12;

/// Places: 16,384 of them take 128 KiB, which a processor keeps at hand.
const PLACES: usize = 1 << 14;

/// Events of one client, or of several that share a place.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    minute: u32,
    /// Events of that minute, and of the one before.
    now: u16,
    before: u16,
}

/// The clients of this minute and of the one before.
#[derive(Debug)]
pub(super) struct Busy {
    places: Box<[Place]>,
}

impl Default for Busy {
    fn default() -> Self {
        Self { places: vec![Place::default(); PLACES].into() }
    }
}

impl Busy {
    /// Notes an event of the client with this hash; answers whether it is busy.
    #[inline]
    pub(super) fn see(&mut self, client: u64, time: Timestamp) -> bool {
        let minute = (time.ms() / 60_000) as u32;
        let place = &mut self.places[(client >> 40) as usize % PLACES];
        if place.minute < minute {
            let before = if place.minute + 1 == minute { place.now } else { 0 };
            *place = Place { minute, now: 0, before };
        }
        place.now = place.now.saturating_add(1);
        EVENTS <= u64::from(place.now.max(place.before))
    }
}

/// Bits for clients about which some rule that watches a share remembers something: what speaks
/// against is no business of the others. Two that share a bit cost a look-up, nothing more.
#[derive(Debug)]
pub(super) struct Suspects {
    bits: Box<[u64]>,
}

impl Default for Suspects {
    fn default() -> Self {
        Self { bits: vec![0; PLACES / 8].into() }
    }
}

impl Suspects {
    fn place(&self, client: u64) -> (usize, u64) {
        let bit = (client >> 20) as usize % (64 * self.bits.len());
        (bit / 64, 1 << (bit % 64))
    }

    pub(super) fn note(&mut self, client: u64) {
        let (word, bit) = self.place(client);
        self.bits[word] |= bit;
    }

    #[inline]
    pub(super) fn has(&self, client: u64) -> bool {
        let (word, bit) = self.place(client);
        self.bits[word] & bit != 0
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
