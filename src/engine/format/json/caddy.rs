//! Caddy's log: JSON of its own shape for requests and for everything else it has to say.
//!
//! A request is `"msg":"handled request"`, or any line of the logger `http.log.access`. Caddy fills
//! `user_id` only after a log-in that worked; that credentials were sent at all shows in the
//! header, whose text it hides.
//!
//! `format console` writes time, level, logger and message with tabs between them in front of an
//! object with the rest.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::super::capture::{Capture, TimeForm, Unit};
use super::super::{Context, FixedFormat, Miss};
use super::keys::{Found, Hint, KeyMap, Place, What};
use crate::engine::address::{parse_ip, set_client};
use crate::engine::batch::{Action, ClientSource, Field, Kind, Level, Module, Stamp, Writer};
use crate::engine::text::cut;
use crate::engine::time::TimeReader;
use crate::units::Timestamp;

/// The format; its parser is [`parse`].
pub(in super::super) const FORMAT: FixedFormat =
    FixedFormat { name: ACCESS, module: Module::Caddy, captures: 41, parse };

const ACCESS: &str = "caddy:access";
const ERROR: &str = "caddy:error";

/// What the names of Caddy's loggers begin with: its modules.
const LOGGERS: &[&str] = &[
    "admin",
    "caddy",
    "dns",
    "docker-proxy",
    "dynamic_dns",
    "events",
    "frankenphp",
    "http",
    "layer4",
    "pki",
    "storage",
    "tls",
    "watcher",
];

static KEYS: LazyLock<KeyMap> = LazyLock::new(|| {
    use Capture::{BodyBytes, Client, Duration, Endpoint, Host, Number, Protocol};
    use Capture::{ServedUser, Status, Target, Text, Time, User};
    let fields = [
        ("ts", Time(TimeForm::Any)),
        ("request.client_ip", Client),
        ("request.remote_ip", Client),
        ("request.remote_addr", Endpoint),
        ("request.remote_ip", Text(Field::Peer)),
        ("request.remote_port", Number(Field::ClientPort)),
        ("request.method", Text(Field::Method)),
        ("request.uri", Target),
        ("request.proto", Protocol),
        ("request.host", Host),
        ("request.headers.User-Agent", Text(Field::UserAgent)),
        ("request.headers.Referer", Text(Field::Referrer)),
        ("request.headers.X-Forwarded-For", Text(Field::Forwarded)),
        ("request.headers.X-Real-Ip", Text(Field::RealIp)),
        ("request.headers.X-Request-Id", Text(Field::RequestId)),
        ("uuid", Text(Field::RequestId)),
        // A number, which `finish` puts into words.
        ("request.tls.version", Text(Field::TlsVersion)),
        ("request.tls.server_name", Text(Field::TlsServerName)),
        ("bytes_read", Number(Field::RequestBodyBytes)),
        ("user_id", User),
        ("resp_headers.X-User", ServedUser),
        ("duration", Duration(Unit::Seconds)),
        ("latency", Duration(Unit::Seconds)),
        ("size", BodyBytes),
        ("status", Status),
    ];
    let hints = [
        ("level", Hint::Level),
        ("logger", Hint::Program),
        ("msg", Hint::Message),
        ("request.headers.Authorization", Hint::Credentials),
        ("request.headers.Proxy-Authorization", Hint::Credentials),
    ];
    let fields = fields.map(|(key, capture)| (key.as_bytes().to_vec(), What::Is(capture)));
    let hints = hints.map(|(key, hint)| (key.as_bytes().to_vec(), What::Tells(hint)));
    let rows = fields.into_iter().chain(hints).collect();
    KeyMap::new(rows, crate::engine::json::Keys::Exact).expect("a table has few meanings")
});

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let console = Console::of(line);
    let found = KEYS.read(console.as_ref().map_or(line, |console| console.object))?;
    let (logger, message) = match &console {
        Some(console) => (Cow::Borrowed(console.logger), Cow::Borrowed(console.message)),
        None => (
            found.hint(Hint::Program).unwrap_or_default(),
            found.hint(Hint::Message).unwrap_or_default(),
        ),
    };
    let has_request = KEYS.has(&found, Place::Target)
        && KEYS.has(&found, Place::Method)
        && KEYS.has(&found, Place::Client);
    if has_request && (*message == *b"handled request" || logger.starts_with(b"http.log.access")) {
        if !KEYS.has(&found, Place::Status) {
            return Err(Miss::Status);
        }
        KEYS.apply(&found, Module::Caddy, Stamp::End, cx, out)?;
        let row = &mut out.row;
        (row.module, row.format) = (Module::Caddy, ACCESS);
        if let Some(console) = &console {
            row.time = console.time;
        }
        finish(&found, out);
        super::refused_credentials(&found, out);
        return Ok(());
    }
    let is_ours = LOGGERS.iter().any(|name| {
        let rest = logger.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| matches!(rest, [] | [b'.', ..]))
    });
    let is_timed = console.is_some() || KEYS.has(&found, Place::Time);
    if !is_ours || message.is_empty() || !is_timed {
        return Err(Miss::Shape);
    }
    KEYS.apply(&found, Module::Caddy, Stamp::End, cx, out)?;
    finish(&found, out);
    let row = &mut out.row;
    (row.kind, row.module, row.format) = (Kind::ServerError, Module::Caddy, ERROR);
    row.action = match row.status {
        502..=504 => Action::UpstreamError,
        _ => Action::ServerError,
    };
    super::set_level(&found, out);
    if let Some(console) = &console {
        (out.row.time, out.row.level) = (console.time, console.level);
    }
    out.set(Field::Process, b"caddy");
    if !out.has(Field::ClientAddress)
        && let Some((client, _)) =
            message.strip_prefix(b"[client \"").and_then(|rest| cut(rest, b"\"]"))
        && parse_ip(client).is_some()
    {
        // The web application firewall names the client first.
        set_client(out, client);
    }
    out.set(Field::Message, &message);
    Ok(())
}

