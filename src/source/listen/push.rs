//! Lines pushed over HTTP: `POST` with a body of lines, answered when they are in the store.
//!
//! Any line will do: JSON objects, or log lines as they are. The answer is what syslog has not:
//! 200 says that a crash cannot take the lines away any more; everything else says that the sender
//! should keep them, and 429 and 503 when to come again. An answer can get lost, so a sender that
//! repeats may store lines twice.
//!
//! Invariant: [`BODIES_MAX`] bodies of at most [`BODY_BYTES_MAX`] are in memory at once, besides
//! what the inbox holds.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::Desk;
use super::framing::Lines;
use super::inbox::Sender;
use super::status::Refusal;
use super::stream::Stream;
use crate::source::lines::BLOCK_BYTES;
use crate::units::Period;

/// Bytes of a body. What is stored at once comes in one piece.
const BODY_BYTES_MAX: usize = BLOCK_BYTES;

/// Bodies that are read or wait for room at once.
const BODIES_MAX: usize = 8;

/// Bytes of a request line with its headers; hyper takes no less than 8 KiB.
const HEADER_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

/// Time for the next request of a connection to arrive, for its body, and for room in the inbox.
const HEADER_LIMIT: Period = Period::from_secs(30);
const BODY_LIMIT: Period = Period::from_secs(30);
const ROOM_LIMIT: Period = Period::from_secs(5);

/// Time for lines to be stored. They are stored later all the same, if not at all after this.
const STORE_LIMIT: Period = Period::from_secs(30);

/// Bytes of a token: less can be guessed, more is a wrong file.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=4096;

/// What is told to senders of one listener.
#[derive(Debug)]
pub(super) struct Push {
    path: String,
    /// Hash of the token, so that comparing takes the same time for every guess.
    token: Option<[u8; 32]>,
    bodies: Semaphore,
}

/// An answer that is no success.
struct Refused {
    reason: Refusal,
    status: StatusCode,
    words: &'static str,
    header: Option<(HeaderName, &'static str)>,
}

impl Refused {
    const fn new(reason: Refusal, status: StatusCode, words: &'static str) -> Self {
        Self { reason, status, words, header: None }
    }

    fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// The sender should come again.
    fn later(status: StatusCode, words: &'static str) -> Self {
        Self::new(Refusal::Pressure, status, words).with(RETRY_AFTER, "5")
    }
}

/// The token in a file: its one line.
pub(super) fn read_token(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("cannot read {shown}: {error}; `openssl rand -hex 32` makes a token for it")
    })?;
    let token = text.trim();
    let is_token =
        TOKEN_BYTES.contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    if is_token {
        Ok(token.to_owned())
    } else {
        Err(format!(
            "{shown} holds no token: one line of at least {} visible characters; `openssl rand -hex \
             32` makes one",
            TOKEN_BYTES.start()
        ))
    }
}

impl Push {
    pub(super) fn new(path: &str, token: Option<&str>) -> Self {
        let token = token.map(|token| Sha256::digest(token).into());
        Self { path: path.to_owned(), token, bodies: Semaphore::new(BODIES_MAX) }
    }

