//! Carries one channel's messages from the outbox to its receiver: a task of its own, so that one
//! that hangs delays no other.
//!
//! Invariant: a message is marked as sent after its receiver has taken it and before the next one is
//! tried. A crash in between sends it once more, with the same id.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Failure;
use super::alertmanager::REPEAT_EVERY;
use super::config::ChannelConfig;
use super::next::{Mark, Next, next};
use super::post::Post;
use super::told::Matter;
use super::watch::MailState;
use crate::engine::detect::{Alert, AlertState, Part};
use crate::io::{Chance, Clock};
use crate::notify::text::visible;
use crate::notify::{Fate, MailContext, Observer};
use crate::store::{Message, StoreError, StoreReader};
use crate::units::{Period, Timestamp};

/// Messages looked at together; more wait for the next look.
const LOAD_MAX: usize = 500;
/// The outbox is looked at at least this often, should nobody wake the courier.
const LOOK_MAX: Period = Period::from_secs(600);
const LOOK_MIN: Period = Period::from_secs(1);
/// After a trouble with the store.
const STORE_RETRY: Period = Period::from_secs(30);
/// The first pause after a failure, and the longest.
const BACKOFF_MS_MIN: u64 = 5_000;
const BACKOFF_MS_MAX: u64 = 15 * 60_000;
/// The longest pause that a receiver may ask for.
const PAUSE_MAX: Period = Period::from_secs(3600);
/// Between two tries while somebody has to mend the settings.
const BLOCKED_PAUSE: Period = Period::from_secs(300);
/// What a message on its way may still take when the program is asked to stop.
const GRACE: Duration = Duration::from_secs(5);

/// What a channel is doing, for readiness and people.
#[derive(Debug)]
pub struct ChannelStatus {
    /// The channel's name.
    pub name: String,
    failure: Mutex<Option<(Timestamp, String)>>,
}

impl ChannelStatus {
    /// Since when it fails, and why.
    pub fn failure(&self) -> Option<(Timestamp, String)> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It fails; true when that is news.
    fn fails(&self, now: Timestamp, words: &str) -> bool {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let since = failure.as_ref().map_or(now, |(since, _)| *since);
        let known = failure.replace((since, words.to_owned()));
        known.is_none_or(|(_, before)| before != words)
    }

