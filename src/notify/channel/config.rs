//! Settings of the alert channels: the `[[channel]]` tables and `[heartbeat]`.
//!
//! Invariant: no secret stands in the configuration, so none can be printed with it. Each lies in a
//! file that is named here or handed over by systemd, and is read when it is needed.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{CHANNELS, ChannelEntry};
use crate::engine::detect::rule::Rule;
use crate::engine::detect::{Alert, AlertState, Severity, pattern_covers};
use crate::sink::{TlsConfig, Url};
use crate::store::NewMessage;
use crate::units::{Period, Timestamp};

/// Alerts from old lines are collected for as long before people are told.
const BACKFILL_WAIT: Period = Period::from_secs(60);

/// Characters of a channel's name: it stands in metrics and in names of credentials.
const NAME_MAX: usize = 40;

/// The type of a channel.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum ChannelType {
    /// The alert as JSON, by POST, signed.
    Webhook,
    /// Prometheus' Alertmanager.
    Alertmanager,
    /// An incoming webhook of Slack.
    Slack,
    /// An incoming webhook of Mattermost.
    Mattermost,
    /// A workflow of Teams.
    Teams,
    /// A topic of ntfy.
    Ntfy,
    /// An application of Gotify.
    Gotify,
    /// A service of PagerDuty.
    Pagerduty,
    /// A program of the operator's.
    Exec,
    /// A file with one alert a line.
    File,
}

impl ChannelType {
    /// Its row.
    pub fn entry(self) -> &'static ChannelEntry {
        &CHANNELS[self as usize]
    }
}

/// `[[channel]]`: who is told about alerts besides the readers of mails.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// What the receiver is.
    #[serde(rename = "type")]
    pub kind: ChannelType,

    /// Name in messages and metrics; what waits belongs to it.
    pub name: String,

    /// Address of the receiver.
    #[serde(default)]
    pub url: Option<String>,

    /// File with the address, where it is a secret.
    #[serde(default)]
    pub url_file: Option<PathBuf>,

    /// Program and arguments; started without a shell.
    #[serde(default)]
    pub command: Vec<String>,

    /// File to append to.
    #[serde(default)]
    pub path: Option<PathBuf>,

    /// File with the token by which the receiver knows us.
    #[serde(default)]
    pub token_file: Option<PathBuf>,

    /// File with the key that signs each request.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,

    /// File with the integration key of a service.
    #[serde(default)]
    pub routing_key_file: Option<PathBuf>,

    /// Least severity that is told.
    #[serde(default)]
    pub min_severity: Option<Severity>,

    /// Rules whose alerts are told: ids, or their beginnings followed by `*`.
    #[serde(default = "all_rules")]
    pub rules: Vec<String>,

    /// Tell when an alert is over.
    #[serde(default = "yes")]
    pub resolved: bool,

    /// How long the receiver may take.
    #[serde(default = "half_a_minute")]
    pub timeout: Period,

    /// How long an alert waits for a receiver that does not take it.
    #[serde(default = "three_days")]
    pub retry_for: Period,

    /// Whom to believe, and who we are.
    #[serde(default)]
    pub tls: TlsConfig,
}

fn all_rules() -> Vec<String> {
    vec!["*".to_owned()]
}

fn yes() -> bool {
    true
}

fn half_a_minute() -> Period {
    Period::from_secs(30)
}

fn three_days() -> Period {
    Period::from_secs(72 * 3600)
}

/// A setting that cannot work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChannelProblem {
    /// Key in the table.
    pub key: &'static str,
    /// What is wrong with it.
    pub reason: String,
    /// What to write instead.
    pub hint: &'static str,
}

