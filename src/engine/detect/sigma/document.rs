//! The documents of a YAML file, each with the line it begins at.
//!
//! The parser counts no lines, so a file is cut at `---` before it is read; only files with
//! `action:`, whose documents lean on each other, are read as a whole.

use rsigma_parser::{CorrelationRule, FilterRule, SigmaCollection, SigmaRule, parse_sigma_yaml};

use super::{Entry, State};

/// One rule, filter or correlation.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: String,
    /// Line that it begins at, from 1.
    pub(super) line: usize,
    pub(super) id: String,
    pub(super) content: Content,
    /// What the parser found odd.
    pub(super) notes: Vec<String>,
    /// Its lines, to find the one that a complaint is about.
    text: String,
}

#[derive(Debug)]
pub(super) enum Content {
    Rule(Box<SigmaRule>),
    Filter(Box<FilterRule>),
    Correlation(Box<CorrelationRule>),
}

/// Bytes of a file. The largest published one has about 30 KiB.
pub(super) const FILE_BYTES_MAX: usize = 1 << 20;

/// Brackets in each other, and words `not` in a row: a condition nests no deeper, and what reads it
/// goes down a step of its stack for each.
const NESTED_MAX: usize = 64;

/// Longest name made of a title.
const NAME_BYTES_MAX: usize = 64;

/// Reads all documents of `text`; what cannot be read goes to `report`.
pub(super) fn read(file: &str, text: &str, documents: &mut Vec<Document>, report: &mut Vec<Entry>) {
    if FILE_BYTES_MAX < text.len() {
        let reason = format!("the file is larger than {} KiB", FILE_BYTES_MAX >> 10);
        return report.push(refused(file, 1, &reason));
    }
    let leans = text.lines().any(|line| line.starts_with("action:"));
    let pieces = if leans { vec![(1, text)] } else { cut(text) };
    for (line, piece) in pieces {
        if piece.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        if let Some(reason) = too_deep(piece) {
            report.push(refused(file, line, reason));
            continue;
        }
        match parse_sigma_yaml(piece) {
            Ok(read) => take(file, line, piece, read, documents, report),
            Err(error) => report.push(refused(file, line, &error.to_string())),
        }
    }
}

/// The documents of a file, each with its first line's number.
fn cut(text: &str) -> Vec<(usize, &str)> {
    let (mut pieces, mut start, mut first) = (Vec::new(), 0, 1);
    let mut at = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let is_mark = line.trim_end() == "---" || line.starts_with("--- ");
        if is_mark && start < at {
            pieces.push((first, &text[start..at]));
        }
        if is_mark {
            (start, first) = (at, number);
        }
        at += line.len();
    }
    pieces.push((first, &text[start..]));
    pieces
}

fn too_deep(text: &str) -> Option<&'static str> {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            // A bracket in a description need not be closed.
            b'\n' => depth = 0,
            _ => (),
        }
        deepest = deepest.max(depth);
    }
    if NESTED_MAX < deepest {
        return Some("more than 64 brackets lie in each other");
    }
    let words = text.split(|one: char| one.is_whitespace() || one == '(');
    let mut run = 0;
    for word in words.filter(|word| !word.is_empty()) {
        run = if word == "not" { run + 1 } else { 0 };
        if NESTED_MAX < run {
            return Some("more than 64 words `not` stand in a row");
        }
    }
    None
}

fn take(
    file: &str,
    line: usize,
    text: &str,
    read: SigmaCollection,
    documents: &mut Vec<Document>,
    report: &mut Vec<Entry>,
) {
    let rules = read.rules.into_iter().map(|one| Content::Rule(Box::new(one)));
    let filters = read.filters.into_iter().map(|one| Content::Filter(Box::new(one)));
    let correlations = read.correlations.into_iter().map(|one| Content::Correlation(Box::new(one)));
    let contents: Vec<Content> = rules.chain(filters).chain(correlations).collect();
    if contents.len() != 1 {
        // Which of several documents an error is about is not told.
        for error in &read.errors {
            report.push(unread(file, line, text, error));
        }
    }
    let notes = if contents.len() == 1 { read.errors } else { Vec::new() };
    for content in contents {
        let id = content.id();
        let text = text.to_owned();
        let document =
            Document { file: file.to_owned(), line, id, content, notes: notes.clone(), text };
        let line = document.line_of("title:");
        documents.push(Document { line, ..document });
    }
}

