//! What people say to alerts, and of whom nothing is told for a while.
//!
//! A command hands its answer over by a short transaction of its own: SQLite lets one writer in at a
//! time, whoever it is, so neither the daemon nor its lock is needed. The daemon asks at each commit
//! that holds alerts. So there is nothing in memory that a crash could lose or a restart forget.
//!
//! Invariant: what a command has said to be stored is on the disk, and whatever a command does to
//! messages that wait happens together with its answer or not at all.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::database::{Database, signed, unsigned};
use super::error::StoreError;
use super::outbox::{self, NewMessage};
use super::{Store, StoreReader};
use crate::engine::answer::{Answer, Hush, Reply, Scope, Silence, incident_of};
use crate::engine::detect::{Alert, Step};
use crate::units::Timestamp;

/// Silences that hold at the same time: an alert is held against each of them.
const SILENCES_MAX: u64 = 1000;

/// How `transition` begins in messages that come back after a snooze.
pub(super) const REMINDER: &str = "snoozed-";

const ANSWER: &str = "number, at, reply, incident, alert, until, uid, login, note";
const SILENCE: &str = "number, at, until, ended, uid, login, reason, scope";

/// Ends what nobody is to be told any more: `incident` has got worse, or is over. An answer holds
/// until it gets worse; a reminder is void as soon as there is news.
pub(super) fn note_news(
    conn: &Connection,
    alerts: &[Alert],
    now: Timestamp,
) -> rusqlite::Result<()> {
    for alert in alerts {
        let step = alert.part.as_ref().map(|part| part.step);
        let incident = incident_of(alert);
        if step == Some(Step::Worsened) {
            conn.prepare_cached("UPDATE answers SET holds = 0 WHERE incident = ?1 AND holds = 1")?
                .execute([incident])?;
            // It is not over after all: an end that a snooze has put off would hold up the news.
            conn.prepare_cached(
                "UPDATE outbox SET state = 'expired', ended = ?2, last_error = 'there is news'
                 WHERE state = 'waiting' AND transition = 'resolved' AND due > ?2 AND attempts = 0
                     AND CASE WHEN json_valid(body)
                         THEN json_extract(body, '$.part.incident') END = ?1",
            )?
            .execute(params![incident, now])?;
        }
        if matches!(step, Some(Step::Worsened | Step::Closed)) {
            conn.prepare_cached(
                "UPDATE outbox SET state = 'expired', ended = ?2, last_error = 'there is news'
                 WHERE state = 'waiting' AND alert_id = ?1 AND substr(transition, 1, 8) = ?3",
            )?
            .execute(params![incident, now, REMINDER])?;
        }
    }
    Ok(())
}

fn answer(row: &Row<'_>) -> rusqlite::Result<Answer> {
    let reply: String = row.get(2)?;
    Ok(Answer {
        number: row.get(0)?,
        at: row.get(1)?,
        // The word of a later version is at least somebody's attention.
        reply: Reply::named(&reply).unwrap_or_default(),
        incident: row.get(3)?,
        alert: row.get(4)?,
        until: row.get(5)?,
        uid: row.get(6)?,
        login: row.get(7)?,
        note: row.get(8)?,
    })
}

fn silence(row: &Row<'_>) -> rusqlite::Result<Silence> {
    let number = row.get(0)?;
    // A scope that cannot be read covers nothing: the alerts are told.
    let scope: Scope = serde_json::from_str(row.get_ref(7)?.as_str().unwrap_or_default())
        .inspect_err(|error| tracing::warn!(number, %error, "a silence in the store is damaged"))
        .unwrap_or_default();
    Ok(Silence {
        number,
        at: row.get(1)?,
        until: row.get(2)?,
        ended: row.get(3)?,
        uid: row.get(4)?,
        login: row.get(5)?,
        reason: row.get(6)?,
        scope,
    })
}

impl Database {
    fn answers_where(&self, rest: &str, values: &[&dyn ToSql]) -> Result<Vec<Answer>, StoreError> {
        let sql = format!("SELECT {ANSWER} FROM answers WHERE {rest}");
        self.run("read answers", |conn| {
            conn.prepare_cached(&sql)?.query_map(values, answer)?.collect()
        })
    }

    fn silences_where(
        &self,
        rest: &str,
        values: &[&dyn ToSql],
    ) -> Result<Vec<Silence>, StoreError> {
        let sql = format!("SELECT {SILENCE} FROM silences WHERE {rest}");
        self.run("read silences", |conn| {
            conn.prepare_cached(&sql)?.query_map(values, silence)?.collect()
        })
    }

