//! Apache's error log, 2.4 and 2.2:
//! `[Fri Nov 20 07:46:01.337583 2026] [auth_basic:error] [pid 9:tid 7] [client 192.0.2.7:5] AH01617: …`
//! and `[Fri Nov 20 07:46:01 2026] [error] [client 192.0.2.7] …`.
//!
//! The client stands in front of everything a client can write, and Apache escapes line ends, so
//! reading from the left cannot be deceived. A message is known by its code or, in logs without
//! codes, by its words.
//!
//! Invariant: nothing behind the client's bracket is ever taken for an address.

use memchr::memmem;

use super::{Context, FixedFormat, Miss, modsecurity};
use crate::engine::address::{set_client, split_last_port};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Kind, Level, Module, Reason, Writer,
};
use crate::engine::text::unescape;

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::Apache, captures: 5, parse };

const NAME: &str = "apache:error";

/// Reads one line.
pub(super) fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let (stamp, rest) = bracket(line).ok_or(Miss::Shape)?;
    let rest = rest.strip_prefix(b" ").filter(|rest| rest.starts_with(b"[")).ok_or(Miss::Shape)?;
    // `[Fri Nov 20 …`: without this, any line in brackets would be a bad time.
    let is_ctime = 24 <= stamp.len() && stamp[3] == b' ';
    // `[2026-11-20 07:46:01.1] [core:error] [pid 9`: many programs write the first two, Apache all.
    let is_own = || 19 <= stamp.len() && has_module_and_process(rest);
    let logged = match stamp.get(4) {
        _ if is_ctime => cx.times.ctime(stamp),
        Some(b'-') if is_own() => cx.times.iso(stamp),
        // `[20/Nov/2026:07:46:01 +0000]`.
        _ if is_own() && stamp[2] == b'/' => cx.times.clf(stamp),
        _ => return Err(Miss::Shape),
    };
    (out.row.time, out.row.zone_minutes) = logged.ok_or(Miss::Time)?;
    parse_untimed(rest, out)
}

/// The text begins with `[module:level] [pid 9`.
fn has_module_and_process(text: &[u8]) -> bool {
    let Some((source, rest)) = bracket(text) else { return false };
    memchr::memchr(b':', source).is_some() && rest.starts_with(b" [pid ")
}

/// Reads what follows the time, which syslog holds where the log is sent there.
pub(super) fn parse_untimed(line: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
    let (source, mut rest) = bracket(line).ok_or(Miss::Shape)?;
    let (module, level) = match memchr::memchr(b':', source) {
        Some(colon) => (&source[..colon], &source[colon + 1..]),
        None => (&b""[..], source),
    };
    let level = Level::from_name(level).ok_or(Miss::Shape)?;
    let row = &mut out.row;
    (row.kind, row.module, row.format) = (Kind::ServerError, Module::Apache, NAME);
    (row.action, row.level) = (Action::ServerError, level);
    if !matches!(module, b"" | b"-") {
        out.label("apache.module", module);
    }
    rest = rest.trim_ascii_start();
    while let Some((inner, after)) = bracket(rest) {
        if !process(inner, out) && !is_identifier(inner) {
            break;
        }
        rest = after.trim_ascii_start();
    }
    let rest = skip_origin(rest);
    let rest = match client(rest) {
        Some((client, after)) => {
            client.set(out);
            skip_repeated(after, client)
        }
        None => rest,
    };
    let (code, message) = cut_code(rest);
    if let Some(code) = code {
        out.set(Field::Code, code);
    }
    out.set(Field::Message, message);
    if let Some(at) = memmem::rfind(message, b", referer: ") {
        out.set(Field::Referrer, &message[at + 11..]);
    }
    if modsecurity::parse(message, out) {
        out.row.action = Action::AccessDenied;
    } else if !credentials(code.unwrap_or_default(), message, out) {
        out.row.action = class(module, level, code.unwrap_or_default(), message);
    }
    Ok(())
}

