//! The archive's own thread: makes parts of what was stored, joins them, lets the oldest go.
//!
//! Making parts takes time that neither the pipeline nor the edge has. A failure is told and tried
//! again; the lines wait in the store, and whoever searches finds them there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::{DaemonError, Decoder, Shared};
use crate::history::{Archive, Archivist, HistoryError, Removed};
use crate::io::Waker;
use crate::serve::HistoryState;
use crate::store::StoreReader;
use crate::units::{Period, Timestamp};

/// How often it is asked whether there is something to do.
const LOOK_EVERY: Period = Period::from_secs(5);

/// How often old parts are looked for.
const RETAIN_EVERY: Period = Period::from_secs(60);

/// How long it waits after a failure.
const RETRY_AFTER: Period = Period::from_secs(30);

/// Name of its check on `/readyz`.
const CHECK: &str = "history";

/// The archive at work.
pub(super) struct Keeping {
    stop: Arc<(AtomicBool, Waker)>,
    thread: JoinHandle<()>,
}

impl Keeping {
    /// Starts the thread, if the archive is wanted.
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Option<Self>, DaemonError> {
        if !shared.config.history.enabled {
            return Ok(None);
        }
        let (archivist, shared) = (archivist(shared)?, Arc::clone(shared));
        let stop: Arc<(AtomicBool, Waker)> = Arc::default();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name(CHECK.to_owned())
            .spawn(move || Keeper::new(shared, archivist).run(&stopped))
            .map_err(|source| DaemonError::Thread { action: "start the archive", source })?;
        Ok(Some(Self { stop, thread }))
    }

    /// Ends the thread after what it is about. What is not archived waits in the store.
    pub(super) fn finish(self) {
        self.stop.0.store(true, Ordering::SeqCst);
        self.stop.1.wake();
        drop(self.thread.join());
    }
}

/// Archives what is still due, for a run from cron at its end. Answers what went wrong.
pub(super) fn once(shared: &Arc<Shared>) -> Option<String> {
    if !shared.config.history.enabled {
        return None;
    }
    let archivist = match archivist(shared) {
        Ok(archivist) => archivist,
        Err(error) => return Some(format!("history: {}", error.words())),
    };
    let mut keeper = Keeper::new(Arc::clone(shared), archivist);
    while keeper.step() {}
    keeper.failure.map(|words| format!("history: {words}"))
}

fn archivist(shared: &Arc<Shared>) -> Result<Archivist, HistoryError> {
    let config = &shared.config;
    let decoder = Decoder::new(Arc::new(config.enricher()));
    let mut decoder = decoder.following(shared.lists.as_ref(), false);
    Archivist::new(
        StoreReader::open(&config.store.path)?,
        Box::new(move |frame, batch| decoder.decode(frame, batch)),
        Archive::new(&config.history_path(), &config.history),
        &config.history,
        config.store.max_size,
    )
}

struct Keeper {
    shared: Arc<Shared>,
    archivist: Archivist,
    state: HistoryState,
    retain_at: Timestamp,
    /// There may be parts to join.
    untidy: bool,
    failure: Option<String>,
}

impl Keeper {
    fn new(shared: Arc<Shared>, archivist: Archivist) -> Self {
        let (state, retain_at) = (HistoryState::default(), Timestamp(0));
        Self { shared, archivist, state, retain_at, untidy: true, failure: None }
    }

    fn run(mut self, stop: &(AtomicBool, Waker)) {
        while !stop.0.load(Ordering::SeqCst) {
            if !self.step() {
                let look_every = LOOK_EVERY.min(self.shared.config.history.every);
                let pause = if self.failure.is_some() { RETRY_AFTER } else { look_every };
                stop.1.wait(pause.duration());
            }
        }
    }

    /// Does one thing that is due; false when there is none.
    fn step(&mut self) -> bool {
        let result = self.try_step();
        let (more, failure) = match result {
            Ok(more) => (more, None),
            Err(error) => (false, Some(error.words())),
        };
        // What was wrong with them was said when they were set aside.
        self.state.damaged += self.archivist.archive().take_damaged().len() as u64;
        match &failure {
            Some(words) => {
                if self.failure.as_ref() != Some(words) {
                    tracing::error!("events wait in the store; the archive: {words}");
                }
                self.shared.readiness.fail(CHECK, words);
            }
            None => {
                if self.failure.is_some() {
                    tracing::info!("the archive goes on");
                }
                self.shared.readiness.pass(CHECK);
            }
        }
        self.failure = failure;
        self.observe();
        more
    }

    fn try_step(&mut self) -> Result<bool, HistoryError> {
        let now = self.shared.clock.now();
        if self.retain_at <= now {
            self.retain(now)?;
            self.retain_at = now.plus(RETAIN_EVERY);
        }
        if let Some(published) = self.archivist.turn(now)? {
            self.state.events += published.events;
            self.state.last_success = Some(now);
            self.untidy = true;
            // Room for the next one.
            self.retain(now)?;
            return Ok(true);
        }
        if self.untidy {
            self.untidy = self.archivist.archive().compact(now)?;
        }
        Ok(self.untidy)
    }

    fn retain(&mut self, now: Timestamp) -> Result<(), HistoryError> {
        let archive = self.archivist.archive();
        let Removed { parts, bytes, until, early } = archive.retain(now)?;
        if parts == 0 {
            return Ok(());
        }
        let day =
            until.map_or_else(String::new, |day| Timestamp::from_secs(day * 86_400).rfc3339());
        let day = day.get(..10).unwrap_or_default();
        let size = crate::units::ByteSize(bytes);
        if early {
            self.state.removed_by_size += parts;
            tracing::warn!(
                "the archive has reached its size: {parts} of its oldest files were deleted ({size}, up to \
                 {day}), before `history.keep` was over"
            );
        } else {
            self.state.removed_by_age += parts;
            tracing::info!(
                "{parts} files of the archive were old enough to go ({size}, up to {day})"
            );
        }
        Ok(())
    }

    fn observe(&mut self) {
        if let Ok(extent) = self.archivist.archive().extent() {
            self.state.parts = extent.parts;
            self.state.bytes = extent.bytes;
            self.state.oldest = extent.oldest.map(|day| Timestamp::from_secs(day * 86_400));
            if let Ok(limit) = self.archivist.archive().limit(extent.bytes) {
                self.state.limit_bytes = limit.0;
            }
        }
        if let Ok(waiting) = self.archivist.waiting() {
            self.state.waiting = waiting.lines;
        }
        self.shared.metrics.set_history(&self.state);
    }
}
