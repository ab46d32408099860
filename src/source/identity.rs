//! How content is recognised: the hash of its head and of the bytes before a position.
//!
//! A name says little about a log file and an inode number is given out again as soon as a file
//! is deleted. Two short hashes read in a microsecond say more than both.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::content::ReadAt;
use super::encoding::Encoding;
use crate::units::Timestamp;

/// Bytes from the start of a file that identify it; fewer while it is shorter.
pub const HEAD_BYTES: usize = 1024;

/// Bytes before the position that must be unchanged for the position to be good.
pub const ANCHOR_BYTES: usize = 256;

/// Bytes that a fingerprint may cover.
pub const FINGERPRINT_BYTES: usize = 4096;

/// A SHA-256, written as 64 hexadecimal digits.
#[derive(Clone, Copy, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of nothing: before a file has bytes.
    pub fn empty() -> Self {
        Self::of(b"")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return Err("a digest has 64 hexadecimal digits");
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok();
            let value = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
            *byte = value.ok_or("a digest has 64 hexadecimal digits")?;
        }
        Ok(Self(digest))
    }
}

/// Where a file lies on its disk. Given out again after a deletion, so never proof by itself.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
pub struct FileId {
    /// Device of the file system.
    pub device: u64,
    /// Number of the file in it; 0 is no file.
    pub inode: u64,
}

/// What one look at a file's metadata says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Stat {
    pub(super) id: FileId,
    pub(super) size: u64,
    pub(super) modified: Timestamp,
    /// Last change of the inode in nanoseconds: also moved by `touch -d`.
    changed: i128,
    pub(super) links: u64,
}

impl Stat {
    pub(super) fn of(meta: &Metadata) -> Self {
        let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        let modified = nanoseconds(meta.mtime(), meta.mtime_nsec()).max(0);
        Self {
            id: FileId { device: meta.dev(), inode: meta.ino() },
            size: meta.size(),
            modified: Timestamp(u64::try_from(modified).unwrap_or(u64::MAX)),
            changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
            links: meta.nlink(),
        }
    }
}

/// The digest of `length` bytes from `offset` on; `None` where the file ends before.
pub(super) fn digest_at(
    content: &impl ReadAt,
    offset: u64,
    length: u32,
) -> io::Result<Option<Digest>> {
    let mut buffer = [0; HEAD_BYTES];
    let buffer = &mut buffer[..(length as usize).min(HEAD_BYTES)];
    let read = content.fill_at(buffer, offset)?;
    Ok((read == buffer.len()).then(|| Digest::of(buffer)))
}

/// The digest of a file's bytes up to and including the first line feed that ends a data line,
/// at most [`FINGERPRINT_BYTES`]; lines that begin with `#` are headers. `None` as long as more
/// bytes could change it.
///
/// `first` are the first bytes of a file of that encoding, after its byte order mark `mark`, which
/// counts too. `whole` says that no more will come.
pub(super) fn fingerprint(
    mark: &[u8],
    first: &[u8],
    encoding: Encoding,
    whole: bool,
) -> Option<Digest> {
    let first = [mark, &first[..first.len().min(FINGERPRINT_BYTES - mark.len())]].concat();
    let mut start = mark.len();
    while let Some(length) = encoding.first_line_end(&first[start..]) {
        let end = start + length;
        if !encoding.begins_with(&first[start..], b'#') {
            return Some(Digest::of(&first[..end]));
        }
        start = end;
    }
    (whole || first.len() == FINGERPRINT_BYTES).then(|| Digest::of(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = b"203.0.113.7 - alice [20/Nov/2026:07:46:41 +0000] \"GET /secret/?a=1 HTTP/1.1\" 401 179 \"-\" \"curl/8.5.0\"\n";

    fn of(first: &[u8], whole: bool) -> Option<Digest> {
        fingerprint(b"", first, Encoding::Bytes, whole)
    }

    #[test]
    fn a_byte_order_mark_and_utf_16_hide_no_header_line() {
        let mark = b"\xef\xbb\xbf";
        assert_eq!(None, fingerprint(mark, b"#Version: 1.0\n", Encoding::Bytes, false));
        let marked = Some(Digest::of(b"\xef\xbb\xbfx\n"));
        assert_eq!(marked, fingerprint(mark, b"x\ny\n", Encoding::Bytes, false));
        let wide = b"#\0\n\0x\0\n\0";
        assert_eq!(None, fingerprint(b"\xff\xfe", &wide[..6], Encoding::Utf16Le, false));
        let all = Some(Digest::of(&[b"\xff\xfe", wide.as_slice()].concat()));
        assert_eq!(all, fingerprint(b"\xff\xfe", wide, Encoding::Utf16Le, false));
    }

    #[test]
    fn the_fingerprint_is_the_one_the_event_ids_are_specified_with() {
        let expected = "8bad7903442aa0519fd4aa133fa40df6406ed7483b5d350f9449d74ceb807fe6";
        let twice = [LINE, LINE].concat();
        for text in [LINE, &twice] {
            assert_eq!(expected, of(text, false).expect("a line").to_string());
        }
        assert_eq!(None, of(&LINE[..100], false), "the line is not finished");
    }

    #[test]
    fn header_lines_alone_identify_nothing() {
        assert_eq!(None, of(b"#Version: 1.0\n#Fields: date\n", false));
        let whole = b"#Version: 1.0\n2026-11-20\n";
        assert_eq!(Some(Digest::of(whole)), of(whole, false));
        let long = vec![b'a'; 5000];
        assert_eq!(Some(Digest::of(&long[..4096])), of(&long, false));
    }

    #[test]
    fn a_digest_survives_json() {
        let digest = Digest::of(b"x");
        let text = serde_json::to_string(&digest).expect("text");
        assert_eq!(digest, serde_json::from_str(&text).expect("the same digest"));
        assert!(serde_json::from_str::<Digest>("\"zz\"").is_err());
    }
}