/// Cuts `[…]` from the start.
fn bracket(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"[")?;
    let close = memchr::memchr(b']', inner)?;
    Some((&inner[..close], &inner[close + 1..]))
}

/// Reads `pid 9:tid 7`, `pid 9` or `tid 7`.
fn process(inner: &[u8], out: &mut Writer<'_>) -> bool {
    let mut found = false;
    for part in inner.split(|byte| *byte == b':') {
        let (field, number) = match part {
            [b'p', b'i', b'd', b' ', number @ ..] => (Field::Pid, number),
            [b't', b'i', b'd', b' ', number @ ..] => (Field::Tid, number),
            _ => return found,
        };
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return found;
        }
        if !out.has(field) {
            out.set(field, number);
        }
        found = true;
    }
    found
}

/// Skips `mod_x.c(123): ` and `(13)Permission denied: `, which stand before the client.
fn skip_origin(text: &[u8]) -> &[u8] {
    let mut rest = text;
    // A file name and a line number, as levels above `info` and all of `trace` show them.
    if let Some(end) = memmem::find(&rest[..rest.len().min(80)], b"): ")
        && let Some(open) = memchr::memrchr(b'(', &rest[..end])
        && 2 < open
        && rest[..open].iter().all(|byte| matches!(byte, 0x21..=0x7e))
        && rest[open + 1..end].iter().all(u8::is_ascii_digit)
    {
        rest = &rest[end + 3..];
    }
    // The number of a system error and its text, which holds neither a bracket nor a code.
    if let Some(after) = rest.strip_prefix(b"(")
        && let Some(close) = memchr::memchr(b')', after)
        && after[..close].iter().all(u8::is_ascii_digit)
        && let Some(end) = memmem::find_iter(&after[..after.len().min(160)], b": ")
            .find(|end| is_client_or_code(&after[end + 2..]))
        && !after[..end].contains(&b'[')
    {
        rest = &after[end + 2..];
    }
    rest
}

fn is_client_or_code(text: &[u8]) -> bool {
    text.starts_with(b"[") || cut_code(text).0.is_some()
}

/// `R:…`, `C:…` and `L:…`, the identifiers of request, connection and log entry that operators put
/// into `ErrorLogFormat` as the documentation shows it.
fn is_identifier(inner: &[u8]) -> bool {
    let Some(id) = inner.get(2..).filter(|_| matches!(inner, [b'R' | b'C' | b'L', b':', ..]))
    else {
        return false;
    };
    id.len() <= 64 && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_@+/".contains(byte))
}

/// The client's bracket.
#[derive(Clone, Copy)]
struct Client<'l> {
    address: &'l [u8],
    port: Option<&'l [u8]>,
}

impl Client<'_> {
    fn set(self, out: &mut Writer<'_>) {
        set_client(out, self.address);
        if let Some(port) = self.port {
            out.set(Field::ClientPort, port);
        }
    }
}

/// Skips the client that ModSecurity names once more, and identifiers behind the client.
fn skip_repeated<'l>(text: &'l [u8], before: Client<'_>) -> &'l [u8] {
    let mut rest = text;
    loop {
        let after = match (client(rest), bracket(rest)) {
            (Some((again, after)), _) if again.address == before.address => after,
            (None, Some((inner, after))) if is_identifier(inner) => {
                after.strip_prefix(b" ").unwrap_or(after)
            }
            _ => return rest,
        };
        rest = after;
    }
}

/// Reads `[client 192.0.2.7:5] ` or `[remote …] ` and answers what follows.
fn client(text: &[u8]) -> Option<(Client<'_>, &[u8])> {
    let inner = text.strip_prefix(b"[client ").or_else(|| text.strip_prefix(b"[remote "))?;
    // An IPv6 address may have brackets of its own.
    let from = if inner.starts_with(b"[") { memchr::memchr(b']', inner)? + 1 } else { 0 };
    let close = from + memchr::memchr(b']', &inner[from..])?;
    let (address, port) = split_last_port(&inner[..close]);
    let colon = memchr::memrchr(b':', &inner[..close]).filter(|_| port.is_some());
    let client = Client { address, port: colon.map(|colon| &inner[colon + 1..close]) };
    let rest = &inner[close + 1..];
    Some((client, rest.strip_prefix(b" ").unwrap_or(rest)))
}

