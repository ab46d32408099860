//! The alert log: one JSON object per transition of an alert and per answer to one, a line each, for
//! machines and greps.
//!
//! It follows the tables of alerts and answers in the store by number. The cursor keeps the length of the file
//! along with these numbers, so that lines written just before a crash are cut off and written
//! again: each transition is there once.
//!
//! Invariant: the cursor moves only after the lines are on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::MailError;
use crate::engine::render::alert::{alert_json, answer_json};
use crate::store::StoreReader;
use crate::units::{ByteSize, Timestamp};

/// The log's name among the readers of the store.
const READER: &str = "alert-log";
/// Alerts written and synced at once.
const BATCH: usize = 200;

/// How much the log may take.
#[derive(Clone, Copy, Debug)]
pub struct AlertLogLimits {
    /// Size at which a file is closed and the next one begun.
    pub max_size: ByteSize,
    /// Closed files that are kept: `alerts.jsonl.1` is the newest.
    pub keep: u32,
}

impl Default for AlertLogLimits {
    /// 10 MiB hold some 3,000 alerts with their evidence.
    fn default() -> Self {
        Self { max_size: ByteSize(10 << 20), keep: 4 }
    }
}

/// What the cursor remembers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
struct Position {
    /// Number of the last transition in the log.
    number: i64,
    /// Number of the last answer in the log.
    answered: i64,
    /// The file that holds it, and its length then.
    inode: u64,
    length: u64,
}

/// The open log.
#[derive(Debug)]
pub struct AlertLog {
    path: PathBuf,
    limits: AlertLogLimits,
    file: File,
    position: Position,
}

impl AlertLog {
    /// Opens the log at `path` and goes on where the store says it ended.
    pub fn open(
        path: &Path,
        limits: AlertLogLimits,
        reader: &StoreReader,
    ) -> Result<Self, MailError> {
        let state = reader.cursor(READER)?.map(|cursor| cursor.state).unwrap_or_default();
        let position: Position = serde_json::from_str(&state).unwrap_or_default();
        let file = open(path).map_err(|source| io_error("open", path, source))?;
        let mut log = Self { path: path.to_owned(), limits, file, position };
        log.cut_unfinished().map_err(|source| io_error("read", path, source))?;
        Ok(log)
    }

    /// Writes the transitions and answers that the store has and the log has not; returns how many.
    pub fn catch_up(&mut self, reader: &StoreReader, now: Timestamp) -> Result<usize, MailError> {
        let mut written = 0;
        loop {
            let alerts = reader.alerts_after(self.position.number, BATCH)?;
            let Some((last, _)) = alerts.last() else { break };
            let last = *last;
            let mut lines = Vec::new();
            for (_, alert) in &alerts {
                alert_json(alert, &mut lines);
                lines.push(b'\n');
            }
            self.write(&lines)?;
            self.position.number = last;
            self.save(reader, now)?;
            written += alerts.len();
        }
        loop {
            let answers = reader.answers_after(self.position.answered, BATCH)?;
            let Some(last) = answers.last().map(|answer| answer.number) else { return Ok(written) };
            let mut lines = Vec::new();
            for answer in &answers {
                // An alert that is too old to be there has been in the log for long.
                if let Some(alert) = reader.alerts_named(&answer.alert, 1)?.first() {
                    answer_json(alert, answer, &mut lines);
                    lines.push(b'\n');
                }
            }
            self.write(&lines)?;
            self.position.answered = last;
            self.save(reader, now)?;
            written += answers.len();
        }
    }

    fn save(&self, reader: &StoreReader, now: Timestamp) -> Result<(), MailError> {
        let state = serde_json::to_string(&self.position).expect("numbers are JSON");
        Ok(reader.save_cursor(READER, reader.last_seq()?, &state, now)?)
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), MailError> {
        let written = self.append(lines);
        written.map_err(|source| io_error("write", &self.path, source))
    }

    fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        self.settle()?;
        let length = self.position.length;
        if length != 0 && self.limits.max_size.0 < length + lines.len() as u64 {
            self.rotate()?;
        }
        self.file.write_all(lines)?;
        self.file.sync_all()?;
        self.note_length()
    }

    /// Makes the file what the cursor says: opened anew when somebody moved it away, and without
    /// the part of a write that failed.
    fn settle(&mut self) -> std::io::Result<()> {
        if fs::metadata(&self.path).map(|meta| meta.ino()).ok() != Some(self.position.inode) {
            self.file = open(&self.path)?;
            return self.note_length();
        }
        if self.position.length < self.file.metadata()?.len() {
            self.file.set_len(self.position.length)?;
        }
        self.note_length()
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        for number in (1..self.limits.keep).rev() {
            let (from, to) = (self.numbered(number), self.numbered(number + 1));
            if from.exists() {
                fs::rename(from, to)?;
            }
        }
        if self.limits.keep != 0 {
            fs::rename(&self.path, self.numbered(1))?;
        } else {
            fs::remove_file(&self.path)?;
        }
        self.file = open(&self.path)?;
        self.note_length()?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    /// Takes back what was written and not noted: all of it when the file is the noted one, else
    /// (rotated by a crash, or by somebody else) only a line without an end.
    fn cut_unfinished(&mut self) -> std::io::Result<()> {
        let meta = self.file.metadata()?;
        let keep = if meta.ino() == self.position.inode && self.position.length <= meta.len() {
            self.position.length
        } else {
            whole_lines(&mut self.file)?
        };
        if keep < meta.len() {
            self.file.set_len(keep)?;
            self.file.sync_all()?;
        }
        self.note_length()
    }

    fn note_length(&mut self) -> std::io::Result<()> {
        let meta = self.file.metadata()?;
        (self.position.inode, self.position.length) = (meta.ino(), meta.len());
        Ok(())
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)
}

