//! What a list says about its indicators, each text once.
//!
//! Millions of entries share a handful of notes in most lists; where each has its own, a note takes 32
//! bytes and its text.

use hashbrown::HashTable;

use super::index::Note;
use crate::units::Timestamp;

/// What is said about an indicator.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct About {
    /// What it is: the name of a campaign, a comment.
    pub(super) description: String,
    /// Where more is told: a URL, or the id in the list.
    pub(super) reference: String,
    /// Since when it is known, in seconds since 1970; 0 where the list does not say.
    pub(super) since: u32,
    /// Until when it counts; the largest number where nothing ends it.
    pub(super) until: u32,
    /// It does not count before `since`.
    pub(super) starts: bool,
    /// 0 to 100; nothing where the list does not say.
    pub(super) confidence: Option<u8>,
    /// Whom it may be told to.
    pub(super) tlp: Tlp,
}

/// The Traffic Light Protocol: whom something may be told to.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tlp {
    /// The list does not say.
    #[default]
    Unmarked,
    /// Anybody.
    Clear,
    /// The community.
    Green,
    /// One's own organisation and its clients.
    Amber,
    /// Those who were told.
    Red,
}

/// What lists write, in lower case and without `tlp:`.
const TLP_NAMES: [(&str, Tlp); 6] = [
    ("clear", Tlp::Clear),
    ("white", Tlp::Clear),
    ("green", Tlp::Green),
    ("amber", Tlp::Amber),
    ("amber+strict", Tlp::Amber),
    ("red", Tlp::Red),
];

impl Tlp {
    /// What a list means by `text`, such as `tlp:amber`.
    pub(super) fn named(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let word = text.strip_prefix("tlp:").unwrap_or(&text);
        TLP_NAMES.iter().find(|(name, _)| *name == word).map(|(_, tlp)| *tlp)
    }

    /// The name in events; nothing where the list does not say.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Unmarked => None,
            Self::Clear => Some("CLEAR"),
            Self::Green => Some("GREEN"),
            Self::Amber => Some("AMBER"),
            Self::Red => Some("RED"),
        }
    }

    /// It stays on this machine, but for the mails to the operator.
    pub fn stays(self) -> bool {
        Self::Amber <= self
    }
}

/// The notes of one list.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<Kept>,
    texts: String,
}

#[derive(Debug)]
struct Kept {
    text: u32,
    description: u16,
    reference: u16,
    since: u32,
    until: u32,
    starts: bool,
    dead: bool,
    confidence: u8,
    tlp: Tlp,
}

/// No confidence is told.
const UNKNOWN: u8 = u8::MAX;

/// Longest description and longest reference that are kept.
const TEXT_BYTES_MAX: usize = 240;

/// Puts notes together, each once.
#[derive(Debug)]
pub(super) struct NoteWriter {
    notes: Notes,
    known: HashTable<Note>,
    hasher: ahash::RandomState,
}

impl NoteWriter {
    pub(super) fn new(hasher: ahash::RandomState) -> Self {
        Self { notes: Notes::default(), known: HashTable::new(), hasher }
    }

    /// The number of a note that says `about`; entries that say the same share it.
    pub(super) fn shared(&mut self, mut about: About) -> Note {
        cut(&mut about.description);
        cut(&mut about.reference);
        let hash = self.hasher.hash_one(&about);
        let notes = &self.notes;
        if let Some(note) = self.known.find(hash, |note| notes.about(*note) == about) {
            return *note;
        }
        let note = self.notes.push(&about);
        let (notes, hasher) = (&self.notes, &self.hasher);
        self.known.insert_unique(hash, note, |note| hasher.hash_one(notes.about(*note)));
        note
    }

    /// The number of a note that one object of a list has to itself: it may be withdrawn.
    pub(super) fn own(&mut self, mut about: About) -> Note {
        cut(&mut about.description);
        cut(&mut about.reference);
        self.notes.push(&about)
    }

    /// What points to `note` does not count.
    pub(super) fn withdraw(&mut self, note: Note) {
        self.notes.notes[note as usize].dead = true;
    }

    pub(super) fn finish(mut self) -> Notes {
        self.notes.notes.shrink_to_fit();
        self.notes.texts.shrink_to_fit();
        self.notes
    }
}

fn cut(text: &mut String) {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
}

impl Notes {
    fn push(&mut self, about: &About) -> Note {
        let text = self.texts.len() as u32;
        self.texts.push_str(&about.description);
        self.texts.push_str(&about.reference);
        self.notes.push(Kept {
            text,
            description: about.description.len() as u16,
            reference: about.reference.len() as u16,
            since: about.since,
            until: about.until,
            starts: about.starts,
            dead: false,
            confidence: about.confidence.unwrap_or(UNKNOWN),
            tlp: about.tlp,
        });
        self.notes.len() as Note - 1
    }

    /// All that a note says.
    pub(super) fn about(&self, note: Note) -> About {
        let kept = &self.notes[note as usize];
        let (text, middle) = (kept.text as usize, kept.text as usize + kept.description as usize);
        About {
            description: self.texts[text..middle].to_owned(),
            reference: self.texts[middle..middle + kept.reference as usize].to_owned(),
            since: kept.since,
            until: kept.until,
            starts: kept.starts,
            confidence: (kept.confidence != UNKNOWN).then_some(kept.confidence),
            tlp: kept.tlp,
        }
    }

    /// It counts at `time`.
    pub(super) fn counts(&self, note: Note, time: Timestamp) -> bool {
        let kept = &self.notes[note as usize];
        let second = time.secs();
        let has_begun = !kept.starts || u64::from(kept.since) <= second;
        has_begun && (kept.until == u32::MAX || second < u64::from(kept.until))
    }

    pub(super) fn is_dead(&self, note: Note) -> bool {
        self.notes[note as usize].dead
    }

    pub(super) fn tlp(&self, note: Note) -> Tlp {
        self.notes[note as usize].tlp
    }

    /// Of two notes about the same indicator, the first is to be kept: it counts for longer, or is
    /// surer.
    pub(super) fn is_better(&self, one: Note, other: Note) -> bool {
        let rank = |note: Note| {
            let kept = &self.notes[note as usize];
            let confidence = if kept.confidence == UNKNOWN { 0 } else { kept.confidence };
            (kept.until, confidence)
        };
        rank(other) < rank(one)
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.notes.capacity() * size_of::<Kept>() + self.texts.capacity()
    }
}
