//! Settings of the HTTP sink: `[[sink]]` with `type = "http"`.

use std::path::PathBuf;

use serde::Deserialize;

use super::client::Credentials;
use super::elasticsearch::IndexName;
use super::{APIS, ApiEntry, Url};
use crate::engine::render::Encoding;
use crate::sink::SinkComplaint;
use crate::sink::tls::TlsConfig;
use crate::units::{ByteSize, Period};

/// Requests at the same time: more than this helps no receiver.
const IN_FLIGHT_MAX: u32 = 16;

/// The largest body before it is packed.
const REQUEST_BYTES_MAX: u64 = 16 << 20;

/// What the receiver speaks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum ApiName {
    /// `_bulk` of Elasticsearch and OpenSearch.
    Elasticsearch,
    /// Splunk's HTTP Event Collector.
    SplunkHec,
    /// Grafana Loki.
    Loki,
    /// Graylog.
    Gelf,
    /// Anything that takes JSON lines.
    Json,
}

impl ApiName {
    /// The row of the table.
    pub(super) fn entry(self) -> &'static ApiEntry {
        &APIS[self as usize]
    }
}

/// What to do when the receiver says that the request itself is wrong: 401, 403, 404.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum OnClientError {
    /// Keep the events and try again each minute.
    #[default]
    Hold,
    /// Give the events up; they become dead letters.
    Drop,
}

/// `[[sink]]` with `type = "http"`: events in the words of the receiver's own interface.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// What the receiver speaks: `elasticsearch`, `splunk_hec`, `loki`, `gelf` or `json`.
    pub api: ApiName,

    /// Receiver: `https://host:port`. The path of the interface is added where it is not there.
    pub url: Url,

    /// Whom to believe, and who we are, on `https://`.
    #[serde(default)]
    pub tls: TlsConfig,

    /// File with the token on one line: an API key of Elasticsearch (encoded), a token of the HTTP
    /// Event Collector, a bearer token elsewhere.
    #[serde(default)]
    pub token_file: Option<PathBuf>,

    /// The token of Elasticsearch is a bearer token instead of an API key.
    #[serde(default)]
    pub bearer: bool,

    /// Name for a password, instead of a token.
    #[serde(default)]
    pub username: Option<String>,

    /// File with the password on one line.
    #[serde(default)]
    pub password_file: Option<PathBuf>,

    /// How events are written: `ecs`, or another name of the list of encodings. `gelf` is always
    /// GELF.
    #[serde(default)]
    pub encoding: Option<Encoding>,

    /// Pack requests by gzip.
    #[serde(default = "yes")]
    pub compress: bool,

    /// Requests at the same time, at most 16. With 1 the receiver gets events in their order.
    #[serde(default = "in_flight")]
    pub in_flight: u32,

    /// Bytes of a request before it is packed.
    #[serde(default = "max_request")]
    pub max_request: ByteSize,

    /// How long a request may take, with its answer.
    #[serde(default = "timeout")]
    pub timeout: Period,

    /// What to do on 401, 403, 404 and the like: `hold` or `drop`.
    #[serde(default)]
    pub on_client_error: OnClientError,

    /// Index or data stream. Elasticsearch: `logs-{event.dataset}-default`, where
    /// `{event.dataset}` and `{event.module}` stand for what the event has there. Splunk: a name;
    /// by default the token's index.
    #[serde(default)]
    pub index: Option<String>,

    /// Elasticsearch: write `data_stream.type`, `.dataset` and `.namespace` into each event.
    #[serde(default)]
    pub data_stream: bool,

    /// Splunk: `source`; by default the path of the log.
    #[serde(default)]
    pub source: Option<String>,

    /// Splunk: `sourcetype`; by default `_json`.
    #[serde(default)]
    pub sourcetype: Option<String>,

    /// Splunk: how long to wait until the indexers confirm, where the token asks for that.
    #[serde(default)]
    pub ack_timeout: Option<Period>,

    /// Loki: the label `job`; by default `gatewatch`.
    #[serde(default)]
    pub job: Option<String>,

    /// Loki: the tenant, sent as `X-Scope-OrgID`.
    #[serde(default)]
    pub tenant: Option<String>,

    /// Loki: send `event_id` as structured metadata; by default it is.
    #[serde(default)]
    pub structured_metadata: Option<bool>,

    /// Graylog: many messages in one request; its input has to have "bulk receiving" enabled.
    #[serde(default)]
    pub bulk: bool,

    /// JSON: file with a key, which signs each request by HMAC-SHA256.
    #[serde(default)]
    pub signing_key_file: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

