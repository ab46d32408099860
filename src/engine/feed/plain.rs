//! Lists with one entry a line: block lists, lists of domains, hosts files.

use super::build::Builder;
use super::kind::Taken;
use super::value::{self, Value};

/// Reads lines.
#[derive(Debug, Default)]
pub struct PlainReader {
    lines: u64,
}

impl PlainReader {
    /// Takes the next line.
    pub fn line(&mut self, line: &[u8], out: &mut Builder) {
        self.lines += 1;
        let line =
            if self.lines == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let line = line.trim_ascii();
        if line.is_empty() || matches!(line[0], b'#' | b';') || line.starts_with(b"//") {
            return;
        }
        let (entry, comment) = parts(line, out.taken());
        let description = comment.trim_ascii();
        let description = String::from_utf8_lossy(description).into_owned();
        let about = super::notes::About { description, ..out.about() };
        let note = out.notes().shared(about);
        if let Err(reason) = out.add(entry, out.taken(), note) {
            out.refuse(format!("line {}", self.lines), reason);
        }
    }
}

/// The entry of a line, and what is said about it.
fn parts(line: &[u8], taken: Taken) -> (&[u8], &[u8]) {
    // An agent may hold anything.
    if matches!(taken, Taken::UserAgent | Taken::User) {
        return (line, b"");
    }
    let blank = line.iter().position(u8::is_ascii_whitespace);
    let (first, rest) = line.split_at(blank.unwrap_or(line.len()));
    let rest = rest.trim_ascii();
    // A hosts file: the name is behind an address that leads nowhere.
    if matches!(first, b"0.0.0.0" | b"127.0.0.1" | b"::" | b"::1") && !rest.is_empty() {
        return parts(rest, taken);
    }
    if let Some(comment) = rest.strip_prefix(b"#").or_else(|| rest.strip_prefix(b";")) {
        return (first, comment);
    }
    if taken == Taken::Auto && !rest.is_empty() && rest[0] != b'-' {
        // Behind an address stands what the list knows about it.
        let is_address = matches!(value::read(first, Taken::Ip), Ok(Value::Addresses(..)));
        return if is_address { (first, rest) } else { (line, b"") };
    }
    // `FIRST - LAST # comment`
    let end = (1..line.len())
        .find(|at| line[at - 1].is_ascii_whitespace() && matches!(line[*at], b'#' | b';'));
    end.map_or((line, b""), |end| (line[..end].trim_ascii(), &line[end + 1..]))
}