impl ChannelConfig {
    /// Everything that is wrong; asks neither disk nor network.
    pub fn check(&self, rules: &[Rule]) -> Vec<ChannelProblem> {
        let mut problems = Vec::new();
        let mut note = |key, reason: String, hint| {
            problems.push(ChannelProblem { key, reason, hint });
        };
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if self.name.is_empty() || NAME_MAX < self.name.len() || !self.name.chars().all(valid) {
            let hint = "write a-z, 0-9, `-` and `_`, at most 40 of them";
            note("name", format!("`{}` is no name for a channel", self.name), hint);
        }
        if matches!(self.name.as_str(), "mail" | "heartbeat") {
            note("name", format!("`{}` is taken", self.name), "take another one");
        }
        self.check_keys(&mut note);
        self.check_address(&mut note);
        if self.timeout < Period::from_secs(1) || Period::from_secs(600) < self.timeout {
            note(
                "timeout",
                format!("`{}` is no sensible wait", self.timeout),
                "write `1s` to `10m`",
            );
        }
        if self.retry_for < Period::from_secs(60) {
            let reason = format!("`{}` is too short for a retry", self.retry_for);
            note("retry_for", reason, "write a minute or more; the default is `72h`");
        }
        let unknown = |pattern: &&String| {
            let own = pattern.starts_with("ops.");
            !own && !rules.iter().any(|rule| pattern_covers(pattern, &rule.id))
        };
        if let Some(pattern) = self.rules.iter().find(unknown) {
            let hint = "`gatewatch rules list` names them; `*` stands for all";
            note("rules", format!("`{pattern}` is the id of no rule that is in force"), hint);
        }
        if self.rules.is_empty() {
            note("rules", "nothing would be told".to_owned(), "write `[\"*\"]` for all rules");
        }
        problems
    }

    /// The keys that belong to one type or another.
    fn check_keys(&self, note: &mut impl FnMut(&'static str, String, &'static str)) {
        let written = [
            ("url", self.url.is_some()),
            ("url_file", self.url_file.is_some()),
            ("command", !self.command.is_empty()),
            ("path", self.path.is_some()),
            ("token_file", self.token_file.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("routing_key_file", self.routing_key_file.is_some()),
            ("tls", self.tls != TlsConfig::default()),
        ];
        let entry = self.kind.entry();
        for (key, _) in written.iter().filter(|(key, set)| *set && !entry.keys.contains(key)) {
            let hint = match (*key, entry.keys.contains(&"url_file")) {
                ("url", true) => {
                    "its address is a secret: write it into a file, and that into `url_file`"
                }
                _ => "take it out",
            };
            note(key, format!("a channel of type `{}` has no such setting", entry.kind), hint);
        }
        if self.url.is_some() && self.url_file.is_some() {
            note("url_file", "set together with `url`".to_owned(), "keep one of them");
        }
        match self.kind {
            ChannelType::Exec if self.command.is_empty() => {
                note(
                    "command",
                    "missing".to_owned(),
                    "write `[\"/path/of/program\", \"argument\"]`",
                );
            }
            ChannelType::Exec if self.command[0].is_empty() => {
                note("command", "its first entry is no program".to_owned(), "name a program");
            }
            ChannelType::File if self.path.is_none() => {
                note("path", "missing".to_owned(), "write the path of a file");
            }
            _ => (),
        }
        if let Some((key, reason)) = self.tls.complaint() {
            note("tls", format!("`{key}`: {reason}"), "");
        }
    }

    fn check_address(&self, note: &mut impl FnMut(&'static str, String, &'static str)) {
        let entry = self.kind.entry();
        if entry.keys.contains(&"url")
            && self.url.is_none()
            && self.url_file.is_none()
            && entry.default_url.is_none()
        {
            note("url", "missing".to_owned(), "write https://host:port/path");
        }
        let Some(Err(error)) = self.url.as_deref().map(Url::with_secret_path) else { return };
        note("url", error.to_string(), "");
    }

    /// The message about `alert`, for the transaction that stores it. None where this channel does
    /// not tell it: the severity is too low, the rule is not chosen, there is maintenance, or it is
    /// the end of an alert from old lines.
    pub fn enqueue(&self, alert: &Alert, now: Timestamp) -> Option<NewMessage> {
        let entry = self.kind.entry();
        let over = alert.state == AlertState::Resolved;
        // An alert that is repeated while it is open is told by that, if it is open still.
        let in_time = !(alert.backfill && (over || entry.repeats));
        // People hear of an incident, programs of each alert in it.
        let is_news = alert.part.as_ref().is_none_or(|part| part.step.is_news());
        let fits = in_time && (is_news || !entry.for_people) && (self.resolved || !over);
        (fits && self.wants(alert)).then(|| NewMessage {
            due: match alert.backfill && entry.for_people {
                true => now.plus(BACKFILL_WAIT),
                false => now,
            },
            ..self.message(alert, now)
        })
    }

    /// The message about `alert`, wanted or not.
    pub(super) fn message(&self, alert: &Alert, now: Timestamp) -> NewMessage {
        NewMessage {
            channel: self.name.clone(),
            alert_id: alert.id.clone(),
            transition: alert.transition(),
            due: now,
            body: serde_json::to_string(alert).expect("an alert is JSON"),
        }
    }

    /// People read it, so they are told of incidents, and can have enough of one.
    pub fn is_for_people(&self) -> bool {
        let entry = self.kind.entry();
        entry.for_people && !entry.closes
    }

    /// The least severity that is told.
    pub fn least_severity(&self) -> Severity {
        self.min_severity.unwrap_or_else(|| self.kind.entry().min_severity)
    }

    /// This channel is to tell `alert`, as far as its severity and rule go.
    pub(super) fn wants(&self, alert: &Alert) -> bool {
        // The end of an incident is as severe as the worst of it.
        let for_people = self.kind.entry().for_people && alert.state == AlertState::Resolved;
        let whole = alert.part.as_ref().filter(|_| for_people).map(|part| part.severity);
        let severity = whole.unwrap_or(alert.severity);
        alert.muted_by.is_none()
            && self.least_severity() <= severity
            && self.chooses(&alert.rule.id)
    }

    /// Its receiver is asked by HTTP.
    pub(super) fn is_http(&self) -> bool {
        !matches!(self.kind, ChannelType::Exec | ChannelType::File)
    }

    /// The rule `id` is chosen.
    pub(super) fn chooses(&self, id: &str) -> bool {
        self.rules.iter().any(|pattern| pattern_covers(pattern, id))
    }

    /// The file of a secret: the one that is named, else the systemd credential
    /// `channel-NAME-WHAT`, where there is one.
    pub(super) fn secret_file(&self, what: &str, credentials: Option<&Path>) -> Option<PathBuf> {
        let named = match what {
            "url" => &self.url_file,
            "token" => &self.token_file,
            "secret" => &self.secret_file,
            _ => &self.routing_key_file,
        };
        let credential = credentials.map(|dir| dir.join(format!("channel-{}-{what}", self.name)));
        named.clone().or_else(|| credential.filter(|file| file.exists()))
    }
}

/// `[heartbeat]`: an address of the operator's choice that is asked for as long as lines are read.
/// Whoever is behind it tells people when that ends.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct HeartbeatConfig {
    /// The address.
    pub url: Option<String>,
    /// File with the address, where it is a secret.
    pub url_file: Option<PathBuf>,
    /// How often.
    pub every: Period,
    /// `GET` or `POST`.
    pub method: HeartbeatMethod,
    /// Whom to believe, and who we are.
    pub tls: TlsConfig,
}

