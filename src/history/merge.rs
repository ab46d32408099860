//! Joins rows of several files into one order by time, a batch at a time.
//!
//! A file is opened when its first row can be the next one, and closed after its last: files of an
//! archive hardly overlap, so that few are open at once, however many there are.
//!
//! Invariant: rows come out sorted by their time where each file's rows are; those of one moment in the
//! order of the files.

use std::collections::VecDeque;

use arrow_array::RecordBatch;
use arrow_select::interleave::interleave_record_batch;

use super::HistoryError;
use super::page::times;

/// Rows put together at once where files overlap.
const MERGED_ROWS: usize = 1 << 12;

/// The batches of one file.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, HistoryError>>>;

/// A file that is not open yet.
pub(super) struct Pending {
    /// No row of it is before this moment.
    pub(super) first: i64,
    /// Opens it.
    pub(super) open: Box<dyn FnOnce() -> Result<Batches, HistoryError>>,
}

/// A file that is open.
struct Open {
    batches: Batches,
    batch: RecordBatch,
    row: usize,
}

impl Open {
    fn time(&self) -> i64 {
        times(&self.batch)[self.row]
    }

    /// Goes on to the next batch with rows; false when there is none.
    fn refill(&mut self) -> Result<bool, HistoryError> {
        for batch in self.batches.by_ref() {
            let batch = batch?;
            if 0 < batch.num_rows() {
                (self.batch, self.row) = (batch, 0);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The rows of several files. The first column is their time.
pub(super) struct Merge {
    pending: VecDeque<Pending>,
    open: Vec<Open>,
}

impl Merge {
    /// Joins files.
    pub(super) fn new(mut files: Vec<Pending>) -> Self {
        files.sort_by_key(|file| file.first);
        Self { pending: files.into(), open: Vec::new() }
    }

    /// Opens files whose rows can be the next ones.
    fn open_due(&mut self) -> Result<(), HistoryError> {
        loop {
            let next = self.open.iter().map(Open::time).min();
            let is_due = |file: &Pending| next.is_none_or(|next| file.first <= next);
            if !self.pending.front().is_some_and(is_due) {
                return Ok(());
            }
            let Some(file) = self.pending.pop_front() else { return Ok(()) };
            let batches = (file.open)()?;
            let empty = RecordBatch::new_empty(arrow_schema::Schema::empty().into());
            let mut open = Open { batches, batch: empty, row: 0 };
            if open.refill()? {
                self.open.push(open);
            }
        }
    }

    /// The file with the next row, and until when it has the next ones alone.
    fn leader(&self) -> Option<(usize, i64)> {
        let (leader, _) = self.open.iter().enumerate().min_by_key(|(_, open)| open.time())?;
        let others = self.open.iter().enumerate().filter(|(index, _)| *index != leader);
        let until = others.map(|(_, open)| open.time()).min().unwrap_or(i64::MAX);
        let pending = self.pending.front().map_or(i64::MAX, |file| file.first);
        Some((leader, until.min(pending)))
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, HistoryError> {
        self.open_due()?;
        let Some((leader, until)) = self.leader() else { return Ok(None) };
        let open = &mut self.open[leader];
        let ahead = &times(&open.batch)[open.row..];
        let alone = ahead.partition_point(|time| *time < until);
        if alone == ahead.len() || MERGED_ROWS <= alone {
            let batch = open.batch.slice(open.row, alone);
            open.row += alone;
            if open.row == open.batch.num_rows() && !open.refill()? {
                self.open.remove(leader);
            }
            return Ok(Some(batch));
        }
        self.interleave().map(Some)
    }

    /// Takes rows of several files in turn.
    fn interleave(&mut self) -> Result<RecordBatch, HistoryError> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut slots: Vec<usize> = Vec::new();
        for open in &self.open {
            slots.push(batches.len());
            batches.push(open.batch.clone());
        }
        let mut rows = Vec::with_capacity(MERGED_ROWS);
        while rows.len() < MERGED_ROWS {
            let Some((leader, _)) = self.leader() else { break };
            let open = &mut self.open[leader];
            // A file that is not open yet may have the next row.
            if self.pending.front().is_some_and(|file| file.first <= open.time())
                && !rows.is_empty()
            {
                break;
            }
            rows.push((slots[leader], open.row));
            open.row += 1;
            if open.row < open.batch.num_rows() {
                continue;
            }
            if open.refill()? {
                slots[leader] = batches.len();
                batches.push(open.batch.clone());
            } else {
                self.open.remove(leader);
                slots.remove(leader);
            }
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        Ok(interleave_record_batch(&batches, &rows)?)
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray as _;
    use arrow_array::types::Int64Type;
    use arrow_array::{Int64Array, TimestampMicrosecondArray};
    use arrow_schema::{DataType, Field, Schema, TimeUnit};

    use super::*;
    use crate::io::{Chance as _, Seeded};

    fn batch(rows: &[(i64, i64)]) -> RecordBatch {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        let fields =
            vec![Field::new("time", time, false), Field::new("number", DataType::Int64, false)];
        let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.0)).collect();
        let numbers: Int64Array = rows.iter().map(|row| Some(row.1)).collect();
        let columns = vec![Arc::new(times) as _, Arc::new(numbers) as _];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("two columns")
    }

    fn rows(batch: &RecordBatch) -> Vec<(i64, i64)> {
        let numbers = batch.column(1).as_primitive::<Int64Type>().values();
        times(batch).iter().copied().zip(numbers.iter().copied()).collect()
    }

    /// Files of random rows come out as one sorted list.
    fn check(seed: u64, files: u64, rows_max: u64, spread: u64) {
        let mut chance = Seeded::new(seed);
        let (mut pending, mut expected, mut number) = (Vec::new(), Vec::new(), 0);
        for _ in 0..files {
            let start = chance.next_u64() % (4 * spread);
            let mut moments: Vec<i64> = (0..chance.next_u64() % rows_max)
                .map(|_| (start + chance.next_u64() % spread) as i64)
                .collect();
            moments.sort_unstable();
            let rows: Vec<(i64, i64)> = moments
                .into_iter()
                .map(|moment| {
                    number += 1;
                    (moment, number)
                })
                .collect();
            expected.extend(rows.iter().copied());
            let first = rows.first().map_or(0, |row| row.0);
            let size = 1 + (chance.next_u64() % 7000) as usize;
            let batches: Vec<_> = rows.chunks(size).map(|rows| Ok(batch(rows))).collect();
            let open = Box::new(move || Ok(Box::new(batches.into_iter()) as Batches));
            pending.push(Pending { first, open });
        }
        let mut found = Vec::new();
        for batch in Merge::new(pending) {
            found.extend(rows(&batch.expect("merged")));
        }
        assert!(found.is_sorted_by_key(|row| row.0), "seed {seed}");
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(expected, found, "seed {seed}");
    }

    #[test]
    fn files_that_overlap_come_out_in_the_order_of_time() {
        for seed in 0..60 {
            check(seed, 1 + seed % 9, 400, 1000);
            check(seed, 4, 60, 5);
        }
        check(7, 3, 30_000, 40);
        check(8, 6, 30_000, 1_000_000);
    }
}
