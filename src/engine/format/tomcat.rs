//! Tomcat's own log, `catalina.out` and `catalina.<day>.log`, as JULI's one-line formatter writes
//! it: `20-Nov-2026 07:00:01.123 WARNING [exec-3] org.apache.Class.method message`.
//!
//! No line names a client. What a request or a user name brings along stands in brackets at the end
//! of a message, behind words of the server.
//!
//! Invariant: a verdict is read only from the class that gives it.

use memchr::memmem;

use super::{Context, FixedFormat, Miss};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Kind, Level, Module, Reason, Writer,
};

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::App, captures: 4, parse };

/// `gatewatch.format` of its events.
pub(in crate::engine) const NAME: &str = "tomcat:error";

const LEVELS: [(&[u8], Level); 7] = [
    (b"SEVERE", Level::Error),
    (b"WARNING", Level::Warn),
    (b"INFO", Level::Info),
    (b"CONFIG", Level::Info),
    (b"FINE", Level::Debug),
    (b"FINER", Level::Debug),
    (b"FINEST", Level::Debug),
];

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let (stamp, rest) = line.split_at_checked(24).ok_or(Miss::Shape)?;
    if stamp[2] != b'-' || stamp[11] != b' ' || stamp[20] != b'.' {
        return Err(Miss::Shape);
    }
    let (level, rest) = word(rest.strip_prefix(b" ").ok_or(Miss::Shape)?).ok_or(Miss::Shape)?;
    let level = LEVELS.iter().find(|(name, _)| *name == level).ok_or(Miss::Shape)?.1;
    let rest = rest.strip_prefix(b"[").ok_or(Miss::Shape)?;
    let close = memmem::find(rest, b"] ").ok_or(Miss::Shape)?;
    let (class, message) = word(&rest[close + 2..]).ok_or(Miss::Shape)?;
    let is_class = |byte: &u8| byte.is_ascii_alphanumeric() || b"._$<>/-".contains(byte);
    if !class.iter().all(is_class) || !class.contains(&b'.') {
        return Err(Miss::Shape);
    }
    (out.row.time, out.row.zone_minutes) = cx.times.php(stamp).ok_or(Miss::Time)?;
    let row = &mut out.row;
    (row.kind, row.module, row.format) = (Kind::ServerError, Module::App, NAME);
    (row.action, row.level) = (Action::ServerError, level);
    out.label("tomcat.thread", &rest[..close]);
    out.label("tomcat.class", class);
    out.set(Field::Message, message);
    if class == b"org.apache.catalina.realm.LockOutRealm.filterLockedAccounts" {
        locked(message, out);
    } else if class.starts_with(b"org.apache.coyote.")
        && message.starts_with(b"Error parsing HTTP request header")
    {
        out.row.action = Action::BadRequest;
    }
    Ok(())
}

/// The next word and what stands behind its blank.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', text).filter(|end| 0 < *end)?;
    Some((&text[..end], &text[end + 1..]))
}

/// `An attempt was made to authenticate the locked user [bob]`: the access log counts the attempt.
fn locked(message: &[u8], out: &mut Writer<'_>) {
    let user =
        message.strip_prefix(b"An attempt was made to authenticate the locked user [").or_else(
            || message.strip_prefix(b"An attempt was made to authenticate the locked user \""),
        );
    let Some((user, [b']' | b'"'])) =
        user.and_then(|user| user.split_at_checked(user.len().max(1) - 1))
    else {
        return;
    };
    if user.is_empty() {
        out.row.empty_user = true;
    } else {
        out.set(Field::User, user);
    }
    out.row.action = Action::AuthFailed;
    out.row.auth = Some(Auth {
        outcome: AuthOutcome::Failure,
        reason: Some(Reason::AccountLocked),
        method: AuthMethod::Other,
        confidence: Confidence::High,
        counted: false,
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    #[test]
    fn a_line_is_read() {
        check(
            parse,
            "20-Nov-2026 07:00:01.123 SEVERE [main] org.apache.catalina.core.StandardService.initInternal Failed to initialize connector [Connector[HTTP/1.1-8080]]",
            &[
                ("time", "2026-11-20T07:00:01.123Z"),
                ("kind", "ServerError"),
                ("module", "app"),
                ("format", "tomcat:error"),
                ("level", "error"),
                ("action", "server_error"),
                ("labels.tomcat.thread", "main"),
                ("labels.tomcat.class", "org.apache.catalina.core.StandardService.initInternal"),
                ("message", "Failed to initialize connector [Connector[HTTP/1.1-8080]]"),
                ("client", "-"),
            ],
        );
    }

    #[test]
    fn a_locked_user_is_named_and_not_counted() {
        let start = "20-Nov-2026 07:00:01.123 WARNING [exec-3] org.apache.catalina.realm.LockOutRealm.filterLockedAccounts An attempt was made to authenticate the locked user ";
        for (user, name) in
            [("[bob]", "bob"), ("\"bob\"", "bob"), ("[a] [b]", "a] [b"), ("[]", "-")]
        {
            check(
                parse,
                &format!("{start}{user}"),
                &[
                    ("user.name", name),
                    ("outcome", "failure"),
                    ("reason", "account_locked"),
                    ("counted", "false"),
                    ("action", "auth_failed"),
                ],
            );
        }
        for user in ["", "[", "bob"] {
            check(parse, &format!("{start}{user}"), &[("outcome", "-")]);
        }
    }

    #[test]
    fn a_request_that_cannot_be_read_is_bad() {
        check(
            parse,
            "20-Nov-2026 07:00:01.123 INFO [exec-3] org.apache.coyote.http11.Http11Processor.service Error parsing HTTP request header",
            &[("action", "bad_request"), ("level", "info")],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, "\tat org.apache.catalina.Class.method(Class.java:3)", Miss::Shape);
        check_miss(parse, "20-Nov-2026 07:00:01.123 LOUD [main] a.b c", Miss::Shape);
        check_miss(parse, "20-Nov-2026 07:00:01.123 INFO main a.b c", Miss::Shape);
        check_miss(parse, "20-Nov-2026 07:00:01.123 INFO [main] hello you", Miss::Shape);
        check_miss(parse, "41-Nov-2026 07:00:01.123 INFO [main] a.b c", Miss::Time);
    }

    static VALID: &[&str] = &[
        "20-Nov-2026 07:00:01.123 WARNING [exec-3] org.apache.catalina.realm.LockOutRealm.filterLockedAccounts An attempt was made to authenticate the locked user [bob]",
        "20-Nov-2026 07:00:01.123 SEVERE [main] a.b.C.<init> x",
    ];

    proptest! {
        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(VALID)) {
            let _ = read(parse, &line);
        }
    }
}
