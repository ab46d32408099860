//! nginx `log_format` strings, compiled (ngx_http_log_module).
//!
//! Accepts the bare string, or the whole directive as it stands in the server's configuration:
//! `log_format main escape=json '…' '…';`, over several lines.

use std::sync::Arc;

use super::Format;
use super::capture::{Applier, Capture, Escape, SERVED_USER, TimeForm, Unit};
use super::json::written::{self, WrittenJson};
use super::template::{Template, Token};
use crate::engine::batch::{Field, Module, Stamp};

/// Compiles a `log_format`; the complaint completes "bad log_format: …".
pub(super) fn compile(name: &'static str, definition: &str) -> Result<Template, String> {
    let (tokens, escape) = tokens(definition)?;
    let applier =
        Applier { escape, module: Module::Nginx, stamp: Stamp::End, client_is_address: false };
    Template::compile(name, tokens, applier, true)
}

/// Compiles any `log_format`, one that writes JSON too.
pub(super) fn written(definition: &str) -> Result<Format, String> {
    const NAME: &str = "nginx:custom";
    let (tokens, _) = tokens(definition)?;
    if written::is_json(&tokens) {
        let json = WrittenJson::compile(NAME, &tokens, Module::Nginx, Stamp::End)?;
        return Ok(Format::Json(Arc::new(json)));
    }
    compile(NAME, definition).map(Format::template)
}

/// The parts of a `log_format`, and how the server escapes what it writes.
fn tokens(definition: &str) -> Result<(Vec<Token>, Escape), String> {
    let (text, escape) = directive(definition)?;
    Ok((tokenise(&text)?, escape))
}

/// The string that nginx would see: arguments joined, quotes and escapes of the file undone.
fn directive(definition: &str) -> Result<(String, Escape), String> {
    let trimmed = definition.trim();
    let Some(rest) = trimmed.strip_prefix("log_format") else {
        return Ok((definition.to_owned(), Escape::Default));
    };
    let mut arguments = arguments(rest)?.into_iter();
    arguments.next().ok_or("the directive has no name")?;
    let mut escape = Escape::Default;
    let mut text = String::new();
    for (index, argument) in arguments.enumerate() {
        match argument.strip_prefix("escape=") {
            Some("json") if index == 0 => escape = Escape::Json,
            Some("none") if index == 0 => escape = Escape::None,
            Some("default") if index == 0 => (),
            _ => text.push_str(&argument),
        }
    }
    if text.is_empty() { Err("the directive has no format".to_owned()) } else { Ok((text, escape)) }
}

/// Splits what follows `log_format` as nginx does: blanks part, quotes join, `;` ends.
fn arguments(text: &str) -> Result<Vec<String>, String> {
    let mut arguments = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        let Some(&first) = chars.peek() else { return Ok(arguments) };
        if first == ';' {
            return Ok(arguments);
        }
        let quote = chars.next_if(|char| matches!(char, '\'' | '"'));
        let mut argument = String::new();
        loop {
            match (chars.next(), quote) {
                (Some(char), Some(quote)) if char == quote => break,
                (None, Some(quote)) => return Err(format!("a {quote} is not closed")),
                (Some('\\'), _) => match chars.next() {
                    Some('t') => argument.push('\t'),
                    Some('n') => argument.push('\n'),
                    Some('r') => argument.push('\r'),
                    Some(char @ ('\'' | '"' | '\\')) => argument.push(char),
                    Some(char) => argument.extend(['\\', char]),
                    None => return Err("it ends with a backslash".to_owned()),
                },
                (Some(char), _) => argument.push(char),
                (None, None) => break,
            }
            if quote.is_none() && chars.peek().is_none_or(|c| c.is_whitespace() || *c == ';') {
                break;
            }
        }
        arguments.push(argument);
    }
}

fn tokenise(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        if 0 < dollar {
            tokens.push(Token::Literal(rest.as_bytes()[..dollar].to_vec()));
        }
        let (name, after) = variable(&rest[dollar + 1..])?;
        rest = after;
        // `$uri$is_args$args` is one thing: the target. A request without a query has no `?`.
        if matches!(name, "uri" | "document_uri")
            && let Some(after) = ["$is_args$args", "$is_args$query_string"]
                .iter()
                .find_map(|tail| after.strip_prefix(*tail))
        {
            tokens.push(Token::Value(Capture::Target, "$uri$is_args$args".to_owned()));
            rest = after;
            continue;
        }
        tokens.push(Token::Value(meaning(name)?, format!("${name}")));
    }
    if !rest.is_empty() {
        tokens.push(Token::Literal(rest.as_bytes().to_vec()));
    }
    Ok(tokens)
}

