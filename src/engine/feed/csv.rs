//! Lists in columns: the header says which is which, and may stand behind a `#`.
//!
//! Quotes are those of RFC 4180; a quoted text may go on in the next line.

use super::build::Builder;
use super::kind::Taken;
use super::moment::second;
use super::notes::{About, Tlp};
use super::settings::Columns;
use crate::engine::text::parse_u64;

/// Names by which lists know the column of the indicator itself.
const VALUES: &[&str] = &[
    "indicator",
    "ioc",
    "ioc_value",
    "value",
    "ip",
    "ip_address",
    "ipaddress",
    "dst_ip",
    "src_ip",
    "address",
    "cidr",
    "network",
    "domain",
    "hostname",
    "host",
    "url",
    "md5_hash",
    "sha256_hash",
];

/// Names of the others.
const TYPES: &[&str] = &["type", "ioc_type", "indicator_type"];
const DESCRIPTIONS: &[&str] = &["description", "malware_printable", "malware", "threat", "comment"];
const REFERENCES: &[&str] = &["reference", "urlhaus_link", "link"];
const CONFIDENCES: &[&str] = &["confidence", "confidence_level"];
const SINCES: &[&str] =
    &["first_seen", "first_seen_utc", "dateadded", "valid_from", "listing_date"];
const UNTILS: &[&str] = &["valid_until", "expires", "expiration"];
const TLPS: &[&str] = &["tlp"];

/// Bytes of a record over several lines.
const RECORD_BYTES_MAX: usize = 64 << 10;

/// Lines before the header.
const HEADER_LINES_MAX: u64 = 200;

/// Where the columns are.
#[derive(Debug)]
struct Layout {
    separator: u8,
    value: usize,
    kind: Option<usize>,
    description: Option<usize>,
    reference: Option<usize>,
    confidence: Option<usize>,
    since: Option<usize>,
    until: Option<usize>,
    tlp: Option<usize>,
}

/// Reads records.
#[derive(Debug)]
pub struct CsvReader {
    columns: Columns,
    layout: Option<Layout>,
    lines: u64,
    /// Line in which the record in hand begins, and its text so far.
    begun: u64,
    open: Vec<u8>,
}

impl CsvReader {
    /// Columns as the operator names them; those that are not named are looked for.
    pub fn new(columns: &Columns) -> Self {
        let columns = columns.clone();
        Self { columns, layout: None, lines: 0, begun: 0, open: Vec::new() }
    }

    /// Takes the next line.
    pub fn line(&mut self, line: &[u8], out: &mut Builder) {
        self.lines += 1;
        let line =
            if self.lines == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if self.open.is_empty() {
            let bare = line.trim_ascii();
            let Some(first) = bare.first() else { return };
            if self.layout.is_none() {
                return self.header(bare);
            }
            if *first == b'#' {
                return;
            }
            self.begun = self.lines;
        } else {
            self.open.push(b'\n');
        }
        self.open.extend_from_slice(line);
        let quotes = memchr::memchr_iter(b'"', &self.open).count();
        if quotes % 2 == 1 && self.open.len() < RECORD_BYTES_MAX {
            return;
        }
        let record = std::mem::take(&mut self.open);
        if let Err(reason) = self.record(&record, out) {
            out.refuse(format!("line {}", self.begun), reason);
        }
    }

    /// Tells what is left when there are no more lines; the error says that there was no header.
    pub fn end(&mut self, out: &mut Builder) -> Result<(), String> {
        if self.layout.is_none() {
            let wanted = match &self.columns.value {
                Some(name) => format!("no line names a column `{name}`"),
                None => "no line names its columns; set `columns = { value = \"…\" }`".to_owned(),
            };
            return Err(wanted);
        }
        if !self.open.is_empty() {
            out.refuse(format!("line {}", self.begun), "a quote is not closed");
        }
        Ok(())
    }

    /// A line that names the columns, behind a `#` or not.
    fn header(&mut self, line: &[u8]) {
        let is_comment = line.starts_with(b"#");
        let line = line.strip_prefix(b"#").unwrap_or(line).trim_ascii();
        if HEADER_LINES_MAX < self.lines {
            return;
        }
        let separators = [b',', b';', b'\t', b'|'];
        let count = |byte: &u8| memchr::memchr_iter(*byte, line).count();
        let separator = separators.into_iter().rev().max_by_key(count).unwrap_or(b',');
        let names: Vec<String> = cells(line, separator)
            .iter()
            .map(|cell| String::from_utf8_lossy(cell).trim().to_ascii_lowercase())
            .collect();
        // A sentence in a comment is no header, even where it is one word that a column may have.
        if is_comment && names.len() < 2 {
            return;
        }
        let find = |asked: &Option<String>, known: &[&str]| match asked {
            Some(asked) => names.iter().position(|name| *name == asked.trim().to_ascii_lowercase()),
            None => known.iter().find_map(|one| names.iter().position(|name| name == one)),
        };
        let columns = &self.columns;
        let Some(value) = find(&columns.value, VALUES) else { return };
        self.layout = Some(Layout {
            separator,
            value,
            kind: find(&columns.r#type, TYPES),
            description: find(&columns.description, DESCRIPTIONS),
            reference: find(&columns.reference, REFERENCES),
            confidence: find(&columns.confidence, CONFIDENCES),
            since: find(&columns.since, SINCES),
            until: find(&columns.until, UNTILS),
            tlp: find(&columns.tlp, TLPS),
        });
    }

    fn record(&mut self, record: &[u8], out: &mut Builder) -> Result<(), &'static str> {
        let Some(layout) = &self.layout else { return Ok(()) };
        let cells = cells(record, layout.separator);
        let cell = |at: Option<usize>| {
            let cell = at.and_then(|at| cells.get(at)).map(|cell| cell.trim_ascii());
            cell.filter(|cell| !cell.is_empty())
        };
        let text = |at| cell(at).map(|cell| String::from_utf8_lossy(cell).into_owned());
        let value = cell(Some(layout.value)).ok_or("the column of the indicator is empty")?;
        let taken = match text(layout.kind) {
            Some(name) => Taken::named(&name).unwrap_or_else(|| out.taken()),
            None => out.taken(),
        };
        let second = |at| cell(at).and_then(second);
        let (since, until) = (second(layout.since), second(layout.until));
        let confidence = cell(layout.confidence).and_then(parse_u64);
        let about = About {
            description: text(layout.description).unwrap_or_default(),
            reference: text(layout.reference).unwrap_or_default(),
            since: since.unwrap_or(0),
            until: until.unwrap_or_else(|| out.about().until),
            starts: false,
            confidence: confidence.map(|number| number.min(100) as u8),
            tlp: text(layout.tlp).and_then(|text| Tlp::named(&text)).unwrap_or_default(),
        };
        if out.is_unsure(&about) {
            out.leave_out();
            return Ok(());
        }
        let note = out.notes().shared(about);
        out.add(value, taken, note)
    }
}

/// The cells of a record, their quotes undone.
fn cells(record: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut cells = Vec::new();
    let mut cell = Vec::new();
    let mut quoted = false;
    let mut rest = record.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' if quoted && rest.peek() == Some(&b'"') => {
                rest.next();
                cell.push(b'"');
            }
            b'"' if quoted => quoted = false,
            b'"' if cell.trim_ascii().is_empty() => {
                cell.clear();
                quoted = true;
            }
            byte if byte == separator && !quoted => cells.push(std::mem::take(&mut cell)),
            byte => cell.push(byte),
        }
    }
    cells.push(cell);
    cells
}
