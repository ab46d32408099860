//! Which rows are wanted: conditions that a whole group of rows can fail without being read.
//!
//! Invariant: a group that is passed over has no row that is wanted. Statistics and bloom filters can only
//! say no for certain.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use aho_corasick::AhoCorasick;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{ArrowError, DataType};
use ipnet::IpNet;
use parquet::arrow::arrow_reader::{ArrowPredicate, ArrowPredicateFn};
use parquet::file::statistics::Statistics;

use super::part::PartReader;
use super::rows::micros;
use super::schema::{CLIENT, COLUMNS, Cell, STATUS, column_index};
use crate::units::Timestamp;

/// Which rows are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this one.
    pub until: Option<Timestamp>,
    /// All of these.
    pub conditions: Vec<Condition>,
}

/// What a row must be like.
#[derive(Clone, Debug)]
pub enum Condition {
    /// A text is this one, letter by letter.
    Is(&'static str, String),
    /// A text matches.
    Like(&'static str, Pattern),
    /// The client is in this network.
    Network(IpNet),
    /// The status of the response is in this range.
    Status(RangeInclusive<u16>),
    /// A number of another column is in this range.
    Number(&'static str, RangeInclusive<i64>),
    /// One of the texts that are searched holds this, upper and lower case alike.
    Words(Words),
}

/// A text in which `*` stands for any letters, or for none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    parts: Vec<String>,
}

impl Pattern {
    /// The pattern that `text` writes.
    pub fn new(text: &str) -> Self {
        Self { parts: text.split('*').map(str::to_owned).collect() }
    }

    /// `text` matches it.
    pub fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_none_or(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last.as_str())
    }

    /// What every match begins with.
    fn prefix(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }
}

/// A text that is searched for.
#[derive(Clone, Debug)]
pub struct Words(Arc<AhoCorasick>);

impl Words {
    /// What `text` holds, upper and lower case of ASCII alike. `None` where it is too long.
    pub fn new(text: &str) -> Option<Self> {
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build([text]).ok()?;
        Some(Self(Arc::new(automaton)))
    }

    fn are_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl Filter {
    /// All rows of a time.
    pub fn of_time(from: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Self { from, until, conditions: Vec::new() }
    }

    /// First and last microsecond.
    pub(super) fn span(&self) -> (i64, i64) {
        let from = self.from.map_or(i64::MIN, micros_up);
        let until = self.until.map_or(i64::MAX, |until| micros_up(until).saturating_sub(1));
        (from, until)
    }

    /// A group of a file can have rows that are wanted.
    pub(super) fn may_be_in(&self, part: &PartReader, group: usize) -> bool {
        let ((first, last), (from, until)) = (part.group_span(group), self.span());
        first <= until && from <= last && self.conditions.iter().all(|it| it.may_be_in(part, group))
    }

    /// What the file's reader asks of a group, the cheapest first.
    pub(super) fn predicates(
        &self,
        part: &PartReader,
        group: usize,
    ) -> Vec<Box<dyn ArrowPredicate>> {
        let mut asked: Vec<Box<dyn ArrowPredicate>> = Vec::new();
        let ((first, last), (from, until)) = (part.group_span(group), self.span());
        if first < from || until < last {
            let test = move |batch: RecordBatch| Ok(in_time(&batch, from, until));
            asked.push(Box::new(ArrowPredicateFn::new(part.mask(&[0]), test)));
        }
        for condition in self.conditions.iter().cloned() {
            let mut columns = condition.columns();
            columns.retain(|column| part.has_values(group, *column));
            let mask = part.mask(&columns);
            let mut judge = Judge::new(condition);
            let test = move |batch: RecordBatch| judge.judge(&batch);
            asked.push(Box::new(ArrowPredicateFn::new(mask, test)));
        }
        asked
    }

    /// Which rows of a batch that has all columns are wanted.
    pub(super) fn judge(&self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let (from, until) = self.span();
        let mut wanted = in_time(batch, from, until);
        for condition in &self.conditions {
            let columns = batch.project(&condition.columns())?;
            let judged = Judge::new(condition.clone()).judge(&columns)?;
            wanted = wanted.iter().zip(judged.iter()).map(both).collect();
        }
        Ok(wanted)
    }
}

fn both((a, b): (Option<bool>, Option<bool>)) -> Option<bool> {
    Some(a == Some(true) && b == Some(true))
}

/// The first whole microsecond that is not before `time`.
fn micros_up(time: Timestamp) -> i64 {
    micros(Timestamp(time.0.saturating_add(999)))
}

fn in_time(batch: &RecordBatch, from: i64, until: i64) -> BooleanArray {
    let times = super::page::times(batch).iter();
    times.map(|time| Some((from..=until).contains(time))).collect()
}

impl Condition {
    /// Places of the columns it looks at.
    fn columns(&self) -> Vec<usize> {
        let place = |name: &str| column_index(name).into_iter().collect();
        match self {
            Self::Is(name, _) | Self::Like(name, _) | Self::Number(name, _) => place(name),
            Self::Network(_) => place(CLIENT),
            Self::Status(_) => place(STATUS),
            Self::Words(_) => {
                (0..COLUMNS.len()).filter(|column| COLUMNS[*column].searched).collect()
            }
        }
    }

