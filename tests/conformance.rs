//! How well real log lines are read, judged by what other programs' own tests expect of them.
//!
//! The cases lie outside this repository: in the folder that `GATEWATCH_CORPUS` names, else in
//! `../shared/corpus`. Without them the tests say what they skipped and pass. A case file holds
//! one JSON object a line: `source`, `format`, `kind`, and by its kind
//!
//! * `parse` and `match`: a `line`, and in `expected` the `fields` by their ECS names, the fields
//!   on which sound programs may differ (`soft`), and whether the line is an offence (`match`);
//! * `file`: the name of a whole log, and in `expected` its counts.
//!
//! Lines that one program's test keeps together are read as one file of unknown format.
//!
//! Two values are the same when they are equal after this and nothing else is undone:
//!
//! * a time is compared to the second; one without a zone may be off by whole hours;
//! * an address in any spelling is the same address;
//! * numbers are compared as numbers, a version by its value (`2.0` is `2`), a method, an outcome
//!   and a level without case, and a level under its short name;
//! * a path or a query may be percent-decoded, and a user agent may have `+` for a blank.
//!
//! Invariant: floors only rise. What is judged otherwise than the other program does stands in a table
//! with its reason, and nowhere else; the measured values are printed (`cargo test --test conformance -- --nocapture`).

#![expect(clippy::print_stdout, reason = "what was measured or skipped is told")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatewatch::engine::batch::{EventBatch, Origin};
use gatewatch::engine::enrich::Enricher;
use gatewatch::engine::format::{FormatSet, detect};
use gatewatch::engine::memory::Memory;
use gatewatch::engine::parse::{Parser, Text};
use gatewatch::engine::render::{Agent, Encoder, Encoding};
use gatewatch::engine::time::TimeReader;
use gatewatch::units::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// What must be reached for the lines of one source and format.
struct Floor {
    source: &'static str,
    format: &'static str,
    /// Lines understood, of those that the other program understands, in per cent.
    parsed: u32,
    /// Fields that are right, of those in which sound programs agree, in per cent.
    fields: u32,
}

const fn floor(source: &'static str, format: &'static str, parsed: u32, fields: u32) -> Floor {
    Floor { source, format, parsed, fields }
}

/// Formats of web servers and log-ins.
const FLOORS: &[Floor] = &[
    floor("crowdsec-hub", "apache", 100, 100),
    floor("crowdsec-hub", "aws_alb", 100, 100),
    floor("crowdsec-hub", "caddy_json", 100, 100),
    floor("crowdsec-hub", "haproxy", 100, 100),
    floor("crowdsec-hub", "modsecurity", 100, 100),
    floor("crowdsec-hub", "nginx", 100, 100),
    floor("crowdsec-hub", "nginx-proxy-manager", 100, 100),
    floor("crowdsec-hub", "sshd", 100, 100),
    floor("crowdsec-hub", "traefik", 100, 100),
    floor("datadog-integrations", "apache_access", 100, 100),
    floor("datadog-integrations", "nginx_access", 100, 100),
    floor("fail2ban", "apache", 100, 100),
    floor("fail2ban", "apache_access", 100, 100),
    floor("fail2ban", "apache_error", 100, 100),
    floor("fail2ban", "app", 100, 100),
    floor("fail2ban", "lighttpd_error", 100, 100),
    floor("fail2ban", "nginx", 100, 100),
    floor("fail2ban", "nginx_error", 100, 100),
    floor("fail2ban", "pam", 100, 100),
    floor("fail2ban", "php_syslog", 100, 100),
    floor("fail2ban", "sshd", 100, 100),
    floor("fail2ban", "syslog", 100, 100),
    floor("fail2ban", "traefik_access", 100, 100),
    floor("filebeat-modules", "apache_access", 100, 100),
    floor("filebeat-modules", "auth_syslog", 100, 100),
    floor("filebeat-modules", "haproxy", 100, 100),
    floor("filebeat-modules", "iis_httperr", 100, 100),
    floor("filebeat-modules", "iis_w3c", 100, 100),
    floor("filebeat-modules", "nginx_access", 100, 100),
    floor("filebeat-modules", "nginx_error", 100, 100),
    floor("filebeat-modules", "syslog", 100, 100),
    floor("logstash-patterns", "apache_access", 100, 100),
    floor("logstash-patterns", "apache_error", 100, 100),
    floor("logstash-patterns", "haproxy", 100, 100),
    floor("matomo-log-analytics", "combined", 100, 100),
    floor("matomo-log-analytics", "combined_vhost", 100, 100),
    floor("matomo-log-analytics", "common", 100, 100),
    floor("matomo-log-analytics", "common_vhost", 100, 100),
    floor("matomo-log-analytics", "haproxy", 100, 100),
    floor("matomo-log-analytics", "iis_w3c", 100, 100),
    floor("matomo-log-analytics", "json_custom", 100, 100),
    floor("vector-vrl", "apache_combined", 100, 100),
    floor("vector-vrl", "apache_common", 100, 100),
    floor("vector-vrl", "common", 100, 100),
    floor("vector-vrl", "nginx_combined", 100, 100),
    floor("vector-vrl", "nginx_error", 100, 100),
];

