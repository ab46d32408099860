//! The reverse of tokens: what each stands for, sealed by its sink's key, and who asked for it.
//!
//! The store cannot read what is sealed. A token that is used again is touched, at most once a day;
//! when there are too many, those that were not used for the longest time go, and are counted.
//!
//! Invariant: a value is handed to people only after it was written down who asked.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreReader;
use super::database::{signed, unsigned};
use super::error::StoreError;
use crate::units::{Period, Timestamp};

/// How many entries the log of reveals has.
const REVEALS_MAX: u64 = 100_000;

/// A token that nobody used for so long is forgotten: as long as alerts are kept.
const UNUSED_MAX: Period = super::trim::HISTORY;

/// In the `meta` table: how many tokens were given up.
const FORGOTTEN: &str = "tokens_forgotten";

/// A token and what it stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SealedToken<'t> {
    /// As it was sent.
    pub token: &'t str,
    /// What it stands for; only its key opens it.
    pub sealed: &'t [u8],
}

/// An entry of the log of reveals.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reveal {
    /// When.
    pub at: Timestamp,
    /// The user of the system who asked.
    pub uid: u32,
    /// The name under which that user logged in.
    pub login: String,
    /// The token.
    pub token: String,
    /// What came of it: `revealed`, `unknown`, `wrong key`.
    pub outcome: String,
}

/// The entries of the log, newest first, and the tokens that are stored.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TokenCounts {
    /// Tokens that can be revealed.
    pub stored: u64,
    /// Tokens that were given up.
    pub forgotten: u64,
}

fn forgotten(conn: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let text: Option<String> =
        conn.prepare_cached(sql)?.query_row([FORGOTTEN], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

fn count(conn: &Connection) -> rusqlite::Result<u64> {
    conn.prepare_cached("SELECT count(*) FROM tokens")?.query_row([], |row| unsigned(row, 0))
}

/// Forgets what is beyond `max` or was not used for too long; says how many were.
fn forget(conn: &Connection, max: u64, now: Timestamp) -> rusqlite::Result<u64> {
    let old = conn
        .prepare_cached("DELETE FROM tokens WHERE used < ?1")?
        .execute([now.minus(UNUSED_MAX)])?;
    let surplus = count(conn)?.saturating_sub(max);
    if 0 < surplus {
        conn.prepare_cached(
            "DELETE FROM tokens WHERE token IN (
                 SELECT token FROM tokens ORDER BY used, token LIMIT ?1)",
        )?
        .execute([signed(surplus)])?;
    }
    let gone = surplus + old as u64;
    if 0 < gone {
        let sum = forgotten(conn)? + gone;
        conn.prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )?
        .execute(params![FORGOTTEN, sum.to_string()])?;
    }
    Ok(gone)
}

impl StoreReader {
    /// Makes sure that `tokens` can be revealed, and keeps at most `max`; says how many others went.
    ///
    /// A power cut may take it back, but then also the cursor that moves later: the events are sent
    /// again, and their tokens stored again.
    pub fn save_tokens(
        &self,
        tokens: &[SealedToken<'_>],
        max: u64,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.db.write("store tokens", |conn| {
            let mut statement = conn.prepare_cached(
                "INSERT INTO tokens (token, sealed, used) VALUES (?1, ?2, ?3)
                 ON CONFLICT (token) DO UPDATE SET used = max(used, excluded.used)",
            )?;
            for SealedToken { token, sealed } in tokens {
                statement.execute(params![token, sealed, now])?;
            }
            forget(conn, max, now)
        })
    }

    /// What `token` stands for, sealed.
    pub fn sealed(&self, token: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.run("read a token", |conn| {
            conn.prepare_cached("SELECT sealed FROM tokens WHERE token = ?1")?
                .query_row([token], |row| row.get(0))
                .optional()
        })
    }

    /// Writes down who asked for what; call it before anything is shown.
    pub fn log_reveals(&self, reveals: &[Reveal]) -> Result<(), StoreError> {
        self.db.write("store who asked for a token", |conn| {
            let mut statement = conn.prepare_cached(
                "INSERT INTO reveals (at, uid, login, token, outcome) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for reveal in reveals {
                let Reveal { at, uid, login, token, outcome } = reveal;
                statement.execute(params![at, uid, login, token, outcome])?;
            }
            conn.prepare_cached(
                "DELETE FROM reveals WHERE number <= (SELECT max(number) FROM reveals) - ?1",
            )?
            .execute([signed(REVEALS_MAX)])?;
            Ok(())
        })
    }

    /// Who asked for what, the newest `limit` entries, oldest first.
    pub fn reveals(&self, limit: usize) -> Result<Vec<Reveal>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut reveals: Vec<Reveal> = self.db.run("read who asked for tokens", |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT at, uid, login, token, outcome FROM reveals ORDER BY number DESC LIMIT ?1",
            )?;
            let rows = statement.query_map([limit], |row| {
                Ok(Reveal {
                    at: row.get(0)?,
                    uid: row.get(1)?,
                    login: row.get(2)?,
                    token: row.get(3)?,
                    outcome: row.get(4)?,
                })
            })?;
            rows.collect()
        })?;
        reveals.reverse();
        Ok(reveals)
    }

    /// How many tokens there are and were.
    pub fn token_counts(&self) -> Result<TokenCounts, StoreError> {
        self.db.run("count tokens", |conn| {
            Ok(TokenCounts { stored: count(conn)?, forgotten: forgotten(conn)? })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Bench, NOW};
    use super::*;

    const DAY: Period = Period::from_secs(86_400);

    #[test]
    fn the_token_that_was_not_used_for_the_longest_time_goes_first() {
        let bench = Bench::new();
        let reader = &bench.reader;
        let save = |tokens: &[&str], max: u64, now: Timestamp| {
            let tokens: Vec<SealedToken<'_>> = tokens
                .iter()
                .map(|token| SealedToken { token, sealed: token.as_bytes() })
                .collect();
            reader.save_tokens(&tokens, max, now).expect("stored")
        };
        assert_eq!(0, save(&["a", "b"], 3, NOW));
        assert_eq!(0, save(&["c", "a"], 3, NOW.plus(DAY)));
        assert_eq!(1, save(&["d"], 3, NOW.plus(DAY)), "b was used last on the first day");
        assert_eq!(None, reader.sealed("b").expect("read"));
        assert_eq!(Some(b"a".to_vec()), reader.sealed("a").expect("read"));
        assert_eq!(TokenCounts { stored: 3, forgotten: 1 }, reader.token_counts().expect("read"));
        let later = NOW.plus(DAY).plus(UNUSED_MAX).plus(DAY);
        assert_eq!(3, save(&["e"], 3, later));
        assert_eq!(TokenCounts { stored: 1, forgotten: 4 }, reader.token_counts().expect("read"));
    }

    #[test]
    fn who_asked_is_kept_in_order() {
        let bench = Bench::new();
        let reveal = |number: u64| Reveal {
            at: NOW,
            uid: 1000,
            login: "admin".to_owned(),
            token: format!("user-{number}"),
            outcome: "revealed".to_owned(),
        };
        let all: Vec<Reveal> = (0..REVEALS_MAX + 2).map(reveal).collect();
        bench.reader.log_reveals(&all).expect("stored");
        assert_eq!(all[all.len() - 2..], bench.reader.reveals(2).expect("read"));
        let kept = bench.reader.reveals(usize::MAX).expect("read");
        assert_eq!((REVEALS_MAX as usize, &all[2]), (kept.len(), &kept[0]));
    }
}
