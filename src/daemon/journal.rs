//! A journal as a source: a thread that has `journalctl` print it, and a short queue of blocks.
//!
//! The cursor of the last line of each block goes into the transaction that stores the block, so a
//! restart goes on behind the last line that was stored. Positions count the bytes received over
//! all runs of a store, as for standard input.
//!
//! Invariant: at most [`QUEUE_BLOCKS`] blocks wait, and `journalctl` with them.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::io::Waker;
use crate::source::journal::{journal_problem, journalctl_missing, last_cursor};
use crate::source::{Block, Digest, GenerationId, LineBlocks, SourceConfig, Start};
use crate::units::{Period, Timestamp};

const QUEUE_BLOCKS: usize = 4;

const BLOCK_BYTES: usize = 64 << 10;

/// Waits between two starts of `journalctl`: the first, and the longest.
const BACKOFF: Period = Period::from_secs(1);
const BACKOFF_MAX: Period = Period::from_secs(60);

/// What `journalctl` said last is kept up to so many bytes.
const SAID_BYTES: usize = 4096;

/// Ids of journals among the generations: far above those of files, which count from 1.
const FIRST_ID: u64 = 1 << 63;

/// The id of the journal that is the source of that name.
fn id_of(name: &str) -> GenerationId {
    let digest = Digest::of(name.as_bytes()).0;
    let hash = digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    GenerationId(FIRST_ID | hash)
}

/// True for the id of a journal.
pub(super) fn is_journal(id: GenerationId) -> bool {
    FIRST_ID <= id.0
}

/// What a restart needs to know.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Position {
    /// Bytes received in all runs.
    received: u64,
    /// The last line that was stored.
    cursor: Option<String>,
}

/// Lines and the position behind them; no lines where only the position is news.
#[derive(Debug)]
struct Parcel {
    block: Option<Block>,
    position: Position,
}

/// The near end of a journal.
#[derive(Debug)]
pub(super) struct Journal {
    /// Name of the source.
    pub(super) name: String,
    id: GenerationId,
    queue: Receiver<Parcel>,
    next: Option<Parcel>,
    ended: bool,
    fingerprint: Digest,
    shared: Arc<Shared>,
}

/// What both ends know.
#[derive(Debug, Default)]
struct Shared {
    closed: AtomicBool,
    /// Ends a wait of the thread.
    bell: Waker,
    child: Mutex<Option<Child>>,
    problem: Mutex<Option<String>>,
}

/// The thread's side.
struct Reader {
    config: SourceConfig,
    position: Position,
    /// It was never read: `start` applies.
    is_new: bool,
    max_line_bytes: usize,
    once: bool,
    queue: SyncSender<Parcel>,
    waker: Arc<Waker>,
    shared: Arc<Shared>,
}

