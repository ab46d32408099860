//! The command line as people and scripts meet it: exit codes, messages, pipes, and help.
//!
//! Invariant: no call ever ends in a panic, and nothing that a log or a file name holds reaches the
//! terminal as a control character. [`Gatewatch::run`] checks both for every call made here.

#![expect(clippy::print_stdout, reason = "what was skipped is told")]

#[path = "cli/feeds.rs"]
mod feeds;
#[path = "cli/rhythm.rs"]
mod rhythm;
#[path = "cli/rules.rs"]
mod rules;
#[path = "cli/siem.rs"]
mod siem;
#[path = "cli/test.rs"]
mod test;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::Command as Assert;
use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_gatewatch");

/// Exit codes of sysexits.h that scripts rely on.
const USAGE: i32 = 2;
const DATA: i32 = 65;
const NO_INPUT: i32 = 66;
const NO_PERMISSION: i32 = 77;
const CONFIG: i32 = 78;

/// What one call gave.
#[derive(Debug)]
struct Outcome {
    code: i32,
    out: String,
    err: String,
}

impl Outcome {
    /// The lines of standard output as JSON objects.
    fn objects(&self) -> Vec<Value> {
        let object = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
        };
        self.out.lines().map(object).collect()
    }
}

/// A call of the program.
struct Gatewatch(Assert);

impl Gatewatch {
    fn new(arguments: &[&str]) -> Self {
        let mut command = Assert::new(BINARY);
        command.args(arguments).env("COLUMNS", "100").env("TZ", "UTC").env_remove("NO_COLOR");
        // A call that never ends is a failure, not a wait.
        command.timeout(Duration::from_secs(60));
        Self(command)
    }

    fn file(mut self, path: impl AsRef<OsStr>) -> Self {
        self.0.arg(path);
        self
    }

    fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.write_stdin(bytes);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it; a panic, or a control character on either output, fails the test.
    #[track_caller]
    fn run(mut self) -> Outcome {
        outcome(&self.0.output().expect("the program starts"))
    }
}

#[track_caller]
fn outcome(output: &std::process::Output) -> Outcome {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!err.contains("panicked at"), "{err}");
    for (name, text) in [("output", &out), ("messages", &err)] {
        let odd = text.chars().find(|char| is_control(*char));
        assert_eq!(None, odd, "a control character in the {name}: {text:?}");
    }
    Outcome { code: output.status.code().expect("no signal ended the program"), out, err }
}

/// Characters that move the cursor, change colours or turn text around.
fn is_control(char: char) -> bool {
    (char.is_control() && char != '\n')
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A folder with files in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(name), content).expect("written");
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A line of a client that asks for `path` and is answered with `status`.
fn line(client: &str, second: u32, path: &str, status: u16) -> String {
    let clock = format!("07:{:02}:{:02}", second / 60 % 60, second % 60);
    format!(
        "{client} - - [20/Nov/2026:{clock} +0000] \"GET {path} HTTP/1.1\" {status} 512 \"-\" \"curl/8.5.0\"\n"
    )
}

/// A failed log-in with a name.
fn failed_login(client: &str, second: u32) -> String {
    line(client, second, "/members/", 401).replacen("- -", "- alice", 1)
}

fn ordinary_log() -> String {
    (0..20).map(|second| line("192.0.2.7", second, "/index.html", 200)).collect()
}

fn bzip2(text: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(text).expect("compressed");
    encoder.finish().expect("compressed")
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("compressed");
    encoder.finish().expect("compressed")
}

#[test]
fn a_missing_file_is_told_with_its_path_and_what_to_do() {
    for command in ["scan", "parse"] {
        let outcome = Gatewatch::new(&[command, "/nowhere/access.log"]).run();
        assert_eq!(NO_INPUT, outcome.code, "{outcome:?}");
        assert_eq!("", outcome.out);
        assert!(outcome.err.contains("/nowhere/access.log"), "{outcome:?}");
        assert!(outcome.err.contains("check the name"), "{outcome:?}");
        // Only a follower looks again.
        assert!(!outcome.err.contains("each second"), "{outcome:?}");
        assert_eq!(1, outcome.err.lines().count(), "{outcome:?}");
    }
}

#[test]
fn one_missing_file_of_several_stops_before_anything_is_printed() {
    let folder = Folder::new().with("a.log", ordinary_log());
    let call = Gatewatch::new(&["parse"]).file(folder.path("a.log")).file(folder.path("b.log"));
    let outcome = call.run();
    assert_eq!((NO_INPUT, ""), (outcome.code, outcome.out.as_str()), "{outcome:?}");
    assert!(outcome.err.contains("b.log"), "{outcome:?}");
}

