//! Counts of keys too many to remember: a Count-Min sketch with conservative update (Estan and
//! Varghese, 2002), in two generations that follow the window.
//!
//! While there is room every key is remembered and nothing is asked here. When room gets short a
//! new key is taken up only at its [`ADMITTED`]th sighting, so that a flood of keys seen once
//! cannot push out one that comes again and again. The estimate is never too low within a
//! generation and the one before.

use crate::units::{Period, Timestamp};

/// Sightings that admit a key.
pub(super) const ADMITTED: u8 = 3;

const DEPTH: usize = 4;
const WIDTH: usize = 1 << 18;

/// Two generations of counts for windows of about one length.
#[derive(Debug, Default)]
struct Generations {
    half: u64,
    now: Vec<u8>,
    before: Vec<u8>,
}

/// Sketches for short, middle and long windows: 2 MiB each, once they are used.
#[derive(Debug, Default)]
pub(super) struct Sketches {
    classes: [Generations; 3],
}

impl Sketches {
    /// Counts a sighting of the key with this hash under a rule with this window; answers whether
    /// the key is to be taken up.
    pub(super) fn admits(&mut self, key: u64, window: Period, time: Timestamp) -> bool {
        let (class, length) = match window.secs() {
            0..=600 => (0, 600),
            601..=3600 => (1, 3600),
            _ => (2, 86_400),
        };
        self.classes[class].admits(key, time.secs() / (length / 2))
    }
}

impl Generations {
    fn admits(&mut self, key: u64, half: u64) -> bool {
        if self.now.is_empty() {
            (self.now, self.before) = (vec![0; DEPTH * WIDTH], vec![0; DEPTH * WIDTH]);
        }
        if self.half < half {
            std::mem::swap(&mut self.now, &mut self.before);
            self.now.fill(0);
            if self.half + 1 < half {
                self.before.fill(0);
            }
            self.half = half;
        }
        // Two hashes make the four places (Kirsch and Mitzenmacher, 2006).
        let (first, step) = (key as u32, (key >> 32) as u32 | 1);
        let place = |row: usize| {
            row * WIDTH + first.wrapping_add(step.wrapping_mul(row as u32)) as usize % WIDTH
        };
        let least = |counts: &[u8]| (0..DEPTH).map(|row| counts[place(row)]).min().unwrap_or(0);
        let count = least(&self.now).saturating_add(1);
        for row in 0..DEPTH {
            let one = &mut self.now[place(row)];
            *one = (*one).max(count);
        }
        ADMITTED <= count.saturating_add(least(&self.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Period = Period::from_secs(600);

    #[test]
    fn a_key_is_admitted_at_its_third_sighting_within_the_window() {
        let mut sketches = Sketches::default();
        let mut see = |second| sketches.admits(99, WINDOW, Timestamp::from_secs(second));
        assert!(!see(6000) && !see(6100) && see(6500));
        assert!(!see(7300) && !see(9000), "what is long ago does not count");
    }

    #[test]
    fn a_flood_of_single_keys_admits_few_of_them() {
        let mut sketches = Sketches::default();
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let time = Timestamp::from_secs(6000);
        let admitted =
            (0..1_000_000).filter(|n| sketches.admits(hasher.hash_one(n), WINDOW, time)).count();
        assert!(admitted < 350_000, "{admitted} of a million");
    }
}
