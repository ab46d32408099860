//! What a `[[source]]` with `listen` asks for: an address, and what protects it.
//!
//! Invariant: an [`Endpoint`] that others can reach is one whose operator said so. Syslog knows no
//! senders: whoever reaches the address can write events.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::source::config::SourceConfig;
use crate::units::socket_address;

/// How messages come in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Syslog, one message a datagram (RFC 5426).
    Udp,
    /// Syslog over TCP (RFC 6587).
    Tcp,
    /// Syslog over TLS (RFC 5425).
    Tls,
    /// Syslog, one message a datagram on a socket of this machine.
    Unix,
    /// Syslog over a stream socket of this machine.
    UnixStream,
    /// Lines in the bodies of HTTP requests.
    Http,
    /// The same over TLS.
    Https,
}

/// The scheme of each transport.
const SCHEMES: &[(&str, Transport)] = &[
    ("udp://", Transport::Udp),
    ("tcp://", Transport::Tcp),
    ("tls://", Transport::Tls),
    ("unix://", Transport::Unix),
    ("unixstream://", Transport::UnixStream),
    ("http://", Transport::Http),
    ("https://", Transport::Https),
];

impl Transport {
    /// TLS protects it.
    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https)
    }

    /// Each message comes by itself, and nobody hears of one that is lost.
    pub(super) fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::Unix)
    }

    /// Lines are pushed over HTTP.
    pub(super) fn is_push(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

/// Where it listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// An address of the network.
    Socket(SocketAddr),
    /// The file of a socket.
    File(PathBuf),
}

/// The files of TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct TlsFiles {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    /// Only clients with a certificate of this authority are let in.
    pub(super) client_ca: Option<PathBuf>,
}

/// A listener as configured, checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// The address as it is written in the configuration.
    pub(super) text: String,
    pub(super) transport: Transport,
    pub(super) place: Place,
    /// Path of the URL that lines are posted to.
    pub(super) url_path: String,
    pub(super) tls: Option<TlsFiles>,
    pub(super) token_file: Option<PathBuf>,
}

/// A listener that cannot be used as configured.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The address makes no sense.
    #[error(
        "`{address}` is no address to listen on; write `udp://127.0.0.1:5514`, `tcp://…`, `tls://…`, \
         `http://127.0.0.1:8514/`, `https://…`, `unix:///run/gatewatch/log.sock` or `unixstream://…`"
    )]
    BadAddress {
        /// As configured.
        address: String,
    },

    /// Others could write events.
    #[error("`{address}` can be reached from other machines, and {reason}; {fix}")]
    Remote {
        /// As configured.
        address: String,
        /// What is missing.
        reason: &'static str,
        /// What to do about it.
        fix: &'static str,
    },

    /// A setting that the address needs is missing.
    #[error("`{address}` needs `{key}`: {meaning}")]
    Missing {
        /// As configured.
        address: String,
        /// The setting.
        key: &'static str,
        /// What it names.
        meaning: &'static str,
    },

    /// A setting has no meaning here.
    #[error("`{key}` has no meaning for {what}; remove it")]
    Useless {
        /// The setting.
        key: &'static str,
        /// The kind of source.
        what: String,
    },
}

impl ListenError {
    /// The setting that is to be changed.
    pub fn key(&self) -> &'static str {
        match self {
            Self::BadAddress { .. } | Self::Remote { .. } => "listen",
            Self::Missing { key, .. } | Self::Useless { key, .. } => key,
        }
    }
}

