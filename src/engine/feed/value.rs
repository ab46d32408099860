//! What an entry of a list is: read, freed of what makes it harmless to look at, and brought into the
//! one spelling in which it is compared.
//!
//! Invariant: an entry and the part of an event that it is meant for become the same bytes. What cannot
//! be told apart from half of the world (a whole continent of addresses, a top-level domain) is refused.

use std::borrow::Cow;
use std::net::IpAddr;

use super::index::Family;
use super::kind::Taken;
use crate::engine::address::{is_host_name, parse_ip, split_port};
use crate::engine::text::{hex_value, parse_u64};

/// What an entry stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Value<'t> {
    /// A stretch of addresses, ends included; a single one where they are the same.
    Addresses(IpAddr, IpAddr),
    /// In lower case, without a dot at either end.
    Domain(Cow<'t, [u8]>),
    /// A host in lower case, and the target behind it.
    Url(Cow<'t, [u8]>, Cow<'t, [u8]>),
    /// With its query, where there is one.
    Path(Cow<'t, [u8]>),
    UserAgent(&'t [u8]),
    /// In lower case.
    Hash(Cow<'t, [u8]>),
    User(&'t [u8]),
}

/// Bits that a network has at least: a wider one is a mistake, or somebody's bad joke.
const BITS_MIN_V4: u8 = 8;
const BITS_MIN_V6: u8 = 16;

/// Longest entry that is taken.
pub(super) const VALUE_BYTES_MAX: usize = 4096;

/// Reads an entry as `taken`; the complaint completes "line 7: ".
pub(super) fn read(text: &[u8], taken: Taken) -> Result<Value<'_>, &'static str> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err("it is empty");
    }
    if VALUE_BYTES_MAX < text.len() {
        return Err("it is longer than 4096 bytes");
    }
    match taken {
        Taken::Auto => guess(text),
        Taken::Ip => addresses(text).unwrap_or(Err("it is no address and no network")),
        Taken::Domain => {
            domain(text).ok_or("it is no name of a host with a dot in it, such as evil.example")
        }
        Taken::Url => url(text).ok_or("it is no URL such as http://evil.example/gate"),
        Taken::Path if text[0] == b'/' => Ok(Value::Path(canonical(text))),
        Taken::Path => Err("a path begins with a slash"),
        Taken::UserAgent => Ok(Value::UserAgent(text)),
        Taken::Hash => hash(text).ok_or("it is no hash of 32, 40 or 64 hexadecimal digits"),
        Taken::User => Ok(Value::User(text)),
    }
}

fn guess(text: &[u8]) -> Result<Value<'_>, &'static str> {
    if let Some(found) = addresses(text) {
        return found;
    }
    if text[0] == b'/' {
        return Ok(Value::Path(canonical(text)));
    }
    let has_blank = text.iter().any(u8::is_ascii_whitespace);
    let known = if has_blank { None } else { url_with_scheme(text).or_else(|| hash(text)) };
    if let Some(known) = known.or_else(|| domain(text)) {
        return Ok(known);
    }
    match memchr::memchr(b'/', text) {
        // A host and a path without a scheme; a product and its version look alike but for the dot.
        Some(slash) if !has_blank && domain(&text[..slash]).is_some() => {
            url(text).ok_or("it is no URL")
        }
        Some(_) => Ok(Value::UserAgent(text)),
        None if has_blank => Ok(Value::UserAgent(text)),
        None => Err("it is no address, domain, URL, path, hash or user agent"),
    }
}

/// An address, a network or `FIRST-LAST`, with a port or without; nothing where it is none of these.
fn addresses(text: &[u8]) -> Option<Result<Value<'_>, &'static str>> {
    let plain = undone(text);
    let (first, last) = if let Some(at) = memchr::memchr(b'/', &plain) {
        let address = parse_ip(plain[..at].trim_ascii())?;
        let bits = u8::try_from(parse_u64(&plain[at + 1..])?).ok()?;
        return Some(network(address, bits));
    } else if let Some(at) = memchr::memchr(b'-', &plain) {
        (parse_ip(plain[..at].trim_ascii())?, parse_ip(plain[at + 1..].trim_ascii())?)
    } else {
        let one = parse_ip(&plain).or_else(|| parse_ip(split_port(&plain).0))?;
        (one, one)
    };
    Some(match (Family::from(first), Family::from(last)) {
        (Family::V4(a), Family::V4(b)) if b < a => Err("the stretch ends before it begins"),
        (Family::V4(a), Family::V4(b)) if 1 << (32 - BITS_MIN_V4) < u64::from(b - a) + 1 => {
            Err("it holds more addresses than a /8")
        }
        (Family::V6(a), Family::V6(b)) if b < a => Err("the stretch ends before it begins"),
        (Family::V6(a), Family::V6(b)) if a[..2] != b[..2] => {
            Err("it holds more addresses than a /16")
        }
        (Family::V4(_), Family::V6(_)) | (Family::V6(_), Family::V4(_)) => {
            Err("its ends are of two kinds")
        }
        _ => Ok(Value::Addresses(first, last)),
    })
}

fn network<'t>(address: IpAddr, bits: u8) -> Result<Value<'t>, &'static str> {
    let (whole, min) = match address {
        IpAddr::V4(_) => (32, BITS_MIN_V4),
        IpAddr::V6(_) => (128, BITS_MIN_V6),
    };
    if whole < bits {
        return Err("an address has not that many bits");
    }
    if bits < min {
        return Err("it holds more addresses than a /8, or a /16 of IPv6");
    }
    let mask = u128::MAX.checked_shr(128 - u32::from(whole - bits)).unwrap_or(0);
    let (first, last): (IpAddr, IpAddr) = match address {
        IpAddr::V4(v4) => {
            let (number, mask) = (u32::from(v4), mask as u32);
            (IpAddr::V4((number & !mask).into()), IpAddr::V4((number | mask).into()))
        }
        IpAddr::V6(v6) => {
            let number = u128::from(v6);
            (IpAddr::V6((number & !mask).into()), IpAddr::V6((number | mask).into()))
        }
    };
    Ok(Value::Addresses(first, last))
}

fn domain(text: &[u8]) -> Option<Value<'_>> {
    let name = host(undone(text))?;
    // A name with a dot, and no address that was written oddly.
    let last = name.rsplit(|byte| *byte == b'.').next()?;
    let is_name = last.len() < name.len() && last.iter().any(u8::is_ascii_alphabetic);
    is_name.then_some(Value::Domain(name))
}

