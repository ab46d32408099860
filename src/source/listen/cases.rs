//! The listeners as senders see them: real sockets on loopback, and a pipeline that takes what comes.

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::source::SourceConfig;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest line.
const MAX: usize = 64;

/// One listener, and the pipeline's end of it.
struct Bench {
    listeners: Listeners,
    waker: Arc<Waker>,
    folder: tempfile::TempDir,
    /// Where it listens, if that is an address of the network.
    address: SocketAddr,
}

/// An address that is free now.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

impl Bench {
    /// Listens with this scheme and these settings; `FOLDER` in them is a folder of its own.
    fn start(scheme: &str, settings: &str) -> Self {
        let bench = Self::start_at(free_address(), scheme, settings, tempfile::tempdir());
        bench.until("listening", || bench.status().is_listening().then_some(()));
        bench
    }

    fn start_at(
        address: SocketAddr,
        scheme: &str,
        settings: &str,
        folder: io::Result<tempfile::TempDir>,
    ) -> Self {
        let folder = folder.expect("a folder");
        let place = match scheme {
            "unix" | "unixstream" => folder.path().join("log.sock").display().to_string(),
            "http" | "https" => format!("{address}/logs"),
            _ => address.to_string(),
        };
        let settings = settings.replace("FOLDER", &folder.path().display().to_string());
        let config = format!("listen = \"{scheme}://{place}\"\n{settings}");
        let config: SourceConfig = toml::from_str(&config).expect("a table of the right shape");
        let endpoint = config.endpoint().expect("sound").expect("it listens");
        let waker: Arc<Waker> = Arc::default();
        let listeners = Listeners::start(vec![("web".to_owned(), endpoint)], MAX, &waker);
        let listeners = listeners.expect("a thread");
        Self { listeners, waker, folder, address }
    }

    fn status(&self) -> &ListenStatus {
        &self.listeners.inlets()[0].status
    }

    fn inbox(&self) -> &Inbox {
        &self.listeners.inlets()[0].inbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        for _ in 0..PATIENCE.as_millis() / 5 {
            if let Some(answer) = found() {
                return answer;
            }
            self.waker.wait(Duration::from_millis(5));
        }
        panic!("{what} did not come within {} s", PATIENCE.as_secs());
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream
    }

    /// Takes lines until `expected` is what came: each parcel's path and lines; `…` is a cut.
    #[track_caller]
    fn check(&self, expected: &str) {
        let inbox = self.inbox();
        let mut said = String::new();
        self.until(expected, || {
            while let Some(parcel) = inbox.take() {
                let path = parcel.path.display().to_string();
                let path = path.replace(&self.folder.path().display().to_string(), "FOLDER");
                let text = String::from_utf8_lossy(&parcel.bytes).into_owned();
                let mark = if parcel.truncated_last { "…\n" } else { "" };
                for line in format!("{text}{mark}").lines() {
                    said.push_str(&format!("{path} {line}\n"));
                }
                for receipt in parcel.receipts {
                    receipt.send(()).expect("somebody waits for it");
                }
            }
            assert!(expected.starts_with(&said), "expected {expected}got {said}");
            (expected == said).then_some(())
        });
    }

    /// The answer to a request whose lines are stored meanwhile.
    fn push(&self, request: &str, expected: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("sent");
        self.check(expected);
        answer(stream)
    }
}

fn answer(mut stream: impl io::Read) -> String {
    let mut answer = Vec::new();
    // What was cut off counts as far as it came.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("an answer is text")
}

#[test]
fn tcp_takes_both_framings_and_the_rest_of_a_connection() {
    let bench = Bench::start("tcp", "");
    let mut stream = bench.connect();
    stream.write_all(b"<34>one\n12 <34>two\nmore<34>thr").expect("sent");
    bench.check("syslog://127.0.0.1 <34>one\nsyslog://127.0.0.1 <34>two#012more\n");
    assert_eq!(1, bench.status().connections());
    drop(stream);
    bench.check("syslog://127.0.0.1 <34>thr\n");
    bench.until("the end", || (bench.status().connections() == 0).then_some(()));
    assert_eq!(1, bench.status().unfinished());
}

