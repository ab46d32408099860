//! One text pattern, compiled from what a rule says and asked about a value.
//!
//! Wildcards are Sigma's: `*` is any text, `?` one character, `\` takes the meaning from the next
//! of `*`, `?` and `\`. Invariants: a test takes time linear in the text, and every text that passes
//! holds one of [`Pattern::literals`], the case of ASCII letters aside, where there are any.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, HirKind};

/// How a text is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextTest {
    /// The whole value.
    Equals,
    /// `|contains`.
    Contains,
    /// `|startswith`.
    StartsWith,
    /// `|endswith`.
    EndsWith,
    /// `|re`, and texts with wildcards inside.
    Matches,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    test: TextTest,
    how: How,
    /// As the rule has it, for people.
    shown: Box<str>,
    literals: Vec<Box<[u8]>>,
}

#[derive(Clone, Debug)]
enum How {
    Exact(Box<[u8]>),
    /// ASCII letters in lower case.
    Folded(Box<[u8]>),
    Regex(Box<Regex>),
}

/// A piece of a text with wildcards.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Plain(Vec<u8>),
    /// `*`
    Any,
    /// `?`
    One,
}

/// Bytes that a compiled regular expression may take, and each of its caches.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Bytes that a regular expression may be long as text.
const REGEX_TEXT_MAX: usize = 4096;

/// Depth of brackets in a regular expression.
const REGEX_DEPTH_MAX: u32 = 64;

/// Flags of a regular expression: `|i`, `|m`, `|s`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) ignore_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_all: bool,
}

/// Takes a text with wildcards apart.
pub(super) fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut plain = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let part = match byte {
            b'\\' => {
                let special = bytes.next_if(|next| matches!(next, b'*' | b'?' | b'\\'));
                plain.push(special.unwrap_or(b'\\'));
                continue;
            }
            b'*' => Part::Any,
            b'?' => Part::One,
            _ => {
                plain.push(byte);
                continue;
            }
        };
        if !plain.is_empty() {
            parts.push(Part::Plain(std::mem::take(&mut plain)));
        }
        parts.push(part);
    }
    if !plain.is_empty() {
        parts.push(Part::Plain(plain));
    }
    parts
}

impl Pattern {
    /// How long it takes to ask, about, against a comparison of numbers.
    pub(super) fn cost(&self) -> usize {
        match (&self.how, self.test) {
            (How::Regex(_), _) => 50,
            (_, TextTest::Contains) => 8,
            _ => 2,
        }
    }

    /// The pattern of a text with wildcards.
    pub(super) fn of_parts(
        shown: &str,
        mut parts: Vec<Part>,
        test: TextTest,
        cased: bool,
    ) -> Result<Self, String> {
        let mut open_start = matches!(test, TextTest::Contains | TextTest::EndsWith);
        let mut open_end = matches!(test, TextTest::Contains | TextTest::StartsWith);
        while parts.first() == Some(&Part::Any) {
            parts.remove(0);
            open_start = true;
        }
        while parts.last() == Some(&Part::Any) {
            parts.pop();
            open_end = true;
        }
        let test = match (open_start, open_end) {
            (false, false) => TextTest::Equals,
            (false, true) => TextTest::StartsWith,
            (true, false) => TextTest::EndsWith,
            (true, true) => TextTest::Contains,
        };
        let plain = match parts.as_slice() {
            [] => Some(Vec::new()),
            [Part::Plain(plain)] => Some(plain.clone()),
            _ => None,
        };
        // Letters beyond ASCII are folded by the regex engine.
        if let Some(plain) = plain.filter(|plain| cased || plain.is_ascii()) {
            let folded = plain.to_ascii_lowercase().into_boxed_slice();
            let literals = if folded.is_empty() { Vec::new() } else { vec![folded.clone()] };
            let how = if cased { How::Exact(plain.into()) } else { How::Folded(folded) };
            return Ok(Self { test, how, shown: shown.into(), literals });
        }
        let plain = parts.iter().filter_map(|part| match part {
            Part::Plain(plain) if cased || plain.is_ascii() => Some(plain.to_ascii_lowercase()),
            _ => None,
        });
        let literals = plain.max_by_key(Vec::len).map(Vec::into_boxed_slice);
        let text = expression(&parts, open_start, open_end);
        let flags = Flags { ignore_case: !cased, dot_all: true, multi_line: false };
        Ok(Self {
            test: TextTest::Matches,
            how: How::Regex(Box::new(build(&text, flags)?)),
            shown: shown.into(),
            literals: literals.into_iter().collect(),
        })
    }

    /// The pattern of a regular expression.
    pub(super) fn of_regex(text: &str, flags: Flags) -> Result<Self, String> {
        let how = How::Regex(Box::new(build(text, flags)?));
        Ok(Self {
            test: TextTest::Matches,
            how,
            shown: text.into(),
            literals: literals_of(text, flags).unwrap_or_default(),
        })
    }

