//! What a series has learnt, and how it judges an hour.
//!
//! The expectation of an hour is what its slot of the week usually holds, times the level that
//! the whole series has come to, times what is left of it on a holiday:
//! `μ = m[slot] × exp(level) × holiday`. Each scale has a dispersion of its own, so that hours
//! that depend on their neighbours need no model of their own.

use super::budget::{Budget, tests};
use super::tail::Counts;
use super::verdict::{SCALES, Scale, TAIL_FROM, Tail, Test, Verdict, heavier};

/// Hours of a week; slot 0 is the first hour of Monday.
pub const SLOTS: usize = 168;

/// Hours that are remembered one by one.
pub(super) const RECENT: usize = 24;

/// What an earlier week still counts after each new one: ten weeks in the long run.
const MEMORY_OF_WEEKS: f64 = 0.9;

/// Weeks that the guess from weekday and hour counts as.
const PRIOR_WEEKS: f64 = 1.0;

/// How fast the level follows a day, and how far it lets one day pull it, in log units.
const LEVEL_RATE: f64 = 0.08;
const LEVEL_PULL_MAX: f64 = 0.35;

/// The level stays between these: ten thousand times less, or more, than the slots say.
const LEVEL_MAX: f64 = 9.2;

/// Added to both sides of a ratio, so that few events say little.
const RATIO_CALM: f64 = 5.0;

/// What an earlier hour still tells of the dispersion after each new one: half after four weeks.
const MEMORY_OF_DISPERSION: f64 = 0.998_969;

/// What the usual dispersion counts as, in hours of full weight.
const DISPERSION_PRIOR: f64 = 8.0;
const DISPERSION: (f64, f64) = (0.003, 2.0);

/// Counts further off teach no more about dispersion, in standard deviations.
const RESIDUAL_REACH: f64 = 4.0;

/// What comes comes one by one until so many events have told otherwise; and at most so many at
/// once.
const CLUMPING_PRIOR: f64 = 20.0;
const CLUMPING_MAX: f64 = 10.0;

/// The excess of scores above [`TAIL_FROM`]: memory, prior, when it is believed, and its bounds.
const MEMORY_OF_TAIL: f64 = 0.9985;
const TAIL_PRIOR: f64 = 10.0;
const TAIL_BELIEVED_FROM: f64 = 15.0;
const EXCESS_MAX: f64 = 4.0;
const HEAVINESS_MAX: f64 = 2.5;

/// Counts beyond this are taken for it: a sum of them is still exact.
const COUNT_MAX: f64 = 1e15;

/// What is added to thresholds for each incident of a series that has too many of them, in nats.
const QUIET_STEP: f64 = 1.0;
const QUIET_MAX: f64 = 60.0;

/// A series has too many incidents from so many in four weeks on, and from so many times its budget.
const IRREGULAR_INCIDENTS: u32 = 4;
const IRREGULAR_TIMES: f64 = 3.0;

/// Alarms no further apart belong to one incident.
const INCIDENT_HOURS: u32 = 6;

/// An hour, and what the calendar says of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hour {
    /// Hours since 1970 in UTC, so that no hour is there twice when clocks change.
    pub number: u32,
    /// Hour of the week on the clocks of the place, less than [`SLOTS`].
    pub slot: usize,
    /// Nobody is missed on this day.
    pub is_holiday: bool,
}

/// How much a series has learnt.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// Less than two weeks: it only learns.
    Learning,
    /// Less than four weeks: what it says is for the report.
    Provisional,
    /// It may raise alarms.
    Ready,
}

/// A sum with the weight of what was added.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mean {
    pub(super) sum: f64,
    pub(super) weight: f64,
}

impl Mean {
    fn decay(&mut self, memory: f64) {
        self.sum *= memory;
        self.weight *= memory;
    }

    fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    /// The mean, where `prior` counts as much as `weight`.
    fn with(&self, prior: f64, weight: f64) -> f64 {
        (self.sum + prior * weight) / (self.weight + weight)
    }
}

/// One of the last hours.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Recent {
    pub(super) count: f32,
    pub(super) expected: f32,
}

