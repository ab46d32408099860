//! Access logs of Envoy and of Istio, in the text formats they come with: `[2026-11-20T07:00:01.000Z]
//! "GET /a HTTP/1.1" 200 - 0 12 5 4 "192.0.2.7" "agent" "id" "www.example.org" "10.9.0.1:80"`; Istio
//! puts reasons behind the flags, and cluster and addresses behind the upstream.
//!
//! Envoy escapes no quotes. It takes no path with blanks, so the request ends at the first quote with
//! a blank behind it; host and upstream stand last and hold no quotes either. Forwarded addresses and
//! the agent between them are set only where the texts are as many as they should be.
//!
//! The default format names no client: the last forwarded address is the one Envoy itself has seen or
//! was told by its neighbour.

use memchr::{memchr, memmem, memrchr};

use super::capture::{Unit, duration, host, status};
use super::columns::Columns;
use super::{Context, FixedFormat, Miss};
use crate::engine::address::{parse_ip, set_client, split_port};
use crate::engine::batch::{Field, Malformed, Module, Stamp, Writer};
use crate::engine::request;
use crate::engine::text::parse_u64;

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::App, captures: 13, parse };

const NAME: &str = "envoy";

/// Forwarded addresses, agent, identifier, host, upstream.
const TEXTS: usize = 5;

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let mut columns = Columns::new(line);
    let time = columns.between(b'[', b']').ok_or(Miss::Shape)?;
    let request = columns.rest().strip_prefix(b"\"").ok_or(Miss::Shape)?;
    let end = memmem::find(request, b"\" ").ok_or(Miss::Shape)?;
    let mut columns = Columns::new(&request[end + 2..]);
    let (code, flags) = (columns.word().ok_or(Miss::Shape)?, columns.word().ok_or(Miss::Shape)?);
    let numbers = numbers(&mut columns).ok_or(Miss::Shape)?;
    let texts = Texts::read(columns.rest()).ok_or(Miss::Shape)?;
    (out.row.time, out.row.zone_minutes) = cx.times.iso(time).ok_or(Miss::Time)?;
    (out.row.module, out.row.format, out.row.stamp) = (Module::App, NAME, Stamp::Start);
    out.row.status = if code == b"-" { 0 } else { status(code)? };
    if flags != b"-" {
        out.set(Field::Code, flags);
    }
    let [received, sent, total, upstream] = numbers;
    out.set(Field::RequestBodyBytes, received);
    out.row.bytes = parse_u64(sent);
    out.row.duration_ns = duration(Unit::Milliseconds, total);
    if let Some(millis) = parse_u64(upstream) {
        let seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
        out.set(Field::UpstreamTime, seconds.as_bytes());
    }
    match &request[..end] {
        b"- - -" => out.row.malformed = Some(Malformed::NoRequestLine),
        request => request::split(request, out),
    }
    texts.set(out);
    Ok(())
}

/// Bytes in and out, time in all and of the upstream; Istio's reasons stand before them.
fn numbers<'l>(columns: &mut Columns<'l>) -> Option<[&'l [u8]; 4]> {
    let is_count = |text: &[u8]| parse_u64(text).is_some();
    for _ in 0..4 {
        let mut ahead = *columns;
        if let [Some(received), Some(sent), Some(total), Some(upstream)] =
            [ahead.word(), ahead.word(), ahead.word(), ahead.word()]
            && is_count(received)
            && is_count(sent)
            && is_count(total)
            && (upstream == b"-" || is_count(upstream))
        {
            *columns = ahead;
            return Some([received, sent, total, upstream]);
        }
        columns.quoted_or_word()?;
    }
    None
}

/// What stands behind the numbers.
struct Texts<'l> {
    all: &'l [u8],
    /// Forwarded addresses, agent and identifier, where no quote stands in any of them.
    of_client: Option<[&'l [u8]; 3]>,
    host: &'l [u8],
    upstream: &'l [u8],
    /// Istio: cluster, three addresses, server name and route.
    rest: &'l [u8],
}

impl<'l> Texts<'l> {
    fn read(text: &'l [u8]) -> Option<Self> {
        let close = memrchr(b'"', text)?;
        let inner = text[..close].strip_prefix(b"\"")?;
        let rest = &text[close + 1..];
        let mut parts = [&b""[..]; TEXTS];
        let mut end = inner.len();
        for (index, part) in parts.iter_mut().enumerate().rev() {
            let start = if index == 0 { 0 } else { memmem::rfind(&inner[..end], b"\" \"")? + 3 };
            *part = &inner[start..end];
            end = start.saturating_sub(3);
        }
        let [forwarded, agent, id, host, upstream] = parts;
        let is_sure = [forwarded, agent, id].iter().all(|part| memchr(b'"', part).is_none());
        let is_server = |text: &[u8]| memchr(b' ', text).is_none() && memchr(b'"', text).is_none();
        if !is_server(host) || !is_server(upstream) || !matches!(rest, [] | [b' ', ..]) {
            return None;
        }
        let of_client = is_sure.then_some([forwarded, agent, id]);
        Some(Self { all: text, of_client, host, upstream, rest })
    }

