//! The OTLP sink against a strict receiver that refuses in every way there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

use super::stand_in::{Reply, StandIn};
use super::*;
use crate::engine::batch::Field;
use crate::io::{Chance as _, Seeded};
use crate::sink::fixture::{self, Bench, NOW};
use crate::sink::network_tests::Papers;
use crate::sink::{AnySink, SinkConfig};

const PROTOCOLS: [&str; 3] = ["http/protobuf", "http/json", "grpc"];

fn run<T>(future: impl Future<Output = T>) -> T {
    runtime(false).block_on(future)
}

/// Time passes by itself when nothing else happens.
fn run_fast<T>(future: impl Future<Output = T>) -> T {
    runtime(true).block_on(future)
}

fn runtime(fast: bool) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(fast).build().expect("a runtime")
}

fn config(protocol: &str, port: u16, more: &str) -> SinkConfig {
    let text = format!(
        "type = \"otlp\"\nurl = \"http://127.0.0.1:{port}\"\nprotocol = \"{protocol}\"\n{more}"
    );
    toml::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn sink(protocol: &str, port: u16, more: &str) -> AnySink {
    AnySink::new(&config(protocol, port, more), &SinkContext::default())
}

fn lines(range: Range<usize>) -> Vec<String> {
    range.map(|number| format!("user {number:05}")).collect()
}

/// One turn with `lines`, in portions, as the task of a sink has it.
async fn turn(sink: &mut AnySink, lines: &[String]) -> Result<Finished, SinkError> {
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let batch = fixture::batch(&texts, |line, writer| writer.set(Field::User, line));
    let rows: Vec<u32> = (0..batch.len() as u32).collect();
    let mut rendered = Rendered { portion: sink.portion(), ..Rendered::default() };
    sink.begin(None, NOW).await?;
    let mut next = 0;
    while next < rows.len() {
        next = sink.render(Chosen::new(&batch, &rows), next, NOW, &mut rendered);
        sink.send(&rendered, NOW).await?;
        rendered.clear();
    }
    sink.finish().await
}

#[test]
fn every_protocol_carries_each_record_once() {
    for protocol in PROTOCOLS {
        for more in ["", "compress = false", "in_flight = 7\nmax_records = 30"] {
            run(async {
                let receiver = StandIn::start(protocol, None, |_| Reply::Take).await;
                let mut sink = sink(protocol, receiver.port, more);
                let lines = lines(0..700);
                for _ in 0..3 {
                    let finished = turn(&mut sink, &lines).await.expect("taken");
                    assert_eq!((0, 0), (finished.rejected, finished.rejections.len()));
                }
                let mut users: Vec<String> =
                    receiver.seen().taken.drain(..).map(|(user, _)| user).collect();
                users.sort_unstable();
                let expected: Vec<String> =
                    lines.iter().flat_map(|line| std::iter::repeat_n(line.clone(), 3)).collect();
                assert_eq!(expected, users);
                let seen = receiver.seen();
                let most = if more.contains("30") { 30 } else { 512 };
                assert_eq!(Some(&most), seen.requests.iter().max());
                // They are used again.
                assert!(seen.connections <= 7, "{} connections", seen.connections);
                let agent = seen.headers["user-agent"].to_str().expect("text");
                assert!(
                    agent.starts_with("gatewatch/") && agent.contains("OTel-OTLP-Exporter-Rust/")
                );
            });
        }
    }
}

#[test]
fn headers_come_from_the_settings_and_from_a_file_that_may_change() {
    for protocol in PROTOCOLS {
        run(async {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("headers");
            fs::write(&file, "Authorization: Bearer one\n").expect("written");
            let more = format!("headers = {{ X-Tenant = \"7\" }}\nheaders_file = {file:?}");
            let receiver = StandIn::start(protocol, None, |_| Reply::Take).await;
            let mut sink = sink(protocol, receiver.port, &more);
            for token in ["Bearer one", "Bearer two"] {
                fs::write(&file, format!("Authorization: {token}\n")).expect("written");
                turn(&mut sink, &lines(0..1)).await.expect("taken");
                let seen = receiver.seen();
                assert_eq!(
                    (token, "7"),
                    (
                        seen.headers["authorization"].to_str().expect("text"),
                        seen.headers["x-tenant"].to_str().expect("text"),
                    )
                );
            }
            let more = format!("username = \"me\"\npassword_file = {file:?}");
            fs::write(&file, "secret\n").expect("written");
            turn(&mut self::sink(protocol, receiver.port, &more), &lines(0..1)).await.expect("it");
            let sent = receiver.seen().headers["authorization"].clone();
            assert_eq!("Basic bWU6c2VjcmV0", sent);
            fs::remove_file(&file).expect("removed");
            let error = turn(&mut sink, &lines(0..1)).await.expect_err("no file").words();
            assert!(error.contains("cannot read headers from") && error.contains("headers"));
        });
    }
}

/// Goal: whatever a receiver answers, each record is taken, counted as rejected or kept as a dead
/// letter; what comes twice has the same id; with one request at a time first comes first.
///
/// Method: a receiver that chooses among all refusals by a seed, and the turn is repeated until it
/// succeeds. A failure prints its seed, and that seed alone repeats it.
#[test]
fn whatever_a_receiver_answers_nothing_is_lost() {
    for seed in 1..=40 {
        let protocol = PROTOCOLS[seed as usize % 3];
        let in_flight = if seed % 2 == 0 { 1 } else { 4 };
        run(refused_by_seed(seed, protocol, in_flight));
    }
}

/// Three records of these are refused whatever is asked.
fn is_bad(user: &str) -> bool {
    matches!(user, "user 00013" | "user 00014" | "user 00077")
}

async fn refused_by_seed(seed: u64, protocol: &'static str, in_flight: usize) {
    let mut chance = Seeded::new(seed);
    let receiver = StandIn::start(protocol, None, move |users| {
        let draw = chance.next_u64() >> 33;
        let bad = users.iter().any(|user| is_bad(user));
        match draw % 20 {
            0 => Reply::Status(503),
            1 => Reply::StatusAfter(429, draw % 100),
            2 => Reply::Vanish,
            3 if !bad => Reply::TakeAndVanish,
            4 => Reply::Status(401),
            _ if bad => Reply::Status([400, 500][(seed % 2) as usize]),
            _ if 20 < users.len() => Reply::Status(413),
            5 | 6 if 3 < users.len() => Reply::TakeBut(2),
            _ => Reply::Take,
        }
    })
    .await;
    let more = format!("in_flight = {in_flight}\nmax_records = 64");
    let mut sink = sink(protocol, receiver.port, &more);
    let lines = lines(0..200);
    let mut tries = 0;
    let finished = loop {
        tries += 1;
        assert!(tries < 2000, "seed {seed}: never done");
        match turn(&mut sink, &lines).await {
            Ok(finished) => break finished,
            Err(error) => {
                let words = error.words();
                assert!(!words.contains('\u{1b}'), "seed {seed}: {words}");
            }
        }
    };
    let seen = receiver.seen();
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (user, id) in &seen.taken {
        ids.entry(user).or_default().insert(id);
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "seed {seed}: two ids for one record");
    let letters: BTreeSet<&str> = finished.rejections.iter().map(|l| l.event_id.as_str()).collect();
    assert_eq!((3, 3), (letters.len(), finished.rejections.len()), "seed {seed}");
    assert!(ids.keys().all(|user| !is_bad(user)), "seed {seed}");
    let missing = lines.iter().filter(|line| !is_bad(line) && !ids.contains_key(line.as_str()));
    let missing = missing.count() as u64;
    // What was told as rejected may have been taken by an answer that got lost before.
    assert!(missing <= finished.rejected, "seed {seed}: {missing} of {}", finished.rejected);
    if in_flight == 1 {
        let mut firsts: Vec<&str> = Vec::new();
        for (user, _) in &seen.taken {
            if !firsts.contains(&user.as_str()) {
                firsts.push(user);
            }
        }
        assert!(firsts.is_sorted(), "seed {seed}: {firsts:?}");
    }
}

#[test]
fn what_was_taken_stays_out_of_the_next_attempt() {
    for protocol in PROTOCOLS {
        run(async {
            let mut refusals = 3;
            let receiver = StandIn::start(protocol, None, move |users| {
                if users[0] == "user 00020" && 0 < refusals {
                    refusals -= 1;
                    return Reply::Status(503);
                }
                Reply::Take
            })
            .await;
            let mut sink = sink(protocol, receiver.port, "max_records = 10\nin_flight = 1");
            let lines = lines(0..40);
            for _ in 0..3 {
                let error = turn(&mut sink, &lines).await.expect_err("refused");
                assert!(matches!(error, SinkError::Refused { .. }), "{error}");
            }
            turn(&mut sink, &lines).await.expect("taken");
            let seen = receiver.seen();
            assert_eq!(40, seen.taken.len());
            assert_eq!(2 + 3 + 2, seen.requests.len());
        });
    }
}

#[test]
fn what_the_operator_has_to_correct_is_held_or_given_up() {
    for protocol in PROTOCOLS {
        for status in [401, 404] {
            run(async {
                let receiver = StandIn::start(protocol, None, move |_| Reply::Status(status)).await;
                let mut sink = sink(protocol, receiver.port, "");
                let error = turn(&mut sink, &lines(0..5)).await.expect_err("held");
                assert_eq!(Some(HOLD_PAUSE), error.pause());
                let hint = if status == 401 { "headers_file" } else { "`url`" };
                assert!(error.words().contains(hint), "{}", error.words());
                assert_eq!(1, receiver.seen().requests.len());

                let mut sink = self::sink(protocol, receiver.port, "on_client_error = \"drop\"");
                let finished = turn(&mut sink, &lines(0..5)).await.expect("given up");
                assert_eq!(5, finished.rejections.len());
            });
        }
    }
    run(async {
        let receiver = StandIn::start("http/protobuf", None, |_| Reply::Page).await;
        let mut sink = sink("http/protobuf", receiver.port, "");
        let error = turn(&mut sink, &lines(0..5)).await.expect_err("held").words();
        assert!(error.contains("page for people"), "{error}");
    });
}

#[test]
fn a_receiver_asks_for_a_pause() {
    for protocol in PROTOCOLS {
        run(async {
            let receiver = StandIn::start(protocol, None, |_| Reply::StatusAfter(429, 17)).await;
            let mut sink = sink(protocol, receiver.port, "");
            let error = turn(&mut sink, &lines(0..5)).await.expect_err("busy");
            assert_eq!(Some(Period::from_secs(17)), error.pause(), "{}", error.words());
        });
    }
}

#[test]
fn a_receiver_that_is_broken_holds_and_one_record_that_breaks_it_does_not() {
    for protocol in PROTOCOLS {
        run(async {
            let receiver = StandIn::start(protocol, None, |_| Reply::Status(500)).await;
            let mut sink = sink(protocol, receiver.port, "");
            let error = turn(&mut sink, &lines(0..4)).await.expect_err("held");
            assert_eq!(Some(HOLD_PAUSE), error.pause());
            assert!(error.words().contains("it takes nothing"), "{}", error.words());

            let receiver = StandIn::start(protocol, None, |users| {
                match users.contains(&"user 00002".to_owned()) {
                    true => Reply::Status(500),
                    false => Reply::Take,
                }
            })
            .await;
            let mut sink = self::sink(protocol, receiver.port, "");
            let finished = turn(&mut sink, &lines(0..4)).await.expect("done");
            assert_eq!((1, 3), (finished.rejections.len(), receiver.seen().taken.len()));
        });
    }
}

#[test]
fn a_receiver_that_was_broken_for_a_moment_makes_no_dead_letters() {
    for protocol in PROTOCOLS {
        run(async {
            let mut asked = 0;
            let receiver = StandIn::start(protocol, None, move |_| {
                asked += 1;
                // All together, the first half, and the first two alone.
                if asked < 6 { Reply::Status(500) } else { Reply::Take }
            })
            .await;
            let mut sink = sink(protocol, receiver.port, "in_flight = 1");
            let finished = turn(&mut sink, &lines(0..8)).await.expect("done");
            assert_eq!((0, 8), (finished.rejections.len(), receiver.seen().taken.len()));
        });
    }
}

#[test]
fn a_receiver_that_is_too_slow_gets_less_at_a_time() {
    for protocol in PROTOCOLS {
        run_fast(async {
            let receiver = StandIn::start(protocol, None, |users| match users.len() {
                ..=3 => Reply::Take,
                _ => Reply::Hang,
            })
            .await;
            let mut sink = sink(protocol, receiver.port, "in_flight = 1");
            let lines = lines(0..40);
            let mut timeouts = 0;
            while let Err(error) = turn(&mut sink, &lines).await {
                assert!(matches!(error, SinkError::Timeout { .. }), "{}", error.words());
                timeouts += 1;
                assert!(timeouts < 20, "never done");
            }
            let users: BTreeSet<String> =
                receiver.seen().taken.iter().map(|(user, _)| user.clone()).collect();
            assert_eq!(40, users.len());
        });
    }
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_replaced() {
    for protocol in PROTOCOLS {
        run(async {
            let receiver = StandIn::start(protocol, None, |_| Reply::Take).await;
            let mut sink = sink(protocol, receiver.port, "in_flight = 1");
            for _ in 0..3 {
                turn(&mut sink, &lines(0..5)).await.expect("taken");
                receiver.end_connections();
            }
            assert_eq!(15, receiver.seen().taken.len());
        });
    }
}

#[test]
fn nobody_there_and_another_protocol_are_errors_that_name_the_address() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    for protocol in PROTOCOLS {
        run(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a socket");
            let port = listener.local_addr().expect("an address").port();
            let mut sink = sink(protocol, port, "");
            let resetting = tokio::spawn(async move {
                for said in [&b""[..], b"220 mail.example.org ESMTP\r\n"] {
                    let (mut stream, _) = listener.accept().await.expect("a connection");
                    stream.read_exact(&mut [0; 10]).await.expect("some bytes");
                    stream.write_all(said).await.expect("written");
                }
            });
            for _ in 0..2 {
                let error = turn(&mut sink, &lines(0..500)).await.expect_err("no receiver");
                assert!(error.words().contains(&format!("127.0.0.1:{port}")), "{}", error.words());
            }
            resetting.await.expect("both came");
            let error = turn(&mut sink, &lines(0..5)).await.expect_err("nobody").words();
            assert!(error.contains("connect to") && error.contains("refused"), "{error}");
        });
    }
}

