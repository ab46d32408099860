//! Logs that were compressed before they were read to their end.
//!
//! An archive is only looked into for what is missing: the unread rest of a generation whose file is
//! gone, or a log that came and went since the last look. It is recognised by its content, like any
//! other file: the head, then the bytes before the position, to which it is decompressed once. Its
//! positions are those of the file that it was made of. All other archives are history.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::content::{Archive, Content, ReadAt};
use super::follow::Follower;
use super::generation::Generation;
use super::glob::Listings;
use super::identity::{Digest, FileId, HEAD_BYTES, Stat};
use super::look::{Kind, Sighting, possible_bases};
use super::names::{is_compressed, is_rotated_name, may_be_copy, plain_name, sort_oldest_first};
use super::rescan::Look;
use super::status::NoticeKind;
use super::tail::Place;
use crate::units::Timestamp;

/// Archives whose heads are remembered.
const MAX_HEADS: usize = 4096;

/// The first bytes in each archive that was looked into, at most [`HEAD_BYTES`]; none for one that
/// cannot be read. A changed archive is another one.
pub(super) type Heads = HashMap<(FileId, u64, Timestamp), Vec<u8>>;

/// What an archive has of a generation.
enum Found {
    /// All that was read, and what follows.
    Rest(Archive),
    /// Less than was read.
    Short,
    /// Something else.
    Other,
}

impl Follower {
    /// Goes on with a missing generation in the archive that holds it, or gives it up.
    pub(super) fn seek_in_archives(
        &mut self,
        index: usize,
        look: &mut Look,
        listings: &mut Listings,
        now: Timestamp,
    ) {
        let tail = &self.tails[index];
        let (base, source) = (tail.generation.base.clone(), tail.source);
        let base_name = base.file_name().unwrap_or_default();
        // While the live file was away, a rotated one may have been followed by its own name.
        let older: Vec<OsString> = possible_bases(base_name).collect();
        let is_related = |name: &OsStr| {
            may_be_copy(base_name, name) || older.iter().any(|base| is_rotated_name(base, name))
        };
        let archives = archives_of(&base, source, listings, is_related);
        for archive in archives.into_iter().rev() {
            match self.look_into(&archive, index) {
                Found::Rest(content) => return self.move_into(index, archive, content, now),
                Found::Short => return self.end_with(index, archive.path, look),
                Found::Other => (),
            }
        }
        self.lose(index);
    }

    fn look_into(&mut self, sighting: &Sighting, index: usize) -> Found {
        let head = self.head_of(sighting);
        let generation = &self.tails[index].generation;
        if !head.is_some_and(|head| is_head_of(&head, generation)) {
            return Found::Other;
        }
        let archive = (self.open)(&sighting.path).and_then(Archive::open);
        let Ok(Some(archive)) = archive else { return Found::Other };
        match generation.is_in(&archive) {
            Ok(true) => Found::Rest(archive),
            Ok(false) if archive.has_ended() && archive.look_ahead(0, 0) < generation.offset => {
                Found::Short
            }
            _ => Found::Other,
        }
    }

    fn move_into(&mut self, index: usize, found: Sighting, archive: Archive, now: Timestamp) {
        let tail = &mut self.tails[index];
        let reason = tail.orphan.take();
        let from = tail.generation.path.clone();
        tail.expected = tail.generation.size;
        tail.generation.file = FileId::default();
        tail.generation.modified = found.stat.modified;
        tail.changed_at = found.stat.modified.min(now);
        (tail.checked, tail.waiting_at, tail.scanned, tail.seen) = (None, None, 0, true);
        tail.place_at(&found.path, Place::Rotated);
        tail.file = Some(Content::Archive(archive));
        tail.look_ahead(HEAD_BYTES);
        self.changed.insert(tail.generation.id);
        let to = found.path;
        if let Some(reason) = reason {
            let kind = NoticeKind::Recovered { reason, copy: to, lost_bytes: 0 };
            return self.tell(found.source, &from, kind);
        }
        if from != to {
            self.sources[found.source].status.rotations += 1;
            self.tell(found.source, &from, NoticeKind::Rotated { to: Some(to) });
        }
    }

