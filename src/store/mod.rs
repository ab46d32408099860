//! The store: the only queue and the only checkpoint, one SQLite file.
//!
//! A [`Commit`] writes the raw lines that were read ([`Frame`]), the positions in their files, new
//! alerts and their messages in one transaction, so that they cannot disagree: after a crash at
//! any moment, either all of it is there or the lines are read again. Everything that leaves the
//! program does so through a [`StoreReader`] with a cursor of its own.
//!
//! | file | |
//! |---|---|
//! | `config` | the `[store]` table |
//! | `writer` | [`Store`]: the owner of the file, and what a commit does |
//! | `reader` | [`StoreReader`]: frames, cursors, ledger |
//! | `alerts`, `outbox` | what is asked of alerts, hours and messages |
//! | `answers` | what people say to alerts; silences |
//! | `members` | who logged in from where, as hashes |
//! | `attendance` | who was there on which day |
//! | `inventory` | how much of what it holds |
//! | `tokens` | what the tokens of sinks stand for, sealed, and who asked |
//! | `trim` | what goes, and when |
//! | `frame` | compression and its checksum |
//! | `database`, `schema` | the connection, the tables |
//!
//! Invariants:
//! - A directory has one [`Store`] at a time, held by a lock on the file `lock`. Readers need no
//!   lock; what they write is their own cursor, the state of messages and the answers of people.
//! - Frame numbers start at 1, have no gaps and are never used again. Frames are deleted from the
//!   oldest on, so those that are there follow each other.
//! - Damage never keeps the daemon from starting and never makes a reader stand still: a damaged
//!   file is moved aside, a damaged frame is handed out as such and passed.

mod alerts;
mod answers;
mod attendance;
mod config;
mod database;
mod error;
mod frame;
mod inventory;
mod letters;
mod members;
mod outbox;
mod reader;
mod rhythm;
mod schema;
mod tokens;
mod trim;
mod writer;

#[cfg(test)]
mod fixture;

pub use alerts::AlertFilter;
pub use config::{StoreConfig, WhenFull};
pub use error::StoreError;
pub use frame::{FRAME_BYTES_MAX, Frame, Seq};
pub use inventory::{Held, Inventory};
pub use letters::DeadLetter;
pub use outbox::{Message, NewMessage, OutboxCounts};
pub use reader::{Cursor, Ledger, ReaderCursor, SourceLedger, StoreReader, Verdict, Waiting};
pub use rhythm::SeriesRecord;
pub use tokens::{Reveal, SealedToken, TokenCounts};
pub use trim::{Trim, Trimmed};
pub use writer::{Commit, Store, StoreSize};
