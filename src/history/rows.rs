//! Events as rows: columns that grow, until a part is made of them.
//!
//! Invariant: rows that are taken are sorted by their time; rows of the same time keep the order in
//! which they were read.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::{DataType, Field as ArrowField};
use arrow_select::take::take_record_batch;

use super::HistoryError;
use super::schema::{COLUMNS, Cell, READ_SCHEMA, SCHEMA, Seen, TEXT_MAX};
use crate::engine::batch::{Event, EventBatch};
use crate::engine::render::event_id::EventId;
use crate::engine::text::push_utf8;
use crate::units::Timestamp;

/// A column that grows.
enum Filler {
    Time(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Small(Int32Builder),
    Long(Int64Builder),
    Truth(BooleanBuilder),
}

impl Filler {
    fn new(cell: &Cell) -> Self {
        match cell {
            Cell::Time(_) => Self::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            Cell::Field(_) | Cell::Text(_) => Self::Text(StringBuilder::new()),
            Cell::Small(_) => Self::Small(Int32Builder::new()),
            Cell::Long(_) => Self::Long(Int64Builder::new()),
            Cell::Truth(_) => Self::Truth(BooleanBuilder::new()),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Small(builder) => Arc::new(builder.finish()),
            Self::Long(builder) => Arc::new(builder.finish()),
            Self::Truth(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Rows that wait to become a part.
pub(super) struct Rows {
    fillers: Vec<Filler>,
    /// Time of each row in nanoseconds, which sorts finer than its column does.
    times: Vec<u64>,
    sorted: bool,
    scratch: Vec<u8>,
    client: String,
    keep_original: bool,
}

impl Rows {
    pub(super) fn new(keep_original: bool) -> Self {
        Self {
            fillers: COLUMNS.iter().map(|column| Filler::new(&column.cell)).collect(),
            times: Vec::new(),
            sorted: true,
            scratch: Vec::new(),
            client: String::new(),
            keep_original,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Adds all events of `batch`, whose lines were read at `created`.
    pub(super) fn push(&mut self, batch: &EventBatch, created: Timestamp) {
        let ids = EventId::new(&batch.origin);
        for event in batch.events() {
            self.push_event(&event, &ids, created);
        }
    }

    fn push_event(&mut self, event: &Event<'_>, ids: &EventId, created: Timestamp) {
        let row = event.row();
        let id = ids.of(event);
        self.client.clear();
        if let Some(client) = row.client {
            use std::fmt::Write as _;
            // Writing into a text cannot fail.
            let _ = write!(self.client, "{}", client.to_canonical());
        }
        let seen = Seen {
            event: *event,
            row,
            id: &id,
            client: &self.client,
            created,
            keep_original: self.keep_original,
        };
        for (column, filler) in COLUMNS.iter().zip(&mut self.fillers) {
            match (filler, &column.cell) {
                (Filler::Time(builder), Cell::Time(get)) => {
                    builder.append_value(micros(get(&seen)));
                }
                (Filler::Text(builder), Cell::Field(field)) => {
                    let value = event.field(*field).filter(|value| !value.is_empty());
                    append(builder, value, TEXT_MAX, &mut self.scratch);
                }
                (Filler::Text(builder), Cell::Text(get)) => {
                    // What a column limits itself may be longer than the usual.
                    append(builder, get(&seen).as_deref(), usize::MAX, &mut self.scratch);
                }
                (Filler::Small(builder), Cell::Small(get)) => builder.append_option(get(&seen)),
                (Filler::Long(builder), Cell::Long(get)) => builder.append_option(get(&seen)),
                (Filler::Truth(builder), Cell::Truth(get)) => builder.append_option(get(&seen)),
                _ => unreachable!("a filler is made for its cell"),
            }
        }
        self.sorted &= self.times.last().is_none_or(|last| *last <= row.time.0);
        self.times.push(row.time.0);
    }

    /// The rows, sorted by time; none are left.
    pub(super) fn take(&mut self) -> Result<RecordBatch, HistoryError> {
        let columns = self.fillers.iter_mut().map(Filler::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&SCHEMA), columns)?;
        let times = std::mem::take(&mut self.times);
        if std::mem::replace(&mut self.sorted, true) {
            return Ok(batch);
        }
        let mut order: Vec<u32> = (0..times.len() as u32).collect();
        order.sort_by_key(|index| times[*index as usize]);
        Ok(take_record_batch(&batch, &UInt32Array::from(order))?)
    }
}

/// Microseconds since 1970.
pub(super) fn micros(time: Timestamp) -> i64 {
    (time.0 / 1000).cast_signed()
}

/// The same rows with all columns of this version: an older file lacks some.
pub(super) fn with_all_columns(batch: &RecordBatch) -> Result<RecordBatch, HistoryError> {
    let column = |field: &Arc<ArrowField>| -> ArrayRef {
        let missing = || new_null_array(field.data_type(), batch.num_rows());
        batch.column_by_name(field.name()).map_or_else(missing, Arc::clone)
    };
    let columns = SCHEMA.fields().iter().map(column).collect();
    Ok(RecordBatch::try_new(Arc::clone(&SCHEMA), columns)?)
}

/// The same rows as a reader of parts has them: texts as dictionaries.
pub(super) fn with_dictionaries(batch: &RecordBatch) -> Result<RecordBatch, HistoryError> {
    let column = |(column, field): (&ArrayRef, &Arc<ArrowField>)| -> ArrayRef {
        match (field.data_type(), column.as_string_opt::<i32>()) {
            (DataType::Dictionary(..), Some(texts)) => {
                Arc::new(texts.iter().collect::<DictionaryArray<Int32Type>>())
            }
            _ => Arc::clone(column),
        }
    };
    let columns = batch.columns().iter().zip(READ_SCHEMA.fields()).map(column).collect();
    Ok(RecordBatch::try_new(Arc::clone(&READ_SCHEMA), columns)?)
}

fn append(builder: &mut StringBuilder, value: Option<&[u8]>, max: usize, scratch: &mut Vec<u8>) {
    let Some(value) = value else {
        builder.append_null();
        return;
    };
    let value = &value[..value.len().min(max)];
    match std::str::from_utf8(value) {
        Ok(text) => builder.append_value(text),
        // Cut within a character, or no text at all: what is odd is written as `\xHH`.
        Err(_) => {
            scratch.clear();
            push_utf8(scratch, value);
            builder.append_value(String::from_utf8_lossy(scratch));
        }
    }
}
