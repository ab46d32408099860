//! `[[feed]]`: a list of indicators in a file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::kind::Taken;
use crate::engine::detect::Severity;
use crate::units::Period;

/// A list of indicators.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    /// What alerts and metrics call it; the default is the file's name without its ending.
    pub name: Option<String>,
    /// The file, plain or compressed; of MISP the folder of a feed, too.
    pub path: PathBuf,
    /// How it is written.
    #[serde(default)]
    pub format: FeedFormat,
    /// What its entries are, where the list does not say.
    #[serde(default, rename = "type")]
    pub taken: Taken,
    /// Columns of a CSV file by their names.
    #[serde(default)]
    pub columns: Columns,
    /// Indicators of which the list itself is less sure, 0 to 100, are left out.
    #[serde(default)]
    pub confidence_min: u8,
    /// How long an indicator counts after the list was written, where the list does not say.
    #[serde(default = "a_week")]
    pub ttl: Period,
    /// A list that was not written anew for so long is told as stale.
    #[serde(default = "three_days")]
    pub max_age: Period,
    /// How bad a match is.
    #[serde(default)]
    pub severity: Severity,
}

fn a_week() -> Period {
    Period::from_secs(7 * 86_400)
}

fn three_days() -> Period {
    Period::from_secs(3 * 86_400)
}

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum FeedFormat {
    /// Found out from the first bytes.
    #[default]
    Auto,
    /// One entry a line.
    Plain,
    /// Columns with a header.
    Csv,
    /// A bundle of STIX 2.1.
    Stix,
    /// Events of MISP.
    Misp,
}

/// The names of the columns of a CSV file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// The indicator itself.
    pub value: Option<String>,
    /// What it is.
    pub r#type: Option<String>,
    /// What is said about it.
    pub description: Option<String>,
    /// Where more is told.
    pub reference: Option<String>,
    /// How sure the list is, 0 to 100.
    pub confidence: Option<String>,
    /// Since when it is known.
    pub since: Option<String>,
    /// Until when it counts.
    pub until: Option<String>,
    /// Whom it may be told to.
    pub tlp: Option<String>,
}

/// Lists at most: each is asked about each line.
pub const FEEDS_MAX: usize = 32;

/// Longest name.
const NAME_CHARS_MAX: usize = 64;

impl FeedConfig {
    /// A list in a file that somebody named by hand: it counts whatever its age.
    pub fn of_file(path: &Path) -> Self {
        let never = Period::from_secs(100 * 365 * 86_400);
        Self {
            name: None,
            path: path.to_owned(),
            format: FeedFormat::Auto,
            taken: Taken::Auto,
            columns: Columns::default(),
            confidence_min: 0,
            ttl: never,
            max_age: never,
            severity: Severity::default(),
        }
    }

    /// Its name.
    pub fn id(&self) -> String {
        let stem = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let head = name.split('.').find(|part| !part.is_empty());
            head.map_or_else(|| name.clone(), str::to_owned)
        };
        self.name.clone().unwrap_or_else(|| stem(&self.path))
    }

    /// What is wrong with it: key and reason of each mistake.
    pub fn complaints(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.path.as_os_str().is_empty() {
            found.push(("path", "name the file that holds the list".to_owned()));
        } else if self.path == Path::new("-") {
            let reason = "a list is read again when it changes, so it must be a file";
            found.push(("path", reason.to_owned()));
        }
        let name = self.id();
        if name.is_empty() || NAME_CHARS_MAX < name.chars().count() {
            found.push(("name", format!("it has 1 to {NAME_CHARS_MAX} characters")));
        } else if name.chars().any(char::is_control) {
            found.push(("name", "it holds a control character".to_owned()));
        }
        if 100 < self.confidence_min {
            let reason = format!("{} is more than 100", self.confidence_min);
            found.push(("confidence_min", reason));
        }
        let is_csv = matches!(self.format, FeedFormat::Csv | FeedFormat::Auto);
        if self.columns != Columns::default() && !is_csv {
            let reason = "only a list of `format = \"csv\"` has columns".to_owned();
            found.push(("columns", reason));
        }
        for (key, period) in [("ttl", self.ttl), ("max_age", self.max_age)] {
            if period.ms() == 0 {
                let reason = "it must be longer than nothing; write `3650d` for always".to_owned();
                found.push((key, reason));
            }
        }
        found
    }
}
