//! Rows of the archive as a reader sees them: cells by column and row.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

use crate::units::Timestamp;

/// Some rows, with the columns that were asked for, in the order in which they were.
#[derive(Clone, Debug)]
pub struct Page(pub(super) RecordBatch);

/// A cell that has a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CellValue<'p> {
    /// A text.
    Text(&'p str),
    /// A whole number.
    Number(i64),
    /// True or false.
    Truth(bool),
    /// A moment.
    Time(Timestamp),
}

impl Page {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.num_rows()
    }

    /// There is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows as Arrow has them; texts are dictionaries.
    pub fn batch(&self) -> &RecordBatch {
        &self.0
    }

    /// The value in a cell, if there is one.
    pub fn cell(&self, column: usize, row: usize) -> Option<CellValue<'_>> {
        let array = self.0.column(column);
        if array.is_null(row) {
            return None;
        }
        Some(match array.data_type() {
            DataType::Timestamp(..) => CellValue::Time(time_of(
                array.as_primitive::<TimestampMicrosecondType>().value(row),
            )),
            DataType::Int32 => {
                CellValue::Number(array.as_primitive::<Int32Type>().value(row).into())
            }
            DataType::Int64 => CellValue::Number(array.as_primitive::<Int64Type>().value(row)),
            DataType::Boolean => CellValue::Truth(array.as_boolean().value(row)),
            _ => CellValue::Text(text(array.as_ref(), row)?),
        })
    }

    /// The text in a cell, if there is one.
    pub fn text(&self, column: usize, row: usize) -> Option<&str> {
        text(self.0.column(column).as_ref(), row)
    }

    /// The number in a cell, if there is one.
    pub fn number(&self, column: usize, row: usize) -> Option<i64> {
        match self.cell(column, row)? {
            CellValue::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The moment in a cell, if there is one.
    pub fn time(&self, column: usize, row: usize) -> Option<Timestamp> {
        match self.cell(column, row)? {
            CellValue::Time(time) => Some(time),
            _ => None,
        }
    }
}

/// The moment of a time in microseconds.
pub(super) fn time_of(micros: i64) -> Timestamp {
    Timestamp(u64::try_from(micros).unwrap_or(0).saturating_mul(1000))
}

/// The times of rows whose first column they are, in microseconds.
pub(super) fn times(batch: &RecordBatch) -> &[i64] {
    batch.column(0).as_primitive::<TimestampMicrosecondType>().values()
}

/// A text of a column that is plain or a dictionary.
pub(super) fn text(array: &dyn Array, row: usize) -> Option<&str> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row)),
        DataType::Dictionary(..) => {
            let dictionary = array.as_dictionary_opt::<Int32Type>()?;
            let values = dictionary.values().as_string_opt::<i32>()?;
            Some(values.value(dictionary.key(row)?))
        }
        _ => None,
    }
}
