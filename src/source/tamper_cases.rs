//! What is called tampering and what is not, on real files.

use std::fs;

use super::cases::Bench;

/// A log that is longer than the head by which it is known.
fn log(lines: std::ops::Range<u32>) -> String {
    lines.map(|n| format!("192.0.2.1 - - [a time] \"GET /{n} HTTP/1.1\" 200 9\n")).collect()
}

fn bench() -> Bench {
    let mut bench = Bench::new("a.log");
    bench.write("a.log", log(0..100));
    assert_eq!(log(0..100), bench.read());
    bench
}

#[track_caller]
fn check(bench: &Bench, words: &[&str]) {
    let found: Vec<String> = bench.notices.iter().filter_map(|one| one.tampering()).collect();
    assert_eq!(words.len(), found.len(), "{found:?} {:?}", bench.notices);
    for (word, found) in words.iter().zip(found) {
        assert!(found.contains(word), "no `{word}` in: {found}");
    }
}

#[test]
fn rotations_are_no_tampering() {
    let mut renamed = bench();
    renamed.rename("a.log", "a.log.1");
    assert_eq!("", renamed.read());
    assert!(renamed.notices.iter().any(super::Notice::is_rotation));
    renamed.write("a.log", log(100..200));
    assert_eq!(log(100..200), renamed.read());
    check(&renamed, &[]);

    let mut copied = bench();
    copied.append("a.log", "rest\n");
    fs::copy(copied.path("a.log"), copied.path("a.log.1")).expect("copied");
    copied.truncate("a.log");
    assert_eq!("rest\n", copied.read());
    copied.append("a.log", &log(100..200));
    assert_eq!(log(100..200), copied.read());
    check(&copied, &[]);

    // The copy was made while the daemon was not running, and nothing was lost.
    let mut restarted = bench();
    restarted.restart();
    fs::copy(restarted.path("a.log"), restarted.path("a.log.1")).expect("copied");
    restarted.truncate("a.log");
    restarted.read();
    check(&restarted, &[]);
}

#[test]
fn a_log_that_is_emptied_is_tampered_with_also_when_all_of_it_was_read() {
    let mut bench = bench();
    bench.truncate("a.log");
    assert_eq!("", bench.read());
    assert_eq!("", bench.read_later());
    check(&bench, &["truncated and no rotated copy lies beside it; 0 bytes"]);
    bench.append("a.log", "1\n");
    assert_eq!("1\n", bench.read());
    check(&bench, &["truncated"]);
}

#[test]
fn lines_taken_out_are_noticed_in_place_and_in_a_new_file() {
    let mut cut = bench();
    cut.write("a.log", log(0..60) + &log(62..100));
    assert_eq!(log(0..60) + &log(62..100), cut.read(), "read again: nothing of it is passed over");
    check(&cut, &["begins as before and is shorter"]);

    // As long as before, with other words.
    let mut changed = bench();
    changed.write("a.log", log(0..100).replace("/99 ", "/00 ") + &log(100..101));
    changed.read();
    check(&changed, &["no rotated copy"]);

    let mut anew = bench();
    anew.write("b.log", log(0..60) + &log(62..100));
    anew.rename("b.log", "a.log");
    anew.read();
    check(&anew, &["begins as before"]);
    anew.read_later();
    check(&anew, &["begins as before"]);
}

#[test]
fn lines_taken_out_while_the_daemon_was_not_running_are_noticed() {
    let mut bench = bench();
    bench.restart();
    bench.write("b.log", log(0..60) + &log(62..100));
    bench.rename("b.log", "a.log");
    bench.read();
    let found: Vec<String> = bench.notices.iter().filter_map(|one| one.tampering()).collect();
    assert!(!found.is_empty(), "{:?}", bench.notices);
}

#[test]
fn a_log_written_anew_as_it_was_is_the_same_log() {
    let mut bench = bench();
    bench.write("b.log", log(0..110));
    bench.rename("b.log", "a.log");
    assert_eq!(log(100..110), bench.read());
    check(&bench, &[]);
}
