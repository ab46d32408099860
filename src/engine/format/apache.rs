//! Apache `LogFormat` strings, compiled (mod_log_config).
//!
//! Accepts the bare string, or the whole directive: `LogFormat "%h %l …" combined`.

use std::sync::Arc;

use super::Format;
use super::capture::{Applier, Capture, Escape, SERVED_USER, TimeForm, Unit};
use super::json::written::{self, WrittenJson};
use super::template::{Template, Token};
use crate::engine::batch::{Field, Module, Stamp};

/// Compiles a `LogFormat`; the complaint completes "bad LogFormat: …".
pub(super) fn compile(
    name: &'static str,
    definition: &str,
    client_is_address: bool,
) -> Result<Template, String> {
    let (tokens, stamp) = tokens(definition)?;
    let module = Module::Apache;
    let applier = Applier { escape: Escape::Default, module, stamp, client_is_address };
    Template::compile(name, tokens, applier, true)
}

/// Compiles any `LogFormat`, one that writes JSON too.
pub(super) fn written(definition: &str) -> Result<Format, String> {
    const NAME: &str = "apache:custom";
    // A string pasted without its directive keeps the escapes of its quotes.
    let unescaped = definition.replace("\\\"", "\"");
    let is_pasted = definition.trim_start().starts_with('{') && unescaped != definition;
    let (tokens, stamp) = tokens(if is_pasted { &unescaped } else { definition })?;
    if written::is_json(&tokens) {
        let json = WrittenJson::compile(NAME, &tokens, Module::Apache, stamp)?;
        return Ok(Format::Json(Arc::new(json)));
    }
    compile(NAME, definition, false).map(Format::template)
}

/// The parts of a `LogFormat`, and what its time means.
fn tokens(definition: &str) -> Result<(Vec<Token>, Stamp), String> {
    let text = directive(definition)?;
    let stamp = if text.contains("{end:") { Stamp::End } else { Stamp::Start };
    Ok((tokenise(&text)?, stamp))
}

/// The same, for the shapes that nginx and Apache share: the module stays nginx's, whose time is
/// the end of the request.
pub(super) fn compile_shared(
    name: &'static str,
    definition: &str,
    client_is_address: bool,
) -> Result<Template, String> {
    let tokens = tokenise(definition)?;
    let (module, stamp) = (Module::Nginx, Stamp::End);
    let applier = Applier { escape: Escape::Default, module, stamp, client_is_address };
    Template::compile(name, tokens, applier, true)
}

/// The string between the quotes of a directive, with its escapes undone.
fn directive(definition: &str) -> Result<String, String> {
    let Some(rest) = definition.trim().strip_prefix("LogFormat") else {
        return Ok(definition.to_owned());
    };
    let rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        return rest
            .split_whitespace()
            .next()
            .map(str::to_owned)
            .ok_or_else(|| "it is empty".to_owned());
    };
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next() {
            Some('"') => return Ok(text),
            Some('\\') => match chars.next() {
                Some('t') => text.push('\t'),
                Some('n') => text.push('\n'),
                Some(char) => text.push(char),
                None => return Err("it ends with a backslash".to_owned()),
            },
            Some(char) => text.push(char),
            None => return Err("a \" is not closed".to_owned()),
        }
    }
}

/// One `%` directive.
struct Directive<'t> {
    argument: &'t str,
    letters: &'t str,
    original: bool,
}

fn tokenise(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut literal = Vec::new();
    let mut rest = text;
    while let Some(percent) = rest.find('%') {
        literal.extend_from_slice(&rest.as_bytes()[..percent]);
        let after = &rest[percent + 1..];
        if let Some(after) = after.strip_prefix('%') {
            literal.push(b'%');
            rest = after;
            continue;
        }
        let (directive, after) = directive_at(after)?;
        rest = after;
        // `%t` brings its own brackets.
        let bracketed = directive.letters == "t" && directive.argument.is_empty();
        if bracketed {
            literal.push(b'[');
        }
        flush(&mut tokens, &mut literal);
        // `%U%q` is one thing: the target.
        if directive.letters == "U"
            && let Some(after) = rest.strip_prefix("%q")
        {
            tokens.push(Token::Value(Capture::Target, "%U%q".to_owned()));
            rest = after;
            continue;
        }
        let name = if directive.argument.is_empty() {
            format!("%{}", directive.letters)
        } else {
            format!("%{{{}}}{}", directive.argument, directive.letters)
        };
        tokens.push(Token::Value(meaning(&directive)?, name));
        if bracketed {
            literal.push(b']');
        }
    }
    literal.extend_from_slice(rest.as_bytes());
    flush(&mut tokens, &mut literal);
    Ok(join_times(tokens))
}

fn flush(tokens: &mut Vec<Token>, literal: &mut Vec<u8>) {
    if !literal.is_empty() {
        tokens.push(Token::Literal(std::mem::take(literal)));
    }
}

