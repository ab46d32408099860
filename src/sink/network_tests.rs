//! The syslog sink against receivers on the loopback that are sound, strict, hostile or dead.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixDatagram, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::WRITE_LIMIT;
use super::fixture::{self, Bench, NOW};
use super::*;
use crate::engine::batch::Field;
use crate::units::Period;

fn run<T>(future: impl Future<Output = T>) -> T {
    runtime(false).block_on(future)
}

/// Time passes by itself when nothing else happens: for what takes half a minute.
fn run_fast<T>(future: impl Future<Output = T>) -> T {
    runtime(true).block_on(future)
}

fn runtime(fast: bool) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(fast).build().expect("a runtime")
}

fn config(address: &str, more: &str) -> SinkConfig {
    let text = format!("type = \"syslog\"\naddress = {address}\n{more}");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// One frame's messages, ready to be sent.
fn rendered(sink: &mut AnySink, lines: &[&str]) -> Rendered {
    let batch = fixture::batch(lines, |line, writer| writer.set(Field::User, line));
    let mut rendered = Rendered::default();
    let rows: Vec<u32> = (0..batch.len() as u32).collect();
    sink.render(Chosen::new(&batch, &rows), 0, NOW, &mut rendered);
    rendered
}

fn sink(address: &str, more: &str) -> AnySink {
    AnySink::new(&config(address, more), &SinkContext::default())
}

/// Sends `lines` as a frame of their own.
async fn deliver(sink: &mut AnySink, lines: &[&str], now: Timestamp) -> Result<(), SinkError> {
    let rendered = rendered(sink, lines);
    sink.begin(None, now).await?;
    sink.send(&rendered, now).await?;
    sink.finish().await.map(|_| ())
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    (listener, format!("127.0.0.1:{port}"))
}

/// The users of the events in `text`.
fn users(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let mut found = Vec::new();
    let mut rest = text.as_ref();
    while let Some(at) = rest.find("{\"@timestamp\"") {
        let mut events = serde_json::Deserializer::from_str(&rest[at..]).into_iter();
        let Some(Ok(event)) = events.next() else { break };
        let event: serde_json::Value = event;
        found.push(event["user"]["name"].as_str().expect("a user").to_owned());
        rest = &rest[at + events.byte_offset()..];
    }
    found
}

/// An authority and what it signs, as files.
pub(super) struct Papers {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Papers {
    pub(super) fn new() -> Self {
        Self::by("Authority of a test")
    }

    /// Papers of the authority `name`.
    fn by(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&key).expect("an authority").pem();
        let papers = Self { folder, issuer: Issuer::new(params, key) };
        fs::write(papers.path("ca.pem"), ca).expect("written");
        papers.sign("server", &["127.0.0.1", "localhost"], 4000);
        papers.sign("client", &["web1"], 4000);
        papers
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate until the end of `year`, in `NAME.pem` and `NAME.key`.
    fn sign(&self, name: &str, names: &[&str], year: i32) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).expect("written");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("written");
    }

    fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let path = self.path(&format!("{name}.pem"));
        vec![CertificateDer::from_pem_file(path).expect("a certificate")]
    }

    /// What accepts connections as `name`; asks for a certificate of ours where `strict`.
    pub(super) fn acceptor(&self, name: &str, strict: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.chain("ca").remove(0)).expect("an authority");
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match strict {
            true => builder.with_client_cert_verifier(verifier.build().expect("a verifier")),
            false => builder.with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).expect("a key");
        let config = builder.with_single_cert(self.chain(name), key).expect("a pair");
        TlsAcceptor::from(Arc::new(config))
    }

    /// `tls = { … }` with the paths of `files`, and `more`.
    fn settings(&self, files: &[(&str, &str)], more: &str) -> String {
        let file = |(key, name): &(&str, &str)| format!("{key} = {:?}, ", self.path(name));
        let files: String = files.iter().map(file).collect();
        format!("tls = {{ {files}{more} }}\n")
    }
}

const OWN: &[(&str, &str)] =
    &[("ca_file", "ca.pem"), ("cert_file", "client.pem"), ("key_file", "client.key")];

