//! What other limits would have done: the same events under several sets of rules.
//!
//! ```text
//!  events ─▶ Trial: Detectors ─▶ Incidents ─▶ MailMeter      one for each set of rules, side by side
//!                                    └─▶ Outcome ─▶ tune: limits for so many mails a week
//! ```
//!
//! The engine, the incidents and the policy of mails are those of the daemon; only the clock is the
//! log's and nothing leaves. Pure: it opens no file and starts threads only to use all cores.
//!
//! Invariant: the same events under the same rules have the same outcome, in whatever company.

pub mod tune;

use std::collections::BTreeMap;

use crate::engine::batch::EventBatch;
use crate::engine::detect::incident::Incidents;
use crate::engine::detect::rule::Rule;
use crate::engine::detect::{Alert, AlertState, Circumstances, Detectors, Limits};
use crate::notify::{MailConfig, MailMeter};
use crate::units::{Period, Timestamp};

/// Sets of rules that are tried at the same time: each may remember up to 32 MiB.
pub const TRIALS_MAX: usize = 64;

/// Alerts of one trial that are told apart; further ones only count.
const ALERTS_MAX: usize = 50_000;

const WEEK: Period = Period::from_secs(7 * 86_400);

/// One set of rules on its way through the events.
struct Trial {
    detectors: Detectors,
    incidents: Incidents,
    meter: MailMeter,
    outcome: Outcome,
    /// What the last batch raised.
    raised: Vec<Alert>,
}

/// What a set of rules made of the events.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// Alerts that were raised.
    pub alerts: u64,
    /// Incidents that they belong to.
    pub incidents: u64,
    /// Mails about them, by the policy in force.
    pub mails: u64,
    /// By rule: its alerts, and those of their transitions that are mailed.
    pub rules: BTreeMap<String, (u64, u64)>,
    /// Each alert: its rule, what it is about, and when it was raised; the first 50,000.
    pub raised: Vec<Raised>,
}

/// An alert that was raised.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Raised {
    /// Id of its rule.
    pub rule: String,
    /// What it is about: values of the group, in the rule's order.
    pub about: String,
    /// When.
    pub at: Timestamp,
    /// How long after the first event that counts.
    pub delay: Period,
}

impl Outcome {
    /// Half of the alerts came faster after their first event.
    pub fn median_delay(&self) -> Option<Period> {
        let mut delays: Vec<Period> = self.raised.iter().map(|raised| raised.delay).collect();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied()
    }

    /// Alerts that `other` has and this one lacks: none of the same rule about the same within a day.
    pub fn lost<'a>(&self, other: &'a Self) -> Vec<&'a Raised> {
        let day = Period::from_secs(86_400);
        let mut known: BTreeMap<(&str, &str), Vec<Timestamp>> = BTreeMap::new();
        for raised in &self.raised {
            known.entry((&raised.rule, &raised.about)).or_default().push(raised.at);
        }
        let is_lost = |raised: &&Raised| {
            let times = known.get(&(raised.rule.as_str(), raised.about.as_str()));
            let is_near = |at: &Timestamp| at.since(raised.at).max(raised.at.since(*at)) <= day;
            !times.is_some_and(|times| times.iter().any(is_near))
        };
        other.raised.iter().filter(is_lost).collect()
    }
}

/// Several sets of rules that see the same events.
pub struct Backtest {
    trials: Vec<Trial>,
    first: Option<Timestamp>,
    last: Timestamp,
}

/// What the sets of rules have in common.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Who is mailed, and how often.
    pub mail: MailConfig,
    /// People, days and exceptions.
    pub circumstances: Circumstances,
    /// Seed of the hashes of keys.
    pub seed: u64,
}

impl Backtest {
    /// One trial for each set of rules, of [`TRIALS_MAX`] at most.
    pub fn new(sets: Vec<Vec<Rule>>, setting: &Setting) -> Self {
        assert!(sets.len() <= TRIALS_MAX, "{} sets of rules at once", sets.len());
        let trial = |rules: Vec<Rule>| Trial {
            detectors: Detectors::new(rules, Limits::new(setting.seed))
                .in_circumstances(setting.circumstances.clone())
                .with_one_clock(),
            incidents: Incidents::default(),
            meter: MailMeter::new(setting.mail.clone()),
            outcome: Outcome::default(),
            raised: Vec::new(),
        };
        Self { trials: sets.into_iter().map(trial).collect(), first: None, last: Timestamp(0) }
    }

    /// Shows the events to all trials, on so many threads.
    pub fn see(&mut self, batch: &EventBatch, read_at: Timestamp, threads: usize) {
        for event in batch.events().filter(|event| !event.row().time_is_read) {
            let time = event.row().time;
            self.first = Some(self.first.map_or(time, |first| first.min(time)));
            self.last = self.last.max(time);
        }
        let share = self.trials.len().div_ceil(threads.max(1)).max(1);
        std::thread::scope(|scope| {
            for trials in self.trials.chunks_mut(share) {
                scope.spawn(move || {
                    for trial in trials {
                        trial.detectors.see(batch, read_at, &mut trial.raised);
                        trial.take();
                    }
                });
            }
        });
    }

    /// The time that the events cover, in weeks.
    pub fn weeks(&self) -> f64 {
        let covered = self.first.map_or_else(Period::default, |first| self.last.since(first));
        covered.ms() as f64 / WEEK.ms() as f64
    }

    /// Ends all trials; what they came to, in the order of the sets.
    pub fn finish(mut self) -> Vec<Outcome> {
        let end = self.last;
        for trial in &mut self.trials {
            trial.detectors.tick(end, &mut trial.raised);
            trial.take();
            trial.outcome.mails = trial.meter.finish();
        }
        self.trials.into_iter().map(|trial| trial.outcome).collect()
    }
}

impl Trial {
    fn take(&mut self) {
        for mut alert in self.raised.drain(..) {
            self.incidents.see(&mut alert);
            let outcome = &mut self.outcome;
            let counts = outcome.rules.entry(alert.rule.id.clone()).or_default();
            counts.1 += u64::from(self.meter.see(&alert));
            if alert.state != AlertState::Firing {
                continue;
            }
            counts.0 += 1;
            outcome.alerts += 1;
            let opens = |part: &crate::engine::detect::Part| part.incident == alert.id;
            outcome.incidents += u64::from(alert.part.as_ref().is_some_and(opens));
            if outcome.raised.len() < ALERTS_MAX {
                let about: Vec<&str> =
                    alert.group.iter().map(|(_, value)| value.as_str()).collect();
                outcome.raised.push(Raised {
                    about: about.join(" "),
                    at: alert.at,
                    delay: Period(alert.at.since(alert.first_event).ms()),
                    rule: alert.rule.id,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
