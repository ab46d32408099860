//! The content of one log file from its first byte to its last, and how far it has been read.
//!
//! A [`Generation`] is a plain value. The store writes it in the same transaction as the lines it
//! covers, so that a crash at any moment leaves a position and its lines, or neither.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::content::ReadAt;
use super::encoding::Encoding;
use super::identity::{ANCHOR_BYTES, Digest, FileId, HEAD_BYTES, Stat, digest_at};
use crate::units::Timestamp;

/// Names one generation among all of one store; later ones are higher.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct GenerationId(pub u64);

/// Why a generation began.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Began {
    /// A file seen for the first time.
    Discovered,
    /// The successor of a file that was renamed or deleted.
    Rotated,
    /// The same file was cut to nothing and written anew.
    Truncated,
    /// Another content stood under the same name and inode.
    Replaced,
    /// The inode of a deleted file was given to this one.
    InodeReused,
    /// Written and rotated away between two looks; found under its rotated name.
    Missed,
    /// Rotated away before its base was first seen: known, so as not to be read.
    History,
}

/// What a restart needs to go on with a file: to be stored with the lines that were read from it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Key of this value in the store.
    pub id: GenerationId,
    /// Stable name of the source.
    pub source: String,
    /// Where the file was last seen.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// The name it was written under; its rotated names are searched beside this.
    #[serde(with = "path_text")]
    pub base: PathBuf,
    /// Device and inode where it was last seen.
    #[serde(flatten)]
    pub file: FileId,
    /// Bytes that `head_hash` covers: all of the file up to 1 KiB.
    pub head_len: u32,
    /// Digest of the first `head_len` bytes.
    pub head_hash: Digest,
    /// Bytes that `anchor_hash` covers: all before `offset` up to 256.
    pub anchor_len: u32,
    /// Digest of the `anchor_len` bytes before `offset`.
    pub anchor_hash: Digest,
    /// Next byte to read: the start of a line, or the end of a finished file.
    pub offset: u64,
    /// Size at the last look.
    pub size: u64,
    /// Last change of the file at the last look.
    pub modified: Timestamp,
    /// How it writes its text; `None` until its first bytes say so.
    #[serde(default)]
    pub encoding: Option<Encoding>,
    /// Part of the event ids; `None` until the first data line is whole.
    pub fingerprint: Option<Digest>,
    /// Reading order among the generations of one base.
    pub rank: u64,
    /// Rotated away or deleted, and read to its end.
    pub finished: bool,
    /// Why it began.
    pub began: Began,
    /// Bytes known to be lost: seen in the file, but gone before they were read.
    pub lost_bytes: u64,
    /// NUL bytes at the start that were passed over.
    pub nul_bytes: u64,
    /// Lines longer than the limit, of which only the head was read.
    pub long_lines: u64,
    /// What the reader of the lines up to `offset` has to know of them to go on; its own words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Generation {
    /// Bytes at the last look that have not been read.
    pub fn unread(&self) -> u64 {
        self.size.saturating_sub(self.offset)
    }

    /// True when there is content to recognise the file by.
    pub(super) fn is_identified(&self) -> bool {
        0 < self.head_len
    }

    /// True when `file` holds all the content that was read, unchanged. Vacuous for an empty one.
    pub(super) fn is_in(&self, file: &impl ReadAt) -> io::Result<bool> {
        Ok(Some(self.head_hash) == digest_at(file, 0, self.head_len)?
            && Some(self.anchor_hash)
                == digest_at(file, self.offset - u64::from(self.anchor_len), self.anchor_len)?)
    }

    /// Takes the longer head of a file that has grown.
    pub(super) fn grow_head(&mut self, file: &impl ReadAt, size: u64) -> io::Result<bool> {
        let length = size.min(HEAD_BYTES as u64) as u32;
        if length <= self.head_len {
            return Ok(false);
        }
        let Some(hash) = digest_at(file, 0, length)? else { return Ok(false) };
        (self.head_len, self.head_hash) = (length, hash);
        Ok(true)
    }

    /// Moves the position to `offset` and takes the bytes before it as the new anchor.
    pub(super) fn move_to(&mut self, file: &impl ReadAt, offset: u64) -> io::Result<()> {
        let length = offset.min(ANCHOR_BYTES as u64) as u32;
        let hash = digest_at(file, offset - u64::from(length), length)?;
        let hash = hash.ok_or(io::ErrorKind::UnexpectedEof)?;
        (self.offset, self.anchor_len, self.anchor_hash) = (offset, length, hash);
        Ok(())
    }

    /// Takes note of what the file looks like now.
    pub(super) fn note(&mut self, stat: &Stat) {
        (self.file, self.size, self.modified) = (stat.id, stat.size, stat.modified);
    }
}

/// Paths in JSON: text, or the bytes where a path is no UTF-8. Neither may stop a commit.
mod path_text {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Path {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(
        path: &std::path::Path,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => to.serialize_str(text),
            None => Path::Bytes(path.as_os_str().as_bytes().to_vec()).serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(match Path::deserialize(from)? {
            Path::Text(text) => PathBuf::from(text),
            Path::Bytes(bytes) => PathBuf::from(OsString::from_vec(bytes)),
        })
    }
}
