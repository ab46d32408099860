//! The owner of the store: opens it, and writes what was read in one transaction.
//!
//! Invariant: when [`Store::commit`] returns an error, nothing of that commit is in the store, and
//! the same commit may be repeated.

use std::cell::RefCell;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use rustix::fs::{FlockOperation, flock};

use super::alerts;
use super::answers;
use super::attendance;
use super::database::{self, Database, FILE, signed, unsigned};
use super::error::StoreError;
use super::frame::{self, Frame, PackedFrames, Packer, Seq, Unpacker};
use super::members;
use super::outbox::{self, NewMessage};
use super::rhythm::{self, SeriesRecord};
use crate::engine::attendance::Sighting;
use crate::engine::detect::Alert;
use crate::engine::members::Member;
use crate::units::{ByteSize, Timestamp};

/// What one round of the pipeline leaves behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commit<'a> {
    /// Lines that were read; numbered in this order.
    pub frames: &'a [Frame],
    /// Positions in files: key and JSON, replaced.
    pub generations: &'a [(u64, String)],
    /// Alerts; a transition that is there already is ignored.
    pub alerts: &'a [Alert],
    /// Messages; one that was there before is ignored.
    pub outbox: &'a [NewMessage],
    /// Tallies by hour since 1970, as JSON, replaced.
    pub hours: &'a [(u32, String)],
    /// Series of the weekly rhythm: name, newest hour since 1970 and bytes, replaced.
    pub rhythm: &'a [SeriesRecord],
    /// Who was there; added to what is known of the same day.
    pub sightings: &'a [Sighting],
    /// Keys of files that are gone and read.
    pub expired_generations: &'a [u64],
    /// Who logged in from where; what is newer stays.
    pub members: &'a [Member],
}

impl Commit<'_> {
    /// Nothing to store.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
            && self.generations.is_empty()
            && self.alerts.is_empty()
            && self.outbox.is_empty()
            && self.hours.is_empty()
            && self.rhythm.is_empty()
            && self.sightings.is_empty()
            && self.expired_generations.is_empty()
            && self.members.is_empty()
    }
}

/// How much the store holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StoreSize {
    /// Bytes in use; what `store.max_size` limits. Space of deleted frames is used again first.
    pub bytes: u64,
    /// Bytes on disk, with free pages and the write-ahead log.
    pub file_bytes: u64,
    /// Frames.
    pub frames: u64,
    /// When the oldest frame was received.
    pub oldest: Option<Timestamp>,
}

/// The store, opened for the one daemon that may write lines into it.
#[derive(Debug)]
pub struct Store {
    pub(super) db: Database,
    packer: Packer,
    unpacker: RefCell<Unpacker>,
    packed: PackedFrames,
    set_aside: Option<PathBuf>,
    /// Held as long as the store lives; the kernel lets go of it when the process dies.
    _lock: File,
}

