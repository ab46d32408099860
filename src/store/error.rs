//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::frame::Seq;

/// A failed operation of the store.
///
/// Variants are the different reactions of the caller; everything else is a field.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another daemon owns the directory: do not start.
    #[error("{path} is in use; {hint}")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it and what to do.
        hint: String,
    },

    /// The disk is full: stop reading the sources and try the same commit again later.
    #[error("no space left for {path}; free some, or lower `store.max_size`")]
    Full {
        /// The database.
        path: PathBuf,
    },

    /// Somebody else wrote for longer than we wait: try the same again.
    #[error("{path} stayed locked by another process; the operation can be repeated")]
    Busy {
        /// The database.
        path: PathBuf,
    },

    /// The database is not what was written. [`super::Store::open`] moves it aside and starts a
    /// new one, so a daemon that meets this while running should start again.
    #[error("{path} is damaged; the daemon moves it aside when it starts")]
    Damaged {
        /// The database.
        path: PathBuf,
    },

    /// One frame is not what was written; the frames after it are readable.
    #[error("frame {} in {path} is damaged; its lines cannot be delivered", seq.0)]
    DamagedFrame {
        /// The database.
        path: PathBuf,
        /// The frame.
        seq: Seq,
    },

    /// A newer gatewatch wrote the database: do not start.
    #[error(
        "{path} has schema version {found}, this gatewatch knows versions up to {known}; \
         install the newer version again, or set another `store.path`"
    )]
    TooNew {
        /// The database.
        path: PathBuf,
        /// Version in the database.
        found: u32,
        /// Newest version this program knows.
        known: u32,
    },

    /// There is no store to read.
    #[error("no store in {path}; start `gatewatch run` first, or correct `store.path`")]
    Missing {
        /// The directory that should hold it.
        path: PathBuf,
    },

    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// The attempted action, as an infinitive: `open`, `create`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason the operating system gave.
        source: io::Error,
    },

    /// SQLite refused, for a reason that has no reaction of its own.
    #[error("cannot {action} in {path}")]
    Sql {
        /// The attempted action, as an infinitive: `store frames`.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// The reason SQLite gave.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Sorts SQLite's codes by the reaction they need.
    pub(super) fn sql(action: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase};
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(DiskFull) => Self::Full { path },
            Some(DatabaseBusy) => Self::Busy { path },
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged { path },
            _ => Self::Sql { action, path, source },
        }
    }

    /// Completes an error of the operating system; a full disk keeps its own variant.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { action, path, source },
        }
    }
}
