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
use crate::units::{Period, Timestamp};

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
    /// The owner's other networks, which it also lets to others: whether a crawler there is its own
    /// cannot be told.
    owned: &'static [&'static str],
}

/// The day of the crawlers' lists, and how long they decide who is a stranger: 400 days.
const CRAWLERS_AS_OF: Timestamp = Timestamp::from_secs(1_785_110_400);
const CRAWLERS_DECIDE: Period = Period::from_secs(400 * 86_400);

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
        owned: &[
            "8.34.208.0/20",
            "8.35.192.0/20",
            "34.64.0.0/10",
            "34.128.0.0/10",
            "35.184.0.0/13",
            "35.192.0.0/11",
            "35.224.0.0/12",
            "35.240.0.0/13",
            "64.233.160.0/19",
            "66.102.0.0/20",
            "66.249.80.0/20",
            "72.14.192.0/18",
            "74.125.0.0/16",
            "104.154.0.0/15",
            "104.196.0.0/14",
            "107.178.192.0/18",
            "108.177.0.0/17",
            "130.211.0.0/16",
            "142.250.0.0/15",
            "172.217.0.0/16",
            "172.253.0.0/16",
            "173.194.0.0/16",
            "192.178.0.0/15",
            "209.85.128.0/17",
            "216.58.192.0/19",
            "216.239.32.0/19",
            "2001:4860::/32",
            "2404:6800::/32",
            "2600:1900::/28",
            "2607:f8b0::/32",
            "2a00:1450::/32",
        ],
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
        owned: &[
            "4.128.0.0/9",
            "13.64.0.0/11",
            "13.104.0.0/14",
            "20.0.0.0/8",
            "23.96.0.0/13",
            "40.64.0.0/10",
            "51.8.0.0/16",
            "51.104.0.0/14",
            "51.136.0.0/13",
            "52.96.0.0/12",
            "52.136.0.0/13",
            "52.144.0.0/12",
            "52.160.0.0/11",
            "52.224.0.0/11",
            "65.52.0.0/14",
            "104.40.0.0/13",
            "131.253.0.0/16",
            "137.116.0.0/15",
            "139.217.0.0/16",
            "157.54.0.0/15",
            "157.56.0.0/14",
            "168.61.0.0/16",
            "168.62.0.0/15",
            "191.232.0.0/13",
            "199.30.16.0/20",
            "207.46.0.0/16",
            "2603:1000::/24",
            "2620:1ec::/36",
            "2a01:110::/31",
        ],
    },
    KnownCrawler { name: "Applebot", token: "Applebot", networks: &["17.0.0.0/8"], owned: &[] },
];

/// What is known about an agent that calls itself a crawler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It comes from where its owner says that it comes from.
    Verified(&'static str),
    /// It comes from elsewhere: somebody else.
    Claimed(&'static str),
    /// The list cannot decide: it comes through a proxy, from where its owner lets machines to
    /// others, or long after the day of the list.
    Unverified(&'static str),
}

impl Standing {
    /// `gatewatch.crawler.standing`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified(_) => "verified",
            Self::Claimed(_) => "claimed",
            Self::Unverified(_) => "unverified",
        }
    }

    /// `gatewatch.crawler.name`.
    pub fn crawler(self) -> &'static str {
        match self {
            Self::Verified(name) | Self::Claimed(name) | Self::Unverified(name) => name,
        }
    }
}

/// What the client of `event` is, if its agent names a crawler whose networks are known.
pub fn crawler(event: &Event<'_>) -> Option<Standing> {
    let row = event.row();
    standing(event.field(Field::UserAgent)?, row.client, row.time)
}

fn standing(agent: &[u8], client: Option<IpAddr>, time: Timestamp) -> Option<Standing> {
    // Each event is asked about, and most agents are none of them.
    static WORD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(WORD_OF_ALL));
    fn parsed(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().filter_map(|net| net.parse().ok()).collect()
    }
    static NETWORKS: LazyLock<Vec<[Vec<IpNet>; 2]>> = LazyLock::new(|| {
        CRAWLERS.iter().map(|one| [parsed(one.networks), parsed(one.owned)]).collect()
    });
    static PROXIES: LazyLock<Vec<IpNet>> =
        LazyLock::new(|| CDNS.iter().flat_map(|cdn| parsed(cdn.networks)).collect());
    WORD.find(agent)?;
    let index = CRAWLERS
        .iter()
        .position(|one| memchr::memmem::find(agent, one.token.as_bytes()).is_some())?;
    let client = client?.to_canonical();
    let name = CRAWLERS[index].name;
    let is_in = |networks: &[IpNet]| networks.iter().any(|net| net.contains(&client));
    let [published, owned] = &NETWORKS[index];
    if is_in(published) {
        return Some(Standing::Verified(name));
    }
    let is_near = client.is_loopback() || is_link_local(client) || is_in(&PROXIES);
    let is_old = CRAWLERS_AS_OF.plus(CRAWLERS_DECIDE) < time;
    let decides = !is_near && !is_old && !is_in(owned);
    Some(if decides { Standing::Claimed(name) } else { Standing::Unverified(name) })
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
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
            .chain(CRAWLERS.iter().map(|one| (one.name, one.owned)))
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
        let standing = |client: &str| standing(agent, client.parse().ok(), CRAWLERS_AS_OF);
        assert_eq!(Some(Standing::Verified("Googlebot")), standing("66.249.66.1"));
        assert_eq!(Some(Standing::Verified("Googlebot")), standing("::ffff:66.249.66.1"));
        assert_eq!(Some(Standing::Claimed("Googlebot")), standing("192.0.2.7"));
        assert_eq!(None, standing("unknown"));
        let ip = "66.249.66.1".parse().ok();
        assert_eq!(None, super::standing(b"curl/8.5.0", ip, CRAWLERS_AS_OF));
    }

    #[test]
    fn where_the_list_cannot_decide_nobody_is_called_a_fake() {
        let agent = b"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)";
        let check = |client: &str, days: u64, standing: Standing| {
            let time = CRAWLERS_AS_OF.plus(Period::from_secs(86_400 * days));
            assert_eq!(
                Some(standing),
                super::standing(agent, client.parse().ok(), time),
                "{client}"
            );
        };
        check("40.77.167.9", 4000, Standing::Verified("bingbot"));
        check("203.0.113.7", 400, Standing::Claimed("bingbot"));
        check("203.0.113.7", 401, Standing::Unverified("bingbot"));
        for proxied in ["127.0.0.1", "10.1.2.3", "fe80::7", "::ffff:172.16.0.1", "172.68.1.1"] {
            check(proxied, 0, Standing::Unverified("bingbot"));
        }
        check("20.9.9.9", 0, Standing::Unverified("bingbot"));
    }
}
