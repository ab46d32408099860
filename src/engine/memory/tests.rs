//! What lines mean because of the lines before them, whole and in pieces.
//!
//! Invariant: however a log is cut into blocks, and whoever reads a block again, it is the same.

use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{Carried, Memory};
use crate::engine::batch::{AuthOutcome, Event, EventBatch, Field, Grade, Origin, Reason};
use crate::engine::detect::{Detectors, Limits, rule};
use crate::engine::enrich::{Enricher, Logins};
use crate::engine::format::FormatSet;
use crate::engine::parse::{Parser, Text};
use crate::engine::render::{Agent, Encoder, Encoding};
use crate::engine::time::TimeReader;
use crate::units::{Period, Timestamp};

/// 2026-11-20T12:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

/// One log that is read block after block.
struct Log {
    parser: Parser,
    origin: Arc<Origin>,
    from: u64,
}

impl Log {
    fn new(source: &str, format: &str) -> Self {
        let formats = FormatSet::from_definition(format).expect("a known format");
        let times = TimeReader::new(TimeZone::UTC, NOW);
        let origin = Origin { source: source.to_owned(), ..Origin::default() };
        let parser = Parser::new(formats, times, Arc::new(Enricher::default()));
        Self { parser, origin: Arc::new(origin), from: 0 }
    }

    /// The events of a block, and what it was read with.
    fn read(&mut self, memory: &mut Memory, block: &str) -> (EventBatch, Carried) {
        let mut batch = EventBatch::default();
        let text = Text {
            origin: Arc::clone(&self.origin),
            bytes: block.as_bytes().to_vec(),
            from: self.from,
            truncated_last: false,
            read_at: NOW,
        };
        self.from += block.len() as u64;
        self.parser.fill(&mut batch, text);
        let carried = memory.complete(&mut batch, self.parser.format_name());
        (batch, carried)
    }
}

fn read(format: &str, text: &str) -> EventBatch {
    Log::new("test", format).read(&mut Memory::default(), text).0
}

/// `action client source outcome counted record` of an event.
fn facts(event: &Event<'_>) -> String {
    let row = event.row();
    let client = row.client.map_or_else(|| "-".to_owned(), |ip| ip.to_string());
    let auth = row.auth.map_or_else(
        || "-".to_owned(),
        |auth| {
            let counted = if auth.counted { "!" } else { "" };
            format!("{}{counted}", auth.reason.map_or_else(|| auth.outcome.name(), Reason::name))
        },
    );
    let record = event.field(Field::Record).unwrap_or(b"-");
    let source = row.client_source.name();
    format!("{} {client} {source} {auth} {}", row.action.name(), String::from_utf8_lossy(record))
}

#[track_caller]
fn check(format: &str, text: &str, expected: &[&str]) {
    let batch = read(format, text);
    let actual: Vec<String> = batch.events().map(|event| facts(&event)).collect();
    assert_eq!(expected, actual, "{text}");
}

fn rendered(batch: &EventBatch, out: &mut Vec<u8>) {
    let agent = Agent { version: "0".into(), id: "0".into(), name: "web1".into() };
    let ecs = Encoder::new(Encoding::Ecs, &agent, true);
    let encoder = ecs.open(&batch.origin);
    for event in batch.events() {
        for record in encoder.records(&event) {
            encoder.render(&record, NOW, out);
            out.push(b'\n');
        }
    }
}

const TORN: &str = r#"2026/11/20 07:47:21 [error] 26486#26486: *40 open() "/srv/www/x
2026/11/20 07:50:00 [error] 1#1: *1 user "alice": password mismatch, client: 198.51.100.66, server: t.example, request: "GET /secret/ HTTP/1.1", host: "t.example"
" failed (2: No such file or directory), client: 192.0.2.10, server: t.example, request: "GET /x%0a2026/11/20%0a HTTP/1.1", host: "t.example"
"#;

