//! All series of an installation: counts events by the hour, and judges each hour once it is over.
//!
//! The clock is the log's own: an hour is over when every source that still speaks has passed its
//! end. What is known of hours that are over is what [`Rhythm::records`] holds; the counts of the
//! hours that go on are not stored, because the lines they come from are.
//!
//! Invariants: an event counts for one hour, once: those of hours that are over are late, and a
//! start sees the lines of the others again. At most [`SITES_MAX`] sites and sources are told
//! apart, the rest is counted together.

use std::collections::{BTreeMap, BTreeSet};

use super::budget::Budget;
use super::caps::Caps;
use super::hour_counts::HourCounts;
use super::measure::{Measure, SeriesName};
use super::series::{Hour, SLOTS, Series, Stage};
use super::verdict::{Tail, Test};
use crate::engine::batch::{EventBatch, Field};
use crate::engine::detect::Calendar;
use crate::engine::tally::OTHER;
use crate::units::{Period, Timestamp};

/// Sites and sources told apart.
pub const SITES_MAX: usize = 16;

/// Hours that may be open at a time; then the oldest is taken to be over.
const OPEN_MAX: usize = 48;

/// Hours without a line that were watched all the same: some sites are quiet for days. A longer
/// gap says that nobody looked.
const GAP_MAX: u32 = 168;

/// False alarms a week of the whole installation.
pub const ALARMS_PER_WEEK: f64 = 1.0;

/// How often the hour that goes on is looked at.
const LOOK_EVERY: Period = Period::from_secs(300);

const HOUR: Period = Period::from_secs(3600);

/// Lines dated later than this after they were read are taken as of the time of reading.
const FUTURE_MAX: Period = Period::from_secs(300);

/// A series that is odd, or was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Odd {
    /// The series.
    pub series: SeriesName,
    /// The test that raises the alarm.
    pub test: Test,
    /// The first of the hours that it is about.
    pub from: Timestamp,
    /// The end of what it is about.
    pub to: Timestamp,
}

/// A series as it was judged last.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// How odd its last hour was: 1 is as odd as an alarm.
    pub oddness: f64,
    /// The test of its last hour for too much, which has the expectation and its band.
    pub hour: Test,
}

/// All series.
#[derive(Debug)]
pub struct Rhythm {
    calendar: Calendar,
    caps: Caps,
    series: BTreeMap<SeriesName, Series>,
    /// Hours that go on.
    open: BTreeMap<u32, HourCounts>,
    /// The newest hour that is over.
    closed: Option<u32>,
    /// The same, as the store knows it.
    stored: Option<u32>,
    /// When the hour that goes on is looked at next.
    look_at: Timestamp,
    /// Since the last commit.
    changed: BTreeSet<SeriesName>,
    odd: Vec<Odd>,
    standings: BTreeMap<SeriesName, Standing>,
    /// Events that came after their hour was over.
    late: u64,
}

impl Rhythm {
    /// Nothing learnt. Hours are those of `calendar`; `seed` is that of the hashes of clients.
    pub fn new(calendar: Calendar, seed: u64) -> Self {
        Self {
            calendar,
            caps: Caps::new(ahash::RandomState::with_seeds(seed, 17, 19, 23)),
            series: BTreeMap::new(),
            open: BTreeMap::new(),
            closed: None,
            stored: None,
            look_at: Timestamp(0),
            changed: BTreeSet::new(),
            odd: Vec::new(),
            standings: BTreeMap::new(),
            late: 0,
        }
    }

    /// Takes up what [`Rhythm::records`] gave. A series that cannot be read learns anew; answers
    /// how many of them there were.
    pub fn restore(&mut self, records: &[(String, u32, Vec<u8>)]) -> usize {
        let mut damaged = 0;
        for (name, hour, bytes) in records {
            if name.is_empty() {
                self.closed = Some(*hour);
                continue;
            }
            match (name.parse::<SeriesName>(), Series::from_bytes(bytes)) {
                (Ok(name), Some(series)) => drop(self.series.insert(name, series)),
                _ => damaged += 1,
            }
        }
        self.stored = self.closed;
        damaged
    }

    /// What has changed since the last [`Rhythm::committed`]: series by name with the newest hour
    /// that is over and their bytes, and that hour alone without a name.
    pub fn records(&self) -> Vec<(String, u32, Vec<u8>)> {
        let Some(closed) = self.closed.filter(|_| self.stored != self.closed) else {
            return Vec::new();
        };
        let changed = self
            .changed
            .iter()
            .filter_map(|name| Some((name.to_string(), closed, self.series.get(name)?.to_bytes())));
        std::iter::once((String::new(), closed, Vec::new())).chain(changed).collect()
    }

