//! A bounded store of the lines that made rules count.
//!
//! Rules remember numbers, not lines; the lines are kept here once, however many rules counted
//! them, and the oldest are let go when `max_bytes` is reached.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use crate::engine::batch::{Event, Field, Origin};
use crate::engine::redact;
use crate::engine::text::to_utf8;
use crate::units::Timestamp;

/// Longest part of a line that is kept.
const MAX_LINE_BYTES: usize = 512;

/// What is kept of one event.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub(super) time: Timestamp,
    pub(super) origin: Arc<Origin>,
    pub(super) offset: u64,
    pub(super) event_id: [u8; 26],
    pub(super) client: Option<IpAddr>,
    pub(super) status: u16,
    pub(super) count: u32,
    pub(super) line: Box<str>,
    pub(super) user: Option<Box<str>>,
    pub(super) site: Box<str>,
    pub(super) path: Option<Box<str>>,
}

impl Trace {
    pub(super) fn of(event: &Event<'_>, origin: &Arc<Origin>, event_id: [u8; 26]) -> Self {
        let row = event.row();
        let short = |field| event.field(field).map(|value| to_utf8(value, 128).into_boxed_str());
        Self {
            time: row.time,
            origin: Arc::clone(origin),
            offset: row.offset,
            event_id,
            client: row.client,
            status: row.status,
            count: row.count,
            line: redacted(event).into_boxed_str(),
            user: short(Field::User),
            site: to_utf8(event.site(), 128).into_boxed_str(),
            path: short(Field::Path),
        }
    }

    fn cost(&self) -> usize {
        let texts = self.line.len() + self.site.len();
        let texts = texts + self.user.as_ref().map_or(0, |text| text.len());
        texts + self.path.as_ref().map_or(0, |text| text.len()) + size_of::<Self>()
    }
}

/// The line with the values of secret query parameters hidden.
fn redacted(event: &Event<'_>) -> String {
    to_utf8(&redact::secrets(event.line(), redact::Form::Text), MAX_LINE_BYTES)
}

/// The traces of recent events, by number.
#[derive(Debug)]
pub(super) struct Pool {
    traces: VecDeque<Trace>,
    first: u64,
    bytes: usize,
    max_bytes: usize,
}

impl Pool {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { traces: VecDeque::new(), first: 0, bytes: 0, max_bytes }
    }

    /// Keeps a trace and answers its number.
    pub(super) fn keep(&mut self, trace: Trace) -> u64 {
        self.bytes += trace.cost();
        self.traces.push_back(trace);
        while self.max_bytes < self.bytes
            && let Some(oldest) = self.traces.pop_front()
        {
            self.bytes -= oldest.cost();
            self.first += 1;
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

    #[test]
    fn secrets_in_a_query_are_not_kept() {
        let line = "GET /a?user=bob&password=hunter2&x=1 HTTP/1.1\" \"http://s/?token=abc\"";
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), line.as_bytes().to_vec());
        let (raw, mut out) = batch.open();
        out.set_line(raw);
        out.finish();

        let kept = redacted(&batch.event(0));

        assert_eq!("GET /a?user=bob&password=***&x=1 HTTP/1.1\" \"http://s/?token=***\"", kept);
    }
}
