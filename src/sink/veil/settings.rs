//! Settings of what a sink may tell about people: `[sink.privacy]`.

use std::path::PathBuf;

use serde::Deserialize;

/// Bits of an IPv4 address that are sent by default.
const IPV4_BITS: u8 = 24;

/// Bits of an IPv6 address that are sent by default: what one customer gets.
const IPV6_BITS: u8 = 48;

/// Tokens that the store can reveal by default.
const TOKENS_MAX: u64 = 250_000;

/// The most that may be asked for.
const TOKENS_CEILING: u64 = 10_000_000;

/// `[sink.privacy]`: in which form addresses and names of users leave through a sink.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyConfig {
    /// What becomes of addresses, and whether lines and messages may leave at all.
    pub mode: PrivacyMode,

    /// With `truncated`: how many bits of an IPv4 address are sent; 24 where nothing stands here.
    pub ipv4_bits: Option<u8>,

    /// The same for IPv6; 48.
    pub ipv6_bits: Option<u8>,

    /// What becomes of names of users: with `truncated` they are sent as they are by default, with
    /// `token` as tokens.
    pub users: Option<Users>,

    /// File with the secret that tokens are made with, at least 32 bytes, readable by its owner only.
    ///
    /// Without it the systemd credential `privacy-key` is used. Who destroys the secret makes all
    /// tokens meaningless.
    pub key_file: Option<PathBuf>,

    /// How many tokens the store can reveal; those that were not seen for the longest time go first.
    pub tokens_max: Option<u64>,
}

/// In which form addresses leave.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum PrivacyMode {
    /// As they were logged.
    #[default]
    Clear,
    /// Without their last bits.
    Truncated,
    /// As a token: the same for the same address, as long as the key is.
    Token,
}

/// In which form names of users leave.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Users {
    /// As they were logged.
    Clear,
    /// As a token.
    Token,
    /// Not at all.
    Drop,
}

impl PrivacyConfig {
    /// Something is hidden.
    pub fn is_on(&self) -> bool {
        self.mode != PrivacyMode::Clear
    }

    /// What becomes of names.
    pub fn users(&self) -> Users {
        self.users.unwrap_or(match self.mode {
            PrivacyMode::Token => Users::Token,
            PrivacyMode::Clear | PrivacyMode::Truncated => Users::Clear,
        })
    }

    /// Tokens are made, so there must be a key.
    pub fn needs_key(&self) -> bool {
        self.mode == PrivacyMode::Token || self.is_on() && self.users() == Users::Token
    }

    /// Bits of an address that are sent: of IPv4, of IPv6.
    pub(super) fn bits(&self) -> (u8, u8) {
        (self.ipv4_bits.unwrap_or(IPV4_BITS), self.ipv6_bits.unwrap_or(IPV6_BITS))
    }

    /// How many tokens the store keeps.
    pub(super) fn tokens_max(&self) -> u64 {
        self.tokens_max.unwrap_or(TOKENS_MAX)
    }

    /// What the receiver learns of people, in words.
    pub fn words(&self) -> String {
        let users = match self.users() {
            Users::Clear => "names of users as logged",
            Users::Token => "names of users as tokens",
            Users::Drop => "no names of users",
        };
        let (ipv4, ipv6) = self.bits();
        match self.mode {
            PrivacyMode::Clear => format!("addresses and {users}"),
            PrivacyMode::Truncated => {
                format!("addresses cut to /{ipv4} and /{ipv6}, {users}, no raw lines")
            }
            PrivacyMode::Token => format!("addresses as tokens, {users}, no raw lines"),
        }
    }

    /// What is wrong with the settings: the key and the reason with its fix.
    pub fn complaint(&self) -> Option<(&'static str, &'static str)> {
        if !self.is_on() {
            let nothing = *self == Self::default();
            let reason = "the other settings need `mode = \"truncated\"` or `mode = \"token\"`";
            return (!nothing).then_some(("mode", reason));
        }
        let truncated = self.mode == PrivacyMode::Truncated;
        if self.ipv4_bits.is_some_and(|bits| !truncated || 32 <= bits) {
            return Some(("ipv4_bits", "it is used with `mode = \"truncated\"`, from 0 to 31"));
        }
        if self.ipv6_bits.is_some_and(|bits| !truncated || 128 <= bits) {
            return Some(("ipv6_bits", "it is used with `mode = \"truncated\"`, from 0 to 127"));
        }
        if !self.needs_key() && (self.key_file.is_some() || self.tokens_max.is_some()) {
            return Some(("key_file", "no tokens are made; take it out, or ask for tokens"));
        }
        if !(1..=TOKENS_CEILING).contains(&self.tokens_max()) {
            return Some(("tokens_max", "from 1 to 10000000"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let config: PrivacyConfig = toml::from_str(text).expect("settings");
        assert_eq!(expected, config.complaint().map(|(key, _)| key), "{text}");
    }

    #[test]
    fn what_a_receiver_learns_is_told_in_words() {
        let words = |text| toml::from_str::<PrivacyConfig>(text).expect("settings").words();
        assert_eq!("addresses and names of users as logged", words(""));
        assert_eq!(
            "addresses cut to /16 and /48, no names of users, no raw lines",
            words("mode = \"truncated\"\nipv4_bits = 16\nusers = \"drop\"")
        );
        assert_eq!(
            "addresses as tokens, names of users as tokens, no raw lines",
            words("mode = \"token\"")
        );
    }

    #[test]
    fn settings_that_do_not_go_together_are_named() {
        check("", None);
        check("mode = \"clear\"", None);
        check("mode = \"token\"\nkey_file = \"k\"\ntokens_max = 9", None);
        check("mode = \"token\"\nusers = \"drop\"", None);
        check("mode = \"truncated\"\nipv4_bits = 16\nipv6_bits = 32", None);
        check("mode = \"truncated\"\nusers = \"token\"\nkey_file = \"k\"", None);
        check("users = \"drop\"", Some("mode"));
        check("mode = \"truncated\"\nipv4_bits = 32", Some("ipv4_bits"));
        check("mode = \"truncated\"\nipv6_bits = 128", Some("ipv6_bits"));
        check("mode = \"token\"\nipv4_bits = 24", Some("ipv4_bits"));
        check("mode = \"truncated\"\nkey_file = \"k\"", Some("key_file"));
        check("mode = \"token\"\ntokens_max = 0", Some("tokens_max"));
    }
}
