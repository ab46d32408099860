//! JSON of no special program: what a line is, and what its parts mean, is guessed by the keys.
//!
//! The table knows the variables of nginx, the names of the Elastic Common Schema, nested or
//! dotted, and those that proxies, content networks, gateways and web frameworks use. A line with
//! a target and a status is a request. Else a line that tells of a log-in is one ([`login`]), and
//! any other with a time and a message is a line of a program. The rest is refused.
//!
//! Invariant: the guess rests on keys, which servers write; values, which clients choose, only
//! confirm it. A key of more than one meaning counts only where its value decides which.

use super::super::{Context, FixedFormat, Miss};
use super::keys::{Found, Hint, Place};
use super::login;
use super::names::KEYS;
use crate::engine::batch::{Action, Field, Kind, Module, Stamp, Writer};
use crate::units::Timestamp;

/// The format; its parser is [`parse`].
pub(in super::super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::App, captures: 40, parse };

pub(super) const NAME: &str = "json";

/// Methods that browsers and programs send.
const METHODS_SENT: [&[u8]; 7] =
    [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"];

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    parse_untimed(line, cx, out)?;
    // Without a time too little tells a line of a program from any other object.
    if out.row.kind != Kind::Access && out.row.time == Timestamp(0) {
        return Err(Miss::Time);
    }
    Ok(())
}

/// Reads one line whose time may stand elsewhere.
pub(super) fn parse_untimed(
    line: &[u8],
    cx: &mut Context<'_>,
    out: &mut Writer<'_>,
) -> Result<(), Miss> {
    let found = KEYS.read(line)?;
    let is_nginx = found.tells(Hint::Mark);
    let module = if is_nginx { Module::Nginx } else { Module::App };
    let has = |place: Place| KEYS.has(&found, place);
    let has_target = has(Place::Request) || has(Place::Target);
    let has_method = has(Place::Request) || has(Place::Method);
    let is_answered = has(Place::Status);
    let is_silent = !found.tells(Hint::Message);
    if has_target && (is_answered || (has_method && is_silent && has(Place::Client))) {
        if KEYS.misfits(&found, Place::Client) {
            return Err(Miss::Client);
        }
        if KEYS.misfits(&found, Place::Time) {
            return Err(Miss::Time);
        }
        KEYS.apply(&found, module, Stamp::End, cx, out)?;
        finish_request(&found, module, out);
        return Ok(());
    }
    let is_personal = has(Place::Client) || has(Place::User);
    if !login::set(&found, is_personal, out) {
        set_program_line(&found, out)?;
    }
    KEYS.apply(&found, Module::App, Stamp::End, cx, out)?;
    super::set_level(&found, out);
    if let Some(program) = found.hint(Hint::Program).filter(|_| !out.has(Field::Service)) {
        out.set(Field::Service, &program);
    }
    // The `host` of a program is the machine it runs on.
    if !out.has(Field::Target) && !out.has(Field::Hostname) {
        out.copy(Field::Domain, Field::Hostname);
        out.remove(Field::Domain);
    }
    out.row.module = Module::App;
    out.row.format = NAME;
    Ok(())
}

/// A line of a program that is neither a request nor a log-in.
fn set_program_line(found: &Found<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let texts = [Hint::Message, Hint::Error, Hint::Event];
    let message = texts.into_iter().find_map(|hint| found.hint(hint)).ok_or(Miss::Shape)?;
    out.row.kind = Kind::ServerError;
    out.row.action = Action::ServerError;
    out.set(Field::Message, &message);
    Ok(())
}