#[test]
fn a_file_that_may_not_be_read_is_told_with_its_path_and_what_to_do() {
    let folder = Folder::new().with("secret.log", ordinary_log());
    let (path, program) = (folder.path("secret.log"), folder.path("gatewatch"));
    // Another user may not reach the build's folder. A process of its own copies: a program cannot
    // be started while a child of another test still holds the file that was written.
    let copied = Command::new("cp").arg(BINARY).arg(&program).status().expect("cp starts");
    assert!(copied.success());
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    };
    allow(folder.0.path(), 0o755);
    allow(&program, 0o755);
    let mut command = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        // Root may read everything, so another user asks.
        allow(&path, 0o600);
        command.uid(65_534).gid(65_534);
    } else {
        allow(&path, 0o000);
    }
    let outcome = outcome(&command.arg("scan").arg(&path).output().expect("the program starts"));
    assert_eq!(NO_PERMISSION, outcome.code, "{outcome:?}");
    assert!(outcome.err.contains("secret.log"), "{outcome:?}");
    assert!(outcome.err.contains("; "), "what to do stands behind the path: {outcome:?}");
}

#[test]
fn a_folder_without_a_log_is_refused() {
    let folder = Folder::new().with("wtmp", [0; 400]);
    for command in ["scan", "parse"] {
        let outcome = Gatewatch::new(&[command]).file(folder.0.path()).run();
        assert_eq!(NO_INPUT, outcome.code, "{outcome:?}");
        assert!(outcome.err.contains("no file with text"), "{outcome:?}");
    }
}

#[test]
fn of_a_folder_and_of_a_pattern_all_logs_are_read() {
    let log = ordinary_log();
    let (old, new) =
        log.split_at(log.len() / 2 + log[log.len() / 2..].find('\n').expect("lines") + 1);
    let folder = Folder::new()
        .with("access.log", new)
        .with("access.log.1.gz", gzip(old.as_bytes()))
        .with("journal", [0; 400]);
    let all = Gatewatch::new(&["parse"]).file(folder.0.path()).run();
    assert_eq!(20, all.objects().len());
    assert!(all.err.contains("Left out") && all.err.contains("/journal"), "{all:?}");
    let pattern = Gatewatch::new(&["parse"]).file(folder.path("access.log*")).run();
    assert_eq!((0, contents(&all)), (pattern.code, contents(&pattern)));
    assert_eq!("", pattern.err);
}

