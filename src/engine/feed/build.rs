//! Puts a list together, entry by entry.
//!
//! Invariant: an entry that cannot be used costs itself only; it is counted, and the first few are
//! told with their place and the reason.

use std::hash::{BuildHasher as _, Hasher as _};

use super::index::{Addresses, Family, Note, Range, Texts, key};
use super::kind::{Kind, Taken};
use super::notes::{About, NoteWriter};
use super::settings::FeedConfig;
use super::value::{self, Value, is_nobodys};
use super::{Feed, TARGET_CODE};
use crate::units::Timestamp;

/// Entries of one list at most.
pub const ENTRIES_MAX: usize = 5_000_000;

/// Bytes of one list at most, decompressed.
pub const BYTES_MAX: u64 = 200 << 20;

/// Complaints that are kept with their place.
const TOLD_MAX: usize = 5;

/// Targets of URLs shorter than this stand in half of all logs.
const TARGET_BYTES_MIN: usize = 12;

/// Targets that stand in half of all logs although they are longer.
const COMMON_TARGETS: &[&[u8]] = &[
    b"/favicon.ico",
    b"/wp-login.php",
    b"/administrator",
    b"/administrator/",
    b"/wp-includes/",
    b"/wp-content/",
    b"/wp-admin/index.php",
    b"/wp-admin/admin-ajax.php",
    b"/wp-json/wp/v2/users",
    b"/.well-known/security.txt",
];

/// What became of the entries of a list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Entries that count.
    pub taken: u64,
    /// Entries that cannot be read.
    pub refused: u64,
    /// Patterns and types that are not supported.
    pub unsupported: u64,
    /// Entries that do not count: withdrawn, of little confidence, of nobody in particular.
    pub left_out: u64,
    /// Place and reason of the first that were refused.
    pub first: Vec<(String, String)>,
}

impl Report {
    /// What an operator should know about entries that do not count; nothing where all do.
    pub fn complaint(&self) -> Option<String> {
        let lost = self.refused + self.unsupported;
        let is_empty = self.taken == 0;
        if lost == 0 && !is_empty {
            return None;
        }
        let count = |number: u64, what: &str| (0 < number).then(|| format!("{number} {what}"));
        let parts = [
            Some(match self.taken {
                1 => "1 entry is in force".to_owned(),
                taken => format!("{taken} entries are in force"),
            }),
            count(self.refused, "cannot be read"),
            count(self.unsupported, "are of a kind that is not supported"),
            count(self.left_out, "do not count"),
        ];
        let mut text = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        for (place, reason) in &self.first {
            text.push_str(&format!("; {place}: {reason}"));
        }
        Some(text)
    }
}

/// A list that cannot be used as a whole.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unusable {
    /// It has too many entries.
    #[error("it holds more than {ENTRIES_MAX} entries; split it, or leave out what is old")]
    TooMany,
    /// It is no list of its format.
    #[error("it is no {0}: {1}")]
    NotOfFormat(&'static str, String),
}

/// A list that grows.
#[derive(Debug)]
pub struct Builder {
    hasher: ahash::RandomState,
    taken: Taken,
    confidence_min: u8,
    as_of: Timestamp,
    until: u32,
    notes: NoteWriter,
    v4: Vec<(u32, Note)>,
    v4_ranges: Vec<Range<u32>>,
    v6: Vec<([u8; 16], Note)>,
    v6_ranges: Vec<Range<[u8; 16]>>,
    texts: Vec<(u64, Note)>,
    report: Report,
}

impl Builder {
    /// A list as `settings` describe it, written at `as_of`; hashes are made with `seed`.
    pub fn new(settings: &FeedConfig, as_of: Timestamp, seed: u64) -> Self {
        let hasher = ahash::RandomState::with_seeds(seed, 17, 19, 23);
        let until = as_of.plus(settings.ttl).secs();
        Self {
            notes: NoteWriter::new(hasher.clone()),
            hasher,
            taken: settings.taken,
            confidence_min: settings.confidence_min,
            as_of,
            until: u32::try_from(until).unwrap_or(u32::MAX),
            v4: Vec::new(),
            v4_ranges: Vec::new(),
            v6: Vec::new(),
            v6_ranges: Vec::new(),
            texts: Vec::new(),
            report: Report::default(),
        }
    }

    /// What is known of an entry of which the list says nothing.
    pub(super) fn about(&self) -> About {
        About { until: self.until, ..About::default() }
    }

    /// How entries are to be taken where the list does not say.
    pub(super) fn taken(&self) -> Taken {
        self.taken
    }

    /// The notes.
    pub(super) fn notes(&mut self) -> &mut NoteWriter {
        &mut self.notes
    }

    /// Its entries are as many as one list may have: nothing more is taken.
    pub fn is_full(&self) -> bool {
        ENTRIES_MAX < self.report.taken as usize
    }

