//! One connection to the database file, with everything that has to be set on it.
//!
//! Invariant: every statement of the store goes through [`Database::run`] or
//! [`Database::write`], so each SQLite error is sorted in one place, and damage that shows up at
//! run time is written down for the next start.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior};

use super::error::StoreError;
use super::frame::Seq;
use super::schema;
use crate::units::Timestamp;

/// Name of the database in its directory.
pub(super) const FILE: &str = "gatewatch.db";

/// Longest wait for another connection's transaction. They take milliseconds; a backup by
/// SQLite's own tools may take seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// More than the number of different statements of one connection.
const STATEMENTS_CACHED: usize = 64;

/// What every connection needs. `trusted_schema` and `cell_size_check` keep a damaged or forged
/// file from doing more than failing.
const CONNECTION_SETTINGS: &str = "
    PRAGMA foreign_keys = OFF;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
    PRAGMA temp_store = MEMORY;
";

/// What the owner of the file decides. The order matters: the page size and the vacuum mode
/// are fixed once the file has content. Pages of 8 KiB suit frames of 4 to 200 KiB, and the log
/// shrinks back after a long reader made it grow.
const OWNER_SETTINGS: &str = "
    PRAGMA page_size = 8192;
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -8192;
    PRAGMA journal_size_limit = 67108864;
";

/// A reader's writes are cursors and outbox marks. A power cut may take back the last of them,
/// which repeats a delivery but loses none; so they need not wait for the disk.
const READER_SETTINGS: &str = "PRAGMA synchronous = NORMAL;";

/// Tables that are small and whose loss would hurt most: looked over at every start.
const CHECKED_TABLES: [&str; 5] = ["meta", "generations", "ledger", "cursors", "outbox"];

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    conn: Connection,
    path: PathBuf,
}