fn variable(text: &str) -> Result<(&str, &str), String> {
    let braced = text.strip_prefix('{');
    let inner = braced.unwrap_or(text);
    let length = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let (name, after) = inner.split_at(length.unwrap_or(inner.len()));
    let after = match braced {
        Some(_) => after.strip_prefix('}').ok_or("a `${` is not closed by `}`")?,
        None => after,
    };
    if name.is_empty() { Err("a `$` has no name behind it".to_owned()) } else { Ok((name, after)) }
}

/// What an nginx variable means; also the names of the groups of a regular expression.
pub(super) fn meaning(name: &str) -> Result<Capture, String> {
    Ok(match name {
        "remote_addr" => Capture::Client,
        "remote_user" => Capture::User,
        "remote_port" => Capture::Number(Field::ClientPort),
        "realip_remote_addr" | "proxy_protocol_addr" => Capture::Text(Field::Peer),
        "time_local" => Capture::Time(TimeForm::Clf),
        "time_iso8601" => Capture::Time(TimeForm::Iso),
        "msec" => Capture::Time(TimeForm::Epoch),
        "request" => Capture::Request,
        "request_method" => Capture::Text(Field::Method),
        "request_uri" => Capture::Target,
        "uri" | "document_uri" => Capture::MappedPath,
        "args" | "query_string" => Capture::Text(Field::Query),
        "server_protocol" => Capture::Protocol,
        "status" => Capture::Status,
        "body_bytes_sent" => Capture::BodyBytes,
        "bytes_sent" => Capture::ResponseBytes,
        "request_length" => Capture::Number(Field::RequestBytes),
        "content_length" => Capture::Number(Field::RequestBodyBytes),
        "request_time" => Capture::Duration(Unit::Seconds),
        "upstream_addr" => Capture::Upstream(Some(Field::UpstreamAddress)),
        "upstream_status" => Capture::Upstream(Some(Field::UpstreamStatus)),
        "upstream_response_time" => Capture::Upstream(Some(Field::UpstreamTime)),
        "upstream_connect_time" => Capture::Upstream(Some(Field::UpstreamConnectTime)),
        "upstream_header_time" => Capture::Upstream(Some(Field::UpstreamHeaderTime)),
        "upstream_response_length" | "upstream_bytes_received" | "upstream_bytes_sent" => {
            Capture::Upstream(None)
        }
        "upstream_cache_status" => Capture::Text(Field::CacheStatus),
        "http_referer" => Capture::Text(Field::Referrer),
        "http_user_agent" => Capture::Text(Field::UserAgent),
        "http_x_forwarded_for" | "proxy_add_x_forwarded_for" | "http_forwarded" => {
            Capture::Text(Field::Forwarded)
        }
        "http_x_real_ip" | "http_cf_connecting_ip" | "http_true_client_ip" => {
            Capture::Text(Field::RealIp)
        }
        "host" | "http_host" => Capture::Host,
        "server_name" => Capture::ServerName,
        "server_port" => Capture::Number(Field::DestinationPort),
        "server_addr" => Capture::Text(Field::DestinationIp),
        "scheme" => Capture::Text(Field::Scheme),
        "https" => Capture::Https,
        "hostname" => Capture::Text(Field::Hostname),
        "http_traceparent" => Capture::TraceParent,
        "request_id" | "req_id" | "http_x_request_id" => Capture::Text(Field::RequestId),
        "connection" => Capture::Number(Field::Connection),
        "connection_requests" => Capture::Number(Field::ConnectionRequests),
        "pid" => Capture::Number(Field::Pid),
        "binary_remote_addr" => {
            return Err("`$binary_remote_addr` is not text; use `$remote_addr`".to_owned());
        }
        // Whether there is a query the target shows.
        "is_args" => Capture::Skip,
        // Cookies and credentials are secrets; the rest of no meaning here is kept as it is.
        "http_cookie"
        | "http_authorization"
        | "http_proxy_authorization"
        | "sent_http_set_cookie" => Capture::Skip,
        _ if name.starts_with("cookie_") => Capture::Skip,
        _ if is_served_user(name) => Capture::ServedUser,
        _ => meaning_of_tls(name).unwrap_or_else(|| Capture::Label(name.into())),
    })
}

