//! `gatewatch completions`: for the shell.

use anyhow::Result;
use clap_complete::Shell;

use super::output::Output;

/// Prints the completions of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  gatewatch completions bash > /etc/bash_completion.d/gatewatch")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: clap::Command) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "gatewatch", &mut text);
    let mut out = Output::new();
    out.write(&text)?;
    out.flush()
}
