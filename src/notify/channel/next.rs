//! Decides which message of a channel leaves next. No I/O, no clock.
//!
//! Invariant: the transitions of one alert leave in their order, and for people those of one incident. A message that its receiver cannot
//! digest holds up no other for longer than a few tries.

use std::collections::HashSet;

use crate::store::Message;
use crate::units::{Period, Timestamp};

/// Tries of a message before those that were tried less go first.
const PATIENCE: u32 = 3;

/// What to do next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Give this one up: it waited for too long.
    Expire(usize),
    /// Send these in one message; more than one are from old lines.
    Send(Vec<usize>),
    /// Nothing to do before this moment.
    WaitUntil(Timestamp),
    /// Nothing waits.
    Idle,
}

/// What a message is, beside what the outbox knows of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Mark {
    /// Messages of one thread leave in their order.
    pub(super) thread: String,
    /// It is told with others of its kind.
    pub(super) together: bool,
}

/// Chooses from all that waits, in the order of numbers; `mark` says what a message is.
pub(super) fn next(
    waiting: &[Message],
    retry_for: Period,
    now: Timestamp,
    mark: impl Fn(&Message) -> Mark,
) -> Next {
    if let Some(old) = waiting.iter().position(|one| retry_for <= now.since(one.created)) {
        return Next::Expire(old);
    }
    let marks: Vec<Mark> = waiting.iter().map(mark).collect();
    let mut threads = HashSet::new();
    let is_first = |at: &usize| threads.insert(marks[*at].thread.as_str());
    let firsts: Vec<usize> = (0..waiting.len()).filter(is_first).collect();
    let due = || firsts.iter().copied().filter(|at| waiting[*at].due <= now);
    match due().min_by_key(|at| waiting[*at].attempts / PATIENCE) {
        Some(one) if marks[one].together => {
            Next::Send(due().filter(|at| marks[*at].together).collect())
        }
        Some(one) => Next::Send(vec![one]),
        None => firsts.iter().map(|at| waiting[*at].due).min().map_or(Next::Idle, Next::WaitUntil),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_161_600);

    fn message(id: i64, alert: &str, attempts: u32) -> Message {
        Message {
            id,
            channel: "chat".to_owned(),
            alert_id: alert.to_owned(),
            transition: "firing".to_owned(),
            due: NOW,
            attempts,
            last_error: None,
            created: NOW.minus(Period::from_secs(60)),
            body: String::new(),
        }
    }

    #[track_caller]
    fn check(waiting: &[Message], expected: Next) {
        let day = Period::from_secs(86_400);
        let mark = |one: &Message| Mark {
            thread: one.alert_id.clone(),
            together: one.alert_id.starts_with("old"),
        };
        assert_eq!(expected, next(waiting, day, NOW, mark));
    }

    #[test]
    fn the_oldest_goes_first_and_the_end_of_an_alert_after_its_begin() {
        check(&[], Next::Idle);
        check(&[message(1, "a", 0), message(2, "b", 0)], Next::Send(vec![0]));
        let begin = Message { due: NOW.plus_ms(500), ..message(1, "a", 1) };
        check(&[begin.clone(), message(2, "a", 0)], Next::WaitUntil(NOW.plus_ms(500)));
        check(&[begin, message(2, "a", 0), message(3, "b", 0)], Next::Send(vec![2]));
    }

    #[test]
    fn what_fails_again_and_again_lets_others_pass() {
        check(&[message(1, "a", 2), message(2, "b", 0)], Next::Send(vec![0]));
        check(&[message(1, "a", 3), message(2, "a", 0), message(3, "b", 0)], Next::Send(vec![2]));
        check(&[message(1, "a", 7)], Next::Send(vec![0]));
    }

    #[test]
    fn old_lines_come_together_and_what_is_too_old_not_at_all() {
        let many = [message(1, "old1", 0), message(2, "b", 0), message(3, "old2", 0)];
        check(&many, Next::Send(vec![0, 2]));
        let ancient =
            Message { created: NOW.minus(Period::from_secs(86_400)), ..message(2, "b", 9) };
        check(&[message(1, "a", 0), ancient], Next::Expire(1));
    }
}
