//! Each way in which a log is compressed before it was read, on real files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::cases::Bench;
use super::model::{bzip2, gzip};
use super::status::NoticeKind;

type Compress = fn(&[u8]) -> Vec<u8>;

/// Each way of compressing, with the ending of its archives.
const COMPRESSORS: [(&str, Compress); 5] = [
    (".gz", gzip),
    (".bz2", bzip2),
    (".lz4", lz4),
    (".xz", xz),
    (".zst", |content| zstd::encode_all(content, 1).expect("compressed")),
];

/// In two frames, of which one holds nothing.
fn lz4(content: &[u8]) -> Vec<u8> {
    let frame = |part: &[u8]| {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(part).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let (first, rest) = content.split_at(content.len() / 2);
    [frame(first), frame(b""), frame(rest)].concat()
}

/// In two streams.
fn xz(content: &[u8]) -> Vec<u8> {
    let stream = |part: &[u8]| {
        let options = lzma_rust2::XzOptions::with_preset(1);
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).expect("a writer");
        writer.write_all(part).expect("compressed");
        writer.finish().expect("compressed")
    };
    let (first, rest) = content.split_at(content.len() / 2);
    [stream(first), stream(rest)].concat()
}

impl Bench {
    /// Makes an archive of a file, with its time, and deletes the file.
    fn compress(&self, name: &str, archive: &str, compress: Compress) {
        let content = fs::read(self.path(name)).expect("readable");
        let modified = fs::metadata(self.path(name)).and_then(|meta| meta.modified());
        self.write(archive, compress(&content));
        let file = OpenOptions::new().write(true).open(self.path(archive)).expect("opened");
        file.set_modified(modified.expect("a time")).expect("the time is set");
        fs::remove_file(self.path(name)).expect("removed");
    }
}

#[test]
fn the_rest_of_a_log_that_was_compressed_while_away_comes_from_the_archive() {
    for (ending, compress) in COMPRESSORS {
        for (pattern, rotated) in [
            ("a.log", "a.log.2"),
            ("a.log*", "a.log.2"),
            ("a.log", "a.log-20261120"),
            ("a.log", "a-20261120.log"),
        ] {
            let mut bench = Bench::new(pattern);
            bench.write("old.log.9.gz", gzip(b"history\n"));
            bench.write("a.log", "1\n2\n");
            assert_eq!("1\n2\n", bench.read());
            bench.append("a.log", "3\nunfinished");
            bench.compress("a.log", &format!("{rotated}{ending}"), compress);
            bench.write("a.log", "4\n");
            bench.restart();
            assert_eq!("3\nunfinished4\n", bench.read(), "{pattern} {rotated}{ending}");
            assert_eq!("", bench.read_later());
            bench.restart();
            assert_eq!("", bench.read());
            assert!(bench.warnings().is_empty(), "{:?}", bench.notices);
        }
    }
}

#[test]
fn a_large_rest_is_read_block_by_block_over_restarts() {
    let line = |n: u32| format!("{n:07} {}\n", "x".repeat(90));
    let long = format!("{}\n", "y".repeat(200_000));
    let text: String = (0..30_000).map(line).collect();
    let mut bench = Bench::new("a.log");
    bench.write("a.log", line(0));
    assert_eq!(line(0), bench.read());
    bench.append("a.log", &format!("{}{long}end\n", &text[line(0).len()..]));
    bench.compress("a.log", "a.log.1.gz", gzip);
    let (mut found, mut blocks) = (line(0), 0);
    loop {
        bench.restart();
        bench.follower.rescan(bench.now);
        let Some(block) = bench.follower.read(Vec::new()) else { break };
        assert_eq!(Path::new("a.log.1.gz"), Path::new(block.path.file_name().expect("a name")));
        found.push_str(&String::from_utf8_lossy(&block.bytes));
        blocks += 1;
    }
    assert!(found == format!("{text}{}end\n", &long[..64 << 10]));
    assert!((4..20).contains(&blocks), "{blocks}");
}

#[test]
fn after_copytruncate_and_compression_the_rest_comes_from_the_archive() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", "1\n");
    assert_eq!("1\n", bench.read());
    bench.append("a.log", "2\n");
    fs::copy(bench.path("a.log"), bench.path("a.log.1")).expect("copied");
    bench.truncate("a.log");
    bench.compress("a.log.1", "a.log.1.gz", gzip);
    bench.append("a.log", "3\n");
    assert_eq!("2\n3\n", bench.read());
    assert!(bench.warnings().is_empty(), "{:?}", bench.notices);
}

#[test]
fn what_came_and_went_while_away_is_read_and_older_archives_are_not() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log.3.gz", gzip(b"history\n"));
    let file = OpenOptions::new().write(true).open(bench.path("a.log.3.gz")).expect("opened");
    file.set_modified(std::time::UNIX_EPOCH).expect("the time is set");
    bench.write("a.log", "1\n");
    assert_eq!("1\n", bench.read());
    bench.append("a.log", "2\n");
    bench.compress("a.log", "a.log.2.gz", gzip);
    bench.write("a.log", "3\n");
    bench.compress("a.log", "a.log.1.bz2", bzip2);
    bench.write("a.log", "4\n");
    bench.restart();
    assert_eq!("2\n3\n4\n", bench.read());
    assert_eq!("", bench.read_later());
    assert_eq!(1, bench.follower.status()[0].missed);
    bench.rename("a.log.2.gz", "a.log.3.gz");
    bench.rename("a.log.1.bz2", "a.log.2.bz2");
    bench.compress("a.log", "a.log.1.gz", gzip);
    bench.write("a.log", "5\n");
    assert_eq!("5\n", bench.read_later(), "its file was read before it was compressed");
    assert!(bench.warnings().is_empty(), "{:?}", bench.notices);
}

#[test]
fn a_cut_archive_is_used_as_far_as_it_goes_and_told() {
    let line = |n: u32| format!("{:x}\n", u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let text: String = (0..50_000).map(line).collect();
    let mut bench = Bench::new("a.log");
    bench.write("a.log", &text[..line(0).len()]);
    assert_eq!(line(0), bench.read());
    let whole = gzip(text.as_bytes());
    fs::remove_file(bench.path("a.log")).expect("removed");
    bench.write("a.log.1.gz", &whole[..whole.len() / 2]);
    bench.write("a.log", "next\n");
    bench.restart();
    let found = bench.read() + &bench.read_later();
    let rest = found.strip_suffix("next\n").expect("the successor does not wait for ever");
    assert!(text[line(0).len()..].starts_with(rest) && text.len() / 4 < rest.len());
    assert!(matches!(bench.warnings()[..], [NoticeKind::Damaged { .. }]), "{:?}", bench.notices);
}