/// A count an hour, and what is usual of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// For each slot the sum of what was counted, the level taken out, and the weight of it.
    pub(super) sums: [f32; SLOTS],
    pub(super) weights: [f32; SLOTS],
    /// Slots that raised an alarm when they were last seen.
    pub(super) flagged: [u64; 3],
    /// The last hours, the newest at `number % 24`.
    pub(super) recent: [Recent; RECENT],
    /// For each of `recent` whether it was a holiday, and whether it raised an alarm.
    pub(super) holidays: u32,
    pub(super) alarms: u32,
    /// The newest hour, and its slot.
    pub(super) newest: u32,
    pub(super) slot: u8,
    /// Hours learnt.
    pub(super) hours: u32,
    /// Logarithm of the level.
    pub(super) level: f64,
    /// Count and expectation of the day so far.
    pub(super) day: [f64; 2],
    /// What is left on a holiday: counts to expectations.
    pub(super) holiday: Mean,
    /// Dispersion by scale.
    pub(super) dispersion: [Mean; 3],
    /// Variance to expectation where few are expected, by scale.
    pub(super) clumping: [Mean; 3],
    /// Mean excess of scores, by scale, too much and too little.
    pub(super) excess: [[Mean; 2]; 3],
    /// Incidents in this and the three weeks before, and the week they are counted by.
    pub(super) incidents: [u8; 4],
    pub(super) week: u32,
    /// The last hour that raised an alarm.
    pub(super) last_alarm: u32,
    /// Added to the thresholds for too much while the series is too irregular, in nats.
    pub(super) quiet: f64,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            sums: [0.0; SLOTS],
            weights: [0.0; SLOTS],
            flagged: [0; 3],
            recent: [Recent::default(); RECENT],
            holidays: 0,
            alarms: 0,
            newest: 0,
            slot: 0,
            hours: 0,
            level: 0.0,
            day: [0.0; 2],
            holiday: Mean::default(),
            dispersion: [Mean::default(); 3],
            clumping: [Mean::default(); 3],
            excess: [[Mean::default(); 2]; 3],
            incidents: [0; 4],
            week: 0,
            last_alarm: 0,
            quiet: 0.0,
        }
    }
}

impl Series {
    /// Judges an hour that is over, then learns from it. None for an hour that is not after all
    /// that were seen.
    pub fn observe(&mut self, hour: Hour, count: u64, budget: Budget) -> Option<Verdict> {
        let slot = hour.slot;
        if SLOTS <= slot || (self.hours != 0 && hour.number <= self.newest) {
            return None;
        }
        let count = (count as f64).min(COUNT_MAX);
        self.turn_to(hour);
        let stage = self.stage();
        let usual = self.usual(slot);
        let expected = self.expected(hour);
        self.push(hour, count, expected);
        let verdict = Verdict { stage, tests: self.tests(slot, budget) };
        let alarm = verdict.alarm().is_some();
        self.learn_spread(slot, &verdict, alarm);
        self.learn_slot(hour, count, (usual, expected), alarm);
        self.note_alarm(hour, alarm, budget);
        self.hours = self.hours.saturating_add(1);
        Some(verdict)
    }

    /// Judges the hour that goes on, of which `elapsed` (0 to 1) is over, for too much only: what
    /// is missing may still come. Learns nothing.
    pub fn look(&self, hour: Hour, count: u64, elapsed: f64, budget: Budget) -> Option<Test> {
        if SLOTS <= hour.slot || hour.number <= self.newest || self.stage() == Stage::Learning {
            return None;
        }
        let share = if elapsed.is_finite() { elapsed.clamp(1.0 / 60.0, 1.0) } else { 1.0 };
        let expected = self.expected(hour) * share;
        let sum = ((count as f64).min(COUNT_MAX), expected);
        let test = self.test((Scale::Hour, Tail::High), sum, hour.slot, true, budget);
        // Twelve looks an hour are about four that tell different things.
        let threshold = test.threshold + 4f64.ln();
        let is_alarm = test.is_alarm && threshold < test.score;
        Some(Test { threshold, is_alarm, ..test })
    }

    /// How much was learnt.
    pub fn stage(&self) -> Stage {
        match self.hours as usize {
            0..336 => Stage::Learning,
            336..672 => Stage::Provisional,
            _ => Stage::Ready,
        }
    }

