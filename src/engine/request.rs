//! The request line, taken apart: method, target, path, query, version.
//!
//! Clients send anything, and servers log it. A line that is no request is named for what it is
//! ([`Malformed`]) and keeps as much as can be told; nothing is repaired. The input is the text
//! with the log's escaping undone; percent-encoding stays as it is.
//!
//! Invariant: every value set is a part of the input, so where the input is a part of the raw
//! text nothing is copied; only the host of an absolute target may have to be put in lower case.

use memchr::{memchr, memchr2, memchr3, memrchr};

use super::address::split_port;
use super::batch::{Field, Malformed, Writer};

/// Longest method that is kept; the registered ones have at most 17 letters.
const METHOD_BYTES_MAX: usize = 32;

/// Splits `METHOD target HTTP/x.y` and sets what it finds.
pub fn split(request: &[u8], out: &mut Writer<'_>) {
    // lighttpd leaves its blanks between parts that are not there.
    if matches!(request, b"-") || request.trim_ascii().is_empty() {
        out.row.malformed = Some(Malformed::NoRequestLine);
        return;
    }
    // Nearly every first word is a method: find its end and check it in one go.
    let token = request.iter().position(|byte| !IS_TOKEN[usize::from(*byte)]);
    let first = match token {
        Some(end) if request[end] == b' ' => Some(end),
        Some(end) => memchr(b' ', &request[end..]).map(|blank| end + blank),
        None => None,
    };
    let method = &request[..first.unwrap_or(request.len())];
    let is_method = first == token && !method.is_empty() && method.len() <= METHOD_BYTES_MAX;
    if !is_method && !method.iter().all(|byte| matches!(byte, 0x21..=0x7e)) {
        let is_tls = request.starts_with(&[0x16, 0x03]);
        out.row.malformed = Some(if is_tls { Malformed::TlsBytes } else { Malformed::Binary });
        return;
    }
    let Some(first) = first else {
        // One word is no request line; detectors read it as a target, for it may be an attack.
        out.row.malformed = Some(Malformed::BadMethod);
        out.set(Field::Target, request);
        return;
    };
    if is_method {
        out.set(Field::Method, method);
    } else {
        out.row.malformed = Some(Malformed::BadMethod);
    }
    let rest = &request[first + 1..];
    let (target, version) = cut_version(rest);
    // Servers accept several blanks around the target; from HTTP/2 on nothing parts it from its
    // neighbours, so blanks beside it are its own.
    let target = match version {
        Some([b'2'..=b'9']) => target,
        _ => trim_blanks(target),
    };
    if method == b"CONNECT" && !target.is_empty() {
        // The target is a host and its port: there is no path.
        out.set(Field::Target, target);
    } else {
        split_target(target, out);
    }
    if let Some(version) = version {
        out.set(Field::HttpVersion, version);
    } else if is_method && out.row.malformed.is_none() && !target.is_empty() {
        // HTTP/0.9 is what a line without a version is.
        out.set(Field::HttpVersion, b"0.9");
    }
}

/// Cuts ` HTTP/x.y` from the end; the version is `1.1`, or `2` for `2.0`.
fn cut_version(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    // What nearly every request ends in.
    if let Some(target) = rest.strip_suffix(b" HTTP/1.1") {
        return (target, Some(&rest[rest.len() - 3..]));
    }
    let trimmed = rest.trim_ascii_end();
    let start = memrchr(b' ', trimmed).map_or(0, |blank| blank + 1);
    let version = match trimmed[start..].strip_prefix(b"HTTP/") {
        Some([b'2'..=b'9', b'.', b'0']) => &trimmed[start + 5..start + 6],
        Some(version @ ([b'0'..=b'9', b'.', b'0'..=b'9'] | [b'0'..=b'9'])) => version,
        _ => return (rest, None),
    };
    (&trimmed[..start.saturating_sub(1)], Some(version))
}

/// Sets the version of `HTTP/1.1`, or of `1.1`, `h2` and `http/2` as some write it; any other
/// text is no version.
pub fn set_version(protocol: &[u8], out: &mut Writer<'_>) {
    let version = match protocol {
        [b'H' | b'h', b'T' | b't', b'T' | b't', b'P' | b'p', b'/', version @ ..] => version,
        [b'h', version @ b'2'..=b'3'] => std::slice::from_ref(version),
        _ => protocol,
    };
    match version {
        [b'2'..=b'9', b'.', b'0'] => out.set(Field::HttpVersion, &version[..1]),
        [b'0'..=b'9', b'.', b'0'..=b'9'] | [b'0'..=b'9'] => out.set(Field::HttpVersion, version),
        _ => (),
    }
}

