//! Records on their way: what every interface has to know of each beside its bytes.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::text::to_utf8;
use crate::store::DeadLetter;
use crate::units::Timestamp;

/// What is known of a record.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// `event.id`.
    pub(super) id: String,
    /// When it happened.
    pub(super) time: Timestamp,
    /// `event.dataset`.
    pub(super) dataset: &'static str,
    /// `log.level`.
    pub(super) level: &'static str,
    /// The machine that wrote the log, and the path of the log.
    pub(super) origin: Arc<Whence>,
    /// Where its record lies.
    pub(super) bytes: Range<usize>,
    /// The same with less and less of it, for a receiver that finds it too large; of large ones only.
    pub(super) smaller: Vec<Vec<u8>>,
}

/// What the records of an origin share.
#[derive(Debug, Default)]
pub(super) struct Whence {
    pub(super) host: String,
    pub(super) path: String,
}

/// A portion of records.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: Vec<Entry>,
}

/// Some records of a portion, in their order.
#[derive(Clone, Debug)]
pub(super) struct Part<'b> {
    batch: &'b Batch,
    /// Their numbers in the portion.
    rows: Vec<usize>,
    /// How often they were put off.
    pub(super) tries: u32,
    /// How often one that is alone was made smaller.
    pub(super) step: usize,
}

impl<'b> Part<'b> {
    /// All of a portion.
    pub(super) fn all(batch: &'b Batch) -> Self {
        Self { batch, rows: (0..batch.entries.len()).collect(), tries: 0, step: 0 }
    }

    /// Those of its records that `rows` names by their number in this part.
    pub(super) fn only(&self, rows: impl Iterator<Item = usize>, tries: u32) -> Self {
        Self { rows: rows.map(|row| self.rows[row]).collect(), tries, ..*self }
    }

    /// A record that is alone with less of it; `None` if there is no less.
    pub(super) fn smaller(&self) -> Option<Self> {
        let [row] = *self.rows else { return None };
        let step = self.step + 1;
        let rows = vec![row];
        (step <= self.batch.entries[row].smaller.len()).then_some(Self { rows, step, ..*self })
    }

    /// The first records, so many, and the others.
    pub(super) fn split(mut self, at: usize) -> (Self, Self) {
        let rest = self.rows.split_off(at);
        let second = Self { rows: rest, ..self.clone() };
        (self, second)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Each with its record.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'b Entry, &'b [u8])> {
        let (batch, step) = (self.batch, self.step);
        self.rows.iter().map(move |row| {
            let entry = &batch.entries[*row];
            let smaller = step.checked_sub(1).and_then(|at| entry.smaller.get(at));
            (entry, smaller.map_or_else(|| &batch.bytes[entry.bytes.clone()], Vec::as_slice))
        })
    }

    /// Bytes of all records.
    pub(super) fn size(&self) -> usize {
        self.entries().map(|(_, record)| record.len()).sum()
    }

    /// The letter about record number `row` of this part.
    pub(super) fn letter(&self, row: usize, reason: &str) -> DeadLetter {
        let entry = &self.batch.entries[self.rows[row]];
        DeadLetter {
            event_id: entry.id.clone(),
            reason: to_utf8(reason.as_bytes(), REASON_BYTES_MAX),
            body: self.batch.bytes[entry.bytes.clone()].to_vec(),
            ..DeadLetter::default()
        }
    }
}

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 1000;

/// Appends `text` as a JSON string.
pub(super) fn push_json_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("memory takes all that is written to it");
}