/// Cuts `AH01617: ` from the start.
fn cut_code(text: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match text {
        [b'A', b'H', a, b, c, d, e, b':', rest @ ..]
            if [a, b, c, d, e].into_iter().all(u8::is_ascii_digit) =>
        {
            (Some(&text[..7]), rest.strip_prefix(b" ").unwrap_or(rest))
        }
        _ => (None, text),
    }
}

/// What a message says about a log-in.
struct Verdict<'l> {
    user: Option<&'l [u8]>,
    outcome: AuthOutcome,
    reason: Option<Reason>,
    method: AuthMethod,
}

impl<'l> Verdict<'l> {
    fn failure(user: Option<&'l [u8]>, reason: Reason, method: AuthMethod) -> Option<Self> {
        Some(Self { user, outcome: AuthOutcome::Failure, reason: Some(reason), method })
    }
}

/// Reads the messages about user names and passwords.
fn credentials(code: &[u8], message: &[u8], out: &mut Writer<'_>) -> bool {
    let (is_digest, message) = match message.strip_prefix(b"Digest: ") {
        Some(rest) => (true, rest),
        None => (false, message),
    };
    let verdict = user_verdict(message).or_else(|| protocol_verdict(code, is_digest, message));
    let Some(Verdict { user, outcome, reason, method }) = verdict else { return false };
    match user {
        Some(b"") => out.row.empty_user = true,
        Some(user) if memchr::memchr(b'\\', user).is_some() => {
            out.set_with(Field::User, |to| unescape(to, user));
        }
        Some(user) => out.set(Field::User, user),
        None => (),
    }
    if outcome == AuthOutcome::Failure {
        out.row.action = Action::AuthFailed;
    }
    // The access log may hold the same failure as a 401; whoever sees both counts one of them
    // (`engine::memory`). A dialogue that broke the rules is no guess at a password.
    let is_guess = user.is_some() || reason != Some(Reason::ProtocolError);
    let counted = outcome == AuthOutcome::Failure && is_guess;
    let confidence = Confidence::High;
    out.row.auth = Some(Auth { outcome, reason, method, confidence, counted });
    true
}

/// Messages that begin with the user. A Basic user name holds no colon, so the first place that
/// fits is the right one.
fn user_verdict(message: &[u8]) -> Option<Verdict<'_>> {
    use AuthMethod::{Basic, Digest, Form, Other};
    let before = |text, part: &[u8]| memmem::find(text, part).map(|at| text.split_at(at));
    if let Some(rest) = message.strip_prefix(b"user `") {
        let (user, rest) = before(rest, b"' in realm `")?;
        let is_denied = memmem::find(rest, b"' denied by provider").is_some();
        let reason = if is_denied { Reason::NotAllowed } else { Reason::UnknownUser };
        return Verdict::failure(Some(user), reason, Digest);
    }
    if let Some(rest) = message.strip_prefix(b"Authorization of user ") {
        let (user, _) = before(rest, b" to access ")?;
        return Verdict::failure(Some(user), Reason::NotAllowed, Basic);
    }
    if message.starts_with(b"access to ") {
        return required_user(message);
    }
    if let Some(rest) = message.strip_prefix(b"PAM: user '") {
        let (user, rest) = before(rest, b"' - ")?;
        let is_password = rest.starts_with(b"' - not authenticated: ");
        let reason = if is_password { Reason::BadCredentials } else { Reason::NotAllowed };
        return Verdict::failure(Some(user), reason, AuthMethod::Pam);
    }
    if let Some(rest) = message.strip_prefix(b"AuthExtern ") {
        // `AuthExtern name [/path]: Failed (1) for user bob`; the path is the operator's.
        let (_, rest) = before(rest, b"]: Failed (")?;
        let (_, rest) = before(rest, b") for user ")?;
        return Verdict::failure(Some(&rest[11..]), Reason::BadCredentials, Basic);
    }
    if message.starts_with(b"krb5_get_init_creds_password() failed: ") {
        return Verdict::failure(None, Reason::BadCredentials, Basic);
    }
    if let Some(rest) = message.strip_prefix(b"auth_ldap authenticate: user ") {
        let (user, _) = before(rest, b" authentication failed")?;
        return Verdict::failure(Some(user), Reason::BadCredentials, Basic);
    }
    let rest = message.strip_prefix(b"user ")?;
    let (quoted, close): (_, &[u8]) = match rest.strip_prefix(b"'") {
        Some(quoted) => (quoted, b"'"),
        None => (rest, b""),
    };
    let (user, rest, method) = match first_colon_phrase(quoted, close) {
        Some((user, rest)) if !close.is_empty() => (user, rest, Form),
        _ => {
            let (user, rest) = first_colon_phrase(rest, b"")?;
            (user, rest, Basic)
        }
    };
    let (reason, method) = if rest.starts_with(b": authentication failure for ") {
        let is_password = memmem::rfind(rest, b"assword Mismatch").is_some();
        let reason = if is_password { Reason::WrongPassword } else { Reason::BadCredentials };
        (reason, method)
    } else if rest.starts_with(b": authorization failure for ") {
        (Reason::NotAllowed, if method == Form { Form } else { Other })
    } else if rest.starts_with(b": password mismatch: ") {
        (Reason::WrongPassword, Digest)
    } else {
        (Reason::UnknownUser, method)
    };
    Verdict::failure(Some(user), reason, method)
}

