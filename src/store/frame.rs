//! Frames: stretches of raw lines, compressed in the database.
//!
//! Invariant: the bytes of a frame that is handed out are the bytes that were stored, or the
//! frame says that it is damaged. zstd's checksum over the lines decides; SQLite has none.

use std::fmt;

use rusqlite::{Connection, Row, params};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, compress_bound};

use super::database::{signed, unsigned};
use crate::units::Timestamp;

/// Most bytes in a frame: what a damaged or forged row can make us allocate.
///
/// Sources cut blocks of at most 1 MiB and a commit holds 8 MiB, so nothing real comes near.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// Chosen by CPU time, as lines are compressed once and mostly deleted soon.
///
/// Measured in a release build on one EPYC core, nanoseconds of CPU for each 240-byte line: in
/// blocks of 1 MiB with the checksum and a reused context, then for a whole commit of 16 MiB in
/// blocks of 256 KiB, which also pays for the bytes that did not get smaller.
///
/// | level | compress | ratio | whole commit | ratio in the file |
/// |---|---|---|---|---|
/// | -60 | 180 | 2.2 | 408 | 2.0 |
/// | -7 | 260 | 4.3 | 396 | 4.0 |
/// | **-3** | 283 | 5.0 | 388 | 4.6 |
/// | 1 | 329 | 6.9 | 408 | 6.3 |
/// | 3 | 398 | 7.2 | 486 | 6.4 |
///
/// The aim was 200 ns for compression. Of the usual levels none gets there; -60 does, and then the
/// commit as a whole costs more, because more than twice as many bytes have to be written.
const LEVEL: i32 = -3;

/// Number of a frame: from 1, without gaps, never used again.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A stretch of whole lines of one file (or of standard input), as read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frame {
    /// Its number; 0 before it is stored.
    pub seq: Seq,
    /// Stable name of the source.
    pub source: String,
    /// The file as found, for people and for `log.file.path`.
    pub path: String,
    /// The site these lines belong to, where the source says so.
    pub site: String,
    /// The machine that wrote the lines.
    pub host: String,
    /// Which file: a key into the generations.
    pub generation: u64,
    /// Hash of the file's first line, part of each event's id.
    pub fingerprint: [u8; 32],
    /// Offset of the first byte in the file.
    pub from: u64,
    /// Offset after the last byte, where a restart resumes.
    pub to: u64,
    /// When it was read.
    pub received: Timestamp,
    /// When the file was last written: settles the year of times without one.
    pub modified: Timestamp,
    /// Time zone, by its IANA name, of times without one.
    pub zone: String,
    /// The definition that parses it, such as `auto:combined`.
    pub format: String,
    /// What lines before these have left and reading these needs, as text; mostly nothing.
    pub memory: String,
    /// The last line was longer than the limit and lost its rest.
    pub truncated_last: bool,
    /// The file is UTF-16: `bytes` is its text as UTF-8, `from` and `to` are positions in the file.
    pub wide: bool,
    /// Number of lines.
    pub lines: u64,
    /// Time of the first event; 0 when none has a time.
    pub first_time: Timestamp,
    /// Time of the last event; 0 when none has a time.
    pub last_time: Timestamp,
    /// The lines as they were in the file.
    pub bytes: Vec<u8>,
    /// What was stored does not match its checksum: `bytes` is empty, and the lines are lost to
    /// this reader. A reader counts `lines` as lost and moves its cursor past the frame.
    pub damaged: bool,
}

/// Compresses, with memory that is kept from one frame to the next.
pub(super) struct Packer {
    context: Compressor<'static>,
    scratch: Vec<u8>,
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    pub(super) fn new() -> std::io::Result<Self> {
        let mut context = Compressor::new(LEVEL)?;
        context.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { context, scratch: Vec::new() })
    }

    /// The compressed form of `bytes`, valid until the next call.
    pub(super) fn pack(&mut self, bytes: &[u8]) -> &[u8] {
        assert!(bytes.len() <= FRAME_BYTES_MAX);
        self.scratch.clear();
        self.scratch.reserve(compress_bound(bytes.len()));
        self.context
            .compress_to_buffer(bytes, &mut self.scratch)
            .expect("the buffer has the size that zstd asks for");
        &self.scratch
    }
}

/// The reverse of [`Packer`].
pub(super) struct Unpacker(Decompressor<'static>);

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

impl Unpacker {
    pub(super) fn new() -> std::io::Result<Self> {
        Decompressor::new().map(Self)
    }

    /// The bytes that were packed, or nothing when `packed` is not what was stored.
    pub(super) fn unpack(&mut self, packed: &[u8], raw_bytes: u64) -> Option<Vec<u8>> {
        let size = usize::try_from(raw_bytes).ok().filter(|size| *size <= FRAME_BYTES_MAX)?;
        let mut bytes = Vec::with_capacity(size);
        self.0.decompress_to_buffer(packed, &mut bytes).ok()?;
        (bytes.len() == size).then_some(bytes)
    }
}

/// Many compressed frames in one allocation: packed before the transaction begins, so that the
/// write lock is held for the writing only.
#[derive(Debug, Default)]
pub(super) struct PackedFrames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl PackedFrames {
    /// Replaces the content by the compressed form of `frames`.
    pub(super) fn fill(&mut self, packer: &mut Packer, frames: &[Frame]) {
        self.bytes.clear();
        self.ends.clear();
        for frame in frames {
            self.bytes.extend_from_slice(packer.pack(&frame.bytes));
            self.ends.push(self.bytes.len());
        }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[*start..*end])
    }
}

