//! Access logs of Amazon Web Services: application load balancers, classic load balancers, and S3
//! (their user guides, "Access log entries" and "Server access log format").
//!
//! The columns of each grew over the years and will grow again: later ones are left alone. Balancers
//! log the whole URL with its port, and the time they answered; S3 logs when it took the request.
//!
//! Invariant: what clients send stands in quotes behind everything the service says about the request
//! and its answer. S3 does not escape quotes inside; where the columns behind do not fit what they
//! should be, the texts of the client are left out rather than misread.

use super::capture::{Unit, duration, is_decimal, status};
use super::columns::Columns;
use super::{Context, FixedFormat, Miss};
use crate::engine::address::{is_host_name, parse_ip, set_client, split_port};
use crate::engine::batch::{Field, Malformed, Module, Stamp, Writer};
use crate::engine::request;
use crate::engine::text::{parse_u64, unescape};

/// Application load balancers.
pub(super) const ALB: FixedFormat =
    FixedFormat { name: "alb", module: Module::Aws, captures: 18, parse: alb };

/// Classic load balancers.
pub(super) const ELB: FixedFormat =
    FixedFormat { name: "elb", module: Module::Aws, captures: 14, parse: elb };

/// Server access logs of S3.
pub(super) const S3: FixedFormat =
    FixedFormat { name: "s3", module: Module::Aws, captures: 15, parse: s3 };

/// The next column, which must be there.
fn word<'l>(columns: &mut Columns<'l>) -> Result<&'l [u8], Miss> {
    columns.word().ok_or(Miss::Shape)
}

fn alb(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let mut columns = Columns::new(line);
    let scheme: &[u8] = match word(&mut columns)? {
        b"http" | b"ws" => b"http",
        b"https" | b"wss" | b"h2" | b"grpcs" => b"https",
        _ => return Err(Miss::Shape),
    };
    balancer(&mut columns, ALB.name, cx, out)?;
    out.set(Field::Scheme, scheme);
    let Some([_group, trace, sni, _certificate]) = connection(&mut columns, out) else {
        return Ok(());
    };
    set_known(Field::RequestId, trace, out);
    set_known(Field::TlsServerName, sni, out);
    // Priority of the rule, then when the request came.
    let (_, _) = (columns.word(), columns.word());
    let actions = columns.quoted();
    let (_, error) = (columns.quoted(), columns.quoted());
    for (name, value) in [("actions_executed", actions), ("error_reason", error)] {
        if let Some(value) = value.filter(|value| !matches!(*value, b"-" | b"")) {
            out.label(name, value);
        }
    }
    Ok(())
}

fn elb(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let mut columns = Columns::new(line);
    balancer(&mut columns, ELB.name, cx, out)?;
    if columns.rest().is_empty() {
        return Ok(());
    }
    agent_and_tls(&mut columns, out);
    Ok(())
}

/// From the time to the request, which both kinds of balancers write alike.
fn balancer(
    columns: &mut Columns<'_>,
    name: &'static str,
    cx: &mut Context<'_>,
    out: &mut Writer<'_>,
) -> Result<(), Miss> {
    let (time, balancer) = (word(columns)?, word(columns)?);
    let (client, target) = (word(columns)?, word(columns)?);
    let timers = [word(columns)?, word(columns)?, word(columns)?];
    let (answer, upstream) = (word(columns)?, word(columns)?);
    let (received, sent) = (word(columns)?, word(columns)?);
    let request = columns.quoted().ok_or(Miss::Shape)?;
    let total = total(&timers)?;
    let is_count = |text: &[u8]| text == b"-" || parse_u64(text).is_some();
    if time.get(10) != Some(&b'T') || !is_count(received) || !is_count(sent) {
        return Err(Miss::Shape);
    }
    (out.row.time, out.row.zone_minutes) = cx.times.iso(time).ok_or(Miss::Time)?;
    out.row.status = if answer == b"-" { 0 } else { status(answer)? };
    set_endpoint(client, out)?;
    (out.row.module, out.row.format, out.row.stamp) = (Module::Aws, name, Stamp::End);
    out.row.duration_ns = total;
    out.label("elb", balancer);
    set_known(Field::UpstreamAddress, target, out);
    // A classic balancer writes 0 where no backend answered.
    if upstream != b"0" {
        set_number(Field::UpstreamStatus, upstream, out);
    }
    set_number(Field::UpstreamTime, timers[1], out);
    set_number(Field::RequestBytes, received, out);
    set_number(Field::ResponseBytes, sent, out);
    out.row.bytes = parse_u64(sent);
    set_request(request, out);
    Ok(())
}

