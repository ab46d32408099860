//! How many false alarms one is ready to have.

use super::verdict::{SCALES, Scale, Tail};

/// False alarms a week that a series may raise by chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    per_week: f64,
}

/// Less than one in twenty thousand years, or more than one an hour, is no budget.
const PER_WEEK: (f64, f64) = (1e-6, 168.0);

impl Budget {
    /// So many a week for one series.
    pub fn per_week(alarms: f64) -> Self {
        let alarms = if alarms.is_nan() { PER_WEEK.0 } else { alarms };
        Self { per_week: alarms.clamp(PER_WEEK.0, PER_WEEK.1) }
    }

    /// The part of each of `series`, where all of them together have `self`.
    pub fn divided(self, series: usize) -> Self {
        Self::per_week(self.per_week / series.max(1) as f64)
    }

    /// Alarms a week.
    pub fn alarms(self) -> f64 {
        self.per_week
    }

    /// How unlikely, as −ln p, a count must be for an alarm of `tail` over `scale`.
    pub(super) fn threshold(self, scale: Scale, tail: Tail) -> f64 {
        -(self.per_week * part(scale, tail)).min(1.0).ln()
    }
}

/// Once in so many weeks a test over `scale` finds something at least as odd as `score` by chance.
pub(super) fn weeks_between(score: f64, scale: Scale, tail: Tail) -> f64 {
    part(scale, tail) * score.exp()
}

/// A test's part of the budget, by the number of tests in a week that tell different things.
fn part(scale: Scale, tail: Tail) -> f64 {
    tail.share() * scale.share() / scale.tests_per_week()
}

/// All tests of an hour.
pub(super) fn tests() -> impl Iterator<Item = (Scale, Tail)> {
    SCALES.into_iter().flat_map(|scale| [(scale, Tail::High), (scale, Tail::Low)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_tests_add_up_to_the_budget() {
        let budget = Budget::per_week(1.0).divided(10);
        let alarms = |(scale, tail): (Scale, Tail)| {
            scale.tests_per_week() * (-budget.threshold(scale, tail)).exp()
        };
        assert!((tests().map(alarms).sum::<f64>() - 0.1).abs() < 1e-12);
        for (scale, tail) in tests() {
            let weeks = weeks_between(budget.threshold(scale, tail), scale, tail);
            assert!((weeks - 10.0).abs() < 1e-9, "at the threshold it is once in 1/budget weeks");
        }
    }

    #[test]
    fn nonsense_is_no_budget() {
        for alarms in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            let budget = Budget::per_week(alarms).divided(0);
            assert!(tests().all(|(scale, tail)| budget.threshold(scale, tail).is_finite()));
        }
    }
}
