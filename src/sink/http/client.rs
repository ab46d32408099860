//! One HTTP/1.1 client for all sinks and alert channels that speak it.
//!
//! A connection serves one request at a time and is kept for the next one; requests at the same
//! time have connections of their own. A connection that the receiver had closed meanwhile is
//! replaced once, which is safe: whatever a sink sends twice is recognised or marked as the same.
//!
//! Invariant: each request ends within its limit of time, and no more of an answer is held than
//! [`ANSWER_BYTES_MAX`], whatever the receiver does. Redirects are not followed: a token goes to
//! the configured receiver only.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, USER_AGENT,
};
use hyper::rt::{Read, Write};
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::url::Url;
use crate::escape::visible;
use crate::sink::SinkError;
use crate::sink::tls::{Broken, TlsClient, TlsConfig};
use crate::units::{Period, Timestamp};

/// How long a receiver may take to accept a connection, with all of a TLS handshake.
const CONNECT_LIMIT: Period = Period::from_secs(10);

/// How long a connection may take after an answer until it takes the next request.
const READY_LIMIT: Period = Period(50);

/// Bytes of an answer that are read; a longer one is an error.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Characters of an answer that are shown to people.
const ANSWER_WORDS_MAX: usize = 300;

/// A shorter body is not worth the work.
const COMPRESS_FROM: usize = 1024;

/// Bytes of a file with a token or a password.
const SECRET_BYTES_MAX: u64 = 16 << 10;

/// How the receiver knows us.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Credentials {
    /// It does not.
    #[default]
    None,
    /// A word and what the file holds: `Authorization: Bearer …`.
    Token { scheme: &'static str, file: PathBuf },
    /// A name, and the password that the file holds.
    Password { username: String, file: PathBuf },
}

impl Credentials {
    /// The header; the file is read each time, so that a new token needs no restart.
    pub(crate) fn header(&self) -> Result<Option<HeaderValue>, SinkError> {
        let (text, file) = match self {
            Self::None => return Ok(None),
            Self::Token { scheme, file } => (format!("{scheme} {}", secret(file)?), file),
            Self::Password { username, file } => {
                let pair = BASE64_STANDARD.encode(format!("{username}:{}", secret(file)?));
                (format!("Basic {pair}"), file)
            }
        };
        let not_one_line = io::Error::new(io::ErrorKind::InvalidData, "it is not one line of text");
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| SinkError::file("use the secret in", file, not_one_line))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// What a file holds without the line break at its end.
pub(crate) fn secret(file: &Path) -> Result<String, SinkError> {
    let read = || {
        let size = fs::metadata(file)?.len();
        if SECRET_BYTES_MAX < size {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long for a secret"));
        }
        let text = fs::read_to_string(file)?;
        match text.trim() {
            "" => Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty")),
            text => Ok(text.to_owned()),
        }
    };
    read().map_err(|source| SinkError::file("read", file, source))
}

/// What is asked of a receiver.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// A request to `path` with a body of that type.
    pub(crate) fn new(path: String, content_type: &'static str, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { method: Method::POST, path, headers, body: body.into() }
    }

    /// A request to be shown what is at `path`.
    pub(crate) fn get(path: String) -> Self {
        Self { method: Method::GET, path, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// The same with a header; a value that none can have is left out.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// The same with its body packed by gzip, where that is worth the work.
    #[must_use]
    pub(crate) fn packed(mut self, wanted: bool) -> Self {
        if !wanted || self.body.len() < COMPRESS_FROM {
            return self;
        }
        let mut packer = GzEncoder::new(Vec::with_capacity(self.body.len() / 8), FAST);
        let written = packer.write_all(&self.body).and_then(|()| packer.finish());
        if let Ok(packed) = written {
            self.body = packed.into();
            self.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        self
    }
}

/// A third of the work of the default for a tenth more bytes.
const FAST: Compression = Compression::new(3);

/// What a receiver said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// How long it wants to be left alone.
    pub(crate) pause: Option<Period>,
}

impl Answer {
    /// The beginning of it for people, made safe to print.
    pub(crate) fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(ANSWER_WORDS_MAX * 4)]);
        let text: String = text.trim().chars().take(ANSWER_WORDS_MAX).collect();
        match text.is_empty() {
            true => self.status.to_string(),
            false => format!("{}: {}", self.status, visible(&text)),
        }
    }
}

