//! Reading: whole lines from the position on, after a last look that it is still good.
//!
//! The bytes before the position and the bytes after it come from one system call, so a
//! truncation cannot slip in between the check and the read.

use std::io::{self, IoSliceMut};
use std::sync::Arc;

use super::block::Block;
use super::content::{Archive, Content, ReadAt};
use super::encoding::{Encoding, SNIFF_BYTES};
use super::follow::Follower;
use super::generation::GenerationId;
use super::identity::{
    ANCHOR_BYTES, Digest, FINGERPRINT_BYTES, HEAD_BYTES, digest_at, fingerprint,
};
use super::lines::{BLOCK_BYTES, Cut, cut};
use super::status::NoticeKind;
use super::tail::Tail;

/// Size of a block of a file that is nearly read, so that sources take turns quickly.
const TURN_BYTES: usize = 256 << 10;

/// Bytes taken in one step over NUL bytes and long lines.
const STEP_BYTES: usize = 64 << 10;

/// Bytes of the start of a file that are looked at again, and of what lies before a position.
const HEAD_LOOK_BYTES: usize = 64 << 10;
const BACK_LOOK_BYTES: usize = 256 << 10;

/// What a read yielded: the length of the head in the buffer and the position after the lines.
struct Lines {
    length: usize,
    to: u64,
    truncated_last: bool,
}

/// Why a read yielded no lines.
enum Pause {
    /// No further whole line up to the known size.
    Unfinished,
    /// The content before the position is not what it was: the next look finds out why.
    Suspect,
}

impl Follower {
    /// The next block of whole lines, or `None` until the next look finds more.
    ///
    /// The files take turns, and a rotated file comes before its successor. Hand in the `bytes` of
    /// an earlier block as they are, to use their memory again.
    pub fn read(&mut self, mut buffer: Vec<u8>) -> Option<Block> {
        loop {
            let id = self.next_turn()?;
            match self.read_once(id, buffer) {
                Ok(block) => return Some(block),
                Err(unused) => buffer = unused,
            }
        }
    }

    /// The next block of one generation out of [`Follower::ready`].
    pub fn read_from(&mut self, generation: GenerationId, buffer: Vec<u8>) -> Option<Block> {
        self.read_once(generation, buffer).ok()
    }

    /// Whole lines from the start of a file and from right before `position`; all of them where it
    /// is near the start, none where the file cannot be read.
    pub fn lines_before(&self, generation: GenerationId, position: u64) -> Vec<u8> {
        let tail = self.tails.iter().find(|tail| tail.generation.id == generation);
        let Some(tail) = tail else { return Vec::new() };
        let (Some(file), encoding) = (tail.file.as_ref(), tail.encoding()) else {
            return Vec::new();
        };
        let look = |from: u64, length: usize| {
            let mut bytes = vec![0; length];
            // Who asks does without what cannot be read: the next read tells about the error.
            let read = file.fill_at(&mut bytes, from).unwrap_or(0);
            bytes.truncate(read);
            bytes
        };
        let mut lines = look(0, position.min(HEAD_LOOK_BYTES as u64) as usize);
        let rest = position - lines.len() as u64;
        if 0 < rest {
            let back = look(position - rest.min(BACK_LOOK_BYTES as u64), BACK_LOOK_BYTES);
            let back = &back[..back.len().min(rest as usize)];
            if rest as usize != back.len() {
                lines.truncate(encoding.last_line_end(&lines).unwrap_or(0));
                let start = encoding.first_line_end(back).unwrap_or(back.len());
                lines.extend_from_slice(&back[start..]);
            } else {
                lines.extend_from_slice(back);
            }
        }
        let mark = Encoding::of(&lines, true).map_or(0, |(_, mark)| mark.len());
        lines.drain(..mark);
        encoding.decode(&mut lines);
        lines
    }

    fn next_turn(&self) -> Option<GenerationId> {
        let oldest = self.oldest_unread();
        let last = self.tails.iter().position(|tail| tail.generation.id == self.last_read);
        let (before, after) = self.tails.split_at(last.map_or(0, |last| last + 1));
        let mut turns = after.iter().chain(before);
        turns.find(|tail| Self::has_turn(tail, &oldest)).map(|tail| tail.generation.id)
    }

