//! `gatewatch alerts`: what was raised, from the store.

use anyhow::Result;

use super::config::ConfigArgs;
use super::output::{Form, Output};
use crate::engine::detect::{Alert, Severity};
use crate::engine::render::alert::alert_json;
use crate::escape::visible;
use crate::io::{Clock as _, SystemClock};
use crate::store::{AlertFilter, StoreReader};
use crate::units::Period;

/// Lists the alerts that the daemon raised, newest first.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only those of so long ago, such as 24h or 7d
    #[arg(long, value_name = "PERIOD", default_value = "7d")]
    since: Period,
    /// Only those that go on
    #[arg(long)]
    open: bool,
    /// Only those of one rule
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Only those at least so bad: low, medium, high, critical
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    severity: Option<Severity>,
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// The severity that an argument names.
pub(super) fn severity(text: &str) -> Result<Severity, String> {
    let known = Severity::ALL.iter().find(|severity| severity.name() == text);
    known.copied().ok_or_else(|| "write info, low, medium, high or critical".to_owned())
}

pub(super) fn run(args: &Args) -> Result<()> {
    let config = args.config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    let filter = AlertFilter {
        since: Some(SystemClock.now().minus(args.since)),
        rule: args.rule.clone(),
        severity_min: args.severity,
        open_only: args.open,
        limit: args.limit,
        ..AlertFilter::default()
    };
    let alerts = reader.alerts(&filter)?;
    let mut out = Output::new();
    if alerts.is_empty() && args.output == Form::Human {
        out.line(&format!("no alerts in the last {}", args.since))?;
    }
    for alert in &alerts {
        match args.output {
            Form::Json => {
                let mut line = Vec::new();
                alert_json(alert, &mut line);
                line.push(b'\n');
                out.write(&line)?;
            }
            Form::Human => show(alert, &mut out)?,
        }
    }
    out.flush()
}

fn show(alert: &Alert, out: &mut Output) -> Result<()> {
    let severity = alert.severity.name().to_uppercase();
    out.line(&format!(
        "{}  {severity:<8} {:<8} {}  {}",
        alert.at.rfc3339(),
        alert.state.name(),
        alert.code(),
        visible(&alert.summary),
    ))
}
