//! gatewatch between real programs: web servers that write its logs, and the programs that take
//! what it makes of them.
//!
//! Each test looks for its peer on the `PATH` and among the system's daemons. One that is not
//! installed is skipped with a word, or fails the test where `GATEWATCH_REQUIRE_PEERS` is 1.
//! A peer runs under its own configuration on a loopback port of its own; nothing of the machine's
//! services is touched.

#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "support/http.rs"]
mod http;
mod support;

#[path = "peers/alertmanager.rs"]
mod alertmanager;
#[path = "peers/apache.rs"]
mod apache;
#[path = "encodings/decode.rs"]
mod decode;
#[path = "peers/fields.rs"]
mod fields;
#[path = "peers/hostile/mod.rs"]
mod hostile;
#[path = "peers/journal.rs"]
mod journal;
#[path = "peers/logrotate.rs"]
mod logrotate;
#[path = "peers/nginx.rs"]
mod nginx;
#[path = "peers/otlp.rs"]
mod otlp;
#[path = "peers/prometheus.rs"]
mod prometheus;
#[path = "encodings/readback.rs"]
mod readback;
#[path = "peers/receiver.rs"]
mod receiver;
#[path = "peers/rsyslog.rs"]
mod rsyslog;
#[path = "peers/scrape.rs"]
mod scrape;
#[path = "peers/smtp.rs"]
mod smtp;
#[path = "peers/syslog.rs"]
mod syslog;
#[path = "peers/syslog_ng.rs"]
mod syslog_ng;
#[path = "peers/values.rs"]
mod values;
#[path = "peers/volume.rs"]
mod volume;
#[path = "peers/web.rs"]
mod web;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Directories of daemons that an ordinary user's `PATH` does not have.
const DAEMONS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// The peer `name`; nothing when the test is to be skipped.
#[track_caller]
fn peer(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(std::env::split_paths(DAEMONS));
    let found = directories.map(|directory| directory.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// Says that a test is skipped; fails it where all peers must be there.
#[track_caller]
fn skip(reason: &str) {
    let required = std::env::var_os("GATEWATCH_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "{reason}");
    eprintln!("skipped: {reason}");
}

/// A loopback port that is free now, and none of those that outgoing connections take: with many of
/// them around, one would be gone before a peer listens on it.
fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let number =
            std::process::id().wrapping_mul(31).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + (number % 12_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// How many datagrams the kernel has thrown away that were for `port`: the receiver was too slow.
fn kernel_drops(port: u16) -> u64 {
    let table =
        std::fs::read_to_string("/proc/net/udp").expect("the kernel's table of UDP sockets");
    let is_it =
        |words: &[&str]| words.get(1).is_some_and(|at| at.ends_with(&format!(":{port:04X}")));
    let rows = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<&str>>());
    let row = rows.into_iter().find(|words| is_it(words)).expect("the receiver's socket");
    row.last().and_then(|drops| drops.parse().ok()).expect("a count")
}

/// Runs a program to its end; the answer is its standard output.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("the answer is UTF-8")
}

/// A file beside the tests of the peers.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}
