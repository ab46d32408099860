//! A series as bytes, for the store: little-endian, of one fixed length.
//!
//! Invariant: what was written is read again bit for bit; bytes that no series could have written
//! are refused, and the series learns anew.

use super::series::{Mean, RECENT, Recent, SLOTS, Series};

/// The bytes of a series at most.
pub const STATE_BYTES_MAX: usize = 2048;

/// The first byte: what follows, and in which order.
const VERSION: u8 = 1;

/// Sums, levels and expectations beyond this were never written.
const VALUE_MAX: f64 = 1e31;

impl Series {
    /// The bytes of the series.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(STATE_BYTES_MAX);
        out.push(VERSION);
        let slots = self.sums.iter().chain(&self.weights);
        slots.for_each(|value| out.extend(value.to_le_bytes()));
        self.flagged.iter().for_each(|bits| out.extend(bits.to_le_bytes()));
        for hour in &self.recent {
            out.extend(hour.count.to_le_bytes());
            out.extend(hour.expected.to_le_bytes());
        }
        for number in
            [self.holidays, self.alarms, self.newest, self.hours, self.week, self.last_alarm]
        {
            out.extend(number.to_le_bytes());
        }
        out.push(self.slot);
        out.extend(self.incidents);
        for value in [self.level, self.day[0], self.day[1], self.quiet] {
            out.extend(value.to_le_bytes());
        }
        let means =
            self.dispersion.iter().chain(&self.clumping).chain(self.excess.iter().flatten());
        for mean in means.chain([&self.holiday]) {
            out.extend(mean.sum.to_le_bytes());
            out.extend(mean.weight.to_le_bytes());
        }
        debug_assert!(out.len() <= STATE_BYTES_MAX);
        out
    }

    /// The series of these bytes; none where they are damaged, or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader { bytes };
        if reader.byte()? != VERSION {
            return None;
        }
        let mut series = Self::default();
        for slot in series.sums.iter_mut().chain(&mut series.weights) {
            *slot = reader.small()?;
        }
        for bits in &mut series.flagged {
            *bits = u64::from_le_bytes(reader.take()?);
        }
        for hour in &mut series.recent {
            *hour = Recent { count: reader.small()?, expected: reader.small()? };
        }
        let numbers = [
            &mut series.holidays,
            &mut series.alarms,
            &mut series.newest,
            &mut series.hours,
            &mut series.week,
            &mut series.last_alarm,
        ];
        for number in numbers {
            *number = u32::from_le_bytes(reader.take()?);
        }
        series.slot = reader.byte()?;
        series.incidents = reader.take()?;
        let [count, expected] = &mut series.day;
        for value in [&mut series.level, count, expected, &mut series.quiet] {
            *value = reader.value()?;
        }
        let spreads = series.dispersion.iter_mut().chain(&mut series.clumping);
        let means = spreads.chain(series.excess.iter_mut().flatten());
        for mean in means.chain([&mut series.holiday]) {
            *mean = Mean { sum: reader.value()?, weight: reader.value()? };
        }
        (reader.bytes.is_empty() && series.is_sound()).then_some(series)
    }

    /// Its numbers are such as learning makes them.
    fn is_sound(&self) -> bool {
        let means =
            self.dispersion.iter().chain(&self.clumping).chain(self.excess.iter().flatten());
        usize::from(self.slot) < SLOTS
            && self.holidays < 1 << RECENT
            && self.alarms < 1 << RECENT
            && self.last_alarm <= self.newest
            && self.level.abs() < 10.0
            && (0.0..100.0).contains(&self.quiet)
            && self.day.iter().all(|value| 0.0 <= *value)
            && self.sums.iter().chain(&self.weights).all(|value| 0.0 <= *value)
            && self.weights.iter().all(|weight| *weight <= 11.0)
            && self.recent.iter().all(|hour| 0.0 <= hour.count && 0.0 <= hour.expected)
            && means.chain([&self.holiday]).all(|mean| 0.0 <= mean.weight)
            && 0.0 <= self.holiday.sum
    }
}

/// What is left to be read.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn small(&mut self) -> Option<f32> {
        let value = f32::from_le_bytes(self.take()?);
        (f64::from(value).abs() <= VALUE_MAX).then_some(value)
    }

    fn value(&mut self) -> Option<f64> {
        let value = f64::from_le_bytes(self.take()?);
        (value.abs() <= VALUE_MAX).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rhythm::{Budget, Hour};
    use proptest::prelude::*;

    fn hour(number: u32, is_holiday: bool) -> Hour {
        Hour { number, slot: number as usize % SLOTS, is_holiday }
    }

    /// A series that has seen `counts`, with gaps.
    fn series(start: u32, counts: &[(u8, bool, u64)]) -> Series {
        let (mut series, mut number) = (Series::default(), start);
        for (step, is_holiday, count) in counts {
            number = number.saturating_add(u32::from(*step));
            series.observe(hour(number, *is_holiday), *count, Budget::per_week(0.1));
        }
        series
    }

    fn counts() -> impl Strategy<Value = Vec<(u8, bool, u64)>> {
        let count = prop_oneof![4 => 0..50u64, 1 => 0..100_000u64, 1 => any::<u64>()];
        prop::collection::vec((0..40u8, prop::bool::weighted(0.05), count), 0..900)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever was counted: the numbers stay bounded, the bytes give the series again, and it
        /// goes on as if nothing had happened.
        #[test]
        fn bytes_give_the_series_again(start in 0..u32::MAX, counts in counts(), next: u64) {
            let mut series = series(start, &counts);
            let bytes = series.to_bytes();
            prop_assert!(bytes.len() <= STATE_BYTES_MAX);
            let mut again = Series::from_bytes(&bytes).expect("its own bytes");
            prop_assert_eq!(&series, &again);
            let after = hour(series.newest().unwrap_or(0).saturating_add(1), false);
            let budget = Budget::per_week(0.1);
            let verdict = series.observe(after, next, budget);
            prop_assert_eq!(verdict, again.observe(after, next, budget));
            for test in verdict.iter().flat_map(|verdict| &verdict.tests) {
                let test_of = [test.count, test.expected, test.dispersion];
                let judged = [test.score, test.threshold];
                let mut numbers = test_of.iter().chain(&judged);
                prop_assert!(numbers.all(|number| number.is_finite() && 0.0 <= *number));
                prop_assert!(test.weeks_between().is_finite());
            }
        }

        #[test]
        fn foreign_bytes_are_refused_or_harmless(
            at in 0..1800usize, byte: u8, cut in 0..1800usize, next: u64,
        ) {
            let mut bytes = series(400_000, &[(1, false, 7); 700]).to_bytes();
            prop_assert_eq!(None, Series::from_bytes(&bytes[..cut.min(bytes.len() - 1)]));
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            if let Some(mut series) = Series::from_bytes(&bytes) {
                let after = hour(series.newest().unwrap_or(0).saturating_add(1), false);
                let verdict = series.observe(after, next, Budget::per_week(0.1));
                for test in verdict.iter().flat_map(|verdict| &verdict.tests) {
                    prop_assert!(test.score.is_finite() && test.expected.is_finite());
                }
            }
        }
    }

    #[test]
    fn a_series_takes_less_than_two_kibibytes() {
        let bytes = series(400_000, &[(1, false, 7); 700]).to_bytes();
        assert_eq!(1830, bytes.len());
        assert_eq!(None, Series::from_bytes(&[&[2], &bytes[1..]].concat()), "another version");
        assert_eq!(None, Series::from_bytes(&[bytes.as_slice(), &[0]].concat()), "a byte more");
    }
}
