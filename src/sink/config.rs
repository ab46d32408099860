//! Settings of the sinks: the `[[sink]]` tables.

use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::address::{Addresses, Transport};
use super::header::{HeaderForm, StructuredData};
use super::http::HttpConfig;
use super::otlp::{OtelVariables, OtlpConfig};
use super::preset::{Preset, Shape};
use super::select::Selection;
use super::tls::{TlsConfig, TlsError};
use super::veil::PrivacyConfig;
use crate::engine::render::Encoding;
use crate::units::{ByteSize, Period, Timestamp};

/// `[[sink]]`: where events go.
///
/// The settings of every sink stand beside those of its `type`, in one table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SinkConfig {
    /// What all sinks have.
    pub common: SinkCommon,
    /// What its type has.
    pub kind: SinkKind,
}

/// Settings that every `[[sink]]` may have.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SinkCommon {
    /// Name of the sink in messages and metrics.
    ///
    /// Its position in the store belongs to this name: a new name starts anew.
    #[serde(default)]
    pub name: Option<String>,

    /// Keep events in the store until this sink has taken them.
    #[serde(default = "yes")]
    pub required: bool,

    /// Send the raw line along, as `event.original`.
    #[serde(default)]
    pub keep_original: bool,

    /// Send the values of secret query parameters as they were logged, instead of `***`.
    #[serde(default)]
    pub show_secrets: bool,

    /// Send events.
    #[serde(default = "yes")]
    pub events: bool,

    /// Send alerts, as events of kind `alert`: when they fire and when they end.
    #[serde(default = "yes")]
    pub alerts: bool,

    /// Send only the events that this holds for, in the words of rules. Alerts are not asked.
    #[serde(default, rename = "where")]
    pub condition: toml::Table,

    /// Send one in so many of the events that `where` in it holds for; the first entry that holds
    /// decides. What is left out is counted.
    #[serde(default)]
    pub sample: Vec<Sample>,

    /// Leave these fields out of events, by their names: `["user_agent.original"]`.
    #[serde(default)]
    pub leave_out: Vec<String>,

    /// In which form addresses and names of users leave.
    #[serde(default)]
    pub privacy: PrivacyConfig,
}

// Numbers of a condition are compared with numbers: no float can make a table differ from itself
// in a way that matters for "the same setting".
impl Eq for SinkCommon {}

/// An entry of `sample`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Which events; all if nothing stands here.
    #[serde(default, rename = "where")]
    pub condition: toml::Table,

    /// One event in so many is sent, always the same ones.
    pub one_in: std::num::NonZeroU32,
}

impl SinkCommon {
    /// The keys of this part of the table.
    const KEYS: [&str; 10] = [
        "name",
        "required",
        "keep_original",
        "show_secrets",
        "events",
        "alerts",
        "where",
        "sample",
        "leave_out",
        "privacy",
    ];
}

/// The part of a `[[sink]]` that the key `type` decides about.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SinkKind {
    /// `type = "syslog"`
    Syslog(SyslogConfig),
    /// `type = "file"`
    File(FileConfig),
    /// `type = "http"`
    Http(Box<HttpConfig>),
    /// `type = "exec"`
    Exec(ExecConfig),
    /// `type = "stdout"`
    Stdout(StdoutConfig),
    /// `type = "otlp"`
    Otlp(Box<OtlpConfig>),
}

impl<'de> Deserialize<'de> for SinkConfig {
    /// Shares the keys out, so that each part can refuse those it does not know.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rest = toml::Table::deserialize(deserializer)?;
        let mut common = toml::Table::new();
        for key in SinkCommon::KEYS {
            common.extend(rest.remove(key).map(|value| (key.to_owned(), value)));
        }
        let fail = |error: toml::de::Error| {
            let message = error.message();
            match message.starts_with("unknown field") {
                // Whoever misspelt a key may have meant any of both parts.
                true => D::Error::custom(format!("{message}, `{}`", SinkCommon::KEYS.join("`, `"))),
                false => D::Error::custom(message),
            }
        };
        let config =
            Self { kind: rest.try_into().map_err(fail)?, common: common.try_into().map_err(fail)? };
        Selection::new(&config.common).map_err(D::Error::custom)?;
        Ok(config)
    }
}

