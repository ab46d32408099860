//! The pipeline: sources → engine → store, on one thread.
//!
//! Lines are read until a commit is due (200 ms or 4 MiB), then one transaction stores them
//! together with the positions behind them, the alerts they raised, the mails about these, and the
//! counts of their hours. What the rest of the daemon hears of is always in the store already.
//!
//! Invariant: nothing is told, counted in metrics or delivered before its commit.

mod formats;

use std::collections::HashMap;
use std::sync::Arc;

use super::decode::Decoder;
use super::feeds::Matches;
use super::hours::Hours;
use super::intake::{Intakes, is_received};
use super::journal::{Journal, is_journal};
use super::presence::Presence;
use super::rebuild::{incidents_of, reach, rebuild};
use super::rhythm::Weekly;
use super::source_format::{Reading, SourceFormat};
use super::stdin::{self, Stdin};
use super::telling;
use super::{Options, Shared};
use crate::engine::batch::EventBatch;
use crate::engine::detect::incident::Incidents;
use crate::engine::detect::{Alert, Detectors, Finding, LATENESS, Limits, Reported};
use crate::engine::format::{Miss, state_of};
use crate::engine::members::Members;
use crate::engine::memory::Memory;
use crate::io::Clock;
use crate::notify;
use crate::notify::channel::ChannelConfig;
use crate::serve::{Metrics, SourceReading};
use crate::source::listen::Listeners;
use crate::source::{Block, Follower, Generation, GenerationId, Notice, SourceConfig};
use crate::store::{Commit, Frame, Seq, Store, StoreError, StoreReader};
use crate::units::{Period, Timestamp};

/// Raw bytes of one commit at most: they are held in memory until it is done.
const COMMIT_BYTES: u64 = 4 << 20;

/// Lines wait for a commit at most this long.
pub(super) const COMMIT_EVERY: Period = Period(200);

/// An alert older than this when it is raised came from a backlog: the daemon's, and that of a
/// run from cron, which comes by now and then.
const BACKLOG: Period = Period::from_secs(600);
const BACKLOG_ONCE: Period = Period::from_secs(26 * 3600);

/// What a turn did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// Lines stored.
    pub(super) lines: u64,
    /// Alerts raised or resolved.
    pub(super) alerts: usize,
    /// There may be more to read at once.
    pub(super) more: bool,
}

/// The pipeline and all it owns.
pub(super) struct Pipeline {
    store: Store,
    follower: Follower,
    stdin: Option<Stdin>,
    /// Each with the index of its format.
    journals: Vec<(Journal, usize)>,
    /// What comes through standard input happened long ago, or nothing has come as yet.
    stdin_is_late: bool,
    intakes: Option<Intakes>,
    /// The listeners had the last turn.
    intakes_were_last: bool,
    /// Of the followed sources, of the journals and the listeners behind them, and of standard
    /// input as the last.
    formats: Vec<SourceFormat>,
    decoder: Decoder,
    memory: Memory,
    detectors: Detectors,
    incidents: Incidents,
    hours: Hours,
    weekly: Weekly,
    presence: Presence,
    matches: Matches,
    members: Members,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    mail: notify::MailConfig,
    channels: Vec<ChannelConfig>,
    host: String,
    options: Options,
    /// Time of the last event read of each generation, to read the oldest lines first.
    last_times: HashMap<u64, Timestamp>,
    /// What the lines read of each generation have told about those that follow.
    states: HashMap<u64, String>,
    buffer: Vec<u8>,
    batch: EventBatch,
    // What the next commit holds. It stays until the store has taken it.
    cursors: HashMap<u64, String>,
    frames: Vec<Frame>,
    alerts: Vec<Alert>,
    readings: HashMap<usize, Reading>,
}

