//! The arithmetic behind an alert, done again over lines that are still there: what was counted, what
//! the guards saw, which event made it fire, and what other limits would have done.
//!
//! The same engine that raised the alert runs once for each limit that is tried, with this one rule
//! and nothing that covers it. So an answer is what would have happened, as far as the lines go.
//!
//! Invariant: memory is bounded by `COUNTED_MAX` events, whatever the lines hold.

use std::collections::BTreeSet;

use super::field::Subject;
use super::rule::{Limit, MAX_LIMIT, Rule};
use super::{Alert, AlertState, Circumstances, Detectors, Limits};
use crate::engine::batch::{Event, EventBatch};
use crate::units::{Period, Timestamp};

/// Events of the alert's key that are looked at one by one.
const COUNTED_MAX: usize = 200_000;

/// By what the limit is multiplied: numerator and denominator.
const FACTORS: [(usize, usize); 7] = [(1, 2), (3, 4), (1, 1), (5, 4), (3, 2), (2, 1), (4, 1)];

/// Limits that are tried for a rule that one event fires.
const FROM_ONE: [usize; 5] = [1, 2, 3, 5, 10];

/// An event of the alert's key.
#[derive(Clone, Debug)]
struct Counted {
    time: Timestamp,
    times: u64,
    /// It counts for the rule; otherwise it speaks against.
    matches: bool,
    /// What is told apart, one hash for each of [`Rule::distinct`].
    values: Vec<Option<u64>>,
    /// What is summed up.
    number: u64,
}

/// Another limit, and what it would have done.
#[derive(Debug)]
struct Trial {
    limit: usize,
    is_own: bool,
    detectors: Detectors,
    alerts: Vec<Alert>,
}

/// What another limit would have done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// The limit.
    pub limit: usize,
    /// It is the one in force.
    pub is_own: bool,
    /// Alerts about the same within the time that was looked at.
    pub alerts: usize,
    /// When the first of them fired.
    pub first: Option<Timestamp>,
    /// By which of the events counted since the alert's first one.
    pub at_event: Option<u64>,
}

/// A guard of the rule and what it saw when the alert fired.
#[derive(Clone, Debug, PartialEq)]
pub enum Guard {
    /// A share of the events.
    Share {
        /// Over this time.
        window: Period,
        /// Events that counted.
        matching: u64,
        /// Events that spoke against.
        against: u64,
        /// The least share.
        min: f64,
    },
    /// Different values of a field.
    Values {
        /// Its number in [`Rule::distinct`].
        index: usize,
        /// How many there were.
        found: usize,
        /// How many of them the limit asks for.
        min: usize,
    },
    /// A sum.
    Sum {
        /// What it came to.
        found: u64,
        /// The least one.
        min: u64,
    },
}

/// Sees the lines around an alert again.
#[derive(Debug)]
pub struct Reckoning<'a> {
    rule: &'a Rule,
    alert: &'a Alert,
    key: Vec<u8>,
    hasher: ahash::RandomState,
    counted: Vec<Counted>,
    trials: Vec<Trial>,
    evidence_found: BTreeSet<(String, u64)>,
}

impl<'a> Reckoning<'a> {
    /// Nothing seen as yet. `alert` is as it was when it fired.
    pub fn new(rule: &'a Rule, alert: &'a Alert, circumstances: &Circumstances) -> Self {
        let mut key = Vec::new();
        for ((_, subject), (_, value)) in rule.group_by.iter().zip(&alert.group) {
            subject.append_key_text(value, &mut key);
        }
        let trials = variants(rule, alert).map(|(limit, is_own, rule)| Trial {
            limit,
            is_own,
            detectors: Detectors::new(vec![rule], Limits::new(0))
                .in_circumstances(circumstances.clone()),
            alerts: Vec::new(),
        });
        Self {
            rule,
            alert,
            key,
            hasher: ahash::RandomState::with_seeds(1, 2, 3, 4),
            counted: Vec::new(),
            trials: trials.collect(),
            evidence_found: BTreeSet::new(),
        }
    }

