//! One call of gRPC: `LogsService/Export` over HTTP/2.
//!
//! The framing is written here, for it is five bytes and a few headers, and because a reaction
//! depends on who speaks: a status that the receiver sent may make records dead letters, one that a
//! library invents for a connection that broke must not.
//!
//! Invariant: a status comes from the receiver. Everything else is a [`SinkError`], after which
//! records are sent again. A call ends within its limit of time.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Method, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use rustls::AlertDescription;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answer::{Verdict, of_grpc, of_status};
use crate::sink::http::Url;
use crate::sink::tls::{Broken, TlsClient, TlsConfig, broken};
use crate::sink::{SinkError, network};
use crate::units::Period;

/// What is called.
const PATH: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Level of gzip: a third of the work of the default for a tenth more bytes.
const FAST: Compression = Compression::new(3);

/// Senders may leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Calls one receiver.
#[derive(Debug)]
pub(super) struct GrpcClient {
    url: Url,
    tls: tokio::sync::Mutex<TlsClient>,
    /// Connections that wait for a call.
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    /// For a call with its answer.
    limit: Period,
    compress: bool,
}

impl GrpcClient {
    /// A client of the receiver at `url`, for the sink of that name; connects when it is asked to.
    pub(super) fn new(
        url: &Url,
        tls: &TlsConfig,
        limit: Period,
        compress: bool,
        sink: &str,
    ) -> Self {
        let tls = TlsClient::new(tls, sink).speaking(b"h2");
        let (url, tls) = (url.clone(), tokio::sync::Mutex::new(tls));
        Self { url, tls, idle: Mutex::default(), limit, compress }
    }

    /// Where it sends to.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Hands a request over and waits for the whole answer.
    pub(super) async fn export(
        &self,
        headers: &HeaderMap,
        request: &[u8],
    ) -> Result<Verdict, SinkError> {
        let address = || self.url.to_string();
        let (action, limit) = ("answer a call", self.limit);
        match timeout(limit.duration(), self.call(headers, request)).await {
            Ok(answered) => answered,
            Err(_) => Err(SinkError::Timeout { address: address(), action, limit }),
        }
    }

    async fn call(&self, headers: &HeaderMap, request: &[u8]) -> Result<Verdict, SinkError> {
        let body = self.framed(request);
        let kept = self.kept();
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut sent = connection.send_request(self.made(headers, &body)?).await;
        if was_kept && sent.is_err() {
            // The receiver had closed it, or did so when it saw the call.
            connection = self.connect().await?;
            sent = connection.send_request(self.made(headers, &body)?).await;
        }
        let verdict = self.read(sent.map_err(|error| self.failed(&error))?).await?;
        self.lock().push(connection);
        Ok(verdict)
    }

    /// The message behind its five bytes: whether it is packed, and its length.
    fn framed(&self, request: &[u8]) -> Bytes {
        let mut framed = vec![0; 5];
        if self.compress {
            let mut packer = GzEncoder::new(framed, FAST);
            let written = packer.write_all(request).and_then(|()| packer.finish());
            framed = written.expect("memory takes all that is written to it");
            framed[0] = 1;
        } else {
            framed.extend_from_slice(request);
        }
        let length = u32::try_from(framed.len() - 5).expect("a request has a few MiB at most");
        framed[1..5].copy_from_slice(&length.to_be_bytes());
        framed.into()
    }

