//! Sinks from the store to a real receiver: files on the disk, sockets on the loopback.

mod passed_on;

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

use super::fixture::{self, Bench, NOW};
use super::*;
use crate::engine::batch::Field;
use crate::engine::detect::{AlertState, RuleInfo, Severity};
use crate::store::Commit;
use crate::units::Period;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn file_config(path: &Path, more: &str) -> SinkConfig {
    let text = format!("type = \"file\"\npath = \"{}\"\n{more}", path.display());
    toml::from_str(&text).expect("a sink")
}

fn syslog_config(address: &str, more: &str) -> SinkConfig {
    let text = format!("type = \"syslog\"\naddress = \"{address}\"\n{more}");
    toml::from_str(&text).expect("a sink")
}

/// The users of the events in `text`, which has one JSON object at the end of each line.
fn users(text: &str) -> Vec<String> {
    let user = |line: &str| {
        let json = line.find('{').expect("JSON");
        let event: serde_json::Value = serde_json::from_str(&line[json..]).expect("JSON");
        event["user"]["name"].as_str().expect("a user").to_owned()
    };
    text.lines().map(user).collect()
}

fn render_all(sink: &mut AnySink, batch: &EventBatch, out: &mut Rendered) {
    let rows: Vec<u32> = (0..batch.len() as u32).collect();
    sink.render(Chosen::new(batch, &rows), 0, NOW, out);
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the file is there")
}

#[track_caller]
fn check_each_once(paths: &[PathBuf], lines: usize) {
    let text: String = paths.iter().rev().map(|path| read(path)).collect();
    let expected: Vec<String> = (0..lines).map(|line| format!("line {line}")).collect();
    assert_eq!(expected, users(&text));
}

#[test]
fn a_file_has_each_event_once_after_restarts() {
    let mut bench = Bench::new();
    let path = bench.path("events.json");
    let config = file_config(&path, "");
    for _ in 0..3 {
        bench.store_frames(2, 50);
        let status = run(bench.deliver(&config, NOW)).report(NOW);
        assert_eq!((100, 0, 0), (status.accepted, status.rejected, status.waiting_events));
        assert_eq!(None, status.failure);
        check_each_once(std::slice::from_ref(&path), bench.lines);
    }
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(0, mode & 0o137, "{mode:o}");
}

#[test]
fn what_a_crash_left_behind_the_cursor_is_written_once() {
    let mut bench = Bench::new();
    let path = bench.path("events.json");
    let config = file_config(&path, "");
    bench.store_frames(2, 50);
    run(bench.deliver(&config, NOW));
    let reader_name = format!("sink:{}", config.name());
    let cursor = bench.reader().cursor(&reader_name).expect("a store").expect("a cursor");

    // A crash after the frame was written and before its cursor was: the old cursor comes back.
    bench.store_frames(1, 50);
    run(bench.deliver(&config, NOW));
    bench.reader().save_cursor(&reader_name, cursor.seq, &cursor.state, NOW).expect("saved");
    run(bench.deliver(&config, NOW));
    check_each_once(std::slice::from_ref(&path), 150);

    // A crash in the middle of a line.
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("the file");
    file.write_all(b"{\"@timestamp\":\"20").expect("written");
    bench.store_frames(1, 50);
    run(bench.deliver(&config, NOW));
    check_each_once(std::slice::from_ref(&path), 200);
}

