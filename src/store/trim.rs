//! What leaves the store, and when.
//!
//! Frames go from the oldest on. One that every required reader is done with goes when it is too
//! old for the detectors, or earlier when the store is over its size. One that a required reader
//! still needs goes only where the operator preferred that to waiting, and is counted.
//!
//! Invariant: the space in use ends at or below `max_size`, or [`Trimmed::full`] says so.

use rusqlite::{Connection, params};

use super::attendance;
use super::config::WhenFull;
use super::database::{last_seq, signed, unsigned};
use super::error::StoreError;
use super::frame::Seq;
use super::members;
use super::writer::Store;
use crate::units::{ByteSize, Period, Timestamp};

/// Alerts and hours stay for two years and a month, so that a report can compare with last year.
pub(super) const HISTORY: Period = Period::from_secs(762 * 86_400);

/// Text of messages that were sent stays this long, for questions about them.
const SENT_BODIES: Period = Period::from_secs(30 * 86_400);

/// Frames deleted in one transaction: short enough that readers' writes do not wait for long.
const FRAMES_PER_STEP: u64 = 1024;

/// Over the limit, this part of it is freed beyond the need, so that not every commit trims.
const HEADROOM_DIVISOR: u64 = 16;

/// Free pages up to this part of the file stay for the next frames; more are given back.
const FREE_PAGES_DIVISOR: u64 = 4;

/// Pages given back in one go (32 MiB), because they are moved while everybody waits.
const PAGES_RETURNED_MAX: u64 = 4096;

/// What to keep.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// The present moment.
    pub now: Timestamp,
    /// Detectors still need events at this moment and later: the log's clock less the longest
    /// window.
    pub keep_from: Timestamp,
    /// Space that the store may use.
    pub max_size: ByteSize,
    /// What to do when a required reader is behind at that size.
    pub when_full: WhenFull,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Trimmed {
    /// Frames that were read by all and are too old for the detectors.
    pub frames: u64,
    /// Frames that were read by all, but that the detectors would want after a restart.
    pub frames_early: u64,
    /// Frames that a required reader had not read.
    pub frames_dropped: u64,
    /// Lines in these.
    pub lines_dropped: u64,
    /// Hours of tallies.
    pub hours: u64,
    /// Transitions of alerts.
    pub alerts: u64,
    /// The store is still at its limit: stop reading the sources.
    pub full: bool,
}

/// Which frames one step may take, from the oldest on.
#[derive(Clone, Copy, Debug)]
enum Take {
    /// Those whose events all happened, or that came in, before this moment.
    Before(Timestamp),
    /// As many as give this space back.
    Bytes(u64),
}

/// What one step took.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    frames: u64,
    lines: u64,
    last: Seq,
}

impl Store {
    /// Deletes what nobody needs any more, and more than that where the size demands it.
    pub fn trim(&mut self, keep: Trim) -> Result<Trimmed, StoreError> {
        let mut trimmed = Trimmed::default();
        self.trim_history(keep, &mut trimmed)?;
        let read = self.read_by_all()?;
        loop {
            let step = self.take(read, Take::Before(keep.keep_from))?;
            trimmed.frames += step.frames;
            if step.frames < FRAMES_PER_STEP {
                break;
            }
        }
        trimmed.frames_early = self.shrink(read, keep.max_size)?.frames;
        if keep.when_full == WhenFull::DropOldest {
            let dropped = self.shrink(self.db.last_seq()?, keep.max_size)?;
            trimmed.frames_dropped = dropped.frames;
            trimmed.lines_dropped = dropped.lines;
        }
        self.return_pages(keep.max_size)?;
        trimmed.full = self.is_full(keep.max_size)?;
        Ok(trimmed)
    }

    /// Newest frame that no required reader still needs.
    fn read_by_all(&self) -> Result<Seq, StoreError> {
        let sql = "SELECT min(seq) FROM cursors WHERE required";
        self.db.run("read the cursors", |conn| {
            let slowest: Option<Seq> = conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            slowest.map_or_else(|| last_seq(conn), Ok)
        })
    }

