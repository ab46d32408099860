//! Counts what the daemon sees and does, for Prometheus.
//!
//! The daemon calls a method once per batch, commit or look around, never per line; a scrape
//! renders the text. One lock guards it all, so each scrape shows one moment: the requests of
//! all clients add up to the requests of all sites, in every scrape and for every interval
//! between two of them.
//!
//! Invariant: counters only grow, except that the series of a client that lost its place (see
//! `clients.rs`) vanish and begin again at 0.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::TextEncoder;

use super::clients::ClientSlots;
use super::config::{ClientLabel, ServeConfig};
use super::observe::{
    BuildInfo, ChannelState, FeedState, HistoryState, ListenerState, NotificationResult, SinkState,
    SourceReading, SourceState, StoreState,
};
use super::process::ProcessStats;
use super::series::{SeriesTable, clean};
use super::table::Metric;
use crate::engine::detect::sigma::{Entry, State as RuleState};
use crate::engine::detect::{Alert, AlertState, Severity};
use crate::engine::format::Miss;
use crate::engine::tally::{LEVELS, LoginCounts, MALFORMED, MAX_SITES, OTHER, SiteTally, Tally};
use crate::units::Timestamp;

/// Status classes in the order of `ClientCounts::by_class`.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Requests that every site sees sooner or later: their series begin at 0 with the site, so that
/// the first error of a site is an increase and not a series that was always there.
const KNOWN_REQUESTS: [(&str, &[&str]); 2] = [
    ("GET", &["200", "301", "302", "304", "400", "401", "403", "404", "429", "500", "502", "503"]),
    ("POST", &["200", "302", "401", "403"]),
];

/// Kinds of events, as the `kind` label names them.
const KINDS: [&str; 4] = ["access", "server_error", "auth", "parse_failure"];

/// What became of an event in a sink.
const SINK_RESULTS: [&str; 5] = ["sent", "rejected", "dropped", "filtered", "sampled"];

/// All metrics; shared by the daemon's threads and the HTTP listener.
#[derive(Debug)]
pub struct Metrics {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    series: SeriesTable,
    client_label: ClientLabel,
    requests: ClientSlots,
    failures: ClientSlots,
    sites: BTreeSet<String>,
    sources: BTreeMap<String, SourceClock>,
    /// When the oldest event that waits for each sink was received.
    sinks: BTreeMap<String, Option<Timestamp>>,
}

/// What the lag of a source in seconds is made of.
#[derive(Clone, Copy, Debug, Default)]
struct SourceClock {
    lag_bytes: u64,
    last_event: Option<Timestamp>,
}

impl Metrics {
    /// All counters at 0, at the moment the daemon starts.
    pub fn new(config: &ServeConfig, build: &BuildInfo, started: Timestamp) -> Self {
        let mut series = SeriesTable::new();
        let labels = [build.version, build.revision, build.rustc, build.target];
        series.set(Metric::BuildInfo, &labels, 1.0);
        series.set(Metric::Start, &[], seconds(started));
        series.set(Metric::ProcessStart, &[], seconds(started));
        series.add(Metric::StoreWriteErrors, &[], 0);
        series.add(Metric::ConnectionsLimited, &[], 0);
        KINDS.iter().for_each(|kind| series.add(Metric::Events, &[kind], 0));
        CLASSES.iter().for_each(|class| series.add(Metric::ClientRequests, &[OTHER, class], 0));
        series.add(Metric::ClientLoginFailures, &[OTHER], 0);
        for metric in [Metric::ClientRequests, Metric::ClientLoginFailures] {
            series.add(Metric::ClientEvictions, &[metric.entry().name], 0);
        }
        let capacity = config.client_capacity();
        let state = State {
            series,
            client_label: config.client_ip,
            requests: ClientSlots::new(capacity, started),
            failures: ClientSlots::new(capacity, started),
            sites: BTreeSet::new(),
            sources: BTreeMap::new(),
            sinks: BTreeMap::new(),
        };
        Self { state: Mutex::new(state) }
    }

    /// Makes the series of a site at 0. Sites named in the configuration are added at the start:
    /// they have their names even if others come first, and their first event is seen.
    pub fn add_site(&self, site: &str) {
        self.lock().site_label(site);
    }

