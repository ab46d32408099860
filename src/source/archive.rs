//! Compressed files: known by their first bytes, never by their name, and read as a stream.
//!
//! Invariant: memory does not depend on how much comes out of an archive, because nobody holds more
//! of it than a block; a decompressor holds at most its window (128 MiB for zstd and xz).

use std::io::{self, BufRead as _, BufReader, Read};

use lz4_flex::frame::FrameDecoder;
use lzma_rust2::XzReader;

/// Memory that an xz archive may ask for, in KiB: twice what `xz -9` does.
const XZ_KIB_MAX: u32 = 128 << 10;

/// A way of compressing files.
pub(super) struct Method {
    /// As people call it.
    pub(super) name: &'static str,
    /// What decompresses it outside.
    pub(super) command: &'static str,
    /// True for the first bytes of such a file.
    is: fn(&[u8]) -> bool,
    /// `None` where it is not read here.
    decoder: Option<fn(Input) -> io::Result<Input>>,
}

/// Any reader of bytes.
pub(super) type Input = Box<dyn Read + Send>;

/// Bytes that [`Method::of`] looks at.
pub(super) const MAGIC_BYTES: usize = 10;

const METHODS: &[Method] = &[
    Method {
        name: "gzip",
        command: "zcat FILE",
        is: |first| matches!(first, [0x1f, 0x8b, 8, ..]),
        decoder: Some(|input| Ok(Box::new(flate2::read::MultiGzDecoder::new(input)))),
    },
    Method {
        name: "Zstandard",
        command: "zstdcat FILE",
        // The second is a frame to be skipped, which parallel compressors begin with.
        is: |first| {
            matches!(first, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
        },
        decoder: Some(|input| Ok(Box::new(zstd::Decoder::new(input)?))),
    },
    Method {
        name: "bzip2",
        command: "bzcat FILE",
        is: |first| match first.strip_prefix(b"BZh") {
            Some([b'1'..=b'9', rest @ ..]) => {
                rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90")
            }
            _ => false,
        },
        decoder: Some(|input| Ok(Box::new(bzip2::read::MultiBzDecoder::new(input)))),
    },
    Method {
        name: "xz",
        command: "xzcat FILE",
        is: |first| first.starts_with(b"\xfd7zXZ\0"),
        decoder: Some(|input| Ok(Box::new(XzReader::new_mem_limit(input, true, XZ_KIB_MAX)))),
    },
    Method {
        name: "LZ4",
        command: "lz4cat FILE",
        is: |first| first.starts_with(b"\x04\x22\x4d\x18"),
        decoder: Some(|input| Ok(Box::new(Lz4(FrameDecoder::new(BufReader::new(input)))))),
    },
    Method {
        name: "compress",
        command: "zcat FILE",
        is: |first| first.starts_with(b"\x1f\x9d"),
        decoder: None,
    },
    Method {
        name: "zip",
        command: "unzip -p FILE",
        is: |first| first.starts_with(b"PK\x03\x04"),
        decoder: None,
    },
];

impl Method {
    /// The method that a file beginning with `first` is compressed with.
    pub(super) fn of(first: &[u8]) -> Option<&'static Self> {
        METHODS.iter().find(|method| (method.is)(first))
    }

    /// What `input` holds, all members and frames of it; `None` where it is not read here.
    pub(super) fn decode(&self, input: Input) -> Option<io::Result<Input>> {
        self.decoder.map(|decoder| decoder(input))
    }
}

/// All frames of an LZ4 archive, one after the other.
struct Lz4(FrameDecoder<BufReader<Input>>);

impl Read for Lz4 {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.0.read(buffer)?;
            // The decoder says so at the end of each frame.
            let may_go_on = count == 0 && !buffer.is_empty();
            if !may_go_on || self.0.get_mut().fill_buf()?.is_empty() {
                return Ok(count);
            }
        }
    }
}
