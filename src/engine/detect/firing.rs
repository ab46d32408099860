//! An alert while it goes on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::advice;
use super::evidence::{Pool, Trace};
use super::field::Subject;
use super::keys::KeyState;
use super::rule::{Limit, Rule};
use super::window::Seen;
use super::{Alert, AlertState, Escalation, Evidence, RuleInfo, Severity};
use crate::engine::batch::{AuthOutcome, Event, Field};
use crate::engine::text::{hex, to_utf8};
use crate::units::{Period, Timestamp};

/// Lines, addresses, names, sites and paths listed in an alert.
const MAX_LISTED: usize = 10;

/// How many times the limit an alert must be to be told again.
const ESCALATES_AT: [u64; 2] = [10, 100];

/// Different values told apart while the alert goes on; beyond that the number is a lower bound.
const MAX_DISTINCT: usize = 4096;

/// Bytes of a value of the event in an alert's sentence.
const TOLD_BYTES_MAX: usize = 600;

/// An alert that goes on, and what it still counts.
#[derive(Debug)]
pub(super) struct Firing {
    pub(super) alert: Alert,
    /// When the rule's condition last held: the alert goes on from then.
    held: Timestamp,
    /// Events up to here are in the counts already: the alert was taken up from the store, and
    /// its lines are read again.
    counted_until: Timestamp,
    /// Hashes of the different values seen since it fired.
    values: BTreeSet<u64>,
}

impl Firing {
    /// The rule has just fired for the key of `state`: by the event `last`, `limit` is reached.
    pub(super) fn start(
        rule: &Rule,
        limit: &Limit,
        state: &KeyState,
        event: &Event<'_>,
        last: Seen,
        pool: &Pool,
    ) -> Self {
        let mut seen: Vec<Seen> = state.times.events().collect();
        seen.extend(state.values.iter().flat_map(|values| values.events()));
        seen.push(last);
        seen.sort_by_key(|one| (one.time, one.evidence));
        seen.dedup_by_key(|one| one.evidence);
        // A key may remember more than the limit that was reached needed.
        let start = last.time.minus(limit.window);
        seen.retain(|one| start <= one.time);
        let first = seen.first().map_or(last.time, |one| one.time);
        let value = |subject: Subject| to_utf8(&subject.text(event).unwrap_or_default(), 256);
        let group: Vec<(String, String)> =
            rule.group_by.iter().map(|(name, subject)| (name.clone(), value(*subject))).collect();
        let mut alert = Self::blank(rule, limit, group, (first, last.time));
        // Values are told where they decided: not for a limit that counts events only.
        let is_of_values = limit.values.first().is_some_and(|min| 0 < *min);
        if is_of_values || rule.first_seen.is_some() {
            alert.distinct = state.values.first().map(|values| values.len() as u64);
        }
        for one in &seen {
            let trace = pool.find(one.evidence);
            count_event(&mut alert, one.time, trace.map_or(1, |trace| trace.count), trace);
        }
        let times = u64::from(event.row().count);
        if rule.then.is_some() {
            // The second step is evidence, and none of the events that the limit counts.
            alert.count = alert.count.saturating_sub(times);
        }
        alert.successes = if is_success(event) { times } else { 0 };
        // Only what the rule itself asks of a list is meant.
        let is_of_feeds = |(_, subject): &(String, Subject)| match subject {
            Subject::Text(field) => field.is_of_feeds(),
            _ => false,
        };
        let is_of_list = rule.gate.needs_list()
            || rule.group_by.iter().any(is_of_feeds)
            || rule.explain.contains("threat.");
        let marking = event.field(Field::ThreatTlp).filter(|_| is_of_list);
        alert.stays = matches!(marking, Some(b"AMBER" | b"RED"));
        if let Some(severity) = rule.severity_field {
            let word = severity.text(event).unwrap_or_default();
            let known = Severity::ALL.into_iter().find(|one| one.name().as_bytes() == &*word);
            alert.severity = known.unwrap_or(alert.severity);
        }
        Self::of(alert, rule, told_by(event))
    }

