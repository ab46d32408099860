//! Where syslog messages go, as it is written in the configuration.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A transport to a receiver of syslog messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// A connection without encryption.
    Tcp,
    /// A connection with TLS (RFC 5425).
    Tls,
    /// Single datagrams.
    Udp,
    /// A connection to a socket of this machine.
    Unix,
    /// Single datagrams to a socket of this machine.
    UnixDatagram,
    /// A connection on which each message is acknowledged.
    Relp,
    /// The same, with TLS.
    RelpTls,
}

/// Each transport as it is written.
const SCHEMES: &[(Transport, &str)] = &[
    (Transport::Tcp, "tcp"),
    (Transport::Tls, "tls"),
    (Transport::Udp, "udp"),
    (Transport::Unix, "unix"),
    (Transport::UnixDatagram, "unix-dgram"),
    (Transport::Relp, "relp"),
    (Transport::RelpTls, "relp+tls"),
];

impl Transport {
    /// Each message travels alone.
    pub fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::UnixDatagram)
    }

    /// The connection is encrypted.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::RelpTls)
    }

    /// The receiver acknowledges each message.
    pub fn is_relp(self) -> bool {
        matches!(self, Self::Relp | Self::RelpTls)
    }

    fn scheme(self) -> &'static str {
        let found = SCHEMES.iter().find(|(transport, _)| *transport == self);
        found.map_or("", |(_, scheme)| scheme)
    }
}

/// A receiver of syslog messages, such as `tcp://siem.example.org:601`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// How to get there.
    pub transport: Transport,
    /// What it leads to.
    pub target: Target,
}

/// The far end of a transport.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// A port of a machine.
    Machine {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A socket in the file system.
    Socket(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.transport.scheme();
        match &self.target {
            Target::Machine { host, port } if host.contains(':') => {
                write!(f, "{scheme}://[{host}]:{port}")
            }
            Target::Machine { host, port } => write!(f, "{scheme}://{host}:{port}"),
            Target::Socket(path) => write!(f, "{scheme}://{}", path.display()),
        }
    }
}

/// A text that names no receiver.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "`{0}` is not an address; write tcp://host:port, tls://host:port, udp://host:port, \
     relp://host:port, relp+tls://host:port, unix:///path or unix-dgram:///path"
)]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        let transport = SCHEMES.iter().find(|(_, name)| *name == scheme).ok_or_else(form)?.0;
        let target = match transport {
            Transport::Unix | Transport::UnixDatagram => match rest.starts_with('/') {
                true => Some(Target::Socket(rest.into())),
                false => None,
            },
            _ => machine(rest),
        };
        Ok(Self { transport, target: target.ok_or_else(form)? })
    }
}

/// `host:port`, where an IPv6 address stands in brackets.
fn machine(text: &str) -> Option<Target> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().ok().map(|_| v6)?,
        None => host,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || (bare.is_none() && !host.chars().all(is_name)) {
        return None;
    }
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(Target::Machine { host: host.to_owned(), port })
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// Receivers of which one is used at a time: the first that can be had.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "OneOrMany")]
pub struct Addresses(Vec<Address>);

impl Addresses {
    /// The one that is preferred.
    pub fn first(&self) -> &Address {
        &self.0[0]
    }

    /// All, the preferred one first.
    pub fn all(&self) -> &[Address] {
        &self.0
    }

    /// Their transport, which is the same.
    pub fn transport(&self) -> Transport {
        self.first().transport
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected an address, or a list of addresses")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Addresses that are no list of receivers.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
enum AddressesError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the list of addresses is empty; name at least one")]
    Empty,
    #[error("`{0}` and `{1}` are two transports; a list of addresses has one")]
    Mixed(String, String),
}

impl TryFrom<OneOrMany> for Addresses {
    type Error = AddressesError;

    fn try_from(texts: OneOrMany) -> Result<Self, AddressesError> {
        let texts = match texts {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        };
        let addresses: Vec<Address> =
            texts.iter().map(|text| text.parse()).collect::<Result<_, AddressError>>()?;
        let first = addresses.first().ok_or(AddressesError::Empty)?;
        // How a message is framed is settled before it is known which of them takes it.
        let other = addresses.iter().find(|address| address.transport != first.transport);
        match other {
            Some(other) => Err(AddressesError::Mixed(first.to_string(), other.to_string())),
            None => Ok(Self(addresses)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_and_prints_the_same_text() {
        for text in [
            "tcp://siem.example.org:601",
            "udp://192.0.2.7:514",
            "tcp://[2001:db8::1]:601",
            "tls://siem.example.org:6514",
            "unix:///run/log.sock",
            "unix-dgram:///dev/log",
            "relp://192.0.2.7:2514",
            "relp+tls://192.0.2.7:2514",
        ] {
            assert_eq!(Ok(text.to_owned()), text.parse::<Address>().map(|a| a.to_string()));
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_says_what_to_write() {
        for text in [
            "siem:601",
            "tcp://siem",
            "tcp://:601",
            "tcp://a b:1",
            "udp://siem:0",
            "tcp://[x]:1",
            "unix://run/log.sock",
            "tls:///run/log.sock",
            "ssl://siem:6514",
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            let (start, end) =
                (format!("`{text}` is not an address; write "), "unix-dgram:///path");
            assert!(error.starts_with(&start) && error.ends_with(end), "{error}");
        }
    }

    #[test]
    fn a_list_has_one_transport() {
        #[derive(Deserialize)]
        struct Shape {
            address: Addresses,
        }
        let read = |text: &str| toml::from_str::<Shape>(&format!("address = {text}"));
        let list = read("[\"tcp://a:1\", \"tcp://b:1\"]").expect("a list").address;
        assert_eq!(("tcp://a:1", 2), (list.first().to_string().as_str(), list.all().len()));
        for (text, expected) in [
            ("[]", "name at least one"),
            ("[\"tcp://a:1\", \"udp://b:1\"]", "`tcp://a:1` and `udp://b:1` are two transports"),
            ("[\"tcp://a:1\", \"b\"]", "`b` is not an address"),
            ("7", "an address, or a list of addresses"),
        ] {
            let error = read(text).err().expect("it is refused").message().to_owned();
            assert!(error.contains(expected), "{error}");
        }
    }
}
