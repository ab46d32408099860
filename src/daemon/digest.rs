//! The weekly report: made from the store, mailed when it is due, never twice.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::Shared;
use super::who::compliance;
use crate::engine::detect::Alert;
use crate::notify::{Letter, enqueue_letter};
use crate::report::compliance::Terms;
use crate::report::schedule::{TRANSITION, days_of_key, key};
use crate::report::{
    Days, Health, ReaderHealth, ReportConfig, Schedule, Stretch, WeekInput, WeekReport, report_mail,
};
use crate::store::{AlertFilter, StoreError, StoreReader};
use crate::units::{ByteSize, Timestamp};

/// What a report is made of besides the store.
#[derive(Clone, Copy, Debug)]
pub struct ReportContext<'a> {
    /// The organisation's zone.
    pub zone: &'a TimeZone,
    /// This machine.
    pub host: &'a str,
    /// Now.
    pub now: Timestamp,
    /// First start on this machine.
    pub watched_since: Option<Timestamp>,
    /// Seed of the hashes of counts.
    pub seed: u64,
    /// Disk space the store may take.
    pub store_max: ByteSize,
    /// Earlier reports that were never sent.
    pub missed: &'a [Days],
    /// Who should log in on which day, where there is a roster.
    pub terms: Option<Terms<'a>>,
}

/// The hours of a period and of the one before it.
pub(super) struct Hours {
    pub(super) this: Stretch,
    pub(super) before: Option<Stretch>,
    /// Since when lines are read, and how old the first ones were.
    pub(super) watched_since: Option<Timestamp>,
}

impl Hours {
    /// Those of `days` in the zone of `context`.
    pub(super) fn read(
        reader: &StoreReader,
        days: Days,
        context: &ReportContext<'_>,
    ) -> Result<Self, StoreError> {
        let stretch = |days: Days| -> Result<Stretch, StoreError> {
            let hours = days.hours(context.zone);
            let rows = reader.hours(hours.start, hours.end.saturating_sub(1))?;
            let rows = rows.iter().map(|(hour, text)| (*hour, text.as_str()));
            Ok(Stretch::read(rows, context.seed))
        };
        // Lines older than the first start were read from files that had waited: those hours were
        // watched too, if late.
        let first_hour = reader.first_hour()?;
        let first_hour = first_hour.map(|hour| Timestamp::from_secs(u64::from(hour) * 3600));
        let watched_since =
            context.watched_since.map(|since| first_hour.unwrap_or(since).min(since));
        let before = days.before().map(stretch).transpose()?;
        Ok(Self { this: stretch(days)?, before, watched_since })
    }
}

/// The alerts that have to do with `days`.
pub(super) fn alerts_of(
    reader: &StoreReader,
    days: Days,
    zone: &TimeZone,
) -> Result<Vec<Alert>, StoreError> {
    let (from, to) = days.moments(zone);
    let filter = AlertFilter { since: Some(from), until: Some(to), ..AlertFilter::default() };
    let mut alerts = reader.alerts(&filter)?;
    alerts.extend(reader.open_alerts()?);
    Ok(alerts)
}

/// Makes the report about `days` from the store.
pub fn week_report(
    reader: &StoreReader,
    days: Days,
    context: &ReportContext<'_>,
) -> Result<WeekReport, StoreError> {
    let hours = Hours::read(reader, days, context)?;
    let alerts = alerts_of(reader, days, context.zone)?;
    let compliance = compliance(reader, days, &hours, &alerts, context)?;
    let last = reader.last_seq()?;
    let readers = reader.cursors()?.into_iter().map(|cursor| ReaderHealth {
        frames_behind: last.0.saturating_sub(cursor.seq.0),
        name: cursor.reader,
    });
    let counts = reader.outbox_counts_of("mail")?;
    let health = Health {
        store_max: Some(context.store_max.0),
        mails_waiting: counts.waiting,
        mail_error: counts.failed_last,
        readers: readers.collect(),
        ..Health::default()
    };
    Ok(WeekReport::build(&WeekInput {
        days,
        zone: context.zone,
        host: context.host,
        version: env!("CARGO_PKG_VERSION"),
        generated: context.now,
        watched_since: hours.watched_since,
        this: &hours.this,
        before: hours.before.as_ref(),
        alerts: &alerts,
        sources: Vec::new(),
        compliance,
        roster: context.terms.map(|terms| (terms.roster, context.seed)),
        health,
        missed: context.missed,
    }))
}

/// Puts the report into the outbox; false where it was there before.
pub fn send_report(
    reader: &StoreReader,
    report: &WeekReport,
    config: &ReportConfig,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mail = report_mail(report);
    let letter =
        Letter { subject: mail.subject, text: mail.text, html: mail.html, to: config.to.clone() };
    let message = enqueue_letter(&key(report.period.days), &letter, now);
    debug_assert_eq!(TRANSITION, message.transition);
    reader.outbox_add(&message, now)
}

/// Sends the weekly report.
pub(super) struct Digest {
    shared: Arc<Shared>,
    reader: StoreReader,
    schedule: Schedule,
    zone: TimeZone,
    config: ReportConfig,
    next_look: Timestamp,
}

/// Name of the meta value that holds the last report sent.
const READER: &str = "report";

impl Digest {
    /// None where no report is to be sent.
    pub(super) fn new(shared: Arc<Shared>, reader: StoreReader) -> Option<Self> {
        let config = shared.config.report.clone();
        if !shared.config.mail.is_enabled() {
            return None;
        }
        let zone = config.zone(TimeZone::system()).ok()?;
        let schedule = Schedule::new(&config, zone.clone())?;
        Some(Self { shared, reader, schedule, zone, config, next_look: Timestamp(0) })
    }

    /// Puts the report into the outbox when its time has come; true when it did.
    pub(super) fn enqueue_if_due(&mut self, now: Timestamp) -> bool {
        if now < self.next_look {
            return false;
        }
        match self.try_enqueue(now) {
            Ok(sent) => {
                self.next_look =
                    self.schedule.next_after(now).unwrap_or_else(|| now.plus_ms(3_600_000));
                sent
            }
            Err(error) => {
                tracing::error!("the weekly report waits: {error}");
                self.next_look = now.plus_ms(60_000);
                false
            }
        }
    }

    fn try_enqueue(&self, now: Timestamp) -> Result<bool, StoreError> {
        let sent = self.reader.cursor(READER)?.and_then(|cursor| days_of_key(&cursor.state));
        let since = self.shared.watched_since;
        let Some(due) = self.schedule.due(now, since, sent) else { return Ok(false) };
        let report = week_report(
            &self.reader,
            due.days,
            &ReportContext {
                zone: &self.zone,
                host: &self.shared.host,
                now,
                watched_since: Some(since),
                seed: self.shared.seed,
                store_max: self.shared.config.store.max_size,
                missed: &due.missed,
                terms: self.shared.config.compliance_terms(),
            },
        )?;
        let added = send_report(&self.reader, &report, &self.config, now)?;
        // The outbox knows each report by its days, so a crash between the two costs nothing.
        let name = key(due.days);
        self.reader.save_cursor(READER, self.reader.last_seq()?, &name, now)?;
        if added {
            tracing::info!("the report about {} is on its way", due.days);
        }
        Ok(added)
    }
}
