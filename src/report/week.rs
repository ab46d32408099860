//! The weekly report as data: every figure that its text, its mail and its JSON show.
//!
//! The types and their JSON; `build` fills them from a [`WeekInput`].

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use super::compliance::Compliance;
use super::days::Days;
use super::figures;
use super::incident::Severities;
use super::quality::{Quality, SourceLines};
use super::top::{ClientRow, CountRow, PathRow, Ranked};
use super::verdict::Verdict;
use crate::engine::detect::{Alert, Severity};
use crate::engine::enrich::Roster;
use crate::engine::tally::{LoginCounts, Tally, TallyLimits, TallyRecord};
use crate::units::Timestamp;

/// Counts of one hour.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct HourCounts {
    /// Lines read.
    pub lines: u64,
    /// Of these, lines that no format understood.
    pub unparsed: u64,
    /// Requests.
    pub requests: u64,
    /// Requests answered 5xx.
    pub server_errors: u64,
    /// Log-ins.
    pub logins: LoginCounts,
}

impl HourCounts {
    fn of(tally: &Tally) -> Self {
        let by_status = tally.by_status();
        let failed = by_status.iter().filter(|(status, _)| status.class() == 5);
        Self {
            lines: tally.lines,
            unparsed: tally.unparsed,
            requests: by_status.values().sum(),
            server_errors: failed.map(|(_, count)| count).sum(),
            logins: tally.logins(),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.unparsed += other.unparsed;
        self.requests += other.requests;
        self.server_errors += other.server_errors;
        self.logins.success += other.logins.success;
        self.logins.failure += other.logins.failure;
        self.logins.attempt += other.logins.attempt;
    }
}

/// The hours of a period, counted and added up.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub(super) total: Tally,
    pub(super) hours: BTreeMap<u32, HourCounts>,
    pub(super) unreadable: u64,
}

impl Stretch {
    /// Reads hours as the store keeps them: hours since 1970, and the JSON of a [`TallyRecord`].
    /// One that cannot be read is counted and left out. The seed makes the order of keys
    /// unforeseeable for whoever sends them.
    pub fn read<'h>(hours: impl IntoIterator<Item = (u32, &'h str)>, seed: u64) -> Self {
        let limits = TallyLimits::scan(seed);
        let mut stretch = Self { total: Tally::new(limits), hours: BTreeMap::new(), unreadable: 0 };
        for (hour, json) in hours {
            match serde_json::from_str::<TallyRecord>(json) {
                Ok(record) => stretch.add(hour, &record.restore(limits)),
                Err(_) => stretch.unreadable += 1,
            }
        }
        stretch
    }

    fn add(&mut self, hour: u32, tally: &Tally) {
        if 0 < tally.lines {
            self.hours.entry(hour).or_default().add(&HourCounts::of(tally));
            self.total.merge(tally);
        }
    }

    /// Counts of all hours together.
    pub fn total(&self) -> &Tally {
        &self.total
    }
}

/// What a weekly report is made of.
#[derive(Clone, Debug)]
pub struct WeekInput<'a> {
    /// The days it covers.
    pub days: Days,
    /// The organisation's zone.
    pub zone: &'a TimeZone,
    /// Name of this machine.
    pub host: &'a str,
    /// Version of this program.
    pub version: &'a str,
    /// Now.
    pub generated: Timestamp,
    /// First start on this machine: hours before it could not be watched.
    pub watched_since: Option<Timestamp>,
    /// The hours of [`Days::hours`].
    pub this: &'a Stretch,
    /// The hours of [`Days::before`]; none when there are none.
    pub before: Option<&'a Stretch>,
    /// Transitions of the period, and of alerts opened before it that are still open or were
    /// resolved in it; others are left out.
    pub alerts: &'a [Alert],
    /// Lines of each source in the period, where known.
    pub sources: Vec<SourceLines>,
    /// The day on which everybody should log in, where there is a roster.
    pub compliance: Option<Compliance>,
    /// Who should log in; names that are not among them are shown as hashes by the key.
    pub roster: Option<(&'a Roster, u64)>,
    /// The installation now.
    pub health: Health,
    /// Earlier reports that were never sent.
    pub missed: &'a [Days],
}

