//! Reading the archive: the rows that are wanted, with the columns that are asked for.
//!
//! Nobody outside this module opens a file of the archive: searches, reports and commands ask
//! [`History::scan`] and get [`Page`]s.
//!
//! Invariant: a damaged part costs its own rows only, and is told ([`Scan::damage`]).

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowFilter};

use super::HistoryError;
use super::files::{DayNumber, Part, Tree, day_at};
use super::filter::Filter;
use super::merge::{Batches, Merge, Pending};
use super::page::{Page, time_of};
use super::part::{PartReader, guarded};
use super::schema::{COLUMNS, column_index};
use crate::units::Timestamp;

/// Files that are kept open, so that a part that is replaced meanwhile can still be read.
const OPEN_MAX: usize = 400;

/// Rows in which order?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// Sorted by time.
    Time,
    /// As it is quickest.
    Any,
}

/// The archive, for reading.
#[derive(Clone, Debug)]
pub struct History {
    tree: Tree,
}

/// What the archive holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extent {
    /// Files.
    pub parts: u64,
    /// Their size together.
    pub bytes: u64,
    /// Day of the oldest.
    pub oldest: Option<DayNumber>,
    /// Damaged files that were set aside.
    pub aside: u64,
}

/// A part that could not be read, in words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub words: String,
}

type Damages = Rc<RefCell<Vec<Damage>>>;

impl History {
    /// The archive in `directory`, which need not exist.
    pub fn new(directory: &Path) -> Self {
        Self { tree: Tree::new(directory) }
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        self.tree.root()
    }

    /// How much there is.
    pub fn extent(&self) -> Result<Extent, HistoryError> {
        let days = self.tree.parts()?;
        let parts = days.values().flatten();
        Ok(Extent {
            parts: parts.clone().count() as u64,
            bytes: parts.map(|part| part.bytes).sum(),
            oldest: days.keys().next().copied(),
            aside: self.tree.aside(),
        })
    }

    /// Reads every part and compares it with its checksum; answers how many there are, and which are not
    /// what was written.
    pub fn verify(&self) -> Result<(u64, Vec<PathBuf>), HistoryError> {
        let (mut count, mut damaged) = (0, Vec::new());
        for part in self.tree.parts()?.into_values().flatten() {
            count += 1;
            if !part.is_sound()? {
                damaged.push(part.path);
            }
        }
        Ok((count, damaged))
    }

    /// The rows that `filter` wants, with `columns` of them in that order.
    ///
    /// `beside` are rows that are not archived yet, with all columns; it is asked while nobody changes the
    /// archive, so that an event is either in a part or beside them.
    pub fn scan(
        &self,
        filter: &Filter,
        columns: &[&'static str],
        order: Order,
        beside: impl FnOnce() -> Result<Option<Beside>, HistoryError>,
    ) -> Result<Scan, HistoryError> {
        let lock = self.tree.lock_shared();
        let (from, until) = filter.span();
        let days = day_at(time_of(from))..=day_at(time_of(until));
        let mut parts: Vec<Part> = self.tree.parts()?.into_values().flatten().collect();
        parts.retain(|part| days.contains(&part.day));
        let files: Vec<(Part, Option<File>)> = parts
            .into_iter()
            .enumerate()
            .map(|(index, part)| {
                let file = (index < OPEN_MAX).then(|| File::open(&part.path).ok()).flatten();
                (part, file)
            })
            .collect();
        let beside = beside()?;
        drop(lock);
        let asked = Asked::new(filter, columns, order);
        let damages = Damages::default();
        let rows: Batches = match order {
            Order::Time => {
                let mut pending: Vec<Pending> = files
                    .into_iter()
                    .map(|(part, file)| pending(part, file, &asked, &damages))
                    .collect();
                pending.extend(beside.map(|beside| Pending {
                    first: i64::MIN,
                    open: Box::new({
                        let asked = Rc::clone(&asked);
                        move || Ok(asked.beside(beside))
                    }),
                }));
                Box::new(Merge::new(pending))
            }
            Order::Any => {
                let (asked, damages) = (Rc::clone(&asked), Rc::clone(&damages));
                let beside = beside.map(|beside| asked.beside(beside));
                let parts = files
                    .into_iter()
                    .flat_map(move |(part, file)| rows_of(&part, file, &asked, &damages));
                Box::new(parts.chain(beside.into_iter().flatten()))
            }
        };
        let skip = usize::from(order == Order::Time);
        Ok(Scan { rows, damages, skip })
    }
}

/// Rows that are not archived yet, with all columns and in batches that are sorted by time.
pub type Beside = Box<dyn Iterator<Item = Result<RecordBatch, HistoryError>>>;

/// The rows that are wanted.
pub struct Scan {
    rows: Batches,
    damages: Damages,
    /// Columns before those that were asked for.
    skip: usize,
}

impl Scan {
    /// What could not be read up to now.
    pub fn damage(&self) -> Vec<Damage> {
        self.damages.borrow().clone()
    }
}

impl Iterator for Scan {
    type Item = Result<Page, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.rows.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error)),
        };
        let columns: Vec<usize> = (self.skip..batch.num_columns()).collect();
        Some(batch.project(&columns).map(Page).map_err(HistoryError::from))
    }
}