const FORGED: &str = r#"2026/11/20 08:07:14 [error] 14006#14006: *1 open() "/srv/www/x" failed (2: No such file or directory), client: 203.0.113.250, server: t.example, request: "GET /x HTTP/1.1", host: "t.example"
2026/11/20 08:09:00 [error] 26486#26486: *41 user "alice": password mismatch, client: 198.51.100.66, server: t.example, request: "GET /secret/ HTTP/1.1", host: "t.example"
2026/11/20 08:09:00 [error] 26486#26486: *42 open() "/srv/y" failed (2: No such file or directory), client: 192.0.2.10, server: t.example, request: "GET /x%22%20failed%20%282%3A HTTP/1.1", host: "t.example"
"#;

#[test]
fn a_torn_record_is_one_missing_file_and_no_failed_log_in() {
    for format in ["nginx_error", "auto:nginx_error"] {
        check(
            format,
            TORN,
            &[
                "server_error - peer - begun",
                "server_error - peer - continued",
                "file_not_found 192.0.2.10 ambiguous - ended",
            ],
        );
    }
    let batch = read("nginx_error", TORN);
    let last = batch.event(2);
    assert_eq!(Some(&b"40"[..]), last.field(Field::Connection));
    assert_eq!("2026-11-20T07:47:21.000Z", last.row().time.rfc3339());
}

#[test]
fn lines_that_are_forged_whole_count_for_nobody() {
    let lines = FORGED.repeat(40);
    let batch = read("nginx_error", &lines);
    let forged = batch.event(1);
    assert_eq!("auth_failed 198.51.100.66 peer wrong_password -", facts(&forged));
    let mut detectors = Detectors::new(rule::builtin(), Limits::new(1));
    let mut alerts = Vec::new();
    detectors.see(&batch, NOW, &mut alerts);
    assert!(alerts.is_empty(), "{alerts:?}");
}

#[test]
fn a_line_of_another_format_in_a_torn_log_accuses_nobody() {
    let request =
        r#"198.51.100.66 - bob [20/Nov/2026:07:47:21 +0000] "GET / HTTP/1.1" 401 0 "-" "-""#;
    let text = format!("{}\n{request}\n", FORGED.lines().next().expect("a line"));
    check(
        "auto:nginx_error",
        &text,
        &[
            "file_not_found 203.0.113.250 peer - -",
            "login 198.51.100.66 ambiguous bad_credentials -",
        ],
    );
}

#[test]
fn a_connection_forged_into_a_torn_log_accuses_nobody() {
    let forged = sshd(
        7,
        &[
            "Invalid user eve from 198.51.100.66 port 5",
            "Connection closed by invalid user eve 198.51.100.66 port 5 [preauth]",
        ],
    );
    let text = format!("{}\n{forged}", FORGED.lines().next().expect("a line"));
    check(
        "auto:nginx_error",
        &text,
        &[
            "file_not_found 203.0.113.250 peer - -",
            "parse_failed - peer - orphan",
            "parse_failed - peer - orphan",
        ],
    );
}

#[test]
fn a_log_in_forged_into_a_raw_log_is_none() {
    let whole = FORGED.lines().next().expect("a line");
    let php = "[20-Nov-2026 07:00:01 UTC] PHP Fatal error:  x in /a.php:3";
    let log_in = |outcome: &str| {
        format!(
            r#"{{"time":"2026-11-20T07:00:01Z","event":{{"category":["authentication"],"outcome":"{outcome}"}},"user":{{"name":"eve"}},"source":{{"ip":"198.51.100.66"}}}}"#
        )
    };
    for (format, first) in [("auto:nginx_error", whole), ("auto:php", php)] {
        let lines = format!("{first}\n{}\n{}\n", log_in("success"), log_in("failure"));
        let batch = read(format, &lines);
        let accepted = batch.event(1);
        assert_eq!("login 198.51.100.66 ambiguous attempt -", facts(&accepted), "{format}");
        assert_eq!(Some(Grade::D), accepted.row().grade, "{format}");
        let refused = batch.event(2).row().auth.expect("a log-in");
        assert_eq!((AuthOutcome::Failure, false), (refused.outcome, refused.counted), "{format}");
    }
}