    fn read_once(&mut self, id: GenerationId, mut buffer: Vec<u8>) -> Result<Block, Vec<u8>> {
        self.last_read = id;
        let index = self.tails.iter().position(|tail| tail.generation.id == id);
        let Some(index) = index.filter(|index| self.tails[*index].is_ready()) else {
            return Err(buffer);
        };
        let tail = &mut self.tails[index];
        let from_start = tail.generation.offset == 0;
        let before = (tail.generation.nul_bytes, tail.generation.long_lines);
        let result = read_lines(tail, &mut buffer, self.limits.max_line_bytes());
        let source = tail.source;
        let path = Arc::clone(&tail.path);
        let nul_bytes = tail.generation.nul_bytes - before.0;
        self.sources[source].status.nul_bytes += nul_bytes;
        self.sources[source].status.long_lines += tail.generation.long_lines - before.1;
        if from_start && 0 < nul_bytes {
            self.tell(source, &path, NoticeKind::NulBytes { count: nul_bytes });
        }
        match result {
            Ok(Ok((from, lines))) => {
                self.changed.insert(id);
                buffer.truncate(lines.length);
                self.tails[index].encoding().decode(&mut buffer);
                Ok(self.block(index, from, lines, buffer))
            }
            Ok(Err(Pause::Unfinished)) => {
                let tail = &mut self.tails[index];
                tail.waiting_at = Some(tail.generation.size);
                Err(buffer)
            }
            Ok(Err(Pause::Suspect)) => {
                self.tails[index].suspect(false);
                Err(buffer)
            }
            Err(error) => {
                self.tails[index].suspect(true);
                self.tell_unreadable(source, &path, &error);
                Err(buffer)
            }
        }
    }

    fn block(&mut self, index: usize, from: u64, lines: Lines, bytes: Vec<u8>) -> Block {
        let tail = &mut self.tails[index];
        let generation = &mut tail.generation;
        if tail.closing && generation.unread() == 0 {
            generation.finished = true;
        }
        Block {
            generation: generation.id,
            source: tail.source,
            path: Arc::clone(&tail.path),
            from,
            to: lines.to,
            bytes,
            truncated_last: lines.truncated_last,
            encoding: generation.encoding.unwrap_or_default(),
            fingerprint: generation.fingerprint.expect("identified before its first block"),
            modified: generation.modified,
        }
    }
}

/// Reads the next lines of `tail` into `buffer` and moves its position behind them.
fn read_lines(
    tail: &mut Tail,
    buffer: &mut Vec<u8>,
    max_line_bytes: usize,
) -> io::Result<Result<(u64, Lines), Pause>> {
    let ahead = BLOCK_BYTES.max(max_line_bytes) + HEAD_BYTES;
    tail.look_ahead(ahead);
    let Some(file) = tail.file.take() else { return Ok(Err(Pause::Unfinished)) };
    let result = read_file(tail, &file, buffer, max_line_bytes);
    tail.file = Some(file);
    tail.look_ahead(ahead);
    result
}

fn read_file(
    tail: &mut Tail,
    file: &Content,
    buffer: &mut Vec<u8>,
    max_line_bytes: usize,
) -> io::Result<Result<(u64, Lines), Pause>> {
    let generation = &tail.generation;
    if generation.offset == 0 {
        if digest_at(file, 0, generation.head_len)? != Some(generation.head_hash) {
            return Ok(Err(Pause::Suspect));
        }
        if !skip_preamble(tail, file)? {
            return Ok(Err(Pause::Unfinished));
        }
    }
    let fingerprint = match tail.generation.fingerprint {
        Some(known) => Some(known),
        None => identify(tail, file)?,
    };
    if fingerprint.is_none() {
        return Ok(Err(Pause::Unfinished));
    }
    let lines = read_checked(tail, file, buffer, max_line_bytes)?;
    if lines.is_ok() {
        // Only now it is certain that both were read from the same content.
        tail.generation.fingerprint = fingerprint;
    }
    Ok(lines)
}

