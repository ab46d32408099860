//! The edge: everything outward, on a thread of its own.
//!
//! Each part reads the store with its own connection and its own cursor. The pipeline only rings:
//! a new durable number for the sinks, a bell for the mails and the alert log.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::channels::Channels;
use super::decode::Decoder;
use super::digest::Digest;
use super::troubles::Stuck;
use super::{DaemonError, Shared};
use crate::io::{Chance, Seeded};
use crate::notify::{AlertLog, AlertLogLimits, Dispatcher, Fate, MailContext, Observer, Transport};
use crate::serve::{HttpLimits, Metrics, NotificationResult, Pages, SinkState, Watched, serve};
use crate::sink::{AnySink, SinkContext, SinkStatus, SinkTask};
use crate::store::{Seq, StoreReader};
use crate::units::{Period, Timestamp};

/// How often sinks and outbox are looked at for the metrics.
const LOOK_EVERY: Period = Period::from_secs(5);

/// Time that everything outward has to end when the daemon is told to stop, and the part of it
/// that the sinks may use to deliver what is stored.
const GRACE: Period = Period::from_secs(15);
const SINK_GRACE: Period = Period::from_secs(5);

/// Time that a run from cron gives to receivers that are slow.
const ONCE_GRACE: Period = Period::from_secs(60);

/// What is said of a receiver that has neither taken nor refused anything.
const NO_ANSWER: &str = "it does not answer";

/// How long a receiver may take nothing, while something waits, before readiness says so.
const PATIENCE: Period = Period::from_secs(300);

/// The running edge.
pub(super) struct Edge {
    durable: watch::Sender<Seq>,
    bell: Arc<Bell>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<Vec<String>>>,
    watchdog: bool,
}

/// Rung when alerts were stored.
#[derive(Default)]
struct Bell {
    mail: Arc<Notify>,
    channels: Arc<Vec<Arc<Notify>>>,
    log: Notify,
}

/// Everything the thread needs, opened while errors can still be told.
struct Parts {
    shared: Arc<Shared>,
    sinks: Vec<SinkTask>,
    statuses: Vec<Arc<SinkStatus>>,
    dispatcher: Option<Dispatcher>,
    channels: Channels,
    alert_log: AlertLog,
    digest: Option<Digest>,
    listener: Option<TcpListener>,
    bell: Arc<Bell>,
    stop: watch::Receiver<bool>,
    once: bool,
    started: Timestamp,
}