#[test]
fn a_line_that_is_too_long_is_cut_and_counted() {
    let bench = Bench::start("tcp", "");
    let long = "x".repeat(3 * MAX);
    bench.connect().write_all(format!("<34>{long}\n<34>two\n").as_bytes()).expect("sent");
    let head = "x".repeat(MAX - 4);
    bench.check(&format!("syslog://127.0.0.1 <34>{head}…\nsyslog://127.0.0.1 <34>two\n"));
    assert_eq!(1, bench.status().cut_lines());
}

#[test]
fn a_datagram_is_one_line_whatever_is_in_it() {
    let bench = Bench::start("udp", "");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for text in ["<34>one\n<0>two\n\n", "", "\n", "9 <34>three\r\n\0", "x\0y"] {
        socket.send_to(text.as_bytes(), bench.address).expect("sent");
    }
    bench.check(
        "syslog://127.0.0.1 <34>one#012<0>two\nsyslog://127.0.0.1 9 <34>three\n\
         syslog://127.0.0.1 x\0y\n",
    );
    assert_eq!(0, bench.status().dropped());
}

#[test]
fn datagrams_that_find_no_room_are_counted_by_the_kernel() {
    let bench = Bench::start("udp", "");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    // Nothing is taken: the inbox fills, then the buffer of the kernel, then it drops.
    let mut sent = 0;
    bench.until("drops", || {
        for _ in 0..10_000 {
            socket.send_to(b"<34>one line of some length", bench.address).expect("sent");
            sent += 1;
        }
        (0 < bench.status().dropped()).then_some(())
    });
    let mut taken = 0;
    bench.until("all others", || {
        for parcel in std::iter::from_fn(|| bench.inbox().take()) {
            taken += parcel.bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        (sent == taken + bench.status().dropped()).then_some(())
    });
}

#[test]
fn programs_of_this_machine_write_to_a_socket_in_the_file_system() {
    let mut bench = Bench::start("unix", "");
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(b"<34>one\ntwo", bench.path("log.sock")).expect("sent");
    bench.check("FOLDER/log.sock <34>one#012two\n");
    bench.listeners.finish();
    assert!(!bench.path("log.sock").exists(), "it is removed at the end");
    let bench = Bench::start("unixstream", "");
    let mut stream = UnixStream::connect(bench.path("log.sock")).expect("it listens");
    stream.write_all(b"<34>one\n<34>two\n").expect("sent");
    bench.check("FOLDER/log.sock <34>one\nFOLDER/log.sock <34>two\n");
}

#[test]
fn what_has_come_before_the_word_to_stop_is_taken() {
    let bench = Bench::start("tcp", "");
    let mut stream = bench.connect();
    stream.write_all(b"<34>one\n").expect("sent");
    bench.check("syslog://127.0.0.1 <34>one\n");
    stream.write_all(b"<34>two\n<34>thr").expect("sent");
    bench.listeners.stop();
    bench.until("the end", || bench.listeners.have_ended().then_some(()));
    bench.check("syslog://127.0.0.1 <34>two\nsyslog://127.0.0.1 <34>thr\n");
    assert!(TcpStream::connect(bench.address).is_err(), "nobody listens any more");
}

#[test]
fn an_address_in_use_is_told_and_tried_again() {
    let owner = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = owner.local_addr().expect("it is bound");
    let bench = Bench::start_at(address, "tcp", "", tempfile::tempdir());
    let problem = bench.until("a problem", || bench.status().problem());
    assert!(problem.contains(&format!("tcp://{address}: ")), "{problem}");
    assert!(problem.contains("`ss -lnput`"), "{problem}");
    drop(owner);
    bench.until("listening", || bench.status().is_listening().then_some(()));
}

#[test]
fn one_connection_too_many_is_closed_and_counted() {
    let bench = Bench::start("tcp", "");
    let mut streams: Vec<TcpStream> =
        (0..stream::CONNECTIONS_MAX).map(|_| bench.connect()).collect();
    let full = || (bench.status().connections() == stream::CONNECTIONS_MAX as u64).then_some(());
    bench.until("all connections", full);
    assert_eq!("", answer(bench.connect()));
    assert_eq!(1, bench.status().refused()[Refusal::Connections as usize]);
    streams[0].write_all(b"<34>one\n").expect("sent");
    bench.check("syslog://127.0.0.1 <34>one\n");
    drop(streams.pop());
    let free = || (bench.status().connections() < stream::CONNECTIONS_MAX as u64).then_some(());
    bench.until("a place", free);
    bench.connect().write_all(b"<34>two\n").expect("sent");
    bench.check("syslog://127.0.0.1 <34>two\n");
}

#[test]
fn a_sender_over_tcp_waits_while_nothing_is_taken() {
    let bench = Bench::start("tcp", "");
    let mut stream = bench.connect();
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a limit");
    let lines = "<34>123456789\n".repeat(4096);
    let mut sent = 0;
    // What does not fit into the inbox and the buffers of the kernel stays with the sender.
    while let Ok(length) = stream.write(lines.as_bytes()) {
        sent += length;
        assert!(sent < 64 << 20, "it takes everything");
    }
    bench.until("a full inbox", || bench.inbox().is_pressed().then_some(()));
    let waiting = bench.inbox().waiting_bytes();
    assert!(waiting <= STREAM_INBOX_BYTES + (32 << 10), "{waiting}");
    // Then all that was sent comes.
    let mut taken = 0;
    drop(stream);
    bench.until("all of it", || {
        taken += std::iter::from_fn(|| bench.inbox().take()).map(|p| p.bytes.len()).sum::<usize>();
        (sent <= taken).then_some(())
    });
}

/// A request; `HOST` and so on do not matter here.
fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn pushed_lines_are_acknowledged_when_they_are_stored_and_not_before() {
    let bench = Bench::start("http", "");
    let mut stream = bench.connect();
    stream.write_all(post("", "{\"a\":1}\n{\"b\":2}").as_bytes()).expect("sent");
    bench.until("the lines", || (0 < bench.inbox().waiting_bytes()).then_some(()));
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a limit");
    assert!(stream.read(&mut [0]).is_err(), "no answer before they are stored");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    bench.check("http://127.0.0.1 {\"a\":1}\nhttp://127.0.0.1 {\"b\":2}\n");
    let answer = answer(stream);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn lines_that_are_not_stored_are_not_acknowledged() {
    let bench = Bench::start("http", "");
    let mut stream = bench.connect();
    stream.write_all(post("", "one\n").as_bytes()).expect("sent");
    // The pipeline takes them and comes to its end before the commit.
    drop(bench.until("the lines", || bench.inbox().take()));
    let answer = answer(stream);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 5\r\n"), "{answer}");
}

#[test]
fn every_request_that_is_not_taken_says_why() {
    let bench = Bench::start("http", "");
    let ask = |request: &str| {
        let mut stream = bench.connect();
        // It may answer before all of the body was sent.
        let _ = stream.write_all(request.as_bytes());
        answer(stream)
    };
    let large = post("", &"x".repeat((1 << 20) + 1));
    let endless = "POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + &format!("10000\r\n{}\r\n", "x".repeat(1 << 16)).repeat(17);
    for (request, status, words) in [
        (&*post("", "[{\"a\":1},{\"b\":2}]"), "415", "one object a line"),
        (&*post("Content-Encoding: gzip\r\n", "x"), "415", "compressed"),
        (&*post("Origin: https://www.example.org\r\n", "x"), "403", "web pages"),
        (&*post("", "x").replace("/logs", "/"), "404", "no such path"),
        (&*post("", "x").replace("POST", "GET"), "405", "\r\nallow: POST\r\n"),
        (&large, "413", "at most 1 MiB"),
        (&endless, "413", "at most 1 MiB"),
        (&*post("", "\n\r\n"), "200", "stored"),
    ] {
        let answer = ask(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
        assert!(answer.contains(words), "{words}: {answer}");
    }
    bench.inbox().hold(true);
    let answer = ask(&post("", "x"));
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 5"), "{answer}");
    assert_eq!([0, 0, 1, 4, 2, 1], bench.status().refused());
}

#[test]
fn a_token_lets_its_bearer_in_and_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "0123456789abcdef\n").expect("written");
    let token = format!("token_file = {:?}", folder.path().join("token"));
    let bench = Bench::start("http", &token);
    let ask = |headers: &str| {
        let mut stream = bench.connect();
        stream.write_all(post(headers, "x").as_bytes()).expect("sent");
        answer(stream)
    };
    for headers in ["", "Authorization: Bearer 0123456789abcdeg\r\n", "Authorization: Bearer \r\n"]
    {
        let answer = ask(headers);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains("\r\nwww-authenticate: Bearer\r\n"), "{answer}");
    }
    assert_eq!(3, bench.status().refused()[Refusal::Token as usize]);
    let request = post("authorization: bearer 0123456789abcdef\r\n", "line");
    let answer = bench.push(&request, "http://127.0.0.1 line\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_token_that_can_be_guessed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    for (text, expected) in [
        ("short\n", "at least 16 visible characters"),
        ("two words that are long enough\n", "one line"),
        ("", "openssl rand -hex 32"),
    ] {
        std::fs::write(&path, text).expect("written");
        let error = push::read_token(&path).expect_err("no token");
        assert!(error.contains(expected), "{error}");
    }
    let error = push::read_token(&folder.path().join("none")).expect_err("no file");
    assert!(error.contains("No such file"), "{error}");
}

