//! nginx `log_format` strings, compiled (ngx_http_log_module).
//!
//! Accepts the bare string, or the whole directive as it stands in the server's configuration:
//! `log_format main escape=json '…' '…';`, over several lines.

use std::sync::Arc;

use super::Format;
use super::capture::{Applier, Capture, Escape, TimeForm, Unit};
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
        "request_uri" | "uri" | "document_uri" => Capture::Target,
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
        "upstream_connect_time"
        | "upstream_header_time"
        | "upstream_response_length"
        | "upstream_bytes_received"
        | "upstream_bytes_sent" => Capture::Upstream(None),
        "upstream_cache_status" => Capture::Text(Field::CacheStatus),
        "http_referer" => Capture::Text(Field::Referrer),
        "http_user_agent" => Capture::Text(Field::UserAgent),
        "http_x_forwarded_for" | "proxy_add_x_forwarded_for" | "http_forwarded" => {
            Capture::Text(Field::Forwarded)
        }
        "http_x_real_ip" | "http_cf_connecting_ip" | "http_true_client_ip" => {
            Capture::Text(Field::RealIp)
        }
        "host" | "http_host" | "server_name" => Capture::Host,
        "server_port" => Capture::Number(Field::DestinationPort),
        "server_addr" => Capture::Text(Field::DestinationIp),
        "scheme" => Capture::Text(Field::Scheme),
        "hostname" => Capture::Text(Field::Hostname),
        "ssl_protocol" => Capture::TlsVersion,
        "ssl_cipher" => Capture::Text(Field::TlsCipher),
        "ssl_server_name" => Capture::Text(Field::TlsServerName),
        "request_id" | "http_x_request_id" => Capture::Text(Field::RequestId),
        "connection" => Capture::Number(Field::Connection),
        "connection_requests" => Capture::Number(Field::ConnectionRequests),
        "pid" => Capture::Number(Field::Pid),
        "binary_remote_addr" => {
            return Err("`$binary_remote_addr` is not text; use `$remote_addr`".to_owned());
        }
        // Cookies are secrets; the rest of no meaning here is kept as it is.
        _ if name.starts_with("cookie_") => Capture::Skip,
        _ => Capture::Label(name.into()),
    })
}