/// The sum of the three times in seconds; none where one is `-1`.
fn total(timers: &[&[u8]; 3]) -> Result<Option<u64>, Miss> {
    let mut sum = Some(0u64);
    for timer in timers {
        if matches!(*timer, b"-1" | b"-") {
            sum = None;
        } else {
            let time = duration(Unit::Seconds, timer).ok_or(Miss::Shape)?;
            sum = sum.and_then(|sum| sum.checked_add(time));
        }
    }
    Ok(sum)
}

/// `192.0.2.7:2817`.
fn set_endpoint(client: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
    let (address, port) = split_port(client);
    parse_ip(address).ok_or(Miss::Client)?;
    set_client(out, address);
    if port.is_some()
        && let Some(colon) = memchr::memrchr(b':', client)
    {
        out.set(Field::ClientPort, &client[colon + 1..]);
    }
    Ok(())
}

/// `GET https://www.example.org:443/ HTTP/1.1`: the host of the URL is that of the Host header.
fn set_request(request: &[u8], out: &mut Writer<'_>) {
    // `- http://www.example.org:80- -`, and `- - - ` of a listener without HTTP.
    if request.starts_with(b"- ") {
        out.row.malformed = Some(Malformed::NoRequestLine);
        return;
    }
    clear(request, |clear| request::split(clear, out));
    out.copy(Field::UrlDomain, Field::Domain);
    out.copy(Field::UrlPort, Field::DestinationPort);
}

/// Hands `text` over with its escapes undone.
fn clear(text: &[u8], take: impl FnOnce(&[u8])) {
    if memchr::memchr(b'\\', text).is_none() {
        return take(text);
    }
    let mut clear = Vec::with_capacity(text.len());
    unescape(&mut clear, text);
    take(&clear);
}

/// Agent, cipher, version, target group, trace, name of the server and certificate.
fn connection<'l>(columns: &mut Columns<'l>, out: &mut Writer<'_>) -> Option<[&'l [u8]; 4]> {
    agent_and_tls(columns, out)?;
    Some([columns.word()?, columns.quoted()?, columns.quoted()?, columns.quoted()?])
}

/// Agent, cipher and version; what does not fit is kept aside.
fn agent_and_tls(columns: &mut Columns<'_>, out: &mut Writer<'_>) -> Option<()> {
    let rest = columns.rest();
    let mut read = || Some([columns.quoted()?, columns.word()?, columns.word()?]);
    let is_version =
        |text: &[u8]| text == b"-" || text.starts_with(b"TLSv") || text.starts_with(b"SSLv");
    let Some([agent, cipher, version]) = read().filter(|[_, _, version]| is_version(version))
    else {
        out.set(Field::Trailing, rest);
        return None;
    };
    if agent != b"-" {
        clear(agent, |agent| out.set(Field::UserAgent, agent));
    }
    set_known(Field::TlsCipher, cipher, out);
    set_known(Field::TlsVersion, version.strip_prefix(b"TLSv").unwrap_or(version), out);
    Some(())
}

fn s3(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let mut columns = Columns::new(line);
    let owner = word(&mut columns)?;
    let bucket = word(&mut columns)?;
    let time = columns.between(b'[', b']').ok_or(Miss::Shape)?;
    let (client, requester) = (word(&mut columns)?, word(&mut columns)?);
    let (id, operation, key) = (word(&mut columns)?, word(&mut columns)?, word(&mut columns)?);
    // `REST.GET.OBJECT`, `S3.EXPIRE.OBJECT`, `BATCH.DELETE.OBJECT`.
    let is_operation = operation.iter().filter(|byte| **byte == b'.').count() >= 2
        && operation
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'.' | b'_' | b'0'..=b'9'));
    let is_owner = owner == b"-" || owner.iter().all(u8::is_ascii_alphanumeric);
    if !is_operation || !is_owner || !is_host_name(bucket) {
        return Err(Miss::Shape);
    }
    let request = columns.quoted_or_word().ok_or(Miss::Shape)?;
    let numbers = Numbers::read(&mut columns)?;
    (out.row.time, out.row.zone_minutes) = cx.times.clf(time).ok_or(Miss::Time)?;
    // S3 itself asks, too, and has no address.
    if client != b"-" {
        parse_ip(client).ok_or(Miss::Client)?;
        set_client(out, client);
    }
    (out.row.module, out.row.format, out.row.stamp) = (Module::Aws, S3.name, Stamp::Start);
    numbers.set(out)?;
    set_known(Field::RequestId, id, out);
    for (name, value) in
        [("bucket", bucket), ("requester", requester), ("operation", operation), ("key", key)]
    {
        if value != b"-" {
            out.label(name, value);
        }
    }
    if request != b"-" {
        request::split(request, out);
    }
    if !s3_texts(&mut columns, out) && !columns.rest().is_empty() {
        out.set(Field::Trailing, columns.rest());
    }
    Ok(())
}

