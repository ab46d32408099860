//! `gatewatch search`: finds events in the archive, and in the store what is not archived yet.

mod count;
mod show;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::config::ConfigArgs;
use super::output::{Output, say};
use super::{Refused, exit, when};
use crate::config::Config;
use crate::daemon::Decoder;
use crate::escape::visible;
use crate::history::{
    CLIENT, COLUMNS, Condition, Filter, History, Order, PATH, STATUS, Scan, USER, Unarchived, Words,
};
use crate::io::{Clock as _, SystemClock, Waker};
use crate::store::{AlertFilter, Seq, StoreError, StoreReader};
use crate::units::Timestamp;

/// Finds events: by client, user, path, status, time, words or alert.
///
/// Reads the archive, and in the store what is not archived yet. In values `*` stands for any letters.
/// Each hit names the file, the offset and the event id of its line.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Words that the event holds, upper and lower case alike; with several, all of them
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// Client: an address, or a network such as 203.0.113.0/24
    #[arg(long, value_name = "ADDRESS")]
    client: Option<String>,
    /// User as the server names them
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Path of the request
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Status of the response: 404, 4xx or 400-403
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<Status>,
    /// Site or service
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Any text column of the archive, such as http.request.method=POST; can be given again
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    conditions: Vec<String>,
    /// The events of an alert, by its code or id
    #[arg(long, value_name = "CODE")]
    alert: Option<String>,
    /// From then on: 2d, yesterday, "last thursday", 2026-11-20, "2026-11-20 07:30"
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Up to then; a day counts to its end
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// On that day
    #[arg(long, value_name = "DAY", conflicts_with_all = ["since", "until"])]
    on: Option<String>,
    /// Count instead of listing, by client, user, path, status, site, hour, day, or any column
    #[arg(long, value_name = "FIELD")]
    count_by: Option<String>,
    /// With --count-by: so many of the most frequent
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Stop after so many events
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// Go on with events as they are stored
    #[arg(long, conflicts_with = "count_by")]
    follow: bool,
    /// What to print; json and csv have all columns
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

const EXAMPLES: &str = "Examples:
  gatewatch search --client 203.0.113.7 --since 2d
  gatewatch search --status 5xx --since 7d --count-by path
  gatewatch search --user alice --on \"last thursday\" --output csv
  gatewatch search \"union select\" --since yesterday
  gatewatch search --alert 37C2-B9CD";

/// How hits are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Form {
    /// For people
    #[default]
    Human,
    /// One JSON object a line
    Json,
    /// Comma-separated values, with a header; no cell is a formula
    Csv,
}

/// Status codes.
#[derive(Clone, Debug)]
struct Status(std::ops::RangeInclusive<u16>);

fn status(text: &str) -> Result<Status, String> {
    let hint = || format!("`{text}` is no status; write 404, 4xx or 400-403");
    let code = |text: &str| {
        let known = |code: &u16| (100..=999).contains(code);
        text.parse::<u16>().ok().filter(known).ok_or_else(hint)
    };
    if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        let first = code(&format!("{class}00"))?;
        return Ok(Status(first..=first + 99));
    }
    match text.split_once('-') {
        Some((first, last)) => Ok(Status(code(first)?..=code(last)?)),
        None => code(text).map(|code| Status(code..=code)),
    }
}

/// How often `--follow` looks for new events.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// What the search needs besides its arguments.
struct Search {
    config: Config,
    history: History,
    filter: Filter,
    /// The newest frame that the search has seen.
    seen: Seq,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let filter = filter(args, &config)?;
    let history = History::new(&config.history_path());
    let mut search = Search { config, history, filter, seen: Seq(0) };
    let mut out = Output::new();
    match &args.count_by {
        Some(field) => count::run(args, field, &mut search, &mut out)?,
        None => list(args, &mut search, &mut out)?,
    }
    out.flush()?;
    Ok(exit::OK)
}

