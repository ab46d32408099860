//! Networks that their owners publish: proxies of content delivery networks, and crawlers.
//!
//! A copy in the program, because it must not ask anybody while it reads. Each list says of which
//! day it is; a network that came later is a stranger: its headers are not believed and its crawler
//! is a claim.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::LazyLock;

use ipnet::IpNet;
use memchr::memmem::Finder;
use serde::Deserialize;

use crate::engine::batch::{Event, Field};

/// Proxies that stand in front of sites, by the name of who runs them.
struct Cdn {
    name: &'static str,
    /// The day of the list.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reader, and held by a test"))]
    as_of: &'static str,
    networks: &'static [&'static str],
}

const CDNS: &[Cdn] = &[
    // https://www.cloudflare.com/ips
    Cdn {
        name: "cloudflare",
        as_of: "2026-10-05",
        networks: &[
            "103.21.244.0/22",
            "103.22.200.0/22",
            "103.31.4.0/22",
            "104.16.0.0/13",
            "104.24.0.0/14",
            "108.162.192.0/18",
            "131.0.72.0/22",
            "141.101.64.0/18",
            "162.158.0.0/15",
            "172.64.0.0/13",
            "173.245.48.0/20",
            "188.114.96.0/20",
            "190.93.240.0/20",
            "197.234.240.0/22",
            "198.41.128.0/17",
            "2400:cb00::/32",
            "2405:8100::/32",
            "2405:b500::/32",
            "2606:4700::/32",
            "2803:f800::/32",
            "2a06:98c0::/29",
            "2c0f:f248::/32",
        ],
    },
    // https://api.fastly.com/public-ip-list
    Cdn {
        name: "fastly",
        as_of: "2025-10-31",
        networks: &[
            "103.244.50.0/24",
            "103.245.222.0/23",
            "103.245.224.0/24",
            "104.156.80.0/20",
            "140.248.128.0/17",
            "140.248.64.0/18",
            "146.75.0.0/17",
            "151.101.0.0/16",
            "157.52.64.0/18",
            "167.82.0.0/17",
            "167.82.128.0/20",
            "167.82.160.0/20",
            "167.82.224.0/20",
            "172.111.64.0/18",
            "185.31.16.0/22",
            "199.232.0.0/16",
            "199.27.72.0/21",
            "23.235.32.0/20",
            "2a04:4e40::/32",
            "2a04:4e42::/32",
            "43.249.72.0/22",
        ],
    },
    // RFC 1918 and RFC 4193: a proxy in the same house.
    Cdn {
        name: "private",
        as_of: "1996-02-01",
        networks: &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
    },
];

/// One entry of `trusted_proxies`: a network, an address, or the name of a list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// The networks.
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }
}

/// An entry that names no network.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` is no network such as 192.0.2.0/24, no address and none of {known}", known = names())]
pub struct UnknownProxies(String);

fn names() -> String {
    let names: Vec<&str> = CDNS.iter().map(|cdn| cdn.name).collect();
    names.join(", ")
}

impl FromStr for Proxies {
    type Err = UnknownProxies;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(cdn) = CDNS.iter().find(|cdn| cdn.name == text) {
            return Ok(Self(cdn.networks.iter().filter_map(|net| net.parse().ok()).collect()));
        }
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|net| Self(vec![net])).map_err(|_| UnknownProxies(text.to_owned()))
    }
}

impl TryFrom<String> for Proxies {
    type Error = UnknownProxies;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A crawler whose owner publishes the networks it comes from.
struct KnownCrawler {
    name: &'static str,
    /// A word of its user agent that nobody else has an honest use for.
    token: &'static str,
    networks: &'static [&'static str],
}

/// A part of the token of each crawler.
const WORD_OF_ALL: &[u8] = b"bot";

