//! Reading the store: frames behind a cursor, and the totals.
//!
//! Invariant: a reader that asks for the frame after its cursor and then moves the cursor there
//! gets to the newest frame, whatever is damaged on the way.

use std::cell::{Cell, RefCell};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::database::{self, Database, unsigned};
use super::error::StoreError;
use super::frame::{self, Frame, Seq, Unpacker};
use super::rhythm::{self, SeriesRecord};
use crate::units::Timestamp;

/// Damaged frames listed by name in a [`Verdict`].
const DAMAGED_LISTED_MAX: usize = 100;

/// How far a reader is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor {
    /// Everything up to this frame is done.
    pub seq: Seq,
    /// What the reader wants to remember along with it, as JSON.
    pub state: String,
    /// When it moved last.
    pub updated: Timestamp,
}

/// One line of the list of readers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReaderCursor {
    /// Name of the reader.
    pub reader: String,
    /// Everything up to this frame is done.
    pub seq: Seq,
    /// Frames wait for this reader.
    pub required: bool,
    /// When it moved last.
    pub updated: Timestamp,
    /// Lines that were deleted before this reader had seen them.
    pub dropped_lines: u64,
}

/// Everything that was ever stored.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ledger {
    /// Frames.
    pub frames: u64,
    /// Lines.
    pub lines: u64,
    /// Bytes of the lines.
    pub bytes: u64,
    /// The same for each source, by name.
    pub sources: Vec<SourceLedger>,
}

/// Everything that was ever stored of one source.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SourceLedger {
    /// Name of the source.
    pub source: String,
    /// Frames.
    pub frames: u64,
    /// Lines.
    pub lines: u64,
    /// Bytes of the lines.
    pub bytes: u64,
}

/// What waits for a reader.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Waiting {
    /// Lines.
    pub lines: u64,
    /// Bytes of the lines.
    pub bytes: u64,
    /// When the oldest was received; none where nothing waits.
    pub oldest: Option<Timestamp>,
}

/// What a look at the whole store found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// Frames that were read.
    pub frames: u64,
    /// Damaged frames among them.
    pub damaged: u64,
    /// The first hundred of these.
    pub damaged_seqs: Vec<Seq>,
    /// SQLite finds its own structure in order.
    pub structure_sound: bool,
}

/// A connection of its own to a store that a daemon may be writing; works without the daemon too.
#[derive(Debug)]
pub struct StoreReader {
    pub(super) db: Database,
    pub(super) unpacker: RefCell<Unpacker>,
    damaged: Cell<u64>,
}

/// Writes a cursor: [`StoreReader::save_cursor`].
pub(super) fn write_cursor(
    conn: &Connection,
    reader: &str,
    seq: Seq,
    state: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO cursors (reader, seq, required, state, updated)
               VALUES (?1, ?2, 0, ?3, ?4)
               ON CONFLICT (reader) DO UPDATE SET seq = excluded.seq,
                   state = excluded.state, updated = excluded.updated";
    conn.prepare_cached(sql)?.execute(params![reader, seq, state, now])?;
    Ok(())
}

