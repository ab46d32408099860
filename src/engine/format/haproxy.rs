//! HAProxy's logs (configuration manual, chapter 8): HTTP, HTTPS, TCP and CLF, and the lines about
//! connections that never became a request; with or without the head that syslog puts before them.
//!
//! `192.0.2.7:33317 [20/Nov/2026:07:00:12.655] fe~ be/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0
//! 0/0 {www.example.org} "GET / HTTP/1.1"`. HAProxy writes each byte of the request and of captured
//! headers that could end them as `#XX`. A captured cookie it writes as it is, so a line that goes on
//! behind its request is read again from its end, where no cookie stands. It cuts lines at 1024 bytes
//! unless told otherwise: a long target must not hide its request, so such a line is read as far as it
//! goes.
//!
//! Invariant: up to the bytes the server alone writes; what follows is set only where all of it fits.

use memchr::{memchr, memmem, memrchr};

use super::auth::is_web_server;
use super::capture::{Unit, duration, status};
use super::columns::Columns;
use super::envelope::Envelope;
use super::{Context, FixedFormat, Miss};
use crate::engine::address::{parse_ip, set_client, split_last_port};
use crate::engine::batch::{Action, Field, Kind, Level, Malformed, Module, Stamp, Writer};
use crate::engine::request;
use crate::engine::text::{hex_value, parse_u64};

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::Haproxy, captures: 14, parse };

const NAME: &str = "haproxy";

/// Where each of the five timers goes.
const TIMERS: [Field; 5] =
    [Field::HaproxyTq, Field::HaproxyTw, Field::HaproxyTc, Field::HaproxyTr, Field::HaproxyTa];

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let Ok(envelope) = Envelope::read(line, cx.times) else {
        return parse_message(line, cx, out);
    };
    let message = envelope.message.trim_ascii_start();
    if let Err(miss) = parse_message(message, cx, out) {
        if !is_web_server(envelope.program, b"haproxy") || memmem::find(message, b"] ").is_some() {
            return Err(miss);
        }
        // What the process says about itself: a server is down, a proxy has started.
        out.reset();
        (out.row.time, out.row.zone_minutes) = envelope.logged;
        identify(out);
        connection(message, out);
        if let Some(level) = envelope.level {
            out.row.level = level;
        }
    }
    envelope.complete(out);
    Ok(())
}

/// Reads what follows the head of syslog.
pub(super) fn parse_message(
    message: &[u8],
    cx: &mut Context<'_>,
    out: &mut Writer<'_>,
) -> Result<(), Miss> {
    let mut columns = Columns::new(message);
    let client = columns.word().ok_or(Miss::Shape)?;
    if columns.rest().starts_with(b"- - [") {
        return clf(client, columns, cx, out);
    }
    let time = columns.between(b'[', b']').ok_or(Miss::Shape)?;
    // The fraction tells these lines from those of other servers.
    if !time.contains(&b'.') {
        return Err(Miss::Shape);
    }
    (out.row.time, out.row.zone_minutes) = cx.times.clf(time).ok_or(Miss::Time)?;
    set_peer(client, out)?;
    identify(out);
    let front = columns.word().ok_or(Miss::Shape)?;
    if let Some(front) = front.strip_suffix(b":") {
        return refused(front, columns.rest(), out);
    }
    let (backend, server) = cut(columns.word().ok_or(Miss::Shape)?, b'/').ok_or(Miss::Shape)?;
    proxies(front, backend, server, out);
    let timers = columns.word().ok_or(Miss::Shape)?;
    match timers.iter().filter(|byte| **byte == b'/').count() {
        4 => http(timers, columns, out),
        2 => tcp(timers, columns, out),
        _ => Err(Miss::Shape),
    }
}

/// The row is one of HAProxy's; the time is when the request began.
fn identify(out: &mut Writer<'_>) {
    let row = &mut out.row;
    (row.module, row.format, row.stamp) = (Module::Haproxy, NAME, Stamp::Start);
}

