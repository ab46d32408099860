//! `gatewatch siem reveal`: whom a token stands for, and who has asked before.
//!
//! Invariant: nothing is printed before the store has written down who asked for it.

use std::path::PathBuf;

use anyhow::Result;

use super::config::ConfigArgs;
use super::operator::who;
use super::output::Output;
use super::{Refused, exit};
use crate::escape::visible;
use crate::io::{Clock as _, SystemClock};
use crate::sink::PrivacyKey;
use crate::store::{Reveal, StoreReader};

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
