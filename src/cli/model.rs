//! `gatewatch model`: what the weekly rhythm has learnt, and why it expects what it expects.

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::config::ConfigArgs;
use super::exit;
use super::output::{Form, Output};
use crate::engine::rhythm::{Rhythm, Series, SeriesName, Stage, Test};
use crate::escape::{json_line, visible};
use crate::io::{Clock as _, SystemClock};
use crate::store::StoreReader;
use crate::units::Timestamp;

/// About the weekly rhythm.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the series and what is usual of them at this hour, or explains an hour of one
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The series, such as requests@www.example.org; all of them if none is named
    series: Option<String>,
    /// The hour, such as 2026-11-19T18:00:00Z; this hour if nothing is said
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let Command::Show(args) = &args.command;
    let config = args.config.load_for_state()?;
    let mut rhythm = Rhythm::new(config.circumstances.calendar.clone(), 0);
    rhythm.restore(&StoreReader::open(&config.store.path)?.rhythm()?);
    let at = match &args.at {
        Some(text) => moment(text)?,
        None => SystemClock.now(),
    };
    let wanted = args.series.as_deref();
    let named =
        |(name, _): &(&SeriesName, &Series)| wanted.is_none_or(|wanted| name.to_string() == wanted);
    let found: Vec<(&SeriesName, &Series)> = rhythm.series().filter(named).collect();
    if let (Some(wanted), true) = (wanted, found.is_empty()) {
        bail!("no series `{wanted}` has been learnt; `gatewatch model show` lists those that have");
    }
    let mut out = Output::new();
    for (name, series) in &found {
        let view = View::of(&rhythm, name, series, at);
        match args.output {
            Form::Json => out.line(&json_line(&view.json()))?,
            Form::Human if wanted.is_some() => view.explain(&mut out)?,
            Form::Human => out.line(&view.line())?,
        }
    }
    if found.is_empty() {
        out.line("Nothing has been learnt as yet: an hour has to be over.")?;
    }
    out.flush()?;
    Ok(exit::OK)
}

fn moment(text: &str) -> Result<Timestamp> {
    let time: jiff::Timestamp = text
        .parse()
        .with_context(|| format!("`{text}` is no time such as 2026-11-19T18:00:00Z"))?;
    Ok(Timestamp::from_secs(u64::try_from(time.as_second()).unwrap_or(0)))
}

/// A series at an hour.
struct View {
    name: String,
    /// The hour as clocks on walls show it.
    when: String,
    test: Test,
    hours: u32,
    stage: Stage,
    is_too_irregular: bool,
    budget: f64,
    is_holiday: bool,
}

impl View {
    fn of(rhythm: &Rhythm, name: &SeriesName, series: &Series, at: Timestamp) -> Self {
        let (hour, budget) = (rhythm.hour(at.hour()), rhythm.budget());
        let start = Timestamp::from_secs(3600 * u64::from(at.hour()));
        Self {
            name: visible(&name.to_string()),
            when: rhythm.calendar().local(start).strftime("%A, %F %H:%M %z").to_string(),
            test: series.outlook(hour, budget),
            hours: series.hours(),
            stage: series.stage(),
            is_too_irregular: series.is_too_irregular(budget),
            budget: budget.alarms(),
            is_holiday: hour.is_holiday,
        }
    }

    fn stage(&self) -> &'static str {
        match self.stage {
            Stage::Learning => "learning",
            Stage::Provisional => "provisional",
            Stage::Ready if self.is_too_irregular => "too irregular",
            Stage::Ready => "ready",
        }
    }

    /// From so many on it is too much for this hour alone.
    fn alarm_from(&self) -> f64 {
        self.test.alarm_from()
    }

    fn line(&self) -> String {
        let band = self.test.band();
        let (expected, weeks) = (self.test.expected, f64::from(self.hours) / 168.0);
        format!(
            "{:<40} {:<13} {weeks:>6.1} weeks  {expected:>10.1}  {} to {}",
            self.name,
            self.stage(),
            band.low,
            band.high
        )
    }

    fn explain(&self, out: &mut Output) -> Result<()> {
        let (test, band) = (&self.test, self.test.band());
        let share = (-test.threshold).exp();
        let weeks = f64::from(self.hours) / 168.0;
        let holiday = if self.is_holiday { ", a holiday: nobody is missed" } else { "" };
        let rows = [
            ("series", self.name.clone()),
            ("hour", format!("{}{holiday}", self.when)),
            ("learnt", format!("{weeks:.1} weeks, {}", self.stage())),
            ("expected", format!("{:.2}", test.expected)),
            ("usual", format!("{} to {} (19 of 20 such hours)", band.low, band.high)),
            (
                "dispersion",
                format!("{:.4}: variance = mean + dispersion x mean^2", test.dispersion),
            ),
            ("budget", format!("{:.3} false alarms a week for this series", self.budget)),
            (
                "limit",
                format!(
                    "p <= {share:.2e} (-ln p = {:.2}; tail x {:.2})",
                    test.threshold, test.heaviness
                ),
            ),
            ("too much", format!("{} and more in this hour alone", self.alarm_from())),
        ];
        for (name, value) in rows {
            out.line(&format!("{name:<11} {value}"))?;
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        let (test, band) = (&self.test, self.test.band());
        json!({
            "series": self.name,
            "hour": self.when,
            "hours_learnt": self.hours,
            "stage": self.stage(),
            "holiday": self.is_holiday,
            "expected": test.expected,
            "low": band.low,
            "high": band.high,
            "dispersion": test.dispersion,
            "budget_per_week": self.budget,
            "threshold": test.threshold,
            "heaviness": test.heaviness,
            "too_much_from": self.alarm_from(),
        })
    }
}