#[test]
fn tls_proves_who_the_receiver_is_and_who_we_are() {
    let papers = Papers::new();
    for protocol in PROTOCOLS {
        run(async {
            let mut acceptor = papers.acceptor("server", true);
            if protocol == "grpc" {
                let mut config = rustls::ServerConfig::clone(acceptor.config());
                config.alpn_protocols = vec![b"h2".to_vec()];
                acceptor = Arc::new(config).into();
            }
            let receiver = StandIn::start(protocol, Some(acceptor), |_| Reply::Take).await;
            let sink = |tls: &str| {
                let text = format!(
                    "type = \"otlp\"\nurl = \"https://127.0.0.1:{}\"\nprotocol = \"{protocol}\"\n\
                     [tls]\n{tls}",
                    receiver.port
                );
                let config: SinkConfig = toml::from_str(&text).expect("settings");
                AnySink::new(&config, &SinkContext::default())
            };
            let path = |name: &str| papers.path(name).display().to_string();
            let ours = format!(
                "ca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}",
                path("ca.pem"),
                path("client.pem"),
                path("client.key")
            );
            turn(&mut sink(&ours), &lines(0..5)).await.expect("taken");
            assert_eq!(5, receiver.seen().taken.len());
            let error = turn(&mut sink(""), &lines(0..5)).await.expect_err("a stranger").words();
            assert!(error.contains("no TLS with https://127.0.0.1"), "{error}");
            let known = format!("ca_file = {:?}", path("ca.pem"));
            let error = turn(&mut sink(&known), &lines(0..5)).await.expect_err("no papers");
            assert!(error.words().contains("cert_file"), "{}", error.words());
            assert_eq!(5, receiver.seen().taken.len());
        });
    }
}