/// A line of `format console`.
struct Console<'l> {
    time: Timestamp,
    level: Level,
    logger: &'l [u8],
    message: &'l [u8],
    object: &'l [u8],
}

impl<'l> Console<'l> {
    fn of(line: &'l [u8]) -> Option<Self> {
        if !line.first()?.is_ascii_digit() {
            return None;
        }
        let mut parts = line.splitn(5, |byte| *byte == b'\t');
        let (date, time) = cut(parts.next()?, b" ")?;
        let date: [u8; 10] = date.try_into().ok()?;
        let date = date.map(|byte| if byte == b'/' { b'-' } else { byte });
        // Caddy writes the time of Greenwich unless told otherwise.
        let (time, _) = TimeReader::w3c(&date, time)?;
        let level = parts.next()?;
        // With the colours of a terminal, in files too.
        let level = level
            .strip_prefix(b"\x1b[")
            .and_then(|rest| cut(rest, b"m")?.1.strip_suffix(b"\x1b[0m"))
            .unwrap_or(level);
        let level = match level {
            b"DEBUG" => Level::Debug,
            b"INFO" => Level::Info,
            b"WARN" => Level::Warn,
            b"ERROR" => Level::Error,
            b"DPANIC" | b"PANIC" | b"FATAL" => Level::Critical,
            _ => return None,
        };
        let (logger, message) = (parts.next()?, parts.next()?);
        Some(Self { time, level, logger, message, object: parts.next().unwrap_or(b"{}") })
    }
}