/// A line of nginx's process `pid`, `seconds` after 07:00.
fn missing_file(pid: u32, seconds: u32) -> String {
    format!(
        "2026/11/20 07:{:02}:{:02} [error] {pid}#{pid}: *1 open() \"/srv/www/x\" failed (2: No such file or directory), client: 192.0.2.9, server: t.example, request: \"GET /x HTTP/1.1\", host: \"t.example\"\n",
        seconds / 60,
        seconds % 60
    )
}

/// The numbers of the lines that nobody seems to have written.
fn forged(text: &str) -> Vec<usize> {
    let batch = read("nginx_error", text);
    let marked = batch.events().enumerate().filter(|(_, event)| event.row().suspect_forged);
    marked.map(|(number, _)| number).collect()
}

#[test]
fn lines_of_processes_that_nobody_knows_are_marked() {
    let known: String = (0..20).map(|second| missing_file(14006, second)).collect();
    let torn = FORGED.replace("08:0", "07:0");
    assert!(forged(&torn).is_empty(), "nobody is known");
    assert_eq!(vec![21, 22], forged(&(known.clone() + &torn)));
    // However often it is sent, and also where the forged lines are many.
    let often = (0..40).map(|_| &torn[..]).collect::<String>();
    let expected: Vec<usize> = (0..40).flat_map(|at| [21 + 3 * at, 22 + 3 * at]).collect();
    assert_eq!(expected, forged(&(known.clone() + &often)));
    // A new process is known after a record's length.
    let other: String = (20..60).map(|second| missing_file(15000, second)).collect();
    let marked = forged(&(known + &other));
    assert_eq!((20..20 + marked.len()).collect::<Vec<_>>(), marked);
    assert!((2..16).contains(&marked.len()), "{marked:?}");
}

#[test]
fn a_time_that_runs_backwards_is_marked() {
    let text = [missing_file(1, 60), missing_file(1, 55), missing_file(1, 49), missing_file(1, 61)];
    assert_eq!(vec![2], forged(&text.concat()));
    let ahead = [missing_file(1, 60), missing_file(1, 3000), missing_file(1, 61)];
    assert_eq!(vec![2], forged(&(ahead.concat() + &missing_file(1, 62))));
}

#[test]
fn processes_are_remembered_from_block_to_block_and_not_without_end() {
    let mut memory = Memory::default();
    let known: String = (0..20).map(|second| missing_file(14006, second)).collect();
    Log::new("test", "nginx_error").read(&mut memory, &known);
    let (batch, carried) = Log::new("test", "nginx_error").read(&mut memory, &missing_file(7, 30));
    assert!(batch.event(0).row().suspect_forged);
    let mut again = Memory::default();
    again.recall(Carried::from_text(&carried.to_text()));
    let (batch, _) = Log::new("test", "nginx_error").read(&mut again, &missing_file(7, 30));
    assert!(batch.event(0).row().suspect_forged);
    for pid in 0..500 {
        let lines: String = (0..20).map(|_| missing_file(pid, 60)).collect();
        Log::new("test", "nginx_error").read(&mut memory, &lines);
    }
    let (_, carried) = Log::new("test", "nginx_error").read(&mut memory, &missing_file(499, 60));
    assert!(carried.to_text().len() < 4096, "{}", carried.to_text().len());
}

#[test]
fn a_record_takes_in_no_more_than_nginx_writes() {
    let start = r#"2026/11/20 07:47:21 [error] 1#1: *40 open() "/srv/www/x"#;
    let whole = FORGED.lines().next().expect("a line");
    let filler = "y".repeat(2047 - start.len() - 1);
    for (filler, second) in [(&filler[..], "continued"), (&format!("{filler}y"), "orphan")] {
        let text = format!("{start}\n{filler}\n{whole}\n");
        let batch = read("nginx_error", &text);
        assert_eq!(Some(second.as_bytes()), batch.event(1).field(Field::Record));
        assert_eq!("file_not_found 203.0.113.250 peer - -", facts(&batch.event(2)));
    }
}

#[test]
fn wrapped_lines_are_not_joined_and_count_for_nobody() {
    let line = |line: &str| format!("2026-11-20T07:47:21.123456789Z stderr F {line}\n");
    let text: String = TORN.lines().map(line).collect();
    check(
        "auto:cri>nginx_error",
        &text,
        &[
            "server_error - peer - -",
            "auth_failed 198.51.100.66 peer wrong_password -",
            "parse_failed - peer - -",
        ],
    );
}

