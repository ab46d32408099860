//! What the daemon tells the metrics: plain figures, taken where they are known.
//!
//! Figures named as totals are running totals since the part began to count; the metrics follow
//! them, so a part that is rebuilt and counts from 0 again breaks nothing.

use crate::units::{Period, Timestamp};

/// Lines just read from one source, after a commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceReading<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// Lines.
    pub lines: u64,
    /// Their bytes, line endings included.
    pub bytes: u64,
    /// Latest time in these lines.
    pub last_event: Option<Timestamp>,
    /// When they were read. A later `last_event` is taken as this: one line dated in the far
    /// future must not hide for years that the source went silent.
    pub read_at: Timestamp,
    /// Lines that no format understands, by [`crate::engine::format::Miss::name`].
    pub parse_failures: &'a [(&'a str, u64)],
}

/// A source as it stands, after a look at its files.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceState<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// Formats its lines are read as.
    pub formats: &'a [&'a str],
    /// Files being followed.
    pub files: u64,
    /// Bytes written and not read yet, over all files.
    pub lag_bytes: u64,
    /// Total of files renamed or replaced.
    pub rotations: u64,
    /// Total of files that became shorter.
    pub truncations: u64,
    /// Total of bytes known to be lost.
    pub lost_bytes: u64,
    /// No file matches the path.
    pub missing: bool,
    /// Files that match and cannot be opened.
    pub unreadable: u64,
}

/// A listener as it stands; its lines are those of a source.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenerState<'a> {
    /// Name of the source.
    pub source: &'a str,
    /// It listens.
    pub up: bool,
    /// Connections that are open.
    pub connections: u64,
    /// Totals of what was not taken, by reason.
    pub refused: &'a [(&'a str, u64)],
    /// Total of lines that were longer than the limit.
    pub cut_lines: u64,
    /// Total of connections that ended within a message.
    pub unfinished: u64,
    /// Total of datagrams that the kernel dropped.
    pub dropped: u64,
}

/// A sink as it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct SinkState<'a> {
    /// Name of the sink.
    pub sink: &'a str,
    /// Nothing failed since the last delivery; true before the first one.
    pub up: bool,
    /// Total of events the receiver took.
    pub sent: u64,
    /// Total of events it refused for good.
    pub rejected: u64,
    /// Total of events dropped because the store was full.
    pub dropped: u64,
    /// Total of events the sink did not want.
    pub filtered: u64,
    /// Total of events that others of their sort stand for.
    pub sampled: u64,
    /// Total of events that gave up fields to fit.
    pub truncated: u64,
    /// Total of tokens that can no longer be revealed.
    pub forgotten: u64,
    /// Total of transitions of alerts the receiver took.
    pub alerts: u64,
    /// Total of deliveries tried again.
    pub retries: u64,
    /// Events not delivered yet.
    pub lag_events: u64,
    /// Bytes of their lines.
    pub lag_bytes: u64,
    /// When the oldest of them was received.
    pub oldest_waiting: Option<Timestamp>,
    /// When the receiver last took something.
    pub last_success: Option<Timestamp>,
}

/// The store as it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreState {
    /// Disk space it takes.
    pub bytes: u64,
    /// Disk space it may take.
    pub limit_bytes: u64,
    /// Frames in it.
    pub frames: u64,
    /// Time of the oldest line in it.
    pub oldest: Option<Timestamp>,
    /// It is at its limit and a required sink is behind.
    pub full: bool,
    /// Total of commits that failed.
    pub write_errors: u64,
    /// When the last commit succeeded.
    pub checkpoint: Option<Timestamp>,
}

/// The archive as it stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistoryState {
    /// Total of events written.
    pub events: u64,
    /// Files.
    pub parts: u64,
    /// Disk space they take.
    pub bytes: u64,
    /// Disk space they may take.
    pub limit_bytes: u64,
    /// Start of the oldest day.
    pub oldest: Option<Timestamp>,
    /// Events that wait in the store.
    pub waiting: u64,
    /// When events were last written.
    pub last_success: Option<Timestamp>,
    /// Total of files that were set aside.
    pub damaged: u64,
    /// Total of files that were deleted for their age.
    pub removed_by_age: u64,
    /// Total of files that were deleted because room was needed.
    pub removed_by_size: u64,
}

/// An alert channel as it stands.
#[derive(Clone, Copy, Debug)]
pub struct ChannelState<'a> {
    /// Its name.
    pub channel: &'a str,
    /// The last try succeeded, or there was none.
    pub up: bool,
    /// Messages that wait.
    pub waiting: u64,
    /// When its receiver took one last.
    pub last_success: Option<Timestamp>,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotificationResult {
    /// It was accepted for delivery.
    Sent,
    /// A try failed; it is tried again.
    Failed,
    /// It was given up.
    Expired,
    /// It was held back by the limit per hour and went into a summary.
    RateLimited,
}

impl NotificationResult {
    /// All results, for counters that start at zero.
    pub const ALL: [Self; 4] = [Self::Sent, Self::Failed, Self::Expired, Self::RateLimited];

    /// The value of the `result` label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// What the program was built from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BuildInfo {
    /// Version of the package.
    pub version: &'static str,
    /// Revision of the source.
    pub revision: &'static str,
    /// Version of the compiler.
    pub rustc: &'static str,
    /// Target triple, or the architecture where the build did not say.
    pub target: &'static str,
}

impl BuildInfo {
    /// This program. A release build sets `GATEWATCH_REVISION`, `GATEWATCH_RUSTC` and
    /// `GATEWATCH_TARGET`; a build without them says `unknown`.
    pub const fn current() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            revision: or(option_env!("GATEWATCH_REVISION"), "unknown"),
            rustc: or(option_env!("GATEWATCH_RUSTC"), "unknown"),
            target: or(option_env!("GATEWATCH_TARGET"), std::env::consts::ARCH),
        }
    }
}

const fn or(value: Option<&'static str>, default: &'static str) -> &'static str {
    match value {
        Some(value) => value,
        None => default,
    }
}

/// A list of indicators as it stands.
#[derive(Clone, Debug)]
pub struct FeedState<'f> {
    /// Its name.
    pub name: &'f str,
    /// The newest version of its file is in force.
    pub is_up: bool,
    /// Indicators by kind; nothing where no list is in force.
    pub counts: Option<Vec<(&'static str, u64)>>,
    /// Entries that could not be used.
    pub refused: u64,
    /// When the list in force was written.
    pub as_of: Option<Timestamp>,
    /// After which it is stale.
    pub max_age: Period,
}