/// Goal: a file has each event once, wherever the task was stopped.
///
/// Method: the task is given up after one step, two steps and so on, each time with the file and
/// the store as they were left; then it may finish.
#[test]
fn a_task_given_up_at_any_step_leaves_nothing_twice_and_nothing_out() {
    let mut bench = Bench::new();
    let path = bench.path("events.json");
    let config = file_config(&path, "max_size = \"64KiB\"\nkeep = 1000");
    for steps in 0..60 {
        bench.store_frames(2, 30);
        run(async {
            let give_up = async {
                for _ in 0..steps {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                _ = bench.deliver(&config, NOW) => (),
                () = give_up => (),
            }
        });
    }
    run(bench.deliver(&config, NOW));
    let numbered = (1..).map(|number| bench.path(&format!("events.json.{number}")));
    let old = numbered.take_while(|path| path.exists());
    let files: Vec<PathBuf> = std::iter::once(path).chain(old).collect();
    assert!(10 < files.len());
    check_each_once(&files, bench.lines);
}

#[test]
fn a_file_that_is_not_ours_is_not_cut() {
    let mut bench = Bench::new();
    let path = bench.path("events.json");
    let config = file_config(&path, "daily = false"); // The file's day is the machine's.
    fs::write(&path, "{\"user\":{\"name\":\"before\"}}\n").expect("written");
    bench.store_frames(1, 5);
    run(bench.deliver(&config, NOW));
    assert_eq!(6, users(&read(&path)).len());

    // Another program rotates.
    fs::rename(&path, bench.path("elsewhere")).expect("renamed");
    fs::write(&path, "{\"user\":{\"name\":\"other\"}}\n").expect("written");
    bench.store_frames(1, 5);
    run(bench.deliver(&config, NOW));
    assert_eq!("other", users(&read(&path))[0]);
    assert_eq!(6, users(&read(&path)).len());

    // Another program truncates.
    fs::write(&path, "").expect("written");
    bench.store_frames(1, 5);
    run(bench.deliver(&config, NOW));
    assert_eq!(5, users(&read(&path)).len());
}

#[test]
fn a_file_over_its_size_is_rotated_between_frames_and_old_ones_go() {
    let mut bench = Bench::new();
    let path = bench.path("events.json");
    let config = file_config(&path, "max_size = \"8KiB\"\nkeep = 3\nencoding = \"ecs_compact\"");
    bench.store_frames(4, 20);
    run(bench.deliver(&config, NOW));
    let files = ["events.json", "events.json.1", "events.json.2", "events.json.3"];
    let files = files.map(|name| bench.path(name));
    check_each_once(&files, 80);

    bench.store_frames(1, 20);
    run(bench.deliver(&config, NOW));
    let text: String = files.iter().rev().map(|path| read(path)).collect();
    assert_eq!("line 20", users(&text)[0], "the oldest file went");
    assert!(!bench.path("events.json.4").exists());
}

#[test]
fn a_new_day_begins_a_new_file() {
    let mut bench = Bench::new();
    let path = bench.path("events.json");
    let config = file_config(&path, "");
    bench.store_frames(1, 5);
    run(bench.deliver(&config, NOW));
    bench.store_frames(1, 5);
    run(bench.deliver(&config, NOW.plus(Period::from_secs(3600))));
    assert!(!bench.path("events.json.1").exists());
    bench.store_frames(1, 5);
    run(bench.deliver(&config, NOW.plus(Period::from_secs(86_400))));
    check_each_once(&[path, bench.path("events.json.1")], 15);
}

#[test]
fn a_full_disk_is_an_error_that_says_what_to_do() {
    let config = file_config(Path::new("/dev/full"), "");
    let mut sink = AnySink::new(&config, &SinkContext::default());
    let mut rendered = Rendered::default();
    render_all(&mut sink, &fixture::batch(&["x"], |_, _| ()), &mut rendered);
    let error = run(async {
        sink.begin(None, NOW).await.expect("a file that can be opened");
        sink.send(&rendered, NOW).await.expect_err("a full disk")
    });
    assert!(matches!(error, SinkError::Full { .. }), "{error}");
    assert!(error.words().contains("/dev/full; free some, or lower the sink's `max_size`"));
}

#[test]
fn every_datagram_is_one_message() {
    let mut bench = Bench::new();
    bench.store_frames(2, 10);
    run(async {
        let receiver = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = format!("udp://{}", receiver.local_addr().expect("an address"));
        let status = bench.deliver(&syslog_config(&address, ""), NOW).await.report(NOW);
        assert_eq!(20, status.accepted);
        for line in 0..20 {
            let mut buffer = [0; 4096];
            let length = receiver.recv(&mut buffer).await.expect("a datagram");
            let text = String::from_utf8(buffer[..length].to_vec()).expect("UTF-8");
            assert!(text.starts_with("<134>1 2026-11-20T08:00:00.000Z - gatewatch 812 access - {"));
            assert_eq!([format!("line {line}")], *users(&text));
        }
    });
}

#[test]
fn messages_over_tcp_are_lines() {
    let mut bench = Bench::new();
    bench.store_frames(3, 400);
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = format!("tcp://{}", listener.local_addr().expect("an address"));
        let config = syslog_config(&address, "");
        let receive = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut text = String::new();
            stream.read_to_string(&mut text).await.expect("UTF-8");
            text
        };
        let (text, status) = tokio::join!(receive, bench.deliver(&config, NOW));
        let expected: Vec<String> = (0..1200).map(|line| format!("line {line}")).collect();
        assert_eq!(expected, users(&text));
        assert_eq!(1200, status.report(NOW).accepted);
    });
}

