//! The one rule of where lines end, and [`LineBlocks`], which cuts any reader by it.
//!
//! No work is done per line: the last line feed of a block is found from its end, and a line over
//! the limit shows as a stretch without a line feed, so one look back per stretch is enough.
//!
//! Invariant: memory stays at one block plus one line, however long a line is.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::block::Block;
use super::encoding::{Encoding, SNIFF_BYTES};
use super::generation::GenerationId;
use super::identity::fingerprint;
use crate::units::Timestamp;

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
pub(super) fn cut(bytes: &[u8], encoding: Encoding, max_line_bytes: usize) -> Cut {
    let reach = max_line_bytes + encoding.width();
    let mut start = 0;
    // A stretch that holds a line feed can begin no long line before it; so hop from the last
    // line feed of one stretch to the last one of the next.
    while reach <= bytes.len() - start {
        match encoding.last_line_end(&bytes[start..start + reach]) {
            Some(end) => start += end,
            None => return Cut::Long { start },
        }
    }
    let end = encoding.last_line_end(&bytes[start..]).map_or(start, |end| start + end);
    Cut::Lines { end }
}

/// Cuts a reader into blocks of whole lines: one read per block, no copy but the carried tail.
///
/// It reads to the end of its input, so the last line counts even without a line feed. A byte
/// order mark and a run of NUL bytes at the start are passed over; UTF-16 becomes UTF-8.
///
/// An input that breaks off gives all whole lines it had before, then the error.
#[derive(Debug)]
pub struct LineBlocks<R> {
    reader: R,
    origin: Origin,
    block_bytes: usize,
    max_line_bytes: usize,
    carry: Vec<u8>,
    /// Position of the first byte of `carry`.
    position: u64,
    encoding: Option<Encoding>,
    mark: &'static [u8],
    began: bool,
    ended: bool,
    /// Why the input ended where it did, until it was told.
    failed: Option<io::Error>,
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
            block_bytes: block_bytes.max(max_line_bytes + 2).max(SNIFF_BYTES),
            max_line_bytes,
            carry: Vec::new(),
            position: 0,
            encoding: None,
            mark: b"",
            began: false,
            ended: false,
            failed: None,
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
            let at_end = filled < self.block_bytes && !self.fill(&mut buffer, &mut filled);
            if !self.began {
                self.skip_preamble(&mut buffer, &mut filled, at_end);
                if !self.began {
                    if at_end {
                        return self.end();
                    }
                    continue;
                }
            }
            let encoding = self.encoding.unwrap_or_default();
            let limit = encoding.limit(self.max_line_bytes);
            let cut = match cut(&buffer[..filled], encoding, limit) {
                // What is left of a line where the input broke off is none.
                Cut::Lines { .. } if at_end && self.failed.is_none() => Cut::Lines { end: filled },
                cut => cut,
            };
            if !self.identify(&buffer[..filled], encoding, at_end) {
                continue;
            }
            match cut {
                Cut::Lines { end: 0 } if at_end => return self.end(),
                Cut::Lines { end: 0 } => (),
                Cut::Lines { end } => {
                    // Without the rest where nothing follows: it would be all of the next block.
                    let rest = if self.failed.is_some() { end } else { filled };
                    self.carry.extend_from_slice(&buffer[end..rest]);
                    return Ok(Some(self.block(buffer, end, end as u64, false)));
                }
                Cut::Long { start } => {
                    let end = start + limit;
                    let length = self.skip_line(&mut buffer, end, filled);
                    return Ok(Some(self.block(buffer, end, length, true)));
                }
            }
        }
    }

    /// Tells once why the input broke off, if it did.
    fn end(&mut self) -> io::Result<Option<Block>> {
        self.failed.take().map_or(Ok(None), Err)
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
    fn fill(&mut self, buffer: &mut [u8], filled: &mut usize) -> bool {
        while !self.ended {
            match self.reader.read(&mut buffer[*filled..]) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    *filled += read;
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => (self.ended, self.failed) = (true, Some(error)),
            }
        }
        false
    }

    /// Finds out the encoding, and drops a byte order mark or NUL bytes from the start, as soon as
    /// enough bytes are there.
    fn skip_preamble(&mut self, buffer: &mut [u8], filled: &mut usize, at_end: bool) {
        let bytes = &buffer[..*filled];
        let skipped = match self.encoding {
            None => {
                let Some((encoding, mark)) = Encoding::of(bytes, at_end) else { return };
                (self.encoding, self.mark) = (Some(encoding), mark);
                mark.len()
            }
            Some(_) => 0,
        };
        let nuls = match (self.encoding, self.mark) {
            (Some(Encoding::Bytes), b"") => bytes.iter().take_while(|byte| **byte == 0).count(),
            _ => 0,
        };
        self.nul_bytes += nuls as u64;
        let skipped = skipped + nuls;
        self.began = skipped < *filled;
        buffer.copy_within(skipped..*filled, 0);
        *filled -= skipped;
        self.position += skipped as u64;
    }

    /// True once the fingerprint is known; it covers the byte order mark, which is part of the file.
    fn identify(&mut self, bytes: &[u8], encoding: Encoding, at_end: bool) -> bool {
        if self.fingerprint.is_none() {
            let whole = at_end || bytes.len() == self.block_bytes;
            self.fingerprint = fingerprint(self.mark, bytes, encoding, whole);
        }
        self.fingerprint.is_some()
    }

    /// Skips the rest of a long line whose head is `buffer[..end]`; returns the whole length.
    fn skip_line(&mut self, buffer: &mut [u8], end: usize, filled: usize) -> u64 {
        let encoding = self.encoding.unwrap_or_default();
        let (mut passed, mut filled) = (end as u64, filled);
        loop {
            if let Some(length) = encoding.first_line_end(&buffer[end..filled]) {
                self.carry.extend_from_slice(&buffer[end + length..filled]);
                return passed + length as u64;
            }
            // Half a unit waits for its other half.
            let whole = encoding.whole_units(filled - end);
            passed += whole as u64;
            buffer.copy_within(end + whole..filled, end);
            filled -= whole;
            // `end` leaves room: a block is longer than the longest line.
            if !self.fill(buffer, &mut filled) {
                return passed + (filled - end) as u64;
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
        let encoding = self.encoding.unwrap_or_default();
        encoding.decode(&mut bytes);
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
            encoding,
            fingerprint: self.fingerprint.expect("identified before the first block"),
            modified: self.origin.modified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::text::wide_len;

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
                    let length = |text: &[u8]| match block.encoding.is_wide() {
                        true => wide_len(text),
                        false => text.len() as u64,
                    };
                    let (mut at, end) = (block.from, block.from + length(&block.bytes));
                    let whole = block.bytes.split_inclusive(|byte| *byte == b'\n');
                    for line in whole {
                        let text = String::from_utf8_lossy(line).trim_end_matches('\n').to_owned();
                        let last = at + length(line) == end;
                        let cut = if last && block.truncated_last { "…" } else { "" };
                        actual.push(format!("{text}{cut}@{at}"));
                        at += length(line);
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

    /// Breaks off at its end.
    struct Broken<'a>(Drip<'a>);

    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                read => Ok(read),
            }
        }
    }

    #[test]
    fn what_came_before_an_input_broke_off_is_used() {
        let texts: [(&[u8], &[u8], bool); 4] = [
            (b"one\ntwo", b"one\n", false),
            (b"one\n", b"one\n", false),
            (b"\xef\xbb\xbf", b"", false),
            (b"12345678901234567890\n", b"1234567890", true),
        ];
        for (text, expected, is_cut) in texts {
            for read_bytes in 1..=text.len() {
                let broken = Broken(Drip(text, read_bytes));
                let mut blocks = LineBlocks::new(broken, Path::new("x"), 64, 10);
                let (mut found, mut last_cut) = (Vec::new(), false);
                let error = loop {
                    match blocks.next_block(Vec::new()) {
                        Ok(Some(block)) => {
                            found.extend(block.bytes);
                            last_cut = block.truncated_last;
                        }
                        Ok(None) => panic!("the error is told"),
                        Err(error) => break error,
                    }
                };
                assert_eq!((expected, is_cut), (found.as_slice(), last_cut));
                assert_eq!(io::ErrorKind::UnexpectedEof, error.kind());
                assert_eq!(None, blocks.next_block(Vec::new()).expect("told once"));
            }
        }
    }

    #[test]
    fn utf_16_is_cut_in_its_own_bytes_and_comes_as_utf_8() {
        let wide = |text: &str| -> Vec<u8> {
            let marked = format!("\u{feff}{text}");
            marked.encode_utf16().flat_map(u16::to_le_bytes).collect()
        };
        check(&wide("one\n\u{a0a}w\u{1f600}\nü"), 16, &["one@2", "\u{a0a}w\u{1f600}@10", "ü@20"]);
        check(&wide("a\n123456789\nok\n"), 9, &["a@2", "1234…@6", "ok@26"]);
        check(&wide(""), 16, &[]);
        let big: Vec<u8> = wide("one\ntwo").chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
        check(&big, 16, &["one@2", "two@10"]);
        let mut half = wide("one\ntwo");
        half.push(b'x');
        check(&half, 16, &["one@2", "two\u{fffd}@10"]);
    }

    #[test]
    fn header_lines_come_with_the_fingerprint_of_the_first_data_line() {
        check(b"#a\n#b\nx\n", 16, &["#a@0", "#b@3", "x@6"]);
        check(b"#a\n#b\n", 16, &["#a@0", "#b@3"]);
    }
}