/// An authority, a server's certificate and a client's, in the folder of a test.
struct Certificates {
    folder: tempfile::TempDir,
    roots: rustls::RootCertStore,
    client: (rustls::pki_types::CertificateDer<'static>, rustls::pki_types::PrivateKeyDer<'static>),
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_key = rcgen::KeyPair::generate().expect("a key");
        let ca = params.self_signed(&ca_key).expect("an authority");
        let issuer = rcgen::Issuer::new(params, ca_key);
        let make = |name: &str| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
            (params.signed_by(&key, &issuer).expect("a certificate"), key)
        };
        let (server, server_key) = make("localhost");
        let (client, client_key) = make("web1.example.org");
        for (name, text) in [
            ("ca.pem", ca.pem()),
            ("cert.pem", server.pem()),
            ("key.pem", server_key.serialize_pem()),
        ] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).expect("an authority");
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(client_key.serialize_der());
        Self { folder, roots, client: (client.der().clone(), key.into()) }
    }

    fn settings(&self, mutual: bool) -> String {
        let path = |name| self.folder.path().join(name);
        let ca =
            if mutual { format!("tls_client_ca = {:?}\n", path("ca.pem")) } else { String::new() };
        format!("tls_cert = {:?}\ntls_key = {:?}\n{ca}", path("cert.pem"), path("key.pem"))
    }

    /// A connection that knows the authority, and shows the client's certificate if it should.
    fn connect(
        &self,
        stream: TcpStream,
        with_certificate: bool,
    ) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        let config = if with_certificate {
            let (certificate, key) = (self.client.0.clone(), self.client.1.clone_key());
            config.with_client_auth_cert(vec![certificate], key).expect("a certificate")
        } else {
            config.with_no_client_auth()
        };
        let name = "localhost".try_into().expect("a name");
        let client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
        rustls::StreamOwned::new(client, stream)
    }
}

