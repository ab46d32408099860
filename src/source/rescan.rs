//! One look at the disk: which file holds which generation now?
//!
//! 1. Each file met is compared with the generations that had its inode.
//! 2. A generation that was not met is read to its end through its open handle, or searched by
//!    inode, or by content in the rotated files.
//! 3. Files that belong to nobody become new generations ([`super::admit`]).
//! 4. What is read and at rest is finished, closed and in the end forgotten.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::content::Content;
use super::follow::Follower;
use super::generation::Began;
use super::glob::Listings;
use super::identity::{FileId, Stat, digest_at};
use super::look::{Base, Kind, Sighting, directory_modified};
use super::names::{is_compressed, sort_oldest_first};
use super::status::{Notice, NoticeKind};
use super::tail::{IDLE, LINGER, Place, Tail};
use crate::units::Timestamp;

/// Finished generations without a file that are kept per base, to recognise late copies.
const GONE_KEPT: usize = 8;

/// What was found out during one look.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Files that hold no known generation.
    pub(super) strangers: Vec<Sighting>,
    /// Why a file does not hold what it held before.
    pub(super) verdicts: HashMap<FileId, Began>,
    /// Directories whose rotated files were listed.
    pub(super) listed: HashSet<PathBuf>,
    /// Directories with a file that may yet turn out to be a copy.
    pub(super) unsettled: HashSet<PathBuf>,
    /// Files whose content was read already, under another name.
    pub(super) copies: HashSet<PathBuf>,
    /// Bases known before the look.
    pub(super) known: HashSet<PathBuf>,
}

enum Verdict {
    Same,
    Different(Began),
    /// It cannot be told now; try again at the next look.
    Unknown,
}

impl Follower {
    /// Looks at the disk again: new files, rotation, truncation, replacement, ends of files.
    ///
    /// Call it when woken and at least once per [`super::SCAN_INTERVAL`]. `now` also decides when
    /// a rotated file is at rest.
    pub fn rescan(&mut self, now: Timestamp) -> Vec<Notice> {
        let mut listings = Listings::default();
        let mut look = Look::default();
        for tail in &mut self.tails {
            (tail.seen, tail.firm) = (false, false);
            // A clock set back, or a file dated in the future, must not hold the end of a file off.
            tail.changed_at = tail.changed_at.min(now);
            look.known.insert(tail.generation.base.clone());
        }
        let watched = self.look_at_watched(&mut listings);
        let ids: HashSet<FileId> = watched.iter().map(|sighting| sighting.stat.id).collect();
        let mut bases: Vec<Base> = Vec::new();
        for sighting in watched {
            bases.push((sighting.base.clone(), sighting.source));
            if !self.recognise(&sighting, &mut look, now) {
                look.strangers.push(sighting);
            }
        }
        let following = self.tails.iter().filter(|tail| tail.place != Place::Gone);
        bases.extend(following.map(|tail| (tail.generation.base.clone(), tail.source)));
        bases.sort();
        bases.dedup_by(|a, b| a.0 == b.0);
        let searched = self
            .tails
            .iter()
            .filter(|tail| !tail.seen && matches!(tail.place, Place::Live | Place::Unseen));
        let wanted: Vec<Base> =
            searched.map(|tail| (tail.generation.base.clone(), tail.source)).collect();
        let (near, listed) = self.look_at_neighbours(&mut listings, &bases, &wanted, &ids, now);
        look.listed = listed;
        for sighting in near {
            if !self.recognise(&sighting, &mut look, now) {
                look.strangers.push(sighting);
            }
        }
        self.seek_missing(&mut look, &mut listings, now);
        self.add_archives(&mut look, &mut listings);
        self.admit(&mut look, now);
        self.settle(&look, now);
        std::mem::take(&mut self.notices)
    }

