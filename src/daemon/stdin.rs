//! Standard input as a source: a thread that cuts it into blocks, and a short queue of them.
//!
//! A pipe cannot be read again, so a restart does not go back: what was received is counted over
//! all runs of a store, and the count is stored with the lines. Each line has a position, and with
//! it an id, that no other line of this store ever had. What was read but not stored when the
//! program is killed is lost; a program that is told to stop stores it first.
//!
//! Invariant: at most [`QUEUE_BLOCKS`] blocks wait, besides one at either end. Then the thread does
//! not read, and whoever writes into the pipe waits.

use std::error::Error;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};

use serde::{Deserialize, Serialize};

use crate::io::Waker;
use crate::source::{Block, Digest, GenerationId, InputError, LineBlocks};
use crate::units::{Period, Timestamp};

/// What standard input is called among the generations; files count from 1.
pub(super) const GENERATION: GenerationId = GenerationId(0);

const QUEUE_BLOCKS: usize = 4;

/// As much as a pipe holds.
const BLOCK_BYTES: usize = 64 << 10;

/// Opens the input, on the thread that reads it.
pub(super) type Open = fn() -> Result<Box<dyn Read + Send>, InputError>;

/// What a restart needs to know: stored as the state of [`GENERATION`].
#[derive(Debug, Default, Deserialize, Serialize)]
struct Position {
    /// Bytes received in all runs.
    received: u64,
    /// What the lines received have told about those that follow.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    note: String,
}

/// The near end of standard input.
#[derive(Debug)]
pub(super) struct Stdin {
    queue: Receiver<Block>,
    /// The first block of the queue, taken out to know that it is there.
    next: Option<Block>,
    /// All was received, or nothing more can be.
    ended: bool,
    closed: Arc<AtomicBool>,
    /// Bytes received before this run.
    before: u64,
    note: String,
    fingerprint: Digest,
}

impl Stdin {
    /// Starts to read what `open` gives, for the source of that name. `state` is the stored state
    /// of [`GENERATION`], and `seed` belongs to the store: two stores give no id twice. Each block
    /// rings `waker`.
    pub(super) fn start(
        open: Open,
        name: &str,
        state: Option<&str>,
        seed: u64,
        max_line_bytes: usize,
        waker: Arc<Waker>,
    ) -> io::Result<Self> {
        let position: Position =
            state.and_then(|state| serde_json::from_str(state).ok()).unwrap_or_default();
        let closed = Arc::new(AtomicBool::new(false));
        let (sender, queue) = sync_channel(QUEUE_BLOCKS);
        let is_closed = Arc::clone(&closed);
        std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            if let Err(error) = read(open, max_line_bytes, &sender, &is_closed, &waker) {
                tracing::error!("standard input ends here: {error}");
            }
            drop(sender);
            // Its end is news too.
            waker.wake();
        })?;
        Ok(Self {
            queue,
            next: None,
            ended: false,
            closed,
            before: position.received,
            note: position.note,
            fingerprint: Digest::of(&[name.as_bytes(), b"\0", &seed.to_le_bytes()].concat()),
        })
    }

    /// A block can be taken.
    pub(super) fn is_ready(&mut self) -> bool {
        if self.next.is_none() {
            match self.queue.try_recv() {
                Ok(block) => self.next = Some(block),
                Err(TryRecvError::Empty) => (),
                Err(TryRecvError::Disconnected) => self.ended = true,
            }
        }
        self.next.is_some()
    }

    /// Waits until a block can be taken, at most `limit`; false when none can.
    pub(super) fn wait(&mut self, limit: Period) -> bool {
        if self.next.is_none() {
            match self.queue.recv_timeout(limit.duration()) {
                Ok(block) => self.next = Some(block),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => self.ended = true,
            }
        }
        self.next.is_some()
    }

    /// The next block, read at `now`, if one is there.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Block> {
        self.is_ready();
        let block = self.next.take()?;
        Some(Block {
            generation: GENERATION,
            from: self.before + block.from,
            to: self.before + block.to,
            fingerprint: self.fingerprint,
            modified: now,
            ..block
        })
    }

    /// What the lines of earlier runs have told about those of this one.
    pub(super) fn note(&self) -> &str {
        &self.note
    }

    /// Everything was taken and nothing more will come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended && self.next.is_none()
    }

    /// Nothing more is to be read than what was read already.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

