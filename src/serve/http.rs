//! Answers a scraper, a health check and a curious person, and nobody else.
//!
//! Only GET and HEAD, no bodies, one request a connection. Each connection has a limit of time,
//! all connections have one of number, so that whoever connects and says nothing, or never reads
//! the answer, holds a place for half a minute and no more. Scrapers connect anew each time,
//! which costs nothing on loopback.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::listen::ServeError;
use super::metrics::Metrics;
use super::page;
use super::process::ProcessStats;
use super::readiness::Readiness;
use crate::io::Clock;

/// Content type of the text format; Prometheus 3 refuses an answer without one.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";
const JSON_TYPE: &str = "application/json";
const HTML_TYPE: &str = "text/html; charset=utf-8";
const CSS_TYPE: &str = "text/css; charset=utf-8";

/// Sent with every answer. The pages show text from logs and configuration: a browser may do
/// nothing with it but show it.
const SECURITY_HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Bytes of a request line with its headers; hyper takes no less than 8 KiB.
const MAX_HEADER_BYTES: usize = 16 << 10;

/// Headers of a request.
const MAX_HEADERS: usize = 64;

/// Wait after the system refused to accept a connection, mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// How long and how many.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HttpLimits {
    /// Connections served at once; others wait to be accepted.
    pub connections: usize,
    /// Time for a request to arrive.
    pub header_timeout: Duration,
    /// Time for a whole connection, from its acceptance to the last byte of the answer.
    pub connection_timeout: Duration,
    /// Time for the connections to end at shutdown.
    pub drain_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 64,
            header_timeout: Duration::from_secs(10),
            connection_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// A source as the first page names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Watched {
    /// Name of the source.
    pub name: String,
    /// Its path, as configured.
    pub path: String,
}

/// What the pages are made of.
pub struct Pages {
    /// Rendered at `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Shown at `/readyz`.
    pub readiness: Arc<Readiness>,
    /// Tells the age of things.
    pub clock: Arc<dyn Clock>,
    /// Named on the first page.
    pub watched: Vec<Watched>,
}

/// Serves `pages` until `shutdown` says true or its sender is gone.
pub async fn serve(
    listener: TcpListener,
    pages: Arc<Pages>,
    limits: HttpLimits,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let listener = into_tokio(listener)?;
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places, &pages.metrics) => accepted,
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, place)) => start(stream, place, &pages, limits, &connections),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the metrics; trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.drain_timeout, connections.shutdown()).await.is_err() {
        tracing::debug!("left HTTP connections open at shutdown");
    }
    Ok(())
}

fn into_tokio(listener: TcpListener) -> Result<tokio::net::TcpListener, ServeError> {
    let address = listener.local_addr().map_or_else(|_| "?".to_owned(), |addr| addr.to_string());
    listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener))
        .map_err(|source| ServeError::Io { action: "serve", address, source })
}

async fn accept(
    listener: &tokio::net::TcpListener,
    places: &Arc<Semaphore>,
    metrics: &Metrics,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = match places.clone().try_acquire_owned() {
        Ok(place) => place,
        Err(_) => {
            metrics.add_limited_connection();
            places.clone().acquire_owned().await.expect("nobody closes the semaphore")
        }
    };
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

fn start(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    pages: &Arc<Pages>,
    limits: HttpLimits,
    connections: &GracefulShutdown,
) {
    let pages = pages.clone();
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let answer = answer(&pages, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        match tokio::time::timeout(limits.connection_timeout, connection).await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => tracing::debug!(%error, "HTTP connection ended"),
            Err(_) => tracing::debug!("HTTP connection took too long"),
        }
        drop(place);
    });
}

