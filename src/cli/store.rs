//! `gatewatch store`: looks into the store, checks it, and takes things out of it.

use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::config::ConfigArgs;
use super::exit;
use super::output::Output;
use super::parse::encodings;
use crate::daemon::Decoder;
use crate::engine::batch::EventBatch;
use crate::engine::render::alert::alert_json;
use crate::engine::render::{Agent, Encoder, Encoding};
use crate::escape::{json_line, visible};
use crate::history::History;
use crate::store::{Frame, Seq, StoreReader};
use crate::units::ByteSize;

/// About the store: the lines, alerts and positions that the daemon keeps.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reads it and the archive, and compares all checksums; exit code 1 if one is wrong
    Verify(ConfigArgs),
    /// Tells what is in it: sources, frames, readers
    Inspect(ConfigArgs),
    /// Prints what is in it, oldest first; the store stays as it is
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// What to print
    #[arg(value_enum)]
    what: What,
    #[command(flatten)]
    config: ConfigArgs,
    /// Dead letters of this sink only
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Lines or events of this source only
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// How events are written
    #[arg(long, value_name = "NAME", value_parser = encodings(), default_value = "ecs")]
    encoding: Encoding,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum What {
    /// The raw lines that are still there
    Lines,
    /// The same as events
    Events,
    /// Each transition of an alert, one JSON object a line
    Alerts,
    /// What receivers refused for good and why, one JSON object a line
    DeadLetters,
}

/// Dead letters and alerts read at once.
const BATCH: usize = 500;

pub(super) fn run(args: &Args) -> Result<u8> {
    match &args.command {
        Command::Verify(config) => verify(config),
        Command::Inspect(config) => inspect(config),
        Command::Export(args) => export(args),
    }
}

fn verify(config: &ConfigArgs) -> Result<u8> {
    let config = config.load_for_state()?;
    let verdict = StoreReader::open(&config.store.path)?.verify()?;
    let mut out = Output::new();
    let structure = if verdict.structure_sound { "sound" } else { "DAMAGED" };
    out.line(&format!("structure of the database: {structure}"))?;
    out.line(&format!("frames: {} read, {} damaged", verdict.frames, verdict.damaged))?;
    for seq in &verdict.damaged_seqs {
        out.line(&format!("  frame {} is damaged; its lines are passed over", seq.0))?;
    }
    let (parts, damaged) = History::new(&config.history_path()).verify()?;
    out.line(&format!("parts of the archive: {parts} read, {} damaged", damaged.len()))?;
    for path in &damaged {
        let path = path.display().to_string();
        out.line(&format!("  {} is not what was written", visible(&path)))?;
    }
    let is_sound = verdict.structure_sound && verdict.damaged == 0;
    if !is_sound {
        out.line(
            "keep a copy, then read the log files again: move the store aside and start anew",
        )?;
    }
    out.flush()?;
    Ok(if is_sound && damaged.is_empty() { exit::OK } else { exit::FOUND })
}

fn inspect(config: &ConfigArgs) -> Result<u8> {
    let config = config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    let mut out = Output::new();
    out.line("stored since the store was made:")?;
    for source in reader.ledger()?.sources {
        out.line(&format!(
            "  source {}: {} lines, {}, {} frames",
            visible(&source.source),
            source.lines,
            ByteSize(source.bytes),
            source.frames
        ))?;
    }
    let oldest = reader.frame_after(Seq(0))?;
    match oldest {
        None => out.line("frames: none")?,
        Some(oldest) => out.line(&format!(
            "frames: {} to {}, the oldest received {}",
            oldest.seq.0,
            reader.last_seq()?.0,
            oldest.received.rfc3339()
        ))?,
    }
    out.line("readers, with the last frame that each is done with:")?;
    for cursor in reader.cursors()? {
        let required = if cursor.required { ", frames wait for it" } else { "" };
        out.line(&format!(
            "  {}: frame {} at {}{required}",
            visible(&cursor.reader),
            cursor.seq.0,
            cursor.updated.rfc3339()
        ))?;
    }
    out.line(&format!("alerts: {} transitions", reader.alert_count_after(0)?))?;
    for (name, count) in reader.dead_letter_counts()? {
        out.line(&format!("dead letters of {}: {count}", visible(&name)))?;
    }
    out.flush()?;
    Ok(exit::OK)
}

