//! The archive, for writing: rows become parts, parts of a day become one, old ones go.
//!
//! Everything here can be repeated: an event that is in the archive already is left out, by its id. So a
//! run that was killed anywhere is simply done again, and the same old log can be read in as often as
//! one likes.
//!
//! Invariant: each `event.id` is in one part only. Nothing changes but under the lock of the folder.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use super::HistoryError;
use super::config::HistoryConfig;
use super::files::{DayNumber, Finished, Part, Tree, day_at, day_name};
use super::merge::{Batches, Merge, Pending};
use super::page::{time_of, times};
use super::part::{PartReader, PartWriter, guarded};
use super::rows::{Rows, with_all_columns};
use super::scan::{Damage, Extent, History};
use super::schema::{COLUMNS, ID, column_index};
use crate::engine::batch::EventBatch;
use crate::units::{ByteSize, Period, Timestamp};

/// About how large a part becomes at most when parts are joined.
const PART_BYTES_MAX: u64 = 256 << 20;

/// Parts of a day that is not over, from which on the small ones are joined.
const SMALL_PARTS_MAX: usize = 24;

/// A part is small up to this size.
const SMALL_BYTES: u64 = 32 << 20;

/// How long after midnight events of the day before still come.
const DAY_SETTLES: Period = Period::from_secs(2 * 3600);

/// What the archive may take where nobody says it.
const SIZE_DEFAULT: u64 = 2 << 30;

/// What was written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Published {
    /// Events that are new in the archive.
    pub events: u64,
    /// Events that were there already.
    pub known: u64,
    /// Files.
    pub parts: u64,
}

/// What was removed because it was old, or because room was needed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Removed {
    /// Files.
    pub parts: u64,
    /// Their size together.
    pub bytes: u64,
    /// Newest day of which something went.
    pub until: Option<DayNumber>,
    /// It went for want of room, before its time.
    pub early: bool,
}

/// The archive, for writing.
pub struct Archive {
    tree: Tree,
    config: HistoryConfig,
    rows: Rows,
    /// Numbers of files in the work folder.
    number: u64,
    /// First and last time of parts, by their place: a part never changes.
    spans: HashMap<PathBuf, (i64, i64)>,
    /// Parts that were set aside since somebody asked.
    damaged: Vec<Damage>,
}

impl Archive {
    /// The archive in `directory`. Nothing is touched before there is something to write.
    pub fn new(directory: &Path, config: &HistoryConfig) -> Self {
        Self {
            tree: Tree::new(directory),
            rows: Rows::new(config.keep_original),
            config: config.clone(),
            number: 0,
            spans: HashMap::new(),
            damaged: Vec::new(),
        }
    }

    /// The same for reading.
    pub fn history(&self) -> History {
        History::new(self.tree.root())
    }

    /// Events that wait to be published.
    pub fn waiting(&self) -> usize {
        self.rows.len()
    }

    /// Takes the events of `batch`, whose lines were read at `created`.
    pub fn add(&mut self, batch: &EventBatch, created: Timestamp) {
        self.rows.push(batch, created);
    }

    /// Forgets what was added and not published.
    pub fn forget(&mut self) {
        self.rows = Rows::new(self.config.keep_original);
    }

