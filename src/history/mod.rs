//! The archive: every event for 90 days and longer, in Parquet files that any tool reads.
//!
//! ```text
//! store ── frames behind the cursor ──▶ Archivist ─▶ Archive ─▶ history/date=2026-11-20/part-….parquet
//!                                                                        │
//!                          search, report, commands ◀── pages ── History::scan
//! ```
//!
//! | file | |
//! |---|---|
//! | `config` | the `[history]` table |
//! | `schema` | the columns, one row each |
//! | `rows` | events as rows |
//! | `archive` | [`Archive`]: parts are made, joined, removed |
//! | `task` | [`Archivist`]: the reader of the store that fills it |
//! | `scan`, `page` | [`History`]: reading, for everybody else |
//! | `filter` | which rows, and which groups of rows cannot have them |
//! | `merge` | several files in one order |
//! | `part`, `files` | one file; the folder |
//!
//! Invariants:
//! - Each event is in the archive once, by its id, whatever was killed, repeated or read in again.
//! - What lies in the folder of a day is whole. Nothing is ever changed in its place.
//! - A damaged part is set aside, counted and told; it stops neither writing nor reading.
//! - Memory depends on what is asked for, not on how much there is.

mod archive;
mod config;
mod error;
mod files;
mod filter;
mod merge;
mod page;
mod part;
mod rows;
mod scan;
mod schema;
mod task;

#[cfg(test)]
mod tests;

pub use archive::{Archive, Published, Removed, repeated_ids};
pub use config::{HistoryComplaint, HistoryConfig};
pub use error::HistoryError;
pub use files::{DayNumber, Part};
pub use filter::{Condition, Filter, Pattern, Words};
pub use page::{CellValue, Page};
pub use scan::{Beside, Damage, Extent, History, Order, Scan};
pub use schema::{CLIENT, COLUMNS, Column, ID, PATH, SCHEMA_VERSION, STATUS, TIME, USER};
pub use task::{Archivist, Decode, READER, Unarchived};
