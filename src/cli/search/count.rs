//! `gatewatch search --count-by`: how many events there are of each value.
//!
//! Values are counted where they stand in the dictionary of a file, and looked up once for each.

use std::collections::HashMap;

use anyhow::Result;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int32Type;
use arrow_array::{Array as _, ArrayRef};
use serde_json::{Map, Value};

use super::{Args, Form, Search, column, unknown_column};
use crate::cli::output::{Output, say};
use crate::escape::{self, json_line, visible};
use crate::history::{CellValue, Order, Page, TIME};
use crate::units::Timestamp;

/// Bytes of values that are remembered; then those seen least are dropped.
const BYTES_MAX: usize = 64 << 20;

/// What a value costs besides its letters.
const ENTRY_BYTES: usize = 64;

/// What is counted.
#[derive(Clone, Copy)]
enum Key {
    Column(&'static str),
    /// So many seconds from each to the next.
    Time(u64),
}

impl Key {
    fn of(field: &str) -> Option<Self> {
        Some(match field {
            "hour" => Self::Time(3600),
            "day" => Self::Time(86_400),
            field => Self::Column(column(field)?),
        })
    }
}

pub(super) fn run(args: &Args, field: &str, search: &mut Search, out: &mut Output) -> Result<()> {
    let Some(key) = Key::of(field) else { return Err(unknown_column(field)) };
    let name = match key {
        Key::Column(name) => name,
        Key::Time(_) => TIME,
    };
    let mut counts = Counts::default();
    let mut scan = search.scan(&[name], Order::Any)?;
    for page in scan.by_ref() {
        counts.page(&page?, key);
    }
    counts.settle();
    super::tell_damage(&scan);
    if 0 < counts.dropped {
        say(&format!(
            "gatewatch: too many different values; some with {} events or fewer are missing",
            counts.dropped
        ));
    }
    print(args, field, counts, out)
}

fn print(args: &Args, field: &str, counts: Counts, out: &mut Output) -> Result<()> {
    let (total, different) = (counts.total, counts.by_value.len());
    let mut rows: Vec<(Option<String>, u64)> = counts.by_value.into_iter().collect();
    rows.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    rows.truncate(args.top);
    if args.output == Form::Csv {
        out.line(&format!("{},events", escape::cell(field)))?;
    }
    for (value, count) in &rows {
        match args.output {
            Form::Human => {
                let value = value.as_deref().map_or_else(|| "-".to_owned(), visible);
                out.line(&format!("{count:>12}  {value}"))?;
            }
            Form::Json => {
                let mut object = Map::new();
                object.insert(field.to_owned(), value.clone().map_or(Value::Null, Value::from));
                object.insert("events".to_owned(), (*count).into());
                out.line(&json_line(&object))?;
            }
            Form::Csv => {
                let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
                let value = value.as_deref().map_or_else(String::new, escape::cell);
                writer.write_record([value, count.to_string()])?;
                out.write(&writer.into_inner()?)?;
            }
        }
    }
    if args.output == Form::Human {
        out.line(&format!("{total:>12}  events, {different} different values"))?;
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    by_value: HashMap<Option<String>, u64>,
    bytes: usize,
    total: u64,
    /// The last dictionary, and how often each of its words came since.
    words: Option<(ArrayRef, Vec<u64>)>,
    /// Values that came so often or less may be missing.
    dropped: u64,
}

impl Counts {
    fn page(&mut self, page: &Page, key: Key) {
        self.total += page.len() as u64;
        if let Key::Time(step) = key {
            return self.times(page, step);
        }
        let column = page.batch().column(0);
        match column.as_dictionary_opt::<Int32Type>() {
            Some(dictionary) => {
                self.turn_to(dictionary.values());
                let mut absent = 0;
                let Some((_, counts)) = &mut self.words else { return };
                for key in dictionary.keys() {
                    let place = key.and_then(|key| counts.get_mut(usize::try_from(key).ok()?));
                    match place {
                        Some(count) => *count += 1,
                        None => absent += 1,
                    }
                }
                self.add(None, absent);
            }
            None => {
                for row in 0..page.len() {
                    let value = page.cell(0, row).map(|value| match value {
                        CellValue::Text(text) => text.to_owned(),
                        CellValue::Number(number) => number.to_string(),
                        CellValue::Truth(truth) => truth.to_string(),
                        CellValue::Time(time) => time.rfc3339(),
                    });
                    self.add(value, 1);
                }
            }
        }
    }

    fn times(&mut self, page: &Page, step: u64) {
        let mut run: Option<(u64, u64)> = None;
        for row in 0..page.len() {
            let at = page.time(0, row).unwrap_or_default().secs() / step;
            match &mut run {
                Some((last, count)) if *last == at => *count += 1,
                _ => {
                    self.add_run(run, step);
                    run = Some((at, 1));
                }
            }
        }
        self.add_run(run, step);
    }

    fn add_run(&mut self, run: Option<(u64, u64)>, step: u64) {
        if let Some((at, count)) = run {
            let text = Timestamp::from_secs(at * step).rfc3339();
            let length = if step == 86_400 { 10 } else { 16 };
            self.add(Some(text[..length].to_owned()), count);
        }
    }

    /// Counts with the words of another dictionary from now on.
    fn turn_to(&mut self, words: &ArrayRef) {
        let place = |words: &ArrayRef| {
            let words = words.as_string::<i32>();
            (words.len(), words.value_data().as_ptr(), words.value_offsets().as_ptr())
        };
        // The kept one lives, so that no other can stand at its place in memory.
        if self.words.as_ref().is_some_and(|(last, _)| place(last) == place(words)) {
            return;
        }
        self.settle();
        self.words = Some((words.clone(), vec![0; words.len()]));
    }

    /// Adds up what was counted with the last dictionary.
    fn settle(&mut self) {
        let Some((words, counts)) = self.words.take() else { return };
        let words = words.as_string::<i32>();
        for (place, count) in counts.into_iter().enumerate().filter(|(_, count)| 0 < *count) {
            self.add((!words.is_null(place)).then(|| words.value(place).to_owned()), count);
        }
    }

    fn add(&mut self, value: Option<String>, count: u64) {
        if count == 0 {
            return;
        }
        let length = value.as_ref().map_or(0, String::len) + ENTRY_BYTES;
        let place = self.by_value.entry(value).or_insert(0);
        if *place == 0 {
            self.bytes += length;
        }
        *place += count;
        if BYTES_MAX < self.bytes {
            self.make_room();
        }
    }

    /// Drops the half that came least.
    fn make_room(&mut self) {
        let mut all: Vec<u64> = self.by_value.values().copied().collect();
        all.sort_unstable();
        let limit = all[all.len() / 2];
        self.dropped = self.dropped.saturating_add(limit);
        self.by_value.retain(|_, count| limit < *count);
        let length = |value: &Option<String>| value.as_ref().map_or(0, String::len) + ENTRY_BYTES;
        self.bytes = self.by_value.keys().map(length).sum();
    }
}
