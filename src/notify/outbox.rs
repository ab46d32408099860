//! Carries the outbox to the mail server: what is mailed at all, and the task that does it.
//!
//! Invariant: a message is marked as sent after somebody has taken it and before the next one is
//! tried. When the program dies in between, the message goes out once more with the same
//! Message-ID, by which mail programs know it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::config::MailConfig;
use super::content::MailContext;
use super::error::MailError;
use super::mail::{self, Letter, RenderedMail};
use super::mailer::{Action, Input, Mailer, MailerLimits, Parcel, Pending, Sent};
use super::smtp::{SendError, StepKind};
use super::text::visible;
use super::transport::{Receipt, Transport};
use crate::engine::detect::{Alert, AlertState, Severity};
use crate::io::{Chance, Clock};
use crate::store::{Message, NewMessage, StoreReader};
use crate::units::{Period, Timestamp};

/// The outbox's name of this channel, and the dispatcher's name among the readers.
pub(super) const CHANNEL: &str = "mail";
/// `transition` of a letter in the outbox.
const LETTER: &str = "report";
/// Messages looked at together; more wait for the next look.
const LOAD_MAX: usize = 2000;
/// Alerts from old lines are collected for as long before they are told.
const BACKFILL_WAIT: Period = Period::from_secs(60);
/// The dispatcher looks at the outbox at least this often, should nobody wake it.
const LOOK_MS_MAX: u64 = 600_000;
const LOOK_MS_MIN: u64 = 1_000;
/// After a trouble with the store.
const STORE_RETRY_MS: u64 = 30_000;
/// What a mail on its way may still take when the program is asked to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Failures after which a server that is only out of reach needs an operator.
const PATIENCE: u32 = 3;

/// The message that tells `alert`, for the transaction that stores it. None when it is not to be
/// mailed: mail is off, the severity is too low, it is no news about its incident, it is the end of
/// an alert from old lines, or there is maintenance.
pub fn enqueue(alert: &Alert, config: &MailConfig, now: Timestamp) -> Option<NewMessage> {
    let is_end = alert.state == AlertState::Resolved;
    // What is one more of the same is in the report, and in the next mail about its incident.
    let is_news = alert.part.as_ref().is_none_or(|part| part.step.is_news());
    let unwanted = alert.backfill && is_end || alert.muted_by.is_some() || !is_news;
    let severity = alert.part.as_ref().filter(|_| is_end).map_or(alert.severity, |p| p.severity);
    if !config.is_enabled() || severity < config.min_severity || unwanted {
        return None;
    }
    Some(NewMessage {
        channel: CHANNEL.to_owned(),
        alert_id: alert.id.clone(),
        transition: alert.transition(),
        due: if alert.backfill { now.plus(BACKFILL_WAIT) } else { now },
        body: serde_json::to_string(alert).expect("an alert is JSON"),
    })
}

/// The message that carries a letter, such as the weekly report. `key` names it for ever: a second
/// letter with the same key is not sent.
pub fn enqueue_letter(key: &str, letter: &Letter, now: Timestamp) -> NewMessage {
    NewMessage {
        channel: CHANNEL.to_owned(),
        alert_id: key.to_owned(),
        transition: LETTER.to_owned(),
        due: now,
        body: serde_json::to_string(letter).expect("a letter is JSON"),
    }
}

/// What a message carries.
enum Content {
    Alert(Box<Alert>),
    Letter(Letter),
}

/// What became of messages.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Fate {
    /// Somebody has taken them.
    Sent,
    /// A try failed; another follows.
    Failed,
    /// They were given up.
    Expired,
    /// A limit held them back, and somebody has taken the mail that lists them.
    RateLimited,
}

/// Hears what became of how many messages, as it happens.
pub type Observer = Box<dyn Fn(Fate, usize) + Send>;

/// The task that empties the outbox.
pub struct Dispatcher {
    reader: StoreReader,
    transport: Transport,
    context: MailContext,
    clock: Arc<dyn Clock>,
    mailer: Mailer,
    observer: Observer,
    /// Taken by the server and not yet marked, because the store refused: never to be sent again.
    unmarked: Vec<i64>,
}

impl Dispatcher {
    /// Goes on with the counts of the last day that the store has kept, and tries at once what
    /// waits for another attempt.
    pub fn new(
        reader: StoreReader,
        transport: Transport,
        config: &MailConfig,
        context: MailContext,
        clock: Arc<dyn Clock>,
        chance: Box<dyn Chance>,
    ) -> Result<Self, MailError> {
        let state = reader.cursor(CHANNEL)?.map(|cursor| cursor.state).unwrap_or_default();
        let sent: Sent = serde_json::from_str(&state).unwrap_or_default();
        reader.outbox_retry(CHANNEL, clock.now())?;
        let mailer = Mailer::new(MailerLimits::of(config), sent, chance);
        let observer: Observer = Box::new(|_, _| ());
        Ok(Self { reader, transport, context, clock, mailer, observer, unmarked: Vec::new() })
    }

