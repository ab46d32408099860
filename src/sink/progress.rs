//! How far a sink is, as the store keeps it with the sink's cursor: for the sink after a restart,
//! and for people who ask while it runs.

use serde::{Deserialize, Serialize};

use super::{Failure, FileMark};
use crate::store::Seq;
use crate::units::Timestamp;

/// A place at which a sink can begin again, with what lies before it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Milestone {
    /// The last frame before it.
    pub frame: u64,
    /// Lines before it.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Number of the last transition of an alert before it.
    pub alert: i64,
}

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
    /// From here on the receiver's machine has everything, and its program may not have read it.
    pub unproved: Option<Milestone>,
}

impl Progress {
    /// What was saved as `state`; of another version's state, what can be read of it.
    pub fn from_state(state: &str) -> Self {
        // It only costs what it would have saved.
        serde_json::from_str(state).unwrap_or_default()
    }

    /// The present place, behind `frame`.
    pub(super) fn milestone(&self, frame: Seq) -> Milestone {
        let Self { lines, bytes, alert, .. } = *self;
        Milestone { frame: frame.0, lines, bytes, alert }
    }

    /// After a start: goes back to where it is not proved that the receiver has read on. Of
    /// `cursor` and that place the answer is where to begin.
    pub(super) fn go_back(&mut self, cursor: Seq) -> Seq {
        match self.unproved {
            Some(Milestone { frame, lines, bytes, alert }) if frame <= cursor.0 => {
                (self.lines, self.bytes, self.alert) = (lines, bytes, alert);
                Seq(frame)
            }
            _ => cursor,
        }
    }

    /// The text to save.
    pub(super) fn to_state(&self) -> String {
        serde_json::to_string(self).expect("numbers and text are JSON")
    }
}