/// Goal: a receiver that dies with unread data in the middle of the stream loses nothing.
///
/// Method: its first connection takes little at a time and is dropped after half a megabyte; all
/// later data goes to a second one. Each event must be in at least one of the two.
#[test]
fn a_receiver_that_resets_the_connection_gets_everything_at_least_once() {
    let mut bench = Bench::new();
    bench.store_frames(20, 200);
    run(async {
        let socket = TcpSocket::new_v4().expect("a socket");
        // What the receiver's kernel holds unread cannot be known to the sender; keep it small.
        socket.set_recv_buffer_size(16 << 10).expect("a small buffer");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let listener = socket.listen(8).expect("a listener");
        let address = format!("tcp://{}", listener.local_addr().expect("an address"));
        let config = syslog_config(&address, "");
        let receive = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut first = vec![0; 500_000];
            stream.read_exact(&mut first).await.expect("half a megabyte");
            drop(stream);
            let (mut stream, _) = listener.accept().await.expect("a second connection");
            let mut second = String::new();
            stream.read_to_string(&mut second).await.expect("UTF-8");
            (String::from_utf8(first).expect("UTF-8"), second)
        };
        let ((first, second), status) = tokio::join!(receive, bench.deliver(&config, NOW));
        let whole = &first[..=first.rfind('\n').expect("a line")];
        let received: BTreeSet<String> = users(whole).into_iter().chain(users(&second)).collect();
        assert_eq!(4000, received.len());
        let status = status.report(NOW);
        assert_eq!((4000, None), (status.accepted, status.failure));
    });
}

#[test]
fn a_connection_that_was_closed_in_order_is_replaced_without_an_error() {
    let batch = fixture::batch(&["one"], |line, writer| {
        writer.set(Field::User, line);
    });
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = format!("tcp://{}", listener.local_addr().expect("an address"));
        let mut sink = AnySink::new(&syslog_config(&address, ""), &SinkContext::default());
        let mut rendered = Rendered::default();
        render_all(&mut sink, &batch, &mut rendered);
        let size = rendered.bytes().len();

        // What was written a moment before the close may have crossed it; an hour before, not.
        let times = [(0, 1), (10, 2), (3600, 1)];
        for (seconds, copies) in times {
            let now = NOW.plus(Period::from_secs(seconds));
            sink.begin(None, now).await.expect("nothing to do");
            let (sent, accepted) = tokio::join!(sink.send(&rendered, now), listener.accept());
            sent.expect("delivered");
            let (mut stream, _) = accepted.expect("a connection");
            let mut text = vec![0; size * copies];
            stream.read_exact(&mut text).await.expect("all messages");
            let more = stream.try_read(&mut text).map_err(|error| error.kind());
            assert_eq!(Err(ErrorKind::WouldBlock), more, "after {seconds} s");
            stream.shutdown().await.expect("closed");
        }
    });
}

