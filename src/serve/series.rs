//! The series of all metrics: plain numbers by label values, bounded whatever the labels say.
//!
//! A label that comes from log lines can take any value, so the number of series has limits. At
//! [`MAX_SERIES_PER_METRIC`] or [`MAX_SERIES`] a counter goes on under the label value `other`,
//! a gauge is left out because a value shared by several things would be nobody's, and both are
//! counted in `gatewatch_metrics_overflow_total`.
//!
//! A metric with labels that anybody can choose leaves some of its room to series with only
//! those labels folded: a flood of host names must not hide the status codes. All such metrics
//! together leave some of all room, so that a flood cannot push out the operator's own series.
//!
//! Series are found by their label values themselves, not by a hash of them: a label that
//! collides with another on purpose would else add to its counts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prometheus::proto::{Counter, Gauge, LabelPair, MetricFamily, MetricType};

use super::table::{METRICS, Metric, MetricEntry, MetricKind, OPEN_LABELS};
use crate::engine::tally::OTHER;

/// Series of all metrics together. A scrape of that many is about 1 MB.
pub const MAX_SERIES: usize = 10_000;

/// Series of one metric.
pub const MAX_SERIES_PER_METRIC: usize = 2_000;

/// Bytes of a label value; the rest is cut.
const MAX_LABEL_BYTES: usize = 128;

/// Between the label values of a key. Cleaned values hold no control characters.
const SEPARATOR: char = '\u{1f}';

#[derive(Clone, Debug, Default)]
struct Series {
    labels: Vec<String>,
    value: f64,
    /// The running total last seen by [`SeriesTable::follow`].
    followed: f64,
}

/// All series.
#[derive(Debug)]
pub(super) struct SeriesTable {
    families: Vec<BTreeMap<String, Series>>,
    count: usize,
}

impl SeriesTable {
    /// No series yet, but the overflow counters at 0.
    pub(super) fn new() -> Self {
        let mut table = Self { families: vec![BTreeMap::new(); METRICS.len()], count: 0 };
        for entry in METRICS.iter().filter(|entry| !entry.labels.is_empty()) {
            table.add(Metric::MetricsOverflow, &[entry.name], 0);
        }
        table
    }

    /// Adds to a counter, made if it is new. Adding 0 creates the series, so that a later
    /// increase is seen as one.
    pub(super) fn add(&mut self, metric: Metric, labels: &[&str], amount: u64) {
        assert_eq!(MetricKind::Counter, metric.entry().kind);
        if let Some(series) = self.place(metric, labels) {
            series.value += amount as f64;
        }
    }

    /// Brings a counter up to a running total kept elsewhere. A total smaller than the last one
    /// began again at 0.
    pub(super) fn follow(&mut self, metric: Metric, labels: &[&str], total: f64) {
        assert_eq!(MetricKind::Counter, metric.entry().kind);
        if let Some(series) = self.place(metric, labels) {
            let before = if total < series.followed { 0.0 } else { series.followed };
            series.value += total - before;
            series.followed = total;
        }
    }

    /// Sets a gauge.
    pub(super) fn set(&mut self, metric: Metric, labels: &[&str], value: f64) {
        assert_eq!(MetricKind::Gauge, metric.entry().kind);
        if let Some(series) = self.place(metric, labels) {
            series.value = value;
        }
    }

    /// Sets a gauge, or removes it where there is nothing to say.
    pub(super) fn set_or_remove(&mut self, metric: Metric, labels: &[&str], value: Option<f64>) {
        match value {
            Some(value) => self.set(metric, labels, value),
            None => self.remove(metric, labels),
        }
    }

    /// Adds to a gauge, not below 0.
    pub(super) fn shift(&mut self, metric: Metric, labels: &[&str], amount: f64) {
        assert_eq!(MetricKind::Gauge, metric.entry().kind);
        if let Some(series) = self.place(metric, labels) {
            series.value = (series.value + amount).max(0.0);
        }
    }

    /// The present value, if there is such a series.
    #[cfg(test)]
    pub(super) fn value(&self, metric: Metric, labels: &[&str]) -> Option<f64> {
        self.families[metric as usize].get(&key(&clean_all(labels))).map(|series| series.value)
    }

    /// Forgets one series.
    pub(super) fn remove(&mut self, metric: Metric, labels: &[&str]) {
        if self.families[metric as usize].remove(&key(&clean_all(labels))).is_some() {
            self.count -= 1;
        }
    }

    /// Forgets all series of all metrics whose label `name` is `value`.
    pub(super) fn forget(&mut self, name: &str, value: &str) {
        METRICS.iter().for_each(|entry| self.forget_in(entry.metric, name, value));
    }