    /// The newest hour that is over.
    pub fn closed(&self) -> Option<u32> {
        self.closed
    }

    /// What [`Rhythm::records`] gave is stored.
    pub fn committed(&mut self) {
        self.changed.clear();
        self.stored = self.closed;
    }

    /// What was found odd since this was asked last.
    pub fn take_odd(&mut self) -> Vec<Odd> {
        std::mem::take(&mut self.odd)
    }

    /// The series, by name.
    pub fn series(&self) -> impl Iterator<Item = (&SeriesName, &Series)> {
        self.series.iter()
    }

    /// How each series was judged last.
    pub fn standings(&self) -> impl Iterator<Item = (&SeriesName, &Standing)> {
        self.standings.iter()
    }

    /// Events that came after their hour was over.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// The part of the budget that each series has.
    pub fn budget(&self) -> Budget {
        Budget::per_week(ALARMS_PER_WEEK).divided(self.series.len())
    }

    /// Lines before `time` are not seen again: the hour that holds it is known in part only.
    pub fn forget_before(&mut self, time: Timestamp) {
        self.closed = self.closed.map(|closed| closed.max(time.hour()));
        self.open.retain(|hour, _| self.closed.is_none_or(|closed| closed < *hour));
    }

    /// Counts the events of `batch`, read at `read_at`.
    pub fn see(&mut self, batch: &EventBatch, read_at: Timestamp) {
        self.see_of(batch, read_at, (&batch.origin.source, &batch.origin.site));
    }

    /// Counts the events of `batch` as those of a source and its site.
    pub fn see_of(&mut self, batch: &EventBatch, read_at: Timestamp, (source, site): (&str, &str)) {
        let latest = read_at.plus(FUTURE_MAX);
        for event in batch.events() {
            if event.row().time_is_read {
                continue;
            }
            let time = if latest < event.row().time { read_at } else { event.row().time };
            let hour = time.hour();
            // The hour in which watching begins is known in part only.
            let closed = *self.closed.get_or_insert(hour);
            let domain = event.field(Field::Domain).filter(|domain| !domain.is_empty());
            let site = domain.unwrap_or(site.as_bytes());
            let measures = Measure::of_event(&event).into_iter().flatten();
            if hour <= closed {
                self.late += 1;
                if hour == closed {
                    // What a client tried before the hour began limits what counts within it.
                    measures.for_each(|measure| _ = self.caps.count(measure, &event, time));
                }
                continue;
            }
            if OPEN_MAX <= self.open.len()
                && !self.open.contains_key(&hour)
                && let Some((oldest, _)) = self.open.first_key_value()
            {
                let end = Timestamp::from_secs(3600 * (u64::from(*oldest) + 1));
                self.turn_to(end);
                if self.closed.is_some_and(|closed| hour <= closed) {
                    self.late += 1;
                    continue;
                }
            }
            let lines = (Measure::Lines, source.as_bytes(), 1);
            self.count(hour, lines);
            for measure in measures {
                let count = self.caps.count(measure, &event, time);
                self.count(hour, (measure, site, count));
            }
        }
    }

    fn count(&mut self, hour: u32, what: (Measure, &[u8], u64)) {
        let series = &self.series;
        let is_source = what.0 == Measure::Lines;
        let may = |of: &str, rows: usize| {
            let of_kind =
                series.keys().filter(|name| (name.measure == Measure::Lines) == is_source);
            let known: BTreeSet<&str> = of_kind.map(|name| name.of.as_str()).collect();
            known.contains(of) || known.len().max(rows) < SITES_MAX
        };
        self.open.entry(hour).or_default().add(what, OTHER, may);
    }

    /// Every source that still speaks has come to `mark`: judges the hours that are over, and looks
    /// at the one that goes on.
    pub fn turn_to(&mut self, mark: Timestamp) {
        let Some(mut closed) = self.closed else { return };
        while Timestamp::from_secs(3600 * (u64::from(closed) + 2)) <= mark {
            let next = self.open.keys().next().copied().unwrap_or_else(|| mark.hour());
            if GAP_MAX < next.saturating_sub(closed + 1) {
                // Nobody looked: these hours tell nothing.
                closed = next - 1;
                self.closed = Some(closed);
                continue;
            }
            closed += 1;
            let counts = self.open.remove(&closed).unwrap_or_default();
            self.close(closed, &counts);
            self.closed = Some(closed);
        }
        if self.look_at <= mark {
            self.look_at = mark.plus(LOOK_EVERY);
            self.look(mark);
        }
    }

