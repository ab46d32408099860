//! What every encoding asks of an event: how much it matters, how it ended, which log it was in,
//! through which hops it came.

use std::net::IpAddr;

use crate::engine::address::{parse_ip, split_port};
use crate::engine::batch::{Action, Auth, AuthOutcome, Kind, Level, Module, Row};
use crate::engine::detect::Severity;

/// Hops of a forwarding header that are written.
pub(super) const HOPS_MAX: usize = 32;

/// The highest number of a port.
pub(super) const PORT_MAX: u64 = 65_535;

/// How much an event matters, by which it is sorted on every wire: the level of the line, unless
/// it is the result of a log-in.
pub fn level_of(row: &Row) -> Level {
    match row.auth {
        Some(Auth { outcome: AuthOutcome::Failure, .. }) => Level::Warn,
        Some(Auth { outcome: AuthOutcome::Success, .. }) => Level::Info,
        _ => row.level,
    }
}

/// How much an event or an alert matters, in the numbers of each wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rank {
    /// A request or a log-in: our judgement.
    Judged(Level),
    /// A line of a server or a daemon: its own word.
    Logged(Level),
    /// An alert.
    Alert(Severity),
}

impl Rank {
    pub(super) fn of(row: &Row) -> Self {
        let level = level_of(row);
        match (row.kind, row.auth) {
            (Kind::Access, _) | (_, Some(Auth { outcome: AuthOutcome::Failure, .. })) => {
                Self::Judged(level)
            }
            _ => Self::Logged(level),
        }
    }

    /// Severity of CEF, 0 to 10.
    pub(super) fn cef(self) -> u8 {
        match self {
            Self::Judged(Level::Warn) => 5,
            Self::Judged(level) | Self::Logged(level) => match level {
                Level::Debug => 0,
                Level::Info => 1,
                Level::Notice => 3,
                Level::Warn => 4,
                Level::Error => 6,
                Level::Critical => 8,
                Level::Alert => 9,
                Level::Emergency => 10,
            },
            Self::Alert(severity) => match severity {
                Severity::Info => 1,
                Severity::Low => 3,
                Severity::Medium => 6,
                Severity::High => 8,
                Severity::Critical => 10,
            },
        }
    }

    /// `sev` of LEEF, 1 to 10.
    pub(super) fn leef(self) -> u8 {
        self.cef().max(1)
    }

    /// Severity of syslog and level of GELF, 7 to 0.
    pub(super) fn syslog(self) -> u8 {
        match self {
            Self::Judged(level) | Self::Logged(level) => level.syslog(),
            Self::Alert(severity) => severity.syslog(),
        }
    }
}

/// What an event or an alert is, for wires that sort by a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class<'r> {
    Access,
    LoginFailure,
    LoginSuccess,
    LoginAttempt,
    Logout,
    AuthInfo,
    ServerError,
    AccessDenied,
    RateLimited,
    ParseError,
    /// An alert of the rule with this id and this title.
    Alert(&'r str, &'r str),
}

impl Class<'_> {
    pub(super) fn of(row: &Row) -> Self {
        match (row.kind, row.auth.map(|auth| auth.outcome), row.action) {
            (Kind::ParseFailure, ..) => Self::ParseError,
            (_, Some(AuthOutcome::Failure), _) => Self::LoginFailure,
            (_, Some(AuthOutcome::Success), _) => Self::LoginSuccess,
            (_, Some(AuthOutcome::Attempt), _) => Self::LoginAttempt,
            (_, _, Action::Logout | Action::SessionClosed) => Self::Logout,
            (_, _, Action::AccessDenied) => Self::AccessDenied,
            (_, _, Action::RateLimited) => Self::RateLimited,
            (Kind::Access, ..) => Self::Access,
            (Kind::ServerError, ..) => Self::ServerError,
            (Kind::Auth, ..) => Self::AuthInfo,
        }
    }

    /// The user is the one whom a log-in or a log-out is about.
    pub(super) fn is_auth(self) -> bool {
        matches!(
            self,
            Self::LoginFailure
                | Self::LoginSuccess
                | Self::LoginAttempt
                | Self::Logout
                | Self::AuthInfo
        )
    }
}

