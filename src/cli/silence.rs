//! `gatewatch silence`: recording goes on, nobody is told, and a day is named on which it ends.

use anyhow::Result;
use ipnet::IpNet;
use serde_json::json;

use super::alerts::net;
use super::codes::find;
use super::config::ConfigArgs;
use super::operator::who;
use super::output::{Form, Output};
use super::{Refused, exit};
use crate::config::Config;
use crate::engine::answer::{Scope, Silence};
use crate::engine::detect::pattern_covers;
use crate::escape::{json_line, visible};
use crate::io::{Clock as _, SystemClock};
use crate::store::StoreReader;
use crate::units::{Period, Timestamp};

/// The longest silence.
const LASTING_MAX: Period = Period::from_secs(90 * 86_400);

/// Bytes of a reason, of a value, and entries of one list.
const REASON_BYTES_MAX: usize = 500;
const VALUE_BYTES_MAX: usize = 256;
const VALUES_MAX: usize = 50;

/// Silences listed.
const LISTED_MAX: usize = 1000;

/// Silences alerts for a while: they are recorded as ever, and nobody is told.
///
/// Name rules, clients, users, sites or other keys of rules; an alert that fits all kinds that are
/// named is silent. A reason and an end are a must. Log-in rules are silenced by their whole id, or
/// together with the client, user, site or key that is meant.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    gatewatch silence --rule 'http.*' --client 192.0.2.0/24 --for 8h --reason 'penetration test'\n  \
    gatewatch silence 7A2F-4C1D --for 2d --reason 'the printer is being replaced'\n  \
    gatewatch silence --list\n  \
    gatewatch silence --end 3")]
pub(super) struct Args {
    /// An alert by its code: its rule about the same client, user, site or whatever it is about
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// A rule by its id, or rules by the begin of their ids and a `*`
    #[arg(long = "rule", value_name = "ID")]
    rules: Vec<String>,
    /// A client or a network: 192.0.2.7, 192.0.2.0/24, 2001:db8::/48
    #[arg(long = "client", value_name = "NET", value_parser = net)]
    clients: Vec<IpNet>,
    /// A user name
    #[arg(long = "user", value_name = "NAME")]
    users: Vec<String>,
    /// A site
    #[arg(long = "site", value_name = "NAME")]
    sites: Vec<String>,
    /// A field that rules group by, and its value, such as source=web
    #[arg(long = "key", value_name = "FIELD=VALUE", value_parser = key)]
    keys: Vec<(String, String)>,
    /// For how long: 30m, 8h, 7d; at most 90 days
    #[arg(long = "for", value_name = "PERIOD")]
    lasting: Option<Period>,
    /// Until when instead: 2026-12-01T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "lasting")]
    until: Option<Timestamp>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Lists silences, those that are over too
    #[arg(long)]
    list: bool,
    /// Ends the silence with this number
    #[arg(long, value_name = "NUMBER", conflicts_with = "list")]
    end: Option<i64>,
    /// How to print the list
    #[arg(long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    config: ConfigArgs,
}

fn key(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write a field and its value, such as source=web".to_owned())
}

/// A moment as RFC 3339 writes it.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let read: Option<jiff::Timestamp> = text.parse().ok();
    let seconds = read.and_then(|time| u64::try_from(time.as_second()).ok());
    seconds
        .map(Timestamp::from_secs)
        .ok_or_else(|| "write a time with its zone, such as 2026-12-01T18:00:00Z".to_owned())
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    let now = SystemClock.now();
    if args.list {
        return list(&reader, args.output, now);
    }
    if let Some(number) = args.end {
        if !reader.end_silence(number, now)? {
            return Err(Refused::no_input(format!(
                "no silence with the number {number} holds; `gatewatch silence --list` names them"
            )));
        }
        let mut out = Output::new();
        out.line(&format!("silence {number} is over"))?;
        out.flush()?;
        return Ok(exit::OK);
    }
    let silence = asked(args, &config, &reader, now)?;
    let Some(number) = reader.add_silence(&silence)? else {
        return Err(Refused::usage("there are 1,000 silences already: end some of them"));
    };
    let mut out = Output::new();
    let (what, until) = (visible(&silence.scope.words()), silence.until.rfc3339());
    out.line(&format!("silence {number}: nobody is told of {what} until {until}"))?;
    out.flush()?;
    Ok(exit::OK)
}

