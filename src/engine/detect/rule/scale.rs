//! A rule with other limits: what tuning tries out, and what `rules.scale` sets.

use super::{Limit, MAX_LIMIT, Rule};

/// How many times its limits a rule may be given.
pub const SCALES: std::ops::RangeInclusive<f64> = 0.05..=50.0;

impl Rule {
    /// It has a number of events or values that can be smaller or larger.
    pub fn can_be_scaled(&self) -> bool {
        let is_of_several =
            |limit: &Limit| 1 < limit.events || limit.values.iter().any(|min| 1 < *min);
        self.looks_at_events()
            && self.absence.is_none()
            && self.first_seen.is_none()
            && self.steps.is_none()
            && self.limits.iter().any(is_of_several)
    }

    /// The same rule with all numbers of events and of different values times `factor`, rounded; those
    /// that were larger than one stay so. Shares, windows and sums are as they were.
    pub fn scaled(&self, factor: f64) -> Self {
        let scaled = |number: usize| match number {
            0 | 1 => number,
            number => ((number as f64 * factor).round() as usize).clamp(2, MAX_LIMIT),
        };
        let limit = |limit: &Limit| Limit {
            window: limit.window,
            events: scaled(limit.events),
            values: limit.values.iter().copied().map(scaled).collect(),
        };
        let limits: Vec<Limit> = self.limits.iter().map(limit).collect();
        let mut rule = Self { limits, ..self.clone() };
        rule.is_for_the_busy = rule.is_for_the_busy();
        rule
    }

    /// The number that people think of first: of different values, or of events.
    pub fn main_limit(&self) -> usize {
        let first = self.limits.first();
        let values = first.and_then(|limit| limit.values.first()).copied().unwrap_or(0);
        if 1 < values { values } else { first.map_or(1, |limit| limit.events) }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::detect::rule::builtin;

    fn limits(id: &str, factor: f64) -> Vec<(usize, Vec<usize>)> {
        let rules = builtin();
        let rule = rules.iter().find(|rule| rule.id == id).expect("a rule of the pack");
        let scaled = rule.scaled(factor);
        scaled.limits.into_iter().map(|limit| (limit.events, limit.values)).collect()
    }

    #[test]
    fn all_numbers_are_scaled_and_none_falls_to_one() {
        assert_eq!(vec![(50, vec![20])], limits("auth.stuffing.site", 2.0));
        assert_eq!(vec![(2, vec![2])], limits("auth.stuffing.site", 0.05));
        assert_eq!(vec![(1, vec![12])], limits("auth.spray.client", 1.5));
        assert_eq!(vec![(1, vec![])], limits("http.jndi", 7.0));
    }

    #[test]
    fn a_rule_for_busy_clients_is_one_only_while_its_limits_are_high() {
        let rules = builtin();
        let rate = rules.iter().find(|rule| rule.id == "http.rate.client").expect("a rule");
        assert!(rate.is_for_the_busy && rate.scaled(2.0).is_for_the_busy);
        assert!(!rate.scaled(0.1).is_for_the_busy);
    }
}