    /// Tells `observer` what becomes of messages.
    #[must_use]
    pub fn observed_by(mut self, observer: Observer) -> Self {
        self.observer = observer;
        self
    }

    /// Sends what is due, now and whenever `wake` rings, until `shutdown`; a mail on its way then
    /// has a few seconds left.
    pub async fn run(mut self, wake: Arc<Notify>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let mut stop = false;
            let until = {
                let work = self.drain_or_wait();
                tokio::pin!(work);
                tokio::select! {
                    until = &mut work => until,
                    () = &mut shutdown => {
                        stop = true;
                        tokio::time::timeout(GRACE, work).await.unwrap_or_default()
                    }
                }
            };
            if stop {
                return;
            }
            let wait_ms = until.since(self.clock.now()).ms().clamp(LOOK_MS_MIN, LOOK_MS_MAX);
            tokio::select! {
                () = &mut shutdown => return,
                () = wake.notified() => (),
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => (),
            }
        }
    }

    async fn drain_or_wait(&mut self) -> Timestamp {
        match self.drain().await {
            Ok(until) => until,
            Err(error) => {
                tracing::error!(error = %chain(&error), "alert mails wait: the outbox cannot be used");
                self.clock.now().plus_ms(STORE_RETRY_MS)
            }
        }
    }

    /// Sends what may be sent now; returns when to look again.
    pub async fn drain(&mut self) -> Result<Timestamp, MailError> {
        loop {
            let now = self.clock.now();
            self.mark_sent(now)?;
            let messages = self.reader.outbox_due(CHANNEL, now, LOAD_MAX)?;
            let waiting = self.read(messages, now)?;
            let pending = waiting.values().map(|(message, content)| pending(message, content));
            match self.mailer.handle(now, Input::Due(pending.collect())) {
                Action::Send(parcel) => self.send(&parcel, &waiting).await?,
                Action::Expire(ids) => self.expire(&ids, &waiting, now)?,
                Action::WaitUntil(then) => return Ok(then),
                Action::Idle => return self.next_look(now),
            }
        }
    }

    fn next_look(&self, now: Timestamp) -> Result<Timestamp, MailError> {
        let next = self.reader.outbox_next_due(CHANNEL)?.filter(|due| now < *due);
        Ok(next.unwrap_or_else(|| now.plus_ms(LOOK_MS_MAX)))
    }

    /// The messages with their contents; one that cannot be read is given up, not tried for ever.
    fn read(
        &self,
        messages: Vec<Message>,
        now: Timestamp,
    ) -> Result<BTreeMap<i64, (Message, Content)>, MailError> {
        let mut waiting = BTreeMap::new();
        for message in messages {
            let content = match message.transition.as_str() {
                LETTER => serde_json::from_str(&message.body).map(Content::Letter),
                _ => serde_json::from_str(&message.body).map(Content::Alert),
            };
            match content {
                Ok(content) => {
                    waiting.insert(message.id, (message, content));
                }
                Err(error) => {
                    let alert = visible(&message.alert_id, 80);
                    tracing::error!(%alert, %error, "a message in the outbox cannot be read and is given up");
                    self.reader.outbox_expired(message.id, now, &format!("unreadable: {error}"))?;
                    (self.observer)(Fate::Expired, 1);
                }
            }
        }
        Ok(waiting)
    }

    async fn send(
        &mut self,
        parcel: &Parcel,
        waiting: &BTreeMap<i64, (Message, Content)>,
    ) -> Result<(), MailError> {
        let now = self.clock.now();
        let (mail, to) = render(parcel, waiting, &self.context, now);
        let result = self.transport.send(&mail, &to).await;
        let now = self.clock.now();
        match result {
            Ok(receipt) => {
                self.unmarked.extend_from_slice(parcel.ids());
                self.accept(&mail, &receipt, now);
                let held_back = matches!(parcel, Parcel::Storm(_));
                let fate = if held_back { Fate::RateLimited } else { Fate::Sent };
                (self.observer)(fate, parcel.ids().len());
                self.mark_sent(now)?;
                self.save_counts(now)
            }
            Err(error) => self.fail(parcel, waiting, &error, now),
        }
    }

    fn accept(&mut self, mail: &RenderedMail, receipt: &Receipt, now: Timestamp) {
        if 0 < self.mailer.failures() {
            tracing::info!("mails leave again");
        }
        tracing::info!(subject = %mail.subject, answer = %receipt.answer, "mail sent");
        for refused in &receipt.refused {
            tracing::error!(error = %refused, "a recipient was refused; the others have the mail");
        }
        // The next action is asked for again with a fresh look at the outbox.
        self.mailer.note(now, Input::Accepted);
    }

    fn fail(
        &mut self,
        parcel: &Parcel,
        waiting: &BTreeMap<i64, (Message, Content)>,
        error: &SendError,
        now: Timestamp,
    ) -> Result<(), MailError> {
        // A letter may go to people of its own; the alerts' recipients are not refused with them.
        let letter = |id| matches!(waiting.get(id), Some((_, Content::Letter(_))));
        let own_recipients = parcel.ids().iter().all(letter) && error.step == StepKind::Recipient;
        let blocks_all = error.blocks_all() && !own_recipients;
        self.mailer.note(now, Input::Failed { blocks_all });
        (self.observer)(Fate::Failed, parcel.ids().len());
        let failures = self.mailer.failures();
        for id in parcel.ids() {
            let attempts = waiting.get(id).map_or(0, |(message, _)| message.attempts);
            let retry_at = match blocks_all {
                true => self.mailer.retry_at(),
                false => now.plus_ms(self.mailer.backoff_ms(attempts)),
            };
            self.reader.outbox_failed(*id, &error.to_string(), retry_at)?;
        }
        let retry_at = self.mailer.retry_at().max(now).rfc3339();
        if error.permanent || PATIENCE <= failures {
            tracing::error!(%error, failures, %retry_at, "alert mails do not leave");
        } else {
            tracing::warn!(%error, %retry_at, "an alert mail waits for the mail server");
        }
        Ok(())
    }

    fn expire(
        &mut self,
        ids: &[i64],
        waiting: &BTreeMap<i64, (Message, Content)>,
        now: Timestamp,
    ) -> Result<(), MailError> {
        for id in ids {
            let last = waiting.get(id).and_then(|(message, _)| message.last_error.clone());
            let reason = last.unwrap_or_else(|| "it waited for too long".to_owned());
            self.reader.outbox_expired(*id, now, &reason)?;
            (self.observer)(Fate::Expired, 1);
        }
        tracing::error!(
            count = ids.len(),
            "alert mails were given up after `mail.retry_for`; the store and the weekly report \
             keep the alerts"
        );
        Ok(())
    }

    fn mark_sent(&mut self, now: Timestamp) -> Result<(), MailError> {
        while let Some(id) = self.unmarked.last() {
            self.reader.outbox_sent(*id, now)?;
            self.unmarked.pop();
        }
        Ok(())
    }

    fn save_counts(&self, now: Timestamp) -> Result<(), MailError> {
        let state = serde_json::to_string(self.mailer.sent()).expect("times are JSON");
        Ok(self.reader.save_cursor(CHANNEL, self.reader.last_seq()?, &state, now)?)
    }
}

