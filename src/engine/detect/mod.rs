//! Rules: from events to alerts.
//!
//! [`Detectors`] sees every event once, in the order of the log, and keeps for each rule and key
//! just enough to know whether the rule fires: see [`window`]. The clock is the log's own: the
//! newest event time seen so far, so a replay raises the same alerts, at the same moments, with the
//! same ids.
//!
//! Invariants: one alert for one rule and key while it goes on; at most `keys_max` keys are
//! remembered, whoever invents them, and each one let go is counted.

pub mod advice;
mod alert;
mod absence;
mod allow;
mod announced;
mod automaton;
mod board;
pub mod busy;
mod calendar;
mod circumstances;
mod clocks;
mod condition;
mod evidence;
pub mod explain;
pub mod field;
mod firing;
mod keys;
pub mod incident;
mod known;
mod maintenance;
pub mod matcher;
pub mod predicate;
pub mod reckoning;
mod resume;
pub mod rule;
pub mod sigma;
pub mod signature;
mod silence;
mod sketch;
mod steps;
mod watch;
pub mod window;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::absence::Absences;
use self::announced::Announced;
use self::board::Board;
use self::busy::{Busy, Suspects};
use self::clocks::Clocks;
use self::condition::{add_to_shares, fires, hash_of, see_values};
use self::evidence::Pool;
use self::field::Subject;
use self::firing::{Firing, is_success};
use self::keys::Keys;
use self::known::Known;
use self::rule::Rule;
use self::silence::Silences;
use self::watch::Watches;
use self::window::Seen;
use super::address::client_net;
use super::batch::{ClientSource, Event, EventBatch, Origin};
use super::render::event_id::EventId;
use crate::units::{Period, Timestamp};

pub use alert::{Alert, AlertState, Escalation, Evidence, Part, RuleInfo, Severity, Step, code_of};
pub use allow::Allow;
pub(crate) use allow::covers as pattern_covers;
pub use calendar::{Calendar, Hours};
pub use circumstances::Circumstances;
pub use clocks::LATENESS;
pub use maintenance::Maintenance;
pub use watch::{Finding, Flood, Reported};

/// How much detection may remember.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Keys of all rules together.
    pub keys_max: usize,
    /// Bytes that they remember together, alerts that go on aside.
    pub keys_bytes_max: usize,
    /// Bytes of lines kept as evidence.
    pub evidence_bytes_max: usize,
    /// Seed of the hashes of keys.
    pub seed: u64,
}

impl Limits {
    /// The default limits.
    pub const fn new(seed: u64) -> Self {
        Self { keys_max: 65_536, keys_bytes_max: 32 << 20, evidence_bytes_max: 4 << 20, seed }
    }
}

/// Events stamped later than this after they were read are taken as of the time of reading.
const FUTURE_MAX: Period = Period::from_secs(300);

/// All rules and what they remember.
#[derive(Debug)]
pub struct Detectors {
    rules: Vec<Rule>,
    keys: Keys,
    pool: Pool,
    hasher: ahash::RandomState,
    /// The newest event time seen.
    now: Timestamp,
    clocks: Clocks,
    /// Alerts that go on: key numbers by the moment they end, if nothing more happens.
    ending: BTreeSet<(Timestamp, u32)>,
    /// Events that came too late for their window.
    late: u64,
    scratch: Vec<u8>,
    board: Arc<Board>,
    /// For each rule the numbers of those that cover it.
    covers: Vec<Vec<usize>>,
    circumstances: Circumstances,
    /// How many alerts each entry of the allow-list kept silent.
    allowed: Vec<u64>,
    busy: Busy,
    suspects: Suspects,
    known: Known,
    silences: Silences,
    absences: Absences,
    watches: Watches,
    announced: Announced,
}

