//! A strict receiver of OTLP on the loopback, which does what a test tells it to.
//!
//! It decodes with the types that OpenTelemetry publishes, gRPC is served by `tonic`, and whatever
//! is not as the specification has it is a panic.

use std::io::Read as _;
use std::sync::{Arc, Mutex};

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
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tonic::codec::CompressionEncoding;
use tonic_types::{ErrorDetails, StatusExt as _};

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Take,
    /// Takes all but so many of the last.
    TakeBut(usize),
    /// Takes all, and the connection ends before the answer.
    TakeAndVanish,
    Vanish,
    /// Never answers.
    Hang,
    /// A status of HTTP; what it corresponds to over gRPC.
    Status(u16),
    /// The same, and when to come again.
    StatusAfter(u16, u64),
    /// A page for people.
    Page,
}

type Script = Box<dyn FnMut(&[String]) -> Reply + Send>;

/// What has happened.
#[derive(Default)]
pub(super) struct Seen {
    /// User and id of each record that was taken, in order.
    pub(super) taken: Vec<(String, String)>,
    /// How many records each request had.
    pub(super) requests: Vec<usize>,
    /// The headers of the last request.
    pub(super) headers: hyper::HeaderMap,
    pub(super) connections: usize,
}

#[derive(Clone)]
pub(super) struct StandIn {
    pub(super) port: u16,
    seen: Arc<Mutex<Seen>>,
    script: Arc<Mutex<Script>>,
    /// Ends all connections.
    end: Arc<Notify>,
    json: bool,
}

impl StandIn {
    /// A receiver for `protocol`, over TLS with `acceptor`.
    pub(super) async fn start(
        protocol: &str,
        acceptor: Option<TlsAcceptor>,
        script: impl FnMut(&[String]) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let stand_in = Self {
            port: listener.local_addr().expect("an address").port(),
            seen: Arc::default(),
            script: Arc::new(Mutex::new(Box::new(script))),
            end: Arc::default(),
            json: protocol == "http/json",
        };
        let is_grpc = protocol == "grpc";
        let server = stand_in.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (server, acceptor) = (server.clone(), acceptor.clone());
                server.seen.lock().expect("sound").connections += 1;
                tokio::spawn(async move {
                    match acceptor {
                        None => server.serve(stream, is_grpc).await,
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            let spoken = stream.get_ref().1.alpn_protocol();
                            assert_eq!(is_grpc.then_some(&b"h2"[..]), spoken);
                            server.serve(stream, is_grpc).await;
                        }
                    }
                });
            }
        });
        stand_in
    }

    pub(super) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("sound")
    }

    /// Ends all connections that are open.
    pub(super) fn end_connections(&self) {
        self.end.notify_waiters();
    }

    async fn serve<S>(self, stream: S, is_grpc: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stream, end) = (TokioIo::new(stream), Arc::clone(&self.end));
        let served = async move {
            if is_grpc {
                let service = LogsServiceServer::new(self)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .max_decoding_message_size(4 << 20);
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                drop(server.serve_connection(stream, TowerToHyperService::new(service)).await);
            } else {
                let service = service_fn(move |request| {
                    let server = self.clone();
                    async move { server.over_http(request).await }
                });
                let server = hyper::server::conn::http1::Builder::new();
                drop(server.serve_connection(stream, service).await);
            }
        };
        tokio::select! {
            () = served => (),
            () = end.notified() => (),
        }
    }

    /// What becomes of a request; `None` is never an answer.
    async fn judge(&self, records: Vec<(String, String)>) -> Option<Reply> {
        assert!(!records.is_empty(), "an empty request");
        let users: Vec<String> = records.iter().map(|(user, _)| user.clone()).collect();
        let reply = (self.script.lock().expect("sound"))(&users);
        {
            let mut seen = self.seen();
            seen.requests.push(records.len());
            let taken = match reply {
                Reply::Take | Reply::TakeAndVanish => records.len(),
                Reply::TakeBut(rejected) => records.len() - rejected.min(records.len()),
                _ => 0,
            };
            seen.taken.extend(records.into_iter().take(taken));
        }
        match reply {
            Reply::Hang => std::future::pending().await,
            Reply::Vanish | Reply::TakeAndVanish => {
                self.end_connections();
                std::future::pending().await
            }
            reply => Some(reply),
        }
    }

    async fn over_http(
        self,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, std::convert::Infallible> {
        let (head, body) = request.into_parts();
        assert_eq!(("POST", "/v1/logs"), (head.method.as_str(), head.uri.path()));
        let form = if self.json { "application/json" } else { "application/x-protobuf" };
        assert_eq!(form, head.headers["content-type"]);
        let Ok(body) = body.collect().await else { return std::future::pending().await };
        let mut body = body.to_bytes().to_vec();
        match head.headers.get("content-encoding").map(|value| value.as_bytes()) {
            None => (),
            Some(b"gzip") => {
                let mut plain = Vec::new();
                let read = flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain);
                read.expect("gzip");
                body = plain;
            }
            other => panic!("packed as {other:?}"),
        }
        assert!(body.len() <= 4 << 20, "{} bytes", body.len());
        let records = match self.json {
            true => of_json(&body),
            false => of(&ExportLogsServiceRequest::decode(&*body).expect("a request")),
        };
        self.seen().headers = head.headers;
        let reply = self.judge(records).await.expect("an answer");
        let mut response = hyper::Response::builder();
        let body = match reply {
            Reply::Take if self.json => b"{}".to_vec(),
            Reply::TakeBut(rejected) if self.json => format!(
                "{{\"partialSuccess\":{{\"rejectedLogRecords\":\"{rejected}\",\"errorMessage\":\"x\"}}}}"
            )
            .into_bytes(),
            Reply::Take => ExportLogsServiceResponse::default().encode_to_vec(),
            Reply::TakeBut(rejected) => partial(rejected).encode_to_vec(),
            Reply::Status(status) => {
                response = response.status(status);
                Vec::new()
            }
            Reply::StatusAfter(status, seconds) => {
                response = response.status(status).header("retry-after", seconds);
                b"busy\x1b[2J".to_vec()
            }
            Reply::Page => b"<html>It works!</html>".to_vec(),
            Reply::Hang | Reply::Vanish | Reply::TakeAndVanish => unreachable!("no answer"),
        };
        Ok(response.body(Full::new(body.into())).expect("a response"))
    }
}

