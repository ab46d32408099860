//! What a column of an access log is, told by its form alone.
//!
//! Invariant: a form is one that servers write; what only a client would write has none.

use memchr::memchr;

use super::super::capture::Unit;
use super::TAIL_COLUMNS_MAX;
use crate::engine::address::{parse_ip, split_port};

/// A list of addresses, or of hops that hide themselves.
pub(super) fn is_hops(text: &[u8]) -> bool {
    let is_hop = |hop: &[u8]| {
        let hop = hop.trim_ascii();
        parse_ip(hop).is_some() || parse_ip(split_port(hop).0).is_some() || hop == b"unknown"
    };
    !text.is_empty() && text.split(|byte| *byte == b',').all(is_hop)
}

pub(super) fn is_referrer(text: &[u8]) -> bool {
    matches!(text, b"-" | b"") || text.starts_with(b"http://") || text.starts_with(b"https://")
}

/// `12ms` as `12` and its unit.
pub(super) fn with_unit(word: &[u8]) -> (&[u8], Option<Unit>) {
    for (suffix, unit) in [
        (&b"ms"[..], Unit::Milliseconds),
        (b"us", Unit::Microseconds),
        ("µs".as_bytes(), Unit::Microseconds),
        (b"s", Unit::Seconds),
    ] {
        if let Some(number) = word.strip_suffix(suffix) {
            return (number, Some(unit));
        }
    }
    (word, None)
}

pub(super) fn is_cipher(word: &[u8]) -> bool {
    8 <= word.len()
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// nginx's and Varnish's words, and Squid's `TCP_MISS:HIER_DIRECT`.
pub(super) fn is_cache_verdict(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 11] = [
        b"HIT",
        b"MISS",
        b"BYPASS",
        b"EXPIRED",
        b"STALE",
        b"UPDATING",
        b"REVALIDATED",
        b"SCARCE",
        b"PASS",
        b"PIPE",
        b"DYNAMIC",
    ];
    WORDS.iter().any(|verdict| word.eq_ignore_ascii_case(verdict))
        || word.starts_with(b"TCP_")
        || word.starts_with(b"UDP_")
}

/// `198.51.100.1:8080` or `unix:/run/app.sock`.
pub(super) fn is_upstream(word: &[u8]) -> bool {
    let (address, port) = split_port(word);
    word.starts_with(b"unix:/") || (port.is_some() && parse_ip(address).is_some())
}

/// Sixteen or more hexadecimal digits, perhaps in groups.
pub(super) fn is_identifier(word: &[u8]) -> bool {
    16 <= word.len()
        && word.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
        && word.iter().any(u8::is_ascii_digit)
}

/// Where the agent begins that takes the rest of a line without quotes: `Name/1…`.
pub(super) fn agent_without_quotes(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    for word in rest.split(|byte| *byte == b' ').take(TAIL_COLUMNS_MAX) {
        let slash = memchr(b'/', word).filter(|slash| 0 < *slash);
        if let Some(slash) = slash
            && word[0].is_ascii_alphabetic()
            && word.get(slash + 1).is_some_and(u8::is_ascii_digit)
            && word[..slash]
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        {
            return Some(at);
        }
        at += word.len() + 1;
    }
    None
}