/// `access to /x failed, reason: user 'bob' does not meet 'require'ments for …`, as 2.2 says that a
/// user may not read a page. The path is the client's, a user name holds no colon: the last reason
/// is the server's.
fn required_user(message: &[u8]) -> Option<Verdict<'_>> {
    let reason = b" failed, reason: user ";
    let rest = &message[memmem::rfind(message, reason)? + reason.len()..];
    let (user, end): (_, &[u8]) = match rest.strip_prefix(b"'") {
        Some(quoted) => (quoted, b"' does not meet 'require'ments"),
        None => (rest, b" not allowed access"),
    };
    let user = &user[..memmem::rfind(user, end)?];
    Verdict::failure(Some(user), Reason::NotAllowed, AuthMethod::Basic)
}

/// The phrases that follow a user name, each with a colon or at the end of the message.
fn first_colon_phrase<'l>(text: &'l [u8], close: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    const PHRASES: [&[u8]; 4] = [
        b": authentication failure for ",
        b": authorization failure for ",
        b": password mismatch: ",
        b" not found: ",
    ];
    let at = memchr::memchr_iter(b':', text).find_map(|colon| {
        PHRASES.iter().find_map(|phrase| {
            let inside = memchr::memchr(b':', phrase)?;
            let at = colon.checked_sub(inside)?;
            text[at..].starts_with(phrase).then_some(at)
        })
    });
    let at = at.or_else(|| text.ends_with(b" not found").then(|| text.len() - 10))?;
    Some((text[..at].strip_suffix(close)?, &text[at..]))
}

/// Messages without a user: a dialogue that broke the rules, or one that has only begun.
fn protocol_verdict<'l>(code: &[u8], is_digest: bool, message: &[u8]) -> Option<Verdict<'l>> {
    if message.starts_with(b"authorization failure (no authenticated user)") {
        let method = AuthMethod::Basic;
        return Some(Verdict { user: None, outcome: AuthOutcome::Challenge, reason: None, method });
    }
    let method = match code {
        b"AH01614" => AuthMethod::Basic,
        b"AH01774" | b"AH01775" | b"AH01776" | b"AH01777" | b"AH01781" | b"AH01782"
        | b"AH01785" | b"AH01786" | b"AH01788" | b"AH01789" | b"AH01793" => AuthMethod::Digest,
        _ if is_digest => AuthMethod::Digest,
        _ if message.starts_with(b"client used wrong authentication scheme") => AuthMethod::Basic,
        _ => return None,
    };
    Verdict::failure(None, Reason::ProtocolError, method)
}