#[test]
fn a_trace_of_a_script_belongs_to_its_record() {
    check(
        "nginx_error",
        concat!(
            "2026/11/20 07:47:21 [error] 1#1: *40 lua entry thread aborted: runtime error: boom\n",
            "stack traceback:\n",
            "\t[C]: in function 'error', client: 192.0.2.10, server: t, request: \"GET / HTTP/1.1\"\n",
            "2026/11/20 07:47:22 [warn] 1#1: *41 [lua] a.lua:7: late, context: ngx.timer\n",
            "2026/11/20 07:47:22 [error] 1#1: *42 access forbidden by rule, client: 192.0.2.11, server: t\n",
            "what is this\n",
        ),
        &[
            "server_error - peer - begun",
            "server_error - peer - continued",
            "server_error 192.0.2.10 peer - ended",
            "server_error - peer - -",
            "access_denied 192.0.2.11 peer - -",
            "parse_failed - peer - orphan",
        ],
    );
}

#[test]
fn a_trace_of_php_belongs_to_its_message() {
    check(
        "php",
        "[20-Nov-2026 07:00:01 UTC] PHP Fatal error:  x in /a.php:3\nStack trace:\n\n#0 {main}\n[20-Nov-2026 07:00:02 UTC] PHP Notice:  y\n",
        &[
            "server_error - peer - -",
            "server_error - peer - continued",
            "server_error - peer - continued",
            "server_error - peer - -",
        ],
    );
    check("php", "Stack trace:\n", &["parse_failed - peer - -"]);
}

#[test]
fn a_trace_of_tomcat_belongs_to_its_message() {
    check(
        "tomcat",
        "20-Nov-2026 07:00:01.123 SEVERE [main] a.B.c x\n\tjava.lang.Error: x\n\t\tat a.B.c(B.java:3)\n",
        &[
            "server_error - peer - -",
            "server_error - peer - continued",
            "server_error - peer - continued",
        ],
    );
}

fn sshd(pid: u32, messages: &[&str]) -> String {
    let lines = messages.iter().map(|text| format!("Nov 20 07:00:16 web1 sshd[{pid}]: {text}\n"));
    lines.collect()
}

#[test]
fn lines_of_a_connection_take_its_client() {
    for silent in [
        "Disconnecting: Too many authentication failures [preauth]",
        "fatal: Read from socket failed: Connection reset by peer [preauth]",
        "error: kex_exchange_identification: Connection closed by remote host",
        "fatal: no matching mac found: client a server b [preauth]",
    ] {
        let text = sshd(7, &["Connection from 192.0.2.10 port 5 on 192.0.2.1 port 22", silent])
            + &sshd(8, &[silent]);
        let batch = read("auth", &text);
        let clients: Vec<_> = batch.events().map(|event| facts(&event)).collect();
        assert!(clients[1].contains(" 192.0.2.10 session "), "{clients:?}");
        assert!(clients[2].contains(" - peer "), "{clients:?}");
        assert_eq!(Some(&b"192.0.2.10"[..]), batch.event(1).field(Field::ClientAddress));
    }
}

#[test]
fn a_process_number_that_comes_again_is_another_connection() {
    let end = "fatal: Read from socket failed: Connection reset by peer [preauth]";
    let from = |ip: &str| format!("Connection from {ip} port 5 on 192.0.2.1 port 22");
    let text = sshd(7, &[&from("192.0.2.10"), &from("192.0.2.11"), end]);
    assert_eq!("192.0.2.11", client_of_last(&text));
    let late = sshd(7, &[end]).replace("07:00:16", "07:10:17");
    let text = sshd(7, &[&from("192.0.2.10")]) + &late;
    assert_eq!("-", client_of_last(&text));
    let other_host = sshd(7, &[end]).replace("web1", "web2");
    let text = sshd(7, &[&from("192.0.2.10")]) + &other_host;
    assert_eq!("-", client_of_last(&text));
    // The daemon that listens is no connection.
    let text = sshd(
        7,
        &["drop connection #10 from [192.0.2.10]:5 on [192.0.2.1]:22 past MaxStartups", end],
    );
    assert_eq!("-", client_of_last(&text));
}

