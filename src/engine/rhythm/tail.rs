//! How likely a count is: tails of the negative binomial distribution.
//!
//! Counts of things that people do vary more than chance alone would have them: the variance is
//! `mean + dispersion × mean²`. Both tails are regularised incomplete beta functions, so an alarm
//! can be checked with any statistics program.
//!
//! Invariant: every probability lies between [`P_MIN`] and 1, whatever the numbers.

use statrs::function::beta::checked_beta_reg;
use statrs::function::gamma::{checked_gamma_lr, checked_gamma_ur};

/// Nothing is told to be less likely: floating-point numbers end here.
pub(super) const P_MIN: f64 = 1e-290;

/// From this mean on a gamma distribution of the same mean and variance stands for it: the beta
/// function's continued fraction would take ever longer.
const MEAN_OF_LIMIT: f64 = 20_000.0;

/// Smallest mean that is calculated with: a slot in which nothing ever happened.
const MEAN_MIN: f64 = 1e-6;

/// A negative binomial distribution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    mean: f64,
    dispersion: f64,
}

impl Counts {
    pub(super) fn new(mean: f64, dispersion: f64) -> Self {
        Self { mean: mean.max(MEAN_MIN), dispersion: dispersion.clamp(1e-6, 1e6) }
    }

    /// Standard deviation.
    pub(super) fn deviation(self) -> f64 {
        (self.mean + self.dispersion * self.mean * self.mean).sqrt()
    }

    /// P(Y ≥ count).
    pub(super) fn at_least(self, count: f64) -> f64 {
        if count < 0.5 {
            return 1.0;
        }
        let shape = 1.0 / self.dispersion;
        let p = if self.mean < MEAN_OF_LIMIT {
            let excess = self.dispersion * self.mean;
            checked_beta_reg(count, shape, excess / (1.0 + excess)).ok()
        } else {
            let shape = self.shape_of_limit();
            checked_gamma_ur(shape, (count - 0.5) * shape / self.mean).ok()
        };
        bounded(p)
    }

    /// P(Y ≤ count).
    pub(super) fn at_most(self, count: f64) -> f64 {
        let shape = 1.0 / self.dispersion;
        let p = if self.mean < MEAN_OF_LIMIT {
            let excess = self.dispersion * self.mean;
            checked_beta_reg(shape, count.max(0.0) + 1.0, 1.0 / (1.0 + excess)).ok()
        } else {
            let shape = self.shape_of_limit();
            checked_gamma_lr(shape, (count.max(0.0) + 0.5) * shape / self.mean).ok()
        };
        bounded(p)
    }

    fn shape_of_limit(self) -> f64 {
        1.0 / (self.dispersion + 1.0 / self.mean)
    }

    /// The smallest count that is exceeded with a probability of less than `p`.
    pub(super) fn upper(self, p: f64) -> f64 {
        let is_rare = |count: f64| self.at_least(count + 1.0) < p;
        first(self.mean + 10.0 * self.deviation() + 10.0, is_rare)
    }

    /// The largest count that is undercut with a probability of less than `p`.
    pub(super) fn lower(self, p: f64) -> f64 {
        let is_common = |count: f64| p <= self.at_most(count);
        first(self.mean + 1.0, is_common)
    }
}

fn bounded(p: Option<f64>) -> f64 {
    // A function that gives up raises no alarm.
    p.filter(|p| p.is_finite()).map_or(1.0, |p| p.clamp(P_MIN, 1.0))
}

/// The smallest whole number up to `limit` of which `holds` is true; it is true of all above it.
fn first(limit: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut below, mut above) = (-1.0, limit.ceil());
    while !holds(above) && above < 1e18 {
        (below, above) = (above, above * 2.0);
    }
    while 1.0 < above - below {
        let middle = ((below + above) / 2.0).floor();
        if middle <= below || above <= middle {
            break;
        }
        if holds(middle) { above = middle } else { below = middle }
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distribution by its definition: each probability from the one before.
    fn by_hand(mean: f64, dispersion: f64, count: u32) -> (f64, f64) {
        let shape = 1.0 / dispersion;
        let rate = mean / (mean + shape);
        let mut p = (-shape * (dispersion * mean).ln_1p()).exp();
        let (mut at_most, mut below) = (0.0, 0.0);
        for k in 0..=count {
            if k == count {
                below = at_most;
            }
            at_most += p;
            p *= (f64::from(k) + shape) / f64::from(k + 1) * rate;
        }
        (1.0 - below, at_most)
    }

    #[test]
    fn the_tails_are_those_of_the_definition() {
        for mean in [0.02, 0.5, 3.0, 40.0, 700.0] {
            for dispersion in [0.003, 0.05, 0.5, 2.0] {
                let counts = Counts::new(mean, dispersion);
                for share in [0.0, 0.3, 0.8, 1.0, 1.3, 2.0] {
                    let count = (mean * share + 2.0 * share).floor();
                    let (least, most) = by_hand(mean, dispersion, count as u32);
                    let at_least = counts.at_least(count);
                    let at_most = counts.at_most(count);
                    let case = format!("{mean} {dispersion} {count}");
                    assert!((least - at_least).abs() < 1e-9, "{case}: {least} {at_least}");
                    assert!((most - at_most).abs() < 1e-9, "{case}: {most} {at_most}");
                }
            }
        }
    }

    #[test]
    fn far_tails_are_small_and_not_zero() {
        // (1 + 0.05 × 100)^(−20), by hand.
        let none = Counts::new(100.0, 0.05).at_most(0.0);
        assert!((none / 6f64.powi(-20) - 1.0).abs() < 1e-6, "{none}");
        let flood = Counts::new(1.0, 0.05).at_least(1e9);
        assert!((P_MIN..1e-200).contains(&flood), "{flood}");
    }

    #[test]
    fn the_limit_meets_the_distribution() {
        for dispersion in [0.003, 0.05, 0.5] {
            let (below, above) =
                (Counts::new(19_999.0, dispersion), Counts::new(20_001.0, dispersion));
            for share in [0.7, 0.9, 1.0, 1.1, 1.4] {
                let count = 20_000.0 * share;
                for (a, b) in [
                    (below.at_least(count), above.at_least(count)),
                    (below.at_most(count), above.at_most(count)),
                ] {
                    assert!((a.ln() - b.ln()).abs() < 0.1, "{dispersion} {share}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn a_band_holds_what_it_promises() {
        for (mean, dispersion) in [(0.01, 0.1), (4.0, 0.1), (200.0, 0.02), (1e7, 0.01)] {
            let counts = Counts::new(mean, dispersion);
            let (low, high) = (counts.lower(0.025), counts.upper(0.025));
            assert!(low <= mean.ceil() && mean.floor() <= high, "{mean}: {low} to {high}");
            assert!(counts.at_least(high + 1.0) < 0.025, "{mean}: {high}");
            assert!(low == 0.0 || counts.at_most(low - 1.0) < 0.025, "{mean}: {low}");
        }
    }
}
