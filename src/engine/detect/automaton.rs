//! Many texts, found in one pass in whatever case of ASCII.

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind, StartKind};

/// Up to this many bytes of texts an automaton may be a table.
const TABLE_BYTES_MAX: usize = 64 << 10;

/// Finds all texts in one pass.
#[derive(Debug)]
pub(super) enum Automaton {
    /// The fastest form, and the largest.
    Table(Box<DFA>),
    Compact(Box<NFA>),
}

impl Automaton {
    /// `None` where no automaton can be that large.
    pub(super) fn new<'t>(texts: impl IntoIterator<Item = &'t [u8]>) -> Option<Self> {
        let texts: Vec<&[u8]> = texts.into_iter().collect();
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        if TABLE_BYTES_MAX < bytes {
            let mut builder = NFA::builder();
            builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard);
            return builder.build(texts).ok().map(|nfa| Self::Compact(Box::new(nfa)));
        }
        let mut builder = DFA::builder();
        builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard);
        let built = builder.start_kind(StartKind::Unanchored).build(texts);
        built.ok().map(|dfa| Self::Table(Box::new(dfa)))
    }

    /// Where it begins to read.
    pub(super) fn start(&self) -> StateID {
        let start = match self {
            Self::Table(dfa) => dfa.start_state(Anchored::No),
            Self::Compact(nfa) => nfa.start_state(Anchored::No),
        };
        start.expect("both are built to begin anywhere in a text")
    }

    /// Goes over `bytes` from `state`; calls `found` with each text that ends on the way.
    #[inline]
    pub(super) fn read(
        &self,
        state: StateID,
        bytes: &[u8],
        mut found: impl FnMut(usize),
    ) -> StateID {
        let mut go_on = |text| {
            found(text);
            true
        };
        match self {
            Self::Table(dfa) => walk(&**dfa, state, bytes, &mut go_on),
            Self::Compact(nfa) => walk(&**nfa, state, bytes, &mut go_on),
        }
    }

    /// Some text is in `bytes`.
    #[inline]
    pub(super) fn finds_any(&self, bytes: &[u8]) -> bool {
        let mut is_found = false;
        let mut stop = |_| {
            is_found = true;
            false
        };
        match self {
            Self::Table(dfa) => walk(&**dfa, self.start(), bytes, &mut stop),
            Self::Compact(nfa) => walk(&**nfa, self.start(), bytes, &mut stop),
        };
        is_found
    }
}

/// Goes over `bytes` for as long as `found` wants more.
#[inline]
fn walk(
    automaton: &impl aho_corasick::automaton::Automaton,
    mut state: StateID,
    bytes: &[u8],
    found: &mut impl FnMut(usize) -> bool,
) -> StateID {
    for byte in bytes {
        state = automaton.next_state(Anchored::No, state, *byte);
        if automaton.is_special(state) && automaton.is_match(state) {
            for index in 0..automaton.match_len(state) {
                if !found(automaton.match_pattern(state, index).as_usize()) {
                    return state;
                }
            }
        }
    }
    state
}
