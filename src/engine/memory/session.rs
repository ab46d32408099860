//! Lines of sshd that belong together by their process id.
//!
//! Each connection has a process of its own. Its first lines name the client and its last ones
//! often do not, so they take the address that the process was connected from. `Invalid user` is
//! held: where the process ends without a counted `Failed` line, its end counts as one failure.
//!
//! Invariant: a line that names its client keeps it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::recent::Recent;
use super::text;
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, ClientSource, Confidence, Event, EventBatch, Field,
    Kind, Reason,
};
use crate::units::{Period, Timestamp};

/// A process that was silent for longer is another one when its number comes again.
const SILENCE_MAX: Period = Period::from_secs(600);

/// Longest name of a user that is held.
const USER_BYTES_MAX: usize = 64;

/// What is known of one process.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Session {
    #[serde(rename = "t")]
    last: Timestamp,
    #[serde(rename = "a")]
    client: Option<IpAddr>,
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
    /// A failure was counted.
    #[serde(rename = "f", default, skip_serializing_if = "std::ops::Not::not")]
    has_failed: bool,
}

/// A refused name that no line has counted as yet.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Held {
    #[serde(rename = "r")]
    reason: Reason,
    #[serde(rename = "u", with = "text")]
    user: Vec<u8>,
}

/// The row may depend on lines before it or tell something to those behind it.
pub(super) fn concerns(event: &Event<'_>) -> bool {
    event.row().kind == Kind::Auth
        && event.field(Field::Process).is_some_and(|name| name.starts_with(b"sshd"))
}

/// Completes line `index`.
pub(super) fn complete(sessions: &mut Recent<Session>, batch: &mut EventBatch, index: usize) {
    let event = batch.event(index);
    let Some(pid) = event.field(Field::Pid) else { return };
    let host = event.field(Field::Hostname).unwrap_or_default();
    let key = [super::end_of(&event.origin().source), host, pid].join(&0);
    let row = event.row();
    let message = event.field(Field::Message).unwrap_or_default();
    let is_first = message.starts_with(b"Connection from ") || message.starts_with(b"Accepted ");
    let known =
        sessions.get(&key).filter(|known| !is_first && row.time <= known.last.plus(SILENCE_MAX));
    let Some(session) = known else {
        let mut session = Session { last: row.time, ..Session::default() };
        session.learn(&event, message);
        if session.client.is_some() || session.held.is_some() {
            sessions.insert(&key, session);
        }
        return;
    };
    session.last = session.last.max(row.time);
    session.learn(&event, message);
    let verdict = session.verdict(&event);
    let client = session.client.filter(|_| event.field(Field::ClientAddress).is_none());
    if let Some((auth, user)) = verdict {
        if event.field(Field::User).is_none() && !user.is_empty() {
            batch.set_at(index, Field::User, &user);
        }
        batch.row_at(index).auth = Some(auth);
    }
    if let Some(client) = client {
        batch.set_at(index, Field::ClientAddress, client.to_string().as_bytes());
        let row = batch.row_at(index);
        (row.client, row.client_source) = (Some(client), ClientSource::Session);
    }
}

impl Session {
    fn learn(&mut self, event: &Event<'_>, message: &[u8]) {
        let row = event.row();
        // The daemon that listens speaks of the clients of all its children.
        let is_of_the_listener = row.action == Action::RateLimited
            || message.starts_with(b"refused connect from ")
            || message.starts_with(b"Timeout before authentication for connection from ")
            || message.starts_with(b"fatal: Timeout before authentication for connection from ");
        if row.client.is_some() && row.client_source == ClientSource::Peer && !is_of_the_listener {
            self.client = row.client;
        }
        if event.is_failed_login() {
            (self.has_failed, self.held) = (true, None);
        }
        let Some(Auth { reason: Some(reason), .. }) = row.auth else { return };
        let is_refusal =
            matches!(reason, Reason::UnknownUser | Reason::NotAllowed | Reason::AccountLocked);
        let begins = |start: &[u8]| message.starts_with(start);
        let holds = row.action == Action::Login
            && is_refusal
            && (begins(b"Invalid user ") || begins(b"Illegal user ") || begins(b"User "));
        if holds && !self.has_failed && self.held.is_none() {
            let user = event.field(Field::User).unwrap_or_default();
            let user = user[..user.len().min(USER_BYTES_MAX)].to_vec();
            self.held = Some(Held { reason, user });
        }
    }

    /// The line ends the process before anybody was let in: what was held counts now.
    fn verdict(&mut self, event: &Event<'_>) -> Option<(Auth, Vec<u8>)> {
        if event.row().action != Action::PreauthDisconnect {
            return None;
        }
        let Held { reason, user } = self.held.take()?;
        self.has_failed = true;
        let auth = Auth {
            outcome: AuthOutcome::Failure,
            reason: Some(reason),
            method: event.row().auth.map_or(AuthMethod::Other, |auth| auth.method),
            confidence: Confidence::High,
            counted: true,
        };
        Some((auth, user))
    }
}
