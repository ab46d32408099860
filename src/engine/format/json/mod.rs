//! Logs whose lines are JSON objects.
//!
//! Caddy and Traefik have shapes of their own; [`general`] guesses at all others by their keys, and
//! [`written`] reads what an operator's `log_format` describes, [`mapped`] what they name key by key.
//! All of them are tables of keys
//! ([`keys::KeyMap`]) with the meanings that every format uses
//! ([`Capture`](super::capture::Capture)).

mod caddy;
mod general;
mod keys;
mod login;
pub(super) mod mapped;
mod names;
mod traefik;
pub(super) mod written;

use super::{Context, Miss};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Level, Malformed, Reason, Writer,
};
use keys::{Found, Hint};

pub(super) use caddy::FORMAT as CADDY;
pub(super) use general::FORMAT as GENERAL;
pub(super) use traefik::FORMAT as TRAEFIK;

/// Reads an object of any shape, whose envelope tells the time where the object does not.
pub(super) fn parse_untimed(
    line: &[u8],
    cx: &mut Context<'_>,
    out: &mut Writer<'_>,
) -> Result<(), Miss> {
    for parse in [CADDY.parse, TRAEFIK.parse] {
        if parse(line, cx, out).is_ok() {
            return Ok(());
        }
        out.reset();
    }
    general::parse_untimed(line, cx, out)
}

/// A request that was refused although credentials came with it is a failed log-in, whoever it
/// was: servers that log JSON may name the user only once the log-in worked.
fn refused_credentials(found: &Found<'_>, out: &mut Writer<'_>) {
    if matches!(out.row.status, 401 | 407) && found.tells(Hint::Credentials) {
        out.row.action = Action::Login;
        out.row.auth = Some(Auth {
            outcome: AuthOutcome::Failure,
            reason: Some(Reason::BadCredentials),
            method: AuthMethod::Basic,
            confidence: Confidence::High,
            counted: true,
        });
    }
}

/// A request that is nothing but its answer: the client sent no request line.
fn mark_empty_request(out: &mut Writer<'_>) {
    if !out.has(Field::Target) && !out.has(Field::Method) {
        out.row.malformed.get_or_insert(Malformed::NoRequestLine);
    }
}

/// Sets the level by its name, or by its number as Bunyan and pino count.
fn set_level(found: &Found<'_>, out: &mut Writer<'_>) {
    let Some(text) = found.hint(Hint::Level) else { return };
    let name = text.to_ascii_lowercase();
    let known = match &*name {
        b"10" | b"20" | b"d" | b"d1" | b"verbose" | b"dbg" => Some(Level::Debug),
        b"30" | b"i" | b"information" | b"inf" => Some(Level::Info),
        b"40" | b"w" | b"wrn" => Some(Level::Warn),
        b"50" | b"e" | b"err" | b"severe" => Some(Level::Error),
        b"60" | b"f" | b"fatal" | b"panic" | b"dpanic" => Some(Level::Critical),
        name => Level::from_name(name),
    };
    if let Some(level) = known {
        out.row.level = level;
    }
}