/// Talks to one receiver.
#[derive(Debug)]
pub(crate) struct HttpClient {
    url: Url,
    credentials: Credentials,
    tls: tokio::sync::Mutex<TlsClient>,
    /// Connections that wait for a request.
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    /// For a request with its answer.
    limit: Period,
}

impl HttpClient {
    /// A client of the receiver at `url`, for the sink of that name; connects when it is asked to.
    pub(crate) fn new(
        url: &Url,
        credentials: Credentials,
        tls: &TlsConfig,
        limit: Period,
        sink: &str,
    ) -> Self {
        if credentials != Credentials::None && !url.https && !url.is_loopback() {
            tracing::warn!(sink, "http:// shows the token or password to everybody on the way");
        }
        Self {
            url: url.clone(),
            credentials,
            tls: tokio::sync::Mutex::new(TlsClient::new(tls, sink)),
            idle: Mutex::default(),
            limit,
        }
    }

    /// Where it sends to.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Sends `request` and waits for the whole answer.
    pub(crate) async fn post(&self, request: Request, now: Timestamp) -> Result<Answer, SinkError> {
        match timeout(self.limit.duration(), self.exchange(request, now)).await {
            Ok(answered) => answered,
            Err(_) => Err(self.late("answer a request", self.limit)),
        }
    }

    async fn exchange(&self, request: Request, now: Timestamp) -> Result<Answer, SinkError> {
        let authorization = self.credentials.header()?;
        let kept = self.kept();
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut sent = connection.send_request(self.made(&request, authorization.as_ref())?).await;
        if was_kept && sent.is_err() {
            // The receiver had closed it, or did so when it saw the request.
            connection = self.connect().await?;
            sent = connection.send_request(self.made(&request, authorization.as_ref())?).await;
        }
        let response = sent.map_err(|error| self.failed(&error))?;
        let answer = self.read(response, now).await?;
        // One that answered before it had read all of the request may never be ready again.
        if let Ok(Ok(())) = timeout(READY_LIMIT.duration(), connection.ready()).await {
            self.lock().push(connection);
        }
        if answer.status == StatusCode::BAD_REQUEST && !self.url.https && says_https(&answer.body) {
            let minute = Some(Period::from_secs(60));
            return Err(self.refused(&answer, "; write https:// in `url`", minute));
        }
        Ok(answer)
    }

    fn made(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
    ) -> Result<hyper::Request<Full<Bytes>>, SinkError> {
        let mut made = hyper::Request::new(Full::new(request.body.clone()));
        *made.method_mut() = request.method.clone();
        *made.uri_mut() = request.path.parse().map_err(|_| SinkError::Refused {
            address: self.url.to_string(),
            answer: format!("`{}` is no path", visible(&request.path)),
            hint: "; correct `url`",
            pause: None,
        })?;
        let headers = made.headers_mut();
        *headers = request.headers.clone();
        if let Ok(host) = HeaderValue::from_str(&self.url.authority()) {
            headers.insert(HOST, host);
        }
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
        headers.extend(authorization.map(|value| (AUTHORIZATION, value.clone())));
        Ok(made)
    }

    /// A connection that is open, as far as is known.
    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.lock();
        idle.retain(|connection| !connection.is_closed());
        idle.pop().filter(SendRequest::is_ready)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, SinkError> {
        match timeout(CONNECT_LIMIT.duration(), self.try_connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(self.late("accept a connection", CONNECT_LIMIT)),
        }
    }