    /// What was set aside since this was asked last.
    pub fn take_damaged(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damaged)
    }

    /// Makes parts of what was added, a day each. `done` is called when they are in their places, before
    /// anybody else may look: for the reader's cursor.
    pub fn publish(
        &mut self,
        done: impl FnOnce() -> Result<(), HistoryError>,
    ) -> Result<Published, HistoryError> {
        let batch = self.rows.take()?;
        let _lock = self.tree.lock()?;
        self.tree.clean()?;
        let mut published = Published::default();
        let mut finished = Vec::new();
        for (day, rows) in by_day(&batch) {
            let fresh = self.unknown_of(day, &rows)?;
            published.known += (rows.num_rows() - fresh.num_rows()) as u64;
            if fresh.num_rows() == 0 {
                continue;
            }
            let number = self.next_number();
            let mut writer = PartWriter::create(&self.tree, day, number)?;
            writer.write(&fresh)?;
            finished.push(writer.finish()?);
        }
        for part in &finished {
            self.tree.publish(part)?;
            published.events += part.rows;
            published.parts += 1;
        }
        done()?;
        Ok(published)
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// The rows whose events are not in the archive yet.
    fn unknown_of(
        &mut self,
        day: DayNumber,
        rows: &RecordBatch,
    ) -> Result<RecordBatch, HistoryError> {
        let ids = rows.column(id_column()).as_string::<i32>();
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(ids.len());
        let mut fresh = vec![false; ids.len()];
        for (row, id) in ids.iter().enumerate() {
            fresh[row] = places.insert(id.unwrap_or_default(), row).is_none();
        }
        // The first of two is kept, and it is the one to strike out.
        for (row, id) in ids.iter().enumerate().filter(|(row, _)| fresh[*row]) {
            places.insert(id.unwrap_or_default(), row);
        }
        let moments = times(rows);
        let span = (moments[0], moments[moments.len() - 1]);
        for part in self.tree.parts_of(day)? {
            let known = self.each_id(&part, span, |id| {
                if let Some(row) = places.get(id) {
                    fresh[*row] = false;
                }
            });
            self.or_aside(known)?;
        }
        Ok(filter_record_batch(rows, &BooleanArray::from(fresh))?)
    }

    /// Hands the ids of events of a time to `see`, and of some more.
    fn each_id(
        &mut self,
        part: &Part,
        (first, last): (i64, i64),
        mut see: impl FnMut(&str),
    ) -> Result<(), HistoryError> {
        let overlaps = |span: &(i64, i64)| span.0 <= last && first <= span.1;
        if self.spans.get(&part.path).is_some_and(|span| !overlaps(span)) {
            return Ok(());
        }
        let reader = PartReader::open(&part.path, false)?;
        self.spans.insert(part.path.clone(), reader.span());
        guarded(&part.path, || {
            for group in reader.groups().filter(|group| overlaps(&reader.group_span(*group))) {
                for batch in reader.read(group, &[id_column()], None)? {
                    let batch = batch.map_err(|error| reader.damaged(&error))?;
                    let ids = batch.column(0).as_string_opt::<i32>();
                    ids.into_iter().flatten().flatten().for_each(&mut see);
                }
            }
            Ok(())
        })
    }

    /// A part that cannot be read goes out of the way; any other failure stays one.
    fn or_aside(&mut self, result: Result<(), HistoryError>) -> Result<bool, HistoryError> {
        match result {
            Ok(()) => Ok(true),
            Err(HistoryError::Damaged { path, reason }) => {
                self.set_aside(path, reason)?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn set_aside(&mut self, path: PathBuf, words: String) -> Result<(), HistoryError> {
        let place = self.tree.set_aside(&path)?;
        tracing::error!(
            "a part of the archive is damaged ({words}); it is kept as {}, and its events are not found \
             any more",
            place.display()
        );
        self.spans.remove(&path);
        self.damaged.push(Damage { path, words });
        Ok(())
    }

    /// Joins parts of one day, if there is a day whose parts are worth it; false when there is none.
    pub fn compact(&mut self, now: Timestamp) -> Result<bool, HistoryError> {
        let _lock = self.tree.lock()?;
        self.tree.clean()?;
        let today = day_at(now.minus(DAY_SETTLES));
        let days = self.tree.parts()?;
        let all: u64 = days.values().flatten().map(|part| part.bytes).sum();
        self.spans.retain(|path, _| days.values().flatten().any(|part| part.path == *path));
        let room = self.limit(all)?.0.saturating_sub(all);
        for (day, parts) in days {
            let chosen = worth_joining(parts, day < today);
            let bytes: u64 = chosen.iter().map(|part| part.bytes).sum();
            // Old and new lie side by side for a while.
            if !chosen.is_empty() && bytes <= room.max(SMALL_BYTES) {
                return self.join(day, chosen).map(|()| true);
            }
        }
        Ok(false)
    }

    fn join(&mut self, day: DayNumber, mut parts: Vec<Part>) -> Result<(), HistoryError> {
        let mut sound = Vec::new();
        for part in parts.drain(..) {
            // A damaged part must not make a new one that looks whole.
            if part.is_sound()? {
                sound.push(part);
            } else {
                let words = "its content is not what was written".to_owned();
                self.set_aside(part.path, words)?;
            }
        }
        let files = sound.iter().map(|part| Pending {
            first: super::rows::micros(part.starts()),
            open: Box::new({
                let path = part.path.clone();
                move || AllRows::open(&path)
            }),
        });
        let mut finished: Vec<Finished> = Vec::new();
        let mut writer: Option<PartWriter> = None;
        for batch in Merge::new(files.collect()) {
            let batch = match batch {
                Err(HistoryError::Damaged { path, reason }) => {
                    // The next turn joins the others.
                    return self.set_aside(path, reason);
                }
                other => other?,
            };
            let open = match &mut writer {
                Some(open) => open,
                None => {
                    let number = self.next_number();
                    writer.insert(PartWriter::create(&self.tree, day, number)?)
                }
            };
            open.write(&batch)?;
            if PART_BYTES_MAX <= open.bytes()
                && let Some(full) = writer.take()
            {
                finished.push(full.finish()?);
            }
        }
        if let Some(last) = writer {
            finished.push(last.finish()?);
        }
        let rows: u64 = finished.iter().map(|part| part.rows).sum();
        tracing::debug!("{}: {} parts joined, {rows} events", day_name(day), sound.len());
        self.tree.replace(day, &sound, &finished)
    }

    /// Removes what is older than it shall be, and the oldest parts while there are too many.
    pub fn retain(&mut self, now: Timestamp) -> Result<Removed, HistoryError> {
        let _lock = self.tree.lock()?;
        let mut parts: Vec<Part> = self.tree.parts()?.into_values().flatten().collect();
        let first_kept = day_at(now).saturating_sub(self.config.keep_days());
        let mut size: u64 = parts.iter().map(|part| part.bytes).sum();
        let limit = self.limit(size)?.0;
        let (mut gone, mut removed) = (Vec::new(), Removed::default());
        for part in parts.drain(..) {
            let is_old = part.day < first_kept;
            if !is_old && size <= limit {
                break;
            }
            size -= part.bytes;
            removed.early |= !is_old;
            removed.parts += 1;
            removed.bytes += part.bytes;
            removed.until = Some(part.day);
            gone.push(part);
        }
        if !gone.is_empty() {
            self.tree.delete(&gone)?;
        }
        Ok(removed)
    }

    /// What the archive may take, of which `used` bytes are taken.
    pub fn limit(&self, used: u64) -> Result<ByteSize, HistoryError> {
        if let Some(size) = self.config.max_size {
            return Ok(size);
        }
        let all = self.tree.free()?.0.saturating_add(used);
        Ok(ByteSize(SIZE_DEFAULT.min(all / 10)))
    }

    /// How much there is.
    pub fn extent(&self) -> Result<Extent, HistoryError> {
        self.history().extent()
    }
}

fn id_column() -> usize {
    column_index(ID).unwrap_or_default()
}

/// All rows of a part, with all columns.
struct AllRows {
    reader: PartReader,
    groups: std::ops::Range<usize>,
    rows: Option<ParquetRecordBatchReader>,
    wanted: Vec<usize>,
}

impl AllRows {
    fn open(path: &Path) -> Result<Batches, HistoryError> {
        let reader = PartReader::open(path, false)?;
        let (groups, wanted) = (reader.groups(), (0..COLUMNS.len()).collect());
        Ok(Box::new(Self { reader, groups, rows: None, wanted }))
    }
}

impl Iterator for AllRows {
    type Item = Result<RecordBatch, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.rows.as_mut().and_then(Iterator::next) {
                let batch = batch.map_err(|error| self.reader.damaged(&error));
                return Some(batch.and_then(|batch| with_all_columns(&batch)));
            }
            match self.reader.read(self.groups.next()?, &self.wanted, None) {
                Ok(rows) => self.rows = Some(rows),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The parts that should become one. Of a day that is over that is all of them, unless little has come
/// to a large part; of the present day the small ones, when there are many.
fn worth_joining(parts: Vec<Part>, is_over: bool) -> Vec<Part> {
    let is_small = |part: &Part| part.bytes < SMALL_BYTES;
    if !is_over {
        let small: Vec<Part> = parts.into_iter().filter(is_small).collect();
        return if SMALL_PARTS_MAX <= small.len() { small } else { Vec::new() };
    }
    let open: Vec<Part> =
        parts.into_iter().filter(|part| part.bytes < PART_BYTES_MAX * 3 / 4).collect();
    let all: u64 = open.iter().map(|part| part.bytes).sum();
    let largest = open.iter().map(|part| part.bytes).max().unwrap_or(0);
    let is_worth_it = 2 <= open.len()
        && (largest / 8 <= all - largest || is_small_day(all) || SMALL_PARTS_MAX <= open.len());
    if is_worth_it { open } else { Vec::new() }
}

/// So little that joining it again costs nothing.
fn is_small_day(bytes: u64) -> bool {
    bytes < SMALL_BYTES
}

/// The rows of each day. They are sorted by time.
fn by_day(batch: &RecordBatch) -> Vec<(DayNumber, RecordBatch)> {
    let moments = times(batch);
    let (mut days, mut start) = (Vec::new(), 0);
    while start < moments.len() {
        let day = day_at(time_of(moments[start]));
        let length = moments[start..].partition_point(|moment| day_at(time_of(*moment)) == day);
        days.push((day, batch.slice(start, length)));
        start += length;
    }
    days
}

/// Ids that are in the archive more than once, and how many there are: for tests and `verify`.
pub fn repeated_ids(history: &History) -> Result<(u64, Vec<String>), HistoryError> {
    let (mut seen, mut twice, mut count) = (HashSet::new(), Vec::new(), 0);
    for page in history.scan(&super::Filter::default(), &[ID], super::Order::Any, || Ok(None))? {
        let page = page?;
        for row in 0..page.len() {
            let id = page.text(0, row).unwrap_or_default();
            count += 1;
            if !seen.insert(id.to_owned()) {
                twice.push(id.to_owned());
            }
        }
    }
    Ok((count, twice))
}
