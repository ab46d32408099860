//! The daemon as its operator meets it: files that come and go, a second start, a port that is
//! taken, a full disk, a stop.

#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "support/http.rs"]
mod http;
mod support;

#[path = "follow/answers.rs"]
mod answers;
#[path = "follow/findings.rs"]
mod findings;
#[path = "support/smtp.rs"]
mod smtp;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use gatewatch::engine::detect::AlertState;
use gatewatch::store::{AlertFilter, StoreReader};
use gatewatch::units::Period;
use http::{Pages, try_get};
use support::{Place, Running, clf, each_once, now, open_log, until};

/// Appends requests `from..to` to a log.
#[track_caller]
fn write(path: &Path, requests: std::ops::Range<u32>) {
    let time = clf(now());
    let line = |n| format!("192.0.2.8 - - [{time}] \"GET /{n} HTTP/1.1\" 200 9 \"-\" \"-\"\n");
    let lines: String = requests.map(line).collect();
    open_log(path).write_all(lines.as_bytes()).expect("the log is written");
}

/// A `[[source]]` called `site`.
fn source(path: &Path) -> String {
    format!("[[source]]\nname = \"site\"\npath = {path:?}\n")
}

/// The requests `0..count` arrived, each once.
#[track_caller]
fn check_events(place: &Place, count: u32) {
    let paths = place.sunk();
    let paths = paths.iter().map(|event| event["url"]["path"].as_str().expect("a path"));
    let found = each_once("events", paths);
    let missing = (0..count).find(|n| !found.contains_key(format!("/{n}").as_str()));
    assert_eq!((None, count as usize), (missing, found.len()));
}

/// The daemon refuses to start: its exit code, and what it says, which holds each of `words`.
#[track_caller]
fn check_refused(code: i32, answer: (ExitStatus, String, String), words: &[&str]) {
    let (status, _, errors) = answer;
    assert_eq!(Some(code), status.code(), "{errors}");
    for word in words {
        assert!(errors.contains(word), "no `{word}` in: {errors}");
    }
}

