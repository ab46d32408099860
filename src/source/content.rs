//! Where the bytes of a generation come from: a file, or the archive it was compressed into.
//!
//! Both are read by position. An archive is a stream underneath: what was just read is kept for the
//! steps back that a follower makes, and a step back further than that begins anew at its first
//! byte. Reading goes forward, so an archive is decompressed once.
//!
//! Invariant: at most [`KEEP_BYTES`] and what one read asks for are held of an archive.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::archive::{Input, MAGIC_BYTES, Method};

/// Bytes that are read by position.
pub(super) trait ReadAt {
    /// Reads from `offset` until `buffer` is full or the content ends.
    fn fill_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn fill_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// The content of a generation.
#[derive(Debug)]
pub(super) enum Content {
    /// A log file, which may grow.
    File(File),
    /// What is in an archive, which is finished.
    Archive(Archive),
}

impl Content {
    /// The log file, if it is one.
    pub(super) fn file(&self) -> Option<&File> {
        match self {
            Self::File(file) => Some(file),
            Self::Archive(_) => None,
        }
    }

    /// Gives the log file back, if it is one.
    pub(super) fn into_file(self) -> Option<File> {
        match self {
            Self::File(file) => Some(file),
            Self::Archive(_) => None,
        }
    }

    /// The archive, if it is one.
    pub(super) fn archive(&self) -> Option<&Archive> {
        match self {
            Self::File(_) => None,
            Self::Archive(archive) => Some(archive),
        }
    }
}

impl ReadAt for Content {
    fn fill_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => file.fill_at(buffer, offset),
            Self::Archive(archive) => archive.fill_at(buffer, offset),
        }
    }
}

/// Bytes before the last read that can be read again at no cost.
const KEEP_BYTES: u64 = 64 << 10;

/// Bytes decompressed in one step.
const STEP_BYTES: usize = 64 << 10;

/// What is in an archive, by position.
pub(super) struct Archive(RefCell<Stream>);

struct Stream {
    file: Arc<File>,
    method: &'static Method,
    input: Input,
    window: Vec<u8>,
    /// Position of the first byte of `window`.
    start: u64,
    ended: bool,
    /// Why it ended too early, if it did.
    failed: Option<String>,
}

impl Archive {
    /// Opens what `file` holds; `None` when it is no archive, or of a kind that is not read here.
    pub(super) fn open(file: File) -> io::Result<Option<Self>> {
        let mut magic = [0; MAGIC_BYTES];
        let read = file.fill_at(&mut magic, 0)?;
        let Some(method) = Method::of(&magic[..read]) else { return Ok(None) };
        let file = Arc::new(file);
        let Some(input) = method.decode(Box::new(Forward { file: Arc::clone(&file), at: 0 }))
        else {
            return Ok(None);
        };
        let (window, start, ended, failed) = (Vec::new(), 0, false, None);
        let stream = Stream { file, method, input: input?, window, start, ended, failed };
        Ok(Some(Self(RefCell::new(stream))))
    }

    /// Decompresses up to `to`, if there is so much, keeping what follows `from`; answers the
    /// position up to which the content is known.
    pub(super) fn look_ahead(&self, from: u64, to: u64) -> u64 {
        let mut stream = self.0.borrow_mut();
        stream.reach(from, to);
        stream.end()
    }

    /// The last byte has been seen.
    pub(super) fn has_ended(&self) -> bool {
        self.0.borrow().ended
    }

    /// Why it ended too early, if it did.
    pub(super) fn failed(&self) -> Option<String> {
        self.0.borrow().failed.clone()
    }
}

impl ReadAt for Archive {
    fn fill_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut stream = self.0.borrow_mut();
        if offset < stream.start {
            stream.rewind()?;
        }
        stream.reach(offset, offset + buffer.len() as u64);
        let Some(skipped) = usize::try_from(offset - stream.start).ok() else { return Ok(0) };
        let rest = stream.window.get(skipped..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

impl Stream {
    /// Position after the last byte of the window.
    fn end(&self) -> u64 {
        self.start + self.window.len() as u64
    }

    fn rewind(&mut self) -> io::Result<()> {
        let forward = Forward { file: Arc::clone(&self.file), at: 0 };
        let input = self.method.decode(Box::new(forward)).expect("it was opened this way before");
        (self.input, self.start, self.ended, self.failed) = (input?, 0, false, None);
        self.window.clear();
        Ok(())
    }

    fn reach(&mut self, from: u64, to: u64) {
        while self.end() < to && !self.ended {
            let unneeded = from.saturating_sub(KEEP_BYTES).saturating_sub(self.start);
            let unneeded = self.window.len().min(usize::try_from(unneeded).unwrap_or(usize::MAX));
            // Moving the rest is worth it now and then only.
            if self.window.len() / 2 <= unneeded {
                self.window.drain(..unneeded);
                self.start += unneeded as u64;
            }
            let filled = self.window.len();
            self.window.resize(filled + STEP_BYTES, 0);
            let read = loop {
                match self.input.read(&mut self.window[filled..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                    read => break read,
                }
            };
            self.window.truncate(filled + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => self.ended = true,
                Ok(_) => (),
                Err(error) => (self.ended, self.failed) = (true, Some(error.to_string())),
            }
        }
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = self.0.borrow();
        let mut archive = f.debug_struct("Archive");
        archive.field("method", &stream.method.name).field("end", &stream.end()).finish()
    }
}

/// Reads a file from its start on, whatever else reads it.
struct Forward {
    file: Arc<File>,
    at: u64,
}

impl Read for Forward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::io::{Chance, Seeded};

    fn archive(bytes: &[u8]) -> Archive {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        Archive::open(file).expect("readable").expect("an archive")
    }

    #[test]
    fn any_position_can_be_read_at_any_time() {
        let content: Vec<u8> = (0..200_000u32).flat_map(|n| n.to_le_bytes()).collect();
        let archive = archive(&zstd::encode_all(content.as_slice(), 1).expect("compressed"));
        let mut chance = Seeded::new(5);
        let mut buffer = vec![0; 100_000];
        for _ in 0..200 {
            let at = (chance.next_u64() % 900_000) as usize;
            let length = (chance.next_u64() % 100_000) as usize;
            let read = archive.fill_at(&mut buffer[..length], at as u64).expect("readable");
            let expected = content.get(at..).unwrap_or_default();
            assert_eq!(expected[..length.min(expected.len())], buffer[..read]);
        }
        assert_eq!(None, archive.failed());
    }

    #[test]
    fn little_is_held_of_a_large_archive() {
        let large = zstd::encode_all(io::repeat(b'x').take(50 << 20), 1).expect("compressed");
        let archive = archive(&large);
        let mut byte = [0];
        assert_eq!(1, archive.fill_at(&mut byte, (50 << 20) - 1).expect("readable"));
        assert!(archive.0.borrow().window.capacity() < 1 << 20);
        assert_eq!(0, archive.fill_at(&mut byte, 50 << 20).expect("readable"));
        assert!(archive.has_ended());
    }

    #[test]
    fn a_cut_archive_ends_where_it_is_cut_and_says_why() {
        let content = "a line of the log\n".repeat(10_000);
        let whole = zstd::encode_all(content.as_bytes(), 1).expect("compressed");
        let archive = archive(&whole[..whole.len() - 3]);
        archive.look_ahead(0, u64::MAX);
        assert!(archive.failed().is_some());
        assert!(Archive::open(tempfile::tempfile().expect("a file")).expect("readable").is_none());
    }
}
