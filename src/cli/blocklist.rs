//! `gatewatch blocklist`: whom to block, for the program that does it.

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::alerts::severity;
use super::config::ConfigArgs;
use super::exit;
use super::output::{Output, say};
use crate::engine::detect::Severity;
use crate::io::{Clock as _, SystemClock};
use crate::notify::blocklist::{Blocked, Blocklist, FORMS};
use crate::store::{AlertFilter, StoreReader};
use crate::units::Period;

/// JSON, one object a line, beside the forms of programs.
const JSON: &str = "json";

/// Lists the clients of recent alerts in a form that a web server or a firewall reads.
///
/// gatewatch blocks nobody itself. Clients from which somebody logged in, your own networks, trusted
/// proxies and those of [[allow]] are left out, and named on standard error.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// How long a client is blocked after its last alert
    #[arg(long = "for", value_name = "PERIOD", default_value = "24h")]
    lasting: Period,
    /// Only clients of alerts at least so bad: low, medium, high, critical
    #[arg(long, value_name = "SEVERITY", value_parser = severity, default_value = "high")]
    severity: Severity,
    /// What to print
    #[arg(long, value_name = "FORM", value_parser = forms(), default_value = "plain")]
    output: String,
}

fn forms() -> PossibleValuesParser {
    let of_programs =
        FORMS.iter().map(|form| clap::builder::PossibleValue::new(form.name).help(form.about));
    let json = clap::builder::PossibleValue::new(JSON).help("One JSON object a line");
    PossibleValuesParser::new(of_programs.chain([json]))
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    let now = SystemClock.now();
    let filter = AlertFilter {
        since: Some(now.minus(args.lasting)),
        severity_min: Some(args.severity),
        limit: usize::MAX,
        ..AlertFilter::default()
    };
    let alerts = reader.alerts(&filter)?;
    let spared = config.enricher().trusted_proxies;
    let allowed = &config.circumstances.allowed;
    let is_allowed = |net: &_| allowed.iter().any(|entry| entry.has_client(net, now));
    let list = Blocklist::new(&alerts, (now, args.lasting), &spared, is_allowed);
    let mut out = Output::new();
    match FORMS.iter().find(|form| form.name == args.output) {
        Some(form) => out.write(list.render(form, now).as_bytes())?,
        None => {
            for Blocked { net, until, severity, code } in &list.blocked {
                let row = json!({
                    "net": net.to_string(), "until": until.rfc3339(),
                    "severity": severity.name(), "alert": code,
                });
                out.line(&row.to_string())?;
            }
        }
    }
    out.flush()?;
    for (net, reason) in &list.left_out {
        say(&format!("left out {net}: {}", reason.words()));
    }
    Ok(exit::OK)
}
