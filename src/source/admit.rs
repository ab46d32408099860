//! What becomes of files that hold no known generation: a copy to be left alone, or a new
//! generation, with its place in the reading order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::config::Start;
use super::content::{Archive, Content, ReadAt};
use super::encoding::{Encoding, SNIFF_BYTES};
use super::follow::Follower;
use super::generation::{Began, Generation, GenerationId};
use super::identity::{ANCHOR_BYTES, Digest, FileId, HEAD_BYTES, Stat, digest_at};
use super::look::{Kind, Sighting};
use super::names::{is_compressed, plain_name, sort_oldest_first};
use super::rescan::Look;
use super::status::NoticeKind;
use super::tail::{Place, Tail};
use crate::units::Timestamp;

/// Room between the ranks of two generations, for those that are found to lie between.
const RANK_STEP: u64 = 1 << 20;

/// Rotated files that are taken note of when a base is first seen; older ones are left out by time.
const MAX_HISTORY: usize = 64;

impl Follower {
    /// Sorts the strangers of each base by age and takes them in.
    pub(super) fn admit(&mut self, look: &mut Look, now: Timestamp) {
        let mut bases: BTreeMap<PathBuf, Vec<Sighting>> = BTreeMap::new();
        for stranger in std::mem::take(&mut look.strangers) {
            if stranger.kind != Kind::Related {
                bases.entry(stranger.base.clone()).or_default().push(stranger);
            }
        }
        for (base, strangers) in bases {
            let (live, mut rotated): (Vec<_>, Vec<_>) =
                strangers.into_iter().partition(Sighting::is_live);
            let base_name = base.file_name().unwrap_or_default();
            sort_oldest_first(
                base_name,
                &mut rotated,
                |s| plain_name(&s.path),
                |s| s.stat.modified,
            );
            let mut history = rotated.len();
            for stranger in &rotated {
                history -= 1;
                self.admit_rotated(stranger, history < MAX_HISTORY, look, now);
            }
            for stranger in &live {
                let known = |tail: &Tail| tail.generation.base == base && !is_history(tail);
                let began = match look.verdicts.get(&stranger.stat.id) {
                    Some(reason) => *reason,
                    None if self.tails.iter().any(known) => Began::Rotated,
                    None => Began::Discovered,
                };
                if began == Began::Rotated && self.is_rewritten(stranger) {
                    self.tell(stranger.source, &stranger.path, NoticeKind::Rewritten);
                }
                self.begin(stranger, began, now);
            }
        }
        for source in &mut self.sources {
            source.is_new = false;
        }
    }

    /// True when a file that holds no known generation begins like one of its base: somebody wrote
    /// the log anew, as `sed -i` does. Short heads tell nothing, as many logs begin alike.
    fn is_rewritten(&self, s: &Sighting) -> bool {
        let head = (self.open)(&s.path).and_then(|file| digest_at(&file, 0, HEAD_BYTES as u32));
        let Ok(Some(head)) = head else { return false };
        self.tails.iter().any(|tail| {
            let generation = &tail.generation;
            generation.base == s.base
                && generation.head_len as usize == HEAD_BYTES
                && generation.head_hash == head
        })
    }

    fn admit_rotated(&mut self, s: &Sighting, is_recent: bool, look: &mut Look, now: Timestamp) {
        if look.copies.contains(&s.path) {
            self.begin(s, Began::History, now);
            return;
        }
        if s.kind == Kind::Archive {
            let is_missed = self.may_have_missed(s) && self.is_unknown(s);
            return if is_missed {
                self.begin_missed(s, now)
            };
        }
        let is_copy = s.stat.size == 0 || self.is_copy_of_known(s, now);
        if is_copy {
            // It may be a copy in the making: look again.
            look.unsettled.extend(s.path.parent().map(Path::to_owned));
        } else if s.kind == Kind::Watched {
            self.begin(s, Began::Discovered, now);
        } else if look.known.contains(&s.base) && self.may_have_missed(s) {
            self.begin_missed(s, now);
        } else if is_recent {
            self.begin(s, Began::History, now);
        }
    }