    /// Adds what was counted in a batch. Each tally is added once.
    pub fn add_tally(&self, tally: &Tally) {
        let mut state = self.lock();
        tally.sites().iter().for_each(|site| state.count_site(site));
        state.count_kinds(tally);
        state.count_requests_of_clients(tally);
        state.count_login_failures_of_clients(tally);
    }

    /// Adds lines read from a source. With no lines it makes the counters at 0.
    pub fn add_reading(&self, reading: &SourceReading<'_>) {
        let mut state = self.lock();
        let source = reading.source;
        state.series.add(Metric::SourceLines, &[source], reading.lines);
        state.series.add(Metric::SourceBytes, &[source], reading.bytes);
        let reasons = Miss::ALL.map(Miss::name);
        for reason in reasons.iter().chain(&[OTHER]) {
            state.series.add(Metric::SourceParseFailures, &[source, reason], 0);
        }
        for (reason, lines) in reading.parse_failures {
            let reason = if reasons.contains(reason) { reason } else { OTHER };
            state.series.add(Metric::SourceParseFailures, &[source, reason], *lines);
        }
        let last_event = reading.last_event.map(|time| time.min(reading.read_at));
        let clock = state.sources.entry(source.to_owned()).or_default();
        clock.last_event = clock.last_event.max(last_event);
    }

    /// Takes note of a source as it stands.
    pub fn set_source(&self, source: &SourceState<'_>) {
        let mut state = self.lock();
        let name = [source.source];
        state.series.forget_in(Metric::SourceInfo, "source", source.source);
        for format in source.formats {
            state.series.set(Metric::SourceInfo, &[source.source, format], 1.0);
        }
        state.series.set(Metric::SourceFiles, &name, source.files as f64);
        state.series.set(Metric::SourceLagBytes, &name, source.lag_bytes as f64);
        state.series.set(Metric::SourceMissing, &name, flag(source.missing));
        state.series.set(Metric::SourceUnreadable, &name, source.unreadable as f64);
        state.series.follow(Metric::SourceRotations, &name, source.rotations as f64);
        state.series.follow(Metric::SourceTruncations, &name, source.truncations as f64);
        state.series.follow(Metric::SourceLostBytes, &name, source.lost_bytes as f64);
        state.sources.entry(source.source.to_owned()).or_default().lag_bytes = source.lag_bytes;
    }

    /// Takes note of a listener as it stands.
    pub fn set_listener(&self, listener: &ListenerState<'_>) {
        let mut state = self.lock();
        let series = &mut state.series;
        let name = [listener.source];
        series.set(Metric::ListenerUp, &name, flag(listener.up));
        series.set(Metric::ListenerConnections, &name, listener.connections as f64);
        for (reason, total) in listener.refused {
            series.follow(Metric::ListenerRefused, &[listener.source, reason], *total as f64);
        }
        series.follow(Metric::ListenerCutLines, &name, listener.cut_lines as f64);
        series.follow(Metric::ListenerUnfinished, &name, listener.unfinished as f64);
        series.follow(Metric::ListenerDropped, &name, listener.dropped as f64);
    }

    /// Takes note of a sink as it stands.
    pub fn set_sink(&self, sink: &SinkState<'_>) {
        let mut state = self.lock();
        let name = [sink.sink];
        let totals = [sink.sent, sink.rejected, sink.dropped, sink.filtered, sink.sampled];
        for (result, total) in SINK_RESULTS.iter().zip(totals) {
            state.series.follow(Metric::SinkEvents, &[sink.sink, result], total as f64);
        }
        state.series.follow(Metric::SinkTruncated, &name, sink.truncated as f64);
        state.series.follow(Metric::SinkTokensForgotten, &name, sink.forgotten as f64);
        state.series.follow(Metric::SinkAlerts, &name, sink.alerts as f64);
        state.series.follow(Metric::SinkRetries, &name, sink.retries as f64);
        state.series.set(Metric::SinkUp, &name, flag(sink.up));
        state.series.set(Metric::SinkLagEvents, &name, sink.lag_events as f64);
        state.series.set(Metric::SinkLagBytes, &name, sink.lag_bytes as f64);
        let last_success = sink.last_success.map(seconds);
        state.series.set_or_remove(Metric::SinkLastSuccess, &name, last_success);
        state.sinks.insert(sink.sink.to_owned(), sink.oldest_waiting);
    }