    /// An alert that counts nothing yet.
    pub(super) fn blank(
        rule: &Rule,
        limit: &Limit,
        group: Vec<(String, String)>,
        (first, now): (Timestamp, Timestamp),
    ) -> Alert {
        let values = limit.values.first().copied().unwrap_or(0);
        Alert {
            id: alert_id(&rule.id, &group_key(&group), first),
            state: AlertState::Firing,
            rule: RuleInfo {
                id: rule.id.clone(),
                version: rule.version,
                title: rule.title.clone(),
                category: rule.category.clone(),
                attack: rule.attack.clone(),
                advice: rule.advise.iter().map(|key| advice::text(key).to_owned()).collect(),
            },
            severity: rule.severity,
            at: now,
            group,
            summary: String::new(),
            count: 0,
            distinct: None,
            threshold: values.max(limit.events) as u64,
            window: limit.window,
            first_event: first,
            last_event: now,
            addresses: Vec::new(),
            users: Vec::new(),
            sites: Vec::new(),
            paths: Vec::new(),
            statuses: std::collections::BTreeMap::new(),
            successes: 0,
            evidence: Vec::new(),
            escalation: None,
            part: None,
            muted_by: None,
            members_90d: None,
            backfill: false,
            stays: false,
        }
    }

    /// The alert as it goes on, with its sentence; `told` knows values that are no part of the group.
    pub(super) fn of(mut alert: Alert, rule: &Rule, told: impl Fn(&str) -> Option<String>) -> Self {
        alert.summary = explain(&rule.explain, &alert, told);
        let held = alert.at;
        Self { alert, held, counted_until: Timestamp(0), values: BTreeSet::new() }
    }

    /// The alert as it goes on; what its sentence calls `{detail}` is said by `detail`.
    pub(super) fn with_detail(mut alert: Alert, rule: &Rule, detail: &str) -> Self {
        let parts: Vec<String> =
            rule.explain.split("{detail}").map(|part| explain(part, &alert, |_| None)).collect();
        alert.summary = parts.join(detail);
        let held = alert.at;
        Self { alert, held, counted_until: Timestamp(0), values: BTreeSet::new() }
    }

    /// An alert that an earlier run left going on.
    pub(super) fn restored(alert: Alert) -> Self {
        let (held, counted_until) = (alert.last_event, alert.last_event);
        Self { alert, held, counted_until, values: BTreeSet::new() }
    }

    /// The condition holds at `now`, still or again.
    pub(super) fn hold(&mut self, now: Timestamp) {
        self.held = self.held.max(now);
    }

    /// When the condition held last.
    pub(super) fn held(&self) -> Timestamp {
        self.held
    }

    /// One more event.
    pub(super) fn count(
        &mut self,
        time: Timestamp,
        times: u32,
        value: Option<u64>,
        trace: Option<&Trace>,
    ) {
        if time <= self.counted_until {
            return;
        }
        count_event(&mut self.alert, time, times, trace);
        if let (Some(value), Some(distinct)) = (value, &mut self.alert.distinct)
            && self.values.len() < MAX_DISTINCT
            && self.values.insert(value)
        {
            // The values that made the rule fire come again here; the larger number is the truth.
            *distinct = (*distinct).max(self.values.len() as u64);
        }
    }

    /// The alert as it is now, where it has become ten or a hundred times as much as made it fire.
    /// What is only for the report stays there, however much it is.
    pub(super) fn escalate(
        &mut self,
        rule: &Rule,
        event: &Event<'_>,
        now: Timestamp,
    ) -> Option<Alert> {
        let counts = 1 < self.alert.threshold && rule.sum.is_none() && rule.first_seen.is_none();
        if !counts || self.alert.severity < Severity::Medium {
            return None;
        }
        let done = self.alert.escalation.map_or(0, |escalation| escalation.step);
        let factor = *ESCALATES_AT.get(usize::from(done))?;
        let reached = self.alert.distinct.unwrap_or(self.alert.count);
        if reached < self.alert.threshold.saturating_mul(factor) {
            return None;
        }
        let from = self.alert.severity;
        // Never more than a step above what the rule says: much of something is not another thing.
        self.alert.severity = from.max(rule.severity.worse());
        self.alert.escalation = Some(Escalation { step: done + 1, from });
        // The sentence is about all of it now.
        let lasts = self.alert.last_event.since(self.alert.first_event);
        let whole = Alert { window: coarse(lasts), ..self.alert.clone() };
        self.alert.summary = explain(&rule.explain, &whole, told_by(event));
        Some(Alert { state: AlertState::Escalated, at: now, ..self.alert.clone() })
    }