fn export(args: &ExportArgs) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    let mut out = Output::new();
    let is_wanted =
        |frame: &Frame| args.source.as_ref().is_none_or(|source| *source == frame.source);
    match args.what {
        What::Lines => {
            // Exact for a file or a program; what strangers wrote must not steer a terminal.
            let is_seen = std::io::stdout().is_terminal();
            each_frame(&reader, |frame| match (is_wanted(frame), is_seen) {
                (true, false) => out.write(&frame.bytes),
                (true, true) => String::from_utf8_lossy(&frame.bytes)
                    .lines()
                    .try_for_each(|line| out.line(&visible(line))),
                (false, _) => Ok(()),
            })?;
        }
        What::Events => {
            let name = config.host.name.clone().unwrap_or_else(super::input::host);
            let version = env!("CARGO_PKG_VERSION").to_owned();
            let encoder =
                Encoder::new(args.encoding, &Agent { version, name, ..Agent::default() }, false);
            if let Some(names) = encoder.entry().header {
                out.line(names)?;
            }
            let mut decoder = Decoder::new(Arc::new(config.enricher()));
            let (mut batch, mut text) = (EventBatch::default(), Vec::new());
            each_frame(&reader, |frame| {
                if !is_wanted(frame) || frame.damaged {
                    return Ok(());
                }
                decoder.decode(frame, &mut batch);
                text.clear();
                let encoder = encoder.open(&batch.origin);
                for event in batch.events() {
                    for record in encoder.records(&event) {
                        encoder.render(&record, frame.received, &mut text);
                        text.push(b'\n');
                    }
                }
                out.write(&text)
            })?;
        }
        What::Alerts => export_alerts(&reader, &mut out)?,
        What::DeadLetters => export_letters(&reader, args.sink.as_deref(), &mut out)?,
    }
    out.flush()?;
    Ok(exit::OK)
}

fn each_frame(reader: &StoreReader, mut see: impl FnMut(&Frame) -> Result<()>) -> Result<()> {
    let mut seq = Seq(0);
    while let Some(frame) = reader.frame_after(seq)? {
        seq = frame.seq;
        see(&frame)?;
    }
    Ok(())
}

fn export_alerts(reader: &StoreReader, out: &mut Output) -> Result<()> {
    let mut number = 0;
    loop {
        let alerts = reader.alerts_after(number, BATCH)?;
        let Some((last, _)) = alerts.last() else { return Ok(()) };
        number = *last;
        for (_, alert) in &alerts {
            let mut line = Vec::new();
            alert_json(alert, &mut line);
            line.push(b'\n');
            out.write(&line)?;
        }
    }
}

fn export_letters(reader: &StoreReader, sink: Option<&str>, out: &mut Output) -> Result<()> {
    let name = sink.map(|sink| format!("sink:{sink}"));
    let mut number = 0;
    loop {
        let letters = reader.dead_letters(name.as_deref(), number, BATCH)?;
        let Some(last) = letters.last() else { return Ok(()) };
        number = last.number;
        for letter in &letters {
            let reader = letter.reader.strip_prefix("sink:").unwrap_or(&letter.reader);
            out.line(&json_line(&json!({
                "number": letter.number,
                "at": letter.at.rfc3339(),
                "sink": reader,
                "event_id": letter.event_id,
                "reason": letter.reason,
                "body": String::from_utf8_lossy(&letter.body),
            })))?;
        }
    }
}
