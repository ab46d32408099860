//! Each kind of rotation, damage and limit by itself, on real files.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::config::{Limits, SourceConfig, Start};
use super::follow::Follower;
use super::generation::Generation;
use super::status::{Level, Notice, NoticeKind};
use crate::units::Timestamp;

/// A directory of logs with a follower on it.
pub(super) struct Bench {
    pub(super) directory: tempfile::TempDir,
    pub(super) configs: Vec<SourceConfig>,
    pub(super) follower: Follower,
    pub(super) limits: Limits,
    pub(super) now: Timestamp,
    pub(super) notices: Vec<Notice>,
}

impl Bench {
    /// Follows `pattern` below a new directory.
    pub(super) fn new(pattern: &str) -> Self {
        Self::with(pattern, |_| (), Limits::default())
    }

    pub(super) fn with(pattern: &str, change: impl Fn(&mut SourceConfig), limits: Limits) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = SourceConfig::new(format!("{}/{pattern}", directory.path().display()));
        change(&mut config);
        let configs = vec![config];
        let follower = Follower::new(&configs, Vec::new(), limits);
        let now = Timestamp::from_secs(1000);
        Self { directory, configs, follower, limits, now, notices: Vec::new() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("written");
    }

    pub(super) fn append(&self, name: &str, text: &str) {
        self.append_bytes(name, text.as_bytes());
    }

    pub(super) fn append_bytes(&self, name: &str, bytes: &[u8]) {
        let file = OpenOptions::new().append(true).create(true).open(self.path(name));
        io::Write::write_all(&mut file.expect("opened"), bytes).expect("written");
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("renamed");
    }

    pub(super) fn truncate(&self, name: &str) {
        let file = OpenOptions::new().write(true).open(self.path(name)).expect("opened");
        file.set_len(0).expect("truncated");
    }

    /// Looks and reads all there is.
    pub(super) fn read(&mut self) -> String {
        let (mut text, mut buffer) = (String::new(), Vec::new());
        self.notices.extend(self.follower.rescan(self.now));
        while let Some(block) = self.follower.read(buffer) {
            text.push_str(&String::from_utf8_lossy(&block.bytes));
            buffer = block.bytes;
        }
        text
    }

    pub(super) fn read_later(&mut self) -> String {
        self.now = self.now.plus_ms(6000);
        self.read()
    }

    /// Ends the process after a commit and starts another one.
    pub(super) fn restart(&mut self) {
        let stored: Vec<Generation> = self.follower.generations().cloned().collect();
        let json = serde_json::to_string(&stored).expect("text");
        let resume = serde_json::from_str(&json).expect("the same values");
        self.follower = Follower::new(&self.configs, resume, self.limits);
    }

    pub(super) fn warnings(&self) -> Vec<&NoticeKind> {
        let warned = self.notices.iter().filter(|notice| notice.level() == Level::Warn);
        warned.map(|notice| &notice.kind).collect()
    }
}

#[test]
fn a_tiny_file_is_read_from_its_first_byte_and_an_unfinished_line_waits() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", "1\n2");
    assert_eq!("1\n", bench.read());
    assert_eq!("", bench.read_later(), "a live file may still finish its line");
    bench.append("a.log", "2\n3\n");
    assert_eq!("22\n3\n", bench.read());
}

#[test]
fn a_renamed_file_is_read_to_its_end_before_its_successor() {
    for pattern in ["a.log", "a.log*"] {
        let mut bench = Bench::new(pattern);
        bench.write("a.log", "1\n");
        assert_eq!("1\n", bench.read());
        bench.append("a.log", "2\n");
        bench.rename("a.log", "a.log.1");
        bench.append("a.log.1", "3\n");
        bench.write("a.log", "4\n");
        assert_eq!("2\n3\n4\n", bench.read(), "{pattern}");
        assert_eq!("", bench.read_later());
        assert_eq!(1, bench.follower.status()[0].rotations);
        assert_eq!(1, bench.follower.status()[0].files, "the finished file is closed");
        bench.restart();
        assert_eq!("", bench.read(), "{pattern}");
        assert!(bench.warnings().is_empty(), "{:?}", bench.notices);
    }
}

#[test]
fn the_unfinished_last_line_of_a_rotated_file_counts_once_the_file_is_at_rest() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", "1\n2");
    assert_eq!("1\n", bench.read());
    bench.rename("a.log", "kept.log");
    bench.write("a.log", "3\n");
    assert_eq!("", bench.read(), "the successor waits for the rest");
    assert_eq!("23\n", bench.read_later());
}

