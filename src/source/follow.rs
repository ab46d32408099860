//! [`Follower`]: all sources together, as the pipeline thread sees them.
//!
//! The caller's loop: [`Follower::rescan`] when woken or once per [`SCAN_INTERVAL`], then
//! [`Follower::read`] until it yields nothing, and with each commit [`Follower::take_changes`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::archived::Heads;
use super::block::Block;
use super::config::{Limits, SourceConfig};
use super::generation::{Generation, GenerationId};
use super::status::{MAX_UNREADABLE, Notice, NoticeKind, SourceStatus, Unreadable};
use super::tail::{Source, Tail};
use crate::units::{Period, Timestamp};

/// The longest time between two looks: a rotation is noticed within it even without file events.
pub const SCAN_INTERVAL: Period = Period::from_secs(1);

/// Opens a log file for reading. A test hands in its own to refuse.
pub(super) type Open = fn(&Path) -> io::Result<File>;

/// Follows the files of all sources over rotation, truncation and restarts.
#[derive(Debug)]
pub struct Follower {
    pub(super) sources: Vec<Source>,
    pub(super) limits: Limits,
    pub(super) tails: Vec<Tail>,
    pub(super) next_id: u64,
    /// The generation read last; the next one in the list has its turn.
    pub(super) last_read: GenerationId,
    pub(super) notices: Vec<Notice>,
    pub(super) changed: BTreeSet<GenerationId>,
    pub(super) forgotten: Vec<GenerationId>,
    /// Directories whose rotated files are all known, by the time of their last change.
    pub(super) settled: HashMap<PathBuf, Timestamp>,
    /// What was found in archives.
    pub(super) heads: Heads,
    pub(super) open: Open,
}

/// What must reach the store with the next commit.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Values to write over those with the same id.
    pub changed: Vec<Generation>,
    /// Ids to delete: no file of them is left.
    pub forgotten: Vec<GenerationId>,
}

/// A generation with lines to read, for a caller that merges sources by time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ready {
    /// Argument of [`Follower::read_from`].
    pub generation: GenerationId,
    /// Index of its source.
    pub source: usize,
    /// Bytes not read yet.
    pub unread_bytes: u64,
    /// Last change of its file.
    pub modified: Timestamp,
}

impl Follower {
    /// Follows `configs` from the positions in `resume`, as the store returned them.
    ///
    /// Nothing is read before the first [`Follower::rescan`]. Positions of sources that are no
    /// longer configured are left alone.
    pub fn new(configs: &[SourceConfig], resume: Vec<Generation>, limits: Limits) -> Self {
        let next_id = resume.iter().map(|generation| generation.id.0).max().unwrap_or_default() + 1;
        let is_new = |config: &SourceConfig| !resume.iter().any(|g| g.source == config.id());
        let sources: Vec<Source> = configs.iter().map(|c| Source::new(c, is_new(c))).collect();
        let tails = resume.into_iter().filter_map(|generation| {
            let source = configs.iter().position(|config| config.id() == generation.source)?;
            let modified = generation.modified;
            Some(Tail::new(generation, source, modified))
        });
        Self {
            tails: tails.collect(),
            sources,
            limits,
            next_id,
            last_read: GenerationId(0),
            notices: Vec::new(),
            changed: BTreeSet::new(),
            forgotten: Vec::new(),
            settled: HashMap::new(),
            heads: Heads::new(),
            open: open_log,
        }
    }

    /// Replaces the way files are opened.
    #[cfg(test)]
    pub(super) fn with_open(mut self, open: Open) -> Self {
        self.open = open;
        self
    }

    /// Where the generation of `block` stands after it: to be stored with its lines.
    ///
    /// Only right before the next read from the same generation; a caller that commits several
    /// blocks at once uses [`Follower::take_changes`].
    pub fn generation_after(&self, block: &Block) -> Option<&Generation> {
        let tail = self.tails.iter().find(|tail| tail.generation.id == block.generation)?;
        (tail.generation.offset == block.to).then_some(&tail.generation)
    }

    /// The present state of all generations.
    pub fn generations(&self) -> impl Iterator<Item = &Generation> {
        self.tails.iter().map(|tail| &tail.generation)
    }

    /// What [`Follower::set_note`] was told last, also before a restart.
    pub fn note(&self, id: GenerationId) -> &str {
        let tail = self.tails.iter().find(|tail| tail.generation.id == id);
        tail.map_or("", |tail| &tail.generation.note)
    }

    /// Keeps `note` with the position of a generation, and so in the store.
    pub fn set_note(&mut self, id: GenerationId, note: &str) {
        if let Some(tail) = self.tails.iter_mut().find(|tail| tail.generation.id == id)
            && tail.generation.note != note
        {
            note.clone_into(&mut tail.generation.note);
            self.changed.insert(id);
        }
    }

