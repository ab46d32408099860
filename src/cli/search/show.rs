//! Hits as they are printed: a line for people, JSON, or CSV.

use anyhow::Result;
use serde_json::{Map, Value};

use super::Form;
use crate::cli::output::Output;
use crate::escape::{self, json_line, visible};
use crate::history::{CLIENT, COLUMNS, CellValue, ID, PATH, Page, STATUS, TIME, USER};

/// What a line for people is made of.
const HUMAN: &[&str] = &[
    TIME,
    CLIENT,
    "source.address",
    USER,
    STATUS,
    "http.request.method",
    "destination.domain",
    PATH,
    "url.query",
    "event.action",
    "event.outcome",
    "message",
    "error.message",
    "event.original",
    "user_agent.original",
    "log.file.path",
    "log.offset",
    ID,
];

/// Letters of one text in a line for people.
const TEXT_SHOWN: usize = 200;

/// Prints hits, up to a limit.
pub(super) struct Printer {
    form: Form,
    columns: Vec<&'static str>,
    limit: u64,
    found: u64,
}

impl Printer {
    pub(super) fn new(form: Form, limit: u64) -> Self {
        let columns = match form {
            Form::Human => HUMAN.to_vec(),
            Form::Json | Form::Csv => COLUMNS.iter().map(|column| column.name).collect(),
        };
        Self { form, columns, limit, found: 0 }
    }

    /// The columns that it prints, in their order.
    pub(super) fn columns(&self) -> &[&'static str] {
        &self.columns
    }

    pub(super) fn found(&self) -> u64 {
        self.found
    }

    pub(super) fn is_full(&self) -> bool {
        self.limit <= self.found
    }

    /// What stands before the first hit.
    pub(super) fn begin(&self, out: &mut Output) -> Result<()> {
        match self.form {
            Form::Csv => out.line(&self.columns.join(",")),
            Form::Human | Form::Json => Ok(()),
        }
    }

    /// Prints rows; false when there are enough.
    pub(super) fn page(&mut self, page: &Page, out: &mut Output) -> Result<bool> {
        for row in 0..page.len() {
            if self.is_full() {
                return Ok(false);
            }
            self.found += 1;
            let line = match self.form {
                Form::Human => self.human(page, row),
                Form::Json => self.json(page, row),
                Form::Csv => self.csv(page, row)?,
            };
            out.line(&line)?;
        }
        Ok(!self.is_full())
    }

    fn json(&self, page: &Page, row: usize) -> String {
        let mut object = Map::new();
        for (place, name) in self.columns.iter().enumerate() {
            let value = match page.cell(place, row) {
                None => continue,
                Some(CellValue::Text(text)) => Value::from(text),
                Some(CellValue::Number(number)) => Value::from(number),
                Some(CellValue::Truth(truth)) => Value::from(truth),
                Some(CellValue::Time(time)) => Value::from(time.rfc3339()),
            };
            object.insert((*name).to_owned(), value);
        }
        json_line(&object)
    }

    fn csv(&self, page: &Page, row: usize) -> Result<String> {
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        for place in 0..self.columns.len() {
            writer.write_field(page.cell(place, row).map_or_else(String::new, cell))?;
        }
        writer.write_record(None::<&[u8]>)?;
        let line = String::from_utf8(writer.into_inner()?)?;
        Ok(line.trim_end_matches('\n').to_owned())
    }

    fn human(&self, page: &Page, row: usize) -> String {
        let text = |name: &str| {
            let place = HUMAN.iter().position(|column| *column == name)?;
            page.text(place, row).map(shown)
        };
        let number = |name: &str| {
            let place = HUMAN.iter().position(|column| *column == name)?;
            page.number(place, row)
        };
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let client = text(CLIENT).or_else(|| text("source.address"));
        let mut line = format!(
            "{}  {}  {}  ",
            page.time(0, row).unwrap_or_default().rfc3339(),
            or_dash(client),
            or_dash(text(USER)),
        );
        match (text(PATH), text("http.request.method")) {
            (None, None) => line.push_str(&or_dash(text("event.action"))),
            (path, method) => {
                let status = number(STATUS).map(|status| status.to_string());
                let site = text("destination.domain").unwrap_or_default();
                let path = or_dash(path);
                line.push_str(&format!("{} {} {site}{path}", or_dash(status), or_dash(method)));
                if let Some(query) = text("url.query") {
                    line.push_str(&format!("?{query}"));
                }
            }
        }
        let said = text("message").or_else(|| text("error.message"));
        let more = [said, text("event.original"), text("user_agent.original")];
        for more in more.into_iter().flatten() {
            line.push_str(&format!("  \"{more}\""));
        }
        let file = text("log.file.path").unwrap_or_default();
        let offset = number("log.offset").unwrap_or_default();
        line.push_str(&format!("  [{file}:{offset} {}]", text(ID).unwrap_or_default()));
        line
    }
}

/// A text that is safe on a terminal, and not too long.
fn shown(text: &str) -> String {
    match text.char_indices().nth(TEXT_SHOWN) {
        Some((end, _)) => format!("{}…", visible(&text[..end])),
        None => visible(text),
    }
}

/// A value as a spreadsheet should take it: as text where it would be a formula, on one line.
pub(super) fn cell(value: CellValue<'_>) -> String {
    match value {
        CellValue::Number(number) => number.to_string(),
        CellValue::Truth(truth) => truth.to_string(),
        CellValue::Time(time) => time.rfc3339(),
        CellValue::Text(text) => escape::cell(text),
    }
}
