//! Writes an archive of sample traffic, and says how fast and how small.
//!
//! ```text
//! cargo run --release --example archive -- FOLDER LINES CLIENTS SEED
//! ```
//!
//! Processor time is that of this thread, as the kernel counts it: writing is everything from a parsed
//! batch to a part on the disk; joining the parts of a day is told apart.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use gatewatch::engine::batch::{EventBatch, Origin};
use gatewatch::engine::enrich::Enricher;
use gatewatch::engine::format::FormatSet;
use gatewatch::engine::parse::{Parser, Text};
use gatewatch::engine::time::TimeReader;
use gatewatch::history::{Archive, HistoryConfig};
use gatewatch::sample::{Traffic, TrafficConfig};
use gatewatch::units::{ByteSize, Period, Timestamp};
use jiff::tz::TimeZone;

const START: Timestamp = Timestamp::from_secs(1_793_836_800);
const DAYS: u64 = 8;

/// Events in a part before parts are joined, as in the daemon.
const PART_EVENTS: usize = 120_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: archive FOLDER LINES CLIENTS SEED");
    let (folder, lines, clients, seed) = (next()?, next()?, next()?, next()?);
    let config = HistoryConfig { max_size: Some(ByteSize(64 << 30)), ..HistoryConfig::default() };
    let mut archive = Archive::new(Path::new(&folder), &config);
    let mut traffic = Traffic::new(&TrafficConfig {
        seed: seed.parse()?,
        start: START,
        length: Period::from_secs(DAYS * 86_400),
        lines: lines.parse()?,
        clients: clients.parse()?,
        attacks: Vec::new(),
    });
    let times = TimeReader::new(TimeZone::UTC, START);
    let formats = FormatSet::from_definition("combined")?;
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let origin = Origin { path: "/var/log/nginx/access.log".to_owned(), ..Origin::default() };
    let origin = Arc::new(origin);
    let (mut batch, mut block) = (EventBatch::default(), Vec::new());
    let (mut from, mut events, mut writing, mut parsing) = (0, 0, 0, 0);
    let mut more = true;
    while more {
        block.clear();
        more = traffic.fill(&mut block, 1 << 20);
        let begin = cpu()?;
        let (bytes, read_at) = (std::mem::take(&mut block), START);
        let length = bytes.len() as u64;
        let origin = Arc::clone(&origin);
        let text = Text { origin, bytes, from, truncated_last: false, read_at };
        parser.fill(&mut batch, text);
        from += length;
        events += batch.len() as u64;
        let parsed = cpu()?;
        archive.add(&batch, START);
        if PART_EVENTS <= archive.waiting() || !more {
            archive.publish(|| Ok(()))?;
        }
        parsing += parsed - begin;
        writing += cpu()? - parsed;
        block = batch.take_bytes();
    }
    let parts = archive.extent()?;
    let begin = cpu()?;
    while archive.compact(START.plus(Period::from_secs(DAYS * 2 * 86_400)))? {}
    let joining = cpu()? - begin;
    let joined = archive.extent()?;
    let rate = |nanoseconds: u64| events * 1_000_000 / nanoseconds.max(1);
    let each = |bytes: u64| bytes as f64 / events as f64;
    let mut out = std::io::stdout().lock();
    writeln!(out, "events            {events}, {:.0} bytes of log each", each(from))?;
    writeln!(out, "parse             {} thousand events per CPU second", rate(parsing))?;
    writeln!(out, "write             {} thousand events per CPU second", rate(writing))?;
    writeln!(out, "parse and write   {} thousand events per CPU second", rate(parsing + writing))?;
    writeln!(out, "join              {} thousand events per CPU second", rate(joining))?;
    writeln!(out, "parts             {}, {:.1} bytes an event", parts.parts, each(parts.bytes))?;
    writeln!(out, "joined            {}, {:.1} bytes an event", joined.parts, each(joined.bytes))?;
    Ok(())
}

/// Nanoseconds that this thread was on a processor.
fn cpu() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}
