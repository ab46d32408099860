//! What no single event tells: findings that the pipeline reports, clocks that are wrong, floods.
//!
//! Whoever finds something says it here, again and again while it holds, and gets the alert of the
//! rule that names it: with title, severity, sentence and id as any other. The engine stays pure:
//! who reports passes the time in.
//!
//! Invariant: one alert for one rule and what it is about, from the report that raises it until it
//! is taken back, or was not repeated for the rule's `resolve_after`.

mod findings;
mod flood;
mod skew;

use serde::Deserialize;

use self::findings::{Findings, Found};
use self::flood::Floods;
use self::skew::Skews;
use super::circumstances::Told;
use super::rule::Rule;
use super::{Alert, Detectors};
use crate::engine::batch::Event;
use crate::units::Timestamp;

pub use self::flood::Flood;

/// What a rule without `where` waits to be told.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Reported {
    /// A followed file is not what it was, and no rotation explains it. It happens, so it fires at
    /// once.
    Tamper,
    /// A source cannot be read, for as long as the rule's window.
    Unreadable,
    /// A sink or the mail has taken nothing for as long as the rule's window, and something waits.
    Delivery,
    /// So many lines in a row of a source that is being written are further from the time at which
    /// they were read than the rule's window.
    Clock,
    /// By the weekly rhythm too few people log in.
    Missing,
    /// By the weekly rhythm too many log-ins fail.
    Guessing,
    /// By the weekly rhythm a site or source is too quiet.
    Lull,
    /// By the weekly rhythm there is too much of something.
    Surge,
}

impl Reported {
    /// Names of what an alert is about.
    pub fn about(self) -> &'static [&'static str] {
        match self {
            Self::Tamper => &["source", "file"],
            Self::Unreadable | Self::Clock => &["source"],
            Self::Delivery => &["channel"],
            Self::Missing | Self::Guessing | Self::Lull | Self::Surge => &["series"],
        }
    }

    /// It is sure when it is told, and over when it is told no more; others last until somebody
    /// says that they are over.
    fn is_a_moment(self) -> bool {
        self == Self::Tamper || self.is_of_rhythm()
    }

    /// The weekly rhythm tells it.
    pub fn is_of_rhythm(self) -> bool {
        matches!(self, Self::Missing | Self::Guessing | Self::Lull | Self::Surge)
    }
}

/// Something that was found, and goes on.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// What it is.
    pub what: Reported,
    /// The values of [`Reported::about`]. Hostile text.
    pub about: &'a [&'a str],
    /// The part of the rule's sentence that it calls `{detail}`. Hostile text.
    pub detail: &'a str,
    /// When it began. The alert's id follows from it.
    pub since: Timestamp,
}

impl Finding<'_> {
    fn group(&self) -> Vec<(String, String)> {
        let pair = |(name, value): (&&str, &&str)| ((*name).to_owned(), (*value).to_owned());
        self.what.about().iter().zip(self.about).map(pair).collect()
    }
}

/// All that is found without an event of its own.
#[derive(Debug)]
pub(super) struct Watches {
    findings: Findings,
    skews: Skews,
    floods: Floods,
}

impl Watches {
    pub(super) fn new(rules: &[Rule], hasher: ahash::RandomState) -> Self {
        Self {
            findings: Findings::default(),
            skews: Skews::new(rules),
            floods: Floods::new(rules, hasher),
        }
    }

    /// Sees an event of the source at `place`, read at `read_at`; `time` is not much later.
    #[inline]
    pub(super) fn see(
        &mut self,
        rules: &[Rule],
        place: usize,
        event: &Event<'_>,
        (time, read_at): (Timestamp, Timestamp),
        (circumstances, alerts): Told<'_>,
    ) {
        let findings = &mut self.findings;
        self.skews.see(rules, place, event, read_at, (findings, (circumstances, alerts)));
        self.floods.see(rules, event, time, (findings, (circumstances, alerts)));
    }

    /// Ends what was not found again for long enough.
    pub(super) fn tick(&mut self, rules: &[Rule], now: Timestamp, alerts: &mut Vec<Alert>) {
        self.findings.resolve(rules, |_| true, now, alerts);
    }

    /// Takes up an alert of rule `number`.
    pub(super) fn restore(&mut self, number: usize, alert: Alert) {
        self.findings.restore(number, alert);
    }

    /// Ends silently every alert that is not in `open`.
    pub(super) fn forget_all_but(&mut self, open: &[Alert]) {
        self.findings.forget_all_but(open);
    }
}

impl Detectors {
    /// It was found, or is still so, at `now`: raises the alert once the finding is as old as its
    /// rule asks for.
    pub fn report(&mut self, finding: &Finding<'_>, now: Timestamp, alerts: &mut Vec<Alert>) {
        for number in reported(&self.rules, finding.what) {
            let rule = &self.rules[number];
            if finding.what.is_a_moment() || rule.window() <= now.since(finding.since) {
                let Finding { detail, since, .. } = *finding;
                let found = Found { group: finding.group(), detail, since, now, count: 1 };
                let told = (&self.circumstances, &mut *alerts);
                self.watches.findings.hold(rule, number, found, told);
            } else {
                self.watches.findings.go_on(number, &finding.group(), now, 0);
            }
        }
    }

    /// It is over at `now`.
    pub fn report_end(
        &mut self,
        what: Reported,
        about: &[&str],
        now: Timestamp,
        alerts: &mut Vec<Alert>,
    ) {
        let group = Finding { what, about, detail: "", since: now }.group();
        for number in reported(&self.rules, what) {
            self.watches.findings.end(number, &group, now, alerts);
        }
    }
}

/// What is wrong with a rule that is watched here.
pub(super) fn check(
    reported: Option<Reported>,
    flood: Option<Flood>,
    group_by: &[String],
) -> Result<(), String> {
    if reported.is_some() && !group_by.is_empty() {
        return Err("`reported` says what an alert is about: `group_by = []`".to_owned());
    }
    match flood {
        Some(_) if group_by != ["site"] => {
            Err("`flood` goes with `group_by = [\"site\"]`".to_owned())
        }
        Some(flood) if flood.times == 0 => Err("`flood.times` is at least 1".to_owned()),
        _ => Ok(()),
    }
}

/// The numbers of the rules that are told of `what`.
fn reported(rules: &[Rule], what: Reported) -> Vec<usize> {
    (0..rules.len()).filter(|number| rules[*number].reported == Some(what)).collect()
}

#[cfg(test)]
mod tests;
