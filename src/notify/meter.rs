//! How many mails alerts make: the real policy by a clock of its own.
//!
//! For comparing rules: alerts go in as they were raised, and what [`Mailer`] would have sent is
//! counted. Nothing is rendered, nothing leaves.

use super::config::MailConfig;
use super::mailer::{Action, Input, Mailer, MailerLimits, Pending, Sent};
use super::outbox::{enqueue, pending_alert};
use crate::engine::detect::Alert;
use crate::io::Seeded;
use crate::units::Timestamp;

/// A mailbox that only counts.
pub struct MailMeter {
    config: MailConfig,
    mailer: Mailer,
    pending: Vec<Pending>,
    next: Option<Timestamp>,
    next_id: i64,
    mails: u64,
}

impl MailMeter {
    /// An empty mailbox of somebody who gets mails as `config` says.
    pub fn new(config: MailConfig) -> Self {
        let limits = MailerLimits::of(&config);
        // A server that never fails needs no chance for its pauses.
        let mailer = Mailer::new(limits, Sent::default(), Box::new(Seeded::new(1)));
        Self { config, mailer, pending: Vec::new(), next: None, next_id: 1, mails: 0 }
    }

    /// Takes what an alert has become; alerts come in the order of their times. True where it is
    /// mailed, alone or with others.
    pub fn see(&mut self, alert: &Alert) -> bool {
        self.advance(alert.at);
        if enqueue(alert, &self.config, alert.at).is_none() {
            return false;
        }
        self.pending.push(pending_alert(self.next_id, alert, alert.at));
        self.next_id += 1;
        self.send(alert.at);
        true
    }

    /// Sends what still waits; answers how many mails there were.
    pub fn finish(&mut self) -> u64 {
        self.advance(Timestamp(u64::MAX));
        self.mails
    }

    fn advance(&mut self, to: Timestamp) {
        while let Some(next) = self.next.filter(|next| *next <= to) {
            self.send(next);
        }
    }

    fn send(&mut self, now: Timestamp) {
        let mut action = self.mailer.handle(now, Input::Due(self.pending.clone()));
        self.next = loop {
            match action {
                Action::Send(parcel) => {
                    self.mails += 1;
                    self.pending.retain(|pending| !parcel.ids().contains(&pending.id));
                    action = self.mailer.handle(now, Input::Accepted);
                }
                Action::Expire(ids) => {
                    self.pending.retain(|pending| !ids.contains(&pending.id));
                    action = self.mailer.handle(now, Input::Due(self.pending.clone()));
                }
                Action::WaitUntil(then) => break Some(then),
                Action::Idle => break None,
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::Severity;
    use crate::notify::samples;
    use crate::units::Period;

    fn config() -> MailConfig {
        MailConfig { directory: Some("unused".into()), ..MailConfig::default() }
    }

    /// Alerts of one severity, so many minutes after each other.
    #[track_caller]
    fn check(severity: Severity, minutes: &[u64], expected: u64) {
        let mut meter = MailMeter::new(config());
        let start = samples::spray();
        for (number, minute) in minutes.iter().enumerate() {
            let at = start.at.plus(Period::from_secs(60 * minute));
            let id = format!("{number:032x}");
            meter.see(&Alert { id, at, severity, part: None, ..start.clone() });
        }
        assert_eq!(expected, meter.finish());
    }

    #[test]
    fn what_is_only_for_the_report_makes_no_mail() {
        check(Severity::Low, &[0, 1, 2], 0);
    }

    #[test]
    fn medium_ones_are_told_together_and_high_ones_alone() {
        check(Severity::Medium, &[0, 10, 20, 70, 200], 4);
        check(Severity::High, &[0, 10, 20, 70, 200], 5);
    }

    #[test]
    fn a_storm_is_one_mail_an_hour() {
        // Twelve, one that has no room, and an hour later one that lists the others.
        check(Severity::High, &[0; 100], 14);
    }
}
