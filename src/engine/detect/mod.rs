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
mod evidence;
pub mod explain;
pub mod field;
mod firing;
mod keys;
pub mod predicate;
pub mod rule;
pub mod window;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::evidence::{Pool, Trace};
use self::firing::Firing;
use self::keys::{KeyState, Keys};
use self::rule::Rule;
use self::window::Seen;
use super::batch::{Event, EventBatch};
use super::render::event_id::EventId;
use crate::units::{Period, Timestamp};

pub use alert::{Alert, AlertState, Evidence, RuleInfo, Severity};

/// How much detection may remember.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Keys of all rules together. 65,536 take about 16 MiB when every one is busy.
    pub keys_max: usize,
    /// Bytes of lines kept as evidence.
    pub evidence_bytes_max: usize,
    /// Seed of the hashes of keys.
    pub seed: u64,
}

impl Limits {
    /// The default limits.
    pub const fn new(seed: u64) -> Self {
        Self { keys_max: 65_536, evidence_bytes_max: 4 << 20, seed }
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
}

/// How far each source has come. An alert ends when every source that still speaks has passed its
/// end: one source that is ahead must not end what another one is in the middle of.
#[derive(Debug, Default)]
struct Clocks {
    /// Source, its newest event time, and when it was read last.
    sources: Vec<(String, Timestamp, Timestamp)>,
    /// All sources count as one.
    one: bool,
}

/// A source that was not read for this long does not hold the clock back.
const SOURCE_IDLE: Period = Period::from_secs(30);

/// Sources told apart.
const MAX_SOURCES: usize = 1024;

impl Clocks {
    /// The place of `source`, read at `read_at`.
    fn place(&mut self, source: &str, read_at: Timestamp) -> usize {
        let place = self.sources.iter().position(|(known, ..)| self.one || known == source);
        let place = place.unwrap_or_else(|| {
            if self.sources.len() < MAX_SOURCES {
                self.sources.push((source.to_owned(), Timestamp(0), read_at));
            }
            self.sources.len() - 1
        });
        self.sources[place].2 = read_at;
        place
    }

    /// The moment that all sources which still speak have passed.
    fn watermark(&self) -> Timestamp {
        let last_read = self.sources.iter().map(|one| one.2).max().unwrap_or_default();
        let speaking = self.sources.iter().filter(|one| last_read <= one.2.plus(SOURCE_IDLE));
        speaking.map(|one| one.1).min().unwrap_or_default()
    }
}

/// Which rules have a look at an event: found once for each status and kind of event, because most
/// events are no business of most rules.
#[derive(Debug)]
struct Board {
    /// By status (those beyond 599 as 599), without and with a log-in verdict.
    rows: Vec<Vec<Candidate>>,
}

/// A rule that may match an event, or that has the event speak against its key.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    rule: u32,
    /// The rule's condition is asked: always for certain, or whether it holds.
    condition: Option<bool>,
    /// The same for what speaks against.
    against: Option<bool>,
}

const STATUS_ROWS: usize = 600;

impl Board {
    fn new(rules: &[Rule]) -> Self {
        let row = |index: usize| {
            let (status, auth) = ((index / 2) as u16, index % 2 == 1);
            let candidate = |(rule, one): (usize, &Rule)| {
                let share = one.share.as_ref().map(|share| share.gate);
                let asked =
                    |gate: predicate::Gate| gate.admits(status, auth).then_some(gate.is_exact());
                let (condition, against) = (asked(one.gate), share.and_then(asked));
                let needed = condition.is_some() || against.is_some();
                needed.then_some(Candidate { rule: rule as u32, condition, against })
            };
            rules.iter().enumerate().filter_map(candidate).collect()
        };
        Self { rows: (0..2 * STATUS_ROWS).map(row).collect() }
    }

    fn row(event: &Event<'_>) -> usize {
        let row = event.row();
        let status = usize::from(row.status);
        let status = status.min(STATUS_ROWS - 1);
        2 * status + usize::from(row.auth.is_some())
    }
}

impl Detectors {
    /// Starts with nothing remembered.
    pub fn new(rules: Vec<Rule>, limits: Limits) -> Self {
        let hasher = ahash::RandomState::with_seeds(limits.seed, 7, 11, 13);
        let board = Arc::new(Board::new(&rules));
        Self {
            rules,
            keys: Keys::new(limits.keys_max, hasher.clone()),
            pool: Pool::new(limits.evidence_bytes_max),
            hasher,
            now: Timestamp(0),
            clocks: Clocks::default(),
            ending: BTreeSet::new(),
            late: 0,
            scratch: Vec::new(),
            board,
        }
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The longest window: how far back a restart must look.
    pub fn window_max(&self) -> Period {
        self.rules.iter().map(|rule| rule.window).max().unwrap_or_default()
    }

    /// Keys remembered now, and keys let go so far because there were too many.
    pub fn keys(&self) -> (u64, u64) {
        (self.keys.len() as u64, self.keys.evicted())
    }

    /// Events that came too late for their window.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// The newest event time seen.
    pub fn now(&self) -> Timestamp {
        self.now
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
            let clock = &mut self.clocks.sources[place].1;
            if *clock < time {
                *clock = time;
                if let Some((end, _)) = self.ending.first().copied()
                    && end <= time
                {
                    self.resolve(self.clocks.watermark(), alerts);
                }
            }
            self.event(&event, time, &ids, &batch.origin, alerts);
        }
    }

