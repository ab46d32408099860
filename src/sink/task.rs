//! The task of a sink: obeys [`Delivery`], and tells [`SinkStatus`] how it goes.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::status::Counts;
use super::{Action, AnySink, Delivery, FileMark, Input, Rendered, SinkError, SinkStatus};
use crate::engine::batch::EventBatch;
use crate::io::{Chance, Clock};
use crate::store::{Cursor, Frame, Seq, StoreReader};
use crate::units::{Period, Timestamp};

/// Turns the lines of a frame into events: the daemon's parser for the frame's source.
pub type Decode = Box<dyn FnMut(&Frame, &mut EventBatch) + Send>;

/// A sink with everything it needs to run.
pub struct SinkTask {
    /// The sink.
    pub sink: AnySink,
    /// Its own connection to the store.
    pub reader: StoreReader,
    /// Parses frames.
    pub decode: Decode,
    /// The newest frame that is safe in the store.
    pub durable: watch::Receiver<Seq>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Spreads the retries.
    pub chance: Box<dyn Chance>,
    /// Where the task says how it goes.
    pub status: Arc<SinkStatus>,
    /// Becomes true when the task should deliver what is stored, and end.
    pub stop: watch::Receiver<bool>,
    /// How long it may go on after it was told to.
    pub grace: Period,
}

impl fmt::Debug for SinkTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkTask").field("sink", &self.sink).finish_non_exhaustive()
    }
}

/// What goes into the store with the cursor.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
struct Saved {
    /// Lines and bytes behind the cursor, to compare with all that was ever stored.
    lines: u64,
    bytes: u64,
    file: Option<FileMark>,
}

impl SinkTask {
    /// Delivers until told to stop. An error means that the store cannot be read at all.
    ///
    /// After a stop the task delivers what is stored and ends; it ends at once when its receiver
    /// is away, and in any case after its grace. What is left is delivered by the next run.
    pub async fn run(self) -> Result<(), SinkError> {
        let mut stop = self.stop.clone();
        let grace = self.grace.duration();
        let name = self.sink.name().to_owned();
        let grace_is_over = async {
            stopped(&mut stop).await;
            tokio::time::sleep(grace).await;
        };
        let mut courier = Courier::start(self)?;
        tokio::select! {
            () = courier.run() => (),
            () = grace_is_over => {
                tracing::warn!(sink = name, "stopped before everything was delivered; the rest \
                    goes out after the next start");
            }
        }
        Ok(())
    }
}

/// Waits for the word to stop; a sender that is gone means the same.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

struct Courier {
    task: SinkTask,
    reader_name: String,
    delivery: Delivery,
    saved: Saved,
    batch: EventBatch,
    rendered: Rendered,
    /// When the frame was received that was looked at last.
    oldest: Timestamp,
    /// No newer frame will come.
    no_more: bool,
}

/// A frame that is done with.
struct Done {
    seq: Seq,
    counts: Counts,
    lines: u64,
    bytes: u64,
}

impl Courier {
    fn start(task: SinkTask) -> Result<Self, SinkError> {
        let reader_name = task.sink.reader_name();
        task.reader.register_reader(&reader_name, task.sink.required(), Seq(0))?;
        let cursor = task.reader.cursor(&reader_name)?;
        let (seq, state) = match cursor {
            Some(Cursor { seq, state, .. }) => (seq, state),
            None => (Seq(0), String::new()),
        };
        // A state of another version only costs what it would have saved.
        let saved = serde_json::from_str(&state).unwrap_or_default();
        tracing::info!(sink = task.sink.name(), after = seq.0, "delivering");
        Ok(Self {
            task,
            reader_name,
            delivery: Delivery::new(seq),
            saved,
            batch: EventBatch::default(),
            rendered: Rendered::default(),
            oldest: Timestamp(0),
            no_more: false,
        })
    }

    async fn run(&mut self) {
        let durable = *self.task.durable.borrow_and_update();
        let mut action = self.tell(Input::Durable(durable.max(self.delivery.cursor())));
        loop {
            let input = match action {
                Action::SendAfter(seq) => self.deliver_after(seq).await,
                Action::Idle | Action::WaitUntil(_) if self.is_stopping() => {
                    // The last commit may have come with the word to stop.
                    match self.newer_frames() {
                        Some(durable) => Input::Durable(durable),
                        None => return,
                    }
                }
                Action::Idle => self.wait(None).await,
                Action::WaitUntil(then) => self.wait(Some(then)).await,
            };
            action = self.tell(input);
        }
    }

    /// The durable number, if it grew since it was last looked at.
    fn newer_frames(&mut self) -> Option<Seq> {
        let durable = &mut self.task.durable;
        durable.has_changed().unwrap_or(false).then(|| *durable.borrow_and_update())
    }

    fn is_stopping(&self) -> bool {
        let stop = &self.task.stop;
        self.no_more || *stop.borrow() || stop.has_changed().is_err()
    }