/// `192.0.2.7:33317`, `2001:db8::7:33317`, or `unix:1` of a socket.
fn set_peer(client: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
    if client.starts_with(b"unix:") {
        set_client(out, b"unix:");
        return Ok(());
    }
    let (address, port) = split_last_port(client);
    parse_ip(address).filter(|_| port.is_some()).ok_or(Miss::Client)?;
    set_client(out, address);
    out.set(Field::ClientPort, &client[memrchr(b':', client).map_or(0, |colon| colon + 1)..]);
    Ok(())
}

/// The sides of the proxy; a `~` behind the front means TLS.
fn proxies(front: &[u8], backend: &[u8], server: &[u8], out: &mut Writer<'_>) {
    let name = front.strip_suffix(b"~");
    if name.is_some() {
        out.set(Field::Scheme, b"https");
    }
    out.set(Field::HaproxyFrontend, name.unwrap_or(front));
    out.set(Field::HaproxyBackend, backend);
    out.set(Field::HaproxyServer, server);
}

fn http(timers: &[u8], mut columns: Columns<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    for (field, timer) in TIMERS.iter().zip(timers.split(|byte| *byte == b'/')) {
        set_timer(*field, timer, out)?;
    }
    answer(&mut columns, out)?;
    let middle = columns;
    if let Some((request, rest)) = forward(&mut columns, out)
        && memchr(b'"', rest).is_none()
    {
        set_request(request, out);
        behind(rest, out);
        return Ok(());
    }
    // A cookie holds what ends a column, or the line has columns of its own.
    for field in [Field::HaproxyTermState, Field::Code, Field::HaproxyRetries] {
        out.remove(field);
    }
    let text = middle.rest();
    let request = text.strip_suffix(b"\"").and_then(|text| {
        let open = memrchr(b'"', text)?;
        Some(text[open + 1..].strip_suffix(b"\\").unwrap_or_else(|| &text[open + 1..]))
    });
    set_request(request.ok_or(Miss::Shape)?, out);
    out.set(Field::Trailing, text);
    Ok(())
}

/// Status and bytes.
fn answer(columns: &mut Columns<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let word = columns.word().ok_or(Miss::Shape)?;
    out.row.status = if matches!(word, b"-1" | b"-") { 0 } else { status(word)? };
    set_bytes(columns.word().ok_or(Miss::Shape)?, out)
}

/// Cookies, state, counters, headers and request from the left; answers the request and the rest.
fn forward<'l>(columns: &mut Columns<'l>, out: &mut Writer<'_>) -> Option<(&'l [u8], &'l [u8])> {
    let (_, _) = (columns.word()?, columns.word()?);
    let state = columns.word().filter(|state| state.len() == 4)?;
    let counters = columns.word()?;
    let retries = retries(counters)?;
    queues(columns.word()?)?;
    let headers = [columns.between(b'{', b'}'), columns.between(b'{', b'}')];
    // Some syslog daemons put a backslash before each quote.
    let text = columns.rest();
    if text.starts_with(b"{") {
        // The line is cut inside the headers.
        out.row.malformed = Some(Malformed::TooLong);
        set_state(state, out);
        return Some((b"", b""));
    }
    let (open, close): (&[u8], &[u8]) =
        if text.starts_with(b"\\\"") { (b"\\\"", b"\\\"") } else { (b"\"", b"\"") };
    let inner = text.strip_prefix(open)?;
    let end = memmem::find(inner, close);
    if end.is_none() {
        out.row.malformed = Some(Malformed::TooLong);
    }
    set_state(state, out);
    out.set(Field::HaproxyRetries, retries);
    for (name, values) in ["captured_request", "captured_response"].iter().zip(headers) {
        if let Some(values) = values.filter(|values| values.iter().any(|byte| *byte != b'|')) {
            let mut clear = Vec::with_capacity(values.len());
            decode(values, &mut clear);
            out.label(name, &clear);
        }
    }
    if let Some(values) = headers[0] {
        captured(values, out);
    }
    Some(match end {
        Some(end) => (&inner[..end], inner[end + close.len()..].trim_ascii_start()),
        None => (inner, b""),
    })
}