    /// Finishes a generation that is read from an archive, when it is read or cannot be.
    pub(super) fn follow_archive(&mut self, index: usize) {
        let tail = &self.tails[index];
        let Some(archive) = tail.file.as_ref().and_then(Content::archive) else { return };
        let is_stuck = tail.failed || (tail.is_waiting() && !tail.closing);
        let is_read = archive.has_ended() && tail.generation.unread() == 0;
        if !is_read && !is_stuck {
            return;
        }
        let reason = archive.failed();
        let missing = tail.expected.saturating_sub(tail.generation.offset);
        let (source, path) = (tail.source, tail.generation.path.clone());
        if reason.is_none() && is_read {
            self.tails[index].finish(Place::Gone);
            self.changed.insert(self.tails[index].generation.id);
            if missing == 0 {
                return;
            }
            self.tell(source, &path, NoticeKind::Lost { reason: None, known_bytes: missing });
        } else {
            self.tails[index].finish(Place::Gone);
            self.changed.insert(self.tails[index].generation.id);
            let reason = reason.unwrap_or_else(|| "it changed while it was read".to_owned());
            self.tell(source, &path, NoticeKind::Damaged { reason });
        }
        self.tails[index].generation.lost_bytes += missing;
        let status = &mut self.sources[source].status;
        status.losses += 1;
        status.lost_bytes += missing;
    }

    /// Adds to the strangers the archives beside known bases: some may be of logs that came and went.
    pub(super) fn add_archives(&self, look: &mut Look, listings: &mut Listings) {
        let mut bases: Vec<(PathBuf, usize)> = Vec::new();
        for tail in &self.tails {
            let base = &tail.generation.base;
            let is_listed = base.parent().is_some_and(|parent| look.listed.contains(parent));
            if is_listed && look.known.contains(base) {
                bases.push((base.clone(), tail.source));
            }
        }
        bases.sort();
        bases.dedup();
        for (base, source) in bases {
            let newest = self.newest_change(&base);
            let archives = archives_of(&base, source, listings, |_| false);
            look.strangers.extend(archives.into_iter().filter(|s| newest <= s.stat.modified));
        }
    }

    fn newest_change(&self, base: &Path) -> Timestamp {
        let same = self.tails.iter().filter(|tail| tail.generation.base == base);
        same.map(|tail| tail.generation.modified).max().unwrap_or_default()
    }

    /// True when nothing known begins like what is in the archive.
    pub(super) fn is_unknown(&mut self, sighting: &Sighting) -> bool {
        let Some(head) = self.head_of(sighting) else { return false };
        // While the live file is away, a rotated one that matches the pattern goes by its own name.
        let directory = sighting.base.parent();
        let mut near = self.tails.iter().filter(|tail| tail.generation.base.parent() == directory);
        !near.any(|tail| is_head_of(&head, &tail.generation))
    }

    /// The first bytes in an archive; none where it is empty or cannot be read.
    fn head_of(&mut self, sighting: &Sighting) -> Option<Vec<u8>> {
        let key = (sighting.stat.id, sighting.stat.size, sighting.stat.modified);
        if MAX_HEADS <= self.heads.len() && !self.heads.contains_key(&key) {
            self.heads.clear();
        }
        let open = self.open;
        let head = self.heads.entry(key).or_insert_with(|| {
            let archive = open(&sighting.path).and_then(Archive::open);
            let Ok(Some(archive)) = archive else { return Vec::new() };
            let mut head = vec![0; HEAD_BYTES];
            let read = archive.fill_at(&mut head, 0).unwrap_or_default();
            head.truncate(read);
            head
        });
        Some(head.clone()).filter(|head| !head.is_empty())
    }
}

/// True when a file that begins with `head` can hold the generation.
fn is_head_of(head: &[u8], generation: &Generation) -> bool {
    let length = generation.head_len as usize;
    generation.is_identified()
        && head.get(..length).is_some_and(|head| Digest::of(head) == generation.head_hash)
}

/// The archives of what `base` was rotated to, and of what `is_related` to it, the oldest first.
fn archives_of(
    base: &Path,
    source: usize,
    listings: &mut Listings,
    is_related: impl Fn(&OsStr) -> bool,
) -> Vec<Sighting> {
    let (Some(directory), Some(base_name)) = (base.parent(), base.file_name()) else {
        return Vec::new();
    };
    let names = listings.names(directory).unwrap_or_default();
    let is_ours = |name: &OsStr| {
        let plain = plain_name(Path::new(name));
        let is_named = is_rotated_name(base_name, plain) || is_related(plain);
        // Beside the file itself stands an archive in the making.
        let is_done = || names.binary_search_by(|other| other.as_os_str().cmp(plain)).is_err();
        is_compressed(Path::new(name)) && (plain == base_name || (is_named && is_done()))
    };
    let sighting = |name: &OsString| {
        let path = directory.join(name);
        let meta = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let (base, kind, stat) = (base.to_owned(), Kind::Archive, Stat::of(&meta));
        Some(Sighting { path, base, source, kind, stat })
    };
    let mut archives: Vec<Sighting> =
        names.iter().filter(|name| is_ours(name)).filter_map(sighting).collect();
    sort_oldest_first(base_name, &mut archives, |s| plain_name(&s.path), |s| s.stat.modified);
    archives
}