impl Pipeline {
    /// Takes up where the store left off.
    pub(super) fn start(
        shared: &Shared,
        store: Store,
        options: Options,
    ) -> Result<(Self, Vec<Alert>), StoreError> {
        let (config, seed, host) = (&shared.config, shared.seed, shared.host.clone());
        let generations = store.generations()?.into_iter();
        let is_file = |id| id != stdin::GENERATION && !is_received(id) && !is_journal(id);
        let files = generations.filter(|(id, _)| is_file(GenerationId(*id)));
        let resume = files.filter_map(|(_, text)| {
            serde_json::from_str::<Generation>(&text)
                .inspect_err(|error| tracing::error!("a stored position cannot be read: {error}"))
                .ok()
        });
        let mut limits = config.follow;
        limits.once = options.once;
        let followed: Vec<_> = config.sources.iter().filter(|s| s.is_followed()).cloned().collect();
        let follower = Follower::new(&followed, resume.collect(), limits);
        let enricher = Arc::new(config.enricher());
        let mut decoder = Decoder::new(enricher).following(shared.lists.as_ref(), false);
        let mut detectors = Detectors::new(config.rules.clone(), Limits::new(seed))
            .in_circumstances(config.circumstances.clone());
        let reader = StoreReader::open(&config.store.path)?;
        let open = reader.open_alerts()?;
        let reach = reach(config, &detectors);
        let mut weekly = Weekly::start(&reader, config, seed)?;
        let learning = (&mut detectors, &mut weekly);
        let memory = rebuild(&reader, &mut decoder, learning, &open, reach)?;
        let incidents = incidents_of(&reader, &open, shared.clock.now())?;
        let formats = followed.iter().map(|source| SourceFormat::new(source, &host)).collect();
        let pipeline = Self {
            store,
            follower,
            stdin: None,
            journals: Vec::new(),
            stdin_is_late: false,
            intakes: None,
            intakes_were_last: false,
            formats,
            decoder,
            memory,
            detectors,
            incidents,
            hours: Hours::new(seed),
            weekly,
            presence: Presence::new(config, seed),
            matches: Matches::default(),
            members: Members::new(seed),
            metrics: Arc::clone(&shared.metrics),
            clock: Arc::clone(&shared.clock),
            mail: config.mail.clone(),
            channels: config.channels.clone(),
            host,
            options,
            last_times: HashMap::new(),
            states: HashMap::new(),
            buffer: Vec::new(),
            batch: EventBatch::default(),
            cursors: HashMap::new(),
            frames: Vec::new(),
            alerts: Vec::new(),
            readings: HashMap::new(),
        };
        Ok((pipeline, open))
    }

    /// Reads a journal too, as `source`. Before standard input, if that is a source.
    pub(super) fn attach_journal(&mut self, journal: Journal, source: &SourceConfig) {
        assert!(self.stdin.is_none(), "standard input comes last");
        self.journals.push((journal, self.formats.len()));
        self.formats.push(SourceFormat::new(source, &self.host));
    }

    /// The journals that are read, and whether each of them has ended.
    pub(super) fn journals(&mut self) -> impl Iterator<Item = (&Journal, bool)> {
        self.journals.iter_mut().map(|(journal, _)| {
            let ended = journal.has_ended();
            (&*journal, ended)
        })
    }

    /// Reads standard input too, as `source`.
    pub(super) fn attach(&mut self, stdin: Stdin, source: &SourceConfig) {
        assert!(self.stdin.is_none(), "there is one standard input");
        self.formats.push(SourceFormat::new(source, &self.host));
        self.states.insert(stdin::GENERATION.0, stdin.note().to_owned());
        (self.stdin, self.stdin_is_late) = (Some(stdin), true);
    }

    /// Takes what the listeners of `sources` receive, too. Before standard input is attached.
    pub(super) fn listen(
        &mut self,
        listeners: Listeners,
        sources: &[&SourceConfig],
        seed: u64,
    ) -> Result<(), StoreError> {
        assert!(self.stdin.is_none(), "the source of standard input is the last one");
        let states = self.store.generations()?;
        let intakes = Intakes::new(listeners, &states, seed, self.formats.len());
        self.states.extend(intakes.notes());
        self.intakes = Some(intakes);
        let formats = sources.iter().map(|source| SourceFormat::new(source, &self.host));
        self.formats.extend(formats);
        Ok(())
    }

    /// What comes through the listeners, if there are any.
    pub(super) fn intakes(&self) -> Option<&Intakes> {
        self.intakes.as_ref()
    }

    /// Name of the source that is standard input, and whether it has ended.
    pub(super) fn stdin(&self) -> Option<(&str, bool)> {
        let stdin = self.stdin.as_ref()?;
        Some((self.formats.last()?.name.as_str(), stdin.has_ended()))
    }

