//! `gatewatch alerts`: what was raised, what people said to it, and what that says of the rules.
//!
//! Invariant: the list is read page by page, so its length costs no memory, and nobody who writes
//! waits for whoever reads it slowly.

use std::net::IpAddr;

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use ipnet::IpNet;

use super::codes::find;
use super::config::ConfigArgs;
use super::exit;
use super::output::{Form, Output};
use super::record;
use crate::config::Config;
use crate::engine::answer::{Answer, Standing, incident_of};
use crate::engine::detect::{Alert, AlertState, Severity, pattern_covers};
use crate::engine::render::alert::answered_alert_json;
use crate::escape::visible;
use crate::io::{Clock as _, SystemClock};
use crate::notify::{self, MailContext};
use crate::store::{AlertFilter, StoreError, StoreReader};
use crate::units::Period;

/// Transitions of a page.
const PAGE: usize = 200;

/// Lists the alerts that the daemon raised, newest first, with what people said to them.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Answers: gatewatch ack, snooze, silence, confirm, false-positive, expected"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Show(ShowArgs),
    Rules(record::Args),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only those of so long ago, such as 24h or 7d
    #[arg(long, value_name = "PERIOD", default_value = "7d")]
    since: Period,
    /// Only those that go on
    #[arg(long, conflicts_with = "state")]
    open: bool,
    /// Only in this state; `open` is what goes on
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
    /// Only those of one rule, or of rules by the begin of their ids and a `*`
    #[arg(long, value_name = "ID")]
    rule: Option<String>,
    /// Only those at least so bad: low, medium, high, critical
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    severity: Option<Severity>,
    /// Only those in which this client took part, or one of this network
    #[arg(long, value_name = "NET", value_parser = net)]
    client: Option<IpNet>,
    /// Only those in which this user name took part
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those of the incident of this alert
    #[arg(long, value_name = "CODE")]
    incident: Option<String>,
    /// Only those to which nobody has said anything
    #[arg(long)]
    unanswered: bool,
    /// How many at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// Shows one alert as its mail does, and each answer to it.
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The code from a mail or from `gatewatch alerts`, such as 7A2F-4C1D; its begin will do
    #[arg(value_name = "CODE")]
    code: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// Which transitions.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum State {
    /// What goes on, each alert once
    Open,
    /// Alerts that began
    Firing,
    /// Alerts that grew to ten or a hundred times what made them fire
    Escalated,
    /// Alerts that are over
    Resolved,
}

/// The severity that an argument names.
pub(super) fn severity(text: &str) -> Result<Severity, String> {
    let known = Severity::ALL.iter().find(|severity| severity.name() == text);
    known.copied().ok_or_else(|| "write info, low, medium, high or critical".to_owned())
}

/// The client or network that an argument names.
pub(super) fn net(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let net = text.parse::<IpNet>().or(address);
    net.map(|net| net.trunc())
        .map_err(|_| "write an address or a network, such as 192.0.2.7 or 192.0.2.0/24".to_owned())
}

pub(super) fn run(args: &Args) -> Result<u8> {
    match &args.command {
        Some(Command::Show(args)) => show(args),
        Some(Command::Rules(args)) => record::run(args),
        None => list(&args.list),
    }
}

fn list(args: &ListArgs) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    let incident = match &args.incident {
        Some(code) => Some(incident_of(&find(&reader, code)?).to_owned()),
        None => None,
    };
    let filter = AlertFilter {
        since: Some(SystemClock.now().minus(args.since)),
        rule: args.rule.clone().filter(|rule| !rule.contains('*')),
        severity_min: args.severity,
        open_only: args.open || args.state == Some(State::Open),
        ..AlertFilter::default()
    };
    let mut out = Output::new();
    let mut shown = 0;
    each_alert(&reader, &filter, |alert| {
        if !args.wants(alert) || incident.as_deref().is_some_and(|it| it != incident_of(alert)) {
            return Ok(true);
        }
        let answers = reader.answers_to(incident_of(alert))?;
        let standing = Standing::of(&answers, &alert.id);
        if args.unanswered && !standing.is_unanswered() {
            return Ok(true);
        }
        if args.limit <= shown {
            return Ok(false);
        }
        print(alert, &standing, args.output, &mut out)?;
        shown += 1;
        Ok(true)
    })?;
    if shown == 0 && args.output == Form::Human {
        out.line(&format!("no alerts in the last {}", args.since))?;
    }
    out.flush()?;
    Ok(exit::OK)
}

/// Hands each transition that `filter` wants to `see`, newest first, until it answers false.
pub(super) fn each_alert(
    reader: &StoreReader,
    filter: &AlertFilter,
    mut see: impl FnMut(&Alert) -> Result<bool>,
) -> Result<()> {
    let filter = AlertFilter { limit: PAGE, ..filter.clone() };
    let mut last = None;
    loop {
        let page = reader.alerts_before(&filter, last)?;
        for (number, alert) in &page {
            last = Some((alert.at, *number));
            if !see(alert)? {
                return Ok(());
            }
        }
        if page.is_empty() {
            return Ok(());
        }
    }
}

