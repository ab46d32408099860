//! The outbox: messages that wait to be sent, and which were.
//!
//! Invariant: one transition of one alert goes to one channel once. The unique key holds that
//! across replays and restarts, so a row outlives its message for as long as the alert is kept;
//! only its body goes earlier.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreReader;
use super::database::unsigned;
use super::error::StoreError;
use crate::units::Timestamp;

/// Longest error kept with a message: the answer of a mail server may be as long as it likes.
const ERROR_BYTES_MAX: usize = 1024;

/// A message to be sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewMessage {
    /// Who sends it: `mail`, or the name of a channel.
    pub channel: String,
    /// What it is about: the id of an alert, or the key of a report.
    pub alert_id: String,
    /// `firing`, `resolved` or `report`.
    pub transition: String,
    /// Not to be sent before.
    pub due: Timestamp,
    /// What the channel needs to write it, as JSON.
    pub body: String,
}

/// A message that waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Its number; the same at each attempt.
    pub id: i64,
    /// Who sends it.
    pub channel: String,
    /// What it is about.
    pub alert_id: String,
    /// `firing`, `resolved` or `report`.
    pub transition: String,
    /// When the next attempt may be made.
    pub due: Timestamp,
    /// Attempts that failed.
    pub attempts: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
    /// When it was put here.
    pub created: Timestamp,
    /// What the channel needs to write it, as JSON.
    pub body: String,
}

/// The state of the outbox, for metrics and `status`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OutboxCounts {
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that were given up.
    pub expired: u64,
    /// Why the waiting message that failed last did so.
    pub failed_last: Option<String>,
    /// When a message was sent last.
    pub last_sent: Option<Timestamp>,
    /// Why the message that was given up last was, where none was sent since.
    pub given_up_last: Option<String>,
    /// When the oldest waiting message was put here.
    pub oldest_waiting: Option<Timestamp>,
}

/// Adds messages and returns how many were new. One that is to be sent later is no older than its
/// time: it must not be given up because it waited.
pub(super) fn insert(
    conn: &Connection,
    messages: &[NewMessage],
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO outbox (channel, alert_id, transition, due, created, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (alert_id, transition, channel) DO NOTHING",
    )?;
    let mut added = 0;
    for message in messages {
        added += statement.execute(params![
            message.channel,
            message.alert_id,
            message.transition,
            message.due,
            now.max(message.due),
            message.body,
        ])?;
    }
    Ok(added)
}

/// Gives up what waits for `channel` and tells of `incident`.
pub(super) fn give_up(
    conn: &Connection,
    channel: &str,
    incident: &str,
    why: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "UPDATE outbox SET state = 'expired', ended = ?3, last_error = ?4
               WHERE state = 'waiting' AND channel = ?1
                   AND (alert_id = ?2 OR CASE WHEN json_valid(body)
                         THEN json_extract(body, '$.part.incident') END = ?2)";
    let why = head(why, ERROR_BYTES_MAX);
    conn.prepare_cached(sql)?.execute(params![channel, incident, now, why])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        id: row.get(0)?,
        channel: row.get(1)?,
        alert_id: row.get(2)?,
        transition: row.get(3)?,
        due: row.get(4)?,
        attempts: row.get(5)?,
        last_error: row.get(6)?,
        created: row.get(7)?,
        body: row.get(8)?,
    })
}

impl StoreReader {
    /// Adds a message. False when this transition was in the outbox of this channel before.
    pub fn outbox_add(&self, message: &NewMessage, now: Timestamp) -> Result<bool, StoreError> {
        let message = std::slice::from_ref(message);
        self.db.run("add a message", |conn| Ok(insert(conn, message, now)? == 1))
    }