    /// Hours learnt.
    pub fn hours(&self) -> u32 {
        self.hours
    }

    /// The newest hour that was learnt.
    pub fn newest(&self) -> Option<u32> {
        (self.hours != 0).then_some(self.newest)
    }

    /// It raises so many alarms that its budget means nothing: it has become harder to alarm.
    pub fn is_too_irregular(&self, budget: Budget) -> bool {
        let incidents = self.incidents.iter().map(|count| u32::from(*count)).sum::<u32>();
        IRREGULAR_INCIDENTS <= incidents
            && IRREGULAR_TIMES * 4.0 * budget.alarms() < f64::from(incidents)
    }

    /// What is expected of `hour`.
    pub fn expected(&self, hour: Hour) -> f64 {
        let holiday =
            if hour.is_holiday { self.holiday.with(1.0, 0.1).clamp(0.01, 10.0) } else { 1.0 };
        (self.usual(hour.slot % SLOTS) * self.level.exp() * holiday).min(COUNT_MAX)
    }

    /// What `hour` would be judged by if it counted as expected: its band, and how sure that is.
    pub fn outlook(&self, hour: Hour, budget: Budget) -> Test {
        let expected = self.expected(hour);
        let slot = hour.slot % SLOTS;
        self.test((Scale::Hour, Tail::High), (expected, expected), slot, true, budget)
    }

    /// The mean of a slot, the level taken out.
    fn usual(&self, slot: usize) -> f64 {
        let own = Mean { sum: self.sums[slot].into(), weight: self.weights[slot].into() };
        own.with(self.guess(slot), PRIOR_WEEKS).max(0.0)
    }

    /// What the weekday and the hour of the day alone would make of a slot.
    fn guess(&self, slot: usize) -> f64 {
        let mean = |slots: &mut dyn Iterator<Item = usize>| {
            let mut mean = Mean::default();
            slots.for_each(|slot| {
                mean.sum += f64::from(self.sums[slot]);
                mean.weight += f64::from(self.weights[slot]);
            });
            (0.0 < mean.weight).then(|| mean.sum / mean.weight)
        };
        let Some(all) = mean(&mut (0..SLOTS)) else { return 0.0 };
        let day = slot - slot % 24;
        let by_day = mean(&mut (day..day + 24)).unwrap_or(all);
        let by_hour = mean(&mut (slot % 24..SLOTS).step_by(24)).unwrap_or(all);
        if all <= 0.0 { 0.0 } else { by_day * by_hour / all }
    }

    /// Weeks that tell about a slot.
    fn weeks_of(&self, slot: usize) -> f64 {
        f64::from(self.weights[slot]).max(0.5)
    }

    /// Passes over the hours of which nothing is known, and ends the day that is over.
    fn turn_to(&mut self, hour: Hour) {
        if self.hours == 0 {
            self.newest = hour.number.saturating_sub(1);
            self.slot = hour.slot as u8;
            self.week = hour.number / SLOTS as u32;
        }
        let gap = (hour.number - self.newest - 1).min(RECENT as u32);
        for back in 1..=gap {
            let at = (hour.number - back) as usize % RECENT;
            self.recent[at] = Recent::default();
            self.holidays &= !(1 << at);
            self.alarms &= !(1 << at);
        }
        if hour.slot / 24 != usize::from(self.slot) / 24 || gap == RECENT as u32 {
            let [count, expected] = std::mem::take(&mut self.day);
            let pull = ((count + RATIO_CALM) / (expected + RATIO_CALM)).ln();
            let pull = pull.clamp(-LEVEL_PULL_MAX, LEVEL_PULL_MAX);
            if self.stage() != Stage::Learning {
                self.level = (self.level + LEVEL_RATE * pull).clamp(-LEVEL_MAX, LEVEL_MAX);
            }
        }
        let week = hour.number / SLOTS as u32;
        for _ in 0..week.saturating_sub(self.week).min(4) {
            self.incidents.rotate_right(1);
            self.incidents[0] = 0;
        }
        self.week = week;
        self.newest = hour.number;
        self.slot = hour.slot as u8;
    }

