//! Finds which patterns and list entries a view holds.
//!
//! One automaton looks for the needs of all patterns, the paths and the first texts of the CVEs at
//! the same time. Only a pattern of which a need occurs is run, each as an expression of its own:
//! together they would make one set with more states than fit into a cache, which hostile text
//! could have built anew at every byte.
//!
//! Invariant: what is found is what running every pattern on the view would find.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use super::super::automaton::Automaton;
use super::agents::AGENTS;
use super::class::{Class, Classes};
use super::cves::CVES;
use super::paths::{ENDINGS, OPEN_DOTS, PATHS};
use super::payload::{On, PATTERNS_MAX, Pattern, patterns};

/// Everything that is compiled once.
pub(super) static MATCHER: LazyLock<Matcher> = LazyLock::new(Matcher::new);

const LOG4SHELL: &str = "CVE-2021-44228";

/// What a text of the automaton stands for.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// A need of these patterns.
    Patterns(u128),
    Path(u16),
    Cve(u16),
}

/// Which entries may match.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    patterns: u128,
    paths: Vec<u16>,
    cves: Vec<u16>,
}

#[cfg(test)]
impl Candidates {
    /// Every pattern may match.
    pub(super) fn add_all(&mut self) {
        self.patterns = u128::MAX;
    }
}

/// The compiled lists.
#[derive(Debug)]
pub(super) struct Matcher {
    needs: Automaton,
    meanings: Vec<Meaning>,
    agents: AhoCorasick,
    patterns: Vec<(Regex, Class)>,
    log4shell: u16,
    on_target: u128,
    on_every: u128,
    on_shell: u128,
}

impl Matcher {
    fn new() -> Self {
        let list: Vec<&'static Pattern> = patterns().collect();
        assert!(list.len() <= PATTERNS_MAX, "a set of patterns has so many bits");
        let mut texts: Vec<(&str, Meaning)> = Vec::new();
        for (index, pattern) in list.iter().enumerate() {
            for need in pattern.needs {
                match texts.iter_mut().find(|(known, _)| known == need) {
                    Some((_, Meaning::Patterns(set))) => *set |= 1 << index,
                    _ => texts.push((need, Meaning::Patterns(1 << index))),
                }
            }
        }
        let path = |(index, path): (usize, &&'static str)| {
            (path.trim_end_matches('$'), Meaning::Path(index as u16))
        };
        texts.extend(PATHS.iter().enumerate().map(path));
        let cve = |(index, entry): (usize, &super::cves::CveEntry)| {
            (entry.texts[0], Meaning::Cve(index as u16))
        };
        texts.extend(CVES.iter().enumerate().map(cve));
        let set = |on: On| {
            let each = list.iter().enumerate().filter(|(_, pattern)| pattern.on == on);
            each.fold(0, |set, (index, _)| set | 1 << index)
        };
        Self {
            needs: Automaton::new(texts.iter().map(|(text, _)| text.as_bytes()))
                .expect("the lists are short: a test builds this"),
            meanings: texts.iter().map(|(_, meaning)| *meaning).collect(),
            agents: automaton(AGENTS.iter().copied()),
            patterns: list.iter().map(|pattern| (compile(pattern.regex), pattern.class)).collect(),
            log4shell: CVES.iter().position(|cve| cve.id == LOG4SHELL).unwrap_or_default() as u16,
            on_target: set(On::Target) | set(On::Every),
            on_every: set(On::Every),
            on_shell: set(On::Shell),
        }
    }

    /// Something may match in a path in which there is nothing to decode.
    pub(super) fn has_any(&self, path: &[u8]) -> bool {
        self.needs.finds_any(path)
    }

    /// What may match in `text`.
    pub(super) fn candidates(&self, text: &[u8], out: &mut Candidates) {
        out.patterns = 0;
        out.paths.clear();
        out.cves.clear();
        self.needs.read(self.needs.start(), text, |found| match self.meanings[found] {
            Meaning::Patterns(set) => out.patterns |= set,
            Meaning::Path(index) => out.paths.push(index),
            Meaning::Cve(index) => out.cves.push(index),
        });
    }

