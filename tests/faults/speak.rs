//! What the receiver speaks: syslog over TCP and TLS, RELP, `_bulk`, and OTLP over HTTP and gRPC.
//!
//! Everything is parsed strictly; what is not as its specification has it is written down as wrong.
//! While the fault is [`Fault::Refusing`], each request is refused in one of the ways its protocol
//! has, or some of its events are. Events of which [`is_bad`] holds are those that are refused for
//! good; the others are put off.

use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message as _;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::io::{AsyncWriteExt as _, BufReader, DuplexStream};
use tokio_rustls::TlsAcceptor;
use tonic::codec::CompressionEncoding;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::receiver::{Fault, Shared};

/// How events travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Tcp,
    Tls,
    Relp,
    Bulk,
    OtlpHttp,
    OtlpGrpc,
}

/// An authority, what it signs, and what has expired.
pub(crate) struct Papers {
    pub(crate) authority: String,
    good: TlsAcceptor,
    expired: TlsAcceptor,
}

impl Papers {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("an authority").pem();
        let issuer = Issuer::new(params, key);
        let (good, expired) = (acceptor(&issuer, 4000), acceptor(&issuer, 2020));
        Self { authority, good, expired }
    }
}

/// Accepts with a certificate until the end of `year`.
fn acceptor(issuer: &Issuer<'_, KeyPair>, year: i32) -> TlsAcceptor {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("names");
    params.not_after = rcgen::date_time_ymd(year, 12, 31);
    let certificate = params.signed_by(&key, issuer).expect("signed");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
    TlsAcceptor::from(Arc::new(config.expect("a pair")))
}

/// An event that this receiver refuses for good while it refuses.
fn is_bad(id: &str) -> bool {
    id.bytes().map(u32::from).sum::<u32>() % 16 == 0
}

/// One event of a request.
pub(crate) struct Event {
    pub(crate) id: String,
    bytes: Vec<u8>,
}

/// What the receiver does with a request.
enum Reply {
    /// Takes it.
    Take,
    /// Takes it, and the connection ends before the answer.
    TakeAndVanish,
    /// A status of HTTP, and when to come again.
    Status(u16, Option<u64>),
    /// Some of it; what that means is up to the interface.
    Some,
}

/// Serves one connection, until either side ends it.
pub(crate) async fn speak(shared: Arc<Shared>, talk: usize, fault: Fault, stream: DuplexStream) {
    match shared.way {
        Way::Tcp => octets(&shared, talk, stream).await,
        Way::Tls => {
            let papers = shared.papers.as_ref().expect("there are papers for TLS");
            let papers = if fault == Fault::Expired { &papers.expired } else { &papers.good };
            // A handshake that comes to nothing is part of the tests.
            if let Ok(stream) = papers.clone().accept(stream).await {
                octets(&shared, talk, stream).await;
            }
        }
        Way::Relp => relp(&shared, talk, stream).await,
        Way::Bulk | Way::OtlpHttp => {
            let service = service_fn(move |request| over_http(Arc::clone(&shared), talk, request));
            let server = hyper::server::conn::http1::Builder::new();
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        }
        Way::OtlpGrpc => {
            let service = LogsServiceServer::new(Collector { shared, talk })
                .accept_compressed(CompressionEncoding::Gzip);
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(service);
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        }
    }
}

/// Syslog with counted octets (RFC 6587, 5425).
async fn octets<S: AsyncRead + AsyncWrite + Unpin>(shared: &Shared, talk: usize, stream: S) {
    if shared.fault() == Fault::Refusing {
        return;
    }
    let mut stream = BufReader::with_capacity(1024, stream);
    while let Some(message) = counted(shared, &mut stream).await {
        take_message(shared, talk, &message);
    }
}