/// The weekly report.
#[derive(Clone, Debug, Serialize)]
pub struct WeekReport {
    /// Version of these keys; a new one means that an old one changed its meaning.
    pub schema: u32,
    /// What it covers.
    pub period: PeriodInfo,
    /// Name of the machine.
    pub host: String,
    /// The week in one line.
    pub verdict: Verdict,
    /// The day on which everybody should log in, where there is a roster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compliance: Option<Compliance>,
    /// Alerts.
    pub alerts: Alerts,
    /// Requests.
    pub traffic: Traffic,
    /// Each day.
    pub days: Vec<DayRow>,
    /// Log-ins.
    pub logins: Logins,
    /// Clients by requests.
    pub clients: Ranked<ClientRow>,
    /// Paths by requests.
    pub paths: Ranked<PathRow>,
    /// Paths by answers 404.
    pub not_found: Ranked<PathRow>,
    /// Paths by answers 5xx.
    pub failing: Ranked<PathRow>,
    /// Lines of error logs by level, worst first, without levels that did not occur.
    pub server_errors: Vec<NamedChange>,
    /// How complete the data is.
    pub quality: Quality,
    /// When and by what the report was made; not part of what its hash covers.
    pub made: Made,
    /// Zone that times are shown in.
    #[serde(skip)]
    pub zone: TimeZone,
}

/// What a report covers.
#[derive(Clone, Debug, Serialize)]
pub struct PeriodInfo {
    /// `2026-11-13..2026-11-20`, the end left out.
    pub label: String,
    /// `2026-W47` where the days are an ISO week.
    pub week: Option<String>,
    /// First day.
    pub first_day: String,
    /// Last day.
    pub last_day: String,
    /// The first day begins.
    #[serde(serialize_with = "rfc3339")]
    pub from: Timestamp,
    /// The last day ends.
    #[serde(serialize_with = "rfc3339")]
    pub to: Timestamp,
    /// Name of the zone.
    pub zone: String,
    /// The days.
    #[serde(skip)]
    pub days: Days,
    /// Earlier reports that were never sent.
    pub missed: Vec<String>,
}

/// A count and what it was the week before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Change {
    /// This week.
    pub now: u64,
    /// The week before; none in the first week.
    pub before: Option<u64>,
}

impl Change {
    /// The difference as people read it.
    pub fn text(self) -> String {
        figures::change(self.now, self.before)
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let percent = self.before.filter(|before| 0 < *before).map(|before| {
            let tenths = (self.now as f64 / before as f64 - 1.0) * 1000.0;
            tenths.round() / 10.0
        });
        let mut fields = serializer.serialize_struct("Change", 3)?;
        fields.serialize_field("now", &self.now)?;
        fields.serialize_field("before", &self.before)?;
        fields.serialize_field("change_percent", &percent)?;
        fields.end()
    }
}

/// A count with a name of ours, or of a site.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct NamedChange {
    /// What is counted.
    pub name: String,
    /// How often.
    #[serde(flatten)]
    pub count: Change,
}

/// Alerts of the week.
#[derive(Clone, Debug, Serialize)]
pub struct Alerts {
    /// Opened in the period, by severity.
    pub opened: Severities,
    /// Still open, whenever they were opened, by severity.
    pub open: Severities,
    /// Of these, opened before the period.
    pub carried_over: Severities,
    /// Alerts by rule, most first.
    pub rules: Vec<CountRow>,
    /// Most severe first.
    pub list: Vec<AlertRow>,
    /// Alerts beyond those listed.
    pub more: u64,
}