#[test]
fn a_deleted_file_is_read_to_its_end_through_the_open_handle() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", "1\n");
    bench.follower.rescan(bench.now);
    fs::remove_file(bench.path("a.log")).expect("removed");
    bench.write("a.log", "2\n");
    assert_eq!("1\n2\n", bench.read());
    assert!(bench.warnings().is_empty());
}

#[test]
fn several_rotations_while_away_are_read_in_order() {
    for pattern in ["a.log", "a.log*"] {
        let mut bench = Bench::new(pattern);
        bench.write("a.log", "1\n");
        assert_eq!("1\n", bench.read());
        bench.append("a.log", "2\n");
        bench.rename("a.log", "a.log.2");
        bench.write("a.log.1", "3\n");
        bench.write("a.log", "4\n");
        bench.restart();
        assert_eq!("2\n3\n4\n", bench.read(), "{pattern}");
    }
}

#[test]
fn a_rotated_file_copied_to_another_inode_while_away_is_known_by_its_content() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", "1\n");
    assert_eq!("1\n", bench.read());
    bench.append("a.log", "2\n");
    fs::copy(bench.path("a.log"), bench.path("a.log-20261120")).expect("copied");
    fs::remove_file(bench.path("a.log")).expect("removed");
    bench.write("a.log", "3\n");
    bench.restart();
    assert_eq!("2\n3\n", bench.read());
}

#[test]
fn history_beside_a_plain_path_is_not_read() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log.1", "old\n");
    bench.write("a.log", "1\n");
    assert_eq!("1\n", bench.read());
    bench.restart();
    assert_eq!("", bench.read());
}

#[test]
fn what_vanished_while_away_is_told_with_the_bytes_known_of() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", "1\nunfinished");
    assert_eq!("1\n", bench.read());
    bench.restart();
    fs::remove_file(bench.path("a.log")).expect("removed");
    assert_eq!("", bench.read());
    assert_eq!(vec![&NoticeKind::Lost { reason: None, known_bytes: 10 }], bench.warnings());
    assert_eq!((1, 10), (bench.follower.status()[0].losses, bench.follower.status()[0].lost_bytes));
}

#[test]
fn after_copytruncate_the_rest_comes_from_the_copy() {
    for pattern in ["a.log", "a.log*"] {
        let mut bench = Bench::new(pattern);
        bench.write("a.log", "1\n");
        assert_eq!("1\n", bench.read());
        bench.append("a.log", "2\n");
        fs::copy(bench.path("a.log"), bench.path("a.log.1")).expect("copied");
        bench.truncate("a.log");
        bench.append("a.log", "3\n");
        assert_eq!("2\n3\n", bench.read(), "{pattern}");
        assert_eq!(1, bench.follower.status()[0].truncations);
        assert!(bench.warnings().is_empty(), "{:?}", bench.notices);
    }
}

#[test]
fn a_copy_in_the_making_is_not_taken_for_a_new_file() {
    let mut bench = Bench::new("a.log*");
    bench.write("a.log", "1\n2\n3\n");
    assert_eq!("1\n2\n3\n", bench.read());
    for part in ["", "1\n", "1\n2", "1\n2\n3\n"] {
        bench.write("a.log.1", part);
        assert_eq!("", bench.read());
    }
    bench.truncate("a.log");
    assert_eq!("", bench.read_later());
    bench.append("a.log", "4\n");
    assert_eq!("4\n", bench.read());
}

#[test]
fn a_copy_that_ends_before_what_was_read_is_no_loss_and_is_not_read_again() {
    let long = "x".repeat(2000) + "\n";
    let mut bench = Bench::new("a.log*");
    bench.write("a.log", &long);
    assert!(bench.read() == long);
    fs::copy(bench.path("a.log"), bench.path("a.log.1")).expect("copied");
    bench.append("a.log", "late\n");
    assert_eq!("late\n", bench.read());
    bench.truncate("a.log");
    bench.append("a.log", "new\n");
    assert_eq!("new\n", bench.read());
    assert_eq!("", bench.read_later());
    assert!(bench.warnings().is_empty(), "{:?}", bench.notices);
}