/// Status, error, bytes, size of the object, time in all, and time until the answer began.
struct Numbers<'l>([&'l [u8]; 6]);

impl<'l> Numbers<'l> {
    fn read(columns: &mut Columns<'l>) -> Result<Self, Miss> {
        let mut words = [&b""[..]; 6];
        for word in &mut words {
            *word = columns.word().ok_or(Miss::Shape)?;
        }
        let is_count = |text: &[u8]| text == b"-" || parse_u64(text).is_some();
        let fits = [2, 3, 4, 5].into_iter().all(|index| is_count(words[index]));
        if fits { Ok(Self(words)) } else { Err(Miss::Shape) }
    }

    fn set(&self, out: &mut Writer<'_>) -> Result<(), Miss> {
        let [answer, error, bytes, _size, total, _first] = self.0;
        out.row.status = if answer == b"-" { 0 } else { status(answer)? };
        out.row.bytes = if bytes == b"-" { Some(0) } else { parse_u64(bytes) };
        out.row.duration_ns = duration(Unit::Milliseconds, total);
        set_known(Field::Code, error, out);
        Ok(())
    }
}

/// Referrer, agent, version of the object, and what came later. Quotes inside are not escaped, so
/// nothing is set unless each column is what it should be.
fn s3_texts(columns: &mut Columns<'_>, out: &mut Writer<'_>) -> bool {
    let mut ahead = *columns;
    let (Some(referrer), Some(agent)) = (ahead.quoted_or_word(), ahead.quoted_or_word()) else {
        return false;
    };
    if memchr::memchr(b'"', ahead.rest()).is_some() {
        return false;
    }
    let (_version, _host_id) = (ahead.word(), ahead.word());
    let (_signature, cipher) = (ahead.word(), ahead.word());
    let (_kind, site, version) = (ahead.word(), ahead.word(), ahead.word());
    set_known(Field::Referrer, referrer, out);
    set_known(Field::UserAgent, agent, out);
    set_known(Field::TlsCipher, cipher.unwrap_or(b"-"), out);
    if let Some(site) = site.filter(|site| *site != b"-") {
        super::capture::host(site, out);
    }
    if let Some(version) = version.and_then(|version| version.strip_prefix(b"TLSv")) {
        out.set(Field::TlsVersion, version);
        out.set(Field::Scheme, b"https");
    }
    *columns = ahead;
    true
}

/// Sets a text that is not `-`.
fn set_known(field: Field, value: &[u8], out: &mut Writer<'_>) {
    if !matches!(value, b"-" | b"") {
        out.set(field, value);
    }
}

