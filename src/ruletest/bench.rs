//! Runs tests: each line is read when its moment has come, by the parser, the memory and the rules
//! of the product, as the daemon would.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::case::{Case, Kind, no_rule};
use super::expect::compare;
use super::script::{Delivery, shuffle};
use crate::engine::batch::{EventBatch, Origin};
use crate::engine::detect::rule::Rule;
use crate::engine::detect::{Alert, AlertState, Circumstances, Detectors, LATENESS, Limits};
use crate::engine::enrich::Enricher;
use crate::engine::format::FormatSet;
use crate::engine::memory::{Carried, Memory};
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::io::Seeded;
use crate::units::{Period, Timestamp};

/// What tests run on: rules, and the settings that decide what they see.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The rules in force.
    pub rules: Vec<Rule>,
    /// How lines are enriched.
    pub enricher: Arc<Enricher>,
    /// People, days and exceptions.
    pub circumstances: Circumstances,
    /// Seed of the hashes of keys: any gives the same alerts.
    pub seed: u64,
}

/// An alert that was raised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fired {
    /// The number of the event that was seen last, from 1; none where it was time that fired.
    pub event: Option<usize>,
    /// The alert.
    pub alert: Alert,
}

/// What came of a test.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Why it failed; nothing where it passed.
    pub complaints: Vec<String>,
}

/// Orders in which shuffled lines are seen, besides their own.
const SHUFFLES: u64 = 5;

/// How long nothing more must come, where one more event is asked for and time is what fires.
const MORE_QUIET: Period = Period::from_secs(180);

impl Bench {
    /// Runs a test.
    pub fn run(&self, case: &Case) -> Verdict {
        if case.roster.is_none() && case.indicators.is_none() {
            return self.run_here(case);
        }
        let mut bench = self.clone();
        let mut enricher = Enricher::clone(&self.enricher);
        if case.roster.is_some() {
            bench.circumstances.roster.clone_from(&case.roster);
            enricher.roster.clone_from(&case.roster);
        }
        if case.indicators.is_some() {
            enricher.feeds.clone_from(&case.indicators);
        }
        bench.enricher = Arc::new(enricher);
        bench.run_here(case)
    }

    fn run_here(&self, case: &Case) -> Verdict {
        let Some(rule) = self.rules.iter().find(|rule| rule.id == case.rule) else {
            let known = self.rules.iter().map(|rule| rule.id.as_str());
            return Verdict { complaints: vec![no_rule(&case.rule, known)] };
        };
        let rules = if case.alone { vec![rule.clone()] } else { self.rules.clone() };
        let deliveries = case.script.deliveries(case.clock);
        let compared =
            |fired: &[Fired]| compare(&case.rule, &case.expect, case.nothing_else, fired);
        let straight = self.play(rules.clone(), &deliveries, case.quiet, None);
        let mut complaints = compared(&straight.fired);
        for seed in 1..=SHUFFLES {
            let Some(lateness) = case.shuffle.filter(|_| complaints.is_empty()) else { break };
            let mut deliveries = deliveries.clone();
            shuffle(&mut deliveries, lateness, &mut Seeded::new(seed));
            let fired = self.play(rules.clone(), &deliveries, case.quiet, None).fired;
            let wrong = compared(&fired).into_iter();
            complaints.extend(wrong.map(|text| format!("shuffled (seed {seed}): {text}")));
        }
        if let Some(event) = case.restart_at_event.filter(|_| complaints.is_empty()) {
            let again = self.play(rules.clone(), &deliveries, case.quiet, Some(event));
            complaints.extend(
                compared(&again.fired).into_iter().map(|text| format!("with the restart: {text}")),
            );
            if complaints.is_empty() && straight != again {
                complaints.push("the restart changes an alert".to_owned());
            }
        }
        if case.kind == Some(Kind::Below) && complaints.is_empty() && !rule.is_of_single_events() {
            complaints.extend(self.just_below(case, rules));
        }
        Verdict { complaints }
    }

    /// What is wrong where one more event does not fire the rule.
    fn just_below(&self, case: &Case, rules: Vec<Rule>) -> Option<String> {
        let (script, quiet) = match case.quiet {
            Some(quiet) => (case.script.clone(), Some(Period(quiet.ms() + MORE_QUIET.ms()))),
            None => (case.script.one_more()?, None),
        };
        let fired = self.play(rules, &script.deliveries(case.clock), quiet, None).fired;
        let has_fired = fired.iter().any(|one| one.alert.rule.id == case.rule);
        let more = match quiet {
            Some(_) => format!("after {MORE_QUIET} more without events"),
            None => "with one more repetition of the last entry".to_owned(),
        };
        (!has_fired).then(|| format!("`below` is far below: {more} the rule is silent, too"))
    }

    /// The alerts that `rules` raise about lines, with `quiet` behind them. After the event of the
    /// number `restart` the run ends, and another one goes on.
    pub(super) fn play(
        &self,
        rules: Vec<Rule>,
        deliveries: &[Delivery],
        quiet: Option<Period>,
        restart: Option<usize>,
    ) -> Played {
        let mut run = Run::new(self, rules);
        for (index, delivery) in deliveries.iter().enumerate() {
            run.pass(delivery.at);
            run.see(delivery);
            if restart == Some(index + 1) {
                run.restart(self);
            }
        }
        if let (Some(quiet), Some(last)) = (quiet, deliveries.last()) {
            for minute in 1..=quiet.secs() / 60 {
                // Rules stand a little behind the clock.
                run.pass(last.at.plus(Period::from_secs(60 * minute)).plus(LATENESS));
            }
        }
        run.played
    }
}

