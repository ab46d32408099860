//! The first step: from text to the raw shape of each section.
//!
//! Each section is read by itself, so that a mistake in one does not hide those in the others.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::{
    AlertLogConfig, CalendarConfig, ClientConfig, Config, HostConfig, Problem, RosterConfig,
    RuleFolder, RulesConfig,
};
use crate::engine::detect::rule::{self, Rule, SCALES};
use crate::engine::detect::sigma::Entry;
use crate::engine::detect::{Allow, Circumstances, Maintenance};
use crate::engine::enrich::Logins;
use crate::engine::feed::FeedConfig;
use crate::history::HistoryConfig;
use crate::notify::MailConfig;
use crate::notify::channel::{ChannelConfig, HeartbeatConfig};
use crate::report::{ComplianceConfig, ReportConfig};
use crate::serve::ServeConfig;
use crate::sink::SinkConfig;
use crate::source::{Limits, SourceConfig};
use crate::store::StoreConfig;
use crate::units::nearest;

/// What was written, section by section.
#[derive(Debug, Default)]
pub(super) struct Raw {
    sources: Vec<SourceConfig>,
    sinks: Vec<SinkConfig>,
    channels: Vec<ChannelConfig>,
    heartbeat: Option<HeartbeatConfig>,
    allowed: Vec<Allow>,
    feeds: Vec<FeedConfig>,
    follow: Option<Limits>,
    store: Option<StoreConfig>,
    history: Option<HistoryConfig>,
    mail: Option<MailConfig>,
    alert_log: Option<AlertLogConfig>,
    serve: Option<ServeConfig>,
    report: Option<ReportConfig>,
    client: Option<ClientConfig>,
    logins: Option<Logins>,
    rules: Option<RulesConfig>,
    maintenance: Vec<Maintenance>,
    calendar: Option<CalendarConfig>,
    roster: Option<RosterConfig>,
    compliance: Option<ComplianceConfig>,
    host: Option<HostConfig>,
}

const SECTIONS: &[&str] = &[
    "source",
    "sink",
    "follow",
    "store",
    "history",
    "mail",
    "channel",
    "heartbeat",
    "alert_log",
    "serve",
    "report",
    "client",
    "logins",
    "rules",
    "allow",
    "maintenance",
    "calendar",
    "roster",
    "compliance",
    "feed",
    "host",
];

/// Reads all texts; what cannot be read is a problem, and the rest is still looked at.
pub(super) fn read(texts: &[(PathBuf, String)]) -> (Raw, Vec<Problem>) {
    let mut raw = Raw::default();
    let mut problems = Vec::new();
    for (file, text) in texts {
        let mut reader = Reader { file, text, problems: &mut problems };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            reader.complain(&error, "", 0..0);
        }
        for (key, value) in table.into_inner() {
            reader.section(&key.get_ref().clone(), key.span(), value, &mut raw);
        }
    }
    (raw, problems)
}

struct Reader<'r> {
    file: &'r PathBuf,
    text: &'r str,
    problems: &'r mut Vec<Problem>,
}

impl Reader<'_> {
    fn section<'t>(
        &mut self,
        name: &str,
        at: std::ops::Range<usize>,
        value: Spanned<DeValue<'t>>,
        raw: &mut Raw,
    ) {
        match name {
            "source" => self.list(name, value, &mut raw.sources),
            "sink" => self.list(name, value, &mut raw.sinks),
            "channel" => self.list(name, value, &mut raw.channels),
            "heartbeat" => self.table(name, value, &mut raw.heartbeat),
            "allow" => self.list(name, value, &mut raw.allowed),
            "maintenance" => self.list(name, value, &mut raw.maintenance),
            "calendar" => self.table(name, value, &mut raw.calendar),
            "roster" => self.table(name, value, &mut raw.roster),
            "compliance" => self.table(name, value, &mut raw.compliance),
            "feed" => self.list(name, value, &mut raw.feeds),
            "follow" => self.table(name, value, &mut raw.follow),
            "store" => self.table(name, value, &mut raw.store),
            "history" => self.table(name, value, &mut raw.history),
            "mail" => self.table(name, value, &mut raw.mail),
            "alert_log" => self.table(name, value, &mut raw.alert_log),
            "serve" => self.table(name, value, &mut raw.serve),
            "report" => self.table(name, value, &mut raw.report),
            "client" => self.table(name, value, &mut raw.client),
            "logins" => self.table(name, value, &mut raw.logins),
            "rules" => self.table(name, value, &mut raw.rules),
            "host" => self.table(name, value, &mut raw.host),
            _ => {
                let hint = match nearest(name, SECTIONS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known are {}", SECTIONS.join(", ")),
                };
                let problem = Problem::new(name, "there is no such section", hint);
                self.push(problem, at);
            }
        }
    }

    fn table<T: DeserializeOwned>(
        &mut self,
        name: &str,
        value: Spanned<DeValue<'_>>,
        place: &mut Option<T>,
    ) {
        let at = value.span();
        if place.is_some() {
            let problem = Problem::new(
                name,
                "the section is in two files",
                "keep it in one of them; only sections in two brackets add up, such as [[sink]]",
            );
            self.push(problem, at);
            return;
        }
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(section) => *place = Some(section),
            Err(error) => self.complain(&error, name, at),
        }
    }

    fn list<T: DeserializeOwned>(
        &mut self,
        name: &str,
        value: Spanned<DeValue<'_>>,
        places: &mut Vec<T>,
    ) {
        let at = value.span();
        let DeValue::Array(items) = value.into_inner() else {
            let hint = format!("write it with two brackets: [[{name}]]");
            self.push(Problem::new(name, "there may be several of these", hint), at);
            return;
        };
        for (index, item) in items.into_iter().enumerate() {
            let at = item.span();
            match T::deserialize(ValueDeserializer::from(item)) {
                Ok(one) => places.push(one),
                Err(error) => self.complain(&error, &format!("{name}[{index}]"), at),
            }
        }
    }

    fn complain(&mut self, error: &toml::de::Error, key: &str, section: std::ops::Range<usize>) {
        self.push(Problem::of_toml(error, key), error.span().unwrap_or(section));
    }

    fn push(&mut self, problem: Problem, at: std::ops::Range<usize>) {
        self.problems.push(problem.in_file(self.file, self.text, at.start));
    }
}

