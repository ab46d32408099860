//! The archive of the running program: kill -9 at any moment, and each event is there once.
//!
//! The seed that is printed on a failure repeats the lines and the delays (the machine adds its own
//! chance): `GATEWATCH_CRASH_SEED`. `GATEWATCH_CRASH_KILLS` asks for more kills.

#![expect(clippy::print_stderr, reason = "a failure tells its seed")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;
#[path = "support/seeded.rs"]
mod seeded;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use gatewatch::history::{History, ID, PATH, repeated_ids};
use gatewatch::io::{Chance, Seeded};
use gatewatch::units::Period;
use seeded::{Told, between, setting};
use support::{Place, clf, each_once, now, open_log};

/// The variable that repeats a seed.
const SEED: &str = "GATEWATCH_CRASH_SEED";

const DAY_SECS: u64 = 86_400;

/// A program with an archive that makes a part every second.
struct Bench {
    place: Place,
    lines: u64,
}

impl Bench {
    fn new() -> Self {
        let place = Place::new();
        let log = place.log("access.log");
        place.configure_bare(&format!(
            "[history]\nevery = \"1s\"\n[[source]]\nname = \"site\"\npath = {log:?}\n"
        ));
        Self { place, lines: 0 }
    }

    fn archive(&self) -> PathBuf {
        self.place.state().join("history")
    }

    /// Appends lines of today and of the days before.
    fn write(&mut self, chance: &mut Seeded) {
        let mut log = open_log(&self.place.log("access.log"));
        for _ in 0..between(chance, 5, 60) {
            let days = between(chance, 0, 4) * DAY_SECS;
            let time = clf(now().minus(Period::from_secs(days + between(chance, 0, 3600))));
            let client = between(chance, 1, 250);
            let line = format!(
                "198.51.100.{client} - - [{time}] \"GET /line/{} HTTP/1.1\" 200 512 \"-\" \"test\"\n",
                self.lines
            );
            log.write_all(line.as_bytes()).expect("the log is written");
            self.lines += 1;
        }
    }

    /// Names of all parts, and what is being made, with the times of its last changes.
    fn look(&self) -> (BTreeSet<PathBuf>, Vec<Option<SystemTime>>) {
        let list = |folder: PathBuf| -> Vec<PathBuf> {
            let entries = fs::read_dir(folder).into_iter().flatten();
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
        };
        let modified = |path: PathBuf| fs::metadata(path).ok()?.modified().ok();
        let work = list(self.archive().join(".work")).into_iter().map(modified).collect();
        let parts = list(self.archive()).into_iter().filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("date="))
        });
        (parts.flat_map(list).collect(), work)
    }

    /// Starts the program and kills it. False when that moment did not come.
    fn kill(&self, moment: Moment, chance: &mut Seeded) -> bool {
        // What an earlier kill has left is no sign of work.
        let (before, left) = self.look();
        let mut gatewatch = self.place.run(&[]);
        let deadline = now().plus_ms(3000);
        let mut came = false;
        while now() < deadline && !came {
            came = match moment {
                Moment::AfterStart => {
                    let pause = Duration::from_millis(between(chance, 5, 400));
                    assert!(!gatewatch.ends_within(pause), "it ended: {}", gatewatch.words());
                    true
                }
                Moment::InWork => {
                    let work = self.look().1;
                    !work.is_empty() && work != left
                }
                Moment::AfterChange => self.look().0 != before,
            };
        }
        let micros = between(chance, 0, 3000);
        let ended = gatewatch.ends_within(Duration::from_micros(micros));
        assert!(!ended, "it ended by itself: {}", gatewatch.words());
        gatewatch.kill();
        let words = gatewatch.words();
        assert!(!words.contains("panicked") && !words.contains("ERROR"), "{moment:?}: {words}");
        came
    }
}

/// When a kill comes.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// A random while after the start.
    AfterStart,
    /// When a part is being made, or parts are being joined.
    InWork,
    /// When a part has appeared or gone: its cursor may not be stored yet.
    AfterChange,
}

#[test]
fn an_archive_killed_at_any_moment_has_each_event_once() {
    let seed = Told::new(SEED, setting(SEED).unwrap_or_else(|| Seeded::from_machine().next_u64()));
    let mut chance = Seeded::new(seed.seed);
    let mut bench = Bench::new();
    let kills = setting("GATEWATCH_CRASH_KILLS").unwrap_or(200);
    let mut came = 0;
    for _ in 0..kills {
        bench.write(&mut chance);
        let moment = match between(&mut chance, 0, 4) {
            0 => Moment::AfterStart,
            1 | 2 => Moment::InWork,
            _ => Moment::AfterChange,
        };
        came += u64::from(bench.kill(moment, &mut chance));
        // What is in the archive is there once, at any time.
        let (_, twice) = repeated_ids(&History::new(&bench.archive())).expect("a scan");
        assert_eq!(Vec::<String>::new(), twice);
    }
    assert!(kills / 2 <= came, "only {came} of {kills} moments came");
    check(&bench);
}

/// Every line is found once, and the archive has what was archived.
#[track_caller]
fn check(bench: &Bench) {
    let (status, _, errors) = bench.place.ask(&["run"], &["--once"]);
    assert!(status.success(), "{errors}");
    let (status, found, errors) = bench.place.ask(&["search"], &["--output", "json"]);
    assert!(status.success() && errors.is_empty(), "{errors}");
    let events: Vec<serde_json::Value> =
        found.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let texts = |name: &str| -> Vec<String> {
        let text = |event: &serde_json::Value| event[name].as_str().expect("a text").to_owned();
        events.iter().map(text).collect()
    };
    let (ids, paths) = (texts(ID), texts(PATH));
    assert_eq!(bench.lines as usize, each_once("ids", ids.iter().map(String::as_str)).len());
    assert_eq!(bench.lines as usize, each_once("lines", paths.iter().map(String::as_str)).len());
    let (archived, _) = repeated_ids(&History::new(&bench.archive())).expect("a scan");
    assert!(bench.lines / 2 < archived, "{archived} of {} are archived", bench.lines);
    let times = texts("@timestamp");
    assert!(times.is_sorted(), "hits are not sorted by time");
    assert!(!bench.archive().join("_damaged").exists(), "a part was taken for damaged");
}

#[test]
fn a_run_from_cron_archives_and_a_search_finds_it() {
    let mut bench = Bench::new();
    let mut chance = Seeded::new(1);
    bench.write(&mut chance);
    let (status, _, errors) = bench.place.ask(&["run"], &["--once"]);
    assert!(status.success(), "{errors}");
    let (archived, _) = repeated_ids(&History::new(&bench.archive())).expect("a scan");
    assert_eq!(bench.lines, archived);
    let (_, found, _) = bench.place.ask(&["search"], &["--path", "/line/3"]);
    assert_eq!(1, found.lines().count(), "{found}");
    assert!(found.contains("GET /line/3  \"test\"  [") && found.contains("access.log:"), "{found}");
    let (_, found, errors) = bench.place.ask(&["search"], &["--client", "192.0.2.1"]);
    assert_eq!(("", "nothing found\n"), (found.as_str(), errors.as_str()));
}
