//! What of people the store holds: how much of each kind, and since when.

use rusqlite::Connection;

use super::StoreReader;
use super::database::unsigned;
use super::error::StoreError;
use crate::units::Timestamp;

/// Things of one kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// How many.
    pub count: u64,
    /// When the oldest of them came.
    pub oldest: Option<Timestamp>,
}

/// What the store holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Inventory {
    /// Raw lines, counted in frames.
    pub frames: Held,
    /// Lines in them.
    pub lines: u64,
    /// Transitions of alerts.
    pub alerts: Held,
    /// Hours of counts.
    pub hours: Held,
    /// Who was there on which day, by person and evidence.
    pub attendance: Held,
    /// Messages that wait, and those whose text is still there.
    pub messages: Held,
    /// What receivers refused for good.
    pub dead_letters: Held,
    /// Tokens that can be revealed.
    pub tokens: Held,
    /// Questions about tokens.
    pub reveals: Held,
    /// What people said to alerts.
    pub answers: Held,
    /// Silences.
    pub silences: Held,
    /// Who logged in from where.
    pub members: Held,
}

impl StoreReader {
    /// Counts what the store holds.
    pub fn inventory(&self) -> Result<Inventory, StoreError> {
        self.db.run("count what is stored", |conn| {
            let lines = "SELECT coalesce(sum(lines), 0) FROM frames";
            Ok(Inventory {
                frames: held(conn, "frames", "received", "1")?,
                lines: conn.query_row(lines, [], |row| unsigned(row, 0))?,
                alerts: held(conn, "alerts", "at", "1")?,
                hours: held(conn, "hours", "hour * 3600000000000", "1")?,
                attendance: held(conn, "attendance", "first", "1")?,
                messages: held(conn, "outbox", "created", "body <> ''")?,
                dead_letters: held(conn, "dead_letters", "at", "1")?,
                tokens: held(conn, "tokens", "used", "1")?,
                reveals: held(conn, "reveals", "at", "1")?,
                answers: held(conn, "answers", "at", "1")?,
                silences: held(conn, "silences", "at", "1")?,
                members: held(conn, "members", "day * 86400000000000", "1")?,
            })
        })
    }
}

fn held(conn: &Connection, table: &str, time: &str, which: &str) -> rusqlite::Result<Held> {
    let sql = format!("SELECT count(*), min({time}) FROM {table} WHERE {which}");
    conn.query_row(&sql, [], |row| Ok(Held { count: unsigned(row, 0)?, oldest: row.get(1)? }))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Bench, NOW, alert, frame, message, sighting};
    use super::super::{Commit, DeadLetter, Seq};
    use super::*;
    use crate::engine::detect::{AlertState, Severity};

    #[test]
    fn each_kind_is_counted() {
        let mut bench = Bench::new();
        assert_eq!(Inventory::default(), bench.reader.inventory().expect("counted"));

        let frames = [frame("a\nb\n"), frame("c\n")];
        let alerts = [alert("one", AlertState::Firing, Severity::High, NOW)];
        let hours = [(NOW.hour(), "{}".to_owned())];
        let outbox = [message("one", NOW)];
        let commit = Commit {
            frames: &frames,
            alerts: &alerts,
            hours: &hours,
            outbox: &outbox,
            sightings: &[sighting("a")],
            ..Commit::default()
        };
        bench.store.commit(&commit, NOW).expect("commit");
        let letters = [DeadLetter::default()];
        bench.reader.save_delivery("sink:a", Seq(1), "", &letters, NOW).expect("stored");
        let found = bench.reader.inventory().expect("counted");
        let one = Held { count: 1, oldest: Some(NOW) };
        assert_eq!(2, found.frames.count);
        assert_eq!(frames.iter().map(|frame| frame.lines).sum::<u64>(), found.lines);
        assert_eq!((one, one, one), (found.alerts, found.messages, found.dead_letters));
        assert_eq!(one, found.attendance);
        assert_eq!(1, found.hours.count);
        assert!(found.hours.oldest.is_some_and(|oldest| oldest <= NOW));
    }
}
