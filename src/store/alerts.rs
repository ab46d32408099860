//! Alerts and hourly tallies: the history that outlives the frames.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreReader;
use super::database::{signed, unsigned};
use super::error::StoreError;
use super::frame::{Packer, Unpacker};
use crate::engine::detect::{Alert, Severity};
use crate::units::Timestamp;

/// Which alerts to list.
#[derive(Clone, Debug)]
pub struct AlertFilter {
    /// Not before this moment.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// Of the rule with this id.
    pub rule: Option<String>,
    /// At least this bad.
    pub severity_min: Option<Severity>,
    /// Firing and not resolved.
    pub open_only: bool,
    /// Of each alert only what was told last.
    pub last_only: bool,
    /// At most this many.
    pub limit: usize,
}

impl Default for AlertFilter {
    /// The newest thousand.
    fn default() -> Self {
        Self {
            since: None,
            until: None,
            rule: None,
            severity_min: None,
            open_only: false,
            last_only: false,
            limit: 1000,
        }
    }
}

/// Stores alerts; a transition that is there already stays as it is.
pub(super) fn insert(conn: &Connection, alerts: &[Alert]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO alerts (id, state, rule, severity, at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id, state) DO NOTHING",
    )?;
    for alert in alerts {
        let body = serde_json::to_string(alert)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        statement.execute(params![
            alert.id,
            alert.transition(),
            alert.rule.id,
            alert.severity.score(),
            alert.at,
            body,
        ])?;
    }
    Ok(())
}

/// Replaces the tallies of hours. They are packed, because two years of them as text would
/// outgrow the frames.
pub(super) fn replace_hours(
    conn: &Connection,
    packer: &mut Packer,
    hours: &[(u32, String)],
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO hours (hour, raw_bytes, tally) VALUES (?1, ?2, ?3)
         ON CONFLICT (hour) DO UPDATE SET raw_bytes = excluded.raw_bytes, tally = excluded.tally",
    )?;
    for (hour, tally) in hours {
        statement.execute(params![
            hour,
            signed(tally.len() as u64),
            packer.pack(tally.as_bytes())
        ])?;
    }
    Ok(())
}

/// The tally of one hour.
pub(super) fn hour(
    conn: &Connection,
    unpacker: &mut Unpacker,
    hour: u32,
) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached("SELECT hour, raw_bytes, tally FROM hours WHERE hour = ?1")?
        .query_row([hour], |row| read_hour(row, unpacker))
        .optional()
        .map(|found| found.and_then(|(_, tally)| tally))
}

/// An hour and its tally; without the tally, and a warning, when that is damaged.
fn read_hour(row: &Row<'_>, unpacker: &mut Unpacker) -> rusqlite::Result<(u32, Option<String>)> {
    let hour: u32 = row.get(0)?;
    let bytes = unpacker.unpack(row.get_ref(2)?.as_blob()?, unsigned(row, 1)?);
    let tally = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    if tally.is_none() {
        tracing::warn!(hour, "the counts of this hour are damaged in the store and left out");
    }
    Ok((hour, tally))
}

/// The alert in `body`; nothing, and a warning, when it is damaged.
fn parse(number: i64, body: &str) -> Option<Alert> {
    serde_json::from_str(body)
        .inspect_err(|error| {
            tracing::warn!(number, %error, "an alert in the store is damaged and left out");
        })
        .ok()
}

impl StoreReader {
    /// Alerts that fire and are not resolved, each as it was told last, oldest first.
    pub fn open_alerts(&self) -> Result<Vec<Alert>, StoreError> {
        let all = AlertFilter { open_only: true, limit: usize::MAX, ..AlertFilter::default() };
        let mut alerts = self.alerts(&all)?;
        alerts.reverse();
        Ok(alerts)
    }

    /// The transitions that `filter` wants, newest first.
    pub fn alerts(&self, filter: &AlertFilter) -> Result<Vec<Alert>, StoreError> {
        let numbered = self.alerts_before(filter, None)?;
        Ok(numbered.into_iter().map(|(_, alert)| alert).collect())
    }

    /// The transitions that `filter` wants, newest first, each with its number: those behind the
    /// one of this time and number. Whoever asks for one page after the other needs no room for all
    /// of them, and holds up nobody who writes.
    pub fn alerts_before(
        &self,
        filter: &AlertFilter,
        last: Option<(Timestamp, i64)>,
    ) -> Result<Vec<(i64, Alert)>, StoreError> {
        let sql = "SELECT number, body FROM alerts AS a
             WHERE at >= ?1 AND at < ?2 AND severity >= ?3 AND (?4 IS NULL OR rule = ?4)
                 AND (NOT ?5 OR state <> 'resolved')
                 AND (NOT ?6 OR NOT EXISTS
                     (SELECT 1 FROM alerts AS b WHERE b.id = a.id AND b.number > a.number))
                 AND (at, number) < (?7, ?8)
             ORDER BY at DESC, number DESC LIMIT ?9";
        let (last_at, last_number) = last.unwrap_or((Timestamp(u64::MAX), i64::MAX));
        let values = params![
            filter.since.unwrap_or_default(),
            filter.until.unwrap_or(Timestamp(u64::MAX)),
            filter.severity_min.map_or(0, Severity::score),
            filter.rule,
            filter.open_only,
            filter.open_only || filter.last_only,
            last_at,
            last_number,
            i64::try_from(filter.limit).unwrap_or(i64::MAX),
        ];
        self.numbered_alerts(sql, values)
    }

