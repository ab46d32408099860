//! What the pipeline takes from the listeners: lines with positions, and receipts to hand back.
//!
//! As with standard input, what was received cannot be asked for again: a source's bytes are counted
//! over all runs of a store, and the count is stored with the lines. So each line has a position,
//! and with it an id, that no other line of this store ever had.
//!
//! Invariant: a receipt is given after the commit that holds its lines, or never.

use serde::{Deserialize, Serialize};

use crate::source::listen::{Inlet, Listeners, Receipt};
use crate::source::{Block, Digest, Encoding, GenerationId};
use crate::units::Timestamp;

/// The first number of listeners among the generations; files count from 1, journals from the next
/// power of two.
const FIRST: u64 = 1 << 62;

/// True for a generation that is a listener's.
pub(super) fn is_received(id: GenerationId) -> bool {
    (FIRST..FIRST << 1).contains(&id.0)
}

/// What a restart needs to know: stored as the state of a listener's generation.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Position {
    /// Name of the source.
    source: String,
    /// Bytes received in all runs.
    received: u64,
    /// What the lines received have told about those that follow.
    #[serde(default)]
    note: String,
}

/// One listener's lines.
#[derive(Debug)]
struct Intake {
    inlet: Inlet,
    /// Index of its source.
    source: usize,
    generation: GenerationId,
    fingerprint: Digest,
    received: u64,
    /// What the lines of earlier runs have told.
    note: String,
    /// Bytes that are taken in this turn.
    share: usize,
}

/// The lines of all listeners.
#[derive(Debug)]
pub(super) struct Intakes {
    listeners: Listeners,
    intakes: Vec<Intake>,
    /// The one that has its turn.
    turn: usize,
    /// Who waits for the next commit.
    receipts: Vec<Receipt>,
}

impl Intakes {
    /// Takes up where the store left off. `states` are its generations, `seed` belongs to it, and
    /// `first_source` is the index of the first listener's source.
    pub(super) fn new(
        listeners: Listeners,
        states: &[(u64, String)],
        seed: u64,
        first_source: usize,
    ) -> Self {
        let known: Vec<(u64, Position)> = states
            .iter()
            .filter(|(id, _)| is_received(GenerationId(*id)))
            .filter_map(|(id, state)| Some((*id, serde_json::from_str(state).ok()?)))
            .collect();
        let taken = states.iter().map(|(id, _)| *id).filter(|id| is_received(GenerationId(*id)));
        let mut next = taken.max().map_or(FIRST, |last| last + 1);
        let mut intakes = Vec::new();
        for (index, inlet) in listeners.inlets().iter().enumerate() {
            let position = known.iter().find(|(_, position)| position.source == inlet.name);
            let (id, received, note) = position.map_or_else(
                || {
                    next += 1;
                    (next - 1, 0, String::new())
                },
                |(id, position)| (*id, position.received, position.note.clone()),
            );
            let name = inlet.name.as_bytes();
            intakes.push(Intake {
                inlet: inlet.clone(),
                source: first_source + index,
                generation: GenerationId(id),
                fingerprint: Digest::of(&[name, b"\0", &seed.to_le_bytes()].concat()),
                received,
                note,
                share: 0,
            });
        }
        Self { listeners, intakes, turn: 0, receipts: Vec::new() }
    }

    /// The near ends, for their status.
    pub(super) fn inlets(&self) -> &[Inlet] {
        self.listeners.inlets()
    }

    /// So much waits that a commit is due.
    pub(super) fn are_pressed(&self) -> bool {
        self.inlets().iter().any(|inlet| inlet.inbox.is_pressed())
    }

    /// Takes note of whether the store takes lines.
    pub(super) fn hold(&self, held: bool) {
        self.inlets().iter().for_each(|inlet| inlet.inbox.hold(held));
    }

    /// A turn begins: it takes what is there now. What comes meanwhile makes larger blocks if it
    /// waits for the next one.
    pub(super) fn begin(&mut self) {
        for intake in &mut self.intakes {
            intake.share = intake.inlet.inbox.waiting_bytes();
        }
    }