impl Database {
    /// Opens or makes the database at `path`, brings its schema up to date and looks it over.
    pub(super) fn open_owned(path: &Path) -> Result<Self, StoreError> {
        // SQLite would take the umask's mode; its log and index files copy the database's.
        let created = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| StoreError::io("open", path, source))?;
        drop(created);
        let database = Self::connect(path)?;
        database.check_version()?;
        database.run("set up the database", |conn| {
            conn.execute_batch(OWNER_SETTINGS)?;
            schema::migrate(conn)
        })?;
        database.check()?;
        Ok(database)
    }

    /// Opens the database in `dir` that a daemon made.
    pub(super) fn open_existing(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let missing = || StoreError::Missing { path: dir.to_owned() };
        if !path.try_exists().map_err(|source| StoreError::io("open", &path, source))? {
            return Err(missing());
        }
        let database = Self::connect(&path)?;
        // An older schema is brought up to date by the daemon, so the advice is the same.
        if database.check_version()? < schema::VERSION {
            return Err(missing());
        }
        database.run("set up the connection", |conn| conn.execute_batch(READER_SETTINGS))?;
        Ok(database)
    }

    fn connect(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connect = || {
            let conn = Connection::open_with_flags(path, flags)?;
            conn.busy_timeout(BUSY_TIMEOUT)?;
            conn.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
            conn.execute_batch(CONNECTION_SETTINGS)?;
            Ok(conn)
        };
        let conn =
            connect().map_err(|source| StoreError::sql("open the database", path, source))?;
        Ok(Self { conn, path: path.to_owned() })
    }

    fn check_version(&self) -> Result<u32, StoreError> {
        let found = self.run("read the schema version", schema::version)?;
        if schema::VERSION < found {
            let path = self.path.clone();
            return Err(StoreError::TooNew { path, found, known: schema::VERSION });
        }
        Ok(found)
    }

    /// Looks for damage: always in the small tables and at both ends of the frames; in the whole
    /// file only after damage was met at run time, because that reads every page.
    fn check(&self) -> Result<(), StoreError> {
        let suspect = suspect_mark(&self.path);
        let whole = suspect.exists();
        let sound = self.run("check the database", |conn| {
            if !schema::is_intact(conn)? {
                return Ok(false);
            }
            if whole {
                return is_sound(conn, None);
            }
            for table in CHECKED_TABLES {
                if !is_sound(conn, Some(table))? {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if !sound {
            return Err(self.damaged());
        }
        self.oldest()?;
        self.last_seq()?;
        if whole && let Err(source) = fs::remove_file(&suspect) {
            return Err(StoreError::io("remove", &suspect, source));
        }
        Ok(())
    }

    /// Where the database is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `statements`; `action` completes "cannot … in PATH".
    pub(super) fn run<T>(
        &self,
        action: &'static str,
        statements: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let failed = |source| {
            let error = StoreError::sql(action, &self.path, source);
            if matches!(error, StoreError::Damaged { .. }) { self.damaged() } else { error }
        };
        statements(&self.conn).map_err(failed)
    }

    /// Runs `statements` in one transaction: all of them happen, or none.
    pub(super) fn write<T>(
        &self,
        action: &'static str,
        statements: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.run(action, |conn| {
            // Taking the write lock first makes a second writer wait here, where it is safe to.
            let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
            let value = statements(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    /// The error for damage, which is also written down for the next start.
    fn damaged(&self) -> StoreError {
        // Without the mark the next start finds less, but this error says what there is to say.
        let _ = fs::write(suspect_mark(&self.path), b"");
        StoreError::Damaged { path: self.path.clone() }
    }

    /// Number of the newest frame ever stored; 0 before the first.
    pub(super) fn last_seq(&self) -> Result<Seq, StoreError> {
        self.run("read the last frame's number", last_seq)
    }

    /// Number of the oldest frame that is still there, and when it was received.
    pub(super) fn oldest(&self) -> Result<Option<(Seq, Timestamp)>, StoreError> {
        let sql = "SELECT seq, received FROM frames ORDER BY seq LIMIT 1";
        self.run("read the oldest frame's number", |conn| {
            let oldest = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
            conn.prepare_cached(sql)?.query_row([], oldest).optional()
        })
    }

    /// A value of the `meta` table.
    pub(super) fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        self.run("read a setting", |conn| {
            conn.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()
        })
    }

    /// Sets a value of the `meta` table.
    pub(super) fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.run("store a setting", |conn| conn.prepare_cached(sql)?.execute([key, value]))?;
        Ok(())
    }
}

/// [`Database::last_seq`] within a transaction.
pub(super) fn last_seq(conn: &Connection) -> rusqlite::Result<Seq> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'frames'";
    let last = conn.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    Ok(last.unwrap_or_default())
}

/// Whether SQLite finds the structure of `table` (or of all) in order.
pub(super) fn is_sound(conn: &Connection, table: Option<&str>) -> rusqlite::Result<bool> {
    let sql = table.map_or_else(
        || "PRAGMA quick_check(1)".to_owned(),
        |table| format!("PRAGMA quick_check({table})"),
    );
    let verdict: String = conn.query_row(&sql, [], |row| row.get(0))?;
    Ok(verdict == "ok")
}

fn suspect_mark(path: &Path) -> PathBuf {
    path.with_extension("db.suspect")
}

/// Moves the damaged database aside and returns where to. The name says when it was last
/// written. Only the newest one is kept, so that repeated damage cannot fill the disk.
pub(super) fn set_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let path = dir.join(FILE);
    let prefix = format!("{FILE}.damaged-");
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let old = entry.path();
            fs::remove_file(&old).map_err(|source| StoreError::io("remove", &old, source))?;
        }
    }
    let written = fs::metadata(&path)
        .and_then(|metadata| metadata.modified())
        .map_err(|source| StoreError::io("look at", &path, source))?;
    let since = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let aside = dir.join(format!("{prefix}{}", since.as_millis()));
    fs::rename(&path, &aside).map_err(|source| StoreError::io("move aside", &path, source))?;
    // A log that belongs to the damaged file must not be played into the new one. Should we die
    // before this: SQLite drops a log that it finds beside an empty database.
    let log = dir.join(format!("{FILE}-wal"));
    let aside_log = dir.join(format!("{}-wal", aside.file_name().unwrap_or_default().display()));
    allow_missing(fs::rename(&log, &aside_log))
        .map_err(|source| StoreError::io("move aside", &log, source))?;
    for leftover in [dir.join(format!("{FILE}-shm")), suspect_mark(&path)] {
        allow_missing(fs::remove_file(&leftover))
            .map_err(|source| StoreError::io("remove", &leftover, source))?;
    }
    Ok(aside)
}

fn allow_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// SQLite's integers are signed: what is beyond their range becomes their end. No count gets
/// there, and a moment after the year 2262 is a forged one.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Column `index` as a count; a negative one is damage.
pub(super) fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(index)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, value))
}

macro_rules! stored_as_integer {
    ($type:ident) => {
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(signed(self.0).into())
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let value = value.as_i64()?;
                u64::try_from(value).map(Self).map_err(|_| FromSqlError::OutOfRange(value))
            }
        }
    };
}

stored_as_integer!(Seq);
stored_as_integer!(Timestamp);
