//! The heaviest clients, paths and names of a tally, as rows.

use serde::Serialize;

use crate::engine::tally::{Counters, Heavy, PathCounts, Tally};

/// A list of the heaviest, and how far it can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked<R> {
    /// Each count may be this much too small, and a key with a smaller count may be missing: the
    /// table was full. 0 when all counts are exact.
    pub lower_by: u64,
    /// The rows, heaviest first.
    pub top: Vec<R>,
}

/// A client. Its text is hostile where a log holds host names.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ClientRow {
    /// Address or host name, as logged.
    pub client: String,
    /// Requests.
    pub requests: u64,
    /// Answered 4xx.
    pub client_errors: u64,
    /// Answered 5xx.
    pub server_errors: u64,
    /// Bytes of the responses.
    pub bytes: u64,
    /// Log-ins that failed.
    pub failed_logins: u64,
    /// Requests in the stretch before, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// A path. Hostile text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PathRow {
    /// Without the query, percent-encoding kept.
    pub path: String,
    /// Requests.
    pub requests: u64,
    /// Answered 404.
    pub not_found: u64,
    /// Answered 5xx.
    pub server_errors: u64,
    /// The count that the list is ranked by, in the stretch before, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// A name and how often it occurred. Hostile text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct CountRow {
    /// A login name, a client, or the shape of a line.
    pub name: String,
    /// How often.
    pub count: u64,
    /// How often in the stretch before, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// Clients by requests.
pub fn clients(tally: &Tally, before: Option<&Tally>, n: usize) -> Ranked<ClientRow> {
    let row = |(key, counts): (&[u8], &crate::engine::tally::ClientCounts)| ClientRow {
        client: text(key),
        requests: counts.by_class.iter().sum(),
        client_errors: counts.by_class[4],
        server_errors: counts.by_class[5],
        bytes: counts.bytes,
        failed_logins: counts.login_failures,
        before: before.map(|before| {
            before.clients.find(key).map_or(0, |counts| counts.by_class.iter().sum())
        }),
    };
    let top = tally.clients.top(n).into_iter().map(row).collect();
    Ranked { lower_by: tally.clients.error(), top }
}

/// Paths by requests.
pub fn paths(tally: &Tally, before: Option<&Tally>, n: usize) -> Ranked<PathRow> {
    paths_by(tally, before, n, |counts| counts.requests)
}

/// Paths by answers 404.
pub fn not_found(tally: &Tally, before: Option<&Tally>, n: usize) -> Ranked<PathRow> {
    paths_by(tally, before, n, |counts| counts.not_found)
}

/// Paths by answers 5xx.
pub fn failing(tally: &Tally, before: Option<&Tally>, n: usize) -> Ranked<PathRow> {
    paths_by(tally, before, n, |counts| counts.errors)
}

fn paths_by(
    tally: &Tally,
    before: Option<&Tally>,
    n: usize,
    rank: impl Fn(&PathCounts) -> u64,
) -> Ranked<PathRow> {
    let mut all: Vec<_> = tally.paths.iter().filter(|(_, counts)| 0 < rank(counts)).collect();
    all.sort_unstable_by(|a, b| rank(b.1).cmp(&rank(a.1)).then(a.0.cmp(b.0)));
    let row = |(key, counts): (&[u8], &PathCounts)| PathRow {
        path: text(key),
        requests: counts.requests,
        not_found: counts.not_found,
        server_errors: counts.errors,
        before: before.map(|before| before.paths.find(key).map_or(0, &rank)),
    };
    Ranked { lower_by: tally.paths.error(), top: all.into_iter().take(n).map(row).collect() }
}

/// The heaviest keys of a table that counts one thing.
pub fn counts(heavy: &Heavy<u64>, before: Option<&Heavy<u64>>, n: usize) -> Ranked<CountRow> {
    let row = |(key, count): (&[u8], &u64)| CountRow {
        name: text(key),
        count: *count,
        before: before.map(|before| before.find(key).map_or(0, Counters::total)),
    };
    Ranked { lower_by: heavy.error(), top: heavy.top(n).into_iter().map(row).collect() }
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}
