//! The HTTP sink against receivers that are strict, slow, wrong or dead.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::fixture::{self, Bench, NOW};
use super::super::tests::store_alerts;
use super::stand_in::{SIGNING_KEY, StandIn, header};
use super::*;
use crate::engine::batch::Field;
use crate::sink::{AnySink, SinkConfig, SinkKind, SinkStatus};

const ALL: [ApiName; 5] =
    [ApiName::Elasticsearch, ApiName::SplunkHec, ApiName::Loki, ApiName::Gelf, ApiName::Json];

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// What a sink needs for a receiver at that port.
fn config(api: ApiName, port: u16, dir: &Path, more: &str) -> SinkConfig {
    fs::write(dir.join("token"), "11111111-2222\n").expect("written");
    fs::write(dir.join("key"), SIGNING_KEY).expect("written");
    let (token, key) = (dir.join("token"), dir.join("key"));
    let of_api = match api {
        ApiName::SplunkHec => format!("token_file = {token:?}\nindex = \"web\"\n"),
        ApiName::Json => format!("signing_key_file = {key:?}\n"),
        _ => String::new(),
    };
    let path = if api == ApiName::Json { "/in" } else { "" };
    let scheme = if more.contains("tls = ") { "https" } else { "http" };
    let name = api.entry().name;
    let text = format!(
        "type = \"http\"\nname = \"siem\"\napi = \"{name}\"\n\
         url = \"{scheme}://127.0.0.1:{port}{path}\"\n{of_api}{more}"
    );
    let config: SinkConfig =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(None, config.complaint());
    config
}

/// Runs the sink again and again, as the daemon would, until nothing waits.
async fn deliver_all(bench: &Bench, config: &SinkConfig) -> Arc<SinkStatus> {
    for _ in 0..400 {
        let status = bench.deliver(config, NOW).await;
        if status.report(NOW).failure.is_none() && status.report(NOW).waiting_events == 0 {
            return status;
        }
    }
    panic!("never done");
}

fn lines(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("line {number}")).collect()
}

/// A few events can never be taken.
fn some(number: u64) -> bool {
    number % 31 == 3
}

/// The lines of the dead letters.
fn refused(bench: &Bench) -> Vec<String> {
    let letters = bench.reader().dead_letters(Some("sink:siem"), 0, 9999).expect("read");
    let line = |letter: &DeadLetter| {
        assert!(!letter.reason.is_empty());
        let event: serde_json::Value = serde_json::from_slice(&letter.body).expect("JSON");
        assert_eq!(letter.event_id, event["event"]["id"]);
        event["user"]["name"].as_str().expect("a user").to_owned()
    };
    letters.iter().map(line).collect()
}

/// Goal: whatever a receiver does, it gets every event, and what it refuses is kept, exactly.
///
/// Method: a receiver whose faults a seed decides; a sink that is started anew after each failure.
/// A failing seed repeats the run, up to the timing of the machine.
fn check_faults(api: ApiName, seed: u64) {
    let mut bench = Bench::new();
    bench.store_frames(3, 40);
    let in_flight = 1 + seed % 3;
    run(async {
        let (stand_in, port) = StandIn::open(api, seed, None).await;
        {
            let mut state = stand_in.state();
            state.faults = 12;
            state.tickets = seed % 2 == 1;
            if api != ApiName::Gelf {
                state.refuses = some;
            }
        }
        let mut more = format!("in_flight = {in_flight}\nmax_request = \"8KiB\"\n");
        more.push_str("timeout = \"250ms\"\n");
        if api == ApiName::SplunkHec {
            more.push_str("ack_timeout = \"600ms\"\n");
        }
        let config = config(api, port, bench.dir.path(), &more);
        deliver_all(&bench, &config).await;
        let state = stand_in.state();
        let is_refused = |line: &usize| api != ApiName::Gelf && some(*line as u64);
        let expected = lines((0..120).filter(|line| !is_refused(line)));
        let mut taken = state.taken.clone();
        if in_flight != 1 || api == ApiName::Elasticsearch {
            // Requests at the same time, and records that were put off, come in any order.
            taken.sort_by_key(|line| line[5..].parse::<u32>().expect("a number"));
        }
        assert_eq!(expected, taken, "{api:?} {seed}");
        let mut letters = refused(&bench);
        letters.sort_by_key(|line| line[5..].parse::<u32>().expect("a number"));
        assert_eq!(lines((0..120).filter(is_refused)), letters, "{api:?} {seed}");
    });
}