    /// Lets time pass without events: resolves what has been quiet for long enough.
    pub fn tick(&mut self, now: Timestamp, alerts: &mut Vec<Alert>) {
        self.now = self.now.max(now);
        self.resolve(self.now, alerts);
    }

    /// Takes up alerts that were going on when the last run ended.
    pub fn restore(&mut self, open: Vec<Alert>) {
        for alert in open {
            let Some(rule) = self.rules.iter().position(|rule| rule.id == alert.rule.id) else {
                continue;
            };
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
    pub fn forget_all_but(&mut self, open: &[Alert]) {
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

    #[inline]
    fn event(
        &mut self,
        event: &Event<'_>,
        time: Timestamp,
        ids: &EventId,
        origin: &Arc<super::batch::Origin>,
        alerts: &mut Vec<Alert>,
    ) {
        let board = Arc::clone(&self.board);
        let mut evidence = None;
        for candidate in &board.rows[Board::row(event)] {
            let index = candidate.rule as usize;
            let rule = &self.rules[index];
            if candidate.condition.is_some_and(|exact| exact || rule.condition.holds(event)) {
                let number = match evidence {
                    Some(number) => number,
                    None => {
                        let number = self.pool.keep(Trace::of(event, origin, ids.of(event)));
                        *evidence.insert(number)
                    }
                };
                let seen = Seen { time, evidence: number };
                self.matched(index, event, seen, alerts);
            } else if let Some(exact) = candidate.against
                && let Some(share) = &rule.share
                && !self.keys.is_empty()
                && (exact || share.against.holds(event))
            {
                self.against(index, event, time);
            }
        }
    }

    /// Makes the key of `event` under rule `index`; false where the event lacks a group field.
    fn make_key(&mut self, index: usize, event: &Event<'_>) -> bool {
        keys::start_key(&mut self.scratch, index);
        let mut subjects = self.rules[index].group_by.iter();
        subjects.all(|(_, subject)| subject.append_key(event, &mut self.scratch))
    }

    fn against(&mut self, index: usize, event: &Event<'_>, time: Timestamp) {
        if !self.make_key(index, event) {
            return;
        }
        // Only keys that already have matches are of interest.
        if let Some(state) = self.keys.find_again(index, &self.scratch) {
            let shares = state.shares.get_or_insert_default();
            shares.see(time, self.rules[index].window, event.row().count, true);
            let outcome = event.row().auth.map(|auth| auth.outcome);
            if let Some(firing) = &mut state.firing
                && outcome == Some(super::batch::AuthOutcome::Success)
            {
                let rule = &self.rules[index];
                let value =
                    rule.distinct.and_then(|(subject, _)| hash_of(&self.hasher, subject, event));
                if rule.is_about_someone() || firing.knows(event.row().client, value) {
                    firing.alert.successes += u64::from(event.row().count);
                }
            }
        }
    }

    fn matched(&mut self, index: usize, event: &Event<'_>, seen: Seen, alerts: &mut Vec<Alert>) {
        if !self.make_key(index, event) {
            return;
        }
        let number = self.keys.entry(&self.scratch, self.now);
        let rule = &self.rules[index];
        let state = self.keys.state(number);
        if seen.time.plus(rule.window) < self.now {
            self.late += 1;
        }
        // A line that stands for several events fills the window as those would.
        for _ in 0..(event.row().count as usize).clamp(1, rule.threshold) {
            state.times.see(seen, rule.threshold);
        }
        if rule.share.is_some() {
            let shares = state.shares.get_or_insert_default();
            shares.see(seen.time, rule.window, event.row().count, false);
        }
        let value = rule.distinct.and_then(|(subject, _)| hash_of(&self.hasher, subject, event));
        if let (Some((_, min)), Some(value)) = (rule.distinct, value) {
            state.values.see(value, seen, min);
        }
        let holds = fires(rule, state);
        if let Some(firing) = &mut state.firing {
            firing.count(seen.time, event.row().count, value, self.pool.find(seen.evidence));
            if holds {
                self.ending.remove(&(firing.end(rule), number));
                firing.hold(seen.time);
                self.ending.insert((firing.end(rule), number));
            }
        } else if holds {
            let firing = Firing::start(rule, state, event, seen.time, &self.pool);
            alerts.push(firing.alert.clone());
            self.ending.insert((firing.end(rule), number));
            state.firing = Some(Box::new(firing));
        }
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
        }
    }
}

/// Whether the rule's conditions all hold for this key.
fn fires(rule: &Rule, state: &KeyState) -> bool {
    if !state.times.is_full(rule.threshold, rule.window) {
        return false;
    }
    if let Some((_, min)) = rule.distinct
        && !state.values.is_full(min, rule.window)
    {
        return false;
    }
    match (&rule.share, &state.shares) {
        (Some(share), Some(shares)) => share.min <= shares.share(),
        (Some(_), None) | (None, _) => true,
    }
}

fn hash_of(hasher: &ahash::RandomState, subject: field::Subject, event: &Event<'_>) -> Option<u64> {
    Some(hasher.hash_one(&*subject.text(event)?))
}

#[cfg(test)]
mod tests;
