//! Settings of the archive: the `[history]` table.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::units::{ByteSize, Period};

/// `[history]`: every event, for searching, kept in Parquet files.
///
/// The first line of each field comment becomes its line in the reference manual.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryConfig {
    /// Whether events are archived.
    pub enabled: bool,

    /// Directory of the archive; the default is `history` in the store's directory.
    pub path: Option<PathBuf>,

    /// How long events are kept, in whole days.
    pub keep: Period,

    /// Disk space the archive may take; the default is 2 GiB, or a tenth of the free disk where that
    /// is less.
    ///
    /// 2 GiB hold about 80 million requests. What is oldest goes first.
    pub max_size: Option<ByteSize>,

    /// How long events wait in the store before a file is made of them.
    ///
    /// `search` finds them there, too. Many events make a file earlier.
    pub every: Period,

    /// Keep the raw line of every event, not only of those that could not be read.
    pub keep_original: bool,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            path: None,
            keep: Period::from_secs(90 * DAY_SECS),
            max_size: None,
            every: Period::from_secs(3600),
            keep_original: false,
        }
    }
}

const DAY_SECS: u64 = 86_400;

/// The longest that may be kept: a hundred years.
const KEEP_DAYS_MAX: u64 = 36_525;

/// A setting that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HistoryComplaint {
    /// The key.
    pub key: &'static str,
    /// What is wrong.
    pub reason: String,
    /// What to write instead.
    pub hint: &'static str,
}

impl HistoryConfig {
    /// The directory, where the store is in `store`.
    pub fn directory(&self, store: &Path) -> PathBuf {
        self.path.clone().unwrap_or_else(|| store.join("history"))
    }

    /// How many days are kept.
    pub fn keep_days(&self) -> u64 {
        self.keep.secs() / DAY_SECS
    }

    /// What is wrong with the values.
    pub fn check(&self) -> Vec<HistoryComplaint> {
        let mut found = Vec::new();
        if !(1..=KEEP_DAYS_MAX).contains(&self.keep_days())
            || !self.keep.ms().is_multiple_of(DAY_SECS * 1000)
        {
            let reason = format!("`{}` is not a number of days", self.keep);
            found.push(HistoryComplaint { key: "keep", reason, hint: "such as `90d`" });
        }
        if self.every < Period::from_secs(1) || Period::from_secs(DAY_SECS) < self.every {
            let reason = format!("`{}` is not between a second and a day", self.every);
            found.push(HistoryComplaint { key: "every", reason, hint: "such as `1h`" });
        }
        if self.max_size.is_some_and(|size| size < SIZE_MIN) {
            let reason = format!("the archive needs at least {SIZE_MIN}");
            found.push(HistoryComplaint { key: "max_size", reason, hint: "such as `2GiB`" });
        }
        found
    }
}

/// Less is no archive.
const SIZE_MIN: ByteSize = ByteSize(1 << 20);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let config: HistoryConfig = toml::from_str(text).expect("a table");
        let keys: Vec<&str> = config.check().iter().map(|complaint| complaint.key).collect();
        assert_eq!(expected, keys, "{text}");
    }

    #[test]
    fn an_empty_table_is_the_default_and_keeps_ninety_days() {
        assert_eq!(Ok(HistoryConfig::default()), toml::from_str(""));
        assert_eq!(90, HistoryConfig::default().keep_days());
        check("", &[]);
    }

    #[test]
    fn what_cannot_be_kept_is_told() {
        check("keep = \"36h\"", &["keep"]);
        check("keep = \"0d\"", &["keep"]);
        check("keep = \"400d\"\nevery = \"10m\"\nmax_size = \"1GiB\"", &[]);
        check("every = \"10ms\"\nmax_size = \"1KiB\"", &["every", "max_size"]);
        assert!(toml::from_str::<HistoryConfig>("size = \"1GiB\"").is_err());
    }

    #[test]
    fn the_archive_lies_beside_the_store_unless_it_has_a_place_of_its_own() {
        let store = Path::new("/var/lib/gatewatch");
        assert_eq!(store.join("history"), HistoryConfig::default().directory(store));
        let config: HistoryConfig = toml::from_str("path = \"/srv/history\"").expect("a table");
        assert_eq!(Path::new("/srv/history"), config.directory(store));
    }
}
