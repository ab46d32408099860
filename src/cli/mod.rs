//! The command line: one file a command, and the only place that wires modules together.

mod alerts;
mod answer;
mod backfill;
mod backtest;
mod blocklist;
mod check;
mod codes;
mod completions;
mod config;
mod demo;
mod detect;
mod explain;
mod explain_alert;
mod facts;
mod files;
mod init;
mod input;
mod learn;
mod model;
mod notify;
mod operator;
mod output;
mod parse;
mod privacy;
mod query;
mod record;
mod report;
mod reveal;
mod rules;
mod run;
mod scan;
mod search;
mod siem;
mod silence;
mod simulate;
mod status;
mod store;
mod test;
mod turns;
mod when;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::daemon::DaemonError;
use crate::engine::answer::Reply;
use crate::engine::format::FormatError;
use crate::source::InputError;
use crate::store::StoreError;
use output::{Closed, say};

/// Exit codes that are promises (sysexits.h where it has one).
pub mod exit {
    /// Done.
    pub const OK: u8 = 0;
    /// Something was found: a failed test, a gap.
    pub const FOUND: u8 = 1;
    /// The command line makes no sense.
    pub const USAGE: u8 = 2;
    /// The input is not what it should be.
    pub const DATA: u8 = 65;
    /// An input does not exist or cannot be read.
    pub const NO_INPUT: u8 = 66;
    /// A service that is needed is not there.
    pub const UNAVAILABLE: u8 = 69;
    /// A mistake of this program.
    pub const SOFTWARE: u8 = 70;
    /// A file cannot be made.
    pub const CANT_CREATE: u8 = 73;
    /// Reading or writing failed.
    pub const IO: u8 = 74;
    /// Not allowed.
    pub const NO_PERMISSION: u8 = 77;
    /// The configuration cannot be used.
    pub const CONFIG: u8 = 78;
}

const EXIT_CODES: &str = "Exit codes: 0 done · 1 found something · 2 usage · 65 bad data · 66 no input · \
    69 service unavailable · 70 internal · 73 cannot create · 74 I/O · 77 no permission · 78 configuration";

/// Watches web-server and login logs: security events, metrics, alert mails, a weekly report.
#[derive(Debug, Parser)]
#[command(name = "gatewatch", version, about, after_help = EXIT_CODES)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Run(run::Args),
    Scan(scan::Args),
    Parse(parse::Args),
    Detect(detect::Args),
    Explain(explain::Args),
    Check(check::Args),
    Rules(rules::Args),
    Test(test::Args),
    Backtest(backtest::Args),
    Tune(backtest::TuneArgs),
    Alerts(alerts::Args),
    /// Says that somebody looks after an alert: people hear no more of its incident unless it gets worse
    Ack(answer::Args),
    /// Puts an incident off: people hear of it again when the time is up, or when it gets worse
    Snooze(answer::SnoozeArgs),
    Silence(silence::Args),
    /// Says that an alert was right; `gatewatch alerts rules` counts such verdicts
    Confirm(answer::Args),
    /// Says that an alert was wrong: something else, and harmless
    FalsePositive(answer::Args),
    /// Says that an alert was right, and what it tells of is allowed
    Expected(answer::Args),
    Blocklist(blocklist::Args),
    Search(search::Args),
    Query(query::Args),
    Backfill(backfill::Args),
    Report(report::Args),
    Notify(notify::Args),
    Siem(siem::Args),
    Simulate(simulate::Args),
    Status(status::Args),
    Learn(learn::Args),
    Model(model::Args),
    Privacy(privacy::Args),
    Store(store::Args),
    Demo(demo::Args),
    Completions(completions::Args),
}

