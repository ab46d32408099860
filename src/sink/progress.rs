//! How far a sink is, as the store keeps it with the sink's cursor: for the sink after a restart,
//! and for people who ask while it runs.

use serde::{Deserialize, Serialize};

use super::{Failure, FileMark};
use crate::units::Timestamp;

/// What goes into the store with the cursor of a sink.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Progress {
    /// Lines behind the cursor, to compare with all that was ever stored.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Number of the last transition of an alert that is done.
    pub alert: i64,
    /// When the receiver last took something; 0 for never.
    pub last_success: Timestamp,
    /// What went wrong since then.
    pub failure: Option<Failure>,
    /// How far its file is written, for a sink that has one.
    pub file: Option<FileMark>,
}

impl Progress {
    /// What was saved as `state`; of another version's state, what can be read of it.
    pub fn from_state(state: &str) -> Self {
        // It only costs what it would have saved.
        serde_json::from_str(state).unwrap_or_default()
    }

    /// The text to save.
    pub(super) fn to_state(&self) -> String {
        serde_json::to_string(self).expect("numbers and text are JSON")
    }
}