fn client_of_last(text: &str) -> String {
    let batch = read("auth", text);
    let last = batch.events().last().expect("an event");
    last.row().client.map_or_else(|| "-".to_owned(), |ip| ip.to_string())
}

#[test]
fn a_refused_name_counts_once_and_only_without_a_failed_line() {
    let counted = |messages: &[&str]| {
        let batch = read("auth", &sshd(7, messages));
        batch.events().filter(Event::is_failed_login).map(|event| facts(&event)).collect::<Vec<_>>()
    };
    let invalid = "Invalid user eve from 192.0.2.10 port 5";
    let failed = "Failed password for invalid user eve from 192.0.2.10 port 5 ssh2";
    let closed = "Connection closed by invalid user eve 192.0.2.10 port 5 [preauth]";
    let plain = "Received disconnect from 192.0.2.10 port 5:11: Bye [preauth]";
    assert_eq!(
        vec!["preauth_disconnect 192.0.2.10 peer unknown_user! -"],
        counted(&[invalid, closed, closed])
    );
    assert_eq!(
        vec!["preauth_disconnect 192.0.2.10 peer unknown_user! -"],
        counted(&[invalid, plain, closed])
    );
    assert_eq!(vec!["login 192.0.2.10 peer unknown_user! -"], counted(&[invalid, failed, closed]));
    assert!(counted(&[closed]).is_empty());
    let locked = "User bob not allowed because account is locked";
    assert_eq!(
        vec!["preauth_disconnect 192.0.2.10 peer account_locked! -"],
        counted(&["Connection from 192.0.2.10 port 5 on 192.0.2.1 port 22", locked, plain])
    );
    let batch = read("auth", &sshd(7, &[invalid, plain]));
    assert_eq!(Some(&b"eve"[..]), batch.event(1).field(Field::User));
}

const REFUSED: &str =
    "[Fri Nov 20 07:46:01 2026] [error] [client 192.0.2.7] user bob not found: /a\n";
const REQUEST: &str =
    "192.0.2.7 - bob [20/Nov/2026:07:46:03 +0000] \"GET /a HTTP/1.1\" 401 0 \"-\" \"-\"\n";

/// How many failures count of blocks of (is of the access log, text).
fn counted(blocks: &[(bool, &str)]) -> Vec<String> {
    let mut memory = Memory::default();
    let mut access = Log::new("access", "combined");
    let mut errors = Log::new("errors", "apache_error");
    let mut all = Vec::new();
    for (is_access, text) in blocks {
        let log = if *is_access { &mut access } else { &mut errors };
        let (batch, _) = log.read(&mut memory, text);
        all.extend(batch.events().filter(Event::is_failed_login).map(|event| facts(&event)));
        let failures = batch.events().filter(|event| {
            event.row().auth.is_some_and(|auth| auth.outcome == AuthOutcome::Failure)
        });
        assert_eq!(batch.len(), failures.count(), "a failure stays one");
    }
    all
}

#[test]
fn a_refused_log_in_that_two_logs_tell_of_counts_once() {
    assert_eq!(1, counted(&[(true, REQUEST), (false, REFUSED)]).len());
    assert_eq!(1, counted(&[(false, REFUSED), (true, REQUEST)]).len());
    assert_eq!(2, counted(&[(false, &REFUSED.repeat(2)), (true, REQUEST)]).len());
    assert_eq!(3, counted(&[(true, &REQUEST.repeat(3)), (false, &REFUSED.repeat(2))]).len());
    assert_eq!(2, counted(&[(false, &REFUSED.repeat(2))]).len(), "an error log may stand alone");
}

#[test]
fn only_the_same_log_in_is_a_twin() {
    for other in [
        REQUEST.replace("bob", "alice"),
        REQUEST.replace("192.0.2.7", "192.0.2.8"),
        REQUEST.replace("07:46:03", "07:46:07"),
        REQUEST.replace("07:46:03", "07:45:55"),
    ] {
        assert_eq!(2, counted(&[(false, REFUSED), (true, &other)]).len(), "{other}");
    }
}