#[test]
fn a_truncation_without_a_copy_is_told_with_an_estimate() {
    // Before the first KiB the head is compared, after it the bytes before the position.
    for lines in [1, 2000] {
        let mut bench = Bench::new("a.log");
        let old = "1\n".repeat(lines);
        bench.write("a.log", format!("{old}unread"));
        assert_eq!(old, bench.read());
        bench.truncate("a.log");
        // Grown beyond the old position before anybody looked.
        let new = "another line\n".repeat(lines);
        bench.append("a.log", &new);
        let tail = &mut bench.follower.tails[0];
        (tail.waiting_at, tail.generation.size) = (None, new.len() as u64);
        assert_eq!(None, bench.follower.read(Vec::new()), "checked again with each read");
        bench.follower.tails[0].generation.size = old.len() as u64 + 6;
        assert_eq!(new, bench.read());
        let reason = Some(super::Began::Truncated);
        assert_eq!(vec![&NoticeKind::Lost { reason, known_bytes: 6 }], bench.warnings());
    }
}

#[test]
fn an_inode_met_again_under_other_content_is_a_new_file() {
    let mut bench = Bench::new("*.log");
    bench.write("a.log", "1\n");
    assert_eq!("1\n", bench.read());
    bench.restart();
    // The same inode under another name and with another content, as after a reuse.
    bench.rename("a.log", "b.log");
    bench.write("b.log", "another\nfile\n");
    assert_eq!("another\nfile\n", bench.read());
    assert_eq!(1, bench.follower.status()[0].inodes_reused);
}

#[test]
fn the_hole_a_truncation_leaves_is_passed_over_and_counted() {
    let mut bench = Bench::new("a.log");
    let file = File::create(bench.path("a.log")).expect("created");
    file.write_all_at(b"1\n", 5_000_000).expect("written");
    assert_eq!("1\n", bench.read());
    assert_eq!(5_000_000, bench.follower.status()[0].nul_bytes);
    bench.read();
    assert_eq!(vec![&NoticeKind::NulBytes { count: 5_000_000 }], bench.warnings());
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", b"\xef\xbb");
    assert_eq!("", bench.read());
    bench.write("a.log", b"\xef\xbb\xbf1\n");
    bench.follower.rescan(bench.now);
    let block = bench.follower.read(Vec::new()).expect("a block");
    assert_eq!((3, 5, b"1\n".as_slice()), (block.from, block.to, block.bytes.as_slice()));
}

#[test]
fn a_line_over_the_limit_is_cut_and_the_position_is_that_of_the_file() {
    let mut bench = Bench::new("a.log");
    let long = "y".repeat(3_000_000);
    bench.write("a.log", format!("1\n{long}"));
    assert_eq!("1\n", bench.read());
    assert_eq!("", bench.read(), "its end is not there yet");
    bench.append("a.log", "\n2\n");
    bench.follower.rescan(bench.now);
    let block = bench.follower.read(Vec::new()).expect("the head");
    assert!(block.truncated_last);
    assert_eq!((2, 3_000_003, 65_536), (block.from, block.to, block.bytes.len()));
    assert!(block.bytes.capacity() <= 1 << 20, "memory is bounded");
    assert_eq!("2\n", bench.read());
    assert_eq!(1, bench.follower.status()[0].long_lines);
}

#[test]
fn archives_are_left_out_with_one_notice() {
    let mut bench = Bench::new("a.log*");
    for name in ["a.log.2.gz", "a.log.3.zst", "a.log.4.bz2", "a.log.5.xz"] {
        bench.write(name, "not text");
    }
    bench.write("a.log", "1\n");
    assert_eq!("1\n", bench.read());
    bench.read();
    assert_eq!(
        vec![NoticeKind::Compressed],
        bench.notices.iter().map(|n| n.kind.clone()).collect::<Vec<_>>()
    );
    assert_eq!(4, bench.follower.status()[0].compressed);
}

#[test]
fn a_file_without_permission_is_told_once_and_the_others_go_on() {
    fn refuse(path: &Path) -> io::Result<File> {
        if path.ends_with("a.log") && !path.with_extension("allowed").exists() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        File::open(path)
    }
    let mut bench = Bench::new("*.log");
    bench.follower = Follower::new(&bench.configs, Vec::new(), bench.limits).with_open(refuse);
    bench.write("a.log", "1\n");
    bench.write("b.log", "2\n");
    assert_eq!("2\n", bench.read());
    assert_eq!("", bench.read());
    let unreadable = &bench.follower.status()[0].unreadable;
    assert_eq!("add the user to group adm: usermod -aG adm gatewatch", unreadable[0].fix);
    assert_eq!(1, bench.warnings().len(), "told once");
    bench.write("a.allowed", "");
    assert_eq!("1\n", bench.read());
    assert!(bench.follower.status()[0].unreadable.is_empty());
}

