//! Who logged in from where, as hashes, for ninety days.
//!
//! Written in the commit that stores the lines that tell it. Bounded in number and in time, the oldest
//! go first; beyond its limit a number of users is a lower bound.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::Store;
use super::database::{signed, unsigned};
use super::error::StoreError;
use crate::engine::members::{Member, NetKey, UserHash, day_of};
use crate::units::{Period, Timestamp};

/// How long a log-in is remembered.
const REMEMBERED: Period = Period::from_secs(90 * 86_400);

/// Pairs of client and user that are remembered.
const MEMBERS_MAX: u64 = 200_000;

/// Users told apart by one question.
const COUNTED_MAX: i64 = 10_000;

pub(super) fn insert(conn: &Connection, members: &[Member]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO members (net, user, day) VALUES (?1, ?2, ?3)
         ON CONFLICT (net, user) DO UPDATE SET day = max(day, excluded.day)",
    )?;
    for Member { net, user, day } in members {
        statement.execute(params![net, user, day])?;
    }
    Ok(())
}

/// Forgets what is too old, and the oldest beyond the limit.
pub(super) fn forget(conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM members WHERE day < ?1")?
        .execute([day_of(now.minus(REMEMBERED))])?;
    let count = conn
        .prepare_cached("SELECT count(*) FROM members")?
        .query_row([], |row| unsigned(row, 0))?;
    if let Some(surplus) = count.checked_sub(MEMBERS_MAX).filter(|surplus| 0 < *surplus) {
        conn.prepare_cached(
            "DELETE FROM members WHERE (net, user) IN
                 (SELECT net, user FROM members ORDER BY day LIMIT ?1)",
        )?
        .execute([signed(surplus)])?;
    }
    Ok(())
}

impl Store {
    /// Users who logged in from the addresses `first ..= last` within ninety days.
    pub fn members(
        &self,
        first: NetKey,
        last: NetKey,
        now: Timestamp,
    ) -> Result<BTreeSet<UserHash>, StoreError> {
        let sql = "SELECT DISTINCT user FROM members
                   WHERE net BETWEEN ?1 AND ?2 AND day >= ?3 LIMIT ?4";
        self.db.run("read who logged in", |conn| {
            let values = params![first, last, day_of(now.minus(REMEMBERED)), COUNTED_MAX];
            conn.prepare_cached(sql)?.query_map(values, |row| row.get(0))?.collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Commit;
    use super::super::fixture::{Bench, NOW};
    use super::*;
    use crate::engine::members::octets;

    fn key(address: &str) -> NetKey {
        octets(address.parse().expect("an address"))
    }

    fn member(address: &str, user: u8, days_ago: u64) -> Member {
        let day = day_of(NOW.minus(Period::from_secs(86_400 * days_ago)));
        Member { net: key(address), user: [user; 8], day }
    }

    #[test]
    fn users_are_counted_by_network_and_for_ninety_days() {
        let mut bench = Bench::new();
        let members = [
            member("203.0.113.7", 1, 0),
            member("203.0.113.7", 2, 90),
            member("203.0.113.7", 3, 91),
            member("203.0.113.8", 1, 1),
            member("203.0.114.0", 4, 1),
        ];
        let commit = Commit { members: &members, ..Commit::default() };
        bench.store.commit(&commit, NOW).expect("commit");
        // An older day that comes late changes nothing.
        let late = [member("203.0.113.7", 1, 80)];
        bench.store.commit(&Commit { members: &late, ..Commit::default() }, NOW).expect("commit");
        let count = |first: &str, last: &str, now: Timestamp| {
            bench.store.members(key(first), key(last), now).expect("read").len()
        };
        assert_eq!(2, count("203.0.113.7", "203.0.113.7", NOW));
        assert_eq!(2, count("203.0.113.0", "203.0.113.255", NOW), "one of them from two places");
        assert_eq!(0, count("198.51.100.1", "198.51.100.1", NOW));
        let later = NOW.plus(Period::from_secs(86_400 * 20));
        assert_eq!(1, count("203.0.113.7", "203.0.113.7", later));
    }

    #[test]
    fn what_is_old_goes() {
        let mut bench = Bench::new();
        let members = [member("203.0.113.7", 1, 0), member("203.0.113.7", 3, 91)];
        let commit = Commit { members: &members, ..Commit::default() };
        bench.store.commit(&commit, NOW).expect("commit");
        bench.store.db.write("forget", |conn| forget(conn, NOW)).expect("forgotten");
        assert_eq!(1, bench.reader.inventory().expect("counted").members.count);
    }
}