/// Beginnings of messages and what they are about; with and without their codes.
const CLASSES: &[(&[u8], Action)] = &[
    (b"client denied by server configuration", Action::AccessDenied),
    (b"Directory index forbidden by ", Action::AccessDenied),
    (b"Cannot serve directory ", Action::AccessDenied),
    (b"Symbolic link not allowed", Action::AccessDenied),
    (b"access to ", Action::AccessDenied),
    (b"file permissions deny server access", Action::AccessDenied),
    (b"attempt to invoke directory as script", Action::AccessDenied),
    (b"Options ExecCGI is off", Action::AccessDenied),
    (b"File does not exist: ", Action::FileNotFound),
    (b"script not found or unable to stat", Action::FileNotFound),
    (b"script '", Action::FileNotFound),
    (b"stderr from ", Action::FileNotFound),
    (b"Got error 'Primary script unknown", Action::FileNotFound),
    (b"request failed: ", Action::BadRequest),
    (b"Invalid URI in request", Action::BadRequest),
    (b"Invalid method in request", Action::BadRequest),
    (b"invalid URI path ", Action::BadRequest),
    (b"found %2f (encoded '/')", Action::BadRequest),
    (b"Request header ", Action::BadRequest),
    (b"Client sent malformed ", Action::BadRequest),
    (b"client sent ", Action::BadRequest),
    (b"Request exceeded the limit", Action::BadRequest),
    (b"SSL Library Error", Action::TlsError),
    (b"SSL library error", Action::TlsError),
    (b"SSL handshake", Action::TlsError),
    (b"rejecting client initiated renegotiation", Action::TlsError),
    (b"Certificate Verification: Error", Action::TlsError),
    (b"Re-negotiation ", Action::TlsError),
    (b"Hostname ", Action::TlsError),
    (b"No hostname was provided via SNI", Action::TlsError),
];