async fn accept_tls(listener: &TcpListener, acceptor: &TlsAcceptor) -> TlsStream<TcpStream> {
    let (stream, _) = listener.accept().await.expect("a connection");
    acceptor.accept(stream).await.expect("a handshake")
}

#[test]
fn messages_over_tls_are_counted_and_closed_in_order() {
    let mut bench = Bench::new();
    bench.store_frames(3, 400);
    let papers = Papers::new();
    run(async {
        let (listener, port) = listener().await;
        let acceptor = papers.acceptor("server", true);
        let config = config(&format!("\"tls://{port}\""), &papers.settings(OWN, ""));
        let receive = async {
            let mut stream = accept_tls(&listener, &acceptor).await;
            let mut text = Vec::new();
            // Without close_notify this is an error.
            stream.read_to_end(&mut text).await.expect("an orderly end");
            text
        };
        let (text, status) = tokio::join!(receive, bench.deliver(&config, NOW));
        let mut rest = text.as_slice();
        let mut found = Vec::new();
        while let Some(blank) = rest.iter().position(|byte| *byte == b' ') {
            let length = crate::engine::text::parse_u64(&rest[..blank]).expect("a count") as usize;
            let (message, next) = rest[blank + 1..].split_at(length);
            assert!(message.starts_with(b"<134>1 ") && message.ends_with(b"}"));
            found.extend(users(message));
            rest = next;
        }
        let expected: Vec<String> = (0..1200).map(|line| format!("line {line}")).collect();
        assert_eq!(expected, found);
        let status = status.report(NOW);
        assert_eq!((1200, None), (status.accepted, status.failure));
    });
}

