//! PHP's own logs: `[20-Nov-2026 07:00:01 UTC] PHP Warning:  …` of `error_log`, and
//! `[20-Nov-2026 07:00:01] WARNING: [pool www] child 5 …` of PHP-FPM.
//!
//! PHP names no client. Only the Suhosin extension does, at the end of its message, behind names
//! of variables that the client has chosen.
//!
//! Invariant: the last `(attacker '…'` of a message is the one that was not written by a client;
//! where there are two, the client is marked as ambiguous.

use memchr::memmem;

use super::{Context, FixedFormat, Miss};
use crate::engine::address::{parse_ip, set_client};
use crate::engine::batch::{Action, ClientSource, Field, Kind, Level, Module, Writer};

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::App, captures: 4, parse };

/// `gatewatch.format` of its events.
pub(in crate::engine) const NAME: &str = "php:error";

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let Some(inner) = line.strip_prefix(b"[") else {
        // Without a time, as the command line writes it.
        return if severity(line).is_some() { parse_untimed(line, out) } else { Err(Miss::Shape) };
    };
    let close = memchr::memchr(b']', &inner[..inner.len().min(64)]).ok_or(Miss::Shape)?;
    let (stamp, rest) = (&inner[..close], &inner[close + 1..]);
    // `20-Nov-2026 07:00:01`: two dashes and a month in letters.
    if stamp.len() < 20 || stamp[2] != b'-' || stamp[6] != b'-' || stamp[11] != b' ' {
        return Err(Miss::Shape);
    }
    let rest = rest.strip_prefix(b" ").ok_or(Miss::Shape)?;
    let has_zone = 20 < stamp.len() && memchr::memchr(b' ', &stamp[20..]).is_some();
    // Programs that log through PHP write whatever they like, but behind a time with its zone.
    if !has_zone && manager_level(rest).is_none() && severity(rest).is_none() {
        return Err(Miss::Shape);
    }
    let logged = cx.times.php(stamp).ok_or(Miss::Time)?;
    (out.row.time, out.row.zone_minutes) = logged;
    parse_untimed(rest, out)
}

/// Reads what follows the time, which syslog holds where the log is sent there.
pub(super) fn parse_untimed(text: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
    let row = &mut out.row;
    (row.kind, row.module, row.format) = (Kind::ServerError, Module::App, NAME);
    row.action = Action::ServerError;
    out.set(Field::Message, text);
    if suhosin(text, out) {
        return Ok(());
    }
    if let Some((level, message)) = manager_level(text) {
        out.row.level = level;
        manager(message, out);
    } else {
        out.row.level = severity(text).unwrap_or(Level::Notice);
        out.row.action = class(text);
    }
    Ok(())
}

/// The level of a message of PHP itself: `PHP Warning:  …`.
pub(super) fn severity(text: &[u8]) -> Option<Level> {
    const NAMES: [(&[u8], Level); 13] = [
        (b"Fatal error", Level::Critical),
        (b"Parse error", Level::Critical),
        (b"Core error", Level::Critical),
        (b"Compile error", Level::Critical),
        (b"Recoverable fatal error", Level::Error),
        (b"Catchable fatal error", Level::Error),
        (b"Core warning", Level::Warn),
        (b"Compile warning", Level::Warn),
        (b"Warning", Level::Warn),
        (b"Notice", Level::Notice),
        (b"Strict Standards", Level::Notice),
        (b"Deprecated", Level::Notice),
        (b"Stack trace", Level::Notice),
    ];
    let rest = text.strip_prefix(b"PHP ")?;
    let named = NAMES
        .iter()
        .find(|(name, _)| rest.strip_prefix(*name).is_some_and(|rest| rest.starts_with(b":")));
    named.map(|(_, level)| *level)
}

/// `WARNING: ` and the like of PHP-FPM, and what follows; as a level in brackets in syslog.
fn manager_level(text: &[u8]) -> Option<(Level, &[u8])> {
    const NAMES: [(&[u8], Level); 5] = [
        (b"DEBUG", Level::Debug),
        (b"NOTICE", Level::Notice),
        (b"WARNING", Level::Warn),
        (b"ERROR", Level::Error),
        (b"ALERT", Level::Alert),
    ];
    NAMES.iter().find_map(|(name, level)| {
        let message = match text.strip_prefix(b"[") {
            Some(inner) => inner.strip_prefix(*name)?.strip_prefix(b"] ")?,
            None => text.strip_prefix(*name)?.strip_prefix(b": ")?,
        };
        // `ALERT - …` is another program's.
        Some((*level, message))
    })
}