    /// Messages of `channel` whose time has come, longest due first, at most `limit`.
    pub fn outbox_due(
        &self,
        channel: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let sql = "SELECT id, channel, alert_id, transition, due, attempts, last_error, created,
                       body
                   FROM outbox WHERE state = 'waiting' AND channel = ?1 AND due <= ?2
                   ORDER BY due, id LIMIT ?3";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db.run("read messages", |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            statement.query_map(params![channel, now, limit], read)?.collect()
        })
    }

    /// Messages of `channel` that wait, whenever they are due, in the order of their numbers.
    pub fn outbox_waiting(&self, channel: &str, limit: usize) -> Result<Vec<Message>, StoreError> {
        let sql = "SELECT id, channel, alert_id, transition, due, attempts, last_error, created,
                       body
                   FROM outbox WHERE state = 'waiting' AND channel = ?1 ORDER BY id LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db.run("read messages", |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            statement.query_map(params![channel, limit], read)?.collect()
        })
    }

    /// `channel` has sent the begin of this alert, or of one of this incident since `since`.
    pub fn outbox_has_told(
        &self,
        channel: &str,
        alert_id: &str,
        incident: Option<&str>,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let of_alert = "SELECT EXISTS (SELECT 1 FROM outbox WHERE alert_id = ?1 AND channel = ?2
                            AND state = 'sent' AND transition <> 'resolved')";
        let of_incident = "SELECT EXISTS (SELECT 1 FROM outbox AS o
                WHERE o.state <> 'waiting' AND o.state = 'sent' AND o.ended >= ?3
                    AND o.channel = ?2 AND o.transition <> 'resolved'
                    AND EXISTS (SELECT 1 FROM alerts AS a WHERE a.id = o.alert_id
                        AND json_extract(a.body, '$.part.incident') = ?1))";
        self.db.run("read messages", |conn| {
            let told = |row: &Row<'_>| row.get(0);
            let values = params![alert_id, channel];
            let told_itself: bool = conn.prepare_cached(of_alert)?.query_row(values, told)?;
            match incident {
                Some(incident) if !told_itself => conn
                    .prepare_cached(of_incident)?
                    .query_row(params![incident, channel, since], told),
                _ => Ok(told_itself),
            }
        })
    }

    /// `channel` has sent something about the alert itself, not about its end.
    pub fn outbox_has_sent(&self, channel: &str, alert_id: &str) -> Result<bool, StoreError> {
        self.outbox_has_told(channel, alert_id, None, Timestamp::default())
    }

    /// When the next message of `channel` is due.
    pub fn outbox_next_due(&self, channel: &str) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(due) FROM outbox WHERE state = 'waiting' AND channel = ?1";
        self.db.run("read messages", |conn| {
            conn.prepare_cached(sql)?.query_row([channel], |row| row.get(0))
        })
    }

    /// Marks a message as sent.
    pub fn outbox_sent(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.end_message(id, "sent", now, None)
    }

    /// Marks a message as given up, because it waited for too long.
    pub fn outbox_expired(&self, id: i64, now: Timestamp, reason: &str) -> Result<(), StoreError> {
        self.end_message(id, "expired", now, Some(head(reason, ERROR_BYTES_MAX)))
    }

    /// A message that has ended stays as it is, so a late second answer changes nothing.
    fn end_message(
        &self,
        id: i64,
        state: &str,
        now: Timestamp,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET state = ?2, ended = ?3, last_error = ?4
                   WHERE id = ?1 AND state = 'waiting'";
        self.db.run("mark a message", |conn| {
            conn.prepare_cached(sql)?.execute(params![id, state, now, error])
        })?;
        Ok(())
    }

    /// Counts a failed attempt and sets the time of the next one.
    pub fn outbox_failed(
        &self,
        id: i64,
        error: &str,
        retry_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET attempts = attempts + 1, last_error = ?2, due = ?3
                   WHERE id = ?1 AND state = 'waiting'";
        let error = head(error, ERROR_BYTES_MAX);
        self.db.run("mark a message", |conn| {
            conn.prepare_cached(sql)?.execute(params![id, error, retry_at])
        })?;
        Ok(())
    }

    /// Makes what waits after a failed attempt due at `now`: for a start, before which somebody
    /// may have mended what was wrong. What was put off for another reason stays put off.
    pub fn outbox_retry(&self, channel: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET due = ?2
                   WHERE state = 'waiting' AND channel = ?1 AND due > ?2 AND attempts > 0";
        self.db.run("mark messages", |conn| {
            conn.prepare_cached(sql)?.execute(params![channel, now])
        })?;
        Ok(())
    }

    /// Gives up what waits for channels that are not among `known`; answers how many.
    pub fn outbox_forget_strangers(
        &self,
        known: &[&str],
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let sql = "UPDATE outbox SET state = 'expired', ended = ?2,
                       last_error = 'its channel is no longer configured'
                   WHERE state = 'waiting'
                       AND channel NOT IN (SELECT value FROM json_each(?1))";
        let known = serde_json::to_string(known).expect("text is JSON");
        self.db.run("mark messages", |conn| conn.prepare_cached(sql)?.execute(params![known, now]))
    }

    /// How many messages wait, were sent, were given up, over all channels.
    pub fn outbox_counts(&self) -> Result<OutboxCounts, StoreError> {
        self.counts(None)
    }

    /// The same of one channel.
    pub fn outbox_counts_of(&self, channel: &str) -> Result<OutboxCounts, StoreError> {
        self.counts(Some(channel))
    }

    fn counts(&self, channel: Option<&str>) -> Result<OutboxCounts, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE state = 'waiting'),
                       count(*) FILTER (WHERE state = 'sent'),
                       count(*) FILTER (WHERE state = 'expired'),
                       min(created) FILTER (WHERE state = 'waiting'),
                       max(ended) FILTER (WHERE state = 'sent')
                   FROM outbox WHERE ?1 IS NULL OR channel = ?1";
        let last_error = "SELECT last_error FROM outbox
                          WHERE state = 'waiting' AND last_error IS NOT NULL
                              AND (?1 IS NULL OR channel = ?1)
                          ORDER BY due DESC LIMIT 1";
        let given_up = "SELECT CASE state WHEN 'expired' THEN last_error END FROM outbox
                        WHERE state <> 'waiting' AND (?1 IS NULL OR channel = ?1)
                        ORDER BY ended DESC, id DESC LIMIT 1";
        self.db.run("count messages", |conn| {
            let one = |sql: &str| {
                conn.prepare_cached(sql)?.query_row([channel], |row| row.get(0)).optional()
            };
            let failed_last: Option<String> = one(last_error)?.flatten();
            let given_up_last: Option<String> = one(given_up)?.flatten();
            conn.prepare_cached(sql)?.query_row([channel], |row| {
                Ok(OutboxCounts {
                    waiting: unsigned(row, 0)?,
                    sent: unsigned(row, 1)?,
                    expired: unsigned(row, 2)?,
                    failed_last,
                    oldest_waiting: row.get(3)?,
                    last_sent: row.get(4)?,
                    given_up_last,
                })
            })
        })
    }

    /// Messages that `channel` sent at `since` or later: the base of a cap per hour.
    pub fn sent_since(&self, channel: &str, since: Timestamp) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM outbox
                   WHERE state <> 'waiting' AND state = 'sent' AND ended >= ?2 AND channel = ?1";
        self.db.run("count messages", |conn| {
            conn.prepare_cached(sql)?.query_row(params![channel, since], |row| unsigned(row, 0))
        })
    }
}

