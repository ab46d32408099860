//! Many events in few allocations.
//!
//! A batch owns the raw bytes of its lines; an event is a [`Row`] of spans into them. Nothing is
//! copied per field: only a value that differs from what the log holds (an escape undone) is
//! appended to a second buffer, `extra`, and is a span like any other. A batch is cleared and
//! refilled rather than made anew, and [`Event`] is the only view that detectors, counters and
//! encoders see.
//!
//! Invariant: every span lies inside `bytes` or `extra`, so reading a field cannot fail.

mod origin;

use std::net::IpAddr;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::units::Timestamp;

pub use self::origin::Origin;
use super::detect::signature::Signs;
use super::field::HOT;
pub use super::field::{FIELDS, Field, FieldEntry};
pub use super::vocabulary::{
    Action, Auth, AuthMethod, AuthOutcome, ClientSource, Confidence, Grade, Kind, Level, Malformed,
    Module, Reason, Stamp,
};

/// Start and length of a value: in `bytes`, or in `extra` where the top bit of `start` is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    start: u32,
    len: u32,
}

const IN_EXTRA: u32 = 1 << 31;

impl Span {
    /// The line does not say. An empty value that was logged is a span of length zero instead.
    pub const ABSENT: Self = Self { start: u32::MAX, len: 0 };

    /// The line says something, if only an empty text.
    pub fn is_present(self) -> bool {
        self != Self::ABSENT
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::ABSENT
    }
}

/// One event: numbers and spans.
#[derive(Clone, Debug)]
pub struct Row {
    /// The raw line without its ending.
    pub line: Span,
    /// Offset of the line's first byte in its file, or its number for inputs without offsets.
    pub offset: u64,
    /// When it happened, as logged; the read time where the line holds none.
    pub time: Timestamp,
    /// The line held no time that could be read.
    pub time_is_read: bool,
    /// Offset of the logged zone from UTC in minutes.
    pub zone_minutes: i16,
    /// What the logged time means.
    pub stamp: Stamp,
    /// What the event is about.
    pub kind: Kind,
    /// The program family that wrote the line.
    pub module: Module,
    /// Name of the format that read it.
    pub format: &'static str,
    /// `event.action`.
    pub action: Action,
    /// Level as logged, or derived from the status.
    pub level: Level,
    /// Status of the response; 0 where there was none.
    pub status: u16,
    /// Bytes of the response body (or of the whole response, where only that is logged).
    pub bytes: Option<u64>,
    /// How long the request took.
    pub duration_ns: Option<u64>,
    /// The client's address, resolved behind trusted proxies.
    pub client: Option<IpAddr>,
    /// Where it was taken from.
    pub client_source: ClientSource,
    /// The verdict, where the line is a log-in attempt.
    pub auth: Option<Auth>,
    /// The application whose log-in page was used, where the table knows it; or nothing.
    pub login_app: &'static str,
    /// What the event proves about the user it names.
    pub grade: Option<Grade>,
    /// The user of a log-in is on the roster, if there is one.
    pub in_roster: Option<bool>,
    /// What is wrong with the request line.
    pub malformed: Option<Malformed>,
    /// The user name was sent and is empty (Apache prints `""`).
    pub empty_user: bool,
    /// The server named the user itself, in a header of its answer.
    pub served_user: bool,
    /// A client may have written the line, to pass for one of the server.
    pub suspect_forged: bool,
    /// How many times it happened: syslog says "message repeated", PAM "2 more failures".
    pub count: u32,
    /// A list of indicators knows something in it: the fields `Threat…` say what.
    pub is_listed: bool,
    /// What the signatures find, worked out when `detect::signature::of` is first asked.
    pub signs: OnceLock<Signs>,
    spans: [Span; HOT],
    rare: (u32, u32),
}

impl Default for Row {
    fn default() -> Self {
        Self {
            line: Span::ABSENT,
            offset: 0,
            time: Timestamp(0),
            time_is_read: false,
            zone_minutes: 0,
            stamp: Stamp::End,
            kind: Kind::Access,
            module: Module::Nginx,
            format: "",
            action: Action::HttpRequest,
            level: Level::Info,
            status: 0,
            bytes: None,
            duration_ns: None,
            client: None,
            client_source: ClientSource::Peer,
            auth: None,
            login_app: "",
            grade: None,
            in_roster: None,
            malformed: None,
            empty_user: false,
            served_user: false,
            suspect_forged: false,
            count: 1,
            is_listed: false,
            signs: OnceLock::new(),
            spans: [Span::ABSENT; HOT],
            rare: (0, 0),
        }
    }
}

