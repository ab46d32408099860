//! One file of the archive: how it is written, and how its rows are read.
//!
//! Invariant: a file is read a group of rows at a time, and of a group only what was asked for, so that
//! memory does not depend on how large a file is.

use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{KeyValue, RowGroupMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;

use super::HistoryError;
use super::files::{DayNumber, Finished, Hashing, Tree, part_name};
use super::schema::{COLUMNS, Habit, READ_SCHEMA, SCHEMA, SCHEMA_VERSION, TIME, column_index};
use crate::units::Timestamp;

/// Rows of a group: what statistics and bloom filters speak of, and what is in memory when writing.
pub(super) const GROUP_ROWS: usize = 1 << 17;

/// Rows read at once.
const BATCH_ROWS: usize = 1 << 13;

/// Different values that a bloom filter is made for at most; it shrinks to what there is.
const BLOOM_VALUES_MAX: u64 = 1 << 16;

static PROPERTIES: LazyLock<WriterProperties> = LazyLock::new(properties);

fn properties() -> WriterProperties {
    let version = KeyValue::new("gatewatch.schema".to_owned(), SCHEMA_VERSION.to_string());
    let sorted = SortingColumn { column_idx: 0, descending: false, nulls_first: false };
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("gatewatch ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![version]))
        .set_sorting_columns(Some(vec![sorted]))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(64))
        .set_max_row_group_row_count(Some(GROUP_ROWS));
    for column in COLUMNS {
        let path = ColumnPath::new(vec![column.name.to_owned()]);
        let encoding = match column.habit {
            Habit::Repeats => None,
            Habit::Grows => Some(Encoding::DELTA_BINARY_PACKED),
            Habit::Unique => Some(Encoding::DELTA_BYTE_ARRAY),
        };
        if let Some(encoding) = encoding {
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path.clone(), encoding);
        }
        if column.bloom {
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), 0.01)
                .set_column_bloom_filter_max_ndv(path, BLOOM_VALUES_MAX);
        }
    }
    properties.build()
}

/// Writes a file into the work folder.
pub(super) struct PartWriter {
    path: PathBuf,
    writer: ArrowWriter<Hashing>,
    day: DayNumber,
    first: Option<Timestamp>,
    rows: u64,
}

impl PartWriter {
    /// `number` is different for each file that is being written.
    pub(super) fn create(tree: &Tree, day: DayNumber, number: u64) -> Result<Self, HistoryError> {
        let (path, file) = tree.create(number)?;
        // Without hints about Arrow's types a reader takes those of Parquet.
        let options = ArrowWriterOptions::new()
            .with_properties(PROPERTIES.clone())
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, Arc::clone(&SCHEMA), options)?;
        Ok(Self { path, writer, day, first: None, rows: 0 })
    }

    /// Appends rows, which are later than all before.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), HistoryError> {
        if self.first.is_none() {
            let times = super::page::times(batch);
            let first = times.first().map(|time| Timestamp(time.cast_unsigned() * 1000));
            self.first = first;
        }
        self.rows += batch.num_rows() as u64;
        Ok(self.writer.write(batch)?)
    }

    /// About how large it is by now.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.inner().bytes() + self.writer.in_progress_size() as u64
    }

    /// Completes the file and puts it on the disk.
    pub(super) fn finish(mut self) -> Result<Finished, HistoryError> {
        self.writer.finish()?;
        let file = self.writer.inner_mut();
        let checksum = file.sync().map_err(HistoryError::io("write", &self.path))?;
        let name = part_name(self.first.unwrap_or_default(), checksum);
        Ok(Finished { day: self.day, path: self.path, name, rows: self.rows })
    }
}

/// Reads a damaged file as any other error: what is in it must not end a thread.
pub(super) fn guarded<T>(
    path: &Path,
    read: impl FnOnce() -> Result<T, HistoryError>,
) -> Result<T, HistoryError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let reason = "its reader gave up".to_owned();
        Err(HistoryError::Damaged { path: path.to_owned(), reason })
    })
}

/// An open file.
pub(super) struct PartReader {
    path: PathBuf,
    file: File,
    meta: ArrowReaderMetadata,
    /// Place of each of [`COLUMNS`] in the file; an older file lacks some.
    places: Vec<Option<usize>>,
}