    /// Alerts whose id begins with `digits`, each as it was told last, newest first, at most
    /// `limit`.
    pub fn alerts_named(&self, digits: &str, limit: usize) -> Result<Vec<Alert>, StoreError> {
        // Every digit of an id sorts before `g`.
        let sql = "SELECT number, body FROM alerts AS a WHERE id >= ?1 AND id < ?1 || 'g'
                 AND NOT EXISTS
                     (SELECT 1 FROM alerts AS b WHERE b.id = a.id AND b.number > a.number)
             ORDER BY at DESC, number DESC LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let numbered = self.numbered_alerts(sql, params![digits, limit])?;
        Ok(numbered.into_iter().map(|(_, alert)| alert).collect())
    }

    /// Transitions in the order they were stored, each with its number: those after `number`
    /// (0 for the start), at most `limit`. A log of alerts remembers the last number it wrote.
    pub fn alerts_after(&self, number: i64, limit: usize) -> Result<Vec<(i64, Alert)>, StoreError> {
        let sql = "SELECT number, body FROM alerts WHERE number > ?1 ORDER BY number LIMIT ?2";
        self.numbered_alerts(sql, params![number, i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    /// Number of the transition that was stored last; 0 for none.
    pub fn last_alert(&self) -> Result<i64, StoreError> {
        self.db.run("read the number of the last alert", |conn| {
            let sql = "SELECT coalesce(max(number), 0) FROM alerts";
            conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
        })
    }

    /// How many transitions come after `number`.
    pub fn alert_count_after(&self, number: i64) -> Result<u64, StoreError> {
        self.db.run("count the alerts", |conn| {
            let sql = "SELECT count(*) FROM alerts WHERE number > ?1";
            conn.prepare_cached(sql)?.query_row([number], |row| unsigned(row, 0))
        })
    }

    fn numbered_alerts(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<(i64, Alert)>, StoreError> {
        self.db.run("read alerts", |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query(values)?;
            let mut alerts = Vec::new();
            while let Some(row) = rows.next()? {
                let number = row.get(0)?;
                let body = row.get_ref(1)?.as_str().unwrap_or_default();
                alerts.extend(parse(number, body).map(|alert| (number, alert)));
            }
            Ok(alerts)
        })
    }

    /// The first hour of which there are counts.
    pub fn first_hour(&self) -> Result<Option<u32>, StoreError> {
        self.db.run("read the first hour", |conn| {
            conn.query_row("SELECT min(hour) FROM hours", [], |row| row.get(0))
        })
    }

    /// The tallies of the hours `from ..= to` that have one, as JSON, oldest first.
    pub fn hours(&self, from: u32, to: u32) -> Result<Vec<(u32, String)>, StoreError> {
        let sql = "SELECT hour, raw_bytes, tally FROM hours WHERE hour BETWEEN ?1 AND ?2
                   ORDER BY hour";
        let unpacker = &mut *self.unpacker.borrow_mut();
        self.db.run("read the counts of hours", |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query([from, to])?;
            let mut hours = Vec::new();
            while let Some(row) = rows.next()? {
                let (hour, tally) = read_hour(row, unpacker)?;
                hours.extend(tally.map(|tally| (hour, tally)));
            }
            Ok(hours)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Commit;
    use super::super::fixture::{Bench, NOW, alert};
    use super::*;
    use crate::engine::detect::AlertState::{Firing, Resolved};

    fn bench_with(alerts: &[Alert]) -> Bench {
        let mut bench = Bench::new();
        bench.store.commit(&Commit { alerts, ..Commit::default() }, NOW).expect("commit");
        bench
    }

    fn sample() -> [Alert; 4] {
        let at = |seconds| Timestamp::from_secs(seconds);
        [
            alert("a", Firing, Severity::Low, at(10)),
            alert("b", Firing, Severity::Critical, at(20)),
            alert("a", Resolved, Severity::Low, at(30)),
            alert("c", Firing, Severity::High, at(40)),
        ]
    }

    #[track_caller]
    fn check(filter: AlertFilter, expected: &[&str]) {
        let alerts = bench_with(&sample()).reader.alerts(&filter).expect("read");
        let actual: Vec<&str> = alerts.iter().map(|alert| alert.id.as_str()).collect();
        assert_eq!(expected, actual);
    }

    #[test]
    fn alerts_are_listed_newest_first_and_filtered() {
        let all = AlertFilter::default;
        let at = |seconds| Some(Timestamp::from_secs(seconds));
        check(all(), &["c", "a", "b", "a"]);
        check(AlertFilter { limit: 2, ..all() }, &["c", "a"]);
        check(AlertFilter { since: at(20), until: at(40), ..all() }, &["a", "b"]);
        check(AlertFilter { severity_min: Some(Severity::High), ..all() }, &["c", "b"]);
        check(AlertFilter { rule: Some("rule.low".to_owned()), ..all() }, &["a", "a"]);
        check(AlertFilter { open_only: true, ..all() }, &["c", "b"]);
        check(AlertFilter { last_only: true, ..all() }, &["c", "a", "b"]);
    }

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        // Many at the same moment: the number decides.
        let many: Vec<Alert> = (0..7)
            .map(|n| alert(&n.to_string(), Firing, Severity::Low, Timestamp::from_secs(n / 4)))
            .collect();
        let bench = bench_with(&many);
        let filter = AlertFilter { limit: 3, ..AlertFilter::default() };
        let (mut ids, mut last) = (Vec::new(), None);
        loop {
            let page = bench.reader.alerts_before(&filter, last).expect("read");
            let Some((number, alert)) = page.last() else { break };
            last = Some((alert.at, *number));
            ids.extend(page.iter().map(|(_, alert)| alert.id.clone()));
        }
        assert_eq!(["6", "5", "4", "3", "2", "1", "0"], ids.as_slice());
    }

    #[test]
    fn an_alert_is_found_by_the_first_digits_of_its_id() {
        let at = |seconds| Timestamp::from_secs(seconds);
        let bench = bench_with(&[
            alert("7a2f00", Firing, Severity::Low, at(1)),
            alert("7a2f00", Resolved, Severity::Low, at(2)),
            alert("7a2e00", Firing, Severity::Low, at(3)),
        ]);
        let found = |digits: &str| -> Vec<(String, bool)> {
            let alerts = bench.reader.alerts_named(digits, 9).expect("read");
            alerts.into_iter().map(|one| (one.id, one.state == Resolved)).collect()
        };
        let (first, second) = (("7a2f00".to_owned(), true), ("7a2e00".to_owned(), false));
        assert_eq!(vec![second, first.clone()], found("7a2"));
        assert_eq!(vec![first.clone()], found("7a2f"));
        assert_eq!(vec![first], found("7a2f00"));
        assert!(found("7a2f0").len() == 1 && found("8").is_empty() && found("7a2f001").is_empty());
    }

    #[test]
    fn an_alert_comes_back_as_it_was_and_a_replay_adds_nothing() {
        let mut bench = bench_with(&sample());
        let mut changed = sample();
        changed[0].summary = "another text".to_owned();
        let commit = Commit { alerts: &changed, ..Commit::default() };
        bench.store.commit(&commit, NOW).expect("commit");
        let numbered = bench.reader.alerts_after(0, 10).expect("read");
        let alerts: Vec<Alert> = numbered.into_iter().map(|(_, alert)| alert).collect();
        assert_eq!(sample().to_vec(), alerts);
        let open = bench.reader.open_alerts().expect("read");
        assert_eq!(vec![sample()[1].clone(), sample()[3].clone()], open);
    }

    #[test]
    fn a_log_of_alerts_goes_on_after_its_last_number() {
        let bench = bench_with(&sample());
        let first = bench.reader.alerts_after(0, 3).expect("read");
        assert_eq!(vec![1, 2, 3], first.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        let rest = bench.reader.alerts_after(3, 3).expect("read");
        assert_eq!(vec!["c"], rest.iter().map(|(_, alert)| alert.id.as_str()).collect::<Vec<_>>());
    }

    #[test]
    fn a_damaged_alert_or_hour_is_left_out() {
        let mut bench = bench_with(&sample());
        let hours = [(1, "{}".to_owned()), (2, "{}".to_owned())];
        bench.store.commit(&Commit { hours: &hours, ..Commit::default() }, NOW).expect("commit");
        bench
            .tamper()
            .execute_batch(
                "UPDATE alerts SET body = '{' WHERE number = 2;
                 UPDATE hours SET tally = x'28b5' WHERE hour = 1",
            )
            .expect("tamper");
        assert_eq!(3, bench.reader.alerts(&AlertFilter::default()).expect("read").len());
        assert_eq!(vec![(2, "{}".to_owned())], bench.reader.hours(0, 9).expect("read"));
        assert_eq!(None, bench.store.hour(1).expect("read"));
    }

    #[test]
    fn an_hour_is_replaced() {
        let mut bench = Bench::new();
        for text in ["old", "new"] {
            let hours = [(7, text.to_owned())];
            bench
                .store
                .commit(&Commit { hours: &hours, ..Commit::default() }, NOW)
                .expect("commit");
        }
        assert_eq!(vec![(7, "new".to_owned())], bench.reader.hours(7, 7).expect("read"));
        assert_eq!(Some("new".to_owned()), bench.store.hour(7).expect("read"));
        assert_eq!(0, bench.reader.hours(8, 7).expect("an empty range").len());
    }
}
