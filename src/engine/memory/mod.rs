//! What a line means because of the lines before it.
//!
//! A fold over the lines of all logs in the order in which they are read: [`Memory::complete`] runs
//! on each batch after its parser. It gives sshd's lines the client of their connection
//! (`session`), joins records that span lines (`record`), marks those that nobody of the server seems
//! to have written (`process`), counts a refused log-in once that two logs tell of (`login`), and
//! tells the first request of a user as a log-in (`visit`). It never looks ahead.
//!
//! What a batch was read with is handed out as [`Carried`] and stored beside its lines, so that
//! whoever reads them again, without those before, sees the same events.
//!
//! Invariant: the events of a log do not depend on how it is cut into batches.

mod login;
mod process;
mod recent;
mod record;
mod session;
mod text;
mod visit;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::batch::EventBatch;
use super::enrich::Logins;
use super::format::NGINX_ERROR;
use crate::units::{Period, Timestamp};
use recent::Recent;

/// All that is remembered.
#[derive(Debug)]
pub struct Memory {
    session_gap: Period,
    sessions: Recent<session::Session>,
    records: Recent<record::Record>,
    logins: Recent<login::Waiting>,
    visits: Recent<Timestamp>,
    processes: Recent<process::Processes>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(&Logins::default())
    }
}

/// What a batch was read with: the entries that lines before it have left and lines in it have
/// asked for. Empty for most.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Carried {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sessions: Entries<session::Session>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Entries<record::Record>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logins: Entries<login::Waiting>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    visits: Entries<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    processes: Entries<process::Processes>,
}

type Entries<V> = Vec<(text::Key, V)>;

impl Carried {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.records.is_empty()
            && self.logins.is_empty()
            && self.visits.is_empty()
            && self.processes.is_empty()
    }

    /// As it is stored: nothing for nothing.
    pub fn to_text(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        serde_json::to_string(self).expect("it is made of numbers, texts and lists")
    }

    /// The reverse of [`Carried::to_text`]; what cannot be read is nothing.
    pub fn from_text(text: &str) -> Self {
        if text.is_empty() {
            Self::default()
        } else {
            serde_json::from_str(text).unwrap_or_default()
        }
    }
}

impl Memory {
    /// A memory that tells log-ins as `logins` says.
    pub fn new(logins: &Logins) -> Self {
        Self {
            session_gap: logins.session_gap,
            sessions: Recent::default(),
            records: Recent::default(),
            logins: Recent::default(),
            visits: Recent::default(),
            processes: Recent::default(),
        }
    }

    /// A line of `batch` may depend on lines before it or tell something to those behind it; `own`
    /// is the format of the log itself, as [`Parser::format_name`](super::parse::Parser::format_name)
    /// says it. Where none does, the batch may be passed over, and out of order.
    pub fn concerns(batch: &EventBatch, own: &str) -> bool {
        record::concerns(own)
            || batch.events().any(|event| {
                session::concerns(&event) || login::concerns(&event) || visit::concerns(&event)
            })
    }

    /// Completes the events of `batch`, which follow all those seen before.
    pub fn complete(&mut self, batch: &mut EventBatch, own: &'static str) -> Carried {
        self.sessions.begin();
        self.records.begin();
        self.logins.begin();
        self.visits.begin();
        self.processes.begin();
        let joins = record::concerns(own);
        let file = [&batch.origin.fingerprint[..], end_of(&batch.origin.source)].concat();
        let mut open = if joins { self.records.get(&file).cloned() } else { None };
        let writers = [end_of(&batch.origin.source), end_of(&batch.origin.path)].join(&0);
        let mut processes =
            (own == NGINX_ERROR).then(|| self.processes.get(&writers).cloned().unwrap_or_default());
        for index in 0..batch.len() {
            if joins {
                // Whatever else a line of such a log looks like, it is text of somebody else.
                record::complete(&mut open, batch, index, own);
                if let Some(processes) = &mut processes {
                    processes.complete(batch, index);
                }
                continue;
            }
            if session::concerns(&batch.event(index)) {
                session::complete(&mut self.sessions, batch, index);
            }
            if login::concerns(&batch.event(index)) {
                login::complete(&mut self.logins, batch, index);
            }
            if visit::concerns(&batch.event(index)) {
                visit::complete(&mut self.visits, self.session_gap, batch, index);
            }
        }
        match open {
            Some(record) => self.records.insert(&file, record),
            None => self.records.remove(&file),
        }
        if let Some(processes) = processes {
            self.processes.insert(&writers, processes);
        }
        Carried {
            sessions: named(self.sessions.take_used()),
            records: named(self.records.take_used()),
            logins: named(self.logins.take_used()),
            visits: named(self.visits.take_used()),
            processes: named(self.processes.take_used()),
        }
    }

    /// Remembers what a batch was read with, before it is read again.
    pub fn recall(&mut self, carried: Carried) {
        for (text::Key(key), value) in carried.sessions {
            self.sessions.insert(&key, value);
        }
        for (text::Key(key), value) in carried.records {
            self.records.insert(&key, value);
        }
        for (text::Key(key), value) in carried.logins {
            self.logins.insert(&key, value);
        }
        for (text::Key(key), value) in carried.visits {
            self.visits.insert(&key, value);
        }
        for (text::Key(key), value) in carried.processes {
            self.processes.insert(&key, value);
        }
    }
}

/// Enough of the name of a source to tell it from others.
fn end_of(source: &str) -> &[u8] {
    let bytes = source.as_bytes();
    &bytes[bytes.len().saturating_sub(96)..]
}

fn named<V>(used: Vec<(Arc<[u8]>, V)>) -> Entries<V> {
    used.into_iter().map(|(key, value)| (text::Key(key.to_vec()), value)).collect()
}

#[cfg(test)]
mod tests;
