//! Counts about the traffic: what metrics, the scan report and the weekly report are made of.
//!
//! A [`Tally`] is plain numbers over some stretch of lines. Two tallies of neighbouring stretches
//! [`merge`](Tally::merge) into the tally of both, so files are counted on all cores, and hours
//! add up to weeks.
//!
//! Invariant: its size is bounded, whatever the lines say. Site names come from the Host header
//! and so from anybody: after [`MAX_SITES`] of them the rest is counted under `other`.

mod heavy;
mod record;

use cardinality_estimator::CardinalityEstimator;

use crate::engine::batch::{
    AuthOutcome, ClientSource, Event, EventBatch, Field, Kind, Level, Malformed,
};
use crate::units::Timestamp;

pub use heavy::{Counters, Heavy};
pub use record::TallyRecord;

/// Sites counted by name.
pub const MAX_SITES: usize = 64;

/// Name that everything beyond a limit is counted under.
pub const OTHER: &str = "other";

/// Request methods counted by name; index [`METHODS`]`.len()` stands for all others.
pub const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND"];

/// Status codes counted by number (IANA's and those of nginx, IIS, Cloudflare and Laravel); all
/// others are counted as `other`.
pub const STATUSES: [u16; 83] = [
    100, 101, 102, 103, 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304,
    305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415,
    416, 417, 418, 419, 420, 421, 422, 423, 424, 425, 426, 428, 429, 430, 431, 440, 444, 449, 450,
    451, 460, 463, 494, 495, 496, 497, 498, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510,
    511, 520, 521, 522, 523, 524, 525,
];

/// How many keys each of the tables of clients, paths and users holds exactly.
#[derive(Clone, Copy, Debug)]
pub struct TallyLimits {
    /// Keys held exactly by each table.
    pub keys: usize,
    /// Seed of the tables' hashes.
    pub seed: u64,
}

impl TallyLimits {
    /// For an interactive report over whole files.
    pub const fn scan(seed: u64) -> Self {
        Self { keys: 8192, seed }
    }

    /// For one hour in the store: about 20 KB each.
    pub const fn hour(seed: u64) -> Self {
        Self { keys: 256, seed }
    }
}

/// What is counted for each client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct ClientCounts {
    /// Requests by class of their status: none, 1xx, 2xx, 3xx, 4xx, 5xx.
    pub by_class: [u64; 6],
    /// Bytes of the responses.
    pub bytes: u64,
    /// Log-ins that failed.
    pub login_failures: u64,
}

impl Counters for ClientCounts {
    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.by_class.iter_mut().zip(other.by_class) {
            *mine += theirs;
        }
        self.bytes += other.bytes;
        self.login_failures += other.login_failures;
    }

    fn total(&self) -> u64 {
        // A client known from login lines alone is ranked by its failures.
        self.by_class.iter().sum::<u64>().max(self.login_failures)
    }
}

/// What is counted for each path.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct PathCounts {
    /// Requests.
    pub requests: u64,
    /// Of these, answered 404.
    pub not_found: u64,
    /// Of these, answered 5xx.
    pub errors: u64,
}

impl Counters for PathCounts {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.not_found += other.not_found;
        self.errors += other.errors;
    }

    fn total(&self) -> u64 {
        self.requests
    }
}

/// Log-ins by outcome.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct LoginCounts {
    /// Let in.
    pub success: u64,
    /// Refused, and counted as such.
    pub failure: u64,
    /// Posted a form whose answer does not show the result.
    pub attempt: u64,
}

/// What is counted for each site.
#[derive(Clone, Debug)]
pub struct SiteTally {
    /// The name, printable; [`OTHER`] for all sites beyond the limit.
    pub name: String,
    requests: Vec<u64>,
    /// Bytes of the responses.
    pub bytes: u64,
    /// Request lines that make no sense, by [`Malformed::ALL`].
    pub malformed: [u64; 6],
    /// Log-ins.
    pub logins: LoginCounts,
    /// Lines of error logs by level, `debug` to `emerg`.
    pub server_errors: [u64; 8],
}

const COLUMNS: usize = STATUSES.len() + 2; // every known status, others, none

