//! The rules that some text in a field announces: asked all at once, and not by the board.
//!
//! Invariant: a rule is either here or on the board, so an event counts for it once.

use std::sync::Arc;

use super::matcher::{Matcher, RuleSet};
use super::rule::Rule;
use crate::engine::batch::Event;

/// Fewer rules than these are asked one by one more cheaply.
const FEW: usize = 16;

/// What asks them.
#[derive(Debug)]
pub(super) struct Announced {
    /// The place of each among all rules.
    rules: Vec<usize>,
    matcher: Matcher,
    /// Those that match the event in hand.
    matching: Vec<usize>,
}

impl Announced {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let places = Self::places(rules);
        let conditions = places.iter().map(|place| rules[*place].condition.clone());
        let matcher = Matcher::new(Arc::new(RuleSet::new(conditions.collect())));
        Self { rules: places, matcher, matching: Vec::new() }
    }

    /// The places of the rules that are asked here.
    pub(super) fn places(rules: &[Rule]) -> Vec<usize> {
        let is_announced = |place: &usize| Self::is(&rules[*place]);
        let places: Vec<usize> = (0..rules.len()).filter(is_announced).collect();
        if places.len() < FEW { Vec::new() } else { places }
    }

    /// It needs a text, and looks at no other events than those that meet its condition.
    fn is(rule: &Rule) -> bool {
        let looks_elsewhere = rule.share.is_some()
            || rule.then.is_some()
            || !rule.looks_at_events()
            || rule.is_for_the_busy
            // It must see first whether those that cover it have fired.
            || !rule.covered_by.is_empty();
        !looks_elsewhere && RuleSet::is_announced(&rule.condition)
    }

    /// Finds out which of them match `event`.
    #[inline]
    pub(super) fn ask(&mut self, event: &Event<'_>) {
        self.matching.clear();
        if !self.rules.is_empty() {
            let numbers = self.matcher.matching(event).iter();
            self.matching.extend(numbers.map(|number| self.rules[*number as usize]));
        }
    }

    /// The places of the rules that match the event in hand.
    #[inline]
    pub(super) fn matching(&self) -> &[usize] {
        &self.matching
    }
}