/// Which headers are captured only the configuration says; a host and a browser are told by their
/// looks, each where its header usually stands.
fn captured(values: &[u8], out: &mut Writer<'_>) {
    for (index, value) in values.split(|byte| *byte == b'|').enumerate() {
        if index == 0 && super::capture::is_site(value) {
            super::capture::host(value, out);
        } else if value.starts_with(b"Mozilla/") {
            out.set_with(Field::UserAgent, |to| decode(value, to));
        }
    }
}

/// The columns of `option httpslog` behind the request, and those people add for TLS.
fn behind(rest: &[u8], out: &mut Writer<'_>) {
    let mut unknown = false;
    for word in rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty()) {
        let parts = || word.split(|byte| *byte == b'/');
        if word.starts_with(b"TLSv") || word.starts_with(b"SSLv") {
            set_tls(word, out);
        } else if let (3, Some([sni, version, cipher])) = (parts().count(), collect3(parts()))
            && (version.starts_with(b"TLSv") || version == b"-")
        {
            if !matches!(sni, b"-" | b"") {
                out.set(Field::TlsServerName, sni);
            }
            if version != b"-" {
                set_tls(version, out);
                out.set(Field::TlsCipher, cipher);
            }
        } else if parts().count() == 5 {
            // Errors of the handshake, and whether the session was taken up again.
            if let Some(last) = parts().next_back().filter(|last| matches!(*last, b"0" | b"1")) {
                out.set(Field::TlsResumed, if last == b"1" { b"true" } else { b"false" });
            }
        } else {
            unknown = true;
        }
    }
    if unknown {
        out.set(Field::Trailing, rest);
    }
}

fn collect3<'l>(mut parts: impl Iterator<Item = &'l [u8]>) -> Option<[&'l [u8]; 3]> {
    Some([parts.next()?, parts.next()?, parts.next()?])
}

fn set_tls(version: &[u8], out: &mut Writer<'_>) {
    out.set(Field::TlsVersion, version.strip_prefix(b"TLSv").unwrap_or(version));
    out.set(Field::Scheme, b"https");
}

fn tcp(timers: &[u8], mut columns: Columns<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let fields = [Field::HaproxyTw, Field::HaproxyTc, Field::HaproxyTa];
    for (field, timer) in fields.iter().zip(timers.split(|byte| *byte == b'/')) {
        set_timer(*field, timer, out)?;
    }
    set_bytes(columns.word().ok_or(Miss::Shape)?, out)?;
    let state = columns.word().filter(|state| state.len() == 2).ok_or(Miss::Shape)?;
    let retries = columns.word().and_then(retries).ok_or(Miss::Shape)?;
    columns.word().and_then(queues).ok_or(Miss::Shape)?;
    set_state(state, out);
    out.set(Field::HaproxyRetries, retries);
    behind(columns.rest(), out);
    Ok(())
}

/// `option httplog clf`: the common format, then everything else in columns of its own.
fn clf(
    client: &[u8],
    mut columns: Columns<'_>,
    cx: &mut Context<'_>,
    out: &mut Writer<'_>,
) -> Result<(), Miss> {
    let client = client.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(client);
    parse_ip(client).ok_or(Miss::Client)?;
    let (_, _) = (columns.word(), columns.word());
    let time = columns.between(b'[', b']').ok_or(Miss::Shape)?;
    let request = columns.quoted().ok_or(Miss::Shape)?;
    let answered = columns;
    let (_, _) = (columns.word(), columns.word());
    if columns.quoted() != Some(b"") || columns.quoted() != Some(b"") {
        return Err(Miss::Shape);
    }
    let mut words = [&b""[..]; 18];
    for word in &mut words {
        *word = columns.quoted_or_word().ok_or(Miss::Shape)?;
    }
    let [port, _ms, front, backend, server, timers @ .., state, _, _, _, _, tries, _, _] = words;
    (out.row.time, out.row.zone_minutes) = cx.times.clf(time).ok_or(Miss::Time)?;
    set_client(out, client);
    identify(out);
    out.set(Field::ClientPort, Some(port).filter(|it| parse_u64(it).is_some()).ok_or(Miss::Shape)?);
    for (field, timer) in TIMERS.iter().zip(timers) {
        set_timer(*field, timer, out)?;
    }
    answer(&mut { answered }, out)?;
    proxies(front, backend, server, out);
    set_state(state, out);
    out.set(Field::HaproxyRetries, tries.strip_prefix(b"+").unwrap_or(tries));
    set_request(request, out);
    Ok(())
}

