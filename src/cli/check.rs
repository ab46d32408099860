//! `gatewatch check`: is the configuration sound, and does it fit this machine?

use std::path::Path;
use std::process::Stdio;

use anyhow::Result;

use super::config::ConfigArgs;
use super::environment;
use super::exit;
use super::output::Output;
use super::rules::told;
use crate::config::{Config, read_feed};
use crate::daemon::credentials;
use crate::engine::detect::sigma::State;
use crate::engine::feed::FeedConfig;
use crate::escape::visible;
use crate::io::{Chance as _, Clock as _, Seeded, SystemClock};
use crate::notify::channel::{ChannelConfig, channel_problem};
use crate::sink::{AnySink, KeyError, OtelVariables, SinkConfig, SinkContext};
use crate::source::SourceConfig;
use crate::source::glob::{Listings, Pattern};
use crate::source::journal::{journal_problem, journalctl_missing};
use crate::source::listen::check_files;
use crate::units::Period;

/// Reads the configuration and says what is wrong with it, all at once; then looks whether the
/// logs can be read and the state can be written.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "validate")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Look at files only: nothing is resolved or connected (nothing else is done as yet)
    #[arg(long)]
    no_network: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load()?;
    let mut out = Output::new();
    match config.files.as_slice() {
        [] => out.line("no configuration file: the built-in defaults are used")?,
        files => {
            for file in files {
                out.line(&format!("read {}", file.display()))?;
            }
        }
    }
    let mut sound = true;
    for source in &config.sources {
        sound &= look_at(source, &mut out)?;
    }
    if config.sources.is_empty() {
        out.line("source: none; add a [[source]] with the path of a log")?;
        sound = false;
    }
    for sink in &config.sinks {
        sound &= look_at_key(sink, &mut out)?;
        sound &= look_at_tls(sink, &mut out)?;
    }
    for feed in &config.feeds {
        sound &= look_at_feed(feed, &mut out)?;
    }
    for channel in &config.channels {
        sound &= look_at_channel(channel, &mut out)?;
    }
    sound &= look_at_state(&config, &mut out)?;
    for entry in config.rule_report.iter().filter(|entry| entry.state != State::Loaded) {
        out.line(&format!("rule {}", visible(&told(entry))))?;
    }
    let rules = config.rules.len();
    out.line(&format!("{rules} rules, {} sinks", config.sinks.len()))?;
    out.line(if sound { "the configuration can be used" } else { "see the lines marked !" })?;
    out.flush()?;
    Ok(if sound { exit::OK } else { exit::FOUND })
}

fn look_at(source: &SourceConfig, out: &mut Output) -> Result<bool> {
    if source.is_stdin() {
        out.line("source -: standard input")?;
        return Ok(true);
    }
    if source.is_journal() {
        let output = source.end_of_journal().stdin(Stdio::null()).output();
        let problem = match output {
            Err(error) => Some(journalctl_missing(&error)),
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Some(journal_problem(&said, &output.status.to_string()))
            }
        };
        let name = &source.path;
        match &problem {
            Some(problem) => out.line(&format!("! source {name}: {}", visible(problem)))?,
            None => out.line(&format!("source {name}: can be read"))?,
        }
        return Ok(problem.is_none());
    }
    if let Ok(Some(endpoint)) = source.endpoint() {
        let address = source.place();
        let files = check_files(&endpoint);
        match &files {
            Ok(()) => out.line(&format!("source {address}: listens when it runs"))?,
            Err(problem) => out.line(&format!("! source {address}: {problem}"))?,
        }
        return Ok(files.is_ok());
    }
    let Ok(pattern) = Pattern::new(&source.path) else { return Ok(false) };
    let paths = pattern.walk(&mut Listings::default());
    if paths.is_empty() {
        out.line(&format!("! source {}: no file matches yet", source.path))?;
        return Ok(false);
    }
    let mut sound = true;
    for path in &paths {
        if let Err(error) = std::fs::File::open(path) {
            let fix = "let the user that runs gatewatch read it (on Debian: usermod -aG adm USER)";
            out.line(&format!("! source {}: {}: {error}; {fix}", source.path, path.display()))?;
            sound = false;
        }
    }
    if sound {
        out.line(&format!("source {}: {} files", source.path, paths.len()))?;
    }
    Ok(sound)
}

/// A list of indicators: read, and how old it is.
fn look_at_feed(config: &FeedConfig, out: &mut Output) -> Result<bool> {
    let name = visible(&config.id());
    let feed = match read_feed(config, Seeded::from_machine().next_u64()) {
        Ok(feed) => feed,
        Err(problem) => {
            out.line(&format!("! list {name}: {}", visible(&problem.to_string())))?;
            return Ok(false);
        }
    };
    let age = SystemClock.now().since(feed.as_of());
    let is_stale = feed.is_stale(SystemClock.now());
    let mark = if is_stale { "! " } else { "" };
    let entries = match feed.report().complaint() {
        Some(complaint) => visible(&complaint),
        None => format!("{} entries are in force", feed.report().taken),
    };
    let age = Period::from_secs(age.secs() / 3600 * 3600);
    let old = if is_stale { format!(", more than {}", config.max_age) } else { String::new() };
    out.line(&format!("{mark}list {name}: written {age} ago{old}; {entries}"))?;
    Ok(!is_stale)
}

/// The key of a sink's tokens.
fn look_at_key(config: &SinkConfig, out: &mut Output) -> Result<bool> {
    let context = SinkContext { credentials: credentials(), ..SinkContext::default() };
    let ready = AnySink::new(config, &context).ready();
    if let Err(problem) = &ready {
        out.line(&format!("! sink {}: {}", visible(&config.name()), words(problem)))?;
    }
    Ok(ready.is_ok())
}

/// The certificates and keys of a sink.
fn look_at_tls(config: &SinkConfig, out: &mut Output) -> Result<bool> {
    let files = config.check_files(&OtelVariables::read(environment), SystemClock.now());
    if let Err(problem) = &files {
        let problem = visible(&problem.to_string());
        out.line(&format!("! sink {}: {problem}", visible(&config.name())))?;
    }
    Ok(files.is_ok())
}

/// The files and the program of a channel.
fn look_at_channel(config: &ChannelConfig, out: &mut Output) -> Result<bool> {
    let ready = channel_problem(config, credentials().as_deref(), SystemClock.now());
    match &ready {
        Ok(()) => out.line(&format!("channel {}: {}", config.name, config.kind.entry().summary))?,
        Err(problem) => out.line(&format!("! channel {}: {}", config.name, visible(problem)))?,
    }
    Ok(ready.is_ok())
}

fn words(problem: &KeyError) -> String {
    let mut words = problem.to_string();
    if let Some(source) = std::error::Error::source(problem) {
        words.push_str(&format!(": {source}"));
    }
    words
}

fn look_at_state(config: &Config, out: &mut Output) -> Result<bool> {
    let path = &config.store.path;
    // The nearest folder that exists is where the store's own would be made.
    let existing = path.ancestors().find(|folder| folder.exists());
    let folder = existing.filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let writable = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    if writable {
        out.line(&format!("state {}: can be written", path.display()))?;
    } else {
        let shown = folder.display();
        out.line(&format!("! state {}: this user may not write to {shown}", path.display()))?;
    }
    Ok(writable)
}