    fn hush(&self, incident: &str, now: Timestamp) -> Result<Option<Hush>, StoreError> {
        let rest = "incident = ?1 AND holds = 1 ORDER BY number DESC LIMIT 1";
        let last = self.answers_where(rest, &[&incident])?.pop();
        let hush = last.map(|answer| Hush { until: answer.until });
        Ok(hush.filter(|hush| hush.until.is_none_or(|until| now < until)))
    }
}

impl Store {
    /// Silences that hold at `now`.
    pub fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, StoreError> {
        let mut all = self.db.silences_where("until > ?1 ORDER BY number", &[&now])?;
        all.retain(|silence| silence.holds(now));
        Ok(all)
    }

    /// Whether an answer keeps people from being told of `incident` at `now`.
    pub fn hush(&self, incident: &str, now: Timestamp) -> Result<Option<Hush>, StoreError> {
        self.db.hush(incident, now)
    }

    /// Why nobody was told of the alert `id` when it was stored last.
    pub fn muted_by(&self, id: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT body FROM alerts WHERE id = ?1 ORDER BY number DESC LIMIT 1";
        self.db.run("read alerts", |conn| {
            let body: Option<String> =
                conn.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
            let alert: Option<Alert> = body.and_then(|body| serde_json::from_str(&body).ok());
            Ok(alert.and_then(|alert| alert.muted_by))
        })
    }
}

impl StoreReader {
    /// Makes sure that what is said next survives a power cut: there is nobody to say it again.
    fn write_durably<T>(
        &self,
        action: &'static str,
        statements: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let set = |level: &str| {
            let sql = format!("PRAGMA synchronous = {level}");
            self.db.run("set up the connection", |conn| conn.execute_batch(&sql))
        };
        set("FULL")?;
        let written = self.db.write(action, statements);
        set("NORMAL")?;
        written
    }

