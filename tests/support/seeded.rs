//! Tests that chance drives: a setting from outside, numbers in a range, and the seed on a failure.

use gatewatch::io::{Chance as _, Seeded};

/// A number from `low` to `high`.
pub(crate) fn between(chance: &mut Seeded, low: u64, high: u64) -> u64 {
    low + chance.next_u64() % (high - low + 1)
}

/// The number in the variable `name`, if it is set.
pub(crate) fn setting(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?.into_string().ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Tells the seed when a test fails.
pub(crate) struct Told {
    name: &'static str,
    pub(crate) seed: u64,
}

impl Told {
    /// A seed that the variable `name` repeats.
    pub(crate) fn new(name: &'static str, seed: u64) -> Self {
        Self { name, seed }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with {}={}", self.name, self.seed);
        }
    }
}
