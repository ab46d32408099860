//! The run loop: sources → engine → store → readers; start, run, drain.
//!
//! ```text
//!  main ── signals ──▶ stop
//!  listen thread (tokio): what others send ──▶ inboxes
//!  pipeline thread: read → engine → commit ──▶ durable number, wake-ups, receipts
//!  history thread: the archive, joined and kept in bounds
//!  edge thread (tokio): sinks · mail · alert log · weekly report · HTTP, each with its own cursor
//! ```
//!
//! Invariant: pipeline and edge share the store, the metrics and a few flags, nothing else: a sink
//! or a mail server that hangs cannot hold up the pipeline.

mod channels;
mod decode;
mod digest;
mod edge;
mod feeds;
mod history;
mod hours;
mod intake;
mod journal;
mod pipeline;
mod presence;
mod rebuild;
mod rhythm;
mod source_format;
mod sources;
mod stdin;
mod telling;
mod tell;
mod troubles;
mod who;

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Config;
use crate::engine::detect::Alert;
use crate::engine::render::Agent;
use crate::history::{HistoryError, READER};
use crate::io::{Chance as _, Clock, Seeded, SystemClock, Waker};
use crate::notify::MailError;
use crate::serve::{BuildInfo, Metrics, Readiness, ServeError, StoreState};
use crate::sink::{OtelVariables, SinkError};
use crate::source::listen::Listeners;
use crate::source::{SCAN_INTERVAL, SourceConfig, Wakeups, open_input};
use crate::store::{Seq, Store, StoreError, StoreReader, Trim};
use crate::units::{Period, Timestamp};

pub(crate) use decode::Decoder;
pub use digest::{ReportContext, send_report, week_report};
pub(crate) use edge::credentials;
pub use who::who_list;

use edge::Edge;
use feeds::{Keeper, Lists, Told, Watch};
use history::Keeping;
use intake::Intakes;
use journal::Journal;
use pipeline::{COMMIT_EVERY, Pipeline};
use stdin::Stdin;
use tell::tell_rules;
use troubles::{Deliveries, Troubles};

/// The pipeline is called stalled when it says nothing for this long.
const STALLED_AFTER: Period = Period::from_secs(30);

/// Time that listeners have to hand over what has come when the daemon is told to stop.
const DRAIN_LIMIT: Period = Period::from_secs(2);

/// How often the store is trimmed and looked at.
const TRIM_EVERY: Period = Period::from_secs(30);

/// How the daemon runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// Read what is new, alert, deliver, and end: the cron mode.
    pub once: bool,
    /// Old lines are told as if they were new: for a log that is played back.
    pub all_is_live: bool,
}

/// What a run did, for its last words.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Lines read and stored.
    pub lines: u64,
    /// Alerts raised or resolved.
    pub alerts: usize,
    /// What could not be delivered, in words; it waits in the store.
    pub undelivered: Vec<String>,
}

/// Why the daemon cannot start or go on; completes "failed to run: …".
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP listener.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The mails or the alert log.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// A sink.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The archive.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A thread or the runtime.
    #[error("cannot {action}")]
    Thread {
        /// What was tried.
        action: &'static str,
        /// The reason the operating system gave.
        source: std::io::Error,
    },
}

/// Ends a running daemon from outside: from a signal, or from a test.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stop {
    /// Asks the daemon to drain and end.
    pub fn stop(&self) {
        self.flag.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// It was asked.
    pub fn is_asked(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }
}

/// What all parts of the daemon know.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) otel: OtelVariables,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) deliveries: Deliveries,
    pub(crate) agent: Agent,
    pub(crate) host: String,
    pub(crate) seed: u64,
    /// Lists of indicators, if there are any.
    pub(crate) lists: Option<Arc<Lists>>,
    /// First start on this machine.
    pub(crate) watched_since: Timestamp,
}

/// The daemon, ready to run: everything that can be refused was tried.
pub struct Daemon {
    shared: Arc<Shared>,
    store: Store,
    listener: Option<TcpListener>,
    options: Options,
    stop: Stop,
}