fn list(args: &Args, search: &mut Search, out: &mut Output) -> Result<()> {
    let mut printer = show::Printer::new(args.output, args.limit.unwrap_or(u64::MAX));
    printer.begin(out)?;
    let mut scan = search.scan(printer.columns(), Order::Time)?;
    for page in scan.by_ref() {
        if !printer.page(&page?, out)? {
            break;
        }
    }
    tell_damage(&scan);
    if args.follow && !printer.is_full() {
        out.flush()?;
        search.follow(&mut printer, out)?;
    }
    if printer.found() == 0 && args.output == Form::Human {
        say("nothing found");
    }
    Ok(())
}

/// What is missing in the answer because it could not be read.
fn tell_damage(scan: &Scan) {
    for damage in scan.damage() {
        let (path, words) = (damage.path.display().to_string(), visible(&damage.words));
        say(&format!(
            "gatewatch: {} cannot be read whole ({words}); events of it are missing above",
            visible(&path)
        ));
    }
}

impl Search {
    /// The rows that are wanted, of the archive and of the store.
    fn scan(&mut self, columns: &[&'static str], order: Order) -> Result<Scan> {
        let reader = match StoreReader::open(&self.config.store.path) {
            Ok(reader) => Some(reader),
            // An archive can be looked at without its store.
            Err(StoreError::Missing { .. }) if self.history.directory().exists() => None,
            Err(error) => return Err(error.into()),
        };
        let keep_original = self.config.history.keep_original;
        let decode = decode(&self.config);
        let seen = &mut self.seen;
        let scan = self.history.scan(&self.filter, columns, order, || {
            let Some(reader) = reader else { return Ok(None) };
            *seen = reader.last_seq()?;
            let rows = Unarchived::new(reader, decode, keep_original)?.until(*seen);
            Ok(Some(Box::new(rows)))
        });
        scan.context("cannot search the archive")
    }

    /// Prints what is stored from now on, until whoever reads it has enough.
    fn follow(&self, printer: &mut show::Printer, out: &mut Output) -> Result<()> {
        let reader = StoreReader::open(&self.config.store.path)?;
        let keep_original = self.config.history.keep_original;
        let mut rows = Unarchived::after(self.seen, reader, decode(&self.config), keep_original);
        let nobody = Waker::default();
        loop {
            for batch in rows.by_ref() {
                let page = self.filter.page_of(&batch?, printer.columns())?;
                if !printer.page(&page, out)? {
                    return Ok(());
                }
            }
            out.flush()?;
            nobody.wait(FOLLOW_EVERY);
        }
    }
}

/// Parses frames as the daemon does.
fn decode(config: &Config) -> crate::history::Decode {
    let mut decoder = Decoder::new(Arc::new(config.enricher()));
    Box::new(move |frame, batch| decoder.decode(frame, batch))
}

/// What the arguments ask for.
fn filter(args: &Args, config: &Config) -> Result<Filter> {
    let (now, zone) = (SystemClock.now(), &config.circumstances.calendar.zone);
    let mut filter = Filter::default();
    if let Some(day) = &args.on {
        let day = read_when(day, now, zone)?;
        (filter.from, filter.until) = (Some(day.from), Some(day.until));
    }
    if let Some(since) = &args.since {
        filter.from = Some(read_when(since, now, zone)?.from);
    }
    if let Some(until) = &args.until {
        filter.until = Some(read_when(until, now, zone)?.until);
    }
    let conditions = &mut filter.conditions;
    if let Some(client) = &args.client {
        conditions.push(client_condition(client)?);
    }
    let named = [(USER, &args.user), (PATH, &args.path), ("service.name", &args.site)];
    for (name, value) in named {
        conditions.extend(value.as_ref().and_then(|value| Condition::of_text(name, value)));
    }
    if let Some(Status(codes)) = &args.status {
        conditions.push(Condition::Status(codes.clone()));
    }
    for text in &args.conditions {
        conditions.push(condition(text)?);
    }
    for words in &args.words {
        let words = Words::new(words).ok_or_else(|| Refused::usage("the words are too long"))?;
        conditions.push(Condition::Words(words));
    }
    if let Some(code) = &args.alert {
        of_alert(code, config, &mut filter)?;
    }
    Ok(filter)
}

fn read_when(text: &str, now: Timestamp, zone: &TimeZone) -> Result<when::When> {
    when::read(text, now, zone).map_err(Refused::usage)
}

fn client_condition(text: &str) -> Result<Condition> {
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(Condition::Is(CLIENT, address.to_canonical().to_string()));
    }
    if let Ok(network) = text.parse::<IpNet>() {
        return Ok(Condition::Network(network));
    }
    if text.contains('*') {
        return Condition::of_text(CLIENT, text).context("the archive has clients");
    }
    let hint = "write an address, or a network such as 203.0.113.0/24";
    Err(Refused::usage(format!("`{}` is no client; {hint}", visible(text))))
}

