//! `gatewatch notify test`: does an alert get through, and if not, where does it stop?

use anyhow::Result;
use clap::Subcommand;

use super::config::ConfigArgs;
use super::output::Output;
use super::{Refused, exit};
use crate::daemon::credentials;
use crate::escape::visible;
use crate::io::{Clock as _, Seeded, SystemClock};
use crate::notify::channel::{ChannelConfig, test_channel};
use crate::notify::{MailContext, Outcome, Transport, notify_test};

/// About alert mails and the other channels.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends a test mail step by step (name, connection, TLS, log-in, recipients) and says which
    /// step fails, and what to do about it
    ///
    /// With `--channel`, a sample alert goes through that channel instead.
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
struct TestArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Test this [[channel]] instead of mail; `all` stands for each of them
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let Command::Test(args) = &args.command;
    let config = args.config.load()?;
    let context = MailContext {
        zone: config.mail.zone(),
        host: config.host.name.clone().unwrap_or_else(super::input::host),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        min_severity: config.mail.min_severity,
        organisation: config.mail.organisation.clone(),
    };
    if let Some(name) = &args.channel {
        return test_channels(&config.channels, name, &context);
    }
    if !config.mail.is_enabled() {
        return Err(Refused::config(
            "[mail] names neither a mail server (smtp) nor a directory, so nothing can be sent",
        ));
    }
    let password = config.mail.read_password(credentials().as_deref())?;
    let transport = Transport::new(&config.mail, password)?;
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

/// Sends a sample through the channel `name`, or through each.
fn test_channels(channels: &[ChannelConfig], name: &str, context: &MailContext) -> Result<u8> {
    let wanted = |channel: &&ChannelConfig| name == "all" || channel.name == name;
    let chosen: Vec<&ChannelConfig> = channels.iter().filter(wanted).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
        let known = match known.is_empty() {
            true => "the configuration has none".to_owned(),
            false => format!("known are {}", known.join(", ")),
        };
        return Err(Refused::config(format!("there is no channel `{}`; {known}", visible(name))));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut failed = false;
    for channel in chosen {
        let sent = test_channel(channel, credentials(), context.clone(), SystemClock.now());
        let line = match runtime.block_on(sent) {
            Ok(answer) => format!("ok       {}: {}", channel.name, visible(&answer)),
            Err(error) => {
                failed = true;
                format!("FAILED   {}: {}", channel.name, visible(&error))
            }
        };
        // A reader that went away misses the rest; the samples are sent all the same.
        drop(Output::new().line(&line));
    }
    Ok(if failed { exit::UNAVAILABLE } else { exit::OK })
}