impl Daemon {
    /// Opens the store and the listener, so that what is wrong is said before work begins. `otel`
    /// is what the environment says about sending to OpenTelemetry.
    pub fn prepare(
        mut config: Config,
        options: Options,
        otel: OtelVariables,
    ) -> Result<Self, DaemonError> {
        config.sinks.retain(|sink| {
            let off = otel.disables(sink);
            if off {
                let name = sink.name();
                tracing::warn!(
                    "OTEL_SDK_DISABLED=true switches the sink {name} off; write its `url` into the \
                     configuration to have it on all the same"
                );
            }
            !off
        });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let now = clock.now();
        let mut store = Store::open(&config.store.path)?;
        if let Some(path) = store.set_aside() {
            tracing::error!(
                "the store was damaged and is kept as {}; a new one was begun",
                path.display()
            );
        }
        let address = if options.once { None } else { config.serve.address() };
        let listener = address.map(crate::serve::bind).transpose()?;
        let mut kept = |key: &str, new: String| -> Result<String, StoreError> {
            match store.meta(key)? {
                Some(value) => Ok(value),
                None => {
                    store.set_meta(key, &new)?;
                    Ok(new)
                }
            }
        };
        let id = kept("agent.id", uuid::Uuid::new_v4().to_string())?;
        let seed = kept("hash.seed", Seeded::from_machine().next_u64().to_string())?;
        let since = kept("watched.since", now.0.to_string())?;
        if config.circumstances.roster.is_some() {
            kept(who::SINCE, now.0.to_string())?;
        }
        let nodename = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let host = config.host.name.clone().unwrap_or(nodename);
        tell_rules(&config);
        let metrics = Metrics::new(&config.serve, &BuildInfo::current(), now);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let shared = Shared {
            agent: Agent { version, id, name: host.clone() },
            host,
            seed: seed.parse().unwrap_or_default(),
            watched_since: Timestamp(since.parse().unwrap_or(now.0)),
            metrics: Arc::new(metrics),
            readiness: Arc::new(Readiness::new(STALLED_AFTER)),
            deliveries: Deliveries::default(),
            clock,
            otel,
            lists: (!config.feeds.is_empty()).then(Arc::default),
            config,
        };
        let stop = Stop::default();
        Ok(Self { shared: Arc::new(shared), store, listener, options, stop })
    }

    /// The handle that ends it.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Address of the HTTP listener.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// Runs until told to stop; with `once`, until everything is read and delivered.
    pub fn run(self) -> Result<Summary, DaemonError> {
        let Self { shared, store, listener, options, stop } = self;
        let reader = StoreReader::open(&shared.config.store.path)?;
        let durable = reader.last_seq()?;
        let names: Vec<String> = forget_strangers(&shared, &reader)?;
        tracing::debug!("readers of the store: {}", names.join(", "));
        let stdin = start_stdin(&shared, &store, &stop)?;
        let journals = start_journals(&shared, &store, &stop, options.once)?;
        let _watch = start_lists(&shared, options.once)?;
        let (mut pipeline, open) = Pipeline::start(&shared, store, options)?;
        for (journal, source) in journals {
            pipeline.attach_journal(journal, source);
        }
        if !options.once {
            start_listeners(&shared, &mut pipeline, &stop)?;
        }
        if let Some((stdin, source)) = stdin {
            pipeline.attach(stdin, source);
        }
        prime_metrics(&shared, &open);
        let keeping = Keeping::start(&shared)?;
        let edge = Edge::start(Arc::clone(&shared), listener, durable, options.once)?;
        let (summary, troubles) = (Summary::default(), Troubles::default());
        let rotated = HashSet::new();
        let mut run = Run { shared, pipeline, edge, stop, options, summary, troubles, rotated };
        let result = run.pipe();
        let mut undelivered = run.edge.finish();
        if let Some(keeping) = keeping {
            keeping.finish();
        }
        result?;
        if options.once {
            undelivered.extend(history::once(&run.shared));
        }
        run.summary.undelivered = undelivered;
        Ok(run.summary)
    }
}

/// Cursors of sinks that are no longer configured would hold frames for ever.
fn forget_strangers(shared: &Shared, reader: &StoreReader) -> Result<Vec<String>, StoreError> {
    let known: Vec<String> =
        shared.config.sinks.iter().map(|sink| format!("sink:{}", sink.name())).collect();
    for cursor in reader.cursors()? {
        if cursor.reader.starts_with("sink:") && !known.contains(&cursor.reader) {
            tracing::warn!(
                "{} is no longer configured; what waited for it is let go",
                cursor.reader
            );
            reader.forget_reader(&cursor.reader)?;
        }
    }
    if !shared.config.history.enabled {
        reader.forget_reader(READER)?;
    }
    Ok(known)
}

/// Reads the lists of indicators, if there are any; but for a run from cron, again when they change.
fn start_lists(shared: &Shared, once: bool) -> Result<Option<Watch>, DaemonError> {
    let Some(lists) = &shared.lists else { return Ok(None) };
    let told = Told {
        metrics: Arc::clone(&shared.metrics),
        readiness: Arc::clone(&shared.readiness),
        clock: Arc::clone(&shared.clock),
        seed: shared.seed,
    };
    let keeper = Keeper::start(&shared.config.feeds, Arc::clone(lists), told);
    let fail = |source| DaemonError::Thread { action: "start to watch the lists", source };
    (!once).then(|| keeper.watch()).transpose().map_err(fail)
}

