//! Whether the daemon does its work, and if not, why.
//!
//! Each part of the daemon reports under its own name: it is well, or it fails for a reason. A
//! part that hangs cannot report that it does, so the pipeline also shows signs of life, and
//! their absence is noticed by whoever asks.
//!
//! Not ready does not mean dead: `/healthz` says that the process is alive, and restarting it
//! would not bring back an unreadable log. So readiness belongs on dashboards and in start-up
//! checks, not in a restart policy.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::units::{Period, Timestamp};

/// Checks kept; more than sources, sinks and parts can sensibly be.
const MAX_CHECKS: usize = 1024;

/// Name of the check that fails until [`Readiness::started`].
const STARTUP: &str = "startup";

/// Name of the check that watches for signs of life.
const PIPELINE: &str = "pipeline";

/// The state of all checks.
#[derive(Debug)]
pub struct Readiness {
    stalled_after: Period,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The reason of each check that fails; `None` for one that is well.
    checks: BTreeMap<String, Option<String>>,
    alive: Option<Timestamp>,
}

/// One check as it is shown.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Check {
    /// What was checked, such as `source nginx`.
    pub name: String,
    /// It is well.
    pub ok: bool,
    /// Why it is not, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// All checks at one moment.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ReadinessReport {
    /// No check fails.
    pub ready: bool,
    /// The checks, failing ones first.
    pub checks: Vec<Check>,
}

impl Readiness {
    /// Not ready: starting. After `stalled_after` without a sign of life the pipeline counts as
    /// stalled.
    pub fn new(stalled_after: Period) -> Self {
        let readiness = Self { stalled_after, state: Mutex::default() };
        readiness.fail(STARTUP, "still starting");
        readiness
    }

    /// The start is complete.
    pub fn started(&self, now: Timestamp) {
        self.forget(STARTUP);
        self.alive(now);
    }

    /// The pipeline went around its loop once more.
    pub fn alive(&self, now: Timestamp) {
        self.lock().alive = Some(now);
    }

    /// The pipeline has shown a sign of life lately.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.lock().alive.is_some_and(|alive| now.since(alive) <= self.stalled_after)
    }

    /// The part `name` is well.
    pub fn pass(&self, name: &str) {
        self.put(name, None);
    }

    /// The part `name` fails for `reason`, which says what to do where it can.
    pub fn fail(&self, name: &str, reason: &str) {
        self.put(name, Some(reason.to_owned()));
    }

    /// There is no such part any more.
    pub fn forget(&self, name: &str) {
        self.lock().checks.remove(name);
    }

    /// All checks at `now`.
    pub fn report(&self, now: Timestamp) -> ReadinessReport {
        let state = self.lock();
        let mut checks: Vec<Check> = state.checks.iter().map(Check::from).collect();
        if let Some(alive) = state.alive {
            let silent = now.since(alive);
            let stalled = self.stalled_after < silent;
            let reason = format!("no sign of life for {} s; see the daemon's log", silent.secs());
            checks.push(Check {
                name: PIPELINE.to_owned(),
                ok: !stalled,
                reason: stalled.then_some(reason),
            });
        }
        checks.sort_by(|a, b| a.ok.cmp(&b.ok).then_with(|| a.name.cmp(&b.name)));
        ReadinessReport { ready: checks.iter().all(|check| check.ok), checks }
    }

    fn put(&self, name: &str, reason: Option<String>) {
        let mut state = self.lock();
        if MAX_CHECKS <= state.checks.len() && !state.checks.contains_key(name) {
            tracing::warn!(name, "more than {MAX_CHECKS} readiness checks; this one is not shown");
            return;
        }
        state.checks.insert(name.to_owned(), reason);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each update is one assignment, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<(&String, &Option<String>)> for Check {
    fn from((name, reason): (&String, &Option<String>)) -> Self {
        Self { name: name.clone(), ok: reason.is_none(), reason: reason.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(readiness: &Readiness, second: u64) -> Vec<String> {
        let report = readiness.report(Timestamp::from_secs(second));
        let failing: Vec<Check> = report.checks.into_iter().filter(|check| !check.ok).collect();
        assert_eq!(report.ready, failing.is_empty());
        failing.into_iter().map(|check| check.name).collect()
    }

    #[test]
    fn it_is_ready_when_started_and_all_parts_are_well() {
        let readiness = Readiness::new(Period::from_secs(30));
        readiness.pass("source nginx");
        assert_eq!(["startup"], *failing(&readiness, 0));
        readiness.started(Timestamp::from_secs(0));
        assert!(failing(&readiness, 1).is_empty());
    }

    #[test]
    fn each_failing_part_is_named_until_it_is_well_or_gone() {
        let readiness = Readiness::new(Period::from_secs(30));
        readiness.started(Timestamp::from_secs(0));
        readiness.fail("source nginx", "permission denied");
        readiness.fail("store", "full");
        assert_eq!(["source nginx", "store"], *failing(&readiness, 1));
        readiness.pass("store");
        readiness.forget("source nginx");
        assert!(failing(&readiness, 1).is_empty());
    }

    #[test]
    fn a_pipeline_without_a_sign_of_life_is_noticed() {
        let readiness = Readiness::new(Period::from_secs(30));
        readiness.started(Timestamp::from_secs(0));
        assert!(failing(&readiness, 30).is_empty());
        assert_eq!(["pipeline"], *failing(&readiness, 31));
        readiness.alive(Timestamp::from_secs(31));
        assert!(failing(&readiness, 32).is_empty());
    }

    #[test]
    fn the_number_of_checks_is_bounded() {
        let readiness = Readiness::new(Period::from_secs(30));
        for number in 0..2 * MAX_CHECKS {
            readiness.pass(&number.to_string());
        }
        assert_eq!(MAX_CHECKS, readiness.report(Timestamp::default()).checks.len());
    }
}