    /// Finds the generation that `sighting` holds among those that had its inode.
    fn recognise(&mut self, sighting: &Sighting, look: &mut Look, now: Timestamp) -> bool {
        let mut candidates: Vec<usize> = (0..self.tails.len())
            .filter(|i| self.tails[*i].generation.file == sighting.stat.id && !self.tails[*i].seen)
            .collect();
        // Where an inode was reused, the generation that is still being read has the first claim.
        candidates.sort_by_key(|i| {
            let generation = &self.tails[*i].generation;
            (generation.finished, std::cmp::Reverse(generation.rank))
        });
        for index in candidates {
            match self.compare(index, sighting, now) {
                Ok(Verdict::Same) => {
                    self.accept(index, sighting);
                    return true;
                }
                Ok(Verdict::Unknown) => {
                    self.tails[index].seen = true;
                    return true;
                }
                Ok(Verdict::Different(reason)) => {
                    self.detach(index, reason, sighting, look);
                }
                Err(error) => {
                    self.tell_unreadable(sighting.source, &sighting.path, &error);
                    self.tails[index].seen = true;
                    return true;
                }
            }
        }
        false
    }

    /// Compares the content of a file with a generation that had its inode.
    fn compare(&mut self, index: usize, s: &Sighting, now: Timestamp) -> io::Result<Verdict> {
        let tail = &mut self.tails[index];
        let was_identified = tail.generation.is_identified();
        let needs_file = !tail.generation.finished || tail.generation.offset < s.stat.size;
        if tail.is_unchanged(&s.stat, now) && (tail.file.is_some() || !needs_file) {
            tail.firm = was_identified;
            return Ok(Verdict::Same);
        }
        let held = tail.file.take().and_then(Content::into_file);
        let is_held = held.is_some();
        let file = match held {
            Some(file) => file,
            None => (self.open)(&s.path)?,
        };
        let stat = Stat::of(&file.metadata()?);
        if stat.id != s.stat.id {
            // Replaced between the look and the opening.
            return Ok(Verdict::Unknown);
        }
        let generation = &mut tail.generation;
        let is_long_enough = generation.offset.max(u64::from(generation.head_len)) <= stat.size;
        // Of a file that was empty, only an open handle can tell that it is the same.
        let is_same = is_long_enough && (was_identified || is_held) && generation.is_in(&file)?;
        if !is_same {
            return Ok(Verdict::Different(if is_held {
                // An open handle keeps the inode from being given out again.
                Began::Truncated
            } else if s.path != generation.path || generation.finished {
                Began::InodeReused
            } else if is_long_enough {
                Began::Replaced
            } else {
                Began::Truncated
            }));
        }
        if generation.grow_head(&file, stat.size)? {
            self.changed.insert(generation.id);
        }
        tail.note(&stat, now);
        tail.firm = was_identified;
        if tail.checked.replace(stat).is_none() {
            tail.try_again();
        }
        if is_held || needs_file || 0 < tail.generation.unread() {
            tail.file = Some(Content::File(file));
        }
        Ok(Verdict::Same)
    }

    fn accept(&mut self, index: usize, sighting: &Sighting) {
        let tail = &mut self.tails[index];
        let from = tail.generation.path.clone();
        let place = sighting.place();
        let was_rotated = tail.place == Place::Rotated || tail.generation.finished;
        let rebased = tail.generation.base != sighting.base;
        sighting.base.clone_into(&mut tail.generation.base);
        let moved = from != sighting.path;
        tail.seen = true;
        if tail.place_at(&sighting.path, place) || rebased {
            self.changed.insert(tail.generation.id);
        }
        if moved && place == Place::Rotated && !was_rotated {
            self.sources[sighting.source].status.rotations += 1;
            let to = Some(sighting.path.clone());
            self.tell(sighting.source, &from, NoticeKind::Rotated { to });
        }
    }

    /// Parts a generation from a file that holds something else now.
    fn detach(&mut self, index: usize, reason: Began, s: &Sighting, look: &mut Look) {
        let tail = &mut self.tails[index];
        tail.generation.file = FileId::default();
        (tail.file, tail.checked) = (None, None);
        self.changed.insert(tail.generation.id);
        if !tail.generation.is_identified() {
            // Nothing of it was ever seen, so nothing of it can be missed.
            tail.finish(Place::Gone);
            return;
        }
        if tail.generation.finished {
            tail.place = Place::Gone;
        } else {
            tail.orphan = Some(reason);
            tail.place = Place::Unseen;
        }
        look.verdicts.insert(s.stat.id, reason);
        let status = &mut self.sources[s.source].status;
        match reason {
            Began::Truncated => status.truncations += 1,
            Began::InodeReused => status.inodes_reused += 1,
            Began::Replaced => status.replaced += 1,
            Began::Discovered | Began::Rotated | Began::Missed | Began::History => (),
        }
    }

