//! `gatewatch status`: how far each reader of the store is, and what keeps it.

use anyhow::Result;
use serde_json::json;

use super::config::ConfigArgs;
use super::exit;
use super::output::{Form, Output};
use crate::config::Config;
use crate::escape::{json_line, visible};
use crate::history::{History, READER};
use crate::io::{Clock as _, SystemClock};
use crate::notify::channel::ChannelConfig;
use crate::sink::{Progress, SinkConfig};
use crate::store::{Ledger, OutboxCounts, StoreReader};
use crate::units::{ByteSize, Period, Timestamp};

/// Tells how far each sink is: what waits for it and since when, its last success, its last error.
///
/// Reads the store, so it also answers while no daemon runs. Exit code 1 if a sink fails.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// One sink as the store knows it.
struct Line {
    name: String,
    kind: &'static str,
    required: bool,
    waiting_events: u64,
    waiting_bytes: u64,
    /// How long the oldest of them has been waiting.
    waiting: Option<Period>,
    waiting_alerts: u64,
    dead_letters: u64,
    /// What it lost because the store was full.
    dropped: u64,
    progress: Progress,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    let now = SystemClock.now();
    let ledger = reader.ledger()?;
    let mut lines = Vec::new();
    for sink in &config.sinks {
        lines.push(line_of(sink, &reader, &ledger, now)?);
    }
    let mut out = Output::new();
    match args.output {
        Form::Json => {
            for line in &lines {
                out.line(&json_line(&json_of(line)))?;
            }
            for channel in &config.channels {
                let counts = reader.outbox_counts_of(&channel.name)?;
                out.line(&json_line(&json_of_channel(channel, &counts)))?;
            }
        }
        Form::Human => {
            out.line(&format!(
                "store {}: {} lines in all, frame {} is the newest",
                config.store.path.display(),
                ledger.lines,
                reader.last_seq()?.0
            ))?;
            if lines.is_empty() {
                out.line("no sinks; add a [[sink]] to send events on")?;
            }
            for line in &lines {
                show(line, now, &mut out)?;
            }
            for channel in &config.channels {
                let counts = reader.outbox_counts_of(&channel.name)?;
                show_channel(channel, &counts, now, &mut out)?;
            }
            show_history(&config, &reader, &mut out)?;
            let mail = reader.outbox_counts_of("mail")?;
            out.line(&format!("mail: {} wait, {} were sent", mail.waiting, mail.sent))?;
            if let Some(reason) = mail.failed_last {
                out.line(&format!("  last error: {}", visible(&reason)))?;
            }
        }
    }
    out.flush()?;
    let fails = lines.iter().any(|line| line.progress.failure.is_some());
    Ok(if fails { exit::FOUND } else { exit::OK })
}

fn show_history(config: &Config, reader: &StoreReader, out: &mut Output) -> Result<()> {
    if !config.history.enabled {
        return Ok(());
    }
    let history = History::new(&config.history_path());
    let extent = history.extent()?;
    let seq = reader.cursor(READER)?.map(|cursor| cursor.seq).unwrap_or_default();
    let waiting = reader.waiting_after(seq)?.lines;
    let day = |day: u64| Timestamp::from_secs(day * 86_400).rfc3339()[..10].to_owned();
    let since = extent.oldest.map_or_else(String::new, |oldest| format!(" since {}", day(oldest)));
    let place = history.directory().display().to_string();
    out.line(&format!(
        "archive {}: {} files, {}{since}; {waiting} events wait in the store",
        visible(&place),
        extent.parts,
        ByteSize(extent.bytes)
    ))?;
    if 0 < extent.aside {
        out.line(&format!("  {} damaged files are kept in its `_damaged`", extent.aside))?;
    }
    Ok(())
}

fn line_of(
    sink: &SinkConfig,
    reader: &StoreReader,
    ledger: &Ledger,
    now: Timestamp,
) -> Result<Line> {
    let reader_name = format!("sink:{}", sink.name());
    let cursor = reader.cursor(&reader_name)?;
    let seq = cursor.as_ref().map(|cursor| cursor.seq).unwrap_or_default();
    let progress = cursor.map(|cursor| Progress::from_state(&cursor.state)).unwrap_or_default();
    let oldest = reader.frame_after(seq)?;
    let (mut events, mut bytes) = (0, 0);
    if oldest.is_some() {
        events = ledger.lines.saturating_sub(progress.lines);
        bytes = ledger.bytes.saturating_sub(progress.bytes);
    }
    let is_it = |name: &str| name == reader_name;
    let dropped = reader.cursors()?.into_iter().find(|cursor| is_it(&cursor.reader));
    let letters = reader.dead_letter_counts()?.into_iter().find(|(name, _)| is_it(name));
    let alerts = reader.alert_count_after(progress.alert)?;
    Ok(Line {
        name: sink.name(),
        kind: sink.kind(),
        required: sink.required(),
        waiting_events: events,
        waiting_bytes: bytes,
        waiting: oldest.map(|frame| now.since(frame.received)),
        waiting_alerts: if sink.common.alerts { alerts } else { 0 },
        dead_letters: letters.map_or(0, |(_, count)| count),
        dropped: dropped.map_or(0, |cursor| cursor.dropped_lines),
        progress,
    })
}