    fn begin_missed(&mut self, s: &Sighting, now: Timestamp) {
        if self.begin(s, Began::Missed, now) {
            self.sources[s.source].status.missed += 1;
            self.tell(s.source, &s.path, NoticeKind::Missed);
        }
    }

    /// True when `s` can be a generation that came and went between two looks: the base holds
    /// another content than at the last look, and `s` is no older than what was finished by then.
    fn may_have_missed(&self, s: &Sighting) -> bool {
        let mut same = self.tails.iter().filter(|tail| tail.generation.base == s.base);
        !same.any(|tail| {
            let generation = &tail.generation;
            let is_still_there = tail.place == Place::Live && tail.firm;
            let is_newer = generation.finished
                && generation.file.inode != 0
                && s.stat.modified < generation.modified;
            is_still_there || is_newer
        })
    }

    /// True when a file holds what a known generation holds: `copytruncate` before it truncates,
    /// or a backup. A copy of a finished generation whose file is gone takes its place.
    fn is_copy_of_known(&mut self, s: &Sighting, now: Timestamp) -> bool {
        let Ok(file) = (self.open)(&s.path) else { return false };
        let found = self.tails.iter().position(|tail| {
            tail.generation.base == s.base
                && tail.generation.is_identified()
                && is_copy(&file, s.stat.size, tail, self.open).unwrap_or(false)
        });
        let Some(index) = found else { return false };
        let tail = &mut self.tails[index];
        if tail.place == Place::Gone && tail.file.is_none() && tail.generation.offset <= s.stat.size
        {
            tail.note(&s.stat, now);
            tail.place_at(&s.path, Place::Rotated);
            if !tail.generation.finished {
                tail.file = Some(Content::File(file));
            }
            self.changed.insert(tail.generation.id);
        }
        true
    }

    /// Begins a new generation in the file met; false when it cannot be read now.
    fn begin(&mut self, s: &Sighting, began: Began, now: Timestamp) -> bool {
        let active = self.tails.iter().filter(|tail| tail.file.is_some()).count();
        if self.limits.max_files <= active && began != Began::History {
            let source = &mut self.sources[s.source];
            source.status.over_limit += 1;
            if !std::mem::replace(&mut source.told_limit, true) {
                let max_files = self.limits.max_files;
                self.tell(s.source, &s.path, NoticeKind::TooManyFiles { max_files });
            }
            return false;
        }
        match self.open_tail(s, began, now) {
            Ok(Some(tail)) => {
                self.changed.insert(tail.generation.id);
                self.tails.push(tail);
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.tell_unreadable(s.source, &s.path, &error);
                false
            }
        }
    }

    fn open_tail(
        &mut self,
        s: &Sighting,
        began: Began,
        now: Timestamp,
    ) -> io::Result<Option<Tail>> {
        let file = (self.open)(&s.path)?;
        let stat = Stat::of(&file.metadata()?);
        if stat.id != s.stat.id {
            return Ok(None);
        }
        let (content, id, size) = if s.kind == Kind::Archive {
            let Some(archive) = Archive::open(file)? else { return Ok(None) };
            let size = archive.look_ahead(0, HEAD_BYTES as u64);
            (Content::Archive(archive), FileId::default(), size)
        } else {
            (Content::File(file), stat.id, stat.size)
        };
        let source = &self.sources[s.source];
        let mut generation = Generation {
            id: GenerationId(self.next_id),
            source: source.config.id().to_owned(),
            path: s.path.clone(),
            base: s.base.clone(),
            file: id,
            head_len: 0,
            head_hash: Digest::empty(),
            anchor_len: 0,
            anchor_hash: Digest::empty(),
            offset: 0,
            size,
            modified: stat.modified,
            encoding: None,
            fingerprint: None,
            rank: self.rank_of(s),
            finished: began == Began::History,
            began,
            lost_bytes: 0,
            nul_bytes: 0,
            long_lines: 0,
            note: String::new(),
        };
        generation.grow_head(&content, size)?;
        if began == Began::History {
            generation.move_to(&content, size)?;
        } else if source.is_new && source.config.start == Start::End {
            let encoding = encoding_of(&content)?;
            generation.encoding = Some(encoding);
            generation.move_to(&content, after_last_line(&content, size, encoding)?)?;
        }
        self.next_id += 1;
        let mut tail = Tail::new(generation, s.source, now);
        (tail.place, tail.seen, tail.checked) = (s.place(), true, Some(stat));
        tail.file = (began != Began::History).then_some(content);
        tail.look_ahead(HEAD_BYTES);
        Ok(Some(tail))
    }