impl SiteTally {
    fn new(name: String) -> Self {
        Self {
            name,
            requests: vec![0; (METHODS.len() + 1) * COLUMNS],
            bytes: 0,
            malformed: [0; 6],
            logins: LoginCounts::default(),
            server_errors: [0; 8],
        }
    }

    /// Requests by method name and status (`"other"` and `""` for statuses unknown and absent),
    /// without those that did not occur.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, StatusKey, u64)> + '_ {
        self.requests.iter().enumerate().filter(|(_, count)| **count != 0).map(|(cell, count)| {
            let method = METHODS.get(cell / COLUMNS).copied().unwrap_or(OTHER);
            (method, StatusKey::of_column(cell % COLUMNS), *count)
        })
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.requests.iter().sum()
    }

    fn merge(&mut self, other: &Self) {
        let pairs = self.requests.iter_mut().zip(&other.requests);
        pairs.for_each(|(mine, theirs)| *mine += theirs);
        self.bytes += other.bytes;
        let pairs = self.malformed.iter_mut().zip(other.malformed);
        pairs.for_each(|(mine, theirs)| *mine += theirs);
        let pairs = self.server_errors.iter_mut().zip(other.server_errors);
        pairs.for_each(|(mine, theirs)| *mine += theirs);
        self.logins.success += other.logins.success;
        self.logins.failure += other.logins.failure;
        self.logins.attempt += other.logins.attempt;
    }
}

/// The column of each status below 600: looked up for every line.
const COLUMN_OF: [u8; 600] = {
    let mut columns = [STATUSES.len() as u8; 600];
    columns[0] += 1;
    let mut at = 0;
    while at < STATUSES.len() {
        columns[STATUSES[at] as usize] = at as u8;
        at += 1;
    }
    columns
};

/// A status as it is counted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum StatusKey {
    /// One of [`STATUSES`].
    Known(u16),
    /// A number that is none of them.
    Other,
    /// The line has no status.
    Absent,
}

impl StatusKey {
    fn of_column(column: usize) -> Self {
        match STATUSES.get(column) {
            Some(status) => Self::Known(*status),
            None if column == STATUSES.len() => Self::Other,
            None => Self::Absent,
        }
    }

    fn column(status: u16) -> usize {
        usize::from(COLUMN_OF.get(usize::from(status)).copied().unwrap_or(STATUSES.len() as u8))
    }

    /// 0 for absent and unknown, else the hundreds.
    pub fn class(self) -> usize {
        match self {
            Self::Known(status) => usize::from(status / 100),
            Self::Other | Self::Absent => 0,
        }
    }

    /// The label in metrics and reports: `404`, `other`, `none`.
    pub fn label(self) -> String {
        match self {
            Self::Known(status) => status.to_string(),
            Self::Other => OTHER.to_owned(),
            Self::Absent => "none".to_owned(),
        }
    }
}