impl PartReader {
    /// Opens a file; texts are read as dictionaries where `dictionaries` says so.
    pub(super) fn open(path: &Path, dictionaries: bool) -> Result<Self, HistoryError> {
        let file = File::open(path).map_err(HistoryError::io("open", path))?;
        Self::of_file(path, file, dictionaries)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The same of a file that is open.
    pub(super) fn of_file(
        path: &Path,
        file: File,
        dictionaries: bool,
    ) -> Result<Self, HistoryError> {
        guarded(path, || Self::understand(path, file, dictionaries))
    }

    fn understand(path: &Path, file: File, dictionaries: bool) -> Result<Self, HistoryError> {
        let damaged = |error: parquet::errors::ParquetError| HistoryError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let found = ArrowReaderMetadata::load(&file, options.clone()).map_err(damaged)?;
        let wanted = if dictionaries { &READ_SCHEMA } else { &SCHEMA };
        let mut places = vec![None; COLUMNS.len()];
        let mut fields: Vec<Arc<Field>> = Vec::new();
        for (place, field) in found.schema().fields().iter().enumerate() {
            let column = column_index(field.name());
            if let Some(column) = column {
                places[column] = Some(place);
            }
            let known = column.map(|column| wanted.field(column).data_type().clone());
            let data_type = known.unwrap_or_else(|| field.data_type().clone());
            fields.push(Arc::new(field.as_ref().clone().with_data_type(data_type)));
        }
        if places[0].is_none() {
            let reason = format!("it has no column {TIME}");
            return Err(HistoryError::Damaged { path: path.to_owned(), reason });
        }
        let schema = Arc::new(Schema::new(fields));
        let meta =
            ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options.with_schema(schema))
                .map_err(damaged)?;
        Ok(Self { path: path.to_owned(), file, meta, places })
    }

    /// Groups of rows.
    pub(super) fn groups(&self) -> Range<usize> {
        0..self.meta.metadata().num_row_groups()
    }

    /// Rows of a group.
    pub(super) fn group(&self, group: usize) -> &RowGroupMetaData {
        self.meta.metadata().row_group(group)
    }

    /// First and last time of a group in microseconds, as far as the file says.
    pub(super) fn group_span(&self, group: usize) -> (i64, i64) {
        match self.statistics(group, 0) {
            Some(Statistics::Int64(value)) => (
                value.min_opt().copied().unwrap_or(i64::MIN),
                value.max_opt().copied().unwrap_or(i64::MAX),
            ),
            _ => (i64::MIN, i64::MAX),
        }
    }

    /// First and last time of the file in microseconds.
    pub(super) fn span(&self) -> (i64, i64) {
        let spans = self.groups().map(|group| self.group_span(group));
        let join = |a: (i64, i64), b: (i64, i64)| (a.0.min(b.0), a.1.max(b.1));
        spans.reduce(join).unwrap_or((i64::MAX, i64::MIN))
    }

    /// What the file says about a column of a group.
    pub(super) fn statistics(&self, group: usize, column: usize) -> Option<&Statistics> {
        self.group(group).column(self.places[column]?).statistics()
    }

    /// The file has the column, and a value in it.
    pub(super) fn has_values(&self, group: usize, column: usize) -> bool {
        let nulls = self.statistics(group, column).and_then(Statistics::null_count_opt);
        let rows = u64::try_from(self.group(group).num_rows()).unwrap_or(0);
        self.places[column].is_some() && nulls.is_none_or(|nulls| nulls < rows)
    }

    /// Which values are not in a column of a group, if the file knows.
    pub(super) fn bloom(&self, group: usize, column: usize) -> Option<Sbbf> {
        let builder = self.builder().ok()?;
        builder.get_row_group_column_bloom_filter(group, self.places[column]?).ok()?
    }

    /// The columns of `wanted` that the file has, as it knows them.
    pub(super) fn mask(&self, wanted: &[usize]) -> ProjectionMask {
        let places = wanted.iter().filter_map(|column| self.places[*column]);
        ProjectionMask::leaves(self.meta.parquet_schema(), places)
    }

    fn builder(&self) -> Result<ParquetRecordBatchReaderBuilder<File>, HistoryError> {
        let file = self.file.try_clone().map_err(HistoryError::io("read", &self.path))?;
        Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.meta.clone()))
    }

    /// The rows of a group that `filter` lets through, with the columns of `wanted` that the file has.
    pub(super) fn read(
        &self,
        group: usize,
        wanted: &[usize],
        filter: Option<RowFilter>,
    ) -> Result<ParquetRecordBatchReader, HistoryError> {
        let mut builder = self
            .builder()?
            .with_row_groups(vec![group])
            .with_batch_size(BATCH_ROWS)
            .with_projection(self.mask(wanted));
        if let Some(filter) = filter {
            builder = builder.with_row_filter(filter);
        }
        builder.build().map_err(|error| self.damaged(&error))
    }

    /// What a reader says of this file while reading.
    pub(super) fn damaged(&self, error: &dyn std::error::Error) -> HistoryError {
        HistoryError::Damaged { path: self.path.clone(), reason: error.to_string() }
    }

    /// The type of a column when it is read.
    pub(super) fn data_type(column: usize, dictionaries: bool) -> DataType {
        let schema = if dictionaries { &READ_SCHEMA } else { &SCHEMA };
        schema.field(column).data_type().clone()
    }
}
