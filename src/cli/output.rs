//! Where commands write: standard output for results, standard error for messages.

use std::io::{self, IsTerminal, Write};

use anyhow::{Error, Result};
use clap::ValueEnum;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(super) enum Form {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Results go here; a reader that has had enough (`| head`) ends the command quietly.
#[derive(Debug)]
pub(super) struct Output {
    out: io::StdoutLock<'static>,
}

/// The reader of our output went away: not a failure.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output went away")]
pub(super) struct Closed;

impl Output {
    pub(super) fn new() -> Self {
        Self { out: io::stdout().lock() }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(closed)
    }

    pub(super) fn line(&mut self, text: &str) -> Result<()> {
        self.write(text.as_bytes())?;
        self.write(b"\n")
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(closed)
    }
}

fn closed(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(Closed),
        _ => Error::new(error).context("cannot write to standard output"),
    }
}

/// A message for the person at the terminal.
pub(super) fn say(text: &str) {
    // Nobody can be told that standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Colour on standard output: on a terminal, unless `NO_COLOR` is set.
pub(super) fn colour(no_color: bool) -> bool {
    !no_color && io::stdout().is_terminal()
}