/// A field that we read otherwise than the other program, and why.
struct Difference {
    case: &'static str,
    field: &'static str,
    /// For who reads the table.
    #[expect(dead_code, reason = "it is for the reader")]
    why: &'static str,
}

const fn differs(case: &'static str, field: &'static str, why: &'static str) -> Difference {
    Difference { case, field, why }
}

const ABSOLUTE: &str =
    "the target is absolute; the other program takes the scheme for no part of it";
const NOBODY_ASKED: &str =
    "a 401 to a request without credentials opens the dialogue; it is no failed log-in";

/// Where we judge otherwise, with the reason. These fields count as neither right nor wrong; a row
/// that is not needed any more fails the test.
const DIFFERENCES: &[Difference] = &[
    differs("crowdsec-hub/parse#41", "event.outcome", NOBODY_ASKED),
    differs("crowdsec-hub/parse#135", "url.original", ABSOLUTE),
    differs("crowdsec-hub/parse#136", "url.original", ABSOLUTE),
    differs("crowdsec-hub/parse#137", "url.original", ABSOLUTE),
    differs(
        "fail2ban/match#109",
        "source.ip",
        "a Basic user name has no colon, so the left-most client is nginx's; nothing counts there",
    ),
    differs("fail2ban/match#119", "event.outcome", "a TLS alert is no log-in"),
    differs(
        "fail2ban/match#145",
        "source.ip",
        "two readings, because the name holds an address: marked as ambiguous, and not counted",
    ),
    differs(
        "fail2ban/match#147",
        "source.ip",
        "two readings, because the name holds an address: marked as ambiguous, and not counted",
    ),
    differs(
        "fail2ban/match#213",
        "source.ip",
        "sshd writes its own address last; what stands before is the name that was sent",
    ),
    differs("fail2ban/match#253", "event.outcome", "sshd says that it let the user in"),
    differs("fail2ban/match#257", "event.outcome", "sshd says that it let the user in"),
    differs("fail2ban/match#322", "event.outcome", NOBODY_ASKED),
];

/// Lines that the other program refuses and that must be refused, in per cent.
const REFUSED_FLOOR: u32 = 99;

/// Failed log-ins that are known as such, in per cent.
const FAILED_LOGINS_FLOOR: u32 = 96;

/// Lines about log-ins that are no offence and are called a failure all the same, in per cent.
const FALSE_FAILURES_CEILING: u32 = 7;

/// Failed and accepted log-ins of a whole log that may be missing or too many.
const LOGINS_OFF_CEILING: u64 = 0;

/// Bytes of all responses of a whole log that may be missing, in millionths.
const BYTES_OFF_CEILING: u64 = 1;

/// The time of reading: 2026-11-20T12:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

/// The folder of the cases, if there is one.
fn corpus() -> Option<PathBuf> {
    let named = std::env::var_os("GATEWATCH_CORPUS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = named.unwrap_or(beside);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no corpus at {}; name its folder in GATEWATCH_CORPUS", folder.display());
    None
}

/// One case, with the file it stands in.
struct Case {
    file: PathBuf,
    json: Value,
}

impl Case {
    fn text(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_default()
    }

    fn expected(&self) -> &Value {
        &self.json["expected"]
    }

    /// Lines of one key were written to one file.
    fn batch_key(&self) -> String {
        let meta = &self.json["meta"];
        let part = ["file", "test", "filter"].iter().find_map(|name| meta[*name].as_str());
        let (source, format) = (self.text("source"), self.text("format"));
        format!("{source}|{}|{format}|{part:?}|{}", self.file.display(), meta["header"])
    }

