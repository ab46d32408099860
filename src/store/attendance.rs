//! Who was there on which day: [`Sighting`]s, added up over commits.
//!
//! Rows are bounded: people of the roster are as many as the roster has; of others and of unnamed
//! clients a day holds [`OTHERS_PER_DAY`], and the rest share a row without a name.
//!
//! Invariant: a commit adds its sightings in the transaction that stores its lines and positions,
//! so a line is counted once, whenever the process dies.

use std::collections::{BTreeSet, HashMap};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::StoreReader;
use super::database::{signed, unsigned};
use super::error::StoreError;
use crate::engine::attendance::{Evidence, Person, Sighting};
use crate::units::Timestamp;

/// Rows of a day about people who are not on the roster, and as many about unnamed clients.
const OTHERS_PER_DAY: u64 = 2000;

/// Rows of all days; beyond them the oldest days go.
const ROWS_MAX: u64 = 500_000;

/// Adds up what a commit has seen.
pub(super) fn insert(conn: &Connection, sightings: &[Sighting]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO attendance (day, kind, who, evidence, count, first, last, hours, site, client,
             event_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (day, kind, who, evidence) DO UPDATE SET
             site = iif((excluded.first, excluded.event_id) < (first, event_id), excluded.site, site),
             client = iif((excluded.first, excluded.event_id) < (first, event_id),
                 excluded.client, client),
             event_id = iif((excluded.first, excluded.event_id) < (first, event_id),
                 excluded.event_id, event_id),
             first = min(first, excluded.first), last = max(last, excluded.last),
             hours = hours | excluded.hours, count = count + excluded.count",
    )?;
    let mut room = Room::default();
    for seen in sightings {
        let (kind, who) = seen.person.parts();
        let day = seen.day.to_string();
        let is_listed = kind == "member" || room.has_some(conn, &day, kind, who, seen.evidence)?;
        statement.execute(params![
            day,
            kind,
            if is_listed { who } else { "" },
            seen.evidence.name(),
            signed(seen.count),
            seen.first,
            seen.last,
            seen.hours,
            seen.site,
            seen.client,
            seen.event_id,
        ])?;
    }
    Ok(())
}

/// How many rows about others the days have.
#[derive(Debug, Default)]
struct Room {
    rows: HashMap<(String, String), u64>,
}

impl Room {
    /// There is a row about `who`, or room for one.
    fn has_some(
        &mut self,
        conn: &Connection,
        day: &str,
        kind: &str,
        who: &str,
        evidence: Evidence,
    ) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM attendance
                   WHERE day = ?1 AND kind = ?2 AND who = ?3 AND evidence = ?4";
        let row = params![day, kind, who, evidence.name()];
        if conn.prepare_cached(sql)?.exists(row)? {
            return Ok(true);
        }
        let key = (day.to_owned(), kind.to_owned());
        let rows = match self.rows.get(&key) {
            Some(rows) => *rows,
            None => conn
                .prepare_cached("SELECT count(*) FROM attendance WHERE day = ?1 AND kind = ?2")?
                .query_row([day, kind], |row| unsigned(row, 0))?,
        };
        let has_room = rows < OTHERS_PER_DAY;
        self.rows.insert(key, rows + u64::from(has_room));
        Ok(has_room)
    }
}

/// Deletes the days before that of `old`, and the oldest ones beyond [`ROWS_MAX`].
pub(super) fn trim(conn: &Connection, old: Timestamp) -> rusqlite::Result<()> {
    let seconds = i64::try_from(old.secs()).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    trim_to(conn, TimeZone::UTC.to_datetime(moment).date(), ROWS_MAX)
}

fn trim_to(conn: &Connection, first: Date, rows_max: u64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM attendance WHERE day < ?1")?.execute([first.to_string()])?;
    let last: Option<String> = conn
        .prepare_cached("SELECT day FROM attendance ORDER BY day DESC LIMIT 1 OFFSET ?1")?
        .query_row([signed(rows_max)], |row| row.get(0))
        .optional()?;
    if let Some(last) = last {
        conn.prepare_cached("DELETE FROM attendance WHERE day <= ?1")?.execute([last])?;
    }
    Ok(())
}

/// The sighting in a row; nothing, and a warning, where it is damaged.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<Sighting>> {
    let (day, kind): (String, String) = (row.get(0)?, row.get(1)?);
    let evidence: String = row.get(3)?;
    let parts = (day.parse().ok(), Person::from_parts(&kind, row.get(2)?));
    let (Some(date), Some(person), Some(evidence)) =
        (parts.0, parts.1, Evidence::from_name(&evidence))
    else {
        tracing::warn!(day, kind, "a row about who was there is damaged and left out");
        return Ok(None);
    };
    Ok(Some(Sighting {
        day: date,
        person,
        evidence,
        count: unsigned(row, 4)?,
        first: row.get(5)?,
        last: row.get(6)?,
        hours: row.get(7)?,
        site: row.get(8)?,
        client: row.get(9)?,
        event_id: row.get(10)?,
    }))
}

