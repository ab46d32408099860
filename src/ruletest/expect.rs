//! What a test expects, and how that compares with what was raised.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::bench::Fired;
use crate::engine::detect::Severity;

/// Alerts that must be raised; what is not said may be anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// Of the rule under test where it is left out.
    pub(super) rule: Option<String>,
    /// How many of these.
    #[serde(default = "one")]
    pub(super) count: usize,
    /// The number of the event that fires, from 1.
    pub(super) at_event: Option<usize>,
    severity: Option<Severity>,
    #[serde(default)]
    group: BTreeMap<String, String>,
    /// Events counted.
    observed: Option<u64>,
    /// Values counted.
    distinct: Option<u64>,
    /// Log-ins that succeeded.
    successes: Option<u64>,
    /// A part of the sentence.
    summary: Option<String>,
}

fn one() -> usize {
    1
}

impl Expected {
    /// What differs, as `observed 8, got 9`.
    fn differences(&self, fired: &Fired) -> Vec<String> {
        let alert = &fired.alert;
        let mut found = Vec::new();
        let mut number = |name: &str, wanted: Option<u64>, got: Option<u64>| {
            if wanted.is_some() && wanted != got {
                let text =
                    |value: Option<u64>| value.map_or_else(|| "none".to_owned(), |n| n.to_string());
                found.push(format!("{name} {}, got {}", text(wanted), text(got)));
            }
        };
        let at_event = self.at_event.map(|event| event as u64);
        number("at_event", at_event, fired.event.map(|event| event as u64));
        number("observed", self.observed, Some(alert.count));
        number("distinct", self.distinct, alert.distinct);
        number("successes", self.successes, Some(alert.successes));
        if let Some(wanted) = self.severity.filter(|wanted| *wanted != alert.severity) {
            found.push(format!("severity {wanted}, got {}", alert.severity));
        }
        for (name, wanted) in &self.group {
            let got = alert.group_value(name);
            if got != Some(wanted) {
                found.push(format!("group {name} {wanted}, got {}", got.unwrap_or("none")));
            }
        }
        if let Some(wanted) = self.summary.as_ref().filter(|part| !alert.summary.contains(*part)) {
            found.push(format!("a summary with \"{wanted}\", got \"{}\"", alert.summary));
        }
        found
    }

    fn rule<'a>(&'a self, own: &'a str) -> &'a str {
        self.rule.as_deref().unwrap_or(own)
    }
}

/// An alert in a few words.
fn told(fired: &Fired) -> String {
    let group: Vec<String> =
        fired.alert.group.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let at = fired.event.map(|event| format!("at event {event}"));
    let at = at.unwrap_or_else(|| "after the last event".to_owned());
    format!("{} {at} ({}: {})", fired.alert.rule.id, group.join(" "), fired.alert.summary)
}

/// What is wrong with what was raised: nothing where the test passes.
pub(super) fn compare(
    own: &str,
    expect: &[Expected],
    nothing_else: bool,
    fired: &[Fired],
) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut left: Vec<&Fired> = fired.iter().collect();
    for wanted in expect {
        let rule = wanted.rule(own);
        for number in 1..=wanted.count {
            let of_rule = |one: &&Fired| one.alert.rule.id == rule;
            let fits = |one: &&Fired| of_rule(one) && wanted.differences(one).is_empty();
            if let Some(at) = left.iter().position(fits) {
                left.remove(at);
            } else if let Some(at) = left.iter().position(of_rule) {
                let other = left.remove(at);
                let differences = wanted.differences(other).join("; ");
                complaints.push(format!("expected {differences}: {}", told(other)));
            } else {
                let which = if 1 < wanted.count { format!("a {number}.") } else { "an".to_owned() };
                let others: Vec<&str> =
                    fired.iter().map(|one| one.alert.rule.id.as_str()).collect();
                let got = if others.is_empty() { "nothing".to_owned() } else { others.join(", ") };
                complaints.push(format!("expected {which} alert of {rule}, got {got}"));
            }
        }
    }
    let is_named = |id: &str| expect.iter().any(|wanted| wanted.rule(own) == id);
    for one in left {
        let id = &one.alert.rule.id;
        if nothing_else || id == own || is_named(id) {
            complaints.push(format!("expected silence, got {}", told(one)));
        }
    }
    complaints
}
