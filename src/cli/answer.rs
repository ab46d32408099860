//! `gatewatch ack`, `snooze`, `confirm`, `false-positive`, `expected`: answers to alerts.
//!
//! Works while the daemon runs and while it does not: the answer goes into the store, and counts
//! from the next alert on.

use anyhow::Result;

use super::codes::find;
use super::config::ConfigArgs;
use super::operator::who;
use super::output::Output;
use super::{Refused, exit};
use crate::config::Config;
use crate::engine::answer::{Answer, Reply, incident_of};
use crate::engine::detect::{Alert, AlertState};
use crate::escape::{cut, visible};
use crate::io::{Clock as _, SystemClock};
use crate::notify;
use crate::store::{NewMessage, StoreReader};
use crate::units::{Period, Timestamp};

/// Bytes of a note.
const NOTE_BYTES_MAX: usize = 1000;

/// The longest and the shortest snooze.
const SNOOZE_MAX: Period = Period::from_secs(30 * 86_400);
const SNOOZE_MIN: Period = Period::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Codes from a mail or from `gatewatch alerts`, such as 7A2F-4C1D; the begin of one will do
    #[arg(value_name = "CODE", required = true)]
    codes: Vec<String>,
    /// What else there is to say, for whoever reads it later
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct SnoozeArgs {
    /// The code from a mail or from `gatewatch alerts`, such as 7A2F-4C1D; its begin will do
    #[arg(value_name = "CODE")]
    code: String,
    /// For how long: 30m, 4h, 2d; at most 30 days
    #[arg(value_name = "PERIOD")]
    period: Period,
    /// What else there is to say, for whoever reads it later
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(reply: Reply, args: &Args) -> Result<u8> {
    let config = args.config.load_for_state()?;
    answer(&config, reply, &args.codes, None, &args.note)
}

pub(super) fn snooze(args: &SnoozeArgs) -> Result<u8> {
    if args.period < SNOOZE_MIN || SNOOZE_MAX < args.period {
        return Err(Refused::usage(
            "a snooze lasts from 1m to 30d; for longer there is `gatewatch silence` and [[allow]]",
        ));
    }
    let config = args.config.load_for_state()?;
    let until = SystemClock.now().plus(args.period);
    answer(&config, Reply::Snooze, std::slice::from_ref(&args.code), Some(until), &args.note)
}

/// Stores `reply` to each of `codes`: all that can be refused is refused before.
fn answer(
    config: &Config,
    reply: Reply,
    codes: &[String],
    until: Option<Timestamp>,
    note: &str,
) -> Result<u8> {
    if NOTE_BYTES_MAX < note.len() {
        return Err(Refused::usage(format!("a note has at most {NOTE_BYTES_MAX} bytes")));
    }
    let reader = StoreReader::open(&config.store.path)?;
    let alerts: Vec<Alert> = codes.iter().map(|code| find(&reader, code)).collect::<Result<_>>()?;
    let (uid, login) = who();
    let people = notify::people(&config.mail, &config.channels);
    let mut out = Output::new();
    for alert in &alerts {
        let said = Answer {
            number: 0,
            at: SystemClock.now(),
            reply,
            incident: incident_of(alert).to_owned(),
            alert: alert.id.clone(),
            until,
            uid,
            login: login.clone(),
            note: note.to_owned(),
        };
        let reminders = match until {
            Some(until) => reminders(&reader, config, &said.incident, until)?,
            None => Vec::new(),
        };
        reader.add_answer(&said, &people, &reminders)?;
        out.line(&told(alert, &said))?;
    }
    out.flush()?;
    Ok(exit::OK)
}

/// Messages for the end of a snooze, in case it still goes on then.
fn reminders(
    reader: &StoreReader,
    config: &Config,
    incident: &str,
    until: Timestamp,
) -> Result<Vec<NewMessage>> {
    let open = reader.open_alerts()?.into_iter();
    let of_it = open.filter(|alert| incident_of(alert) == incident && alert.muted_by.is_none());
    match of_it.max_by_key(|alert| (alert.severity, alert.at)) {
        Some(worst) => Ok(notify::reminders(&worst, &config.mail, &config.channels, until)),
        None => Err(Refused::usage(
            "it is over: there is nothing to put off; `ack`, `confirm`, `false-positive` and \
             `expected` can still be said",
        )),
    }
}

/// What was stored and what comes of it, in one line.
fn told(alert: &Alert, said: &Answer) -> String {
    let whole = said.is_of_incident();
    let effect = match (said.reply, said.until) {
        (Reply::Ack, _) if alert.state == AlertState::Resolved => "noted; it is over".to_owned(),
        (Reply::Ack, _) => {
            "people are told no more of this incident, unless it gets worse".to_owned()
        }
        (Reply::Snooze, until) => format!(
            "people are told of this incident again at {}, or when it gets worse",
            until.unwrap_or_default().rfc3339()
        ),
        (_, _) if whole => "noted for the whole incident".to_owned(),
        (_, _) => "noted for this alert".to_owned(),
    };
    let summary = visible(&alert.summary);
    let name = said.reply.name();
    format!("{}  {name}: {effect}  ({})", alert.code(), cut(&summary, 80))
}