impl Detectors {
    /// Starts with nothing remembered.
    pub fn new(rules: Vec<Rule>, limits: Limits) -> Self {
        let hasher = ahash::RandomState::with_seeds(limits.seed, 7, 11, 13);
        let board = Arc::new(Board::new(&rules));
        let announced = Announced::new(&rules);
        let silences = Silences::new(&rules);
        let absences = Absences::new(&rules);
        let watches = Watches::new(&rules, hasher.clone());
        let covers = rules.iter().map(|rule| covers(&rules, rule)).collect();
        Self {
            announced,
            rules,
            keys: Keys::new(limits.keys_max, limits.keys_bytes_max, hasher.clone()),
            pool: Pool::new(limits.evidence_bytes_max),
            hasher: hasher.clone(),
            now: Timestamp(0),
            clocks: Clocks::default(),
            ending: BTreeSet::new(),
            late: 0,
            scratch: Vec::new(),
            board,
            covers,
            circumstances: Circumstances::default(),
            allowed: Vec::new(),
            busy: Busy::default(),
            suspects: Suspects::default(),
            known: Known::new(hasher),
            silences,
            absences,
            watches,
        }
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The longest window: how far back a restart must look.
    pub fn window_max(&self) -> Period {
        self.rules.iter().map(Rule::window).max().unwrap_or_default()
    }

    /// Keys remembered now, and keys let go so far because there were too many.
    pub fn keys(&self) -> (u64, u64) {
        (self.keys.len() as u64, self.keys.evicted())
    }

    /// Bytes that all keys remember, about.
    pub fn keys_bytes(&self) -> u64 {
        self.keys.bytes() as u64
    }

    /// Sightings of keys that were counted roughly only, because there were too many.
    pub fn passed(&self) -> u64 {
        self.keys.passed()
    }

    /// Events that came too late for their window.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// The moment that all sources which still speak have passed.
    pub fn watermark(&self) -> Timestamp {
        self.clocks.watermark()
    }

    /// The newest event time seen.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes people, days and exceptions into account.
    pub fn in_circumstances(mut self, circumstances: Circumstances) -> Self {
        self.allowed = vec![0; circumstances.allowed.len()];
        self.circumstances = circumstances;
        self
    }

    /// The entries of the allow-list by name, and how many alerts each kept silent.
    pub fn allowed(&self) -> impl Iterator<Item = (&str, u64)> {
        let names = self.circumstances.allowed.iter().map(|entry| entry.name.as_str());
        names.zip(self.allowed.iter().copied())
    }

    /// Takes all sources for one: their lines come in the order in which things happened.
    pub fn with_one_clock(mut self) -> Self {
        self.clocks.one = true;
        self
    }

    /// Sees all events of `batch`, read at `read_at`; appends what happened to `alerts`.
    pub fn see(&mut self, batch: &EventBatch, read_at: Timestamp, alerts: &mut Vec<Alert>) {
        let ids = EventId::new(&batch.origin);
        let latest = read_at.plus(FUTURE_MAX);
        let place = self.clocks.place(&batch.origin.source, read_at);
        for event in batch.events() {
            let time = event.row().time.min(latest);
            if event.row().time_is_read {
                // The line does not say when it was written, so it moves no clock.
                self.event(&event, self.now, &ids, &batch.origin, alerts);
                continue;
            }
            self.now = self.now.max(time);
            let told = (&self.circumstances, &mut *alerts);
            self.silences.see(&self.rules, place, &batch.origin.source, (time, read_at), told);
            let told = (&self.circumstances, &mut *alerts);
            self.watches.see(&self.rules, place, &event, (time, read_at), told);
            if self.clocks.advance(place, time)
                && self.ending.first().is_some_and(|(end, _)| *end <= time)
            {
                self.resolve(self.clocks.watermark(), alerts);
            }
            if self.absences.due() <= self.now {
                // What another source still has to tell counts, too.
                let times = (self.now, self.clocks.watermark());
                self.absences.check(&self.rules, &self.circumstances, times, alerts);
            }
            self.event(&event, time, &ids, &batch.origin, alerts);
        }
    }

    /// Lets time pass without events: resolves what has been quiet for long enough.
    pub fn tick(&mut self, now: Timestamp, alerts: &mut Vec<Alert>) {
        self.now = self.now.max(now);
        self.silences.check(&self.rules, self.now, (&self.circumstances, &mut *alerts));
        let times = (self.now, self.now);
        self.absences.check(&self.rules, &self.circumstances, times, alerts);
        self.watches.tick(&self.rules, now, alerts);
        self.resolve(self.now, alerts);
    }

    #[inline]
    fn event(
        &mut self,
        event: &Event<'_>,
        time: Timestamp,
        ids: &EventId,
        origin: &Arc<Origin>,
        alerts: &mut Vec<Alert>,
    ) {
        let board = Arc::clone(&self.board);
        self.keys.next_event();
        let client = self.client_of(event);
        let is_busy = client.is_some_and(|client| self.busy.see(client, time));
        let is_suspect = client.is_some_and(|client| self.suspects.has(client));
        let mut evidence = None;
        self.announced.ask(event);
        for at in 0..self.announced.matching().len() {
            let index = self.announced.matching()[at];
            let number = *evidence.get_or_insert_with(|| self.pool.keep(event, origin, ids));
            self.matched(index, event, Seen { time, evidence: number }, alerts);
        }
        for candidate in &board.rows[Board::row(event)] {
            if candidate.is_for_the_busy && !is_busy {
                continue;
            }
            let index = candidate.rule as usize;
            let rule = &self.rules[index];
            let mut keep = |pool: &mut Pool| {
                let number = *evidence.get_or_insert_with(|| pool.keep(event, origin, ids));
                Seen { time, evidence: number }
            };
            let is_known = !candidate.needs_signs || !signature::of(event).classes.is_empty();
            let holds = |exact: bool| is_known && (exact || rule.condition.holds(event));
            if candidate.condition.is_some_and(holds) {
                let seen = keep(&mut self.pool);
                self.matched(index, event, seen, alerts);
                continue;
            }
            if let Some(exact) = candidate.against
                && (is_suspect || !candidate.is_of_clients)
                && let Some(share) = &rule.share
                && (exact || share.against.holds(event))
            {
                self.against(index, event, time);
            }
            if let Some(exact) = candidate.then
                && let Some(then) = &self.rules[index].then
                && (exact || then.condition.holds(event))
            {
                let seen = keep(&mut self.pool);
                self.followed(index, event, seen, alerts);
            }
        }
    }

    /// The hash of the event's client, where rules may hold somebody to account.
    fn client_of(&self, event: &Event<'_>) -> Option<u64> {
        let row = event.row();
        let is_clear = row.client_source != ClientSource::Ambiguous;
        let ip = row.client.filter(|_| is_clear)?;
        Some(self.hasher.hash_one(client_net(ip).address))
    }

    /// Makes the key of `event` under rule `index`; false where the event lacks a group field.
    fn make_key(&mut self, index: usize, event: &Event<'_>) -> bool {
        keys::start_key(&mut self.scratch, index);
        let mut subjects = self.rules[index].group_by.iter();
        subjects.all(|(_, subject)| subject.append_key(event, &mut self.scratch))
    }

    fn against(&mut self, index: usize, event: &Event<'_>, time: Timestamp) {
        let rule = &self.rules[index];
        // What happens before a match is of interest for sites only: it tells how busy they are.
        let is_by_site = matches!(rule.group_by.as_slice(), [(_, Subject::Site)]);
        if self.keys.is_empty() && !is_by_site {
            return;
        }
        let again = if is_by_site { self.keys.is_still(index, event.site()) } else { None };
        let number = match again {
            Some(number) => number,
            None if !self.make_key(index, event) => return,
            None => match self.keys.find_again(index, &self.scratch) {
                Some(number) => number,
                None if is_by_site => {
                    let window = self.rules[index].window();
                    let Some(number) = self.keys.admit(&self.scratch, window, self.now) else {
                        return;
                    };
                    number
                }
                None => return,
            },
        };
        let rule = &self.rules[index];
        let state = self.keys.state(number);
        add_to_shares(rule, state, time, (0, u64::from(event.row().count)));
        if let Some(firing) = &mut state.firing
            && is_success(event)
        {
            let value =
                rule.distinct.first().and_then(|subject| hash_of(&self.hasher, *subject, event));
            if rule.is_about_someone() || firing.knows(event.row().client, value) {
                firing.alert.successes += u64::from(event.row().count);
            }
        }
    }

    fn matched(&mut self, index: usize, event: &Event<'_>, seen: Seen, alerts: &mut Vec<Alert>) {
        let rule = &self.rules[index];
        let hours = rule.hours.as_ref();
        if hours.is_some_and(|hours| !hours.hold(&self.circumstances.calendar, seen.time)) {
            return;
        }
        if rule.absence.is_some() {
            let subject = rule.distinct.first();
            let value = subject.and_then(|subject| hash_of(&self.hasher, *subject, event));
            let what = (index, value);
            self.absences.see(&self.rules, &self.circumstances, what, seen.time, alerts);
            return;
        }
        if !self.make_key(index, event) {
            return;
        }
        let rule = &self.rules[index];
        let Some(number) = self.keys.admit(&self.scratch, rule.window(), self.now) else { return };
        if rule.share.is_some()
            && let Some(client) = self.client_of(event)
        {
            self.suspects.note(client);
        }
        let rule = &self.rules[index];
        let state = self.keys.state(number);
        if seen.time.plus(rule.window()) < self.now {
            self.late += 1;
        }
        let times = event.row().count;
        let events_max = rule.events_max();
        // A line that stands for several events fills the window as those would.
        for _ in 0..(times as usize).clamp(1, events_max) {
            state.times.see(seen, events_max);
        }
        add_to_shares(rule, state, seen.time, (u64::from(times), 0));
        if let Some((subject, _)) = rule.sum {
            let sum = subject.number(event).unwrap_or(0).saturating_mul(u64::from(times));
            state.sum.get_or_insert_default().add(seen.time, rule.window(), (sum, 0));
        }
        let (value, is_new) = see_values(rule, state, &self.hasher, event, seen);
        let is_complete = rule
            .steps
            .as_ref()
            .is_none_or(|steps| steps.see(&mut state.steps, event, seen.time, rule.window()));
        let is_asked = is_new && is_complete && rule.then.is_none();
        let reached = if is_asked { fires(rule, state, Timestamp(0)) } else { None };
        if let Some(firing) = &mut state.firing {
            firing.count(seen.time, times, value, self.pool.find(seen.evidence));
            if is_success(event) {
                firing.alert.successes += u64::from(times);
            }
            if reached.is_some() {
                self.ending.remove(&(firing.end(rule), number));
                firing.hold(seen.time);
                self.ending.insert((firing.end(rule), number));
            }
            alerts.extend(firing.escalate(rule, event, seen.time));
        } else if let Some(limit) = reached {
            self.raise((index, number, limit), event, seen, alerts);
        }
        self.keys.charge(number);
    }

    /// The second step of a sequence.
    fn followed(&mut self, index: usize, event: &Event<'_>, seen: Seen, alerts: &mut Vec<Alert>) {
        if !self.make_key(index, event) {
            return;
        }
        let rule = &self.rules[index];
        let unless_known = rule.then.as_ref().and_then(|then| then.unless_known);
        let is_known = unless_known.is_some_and(|memory| {
            self.known.see(self.hasher.hash_one(&self.scratch), memory, seen.time)
        });
        let Some(number) = self.keys.find_again(index, &self.scratch) else { return };
        let state = self.keys.state(number);
        if let Some(firing) = &mut state.firing {
            if is_success(event) {
                firing.alert.successes += u64::from(event.row().count);
            }
        } else if !is_known && let Some(limit) = fires(rule, state, seen.time) {
            self.raise((index, number, limit), event, seen, alerts);
        }
    }

    /// Raises the alert of a rule about a key, of which a limit is reached, unless another one that
    /// goes on says it already.
    fn raise(
        &mut self,
        (index, number, limit): (usize, u32, usize),
        event: &Event<'_>,
        seen: Seen,
        alerts: &mut Vec<Alert>,
    ) {
        if self.is_covered(index, event) {
            return;
        }
        let rule = &self.rules[index];
        let state = self.keys.state(number);
        let mut allowed = self.circumstances.allowed.iter();
        if let Some(entry) = allowed.position(|entry| entry.holds(rule, event, seen.time)) {
            // Counted afresh, so that one attack is one alert that was kept silent.
            self.allowed[entry] += 1;
            state.clear();
            return;
        }
        let mut firing = Firing::start(rule, &rule.limits[limit], state, event, seen, &self.pool);
        firing.alert.muted_by = self.circumstances.muted_by(rule, seen.time);
        alerts.push(firing.alert.clone());
        self.ending.insert((firing.end(rule), number));
        state.firing = Some(Box::new(firing));
    }

    /// An alert that goes on about the event's client, user or site says it already.
    fn is_covered(&mut self, index: usize, event: &Event<'_>) -> bool {
        (0..self.covers[index].len()).any(|at| {
            let by = self.covers[index][at];
            self.make_key(by, event) && self.keys.is_firing(&self.scratch)
        })
    }

    fn resolve(&mut self, now: Timestamp, alerts: &mut Vec<Alert>) {
        while let Some((end, number)) = self.ending.first().copied() {
            if now < end {
                return;
            }
            self.ending.pop_first();
            let state = self.keys.state(number);
            if let Some(firing) = state.firing.take() {
                alerts.push(firing.resolved(end));
            }
            state.clear();
            self.keys.charge(number);
        }
    }
}

/// The numbers of the rules that cover `rule`.
fn covers(rules: &[Rule], rule: &Rule) -> Vec<usize> {
    (0..rules.len()).filter(|number| rule.covered_by.contains(&rules[*number].id)).collect()
}

#[cfg(test)]
mod tests;