fn finish_request(found: &Found<'_>, module: Module, out: &mut Writer<'_>) {
    // A path and a query that were logged apart are one target.
    if !KEYS.has(found, Place::Request)
        && let Some(query) = KEYS.text(found, Place::Query)
        && let Some(target) = KEYS.text(found, Place::Target)
        && !target.contains(&b'?')
    {
        out.set_with(Field::Target, |to| {
            to.extend_from_slice(&target);
            to.push(b'?');
            to.extend_from_slice(query.strip_prefix(b"?").unwrap_or(&query));
        });
    }
    // Frameworks write methods in small letters; clients that send them so are refused by servers.
    if module == Module::App
        && let Some(method) = KEYS.text(found, Place::Method)
        && METHODS_SENT.iter().any(|sent| sent.eq_ignore_ascii_case(&method))
        && method.iter().all(u8::is_ascii_lowercase)
    {
        out.set(Field::Method, &method.to_ascii_uppercase());
    }
    let row = &mut out.row;
    (row.module, row.format) = (module, NAME);
    super::mark_empty_request(out);
    super::refused_credentials(found, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    #[test]
    fn what_nginx_writes_is_read_whatever_the_order() {
        check(
            parse,
            r#"{"http_user_agent":"curl/8","status":"404","request_uri":"/a?b=1","uri":"/index.php","remote_addr":"192.0.2.7","time_local":"20/Nov/2026:08:00:14 +0100","msec":"1795158014.250","request_method":"GET","body_bytes_sent":"19","request_time":"0.004","server_protocol":"HTTP/1.1","remote_user":"","http_referer":"","host":"www.example.org","upstream_response_time":"0.002, 0.001","http_x_forwarded_for":"198.51.100.1"}"#,
            &[
                ("kind", "Access"),
                ("module", "nginx"),
                ("format", "json"),
                ("time", "2026-11-20T07:00:14.250Z"),
                ("client", "192.0.2.7"),
                ("http.request.method", "GET"),
                ("url.original", "/a?b=1"),
                ("http.version", "1.1"),
                ("status", "404"),
                ("bytes", "19"),
                ("duration", "4000000"),
                ("user.name", "-"),
                ("http.request.referrer", "-"),
                ("destination.domain", "www.example.org"),
                ("gatewatch.xff_chain", "198.51.100.1"),
                ("gatewatch.upstream.response_time_s", "0.001"),
            ],
        );
    }

    #[test]
    fn missing_numbers_and_bad_bytes_do_not_hide_a_line() {
        let line = b"{\"remote_addr\":\"192.0.2.7\",\"time_iso8601\":\"2026-11-20T07:00:14+00:00\",\"request\":\"GET /\xff\\u0022 HTTP/1.1\",\"status\":200,\"upstream_status\":,\"upstream_response_time\":-,\"request_length\":}";
        let facts = read(parse, line).expect("a line");
        assert_eq!(Some("/\u{fffd}\""), facts.get("url.original").map(String::as_str));
        assert_eq!(Some("200"), facts.get("status").map(String::as_str));
    }

    #[test]
    fn names_of_the_common_schema_are_read_nested_or_dotted() {
        let expected = [
            ("kind", "Access"),
            ("time", "2026-11-20T07:00:14.000Z"),
            ("client", "2001:db8::7"),
            ("user.name", "anna"),
            ("http.request.method", "POST"),
            ("url.path", "/login"),
            ("http.version", "2"),
            ("status", "401"),
            ("bytes", "9"),
            ("duration", "4200000"),
            ("user_agent.original", "curl/8"),
            ("destination.domain", "www.example.org"),
        ];
        check(
            parse,
            r#"{"@timestamp":"2026-11-20T07:00:14Z","source":{"ip":"2001:db8::7"},"user":{"name":"anna"},"http":{"request":{"method":"POST"},"response":{"status_code":401,"body":{"bytes":9}},"version":"2.0"},"url":{"original":"/login","domain":"www.example.org"},"user_agent":{"original":"curl/8"},"event":{"duration":4200000}}"#,
            &expected,
        );
        check(
            parse,
            r#"{"@timestamp":"2026-11-20T07:00:14Z","source.ip":"2001:db8::7","user.name":"anna","http.request.method":"POST","http.response.status_code":401,"http.response.body.bytes":9,"http.version":"2","url.original":"/login","url.domain":"www.example.org","user_agent.original":"curl/8","event.duration":4200000}"#,
            &expected,
        );
    }

    #[track_caller]
    fn check_request(line: &str, also: &[(&str, &str)]) {
        let expected = [
            ("kind", "Access"),
            ("time", "2026-11-20T07:00:14.000Z"),
            ("client", "192.0.2.7"),
            ("http.request.method", "GET"),
            ("url.path", "/a"),
            ("url.query", "b=1"),
        ];
        check(parse, line, &[&expected[..], also].concat());
    }

    #[test]
    fn proxies_and_content_networks_are_read() {
        check_request(
            r#"{"start_time":"2026-11-20T07:00:14.000Z","method":"GET","path":"/a?b=1","protocol":"HTTP/2","response_code":200,"response_flags":"-","bytes_received":0,"bytes_sent":19,"duration":4,"x_forwarded_for":"-","user_agent":"curl/8","request_id":"r1","authority":"www.example.org","upstream_host":"10.0.0.5:80","downstream_remote_address":"192.0.2.7:50112","downstream_local_address":"10.0.0.1:8080"}"#,
            &[
                ("source.port", "50112"),
                ("duration", "4000000"),
                ("bytes", "19"),
                ("http.request.id", "r1"),
                ("destination.domain", "www.example.org"),
            ],
        );
        check_request(
            r#"{"ClientIP":"192.0.2.7","ClientRequestHost":"www.example.org","ClientRequestMethod":"GET","ClientRequestURI":"/a?b=1","ClientRequestUserAgent":"curl/8","EdgeResponseBytes":19,"EdgeResponseStatus":403,"EdgeStartTimestamp":1795158014000000000,"RayID":"r1","CacheCacheStatus":"hit","ClientRequestProtocol":"HTTP/1.1"}"#,
            &[("status", "403"), ("http.request.id", "r1"), ("gatewatch.cache.status", "hit")],
        );
        check_request(
            r#"{"timestamp":1795158014000,"action":"BLOCK","httpRequest":{"clientIp":"192.0.2.7","country":"DE","headers":[{"name":"Host","value":"www.example.org"},{"name":"User-Agent","value":"curl/8"}],"uri":"/a","args":"b=1","httpVersion":"HTTP/1.1","httpMethod":"GET","requestId":"r1"}}"#,
            &[
                ("url.original", "/a?b=1"),
                ("user_agent.original", "curl/8"),
                ("destination.domain", "www.example.org"),
                ("http.version", "1.1"),
            ],
        );
        check_request(
            r#"{"httpRequest":{"requestMethod":"GET","requestUrl":"https://www.example.org/a?b=1","requestSize":"120","status":502,"responseSize":"19","userAgent":"curl/8","remoteIp":"192.0.2.7","latency":"0.004s","protocol":"HTTP/1.1"},"timestamp":"2026-11-20T07:00:14Z","severity":"WARNING"}"#,
            &[("url.domain", "www.example.org"), ("duration", "4000000"), ("status", "502")],
        );
        check_request(
            r#"{"requestId":"r1","ip":"192.0.2.7","requestTime":"20/Nov/2026:07:00:14 +0000","httpMethod":"GET","path":"/a?b=1","status":"429","protocol":"HTTP/1.1","responseLength":"19"}"#,
            &[("status", "429"), ("bytes", "19"), ("http.request.id", "r1")],
        );
        check_request(
            r#"{"client_ip":"192.0.2.7","started_at":1795158014000,"latencies":{"request":4,"kong":1},"request":{"method":"GET","uri":"/a?b=1","size":120,"headers":{"host":"www.example.org","user-agent":"curl/8"}},"response":{"status":200,"size":19}}"#,
            &[
                ("duration", "4000000"),
                ("user_agent.original", "curl/8"),
                ("destination.domain", "www.example.org"),
            ],
        );
    }

    #[test]
    fn web_frameworks_are_read() {
        check_request(
            r#"{"level":30,"time":1795158014000,"pid":7,"hostname":"web1","req":{"id":1,"method":"get","url":"/a?b=1","headers":{"host":"www.example.org","user-agent":"curl/8","x-forwarded-for":"198.51.100.9"},"remoteAddress":"192.0.2.7","remotePort":50112},"res":{"statusCode":200},"responseTime":4,"msg":"request completed"}"#,
            &[("duration", "4000000"), ("gatewatch.xff_chain", "198.51.100.9")],
        );
        check_request(
            r#"{"request":"GET /a?b=1 HTTP/1.1","verb":"POST","clientip":"192.0.2.7","response":"200","bytes":"19","agent":"curl/8","timestamp":"20/Nov/2026:07:00:14 +0000"}"#,
            &[("bytes", "19"), ("user_agent.original", "curl/8"), ("status", "200")],
        );
    }

    #[test]
    fn a_request_without_a_request_line_says_so() {
        let line = r#"{"remote_addr":"192.0.2.7","time_iso8601":"2026-11-20T07:00:14Z","request":"","status":400}"#;
        check(parse, line, &[("malformed", "no_request_line"), ("status", "400")]);
        for key in ["request", "req", "request_line"] {
            let line = format!(
                r#"{{"ts":"2026-11-20T07:00:14Z","ip":"192.0.2.7","{key}":"x1","st":400,"ua":""}}"#
            );
            check(parse, &line, &[("kind", "Access"), ("url.original", "x1"), ("status", "400")]);
        }
        let line = r#"{"remote_addr":"192.0.2.7","time_iso8601":"2026-11-20T07:00:14Z","request":"\u0016\u0003\u0001","status":400}"#;
        check(parse, line, &[("malformed", "tls_bytes"), ("status", "400")]);
    }

    #[test]
    fn the_first_of_two_equal_keys_counts() {
        // Without escaping, the text of a client can add keys behind its own.
        let line = r#"{"remote_addr":"192.0.2.7","time_iso8601":"2026-11-20T07:00:14Z","request":"GET / HTTP/1.1","status":"401","http_user_agent":"x","status":"200","remote_addr":"198.51.100.1"}"#;
        check(parse, line, &[("client", "192.0.2.7"), ("status", "401")]);
    }

    #[test]
    fn a_header_that_no_proxy_sets_is_not_the_one_it_resembles() {
        let line = r#"{"time":1795158014000,"req":{"method":"GET","url":"/","remoteAddress":"127.0.0.1","headers":{"x_forwarded_for":"198.51.100.1"}},"res":{"statusCode":200}}"#;
        check(parse, line, &[("gatewatch.xff_chain", "-"), ("client", "127.0.0.1")]);
    }

    #[test]
    fn a_line_of_a_program_is_an_event() {
        check(
            parse,
            r#"{"time":"2026-11-20T07:00:14Z","level":"ERROR","logger":"db","msg":"connection lost","host":"web1","pid":7}"#,
            &[
                ("kind", "ServerError"),
                ("module", "app"),
                ("level", "error"),
                ("message", "connection lost"),
                ("service.name", "db"),
                ("host.hostname", "web1"),
                ("destination.domain", "-"),
                ("process.pid", "7"),
                ("outcome", "-"),
            ],
        );
        check(
            parse,
            r#"{"time":"2026-11-20T07:00:14Z","level":"info","msg":"upload failed","user":"anna","ip":"192.0.2.7"}"#,
            &[("kind", "ServerError"), ("outcome", "-"), ("client", "192.0.2.7")],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, "{}", Miss::Shape);
        check_miss(parse, "[]", Miss::Shape);
        check_miss(parse, r#"{"a":1}"#, Miss::Shape);
        check_miss(parse, r#"{"msg":"no time"}"#, Miss::Time);
        check_miss(
            parse,
            r#"{"log":"x\n","stream":"stdout","time":"2026-11-20T07:00:14Z"}"#,
            Miss::Shape,
        );
        let line = r#"{"ip":"192.0.2.7","time":"2026-11-20T07:00:14Z","method":"GET","uri":"/","status":200}"#;
        check(parse, line, &[("kind", "Access")]);
        check_miss(parse, &line.replace("192.0.2.7", "unknown"), Miss::Client);
        check_miss(parse, &line.replace("2026-11-20T", "2026-11-99T"), Miss::Time);
        check_miss(parse, &line.replace("\"2026-11-20T07:00:14Z\"", "\"soon\""), Miss::Time);
        check_miss(parse, &format!("{line}]"), Miss::Shape);
    }

    static VALID: &[&str] = &[
        r#"{"remote_addr":"192.0.2.7","time_iso8601":"2026-11-20T07:00:14Z","request":"GET /a?b=\u00e9 HTTP/1.1","status":401,"upstream_status":,"remote_user":"anna"}"#,
        r#"{"timestamp":1795158014000,"httpRequest":{"clientIp":"192.0.2.7","headers":[{"name":"Host","value":"www.example.org"}],"uri":"/a","args":"b=1","httpMethod":"GET"}}"#,
        r#"{"time":"2026-11-20T07:00:14Z","level":"warn","app":"core","remoteAddr":"192.0.2.7","user":"--","message":"Login failed: \"bob\" (Remote IP: 192.0.2.7)"}"#,
    ];

    proptest! {
        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(VALID)) {
            let _ = read(parse, &line);
        }
    }
}
