//! What can go wrong with the archive, in words.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Completes "failed to archive: …", or stands alone.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A file or a directory.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The reason the operating system gave.
        source: io::Error,
    },
    /// A part cannot be read.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What its reader found.
        reason: String,
    },
    /// Making a part failed.
    #[error("cannot make a part of the archive")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Putting columns together failed.
    #[error("cannot put columns together")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HistoryError {
    /// An error of `action` on `path`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// There is no room left on the disk.
    pub fn is_full(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                let kind = error.kind();
                return matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            }
            cause = error.source();
        }
        false
    }

    /// The whole chain of reasons in one line.
    pub fn words(&self) -> String {
        let mut words = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !words.contains(&text) {
                words.push_str(": ");
                words.push_str(&text);
            }
            cause = error.source();
        }
        words
    }
}
