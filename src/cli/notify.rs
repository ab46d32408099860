//! `gatewatch notify test`: does the mail get through, and if not, where does it stop?

use anyhow::Result;
use clap::Subcommand;

use super::config::ConfigArgs;
use super::output::Output;
use super::{Refused, exit};
use crate::daemon::credentials;
use crate::io::{Clock as _, Seeded, SystemClock};
use crate::notify::{MailContext, Outcome, Transport, notify_test};

/// About alert mails.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends a test mail step by step (name, connection, TLS, log-in, recipients) and says which
    /// step fails, and what to do about it
    Test(ConfigArgs),
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let Command::Test(config) = &args.command;
    let config = config.load()?;
    if !config.mail.is_enabled() {
        return Err(Refused::config(
            "[mail] names neither a mail server (smtp) nor a directory, so nothing can be sent",
        ));
    }
    let password = config.mail.read_password(credentials().as_deref())?;
    let transport = Transport::new(&config.mail, password)?;
    let context = MailContext {
        zone: config.mail.zone(),
        host: config.host.name.clone().unwrap_or_else(super::input::host),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        min_severity: config.mail.min_severity,
        organisation: config.mail.organisation.clone(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut failed = false;
    let mut chance = Seeded::from_machine();
    let mut tell = |step: crate::notify::Step| {
        let (mark, text) = match &step.outcome {
            Outcome::Done(detail) => ("ok     ", detail.clone()),
            Outcome::Skipped(why) => ("skipped", why.clone()),
            Outcome::Failed { error, fix } => {
                failed = true;
                ("FAILED ", if fix.is_empty() { error.clone() } else { format!("{error}; {fix}") })
            }
        };
        // A reader that went away misses the rest; the mail is sent all the same.
        drop(Output::new().line(&format!(
            "{mark}  {:<10} {}: {text}",
            step.kind.name(),
            step.subject
        )));
    };
    let now = SystemClock.now();
    // Which step failed was told as it happened.
    drop(runtime.block_on(notify_test(&transport, &context, now, &mut chance, &mut tell)));
    Ok(if failed { exit::UNAVAILABLE } else { exit::OK })
}
