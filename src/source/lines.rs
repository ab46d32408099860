//! The one rule of where lines end, and [`LineBlocks`], which cuts any reader by it.
//!
//! No work is done per line: the last line feed of a block is found from its end, and a line over
//! the limit shows as a stretch without a line feed, so one look back per stretch is enough.
//!
//! Invariant: memory stays at one block plus one line, however long a line is.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use memchr::{memchr, memrchr};

use super::block::Block;
use super::generation::GenerationId;
use super::identity::fingerprint;
use crate::units::Timestamp;

/// The byte order mark some writers put before the first line.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Size of a block where speed counts most.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Where the whole lines of some bytes end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cut {
    /// `..end` are whole lines; the rest, within the limit, waits for its line feed.
    Lines { end: usize },
    /// `..start` are whole lines; the line at `start` is longer than the limit.
    Long { start: usize },
}

/// Finds the whole lines of `bytes`, which begin with a line.
pub(super) fn cut(bytes: &[u8], max_line_bytes: usize) -> Cut {
    let mut start = 0;
    // A stretch that holds a line feed can begin no long line before it; so hop from the last
    // line feed of one stretch to the last one of the next.
    while max_line_bytes < bytes.len() - start {
        match memrchr(b'\n', &bytes[start..=start + max_line_bytes]) {
            Some(newline) => start += newline + 1,
            None => return Cut::Long { start },
        }
    }
    let end = memrchr(b'\n', &bytes[start..]).map_or(start, |newline| start + newline + 1);
    Cut::Lines { end }
}

/// Cuts a reader into blocks of whole lines: one read per block, no copy but the carried tail.
///
/// It reads to the end of its input, so the last line counts even without a line feed. A byte
/// order mark and a run of NUL bytes at the start are passed over.
#[derive(Debug)]
pub struct LineBlocks<R> {
    reader: R,
    origin: Origin,
    block_bytes: usize,
    max_line_bytes: usize,
    carry: Vec<u8>,
    /// Position of the first byte of `carry`.
    position: u64,
    began: bool,
    ended: bool,
    nul_bytes: u64,
    fingerprint: Option<super::identity::Digest>,
}

/// What each block says about where it came from.
#[derive(Clone, Debug)]
struct Origin {
    source: usize,
    path: Arc<Path>,
    modified: Timestamp,
}

impl<R: Read> LineBlocks<R> {
    /// Cuts `reader`, whose blocks are said to come from `path` of the source with index `source`.
    ///
    /// `block_bytes` is raised to hold at least one longest line.
    pub fn new(reader: R, path: &Path, block_bytes: usize, max_line_bytes: usize) -> Self {
        assert!(0 < max_line_bytes);
        let origin = Origin { source: 0, path: path.into(), modified: Timestamp::default() };
        Self {
            reader,
            origin,
            block_bytes: block_bytes.max(max_line_bytes + 1).max(BOM.len()),
            max_line_bytes,
            carry: Vec::new(),
            position: 0,
            began: false,
            ended: false,
            nul_bytes: 0,
            fingerprint: None,
        }
    }

    /// Sets the index of the source and the time that year-less times refer to.
    pub fn with_origin(mut self, source: usize, modified: Timestamp) -> Self {
        (self.origin.source, self.origin.modified) = (source, modified);
        self
    }

    /// NUL bytes passed over at the start.
    pub fn nul_bytes(&self) -> u64 {
        self.nul_bytes
    }

    /// The next block, or `None` at the end.
    ///
    /// Hand in the `bytes` of an earlier block as they are: what they hold is overwritten, and a
    /// buffer that is not cleared needs no new zeros.
    pub fn next_block(&mut self, mut buffer: Vec<u8>) -> io::Result<Option<Block>> {
        let mut filled = self.take_carry(&mut buffer);
        loop {
            let at_end = filled < self.block_bytes && !self.fill(&mut buffer, &mut filled)?;
            if !self.began {
                self.skip_preamble(&mut buffer, &mut filled, at_end);
                if !self.began {
                    if at_end {
                        return Ok(None);
                    }
                    continue;
                }
            }
            let cut = match cut(&buffer[..filled], self.max_line_bytes) {
                Cut::Lines { .. } if at_end => Cut::Lines { end: filled },
                cut => cut,
            };
            if !self.identify(&buffer[..filled], at_end) {
                continue;
            }
            match cut {
                Cut::Lines { end: 0 } if at_end => return Ok(None),
                Cut::Lines { end: 0 } => (),
                Cut::Lines { end } => {
                    self.carry.extend_from_slice(&buffer[end..filled]);
                    return Ok(Some(self.block(buffer, end, end as u64, false)));
                }
                Cut::Long { start } => {
                    let end = start + self.max_line_bytes;
                    let length = self.skip_line(&mut buffer, end, filled)?;
                    return Ok(Some(self.block(buffer, end, length, true)));
                }
            }
        }
    }

    fn take_carry(&mut self, buffer: &mut Vec<u8>) -> usize {
        let filled = self.carry.len();
        // The carry of a cut line may be larger than the tail of a line, never than a block.
        assert!(filled <= self.block_bytes);
        buffer.resize(self.block_bytes, 0);
        buffer[..filled].copy_from_slice(&self.carry);
        self.carry.clear();
        filled
    }

