//! What detection knows besides lines and rules: people, days, and exceptions.

use std::sync::Arc;

use super::Alert;
use super::allow::Allow;
use super::calendar::Calendar;
use super::maintenance::Maintenance;
use super::rule::Rule;
use crate::engine::enrich::Roster;
use crate::units::Timestamp;

/// People, days and exceptions of the organisation.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Whose alerts are not wanted.
    pub allowed: Vec<Allow>,
    /// When alerts are expected.
    pub maintenance: Vec<Maintenance>,
    /// Zone and holidays.
    pub calendar: Calendar,
    /// Who should log in.
    pub roster: Option<Arc<Roster>>,
}

/// What decides whether an alert is muted, and where alerts go.
pub(super) type Told<'a> = (&'a Circumstances, &'a mut Vec<Alert>);

impl Circumstances {
    /// The name of the maintenance that mutes `rule` at `time`.
    pub(super) fn muted_by(&self, rule: &Rule, time: Timestamp) -> Option<String> {
        let mut all = self.maintenance.iter();
        Some(all.find(|entry| entry.holds(rule, &self.calendar, time))?.name.clone())
    }
}