fn in_flight() -> u32 {
    2
}

fn max_request() -> ByteSize {
    ByteSize(1 << 20)
}

fn timeout() -> Period {
    Period::from_secs(60)
}

impl HttpConfig {
    /// What the success of the sink proves.
    pub fn proof(&self) -> &'static str {
        self.api.entry().proof
    }

    /// How to find the event of that id at the receiver.
    pub fn query(&self, id: &str) -> String {
        self.api.entry().query.replace("ID", id)
    }

    /// How events are written.
    pub(super) fn encoding(&self) -> Encoding {
        match self.api {
            ApiName::Gelf => Encoding::Gelf,
            _ => self.encoding.unwrap_or_default(),
        }
    }

    /// How the receiver knows us.
    pub(super) fn credentials(&self) -> Credentials {
        match (&self.token_file, &self.username, &self.password_file) {
            (Some(file), ..) => {
                let usual = self.api.entry().token;
                let scheme = if self.bearer { "Bearer" } else { usual };
                Credentials::Token { scheme, file: file.clone() }
            }
            (None, Some(username), Some(file)) => {
                Credentials::Password { username: username.clone(), file: file.clone() }
            }
            _ => Credentials::None,
        }
    }

    /// What is wrong with settings that are each sound.
    pub(in crate::sink) fn complaint(&self) -> Option<SinkComplaint> {
        let found = self.general().or_else(|| self.of_another_api()).or_else(|| self.of_this_api());
        found.map(|(key, reason)| SinkComplaint { key, reason })
    }

    fn general(&self) -> Option<(String, String)> {
        let complaint = |key: &str, reason: &str| Some((key.to_owned(), reason.to_owned()));
        if !self.url.https && self.tls != TlsConfig::default() {
            return complaint("tls", "it is used with https:// only");
        }
        if let Some((key, reason)) = self.tls.complaint() {
            return complaint(&format!("tls.{key}"), reason);
        }
        if self.username.is_some() != self.password_file.is_some() {
            return complaint("username", "a name needs its password; write `password_file`, too");
        }
        if self.username.is_some() && self.token_file.is_some() {
            return complaint("token_file", "a token or a password, not both; leave one out");
        }
        if self.username.as_ref().is_some_and(|name| name.contains(':')) {
            return complaint("username", "it has a colon, which HTTP does not allow");
        }
        if self.in_flight == 0 || IN_FLIGHT_MAX < self.in_flight {
            return complaint("in_flight", "write a number from 1 to 16");
        }
        if self.max_request.0 < 1024 || REQUEST_BYTES_MAX < self.max_request.0 {
            return complaint("max_request", "write a size from 1KiB to 16MiB");
        }
        if self.timeout.ms() == 0 {
            return complaint("timeout", "no receiver answers in no time; write `60s`");
        }
        None
    }

    /// A key that the receiver's interface has no use for.
    fn of_another_api(&self) -> Option<(String, String)> {
        use ApiName as A;
        let keys: [(&str, bool, &[A]); 13] = [
            ("bearer", self.bearer, &[A::Elasticsearch]),
            (
                "encoding",
                self.encoding.is_some(),
                &[A::Elasticsearch, A::SplunkHec, A::Loki, A::Json],
            ),
            ("index", self.index.is_some(), &[A::Elasticsearch, A::SplunkHec]),
            ("data_stream", self.data_stream, &[A::Elasticsearch]),
            ("source", self.source.is_some(), &[A::SplunkHec]),
            ("sourcetype", self.sourcetype.is_some(), &[A::SplunkHec]),
            ("ack_timeout", self.ack_timeout.is_some(), &[A::SplunkHec]),
            ("job", self.job.is_some(), &[A::Loki]),
            ("tenant", self.tenant.is_some(), &[A::Loki]),
            ("structured_metadata", self.structured_metadata.is_some(), &[A::Loki]),
            ("bulk", self.bulk, &[A::Gelf]),
            ("signing_key_file", self.signing_key_file.is_some(), &[A::Json]),
            ("username", self.username.is_some() && self.api == A::SplunkHec, &[]),
        ];
        let (key, _, apis) =
            keys.into_iter().find(|(_, is_set, apis)| *is_set && !apis.contains(&self.api))?;
        let names: Vec<&str> = apis.iter().map(|api| api.entry().name).collect();
        let reason = match names.is_empty() {
            true => "Splunk wants a token; write `token_file`".to_owned(),
            false => {
                format!("it is used with api = \"{}\" only; leave it out", names.join("\", \""))
            }
        };
        Some((key.to_owned(), reason))
    }

    fn of_this_api(&self) -> Option<(String, String)> {
        let json = self.encoding().entry().json;
        match self.api {
            ApiName::Elasticsearch | ApiName::Json if !json => {
                let reason = "it takes JSON; write `ecs` or `ecs_compact`".to_owned();
                Some(("encoding".to_owned(), reason))
            }
            ApiName::Elasticsearch => {
                let index = IndexName::new(self.index.as_deref(), self.data_stream);
                index.err().map(|reason| ("index".to_owned(), reason))
            }
            ApiName::SplunkHec if self.token_file.is_none() => {
                Some(("token_file".to_owned(), "Splunk wants a token; name its file".to_owned()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sink::SinkConfig;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let text = format!("type = \"http\"\n{text}");
        let config: SinkConfig = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}"));
        let found = config.complaint().map(|complaint| (complaint.key, complaint.reason));
        match (&found, expected) {
            (None, None) => (),
            (Some((key, reason)), Some((wanted, part))) => {
                assert!(key == wanted && reason.contains(part), "{key}: {reason}");
            }
            _ => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_named() {
        let elastic = "api = \"elasticsearch\"\nurl = \"https://es.example.org:9200\"\n";
        let splunk = "api = \"splunk_hec\"\nurl = \"https://splunk.example.org:8088\"\n";
        let loki = "api = \"loki\"\nurl = \"http://127.0.0.1:3100\"\n";
        let with = |base: &str, more: &str| format!("{base}{more}");
        check(elastic, None);
        check(loki, None);
        check(&with(splunk, "token_file = \"t\""), None);
        check(splunk, Some(("token_file", "Splunk wants a token")));
        check(&with(splunk, "token_file = \"t\"\nin_flight = 17"), Some(("in_flight", "1 to 16")));
        check(&with(elastic, "job = \"x\""), Some(("job", "api = \"loki\" only")));
        check(&with(elastic, "encoding = \"cef\""), Some(("encoding", "`ecs`")));
        check(&with(elastic, "username = \"x\""), Some(("username", "`password_file`")));
        check(&with(elastic, "index = \"Logs\""), Some(("index", "small letters")));
        check(&with(elastic, "index = \"x-{user.name}\""), Some(("index", "{event.dataset}")));
        check(
            &with(elastic, "index = \"gatewatch\"\ndata_stream = true"),
            Some(("index", "TYPE-DATASET-NAMESPACE")),
        );
        check(&with(elastic, "max_request = \"1B\""), Some(("max_request", "1KiB")));
        check(&with(loki, "tls = { insecure = true }"), Some(("tls", "https:// only")));
        check(&with(loki, "bulk = true"), Some(("bulk", "\"gelf\" only")));
        let both = "username = \"x\"\npassword_file = \"p\"\ntoken_file = \"t\"";
        check(&with(loki, both), Some(("token_file", "not both")));
    }
}
