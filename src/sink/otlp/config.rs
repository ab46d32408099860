//! Settings of the OTLP sink, and what the standard variables of OpenTelemetry add to them.
//!
//! What stands in the configuration wins over any variable.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fmt, fs, io};

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::sink::http::Url;
use crate::sink::http::client::Credentials;
use crate::sink::{OnClientError, SinkComplaint, SinkConfig, SinkError, SinkKind, TlsConfig};
use crate::units::{ByteSize, Period};

/// Requests at the same time: more than this helps no receiver.
const IN_FLIGHT_MAX: u32 = 16;

/// Records of a request at most.
const RECORDS_MAX: u32 = 10_000;

/// The largest request before it is packed: many receivers of gRPC take no more.
const REQUEST_BYTES: (u64, u64) = (64 << 10, 4 << 20);

/// Headers that the protocol itself sets.
const TAKEN: [&str; 10] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "grpc-encoding",
    "grpc-timeout",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];

/// How requests travel.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum Protocol {
    /// OTLP/HTTP with protobuf.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
    /// OTLP/HTTP with JSON.
    #[serde(rename = "http/json")]
    HttpJson,
    /// OTLP/gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// Headers that may hold a token: their values are never shown.
#[derive(Clone, Default, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub struct Headers(BTreeMap<String, String>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Headers {
    /// The headers of a file: `Name: value` a line, lines with `#` are notes.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut headers = BTreeMap::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                // What stands there may be a token.
                return Err(format!("line {} is not `Name: value`", index + 1));
            };
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
        Ok(Self(headers))
    }

    /// As HTTP has them. An error names the header, never its value.
    pub(super) fn map(&self) -> Result<HeaderMap, String> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.0 {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("`{name}` is not the name of a header"))?;
            if TAKEN.contains(&header.as_str()) {
                return Err(format!("`{name}` is set by gatewatch; leave it out"));
            }
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| format!("the value of `{name}` is not one line of plain text"))?;
            value.set_sensitive(true);
            map.insert(header, value);
        }
        Ok(map)
    }
}

/// `[[sink]]` with `type = "otlp"`: log records of OpenTelemetry.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// Receiver: `https://host:port`; over HTTP `/v1/logs` is added where it is not there.
    ///
    /// By default what `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` says,
    /// else this machine: port 4318 over HTTP, 4317 with gRPC. Without an address here
    /// `OTEL_SDK_DISABLED=true` switches the sink off, and what waits for it is let go.
    pub url: Option<Url>,

    /// How requests travel: `http/protobuf`, `http/json` or `grpc`.
    pub protocol: Option<Protocol>,

    /// Pack requests by gzip. It is done unless `OTEL_EXPORTER_OTLP_COMPRESSION` says `none`.
    pub compress: Option<bool>,

    /// Headers of each request, such as a token; `headers_file` keeps that out of this file.
    pub headers: Headers,

    /// File with more headers, `Name: value` a line; read again for each turn.
    pub headers_file: Option<PathBuf>,

    /// File with a token on one line, sent as `Authorization: Bearer …`.
    pub token_file: Option<PathBuf>,

    /// Name for a password, instead of a token.
    pub username: Option<String>,

    /// File with the password on one line.
    pub password_file: Option<PathBuf>,

    /// How long a request may take, with its answer.
    pub timeout: Option<Period>,

    /// Records of a request at most.
    pub max_records: u32,

    /// Bytes of a request before it is packed.
    pub max_request: ByteSize,

    /// Requests at the same time, at most 16. With 1 the receiver gets records in their order.
    pub in_flight: u32,

    /// What to do on 401, 403, 404 and the like: `hold` or `drop`.
    pub on_client_error: OnClientError,

    /// Attributes of each resource, such as `{ "deployment.environment.name" = "production" }`.
    pub resource: BTreeMap<String, String>,

    /// Whom to believe, and who we are, on `https://`.
    pub tls: TlsConfig,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            url: None,
            protocol: None,
            compress: None,
            headers: Headers::default(),
            headers_file: None,
            token_file: None,
            username: None,
            password_file: None,
            timeout: None,
            max_records: 512,
            max_request: ByteSize(1 << 20),
            in_flight: 2,
            on_client_error: OnClientError::Hold,
            resource: BTreeMap::new(),
            tls: TlsConfig::default(),
        }
    }
}