#[test]
fn the_error_log_says_why_a_request_was_refused() {
    let mut memory = Memory::default();
    Log::new("errors", "apache_error").read(&mut memory, REFUSED);
    let (batch, _) = Log::new("access", "combined").read(&mut memory, REQUEST);
    assert_eq!("login 192.0.2.7 peer unknown_user -", facts(&batch.event(0)));
}

#[test]
fn what_is_carried_survives_being_stored() {
    let mut memory = Memory::default();
    let mut log = Log::new("test", "nginx_error");
    let (first, rest) = TORN.split_at(TORN.find('\n').expect("a line end") + 1);
    assert_eq!("", log.read(&mut memory, first).1.to_text());
    let (batch, carried) = log.read(&mut memory, rest);
    let mut again = Memory::default();
    again.recall(Carried::from_text(&carried.to_text()));
    let mut log = Log::new("test", "nginx_error");
    log.from = first.len() as u64;
    let (replayed, _) = log.read(&mut again, rest);
    let facts = |batch: &EventBatch| batch.events().map(|event| facts(&event)).collect::<Vec<_>>();
    assert_eq!(facts(&batch), facts(&replayed));
    assert_eq!("file_not_found 192.0.2.10 ambiguous - ended", facts(&replayed)[1]);
    assert!(Carried::from_text("{damaged").is_empty());
}

/// A request of a user whom Caddy has checked.
const CHECKED: &str = r#"{"level":"info","ts":1795158011.25,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"192.0.2.7","remote_port":"5","proto":"HTTP/2.0","method":"GET","host":"www.example.org","uri":"/a","headers":{}},"user_id":"anna","duration":0.1,"size":9,"status":200}"#;

/// [`CHECKED`], so many seconds later, with a text of it replaced.
fn checked(seconds: u64, from: &str, to: &str) -> String {
    let time = (1_795_158_011 + seconds).to_string();
    CHECKED.replace("1795158011", &time).replace(from, to) + "\n"
}

/// Which of the lines are log-ins.
fn log_ins(memory: &mut Memory, text: &str) -> Vec<bool> {
    let (batch, _) = Log::new("test", "caddy").read(memory, text);
    let log_in = "login 192.0.2.7 peer success -";
    batch.events().map(|event| facts(&event).replace(".8", ".7") == log_in).collect()
}

#[test]
fn the_first_request_of_a_user_after_a_pause_is_a_log_in() {
    for (second, expected) in [
        (checked(1800, "", ""), false),
        (checked(1801, "", ""), true),
        (checked(1, "\"anna\"", "\"bob\""), true),
        (checked(1, "192.0.2.7", "192.0.2.8"), true),
        (checked(1, "www.example.org", "www.example.net"), true),
        // Whom nobody has let in, and who has ended the session.
        (checked(9000, "\"status\":200", "\"status\":404"), false),
        (checked(9000, "\"/a\"", "\"/logout\""), false),
        (checked(9000, "\"anna\"", "\"\""), false),
    ] {
        let text = checked(0, "", "") + &second;
        assert_eq!(vec![true, expected], log_ins(&mut Memory::default(), &text), "{second}");
    }
    let text: String = [0, 1000, 2000, 3000, 5000].map(|at| checked(at, "", "")).concat();
    let expected = vec![true, false, false, false, true];
    assert_eq!(expected, log_ins(&mut Memory::default(), &text), "each request is a visit");
    let logins = Logins { session_gap: Period::from_secs(900), ..Logins::default() };
    let expected = vec![true, true, true, true, true];
    assert_eq!(expected, log_ins(&mut Memory::new(&logins), &text));
}

#[test]
fn lines_out_of_order_are_no_other_visit_unless_they_are_much_older() {
    let text: String = [3000, 2990, 1300, 3000].map(|at| checked(at, "", "")).concat();
    assert_eq!(vec![true, false, false, false], log_ins(&mut Memory::default(), &text));
    let text: String = [3000, 0, 10, 3010].map(|at| checked(at, "", "")).concat();
    assert_eq!(vec![true, true, false, true], log_ins(&mut Memory::default(), &text));
}