impl Store {
    /// Opens the store in `dir`, or makes one. A damaged one is moved aside: the daemon starts
    /// with an empty store, and reads again what the log files still hold.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| StoreError::io("create", dir, source))?;
        let lock = lock(dir)?;
        let path = dir.join(FILE);
        let (db, set_aside) = match Database::open_owned(&path) {
            Err(StoreError::Damaged { .. }) => {
                let aside = database::set_aside(dir)?;
                tracing::error!(
                    damaged = %aside.display(),
                    "the store was damaged and is moved aside; starting with an empty one, and \
                     reading again what the log files still hold"
                );
                (Database::open_owned(&path)?, Some(aside))
            }
            opened => (opened?, None),
        };
        let zstd = |source| StoreError::io("set up compression for", &path, source);
        Ok(Self {
            packer: Packer::new().map_err(zstd)?,
            unpacker: RefCell::new(Unpacker::new().map_err(zstd)?),
            packed: PackedFrames::default(),
            db,
            set_aside,
            _lock: lock,
        })
    }

    /// Where a damaged predecessor was moved to by [`Store::open`].
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    /// Stores all of `commit` or nothing, and returns the number of the newest durable frame.
    pub fn commit(&mut self, commit: &Commit<'_>, now: Timestamp) -> Result<Seq, StoreError> {
        if commit.is_empty() {
            return self.db.last_seq();
        }
        self.packed.fill(&mut self.packer, commit.frames);
        let (packer, packed) = (&mut self.packer, &self.packed);
        self.db.write("store what was read", |conn| {
            frame::insert(conn, commit.frames, packed)?;
            count(conn, commit.frames)?;
            replace_generations(conn, commit.generations, commit.expired_generations)?;
            alerts::insert(conn, commit.alerts)?;
            answers::note_news(conn, commit.alerts, now)?;
            outbox::insert(conn, commit.outbox, now)?;
            members::insert(conn, commit.members)?;
            alerts::replace_hours(conn, packer, commit.hours)?;
            rhythm::replace(conn, commit.rhythm)?;
            attendance::insert(conn, commit.sightings)?;
            database::last_seq(conn)
        })
    }

    /// Number of the newest frame; 0 before the first.
    pub fn last_seq(&self) -> Result<Seq, StoreError> {
        self.db.last_seq()
    }

    /// The positions in files: key and JSON.
    pub fn generations(&self) -> Result<Vec<(u64, String)>, StoreError> {
        let sql = "SELECT key, state FROM generations";
        self.db.run("read positions", |conn| {
            let pair =
                |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?));
            conn.prepare_cached(sql)?.query_map([], pair)?.collect()
        })
    }

    /// The tally of an hour, as JSON.
    pub fn hour(&self, hour: u32) -> Result<Option<String>, StoreError> {
        let unpacker = &mut *self.unpacker.borrow_mut();
        self.db.run("read the counts of an hour", |conn| alerts::hour(conn, unpacker, hour))
    }

    /// A value that outlives restarts, such as the agent's id.
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.db.meta(key)
    }

    /// Sets a value that outlives restarts.
    pub fn set_meta(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.db.set_meta(key, value)
    }

    /// How much the store holds.
    pub fn size(&self) -> Result<StoreSize, StoreError> {
        let pages = self.pages()?;
        let oldest = self.db.oldest()?;
        // Frames that are there follow each other, so counting them needs no walk over them.
        let frames = match oldest {
            Some((first, _)) => self.db.last_seq()?.0 + 1 - first.0,
            None => 0,
        };
        let log = self.db.path().with_file_name(format!("{FILE}-wal"));
        let log_bytes = log.metadata().map_or(0, |metadata| metadata.len());
        Ok(StoreSize {
            bytes: pages.used_bytes(),
            file_bytes: pages.all * pages.page_bytes + log_bytes,
            frames,
            oldest: oldest.map(|(_, received)| received),
        })
    }

    /// Whether the store has reached `max_size`, so that the sources must wait or frames must go.
    pub fn is_full(&self, max_size: ByteSize) -> Result<bool, StoreError> {
        Ok(max_size.0 <= self.pages()?.used_bytes())
    }

    pub(super) fn pages(&self) -> Result<Pages, StoreError> {
        self.db.run("read the size", |conn| {
            let value = |name| conn.pragma_query_value(None, name, |row| unsigned(row, 0));
            Ok(Pages {
                all: value("page_count")?,
                free: value("freelist_count")?,
                page_bytes: value("page_size")?,
            })
        })
    }
}

/// The pages of the database file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages {
    pub(super) all: u64,
    pub(super) free: u64,
    pub(super) page_bytes: u64,
}

impl Pages {
    pub(super) fn used_bytes(self) -> u64 {
        (self.all - self.free) * self.page_bytes
    }
}

/// Takes the lock of `dir` and leaves our process number in it, for the next one's message.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| StoreError::io("open", &path, source))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // The number only helps the reader of the message, who can do without.
            let _ = file.take(20).read_to_string(&mut holder);
            let process = holder.trim().parse::<u32>().map_or_else(
                |_| "another process".to_owned(),
                |number| format!("process {number}"),
            );
            let hint = format!("stop {process}, or set another `store.path`");
            return Err(StoreError::Locked { path, hint });
        }
        Err(errno) => return Err(StoreError::io("lock", &path, io::Error::from(errno))),
    }
    let number = |mut file: &File| {
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())
    };
    // A full disk must not keep the daemon from starting: it may be what frees the disk.
    let _ = number(&file);
    Ok(file)
}

/// Keeps the running totals of each source in step with its frames.
fn count(conn: &Connection, frames: &[Frame]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO ledger (source, frames, lines, bytes) VALUES (?1, 1, ?2, ?3)
         ON CONFLICT (source) DO UPDATE SET frames = frames + 1,
             lines = lines + excluded.lines, bytes = bytes + excluded.bytes",
    )?;
    for frame in frames {
        statement.execute(params![
            frame.source,
            signed(frame.lines),
            signed(frame.bytes.len() as u64)
        ])?;
    }
    Ok(())
}