/// Appends `frames`, whose compressed forms are in `packed`.
pub(super) fn insert(
    conn: &Connection,
    frames: &[Frame],
    packed: &PackedFrames,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO frames (source, path, site, host, generation, fingerprint, start, stop,
             received, modified, zone, format, truncated_last, lines, first_time, last_time,
             raw_bytes, packed_bytes, data, memory, wide)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19, ?20, ?21)",
    )?;
    for (frame, data) in frames.iter().zip(packed.iter()) {
        statement.execute(params![
            frame.source,
            frame.path,
            frame.site,
            frame.host,
            frame.generation.cast_signed(),
            frame.fingerprint,
            signed(frame.from),
            signed(frame.to),
            frame.received,
            frame.modified,
            frame.zone,
            frame.format,
            frame.truncated_last,
            signed(frame.lines),
            frame.first_time,
            frame.last_time,
            signed(frame.bytes.len() as u64),
            signed(data.len() as u64),
            data,
            frame.memory,
            frame.wide,
        ])?;
    }
    Ok(())
}

/// The oldest frame after a number, in the order that [`read`] expects.
pub(super) const SELECT_AFTER: &str =
    "SELECT seq, source, path, site, host, generation, fingerprint, start, stop, received,
         modified, zone, format, truncated_last, lines, first_time, last_time, raw_bytes, data,
         memory, wide
     FROM frames WHERE seq > ?1 ORDER BY seq LIMIT 1";

/// A row of [`SELECT_AFTER`]. A row with a column that cannot be read is a damaged frame too.
pub(super) fn read(row: &Row<'_>, unpacker: &mut Unpacker) -> rusqlite::Result<Frame> {
    let seq: Seq = row.get(0)?;
    let damaged = |_| Frame { seq, damaged: true, ..Frame::default() };
    Ok(read_columns(row, unpacker).unwrap_or_else(damaged))
}

fn read_columns(row: &Row<'_>, unpacker: &mut Unpacker) -> rusqlite::Result<Frame> {
    // The lines are decompressed straight out of SQLite's page, without a copy in between.
    let bytes = unpacker.unpack(row.get_ref(18)?.as_blob()?, unsigned(row, 17)?);
    Ok(Frame {
        seq: row.get(0)?,
        source: row.get(1)?,
        path: row.get(2)?,
        site: row.get(3)?,
        host: row.get(4)?,
        generation: row.get::<_, i64>(5)?.cast_unsigned(),
        fingerprint: row.get(6)?,
        from: unsigned(row, 7)?,
        to: unsigned(row, 8)?,
        received: row.get(9)?,
        modified: row.get(10)?,
        zone: row.get(11)?,
        format: row.get(12)?,
        memory: row.get(19)?,
        truncated_last: row.get(13)?,
        lines: unsigned(row, 14)?,
        first_time: row.get(15)?,
        last_time: row.get(16)?,
        wide: row.get(20)?,
        damaged: bytes.is_none(),
        bytes: bytes.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_round_trip(bytes: &[u8]) {
        let packed = Packer::new().expect("zstd").pack(bytes).to_vec();
        let mut unpacker = Unpacker::new().expect("zstd");
        assert_eq!(Some(bytes.to_vec()), unpacker.unpack(&packed, bytes.len() as u64));
    }

    #[test]
    fn bytes_of_every_kind_survive_packing() {
        check_round_trip(b"");
        check_round_trip(b"\0\xff\n");
        check_round_trip(&b"203.0.113.7 - - \"GET / HTTP/1.1\" 200\n".repeat(50_000));
        let noise: Vec<u8> =
            (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        check_round_trip(&noise);
    }

    #[test]
    fn a_wrong_or_huge_size_is_damage_and_allocates_nothing() {
        let packed = Packer::new().expect("zstd").pack(b"one\ntwo\n").to_vec();
        let mut unpacker = Unpacker::new().expect("zstd");
        for size in [0, 7, 9, FRAME_BYTES_MAX as u64 + 1, u64::MAX] {
            assert_eq!(None, unpacker.unpack(&packed, size), "size {size}");
        }
    }

    #[test]
    fn no_flipped_bit_yields_other_bytes() {
        let bytes = b"203.0.113.7 - alice \"GET /secret HTTP/1.1\" 401\n".repeat(20);
        let packed = Packer::new().expect("zstd").pack(&bytes).to_vec();
        let mut unpacker = Unpacker::new().expect("zstd");
        let mut noticed = 0;
        for bit in 0..packed.len() * 8 {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match unpacker.unpack(&flipped, bytes.len() as u64) {
                Some(same) => assert_eq!(bytes, same, "bit {bit}"),
                None => noticed += 1,
            }
        }
        // A few bits of the header carry no meaning; all others must be noticed.
        assert!(packed.len() * 8 - 8 <= noticed, "{noticed} of {}", packed.len() * 8);
    }
}