/// A document that the parser refuses.
fn unread(file: &str, line: usize, text: &str, error: &str) -> Entry {
    let reason = reason(error);
    // Where YAML itself is broken, the parser says where, counted from the document's beginning.
    let told = error.split_once(" at line ").and_then(|(_, rest)| {
        let digits = rest.split(|one: char| !one.is_ascii_digit()).next()?;
        digits.parse::<usize>().ok()
    });
    let is_about_condition = error.starts_with("Condition parse error");
    // Else it quotes the word that it does not know.
    let quoted = error.split('\'').nth(1).filter(|word| !word.is_empty());
    let line = match (told, quoted) {
        _ if is_about_condition => line_in(text, line, "condition:"),
        (Some(told), _) => line + told.saturating_sub(1),
        (None, Some(word)) => {
            line + text.lines().position(|line| line.contains(word)).unwrap_or_default()
        }
        (None, None) => line,
    };
    let mut entry = refused(file, line, &reason);
    let said = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    };
    entry.title = said("title:").unwrap_or_default();
    entry.id = said("id:").unwrap_or_else(|| name_of(&entry.title));
    entry
}

/// The parser's complaint in one line, with the fix for the usual ones.
fn reason(error: &str) -> String {
    if let Some(rest) = error.strip_prefix("Condition parse error") {
        let lines: Vec<&str> = rest.lines().map(str::trim).collect();
        let said = lines.iter().rev().find_map(|line| line.strip_prefix("= "));
        let source = lines.iter().find_map(|line| line.split_once("| ")).map(|(_, text)| text);
        let source = source.unwrap_or_default().trim();
        if source.contains('|') {
            return "the condition counts, in Sigma's old way: write a correlation".to_owned();
        }
        let said = said.unwrap_or_else(|| rest.trim_start_matches([':', ' ']));
        return format!("the condition `{source}` cannot be read: {said}");
    }
    let line = error.lines().next().unwrap_or_default();
    line.strip_prefix("YAML parse error: ").unwrap_or(line).to_owned()
}

/// An entry about a file or a document of which nothing else is known.
pub(super) fn refused(file: &str, line: usize, reason: &str) -> Entry {
    Entry {
        file: file.to_owned(),
        line,
        id: String::new(),
        title: String::new(),
        state: State::Rejected(reason.to_owned()),
        notes: Vec::new(),
    }
}

impl Content {
    fn id(&self) -> String {
        let (id, name, title) = match self {
            Self::Rule(one) => (&one.id, &one.name, &one.title),
            Self::Filter(one) => (&one.id, &one.name, &one.title),
            Self::Correlation(one) => (&one.id, &one.name, &one.title),
        };
        id.clone().or_else(|| name.clone()).unwrap_or_else(|| name_of(title))
    }
}

/// `Webshell in a Log!` is `webshell-in-a-log`.
fn name_of(title: &str) -> String {
    let mut name = String::new();
    for letter in title.chars().flat_map(char::to_lowercase) {
        if NAME_BYTES_MAX <= name.len() {
            break;
        }
        if letter.is_alphanumeric() {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.trim_end_matches('-').to_owned()
}

impl Document {
    /// The title.
    pub(super) fn title(&self) -> &str {
        match &self.content {
            Content::Rule(one) => &one.title,
            Content::Filter(one) => &one.title,
            Content::Correlation(one) => &one.title,
        }
    }

    /// The line that holds `near`, else the first.
    pub(super) fn line_of(&self, near: &str) -> usize {
        line_in(&self.text, self.line, near)
    }
}

fn line_in(text: &str, first: usize, near: &str) -> usize {
    let is_it = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ");
        line.strip_prefix(near)
            .is_some_and(|rest| near.ends_with(':') || rest.starts_with([':', '|']))
    };
    text.lines().position(is_it).map_or(first, |at| first + at)
}
