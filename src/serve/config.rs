//! Settings of the HTTP listener and its metrics: the `[serve]` table.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::listen::{ServeError, resolve};

/// Most clients that can have series of their own: six series each stay below the limit of one
/// metric.
const MAX_TOP_CLIENTS: usize = 250;

/// `[serve]`: metrics, health and readiness over HTTP.
///
/// The first line of each field comment becomes its line in the reference manual.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeConfig {
    /// Address and port of the HTTP listener, or `off`.
    ///
    /// Only loopback addresses are taken, because the metrics name client addresses.
    pub listen: String,

    /// How clients appear in metrics: `full`, `prefix` (/24 and /56) or `off`.
    pub client_ip: ClientLabel,

    /// How many of the busiest clients have series of their own.
    ///
    /// At most 250; all other clients are counted together as `other`.
    pub top_clients: usize,
}

/// How much of a client's address a metric may show.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientLabel {
    /// The whole address.
    #[default]
    Full,
    /// Its network: /24 of IPv4, /56 of IPv6.
    Prefix,
    /// Nothing: all clients are `other`.
    Off,
}

impl ClientLabel {
    /// The label of a client as logged. Only addresses get one: host names and `unix:` are text
    /// that senders can choose, and no more telling.
    pub(super) fn of(self, client: &[u8]) -> Option<String> {
        let address: IpAddr = std::str::from_utf8(client).ok()?.parse().ok()?;
        match (self, address.to_canonical()) {
            (Self::Off, _) => None,
            (Self::Full, address) => Some(address.to_string()),
            (Self::Prefix, IpAddr::V4(address)) => {
                Some(Ipv4Net::new(address, 24).ok()?.trunc().to_string())
            }
            (Self::Prefix, IpAddr::V6(address)) => {
                Some(Ipv6Net::new(address, 56).ok()?.trunc().to_string())
            }
        }
    }
}

impl Default for ServeConfig {
    fn default() -> Self {
        let listen = format!("{}:9477", Ipv4Addr::LOCALHOST);
        Self { listen, client_ip: ClientLabel::default(), top_clients: 100 }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServeProblem {
    /// The key within `[serve]`.
    pub key: &'static str,
    /// What is wrong with its value.
    pub reason: String,
    /// What to write instead.
    pub hint: &'static str,
}

impl ServeConfig {
    /// The address to listen on; `None` when the listener is switched off.
    pub fn address(&self) -> Option<&str> {
        (self.listen != "off").then_some(self.listen.as_str())
    }

    /// How many clients may have series of their own.
    pub(super) fn client_capacity(&self) -> usize {
        match self.client_ip {
            ClientLabel::Full | ClientLabel::Prefix => self.top_clients.min(MAX_TOP_CLIENTS),
            ClientLabel::Off => 0,
        }
    }

    /// All that is wrong with the settings.
    pub fn check(&self) -> Vec<ServeProblem> {
        let mut problems = Vec::new();
        let error = self.address().and_then(|address| resolve(address).err());
        if let Some(error) = error {
            let hint = match error {
                ServeError::NotLoopback { .. } => "keep 127.0.0.1 and put a proxy in front of it",
                _ => "write an address and a port such as `127.0.0.1:9477`, or `off`",
            };
            problems.push(ServeProblem { key: "listen", reason: error.to_string(), hint });
        }
        if MAX_TOP_CLIENTS < self.top_clients {
            problems.push(ServeProblem {
                key: "top_clients",
                reason: format!("{} is more than {MAX_TOP_CLIENTS}", self.top_clients),
                hint: "each client takes seven series; the reports list more clients than this",
            });
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let config: ServeConfig = toml::from_str(text).expect("a table of the right shape");
        let keys: Vec<&str> = config.check().iter().map(|problem| problem.key).collect();
        assert_eq!(expected, keys, "{:?}", config.check());
    }

    #[test]
    fn an_empty_table_is_the_default_and_right() {
        assert_eq!(Ok(ServeConfig::default()), toml::from_str(""));
        check("", &[]);
        check("listen = \"off\"", &[]);
    }

    #[test]
    fn all_problems_are_found_at_once() {
        check("listen = \"0.0.0.0:9477\"\ntop_clients = 100000", &["listen", "top_clients"]);
        check("listen = \"9477\"", &["listen"]);
    }

    #[test]
    fn a_misspelt_key_or_mode_is_named() {
        for (text, expected) in [
            ("lisden = \"off\"", "unknown field `lisden`"),
            ("client_ip = \"hash\"", "unknown variant `hash`"),
        ] {
            let error = toml::from_str::<ServeConfig>(text).expect_err("refused");
            assert!(error.message().contains(expected), "{}", error.message());
        }
    }

    #[test]
    fn clients_are_shown_as_far_as_the_mode_allows() {
        let label = |mode: ClientLabel, client: &str| mode.of(client.as_bytes());
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(some("203.0.113.7"), label(ClientLabel::Full, "203.0.113.7"));
        assert_eq!(some("203.0.113.7"), label(ClientLabel::Full, "::ffff:203.0.113.7"));
        assert_eq!(some("203.0.113.0/24"), label(ClientLabel::Prefix, "203.0.113.7"));
        assert_eq!(some("2001:db8:1:200::/56"), label(ClientLabel::Prefix, "2001:DB8:1:2ff::7"));
        assert_eq!(None, label(ClientLabel::Off, "203.0.113.7"));
        for text in ["", "unix:", "evil.example.org", "203.0.113.7 ", "\u{202e}"] {
            assert_eq!(None, label(ClientLabel::Full, text));
        }
        assert_eq!(None, ClientLabel::Full.of(b"\xff\xfe"));
    }
}
