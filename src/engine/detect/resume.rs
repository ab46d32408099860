//! Going on where an earlier run ended: its alerts are taken up, and the lines that rules look back
//! at are seen again in silence.
//!
//! Invariant: what follows raises the alerts that it would have raised without the break, as far
//! as the lines seen again reach back.

use super::firing::Firing;
use super::{Alert, Detectors, keys};
use crate::units::Timestamp;

impl Detectors {
    /// Goes on with the alerts that were `open`: `again` shows the lines from `since` on once more,
    /// and its answer is the answer.
    ///
    /// An alert that those lines raise again counts as it did before. One that began earlier is
    /// taken up as it was stored, and what came after it is counted on top.
    pub fn resume<T>(
        &mut self,
        open: &[Alert],
        since: Timestamp,
        again: impl FnOnce(&mut Self) -> T,
    ) -> T {
        // It was no line that raised it.
        let is_of_time = |alert: &Alert| {
            let rule = self.rules.iter().find(|rule| rule.id == alert.rule.id);
            rule.is_some_and(|rule| rule.silence.is_some() || rule.absence.is_some())
        };
        let (before, within): (Vec<Alert>, Vec<Alert>) =
            open.iter().cloned().partition(|alert| alert.first_event < since && !is_of_time(alert));
        self.restore(before);
        let answer = again(self);
        self.forget_all_but(open);
        let mut lost = within;
        for (_, number) in &self.ending {
            let firing = &self.keys.state(*number).firing;
            lost.retain(|alert| firing.as_ref().is_none_or(|firing| firing.alert.id != alert.id));
        }
        self.restore(lost);
        answer
    }

    /// Takes up alerts that were going on when the last run ended.
    pub(super) fn restore(&mut self, open: Vec<Alert>) {
        for alert in open {
            let Some(rule) = self.rules.iter().position(|rule| rule.id == alert.rule.id) else {
                continue;
            };
            if self.rules[rule].absence.is_some() {
                self.absences.restore(&self.circumstances.calendar, rule, alert);
                continue;
            }
            if self.rules[rule].silence.is_some() {
                let source = alert.group.first().map_or("", |(_, source)| source);
                let place = self.clocks.place(source, Timestamp(0));
                self.silences.restore(place, alert);
                continue;
            }
            if self.rules[rule].is_watched() {
                self.watches.restore(rule, alert);
                continue;
            }
            keys::start_key(&mut self.scratch, rule);
            for ((_, subject), (_, value)) in self.rules[rule].group_by.iter().zip(&alert.group) {
                subject.append_key_text(value, &mut self.scratch);
            }
            let number = self.keys.entry(&self.scratch, self.now);
            let state = self.keys.state(number);
            if let Some(before) = &state.firing {
                self.ending.remove(&(before.end(&self.rules[rule]), number));
            }
            let firing = Firing::restored(alert);
            self.ending.insert((firing.end(&self.rules[rule]), number));
            state.firing = Some(Box::new(firing));
        }
    }

    /// Ends silently every alert that is not in `open`: it was resolved in an earlier run, and only
    /// looks alive because its lines were read again.
    fn forget_all_but(&mut self, open: &[Alert]) {
        self.silences.forget_all_but(open);
        self.watches.forget_all_but(open);
        self.absences.forget_all_but(open);
        let numbers: Vec<u32> = self.ending.iter().map(|(_, number)| *number).collect();
        for number in numbers {
            let state = self.keys.state(number);
            let Some(firing) = &state.firing else { continue };
            if !open.iter().any(|alert| alert.id == firing.alert.id) {
                let rule = keys::rule_of(&state.key);
                let end = firing.end(&self.rules[rule]);
                state.firing = None;
                state.clear();
                self.ending.remove(&(end, number));
            }
        }
    }
}