#[test]
fn a_receiver_that_is_away_is_named_and_the_events_wait() {
    let mut bench = Bench::new();
    bench.store_frames(1, 7);
    run(async {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = format!("tcp://{}", free.local_addr().expect("an address"));
        drop(free);
        let config = syslog_config(&address, "");
        let mut sink = AnySink::new(&config, &SinkContext::default());
        let mut rendered = Rendered::default();
        render_all(&mut sink, &fixture::batch(&["x"], |_, _| ()), &mut rendered);
        let error = sink.send(&rendered, NOW).await.expect_err("nobody listens");
        assert!(error.words().starts_with(&format!("cannot connect to {address}: ")), "{error}");
    });
}

/// An alert of rule `web.scan` that is told apart by `id`.
fn alert(id: &str, severity: Severity) -> Alert {
    Alert {
        id: id.to_owned(),
        rule: RuleInfo { id: "web.scan".to_owned(), ..RuleInfo::default() },
        severity,
        at: NOW,
        state: AlertState::Firing,
        group: vec![("client.net".to_owned(), "203.0.113.7".to_owned())],
        summary: "seven failed log-ins \u{1b}[31m\n".to_owned(),
        count: 7,
        distinct: None,
        threshold: 5,
        window: Period::from_secs(600),
        first_event: NOW,
        last_event: NOW,
        addresses: vec!["203.0.113.7".parse().expect("an address")],
        users: Vec::new(),
        sites: Vec::new(),
        paths: Vec::new(),
        statuses: [(401, 7)].into(),
        ..Alert::default()
    }
}

pub(super) fn store_alerts(bench: &mut Bench, ids: &[&str]) {
    let alerts: Vec<Alert> = ids.iter().map(|id| alert(id, Severity::High)).collect();
    bench.store.commit(&Commit { alerts: &alerts, ..Commit::default() }, NOW).expect("commit");
}

/// The ids of the alerts, and how many events come before each.
fn alerts_in(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (before, line) in text.lines().enumerate() {
        let json = line.find('{').expect("JSON");
        let event: serde_json::Value = serde_json::from_str(&line[json..]).expect("JSON");
        if let Some(id) = event["gatewatch"]["alert"]["id"].as_str() {
            assert_eq!("alert", event["event"]["kind"]);
            found.push((id.to_owned(), before));
        }
    }
    found
}

#[test]
fn alerts_go_the_same_way_once_and_before_the_frames_that_wait() {
    let mut bench = Bench::new();
    let path = bench.path("events.json");
    let config = file_config(&path, "");
    bench.store_frames(2, 10);
    store_alerts(&mut bench, &["a", "b"]);
    run(bench.deliver(&config, NOW));
    let status = run(bench.deliver(&config, NOW)).report(NOW);
    assert_eq!((0, 0), (status.accepted, status.alerts), "nothing is sent twice");
    assert_eq!([("a".to_owned(), 0), ("b".to_owned(), 1)], *alerts_in(&read(&path)));

    // One without any frame.
    store_alerts(&mut bench, &["c"]);
    let status = run(bench.deliver(&config, NOW)).report(NOW);
    assert_eq!((0, 1, 0), (status.accepted, status.alerts, status.waiting_events));
    assert_eq!(("c".to_owned(), 22), alerts_in(&read(&path))[2]);

    // A sink may want only one of the two.
    let path = bench.path("alerts.json");
    let status = run(bench.deliver(&file_config(&path, "events = false"), NOW)).report(NOW);
    assert_eq!((0, 20, 3), (status.accepted, status.filtered, status.alerts));
    assert_eq!(3, read(&path).lines().count());
    let path = bench.path("events only.json");
    let status = run(bench.deliver(&file_config(&path, "alerts = false"), NOW)).report(NOW);
    assert_eq!((20, 0, 20), (status.accepted, status.alerts, read(&path).lines().count()));
}

#[test]
fn an_alert_is_a_message_with_a_priority_of_its_own() {
    let mut bench = Bench::new();
    let alerts = [alert("a", Severity::Critical), alert("b", Severity::Low)];
    bench.store.commit(&Commit { alerts: &alerts, ..Commit::default() }, NOW).expect("commit");
    run(async {
        let receiver = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = format!("udp://{}", receiver.local_addr().expect("an address"));
        bench.deliver(&syslog_config(&address, ""), NOW).await;
        for start in ["<130>1 2026-11-20T08:00:00.000Z - gatewatch 812 alert - {", "<133>1 "] {
            let mut buffer = [0; 4096];
            let length = receiver.recv(&mut buffer).await.expect("a datagram");
            let text = String::from_utf8(buffer[..length].to_vec()).expect("UTF-8");
            assert!(text.starts_with(start), "{text}");
        }
    });
}

