//! `gatewatch backfill`: old logs into the archive.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use jiff::tz::TimeZone;

use super::config::ConfigArgs;
use super::files::{self, Named};
use super::output::{Output, say};
use super::scan::progress_bar;
use super::{Refused, input};
use crate::config::{Config, definition};
use crate::engine::batch::Origin;
use crate::escape::visible;
use crate::history::{Archive, Published};
use crate::io::{Clock as _, SystemClock};
use crate::source::SourceConfig;

/// Reads old logs into the archive; events that are there already are recognised and left out.
///
/// The lines are understood as those of a source of the configuration. Nobody is alerted. It can be
/// repeated, broken off, and run while the daemon runs.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Source that wrote the logs; needed where the configuration has several
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Log files, plain or compressed, directories of them, or patterns; `-` is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Events of which a part is made.
const PART_EVENTS: usize = 120_000;

pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load_for_state()?;
    if !config.history.enabled {
        return Err(Refused::config("the archive is switched off: history.enabled is false"));
    }
    let source = source_of(args, &config)?;
    let mut plan = input::plan(&args.files, format_of(source), zone_of(source)?)?;
    let site = source.site.clone().unwrap_or_else(|| Origin::UNNAMED_SITE.to_owned());
    plan.named = Some(Named { source: source.id().to_owned(), site });
    if let Some(host) = &config.host.name {
        plan.host.clone_from(host);
    }
    let (bar, now) = (progress_bar(&plan.paths), plan.now);
    let mut archive = Archive::new(&config.history_path(), &config.history);
    let (mut sum, mut removed) = (Published::default(), 0);
    let mut publish = |archive: &mut Archive| -> Result<()> {
        let published = archive.publish(|| Ok(()))?;
        sum.events += published.events;
        sum.known += published.known;
        // The archive keeps its size, however much comes.
        removed += archive.retain(SystemClock.now())?.parts;
        Ok(())
    };
    let done = files::read(
        &plan,
        &Arc::new(config.enricher()),
        || (),
        |(), _| (),
        |done| {
            archive.add(&done.batch, now);
            if PART_EVENTS <= archive.waiting() { publish(&mut archive) } else { Ok(()) }
        },
        |bytes| bar.inc(bytes),
    )?;
    publish(&mut archive)?;
    while archive.compact(SystemClock.now())? {}
    bar.finish_and_clear();
    let mut out = Output::new();
    out.line(&format!(
        "{} events are new in the archive, {} were there already",
        sum.events, sum.known
    ))?;
    out.flush()?;
    if 0 < removed {
        say(&format!(
            "{removed} of the oldest files of the archive were deleted: `history.keep` or `history.max_size` \
             does not hold more"
        ));
    }
    Ok(done.code)
}

/// The source that the logs are of.
fn source_of<'c>(args: &Args, config: &'c Config) -> Result<&'c SourceConfig> {
    let names = || {
        let names = config.sources.iter().map(|source| visible(source.id()));
        names.collect::<Vec<_>>().join(", ")
    };
    match (&args.source, config.sources.as_slice()) {
        (Some(name), sources) => {
            sources.iter().find(|source| source.id() == name).ok_or_else(|| {
                let name = visible(name);
                Refused::usage(format!("`{name}` is no source; there are {}", names()))
            })
        }
        (None, [source]) => Ok(source),
        (None, []) => Err(Refused::config("the configuration has no source")),
        (None, _) => Err(Refused::usage(format!("say whose logs: --source, one of {}", names()))),
    }
}

/// `auto` is found out for each file.
fn format_of(source: &SourceConfig) -> String {
    let is_auto = source.format.0 == "auto" && source.log_format.is_none();
    if is_auto && source.fields.is_empty() { "auto".to_owned() } else { definition(source) }
}

fn zone_of(source: &SourceConfig) -> Result<TimeZone> {
    input::zone(source.timezone.as_deref())
}