    /// Decides what becomes of each generation that was not met.
    fn seek_missing(&mut self, look: &mut Look, listings: &mut Listings, now: Timestamp) {
        // The oldest first: of several alike copies, the older belongs to the older generation.
        let mut missing: Vec<usize> =
            (0..self.tails.len()).filter(|i| !self.tails[*i].seen).collect();
        missing.sort_by_key(|i| self.tails[*i].generation.rank);
        for index in missing {
            let tail = &self.tails[index];
            if tail.place == Place::Gone && tail.file.is_none() {
                continue;
            }
            if tail.is_archive() {
                self.follow_archive(index);
                continue;
            }
            let directory = tail.generation.base.parent().map(Path::to_owned).unwrap_or_default();
            let is_listed = look.listed.contains(&directory);
            let (has_file, is_finished) = (tail.file.is_some(), tail.generation.finished);
            let replacement = if is_finished || self.is_deleted_under(index, look) {
                self.find_copy(index, look)
            } else if has_file {
                None
            } else {
                let same = self.find_by_inode(index, listings);
                same.or_else(|| self.find_copy(index, look))
            };
            if let Some(found) = replacement {
                self.move_to(index, found, look, now);
            } else if has_file {
                self.follow_handle(index, is_listed, now);
            } else if is_finished {
                if is_listed || self.tails[index].place == Place::Live {
                    self.tails[index].place = Place::Gone;
                }
            } else if listings.names(&directory).is_ok() {
                match self.find_short_copy(index, look) {
                    Some(copy) => self.end_with(index, copy, look),
                    None => self.seek_in_archives(index, look, listings, now),
                }
            }
        }
    }

    /// True when another file stands under the name of a live generation whose own was deleted:
    /// an editor or a synchronisation may have written the same content anew.
    ///
    /// The deleted file says what that content would have to begin with.
    fn is_deleted_under(&mut self, index: usize, look: &Look) -> bool {
        let tail = &mut self.tails[index];
        let Some(file) = tail.file.as_ref().and_then(Content::file) else { return false };
        let Ok(stat) = file.metadata().map(|meta| Stat::of(&meta)) else { return false };
        let is_replaced = || look.strangers.iter().any(|s| s.path == tail.generation.path);
        if 0 < stat.links || !is_replaced() {
            return false;
        }
        if tail.generation.is_in(file).unwrap_or(false) {
            // Where it cannot be read, the bytes that are known must do.
            let _ = tail.generation.grow_head(file, stat.size);
        }
        true
    }

    /// Goes on with a file that is open but no longer under a name that is looked at.
    fn follow_handle(&mut self, index: usize, is_listed: bool, now: Timestamp) {
        let tail = &mut self.tails[index];
        let Some(Ok(meta)) = tail.file.as_ref().and_then(Content::file).map(File::metadata) else {
            return self.lose(index);
        };
        let stat = Stat::of(&meta);
        if stat.size < tail.generation.offset {
            return self.lose(index);
        }
        if tail.checked.is_none() {
            let is_same = tail.file.as_ref().map(|file| tail.generation.is_in(file));
            match is_same {
                Some(Ok(true)) => tail.try_again(),
                Some(Ok(false)) | None => return self.lose(index),
                Some(Err(_)) => (),
            }
        }
        let tail = &mut self.tails[index];
        tail.note(&stat, now);
        if let Some(file) = tail.file.as_ref().and_then(Content::file)
            && tail.generation.grow_head(file, stat.size).unwrap_or(false)
        {
            self.changed.insert(tail.generation.id);
        }
        let was_live = matches!(tail.place, Place::Live | Place::Unseen);
        if is_listed || was_live {
            tail.place = Place::Gone;
        }
        if was_live {
            let (source, path) = (tail.source, tail.generation.path.clone());
            self.sources[source].status.rotations += 1;
            self.tell(source, &path, NoticeKind::Rotated { to: None });
        }
    }