/// `fe/1: Connection error during SSL handshake`.
fn refused(front: &[u8], text: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
    let (front, _bind) = cut(front, b'/').ok_or(Miss::Shape)?;
    if text.is_empty() {
        return Err(Miss::Shape);
    }
    out.set(Field::HaproxyFrontend, front.strip_suffix(b"~").unwrap_or(front));
    connection(text, out);
    Ok(())
}

/// Sets a message that is about a connection or the proxy itself, not about a request.
fn connection(text: &[u8], out: &mut Writer<'_>) {
    let holds = |needle: &[u8]| memmem::find(text, needle).is_some();
    let row = &mut out.row;
    row.kind = Kind::ServerError;
    (row.action, row.level) = if holds(b"handshake") || holds(b"SSL ") {
        (Action::TlsError, Level::Warn)
    } else if holds(b" is DOWN") || holds(b"has no server available") {
        (Action::UpstreamError, Level::Error)
    } else if holds(b"rror") || holds(b"invalid") {
        (Action::BadRequest, Level::Warn)
    } else {
        (Action::ServerError, Level::Info)
    };
    out.set(Field::Message, text);
    let Some(rest) = text.strip_prefix(b"Connect from ") else { return };
    let mut words = rest.split(|byte| *byte == b' ');
    let (client, to, server) = (words.next(), words.next(), words.next());
    let (Some(client), Some(b"to"), Some(server)) = (client, to, server) else { return };
    if set_peer(client, out).is_ok()
        && let (address, Some(_)) = split_last_port(server)
    {
        out.set(Field::DestinationIp, address);
        let port = memrchr(b':', server).map_or(0, |colon| colon + 1);
        out.set(Field::DestinationPort, &server[port..]);
    }
}

/// `10`, `+10` while it still went on, or `-1` where it never came to that.
fn set_timer(field: Field, text: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
    if text == b"-1" {
        return Ok(());
    }
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    parse_u64(digits).ok_or(Miss::Shape)?;
    out.set(field, digits);
    if field == Field::HaproxyTa {
        out.row.duration_ns = duration(Unit::Milliseconds, digits);
    }
    Ok(())
}

fn set_bytes(text: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    out.row.bytes = Some(parse_u64(digits).ok_or(Miss::Shape)?);
    out.set(Field::ResponseBytes, digits);
    Ok(())
}

/// How the session ended; a code of its own where it did not end well.
fn set_state(state: &[u8], out: &mut Writer<'_>) {
    out.set(Field::HaproxyTermState, state);
    if !state.starts_with(b"--") {
        out.set(Field::Code, state);
    }
}

/// The last of `1/1/1/1/0`, each of which is a number.
fn retries(counters: &[u8]) -> Option<&[u8]> {
    let mut last = None;
    let mut count = 0;
    for part in counters.split(|byte| *byte == b'/') {
        let digits = part.strip_prefix(b"+").unwrap_or(part);
        parse_u64(digits)?;
        (last, count) = (Some(digits), count + 1);
    }
    last.filter(|_| count == 5)
}

/// `0/0`.
fn queues(text: &[u8]) -> Option<()> {
    let (server, backend) = cut(text, b'/')?;
    parse_u64(server).and_then(|_| parse_u64(backend)).map(|_| ())
}