/// Reads standard input, if it is a source.
fn start_stdin<'s>(
    shared: &'s Shared,
    store: &Store,
    stop: &Stop,
) -> Result<Option<(Stdin, &'s SourceConfig)>, DaemonError> {
    let mut sources = shared.config.sources.iter().filter(|source| source.is_stdin());
    let Some(source) = sources.next() else { return Ok(None) };
    for other in sources {
        let (name, other) = (source.id(), other.id());
        tracing::error!("standard input is read as {name} already: {other} gets nothing");
    }
    let generations = store.generations()?;
    let state = generations.iter().find(|(id, _)| *id == stdin::GENERATION.0);
    let stdin = Stdin::start(
        || open_input(std::path::Path::new("-")),
        source.id(),
        state.map(|(_, state)| state.as_str()),
        shared.seed,
        shared.config.follow.max_line_bytes(),
        Arc::clone(&stop.waker),
    );
    let fail = |source| DaemonError::Thread { action: "start to read standard input", source };
    Ok(Some((stdin.map_err(fail)?, source)))
}

/// Reads the journals that are sources.
fn start_journals<'s>(
    shared: &'s Shared,
    store: &Store,
    stop: &Stop,
    once: bool,
) -> Result<Vec<(Journal, &'s SourceConfig)>, DaemonError> {
    let generations = store.generations()?;
    let mut journals = Vec::new();
    for source in shared.config.sources.iter().filter(|source| source.is_journal()) {
        let journal = Journal::start(
            source,
            &generations,
            shared.seed,
            shared.config.follow.max_line_bytes(),
            once,
            Arc::clone(&stop.waker),
        );
        let fail = |source| DaemonError::Thread { action: "start to read the journal", source };
        journals.push((journal.map_err(fail)?, source));
    }
    Ok(journals)
}

/// Listens, if a source does. A run from cron does not: nobody would be there most of the time.
fn start_listeners(
    shared: &Shared,
    pipeline: &mut Pipeline,
    stop: &Stop,
) -> Result<(), DaemonError> {
    let (mut sources, mut endpoints) = (Vec::new(), Vec::new());
    for source in &shared.config.sources {
        // What is wrong with it was said when the configuration was read.
        if let Ok(Some(endpoint)) = source.endpoint() {
            endpoints.push((source.id().to_owned(), endpoint));
            sources.push(source);
        }
    }
    if sources.is_empty() {
        return Ok(());
    }
    let line_bytes_max = shared.config.follow.max_line_bytes();
    let listeners = Listeners::start(endpoints, line_bytes_max, &stop.waker);
    let listeners =
        listeners.map_err(|source| DaemonError::Thread { action: "start to listen", source })?;
    Ok(pipeline.listen(listeners, &sources, shared.seed)?)
}

fn prime_metrics(shared: &Shared, open: &[Alert]) {
    let rules = shared.config.rules.iter().map(|rule| (rule.id.as_str(), rule.severity));
    shared.metrics.add_rules(rules);
    shared.metrics.set_rule_files(&shared.config.rule_report);
    shared.metrics.set_open_alerts(open);
    shared.metrics.add_site(&shared.host);
    for site in shared.config.sources.iter().filter_map(|source| source.site.as_deref()) {
        shared.metrics.add_site(site);
    }
}

/// A running daemon.
struct Run {
    shared: Arc<Shared>,
    pipeline: Pipeline,
    edge: Edge,
    stop: Stop,
    options: Options,
    summary: Summary,
    troubles: Troubles,
    /// Followed sources of which a file was rotated, and none has come in its place as yet.
    rotated: HashSet<usize>,
}

/// What the pipeline's thread does now and then.
struct Chores {
    rescan_at: Timestamp,
    trim_at: Timestamp,
    full: bool,
    write_errors: u64,
    checkpoint: Option<Timestamp>,
}

impl Run {
    fn pipe(&mut self) -> Result<(), DaemonError> {
        let clock = Arc::clone(&self.shared.clock);
        let mut wakeups = Wakeups::start(Arc::clone(&self.stop.waker));
        let start = clock.now();
        self.shared.readiness.started(start);
        let mut chores = Chores {
            rescan_at: start,
            trim_at: start,
            full: false,
            write_errors: 0,
            checkpoint: None,
        };
        let mut quiet = 0;
        while !self.stop.is_asked() {
            let now = clock.now();
            self.shared.readiness.alive(now);
            self.edge.notify_watchdog();
            if chores.rescan_at <= now {
                self.look(&mut wakeups);
                chores.rescan_at = now.plus(SCAN_INTERVAL);
            }
            if chores.trim_at <= now {
                self.trim(&mut chores)?;
                chores.trim_at = now.plus(TRIM_EVERY);
            }
            let turn = match self.pipeline.turn(!chores.full) {
                Ok((turn, seq)) => {
                    self.committed(seq, &turn, &mut chores);
                    turn
                }
                Err(error) => {
                    self.refused(error, &mut chores)?;
                    continue;
                }
            };
            if turn.more {
                continue;
            }
            if self.pipeline.has_ended() {
                break;
            }
            // The first look finds the files; only a second one that finds nothing new ends a
            // run from cron, and never before standard input has ended.
            quiet += 1;
            let once = self.options.once
                && self.pipeline.stdin().is_none_or(|(_, ended)| ended)
                && self.pipeline.journals().all(|(_, ended)| ended);
            if once && 2 <= quiet {
                break;
            }
            if once {
                chores.rescan_at = now;
                continue;
            }
            if self.stop.waker.wait(SCAN_INTERVAL.duration()) {
                // Something was written: let a little more of it come, then read it all at once.
                self.settle();
                chores.rescan_at = clock.now();
            }
        }
        if !chores.full {
            self.take_last_received();
        }
        let (turn, seq) = self.pipeline.last_turn(!chores.full)?;
        self.committed(seq, &turn, &mut chores);
        Ok(())
    }