#[test]
fn a_new_file_is_found_within_two_seconds() {
    let place = Place::new();
    fs::create_dir_all(place.log("a/b")).expect("directories");
    place.configure(&source(&place.log("**/*access*.log")));
    write(&place.log("access.log"), 0..3);
    let mut daemon = place.run(&[]);
    place.until_delivered(3);
    for (round, name) in ["access2.log", "a/b/c/access.log", "a/x-access.log"].iter().enumerate() {
        let path = place.log(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        let from = 3 + 2 * round as u32;
        let before = now();
        write(&path, from..from + 2);
        place.until_delivered(u64::from(from) + 2);
        let took = now().since(before);
        assert!(took <= Period::from_secs(2), "{name}: {took}");
    }
    assert!(daemon.stops().success(), "{}", daemon.words());
    check_events(&place, 9);
}

/// `gatewatch run` on a machine without logs. Where this one has some, they are hidden from it.
fn run_without_logs(place: &Place) -> Option<Running> {
    let program = env!("CARGO_BIN_EXE_gatewatch");
    let mut command = if gatewatch::config::discover().is_empty() {
        Command::new(program)
    } else {
        let hide = ["--mount", "--", "sh", "-c", "mount -t tmpfs none /var/log && exec \"$0\" run"];
        let mut probe = Command::new("unshare");
        probe.args(["--mount", "--", "mount", "-t", "tmpfs", "none", "/var/log"]);
        let may = probe.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        let mut command = Command::new("unshare");
        command.args(hide).arg(program);
        may.then_some(command)?
    };
    if program == command.get_program() {
        command.arg("run");
    }
    Some(Running::start(command.current_dir(place.path())))
}

#[test]
fn without_a_configuration_and_a_readable_log_the_error_says_what_to_do() {
    let place = Place::new();
    let has_config = Path::new(gatewatch::config::DEFAULT_PATH).exists();
    let Some(mut gatewatch) = (!has_config).then(|| run_without_logs(&place)).flatten() else {
        eprintln!("skipped: this machine has a configuration, or logs that cannot be hidden");
        return;
    };
    let status = gatewatch.ends();
    let errors = gatewatch.words();
    assert!(!status.success(), "{errors}");
    for words in ["there is no log to watch", "/var/log/nginx", "[[source]]", "usermod -aG adm"] {
        assert!(errors.contains(words), "no `{words}` in: {errors}");
    }
    assert!(!place.path().join("gatewatch-data").exists(), "a refused start leaves nothing behind");
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused() {
    let place = Place::new();
    place.configure(&source(&place.log("access.log")));
    let mut first = place.run(&[]);
    Pages::of(&mut first);
    let state = place.state().display().to_string();
    for arguments in [&[][..], &["--once"]] {
        check_refused(69, place.ask(&["run"], arguments), &[&state, "another"]);
    }
    write(&place.log("access.log"), 0..5);
    place.until_delivered(5);
    assert!(first.stops().success(), "{}", first.words());
    let (status, _, errors) = place.ask(&["run"], &["--once"]);
    assert!(status.success(), "{errors}");
}

#[test]
fn a_port_in_use_is_refused_with_the_way_out() {
    let (one, two) = (Place::new(), Place::new());
    one.configure(&source(&one.log("access.log")));
    let mut first = one.run(&[]);
    let address = Pages::of(&mut first).address().to_owned();
    two.configure(&source(&two.log("access.log")));
    let config = two.path().join("gatewatch.toml");
    let text = fs::read_to_string(&config).expect("the configuration");
    fs::write(&config, text.replace("127.0.0.1:0", &address)).expect("the configuration");
    let words = [address.as_str(), "is in use", "ss -ltnp", "serve.listen"];
    check_refused(69, two.ask(&["run"], &[]), &words);
    // From cron there is no listener, so nothing is in the way.
    assert!(two.ask(&["run"], &["--once"]).0.success());
}

#[test]
fn readiness_names_the_source_that_is_gone_and_is_green_again_with_it() {
    let place = Place::new();
    let log = place.log("access.log");
    place.configure(&source(&log));
    let mut daemon = place.run(&[]);
    let pages = Pages::of(&mut daemon);
    pages.until_ready(false, "no file matches");
    write(&log, 0..2);
    pages.until_ready(true, "source site");
    // A directory in place of a log cannot be read by anybody, root included.
    fs::rename(&log, place.log("old.log")).expect("renamed");
    fs::create_dir(&log).expect("a directory");
    pages.until_ready(false, "source site");
    let (_, body) = try_get(pages.address(), "/readyz").expect("an answer");
    assert!(body.contains("directory"), "{body}");
    let health = try_get(pages.address(), "/healthz").expect("an answer");
    assert_eq!((200, "ok"), (health.0, health.1.trim()), "alive, only not ready");
    fs::remove_dir(&log).expect("removed");
    write(&log, 2..4);
    pages.until_ready(true, "source site");
    place.until_delivered(4);
    assert!(daemon.stops().success(), "{}", daemon.words());
    check_events(&place, 4);
}

#[test]
fn a_stop_delivers_what_was_read() {
    let place = Place::new();
    place.configure(&source(&place.log("access.log")));
    let mut daemon = place.run(&[]);
    daemon.says("delivering");
    write(&place.log("access.log"), 0..2000);
    let reader = StoreReader::open(&place.state()).expect("the store is there");
    until("the first line", || (0 < reader.ledger().ok()?.lines).then_some(()));
    assert!(daemon.stops().success(), "{}", daemon.words());
    let stored = reader.ledger().expect("the ledger").lines;
    assert_eq!(stored, place.sunk().len() as u64, "what was stored was delivered");
    assert!(place.ask(&["run"], &["--once"]).0.success());
    check_events(&place, 2000);
}

#[test]
fn a_run_from_cron_reads_nothing_twice() {
    let place = Place::new();
    let log = place.log("access.log");
    place.configure(&source(&log));
    write(&log, 0..10);
    let once = |lines: &str| {
        let (status, _, errors) = place.ask(&["run"], &["--once"]);
        assert!(status.success() && errors.contains(lines), "no `{lines}` in: {errors}");
    };
    once("10 lines read");
    once("0 lines read");
    // An unfinished line waits for the next run.
    open_log(&log).write_all(b"192.0.2.8 - - [").expect("the log is written");
    once("0 lines read");
    let rest = format!("{}] \"GET /10 HTTP/1.1\" 200 9 \"-\" \"-\"\n", clf(now()));
    open_log(&log).write_all(rest.as_bytes()).expect("the log is written");
    fs::rename(&log, place.log("access.log.1")).expect("rotated");
    write(&log, 11..15);
    once("5 lines read");
    let (status, text, errors) = place.ask(&["run"], &["--once", "--quiet"]);
    assert!(status.success() && text.is_empty() && errors.is_empty(), "{text}{errors}");
    check_events(&place, 15);
    assert_eq!(Some(15), place.report()["quality"]["lines"].as_u64(), "lines in the report");
}

/// `GET /name` of each event in the file sink, and what the event says: `name status` or, for a
/// line that was not understood, its text.
fn told(place: &Place) -> Vec<String> {
    let events = place.sunk();
    let tell = |event: &serde_json::Value| match event["url"]["path"].as_str() {
        Some(path) => format!("{path} {}", event["http"]["response"]["status_code"]),
        None => format!("unread: {}", event["event"]["original"]),
    };
    events.iter().map(tell).collect()
}

#[test]
fn columns_named_in_a_file_are_known_to_every_run_behind_them() {
    let place = Place::new();
    let [one, two] = ["u_ex1.log", "u_ex2.log"].map(|name| place.log(name));
    place.configure(&source(&place.log("u_ex*.log")));
    let mut expected = 0;
    let mut once = |texts: [&str; 2]| {
        for (log, text) in [&one, &two].into_iter().zip(texts) {
            open_log(log).write_all(text.as_bytes()).expect("the log is written");
        }
        let (status, _, errors) = place.ask(&["run"], &["--once"]);
        let new = texts.concat().lines().filter(|line| !line.starts_with('#')).count();
        expected += new;
        assert!(status.success() && errors.contains(&format!("{new} lines read")), "{errors}");
    };
    once([
        "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status\n\
         2026-11-20 07:00:00 192.0.2.7 GET /a 201\n",
        "#Version: 1.0\n#Fields: date time sc-status c-ip cs-method cs-uri-stem\n\
         2026-11-20 07:00:01 202 192.0.2.7 GET /b\n",
    ]);
    // No run before has to be there for the next one but in the store.
    once([
        "2026-11-20 07:00:02 192.0.2.7 GET /c 203\n",
        "2026-11-20 07:00:03 204 192.0.2.7 GET /d\n#Fields: date time cs-uri-stem sc-status\n",
    ]);
    once(["2026-11-20 07:00:04 192.0.2.7 GET /e 205\n", "2026-11-20 07:00:05 /f 206\n"]);
    once(["#Date: 2026-11-20 07:00:06\n", "2026-11-20 07:00:07 /g 207\n"]);
    once(["#Fields: time cs-uri-stem sc-status\n", ""]);
    once(["07:00:08 /h 208\n", ""]);
    let mut told = told(&place);
    told.sort();
    let all = ["/a 201", "/b 202", "/c 203", "/d 204", "/e 205", "/f 206", "/g 207", "/h 208"];
    assert_eq!(all, *told);
    assert_eq!(all.len(), expected);
}

#[test]
fn a_file_that_is_followed_from_its_end_has_its_columns_looked_up() {
    let place = Place::new();
    let log = place.log("u_ex1.log");
    place.configure(&format!("{}start = \"end\"\n", source(&log)));
    let header = "#Fields: date time c-ip cs-method cs-uri-stem sc-status\n";
    let line = |name: &str| format!("2026-11-20 07:00:00 192.0.2.7 GET /{name} 201\n");
    let text = header.to_owned() + &line("old");
    open_log(&log).write_all(text.as_bytes()).expect("the log is written");
    for lines in ["0 lines read", "1 lines read"] {
        let (status, _, errors) = place.ask(&["run"], &["--once"]);
        assert!(status.success() && errors.contains(lines), "no `{lines}` in: {errors}");
        open_log(&log).write_all(line("new").as_bytes()).expect("the log is written");
    }
    assert_eq!(["/new 201"], *told(&place));
}

/// What an event says that depends on the lines before it.
fn memory_of(event: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let own = &event["gatewatch"];
    [&event["event"]["action"], &event["source"]["ip"], &own["client_ip_source"], &own["record"]]
        .map(text)
        .join(" ")
}

#[test]
fn what_a_line_means_because_of_lines_before_it_survives_every_restart() {
    let place = Place::new();
    let log = |name: &str| {
        let format = if name == "auth" { "auth" } else { "nginx_error" };
        let path = place.log(name);
        format!(
            "[[source]]\nname = {name:?}\npath = {path:?}\nformat = {format:?}\ntimezone = \"UTC\"\n"
        )
    };
    place.configure(&format!("{}{}", log("auth"), log("error")));
    let time = jiff::Timestamp::from_second(now().secs() as i64).expect("a time");
    let (slashed, syslog) = (time.strftime("%Y/%m/%d %H:%M:%S"), time.strftime("%b %e %H:%M:%S"));
    let error = [
        format!("{slashed} [error] 5#5: *40 open() \"/srv/www/x"),
        format!("{slashed} [error] 1#1: *1 user \"alice\": password mismatch, client: 198.51.100.66, server: t, request: \"GET / HTTP/1.1\""),
        "\" failed (2: No such file or directory), client: 192.0.2.10, server: t, request: \"GET /x%0a HTTP/1.1\"".to_owned(),
    ];
    let auth = [
        format!("{syslog} web1 sshd[7]: Connection from 192.0.2.11 port 5 on 192.0.2.1 port 22"),
        format!("{syslog} web1 sshd[8]: Connection from 192.0.2.12 port 5 on 192.0.2.1 port 22"),
        format!("{syslog} web1 sshd[7]: fatal: Read from socket failed: reset by peer [preauth]"),
    ];
    for lines in auth.iter().zip(&error) {
        for (name, line) in [("auth", lines.0), ("error", lines.1)] {
            let line = format!("{line}\n");
            open_log(&place.log(name)).write_all(line.as_bytes()).expect("the log is written");
        }
        let (status, _, errors) = place.ask(&["run"], &["--once"]);
        assert!(status.success() && errors.contains("2 lines read"), "{errors}");
    }
    let mut found: Vec<String> = place.sunk().iter().map(memory_of).collect();
    found.sort_unstable();
    let expected = [
        "auth_info 192.0.2.11 - -",
        "auth_info 192.0.2.12 - -",
        "file_not_found 192.0.2.10 ambiguous ended",
        "preauth_disconnect 192.0.2.11 session -",
        "server_error - - begun",
        "server_error - - continued",
    ];
    assert_eq!(expected[..], found[..]);
}

/// How an alert ended of which the lines came in so many runs: how many transitions it made,
/// and how many events it counted in the end.
fn counted_over(runs: usize) -> (usize, Option<u64>) {
    let place = Place::new();
    let rules = place.path().join("ours.toml");
    let rule = "schema = 1\n[[rule]]\nid = \"ours.door\"\ntitle = \"Door\"\nwhere = { \"url.path\" = \
                \"/door\" }\ngroup_by = [\"client.net\"]\nwindow = \"5m\"\nthreshold = 5\nresolve_after \
                = \"2m\"\n";
    fs::write(&rules, rule).expect("the rules are written");
    let log = place.log("access.log");
    let source = source(&log);
    place.configure(&format!("{source}format = \"combined\"\n[rules]\nfiles = [{rules:?}]\n"));
    // All in one second, as servers log them. The last line ends the alert.
    let time = now().minus(Period::from_secs(70));
    let line = |time, path: &str| {
        format!("203.0.113.7 - - [{}] \"GET {path} HTTP/1.1\" 200 9 \"-\" \"-\"\n", clf(time))
    };
    let mut lines = vec![line(time, "/door"); 12];
    lines.push(line(time.plus(Period::from_secs(180)), "/"));
    for chunk in lines.chunks(lines.len().div_ceil(runs)) {
        open_log(&log).write_all(chunk.concat().as_bytes()).expect("the log is written");
        let (status, _, errors) = place.ask(&["run"], &["--once"]);
        assert!(status.success(), "{errors}");
    }
    let reader = StoreReader::open(&place.state()).expect("the store is there");
    let alerts = reader.alerts(&AlertFilter::default()).expect("the alerts");
    let ours: Vec<_> = alerts.iter().filter(|alert| alert.rule.id == "ours.door").collect();
    let ended = ours.iter().find(|alert| alert.state == AlertState::Resolved);
    (ours.len(), ended.map(|alert| alert.count))
}

#[test]
fn an_alert_counts_the_same_however_often_the_daemon_starts_while_it_goes_on() {
    for runs in [1, 2, 3, 13] {
        assert_eq!((2, Some(12)), counted_over(runs), "in {runs} runs");
    }
}

/// A small file system of its own, unmounted when this value goes.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing where this user may not mount one.
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).expect("a mount point");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&path);
        let done = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        done.then_some(Self(path))
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("ballast")).expect("a file");
        while file.write_all(&[1; 4096]).is_ok() {}
        while file.write_all(&[1]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for a daemon that is being killed may still hold files there.
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[test]
fn a_full_disk_turns_readiness_red_and_loses_nothing() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(place.state()) else {
        eprintln!("skipped: this user cannot mount a small file system");
        return;
    };
    let log = place.log("access.log");
    place.configure(&source(&log));
    write(&log, 0..100);
    let mut daemon = place.run(&[]);
    let pages = Pages::of(&mut daemon);
    place.until_delivered(100);
    pages.until_ready(true, "store");
    disk.fill();
    write(&log, 100..3000);
    pages.until_ready(false, "store");
    let (_, body) = try_get(pages.address(), "/readyz").expect("an answer");
    assert!(body.contains("full") || body.contains("space"), "{body}");
    write(&log, 3000..3100);
    assert!(!daemon.ends_within(Duration::from_millis(1500)), "{}", daemon.words());
    disk.free();
    pages.until_ready(true, "store");
    place.until_delivered(3100);
    assert!(daemon.stops().success(), "{}", daemon.words());
    check_events(&place, 3100);
}