/// Why the events do not leave, for a receiver that shows `server` and asks for a certificate where
/// `strict`.
fn refusal(papers: &Papers, server: &str, strict: bool, settings: &str) -> String {
    run(async {
        let (listener, port) = listener().await;
        let acceptor = papers.acceptor(server, strict);
        let mut sink = sink(&format!("\"tls://{port}\""), settings);
        let receive = async {
            let (stream, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut text = Vec::new();
            let read = stream.read_to_end(&mut text).await;
            assert_eq!((true, 0), (read.is_ok(), text.len()), "no event left");
        };
        let (_, error) = tokio::join!(receive, deliver(&mut sink, &["x"], NOW));
        error.expect_err("a refusal").words()
    })
}

#[test]
fn a_receiver_that_cannot_be_believed_gets_nothing_and_the_fix_is_named() {
    let papers = Papers::new();
    let ca = papers.settings(&[("ca_file", "ca.pem")], "");
    papers.sign("old", &["127.0.0.1"], 2020);
    papers.sign("other", &["logs.example.org"], 4000);
    let digest = Sha256::digest(&papers.chain("server")[0]);
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let own = format!("sha-256:{}", pairs.join(":"));
    let wrong = format!("sha-256:{}", vec!["00"; 32].join(":"));
    let pinned =
        |list: &str| format!("tls = {{ verify = \"fingerprint\", fingerprints = [\"{list}\"] }}");
    let strangers = Papers::new();
    let unknown = strangers.settings(&[("ca_file", "ca.pem")], "");
    for (server, settings, expected) in [
        ("old", ca.as_str(), "its certificate has expired; renew it there, or set this machine's"),
        (
            "other",
            &ca,
            "certificate is only valid for DnsName(\"logs.example.org\"); write the name",
        ),
        ("server", &unknown, "nobody who is trusted signed its certificate; name the authority's"),
        ("server", &pinned(&wrong), &format!("its certificate is {own}; write that into")),
    ] {
        let words = refusal(&papers, server, false, settings);
        assert!(words.contains(expected), "{words}");
        assert!(words.starts_with("no TLS with tls://127.0.0.1:"), "{words}");
    }
}

#[test]
fn what_the_receiver_does_not_believe_of_us_is_named() {
    let papers = Papers::new();
    papers.sign("expired", &["web1"], 2020);
    let strangers = Papers::by("Another authority");
    let foreign = strangers.path("client.pem");
    fs::copy(&foreign, papers.path("foreign.pem")).expect("copied");
    fs::copy(strangers.path("client.key"), papers.path("foreign.key")).expect("copied");
    let pair = |cert: &str, key: &str| {
        papers.settings(&[("ca_file", "ca.pem"), ("cert_file", cert), ("key_file", key)], "")
    };
    for (settings, expected) in [
        (papers.settings(&[("ca_file", "ca.pem")], ""), "it wants a certificate from us; write"),
        (pair("foreign.pem", "foreign.key"), "it refused our certificate (UnknownCA); let its"),
        (pair("expired.pem", "expired.key"), "it refused our certificate, which has expired"),
    ] {
        let words = refusal(&papers, "server", true, &settings);
        assert!(words.contains(expected), "{words}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let papers = Papers::new();
    fs::write(papers.path("empty.pem"), "").expect("written");
    let all = |ca: &str, cert: &str, key: &str| {
        papers.settings(&[("ca_file", ca), ("cert_file", cert), ("key_file", key)], "")
    };
    for (settings, expected) in [
        (all("no.pem", "client.pem", "client.key"), "no.pem: No such file"),
        (all("empty.pem", "client.pem", "client.key"), "empty.pem: there is none in it; write the"),
        (
            all("ca.pem", "client.key", "client.key"),
            "client.key: there is none in it; write the cert",
        ),
        (
            all("ca.pem", "client.pem", "client.pem"),
            "client.pem: there is none in it; write the priv",
        ),
        (
            all("ca.pem", "client.pem", "server.key"),
            "server.key does not belong to the certificate",
        ),
    ] {
        run(async {
            let (_listener, port) = listener().await;
            let mut sink = sink(&format!("\"tls://{port}\""), &settings);
            let error = deliver(&mut sink, &["x"], NOW).await.expect_err("a bad file").words();
            assert!(error.contains(expected), "{error}");
        });
    }
}

#[test]
fn a_receiver_is_known_by_its_fingerprint_or_not_at_all() {
    let papers = Papers::new();
    papers.sign("old", &["logs.example.org"], 2020);
    let digest = Sha256::digest(&papers.chain("old")[0]);
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("fingerprints = [\"SHA-256:{}\"]", pairs.join(":"));
    let pinned = format!("tls = {{ verify = \"fingerprint\", {list} }}");
    for settings in [pinned.as_str(), "tls = { insecure = true }"] {
        run(async {
            let (listener, port) = listener().await;
            let acceptor = papers.acceptor("old", false);
            let mut sink = sink(&format!("\"tls://{port}\""), settings);
            let (mut stream, sent) =
                tokio::join!(accept_tls(&listener, &acceptor), deliver(&mut sink, &["x"], NOW));
            sent.expect("delivered");
            drop(sink);
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await.expect("an orderly end");
            assert_eq!(vec!["x"], users(&text));
        });
    }
}

#[test]
fn a_port_without_tls_is_told_as_such() {
    run(async {
        let (listener, port) = listener().await;
        let mut sink = sink(&format!("\"tls://{port}\""), "tls = { insecure = true }");
        let receive = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.write_all(b"220 mail.example.org ready\r\n").await.expect("written");
            stream
        };
        let (_, error) = tokio::join!(receive, deliver(&mut sink, &["x"], NOW));
        let words = error.expect_err("no TLS").words();
        assert!(words.contains("it does not speak TLS on this port; check the port"), "{words}");
    });
}

#[test]
fn a_renewed_certificate_is_used_by_the_next_connection() {
    let papers = Papers::new();
    run(async {
        let (listener, port) = listener().await;
        let acceptor = papers.acceptor("server", true);
        let mut sink = sink(&format!("\"tls://{port}\""), &papers.settings(OWN, ""));
        let mut seen = BTreeSet::new();
        for round in 0..2_u64 {
            let now = NOW.plus(Period::from_secs(3600 * round));
            let receive = async {
                let mut stream = accept_tls(&listener, &acceptor).await;
                let shown = stream.get_ref().1.peer_certificates().expect("ours")[0].to_vec();
                let mut text = [0; 512];
                let length = stream.read(&mut text).await.expect("an event");
                assert_ne!(0, length);
                (stream, shown)
            };
            let sent = deliver(&mut sink, &["x"], now);
            let ((mut stream, shown), sent) = tokio::join!(receive, sent);
            sent.expect("delivered");
            seen.insert(shown);
            // A close in order: the next frame needs a new connection, and that is no error.
            stream.shutdown().await.expect("close_notify");
            papers.sign("client", &["web1", "renewed.example.org"], 4000);
        }
        assert_eq!(2, seen.len());
    });
}

/// Goal: a receiver that takes connections and never reads is not taken for one that has events.
///
/// Method: more is sent than both kernels hold.
#[test]
fn a_receiver_that_never_reads_is_an_error_after_its_time() {
    run_fast(async {
        let (listener, port) = listener().await;
        let mut sink = sink(&format!("\"tcp://{port}\""), "");
        let lines = vec!["x".repeat(5000); 2000];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let send = async {
            let mut batch_start = 0;
            let batch = fixture::batch(&lines, |line, writer| writer.set(Field::User, line));
            let rows: Vec<u32> = (0..batch.len() as u32).collect();
            sink.begin(None, NOW).await?;
            while batch_start < batch.len() {
                let mut part = Rendered::default();
                let chosen = Chosen::new(&batch, &rows);
                batch_start = sink.render(chosen, batch_start, NOW, &mut part);
                sink.send(&part, NOW).await?;
            }
            sink.finish().await
        };
        let (accepted, error) = tokio::join!(listener.accept(), send);
        let _held = accepted.expect("a connection");
        let words = error.expect_err("nobody reads").words();
        assert!(words.contains("did not answer within 30s when asked to"), "{words}");
    });
}

/// Goal: what a receiver's kernel had taken is not lost when both programs die before it was read.
///
/// Method: a receiver reads nothing and is reset when the cursor has moved; the sink is made anew, as
/// after a crash. A receiver that reads to the end gets nothing a second time.
#[test]
fn what_may_not_have_been_read_goes_out_again_after_a_start() {
    let mut bench = Bench::new();
    bench.store_frames(3, 20);
    let last = bench.reader().last_seq().expect("a number");
    run(async {
        let (listener, port) = listener().await;
        let config = config(&format!("\"tcp://{port}\""), "name = \"siem\"");
        let hang = async {
            let (unread, _) = listener.accept().await.expect("a connection");
            let cursor = || bench.reader().cursor("sink:siem").expect("the store");
            while cursor().is_none_or(|cursor| cursor.seq != last) {
                tokio::task::yield_now().await;
            }
            drop(unread);
        };
        let ((), status) = tokio::join!(hang, bench.deliver(&config, NOW));
        assert_eq!(60, status.report(NOW).accepted);
        let read = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut text = Vec::new();
            stream.read_to_end(&mut text).await.expect("an orderly end");
            users(&text)
        };
        let read = tokio::time::timeout(WRITE_LIMIT.duration(), read);
        let (found, _) = tokio::join!(read, bench.deliver(&config, NOW));
        let found = found.expect("it is sent again");
        let expected: Vec<String> = (0..60).map(|line| format!("line {line}")).collect();
        assert_eq!(expected, found);
        let status = bench.deliver(&config, NOW).await.report(NOW);
        assert_eq!((0, None), (status.accepted, status.failure));
    });
}

#[test]
fn a_frame_counts_when_the_far_machine_has_all_of_it() {
    run_fast(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(8 << 10).expect("a small buffer");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let listener = socket.listen(8).expect("a listener");
        let port = listener.local_addr().expect("an address");
        let mut sink = sink(&format!("\"tcp://{port}\""), "");
        // Less than our kernel takes, more than theirs.
        let lines = vec!["x".repeat(1000); 60];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let rendered = rendered(&mut sink, &lines);
        sink.begin(None, NOW).await.expect("nothing to do");
        let (sent, accepted) = tokio::join!(sink.send(&rendered, NOW), listener.accept());
        sent.expect("the kernel took it");
        let (stream, _) = accepted.expect("a connection");
        let words = sink.finish().await.expect_err("it is not there").words();
        assert!(words.ends_with("when asked to acknowledge what was sent"), "{words}");
        drop(stream);
    });
}

