//! The configuration: collects the settings that each module defines for itself, and checks them.
//!
//! In two steps: the text is read section by section, so that one mistake does not hide the next;
//! then the values are checked against each other and against the machine. All problems are told
//! at once, each with file, line, key, reason and fix ([`Problem`]). Nobody below this module sees
//! the whole.

mod discover;
mod feeds;
mod problem;
mod read;
mod rules;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::engine::detect::Circumstances;
use crate::engine::detect::rule::{self, Rule};
use crate::engine::detect::sigma::Entry;
use crate::engine::enrich::{Enricher, Logins, Places, Proxies, Roster};
use crate::engine::feed::{FEEDS_MAX, FeedConfig};
use crate::engine::format::{FormatSet, fields_text};
use crate::history::HistoryConfig;
use crate::notify::MailConfig;
use crate::notify::channel::{ChannelConfig, HeartbeatConfig};
use crate::report::compliance::Terms;
use crate::report::{ComplianceConfig, ReportConfig};
use crate::serve::ServeConfig;
use crate::sink::{SinkComplaint, SinkConfig};
use crate::source::journal::JOURNAL_FORMAT;
use crate::source::{Limits, SourceConfig};
use crate::store::StoreConfig;
use crate::units::Day;

pub use discover::{USUAL_LOGS, discover};
pub use feeds::{FeedError, Stamp, read_feed, stamp};
pub use problem::{Problem, line_of};
pub use rules::{RuleFolder, TEST_FILE_END};

/// Where the configuration is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/gatewatch/gatewatch.toml";

/// `[client]`: who a client is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    /// Proxies whose X-Forwarded-For is believed, besides this machine: networks, addresses, or the
    /// name of a list that comes along (`cloudflare`, `fastly`, `private`).
    pub trusted_proxies: Vec<Proxies>,
    /// MMDB databases that say where an address is and whose network it is in.
    pub geoip: Vec<PathBuf>,
    /// Take user agents apart into program, system and device.
    pub user_agents: bool,
}

/// `[alert_log]`: every alert as a JSON line.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct AlertLogConfig {
    /// File to append to; the default is `alerts.jsonl` in the store's directory.
    pub path: Option<PathBuf>,
}

/// `[rules]`: what is looked for.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// Rule files; a rule with the id of a built-in one replaces it.
    pub files: Vec<PathBuf>,
    /// Folders with Sigma rules (`.yml`) and rules of this program (`.toml`), with all below them.
    pub folders: Vec<PathBuf>,
    /// Ids of rules that stay silent.
    pub disable: Vec<String>,
    /// Rules with other limits: all their numbers of events and values times this.
    pub scale: BTreeMap<String, f64>,
}

/// `[calendar]`: days and hours of the organisation.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct CalendarConfig {
    /// Zone of the days and hours of rules and of maintenance; the machine's own when missing.
    pub timezone: Option<String>,
    /// Days on which nobody is missed.
    pub holidays: Vec<Day>,
}

/// `[roster]`: who should log in.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct RosterConfig {
    /// CSV with the columns `user`, `name`, `group` and `exempt_until`; the first is needed.
    pub file: Option<PathBuf>,
}