    /// The client, or the value that the rule tells apart, took part.
    pub(super) fn knows(&self, client: Option<IpAddr>, value: Option<u64>) -> bool {
        let listed = client.is_some_and(|ip| self.alert.addresses.contains(&ip));
        listed || value.is_some_and(|value| self.values.contains(&value))
    }

    /// When the alert ends, if nothing more happens.
    pub(super) fn end(&self, rule: &Rule) -> Timestamp {
        self.held.plus(rule.resolve_after)
    }

    /// The last word.
    pub(super) fn resolved(self, at: Timestamp) -> Alert {
        Alert { state: AlertState::Resolved, at, ..self.alert }
    }
}

/// The event is a log-in that succeeded.
pub(super) fn is_success(event: &Event<'_>) -> bool {
    event.row().auth.is_some_and(|auth| auth.outcome == AuthOutcome::Success)
}

fn count_event(alert: &mut Alert, time: Timestamp, times: u32, trace: Option<&Trace>) {
    alert.count += u64::from(times);
    alert.first_event = alert.first_event.min(time);
    alert.last_event = alert.last_event.max(time);
    let Some(trace) = trace else { return };
    *alert.statuses.entry(trace.status).or_insert(0) += u64::from(times);
    list(&mut alert.addresses, || trace.client);
    list(&mut alert.users, || trace.user());
    list(&mut alert.sites, || Some(trace.site()));
    list(&mut alert.paths, || trace.path());
    if alert.evidence.len() < MAX_LISTED {
        let origin = &trace.origin;
        let file = if origin.path.is_empty() { &origin.source } else { &origin.path };
        alert.evidence.push(Evidence {
            time: trace.time,
            file: file.clone(),
            offset: trace.offset,
            event_id: trace.event_id(),
            line: trace.line(),
        });
    }
}

fn list<T: PartialEq>(listed: &mut Vec<T>, value: impl FnOnce() -> Option<T>) {
    if listed.len() < MAX_LISTED
        && let Some(value) = value()
        && !listed.contains(&value)
    {
        listed.push(value);
    }
}

/// The period in whole seconds, minutes or hours, rounded up, as its length deserves.
fn coarse(period: Period) -> Period {
    let unit = match period.secs() {
        0..120 => 1,
        120..7200 => 60,
        _ => 3600,
    };
    Period::from_secs(period.secs().div_ceil(unit).max(1) * unit)
}

/// The group's values, parted by a character that no name should hold.
fn group_key(group: &[(String, String)]) -> String {
    let values: Vec<&str> = group.iter().map(|(_, value)| value.as_str()).collect();
    values.join("\u{1f}")
}

/// The first 32 hex digits of SHA-256 over rule, group and start of the window.
fn alert_id(rule: &str, group_key: &str, start: Timestamp) -> String {
    let mut hash = Sha256::new();
    hash.update(b"gwa1\0");
    hash.update(rule.as_bytes());
    hash.update(b"\0");
    hash.update(group_key.as_bytes());
    hash.update(b"\0");
    hash.update(start.secs().to_le_bytes());
    hex(&hash.finalize()[..16])
}

/// The values that `event` has, by the names of its fields.
fn told_by<'e>(event: &'e Event<'_>) -> impl Fn(&str) -> Option<String> + 'e {
    |name| {
        let text = Subject::named(name)?.text(event)?;
        Some(to_utf8(&text, TOLD_BYTES_MAX))
    }
}

/// The rule's sentence with its values filled in.
fn explain(template: &str, alert: &Alert, told: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((text, tail)) = rest.split_once('{') {
        out.push_str(text);
        let Some((name, tail)) = tail.split_once('}') else {
            out.push('{');
            rest = tail;
            continue;
        };
        match name {
            "count" => out.push_str(&alert.count.to_string()),
            "distinct" => out.push_str(&alert.distinct.unwrap_or(0).to_string()),
            "window" => out.push_str(&alert.window.to_string()),
            "threshold" => out.push_str(&alert.threshold.to_string()),
            _ => match alert.group_value(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&told(name).unwrap_or_else(|| name.to_owned())),
            },
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_alert_follows_from_rule_group_and_start() {
        let start = Timestamp::from_secs(1_795_160_760);
        let id = alert_id("auth-bruteforce-ip", "198.51.100.23", start);
        assert_eq!("37c2b9cd7088dc36dbf9094acf7818cc", id);
    }
}