#[test]
fn the_next_receiver_is_used_until_the_first_is_back() {
    run(async {
        let (first, first_port) = listener().await;
        let (second, second_port) = listener().await;
        drop(first);
        let list = format!("[\"tcp://{first_port}\", \"tcp://{second_port}\"]");
        let mut sink = sink(&list, "");
        let read = async |listener: &TcpListener| {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut text = vec![0; 4096];
            let length = stream.read(&mut text).await.expect("an event");
            text.truncate(length);
            (stream, users(&text))
        };
        let ((mut kept, seen), sent) =
            tokio::join!(read(&second), deliver(&mut sink, &["one"], NOW));
        sent.expect("delivered");
        assert_eq!(vec!["one"], seen);

        // Sticky: the first one is back, and is not asked yet.
        let first = TcpListener::bind(&first_port).await.expect("the same port");
        let soon = NOW.plus(Period::from_secs(299));
        deliver(&mut sink, &["two"], soon).await.expect("delivered");
        let mut text = vec![0; 4096];
        let length = kept.read(&mut text).await.expect("an event");
        assert_eq!(vec!["two"], users(&text[..length]));

        let later = NOW.plus(Period::from_secs(301));
        let ended = async move {
            let length = kept.read(&mut text).await;
            drop(kept);
            length.expect("an orderly end")
        };
        let ((_stream, seen), ended, sent) =
            tokio::join!(read(&first), ended, deliver(&mut sink, &["three"], later));
        sent.expect("delivered");
        assert_eq!((vec!["three".to_owned()], 0), (seen, ended));
    });
}