impl SinkConfig {
    /// The sink's name: the one that was configured, else its type and its target.
    pub fn name(&self) -> String {
        self.common.name.clone().unwrap_or_else(|| match &self.kind {
            SinkKind::Syslog(config) => format!("syslog:{}", config.address.first()),
            SinkKind::File(config) => format!("file:{}", config.path.display()),
            SinkKind::Http(config) => format!("http:{}", config.url),
            SinkKind::Exec(config) => format!("exec:{}", config.command.join(" ")),
            SinkKind::Stdout(_) => "stdout".to_owned(),
            SinkKind::Otlp(config) => match &config.url {
                Some(url) => format!("otlp:{url}"),
                None => "otlp".to_owned(),
            },
        })
    }

    /// The value of `type`.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            SinkKind::Syslog(_) => "syslog",
            SinkKind::File(_) => "file",
            SinkKind::Http(_) => "http",
            SinkKind::Exec(_) => "exec",
            SinkKind::Stdout(_) => "stdout",
            SinkKind::Otlp(_) => "otlp",
        }
    }

    /// Events wait in the store until this sink has taken them.
    pub fn required(&self) -> bool {
        self.common.required
    }
}

/// What is wrong with settings of a sink that are each sound.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SinkComplaint {
    /// The key, such as `tls.cert_file`.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

impl SinkConfig {
    /// What is wrong with settings that are each sound.
    pub fn complaint(&self) -> Option<SinkComplaint> {
        let privacy = &self.common.privacy;
        if let Some((key, reason)) = privacy.complaint() {
            return Some(SinkComplaint {
                key: format!("privacy.{key}"),
                reason: reason.to_owned(),
            });
        }
        if privacy.is_on() && self.common.keep_original {
            let reason =
                "the raw line names everybody, whatever `privacy` hides; take one of both out";
            return Some(SinkComplaint {
                key: "keep_original".to_owned(),
                reason: reason.to_owned(),
            });
        }
        match &self.kind {
            SinkKind::Syslog(config) => config.complaint(),
            SinkKind::File(_) | SinkKind::Stdout(_) => None,
            SinkKind::Http(config) => config.complaint(),
            SinkKind::Exec(config) => config.complaint(),
            SinkKind::Otlp(config) => config.complaint(),
        }
    }
}

impl SinkConfig {
    /// Says what is wrong with the files of its TLS at `now`, if anything; connects to nobody.
    pub fn check_files(&self, otel: &OtelVariables, now: Timestamp) -> Result<(), TlsError> {
        match &self.kind {
            SinkKind::Syslog(config) if config.address.transport().is_tls() => {
                config.tls.check(now)
            }
            SinkKind::Http(config) if config.url.https => config.tls.check(now),
            SinkKind::Otlp(config) => otel.tls_of(config).map_or(Ok(()), |tls| tls.check(now)),
            _ => Ok(()),
        }
    }
}

impl SyslogConfig {
    /// What it proves that a message was delivered.
    pub fn proof(&self) -> &'static str {
        match self.address.transport() {
            Transport::Relp | Transport::RelpTls => "the receiver's syslog program acknowledged it",
            Transport::Tcp | Transport::Tls => {
                "the receiver's machine has it; look there whether its syslog program took it"
            }
            Transport::Udp => "it was sent; nothing tells whether it arrived",
            Transport::Unix | Transport::UnixDatagram => "the socket of this machine took it",
        }
    }

    fn complaint(&self) -> Option<SinkComplaint> {
        let transport = self.address.transport();
        let complaint = |key: &str, reason: &str| {
            Some(SinkComplaint { key: key.to_owned(), reason: reason.to_owned() })
        };
        if !transport.is_tls() && self.tls != TlsConfig::default() {
            return complaint("tls", "it is used with tls:// and relp+tls:// only");
        }
        if let Some((key, reason)) = self.tls.complaint() {
            return complaint(&format!("tls.{key}"), reason);
        }
        if let Some(reason) = self.preset.and_then(Preset::complaint) {
            return complaint("preset", reason);
        }
        let wants_id = self.sd == StructuredData::Fields;
        match &self.sd_id {
            None if wants_id => {
                return complaint(
                    "sd",
                    "`fields` needs a name for them: `sd_id = \"gatewatch@NUMBER\"`",
                );
            }
            Some(_) if !wants_id => {
                return complaint("sd_id", "it is used with `sd = \"fields\"` only");
            }
            Some(id) => {
                if let Err(reason) = check_sd_id(id) {
                    return complaint("sd_id", reason);
                }
            }
            None => (),
        }
        let form = Shape::of(self).header;
        if form != HeaderForm::Rfc5424 && (self.bom || self.sd != StructuredData::None) {
            let key = if self.bom { "bom" } else { "sd" };
            return complaint(key, "it is a part of `header = \"rfc5424\"` only");
        }
        None
    }
}