/// In lower case, without `*.` before it and dots around it; nothing where it is no name.
fn host(text: Cow<'_, [u8]>) -> Option<Cow<'_, [u8]>> {
    let start = if text.starts_with(b"*.") { 2 } else { usize::from(text.starts_with(b".")) };
    let end = text.len() - usize::from(start < text.len() && text.ends_with(b"."));
    let name = text.get(start..end)?;
    let is_sound = is_host_name(name) && !name.split(|byte| *byte == b'.').any(<[u8]>::is_empty);
    if !is_sound {
        return None;
    }
    let is_as_it_is = name.len() == text.len() && !name.iter().any(u8::is_ascii_uppercase);
    match text {
        Cow::Borrowed(text) if is_as_it_is => Some(Cow::Borrowed(text)),
        _ => Some(Cow::Owned(name.to_ascii_lowercase())),
    }
}

fn url_with_scheme(text: &[u8]) -> Option<Value<'_>> {
    scheme_end(text).and_then(|_| url(text))
}

/// Where the host of a URL begins: behind `https://`, `hxxps[:]//` and the like.
fn scheme_end(text: &[u8]) -> Option<usize> {
    let at = memchr::memmem::find(text, b"//")?;
    let scheme = text[..at].strip_suffix(b"[:]").or_else(|| text[..at].strip_suffix(b":"))?;
    let is_scheme =
        !scheme.is_empty() && scheme.len() <= 8 && scheme.iter().all(u8::is_ascii_alphabetic);
    is_scheme.then_some(at + 2)
}

fn url(text: &[u8]) -> Option<Value<'_>> {
    let text = &text[scheme_end(text).unwrap_or(0)..];
    let slash = text.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let (authority, target) = text.split_at(slash.unwrap_or(text.len()));
    let authority = memchr::memrchr(b'@', authority).map_or(authority, |at| &authority[at + 1..]);
    let authority = undone(authority);
    let name = split_port(&authority).0;
    let name = match parse_ip(name) {
        Some(ip) => ip.to_string().into_bytes(),
        None => host(Cow::Borrowed(name))?.into_owned(),
    };
    let target = target_of(target);
    Some(Value::Url(Cow::Owned(name), target))
}

/// Path and query as a server sees them.
fn target_of(target: &[u8]) -> Cow<'_, [u8]> {
    let target = memchr::memchr(b'#', target).map_or(target, |at| &target[..at]);
    match target.first() {
        None => Cow::Borrowed(b"/"),
        Some(b'/') => canonical(target),
        Some(_) => Cow::Owned([b"/", target].concat()),
    }
}

fn hash(text: &[u8]) -> Option<Value<'_>> {
    let is_hash = matches!(text.len(), 32 | 40 | 64) && text.iter().all(u8::is_ascii_hexdigit);
    is_hash.then(|| Value::Hash(lower(text)))
}

/// `text` in lower case.
pub(super) fn lower(text: &[u8]) -> Cow<'_, [u8]> {
    if text.iter().any(u8::is_ascii_uppercase) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

/// Undoes what people do to an address so that nobody clicks on it: `[.]`, `(.)`, `[dot]`, `[:]`.
fn undone(text: &[u8]) -> Cow<'_, [u8]> {
    const MARKS: [(&[u8], u8); 5] =
        [(b"[.]", b'.'), (b"(.)", b'.'), (b"[dot]", b'.'), (b"(dot)", b'.'), (b"[:]", b':')];
    let has_mark = |text: &[u8]| memchr::memchr2(b'[', b'(', text).is_some();
    if !has_mark(text) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        match MARKS.iter().find(|(mark, _)| rest.starts_with(mark)) {
            Some((mark, byte)) => {
                out.push(*byte);
                rest = &rest[mark.len()..];
            }
            None => {
                out.push(*first);
                rest = &rest[1..];
            }
        }
    }
    Cow::Owned(out)
}