/// Counts over some stretch of lines.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Lines read; each is one event.
    pub lines: u64,
    /// Of these, lines that no format understood.
    pub unparsed: u64,
    /// Bytes of the lines.
    pub line_bytes: u64,
    /// Earliest and latest time of an event.
    pub span: Option<(Timestamp, Timestamp)>,
    sites: Vec<SiteTally>,
    last_site: usize,
    /// Clients by requests.
    pub clients: Heavy<ClientCounts>,
    /// Paths by requests.
    pub paths: Heavy<PathCounts>,
    /// Clients by failed log-ins.
    pub failed_clients: Heavy<u64>,
    /// Login names by failed log-ins. Hostile text.
    pub failed_users: Heavy<u64>,
    /// Shapes of lines that could not be parsed.
    pub shapes: Heavy<u64>,
    distinct: CardinalityEstimator<[u8]>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(limits: TallyLimits) -> Self {
        let heavy_seed = limits.seed;
        Self {
            lines: 0,
            unparsed: 0,
            line_bytes: 0,
            span: None,
            sites: Vec::new(),
            last_site: 0,
            clients: Heavy::new(limits.keys, heavy_seed),
            paths: Heavy::new(limits.keys, heavy_seed),
            failed_clients: Heavy::new(limits.keys, heavy_seed),
            failed_users: Heavy::new(limits.keys, heavy_seed),
            shapes: Heavy::new(limits.keys.min(256), heavy_seed),
            distinct: CardinalityEstimator::new(),
        }
    }

    /// Counts every event of `batch`.
    pub fn add(&mut self, batch: &EventBatch) {
        for event in batch.events() {
            self.count(&event);
        }
    }

    /// Counts one event.
    pub fn count(&mut self, event: &Event<'_>) {
        let row = event.row();
        self.lines += 1;
        self.line_bytes += event.line().len() as u64;
        if row.kind == Kind::ParseFailure {
            self.unparsed += 1;
            *self.shapes.entry(&shape(event.line())) += 1;
            return;
        }
        if !row.time_is_read {
            let (first, last) = self.span.unwrap_or((row.time, row.time));
            self.span = Some((first.min(row.time), last.max(row.time)));
        }
        let site = self.site_index(event.site());
        let site = &mut self.sites[site];
        match row.kind {
            Kind::Access => {
                let method = event.field(Field::Method).map_or(METHODS.len(), method_index);
                site.requests[method * COLUMNS + StatusKey::column(row.status)] += 1;
                site.bytes += row.bytes.unwrap_or(0);
                if let Some(malformed) = row.malformed {
                    site.malformed[malformed as usize] += 1;
                }
            }
            Kind::ServerError => site.server_errors[row.level as usize] += 1,
            Kind::Auth | Kind::ParseFailure => (),
        }
        let times = u64::from(row.count);
        if let Some(auth) = row.auth {
            match auth.outcome {
                AuthOutcome::Success => site.logins.success += times,
                AuthOutcome::Failure if auth.counted => site.logins.failure += times,
                AuthOutcome::Attempt => site.logins.attempt += times,
                AuthOutcome::Failure | AuthOutcome::Challenge => (),
            }
        }
        self.count_keys(event);
    }

    fn count_keys(&mut self, event: &Event<'_>) {
        let row = event.row();
        let failed = event.is_failed_login();
        // Where the text allows two readings, nobody is held to account.
        let client = match row.client_source {
            ClientSource::Ambiguous => &b""[..],
            _ => event.client_text(),
        };
        if !client.is_empty() && (row.kind == Kind::Access || failed) {
            let counts = with_printable(client, |key| {
                let hash = self.clients.hash(key);
                self.distinct.insert_hash(hash);
                self.clients.hashed_entry(hash, key)
            });
            if row.kind == Kind::Access {
                counts.by_class[usize::from(row.status / 100).min(5)] += 1;
                counts.bytes += row.bytes.unwrap_or(0);
            }
            counts.login_failures += if failed { u64::from(row.count) } else { 0 };
        }
        if row.kind == Kind::Access
            && let Some(path) = event.field(Field::Path)
        {
            let counts = with_printable(path, |key| self.paths.entry(key));
            counts.requests += 1;
            counts.not_found += u64::from(row.status == 404);
            counts.errors += u64::from(500 <= row.status);
        }
        if failed {
            if !client.is_empty() {
                let times = u64::from(row.count);
                with_printable(client, |key| *self.failed_clients.entry(key) += times);
            }
            if let Some(user) = event.field(Field::User) {
                with_printable(user, |key| *self.failed_users.entry(key) += u64::from(row.count));
            }
        }
    }

    /// The sites in the order they were first seen.
    pub fn sites(&self) -> &[SiteTally] {
        &self.sites
    }

    /// Requests of all sites by status.
    pub fn by_status(&self) -> std::collections::BTreeMap<StatusKey, u64> {
        let mut all = std::collections::BTreeMap::new();
        for (_, status, count) in self.sites.iter().flat_map(SiteTally::requests) {
            *all.entry(status).or_insert(0) += count;
        }
        all
    }

    /// Log-ins of all sites.
    pub fn logins(&self) -> LoginCounts {
        self.sites.iter().fold(LoginCounts::default(), |mut sum, site| {
            sum.success += site.logins.success;
            sum.failure += site.logins.failure;
            sum.attempt += site.logins.attempt;
            sum
        })
    }

    /// How many different clients there were: exact while the table holds them all, else an
    /// estimate (HyperLogLog, standard error about 1.6 %).
    pub fn distinct_clients(&self) -> u64 {
        if self.clients.evicted() == 0 {
            self.clients.len() as u64
        } else {
            self.distinct.estimate() as u64
        }
    }

    /// Adds all of `other`, counted with the same limits.
    pub fn merge(&mut self, other: &Self) {
        self.lines += other.lines;
        self.unparsed += other.unparsed;
        self.line_bytes += other.line_bytes;
        self.span = match (self.span, other.span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        for site in &other.sites {
            let index = self.site_index(site.name.as_bytes());
            self.sites[index].merge(site);
        }
        self.clients.merge(&other.clients);
        self.paths.merge(&other.paths);
        self.failed_clients.merge(&other.failed_clients);
        self.failed_users.merge(&other.failed_users);
        self.shapes.merge(&other.shapes);
        self.distinct.merge(&other.distinct);
    }

    fn site_index(&mut self, name: &[u8]) -> usize {
        // Lines of one file are nearly always of one site, so the last one is tried first.
        if self.sites.get(self.last_site).is_some_and(|site| site.name.as_bytes() == name) {
            return self.last_site;
        }
        self.last_site = with_printable(name, |name| self.find_or_add_site(name));
        self.last_site
    }

    fn find_or_add_site(&mut self, name: &[u8]) -> usize {
        if let Some(index) = self.sites.iter().position(|site| site.name.as_bytes() == name) {
            return index;
        }
        if MAX_SITES <= self.sites.len() {
            return match self.sites.iter().position(|site| site.name == OTHER) {
                Some(index) => index,
                None => {
                    self.sites.push(SiteTally::new(OTHER.to_owned()));
                    self.sites.len() - 1
                }
            };
        }
        self.sites.push(SiteTally::new(String::from_utf8_lossy(name).into_owned()));
        self.sites.len() - 1
    }
}