#[test]
fn tls_carries_syslog_and_http() {
    let certificates = Certificates::new();
    let bench = Bench::start("tls", &certificates.settings(false));
    let mut stream = certificates.connect(bench.connect(), false);
    stream.write_all(b"7 <34>one7 <34>two").expect("sent");
    bench.check("syslog://127.0.0.1 <34>one\nsyslog://127.0.0.1 <34>two\n");
    bench.connect().write_all(b"<34>plain\n").expect("sent");
    let refused = || (bench.status().refused()[Refusal::Tls as usize] == 1).then_some(());
    bench.until("a refusal", refused);
    let bench = Bench::start("https", &certificates.settings(false));
    let mut stream = certificates.connect(bench.connect(), false);
    stream.write_all(post("", "line").as_bytes()).expect("sent");
    bench.check("http://127.0.0.1 line\n");
    assert!(answer(stream).starts_with("HTTP/1.1 200 "));
}

#[test]
fn with_an_authority_only_its_clients_are_let_in() {
    let certificates = Certificates::new();
    let bench = Bench::start("tls", &certificates.settings(true));
    let mut stranger = certificates.connect(bench.connect(), false);
    // With TLS 1.3 the client hears of it when it reads.
    let _ = stranger.write_all(b"<34>forged\n");
    assert_eq!("", answer(stranger));
    let mut known = certificates.connect(bench.connect(), true);
    known.write_all(b"<34>one\n").expect("sent");
    bench.check("syslog://127.0.0.1 <34>one\n");
    assert_eq!(1, bench.status().refused()[Refusal::Tls as usize]);
}