    /// Stores an answer and returns its number.
    ///
    /// Where it is one after which people are told no more, messages of the incident that wait for
    /// `channels` are given up, and `reminders` wait in their place until they are due.
    pub fn add_answer(
        &self,
        said: &Answer,
        channels: &[String],
        reminders: &[NewMessage],
    ) -> Result<i64, StoreError> {
        self.write_durably("store an answer", |conn| {
            conn.prepare_cached(
                "INSERT INTO answers (at, reply, incident, alert, until, holds, uid, login, note)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                said.at,
                said.reply.name(),
                said.incident,
                said.alert,
                said.until,
                said.hushes(),
                said.uid,
                said.login,
                said.note,
            ])?;
            let number = conn.last_insert_rowid();
            if said.hushes() {
                let why = format!("answered: {} by {}", said.reply.name(), said.by());
                for channel in channels {
                    outbox::give_up(conn, channel, &said.incident, &why, said.at)?;
                }
                let numbered: Vec<NewMessage> = reminders
                    .iter()
                    .map(|message| NewMessage {
                        alert_id: said.incident.clone(),
                        transition: format!("{REMINDER}{number}"),
                        ..message.clone()
                    })
                    .collect();
                outbox::insert(conn, &numbered, said.at)?;
            }
            Ok(number)
        })
    }

    /// What was said to `incident` and its alerts, oldest first.
    pub fn answers_to(&self, incident: &str) -> Result<Vec<Answer>, StoreError> {
        self.db.answers_where("incident = ?1 ORDER BY number", &[&incident])
    }

    /// Answers after `number` in their order, at most `limit`.
    pub fn answers_after(&self, number: i64, limit: usize) -> Result<Vec<Answer>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db.answers_where("number > ?1 ORDER BY number LIMIT ?2", &[&number, &limit])
    }

    /// Whether an answer keeps people from being told of `incident` at `now`.
    pub fn hush(&self, incident: &str, now: Timestamp) -> Result<Option<Hush>, StoreError> {
        self.db.hush(incident, now)
    }

    /// Stores a silence and returns its number; nothing when there are too many already.
    pub fn add_silence(&self, silence: &Silence) -> Result<Option<i64>, StoreError> {
        let scope = serde_json::to_string(&silence.scope).expect("a scope is JSON");
        self.write_durably("store a silence", |conn| {
            let sql = "SELECT count(*) FROM silences WHERE until > ?1 AND ended IS NULL";
            let held = conn.prepare_cached(sql)?.query_row([silence.at], |row| unsigned(row, 0))?;
            if SILENCES_MAX <= held {
                return Ok(None);
            }
            conn.prepare_cached(
                "INSERT INTO silences (at, until, uid, login, reason, scope)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                silence.at,
                silence.until,
                silence.uid,
                silence.login,
                silence.reason,
                scope
            ])?;
            Ok(Some(conn.last_insert_rowid()))
        })
    }

    /// Ends a silence; false where there is none of this number that holds.
    pub fn end_silence(&self, number: i64, now: Timestamp) -> Result<bool, StoreError> {
        self.write_durably("end a silence", |conn| {
            let sql = "UPDATE silences SET ended = ?2
                       WHERE number = ?1 AND ended IS NULL AND until > ?2";
            Ok(conn.prepare_cached(sql)?.execute(params![number, now])? == 1)
        })
    }

    /// The newest `limit` silences, oldest first.
    pub fn silences(&self, limit: usize) -> Result<Vec<Silence>, StoreError> {
        let limit = signed(limit as u64);
        let rest = "1 ORDER BY number DESC LIMIT ?1";
        let mut all = self.db.silences_where(rest, &[&limit])?;
        all.reverse();
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Commit;
    use super::super::fixture::{Bench, NOW, alert, message, open_plainly};
    use super::*;
    use crate::engine::detect::{AlertState, Part, Severity};
    use crate::units::Period;

    const HOUR: Period = Period::from_secs(3600);

    fn said(reply: Reply, until: Option<Timestamp>) -> Answer {
        Answer {
            at: NOW,
            reply,
            incident: "a".into(),
            alert: "a".into(),
            until,
            uid: 1000,
            login: "admin".into(),
            note: "pen test".into(),
            ..Answer::default()
        }
    }

    /// A transition of the incident `a`.
    fn news(id: &str, step: Step) -> Alert {
        let part = Part {
            incident: "a".into(),
            step,
            severity: Severity::High,
            before: None,
            alerts: 1,
            opened: NOW,
            titles: Vec::new(),
            repeats: 0,
        };
        let state = if step == Step::Closed { AlertState::Resolved } else { AlertState::Firing };
        Alert { part: Some(part), ..alert(id, state, Severity::High, NOW) }
    }

    fn commit(bench: &mut Bench, alerts: &[Alert], outbox: &[NewMessage]) {
        bench.store.commit(&Commit { alerts, outbox, ..Commit::default() }, NOW).expect("commit");
    }

    #[test]
    fn an_answer_comes_back_and_holds_until_it_gets_worse() {
        let mut bench = Bench::new();
        let number = bench.reader.add_answer(&said(Reply::Ack, None), &[], &[]).expect("stored");
        let expected = Answer { number, ..said(Reply::Ack, None) };
        assert_eq!(vec![expected.clone()], bench.reader.answers_to("a").expect("read"));
        assert_eq!(vec![expected], bench.reader.answers_after(0, 9).expect("read"));
        assert!(bench.reader.answers_after(number, 9).expect("read").is_empty());

        commit(&mut bench, &[news("b", Step::Joined)], &[]);
        assert_eq!(Some(Hush { until: None }), bench.store.hush("a", NOW).expect("read"));
        assert_eq!(None, bench.store.hush("b", NOW).expect("read"));
        commit(&mut bench, &[news("c", Step::Worsened)], &[]);
        assert_eq!(None, bench.store.hush("a", NOW).expect("read"));
        assert_eq!(1, bench.reader.answers_to("a").expect("read").len(), "it stays on record");
    }

    #[test]
    fn a_snooze_ends_by_itself_and_an_ack_after_it_does_not() {
        let bench = Bench::new();
        let until = Some(NOW.plus(HOUR));
        bench.reader.add_answer(&said(Reply::Snooze, until), &[], &[]).expect("stored");
        assert_eq!(Some(Hush { until }), bench.reader.hush("a", NOW).expect("read"));
        assert_eq!(None, bench.reader.hush("a", NOW.plus(HOUR)).expect("read"));
        bench.reader.add_answer(&said(Reply::Ack, None), &[], &[]).expect("stored");
        let hush = bench.reader.hush("a", NOW.plus(HOUR)).expect("read");
        assert_eq!(Some(Hush { until: None }), hush);
    }

    /// What waits for `mail`: whose, and which transition.
    fn waiting(bench: &Bench) -> Vec<(String, String)> {
        let all = bench.reader.outbox_waiting("mail", 9).expect("read");
        all.into_iter().map(|one| (one.alert_id, one.transition)).collect()
    }

    #[test]
    fn what_waits_goes_and_a_reminder_comes_in_its_place_until_there_is_news() {
        let mut bench = Bench::new();
        let body = |alert: &Alert| serde_json::to_string(alert).expect("JSON");
        let opened = news("a", Step::Opened);
        let own = NewMessage { body: body(&opened), ..message("a", NOW) };
        let pager = NewMessage { channel: "pager".into(), ..own.clone() };
        // One that is damaged is in nobody's way.
        let other = NewMessage { body: "{".into(), ..message("z", NOW) };
        commit(&mut bench, std::slice::from_ref(&opened), &[own.clone(), pager, other]);
        let until = NOW.plus(HOUR);
        let reminder = NewMessage { due: until, ..own };
        let snooze = said(Reply::Snooze, Some(until));
        bench.reader.add_answer(&snooze, &["mail".into()], &[reminder]).expect("stored");
        let pair = |id: &str, transition: &str| (id.to_owned(), transition.to_owned());
        assert_eq!(vec![pair("z", "firing"), pair("a", "snoozed-1")], waiting(&bench));
        assert_eq!(1, bench.reader.outbox_counts_of("pager").expect("read").waiting);
        let back = bench.reader.outbox_due("mail", until, 9).expect("read").pop();
        let back = back.expect("it is due then");
        assert_eq!((until, body(&opened)), (back.created, back.body), "no older than its time");

        commit(&mut bench, &[news("b", Step::Joined)], &[]);
        assert_eq!(2, waiting(&bench).len());
        let over = news("a", Step::Closed);
        let end = NewMessage {
            transition: "resolved".into(),
            due: until,
            body: body(&over),
            ..message("a", NOW)
        };
        commit(&mut bench, &[over], &[end]);
        assert_eq!(vec![pair("z", "firing"), pair("a", "resolved")], waiting(&bench));
        commit(&mut bench, &[news("c", Step::Worsened)], &[]);
        assert_eq!(vec![pair("z", "firing")], waiting(&bench), "what is worse waits for nothing");
    }

    #[test]
    fn a_verdict_on_one_alert_leaves_messages_alone() {
        let mut bench = Bench::new();
        let opened = news("a", Step::Opened);
        let body = serde_json::to_string(&opened).expect("JSON");
        commit(&mut bench, &[opened], &[NewMessage { body, ..message("a", NOW) }]);
        let wrong = Answer { alert: "b".into(), ..said(Reply::FalsePositive, None) };
        bench.reader.add_answer(&wrong, &["mail".into()], &[]).expect("stored");
        assert_eq!(1, waiting(&bench).len());
        assert_eq!(None, bench.reader.hush("a", NOW).expect("read"));
    }

    #[test]
    fn a_silence_holds_until_its_time_or_its_end_and_a_damaged_one_covers_nothing() {
        let bench = Bench::new();
        let scope = Scope { rules: vec!["http.*".into()], ..Scope::default() };
        let one = Silence {
            at: NOW,
            until: NOW.plus(HOUR),
            reason: "pen test".into(),
            scope,
            ..Silence::default()
        };
        let number = bench.reader.add_silence(&one).expect("stored").expect("there is room");
        let stored = Silence { number, ..one.clone() };
        assert_eq!(vec![stored.clone()], bench.store.silences(NOW).expect("read"));
        assert!(bench.store.silences(NOW.plus(HOUR)).expect("read").is_empty());
        assert!(!bench.reader.end_silence(number + 1, NOW).expect("no such one"));
        assert!(bench.reader.end_silence(number, NOW).expect("ended"));
        assert!(!bench.reader.end_silence(number, NOW).expect("it has ended"));
        assert!(bench.store.silences(NOW).expect("read").is_empty());
        let ended = Silence { ended: Some(NOW), ..stored };
        assert_eq!(vec![ended], bench.reader.silences(9).expect("read"));

        bench.reader.add_silence(&one).expect("stored");
        open_plainly(bench.dir.path())
            .execute_batch("UPDATE silences SET scope = '{'")
            .expect("tampered");
        let damaged = bench.store.silences(NOW).expect("read");
        assert!(damaged[0].scope.is_empty() && !damaged[0].scope.covers(&news("a", Step::Opened)));
    }

    #[test]
    fn there_is_a_limit_to_silences_and_one_that_is_over_makes_room() {
        let bench = Bench::new();
        let one = Silence { at: NOW, until: NOW.plus(HOUR), ..Silence::default() };
        let numbers: Vec<Option<i64>> =
            (0..SILENCES_MAX).map(|_| bench.reader.add_silence(&one).expect("stored")).collect();
        assert!(numbers.iter().all(Option::is_some));
        assert_eq!(None, bench.reader.add_silence(&one).expect("refused"));
        bench.reader.end_silence(1, NOW).expect("ended");
        assert!(bench.reader.add_silence(&one).expect("stored").is_some());
    }

    #[test]
    fn the_end_of_an_alert_is_muted_as_its_last_transition_was() {
        let mut bench = Bench::new();
        let muted = Alert { muted_by: Some("silence 1".into()), ..news("a", Step::Opened) };
        commit(&mut bench, &[muted, news("b", Step::Joined)], &[]);
        let by = |id| bench.store.muted_by(id).expect("read");
        assert_eq!(vec![Some("silence 1".to_owned()), None, None], vec![by("a"), by("b"), by("c")]);
    }
}