#[test]
fn utf_16_gives_the_same_events_with_offsets_of_the_file() {
    let log = ordinary_log();
    let wide = |text: &str| {
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()
    };
    let folder = Folder::new()
        .with("plain.log", &log)
        .with("windows.log", wide(&log.replace('\n', "\r\n")))
        .with("marked.log", format!("\u{feff}{log}"));
    let plain = contents(&Gatewatch::new(&["parse"]).file(folder.path("plain.log")).run());
    let windows = Gatewatch::new(&["parse"]).file(folder.path("windows.log")).run();
    assert_eq!(plain, contents(&windows));
    assert_eq!(plain, contents(&Gatewatch::new(&["parse"]).file(folder.path("marked.log")).run()));
    let lengths = log.lines().map(|line| (line.len() + 2) * 2);
    let offsets = lengths.scan(2, |at, length| Some(std::mem::replace(at, *at + length)));
    let found = windows.objects();
    let found =
        found.iter().map(|event| event["log"]["offset"].as_u64().expect("an offset") as usize);
    assert_eq!(offsets.collect::<Vec<_>>(), found.collect::<Vec<_>>());
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    for (arguments, reason) in [
        (&["parse", "--format", "combine", "-"][..], "did you mean `combined`?"),
        (&["parse", "--format", "xyzzy", "-"], "known are auto, combined, common"),
        (&["parse", "--log-format", "$remote_addr$status", "-"], "stand side by side"),
        (&["parse", "--log-format", "plain words", "-"], "no variable"),
        (&["parse", "--log-format", "", "-"], "it is empty"),
        (&["parse", "--log-format", "%h %Z", "-"], "`%Z` is no directive"),
        (&["parse", "--pattern", "(", "-"], "bad pattern"),
        (&["parse", "--pattern", "x", "-"], "no named group"),
        (&["parse", "--format", "combined", "--log-format", "%h", "-"], "cannot be used with"),
        (&["scan", "--threads", "0", "-"], "1..=256"),
        (&["scan", "--trusted-proxies", "10.0.0.0/99", "-"], "10.0.0.0/99"),
        (&["scan", "--output", "pdf", "-"], "possible values"),
        (&["scann", "-"], "scan"),
        (&[], "Usage: gatewatch <COMMAND>"),
    ] {
        let outcome = Gatewatch::new(arguments).input("").run();
        assert_eq!(USAGE, outcome.code, "{arguments:?}: {outcome:?}");
        assert_eq!("", outcome.out, "{arguments:?}");
        assert!(outcome.err.contains(reason), "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn an_unknown_zone_is_refused_with_an_example() {
    let outcome = Gatewatch::new(&["parse", "--timezone", "Mars/Phobos", "-"]).input("").run();
    assert_eq!((USAGE, ""), (outcome.code, outcome.out.as_str()), "{outcome:?}");
    assert_eq!(1, outcome.err.lines().count(), "{outcome:?}");
    assert!(
        outcome.err.contains("`Mars/Phobos` is no time zone; write one such as"),
        "{outcome:?}"
    );
}

#[test]
fn a_reader_that_has_had_enough_ends_the_command_quietly() {
    // Far more than a pipe holds, so that the program is still writing.
    let log: String = (0..20_000).map(|second| line("192.0.2.7", second, "/", 200)).collect();
    let folder = Folder::new().with("a.log", log);
    let mut command = Command::new(BINARY);
    command.arg("parse").arg(folder.path("a.log"));
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
    reader.read_line(&mut first).expect("a line");
    drop(reader);
    let outcome = outcome(&child.wait_with_output().expect("the program ends"));
    assert_eq!((0, ""), (outcome.code, outcome.err.as_str()));
    assert!(first.starts_with("{\"@timestamp\""), "{first}");
}

#[test]
fn standard_input_is_read_like_a_file() {
    let folder = Folder::new().with("a.log", ordinary_log());
    let from_file = Gatewatch::new(&["parse"]).file(folder.path("a.log")).run();
    for command in [&["parse", "-"][..], &["parse"]] {
        let from_pipe = Gatewatch::new(command).input(ordinary_log()).run();
        assert_eq!((0, 0), (from_file.code, from_pipe.code));
        assert_eq!(contents(&from_file), contents(&from_pipe));
    }
}

/// What the lines of a log say, without where they were found.
fn contents(outcome: &Outcome) -> Vec<Value> {
    let mut objects = outcome.objects();
    for object in &mut objects {
        for name in ["id", "created", "sequence"] {
            object["event"].as_object_mut().expect("an event").remove(name);
        }
        let log = object["log"].as_object_mut();
        if let Some(log) = log {
            log.remove("file");
            log.remove("offset");
        }
    }
    objects
}

#[test]
fn compressed_logs_are_read_like_plain_ones() {
    let log = ordinary_log();
    let folder = Folder::new()
        .with("plain.log", &log)
        .with("rotated.gz", gzip(log.as_bytes()))
        .with("rotated.bz2", bzip2(log.as_bytes()))
        // What counts is the content, not the name.
        .with("rotated.log", zstd::encode_all(log.as_bytes(), 1).expect("compressed"));
    let plain = contents(&Gatewatch::new(&["parse"]).file(folder.path("plain.log")).run());
    assert_eq!(20, plain.len());
    for name in ["rotated.gz", "rotated.bz2", "rotated.log"] {
        let outcome = Gatewatch::new(&["parse"]).file(folder.path(name)).run();
        assert_eq!(plain, contents(&outcome), "{name}");
    }
}

#[test]
fn a_compressed_log_that_is_cut_is_used_as_far_as_it_goes() {
    let whole = gzip(ordinary_log().as_bytes());
    let folder = Folder::new().with("cut.gz", &whole[..whole.len() - 6]);
    let outcome = Gatewatch::new(&["parse"]).file(folder.path("cut.gz")).run();
    assert_eq!(DATA, outcome.code, "{outcome:?}");
    assert_eq!(20, outcome.objects().len());
    assert!(outcome.err.contains("cut.gz: it is cut or damaged"), "{outcome:?}");
    assert!(outcome.err.contains("what was read before is used"), "{outcome:?}");
    let scan = Gatewatch::new(&["scan"]).file(folder.path("cut.gz")).run();
    assert_eq!(DATA, scan.code, "{scan:?}");
    assert!(scan.out.contains("20 lines"), "{}", scan.out);
}

#[test]
fn a_compressed_log_without_a_whole_line_does_not_stop_the_others() {
    let whole = gzip(ordinary_log().as_bytes());
    let folder =
        Folder::new().with("cut.gz", &whole[..whole.len().min(24)]).with("a.log", ordinary_log());
    let call = Gatewatch::new(&["parse"]).file(folder.path("cut.gz")).file(folder.path("a.log"));
    let outcome = call.run();
    assert_eq!(DATA, outcome.code, "{outcome:?}");
    assert_eq!(20, outcome.objects().len());
    assert_eq!(1, outcome.err.lines().count(), "{outcome:?}");
}

#[test]
fn a_log_in_a_compression_that_is_not_read_is_refused_with_the_way_to_read_it() {
    let folder = Folder::new().with("a.zip", b"PK\x03\x04");
    let outcome = Gatewatch::new(&["scan"]).file(folder.path("a.zip")).run();
    assert_eq!((DATA, ""), (outcome.code, outcome.out.as_str()), "{outcome:?}");
    assert!(outcome.err.contains("unzip -p FILE | gatewatch scan -"), "{outcome:?}");
}

#[test]
fn a_week_that_is_none_is_refused_before_anything_is_read() {
    for (week, reason) in [
        ("nonsense", "is not a week"),
        ("2026-W99", "is not a week"),
        ("2026-11-20..2026-11-13", "is not a stretch of 1 to 31 days"),
    ] {
        let outcome = Gatewatch::new(&["report", "--week", week]).run();
        assert_eq!((USAGE, ""), (outcome.code, outcome.out.as_str()), "{outcome:?}");
        assert!(outcome.err.contains(reason) && outcome.err.contains("such as"), "{outcome:?}");
    }
}

#[test]
fn without_a_store_alerts_and_report_say_how_one_comes_to_be() {
    let place = Place::new("");
    for arguments in [&["alerts"][..], &["report"], &["report", "--week", "2026-W47"]] {
        let outcome = place.call(arguments).run();
        assert_eq!((NO_INPUT, ""), (outcome.code, outcome.out.as_str()), "{outcome:?}");
        assert!(outcome.err.contains("start `gatewatch run` first"), "{outcome:?}");
    }
}

#[test]
fn what_the_configuration_lacks_is_told_as_its_mistake() {
    let outcome = Place::new("").call(&["notify", "test"]).run();
    assert_eq!((CONFIG, ""), (outcome.code, outcome.out.as_str()), "{outcome:?}");
    assert!(outcome.err.contains("nothing can be sent"), "{outcome:?}");
}

/// A configuration with a folder for its store and its sink.
struct Place(Folder);

impl Place {
    fn new(more: &str) -> Self {
        let folder = Folder::new();
        let (store, events) = (folder.path("state"), folder.path("events.jsonl"));
        let text = format!(
            "[store]\npath = {store:?}\n[serve]\nlisten = \"127.0.0.1:0\"\n\
             [[sink]]\ntype = \"file\"\nname = \"events\"\npath = {events:?}\n{more}"
        );
        Self(folder.with("gatewatch.toml", text))
    }

    fn call(&self, arguments: &[&str]) -> Gatewatch {
        Gatewatch::new(arguments).file("-c").file(self.0.path("gatewatch.toml"))
    }

    /// What the sink was given.
    fn sunk(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.0.path("events.jsonl")).expect("the sink has written");
        text.lines().map(|line| serde_json::from_str(line).expect("valid JSON")).collect()
    }
}

const STDIN: &str = "[[source]]\npath = \"-\"\n";

#[test]
fn the_daemon_reads_standard_input_to_its_end_and_ends_with_it() {
    for once in [&["run"][..], &["run", "--once"]] {
        let place = Place::new(STDIN);
        let log = format!("{}last without its line end", ordinary_log());
        let first = place.call(once).input(log.clone()).run();
        assert_eq!(0, first.code, "{first:?}");
        assert!(first.err.contains("watching standard input"), "{first:?}");
        assert!(first.err.contains("21 lines read"), "{first:?}");
        // The same again is something new: a pipe that is not the one before.
        assert_eq!(0, place.call(once).input(log).run().code);
        let events = place.sunk();
        assert_eq!(42, events.len());
        let ids: BTreeSet<String> =
            events.iter().map(|event| event["event"]["id"].to_string()).collect();
        assert_eq!(42, ids.len(), "no id comes twice");
        assert_eq!("/index.html", events[0]["url"]["path"]);
        assert_eq!("last without its line end", events[20]["event"]["original"]);
    }
}

#[test]
fn a_large_input_of_the_daemon_arrives_whole_and_in_order() {
    let place = Place::new(STDIN);
    let client = |number| format!("192.0.2.{}", number % 200);
    let lines = (0..12_000).map(|number| line(&client(number), number, &format!("/{number}"), 200));
    let outcome = place.call(&["run", "--quiet"]).input(lines.collect::<String>()).run();
    assert_eq!(0, outcome.code, "{outcome:?}");
    let events = place.sunk();
    assert_eq!(12_000, events.len());
    let in_order = |(number, event): (usize, &Value)| {
        event["url"]["path"].as_str() == Some(format!("/{number}").as_str())
    };
    assert!(events.iter().enumerate().all(in_order));
}

#[test]
fn columns_named_on_standard_input_are_known_to_the_next_run() {
    let place = Place::new(STDIN);
    let line = |path: &str| format!("2026-11-20 07:46:41 192.0.2.7 {path} 200\n");
    let header = "#Version: 1.0\n#Fields: date time c-ip cs-uri-stem sc-status\n";
    for input in [format!("{header}{}", line("/a")), line("/b"), line("/c")] {
        let outcome = place.call(&["run", "--once"]).input(input).run();
        assert!(outcome.code == 0 && outcome.err.contains("1 lines read"), "{outcome:?}");
    }
    let events = place.sunk();
    let paths: Vec<&str> =
        events.iter().filter_map(|event| event["url"]["path"].as_str()).collect();
    assert_eq!(["/a", "/b", "/c"], *paths);
}

#[test]
fn sinks_hand_lines_to_standard_output_and_to_a_program() {
    let folder = Folder::new();
    let (got, program) = (folder.path("got"), folder.path("program"));
    fs::write(&program, format!("#!/bin/sh\ncat > {got:?}.part; mv {got:?}.part {got:?}\n"))
        .expect("written");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&program, executable).expect("a program");
    let place = Place::new(&format!(
        "{STDIN}[[sink]]\ntype = \"stdout\"\nencoding = \"csv\"\n\
         [[sink]]\ntype = \"exec\"\ncommand = [{program:?}]\n"
    ));
    let outcome = place.call(&["run", "--once"]).input(ordinary_log()).run();
    assert_eq!(0, outcome.code, "{outcome:?}");
    let mut rows = outcome.out.lines();
    assert!(rows.next().is_some_and(|header| header.starts_with("time,")), "{}", outcome.out);
    assert_eq!(20, rows.count());
    while !Path::new(&got).exists() {
        std::thread::yield_now();
    }
    let text = fs::read_to_string(&got).expect("the lines");
    assert_eq!(20, text.lines().count());
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn a_daemon_that_also_follows_files_goes_on_when_standard_input_ends() {
    let folder = Folder::new().with("a.log", ordinary_log());
    let path = folder.path("a.log");
    let place = Place::new(&format!("{STDIN}[[source]]\npath = {path:?}\n"));
    let outcome = place.call(&["run", "--once"]).input(ordinary_log()).run();
    assert_eq!(0, outcome.code, "{outcome:?}");
    assert_eq!(40, place.sunk().len());
}

#[test]
fn alerts_see_the_lines_of_all_files_in_the_order_of_their_times() {
    let attack = |seconds: &mut dyn Iterator<Item = u32>| -> String {
        seconds.map(|number| failed_login("198.51.100.23", 12 * number)).collect()
    };
    // In neither file alone are there enough failures.
    let folder = Folder::new()
        .with("a.log", attack(&mut (0..16).step_by(2)))
        .with("b.log", attack(&mut (1..16).step_by(2)))
        .with("both.log", attack(&mut (0..16)));
    let alerts = |names: &[&str]| -> Vec<(Value, Value, Value)> {
        let call = Gatewatch::new(&["scan", "--output", "alerts"]);
        let call = names.iter().fold(call, |call, name| call.file(folder.path(name)));
        let outcome = call.run();
        assert_eq!((0, ""), (outcome.code, outcome.err.as_str()));
        let told = |alert: Value| {
            let rule = alert["rule"]["id"].clone();
            (rule, alert["source"]["ip"].clone(), alert["@timestamp"].clone())
        };
        outcome.objects().into_iter().map(told).collect()
    };
    assert!(alerts(&["a.log"]).is_empty());
    assert!(alerts(&["b.log"]).is_empty());
    let both = alerts(&["both.log"]);
    assert!(both.iter().any(|(rule, ..)| rule == "auth.bruteforce.client"), "{both:?}");
    let rules: BTreeSet<String> = both.iter().map(|(rule, ..)| rule.to_string()).collect();
    let merged = alerts(&["a.log", "b.log"]);
    let merged_rules: BTreeSet<String> = merged.iter().map(|(rule, ..)| rule.to_string()).collect();
    assert_eq!(rules, merged_rules);
}

#[test]
fn the_file_with_the_older_lines_is_read_first() {
    let attack = |client: &str, start: u32| -> String {
        (start..start + 16).map(|second| failed_login(client, second)).collect()
    };
    let folder = Folder::new()
        .with("new.log", attack("198.51.100.23", 1800))
        .with("old.log", attack("203.0.113.23", 0));
    let call = Gatewatch::new(&["scan", "--output", "alerts"]);
    let outcome = call.file(folder.path("new.log")).file(folder.path("old.log")).run();
    let alerts = outcome.objects();
    let times: Vec<&str> = alerts.iter().filter_map(|alert| alert["@timestamp"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
    for client in ["198.51.100.23", "203.0.113.23"] {
        assert!(outcome.out.contains(client), "{client} in {}", outcome.out);
    }
}

#[test]
fn an_empty_log_is_no_mistake() {
    let folder = Folder::new().with("empty.log", "");
    for input in [Some(folder.path("empty.log")), None] {
        let call = |arguments: &[&str]| match &input {
            Some(path) => Gatewatch::new(arguments).file(path).run(),
            None => Gatewatch::new(arguments).file("-").input("").run(),
        };
        let parsed = call(&["parse"]);
        assert_eq!((0, "", ""), (parsed.code, parsed.out.as_str(), parsed.err.as_str()));
        let alerts = call(&["scan", "--output", "alerts"]);
        assert_eq!((0, ""), (alerts.code, alerts.out.as_str()));
        let report = call(&["scan"]);
        assert_eq!(0, report.code);
        assert!(report.out.contains("0 lines"), "{}", report.out);
        let json = call(&["scan", "--output", "json"]);
        let json: Value = serde_json::from_str(&json.out).expect("valid JSON");
        assert_eq!(0, json["lines"]);
    }
}

#[test]
fn line_ends_of_windows_are_line_ends() {
    let unix = Gatewatch::new(&["parse", "-"]).input(ordinary_log()).run();
    let windows = Gatewatch::new(&["parse", "-"]).input(ordinary_log().replace('\n', "\r\n")).run();
    assert_eq!(contents(&unix), contents(&windows));
}

#[test]
fn the_report_as_json_is_one_object_and_alerts_are_one_a_line() {
    let attack: String = (0..40).map(|second| failed_login("198.51.100.23", second)).collect();
    let json = Gatewatch::new(&["scan", "--output", "json", "-"]).input(attack.clone()).run();
    let json: Value = serde_json::from_str(&json.out).expect("valid JSON");
    assert_eq!(40, json["lines"]);
    assert_eq!(40, json["logins"]["failure"]);
    let alerts = Gatewatch::new(&["scan", "--output", "alerts", "-"]).input(attack).run();
    let alerts = alerts.objects();
    assert!(!alerts.is_empty());
    for alert in &alerts {
        for name in ["/@timestamp", "/rule/id", "/rule/name", "/source/ip"] {
            assert!(alert.pointer(name).is_some(), "{name} in {alert}");
        }
        assert_eq!("alert", alert["event"]["kind"], "{alert}");
    }
    let listed = json["alerts"].as_array().expect("a list of alerts");
    assert!(!listed.is_empty(), "the report holds them as well");
}

#[test]
fn each_line_gives_one_event_in_its_place() {
    let log = format!(
        "{}\n\r\nno log line\n{}\0\0{}last without its line end",
        line("192.0.2.1", 1, "/one", 200),
        line("192.0.2.2", 2, "/two", 200),
        line("192.0.2.3", 3, "/three", 200),
    );
    let events = Gatewatch::new(&["parse", "-"]).input(log).run().objects();
    let told: Vec<&str> = events
        .iter()
        .map(|event| match event["event"]["kind"].as_str() {
            Some("pipeline_error") => event["event"]["original"].as_str().unwrap_or("-"),
            _ => event["url"]["path"].as_str().unwrap_or("-"),
        })
        .collect();
    let expected = ["/one", "", "", "no log line", "/two", "/three", "last without its line end"];
    assert_eq!(expected, *told);
}

#[test]
fn the_order_holds_however_many_threads_parse() {
    // Several blocks for each worker.
    let paths = (0..12_000).map(|number| line("192.0.2.7", number, &format!("/{number}"), 200));
    let folder = Folder::new().with("a.log", paths.collect::<String>());
    let parsed = |threads: &str| {
        Gatewatch::new(&["parse", "--encoding", "ecs_compact", "--threads", threads])
            .file(folder.path("a.log"))
            .run()
    };
    let (one, four) = (contents(&parsed("1")), contents(&parsed("4")));
    assert_eq!(12_000, one.len());
    assert_eq!("/11999", one[11_999]["url"]["path"]);
    assert!(one == four, "four threads give other events than one");
}

#[test]
fn a_connection_is_known_in_the_blocks_behind_its_first_line() {
    // Each connection ends some blocks later than it begins, in a line that does not name it.
    const OPEN: usize = 3_000;
    let mut log = String::new();
    for number in 0..8_000_usize {
        let client = format!("192.0.{}.{}", number / 250, number % 250);
        log.push_str(&format!(
            "Nov 20 07:46:41 web1 sshd[{number}]: Connection from {client} port 5 on 192.0.2.1 port 22\n"
        ));
        if let Some(ended) = number.checked_sub(OPEN) {
            log.push_str(&format!(
                "Nov 20 07:46:41 web1 sshd[{ended}]: fatal: Read from socket failed [preauth]\n"
            ));
        }
    }
    let folder = Folder::new().with("auth.log", &log);
    for threads in ["1", "4"] {
        let parsed = Gatewatch::new(&["parse", "--format", "auth", "--threads", threads])
            .file(folder.path("auth.log"))
            .run();
        let ended = parsed
            .objects()
            .into_iter()
            .filter(|event| event["event"]["action"] == "preauth_disconnect");
        let ended: Vec<Value> = ended.collect();
        assert_eq!(8_000 - OPEN, ended.len());
        for (number, event) in ended.iter().enumerate() {
            let client = format!("192.0.{}.{}", number / 250, number % 250);
            assert_eq!(Value::from(client), event["source"]["ip"], "{threads} threads: {number}");
            assert_eq!("session", event["gatewatch"]["client_ip_source"]);
        }
    }
}

#[test]
fn a_visit_goes_on_in_the_blocks_behind_its_first_line() {
    // 40 members come again every 4 s, for two hours; one block is a good hour.
    let at = |second: usize| {
        format!("{:02}:{:02}:{:02}", 7 + second / 3600, second / 60 % 60, second % 60)
    };
    let log: String = (0..7_200)
        .map(|second| {
            let member = second % 4 * 10 + second / 4 % 10;
            let time = at(second);
            format!(
                "192.0.2.{member} - member{member} [20/Nov/2026:{time} +0000] \"GET /{second} HTTP/1.1\" 200 5\n"
            )
        })
        .collect();
    let folder = Folder::new().with("a.log", &log);
    for threads in ["1", "4"] {
        let parsed = Gatewatch::new(&["parse", "--protected", "/", "--threads", threads])
            .file(folder.path("a.log"))
            .run();
        let log_ins =
            parsed.objects().into_iter().filter(|event| event["event"]["action"] == "login");
        let paths: Vec<String> = log_ins.map(|event| event["url"]["path"].to_string()).collect();
        let expected: Vec<String> = (0..40).map(|second| format!("\"/{second}\"")).collect();
        assert_eq!(expected, paths, "{threads} threads");
    }
}

#[test]
fn columns_named_in_a_file_hold_for_the_blocks_behind_them() {
    // Several blocks below each list of columns, which are parsed by whoever is free.
    let mut log = String::new();
    for part in 0..4 {
        let fields = if part % 2 == 0 { "c-ip cs-uri-stem" } else { "cs-uri-stem c-ip" };
        log.push_str(&format!("#Software: Example\r\n#Fields: date time {fields} sc-status\r\n"));
        for number in 0..6_000 {
            let values = match part % 2 {
                0 => format!("192.0.2.7 /{part}/{number}"),
                _ => format!("/{part}/{number} 192.0.2.7"),
            };
            log.push_str(&format!("2026-11-20 07:46:41 {values} 200\r\n"));
        }
    }
    let folder = Folder::new().with("a.log", &log);
    let parsed = |threads: &str| {
        let options = ["parse", "--encoding", "ecs_compact", "--threads", threads];
        Gatewatch::new(&options).file(folder.path("a.log")).run()
    };
    let (one, four) = (contents(&parsed("1")), contents(&parsed("4")));
    assert_eq!(log.lines().count(), one.len(), "one event a line");
    for (line, event) in log.lines().zip(&one) {
        let told = [&event["event"]["action"], &event["source"]["ip"], &event["url"]["path"]];
        let path = line.split(' ').find(|value| value.starts_with('/')).map(Value::from);
        let expected = match path {
            Some(path) => [Value::from("http_request"), Value::from("192.0.2.7"), path],
            None => [Value::from("log_directive"), Value::Null, Value::Null],
        };
        assert_eq!(expected.each_ref(), told, "{line}");
    }
    // A line about the log has the time at which it was read.
    let of_requests = |events: Vec<Value>| {
        let is_request = |event: &Value| event["event"]["action"] == "http_request";
        events.into_iter().filter(is_request).collect::<Vec<_>>()
    };
    assert!(of_requests(one) == of_requests(four), "four threads give other events than one");

    let report = Gatewatch::new(&["scan", "--output", "json"]).file(folder.path("a.log")).run();
    let report: Value = serde_json::from_str(&report.out).expect("valid JSON");
    assert_eq!((24_000.into(), 0.into()), (report["lines"].clone(), report["unparsed"].clone()));
}

#[test]
fn what_a_log_holds_never_moves_the_cursor() {
    let evil =
        ["\x1b]0;owned\x07", "\x1b[2J\x1b[31m", "\u{9b}31m", "\u{202e}gpj", "\x08\x08\x7f", "\r"];
    let mut log = String::new();
    for (second, text) in (0..).zip(evil) {
        for path in [text.to_owned(), text.escape_default().to_string()] {
            log.push_str(&line("198.51.100.66", second, &format!("/{path}"), 404));
            log.push_str(&failed_login("198.51.100.66", second).replace("alice", &path));
            log.push_str(&line("198.51.100.66", second, "/", 200).replace("curl/8.5.0", &path));
            log.push_str(&format!("{path} is no log line\n"));
        }
    }
    // Enough of it that every list of the report shows some.
    let log = log.repeat(20);
    let folder = Folder::new().with("evil\x1b[31m\u{202e}.log", &log);
    for output in ["human", "json", "alerts"] {
        let call = Gatewatch::new(&["scan", "--output", output]);
        let outcome = call.file(folder.path("evil\x1b[31m\u{202e}.log")).run();
        assert_eq!(0, outcome.code, "{outcome:?}");
        assert!(!outcome.out.is_empty());
    }
    let missing = Gatewatch::new(&["scan"]).file(folder.path("no\x1b[2J\u{202e}.log")).run();
    assert_eq!(NO_INPUT, missing.code);
}

#[test]
fn a_pipe_gets_no_colours() {
    for (name, value) in [("NO_COLOR", ""), ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")] {
        let outcome = Gatewatch::new(&["scan", "-"]).env(name, value).input(ordinary_log()).run();
        assert_eq!(0, outcome.code, "{name}={value}");
    }
}

#[test]
fn a_terminal_gets_colours_unless_somebody_objects() {
    let folder = Folder::new().with("a.log", ordinary_log());
    let shown = |option: &str, no_color: &str| {
        // `script` gives the program a terminal.
        let call = format!("'{BINARY}' scan {option} '{}'", folder.path("a.log").display());
        let mut command = Command::new("script");
        command.args(["-qec", &call, "/dev/null"]).env("NO_COLOR", no_color).stdin(Stdio::null());
        command.output().map(|output| String::from_utf8_lossy(&output.stdout).contains("\x1b["))
    };
    match shown("", "") {
        Err(error) => println!("skipped: no terminal can be made with `script`: {error}"),
        Ok(coloured) => {
            assert!(coloured, "a terminal shows colours");
            for (option, no_color) in [("", "1"), ("--no-color", "")] {
                assert_eq!(Some(false), shown(option, no_color).ok(), "{option} {no_color}");
            }
        }
    }
}

/// The help of every command by its words, found from the help of the command above it.
fn all_help() -> BTreeMap<Vec<String>, String> {
    let mut help = BTreeMap::new();
    let mut pending: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(words) = pending.pop() {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let outcome = Gatewatch::new(&arguments).run();
        assert_eq!((0, ""), (outcome.code, outcome.err.as_str()), "{arguments:?}");
        for name in commands_in(&outcome.out) {
            pending.push([words.clone(), vec![name]].concat());
        }
        help.insert(words, outcome.out);
    }
    help
}

/// The names in the list under `Commands:`.
fn commands_in(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = list.take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| name.to_owned())
    });
    names.collect()
}