/// The answer to one request; pure but for the state behind `pages`.
fn answer(pages: &Pages, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let mut response = if *method == Method::GET || *method == Method::HEAD {
        route(pages, path, *method == Method::HEAD)
    } else {
        let text = "only GET and HEAD\n".to_owned();
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT_TYPE, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    };
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn route(pages: &Pages, path: &str, head: bool) -> Response<Full<Bytes>> {
    match path {
        // A look at the headers alone is no scrape: it must not move any client's place.
        "/metrics" if head => respond(StatusCode::OK, METRICS_TYPE, String::new()),
        "/metrics" => {
            pages.metrics.set_process(&ProcessStats::read());
            respond(StatusCode::OK, METRICS_TYPE, pages.metrics.scrape(pages.clock.now()))
        }
        "/healthz" => respond(StatusCode::OK, TEXT_TYPE, "ok\n".to_owned()),
        "/readyz" => {
            let report = pages.readiness.report(pages.clock.now());
            let status =
                if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let mut json = serde_json::to_string(&report).expect("plain data is always JSON");
            json.push('\n');
            respond(status, JSON_TYPE, json)
        }
        "/" => {
            let report = pages.readiness.report(pages.clock.now());
            respond(StatusCode::OK, HTML_TYPE, page::index(&pages.watched, &report))
        }
        page::STYLE_PATH => respond(StatusCode::OK, CSS_TYPE, page::STYLE.to_owned()),
        _ => respond(StatusCode::NOT_FOUND, TEXT_TYPE, "no such page\n".to_owned()),
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::thread::JoinHandle;

    use super::*;
    use crate::serve::{BuildInfo, ServeConfig, bind};
    use crate::units::{Period, Timestamp};

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_795_176_000)
        }
    }

    /// A listener in a thread of its own; it stops when the test lets go of it.
    struct Server {
        address: SocketAddr,
        pages: Arc<Pages>,
        stop: watch::Sender<bool>,
        thread: Option<JoinHandle<()>>,
    }

    impl Server {
        fn start(limits: HttpLimits) -> Self {
            let listener = bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            let metrics = Metrics::new(&ServeConfig::default(), &BuildInfo::current(), Noon.now());
            let pages = Arc::new(Pages {
                metrics: Arc::new(metrics),
                readiness: Arc::new(Readiness::new(Period::from_secs(30))),
                clock: Arc::new(Noon),
                watched: vec![Watched {
                    name: "nginx".to_owned(),
                    path: "/var/log/nginx/<b>*.log".to_owned(),
                }],
            });
            let (stop, stopped) = watch::channel(false);
            let served = pages.clone();
            let thread = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.expect("a runtime");
                runtime.block_on(serve(listener, served, limits, stopped)).expect("served");
            });
            Self { address, pages, stop, thread: Some(thread) }
        }

        fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).expect("the listener accepts")
        }

        fn send(&self, request: &str) -> String {
            let mut stream = self.connect();
            stream.write_all(request.as_bytes()).expect("sent");
            read_all(stream)
        }

        fn get(&self, path: &str) -> String {
            self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        }

        fn stop(&mut self) {
            self.stop.send_replace(true);
            if let Some(thread) = self.thread.take() {
                thread.join().expect("the listener ends well");
            }
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.stop();
        }
    }

    fn read_all(mut stream: TcpStream) -> String {
        let mut answer = Vec::new();
        // A connection that is cut may end with a reset; what came before it counts.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).expect("answers are text")
    }

    #[track_caller]
    fn check(answer: &str, expected: &[&str]) {
        for part in expected {
            assert!(answer.contains(part), "no `{part}` in:\n{answer}");
        }
    }

    #[test]
    fn a_scraper_is_answered_in_the_text_format() {
        let server = Server::start(HttpLimits::default());
        let answer = server.get("/metrics");
        check(&answer, &["HTTP/1.1 200 OK\r\n", "content-type: text/plain; version=0.0.4"]);
        check(&answer, &["\ngatewatch_start_timestamp_seconds 1795176000\n"]);
        check(&answer, &["\nprocess_resident_memory_bytes "]);
        assert!(answer.ends_with('\n'));
    }

    #[test]
    fn health_is_plain_and_readiness_says_why_not() {
        let server = Server::start(HttpLimits::default());
        check(&server.get("/healthz"), &["HTTP/1.1 200 OK\r\n", "\r\n\r\nok\n"]);
        check(
            &server.get("/readyz"),
            &[
                "HTTP/1.1 503 Service Unavailable\r\n",
                "content-type: application/json\r\n",
                r#"{"ready":false,"checks":[{"name":"startup","ok":false,"reason":"still starting"}]}"#,
            ],
        );
        server.pages.readiness.started(Noon.now());
        check(&server.get("/readyz"), &["HTTP/1.1 200 OK\r\n", r#"{"ready":true,"checks":"#]);
    }

    #[test]
    fn the_first_page_names_what_is_watched_and_escapes_it() {
        let server = Server::start(HttpLimits::default());
        server.pages.readiness.fail("source nginx", "cannot open <script>");
        let answer = server.get("/");
        check(&answer, &["/var/log/nginx/&#60;b&#62;*.log", "cannot open &#60;script&#62;"]);
        assert!(!answer.contains("<script") && !answer.contains("<b>"), "{answer}");
        check(&server.get(page::STYLE_PATH), &["HTTP/1.1 200 OK\r\n", "content-type: text/css"]);
    }

    #[test]
    fn every_answer_has_the_security_headers() {
        let server = Server::start(HttpLimits::default());
        for path in ["/", "/metrics", "/healthz", "/readyz", "/style.css", "/nothing"] {
            let answer = server.get(path);
            for (name, value) in SECURITY_HEADERS {
                check(&answer, &[&format!("\r\n{name}: {value}\r\n")]);
            }
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let server = Server::start(HttpLimits::default());
        for path in ["/metrics/", "/../etc/passwd", "/favicon.ico", "//", "/METRICS"] {
            check(&server.get(path), &["HTTP/1.1 404 Not Found\r\n"]);
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
            let request =
                format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
            check(&server.send(&request), &["HTTP/1.1 405 ", "\r\nallow: GET, HEAD\r\n"]);
        }
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(64 << 10));
        let answer = server.send(&long);
        assert!(answer.starts_with("HTTP/1.1 4") || answer.is_empty(), "{answer}");
        check(&server.get("/healthz"), &["200 OK"]);
    }

    #[test]
    fn a_look_at_the_headers_is_no_scrape() {
        let server = Server::start(HttpLimits::default());
        let answer = server.send("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        check(&answer, &["HTTP/1.1 200 OK\r\n", "version=0.0.4"]);
        assert!(answer.ends_with("\r\n\r\n"), "no body: {answer}");
    }

    #[test]
    fn who_connects_and_says_nothing_is_let_go() {
        let short = Duration::from_millis(50);
        for limits in [
            HttpLimits { header_timeout: short, ..HttpLimits::default() },
            HttpLimits { connection_timeout: short, ..HttpLimits::default() },
        ] {
            let server = Server::start(limits);
            let mut stream = server.connect();
            stream.write_all(b"GET /metrics HT").expect("sent");
            let answer = read_all(stream);
            assert!(!answer.contains("200 OK"), "{answer}");
        }
    }

    #[test]
    fn one_more_than_the_limit_waits_for_its_turn() {
        let server = Server::start(HttpLimits { connections: 1, ..HttpLimits::default() });
        let mut first = server.connect();
        let mut second = server.connect();
        second.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        first.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        check(&read_all(first), &["200 OK"]);
        let answer = read_all(second);
        check(&answer, &["200 OK", "\ngatewatch_connections_limited_total "]);
        assert!(!answer.contains("\ngatewatch_connections_limited_total 0\n"), "it is counted");
    }

    #[test]
    fn a_shutdown_ends_idle_connections_and_frees_the_port() {
        let mut server = Server::start(HttpLimits::default());
        check(&server.get("/healthz"), &["200 OK"]);
        let idle = server.connect();
        server.stop();
        assert_eq!("", read_all(idle));
        assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
    }
}