fn class(module: &[u8], level: Level, code: &[u8], message: &[u8]) -> Action {
    // Modules that refuse for being asked too often use the words of a plain refusal.
    if module.starts_with(b"evasive") || module == b"qos" {
        return Action::RateLimited;
    }
    let known = CLASSES.iter().find(|(start, _)| message.starts_with(start));
    match known {
        // `access to … failed`, for a name longer than any file's.
        _ if code == b"AH00036" => Action::FileNotFound,
        // Output of a script is one of many things, unless it says that there is no script.
        Some((start, _)) if *start == b"stderr from " || *start == b"script '" => {
            match memmem::find(message, b"not found or unable to stat") {
                Some(_) => Action::FileNotFound,
                None => Action::ServerError,
            }
        }
        Some((_, action)) => *action,
        None if code == b"AH01797" || code == b"AH01630" => Action::AccessDenied,
        None if module.starts_with(b"proxy") && Level::Warn <= level => Action::UpstreamError,
        None => Action::ServerError,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check_miss, mutated, read};
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[(&str, &str)]) {
        super::super::testing::check(parse, line, expected);
    }

    /// The message in the shape of 2.4 (module and code as given) and of 2.2.
    #[track_caller]
    fn check_both(source: &str, code: &str, message: &str, expected: &[(&str, &str)]) {
        check(
            &format!(
                "[Fri Nov 20 07:46:01.337583 2026] [{source}:error] [pid 9:tid 7] [client 192.0.2.7:5123] {code}: {message}"
            ),
            expected,
        );
        check(
            &format!("[Fri Nov 20 07:46:01 2026] [error] [client 192.0.2.7] {message}"),
            expected,
        );
    }

    #[test]
    fn a_line_of_2_4_is_read() {
        check(
            r#"[Fri Nov 20 07:46:01.337583 2026] [auth_basic:error] [pid 17512:tid 140123] [client 192.0.2.7:51390] AH01617: user alice: authentication failure for "/basic/": Password Mismatch, referer: https://r/"#,
            &[
                ("time", "2026-11-20T07:46:01.337Z"),
                ("kind", "ServerError"),
                ("module", "apache"),
                ("format", "apache:error"),
                ("level", "error"),
                ("labels.apache.module", "auth_basic"),
                ("process.pid", "17512"),
                ("process.thread.id", "140123"),
                ("client", "192.0.2.7"),
                ("source.port", "51390"),
                ("event.code", "AH01617"),
                (
                    "message",
                    r#"user alice: authentication failure for "/basic/": Password Mismatch, referer: https://r/"#,
                ),
                ("http.request.referrer", "https://r/"),
                ("action", "auth_failed"),
                ("user.name", "alice"),
                ("outcome", "failure"),
                ("reason", "wrong_password"),
                ("method", "basic"),
                ("confidence", "high"),
                ("counted", "true"),
            ],
        );
    }

    #[test]
    fn a_line_of_2_2_is_read() {
        check(
            "[Fri Nov 20 07:46:01 2026] [error] [client 2001:db8::7] user  not found: /a",
            &[
                ("time", "2026-11-20T07:46:01.000Z"),
                ("client", "2001:db8::7"),
                ("source.port", "-"),
                ("user.name", "-"),
                ("empty_user", "true"),
                ("reason", "unknown_user"),
            ],
        );
    }

    /// A failure as told by module, code and message: user, reason, method.
    #[track_caller]
    fn check_failure(source: &str, code: &str, message: &str, expected: [&str; 3]) {
        let [user, reason, method] = expected;
        check_both(
            source,
            code,
            message,
            &[
                ("user.name", user),
                ("outcome", "failure"),
                ("reason", reason),
                ("method", method),
                ("counted", if reason == "protocol_error" { "false" } else { "true" }),
                ("action", "auth_failed"),
                ("client", "192.0.2.7"),
            ],
        );
    }

    #[test]
    fn failed_basic_and_form_log_ins_name_the_user() {
        let unknown = ["bob", "unknown_user", "basic"];
        check_failure("auth_basic", "AH01618", "user bob not found: /x", unknown);
        let odd = ["a\nb, c", "unknown_user", "basic"];
        check_failure("auth_basic", "AH01618", r"user a\nb, c not found: /x", odd);
        let wrong = r#"user 'bob': authentication failure for "/x": password Mismatch"#;
        check_failure("auth_form", "AH01807", wrong, ["bob", "wrong_password", "form"]);
        let unknown = ["bob", "unknown_user", "form"];
        check_failure("auth_form", "AH01808", "user 'bob' not found: /x", unknown);
        let ldap = "auth_ldap authenticate: user bob authentication failed; URI /x [a][b]";
        check_failure("authnz_ldap", "AH01695", ldap, ["bob", "bad_credentials", "basic"]);
        let scheme = "client used wrong authentication scheme: /x";
        check_failure("auth_basic", "AH01614", scheme, ["-", "protocol_error", "basic"]);
    }

    #[test]
    fn failed_digest_log_ins_name_the_user() {
        let unknown = "user `bob' in realm `r' not found: /x";
        check_failure("auth_digest", "AH01790", unknown, ["bob", "unknown_user", "digest"]);
        let denied = "user `bob' in realm `r' denied by provider: /x";
        check_failure("auth_digest", "AH01791", denied, ["bob", "not_allowed", "digest"]);
        let wrong = "user bob: password mismatch: /x";
        check_failure("auth_digest", "AH01792", wrong, ["bob", "wrong_password", "digest"]);
    }

    #[test]
    fn users_who_may_not_read_a_page_are_named() {
        let failure = r#"user bob: authorization failure for "/x": "#;
        check_failure("authz_core", "AH01631", failure, ["bob", "not_allowed", "other"]);
        let owner = "Authorization of user bob to access /x failed, reason: no";
        check_failure("authz_owner", "AH01637", owner, ["bob", "not_allowed", "basic"]);
    }

    #[test]
    fn modules_of_others_say_who_failed() {
        for (message, expected) in [
            (
                "PAM: user 'bob' - not authenticated: Authentication failure",
                ["bob", "bad_credentials", "pam"],
            ),
            ("PAM: user 'bob' - invalid account: expired", ["bob", "not_allowed", "pam"]),
            (
                "AuthExtern pwauth [/usr/sbin/pwauth]: Failed (2) for user bob",
                ["bob", "bad_credentials", "basic"],
            ),
            (
                "krb5_get_init_creds_password() failed: Preauthentication failed",
                ["-", "bad_credentials", "basic"],
            ),
            (
                "access to /x failed, reason: user 'bob' does not meet 'require'ments for user/valid-user to be allowed access",
                ["bob", "not_allowed", "basic"],
            ),
            (
                "access to /x failed, reason: user root not allowed access failed, reason: user bob not allowed access",
                ["bob", "not_allowed", "basic"],
            ),
        ] {
            check_failure("auth", "AH09999", message, expected);
        }
    }

    #[test]
    fn shapes_of_other_error_log_formats_are_read() {
        let message = "AH01618: user bob not found: /x";
        for start in [
            "[2026-11-20 07:46:01.337583] [auth_basic:error] [pid 9:tid 7] [client 192.0.2.7:5] ",
            "[20/Nov/2026:08:46:01.337583 +0100] [auth_basic:error] [pid 9] [client 192.0.2.7:5] ",
            "[Fri Nov 20 07:46:01.337583 2026] [auth_basic:error] [pid 9] [R:aB-3@] [client 192.0.2.7:5] ",
            "[Fri Nov 20 07:46:01.337583 2026] [-:error] [pid 9] [client 192.0.2.7:5] [C:aB] [R:aC] ",
            "[Fri Nov 20 07:46:01.337583 2026] [:error] [pid 9] [client 192.0.2.7:5] [client 192.0.2.7] ",
        ] {
            check(
                &format!("{start}{message}"),
                &[
                    ("time", "2026-11-20T07:46:01.337Z"),
                    ("client", "192.0.2.7"),
                    ("source.port", "5"),
                    ("user.name", "bob"),
                    ("event.code", "AH01618"),
                ],
            );
        }
        check(
            "[Fri Nov 20 07:46:01.3 2026] [x:error] [pid 9] [client 192.0.2.7:5] [client 198.51.100.66] user root not found: /",
            &[("client", "192.0.2.7"), ("user.name", "-")],
        );
        check_miss(parse, "[2026-11-20 07:46:01] [error] [pid 9] x", Miss::Shape);
        check_miss(parse, "[2026-11-20 07:46:01 +0000] [9] [INFO] x", Miss::Shape);
    }

    #[test]
    fn digest_dialogues_that_break_the_rules_are_failures() {
        let expected = [("outcome", "failure"), ("reason", "protocol_error"), ("method", "digest")];
        check_both("auth_digest", "AH01793", "Digest: invalid qop `x' received: /", &expected);
        check(
            "[Fri Nov 20 07:46:01.3 2026] [auth_digest:error] [pid 9] [client 192.0.2.7:5] AH01777: invalid nonce x received - user attempted time travel",
            &expected,
        );
    }

    #[test]
    fn a_request_without_a_user_is_a_challenge() {
        check_both(
            "authz_core",
            "AH01629",
            "authorization failure (no authenticated user): /x",
            &[("outcome", "challenge"), ("counted", "false"), ("action", "server_error")],
        );
    }

    #[test]
    fn messages_have_a_class() {
        for (source, code, message, action) in [
            ("authz_core", "AH01630", "client denied by server configuration: /x", "access_denied"),
            ("core", "AH00128", "File does not exist: /x", "file_not_found"),
            ("cgi", "AH02811", "script not found or unable to stat: /x", "file_not_found"),
            ("php7", "AH99999", "script '/x.php' not found or unable to stat", "file_not_found"),
            (
                "cgi",
                "AH01215",
                "stderr from /x: script not found or unable to stat",
                "file_not_found",
            ),
            ("cgi", "AH01215", "stderr from /x: hello", "server_error"),
            ("core", "AH00126", "Invalid URI in request GET x", "bad_request"),
            (
                "ssl",
                "AH02031",
                "Hostname a provided via SNI, but no hostname provided in HTTP request",
                "tls_error",
            ),
        ] {
            check_both(source, code, message, &[("action", action), ("outcome", "-")]);
        }
        check(
            "[Fri Nov 20 07:46:01.3 2026] [evasive20:error] [pid 9] [client 192.0.2.7:5] client denied by server configuration: /x",
            &[("action", "rate_limited")],
        );
        check(
            "[Fri Nov 20 07:46:01.3 2026] [proxy:error] [pid 9] (111)Connection refused: [client 192.0.2.7:5] AH00957: HTTP: attempt to connect failed",
            &[("action", "upstream_error"), ("client", "192.0.2.7"), ("event.code", "AH00957")],
        );
    }

    #[test]
    fn what_stands_before_the_client_is_skipped() {
        for origin in
            ["", "mod_x.c(123): ", "(13)Permission denied: ", "mod_x.c(1): (13)Permission denied: "]
        {
            check(
                &format!(
                    "[Fri Nov 20 07:46:01.3 2026] [x:debug] [pid 9] {origin}[client [2001:db8::1]:5] AH00001: hi"
                ),
                &[
                    ("client", "2001:db8::1"),
                    ("source.port", "5"),
                    ("message", "hi"),
                    ("level", "debug"),
                ],
            );
        }
        check(
            "[Fri Nov 20 07:46:01.3 2026] [x:trace3] [pid 9] [remote 2001:db8::1:54321] hi",
            &[("client", "2001:db8::1"), ("source.port", "54321")],
        );
    }

    #[test]
    fn text_of_the_client_is_never_an_address() {
        for message in [
            "File does not exist: /srv/[client 198.51.100.66] user root not found",
            "user x [client 198.51.100.66:1] not found: /",
        ] {
            check_both("core", "AH00128", message, &[("client", "192.0.2.7")]);
        }
        check(
            "[Fri Nov 20 07:46:01 2026] [error] File does not exist: /srv/: [client 198.51.100.66] x",
            &[("client", "-")],
        );
        check(
            "[Fri Nov 20 07:46:01 2026] [error] [client 192.0.2.7] user a, referer: b not found: /, referer: c",
            &[("user.name", "a, referer: b"), ("http.request.referrer", "c")],
        );
    }

    #[test]
    fn lines_of_the_server_itself_have_no_client() {
        check(
            "[Fri Nov 20 07:46:01.406530 2026] [core:notice] [pid 24968:tid 14] AH00094: Command line: '/usr/sbin/apache2'",
            &[
                ("client", "-"),
                ("event.code", "AH00094"),
                ("level", "notice"),
                ("action", "server_error"),
            ],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, "[a] [error] x", Miss::Shape);
        check_miss(parse, "[Fri Nov 20 07:46:01 2026] hello", Miss::Shape);
        check_miss(parse, "[Fri Nov 20 07:46:01 2026] [hello] x", Miss::Shape);
        check_miss(parse, "[Fri Nov 40 07:46:01 2026] [error] x", Miss::Time);
    }

    static VALID: &[&str] = &[
        r#"[Fri Nov 20 07:46:01.337583 2026] [auth_basic:error] [pid 17512:tid 140123] (13)Permission denied: [client 192.0.2.7:51390] AH01617: user alice: authentication failure for "/basic/": Password Mismatch, referer: https://r/"#,
        "[Fri Nov 20 07:46:01 2026] [error] [client 2001:db8::7] user 'x' not found: /a",
        "[Fri Nov 20 07:46:01 2026] [x:error] mod_x.c(123): [client [2001:db8::7]:5] user `x' in realm `y' not found",
    ];

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(parse, &line);
        }

        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(VALID)) {
            let _ = read(parse, &line);
        }
    }
}