    /// The newest of its base; but older than a file that was known empty, and was filled since
    /// under a younger name.
    fn rank_of(&self, s: &Sighting) -> u64 {
        let same = || self.tails.iter().filter(|tail| tail.generation.base == s.base);
        let younger = |tail: &&Tail| {
            let is_new_content = tail.seen && !tail.firm && tail.generation.offset == 0;
            let is_live = tail.place == Place::Live;
            !s.is_live() && (is_live || (is_new_content && is_older_name(s, tail)))
        };
        let next = same().filter(younger).map(|tail| tail.generation.rank).min();
        let older = same().map(|tail| tail.generation.rank).filter(|r| next.is_none_or(|n| *r < n));
        let newest = older.max();
        match next {
            None => newest.map_or(RANK_STEP * RANK_STEP, |newest| newest + RANK_STEP),
            Some(next) => {
                let floor = newest.unwrap_or_else(|| next.saturating_sub(RANK_STEP));
                floor + (next - floor) / 2
            }
        }
    }
}

/// True when the name of `s` says that it was rotated away before the file of `tail`.
fn is_older_name(s: &Sighting, tail: &Tail) -> bool {
    let Some(base) = s.base.file_name() else { return false };
    let (ours, theirs) = (plain_name(&s.path), plain_name(&tail.generation.path));
    let mut names = [(ours, s.stat.modified), (theirs, tail.generation.modified)];
    sort_oldest_first(base, &mut names, |(name, _)| name, |(_, modified)| *modified);
    names[0].0 == ours
}

fn is_history(tail: &Tail) -> bool {
    tail.generation.began == Began::History
}

/// True when the `size` bytes of `copy` are the content of the generation, or its beginning.
fn is_copy(
    copy: &File,
    size: u64,
    tail: &Tail,
    open: fn(&Path) -> io::Result<File>,
) -> io::Result<bool> {
    let generation = &tail.generation;
    let opened;
    let original = match &tail.file {
        Some(content) => content.file(),
        None if tail.place == Place::Gone || tail.place == Place::Unseen => None,
        None if is_compressed(&generation.path) => None,
        None => {
            opened = open(&generation.path).ok();
            opened.as_ref()
        }
    };
    let Some(original) = original else {
        // Nothing to compare with but the hashes. The head alone must do where the copy ends
        // before the position, as one does that was made while the file was still growing.
        let head = digest_at(copy, 0, generation.head_len)?;
        return Ok(u64::from(generation.head_len) <= size
            && if generation.offset <= size {
                generation.is_in(copy)?
            } else {
                ANCHOR_BYTES as u32 <= generation.head_len && head == Some(generation.head_hash)
            });
    };
    if original.metadata()?.len() < size {
        return Ok(false);
    }
    let head_len = size.min(u64::from(generation.head_len)) as u32;
    let last_len = size.min(ANCHOR_BYTES as u64) as u32;
    let last = size - u64::from(last_len);
    Ok(digest_at(copy, 0, head_len)? == digest_at(original, 0, head_len)?
        && digest_at(copy, last, last_len)? == digest_at(original, last, last_len)?)
}

/// The encoding of a file as far as it is written.
fn encoding_of(content: &Content) -> io::Result<Encoding> {
    let mut first = [0; SNIFF_BYTES];
    let read = content.fill_at(&mut first, 0)?;
    Ok(Encoding::of(&first[..read], true).unwrap_or_default().0)
}

/// The position after the last line feed before `size`.
fn after_last_line(content: &Content, size: u64, encoding: Encoding) -> io::Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let mut end = size;
    while 0 < end {
        // Units begin at even positions.
        let start = end.saturating_sub(buffer.len() as u64).next_multiple_of(2);
        let length = content.fill_at(&mut buffer[..(end - start) as usize], start)?;
        if let Some(line_end) = encoding.last_line_end(&buffer[..length]) {
            return Ok(start + line_end as u64);
        }
        end = start;
    }
    Ok(0)
}
