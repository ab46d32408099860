//! From a block of bytes to a batch of events: cut, parse, enrich.
//!
//! Infallible: a line that no format reads is an event too, of kind [`Kind::ParseFailure`] with
//! the raw line kept. Hostile input that makes a parser panic (a bug) costs that line only.

use std::borrow::Cow;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use memchr::{memchr, memrchr};

use super::batch::{Action, EventBatch, Field, Kind, Level, Malformed, Origin, Writer};
use super::enrich::{Agents, Enricher};
use super::format::{Context, FormatSet, FormatState, Miss};
use super::text::wide_len;
use super::time::TimeReader;
use crate::units::Timestamp;

/// A stretch of whole lines and what is known about where it was read.
#[derive(Clone, Debug)]
pub struct Text {
    /// Where the lines come from.
    pub origin: Arc<Origin>,
    /// The lines with their endings.
    pub bytes: Vec<u8>,
    /// Offset of the first byte in its file.
    pub from: u64,
    /// The last line was longer than the limit and lost its rest.
    pub truncated_last: bool,
    /// When it was read: the time of events that carry none.
    pub read_at: Timestamp,
}

/// Where the lines of a text were, and when.
#[derive(Clone, Copy)]
struct Place {
    from: u64,
    wide: bool,
    read_at: Timestamp,
}

impl Place {
    /// Bytes that `text` takes in the file.
    fn length(self, text: &[u8]) -> u64 {
        if self.wide { wide_len(text) } else { text.len() as u64 }
    }
}

/// Reads the lines of one source.
#[derive(Debug)]
pub struct Parser {
    formats: FormatSet,
    times: TimeReader,
    enricher: Arc<Enricher>,
    agents: Agents,
    /// Lines that tell nothing, empty ones and those about the log itself, are events too, so that
    /// there is one for each line of input.
    pub keep_empty: bool,
    misses: [u64; Miss::ALL.len()],
}

impl Parser {
    /// A parser of `formats`, with times read by `times`.
    pub fn new(formats: FormatSet, times: TimeReader, enricher: Arc<Enricher>) -> Self {
        let (agents, misses) = (Agents::default(), [0; Miss::ALL.len()]);
        Self { formats, times, enricher, agents, keep_empty: false, misses }
    }

    /// Goes on with other settings of enrichment.
    pub fn set_enricher(&mut self, enricher: Arc<Enricher>) {
        self.enricher = enricher;
    }

    /// The definition of the format in use, as the lines read so far have left it.
    pub fn definition(&self) -> Cow<'_, str> {
        self.formats.definition()
    }

    /// What the lines read so far have told about those that follow.
    pub fn state(&self) -> FormatState {
        self.formats.state()
    }

    /// Goes on behind lines that have told `state`.
    pub fn set_state(&mut self, state: &FormatState) {
        self.formats.set_state(state);
    }

    /// The name of the log's own format, as events carry it; nothing where each line has a wrapper,
    /// for then other streams may have put lines between those of a record.
    pub fn format_name(&self) -> &'static str {
        if self.formats.is_wrapped() { "" } else { self.formats.identity().1 }
    }

    /// Lines not understood so far, by [`Miss::ALL`].
    pub fn misses(&self) -> [u64; Miss::ALL.len()] {
        self.misses
    }

    /// Times without a year lie before `reference`.
    pub fn set_reference(&mut self, reference: Timestamp) {
        self.times.set_reference(reference);
    }

    /// Fills `batch` with the events of `text`; answers the batch's former buffer for reuse.
    pub fn fill(&mut self, batch: &mut EventBatch, text: Text) -> Vec<u8> {
        let Text { origin, bytes, from, truncated_last, read_at } = text;
        let place = Place { from, wide: origin.wide, read_at };
        let buffer = batch.refill(origin, bytes);
        let mut at = 0;
        while let Some(next) = self.run(batch, at, place) {
            // A parser panicked on the line at `next`: keep that line as it is and go on.
            at = next;
        }
        if truncated_last {
            let text = batch.bytes();
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let before = memrchr(b'\n', text).map_or(0, |end| end + 1);
            let last = from + place.length(&text[..before]);
            // A line that is no event has no row to mark.
            batch.mark_last(|row| {
                if row.offset == last {
                    row.malformed = Some(Malformed::TooLong);
                }
            });
        }
        buffer
    }

    /// Reads from byte `start` to the end; answers where to go on when a parser panicked.
    fn run(&mut self, batch: &mut EventBatch, start: usize, place: Place) -> Option<usize> {
        let (raw, mut out) = batch.open();
        let mut at = start;
        let mut offset = place.from + place.length(&raw[..start]);
        let result = catch_unwind(AssertUnwindSafe(|| {
            while at < raw.len() {
                let end = memchr(b'\n', &raw[at..]).map_or(raw.len(), |length| at + length);
                self.line(raw, at..end, offset, place.read_at, &mut out);
                let next = end + 1;
                offset += place.length(&raw[at..next.min(raw.len())]);
                at = next;
            }
        }));
        if result.is_ok() {
            return None;
        }
        let end = memchr(b'\n', &raw[at..]).map_or(raw.len(), |length| at + length);
        out.reset();
        out.row.offset = offset;
        out.set_line(&raw[at..end]);
        self.fail(&mut out, "internal error while reading this line", place.read_at);
        out.finish();
        Some(end + 1)
    }

    #[inline]
    fn line(
        &mut self,
        raw: &[u8],
        at: Range<usize>,
        offset: u64,
        read_at: Timestamp,
        out: &mut Writer<'_>,
    ) {
        let line = &raw[at];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = without_nul_run(line);
        if line.is_empty() && !self.keep_empty {
            return;
        }
        let mut cx = Context { times: &mut self.times };
        match self.formats.parse(line, &mut cx, out) {
            Ok(()) if out.row.action == Action::LogDirective && !self.keep_empty => {
                return out.reset();
            }
            Ok(()) => {
                if out.row.time == Timestamp(0) {
                    out.row.time = read_at;
                    out.row.time_is_read = true;
                }
                self.enricher.enrich(raw, &mut self.agents, out);
            }
            Err(miss) => {
                self.misses[miss as usize] += 1;
                out.reset();
                self.fail(out, reason(miss), read_at);
            }
        }
        out.row.offset = offset;
        out.set_line(line);
        out.finish();
    }

    /// Makes the open row the event of a line that no format reads: it stays in the data set of
    /// the file's format.
    fn fail(&self, out: &mut Writer<'_>, reason: &'static str, read_at: Timestamp) {
        (out.row.module, out.row.format) = self.formats.identity();
        out.row.kind = Kind::ParseFailure;
        out.row.action = Action::ParseFailed;
        out.row.level = Level::Warn;
        out.row.time = read_at;
        out.row.time_is_read = true;
        out.set(Field::Error, reason.as_bytes());
    }
}

/// A writer that lost its place leaves a run of NUL bytes in front of its next line.
fn without_nul_run(line: &[u8]) -> &[u8] {
    match line.first() {
        Some(0) => &line[line.iter().take_while(|byte| **byte == 0).count()..],
        _ => line,
    }
}

fn reason(miss: Miss) -> &'static str {
    match miss {
        Miss::Shape => "the line fits none of the formats tried",
        Miss::Time => "the time in the line is none",
        Miss::Status => "the status in the line is none",
        Miss::Client => "the client in the line is neither an address nor a host name",
    }
}