/// Reads `[pool www] child 5 said into stderr: "…"` and other messages of the process manager.
fn manager(message: &[u8], out: &mut Writer<'_>) {
    let mut rest = message;
    if let Some(inner) = rest.strip_prefix(b"[pool ")
        && let Some(close) = memchr::memchr(b']', &inner[..inner.len().min(128)])
    {
        out.label("php.pool", &inner[..close]);
        rest = inner[close + 1..].trim_ascii_start();
    }
    let child = rest.strip_prefix(b"child ").or_else(|| rest.strip_prefix(b"pid "));
    if let Some(rest) = child {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if (1..=10).contains(&digits) {
            out.set(Field::Pid, &rest[..digits]);
        }
    }
    let said = [&b" said into stderr: \""[..], b" said into stdout: \""];
    if let Some(said) =
        said.iter().find_map(|part| memmem::find(rest, part).map(|at| &rest[at + part.len()..]))
    {
        out.row.action = class(said.strip_prefix(b"NOTICE: PHP message: ").unwrap_or(said));
    }
}

/// What a message is about.
pub(super) fn class(text: &[u8]) -> Action {
    let begins = |part: &[u8]| text.starts_with(part);
    if begins(b"Primary script unknown") || begins(b"PHP Fatal error:  Unknown: Failed opening") {
        Action::FileNotFound
    } else if begins(b"Access to the script ") {
        Action::AccessDenied
    } else {
        Action::ServerError
    }
}