#[test]
fn elasticsearch_gets_everything_whatever_it_does() {
    (1..=5).for_each(|seed| check_faults(ApiName::Elasticsearch, seed));
}

#[test]
fn splunk_gets_everything_whatever_it_does() {
    (1..=6).for_each(|seed| check_faults(ApiName::SplunkHec, seed));
}

#[test]
fn loki_gets_everything_whatever_it_does() {
    (1..=5).for_each(|seed| check_faults(ApiName::Loki, seed));
}

#[test]
fn any_receiver_of_json_gets_everything_whatever_it_does() {
    (1..=5).for_each(|seed| check_faults(ApiName::Json, seed));
}

#[test]
fn graylog_gets_everything_whatever_it_does() {
    for seed in 1..=4 {
        let mut bench = Bench::new();
        bench.store_frames(20, 3);
        run(async {
            let (stand_in, port) = StandIn::open(ApiName::Gelf, seed, None).await;
            stand_in.state().faults = 10;
            let more = "timeout = \"250ms\"\nin_flight = 1\n";
            let config = config(ApiName::Gelf, port, bench.dir.path(), more);
            deliver_all(&bench, &config).await;
            assert_eq!(lines(0..60), stand_in.state().taken, "{seed}");
        });
    }
}

#[test]
fn a_sound_receiver_gets_each_event_once_over_one_connection() {
    for api in ALL {
        let mut bench = Bench::new();
        bench.store_frames(5, 40);
        run(async {
            let (stand_in, port) = StandIn::open(api, 1, None).await;
            let more = "in_flight = 1\nmax_request = \"8KiB\"";
            let config = config(api, port, bench.dir.path(), more);
            let status = bench.deliver(&config, NOW).await.report(NOW);
            assert_eq!((200, 0, None), (status.accepted, status.rejected, status.failure));
            let state = stand_in.state();
            assert_eq!(lines(0..200), state.taken, "{api:?}");
            assert_eq!((0, 1), (state.duplicates, state.connections), "{api:?}");
            assert!(5 < state.requests.len(), "{api:?}");
        });
    }
}

#[test]
fn alerts_are_events_with_ids_of_their_own() {
    for api in [ApiName::Elasticsearch, ApiName::Loki, ApiName::SplunkHec] {
        let mut bench = Bench::new();
        bench.store_frames(1, 3);
        store_alerts(&mut bench, &["a", "b"]);
        run(async {
            let (stand_in, port) = StandIn::open(api, 1, None).await;
            let config = config(api, port, bench.dir.path(), "in_flight = 1");
            let status = bench.deliver(&config, NOW).await.report(NOW);
            assert_eq!((3, 2, None), (status.accepted, status.alerts, status.failure));
            let state = stand_in.state();
            assert_eq!(5, state.ids.len(), "{api:?}");
            // Each alert counted seven events.
            assert_eq!(2, state.ids.values().filter(|line| *line == "alert 7").count());
        });
    }
}