#[test]
fn what_no_receiver_could_take_is_a_dead_letter() {
    let mut bench = Bench::new();
    bench.store_frames(1, 3);
    run(async {
        let receiver = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = format!("udp://{}", receiver.local_addr().expect("an address"));
        let config = syslog_config(&address, "max_message = \"100B\"\nname = \"siem\"");
        let status = bench.deliver(&config, NOW).await.report(NOW);
        assert_eq!((0, 3, 0), (status.accepted, status.rejected, status.waiting_events));
        bench.deliver(&config, NOW).await;
    });
    let letters = bench.reader().dead_letters(Some("sink:siem"), 0, 9).expect("read");
    let bodies: Vec<&[u8]> = letters.iter().map(|letter| &*letter.body).collect();
    assert_eq!([&b"line 0"[..], b"line 1", b"line 2"], *bodies);
    assert_eq!("longer than a message may be: 100 bytes", letters[0].reason);
    assert_eq!(26, letters[0].event_id.len());
}

#[test]
fn a_sink_gets_its_share_of_the_events() {
    let mut bench = Bench::new();
    bench.store_frames(2, 100);
    let path = bench.path("events.json");
    let config = file_config(&path, "where = { \"user.name|endswith\" = [\"1\", \"2\"] }");
    let status = run(bench.deliver(&config, NOW)).report(NOW);
    assert_eq!((40, 160, 0), (status.accepted, status.filtered, status.waiting_events));
    assert_eq!(40, users(&read(&path)).len());
}

#[test]
fn every_type_of_sink_has_an_example_that_works() {
    #[derive(serde::Deserialize)]
    struct Shape {
        sink: Vec<SinkConfig>,
    }
    for entry in SINKS {
        let shape: Shape = toml::from_str(entry.example).expect("an example");
        let sink = AnySink::new(&shape.sink[0], &SinkContext::default());
        assert_eq!(entry.kind, sink.kind());
        assert_eq!(entry.kind, shape.sink[0].kind());
        assert!(sink.required());
    }
}

#[test]
fn a_task_can_be_spawned() {
    fn is_send<T: Send>(_: impl Fn(SinkTask) -> T) {}
    is_send(SinkTask::run);
}

fn exec_config(program: &Path, more: &str) -> SinkConfig {
    let text = format!("type = \"exec\"\nname = \"own\"\ncommand = [{program:?}]\n{more}");
    let config: SinkConfig = toml::from_str(&text).expect("a sink");
    assert_eq!(None, config.complaint());
    config
}

/// A script beside the store that can be started.
fn script(bench: &Bench, text: &str) -> PathBuf {
    let path = bench.path("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a program");
    path
}

#[test]
fn a_program_reads_every_line_in_order() {
    let mut bench = Bench::new();
    bench.store_frames(10, 100);
    let (got, done) = (bench.path("got"), bench.path("done"));
    let program = script(&bench, &format!("cat > {got:?}; mv {got:?} {done:?}; echo over >&2"));
    run(async {
        let status = bench.deliver(&exec_config(&program, ""), NOW).await.report(NOW);
        assert_eq!((1000, 0, None), (status.accepted, status.waiting_events, status.failure));
        // It ends by itself when its input does.
        while !done.exists() {
            tokio::task::yield_now().await;
        }
    });
    check_each_once(&[done], 1000);
}

