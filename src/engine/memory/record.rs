//! Records that span several lines.
//!
//! nginx writes URLs and names as they came, line ends included, so one request can leave several
//! lines, and those in the middle say whatever a client likes. A record that is not closed takes in
//! the lines that follow, up to nginx's limit, even if they look like records. Its last line tells
//! what all of it says; no other line of it says anything. In a log of PHP or Tomcat, what has no time
//! belongs to the message before it.
//!
//! A client can also write lines that look whole. No verdict of such a log counts by itself: what
//! another format reads there is marked as ambiguous, and proves neither a failure nor a success.

use serde::{Deserialize, Serialize};

use super::text;
use crate::engine::batch::{
    Action, AuthOutcome, ClientSource, Confidence, EventBatch, Field, Grade, Kind, Level,
    Malformed, Module,
};
use crate::engine::format::{NGINX_ERROR, PHP_ERROR, TOMCAT_ERROR, nginx_record};
use crate::units::Timestamp;

/// The record that the last line of a file belongs to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    #[serde(rename = "t")]
    time: Timestamp,
    #[serde(rename = "z")]
    zone_minutes: i16,
    #[serde(rename = "l")]
    level: Level,
    /// Bytes of all its lines so far, with the line ends between them.
    #[serde(rename = "b", default)]
    bytes: usize,
    #[serde(rename = "m", with = "text", default)]
    message: Vec<u8>,
    /// Process, thread and connection as they were written.
    #[serde(rename = "p", with = "text", default)]
    pid: Vec<u8>,
    #[serde(rename = "q", with = "text", default)]
    tid: Vec<u8>,
    #[serde(rename = "c", with = "text", default)]
    connection: Vec<u8>,
}

/// The format is one whose records may span lines.
pub(super) fn concerns(format: &str) -> bool {
    matches!(format, NGINX_ERROR | PHP_ERROR | TOMCAT_ERROR)
}

/// Completes line `index` of a log of the format `own`; `open` is the record of the line before.
pub(super) fn complete(
    open: &mut Option<Record>,
    batch: &mut EventBatch,
    index: usize,
    own: &'static str,
) {
    // Blank lines are events for some readers only, so they make no difference.
    if batch.event(index).line().trim_ascii().is_empty() {
        return;
    }
    let before = open.take();
    *open = match own {
        NGINX_ERROR => nginx(before, batch, index),
        _ => traced(before, batch, index, own),
    };
}

/// A log whose messages go on in lines without a time.
fn traced(
    before: Option<Record>,
    batch: &mut EventBatch,
    index: usize,
    own: &'static str,
) -> Option<Record> {
    let event = batch.event(index);
    let row = event.row();
    if row.format == own && row.kind == Kind::ServerError {
        return Some(Record::of(batch, index));
    }
    if row.kind != Kind::ParseFailure {
        // PHP, too, writes messages with their line ends.
        if own == PHP_ERROR {
            distrust(batch, index);
        }
        return None;
    }
    let record = before?;
    let line = event.line().to_vec();
    record.own(batch, index, own, &line, "continued");
    Some(record)
}

fn nginx(before: Option<Record>, batch: &mut EventBatch, index: usize) -> Option<Record> {
    let line = batch.event(index).line().to_vec();
    if let Some(mut record) = before
        && record.bytes + 1 + line.len() < nginx_record::BYTES_MAX
    {
        record.bytes += 1 + line.len();
        record.message.push(b'\n');
        record.message.extend_from_slice(&line);
        if !nginx_record::is_closed(&record.message) {
            record.own(batch, index, NGINX_ERROR, &line, "continued");
            return Some(record);
        }
        record.close(batch, index);
        return None;
    }
    let event = batch.event(index);
    let row = event.row();
    if row.format == NGINX_ERROR && row.kind == Kind::ServerError {
        let message = event.field(Field::Message).unwrap_or_default();
        let may_go_on = event.field(Field::Connection).is_some()
            && row.level != Level::Debug
            && line.len() + 1 < nginx_record::BYTES_MAX
            && row.malformed != Some(Malformed::TooLong)
            && nginx_record::is_open(message);
        if !may_go_on {
            return None;
        }
        let record = Record::of(batch, index);
        record.own(batch, index, NGINX_ERROR, &record.message, "begun");
        return Some(record);
    }
    if row.kind == Kind::ParseFailure {
        batch.add_at(index, Field::Record, b"orphan");
        return None;
    }
    distrust(batch, index);
    None
}

/// Takes the weight from line `index`, which is of another format than its log: a client may have
/// written it, to accuse somebody or to pass for somebody.
fn distrust(batch: &mut EventBatch, index: usize) {
    let row = batch.row_at(index);
    row.client_source = ClientSource::Ambiguous;
    row.grade = row.grade.map(|_| Grade::D);
    if let Some(auth) = &mut row.auth {
        (auth.counted, auth.confidence) = (false, Confidence::Low);
        if auth.outcome == AuthOutcome::Success {
            auth.outcome = AuthOutcome::Attempt;
        }
    }
}

impl Record {
    /// The record that begins with line `index`.
    fn of(batch: &EventBatch, index: usize) -> Self {
        let event = batch.event(index);
        let row = event.row();
        let value = |field| event.field(field).unwrap_or_default().to_vec();
        let is_nginx = row.format == NGINX_ERROR;
        let message = if is_nginx { value(Field::Message) } else { Vec::new() };
        Self {
            time: row.time,
            zone_minutes: row.zone_minutes,
            level: row.level,
            bytes: event.line().len(),
            message,
            pid: value(Field::Pid),
            tid: value(Field::Tid),
            connection: value(Field::Connection),
        }
    }

    /// Makes line `index` a part of the record that says nothing by itself.
    fn own(
        &self,
        batch: &mut EventBatch,
        index: usize,
        format: &'static str,
        text: &[u8],
        part: &str,
    ) {
        batch.clear_at(index);
        self.head(batch, index, format, part);
        batch.set_at(index, Field::Message, text);
    }

    fn head(&self, batch: &mut EventBatch, index: usize, format: &'static str, part: &str) {
        let module = if format == NGINX_ERROR { Module::Nginx } else { Module::App };
        let row = batch.row_at(index);
        (row.time, row.zone_minutes, row.time_is_read) = (self.time, self.zone_minutes, false);
        (row.kind, row.module, row.format) = (Kind::ServerError, module, format);
        (row.action, row.level) = (Action::ServerError, self.level);
        for (field, value) in [
            (Field::Pid, &self.pid),
            (Field::Tid, &self.tid),
            (Field::Connection, &self.connection),
        ] {
            if !value.is_empty() {
                batch.add_at(index, field, value);
            }
        }
        batch.add_at(index, Field::Record, part.as_bytes());
    }

    /// Line `index` is the last one: it tells what the record says.
    fn close(self, batch: &mut EventBatch, index: usize) {
        let mut whole = EventBatch::default();
        whole.refill(std::sync::Arc::default(), self.message.clone());
        let (raw, mut out) = whole.open();
        nginx_record::read(raw, &mut out);
        out.finish();
        batch.clear_at(index);
        batch.adopt_at(index, &whole.event(0));
        let action = batch.row_at(index).action;
        self.head(batch, index, NGINX_ERROR, "ended");
        batch.row_at(index).action = action;
    }
}
