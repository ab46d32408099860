//! The unit that leaves this module: whole lines with the position after them.

use std::path::Path;
use std::sync::Arc;

use super::encoding::Encoding;
use super::generation::GenerationId;
use super::identity::Digest;
use crate::units::Timestamp;

/// Bytes as read: whole lines only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    /// The generation they belong to; 0 for a reader that is no followed file.
    pub generation: GenerationId,
    /// Index of the source.
    pub source: usize,
    /// Name of the file, for messages.
    pub path: Arc<Path>,
    /// Position of the first byte in the file. The line at `bytes[i]` begins at `from + i`; in
    /// UTF-16, at `from` and the bytes that `bytes[..i]` take there.
    pub from: u64,
    /// Position to resume from once these lines are safe.
    ///
    /// Further than the bytes reach only after a cut line, whose rest was skipped.
    pub to: u64,
    /// Whole lines with their line feeds, in UTF-8 where the file is UTF-16. The last line lacks one only when the input ended
    /// without it, or when it was cut.
    pub bytes: Vec<u8>,
    /// The last line was longer than the limit: its head is here, its rest was skipped.
    pub truncated_last: bool,
    /// How the file writes its text.
    pub encoding: Encoding,
    /// Part of the event ids.
    pub fingerprint: Digest,
    /// Last change of the file: the reference for times written without a year.
    pub modified: Timestamp,
}
