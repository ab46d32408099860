//! Alerts as a reader of a report sees them: one entry each, from firing to resolved.

use std::collections::BTreeMap;
use std::fmt;

use super::figures;
use crate::engine::detect::{Alert, AlertState, Severity};
use crate::units::Timestamp;

/// Both transitions of one alert, folded.
#[derive(Clone, Debug)]
pub struct Incident<'a> {
    /// The newest transition: its counts are the most complete.
    pub alert: &'a Alert,
    /// When the rule fired.
    pub opened: Timestamp,
    /// When it fell silent; none while it is still firing.
    pub resolved: Option<Timestamp>,
}

/// Folds the transitions of each alert into one entry: most severe first, then oldest first.
pub fn fold(alerts: &[Alert]) -> Vec<Incident<'_>> {
    let mut by_id: BTreeMap<&str, Incident<'_>> = BTreeMap::new();
    for alert in alerts {
        // An alert whose firing is not at hand opened with its first event at the latest.
        let resolved = (alert.state == AlertState::Resolved).then_some(alert.at);
        let has_fired = alert.state == AlertState::Firing;
        let opened = if has_fired { alert.at } else { alert.first_event };
        let new = Incident { alert, opened, resolved };
        by_id
            .entry(&alert.id)
            .and_modify(|held| {
                // Whatever their order is, the last transition has the most complete counts.
                if held.alert.at <= alert.at && held.resolved.is_none() || resolved.is_some() {
                    held.alert = alert;
                }
                held.resolved = held.resolved.or(resolved);
                if has_fired {
                    held.opened = alert.at;
                }
            })
            .or_insert(new);
    }
    let mut all: Vec<_> = by_id.into_values().collect();
    all.sort_by(|a, b| {
        let severity = b.alert.severity.cmp(&a.alert.severity);
        severity.then(a.opened.cmp(&b.opened)).then_with(|| a.alert.id.cmp(&b.alert.id))
    });
    all
}

/// How many alerts there are of each severity.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Severities {
    /// Somebody may be inside.
    pub critical: u64,
    /// Worth a mail at once.
    pub high: u64,
    /// Worth a look the same day.
    pub medium: u64,
    /// A line in the report.
    pub low: u64,
    /// For the record.
    pub info: u64,
}

impl Severities {
    /// Counts `incidents`.
    pub fn of<'a>(incidents: impl IntoIterator<Item = &'a Incident<'a>>) -> Self {
        let mut all = Self::default();
        for incident in incidents {
            match incident.alert.severity {
                Severity::Critical => all.critical += 1,
                Severity::High => all.high += 1,
                Severity::Medium => all.medium += 1,
                Severity::Low => all.low += 1,
                Severity::Info => all.info += 1,
            }
        }
        all
    }

    /// Alerts of all severities.
    pub fn total(self) -> u64 {
        self.critical + self.high + self.medium + self.low + self.info
    }
}

impl fmt::Display for Severities {
    /// Those that occur: `1 critical, 3 medium`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.critical, "critical"),
            (self.high, "high"),
            (self.medium, "medium"),
            (self.low, "low"),
            (self.info, "info"),
        ];
        let shown: Vec<String> = all
            .iter()
            .filter(|(count, _)| 0 < *count)
            .map(|(count, name)| format!("{} {name}", figures::count(*count)))
            .collect();
        f.write_str(&shown.join(", "))
    }
}

/// Whether the attack worked, as far as the log says.
pub fn worked(alert: &Alert) -> String {
    if 0 < alert.successes {
        return format!("yes: {}", figures::of(alert.successes, "log-in", "log-ins"));
    }
    match alert.rule.category.as_str() {
        "authentication" => "no".to_owned(),
        "web" => {
            let answered: u64 = alert.statuses.range(200..300).map(|(_, count)| count).sum();
            match answered {
                0 => "no".to_owned(),
                _ => format!("answered 2xx: {}", figures::count(answered)),
            }
        }
        _ => "–".to_owned(),
    }
}

/// Addresses and names of an alert, at most `max` of each; what the rule groups by if it has none.
/// Hostile text.
pub fn who(alert: &Alert, max: usize) -> String {
    let addresses = alert.addresses.iter().map(ToString::to_string);
    let mut parts = Vec::new();
    parts.extend(listed(addresses, max));
    if let Some(users) = listed(alert.users.iter().cloned(), max) {
        parts.push(format!("as {users}"));
    }
    if parts.is_empty() {
        let group = alert.group.iter().map(|(name, value)| format!("{name} {value}"));
        parts.extend(listed(group, max));
    }
    parts.join(" ")
}

/// The first `max` of `all` with commas, and how many more there are.
pub fn listed(all: impl ExactSizeIterator<Item = String>, max: usize) -> Option<String> {
    let more = all.len().saturating_sub(max);
    let mut text = all.take(max).collect::<Vec<_>>().join(", ");
    if 0 < more {
        text.push_str(&format!(" and {more} more"));
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn both_transitions_of_an_alert_are_one_entry() {
        let firing = fixture::spraying(Timestamp::from_secs(1000));
        let mut resolved = firing.clone();
        resolved.state = AlertState::Resolved;
        resolved.at = Timestamp::from_secs(5000);
        resolved.count = 99;
        for alerts in [[firing.clone(), resolved.clone()], [resolved, firing]] {
            let folded = fold(&alerts);
            assert_eq!(1, folded.len());
            assert_eq!(99, folded[0].alert.count);
            assert_eq!(Timestamp::from_secs(1000), folded[0].opened);
            assert_eq!(Some(Timestamp::from_secs(5000)), folded[0].resolved);
        }
    }

    #[test]
    fn the_worst_comes_first() {
        let mut low = fixture::scanning(Timestamp::from_secs(1));
        low.severity = Severity::Low;
        let alerts = [low, fixture::spraying(Timestamp::from_secs(9))];
        let folded = fold(&alerts);
        assert_eq!(Severity::Critical, folded[0].alert.severity);
        assert_eq!("1 critical, 1 low", Severities::of(&folded).to_string());
    }

    #[test]
    fn what_the_log_says_of_success_is_said() {
        let mut alert = fixture::spraying(Timestamp(0));
        assert_eq!("yes: 1 log-in", worked(&alert));
        alert.successes = 0;
        assert_eq!("no", worked(&alert));
        let mut alert = fixture::scanning(Timestamp(0));
        assert_eq!("answered 2xx: 3", worked(&alert));
        alert.statuses.clear();
        assert_eq!("no", worked(&alert));
    }

    #[test]
    fn a_long_list_says_how_much_it_leaves_out() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(Some("a, b and 1 more".to_owned()), listed(names.into_iter(), 2));
        assert_eq!(None, listed(std::iter::empty::<String>().collect::<Vec<_>>().into_iter(), 2));
    }
}