fn show(line: &Line, now: Timestamp, out: &mut Output) -> Result<()> {
    let ago = |time: Timestamp| format!("{} ago", rounded(now.since(time)));
    let waits = match line.waiting {
        None => "nothing waits".to_owned(),
        Some(waiting) => format!(
            "{} events ({}) wait, the oldest for {}",
            line.waiting_events,
            ByteSize(line.waiting_bytes),
            rounded(waiting)
        ),
    };
    let required = if line.required { "" } else { ", not required" };
    out.line(&format!("sink {} ({}{required}): {waits}", visible(&line.name), line.kind))?;
    match line.progress.last_success {
        Timestamp(0) => out.line("  last success: never")?,
        time => out.line(&format!("  last success: {} ({})", time.rfc3339(), ago(time)))?,
    }
    if let Some(failure) = &line.progress.failure {
        out.line(&format!("  fails since {}: {}", ago(failure.at), visible(&failure.words)))?;
    }
    if line.waiting_alerts != 0 {
        out.line(&format!("  {} alerts wait", line.waiting_alerts))?;
    }
    if line.dropped != 0 {
        out.line(&format!("  {} lines were dropped because the store was full", line.dropped))?;
    }
    if line.dead_letters != 0 {
        out.line(&format!(
            "  {} dead letters; see them with: gatewatch store export dead-letters --sink '{}'",
            line.dead_letters,
            visible(&line.name)
        ))?;
    }
    Ok(())
}

fn show_channel(
    channel: &ChannelConfig,
    counts: &OutboxCounts,
    now: Timestamp,
    out: &mut Output,
) -> Result<()> {
    let (name, kind) = (&channel.name, channel.kind.entry().kind);
    let OutboxCounts { waiting, sent, expired, .. } = counts;
    out.line(&format!(
        "channel {name} ({kind}): {waiting} wait, {sent} were sent, {expired} were given up"
    ))?;
    match counts.last_sent {
        None => out.line("  last success: never")?,
        Some(time) => {
            let ago = rounded(now.since(time));
            out.line(&format!("  last success: {} ({ago} ago)", time.rfc3339()))?;
        }
    }
    if let Some(reason) = counts.failed_last.as_ref().filter(|_| 0 < *waiting) {
        out.line(&format!("  waits because: {}", visible(reason)))?;
    }
    if let Some(reason) = &counts.given_up_last {
        out.line(&format!("  gave up last because: {}", visible(reason)))?;
    }
    Ok(())
}

fn json_of_channel(channel: &ChannelConfig, counts: &OutboxCounts) -> serde_json::Value {
    json!({
        "channel": channel.name,
        "type": channel.kind.entry().kind,
        "waiting": counts.waiting,
        "sent": counts.sent,
        "given_up": counts.expired,
        "last_success": counts.last_sent.map(Timestamp::rfc3339),
        "error": counts.failed_last,
        "given_up_because": counts.given_up_last,
    })
}

/// A period as people say it: nobody waits for milliseconds.
fn rounded(period: Period) -> Period {
    Period::from_secs(period.secs())
}

fn json_of(line: &Line) -> serde_json::Value {
    let time = |time: Timestamp| (time != Timestamp(0)).then(|| time.rfc3339());
    let failure = line.progress.failure.as_ref();
    json!({
        "sink": line.name,
        "type": line.kind,
        "required": line.required,
        "waiting_events": line.waiting_events,
        "waiting_bytes": line.waiting_bytes,
        "waiting_seconds": line.waiting.map_or(0, Period::secs),
        "waiting_alerts": line.waiting_alerts,
        "dead_letters": line.dead_letters,
        "dropped": line.dropped,
        "last_success": time(line.progress.last_success),
        "failing_since": failure.and_then(|failure| time(failure.at)),
        "error": failure.map(|failure| &failure.words),
    })
}