/// A target in which letters, digits and `-._~` stand for themselves: whoever writes them as `%41`
/// asks for the same.
pub(super) fn canonical(target: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'%', target) else { return Cow::Borrowed(target) };
    let mut out = target[..first].to_vec();
    let mut rest = &target[first..];
    while let Some((byte, tail)) = rest.split_first() {
        if let (b'%', [high, low, behind @ ..]) = (*byte, tail)
            && high.is_ascii_hexdigit()
            && low.is_ascii_hexdigit()
        {
            let decoded = hex_value(*high) << 4 | hex_value(*low);
            if decoded.is_ascii_alphanumeric() || matches!(decoded, b'-' | b'.' | b'_' | b'~') {
                out.push(decoded);
            } else {
                out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
            }
            rest = behind;
        } else {
            out.push(*byte);
            rest = tail;
        }
    }
    Cow::Owned(out)
}

/// A part of a text, or a copy in another spelling.
type Part<'t> = Cow<'t, [u8]>;

/// Host and target of a URL in an event; nothing where it is none.
pub(super) fn url_parts(text: &[u8]) -> Option<(Part<'_>, Part<'_>)> {
    match url_with_scheme(text)? {
        Value::Url(host, target) => Some((host, target)),
        _ => None,
    }
}

/// An address that belongs to nobody in particular: of this machine, of a house, of a provider's
/// shared network.
pub(super) fn is_nobodys(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || a == 0
                || v4.is_broadcast()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, taken: Taken) -> String {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match read(text.as_bytes(), taken) {
            Err(reason) => format!("refused: {reason}"),
            Ok(Value::Addresses(a, b)) if a == b => format!("address {a}"),
            Ok(Value::Addresses(a, b)) => format!("addresses {a} to {b}"),
            Ok(Value::Domain(name)) => format!("domain {}", text_of(&name)),
            Ok(Value::Url(host, target)) => format!("url {} {}", text_of(&host), text_of(&target)),
            Ok(Value::Path(path)) => format!("path {}", text_of(&path)),
            Ok(Value::UserAgent(agent)) => format!("agent {}", text_of(agent)),
            Ok(Value::Hash(hash)) => format!("hash {}", text_of(&hash)),
            Ok(Value::User(user)) => format!("user {}", text_of(user)),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(expected, shown(text, Taken::Auto), "{text}");
    }

    #[test]
    fn an_entry_is_what_it_looks_like() {
        check("203.0.113.7", "address 203.0.113.7");
        check(" 203.0.113.7:8080 ", "address 203.0.113.7");
        check("203[.]0[.]113[.]7", "address 203.0.113.7");
        check("203.0.113.77/24", "addresses 203.0.113.0 to 203.0.113.255");
        check("203.0.113.9 - 203.0.113.11", "addresses 203.0.113.9 to 203.0.113.11");
        check("::ffff:203.0.113.7", "address 203.0.113.7");
        check("2001:db8::1", "address 2001:db8::1");
        check("[2001:db8::1]:443", "address 2001:db8::1");
        check("2001:db8::/127", "addresses 2001:db8:: to 2001:db8::1");
        check("Evil.Example.", "domain evil.example");
        check("*.evil.example", "domain evil.example");
        check("evil[.]example", "domain evil.example");
        check(
            "hxxps://Evil[.]example:8443/Gate.php?x=%41%2f#top",
            "url evil.example /Gate.php?x=A%2F",
        );
        check("hxxp[:]//evil.example", "url evil.example /");
        check("http://203.0.113.7?x", "url 203.0.113.7 /?x");
        check("evil.example/gate", "url evil.example /gate");
        check("/cgi-bin/%6Cuci", "path /cgi-bin/luci");
        check("Mozilla/5.0 (compatible; evil)", "agent Mozilla/5.0 (compatible; evil)");
        check("evilbot/1.0", "agent evilbot/1.0");
        check("D41D8CD98F00B204E9800998ECF8427E", "hash d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!("user root", shown("root", Taken::User));
        assert_eq!("agent curl", shown("curl", Taken::UserAgent));
    }

    #[test]
    fn what_would_hit_everybody_or_nobody_is_refused() {
        check("0.0.0.0/0", "refused: it holds more addresses than a /8, or a /16 of IPv6");
        check("1.0.0.0-3.0.0.0", "refused: it holds more addresses than a /8");
        check("2001::-2002::", "refused: it holds more addresses than a /16");
        check("::/3", "refused: it holds more addresses than a /8, or a /16 of IPv6");
        check("203.0.113.9-203.0.113.1", "refused: the stretch ends before it begins");
        check("203.0.113.9-2001:db8::1", "refused: its ends are of two kinds");
        check("203.0.113.7/33", "refused: an address has not that many bits");
        check("com", "refused: it is no address, domain, URL, path, hash or user agent");
        check("203.0.113", "refused: it is no address, domain, URL, path, hash or user agent");
        check("evil..example", "refused: it is no address, domain, URL, path, hash or user agent");
    }
}