fn set_number(field: Field, value: &[u8], out: &mut Writer<'_>) {
    if is_decimal(value) {
        out.set(field, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const ALB_LINE: &str = "https 2026-11-20T07:00:15.123456Z app/lb/1 203.0.113.84:2817 198.51.100.1:80 0.001 \
         0.02 0.000 200 200 34 366 \"GET https://www.example.org:443/a?b HTTP/1.1\" \"curl/8 \\x22q\\x22\" \
         ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:x \"Root=1-a\" \"www.example.org\" \"arn:c\" 0 \
         2026-11-20T07:00:15.100000Z \"waf,forward\" \"-\" \"-\" \"198.51.100.1:80\" \"200\" \"-\" \"-\" TID_1";
    const ELB_LINE: &str = "2026-11-20T07:00:15.123456Z lb1 192.0.2.7:2817 198.51.100.1:80 0.000073 0.001048 \
         0.000057 200 200 0 29 \"GET http://www.example.org:80/a HTTP/1.1\" \"curl/8\" - -";
    const S3_LINE: &str = "79a59df900b949e5 files [20/Nov/2026:07:00:15 +0000] 192.0.2.7 - 3E57427F3 \
         REST.GET.OBJECT a/b.txt \"GET /files/a/b.txt?x=1 HTTP/1.1\" 403 AccessDenied 243 - 7 - \"-\" \"curl/8\" \
         - aGVsbG8= SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader files.example.org TLSv1.2 - -";

    #[test]
    fn an_application_balancer_is_read() {
        check(
            alb,
            ALB_LINE,
            &[
                ("time", "2026-11-20T07:00:15.123Z"),
                ("client", "203.0.113.84"),
                ("source.port", "2817"),
                ("duration", "21000000"),
                ("status", "200"),
                ("http.request.bytes", "34"),
                ("http.response.bytes", "366"),
                ("url.path", "/a"),
                ("url.query", "b"),
                ("destination.domain", "www.example.org"),
                ("destination.port", "443"),
                ("url.scheme", "https"),
                ("user_agent.original", "curl/8 \"q\""),
                ("tls.version", "1.2"),
                ("http.request.id", "Root=1-a"),
                ("tls.client.server_name", "www.example.org"),
                ("gatewatch.upstream.address", "198.51.100.1:80"),
                ("gatewatch.upstream.status", "200"),
                ("labels.actions_executed", "waf,forward"),
                ("gatewatch.extra", "-"),
                ("module", "aws"),
            ],
        );
        let refused = ALB_LINE
            .replace("198.51.100.1:80 0.001 0.02 0.000 200 200", "- -1 -1 -1 460 -")
            .replace("GET https://www.example.org:443/a?b HTTP/1.1", "- http://192.0.2.1:80- -");
        let expected = [
            ("status", "460"),
            ("duration", "-"),
            ("malformed", "no_request_line"),
            ("url.original", "-"),
        ];
        check(alb, &refused, &expected);
    }

    #[test]
    fn a_classic_balancer_is_read() {
        let expected = [
            ("status", "200"),
            ("duration", "1178000"),
            ("url.path", "/a"),
            ("user_agent.original", "curl/8"),
            ("tls.version", "-"),
        ];
        check(elb, ELB_LINE, &expected);
        let old = ELB_LINE.strip_suffix(" \"curl/8\" - -").expect("the agent");
        check(elb, old, &[("status", "200"), ("gatewatch.extra", "-")]);
    }

    #[test]
    fn a_store_is_read() {
        check(
            s3,
            S3_LINE,
            &[
                ("client", "192.0.2.7"),
                ("status", "403"),
                ("event.code", "AccessDenied"),
                ("bytes", "243"),
                ("duration", "7000000"),
                ("url.path", "/files/a/b.txt"),
                ("user_agent.original", "curl/8"),
                ("labels.operation", "REST.GET.OBJECT"),
                ("destination.domain", "files.example.org"),
                ("tls.version", "1.2"),
            ],
        );
        let own = "79a5 files [20/Nov/2026:07:00:15 +0000] - - 3E57427F3 S3.EXPIRE.OBJECT a.txt - - - - 12 - - \
             - - -";
        check(s3, own, &[("client", "-"), ("status", "-"), ("url.original", "-")]);
    }

    #[test]
    fn quotes_in_an_agent_forge_nothing() {
        let line = S3_LINE.replace("curl/8", "x\" - - - - - evil.example.net TLSv1.3 \"");
        check(
            s3,
            &line,
            &[("status", "403"), ("destination.domain", "-"), ("user_agent.original", "-")],
        );
        let line = ALB_LINE.replace("curl/8", "x\" y \"");
        check(alb, &line, &[("status", "200"), ("user_agent.original", "-"), ("tls.version", "-")]);
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["", "https", ELB_LINE, S3_LINE] {
            check_miss(alb, line, Miss::Shape);
        }
        check_miss(elb, S3_LINE, Miss::Shape);
        check_miss(s3, ELB_LINE, Miss::Shape);
        check_miss(alb, &ALB_LINE.replace("203.0.113.84:2817", "x:1"), Miss::Client);
        check_miss(alb, &ALB_LINE.replace(" 200 200 34", " 2x0 200 34"), Miss::Status);
        check_miss(alb, &ALB_LINE.replace("2026-11-20T", "2026-13-20T"), Miss::Time);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in mutated(&[ALB_LINE, ELB_LINE, S3_LINE])) {
            for parse in [alb, elb, s3] {
                let _ = read(parse, &line);
            }
        }
    }
}