    fn set(&self, out: &mut Writer<'_>) {
        if self.host != b"-" {
            host(self.host, out);
        }
        if self.upstream != b"-" {
            out.set(Field::UpstreamAddress, self.upstream);
        }
        if let Some(texts) = self.of_client {
            let fields = [Field::Forwarded, Field::UserAgent, Field::RequestId];
            for (field, text) in fields.into_iter().zip(texts) {
                if text != b"-" {
                    out.set(field, text);
                }
            }
        } else {
            // A client put quotes into a header: none of the three can be told from the others.
            out.set(Field::Trailing, self.all);
        }
        let mut words = Columns::new(self.rest.trim_ascii());
        let (cluster, _, _) = (words.word(), words.word(), words.word());
        if let (Some(peer), Some(name)) = (words.word(), words.word()) {
            set_peer(peer, out);
            if name != b"-" {
                out.set(Field::TlsServerName, name);
            }
        } else if let Some([forwarded, ..]) = self.of_client {
            let last = memrchr(b',', forwarded).map_or(0, |comma| comma + 1);
            set_peer(forwarded[last..].trim_ascii(), out);
        }
        if let Some(cluster) = cluster.filter(|cluster| *cluster != b"-") {
            out.label("upstream_cluster", cluster);
        }
    }
}

/// The client, with or without its port; any other text is none.
fn set_peer(peer: &[u8], out: &mut Writer<'_>) {
    let (address, port) = if parse_ip(peer).is_some() { (peer, None) } else { split_port(peer) };
    if parse_ip(address).is_some() {
        set_client(out, address);
        if port.is_some()
            && let Some(colon) = memrchr(b':', peer)
        {
            out.set(Field::ClientPort, &peer[colon + 1..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const ENVOY: &str = "[2026-11-20T07:00:01.500Z] \"GET /a?b HTTP/2\" 503 UF 0 91 1005 - \
         \"203.0.113.9, 192.0.2.7\" \"curl/8\" \"7e2d5a1c-9b3f\" \"www.example.org:443\" \"198.51.100.1:80\"";
    const ISTIO: &str = "[2026-11-20T07:00:01.500Z] \"GET /a HTTP/1.1\" 200 - via_upstream - \"-\" 5 12 8 7 \"-\" \
         \"curl/8\" \"7e2d5a1c-9b3f\" \"www.example.org\" \"198.51.100.1:80\" outbound|80||web 10.0.0.1:5 \
         10.0.0.2:80 192.0.2.7:4000 www.example.org default";

    #[test]
    fn both_formats_are_read() {
        check(
            parse,
            ENVOY,
            &[
                ("time", "2026-11-20T07:00:01.500Z"),
                ("client", "192.0.2.7"),
                ("gatewatch.xff_chain", "203.0.113.9, 192.0.2.7"),
                ("status", "503"),
                ("event.code", "UF"),
                ("bytes", "91"),
                ("duration", "1005000000"),
                ("url.query", "b"),
                ("destination.domain", "www.example.org"),
                ("destination.port", "443"),
                ("gatewatch.upstream.address", "198.51.100.1:80"),
                ("http.request.id", "7e2d5a1c-9b3f"),
            ],
        );
        check(
            parse,
            ISTIO,
            &[
                ("client", "192.0.2.7"),
                ("source.port", "4000"),
                ("status", "200"),
                ("http.request.body.bytes", "5"),
                ("gatewatch.upstream.response_time_s", "0.007"),
                ("labels.upstream_cluster", "outbound|80||web"),
                ("tls.client.server_name", "www.example.org"),
                ("gatewatch.extra", "-"),
            ],
        );
        let tcp = ISTIO.replace("GET /a HTTP/1.1", "- - -").replace("200 -", "0 -");
        check(parse, &tcp, &[("status", "-"), ("malformed", "no_request_line")]);
    }

    #[test]
    fn quotes_of_a_client_forge_nothing() {
        let forged = ENVOY.replace("curl/8", "x\" \"id\" \"evil.example.net\" \"203.0.113.1:1");
        check(
            parse,
            &forged,
            &[
                ("status", "503"),
                ("destination.domain", "www.example.org"),
                ("gatewatch.upstream.address", "198.51.100.1:80"),
                ("user_agent.original", "-"),
                ("client", "-"),
            ],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(
            parse,
            "[2026-11-20T07:00:01.500Z] \"GET / HTTP/1.1\" 200 12 \"-\"",
            Miss::Shape,
        );
        check_miss(parse, &ENVOY.replace("2026-11", "2026-13"), Miss::Time);
        check_miss(parse, &ENVOY.replace("503", "5x3"), Miss::Status);
        check_miss(parse, "", Miss::Shape);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in mutated(&[ENVOY, ISTIO])) {
            let _ = read(parse, &line);
        }
    }
}
