//! Limits for so many mails a week.
//!
//! Rules that mail most give way first, in small steps, and only as far as needed. Which steps is
//! worked out from trials of each rule by itself; what they do together is then tried, too, because
//! rules cover each other and one incident has several: what is proposed was measured as a whole.

use std::collections::BTreeMap;

use super::{Outcome, TRIALS_MAX};
use crate::engine::detect::rule::{Rule, SCALES};

/// Factors that a rule's limits are tried with, in their order.
const STEPS: [f64; 10] = [1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0, 14.0];

/// Rules that are tried by themselves: those that mail most.
const RULES_MAX: usize = (TRIALS_MAX - 1) / (STEPS.len() - 1);

/// Rules that cover each other come forward one after the other.
const ROUNDS_MAX: usize = 4;

/// Factors of rules by their ids; a rule that is not named stays as it is.
pub type Scales = BTreeMap<String, f64>;

/// `rules` with the limits that `scales` gives them.
pub fn with_scales(rules: &[Rule], scales: &Scales) -> Vec<Rule> {
    let scaled = |rule: &Rule| match scales.get(&rule.id) {
        Some(factor) => rule.scaled(*factor),
        None => rule.clone(),
    };
    rules.iter().map(scaled).collect()
}

/// What is proposed.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The limits.
    pub scales: Scales,
    /// Measured with the rules as they are.
    pub now: Outcome,
    /// Measured with the proposal.
    pub then: Outcome,
    /// What it lets through as asked; otherwise it is the least that limits can do.
    pub is_within: bool,
}

/// Proposes limits with which the events make at most `mails_max` mails. `run` shows the events to
/// sets of rules, of [`TRIALS_MAX`] at most, and is called nine times at most: rules that cover
/// each other come forward in rounds.
///
/// Rules in `fixed` keep their limits.
pub fn tune<E>(
    rules: &[Rule],
    mails_max: f64,
    fixed: &[String],
    mut run: impl FnMut(Vec<Vec<Rule>>) -> Result<Vec<Outcome>, E>,
) -> Result<Proposal, E> {
    let mut measure = |sets: &[Scales]| match sets {
        [] => Ok(Vec::new()),
        sets => run(sets.iter().map(|scales| with_scales(rules, scales)).collect()),
    };
    let now = measure(&[Scales::new()])?.remove(0);
    let is_enough = |outcome: &Outcome| outcome.mails as f64 <= mails_max;
    let (mut scales, mut then) = (Scales::new(), now.clone());
    for _ in 0..ROUNDS_MAX {
        if is_enough(&then) {
            break;
        }
        let noisy = noisy(rules, fixed, &then);
        let path = path(&noisy, &alone(&noisy, &scales, &then, &mut measure)?);
        let tried = around(&path, then.mails as f64 - mails_max);
        let tried: Vec<Scales> = tried.iter().map(|(steps, _)| product(&scales, steps)).collect();
        let outcomes = measure(&tried)?;
        let least = outcomes.iter().enumerate().min_by_key(|(at, outcome)| (outcome.mails, *at));
        let first = outcomes.iter().enumerate().find(|(_, outcome)| is_enough(outcome));
        match first.or(least) {
            // Other rules may have come forward that were covered before.
            Some((at, outcome)) if outcome.mails < then.mails => {
                (scales, then) = (tried[at].clone(), outcome.clone());
            }
            _ => break,
        }
    }
    Ok(Proposal { is_within: is_enough(&then), scales, now, then })
}

/// What each step of each rule saves by itself, behind 0 for no step.
fn alone<E>(
    noisy: &[String],
    scales: &Scales,
    now: &Outcome,
    measure: &mut impl FnMut(&[Scales]) -> Result<Vec<Outcome>, E>,
) -> Result<Vec<Vec<f64>>, E> {
    let step = |id: &String, step: &f64| product(scales, &Scales::from([(id.clone(), *step)]));
    let sets: Vec<Scales> =
        noisy.iter().flat_map(|id| STEPS[1..].iter().map(move |one| step(id, one))).collect();
    let measured = measure(&sets)?;
    let saved = measured.chunks(STEPS.len() - 1).map(|steps| {
        let saved = steps.iter().map(|one| now.mails as f64 - one.mails as f64);
        std::iter::once(0.0).chain(saved).collect()
    });
    Ok(saved.collect())
}