/// Reads `ALERT - … (attacker '192.0.2.7', file '…'[, line 3])`, as Suhosin writes it wherever
/// PHP's messages go, with a name of what passed it on in front.
pub(super) fn suhosin(text: &[u8], out: &mut Writer<'_>) -> bool {
    const ATTACKER: &[u8] = b" (attacker '";
    const PASSED_ON: [&[u8]; 3] = [b"", b"FastCGI-stderr: ", b"suhosin["];
    let is_alert = PASSED_ON.iter().any(|start| {
        text.strip_prefix(*start).is_some_and(|rest| {
            let rest = match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
                0 => rest,
                digits => rest[digits..].strip_prefix(b"]: ").unwrap_or(rest),
            };
            rest.starts_with(b"ALERT - ") || rest.starts_with(b"ALERT-SIMULATION - ")
        })
    });
    let Some(at) = memmem::rfind(text, ATTACKER).filter(|_| is_alert) else { return false };
    let rest = &text[at + ATTACKER.len()..];
    let Some(end) = memmem::find(rest, b"', file '") else { return false };
    let row = &mut out.row;
    (row.kind, row.module, row.format) = (Kind::ServerError, Module::App, NAME);
    (row.action, row.level) = (Action::AccessDenied, Level::Alert);
    if parse_ip(&rest[..end]).is_some() {
        set_client(out, &rest[..end]);
        if memmem::find(&text[..at], ATTACKER).is_some() {
            out.row.client_source = ClientSource::Ambiguous;
        }
    }
    if !out.has(Field::Message) {
        out.set(Field::Message, text);
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    #[test]
    fn messages_of_php_have_a_level() {
        for (message, level, action) in [
            ("PHP Fatal error:  Uncaught Error: x in /srv/a.php:3", "crit", "server_error"),
            ("PHP Parse error:  syntax error in /srv/a.php on line 3", "crit", "server_error"),
            ("PHP Warning:  Undefined variable $x in /srv/a.php on line 3", "warn", "server_error"),
            ("PHP Deprecated:  old in /srv/a.php on line 3", "notice", "server_error"),
            ("PHP Stack trace:", "notice", "server_error"),
            ("PHP   1. {main}() /srv/a.php:0", "notice", "server_error"),
            ("a program's own words", "notice", "server_error"),
        ] {
            check(
                parse,
                &format!("[20-Nov-2026 07:00:01 UTC] {message}"),
                &[
                    ("time", "2026-11-20T07:00:01.000Z"),
                    ("kind", "ServerError"),
                    ("module", "app"),
                    ("format", "php:error"),
                    ("level", level),
                    ("action", action),
                    ("message", message),
                    ("client", "-"),
                    ("outcome", "-"),
                ],
            );
        }
        check(
            parse,
            "[20-Nov-2026 07:00:01 +0100] x",
            &[("time", "2026-11-20T06:00:01.000Z"), ("zone", "60")],
        );
        check(
            parse,
            "[20-Nov-2026 07:00:01 Europe/Berlin] PHP Notice:  x",
            &[("time", "2026-11-20T07:00:01.000Z")],
        );
        check(
            parse,
            "PHP Warning:  x in /srv/a.php on line 3",
            &[("level", "warn"), ("time", "1970-01-01T00:00:00.000Z")],
        );
    }

    #[test]
    fn lines_of_the_process_manager_name_pool_and_child() {
        check(
            parse,
            r#"[20-Nov-2026 07:00:01] WARNING: [pool www] child 77 said into stderr: "Primary script unknown""#,
            &[
                ("level", "warn"),
                ("labels.php.pool", "www"),
                ("process.pid", "77"),
                ("action", "file_not_found"),
            ],
        );
        check(
            parse,
            r#"[20-Nov-2026 07:00:01] WARNING: [pool www] child 77 said into stderr: "NOTICE: Access to the script '/srv/a.jpg' has been denied""#,
            &[("action", "server_error")],
        );
        check(
            parse,
            r#"[20-Nov-2026 07:00:01] WARNING: [pool www] child 77 said into stderr: "NOTICE: PHP message: Access to the script '/srv/a.jpg' has been denied (see security.limit_extensions)""#,
            &[("action", "access_denied")],
        );
        check(
            parse,
            "[20-Nov-2026 07:00:01.123456] DEBUG: pid 5, fpm_event_loop(), line 420: event module triggered 1 events",
            &[("level", "debug"), ("process.pid", "5"), ("time", "2026-11-20T07:00:01.123Z")],
        );
        check(
            parse,
            "[20-Nov-2026 07:00:01] NOTICE: fpm is running, pid 5",
            &[("level", "notice"), ("process.pid", "-")],
        );
    }

    #[test]
    fn suhosin_names_the_client_last() {
        let tail = "(attacker '192.0.2.7', file '/srv/a.php', line 3)";
        for start in ["", "FastCGI-stderr: ", "suhosin[99]: "] {
            check(
                parse,
                &format!("[20-Nov-2026 07:00:01 UTC] {start}ALERT - dropped variable 'x' {tail}"),
                &[("client", "192.0.2.7"), ("action", "access_denied"), ("level", "alert")],
            );
        }
        check(
            parse,
            &format!(
                "[20-Nov-2026 07:00:01 UTC] ALERT - dropped variable 'x' (attacker '198.51.100.66', file 'y') {tail}"
            ),
            &[("client", "192.0.2.7"), ("client_source", "ambiguous")],
        );
        check(
            parse,
            &format!("[20-Nov-2026 07:00:01 UTC] PHP Notice:  ALERT - {tail}"),
            &[("client", "-"), ("action", "server_error")],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, "Stack trace:", Miss::Shape);
        check_miss(parse, "PHP is fine", Miss::Shape);
        check_miss(parse, "[20-Nov-2026 07:00:01] hello", Miss::Shape);
        check_miss(parse, "[20-Nov-2026 07:00:01 UTC]: hello", Miss::Shape);
        check_miss(parse, "[20/Nov/2026:07:00:01 +0000] PHP Notice:  x", Miss::Shape);
        check_miss(parse, "[41-Nov-2026 07:00:01 UTC] PHP Notice:  x", Miss::Time);
    }

    static VALID: &[&str] = &[
        "[20-Nov-2026 07:00:01 UTC] ALERT - x 'y' (attacker '192.0.2.7', file '/srv/a.php', line 3)",
        "[20-Nov-2026 07:00:01] WARNING: [pool www] child 77 said into stderr: \"PHP message: x\"",
        "[20-Nov-2026 07:00:01 Europe/Berlin] PHP Fatal error:  x in /srv/a.php on line 3",
    ];

    proptest! {
        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(VALID)) {
            let _ = read(parse, &line);
        }
    }
}