/// A condition as `--where` writes it.
fn condition(text: &str) -> Result<Condition> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Refused::usage(format!("`{}` is not FIELD=VALUE", visible(text))));
    };
    let Some(column) = column(name) else { return Err(unknown_column(name)) };
    if let Some(condition) = Condition::of_text(column, value) {
        return Ok(condition);
    }
    let number: i64 = value.parse().map_err(|_| {
        Refused::usage(format!("`{}` is no number, and {column} holds numbers", visible(value)))
    })?;
    Ok(Condition::Number(column, number..=number))
}

/// The column of a name, or of one of its short names.
fn column(name: &str) -> Option<&'static str> {
    let name = match name {
        "client" | "ip" => CLIENT,
        "user" => USER,
        "path" => PATH,
        "status" => STATUS,
        "site" => "service.name",
        "host" => "host.name",
        "method" => "http.request.method",
        "agent" => "user_agent.original",
        "country" => "source.geo.country_iso_code",
        "source" => "gatewatch.source",
        name => name,
    };
    COLUMNS.iter().map(|column| column.name).find(|known| *known == name)
}

fn unknown_column(name: &str) -> anyhow::Error {
    let known = COLUMNS.iter().map(|column| column.name);
    let near = crate::units::nearest(name, known);
    let hint = near.map_or_else(
        || "docs/history.md lists the columns".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Refused::usage(format!("the archive has no column `{}`; {hint}", visible(name)))
}

/// The time of an alert, and what it is about.
fn of_alert(code: &str, config: &Config, filter: &mut Filter) -> Result<()> {
    let reader = StoreReader::open(&config.store.path)?;
    let all = AlertFilter { limit: ALERTS_MAX, ..AlertFilter::default() };
    let wanted = code.replace('-', "").to_lowercase();
    let mut alerts = reader.alerts(&all)?;
    alerts.retain(|alert| 8 <= wanted.len() && alert.id.starts_with(&wanted));
    let Some(alert) = alerts.first() else {
        return Err(Refused::no_input(format!("there is no alert `{}`", visible(code))));
    };
    let first = alerts.iter().map(|alert| alert.first_event).min().unwrap_or(alert.first_event);
    let last = alerts.iter().map(|alert| alert.last_event).max().unwrap_or(alert.last_event);
    filter.from.get_or_insert(first);
    filter.until.get_or_insert_with(|| Timestamp(last.0.saturating_add(1)));
    for (name, value) in &alert.group {
        let address = || value.parse().ok().map(|ip: std::net::IpAddr| ip.to_canonical());
        let network = || value.parse().ok().map(Condition::Network);
        let condition = match address() {
            Some(ip) => Some(Condition::Is(CLIENT, ip.to_string())),
            None => network().or_else(|| Condition::of_text(column(name)?, value)),
        };
        filter.conditions.extend(condition);
    }
    Ok(())
}

/// Transitions among which an alert is looked for.
const ALERTS_MAX: usize = 1_000_000;
