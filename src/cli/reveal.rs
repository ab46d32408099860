//! `gatewatch siem reveal`: whom a token stands for, and who has asked before.
//!
//! Invariant: nothing is printed before the store has written down who asked for it.

use std::path::PathBuf;

use anyhow::Result;

use super::config::ConfigArgs;
use super::output::Output;
use super::{Refused, exit};
use crate::escape::visible;
use crate::io::{Clock as _, SystemClock};
use crate::sink::PrivacyKey;
use crate::store::{Reveal, StoreReader};

/// What the kernel says of a process that nobody logged in for.
const NOBODY: u32 = u32::MAX;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Tokens as the receiver has them: ip4-…, ip6-…, net6-…, host-…, user-…, or the id of an alert
    #[arg(required_unless_present = "log")]
    tokens: Vec<String>,
    /// The key file of the sink that sent them
    #[arg(long, value_name = "FILE", required_unless_present = "log")]
    key_file: Option<PathBuf>,
    /// Lists who has asked for what instead, oldest first
    #[arg(long, conflicts_with_all = ["tokens", "key_file"])]
    log: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let reader = StoreReader::open(&config.store.path)?;
    match &args.key_file {
        Some(key) if !args.log => reveal(&reader, &args.tokens, &PrivacyKey::read(key)?),
        _ => list(&reader),
    }
}

/// What was found out about a token.
enum Found {
    Value(Vec<u8>),
    Unknown,
    WrongKey,
}

impl Found {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Value(_) => "revealed",
            Self::Unknown => "unknown",
            Self::WrongKey => "wrong key",
        }
    }
}

fn reveal(reader: &StoreReader, tokens: &[String], key: &PrivacyKey) -> Result<u8> {
    let (uid, login) = who();
    let at = SystemClock.now();
    let (mut found, mut reveals) = (Vec::new(), Vec::new());
    for token in tokens {
        let answer = match reader.sealed(token)? {
            None => Found::Unknown,
            Some(sealed) => key.open(token, &sealed).map_or(Found::WrongKey, Found::Value),
        };
        let outcome = answer.outcome().to_owned();
        reveals.push(Reveal { at, uid, login: login.clone(), token: token.clone(), outcome });
        found.push(answer);
    }
    super::run::start_log("info");
    reader.log_reveals(&reveals)?;
    for Reveal { token, outcome, .. } in &reveals {
        tracing::info!(uid, login, token, outcome, "a token was asked for");
    }
    let mut out = Output::new();
    let mut code = exit::OK;
    for (token, found) in tokens.iter().zip(&found) {
        let token = visible(token);
        match found {
            Found::Value(value) => {
                out.line(&format!("{token}  {}", visible(&String::from_utf8_lossy(value))))?;
            }
            Found::Unknown => {
                code = exit::FOUND;
                out.line(&format!(
                    "{token}  unknown: no sink of this store sent it, or it was given up because \
                     others were used later (`privacy.tokens_max`)"
                ))?;
            }
            Found::WrongKey => code = exit::NO_PERMISSION,
        }
    }
    out.flush()?;
    if code == exit::NO_PERMISSION {
        return Err(Refused::no_permission(
            "the key does not open what was asked for: name the key file of the sink that sent the \
             token; one that was made anew does not open older tokens",
        ));
    }
    Ok(code)
}

fn list(reader: &StoreReader) -> Result<u8> {
    let mut out = Output::new();
    for Reveal { at, uid, login, token, outcome } in reader.reveals(usize::MAX)? {
        let (login, token) = (visible(&login), visible(&token));
        out.line(&format!("{}  uid {uid} ({login})  {token}  {outcome}", at.rfc3339()))?;
    }
    let counts = reader.token_counts()?;
    out.line(&format!(
        "{} tokens can be revealed, {} were given up",
        counts.stored, counts.forgotten
    ))?;
    out.flush()?;
    Ok(exit::OK)
}

/// The user of the system who asks: the one who logged in, whatever became of it by sudo or su, and
/// where nobody did, the one who runs this.
fn who() -> (u32, String) {
    let running = rustix::process::getuid().as_raw();
    let logged_in = std::fs::read_to_string("/proc/self/loginuid").ok();
    let logged_in = logged_in.and_then(|text| text.trim().parse().ok());
    let uid = logged_in.filter(|uid| *uid != NOBODY).unwrap_or(running);
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    (uid, name_of(&users, uid).unwrap_or("-").to_owned())
}

/// The name of `uid` in the text of `/etc/passwd`.
fn name_of(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut columns = line.split(':');
        let name = columns.next()?;
        (columns.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let users = "daemon:x:1:1::/:/bin/false\nbroken\nadmin:x:1000:1000:A,B:/srv:/bin/sh\n";
        assert_eq!(Some("admin"), name_of(users, 1000));
        assert_eq!(Some("daemon"), name_of(users, 1));
        assert_eq!(None, name_of(users, 7));
    }
}
