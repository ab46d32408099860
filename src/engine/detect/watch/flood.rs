//! Floods: a site is asked far more than it expects, and suffers.
//!
//! What a site expects is learnt from itself: the most requests of any stretch of the rule's window
//! within the last hour, and around the same hour of each of the last seven days ([`Rhythm::expects`]).
//! So a crowd that grows within an hour is none, and what comes every Thursday evening is expected
//! from the second one on. Many requests alone are no alert: more of them than usual must fail
//! (5xx), or take longer. A stretch that is a flood teaches nothing.
//!
//! This is a bounded stand-in for a model of the week: one that knows better what to expect takes
//! the place of [`Rhythm::expects`], and nothing else here changes.

use ahash::RandomState;
use hashbrown::HashMap;
use serde::Deserialize;

use super::findings::{Findings, Found};
use crate::engine::batch::{Event, Kind};
use crate::engine::detect::circumstances::Told;
use crate::engine::detect::rule::Rule;
use crate::engine::text::to_utf8;
use crate::units::{Period, Timestamp};

/// Sites watched at the same time. A new one takes the place of one that was idle for a day, or is
/// not watched.
const SITES_MAX: usize = 256;

/// A site that was not asked for this long gives its place away.
const IDLE_MAX: Period = Period::from_secs(86_400);

/// The longest window in minutes.
const MINUTES_MAX: usize = 15;

/// Hours whose busiest stretch is remembered: those of a week, and one at each end.
const HOURS: usize = 7 * 24 + 2;

/// The least share of requests that fail.
const ERRORS_MIN: f64 = 0.05;

/// How many times the usual share of errors, or the usual time, is more than usual.
const MORE: f64 = 2.0;

/// Answers faster than this are not slow, whatever is usual.
const SLOW_NS_MIN: u64 = 100_000_000;

/// Requests of which the durations are known before any is called slow.
const TIMED_MIN: u32 = 100;

/// When a site is flooded.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// How many times what is expected.
    pub times: u32,
    /// How long a site must be known first.
    pub learn: Period,
}

/// All sites under the rule about floods.
#[derive(Debug)]
pub(super) struct Floods {
    /// The number of the rule, what it asks, the minutes of its window, and its least requests.
    rule: Option<(usize, Flood, usize, u32)>,
    sites: HashMap<Box<[u8]>, usize, RandomState>,
    rhythms: Vec<(Box<[u8]>, Rhythm)>,
    /// The site asked last.
    last: usize,
}

impl Floods {
    pub(super) fn new(rules: &[Rule], hasher: RandomState) -> Self {
        let flood = |(number, rule): (usize, &Rule)| {
            let minutes = (rule.window().secs() / 60) as usize;
            let least = u32::try_from(rule.events_max()).unwrap_or(u32::MAX);
            Some((number, rule.flood?, minutes.clamp(1, MINUTES_MAX), least))
        };
        let rule = rules.iter().enumerate().find_map(flood);
        Self { rule, sites: HashMap::with_hasher(hasher), rhythms: Vec::new(), last: 0 }
    }

