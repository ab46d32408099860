//! `gatewatch report`: the weekly report, for any week in the store.

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use jiff::tz::TimeZone;

use super::config::ConfigArgs;
use super::output::Output;
use crate::daemon::{ReportContext, week_report};
use crate::io::{Clock as _, SystemClock};
use crate::report::{Days, DaysError, Week, html, json, text, week_json};
use crate::store::StoreReader;
use crate::units::Timestamp;

/// The form of the report.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Form {
    /// Plain text.
    #[default]
    Text,
    /// A page for browsers and printers.
    Html,
    /// For programs.
    Json,
}

/// Prints the report about a week: traffic against the week before, log-ins, alerts, data quality.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// ISO week such as 2026-W47, or days such as 2026-11-13..2026-11-20; without a value the seven
    /// days up to last midnight
    #[arg(
        long, value_name = "WEEK", value_parser = asked,
        num_args = 0..=1, default_value = "", default_missing_value = "", hide_default_value = true,
    )]
    week: Asked,
    /// Its form
    #[arg(long, value_enum, default_value_t)]
    format: Form,
}

/// The days that a report is asked for.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// The seven days up to last midnight.
    LastWeek,
    /// These.
    Days(Days),
}

fn asked(text: &str) -> Result<Asked, DaysError> {
    if text.is_empty() {
        return Ok(Asked::LastWeek);
    }
    let days = match text.contains("..") {
        true => text.parse::<Days>()?,
        false => text.parse::<Week>()?.days(),
    };
    Ok(Asked::Days(days))
}

pub(super) fn run(args: &Args) -> Result<()> {
    let config = args.config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    let zone = config.report.zone(TimeZone::system())?;
    let now = SystemClock.now();
    let days = days(args.week, now, &zone)?;
    let meta = |key: &str| reader.meta(key).map(|value| value.and_then(|text| text.parse().ok()));
    let host = config.host.name.clone().unwrap_or_else(super::input::host);
    let context = ReportContext {
        zone: &zone,
        host: &host,
        now,
        watched_since: meta("watched.since")?.map(Timestamp),
        seed: meta("hash.seed")?.unwrap_or_default(),
        store_max: config.store.max_size,
        missed: &[],
    };
    let report = week_report(&reader, days, &context)?;
    let mut out = Output::new();
    match args.format {
        Form::Text => out.write(text::render(&report).as_bytes())?,
        Form::Html => out.write(html::render(&report).as_bytes())?,
        Form::Json => out.write(json::to_text(&week_json(&report)).as_bytes())?,
    }
    out.flush()
}

fn days(asked: Asked, now: Timestamp, zone: &TimeZone) -> Result<Days> {
    match asked {
        Asked::Days(days) => Ok(days),
        Asked::LastWeek => {
            let today = crate::report::figures::local(now, zone).date();
            Days::week_before(today).context("there is no week before the calendar begins")
        }
    }
}
