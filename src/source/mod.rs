//! Where bytes come from: log files followed over every kind of rotation, pipes and archives.
//!
//! ```text
//! SourceConfig ─▶ glob ─▶ sightings ─┐
//!                                    ├─▶ rescan: which file is which generation? ─▶ read ─▶ Block
//! Generation (from the store) ───────┘                                               │
//!        ▲                                 lines and positions, in one transaction   │
//!        └───────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A *generation* is the content of one log file from its first byte to its last, whatever names
//! and inodes it has on the way. [`Follower`] decides at each look which file holds which
//! generation (`rescan`), and hands out whole lines only (`read`).
//!
//! Invariants:
//! * A position is always the start of a line, or the end of a finished file.
//! * A position is trusted only after the content before it was seen to be unchanged: names,
//!   inodes and sizes are hints, the hashes of the head and of the bytes before the position decide.
//! * An older generation is read before its successor.
//! * What cannot be read again is counted and told ([`Notice`]), never passed over in silence.
//!
//! Reading order: [`config`], [`generation`], [`follow`] (with `rescan`, `admit` and `read`), then
//! [`lines`] for readers that are no followed files. There is no clock here and no logging except
//! in [`wake`]; the caller passes the time in and prints the notices.

pub mod config;
pub mod glob;
pub mod journal;
pub mod names;
pub mod identity;
pub mod generation;
pub mod status;
pub mod encoding;
pub mod block;
pub mod lines;
mod archive;
mod content;
mod tail;
pub mod follow;
mod look;
mod rescan;
mod archived;
mod admit;
mod read;
pub mod input;
pub mod wake;
pub mod listen;

#[cfg(test)]
mod archive_cases;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tamper_cases;

pub use block::Block;
pub use config::{Limits, SourceConfig, SourceError, Start};
pub use encoding::Encoding;
pub use follow::{Changes, Follower, Ready, SCAN_INTERVAL};
pub use generation::{Began, Generation, GenerationId};
pub use identity::Digest;
pub use input::{InputError, Inputs, find_inputs, open_input};
pub use lines::LineBlocks;
pub use status::{Level, Notice, NoticeKind, SourceStatus, Unreadable};
pub use wake::Wakeups;