    fn made(
        &self,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<hyper::Request<Full<Bytes>>, SinkError> {
        let mut made = hyper::Request::new(Full::new(body.clone()));
        *made.method_mut() = Method::POST;
        *made.version_mut() = Version::HTTP_2;
        let scheme = if self.url.https { "https" } else { "http" };
        let uri =
            Uri::builder().scheme(scheme).authority(self.url.authority()).path_and_query(PATH);
        *made.uri_mut() = uri.build().map_err(|_| {
            let reason = io::Error::from(io::ErrorKind::InvalidInput);
            network("call", &self.url.to_string(), reason)
        })?;
        let own = made.headers_mut();
        *own = headers.clone();
        own.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        own.insert(TE, HeaderValue::from_static("trailers"));
        own.insert(USER_AGENT, HeaderValue::from_static(super::AGENT));
        if self.compress {
            let name = HeaderName::from_static("grpc-encoding");
            own.insert(name, HeaderValue::from_static("gzip"));
        }
        // At most eight digits.
        let limit = format!("{}m", self.limit.ms().min(99_999_999));
        if let Ok(limit) = HeaderValue::from_str(&limit) {
            own.insert(HeaderName::from_static("grpc-timeout"), limit);
        }
        Ok(made)
    }

    fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.lock();
        idle.retain(|connection| !connection.is_closed() && connection.is_ready());
        idle.pop()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SendRequest<Full<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, SinkError> {
        let failed = |source| network("connect to", &self.url.to_string(), source);
        let host = self.url.host.as_str();
        let stream = TcpStream::connect((host, self.url.port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        if !self.url.https {
            return self.serve(TokioIo::new(stream)).await;
        }
        // The receiver speaks first, so there is no waiting for its verdict here.
        let stream = self.tls.lock().await.handshake(host, stream).await;
        let stream = stream.map_err(|error| self.broken(error))?;
        self.serve(TokioIo::new(stream)).await
    }

    /// Lets hyper look after a connection until it ends or is given up.
    async fn serve<S>(&self, stream: S) -> Result<SendRequest<Full<Bytes>>, SinkError>
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let opened = http2::handshake(TokioExecutor::new(), stream).await;
        let (sender, connection) = opened.map_err(|error| self.failed(&error))?;
        tokio::spawn(async move {
            // Whoever waits for an answer on it learns of an error by itself.
            drop(connection.await);
        });
        Ok(sender)
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Verdict, SinkError> {
        let (head, mut incoming) = response.into_parts();
        if !head.status.is_success() {
            return Ok(of_status(head.status.as_u16(), head.status.to_string(), None));
        }
        let (mut body, mut trailers) = (Vec::new(), head.headers);
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| self.failed(&error))?;
            match frame.into_data() {
                Ok(data) if body.len() + data.len() <= ANSWER_BYTES_MAX => {
                    body.extend_from_slice(&data);
                }
                Ok(_) => return Err(self.strange("an answer of more than 4 MiB")),
                Err(frame) => {
                    let last = frame.into_trailers();
                    last.into_iter().for_each(|last| trailers.extend(last));
                }
            }
        }
        let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
        let code = text("grpc-status").and_then(|code| code.parse().ok());
        let Some(code) = code else {
            return Err(self.strange("an answer without a status"));
        };
        let message = percent_decode_str(text("grpc-message").unwrap_or("")).decode_utf8_lossy();
        let details = text("grpc-status-details-bin").and_then(|text| BASE64.decode(text).ok());
        // Packed answers were not asked for; what cannot be read was taken all the same.
        let body = body.get(5..).filter(|_| body[0] == 0).unwrap_or(b"");
        Ok(of_grpc(code, &message, &details.unwrap_or_default(), body))
    }

    fn strange(&self, answer: &str) -> SinkError {
        SinkError::Refused {
            address: self.url.to_string(),
            answer: answer.to_owned(),
            hint: "; check that `url` is that of a receiver of OTLP/gRPC",
            pause: None,
        }
    }

    fn broken(&self, error: Broken) -> SinkError {
        let address = self.url.to_string();
        match error {
            Broken::Tls(source) => SinkError::Tls { address, source },
            Broken::Network(source) => network("talk to", &address, source),
        }
    }

    /// An error of the connection. TLS 1.3 may tell only now that the receiver does not believe us,
    /// and of that HTTP/2 hands the words on only.
    fn failed(&self, error: &hyper::Error) -> SinkError {
        let source = std::error::Error::source(error);
        let words = source.map_or_else(|| error.to_string(), ToString::to_string);
        let alerts = VERDICTS.iter().map(|alert| rustls::Error::AlertReceived(*alert));
        match alerts.into_iter().find(|alert| words.contains(&alert.to_string())) {
            Some(alert) => self.broken(broken(io::Error::other(alert))),
            None => network("talk gRPC to", &self.url.to_string(), io::Error::other(words)),
        }
    }
}

/// What a receiver may think of our certificate.
const VERDICTS: [AlertDescription; 6] = [
    AlertDescription::CertificateRequired,
    AlertDescription::UnknownCA,
    AlertDescription::BadCertificate,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::AccessDenied,
];