fn read_checked(
    tail: &mut Tail,
    file: &Content,
    buffer: &mut Vec<u8>,
    max_line_bytes: usize,
) -> io::Result<Result<(u64, Lines), Pause>> {
    let from = tail.generation.offset;
    if from < tail.scanned {
        let max_line_bytes = tail.encoding().limit(max_line_bytes);
        return Ok(read_long_line(tail, file, buffer, max_line_bytes)?.map(|lines| (from, lines)));
    }
    let unread = tail.generation.unread();
    let turn = if (BLOCK_BYTES as u64) < unread { BLOCK_BYTES } else { TURN_BYTES };
    let encoding = tail.encoding();
    let max_line_bytes = encoding.limit(max_line_bytes);
    let length = unread.min(turn.max(max_line_bytes + encoding.width()) as u64) as usize;
    let Some((read, anchor)) = read_after_anchor(tail, file, buffer, length)? else {
        return Ok(Err(Pause::Suspect));
    };
    let is_last = tail.closing && from + read as u64 == tail.generation.size;
    let end = match cut(&buffer[..read], encoding, max_line_bytes) {
        Cut::Long { start: 0 } => {
            tail.scanned = from + max_line_bytes as u64;
            let lines = read_long_line(tail, file, buffer, max_line_bytes)?;
            return Ok(lines.map(|lines| (from, lines)));
        }
        // The whole lines before a long one make a block of their own.
        Cut::Long { start } => start,
        Cut::Lines { .. } if is_last => read,
        Cut::Lines { end: 0 } if (read as u64) < unread => return Ok(Err(Pause::Suspect)),
        Cut::Lines { end: 0 } => return Ok(Err(Pause::Unfinished)),
        Cut::Lines { end } => end,
    };
    advance(tail, anchor, &buffer[..end]);
    let to = tail.generation.offset;
    Ok(Ok((from, Lines { length: end, to, truncated_last: false })))
}

/// Finds out the encoding, and passes over NUL bytes or a byte order mark; false while more bytes
/// are needed to tell.
///
/// NUL bytes at the end of the known size stay: they may be space that its writer will fill.
fn skip_preamble(tail: &mut Tail, file: &Content) -> io::Result<bool> {
    let mut buffer = [0; STEP_BYTES];
    let read = file.fill_at(&mut buffer[..SNIFF_BYTES], 0)?;
    let generation = &mut tail.generation;
    let Some((encoding, mark)) = Encoding::of(&buffer[..read], tail.closing) else {
        return Ok(false);
    };
    generation.encoding = Some(encoding);
    let skipped = match &buffer[..read] {
        [] => return Ok(false),
        [..] if !mark.is_empty() => mark.len() as u64,
        [0, ..] if !encoding.is_wide() => {
            let mut at = 0;
            loop {
                // The hole that a truncation leaves is no data, which saves reading it.
                at = next_data(file, at);
                let read = file.fill_at(&mut buffer, at)?;
                match buffer[..read].iter().position(|byte| *byte != 0) {
                    Some(nuls) => break generation.nul_bytes = at + nuls as u64,
                    None if read < buffer.len() => {
                        if tail.closing {
                            generation.nul_bytes = at + read as u64;
                            generation.move_to(file, at + read as u64)?;
                        }
                        return Ok(false);
                    }
                    None => at += read as u64,
                }
            }
            generation.nul_bytes
        }
        _ => return Ok(true),
    };
    generation.move_to(file, skipped)?;
    Ok(true)
}

/// The start of the first data at or after `at`, where the file system knows about holes.
fn next_data(file: &Content, at: u64) -> u64 {
    let Some(file) = file.file() else { return at };
    // The position of the handle is used for nothing else: all reads name theirs.
    rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)).unwrap_or(at).max(at)
}

fn identify(tail: &Tail, file: &Content) -> io::Result<Option<Digest>> {
    let mut first = [0; FINGERPRINT_BYTES];
    let start = tail.generation.nul_bytes;
    let read = file.fill_at(&mut first, start)?;
    let first = &first[..read];
    let mark = Encoding::of(first, true).filter(|_| start == 0).map_or(&b""[..], |(_, mark)| mark);
    Ok(fingerprint(mark, &first[mark.len()..], tail.encoding(), tail.closing))
}