    /// Deletes frames up to `last` until the space in use is below `max_size` with some headroom.
    fn shrink(&self, last: Seq, max_size: ByteSize) -> Result<Step, StoreError> {
        let mut total = Step::default();
        let target = max_size.0 - max_size.0 / HEADROOM_DIVISOR;
        let mut used = self.pages()?.used_bytes();
        if used < max_size.0 {
            return Ok(total);
        }
        while target < used {
            let step = self.take(last, Take::Bytes(used - target))?;
            if step.frames == 0 {
                break;
            }
            total.frames += step.frames;
            total.lines += step.lines;
            used = self.pages()?.used_bytes();
        }
        Ok(total)
    }

    /// Deletes the oldest frames that `take` names, none after `last`, in one transaction.
    fn take(&self, last: Seq, take: Take) -> Result<Step, StoreError> {
        self.db.write("delete old lines", |conn| {
            let step = choose(conn, last, take)?;
            if 0 < step.frames {
                count_dropped(conn, step.last)?;
                conn.prepare_cached("DELETE FROM frames WHERE seq <= ?1")?.execute([step.last])?;
            }
            Ok(step)
        })
    }

    /// Deletes hours, alerts and their answers, messages and dead letters that are too old. Hours also go, oldest
    /// first, when they take more than half of `max_size`, because they must not push out the lines.
    fn trim_history(&self, keep: Trim, trimmed: &mut Trimmed) -> Result<(), StoreError> {
        let old = keep.now.minus(HISTORY);
        self.db.write("delete old history", |conn| {
            let first_hour = first_hour_within(conn, keep.max_size.0 / 2)?.max(old.hour());
            trimmed.hours = conn
                .prepare_cached("DELETE FROM hours WHERE hour < ?1")?
                .execute([first_hour])? as u64;
            trimmed.alerts = conn
                .prepare_cached(
                    "DELETE FROM alerts WHERE id IN
                         (SELECT id FROM alerts WHERE state = 'resolved' AND at < ?1)",
                )?
                .execute([old])? as u64;
            attendance::trim(conn, old)?;
            conn.prepare_cached("DELETE FROM outbox WHERE state <> 'waiting' AND ended < ?1")?
                .execute([old])?;
            conn.prepare_cached("DELETE FROM dead_letters WHERE at < ?1")?.execute([old])?;
            members::forget(conn, keep.now)?;
            conn.prepare_cached("DELETE FROM answers WHERE at < ?1")?.execute([old])?;
            conn.prepare_cached("DELETE FROM silences WHERE until < ?1")?.execute([old])?;
            conn.prepare_cached(
                "UPDATE outbox SET body = ''
                 WHERE state <> 'waiting' AND state = 'sent' AND ended < ?1 AND body <> ''",
            )?
            .execute([keep.now.minus(SENT_BODIES)])?;
            Ok(())
        })
    }

    /// Gives free pages back to the disk when there are many, and those with which the file is
    /// larger than `max_size`.
    fn return_pages(&self, max_size: ByteSize) -> Result<(), StoreError> {
        let pages = self.pages()?;
        let many = pages.free.saturating_sub(pages.all / FREE_PAGES_DIVISOR);
        let over = pages.all.saturating_sub(max_size.0 / pages.page_bytes).min(pages.free);
        let surplus = many.max(over);
        if surplus == 0 {
            return Ok(());
        }
        let count = surplus.min(PAGES_RETURNED_MAX);
        self.db.run("give free space back", |conn| {
            // The pragma frees one page at each step, so it has to be run to its end.
            let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({count})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        })
    }
}