    /// Lines that stand before the line in its file.
    fn header(&self) -> Vec<&str> {
        let header = self.json["meta"]["header"].as_array();
        header.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// A field on which sound programs may differ.
    fn is_soft(&self, field: &str) -> bool {
        let soft = self.expected()["soft"].as_array();
        let mut names = soft.into_iter().flatten().filter_map(Value::as_str);
        names.any(|name| name == "*" || name == field)
    }
}

/// The cases of these kinds about web servers and log-ins, in the order of their files.
fn cases(folder: &Path, kinds: &[&str]) -> Vec<Case> {
    let mut files = Vec::new();
    for source in sorted(folder).into_iter().filter(|path| path.is_dir()) {
        files.extend(sorted(&source).into_iter().filter(|path| is_case_file(path)));
    }
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file in UTF-8");
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let json: Value = serde_json::from_str(line).expect("a case in JSON");
            if kinds.contains(&json["kind"].as_str().unwrap_or_default()) {
                cases.push(Case { file: file.clone(), json });
            }
        }
    }
    cases
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a readable folder");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a readable entry").path()).collect();
    paths.sort();
    paths
}

/// Case files of other applications are named `other_*` and `app_*`.
fn is_case_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".jsonl") && !name.starts_with("other_") && !name.starts_with("app_")
}

/// An event with the full name of each of its fields.
type Event = BTreeMap<String, Value>;

/// The events of a file of unknown format, one a line.
fn read(text: Vec<u8>) -> Vec<Event> {
    // A reader sees the first block of a file when it makes up its mind.
    let head = text.len().min(256 << 10);
    let definition = detect(&text[..head], &mut TimeReader::new(TimeZone::UTC, NOW));
    read_as(&definition, text)
}

/// The events of a file of that format, one a line.
fn read_as(definition: &str, text: Vec<u8>) -> Vec<Event> {
    let times = TimeReader::new(TimeZone::UTC, NOW);
    let formats = FormatSet::from_definition(definition).expect("a format that exists");
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    parser.keep_empty = true;
    let origin = Arc::new(Origin::default());
    let encoder = Encoder::new(Encoding::Ecs, &Agent::default(), true);
    let mut batch = EventBatch::default();
    let text = Text { origin, bytes: text, from: 0, truncated_last: false, read_at: NOW };
    parser.fill(&mut batch, text);
    Memory::default().complete(&mut batch, parser.format_name());
    let mut line = Vec::new();
    let mut events = Vec::with_capacity(batch.len());
    for event in batch.events() {
        line.clear();
        encoder.render(&event, NOW, &mut line);
        let json: Value = serde_json::from_slice(&line).expect("an event in JSON");
        let mut flat = Event::new();
        flatten(String::new(), json, &mut flat);
        events.push(flat);
    }
    events
}

fn flatten(name: String, value: Value, flat: &mut Event) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(format!("{name}{dot}{member}"), value, flat);
            }
        }
        value => {
            flat.insert(name, value);
        }
    }
}

fn is_parsed(event: &Event) -> bool {
    event.get("event.kind").is_none_or(|kind| kind != "pipeline_error")
}

fn text_of(event: &Event, field: &str) -> String {
    event.get(field).map(plain).unwrap_or_default()
}

/// A value as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What the event says under that name, or under the other one that means the same.
fn value_of<'e>(event: &'e Event, field: &str) -> Vec<&'e Value> {
    let other = match field {
        "source.ip" => "source.address",
        "source.address" => "source.ip",
        "url.domain" => "destination.domain",
        "destination.domain" => "url.domain",
        "destination.port" => "url.port",
        "http.response.body.bytes" => "http.response.bytes",
        "http.response.bytes" => "http.response.body.bytes",
        "host.hostname" => "host.name",
        "user.name" => "user.effective.name",
        _ => field,
    };
    [field, other].iter().filter_map(|name| event.get(*name)).collect()
}