/// Tells the peer from the client that Caddy found behind it, and the TLS version in words.
fn finish(found: &Found<'_>, out: &mut Writer<'_>) {
    let peer = KEYS.text(found, Place::Peer);
    if peer.and_then(|peer| parse_ip(&peer)) == out.row.client {
        out.remove(Field::Peer);
    } else if out.has(Field::Peer) {
        out.row.client_source = ClientSource::Server;
        // The port is that of the proxy.
        out.remove(Field::ClientPort);
    }
    if let Some(number) = KEYS.text(found, Place::TlsVersion) {
        out.remove(Field::TlsVersion);
        let version: Option<&[u8]> = match &*number {
            b"769" => Some(b"1.0"),
            b"770" => Some(b"1.1"),
            b"771" => Some(b"1.2"),
            b"772" => Some(b"1.3"),
            _ => None,
        };
        if let Some(version) = version {
            out.set(Field::TlsVersion, version);
        }
        if !out.has(Field::Scheme) {
            out.set(Field::Scheme, b"https");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const LINE: &str = r#"{"level":"info","ts":1795158011.25,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"10.0.0.2","remote_port":"5120","client_ip":"203.0.113.80","proto":"HTTP/2.0","method":"POST","host":"shop.example.org","uri":"/login?next=%2F","headers":{"User-Agent":["curl/8"],"Authorization":["REDACTED"]},"tls":{"resumed":false,"version":772,"cipher_suite":4865,"proto":"h2","server_name":"shop.example.org"}},"bytes_read":21,"user_id":"","duration":0.0042,"size":9,"status":401,"resp_headers":{}}"#;

    const ERROR_LINE: &str = r#"{"level":"error","ts":1795158011.25,"logger":"http.log.error.log0","msg":"dial tcp 10.0.0.5:80: connect: connection refused","request":{"remote_ip":"192.0.2.7","remote_port":"5120","client_ip":"192.0.2.7","proto":"HTTP/1.1","method":"GET","host":"shop.example.org","uri":"/a","headers":{}},"duration":0.1,"status":502,"err_id":"x"}"#;

    #[test]
    fn a_request_is_read_with_all_its_parts() {
        check(
            parse,
            LINE,
            &[
                ("kind", "Access"),
                ("format", ACCESS),
                ("module", "caddy"),
                ("time", "2026-11-20T07:00:11.250Z"),
                ("client", "203.0.113.80"),
                ("client_source", "server"),
                ("gatewatch.peer.ip", "10.0.0.2"),
                ("source.port", "-"),
                ("http.request.method", "POST"),
                ("url.path", "/login"),
                ("url.query", "next=%2F"),
                ("http.version", "2"),
                ("destination.domain", "shop.example.org"),
                ("user_agent.original", "curl/8"),
                ("tls.version", "1.3"),
                ("tls.client.server_name", "shop.example.org"),
                ("url.scheme", "https"),
                ("http.request.body.bytes", "21"),
                ("bytes", "9"),
                ("status", "401"),
                ("duration", "4200000"),
                ("user.name", "-"),
                ("outcome", "failure"),
                ("counted", "true"),
                ("reason", "bad_credentials"),
            ],
        );
    }

    #[test]
    fn a_401_without_credentials_is_left_to_the_rules_of_requests() {
        let line = LINE.replace(r#","Authorization":["REDACTED"]"#, "");
        check(parse, &line, &[("outcome", "-"), ("status", "401")]);
        // Older versions leave nothing of the header but its name.
        let line = LINE.replace(r#"["REDACTED"]"#, "[]");
        check(parse, &line, &[("outcome", "failure")]);
    }

    #[test]
    fn clients_are_found_in_every_version_of_the_log() {
        let same = LINE.replace("203.0.113.80", "10.0.0.2");
        check(
            parse,
            &same,
            &[
                ("client", "10.0.0.2"),
                ("source.port", "5120"),
                ("gatewatch.peer.ip", "-"),
                ("client_source", "peer"),
            ],
        );
        let old = LINE.replace(
            r#""remote_ip":"10.0.0.2","remote_port":"5120","client_ip":"203.0.113.80""#,
            r#""remote_addr":"[2001:db8::1]:5120""#,
        );
        check(parse, &old, &[("client", "2001:db8::1"), ("source.port", "5120")]);
    }

    #[test]
    fn times_and_durations_are_read_in_all_their_forms() {
        for ts in [
            "1795158011250.5",
            "\"2026-11-20T07:00:11.250Z\"",
            "\"2026/11/20 07:00:11.250\"",
            "1795158011250000000",
        ] {
            let line = LINE.replace("1795158011.25", ts);
            check(parse, &line, &[("time", "2026-11-20T07:00:11.250Z")]);
        }
        for (duration, expected) in [("\"1.5ms\"", "1500000"), ("0.000002701", "2701")] {
            let line = LINE.replace("0.0042", duration);
            check(parse, &line, &[("duration", expected)]);
        }
    }

    #[test]
    fn what_is_no_request_is_a_line_of_the_server() {
        check(
            parse,
            ERROR_LINE,
            &[
                ("kind", "ServerError"),
                ("format", ERROR),
                ("action", "upstream_error"),
                ("level", "error"),
                ("message", "dial tcp 10.0.0.5:80: connect: connection refused"),
                ("client", "192.0.2.7"),
                ("url.path", "/a"),
                ("outcome", "-"),
            ],
        );
        check(
            parse,
            r#"{"level":"warn","ts":1795158011.25,"logger":"http.handlers.waf","msg":"[client \"192.0.2.7\"] Coraza: Warning. [id \"1\"]"}"#,
            &[("kind", "ServerError"), ("level", "warn"), ("client", "192.0.2.7")],
        );
        check(
            parse,
            r#"{"level":"info","ts":"2026-11-20T07:00:11Z","logger":"tls.obtain","msg":"lock acquired","identifier":"example.org"}"#,
            &[("kind", "ServerError"), ("level", "info"), ("message", "lock acquired")],
        );
    }

    const CONSOLE: &str = "2026/11/20 07:00:11.250\t\x1b[31mERROR\x1b[0m\thttp.log.access.log1\thandled request\t{\"request\": {\"remote_ip\": \"192.0.2.7\", \"remote_port\": \"5120\", \"proto\": \"HTTP/1.1\", \"method\": \"GET\", \"host\": \"shop.example.org\", \"uri\": \"/a\\tb\", \"headers\": {\"User-Agent\": [\"x\\\"\"]}}, \"user_id\": \"\", \"duration\": 0.0042, \"size\": 9, \"status\": 404}";

    #[test]
    fn the_console_says_the_same_in_another_shape() {
        let expected = [
            ("kind", "Access"),
            ("format", ACCESS),
            ("time", "2026-11-20T07:00:11.250Z"),
            ("client", "192.0.2.7"),
            ("url.original", "/a\tb"),
            ("user_agent.original", "x\""),
            ("status", "404"),
        ];
        check(parse, CONSOLE, &expected);
        let plain = CONSOLE.replace("\x1b[31m", "").replace("\x1b[0m", "");
        check(parse, &plain, &expected);
        check(
            parse,
            "2026/11/20 07:00:11.250\tWARN\ttls.obtain\tno lock",
            &[
                ("kind", "ServerError"),
                ("format", ERROR),
                ("time", "2026-11-20T07:00:11.250Z"),
                ("level", "warn"),
                ("message", "no lock"),
            ],
        );
        check_miss(
            parse,
            &plain.replace("http.log.access.log1\thandled request\t", ""),
            Miss::Shape,
        );
        check_miss(parse, &plain.replace("2026/11/20", "2026/13/20"), Miss::Shape);
        check_miss(parse, &plain.replace("ERROR", "LOUD"), Miss::Shape);
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, "{}", Miss::Shape);
        check_miss(parse, r#"{"level":"info","ts":1795158011.25,"msg":"x"}"#, Miss::Shape);
        check_miss(
            parse,
            r#"{"level":"info","ts":1795158011.25,"logger":"httpd","msg":"x"}"#,
            Miss::Shape,
        );
        check_miss(parse, &LINE.replace("1795158011.25", "\"soon\""), Miss::Time);
        check_miss(parse, &LINE.replace(":401", ":4010"), Miss::Status);
        check_miss(parse, &LINE.replace("203.0.113.80", "a b"), Miss::Client);
        check_miss(parse, &format!("{LINE}{LINE}"), Miss::Shape);
    }

    proptest! {
        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(&[LINE, ERROR_LINE, CONSOLE])) {
            let _ = read(parse, &line);
        }
    }
}
