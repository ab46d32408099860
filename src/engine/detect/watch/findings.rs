//! The alerts of findings while they go on.

use super::super::circumstances::Told;
use super::super::firing::Firing;
use super::super::rule::Rule;
use super::super::{Alert, AlertState};
use crate::units::{Period, Timestamp};

/// Alerts that go on at the same time; then the one not repeated for the longest ends early.
const OPEN_MAX: usize = 1024;

/// What an alert is about.
type Group = Vec<(String, String)>;

/// What was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// What it is about.
    pub(super) group: Group,
    /// In words.
    pub(super) detail: &'a str,
    /// When it began.
    pub(super) since: Timestamp,
    /// When it was found.
    pub(super) now: Timestamp,
    /// Lines, requests or happenings that it stands for.
    pub(super) count: u64,
}

/// The alerts that go on, each with the number of its rule.
#[derive(Debug, Default)]
pub(super) struct Findings {
    open: Vec<(usize, Firing)>,
}

impl Findings {
    /// It holds: raises the alert, or has it go on.
    pub(super) fn hold(
        &mut self,
        rule: &Rule,
        number: usize,
        found: Found<'_>,
        (circumstances, alerts): Told<'_>,
    ) {
        let now = found.now;
        if self.go_on(number, &found.group, now, 1) {
            return;
        }
        if OPEN_MAX <= self.open.len()
            && let Some(oldest) = (0..self.open.len()).min_by_key(|at| self.open[*at].1.held())
        {
            alerts.push(self.open.swap_remove(oldest).1.resolved(now));
        }
        let mut firing = Firing::found(rule, found);
        firing.alert.muted_by = circumstances.muted_by(rule, now);
        alerts.push(firing.alert.clone());
        self.open.push((number, firing));
    }

    /// It holds still, if it was told; false where it was not.
    pub(super) fn go_on(
        &mut self,
        number: usize,
        group: &[(String, String)],
        now: Timestamp,
        count: u64,
    ) -> bool {
        let Some(at) = self.place(number, group) else { return false };
        let firing = &mut self.open[at].1;
        firing.hold(now);
        firing.alert.count += count;
        firing.alert.last_event = firing.alert.last_event.max(now);
        true
    }

    /// It is over.
    pub(super) fn end(
        &mut self,
        number: usize,
        group: &[(String, String)],
        now: Timestamp,
        alerts: &mut Vec<Alert>,
    ) {
        if let Some(at) = self.place(number, group) {
            alerts.push(self.open.swap_remove(at).1.resolved(now));
        }
    }

    /// Ends what was not found again for as long as its rule says, of those of which the number
    /// `is_meant`.
    pub(super) fn resolve(
        &mut self,
        rules: &[Rule],
        is_meant: impl Fn(usize) -> bool,
        now: Timestamp,
        alerts: &mut Vec<Alert>,
    ) {
        let mut at = 0;
        while at < self.open.len() {
            let (number, firing) = &self.open[at];
            let end = firing.end(&rules[*number]);
            if is_meant(*number) && end <= now {
                alerts.push(self.open.swap_remove(at).1.resolved(end));
            } else {
                at += 1;
            }
        }
    }

    pub(super) fn restore(&mut self, number: usize, alert: Alert) {
        // Lines that were seen again have raised it, and counted as before.
        let is_same = |firing: &Firing| firing.alert.id == alert.id;
        if !self.open.iter().any(|(_, firing)| is_same(firing)) {
            self.open.push((number, Firing::restored(alert)));
        }
    }

    pub(super) fn forget_all_but(&mut self, open: &[Alert]) {
        self.open.retain(|(_, firing)| open.iter().any(|alert| alert.id == firing.alert.id));
    }

    /// Nothing goes on.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn place(&self, number: usize, group: &[(String, String)]) -> Option<usize> {
        self.open
            .iter()
            .position(|(known, firing)| *known == number && firing.alert.group.as_slice() == group)
    }
}

impl Firing {
    /// `rule` was told of something about `group`.
    fn found(rule: &Rule, found: Found<'_>) -> Self {
        let Found { group, detail, since, now, count } = found;
        let whole_minutes = Period::from_secs(60 * (now.since(since).secs() / 60));
        let limit = &rule.limits[0];
        let window = limit.window.max(whole_minutes);
        let blank = Self::blank(rule, limit, group, (since, now));
        let alert = Alert { state: AlertState::Firing, window, count, ..blank };
        Self::with_detail(alert, rule, detail)
    }
}