/// The next message behind its length; nothing at the end of the stream, whole or not.
async fn counted(shared: &Shared, stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let length = word(stream, b' ').await?;
    let Ok(length) = length.parse() else {
        shared.book().wrong.push(format!("`{length}` is no length"));
        return None;
    };
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

/// The text up to `end`, and over it.
async fn word(stream: &mut (impl AsyncBufRead + Unpin), end: u8) -> Option<String> {
    let mut word = Vec::new();
    stream.read_until(end, &mut word).await.ok()?;
    (word.pop() == Some(end)).then(|| String::from_utf8_lossy(&word).into_owned())
}

/// Takes one message of RFC 5424.
fn take_message(shared: &Shared, talk: usize, message: &[u8]) {
    match event_of(message) {
        Some(event) => {
            shared.see(talk, &event.id, message.len());
            shared.book().take(&event.id, &event.bytes);
        }
        None => {
            let text = String::from_utf8_lossy(message).into_owned();
            shared.book().wrong.push(format!("no message: {text:?}"));
        }
    }
}

/// The event in a message. Its header names the process, which is another one after each start:
/// that part is left out of what has to be the same.
pub(crate) fn event_of(message: &[u8]) -> Option<Event> {
    let text = std::str::from_utf8(message).ok()?;
    let mut parts: Vec<&str> = text.splitn(8, ' ').collect();
    let [_, _, _, "gatewatch", process, _, "-", body] = parts[..] else { return None };
    process.parse::<u32>().ok()?;
    parts[4] = "-";
    let event: Value = serde_json::from_str(body).ok()?;
    let id = event["event"]["id"].as_str()?.to_owned();
    Some(Event { id, bytes: parts.join(" ").into_bytes() })
}

async fn relp<S: AsyncRead + AsyncWrite + Unpin>(shared: &Shared, talk: usize, stream: S) {
    let mut stream = BufReader::with_capacity(1024, stream);
    while let Some((number, command, data)) = relp_frame(&mut stream).await {
        let refuses = shared.fault() == Fault::Refusing && shared.between(0, 9) == 0;
        let answer = match command.as_str() {
            "open" => "200 OK\nrelp_version=0\ncommands=syslog",
            "syslog" if refuses => {
                if let Some(event) = event_of(&data) {
                    shared.book().refused.insert(event.id);
                }
                "500 no room"
            }
            "syslog" => {
                take_message(shared, talk, &data);
                "200 OK"
            }
            "close" => return,
            _ => return shared.book().wrong.push(format!("no command of RELP: {command}")),
        };
        let answer = format!("{number} rsp {} {answer}\n", answer.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// `TXNR SP COMMAND SP DATALEN [SP DATA] LF`.
async fn relp_frame(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<(String, String, Vec<u8>)> {
    let (number, command) = (word(stream, b' ').await?, word(stream, b' ').await?);
    let mut length = Vec::new();
    loop {
        match stream.read_u8().await.ok()? {
            b'\n' => return Some((number, command, Vec::new())),
            b' ' => break,
            digit => length.push(digit),
        }
    }
    let mut data = vec![0; String::from_utf8(length).ok()?.parse().ok()?];
    stream.read_exact(&mut data).await.ok()?;
    (stream.read_u8().await.ok()? == b'\n').then_some((number, command, data))
}

/// What becomes of a request with these events. They are seen; nothing is taken yet.
fn judge(shared: &Shared, talk: usize, events: &[Event]) -> Reply {
    if events.is_empty() {
        shared.book().wrong.push("an empty request".to_owned());
    }
    for event in events {
        shared.see(talk, &event.id, event.bytes.len());
    }
    match shared.fault() {
        Fault::Refusing => (),
        Fault::Busy => return Reply::Status(503, None),
        _ => return Reply::Take,
    }
    let has_bad = events.iter().any(|event| is_bad(&event.id));
    match shared.between(0, 15) {
        0 => Reply::Status(429, Some(0)),
        1 => Reply::Status(429, Some(1)),
        2 => Reply::Status(503, Some(0)),
        3 => Reply::Status(503, None),
        4 => Reply::Status(500, None),
        5 if 1 < events.len() => Reply::Status(413, None),
        6..=8 if has_bad => Reply::Status(400, None),
        9 => Reply::TakeAndVanish,
        10..=13 => Reply::Some,
        14 if shared.between(0, 9) == 0 => Reply::Status(403, None),
        _ => Reply::Take,
    }
}

/// A request with this status was refused: for good if it had one event, and where the receiver may
/// only be broken for the moment, if that was not the first time.
fn note_refusal(shared: &Shared, status: u16, events: &[Event]) {
    let [event] = events else { return };
    let mut book = shared.book();
    if status == 400 || (status == 500 && !book.broken.insert(event.id.clone())) {
        book.refused.insert(event.id.clone());
    }
}

fn take(shared: &Shared, events: &[Event]) {
    let mut book = shared.book();
    events.iter().for_each(|event| book.take(&event.id, &event.bytes));
}

/// Why a connection ends without an answer.
#[derive(Debug)]
struct Vanished;

impl std::fmt::Display for Vanished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("vanished")
    }
}

impl std::error::Error for Vanished {}

async fn over_http(
    shared: Arc<Shared>,
    talk: usize,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Vanished> {
    let is_bulk = shared.way == Way::Bulk;
    let path = if is_bulk { "/_bulk" } else { "/v1/logs" };
    if request.uri().path() != path {
        shared.book().wrong.push(format!("asks for {}", request.uri()));
    }
    let is_packed = request.headers().contains_key("content-encoding");
    let body = request.into_body().collect().await.map_err(|_| Vanished)?.to_bytes();
    let mut plain = Vec::new();
    match is_packed {
        true => drop(flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).expect("gzip")),
        false => plain.extend_from_slice(&body),
    }
    let events = match is_bulk {
        true => of_bulk(&plain),
        false => of_otlp(&ExportLogsServiceRequest::decode(&*plain).expect("a request")),
    };
    let mut response = hyper::Response::builder();
    let body = match judge(&shared, talk, &events) {
        Reply::Take if is_bulk => bulk_answer(&shared, &events, false),
        Reply::Some if is_bulk => bulk_answer(&shared, &events, true),
        Reply::Take => {
            take(&shared, &events);
            Vec::new()
        }
        Reply::Some => partial(&shared, &events).encode_to_vec(),
        Reply::TakeAndVanish => {
            take(&shared, &events);
            return Err(Vanished);
        }
        Reply::Status(status, pause) => {
            note_refusal(&shared, status, &events);
            response = response.status(status);
            if let Some(pause) = pause {
                response = response.header("retry-after", pause);
            }
            b"{\"error\":\"a fault of this test\"}".to_vec()
        }
    };
    Ok(response.body(Full::new(body.into())).expect("a response"))
}

/// The documents of a `_bulk`, each with its action.
fn of_bulk(body: &[u8]) -> Vec<Event> {
    let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
    let event = |pair: &[&[u8]]| {
        let action: Value = serde_json::from_slice(pair[0]).expect("an action");
        let document: Value = serde_json::from_slice(pair[1]).expect("a document");
        let id = action["create"]["_id"].as_str().expect("an id").to_owned();
        assert_eq!(document["event"]["id"], *id);
        Event { id, bytes: pair.concat() }
    };
    lines.chunks(2).map(event).collect()
}

/// What became of each; where `refuses`, bad ones are refused and some others put off.
fn bulk_answer(shared: &Shared, events: &[Event], refuses: bool) -> Vec<u8> {
    let item = |event: &Event| {
        let error = |kind: &str| json!({"type": kind, "reason": "a fault of this test"});
        let (status, error) = if refuses && is_bad(&event.id) {
            shared.book().refused.insert(event.id.clone());
            (400, error("document_parsing_exception"))
        } else if refuses && shared.between(0, 3) == 0 {
            (429, error("es_rejected_execution_exception"))
        } else {
            let is_there = shared.book().taken.contains_key(&event.id);
            shared.book().take(&event.id, &event.bytes);
            match is_there {
                true => (409, error("version_conflict_engine_exception")),
                false => (201, Value::Null),
            }
        };
        match error {
            Value::Null => json!({"create": {"status": status}}),
            error => json!({"create": {"status": status, "error": error}}),
        }
    };
    let items: Vec<Value> = events.iter().map(item).collect();
    json!({"errors": refuses, "items": items}).to_string().into_bytes()
}

/// The records of a request of OTLP.
fn of_otlp(request: &ExportLogsServiceRequest) -> Vec<Event> {
    let scopes = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    let records = scopes.flat_map(|scope| &scope.log_records);
    let event = |record: &opentelemetry_proto::tonic::logs::v1::LogRecord| {
        let id = record.attributes.iter().find(|pair| pair.key == "log.record.uid");
        let id = id.and_then(|id| id.value.as_ref()?.value.as_ref());
        let Some(Any::StringValue(id)) = id else { panic!("no id: {record:?}") };
        Event { id: id.clone(), bytes: record.encode_to_vec() }
    };
    records.map(event).collect()
}

/// Takes all but the last, and does not say which.
fn partial(shared: &Shared, events: &[Event]) -> ExportLogsServiceResponse {
    let (last, others) = events.split_last().expect("a request has events");
    take(shared, others);
    shared.book().unnamed.insert(last.id.clone());
    let partial = ExportLogsPartialSuccess {
        rejected_log_records: 1,
        error_message: "a fault of this test".to_owned(),
    };
    ExportLogsServiceResponse { partial_success: Some(partial) }
}

struct Collector {
    shared: Arc<Shared>,
    talk: usize,
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        let events = of_otlp(request.get_ref());
        let taken = |response| Ok(tonic::Response::new(response));
        let (status, pause) = match judge(&self.shared, self.talk, &events) {
            Reply::Take => {
                take(&self.shared, &events);
                return taken(ExportLogsServiceResponse::default());
            }
            Reply::Some => return taken(partial(&self.shared, &events)),
            Reply::TakeAndVanish => {
                take(&self.shared, &events);
                return Err(tonic::Status::cancelled("a fault of this test"));
            }
            Reply::Status(status, pause) => (status, pause),
        };
        note_refusal(&self.shared, status, &events);
        let code = match status {
            400 => tonic::Code::InvalidArgument,
            403 => tonic::Code::PermissionDenied,
            413 | 429 => tonic::Code::ResourceExhausted,
            500 => tonic::Code::Internal,
            _ => tonic::Code::Unavailable,
        };
        let words = "a fault of this test";
        Err(match pause {
            None => tonic::Status::new(code, words),
            Some(seconds) => {
                let pause = Some(std::time::Duration::from_secs(seconds));
                let details = ErrorDetails::with_retry_info(pause);
                tonic::Status::with_error_details(code, words, details)
            }
        })
    }
}