impl Edge {
    /// Opens every part and starts the thread.
    pub(super) fn start(
        shared: Arc<Shared>,
        listener: Option<TcpListener>,
        durable: Seq,
        once: bool,
    ) -> Result<Self, DaemonError> {
        let fail = |action| move |source| DaemonError::Thread { action, source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(fail("start the runtime of the sinks"))?;
        let (durable, durable_seen) = watch::channel(durable);
        let (stop, stop_seen) = watch::channel(false);
        let channels = shared.config.channels.iter().map(|_| Arc::default()).collect();
        let bell = Arc::new(Bell { channels: Arc::new(channels), ..Bell::default() });
        let parts =
            Parts::open(shared, listener, durable_seen, Arc::clone(&bell), stop_seen, once)?;
        let thread = std::thread::Builder::new()
            .name("edge".to_owned())
            .spawn(move || runtime.block_on(parts.run()))
            .map_err(fail("start the thread of the sinks"))?;
        let watchdog = !once && sd_notify::notify(&[sd_notify::NotifyState::Ready]).is_ok();
        Ok(Self { durable, bell, stop, thread: Some(thread), watchdog })
    }

    /// The store is safe up to `seq`.
    pub(super) fn durable(&self, seq: Seq, alerts: bool) {
        self.durable.send_replace(seq);
        if alerts {
            self.bell.mail.notify_one();
            self.bell.channels.iter().for_each(|channel| channel.notify_one());
            self.bell.log.notify_one();
        }
    }

    /// Tells systemd that the pipeline is alive.
    pub(super) fn notify_watchdog(&self) {
        if self.watchdog {
            // Without a service manager there is nobody to tell.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }

    /// Lets every part deliver what is stored, and ends. Answers what could not be delivered.
    pub(super) fn finish(&mut self) -> Vec<String> {
        self.stop.send_replace(true);
        let Some(thread) = self.thread.take() else { return Vec::new() };
        thread.join().unwrap_or_else(|_| vec!["the thread of the sinks ended early".to_owned()])
    }
}

impl Parts {
    fn open(
        shared: Arc<Shared>,
        listener: Option<TcpListener>,
        durable: watch::Receiver<Seq>,
        bell: Arc<Bell>,
        stop: watch::Receiver<bool>,
        once: bool,
    ) -> Result<Self, DaemonError> {
        let config = &shared.config;
        let open_reader = || StoreReader::open(&config.store.path);
        let context = SinkContext {
            agent: shared.agent.clone(),
            pid: std::process::id(),
            credentials: credentials(),
            otel: shared.otel.clone(),
        };
        let enricher = Arc::new(config.enricher());
        let (mut sinks, mut statuses) = (Vec::new(), Vec::new());
        for sink in &config.sinks {
            let sink = AnySink::new(sink, &context);
            let status = Arc::new(SinkStatus::new(sink.name(), sink.kind()));
            let decoder = Decoder::new(Arc::clone(&enricher));
            let mut decoder = decoder.following(shared.lists.as_ref(), true);
            statuses.push(Arc::clone(&status));
            sinks.push(SinkTask {
                sink,
                reader: open_reader()?,
                decode: Box::new(move |frame, batch| decoder.decode(frame, batch)),
                durable: durable.clone(),
                clock: Arc::clone(&shared.clock),
                chance: chance(),
                status,
                stop: stop.clone(),
                grace: if once { ONCE_GRACE } else { SINK_GRACE },
            });
        }
        let limits = AlertLogLimits::default();
        let alert_log = AlertLog::open(&config.alert_log_path(), limits, &open_reader()?)?;
        let context = mail_context(&shared);
        let channels = Channels::open(&shared, Arc::clone(&bell.channels), &context)?;
        let dispatcher = if config.mail.is_enabled() {
            let password = config.mail.read_password(credentials().as_deref())?;
            let transport = Transport::new(&config.mail, password)?;
            let clock = Arc::clone(&shared.clock);
            let reader = open_reader()?;
            let dispatcher =
                Dispatcher::new(reader, transport, &config.mail, context, clock, chance())?;
            Some(dispatcher.observed_by(count_notifications(&shared.metrics, "mail")))
        } else {
            None
        };
        let digest = Digest::new(Arc::clone(&shared), open_reader()?);
        Ok(Self {
            started: shared.clock.now(),
            shared,
            sinks,
            statuses,
            dispatcher,
            channels,
            alert_log,
            digest,
            listener,
            bell,
            stop,
            once,
        })
    }

    async fn run(mut self) -> Vec<String> {
        let mut tasks = JoinSet::new();
        for sink in self.sinks.drain(..) {
            tasks.spawn(async move {
                if let Err(error) = sink.run().await {
                    tracing::error!("a sink has stopped: {error}");
                }
            });
        }
        if let Some(listener) = self.listener.take() {
            let pages = Arc::new(self.pages());
            let stop = self.stop.clone();
            tasks.spawn(async move {
                if let Err(error) = serve(listener, pages, HttpLimits::default(), stop).await {
                    tracing::error!("the HTTP listener has stopped: {error}");
                }
            });
        }
        let mut dispatcher = self.dispatcher.take();
        if !self.once
            && let Some(dispatcher) = dispatcher.take()
        {
            let wake = Arc::clone(&self.bell.mail);
            tasks.spawn(dispatcher.run(wake, asked(self.stop.clone())));
        }
        if !self.once {
            self.channels.spawn(&mut tasks, &self.stop);
        }
        self.look_after().await;
        // Asked to stop: the sinks deliver what is stored; a run from cron waits for them longer.
        let grace = if self.once { ONCE_GRACE } else { GRACE };
        if let Some(dispatcher) = &mut dispatcher {
            self.drain_mail(dispatcher, grace).await;
        }
        self.channels.drain(grace).await;
        let joined = async { while tasks.join_next().await.is_some() {} };
        drop(tokio::time::timeout(grace.duration(), joined).await);
        self.log_alerts();
        self.undelivered()
    }

    async fn drain_mail(&self, dispatcher: &mut Dispatcher, grace: Period) {
        match tokio::time::timeout(grace.duration(), dispatcher.drain()).await {
            Ok(Ok(_)) => (),
            Ok(Err(error)) => tracing::error!("alert mails wait: {error}"),
            Err(_) => tracing::error!("alert mails wait: the mail server is too slow"),
        }
    }

    /// The chores of the edge until it is asked to stop.
    async fn look_after(&mut self) {
        let end = asked(self.stop.clone());
        tokio::pin!(end);
        loop {
            self.log_alerts();
            self.observe();
            if let Some(digest) = &mut self.digest
                && digest.enqueue_if_due(self.shared.clock.now())
            {
                self.bell.mail.notify_one();
            }
            tokio::select! {
                () = &mut end => return,
                () = self.bell.log.notified() => (),
                () = tokio::time::sleep(LOOK_EVERY.duration()) => (),
            }
        }
    }

    fn reader(&self) -> Option<StoreReader> {
        StoreReader::open(&self.shared.config.store.path).ok()
    }

    fn log_alerts(&mut self) {
        let Some(reader) = self.reader() else { return };
        match self.alert_log.catch_up(&reader, self.shared.clock.now()) {
            Ok(_) => self.shared.readiness.pass("alert log"),
            Err(error) => {
                tracing::error!("the alert log cannot be written: {error}");
                self.shared.readiness.fail("alert log", &error.to_string());
            }
        }
    }

    fn observe(&self) {
        let now = self.shared.clock.now();
        for status in &self.statuses {
            let report = status.report(now);
            let known = |time: Timestamp| (time != Timestamp(0)).then_some(time);
            self.shared.metrics.set_sink(&SinkState {
                sink: &report.name,
                up: report.failure.is_none(),
                sent: report.accepted,
                rejected: report.rejected,
                dropped: 0,
                filtered: report.filtered,
                sampled: report.sampled,
                truncated: report.shrunk,
                forgotten: report.forgotten,
                alerts: report.alerts,
                retries: report.retried,
                lag_events: report.waiting_events,
                lag_bytes: report.waiting_bytes,
                oldest_waiting: (0 < report.waiting_events).then(|| now.minus(report.waiting)),
                last_success: known(report.last_success),
            });
            let check = format!("sink {}", report.name);
            // A receiver that is behind and takes what it is sent is none that takes nothing.
            let since = now.minus(report.waiting).max(report.last_success).max(self.started);
            let is_waiting = 0 < report.waiting_events;
            match &report.failure {
                Some(failure) => self.shared.readiness.fail(&check, &failure.words),
                None if is_waiting && since.plus(PATIENCE) < now => {
                    self.shared.readiness.fail(&check, NO_ANSWER);
                }
                None => self.shared.readiness.pass(&check),
            }
            let is_known = report.last_success != Timestamp(0);
            let why = report.failure.map_or_else(|| NO_ANSWER.to_owned(), |it| it.words);
            let stuck = is_waiting.then_some(Stuck { since, why });
            self.shared.deliveries.note(&check, stuck, is_known);
        }
        let Some(reader) = self.reader() else { return };
        if let Ok(counts) = reader.outbox_counts() {
            self.shared.metrics.set_outbox(counts.waiting, counts.oldest_waiting);
        }
        let Ok(counts) = reader.outbox_counts_of("mail") else { return };
        self.channels.observe(&reader, &counts, now);
        let late = counts.oldest_waiting.is_some_and(|oldest| oldest.plus(PATIENCE) < now);
        match &counts.failed_last {
            Some(reason) if late => {
                self.shared.readiness.fail("mail", &format!("mails wait: {reason}"));
            }
            _ => self.shared.readiness.pass("mail"),
        }
        let stuck = counts.failed_last.zip(counts.oldest_waiting).map(|(why, oldest)| {
            let since = oldest.max(counts.last_sent.unwrap_or_default()).max(self.started);
            Stuck { since, why }
        });
        if self.shared.config.mail.is_enabled() {
            self.shared.deliveries.note("mail", stuck, true);
        }
    }

    fn pages(&self) -> Pages {
        let config = &self.shared.config;
        Pages {
            metrics: Arc::clone(&self.shared.metrics),
            readiness: Arc::clone(&self.shared.readiness),
            clock: Arc::clone(&self.shared.clock),
            watched: config
                .sources
                .iter()
                .map(|source| Watched { name: source.id().into(), path: source.place().to_owned() })
                .collect(),
        }
    }

    fn undelivered(&self) -> Vec<String> {
        let now = self.shared.clock.now();
        let mut waiting: Vec<String> = Vec::new();
        for report in self.statuses.iter().map(|status| status.report(now)) {
            if 0 < report.waiting_events {
                let why = report.failure.map_or_else(|| "time was up".to_owned(), |f| f.words);
                waiting
                    .push(format!("{}: {} events wait: {why}", report.name, report.waiting_events));
            }
        }
        let Some(reader) = self.reader() else { return waiting };
        if let Ok(counts) = reader.outbox_counts_of("mail")
            && let Some(reason) = counts.failed_last
            && 0 < counts.waiting
        {
            waiting.push(format!("mail: {} wait: {reason}", counts.waiting));
        }
        waiting.extend(self.channels.undelivered(&reader));
        waiting
    }
}

/// What messages know besides their alerts.
fn mail_context(shared: &Shared) -> MailContext {
    let mail = &shared.config.mail;
    MailContext {
        zone: mail.zone(),
        host: shared.host.clone(),
        version: shared.agent.version.clone(),
        min_severity: mail.min_severity,
        organisation: mail.organisation.clone(),
    }
}

/// Counts what becomes of a channel's messages; the counters begin at 0 now.
pub(super) fn count_notifications(metrics: &Arc<Metrics>, channel: &str) -> Observer {
    let (metrics, channel) = (Arc::clone(metrics), channel.to_owned());
    let count = move |fate, count: usize| {
        let result = match fate {
            Fate::Sent => NotificationResult::Sent,
            Fate::Failed => NotificationResult::Failed,
            Fate::Expired => NotificationResult::Expired,
            Fate::RateLimited => NotificationResult::RateLimited,
        };
        metrics.add_notifications(&channel, result, count as u64);
    };
    count(Fate::Sent, 0);
    Box::new(count)
}

/// Waits for the word to stop; a sender that is gone means the same.
pub(super) async fn asked(mut stop: watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

pub(super) fn chance() -> Box<dyn Chance> {
    Box::new(Seeded::from_machine())
}

/// Where systemd puts credentials.
pub(crate) fn credentials() -> Option<std::path::PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(Into::into)
}