    /// Takes note of a list of indicators as it stands.
    pub fn set_feed(&self, feed: &FeedState<'_>) {
        let mut state = self.lock();
        let (name, series) = ([feed.name], &mut state.series);
        for (kind, count) in feed.counts.iter().flatten() {
            series.set(Metric::IocIndicators, &[feed.name, kind], *count as f64);
        }
        series.set(Metric::IocRefused, &name, feed.refused as f64);
        series.set(Metric::IocUp, &name, flag(feed.is_up));
        series.set_or_remove(Metric::IocLastUpdate, &name, feed.as_of.map(seconds));
        series.set(Metric::IocMaxAge, &name, feed.max_age.secs() as f64);
        series.add(Metric::IocMatches, &name, 0);
    }

    /// Counts events that meet an indicator, once they are stored.
    pub fn add_feed_matches(&self, feed: &str, count: u64) {
        self.lock().series.add(Metric::IocMatches, &[feed], count);
    }

    /// Takes note of the store as it stands.
    pub fn set_store(&self, store: &StoreState) {
        let mut state = self.lock();
        let series = &mut state.series;
        series.set(Metric::StoreBytes, &[], store.bytes as f64);
        series.set(Metric::StoreLimitBytes, &[], store.limit_bytes as f64);
        series.set(Metric::StoreFrames, &[], store.frames as f64);
        series.set(Metric::StoreFull, &[], flag(store.full));
        series.set_or_remove(Metric::StoreOldest, &[], store.oldest.map(seconds));
        series.set_or_remove(Metric::Checkpoint, &[], store.checkpoint.map(seconds));
        series.follow(Metric::StoreWriteErrors, &[], store.write_errors as f64);
    }

    /// Takes note of how the archive is.
    pub fn set_history(&self, history: &HistoryState) {
        let mut state = self.lock();
        let series = &mut state.series;
        series.follow(Metric::HistoryEvents, &[], history.events as f64);
        series.set(Metric::HistoryParts, &[], history.parts as f64);
        series.set(Metric::HistoryBytes, &[], history.bytes as f64);
        series.set(Metric::HistoryLimitBytes, &[], history.limit_bytes as f64);
        series.set_or_remove(Metric::HistoryOldest, &[], history.oldest.map(seconds));
        series.set(Metric::HistoryWaiting, &[], history.waiting as f64);
        series.set_or_remove(Metric::HistoryLastSuccess, &[], history.last_success.map(seconds));
        series.follow(Metric::HistoryDamaged, &[], history.damaged as f64);
        series.follow(Metric::HistoryRemoved, &["age"], history.removed_by_age as f64);
        series.follow(Metric::HistoryRemoved, &["size"], history.removed_by_size as f64);
    }

    /// Takes note of how many notifications wait, and since when the oldest does.
    pub fn set_outbox(&self, waiting: u64, oldest: Option<Timestamp>) {
        let mut state = self.lock();
        state.series.set(Metric::OutboxWaiting, &[], waiting as f64);
        state.series.set_or_remove(Metric::OutboxOldest, &[], oldest.map(seconds));
    }

    /// Takes note of how an alert channel is.
    pub fn set_channel(&self, channel: &ChannelState<'_>) {
        let (mut state, labels) = (self.lock(), [channel.channel]);
        state.series.set(Metric::ChannelUp, &labels, flag(channel.up));
        state.series.set(Metric::ChannelWaiting, &labels, channel.waiting as f64);
        let success = channel.last_success.map(seconds);
        state.series.set_or_remove(Metric::ChannelLastSuccess, &labels, success);
    }

    /// Adds notifications of a channel. With a count of 0 it makes the counters at 0.
    pub fn add_notifications(&self, channel: &str, result: NotificationResult, count: u64) {
        let mut state = self.lock();
        for known in NotificationResult::ALL {
            let count = if known == result { count } else { 0 };
            state.series.add(Metric::Notifications, &[channel, known.name()], count);
        }
    }