    /// Sees an event that happened at `time`.
    #[inline]
    pub(super) fn see(
        &mut self,
        rules: &[Rule],
        event: &Event<'_>,
        time: Timestamp,
        (findings, told): (&mut Findings, Told<'_>),
    ) {
        let Some((number, flood, minutes, least)) = self.rule else { return };
        let row = event.row();
        if row.status < 100 || row.kind != Kind::Access {
            return;
        }
        let Some(at) = self.place(event.site(), time) else { return };
        let rhythm = &mut self.rhythms[at].1;
        if rhythm.advance(time, minutes) && !findings.is_empty() {
            findings.resolve(rules, |one| one == number, time, told.1);
        }
        rhythm.count(time, minutes, row.count, 500 <= row.status, row.duration_ns);
        let is_known = || rhythm.since.plus(flood.learn) <= time;
        if rhythm.requests < least.max(rhythm.limit(flood)) || !is_known() {
            return;
        }
        let Some(grounds) = rhythm.suffers() else { return };
        rhythm.is_flooded = true;
        let now = rhythm.newest;
        let detail = format!(
            "{} requests within {}, where at most {} are usual; {grounds}",
            rhythm.requests,
            Period::from_secs(60 * minutes as u64),
            rhythm.expected,
        );
        let group = vec![("site".to_owned(), to_utf8(event.site(), 256))];
        let rule = &rules[number];
        let since = now.minus(rule.window());
        let count = u64::from(rhythm.requests);
        findings.hold(rule, number, Found { group, detail: &detail, since, now, count }, told);
    }

    /// The place of `site`, if there is one.
    fn place(&mut self, site: &[u8], time: Timestamp) -> Option<usize> {
        if self.rhythms.get(self.last).is_some_and(|(name, _)| **name == *site) {
            return Some(self.last);
        }
        let known = self.sites.get(site).copied();
        let place = match known {
            Some(place) => place,
            None => self.take_up(site, time)?,
        };
        self.last = place;
        Some(place)
    }

    /// Gives a new site a place, if there is one.
    fn take_up(&mut self, site: &[u8], time: Timestamp) -> Option<usize> {
        let minutes = self.rule.map_or(1, |(_, _, minutes, _)| minutes);
        let new = (site.into(), Rhythm::new(time, minutes));
        let place = if self.rhythms.len() < SITES_MAX {
            self.rhythms.push(new);
            self.rhythms.len() - 1
        } else {
            let is_idle = |(_, rhythm): &(_, Rhythm)| rhythm.newest.plus(IDLE_MAX) <= time;
            let place = self.rhythms.iter().position(is_idle)?;
            let (before, _) = std::mem::replace(&mut self.rhythms[place], new);
            self.sites.remove(&before);
            place
        };
        self.sites.insert(site.into(), place);
        Some(place)
    }
}

/// The place of a minute among those of a window.
fn slot_of(minute: u64, window: usize) -> usize {
    (minute % window as u64) as usize
}

/// What one site is used to.
#[derive(Debug)]
struct Rhythm {
    /// When it was seen first.
    since: Timestamp,
    /// The newest request.
    newest: Timestamp,
    /// The minute in hand, counted from 1970.
    minute: u64,
    /// The place of the minute in hand among the last ones.
    slot: usize,
    /// Requests and errors of the last minutes, the one in hand included.
    minutes: [(u32, u32); MINUTES_MAX],
    /// The same, of the whole window.
    requests: u32,
    errors: u32,
    /// Requests of the windows that ended within the last window: not yet taken for usual.
    fresh: [u32; MINUTES_MAX],
    /// The busiest window of each hour.
    hours: Box<[u32; HOURS]>,
    hour: u64,
    /// Requests of the busiest window that is to be expected now.
    expected: u32,
    /// Requests and errors of all minutes, the old ones at half their weight.
    usual: (f64, f64),
    times: Option<Box<Times>>,
    /// A minute of this window was part of a flood.
    is_flooded: bool,
}

impl Rhythm {
    fn new(time: Timestamp, window: usize) -> Self {
        let minute = time.secs() / 60;
        Self {
            since: time,
            newest: time,
            minute,
            slot: slot_of(minute, window),
            minutes: [(0, 0); MINUTES_MAX],
            requests: 0,
            errors: 0,
            fresh: [0; MINUTES_MAX],
            hours: Box::new([0; HOURS]),
            hour: minute / 60,
            expected: 0,
            usual: (0.0, 0.0),
            times: None,
            is_flooded: false,
        }
    }

    /// Goes on to the minute of `time`; true where it is a new one.
    fn advance(&mut self, time: Timestamp, window: usize) -> bool {
        let minute = time.secs() / 60;
        self.newest = self.newest.max(time);
        if minute <= self.minute {
            return false;
        }
        // After twice the window nothing of it is left.
        let steps = (minute - self.minute).min(2 * window as u64 + 1);
        for _ in 0..steps {
            self.close(window);
        }
        if self.minute < minute {
            (self.minute, self.minutes) = (minute, [(0, 0); MINUTES_MAX]);
            self.slot = slot_of(minute, window);
            (self.requests, self.errors) = (0, 0);
        }
        self.expected = self.expects();
        true
    }