    /// What changed since the last call, rotations included.
    ///
    /// Call it when every block read so far is part of the commit, and store all of it in that
    /// commit, so that lines and positions cannot disagree.
    pub fn take_changes(&mut self) -> Changes {
        let changed = std::mem::take(&mut self.changed);
        let generations = self.tails.iter().map(|tail| &tail.generation);
        Changes {
            changed: generations.filter(|g| changed.contains(&g.id)).cloned().collect(),
            forgotten: std::mem::take(&mut self.forgotten),
        }
    }

    /// Takes back changes that could not be stored; the next [`Follower::take_changes`] has them.
    pub fn keep_changes(&mut self, changes: Changes) {
        self.changed.extend(changes.changed.iter().map(|generation| generation.id));
        self.forgotten.extend(changes.forgotten);
    }

    /// The directories to watch for wake-ups.
    pub fn directories(&self) -> Vec<PathBuf> {
        let parent = |path: &Path| path.parent().map(Path::to_owned);
        let mut directories: BTreeSet<PathBuf> = BTreeSet::new();
        for pattern in self.sources.iter().filter_map(|source| source.pattern.as_ref()) {
            match pattern.plain() {
                Some(path) => directories.extend(parent(path)),
                None => drop(directories.insert(pattern.root().to_owned())),
            }
        }
        for tail in self.tails.iter().filter(|tail| tail.file.is_some()) {
            directories.extend(parent(&tail.path));
            // Changes of a link's target are events of the target's directory.
            if tail.path.is_symlink() {
                directories.extend(tail.path.canonicalize().ok().as_deref().and_then(parent));
            }
        }
        let here = |path: PathBuf| if path.as_os_str().is_empty() { ".".into() } else { path };
        directories.into_iter().map(here).collect()
    }

    /// The state of each source, in the order of the configuration.
    pub fn status(&self) -> Vec<SourceStatus> {
        let mut all: Vec<SourceStatus> = self.sources.iter().map(|s| s.status.clone()).collect();
        for tail in self.tails.iter().filter(|tail| tail.file.is_some()) {
            let status = &mut all[tail.source];
            status.files += 1;
            status.lag_bytes += tail.generation.unread();
            status.last_growth = status.last_growth.max(Some(tail.generation.modified));
        }
        all
    }

    /// The generations that may be read now: of each base the oldest with unread bytes.
    pub fn ready(&self) -> Vec<Ready> {
        let oldest = self.oldest_unread();
        let ready = self.tails.iter().filter(|tail| Self::has_turn(tail, &oldest));
        ready
            .map(|tail| Ready {
                generation: tail.generation.id,
                source: tail.source,
                unread_bytes: tail.generation.unread(),
                modified: tail.generation.modified,
            })
            .collect()
    }

    pub(super) fn has_turn(tail: &Tail, oldest: &BTreeMap<&Path, u64>) -> bool {
        let first = oldest.get(tail.generation.base.as_path());
        tail.is_ready() && first.is_none_or(|first| tail.generation.rank <= *first)
    }

    /// The lowest rank with unread bytes, for each base.
    ///
    /// An unfinished last line of a rotated file holds its successor back for as long as the file
    /// may still grow, unless nobody will look again.
    pub(super) fn oldest_unread(&self) -> BTreeMap<&Path, u64> {
        let mut oldest = BTreeMap::new();
        for tail in self.tails.iter().filter(|tail| tail.file.is_some()) {
            let generation = &tail.generation;
            if generation.unread() == 0 || tail.failed || (self.limits.once && tail.is_waiting()) {
                continue;
            }
            let rank = oldest.entry(generation.base.as_path()).or_insert(generation.rank);
            *rank = (*rank).min(generation.rank);
        }
        oldest
    }

    pub(super) fn tell(&mut self, source: usize, path: &Path, kind: NoticeKind) {
        self.notices.push(Notice { source, path: path.to_owned(), kind });
    }

    /// Lists a file as unreadable, and tells it once for as long as that lasts.
    pub(super) fn tell_unreadable(&mut self, source: usize, path: &Path, error: &io::Error) {
        let unreadable = Unreadable::new(path, error);
        let state = &mut self.sources[source];
        let listed = &mut state.status.unreadable;
        if MAX_UNREADABLE <= listed.len() || listed.iter().any(|known| known.path == path) {
            return;
        }
        listed.push(unreadable.clone());
        if !state.told_unreadable.iter().any(|told| told == path) {
            state.told_unreadable.push(path.to_owned());
            self.tell(source, path, NoticeKind::Unreadable(unreadable));
        }
    }
}

/// Opens without waiting: a named pipe in place of a log must not stop the pipeline.
fn open_log(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}
