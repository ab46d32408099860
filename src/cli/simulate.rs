//! `gatewatch simulate`: members who log in and adversaries who guess, as a log or as verdicts.

use anyhow::Result;
use jiff::tz::TimeZone;
use std::sync::Arc;

use super::output::Output;
use super::{Refused, exit};
use crate::engine::batch::{EventBatch, Origin};
use crate::engine::detect::{Alert, AlertState, Detectors, Limits, rule};
use crate::engine::enrich::Enricher;
use crate::engine::format::FormatSet;
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::sample::{ADVERSARIES, Adversary, LoginsConfig, logins};
use crate::units::{Period, Timestamp, nearest};

/// Simulates weeks of members who log in, with adversaries among them who guess passwords: prints
/// the login log (JSON), or what the rules find in it.
///
/// Members are honest and awkward: most come on Thursday evening, a third of them from one office
/// address, some mistype, a few have forgotten their password. An adversary begins on the first
/// Tuesday at two in the night.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Adversaries to add, or `all`: each is simulated with `--detect`, all at once without
    #[arg(value_name = "ADVERSARY")]
    adversaries: Vec<String>,
    /// Lists the adversaries
    #[arg(long, conflicts_with_all = ["adversaries", "detect"])]
    list: bool,
    /// Runs the rules, and shows which of them noticed what at which try
    #[arg(long)]
    detect: bool,
    /// Members
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=2000))]
    members: u64,
    /// Weeks
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=104))]
    weeks: u64,
    /// Decides everything that chance decides
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Monday, 16 November 2026.
const START: Timestamp = Timestamp::from_secs(1_794_787_200);
const NIGHT: Timestamp = START.plus(Period::from_secs(26 * 3600));

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<u8> {
    let mut out = Output::new();
    if args.list {
        for one in ADVERSARIES {
            out.line(&format!("{:<20} {}", one.name, one.about))?;
        }
        out.flush()?;
        return Ok(exit::OK);
    }
    let adversaries = adversaries(&args.adversaries)?;
    let config =
        LoginsConfig { seed: args.seed, start: START, weeks: args.weeks, members: args.members };
    if !args.detect {
        let with: Vec<(&Adversary, Timestamp)> =
            adversaries.iter().map(|one| (*one, NIGHT)).collect();
        out.write(&logins(&config, &with))?;
        out.flush()?;
        return Ok(exit::OK);
    }
    let mut is_all_noticed = true;
    let mut rows = vec![["adversary", "rule", "at try", "after", "wanted"].map(str::to_owned)];
    for alert in alerts(logins(&config, &[])) {
        rows.push(["nobody", &alert.rule.id, "", "", "none"].map(str::to_owned));
    }
    for adversary in &adversaries {
        let found = alerts(logins(&config, &[(adversary, NIGHT)]));
        for alert in &found {
            rows.push(row(adversary, alert));
        }
        for (id, wanted) in adversary.yields {
            let noticed = found.iter().find(|alert| alert.rule.id == *id);
            let at = noticed.map(|alert| adversary.tries_until(NIGHT, alert.at));
            if at.is_none_or(|at| *wanted < at) {
                is_all_noticed = false;
                let wanted = format!("{wanted}: missed");
                rows.push([
                    adversary.name.into(),
                    (*id).into(),
                    String::new(),
                    String::new(),
                    wanted,
                ]);
            }
        }
    }
    for [name, rule, at, after, wanted] in rows {
        let line = format!("{name:<20} {rule:<32} {at:>6} {after:>8}  {wanted}");
        out.line(line.trim_end())?;
    }
    out.flush()?;
    Ok(if is_all_noticed { exit::OK } else { exit::FOUND })
}

fn adversaries(names: &[String]) -> Result<Vec<&'static Adversary>> {
    if names.iter().any(|name| name == "all") {
        return Ok(ADVERSARIES.iter().collect());
    }
    let named = |name: &String| {
        Adversary::named(name).ok_or_else(|| {
            let near = nearest(name, ADVERSARIES.iter().map(|one| one.name));
            let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            Refused::usage(format!("`{name}` is no adversary: {hint}`--list` names them"))
        })
    };
    names.iter().map(named).collect()
}

/// What the rules find in a login log.
fn alerts(log: Vec<u8>) -> Vec<Alert> {
    let read_at = START.plus(Period::from_secs(600 * 7 * 86_400));
    let formats = FormatSet::from_definition("json").expect("a format of the table");
    let times = TimeReader::new(TimeZone::UTC, read_at);
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let mut detectors = Detectors::new(rule::builtin(), Limits::new(1));
    let (mut batch, mut found) = (EventBatch::default(), Vec::new());
    let origin = Arc::new(Origin { source: "simulation".to_owned(), ..Origin::default() });
    parser.fill(&mut batch, Text { origin, bytes: log, from: 0, truncated_last: false, read_at });
    detectors.see(&batch, read_at, &mut found);
    found.retain(|alert| alert.state == AlertState::Firing);
    found
}

fn row(adversary: &Adversary, alert: &Alert) -> [String; 5] {
    let wanted = adversary.yields.iter().find(|(id, _)| *id == alert.rule.id);
    let after = Period::from_secs(alert.at.since(NIGHT).secs());
    [
        adversary.name.to_owned(),
        alert.rule.id.clone(),
        adversary.tries_until(NIGHT, alert.at).to_string(),
        shown(after),
        wanted.map_or_else(String::new, |(_, at)| at.to_string()),
    ]
}

/// In the unit that says it in two or three digits.
fn shown(period: Period) -> String {
    match period.secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}