    /// The list is less sure of an indicator than is asked for.
    pub(super) fn is_unsure(&self, about: &About) -> bool {
        about.confidence.is_some_and(|confidence| confidence < self.confidence_min)
    }

    /// Takes an entry; `note` says what is known about it. The error completes a complaint.
    pub(super) fn add(
        &mut self,
        text: &[u8],
        taken: Taken,
        note: Note,
    ) -> Result<(), &'static str> {
        let value = value::read(text, taken)?;
        match value {
            Value::Addresses(first, last) => {
                if is_nobodys(first) && is_nobodys(last) {
                    self.leave_out();
                    return Ok(());
                }
                match (Family::from(first), Family::from(last)) {
                    (Family::V4(a), Family::V4(b)) if a == b => self.v4.push((a, note)),
                    (Family::V4(a), Family::V4(b)) => self.v4_ranges.push((a, b, note)),
                    (Family::V6(a), Family::V6(b)) if a == b => self.v6.push((a, note)),
                    (Family::V6(a), Family::V6(b)) => self.v6_ranges.push((a, b, note)),
                    _ => return Err("its ends are of two kinds"),
                }
            }
            Value::Domain(name) => self.text(Kind::Domain as u8, &[&name], note),
            Value::Url(host, target) => {
                self.text(Kind::Url as u8, &[&host, &target], note);
                let is_telling = TARGET_BYTES_MIN <= target.len();
                if is_telling && !COMMON_TARGETS.contains(&&*target) {
                    self.text(TARGET_CODE, &[&target], note);
                }
            }
            Value::Path(path) => self.text(Kind::Path as u8, &[&path], note),
            Value::UserAgent(agent) => self.text(Kind::UserAgent as u8, &[agent], note),
            Value::Hash(hash) => self.text(Kind::Hash as u8, &[&hash], note),
            Value::User(user) => self.text(Kind::User as u8, &[user], note),
        }
        self.report.taken += 1;
        Ok(())
    }

    fn text(&mut self, code: u8, parts: &[&[u8]], note: Note) {
        self.texts.push((key(hash_of(&self.hasher, parts), code), note));
    }

    /// An entry that cannot be used, where it stands and why.
    pub(super) fn refuse(&mut self, place: String, reason: &str) {
        self.report.refused += 1;
        if self.report.first.len() < TOLD_MAX {
            self.report.first.push((place, reason.to_owned()));
        }
    }

    /// An entry of a kind that is not supported.
    pub(super) fn unsupported(&mut self, place: String, reason: &str) {
        self.report.unsupported += 1;
        if self.report.first.len() < TOLD_MAX {
            self.report.first.push((place, reason.to_owned()));
        }
    }

    /// An entry that does not count.
    pub(super) fn leave_out(&mut self) {
        self.report.left_out += 1;
    }

    /// The list, ready to be asked.
    pub fn finish(self, settings: &FeedConfig) -> Result<Feed, Unusable> {
        if self.is_full() {
            return Err(Unusable::TooMany);
        }
        let Self { hasher, as_of, notes, mut report, .. } = self;
        let (mut v4, mut v4_ranges, mut v6) = (self.v4, self.v4_ranges, self.v6);
        let (mut v6_ranges, mut texts) = (self.v6_ranges, self.texts);
        let notes = notes.finish();
        let mut withdrawn = 0;
        let mut stays = |note: Note| {
            let is_dead = notes.is_dead(note);
            withdrawn += u64::from(is_dead);
            !is_dead
        };
        v4.retain(|one| stays(one.1));
        v4_ranges.retain(|one| stays(one.2));
        v6.retain(|one| stays(one.1));
        v6_ranges.retain(|one| stays(one.2));
        // What stands behind the host of a URL is a part of that entry.
        texts.retain(|one| if is_target(one.0) { !notes.is_dead(one.1) } else { stays(one.1) });
        report.left_out += withdrawn;
        report.taken = report.taken.saturating_sub(withdrawn);
        let better = |one: Note, other: Note| notes.is_better(one, other);
        let v4 = Addresses::new(v4, v4_ranges, better);
        let v6 = Addresses::new(v6, v6_ranges, better);
        let texts = Texts::new(texts, better);
        let mut feed = Feed {
            name: settings.id(),
            severity: settings.severity,
            max_age: settings.max_age,
            as_of,
            report,
            hasher,
            v4,
            v6,
            texts,
            notes,
            counts: [0; Kind::ALL.len()],
        };
        feed.count();
        Ok(feed)
    }
}

fn is_target(key: u64) -> bool {
    key & 0b1111 == u64::from(TARGET_CODE)
}

/// The keyed hash of a text of several parts.
pub(super) fn hash_of(hasher: &ahash::RandomState, parts: &[&[u8]]) -> u64 {
    let mut hasher = hasher.build_hasher();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}