/// The variable of a header with which the application names the user. Not `sent_http_`: that may
/// be nginx's own `add_header`, which knows nothing but what the client claims.
fn is_served_user(name: &str) -> bool {
    name.strip_prefix("upstream_http_").is_some_and(|header| SERVED_USER.contains(&header))
}

fn meaning_of_tls(name: &str) -> Option<Capture> {
    Some(match name {
        "ssl_protocol" => Capture::TlsVersion,
        "ssl_cipher" => Capture::Text(Field::TlsCipher),
        "ssl_server_name" | "ssl_preread_server_name" => Capture::Text(Field::TlsServerName),
        "ssl_session_reused" => Capture::TlsResumed,
        "ssl_alpn_protocol" => Capture::Text(Field::TlsNextProtocol),
        "ssl_curve" => Capture::Text(Field::TlsCurve),
        "ssl_client_s_dn" => Capture::Text(Field::TlsClientSubject),
        "ssl_client_i_dn" => Capture::Text(Field::TlsClientIssuer),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::testing::read;

    #[track_caller]
    fn check(format: &str, line: &str, expected: &[(&str, &str)]) {
        let mut format = Format::written(format).expect("sound");
        let facts = read(|line, cx, out| format.parse(line, cx, out), line.as_bytes());
        let facts = facts.expect("a line of the format");
        for (name, value) in expected {
            assert_eq!(*value, facts.get(*name).map_or("-", String::as_str), "{name}: {facts:#?}");
        }
    }

    #[test]
    fn the_raw_target_and_the_host_asked_for_win() {
        let values = [("url.original", "/a%20b?x"), ("url.path", "/a%20b"), ("url.query", "x")];
        let line = "192.0.2.7 [20/Nov/2026:07:00:01 +0000]";
        check(
            "$remote_addr [$time_local] $uri|$request_uri",
            &format!("{line} /a b|/a%20b?x"),
            &values,
        );
        check(
            "$remote_addr [$time_local] $request_uri|$uri",
            &format!("{line} /a%20b?x|/a b"),
            &values,
        );
        let path = [("url.original", "/a?b"), ("url.path", "/a?b"), ("url.query", "x")];
        check("$remote_addr [$time_local] \"$uri\" $args", &format!("{line} \"/a?b\" x"), &path);
        let site = [("destination.domain", "www.example.org")];
        let line = "192.0.2.7 [20/Nov/2026:07:00:01 +0000] default www.example.org";
        check("$remote_addr [$time_local] $server_name $host", line, &site);
        let line = "192.0.2.7 [20/Nov/2026:07:00:01 +0000] www.example.org default";
        check("$remote_addr [$time_local] $host $server_name", line, &site);
    }

    #[test]
    fn variables_of_tls_traces_and_upstreams_have_fields() {
        let format = "$remote_addr [$time_local] $https $ssl_session_reused $ssl_alpn_protocol \
                      $ssl_curve \"$ssl_client_s_dn\" $http_traceparent $upstream_connect_time \
                      $upstream_header_time $http_cookie";
        let line = "192.0.2.7 [20/Nov/2026:07:00:01 +0000] on r h2 X25519 \"CN=alice,O=Example\" \
                    00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 0.001, 0.002 0.003 sid=1";
        let expected = [
            ("url.scheme", "https"),
            ("tls.resumed", "true"),
            ("tls.next_protocol", "h2"),
            ("tls.curve", "X25519"),
            ("tls.client.subject", "CN=alice,O=Example"),
            ("trace.id", "4bf92f3577b34da6a3ce929d0e0e4736"),
            ("span.id", "00f067aa0ba902b7"),
            ("gatewatch.upstream.connect_time_s", "0.002"),
            ("gatewatch.upstream.header_time_s", "0.003"),
            ("labels.http_cookie", "-"),
        ];
        check(format, line, &expected);
        let zeros = line.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        check(format, &zeros, &[("trace.id", "-"), ("span.id", "-")]);
    }
}