    /// Takes what has come when the listeners are told to stop. A sender that does not stop sending
    /// is not waited for.
    fn take_last_received(&mut self) {
        let Some(intakes) = self.pipeline.intakes() else { return };
        intakes.stop();
        let until = self.shared.clock.now().plus(DRAIN_LIMIT);
        while !self.pipeline.take_received() {
            let now = self.shared.clock.now();
            if until <= now {
                self.pipeline.intakes().into_iter().for_each(Intakes::close);
            } else {
                self.stop.waker.wait(until.since(now).duration());
            }
        }
    }

    /// Waits until lines that are being written make a commit worth its while.
    fn settle(&self) {
        let until = self.shared.clock.now().plus(COMMIT_EVERY);
        let is_pressed = || self.pipeline.intakes().is_some_and(Intakes::are_pressed);
        while !self.stop.is_asked() && !is_pressed() {
            let now = self.shared.clock.now();
            if until <= now {
                return;
            }
            self.stop.waker.wait(until.since(now).duration());
        }
    }

    fn committed(&mut self, seq: Option<Seq>, turn: &pipeline::Turn, chores: &mut Chores) {
        self.summary.lines += turn.lines;
        self.summary.alerts += turn.alerts;
        if let Some(seq) = seq {
            let now = self.shared.clock.now();
            chores.checkpoint = Some(now);
            self.shared.readiness.pass("store");
            self.edge.durable(seq, 0 < turn.alerts);
        }
    }

    /// The store refused a commit: what was read stays in memory and is tried again.
    fn refused(&mut self, error: StoreError, chores: &mut Chores) -> Result<(), DaemonError> {
        match error {
            StoreError::Full { .. } | StoreError::Busy { .. } => {
                tracing::error!("{error}; nothing is lost, the log files wait");
                self.shared.readiness.fail("store", &error.to_string());
                chores.write_errors += 1;
                // Room may come from trimming, or from the operator.
                chores.trim_at = Timestamp(0);
                self.stop.waker.wait(SCAN_INTERVAL.duration());
                if self.options.once { Err(error.into()) } else { Ok(()) }
            }
            _ => Err(error.into()),
        }
    }

    fn trim(&mut self, chores: &mut Chores) -> Result<(), DaemonError> {
        let shared = Arc::clone(&self.shared);
        let settings = &shared.config.store;
        let now = shared.clock.now();
        let detectors = self.pipeline.detectors();
        let keep_from = detectors.now().minus(rebuild::reach(&shared.config, detectors));
        let (tracked, evicted) = detectors.keys();
        shared.metrics.set_rule_keys("all", tracked, evicted);
        for (entry, count) in detectors.allowed() {
            shared.metrics.set_allowed(entry, count);
        }
        let trim =
            Trim { now, keep_from, max_size: settings.max_size, when_full: settings.when_full };
        let trimmed = self.pipeline.store().trim(trim)?;
        if 0 < trimmed.lines_dropped {
            let lines = trimmed.lines_dropped;
            tracing::error!(
                "the store is full: {lines} lines were dropped before all sinks had them"
            );
        }
        if trimmed.full && !chores.full {
            tracing::error!(
                "the store has reached {}; reading stops until the sinks have taken what waits",
                settings.max_size
            );
        }
        chores.full = trimmed.full;
        self.pipeline.intakes().into_iter().for_each(|intakes| intakes.hold(trimmed.full));
        if trimmed.full {
            shared.readiness.fail("store", "full: a required sink is behind");
        }
        let size = self.pipeline.store().size()?;
        shared.metrics.set_store(&StoreState {
            bytes: size.bytes,
            limit_bytes: settings.max_size.0,
            frames: size.frames,
            oldest: size.oldest,
            full: chores.full,
            write_errors: chores.write_errors,
            checkpoint: chores.checkpoint,
        });
        Ok(())
    }
}