/// One attempt with scripted answers: the failure, the lines that arrived, and the requests.
async fn scripted(
    bench: &Bench,
    api: ApiName,
    script: &[(u16, &'static str, &str)],
    more: &str,
) -> (crate::sink::SinkReport, Vec<String>, Vec<usize>) {
    let (stand_in, port) = StandIn::open(api, 1, None).await;
    let script =
        script.iter().map(|(status, headers, body)| (*status, *headers, (*body).to_owned()));
    stand_in.state().script = script.collect();
    let config = config(api, port, bench.dir.path(), more);
    let report = bench.deliver(&config, NOW).await.report(NOW);
    let state = stand_in.state();
    (report, state.taken.clone(), state.requests.clone())
}

#[test]
fn an_answer_that_only_the_operator_can_change_holds_the_events_and_names_the_fix() {
    let mut bench = Bench::new();
    bench.store_frames(1, 4);
    let cases: [(ApiName, u16, &str, &str); 9] = [
        (ApiName::Elasticsearch, 401, "{\"error\":\"no\"}", "check the token or password"),
        (ApiName::Elasticsearch, 404, "", "check `url` and `api`"),
        (ApiName::Elasticsearch, 301, "", "correct `url`"),
        (ApiName::SplunkHec, 403, "{\"text\":\"Invalid token\",\"code\":4}", "right and enabled"),
        (ApiName::SplunkHec, 400, "{\"text\":\"Incorrect index\",\"code\":7}", "create the index"),
        (ApiName::SplunkHec, 400, "{\"code\":10}", "indexer acknowledgement"),
        (ApiName::Loki, 401, "no org id", "`tenant`"),
        (ApiName::Loki, 400, "structured metadata is disallowed", "structured_metadata = false"),
        (ApiName::Loki, 400, "Client sent an HTTP request to an HTTPS server.", "write https://"),
    ];
    for (api, status, body, expected) in cases {
        let (report, taken, _) = run(scripted(&bench, api, &[(status, "", body)], ""));
        let words = report.failure.map(|failure| failure.words).unwrap_or_default();
        assert!(words.contains(expected), "{api:?} {status} {body}: {words}; {taken:?}");
        assert_eq!((4, 0, 0), (report.waiting_events, report.rejected, taken.len()), "{api:?}");
    }
    assert_eq!(Vec::<String>::new(), refused(&bench));

    let drop = "on_client_error = \"drop\"";
    let script = [(403, "", "forbidden")];
    let (report, ..) = run(scripted(&bench, ApiName::Elasticsearch, &script, drop));
    assert_eq!((0, 4, 0), (report.waiting_events, report.rejected, report.accepted));
    assert_eq!(lines(0..4), refused(&bench));
}

#[test]
fn only_the_records_that_were_put_off_are_sent_again() {
    let mut bench = Bench::new();
    bench.store_frames(1, 4);
    let first = "{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":429}},\
                 {\"create\":{\"status\":400,\"error\":{\"type\":\"mapper_parsing_exception\",\
                 \"reason\":\"no\"}}},{\"create\":{\"status\":503}}]}";
    let script = [(200, "", first)];
    let (report, taken, requests) = run(scripted(&bench, ApiName::Elasticsearch, &script, ""));
    assert_eq!((vec![4, 2], None), (requests, report.failure));
    assert_eq!((3, 1), (report.accepted, report.rejected));
    assert_eq!(vec!["line 1", "line 3"], taken);
    assert_eq!(vec!["line 2"], refused(&bench));
    let letters = bench.reader().dead_letters(None, 0, 9).expect("read");
    assert_eq!("400: mapper_parsing_exception: no", letters[0].reason);
}

#[test]
fn what_was_taken_before_a_failure_does_not_come_again() {
    let mut bench = Bench::new();
    bench.store_frames(1, 40);
    run(async {
        let (stand_in, port) = StandIn::open(ApiName::SplunkHec, 1, None).await;
        let busy = (503, "", "{\"text\":\"Server is busy\",\"code\":9}".to_owned());
        let taken = (200, "", "{\"text\":\"Success\",\"code\":0}".to_owned());
        stand_in.state().script = vec![taken.clone(), taken, busy.clone(), busy];
        let more = "in_flight = 1\nmax_request = \"4KiB\"";
        let config = config(ApiName::SplunkHec, port, bench.dir.path(), more);
        let report = bench.deliver(&config, NOW).await.report(NOW);
        assert_eq!((40, 0, None), (report.accepted, report.waiting_events, report.failure));
        let state = stand_in.state();
        // The two that were taken, two that failed, and then the third again and the rest.
        let sizes = &state.requests;
        assert_eq!((sizes[2], sizes[2]), (sizes[3], sizes[4]), "{sizes:?}");
        assert_eq!(40, sizes[0] + sizes[1] + sizes[4..].iter().sum::<usize>());
        assert_eq!(lines(sizes[0] + sizes[1]..40), state.taken);
    });
}

#[test]
fn what_is_too_large_goes_in_halves_and_alone_is_a_dead_letter() {
    let mut bench = Bench::new();
    bench.store_frames(1, 4);
    let too_large = (413, "", "too large");
    let script = [too_large, too_large, too_large];
    let (report, taken, requests) = run(scripted(&bench, ApiName::Json, &script, ""));
    assert_eq!((vec![4, 2, 1, 1, 2], None), (requests, report.failure));
    assert_eq!(vec!["line 1", "line 2", "line 3"], taken);
    assert_eq!(vec!["line 0"], refused(&bench));
}

/// A large event that is refused alone goes with less of it; the letter has all of it.
#[test]
fn what_is_too_large_alone_gives_up_fields_first() {
    let batch = fixture::batch(&["line 7"], |line, writer| {
        writer.set(Field::User, line);
        for field in [Field::UserAgent, Field::Referrer, Field::Query] {
            writer.set(field, &[b'a'; 3000]);
        }
    });
    let attempt = |refusals: usize| {
        run(async {
            let (stand_in, port) = StandIn::open(ApiName::Json, 1, None).await;
            let too_large = (413, "", "too large".to_owned());
            stand_in.state().script = vec![too_large; refusals];
            let dir = tempfile::tempdir().expect("a directory");
            let mut sink =
                AnySink::new(&config(ApiName::Json, port, dir.path(), ""), &SinkContext::default());
            let delivered = sink.deliver_once(&batch, NOW).await.expect("an answer");
            let state = stand_in.state();
            (delivered.rejections, state.taken.clone(), state.requests.len())
        })
    };
    let (letters, taken, requests) = attempt(2);
    assert_eq!((0, vec!["line 7".to_owned()], 3), (letters.len(), taken, requests));
    let (letters, taken, requests) = attempt(20);
    assert!(taken.is_empty() && 3 < requests && requests < 10, "{requests}");
    assert!(letters[0].body.windows(3000).any(|part| part == [b'a'; 3000]));
}

#[test]
fn an_answer_counts_although_the_request_was_not_read() {
    let dir = tempfile::tempdir().expect("a directory");
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let refuse = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = [0; 512];
            stream.read_exact(&mut head).await.expect("a head");
            let answer = b"HTTP/1.1 413 X\r\ncontent-length: 2\r\n\r\nno";
            stream.write_all(answer).await.expect("written");
            stream
        };
        let SinkKind::Http(config) = config(ApiName::Elasticsearch, port, dir.path(), "").kind
        else {
            panic!("an HTTP sink");
        };
        let limit = Period::from_secs(20);
        let credentials = config.credentials();
        let client = HttpClient::new(&config.url, credentials, &config.tls, limit, "siem");
        // More than the kernels on both ends hold.
        let request = Request::new("/_bulk".to_owned(), "text/plain", vec![b'x'; 16 << 20]);
        let (answer, _open) = tokio::join!(client.post(request, NOW), refuse);
        assert_eq!(413, answer.expect("an answer").status);
    });
}