/// `event.action`: a line that was not read tells of no other.
pub fn action(row: &Row) -> Action {
    match row.kind {
        Kind::ParseFailure => Action::ParseFailed,
        _ => row.action,
    }
}

/// A log-in was tried; the first leg of a Basic dialogue, which sends no name, is none.
pub(super) fn is_attempt(row: &Row) -> bool {
    row.auth.is_some_and(|auth| auth.outcome != AuthOutcome::Challenge)
}

/// `event.outcome`: the verdict about a log-in, else what the status says.
pub fn outcome(row: &Row) -> Option<&'static str> {
    match (row.auth, row.kind, row.status) {
        (Some(auth), ..) => match auth.outcome {
            AuthOutcome::Success => Some("success"),
            AuthOutcome::Failure => Some("failure"),
            AuthOutcome::Attempt => Some("unknown"),
            AuthOutcome::Challenge => None,
        },
        (None, Kind::Access, 0) => Some("unknown"),
        (None, Kind::Access, ..400) => Some("success"),
        (None, Kind::Access, 400..) => Some("failure"),
        (None, Kind::ServerError | Kind::Auth | Kind::ParseFailure, _) => None,
    }
}

/// `event.dataset`: the log that the line was in.
pub fn dataset(row: &Row) -> &'static str {
    // Made when compiled: each event has one.
    macro_rules! table {
        ($($module:ident $name:literal),+ $(,)?) => {
            match (row.module, log_name(row)) {
                $(
                    (Module::$module, Log::Access) => concat!($name, ".access"),
                    (Module::$module, Log::Error) => concat!($name, ".error"),
                    (Module::$module, Log::Auth) => concat!($name, ".auth"),
                )+
            }
        };
    }
    table!(
        Nginx "nginx",
        Apache "apache",
        Caddy "caddy",
        Iis "iis",
        Haproxy "haproxy",
        Traefik "traefik",
        Aws "aws",
        System "system",
        App "app",
    )
}

enum Log {
    Access,
    Error,
    Auth,
}

fn log_name(row: &Row) -> Log {
    match row.kind {
        Kind::Access => Log::Access,
        Kind::ServerError => Log::Error,
        // The sessions of an FTP server have a log of their own.
        Kind::Auth if row.format.ends_with(":ftp") => Log::Auth,
        // A log-in line of a web server stands in its error log.
        Kind::Auth if !matches!(row.module, Module::System | Module::App) => Log::Error,
        Kind::Auth => Log::Auth,
        // What would have been in the line shows in the name of the format that refused it.
        Kind::ParseFailure if row.format.ends_with("error") => Log::Error,
        Kind::ParseFailure if row.format.ends_with("auth") || row.format.ends_with(":ftp") => {
            Log::Auth
        }
        Kind::ParseFailure if row.module == Module::System => Log::Auth,
        Kind::ParseFailure => Log::Access,
    }
}

/// The entries of a forwarding header from left to right.
pub fn hops(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let entries = header.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    entries.filter(|entry| !entry.is_empty()).take(HOPS_MAX)
}

/// The address in one entry of a forwarding header or in the name of a peer: with or without a
/// port, brackets, quotes, or `for=` before it.
pub fn address_in(entry: &[u8]) -> Option<IpAddr> {
    let node = entry.split(|byte| *byte == b';').find_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    });
    let node = node.unwrap_or(entry);
    let node = node.strip_prefix(b"\"").unwrap_or(node);
    let node = node.strip_suffix(b"\"").unwrap_or(node);
    parse_ip(node).or_else(|| parse_ip(split_port(node).0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_every_way_a_proxy_writes_it() {
        for text in ["192.0.2.7", "192.0.2.7:80", "\"192.0.2.7\"", "::ffff:192.0.2.7"] {
            assert_eq!("192.0.2.7".parse().ok(), address_in(text.as_bytes()), "{text}");
        }
        for text in ["2001:db8::1", "[2001:db8::1]:80", "proto=http; For=\"[2001:db8::1]:4711\""] {
            assert_eq!("2001:db8::1".parse().ok(), address_in(text.as_bytes()), "{text}");
        }
        for text in ["unknown", "_hidden", "", "for=", "unix:"] {
            assert_eq!(None, address_in(text.as_bytes()), "{text}");
        }
    }
}
