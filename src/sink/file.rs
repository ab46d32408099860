//! The file sink: events as lines, for agents that read files, and for archives.
//!
//! The cursor in the store goes with a [`FileMark`]: which file it was and how long it was when
//! everything before the cursor was on the disk. A restart cuts the file back to that length, so
//! what was written and not yet confirmed, torn lines included, is there once when the frame is
//! written again.
//!
//! Invariant: a mark is stored before anything is appended to the file it speaks of, and bytes
//! before the mark are never touched.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::config::{FileConfig, SinkCommon};
use super::lines::Lines;
use super::{Rendered, SinkContext, SinkError};
use crate::units::Timestamp;

/// How far a file is written for certain.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileMark {
    /// The file as configured.
    path: PathBuf,
    /// Which file it was: a path can come to mean another one.
    inode: u64,
    /// Its length in bytes.
    length: u64,
    /// The day it was begun, in days since 1970 (UTC).
    day: u64,
}

/// A sink that appends to a file.
#[derive(Debug)]
pub struct FileSink {
    place: Place,
    pub(super) lines: Lines,
    open: Option<Opened>,
}

/// What is known about the file without looking at it.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    size_max: u64,
    daily: bool,
    keep: u32,
}

#[derive(Debug)]
struct Opened {
    file: tokio::fs::File,
    /// What is certain.
    mark: FileMark,
    /// Length with what was written since.
    written: u64,
}

impl FileSink {
    /// A sink as `config` describes it; the file is opened when there is something to write.
    pub fn new(config: &FileConfig, common: &SinkCommon, context: &SinkContext) -> Self {
        let place = Place {
            path: config.path.clone(),
            size_max: config.max_size.0,
            daily: config.daily,
            keep: config.keep.max(1),
        };
        Self { place, lines: Lines::new(config.encoding, common, context), open: None }
    }

    /// Makes the file ready for a turn, for the first time or anew: cuts it back to `saved`, and
    /// starts a new file when it is time. The mark it returns must be stored before `send`.
    pub(super) async fn begin(
        &mut self,
        saved: Option<FileMark>,
        now: Timestamp,
    ) -> Result<FileMark, SinkError> {
        if let Some(open) = self.open.take_if(|open| !self.place.is_good(open, saved.as_ref(), now))
        {
            close(open).await;
        }
        if self.open.is_none() {
            let place = self.place.clone();
            let ready = tokio::task::spawn_blocking(move || place.ready(saved.as_ref(), now)).await;
            // The task ends with the runtime only, which ends this one, too.
            let ended = |_| self.place.error("open", io::ErrorKind::Interrupted.into());
            let (file, mark) = ready.map_err(ended)??;
            let file = tokio::fs::File::from_std(file);
            self.open = Some(Opened { file, written: mark.length, mark });
        }
        let open = self.open.as_ref().expect("opened above");
        Ok(open.mark.clone())
    }

    /// Appends whole lines.
    pub(super) async fn send(&mut self, rendered: &Rendered) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else {
            return Err(self.place.error("write", io::ErrorKind::NotFound.into()));
        };
        let header = if open.written == 0 { self.lines.header() } else { Vec::new() };
        // Whatever happens now, the file is no longer what its mark says.
        open.written += (header.len() + rendered.bytes.len()) as u64;
        let written = async {
            open.file.write_all(&header).await?;
            open.file.write_all(&rendered.bytes).await?;
            open.file.flush().await
        };
        written.await.map_err(|source| self.place.error("write", source))
    }

    /// Waits until everything is on the disk; the mark it returns goes with the cursor.
    pub(super) async fn finish(&mut self) -> Result<Option<FileMark>, SinkError> {
        let Some(open) = &mut self.open else { return Ok(None) };
        if open.mark.length != open.written {
            let synced = open.file.sync_data().await;
            synced.map_err(|source| self.place.error("sync", source))?;
            open.mark.length = open.written;
        }
        Ok(Some(open.mark.clone()))
    }
}

/// Waits for what is still being written, so that nothing lands behind a later cut.
async fn close(mut open: Opened) {
    // An error was reported when it was met; the file is cut back to its mark in any case.
    drop(open.file.flush().await);
}

impl Place {
    /// The open file is the one that `path` means, holds what `saved` says, and may grow.
    fn is_good(&self, open: &Opened, saved: Option<&FileMark>, now: Timestamp) -> bool {
        let inode = fs::metadata(&self.path).map(|meta| meta.ino());
        saved == Some(&open.mark)
            && open.written == open.mark.length
            && inode.is_ok_and(|inode| inode == open.mark.inode)
            && !self.is_finished(&open.mark, now)
    }

    fn is_finished(&self, mark: &FileMark, now: Timestamp) -> bool {
        mark.length != 0
            && (self.size_max <= mark.length || (self.daily && mark.day != day_of(now)))
    }

    /// Opens the file as `saved` says it should be; a finished one is put aside first.
    fn ready(
        &self,
        saved: Option<&FileMark>,
        now: Timestamp,
    ) -> Result<(File, FileMark), SinkError> {
        let (file, mark) = self.open(saved, now)?;
        if !self.is_finished(&mark, now) {
            return Ok((file, mark));
        }
        file.sync_all().map_err(|source| self.error("sync", source))?;
        self.rotate()?;
        self.open(None, now)
    }

    fn open(
        &self,
        saved: Option<&FileMark>,
        now: Timestamp,
    ) -> Result<(File, FileMark), SinkError> {
        let is_new = !self.path.exists();
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o640).open(&self.path);
        let file = file.map_err(|source| self.error("open", source))?;
        if is_new {
            self.sync_directory()?;
        }
        let meta = file.metadata().map_err(|source| self.error("look at", source))?;
        let same = |mark: &&FileMark| mark.path == self.path && mark.inode == meta.ino();
        let mark = match saved.filter(same) {
            // Someone else shortened it: what is left is not ours to judge.
            Some(mark) if meta.len() < mark.length => {
                FileMark { length: meta.len(), ..mark.clone() }
            }
            Some(mark) => {
                if mark.length < meta.len() {
                    file.set_len(mark.length).map_err(|source| self.error("shorten", source))?;
                }
                mark.clone()
            }
            None => {
                let changed = Timestamp::from_secs(u64::try_from(meta.mtime()).unwrap_or(0));
                let day = day_of(if meta.len() == 0 { now } else { changed });
                let (inode, length) = (meta.ino(), meta.len());
                FileMark { path: self.path.clone(), inode, length, day }
            }
        };
        Ok((file, mark))
    }

    /// `NAME` becomes `NAME.1`, that becomes `NAME.2`, and the last one goes. Each step replaces
    /// one name in one go, so a crash between two leaves a gap and loses nothing; the next
    /// rotation moves only what stands before the gap.
    fn rotate(&self) -> Result<(), SinkError> {
        let free = (1..=self.keep).find(|number| !self.numbered(*number).exists());
        for number in (0..free.unwrap_or(self.keep)).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                renamed => renamed.map_err(|source| self.error("rename", source))?,
            }
        }
        self.sync_directory()
    }

    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Makes names last as long as what they stand for.
    fn sync_directory(&self) -> Result<(), SinkError> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = File::open(parent.unwrap_or_else(|| Path::new(".")));
        let synced = directory.and_then(|directory| directory.sync_all());
        synced.map_err(|source| self.error("sync the directory of", source))
    }

    fn error(&self, action: &'static str, source: io::Error) -> SinkError {
        SinkError::file(action, &self.path, source)
    }
}

/// The UTC day of `time`, counted from 1970.
fn day_of(time: Timestamp) -> u64 {
    time.secs() / 86_400
}
