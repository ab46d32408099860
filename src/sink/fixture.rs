//! Batches, stores and tasks for the tests of this module.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::{AnySink, SinkConfig, SinkContext, SinkStatus, SinkTask};
use crate::engine::batch::{EventBatch, Field, Origin, Writer};
use crate::io::{Chance, Clock};
use crate::store::{Commit, Frame, Seq, Store, StoreReader};
use crate::units::Timestamp;

/// The moment of all tests: 2026-11-20 08:00 UTC.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_161_600);

/// A batch with one event for each line.
pub(super) fn batch(lines: &[&str], fill: impl Fn(&[u8], &mut Writer<'_>)) -> EventBatch {
    let origin = Origin { host: "web1.example.org".to_owned(), ..Origin::default() };
    let mut batch = EventBatch::default();
    refill(&mut batch, origin, lines.join("\n").into_bytes(), fill);
    batch
}

fn refill(
    batch: &mut EventBatch,
    origin: Origin,
    bytes: Vec<u8>,
    fill: impl Fn(&[u8], &mut Writer<'_>),
) {
    batch.refill(Arc::new(origin), bytes);
    let (raw, mut writer) = batch.open();
    let mut offset = 0;
    for line in raw.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        writer.set_line(line);
        writer.row.offset = offset;
        writer.row.time = NOW;
        fill(line, &mut writer);
        writer.finish();
        offset += line.len() as u64 + 1;
    }
}

/// Each line is an event whose user is the line.
fn decode(frame: &Frame, batch: &mut EventBatch) {
    let origin = Origin { fingerprint: frame.fingerprint, ..Origin::default() };
    refill(batch, origin, frame.bytes.clone(), |line, writer| writer.set(Field::User, line));
}

/// A clock that stands still.
#[derive(Debug)]
pub(super) struct Still(pub(super) Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Never waits between two attempts.
struct AtOnce;

impl Chance for AtOnce {
    fn next_u64(&mut self) -> u64 {
        0
    }
}

/// A store with lines in it.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) lines: usize,
}

impl Bench {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&dir.path().join("store")).expect("a new store");
        Self { dir, store, lines: 0 }
    }

    /// A path beside the store.
    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Stores `count` frames of `lines` lines each, all different.
    pub(super) fn store_frames(&mut self, count: usize, lines: usize) {
        let frame = |index: usize| {
            let first = self.lines + index * lines;
            let text: String = (first..first + lines).map(|n| format!("line {n}\n")).collect();
            let mut fingerprint = [0; 32];
            fingerprint[..8].copy_from_slice(&(first as u64).to_le_bytes());
            Frame {
                source: "web".to_owned(),
                fingerprint,
                received: NOW,
                lines: lines as u64,
                to: text.len() as u64,
                bytes: text.into_bytes(),
                ..Frame::default()
            }
        };
        let frames: Vec<Frame> = (0..count).map(frame).collect();
        self.store.commit(&Commit { frames: &frames, ..Commit::default() }, NOW).expect("commit");
        self.lines += count * lines;
    }

    pub(super) fn reader(&self) -> StoreReader {
        reader(&self.dir.path().join("store"))
    }

    /// Runs a sink until it has delivered what is stored.
    pub(super) async fn deliver(&self, config: &SinkConfig, now: Timestamp) -> Arc<SinkStatus> {
        let context = SinkContext { pid: 812, ..SinkContext::default() };
        let sink = AnySink::new(config, &context);
        let status = Arc::new(SinkStatus::new(sink.name(), sink.kind()));
        let durable = self.reader().last_seq().expect("a number");
        let (_durable, durable) = watch::channel::<Seq>(durable);
        let (_stop, stop) = watch::channel(true);
        let task = SinkTask {
            sink,
            reader: self.reader(),
            decode: Box::new(decode),
            durable,
            clock: Arc::new(Still(now)),
            chance: Box::new(AtOnce),
            status: status.clone(),
            stop,
            grace: crate::units::Period::from_secs(5),
        };
        task.run().await.expect("a store that can be read");
        status
    }
}

fn reader(dir: &Path) -> StoreReader {
    StoreReader::open(dir).expect("the store is there")
}
