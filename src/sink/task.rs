//! The task of a sink: obeys [`Delivery`] turn by turn, and tells [`SinkStatus`] how it goes.
//!
//! A turn sends a run of frames, and the alerts stored since the last one; then the cursor moves
//! over all of them. Where it fails, all of it is sent again.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::status::Counts;
use super::{
    Action, AnySink, Chosen, Delivery, Failure, Finished, Input, Position, Progress, Rendered,
    SinkError, SinkStatus,
};
use crate::engine::batch::EventBatch;
use crate::io::{Chance, Clock};
use crate::store::{Cursor, DeadLetter, Frame, Seq, StoreReader};
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

/// Raw bytes of frames after which a turn ends: what a failure makes go out again.
const TURN_BYTES: usize = 1 << 20;

/// Transitions of alerts in one turn.
const TURN_ALERTS: usize = 200;

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
    saved: Progress,
    batch: EventBatch,
    /// The chosen events of the batch.
    rows: Vec<u32>,
    rendered: Rendered,
    /// When the frame was received that was looked at last.
    oldest: Timestamp,
    /// No newer frame will come.
    no_more: bool,
}

/// What a turn has come to so far.
struct Turn {
    position: Position,
    counts: Counts,
    lines: u64,
    bytes: u64,
    letters: Vec<DeadLetter>,
}

impl Courier {
    fn start(task: SinkTask) -> Result<Self, SinkError> {
        let reader_name = task.sink.reader_name();
        task.reader.register_reader(&reader_name, task.sink.required(), Seq(0))?;
        let cursor = task.reader.cursor(&reader_name)?;
        let (frame, state) = match cursor {
            Some(Cursor { seq, state, .. }) => (seq, state),
            None => (Seq(0), String::new()),
        };
        let mut saved = Progress::from_state(&state);
        let frame = saved.go_back(frame);
        tracing::info!(sink = task.sink.name(), after = frame.0, "delivering");
        let portion = task.sink.portion();
        Ok(Self {
            task,
            reader_name,
            delivery: Delivery::new(Position { frame, alert: saved.alert }),
            saved,
            batch: EventBatch::default(),
            rows: Vec::new(),
            rendered: Rendered { portion, ..Rendered::default() },
            oldest: Timestamp(0),
            no_more: false,
        })
    }

    async fn run(&mut self) {
        let durable = *self.task.durable.borrow_and_update();
        let durable = self.stored(durable).max(self.delivery.cursor());
        let mut action = self.tell(Input::Durable(durable));
        loop {
            let input = match action {
                Action::SendAfter(position) => self.deliver_after(position).await,
                Action::Idle | Action::WaitUntil(_) if self.is_stopping() => {
                    // The last commit may have come with the word to stop.
                    match self.newer_frames() {
                        Some(durable) => Input::Durable(self.stored(durable)),
                        None => return self.part().await,
                    }
                }
                Action::Idle => self.wait(None).await,
                Action::WaitUntil(then) => self.wait(Some(then)).await,
            };
            action = self.tell(input);
        }
    }