impl Journal {
    /// Starts to read the journal of `config` behind its position among the stored `generations`;
    /// with `once`, to its present end. Each block rings `waker`.
    pub(super) fn start(
        config: &SourceConfig,
        generations: &[(u64, String)],
        seed: u64,
        max_line_bytes: usize,
        once: bool,
        waker: Arc<Waker>,
    ) -> std::io::Result<Self> {
        let (name, id) = (config.id().to_owned(), id_of(config.id()));
        let stored = generations.iter().find(|(key, _)| *key == id.0);
        let position: Option<Position> =
            stored.and_then(|(_, state)| serde_json::from_str(state).ok());
        let (sender, queue) = sync_channel(QUEUE_BLOCKS);
        let shared = Arc::new(Shared::default());
        let mut reader = Reader {
            config: config.clone(),
            is_new: position.is_none(),
            position: position.unwrap_or_default(),
            max_line_bytes,
            once,
            queue: sender,
            waker: Arc::clone(&waker),
            shared: Arc::clone(&shared),
        };
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            reader.run();
            drop(reader);
            // Its end is news too.
            waker.wake();
        })?;
        let fingerprint = Digest::of(&[name.as_bytes(), b"\0", &seed.to_le_bytes()].concat());
        Ok(Self { name, id, queue, next: None, ended: false, fingerprint, shared })
    }

    /// The key of its position.
    pub(super) fn id(&self) -> GenerationId {
        self.id
    }

    /// Lines can be taken, or a position.
    pub(super) fn is_ready(&mut self) -> bool {
        if self.next.is_none() {
            match self.queue.try_recv() {
                Ok(parcel) => self.next = Some(parcel),
                Err(TryRecvError::Empty) => (),
                Err(TryRecvError::Disconnected) => self.ended = true,
            }
        }
        self.next.is_some()
    }

    /// The next lines, read at `now`, and the position to store with them.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<(Option<Block>, String)> {
        self.is_ready();
        let Parcel { block, position } = self.next.take()?;
        let (generation, fingerprint) = (self.id, self.fingerprint);
        let block = block.map(|block| Block { generation, fingerprint, modified: now, ..block });
        Some((block, serde_json::to_string(&position).expect("a number and a text are JSON")))
    }

    /// Everything was taken and nothing more will come.
    pub(super) fn has_ended(&mut self) -> bool {
        !self.is_ready() && self.ended
    }

    /// Why it cannot be read now.
    pub(super) fn problem(&self) -> Option<String> {
        lock(&self.shared.problem).clone()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.bell.wake();
        if let Some(child) = lock(&self.shared.child).as_mut() {
            // It may have ended by itself.
            let _ = child.kill();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reader {
    /// Reads until closed, or to the end with `once`.
    fn run(&mut self) {
        let mut pause = BACKOFF;
        while !self.shared.closed.load(Ordering::SeqCst) {
            let before = self.position.received;
            let result = self.find_end().and_then(|()| self.read());
            if self.shared.closed.load(Ordering::SeqCst) {
                return;
            }
            if let Err(problem) = &result {
                self.shared.tell(self.config.id(), Some(problem.clone()));
            }
            if self.once {
                return;
            }
            pause = if before < self.position.received { BACKOFF } else { pause };
            self.shared.bell.wait(pause.duration());
            pause = Period((pause.ms() * 2).min(BACKOFF_MAX.ms()));
        }
    }

    /// Where `start` says so, begins at the journal's end, which becomes the position.
    fn find_end(&mut self) -> Result<(), String> {
        if self.config.start != Start::End || !self.is_new {
            return Ok(());
        }
        let output = self.config.end_of_journal().stdin(Stdio::null()).output();
        let output = output.map_err(|error| journalctl_missing(&error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(journal_problem(&said, &output.status.to_string()));
        }
        (self.position.cursor, self.is_new) = (last_cursor(&output.stdout), false);
        self.hand_over(None);
        Ok(())
    }

    /// Has `journalctl` print what follows the position, until it ends.
    fn read(&mut self) -> Result<(), String> {
        let mut command = self.config.read_journal(self.position.cursor.as_deref(), !self.once);
        let (output, errors) = self.start_child(&mut command)?;
        let (shared, name) = (Arc::clone(&self.shared), self.config.id().to_owned());
        let listener = std::thread::Builder::new().name("journal-errors".to_owned());
        let listener = listener.spawn(move || shared.listen(errors, &name));
        let path = Path::new(&self.config.path).to_owned();
        let mut blocks = LineBlocks::new(output, &path, BLOCK_BYTES, self.max_line_bytes);
        let (base, mut again) = (self.position.received, 0);
        let mut known = self.position.cursor.clone();
        while let Ok(Some(mut block)) = blocks.next_block(Vec::new()) {
            // The message at the cursor was read before, if it is still there.
            if let Some(cursor) = known.take() {
                let end =
                    memchr::memchr(b'\n', &block.bytes).map_or(block.bytes.len(), |at| at + 1);
                if last_cursor(&block.bytes[..end]) == Some(cursor) {
                    block.bytes.drain(..end);
                    block.from += end as u64;
                    again = end as u64;
                }
            }
            (block.from, block.to) = (base + block.from - again, base + block.to - again);
            if block.bytes.is_empty() {
                continue;
            }
            block.bytes.shrink_to_fit();
            self.position.received = block.to;
            // Of a line too long to be kept whole the cursor may be in its rest: a restart then
            // reads it again, which is better than not at all.
            self.position.cursor =
                last_cursor(&block.bytes).or_else(|| self.position.cursor.take());
            if !self.hand_over(Some(block)) {
                break;
            }
        }
        let child = lock(&self.shared.child).take();
        let Some(mut child) = child else { return Ok(()) };
        // Who hangs up first does not wait for what it would still print.
        let _ = child.kill();
        let status = child.wait().map_err(|error| error.to_string())?;
        let said = listener.map(|listener| listener.join().unwrap_or_default()).unwrap_or_default();
        if status.success() || self.shared.closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(journal_problem(&said, &status.to_string()))
    }

    fn start_child(
        &self,
        command: &mut Command,
    ) -> Result<(impl Read + use<>, impl Read + use<>), String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| journalctl_missing(&error))?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        *lock(&self.shared.child) = Some(child);
        output.zip(errors).ok_or_else(|| "its output is no pipe".to_owned())
    }

    /// False when nobody takes it any more.
    fn hand_over(&self, block: Option<Block>) -> bool {
        if block.is_some() {
            self.shared.tell(self.config.id(), None);
        }
        let is_taken = self.queue.send(Parcel { block, position: self.position.clone() }).is_ok();
        self.waker.wake();
        is_taken && !self.shared.closed.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Takes note of a problem, or that there is none, and says it once.
    fn tell(&self, name: &str, problem: Option<String>) {
        let mut known = lock(&self.problem);
        if *known != problem {
            match &problem {
                Some(problem) => tracing::error!("{name}: cannot read the journal: {problem}"),
                None => tracing::info!("{name}: the journal is read"),
            }
            *known = problem;
        }
    }

    /// Keeps the last of what `journalctl` says; some of it stands for a problem while it runs.
    fn listen(&self, errors: impl Read, name: &str) -> String {
        let mut said = String::new();
        for line in BufReader::new(errors).take(1 << 20).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains("not seeing messages") {
                self.tell(name, Some(journal_problem(&line, "")));
            }
            if SAID_BYTES < said.len() + line.len() {
                said.clear();
            }
            said.push_str(&line);
            said.push('\n');
        }
        said
    }
}