    async fn try_connect(&self) -> Result<SendRequest<Full<Bytes>>, SinkError> {
        let failed = |source| self.network("connect to", source);
        let host = self.url.host.as_str();
        let stream = TcpStream::connect((host, self.url.port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        if !self.url.https {
            return self.serve(TokioIo::new(stream)).await;
        }
        let stream = self.tls.lock().await.connect(host, stream).await;
        let stream = stream.map_err(|error| match error {
            Broken::Tls(source) => SinkError::Tls { address: self.url.to_string(), source },
            Broken::Network(source) => failed(source),
        })?;
        self.serve(TokioIo::new(stream)).await
    }

    /// Lets hyper look after a connection until it ends or is given up.
    async fn serve<S>(&self, stream: S) -> Result<SendRequest<Full<Bytes>>, SinkError>
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let opened = http1::handshake(stream).await;
        let (sender, connection) = opened.map_err(|error| self.failed(&error))?;
        tokio::spawn(async move {
            // Whoever waits for an answer on it learns of an error by itself.
            drop(connection.await);
        });
        Ok(sender)
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        now: Timestamp,
    ) -> Result<Answer, SinkError> {
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| self.failed(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            if ANSWER_BYTES_MAX < body.len() + data.len() {
                return Err(SinkError::Refused {
                    address: self.url.to_string(),
                    answer: format!("{} with more than {ANSWER_BYTES_MAX} bytes", head.status),
                    hint: "; check that `url` is that of its interface for events",
                    pause: None,
                });
            }
            body.extend_from_slice(data);
        }
        let pause = head.headers.get(RETRY_AFTER).and_then(|value| pause(value, now));
        Ok(Answer { status: head.status, body: body.into(), pause })
    }

    /// The error that `answer` is, with what to do about it.
    pub(crate) fn refused(
        &self,
        answer: &Answer,
        hint: &'static str,
        pause: Option<Period>,
    ) -> SinkError {
        SinkError::Refused { address: self.url.to_string(), answer: answer.words(), hint, pause }
    }

    /// The error that waiting too long is.
    pub(crate) fn late(&self, action: &'static str, limit: Period) -> SinkError {
        SinkError::Timeout { address: self.url.to_string(), action, limit }
    }

    fn network(&self, action: &'static str, source: io::Error) -> SinkError {
        SinkError::Network { action, address: self.url.to_string(), source }
    }

    fn failed(&self, error: &hyper::Error) -> SinkError {
        let address = self.url.to_string();
        if error.is_parse() {
            let answer = format!("what it says is not HTTP ({error})");
            let hint = "; check the port in `url`, and whether it is http:// or https://";
            return SinkError::Refused { address, answer, hint, pause: None };
        }
        let source = std::error::Error::source(error);
        match source.and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(source) => {
                self.network("talk to", io::Error::new(source.kind(), source.to_string()))
            }
            None => SinkError::Closed { address },
        }
    }
}

/// Servers with TLS that are asked without it say so, in these words among others.
fn says_https(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&body[..body.len().min(1024)]);
    text.contains("HTTPS server") || text.contains("HTTPS port") || text.contains("speaking plain")
}

/// `Retry-After`: seconds or a date.
fn pause(value: &HeaderValue, now: Timestamp) -> Option<Period> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Period::from_secs(u64::from(seconds)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_secs(since.as_secs()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let now = Timestamp::from_secs(1_795_161_600);
        let check = |text: &str, expected: Option<u64>| {
            let value = HeaderValue::from_str(text).expect("a header");
            assert_eq!(expected.map(Period::from_secs), pause(&value, now), "{text}");
        };
        check("7", Some(7));
        check("Fri, 20 Nov 2026 08:01:00 GMT", Some(60));
        check("Fri, 20 Nov 2026 07:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
        check("99999999999", None);
    }

    #[test]
    fn a_secret_is_one_line_of_a_small_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("token");
        let check = |content: &[u8], expected: Result<&str, &str>| {
            fs::write(&file, content).expect("written");
            let credentials = Credentials::Token { scheme: "Bearer", file: file.clone() };
            match (credentials.header(), expected) {
                (Ok(header), Ok(expected)) => assert_eq!(expected, header.expect("a header")),
                (Err(error), Err(expected)) => {
                    let words = error.words();
                    assert!(words.contains(expected) && words.contains("token"), "{words}");
                }
                (other, _) => panic!("{other:?}"),
            }
        };
        check(b"abc\n", Ok("Bearer abc"));
        check(b"\n", Err("it is empty"));
        check(b"a\nb", Err("it is not one line of text"));
        check(&[b'a'; 20_000], Err("too long for a secret"));
        let missing = secret(Path::new("nowhere/token")).expect_err("no file").words();
        assert!(missing.starts_with("cannot read nowhere/token: "), "{missing}");
        fs::write(&file, "secret").expect("written");
        let basic = Credentials::Password { username: "me".to_owned(), file };
        assert_eq!("Basic bWU6c2VjcmV0", basic.header().expect("it").expect("a header"));
    }

    #[test]
    fn an_answer_is_shown_in_one_safe_line() {
        let body = Bytes::from(format!(" bad \u{1b}[31m\n{}", "x".repeat(9999)));
        let answer = Answer { status: StatusCode::BAD_REQUEST, body, pause: None };
        let words = answer.words();
        assert!(words.starts_with("400 Bad Request: bad \\x1B[31m\\nxxx"), "{words}");
        assert!(words.len() < 400);
    }
}
