//! How well alarms tell of what happened.

use std::collections::BTreeMap;

use crate::site::{Case, Happening, WEEK};

/// Alarms no further apart are one incident.
const INCIDENT_HOURS: usize = 6;

/// So long after its end an event may still be found.
const AFTER: usize = 2;

/// What alarms over many series were worth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    pub(crate) events: usize,
    pub(crate) found: usize,
    pub(crate) incidents: usize,
    pub(crate) false_incidents: usize,
    pub(crate) weeks: f64,
    /// For each thing that happened: how often, and the hours until each of those that were found.
    pub(crate) by_event: BTreeMap<Happening, (usize, Vec<usize>)>,
}

impl Score {
    /// Adds the alarms, by hour, that a detector raised for `case`.
    pub(crate) fn add(&mut self, case: &Case, alarms: &[usize]) {
        let alarms: Vec<usize> = alarms.iter().copied().filter(|at| case.train <= *at).collect();
        for event in &case.events {
            let (times, delays) = self.by_event.entry(event.what).or_default();
            *times += 1;
            self.events += 1;
            let last = event.to + AFTER;
            if let Some(at) = alarms.iter().find(|at| (event.from..last).contains(*at)) {
                self.found += 1;
                delays.push(at - event.from + 1);
            }
        }
        for incident in incidents(&alarms) {
            self.incidents += 1;
            let (first, last) = (incident[0], incident[incident.len() - 1]);
            let tells =
                case.events.iter().any(|event| first < event.to + AFTER && event.from <= last);
            self.false_incidents += usize::from(!tells);
        }
        self.weeks += (case.counts.len() - case.train) as f64 / WEEK as f64;
    }

    pub(crate) fn precision(&self) -> f64 {
        let told = self.incidents - self.false_incidents;
        told as f64 / self.incidents.max(1) as f64
    }

    pub(crate) fn recall(&self) -> f64 {
        self.found as f64 / self.events.max(1) as f64
    }

    /// False incidents a week.
    pub(crate) fn false_rate(&self) -> f64 {
        self.false_incidents as f64 / self.weeks.max(1e-9)
    }
}

/// Alarms that belong together.
pub(crate) fn incidents(alarms: &[usize]) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    for at in alarms {
        match all.last_mut() {
            Some(last) if at - last[last.len() - 1] <= INCIDENT_HOURS => last.push(*at),
            _ => all.push(vec![*at]),
        }
    }
    all
}

/// Each kind counts as much as any other.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f64::max(count, 1.0)
}

/// The middle one.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
