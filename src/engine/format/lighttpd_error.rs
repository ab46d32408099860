//! lighttpd's error log: `2026-11-20 07:46:01: (mod_auth.c.525) password doesn't match for /a
//! username: alice, IP: 192.0.2.7`, and what follows the time where syslog carries it.
//!
//! The server names the place in its source that speaks, which tells what a message is about. It
//! writes the client last and escapes what would break a line, so an address is read from the end
//! of the messages about log-ins and from nowhere else. Its access log names a user only once the
//! password was right: a wrong one shows as a mere challenge there, and is counted here.
//!
//! Invariant: text that a client or a script writes is never taken for an address.

use memchr::memmem;

use super::{Context, FixedFormat, Miss, php};
use crate::engine::address::{parse_ip, set_client};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Kind, Level, Module, Reason, Writer,
};

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::App, captures: 5, parse };

const NAME: &str = "lighttpd:error";

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let end = memmem::find(&line[..line.len().min(40)], b": ").ok_or(Miss::Shape)?;
    if end < 19 || line[4] != b'-' {
        return Err(Miss::Shape);
    }
    parse_untimed(&line[end + 2..], out)?;
    (out.row.time, out.row.zone_minutes) = cx.times.iso(&line[..end]).ok_or(Miss::Time)?;
    Ok(())
}

/// Reads what follows the time, which syslog holds where the log is sent there.
pub(super) fn parse_untimed(line: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
    let (source, message) = source(line).ok_or(Miss::Shape)?;
    if php::suhosin(message, out) {
        out.label("lighttpd.source", source);
        return Ok(());
    }
    let row = &mut out.row;
    (row.kind, row.module, row.format) = (Kind::ServerError, Module::App, NAME);
    out.label("lighttpd.source", source);
    out.set(Field::Message, message);
    let action = match source {
        b"mod_auth" | b"http_auth" if credentials(message, out) => Action::AuthFailed,
        b"mod_evasive" if turned_away(message, out) => Action::RateLimited,
        b"gw_backend" | b"mod_fastcgi" | b"mod_proxy" | b"mod_scgi"
            if memmem::find(message, b"-stderr: ").is_none() =>
        {
            Action::UpstreamError
        }
        b"mod_openssl" | b"mod_gnutls" | b"mod_mbedtls" | b"mod_nss" | b"mod_wolfssl" => {
            Action::TlsError
        }
        _ if message.ends_with(b"-> 400") => Action::BadRequest,
        _ => Action::ServerError,
    };
    // The log knows no levels.
    let is_plain = action == Action::ServerError;
    (out.row.action, out.row.level) = (action, if is_plain { Level::Notice } else { Level::Error });
    Ok(())
}

/// Reads `(mod_auth.c.525) `: the name of the source file, and what follows. Copies of the log have
/// lost the bracket or have a colon for the second dot; name, `.c` and number are always there.
fn source(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = line.strip_prefix(b"(").unwrap_or(line);
    let close = memchr::memchr(b')', &inner[..inner.len().min(64)])?;
    let at = memmem::find(&inner[..close], b".c")?;
    let number = inner[at + 2..close]
        .strip_prefix(b".")
        .or_else(|| inner[at + 2..close].strip_prefix(b":"))?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_source = 0 < at
        && inner[..at].iter().all(is_name)
        && !number.is_empty()
        && number.iter().all(u8::is_ascii_digit);
    let message = inner[close + 1..].strip_prefix(b" ")?;
    is_source.then_some((&inner[..at], message))
}

/// Reads a message about a log-in that failed, and the client behind it.
fn credentials(message: &[u8], out: &mut Writer<'_>) -> bool {
    let Some(at) = memmem::rfind(message, b" IP: ") else { return false };
    let client = message[at + 5..].trim_ascii();
    if parse_ip(client).is_none() {
        return false;
    }
    let text = message[..at].strip_suffix(b",").unwrap_or(&message[..at]);
    let (user, reason, method) = if text.starts_with(b"password doesn't match for ") {
        // The name sent by Basic holds no colon, so the last place is the one the server wrote.
        let user = memmem::rfind(text, b" username: ").map(|at| &text[at + 11..]);
        (user, Reason::WrongPassword, AuthMethod::Basic)
    } else if let Some(rest) = text.strip_prefix(b"digest: auth failed for ") {
        let user = rest.strip_suffix(b": wrong password").map(<[u8]>::trim_ascii);
        (user, Reason::WrongPassword, AuthMethod::Digest)
    } else if text.starts_with(b"digest: ") {
        (None, Reason::ProtocolError, AuthMethod::Digest)
    } else if text.starts_with(b"get_password failed") {
        (None, Reason::UnknownUser, AuthMethod::Other)
    } else {
        return false;
    };
    set_client(out, client);
    match user {
        Some(b"") => out.row.empty_user = true,
        Some(user) => out.set(Field::User, user),
        None => (),
    }
    out.row.auth = Some(Auth {
        outcome: AuthOutcome::Failure,
        reason: Some(reason),
        method,
        confidence: Confidence::High,
        counted: true,
    });
    true
}

