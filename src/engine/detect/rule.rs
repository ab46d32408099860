//! What a rule is; `read` makes one from a rule file, `scale` one with other limits.

mod read;
mod scale;

use super::absence::Absence;
use super::calendar::Hours;
use super::field::Subject;
use super::predicate::{Gate, Predicate};
use super::steps::Steps;
use super::watch::{Flood, Reported};
use super::{Severity, busy};
use crate::engine::batch::Field;
use crate::units::Period;

pub use read::{parse, parse_each};
use read::{quiet_after, web};
pub use scale::SCALES;

/// The rules that come with the program.
pub const PACK: &str = include_str!("pack.toml");

/// Largest `threshold` and `distinct.min`: what one key may cost in memory.
pub(super) const MAX_LIMIT: usize = 4096;

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `auth.bruteforce.client`.
    pub id: String,
    /// Grows with each change.
    pub version: u32,
    /// One line for people.
    pub title: String,
    /// `authentication`, `web`, `threat` or `ops`.
    pub category: String,
    /// Which events count.
    pub condition: Predicate,
    /// What lets most events pass by.
    pub gate: Gate,
    /// What one alert is about; empty: everything together.
    pub group_by: Vec<(String, Subject)>,
    /// Subjects whose different values count.
    pub distinct: Vec<Subject>,
    /// How many events and values within which window fire it: one of these is enough. The first
    /// is the one that is told.
    pub limits: Vec<Limit>,
    /// The least share of matching events among these and the events that speak against.
    pub share: Option<Share>,
    /// The number of which the sum within the window must reach this.
    pub sum: Option<(Subject, u64)>,
    /// What must come on top, while the limits are reached.
    pub then: Option<Then>,
    /// Different events that must all come within the window; the condition is any of them.
    pub steps: Option<Steps>,
    /// A value fires that the key did not have before.
    pub first_seen: Option<FirstSeen>,
    /// Only events of these hours count.
    pub hours: Option<Hours>,
    /// Fires when too few of the events come.
    pub absence: Option<Absence>,
    /// How long a source must say nothing; such a rule looks at no event.
    pub silence: Option<Silence>,
    /// What it waits to be told; such a rule looks at no event.
    pub reported: Option<Reported>,
    /// How much more than usual a site must be asked; such a rule has a watch of its own.
    pub flood: Option<Flood>,
    /// Rules whose alert about the event's client, user or site says it already.
    pub covered_by: Vec<String>,
    /// Only clients that ask much can reach the limits: see [`super::busy`].
    pub is_for_the_busy: bool,
    /// How bad it is.
    pub severity: Severity,
    /// The field that says how bad it is, in the event that fires the rule.
    pub severity_field: Option<Subject>,
    /// Quiet time after which the alert is resolved.
    pub resolve_after: Period,
    /// The sentence in the mail.
    pub explain: String,
    /// What to do, in the words of the table in [`super::advice`].
    pub advise: Vec<String>,
    /// ATT&CK techniques.
    pub attack: Vec<String>,
}

/// Events that a key of a rule about a sum remembers, to tell what was summed up.
const SUMMED_MAX: usize = 64;

/// What fires a rule: that many within a sliding window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limit {
    /// Length of the window.
    pub window: Period,
    /// How many events; 1 where only different values count.
    pub events: usize,
    /// How many different values of each of [`Rule::distinct`]; 0 where it does not matter.
    pub values: Vec<usize>,
}

/// The second step of a sequence.
#[derive(Clone, Debug)]
pub struct Then {
    /// The event that fires the rule, for a key whose limits are reached.
    pub condition: Predicate,
    /// What lets most events pass by.
    pub gate: Gate,
    /// A key that had such an event within this time before is known, and fires nothing.
    pub unless_known: Option<Period>,
}

/// A value that a key did not have before: of the one subject in [`Rule::distinct`].
#[derive(Clone, Copy, Debug)]
pub struct FirstSeen {
    /// How long values are remembered.
    pub memory: Period,
    /// How long a key must be known before anything about it is new.
    pub learn: Period,
}

/// When a source is silent.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// At least this long.
    pub min: Period,
    /// And this many times as long as the longest pause within the window before.
    pub times: u32,
}

impl Rule {
    /// Its longest window.
    pub fn window(&self) -> Period {
        self.limits.iter().map(|limit| limit.window).max().unwrap_or_default()
    }

    /// Events that a key must remember.
    pub fn events_max(&self) -> usize {
        let steps = self.steps.as_ref().map_or(1, |steps| steps.conditions.len());
        let least = if self.sum.is_some() { SUMMED_MAX } else { steps };
        self.limits.iter().map(|limit| limit.events).fold(least, usize::max)
    }

    /// Only clients with more than [`busy::EVENTS`] a minute can reach any of its limits.
    fn is_for_the_busy(&self) -> bool {
        let is_fast = |limit: &Limit| {
            let most = limit.values.iter().copied().max().unwrap_or(0).max(limit.events) as u64;
            let minutes = limit.window.secs().div_ceil(60).max(1);
            3 * busy::EVENTS <= most && 2 * busy::EVENTS * minutes <= most
        };
        let is_of_clients = matches!(self.group_by.first(), Some((_, Subject::ClientNet)));
        is_of_clients && self.limits.iter().all(is_fast)
    }

