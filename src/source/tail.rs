//! One generation while it is followed: its stored value, its open file, and what is known of it
//! beyond the store. All of the latter can be found out again after a restart.

use std::path::Path;
use std::sync::Arc;

use super::config::SourceConfig;
use super::content::Content;
use super::encoding::Encoding;
use super::generation::{Began, Generation};
use super::glob::Pattern;
use super::identity::Stat;
use super::status::SourceStatus;
use crate::units::{Period, Timestamp};

/// How long a rotated file must be unchanged before it counts as ended.
pub(super) const IDLE: Period = Period::from_secs(5);

/// How long the file of a finished generation is kept open while nobody took its place: its
/// writer may not have been told to open the new one.
pub(super) const LINGER: Period = Period::from_secs(60);

/// A file changed within this time may change again without a new time stamp, because the
/// kernel's clock for files ticks coarsely.
const RACY: Period = Period::from_secs(2);

/// Where the file of a generation is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Resumed or orphaned, and not found yet.
    Unseen,
    /// Under the name it is written under.
    Live,
    /// Under a rotated name.
    Rotated,
    /// Under no name that is looked at; an open handle may still lead to it.
    Gone,
}

/// A generation being followed.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) generation: Generation,
    pub(super) source: usize,
    pub(super) file: Option<Content>,
    pub(super) path: Arc<Path>,
    pub(super) place: Place,
    /// Met in the present look.
    pub(super) seen: bool,
    /// Recognised in the present look by content known before it.
    pub(super) firm: bool,
    /// The metadata when the content was last compared.
    pub(super) checked: Option<Stat>,
    /// What became of its file, while its rest is being searched.
    pub(super) orphan: Option<Began>,
    /// The size up to which there is no further whole line.
    pub(super) waiting_at: Option<u64>,
    /// The last read failed; its successor does not wait for it.
    pub(super) failed: bool,
    /// A line over the limit has no line feed before this position.
    pub(super) scanned: u64,
    /// Bytes that an archive must hold: the size of the file when it was last seen.
    pub(super) expected: u64,
    /// The file ended: what is left is a line even without a line feed.
    pub(super) closing: bool,
    pub(super) changed_at: Timestamp,
}

impl Tail {
    pub(super) fn new(generation: Generation, source: usize, now: Timestamp) -> Self {
        Self {
            path: generation.path.as_path().into(),
            changed_at: generation.modified.min(now),
            generation,
            source,
            file: None,
            place: Place::Unseen,
            seen: false,
            firm: false,
            checked: None,
            orphan: None,
            waiting_at: None,
            failed: false,
            scanned: 0,
            expected: 0,
            closing: false,
        }
    }

    /// How its file writes its text, as far as that is known.
    pub(super) fn encoding(&self) -> Encoding {
        self.generation.encoding.unwrap_or_default()
    }

    /// True while the content comes from an archive.
    pub(super) fn is_archive(&self) -> bool {
        self.file.as_ref().is_some_and(|content| content.archive().is_some())
    }

    /// Of an archive, decompresses what the next read needs; of a file, all is known already.
    pub(super) fn look_ahead(&mut self, bytes: usize) {
        let archive = self.file.as_ref().and_then(Content::archive);
        let Some(archive) = archive else { return };
        let offset = self.generation.offset;
        self.generation.size = archive.look_ahead(offset, offset + bytes as u64).max(offset);
        self.closing = archive.has_ended() && archive.failed().is_none();
    }

    /// True when a read may yield lines.
    pub(super) fn is_ready(&self) -> bool {
        self.file.is_some() && 0 < self.generation.unread() && !self.is_waiting() && !self.failed
    }

    /// Stops reading until the next look has compared the content again.
    pub(super) fn suspect(&mut self, failed: bool) {
        (self.checked, self.closing, self.failed) = (None, false, failed);
        self.waiting_at = Some(self.generation.size);
    }

    /// The content was compared again and is good.
    pub(super) fn try_again(&mut self) {
        (self.waiting_at, self.failed) = (None, false);
    }

    /// True when the unread bytes are no whole line.
    pub(super) fn is_waiting(&self) -> bool {
        !self.closing && self.waiting_at == Some(self.generation.size)
    }

    pub(super) fn is_idle(&self, now: Timestamp, period: Period) -> bool {
        period <= now.since(self.changed_at)
    }

    /// True when `stat` proves that the content is as it was when last compared.
    pub(super) fn is_unchanged(&self, stat: &Stat, now: Timestamp) -> bool {
        self.checked == Some(*stat) && RACY < now.since(stat.modified)
    }

    /// Takes note of the file's present size and time.
    pub(super) fn note(&mut self, stat: &Stat, now: Timestamp) {
        if stat.size != self.generation.size || stat.modified != self.generation.modified {
            self.changed_at = now;
        }
        self.generation.note(stat);
    }

    /// Where the file is now; true when the stored value changed by it.
    pub(super) fn place_at(&mut self, path: &Path, place: Place) -> bool {
        self.place = place;
        let moved = self.generation.path != path;
        if moved {
            self.path = path.into();
            path.clone_into(&mut self.generation.path);
        }
        let revived =
            self.generation.finished && (place == Place::Live || 0 < self.generation.unread());
        if revived {
            self.generation.finished = false;
        }
        if place == Place::Live || revived {
            self.closing = false;
        }
        moved || revived
    }

    /// Gives the file up for good.
    pub(super) fn finish(&mut self, place: Place) {
        self.generation.finished = true;
        self.file = None;
        self.orphan = None;
        self.place = place;
    }
}

/// One `[[source]]` with its compiled patterns and its counters.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) config: SourceConfig,
    /// `None` for standard input, and for a pattern that `SourceConfig::check` refuses.
    pub(super) pattern: Option<Pattern>,
    pub(super) exclude: Vec<Pattern>,
    pub(super) status: SourceStatus,
    /// Neither looked at before nor resumed: `start` applies.
    pub(super) is_new: bool,
    /// Unreadable files the operator was told of.
    pub(super) told_unreadable: Vec<std::path::PathBuf>,
    pub(super) told_compressed: bool,
    pub(super) told_limit: bool,
}

impl Source {
    pub(super) fn new(config: &SourceConfig, is_new: bool) -> Self {
        let pattern = (!config.is_stdin() && !config.is_journal())
            .then(|| Pattern::new(&config.path).ok())
            .flatten();
        let status = SourceStatus { name: config.id().to_owned(), ..SourceStatus::default() };
        Self {
            config: config.clone(),
            pattern,
            exclude: config.exclude.iter().filter_map(|text| Pattern::new(text).ok()).collect(),
            status,
            is_new,
            told_unreadable: Vec::new(),
            told_compressed: false,
            told_limit: false,
        }
    }

    pub(super) fn excludes(&self, path: &Path) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(path))
    }
}
