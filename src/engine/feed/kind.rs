//! The kinds of indicators, and what lists call them.

/// What an indicator is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Kind {
    /// An address of IPv4.
    Ipv4,
    /// An address of IPv6.
    Ipv6,
    /// A network, or a stretch of addresses.
    Network,
    /// The name of a host, and all below it.
    Domain,
    /// A whole URL.
    Url,
    /// The path of a request, with its query where there is one.
    Path,
    /// A user agent, to the letter.
    UserAgent,
    /// A hash of a file or of a TLS client (MD5, SHA-1, SHA-256), in hexadecimal.
    Hash,
    /// The name of a user.
    User,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Ipv4,
        Self::Ipv6,
        Self::Network,
        Self::Domain,
        Self::Url,
        Self::Path,
        Self::UserAgent,
        Self::Hash,
        Self::User,
    ];

    /// The name in metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Network => "cidr",
            Self::Domain => "domain",
            Self::Url => "url",
            Self::Path => "url_path",
            Self::UserAgent => "user_agent",
            Self::Hash => "hash",
            Self::User => "user",
        }
    }

    /// `threat.indicator.type`: what ECS calls it, which are the names of STIX.
    pub fn ecs(self, is_v4: bool) -> &'static str {
        match self {
            Self::Ipv4 | Self::Ipv6 | Self::Network if is_v4 => "ipv4-addr",
            Self::Ipv4 | Self::Ipv6 | Self::Network => "ipv6-addr",
            Self::Domain => "domain-name",
            Self::Url | Self::Path => "url",
            Self::UserAgent => "software",
            Self::Hash => "file",
            Self::User => "user-account",
        }
    }
}

/// How an entry of a list is to be taken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// As what it looks like.
    #[default]
    Auto,
    /// An address, a network or a stretch of addresses.
    Ip,
    /// A domain.
    Domain,
    /// A URL.
    Url,
    /// A path.
    Path,
    /// A user agent.
    UserAgent,
    /// A hash.
    Hash,
    /// A user.
    User,
}

/// What the type columns of lists say, in lower case: abuse.ch, MISP, STIX and our own names.
const NAMES: &[(&str, Taken)] = &[
    ("ip", Taken::Ip),
    ("ipv4", Taken::Ip),
    ("ipv6", Taken::Ip),
    ("ipv4-addr", Taken::Ip),
    ("ipv6-addr", Taken::Ip),
    ("ip:port", Taken::Ip),
    ("ip-src", Taken::Ip),
    ("ip-dst", Taken::Ip),
    ("cidr", Taken::Ip),
    ("network", Taken::Ip),
    ("domain", Taken::Domain),
    ("hostname", Taken::Domain),
    ("host", Taken::Domain),
    ("domain-name", Taken::Domain),
    ("fqdn", Taken::Domain),
    ("url", Taken::Url),
    ("uri", Taken::Url),
    ("link", Taken::Url),
    ("url_path", Taken::Path),
    ("path", Taken::Path),
    ("user-agent", Taken::UserAgent),
    ("user_agent", Taken::UserAgent),
    ("useragent", Taken::UserAgent),
    ("md5", Taken::Hash),
    ("sha1", Taken::Hash),
    ("sha256", Taken::Hash),
    ("md5_hash", Taken::Hash),
    ("sha1_hash", Taken::Hash),
    ("sha256_hash", Taken::Hash),
    ("hash", Taken::Hash),
    ("ja3", Taken::Hash),
    ("ja3-fingerprint-md5", Taken::Hash),
    ("user", Taken::User),
    ("user-account", Taken::User),
];

impl Taken {
    /// What a list means by `name`; nothing where it is about something that no log has.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, taken)| *taken)
    }
}
