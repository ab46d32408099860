//! What the tests with web servers share: users, requests, and the account of what became of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::http::Pages;
use super::output;
use super::scrape::Metrics;
use super::support::{Place, Running, each_once, until};

/// Requests by status.
pub(crate) type Statuses = BTreeMap<u16, u64>;

/// The one who may log in, and the password.
pub(crate) const MEMBER: &str = "member017:correct horse";

/// Writes the password file of [`MEMBER`].
pub(crate) fn write_passwords(openssl: &Path, file: &Path) {
    let (user, password) = MEMBER.split_once(':').expect("a name and a password");
    let hash = output(Command::new(openssl).args(["passwd", "-apr1", "-salt", "gw", password]));
    std::fs::write(file, format!("{user}:{hash}")).expect("the password file is written");
}

/// Waits until the server answers, without a trace in its log.
pub(crate) fn until_listening(address: &str) {
    until("the web server", || std::net::TcpStream::connect(address).ok().map(drop));
}

/// Sends one request a path with curl; the answers are counted.
pub(crate) fn curl(curl: &Path, base: &str, options: &[&str], paths: &[String]) -> Statuses {
    let mut command = Command::new(curl);
    command.args(["--silent", "--noproxy", "*", "--write-out", "%{http_code}\n"]).args(options);
    for path in paths {
        command.args(["--output", "/dev/null"]).arg(format!("{base}{path}"));
    }
    let mut statuses = Statuses::new();
    for status in output(&mut command).lines() {
        *statuses.entry(status.parse().expect("a status")).or_default() += 1;
    }
    statuses
}

/// Adds `more` to `sum`.
pub(crate) fn add(sum: &mut Statuses, more: &Statuses) {
    for (status, count) in more {
        *sum.entry(*status).or_default() += count;
    }
}

/// Paths under `prefix` that differ.
pub(crate) fn paths(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

/// The statuses in a server's own logs, read without gatewatch: the word behind the request.
pub(crate) fn logged(files: &[&str]) -> Statuses {
    let mut statuses = Statuses::new();
    for line in files.iter().flat_map(|text| text.lines()) {
        let status = line.split('"').nth(2).and_then(|rest| rest.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        *statuses.entry(status.unwrap_or_else(|| panic!("no status: {line}"))).or_default() += 1;
    }
    statuses
}

/// Everything the daemon says about the requests agrees with `sent`, and `failures` of them were
/// log-ins that failed. Stops the daemon.
#[track_caller]
pub(crate) fn check(place: &Place, daemon: &mut Running, sent: &Statuses, failures: u64) {
    let pages = Pages::of(daemon);
    let total: u64 = sent.values().sum();
    until("the last request", || {
        let seen = Metrics::of(&pages).sum("gatewatch_http_requests_total", &[]);
        (total <= seen).then_some(())
    });
    let metrics = Metrics::of(&pages);
    for (status, count) in sent {
        let label = format!("status=\"{status}\"");
        let found = metrics.sum("gatewatch_http_requests_total", &[&label]);
        assert_eq!(*count, found, "status {status} in the metrics");
    }
    assert_eq!(total, metrics.sum("gatewatch_http_requests_total", &[]));
    let failed = metrics.sum("gatewatch_logins_total", &["outcome=\"failure\""]);
    assert_eq!(failures, failed, "failed log-ins in the metrics");
    assert_eq!(0, metrics.sum("gatewatch_source_parse_failures_total", &[]), "parse failures");
    // The error logs' lines come on top.
    place.until_delivered(total);
    assert!(daemon.stops().success(), "{}", daemon.words());
    check_events(&place.sunk(), sent, failures);
    let report = place.report();
    assert_eq!(Some(total), report["traffic"]["requests"]["now"].as_u64(), "in the report");
    assert_eq!(Some(failures), report["logins"]["failure"]["now"].as_u64(), "in the report");
    assert_eq!(Some(0), report["quality"]["unparsed"].as_u64());
    let rows = report["traffic"]["statuses"].as_array().expect("rows of statuses");
    let row = |row: &Value| {
        let name = row["name"].as_str().and_then(|name| name.parse().ok());
        (name.expect("a status"), row["now"].as_u64().expect("a count"))
    };
    assert_eq!(*sent, rows.iter().map(row).collect::<Statuses>(), "statuses in the report");
}

#[track_caller]
fn check_events(events: &[Value], sent: &Statuses, failures: u64) {
    let mut found = Statuses::new();
    let mut failed = 0;
    let id = |event: &'_ Value| event["event"]["id"].as_str().expect("an id").to_owned();
    let ids: Vec<String> = events.iter().map(id).collect();
    each_once("events", ids.iter().map(String::as_str));
    for event in events {
        assert_eq!("event", event["event"]["kind"], "a line that was not read: {event}");
        if let Some(status) = event["http"]["response"]["status_code"].as_u64() {
            // A record of an error log may speak of a status, too; it is no request.
            let is_access =
                event["event"]["dataset"].as_str().is_some_and(|d| d.ends_with("access"));
            if is_access {
                *found.entry(status as u16).or_default() += 1;
            }
        }
        let counted = event["gatewatch"]["auth"]["counted"] == true;
        failed += u64::from(counted && event["event"]["outcome"] == "failure");
    }
    assert_eq!(*sent, found, "statuses in the events");
    assert_eq!(failures, failed, "failed log-ins in the events");
}