impl Raw {
    /// The sections with their defaults; rules are read and joined.
    pub(super) fn into_config(self, files: Vec<PathBuf>, problems: &mut Vec<Problem>) -> Config {
        let (rules, rule_report) = rules_of(&self.rules.unwrap_or_default(), problems);
        let defaults = Config::default();
        let no_source = self.sources.is_empty();
        Config {
            files,
            sources: if no_source { defaults.sources } else { self.sources },
            follow: self.follow.unwrap_or(defaults.follow),
            store: self.store.unwrap_or(defaults.store),
            history: self.history.unwrap_or_default(),
            mail: self.mail.unwrap_or_default(),
            channels: self.channels,
            heartbeat: self.heartbeat.unwrap_or_default(),
            sinks: self.sinks,
            calendar: self.calendar.unwrap_or_default(),
            roster: self.roster.unwrap_or_default(),
            compliance: self.compliance.unwrap_or_default(),
            circumstances: Circumstances {
                allowed: self.allowed,
                maintenance: self.maintenance,
                ..Circumstances::default()
            },
            feeds: self.feeds,
            alert_log: self.alert_log.unwrap_or_default(),
            serve: self.serve.unwrap_or_default(),
            report: self.report.unwrap_or_default(),
            client: self.client.unwrap_or_default(),
            logins: self.logins.unwrap_or_default(),
            places: None,
            host: self.host.unwrap_or_default(),
            rules,
            rule_report,
        }
    }
}

/// The rules in force, and what became of those in folders. A folder is others' work and may hold
/// rules that cannot be used here; those are reported and no mistake of the configuration.
fn rules_of(config: &RulesConfig, problems: &mut Vec<Problem>) -> (Vec<Rule>, Vec<Entry>) {
    let mut rules = rule::builtin();
    let mut add = |rule: Rule| {
        rules.retain(|known: &Rule| known.id != rule.id);
        rules.push(rule);
    };
    for file in &config.files {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                problems.push(Problem::of_file(file, &error));
                continue;
            }
        };
        match rule::parse(&text) {
            Ok(read) => {
                read.into_iter().for_each(&mut add);
            }
            Err(errors) => problems.extend(errors.iter().map(|error| Problem {
                file: Some(file.clone()),
                reason: error.to_string(),
                ..Problem::default()
            })),
        }
    }
    let mut report = Vec::new();
    match RuleFolder::read(&config.folders) {
        Ok(folder) => {
            folder.alert_rules().into_iter().for_each(&mut add);
            report = folder.sigma.report;
        }
        Err((path, error)) => problems.push(Problem {
            key: "rules.folders".to_owned(),
            hint: "name a folder with rules that this user may read".to_owned(),
            ..Problem::of_file(&path, &error)
        }),
    }
    for rule in &rules {
        for id in rule.covered_by.iter().filter(|id| !rules.iter().any(|known| known.id == **id)) {
            let near = nearest(id, rules.iter().map(|rule| rule.id.as_str()));
            let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
            let reason = format!("{}: `covered_by` names `{id}`, which is no rule", rule.id);
            problems.push(Problem::new("rules.files", reason, hint));
        }
    }
    for id in &config.disable {
        if !rules.iter().any(|rule| rule.id == *id) {
            let near = nearest(id, rules.iter().map(|rule| rule.id.as_str()));
            let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
            problems.push(Problem::new("rules.disable", format!("`{id}` is no rule"), hint));
        }
    }
    for (id, factor) in &config.scale {
        match rules.iter_mut().find(|rule| rule.id == *id) {
            Some(rule) => match scaled(rule, *factor) {
                Ok(other) => *rule = other,
                Err((reason, hint)) => problems.push(Problem::new("rules.scale", reason, hint)),
            },
            None => {
                let near = nearest(id, rules.iter().map(|rule| rule.id.as_str()));
                let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
                problems.push(Problem::new("rules.scale", format!("`{id}` is no rule"), hint));
            }
        }
    }
    rules.retain(|rule| !config.disable.contains(&rule.id));
    (rules, report)
}

fn scaled(rule: &Rule, factor: f64) -> Result<Rule, (String, String)> {
    let id = &rule.id;
    if !rule.can_be_scaled() {
        let reason = format!("`{id}` has no number of events or values");
        return Err((reason, "leave it out, or write a rule of your own with its id".to_owned()));
    }
    if !SCALES.contains(&factor) {
        let hint = format!("write a factor from {} to {}", SCALES.start(), SCALES.end());
        return Err((format!("`{id}`: {factor} times its limits is out of reach"), hint));
    }
    Ok(rule.scaled(factor))
}