/// Google's and Microsoft's lists are of 2026-07-27; Google's many /27 are written as the network
/// that holds them all. 17.0.0.0/8 is Apple's whole network.
const CRAWLERS: &[KnownCrawler] = &[
    // https://developers.google.com/search/apis/ipranges/googlebot.json
    KnownCrawler {
        name: "Googlebot",
        token: "Googlebot",
        networks: &["66.249.64.0/20", "2001:4860:4801::/48"],
    },
    // https://www.bing.com/toolbox/bingbot.json
    KnownCrawler {
        name: "bingbot",
        token: "bingbot",
        networks: &[
            "13.66.139.0/24",
            "13.66.144.0/24",
            "13.67.10.16/28",
            "13.69.66.240/28",
            "13.71.172.224/28",
            "139.217.52.0/28",
            "157.55.39.0/24",
            "191.233.204.224/28",
            "199.30.24.0/23",
            "20.125.163.80/28",
            "20.15.133.160/27",
            "20.36.108.32/28",
            "20.43.120.16/28",
            "20.74.197.0/28",
            "20.79.107.240/28",
            "207.46.13.0/24",
            "40.77.139.0/25",
            "40.77.167.0/24",
            "40.77.177.0/24",
            "40.77.178.0/23",
            "40.77.188.0/22",
            "40.77.202.0/24",
            "40.79.131.208/28",
            "40.79.186.176/28",
            "51.105.67.0/28",
            "51.8.235.176/28",
            "52.167.144.0/24",
            "52.231.148.0/28",
            "65.55.210.0/24",
        ],
    },
    KnownCrawler { name: "Applebot", token: "Applebot", networks: &["17.0.0.0/8"] },
];

/// What is known about an agent that calls itself a crawler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It comes from where its owner says that it comes from.
    Verified(&'static str),
    /// It comes from elsewhere: somebody else, or a network newer than the list.
    Claimed(&'static str),
}

impl Standing {
    /// `gatewatch.crawler.standing`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified(_) => "verified",
            Self::Claimed(_) => "claimed",
        }
    }

    /// `gatewatch.crawler.name`.
    pub fn crawler(self) -> &'static str {
        match self {
            Self::Verified(name) | Self::Claimed(name) => name,
        }
    }
}

/// What the client of `event` is, if its agent names a crawler whose networks are known.
pub fn crawler(event: &Event<'_>) -> Option<Standing> {
    standing(event.field(Field::UserAgent)?, event.row().client)
}

fn standing(agent: &[u8], client: Option<IpAddr>) -> Option<Standing> {
    // Each event is asked about, and most agents are none of them.
    static WORD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(WORD_OF_ALL));
    static NETWORKS: LazyLock<Vec<Vec<IpNet>>> = LazyLock::new(|| {
        let parsed = |texts: &[&str]| texts.iter().filter_map(|net| net.parse().ok()).collect();
        CRAWLERS.iter().map(|one| parsed(one.networks)).collect()
    });
    WORD.find(agent)?;
    let index = CRAWLERS
        .iter()
        .position(|one| memchr::memmem::find(agent, one.token.as_bytes()).is_some())?;
    let client = client?.to_canonical();
    let name = CRAWLERS[index].name;
    let is_there = NETWORKS[index].iter().any(|net| net.contains(&client));
    Some(if is_there { Standing::Verified(name) } else { Standing::Claimed(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_holds_networks_and_a_day() {
        for (name, networks) in CDNS
            .iter()
            .map(|cdn| (cdn.name, cdn.networks))
            .chain(CRAWLERS.iter().map(|one| (one.name, one.networks)))
        {
            for text in networks {
                let net: IpNet = text.parse().unwrap_or_else(|_| panic!("{name}: {text}"));
                assert_eq!(net, net.trunc(), "{name}: {text} has bits behind its length");
            }
        }
        for cdn in CDNS {
            assert!(cdn.as_of.parse::<jiff::civil::Date>().is_ok(), "{}", cdn.name);
        }
    }

    #[test]
    fn every_token_holds_the_word_that_is_looked_for_first() {
        let word = std::str::from_utf8(WORD_OF_ALL).expect("text");
        assert!(CRAWLERS.iter().all(|one| one.token.contains(word)));
    }

    #[test]
    fn an_entry_is_a_network_an_address_or_a_name() {
        let networks = |text: &str| text.parse::<Proxies>().map(|proxies| proxies.0.len());
        assert_eq!(Ok(1), networks("192.0.2.0/24"));
        assert_eq!(Ok(1), networks("2001:db8::1"));
        assert_eq!(Ok(22), networks("cloudflare"));
        let error = networks("cloudfare").expect_err("no such list").to_string();
        assert!(error.contains("cloudflare, fastly, private"), "{error}");
    }

    #[test]
    fn a_crawler_is_known_by_where_it_comes_from() {
        let agent = b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        let standing = |client: &str| standing(agent, client.parse().ok());
        assert_eq!(Some(Standing::Verified("Googlebot")), standing("66.249.66.1"));
        assert_eq!(Some(Standing::Verified("Googlebot")), standing("::ffff:66.249.66.1"));
        assert_eq!(Some(Standing::Claimed("Googlebot")), standing("192.0.2.7"));
        assert_eq!(None, standing("unknown"));
        assert_eq!(None, super::standing(b"curl/8.5.0", "66.249.66.1".parse().ok()));
    }
}