fn replace_generations(
    conn: &Connection,
    generations: &[(u64, String)],
    expired: &[u64],
) -> rusqlite::Result<()> {
    let mut replace = conn.prepare_cached(
        "INSERT INTO generations (key, state) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET state = excluded.state",
    )?;
    for (key, state) in generations {
        replace.execute(params![key.cast_signed(), state])?;
    }
    let mut delete = conn.prepare_cached("DELETE FROM generations WHERE key = ?1")?;
    for key in expired {
        delete.execute([key.cast_signed()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::StoreReader;
    use super::super::fixture::{
        Bench, NOW, alert, frame, frames, message, open_plainly, sighting,
    };
    use super::*;
    use crate::engine::detect::{AlertState, Severity};
    use crate::engine::members::day_of;

    #[test]
    fn a_frame_comes_back_as_it_was() {
        let mut bench = Bench::new();
        let mut expected = frame("one\ntwo\n");
        expected.truncated_last = true;
        expected.memory = r#"{"sessions":[]}"#.to_owned();
        bench
            .store
            .commit(&Commit { frames: &[expected.clone()], ..Commit::default() }, NOW)
            .expect("commit");
        expected.seq = Seq(1);
        assert_eq!(vec![expected], frames(&bench.reader));
    }

    #[test]
    fn numbers_have_no_gaps_and_readers_see_a_commit_whole() {
        let mut bench = Bench::new();
        assert_eq!(None, bench.reader.frame_after(Seq(0)).expect("read"));
        assert_eq!(Seq(2), bench.store_lines(&["a\n", "b\n"]));
        assert_eq!(Seq(3), bench.store_lines(&["c\n"]));
        assert_eq!(Seq(3), bench.store.commit(&Commit::default(), NOW).expect("nothing to do"));
        let expected = [(1, "a\n".to_owned()), (2, "b\n".to_owned()), (3, "c\n".to_owned())];
        assert_eq!(expected.to_vec(), bench.lines());
        assert_eq!(Seq(3), bench.reader.last_seq().expect("read"));
    }

    #[test]
    fn a_reader_sees_nothing_before_the_commit() {
        let bench = Bench::new();
        let writer = bench.tamper();
        writer.execute_batch("BEGIN IMMEDIATE").expect("begin");
        let mut packer = Packer::new().expect("zstd");
        let mut packed = PackedFrames::default();
        let lines = [frame("a\n")];
        packed.fill(&mut packer, &lines);
        frame::insert(&writer, &lines, &packed).expect("insert");
        assert_eq!(Seq(0), bench.reader.last_seq().expect("read"));
        assert_eq!(None, bench.reader.frame_after(Seq(0)).expect("read"));
        writer.execute_batch("COMMIT").expect("commit");
        assert_eq!(1, frames(&bench.reader).len());
    }

    /// One commit with something in each of its parts.
    fn commit_everything(store: &mut Store) -> Result<Seq, StoreError> {
        let commit = Commit {
            frames: &[frame("a\n"), frame("b\n")],
            generations: &[(u64::MAX, "{}".to_owned())],
            alerts: &[alert("a1", AlertState::Firing, Severity::High, NOW)],
            outbox: &[message("a1", NOW)],
            hours: &[(7, "{}".to_owned())],
            rhythm: &[("requests@www".to_owned(), 7, vec![1, 2])],
            sightings: &[sighting("a")],
            expired_generations: &[3],
            members: &[Member { net: [7; 16], user: [7; 8], day: day_of(NOW) }],
        };
        store.commit(&commit, NOW)
    }

    /// Everything that [`commit_everything`] changes, as text.
    fn state(bench: &Bench) -> String {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            bench.lines(),
            bench.reader.sightings(sighting("a").day, sighting("a").day).expect("who was there"),
            bench.store.generations().expect("generations"),
            bench.reader.alerts_after(0, 10).expect("alerts"),
            bench.reader.outbox_due("mail", NOW, 10).expect("outbox"),
            bench.reader.hours(0, 10).expect("hours"),
            bench.reader.rhythm().expect("rhythm"),
            bench.reader.ledger().expect("ledger"),
            bench.store.members([0; 16], [255; 16], NOW).expect("members"),
        )
    }

    #[test]
    fn a_commit_that_fails_in_any_part_leaves_nothing_and_can_be_repeated() {
        let failures = [
            "AFTER INSERT ON frames WHEN new.seq = 5",
            "BEFORE INSERT ON ledger",
            "BEFORE INSERT ON generations",
            "BEFORE DELETE ON generations",
            "BEFORE INSERT ON alerts",
            "BEFORE INSERT ON outbox",
            "BEFORE INSERT ON members",
            "BEFORE INSERT ON hours",
            "BEFORE INSERT ON rhythm",
        ];
        for failure in failures {
            let mut bench = Bench::new();
            bench.store_lines(&["x\n", "y\n", "z\n"]);
            bench
                .store
                .commit(&Commit { generations: &[(3, "{}".to_owned())], ..Commit::default() }, NOW)
                .expect("commit");
            let before = state(&bench);
            let tamper = bench.tamper();
            let trigger = format!(
                "CREATE TRIGGER planted {failure} BEGIN SELECT RAISE(ABORT, 'planted'); END"
            );
            tamper.execute_batch(&trigger).expect("plant a failure");
            let error = commit_everything(&mut bench.store).expect_err(failure);
            assert!(matches!(error, StoreError::Sql { .. }), "{failure}: {error:?}");
            assert_eq!(before, state(&bench), "{failure}");

            tamper.execute_batch("DROP TRIGGER planted").expect("remove the failure");
            assert_eq!(Seq(5), commit_everything(&mut bench.store).expect("now it works"));
        }
    }

    #[test]
    fn what_is_stored_survives_closing() {
        let Bench { dir, mut store, reader } = Bench::new();
        commit_everything(&mut store).expect("commit");
        store.set_meta("agent", "one").expect("meta");
        store.set_meta("agent", "two").expect("meta");
        drop((store, reader));

        let store = Store::open(dir.path()).expect("open again");
        assert_eq!(None, store.set_aside());
        assert_eq!(Seq(2), store.last_seq().expect("read"));
        assert_eq!(Some("two".to_owned()), store.meta("agent").expect("meta"));
        assert_eq!(vec![(u64::MAX, "{}".to_owned())], store.generations().expect("generations"));
        assert_eq!(Some("{}".to_owned()), store.hour(7).expect("hour"));
        assert_eq!(None, store.hour(8).expect("hour"));
    }

    #[test]
    fn a_second_owner_is_refused_and_told_who_the_first_is() {
        let bench = Bench::new();
        let message = Store::open(bench.dir.path()).expect_err("locked").to_string();
        let expected = format!("stop process {}", std::process::id());
        assert!(message.contains("/lock is in use") && message.contains(&expected), "{message}");

        let Bench { dir, store, reader: _reader } = bench;
        drop(store);
        Store::open(dir.path()).expect("the lock went with its owner");
    }

    #[test]
    fn only_the_owner_of_the_files_can_read_them() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = parent.path().join("made/by/us");
        let mut store = Store::open(&dir).expect("a new store");
        commit_everything(&mut store).expect("commit");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(0o700, mode(&dir));
        for name in ["gatewatch.db", "gatewatch.db-wal", "gatewatch.db-shm", "lock"] {
            assert_eq!(0o600, mode(&dir.join(name)), "{name}");
        }
    }

    #[test]
    fn a_full_disk_is_named_and_passes() {
        let mut bench = Bench::new();
        bench.store_lines(&["a\n"]);
        let limit = |pages: u64| {
            move |conn: &Connection| {
                conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            }
        };
        bench.store.db.run("limit", limit(1)).expect("limit");
        let noise = noise(200_000);
        let frames = [Frame { bytes: noise.clone(), ..frame("") }];
        let commit = Commit { frames: &frames, ..Commit::default() };
        let error = bench.store.commit(&commit, NOW).expect_err("full");
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert!(error.to_string().contains("store.max_size"), "{error}");
        assert_eq!(1, bench.lines().len());

        bench.store.db.run("limit", limit(1 << 20)).expect("limit");
        assert_eq!(Seq(2), bench.store.commit(&commit, NOW).expect("there is room again"));
        assert_eq!(noise, super::super::fixture::frames(&bench.reader)[1].bytes);
    }

    /// Bytes that zstd cannot make smaller.
    fn noise(count: usize) -> Vec<u8> {
        use crate::io::{Chance, Seeded};
        let mut chance = Seeded::new(11);
        (0..count).map(|_| (chance.next_u64() >> 32) as u8).collect()
    }

    #[test]
    fn a_damaged_file_is_moved_aside_and_only_the_newest_is_kept() {
        let Bench { dir, mut store, reader } = Bench::new();
        commit_everything(&mut store).expect("commit");
        drop((store, reader));
        let path = dir.path().join(FILE);
        for round in 1..=2 {
            fs::write(&path, format!("not a database, round {round}").repeat(100)).expect("write");
            let message = StoreReader::open(dir.path()).expect_err("damaged").to_string();
            assert!(message.contains("moves it aside"), "{message}");
            let mut store = Store::open(dir.path()).expect("starting is never refused");
            let aside = store.set_aside().expect("moved").to_owned();
            let kept = fs::read_to_string(aside).expect("kept");
            assert!(kept.starts_with(&format!("not a database, round {round}")), "{kept}");
            assert_eq!(Seq(2), commit_everything(&mut store).expect("the new store works"));
        }
        let is_aside = |name: &str| name.contains(".damaged-") && !name.ends_with("-wal");
        let names = fs::read_dir(dir.path()).expect("list");
        let asides = names.flatten().filter(|entry| is_aside(&entry.file_name().to_string_lossy()));
        assert_eq!(1, asides.count());
    }

    #[test]
    fn damage_met_while_running_is_found_at_the_next_start() {
        let Bench { dir, mut store, reader } = Bench::new();
        let frames: Vec<Frame> =
            (0..50).map(|_| Frame { bytes: noise(20_000), ..frame("") }).collect();
        store.commit(&Commit { frames: &frames, ..Commit::default() }, NOW).expect("commit");
        let root: u64 = open_plainly(dir.path())
            .query_row(
                "SELECT rootpage FROM sqlite_schema WHERE name = 'frames_by_time'",
                [],
                |row| row.get::<_, i64>(0),
            )
            .expect("the index has a page")
            .cast_unsigned();
        drop((store, reader));
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).expect("read");
        bytes[(root as usize - 1) * 8192..][..8192].fill(0xff);
        fs::write(&path, bytes).expect("write");

        let mut store = Store::open(dir.path()).expect("a start does not read every page");
        assert_eq!(None, store.set_aside());
        let error = commit_everything(&mut store).expect_err("the index is in the way");
        assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        drop(store);
        let mut store = Store::open(dir.path()).expect("starting is never refused");
        assert!(store.set_aside().is_some());
        commit_everything(&mut store).expect("the new store works");
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let Bench { dir, store, reader } = Bench::new();
        drop((store, reader));
        open_plainly(dir.path()).pragma_update(None, "user_version", 99).expect("tamper");
        let message = Store::open(dir.path()).expect_err("too new").to_string();
        let known = format!("up to {}", super::super::schema::VERSION);
        assert!(message.contains("schema version 99") && message.contains(&known), "{message}");
        assert!(matches!(StoreReader::open(dir.path()), Err(StoreError::TooNew { found: 99, .. })));
        assert!(dir.path().join(FILE).exists());
    }

    #[test]
    fn the_totals_agree_with_the_frames() {
        let mut bench = Bench::new();
        bench.store_lines(&["a\n", "b\nc\n"]);
        let other = Frame { source: "mail".to_owned(), ..frame("d\n") };
        bench.store.commit(&Commit { frames: &[other], ..Commit::default() }, NOW).expect("commit");
        let ledger = bench.reader.ledger().expect("ledger");
        assert_eq!((3, 4, 8), (ledger.frames, ledger.lines, ledger.bytes));
        let by_source: Vec<_> =
            ledger.sources.iter().map(|source| (source.source.as_str(), source.lines)).collect();
        assert_eq!(vec![("mail", 1), ("web", 3)], by_source);
        let size = bench.store.size().expect("size");
        assert_eq!((3, Some(NOW)), (size.frames, size.oldest));
        assert!(0 < size.bytes && size.bytes <= size.file_bytes);
        assert!(bench.store.is_full(ByteSize(size.bytes)).expect("size"));
        assert!(!bench.store.is_full(ByteSize(size.bytes + 1)).expect("size"));
    }
}