/// Events that travel together.
#[derive(Clone, Debug, Default)]
pub struct EventBatch {
    /// Where the lines come from.
    pub origin: Arc<Origin>,
    bytes: Vec<u8>,
    extra: Vec<u8>,
    rare: Vec<(Field, Span)>,
    rows: Vec<Row>,
    /// The raw lines stay here: [`EventBatch::withhold_lines`].
    withheld: bool,
}

/// What becomes of a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rewrite {
    /// It stays.
    Keep,
    /// The line does not say.
    Drop,
    /// This stands in its place.
    Set(Vec<u8>),
}

impl EventBatch {
    /// Forgets the events, takes `bytes` as the new raw text, and gives back the old buffer.
    pub fn refill(&mut self, origin: Arc<Origin>, bytes: Vec<u8>) -> Vec<u8> {
        assert!(bytes.len() < IN_EXTRA as usize, "a block is far below 2 GiB");
        self.origin = origin;
        self.extra.clear();
        self.rare.clear();
        self.rows.clear();
        self.withheld = false;
        std::mem::replace(&mut self.bytes, bytes)
    }

    /// Forgets the events and gives the buffer of their text away, to be filled again.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        self.refill(Arc::clone(&self.origin), Vec::new())
    }

    /// The raw text of all lines.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// There is no event.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The events in the order of their lines.
    pub fn events(&self) -> impl ExactSizeIterator<Item = Event<'_>> + Clone {
        self.rows.iter().map(|row| Event { batch: self, row })
    }

    /// The event of line `index`.
    pub fn event(&self, index: usize) -> Event<'_> {
        Event { batch: self, row: &self.rows[index] }
    }

    /// Changes the last row, if there is one.
    pub(super) fn mark_last(&mut self, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.last_mut() {
            change(row);
        }
    }

    /// Keeps the raw lines from whoever writes the events; their ids stay what they are.
    pub fn withhold_lines(&mut self) {
        self.withheld = true;
    }

    /// Asks `change` about each value of line `index`; a field that is set twice is asked about
    /// twice.
    pub fn rewrite(&mut self, index: usize, mut change: impl FnMut(Field, &[u8]) -> Rewrite) {
        let hot = FIELDS.iter().map(|entry| entry.field).filter(|field| (*field as usize) < HOT);
        for field in hot {
            let span = self.rows[index].spans[field as usize];
            self.rows[index].spans[field as usize] = self.rewritten(field, span, &mut change);
        }
        let (first, end) = self.rows[index].rare;
        for place in first as usize..end as usize {
            let (field, span) = self.rare[place];
            self.rare[place].1 = self.rewritten(field, span, &mut change);
        }
    }

    fn rewritten(
        &mut self,
        field: Field,
        span: Span,
        change: &mut impl FnMut(Field, &[u8]) -> Rewrite,
    ) -> Span {
        if !span.is_present() {
            return span;
        }
        match change(field, self.slice(span)) {
            Rewrite::Keep => span,
            Rewrite::Drop => Span::ABSENT,
            Rewrite::Set(value) => self.keep(&value),
        }
    }

    /// The row of line `index`, to be changed.
    pub fn row_at(&mut self, index: usize) -> &mut Row {
        &mut self.rows[index]
    }

    /// Sets a field with a fixed place of line `index` to a copy of `value`.
    pub fn set_at(&mut self, index: usize, field: Field, value: &[u8]) {
        let span = self.keep(value);
        self.rows[index].spans[field as usize] = span;
    }

    /// Adds a field without a fixed place to line `index`.
    pub(super) fn add_at(&mut self, index: usize, field: Field, value: &[u8]) {
        debug_assert!(HOT <= field as usize, "it has a fixed place");
        let span = self.keep(value);
        // The pairs of a row stand together: all of them move to the end.
        let (first, end) = self.rows[index].rare;
        let start = self.rare.len();
        self.rare.extend_from_within(first as usize..end as usize);
        self.rare.push((field, span));
        self.rows[index].rare = (start as u32, self.rare.len() as u32);
    }

    /// Takes the values of `field` from all events.
    pub fn remove(&mut self, field: Field) {
        if HOT <= field as usize {
            let mut kept = Vec::with_capacity(self.rare.len());
            for row in &mut self.rows {
                let (first, end) = row.rare;
                let start = kept.len() as u32;
                let pairs = &self.rare[first as usize..end as usize];
                kept.extend(pairs.iter().filter(|(name, _)| *name != field));
                row.rare = (start, kept.len() as u32);
            }
            self.rare = kept;
            return;
        }
        for row in &mut self.rows {
            row.spans[field as usize] = Span::ABSENT;
        }
    }

    /// Forgets what was read in line `index`, but not where it stands.
    pub(super) fn clear_at(&mut self, index: usize) {
        let row = &mut self.rows[index];
        let malformed = row.malformed.filter(|what| *what == Malformed::TooLong);
        *row = Row { line: row.line, offset: row.offset, malformed, ..Row::default() };
    }

    /// Takes all that `event` of another batch says for line `index`, which stays where it is.
    pub(super) fn adopt_at(&mut self, index: usize, event: &Event<'_>) {
        let mut row = event.row.clone();
        (row.line, row.offset) = (self.rows[index].line, self.rows[index].offset);
        for span in &mut row.spans {
            if span.is_present() {
                *span = self.keep(event.batch.slice(*span));
            }
        }
        let first = self.rare.len();
        for (field, value) in event.rare() {
            let span = self.keep(value);
            self.rare.push((field, span));
        }
        row.rare = (first as u32, self.rare.len() as u32);
        self.rows[index] = row;
    }

    fn keep(&mut self, value: &[u8]) -> Span {
        let start = self.extra.len() as u32 | IN_EXTRA;
        self.extra.extend_from_slice(value);
        Span { start, len: value.len() as u32 }
    }

    /// Opens the batch for a parser: lends out the raw text and a [`Writer`] of rows beside it.
    pub fn open(&mut self) -> (&[u8], Writer<'_>) {
        let writer = Writer {
            extra: &mut self.extra,
            rare: &mut self.rare,
            rows: &mut self.rows,
            base: self.bytes.as_ptr() as usize,
            len: self.bytes.len(),
            row: Row::default(),
        };
        (&self.bytes, writer)
    }

    fn slice(&self, span: Span) -> &[u8] {
        if !span.is_present() {
            return &[];
        }
        let (buffer, start) = if span.start & IN_EXTRA == 0 {
            (&self.bytes, span.start as usize)
        } else {
            (&self.extra, (span.start & !IN_EXTRA) as usize)
        };
        &buffer[start..start + span.len as usize]
    }
}