impl OtlpConfig {
    /// How the receiver knows us, beside what headers say.
    fn credentials(&self) -> Credentials {
        match (&self.token_file, &self.username, &self.password_file) {
            (Some(file), ..) => Credentials::Token { scheme: "Bearer", file: file.clone() },
            (None, Some(username), Some(file)) => {
                Credentials::Password { username: username.clone(), file: file.clone() }
            }
            _ => Credentials::None,
        }
    }

    /// What is wrong with settings that are each sound.
    pub(in crate::sink) fn complaint(&self) -> Option<SinkComplaint> {
        let found = |key: &str, reason: String| Some(SinkComplaint { key: key.to_owned(), reason });
        if self.url.as_ref().is_some_and(|url| !url.https) && self.tls != TlsConfig::default() {
            return found("tls", "it is used with https:// only".to_owned());
        }
        if let Some((key, reason)) = self.tls.complaint() {
            return found(&format!("tls.{key}"), reason.to_owned());
        }
        if let Err(reason) = self.headers.map() {
            return found("headers", reason);
        }
        if self.username.is_some() != self.password_file.is_some() {
            let reason = "a name needs its password; write `password_file`, too";
            return found("username", reason.to_owned());
        }
        if self.username.is_some() && self.token_file.is_some() {
            let reason = "a token or a password, not both; leave one out";
            return found("token_file", reason.to_owned());
        }
        if self.username.as_ref().is_some_and(|name| name.contains(':')) {
            return found("username", "it has a colon, which HTTP does not allow".to_owned());
        }
        if self.in_flight == 0 || IN_FLIGHT_MAX < self.in_flight {
            return found("in_flight", format!("write a number from 1 to {IN_FLIGHT_MAX}"));
        }
        if self.max_records == 0 || RECORDS_MAX < self.max_records {
            return found("max_records", format!("write a number from 1 to {RECORDS_MAX}"));
        }
        let (least, most) = REQUEST_BYTES;
        if !(least..=most).contains(&self.max_request.0) {
            let (least, most) = (ByteSize(least), ByteSize(most));
            return found("max_request", format!("write a size from {least} to {most}"));
        }
        if self.timeout.is_some_and(|timeout| timeout.ms() == 0) {
            return found("timeout", "no receiver answers in no time; write `10s`".to_owned());
        }
        None
    }
}

/// What the standard variables of OpenTelemetry say about sending logs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OtelVariables {
    /// Nothing shall be sent.
    disabled: bool,
    /// The address, and whether the path of the interface is still to be added.
    url: Option<(Url, bool)>,
    headers: Headers,
    timeout: Option<Period>,
    protocol: Option<Protocol>,
    compress: Option<bool>,
    tls: TlsConfig,
    resource: BTreeMap<String, String>,
}

