//! Which events a sink gets, and without which fields.
//!
//! Invariant: the same event is always chosen or always left out, however often it is delivered;
//! what is left out is counted.

use super::config::SinkCommon;
use crate::engine::batch::{Event, EventBatch, FIELDS, Field};
use crate::engine::detect::predicate::Predicate;
use crate::units::nearest;

/// The choice of one sink, compiled.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    /// No event at all.
    none: bool,
    condition: Option<Predicate>,
    samples: Vec<(Predicate, u32)>,
    left_out: Vec<Field>,
}

/// The events of a batch that a sink gets.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'b> {
    batch: &'b EventBatch,
    rows: &'b [u32],
}

impl<'b> Chosen<'b> {
    /// The lines `rows` of `batch`.
    pub fn new(batch: &'b EventBatch, rows: &'b [u32]) -> Self {
        Self { batch, rows }
    }

    /// The batch they are from.
    pub fn batch(&self) -> &'b EventBatch {
        self.batch
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The events from number `from` on.
    pub fn events(&self, from: usize) -> impl Iterator<Item = Event<'b>> + use<'b> {
        let batch = self.batch;
        self.rows[from..].iter().map(move |row| batch.event(*row as usize))
    }
}

/// How many events of a batch were left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct LeftOut {
    /// The sink does not want them.
    pub(super) filtered: u64,
    /// Others of the same sort stand for them.
    pub(super) sampled: u64,
}

impl Selection {
    /// Compiles the settings; the complaint names the key.
    pub(super) fn new(config: &SinkCommon) -> Result<Self, String> {
        let compile = |key: &str, table| {
            Predicate::compile(table).map_err(|reason| format!("`{key}`: {reason}"))
        };
        let condition = match config.condition.is_empty() {
            true => None,
            false => Some(compile("where", &config.condition)?),
        };
        let mut samples = Vec::new();
        for sample in &config.sample {
            samples.push((compile("sample.where", &sample.condition)?, sample.one_in.get()));
        }
        let left_out = config.leave_out.iter().map(|name| field(name)).collect::<Result<_, _>>()?;
        Ok(Self { none: !config.events, condition, samples, left_out })
    }

    /// Puts the numbers of the chosen events of `batch` into `rows`, and takes from the batch what
    /// the sink does not get.
    pub(super) fn choose(&self, batch: &mut EventBatch, rows: &mut Vec<u32>) -> LeftOut {
        rows.clear();
        let mut left = LeftOut::default();
        if self.none {
            left.filtered = batch.len() as u64;
            return left;
        }
        for (event, row) in batch.events().zip(0..) {
            if self.condition.as_ref().is_some_and(|condition| !condition.holds(&event)) {
                left.filtered += 1;
                continue;
            }
            let sample = self.samples.iter().find(|(condition, _)| condition.holds(&event));
            if sample.is_some_and(|(_, one_in)| !lot(&event).is_multiple_of(u64::from(*one_in))) {
                left.sampled += 1;
                continue;
            }
            rows.push(row);
        }
        for field in &self.left_out {
            batch.remove(*field);
        }
        left
    }
}

/// A number that belongs to the event for ever: of where it stands.
fn lot(event: &Event<'_>) -> u64 {
    let fingerprint = event.origin().fingerprint.first_chunk().copied().unwrap_or_default();
    // The finaliser of splitmix64: neighbours have nothing in common.
    let mut mixed = u64::from_le_bytes(fingerprint) ^ event.row().offset;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn field(name: &str) -> Result<Field, String> {
    let names = || FIELDS.iter().map(|entry| entry.name);
    FIELDS.iter().find(|entry| entry.name == name).map(|entry| entry.field).ok_or_else(|| {
        let hint = nearest(name, names())
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        format!("`leave_out`: `{name}` is no text field{hint}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixture;

    fn selection(text: &str) -> Result<Selection, String> {
        Selection::new(&toml::from_str(text).expect("settings of a sink"))
    }

    /// A hundred events; every fourth one has status 500.
    fn hundred() -> EventBatch {
        let lines: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        fixture::batch(&lines, |line, writer| {
            let number: u16 = std::str::from_utf8(&line[5..]).expect("ASCII").parse().expect("it");
            writer.row.status = if number.is_multiple_of(4) { 500 } else { 200 };
            writer.set(Field::User, line);
            writer.set(Field::UserAgent, b"agent");
        })
    }

    #[track_caller]
    fn check(text: &str, expected: (usize, u64, u64)) {
        let (mut batch, mut rows) = (hundred(), Vec::new());
        let left = selection(text).expect("valid settings").choose(&mut batch, &mut rows);
        assert_eq!(expected, (rows.len(), left.filtered, left.sampled), "{text}");
    }

    #[test]
    fn a_sink_gets_what_it_asks_for_and_the_rest_is_counted() {
        check("", (100, 0, 0));
        check("events = false", (0, 100, 0));
        check("where = { \"http.response.status_code|gte\" = 500 }", (25, 75, 0));
        check("sample = [{ one_in = 1 }]", (100, 0, 0));
        let errors_whole = "sample = [{ where = { \"http.response.status_code\" = 500 }, \
                            one_in = 1 }, { one_in = 1000000 }]";
        let (mut batch, mut rows) = (hundred(), Vec::new());
        let left = selection(errors_whole).expect("valid").choose(&mut batch, &mut rows);
        assert!(rows.len() >= 25 && rows.iter().filter(|row| **row % 4 == 0).count() == 25);
        assert_eq!(100, rows.len() as u64 + left.sampled);
    }

    #[test]
    fn a_sample_is_a_share_and_the_same_each_time() {
        let choose = || {
            let (mut batch, mut rows) = (hundred(), Vec::new());
            let selection = selection("sample = [{ one_in = 4 }]").expect("valid");
            selection.choose(&mut batch, &mut rows);
            rows
        };
        let rows = choose();
        assert!((15..=35).contains(&rows.len()), "{}", rows.len());
        assert_eq!(rows, choose());
    }

    #[test]
    fn fields_are_left_out() {
        let (mut batch, mut rows) = (hundred(), Vec::new());
        let selection = selection("leave_out = [\"user_agent.original\"]").expect("valid");
        selection.choose(&mut batch, &mut rows);
        let event = batch.event(0);
        assert_eq!(None, event.field(Field::UserAgent));
        assert_eq!(Some(&b"line 0"[..]), event.field(Field::User));
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let check = |text: &str, expected: &str| {
            let error = selection(text).expect_err("a complaint");
            assert!(error.contains(expected), "{error}");
        };
        check("where = { \"user.nam\" = 1 }", "`where`: `user.nam` is no field; did you mean");
        check("sample = [{ one_in = 2, where = { x = 1 } }]", "`sample.where`: `x` is no field");
        check("leave_out = [\"user_agent\"]", "`leave_out`: `user_agent` is no text field");
    }
}
