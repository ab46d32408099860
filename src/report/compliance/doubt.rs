//! Whether the log of a day is complete enough to say of somebody that they did not come.

use std::collections::BTreeMap;

use super::super::figures::{minute, of, stretch};
use super::super::quality;
use super::super::week::Stretch;
use super::judge::Terms;
use crate::engine::detect::{Alert, AlertState};
use crate::units::Timestamp;

/// Rules that tell of lines that did not come, or are gone.
const LOSSES: &[&str] = &["ops.silence", "ops.unreadable", "ops.tamper"];

/// Why figures may be too low.
#[derive(Clone, Debug, Default)]
pub struct Doubts {
    /// Lines are missing: the figures are lower bounds.
    pub at_least: bool,
    /// One sentence each.
    pub reasons: Vec<String>,
}

/// What is known of the lines of the day and of those a week before.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// The hours of a period that holds the day.
    pub this: &'a Stretch,
    /// The hours a week before.
    pub before: Option<&'a Stretch>,
    /// Transitions of alerts of the time.
    pub alerts: &'a [Alert],
    /// Since when who comes is written down.
    pub since: Option<Timestamp>,
    /// Since when lines are read.
    pub watched_since: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

impl Doubts {
    /// What makes the figures of `day` doubtful.
    pub fn about(day: jiff::civil::Date, terms: &Terms<'_>, watched: &Watched<'_>) -> Self {
        let (from, to, _) = terms.window(day);
        let zone = terms.zone();
        let mut doubts = Self::default();
        let mut lose = |reason: String| {
            doubts.at_least = true;
            doubts.reasons.push(reason);
        };
        let since = watched.since.into_iter().chain(watched.watched_since).max();
        if let Some(since) = since.filter(|since| from < *since) {
            let since = since.min(to);
            lose(format!("not watched {}", stretch(from, since, zone)));
        }
        if watched.now < to {
            lose("the day is not over".to_owned());
        }
        let first = from.secs().div_ceil(3600) as u32;
        let begin = since.map_or(first, |since| since.hour().max(first));
        let end = (to.secs().div_ceil(3600) as u32).min(watched.now.hour());
        let begin = begin.min(end);
        let before = watched.before.filter(|before| !before.hours.is_empty());
        let before = before.map(|before| (&before.hours, since.map_or(0, Timestamp::hour)));
        for gap in quality::silence(begin..end, &watched.this.hours, before, zone).gaps {
            let when = stretch(gap.from, gap.to, zone);
            lose(format!("no line {when}, about {} expected", of(gap.expected, "line", "lines")));
        }
        for (rule, opened) in losses(watched.alerts, from, to) {
            lose(format!("{rule} fired {}", minute(opened, zone)));
        }
        let held = watched.this.hours.range(begin..end);
        let unparsed: u64 = held.map(|(_, counts)| counts.unparsed).sum();
        if 0 < unparsed {
            let lines = of(unparsed, "line was", "lines were");
            doubts.reasons.push(format!("{lines} not understood"));
        }
        doubts
    }
}

/// Alerts about lost lines that were open in the window: rule, and when it was opened.
fn losses(alerts: &[Alert], from: Timestamp, to: Timestamp) -> Vec<(String, Timestamp)> {
    let mut open: BTreeMap<&str, (&str, Timestamp, Option<Timestamp>)> = BTreeMap::new();
    for alert in alerts.iter().filter(|alert| LOSSES.contains(&alert.rule.id.as_str())) {
        let known = open.entry(&alert.id).or_insert((&alert.rule.id, alert.at, None));
        match alert.state {
            AlertState::Resolved => known.2 = Some(alert.at),
            _ => known.1 = known.1.min(alert.at),
        }
    }
    let held = open.into_values().filter(|(_, opened, resolved)| {
        *opened < to && resolved.is_none_or(|resolved| from < resolved)
    });
    held.map(|(rule, opened, _)| (rule.to_owned(), opened)).collect()
}
