//! A page of fixed-width text: headings, labelled paragraphs, aligned tables.
//!
//! The scan report and the text form of the weekly report are both such pages.
//!
//! Invariant: whatever is put on a page is escaped here, at the last moment, so no caller can
//! forget it; and no line is wider than the page, whatever the log says.

use crate::escape::{columns, columns_of, cut, push_escape, visible};

/// What the reader's terminal can do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Style {
    /// ANSI colours, always beside a word that says the same.
    pub colour: bool,
    /// Columns; between [`Style::WIDTH_MIN`] and [`Style::WIDTH_MAX`], whatever is asked for.
    pub width: usize,
    /// Characters beyond ASCII.
    pub unicode: bool,
}

impl Style {
    /// Narrower than this the tables fall apart.
    pub const WIDTH_MIN: usize = 72;
    /// Wider than this the eye loses its line.
    pub const WIDTH_MAX: usize = 100;
}

/// How a piece of text stands out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Tone {
    /// Not at all.
    #[default]
    Plain,
    /// A heading.
    Strong,
    /// Less important than the rest.
    Faint,
    /// All is well.
    Good,
    /// Worth a look.
    Warn,
    /// Bad.
    Bad,
    /// As bad as it gets.
    Alarm,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Good => "\x1b[1;32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[1;31m",
            Self::Alarm => "\x1b[1;37;41m",
        }
    }
}

/// A piece of text in its tone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// `text` in `tone`.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// A table. Its last column takes the room that is left and is cut where it is too long, so text
/// from the log belongs there.
#[derive(Clone, Debug, Default)]
pub struct Table {
    titles: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns; those whose title begins with `>` are aligned to the right.
    pub fn new(titles: &[&'static str]) -> Self {
        Self {
            titles: titles.iter().map(|title| title.trim_start_matches('>')).collect(),
            right: titles.iter().map(|title| title.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        assert_eq!(self.titles.len(), N);
        self.rows.push(cells.into());
    }
}

/// The page being written.
#[derive(Debug)]
pub struct Page {
    style: Style,
    width: usize,
    out: String,
}

/// Everything but headings starts here.
const INDENT: usize = 2;

impl Page {
    /// An empty page.
    pub fn new(style: Style) -> Self {
        let width = style.width.clamp(Style::WIDTH_MIN, Style::WIDTH_MAX);
        Self { style, width, out: String::new() }
    }

    /// The page as written so far.
    pub fn finish(self) -> String {
        self.out
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.out.push('\n');
    }

    /// A line that opens a section, with a remark at its right end.
    pub fn heading(&mut self, title: &str, remark: &str) {
        self.blank();
        let (title, remark) = (self.shown(title), self.shown(remark));
        let gap = if remark.is_empty() { 1 } else { 2 };
        let rule = self.width.saturating_sub(columns(&title) + columns(&remark) + gap);
        let rule = if self.style.unicode { "─" } else { "-" }.repeat(rule);
        self.paint(Tone::Strong, &title);
        self.paint(Tone::Faint, &format!(" {rule}"));
        if !remark.is_empty() {
            self.paint(Tone::Faint, &format!(" {remark}"));
        }
        self.blank();
    }

    /// A word in its tone, and a paragraph beside it.
    pub fn verdict(&mut self, word: &Cell, text: &str) {
        let word_text = format!(" {} ", self.shown(&word.text));
        let indent = columns(&word_text) + 1;
        let lines = self.wrapped(text, self.width.saturating_sub(indent));
        self.paint(word.tone, &word_text);
        for (index, line) in lines.iter().enumerate() {
            let gap = if index == 0 { 1 } else { indent };
            self.out.push_str(&" ".repeat(gap));
            self.paint(Tone::Strong, line);
            self.blank();
        }
    }

    /// A paragraph behind a label that stands in a column of its own, `label` columns wide.
    pub fn labelled(&mut self, label: &str, label_width: usize, cell: impl Into<Cell>) {
        let cell = cell.into();
        let indent = INDENT + label_width + 1;
        let label = cut(&self.shown(label), label_width);
        let filled = format!("{}{label}", " ".repeat(INDENT));
        let lines = self.wrapped(&cell.text, self.width.saturating_sub(indent));
        for (index, line) in lines.iter().enumerate() {
            let lead = if index == 0 { filled.as_str() } else { "" };
            self.paint(Tone::Faint, lead);
            self.out.push_str(&" ".repeat(indent - columns(lead)));
            self.paint(cell.tone, line);
            self.blank();
        }
    }

    /// A paragraph.
    pub fn paragraph(&mut self, tone: Tone, text: &str) {
        self.indented(INDENT, tone, text);
    }

    /// A paragraph `indent` columns from the left.
    pub fn indented(&mut self, indent: usize, tone: Tone, text: &str) {
        for line in self.wrapped(text, self.width.saturating_sub(indent)) {
            self.out.push_str(&" ".repeat(indent));
            self.paint(tone, &line);
            self.blank();
        }
    }

    /// One line `indent` columns from the left, cut where it is too long.
    pub fn line(&mut self, indent: usize, tone: Tone, text: &str) {
        let line = cut(&self.shown(text), self.width.saturating_sub(indent));
        self.out.push_str(&" ".repeat(indent));
        self.paint(tone, &self.plain(&line));
        self.blank();
    }

    /// A line of pieces in their own tones, cut where it is too long.
    pub fn pieces(&mut self, indent: usize, pieces: &[Cell]) {
        self.out.push_str(&" ".repeat(indent));
        let mut left = self.width.saturating_sub(indent);
        for piece in pieces {
            let text = cut(&self.shown(&piece.text), left);
            left -= columns(&text).min(left);
            self.paint(piece.tone, &self.plain(&text));
        }
        self.blank();
    }

    /// A table, its columns two blanks apart.
    pub fn table(&mut self, table: &Table) {
        let rows: Vec<Vec<(String, Tone)>> = table
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| (self.shown(&cell.text), cell.tone)).collect())
            .collect();
        let last = table.titles.len() - 1;
        let widths: Vec<usize> = (0..last)
            .map(|column| {
                let cells = rows.iter().map(|row| columns(&row[column].0)).max();
                cells.unwrap_or(0).max(columns(table.titles[column]))
            })
            .collect();
        if table.titles.iter().any(|title| !title.is_empty()) {
            let titles: Vec<_> =
                table.titles.iter().map(|title| ((*title).to_owned(), Tone::Faint)).collect();
            self.table_row(&titles, &widths, &table.right);
        }
        for row in &rows {
            self.table_row(row, &widths, &table.right);
        }
    }

    fn table_row(&mut self, cells: &[(String, Tone)], widths: &[usize], right: &[bool]) {
        let last = cells.len() - 1;
        self.out.push_str(&" ".repeat(INDENT));
        let mut left = self.width.saturating_sub(INDENT);
        for (index, (text, tone)) in cells.iter().enumerate() {
            if index == last {
                let text = self.plain(&cut(text, left));
                self.paint(*tone, &text);
                break;
            }
            let fill = " ".repeat(widths[index].saturating_sub(columns(text)));
            // No blanks at the end of a line: they make text files noisy.
            let more = cells[index + 1..].iter().any(|(text, _)| !text.is_empty());
            match right[index] {
                true => {
                    self.out.push_str(&fill);
                    self.paint(*tone, text);
                }
                false => {
                    self.paint(*tone, text);
                    self.out.push_str(if more { &fill } else { "" });
                }
            }
            self.out.push_str(if more { "  " } else { "" });
            left = left.saturating_sub(widths[index] + 2);
        }
        while self.out.ends_with(' ') {
            self.out.pop();
        }
        self.blank();
    }

    /// `text` escaped for this page.
    fn shown(&self, text: &str) -> String {
        self.plain(&visible(text))
    }

    /// On an ASCII page, our own symbols in ASCII, and all others as escapes.
    fn plain(&self, text: &str) -> String {
        if self.style.unicode || text.is_ascii() {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '–' | '−' => out.push('-'),
                '·' => out.push('|'),
                '…' => out.push('~'),
                '×' => out.push('x'),
                '≥' => out.push_str(">="),
                '±' => out.push_str("+-"),
                '█' | '▉' | '▊' | '▋' | '▌' => out.push('#'),
                '▍' | '▎' | '▏' => out.push(':'),
                _ if character.is_ascii() => out.push(character),
                _ => push_escape(&mut out, character),
            }
        }
        out
    }