/// One alert.
#[derive(Clone, Debug, Serialize)]
pub struct AlertRow {
    /// Full id.
    pub id: String,
    /// Code for people to type.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// Rule id.
    pub rule: String,
    /// One line for people.
    pub title: String,
    /// What happened. Hostile text.
    pub summary: String,
    /// Addresses and names. Hostile text.
    pub who: String,
    /// Whether it worked, as far as the log says.
    pub worked: String,
    /// Log-ins that succeeded.
    pub successes: u64,
    /// When it was opened.
    #[serde(serialize_with = "rfc3339")]
    pub opened: Timestamp,
    /// When it was resolved.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub resolved: Option<Timestamp>,
    /// It was opened before the period.
    pub carried_over: bool,
    /// It was found in old lines, not as it happened.
    pub backfill: bool,
    /// The maintenance during which it was raised.
    pub muted_by: Option<String>,
}

/// Requests of the week.
#[derive(Clone, Debug, Serialize)]
pub struct Traffic {
    /// Requests.
    pub requests: Change,
    /// Bytes of the responses.
    pub bytes: Change,
    /// Different clients; an estimate when `clients.lower_by` is not 0.
    pub clients: Change,
    /// Requests by class of their status: `1xx` to `5xx`, `other`.
    pub classes: Vec<NamedChange>,
    /// Requests by status, the most frequent ones, in the order of their numbers.
    pub statuses: Vec<NamedChange>,
    /// Requests by site, the busiest ones. Hostile text.
    pub sites: Vec<NamedChange>,
    /// Sites beyond those listed.
    pub more_sites: u64,
}

/// One day.
#[derive(Clone, Debug, Serialize)]
pub struct DayRow {
    /// `2026-11-19`.
    pub date: String,
    /// `Thu 19 Nov`.
    pub name: String,
    /// Counts.
    #[serde(flatten)]
    pub counts: HourCounts,
    /// Log-ins that succeeded on the same day of the week before.
    pub successes_before: Option<u64>,
    /// Alerts opened.
    pub alerts: u64,
    /// Some of its hours were not read: its counts are lower bounds.
    pub incomplete: bool,
}

/// Log-ins of the week.
#[derive(Clone, Debug, Serialize)]
pub struct Logins {
    /// Let in.
    pub success: Change,
    /// Refused.
    pub failure: Change,
    /// The log does not show how they ended.
    pub attempt: Change,
    /// Names by failed log-ins. Hostile text.
    pub failed_users: Ranked<CountRow>,
    /// Names of these that are not on the roster are shown as a keyed hash.
    pub unknown_are_hashed: bool,
    /// Clients by failed log-ins. Hostile text.
    pub failed_clients: Ranked<CountRow>,
}

/// When and by what a report was made.
#[derive(Clone, Debug, Serialize)]
pub struct Made {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// Version of this program.
    pub version: String,
    /// The installation at that time.
    pub health: Health,
}

/// The installation when the report was made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Health {
    /// Bytes of the store.
    pub store_bytes: Option<u64>,
    /// Bytes it may take.
    pub store_max: Option<u64>,
    /// Earliest event it holds.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub oldest_event: Option<Timestamp>,
    /// Mails that wait to be sent.
    pub mails_waiting: u64,
    /// Mails of the period that were given up.
    pub mails_expired: u64,
    /// Why the last mail that failed did.
    pub mail_error: Option<String>,
    /// Readers of the store, such as sinks, and how far they are behind.
    pub readers: Vec<ReaderHealth>,
}

/// A reader of the store.
#[derive(Clone, Debug, Serialize)]
pub struct ReaderHealth {
    /// Its name.
    pub name: String,
    /// Frames that it has not taken yet.
    pub frames_behind: u64,
}

/// Writes a time as RFC 3339 in UTC.
pub(super) fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.rfc3339())
}

pub(super) fn rfc3339_or_null<S: Serializer>(
    time: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(Timestamp::rfc3339).serialize(serializer)
}
