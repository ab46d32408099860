//! A mail before it has a form: sections of blocks, rendered as text and as HTML from one model,
//! so that both always say the same.
//!
//! Invariant: every string in a [`Page`] has been through `text::safe` or was never in a log.

use askama::Template;

use super::text::wrap;

/// Columns of the text form; narrow enough for a quoted reply.
const COLUMNS: usize = 76;
/// Columns of the section names in the text form.
const LABEL: usize = 10;

/// One mail.
#[derive(Debug, Template)]
#[template(path = "alert.html")]
pub(crate) struct Page {
    /// `HIGH`, `RESOLVED`, …: told in words, and again by a colour in the HTML.
    pub(crate) badge: String,
    /// Background of the badge, chosen by us; never from a log.
    pub(crate) colour: &'static str,
    /// What happened, in a few words.
    pub(crate) title: String,
    /// The parts in the order of a reader's questions.
    pub(crate) sections: Vec<Section>,
    /// Small print.
    pub(crate) footer: Vec<String>,
}

/// One question and its answer.
#[derive(Debug)]
pub(crate) struct Section {
    /// At most nine characters, because the text form sets it in the margin.
    pub(crate) label: &'static str,
    /// The answer.
    pub(crate) blocks: Vec<Block>,
}

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Block {
    /// Plain text.
    Text(String),
    /// Text that decides what to do next.
    Strong(String),
    /// Text that can be skipped.
    Note(String),
    /// A numbered step.
    Step(usize, String),
    /// A command or a line of configuration for a program.
    Command(&'static str, String),
    /// A log line below its origin.
    Line(String, String),
    /// An alert in a list: its badge and colour, what, and the rest in small print.
    Item { badge: String, colour: &'static str, what: String, small: String },
}

impl Page {
    /// The text form: complete in itself, in lines of at most [`COLUMNS`].
    pub(crate) fn text(&self) -> String {
        let mut out = String::with_capacity(4096);
        wrap(&mut out, "", 0, &format!("{}: {}", self.badge, self.title), COLUMNS);
        out.push('\n');
        for section in &self.sections {
            section.write_text(&mut out);
        }
        out.push_str("\n-- \n");
        for line in &self.footer {
            wrap(&mut out, "", 0, line, COLUMNS);
        }
        out
    }

    /// The HTML form: tables and inline styles, nothing remote, nothing that runs.
    pub(crate) fn html(&self) -> String {
        self.render().expect("memory takes every byte")
    }
}

impl Section {
    fn write_text(&self, out: &mut String) {
        let mut label = format!("{:LABEL$}", self.label);
        for block in &self.blocks {
            block.write_text(out, &label);
            label = " ".repeat(LABEL);
        }
    }
}

impl Block {
    fn write_text(&self, out: &mut String, label: &str) {
        match self {
            Self::Text(text) | Self::Strong(text) | Self::Note(text) => {
                wrap(out, label, LABEL, text, COLUMNS);
            }
            Self::Step(number, text) => {
                let first = format!("{label}{:<3}", format!("{number}."));
                wrap(out, &first, LABEL + 3, text, COLUMNS);
            }
            Self::Command(program, code) => {
                // A command that was broken over two lines would be pasted broken.
                out.push_str(&format!("{label}{program:<7}{code}\n"));
            }
            Self::Line(origin, line) => {
                wrap(out, label, LABEL, origin, COLUMNS);
                let indent = " ".repeat(LABEL + 2);
                wrap(out, &indent, LABEL + 2, line, COLUMNS);
            }
            Self::Item { badge, what, small, .. } => {
                let first = format!("{label}{badge:<9}");
                wrap(out, &first, LABEL + 9, what, COLUMNS);
                let indent = " ".repeat(LABEL + 9);
                wrap(out, &indent, LABEL + 9, small, COLUMNS);
            }
        }
    }
}