impl OtelVariables {
    /// Reads them from where `get` finds them. One that makes no sense is told and passed over, as
    /// the specification asks.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        // What is said about logs wins over what is said about everything.
        let either = |name: &str| {
            let names = ["OTEL_EXPORTER_OTLP_LOGS_", "OTEL_EXPORTER_OTLP_"];
            names.iter().find_map(|prefix| {
                let name = format!("{prefix}{name}");
                get(&name).map(|value| (name, value))
            })
        };
        let file = |name: &str| either(name).map(|(_, path)| PathBuf::from(path));
        let insecure = either("INSECURE").is_some_and(|(_, text)| text == "true");
        let mut resource = BTreeMap::new();
        if let Some(text) = get("OTEL_RESOURCE_ATTRIBUTES") {
            resource = understood("OTEL_RESOURCE_ATTRIBUTES", pairs(&text)).unwrap_or_default();
        }
        if let Some(name) = get("OTEL_SERVICE_NAME") {
            resource.insert("service.name".to_owned(), name);
        }
        Self {
            disabled: get("OTEL_SDK_DISABLED").is_some_and(|text| {
                // Only this word is true; others are told, because somebody meant something by them.
                let is_true = text.trim().eq_ignore_ascii_case("true");
                let is_word = is_true || text.trim().eq_ignore_ascii_case("false");
                let word = is_word.then_some(is_true).ok_or("it is neither true nor false");
                understood("OTEL_SDK_DISABLED", word).unwrap_or_default()
            }),
            url: either("ENDPOINT").and_then(|(name, text)| {
                let url = understood(&name, endpoint(&text, insecure))?;
                Some((url, !name.contains("_LOGS_")))
            }),
            headers: either("HEADERS")
                .and_then(|(name, text)| {
                    let headers = Headers(understood(&name, pairs(&text))?);
                    understood(&name, headers.map())?;
                    Some(headers)
                })
                .unwrap_or_default(),
            timeout: either("TIMEOUT").and_then(|(name, text)| {
                let ms = text.trim().parse().ok().filter(|ms| *ms != 0);
                understood(&name, ms.ok_or("it is not a number of milliseconds")).map(Period)
            }),
            protocol: either("PROTOCOL").and_then(|(name, text)| {
                let protocol = match text.trim() {
                    "http/protobuf" => Ok(Protocol::HttpProtobuf),
                    "http/json" => Ok(Protocol::HttpJson),
                    "grpc" => Ok(Protocol::Grpc),
                    _ => Err("it is none of http/protobuf, http/json and grpc"),
                };
                understood(&name, protocol)
            }),
            compress: either("COMPRESSION").and_then(|(name, text)| {
                let compress = match text.trim() {
                    "gzip" => Ok(true),
                    "none" => Ok(false),
                    _ => Err("it is neither gzip nor none"),
                };
                understood(&name, compress)
            }),
            tls: TlsConfig {
                ca_file: file("CERTIFICATE"),
                cert_file: file("CLIENT_CERTIFICATE"),
                key_file: file("CLIENT_KEY"),
                ..TlsConfig::default()
            },
            resource,
        }
    }
}

impl OtelVariables {
    /// `OTEL_SDK_DISABLED` switches `sink` off: one whose receiver the variables name, not the
    /// configuration, which wins over them.
    pub fn disables(&self, sink: &SinkConfig) -> bool {
        self.disabled && matches!(&sink.kind, SinkKind::Otlp(otlp) if otlp.url.is_none())
    }
}

impl OtelVariables {
    /// The settings of TLS that `config` has with these variables, if it speaks TLS.
    pub(in crate::sink) fn tls_of(&self, config: &OtlpConfig) -> Option<TlsConfig> {
        let settings = Settings::new(config, self);
        settings.url.https.then_some(settings.tls)
    }
}

/// The value, or a word about what is wrong with it; never the value, which may be a secret.
fn understood<T, E: fmt::Display>(name: &str, value: Result<T, E>) -> Option<T> {
    value.map_err(|reason| tracing::warn!("{name} is passed over: {reason}")).ok()
}

/// An address; one of gRPC may come without a scheme.
fn endpoint(text: &str, insecure: bool) -> Result<Url, String> {
    let text = text.trim();
    let scheme = if insecure { "http" } else { "https" };
    match text.contains("://") {
        true => text.parse(),
        false => format!("{scheme}://{text}").parse(),
    }
    .map_err(|_| "it is not an address such as https://host:port".to_owned())
}

/// `key=value,key=value` with percent signs.
fn pairs(text: &str) -> Result<BTreeMap<String, String>, &'static str> {
    let mut pairs = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("it is not `key=value,key=value`")?;
        let plain = |text: &str| {
            let decoded = percent_decode_str(text.trim()).decode_utf8();
            decoded.map(String::from).map_err(|_| "what its percent signs mean is not UTF-8")
        };
        pairs.insert(plain(key)?, plain(value)?);
    }
    Ok(pairs)
}

/// The settings of a sink with what the variables add.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) url: Url,
    /// Path of a request over HTTP.
    pub(super) path: String,
    pub(super) protocol: Protocol,
    pub(super) compress: bool,
    pub(super) headers: HeaderMap,
    pub(super) headers_file: Option<PathBuf>,
    pub(super) credentials: Credentials,
    pub(super) timeout: Period,
    pub(super) tls: TlsConfig,
    pub(super) resource: Vec<(String, String)>,
}

/// Path of the interface for logs.
const PATH: &str = "/v1/logs";