    /// Forgets the series of one metric whose label `name` is `value`.
    pub(super) fn forget_in(&mut self, metric: Metric, name: &str, value: &str) {
        let Some(at) = metric.entry().labels.iter().position(|label| *label == name) else {
            return;
        };
        let value = clean(value);
        let family = &mut self.families[metric as usize];
        let before = family.len();
        family.retain(|_, series| series.labels[at] != *value);
        self.count -= before - family.len();
    }

    /// Sets all values of a gauge to 0 and keeps its series.
    pub(super) fn zero(&mut self, metric: Metric) {
        assert_eq!(MetricKind::Gauge, metric.entry().kind);
        self.families[metric as usize].values_mut().for_each(|series| series.value = 0.0);
    }

    /// How many more series `metric` may have with label values of their own.
    pub(super) fn room(&self, metric: Metric) -> usize {
        let (own, all) = limits(metric.entry(), OPEN_SHARE);
        let own = own.saturating_sub(self.families[metric as usize].len());
        own.min(all.saturating_sub(self.count))
    }

    /// All series as the encoder takes them, in the order of the table.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        let families = METRICS.iter().zip(&self.families);
        families.filter(|(_, family)| !family.is_empty()).map(family_of).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The series of these label values, or the one that stands in for it at the limit.
    fn place(&mut self, metric: Metric, labels: &[&str]) -> Option<&mut Series> {
        let entry = metric.entry();
        assert_eq!(entry.labels.len(), labels.len(), "labels of {}", entry.name);
        let mut labels = clean_all(labels);
        let known = self.families[metric as usize].contains_key(&key(&labels));
        if !known && self.room(metric) == 0 {
            labels = self.stand_in(entry, labels)?;
        }
        let key = key(&labels);
        let family = &mut self.families[metric as usize];
        if !family.contains_key(&key) {
            self.count += 1;
        }
        Some(family.entry(key).or_insert_with(|| Series {
            labels: labels.into_iter().map(Cow::into_owned).collect(),
            ..Series::default()
        }))
    }

    /// Counts the overflow and finds the series that the update goes to instead.
    fn stand_in<'a>(
        &mut self,
        entry: &'static MetricEntry,
        labels: Vec<Cow<'a, str>>,
    ) -> Option<Vec<Cow<'a, str>>> {
        // The counters of overflow were all made at the start, so this does not come back here.
        self.add(Metric::MetricsOverflow, &[entry.name], 1);
        if entry.kind == MetricKind::Gauge {
            return None;
        }
        let is_open = |name: &&str| OPEN_LABELS.contains(name);
        let pairs = entry.labels.iter().zip(labels);
        let folded: Vec<Cow<'a, str>> = pairs
            .map(|(name, value)| if is_open(name) { Cow::Borrowed(OTHER) } else { value })
            .collect();
        let family = &self.families[entry.metric as usize];
        let (own, all) = limits(entry, FOLDED_SHARE);
        let has_room = family.len() < own && self.count < all;
        if family.contains_key(&key(&folded)) || has_room {
            return Some(folded);
        }
        Some(vec![Cow::Borrowed(OTHER); entry.labels.len()])
    }
}

/// Share of the room, in sixteenths, for series with open labels as they are.
const OPEN_SHARE: usize = 14;

/// Share of the room, in sixteenths, up to which they may go with their open labels folded.
const FOLDED_SHARE: usize = 15;

/// How many series the metric, and all metrics together, may have where its open labels are
/// given `share` of the room. One place for each metric stays free for the series with all
/// labels folded.
fn limits(entry: &MetricEntry, share: usize) -> (usize, usize) {
    let (own, all) = (MAX_SERIES_PER_METRIC - 1, MAX_SERIES - METRICS.len());
    let share = if entry.is_open() { share } else { 16 };
    (own * share / 16, all * share / 16)
}

fn family_of((entry, series): (&MetricEntry, &BTreeMap<String, Series>)) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(entry.name.to_owned());
    family.set_help(entry.help.to_owned());
    family.set_field_type(match entry.kind {
        MetricKind::Counter => MetricType::COUNTER,
        MetricKind::Gauge => MetricType::GAUGE,
    });
    let metrics = series.values().map(|series| sample(entry, series));
    family.set_metric(metrics.collect());
    family
}

fn sample(entry: &MetricEntry, series: &Series) -> prometheus::proto::Metric {
    let pair = |(name, value): (&&str, &String)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    };
    let labels = entry.labels.iter().zip(&series.labels).map(pair).collect();
    let mut metric = prometheus::proto::Metric::from_label(labels);
    match entry.kind {
        MetricKind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(series.value);
            metric.set_counter(counter);
        }
        MetricKind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(series.value);
            metric.set_gauge(gauge);
        }
    }
    metric
}

