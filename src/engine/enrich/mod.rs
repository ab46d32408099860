//! What a line implies beyond what it says: whose address it was, and whether it was a log-in.
//!
//! Runs on each row right after its parser, while the line is still in the cache.

mod client;
mod login;

use ipnet::IpNet;

use super::batch::{Action, Field, Kind, Level, Malformed, Writer};

/// Settings of enrichment.
#[derive(Clone, Debug, PartialEq)]
pub struct Enricher {
    /// Proxies whose word about the client is taken.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Enricher {
    /// Only this machine itself is a trusted proxy.
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1/128"];
        Self { trusted_proxies: loopback.iter().filter_map(|net| net.parse().ok()).collect() }
    }
}

impl Enricher {
    /// Completes the row that `out` holds open; `raw` is the text its spans point into.
    pub(super) fn enrich(&self, raw: &[u8], out: &mut Writer<'_>) {
        if out.row.kind != Kind::Access {
            return;
        }
        if out.has(Field::Forwarded) || out.has(Field::RealIp) {
            client::resolve(&self.trusted_proxies, raw, out);
        }
        // One word is no request line, but detectors look for attacks in paths.
        if out.row.malformed == Some(Malformed::BadMethod) && !out.has(Field::Path) {
            out.copy(Field::Target, Field::Path);
        }
        login::classify(raw, out);
        out.row.level = level(out);
    }
}

/// The level of a request, from its status.
fn level(out: &Writer<'_>) -> Level {
    if out.row.action == Action::Login {
        return match out.row.auth.map(|auth| auth.outcome) {
            Some(super::batch::AuthOutcome::Failure) => Level::Warn,
            _ => Level::Info,
        };
    }
    match out.row.status {
        401 | 403 | 407 | 429 | 444 | 495 | 496 => Level::Warn,
        499 => Level::Info,
        400..=498 => Level::Notice,
        500..=u16::MAX => Level::Error,
        _ => Level::Info,
    }
}
