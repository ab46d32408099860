//! `gatewatch alerts rules`: how often each rule was right, by people's verdicts, and what would help.

use anyhow::Result;
use serde_json::json;

use super::alerts::each_alert;
use super::config::ConfigArgs;
use super::exit;
use super::output::{Form, Output};
use crate::engine::answer::{Precision, Proposal, Record, Records, Reply, Standing, incident_of};
use crate::escape::{json_line, visible};
use crate::io::{Clock as _, SystemClock};
use crate::store::{AlertFilter, StoreReader};
use crate::units::Period;

/// Counts what each rule fired, how much of it was mailed, and what people said to it.
///
/// The precision is the share of confirmed ones among those with a verdict, with the interval in which
/// it lies in nine of ten cases (Wilson). After five verdicts, a rule that is surely right in fewer than
/// three of ten cases gets a proposal. Nothing is ever changed by itself.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only alerts of so long ago, such as 30d
    #[arg(long, value_name = "PERIOD", default_value = "90d")]
    since: Period,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    let since = Some(SystemClock.now().minus(args.since));
    let filter = AlertFilter { since, last_only: true, ..AlertFilter::default() };
    let mut records = Records::default();
    each_alert(&reader, &filter, |alert| {
        let answers = reader.answers_to(incident_of(alert))?;
        let verdict = Standing::of(&answers, &alert.id).verdict.map(|answer| answer.reply);
        records.add(alert, verdict, reader.outbox_has_sent("mail", &alert.id)?);
        Ok(true)
    })?;
    let mut out = Output::new();
    match args.output {
        Form::Json => {
            for record in records.iter() {
                out.line(&json_line(&json_of(record)))?;
            }
        }
        Form::Human => show(&records, args.since, &mut out)?,
    }
    out.flush()?;
    Ok(exit::OK)
}

fn show(records: &Records, since: Period, out: &mut Output) -> Result<()> {
    if records.iter().next().is_none() {
        return out.line(&format!("no alerts in the last {since}"));
    }
    let width = records.iter().map(|record| visible(&record.rule).len()).max().unwrap_or(0).max(4);
    out.line(&format!(
        "{:<width$}  fired  mailed  muted  confirmed  false  expected  precision",
        "rule"
    ))?;
    for record in records.iter() {
        let count = |reply| record.count(reply);
        let precision = record.precision().map_or_else(|| "-".to_owned(), percent);
        out.line(&format!(
            "{:<width$}  {:>5}  {:>6}  {:>5}  {:>9}  {:>5}  {:>8}  {precision}",
            visible(&record.rule),
            record.fired,
            record.mailed,
            record.muted,
            count(Reply::Confirm),
            count(Reply::FalsePositive),
            count(Reply::Expected),
        ))?;
    }
    for record in records.iter() {
        if let Some(proposal) = record.proposal() {
            out.line("")?;
            for line in words(&record.rule, &proposal) {
                out.line(&line)?;
            }
        }
    }
    Ok(())
}

fn percent(precision: Precision) -> String {
    let of = |share: f64| (share * 100.0).round();
    let Precision { share, low, high } = precision;
    format!("{} % ({} to {} %)", of(share), of(low), of(high))
}

/// The proposal, for people to copy from.
fn words(rule: &str, proposal: &Proposal) -> Vec<String> {
    let rule = visible(rule);
    match proposal {
        Proposal::Limit { from, to, window, spared } => vec![
            format!(
                "{rule}: a limit of {to} in {window} instead of {from} would have been silent about \
                 {spared} alerts that were wrong, and about none that was confirmed."
            ),
            format!("  Write the rule anew in a file of your own: gatewatch rules show {rule}"),
        ],
        Proposal::Allow { field, values, spared } => {
            let values: Vec<String> = values.iter().map(|value| visible(value)).collect();
            vec![
                format!(
                    "{rule}: {spared} alerts that were wrong or allowed are about {}. To keep the \
                     rule silent about them until a day:",
                    values.join(", ")
                ),
                "  [[allow]]".to_owned(),
                "  name = \"\"".to_owned(),
                format!("  {field} = {values:?}"),
                format!("  rules = [\"{rule}\"]"),
                "  expires = \"\"".to_owned(),
                "  reason = \"\"".to_owned(),
            ]
        }
        Proposal::Neither => vec![format!(
            "{rule}: seldom right, and neither a limit nor an entry of the allow-list tells its right \
             alerts from the others. Write it anew with a narrower `where`, or name it in [rules] \
             disable."
        )],
    }
}

fn json_of(record: &Record) -> serde_json::Value {
    let precision = record.precision().map(|precision| {
        json!({ "share": precision.share, "low": precision.low, "high": precision.high })
    });
    let proposal = record.proposal().map(|proposal| match proposal {
        Proposal::Limit { from, to, window, spared } => json!({
            "kind": "limit", "from": from, "to": to, "window": window, "spared": spared,
        }),
        Proposal::Allow { field, values, spared } => json!({
            "kind": "allow", "field": field, "values": values, "spared": spared,
        }),
        Proposal::Neither => json!({ "kind": "neither" }),
    });
    json!({
        "rule": record.rule,
        "fired": record.fired,
        "mailed": record.mailed,
        "muted": record.muted,
        "confirmed": record.count(Reply::Confirm),
        "false_positive": record.count(Reply::FalsePositive),
        "expected": record.count(Reply::Expected),
        "precision": precision,
        "proposal": proposal,
    })
}
