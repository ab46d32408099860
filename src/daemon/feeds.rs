//! The lists of indicators: read at the start, and again when their files change.
//!
//! A thread of its own looks at the files every few seconds and reads what is new, so that lines go on
//! meanwhile, held against the old lists. Pipeline and sinks take up a new list before their next
//! lines.
//!
//! Invariant: a list that cannot be used leaves the one before in force, and is told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::config::{Stamp, read_feed, stamp};
use crate::engine::batch::{EventBatch, Field};
use crate::engine::feed::{Feed, FeedConfig, FeedSet};
use crate::escape::visible;
use crate::io::{Clock, Waker};
use crate::serve::{FeedState, Metrics, Readiness};
use crate::units::{Period, Timestamp};

/// How often the files are looked at.
const LOOK_EVERY: Period = Period::from_secs(5);

/// The lists in force. Shared by all who hold lines against them.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Grows with each change.
    version: AtomicU64,
    set: Mutex<FeedSet>,
}

impl Lists {
    /// The lists, if they are newer than version `seen`, which is then theirs.
    pub(super) fn newer(&self, seen: &mut u64) -> Option<FeedSet> {
        let version = self.version.load(Ordering::Acquire);
        if version == *seen {
            return None;
        }
        *seen = version;
        Some(self.set.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn put(&self, set: FeedSet) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = set;
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// What is told about the lists, and to whom.
pub(super) struct Told {
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seed: u64,
}

/// Looks after the files of the lists.
pub(super) struct Keeper {
    lists: Arc<Lists>,
    watched: Vec<Watched>,
    told: Told,
}

/// One list and its file.
struct Watched {
    settings: FeedConfig,
    feed: Option<Arc<Feed>>,
    /// The state of the files that was read, or tried.
    read: Option<Stamp>,
    /// The state of the files at the last look: one that still changes is not read.
    seen: Option<Stamp>,
    /// Why the newest version is not in force.
    failure: Option<String>,
}

impl Keeper {
    /// Reads all lists once.
    pub(super) fn start(settings: &[FeedConfig], lists: Arc<Lists>, told: Told) -> Self {
        let watched = |settings: &FeedConfig| Watched {
            settings: settings.clone(),
            feed: None,
            read: None,
            seen: None,
            failure: None,
        };
        let mut keeper = Self { lists, watched: settings.iter().map(watched).collect(), told };
        let seed = keeper.told.seed;
        for one in &mut keeper.watched {
            one.seen = stamp(&one.settings.path).ok();
            one.read(seed);
        }
        keeper.publish();
        keeper.tell();
        keeper
    }

    /// Looks at the files; reads those that have changed and stayed the same since the last look.
    pub(super) fn look(&mut self) {
        let seed = self.told.seed;
        let mut changed = false;
        for one in &mut self.watched {
            changed |= one.look(seed);
        }
        if changed {
            self.publish();
        }
        self.tell();
    }

    fn publish(&self) {
        let feeds = self.watched.iter().filter_map(|one| one.feed.clone());
        self.lists.put(FeedSet::new(feeds.collect()));
    }

    fn tell(&self) {
        let now = self.told.clock.now();
        for one in &self.watched {
            let name = one.settings.id();
            let feed = one.feed.as_deref();
            self.told.metrics.set_feed(&FeedState {
                name: &name,
                is_up: one.failure.is_none(),
                counts: feed.map(|feed| feed.counts().map(|(kind, n)| (kind.name(), n)).collect()),
                refused: feed.map_or(0, |feed| feed.report().refused + feed.report().unsupported),
                as_of: feed.map(Feed::as_of),
                max_age: one.settings.max_age,
            });
            let check = format!("feed {name}");
            match one.complaint(now) {
                Some(reason) => self.told.readiness.fail(&check, &reason),
                None => self.told.readiness.pass(&check),
            }
        }
    }

    /// Goes on looking on a thread of its own.
    pub(super) fn watch(mut self) -> std::io::Result<Watch> {
        let stop = Arc::new((AtomicBool::new(false), Waker::default()));
        let asked = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("feeds".to_owned()).spawn(move || {
            while !asked.0.load(Ordering::SeqCst) {
                asked.1.wait(LOOK_EVERY.duration());
                if !asked.0.load(Ordering::SeqCst) {
                    self.look();
                }
            }
        })?;
        Ok(Watch { stop, thread: Some(thread) })
    }
}

impl Watched {
    /// True where a new list is in force.
    fn look(&mut self, seed: u64) -> bool {
        let now = match stamp(&self.settings.path) {
            Ok(now) => now,
            Err(error) => {
                let path = self.settings.path.display().to_string();
                self.fail(format!("{} cannot be read: {error}", visible(&path)));
                // Should it come back as it was, it is read.
                (self.read, self.seen) = (None, None);
                return false;
            }
        };
        let is_settled = self.seen.as_ref() == Some(&now);
        let is_new = self.read.as_ref() != Some(&now);
        self.seen = Some(now);
        is_settled && is_new && self.read(seed)
    }

    fn read(&mut self, seed: u64) -> bool {
        self.read.clone_from(&self.seen);
        let name = self.settings.id();
        match read_feed(&self.settings, seed) {
            Ok(feed) => {
                match feed.report().complaint() {
                    Some(complaint) => tracing::warn!("list {name}: {}", visible(&complaint)),
                    None => tracing::info!("list {name}: {} entries", feed.report().taken),
                }
                self.feed = Some(Arc::new(feed));
                self.failure = None;
                true
            }
            Err(error) => {
                self.fail(visible(&error.to_string()));
                false
            }
        }
    }

    fn fail(&mut self, reason: String) {
        if self.failure.as_ref() != Some(&reason) {
            tracing::error!("list {}: {reason}", self.settings.id());
        }
        self.failure = Some(reason);
    }

    /// What an operator should do something about.
    fn complaint(&self, now: Timestamp) -> Option<String> {
        let path = visible(&self.settings.path.display().to_string());
        match (&self.failure, &self.feed) {
            (Some(reason), Some(feed)) => {
                let day = feed.as_of().rfc3339();
                Some(format!("the list of {day} stays in force, because {reason}"))
            }
            (Some(reason), None) => Some(format!("no list is in force: {reason}")),
            (None, Some(feed)) if feed.is_stale(now) => {
                let (day, max) = (feed.as_of().rfc3339(), self.settings.max_age);
                Some(format!(
                    "{path} was written at {day}, longer ago than {max}; see what should bring a \
                     new one, or set `max_age`"
                ))
            }
            _ => None,
        }
    }
}

/// The thread that looks at the files; ends when it is dropped.
pub(super) struct Watch {
    stop: Arc<(AtomicBool, Waker)>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::SeqCst);
        self.stop.1.wake();
        // One that panicked has nothing more to say.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Events that met an indicator, by list, until they are stored.
#[derive(Debug, Default)]
pub(super) struct Matches(BTreeMap<String, u64>);

impl Matches {
    pub(super) fn count(&mut self, batch: &EventBatch) {
        for event in batch.events().filter(|event| event.row().is_listed) {
            let feed = event.field(Field::ThreatFeed).unwrap_or_default();
            let times = u64::from(event.row().count);
            *self.0.entry(String::from_utf8_lossy(feed).into_owned()).or_default() += times;
        }
    }

    /// They are stored.
    pub(super) fn tell(&mut self, metrics: &Metrics) {
        for (feed, count) in std::mem::take(&mut self.0) {
            metrics.add_feed_matches(&feed, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::daemon::Decoder;
    use crate::serve::{BuildInfo, ServeConfig};
    use crate::store::Frame;

    /// 2026-11-20 07:00.
    const NOW: Timestamp = Timestamp::from_secs(1_795_158_000);

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            NOW
        }
    }

    struct Fixture {
        folder: tempfile::TempDir,
        lists: Arc<Lists>,
        seen: u64,
        readiness: Arc<Readiness>,
        metrics: Arc<Metrics>,
    }

    impl Fixture {
        fn new() -> Self {
            let metrics = Metrics::new(&ServeConfig::default(), &BuildInfo::current(), NOW);
            Self {
                folder: tempfile::tempdir().expect("a folder"),
                lists: Arc::default(),
                seen: 0,
                readiness: Arc::new(Readiness::new(Period::from_secs(30))),
                metrics: Arc::new(metrics),
            }
        }

        /// Writes the list, `days` before now.
        fn put(&self, text: &str, days: u64) {
            let path = self.folder.path().join("block.txt");
            fs::write(&path, text).expect("a file");
            let time = UNIX_EPOCH + Duration::from_secs(NOW.secs() - days * 86_400);
            File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_modified(time))
                .expect("its time");
        }

        fn keeper(&self) -> Keeper {
            let mut settings = FeedConfig::of_file(&self.folder.path().join("block.txt"));
            settings.max_age = Period::from_secs(3 * 86_400);
            let told = Told {
                metrics: Arc::clone(&self.metrics),
                readiness: Arc::clone(&self.readiness),
                clock: Arc::new(Fixed),
                seed: 7,
            };
            Keeper::start(&[settings], Arc::clone(&self.lists), told)
        }

        /// Entries of a list that is new, and what `/readyz` says about it.
        #[track_caller]
        fn check(&mut self, new: Option<u64>, complaint: &str) {
            let set = self.lists.newer(&mut self.seen);
            let taken = set.map(|set| set.feeds().iter().map(|feed| feed.report().taken).sum());
            assert_eq!(new, taken);
            let report = self.readiness.report(NOW);
            let check = report.checks.iter().find(|one| one.name == "feed block").expect("a check");
            let reason = check.reason.clone().unwrap_or_default();
            let is_as_told =
                if complaint.is_empty() { reason.is_empty() } else { reason.contains(complaint) };
            assert!(is_as_told, "{reason}");
        }

        #[track_caller]
        fn check_metric(&self, line: &str) {
            let text = self.metrics.scrape(NOW);
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_list_that_changed_and_settled_is_read_again() {
        let mut fixture = Fixture::new();
        fixture.put("203.0.113.7\nevil.example\n", 1);
        let mut keeper = fixture.keeper();
        fixture.check(Some(2), "");
        fixture.check_metric(r#"gatewatch_ioc_indicators{feed="block",type="ipv4"} 1"#);
        fixture.check_metric(
            r#"gatewatch_ioc_last_update_timestamp_seconds{feed="block"} 1795071600"#,
        );
        keeper.look();
        fixture.check(None, "");
        fixture.put("203.0.113.7\n203.0.113.8\n203.0.113.9\n", 0);
        keeper.look();
        fixture.check(None, "");
        keeper.look();
        fixture.check(Some(3), "");
        fixture.check_metric(r#"gatewatch_ioc_indicators{feed="block",type="ipv4"} 3"#);
        fixture.check_metric(r#"gatewatch_ioc_indicators{feed="block",type="domain"} 0"#);
    }

    #[test]
    fn a_list_that_cannot_be_used_leaves_the_one_before_in_force() {
        let mut fixture = Fixture::new();
        fixture.put("203.0.113.7\n", 1);
        let mut keeper = fixture.keeper();
        fixture.check(Some(1), "");
        fixture.put(r#"{"objects":["#, 0);
        keeper.look();
        keeper.look();
        fixture.check(None, "stays in force, because it is no STIX");
        fixture.check_metric(r#"gatewatch_ioc_up{feed="block"} 0"#);
        fixture.check_metric(r#"gatewatch_ioc_indicators{feed="block",type="ipv4"} 1"#);
        fs::remove_file(fixture.folder.path().join("block.txt")).expect("it is there");
        keeper.look();
        fixture.check(None, "cannot be read: No such file");
        fixture.put("203.0.113.7\n203.0.113.8\n", 0);
        keeper.look();
        keeper.look();
        fixture.check(Some(2), "");
        fixture.check_metric(r#"gatewatch_ioc_up{feed="block"} 1"#);
    }

    #[test]
    fn a_list_that_is_missing_at_the_start_is_told_and_taken_up_later() {
        let mut fixture = Fixture::new();
        let mut keeper = fixture.keeper();
        fixture.check(Some(0), "no list is in force: ");
        fixture.put("203.0.113.7\n", 0);
        keeper.look();
        keeper.look();
        fixture.check(Some(1), "");
    }

    #[test]
    fn an_old_list_is_told() {
        let mut fixture = Fixture::new();
        fixture.put("203.0.113.7\n", 4);
        fixture.keeper();
        fixture.check(
            Some(1),
            "was written at 2026-11-16T07:00:00.000Z, longer ago than 3d; see what",
        );
    }

    #[test]
    fn a_decoder_takes_up_a_new_list_before_its_next_lines() {
        let fixture = Fixture::new();
        fixture.put("203.0.113.7\n", 0);
        let mut keeper = fixture.keeper();
        let follow =
            |for_others| Decoder::new(Arc::default()).following(Some(&fixture.lists), for_others);
        let (mut own, mut others) = (follow(false), follow(true));
        let line =
            b"203.0.113.8 - - [20/Nov/2026:07:00:00 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"\n";
        let frame = Frame {
            format: "combined".to_owned(),
            zone: "UTC".to_owned(),
            bytes: line.to_vec(),
            ..Frame::default()
        };
        let mut batch = EventBatch::default();
        let mut indicator = |decoder: &mut Decoder| {
            decoder.decode(&frame, &mut batch);
            batch.event(0).field(Field::ThreatIndicator).map(<[u8]>::to_vec)
        };
        assert_eq!(None, indicator(&mut own));
        fixture.put("203.0.113.0/24\n", 0);
        keeper.look();
        keeper.look();
        assert_eq!(Some(b"203.0.113.0/24".to_vec()), indicator(&mut own));
        assert_eq!(Some(b"203.0.113.0/24".to_vec()), indicator(&mut others));
        let red = r#"{"objects":[{"type":"indicator","id":"i","valid_from":"2026-11-18T00:00:00Z",
            "pattern":"[ipv4-addr:value = '203.0.113.8']","object_marking_refs":
            ["marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"]}]}"#;
        fixture.put(red, 0);
        keeper.look();
        keeper.look();
        assert_eq!(Some(b"203.0.113.8".to_vec()), indicator(&mut own));
        assert_eq!(None, indicator(&mut others), "red stays here");
    }

    #[test]
    fn the_thread_ends_when_nobody_needs_it() {
        let fixture = Fixture::new();
        fixture.put("203.0.113.7\n", 0);
        drop(fixture.keeper().watch().expect("a thread"));
    }
}