    fn may_be_in(&self, part: &PartReader, group: usize) -> bool {
        let columns = self.columns();
        if !columns.iter().any(|column| part.has_values(group, *column)) {
            return false;
        }
        let [column] = columns[..] else { return true };
        let statistics = part.statistics(group, column);
        match self {
            Self::Is(_, text) => {
                may_hold_text(statistics, text, text)
                    && part.bloom(group, column).is_none_or(|bloom| bloom.check(text.as_str()))
            }
            Self::Like(_, pattern) => {
                let prefix = pattern.prefix();
                may_hold_text(statistics, prefix, &format!("{prefix}\u{10ffff}"))
            }
            Self::Status(range) => {
                let range = i64::from(*range.start())..=i64::from(*range.end());
                may_hold_number(statistics, &range)
            }
            Self::Number(_, range) => may_hold_number(statistics, range),
            Self::Network(_) | Self::Words(_) => true,
        }
    }
}

/// A value from `low` to `high` can be there. Texts in statistics are cut: the least downwards, the
/// greatest upwards.
fn may_hold_text(statistics: Option<&Statistics>, low: &str, high: &str) -> bool {
    let Some(Statistics::ByteArray(range)) = statistics else { return true };
    let least = range.min_opt().is_none_or(|min| min.data() <= high.as_bytes());
    least && range.max_opt().is_none_or(|max| low.as_bytes() <= max.data())
}

fn may_hold_number(statistics: Option<&Statistics>, wanted: &RangeInclusive<i64>) -> bool {
    let (min, max) = match statistics {
        Some(Statistics::Int32(range)) => {
            (range.min_opt().map(|min| i64::from(*min)), range.max_opt().map(|max| i64::from(*max)))
        }
        Some(Statistics::Int64(range)) => (range.min_opt().copied(), range.max_opt().copied()),
        _ => return true,
    };
    min.is_none_or(|min| min <= *wanted.end()) && max.is_none_or(|max| *wanted.start() <= max)
}

/// Holds rows against a condition; remembers what it found out about the words of a dictionary, which
/// are the same for many batches.
struct Judge {
    condition: Condition,
    /// For each column the last dictionary, and which of its words match.
    known: Vec<Option<(ArrayRef, Vec<bool>)>>,
}

impl Judge {
    fn new(condition: Condition) -> Self {
        Self { condition, known: Vec::new() }
    }

