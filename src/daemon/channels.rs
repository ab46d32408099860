//! The alert channels at the edge: a courier for each, the watch over mail, and the heartbeat.
//!
//! Invariant: each runs as a task of its own; nothing here waits for a receiver.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::edge::{asked, chance, count_notifications, credentials};
use super::{DaemonError, Shared};
use crate::notify::MailContext;
use crate::notify::channel::{ChannelSetup, ChannelStatus, Courier, Heartbeat, MailWatch};
use crate::serve::ChannelState;
use crate::store::{OutboxCounts, StoreReader};
use crate::units::{Period, Timestamp};

/// How long a channel may fail before readiness says so.
const PATIENCE: Period = Period::from_secs(300);

/// All channels but mail.
pub(super) struct Channels {
    shared: Arc<Shared>,
    couriers: Vec<Courier>,
    statuses: Vec<Arc<ChannelStatus>>,
    /// Rung when there is something to tell, one for each.
    wakes: Arc<Vec<Arc<Notify>>>,
    watch: Option<MailWatch>,
    heartbeat: Option<Heartbeat>,
}

impl Channels {
    pub(super) fn open(
        shared: &Arc<Shared>,
        wakes: Arc<Vec<Arc<Notify>>>,
        context: &MailContext,
    ) -> Result<Self, DaemonError> {
        let config = &shared.config;
        let open_reader = || StoreReader::open(&config.store.path);
        let names = config.channels.iter().map(|channel| channel.name.as_str());
        let known: Vec<&str> = names.chain(["mail"]).collect();
        let gone = open_reader()?.outbox_forget_strangers(&known, shared.clock.now())?;
        if 0 < gone {
            tracing::warn!("{gone} alerts waited for channels that are no longer configured");
        }
        let watch = MailWatch::new(&config.channels, &open_reader()?)?;
        let mut couriers = Vec::new();
        for channel in &config.channels {
            couriers.push(Courier::new(ChannelSetup {
                config: channel.clone(),
                credentials: credentials(),
                context: MailContext { min_severity: channel.least_severity(), ..context.clone() },
                reader: open_reader()?,
                clock: Arc::clone(&shared.clock),
                chance: chance(),
                observer: count_notifications(&shared.metrics, &channel.name),
                mail: watch.state(),
            })?);
        }
        Ok(Self {
            statuses: couriers.iter().map(Courier::status).collect(),
            couriers,
            wakes,
            watch: (config.mail.is_enabled() && !config.channels.is_empty()).then_some(watch),
            heartbeat: Heartbeat::new(&config.heartbeat, Arc::clone(&shared.clock)),
            shared: Arc::clone(shared),
        })
    }

    /// Starts every task.
    pub(super) fn spawn(&mut self, tasks: &mut JoinSet<()>, stop: &watch::Receiver<bool>) {
        for (courier, wake) in self.couriers.drain(..).zip(self.wakes.iter()) {
            tasks.spawn(courier.run(Arc::clone(wake), asked(stop.clone())));
        }
        let Some(heartbeat) = self.heartbeat.take() else { return };
        let (alive, told) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
        let count = count_notifications(&self.shared.metrics, "heartbeat");
        let failed = std::cell::Cell::new(false);
        let tell = move |failure: Option<&str>| match failure {
            None => {
                count(crate::notify::Fate::Sent, 1);
                failed.set(false);
                told.readiness.pass("heartbeat");
            }
            Some(words) => {
                count(crate::notify::Fate::Failed, 1);
                if !failed.replace(true) {
                    tracing::warn!("the heartbeat does not arrive: {words}");
                }
                told.readiness.fail("heartbeat", &format!("it does not arrive: {words}"));
            }
        };
        let is_alive = move |now| alive.readiness.is_alive(now);
        let stop = asked(stop.clone());
        tasks.spawn(heartbeat.run(is_alive, tell, stop));
    }

    /// Tells what is due once, for a run from cron.
    pub(super) async fn drain(&mut self, grace: Period) {
        let mut tasks = JoinSet::new();
        for mut courier in self.couriers.drain(..) {
            tasks.spawn(async move {
                let name = courier.status().name.clone();
                match tokio::time::timeout(grace.duration(), courier.drain()).await {
                    Ok(Ok(_)) => (),
                    Ok(Err(error)) => tracing::error!("alerts of channel {name} wait: {error}"),
                    Err(_) => tracing::error!("alerts of channel {name} wait: it is too slow"),
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Takes note of how each is, and tells the others when mail is not.
    pub(super) fn observe(&self, reader: &StoreReader, mail: &OutboxCounts, now: Timestamp) {
        if let Some(watch) = &self.watch {
            match watch.look(mail, reader, now) {
                Ok(true) => self.wakes.iter().for_each(|wake| wake.notify_one()),
                Ok(false) => (),
                Err(error) => tracing::error!("nobody can be told how mail is: {error}"),
            }
        }
        for status in &self.statuses {
            let Ok(counts) = reader.outbox_counts_of(&status.name) else { continue };
            let failure = status.failure();
            self.shared.metrics.set_channel(&ChannelState {
                channel: &status.name,
                up: failure.is_none(),
                waiting: counts.waiting,
                last_success: counts.last_sent,
            });
            let check = format!("channel {}", status.name);
            match failure.filter(|(since, _)| since.plus(PATIENCE) <= now || 0 == counts.waiting) {
                Some((_, words)) => self.shared.readiness.fail(&check, &words),
                None => self.shared.readiness.pass(&check),
            }
        }
    }

    /// What could not be told, for the end of a run.
    pub(super) fn undelivered(&self, reader: &StoreReader) -> Vec<String> {
        let waits = |status: &Arc<ChannelStatus>| {
            let counts = reader.outbox_counts_of(&status.name).ok()?;
            let reason = counts.failed_last.filter(|_| 0 < counts.waiting)?;
            Some(format!("channel {}: {} wait: {reason}", status.name, counts.waiting))
        };
        self.statuses.iter().filter_map(waits).collect()
    }
}