fn set_request(request: &[u8], out: &mut Writer<'_>) {
    if out.row.malformed == Some(Malformed::TooLong) && request.is_empty() {
        return;
    }
    if request == b"<BADREQ>" {
        out.row.malformed = Some(Malformed::NoRequestLine);
    } else if memchr(b'#', request).is_some() {
        let mut clear = Vec::with_capacity(request.len());
        decode(request, &mut clear);
        request::split(&clear, out);
    } else {
        request::split(request, out);
    }
    // HTTP/2 names the host in the target.
    if !out.has(Field::Domain) {
        out.copy(Field::UrlDomain, Field::Domain);
    }
}

/// Undoes `#XX`.
fn decode(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr(b'#', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = match rest[at + 1..] {
            [high, low, ref tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex_value(high) << 4 | hex_value(low));
                tail
            }
            ref tail => {
                out.push(b'#');
                tail
            }
        };
    }
    out.extend_from_slice(rest);
}

/// The parts before and behind the first `separator`.
fn cut(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr(separator, text)?;
    Some((&text[..at], &text[at + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const HTTP: &str = "192.0.2.7:33317 [20/Nov/2026:07:00:12.655] fe~ be/srv1 10/0/30/69/109 200 2750 - - \
         ---- 1/1/1/1/0 0/0 {www.example.org|Mozilla/5.0 #28X11#29} {} \"GET /i?a=#22x HTTP/1.1\"";
    const TCP: &str =
        "192.0.2.7:33317 [20/Nov/2026:07:00:12.655] fe be/srv1 0/1/5007 212 cD 0/0/0/0/3 0/0";
    const CLF: &str = "192.0.2.7 - - [20/Nov/2026:07:00:12 +0000] \"GET /i HTTP/1.1\" 200 2750 \"\" \"\" \
         33317 655 \"fe\" \"be\" \"srv1\" 10 0 30 69 109 \"----\" 1 1 1 1 0 0 0 \"-\" \"-\"";

    #[test]
    fn an_http_line_is_read() {
        let expected = [
            ("time", "2026-11-20T07:00:12.655Z"),
            ("client", "192.0.2.7"),
            ("source.port", "33317"),
            ("url.scheme", "https"),
            ("gatewatch.haproxy.frontend", "fe"),
            ("gatewatch.haproxy.server", "srv1"),
            ("gatewatch.haproxy.tr_ms", "69"),
            ("duration", "109000000"),
            ("status", "200"),
            ("http.response.bytes", "2750"),
            ("gatewatch.haproxy.term_state", "----"),
            ("event.code", "-"),
            ("destination.domain", "www.example.org"),
            ("user_agent.original", "Mozilla/5.0 (X11)"),
            ("url.original", "/i?a=\"x"),
            ("gatewatch.extra", "-"),
        ];
        check(parse, HTTP, &expected);
        check(parse, &format!("<134>Nov 20 07:00:12 lb1 haproxy[77]: {HTTP}"), &expected);
        check(
            parse,
            &format!("Nov 20 07:00:12 lb1 haproxy[77]: {}", HTTP.replace('"', "\\\"")),
            &[("process.pid", "77"), ("host.hostname", "lb1"), ("url.original", "/i?a=\"x")],
        );
    }

    #[test]
    fn a_line_that_is_cut_keeps_what_it_has() {
        let cut = |behind: &str| HTTP.find(behind).map(|at| &HTTP[..at + behind.len()]);
        let expected = [
            ("status", "200"),
            ("client", "192.0.2.7"),
            ("http.request.method", "GET"),
            ("url.original", "/i?a=\"x"),
            ("http.version", "-"),
            ("malformed", "too_long"),
        ];
        let line = cut("#22x").expect("the target");
        check(parse, line, &expected);
        check(parse, &format!("<134>Nov 20 07:00:12 lb1 haproxy[77]: {line}"), &expected);
        check(
            parse,
            cut("#28X").expect("a header"),
            &[("status", "200"), ("url.original", "-"), ("malformed", "too_long")],
        );
        check_miss(parse, cut("1/1/1/1").expect("counters"), Miss::Shape);
    }

    #[test]
    fn what_never_became_a_request_is_told() {
        let line = "192.0.2.7:4 [20/Nov/2026:07:00:13.000] fe fe/<NOSRV> -1/-1/-1/-1/+384 400 +0 - - \
             CR-- 1/1/0/0/+0 0/0 \"<BADREQ>\"";
        check(
            parse,
            line,
            &[
                ("malformed", "no_request_line"),
                ("status", "400"),
                ("event.code", "CR--"),
                ("gatewatch.haproxy.tq_ms", "-"),
                ("duration", "384000000"),
                ("bytes", "0"),
            ],
        );
        let line =
            "2001:db8::7:4 [20/Nov/2026:07:00:13.000] fe/1: Connection closed during SSL handshake";
        check(
            parse,
            line,
            &[
                ("kind", "ServerError"),
                ("action", "tls_error"),
                ("client", "2001:db8::7"),
                ("source.port", "4"),
                ("message", "Connection closed during SSL handshake"),
            ],
        );
        let line = "Nov 20 07:00:12 lb1 haproxy[77]: Connect from 192.0.2.7:4 to 198.51.100.1:80 (fe/HTTP)";
        let expected = [
            ("client", "192.0.2.7"),
            ("destination.ip", "198.51.100.1"),
            ("destination.port", "80"),
        ];
        check(parse, line, &expected);
        let line =
            "Nov 20 07:00:12 lb1 haproxy[77]: Server be/srv1 is DOWN, reason: Layer4 timeout";
        check(parse, line, &[("action", "upstream_error"), ("level", "error"), ("client", "-")]);
    }

    #[test]
    fn tcp_and_clf_and_https_lines_are_read() {
        check(
            parse,
            TCP,
            &[
                ("duration", "5007000000"),
                ("bytes", "212"),
                ("event.code", "cD"),
                ("gatewatch.haproxy.retries", "3"),
                ("status", "-"),
            ],
        );
        check(
            parse,
            CLF,
            &[
                ("client", "192.0.2.7"),
                ("source.port", "33317"),
                ("url.path", "/i"),
                ("gatewatch.haproxy.backend", "be"),
                ("duration", "109000000"),
            ],
        );
        let line = format!(
            "{HTTP} 0/0000000000000000/0/0/1 www.example.org/TLSv1.3/TLS_AES_128_GCM_SHA256"
        );
        check(
            parse,
            &line,
            &[
                ("tls.version", "1.3"),
                ("tls.cipher", "TLS_AES_128_GCM_SHA256"),
                ("tls.client.server_name", "www.example.org"),
                ("tls.resumed", "true"),
                ("gatewatch.extra", "-"),
            ],
        );
    }

    #[test]
    fn a_cookie_forges_no_request() {
        let cookie = "sid=x - SD-- 1/1/1/1/0 0/0 \"GET /forged HTTP/1.1\"";
        let line = HTTP.replace("2750 - -", &format!("2750 {cookie} -"));
        check(parse, &line, &[("url.path", "/i"), ("status", "200"), ("event.code", "-")]);
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "192.0.2.7 - - [20/Nov/2026:07:00:12 +0000] \"GET / HTTP/1.1\" 200 2750",
            "192.0.2.7:5 [20/Nov/2026:07:00:12.655] fe be/srv1 10/0/30/69 200 2750",
            "192.0.2.7:5 [20/Nov/2026:07:00:12.655] fe be 10/0/30/69/109 200 2750 \"GET / HTTP/1.1\"",
            "192.0.2.7:5 [20/Nov/2026:07:00:12.655] fe be/s 10/0/30/69/109 200 2750 GET",
            "Nov 20 07:00:12 web1 sshd[77]: Connect from 192.0.2.7:4 to 198.51.100.1:80 (fe/HTTP)",
        ] {
            check_miss(parse, line, Miss::Shape);
        }
        check_miss(parse, &HTTP.replace("192.0.2.7:33317", "192.0.2.7"), Miss::Client);
        check_miss(parse, &HTTP.replace("20/Nov", "32/Nov"), Miss::Time);
        check_miss(parse, &HTTP.replace(" 200 ", " 2x0 "), Miss::Status);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in mutated(&[HTTP, TCP, CLF])) {
            let _ = read(parse, &line);
        }
    }
}