    fn tell(&mut self, input: Input) -> Action {
        let now = self.task.clock.now();
        let action = self.delivery.handle(now, input, &mut *self.task.chance);
        if !matches!(input, Input::Tick) {
            self.note_waiting();
        }
        action
    }

    /// Waits for a newer frame, the word to stop, or a moment.
    async fn wait(&mut self, until: Option<Timestamp>) -> Input {
        let now = self.task.clock.now();
        let pause = async {
            match until {
                Some(then) => tokio::time::sleep(then.since(now).duration()).await,
                None => std::future::pending().await,
            }
        };
        let (durable, stop) = (&mut self.task.durable, &mut self.task.stop);
        tokio::select! {
            () = pause => Input::Tick,
            () = stopped(stop) => Input::Tick,
            changed = durable.changed() => match changed {
                Ok(()) => Input::Durable(*durable.borrow_and_update()),
                Err(_) => {
                    self.no_more = true;
                    Input::Tick
                }
            },
        }
    }

    async fn deliver_after(&mut self, seq: Seq) -> Input {
        match self.try_deliver(seq).await {
            Ok(done) => {
                self.saved.lines += done.lines;
                self.saved.bytes += done.bytes;
                let now = self.task.clock.now();
                if self.task.status.note_success(now, done.counts) {
                    tracing::info!(sink = self.task.sink.name(), "delivering again");
                }
                Input::Accepted(done.seq)
            }
            Err(error) => {
                let words = error.words();
                if self.task.status.note_failure(self.task.clock.now(), words.clone()) {
                    let sink = self.task.sink.name();
                    tracing::warn!(sink, "events wait in the store; trying again: {words}");
                }
                Input::Failed
            }
        }
    }

    async fn try_deliver(&mut self, seq: Seq) -> Result<Done, SinkError> {
        let frame = self.task.reader.frame_after(seq)?;
        let Some(frame) = frame else {
            // The store gave up everything that was left.
            let seq = self.delivery.durable();
            return Ok(Done { seq, counts: Counts::default(), lines: 0, bytes: 0 });
        };
        self.oldest = frame.received;
        // A frame that can be read was committed, even if the news of it is still on its way.
        let now = self.task.clock.now();
        self.delivery.handle(now, Input::Durable(frame.seq), &mut *self.task.chance);
        self.begin(seq, now).await?;
        let counts = match frame.damaged {
            true => Counts { rejected: frame.lines, ..Counts::default() },
            false => self.send(&frame).await?,
        };
        let (lines, bytes) = (frame.lines, frame.bytes.len() as u64);
        let file = self.task.sink.finish().await?;
        let saved =
            Saved { lines: self.saved.lines + lines, bytes: self.saved.bytes + bytes, file };
        self.save(frame.seq, &saved)?;
        self.saved.file = saved.file;
        Ok(Done { seq: frame.seq, counts, lines, bytes })
    }

    async fn begin(&mut self, seq: Seq, now: Timestamp) -> Result<(), SinkError> {
        let file = self.task.sink.begin(self.saved.file.clone(), now).await?;
        if file != self.saved.file {
            let saved = Saved { file, ..self.saved };
            self.save(seq, &saved)?;
            self.saved = saved;
        }
        Ok(())
    }

    async fn send(&mut self, frame: &Frame) -> Result<Counts, SinkError> {
        (self.task.decode)(frame, &mut self.batch);
        let mut counts = Counts::default();
        let mut next = 0;
        while next < self.batch.len() {
            self.rendered.clear();
            let sink = &mut self.task.sink;
            next = sink.render(&self.batch, next, frame.received, &mut self.rendered);
            if !self.rendered.is_empty() {
                sink.send(&self.rendered, self.task.clock.now()).await?;
            }
            counts.accepted += self.rendered.len() as u64;
            counts.rejected += self.rendered.rejected;
            counts.shrunk += self.rendered.shrunk;
        }
        Ok(counts)
    }

    fn save(&self, seq: Seq, saved: &Saved) -> Result<(), SinkError> {
        let state = serde_json::to_string(saved).unwrap_or_default();
        let now = self.task.clock.now();
        Ok(self.task.reader.save_cursor(&self.reader_name, seq, &state, now)?)
    }

    /// Compares what was ever stored with what is behind the cursor.
    fn note_waiting(&mut self) {
        // Without an answer from the store the old figures stand; the failure is reported when
        // the next frame is asked for.
        let reader = &self.task.reader;
        let (Ok(ledger), Ok(last)) = (reader.ledger(), reader.last_seq()) else { return };
        if self.delivery.cursor() == last {
            // Whatever was deleted unsent, or stored before this sink began, waits no longer.
            (self.saved.lines, self.saved.bytes) = (ledger.lines, ledger.bytes);
            self.task.status.note_waiting(0, 0, Timestamp(0));
            return;
        }
        if self.oldest == Timestamp(0) {
            self.oldest = self.task.clock.now();
        }
        let events = ledger.lines.saturating_sub(self.saved.lines);
        let bytes = ledger.bytes.saturating_sub(self.saved.bytes);
        self.task.status.note_waiting(events, bytes, self.oldest);
    }
}
