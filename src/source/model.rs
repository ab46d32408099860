//! Goal: whatever happens to a log file, each of its lines is stored exactly once and in order.
//!
//! Method: a log writer, a rotation tool and a follower take random turns on real files. The
//! follower's lines count only when they are committed together with its positions; a restart
//! forgets the rest, as a crash would. At the end all lines ever written must have been committed
//! exactly once, in the order they were written. A failure prints its seed; that seed alone
//! repeats it.
//!
//! A file is deleted only after its lines were committed, because what is deleted cannot be read.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::config::{Limits, SourceConfig};
use super::follow::Follower;
use super::generation::Generation;
use super::input::open_input;
use crate::io::{Chance, Seeded};
use crate::units::Timestamp;

pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).expect("compressed");
    encoder.finish().expect("compressed")
}

pub(super) fn bzip2(content: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(content).expect("compressed");
    encoder.finish().expect("compressed")
}

const SEEDS: u64 = 300;
const STEPS: usize = 80;

/// The number that a line begins with, and a blank.
const NUMBER_BYTES: usize = 7;

#[test]
fn each_line_is_committed_once_and_in_order_whatever_happens_to_the_file() {
    for seed in 1..=SEEDS {
        World::new(seed).run();
    }
}

struct World {
    seed: u64,
    chance: Seeded,
    directory: tempfile::TempDir,
    config: SourceConfig,
    writer: Option<File>,
    written: usize,
    /// The end of a line of which the beginning was written.
    pending: Vec<u8>,
    follower: Follower,
    read: Vec<String>,
    committed: Vec<String>,
    stored: Vec<Generation>,
    now: Timestamp,
    history: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let chance = Seeded::new(seed);
        let ending = if seed.is_multiple_of(2) { "*" } else { "" };
        let config =
            SourceConfig::new(format!("{}/access.log{ending}", directory.path().display()));
        let follower = Follower::new(std::slice::from_ref(&config), Vec::new(), Limits::default());
        let mut world = Self {
            seed,
            chance,
            directory,
            config,
            writer: None,
            written: 0,
            pending: Vec::new(),
            follower,
            read: Vec::new(),
            committed: Vec::new(),
            stored: Vec::new(),
            now: Timestamp::from_secs(1000),
            history: Vec::new(),
        };
        // Rotations that precede the very first look are history and not read.
        world.append();
        world.rescan();
        world.commit();
        world
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.chance.next_u64() % limit
    }

    fn base(&self) -> PathBuf {
        self.directory.path().join("access.log")
    }

    fn rotated(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("access.log.{number}"))
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            self.step();
        }
        self.whole_line();
        for _ in 0..30 {
            self.now = self.now.plus_ms(10_000);
            self.rescan();
            self.read(usize::MAX);
        }
        self.commit();
        let expected: Vec<String> = (0..self.written).map(|n| format!("{n:06}")).collect();
        let first_wrong =
            expected.iter().zip(&self.committed).position(|(a, b)| a != b).unwrap_or_default();
        assert!(
            expected == self.committed,
            "seed {}: {} lines written, {} committed, first difference at {first_wrong}: {:?}\n{}",
            self.seed,
            expected.len(),
            self.committed.len(),
            self.committed.get(first_wrong..self.committed.len().min(first_wrong + 5)),
            self.history.join("\n"),
        );
    }

    fn step(&mut self) {
        let (name, act): (&'static str, fn(&mut Self)) = match self.below(25) {
            0..=4 => ("append", Self::append),
            5 => ("append_part", Self::append_part),
            6..=9 => ("rescan", Self::rescan),
            10..=13 => ("read", Self::read_some),
            14 | 15 => ("commit", Self::commit),
            16 => ("restart", Self::restart),
            17 | 18 => ("rename", Self::rename),
            19 => ("copy_truncate", Self::copy_truncate),
            20 => ("delete", Self::delete),
            21..=23 => ("compress", Self::compress),
            _ => ("remove_old", Self::remove_old),
        };
        self.history.push(name.to_owned());
        act(self);
        self.now = self.now.plus_ms(self.chance.next_u64() % 3000);
    }

    fn line(&mut self) -> Vec<u8> {
        let padding = self.below(90) as usize * (1 + self.below(20) as usize / 19 * 40);
        let line = format!("{:06} {}\n", self.written, "x".repeat(padding));
        self.written += 1;
        line.into_bytes()
    }

    fn write(&mut self, bytes: &[u8]) {
        let base = self.base();
        let open = || OpenOptions::new().append(true).create(true).open(base);
        let writer = self.writer.get_or_insert_with(|| open().expect("a log to write"));
        writer.write_all(bytes).expect("written");
    }

    fn append(&mut self) {
        let mut text = std::mem::take(&mut self.pending);
        for _ in 0..=self.below(12) {
            text.extend(self.line());
        }
        self.write(&text);
    }

    fn append_part(&mut self) {
        let mut text = std::mem::take(&mut self.pending);
        let line = self.line();
        // With its number: what is deleted from under a few bytes that all lines share, nobody
        // can tell from the next file.
        let cut = NUMBER_BYTES + self.below((line.len() - NUMBER_BYTES) as u64) as usize;
        text.extend_from_slice(&line[..cut]);
        self.pending = line[cut..].to_vec();
        self.write(&text);
    }

    /// Ends an unfinished line; now and then its line feed is never written.
    fn finish_line(&mut self) {
        if self.below(2) == 0 {
            self.pending.pop();
        }
        self.whole_line();
    }

    fn whole_line(&mut self) {
        let text = std::mem::take(&mut self.pending);
        if !text.is_empty() {
            self.write(&text);
        }
    }

    fn archive(&self, number: usize) -> PathBuf {
        self.directory.path().join(format!("access.log.{number}.gz"))
    }

    /// The highest number of a rotated file, compressed or not.
    fn highest(&self) -> usize {
        let exists =
            |number: &usize| self.rotated(*number).exists() || self.archive(*number).exists();
        (1..).take_while(exists).count()
    }

    fn shift(&self) {
        for number in (1..=self.highest()).rev() {
            let moves = [
                (self.rotated(number), self.rotated(number + 1)),
                (self.archive(number), self.archive(number + 1)),
            ];
            for (from, to) in moves.iter().filter(|(from, _)| from.exists()) {
                fs::rename(from, to).expect("renamed");
            }
        }
    }

    /// Makes an archive of a rotated file, with its time, and deletes the file then. Now and then
    /// somebody looks in between.
    fn compress(&mut self) {
        let highest = self.highest() as u64;
        if highest == 0 {
            return;
        }
        let number = 1 + self.below(highest) as usize;
        let (plain, archive) = (self.rotated(number), self.archive(number));
        if !plain.exists() {
            return;
        }
        let content = fs::read(&plain).expect("readable");
        let compressed = match self.below(3) {
            0 => zstd::encode_all(content.as_slice(), 1).expect("compressed"),
            1 => bzip2(&content),
            _ => gzip(&content),
        };
        let part = self.below(compressed.len() as u64 + 1) as usize;
        fs::write(&archive, &compressed[..part]).expect("written");
        if self.below(3) == 0 {
            self.rescan();
        }
        fs::write(&archive, &compressed).expect("written");
        let modified = fs::metadata(&plain).and_then(|meta| meta.modified()).expect("a time");
        let file = OpenOptions::new().write(true).open(&archive).expect("opened");
        file.set_modified(modified).expect("the time is set");
        if self.below(3) == 0 {
            self.rescan();
        }
        fs::remove_file(&plain).expect("removed");
    }

    fn rename(&mut self) {
        if !self.base().exists() {
            return;
        }
        self.finish_line();
        self.shift();
        fs::rename(self.base(), self.rotated(1)).expect("renamed");
        match self.below(4) {
            // The server has not been told yet and writes on. Its line must be whole: a line
            // left open above was the last one.
            0 if self.rotated_ends_whole() => self.append(),
            // The new file is there at once, or comes with its first line.
            1 | 2 => drop(File::create(self.base()).expect("created")),
            _ => (),
        }
        self.writer = None;
    }

    fn rotated_ends_whole(&self) -> bool {
        let content = fs::read(self.rotated(1)).expect("readable");
        self.writer.is_some() && content.last().is_none_or(|byte| *byte == b'\n')
    }

    fn copy_truncate(&mut self) {
        if !self.base().exists() {
            return;
        }
        self.whole_line();
        self.shift();
        fs::copy(self.base(), self.rotated(1)).expect("copied");
        if self.below(3) == 0 {
            self.rescan();
        }
        let file = OpenOptions::new().write(true).open(self.base()).expect("opened");
        file.set_len(0).expect("truncated");
    }

    fn is_committed(&self, path: &Path) -> bool {
        let mut text = String::new();
        let mut input = open_input(path).expect("readable");
        input.read_to_string(&mut text).expect("readable");
        let last = text.lines().last().and_then(|line| line.get(..6)?.parse::<usize>().ok());
        let whole = text.is_empty() || text.ends_with('\n');
        whole && last.is_none_or(|last| last < self.committed.len())
    }

    fn delete(&mut self) {
        if !self.base().exists() || !self.is_committed(&self.base()) {
            return;
        }
        fs::remove_file(self.base()).expect("removed");
        self.writer = None;
        if self.below(2) == 0 {
            drop(File::create(self.base()).expect("created"));
        }
    }

    fn remove_old(&mut self) {
        let highest = self.highest();
        let files = [self.rotated(highest), self.archive(highest)];
        let Some(path) = files.iter().find(|path| path.exists()) else { return };
        if self.is_committed(path) {
            fs::remove_file(path).expect("removed");
        }
    }

    fn rescan(&mut self) {
        for notice in self.follower.rescan(self.now) {
            self.history.push(format!("  {notice}"));
        }
    }

    fn read_some(&mut self) {
        let blocks = 1 + self.below(3) as usize;
        self.read(blocks);
    }

    fn read(&mut self, blocks: usize) {
        let mut buffer = Vec::new();
        for _ in 0..blocks {
            let Some(block) = self.follower.read(buffer) else { return };
            assert!(block.from < block.to, "seed {}", self.seed);
            let lines = block.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            for line in lines {
                self.read.push(String::from_utf8_lossy(&line[..line.len().min(6)]).into_owned());
            }
            buffer = block.bytes;
        }
    }

    fn commit(&mut self) {
        self.committed.append(&mut self.read);
        let changes = self.follower.take_changes();
        for generation in changes.changed {
            self.stored.retain(|known| known.id != generation.id);
            self.stored.push(generation);
        }
        self.stored.retain(|known| !changes.forgotten.contains(&known.id));
        let key = |g: &Generation| (g.id, g.offset, g.finished, g.rank, g.path.clone(), g.file);
        let mut stored: Vec<_> = self.stored.iter().map(key).collect();
        let mut held: Vec<_> = self.follower.generations().map(key).collect();
        stored.sort();
        held.sort();
        assert_eq!(held, stored, "seed {}: the changes lead to the present state", self.seed);
    }

    /// A crash: what was read but not committed is forgotten, and so is all the follower knew.
    fn restart(&mut self) {
        self.read.clear();
        let json = serde_json::to_string(&self.stored).expect("text");
        let resume = serde_json::from_str(&json).expect("the same values");
        let configs = std::slice::from_ref(&self.config);
        self.follower = Follower::new(configs, resume, Limits::default());
    }
}