impl Settings {
    pub(super) fn new(config: &OtlpConfig, variables: &OtelVariables) -> Self {
        let protocol = config.protocol.or(variables.protocol).unwrap_or_default();
        let own = match protocol {
            Protocol::Grpc => "http://localhost:4317",
            Protocol::HttpProtobuf | Protocol::HttpJson => "http://localhost:4318",
        };
        let (url, is_base) = match (&config.url, &variables.url) {
            (Some(url), _) => (url.clone(), true),
            (None, Some(told)) => told.clone(),
            (None, None) => (own.parse().expect("an address"), true),
        };
        let path = match is_base {
            true => url.below(PATH),
            false if url.path.is_empty() => "/".to_owned(),
            false => url.path.clone(),
        };
        let mut headers = variables.headers.map().unwrap_or_default();
        headers.extend(config.headers.map().unwrap_or_default());
        let tls = match config.tls == TlsConfig::default() {
            true => variables.tls.clone(),
            false => config.tls.clone(),
        };
        let mut resource = variables.resource.clone();
        resource.extend(config.resource.clone());
        Self {
            url,
            path,
            protocol,
            compress: config.compress.or(variables.compress).unwrap_or(true),
            headers,
            headers_file: config.headers_file.clone(),
            credentials: config.credentials(),
            timeout: config.timeout.or(variables.timeout).unwrap_or(Period::from_secs(10)),
            tls,
            resource: resource.into_iter().collect(),
        }
    }

    /// All headers of a turn, with those that stand in files now.
    pub(super) fn headers(&self) -> Result<HeaderMap, SinkError> {
        let mut headers = self.headers.clone();
        if let Some(file) = &self.headers_file {
            let wrong = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
            let read = fs::read_to_string(file).and_then(|text| {
                Headers::read(&text).and_then(|headers| headers.map()).map_err(wrong)
            });
            headers
                .extend(read.map_err(|source| SinkError::file("read headers from", file, source))?);
        }
        headers.extend(self.credentials.header()?.map(|value| (AUTHORIZATION, value)));
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> OtlpConfig {
        toml::from_str(text).expect("settings")
    }

    fn variables(of: &[(&str, &str)]) -> OtelVariables {
        let of: BTreeMap<&str, &str> = of.iter().copied().collect();
        OtelVariables::read(|name| of.get(name).map(|value| (*value).to_owned()))
    }

    fn settings(text: &str, of: &[(&str, &str)]) -> Settings {
        Settings::new(&config(text), &variables(of))
    }

    #[test]
    fn without_any_setting_it_is_this_machine() {
        let found = settings("", &[]);
        assert_eq!(("http://localhost:4318", "/v1/logs"), (&*found.url.to_string(), &*found.path));
        assert!(found.compress && found.headers.is_empty());
        assert_eq!(Period::from_secs(10), found.timeout);
        let grpc = settings("protocol = \"grpc\"", &[]);
        assert_eq!("http://localhost:4317", grpc.url.to_string());
    }

    #[test]
    fn the_address_is_a_base_unless_it_is_that_of_logs() {
        let check = |text: &str, of: &[(&str, &str)], expected: (&str, &str)| {
            let found = settings(text, of);
            assert_eq!(expected, (&*found.url.to_string(), &*found.path));
        };
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel.example.org/in/");
        let logs = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://logs.example.org");
        check("", &[base], ("https://otel.example.org/in/", "/in/v1/logs"));
        check("", &[base, logs], ("https://logs.example.org", "/"));
        let own = "url = \"http://127.0.0.1:4318/v1/logs\"";
        check(own, &[base, logs], ("http://127.0.0.1:4318/v1/logs", "/v1/logs"));
        let bare = ("OTEL_EXPORTER_OTLP_ENDPOINT", "otel.example.org:4317");
        let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "true");
        assert!(settings("protocol = \"grpc\"", &[bare]).url.https);
        assert!(!settings("protocol = \"grpc\"", &[bare, insecure]).url.https);
    }

