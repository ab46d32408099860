//! `gatewatch scan`: an instant report on log files.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::files::{self, Finished};
use super::input::InputArgs;
use super::output::{Output, colour};
use super::rules;
use crate::engine::detect::{AlertState, Detectors, Limits};
use crate::engine::render::alert::alert_json;
use crate::engine::tally::{Tally, TallyLimits};
use crate::io::{Chance, Clock, Seeded, SystemClock};
use crate::report::{ScanReport, Style, json, report_json, terminal};

/// What `scan` prints.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Form {
    /// A report for people.
    #[default]
    Human,
    /// The same figures as one JSON object.
    Json,
    /// The alerts only, one JSON object a line, as soon as each is raised.
    Alerts,
}

/// Reads log files and says what is in them: totals, statuses, clients, paths, failed log-ins,
/// and what the rules find, with the lines that prove it.
///
/// The log's own times are the clock. Files are plain or compressed
/// with gzip, Zstandard, bzip2, xz or LZ4; of a directory all text files right in it are read. Standard input
/// when none is named.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    gatewatch scan /var/log/nginx/access.log*\n  \
    zcat old.gz | gatewatch scan --output alerts")]
pub(super) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// More rules: a folder or a file of Sigma's (.yml) or ours (.toml)
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let plan = args.input.plan()?;
    let enricher = Arc::new(args.input.enricher()?);
    let mut out = Output::new();
    let bar = progress_bar(&plan.paths);
    let mut alerts = Vec::new();
    let mut line = Vec::new();
    let seed = Seeded::from_machine().next_u64();
    let rules = rules::in_force(&args.rules)?;
    let mut detectors = Detectors::new(rules, Limits::new(seed)).with_one_clock();
    let Finished { files, states, code } = files::read(
        &plan,
        &enricher,
        || Tally::new(TallyLimits::scan(seed)),
        |tally, batch| tally.add(batch),
        |done| {
            let before = alerts.len();
            detectors.see(&done.batch, plan.now, &mut alerts);
            if args.output == Form::Alerts {
                for alert in alerts.drain(before..).filter(|a| a.state == AlertState::Firing) {
                    line.clear();
                    alert_json(&alert, &mut line);
                    line.push(b'\n');
                    out.write(&line)?;
                }
            }
            Ok(())
        },
        |bytes| bar.inc(bytes),
    )?;
    bar.finish_and_clear();
    detectors.tick(plan.now, &mut alerts);
    let tally = states.into_iter().reduce(|mut sum, one| {
        sum.merge(&one);
        sum
    });
    let tally = tally.unwrap_or_else(|| Tally::new(TallyLimits::scan(seed)));
    match args.output {
        Form::Human => {
            let report = ScanReport {
                files: &files,
                tally: &tally,
                alerts: &alerts,
                zone: &plan.zone,
                elapsed: Some(SystemClock.now().since(plan.now)),
            };
            let style = Style { colour: colour(args.input.no_color()), width: 100, unicode: true };
            out.write(terminal::render(&report, &style).as_bytes())?;
        }
        Form::Json => out.write(json::to_text(&report_json(&tally, &alerts)).as_bytes())?,
        Form::Alerts => (),
    }
    out.flush()?;
    Ok(code)
}

pub(super) fn progress_bar(files: &[PathBuf]) -> ProgressBar {
    let total = files::total_bytes(files);
    // Small inputs are done before anybody could read a bar.
    if total < 64 << 20 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let bar = ProgressBar::new(total);
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}
