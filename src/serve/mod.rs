//! Metrics, health and readiness over HTTP, for Prometheus and for people.
//!
//! ```text
//!  pipeline ─ add_tally, add_reading, add_alert ─▶┌─────────┐   ┌──────┐
//!  sources, sinks, store ─ set_… ────────────────▶│ Metrics │──▶│ http │─▶ GET /metrics
//!  every part ─ pass, fail, alive ───────────────▶│Readiness│──▶│      │─▶ GET /readyz
//!                                                 └─────────┘   └──────┘
//! ```
//!
//! Invariant: this module only watches. Nothing here can hold up the pipeline longer than one
//! rendering of the page takes, and what a scraper sends is never read beyond its headers.

mod clients;
mod config;
mod http;
mod listen;
mod metrics;
mod observe;
mod page;
mod process;
mod readiness;
mod reference;
mod series;
mod table;

pub use clients::STAY;
pub use config::{ClientLabel, ServeConfig, ServeProblem};
pub use http::{HttpLimits, Pages, Watched, serve};
pub use listen::{ServeError, bind};
pub use metrics::Metrics;
pub use observe::{
    BuildInfo, ChannelState, FeedState, HistoryState, ListenerState, NotificationResult, SinkState,
    SourceReading, SourceState, StoreState,
};
pub use process::ProcessStats;
pub use readiness::{Check, Readiness, ReadinessReport};
pub use reference::reference;
pub use series::{MAX_SERIES, MAX_SERIES_PER_METRIC};
pub use table::{METRICS, MetricEntry, MetricKind, OPEN_LABELS};

#[cfg(test)]
mod testing;
