//! Gets a portion to the receiver, record by record where it must.
//!
//! What a status means is the same everywhere, unless an interface knows better:
//!
//! | answer | reaction |
//! |---|---|
//! | too large | halves, down to single records, and those with less of them; then a dead letter |
//! | 408, 425, 429, 5xx | the rest of the turn is sent again, after what `Retry-After` says |
//! | 401, 403, 404, other 4xx, 3xx | `on_client_error`: hold and try each minute, or dead letters |
//! | some records refused | dead letters with the receiver's own words |
//! | some records put off | those alone again, a few times |
//!
//! Invariant: a portion is done when each of its records was taken or is a dead letter. Anything
//! else is an error, after which the turn is sent again without what is settled.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;

use super::Line;
use super::batch::{Batch, Part};
use super::client::Answer;
use super::config::OnClientError;
use crate::sink::SinkError;
use crate::store::DeadLetter;
use crate::units::{Period, Timestamp};

/// How often records that were put off are sent again before the turn is given up.
const TRIES_MAX: u32 = 5;

/// The wait before the first of these; it doubles.
const PUT_OFF: Duration = Duration::from_millis(50);

/// The wait between two questions whether a ticket is done: first, and longest.
const ASK_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The pause after an answer that only the operator can change.
const HOLD_PAUSE: Period = Period::from_secs(60);

/// What an answer says about the records of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// They were taken.
    Taken,
    /// They will have been taken when the receiver says so of this number.
    Ticket(u64),
    /// What became of each.
    Each(Vec<Fate>),
    /// They cannot be taken together, or one of them not at all.
    Halve,
    /// Not now.
    Later,
    /// Not before the operator has done something; with its separator.
    Wrong(&'static str),
    /// It is no answer of this interface.
    Strange,
}

/// What became of one record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It is there.
    Taken,
    /// It never will be, for this reason.
    Refused(String),
    /// Not now, for this reason.
    Later(String),
    /// It was not looked at, because of another one.
    Again,
    /// Not before the operator has done something: what was said, and what to do.
    Wrong(String, &'static str),
}

/// What a status means by itself.
pub(super) fn by_status(status: StatusCode) -> Verdict {
    match status.as_u16() {
        413 => Verdict::Halve,
        408 | 425 | 429 | 500..=599 => Verdict::Later,
        300..=399 => Verdict::Wrong("; it is somewhere else now: correct `url`"),
        401 => Verdict::Wrong("; check the token or password, and the file that holds it"),
        403 => Verdict::Wrong("; give the token or user the right to write here"),
        404 | 405 => Verdict::Wrong("; check `url` and `api`: this path does not take events"),
        415 => Verdict::Wrong("; it may not take gzip: try `compress = false`"),
        400..=499 => Verdict::Wrong("; check `url` and `api`"),
        _ => Verdict::Strange,
    }
}

/// What became of a portion, whether or not it got to its end.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The ids of the records that were taken.
    pub(super) taken: Vec<String>,
    /// Those that were refused for good.
    pub(super) letters: Vec<DeadLetter>,
    /// Why the others are neither.
    pub(super) error: Option<SinkError>,
}

impl Outcome {
    fn take(&mut self, part: &Part<'_>) {
        self.taken.extend(part.entries().map(|(entry, _)| entry.id.clone()));
    }

    fn refuse(&mut self, part: &Part<'_>, reason: &str) {
        self.letters.extend((0..part.len()).map(|row| part.letter(row, reason)));
    }
}

/// Sends `batch` until each record was taken or refused for good, or until something is wrong.
pub(super) async fn deliver(line: Arc<Line>, batch: Batch, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    outcome.error = line.deliver(&batch, now, &mut outcome).await.err();
    outcome
}

