//! What is said of an hour, with all that went into it.

use super::budget::{Budget, weeks_between};
use super::series::Stage;
use super::tail::Counts;

/// How many hours are looked at together.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Scale {
    /// The hour alone.
    Hour,
    /// The last three hours.
    ThreeHours,
    /// The last twenty-four hours.
    Day,
}

/// All of them, from the shortest.
pub const SCALES: [Scale; 3] = [Scale::Hour, Scale::ThreeHours, Scale::Day];

impl Scale {
    /// Hours.
    pub fn hours(self) -> usize {
        match self {
            Self::Hour => 1,
            Self::ThreeHours => 3,
            Self::Day => 24,
        }
    }

    /// Its part of the budget.
    pub(super) fn share(self) -> f64 {
        match self {
            Self::Hour => 0.4,
            Self::ThreeHours | Self::Day => 0.3,
        }
    }

    /// Sums that overlap tell the same thing again: tests in a week that do not.
    pub(super) fn tests_per_week(self) -> f64 {
        match self {
            Self::Hour => 168.0,
            Self::ThreeHours => 84.0,
            Self::Day => 21.0,
        }
    }

    /// The dispersion that is taken for granted before anything is known.
    pub(super) fn usual_dispersion(self) -> f64 {
        match self {
            Self::Hour => 0.10,
            Self::ThreeHours => 0.05,
            Self::Day => 0.03,
        }
    }
}

/// Which end of what is usual.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tail {
    /// Too much.
    High,
    /// Too little.
    Low,
}

impl Tail {
    /// Its part of the budget.
    pub(super) fn share(self) -> f64 {
        match self {
            Self::High => 0.6,
            Self::Low => 0.4,
        }
    }

    /// The difference is large enough to be of interest to somebody, however sure it is.
    pub(super) fn matters(self, count: f64, expected: f64) -> bool {
        match self {
            Self::High => f64::max(5.0, 0.3 * expected) <= count - expected,
            Self::Low => f64::max(5.0, 0.4 * expected) <= expected - count,
        }
    }
}

/// What is usual: nineteen of twenty counts lie within.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// The smallest usual count.
    pub low: f64,
    /// The largest usual count.
    pub high: f64,
}

/// A count, held against what was expected of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    /// The hours that were added up.
    pub scale: Scale,
    /// What was asked: too much, or too little.
    pub tail: Tail,
    /// What was counted.
    pub count: f64,
    /// What was expected.
    pub expected: f64,
    /// How much counts vary beyond chance: variance = mean + dispersion × mean².
    pub dispersion: f64,
    /// How unlikely a count at least as odd is: −ln p of the negative binomial distribution.
    pub score: f64,
    /// How unlikely it must be for an alarm.
    pub threshold: f64,
    /// How much heavier the tail of this series is than the distribution's: 1 if it is not.
    pub heaviness: f64,
    /// It was asked, the difference matters, and the score is above the threshold.
    pub is_alarm: bool,
}

impl Test {
    /// The score, tail considered, in units of the threshold: 1 is as odd as an alarm.
    pub fn oddness(&self) -> f64 {
        if self.threshold <= 0.0 { 0.0 } else { self.score / self.threshold }
    }

    /// The probability of a count at least as odd.
    pub fn p(&self) -> f64 {
        (-self.score).exp()
    }

    /// By chance, about once in so many weeks a test like this one finds something at least as
    /// odd.
    pub fn weeks_between(&self) -> f64 {
        weeks_between(lighter(self.score, self.heaviness), self.scale, self.tail)
    }

    /// The smallest count that would be an alarm for too much.
    pub fn alarm_from(&self) -> f64 {
        let rare = Counts::new(self.expected, self.dispersion).upper((-self.threshold).exp()) + 1.0;
        let matters = self.expected + f64::max(5.0, 0.3 * self.expected);
        rare.max(matters.ceil())
    }

    /// What is usual.
    pub fn band(&self) -> Band {
        let counts = Counts::new(self.expected, self.dispersion);
        Band { low: counts.lower(0.025), high: counts.upper(0.025) }
    }
}

/// From this score on the weight of the tail is watched: about one hour in twenty.
pub(super) const TAIL_FROM: f64 = 3.0;

/// The threshold of `budget` for a tail that is heavier than the distribution's.
pub(super) fn heavier(budget: Budget, scale: Scale, tail: Tail, heaviness: f64) -> f64 {
    let threshold = budget.threshold(scale, tail);
    threshold + (heaviness - 1.0) * (threshold - TAIL_FROM).max(0.0)
}

/// The score that is as rare under the distribution as `score` is under the heavier tail.
fn lighter(score: f64, heaviness: f64) -> f64 {
    score.min(TAIL_FROM) + (score - TAIL_FROM).max(0.0) / heaviness
}

/// What is said of an hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// How much the series has learnt.
    pub stage: Stage,
    /// For each scale too much and too little.
    pub tests: [Test; 6],
}

impl Verdict {
    /// The oddest of the tests that raise an alarm.
    pub fn alarm(&self) -> Option<&Test> {
        let alarms = self.tests.iter().filter(|test| test.is_alarm);
        alarms.max_by(|a, b| a.oddness().total_cmp(&b.oddness()))
    }

    /// The test of the hour alone for too much, which has its expectation and band.
    pub fn hour(&self) -> &Test {
        &self.tests[0]
    }

    /// How odd the hour is: 1 is as odd as an alarm.
    pub fn oddness(&self) -> f64 {
        let matters = |test: &&Test| test.tail.matters(test.count, test.expected);
        let oddness = self.tests.iter().filter(matters).map(Test::oddness);
        oddness.fold(0.0, f64::max)
    }
}
