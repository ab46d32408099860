//! Squid's own access log: `1795158001.123    109 192.0.2.7 TCP_MISS/200 2750 GET http://www.example.org/
//! alice HIER_DIRECT/198.51.100.1 text/html`.
//!
//! Squid encodes blanks of URLs and user names, so each column is one word.

use super::capture::{Unit, duration, is_site, status};
use super::columns::Columns;
use super::{Context, FixedFormat, Miss};
use crate::engine::address::{parse_ip, set_client};
use crate::engine::batch::{Field, Malformed, Module, Stamp, Writer};
use crate::engine::request;
use crate::engine::text::parse_u64;
use crate::engine::time::TimeReader;

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::App, captures: 10, parse };

const NAME: &str = "squid";

/// Reads one line.
fn parse(line: &[u8], _cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let mut columns = Columns::new(line);
    let time = columns.word().filter(|time| time.contains(&b'.')).ok_or(Miss::Shape)?;
    columns.skip_blanks();
    let mut word = || columns.word().ok_or(Miss::Shape);
    let (elapsed, client, result, bytes) = (word()?, word()?, word()?, word()?);
    let (method, target, user, peer) = (word()?, word()?, word()?, word()?);
    let kind = word()?;
    let slash = memchr::memchr(b'/', result).ok_or(Miss::Shape)?;
    let hierarchy = memchr::memchr(b'/', peer).ok_or(Miss::Shape)?;
    let is_method =
        method.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
    if !is_method || parse_u64(bytes).is_none() {
        return Err(Miss::Shape);
    }
    (out.row.time, out.row.zone_minutes) = TimeReader::epoch(time).ok_or(Miss::Time)?;
    if parse_ip(client).is_none() && !is_site(client) {
        return Err(Miss::Client);
    }
    set_client(out, client);
    (out.row.module, out.row.format, out.row.stamp) = (Module::App, NAME, Stamp::End);
    out.row.status = status(&result[slash + 1..])?;
    out.row.duration_ns = duration(Unit::Milliseconds, elapsed);
    out.row.bytes = parse_u64(bytes);
    out.set(Field::ResponseBytes, bytes);
    out.set(Field::CacheStatus, &result[..slash]);
    if target.starts_with(b"error:") {
        out.row.malformed = Some(Malformed::NoRequestLine);
    } else {
        out.set(Field::Method, method);
        set_target(method, target, out);
    }
    let upstream = &peer[hierarchy + 1..];
    for (field, value) in [(Field::User, user), (Field::UpstreamAddress, upstream)] {
        if value != b"-" {
            out.set(field, value);
        }
    }
    out.label("hierarchy", &peer[..hierarchy]);
    if kind != b"-" {
        out.label("content_type", kind);
    }
    if !columns.rest().is_empty() {
        out.set(Field::Trailing, columns.rest());
    }
    Ok(())
}

/// The target of a proxy names the host it asks.
fn set_target(method: &[u8], target: &[u8], out: &mut Writer<'_>) {
    if method == b"CONNECT" {
        out.set(Field::Target, target);
        super::capture::host(target, out);
    } else {
        request::split_target(target, out);
        out.copy(Field::UrlDomain, Field::Domain);
        out.copy(Field::UrlPort, Field::DestinationPort);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const LINE: &str = "1795158001.123    109 192.0.2.7 TCP_MISS/407 2750 GET http://www.example.org:8080/a?b \
         alice HIER_DIRECT/198.51.100.1 text/html";

    #[test]
    fn a_line_is_read() {
        check(
            parse,
            LINE,
            &[
                ("time", "2026-11-20T07:00:01.123Z"),
                ("client", "192.0.2.7"),
                ("user.name", "alice"),
                ("status", "407"),
                ("duration", "109000000"),
                ("bytes", "2750"),
                ("gatewatch.cache.status", "TCP_MISS"),
                ("gatewatch.upstream.address", "198.51.100.1"),
                ("url.path", "/a"),
                ("destination.domain", "www.example.org"),
                ("destination.port", "8080"),
            ],
        );
        let line = "1795158001.123 5 192.0.2.7 TCP_TUNNEL/200 39 CONNECT www.example.org:443 - HIER_NONE/- -";
        check(parse, line, &[("destination.port", "443"), ("url.path", "-"), ("user.name", "-")]);
        let line = "1795158001.123 0 192.0.2.7 NONE/400 39 NONE error:invalid-request - HIER_NONE/- text/html";
        check(parse, line, &[("malformed", "no_request_line"), ("http.request.method", "-")]);
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, &LINE.replace("GET", "get"), Miss::Shape);
        check_miss(parse, &LINE.replace("/407", "/4x7"), Miss::Status);
        check_miss(parse, &LINE.replace("192.0.2.7", "x"), Miss::Client);
        check_miss(parse, &LINE.replace("1795158001.", "179x."), Miss::Time);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in mutated(&[LINE])) {
            let _ = read(parse, &line);
        }
    }
}
