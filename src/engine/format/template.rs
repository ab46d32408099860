//! Formats described by a template: literals and captures in turn.
//!
//! A template is compiled once into steps, each of which knows the literal that ends it, so that
//! a line is read in one pass from left to right with byte searches; no regular expression, no
//! allocation. Reading is all or nothing: fields are set only when the whole line fits.
//!
//! One kind of text has no sure end: an unquoted login name may hold any character, the literal
//! behind it too. Such a capture tries the next possible end when the rest of the line does not
//! fit.

use super::capture::{Applier, Capture, TimeForm};
use super::{Context, Miss};
use crate::engine::batch::{Field, Writer};

/// Captures in one template; more is a configuration error.
pub(super) const MAX_CAPTURES: usize = 64;

/// A part of a template before it is compiled.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// Text that stands in each line.
    Literal(Vec<u8>),
    /// A value, and its name for messages.
    Value(Capture, String),
}

/// Where a captured value ends.
#[derive(Clone, Debug, Eq, PartialEq)]
enum End {
    /// At the next place where the following literal stands.
    Literal,
    /// The same, but not behind a backslash: the value stands in quotes.
    Quote,
    /// At the next place, and if the rest does not fit, at one further on.
    Retry,
    /// Before a literal that is not a separator inside a list.
    List,
    /// At the next blank, or at the end of the line.
    Word,
    /// At the end of the line.
    Line,
}

#[derive(Clone, Debug)]
struct Step {
    capture: Capture,
    end: End,
    /// Stands behind the value.
    literal: Box<[u8]>,
}

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template {
    name: &'static str,
    head: Box<[u8]>,
    steps: Vec<Step>,
    applier: Applier,
    /// Columns behind the last step are kept, not refused.
    trailing: bool,
}

impl Template {
    /// Compiles `tokens`; a complaint says which values cannot be told apart.
    pub(super) fn compile(
        name: &'static str,
        tokens: Vec<Token>,
        applier: Applier,
        trailing: bool,
    ) -> Result<Self, String> {
        let mut head = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        let mut last: Option<String> = None;
        for token in tokens {
            match (token, steps.last_mut()) {
                (Token::Literal(text), None) => head.extend_from_slice(&text),
                (Token::Literal(text), Some(step)) => {
                    let mut literal = step.literal.to_vec();
                    literal.extend_from_slice(&text);
                    step.literal = literal.into();
                    last = None;
                }
                (Token::Value(capture, name), _) => {
                    if let Some(before) = last.replace(name.clone()) {
                        return Err(format!(
                            "`{before}` and `{name}` stand side by side, so nobody can tell where \
                             one ends; put a separator between them"
                        ));
                    }
                    steps.push(Step { capture, end: End::Line, literal: Box::default() });
                }
            }
        }
        if !steps.iter().any(|step| step.capture != Capture::Skip) {
            return Err("there is no variable in it".to_owned());
        }
        if MAX_CAPTURES < steps.len() {
            return Err(format!("it has more than {MAX_CAPTURES} variables"));
        }
        keep_best_time(&mut steps);
        let mut before: &[u8] = &head;
        for step in &mut steps {
            step.end = end_of(&step.capture, before, &step.literal);
            before = &step.literal;
        }
        Ok(Self { name, head: head.into(), steps, applier, trailing })
    }

    /// How many values it reads; of two templates that fit, the one that reads more is meant.
    pub(super) fn captures(&self) -> usize {
        self.steps.iter().filter(|step| step.capture != Capture::Skip).count()
    }

    /// Reads one line.
    pub(super) fn parse(
        &self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let mut values = [(0u32, 0u32); MAX_CAPTURES];
        let rest = self.locate(line, &mut values).ok_or(Miss::Shape)?;
        let escaped = memchr::memchr(b'\\', line).is_some();
        for (step, (start, end)) in self.steps.iter().zip(values) {
            if step.capture != Capture::Skip {
                let value = &line[start as usize..end as usize];
                self.applier.apply(&step.capture, value, escaped, cx, out)?;
            }
        }
        if rest < line.len() {
            if !self.trailing || line[rest] != b' ' {
                return Err(Miss::Shape);
            }
            out.set(Field::Trailing, &line[rest + 1..]);
        }
        out.row.format = self.name;
        out.row.module = self.applier.module;
        out.row.stamp = self.applier.stamp;
        Ok(())
    }

