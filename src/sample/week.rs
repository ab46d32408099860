//! When ordinary lines are written: the rhythm of a site whose members work by day and log in on
//! Thursday evening.
//!
//! Invariant: times never run backwards, and exactly the wanted number of them is given out.

use super::random::Random;

const HOUR_MS: u64 = 3_600_000;

/// Lines per hour of a working day, relative to each other: a quiet night, two humps, a lunch.
const WORKING_DAY: [u64; 24] = [
    20, 14, 11, 10, 11, 18, 36, 72, 128, 168, 180, 172, 144, 158, 176, 168, 150, 132, 112, 100, 88,
    66, 46, 30,
];

/// The weekend has this share of a working day, in percent.
const WEEKEND_PERCENT: u64 = 38;

/// Hours (UTC) of Thursday in which members log in, and how busy they are.
const LOG_IN_EVENING: [(u64, u64); 4] = [(17, 240), (18, 460), (19, 520), (20, 300)];

/// Gives out the times of a number of lines.
#[derive(Debug)]
pub(super) struct Week {
    end: u64,
    lines: u64,
    given: u64,
    /// Weight of the whole span, and of what lies before `from`, in weight times milliseconds.
    total: u128,
    before: u128,
    /// The hour (or part of one) that is being filled, in milliseconds since 1970.
    from: u64,
    to: u64,
    /// Lines of this hour, and how many of them were given out.
    in_hour: u64,
    of_hour: u64,
}

impl Week {
    /// Spreads `lines` over `length` milliseconds from `start`, in milliseconds since 1970.
    pub(super) fn new(start: u64, length: u64, lines: u64) -> Self {
        let end = start.saturating_add(length.max(1));
        let mut week = Self {
            end,
            lines,
            given: 0,
            total: 0,
            before: 0,
            from: start,
            to: start,
            in_hour: 0,
            of_hour: 0,
        };
        let mut from = start;
        while from < end {
            let to = hour_end(from).min(end);
            week.total += weight_of(from, to);
            from = to;
        }
        week
    }

    /// Lines not given out yet.
    pub(super) fn left(&self) -> u64 {
        self.lines - self.given
    }

    /// The next time, in milliseconds since 1970.
    #[inline]
    pub(super) fn next_time(&mut self, random: &mut Random) -> Option<u64> {
        while self.of_hour == self.in_hour {
            if self.given == self.lines {
                return None;
            }
            self.next_hour();
        }
        let length = self.to - self.from;
        let within =
            u128::from(self.of_hour) * u128::from(length) + u128::from(random.below(length));
        self.of_hour += 1;
        self.given += 1;
        Some(self.from + (within / u128::from(self.in_hour)) as u64)
    }

    fn next_hour(&mut self) {
        assert!(self.to < self.end, "the last hour brings the last line");
        self.from = self.to;
        self.to = hour_end(self.from).min(self.end);
        self.before += weight_of(self.from, self.to);
        let due = (u128::from(self.lines) * self.before / self.total) as u64;
        self.in_hour = due - self.given;
        self.of_hour = 0;
    }
}

fn hour_end(ms: u64) -> u64 {
    (ms / HOUR_MS + 1) * HOUR_MS
}

/// Weight of a stretch within one hour.
fn weight_of(from: u64, to: u64) -> u128 {
    u128::from(weight(from)) * u128::from(to - from)
}

/// How busy the hour of `ms` is.
fn weight(ms: u64) -> u64 {
    let (weekday, hour) = weekday_and_hour(ms);
    let usual = WORKING_DAY[hour as usize];
    match weekday {
        0 => evening(hour).unwrap_or(usual),
        2 | 3 => usual * WEEKEND_PERCENT / 100,
        _ => usual,
    }
}

/// Whether members are logging in at `ms`.
pub(super) fn is_log_in_evening(ms: u64) -> bool {
    let (weekday, hour) = weekday_and_hour(ms);
    weekday == 0 && evening(hour).is_some()
}

fn evening(hour: u64) -> Option<u64> {
    LOG_IN_EVENING.iter().find(|(at, _)| *at == hour).map(|(_, weight)| *weight)
}

/// Days after the last Thursday, for 1970 began on one, and the hour of the day.
fn weekday_and_hour(ms: u64) -> (u64, u64) {
    let hours = ms / HOUR_MS;
    (hours / 24 % 7, hours % 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday, 16 November 2026, 00:00 UTC.
    const MONDAY: u64 = 1_794_787_200_000;
    const DAY_MS: u64 = 24 * HOUR_MS;

    fn times(start: u64, length: u64, lines: u64) -> Vec<u64> {
        let mut random = Random::new(7, 0);
        let mut week = Week::new(start, length, lines);
        std::iter::from_fn(|| week.next_time(&mut random)).collect()
    }

    #[test]
    fn every_line_gets_a_time_within_the_span_and_in_order() {
        for (length, lines) in [(0, 3), (1, 1), (999, 10), (HOUR_MS, 0), (7 * DAY_MS, 12_345)] {
            for start in [MONDAY, MONDAY + 1_234_567] {
                let times = times(start, length, lines);
                assert_eq!(lines, times.len() as u64);
                assert!(times.is_sorted());
                assert!(times.iter().all(|time| (start..start + length.max(1)).contains(time)));
            }
        }
    }

    #[test]
    fn thursday_evening_is_the_peak_and_sunday_is_quiet() {
        let times = times(MONDAY, 7 * DAY_MS, 100_000);
        let of_hour = |day: u64, hour: u64| {
            let from = MONDAY + day * DAY_MS + hour * HOUR_MS;
            times.iter().filter(|time| (from..from + HOUR_MS).contains(*time)).count()
        };
        let peak = of_hour(3, 19);
        assert!((0..7 * 24).all(|hour| of_hour(hour / 24, hour % 24) <= peak));
        assert!(of_hour(6, 10) * 2 < of_hour(1, 10));
        assert!(of_hour(1, 3) * 10 < of_hour(1, 10));
    }
}
