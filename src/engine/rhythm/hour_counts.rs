//! What is counted in one hour that goes on.
//!
//! It is asked for every line, so a site that comes again is found without a search.

use super::measure::{Measure, SeriesName};

/// Bytes of a name that are told apart.
const NAME_BYTES_MAX: usize = 128;

/// The counts of an hour, by site and by source.
#[derive(Debug, Default)]
pub(super) struct HourCounts {
    rows: Vec<Row>,
    /// The rows asked for last: of a source, of a site.
    last: [usize; 2],
}

/// What is counted of a site, or of a source.
#[derive(Debug)]
struct Row {
    of: Vec<u8>,
    is_source: bool,
    counts: [u64; Measure::ALL.len()],
}

impl HourCounts {
    /// Counts. A name that has no row gets one if it `may` have one, else that of `other`.
    pub(super) fn add(
        &mut self,
        (measure, of, count): (Measure, &[u8], u64),
        other: &str,
        may: impl Fn(&str, usize) -> bool,
    ) {
        let of = &of[..of.len().min(NAME_BYTES_MAX)];
        let is_source = measure == Measure::Lines;
        let is_it = |row: &Row, of: &[u8]| row.is_source == is_source && row.of == of;
        let last = &mut self.last[usize::from(is_source)];
        if self.rows.get(*last).is_none_or(|row| !is_it(row, of)) {
            *last = self.rows.iter().position(|row| is_it(row, of)).unwrap_or_else(|| {
                let rows = self.rows.iter().filter(|row| row.is_source == is_source).count();
                let of =
                    if may(&String::from_utf8_lossy(of), rows) { of } else { other.as_bytes() };
                let known = self.rows.iter().position(|row| is_it(row, of));
                known.unwrap_or_else(|| {
                    let counts = [0; Measure::ALL.len()];
                    self.rows.push(Row { of: of.to_vec(), is_source, counts });
                    self.rows.len() - 1
                })
            });
        }
        let sum = &mut self.rows[*last].counts[measure as usize];
        *sum = sum.saturating_add(count);
    }

    /// What was counted, and how often.
    pub(super) fn all(&self) -> impl Iterator<Item = (SeriesName, u64)> {
        self.rows.iter().flat_map(|row| {
            let counted =
                Measure::ALL.into_iter().filter(|measure| row.counts[*measure as usize] != 0);
            counted.map(|measure| {
                let of = String::from_utf8_lossy(&row.of).into_owned();
                (SeriesName { measure, of }, row.counts[measure as usize])
            })
        })
    }
}