    /// Judges an hour that is over, and learns from it.
    fn close(&mut self, number: u32, counts: &HourCounts) {
        let hour = self.hour(number);
        let counts: BTreeMap<SeriesName, u64> = counts.all().collect();
        for name in counts.keys() {
            self.series.entry(name.clone()).or_default();
        }
        let budget = self.budget();
        for (name, series) in &mut self.series {
            let count = counts.get(name).copied().unwrap_or(0);
            let Some(verdict) = series.observe(hour, count, budget) else { continue };
            let standing = Standing { oddness: verdict.oddness(), hour: *verdict.hour() };
            self.standings.insert(name.clone(), standing);
            self.changed.insert(name.clone());
            let alarms = verdict.tests.iter().filter(|test| test.is_alarm);
            let oddest = alarms
                .filter(|test| name.measure.is_of_interest(test.tail))
                .max_by(|a, b| a.oddness().total_cmp(&b.oddness()));
            if let Some(test) = oddest
                && verdict.stage == Stage::Ready
            {
                let to = Timestamp::from_secs(3600 * (u64::from(number) + 1));
                let from = to.minus(Period(HOUR.ms() * test.scale.hours() as u64));
                self.odd.push(Odd { series: name.clone(), test: *test, from, to });
            }
        }
    }

    /// Looks at the hour that `mark` is in.
    fn look(&mut self, mark: Timestamp) {
        let number = mark.hour();
        // Lines of later hours are there already where a backlog is read: then it is no present.
        let Some((newest, counts)) = self.open.last_key_value() else { return };
        let start = Timestamp::from_secs(3600 * u64::from(number));
        if *newest != number || mark.since(start) < LOOK_EVERY {
            return;
        }
        let (hour, budget) = (self.hour(number), self.budget());
        let from = Timestamp::from_secs(3600 * u64::from(number));
        let elapsed = mark.since(from).ms() as f64 / HOUR.ms() as f64;
        for (name, count) in counts.all() {
            let Some(series) = self.series.get(&name) else { continue };
            let test = series.look(hour, count, elapsed, budget);
            if let Some(test) = test.filter(|test| test.is_alarm && series.stage() == Stage::Ready)
            {
                self.odd.push(Odd { series: name, test, from, to: mark });
            }
        }
    }

    /// The hour since 1970 as clocks on walls show it.
    pub fn hour(&self, number: u32) -> Hour {
        let local = self.calendar.local(Timestamp::from_secs(3600 * u64::from(number)));
        let day = local.weekday().to_monday_zero_offset() as usize;
        let slot = (day * 24 + local.hour() as usize) % SLOTS;
        Hour { number, slot, is_holiday: self.calendar.is_holiday(local.date()) }
    }

    /// The calendar that hours are told by.
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }
}

impl Odd {
    /// In words: what came when, what is usual, and how often chance does that.
    pub fn detail(&self, calendar: &Calendar) -> String {
        let (from, to) = (calendar.local(self.from), calendar.local(self.to));
        let day = if from.date() == to.date() || self.to.since(self.from) < Period(24 * HOUR.ms()) {
            from.strftime("%A, %F, %H:%M").to_string()
        } else {
            from.strftime("%A, %F %H:%M").to_string()
        };
        let until =
            if from.date() == to.date() { to.strftime("%H:%M") } else { to.strftime("%A %H:%M") };
        let band = self.test.band();
        format!(
            "{} of {} from {day} to {until}: {}; usual is {} to {}. By chance about once in {}",
            self.series.measure.title(),
            self.series.of,
            self.test.count,
            band.low,
            band.high,
            in_words(self.test.weeks_between()),
        )
    }

    /// Too much, or too little.
    pub fn tail(&self) -> Tail {
        self.test.tail
    }
}

/// A number of weeks as people say it.
fn in_words(weeks: f64) -> String {
    match weeks {
        ..2.0 => "a week".to_owned(),
        2.0..100.0 => format!("{weeks:.0} weeks"),
        100.0..52_000.0 => format!("{:.0} years", weeks / 52.18),
        _ => "a thousand years or more".to_owned(),
    }
}

#[cfg(test)]
mod tests;