#[tonic::async_trait]
impl LogsService for StandIn {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        self.seen().headers = request.metadata().clone().into_headers();
        let reply = self.judge(of(request.get_ref())).await.expect("an answer");
        let (status, pause) = match reply {
            Reply::Take => return Ok(tonic::Response::new(ExportLogsServiceResponse::default())),
            Reply::TakeBut(rejected) => return Ok(tonic::Response::new(partial(rejected))),
            Reply::Status(status) => (status, None),
            Reply::StatusAfter(status, seconds) => (status, Some(seconds)),
            reply => unreachable!("{reply:?} is no answer of gRPC"),
        };
        let code = match status {
            400 => tonic::Code::InvalidArgument,
            401 => tonic::Code::Unauthenticated,
            404 => tonic::Code::Unimplemented,
            413 | 429 => tonic::Code::ResourceExhausted,
            500 => tonic::Code::Internal,
            503 => tonic::Code::Unavailable,
            status => panic!("{status} has no code"),
        };
        let words = "busy \u{e9}\n\u{1b}[2J";
        Err(match pause {
            None => tonic::Status::new(code, words),
            Some(seconds) => {
                let pause = std::time::Duration::from_secs(seconds);
                let details = ErrorDetails::with_retry_info(Some(pause));
                tonic::Status::with_error_details(code, words, details)
            }
        })
    }
}

fn partial(rejected: usize) -> ExportLogsServiceResponse {
    let partial = ExportLogsPartialSuccess {
        rejected_log_records: rejected as i64,
        error_message: "too old".to_owned(),
    };
    ExportLogsServiceResponse { partial_success: Some(partial) }
}

/// User (or rule) and id of each record.
fn of(request: &ExportLogsServiceRequest) -> Vec<(String, String)> {
    let scopes = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    let records = scopes.flat_map(|scope| &scope.log_records);
    let read = |record: &opentelemetry_proto::tonic::logs::v1::LogRecord, name: &str| {
        let attribute = record.attributes.iter().find(|attribute| attribute.key == name)?;
        match attribute.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => Some(text.clone()),
            _ => None,
        }
    };
    records
        .map(|record| {
            let id = read(record, "log.record.uid").expect("an id");
            (read(record, "user.name").unwrap_or_else(|| record.event_name.clone()), id)
        })
        .collect()
}

fn of_json(body: &[u8]) -> Vec<(String, String)> {
    let request: serde_json::Value = serde_json::from_slice(body).expect("JSON");
    let list = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    let logs = list(&request["resourceLogs"]);
    let scopes = logs.iter().flat_map(|logs| list(&logs["scopeLogs"]));
    let records: Vec<_> = scopes.flat_map(|scope| list(&scope["logRecords"])).collect();
    let read = |record: &serde_json::Value, name: &str| {
        let found = list(&record["attributes"]).into_iter().find(|pair| pair["key"] == name)?;
        found["value"]["stringValue"].as_str().map(str::to_owned)
    };
    records
        .iter()
        .map(|record| {
            let id = read(record, "log.record.uid").expect("an id");
            let name = || record["eventName"].as_str().expect("a name").to_owned();
            (read(record, "user.name").unwrap_or_else(name), id)
        })
        .collect()
}