#[test]
fn what_a_client_of_nginx_claims_is_no_log_in() {
    let line = r#"192.0.2.7 - bob [20/Nov/2026:07:46:03 +0000] "GET /a HTTP/1.1" 200 0 "-" "-""#;
    check("combined", line, &["http_request 192.0.2.7 peer - -"]);
}

#[test]
fn a_log_in_is_told_once_also_where_its_frame_is_read_again() {
    let mut memory = Memory::default();
    let first = log_ins(&mut memory, &checked(0, "", ""));
    let (batch, carried) = Log::new("test", "caddy").read(&mut memory, &checked(60, "", ""));
    assert_eq!((vec![true], "http_request 192.0.2.7 peer - -"), (first, &*facts(&batch.event(0))));
    let mut again = Memory::default();
    again.recall(Carried::from_text(&carried.to_text()));
    assert_eq!(vec![false], log_ins(&mut again, &checked(60, "", "")));
}

const LINES: &[&str] = &[
    "Nov 20 07:00:16 web1 sshd[7]: Connection from 192.0.2.10 port 5 on 192.0.2.1 port 22",
    "Nov 20 07:00:17 web1 sshd[7]: Invalid user \u{fc} from 192.0.2.11 port 5",
    "Nov 20 07:00:18 web1 sshd[7]: Failed password for invalid user eve from 192.0.2.10 port 5 ssh2",
    "Nov 20 07:00:19 web1 sshd[7]: Connection closed by invalid user eve 192.0.2.10 port 5 [preauth]",
    "Nov 20 07:00:20 web1 sshd[7]: fatal: Read from socket failed: Connection reset by peer [preauth]",
    "Nov 20 07:30:20 web1 sshd[7]: Disconnecting: Too many authentication failures [preauth]",
    "[Fri Nov 20 07:46:01 2026] [error] [client 192.0.2.7] user bob not found: /a",
    "192.0.2.7 - bob [20/Nov/2026:07:46:03 +0000] \"GET /a HTTP/1.1\" 401 0 \"-\" \"-\"",
    CHECKED,
    "2026/11/20 07:47:21 [error] 5#6: *40 open() \"/srv/www/x\u{e4}",
    "2026/11/20 07:50:00 [error] 1#1: *1 user \"alice\": password mismatch, client: 198.51.100.66, server: t, request: \"GET / HTTP/1.1\"",
    "\" failed (2: No such file or directory), client: 192.0.2.10, server: t, request: \"GET / HTTP/1.1\"",
    "2026/11/20 07:47:22 [error] 5#6: *41 FastCGI sent in stderr: \"PHP message: x",
    "[20-Nov-2026 07:00:01 UTC] PHP Fatal error:  x in /a.php:3",
    "Stack trace:",
    "",
];

proptest! {
    #[test]
    fn blocks_and_replays_make_no_difference(
        lines in proptest::collection::vec((proptest::sample::select(LINES), any::<bool>()), 1..60),
        own in proptest::sample::select(&["nginx_error", "php", "auth", "apache_error", "combined", "caddy"][..]),
    ) {
        let definition = format!("auto:{own}");
        let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
        let mut whole = Vec::new();
        rendered(&read(&definition, &text), &mut whole);

        let (mut cut, mut replayed, mut memory) = (Vec::new(), Vec::new(), Memory::default());
        let mut log = Log::new("test", &definition);
        let mut block = String::new();
        for (number, (line, ends)) in lines.iter().enumerate() {
            block.push_str(line);
            block.push('\n');
            if *ends || number + 1 == lines.len() {
                let from = log.from;
                let (batch, carried) = log.read(&mut memory, &block);
                rendered(&batch, &mut cut);
                let mut again = Memory::default();
                again.recall(Carried::from_text(&carried.to_text()));
                let mut other = Log::new("test", &definition);
                other.from = from;
                rendered(&other.read(&mut again, &block).0, &mut replayed);
                block.clear();
            }
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        prop_assert_eq!(text(&whole), text(&cut));
        prop_assert_eq!(text(&whole), text(&replayed));
    }
}