    /// There was nothing to read but standard input, and it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.formats.len() == 1 && self.stdin().is_some_and(|(_, ended)| ended)
    }

    /// Looks at the files anew.
    pub(super) fn rescan(&mut self) -> Vec<Notice> {
        self.follower.rescan(self.clock.now())
    }

    /// The follower, for its status and the directories to watch.
    pub(super) fn follower(&self) -> &Follower {
        &self.follower
    }

    /// Tells the rules of something that no line says; the next turn stores what they make of it.
    pub(super) fn report(&mut self, finding: &Finding<'_>) {
        self.detectors.report(finding, self.clock.now(), &mut self.alerts);
    }

    /// Tells the rules that it is over.
    pub(super) fn report_end(&mut self, what: Reported, about: &[&str]) {
        self.detectors.report_end(what, about, self.clock.now(), &mut self.alerts);
    }

    /// The store, for trimming.
    pub(super) fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// The rules, for their status and their clock.
    pub(super) fn detectors(&self) -> &Detectors {
        &self.detectors
    }

    /// Names of the formats in use, by source.
    pub(super) fn formats(&self) -> impl Iterator<Item = (&str, &str)> {
        self.formats.iter().map(|format| (format.name.as_str(), format.definition.as_str()))
    }

    /// Reads what is there, up to one commit, and stores it. `read` is false while the store is
    /// full: then only time passes.
    pub(super) fn turn(&mut self, read: bool) -> Result<(Turn, Option<Seq>), StoreError> {
        // A commit that failed is tried again before anything else is read.
        let more = read && self.frames.is_empty() && self.read_blocks();
        let is_quiet = !more && self.frames.is_empty() && !self.awaits_old_lines();
        if is_quiet && !self.options.all_is_live {
            // Nothing is waiting in the files, so silence means silence.
            let now = self.clock.now();
            self.detectors.tick(now.minus(LATENESS), &mut self.alerts);
            self.weekly.turn_to(now.minus(LATENESS), &mut self.detectors, &mut self.alerts);
        }
        let mark = self.detectors.watermark().minus(LATENESS);
        self.weekly.turn_to(mark, &mut self.detectors, &mut self.alerts);
        let (turn, seq) = self.commit()?;
        Ok((Turn { more, ..turn }, seq))
    }

    /// The last turn before the end: takes what was read from standard input, for nobody can read
    /// it again. `read` is false while the store is full.
    pub(super) fn last_turn(&mut self, read: bool) -> Result<(Turn, Option<Seq>), StoreError> {
        if read && self.stdin.is_some() {
            self.drain_stdin();
        }
        self.turn(false)
    }

    /// Takes all that the listeners have received, for nobody can ask for it again. True when
    /// nothing more will come.
    pub(super) fn take_received(&mut self) -> bool {
        // Asked before they are emptied: what is put in between is not overlooked.
        let ended = self.intakes.as_ref().is_none_or(Intakes::have_ended);
        let now = self.clock.now();
        self.begin_intakes();
        while let Some(block) = self.intakes.as_mut().and_then(|intakes| intakes.take(now)) {
            self.take(block, now);
        }
        ended
    }

    fn drain_stdin(&mut self) {
        while let Some(stdin) = &mut self.stdin {
            stdin.close();
            // What the thread holds comes as soon as there is room for it.
            if !stdin.wait(COMMIT_EVERY) {
                return;
            }
            let now = self.clock.now();
            if let Some(block) = self.next_of_stdin(now) {
                self.take(block, now);
            }
        }
    }

    /// An old log comes through standard input. It may pause, which does not mean that nothing
    /// happened after its last line: the clock of rules stays where it is.
    fn awaits_old_lines(&self) -> bool {
        self.stdin_is_late && self.stdin().is_some_and(|(_, ended)| !ended)
    }

    /// Reads until a commit is due; true when there may be more.
    fn read_blocks(&mut self) -> bool {
        let started = self.clock.now();
        self.begin_intakes();
        let (mut bytes, mut piped) = (0, false);
        loop {
            let now = self.clock.now();
            let passed = now.since(started);
            if COMMIT_BYTES <= bytes || (0 < bytes && COMMIT_EVERY <= passed) {
                return true;
            }
            if let Some(block) = self.next_block(now) {
                bytes += block.bytes.len() as u64;
                piped |= block.generation == stdin::GENERATION;
                self.take(block, now);
                continue;
            }
            // What is on its way through a pipe may as well be in the same commit.
            let left = Period(COMMIT_EVERY.ms().saturating_sub(passed.ms()));
            if !piped || !self.stdin.as_mut().is_some_and(|stdin| stdin.wait(left)) {
                return false;
            }
        }
    }

    fn begin_intakes(&mut self) {
        if let Some(intakes) = &mut self.intakes {
            intakes.begin();
        }
    }

    /// The next block of the generation whose lines are the oldest.
    fn next_block(&mut self, now: Timestamp) -> Option<Block> {
        let last_time = |id: GenerationId| self.last_times.get(&id.0).copied().unwrap_or_default();
        let ready = self.follower.ready();
        let oldest = ready.iter().map(|one| one.generation).min_by_key(|id| last_time(*id));
        let journals = self.journals.iter_mut().enumerate();
        let ready = journals
            .filter_map(|(at, (journal, _))| journal.is_ready().then_some((at, journal.id())));
        if let Some((at, id)) = ready.min_by_key(|(_, id)| last_time(*id))
            && oldest.is_none_or(|file| last_time(id) <= last_time(file))
        {
            return self.next_of_journal(at, now);
        }
        let piped = self.stdin.as_mut().is_some_and(Stdin::is_ready);
        // Files can wait, so they do not go first; but a flood does not keep them waiting.
        self.intakes_were_last = !(self.intakes_were_last && (piped || oldest.is_some()));
        if self.intakes_were_last
            && let Some(block) = self.intakes.as_mut().and_then(|intakes| intakes.take(now))
        {
            return Some(block);
        }
        match oldest {
            Some(oldest) if !piped || last_time(oldest) < last_time(stdin::GENERATION) => {
                let buffer = std::mem::take(&mut self.buffer);
                self.follower.read_from(oldest, buffer)
            }
            _ => self.next_of_stdin(now),
        }
    }

    fn next_of_journal(&mut self, at: usize, now: Timestamp) -> Option<Block> {
        let (journal, source) = &mut self.journals[at];
        let (block, cursor) = journal.take(now)?;
        self.cursors.insert(journal.id().0, cursor);
        Some(Block { source: *source, ..block? })
    }

    fn next_of_stdin(&mut self, now: Timestamp) -> Option<Block> {
        let block = self.stdin.as_mut()?.take(now)?;
        Some(Block { source: self.formats.len() - 1, ..block })
    }

    /// Reads the lines of a block.
    fn take(&mut self, block: Block, now: Timestamp) {
        let definition = self.definition_at(&block);
        let format = &self.formats[block.source];
        let mut frame = Frame {
            source: format.name.clone(),
            path: block.path.display().to_string(),
            site: format.site.clone(),
            host: self.host.clone(),
            generation: block.generation.0,
            fingerprint: block.fingerprint.0,
            from: block.from,
            to: block.to,
            received: now,
            modified: block.modified,
            zone: format.zone.clone(),
            format: definition,
            truncated_last: block.truncated_last,
            wide: block.encoding.is_wide(),
            ..Frame::default()
        };
        let misses = self.decoder.parser(&frame.format, &frame.zone).misses();
        let carried = self.decoder.read(&frame, block.bytes, &mut self.batch, &mut self.memory);
        frame.memory = carried.to_text();
        let parser = self.decoder.parser(&frame.format, &frame.zone);
        let (after, definition) = (parser.misses(), parser.definition());
        if *definition != frame.format {
            let told = state_of(&definition).to_owned();
            self.follower.set_note(block.generation, &told);
            self.states.insert(frame.generation, told);
        }
        self.detectors.see(&self.batch, now, &mut self.alerts);
        self.hours.add(&self.batch, now);
        self.weekly.see(&self.batch, now);
        self.presence.add(&self.batch, now);
        self.matches.count(&self.batch);
        self.members.see(&self.batch, now);
        let known = self.batch.events().filter(|event| !event.row().time_is_read);
        let times = known.map(|event| event.row().time);
        let span = times.fold(None, |span: Option<(Timestamp, Timestamp)>, time| {
            let (first, last) = span.unwrap_or((time, time));
            Some((first.min(time), last.max(time)))
        });
        (frame.first_time, frame.last_time) = span.unwrap_or_default();
        frame.lines = self.batch.len() as u64;
        self.last_times.insert(frame.generation, frame.last_time);
        if block.generation == stdin::GENERATION {
            self.stdin_is_late = span.is_some_and(|(_, last)| last.plus(BACKLOG) < now);
        }
        let reading = self.readings.entry(block.source).or_default();
        reading.lines += frame.lines;
        reading.last_event = reading.last_event.max(span.map(|(_, last)| last));
        for (sum, (before, after)) in reading.misses.iter_mut().zip(misses.iter().zip(after)) {
            *sum += after - before;
        }
        frame.bytes = self.batch.take_bytes();
        reading.bytes += frame.bytes.len() as u64;
        self.frames.push(frame);
    }

    /// Stores what was read. When the store refuses, everything stays as it is for the next try.
    fn commit(&mut self) -> Result<(Turn, Option<Seq>), StoreError> {
        let changes = self.follower.take_changes();
        let rhythm = self.weekly.records();
        let nothing = self.frames.is_empty() && self.alerts.is_empty() && self.cursors.is_empty();
        let nothing = nothing && rhythm.is_empty();
        if nothing && changes.changed.is_empty() && changes.forgotten.is_empty() {
            return Ok((Turn::default(), None));
        }
        let now = self.clock.now();
        let backlog = if self.options.once { BACKLOG_ONCE } else { BACKLOG };
        for alert in &mut self.alerts {
            alert.backfill |= !self.options.all_is_live && alert.at.plus(backlog) < now;
        }
        let members = self.members.fresh();
        let known = (&self.store, members.as_slice());
        telling::prepare(known, &mut self.incidents, &mut self.alerts, now)?;
        let receivers = (&self.mail, self.channels.as_slice());
        let outbox = telling::messages(&self.store, &self.alerts, receivers, now)?;
        let mut generations: Vec<(u64, String)> = changes
            .changed
            .iter()
            .map(|one| (one.id.0, serde_json::to_string(one).expect("a position is JSON")))
            .collect();
        let piped = self.frames.iter().rfind(|one| one.generation == stdin::GENERATION.0);
        generations.extend(piped.map(|one| {
            let told = self.states.get(&one.generation).map_or("", String::as_str);
            (one.generation, stdin::state(one.to, told))
        }));
        generations.extend(self.cursors.iter().map(|(id, cursor)| (*id, cursor.clone())));
        if self.frames.iter().any(|frame| is_received(GenerationId(frame.generation))) {
            let told = |id: u64| self.states.get(&id).cloned().unwrap_or_default();
            generations.extend(self.intakes.iter().flat_map(|intakes| intakes.states(told)));
        }
        let expired: Vec<u64> = changes.forgotten.iter().map(|id| id.0).collect();
        let hours = self.hours.records(&self.store)?;
        let sightings = self.presence.sightings();
        let commit = Commit {
            frames: &self.frames,
            generations: &generations,
            alerts: &self.alerts,
            outbox: &outbox,
            hours: &hours,
            rhythm: &rhythm,
            sightings: &sightings,
            expired_generations: &expired,
            members: &members,
        };
        let seq = match self.store.commit(&commit, now) {
            Ok(seq) => seq,
            Err(error) => {
                self.follower.keep_changes(changes);
                return Err(error);
            }
        };
        if let Some(intakes) = &mut self.intakes {
            intakes.committed();
        }
        for id in &expired {
            self.last_times.remove(id);
            self.states.remove(id);
        }
        let turn = Turn {
            lines: self.frames.iter().map(|frame| frame.lines).sum(),
            alerts: self.alerts.len(),
            more: false,
        };
        self.tell(now);
        Ok((turn, Some(seq)))
    }

    /// The commit is safe: the metrics may know.
    fn tell(&mut self, now: Timestamp) {
        for tally in self.hours.fresh() {
            self.metrics.add_tally(tally);
        }
        self.hours.committed();
        self.weekly.committed(&self.metrics);
        self.members.committed();
        self.presence.committed();
        self.matches.tell(&self.metrics);
        self.cursors.clear();
        for (source, reading) in self.readings.drain() {
            let failures: Vec<(&str, u64)> =
                Miss::ALL.iter().zip(reading.misses).map(|(miss, n)| (miss.name(), n)).collect();
            self.metrics.add_reading(&SourceReading {
                source: &self.formats[source].name,
                lines: reading.lines,
                bytes: reading.bytes,
                last_event: reading.last_event,
                read_at: now,
                parse_failures: &failures,
            });
        }
        for alert in self.alerts.drain(..) {
            self.metrics.add_alert(&alert);
        }
        // The buffer of the last block is used again for the next one.
        self.buffer =
            self.frames.drain(..).next_back().map(|frame| frame.bytes).unwrap_or_default();
    }
}