    /// The lines that matter are of this time.
    pub fn span(&self) -> (Timestamp, Timestamp) {
        let from = self.alert.first_event.minus(self.rule.window());
        (from, self.alert.last_event.max(self.alert.at))
    }

    /// Sees lines, in the order in which they were read first.
    pub fn see(&mut self, batch: &EventBatch, read_at: Timestamp) {
        for trial in &mut self.trials {
            trial.detectors.see(batch, read_at, &mut trial.alerts);
            let group = &self.alert.group;
            trial.alerts.retain(|one| one.group == *group && one.state == AlertState::Firing);
        }
        let origin = &batch.origin;
        let file = if origin.path.is_empty() { &origin.source } else { &origin.path };
        let mut key = Vec::new();
        for event in batch.events() {
            if self.counted.len() < COUNTED_MAX && self.is_of_key(&event, &mut key) {
                self.count(&event);
                let offset = event.row().offset;
                let is_shown = |line: &super::Evidence| line.offset == offset && line.file == *file;
                if self.alert.evidence.iter().any(is_shown) {
                    self.evidence_found.insert((file.clone(), offset));
                }
            }
        }
    }

    fn is_of_key(&self, event: &Event<'_>, key: &mut Vec<u8>) -> bool {
        key.clear();
        let has_all = self.rule.group_by.iter().all(|(_, subject)| subject.append_key(event, key));
        has_all && *key == self.key
    }

    fn count(&mut self, event: &Event<'_>) {
        let rule = self.rule;
        let matches = rule.condition.holds(event);
        let speaks = || rule.share.as_ref().is_some_and(|share| share.against.holds(event));
        if !matches && !speaks() {
            return;
        }
        let hash = |subject: &Subject| Some(self.hasher.hash_one(&*subject.text(event)?));
        let values = rule.distinct.iter().map(hash).collect();
        let number = rule.sum.map_or(0, |(subject, _)| subject.number(event).unwrap_or(0));
        let (time, times) = (event.row().time, u64::from(event.row().count));
        self.counted.push(Counted { time, times, matches, values, number });
    }

    /// Events that the rule counts in the time from the alert's first event to its firing, as far as
    /// their lines are there.
    pub fn found(&self) -> u64 {
        self.matching(self.alert.first_event, self.alert.at).map(|one| one.times).sum()
    }

    /// The line of the alert is among those that were seen.
    pub fn has_line(&self, file: &str, offset: u64) -> bool {
        self.evidence_found.contains(&(file.to_owned(), offset))
    }

