//! Chance from a seed: counts as people make them.

use rand::SeedableRng as _;
use rand_distr::{Distribution as _, Gamma, Poisson, StandardNormal, Uniform};
use rand_xorshift::XorShiftRng;

/// What one seed gives, the same on every machine.
pub(crate) struct Chance(XorShiftRng);

impl Chance {
    /// What `case` of `suite` draws from.
    pub(crate) fn new(suite: u64, case: u64) -> Self {
        Self(XorShiftRng::seed_from_u64(suite.wrapping_mul(1_000_003).wrapping_add(case)))
    }

    /// A number of `from` to `to`.
    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        Uniform::new_inclusive(from, to).expect("a range").sample(&mut self.0)
    }

    /// A number of `from` to `to`, each order of magnitude as likely as the others.
    pub(crate) fn scale(&mut self, from: f64, to: f64) -> f64 {
        self.between(from.ln(), to.ln()).exp()
    }

    /// A whole number of `from` up to, not including `to`.
    pub(crate) fn pick(&mut self, from: usize, to: usize) -> usize {
        Uniform::new(from, to).expect("a range").sample(&mut self.0)
    }

    /// It happens with probability `p`.
    pub(crate) fn happens(&mut self, p: f64) -> bool {
        self.between(0.0, 1.0) < p
    }

    /// Of the normal distribution.
    pub(crate) fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// A count around `mean` by chance alone.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        match Poisson::new(mean) {
            Ok(poisson) => {
                let count: f64 = poisson.sample(&mut self.0);
                count as u64
            }
            Err(_) => 0,
        }
    }

    /// A count around `mean` whose variance is `mean + dispersion × mean²`.
    pub(crate) fn count(&mut self, mean: f64, dispersion: f64) -> u64 {
        let noise = Gamma::new(1.0 / dispersion, dispersion).expect("a dispersion");
        let noise: f64 = noise.sample(&mut self.0);
        self.poisson(mean * noise)
    }
}
