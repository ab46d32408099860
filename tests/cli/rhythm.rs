//! What is learnt from old logs, and how it is shown.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use gatewatch::units::{Period, Timestamp};
use tempfile::TempDir;

use super::Gatewatch;

/// Five weeks of requests: sixty an hour by day, six by night, twice as many on Thursdays.
fn old_log() -> String {
    let monday = Timestamp::from_secs(1_767_571_200);
    let mut log = String::new();
    for hour in 0..5 * 168u64 {
        let by_day = (8..20).contains(&(hour % 24));
        let count = if by_day { 60 } else { 6 } * if hour / 24 % 7 == 3 { 2 } else { 1 };
        for n in 0..count {
            let time = monday.plus(Period::from_secs(3600 * hour + 3600 * n / count)).rfc3339();
            let _ = writeln!(
                log,
                "{{\"time\":\"{time}\",\"remote_addr\":\"10.0.{}.7\",\"request_method\":\"GET\",\
                 \"request_uri\":\"/\",\"status\":200,\"host\":\"www.example.org\"}}",
                n % 200
            );
        }
    }
    log
}

fn configured(folder: &Path) -> String {
    let store = folder.join("state");
    let log = folder.join("access.log");
    fs::write(&log, old_log()).expect("the log can be written");
    let config = folder.join("gatewatch.toml");
    let text = format!(
        "[store]\npath = {store:?}\n[calendar]\ntimezone = \"UTC\"\n\
         [[source]]\nname = \"web\"\npath = {log:?}\nformat = \"json\"\n"
    );
    fs::write(&config, text).expect("the configuration can be written");
    config.display().to_string()
}

#[test]
fn weeks_are_learnt_from_old_logs_and_shown_with_reasons() {
    let folder = TempDir::new().expect("a folder");
    let config = configured(folder.path());
    let log = folder.path().join("access.log").display().to_string();
    let call = |args: &[&str]| Gatewatch::new(args).file("--config").file(&config).run();

    let learnt = call(&["learn", &log]);
    assert_eq!(0, learnt.code, "{learnt:?}");
    assert!(learnt.out.contains("requests@www.example.org"), "{learnt:?}");
    let again = call(&["learn", &log]);
    assert_ne!(0, again.code, "no line counts twice: {again:?}");

    let series = "requests@www.example.org";
    let show = |at: &str| {
        let shown = call(&["model", "show", series, "--at", at, "--output", "json"]);
        assert_eq!(0, shown.code, "{shown:?}");
        shown.objects().remove(0)
    };
    let number = |at: &str, key: &str| show(at)[key].as_f64().expect("a number");
    // A Thursday and a Friday of the week after.
    let (noon, night, friday) =
        ("2026-02-12T12:00:00Z", "2026-02-12T03:30:00Z", "2026-02-13T12:00:00Z");
    assert!((100.0..140.0).contains(&number(noon, "expected")), "{}", show(noon));
    assert!((9.0..15.0).contains(&number(night, "expected")), "{}", show(night));
    assert!((50.0..75.0).contains(&number(friday, "expected")), "{}", show(friday));
    assert!(number(noon, "low") < number(noon, "expected"));
    assert!(number(noon, "high") < number(noon, "too_much_from"));
    assert_eq!("ready", show(noon)["stage"]);

    let explained = call(&["model", "show", series, "--at", noon]).out;
    for word in ["expected", "usual", "dispersion", "budget", "limit", "too much"] {
        assert!(explained.contains(word), "{word}: {explained}");
    }
    let all = call(&["model", "show"]);
    assert!(all.out.contains("lines@web"), "{all:?}");
    let unknown = call(&["model", "show", "requests@nowhere"]);
    assert!(unknown.err.contains("gatewatch model show"), "{unknown:?}");
}