#[test]
fn a_missing_directory_is_looked_for_again() {
    let mut bench = Bench::new("later/*.log");
    assert_eq!("", bench.read());
    assert!(bench.follower.status()[0].missing);
    fs::create_dir(bench.path("later")).expect("created");
    bench.write("later/a.log", "1\n");
    assert_eq!("1\n", bench.read());
    assert!(!bench.follower.status()[0].missing);
    let directory = bench.path("later");
    assert!(bench.follower.directories().contains(&directory));
    // A disk that is away for a while loses nothing.
    bench.restart();
    bench.rename("later", "away");
    assert_eq!("", bench.read());
    bench.rename("away", "later");
    bench.append("later/a.log", "2\n");
    assert_eq!("2\n", bench.read());
    assert!(bench.warnings().is_empty(), "{:?}", bench.notices);
}

#[test]
fn no_more_files_are_followed_than_the_limit_allows() {
    let limits = Limits { max_files: 2, ..Limits::default() };
    let mut bench = Bench::with("*.log", |_| (), limits);
    for name in ["a.log", "b.log", "c.log"] {
        bench.write(name, "1\n");
    }
    assert_eq!("1\n1\n", bench.read());
    bench.read();
    assert_eq!(vec![&NoticeKind::TooManyFiles { max_files: 2 }], bench.warnings());
    assert_eq!((2, 1), (bench.follower.status()[0].files, bench.follower.status()[0].over_limit));
}

#[test]
fn a_link_is_followed_and_a_file_met_twice_is_read_once() {
    let mut bench = Bench::new("*.log");
    bench.write("real.log", "1\n");
    std::os::unix::fs::symlink("real.log", bench.path("link.log")).expect("linked");
    assert_eq!("1\n", bench.read());
}

#[test]
fn excluded_files_are_left_out_and_the_end_can_be_the_start() {
    let change = |config: &mut SourceConfig| {
        config.exclude = vec!["b*.log".to_owned()];
        config.start = Start::End;
    };
    let mut bench = Bench::with("*.log", change, Limits::default());
    bench.write("a.log", "1\n2");
    bench.write("b.log", "no\n");
    assert_eq!("", bench.read());
    bench.append("a.log", "2\n");
    bench.write("c.log", "3\n");
    assert_eq!("3\n22\n", bench.read(), "a later file is read from its first byte");
}

#[test]
fn sources_take_turns_and_a_catch_up_uses_larger_blocks() {
    let mut bench = Bench::new("*.log");
    let text = format!("{}\n", "z".repeat(99)).repeat(15_000);
    bench.write("a.log", &text);
    bench.write("b.log", &text);
    bench.follower.rescan(bench.now);
    assert_eq!(2, bench.follower.ready().len());
    let mut sizes = Vec::new();
    while let Some(block) = bench.follower.read(Vec::new()) {
        assert_eq!(Some(block.to), bench.follower.generation_after(&block).map(|g| g.offset));
        sizes.push((block.path.ends_with("a.log"), block.bytes.len() / 1000));
    }
    assert_eq!([(true, 1048), (false, 1048)].as_slice(), &sizes[..2]);
    assert_eq!(3_000, sizes.iter().map(|(_, size)| size).sum::<usize>().div_ceil(1000) * 1000);
}

#[test]
fn a_name_that_is_no_utf_8_does_not_stop_a_commit() {
    let mut bench = Bench::new("*.log");
    let name = OsStr::from_bytes(b"a\xff.log");
    fs::write(bench.directory.path().join(name), "1\n").expect("written");
    assert_eq!("1\n", bench.read());
    bench.restart();
    assert_eq!("", bench.read());
}

