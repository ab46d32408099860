//! `gatewatch report`: the weekly report, for any week in the store.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::config::ConfigArgs;
use super::output::{Output, say};
use crate::config::Config;
use crate::daemon::{ReportContext, send_report, week_report, who_list};
use crate::io::{Clock as _, SystemClock};
use crate::report::compliance::{Terms, day_in};
use crate::report::{
    Days, DaysError, Style, Week, WeekReport, csv, html, json, pdf, text, week_json,
};
use crate::store::StoreReader;
use crate::units::Timestamp;

/// The form of the report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Form {
    /// Plain text.
    #[value(alias = "txt")]
    Text,
    /// A page for browsers and printers.
    Html,
    /// The text on pages, with its bars drawn.
    Pdf,
    /// For programs.
    Json,
    /// For spreadsheets: a table each of members, alerts and clients.
    Csv,
}

impl Form {
    fn ending(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Html => "html",
            Self::Pdf => "pdf",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// Prints the report about a week: who logged in on the day when all should, traffic against the
/// week before, log-ins, alerts, data quality.
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
    /// Instead, everybody of the roster on one day: who logged in, who was late, who was not seen
    #[arg(long, conflicts_with = "week")]
    who_logged_in: bool,
    /// That day, such as 2026-11-19; without it the last one when all should have come
    #[arg(long, value_name = "DAY", requires = "who_logged_in")]
    day: Option<Date>,
    /// The first day of it, instead of a week
    #[arg(long, value_name = "DAY", requires = "to", conflicts_with_all = ["week", "who_logged_in"])]
    from: Option<Date>,
    /// The last day of it
    #[arg(long, value_name = "DAY", requires = "from")]
    to: Option<Date>,
    /// Its form, or several with commas between them
    #[arg(long, value_enum, default_value = "text", value_delimiter = ',')]
    format: Vec<Form>,
    /// Write it into files of this folder, instead of printing it
    #[arg(long, value_name = "FOLDER", conflicts_with = "who_logged_in")]
    out: Option<PathBuf>,
    /// Mail it, if it was not mailed yet: the running daemon sends it
    #[arg(long, conflicts_with_all = ["who_logged_in", "out", "format"])]
    mail: bool,
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
        terms: config.compliance_terms(),
    };
    if args.who_logged_in {
        return print(&[who(args, &reader, &context)?.into_bytes()]);
    }
    let days = days(args, now, &zone)?;
    let report = week_report(&reader, days, &context)?;
    if args.mail {
        return mail(&report, &config, &reader, now);
    }
    let mut files = Vec::new();
    for form in &args.format {
        files.extend(rendered(*form, &report, &reader, &context)?);
    }
    let Some(folder) = &args.out else {
        if 1 < args.format.len() {
            bail!("several forms need files; add --out FOLDER");
        }
        return print(&files.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>());
    };
    let stem = format!("report-{}-to-{}", report.period.first_day, report.period.last_day);
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (end, bytes) in files {
        let path = folder.join(format!("{stem}{end}"));
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// Prints them with an empty line between two.
fn print(parts: &[Vec<u8>]) -> Result<()> {
    let mut out = Output::new();
    for (index, part) in parts.iter().enumerate() {
        if 0 < index {
            out.line("")?;
        }
        out.write(part)?;
    }
    out.flush()
}

/// The files of a form: the end of their names, and what is in them.
fn rendered(
    form: Form,
    report: &WeekReport,
    reader: &StoreReader,
    context: &ReportContext<'_>,
) -> Result<Vec<(String, Vec<u8>)>> {
    let bytes = match form {
        Form::Text => text::render(report).into_bytes(),
        Form::Html => html::render(report).into_bytes(),
        Form::Pdf => pdf::render(report),
        Form::Json => json::to_text(&week_json(report)).into_bytes(),
        Form::Csv => {
            let mut tables = csv::week(report);
            if let (Some(terms), Some(section)) = (&context.terms, &report.compliance) {
                let list = who_list(reader, terms, week_of(section.day.parse()?)?, context)?;
                tables.insert(0, ("members", list.csv()));
            }
            let named =
                |(name, table): (&str, String)| (format!("-{name}.csv"), table.into_bytes());
            return Ok(tables.into_iter().map(named).collect());
        }
    };
    Ok(vec![(format!(".{}", form.ending()), bytes)])
}

/// Puts the report into the outbox, where it can be once only.
fn mail(report: &WeekReport, config: &Config, reader: &StoreReader, now: Timestamp) -> Result<()> {
    if !config.mail.is_enabled() {
        bail!("there is no mail server; set `smtp` of [mail]");
    }
    let days = report.period.days;
    let added = send_report(reader, report, &config.report, now)?;
    say(&match added {
        true => format!("the report about {days} is on its way, as soon as the daemon runs"),
        false => format!("the report about {days} was mailed already"),
    });
    Ok(())
}

/// A day, and the week that ends with it.
fn week_of(day: Date) -> Result<(Date, Days)> {
    let end = day.tomorrow().ok();
    Ok((day, end.and_then(Days::week_before).context("there is no week before that day")?))
}

/// Everybody of the roster on one day.
fn who(args: &Args, reader: &StoreReader, context: &ReportContext<'_>) -> Result<String> {
    let terms = context.terms.context(
        "there is no list of who should log in; name one as `file` of [roster] (docs/compliance.md)",
    )?;
    let today = crate::report::figures::local(context.now, &terms.calendar.zone).date();
    let day = match args.day {
        Some(day) => day,
        None => last_day(&terms, today).context("there was no such day yet")?,
    };
    let list = who_list(reader, &terms, week_of(day)?, context)?;
    Ok(match args.format[..] {
        [Form::Text] => list.text(Style { colour: false, width: Style::WIDTH_MAX, unicode: true }),
        [Form::Csv] => list.csv(),
        [Form::Json] => json::to_text(&list),
        _ => bail!("the list has one of the forms text, json and csv"),
    })
}

/// The last day up to `today` on which everybody should log in.
fn last_day(terms: &Terms<'_>, today: Date) -> Option<Date> {
    let days = Days::week_before(today.tomorrow().ok()?)?;
    day_in(days, terms)
}

fn days(args: &Args, now: Timestamp, zone: &TimeZone) -> Result<Days> {
    if let (Some(first), Some(last)) = (args.from, args.to) {
        let end = last.tomorrow().context("that is the last day of the calendar")?;
        return Ok(format!("{first}..{end}").parse::<Days>()?);
    }
    match args.week {
        Asked::Days(days) => Ok(days),
        Asked::LastWeek => {
            let today = crate::report::figures::local(now, zone).date();
            Days::week_before(today).context("there is no week before the calendar begins")
        }
    }
}