/// A name of RFC 5424, section 6.3.2, that belongs to somebody.
fn check_sd_id(id: &str) -> Result<(), &'static str> {
    let Some((name, number)) = id.split_once('@') else {
        return Err("write NAME@NUMBER, with the number that IANA gave your organisation");
    };
    let is_name = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"' | b'@');
    if name.is_empty() || 32 < id.len() || !name.bytes().all(is_name) {
        return Err("it has at most 32 characters, none of them a blank, `=`, `]` or `\"`");
    }
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !number.split('.').all(is_number) {
        return Err("behind the @ stands a number, as IANA gave it to your organisation");
    }
    if number == "32473" {
        return Err("32473 is for documents only; write the number of your organisation");
    }
    Ok(())
}

/// `[[sink]]` with `type = "syslog"`: syslog messages.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    /// Receiver: `tcp://host:port`, `tls://`, `relp://`, `relp+tls://`, `udp://`, or a socket of
    /// this machine, `unix:///path` or `unix-dgram:///path`.
    ///
    /// Only RELP has acknowledgements. Over TCP and TLS, what the receiver's machine had taken and
    /// its syslog program had not read is lost when that machine stops. UDP loses messages without
    /// notice. Of several addresses the first that can be had is used until it fails.
    pub address: Addresses,

    /// Whom to believe, and who we are, on `tls://` and `relp+tls://`.
    #[serde(default)]
    pub tls: TlsConfig,

    /// What the receiver is: the settings below then have what it wants, unless they are written.
    ///
    /// `rsyslog`, `syslog-ng`, `syslog-ng-network`, `splunk`, `qradar`, `sentinel`, `elastic`,
    /// `graylog`, `arcsight`.
    #[serde(default)]
    pub preset: Option<Preset>,

    /// How events are written: `ecs`, or another name of the list of encodings.
    #[serde(default)]
    pub encoding: Option<Encoding>,

    /// What stands before an event: `rfc5424`, `rfc3164` or `none`.
    ///
    /// Times of RFC 3164 are those of this machine's zone, without naming it.
    #[serde(default)]
    pub header: Option<HeaderForm>,

    /// Structured data of RFC 5424: `none`, `standard`, which counts messages, or `fields`, which adds
    /// an element of your own with what is most searched for.
    #[serde(default)]
    pub sd: StructuredData,

    /// The name of that element, `gatewatch@NUMBER`, with the number that IANA gave your organisation
    /// (private enterprise numbers, free of charge).
    #[serde(default)]
    pub sd_id: Option<String>,

    /// A byte order mark before the event, as RFC 5424 has it; most receivers keep it in the text.
    #[serde(default)]
    pub bom: bool,

    /// How messages are told apart on a connection: `auto`, `lf`, `nul` or `octet_counting`.
    ///
    /// `auto` is what the preset says, else `octet_counting` over TLS (RFC 5425) and `lf` elsewhere,
    /// which every receiver can be told to read. Datagrams and RELP need none.
    #[serde(default)]
    pub framing: Framing,

    /// Syslog facility of the messages.
    #[serde(default)]
    pub facility: Option<Facility>,

    /// Syslog facility of messages about log-ins, where it is another one.
    #[serde(default)]
    pub auth_facility: Option<Facility>,

    /// Name of the program in the messages, at most 48 printable ASCII characters.
    #[serde(default = "app_name")]
    pub app_name: String,

    /// Longest message; longer events give up their least needed fields.
    ///
    /// By default 8000 bytes, because some receivers cut at 8096, and 2048 over UDP.
    #[serde(default)]
    pub max_message: Option<ByteSize>,
}

/// `[[sink]]` with `type = "file"`: one event a line, with rotation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// File to append to; created with mode 0640, because log lines name people.
    pub path: PathBuf,

    /// How events are written: `ecs`, or another name of the list of encodings.
    #[serde(default)]
    pub encoding: Encoding,

    /// Start a new file at this size.
    ///
    /// The old ones are renamed to `NAME.1`, `NAME.2` and so on, the newest first.
    #[serde(default = "file_size_max")]
    pub max_size: ByteSize,

    /// Start a new file each day (UTC).
    #[serde(default = "yes")]
    pub daily: bool,

    /// How many old files are kept, at least one.
    #[serde(default = "files_kept")]
    pub keep: u32,
}

