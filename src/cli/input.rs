//! Options about log files that several commands share.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use jiff::tz::TimeZone;

use super::Refused;
use super::files::Plan;
use super::output::say;
use crate::config::{read_feed, read_places};
use crate::engine::enrich::{Enricher, Logins, Proxies};
use crate::engine::feed::{FEEDS_MAX, FeedConfig, FeedSet};
use crate::engine::format::{FORMATS, Format, FormatSet, fields_text};
use crate::escape::visible;
use crate::io::{Chance as _, Clock, Seeded, SystemClock};
use crate::source::{Inputs, find_inputs};

/// How log files are read.
#[derive(Debug, clap::Args)]
pub(super) struct InputArgs {
    /// Log files, plain or compressed, directories of them, or patterns; `-` is standard input,
    /// `journal:` the journal
    #[arg(default_value = "-", hide_default_value = true)]
    pub(super) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) format: FormatArgs,
    /// Threads that parse [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// No colours, also when NO_COLOR is set
    #[arg(long)]
    no_color: bool,
}

/// How lines are understood.
#[derive(Debug, clap::Args)]
pub(super) struct FormatArgs {
    /// Format of the lines: auto, or a name from the list below
    #[arg(long, default_value = "auto", value_name = "NAME")]
    format: String,
    /// Format as the web server's configuration writes it (nginx log_format, Apache LogFormat)
    #[arg(long, value_name = "STRING", conflicts_with = "format")]
    log_format: Option<String>,
    /// What fields are called in lines of JSON or key=value: client=remote_ip,status=code
    #[arg(long, value_name = "FIELD=KEY", value_delimiter = ',', conflicts_with_all = ["format", "log_format"])]
    fields: Vec<String>,
    /// Regular expression with groups named as nginx variables, such as (?P<remote_addr>\S+)
    #[arg(long, value_name = "REGEX", conflicts_with_all = ["format", "log_format", "fields"])]
    pattern: Option<String>,
    /// Time zone of times written without one [default: the machine's]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Proxies whose X-Forwarded-For is believed: networks such as 10.0.0.0/8, or cloudflare,
    /// fastly, private
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    trusted_proxies: Vec<Proxies>,
    /// Paths that ask for a password, such as /members/: a name with a success there is a log-in
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    protected: Vec<String>,
    /// MMDB database that says where an address is; can be given twice, for places and networks
    #[arg(long, value_name = "FILE")]
    geoip: Vec<PathBuf>,
    /// Take user agents apart into program, system and device
    #[arg(long)]
    user_agents: bool,
    /// List of indicators that lines are held against: plain, CSV, STIX 2.1 or MISP; can be given
    /// several times
    #[arg(long, value_name = "FILE")]
    feeds: Vec<PathBuf>,
}

impl InputArgs {
    /// The plan for the files.
    pub(super) fn plan(&self) -> Result<Plan> {
        self.format.plan(&self.files, self.threads.map_or_else(cores, usize::from))
    }

    pub(super) fn enricher(&self) -> Result<Enricher> {
        self.format.enricher()
    }

    pub(super) fn no_color(&self) -> bool {
        self.no_color || super::environment("NO_COLOR").is_some_and(|value| !value.is_empty())
    }
}

impl FormatArgs {
    /// The plan for `files`, parsed by so many threads.
    pub(super) fn plan(&self, files: &[PathBuf], workers: usize) -> Result<Plan> {
        let plan = plan(files, self.definition()?, self.zone()?)?;
        Ok(Plan { workers, ..plan })
    }

    /// `auto`, or a definition of a format set.
    pub(super) fn definition(&self) -> Result<String> {
        if let Some(text) = &self.log_format {
            Format::written(text)?;
            return Ok(format!("written:{text}"));
        }
        if !self.fields.is_empty() {
            let pairs = self.fields.iter().map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            let text = fields_text(pairs);
            Format::fields(&text)?;
            return Ok(format!("fields:{text}"));
        }
        if let Some(pattern) = &self.pattern {
            Format::regex(pattern)?;
            return Ok(format!("regex:{pattern}"));
        }
        if self.format != "auto" {
            FormatSet::from_definition(&self.format)?;
        }
        Ok(self.format.clone())
    }