/// The silence that the arguments ask for.
fn asked(args: &Args, config: &Config, reader: &StoreReader, now: Timestamp) -> Result<Silence> {
    let mut scope = Scope {
        rules: args.rules.clone(),
        clients: args.clients.clone(),
        users: args.users.clone(),
        sites: args.sites.clone(),
        keys: args.keys.clone(),
    };
    if let Some(code) = &args.code {
        let alert = find(reader, code)?;
        scope.rules.push(alert.rule.id.clone());
        scope.keys.extend(alert.group.clone());
    }
    check(&scope, config, args.code.is_some())?;
    let Some(reason) = args.reason.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
        return Err(Refused::usage(
            "say why, for whoever wonders where the mails are: add --reason 'TEXT'",
        ));
    };
    if REASON_BYTES_MAX < reason.len() {
        return Err(Refused::usage(format!("a reason has at most {REASON_BYTES_MAX} bytes")));
    }
    let Some(until) = args.until.or_else(|| args.lasting.map(|period| now.plus(period))) else {
        return Err(Refused::usage(
            "say when it ends, because nobody remembers to: add --for 8h, or --until \
             2026-12-01T18:00:00Z",
        ));
    };
    if until <= now {
        return Err(Refused::usage("it would be over already: name a later end"));
    }
    if now.plus(LASTING_MAX) < until {
        return Err(Refused::usage(
            "a silence lasts for 90 days at most; what is to last longer belongs into the \
             configuration: [[allow]]",
        ));
    }
    let (uid, login) = who();
    let reason = reason.to_owned();
    Ok(Silence { number: 0, at: now, until, ended: None, uid, login, reason, scope })
}

/// Refuses what would silence nothing, or more than is meant.
fn check(scope: &Scope, config: &Config, is_of_alert: bool) -> Result<()> {
    if scope.is_empty() {
        return Err(Refused::usage(
            "say what is to be silent: the code of an alert, or --rule, --client, --user, --site, \
             --key",
        ));
    }
    let lists = [&scope.rules, &scope.users, &scope.sites];
    let values = || lists.into_iter().flatten().chain(scope.keys.iter().map(|(_, value)| value));
    let longest =
        lists.iter().map(|list| list.len()).chain([scope.clients.len(), scope.keys.len()]);
    if VALUES_MAX < longest.max().unwrap_or(0) || values().any(|one| VALUE_BYTES_MAX < one.len()) {
        return Err(Refused::usage(format!(
            "at most {VALUES_MAX} values of a kind, of {VALUE_BYTES_MAX} bytes each"
        )));
    }
    let is_about_rules_only = Scope { rules: Vec::new(), ..scope.clone() }.is_empty();
    for pattern in scope.rules.iter().filter(|_| !is_of_alert) {
        let mut covered = config.rules.iter().filter(|rule| pattern_covers(pattern, &rule.id));
        let words = visible(pattern);
        if covered.clone().next().is_none() {
            return Err(Refused::usage(format!(
                "`{words}` is the id of no rule that is in force; `gatewatch rules list` names them"
            )));
        }
        let is_login = covered.any(|rule| rule.category == "authentication" && rule.id != *pattern);
        if is_login && is_about_rules_only {
            return Err(Refused::usage(format!(
                "`{words}`: rules about log-ins are silenced by their whole id only, or add \
                 --client, --user, --site or --key"
            )));
        }
    }
    Ok(())
}

fn list(reader: &StoreReader, form: Form, now: Timestamp) -> Result<u8> {
    let mut out = Output::new();
    let all = reader.silences(LISTED_MAX)?;
    if all.is_empty() && form == Form::Human {
        out.line("there are no silences")?;
    }
    for silence in &all {
        let state = match silence.holds(now) {
            true => "holds",
            false if silence.ended.is_some() => "ended",
            false => "over",
        };
        match form {
            Form::Human => {
                let (what, by) = (visible(&silence.scope.words()), visible(&silence.by()));
                let until = silence.ended.unwrap_or(silence.until).rfc3339();
                let reason = visible(&silence.reason);
                out.line(&format!(
                    "{:>4}  {state:<5}  until {until}  {what}  ({by}: {reason})",
                    silence.number
                ))?;
            }
            Form::Json => out.line(&json_line(&json!({
                "number": silence.number,
                "state": state,
                "at": silence.at.rfc3339(),
                "until": silence.until.rfc3339(),
                "ended": silence.ended.map(Timestamp::rfc3339),
                "by": { "name": silence.login, "id": silence.uid },
                "reason": silence.reason,
                "scope": silence.scope,
            })))?,
        }
    }
    out.flush()?;
    Ok(exit::OK)
}