/// Length of `file` up to its last line ending.
fn whole_lines(file: &mut File) -> std::io::Result<u64> {
    const STEP: u64 = 64 << 10;
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end != 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        Read::take(&mut *file, end - start).read_to_end(&mut block)?;
        if let Some(newline) = memchr::memrchr(b'\n', &block) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn io_error(action: &'static str, path: &Path, source: std::io::Error) -> MailError {
    MailError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::answer::{Answer, Reply};
    use crate::engine::detect::{Alert, AlertState};
    use crate::notify::samples;
    use crate::store::{Commit, Store};

    struct Bench {
        dir: tempfile::TempDir,
        store: Store,
        reader: StoreReader,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let store = Store::open(dir.path()).expect("a store");
            let reader = StoreReader::open(dir.path()).expect("a reader");
            Self { dir, store, reader }
        }

        fn fire(&mut self, number: u32) {
            let alert = Alert { id: format!("{number:032x}"), ..samples::spray() };
            let commit = Commit { alerts: &[alert], ..Commit::default() };
            self.store.commit(&commit, samples::START).expect("stored");
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("alerts.jsonl")
        }

        fn log(&self, limits: AlertLogLimits) -> AlertLog {
            AlertLog::open(&self.path(), limits, &self.reader).expect("a log")
        }

        /// The numbers of the alerts in the log's files, the oldest first.
        fn logged(&self) -> Vec<u64> {
            let older = (1..9).rev().map(|n| self.dir.path().join(format!("alerts.jsonl.{n}")));
            let text: String = older
                .chain([self.path()])
                .filter_map(|path| fs::read_to_string(path).ok())
                .collect();
            let id = |line: &str| -> u64 {
                let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let id = value["gatewatch"]["alert"]["id"].as_str().expect("an id").to_owned();
                u64::from_str_radix(&id[16..], 16).expect("a number")
            };
            text.lines().map(id).collect()
        }
    }

    #[test]
    fn each_transition_is_written_once_and_a_restart_goes_on() {
        let mut bench = Bench::new();
        bench.fire(1);
        bench.fire(2);
        let mut log = bench.log(AlertLogLimits::default());
        assert_eq!(2, log.catch_up(&bench.reader, samples::START).expect("written"));
        assert_eq!(0, log.catch_up(&bench.reader, samples::START).expect("nothing new"));
        bench.fire(3);
        let mut log = bench.log(AlertLogLimits::default());
        assert_eq!(1, log.catch_up(&bench.reader, samples::START).expect("written"));
        assert_eq!(vec![1, 2, 3], bench.logged());
    }

    #[test]
    fn lines_that_a_crash_left_behind_are_written_again_and_not_doubled() {
        let mut bench = Bench::new();
        bench.fire(1);
        let mut log = bench.log(AlertLogLimits::default());
        log.catch_up(&bench.reader, samples::START).expect("written");
        bench.fire(2);
        let cursor = bench.reader.cursor(READER).expect("readable").expect("there");
        log.catch_up(&bench.reader, samples::START).expect("written");
        // As if the program had died before the cursor was stored, within the next line.
        bench.reader.save_cursor(READER, cursor.seq, &cursor.state, samples::START).expect("saved");
        let mut file = OpenOptions::new().append(true).open(bench.path()).expect("there");
        file.write_all(b"{\"ts").expect("written");
        let mut log = bench.log(AlertLogLimits::default());
        log.catch_up(&bench.reader, samples::START).expect("written");
        assert_eq!(vec![1, 2], bench.logged());
    }

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let mut bench = Bench::new();
        let limits = AlertLogLimits { max_size: ByteSize(1), keep: 2 };
        let mut log = bench.log(limits);
        for number in 1..=5 {
            bench.fire(number);
            log.catch_up(&bench.reader, samples::START).expect("written");
        }
        assert_eq!(vec![3, 4, 5], bench.logged());
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_again() {
        let mut bench = Bench::new();
        let mut log = bench.log(AlertLogLimits::default());
        bench.fire(1);
        log.catch_up(&bench.reader, samples::START).expect("written");
        fs::rename(bench.path(), bench.dir.path().join("alerts.jsonl.1")).expect("moved");
        bench.fire(2);
        log.catch_up(&bench.reader, samples::START).expect("written");
        assert_eq!(vec![1, 2], bench.logged());
        assert_eq!(1, fs::read_to_string(bench.path()).expect("text").lines().count());
    }

    #[test]
    fn an_answer_is_a_line_behind_its_alert_and_is_written_once() {
        let mut bench = Bench::new();
        bench.fire(7);
        let id = format!("{:032x}", 7);
        let said = |reply, until| Answer {
            at: samples::START,
            reply,
            incident: id.clone(),
            alert: id.clone(),
            until,
            uid: 1000,
            login: "admin".to_owned(),
            note: "our \u{1b}[31m scanner".to_owned(),
            ..Answer::default()
        };
        for answer in [said(Reply::Snooze, Some(samples::START)), said(Reply::Expected, None)] {
            bench.reader.add_answer(&answer, &[], &[]).expect("stored");
        }
        for written in [3, 0] {
            let mut log = bench.log(AlertLogLimits::default());
            assert_eq!(written, log.catch_up(&bench.reader, samples::START).expect("written"));
        }
        let text = fs::read_to_string(bench.path()).expect("text");
        assert!(!text.contains('\u{1b}'));
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let of = |line: &serde_json::Value, field: &str| {
            let alert = &line["gatewatch"]["alert"];
            (alert[field]["reply"].clone(), alert[field]["by"]["name"].clone())
        };
        let (nothing, admin) = (serde_json::Value::Null, "admin");
        assert_eq!((nothing.clone(), nothing), of(&lines[0], "verdict"));
        assert_eq!(("snooze".into(), admin.into()), of(&lines[1], "answer"));
        assert_eq!(("expected".into(), admin.into()), of(&lines[2], "verdict"));
        assert_eq!("alert_answered", lines[2]["event"]["action"]);
        assert_ne!(lines[1]["event"]["id"], lines[2]["event"]["id"]);
    }

    #[test]
    fn both_transitions_of_an_alert_are_lines() {
        let mut bench = Bench::new();
        bench.fire(1);
        let resolved =
            Alert { id: format!("{:032x}", 1), state: AlertState::Resolved, ..samples::spray() };
        let commit = Commit { alerts: &[resolved], ..Commit::default() };
        bench.store.commit(&commit, samples::START).expect("stored");
        bench
            .log(AlertLogLimits::default())
            .catch_up(&bench.reader, samples::START)
            .expect("written");
        let text = fs::read_to_string(bench.path()).expect("text");
        let actions: Vec<bool> = text.lines().map(|l| l.contains("alert_resolved")).collect();
        assert_eq!(vec![false, true], actions);
    }
}