fn method_index(name: &[u8]) -> usize {
    // The two that make up nearly all requests first.
    match name {
        b"GET" => 0,
        b"POST" => 2,
        _ => METHODS.iter().position(|m| m.as_bytes() == name).unwrap_or(METHODS.len()),
    }
}

/// Keys longer than this are cut: a path can be 64 KiB.
const MAX_KEY_BYTES: usize = 256;

/// Calls `visit` with `text` as it may be shown: at most 256 bytes of UTF-8, other bytes as
/// `\xHH`.
fn with_printable<T>(text: &[u8], visit: impl FnOnce(&[u8]) -> T) -> T {
    if text.len() <= MAX_KEY_BYTES && text.is_ascii() {
        return visit(text);
    }
    let mut printable = Vec::with_capacity(text.len().min(MAX_KEY_BYTES) + 16);
    crate::engine::text::push_utf8(&mut printable, &text[..text.len().min(MAX_KEY_BYTES)]);
    visit(&printable)
}

/// The shape of a line: digits become `9`, letters `a`, runs are shortened, at most 80 bytes. Two
/// lines of one unknown format have the same shape.
fn shape(line: &[u8]) -> Vec<u8> {
    let mut shape: Vec<u8> = Vec::with_capacity(80);
    for byte in line {
        let class = match byte {
            b'0'..=b'9' => b'9',
            b'a'..=b'z' | b'A'..=b'Z' => b'a',
            0x21..=0x7e | b' ' => *byte,
            _ => b'?',
        };
        let run = shape.last() == Some(&class) && matches!(class, b'9' | b'a' | b'?' | b' ');
        if !run {
            shape.push(class);
        }
        if shape.len() == 80 {
            break;
        }
    }
    shape
}

/// Levels in the order of [`SiteTally::server_errors`].
pub const LEVELS: [Level; 8] = [
    Level::Debug,
    Level::Info,
    Level::Notice,
    Level::Warn,
    Level::Error,
    Level::Critical,
    Level::Alert,
    Level::Emergency,
];

/// The kinds in the order of [`SiteTally::malformed`].
pub const MALFORMED: [Malformed; 6] = Malformed::ALL;