impl StoreReader {
    /// Opens the store in `dir`, which must be there.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let db = Database::open_existing(dir)?;
        let unpacker = Unpacker::new()
            .map_err(|source| StoreError::io("set up decompression for", db.path(), source))?;
        Ok(Self { db, unpacker: RefCell::new(unpacker), damaged: Cell::new(0) })
    }

    /// Number of the newest frame; 0 before the first.
    pub fn last_seq(&self) -> Result<Seq, StoreError> {
        self.db.last_seq()
    }

    /// What the weekly rhythm has learnt, by series.
    pub fn rhythm(&self) -> Result<Vec<SeriesRecord>, StoreError> {
        self.db.run("read the weekly rhythm", rhythm::all)
    }

    /// The next frame after `seq`; look at [`Frame::damaged`].
    pub fn frame_after(&self, seq: Seq) -> Result<Option<Frame>, StoreError> {
        let unpacker = &mut *self.unpacker.borrow_mut();
        let found = self.db.run("read lines", |conn| {
            conn.prepare_cached(frame::SELECT_AFTER)?
                .query_row([seq], |row| frame::read(row, unpacker))
                .optional()
        });
        let frame = match found {
            Err(StoreError::Damaged { .. }) => self.unreadable_after(seq)?,
            // A damaged number in the tree: whoever followed it would go round in circles.
            Ok(Some(frame)) if frame.seq <= seq => self.unreadable_after(seq)?,
            other => other?,
        };
        if let Some(frame) = frame.as_ref().filter(|frame| frame.damaged) {
            self.damaged.set(self.damaged.get() + 1);
            tracing::warn!(
                seq = frame.seq.0,
                lines = frame.lines,
                "a frame in the store is damaged; it is passed over, and its lines are not delivered"
            );
        }
        Ok(frame)
    }

    /// The frame after `seq` when SQLite cannot reach it. Frames follow each other, so its number
    /// is known, and the reader gets past it.
    fn unreadable_after(&self, seq: Seq) -> Result<Option<Frame>, StoreError> {
        let oldest = self.db.oldest()?.map_or(Seq(0), |(oldest, _)| oldest);
        let next = seq.next().max(oldest);
        let frame = Frame { seq: next, damaged: true, ..Frame::default() };
        Ok((next <= self.db.last_seq()?).then_some(frame))
    }

    /// The frame with this number. Nothing when it is deleted or not yet there.
    pub fn frame(&self, seq: Seq) -> Result<Option<Frame>, StoreError> {
        let before = Seq(seq.0.saturating_sub(1));
        match self.frame_after(before)?.filter(|frame| frame.seq == seq) {
            Some(frame) if frame.damaged => {
                Err(StoreError::DamagedFrame { path: self.db.path().to_owned(), seq })
            }
            found => Ok(found),
        }
    }

    /// Damaged frames met so far by this reader.
    pub fn damaged_frames(&self) -> u64 {
        self.damaged.get()
    }

    /// Frames with events at `time` or later, or received then, that rebuild the detectors: the
    /// newest of them with `bytes_max` of lines, and at least one.
    pub fn frames_since(&self, time: Timestamp, bytes_max: u64) -> Result<Vec<Seq>, StoreError> {
        // The index holds all three columns, so the pages of older lines stay untouched.
        let sql = "SELECT seq, stop - start FROM frames WHERE seq IN (
                       SELECT seq FROM frames INDEXED BY frames_by_time
                       WHERE last_time >= ?1 OR received >= ?1)
                   ORDER BY seq DESC";
        self.db.run("read the frames' times", |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query([time])?;
            let (mut seqs, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                bytes += unsigned(row, 1)?;
                if bytes_max < bytes && !seqs.is_empty() {
                    break;
                }
                seqs.push(row.get(0)?);
            }
            seqs.reverse();
            Ok(seqs)
        })
    }

    /// What is stored behind the frame `seq`.
    pub fn waiting_after(&self, seq: Seq) -> Result<Waiting, StoreError> {
        let sql = "SELECT coalesce(sum(lines), 0), coalesce(sum(raw_bytes), 0), min(received)
                   FROM frames WHERE seq > ?1";
        self.db.run("count what waits", |conn| {
            conn.prepare_cached(sql)?.query_row([seq], |row| {
                Ok(Waiting {
                    lines: unsigned(row, 0)?,
                    bytes: unsigned(row, 1)?,
                    oldest: row.get(2)?,
                })
            })
        })
    }

    /// Makes `reader` known, to start after the frame `start`. One that is known keeps its cursor.
    pub fn register_reader(
        &self,
        reader: &str,
        required: bool,
        start: Seq,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO cursors (reader, seq, required, state, updated)
                   VALUES (?1, ?2, ?3, '', 0)
                   ON CONFLICT (reader) DO UPDATE SET required = excluded.required";
        self.db.run("register a reader", |conn| {
            conn.prepare_cached(sql)?.execute(params![reader, start, required])
        })?;
        Ok(())
    }

    /// Forgets a reader that is not configured any more, so that no frame waits for it.
    pub fn forget_reader(&self, reader: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM cursors WHERE reader = ?1";
        self.db.run("forget a reader", |conn| conn.prepare_cached(sql)?.execute([reader]))?;
        Ok(())
    }

    /// How far `reader` is.
    pub fn cursor(&self, reader: &str) -> Result<Option<Cursor>, StoreError> {
        let sql = "SELECT seq, state, updated FROM cursors WHERE reader = ?1";
        let cursor = |row: &Row<'_>| {
            Ok(Cursor { seq: row.get(0)?, state: row.get(1)?, updated: row.get(2)? })
        };
        self.db.run("read a cursor", |conn| {
            conn.prepare_cached(sql)?.query_row([reader], cursor).optional()
        })
    }

    /// Remembers that `reader` is done with everything up to `seq`, and its `state`. A reader that
    /// was not registered is one that no frame waits for.
    pub fn save_cursor(
        &self,
        reader: &str,
        seq: Seq,
        state: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.db.run("store a cursor", |conn| write_cursor(conn, reader, seq, state, now))
    }

    /// All readers, by name.
    pub fn cursors(&self) -> Result<Vec<ReaderCursor>, StoreError> {
        let sql = "SELECT reader, seq, required, updated, dropped_lines FROM cursors
                   ORDER BY reader";
        let cursor = |row: &Row<'_>| {
            Ok(ReaderCursor {
                reader: row.get(0)?,
                seq: row.get(1)?,
                required: row.get(2)?,
                updated: row.get(3)?,
                dropped_lines: unsigned(row, 4)?,
            })
        };
        self.db.run("read the cursors", |conn| {
            conn.prepare_cached(sql)?.query_map([], cursor)?.collect()
        })
    }

    /// What was stored since the store was made. Kept in the transaction of each commit, so it
    /// agrees with the frames whatever happened.
    pub fn ledger(&self) -> Result<Ledger, StoreError> {
        let sql = "SELECT source, frames, lines, bytes FROM ledger ORDER BY source";
        let source = |row: &Row<'_>| {
            Ok(SourceLedger {
                source: row.get(0)?,
                frames: unsigned(row, 1)?,
                lines: unsigned(row, 2)?,
                bytes: unsigned(row, 3)?,
            })
        };
        let sources: Vec<SourceLedger> = self.db.run("read the ledger", |conn| {
            conn.prepare_cached(sql)?.query_map([], source)?.collect()
        })?;
        Ok(Ledger {
            frames: sources.iter().map(|source| source.frames).sum(),
            lines: sources.iter().map(|source| source.lines).sum(),
            bytes: sources.iter().map(|source| source.bytes).sum(),
            sources,
        })
    }

    /// A value that outlives restarts.
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.db.meta(key)
    }

    /// Reads everything and compares each frame with its checksum.
    pub fn verify(&self) -> Result<Verdict, StoreError> {
        let structure = self.db.run("check the database", |conn| database::is_sound(conn, None));
        let mut verdict = Verdict {
            structure_sound: match structure {
                Err(StoreError::Damaged { .. }) => false,
                other => other?,
            },
            ..Verdict::default()
        };
        let mut seq = Seq(0);
        while let Some(frame) = self.frame_after(seq)? {
            seq = frame.seq;
            verdict.frames += 1;
            if frame.damaged {
                verdict.damaged += 1;
                if verdict.damaged_seqs.len() < DAMAGED_LISTED_MAX {
                    verdict.damaged_seqs.push(seq);
                }
            }
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Bench, NOW, frame, frames};
    use super::super::{Commit, Store};
    use super::*;
    use crate::io::{Chance, Seeded};
    use crate::units::Period;

    #[test]
    fn without_a_store_the_message_says_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let message = StoreReader::open(dir.path()).expect_err("missing").to_string();
        assert!(message.contains(&dir.path().display().to_string()), "{message}");
        assert!(message.contains("start `gatewatch run` first"), "{message}");
        assert_eq!(0, std::fs::read_dir(dir.path()).expect("list").count(), "nothing was made");
    }

    #[test]
    fn a_damaged_frame_is_named_and_the_next_ones_are_readable() {
        let mut bench = Bench::new();
        bench.store_lines(&["a\n", "b1\nb2\n", "c\n"]);
        let tamper = bench.tamper();
        let select = "SELECT data FROM frames WHERE seq = 2";
        let mut data: Vec<u8> = tamper.query_row(select, [], |row| row.get(0)).expect("data");
        let middle = data.len() / 2;
        data[middle] ^= 0x10;
        tamper.execute("UPDATE frames SET data = ?1 WHERE seq = 2", [data]).expect("tamper");

        let seen: Vec<_> = frames(&bench.reader)
            .into_iter()
            .map(|frame| (frame.seq.0, frame.damaged, frame.lines, frame.bytes))
            .collect();
        let expected = vec![
            (1, false, 1, b"a\n".to_vec()),
            (2, true, 2, Vec::new()),
            (3, false, 1, b"c\n".to_vec()),
        ];
        assert_eq!(expected, seen);
        assert_eq!(1, bench.reader.damaged_frames());
        let error = bench.reader.frame(Seq(2)).expect_err("damaged");
        assert!(matches!(error, StoreError::DamagedFrame { seq: Seq(2), .. }), "{error:?}");
        assert!(bench.reader.frame(Seq(3)).expect("read").is_some());
        assert!(bench.reader.frame(Seq(4)).expect("read").is_none());
        let verdict = bench.reader.verify().expect("verify");
        assert_eq!((3, 1, vec![Seq(2)]), (verdict.frames, verdict.damaged, verdict.damaged_seqs));
        assert!(verdict.structure_sound);
    }

    #[test]
    fn a_column_that_cannot_be_read_makes_the_frame_damaged() {
        let mut bench = Bench::new();
        for change in ["start = -1", "fingerprint = x'00'", "site = CAST(x'ff' AS TEXT)"] {
            bench.store_lines(&["a\n"]);
            let last = bench.reader.last_seq().expect("read");
            let sql = format!("UPDATE frames SET {change} WHERE seq = {last}");
            bench.tamper().execute_batch(&sql).expect("tamper");
            bench.store_lines(&["b\n"]);
            assert!(bench.reader.frame(last).is_err(), "{change}");
            assert!(bench.reader.frame(last.next()).expect("read").is_some(), "{change}");
        }
    }

    /// Flips bits anywhere in the file: whatever that does, the store starts, a reader ends, and
    /// no line is handed out that was not stored.
    fn check_damaged_file(seed: u64) {
        let mut chance = Seeded::new(seed);
        let Bench { dir, mut store, reader } = Bench::new();
        let texts: Vec<String> =
            (0..40).map(|n| format!("line {n} of the log\n").repeat(n)).collect();
        let frames: Vec<Frame> = texts.iter().map(|text| frame(text)).collect();
        store.commit(&Commit { frames: &frames, ..Commit::default() }, NOW).expect("commit");
        reader.save_cursor("sink", Seq(3), "", NOW).expect("cursor");
        drop((store, reader));
        let path = dir.path().join("gatewatch.db");
        let mut bytes = std::fs::read(&path).expect("read");
        for _ in 0..=chance.next_u64() % 64 {
            let at = (chance.next_u64() % bytes.len() as u64) as usize;
            bytes[at] ^= 1 << (chance.next_u64() % 8);
        }
        std::fs::write(&path, bytes).expect("write");

        let mut store = Store::open(dir.path()).expect("starting is never refused");
        let reader = StoreReader::open(dir.path()).expect("the store is there");
        let (mut seq, mut steps) = (Seq(0), 0);
        while let Ok(Some(frame)) = reader.frame_after(seq) {
            assert!(seq < frame.seq, "seed {seed}: the reader moves on");
            (seq, steps) = (frame.seq, steps + 1);
            let text = String::from_utf8_lossy(&frame.bytes).into_owned();
            assert!(frame.damaged || texts.contains(&text), "seed {seed}: {text}");
            assert!(steps <= 2 * texts.len(), "seed {seed}: the reader ends");
        }
        // An error is allowed while it runs; after at most one more start it must work.
        let new = [frame("new\n")];
        let commit = Commit { frames: &new, ..Commit::default() };
        if store.commit(&commit, NOW).is_err() {
            drop((store, reader));
            let mut store = Store::open(dir.path()).expect("starting is never refused");
            store.commit(&commit, NOW).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        }
    }

    #[test]
    fn bits_flipped_anywhere_never_stop_the_daemon_or_forge_a_line() {
        for seed in 0..60 {
            check_damaged_file(seed);
        }
    }

    #[test]
    fn a_cursor_keeps_its_place_and_its_state() {
        let bench = Bench::new();
        let reader = &bench.reader;
        assert_eq!(None, reader.cursor("siem").expect("read"));
        reader.register_reader("siem", true, Seq(4)).expect("register");
        reader.save_cursor("siem", Seq(9), r#"{"length":7}"#, NOW).expect("save");
        reader.register_reader("siem", true, Seq(1)).expect("register again");
        let state = r#"{"length":7}"#.to_owned();
        let expected = Cursor { seq: Seq(9), state, updated: NOW };
        assert_eq!(Some(expected), reader.cursor("siem").expect("read"));

        reader.save_cursor("status", Seq(2), "", NOW).expect("save");
        let all = reader.cursors().expect("read");
        let all: Vec<_> = all.iter().map(|c| (c.reader.as_str(), c.seq.0, c.required)).collect();
        assert_eq!(vec![("siem", 9, true), ("status", 2, false)], all);
        reader.forget_reader("siem").expect("forget");
        assert_eq!(None, reader.cursor("siem").expect("read"));
    }

    #[test]
    fn frames_are_found_by_event_time_and_by_arrival() {
        let mut bench = Bench::new();
        let at = |received: u64, last: u64| Frame {
            received: Timestamp::from_secs(received),
            last_time: Timestamp::from_secs(last),
            ..frame("a\n")
        };
        // The third is an old log read late, the fourth has no times.
        let all = [at(100, 90), at(200, 190), at(300, 10), at(300, 0), at(310, 305)];
        bench.store.commit(&Commit { frames: &all, ..Commit::default() }, NOW).expect("commit");
        let since = |seconds| {
            let found =
                bench.reader.frames_since(Timestamp::from_secs(seconds), u64::MAX).expect("read");
            found.into_iter().map(|seq| seq.0).collect::<Vec<_>>()
        };
        assert_eq!(vec![1, 2, 3, 4, 5], since(0));
        assert_eq!(vec![2, 3, 4, 5], since(150));
        assert_eq!(vec![5], since(305));
        assert_eq!(Vec::<u64>::new(), since(400));
        assert_eq!(
            5,
            bench
                .reader
                .frames_since(NOW.minus(Period::from_secs(u64::MAX / 10_000)), u64::MAX)
                .expect("read")
                .len()
        );
        // Of more than may be read, the newest; each has two bytes.
        let newest = |bytes_max| {
            let found = bench.reader.frames_since(Timestamp(0), bytes_max).expect("read");
            found.into_iter().map(|seq| seq.0).collect::<Vec<_>>()
        };
        assert_eq!((vec![5], vec![5], vec![4, 5]), (newest(0), newest(3), newest(4)));
    }

    #[test]
    fn a_reader_can_move_to_another_thread() {
        fn check<T: Send>() {}
        check::<StoreReader>();
        check::<Store>();
    }
}