fn choose(conn: &Connection, last: Seq, take: Take) -> rusqlite::Result<Step> {
    // A frame without times, or with times of the future, is as old as its arrival: a client's
    // forged time must not keep frames for ever.
    let mut statement = conn.prepare_cached(
        "SELECT seq, lines, packed_bytes,
             CASE last_time WHEN 0 THEN received ELSE min(last_time, received) END
         FROM frames WHERE seq <= ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = statement.query(params![last, signed(FRAMES_PER_STEP)])?;
    let mut step = Step::default();
    let mut freed = 0;
    while let Some(row) = rows.next()? {
        let wanted = match take {
            Take::Before(time) => row.get::<_, Timestamp>(3)? < time,
            Take::Bytes(bytes) => freed < bytes,
        };
        if !wanted {
            break;
        }
        step.last = row.get(0)?;
        step.frames += 1;
        step.lines += unsigned(row, 1)?;
        freed += unsigned(row, 2)?;
    }
    Ok(step)
}

/// Counts the lines up to `last` for each reader, required or not, that has not seen them.
fn count_dropped(conn: &Connection, last: Seq) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE cursors SET dropped_lines = dropped_lines + (SELECT coalesce(sum(lines), 0)
             FROM frames WHERE frames.seq > cursors.seq AND frames.seq <= ?1)
         WHERE seq < ?1",
    )?
    .execute([last])?;
    Ok(())
}