    /// It works; true when that is news.
    fn works(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

/// What a courier is made of.
pub struct ChannelSetup {
    /// The channel's settings.
    pub config: ChannelConfig,
    /// Where systemd puts credentials.
    pub credentials: Option<PathBuf>,
    /// What messages know besides their alerts.
    pub context: MailContext,
    /// The outbox.
    pub reader: StoreReader,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For pauses that differ between machines.
    pub chance: Box<dyn Chance>,
    /// Hears what became of messages.
    pub observer: Observer,
    /// Whether mail is down.
    pub mail: MailState,
}

/// The task of one channel.
pub struct Courier {
    post: Post,
    reader: StoreReader,
    clock: Arc<dyn Clock>,
    chance: Box<dyn Chance>,
    observer: Observer,
    mail: MailState,
    status: Arc<ChannelStatus>,
    /// Failures in a row.
    failures: u32,
    retry_at: Timestamp,
    repeat_at: Timestamp,
    /// Taken by the receiver and not yet marked, because the store refused: never to be sent again.
    unmarked: Vec<i64>,
}

/// Messages that leave together, read.
struct Load {
    messages: Vec<Message>,
    alerts: Vec<Alert>,
}

impl Courier {
    /// Tries at once what waits for another attempt.
    pub fn new(setup: ChannelSetup) -> Result<Self, StoreError> {
        let ChannelSetup { config, credentials, context, reader, clock, chance, observer, mail } =
            setup;
        reader.outbox_retry(&config.name, clock.now())?;
        let status = ChannelStatus { name: config.name.clone(), failure: Mutex::default() };
        Ok(Self {
            post: Post::new(&config, credentials, context),
            reader,
            clock,
            chance,
            observer,
            mail,
            status: Arc::new(status),
            failures: 0,
            retry_at: Timestamp::default(),
            repeat_at: Timestamp::default(),
            unmarked: Vec::new(),
        })
    }

    /// What it is doing.
    pub fn status(&self) -> Arc<ChannelStatus> {
        Arc::clone(&self.status)
    }

    /// Tells what is due, now and whenever `wake` rings, until `shutdown`.
    pub async fn run(mut self, wake: Arc<Notify>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let (until, stop) = {
                let work = self.drain_or_wait();
                tokio::pin!(work);
                tokio::select! {
                    until = &mut work => (until, false),
                    () = &mut shutdown => {
                        drop(tokio::time::timeout(GRACE, work).await);
                        (Timestamp::default(), true)
                    }
                }
            };
            if stop {
                return;
            }
            let wait = until.since(self.clock.now()).clamp(LOOK_MIN, LOOK_MAX);
            tokio::select! {
                () = &mut shutdown => return,
                () = wake.notified() => (),
                () = tokio::time::sleep(wait.duration()) => (),
            }
        }
    }

    async fn drain_or_wait(&mut self) -> Timestamp {
        match self.drain().await {
            Ok(until) => until,
            Err(error) => {
                let channel = &self.status.name;
                tracing::error!(%channel, %error, "alerts wait: the outbox cannot be used");
                self.clock.now().plus(STORE_RETRY)
            }
        }
    }

    /// Tells what may be told now; answers when to look again.
    pub async fn drain(&mut self) -> Result<Timestamp, StoreError> {
        loop {
            let now = self.clock.now();
            self.mark_sent(now)?;
            // A clock that was set back must not make us wait for the time it once showed.
            if now < self.retry_at && self.retry_at <= now.plus(PAUSE_MAX) {
                return Ok(self.retry_at);
            }
            let entry = self.post.config.kind.entry();
            let waiting = self.reader.outbox_waiting(&self.status.name, LOAD_MAX)?;
            let mark = |one: &Message| mark(one, entry.for_people);
            let found = next(&waiting, self.post.config.retry_for, now, mark);
            match found {
                Next::Expire(at) => self.expire(&waiting[at], now)?,
                Next::Send(chosen) => {
                    let chosen = chosen.into_iter().map(|at| waiting[at].clone());
                    if let Some(load) = self.load(chosen, now)? {
                        self.send(&load).await?;
                    }
                }
                Next::WaitUntil(_) | Next::Idle if entry.repeats && self.repeat_at <= now => {
                    self.repeat(now).await?;
                }
                Next::WaitUntil(then) if entry.repeats => return Ok(then.min(self.repeat_at)),
                Next::WaitUntil(then) => return Ok(then),
                Next::Idle if entry.repeats => return Ok(self.repeat_at),
                Next::Idle => return Ok(now.plus(LOOK_MAX)),
            }
        }
    }

    /// Reads messages; what cannot be told is taken off the list.
    fn load(
        &self,
        chosen: impl Iterator<Item = Message>,
        now: Timestamp,
    ) -> Result<Option<Load>, StoreError> {
        let mut load = Load { messages: Vec::new(), alerts: Vec::new() };
        for message in chosen {
            let alert: Alert = match serde_json::from_str(&message.body) {
                Ok(alert) => alert,
                Err(error) => {
                    self.give_up(&message, now, &format!("unreadable: {error}"))?;
                    continue;
                }
            };
            if alert.state == AlertState::Resolved && !self.was_told(&message, &alert)? {
                self.reader.outbox_expired(message.id, now, "its begin was not told here")?;
                continue;
            }
            load.messages.push(message);
            load.alerts.push(alert);
        }
        Ok((!load.alerts.is_empty()).then_some(load))
    }

    /// Somebody has heard of its begin: people of that of its incident.
    fn was_told(&self, message: &Message, alert: &Alert) -> Result<bool, StoreError> {
        let part = alert.part.as_ref().filter(|_| self.post.config.kind.entry().for_people);
        let incident = part.map(|part| part.incident.as_str());
        let since = part.map_or(alert.first_event, |part| part.opened);
        self.reader.outbox_has_told(&message.channel, &message.alert_id, incident, since)
    }

    async fn send(&mut self, load: &Load) -> Result<(), StoreError> {
        let matter = match load.alerts.as_slice() {
            [one] if !(one.backfill && self.post.config.kind.entry().for_people) => {
                Matter::Alert(one)
            }
            alerts => Matter::OldLines(alerts),
        };
        let told = self.post.send(matter, self.clock.now()).await;
        let now = self.clock.now();
        match told {
            Ok(answer) => {
                self.unmarked.extend(load.messages.iter().map(|message| message.id));
                self.works();
                let (channel, alert) = (&self.status.name, matter.key());
                let alert = visible(&alert, 80);
                tracing::info!(%channel, %alert, %answer, "alert told");
                (self.observer)(Fate::Sent, load.messages.len());
                self.mark_sent(now)
            }
            Err(failure) => self.fail(load, &failure, now),
        }
    }

    fn fail(&mut self, load: &Load, failure: &Failure, now: Timestamp) -> Result<(), StoreError> {
        (self.observer)(Fate::Failed, load.messages.len());
        self.tell_failure(failure, now);
        if let Failure::Refused { words } = failure {
            for message in &load.messages {
                self.give_up(message, now, words)?;
            }
            return Ok(());
        }
        for message in &load.messages {
            self.reader.outbox_failed(message.id, failure.words(), self.retry_at)?;
        }
        Ok(())
    }

    /// Sets when to try again, and says so once.
    fn tell_failure(&mut self, failure: &Failure, now: Timestamp) {
        let news = self.status.fails(now, failure.words());
        let channel = &self.status.name;
        let words = failure.words();
        if let Failure::Refused { .. } = failure {
            tracing::error!(%channel, "an alert was refused for good: {words}");
            return;
        }
        self.failures += 1;
        self.retry_at = match failure {
            Failure::Blocked { .. } => now.plus(BLOCKED_PAUSE),
            Failure::Later { pause, .. } => {
                let asked = pause.unwrap_or_default().min(PAUSE_MAX);
                now.plus(asked.max(Period(backoff_ms(self.failures, self.chance.as_mut()))))
            }
            Failure::Refused { .. } => now,
        };
        let retry_at = self.retry_at.rfc3339();
        match failure {
            _ if !news => tracing::debug!(%channel, %retry_at, "alerts wait: {words}"),
            Failure::Blocked { .. } => {
                tracing::error!(%channel, %retry_at, "alerts wait until somebody mends it: {words}");
            }
            _ => tracing::warn!(%channel, %retry_at, "alerts wait: {words}"),
        }
    }

    fn works(&mut self) {
        (self.failures, self.retry_at) = (0, Timestamp::default());
        if self.status.works() {
            tracing::info!(channel = %self.status.name, "alerts are told again");
        }
    }

    fn expire(&self, message: &Message, now: Timestamp) -> Result<(), StoreError> {
        let last = message.last_error.as_deref().unwrap_or("it waited for too long");
        let retry_for = self.post.config.retry_for;
        self.give_up(message, now, &format!("given up after {retry_for}: {last}"))
    }

    fn give_up(&self, message: &Message, now: Timestamp, why: &str) -> Result<(), StoreError> {
        let (channel, alert) = (&self.status.name, visible(&message.alert_id, 80));
        let why = visible(why, 600);
        tracing::error!(%channel, %alert, "an alert is not told here: {why}; the alert log has it");
        self.reader.outbox_expired(message.id, now, &why)?;
        (self.observer)(Fate::Expired, 1);
        Ok(())
    }

    /// Tells all open alerts once more.
    async fn repeat(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.repeat_at = now.plus(REPEAT_EVERY);
        let mut open: BTreeMap<String, Alert> = BTreeMap::new();
        for alert in self.reader.open_alerts()? {
            if self.post.config.wants(&alert) {
                open.insert(alert.id.clone(), alert);
            }
        }
        let mail = self.mail.down().filter(|alert| self.post.config.chooses(&alert.rule.id));
        let open: Vec<Alert> = open.into_values().chain(mail).collect();
        if open.is_empty() {
            return Ok(());
        }
        match self.post.send(Matter::OldLines(&open), now).await {
            Ok(_) => self.works(),
            Err(failure) => self.tell_failure(&failure, self.clock.now()),
        }
        Ok(())
    }

    fn mark_sent(&mut self, now: Timestamp) -> Result<(), StoreError> {
        while let Some(id) = self.unmarked.last() {
            self.reader.outbox_sent(*id, now)?;
            self.unmarked.pop();
        }
        Ok(())
    }
}

/// Doubles with each failure, a quarter to either side, so that many machines do not call at once.
fn backoff_ms(failures: u32, chance: &mut dyn Chance) -> u64 {
    let doubled = BACKOFF_MS_MIN.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let doubled = doubled.min(BACKOFF_MS_MAX);
    doubled * 3 / 4 + chance.next_u64() % (doubled / 2)
}

/// To people an incident is one story, and old lines are told together.
fn mark(message: &Message, for_people: bool) -> Mark {
    #[derive(serde::Deserialize)]
    struct Body {
        #[serde(default)]
        backfill: bool,
        part: Option<Part>,
    }
    let thread = message.alert_id.clone();
    let body = for_people.then(|| serde_json::from_str::<Body>(&message.body).ok()).flatten();
    match body {
        None => Mark { thread, together: false },
        Some(body) => {
            Mark { thread: body.part.map_or(thread, |part| part.incident), together: body.backfill }
        }
    }
}