#[test]
fn what_the_next_receiver_has_not_read_goes_to_the_first_when_it_is_back() {
    run(async {
        let (first, first_port) = listener().await;
        let (second, second_port) = listener().await;
        drop(first);
        let mut sink = sink(&format!("[\"tcp://{first_port}\", \"tcp://{second_port}\"]"), "");
        let (accepted, sent) = tokio::join!(second.accept(), deliver(&mut sink, &["one"], NOW));
        sent.expect("its machine has it");
        drop(accepted.expect("a connection"));
        let first = TcpListener::bind(&first_port).await.expect("the same port");
        let later = NOW.plus(Period::from_secs(301));
        deliver(&mut sink, &["two"], later).await.expect("delivered");
        drop(sink);
        let (mut stream, _) = first.accept().await.expect("a connection");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("an orderly end");
        assert_eq!(vec!["one", "two"], users(&text));
    });
}

#[path = "network_tests/datagrams.rs"]
mod datagrams;
#[path = "network_tests/relp.rs"]
mod relp;

#[test]
fn the_files_of_tls_are_looked_at_before_anything_connects() {
    let papers = Papers::new();
    papers.sign("old", &["web1"], 2020);
    papers.sign("other", &["web1"], 2040);
    fs::write(papers.path("empty.pem"), "no PEM").expect("written");
    let found = |ca: &str, cert: &str, key: &str| {
        let [ca, cert, key] = [ca, cert, key].map(|name| papers.path(name).display().to_string());
        let tls = format!("tls = {{ ca_file = {ca:?}, cert_file = {cert:?}, key_file = {key:?} }}");
        let config = config("\"tls://siem.example.org:6514\"", &tls);
        let checked = config.check_files(&OtelVariables::default(), NOW);
        checked.map_err(|problem| problem.to_string())
    };
    assert_eq!(Ok(()), found("ca.pem", "client.pem", "client.key"));
    assert_eq!(Ok(()), found("ca.pem", "other.pem", "other.key"));
    for (ca, cert, key, expected) in [
        ("none.pem", "client.pem", "client.key", "none.pem: No such file"),
        ("empty.pem", "client.pem", "client.key", "empty.pem: there is none in it"),
        ("ca.pem", "empty.pem", "client.key", "`tls.cert_file`"),
        ("ca.pem", "client.pem", "empty.pem", "`tls.key_file`"),
        ("ca.pem", "client.pem", "server.key", "does not belong to the certificate"),
        ("ca.pem", "old.pem", "old.key", "old.pem expired at 2020-12-31T00:00:00Z; renew it"),
    ] {
        let problem = found(ca, cert, key).expect_err(expected);
        assert!(problem.contains(expected), "{problem}");
    }
}