    /// Finds where each value starts and ends; answers where the template ends.
    fn locate(&self, line: &[u8], values: &mut [(u32, u32); MAX_CAPTURES]) -> Option<usize> {
        if !line.starts_with(&self.head) {
            return None;
        }
        let mut at = self.head.len();
        let mut from = at;
        let mut index = 0;
        // The last value that may also end further on: its step, and where to look next.
        let mut retry: Option<(usize, usize)> = None;
        while let Some(step) = self.steps.get(index) {
            match step.find_end(line, from) {
                Some(end) => {
                    if step.end == End::Retry {
                        retry = Some((index, end + 1));
                    }
                    values[index] = (at as u32, end as u32);
                    at = end + step.literal.len();
                    from = at;
                    index += 1;
                }
                None => {
                    let (step, next) = retry.take()?;
                    index = step;
                    at = values[step].0 as usize;
                    from = next;
                }
            }
        }
        Some(at)
    }
}

impl Step {
    /// Where the value ends that is looked for from `from` on.
    fn find_end(&self, line: &[u8], from: usize) -> Option<usize> {
        let Some(first) = self.literal.first() else {
            let word = memchr::memchr(b' ', line.get(from..)?).filter(|_| self.end == End::Word);
            return Some(word.map_or(line.len(), |length| from + length));
        };
        let mut at = from;
        loop {
            at += match self.end {
                End::Quote => find_quote(line.get(at..)?)?,
                _ => memchr::memchr(*first, line.get(at..)?)?,
            };
            if stands_at(&self.literal, &line[at..]) && !self.is_separator(line, at) {
                return Some(at);
            }
            at += 1;
        }
    }

    /// In a list of addresses, a blank beside a comma or a colon ends an item, not the list.
    fn is_separator(&self, line: &[u8], at: usize) -> bool {
        self.end == End::List
            && self.literal.first() == Some(&b' ')
            && (line[..at].ends_with(b",")
                || line[..at].ends_with(b" :")
                || line[at..].starts_with(b" : "))
    }
}

/// The text begins with `literal`, whose first byte was seen there. Literals have one to four
/// bytes nearly always: comparing them here costs less than a call.
#[inline]
fn stands_at(literal: &[u8], text: &[u8]) -> bool {
    literal.len() <= text.len() && literal.iter().zip(text).skip(1).all(|(a, b)| a == b)
}

/// The next quote that no backslash escapes.
fn find_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

fn end_of(capture: &Capture, before: &[u8], literal: &[u8]) -> End {
    if literal.is_empty() {
        return match capture {
            Capture::Text(_) | Capture::Label(_) | Capture::User | Capture::Upstream(_) => End::Line,
            _ => End::Word,
        };
    }
    match capture {
        Capture::Upstream(_) | Capture::Client => End::List,
        _ if before.ends_with(b"\"") && literal.starts_with(b"\"") => End::Quote,
        Capture::User | Capture::Label(_) | Capture::Text(_) | Capture::Host => End::Retry,
        _ => End::Literal,
    }
}

/// Of several times the finest is kept: with a fraction, then with a zone that needs no months.
fn keep_best_time(steps: &mut [Step]) {
    let rank = |capture: &Capture| match capture {
        Capture::Time(TimeForm::Epoch) => 4,
        Capture::Time(TimeForm::Iso) => 3,
        Capture::Time(TimeForm::Clf) => 2,
        Capture::Time(TimeForm::Pattern(_)) => 1,
        _ => 0,
    };
    let best = steps.iter().map(|step| rank(&step.capture)).max().unwrap_or(0);
    let mut kept = false;
    for step in steps {
        let rank = rank(&step.capture);
        if 0 < rank {
            if rank < best || kept {
                step.capture = Capture::Skip;
            } else {
                kept = true;
            }
        }
    }
}