fn is_same(field: &str, want: &Value, got: &Value) -> bool {
    let (w, g) = (plain(want), plain(got));
    if w == g {
        return true;
    }
    match field {
        "@timestamp" => same_time(&w, &g),
        "source.ip" | "source.address" | "destination.ip" => {
            address(&w).is_some() && address(&w) == address(&g)
        }
        "http.version" => version(&w) == version(&g),
        "http.request.method" | "event.outcome" => w.eq_ignore_ascii_case(&g),
        "log.level" => level(&w) == level(&g),
        "url.path" | "url.query" => decoded(&w) == decoded(&g),
        "user_agent.original" => w.replace('+', " ") == g.replace('+', " "),
        _ => match (w.parse::<f64>(), g.parse::<f64>()) {
            (Ok(w), Ok(g)) => w == g,
            _ => false,
        },
    }
}

fn same_time(want: &str, got: &str) -> bool {
    let Ok(got) = got.parse::<jiff::Timestamp>() else { return false };
    if let Ok(want) = want.parse::<jiff::Timestamp>() {
        return want.as_second().abs_diff(got.as_second()) <= 1;
    }
    let Ok(want) = want.replace(' ', "T").parse::<jiff::civil::DateTime>() else { return false };
    let Ok(want) = want.to_zoned(TimeZone::UTC) else { return false };
    let off = want.timestamp().as_second().abs_diff(got.as_second());
    let minutes = off % 3600;
    off <= 15 * 3600 && (minutes <= 1 || 3599 <= minutes)
}

fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_matches(['[', ']']);
    let bare = bare.split('%').next().unwrap_or_default();
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn version(text: &str) -> String {
    let number = text.trim_start_matches("HTTP/");
    number.strip_suffix(".0").unwrap_or(number).to_owned()
}

fn level(text: &str) -> String {
    match text.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "err" => "error".to_owned(),
        "critical" => "crit".to_owned(),
        "emergency" => "emerg".to_owned(),
        other => other.to_owned(),
    }
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.trim_start_matches('?').as_bytes();
    let mut clear = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => (clear.push(byte), at += 3),
            None => (clear.push(*byte), at += 1),
        };
    }
    clear
}

/// How many of how many.
#[derive(Clone, Copy, Default)]
struct Share {
    right: u32,
    all: u32,
}

impl Share {
    fn add(&mut self, is_right: bool) {
        self.right += u32::from(is_right);
        self.all += 1;
    }

    /// In per cent, rounded down; nothing to be right about is all right.
    fn percent(self) -> u32 {
        (self.right * 100).checked_div(self.all).unwrap_or(100)
    }
}

#[derive(Default)]
struct Score {
    parsed: Share,
    fields: Share,
}

#[derive(Default)]
struct Scores {
    by_format: BTreeMap<(String, String), Score>,
    refused: Share,
    failed_logins: Share,
    false_failures: Share,
    /// Rows of [`DIFFERENCES`] where there is none.
    needless: Vec<String>,
}

impl Scores {
    fn add(&mut self, case: &Case, event: &Event) {
        let expected = case.expected();
        let (is_match, parsed) = (expected["match"].as_bool(), is_parsed(event));
        if let Some(is_match) = is_match {
            self.add_login(case, is_match, event);
            if !is_match {
                return;
            }
        }
        if expected["parsed"] == Value::Bool(false) {
            self.refused.add(!parsed);
            return;
        }
        let key = (case.text("source").to_owned(), case.text("format").to_owned());
        let score = self.by_format.entry(key).or_default();
        score.parsed.add(parsed);
        for (field, want) in expected["fields"].as_object().into_iter().flatten() {
            if case.is_soft(field) {
                continue;
            }
            let got = value_of(event, field);
            let is_right = parsed && got.iter().any(|got| is_same(field, want, got));
            let id = case.text("id");
            if !DIFFERENCES.iter().any(|one| one.case == id && one.field == field) {
                score.fields.add(is_right);
            } else if is_right {
                self.needless.push(format!("{id} {field}"));
            }
        }
    }

    fn add_login(&mut self, case: &Case, is_match: bool, event: &Event) {
        if case.expected()["is_auth"] != Value::Bool(true) {
            return;
        }
        let is_failure = text_of(event, "event.outcome") == "failure";
        let says_so = case.expected()["fields"].get("event.outcome").is_some();
        if is_match && says_so && !case.is_soft("event.outcome") {
            self.failed_logins.add(is_failure);
        } else if !is_match && !case.is_soft("match") {
            self.false_failures.add(is_failure);
        }
    }
}