    fn push(&mut self, hour: Hour, count: f64, expected: f64) {
        let at = hour.number as usize % RECENT;
        self.recent[at] = Recent { count: count as f32, expected: expected as f32 };
        self.holidays = (self.holidays & !(1 << at)) | (u32::from(hour.is_holiday) << at);
        self.alarms &= !(1 << at);
    }

    /// The last hours of `scale`, the newest first, as places in `recent`.
    fn last(&self, scale: Scale) -> impl Iterator<Item = usize> {
        let newest = self.newest as usize + RECENT;
        (0..scale.hours()).map(move |back| (newest - back) % RECENT)
    }

    /// Count and expectation of the last hours.
    fn sum(&self, scale: Scale) -> (f64, f64) {
        self.last(scale).map(|at| self.recent[at]).fold((0.0, 0.0), |sum, hour| {
            (sum.0 + f64::from(hour.count), sum.1 + f64::from(hour.expected))
        })
    }

    fn tests(&self, slot: usize, budget: Budget) -> [Test; 6] {
        let mut all = tests().map(|(scale, tail)| {
            // On a holiday nobody is missed.
            let mut last = self.last(scale);
            let asked = tail == Tail::High || last.all(|at| self.holidays & (1 << at) == 0);
            let asked = asked && self.stage() != Stage::Learning;
            self.test((scale, tail), self.sum(scale), slot, asked, budget)
        });
        std::array::from_fn(|_| all.next().expect("six tests"))
    }

    fn test(
        &self,
        (scale, tail): (Scale, Tail),
        (count, expected): (f64, f64),
        slot: usize,
        asked: bool,
        budget: Budget,
    ) -> Test {
        let dispersion = self.predictive(scale, slot, expected);
        let counts = Counts::new(expected, dispersion);
        let p = match tail {
            Tail::High => counts.at_least(count),
            Tail::Low => counts.at_most(count),
        };
        let heaviness = self.heaviness(scale, tail);
        let quiet = if tail == Tail::High { self.quiet } else { 0.0 };
        let threshold = heavier(budget, scale, tail, heaviness) + quiet;
        let score = -p.ln();
        let is_alarm = asked && threshold <= score && tail.matters(count, expected);
        Test { scale, tail, count, expected, dispersion, score, threshold, heaviness, is_alarm }
    }

    /// The dispersion of a scale.
    fn spread(&self, scale: Scale) -> f64 {
        let learnt = self.dispersion[scale as usize];
        let prior = scale.usual_dispersion();
        learnt.with(prior, DISPERSION_PRIOR).clamp(DISPERSION.0, DISPERSION.1)
    }

    /// How many events of a scale come at once: people try again.
    fn clump(&self, scale: Scale) -> f64 {
        self.clumping[scale as usize].with(1.0, CLUMPING_PRIOR).clamp(1.0, CLUMPING_MAX)
    }

    /// The dispersion with clumps, and with what is not known about the expectation itself.
    fn predictive(&self, scale: Scale, slot: usize, expected: f64) -> f64 {
        let clumps = (self.clump(scale) - 1.0) / expected.max(0.01);
        let spread = self.spread(scale) + clumps;
        let hours = scale.hours() as f64;
        let known = self.weeks_of(slot) * if scale == Scale::Hour { 1.0 } else { hours / 2.0 };
        spread + (spread + 1.0 / expected.max(0.01)) / known
    }

    fn heaviness(&self, scale: Scale, tail: Tail) -> f64 {
        let excess = self.excess[scale as usize][tail as usize];
        if excess.weight < TAIL_BELIEVED_FROM {
            return 1.0;
        }
        excess.with(1.0, TAIL_PRIOR).clamp(1.0, HEAVINESS_MAX)
    }