    #[test]
    fn only_a_sink_of_the_variables_is_switched_off_by_one() {
        let sink = |text: &str| -> SinkConfig { toml::from_str(text).expect("a sink") };
        let theirs = sink("type = \"otlp\"");
        let ours = sink("type = \"otlp\"\nurl = \"http://localhost:4318\"");
        let other = sink("type = \"stdout\"");
        for (text, expected) in
            [("true", true), ("TRUE", true), ("false", false), ("1", false), ("", false)]
        {
            let variables = variables(&[("OTEL_SDK_DISABLED", text)]);
            assert_eq!(expected, variables.disables(&theirs), "{text}");
            assert!(!variables.disables(&ours) && !variables.disables(&other), "{text}");
        }
        assert!(!variables(&[]).disables(&theirs));
    }

    #[test]
    fn the_configuration_wins_over_variables_and_logs_over_everything() {
        let of = [
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x=1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE", "/cert.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop,deployment.environment.name=test"),
            ("OTEL_SERVICE_NAME", "edge"),
        ];
        let found = settings("", &of);
        assert_eq!("a b", found.headers["api-key"]);
        assert_eq!(Period(2500), found.timeout);
        assert_eq!((Protocol::HttpJson, false), (found.protocol, found.compress));
        let files = [&found.tls.ca_file, &found.tls.cert_file, &found.tls.key_file];
        assert_eq!(
            [Some("/ca.pem"), Some("/cert.pem"), Some("/key.pem")],
            files.map(|file| { file.as_ref().and_then(|path| path.to_str()) })
        );
        let named = |name: &str| found.resource.iter().find(|(key, _)| key == name).cloned();
        assert_eq!(Some("edge".to_owned()), named("service.name").map(|(_, value)| value));
        assert!(named("deployment.environment.name").is_some());

        let own = "compress = true\ntimeout = \"3s\"\nprotocol = \"http/protobuf\"\n\
                   headers = { X = \"2\" }\nresource = { \"service.name\" = \"own\" }";
        let found = settings(own, &of);
        assert_eq!((Protocol::HttpProtobuf, true), (found.protocol, found.compress));
        assert_eq!(
            (Period::from_secs(3), "2"),
            (found.timeout, found.headers["x"].to_str().expect("text"))
        );
        assert!(found.resource.contains(&("service.name".to_owned(), "own".to_owned())));
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_passed_over() {
        let of = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=%FF"),
            ("OTEL_SERVICE_NAME", ""),
        ];
        assert_eq!(OtelVariables::default(), variables(&of));
    }

    #[test]
    fn no_value_of_a_header_is_shown() {
        let config = config("headers = { authorization = \"Bearer secret\" }");
        let shown = format!("{config:?} {:?}", Settings::new(&config, &variables(&[])));
        assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
        let file = Headers::read("# ours\nAuthorization: Bearer a:b\n\nX-Scope-OrgID: 7\n");
        let map = file.expect("headers").map().expect("headers");
        assert_eq!(
            ("Bearer a:b", "7"),
            (
                map["authorization"].to_str().expect("text"),
                map["x-scope-orgid"].to_str().expect("text"),
            )
        );
        let error = Headers::read("Bearer secret").expect_err("no header");
        assert_eq!("line 1 is not `Name: value`", error);
    }

    #[test]
    fn settings_that_do_not_go_together_are_named() {
        let check = |text: &str, key: &str, part: &str| {
            let text = format!("type = \"otlp\"\n{text}");
            let config: SinkConfig = toml::from_str(&text).expect("settings");
            let SinkComplaint { key: found, reason } = config.complaint().expect("a complaint");
            assert!(found == key && reason.contains(part), "{found}: {reason}");
        };
        check("url = \"http://x:1\"\ntls = { ca_file = \"x\" }", "tls", "https://");
        check("tls = { cert_file = \"x\" }", "tls.cert_file", "key");
        check("headers = { Host = \"x\" }", "headers", "`Host` is set by gatewatch");
        check("headers = { \"a b\" = \"x\" }", "headers", "not the name of a header");
        check("headers = { a = \"x\\ny\" }", "headers", "the value of `a`");
        check("username = \"x\"", "username", "`password_file`");
        check(
            "token_file = \"t\"\nusername = \"x\"\npassword_file = \"p\"",
            "token_file",
            "not both",
        );
        check("in_flight = 0", "in_flight", "1 to 16");
        check("max_records = 0", "max_records", "1 to 10000");
        check("max_request = \"5MiB\"", "max_request", "64KiB to 4MiB");
        check("timeout = \"0s\"", "timeout", "10s");
    }
}
