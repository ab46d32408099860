//! Finding the configuration, for every command that needs it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::output::say;
use crate::config::{Config, DEFAULT_PATH, Problem};

/// Which configuration.
#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// Configuration file; conf.d/*.toml beside it is read too
    /// [default: /etc/gatewatch/gatewatch.toml where it exists, else built-in defaults]
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// The configuration has mistakes; they were printed.
#[derive(Debug, thiserror::Error)]
#[error("{} in the configuration; nothing was started", count(*.0))]
pub(super) struct BadConfig(usize);

fn count(problems: usize) -> String {
    if problems == 1 { "one mistake".to_owned() } else { format!("{problems} mistakes") }
}

impl ConfigArgs {
    /// The file that is read, if any.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let default = || Path::new(DEFAULT_PATH).exists().then(|| PathBuf::from(DEFAULT_PATH));
        self.config.clone().or_else(default)
    }

    /// The configuration, or every mistake in it, printed.
    pub(super) fn load(&self) -> Result<Config> {
        match self.path() {
            None => Ok(Config::default()),
            Some(path) => Config::load(&path).map_err(|problems| complain(&problems)),
        }
    }

    /// The configuration for a command that reads the state of a daemon.
    pub(super) fn load_for_state(&self) -> Result<Config> {
        self.load().context("the state of the daemon is found through its configuration")
    }
}

/// Prints the problems.
pub(super) fn complain(problems: &[Problem]) -> anyhow::Error {
    for problem in problems {
        say(&problem.to_string());
    }
    anyhow::Error::new(BadConfig(problems.len()))
}