impl Endpoint {
    /// The endpoint of a source that listens at `address`.
    pub(crate) fn new(address: &str, config: &SourceConfig) -> Result<Self, ListenError> {
        let bad = || ListenError::BadAddress { address: address.to_owned() };
        let scheme = SCHEMES.iter().find(|(scheme, _)| address.starts_with(scheme));
        let (scheme, transport) = scheme.ok_or_else(bad)?;
        let rest = &address[scheme.len()..];
        let (place, url_path) = match transport {
            Transport::Unix | Transport::UnixStream if rest.starts_with('/') => {
                (Place::File(rest.into()), String::new())
            }
            Transport::Unix | Transport::UnixStream => return Err(bad()),
            Transport::Http | Transport::Https => {
                let slash = rest.find('/').unwrap_or(rest.len());
                let path = if slash == rest.len() { "/" } else { &rest[slash..] };
                (Place::Socket(socket_address(&rest[..slash]).ok_or_else(bad)?), path.to_owned())
            }
            Transport::Udp | Transport::Tcp | Transport::Tls => {
                (Place::Socket(socket_address(rest).ok_or_else(bad)?), String::new())
            }
        };
        let endpoint = Self {
            text: address.to_owned(),
            transport: *transport,
            place,
            url_path,
            tls: tls_files(address, *transport, config)?,
            token_file: config.token_file.clone(),
        };
        endpoint.check(config)?;
        Ok(endpoint)
    }

    fn check(&self, config: &SourceConfig) -> Result<(), ListenError> {
        if self.token_file.is_some() && !self.transport.is_push() {
            return Err(useless("token_file", &self.text));
        }
        if !config.exclude.is_empty() {
            return Err(useless("exclude", &self.text));
        }
        if self.is_local() {
            return Ok(());
        }
        let remote =
            |reason, fix| Err(ListenError::Remote { address: self.text.clone(), reason, fix });
        match self.transport {
            Transport::Http => remote(
                "its token and its lines would not be encrypted",
                "listen on `https://` with `tls_cert` and `tls_key`, or on 127.0.0.1 behind a proxy",
            ),
            Transport::Https if self.token_file.is_none() => remote(
                "nothing says who may send",
                "name a file with a secret in `token_file` (`openssl rand -hex 32` makes one)",
            ),
            Transport::Https => Ok(()),
            Transport::Udp | Transport::Tcp if !config.allow_remote => remote(
                "whoever reaches it can write events: syslog knows no senders",
                "listen on 127.0.0.1, use `tls://` with `tls_client_ca`, or, where a firewall lets \
                 only your senders in, say `allow_remote = true`",
            ),
            Transport::Tls if !config.allow_remote && config.tls_client_ca.is_none() => remote(
                "whoever reaches it can write events",
                "name the authority of your senders' certificates in `tls_client_ca`, or say \
                 `allow_remote = true`",
            ),
            _ => Ok(()),
        }
    }

    /// Only this machine can reach it.
    fn is_local(&self) -> bool {
        match &self.place {
            Place::Socket(socket) => socket.ip().to_canonical().is_loopback(),
            Place::File(_) => true,
        }
    }
}

fn tls_files(
    address: &str,
    transport: Transport,
    config: &SourceConfig,
) -> Result<Option<TlsFiles>, ListenError> {
    let settings = [
        ("tls_cert", &config.tls_cert),
        ("tls_key", &config.tls_key),
        ("tls_client_ca", &config.tls_client_ca),
    ];
    if !transport.is_encrypted() {
        let set = settings.iter().find(|(_, path)| path.is_some());
        return set.map_or(Ok(None), |(key, _)| Err(useless(key, address)));
    }
    let missing =
        |key, meaning| move || ListenError::Missing { address: address.to_owned(), key, meaning };
    let cert =
        missing("tls_cert", "a PEM file with the certificate and those between it and its root");
    let key = missing("tls_key", "a PEM file with the private key of the certificate");
    Ok(Some(TlsFiles {
        cert: config.tls_cert.clone().ok_or_else(cert)?,
        key: config.tls_key.clone().ok_or_else(key)?,
        client_ca: config.tls_client_ca.clone(),
    }))
}