/// Runs the command line; answers the exit code.
pub fn main() -> ExitCode {
    let line = match Line::command()
        .mut_subcommand("scan", |command| command.after_long_help(input::formats_help()))
        .mut_subcommand("backtest", |command| command.after_long_help(input::formats_help()))
        .mut_subcommand("tune", |command| command.after_long_help(input::formats_help()))
        .mut_subcommand("parse", |command| command.after_long_help(input::formats_help()))
        .mut_subcommand("explain", |command| command.after_long_help(input::formats_help()))
        .try_get_matches()
        .and_then(|matches| Line::from_arg_matches(&matches))
    {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::OK });
        }
    };
    let result = match &line.command {
        Command::Init(args) => init::run(args),
        Command::Run(args) => run::run(args),
        Command::Scan(args) => scan::run(args),
        Command::Parse(args) => parse::run(args),
        Command::Detect(args) => detect::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Check(args) => check::run(args),
        Command::Rules(args) => rules::run(args),
        Command::Test(args) => test::run(args),
        Command::Backtest(args) => backtest::run(args),
        Command::Tune(args) => backtest::run_tune(args),
        Command::Alerts(args) => alerts::run(args),
        Command::Ack(args) => answer::run(Reply::Ack, args),
        Command::Snooze(args) => answer::snooze(args),
        Command::Silence(args) => silence::run(args),
        Command::Confirm(args) => answer::run(Reply::Confirm, args),
        Command::FalsePositive(args) => answer::run(Reply::FalsePositive, args),
        Command::Expected(args) => answer::run(Reply::Expected, args),
        Command::Blocklist(args) => blocklist::run(args),
        Command::Search(args) => search::run(args),
        Command::Query(args) => query::run(args),
        Command::Backfill(args) => backfill::run(args),
        Command::Report(args) => report::run(args).map(|()| exit::OK),
        Command::Notify(args) => notify::run(args),
        Command::Siem(args) => siem::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Status(args) => status::run(args),
        Command::Learn(args) => learn::run(args),
        Command::Model(args) => model::run(args),
        Command::Privacy(args) => privacy::run(args),
        Command::Store(args) => store::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Completions(args) => completions::run(args, Line::command()).map(|()| exit::OK),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is::<Closed>() => ExitCode::from(exit::OK),
        Err(error) => {
            say(&format!("gatewatch: {}", complaint(&error)));
            ExitCode::from(code_of(&error))
        }
    }
}

/// A refusal with its exit code, where no error below says by its type which one fits.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Refused {
    code: u8,
    text: String,
}

impl Refused {
    /// The command line makes no sense, in a way that its grammar cannot tell.
    fn usage(text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { code: exit::USAGE, text: text.into() })
    }

    /// An input is not there.
    fn no_input(text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { code: exit::NO_INPUT, text: text.into() })
    }

    /// A file cannot be made.
    fn cannot_create(text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { code: exit::CANT_CREATE, text: text.into() })
    }

    /// It may not be told.
    fn no_permission(text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { code: exit::NO_PERMISSION, text: text.into() })
    }

    /// The configuration lacks what the command needs.
    fn config(text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { code: exit::CONFIG, text: text.into() })
    }
}

/// The whole chain of reasons in one line.
fn complaint(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // An error that shows its source in its own message says it once.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// The exit code that fits the deepest reason.
fn code_of(error: &anyhow::Error) -> u8 {
    if let Some(refused) = error.downcast_ref::<Refused>() {
        return refused.code;
    }
    if error.is::<FormatError>() {
        return exit::USAGE;
    }
    if let Some(InputError::NoText { .. } | InputError::Pattern { .. }) = error.downcast_ref() {
        return exit::NO_INPUT;
    }
    if let Some(InputError::Journal { .. }) = error.downcast_ref() {
        return exit::UNAVAILABLE;
    }
    if let Some(InputError::Compression { .. }) = error.downcast_ref() {
        return exit::DATA;
    }
    if error.is::<config::BadConfig>() {
        return exit::CONFIG;
    }
    let daemon = error.downcast_ref::<DaemonError>();
    let store = error.downcast_ref::<StoreError>().or(match daemon {
        Some(DaemonError::Store(store)) => Some(store),
        _ => None,
    });
    match (store, daemon) {
        (Some(StoreError::Missing { .. }), _) => return exit::NO_INPUT,
        (Some(StoreError::TooNew { .. }), _) => return exit::CONFIG,
        (Some(StoreError::Locked { .. }), _) => return exit::UNAVAILABLE,
        (Some(StoreError::Full { .. }), _) => return exit::IO,
        (None, Some(DaemonError::Serve(_))) => return exit::UNAVAILABLE,
        _ => (),
    }
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    match io.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory) => exit::NO_INPUT,
        Some(std::io::ErrorKind::PermissionDenied) => exit::NO_PERMISSION,
        Some(_) => exit::IO,
        None => exit::SOFTWARE,
    }
}

/// An environment variable.
fn environment(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the command line is where the environment is read"
    )]
    std::env::var(name).ok()
}
