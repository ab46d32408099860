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
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The rule fired; it stays silent about this key until it is resolved.
    Firing,
    /// Nothing more happened for the rule's `resolve_after`.
    Resolved,
}

impl AlertState {
    /// The name in the alert log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
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

/// One transition of one alert.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
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
    /// The maintenance during which it was raised: recorded, mailed to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted_by: Option<String>,
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
        let digits: Vec<char> = self.id.chars().take(8).map(|c| c.to_ascii_uppercase()).collect();
        let (head, tail) = digits.split_at(digits.len().min(4));
        format!("{}-{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
    }

    /// The value of group field `name`.
    pub fn group_value(&self, name: &str) -> Option<&str> {
        self.group.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}
