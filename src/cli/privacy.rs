//! `gatewatch privacy report`: what of people is kept on this machine, for how long, and who else
//! learns it. For whoever has to answer to a data-protection office, or to the people themselves.
//!
//! Everything in it follows from the configuration and the store; nothing is looked up elsewhere.

use std::path::Path;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::config::ConfigArgs;
use super::exit;
use super::output::{Form, Output};
use crate::config::Config;
use crate::escape::{json_line, visible};
use crate::serve::ClientLabel;
use crate::store::{Held, Inventory, StoreError, StoreReader};
use crate::units::ByteSize;

/// About personal data.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tells what of people is kept here, where, for how long, and what each receiver learns
    Report(ReportArgs),
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// Something that is kept, or told to somebody.
struct Row {
    /// `kept` here or `sent` to others.
    kind: &'static str,
    what: String,
    place: String,
    /// What of people is in it.
    people: String,
    /// How long it stays; empty for what is sent.
    until: String,
    held: Option<Held>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let Command::Report(args) = &args.command;
    let config = args.config.load_for_state()?;
    let inventory = match StoreReader::open(&config.store.path) {
        Ok(reader) => Some(reader.inventory()?),
        // The configuration says what will be kept before anything is.
        Err(StoreError::Missing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let rows: Vec<Row> = kept(&config, inventory).into_iter().chain(sent(&config)).collect();
    let mut out = Output::new();
    match args.output {
        Form::Json => {
            for row in &rows {
                out.line(&json_line(&json_of(row)))?;
            }
        }
        Form::Human => show(&rows, &mut out)?,
    }
    out.flush()?;
    Ok(exit::OK)
}

/// How long counts and alerts stay.
const HISTORY: &str = "762 days";

/// Something in the store besides lines.
struct Stored {
    what: &'static str,
    held: fn(&Inventory) -> Held,
    people: &'static str,
    until: &'static str,
}

const STORED: [Stored; 10] = [
    Stored {
        what: "alerts",
        held: |all| all.alerts,
        people: "addresses, names of users and up to ten lines each",
        until: HISTORY,
    },
    Stored {
        what: "mails",
        held: |all| all.messages,
        people: "the same, as they were or will be sent",
        until: "30 days after they were sent; 762 days without their text",
    },
    Stored {
        what: "hours of counts",
        held: |all| all.hours,
        people: "up to 100 addresses, names of users and agents an hour, with how often",
        until: HISTORY,
    },
    Stored {
        what: "who was there",
        held: |all| all.attendance,
        people: "with a roster: who logged in on which day, from where; other names as typed if a server \
                 checked them, else as a keyed hash",
        until: HISTORY,
    },
    Stored {
        what: "dead letters",
        held: |all| all.dead_letters,
        people: "events that a receiver refused, in the form in which they were sent",
        until: HISTORY,
    },
    Stored {
        what: "tokens",
        held: |all| all.tokens,
        people: "what tokens stand for, sealed with the key of their sink",
        until: "762 days after their last use, or until the key is destroyed",
    },
    Stored {
        what: "questions about tokens",
        held: |all| all.reveals,
        people: "who of this machine's users asked for whom",
        until: "the newest 100,000",
    },
    Stored {
        what: "answers to alerts",
        held: |all| all.answers,
        people: "who of this machine's users said what to which alert",
        until: HISTORY,
    },
    Stored {
        what: "silences",
        held: |all| all.silences,
        people: "addresses and users of whom nothing is told, who asked for it and why",
        until: "762 days after their end",
    },
    Stored {
        what: "clients from which somebody logged in",
        held: |all| all.members,
        people: "addresses, and names of users as hashes that mean nothing on another machine",
        until: "90 days after the last log-in",
    },
];

/// What stays on this machine.
fn kept(config: &Config, inventory: Option<Inventory>) -> Vec<Row> {
    let row = |what: &str, place: &Path, people: &str, until: &str| Row {
        kind: "kept",
        what: what.to_owned(),
        place: place.display().to_string(),
        people: people.to_owned(),
        until: until.to_owned(),
        held: None,
    };
    let store = &config.store.path;
    let lines = inventory.map_or(String::new(), |all| format!(" ({} lines)", all.lines));
    let frames = Row {
        until: format!(
            "until every required sink has them and no rule looks back at them, at most {}",
            ByteSize(config.store.max_size.0)
        ),
        held: inventory.map(|all| all.frames),
        ..row(
            &format!("frames of raw lines{lines}"),
            store,
            "whatever the logs say: addresses, names of users, agents, pages",
            "",
        )
    };
    let mut rows = vec![frames];
    rows.extend(STORED.iter().map(|stored| Row {
        held: inventory.as_ref().map(stored.held),
        ..row(stored.what, store, stored.people, stored.until)
    }));
    let path = config.alert_log_path();
    rows.push(row("alert log", &path, "addresses, names of users, lines", "five files of 10 MiB"));
    if config.history.enabled {
        let limit = config.history.max_size.map_or_else(
            || "2 GiB or a tenth of the free disk".to_owned(),
            |size| size.to_string(),
        );
        let until = format!("{} days, at most {limit}", config.history.keep_days());
        let people = "every event: addresses, names of users, agents, pages";
        rows.push(row("archive", &config.history_path(), people, &until));
    }
    if let Some(directory) = &config.mail.directory {
        let until = "until somebody deletes them";
        rows.push(row("mails as files", directory, "the same as mails", until));
    }
    rows
}

/// What others learn.
fn sent(config: &Config) -> Vec<Row> {
    let row = |what: String, place: String, people: String| Row {
        kind: "sent",
        what,
        place,
        people,
        until: String::new(),
        held: None,
    };
    let mut rows = Vec::new();
    let mut to = config.mail.to.clone();
    to.extend(config.report.to.iter().filter(|one| !config.mail.to.contains(one)).cloned());
    if !to.is_empty() {
        let through = config.mail.smtp.as_ref().map_or("files", |_| "the mail server");
        rows.push(row(
            "alert mails and weekly report".to_owned(),
            format!("{} through {through}", to.join(", ")),
            "addresses, names of users and lines in clear".to_owned(),
        ));
    }
    for channel in &config.channels {
        let entry = channel.kind.entry();
        let people = match entry.whole {
            true => "addresses, names of users and lines in clear",
            false => "addresses, names of users and paths in clear",
        };
        let what = format!("alert channel of type {}", entry.kind);
        rows.push(row(what, channel.name.clone(), people.to_owned()));
    }
    for sink in &config.sinks {
        let common = &sink.common;
        let mut people = common.privacy.words();
        let mut add = |holds: bool, words: &str| {
            if holds {
                people.push_str(", ");
                people.push_str(words);
            }
        };
        add(common.keep_original, "raw lines");
        add(common.show_secrets, "secrets of queries");
        add(!common.events, "of alerts only");
        add(!common.condition.is_empty(), "of the events that its `where` holds for");
        let without = format!("without {}", common.leave_out.join(", "));
        add(!common.leave_out.is_empty(), &without);
        rows.push(row(format!("sink of type {}", sink.kind()), sink.name(), people));
    }
    let clients = match config.serve.client_ip {
        ClientLabel::Full => format!("addresses of the {} busiest", config.serve.top_clients),
        ClientLabel::Prefix => format!("networks of the {} busiest", config.serve.top_clients),
        ClientLabel::Off => "nothing".to_owned(),
    };
    if config.serve.listen != "off" {
        rows.push(row("metrics".to_owned(), config.serve.listen.clone(), clients));
    }
    rows
}

fn show(rows: &[Row], out: &mut Output) -> Result<()> {
    let mut kind = "";
    for row in rows {
        if row.kind != kind {
            kind = row.kind;
            out.line(if kind == "kept" { "Kept on this machine" } else { "Learnt by others" })?;
        }
        let held = match row.held {
            None => String::new(),
            Some(Held { count, oldest: None }) => format!(": {count}"),
            Some(Held { count, oldest: Some(oldest) }) => {
                format!(": {count}, the oldest of {}", oldest.rfc3339())
            }
        };
        out.line(&format!("  {}{held}", row.what))?;
        out.line(&format!("    where: {}", visible(&row.place)))?;
        out.line(&format!("    what:  {}", visible(&row.people)))?;
        if !row.until.is_empty() {
            out.line(&format!("    until: {}", row.until))?;
        }
    }
    out.line("docs/privacy.md tells how to send less and how to make tokens meaningless.")
}

fn json_of(row: &Row) -> serde_json::Value {
    let oldest = row.held.and_then(|held| held.oldest);
    json!({
        "kind": row.kind,
        "what": row.what,
        "place": row.place,
        "people": row.people,
        "until": (!row.until.is_empty()).then_some(&row.until),
        "count": row.held.map(|held| held.count),
        "oldest": oldest.map(|oldest| oldest.rfc3339()),
    })
}