    /// Texts, in lower case, of which every text that passes holds one, whatever the case of its
    /// ASCII letters; none where nothing is known.
    pub fn literals(&self) -> &[Box<[u8]>] {
        &self.literals
    }

    /// What is compared with, and how.
    pub fn shown(&self) -> (TextTest, &str) {
        (self.test, &self.shown)
    }

    /// Whether `text` passes.
    pub fn passes(&self, text: &[u8]) -> bool {
        let (value, cased) = match &self.how {
            How::Regex(regex) => return regex.is_match(text),
            How::Exact(value) => (&**value, true),
            How::Folded(value) => (&**value, false),
        };
        compare(self.test, text, value, cased)
    }
}

/// Compares two texts. `value` is in lower case unless `cased`.
pub(super) fn compare(test: TextTest, text: &[u8], value: &[u8], cased: bool) -> bool {
    let same = |part: &[u8]| if cased { part == value } else { part.eq_ignore_ascii_case(value) };
    match test {
        TextTest::Equals => same(text),
        TextTest::StartsWith => text.len() >= value.len() && same(&text[..value.len()]),
        TextTest::EndsWith => text.len() >= value.len() && same(&text[text.len() - value.len()..]),
        TextTest::Contains | TextTest::Matches if cased => {
            memchr::memmem::find(text, value).is_some()
        }
        TextTest::Contains | TextTest::Matches => {
            let Some(first) = value.first() else { return true };
            let last = text.len().saturating_sub(value.len() - 1);
            memchr::memchr2_iter(*first, first.to_ascii_uppercase(), &text[..last])
                .any(|at| same(&text[at..at + value.len()]))
        }
    }
}

/// The regular expression of a text with wildcards.
fn expression(parts: &[Part], open_start: bool, open_end: bool) -> String {
    let mut text = String::new();
    if !open_start {
        text.push_str(r"\A");
    }
    for part in parts {
        match part {
            Part::Any => text.push_str("(?-u:.)*"),
            // A character, or a byte that belongs to none.
            Part::One => text.push_str(r"(?:.|(?-u:[\x80-\xff]))"),
            Part::Plain(plain) => match std::str::from_utf8(plain) {
                Ok(plain) => text.push_str(&regex::escape(plain)),
                Err(_) => {
                    for byte in plain {
                        text.push_str(&format!(r"(?-u:\x{byte:02x})"));
                    }
                }
            },
        }
    }
    if !open_end {
        text.push_str(r"\z");
    }
    text
}

fn build(text: &str, flags: Flags) -> Result<Regex, String> {
    if REGEX_TEXT_MAX < text.len() {
        return Err(format!("the pattern is longer than {REGEX_TEXT_MAX} bytes"));
    }
    let built = RegexBuilder::new(text)
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .nest_limit(REGEX_DEPTH_MAX)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("the pattern `{text}` is too large"),
        error => {
            // The last line says what is wrong; those before it draw an arrow.
            let said = error.to_string();
            let reason = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the pattern `{text}` cannot be used: {reason}")
        }
    })
}

/// What every match of a regular expression holds one of.
fn literals_of(text: &str, flags: Flags) -> Option<Vec<Box<[u8]>>> {
    let hir = regex_syntax::ParserBuilder::new()
        .utf8(false)
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .nest_limit(REGEX_DEPTH_MAX)
        .build()
        .parse(text)
        .ok()?;
    let mut best: Option<Vec<Box<[u8]>>> = None;
    // Three bytes are rare enough; more of them are worth less than fewer texts.
    let worth = |list: &[Box<[u8]>]| {
        let shortest = list.iter().map(|one| one.len()).min().unwrap_or(0);
        (shortest.min(3), std::cmp::Reverse(list.len()))
    };
    for piece in &pieces(&hir) {
        for kind in [ExtractKind::Prefix, ExtractKind::Suffix] {
            let mut extractor = Extractor::new();
            let found = extractor.kind(kind).extract(piece);
            let Some(found) = found.literals().filter(|found| !found.is_empty()) else { continue };
            let folded = found.iter().map(|one| one.as_bytes().to_ascii_lowercase());
            let mut list: Vec<Box<[u8]>> = folded.map(Vec::into_boxed_slice).collect();
            list.sort_unstable();
            list.dedup();
            let is_some = list.iter().all(|one| !one.is_empty());
            if is_some && best.as_deref().is_none_or(|best| worth(best) < worth(&list)) {
                best = Some(list);
            }
        }
    }
    best
}

/// The whole, and the pieces of it that every match has: what stands alone, and runs of letters, of
/// which each may be a class where case is ignored.
fn pieces(hir: &Hir) -> Vec<Hir> {
    match hir.kind() {
        HirKind::Concat(list) => {
            let runs = list.chunk_by(|a, b| is_letter(a) && is_letter(b));
            std::iter::once(hir.clone()).chain(runs.map(|run| Hir::concat(run.to_vec()))).collect()
        }
        HirKind::Capture(group) => pieces(&group.sub),
        _ => vec![hir.clone()],
    }
}

