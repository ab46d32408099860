//! The reader that fills the archive: follows the store's frames with a cursor of its own.
//!
//! Frames wait in the store until a file is worth its while: for an hour, or until there are many lines.
//! Then they become parts, and the cursor moves. Whoever searches finds what waits in the store itself.
//!
//! Invariant: the cursor moves when all events of its frames are in parts on the disk. Where a crash
//! comes in between, the frames are read again and their events recognised.

use std::fmt;

use super::archive::{Archive, Published};
use super::{HistoryConfig, HistoryError};
use crate::engine::batch::EventBatch;
use crate::store::{Cursor, Frame, Seq, StoreReader};
use crate::units::{ByteSize, Period, Timestamp};

/// Name of the reader in the store.
pub const READER: &str = "history";

/// Lines of frames, in bytes, that make a part before its time.
const TURN_BYTES: u64 = 32 << 20;

/// That, where the store is small: this share of it must never be what keeps it full.
const STORE_SHARE: u64 = 4;

/// Events after which a part is made.
const TURN_EVENTS: usize = 120_000;

/// Turns the lines of a frame into events: the daemon's parser for the frame's source.
pub type Decode = Box<dyn FnMut(&Frame, &mut EventBatch) + Send>;

/// Fills the archive from the store.
pub struct Archivist {
    reader: StoreReader,
    decode: Decode,
    archive: Archive,
    every: Period,
    turn_bytes: u64,
    batch: EventBatch,
    /// Everything up to this frame is archived.
    cursor: Seq,
    /// When that was stored.
    moved: Timestamp,
}

impl fmt::Debug for Archivist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archivist").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Archivist {
    /// Begins behind the last frame that is archived. The store may take `store_size`.
    pub fn new(
        reader: StoreReader,
        decode: Decode,
        archive: Archive,
        config: &HistoryConfig,
        store_size: ByteSize,
    ) -> Result<Self, HistoryError> {
        reader.register_reader(READER, true, Seq(0))?;
        let (cursor, moved) = match reader.cursor(READER)? {
            Some(Cursor { seq, updated, .. }) => (seq, updated),
            None => (Seq(0), Timestamp(0)),
        };
        // A store that was begun anew counts from 1 again.
        let cursor = if reader.last_seq()? < cursor { Seq(0) } else { cursor };
        let (every, batch) = (config.every, EventBatch::default());
        let turn_bytes = TURN_BYTES.min(store_size.0 / STORE_SHARE);
        Ok(Self { reader, decode, archive, every, turn_bytes, batch, cursor, moved })
    }

    /// The archive that it fills.
    pub fn archive(&mut self) -> &mut Archive {
        &mut self.archive
    }

    /// What waits in the store.
    pub fn waiting(&self) -> Result<crate::store::Waiting, HistoryError> {
        Ok(self.reader.waiting_after(self.cursor)?)
    }

    /// Makes parts of a run of frames, if there are enough of them or they have waited long enough.
    /// `None` when nothing was to be done.
    pub fn turn(&mut self, now: Timestamp) -> Result<Option<Published>, HistoryError> {
        let waiting = self.waiting()?;
        let Some(oldest) = waiting.oldest else { return Ok(None) };
        // The first events of all are archived at once, so that there is something to look at.
        let since = oldest.min(self.moved.max(Timestamp(1)));
        if waiting.bytes < self.turn_bytes && now < since.plus(self.every) {
            return Ok(None);
        }
        self.archive_frames(now).map(Some)
    }

    fn archive_frames(&mut self, now: Timestamp) -> Result<Published, HistoryError> {
        self.archive.forget();
        let (mut seq, mut bytes) = (self.cursor, 0);
        while bytes < TURN_BYTES && self.archive.waiting() < TURN_EVENTS {
            let Some(frame) = self.reader.frame_after(seq)? else { break };
            seq = frame.seq;
            bytes += frame.bytes.len() as u64;
            if !frame.damaged {
                (self.decode)(&frame, &mut self.batch);
                self.archive.add(&self.batch, frame.received);
            }
        }
        let reader = &self.reader;
        let published = self.archive.publish(|| Ok(reader.save_cursor(READER, seq, "", now)?))?;
        (self.cursor, self.moved) = (seq, now);
        Ok(published)
    }
}

/// Frames that are not archived yet, as rows: what a search reads beside the archive.
pub struct Unarchived {
    reader: StoreReader,
    decode: Decode,
    cursor: Seq,
    last: Seq,
    rows: super::rows::Rows,
    batch: EventBatch,
}

impl Unarchived {
    /// The frames behind the archive's cursor; all of them where nothing is archived.
    pub fn new(
        reader: StoreReader,
        decode: Decode,
        keep_original: bool,
    ) -> Result<Self, HistoryError> {
        let cursor = reader.cursor(READER)?.map_or(Seq(0), |cursor| cursor.seq);
        Ok(Self::after(cursor, reader, decode, keep_original))
    }

    /// The frames behind `seq`. Asked again at its end it goes on with those that came meanwhile.
    pub fn after(seq: Seq, reader: StoreReader, decode: Decode, keep_original: bool) -> Self {
        let (rows, batch) = (super::rows::Rows::new(keep_original), EventBatch::default());
        Self { reader, decode, cursor: seq, last: Seq(u64::MAX), rows, batch }
    }

    /// The frames up to `last` only.
    #[must_use]
    pub fn until(mut self, last: Seq) -> Self {
        self.last = last;
        self
    }
}

impl Iterator for Unarchived {
    type Item = Result<arrow_array::RecordBatch, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = 0;
        while self.cursor < self.last && bytes < TURN_BYTES && self.rows.len() < TURN_EVENTS {
            match self.reader.frame_after(self.cursor) {
                Err(error) => return Some(Err(error.into())),
                Ok(None) => break,
                Ok(Some(frame)) => {
                    self.cursor = frame.seq;
                    bytes += frame.bytes.len() as u64;
                    if !frame.damaged {
                        (self.decode)(&frame, &mut self.batch);
                        self.rows.push(&self.batch, frame.received);
                    }
                }
            }
        }
        (0 < self.rows.len()).then(|| self.rows.take())
    }
}