    /// The next block of this turn, read at `now`, if one is there: of each listener in turn.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Block> {
        for _ in 0..self.intakes.len() {
            self.turn = (self.turn + 1) % self.intakes.len();
            let intake = &mut self.intakes[self.turn];
            if intake.share == 0 {
                continue;
            }
            let Some(parcel) = intake.inlet.inbox.take() else { continue };
            intake.share = intake.share.saturating_sub(parcel.bytes.len());
            self.receipts.extend(parcel.receipts);
            let from = intake.received;
            intake.received += parcel.bytes.len() as u64;
            return Some(Block {
                generation: intake.generation,
                source: intake.source,
                path: parcel.path,
                from,
                to: intake.received,
                bytes: parcel.bytes,
                truncated_last: parcel.truncated_last,
                encoding: Encoding::default(),
                fingerprint: intake.fingerprint,
                modified: now,
            });
        }
        None
    }

    /// What the lines of earlier runs have told, by generation.
    pub(super) fn notes(&self) -> impl Iterator<Item = (u64, String)> {
        self.intakes.iter().map(|intake| (intake.generation.0, intake.note.clone()))
    }

    /// The states to store with what was taken: the positions after it, and what `told` says of each
    /// generation.
    pub(super) fn states(
        &self,
        told: impl Fn(u64) -> String,
    ) -> impl Iterator<Item = (u64, String)> {
        self.intakes.iter().map(move |intake| {
            let (id, source) = (intake.generation.0, intake.inlet.name.clone());
            let position = Position { source, received: intake.received, note: told(id) };
            (id, serde_json::to_string(&position).expect("plain data is JSON"))
        })
    }

    /// What was taken is in the store.
    pub(super) fn committed(&mut self) {
        for receipt in self.receipts.drain(..) {
            // A sender that has gone does not hear of it.
            let _ = receipt.send(());
        }
    }

    /// Tells the listeners to stop; what has come is taken as long as they have not ended.
    pub(super) fn stop(&self) {
        self.listeners.stop();
    }

    /// The listeners put nothing any more.
    pub(super) fn have_ended(&self) -> bool {
        self.listeners.have_ended()
    }

    /// From now on the listeners put nothing any more.
    pub(super) fn close(&self) {
        self.listeners.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::sync::Arc;

    use crate::io::Waker;
    use crate::source::SourceConfig;

    const NOW: Timestamp = Timestamp::from_secs(1_795_160_801);

    /// Listens as `names` on sockets in a folder, and takes what is sent to them.
    struct Bench {
        folder: tempfile::TempDir,
        waker: Arc<Waker>,
    }

    impl Bench {
        fn start(&self, names: &[&str], states: &[(u64, String)], seed: u64) -> Intakes {
            let endpoint = |name: &&str| {
                let address = format!("unixstream://{}", self.path(name).display());
                let config = SourceConfig { listen: Some(address), ..SourceConfig::default() };
                ((*name).to_owned(), config.endpoint().expect("sound").expect("it listens"))
            };
            let endpoints = names.iter().map(endpoint).collect();
            let listeners = Listeners::start(endpoints, 1024, &self.waker).expect("a thread");
            Intakes::new(listeners, states, seed, 3)
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.folder.path().join(name)
        }

        fn send(&self, name: &str, text: &str) {
            let patience = std::time::Duration::from_millis(5);
            loop {
                if let Ok(mut stream) = std::os::unix::net::UnixStream::connect(self.path(name)) {
                    return stream.write_all(text.as_bytes()).expect("sent");
                }
                self.waker.wait(patience);
            }
        }

        fn take(&self, intakes: &mut Intakes) -> Block {
            loop {
                intakes.begin();
                if let Some(block) = intakes.take(NOW) {
                    return block;
                }
                self.waker.wait(std::time::Duration::from_secs(30));
            }
        }
    }

    fn bench() -> Bench {
        Bench { folder: tempfile::tempdir().expect("a folder"), waker: Arc::default() }
    }

    #[test]
    fn positions_go_on_where_the_last_run_ended() {
        let bench = bench();
        let mut first = bench.start(&["a", "b"], &[], 7);
        bench.send("a", "<34>one\n");
        let block = bench.take(&mut first);
        assert_eq!(b"<34>one\n", block.bytes.as_slice());
        assert_eq!((0, 8, 3, NOW), (block.from, block.to, block.source, block.modified));
        assert!(is_received(block.generation));
        bench.send("b", "<34>other\n");
        let other = bench.take(&mut first);
        assert_eq!((0, 4), (other.from, other.source));
        assert_ne!(block.generation, other.generation);
        assert_ne!(block.fingerprint, other.fingerprint);
        let states: Vec<(u64, String)> = first.states(|id| format!("of {id}")).collect();
        drop(first);
        // In another order, with a new one in front, beside a file and a state nobody can read.
        let states = [states, vec![(1, "{}".to_owned()), (FIRST + 9, "{".to_owned())]].concat();
        let mut second = bench.start(&["c", "b", "a"], &states, 7);
        let told = format!("of {}", block.generation.0);
        assert!(second.notes().any(|note| note == (block.generation.0, told.clone())));
        bench.send("a", "<34>two\n");
        let again = bench.take(&mut second);
        assert_eq!(
            (block.generation, 8, 16, 5),
            (again.generation, again.from, again.to, again.source)
        );
        assert_eq!(block.fingerprint, again.fingerprint);
        bench.send("c", "<34>new\n");
        assert_eq!(FIRST + 10, bench.take(&mut second).generation.0);
    }

    #[test]
    fn another_store_gives_other_ids() {
        let bench = bench();
        let fingerprint = |seed| {
            let mut intakes = bench.start(&["a"], &[], seed);
            bench.send("a", "<34>one\n");
            bench.take(&mut intakes).fingerprint
        };
        assert_ne!(fingerprint(7), fingerprint(8));
    }
}
