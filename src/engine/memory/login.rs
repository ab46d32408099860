//! A refused log-in that two logs of one server tell of, counted once.
//!
//! Apache writes a 401 into its access log and a line into its error log. Whichever is read first
//! counts; its twin (same client, same user, at most five seconds apart) does not. An error log
//! without an access log beside it, and the reverse, count in full. The site is not compared,
//! because an error log does not name it.
//!
//! Invariant: each line has one twin at most, so as many failures count as the longer of the two
//! logs holds.

use serde::{Deserialize, Serialize};

use super::recent::Recent;
use crate::engine::batch::{Event, EventBatch, Field, Kind, Module, Reason};

/// A request is logged when it ends or when it began, an error when it happens.
const SECONDS_APART: u64 = 5;

/// Failures of one client and user in one second that wait for their twins.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Waiting {
    /// From an access log.
    #[serde(rename = "a")]
    requests: u32,
    /// From an error log.
    #[serde(rename = "e")]
    errors: u32,
    /// Why, as the last of those said.
    #[serde(rename = "r")]
    reason: Option<Reason>,
}

/// The row is a failure that may have a twin.
pub(super) fn concerns(event: &Event<'_>) -> bool {
    let row = event.row();
    event.is_failed_login()
        && row.client.is_some()
        && match row.kind {
            Kind::Access => matches!(row.status, 401 | 407),
            Kind::ServerError => row.module == Module::Apache,
            Kind::Auth | Kind::ParseFailure => false,
        }
}

/// Completes line `index`.
pub(super) fn complete(waiting: &mut Recent<Waiting>, batch: &mut EventBatch, index: usize) {
    let event = batch.event(index);
    let row = event.row();
    let (Some(client), Some(auth)) = (row.client, row.auth) else { return };
    let is_request = row.kind == Kind::Access;
    let user = event.field(Field::User).unwrap_or_default();
    let start = [client.to_string().as_bytes(), user].join(&0);
    let second = row.time.secs();
    let key = |second: u64| [&start[..], &second.to_be_bytes()].join(&0);
    let near = (0..=SECONDS_APART).flat_map(|apart| {
        let before = second.checked_sub(apart).filter(|_| 0 < apart);
        [Some(second + apart), before].into_iter().flatten()
    });
    for second in near {
        let Some(found) = waiting.get(&key(second)) else { continue };
        let twins = if is_request { &mut found.errors } else { &mut found.requests };
        if 0 < *twins {
            *twins -= 1;
            let reason = if is_request { found.reason } else { auth.reason };
            let row = batch.row_at(index);
            row.auth = Some(crate::engine::batch::Auth { reason, counted: false, ..auth });
            return;
        }
    }
    let key = key(second);
    let mut here = waiting.get(&key).cloned().unwrap_or_default();
    if is_request {
        here.requests = here.requests.saturating_add(1);
    } else {
        here.errors = here.errors.saturating_add(1);
        here.reason = auth.reason;
    }
    waiting.insert(&key, here);
}