/// What is read of each part.
struct Asked {
    filter: Filter,
    /// Places in [`COLUMNS`], in the order of the answer.
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Asked {
    fn new(filter: &Filter, names: &[&'static str], order: Order) -> Rc<Self> {
        // Time comes first where rows are joined by it.
        let mut columns: Vec<usize> = if order == Order::Time { vec![0] } else { Vec::new() };
        columns.extend(names.iter().filter_map(|name| column_index(name)));
        let field = |(place, column): (usize, &usize)| {
            let data_type = PartReader::data_type(*column, true);
            Field::new(format!("{place}:{}", COLUMNS[*column].name), data_type, true)
        };
        let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
        Rc::new(Self { filter: filter.clone(), columns, schema: Arc::new(schema) })
    }

    /// The columns in the order in which they were asked for; a file may lack some.
    fn arrange(&self, batch: &RecordBatch) -> Result<RecordBatch, HistoryError> {
        let rows = batch.num_rows();
        let column = |(column, field): (&usize, &Arc<Field>)| -> ArrayRef {
            let found = batch.column_by_name(COLUMNS[*column].name);
            found.map_or_else(|| new_null_array(field.data_type(), rows), Arc::clone)
        };
        let columns = self.columns.iter().zip(self.schema.fields()).map(column).collect();
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// The wanted rows of those that are not archived.
    fn beside(self: &Rc<Self>, rows: Beside) -> Batches {
        let asked = Rc::clone(self);
        Box::new(rows.map(move |batch| {
            let batch = batch?;
            let wanted = asked.filter.judge(&batch)?;
            let batch = filter_record_batch(&batch, &wanted)?;
            asked.arrange(&super::rows::with_dictionaries(&batch)?)
        }))
    }
}

impl Filter {
    /// The wanted rows of a batch that has all columns, with `columns` of them.
    pub fn page_of(
        &self,
        batch: &RecordBatch,
        columns: &[&'static str],
    ) -> Result<Page, HistoryError> {
        let wanted = filter_record_batch(batch, &self.judge(batch)?)?;
        let rows = super::rows::with_dictionaries(&wanted)?;
        Ok(Page(Asked::new(self, columns, Order::Any).arrange(&rows)?))
    }
}

/// A part that is opened when its first row can be the next one.
fn pending(part: Part, file: Option<File>, asked: &Rc<Asked>, damages: &Damages) -> Pending {
    // A name says when the first event happened, to the second.
    let first = super::rows::micros(part.starts());
    let (asked, damages) = (Rc::clone(asked), Rc::clone(damages));
    Pending { first, open: Box::new(move || Ok(rows_of(&part, file, &asked, &damages))) }
}

/// The wanted rows of a part; one that is damaged has fewer, and is told.
fn rows_of(part: &Part, file: Option<File>, asked: &Rc<Asked>, damages: &Damages) -> Batches {
    let opened = match file {
        Some(file) => PartReader::of_file(&part.path, file, true),
        None => PartReader::open(&part.path, true),
    };
    match opened {
        Ok(reader) => Box::new(PartRows {
            groups: reader.groups(),
            reader,
            rows: None,
            asked: Rc::clone(asked),
            damages: Rc::clone(damages),
        }),
        Err(HistoryError::Damaged { path, reason }) => {
            damages.borrow_mut().push(Damage { path, words: reason });
            Box::new(std::iter::empty())
        }
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

struct PartRows {
    reader: PartReader,
    groups: std::ops::Range<usize>,
    rows: Option<ParquetRecordBatchReader>,
    asked: Rc<Asked>,
    damages: Damages,
}

impl PartRows {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, HistoryError> {
        loop {
            if let Some(rows) = &mut self.rows {
                match rows.next() {
                    Some(Ok(batch)) if batch.num_rows() == 0 => continue,
                    Some(Ok(batch)) => return self.asked.arrange(&batch).map(Some),
                    Some(Err(error)) => return Err(self.reader.damaged(&error)),
                    None => self.rows = None,
                }
            }
            let Some(group) = self.groups.next() else { return Ok(None) };
            let filter = &self.asked.filter;
            if filter.may_be_in(&self.reader, group) {
                let filter = RowFilter::new(filter.predicates(&self.reader, group));
                self.rows = Some(self.reader.read(group, &self.asked.columns, Some(filter))?);
            }
        }
    }
}

impl Iterator for PartRows {
    type Item = Result<RecordBatch, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let path = self.reader.path().to_owned();
            match guarded(&path, || self.next_batch()) {
                // The other groups may be whole.
                Err(HistoryError::Damaged { path, reason }) => {
                    self.rows = None;
                    let mut damages = self.damages.borrow_mut();
                    if damages.last().is_none_or(|last| last.path != path) {
                        damages.push(Damage { path, words: reason });
                    }
                }
                other => return other.transpose(),
            }
        }
    }
}

/// All of a time, for tests and reports that ask for nothing else.
impl History {
    /// The rows from `from` to `until` in the order of time, archived ones only.
    pub fn rows(
        &self,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
        columns: &[&'static str],
    ) -> Result<Scan, HistoryError> {
        self.scan(&Filter::of_time(from, until), columns, Order::Time, || Ok(None))
    }
}