/// The part of the path that is tried. What steps do together is less than what they do alone: a
/// little before the place that the sum points at, and much behind it.
fn around(path: &[(Scales, f64)], to_save: f64) -> &[(Scales, f64)] {
    let aim = path.iter().position(|(_, saved)| to_save <= *saved);
    let from = aim.unwrap_or(path.len()).saturating_sub(TRIALS_MAX / 4);
    &path[from..path.len().min(from + TRIALS_MAX)]
}

/// Both factors, within what a rule may be given.
fn product(scales: &Scales, steps: &Scales) -> Scales {
    let mut product = scales.clone();
    for (id, step) in steps {
        let factor = product.entry(id.clone()).or_insert(1.0);
        *factor = (*factor * step).min(*SCALES.end());
    }
    product
}

/// The rules whose limits can make a difference, those that mail most first.
fn noisy(rules: &[Rule], fixed: &[String], now: &Outcome) -> Vec<String> {
    let mails = |rule: &Rule| now.rules.get(&rule.id).map_or(0, |(_, mailed)| *mailed);
    let mut noisy: Vec<&Rule> = rules
        .iter()
        .filter(|rule| 0 < mails(rule) && rule.can_be_scaled() && !fixed.contains(&rule.id))
        .collect();
    noisy.sort_by_key(|rule| (std::cmp::Reverse(mails(rule)), &rule.id));
    noisy.into_iter().take(RULES_MAX).map(|rule| rule.id.clone()).collect()
}

/// One step after the other, the one that saves most for what it gives up; each with all before it
/// and what they save together, if none saved what another one saves, too.
fn path(ids: &[String], saved: &[Vec<f64>]) -> Vec<(Scales, f64)> {
    let mut at = vec![0; ids.len()];
    let mut path = Vec::new();
    loop {
        // A step that saves nothing may be needed to get to one that does.
        let gain = |rule: usize| {
            let ahead = at[rule] + 1..STEPS.len();
            let best = ahead.map(|to| {
                let more = saved[rule][to] - saved[rule][at[rule]];
                (more / (STEPS[to] / STEPS[at[rule]]).ln(), to)
            });
            best.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))
        };
        let best = (0..ids.len())
            .filter_map(|rule| gain(rule).map(|(gain, to)| (gain, rule, to)))
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let Some((gain, rule, to)) = best else { return path };
        // Where none saves anything alone, all are raised in turn: they may cover each other.
        at[rule] = if 0.0 < gain { to } else { at[rule] + 1 };
        let scales = (0..ids.len()).filter(|rule| 0 < at[*rule]);
        let scales = scales.map(|rule| (ids[rule].clone(), STEPS[at[rule]])).collect();
        let together = (0..ids.len()).map(|rule| saved[rule][at[rule]]).sum();
        path.push((scales, together));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_that_saves_most_comes_first() {
        let ids = ["loud".to_owned(), "quiet".to_owned()];
        let loud: Vec<f64> = (0..STEPS.len()).map(|step| 10.0 * step as f64).collect();
        let quiet: Vec<f64> = (0..STEPS.len()).map(|step| step as f64).collect();
        let path = path(&ids, &[loud, quiet]);
        assert_eq!(Scales::from([("loud".to_owned(), 1.5)]), path[0].0);
        assert!(path[0].1 < path[1].1);
        let (last, _) = path.last().expect("steps");
        assert_eq!(Scales::from([("loud".to_owned(), 14.0), ("quiet".to_owned(), 14.0)]), *last);
    }

    #[test]
    fn a_step_over_useless_ones_is_taken_at_once() {
        let mut saved = vec![0.0; STEPS.len()];
        saved[5..].fill(8.0);
        let path = path(&["one".to_owned()], &[saved]);
        assert_eq!((Scales::from([("one".to_owned(), STEPS[5])]), 8.0), path[0]);
    }
}