/// The bytes of a UTF-16 file after its first two.
fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_utf_16_file_is_followed_by_positions_in_its_own_bytes() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", b"\xff");
    assert_eq!("", bench.read());
    bench.write("a.log", [b"\xff\xfe".as_slice(), &wide("one\r\n\u{a0a}tw\u{f6}\n")].concat());
    bench.follower.rescan(bench.now);
    let block = bench.follower.read(Vec::new()).expect("a block");
    assert_eq!((2, 22), (block.from, block.to));
    assert_eq!("one\r\n\u{a0a}tw\u{f6}\n", String::from_utf8_lossy(&block.bytes));
    assert!(block.encoding.is_wide());
    // Half of a line feed is none.
    bench.append_bytes("a.log", &wide("three\n")[..11]);
    bench.restart();
    assert_eq!("", bench.read());
    bench.append_bytes("a.log", b"\0");
    assert_eq!("three\n", bench.read());
    bench.append_bytes("a.log", &wide("fo"));
    bench.rename("a.log", "a.log.1");
    bench.append_bytes("a.log.1", &wide("ur"));
    bench.write("a.log", "in bytes\n");
    assert_eq!("", bench.read());
    assert_eq!("fourin bytes\n", bench.read_later());
    assert!(bench.warnings().is_empty(), "{:?}", bench.notices);
}

#[test]
fn long_lines_of_a_utf_16_file_are_cut_and_the_end_can_be_the_start() {
    let limits = Limits { max_line_size: crate::units::ByteSize(1001), ..Limits::default() };
    let mut bench = Bench::with("*.log", |config| config.start = Start::End, limits);
    bench.write("a.log", wide("2026-11-20 07:46:41 old, with no byte order mark\nunfin"));
    assert_eq!("", bench.read());
    bench.append_bytes("a.log", &wide("ished\n"));
    assert_eq!("unfinished\n", bench.read());
    bench.append_bytes("a.log", &wide(&"y".repeat(300_000)));
    assert_eq!("", bench.read(), "its end is not found yet");
    bench.append_bytes("a.log", &wide("\nnext\n"));
    assert_eq!(format!("{}next\n", "y".repeat(500)), bench.read());
    assert_eq!(1, bench.follower.status()[0].long_lines);
}

#[test]
fn changes_name_what_a_commit_must_store() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", "1\n");
    assert_eq!("1\n", bench.read());
    let changes = bench.follower.take_changes();
    assert_eq!(vec![2], changes.changed.iter().map(|g| g.offset).collect::<Vec<_>>());
    assert_eq!(0, bench.follower.take_changes().changed.len());
    bench.rename("a.log", "a.log.1");
    bench.read();
    assert_eq!(1, bench.follower.take_changes().changed.len(), "a rotation is one, too");
}

#[test]
fn a_note_goes_with_the_position_and_the_lines_before_it_can_be_looked_at() {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", "\u{feff}#h\none\ntwo\n");
    bench.follower.rescan(bench.now);
    let block = bench.follower.read(Vec::new()).expect("lines");
    let id = block.generation;
    assert_eq!("", bench.follower.note(id));
    bench.follower.set_note(id, "columns");
    let changes = bench.follower.take_changes();
    assert_eq!("columns", changes.changed[0].note);
    bench.follower.set_note(id, "columns");
    assert_eq!(0, bench.follower.take_changes().changed.len(), "nothing new");
    let stored = serde_json::to_string(&changes.changed[0]).expect("JSON");
    let resumed: Generation = serde_json::from_str(&stored).expect("a position");
    let resumed = Follower::new(&bench.configs, vec![resumed], bench.limits);
    assert_eq!("columns", resumed.note(id));

    let before = |position| bench.follower.lines_before(id, position);
    assert_eq!(b"#h\none\n", &*before(10));
    assert_eq!(b"#h\none\ntwo\n", &*before(block.to));
    assert_eq!(b"", &*before(0));
}

#[test]
fn of_a_long_file_the_first_and_the_last_lines_are_looked_at() {
    let mut bench = Bench::new("a.log");
    let text: String = (0..100_000).map(|number| format!("line {number}\n")).collect();
    bench.write("a.log", &text);
    bench.follower.rescan(bench.now);
    let block = bench.follower.read(Vec::new()).expect("lines");
    for position in [text.len(), text.len() / 2, 400_000, 300_000, 70_000, 60_000] {
        let position = text[..position].rfind('\n').map_or(0, |end| end + 1);
        let lines = bench.follower.lines_before(block.generation, position as u64);
        let lines = String::from_utf8(lines).expect("text");
        assert!(lines.len() <= 320 << 10 && lines.starts_with("line 0\n"), "{position}");
        assert_eq!(text[..position].lines().last(), lines.lines().last(), "{position}");
        let is_whole = |line: &str| text.contains(&format!("{line}\n"));
        assert!(lines.ends_with('\n') && lines.lines().step_by(997).all(is_whole), "{position}");
        if position <= 320 << 10 {
            assert_eq!(position, lines.len(), "all of it");
        }
    }
}
