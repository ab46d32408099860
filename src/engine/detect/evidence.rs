//! A bounded store of the lines that made rules count.
//!
//! Rules remember numbers, not lines; the lines are kept here once, however many rules counted
//! them, and the oldest are let go when `max_bytes` is reached. Most of them are never told, so they
//! are kept as they are; what is told is made of them when an alert asks, without secrets.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use crate::engine::batch::{Event, Field, Origin};
use crate::engine::redact;
use crate::engine::render::event_id::{EventId, ID_LEN};
use crate::engine::text::to_utf8;
use crate::units::Timestamp;

/// Longest part of a line that is kept.
const MAX_LINE_BYTES: usize = 512;

/// Longest part of a user name, a site or a path.
const MAX_TEXT_BYTES: usize = 128;

/// What is kept of one event.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub(super) time: Timestamp,
    pub(super) origin: Arc<Origin>,
    pub(super) offset: u64,
    /// The time in the event's id.
    id_time_ms: u64,
    /// The id of an event whose line is not kept whole.
    id: Option<[u8; ID_LEN]>,
    pub(super) client: Option<IpAddr>,
    pub(super) status: u16,
    pub(super) count: u32,
    /// Line, user, site and path, one behind the other.
    texts: Vec<u8>,
    /// Where each of them ends; user and path may be missing.
    line_end: u16,
    user_end: Option<u16>,
    site_end: u16,
    path_end: Option<u16>,
}

impl Trace {
    /// Keeps what `event` tells; `texts` is an empty buffer.
    fn of(event: &Event<'_>, origin: &Arc<Origin>, ids: &EventId, mut texts: Vec<u8>) -> Self {
        let row = event.row();
        let line = event.line();
        let is_whole = line.len() <= MAX_LINE_BYTES;
        let kept = if is_whole { Cow::Borrowed(line) } else { without_secrets(line) };
        let mut put = |text: &[u8], max: usize| {
            texts.extend_from_slice(&text[..text.len().min(max)]);
            texts.len() as u16
        };
        let line_end = put(&kept, MAX_LINE_BYTES);
        let user_end = event.field(Field::User).map(|user| put(user, MAX_TEXT_BYTES));
        let site_end = put(event.site(), MAX_TEXT_BYTES);
        let path_end = event.field(Field::Path).map(|path| put(path, MAX_TEXT_BYTES));
        Self {
            time: row.time,
            origin: Arc::clone(origin),
            offset: row.offset,
            id_time_ms: if row.time_is_read { 0 } else { row.time.ms() },
            id: if is_whole { None } else { Some(ids.of(event)) },
            client: row.client,
            status: row.status,
            count: row.count,
            texts,
            line_end,
            user_end,
            site_end,
            path_end,
        }
    }

    /// `event.id`.
    pub(super) fn event_id(&self) -> String {
        let line = &self.texts[..usize::from(self.line_end)];
        let made = || EventId::new(&self.origin).of_line(self.id_time_ms, self.offset, line);
        String::from_utf8_lossy(&self.id.unwrap_or_else(made)).into_owned()
    }

    /// The line with the values of secret query parameters hidden.
    pub(super) fn line(&self) -> String {
        let line = &self.texts[..usize::from(self.line_end)];
        to_utf8(&without_secrets(line), MAX_LINE_BYTES)
    }

    pub(super) fn user(&self) -> Option<String> {
        self.user_end.map(|end| self.text(self.line_end, end))
    }

    pub(super) fn site(&self) -> String {
        self.text(self.user_end.unwrap_or(self.line_end), self.site_end)
    }

    pub(super) fn path(&self) -> Option<String> {
        self.path_end.map(|end| self.text(self.site_end, end))
    }

    fn text(&self, from: u16, to: u16) -> String {
        to_utf8(&self.texts[usize::from(from)..usize::from(to)], MAX_TEXT_BYTES)
    }

    fn cost(&self) -> usize {
        self.texts.capacity() + size_of::<Self>()
    }
}

fn without_secrets(line: &[u8]) -> Cow<'_, [u8]> {
    redact::secrets(line, redact::Form::Text)
}

/// The traces of recent events, by number.
#[derive(Debug)]
pub(super) struct Pool {
    traces: VecDeque<Trace>,
    first: u64,
    bytes: usize,
    max_bytes: usize,
    /// The buffer of a trace that was let go.
    spare: Vec<u8>,
}

impl Pool {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { traces: VecDeque::new(), first: 0, bytes: 0, max_bytes, spare: Vec::new() }
    }

    /// Keeps a trace of `event` and answers its number.
    pub(super) fn keep(&mut self, event: &Event<'_>, origin: &Arc<Origin>, ids: &EventId) -> u64 {
        let trace = Trace::of(event, origin, ids, std::mem::take(&mut self.spare));
        self.bytes += trace.cost();
        self.traces.push_back(trace);
        while self.max_bytes < self.bytes
            && let Some(mut oldest) = self.traces.pop_front()
        {
            self.bytes -= oldest.cost();
            self.first += 1;
            oldest.texts.clear();
            self.spare = oldest.texts;
        }
        self.first + self.traces.len() as u64 - 1
    }

    /// The trace of that number, unless it was let go.
    pub(super) fn find(&self, number: u64) -> Option<&Trace> {
        self.traces.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::batch::EventBatch;

    /// A pool that has seen `line`.
    fn kept(line: &str) -> Pool {
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), line.as_bytes().to_vec());
        let (raw, mut out) = batch.open();
        out.set_line(raw);
        out.finish();
        let ids = EventId::new(&batch.origin);
        let mut pool = Pool::new(4096);
        pool.keep(&batch.event(0), &batch.origin, &ids);
        let told = pool.find(0).expect("the one that was kept").event_id();
        assert_eq!(String::from_utf8_lossy(&ids.of(&batch.event(0))), told);
        pool
    }

    #[test]
    fn a_long_line_is_cut_and_keeps_its_id() {
        let line = format!("GET /?token=abc&x={}", "y".repeat(2000));
        let pool = kept(&line);
        let told = pool.find(0).expect("the one that was kept").line();
        assert!(told.starts_with("GET /?token=***&x=yyy"), "{told}");
        assert_eq!(MAX_LINE_BYTES, told.len());
    }

    #[test]
    fn secrets_in_a_query_are_not_told() {
        let line = "GET /a?user=bob&password=hunter2&x=1 HTTP/1.1\" \"http://s/?token=abc\"";
        let kept = kept(line);
        let trace = kept.find(0).expect("the one that was kept");

        assert_eq!(
            "GET /a?user=bob&password=***&x=1 HTTP/1.1\" \"http://s/?token=***\"",
            trace.line()
        );
    }
}