/// Reads `192.0.2.7 turned away. Too many connections.`
fn turned_away(message: &[u8], out: &mut Writer<'_>) -> bool {
    let Some(at) = memmem::find(message, b" turned away.") else { return false };
    let client = &message[..at];
    if parse_ip(client).is_some() {
        set_client(out, client);
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check_miss, mutated, read};
    use super::*;

    #[track_caller]
    fn check(message: &str, expected: &[(&str, &str)]) {
        super::super::testing::check(parse, &format!("2026-11-20 07:46:01: {message}"), expected);
    }

    #[test]
    fn a_failed_log_in_names_the_client_behind_it() {
        for comma in [",", ""] {
            check(
                &format!(
                    "(mod_auth.c.525) password doesn't match for /a username: alice{comma} IP: 192.0.2.7"
                ),
                &[
                    ("time", "2026-11-20T07:46:01.000Z"),
                    ("action", "auth_failed"),
                    ("level", "error"),
                    ("client", "192.0.2.7"),
                    ("user.name", "alice"),
                    ("outcome", "failure"),
                    ("reason", "wrong_password"),
                    ("method", "basic"),
                    ("counted", "true"),
                    ("labels.lighttpd.source", "mod_auth"),
                ],
            );
        }
        check(
            "(mod_auth.c.791) digest: auth failed for  alice : wrong password, IP: 2001:db8::7",
            &[("client", "2001:db8::7"), ("user.name", "alice"), ("method", "digest")],
        );
        check(
            "(mod_auth.c.791) digest: auth failed: uri mismatch (/a != /b), IP: 192.0.2.7",
            &[("client", "192.0.2.7"), ("user.name", "-"), ("reason", "protocol_error")],
        );
        check(
            "(http_auth.c.877) get_password failed, IP: 192.0.2.7",
            &[("client", "192.0.2.7"), ("reason", "unknown_user"), ("method", "other")],
        );
    }

    #[test]
    fn a_damaged_column_of_the_source_is_read() {
        for source in ["mod_auth.c.828)", "(mod_auth.c:828)", "(mod_auth.c.828)"] {
            check(
                &format!("{source} password doesn't match for /a username: alice IP: 192.0.2.7"),
                &[("client", "192.0.2.7"), ("labels.lighttpd.source", "mod_auth")],
            );
        }
        check(
            "(mod_fastcgi.c.2676) FastCGI-stderr: ALERT - x (attacker '192.0.2.7', file '/a.php')",
            &[("client", "192.0.2.7"), ("action", "access_denied"), ("format", "php:error")],
        );
    }

    #[test]
    fn what_a_client_writes_is_no_address() {
        check(
            "(mod_auth.c.525) password doesn't match for /a username: b IP: 198.51.100.1 \
             username: eve, IP: 198.51.100.2, IP: 192.0.2.7",
            &[("client", "192.0.2.7"), ("user.name", "eve, IP: 198.51.100.2")],
        );
        check(
            "(mod_fastcgi.c.421) FastCGI-stderr: password doesn't match, IP: 198.51.100.1",
            &[("client", "-"), ("action", "server_error"), ("outcome", "-")],
        );
        check(
            "(mod_auth.c.525) password doesn't match for /a username: eve, IP: nowhere",
            &[("client", "-"), ("action", "server_error"), ("outcome", "-")],
        );
    }

    #[test]
    fn messages_are_known_by_their_source() {
        for (message, action, level) in [
            ("(server.c.1464) server started (lighttpd/1.4.76)", "server_error", "notice"),
            ("(gw_backend.c.348) connect failed: Connection refused", "upstream_error", "error"),
            ("(mod_openssl.c.3206) SSL: 1 error:0A00010B", "tls_error", "error"),
            ("(request.c.1230) invalid char in URI -> 400", "bad_request", "error"),
        ] {
            check(message, &[("action", action), ("level", level), ("client", "-")]);
        }
        check(
            "(mod_evasive.c.183) 192.0.2.7 turned away. Too many connections.",
            &[("action", "rate_limited"), ("client", "192.0.2.7")],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "2026-11-20 07:46:01: no source", Miss::Shape);
        check_miss(parse, "2026-11-31 07:46:01: (server.c.1464) started", Miss::Time);
        check_miss(parse, "2026-11-20T07:46:01Z INFO (server.c.1464) started", Miss::Shape);
        check_miss(parse, "2026-11-20 07:46:01: (a b) started", Miss::Shape);
        check_miss(parse, "2026-11-20 07:46:01: (a.c.) started", Miss::Shape);
        check_miss(parse, "2026-11-20 07:46:01: (.c.5) started", Miss::Shape);
    }

    const LINES: &[&str] = &[
        "2026-11-20 07:46:01: (mod_auth.c.525) password doesn't match for /a username: a, IP: 192.0.2.7",
        "2026-11-20 07:46:01: (mod_auth.c.791) digest: auth failed for  a : wrong password, IP: ::1",
        "2026-11-20 07:46:01: (mod_evasive.c.183) 192.0.2.7 turned away. Too many connections.",
    ];

    proptest! {
        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(LINES)) {
            let _ = read(parse, &line);
        }

        #[test]
        fn any_user_name_leaves_the_client_as_it_is(user in "[^:\\x00-\\x1f]{1,40}") {
            let line = format!(
                "2026-11-20 07:46:01: (mod_auth.c.525) password doesn't match for /a username: {user}, IP: 192.0.2.7"
            );
            let facts = read(parse, line.as_bytes()).expect("a line that is read");
            prop_assert_eq!("192.0.2.7", facts["client"].as_str());
            prop_assert_eq!(&user, &facts["user.name"]);
        }
    }
}
