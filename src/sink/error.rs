//! What can keep a sink from passing events on.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::tls::TlsError;
use super::veil::KeyError;
use crate::store::StoreError;
use crate::units::Period;

/// A frame that was not delivered. The reaction is the same for all: wait and send it again; the
/// variants differ in what the operator has to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The receiver cannot be reached.
    #[error("cannot {action} {address}")]
    Network {
        /// The attempted action, as an infinitive with its preposition: `connect to`.
        action: &'static str,
        /// The address as configured.
        address: String,
        /// The reason the operating system gave.
        source: io::Error,
    },

    /// The receiver takes nothing any more, or the network swallows what is sent.
    #[error("{address} did not answer within {limit} when asked to {action}")]
    Timeout {
        /// The address as configured.
        address: String,
        /// What was waited for.
        action: &'static str,
        /// How long was waited.
        limit: Period,
    },

    /// The receiver ended the connection in the middle of a frame.
    #[error("{address} closed the connection")]
    Closed {
        /// The address as configured.
        address: String,
    },

    /// The receiver answered, and did not take what was sent.
    #[error("{address} refused: {answer}{hint}")]
    Refused {
        /// The address as configured.
        address: String,
        /// What it said, made safe to print.
        answer: String,
        /// What to do about it, with its separator; or nothing.
        hint: &'static str,
        /// How long it wants to be left alone.
        pause: Option<Period>,
    },

    /// The receiver cannot be believed, or does not believe us.
    #[error("no TLS with {address}")]
    Tls {
        /// The address as configured.
        address: String,
        /// Why, and what helps.
        source: TlsError,
    },

    /// The receiver does not speak the protocol.
    #[error("{address} does not speak RELP: {reason}; check the port")]
    Protocol {
        /// The address as configured.
        address: String,
        /// What was wrong.
        reason: &'static str,
    },

    /// The disk is full.
    #[error("no space left for {path}; free some, or lower the sink's `max_size` or `keep`")]
    Full {
        /// The file being written.
        path: PathBuf,
    },

    /// The operating system refused.
    #[error("cannot {action} {path}")]
    File {
        /// The attempted action, as an infinitive: `open`, `sync`, `rename`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason the operating system gave.
        source: io::Error,
    },

    /// There is no key to make tokens with, so nothing may leave.
    #[error(transparent)]
    Key(#[from] KeyError),

    /// The store did not hand out the frame, or did not take the cursor.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SinkError {
    /// Sorts the system's errors about a file by the reaction they need.
    pub(super) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::File { action, path, source },
        }
    }

    /// How long the receiver asked to be left alone.
    pub(crate) fn pause(&self) -> Option<Period> {
        match self {
            Self::Refused { pause, .. } => *pause,
            _ => None,
        }
    }

    /// The whole story in one line: the error and what it was caused by.
    pub fn words(&self) -> String {
        let mut words = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            words.push_str(": ");
            words.push_str(&error.to_string());
            source = error.source();
        }
        words
    }
}