/// Fills one row after the other while a parser walks over the raw text.
#[derive(Debug)]
pub struct Writer<'b> {
    extra: &'b mut Vec<u8>,
    rare: &'b mut Vec<(Field, Span)>,
    rows: &'b mut Vec<Row>,
    base: usize,
    len: usize,
    /// The row being filled.
    pub row: Row,
}

impl Writer<'_> {
    /// Forgets what was set since the last [`Writer::finish`].
    pub fn reset(&mut self) {
        let first = self.rows.last().map_or(0, |row| row.rare.1);
        self.rare.truncate(first as usize);
        self.row = Row::default();
    }

    /// Completes the row and starts the next one.
    pub fn finish(&mut self) {
        let first = self.rows.last().map_or(0, |row| row.rare.1);
        let mut row = std::mem::take(&mut self.row);
        row.rare = (first, self.rare.len() as u32);
        self.rows.push(row);
    }

    /// Sets `field` to `value`, which is a part of the raw text or a copy is made of it.
    pub fn set(&mut self, field: Field, value: &[u8]) {
        let span = self.span(value);
        self.set_span(field, span);
    }

    /// Marks the raw line of the row.
    pub fn set_line(&mut self, line: &[u8]) {
        self.row.line = self.span(line);
    }

    /// Sets `field` to a value made by `write`, which appends it.
    pub fn set_with(&mut self, field: Field, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.extra.len();
        write(self.extra);
        let span = Span { start: start as u32 | IN_EXTRA, len: (self.extra.len() - start) as u32 };
        self.set_span(field, span);
    }

    /// Adds a label: a named value outside the schema.
    pub fn label(&mut self, name: &str, value: &[u8]) {
        self.set_with(Field::LabelName, |out| out.extend_from_slice(name.as_bytes()));
        self.set(Field::LabelValue, value);
    }

    /// The bytes set for `field`, looked up in `raw` (what [`EventBatch::open`] lent out).
    pub fn field<'r>(&'r self, raw: &'r [u8], field: Field) -> Option<&'r [u8]> {
        self.span_of(field).map(|span| self.slice(raw, span))
    }

    /// The field has a value.
    pub fn has(&self, field: Field) -> bool {
        self.span_of(field).is_some()
    }

    /// The fields of the row outside the fixed places, in the order they were found.
    pub fn rare<'r>(&'r self, raw: &'r [u8]) -> impl Iterator<Item = (Field, &'r [u8])> {
        let first = self.rows.last().map_or(0, |row| row.rare.1) as usize;
        self.rare[first..].iter().map(move |(field, span)| (*field, self.slice(raw, *span)))
    }

    fn slice<'r>(&'r self, raw: &'r [u8], span: Span) -> &'r [u8] {
        let (buffer, start) = if span.start & IN_EXTRA == 0 {
            (raw, span.start as usize)
        } else {
            (self.extra.as_slice(), (span.start & !IN_EXTRA) as usize)
        };
        &buffer[start..start + span.len as usize]
    }

    /// Takes a value back.
    pub fn remove(&mut self, field: Field) {
        match self.row.spans.get_mut(field as usize) {
            Some(span) => *span = Span::ABSENT,
            None => {
                let first = self.rows.last().map_or(0, |row| row.rare.1) as usize;
                if let Some(at) = self.rare[first..].iter().position(|(name, _)| *name == field) {
                    self.rare.remove(first + at);
                }
            }
        }
    }

    /// Copies the span of one field to another.
    pub fn copy(&mut self, from: Field, to: Field) {
        if let Some(span) = self.span_of(from) {
            self.set_span(to, span);
        }
    }

    fn span_of(&self, field: Field) -> Option<Span> {
        let span = match self.row.spans.get(field as usize) {
            Some(span) => *span,
            None => {
                let first = self.rows.last().map_or(0, |row| row.rare.1) as usize;
                self.rare[first..].iter().find(|(name, _)| *name == field)?.1
            }
        };
        span.is_present().then_some(span)
    }

    fn set_span(&mut self, field: Field, span: Span) {
        match self.row.spans.get_mut(field as usize) {
            Some(place) => *place = span,
            None => self.rare.push((field, span)),
        }
    }

    fn span(&mut self, value: &[u8]) -> Span {
        let start = (value.as_ptr() as usize).wrapping_sub(self.base);
        let len = value.len() as u32;
        if start <= self.len && start + value.len() <= self.len {
            return Span { start: start as u32, len };
        }
        // A value from elsewhere (a constant, a part of `extra`): keep a copy.
        let start = self.extra.len() as u32 | IN_EXTRA;
        self.extra.extend_from_slice(value);
        Span { start, len }
    }
}

