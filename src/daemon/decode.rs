//! From a stored frame back to its events, the way they were first read.
//!
//! A frame carries everything that its meaning depends on (format, zone, reference time, what the
//! lines before it have left), so a reader that lags, a restart and the first reading all see the
//! same events.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::feeds::Lists;
use crate::engine::batch::{EventBatch, Origin};
use crate::engine::enrich::Enricher;
use crate::engine::format::{FormatSet, FormatState};
use crate::engine::memory::{Carried, Memory};
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::store::Frame;

/// Parsers kept for reuse; a store with more formats than this only decodes more slowly.
const MAX_PARSERS: usize = 64;

/// Decodes frames of any source.
#[derive(Debug)]
pub(crate) struct Decoder {
    enricher: Arc<Enricher>,
    /// Each with what its definition says of the lines before: where every frame begins.
    parsers: HashMap<(String, String), (Parser, FormatState)>,
    /// Lists of indicators that may change meanwhile.
    lists: Option<Watched>,
}

/// Lists of indicators as a decoder follows them.
#[derive(Debug)]
struct Watched {
    lists: Arc<Lists>,
    /// The version in use.
    seen: u64,
    /// The events leave this machine.
    for_others: bool,
}

impl Decoder {
    /// A decoder of frames that were enriched by the same settings.
    pub(crate) fn new(enricher: Arc<Enricher>) -> Self {
        Self { enricher, parsers: HashMap::new(), lists: None }
    }

    /// Holds events against `lists` as they are from time to time; `for_others` where the events leave
    /// this machine.
    pub(super) fn following(mut self, lists: Option<&Arc<Lists>>, for_others: bool) -> Self {
        self.lists = lists.map(|lists| Watched { lists: Arc::clone(lists), seen: 0, for_others });
        self
    }

    /// Takes up lists that have changed.
    fn follow(&mut self) {
        let Some(Watched { lists, seen, for_others }) = &mut self.lists else { return };
        let Some(set) = lists.newer(seen) else { return };
        let set = if *for_others { set.for_others() } else { set };
        self.enricher = Arc::new(Enricher { feeds: Some(set), ..(*self.enricher).clone() });
        for (parser, _) in self.parsers.values_mut() {
            parser.set_enricher(Arc::clone(&self.enricher));
        }
    }

    /// A memory of no lines.
    pub(super) fn memory(&self) -> Memory {
        Memory::new(&self.enricher.logins)
    }

    /// Fills `batch` with the events of a stored `frame`, as they were first read.
    pub(crate) fn decode(&mut self, frame: &Frame, batch: &mut EventBatch) {
        let mut memory = self.memory();
        self.replay(frame, frame.bytes.clone(), batch, &mut memory);
    }

    /// The same with the text given apart, for a reader that goes on behind the frame: `memory`
    /// then holds what the frame leaves.
    pub(super) fn replay(
        &mut self,
        frame: &Frame,
        bytes: Vec<u8>,
        batch: &mut EventBatch,
        memory: &mut Memory,
    ) {
        memory.recall(Carried::from_text(&frame.memory));
        self.read(frame, bytes, batch, memory);
    }

    /// Fills `batch` with the events of the new `frame`, whose text is given apart: the batch takes
    /// it over. Answers what the frame has to carry.
    pub(super) fn read(
        &mut self,
        frame: &Frame,
        bytes: Vec<u8>,
        batch: &mut EventBatch,
        memory: &mut Memory,
    ) -> Carried {
        let origin = Arc::new(Origin {
            source: frame.source.clone(),
            path: frame.path.clone(),
            fingerprint: frame.fingerprint,
            site: frame.site.clone(),
            host: frame.host.clone(),
            wide: frame.wide,
        });
        self.follow();
        let (parser, start) = self.entry(&frame.format, &frame.zone);
        parser.set_state(start);
        parser.set_reference(frame.modified.max(frame.received));
        let text = Text {
            origin,
            bytes,
            from: frame.from,
            truncated_last: frame.truncated_last,
            read_at: frame.received,
        };
        parser.fill(batch, text);
        let own = parser.format_name();
        if Memory::concerns(batch, own) { memory.complete(batch, own) } else { Carried::default() }
    }

    /// The parser of a format and zone.
    pub(super) fn parser(&mut self, format: &str, zone: &str) -> &mut Parser {
        &mut self.entry(format, zone).0
    }

    fn entry(&mut self, format: &str, zone: &str) -> &mut (Parser, FormatState) {
        if MAX_PARSERS <= self.parsers.len() {
            self.parsers.clear();
        }
        let enricher = &self.enricher;
        self.parsers.entry((format.to_owned(), zone.to_owned())).or_insert_with(|| {
            // A format that no longer compiles (an older version wrote it) reads what it can.
            let formats = FormatSet::from_definition(format)
                .or_else(|_| FormatSet::from_definition("auto:combined"))
                .expect("a format of the table compiles");
            let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
            let times = TimeReader::new(zone, crate::units::Timestamp(0));
            let state = formats.state();
            (Parser::new(formats, times, Arc::clone(enricher)), state)
        })
    }
}