/// The club's members and what each of them sends on one day; nobody is there because somebody
/// sent their name.
#[test]
fn who_logged_in_is_listed_and_a_forged_name_makes_nobody_present() {
    let place = Place::new();
    let (log, roster) = (place.log("access.log"), place.path().join("members.csv"));
    fs::write(&roster, "user,name\nalice,Alice\nbob,Bob\ncarol,Carol\n").expect("a roster");
    place.configure(&format!(
        "[[source]]\npath = {log:?}\nformat = \"combined\"\n[logins]\nprotected = [\"/members/\"]\n\
         [roster]\nfile = {roster:?}\n[calendar]\ntimezone = \"UTC\"\n[compliance]\nweekday = \"{}\"\n",
        at(now(), "%A").to_ascii_lowercase()
    ));
    let line = |user: &str, request: &str, status: u16| {
        let time = clf(now());
        format!(
            "198.51.100.66 - {user} [{time}] \"{request} HTTP/1.1\" {status} 512 \"-\" \"curl/8\"\n"
        )
    };
    let lines = [
        line("bob", "GET /members/", 200),
        // What a client may send to pass for Alice.
        line("alice", "GET /", 200),
        line("alice", "GET /members", 301),
        line("alice", "GET /members/%2e%2e/", 200),
        line("alice", "POST /wp-login.php", 302),
        line(r"x [19/Nov/2026:10:00:00 +0000] \x22GET /members/ HTTP/1.1\x22 200 5", "GET /", 200),
        line("carol", "GET /members/", 401),
        line("mallory", "GET /members/", 200),
    ];
    fs::write(&log, lines.concat()).expect("the log is written");
    assert!(place.ask(&["run"], &["--once"]).0.success());
    // The same file again is nothing new.
    assert!(place.ask(&["run"], &["--once"]).0.success());

    let ask = |arguments: &[&str]| {
        let (status, text, errors) = place.ask(&["report", "--who-logged-in"], arguments);
        assert!(status.success(), "{errors}");
        text
    };
    let list: serde_json::Value =
        serde_json::from_str(&ask(&["--format", "json"])).expect("the list is JSON");
    let of = |key: &str| -> Vec<(String, String)> {
        let rows = list[key].as_array().expect("a list").iter();
        let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or("-").to_owned();
        rows.map(|row| (text(row, "user"), text(row, "state"))).collect()
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let expected = [pair("carol", "failed_only"), pair("alice", "unproven"), pair("bob", "done")];
    assert_eq!(expected.to_vec(), of("members"));
    assert_eq!([pair("mallory", "-")].to_vec(), of("strangers"));
    assert_eq!(Some(1), list["summary"]["done"].as_u64());
    let table = ask(&["--format", "csv"]);
    assert!(table.contains("\nalice,Alice,,\"name seen, not proved\",,"), "{table}");
    let day = at(now(), "%Y-%m-%d");
    let text = ask(&["--day", &day]);
    assert!(text.contains("logged in") && text.contains("bob: Bob"), "{text}");
    // The day is not over, so nobody is called absent.
    assert!(text.contains("at least 1 of 3") && text.contains("the day is not over"), "{text}");
}

fn at(time: gatewatch::units::Timestamp, form: &str) -> String {
    let time = jiff::Timestamp::from_second(time.secs() as i64).expect("a time");
    time.strftime(form).to_string()
}