    /// The limit of the rule that the alert reached; the first where it has changed.
    pub fn limit(&self) -> Option<&'a Limit> {
        let is_it = |limit: &&Limit| {
            limit.window == self.alert.window && told(limit) as u64 == self.alert.threshold
        };
        self.rule.limits.iter().find(is_it).or_else(|| self.rule.limits.first())
    }

    /// What each guard saw in its window up to the moment at which the alert fired.
    pub fn guards(&self) -> Vec<Guard> {
        let at = self.alert.at;
        let mut guards = Vec::new();
        for (share, window) in
            self.rule.share.iter().flat_map(|share| share.windows.iter().map(move |w| (share, *w)))
        {
            let sum = |matches: bool| {
                let within = self.within(at.minus(window), at);
                within.filter(|one| one.matches == matches).map(|one| one.times).sum()
            };
            let (matching, against) = (sum(true), sum(false));
            guards.push(Guard::Share { window, matching, against, min: share.min });
        }
        let Some(limit) = self.limit() else { return guards };
        let from = at.minus(limit.window);
        for (index, min) in limit.values.iter().enumerate().filter(|(_, min)| 0 < **min) {
            let values = self.matching(from, at).filter_map(|one| one.values[index]);
            let found = values.collect::<BTreeSet<u64>>().len();
            guards.push(Guard::Values { index, found, min: *min });
        }
        if let Some((_, min)) = self.rule.sum {
            let found = self.matching(from, at).map(|one| one.number * one.times).sum();
            guards.push(Guard::Sum { found, min });
        }
        guards
    }

    /// What each limit would have done; empty for a rule without one.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |trial: &Trial| {
            let (from, to) = self.span();
            let own = trial.alerts.iter().filter(|one| from <= one.at && one.at <= to);
            let first = own.clone().map(|one| one.at).min();
            let up_to = |at| self.matching(self.alert.first_event, at).map(|one| one.times).sum();
            Outcome {
                limit: trial.limit,
                is_own: trial.is_own,
                alerts: own.count(),
                first,
                at_event: first.map(up_to),
            }
        };
        self.trials.iter().map(outcome).collect()
    }

    fn within(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &Counted> {
        self.counted.iter().filter(move |one| from <= one.time && one.time <= to)
    }

    fn matching(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &Counted> {
        self.within(from, to).filter(|one| one.matches)
    }
}

/// The number of a limit that an alert tells.
fn told(limit: &Limit) -> usize {
    limit.values.first().copied().unwrap_or(0).max(limit.events)
}

/// The rule with other limits: the one that the alert tells, whether it is the rule's own, the rule.
fn variants(rule: &Rule, alert: &Alert) -> impl Iterator<Item = (usize, bool, Rule)> {
    let has_limits = rule.looks_at_events()
        && rule.absence.is_none()
        && rule.first_seen.is_none()
        && rule.steps.is_none()
        && rule.sum.is_none();
    let own = usize::try_from(alert.threshold).unwrap_or(MAX_LIMIT).clamp(1, MAX_LIMIT);
    let scaled = move |numerator: usize, denominator: usize| {
        let scale = |value: usize, least: usize| match value {
            0 | 1 => value,
            value => (value * numerator / denominator).clamp(least, MAX_LIMIT),
        };
        let limits = rule.limits.iter().map(|limit| Limit {
            events: scale(limit.events, 1),
            values: limit.values.iter().map(|value| scale(*value, 1)).collect(),
            ..*limit
        });
        (scale(own, 1), limits.collect::<Vec<Limit>>())
    };
    let from_one = move |limit: usize| {
        let limits = rule.limits.iter().map(|one| Limit {
            events: one.events.max(limit),
            values: one.values.clone(),
            ..*one
        });
        (limit, limits.collect::<Vec<Limit>>())
    };
    let tried: Vec<(usize, Vec<Limit>)> = match (has_limits, own) {
        (false, _) => Vec::new(),
        (true, 1) => FROM_ONE.into_iter().map(from_one).collect(),
        (true, _) => FACTORS.into_iter().map(|(n, d)| scaled(n, d)).collect(),
    };
    let mut known = BTreeSet::new();
    tried.into_iter().filter(move |(limit, _)| known.insert(*limit)).map(move |(limit, limits)| {
        let is_own = limits == rule.limits;
        // Lower limits are reached by clients that ask little, too.
        let is_for_the_busy = rule.is_for_the_busy && own <= limit;
        let covered_by = Vec::new();
        (limit, is_own, Rule { limits, covered_by, is_for_the_busy, ..rule.clone() })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::batch::Origin;
    use crate::engine::detect::rule;
    use crate::engine::enrich::Enricher;
    use crate::engine::format::FormatSet;
    use crate::engine::parse::{Parser, Text};
    use crate::engine::time::TimeReader;

    const RULE: &str = "schema = 1\n[[rule]]\nid = \"own.scan\"\ntitle = \"Scan\"\nwhere = { \
        \"http.response.status_code\" = 404 }\ngroup_by = [\"client.net\"]\nwindow = \"1m\"\n\
        threshold = 4\nshare = { min = 0.5, against = { \"http.response.status_code\" = 200 } }\n\
        explain = \"{count}\"\n";

    /// Requests of one client, one every ten seconds, with these answers.
    fn batch(answers: &[u16]) -> EventBatch {
        let line = |(n, status): (usize, &u16)| {
            let (minute, second) = (n / 6, n % 6 * 10);
            format!(
                "203.0.113.7 - - [20/Nov/2026:07:{minute:02}:{second:02} +0000] \"GET /{n} \
                 HTTP/1.1\" {status} 5 \"-\" \"-\"\n"
            )
        };
        let text: String = answers.iter().enumerate().map(line).collect();
        let formats = FormatSet::from_definition("combined").expect("a format");
        let times = TimeReader::new(jiff::tz::TimeZone::UTC, Timestamp::from_secs(1_795_160_000));
        let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
        let mut batch = EventBatch::default();
        let read_at = Timestamp::from_secs(1_795_190_000);
        let origin = Arc::new(Origin { path: "a.log".into(), ..Origin::default() });
        let part =
            Text { origin, bytes: text.into_bytes(), from: 0, truncated_last: false, read_at };
        parser.fill(&mut batch, part);
        batch
    }

    fn rule() -> Rule {
        rule::parse(RULE).expect("a rule").remove(0)
    }

    /// The alert that `batch` raises first.
    fn alert(batch: &EventBatch) -> Alert {
        let mut detectors = Detectors::new(vec![rule()], Limits::new(1));
        let mut alerts = Vec::new();
        detectors.see(batch, Timestamp::from_secs(1_795_190_000), &mut alerts);
        alerts.into_iter().next().expect("an alert")
    }

    #[test]
    fn each_limit_does_what_it_would_have_done() {
        let batch = batch(&[200, 404, 404, 404, 404, 404, 404]);
        let (rule, alert) = (rule(), alert(&batch));
        let mut reckoning = Reckoning::new(&rule, &alert, &Circumstances::default());
        reckoning.see(&batch, Timestamp::from_secs(1_795_190_000));
        assert_eq!((4, 4), (alert.count, reckoning.found()));
        assert!(reckoning.has_line("a.log", alert.evidence[0].offset));
        assert!(!reckoning.has_line("b.log", alert.evidence[0].offset));
        let outcomes: Vec<(usize, bool, Option<u64>)> = reckoning
            .outcomes()
            .into_iter()
            .map(|one| (one.limit, one.is_own, one.at_event))
            .collect();
        // The span ends where the alert fired, so higher limits are not seen to fire.
        let expected = [
            (2, false, Some(2)),
            (3, false, Some(3)),
            (4, true, Some(4)),
            (5, false, None),
            (6, false, None),
            (8, false, None),
            (16, false, None),
        ];
        assert_eq!(expected, outcomes.as_slice());
        let over = Alert { last_event: alert.last_event.plus(Period::from_secs(20)), ..alert };
        let mut longer = Reckoning::new(&rule, &over, &Circumstances::default());
        longer.see(&batch, Timestamp::from_secs(1_795_190_000));
        let six = longer.outcomes().into_iter().find(|one| one.limit == 6).expect("tried");
        assert_eq!((1, Some(6)), (six.alerts, six.at_event));
    }

    #[test]
    fn guards_say_what_they_saw() {
        let batch = batch(&[200, 404, 404, 404, 404]);
        let (rule, alert) = (rule(), alert(&batch));
        let mut reckoning = Reckoning::new(&rule, &alert, &Circumstances::default());
        reckoning.see(&batch, Timestamp::from_secs(1_795_190_000));
        let window = Period::from_secs(60);
        let expected = vec![Guard::Share { window, matching: 4, against: 1, min: 0.5 }];
        assert_eq!(expected, reckoning.guards());
    }

    #[test]
    fn lines_that_are_gone_are_missed() {
        let whole = batch(&[404, 404, 404, 404]);
        let (rule, alert) = (rule(), alert(&whole));
        let mut reckoning = Reckoning::new(&rule, &alert, &Circumstances::default());
        assert_eq!(0, reckoning.found());
        reckoning.see(&batch(&[404, 404]), Timestamp::from_secs(1_795_190_000));
        assert_eq!(2, reckoning.found());
        assert!(reckoning.outcomes().iter().any(|one| one.limit == 2 && one.alerts == 1));
        assert!(reckoning.outcomes().iter().any(|one| one.is_own && one.first.is_none()));
    }

    #[test]
    fn a_rule_of_one_event_is_tried_with_more() {
        let mut rule = rule();
        rule.limits[0].events = 1;
        let alert = Alert { threshold: 1, ..Alert::default() };
        let limits: Vec<(usize, bool)> =
            variants(&rule, &alert).map(|(limit, is_own, _)| (limit, is_own)).collect();
        assert_eq!(vec![(1, true), (2, false), (3, false), (5, false), (10, false)], limits);
    }
}
