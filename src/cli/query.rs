//! `gatewatch query`: SQL over the archive. This build has no engine for it, and says who has.

use anyhow::Result;

use super::config::ConfigArgs;
use super::{exit, output::say};
use crate::escape::visible;

/// Tells how to ask the archive in SQL: this build has no engine for it, DuckDB reads the same files.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The question; the table is called `events`
    #[arg(value_name = "SQL")]
    sql: String,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load_for_state()?;
    let files = config.history_path().join("date=*/*.parquet").display().to_string();
    let files = files.replace('\'', "''");
    let asked = format!(
        "CREATE VIEW events AS FROM read_parquet('{files}', hive_partitioning = true); {}",
        args.sql
    );
    say(&format!(
        "gatewatch: this build has no SQL engine; `gatewatch search` counts and finds, and DuckDB answers: \
         duckdb -c {}",
        visible(&quoted(&asked))
    ));
    Ok(exit::UNAVAILABLE)
}

/// A text as a shell takes it for one word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_it_for_one_word() {
        assert_eq!("'SELECT 1'", quoted("SELECT 1"));
        assert_eq!(r"'a'\''; rm -rf b'", quoted("a'; rm -rf b"));
    }
}