#[test]
fn help_of_every_command_is_as_published() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| !value.is_empty());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cli");
    let name =
        |words: &[String]| format!("{}.txt", [&["gatewatch".to_owned()], words].concat().join("-"));
    let help = all_help();
    assert!(1 < help.len(), "the list of commands was found");
    if update {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        for (words, text) in &help {
            fs::write(folder.join(name(words)), text).expect("written");
        }
    }
    let advice = "run `UPDATE_GOLDEN=1 cargo test --test cli help` and review the diff";
    for (words, text) in &help {
        let path = folder.join(name(words));
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(&expected, text, "{}: {advice}", path.display());
    }
    let known: BTreeSet<String> = help.keys().map(|words| name(words)).collect();
    let entries = fs::read_dir(&folder).expect("golden help");
    let found: BTreeSet<String> = entries
        .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(known, found, "one file a command; {advice}");
}

#[test]
fn help_says_how_to_call_and_fits_on_a_terminal() {
    for (words, text) in all_help() {
        assert!(text.contains("Usage: gatewatch"), "{words:?}");
        let long = text.lines().find(|line| 100 < line.chars().count());
        assert_eq!(None, long, "{words:?}: more than 100 columns");
        let bare = text.lines().find(|line| line.starts_with("  -") && !line.trim().contains("  "));
        // An option without a word about it has its text on the next line, or none at all.
        if let Some(bare) = bare {
            let next = text.lines().skip_while(|line| *line != bare).nth(1).unwrap_or_default();
            assert!(next.starts_with("        "), "{words:?}: {bare} is not explained");
        }
    }
}

#[test]
fn the_version_is_told() {
    let outcome = Gatewatch::new(&["--version"]).run();
    assert_eq!(0, outcome.code);
    assert_eq!(format!("gatewatch {}\n", env!("CARGO_PKG_VERSION")), outcome.out);
}
