//! Every metric, one row each.
//!
//! The table drives what may be exported, the reference page and the test of the dashboards and
//! rules. To add a metric: one variant of [`Metric`] (`table/metric.rs`), one row at the same place in [`METRICS`],
//! one call in `metrics.rs`; then `UPDATE_GOLDEN=1 cargo test --lib serve::`.
//!
//! Invariant: a label is a closed set, a name that the operator chose, or one of
//! [`OPEN_LABELS`], which whoever sends requests can choose and which are limited for it.

mod metric;

pub(super) use metric::Metric;

/// How values of a metric behave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricKind {
    /// Only grows, until the process starts again.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl MetricKind {
    /// The name in the exposition.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricEntry {
    pub(super) metric: Metric,
    /// The name.
    pub name: &'static str,
    /// How its values behave.
    pub kind: MetricKind,
    /// Names of its labels, in the order they are written.
    pub labels: &'static [&'static str],
    /// What it says, for the reader of the exposition and of the reference page.
    pub help: &'static str,
}

impl MetricEntry {
    /// One of its labels holds text that the senders of requests can choose.
    pub fn is_open(&self) -> bool {
        self.labels.iter().any(|label| OPEN_LABELS.contains(label))
    }
}

/// Labels whose values come from log lines, and so from anybody.
pub const OPEN_LABELS: [&str; 2] = ["client_ip", "site"];

