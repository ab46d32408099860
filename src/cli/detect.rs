//! `gatewatch detect`: which format a log has, how sure that is, and the source to configure.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::exit;
use super::facts::{Fact, facts};
use super::output::{Form, Output};
use crate::engine::batch::{EventBatch, Field, Kind};
use crate::engine::format::{
    Context, FORMATS, Format, FormatSet, Miss, SAMPLE_LINES, Vote, detect, vote,
};
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::escape::{columns, cut, json_line, visible};
use crate::io::{Clock as _, SystemClock};
use crate::source::{LineBlocks, open_input};
use crate::survey::config::toml_string;
use crate::units::Timestamp;

/// Finds out which format a log has: the score of the best format and of the runner-up, a line with
/// its fields, the lines that are not read and why, and the [[source]] to put into the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gatewatch detect /var/log/nginx/access.log")]
pub(super) struct Args {
    /// Log files; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// Bytes looked at: more than [`SAMPLE_LINES`] lines of any usual log.
const SAMPLE_BYTES: usize = 256 << 10;

/// Longer lines lose their rest.
const MAX_LINE_BYTES: usize = 64 << 10;

/// Lines that were not read, of which some are shown.
const SHOWN_MISSES: usize = 3;

/// Columns of the report.
const WIDTH: usize = 100;

/// What was found about one file.
struct Finding {
    path: PathBuf,
    /// As the configuration names it, with what is wrapped around it.
    name: String,
    score: f64,
    runner_up: Option<Vote>,
    lines: usize,
    read: usize,
    /// Text and reason of lines that the format does not read.
    misses: Vec<(String, String)>,
    /// How many of them for each reason of [`Miss::ALL`].
    reasons: [u64; Miss::ALL.len()],
    /// The first line that is read, and its fields.
    line: String,
    fields: Vec<Fact>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let now = SystemClock.now();
    let mut out = Output::new();
    let mut sure = true;
    for (index, path) in args.files.iter().enumerate() {
        let found = look(path, now)?;
        sure &= found.as_ref().is_some_and(|found| 0.0 < found.score);
        match args.output {
            Form::Human => {
                if 0 < index {
                    out.line("")?;
                }
                out.write(report(path, found.as_ref()).as_bytes())?;
            }
            Form::Json => out.line(&json_line(&object(path, found.as_ref())))?,
        }
    }
    out.flush()?;
    Ok(if sure { exit::OK } else { exit::FOUND })
}

/// `None` for a file without a line.
fn look(path: &Path, now: Timestamp) -> Result<Option<Finding>> {
    let mut blocks = LineBlocks::new(open_input(path)?, path, SAMPLE_BYTES, MAX_LINE_BYTES);
    let Some(block) = blocks.next_block(Vec::new())? else { return Ok(None) };
    let bytes = first_lines(&block.bytes);
    let times = TimeReader::new(TimeZone::system(), now);
    let definition = detect(bytes, &mut times.clone());
    let name = definition.strip_prefix("auto:").unwrap_or(&definition).to_owned();
    let votes = vote(bytes, &mut times.clone());
    let own = votes.iter().find(|vote| vote.name == name);
    let own = own.map(|vote| vote.score);
    let runner_up = votes.into_iter().find(|vote| vote.name != name && 0.0 < vote.score);
    // Around it may stand what a container engine or a log shipper adds.
    let inner = name.rsplit('>').next().unwrap_or(&name);
    let format = Format::named(inner)?;
    let formats = FormatSet::from_definition(&name)?;
    let mut parser = Parser::new(formats, times.clone(), Arc::default());
    let mut batch = EventBatch::default();
    let origin = Arc::default();
    let part = Text { origin, bytes: bytes.to_vec(), from: 0, truncated_last: false, read_at: now };
    parser.fill(&mut batch, part);
    let mut found = Finding {
        path: path.to_owned(),
        name,
        score: 0.0,
        runner_up,
        lines: batch.len(),
        read: 0,
        misses: Vec::new(),
        reasons: parser.misses(),
        line: String::new(),
        fields: Vec::new(),
    };
    for event in batch.events() {
        let mut times = times.clone();
        let mut cx = Context { times: &mut times };
        let text = || String::from_utf8_lossy(event.line()).into_owned();
        if event.row().kind == Kind::ParseFailure {
            let reason = event.field(Field::Error).unwrap_or_default();
            found.misses.push((text(), String::from_utf8_lossy(reason).into_owned()));
            continue;
        }
        if found.read == 0 {
            found.line = text();
            found.fields = facts(&event, &format.columns(event.line(), &mut cx));
        }
        found.read += 1;
    }
    let share = found.read as f64 / found.lines.max(1) as f64;
    found.score = if found.read == 0 { 0.0 } else { own.unwrap_or(share) };
    Ok((0 < found.lines).then_some(found))
}

/// As many lines as a format is found out from.
fn first_lines(bytes: &[u8]) -> &[u8] {
    let ends = memchr::memchr_iter(b'\n', bytes);
    let end = ends.take(SAMPLE_LINES).last();
    let lines = memchr::memchr_iter(b'\n', bytes).take(SAMPLE_LINES).count();
    match end {
        Some(end) if lines == SAMPLE_LINES => &bytes[..=end],
        _ => bytes,
    }
}

fn report(path: &Path, found: Option<&Finding>) -> String {
    let mut out = format!("{}\n", visible(&path.display().to_string()));
    let Some(found) = found else { return out + "  no line is in it yet\n" };
    let mut row = |name: &str, text: &str| out.push_str(&format!("  {name:<11}{text}\n"));
    let lines = found.lines;
    if found.score == 0.0 {
        row("format", &format!("none reads any of the first {lines} lines"));
        misses(found, &mut out);
        out.push_str(
            "  Paste the log_format or LogFormat of the server: gatewatch explain --log-format\n",
        );
        return out;
    }
    let inner = found.name.rsplit('>').next();
    let help = FORMATS.iter().find(|entry| Some(entry.name) == inner);
    let help = help.map_or("", |entry| entry.help);
    row("format", &found.name);
    row("", help);
    row("score", &format!("{:.2} of 1, over {lines} lines; {} are read", found.score, found.read));
    match &found.runner_up {
        Some(vote) => row("runner-up", &format!("{} {:.2}", vote.name, vote.score)),
        None => row("runner-up", "none: no other format reads any of them"),
    }
    if !found.misses.is_empty() {
        misses(found, &mut out);
    }
    out.push_str(&format!("\n  {}\n", cut(&visible(&found.line), WIDTH - 2)));
    let width = found.fields.iter().map(|fact| columns(&fact.name)).max().unwrap_or(0);
    for fact in &found.fields {
        let value = cut(&visible(&fact.value), WIDTH.saturating_sub(width + 6));
        let name = visible(&fact.name);
        out.push_str(&format!("    {name:<width$}  {value}\n"));
    }
    out.push_str("\n  for the configuration:\n\n");
    for line in source(found).lines() {
        out.push_str(&format!("    {line}\n"));
    }
    out
}

fn misses(found: &Finding, out: &mut String) {
    let count = found.misses.len();
    let lines = if count == 1 { "line" } else { "lines" };
    out.push_str(&format!("  {:<11}{count} {lines}\n", "not read"));
    for (text, reason) in found.misses.iter().take(SHOWN_MISSES) {
        let blanks = " ".repeat(13);
        out.push_str(&format!("{blanks}{}\n", cut(&visible(text), WIDTH - 13)));
        out.push_str(&format!("{blanks}  {}\n", visible(reason)));
    }
}

/// A name that is sure is written down; the odd line is then read by no other format.
fn source(found: &Finding) -> String {
    let path = std::path::absolute(&found.path).unwrap_or_else(|_| found.path.clone());
    let is_stdin = found.path == Path::new("-");
    let path = if is_stdin { "-".to_owned() } else { path.to_string_lossy().into_owned() };
    // In a configuration the path is a pattern.
    let pattern = crate::survey::escaped(&path);
    let format = if found.misses.is_empty() { found.name.as_str() } else { "auto" };
    format!("[[source]]\npath = {}\nformat = \"{format}\"\n", toml_string(&pattern))
}

fn object(path: &Path, found: Option<&Finding>) -> Value {
    let file = path.display().to_string();
    let Some(found) = found else { return json!({ "file": file, "format": null, "lines": 0 }) };
    let is_known = 0.0 < found.score;
    let vote = |vote: &Vote| json!({ "format": vote.name, "score": vote.score });
    let mut reasons = serde_json::Map::new();
    for (miss, count) in Miss::ALL.into_iter().zip(found.reasons) {
        reasons.insert(miss.name().to_owned(), json!(count));
    }
    let fields = found.fields.iter().map(|fact| (fact.name.clone(), json!(fact.value)));
    json!({
        "file": file,
        "format": is_known.then_some(&found.name),
        "score": found.score,
        "runner_up": found.runner_up.as_ref().map(vote),
        "lines": found.lines,
        "read": found.read,
        "not_read": reasons,
        "line": is_known.then_some(&found.line),
        "fields": fields.collect::<serde_json::Map<_, _>>(),
        "source": is_known.then(|| source(found)),
    })
}
