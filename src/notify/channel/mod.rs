//! Alert channels besides mail: webhook, Alertmanager, chats, phones, a pager, a program, a file.
//!
//! ```text
//!  alert ─▶ ChannelConfig::enqueue ─▶ store's outbox ─▶ Courier (next: what leaves when)
//!                                                          │ Matter
//!                      render: a row of CHANNELS ◀─────────┤
//!                      post (HTTP), exec, file  ◀──────────┘ Parcel
//! ```
//!
//! To add a channel: a file with its renderer, a variant of [`ChannelType`], a row in [`CHANNELS`].
//!
//! Invariant: a message is in the outbox before anybody is told, and leaves it when its receiver has
//! taken it, has refused it for good, or has not taken it for `retry_for`. Text from logs is escaped
//! by the renderer that knows its receiver's syntax.

mod alertmanager;
mod config;
mod courier;
mod exec;
mod file;
mod gotify;
mod heartbeat;
mod mattermost;
mod next;
mod ntfy;
mod pagerduty;
mod post;
mod probe;
mod slack;
mod teams;
mod told;
mod watch;
mod webhook;

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tests;

pub use config::{ChannelConfig, ChannelProblem, ChannelType, HeartbeatConfig, HeartbeatMethod};
pub use courier::{ChannelSetup, ChannelStatus, Courier};
pub use heartbeat::Heartbeat;
pub use probe::{channel_problem, test_channel};
pub use watch::{MailState, MailWatch};

use std::path::PathBuf;

use self::told::{Matter, Told};
use super::content::MailContext;
use crate::engine::detect::Severity;
use crate::sink::secret;
use crate::units::{Period, Timestamp};

/// A type of channel, as the manual and the command line know it.
#[derive(Debug)]
pub struct ChannelEntry {
    /// The value of `type`.
    pub kind: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The settings that not every type has.
    pub keys: &'static [&'static str],
    /// Where its receiver is for everybody.
    pub default_url: Option<&'static str>,
    /// People read it at once, so alerts from old lines come together.
    pub for_people: bool,
    /// The secret without which it cannot do: `token` or `routing-key`.
    pub needs_secret: Option<&'static str>,
    /// It is told again and again while an alert is open.
    pub repeats: bool,
    /// What it opens at its receiver's stays open until it is closed.
    pub closes: bool,
    /// It gets the alert as it is, with its lines; the others get words about it.
    pub whole: bool,
    /// What is told where the configuration does not say.
    pub min_severity: Severity,
    /// Writes a message.
    render: fn(&Letter<'_>) -> Result<Parcel, Failure>,
}

/// What most types have in common.
const PLAIN: ChannelEntry = ChannelEntry {
    kind: "",
    summary: "",
    keys: &[],
    default_url: None,
    for_people: false,
    needs_secret: None,
    repeats: false,
    closes: false,
    whole: false,
    min_severity: Severity::Medium,
    render: webhook::render,
};

/// Every type of channel, in the order of [`ChannelType`].
pub const CHANNELS: &[ChannelEntry] = &[
    ChannelEntry {
        kind: "webhook",
        summary: "the alert as JSON by POST, signed by HMAC-SHA-256",
        keys: &["url", "url_file", "token_file", "secret_file", "tls"],
        whole: true,
        render: webhook::render,
        ..PLAIN
    },
    ChannelEntry {
        kind: "alertmanager",
        summary: "Prometheus' Alertmanager, told again each minute while an alert is open",
        keys: &["url", "url_file", "token_file", "tls"],
        repeats: true,
        closes: true,
        render: alertmanager::render,
        ..PLAIN
    },
    ChannelEntry {
        kind: "slack",
        summary: "an incoming webhook of Slack",
        keys: &["url_file", "tls"],
        for_people: true,
        render: slack::render,
        ..PLAIN
    },
    ChannelEntry {
        kind: "mattermost",
        summary: "an incoming webhook of Mattermost",
        keys: &["url_file", "tls"],
        for_people: true,
        render: mattermost::render,
        ..PLAIN
    },
    ChannelEntry {
        kind: "teams",
        summary: "a workflow of Teams that takes Adaptive Cards",
        keys: &["url_file", "tls"],
        for_people: true,
        render: teams::render,
        ..PLAIN
    },
    ChannelEntry {
        kind: "ntfy",
        summary: "a topic of ntfy, for phones",
        keys: &["url", "url_file", "token_file", "tls"],
        for_people: true,
        render: ntfy::render,
        ..PLAIN
    },
    ChannelEntry {
        kind: "gotify",
        summary: "an application of Gotify, for phones",
        keys: &["url", "url_file", "token_file", "tls"],
        for_people: true,
        needs_secret: Some("token"),
        render: gotify::render,
        ..PLAIN
    },
    ChannelEntry {
        kind: "pagerduty",
        summary: "a service of PagerDuty: opens an incident and closes it",
        keys: &["url", "routing_key_file", "tls"],
        default_url: Some("https://events.pagerduty.com/v2/enqueue"),
        for_people: true,
        needs_secret: Some("routing-key"),
        closes: true,
        min_severity: Severity::High,
        render: pagerduty::render,
        ..PLAIN
    },
    ChannelEntry {
        kind: "exec",
        summary: "a program of your own, with the alert as JSON on its standard input",
        keys: &["command"],
        whole: true,
        render: exec::render,
        ..PLAIN
    },
    ChannelEntry {
        kind: "file",
        summary: "a file with one alert as JSON a line",
        keys: &["path"],
        whole: true,
        render: file::render,
        ..PLAIN
    },
];

/// What a renderer knows.
struct Letter<'a> {
    matter: Matter<'a>,
    context: &'a MailContext,
    now: Timestamp,
    /// Path and query of the receiver's address.
    path: &'a str,
    /// The file of the key that this type of channel has besides a token.
    key_file: Option<PathBuf>,
}

impl Letter<'_> {
    /// The words for people.
    fn told(&self) -> Told {
        Told::of(self.matter, self.context, self.now)
    }

    /// The secret of its key file.
    fn key(&self) -> Result<Option<String>, Failure> {
        let read = self.key_file.as_deref().map(secret).transpose();
        read.map_err(|error| Failure::Later { words: error.words(), pause: None })
    }
}

/// A message in its channel's form.
#[derive(Debug, Eq, PartialEq)]
struct Parcel {
    /// Path and query that are asked for.
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Parcel {
    /// JSON for the configured address itself.
    fn json(letter: &Letter<'_>, body: Vec<u8>) -> Self {
        let path = if letter.path.is_empty() { "/" } else { letter.path };
        Self { path: path.to_owned(), headers: Vec::new(), body }
    }
}

/// Why a message was not taken.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Failure {
    /// The receiver is out of reach, or wants to be left alone for a while.
    Later { words: String, pause: Option<Period> },
    /// The receiver takes nothing as things are: somebody has to mend the settings.
    Blocked { words: String },
    /// The receiver never takes this message.
    Refused { words: String },
}

impl Failure {
    fn words(&self) -> &str {
        match self {
            Self::Later { words, .. } | Self::Blocked { words } | Self::Refused { words } => words,
        }
    }
}