/// `[[sink]]` with `type = "exec"`: one event a line for a program of your own.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ExecConfig {
    /// The program by its whole path, and its arguments; no shell looks at them.
    pub command: Vec<String>,

    /// How events are written: `ecs`, or another name of the list of encodings.
    #[serde(default)]
    pub encoding: Encoding,

    /// How long it may read nothing before it is killed and started anew.
    #[serde(default = "exec_timeout")]
    pub timeout: Period,
}

impl ExecConfig {
    fn complaint(&self) -> Option<SinkComplaint> {
        let complaint = |key: &str, reason: &str| {
            Some(SinkComplaint { key: key.to_owned(), reason: reason.to_owned() })
        };
        if !self.command.first().is_some_and(|program| program.starts_with('/')) {
            let reason = "write the program by its whole path: [\"/usr/local/bin/forward\"]";
            return complaint("command", reason);
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            return complaint("command", "no argument can hold a zero byte");
        }
        if self.timeout.ms() == 0 {
            return complaint("timeout", "no program reads in no time; write `60s`");
        }
        None
    }
}

/// `[[sink]]` with `type = "stdout"`: one event a line to standard output.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct StdoutConfig {
    /// How events are written: `ecs`, or another name of the list of encodings.
    #[serde(default)]
    pub encoding: Encoding,
}

fn exec_timeout() -> Period {
    Period::from_secs(60)
}

fn yes() -> bool {
    true
}

fn app_name() -> String {
    "gatewatch".to_owned()
}

fn file_size_max() -> ByteSize {
    ByteSize(100 << 20)
}

fn files_kept() -> u32 {
    7
}

/// How messages are told apart on a TCP connection (RFC 6587).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// What suits the transport.
    #[default]
    Auto,
    /// A line feed behind each message.
    Lf,
    /// A zero byte behind each message.
    Nul,
    /// The length before each message.
    OctetCounting,
}

/// The part of a system that a message is about (RFC 5424, section 6.2.1).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are syslog's own")]
pub enum Facility {
    User = 1,
    Daemon = 3,
    Auth = 4,
    Syslog = 5,
    Authpriv = 10,
    #[default]
    Local0 = 16,
    Local1 = 17,
    Local2 = 18,
    Local3 = 19,
    Local4 = 20,
    Local5 = 21,
    Local6 = 22,
    Local7 = 23,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let error = toml::from_str::<SinkConfig>(text).expect_err("the text must be refused");
        assert!(error.message().contains(expected), "got: {}", error.message());
    }

    #[test]
    fn a_sink_needs_its_target_only() {
        let syslog = "type = \"syslog\"\naddress = \"tcp://siem.example.org:601\"";
        let syslog: SinkConfig = toml::from_str(syslog).expect("a sink");
        assert_eq!("syslog:tcp://siem.example.org:601", syslog.name());
        assert!(syslog.required());
        let file = "type = \"file\"\npath = \"/var/log/gatewatch/events.json\"\nname = \"events\"";
        let file: SinkConfig = toml::from_str(file).expect("a sink");
        assert_eq!("events", file.name());
        check_error("type = \"file\"", "missing field `path`");
    }

    #[test]
    fn a_misspelt_key_is_named() {
        check_error("type = \"file\"\npath = \"x\"\nkept = 3", "unknown field `kept`");
    }

    #[test]
    fn an_element_of_ones_own_has_a_number_of_ones_own() {
        let complaint = |rest: &str| {
            let text = format!("type = \"syslog\"\naddress = \"tcp://a:1\"\n{rest}");
            let config: SinkConfig = toml::from_str(&text).expect("settings");
            config.complaint().map(|complaint| complaint.key)
        };
        assert_eq!(None, complaint("sd = \"fields\"\nsd_id = \"gatewatch@64500.1\""));
        assert_eq!(Some("sd"), complaint("sd = \"fields\"").as_deref());
        assert_eq!(Some("sd_id"), complaint("sd = \"standard\"\nsd_id = \"a@1\"").as_deref());
        for id in [
            "a",
            "@1",
            "a@",
            "a@b",
            "a b@1",
            "a]@1",
            "a@32473",
            "a@1.",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@1",
        ] {
            let rest = format!("sd = \"fields\"\nsd_id = {id:?}");
            assert_eq!(Some("sd_id"), complaint(&rest).as_deref(), "{id}");
        }
        let old = "sd = \"fields\"\nsd_id = \"a@1\"\nheader = \"rfc3164\"";
        assert_eq!(Some("sd"), complaint(old).as_deref());
    }
}