    fn paint(&mut self, tone: Tone, text: &str) {
        if self.style.colour && tone != Tone::Plain && !text.is_empty() {
            self.out.push_str(tone.code());
            self.out.push_str(text);
            self.out.push_str("\x1b[0m");
        } else {
            self.out.push_str(text);
        }
    }

    /// `text` escaped and in lines of at most `width` columns, broken at blanks where possible.
    fn wrapped(&self, text: &str, width: usize) -> Vec<String> {
        let mut lines = vec![String::new()];
        let mut used = 0;
        for word in self.shown(text).split(' ') {
            let length = columns(word);
            if 0 < used && width < used + 1 + length {
                lines.push(String::new());
                used = 0;
            } else if 0 < used {
                lines.last_mut().expect("never empty").push(' ');
                used += 1;
            }
            for character in word.chars() {
                let taken = columns_of(character);
                if width < used + taken {
                    lines.push(String::new());
                    used = 0;
                }
                lines.last_mut().expect("never empty").push(character);
                used += taken;
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { colour: false, width: 72, unicode: true };

    #[test]
    fn tables_are_aligned_and_cut_at_the_right_edge() {
        let mut table = Table::new(&[">count", "share", "name"]);
        table.row(["1".into(), "0.1 %".into(), "a".into()]);
        table.row(["12,345".into(), "99 %".into(), "b".repeat(90).into()]);
        let mut page = Page::new(PLAIN);
        page.table(&table);

        let text = page.finish();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!("   count  share  name", lines[0]);
        assert_eq!("       1  0.1 %  a", lines[1]);
        assert_eq!(72, columns(lines[2]), "{text}");
        assert!(lines[2].ends_with('…'));
    }

    #[test]
    fn paragraphs_hang_behind_their_label_and_long_words_are_broken() {
        let mut page = Page::new(PLAIN);
        page.labelled("who", 6, format!("some words then {}", "x".repeat(100)));
        let text = page.finish();
        assert!(text.starts_with("  who    some words then\n         xxx"), "{text}");
        assert!(text.lines().all(|line| columns(line) <= 72), "{text}");
    }

    #[test]
    fn an_ascii_page_is_ascii() {
        let mut page = Page::new(Style { unicode: false, ..PLAIN });
        page.heading("Paths · 3", "5–7");
        page.line(2, Tone::Plain, &format!("é█▏…{}", "語".repeat(60)));
        let text = page.finish();
        assert!(text.is_ascii(), "{text}");
        assert!(text.contains("\\u{00E9}#:~"), "{text}");
    }

    #[test]
    fn colours_surround_escaped_text() {
        let mut page = Page::new(Style { colour: true, ..PLAIN });
        page.line(0, Tone::Bad, "a\x1b[0mb");
        assert_eq!("\x1b[1;31ma\\x1B[0mb\x1b[0m\n", page.finish());
    }
}