    /// Ends the minute in hand.
    fn close(&mut self, window: usize) {
        let at = self.slot;
        // The window that ended one window ago has become usual.
        let before = std::mem::replace(&mut self.fresh[at], self.requests);
        if std::mem::take(&mut self.is_flooded) {
            self.fresh[at] = 0;
        } else {
            self.learn(before, self.minute.saturating_sub(window as u64));
            let (requests, errors) = self.minutes[at];
            let keep = if 1e6 < self.usual.0 { 0.5 } else { 1.0 };
            self.usual = (
                keep * self.usual.0 + f64::from(requests),
                keep * self.usual.1 + f64::from(errors),
            );
            self.times.iter_mut().for_each(|times| times.learn());
        }
        self.times.iter_mut().for_each(|times| times.age());
        self.minute += 1;
        let next = slot_of(self.minute, window);
        self.slot = next;
        let (requests, errors) = std::mem::take(&mut self.minutes[next]);
        self.requests = self.requests.saturating_sub(requests);
        self.errors = self.errors.saturating_sub(errors);
    }

    /// A window with so many requests ended in `minute`.
    fn learn(&mut self, requests: u32, minute: u64) {
        let hour = minute / 60;
        let skipped = hour.saturating_sub(self.hour).min(HOURS as u64);
        for old in (0..skipped).map(|back| hour - back) {
            self.hours[place_of(old)] = 0;
        }
        self.hour = self.hour.max(hour);
        let most = &mut self.hours[place_of(hour)];
        *most = requests.max(*most);
    }

    /// The most requests of a window that are to be expected in the minute in hand: those of the
    /// last hour, and around this hour of the last seven days.
    fn expects(&self) -> u32 {
        let now = self.minute / 60;
        let most = |hour: u64| {
            let is_known = hour <= self.hour && self.hour < hour + HOURS as u64;
            if is_known { self.hours[place_of(hour)] } else { 0 }
        };
        let days = (1..=7).flat_map(|day| (0..3).map(move |around| 24 * day - 1 + around));
        let back = [0, 1].into_iter().chain(days);
        back.map(|back| most(now.saturating_sub(back))).max().unwrap_or(0)
    }

    fn limit(&self, flood: Flood) -> u32 {
        self.expected.saturating_mul(flood.times)
    }

    fn count(
        &mut self,
        time: Timestamp,
        window: usize,
        count: u32,
        failed: bool,
        took: Option<u64>,
    ) {
        let minute = time.secs() / 60;
        // Nearly always it is the minute in hand.
        let slot = match self.minute.saturating_sub(minute) {
            0 => self.slot,
            late if late < window as u64 => slot_of(minute, window),
            _ => return,
        };
        let (requests, errors) = &mut self.minutes[slot];
        let failures = if failed { count } else { 0 };
        *requests = requests.saturating_add(count);
        *errors = errors.saturating_add(failures);
        self.requests = self.requests.saturating_add(count);
        self.errors = self.errors.saturating_add(failures);
        if let Some(took) = took {
            self.times.get_or_insert_default().see(took);
        }
    }

    /// Why the site is not merely busy.
    fn suffers(&self) -> Option<String> {
        let share = f64::from(self.errors) / f64::from(self.requests.max(1));
        let usual = self.usual.1 / self.usual.0.max(1.0);
        if ERRORS_MIN <= share && MORE * usual <= share {
            return Some(format!("{:.0} % of them failed", 100.0 * share));
        }
        let (now, usual) = self.times.as_ref()?.medians()?;
        let is_slower = SLOW_NS_MIN <= now && MORE * usual as f64 <= now as f64;
        is_slower.then(|| {
            let [now, usual] = [now, usual].map(|ns| ns / 1_000_000);
            format!("half of them took {now} ms or longer, usually it is {usual} ms")
        })
    }
}

fn place_of(hour: u64) -> usize {
    (hour % HOURS as u64) as usize
}

/// Steps of durations: four for each doubling, from 1 µs to more than an hour.
const STEPS: usize = 4 * 32;

/// How long requests take.
#[derive(Debug)]
struct Times {
    /// In the minute in hand.
    minute: [u32; STEPS],
    /// In the minutes before, each at half the weight of the next one.
    recent: [u32; STEPS],
    /// In all minutes; halved when they are many.
    usual: [u32; STEPS],
}

impl Default for Times {
    fn default() -> Self {
        Self { minute: [0; STEPS], recent: [0; STEPS], usual: [0; STEPS] }
    }
}

impl Times {
    fn see(&mut self, ns: u64) {
        let count = &mut self.minute[step(ns)];
        *count = count.saturating_add(1);
    }