    pub(super) fn enricher(&self) -> Result<Enricher> {
        let logins = Logins { protected: self.protected.clone(), ..Logins::default() };
        if let Some((key, reason)) = logins.complaint() {
            return Err(Refused::usage(format!("--{key}: {reason}")));
        }
        let places = match self.geoip.as_slice() {
            [] => None,
            files => {
                let places = read_places(files);
                Some(Arc::new(places.map_err(|error| Refused::usage(format!("--geoip: {error}")))?))
            }
        };
        let mut enricher =
            Enricher { logins, places, user_agents: self.user_agents, ..Enricher::default() };
        enricher.trusted_proxies.extend(self.trusted_proxies.iter().flat_map(Proxies::networks));
        if !self.feeds.is_empty() {
            enricher.feeds = Some(self.feeds()?);
        }
        Ok(enricher)
    }

    /// The lists, read; what cannot be read of them is told.
    fn feeds(&self) -> Result<FeedSet> {
        let seed = Seeded::from_machine().next_u64();
        if FEEDS_MAX < self.feeds.len() {
            return Err(Refused::usage(format!("--feeds: {FEEDS_MAX} lists at most")));
        }
        let mut feeds = Vec::new();
        for path in &self.feeds {
            let shown = visible(&path.display().to_string());
            let feed = read_feed(&FeedConfig::of_file(path), seed)
                .map_err(|error| Refused::usage(format!("--feeds: {shown}: {error}")))?;
            if let Some(complaint) = feed.report().complaint() {
                say(&format!("{shown}: {}", visible(&complaint)));
            }
            feeds.push(Arc::new(feed));
        }
        Ok(FeedSet::new(feeds))
    }

    /// The zone of times without one.
    pub(super) fn zone(&self) -> Result<TimeZone> {
        zone(self.timezone.as_deref())
    }
}

/// The table of formats, for `--help`.
pub(super) fn formats_help() -> String {
    let auto = ("auto", "tries all of these and takes the one that reads most");
    let rows = FORMATS.iter().map(|entry| (entry.name, entry.help));
    let width = FORMATS.iter().map(|entry| entry.name.len()).max().unwrap_or_default();
    let mut help = "Formats:\n".to_owned();
    for (name, text) in std::iter::once(auto).chain(rows) {
        help.push_str(&format!("  {name:<width$}  {text}\n"));
    }
    help
}

/// The plan for files of a format, parsed by a thread for each core.
pub(super) fn plan(files: &[PathBuf], format: String, zone: TimeZone) -> Result<Plan> {
    if files.iter().any(|path| path == Path::new("-")) && io::stdin().is_terminal() {
        // Who forgot to name a file should not wonder why nothing happens.
        say("Reading standard input. Type or paste log lines, then Ctrl-D; or name log files.");
    }
    let Inputs { paths, left_out } = find_inputs(files)?;
    if !left_out.is_empty() {
        let names = left_out.iter().map(|path| visible(&path.display().to_string()));
        let names = names.collect::<Vec<_>>().join(", ");
        say(&format!("Left out, for they hold no text that can be read here: {names}"));
    }
    Ok(Plan {
        paths,
        format,
        zone,
        now: SystemClock.now(),
        keep_empty: false,
        host: host(),
        workers: cores(),
        named: None,
    })
}

/// The zone of that name, or the machine's.
pub(super) fn zone(name: Option<&str>) -> Result<TimeZone> {
    match name {
        None => Ok(TimeZone::system()),
        Some(name) => TimeZone::get(name).map_err(|_| {
            let name = visible(name);
            let fix = "write one such as Europe/Berlin or UTC";
            Refused::usage(format!("`{name}` is no time zone; {fix}"))
        }),
    }
}

/// This machine's name.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