/// Sets the target and its parts; an empty one sets nothing.
pub fn split_target(target: &[u8], out: &mut Writer<'_>) {
    if target.is_empty() {
        return;
    }
    out.set(Field::Target, target);
    let rest = if target[0] == b'/' { target } else { cut_authority(target, out) };
    let Some(mut at) = memchr3(b' ', b'?', b'#', rest) else {
        return set_path(rest, out);
    };
    if rest[at] == b' ' {
        space_in_target(out);
        at = memchr2(b'?', b'#', rest).unwrap_or(rest.len());
    }
    let (path, mut tail) = rest.split_at(at);
    if tail.starts_with(b"?") {
        let end = match memchr2(b'#', b' ', tail) {
            Some(blank) if tail[blank] == b' ' => {
                space_in_target(out);
                memchr(b'#', tail).unwrap_or(tail.len())
            }
            end => end.unwrap_or(tail.len()),
        };
        out.set(Field::Query, &tail[1..end]);
        tail = &tail[end..];
    }
    if let [b'#', fragment @ ..] = tail {
        if memchr(b' ', fragment).is_some() {
            space_in_target(out);
        }
        out.set(Field::Fragment, fragment);
    }
    set_path(path, out);
}

/// Sets target, path and query of a server that logs path and query apart. It may have decoded the
/// path, which then holds any sign, so a path is not taken apart any further.
pub fn join_target(path: &[u8], query: Option<&[u8]>, out: &mut Writer<'_>) {
    if path.starts_with(b"/") {
        out.set(Field::Target, path);
        out.set(Field::Path, path);
    } else {
        split_target(path, out);
    }
    let Some(query) = query else { return };
    out.set(Field::Query, query);
    out.set_with(Field::Target, |to| {
        to.extend_from_slice(path);
        to.push(b'?');
        to.extend_from_slice(query);
    });
}

fn set_path(path: &[u8], out: &mut Writer<'_>) {
    if !path.is_empty() {
        out.set(Field::Path, path);
    }
}

fn space_in_target(out: &mut Writer<'_>) {
    out.row.malformed.get_or_insert(Malformed::SpaceInTarget);
}

/// What follows `http://host:port` in the absolute form, whose host and port are set; any other
/// text as it is.
fn cut_authority<'t>(target: &'t [u8], out: &mut Writer<'_>) -> &'t [u8] {
    let Some(colon) = memchr(b':', &target[..target.len().min(16)]) else { return target };
    let scheme = &target[..colon];
    if scheme.is_empty() || !scheme.iter().all(u8::is_ascii_alphabetic) {
        return target;
    }
    let Some(rest) = target[colon..].strip_prefix(b"://") else { return target };
    let end = memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len());
    // A name and a password in front of the host are no part of it.
    let from = memrchr(b'@', &rest[..end]).map_or(0, |at| at + 1);
    let host_and_port = &rest[from..end];
    let (host, port) = split_port(host_and_port);
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.iter().any(u8::is_ascii_uppercase) {
        out.set_with(Field::UrlDomain, |to| to.extend(host.iter().map(u8::to_ascii_lowercase)));
    } else if !host.is_empty() {
        out.set(Field::UrlDomain, host);
    }
    if port.is_some()
        && let Some(colon) = memrchr(b':', host_and_port)
    {
        out.set(Field::UrlPort, &host_and_port[colon + 1..]);
    }
    &rest[end..]
}

fn trim_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