/// The first hour of the newest ones that fit into `bytes`.
fn first_hour_within(conn: &Connection, bytes: u64) -> rusqlite::Result<u32> {
    let mut statement =
        conn.prepare_cached("SELECT hour, length(tally) FROM hours ORDER BY hour DESC")?;
    let mut rows = statement.query([])?;
    let mut total = 0u64;
    while let Some(row) = rows.next()? {
        total += unsigned(row, 1)?;
        if bytes < total {
            return Ok(row.get::<_, u32>(0)?.saturating_add(1));
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Bench, NOW, alert, frame, message};
    use super::super::{Commit, DeadLetter, Frame};
    use super::*;
    use crate::engine::detect::{AlertState, Severity};
    use crate::io::{Chance, Seeded};

    const ROOMY: ByteSize = ByteSize(1 << 30);

    fn keep(keep_from: u64, max_size: ByteSize) -> Trim {
        let when_full = WhenFull::Block;
        Trim { now: NOW, keep_from: Timestamp::from_secs(keep_from), max_size, when_full }
    }

    fn store_at(bench: &mut Bench, times: &[(u64, u64)]) {
        let at = |(received, last): &(u64, u64)| Frame {
            received: Timestamp::from_secs(*received),
            last_time: Timestamp::from_secs(*last),
            ..frame("a\n")
        };
        let frames: Vec<Frame> = times.iter().map(at).collect();
        bench.store.commit(&Commit { frames: &frames, ..Commit::default() }, NOW).expect("commit");
    }

    #[track_caller]
    fn check_left(bench: &Bench, expected: &[u64]) {
        let left: Vec<u64> = bench.lines().into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(expected, left);
    }

    #[test]
    fn frames_go_when_they_are_read_by_all_and_older_than_the_window() {
        let mut bench = Bench::new();
        store_at(&mut bench, &[(100, 90), (200, 190), (300, 290), (400, 390)]);
        bench.reader.register_reader("siem", true, Seq(0)).expect("register");
        bench.reader.register_reader("history", true, Seq(0)).expect("register");
        bench.reader.register_reader("optional", false, Seq(1)).expect("register");
        assert_eq!(0, bench.store.trim(keep(250, ROOMY)).expect("trim").frames);
        check_left(&bench, &[1, 2, 3, 4]);

        bench.reader.save_cursor("siem", Seq(4), "", NOW).expect("save");
        bench.reader.save_cursor("history", Seq(1), "", NOW).expect("save");
        assert_eq!(1, bench.store.trim(keep(250, ROOMY)).expect("trim").frames);
        check_left(&bench, &[2, 3, 4]);

        bench.reader.save_cursor("history", Seq(4), "", NOW).expect("save");
        assert_eq!(1, bench.store.trim(keep(250, ROOMY)).expect("trim").frames);
        check_left(&bench, &[3, 4]);
        let cursors = bench.reader.cursors().expect("cursors");
        let dropped = |c: &super::super::ReaderCursor| (c.reader.clone(), c.dropped_lines);
        let dropped: Vec<_> = cursors.iter().map(dropped).collect();
        let name = str::to_owned;
        assert_eq!(vec![(name("history"), 0), (name("optional"), 1), (name("siem"), 0)], dropped);
    }

    #[test]
    fn a_number_is_not_used_again_after_its_frame_went() {
        let mut bench = Bench::new();
        store_at(&mut bench, &[(100, 90), (200, 190)]);
        assert_eq!(2, bench.store.trim(keep(1000, ROOMY)).expect("trim").frames);
        check_left(&bench, &[]);
        assert_eq!(Seq(2), bench.reader.last_seq().expect("read"));
        let size = bench.store.size().expect("size");
        assert_eq!((0, None), (size.frames, size.oldest));
        let Bench { dir, store, reader } = bench;
        drop(store);
        let store = Store::open(dir.path()).expect("open again");
        let mut bench = Bench { dir, store, reader };
        assert_eq!(Seq(3), bench.store_lines(&["c\n"]));
        check_left(&bench, &[3]);
    }

    #[test]
    fn a_forged_time_of_the_future_does_not_keep_a_frame() {
        let mut bench = Bench::new();
        store_at(&mut bench, &[(100, u64::MAX / 2), (110, 0), (900, 890)]);
        assert_eq!(2, bench.store.trim(keep(500, ROOMY)).expect("trim").frames);
        check_left(&bench, &[3]);
    }

    /// Stores `count` frames of 20 KB that zstd cannot make smaller.
    fn store_noise(bench: &mut Bench, count: usize) {
        let mut chance = Seeded::new(5);
        let mut noise = || (0..20_000).map(|_| (chance.next_u64() >> 32) as u8).collect();
        let frames: Vec<Frame> =
            (0..count).map(|_| Frame { bytes: noise(), lines: 10, ..frame("") }).collect();
        bench.store.commit(&Commit { frames: &frames, ..Commit::default() }, NOW).expect("commit");
    }

    fn left(bench: &Bench) -> u64 {
        bench.store.size().expect("size").frames
    }

    #[test]
    fn over_the_size_frames_that_all_have_read_go_early() {
        let mut bench = Bench::new();
        store_noise(&mut bench, 100);
        let trimmed = bench.store.trim(keep(0, ByteSize(1 << 20))).expect("trim");
        assert!(!trimmed.full && trimmed.frames_dropped == 0, "{trimmed:?}");
        assert_eq!(100, trimmed.frames_early + left(&bench));
        let size = bench.store.size().expect("size");
        assert!(size.bytes <= 1 << 20, "{size:?}");
        assert!((1 << 19) < size.bytes, "no more than needed: {size:?}");
    }

    #[test]
    fn block_keeps_what_a_reader_needs_and_says_that_it_is_full() {
        let mut bench = Bench::new();
        store_noise(&mut bench, 100);
        bench.reader.register_reader("siem", true, Seq(3)).expect("register");
        let trimmed = bench.store.trim(keep(0, ByteSize(1 << 20))).expect("trim");
        assert!(trimmed.full && trimmed.frames_early == 3, "{trimmed:?}");
        assert_eq!(97, left(&bench));
        bench.reader.save_cursor("siem", Seq(100), "", NOW).expect("save");
        assert!(!bench.store.trim(keep(0, ByteSize(1 << 20))).expect("trim").full);
    }

    #[test]
    fn drop_oldest_counts_the_lines_for_each_reader_that_misses_them() {
        let mut bench = Bench::new();
        store_noise(&mut bench, 100);
        bench.reader.register_reader("siem", true, Seq(3)).expect("register");
        bench.reader.register_reader("fast", true, Seq(100)).expect("register");
        let when_full = WhenFull::DropOldest;
        let keep = Trim { when_full, ..keep(0, ByteSize(1 << 20)) };
        let trimmed = bench.store.trim(keep).expect("trim");
        let pages = bench.store.pages().expect("pages");
        assert!(pages.all * pages.page_bytes <= 1 << 20, "the file, too: {pages:?}");
        assert!(!trimmed.full && trimmed.frames_early == 3, "{trimmed:?}");
        assert_eq!(100, 3 + trimmed.frames_dropped + left(&bench));
        assert_eq!(trimmed.frames_dropped * 10, trimmed.lines_dropped);
        let cursors = bench.reader.cursors().expect("cursors");
        let dropped: Vec<u64> = cursors.iter().map(|cursor| cursor.dropped_lines).collect();
        assert_eq!(vec![0, trimmed.lines_dropped], dropped, "fast, siem");
        let next = bench.reader.frame_after(Seq(3)).expect("read").expect("a frame");
        assert_eq!(101 - left(&bench), next.seq.0, "the reader goes on with what is there");
    }

    #[test]
    fn space_of_deleted_frames_is_given_back() {
        let mut bench = Bench::new();
        store_noise(&mut bench, 200);
        let before = bench.store.size().expect("size");
        bench.store.trim(keep(NOW.secs() + 1, ROOMY)).expect("trim");
        let pages = bench.store.pages().expect("pages");
        assert!(pages.all * pages.page_bytes < before.bytes / 2, "{before:?}, {pages:?}");
    }

    #[test]
    fn history_goes_after_two_years_and_open_alerts_never() {
        let mut bench = Bench::new();
        let old = NOW.minus(HISTORY).minus(Period::from_secs(3600));
        let alerts = [
            alert("old", AlertState::Firing, Severity::High, old),
            alert("old", AlertState::Resolved, Severity::High, old),
            alert("open", AlertState::Firing, Severity::High, old),
            alert("new", AlertState::Firing, Severity::High, NOW),
            alert("new", AlertState::Resolved, Severity::High, NOW),
        ];
        let hours = [(old.hour(), "{}".to_owned()), (NOW.hour(), "{}".to_owned())];
        let commit = Commit { alerts: &alerts, hours: &hours, ..Commit::default() };
        bench.store.commit(&commit, NOW).expect("commit");
        for at in [old, NOW] {
            let letters = [DeadLetter::default()];
            bench.reader.save_delivery("sink:a", Seq(1), "", &letters, at).expect("stored");
        }
        let trimmed = bench.store.trim(keep(0, ROOMY)).expect("trim");
        assert_eq!((1, 2), (trimmed.hours, trimmed.alerts));
        let letters = bench.reader.dead_letters(None, 0, 9).expect("read");
        assert_eq!([NOW], *letters.iter().map(|letter| letter.at).collect::<Vec<_>>());
        let left = bench.reader.alerts_after(0, 10).expect("alerts");
        let left: Vec<&str> = left.iter().map(|(_, alert)| alert.id.as_str()).collect();
        assert_eq!(vec!["open", "new", "new"], left);
        assert_eq!(1, bench.reader.hours(0, u32::MAX).expect("hours").len());
    }

    #[test]
    fn hours_take_at_most_half_of_the_size() {
        let mut bench = Bench::new();
        let mut chance = Seeded::new(3);
        let hours: Vec<(u32, String)> = (0..100)
            .map(|n| {
                let words: Vec<String> =
                    (0..1000).map(|_| format!("{:x}", chance.next_u64())).collect();
                (NOW.hour() - n, words.concat())
            })
            .collect();
        bench.store.commit(&Commit { hours: &hours, ..Commit::default() }, NOW).expect("commit");
        let trimmed = bench.store.trim(keep(0, ByteSize(1 << 20))).expect("trim");
        assert!(10 < trimmed.hours && trimmed.hours < 90 && !trimmed.full, "{trimmed:?}");
        let left = bench.reader.hours(0, u32::MAX).expect("hours");
        assert_eq!(Some(NOW.hour()), left.last().map(|(hour, _)| *hour), "the newest stay");
    }

    #[test]
    fn a_sent_message_loses_its_text_but_is_never_sent_again() {
        let mut bench = Bench::new();
        let month_ago = NOW.minus(SENT_BODIES).minus(Period::from_secs(1));
        bench.reader.outbox_add(&message("a1", month_ago), month_ago).expect("add");
        bench.reader.outbox_sent(1, month_ago).expect("sent");
        bench.store.trim(keep(0, ROOMY)).expect("trim");
        let body: String = bench
            .tamper()
            .query_row("SELECT body FROM outbox", [], |row| row.get(0))
            .expect("the row is there");
        assert_eq!("", body);
        assert!(!bench.reader.outbox_add(&message("a1", NOW), NOW).expect("add"));
    }
}