fn useless(key: &'static str, address: &str) -> ListenError {
    ListenError::Useless { key, what: format!("`{address}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Result<Endpoint, ListenError> {
        let config: SourceConfig = toml::from_str(text).expect("a table of the right shape");
        let address = config.listen.clone().expect("an address");
        Endpoint::new(&address, &config)
    }

    #[track_caller]
    fn check(text: &str, transport: Transport, place: &str) {
        let endpoint = endpoint(text).expect("sound");
        let found = match &endpoint.place {
            Place::Socket(socket) => format!("{socket}{}", endpoint.url_path),
            Place::File(path) => path.display().to_string(),
        };
        assert_eq!((transport, place), (endpoint.transport, found.as_str()), "{text}");
    }

    #[track_caller]
    fn check_refused(text: &str, key: &str, expected: &str) {
        let error = endpoint(text).expect_err("it must be refused");
        assert_eq!(key, error.key(), "{text}");
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn each_scheme_names_its_transport() {
        check("listen = \"udp://127.0.0.1:5514\"", Transport::Udp, "127.0.0.1:5514");
        check("listen = \"tcp://[::1]:601\"", Transport::Tcp, "[::1]:601");
        check("listen = \"unix:///run/g/log.sock\"", Transport::Unix, "/run/g/log.sock");
        check("listen = \"unixstream:///run/log\"", Transport::UnixStream, "/run/log");
        check("listen = \"http://localhost:8514\"", Transport::Http, "127.0.0.1:8514/");
        check("listen = \"http://127.0.0.1:8514/logs\"", Transport::Http, "127.0.0.1:8514/logs");
        let tls = "tls_cert = \"/c.pem\"\ntls_key = \"/k.pem\"\n";
        check(&format!("{tls}listen = \"tls://127.0.0.1:6514\""), Transport::Tls, "127.0.0.1:6514");
    }

    #[test]
    fn what_is_no_address_is_refused_with_examples() {
        for address in ["", "5514", "127.0.0.1:5514", "udp://", "udp://example.org:514", "unix://a"]
        {
            check_refused(&format!("listen = {address:?}"), "listen", "`udp://127.0.0.1:5514`");
        }
    }

    #[test]
    fn what_others_can_reach_must_be_meant_and_protected() {
        check_refused("listen = \"udp://0.0.0.0:514\"", "listen", "`allow_remote = true`");
        check_refused("listen = \"tcp://192.0.2.1:514\"", "listen", "`allow_remote = true`");
        check_refused(
            "listen = \"http://192.0.2.1:80/\"\ntoken_file = \"/t\"",
            "listen",
            "`https://`",
        );
        let tls = "tls_cert = \"/c.pem\"\ntls_key = \"/k.pem\"\n";
        check_refused(&format!("{tls}listen = \"tls://[::]:6514\""), "listen", "`tls_client_ca`");
        check_refused(&format!("{tls}listen = \"https://[::]:443\""), "listen", "`token_file`");
        let ca = format!("{tls}tls_client_ca = \"/ca.pem\"\nlisten = \"tls://[::]:6514\"");
        check(&ca, Transport::Tls, "[::]:6514");
        check("allow_remote = true\nlisten = \"udp://[::]:514\"", Transport::Udp, "[::]:514");
    }

    #[test]
    fn a_setting_that_is_missing_or_useless_is_named() {
        check_refused("listen = \"tls://127.0.0.1:6514\"", "tls_cert", "needs `tls_cert`");
        check_refused(
            "tls_cert = \"/c\"\nlisten = \"tls://127.0.0.1:1\"",
            "tls_key",
            "private key",
        );
        check_refused("tls_cert = \"/c\"\nlisten = \"udp://127.0.0.1:1\"", "tls_cert", "remove it");
        check_refused("token_file = \"/t\"\nlisten = \"tcp://[::1]:1\"", "token_file", "remove it");
        check_refused("exclude = [\"*.gz\"]\nlisten = \"tcp://[::1]:1\"", "exclude", "remove it");
    }
}