    /// Looks at a batch with the columns of the condition alone.
    fn judge(&mut self, batch: &RecordBatch) -> Result<BooleanArray, ArrowError> {
        let mut wanted = vec![false; batch.num_rows()];
        self.known.resize(batch.num_columns(), None);
        for (column, known) in batch.columns().iter().zip(&mut self.known) {
            match column.data_type() {
                DataType::Int32 | DataType::Int64 => {
                    let range = match &self.condition {
                        Condition::Status(range) => {
                            i64::from(*range.start())..=i64::from(*range.end())
                        }
                        Condition::Number(_, range) => range.clone(),
                        _ => continue,
                    };
                    judge_numbers(column, &range, &mut wanted);
                }
                DataType::Dictionary(..) => {
                    judge_dictionary(column, &self.condition, known, &mut wanted);
                }
                _ => {
                    for (row, wanted) in wanted.iter_mut().enumerate() {
                        let text = super::page::text(column.as_ref(), row);
                        *wanted |= text.is_some_and(|text| self.condition.holds(text));
                    }
                }
            }
        }
        Ok(BooleanArray::from(wanted))
    }
}

fn judge_numbers(column: &ArrayRef, range: &RangeInclusive<i64>, wanted: &mut [bool]) {
    if let Some(numbers) = column.as_primitive_opt::<Int32Type>() {
        for (number, wanted) in numbers.iter().zip(wanted) {
            *wanted |= number.is_some_and(|number| range.contains(&i64::from(number)));
        }
        return;
    }
    let numbers = column.as_primitive::<arrow_array::types::Int64Type>();
    for (number, wanted) in numbers.iter().zip(wanted) {
        *wanted |= number.is_some_and(|number| range.contains(&number));
    }
}

fn judge_dictionary(
    column: &ArrayRef,
    condition: &Condition,
    known: &mut Option<(ArrayRef, Vec<bool>)>,
    wanted: &mut [bool],
) {
    let dictionary = column.as_dictionary::<Int32Type>();
    let words = dictionary.values();
    // The kept dictionary lives, so that no other can stand at its place in memory.
    let is_known = known.as_ref().is_some_and(|(last, _)| {
        let place = |words: &ArrayRef| {
            let words = words.as_string::<i32>();
            (words.len(), words.value_data().as_ptr(), words.value_offsets().as_ptr())
        };
        place(last) == place(words)
    });
    if !is_known {
        let texts = words.as_string::<i32>();
        let matching = texts.iter().map(|text| text.is_some_and(|text| condition.holds(text)));
        *known = Some((Arc::clone(words), matching.collect()));
    }
    let Some((_, matching)) = known else { return };
    if !matching.contains(&true) {
        return;
    }
    for (key, wanted) in dictionary.keys().iter().zip(wanted) {
        let key = key.and_then(|key| usize::try_from(key).ok());
        *wanted |= key.is_some_and(|key| matching.get(key) == Some(&true));
    }
}

impl Condition {
    /// A text fulfils it.
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Is(_, wanted) => wanted == text,
            Self::Like(_, pattern) => pattern.matches(text),
            Self::Words(words) => words.are_in(text),
            Self::Network(network) => {
                text.parse::<IpAddr>().is_ok_and(|address| network.contains(&address))
            }
            Self::Status(_) | Self::Number(..) => false,
        }
    }

    /// A condition on the text column `name`: exactly `text`, or a pattern where that has a `*`.
    /// `None` where the archive has no such column, or one that holds no text.
    pub fn of_text(name: &str, text: &str) -> Option<Self> {
        let column = COLUMNS.iter().find(|column| column.name == name)?;
        if !matches!(column.cell, Cell::Field(_) | Cell::Text(_)) {
            return None;
        }
        Some(match text.contains('*') {
            true => Self::Like(column.name, Pattern::new(text)),
            false => Self::Is(column.name, text.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_letters() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(expected, Pattern::new(pattern).matches(text), "{pattern} in {text}");
        };
        check("/login", "/login", true);
        check("/login", "/login/", false);
        check("/wp-*", "/wp-login.php", true);
        check("*.php", "/wp-login.php", true);
        check("*.php", "/wp-login.php5", false);
        check("/a*b*c", "/a-b-b-c", true);
        check("/a*a", "/a", false);
        check("*", "", true);
        check("", "", true);
    }

    #[test]
    fn words_are_found_in_upper_and_lower_case() {
        let words = Words::new("UNION select").expect("short");
        assert!(words.are_in("/?q=1 union SELECT 2"));
        assert!(!words.are_in("/?q=union+select"));
    }
}