fn key(labels: &[Cow<'_, str>]) -> String {
    let mut key = String::with_capacity(labels.iter().map(|label| label.len() + 1).sum());
    for label in labels {
        key.push_str(label);
        key.push(SEPARATOR);
    }
    key
}

fn clean_all<'a>(labels: &[&'a str]) -> Vec<Cow<'a, str>> {
    labels.iter().map(|label| clean(label)).collect()
}

/// A label value that is safe to show anywhere: bounded, and characters that steer a terminal or
/// turn the direction of writing are spelt out.
pub(super) fn clean(value: &str) -> Cow<'_, str> {
    let cut = value.floor_char_boundary(MAX_LABEL_BYTES);
    let value = &value[..cut];
    if !value.chars().any(is_unseen) {
        return Cow::Borrowed(value);
    }
    let mut shown = String::with_capacity(value.len() + 16);
    for char in value.chars() {
        match char {
            _ if !is_unseen(char) => shown.push(char),
            _ => shown.extend(char.escape_unicode()),
        }
    }
    Cow::Owned(shown)
}

fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(table: &SeriesTable, metric: Metric) -> f64 {
        table.families[metric as usize].values().map(|series| series.value).sum()
    }

    #[test]
    fn a_flood_of_sites_is_counted_in_full_and_keeps_its_status_codes() {
        let mut table = SeriesTable::new();
        for site in 0..5000 {
            table.add(Metric::HttpRequests, &[&format!("h{site}.example.org"), "GET", "200"], 1);
        }
        table.add(Metric::HttpRequests, &["late.example.org", "GET", "500"], 3);

        assert_eq!(5003.0, total(&table, Metric::HttpRequests));
        assert!(table.families[Metric::HttpRequests as usize].len() <= MAX_SERIES_PER_METRIC);
        assert_eq!(Some(3.0), table.value(Metric::HttpRequests, &["other", "GET", "500"]));
        let overflow = table.value(Metric::MetricsOverflow, &["gatewatch_http_requests_total"]);
        assert_eq!(Some(5001.0 - 1749.0), overflow);
    }

    #[test]
    fn no_flood_of_any_kind_passes_the_limit_of_all_series() {
        let mut table = SeriesTable::new();
        for entry in METRICS {
            for number in 0..3000 {
                let text = number.to_string();
                let labels = vec![text.as_str(); entry.labels.len()];
                match entry.kind {
                    MetricKind::Counter => table.add(entry.metric, &labels, 1),
                    MetricKind::Gauge => table.set(entry.metric, &labels, 1.0),
                }
                assert!(table.len() <= MAX_SERIES);
            }
            assert!(table.families[entry.metric as usize].len() <= MAX_SERIES_PER_METRIC);
        }
        let sum: usize = table.families.iter().map(BTreeMap::len).sum();
        assert_eq!(sum, table.len());
        let requests = total(&table, Metric::HttpRequests);
        assert_eq!(3000.0, requests, "nothing is lost in a counter");
    }

    #[test]
    fn a_flood_of_open_labels_leaves_room_for_the_operators_own_series() {
        let mut table = SeriesTable::new();
        for entry in METRICS.iter().filter(|entry| entry.is_open()) {
            for number in 0..3000 {
                let text = number.to_string();
                table.add(entry.metric, &vec![text.as_str(); entry.labels.len()], 1);
            }
        }
        table.set(Metric::SinkUp, &["siem"], 1.0);
        assert_eq!(Some(1.0), table.value(Metric::SinkUp, &["siem"]));
    }

    #[test]
    fn a_followed_total_may_begin_again() {
        let mut table = SeriesTable::new();
        for total in [5.0, 9.0, 2.0, 2.0, 3.0] {
            table.follow(Metric::SinkRetries, &["siem"], total);
        }
        assert_eq!(Some(12.0), table.value(Metric::SinkRetries, &["siem"]));
    }

    #[test]
    fn what_is_forgotten_leaves_no_series() {
        let mut table = SeriesTable::new();
        let before = table.len();
        table.set(Metric::SourceInfo, &["web", "combined"], 1.0);
        table.add(Metric::SourceLines, &["web"], 1);
        table.forget("source", "web");
        assert_eq!(before, table.len());
        assert_eq!(None, table.value(Metric::SourceLines, &["web"]));
    }

    #[test]
    fn label_values_are_bounded_and_show_what_cannot_be_seen() {
        assert_eq!("a\\u{1b}[2Jb\\u{202e}c", clean("a\u{1b}[2Jb\u{202e}c"));
        assert_eq!("a\\u{1f}b", clean("a\u{1f}b"), "the separator of keys");
        assert_eq!("x".repeat(128), clean(&"x".repeat(300)));
        assert_eq!("é".repeat(64), clean(&"é".repeat(100)));
        assert!(matches!(clean("www.example.org"), Cow::Borrowed(_)));
    }
}
