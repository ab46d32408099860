//! Sources that say nothing.
//!
//! How long a source pauses is learnt from itself: the longest pause within the last window, kept
//! in two halves of it. It is silent when it has paused longer than the rule's least time and
//! several times that pause, so a quiet night is no alert from the second night on. Only sources
//! that are read as they are written count: an old log that ends is not silent.

use super::circumstances::Told;
use super::firing::Firing;
use super::rule::{Rule, Silence};
use super::{Alert, AlertState};
use crate::units::{Period, Timestamp};

/// A source whose lines are read this much after they were written, at most, is being written.
const LIVE_MAX: Period = Period::from_secs(600);

/// How often it is asked who is silent.
const CHECK_EVERY: Period = Period::from_secs(60);

/// All sources under the one rule about silence.
#[derive(Debug)]
pub(super) struct Silences {
    /// Number of the rule, when a source is silent by it, and its window.
    rule: Option<(usize, Silence, Period)>,
    /// In the order of the sources' clocks.
    rhythms: Vec<Rhythm>,
    next_check: Timestamp,
}

/// The rhythm of one source.
#[derive(Debug, Default)]
struct Rhythm {
    source: String,
    last: Timestamp,
    is_live: bool,
    events: u64,
    /// Which half of the window this is, counted from 1970.
    half: u64,
    /// The longest pause of this half of the window, and of the one before.
    pauses: (Period, Period),
    firing: Option<Box<Firing>>,
}

impl Silences {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let silence = |(number, rule): (usize, &Rule)| Some((number, rule.silence?, rule.window()));
        let rule = rules.iter().enumerate().find_map(silence);
        Self { rule, rhythms: Vec::new(), next_check: Timestamp(0) }
    }

    /// Notes an event at `time` of the source at `place`, read at `read_at`.
    #[inline]
    pub(super) fn see(
        &mut self,
        rules: &[Rule],
        place: usize,
        source: &str,
        (time, read_at): (Timestamp, Timestamp),
        (circumstances, alerts): Told<'_>,
    ) {
        let Some((_, _, window)) = self.rule else { return };
        if self.rhythms.len() <= place {
            self.rhythms.resize_with(place + 1, Rhythm::default);
            source.clone_into(&mut self.rhythms[place].source);
        }
        if self.next_check <= time {
            self.check(rules, time, (circumstances, alerts));
        }
        let rhythm = &mut self.rhythms[place];
        if let Some(firing) = rhythm.firing.take() {
            alerts.push(firing.resolved(time));
        }
        rhythm.see(time, window);
        rhythm.is_live = read_at <= time.plus(LIVE_MAX);
    }

    /// Raises alerts about those who have been silent for too long.
    pub(super) fn check(
        &mut self,
        rules: &[Rule],
        now: Timestamp,
        (circumstances, alerts): Told<'_>,
    ) {
        let Some((number, silence, _)) = self.rule else { return };
        self.next_check = now.plus(CHECK_EVERY);
        let rule = &rules[number];
        for rhythm in &mut self.rhythms {
            if rhythm.firing.is_none() && rhythm.is_silent(rule, silence, now) {
                let mut firing = Firing::silent(rule, &rhythm.source, rhythm.last, now);
                firing.alert.muted_by = circumstances.muted_by(rule, now);
                alerts.push(firing.alert.clone());
                rhythm.firing = Some(Box::new(firing));
            }
        }
    }

    /// Takes up an alert about the source at `place`.
    pub(super) fn restore(&mut self, place: usize, alert: Alert) {
        if self.rhythms.len() <= place {
            self.rhythms.resize_with(place + 1, Rhythm::default);
        }
        let rhythm = &mut self.rhythms[place];
        rhythm.source = alert.group.first().map_or_else(String::new, |(_, source)| source.clone());
        rhythm.firing = Some(Box::new(Firing::restored(alert)));
    }

    /// Ends silently every alert that is not in `open`.
    pub(super) fn forget_all_but(&mut self, open: &[Alert]) {
        let is_open = |firing: &Firing| open.iter().any(|alert| alert.id == firing.alert.id);
        for rhythm in &mut self.rhythms {
            rhythm.firing = rhythm.firing.take().filter(|firing| is_open(firing));
        }
    }
}

impl Rhythm {
    fn see(&mut self, time: Timestamp, window: Period) {
        self.events += 1;
        if time <= self.last {
            return;
        }
        if self.last != Timestamp(0) {
            let half = time.ms() / (window.ms() / 2).max(1);
            if self.half < half {
                let is_next = self.half + 1 == half;
                let before = if is_next { self.pauses.0 } else { Period::default() };
                (self.half, self.pauses) = (half, (Period::default(), before));
            }
            self.pauses.0 = self.pauses.0.max(time.since(self.last));
        }
        self.last = time;
    }

    fn is_silent(&self, rule: &Rule, silence: Silence, now: Timestamp) -> bool {
        let longest = self.pauses.0.max(self.pauses.1);
        let limit = silence.min.ms().max(longest.ms().saturating_mul(u64::from(silence.times)));
        let is_known = rule.events_max() as u64 <= self.events;
        self.is_live && is_known && limit < now.since(self.last).ms()
    }
}

impl Firing {
    /// `source` has said nothing since `last`.
    fn silent(rule: &Rule, source: &str, last: Timestamp, now: Timestamp) -> Self {
        let group = vec![("source".to_owned(), source.to_owned())];
        let minutes = now.since(last).secs() / 60;
        let window = Period::from_secs(60 * minutes);
        let state = AlertState::Firing;
        Self::of(
            Alert { state, window, ..Self::blank(rule, &rule.limits[0], group, (last, now)) },
            rule,
            |_| None,
        )
    }
}
