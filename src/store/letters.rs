//! Dead letters: events that a receiver refused for good, kept for people to look at.
//!
//! They are stored in the transaction that moves the reader's cursor past them, so none is lost
//! and none is there twice. Of each reader the newest [`LETTERS_MAX`] stay.

use rusqlite::{Connection, params};

use super::StoreReader;
use super::database::{signed, unsigned};
use super::error::StoreError;
use super::frame::Seq;
use crate::units::Timestamp;

/// How many dead letters of one reader are kept.
pub(super) const LETTERS_MAX: u64 = 10_000;

/// Bytes of all bodies of one reader.
pub(super) const READER_BYTES_MAX: u64 = 16 << 20;

/// Bytes of a letter's body that are kept.
pub(super) const LETTER_BYTES_MAX: usize = 64 << 10;

/// An event that a receiver refused for good, or that none could have taken.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DeadLetter {
    /// Its number; newer ones have higher numbers. Given by the store.
    pub number: u64,
    /// The reader whose receiver refused it. Given by the store.
    pub reader: String,
    /// When it was refused. Given by the store.
    pub at: Timestamp,
    /// Its `event.id`.
    pub event_id: String,
    /// Why, in words: the receiver's, where it gave some.
    pub reason: String,
    /// What was to be sent, or the raw line where nothing could be made of it.
    pub body: Vec<u8>,
}

/// Stores the letters of one turn and forgets the oldest beyond the limit.
fn insert(
    conn: &Connection,
    reader: &str,
    letters: &[DeadLetter],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO dead_letters (reader, at, event_id, reason, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for letter in letters {
        let body = &letter.body[..letter.body.len().min(LETTER_BYTES_MAX)];
        statement.execute(params![reader, now, letter.event_id, letter.reason, body])?;
    }
    conn.prepare_cached(
        "DELETE FROM dead_letters WHERE reader = ?1 AND number <= (
             SELECT max(number) FROM (
                 SELECT number, row_number() OVER newest AS place,
                     sum(length(body)) OVER newest AS bytes
                 FROM dead_letters WHERE reader = ?1 WINDOW newest AS (ORDER BY number DESC))
             WHERE ?2 < place OR ?3 < bytes)",
    )?
    .execute(params![reader, signed(LETTERS_MAX), signed(READER_BYTES_MAX)])?;
    Ok(())
}

impl StoreReader {
    /// Moves the cursor of `reader` and stores what its receiver refused on the way, both or
    /// nothing.
    pub fn save_delivery(
        &self,
        reader: &str,
        seq: Seq,
        state: &str,
        letters: &[DeadLetter],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if letters.is_empty() {
            return self.save_cursor(reader, seq, state, now);
        }
        self.db.run("store dead letters", |conn| {
            let transaction = conn.unchecked_transaction()?;
            insert(&transaction, reader, letters, now)?;
            super::reader::write_cursor(&transaction, reader, seq, state, now)?;
            transaction.commit()
        })
    }

    /// Dead letters after `number` (0 for all), oldest first, at most `limit`; of one reader, if
    /// it is named.
    pub fn dead_letters(
        &self,
        reader: Option<&str>,
        number: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.db.run("read dead letters", |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT number, reader, at, event_id, reason, body FROM dead_letters
                 WHERE number > ?1 AND (?2 IS NULL OR reader = ?2) ORDER BY number LIMIT ?3",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![signed(number), reader, limit], |row| {
                Ok(DeadLetter {
                    number: unsigned(row, 0)?,
                    reader: row.get(1)?,
                    at: row.get(2)?,
                    event_id: row.get(3)?,
                    reason: row.get(4)?,
                    body: row.get(5)?,
                })
            })?;
            rows.collect()
        })
    }

    /// How many dead letters there are of each reader.
    pub fn dead_letter_counts(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.db.run("count dead letters", |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT reader, count(*) FROM dead_letters GROUP BY reader ORDER BY reader",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, unsigned(row, 1)?)))?;
            rows.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Bench, NOW};
    use super::*;

    fn letters(range: std::ops::Range<u64>) -> Vec<DeadLetter> {
        range
            .map(|number| DeadLetter {
                event_id: format!("id {number}"),
                reason: "400 mapper_parsing_exception".to_owned(),
                body: vec![0xff, b'\n'],
                ..DeadLetter::default()
            })
            .collect()
    }

    #[test]
    fn letters_come_with_the_cursor_and_the_oldest_go() {
        let bench = Bench::new();
        let reader = &bench.reader;
        reader.save_delivery("sink:a", Seq(3), "s", &letters(0..2), NOW).expect("stored");
        reader.save_delivery("sink:b", Seq(4), "", &letters(2..3), NOW).expect("stored");
        reader.save_delivery("sink:b", Seq(5), "", &[], NOW).expect("stored");
        assert_eq!(Some(Seq(3)), reader.cursor("sink:a").expect("read").map(|c| c.seq));
        assert_eq!(Some(Seq(5)), reader.cursor("sink:b").expect("read").map(|c| c.seq));
        let all = reader.dead_letters(None, 0, 9).expect("read");
        assert_eq!(["id 0", "id 1", "id 2"], *all.iter().map(|l| &*l.event_id).collect::<Vec<_>>());
        assert_eq!((NOW, &[0xff, b'\n'][..]), (all[0].at, &*all[0].body));
        let of_b = reader.dead_letters(Some("sink:b"), 0, 9).expect("read");
        assert_eq!(1, of_b.len());
        assert_eq!(1, reader.dead_letters(None, 1, 1).expect("read").len());

        reader.save_delivery("sink:a", Seq(6), "", &letters(3..LETTERS_MAX + 4), NOW).expect("it");
        let counts = || reader.dead_letter_counts().expect("read");
        assert_eq!(vec![("sink:a".to_owned(), LETTERS_MAX), ("sink:b".to_owned(), 1)], counts());

        let large = DeadLetter { body: vec![b'x'; 2 * LETTER_BYTES_MAX], ..DeadLetter::default() };
        let large = vec![large; 300];
        reader.save_delivery("sink:a", Seq(7), "", &large, NOW).expect("stored");
        let left = READER_BYTES_MAX / LETTER_BYTES_MAX as u64;
        assert_eq!(vec![("sink:a".to_owned(), left), ("sink:b".to_owned(), 1)], counts());
    }
}