#[test]
fn a_program_that_ends_early_is_started_again_and_nothing_is_lost() {
    let mut bench = Bench::new();
    bench.store_frames(1, 2000);
    let got = bench.path("got");
    // It gives up after three lines, and is a better program the fourth time.
    let early = format!(
        "n=$(cat {0:?} 2>/dev/null || echo 0); echo $((n + 1)) > {0:?}\n\
         if [ $n -lt 3 ]; then head -n 3 > /dev/null; echo no >&2; exit 7; fi\ncat >> {got:?}",
        bench.path("starts")
    );
    let program = script(&bench, &early);
    let mut failures = Vec::new();
    run(async {
        for attempt in 0.. {
            assert!(attempt < 9, "never done: {failures:?}");
            let status = bench.deliver(&exec_config(&program, ""), NOW).await.report(NOW);
            match status.failure {
                Some(failure) => failures.push(failure.words),
                None => break,
            }
        }
    });
    assert_eq!(3, failures.len(), "{failures:?}");
    assert!(
        failures[0].contains("refused: it ended with exit status: 7; it has to"),
        "{failures:?}"
    );
    let received = || read(&got).matches('\n').count();
    while received() < 2000 {
        std::thread::yield_now();
    }
    check_each_once(&[got], 2000);
}

#[test]
fn a_program_that_reads_nothing_is_killed_and_one_that_is_missing_is_named() {
    let mut bench = Bench::new();
    bench.store_frames(1, 3);
    let program = script(&bench, "exec sleep 3600");
    let hangs = exec_config(&program, "timeout = \"50ms\"");
    let (attempt, missing) = run(async {
        let mut sink = AnySink::new(&hangs, &SinkContext::default());
        let mut rendered = Rendered::default();
        render_all(&mut sink, &fixture::batch(&["x"], |_, _| ()), &mut rendered);
        sink.begin(None, NOW).await.expect("it starts");
        sink.send(&rendered, NOW).await.expect("the pipe has room");
        let attempt = sink.finish().await.map(|_| ()).expect_err("it reads nothing");
        let missing = exec_config(Path::new("/nowhere/program"), "");
        let mut sink = AnySink::new(&missing, &SinkContext::default());
        (attempt, sink.begin(None, NOW).await.expect_err("nothing to start"))
    });
    assert!(attempt.words().contains("did not answer within 50ms when asked to read its input"));
    assert!(missing.words().starts_with("cannot start /nowhere/program: "), "{missing}");
    let relative = "type = \"exec\"\ncommand = [\"forward\"]";
    let relative: SinkConfig = toml::from_str(relative).expect("a sink");
    assert_eq!("command", relative.complaint().expect("a complaint").key);
}

#[test]
fn no_token_leaves_before_the_store_can_reveal_it() {
    let mut bench = Bench::new();
    let (path, key) = (bench.path("events.json"), bench.path("key"));
    let more = format!("privacy = {{ mode = \"token\", key_file = {key:?}, tokens_max = 150 }}");
    let config = file_config(&path, &more);
    bench.store_frames(2, 50);
    fs::write(&key, [b'k'; 32]).expect("written");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("set");
    let status = run(bench.deliver(&config, NOW)).report(NOW);
    assert_eq!((100, None), (status.accepted, status.failure));
    let key = PrivacyKey::read(&key).expect("a key");
    let clear = |token: &str| -> Option<String> {
        let sealed = bench.reader().sealed(token).expect("read")?;
        String::from_utf8(key.open(token, &sealed).expect("the same key")).ok()
    };
    let tokens = users(&read(&path));
    let revealed: Vec<String> = tokens.iter().filter_map(|token| clear(token)).collect();
    assert_eq!((0..100).map(|line| format!("line {line}")).collect::<Vec<_>>(), revealed);

    // More users than may be kept: those seen last can be revealed, the others are counted.
    bench.store_frames(2, 50);
    let later = NOW.plus(Period::from_secs(86_400));
    run(bench.deliver(&config, later));
    let counts = bench.reader().token_counts().expect("read");
    assert_eq!((150, 50), (counts.stored, counts.forgotten));
    let tokens = users(&read(&path));
    let newest = tokens.last().expect("a token");
    let sealed = bench.reader().sealed(newest).expect("read").expect("it is there");
    assert_eq!(Some(b"line 199".to_vec()), key.open(newest, &sealed));
}