    /// Learns how much counts vary, and how heavy the tails are.
    fn learn_spread(&mut self, slot: usize, verdict: &Verdict, alarm: bool) {
        let weeks = self.weeks_of(slot);
        let has_learnt = 0.5 <= self.weights[slot];
        for scale in SCALES {
            let odd = self.alarms | self.holidays;
            let is_clean = !alarm && self.last(scale).all(|at| odd & (1 << at) == 0);
            let number = scale as usize;
            self.dispersion[number].decay(MEMORY_OF_DISPERSION);
            self.clumping[number].decay(MEMORY_OF_DISPERSION);
            for tail in [Tail::High, Tail::Low] {
                self.excess[number][tail as usize].decay(MEMORY_OF_TAIL);
            }
            let high = &verdict.tests[2 * number];
            if is_clean && has_learnt && 0.0 < high.expected {
                let (spread, clump) = (self.spread(scale), self.clump(scale));
                let squared = residual_of(high, weeks).powi(2);
                let expected = high.expected;
                // Where few are expected chance hides the dispersion, and where many are it hides
                // the clumps.
                let beyond = spread * expected;
                // Sums that overlap tell the same thing again.
                let fresh = scale.tests_per_week() / SLOTS as f64;
                let weight = fresh * (beyond / (1.0 + beyond)).powi(2);
                let value = (squared - clump * expected) / (expected * expected);
                self.dispersion[number].add(value, weight);
                let weight = fresh * (1.0 / (1.0 + beyond)).powi(2);
                self.clumping[number].sum += weight * (squared - beyond * expected).max(0.0);
                self.clumping[number].weight += weight * expected;
            }
            if verdict.stage == Stage::Learning {
                continue;
            }
            for test in &verdict.tests[2 * number..2 * number + 2] {
                if TAIL_FROM < test.score {
                    let excess = (test.score - TAIL_FROM).min(EXCESS_MAX);
                    self.excess[number][test.tail as usize].add(excess, 1.0);
                }
            }
        }
    }

    /// Learns what the slot holds. What raised an alarm teaches nothing, until it comes again in
    /// the week after: a new habit is accepted then, an attack never at once.
    fn learn_slot(&mut self, hour: Hour, count: f64, (usual, expected): (f64, f64), alarm: bool) {
        let slot = hour.slot;
        let (word, bit) = (slot / 64, 1u64 << (slot % 64));
        let is_new_habit = alarm && self.flagged[word] & bit != 0;
        self.flagged[word] = (self.flagged[word] & !bit) | if alarm { bit } else { 0 };
        if hour.is_holiday {
            if !alarm || count < expected {
                self.holiday.decay(0.98);
                let plain = usual * self.level.exp();
                self.holiday.sum += count;
                self.holiday.weight += plain;
            }
            return;
        }
        let level = self.level.exp();
        let learnt = if is_new_habit {
            count.clamp(0.3 * expected, 3.0 * expected)
        } else if alarm {
            expected
        } else if self.weights[slot] < 0.5 {
            count
        } else {
            let dispersion = self.predictive(Scale::Hour, slot, expected);
            let reach = 2.5 * Counts::new(expected, dispersion).deviation();
            count.clamp((expected - reach).max(0.0), expected + reach)
        };
        let taught = f64::from(self.sums[slot]) * MEMORY_OF_WEEKS + learnt / level;
        self.sums[slot] = taught.min(1e30) as f32;
        self.weights[slot] = (f64::from(self.weights[slot]) * MEMORY_OF_WEEKS + 1.0) as f32;
        self.day[0] += if alarm { expected } else { count };
        self.day[1] += expected;
    }

    fn note_alarm(&mut self, hour: Hour, alarm: bool, budget: Budget) {
        self.quiet = (self.quiet - QUIET_STEP * budget.alarms() / SLOTS as f64).max(0.0);
        if !alarm {
            return;
        }
        self.alarms |= 1 << (hour.number as usize % RECENT);
        let is_new = self.last_alarm == 0 || self.last_alarm + INCIDENT_HOURS < hour.number;
        self.last_alarm = hour.number;
        if is_new {
            self.incidents[0] = self.incidents[0].saturating_add(1);
            if self.is_too_irregular(budget) {
                self.quiet = (self.quiet + QUIET_STEP).min(QUIET_MAX);
            }
        }
    }
}

/// How far a count is off, without what is not known about its expectation.
fn residual_of(test: &Test, weeks: f64) -> f64 {
    let reach = RESIDUAL_REACH * Counts::new(test.expected, test.dispersion).deviation();
    (test.count - test.expected).clamp(-reach, reach) / (1.0 + 1.0 / weeks).sqrt()
}

#[cfg(test)]
mod tests;
