//! What a rule says when it fires: an alert, complete in itself.
//!
//! An alert is decided once and then travels as it is: into the store, the alert log, the mail,
//! the report and the SIEM. Its id depends only on the rule, the key and the start of the window,
//! so a replay of the same lines makes the same alert.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::units::{Period, Timestamp};

/// How bad it is; decides who is told and when.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    Info,
    /// A line in the weekly report.
    Low,
    /// Worth a look today.
    #[default]
    Medium,
    /// Worth a mail at once.
    High,
    /// Somebody may be inside.
    Critical,
}

impl Severity {
    /// All severities, least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The next worse one.
    pub fn worse(self) -> Self {
        match self {
            Self::Info => Self::Low,
            Self::Low => Self::Medium,
            Self::Medium => Self::High,
            Self::High | Self::Critical => Self::Critical,
        }
    }

    /// The name in rules, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// `event.severity` and `event.risk_score`: 1, 21, 47, 73, 99.
    pub fn score(self) -> u8 {
        match self {
            Self::Info => 1,
            Self::Low => 21,
            Self::Medium => 47,
            Self::High => 73,
            Self::Critical => 99,
        }
    }

    /// Severity in syslog's numbers: 6 to 2.
    pub fn syslog(self) -> u8 {
        match self {
            Self::Info => 6,
            Self::Low => 5,
            Self::Medium => 4,
            Self::High => 3,
            Self::Critical => 2,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A step in the life of an alert.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The rule fired; it stays silent about this key until it is resolved.
    #[default]
    Firing,
    /// It has become ten times, or a hundred times, as much as made the rule fire.
    Escalated,
    /// Nothing more happened for the rule's `resolve_after`.
    Resolved,
}

impl AlertState {
    /// The name in the alert log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
        }
    }
}

/// How an alert has grown.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Escalation {
    /// 1 from ten times its limit on, 2 from a hundred times on.
    pub step: u8,
    /// Its severity before this step.
    pub from: Severity,
}

/// What a transition of an alert means for its incident.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It is the first alert.
    Opened,
    /// It is one more, and no worse.
    Joined,
    /// It is worse than those before: more severe, or the first one that came through.
    Worsened,
    /// It is over, and others are not.
    Continued,
    /// It was the last that was not over.
    Closed,
    /// Nothing new: it still goes on, and somebody wanted to be told so.
    Reminded,
}

impl Step {
    /// The name in the alert log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Joined => "joined",
            Self::Worsened => "worsened",
            Self::Continued => "continued",
            Self::Closed => "closed",
            Self::Reminded => "reminded",
        }
    }

    /// It is told to people at once.
    pub fn is_news(self) -> bool {
        matches!(self, Self::Opened | Self::Worsened | Self::Closed | Self::Reminded)
    }
}

/// The incident that an alert is a part of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Part {
    /// Id of the incident: that of its first alert.
    pub incident: String,
    /// What this transition means for it.
    pub step: Step,
    /// The worst of its alerts.
    pub severity: Severity,
    /// The worst of those before this transition; none where there was none.
    pub before: Option<Severity>,
    /// Alerts up to now.
    pub alerts: u32,
    /// When the first of them fired.
    pub opened: Timestamp,
    /// Titles of its rules, at most five.
    pub titles: Vec<String>,
    /// Which incident of the same client this is within seven days, from the third on; else 0.
    pub repeats: u32,
}

/// The rule that fired, as far as a reader needs it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RuleInfo {
    /// `auth.bruteforce.client`.
    pub id: String,
    /// Grows with each change of the rule.
    pub version: u32,
    /// One line for people.
    pub title: String,
    /// `authentication`, `web`, `threat` or `ops`.
    pub category: String,
    /// ATT&CK technique ids, such as `T1110`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attack: Vec<String>,
    /// What to do, one step an entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
}

/// A log line that made the rule fire.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Evidence {
    /// When it happened.
    pub time: Timestamp,
    /// File that holds the line; the source's name for inputs without files.
    pub file: String,
    /// Offset of its first byte.
    pub offset: u64,
    /// The event's id, by which a SIEM finds it.
    pub event_id: String,
    /// The line, secrets in its query redacted, at most 512 bytes, in UTF-8 with `\xHH` for other
    /// bytes. Still hostile text: escape it for the output at hand.
    pub line: String,
}

/// A short code for the id of an alert: its first eight digits, as `37C2-B9CD`.
pub fn code_of(id: &str) -> String {
    let digits: Vec<char> = id.chars().take(8).map(|c| c.to_ascii_uppercase()).collect();
    let (head, tail) = digits.split_at(digits.len().min(4));
    format!("{}-{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
}

/// One transition of one alert.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Alert {
    /// 32 hex digits; the same for all transitions of the alert.
    pub id: String,
    /// What happened to it.
    pub state: AlertState,
    /// The rule.
    pub rule: RuleInfo,
    /// How bad it is.
    pub severity: Severity,
    /// When this transition happened, by the log's clock.
    pub at: Timestamp,
    /// Field names and values that the rule groups by, such as `client.net` = `203.0.113.7`.
    pub group: Vec<(String, String)>,
    /// One sentence: what, who, how many, in how long.
    pub summary: String,
    /// Events counted since the window began.
    pub count: u64,
    /// Different values counted, for rules that count those.
    pub distinct: Option<u64>,
    /// The limit that was reached.
    pub threshold: u64,
    /// Length of the window.
    pub window: Period,
    /// First event counted.
    pub first_event: Timestamp,
    /// Last event counted.
    pub last_event: Timestamp,
    /// Client addresses seen, first come first, at most ten.
    pub addresses: Vec<IpAddr>,
    /// Login names seen, at most ten. Hostile text.
    pub users: Vec<String>,
    /// Sites seen, at most ten. Hostile text.
    pub sites: Vec<String>,
    /// Paths seen, at most ten. Hostile text.
    pub paths: Vec<String>,
    /// Events by status; 0 stands for lines without one.
    pub statuses: BTreeMap<u16, u64>,
    /// Log-ins that succeeded for the same key since the window began.
    pub successes: u64,
    /// Up to ten lines.
    pub evidence: Vec<Evidence>,
    /// How it has grown since it fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
    /// The incident that it is a part of; none before somebody has asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The maintenance during which it was raised: recorded, mailed to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_by: Option<String>,
    /// Users who logged in from its clients in ninety days: whom a block would lock out. None where
    /// nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members_90d: Option<u32>,
    /// Raised while old lines were read at start: shown in the report, mailed only in a summary.
    #[serde(default)]
    pub backfill: bool,
    /// A list of indicators asks that it is not passed on: no sink sends it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stays: bool,
}

impl Alert {
    /// A short code for people to type: the first eight digits of the id, as `37C2-B9CD`.
    pub fn code(&self) -> String {
        code_of(&self.id)
    }

    /// The name of this transition, which an alert goes through once.
    pub fn transition(&self) -> String {
        match (self.state, self.escalation) {
            (AlertState::Escalated, Some(escalation)) => format!("escalated-{}", escalation.step),
            (state, _) => state.name().to_owned(),
        }
    }

    /// The value of group field `name`.
    pub fn group_value(&self, name: &str) -> Option<&str> {
        self.group.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}