#[test]
fn loki_names_what_is_too_old_and_the_rest_goes_again() {
    let mut bench = Bench::new();
    bench.store_frames(1, 4);
    // All entries are of 08:00:00.
    let old = "entry for stream '{job=\"gatewatch\"}' has timestamp too old: \
               2026-11-20T08:00:00Z, oldest acceptable timestamp is: 2026-11-20T08:00:01Z";
    let script = [(400, "", old)];
    let (report, _, requests) = run(scripted(&bench, ApiName::Loki, &script, ""));
    assert_eq!((vec![4], None, 4), (requests, report.failure, report.rejected));
    assert_eq!(lines(0..4), refused(&bench));
}

#[test]
fn an_item_that_only_the_operator_can_mend_holds_all() {
    let mut bench = Bench::new();
    bench.store_frames(1, 2);
    let body = "{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":404,\"error\":\
                {\"type\":\"index_not_found_exception\",\"reason\":\"no such index\"}}}]}";
    let script = [(200, "", body)];
    let (report, ..) = run(scripted(&bench, ApiName::Elasticsearch, &script, ""));
    let words = report.failure.map(|failure| failure.words).unwrap_or_default();
    assert!(
        words.contains("404: index_not_found_exception: no such index; let the token"),
        "{words}"
    );
    assert_eq!(2, report.waiting_events);
}

