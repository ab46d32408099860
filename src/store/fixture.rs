//! Stores, frames and alerts for the tests of this module.

use std::path::Path;

use super::{Commit, Frame, NewMessage, Seq, Store, StoreReader};
use crate::engine::attendance::{Evidence, Person, Sighting};
use crate::engine::batch::Grade;
use crate::engine::detect::{Alert, AlertState, RuleInfo, Severity};
use crate::units::{Period, Timestamp};

/// The moment of all tests: 2026-11-20 08:00 UTC.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_161_600);

/// A store in a directory of its own, and a reader of it.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) store: Store,
    pub(super) reader: StoreReader,
}

impl Bench {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("a new store");
        let reader = StoreReader::open(dir.path()).expect("the store is there");
        Self { dir, store, reader }
    }

    /// Stores one frame for each text.
    pub(super) fn store_lines(&mut self, texts: &[&str]) -> Seq {
        let frames: Vec<Frame> = texts.iter().map(|text| frame(text)).collect();
        self.store.commit(&Commit { frames: &frames, ..Commit::default() }, NOW).expect("commit")
    }

    /// All frames that are there, as their numbers and lines.
    pub(super) fn lines(&self) -> Vec<(u64, String)> {
        frames(&self.reader)
            .into_iter()
            .map(|frame| (frame.seq.0, String::from_utf8(frame.bytes).expect("text")))
            .collect()
    }

    /// A plain connection to the database, to do what the store never would.
    pub(super) fn tamper(&self) -> rusqlite::Connection {
        open_plainly(self.dir.path())
    }
}

pub(super) fn open_plainly(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("gatewatch.db")).expect("a connection")
}

/// What a reader sees that goes from the start to the end; ends even when there is damage.
pub(super) fn frames(reader: &StoreReader) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut seq = Seq(0);
    while let Some(frame) = reader.frame_after(seq).expect("a frame") {
        assert!(seq < frame.seq, "the reader moves on");
        seq = frame.seq;
        frames.push(frame);
    }
    frames
}

pub(super) fn frame(text: &str) -> Frame {
    Frame {
        source: "web".to_owned(),
        path: "/var/log/nginx/access.log".to_owned(),
        site: "www.example.org".to_owned(),
        host: "web1".to_owned(),
        generation: u64::MAX - 7,
        fingerprint: [0xa5; 32],
        from: 1000,
        to: 1000 + text.len() as u64,
        received: NOW,
        modified: NOW.minus(Period::from_secs(1)),
        zone: "Europe/Berlin".to_owned(),
        format: "auto:combined".to_owned(),
        lines: text.lines().count() as u64,
        first_time: NOW.minus(Period::from_secs(60)),
        last_time: NOW.minus(Period::from_secs(2)),
        bytes: text.as_bytes().to_vec(),
        ..Frame::default()
    }
}

pub(super) fn alert(id: &str, state: AlertState, severity: Severity, at: Timestamp) -> Alert {
    let rule = RuleInfo { id: format!("rule.{severity}"), ..RuleInfo::default() };
    Alert {
        id: id.to_owned(),
        state,
        rule,
        severity,
        at,
        group: vec![("client.net".to_owned(), "203.0.113.7".to_owned())],
        summary: "seven failed log-ins \u{1b}[31m".to_owned(),
        count: 7,
        distinct: None,
        threshold: 5,
        window: Period::from_secs(600),
        first_event: at,
        last_event: at,
        addresses: vec!["203.0.113.7".parse().expect("an address")],
        users: Vec::new(),
        sites: Vec::new(),
        paths: Vec::new(),
        statuses: [(401, 7)].into(),
        successes: 0,
        evidence: Vec::new(),
        escalation: None,
        part: None,
        muted_by: None,
        members_90d: None,
        backfill: false,
        stays: false,
    }
}

pub(super) fn message(alert_id: &str, due: Timestamp) -> NewMessage {
    NewMessage {
        channel: "mail".to_owned(),
        alert_id: alert_id.to_owned(),
        transition: "firing".to_owned(),
        due,
        body: "{}".to_owned(),
    }
}

/// Somebody was there on the day of [`NOW`].
pub(super) fn sighting(user: &str) -> Sighting {
    Sighting {
        day: jiff::civil::date(2026, 11, 20),
        person: Person::Member(user.to_owned()),
        evidence: Evidence::Graded(Grade::A),
        count: 2,
        first: NOW,
        last: NOW.plus(Period::from_secs(60)),
        hours: 1 << 9,
        site: "www.example.org".to_owned(),
        client: "192.0.2.7".to_owned(),
        event_id: "01KAE4QS7RRZQ3V4C5E1D0T9FX".to_owned(),
    }
}
