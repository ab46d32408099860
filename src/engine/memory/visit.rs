//! The first request of a user whom the server has checked, told as a log-in.
//!
//! HTTP Basic has no log-in: the browser sends the password with every request. So the first one
//! of a site, user and client after a pause counts as the log-in, and those behind it are requests.
//!
//! Invariant: only an event that proves who the user was ([`Grade::A`]) is one.

use super::recent::{KEY_BYTES_MAX, Recent};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, ClientSource, Confidence, Event, EventBatch, Field,
    Grade, Kind, Module,
};
use crate::units::{Period, Timestamp};

/// Bytes of each of the three parts of a key, of which there is one zero byte between two.
const PART_BYTES_MAX: usize = (KEY_BYTES_MAX - 2) / 3;

/// The row is a request of a user whom the server has checked, and no log-in by itself.
pub(super) fn concerns(event: &Event<'_>) -> bool {
    let row = event.row();
    row.grade == Some(Grade::A)
        && row.kind == Kind::Access
        && row.auth.is_none()
        && row.action == Action::HttpRequest
        // Where the text allows another reading, somebody may want another to have been here.
        && row.client_source != ClientSource::Ambiguous
}

/// Completes line `index`; a user who was away for longer than `gap` logs in again.
pub(super) fn complete(
    visits: &mut Recent<Timestamp>,
    gap: Period,
    batch: &mut EventBatch,
    index: usize,
) {
    let event = batch.event(index);
    let time = event.row().time;
    let part = |text: &[u8]| text[..text.len().min(PART_BYTES_MAX)].to_vec();
    let user = event.field(Field::User).unwrap_or_default();
    let key = [part(event.site()), part(user), part(event.client_text())].join(&0);
    if let Some(last) = visits.get(&key) {
        // Lines of several logs are not in the order of their times, and one that is much older
        // belongs to a visit of its own.
        let apart = time.since(*last).max(last.since(time));
        if apart <= gap {
            *last = time.max(*last);
            return;
        }
        *last = time;
    } else {
        visits.insert(&key, time);
    }
    let row = batch.row_at(index);
    row.action = Action::Login;
    row.auth = Some(Auth {
        outcome: AuthOutcome::Success,
        reason: None,
        // IIS checks passwords, tickets and certificates, and does not log which it was.
        method: if row.module == Module::Iis { AuthMethod::Other } else { AuthMethod::Basic },
        confidence: Confidence::High,
        counted: false,
    });
}
