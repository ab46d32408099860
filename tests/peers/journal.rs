//! systemd's journal: a real one, written by `systemd-journal-remote` and read by `journalctl`. Each
//! message arrives once, also over kills; what is in the way is told with the way out.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::peer;
use super::support::{Place, each_once, now};

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

struct Journal {
    directory: PathBuf,
    messages: u64,
}

impl Journal {
    /// Nothing where the programs are missing.
    fn new(place: &Place) -> Option<Self> {
        peer("journalctl").and_then(|_| peer(REMOTE))?;
        let directory = place.path().join("journal");
        fs::create_dir(&directory).expect("a directory");
        Some(Self { directory, messages: 0 })
    }

    /// Adds failed log-ins of the users `from..to`, and beside each a message of another unit.
    fn add(&mut self, users: std::ops::Range<u32>) {
        let mut export = String::new();
        for user in users {
            let texts = [
                (
                    "ssh.service",
                    "sshd",
                    format!("Failed password for u{user} from 192.0.2.7 port 4000 ssh2"),
                ),
                ("cron.service", "CRON", "\"__CURSOR\":\"s=1\"".to_owned()),
            ];
            for (unit, program, text) in texts {
                self.messages += 1;
                let time = now().0 / 1000;
                export.push_str(&format!(
                    "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={}\n\
                     _BOOT_ID=0123456789abcdef0123456789abcdef\n_SYSTEMD_UNIT={unit}\n\
                     SYSLOG_IDENTIFIER={program}\n_PID=7\n_HOSTNAME=web1\nMESSAGE={text}\n\n",
                    self.messages
                ));
            }
        }
        let mut remote = Command::new(REMOTE);
        remote.arg("--output").arg(self.directory.join("remote.journal")).arg("-");
        let mut remote =
            remote.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        let mut input = remote.stdin.take().expect("a pipe");
        input.write_all(export.as_bytes()).expect("it reads");
        drop(input);
        assert!(remote.wait().expect("it ends").success());
    }

    fn source(&self) -> String {
        let path = format!("journal:{}", self.directory.display());
        format!("[[source]]\nname = \"ssh\"\npath = {path:?}\nunits = [\"ssh.service\"]\n")
    }
}

/// The log-ins of the users `0..count` arrived, each once.
#[track_caller]
fn check_events(place: &Place, count: u32) {
    let events = place.sunk();
    let names = events.iter().map(|event| {
        assert_eq!("failure", event["event"]["outcome"], "{event}");
        assert_eq!("192.0.2.7", event["source"]["ip"], "{event}");
        event["user"]["name"].as_str().expect("a user")
    });
    let found = each_once("log-ins", names);
    let missing = (0..count).find(|n| !found.contains_key(format!("u{n}").as_str()));
    assert_eq!((None, count as usize), (missing, found.len()));
}

#[test]
fn each_message_of_a_unit_arrives_once_over_kills() {
    let place = Place::new();
    let Some(mut journal) = Journal::new(&place) else { return };
    journal.add(0..300);
    place.configure(&journal.source());
    let mut daemon = place.run(&[]);
    place.until_delivered(300);
    journal.add(300..303);
    place.until_delivered(303);
    daemon.kill();
    journal.add(303..310);
    let mut daemon = place.run(&[]);
    place.until_delivered(310);
    daemon.kill();
    journal.add(310..320);
    let once = |lines: &str| {
        let (status, _, errors) = place.ask(&["run"], &["--once"]);
        assert!(status.success() && errors.contains(lines), "no `{lines}` in: {errors}");
    };
    once("10 lines read");
    once("0 lines read");
    check_events(&place, 320);
}

#[test]
fn the_end_of_the_journal_can_be_the_start() {
    let place = Place::new();
    let Some(mut journal) = Journal::new(&place) else { return };
    journal.add(1000..1010);
    place.configure(&(journal.source() + "start = \"end\"\n"));
    for (users, lines) in [(0..0, "0 lines read"), (0..4, "4 lines read")] {
        if !users.is_empty() {
            journal.add(users);
        }
        let (status, _, errors) = place.ask(&["run"], &["--once"]);
        assert!(status.success() && errors.contains(lines), "no `{lines}` in: {errors}");
    }
    check_events(&place, 4);
}

#[test]
fn scan_and_parse_read_a_journal_too() {
    let place = Place::new();
    let Some(mut journal) = Journal::new(&place) else { return };
    journal.add(0..5);
    let mut parse = Command::new(env!("CARGO_BIN_EXE_gatewatch"));
    parse.arg("parse").arg(format!("journal:{}", journal.directory.display()));
    let events = super::output(&mut parse);
    let failed = events.lines().filter(|line| line.contains("\"outcome\":\"failure\"")).count();
    assert_eq!((10, 5), (events.lines().count(), failed), "{events}");
}

/// A stand-in for `journalctl` that says `text` and fails, in a directory of its own.
fn failing_journalctl(place: &Place, text: &str) -> PathBuf {
    let directory = place.path().join("bin");
    fs::create_dir(&directory).expect("a directory");
    let program = directory.join("journalctl");
    fs::write(&program, format!("#!/bin/sh\necho '{text}' >&2\nexit 1\n")).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
    directory
}

/// The daemon says each of `words` when `journalctl` is looked for in `directory`.
#[track_caller]
fn check_told(place: &Place, directory: &Path, words: &[&str]) {
    place.configure("[[source]]\npath = \"journal:\"\n");
    let mut command = place.gatewatch(&["run"], &["--once"]);
    let output = command.env("PATH", directory).stdin(Stdio::null()).output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(errors.contains(word), "no `{word}` in: {errors}");
    }
}

#[test]
fn what_keeps_the_journal_from_being_read_is_told_with_the_way_out() {
    let place = Place::new();
    let said = "No journal files were opened due to insufficient permissions.";
    let directory = failing_journalctl(&place, said);
    check_told(&place, &directory, &["cannot read the journal", "usermod -aG systemd-journal"]);
    let nowhere = place.path().join("nowhere");
    check_told(&place, &nowhere, &["journalctl is not installed", "rsyslog"]);
}