fn is_letter(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Literal(_) => true,
        HirKind::Class(_) => {
            let mut extractor = Extractor::new();
            let found = extractor.limit_class(4).extract(hir);
            found.len().is_some()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str, test: TextTest) -> Pattern {
        Pattern::of_parts(text, parts(text), test, false).expect("a pattern")
    }

    #[track_caller]
    fn check(text: &str, test: TextTest, passing: &[&str], failing: &[&str]) {
        let pattern = pattern(text, test);
        for value in passing {
            assert!(pattern.passes(value.as_bytes()), "{text} shall pass {value}");
        }
        for value in failing {
            assert!(!pattern.passes(value.as_bytes()), "{text} shall not pass {value}");
        }
    }

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        check("/a*z", TextTest::Equals, &["/az", "/A-b-Z"], &["/az/", "x/az"]);
        check("a?c", TextTest::Equals, &["abc", "aéc", "A\nc"], &["ac", "abbc"]);
        check("*.php", TextTest::Equals, &["/x.PHP", ".php"], &[".php5"]);
        check("a?c", TextTest::Contains, &["xxabcxx"], &["xxacxx"]);
        check("a*c", TextTest::StartsWith, &["abbbcd"], &["xabc"]);
        check("*", TextTest::Equals, &["", "x"], &[]);
        check("?*", TextTest::Equals, &["x", "xy"], &[""]);
    }

    #[test]
    fn a_backslash_takes_the_meaning_from_a_wildcard() {
        check(r"a\*b", TextTest::Equals, &["a*b"], &["axb", r"a\*b"]);
        check(r"a\?b", TextTest::Equals, &["a?b"], &["axb"]);
        check(r"a\\*b", TextTest::Equals, &[r"a\b", r"a\xb"], &["ab"]);
        check(r"\windows\", TextTest::Contains, &[r"C:\Windows\x"], &["windows"]);
    }

    #[test]
    fn letters_beyond_ascii_have_a_case_too() {
        check("CAFÉ", TextTest::Contains, &["/café", "/CAFÉ"], &["/cafe"]);
    }

    #[test]
    fn a_regular_expression_tells_what_its_matches_hold() {
        let check = |text: &str, expected: &[&str]| {
            let flags = Flags { ignore_case: true, ..Flags::default() };
            let pattern = Pattern::of_regex(text, flags).expect("a pattern");
            let literals = pattern.literals().iter().map(|one| String::from_utf8_lossy(one));
            assert_eq!(expected, literals.collect::<Vec<_>>().as_slice(), "{text}");
        };
        check(".{150}", &[]);
        check("[0-9]+(cmd|run)=", &["cmd", "run"]);
        check(".*union.*", &["union"]);
    }

    #[test]
    fn what_could_cost_too_much_is_refused() {
        let refused = |text: &str| Pattern::of_regex(text, Flags::default()).expect_err(text);
        assert!(refused(r"(a{1000}){1000}").contains("too large"));
        assert!(refused(r"(?=a)b").contains("look-around"));
        assert!(refused(&"a".repeat(5000)).contains("longer than"));
        assert!(refused(&format!("{}a{}", "(".repeat(99), ")".repeat(99))).contains("nest"));
    }

    proptest! {
        /// Whatever passes holds a literal: nothing that could match is passed over.
        #[test]
        fn what_passes_holds_a_literal(
            rule in "[a-c*?\\\\É]{0,6}", text in "[a-cA-CéÉ*?\\\\]{0,10}", which in 0usize..4, cased: bool,
        ) {
            let test = [
                TextTest::Equals, TextTest::Contains, TextTest::StartsWith, TextTest::EndsWith,
            ][which];
            let pattern = Pattern::of_parts(&rule, parts(&rule), test, cased).expect("a pattern");
            let folded = text.to_ascii_lowercase().into_bytes();
            let holds = |one: &[u8]| memchr::memmem::find(&folded, one).is_some();
            let literals = pattern.literals();
            if pattern.passes(text.as_bytes()) && !literals.is_empty() {
                prop_assert!(literals.iter().any(|one| holds(one)), "{rule} {text}");
            }
        }

        #[test]
        fn what_matches_a_regular_expression_holds_a_literal(
            rule in "(\\(?[a-c][?*+|]?[.]?\\)?){1,4}", text in "[a-cA-C]{0,8}", ignore_case: bool,
        ) {
            let flags = Flags { ignore_case, ..Flags::default() };
            let Ok(pattern) = Pattern::of_regex(&rule, flags) else { return Ok(()) };
            let folded = text.to_ascii_lowercase().into_bytes();
            let holds = |one: &[u8]| memchr::memmem::find(&folded, one).is_some();
            let literals = pattern.literals();
            if pattern.passes(text.as_bytes()) && !literals.is_empty() {
                prop_assert!(literals.iter().any(|one| holds(one)), "{rule} {text}");
            }
        }
    }
}
