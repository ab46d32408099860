//! What attacks look like in a view.
//!
//! Patterns are written for the view of a field (`view.rs`): lower-case, decoded, white space as one
//! blank or line feed, `\x01` before each parameter's name and `\x02` before its value. They run only
//! where one of their `needs` occurs, and those are found by one automaton for all of them. What
//! people write must not match: a word of a language alone is never enough, its grammar is.

mod code;
mod database;
mod file;
mod line;
mod page;
mod shell;

use super::class::Class;

/// In which fields a pattern is looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum On {
    /// The target and the name of the user.
    Target,
    /// These, the agent and the referrer.
    Every,
    /// The target as a shell would read it: without quotes, backslashes and empty variables.
    Shell,
}

/// A pattern of one of the lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    /// What it tells.
    pub class: Class,
    /// Where it is looked for.
    pub on: On,
    /// Texts of which each match has at least one.
    pub needs: &'static [&'static str],
    /// The pattern, of bytes.
    pub regex: &'static str,
}

const fn target(class: Class, needs: &'static [&'static str], regex: &'static str) -> Pattern {
    Pattern { class, on: On::Target, needs, regex }
}

const fn every(class: Class, needs: &'static [&'static str], regex: &'static str) -> Pattern {
    Pattern { class, on: On::Every, needs, regex }
}

const fn shell(class: Class, needs: &'static [&'static str], regex: &'static str) -> Pattern {
    Pattern { class, on: On::Shell, needs, regex }
}

/// The lists, at most [`PATTERNS_MAX`] patterns in all.
pub(super) const LISTS: &[&[Pattern]] = &[
    database::PATTERNS,
    page::PATTERNS,
    file::PATTERNS,
    shell::PATTERNS,
    code::PATTERNS,
    line::PATTERNS,
];

/// A set of patterns has this many bits.
pub(super) const PATTERNS_MAX: usize = 128;

/// All patterns, in the order of their lists.
pub(super) fn patterns() -> impl Iterator<Item = &'static Pattern> {
    LISTS.iter().flat_map(|list| list.iter())
}
