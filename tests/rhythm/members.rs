//! Members who mistype and forget their passwords, and somebody who guesses them.
//!
//! One log-in each on Thursday evening; three in ten sit behind one address. What fails comes in
//! clumps of one person, which is why counts are capped before the rhythm sees them.

use crate::chance::Chance;
use crate::site::{Case, DAY, Event, Happening, THURSDAY, WEEK};

/// Failures of one client and user that count within an hour from the first.
pub(crate) const CAP: usize = 3;

/// Somebody who guesses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guesser {
    /// Guesses an hour.
    pub(crate) rate: f64,
    /// Each from an address of its own, and of another user.
    pub(crate) is_spread: bool,
    /// Hours that it goes on.
    pub(crate) hours: usize,
}

/// Weeks of a case, and those that are for learning only.
const WEEKS: usize = 10;
const TRAIN_WEEKS: usize = 4;

/// The failed log-ins of `members`, hour by hour, and of a guesser from some hour of the second
/// week that is judged on.
pub(crate) fn case(
    members: u64,
    guesser: Option<Guesser>,
    cap: usize,
    chance: &mut Chance,
) -> Case {
    let mut counts = vec![0; WEEKS * WEEK];
    for week in 0..WEEKS {
        for _ in 0..members {
            for minute in capped(failures_of_a_week(chance), cap) {
                counts[(week * WEEK + minute / 60).min(WEEKS * WEEK - 1)] += 1;
            }
        }
    }
    let mut events = Vec::new();
    if let Some(guesser) = guesser {
        let from = (TRAIN_WEEKS + 1) * WEEK + chance.pick(0, WEEK);
        let to = from + guesser.hours;
        for count in &mut counts[from..to] {
            let guesses = chance.poisson(guesser.rate);
            *count += if guesser.is_spread { guesses } else { guesses.min(cap as u64) };
        }
        events.push(Event { what: Happening::SlowGuessing, from, to });
    }
    Case { counts, events, train: TRAIN_WEEKS * WEEK }
}

/// The failures that count, of those of one member and week: the client goes with the member.
fn capped(failures: Vec<usize>, cap: usize) -> Vec<usize> {
    let (mut first, mut counted) = (None, 0);
    let counts = |minute: &usize| {
        if first.is_none_or(|first| first + 60 <= *minute) {
            (first, counted) = (Some(*minute), 0);
        }
        counted += 1;
        counted <= cap
    };
    failures.into_iter().filter(counts).collect()
}

/// The minutes of the week at which a member fails to log in.
fn failures_of_a_week(chance: &mut Chance) -> Vec<usize> {
    if chance.happens(0.1) {
        return Vec::new();
    }
    // Most come on Thursday evening, some during the day, a few on other days.
    let hour = match chance.between(0.0, 1.0) {
        0.0..0.70 => THURSDAY + chance.pick(17, 22),
        0.70..0.90 => THURSDAY + chance.pick(8, 17),
        _ => chance.pick(0, 7) * DAY + chance.pick(8, 23),
    };
    let minute = hour * 60 + chance.pick(0, 60);
    let mut times = 0;
    while times < 4 && chance.happens(0.06) {
        times += 1;
    }
    if chance.happens(0.015) {
        // Forgotten: again and again.
        times += chance.scale(2.0, 25.0) as usize;
    }
    (0..times).map(|n| minute + 2 * n).collect()
}