    fn learn(&mut self) {
        let many = 1 << 20 < self.usual.iter().sum::<u32>();
        for (usual, minute) in self.usual.iter_mut().zip(self.minute) {
            *usual = (*usual >> u32::from(many)).saturating_add(minute.min(1 << 16));
        }
    }

    fn age(&mut self) {
        for (recent, minute) in self.recent.iter_mut().zip(&mut self.minute) {
            *recent = (*recent / 2).saturating_add(std::mem::take(minute).min(1 << 16));
        }
    }

    /// The median of the last minutes and the usual one, where enough is known of both.
    fn medians(&self) -> Option<(u64, u64)> {
        let now: Vec<u32> =
            self.minute.iter().zip(self.recent).map(|(a, b)| a.saturating_add(b)).collect();
        Some((median(&now)?, median(&self.usual)?))
    }
}

fn median(counts: &[u32]) -> Option<u64> {
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let mut below = 0;
    let at = counts.iter().position(|count| {
        below += u64::from(*count);
        total <= 2 * below
    })?;
    (u64::from(TIMED_MIN) <= total).then(|| least(at))
}

/// The step of a duration.
fn step(ns: u64) -> usize {
    let us = (ns / 1000).max(4);
    let doubling = us.ilog2();
    let quarter = (us >> (doubling - 2)) & 3;
    (4 * (doubling as usize - 2) + quarter as usize).min(STEPS - 1)
}

/// The shortest duration of a step.
fn least(step: usize) -> u64 {
    let (doubling, quarter) = (step / 4, (step % 4) as u64);
    ((4 + quarter) << doubling) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::rule;

    #[test]
    fn invented_sites_neither_fill_the_memory_nor_take_the_place_of_a_real_one() {
        let mut floods = Floods::new(&rule::builtin(), RandomState::with_seeds(1, 2, 3, 4));
        let start = Timestamp::from_secs(1_794_787_200);
        let at = |seconds| start.plus(Period::from_secs(seconds));
        let name = |n: u64| format!("{n}.example.net").into_bytes();
        let places: Vec<_> = (0..2000).map(|n| floods.place(&name(n), at(n))).collect();
        assert_eq!((SITES_MAX, None), (places.iter().flatten().count(), places[256]));
        assert_eq!(Some(7), floods.place(&name(7), at(2000)), "it keeps its place");
        assert_eq!(Some(0), floods.place(&name(5000), at(86_400)), "the first is idle for a day");
        assert_eq!(None, floods.place(&name(0), at(86_400)), "and has none now");
        assert_eq!(SITES_MAX, floods.sites.len());
    }

    #[test]
    fn a_step_of_durations_holds_its_shortest() {
        for ns in [4_000, 5_000, 99_000, 1_000_000, 1_600_000_000, u64::MAX] {
            let at = step(ns);
            let is_last = at == STEPS - 1;
            assert!(least(at) <= ns && (is_last || ns < least(at + 1)), "{ns}");
        }
    }

    #[test]
    fn a_site_of_ten_requests_has_no_usual_duration() {
        let mut times = Times::default();
        (0..10).for_each(|_| times.see(2_000_000));
        times.learn();
        assert_eq!(None, times.medians());
        (0..1000).for_each(|_| times.see(40_000_000));
        times.learn();
        let (now, usual) = times.medians().expect("enough");
        assert!((30_000_000..=40_000_000).contains(&now) && now == usual, "{now} {usual}");
    }
}