/// The first bytes of `text`, cut between characters.
fn head(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::super::Commit;
    use super::super::fixture::{Bench, NOW, message};
    use super::*;

    fn due(reader: &StoreReader, now: Timestamp) -> Vec<String> {
        let due = reader.outbox_due("mail", now, 10).expect("read");
        due.into_iter().map(|message| message.alert_id).collect()
    }

    #[test]
    fn a_transition_goes_to_a_channel_once_whoever_adds_it() {
        let mut bench = Bench::new();
        assert!(bench.reader.outbox_add(&message("a1", NOW), NOW).expect("add"));
        assert!(!bench.reader.outbox_add(&message("a1", NOW), NOW).expect("add"));
        let other = NewMessage { channel: "chat".to_owned(), ..message("a1", NOW) };
        let both = [message("a1", NOW), other, message("a2", NOW), message("a2", NOW)];
        bench.store.commit(&Commit { outbox: &both, ..Commit::default() }, NOW).expect("commit");
        assert_eq!(vec!["a1", "a2"], due(&bench.reader, NOW));
        assert_eq!(3, bench.reader.outbox_counts().expect("count").waiting);
    }

    #[test]
    fn messages_are_due_in_the_order_of_their_times() {
        let bench = Bench::new();
        assert_eq!(None, bench.reader.outbox_next_due("mail").expect("read"));
        for (id, seconds) in [("late", 30), ("now", 10), ("first", 5)] {
            let message = message(id, Timestamp::from_secs(seconds));
            bench.reader.outbox_add(&message, NOW).expect("add");
        }
        assert_eq!(vec!["first", "now"], due(&bench.reader, Timestamp::from_secs(10)));
        assert_eq!(1, bench.reader.outbox_due("mail", NOW, 1).expect("read").len());
        let next = bench.reader.outbox_next_due("mail").expect("read");
        assert_eq!(Some(Timestamp::from_secs(5)), next);
        assert_eq!(None, bench.reader.outbox_next_due("chat").expect("read"));
        let waiting = bench.reader.outbox_waiting("mail", 10).expect("read");
        let ids: Vec<i64> = waiting.iter().map(|message| message.id).collect();
        assert_eq!(vec![1, 2, 3], ids, "whenever they are due");
    }

    #[test]
    fn a_failed_message_waits_and_says_why() {
        let bench = Bench::new();
        bench.reader.outbox_add(&message("a1", NOW), NOW).expect("add");
        let later = NOW.plus_ms(60_000);
        let long = "ü".repeat(ERROR_BYTES_MAX);
        bench.reader.outbox_failed(1, &long, later).expect("mark");
        bench.reader.outbox_failed(1, "the server said 421", later).expect("mark");
        assert_eq!(Vec::<String>::new(), due(&bench.reader, NOW));
        let waiting = bench.reader.outbox_due("mail", later, 10).expect("read");
        assert_eq!((2, later), (waiting[0].attempts, waiting[0].due));
        assert_eq!(Some("the server said 421".to_owned()), waiting[0].last_error);
        let counts = bench.reader.outbox_counts().expect("count");
        assert_eq!(Some("the server said 421".to_owned()), counts.failed_last);
        assert_eq!(Some(NOW), counts.oldest_waiting);

        bench.reader.outbox_failed(1, &long, later).expect("mark");
        let waiting = bench.reader.outbox_due("mail", later, 10).expect("read");
        assert_eq!(Some(ERROR_BYTES_MAX), waiting[0].last_error.as_ref().map(String::len));
    }

    #[test]
    fn a_start_tries_at_once_what_failed_and_leaves_what_was_put_off() {
        let bench = Bench::new();
        let later = NOW.plus_ms(60_000);
        bench.reader.outbox_add(&message("failed", NOW), NOW).expect("add");
        bench.reader.outbox_add(&message("put off", later), NOW).expect("add");
        bench.reader.outbox_failed(1, "the server said 421", later).expect("mark");
        bench.reader.outbox_retry("pager", NOW).expect("mark");
        assert_eq!(Vec::<String>::new(), due(&bench.reader, NOW));
        bench.reader.outbox_retry("mail", NOW).expect("mark");
        assert_eq!(vec!["failed"], due(&bench.reader, NOW));
        let waiting = bench.reader.outbox_due("mail", NOW, 10).expect("read");
        assert_eq!(1, waiting[0].attempts);
    }

    #[test]
    fn what_waits_for_a_channel_that_is_gone_is_given_up() {
        let bench = Bench::new();
        let other = NewMessage { channel: "chat".to_owned(), ..message("a1", NOW) };
        for message in [message("a1", NOW), other] {
            bench.reader.outbox_add(&message, NOW).expect("add");
        }
        let forget = |known| bench.reader.outbox_forget_strangers(known, NOW).expect("mark");
        assert_eq!(0, forget(&["mail", "chat"]));
        assert_eq!(1, forget(&["mail"]));
        assert_eq!(1, bench.reader.outbox_counts_of("mail").expect("count").waiting);
        assert_eq!(1, bench.reader.outbox_counts_of("chat").expect("count").expired);
    }

    #[test]
    fn an_ended_message_stays_ended() {
        let bench = Bench::new();
        for id in ["a1", "a2", "a3"] {
            bench.reader.outbox_add(&message(id, NOW), NOW).expect("add");
        }
        bench.reader.outbox_sent(1, NOW).expect("mark");
        bench.reader.outbox_expired(2, NOW, "no answer for a day").expect("mark");
        bench.reader.outbox_failed(1, "late", NOW).expect("mark");
        bench.reader.outbox_expired(1, NOW, "late").expect("mark");
        bench.reader.outbox_sent(2, NOW).expect("mark");
        assert_eq!(vec!["a3"], due(&bench.reader, NOW));
        let expected = OutboxCounts {
            waiting: 1,
            sent: 1,
            expired: 1,
            failed_last: None,
            oldest_waiting: Some(NOW),
            last_sent: Some(NOW),
            given_up_last: Some("no answer for a day".to_owned()),
        };
        assert_eq!(expected, bench.reader.outbox_counts().expect("count"));
        assert_eq!(expected, bench.reader.outbox_counts_of("mail").expect("count"));
        assert_eq!(OutboxCounts::default(), bench.reader.outbox_counts_of("chat").expect("none"));
        let told =
            |channel, id| bench.reader.outbox_has_told(channel, id, None, NOW).expect("read");
        assert!(told("mail", "a1") && !told("mail", "a2") && !told("chat", "a1"));
        assert_eq!(1, bench.reader.sent_since("mail", NOW).expect("count"));
        assert_eq!(0, bench.reader.sent_since("chat", NOW).expect("count"));
        assert_eq!(0, bench.reader.sent_since("mail", NOW.plus_ms(1)).expect("count"));
    }
}