    /// The classes of the patterns among `candidates` that `view` holds.
    pub(super) fn classes(&self, candidates: &Candidates, on: On, view: &[u8]) -> Classes {
        let fitting = match on {
            On::Target => self.on_target,
            On::Every => self.on_every,
            On::Shell => self.on_shell,
        };
        let mut left = candidates.patterns & fitting;
        let mut classes = Classes::NONE;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            let (regex, class) = &self.patterns[index];
            if !classes.has(*class) && regex.is_match(view) {
                classes.add(Classes::of(*class));
            }
        }
        classes
    }

    /// The path, normalised, leads to something that nobody should ask for.
    pub(super) fn is_sensitive(&self, candidates: &Candidates, path: &[u8]) -> bool {
        let holds = |entry: &str| {
            let (text, at_end) = match entry.strip_suffix('$') {
                Some(text) => (text.as_bytes(), true),
                None => (entry.as_bytes(), false),
            };
            memchr::memmem::find_iter(path, text).any(|at| match path.get(at + text.len()) {
                None => true,
                Some(_) if at_end => false,
                Some(next) => text.ends_with(b"/") || !next.is_ascii_alphabetic(),
            })
        };
        candidates.paths.iter().any(|index| holds(PATHS[usize::from(*index)]))
    }

    /// The weakness that a request with this method and this view of its target is for.
    pub(super) fn cve(&self, candidates: &Candidates, method: &[u8], view: &[u8]) -> Option<u16> {
        let holds = |index: &&u16| {
            let entry = &CVES[usize::from(**index)];
            (entry.method.is_empty() || entry.method.as_bytes() == method)
                && entry
                    .texts
                    .iter()
                    .all(|text| memchr::memmem::find(view, text.as_bytes()).is_some())
        };
        candidates.cves.iter().filter(holds).min().copied()
    }

    /// The weakness that every look-up is for, in whatever disguise.
    pub(super) fn log4shell(&self) -> u16 {
        self.log4shell
    }

    /// The agent names a tool that looks for weaknesses.
    pub(super) fn is_scanner(&self, agent: &[u8]) -> bool {
        if !self.agents.is_match(agent) {
            return false;
        }
        let is_beside = |at: Option<usize>| {
            at.and_then(|at| agent.get(at)).is_some_and(u8::is_ascii_alphabetic)
        };
        self.agents
            .find_overlapping_iter(agent)
            .any(|found| !is_beside(found.start().checked_sub(1)) && !is_beside(Some(found.end())))
    }
}

/// A segment of the path begins with a dot, as hidden files and folders do.
pub(super) fn is_hidden(path: &[u8]) -> bool {
    let mut dots = memchr::memmem::find_iter(path, b"/.");
    dots.any(|at| {
        let segment = path[at + 1..].split(|byte| *byte == b'/').next().unwrap_or_default();
        let is_name = segment.get(1).is_some_and(u8::is_ascii_alphanumeric);
        is_name && !OPEN_DOTS.iter().any(|open| segment.eq_ignore_ascii_case(open.as_bytes()))
    })
}

/// The file name ends as copies and data do that nobody publishes.
pub(super) fn has_odd_ending(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    ENDINGS.iter().any(|ending| {
        let at = name.len().checked_sub(ending.len());
        at.is_some_and(|at| 0 < at && name[at..].eq_ignore_ascii_case(ending.as_bytes()))
    })
}

fn automaton<'t>(texts: impl Iterator<Item = &'t str>) -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .build(texts)
        .expect("the lists are short: a test builds this")
}

fn compile(pattern: &str) -> Regex {
    RegexBuilder::new(pattern)
        .unicode(false)
        .build()
        .expect("the patterns are ours: a test compiles all of them")
}