#[test]
fn a_record_that_fills_a_request_gives_up_fields() {
    run(async {
        let receiver = StandIn::start("http/protobuf", None, |_| Reply::Take).await;
        let more = "max_request = \"64KiB\"\nkeep_original = true";
        let mut sink = sink("http/protobuf", receiver.port, more);
        let long = vec!["x".repeat(60_000), "y".repeat(60_000)];
        turn(&mut sink, &long).await.expect("taken");
        assert_eq!(2, receiver.seen().taken.len());
    });
}

/// A large record that is refused alone goes with less of it.
#[test]
fn what_is_too_large_alone_gives_up_fields_first() {
    let batch = fixture::batch(&["line 7"], |line, writer| {
        writer.set(Field::User, line);
        for field in [Field::UserAgent, Field::Referrer, Field::Query] {
            writer.set(field, &[b'a'; 3000]);
        }
    });
    for protocol in PROTOCOLS {
        run(async {
            let left = std::sync::atomic::AtomicUsize::new(2);
            let receiver = StandIn::start(protocol, None, move |_| {
                use std::sync::atomic::Ordering::Relaxed;
                let refuses = left.load(Relaxed);
                left.store(refuses.saturating_sub(1), Relaxed);
                if refuses == 0 { Reply::Take } else { Reply::Status(413) }
            })
            .await;
            let mut sink = sink(protocol, receiver.port, "");
            let delivered = sink.deliver_once(&batch, NOW).await.expect("an answer");
            assert_eq!(0, delivered.rejections.len(), "{protocol}");
            assert_eq!(1, receiver.seen().taken.len(), "{protocol}");
        });
    }
}

#[test]
fn what_is_refused_and_rejected_is_in_the_store_and_counted() {
    run(async {
        let mut bench = Bench::new();
        bench.store_frames(3, 40);
        let receiver = StandIn::start("http/protobuf", None, |users| match users.len() {
            _ if users.contains(&"line 7".to_owned()) => Reply::Status(400),
            60.. => Reply::Status(413),
            _ if users.contains(&"line 119".to_owned()) => Reply::TakeBut(1),
            _ => Reply::Take,
        })
        .await;
        let config = config("http/protobuf", receiver.port, "in_flight = 1");
        let status = bench.deliver(&config, NOW).await.report(NOW);
        assert_eq!((118, 2, None), (status.accepted, status.rejected, status.failure));
        assert_eq!(118, receiver.seen().taken.len());
        let reader = format!("sink:{}", config.name());
        let letters = bench.reader().dead_letters(Some(&reader), 0, 9).expect("a store");
        assert_eq!(1, letters.len());
        assert_eq!("400 Bad Request", letters[0].reason);
        let text = String::from_utf8_lossy(&letters[0].body);
        assert!(text.contains("line 7") && text.contains(&letters[0].event_id));
    });
}