    /// Answers the requests of a connection until it ends.
    pub(super) async fn answer(
        self: &Arc<Self>,
        stream: impl Stream,
        sender: Sender,
        desk: &Arc<Desk>,
    ) {
        let service = service_fn(|request| {
            let (push, desk) = (Arc::clone(self), Arc::clone(desk));
            async move { Ok::<_, Infallible>(push.respond(request, sender, &desk).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_LIMIT.duration())
            .max_buf_size(HEADER_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = desk.stopped() => {
                // A request that is being answered is answered.
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "{}: an HTTP connection ended", desk.name);
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        sender: Sender,
        desk: &Desk,
    ) -> Response<Full<Bytes>> {
        match self.take(request, sender, desk).await {
            Ok(()) => response(StatusCode::OK, "stored\n"),
            Err(refused) => {
                desk.refuse(refused.reason, refused.words.trim_end());
                let mut response = response(refused.status, refused.words);
                let headers = response.headers_mut();
                if let Some((name, value)) = refused.header {
                    headers.insert(name, HeaderValue::from_static(value));
                }
                if refused.status == StatusCode::PAYLOAD_TOO_LARGE {
                    headers.insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        }
    }

    async fn take(
        &self,
        request: Request<Incoming>,
        sender: Sender,
        desk: &Desk,
    ) -> Result<(), Refused> {
        self.check(&request)?;
        if desk.inbox.is_held() {
            return Err(Refused::later(StatusCode::SERVICE_UNAVAILABLE, "the store is full\n"));
        }
        let told = {
            let busy = |_| Refused::later(StatusCode::TOO_MANY_REQUESTS, "too many at once\n");
            let _place = self.bodies.try_acquire().map_err(busy)?;
            let body = read_body(request.into_body()).await?;
            let mut lines = Lines::of_text(&body, desk.line_bytes_max);
            drop(body);
            if lines.is_empty() {
                return Ok(());
            }
            let (receipt, told) = oneshot::channel();
            let put = desk.put_with(sender, &mut lines, Some(receipt));
            match timeout(ROOM_LIMIT.duration(), put).await {
                Ok(Ok(())) => told,
                Ok(Err(_)) => {
                    return Err(Refused::later(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"));
                }
                Err(_) => {
                    return Err(Refused::later(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "lines come faster than they are stored\n",
                    ));
                }
            }
        };
        match timeout(STORE_LIMIT.duration(), told).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Refused::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "the lines are not stored yet\n",
            )),
        }
    }

    /// Looks at everything but the body.
    fn check(&self, request: &Request<Incoming>) -> Result<(), Refused> {
        self.check_sender(request.headers())?;
        if request.uri().path() != self.path {
            let words = "no such path; post to the one of the configuration\n";
            return Err(Refused::new(Refusal::Request, StatusCode::NOT_FOUND, words));
        }
        if request.method() != Method::POST {
            let words = "only POST\n";
            let refused = Refused::new(Refusal::Request, StatusCode::METHOD_NOT_ALLOWED, words);
            return Err(refused.with(ALLOW, "POST"));
        }
        if request.headers().get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
            let words = "compressed bodies are not taken; send the lines as they are\n";
            return Err(Refused::new(Refusal::Request, StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
        }
        let announced = request.body().size_hint().lower();
        if BODY_BYTES_MAX as u64 <= announced.saturating_sub(1) {
            return Err(TOO_LARGE);
        }
        Ok(())
    }

    fn check_sender(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(expected) = &self.token else {
            // Without a token any program of this machine may send. A browser that some page of the
            // web has told to is not meant, and it says where the page is from.
            if headers.contains_key(ORIGIN) {
                let words = "web pages may not send; set `token_file` for a program that must\n";
                return Err(Refused::new(Refusal::Token, StatusCode::FORBIDDEN, words));
            }
            return Ok(());
        };
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let given = given.and_then(|value| {
            let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
        });
        if given.is_some_and(|token| <[u8; 32]>::from(Sha256::digest(token)) == *expected) {
            return Ok(());
        }
        let words = "`Authorization: Bearer TOKEN` is missing or wrong\n";
        let refused = Refused::new(Refusal::Token, StatusCode::UNAUTHORIZED, words);
        Err(refused.with(WWW_AUTHENTICATE, "Bearer"))
    }
}

const TOO_LARGE: Refused = Refused::new(
    Refusal::TooLarge,
    StatusCode::PAYLOAD_TOO_LARGE,
    "a body has at most 1 MiB; send fewer lines at once\n",
);

async fn read_body(body: Incoming) -> Result<Bytes, Refused> {
    let read = timeout(BODY_LIMIT.duration(), Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let refused = |status, words| Refused::new(Refusal::Request, status, words);
    let body = match read {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(TOO_LARGE),
        Ok(Err(_)) => return Err(refused(StatusCode::BAD_REQUEST, "the body breaks off\n")),
        Err(_) => return Err(refused(StatusCode::REQUEST_TIMEOUT, "the body takes too long\n")),
    };
    if body.trim_ascii_start().first() == Some(&b'[') && is_json_array(&body) {
        let words = "a JSON array is one line; send one object a line (NDJSON)\n";
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    Ok(body)
}

/// Many senders make an array of objects unless they are told otherwise. Log lines may begin with a
/// bracket, too.
fn is_json_array(body: &[u8]) -> bool {
    let after = body.trim_ascii_start().get(1..).unwrap_or_default().trim_ascii_start();
    after.first() == Some(&b'{') && body.trim_ascii_end().last() == Some(&b']')
}

fn response(status: StatusCode, words: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
    *response.status_mut() = status;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