/// What came of a run.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Played {
    /// Alerts as they were raised.
    pub(super) fired: Vec<Fired>,
    /// Alerts as they ended.
    pub(super) ended: Vec<Alert>,
}

/// A run under way.
struct Run {
    rules: Vec<Rule>,
    detectors: Detectors,
    memory: Memory,
    enricher: Arc<Enricher>,
    parsers: HashMap<(String, String), (Parser, u64)>,
    batch: EventBatch,
    alerts: Vec<Alert>,
    played: Played,
    open: Vec<Alert>,
    /// What was read, to be seen again after a restart.
    read: Vec<Read>,
}

/// A line as it was read.
struct Read {
    key: (String, String),
    text: Text,
    carried: Carried,
    last_time: Timestamp,
}

impl Run {
    fn new(bench: &Bench, rules: Vec<Rule>) -> Self {
        Self {
            detectors: detectors(bench, &rules),
            rules,
            memory: Memory::new(&bench.enricher.logins),
            enricher: Arc::clone(&bench.enricher),
            parsers: HashMap::new(),
            batch: EventBatch::default(),
            alerts: Vec::new(),
            played: Played::default(),
            open: Vec::new(),
            read: Vec::new(),
        }
    }

    /// Time passes until `now`.
    fn pass(&mut self, now: Timestamp) {
        self.detectors.tick(now.minus(LATENESS), &mut self.alerts);
        self.take(None);
    }

    fn see(&mut self, delivery: &Delivery) {
        let key = (delivery.format.clone(), delivery.source.clone());
        let enricher = &self.enricher;
        let (_, end) = self.parsers.entry(key.clone()).or_insert_with(|| {
            let formats = FormatSet::from_definition(&delivery.format);
            let formats = formats.expect("it was checked when it was read");
            let times = TimeReader::new(TimeZone::UTC, delivery.at);
            (Parser::new(formats, times, Arc::clone(enricher)), 0)
        });
        let origin = Origin {
            source: delivery.source.clone(),
            site: delivery.site.clone(),
            ..Origin::default()
        };
        let bytes = format!("{}\n", delivery.line).into_bytes();
        let (from, read_at) = (*end, delivery.at);
        *end += bytes.len() as u64;
        let text = Text { origin: Arc::new(origin), bytes, from, truncated_last: false, read_at };
        let carried = parse(&mut self.parsers, &key, &text, &mut self.batch, &mut self.memory);
        self.detectors.see(&self.batch, read_at, &mut self.alerts);
        let last_time = self.batch.events().map(|event| event.row().time).max();
        let last_time = last_time.unwrap_or(read_at);
        self.read.push(Read { key, text, carried, last_time });
        self.take(Some(self.read.len()));
    }

    /// Takes what was raised, by the event of that number or by time.
    fn take(&mut self, event: Option<usize>) {
        for alert in self.alerts.drain(..) {
            self.open.retain(|open| open.id != alert.id);
            if alert.state != AlertState::Resolved {
                self.open.push(alert.clone());
            }
            if alert.state == AlertState::Firing {
                self.played.fired.push(Fired { event, alert });
            } else {
                self.played.ended.push(alert);
            }
        }
    }

    /// All that is remembered is lost and made again, as the daemon does when it starts.
    fn restart(&mut self, bench: &Bench) {
        self.detectors = detectors(bench, &self.rules);
        self.memory = Memory::new(&self.enricher.logins);
        let newest = self.read.last().map_or(Timestamp(0), |read| read.last_time);
        let since = newest.minus(self.detectors.window_max());
        let (parsers, batch, memory) = (&mut self.parsers, &mut self.batch, &mut self.memory);
        let (read, mut muted) = (&self.read, Vec::new());
        let read = read.iter().filter(|read| since <= read.last_time);
        self.detectors.resume(&self.open, since, |detectors| {
            for read in read {
                memory.recall(read.carried.clone());
                parse(parsers, &read.key, &read.text, batch, memory);
                detectors.see(batch, read.text.read_at, &mut muted);
                muted.clear();
            }
        });
    }
}

fn detectors(bench: &Bench, rules: &[Rule]) -> Detectors {
    Detectors::new(rules.to_vec(), Limits::new(bench.seed))
        .in_circumstances(bench.circumstances.clone())
}

/// Fills `batch` with what the line says; answers what it was read with.
fn parse(
    parsers: &mut HashMap<(String, String), (Parser, u64)>,
    key: &(String, String),
    text: &Text,
    batch: &mut EventBatch,
    memory: &mut Memory,
) -> Carried {
    let (parser, _) = parsers.get_mut(key).expect("made for the first line of its source");
    parser.set_reference(text.read_at);
    parser.fill(batch, text.clone());
    let own = parser.format_name();
    if Memory::concerns(batch, own) { memory.complete(batch, own) } else { Carried::default() }
}
