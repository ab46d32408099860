//! A tally as it is kept in the store: plain data with names, readable as JSON by anybody.

use cardinality_estimator::CardinalityEstimator;
use serde::{Deserialize, Serialize};

use super::{
    COLUMNS, ClientCounts, Counters, Heavy, LoginCounts, METHODS, PathCounts, SiteTally, StatusKey,
    Tally, TallyLimits, method_index,
};
use crate::units::Timestamp;

/// Keys of a table, written or read at once.
type Rows<C> = Vec<(String, C)>;

/// All of a [`Tally`], as plain data.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TallyRecord {
    lines: u64,
    unparsed: u64,
    line_bytes: u64,
    span: Option<(Timestamp, Timestamp)>,
    sites: Vec<SiteRecord>,
    clients: Rows<ClientCounts>,
    paths: Rows<PathCounts>,
    failed_clients: Rows<u64>,
    failed_users: Rows<u64>,
    shapes: Rows<u64>,
    /// How much the totals of clients and paths may fall short.
    errors: (u64, u64),
    evicted_clients: u64,
    distinct: CardinalityEstimator<[u8]>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct SiteRecord {
    name: String,
    /// Method, status (0: none, 1: other), count.
    requests: Vec<(String, u16, u64)>,
    bytes: u64,
    malformed: [u64; 6],
    logins: LoginCounts,
    server_errors: [u64; 8],
}

/// Rows of a table that are kept; a report shows ten of them.
const ROWS_KEPT: usize = 100;

fn rows<C: Counters>(heavy: &Heavy<C>) -> Rows<C> {
    let all = heavy.top(ROWS_KEPT);
    let text =
        |(key, count): (&[u8], &C)| (String::from_utf8_lossy(key).into_owned(), count.clone());
    all.into_iter().map(text).collect()
}

/// How much any total may fall short once only the kept rows are known.
fn shortfall<C: Counters>(heavy: &Heavy<C>) -> u64 {
    let next = heavy.top(ROWS_KEPT + 1).get(ROWS_KEPT).map_or(0, |(_, counts)| counts.total());
    heavy.error() + next
}

fn fill<C: Counters>(heavy: &mut Heavy<C>, rows: &Rows<C>) {
    for (key, count) in rows {
        heavy.entry(key.as_bytes()).add(count);
    }
}

impl From<&Tally> for TallyRecord {
    fn from(tally: &Tally) -> Self {
        Self {
            lines: tally.lines,
            unparsed: tally.unparsed,
            line_bytes: tally.line_bytes,
            span: tally.span,
            sites: tally.sites.iter().map(SiteRecord::from).collect(),
            clients: rows(&tally.clients),
            paths: rows(&tally.paths),
            failed_clients: rows(&tally.failed_clients),
            failed_users: rows(&tally.failed_users),
            shapes: rows(&tally.shapes),
            errors: (shortfall(&tally.clients), shortfall(&tally.paths)),
            evicted_clients: tally.clients.evicted()
                + tally.clients.len().saturating_sub(ROWS_KEPT) as u64,
            distinct: tally.distinct.clone(),
        }
    }
}

impl From<&SiteTally> for SiteRecord {
    fn from(site: &SiteTally) -> Self {
        let request = |(method, status, count): (&'static str, StatusKey, u64)| {
            let status = match status {
                StatusKey::Known(status) => status,
                StatusKey::Other => 1,
                StatusKey::Absent => 0,
            };
            (method.to_owned(), status, count)
        };
        Self {
            name: site.name.clone(),
            requests: site.requests().map(request).collect(),
            bytes: site.bytes,
            malformed: site.malformed,
            logins: site.logins,
            server_errors: site.server_errors,
        }
    }
}

impl TallyRecord {
    /// The tally with its tables, ready to be merged or counted on.
    pub fn restore(&self, limits: TallyLimits) -> Tally {
        let mut tally = Tally::new(limits);
        tally.lines = self.lines;
        tally.unparsed = self.unparsed;
        tally.line_bytes = self.line_bytes;
        tally.span = self.span;
        for record in &self.sites {
            let mut site = SiteTally::new(record.name.clone());
            for (method, status, count) in &record.requests {
                let method = method_index(method.as_bytes()).min(METHODS.len());
                site.requests[method * COLUMNS + StatusKey::column(*status)] += count;
            }
            site.bytes = record.bytes;
            site.malformed = record.malformed;
            site.logins = record.logins;
            site.server_errors = record.server_errors;
            tally.sites.push(site);
        }
        fill(&mut tally.clients, &self.clients);
        fill(&mut tally.paths, &self.paths);
        fill(&mut tally.failed_clients, &self.failed_clients);
        fill(&mut tally.failed_users, &self.failed_users);
        fill(&mut tally.shapes, &self.shapes);
        tally.clients.add_error(self.errors.0, self.evicted_clients);
        tally.paths.add_error(self.errors.1, 0);
        tally.distinct = self.distinct.clone();
        tally
    }
}
