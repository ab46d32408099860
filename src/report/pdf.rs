//! The weekly report as PDF: its text form on A4 pages, with bars as vectors.
//!
//! Made of the text, line by line, so the two cannot disagree; without the time of making. Text is text that can be marked and
//! searched, in the fonts that each reader has; headings are bookmarks. What those fonts cannot
//! write is written as its escape.
//!
//! Invariant: the same report makes the same bytes; nothing in it is active or comes from elsewhere.

use pdf_writer::{Content, Date, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

use super::page::Page;
use super::text;
use super::week::WeekReport;
use crate::escape::{columns_of, push_escape};

/// A4 in points.
const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
/// Size of the letters, and the width of each: those of Courier are 0.6 of their size.
const SIZE: f32 = 9.5;
const COLUMN: f32 = SIZE * 0.6;
const LINE: f32 = 12.0;
/// From the left edge: 76 columns stand in the middle.
const LEFT: f32 = (WIDTH - 76.0 * COLUMN) / 2.0;
const TOP: f32 = HEIGHT - 56.0;
const LINES_PER_PAGE: usize = 60;
/// A heading has at least so many lines with it.
const TOGETHER: usize = 5;

const REGULAR: Name<'static> = Name(b"F1");
const BOLD: Name<'static> = Name(b"F2");
const SYMBOL: Name<'static> = Name(b"F3");

/// The report as PDF.
pub fn render(report: &WeekReport) -> Vec<u8> {
    let text = text(report);
    let pages = pages(&text);
    let mut document = Document::new(report);
    for (index, lines) in pages.iter().enumerate() {
        let period = &report.period;
        let foot = format!(
            "gatewatch weekly report, {} to {}, page {} of {}",
            period.first_day,
            period.last_day,
            index + 1,
            pages.len()
        );
        document.page(lines, &foot);
    }
    document.finish(report)
}

/// What the pages say: the text as far as the data decides it, and its hash.
fn text(report: &WeekReport) -> String {
    let facts = text::facts(report);
    let mut page = Page::new(text::STYLE);
    page.heading("How this report was made", "");
    page.labelled("by", 10, format!("gatewatch {}", report.made.version));
    page.labelled("SHA-256", 10, text::text_hash(report));
    page.labelled("", 10, "of the text form, down to its section of this name");
    facts + page.finish().trim_start_matches('\n')
}

/// The lines of each page; no heading stands alone at the end of one.
fn pages(text: &str) -> Vec<Vec<&str>> {
    let mut pages: Vec<Vec<&str>> = vec![Vec::new()];
    for line in text.lines() {
        let page = pages.last_mut().expect("never empty");
        let is_full = LINES_PER_PAGE <= page.len()
            || (is_heading(line) && LINES_PER_PAGE < page.len() + TOGETHER);
        if is_full {
            pages.push(Vec::new());
        }
        let page = pages.last_mut().expect("never empty");
        // A page does not begin with an empty line.
        if !(line.is_empty() && page.is_empty()) {
            page.push(line);
        }
    }
    pages
}

/// A line that opens a section: `Alerts ──────── 3`.
fn is_heading(line: &str) -> bool {
    line.contains(" ──") && !line.starts_with(' ')
}

/// A bookmark: its title, the page, and how far up.
struct Mark {
    title: String,
    page: Ref,
    top: f32,
}

struct Document {
    pdf: Pdf,
    next: i32,
    tree: Ref,
    fonts: [(Name<'static>, Ref); 3],
    pages: Vec<Ref>,
    marks: Vec<Mark>,
}

impl Document {
    fn new(report: &WeekReport) -> Self {
        let mut pdf = Pdf::new();
        let hash = text::text_hash(report).into_bytes();
        pdf.set_file_id((hash.clone(), hash));
        let fonts = [(REGULAR, Ref::new(2)), (BOLD, Ref::new(3)), (SYMBOL, Ref::new(4))];
        let [regular, bold, symbol] = fonts.map(|(_, id)| id);
        let latin = Name(b"WinAnsiEncoding");
        pdf.type1_font(regular).base_font(Name(b"Courier")).encoding_predefined(latin);
        pdf.type1_font(bold).base_font(Name(b"Courier-Bold")).encoding_predefined(latin);
        pdf.type1_font(symbol).base_font(Name(b"Symbol"));
        Self { pdf, next: 5, tree: Ref::new(1), fonts, pages: Vec::new(), marks: Vec::new() }
    }

    fn id(&mut self) -> Ref {
        self.next += 1;
        Ref::new(self.next)
    }

    fn page(&mut self, lines: &[&str], foot: &str) {
        let (id, content_id) = (self.id(), self.id());
        let is_first = self.pages.is_empty();
        self.pages.push(id);
        let mut content = Content::new();
        for (index, line) in lines.iter().enumerate() {
            let y = TOP - LINE * index as f32;
            if is_heading(line) {
                let title = line.split(" ──").next().unwrap_or_default().to_owned();
                self.marks.push(Mark { title, page: id, top: y + LINE });
            }
            let is_title = is_first && index == 0;
            draw_line(&mut content, line, y, is_title || is_heading(line));
        }
        content.set_fill_rgb(0.33, 0.37, 0.43);
        draw_text(&mut content, REGULAR, LEFT, 32.0, &latin(foot));
        self.pdf.stream(content_id, &content.finish());
        let mut page = self.pdf.page(id);
        page.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).parent(self.tree).contents(content_id);
        let mut resources = page.resources();
        let mut fonts = resources.fonts();
        for (name, id) in self.fonts {
            fonts.pair(name, id);
        }
        fonts.finish();
        resources.finish();
    }

    fn finish(mut self, report: &WeekReport) -> Vec<u8> {
        let (catalog, outline, info) = (self.id(), self.id(), self.id());
        let items: Vec<Ref> = (0..self.marks.len()).map(|_| self.id()).collect();
        let title = format!("gatewatch weekly report {}", report.period.label);
        let mut root = self.pdf.catalog(catalog);
        root.pages(self.tree).outlines(outline).lang(TextStr("en"));
        root.viewer_preferences().display_doc_title(true);
        root.finish();
        self.pdf.pages(self.tree).kids(self.pages.iter().copied()).count(self.pages.len() as i32);
        if let (Some(first), Some(last)) = (items.first(), items.last()) {
            self.pdf.outline(outline).first(*first).last(*last).count(items.len() as i32);
        }
        for (index, mark) in self.marks.iter().enumerate() {
            let mut item = self.pdf.outline_item(items[index]);
            item.title(TextStr(&mark.title)).parent(outline);
            if 0 < index {
                item.prev(items[index - 1]);
            }
            if let Some(next) = items.get(index + 1) {
                item.next(*next);
            }
            item.dest().page(mark.page).xyz(LEFT, mark.top, None);
        }
        // The days tell when it is from: the moment of making would be another one each time.
        let day = report.period.days.last();
        let date = Date::new(day.year().unsigned_abs())
            .month(day.month().unsigned_abs())
            .day(day.day().unsigned_abs());
        let mut about = self.pdf.document_info(info);
        about.title(TextStr(&title)).creator(TextStr("gatewatch")).creation_date(date);
        about.finish();
        self.pdf.finish()
    }
}

/// How many eighths of a column a bar of the text form fills.
fn eighths(character: char) -> Option<f32> {
    let filled = match character {
        '█' => 8,
        '▉' => 7,
        '▊' => 6,
        '▋' => 5,
        '▌' => 4,
        '▍' => 3,
        '▎' => 2,
        '▏' => 1,
        _ => return None,
    };
    Some(filled as f32)
}

fn draw_line(content: &mut Content, line: &str, y: f32, is_bold: bool) {
    let font = if is_bold { BOLD } else { REGULAR };
    let mut column = 0;
    // Text, a bar or a rule as it grows, and the column in which it begins.
    let (mut run, mut from) = (Vec::new(), 0);
    let (mut filled, mut ruled) = (0.0, 0);
    content.set_fill_rgb(0.12, 0.15, 0.2);
    for character in line.chars() {
        let is_text = character != '─' && eighths(character).is_none();
        if (!is_text || character == '≥') && !run.is_empty() {
            draw_text(content, font, x(from), y, &run);
            run.clear();
        }
        if let Some(part) = eighths(character) {
            filled += part / 8.0;
        } else if character == '─' {
            ruled += 1;
        } else if character == '≥' {
            // The one sign of ours that only the font of symbols has.
            draw_text(content, SYMBOL, x(column), y, b"\xB3");
        } else {
            if run.is_empty() {
                from = column;
            }
            push_latin(&mut run, character);
        }
        column += columns_of(character);
        if 0 < ruled && character != '─' {
            rule(content, column - columns_of(character) - ruled, ruled, y);
            ruled = 0;
        }
    }
    if !run.is_empty() {
        draw_text(content, font, x(from), y, &run);
    }
    if 0 < ruled {
        rule(content, column - ruled, ruled, y);
    }
    if 0.0 < filled {
        // A bar is the last of its line.
        let begin = line.chars().take_while(|character| eighths(*character).is_none());
        let begin: usize = begin.map(columns_of).sum();
        content.set_fill_rgb(0.29, 0.44, 0.65);
        content.rect(x(begin), y - 1.5, filled * COLUMN, 8.0).fill_nonzero();
    }
}

fn x(column: usize) -> f32 {
    LEFT + COLUMN * column as f32
}

fn rule(content: &mut Content, from: usize, length: usize, y: f32) {
    content.rect(x(from), y + SIZE * 0.3, COLUMN * length as f32, 0.8).fill_nonzero();
}

fn draw_text(content: &mut Content, font: Name<'_>, x: f32, y: f32, text: &[u8]) {
    content.begin_text().set_font(font, SIZE).set_text_matrix([1.0, 0.0, 0.0, 1.0, x, y]);
    content.show(Str(text)).end_text();
}

fn latin(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    text.chars().for_each(|character| push_latin(&mut out, character));
    out
}

/// Appends a character in the encoding of Windows, or its escape.
fn push_latin(out: &mut Vec<u8>, character: char) {
    let byte = match character {
        ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='ÿ' => character as u8,
        '–' | '−' => 0x96,
        '—' => 0x97,
        '…' => 0x85,
        '‘' => 0x91,
        '’' => 0x92,
        '“' => 0x93,
        '”' => 0x94,
        '€' => 0x80,
        _ => {
            let mut escape = String::new();
            push_escape(&mut escape, character);
            out.extend_from_slice(escape.as_bytes());
            return;
        }
    };
    out.push(byte);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::Week;

    /// The text of the pages, as a reader finds it.
    fn text_of(pdf: &[u8]) -> String {
        let mut out = String::new();
        for part in pdf.split(|byte| *byte == b'\n') {
            let Some(text) = part.strip_suffix(b") Tj").and_then(|text| text.strip_prefix(b"("))
            else {
                continue;
            };
            out.extend(text.iter().map(|byte| char::from(*byte)));
            out.push('\n');
        }
        out.replace(r"\(", "(").replace(r"\)", ")").replace(r"\\", r"\")
    }

    #[test]
    fn what_the_text_says_stands_in_the_pdf() {
        let report = Week::attacked().report();
        let pdf = text_of(&render(&report));
        for line in text::facts(&report).lines() {
            let is_plain = line.is_ascii() && !line.trim().is_empty();
            assert!(!is_plain || pdf.contains(line.trim_end()), "{line}");
        }
        assert!(pdf.contains("page 1 of "), "{pdf}");
    }

    #[test]
    fn the_same_report_makes_the_same_bytes_and_nothing_in_it_is_active() {
        for week in [Week::attacked(), Week::hostile(), Week::empty()] {
            let mut report = week.report();
            let pdf = render(&report);
            // Another day, with a mail that waits.
            report.made.at = report.made.at.plus_ms(86_400_000);
            report.made.health.mails_waiting += 1;
            assert_eq!(pdf, render(&report));
            let text = String::from_utf8_lossy(&pdf);
            for active in ["/JavaScript", "/JS", "/URI", "/Launch", "/AA", "/EmbeddedFile"] {
                assert!(!text.contains(active), "{active}");
            }
            assert!(text.contains("/Outlines") && pdf.len() < 200_000, "{} bytes", pdf.len());
        }
    }

    #[test]
    fn no_heading_stands_alone_at_the_end_of_a_page() {
        let text = text(&Week::attacked().report());
        for page in pages(&text) {
            assert!(page.len() <= LINES_PER_PAGE);
            let last = page.iter().rposition(|line| is_heading(line)).unwrap_or(0);
            assert!(page.len() < LINES_PER_PAGE - 1 || last + TOGETHER <= page.len() + 1);
        }
    }
}