/// `[host]`: this machine as others know it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// Name in events and mails; the default is the machine's own.
    pub name: Option<String>,
}

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Files the settings were read from; empty for the built-in defaults.
    pub files: Vec<PathBuf>,
    /// `[[source]]`.
    pub sources: Vec<SourceConfig>,
    /// `[follow]`.
    pub follow: Limits,
    /// `[store]`.
    pub store: StoreConfig,
    /// `[history]`.
    pub history: HistoryConfig,
    /// `[mail]`.
    pub mail: MailConfig,
    /// `[[channel]]`.
    pub channels: Vec<ChannelConfig>,
    /// `[heartbeat]`.
    pub heartbeat: HeartbeatConfig,
    /// `[[sink]]`.
    pub sinks: Vec<SinkConfig>,
    /// `[alert_log]`.
    pub alert_log: AlertLogConfig,
    /// `[serve]`.
    pub serve: ServeConfig,
    /// `[report]`.
    pub report: ReportConfig,
    /// `[client]`.
    pub client: ClientConfig,
    /// `[logins]`.
    pub logins: Logins,
    /// The databases of `[client]`, read.
    pub places: Option<Arc<Places>>,
    /// `[host]`.
    pub host: HostConfig,
    /// The rules in force.
    pub rules: Vec<Rule>,
    /// `[calendar]`.
    pub calendar: CalendarConfig,
    /// `[roster]`.
    pub roster: RosterConfig,
    /// `[compliance]`.
    pub compliance: ComplianceConfig,
    /// People, days and exceptions: of `[[allow]]`, `[[maintenance]]`, `[calendar]` and `[roster]`.
    pub circumstances: Circumstances,
    /// Lists of indicators; read by whoever uses them.
    pub feeds: Vec<FeedConfig>,
    /// What became of each rule of `rules.folders`.
    pub rule_report: Vec<Entry>,
}

impl Default for Config {
    /// What runs without a configuration: state and mails under `gatewatch-data`.
    fn default() -> Self {
        let store = StoreConfig::default();
        let mail = MailConfig {
            directory: Some(store.path.join("mail")),
            from: "gatewatch@localhost".to_owned(),
            to: vec!["root@localhost".to_owned()],
            ..MailConfig::default()
        };
        Self {
            files: Vec::new(),
            sources: discover(),
            follow: Limits::default(),
            store,
            history: HistoryConfig::default(),
            mail,
            channels: Vec::new(),
            heartbeat: HeartbeatConfig::default(),
            sinks: Vec::new(),
            alert_log: AlertLogConfig::default(),
            serve: ServeConfig::default(),
            report: ReportConfig::default(),
            client: ClientConfig::default(),
            logins: Logins::default(),
            places: None,
            host: HostConfig::default(),
            rules: rule::builtin(),
            calendar: CalendarConfig::default(),
            roster: RosterConfig::default(),
            compliance: ComplianceConfig::default(),
            circumstances: Circumstances::default(),
            feeds: Vec::new(),
            rule_report: Vec::new(),
        }
    }
}