const fn counter(
    metric: Metric,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricEntry {
    MetricEntry { metric, name, kind: MetricKind::Counter, labels, help }
}

const fn gauge(
    metric: Metric,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> MetricEntry {
    MetricEntry { metric, name, kind: MetricKind::Gauge, labels, help }
}

/// Every metric, in the order of the exposition.
pub const METRICS: &[MetricEntry] = &[
    // Traffic.
    counter(
        Metric::HttpRequests,
        "gatewatch_http_requests_total",
        &["site", "method", "status"],
        "Requests in access logs. Unusual methods and status codes are counted as other.",
    ),
    counter(
        Metric::HttpResponseBytes,
        "gatewatch_http_response_bytes_total",
        &["site"],
        "Bytes of responses as logged: of the body, or of the whole where only that is logged.",
    ),
    counter(
        Metric::HttpMalformed,
        "gatewatch_http_malformed_requests_total",
        &["site", "kind"],
        "Requests whose request line makes no sense, by what is wrong with it.",
    ),
    counter(
        Metric::Logins,
        "gatewatch_logins_total",
        &["site", "outcome"],
        "Log-ins by outcome; attempt is a posted form whose answer does not show the result.",
    ),
    counter(
        Metric::ServerErrors,
        "gatewatch_server_errors_total",
        &["site", "level"],
        "Lines of web server error logs by level.",
    ),
    counter(
        Metric::Events,
        "gatewatch_events_total",
        &["kind"],
        "Events, one for each line read. parse_failure is a line that no format understands.",
    ),
    // Clients. Rates are right; sums over all history are not, because a client can lose its place.
    counter(
        Metric::ClientRequests,
        "gatewatch_client_requests_total",
        &["client_ip", "status_class"],
        "Requests of the busiest clients since each was admitted; all others count as other.",
    ),
    counter(
        Metric::ClientLoginFailures,
        "gatewatch_client_login_failures_total",
        &["client_ip"],
        "Failed log-ins of the clients with most of them since each was admitted; all others \
         count as other.",
    ),
    gauge(
        Metric::ClientTracked,
        "gatewatch_client_tracked",
        &["metric"],
        "Clients that have series of their own.",
    ),
    counter(
        Metric::ClientEvictions,
        "gatewatch_client_evictions_total",
        &["metric"],
        "Clients whose series were given up for busier clients or after long silence.",
    ),
    // Sources.
    gauge(
        Metric::SourceInfo,
        "gatewatch_source_info",
        &["source", "format"],
        "1 for each source, with the format its lines are read as.",
    ),
    gauge(Metric::SourceFiles, "gatewatch_source_files", &["source"], "Files being followed."),
    counter(Metric::SourceLines, "gatewatch_source_lines_total", &["source"], "Lines read."),
    counter(
        Metric::SourceBytes,
        "gatewatch_source_bytes_total",
        &["source"],
        "Bytes read, line endings included.",
    ),
    counter(
        Metric::SourceParseFailures,
        "gatewatch_source_parse_failures_total",
        &["source", "reason"],
        "Lines that no format understands; they are kept and forwarded as they are.",
    ),
    gauge(
        Metric::SourceLagBytes,
        "gatewatch_source_lag_bytes",
        &["source"],
        "Bytes written to the source's files and not read yet.",
    ),
    gauge(
        Metric::SourceLagSeconds,
        "gatewatch_source_lag_seconds",
        &["source"],
        "Age of the last event read while more waits to be read, else 0.",
    ),
    gauge(
        Metric::SourceLastEvent,
        "gatewatch_source_last_event_timestamp_seconds",
        &["source"],
        "Latest time in the lines read. Absent until the first event.",
    ),
    counter(
        Metric::SourceRotations,
        "gatewatch_source_rotations_total",
        &["source"],
        "Log files that were renamed or replaced while being followed.",
    ),
    counter(
        Metric::SourceTruncations,
        "gatewatch_source_truncations_total",
        &["source"],
        "Log files that became shorter than what was read of them.",
    ),
    counter(
        Metric::SourceLostBytes,
        "gatewatch_source_lost_bytes_total",
        &["source"],
        "Bytes known to have vanished before they could be read.",
    ),
    gauge(
        Metric::SourceMissing,
        "gatewatch_source_missing",
        &["source"],
        "1 while no file matches the source's path.",
    ),
    gauge(
        Metric::SourceUnreadable,
        "gatewatch_source_unreadable",
        &["source"],
        "Files that match and cannot be opened; /readyz says why and what to do.",
    ),
    // Listeners, which are sources too.
    gauge(
        Metric::ListenerUp,
        "gatewatch_listener_up",
        &["source"],
        "1 while the source listens, 0 while its address cannot be had; /readyz says why.",
    ),
    gauge(
        Metric::ListenerConnections,
        "gatewatch_listener_connections",
        &["source"],
        "Connections of senders that are open.",
    ),
    counter(
        Metric::ListenerRefused,
        "gatewatch_listener_refused_total",
        &["source", "reason"],
        "Connections and requests not taken: too many connections, no TLS, a wrong token, no such \
         request, a body too large, or pressure (lines come faster than they are stored).",
    ),
    counter(
        Metric::ListenerCutLines,
        "gatewatch_listener_cut_lines_total",
        &["source"],
        "Lines received that were longer than follow.max_line_size: their heads are kept.",
    ),
    counter(
        Metric::ListenerUnfinished,
        "gatewatch_listener_unfinished_total",
        &["source"],
        "Connections that ended within a message: what had come of it is kept as a line.",
    ),
    counter(
        Metric::ListenerDropped,
        "gatewatch_listener_dropped_datagrams_total",
        &["source"],
        "Datagrams that the kernel dropped because they came faster than they were taken.",
    ),
    // Sinks.
    counter(
        Metric::SinkEvents,
        "gatewatch_sink_events_total",
        &["sink", "result"],
        "Events by what became of them: sent, rejected by the receiver, dropped by us, not wanted \
         by the sink's settings, or left out of a sample.",
    ),
    counter(
        Metric::SinkTruncated,
        "gatewatch_sink_truncated_total",
        &["sink"],
        "Events that were sent with less of them because a message has a limit.",
    ),
    counter(
        Metric::SinkTokensForgotten,
        "gatewatch_sink_tokens_forgotten_total",
        &["sink"],
        "Tokens that can no longer be revealed: there were too many, or they were not used for long.",
    ),
    counter(
        Metric::SinkAlerts,
        "gatewatch_sink_alerts_total",
        &["sink"],
        "Transitions of alerts, firing or resolved, that the receiver took.",
    ),
    gauge(
        Metric::SinkUp,
        "gatewatch_sink_up",
        &["sink"],
        "1 while the last delivery was accepted, 0 after a failure.",
    ),
    gauge(
        Metric::SinkLagEvents,
        "gatewatch_sink_lag_events",
        &["sink"],
        "Events stored and not delivered yet.",
    ),
    gauge(
        Metric::SinkLagBytes,
        "gatewatch_sink_lag_bytes",
        &["sink"],
        "Bytes of the lines stored and not delivered yet.",
    ),
    gauge(
        Metric::SinkLagSeconds,
        "gatewatch_sink_lag_seconds",
        &["sink"],
        "Time since the oldest event not delivered yet was received, else 0.",
    ),
    gauge(
        Metric::SinkLastSuccess,
        "gatewatch_sink_last_success_timestamp_seconds",
        &["sink"],
        "When the receiver last accepted something. Absent until then.",
    ),
    counter(
        Metric::SinkRetries,
        "gatewatch_sink_retries_total",
        &["sink"],
        "Deliveries that failed and were tried again.",
    ),
    // Store and outbox.
    gauge(Metric::StoreBytes, "gatewatch_store_bytes", &[], "Disk space the store takes."),
    gauge(
        Metric::StoreLimitBytes,
        "gatewatch_store_limit_bytes",
        &[],
        "Disk space the store may take (store.max_size).",
    ),
    gauge(Metric::StoreFrames, "gatewatch_store_frames", &[], "Frames of lines in the store."),
    gauge(
        Metric::StoreOldest,
        "gatewatch_store_oldest_timestamp_seconds",
        &[],
        "Time of the oldest line in the store. Absent while it is empty.",
    ),
    gauge(
        Metric::StoreFull,
        "gatewatch_store_full",
        &[],
        "1 while the store is at its limit and a required sink is behind: reading waits or lines \
         are dropped, as configured.",
    ),
    counter(
        Metric::StoreWriteErrors,
        "gatewatch_store_write_errors_total",
        &[],
        "Commits that failed and were tried again.",
    ),
    gauge(
        Metric::Checkpoint,
        "gatewatch_checkpoint_timestamp_seconds",
        &[],
        "When lines and positions were last made safe on disk. Absent until then.",
    ),
    counter(
        Metric::HistoryEvents,
        "gatewatch_history_events_total",
        &[],
        "Events written into the archive.",
    ),
    gauge(Metric::HistoryParts, "gatewatch_history_parts", &[], "Files of the archive."),
    gauge(Metric::HistoryBytes, "gatewatch_history_bytes", &[], "Disk space the archive takes."),
    gauge(
        Metric::HistoryLimitBytes,
        "gatewatch_history_limit_bytes",
        &[],
        "Disk space the archive may take (history.max_size, or what follows from the disk).",
    ),
    gauge(
        Metric::HistoryOldest,
        "gatewatch_history_oldest_timestamp_seconds",
        &[],
        "Start of the oldest day in the archive. Absent while it is empty.",
    ),
    gauge(
        Metric::HistoryWaiting,
        "gatewatch_history_waiting_events",
        &[],
        "Events in the store that are not archived yet; searches find them there.",
    ),
    gauge(
        Metric::HistoryLastSuccess,
        "gatewatch_history_last_success_timestamp_seconds",
        &[],
        "When events were last written into the archive. Absent until then.",
    ),
    counter(
        Metric::HistoryDamaged,
        "gatewatch_history_damaged_parts_total",
        &[],
        "Files of the archive that were damaged and set aside.",
    ),
    counter(
        Metric::HistoryRemoved,
        "gatewatch_history_removed_parts_total",
        &["reason"],
        "Files of the archive that were deleted, by their age or because room was needed (size).",
    ),
    gauge(
        Metric::OutboxWaiting,
        "gatewatch_outbox_waiting",
        &[],
        "Notifications waiting to be sent.",
    ),
    gauge(
        Metric::OutboxOldest,
        "gatewatch_outbox_oldest_timestamp_seconds",
        &[],
        "When the longest waiting notification was written. Absent while none waits.",
    ),
    counter(
        Metric::Notifications,
        "gatewatch_notifications_total",
        &["channel", "result"],
        "Notifications by what became of them; failed counts tries, expired gives up.",
    ),
    gauge(
        Metric::ChannelUp,
        "gatewatch_channel_up",
        &["channel"],
        "1 while the last try of an alert channel was taken, or there was none yet.",
    ),
    gauge(
        Metric::ChannelWaiting,
        "gatewatch_channel_waiting",
        &["channel"],
        "Alerts waiting to be told by an alert channel.",
    ),
    gauge(
        Metric::ChannelLastSuccess,
        "gatewatch_channel_last_success_timestamp_seconds",
        &["channel"],
        "When an alert channel's receiver took a message last. Absent until then.",
    ),
    // Alerts.
    gauge(
        Metric::AlertsActive,
        "gatewatch_alerts_active",
        &["rule", "severity"],
        "Alerts that fired and are not resolved.",
    ),
    counter(
        Metric::AlertsFired,
        "gatewatch_alerts_fired_total",
        &["rule", "severity"],
        "Alerts that fired.",
    ),
    counter(
        Metric::AlertsEscalated,
        "gatewatch_alerts_escalated_total",
        &["rule", "severity"],
        "Alerts that grew to ten or a hundred times what made them fire.",
    ),
    counter(
        Metric::AlertsResolved,
        "gatewatch_alerts_resolved_total",
        &["rule", "severity"],
        "Alerts that were resolved.",
    ),
    gauge(
        Metric::AlertGroupsTracked,
        "gatewatch_alert_groups_tracked",
        &["rule"],
        "Keys (clients, users, sites) that the rule holds counts for.",
    ),
    counter(
        Metric::AlertGroupsEvicted,
        "gatewatch_alert_groups_evicted_total",
        &["rule"],
        "Keys that the rule let go because it held too many.",
    ),
    counter(
        Metric::AlertsAllowed,
        "gatewatch_alerts_allowed_total",
        &["entry"],
        "Alerts that an entry of the allow-list kept silent.",
    ),
    gauge(
        Metric::AnomalyScore,
        "gatewatch_anomaly_score",
        &["series"],
        "How odd the last hour of a series was by the weekly rhythm: 1 is as odd as an alarm.",
    ),
    gauge(
        Metric::AnomalyExpected,
        "gatewatch_anomaly_expected",
        &["series", "bound"],
        "What was usual for the last hour of a series: mean, and the low and high end of its band.",
    ),
    gauge(
        Metric::RuleFiles,
        "gatewatch_sigma_rules",
        &["state"],
        "Rules in the folders of the configuration: loaded, unevaluable (no log here has what they look at), rejected.",
    ),
    // Lists of indicators.
    gauge(
        Metric::IocIndicators,
        "gatewatch_ioc_indicators",
        &["feed", "type"],
        "Different indicators in force.",
    ),
    gauge(
        Metric::IocRefused,
        "gatewatch_ioc_refused_entries",
        &["feed"],
        "Entries of the list in force that cannot be read or are not supported.",
    ),
    gauge(
        Metric::IocUp,
        "gatewatch_ioc_up",
        &["feed"],
        "1 while the newest version of the list's file is in force, 0 while it cannot be used.",
    ),
    gauge(
        Metric::IocLastUpdate,
        "gatewatch_ioc_last_update_timestamp_seconds",
        &["feed"],
        "When the list in force was written.",
    ),
    gauge(
        Metric::IocMaxAge,
        "gatewatch_ioc_max_age_seconds",
        &["feed"],
        "Age from which on a list counts as stale.",
    ),
    counter(
        Metric::IocMatches,
        "gatewatch_ioc_matches_total",
        &["feed"],
        "Events that meet an indicator; of several lists the one that is told.",
    ),
    // Ourselves.
    counter(
        Metric::MetricsOverflow,
        "gatewatch_metrics_overflow_total",
        &["metric"],
        "Updates of the metric that found no room for a series of their own.",
    ),
    counter(
        Metric::ConnectionsLimited,
        "gatewatch_connections_limited_total",
        &[],
        "Times all connections of the HTTP listener were in use, so that the next one had to wait.",
    ),
    gauge(
        Metric::BuildInfo,
        "gatewatch_build_info",
        &["version", "revision", "rustc", "target"],
        "1, with what this program was built from.",
    ),
    gauge(
        Metric::Start,
        "gatewatch_start_timestamp_seconds",
        &[],
        "When the daemon started; all counters began at 0 then.",
    ),
    gauge(
        Metric::ProcessMemory,
        "process_resident_memory_bytes",
        &[],
        "Memory of the process that is held in RAM.",
    ),
    counter(
        Metric::ProcessCpu,
        "process_cpu_seconds_total",
        &[],
        "Processor time the process used.",
    ),
    gauge(Metric::ProcessOpenFiles, "process_open_fds", &[], "Open file descriptors."),
    gauge(Metric::ProcessMaxFiles, "process_max_fds", &[], "Most file descriptors it may open."),
    gauge(
        Metric::ProcessStart,
        "process_start_time_seconds",
        &[],
        "When the process started, as Prometheus client libraries name it.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_row_stands_at_the_place_its_variant_names() {
        for (index, entry) in METRICS.iter().enumerate() {
            assert_eq!(index, entry.metric as usize, "{}", entry.name);
        }
        assert_eq!(METRICS.len(), Metric::ProcessStart as usize + 1);
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let names: BTreeSet<&str> = METRICS.iter().map(|entry| entry.name).collect();
        assert_eq!(METRICS.len(), names.len(), "a name is used twice");
        for entry in METRICS {
            let prefixed = ["gatewatch_", "process_"].iter().any(|p| entry.name.starts_with(p));
            assert!(prefixed, "{}", entry.name);
            let is_counter = entry.kind == MetricKind::Counter;
            assert_eq!(is_counter, entry.name.ends_with("_total"), "{}", entry.name);
            let sentence = entry.help.ends_with('.') && !entry.help.contains(['\n', '|']);
            assert!(sentence, "{}: {}", entry.name, entry.help);
        }
    }
}