fn scores(folder: &Path) -> Scores {
    let measured: BTreeSet<(&str, &str)> =
        FLOORS.iter().map(|floor| (floor.source, floor.format)).collect();
    let mut batches: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in cases(folder, &["parse", "match"]) {
        if measured.contains(&(case.text("source"), case.text("format"))) {
            batches.entry(case.batch_key()).or_default().push(case);
        }
    }
    let mut scores = Scores::default();
    for (name, batch) in &batches {
        let mut lines = batch[0].header();
        let header = lines.len();
        lines.extend(batch.iter().map(|case| case.text("line")));
        let events = read(format!("{}\n", lines.join("\n")).into_bytes());
        assert_eq!(lines.len(), events.len(), "one event a line in {name}");
        for (case, event) in batch.iter().zip(&events[header..]) {
            scores.add(case, event);
        }
    }
    scores
}

#[test]
fn lines_are_read_as_other_programs_read_them() {
    let Some(folder) = corpus() else { return };
    let scores = scores(&folder);
    let mut complaints = Vec::new();
    let mut table = String::new();
    let (mut sum, mut rows) = ((0, 0), 0);
    for floor in FLOORS {
        let Floor { source, format, parsed, fields } = *floor;
        let name = format!("{source} {format}");
        let Some(score) = scores.by_format.get(&(source.to_owned(), format.to_owned())) else {
            println!("skipped: no case of {name}");
            continue;
        };
        let now = (score.parsed.percent(), score.fields.percent());
        let all = score.parsed.all;
        writeln!(table, "{name:<36} {all:>4} {:>4}% {:>4}%", now.0, now.1).expect("written");
        (sum, rows) = ((sum.0 + now.0, sum.1 + now.1), rows + 1);
        if now.0 < parsed || now.1 < fields {
            complaints.push(format!(
                "{name}: {}% of the lines and {}% of the fields, at least {parsed}% and {fields}%",
                now.0, now.1
            ));
        }
    }
    assert_ne!(0, rows, "{} holds none of the cases", folder.display());
    println!("source and format                    lines parsed fields\n{table}");
    println!("mean of {rows}: {}% {}%", sum.0 / rows, sum.1 / rows);
    for (name, share, floor) in [
        ("refused lines", scores.refused, REFUSED_FLOOR),
        ("failed log-ins", scores.failed_logins, FAILED_LOGINS_FLOOR),
    ] {
        println!("{name}: {} of {}, {}%", share.right, share.all, share.percent());
        if share.percent() < floor {
            complaints.push(format!("{name}: {}%, at least {floor}%", share.percent()));
        }
    }
    let wrong = scores.false_failures;
    println!("false failures: {} of {}, {}%", wrong.right, wrong.all, wrong.percent());
    if FALSE_FAILURES_CEILING < wrong.percent() && 0 < wrong.all {
        complaints.push(format!("false failures: {}%", wrong.percent()));
    }
    let needless = &scores.needless;
    assert!(needless.is_empty(), "no longer differences: {}", needless.join(", "));
    assert!(complaints.is_empty(), "below the floor:\n{}", complaints.join("\n"));
}

/// How far two counts are apart, over all keys.
fn apart(want: &BTreeMap<String, u64>, got: &BTreeMap<String, u64>) -> u64 {
    let keys: BTreeSet<&String> = want.keys().chain(got.keys()).collect();
    let count = |counts: &BTreeMap<String, u64>, key| counts.get(key).copied().unwrap_or(0);
    keys.into_iter().map(|key| count(want, key).abs_diff(count(got, key))).sum()
}

fn counts(expected: &Value, name: &str) -> BTreeMap<String, u64> {
    let members = expected[name].as_object().into_iter().flatten();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    members.map(|(key, value)| (key.clone(), number(value))).collect()
}

fn tally(keys: impl Iterator<Item = (String, u64)>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (key, count) in keys {
        *counts.entry(key).or_default() += count;
    }
    counts
}