impl Line {
    async fn deliver(
        &self,
        batch: &Batch,
        now: Timestamp,
        outcome: &mut Outcome,
    ) -> Result<(), SinkError> {
        let mut waiting = vec![Part::all(batch)];
        while let Some(mut part) = waiting.pop() {
            let most = self.api.most().max(1);
            if most < part.len() {
                let (first, rest) = part.split(most);
                waiting.push(rest);
                part = first;
            }
            if part.tries != 0 {
                tokio::time::sleep(PUT_OFF * (1 << part.tries.min(TRIES_MAX))).await;
            }
            let answer = self.client.post(self.api.request(&part, now)?, now).await?;
            match self.api.judge(&part, &answer) {
                Verdict::Taken => outcome.take(&part),
                Verdict::Ticket(number) => {
                    self.redeem(number, now).await?;
                    outcome.take(&part);
                }
                Verdict::Each(fates) => waiting.extend(self.sort(&part, &answer, fates, outcome)?),
                Verdict::Halve if part.len() == 1 => match part.smaller() {
                    Some(smaller) => waiting.push(smaller),
                    None => outcome.refuse(&part, &answer.words()),
                },
                Verdict::Halve => {
                    let half = part.len() / 2;
                    let (first, second) = part.split(half);
                    waiting.extend([second, first]);
                }
                Verdict::Later => {
                    let pause = answer.pause;
                    return Err(self.client.refused(&answer, "; it will be tried again", pause));
                }
                Verdict::Wrong(hint) => {
                    self.wrong(&answer, hint)?;
                    outcome.refuse(&part, &answer.words());
                }
                Verdict::Strange => {
                    let hint = "; this is no answer of such a receiver: check `url` and `api`";
                    return Err(self.client.refused(&answer, hint, None));
                }
            }
        }
        Ok(())
    }

    /// An error, unless the records are to be given up.
    fn wrong(&self, answer: &Answer, hint: &'static str) -> Result<(), SinkError> {
        match self.on_client_error {
            OnClientError::Hold => Err(self.client.refused(answer, hint, Some(HOLD_PAUSE))),
            OnClientError::Drop => Ok(()),
        }
    }

    /// Takes note of each fate; returns what has to be sent again.
    fn sort<'b>(
        &self,
        part: &Part<'b>,
        answer: &Answer,
        fates: Vec<Fate>,
        outcome: &mut Outcome,
    ) -> Result<Option<Part<'b>>, SinkError> {
        let (mut again, mut put_off) = (Vec::new(), None);
        for ((row, fate), (entry, _)) in fates.into_iter().enumerate().zip(part.entries()) {
            match fate {
                Fate::Taken => outcome.taken.push(entry.id.clone()),
                Fate::Refused(reason) => outcome.letters.push(part.letter(row, &reason)),
                Fate::Wrong(reason, hint) => match self.on_client_error {
                    OnClientError::Hold => return Err(self.said(reason, hint, Some(HOLD_PAUSE))),
                    OnClientError::Drop => outcome.letters.push(part.letter(row, &reason)),
                },
                Fate::Again => again.push(row),
                Fate::Later(reason) => {
                    again.push(row);
                    put_off.get_or_insert(reason);
                }
            }
        }
        let tries = part.tries + u32::from(put_off.is_some());
        match put_off {
            Some(reason) if TRIES_MAX < tries => {
                let words = format!("{} of {} events: {reason}", again.len(), part.len());
                Err(self.said(words, "; it will be tried again", answer.pause))
            }
            _ if again.is_empty() => Ok(None),
            _ => Ok(Some(part.only(again.into_iter(), tries))),
        }
    }

    /// The error that these words of the receiver are.
    fn said(&self, words: String, hint: &'static str, pause: Option<Period>) -> SinkError {
        let address = self.client.url().to_string();
        SinkError::Refused { address, answer: crate::escape::visible(&words), hint, pause }
    }

    /// Waits until the receiver says that what it gave this number for is safe.
    async fn redeem(&self, number: u64, now: Timestamp) -> Result<(), SinkError> {
        let asked = async {
            let (mut wait, longest) = ASK_AFTER;
            loop {
                let answer = self.client.post(self.api.question(number), now).await?;
                match self.api.is_safe(number, &answer) {
                    Some(true) => return Ok(()),
                    Some(false) => tokio::time::sleep(wait).await,
                    None => {
                        let hint = "; it does not say what it has stored: check the channel";
                        return Err(self.client.refused(&answer, hint, answer.pause));
                    }
                }
                wait = longest.min(wait * 2);
            }
        };
        match tokio::time::timeout(self.ack_limit.duration(), asked).await {
            Ok(asked) => asked,
            Err(_) => Err(self.client.late("confirm what it took", self.ack_limit)),
        }
    }
}
