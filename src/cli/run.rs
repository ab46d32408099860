//! `gatewatch run`: the daemon, and with `--once` the cron mode.

use anyhow::Result;
use tracing_subscriber::EnvFilter;

use super::config::ConfigArgs;
use super::output::say;
use super::{Refused, environment, exit};
use crate::config::{Config, USUAL_LOGS};
use crate::daemon::{Daemon, Options, Stop, Summary};
use crate::sink::OtelVariables;

/// Watches the logs: events, metrics, alerts, mails and reports, until it is stopped.
///
/// Without a configuration it watches the usual nginx, Apache and login logs that it can read,
/// keeps its state in ./gatewatch-data and writes mails there as files.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Read what is new since the last time, alert, deliver, and end: for cron
    #[arg(long)]
    once: bool,
    /// Say nothing but warnings and errors
    #[arg(short, long)]
    quiet: bool,
    /// Say more
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    start_log(if args.quiet {
        "warn"
    } else if args.verbose {
        "debug"
    } else {
        "info"
    });
    let config = args.config.load()?;
    if config.sources.is_empty() {
        return Err(nothing_to_watch());
    }
    let options = Options { once: args.once, all_is_live: false };
    let daemon = Daemon::prepare(config.clone(), options, OtelVariables::read(environment))?;
    if !args.quiet {
        introduce(&config, &daemon, args.once);
    }
    stop_on_signals(daemon.stop_handle())?;
    let summary = daemon.run()?;
    Ok(conclude(args, &summary))
}

fn nothing_to_watch() -> anyhow::Error {
    Refused::config(format!(
        "there is no log to watch: none of {} can be read by this user; name your logs in a \
         [[source]] of a configuration (`gatewatch run --config FILE`), or let this user read \
         them (on Debian: usermod -aG adm USER)",
        USUAL_LOGS.join(", ")
    ))
}

fn introduce(config: &Config, daemon: &Daemon, once: bool) {
    for source in &config.sources {
        match &source.listen {
            Some(address) if once => {
                say(&format!("not listening on {address}: `--once` ends at once"))
            }
            Some(address) => say(&format!("listening {address}")),
            None if source.is_stdin() => say("watching standard input"),
            None => say(&format!("watching {}", source.path)),
        }
    }
    say(&format!("state    {}", config.store.path.display()));
    if let Some(address) = daemon.address() {
        say(&format!("metrics  http://{address}/metrics   health http://{address}/readyz"));
    }
    say(&format!("alerts   {}", config.alert_log_path().display()));
    match (&config.mail.smtp, &config.mail.directory) {
        (Some(_), _) => say(&format!("mails    to {}", config.mail.to.join(", "))),
        (None, Some(directory)) => say(&format!("mails    as files in {}", directory.display())),
        (None, None) => say("mails    none: [mail] is not configured"),
    }
}

fn conclude(args: &Args, summary: &Summary) -> u8 {
    for one in &summary.undelivered {
        say(&format!("gatewatch: not delivered yet, tried again at the next run: {one}"));
    }
    if !args.quiet {
        let Summary { lines, alerts, .. } = summary;
        say(&format!("{lines} lines read, {alerts} alerts raised or resolved"));
    }
    // Cron mails what a run complains of. A daemon that was told to stop did what it was told.
    let is_done = summary.undelivered.is_empty() || !args.once;
    if is_done { exit::OK } else { exit::UNAVAILABLE }
}

/// Messages go to standard error, where systemd and cron pick them up.
pub(super) fn start_log(level: &str) {
    let filter = EnvFilter::try_new(environment("GATEWATCH_LOG").unwrap_or_else(|| level.into()));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(level));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
        && environment("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // A second start in one process (a test) keeps the first.
    drop(log.with_writer(std::io::stderr).with_ansi(colour).try_init());
}

/// SIGTERM and SIGINT drain and stop; SIGHUP is taken note of.
pub(super) fn stop_on_signals(stop: Stop) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(guard);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    _ = hang_up.recv() => {
                        tracing::warn!("SIGHUP: restart gatewatch to read a changed configuration");
                    }
                }
            }
            tracing::info!("stopping: what is stored is delivered first");
            stop.stop();
            // A second signal ends it at once.
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
            std::process::exit(130);
        });
    })?;
    Ok(())
}
