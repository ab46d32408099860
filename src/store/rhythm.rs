//! What the weekly rhythm has learnt: a row for each series, replaced with the lines that it learnt
//! from.

use rusqlite::{Connection, params};

/// A series: its name, the newest hour since 1970 that it knows, and its bytes.
pub type SeriesRecord = (String, u32, Vec<u8>);

/// Series kept: more than the rhythm tells apart.
const SERIES_MAX: i64 = 1024;

pub(super) fn replace(conn: &Connection, series: &[SeriesRecord]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO rhythm (series, hour, state) VALUES (?1, ?2, ?3)
         ON CONFLICT (series) DO UPDATE SET hour = excluded.hour, state = excluded.state",
    )?;
    for (name, hour, state) in series {
        statement.execute(params![name, hour, state])?;
    }
    Ok(())
}

/// All of them, by name.
pub(super) fn all(conn: &Connection) -> rusqlite::Result<Vec<SeriesRecord>> {
    let sql = "SELECT series, hour, state FROM rhythm ORDER BY series LIMIT ?1";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    conn.prepare_cached(sql)?.query_map([SERIES_MAX], row)?.collect()
}
