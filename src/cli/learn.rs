//! `gatewatch learn`: the weekly rhythm out of old logs, so that it knows weeks on its first day.
//!
//! Invariant: nothing is stored but what a daemon would have learnt from these lines, and only
//! into a store that has learnt nothing yet: no line counts twice.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use super::config::ConfigArgs;
use super::files::{self, Finished, Plan};
use super::input::{host, zone};
use super::output::Output;
use crate::config::{Config, definition};
use crate::engine::rhythm::Rhythm;
use crate::escape::visible;
use crate::io::{Chance as _, Clock as _, Seeded, SystemClock};
use crate::source::{SourceConfig, find_inputs};
use crate::store::{Commit, Store, StoreReader};
use crate::units::{Period, Timestamp};

/// Learns the weekly rhythm of a source from its old logs: name the rotated files too. From four
/// weeks on the daemon tells what is odd; it must not be running meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gatewatch learn /var/log/nginx/access.log*")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Log files, plain or compressed, directories of them, or patterns
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The source of the configuration that the files belong to; may be left out where there is one
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

/// Lines of several files may be out of order by this much.
const LATENESS: Period = Period::from_secs(3600);

pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let source = source(&config, args.source.as_deref())?;
    let site = source.site.clone().unwrap_or_else(host);
    let mut store = Store::open(&config.store.path)?;
    if !StoreReader::open(&config.store.path)?.rhythm()?.is_empty() {
        bail!("the rhythm is being learnt already; `gatewatch model show` lists what is known");
    }
    let plan = plan(&args.files, source)?;
    let enricher = Arc::new(config.enricher());
    let seed = Seeded::from_machine().next_u64();
    let mut rhythm = Rhythm::new(config.circumstances.calendar.clone(), seed);
    let mut newest = Timestamp(0);
    let Finished { code, .. } = files::read(
        &plan,
        &enricher,
        || (),
        |(), _| (),
        |done| {
            rhythm.see_of(&done.batch, plan.now, (source.id(), &site));
            let events = done.batch.events().filter(|event| !event.row().time_is_read);
            newest = events.map(|event| event.row().time).fold(newest, Timestamp::max);
            rhythm.turn_to(newest.minus(LATENESS));
            Ok(())
        },
        |_| (),
    )?;
    rhythm.turn_to(newest);
    let records = rhythm.records();
    let commit = Commit { rhythm: &records, ..Commit::default() };
    store.commit(&commit, SystemClock.now()).context("failed to store what was learnt")?;
    let mut out = Output::new();
    for (name, series) in rhythm.series() {
        let weeks = f64::from(series.hours()) / 168.0;
        out.line(&format!("{:<40} {weeks:>6.1} weeks", visible(&name.to_string())))?;
    }
    if rhythm.series().next().is_none() {
        out.line("Nothing was learnt: the lines tell less than an hour.")?;
    }
    out.flush()?;
    Ok(code)
}

/// Reads `files` as the daemon reads those of `source`.
fn plan(files: &[PathBuf], source: &SourceConfig) -> Result<Plan> {
    let format = definition(source);
    // The best guess of a daemon that has not seen a line.
    let format = if format.starts_with("auto:") { "auto".to_owned() } else { format };
    Ok(Plan {
        paths: find_inputs(files)?.paths,
        format,
        zone: zone(source.timezone.as_deref())?,
        now: SystemClock.now(),
        keep_empty: false,
        named: None,
        host: host(),
        workers: 1,
    })
}

/// The source that is meant.
fn source<'c>(config: &'c Config, name: Option<&str>) -> Result<&'c SourceConfig> {
    let names = || config.sources.iter().map(SourceConfig::id).collect::<Vec<_>>().join(", ");
    match (name, config.sources.as_slice()) {
        (None, [one]) => Ok(one),
        (None, _) => bail!("say with --source which source the files belong to: {}", names()),
        (Some(name), all) => all
            .iter()
            .find(|source| source.id() == name)
            .with_context(|| format!("no source is called `{name}`; there are {}", names())),
    }
}