    /// Looks for the inode under any name in the directory, as after `mv access.log kept.log`.
    fn find_by_inode(&self, index: usize, listings: &mut Listings) -> Option<Sighting> {
        let tail = &self.tails[index];
        let generation = &tail.generation;
        if tail.orphan.is_some() || !generation.is_identified() {
            return None;
        }
        let directory = generation.path.parent()?;
        let names = listings.names(directory).ok()?;
        let paths = names.iter().map(|name| directory.join(name));
        let mut found = paths.filter(|path| !is_compressed(path)).filter_map(|path| {
            let stat = Stat::of(&fs::metadata(&path).ok().filter(fs::Metadata::is_file)?);
            let (base, source) = (generation.base.clone(), tail.source);
            (stat.id == generation.file).then_some(Sighting {
                path,
                base,
                source,
                kind: Kind::Related,
                stat,
            })
        });
        found.find(|sighting| self.holds(index, sighting))
    }

    /// True when a file holds all that was read of a generation, unchanged.
    fn holds(&self, index: usize, sighting: &Sighting) -> bool {
        let generation = &self.tails[index].generation;
        let is_long_enough =
            generation.offset.max(u64::from(generation.head_len)) <= sighting.stat.size;
        let same = || (self.open)(&sighting.path).and_then(|file| generation.is_in(&file));
        generation.is_identified() && is_long_enough && same().unwrap_or(false)
    }

    /// Takes from the strangers the newest file that holds the content of a generation.
    fn find_copy(&self, index: usize, look: &mut Look) -> Option<Sighting> {
        let generation = &self.tails[index].generation;
        let base_name = generation.base.file_name()?.to_owned();
        let mut alike: Vec<Sighting> =
            look.strangers.iter().filter(|s| s.base == generation.base).cloned().collect();
        fn name(sighting: &Sighting) -> &OsStr {
            sighting.path.file_name().unwrap_or_default()
        }
        sort_oldest_first(&base_name, &mut alike, name, |s| s.stat.modified);
        let found = alike.into_iter().rev().find(|sighting| self.holds(index, sighting))?;
        look.strangers.retain(|sighting| sighting.path != found.path);
        Some(found)
    }

    /// Finds a copy that ends before the position: made while the file was still growing. What
    /// was written after it has been read already.
    fn find_short_copy(&self, index: usize, look: &Look) -> Option<PathBuf> {
        let generation = &self.tails[index].generation;
        let (head_len, head_hash) = (generation.head_len, generation.head_hash);
        let mut alike = look.strangers.iter().filter(|s| {
            let size = s.stat.size;
            s.base == generation.base && u64::from(head_len) <= size && size < generation.offset
        });
        let found = alike.find(|s| {
            let file = (self.open)(&s.path);
            let head = file.and_then(|file| digest_at(&file, 0, head_len)).ok().flatten();
            generation.is_identified() && head == Some(head_hash)
        });
        found.map(|sighting| sighting.path.clone())
    }

    /// Ends an orphaned generation of which the copy holds nothing that was not read.
    pub(super) fn end_with(&mut self, index: usize, copy: PathBuf, look: &mut Look) {
        let tail = &self.tails[index];
        look.copies.insert(copy.clone());
        let reason = tail.orphan.unwrap_or(Began::Replaced);
        if 0 < tail.generation.unread() {
            return self.lose(index);
        }
        let (source, path) = (tail.source, tail.generation.path.clone());
        self.changed.insert(tail.generation.id);
        self.tails[index].finish(Place::Gone);
        self.tell(source, &path, NoticeKind::Recovered { reason, copy, lost_bytes: 0 });
    }

    /// Goes on with a generation in another file that holds its content.
    fn move_to(&mut self, index: usize, found: Sighting, look: &mut Look, now: Timestamp) {
        let Ok(file) = (self.open)(&found.path) else {
            look.strangers.push(found);
            return;
        };
        let place = found.place();
        let tail = &mut self.tails[index];
        let reason = tail.orphan.take();
        let from = tail.generation.path.clone();
        let lost_bytes = tail.generation.size.saturating_sub(found.stat.size);
        let lost_bytes = if reason.is_some() { lost_bytes } else { 0 };
        tail.generation.lost_bytes += lost_bytes;
        tail.note(&found.stat, now);
        tail.changed_at = found.stat.modified.min(now);
        (tail.checked, tail.waiting_at, tail.scanned, tail.seen) = (None, None, 0, true);
        tail.place_at(&found.path, place);
        if !tail.generation.finished {
            tail.file = Some(Content::File(file));
        }
        self.changed.insert(tail.generation.id);
        let (source, to) = (found.source, found.path);
        self.sources[source].status.lost_bytes += lost_bytes;
        match reason {
            Some(reason) => {
                self.tell(source, &from, NoticeKind::Recovered { reason, copy: to, lost_bytes });
            }
            None if place == Place::Rotated
                && from != to
                && !self.tails[index].generation.finished =>
            {
                self.sources[source].status.rotations += 1;
                self.tell(source, &from, NoticeKind::Rotated { to: Some(to) });
            }
            None => (),
        }
    }