/// Reads `[!][codes][<>]{argument}letters`.
fn directive_at(text: &str) -> Result<(Directive<'_>, &str), String> {
    let mut rest = text.trim_start_matches(|c: char| c == '!' || c == ',' || c.is_ascii_digit());
    let mut directive = Directive { argument: "", letters: "", original: false };
    loop {
        let mut chars = rest.chars();
        match chars.next() {
            Some('<') => directive.original = true,
            Some('>') => directive.original = false,
            Some('{') => {
                let end = rest.find('}').ok_or("a `%{` is not closed by `}`")?;
                directive.argument = &rest[1..end];
                rest = &rest[end + 1..];
                continue;
            }
            Some('^') => {
                let length = if rest.starts_with("^FB") { 3 } else { 3.min(rest.len()) };
                directive.letters = rest.get(..length).ok_or("a `%^` has no name behind it")?;
                return Ok((directive, &rest[length..]));
            }
            Some(char) if char.is_ascii_alphabetic() => {
                directive.letters = &rest[..1];
                return Ok((directive, &rest[1..]));
            }
            Some(char) => return Err(format!("`%{char}` is no directive")),
            None => return Err("a `%` has no directive behind it".to_owned()),
        }
        rest = chars.as_str();
    }
}

fn meaning(directive: &Directive<'_>) -> Result<Capture, String> {
    let argument = directive.argument;
    Ok(match directive.letters {
        "h" if argument == "c" => Capture::Text(Field::Peer),
        "h" => Capture::Client,
        "a" if argument == "c" => Capture::Text(Field::Peer),
        "a" => Capture::Client,
        "A" => Capture::Text(Field::DestinationIp),
        "l" => Capture::Ident,
        "u" => Capture::User,
        "t" => time(argument),
        "r" => Capture::Request,
        "m" => Capture::Text(Field::Method),
        "U" => Capture::MappedPath,
        "q" => Capture::Text(Field::Query),
        "H" => Capture::Protocol,
        "s" if directive.original => Capture::Skip,
        "s" => Capture::Status,
        "b" | "B" => Capture::BodyBytes,
        "O" => Capture::ResponseBytes,
        "I" => Capture::Number(Field::RequestBytes),
        "D" => Capture::Duration(Unit::Microseconds),
        "T" => Capture::Duration(match argument {
            "ms" => Unit::Milliseconds,
            "us" => Unit::Microseconds,
            _ => Unit::Seconds,
        }),
        "v" | "V" => Capture::ServerName,
        "p" if argument == "remote" => Capture::Number(Field::ClientPort),
        "p" => Capture::Number(Field::DestinationPort),
        "P" if argument == "tid" || argument == "hextid" => Capture::Text(Field::Tid),
        "P" => Capture::Number(Field::Pid),
        "L" => Capture::Text(Field::RequestId),
        "k" => Capture::Number(Field::ConnectionRequests),
        "i" => request_header(argument),
        "e" if argument == "UNIQUE_ID" => Capture::Text(Field::RequestId),
        "x" | "c" => connection(argument),
        // Cookies are secrets.
        "C" => Capture::Skip,
        "e" | "n" | "o" | "^ti" | "^to" if is_secret(argument) => Capture::Skip,
        "o" if is_served_user(argument) => Capture::ServedUser,
        "e" if argument == "HTTPS" => Capture::Https,
        "e" | "n" | "o" => label(argument),
        "^ti" | "^to" => label(&format!("trailer_{argument}")),
        "^FB" => label("time_to_first_byte_us"),
        "X" => label("connection_status"),
        "f" => label("file"),
        "R" => label("handler"),
        // Bytes in and out in one number, and what modules of others add.
        "S" | "d" => Capture::Skip,
        letters if letters.starts_with('^') => Capture::Skip,
        letters => return Err(format!("`%{letters}` is no directive of mod_log_config")),
    })
}

/// Variables of TLS; `%{version}c` and its like are their names of old.
fn connection(argument: &str) -> Capture {
    match argument {
        "SSL_PROTOCOL" | "version" => Capture::TlsVersion,
        "SSL_CIPHER" | "cipher" => Capture::Text(Field::TlsCipher),
        "SSL_TLS_SNI" => Capture::Text(Field::TlsServerName),
        "SSL_SESSION_RESUMED" => Capture::TlsResumed,
        "SSL_CLIENT_S_DN" | "subjectdn" => Capture::Text(Field::TlsClientSubject),
        "SSL_CLIENT_I_DN" | "issuerdn" => Capture::Text(Field::TlsClientIssuer),
        "HTTPS" => Capture::Https,
        _ => label(argument),
    }
}

fn is_served_user(header: &str) -> bool {
    SERVED_USER.contains(&header.to_ascii_lowercase().replace('-', "_").as_str())
}

fn label(name: &str) -> Capture {
    Capture::Label(name.to_ascii_lowercase().into())
}

/// The name of a header or variable that holds cookies or credentials.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("cookie") || name.ends_with("authorization")
}

fn time(argument: &str) -> Capture {
    let argument = argument.strip_prefix("begin:").unwrap_or(argument);
    let argument = argument.strip_prefix("end:").unwrap_or(argument);
    Capture::Time(match argument {
        "" => TimeForm::Clf,
        "sec" | "msec" | "usec" => TimeForm::Epoch,
        "msec_frac" | "usec_frac" => TimeForm::Pattern("%N".to_owned()),
        _ => TimeForm::Pattern(argument.to_owned()),
    })
}

