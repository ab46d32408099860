//! Settings of the store: the `[store]` table.

use std::path::PathBuf;

use serde::Deserialize;

use crate::units::ByteSize;

/// `[store]`: where lines, positions, alerts and waiting messages are kept.
///
/// The first line of each field comment becomes its line in the reference manual.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Directory of the store.
    ///
    /// Created with mode 0700 when missing, because log lines name people.
    pub path: PathBuf,

    /// Disk space the store may take.
    ///
    /// 2 GiB holds about 40 million access-log lines. When it is reached, `when_full` decides.
    pub max_size: ByteSize,

    /// What happens at `max_size` while a reader is still behind: `block` or `drop_oldest`.
    pub when_full: WhenFull,
}

/// Which loss to prefer when a sink is down for longer than the store can bridge.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Stop reading the sources: nothing is lost while log rotation keeps the files.
    #[default]
    Block,
    /// Delete the oldest frames, and count their lines for each reader that misses them.
    DropOldest,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("gatewatch-data"),
            max_size: ByteSize(2 << 30),
            when_full: WhenFull::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let error = toml::from_str::<StoreConfig>(text).expect_err("the text must be refused");
        assert!(error.message().contains(expected), "got: {}", error.message());
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(Ok(StoreConfig::default()), toml::from_str(""));
    }

    #[test]
    fn every_key_is_read() {
        let text = "path = \"/srv/gw\"\nmax_size = \"64MiB\"\nwhen_full = \"drop_oldest\"";
        let expected = StoreConfig {
            path: PathBuf::from("/srv/gw"),
            max_size: ByteSize(64 << 20),
            when_full: WhenFull::DropOldest,
        };
        assert_eq!(Ok(expected), toml::from_str(text));
    }

    #[test]
    fn a_misspelt_key_or_value_is_named() {
        check_error("max_sise = \"1GiB\"", "unknown field `max_sise`");
        check_error("when_full = \"drop\"", "unknown variant `drop`");
        check_error("max_size = \"1 gig\"", "such as `64KiB`");
    }
}