    /// Gives a generation up: its content is nowhere, and what was not read of it is lost.
    pub(super) fn lose(&mut self, index: usize) {
        let tail = &mut self.tails[index];
        let reason = tail.orphan;
        let known_bytes = tail.generation.unread();
        let was_known = tail.generation.is_identified();
        tail.generation.lost_bytes += known_bytes;
        tail.finish(Place::Gone);
        self.changed.insert(tail.generation.id);
        if was_known {
            let (source, path) = (tail.source, tail.generation.path.clone());
            let status = &mut self.sources[source].status;
            status.losses += 1;
            status.lost_bytes += known_bytes;
            self.tell(source, &path, NoticeKind::Lost { reason, known_bytes });
        }
    }

    /// Finishes what is read and at rest, closes and forgets what is no longer needed.
    fn settle(&mut self, look: &Look, now: Timestamp) {
        let succeeded: HashSet<PathBuf> = self
            .tails
            .iter()
            .filter(|tail| tail.place == Place::Live && 0 < tail.generation.size)
            .map(|tail| tail.generation.base.clone())
            .collect();
        let files = |tail: &&mut Tail| tail.file.as_ref().is_some_and(|it| it.file().is_some());
        for tail in self.tails.iter_mut().filter(files) {
            let is_read = tail.generation.unread() == 0 || tail.is_waiting() || tail.closing;
            if tail.place != Place::Live && is_read && tail.is_idle(now, IDLE) {
                tail.closing = true;
                if tail.generation.unread() == 0 && !tail.generation.finished {
                    tail.generation.finished = true;
                    self.changed.insert(tail.generation.id);
                }
            }
            let is_succeeded = succeeded.contains(&tail.generation.base);
            let is_left = tail.place == Place::Gone && tail.is_idle(now, LINGER);
            if tail.generation.finished && (is_succeeded || is_left) {
                tail.file = None;
            }
        }
        self.forget();
        for directory in &look.listed {
            let here = |tail: &&Tail| tail.generation.base.parent() == Some(directory);
            // Without a live file, the writer may still be on a rotated one: keep looking.
            let is_live =
                self.tails.iter().filter(here).all(|tail| {
                    tail.place == Place::Live || succeeded.contains(&tail.generation.base)
                });
            match directory_modified(directory) {
                Some(modified) if is_live && !look.unsettled.contains(directory) => {
                    self.settled.insert(directory.clone(), modified);
                }
                _ => drop(self.settled.remove(directory)),
            }
        }
        self.settled.retain(|directory, _| {
            self.tails.iter().any(|tail| tail.generation.base.parent() == Some(directory))
        });
    }

    /// Drops the finished generations whose file is gone, but for the newest of each base.
    fn forget(&mut self) {
        let mut gone: BTreeMap<PathBuf, Vec<u64>> = BTreeMap::new();
        let is_gone = |tail: &Tail| {
            tail.place == Place::Gone && tail.file.is_none() && tail.generation.finished
        };
        for tail in self.tails.iter().filter(|tail| is_gone(tail)) {
            gone.entry(tail.generation.base.clone()).or_default().push(tail.generation.rank);
        }
        for ranks in gone.values_mut() {
            ranks.sort_unstable_by(|a, b| b.cmp(a));
        }
        let (forgotten, changed) = (&mut self.forgotten, &mut self.changed);
        self.tails.retain(|tail| {
            let newer = gone.get(&tail.generation.base).map_or(0, |ranks| {
                ranks.iter().filter(|rank| tail.generation.rank < **rank).count()
            });
            // The newest is kept in any case: it tells that its base has been followed.
            let is_useful = newer == 0 || tail.generation.is_identified();
            let is_kept = !is_gone(tail) || (newer < GONE_KEPT && is_useful);
            if !is_kept {
                changed.remove(&tail.generation.id);
                forgotten.push(tail.generation.id);
            }
            is_kept
        });
    }
}