/// Reads `length` bytes from the position on, if the bytes before it are what they were. Returns
/// the bytes read and those before them.
fn read_after_anchor(
    tail: &Tail,
    file: &Content,
    buffer: &mut Vec<u8>,
    length: usize,
) -> io::Result<Option<(usize, Vec<u8>)>> {
    let generation = &tail.generation;
    let (offset, head_len) = (generation.offset as usize, generation.head_len as usize);
    // Near the start the head is compared too: before the first line there is no anchor yet.
    let near_start = generation.offset < u64::from(generation.head_len);
    let before = if near_start { offset } else { generation.anchor_len as usize };
    let mut before = vec![0; before];
    buffer.resize(length, 0);
    let start = generation.offset - before.len() as u64;
    let read = match file {
        Content::File(file) => {
            let mut parts = [IoSliceMut::new(&mut before), IoSliceMut::new(buffer)];
            rustix::io::retry_on_intr(|| rustix::io::preadv(file, &mut parts, start))?
        }
        // Nobody changes an archive under the same handle.
        Content::Archive(archive) => {
            archive.fill_at(&mut before, start)? + archive.fill_at(buffer, generation.offset)?
        }
    };
    let Some(read) = read.checked_sub(before.len()) else { return Ok(None) };
    let anchor = &before[before.len() - generation.anchor_len as usize..];
    let is_same_head = || {
        let rest = head_len - offset;
        rest <= read && Digest::of(&[&before, &buffer[..rest]].concat()) == generation.head_hash
    };
    let is_same = Digest::of(anchor) == generation.anchor_hash && (!near_start || is_same_head());
    Ok(is_same.then_some((read, before)))
}

/// Reads the head of a line over the limit, once its end is found. Only the position up to which
/// there is none is kept between two tries, so memory stays bounded and a restart loses nothing.
fn read_long_line(
    tail: &mut Tail,
    file: &Content,
    buffer: &mut Vec<u8>,
    max_line_bytes: usize,
) -> io::Result<Result<Lines, Pause>> {
    if let Content::Archive(archive) = file {
        return read_long_line_of(tail, file, archive, buffer, max_line_bytes);
    }
    let size = tail.generation.size;
    let to = loop {
        if size <= tail.scanned {
            if tail.closing {
                break size;
            }
            return Ok(Err(Pause::Unfinished));
        }
        buffer.resize(TURN_BYTES.min((size - tail.scanned) as usize).max(1), 0);
        let read = file.fill_at(buffer, tail.scanned)?;
        let whole = tail.encoding().whole_units(read);
        match tail.encoding().first_line_end(&buffer[..whole]) {
            Some(end) => break tail.scanned + end as u64,
            None if read == 0 => return Ok(Err(Pause::Suspect)),
            // Half a unit: the other half follows, or never will.
            None if whole == 0 && tail.closing => break size,
            None if whole == 0 => return Ok(Err(Pause::Unfinished)),
            None => tail.scanned += whole as u64,
        }
    };
    let head_len = max_line_bytes.max(HEAD_BYTES);
    match read_after_anchor(tail, file, buffer, head_len)? {
        Some((read, _)) if max_line_bytes <= read => {
            tail.generation.move_to(file, to)?;
            tail.generation.long_lines += 1;
            tail.scanned = 0;
            Ok(Ok(Lines { length: max_line_bytes, to, truncated_last: true }))
        }
        _ => Ok(Err(Pause::Suspect)),
    }
}

/// The same for an archive: its head first, for what is behind cannot be read again cheaply.
fn read_long_line_of(
    tail: &mut Tail,
    file: &Content,
    archive: &Archive,
    buffer: &mut Vec<u8>,
    max_line_bytes: usize,
) -> io::Result<Result<Lines, Pause>> {
    let head_len = max_line_bytes.max(HEAD_BYTES);
    match read_after_anchor(tail, file, buffer, head_len)? {
        Some((read, _)) if max_line_bytes <= read => (),
        _ => return Ok(Err(Pause::Suspect)),
    }
    let encoding = tail.encoding();
    let mut step = vec![0; STEP_BYTES];
    let mut to = tail.generation.offset + max_line_bytes as u64;
    loop {
        let read = archive.fill_at(&mut step, to)?;
        let end = encoding.first_line_end(&step[..read]);
        to += end.unwrap_or(read) as u64;
        if end.is_some() || read < step.len() {
            break;
        }
    }
    tail.generation.move_to(archive, to)?;
    tail.generation.long_lines += 1;
    tail.scanned = 0;
    Ok(Ok(Lines { length: max_line_bytes, to, truncated_last: true }))
}

/// Moves the position behind the lines just read, whose last bytes become the anchor.
fn advance(tail: &mut Tail, mut before: Vec<u8>, lines: &[u8]) {
    let generation = &mut tail.generation;
    before.extend_from_slice(&lines[lines.len().saturating_sub(ANCHOR_BYTES)..]);
    let anchor = &before[before.len().saturating_sub(ANCHOR_BYTES)..];
    generation.offset += lines.len() as u64;
    (generation.anchor_len, generation.anchor_hash) = (anchor.len() as u32, Digest::of(anchor));
}