    /// Values of subject `index` of [`Rule::distinct`] that a key must remember.
    pub fn values_max(&self, index: usize) -> usize {
        self.limits.iter().map(|limit| limit.values[index]).max().unwrap_or(0)
    }

    /// A rule that one event fires: an alert for each client, or for each site where the lines name
    /// no client.
    pub fn of_single_events(
        id: &str,
        title: &str,
        condition: Predicate,
        severity: Severity,
        has_client: bool,
    ) -> Self {
        let (name, subject, advice) = if has_client {
            ("client.net", Subject::ClientNet, "block_client")
        } else {
            ("site", Subject::Site, "check_server")
        };
        let window = Period::from_secs(600);
        Self {
            id: id.to_owned(),
            version: 1,
            title: title.to_owned(),
            category: web(),
            gate: Gate::of(&condition),
            condition,
            group_by: vec![(name.to_owned(), subject)],
            distinct: Vec::new(),
            limits: vec![Limit { window, events: 1, values: Vec::new() }],
            share: None,
            sum: None,
            then: None,
            steps: None,
            first_seen: None,
            hours: None,
            absence: None,
            silence: None,
            reported: None,
            flood: None,
            covered_by: Vec::new(),
            is_for_the_busy: false,
            severity,
            severity_field: None,
            resolve_after: quiet_after(window),
            explain: format!("{{count}} events of {{{name}}} match this rule within {{window}}"),
            advise: vec![advice.to_owned()],
            attack: Vec::new(),
        }
    }

    /// One event alone can fire it.
    pub fn is_of_single_events(&self) -> bool {
        let is_single =
            |limit: &Limit| limit.events == 1 && limit.values.iter().all(|min| *min == 0);
        self.limits.iter().any(is_single)
            && self.share.is_none()
            && self.sum.is_none()
            && self.then.is_none()
            && self.steps.is_none()
            && self.first_seen.is_none()
            && self.absence.is_none()
            && self.looks_at_events()
    }

    /// It has a condition that events are asked about.
    pub fn looks_at_events(&self) -> bool {
        self.silence.is_none() && !self.is_watched()
    }

    /// Its alerts are those of [`super::watch`].
    pub(super) fn is_watched(&self) -> bool {
        self.reported.is_some() || self.flood.is_some()
    }

    /// Each alert is about one client or one user, so whatever they do belongs to it.
    pub fn is_about_someone(&self) -> bool {
        let someone = |subject: &Subject| {
            matches!(
                subject,
                Subject::ClientNet
                    | Subject::SourceIp
                    | Subject::Text(Field::User | Field::ClientAddress)
            )
        };
        self.group_by.iter().any(|(_, subject)| someone(subject))
    }
}

/// A guard against crowds: the matching events must not be a small part of what the key does.
#[derive(Clone, Debug)]
pub struct Share {
    /// Least share, above 0 and at most 1.
    pub min: f64,
    /// Which events speak against.
    pub against: Predicate,
    /// What lets most events pass by.
    pub gate: Gate,
    /// The windows over which the share is taken; it must be reached in each.
    pub windows: Vec<Period>,
}

/// A rule that cannot be used; the message names the rule, the key and the fix.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{rule}: {complaint}")]
pub struct RuleError {
    rule: String,
    complaint: String,
}

/// The rules of the built-in pack.
pub fn builtin() -> Vec<Rule> {
    parse(PACK).expect("the built-in pack compiles: a test reads it")
}

impl RuleError {
    /// The id of the rule that it is about; `rule file` where it is about all of them.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// What is wrong.
    pub fn complaint(&self) -> &str {
        &self.complaint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pack_compiles_and_each_rule_explains_itself() {
        for rule in builtin() {
            assert!(rule.explain.contains('{'), "{}", rule.id);
            assert!(!rule.advise.is_empty(), "{}", rule.id);
        }
    }

    #[test]
    fn what_covers_a_rule_of_the_pack_is_a_rule_of_the_pack() {
        let rules = builtin();
        for rule in &rules {
            for id in &rule.covered_by {
                assert!(rules.iter().any(|other| other.id == *id), "{}: no {id}", rule.id);
            }
        }
    }

    #[track_caller]
    fn check_error(line: &str, expected: &str) {
        let text =
            format!("schema = 1\n[[rule]]\nid = \"x\"\ntitle = \"X\"\nwindow = \"5m\"\n{line}\n");
        let errors = parse(&text).expect_err("a complaint");
        assert!(errors[0].to_string().contains(expected), "{}", errors[0]);
    }

    #[test]
    fn a_bad_rule_is_refused_with_the_key_and_the_fix() {
        check_error("where = {}\ngroup_by = []", "needs `threshold`, `distinct`, `sum` or `steps`");
        check_error("where = {}\ngroup_by = [\"user\"]\nthreshold = 5", "`user` is no field");
        check_error(
            "where = { \"url.pth\" = \"/\" }\ngroup_by = []\nthreshold = 5",
            "did you mean `url.path`?",
        );
        check_error("where = {}\ngroup_by = []\nthreshold = 0", "between 1 and");
        check_error("where = {}\ngroup_by = []\ntreshold = 5", "treshold");
    }
}