/// How the address is asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
pub enum HeartbeatMethod {
    /// GET
    #[default]
    Get,
    /// POST, without a body.
    Post,
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            every: Period::from_secs(60),
            method: HeartbeatMethod::Get,
            tls: TlsConfig::default(),
        }
    }
}

impl HeartbeatConfig {
    /// There is an address.
    pub fn is_enabled(&self) -> bool {
        self.url.is_some() || self.url_file.is_some()
    }

    /// Everything that is wrong.
    pub fn check(&self) -> Vec<ChannelProblem> {
        let mut problems = Vec::new();
        let mut note = |key, reason: String, hint| {
            problems.push(ChannelProblem { key, reason, hint });
        };
        if self.url.is_some() && self.url_file.is_some() {
            note("url_file", "set together with `url`".to_owned(), "keep one of them");
        }
        if let Some(Err(error)) = self.url.as_deref().map(Url::with_secret_path) {
            note("url", error.to_string(), "");
        }
        if self.every < Period::from_secs(10) || Period::from_secs(86_400) < self.every {
            note("every", format!("`{}` is no sensible pause", self.every), "write `10s` to `1d`");
        }
        if let Some((key, reason)) = self.tls.complaint() {
            note("tls", format!("`{key}`: {reason}"), "");
        }
        problems
    }
}