impl Config {
    /// Reads `path` and, beside it, `conf.d/*.toml` in the order of their names.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        let mut files = vec![path.to_owned()];
        files.extend(fragments(path));
        let mut texts = Vec::new();
        let mut problems = Vec::new();
        for file in files {
            match std::fs::read_to_string(&file) {
                Ok(text) => texts.push((file, text)),
                Err(error) => problems.push(Problem::of_file(&file, &error)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Self::from_texts(&texts)
    }

    /// Reads the settings from texts, named by their files.
    pub fn from_texts(texts: &[(PathBuf, String)]) -> Result<Self, Vec<Problem>> {
        let (raw, mut problems) = read::read(texts);
        let files: Vec<PathBuf> = texts.iter().map(|(file, _)| file.clone()).collect();
        let mut config = raw.into_config(files, &mut problems);
        config.check(&mut problems);
        config.read_places(&mut problems);
        config.read_circumstances(&mut problems);
        problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn check(&self, problems: &mut Vec<Problem>) {
        for (index, source) in self.sources.iter().enumerate() {
            self.check_source(index, source, problems);
        }
        for problem in self.history.check() {
            let key = format!("history.{}", problem.key);
            problems.push(Problem::new(&key, problem.reason, problem.hint));
        }
        for problem in self.mail.check() {
            let key = format!("mail.{}", problem.key);
            problems.push(Problem::new(&key, problem.reason, problem.hint));
        }
        self.check_channels(problems);
        for problem in self.serve.check() {
            let key = format!("serve.{}", problem.key);
            problems.push(Problem::new(&key, problem.reason, problem.hint));
        }
        if let Some((key, reason)) = self.logins.complaint() {
            problems.push(Problem::new(&format!("logins.{key}"), reason, ""));
        }
        if let Err(error) = self.report.zone(TimeZone::UTC) {
            problems.push(Problem::new("report.timezone", error.to_string(), ""));
        }
        if let Some((key, reason, hint)) = self.compliance.complaint() {
            problems.push(Problem::new(&format!("compliance.{key}"), reason, hint));
        }
        for (index, sink) in self.sinks.iter().enumerate() {
            if let Some(SinkComplaint { key, reason }) = sink.complaint() {
                problems.push(Problem::new(&format!("sink[{index}].{key}"), reason, ""));
            }
        }
        for (index, entry) in self.circumstances.allowed.iter().enumerate() {
            if let Some((key, reason)) = entry.complaint(&self.rules) {
                problems.push(Problem::new(&format!("allow[{index}].{key}"), reason, ""));
            }
        }
        for (index, entry) in self.circumstances.maintenance.iter().enumerate() {
            if let Some((key, reason)) = entry.complaint(&self.rules) {
                problems.push(Problem::new(&format!("maintenance[{index}].{key}"), reason, ""));
            }
        }
        self.check_feeds(problems);
        let mut names: Vec<String> = self.sinks.iter().map(SinkConfig::name).collect();
        names.sort_unstable();
        for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
            let reason = format!("two sinks are called `{}`", pair[0]);
            problems.push(Problem::new("sink.name", reason, "give each a `name` of its own"));
        }
    }

    fn check_feeds(&self, problems: &mut Vec<Problem>) {
        for (index, feed) in self.feeds.iter().enumerate() {
            for (key, reason) in feed.complaints() {
                problems.push(Problem::new(&format!("feed[{index}].{key}"), reason, ""));
            }
            if self.feeds[..index].iter().any(|other| other.id() == feed.id()) {
                let reason = format!("two lists are called `{}`", feed.id());
                let key = format!("feed[{index}].name");
                problems.push(Problem::new(&key, reason, "give each a `name` of its own"));
            }
        }
        if FEEDS_MAX < self.feeds.len() {
            let reason = format!("there are more than {FEEDS_MAX} lists");
            problems.push(Problem::new("feed", reason, "put several into one file"));
        }
    }

    fn check_channels(&self, problems: &mut Vec<Problem>) {
        for (index, channel) in self.channels.iter().enumerate() {
            let key = |name: &str| format!("channel[{index}].{name}");
            for problem in channel.check(&self.rules) {
                problems.push(Problem::new(&key(problem.key), problem.reason, problem.hint));
            }
            if self.channels[..index].iter().any(|other| other.name == channel.name) {
                let reason = format!("two channels are called `{}`", channel.name);
                problems.push(Problem::new(&key("name"), reason, "give each a `name` of its own"));
            }
        }
        for problem in self.heartbeat.check() {
            let key = format!("heartbeat.{}", problem.key);
            problems.push(Problem::new(&key, problem.reason, problem.hint));
        }
    }

    fn check_source(&self, index: usize, source: &SourceConfig, problems: &mut Vec<Problem>) {
        let key = |name: &str| format!("source[{index}].{name}");
        if let Err(error) = source.check() {
            problems.push(Problem::new(&key(error.key()), error.to_string(), ""));
        }
        if let Err(error) = FormatSet::from_definition(&definition(source)) {
            let name = match source {
                SourceConfig { log_format: Some(_), .. } => "log_format",
                source if !source.fields.is_empty() => "fields",
                _ => "format",
            };
            problems.push(Problem::new(&key(name), error.to_string(), ""));
        }
        if let Some(zone) = &source.timezone
            && TimeZone::get(zone).is_err()
        {
            let reason = format!("`{zone}` is no time zone");
            let hint = "write a name such as `Europe/Berlin` or `UTC`";
            problems.push(Problem::new(&key("timezone"), reason, hint));
        }
        if source.is_stdin() && self.sources[..index].iter().any(SourceConfig::is_stdin) {
            let reason = "standard input is read by another source already";
            problems.push(Problem::new(&key("path"), reason, "keep one of them"));
        }
        if self.sources[..index].iter().any(|other| other.id() == source.id()) {
            let reason = format!("two sources are called `{}`", source.id());
            problems.push(Problem::new(&key("name"), reason, "give each a `name` of its own"));
        }
    }

    fn read_places(&mut self, problems: &mut Vec<Problem>) {
        if self.client.geoip.is_empty() {
            return;
        }
        match read_places(&self.client.geoip) {
            Ok(places) => self.places = Some(Arc::new(places)),
            Err(complaint) => {
                let hint = "name a file such as GeoLite2-City.mmdb that this user may read";
                problems.push(Problem::new("client.geoip", complaint, hint));
            }
        }
    }

    /// Completes the circumstances: the zone of days, and the people.
    fn read_circumstances(&mut self, problems: &mut Vec<Problem>) {
        let zone = match &self.calendar.timezone {
            None => Ok(TimeZone::system()),
            Some(name) => TimeZone::get(name).map_err(|_| name),
        };
        match zone {
            Ok(zone) => self.circumstances.calendar.zone = zone,
            Err(name) => problems.push(Problem::new(
                "calendar.timezone",
                format!("`{name}` is no time zone"),
                "write a name such as `Europe/Berlin` or `UTC`",
            )),
        }
        self.circumstances.calendar.holidays.clone_from(&self.calendar.holidays);
        let Some(file) = &self.roster.file else { return };
        let read = std::fs::read(file).map_err(|error| error.to_string());
        match read.and_then(|text| Roster::read(&text).map_err(|error| error.to_string())) {
            Ok(roster) => self.circumstances.roster = Some(Arc::new(roster)),
            Err(reason) => problems.push(Problem {
                file: Some(file.clone()),
                ..Problem::new("roster.file", reason, "a CSV file with a column `user`")
            }),
        }
    }

    /// What each line is enriched with.
    pub fn enricher(&self) -> Enricher {
        let mut enricher = Enricher {
            logins: self.logins.clone(),
            places: self.places.clone(),
            roster: self.circumstances.roster.clone(),
            user_agents: self.client.user_agents,
            ..Enricher::default()
        };
        let proxies = self.client.trusted_proxies.iter();
        enricher.trusted_proxies.extend(proxies.flat_map(Proxies::networks));
        enricher
    }

    /// Directory of the archive.
    pub fn history_path(&self) -> PathBuf {
        self.history.directory(&self.store.path)
    }

    /// Who should log in on which day; none without a roster.
    pub fn compliance_terms(&self) -> Option<Terms<'_>> {
        let roster = self.circumstances.roster.as_deref()?;
        Some(Terms { config: &self.compliance, roster, calendar: &self.circumstances.calendar })
    }

    /// File of the alert log.
    pub fn alert_log_path(&self) -> PathBuf {
        let default = || self.store.path.join("alerts.jsonl");
        self.alert_log.path.clone().unwrap_or_else(default)
    }
}

/// The definition of a source's format, with `auto` standing in for its best guess.
pub fn definition(source: &SourceConfig) -> String {
    if !source.fields.is_empty() {
        let fields = source.fields.iter().map(|(field, key)| (field.as_str(), key.as_str()));
        return format!("fields:{}", fields_text(fields));
    }
    match &source.log_format {
        Some(text) => format!("written:{text}"),
        None if source.format.0 == "auto" && source.is_journal() => JOURNAL_FORMAT.to_owned(),
        None if source.format.0 == "auto" => "auto:combined".to_owned(),
        None => source.format.0.clone(),
    }
}

/// `conf.d/*.toml` beside `path`.
fn fragments(path: &Path) -> Vec<PathBuf> {
    let directory = path.parent().unwrap_or_else(|| Path::new(".")).join("conf.d");
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let is_toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    let mut fragments: Vec<PathBuf> = paths.filter(is_toml).collect();
    fragments.sort();
    fragments
}

/// Reads MMDB databases; the complaint names the file that cannot be used.
pub fn read_places(paths: &[PathBuf]) -> Result<Places, String> {
    let mut places = Places::default();
    for path in paths {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        places.add(bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(places)
}

#[cfg(test)]
mod tests;