impl ListArgs {
    /// What the store does not choose by itself.
    fn wants(&self, alert: &Alert) -> bool {
        let is_of_state = match self.state {
            None | Some(State::Open) => true,
            Some(State::Firing) => alert.state == AlertState::Firing,
            Some(State::Escalated) => alert.state == AlertState::Escalated,
            Some(State::Resolved) => alert.state == AlertState::Resolved,
        };
        let is_of_rule =
            self.rule.as_ref().is_none_or(|pattern| pattern_covers(pattern, &alert.rule.id));
        let has_client = self.client.as_ref().is_none_or(|net| {
            let grouped = alert.group.iter().filter_map(|(_, value)| value.parse::<IpNet>().ok());
            let listed = alert.addresses.iter().map(|ip| IpNet::from(*ip));
            grouped.chain(listed).any(|one| net.contains(&one) || one.contains(net))
        });
        let has_user = self.user.as_ref().is_none_or(|name| {
            let grouped = alert.group_value("user.name").into_iter();
            let mut all = grouped.chain(alert.users.iter().map(String::as_str));
            all.any(|user| user.eq_ignore_ascii_case(name))
        });
        is_of_state && is_of_rule && has_client && has_user
    }
}

fn print(alert: &Alert, standing: &Standing<'_>, form: Form, out: &mut Output) -> Result<()> {
    if form == Form::Json {
        let mut line = Vec::new();
        answered_alert_json(alert, standing, &mut line);
        line.push(b'\n');
        return out.write(&line);
    }
    let severity = alert.severity.name().to_uppercase();
    let said = [standing.verdict, standing.attention].into_iter().flatten().map(|answer| {
        let until = answer.until.map(|until| format!(" until {}", until.rfc3339()));
        let by = visible(&answer.by());
        format!("{} by {by}{}", answer.reply.name(), until.unwrap_or_default())
    });
    let muted = alert.muted_by.iter().map(|by| format!("muted by {}", visible(by)));
    let said: Vec<String> = said.chain(muted).collect();
    let said = if said.is_empty() { String::new() } else { format!("  [{}]", said.join("; ")) };
    out.line(&format!(
        "{}  {severity:<8} {:<9} {}  {}{said}",
        alert.at.rfc3339(),
        alert.state.name(),
        alert.code(),
        visible(&alert.summary),
    ))
}

fn show(args: &ShowArgs) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    let alert = find(&reader, &args.code)?;
    let answers = reader.answers_to(incident_of(&alert))?;
    let mut out = Output::new();
    if args.output == Form::Json {
        print(&alert, &Standing::of(&answers, &alert.id), Form::Json, &mut out)?;
    } else {
        let now = SystemClock.now();
        out.write(notify::render(&alert, &context(&config), now).text.as_bytes())?;
        out.line("")?;
        for line in transitions(&reader, &alert)? {
            out.line(&line)?;
        }
        if let Some(by) = &alert.muted_by {
            out.line(&format!("nobody was told: {}", visible(by)))?;
        }
        // Of several alerts in an incident each has its own verdict.
        let about = |one: &&Answer| {
            !one.reply.is_verdict() || one.is_of_incident() || one.alert == alert.id
        };
        for answer in answers.iter().filter(about) {
            out.line(&line_of(answer))?;
        }
        if answers.is_empty() {
            out.line("nobody has answered")?;
        }
    }
    out.flush()?;
    Ok(exit::OK)
}

/// When it began, grew and ended.
fn transitions(reader: &StoreReader, alert: &Alert) -> Result<Vec<String>, StoreError> {
    let filter = AlertFilter {
        since: Some(alert.first_event),
        rule: Some(alert.rule.id.clone()),
        ..AlertFilter::default()
    };
    let mut all = reader.alerts(&filter)?;
    all.reverse();
    let own = all.iter().filter(|one| one.id == alert.id);
    Ok(own.map(|one| format!("{}  {}", one.at.rfc3339(), one.transition())).collect())
}

fn line_of(answer: &Answer) -> String {
    let until = answer.until.map(|until| format!(" until {}", until.rfc3339()));
    let note = match answer.note.as_str() {
        "" => String::new(),
        note => format!(": {}", visible(note)),
    };
    let (name, by) = (answer.reply.name(), answer.by());
    let by = visible(&by);
    format!("{}  {name} by {by}{}{note}", answer.at.rfc3339(), until.unwrap_or_default())
}

/// What a page about an alert knows besides it.
fn context(config: &Config) -> MailContext {
    MailContext {
        zone: config.mail.zone(),
        host: config.host.name.clone().unwrap_or_else(super::input::host),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        min_severity: config.mail.min_severity,
        organisation: config.mail.organisation.clone(),
    }
}