/// One event of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    batch: &'a EventBatch,
    row: &'a Row,
}

impl<'a> Event<'a> {
    /// The numbers and verdicts.
    pub fn row(&self) -> &'a Row {
        self.row
    }

    /// Where the line comes from.
    pub fn origin(&self) -> &'a Origin {
        &self.batch.origin
    }

    /// The raw line without its ending.
    pub fn line(&self) -> &'a [u8] {
        self.batch.slice(self.row.line)
    }

    /// The raw line as far as it may be passed on: nothing where lines are withheld.
    pub fn line_to_show(&self) -> Option<&'a [u8]> {
        (!self.batch.withheld).then(|| self.line())
    }

    /// The bytes of `field`, or `None` where the line does not say.
    pub fn field(&self, field: Field) -> Option<&'a [u8]> {
        match self.row.spans.get(field as usize) {
            Some(span) => span.is_present().then(|| self.batch.slice(*span)),
            None => {
                let rare = self.rare().find(|(name, _)| *name == field)?;
                Some(rare.1)
            }
        }
    }

    /// Where the bytes of `field` stand in the raw line; `None` where the line does not hold them as
    /// they are, because an escape was undone or they were worked out.
    pub fn place(&self, field: Field) -> Option<Range<usize>> {
        let span = match self.row.spans.get(field as usize) {
            Some(span) => *span,
            None => {
                let (from, to) = self.row.rare;
                let mut rare = self.batch.rare[from as usize..to as usize].iter();
                rare.find(|(name, _)| *name == field)?.1
            }
        };
        if !span.is_present() || span.start & IN_EXTRA != 0 || self.row.line.start & IN_EXTRA != 0 {
            return None;
        }
        let start = span.start.checked_sub(self.row.line.start)? as usize;
        Some(start..start + span.len as usize)
    }

    /// The fields outside the fixed places, in the order they were found.
    pub fn rare(&self) -> impl Iterator<Item = (Field, &'a [u8])> + use<'a> {
        let (batch, range) = (self.batch, self.row.rare);
        batch.rare[range.0 as usize..range.1 as usize]
            .iter()
            .map(move |(field, span)| (*field, batch.slice(*span)))
    }

    /// The names of [`Event::rare`] alone.
    pub(super) fn rare_fields(&self) -> impl Iterator<Item = Field> + use<'a> {
        let range = self.row.rare;
        self.batch.rare[range.0 as usize..range.1 as usize].iter().map(|(field, _)| *field)
    }

    /// The value at `index` of [`Event::rare`].
    pub(super) fn rare_value(&self, index: usize) -> Option<&'a [u8]> {
        let range = self.row.rare;
        let (_, span) = self.batch.rare[range.0 as usize..range.1 as usize].get(index)?;
        Some(self.batch.slice(*span))
    }

    /// The site: the virtual host, else the site of the source.
    pub fn site(&self) -> &'a [u8] {
        match self.field(Field::Domain) {
            Some(domain) if !domain.is_empty() => domain,
            _ => self.origin().site.as_bytes(),
        }
    }

    /// The client as text: its address where one could be read, else what was logged.
    pub fn client_text(&self) -> &'a [u8] {
        self.field(Field::ClientAddress).unwrap_or_default()
    }

    /// A log-in that failed and counts as one.
    pub fn is_failed_login(&self) -> bool {
        matches!(self.row.auth, Some(Auth { outcome: AuthOutcome::Failure, counted: true, .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refilled_batch_shows_only_its_new_events() {
        let mut batch = EventBatch::default();
        for (text, user) in [("192.0.2.7 alice", "alice"), ("2001:db8::1 bob", "bob")] {
            batch.refill(Arc::default(), text.as_bytes().to_vec());
            let (raw, mut writer) = batch.open();
            let (client, name) = text.split_once(' ').expect("two words");
            writer.set_line(raw);
            writer.set(Field::ClientAddress, &raw[..client.len()]);
            writer.set_with(Field::User, |out| out.extend_from_slice(name.as_bytes()));
            writer.label("zone", b"eu");
            writer.finish();

            assert_eq!(1, batch.len());
            let event = batch.event(0);
            assert_eq!(text.as_bytes(), event.line());
            assert_eq!(Some(client.as_bytes()), event.field(Field::ClientAddress));
            assert_eq!(Some(user.as_bytes()), event.field(Field::User));
            assert_eq!(Some(&b"eu"[..]), event.field(Field::LabelValue));
            assert_eq!(None, event.field(Field::Referrer));
        }
    }

    #[test]
    fn an_empty_value_is_not_an_absent_one() {
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), b"x".to_vec());
        let (raw, mut writer) = batch.open();
        writer.set(Field::Query, &raw[1..1]);
        writer.finish();

        assert_eq!(Some(&b""[..]), batch.event(0).field(Field::Query));
        assert_eq!(None, batch.event(0).field(Field::Path));
    }

    #[test]
    fn a_row_that_is_reset_leaves_nothing_to_the_next() {
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), b"abc".to_vec());
        let (raw, mut writer) = batch.open();
        writer.set(Field::Pid, &raw[..1]);
        writer.finish();
        writer.set(Field::User, raw);
        writer.set(Field::Tid, raw);
        writer.reset();
        writer.finish();

        assert_eq!(1, batch.event(0).rare().count());
        assert_eq!(0, batch.event(1).rare().count());
        assert_eq!(None, batch.event(1).field(Field::User));
    }

    #[test]
    fn the_field_table_names_each_field_once() {
        let mut names: Vec<&str> = FIELDS.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(FIELDS.len(), names.len());
        assert_eq!(FIELDS.len(), Field::LabelName as usize, "labels are the only unnamed fields");
    }
}
