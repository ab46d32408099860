//! The tables, and how an older database becomes one of this version.
//!
//! Invariant: a migration that was released is never edited; a change is a new entry at the end.
//! `PRAGMA user_version` holds the number of entries that a database has seen, and each entry
//! moves it in the transaction that makes its change.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// Newest schema version, which is also the number of [`MIGRATIONS`].
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

const MIGRATIONS: &[&str] = &[
    // 1: the first release.
    //
    // `frames.data` comes last, because SQLite reads a row from its start: looking at the other
    // columns must not touch the pages of the lines. AUTOINCREMENT is what keeps a number from
    // being used again after its row was deleted. All times are nanoseconds since 1970.
    "
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE frames (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        source TEXT NOT NULL,
        path TEXT NOT NULL,
        site TEXT NOT NULL,
        host TEXT NOT NULL,
        generation INTEGER NOT NULL,
        fingerprint BLOB NOT NULL,
        start INTEGER NOT NULL,
        stop INTEGER NOT NULL,
        received INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        zone TEXT NOT NULL,
        format TEXT NOT NULL,
        truncated_last INTEGER NOT NULL,
        lines INTEGER NOT NULL,
        first_time INTEGER NOT NULL,
        last_time INTEGER NOT NULL,
        raw_bytes INTEGER NOT NULL,
        packed_bytes INTEGER NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE INDEX frames_by_time ON frames (last_time, received);

    CREATE TABLE generations (
        key INTEGER PRIMARY KEY,
        state TEXT NOT NULL
    ) STRICT;

    CREATE TABLE ledger (
        source TEXT PRIMARY KEY,
        frames INTEGER NOT NULL,
        lines INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE cursors (
        reader TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        required INTEGER NOT NULL,
        state TEXT NOT NULL,
        updated INTEGER NOT NULL,
        dropped_lines INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE alerts (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        state TEXT NOT NULL,
        rule TEXT NOT NULL,
        severity INTEGER NOT NULL,
        at INTEGER NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (id, state)
    ) STRICT;
    CREATE INDEX alerts_by_time ON alerts (at);

    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        channel TEXT NOT NULL,
        alert_id TEXT NOT NULL,
        transition TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'expired')),
        due INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        last_error TEXT,
        created INTEGER NOT NULL,
        ended INTEGER,
        body TEXT NOT NULL,
        UNIQUE (alert_id, transition, channel)
    ) STRICT;
    CREATE INDEX outbox_waiting ON outbox (channel, due) WHERE state = 'waiting';
    CREATE INDEX outbox_ended ON outbox (ended) WHERE state <> 'waiting';

    CREATE TABLE hours (
        hour INTEGER PRIMARY KEY,
        raw_bytes INTEGER NOT NULL,
        tally BLOB NOT NULL
    ) STRICT;
    ",
    // What the lines of a frame were read with. Behind the lines, where SQLite adds columns; it is
    // only read together with them.
    "
    ALTER TABLE frames ADD COLUMN memory TEXT NOT NULL DEFAULT '';
    ",
    // Lines of UTF-16 files. Only a reader that reads the lines too asks for the new column.
    "
    ALTER TABLE frames ADD COLUMN wide INTEGER NOT NULL DEFAULT 0;
    ",
    // What receivers refused for good.
    "
    CREATE TABLE dead_letters (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        reader TEXT NOT NULL,
        at INTEGER NOT NULL,
        event_id TEXT NOT NULL,
        reason TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX dead_letters_by_reader ON dead_letters (reader, number);
    ",
    // What tokens stand for, sealed, and who asked for it.
    "
    CREATE TABLE tokens (
        token TEXT PRIMARY KEY,
        sealed BLOB NOT NULL,
        used INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tokens_by_use ON tokens (used);

    CREATE TABLE reveals (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        login TEXT NOT NULL,
        token TEXT NOT NULL,
        outcome TEXT NOT NULL
    ) STRICT;
    ",
    // What people say to alerts. `holds` is 1 as long as nothing is told because of it.
    "
    CREATE TABLE answers (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        reply TEXT NOT NULL,
        incident TEXT NOT NULL,
        alert TEXT NOT NULL,
        until INTEGER,
        holds INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        login TEXT NOT NULL,
        note TEXT NOT NULL
    ) STRICT;
    CREATE INDEX answers_by_incident ON answers (incident, number);

    CREATE TABLE silences (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        until INTEGER NOT NULL,
        ended INTEGER,
        uid INTEGER NOT NULL,
        login TEXT NOT NULL,
        reason TEXT NOT NULL,
        scope TEXT NOT NULL
    ) STRICT;
    CREATE INDEX silences_by_end ON silences (until);
    ",
    // Who logged in from where, and when last: clients in sixteen bytes, users as hashes, days since
    // 1970.
    "
    CREATE TABLE members (
        net BLOB NOT NULL,
        user BLOB NOT NULL,
        day INTEGER NOT NULL,
        PRIMARY KEY (net, user)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX members_by_day ON members (day);
    ",
    // Who was there on which day. Days are those of the organisation's zone, as `2026-11-19`.
    "
    CREATE TABLE attendance (
        day TEXT NOT NULL,
        kind TEXT NOT NULL,
        who TEXT NOT NULL,
        evidence TEXT NOT NULL,
        count INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        hours INTEGER NOT NULL,
        site TEXT NOT NULL,
        client TEXT NOT NULL,
        event_id TEXT NOT NULL,
        PRIMARY KEY (day, kind, who, evidence)
    ) STRICT, WITHOUT ROWID;
    ",
    // What the weekly rhythm has learnt, and up to which hour since 1970. The row without a name
    // is that of the newest hour that is over, whatever has changed in it.
    "
    CREATE TABLE rhythm (
        series TEXT PRIMARY KEY,
        hour INTEGER NOT NULL,
        state BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    ",
];

/// The version of the database; 0 for an empty one.
pub(super) fn version(conn: &Connection) -> rusqlite::Result<u32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Tables and indexes are those of [`VERSION`]. A bit that flips in the name of a column is damage
/// that SQLite itself cannot see.
pub(super) fn is_intact(conn: &Connection) -> rusqlite::Result<bool> {
    // As bytes, because what is damaged need not be text.
    let described = |conn: &Connection| -> rusqlite::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let sql = "SELECT CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_schema
                   WHERE name NOT LIKE 'sqlite%' ORDER BY name";
        conn.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let new = Connection::open_in_memory()?;
    migrate(&new)?;
    Ok(described(conn)? == described(&new)?)
}

/// Brings the database to [`VERSION`].
pub(super) fn migrate(conn: &Connection) -> rusqlite::Result<()> {
    for (done, migration) in MIGRATIONS.iter().enumerate().skip(version(conn)? as usize) {
        let change = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
        change.execute_batch(migration)?;
        change.pragma_update(None, "user_version", done as u32 + 1)?;
        change.commit()?;
    }
    Ok(())
}