#[test]
fn whole_logs_give_the_counts_of_other_programs() {
    let Some(folder) = corpus() else { return };
    let mut complaints = Vec::new();
    for case in cases(&folder, &["file"]) {
        let name = case.text("file").to_owned();
        let path = case.file.with_file_name(&name);
        let events = read(fs::read(&path).expect("a readable log"));
        let expected = case.expected();
        assert_eq!(expected["lines"].as_u64(), Some(events.len() as u64), "lines of {name}");
        let (measured, mut found) = if case.text("format") == "auth_syslog" {
            logins_of(expected, &events)
        } else {
            requests_of(expected, &events)
        };
        println!("{name}: {measured}");
        complaints.append(&mut found);
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn batches_in_a_described_format_give_the_counts_of_other_programs() {
    let Some(folder) = corpus() else { return };
    for case in cases(&folder, &["metrics"]) {
        let lines = case.json["lines"].as_array().into_iter().flatten();
        let lines: Vec<&str> = lines.filter_map(Value::as_str).collect();
        let format = case.json["meta"]["log_format"].as_str().unwrap_or_default();
        let text = format!("{}\n", lines.join("\n"));
        let events = read_as(&format!("written:{format}"), text.into_bytes());
        let parsed: Vec<&Event> = events.iter().filter(|event| is_parsed(event)).collect();
        let expected = case.expected();
        let name = case.text("id");
        let status = |event: &Event| text_of(event, "http.response.status_code");
        let method = |event: &Event| text_of(event, "http.request.method");
        let by_status = tally(parsed.iter().map(|event| (status(event), 1)));
        let by_both =
            tally(parsed.iter().map(|event| (format!("{} {}", method(event), status(event)), 1)));
        for (key, got) in [("by_status", by_status), ("by_method_status", by_both)] {
            if expected.get(key).is_some() {
                assert_eq!(counts(expected, key), got, "{key} of {name}");
            }
        }
        let errors = expected["parse_errors"].as_u64().unwrap_or(0);
        assert_eq!(errors, (events.len() - parsed.len()) as u64, "{name}");
    }
}

/// Statuses, methods, clients and bytes of an access log.
fn requests_of(expected: &Value, events: &[Event]) -> (String, Vec<String>) {
    let parsed: Vec<&Event> = events.iter().filter(|event| is_parsed(event)).collect();
    let by = |field: &str| tally(parsed.iter().map(|event| (text_of(event, field), 1)));
    let unread = events.len() as u64 - expected["parsed"].as_u64().unwrap_or(0);
    let off = [
        ("unread lines", unread.abs_diff((events.len() - parsed.len()) as u64)),
        ("statuses", apart(&counts(expected, "by_status"), &by("http.response.status_code"))),
        ("methods", apart(&counts(expected, "by_method"), &by("http.request.method"))),
        (
            "clients",
            expected["unique_source_ips"]
                .as_u64()
                .unwrap_or(0)
                .abs_diff(by("source.ip").len() as u64),
        ),
    ];
    let mut complaints: Vec<String> = Vec::new();
    for (name, off) in off.iter().filter(|(_, off)| *off != 0) {
        complaints.push(format!("{name} off by {off}"));
    }
    let bytes = parsed.iter().filter_map(|event| event.get("http.response.body.bytes")?.as_u64());
    let bytes: u64 = bytes.sum();
    let want = expected["bytes_total"].as_u64().unwrap_or(0);
    if BYTES_OFF_CEILING < want.abs_diff(bytes) * 1_000_000 / want.max(1) {
        complaints.push(format!("bytes {bytes} instead of {want}"));
    }
    (format!("{off:?}, bytes {bytes} of {want}"), complaints)
}

/// Failed log-ins by client and accepted ones by user and client, as sshd tells them.
fn logins_of(expected: &Value, events: &[Event]) -> (String, Vec<String>) {
    let told = |outcome: &'static str, word: &'static str| {
        events.iter().filter(move |event| {
            text_of(event, "process.name").starts_with("sshd")
                && text_of(event, "event.outcome") == outcome
                && text_of(event, "message").contains(word)
        })
    };
    // One line may stand for several failures.
    let count = |event: &Event| text_of(event, "event.count").parse().unwrap_or(1);
    let failed = told("failure", "Failed ").map(|e| (text_of(e, "source.ip"), count(e)));
    let accepted = told("success", "Accepted ").map(|event| {
        (format!("{}@{}", text_of(event, "user.name"), text_of(event, "source.ip")), 1)
    });
    let mut complaints = Vec::new();
    let mut measured = String::new();
    for (name, got) in [("ssh_failed_by_ip", tally(failed)), ("ssh_accepted", tally(accepted))] {
        let off = apart(&counts(expected, name), &got);
        write!(measured, "{name} {} off by {off}; ", got.values().sum::<u64>()).expect("written");
        if LOGINS_OFF_CEILING < off {
            complaints.push(format!("{name} off by {off}"));
        }
    }
    (measured, complaints)
}
