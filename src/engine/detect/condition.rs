//! Whether what a key remembers is enough for its rule.

use super::field::Subject;
use super::keys::KeyState;
use super::rule::{Limit, Rule};
use super::window::{LastValues, Seen, Sums};
use crate::engine::batch::Event;
use crate::units::Timestamp;

/// The number of the limit that is reached for this key, in a window that ends at `now` or later; none
/// where the rule asks for more than that and it is not there.
pub(super) fn fires(rule: &Rule, state: &KeyState, now: Timestamp) -> Option<usize> {
    let is_reached = |limit: &Limit| {
        let values = || limit.values.iter().zip(&state.values);
        state.times.reaches(limit.events, limit.window, now)
            && values().all(|(min, values)| values.reaches(*min, limit.window, now))
    };
    let has_sum = || {
        let total = state.sum.as_ref().map_or(0, |sum| sum.totals().0);
        rule.sum.is_none_or(|(_, min)| min <= total)
    };
    let has_share = || {
        let min = rule.share.as_ref().map_or(0.0, |share| share.min);
        state.shares.iter().all(|sums| min <= sums.share())
    };
    rule.limits.iter().position(is_reached).filter(|_| has_sum() && has_share())
}

/// Counts events that match and events that speak against, where the rule watches a share.
pub(super) fn add_to_shares(
    rule: &Rule,
    state: &mut KeyState,
    time: Timestamp,
    counts: (u64, u64),
) {
    let Some(share) = &rule.share else { return };
    if state.shares.is_empty() {
        state.shares = vec![Sums::default(); share.windows.len()].into();
    }
    for (sums, window) in state.shares.iter_mut().zip(&share.windows) {
        sums.add(time, *window, counts);
    }
}

/// Values of a key that a rule about new ones remembers.
const FIRST_SEEN_MAX: usize = 64;

/// Notes the values that the rule tells apart. Answers the hash of the first, and false where the
/// rule is about new values and this is none.
pub(super) fn see_values(
    rule: &Rule,
    state: &mut KeyState,
    hasher: &ahash::RandomState,
    event: &Event<'_>,
    seen: Seen,
) -> (Option<u64>, bool) {
    if state.values.is_empty() && !rule.distinct.is_empty() {
        state.values = vec![LastValues::default(); rule.distinct.len()].into();
    }
    let mut first = None;
    let mut is_new = true;
    for (index, subject) in rule.distinct.iter().enumerate() {
        let Some(value) = hash_of(hasher, *subject, event) else {
            is_new &= rule.first_seen.is_none();
            continue;
        };
        let values = &mut state.values[index];
        if let Some(rule) = rule.first_seen {
            let is_known =
                values.last_seen(value).is_some_and(|at| seen.time <= at.plus(rule.memory));
            let is_learnt = !values.is_empty() && state.since.plus(rule.learn) <= seen.time;
            is_new &= is_learnt && !is_known;
            values.see(value, seen, FIRST_SEEN_MAX);
        } else {
            values.see(value, seen, rule.values_max(index));
        }
        if index == 0 {
            first = Some(value);
        }
    }
    (first, is_new)
}

pub(super) fn hash_of(
    hasher: &ahash::RandomState,
    subject: Subject,
    event: &Event<'_>,
) -> Option<u64> {
    Some(hasher.hash_one(&*subject.text(event)?))
}