/// The state to store with lines that end at position `to` and have told `note`.
pub(super) fn state(to: u64, note: &str) -> String {
    let position = Position { received: to, note: note.to_owned() };
    serde_json::to_string(&position).expect("a number and a text are JSON")
}

fn read(
    open: Open,
    max_line_bytes: usize,
    queue: &SyncSender<Block>,
    closed: &AtomicBool,
    waker: &Waker,
) -> Result<(), Box<dyn Error>> {
    let mut blocks = LineBlocks::new(open()?, Path::new(""), BLOCK_BYTES, max_line_bytes);
    while !closed.load(Ordering::SeqCst)
        && let Some(mut block) = blocks.next_block(Vec::new())?
    {
        // Somebody may write line by line, and many such blocks wait for one commit.
        block.bytes.shrink_to_fit();
        if queue.send(block).is_err() {
            break;
        }
        waker.wake();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_160_801);

    fn start(open: Open, name: &str, state: Option<&str>, seed: u64) -> Stdin {
        Stdin::start(open, name, state, seed, 1024, Arc::default()).expect("a thread")
    }

    /// All blocks until the end.
    fn all(mut stdin: Stdin) -> Vec<Block> {
        let mut blocks = Vec::new();
        while stdin.wait(Period::from_secs(30)) {
            blocks.extend(stdin.take(NOW));
        }
        assert!(stdin.has_ended());
        blocks
    }

    fn two_lines() -> Result<Box<dyn Read + Send>, InputError> {
        Ok(Box::new(&b"one\ntwo\n"[..]))
    }

    #[test]
    fn positions_go_on_where_the_last_run_ended() {
        let first = all(start(two_lines, "stdin", None, 7));
        assert_eq!(b"one\ntwo\n", first[0].bytes.as_slice());
        assert_eq!((GENERATION, 0, 8), (first[0].generation, first[0].from, first[0].to));
        assert_eq!(NOW, first[0].modified);
        let second = all(start(two_lines, "stdin", Some(&state(first[0].to, "")), 7));
        assert_eq!((8, 16), (second[0].from, second[0].to));
        assert_eq!(first[0].fingerprint, second[0].fingerprint);
    }

    #[test]
    fn what_was_told_is_known_to_the_next_run() {
        let next = start(two_lines, "stdin", Some(&state(8, "Fields: date time")), 7);
        assert_eq!("Fields: date time", next.note());
        assert_eq!("", start(two_lines, "stdin", Some("{\"received\":8}"), 7).note());
    }

    #[test]
    fn another_name_and_another_store_give_other_ids() {
        let known = all(start(two_lines, "stdin", None, 7))[0].fingerprint;
        assert_ne!(known, all(start(two_lines, "web1", None, 7))[0].fingerprint);
        assert_ne!(known, all(start(two_lines, "stdin", None, 8))[0].fingerprint);
    }

    #[test]
    fn a_state_that_nobody_can_read_begins_anew() {
        assert_eq!(0, all(start(two_lines, "stdin", Some("{"), 7))[0].from);
    }

    #[test]
    fn a_writer_that_is_faster_waits_and_nothing_is_left_out() {
        /// Gives line after line without an end in sight.
        struct Flood(u64);
        impl Read for Flood {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                let line = format!("{}\n", self.0);
                buffer[..line.len()].copy_from_slice(line.as_bytes());
                Ok(line.len())
            }
        }
        let mut stdin = start(|| Ok(Box::new(Flood(0))), "stdin", None, 7);
        assert!(stdin.wait(Period::from_secs(30)));
        stdin.close();
        let blocks = all(stdin);
        assert!(blocks.len() <= QUEUE_BLOCKS + 2, "{}", blocks.len());
        let text = blocks.iter().flat_map(|block| block.bytes.clone()).collect();
        let text = String::from_utf8(text).expect("digits");
        let expected: String = (1..=blocks.len()).map(|number| format!("{number}\n")).collect();
        assert_eq!(expected, text);
    }

    #[test]
    fn an_input_that_cannot_be_opened_is_at_its_end() {
        let open = || -> Result<Box<dyn Read + Send>, InputError> {
            crate::source::open_input(Path::new("/nowhere/a.log"))
        };
        assert!(all(start(open, "stdin", None, 7)).is_empty());
    }
}