fn pending(message: &Message, content: &Content) -> Pending {
    let (id, created) = (message.id, message.created);
    match content {
        Content::Alert(alert) => pending_alert(id, alert, created),
        Content::Letter(_) => Pending {
            id,
            severity: Severity::Info,
            backfill: false,
            letter: true,
            incident: 0,
            created,
        },
    }
}

/// Message `id` about an alert, as the mailer knows it.
pub(super) fn pending_alert(id: i64, alert: &Alert, created: Timestamp) -> Pending {
    let (severity, backfill) = (alert.severity, alert.backfill);
    Pending { id, severity, backfill, letter: false, incident: incident_of(alert), created }
}

/// A number for the incident that `alert` begins or worsens: its id's first digits.
fn incident_of(alert: &Alert) -> u64 {
    let part = alert.part.as_ref().filter(|_| alert.state != AlertState::Resolved);
    let digits = part.and_then(|part| part.incident.get(..16));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// The mail of a parcel, and its recipients where they are not the usual ones.
fn render(
    parcel: &Parcel,
    waiting: &BTreeMap<i64, (Message, Content)>,
    context: &MailContext,
    now: Timestamp,
) -> (RenderedMail, Vec<String>) {
    let alerts: Vec<Alert> = parcel
        .ids()
        .iter()
        .filter_map(|id| match waiting.get(id) {
            Some((_, Content::Alert(alert))) => Some((**alert).clone()),
            _ => None,
        })
        .collect();
    let key = parcel.ids()[0];
    match (parcel, waiting.get(&key), alerts.first()) {
        (Parcel::One(_), Some((message, Content::Letter(letter))), _) => {
            let key = format!("{LETTER}.{}", message.alert_id);
            (mail::render_letter(letter, &key, context, now), letter.to.clone())
        }
        (Parcel::Incident(_), ..) if !alerts.is_empty() => {
            let mut worst = alerts[alerts.len() - 1].clone();
            // What was told before the first of them is what this mail is an update of.
            if let Some(part) = &mut worst.part {
                let before = alerts.iter().map(|alert| alert.part.as_ref()?.before);
                part.before = before.min().flatten();
            }
            (mail::render(&worst, context, now), vec![])
        }
        (Parcel::One(_), _, Some(alert)) => (mail::render(alert, context, now), vec![]),
        (Parcel::Bundle(_), ..) => (mail::render_bundle(&alerts, key, context, now), vec![]),
        (Parcel::Backfill(_), ..) => (mail::render_backfill(&alerts, key, context, now), vec![]),
        (Parcel::Storm(_) | Parcel::One(_) | Parcel::Incident(_), ..) => {
            (mail::render_storm(&alerts, key, context, now), vec![])
        }
    }
}

/// An error with its causes, for one line of a log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
