//! What a line implies beyond what it says: whose address it was and where that is, whether it was
//! a log-in, and what kind of program asked.
//!
//! Runs on each row right after its parser, while the line is still in the cache. What is not
//! needed by most is off unless the operator asks for it.

mod agent;
mod client;
mod login;
mod logins;
mod networks;
mod place;
mod roster;

use std::sync::Arc;

use ipnet::IpNet;

use super::batch::{
    Action, AuthOutcome, ClientSource, Confidence, Field, Grade, Kind, Level, Malformed, Writer,
};
use super::feed::FeedSet;
pub use agent::Agents;
pub use logins::{LoginPage, Logins};
pub use networks::{Proxies, Standing, UnknownProxies, crawler};
pub use place::{Edition, NoDatabase, Places};
pub use roster::{Member, Roster, RosterError};

/// Settings of enrichment.
#[derive(Clone, Debug)]
pub struct Enricher {
    /// Proxies whose word about the client is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// How log-ins are told.
    pub logins: Logins,
    /// Where addresses are, if the operator has a database.
    pub places: Option<Arc<Places>>,
    /// Who should log in, if the operator has a list.
    pub roster: Option<Arc<Roster>>,
    /// User agents are taken apart.
    pub user_agents: bool,
    /// Lists of indicators, if the operator has any.
    pub feeds: Option<FeedSet>,
}

impl Default for Enricher {
    /// Only this machine itself is a trusted proxy.
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1/128"];
        let trusted_proxies = loopback.iter().filter_map(|net| net.parse().ok()).collect();
        Self {
            trusted_proxies,
            logins: Logins::default(),
            places: None,
            roster: None,
            user_agents: false,
            feeds: None,
        }
    }
}

impl Enricher {
    /// Completes the row that `out` holds open; `raw` is the text its spans point into. `agents`
    /// keeps what was learnt from the lines before.
    pub(super) fn enrich(&self, raw: &[u8], agents: &mut Agents, out: &mut Writer<'_>) {
        // Where the text allows another reading, somebody may want another to be blamed.
        if out.row.client_source == ClientSource::Ambiguous
            && let Some(auth) = &mut out.row.auth
        {
            auth.counted = false;
        }
        match out.row.kind {
            Kind::Access => self.request(raw, agents, out),
            Kind::Auth => {
                // The daemon that checked the password says who was let in, where its wording is
                // known.
                let success = out.row.auth.is_some_and(|auth| {
                    auth.outcome == AuthOutcome::Success && auth.confidence != Confidence::Low
                });
                let is_login = out.row.action == Action::Login;
                out.row.grade = (success && is_login && out.has(Field::User)).then_some(Grade::A);
            }
            Kind::ServerError | Kind::ParseFailure => (),
        }
        if let Some(roster) = &self.roster
            // The first request of a checked user becomes a log-in later (`memory/visit.rs`).
            && (out.row.auth.is_some() || out.row.grade == Some(Grade::A))
        {
            let user = out.field(raw, Field::User);
            out.row.in_roster = user.map(|user| roster.member(user).is_some());
        }
        if let (Some(places), Some(client)) = (&self.places, out.row.client) {
            places.describe(client, out);
        }
        if let Some(feeds) = &self.feeds {
            feeds.mark(raw, |ip| self.trusted_proxies.iter().any(|net| net.contains(&ip)), out);
        }
    }

    fn request(&self, raw: &[u8], agents: &mut Agents, out: &mut Writer<'_>) {
        if out.has(Field::Forwarded) || out.has(Field::RealIp) {
            client::resolve(&self.trusted_proxies, raw, out);
        }
        // One word is no request line, but detectors look for attacks in paths.
        if out.row.malformed == Some(Malformed::BadMethod) && !out.has(Field::Path) {
            out.copy(Field::Target, Field::Path);
        }
        login::classify(&self.logins, raw, out);
        out.row.level = level(out);
        if self.user_agents {
            agents.describe(raw, out);
        }
    }
}

/// The level of a request, from its status.
fn level(out: &Writer<'_>) -> Level {
    if out.row.action == Action::Login {
        return match out.row.auth.map(|auth| auth.outcome) {
            Some(AuthOutcome::Failure) => Level::Warn,
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