fn request_header(name: &str) -> Capture {
    match name.to_ascii_lowercase().as_str() {
        "referer" => Capture::Text(Field::Referrer),
        "user-agent" => Capture::Text(Field::UserAgent),
        "host" => Capture::Host,
        "x-forwarded-for" | "forwarded" => Capture::Text(Field::Forwarded),
        "x-real-ip" | "cf-connecting-ip" | "true-client-ip" => Capture::Text(Field::RealIp),
        "x-request-id" => Capture::Text(Field::RequestId),
        "traceparent" => Capture::TraceParent,
        secret if is_secret(secret) => Capture::Skip,
        other => Capture::Label(format!("http_{}", other.replace('-', "_")).into()),
    }
}

/// Joins neighbouring pieces of one time, such as `%{%FT%T}t.%{msec_frac}t%{%z}t`, into one.
fn join_times(tokens: Vec<Token>) -> Vec<Token> {
    let mut joined: Vec<Token> = Vec::new();
    for token in tokens {
        let Token::Value(Capture::Time(TimeForm::Pattern(next)), _) = &token else {
            joined.push(token);
            continue;
        };
        let between = match joined.as_slice() {
            [.., Token::Value(Capture::Time(TimeForm::Pattern(_)), _)] => Some(String::new()),
            [.., Token::Value(Capture::Time(TimeForm::Pattern(_)), _), Token::Literal(text)]
                if text.len() <= 2 =>
            {
                Some(String::from_utf8_lossy(text).into_owned())
            }
            _ => None,
        };
        let Some(between) = between else {
            joined.push(token);
            continue;
        };
        if !between.is_empty() {
            joined.pop();
        }
        if let Some(Token::Value(Capture::Time(TimeForm::Pattern(pattern)), _)) = joined.last_mut()
        {
            // jiff reads a fraction with its dot as `%.f`.
            match (next.as_str(), between.as_str()) {
                ("%N", ".") => pattern.push_str("%.f"),
                ("%N", _) => pattern.push_str(&format!("{between}%f")),
                _ => pattern.push_str(&format!("{between}{next}")),
            }
        }
    }
    for token in &mut joined {
        if let Token::Value(Capture::Time(form), _) = token
            && let TimeForm::Pattern(pattern) = form
            && ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%FT%T", "%F %T"]
                .iter()
                .any(|iso| pattern.starts_with(iso))
        {
            *form = TimeForm::Iso;
        } else if let Token::Value(Capture::Time(form), _) = token
            && let TimeForm::Pattern(pattern) = form
            && ["%d/%b/%Y:%H:%M:%S", "%d/%b/%Y:%T"].iter().any(|clf| pattern.starts_with(clf))
        {
            *form = TimeForm::Clf;
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_time_become_one() {
        let tokens = tokenise("%h %{%Y-%m-%dT%H:%M:%S}t.%{msec_frac}t%{%z}t %s").expect("sound");
        let times: Vec<&Token> = tokens
            .iter()
            .filter(|token| matches!(token, Token::Value(Capture::Time(_), _)))
            .collect();
        assert_eq!(1, times.len(), "{tokens:?}");
        assert!(matches!(times[0], Token::Value(Capture::Time(TimeForm::Iso), _)));
    }

    #[track_caller]
    fn check(text: &str, expected: &[Capture]) {
        let tokens = tokenise(text).expect("sound");
        let captures = tokens.into_iter().filter_map(|token| match token {
            Token::Value(capture, _) => Some(capture),
            Token::Literal(_) => None,
        });
        assert_eq!(expected, captures.collect::<Vec<Capture>>(), "{text}");
    }

    #[test]
    fn directives_mean_what_the_manual_says() {
        let (port, peer) = (Capture::Number(Field::DestinationPort), Capture::Text(Field::Peer));
        check("%{local}p %p %{c}a %{c}h", &[port.clone(), port, peer.clone(), peer]);
        check(
            "%^FB %X %f %R",
            &["time_to_first_byte_us", "connection_status", "file", "handler"].map(label),
        );
        check(
            "%{SSL_PROTOCOL}x %{SSL_SESSION_RESUMED}x",
            &[Capture::TlsVersion, Capture::TlsResumed],
        );
        check("%{X-A}^ti %S %{Server}o", &[label("trailer_x-a"), Capture::Skip, label("server")]);
        check(
            "%{sid}C %{Set-Cookie}o %{Authorization}i %{HTTP_COOKIE}e",
            &[const { Capture::Skip }; 4],
        );
        check("%U %v", &[Capture::MappedPath, Capture::ServerName]);
    }

    #[test]
    fn what_is_no_directive_is_named() {
        for (text, part) in [("%h %Z", "%Z"), ("%h %", "no directive"), ("%{Foo", "not closed")] {
            let complaint = compile("apache:custom", text, false).expect_err(text);
            assert!(complaint.contains(part), "{complaint}");
        }
    }
}
