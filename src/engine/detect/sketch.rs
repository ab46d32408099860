//! Counts of values too many to remember: a Count-Min sketch with conservative update (Estan and
//! Varghese, 2002), in two generations that follow the window.
//!
//! While there is room every key is remembered and nothing is asked here. When room gets short a
//! new key is taken up only when each of its values has been seen [`ADMITTED`] times more than a
//! value that was never seen seems to have been. That is what makes a flood of values seen once
//! harmless: it lifts all estimates alike, and what comes again and again still stands out.
//!
//! Invariants: an estimate is never too low within a generation and the one before; an event counts
//! once for each of its values and lengths of windows, however many rules ask.

use crate::units::{Period, Timestamp};

/// Sightings above the usual that admit a value.
pub(super) const ADMITTED: u8 = 3;

const DEPTH: usize = 4;
const WIDTH: usize = 1 << 19;

/// Bytes that all sketches take together, once they are used.
pub(super) const BYTES_MAX: usize = 3 * 2 * DEPTH * WIDTH;

/// Asked-for values after which what is usual has forgotten the past.
const USUAL_OVER: f32 = 256.0;

/// How far estimates of values never seen spread around what is usual, as a share of it.
const SPREAD: f32 = 0.25;

/// Two generations of counts for windows of about one length.
#[derive(Debug, Default)]
struct Generations {
    half: u64,
    now: Vec<u8>,
    before: Vec<u8>,
    /// The estimate of a value that was never seen, on average.
    usual: f32,
}

/// Sketches for short, middle and long windows: 4 MiB each, once they are used.
#[derive(Debug, Default)]
pub(super) struct Sketches {
    classes: [Generations; 3],
    /// What was answered about the event at hand: value, length of window, answer.
    answers: Vec<(u64, usize, bool)>,
}

impl Sketches {
    /// What is asked from now on is about another event.
    #[inline]
    pub(super) fn next_event(&mut self) {
        self.answers.clear();
    }

    /// Counts a sighting of the value with this hash within a window of this length; answers
    /// whether it stands out.
    pub(super) fn admits(&mut self, value: u64, window: Period, time: Timestamp) -> bool {
        let (class, length) = match window.secs() {
            0..=600 => (0, 600),
            601..=3600 => (1, 3600),
            _ => (2, 86_400),
        };
        let known = self.answers.iter().find(|known| (known.0, known.1) == (value, class));
        if let Some((_, _, answer)) = known {
            return *answer;
        }
        let answer = self.classes[class].admits(value, time.secs() / (length / 2));
        self.answers.push((value, class, answer));
        answer
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.classes.iter().map(|class| class.now.len() + class.before.len()).sum()
    }
}

/// The places of a value: two hashes make all four (Kirsch and Mitzenmacher, 2006).
fn places(value: u64) -> [usize; DEPTH] {
    let (first, step) = (value as u32, (value >> 32) as u32 | 1);
    std::array::from_fn(|row| {
        row * WIDTH + first.wrapping_add(step.wrapping_mul(row as u32)) as usize % WIDTH
    })
}

fn least(counts: &[u8], places: &[usize; DEPTH]) -> u8 {
    places.iter().map(|place| counts[*place]).min().unwrap_or(0)
}

impl Generations {
    fn admits(&mut self, value: u64, half: u64) -> bool {
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
        // Nobody has this value: keyed hashes are spread evenly, and so are their opposites.
        let never_seen = self.estimate(&places(!value));
        self.usual += (f32::from(never_seen) - self.usual) / USUAL_OVER;
        let places = places(value);
        let count = least(&self.now, &places).saturating_add(1);
        for place in places {
            let one = &mut self.now[place];
            *one = (*one).max(count);
        }
        let enough = f32::from(ADMITTED) + self.usual * (1.0 + SPREAD);
        enough <= f32::from(self.estimate(&places))
    }

    fn estimate(&self, places: &[usize; DEPTH]) -> u8 {
        least(&self.now, places).saturating_add(least(&self.before, places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Period = Period::from_secs(600);

    #[test]
    fn a_key_is_admitted_at_its_third_sighting_within_the_window() {
        let mut sketches = Sketches::default();
        let mut see = |second| {
            sketches.next_event();
            sketches.admits(99, WINDOW, Timestamp::from_secs(second))
        };
        assert!(!see(6000) && !see(6100) && see(6500));
        assert!(!see(7300) && !see(9000), "what is long ago does not count");
    }

    #[test]
    fn an_event_counts_once_however_many_rules_ask() {
        let mut sketches = Sketches::default();
        let time = Timestamp::from_secs(6000);
        assert!((0..9).all(|_| !sketches.admits(99, WINDOW, time)));
    }

    #[test]
    fn a_flood_of_single_values_admits_few_of_them_and_hides_nobody() {
        let mut sketches = Sketches::default();
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let time = Timestamp::from_secs(6000);
        let (mut strangers, mut tries) = (0, 0);
        for n in 0..3_000_000_u64 {
            sketches.next_event();
            strangers += usize::from(sketches.admits(hasher.hash_one(n), WINDOW, time));
            // One comes again every ten thousandth time, from the middle on.
            if 1_500_000 < n && n % 10_000 == 0 && tries < 100 {
                tries += 1;
                if sketches.admits(hasher.hash_one("again"), WINDOW, time) {
                    break;
                }
            }
        }
        assert!(strangers < 30_000, "{strangers} of three million");
        assert!((1..20).contains(&tries), "found at the {tries}th sighting");
    }
}