#[test]
fn a_receiver_is_asked_to_prove_itself_and_gets_the_token_inside() {
    let mut bench = Bench::new();
    bench.store_frames(1, 4);
    let made = rcgen::generate_simple_self_signed(["siem.example.org".to_owned()]).expect("a pair");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("a pair");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let ca = bench.path("ca.pem");
    fs::write(&ca, made.cert.pem()).expect("written");
    run(async {
        let api = ApiName::SplunkHec;
        let (stand_in, port) = StandIn::open(api, 1, Some(acceptor)).await;
        let stranger = "tls = { server_name = \"siem.example.org\" }";
        let wrong = config(api, port, bench.dir.path(), stranger);
        let mut sink = AnySink::new(&wrong, &SinkContext::default());
        let mut rendered = Rendered::default();
        let batch = fixture::batch(&["x"], |_, _| ());
        sink.render(Chosen::new(&batch, &[0]), 0, NOW, &mut rendered);
        sink.send(&rendered, NOW).await.expect("it need not have arrived");
        let words = sink.finish().await.expect_err("a stranger").words();
        assert!(words.starts_with(&format!("no TLS with https://127.0.0.1:{port}: ")), "{words}");
        let trusting = format!("tls = {{ server_name = \"siem.example.org\", ca_file = {ca:?} }}");
        let config = config(api, port, bench.dir.path(), &trusting);
        let report = bench.deliver(&config, NOW).await.report(NOW);
        assert_eq!((4, None), (report.accepted, report.failure));
        let state = stand_in.state();
        assert_eq!(Some("Splunk 11111111-2222"), header(&state.head, "authorization"));
    });
}

/// The body of a request with one event that has `values` in its fields.
fn body_of(api: ApiName, values: &[Vec<u8>]) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let more = "compress = false";
    let config = config(api, 9, dir.path(), more);
    let AnySink { kind: crate::sink::Kind::Http(mut sink), .. } =
        AnySink::new(&config, &SinkContext::default())
    else {
        panic!("an HTTP sink");
    };
    let batch = fixture::batch(&["one", "two"], |_, writer| {
        let fields = [Field::User, Field::UserAgent, Field::Path, Field::Query, Field::Referrer];
        fields.iter().zip(values).for_each(|(field, value)| writer.set(*field, value));
    });
    let mut out = Rendered { portion: sink.portion(), ..Rendered::default() };
    sink.render(Chosen::new(&batch, &[0, 1]), 0, NOW, &mut out);
    let batch = Batch { bytes: out.bytes.clone(), entries: sink.entries };
    let request = sink.line.api.request(&Part::all(&batch), NOW).expect("a request");
    request.body.to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any bytes in any field: as many JSON values as there should be, and not one more.
    #[test]
    fn a_request_is_json_whatever_clients_send(
        values in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..60),
                Just(b"\"}\n{\"create\":{}}\n\r\x00\xff\\".to_vec()),
                Just("\u{2028}\u{202e}]]}\",\"x\":\"".as_bytes().to_vec()),
            ],
            5,
        ),
    ) {
        for (api, count) in ALL.into_iter().zip([4, 2, 1, 2, 2]) {
            let body = body_of(api, &values);
            let text = std::str::from_utf8(&body).expect("UTF-8");
            let parsed: Result<Vec<serde_json::Value>, _> =
                serde_json::Deserializer::from_str(text).into_iter().collect();
            let parsed = parsed.unwrap_or_else(|error| panic!("{api:?}: {error}: {text}"));
            prop_assert_eq!(count, parsed.len());
            if api != ApiName::Loki {
                prop_assert_eq!(count, text.lines().count());
            }
        }
    }
}