/// The bytes a token may hold (RFC 9110, section 5.6.2): asked for every byte of every method.
const IS_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::batch::EventBatch;

    /// Fields as `method|target|path|query|fragment|version|malformed`, `-` where there is none.
    fn show(request: &[u8]) -> String {
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), request.to_vec());
        let (raw, mut out) = batch.open();
        split(raw, &mut out);
        out.finish();
        let event = batch.event(0);
        let fields = [
            Field::Method,
            Field::Target,
            Field::Path,
            Field::Query,
            Field::Fragment,
            Field::HttpVersion,
        ];
        let shown = |field| match event.field(field) {
            Some(value) => value.escape_ascii().to_string(),
            None => "-".to_owned(),
        };
        let malformed = event.row().malformed.map_or("-", Malformed::name);
        let mut all: Vec<String> = fields.into_iter().map(shown).collect();
        all.push(malformed.to_owned());
        all.join("|")
    }

    #[track_caller]
    fn check(request: &str, expected: &str) {
        let mut plain = Vec::new();
        crate::engine::text::unescape(&mut plain, request.as_bytes());
        assert_eq!(expected, show(&plain), "{request}");
    }

    #[test]
    fn a_request_has_method_target_and_version() {
        check("GET / HTTP/1.1", "GET|/|/|-|-|1.1|-");
        check("GET /a%20b?x=1&y=/? HTTP/1.0", "GET|/a%20b?x=1&y=/?|/a%20b|x=1&y=/?|-|1.0|-");
        check("get /x? HTTP/2.0", "get|/x?|/x||-|2|-");
        check("POST /a#b?c HTTP/3", "POST|/a#b?c|/a|-|b?c|3|-");
        check("POST /a?b#c HTTP/9.7", "POST|/a?b#c|/a|b|c|9.7|-");
        check("GET  /  HTTP/1.1", "GET|/|/|-|-|1.1|-");
        check("GET /a  HTTP/2.0", "GET|/a |/a |-|-|2|space_in_target");
    }

    #[test]
    fn a_line_without_a_version_is_http_0_9() {
        check("GET /index.html", "GET|/index.html|/index.html|-|-|0.9|-");
    }

    #[test]
    fn blanks_in_the_target_belong_to_it() {
        check("GET /a b c HTTP/1.1", "GET|/a b c|/a b c|-|-|1.1|space_in_target");
        check("GET /a?b c#d HTTP/1.1", "GET|/a?b c#d|/a|b c|d|1.1|space_in_target");
        check("GET /a b?c HTTP/1.1", "GET|/a b?c|/a b|c|-|1.1|space_in_target");
        check("GET /a b", "GET|/a b|/a b|-|-|-|space_in_target");
    }

    #[test]
    fn targets_come_in_four_forms() {
        check("GET http://other:8080/p?q HTTP/1.1", "GET|http://other:8080/p?q|/p|q|-|1.1|-");
        check("GET http://other HTTP/1.1", "GET|http://other|-|-|-|1.1|-");
        check("CONNECT h.example.org:25 HTTP/1.1", "CONNECT|h.example.org:25|-|-|-|1.1|-");
        check("OPTIONS * HTTP/1.1", "OPTIONS|*|*|-|-|1.1|-");
        check("GET a:b HTTP/1.1", "GET|a:b|a:b|-|-|1.1|-");
    }

    #[test]
    fn an_absolute_target_names_its_host_and_port() {
        for (target, host, port) in [
            ("http://Other.example.org.:8080/p", "other.example.org", "8080"),
            ("https://other.example.org?q", "other.example.org", "-"),
            ("http://user:secret@[2001:db8::1]:443/", "2001:db8::1", "443"),
            ("http:///p", "-", "-"),
            ("/http://other.example.org:80/", "-", "-"),
            ("other.example.org:25", "-", "-"),
        ] {
            let mut batch = EventBatch::default();
            batch.refill(Arc::default(), target.as_bytes().to_vec());
            let (raw, mut out) = batch.open();
            split_target(raw, &mut out);
            out.finish();
            let shown = |field| match batch.event(0).field(field) {
                Some(value) => value.escape_ascii().to_string(),
                None => "-".to_owned(),
            };
            assert_eq!(host, shown(Field::UrlDomain), "{target}");
            assert_eq!(port, shown(Field::UrlPort), "{target}");
        }
    }

    #[test]
    fn what_is_no_request_is_named() {
        check("", "-|-|-|-|-|-|no_request_line");
        check("-", "-|-|-|-|-|-|no_request_line");
        check("  ", "-|-|-|-|-|-|no_request_line");
        check(r"\x16\x03\x01\x02\x00\x01 x", "-|-|-|-|-|-|tls_bytes");
        check(r"\x00\x01\x02garbage", "-|-|-|-|-|-|binary");
        check("SSH-2.0-client", "-|SSH-2.0-client|-|-|-|-|bad_method");
        check("<a> /b HTTP/1.1", "-|/b|/b|-|-|1.1|bad_method");
        let long = format!("{} /b HTTP/1.1", "A".repeat(33));
        check(&long, "-|/b|/b|-|-|1.1|bad_method");
        check("GET HTTP/1.1", "GET|-|-|-|-|1.1|-");
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_in_the_target() {
        check(
            r"GET /caf\xC3\xA9?x=\x22y\x22 HTTP/1.1",
            r#"GET|/caf\xc3\xa9?x=\"y\"|/caf\xc3\xa9|x=\"y\"|-|1.1|-"#,
        );
    }

    #[test]
    fn formats_that_log_the_parts_set_them_alike() {
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), b"/a?b HTTP/2.0 HTTP/x x HTTP/1.1".to_vec());
        let (raw, mut out) = batch.open();
        split_target(&raw[..4], &mut out);
        set_version(&raw[5..13], &mut out);
        out.finish();
        set_version(&raw[14..20], &mut out);
        set_version(&raw[21..], &mut out);
        split_target(b"", &mut out);
        out.finish();
        let (both, none) = (batch.event(0), batch.event(1));
        assert_eq!(Some(&b"/a"[..]), both.field(Field::Path));
        assert_eq!(Some(&b"2"[..]), both.field(Field::HttpVersion));
        assert_eq!(None, none.field(Field::HttpVersion));
        assert_eq!(None, none.field(Field::Target));
    }

    proptest! {
        #[test]
        fn any_bytes_are_split(request in proptest::collection::vec(any::<u8>(), 0..200)) {
            show(&request);
        }

        #[test]
        fn a_path_and_a_query_make_up_the_target(path in "/[a-z/ ]{0,20}", query in "[a-z?= ]{0,20}") {
            let shown = show(format!("GET {path}?{query}x HTTP/1.1").as_bytes());
            let parts: Vec<&str> = shown.split('|').collect();
            prop_assert_eq!(format!("{path}?{query}x"), parts[1]);
            prop_assert_eq!(path, parts[2]);
            prop_assert_eq!(format!("{query}x"), parts[3]);
        }
    }
}