impl StoreReader {
    /// What was seen on the days `from ..= to`, in the order of days, people and evidence.
    pub fn sightings(&self, from: Date, to: Date) -> Result<Vec<Sighting>, StoreError> {
        let sql =
            "SELECT day, kind, who, evidence, count, first, last, hours, site, client, event_id
                   FROM attendance WHERE day BETWEEN ?1 AND ?2 ORDER BY day, kind, who, evidence";
        self.db.run("read who was there", |conn| {
            let mut statement = conn.prepare_cached(sql)?;
            let rows = statement.query_map([from.to_string(), to.to_string()], read)?;
            rows.filter_map(Result::transpose).collect()
        })
    }

    /// People of the roster who were there before `day`, by evidence A or B.
    pub fn members_before(&self, day: Date) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT DISTINCT who FROM attendance
                   WHERE day < ?1 AND kind = 'member' AND evidence IN ('A', 'B')";
        self.db.run("read who was there before", |conn| {
            conn.prepare_cached(sql)?.query_map([day.to_string()], |row| row.get(0))?.collect()
        })
    }

    /// The first moment at which somebody was seen.
    pub fn first_sighting(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(first) FROM attendance
                   WHERE day = (SELECT min(day) FROM attendance)";
        self.db.run("read who was there first", |conn| {
            conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Commit;
    use super::super::fixture::{Bench, NOW, sighting};
    use super::*;
    use crate::engine::batch::Grade;
    use crate::units::Period;

    fn seen(day: &str, person: Person, evidence: Evidence, secs: u64) -> Sighting {
        let first = NOW.plus(Period::from_secs(secs));
        Sighting {
            day: day.parse().expect("a day"),
            person,
            evidence,
            first,
            last: first.plus(Period::from_secs(60)),
            hours: 1 << (secs / 3600),
            site: format!("site{secs}"),
            event_id: format!("{secs:026}"),
            ..sighting("")
        }
    }

    fn member(name: &str) -> Person {
        Person::Member(name.to_owned())
    }

    const DAY: &str = "2026-11-20";
    const A: Evidence = Evidence::Graded(Grade::A);

    fn commit(bench: &mut Bench, sightings: &[Sighting]) {
        let commit = Commit { sightings, ..Commit::default() };
        bench.store.commit(&commit, NOW).expect("commit");
    }

    fn all(bench: &Bench) -> Vec<Sighting> {
        let days = ["2000-01-01", "2100-01-01"].map(|day| day.parse().expect("a day"));
        bench.reader.sightings(days[0], days[1]).expect("read")
    }

    #[test]
    fn sightings_come_back_as_they_were_and_add_up_over_commits() {
        let mut bench = Bench::new();
        let (late, early) = (seen(DAY, member("a"), A, 7200), seen(DAY, member("a"), A, 60));
        let failed = seen(DAY, member("a"), Evidence::Failure, 30);
        commit(&mut bench, &[late.clone(), failed.clone()]);
        assert_eq!(vec![late.clone(), failed.clone()], all(&bench));
        commit(&mut bench, std::slice::from_ref(&early));
        let mut sum = late;
        sum.add(early);
        assert_eq!(("site60", 4, 0b101), (sum.site.as_str(), sum.count, sum.hours));
        assert_eq!(vec![sum, failed], all(&bench));
    }

    #[test]
    fn a_flood_of_names_shares_a_row_and_members_do_not() {
        let mut bench = Bench::new();
        let names = |kind: fn(String) -> Person, count: u64| -> Vec<Sighting> {
            let one = |n| seen(DAY, kind(format!("n{n:05}")), Evidence::Failure, 0);
            (0..count).map(one).collect()
        };
        commit(&mut bench, &names(Person::Stranger, OTHERS_PER_DAY - 10));
        commit(&mut bench, &names(Person::Stranger, OTHERS_PER_DAY + 50));
        commit(&mut bench, &names(Person::Unnamed, 5));
        commit(&mut bench, &names(Person::Member, OTHERS_PER_DAY + 5));
        let rows = all(&bench);
        let of = |kind: &str| rows.iter().filter(|row| row.person.parts().0 == kind).count() as u64;
        assert_eq!(OTHERS_PER_DAY + 1, of("stranger"));
        assert_eq!((5, OTHERS_PER_DAY + 5), (of("unnamed"), of("member")));
        let rest = rows.iter().find(|row| row.person == Person::Stranger(String::new()));
        assert_eq!(Some(100), rest.map(|row| row.count));
    }

    #[test]
    fn old_days_go_and_so_do_those_beyond_the_limit() {
        let mut bench = Bench::new();
        let days = ["2026-11-01", "2026-11-02", "2026-11-03"];
        let rows: Vec<Sighting> = days.iter().map(|day| seen(day, member("a"), A, 0)).collect();
        commit(&mut bench, &rows);
        assert!(
            bench.reader.members_before(days[0].parse().expect("a day")).expect("read").is_empty()
        );
        assert_eq!(
            1,
            bench.reader.members_before(days[1].parse().expect("a day")).expect("read").len()
        );
        assert_eq!(Some(NOW), bench.reader.first_sighting().expect("read"));
        let conn = bench.tamper();
        trim_to(&conn, days[1].parse().expect("a day"), 9).expect("trimmed");
        assert_eq!(rows[1..], all(&bench));
        trim_to(&conn, days[1].parse().expect("a day"), 1).expect("trimmed");
        assert_eq!(rows[2..], all(&bench));
    }
}