    /// The frames up to `frame`, and the alerts that were stored with them or before.
    fn stored(&self, frame: Seq) -> Position {
        // Without an answer from the store the next commit brings the number.
        let alert = self.task.reader.last_alert().unwrap_or(0);
        Position { frame, alert }
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
                Ok(()) => {
                    let frame = *durable.borrow_and_update();
                    Input::Durable(self.stored(frame))
                }
                Err(_) => {
                    self.no_more = true;
                    Input::Tick
                }
            },
        }
    }

    async fn deliver_after(&mut self, position: Position) -> Input {
        match self.turn(position).await {
            Ok(turn) => {
                let now = self.task.clock.now();
                if self.task.status.note_success(now, turn.counts) {
                    tracing::info!(sink = self.task.sink.name(), "delivering again");
                }
                Input::Accepted(turn.position)
            }
            Err(error) => {
                let words = error.words();
                let now = self.task.clock.now();
                if self.task.status.note_failure(now, words.clone()) {
                    let sink = self.task.sink.name();
                    tracing::warn!(sink, "events wait in the store; trying again: {words}");
                }
                self.remember_failure(position, Failure { at: now, words });
                Input::Failed(error.pause())
            }
        }
    }

    /// Sends what comes after `after`, alerts first: who has a backlog of frames should not learn
    /// of them last.
    async fn turn(&mut self, after: Position) -> Result<Turn, SinkError> {
        let (counts, letters) = (Counts::default(), Vec::new());
        let mut turn = Turn { position: after, counts, lines: 0, bytes: 0, letters };
        self.task.sink.ready()?;
        self.begin(after).await?;
        self.task.sink.note_turn(self.saved.milestone(after.frame));
        self.rendered.clear();
        self.send_alerts(&mut turn).await?;
        self.send_frames(&mut turn).await?;
        self.flush(&mut turn).await?;
        let Finished { mark, rejections, rejected, unproved } = self.task.sink.finish().await?;
        let refused = rejections.len() as u64 + rejected;
        turn.counts.accepted = turn.counts.accepted.saturating_sub(refused);
        turn.counts.rejected += refused;
        turn.letters.extend(rejections);
        if let Some(letter) = turn.letters.last() {
            let sink = self.task.sink.name();
            let count = turn.letters.len();
            tracing::warn!(sink, count, "events were refused for good: {}", letter.reason);
        }
        self.save(
            turn.position.frame,
            Progress {
                lines: self.saved.lines + turn.lines,
                bytes: self.saved.bytes + turn.bytes,
                alert: turn.position.alert,
                last_success: self.task.clock.now(),
                failure: None,
                file: mark,
                unproved,
            },
            &turn.letters,
        )?;
        Ok(turn)
    }

    async fn begin(&mut self, after: Position) -> Result<(), SinkError> {
        let now = self.task.clock.now();
        let file = self.task.sink.begin(self.saved.file.clone(), now).await?;
        if file != self.saved.file {
            self.save(after.frame, Progress { file, ..self.saved.clone() }, &[])?;
        }
        Ok(())
    }

    /// Everything is delivered, or waits for the next start: takes leave of the receiver. One that
    /// shows that it has read everything gets none of it again.
    async fn part(&mut self) {
        if self.saved.unproved.is_some() && self.task.sink.part().await {
            let saved = Progress { unproved: None, ..self.saved.clone() };
            // Without that the next start repeats what it need not.
            drop(self.save(self.delivery.cursor().frame, saved, &[]));
        }
    }

    /// Keeps the failure where `status` finds it; a new one, not each repetition.
    fn remember_failure(&mut self, position: Position, failure: Failure) {
        if self.saved.failure.as_ref().is_some_and(|known| known.words == failure.words) {
            return;
        }
        let saved = Progress { failure: Some(failure), ..self.saved.clone() };
        // A store that does not take it is the failure that the next turn meets.
        drop(self.save(position.frame, saved, &[]));
    }

    async fn send_alerts(&mut self, turn: &mut Turn) -> Result<(), SinkError> {
        let newest = self.delivery.durable().alert;
        if !self.task.sink.alerts {
            turn.position.alert = newest;
            return Ok(());
        }
        let alerts = self.task.reader.alerts_after(turn.position.alert, TURN_ALERTS)?;
        for (number, alert) in &alerts {
            if newest < *number {
                break;
            }
            let now = self.task.clock.now();
            self.task.sink.render_alert(alert, now, &mut self.rendered);
            turn.position.alert = *number;
            if self.rendered.is_full() {
                self.flush(turn).await?;
            }
        }
        if alerts.len() < TURN_ALERTS {
            // The rest was deleted, or cannot be read.
            turn.position.alert = newest;
        }
        Ok(())
    }

    async fn send_frames(&mut self, turn: &mut Turn) -> Result<(), SinkError> {
        let mut raw = 0;
        for _ in 0..self.rendered.portion.frames {
            if TURN_BYTES <= raw || self.delivery.durable().frame <= turn.position.frame {
                break;
            }
            let Some(frame) = self.task.reader.frame_after(turn.position.frame)? else {
                // The store gave up everything that was left.
                turn.position.frame = self.delivery.durable().frame;
                break;
            };
            self.oldest = frame.received;
            // A frame that can be read was committed, even if the news of it is still on its way.
            let newer = Position { frame: frame.seq, alert: 0 };
            self.delivery.note_durable(newer);
            match frame.damaged {
                true => turn.counts.rejected += frame.lines,
                false => self.send_frame(&frame, turn).await?,
            }
            raw += frame.bytes.len();
            turn.lines += frame.lines;
            turn.bytes += frame.bytes.len() as u64;
            turn.position.frame = frame.seq;
        }
        Ok(())
    }

    async fn send_frame(&mut self, frame: &Frame, turn: &mut Turn) -> Result<(), SinkError> {
        (self.task.decode)(frame, &mut self.batch);
        let left = self.task.sink.selection.choose(&mut self.batch, &mut self.rows);
        turn.counts.filtered += left.filtered;
        turn.counts.sampled += left.sampled;
        self.task.sink.hide(&mut self.batch, &self.rows, self.task.clock.now());
        let mut next = 0;
        while next < self.rows.len() {
            let chosen = Chosen::new(&self.batch, &self.rows);
            let (sink, out) = (&mut self.task.sink, &mut self.rendered);
            next = sink.render(chosen, next, frame.received, out);
            if self.rendered.is_full() {
                self.flush(turn).await?;
            }
        }
        Ok(())
    }

    /// Sends what is rendered.
    async fn flush(&mut self, turn: &mut Turn) -> Result<(), SinkError> {
        if !self.rendered.is_empty() {
            self.keep_tokens()?;
            self.task.sink.send(&self.rendered, self.task.clock.now()).await?;
        }
        let rendered = &mut self.rendered;
        turn.counts.accepted += rendered.events;
        turn.counts.alerts += rendered.alerts;
        turn.counts.rejected += rendered.rejections.len() as u64;
        turn.counts.shrunk += rendered.shrunk;
        turn.letters.append(&mut rendered.rejections);
        rendered.clear();
        Ok(())
    }

    /// Makes sure that what is sent can be revealed.
    fn keep_tokens(&mut self) -> Result<(), SinkError> {
        let Some(veil) = &mut self.task.sink.veil else { return Ok(()) };
        let (tokens, max) = veil.fresh();
        if tokens.is_empty() {
            return Ok(());
        }
        let forgotten = self.task.reader.save_tokens(&tokens, max, self.task.clock.now())?;
        veil.stored();
        if 0 < forgotten {
            self.task.status.note_forgotten(forgotten);
            let sink = self.task.sink.name();
            tracing::warn!(
                sink,
                forgotten,
                "tokens can no longer be revealed: there are more than \
                `privacy.tokens_max`, or they were not used for two years"
            );
        }
        Ok(())
    }

    /// Stores the progress with the cursor, and goes on from it.
    fn save(
        &mut self,
        seq: Seq,
        progress: Progress,
        letters: &[DeadLetter],
    ) -> Result<(), SinkError> {
        let now = self.task.clock.now();
        let state = progress.to_state();
        self.task.reader.save_delivery(&self.reader_name, seq, &state, letters, now)?;
        self.saved = progress;
        Ok(())
    }

    /// Compares what was ever stored with what is behind the cursor.
    fn note_waiting(&mut self) {
        // Without an answer from the store the old figures stand; the failure is reported when
        // the next frame is asked for.
        let reader = &self.task.reader;
        let (Ok(ledger), Ok(last)) = (reader.ledger(), reader.last_seq()) else { return };
        if self.delivery.cursor().frame == last {
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