    /// Reads once; false at the end of the input.
    fn fill(&mut self, buffer: &mut [u8], filled: &mut usize) -> io::Result<bool> {
        while !self.ended {
            match self.reader.read(&mut buffer[*filled..]) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    *filled += read;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Drops NUL bytes or a byte order mark from the start, as soon as enough bytes are there.
    fn skip_preamble(&mut self, buffer: &mut [u8], filled: &mut usize, at_end: bool) {
        let bytes = &buffer[..*filled];
        let nuls = bytes.iter().position(|byte| *byte != 0).unwrap_or(*filled);
        self.nul_bytes += nuls as u64;
        let could_be_bom = self.nul_bytes == 0 && BOM.starts_with(&bytes[..bytes.len().min(3)]);
        let skipped = if could_be_bom && BOM.len() <= bytes.len() { BOM.len() } else { nuls };
        self.began = nuls < *filled && (at_end || !could_be_bom || BOM.len() <= bytes.len());
        buffer.copy_within(skipped..*filled, 0);
        *filled -= skipped;
        self.position += skipped as u64;
    }

    /// True once the fingerprint is known; it covers the byte order mark, which is part of the file.
    fn identify(&mut self, bytes: &[u8], at_end: bool) -> bool {
        if self.fingerprint.is_none() {
            let bom: &[u8] = if self.nul_bytes < self.position { BOM } else { b"" };
            let first = &bytes[..bytes.len().min(super::identity::FINGERPRINT_BYTES)];
            let whole = at_end || bytes.len() == self.block_bytes;
            self.fingerprint = fingerprint(&[bom, first].concat(), whole);
        }
        self.fingerprint.is_some()
    }

    /// Skips the rest of a long line whose head is `buffer[..end]`; returns the whole length.
    fn skip_line(&mut self, buffer: &mut [u8], end: usize, filled: usize) -> io::Result<u64> {
        let (mut passed, mut filled) = (end as u64, filled);
        loop {
            if let Some(newline) = memchr(b'\n', &buffer[end..filled]) {
                let rest = end + newline + 1;
                self.carry.extend_from_slice(&buffer[rest..filled]);
                return Ok(passed + newline as u64 + 1);
            }
            passed += (filled - end) as u64;
            filled = end;
            // `end` leaves room: a block is longer than the longest line.
            if !self.fill(buffer, &mut filled)? {
                return Ok(passed);
            }
        }
    }

    fn block(
        &mut self,
        mut bytes: Vec<u8>,
        end: usize,
        length: u64,
        truncated_last: bool,
    ) -> Block {
        bytes.truncate(end);
        let from = self.position;
        self.position += length;
        Block {
            generation: GenerationId(0),
            source: self.origin.source,
            path: Arc::clone(&self.origin.path),
            from,
            to: self.position,
            bytes,
            truncated_last,
            fingerprint: self.fingerprint.expect("identified before the first block"),
            modified: self.origin.modified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads at most `0` bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len()).min(self.0.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// Lines as `text@from` with `…` for a cut one, whatever the sizes of reads and blocks.
    #[track_caller]
    fn check(text: &[u8], max_line_bytes: usize, expected: &[&str]) {
        for read_bytes in 1..=text.len() + 1 {
            for block_bytes in [1, max_line_bytes + 3, 64] {
                let drip = Drip(text, read_bytes);
                let path = Path::new("x");
                let mut blocks = LineBlocks::new(drip, path, block_bytes, max_line_bytes);
                let (mut actual, mut next, mut buffer) = (Vec::new(), None, Vec::new());
                while let Some(block) = blocks.next_block(buffer).expect("no errors") {
                    assert!(next.is_none_or(|next| next == block.from), "no gap, no overlap");
                    next = Some(block.to);
                    let mut at = block.from;
                    let whole = block.bytes.split_inclusive(|byte| *byte == b'\n');
                    for line in whole {
                        let text = String::from_utf8_lossy(line).trim_end_matches('\n').to_owned();
                        let last = at + line.len() as u64 == block.from + block.bytes.len() as u64;
                        let cut = if last && block.truncated_last { "…" } else { "" };
                        actual.push(format!("{text}{cut}@{at}"));
                        at += line.len() as u64;
                    }
                    buffer = block.bytes;
                }
                assert!(next.is_none_or(|next| next == text.len() as u64));
                assert_eq!(expected, actual, "reads of {read_bytes}, blocks of {block_bytes}");
            }
        }
    }

    #[test]
    fn whole_lines_come_once_whatever_the_block_size() {
        check(b"one\ntwo\n\nfour\n", 16, &["one@0", "two@4", "@8", "four@9"]);
    }

    #[test]
    fn the_last_line_of_a_reader_needs_no_line_feed() {
        check(b"one\ntw", 16, &["one@0", "tw@4"]);
        check(b"", 16, &[]);
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_the_next_one_is_whole() {
        check(b"a\n123456789\nok\n", 4, &["a@0", "1234…@2", "ok@12"]);
        check(b"1234\n12345\n1234\n", 4, &["1234@0", "1234…@5", "1234@11"]);
        check(b"123456789", 4, &["1234…@0"]);
    }

    #[test]
    fn a_byte_order_mark_and_leading_nuls_are_no_part_of_a_line() {
        check(b"\xef\xbb\xbfone\ntwo\n", 16, &["one@3", "two@7"]);
        check(b"\0\0\0\0\0one\n", 16, &["one@5"]);
        check(b"\xef\xbb", 16, &["\u{fffd}@0"]);
        check(b"\0\0", 16, &[]);
    }

    #[test]
    fn header_lines_come_with_the_fingerprint_of_the_first_data_line() {
        check(b"#a\n#b\nx\n", 16, &["#a@0", "#b@3", "x@6"]);
        check(b"#a\n#b\n", 16, &["#a@0", "#b@3"]);
    }
}