    /// Makes the series of all rules at 0.
    pub fn add_rules<'r>(&self, rules: impl IntoIterator<Item = (&'r str, Severity)>) {
        let mut state = self.lock();
        for (rule, severity) in rules {
            let labels = [rule, severity.name()];
            state.series.add(Metric::AlertsFired, &labels, 0);
            state.series.add(Metric::AlertsResolved, &labels, 0);
            state.series.shift(Metric::AlertsActive, &labels, 0.0);
            state.series.shift(Metric::AlertGroupsTracked, &[rule], 0.0);
            state.series.add(Metric::AlertGroupsEvicted, &[rule], 0);
        }
    }

    /// Says what became of the rules in folders.
    pub fn set_rule_files(&self, report: &[Entry]) {
        let mut state = self.lock();
        for name in RuleState::NAMES {
            let count = report.iter().filter(|entry| entry.state.name() == name).count();
            state.series.shift(Metric::RuleFiles, &[name], count as f64);
        }
    }

    /// Takes over the alerts that are open, at the start.
    pub fn set_open_alerts(&self, open: &[Alert]) {
        let mut state = self.lock();
        state.series.zero(Metric::AlertsActive);
        for alert in open {
            let labels = [alert.rule.id.as_str(), alert.severity.name()];
            state.series.shift(Metric::AlertsActive, &labels, 1.0);
        }
    }

    /// Counts one transition of an alert, once it is stored.
    pub fn add_alert(&self, alert: &Alert) {
        let mut state = self.lock();
        let labels = [alert.rule.id.as_str(), alert.severity.name()];
        let (metric, change) = match alert.state {
            AlertState::Firing => (Metric::AlertsFired, 1.0),
            AlertState::Escalated => {
                let from = alert.escalation.map_or(alert.severity, |escalation| escalation.from);
                let before = [alert.rule.id.as_str(), from.name()];
                state.series.shift(Metric::AlertsActive, &before, -1.0);
                (Metric::AlertsEscalated, 1.0)
            }
            AlertState::Resolved => (Metric::AlertsResolved, -1.0),
        };
        state.series.add(metric, &labels, 1);
        state.series.shift(Metric::AlertsActive, &labels, change);
    }

    /// Takes note of how many keys a rule holds, and the total of those it let go.
    pub fn set_rule_keys(&self, rule: &str, tracked: u64, evicted: u64) {
        let mut state = self.lock();
        state.series.set(Metric::AlertGroupsTracked, &[rule], tracked as f64);
        state.series.follow(Metric::AlertGroupsEvicted, &[rule], evicted as f64);
    }

    /// Takes note of how odd the last hour of a series of the weekly rhythm was, and of what was
    /// usual: low, mean and high.
    pub fn set_rhythm(&self, series: &str, oddness: f64, expected: [f64; 3]) {
        let mut state = self.lock();
        state.series.set(Metric::AnomalyScore, &[series], oddness);
        for (bound, value) in ["low", "mean", "high"].into_iter().zip(expected) {
            state.series.set(Metric::AnomalyExpected, &[series, bound], value);
        }
    }

    /// Takes note of how many alerts an entry of the allow-list kept silent, in all.
    pub fn set_allowed(&self, entry: &str, count: u64) {
        self.lock().series.follow(Metric::AlertsAllowed, &[entry], count as f64);
    }

    /// Takes note of the figures of the process.
    pub fn set_process(&self, process: &ProcessStats) {
        let mut state = self.lock();
        let series = &mut state.series;
        let number = |value: Option<u64>| value.map(|value| value as f64);
        series.set_or_remove(Metric::ProcessMemory, &[], number(process.resident_bytes));
        series.set_or_remove(Metric::ProcessOpenFiles, &[], number(process.open_files));
        series.set_or_remove(Metric::ProcessMaxFiles, &[], number(process.max_files));
        if let Some(seconds) = process.cpu_seconds {
            series.follow(Metric::ProcessCpu, &[], seconds);
        }
    }

    /// Counts a connection that had to wait for another one to end.
    pub(super) fn add_limited_connection(&self) {
        self.lock().series.add(Metric::ConnectionsLimited, &[], 1);
    }

    /// Forgets a source that is no longer configured: its silence is no alarm.
    pub fn forget_source(&self, source: &str) {
        let mut state = self.lock();
        state.sources.remove(source);
        state.series.forget("source", source);
    }

    /// Forgets a sink that is no longer configured.
    pub fn forget_sink(&self, sink: &str) {
        let mut state = self.lock();
        state.sinks.remove(sink);
        state.series.forget("sink", sink);
    }

    /// Renders all metrics for a scraper, in the text format. Clients gain and lose their series
    /// only here, so nothing but a scraper may call it.
    pub fn scrape(&self, now: Timestamp) -> String {
        let families = {
            let mut state = self.lock();
            state.admit_clients(now);
            state.set_times(now);
            let families = state.series.gather();
            state.evict_clients(now);
            families
        };
        TextEncoder::new().encode_to_string(&families).expect("each family has a name and a series")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in the middle of an update costs some counts, not the daemon.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The label of a site, which is `other` once too many are known; a new one gets its series.
    fn site_label(&mut self, site: &str) -> String {
        let site = clean(site).into_owned();
        if self.sites.contains(&site) {
            return site;
        }
        if MAX_SITES <= self.sites.len() && site != OTHER {
            self.series.add(Metric::MetricsOverflow, &[Metric::HttpRequests.entry().name], 1);
            return self.site_label(OTHER);
        }
        for (method, statuses) in KNOWN_REQUESTS {
            for status in statuses {
                self.series.add(Metric::HttpRequests, &[&site, method, status], 0);
            }
        }
        self.series.add(Metric::HttpResponseBytes, &[&site], 0);
        for kind in MALFORMED {
            self.series.add(Metric::HttpMalformed, &[&site, kind.name()], 0);
        }
        for level in LEVELS {
            self.series.add(Metric::ServerErrors, &[&site, level.name()], 0);
        }
        self.count_logins(&site, LoginCounts::default());
        self.sites.insert(site.clone());
        site
    }

    fn count_site(&mut self, tally: &SiteTally) {
        let site = self.site_label(&tally.name);
        for (method, status, count) in tally.requests() {
            self.series.add(Metric::HttpRequests, &[&site, method, &status.label()], count);
        }
        self.series.add(Metric::HttpResponseBytes, &[&site], tally.bytes);
        for (kind, count) in MALFORMED.iter().zip(tally.malformed).filter(|(_, count)| *count != 0)
        {
            self.series.add(Metric::HttpMalformed, &[&site, kind.name()], count);
        }
        for (level, count) in LEVELS.iter().zip(tally.server_errors).filter(|pair| pair.1 != 0) {
            self.series.add(Metric::ServerErrors, &[&site, level.name()], count);
        }
        self.count_logins(&site, tally.logins);
    }

    fn count_logins(&mut self, site: &str, logins: LoginCounts) {
        let outcomes =
            [("success", logins.success), ("failure", logins.failure), ("attempt", logins.attempt)];
        for (outcome, count) in outcomes {
            self.series.add(Metric::Logins, &[site, outcome], count);
        }
    }

    fn count_kinds(&mut self, tally: &Tally) {
        let access: u64 = tally.sites().iter().map(SiteTally::total).sum();
        let errors: u64 = tally.sites().iter().flat_map(|site| site.server_errors).sum();
        // Each line is one event of one kind, so login lines are what is left.
        let auth = tally.lines.saturating_sub(access + errors + tally.unparsed);
        for (kind, count) in KINDS.iter().zip([access, errors, auth, tally.unparsed]) {
            self.series.add(Metric::Events, &[kind], count);
        }
    }

    fn count_requests_of_clients(&mut self, tally: &Tally) {
        let mut unseen = [0; CLASSES.len()];
        for (_, status, count) in tally.sites().iter().flat_map(SiteTally::requests) {
            unseen[status.class()] += i128::from(count);
        }
        let mut other = [0; CLASSES.len()];
        for (client, counts) in tally.clients.iter() {
            let counts = counts.by_class;
            unseen.iter_mut().zip(counts).for_each(|(rest, count)| *rest -= i128::from(count));
            let label = self.client_label.of(client);
            if let Some(label) = &label {
                self.requests.weigh(label, counts.iter().sum());
            }
            match label.filter(|label| self.requests.holds(label)) {
                Some(label) => self.add_classes(&label, counts),
                None => other.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count),
            }
        }
        let rest = settle(unseen);
        other.iter_mut().zip(rest).for_each(|(sum, count)| *sum += count);
        self.add_classes(OTHER, other);
    }

    fn add_classes(&mut self, client: &str, counts: [u64; CLASSES.len()]) {
        for (class, count) in CLASSES.iter().zip(counts).filter(|(_, count)| *count != 0) {
            self.series.add(Metric::ClientRequests, &[client, class], count);
        }
    }

    fn count_login_failures_of_clients(&mut self, tally: &Tally) {
        // What has no place, no address, or was let go from the tally's table goes to `other`.
        let mut other = tally.logins().failure;
        for (client, failures) in tally.failed_clients.iter() {
            let Some(label) = self.client_label.of(client) else { continue };
            self.failures.weigh(&label, *failures);
            if self.failures.holds(&label) {
                self.series.add(Metric::ClientLoginFailures, &[&label], *failures);
                other = other.saturating_sub(*failures);
            }
        }
        self.series.add(Metric::ClientLoginFailures, &[OTHER], other);
    }

    fn admit_clients(&mut self, now: Timestamp) {
        let room = self.series.room(Metric::ClientRequests) / CLASSES.len();
        for client in self.requests.admit(now, room) {
            for class in CLASSES {
                self.series.add(Metric::ClientRequests, &[&client, class], 0);
            }
        }
        let room = self.series.room(Metric::ClientLoginFailures);
        for client in self.failures.admit(now, room) {
            self.series.add(Metric::ClientLoginFailures, &[&client], 0);
        }
        for (metric, slots) in [
            (Metric::ClientRequests, &self.requests),
            (Metric::ClientLoginFailures, &self.failures),
        ] {
            self.series.set(Metric::ClientTracked, &[metric.entry().name], slots.len() as f64);
        }
    }

    fn evict_clients(&mut self, now: Timestamp) {
        for (metric, slots) in [
            (Metric::ClientRequests, &mut self.requests),
            (Metric::ClientLoginFailures, &mut self.failures),
        ] {
            let evicted = slots.evict(now);
            // The counts of an evicted client are not added to `other`: they were seen already.
            for client in &evicted {
                self.series.forget_in(metric, "client_ip", client);
            }
            let count = evicted.len() as u64;
            self.series.add(Metric::ClientEvictions, &[metric.entry().name], count);
        }
    }

    /// Sets what grows by waiting alone.
    fn set_times(&mut self, now: Timestamp) {
        let age = |time: Timestamp| now.since(time).ms() as f64 / 1000.0;
        for (source, clock) in &self.sources {
            let name = [source.as_str()];
            let behind = clock.last_event.filter(|_| 0 < clock.lag_bytes);
            self.series.set(Metric::SourceLagSeconds, &name, behind.map_or(0.0, age));
            let last_event = clock.last_event.map(seconds);
            self.series.set_or_remove(Metric::SourceLastEvent, &name, last_event);
        }
        for (sink, oldest) in &self.sinks {
            let lag = oldest.map_or(0.0, age);
            self.series.set(Metric::SinkLagSeconds, &[sink.as_str()], lag);
        }
    }
}

/// Requests by class that the clients' table does not account for.
///
/// A class can be negative: sites count an unusual status such as 530 as `other`, of no class,
/// and clients count it by its hundreds. The class without a status settles it, so that the sum
/// is right.
fn settle(mut unseen: [i128; CLASSES.len()]) -> [u64; CLASSES.len()] {
    for class in 1..unseen.len() {
        let missing = unseen[class].min(0);
        unseen[class] -= missing;
        unseen[0] += missing;
    }
    unseen.map(|count| u64::try_from(count).unwrap_or(0))
}

fn seconds(time: Timestamp) -> f64 {
    time.ms() as f64 / 1000.0
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests;
