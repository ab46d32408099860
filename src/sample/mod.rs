//! Samples of logs: a member site's week with as many clients as wanted, and attacks to be found.
//!
//! The demo, the benches and the tests read them. Pure: a seed and times come in, bytes go out; no
//! clock, no file. The same configuration gives the same bytes on every machine, and [`Truth`]
//! says what is in them.
//!
//! Nobody real is shown: addresses are of blocks that belong to no one, names end in
//! `example.org`, members are numbers.
//!
//! Invariant: lines are in order of time, and all clients asked for are named at least once where
//! there are lines enough.

mod attack;
mod auth_log;
mod clients;
mod guessing;
mod line;
mod odd;
mod random;
mod site;
mod truth;
mod visit;
mod week;

use self::attack::Courses;
use self::line::LineWriter;
use self::random::Random;
use self::truth::Counts;
use self::visit::Visits;
use self::week::Week;
use crate::units::{Period, Timestamp};

pub use attack::{Attack, AttackKind, Episode};
pub use auth_log::AuthLog;
pub use clients::CLIENTS_MAX;
pub use guessing::{ADVERSARIES, Adversary, LoginsConfig, logins};
pub use truth::Truth;

/// What a sample is like.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrafficConfig {
    /// Decides everything that chance decides.
    pub seed: u64,
    /// When it begins.
    pub start: Timestamp,
    /// How long it lasts; the rhythm of days and weeks follows from the times.
    pub length: Period,
    /// Lines in all, attacks included; where the attacks alone have more, only these.
    pub lines: u64,
    /// Different ordinary clients, from 1 to [`CLIENTS_MAX`]; attackers come on top.
    pub clients: u32,
    /// What goes wrong. At most 256 are taken.
    pub attacks: Vec<Attack>,
}

/// Writes an access log in the `combined` format, line by line.
///
/// ```
/// use gatewatch::sample::{Traffic, TrafficConfig};
/// use gatewatch::units::{Period, Timestamp};
///
/// let mut traffic = Traffic::new(&TrafficConfig {
///     seed: 1,
///     start: Timestamp::from_secs(1_794_787_200),
///     length: Period::from_secs(7 * 86_400),
///     lines: 1000,
///     clients: 50,
///     attacks: Vec::new(),
/// });
/// let mut log = Vec::new();
/// while traffic.next_line(&mut log) {}
/// assert_eq!(50, traffic.truth().clients);
/// ```
#[derive(Debug)]
pub struct Traffic {
    week: Week,
    /// Time of the next ordinary line.
    next_slot: Option<u64>,
    random: Random,
    visits: Visits,
    courses: Courses,
    lines: LineWriter,
    counts: Counts,
}

impl Traffic {
    /// Prepares the log that `config` describes.
    pub fn new(config: &TrafficConfig) -> Self {
        let courses = Courses::new(config.seed, &config.attacks, |_| true);
        let ordinary = config.lines.saturating_sub(courses.lines());
        let mut week = Week::new(config.start.ms(), config.length.ms(), ordinary);
        let mut random = Random::new(config.seed, 0);
        Self {
            next_slot: week.next_time(&mut random),
            week,
            random,
            visits: Visits::new(config.seed, config.clients),
            courses,
            lines: LineWriter::new(),
            counts: Counts::new(),
        }
    }

    /// Appends the next line, with its line feed; false at the end of the log.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        let attack_at = self.courses.next_at();
        match self.next_slot {
            Some(at) if at <= attack_at => self.ordinary_line(at, out),
            None if attack_at == u64::MAX => return false,
            _ => self.attack_line(attack_at, out),
        }
        self.counts.line(out.len() - before);
        true
    }

    /// Appends lines until `out` holds at least `bytes`; false at the end of the log.
    pub fn fill(&mut self, out: &mut Vec<u8>, bytes: usize) -> bool {
        while out.len() < bytes {
            if !self.next_line(out) {
                return false;
            }
        }
        true
    }

    /// What has been written so far.
    pub fn truth(&self) -> Truth {
        let clients = u64::from(self.visits.distinct_clients());
        self.counts.truth(clients, self.courses.episodes())
    }

    fn ordinary_line(&mut self, at: u64, out: &mut Vec<u8>) {
        let left = self.week.left() + 1;
        let outage = self.courses.outage(at);
        let down = outage.is_some();
        let written = self.visits.write(at, left, down, &mut self.lines, out);
        if let Some(course) = outage
            && written.status.is_some_and(|status| 500 < status)
        {
            course.count(at, None, false);
        }
        self.counts.status(written.status);
        self.counts.log_in(written.log_in);
        self.next_slot = self.week.next_time(&mut self.random);
    }

    fn attack_line(&mut self, at: u64, out: &mut Vec<u8>) {
        let (course, step) = self.courses.take();
        if course.kind() == AttackKind::Outage {
            let status = self.visits.write_reload(at, &mut self.lines, out);
            course.count(at, None, false);
            self.counts.status(Some(status));
            return;
        }
        let status = course.write(at, step, &mut self.lines, out);
        course.count(at, Some(step.client), step.succeeds);
        self.counts.status(Some(status));
        if course.kind().is_about_log_ins() {
            self.counts.log_in(Some(step.succeeds));
        }
    }
}

#[cfg(test)]
mod tests;
