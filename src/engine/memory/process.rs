//! Lines of nginx's error log that none of its processes seems to have written.
//!
//! A client can write whole lines into that log, but has to guess the process and the time that
//! stand in them. A process is known once a line of it is followed by a record's length of lines
//! that hold no text in which a client may have sent a line end: only then can the line not have
//! been a part of somebody's request. Lines of processes that are not known are marked, and lines
//! whose time runs backwards. The first lines of a new process are so, too: it is a hint. Lines that
//! serve no client are left alone.
//!
//! Invariant: nothing is marked before the first process is known.

use serde::{Deserialize, Serialize};

use crate::engine::batch::{Event, EventBatch, Field, Kind};
use crate::engine::format::{NGINX_ERROR, nginx_record};
use crate::engine::text::parse_u64;
use crate::units::{Period, Timestamp};

/// A process that was busy with one request writes the time at which it began.
const BACKWARDS_MAX: Period = Period::from_secs(5);

/// Processes remembered; the one not seen for the longest goes first.
const PROCESSES_MAX: usize = 64;

/// What stands behind text of a client that may have held a line end: in the request as it was
/// sent, behind the name of a user, in the words of a script.
const OPEN_TEXTS: &[&[u8]] = &[
    b"%0a",
    b"%0A",
    b"%0d",
    b"%0D",
    b"\": password mismatch",
    b"\" was not found in \"",
    b"PAM: user ",
    b"sent in stderr",
];

/// `pid#tid`.
type Process = (u64, u64);

/// What the lines of one log have told about those who write it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Processes {
    #[serde(rename = "t")]
    last: Timestamp,
    /// The one seen last is the last.
    #[serde(rename = "k", default)]
    known: Vec<Process>,
    /// Those of whom one line was seen, with the bytes from its start until now.
    #[serde(rename = "n", default)]
    new: Vec<(Process, usize)>,
}

impl Processes {
    /// Judges line `index`.
    pub(super) fn complete(&mut self, batch: &mut EventBatch, index: usize) {
        let event = batch.event(index);
        let line = event.line();
        if line.trim_ascii().is_empty() {
            return;
        }
        let may_end_another = !is_whole(&event) || OPEN_TEXTS.iter().any(|text| has(line, text));
        self.pass(line.len() + 1, may_end_another);
        if !is_whole(&event) {
            return;
        }
        let time = event.row().time;
        let number = |field| event.field(field).and_then(parse_u64);
        // What serves nobody accuses nobody: `nginx -s reload` is a process of its own each time.
        let serves = event.field(Field::Connection).is_some();
        let is_stranger = match (number(Field::Pid), number(Field::Tid)) {
            (Some(pid), Some(tid)) if serves => {
                !self.knows((pid, tid), line.len() + 1, may_end_another)
            }
            _ => false,
        };
        let runs_backwards = time.plus(BACKWARDS_MAX) < self.last;
        if !is_stranger {
            self.last = time;
        }
        batch.row_at(index).suspect_forged = runs_backwards || is_stranger;
    }

    /// Another line of so many bytes has come.
    fn pass(&mut self, bytes: usize, may_end_another: bool) {
        let known = &mut self.known;
        self.new.retain_mut(|(process, passed)| {
            *passed += bytes;
            let is_proven = nginx_record::BYTES_MAX < *passed;
            if is_proven {
                known.push(*process);
            }
            !is_proven && !may_end_another
        });
        let excess = known.len().saturating_sub(PROCESSES_MAX);
        known.drain(..excess);
    }

    /// A line of `process` has come: it is known, or nobody is so far.
    fn knows(&mut self, process: Process, bytes: usize, may_end_another: bool) -> bool {
        if let Some(at) = self.known.iter().position(|known| *known == process) {
            self.known[at..].rotate_left(1);
            return true;
        }
        let is_new = self.new.iter().all(|(new, _)| *new != process);
        if is_new && !may_end_another && self.new.len() < PROCESSES_MAX {
            self.new.push((process, bytes));
        }
        self.known.is_empty()
    }
}

/// A record that stands in one line.
fn is_whole(event: &Event<'_>) -> bool {
    let row = event.row();
    row.format == NGINX_ERROR
        && row.kind == Kind::ServerError
        && event.field(Field::Record).is_none()
}

fn has(line: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(line, text).is_some()
}
