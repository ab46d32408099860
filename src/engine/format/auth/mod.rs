//! Login logs: `auth.log` and `secure`, as syslog daemons write them.
//!
//! This file reads the envelope (time, host, program, process id) and hands the message to the
//! module that knows the program. Web servers that log to syslog are read by their own formats.
//! A line that says nothing about a log-in is an event too, of action `auth_info`.
//!
//! Invariant: a user name is text of the client. It is always found by what the daemon writes
//! around it, from the end of the message where the daemon writes last, and where more than one
//! reading is left the client is marked as ambiguous.

pub(super) mod app;
mod columns;
mod grammar;
pub(super) mod pairs;
mod pam;
mod peer;
mod phrases;
mod privilege;
mod service;
mod shapes;
mod sshd;

use memchr::memmem;

use super::envelope::Envelope;
use super::{
    Context, FixedFormat, Miss, apache_error, haproxy, json, lighttpd_error, nginx_error, php,
};
use crate::engine::address::parse_ip;
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Kind, Module, Reason, Writer,
};
use crate::engine::text::cut;

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::System, captures: 5, parse };

const NAME: &str = "syslog:auth";

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    read(&Envelope::read(line, cx.times)?, cx, out)
}

/// Reads the message of one line, however its envelope was written.
pub(super) fn read(
    envelope: &Envelope<'_>,
    cx: &mut Context<'_>,
    out: &mut Writer<'_>,
) -> Result<(), Miss> {
    if by_another_format(envelope, cx, out)? {
        envelope.complete(out);
        return Ok(());
    }
    let row = &mut out.row;
    (row.kind, row.module, row.format) = (Kind::Auth, Module::System, NAME);
    (row.time, row.zone_minutes) = envelope.logged;
    row.action = Action::AuthInfo;
    if let Some(level) = envelope.level {
        row.level = level;
    }
    out.set(Field::Message, envelope.message);
    envelope.complete(out);
    message(envelope.program, envelope.tag_service, envelope.message, out);
    Ok(())
}

/// Reads the message of a program whose own format is known without a time of its own; refuses an
/// access line, which belongs to another format as a whole.
fn by_another_format(
    envelope: &Envelope<'_>,
    cx: &mut Context<'_>,
    out: &mut Writer<'_>,
) -> Result<bool, Miss> {
    let (program, message) = (envelope.program, envelope.message);
    if is_web_server(program, b"nginx") && nginx_error::parse(message, cx, out).is_ok() {
        return Ok(true);
    }
    let is_apache = is_web_server(program, b"httpd") || is_web_server(program, b"apache2");
    let is_lighttpd = is_web_server(program, b"lighttpd");
    let is_php = is_web_server(program, b"php") || matches!(program, b"suhosin" | b"php-fpm");
    if (is_php && php::parse_untimed(message, out).is_ok())
        || (is_apache && apache_error::parse_untimed(message, out).is_ok())
        || (is_lighttpd && lighttpd_error::parse_untimed(message, out).is_ok())
    {
        return Ok(true);
    }
    // The mark of structured messages in syslog, and objects without it.
    let object = message.strip_prefix(b"@cee:").unwrap_or(message).trim_ascii();
    if object.starts_with(b"{") && json::parse_untimed(object, cx, out).is_ok() {
        return Ok(true);
    }
    out.reset();
    let is_web = WEB_SERVERS.iter().any(|name| is_web_server(program, name));
    if (is_web || begins_with_client(message)) && contains(message, b" HTTP/") {
        return Err(Miss::Shape);
    }
    if is_web_server(program, b"haproxy") && haproxy::parse_message(message, cx, out).is_ok() {
        return Ok(true);
    }
    out.reset();
    Ok(false)
}

/// Access lines of most formats begin with the client; messages about log-ins do not.
fn begins_with_client(message: &[u8]) -> bool {
    let end = memchr::memchr(b' ', message).unwrap_or(message.len());
    parse_ip(&message[..end]).is_some()
}

const WEB_SERVERS: [&[u8]; 7] =
    [b"nginx", b"httpd", b"apache2", b"lighttpd", b"haproxy", b"caddy", b"traefik"];

/// Web servers name themselves with a suffix where there are several: `httpd/backend1`.
pub(super) fn is_web_server(program: &[u8], name: &[u8]) -> bool {
    program
        .strip_prefix(name)
        .is_some_and(|rest| matches!(rest, [] | [b'/' | b'-' | b'_' | b'@', ..]))
}

/// Programs that say about log-ins only what is known here.
const KNOWN: [&[u8]; 4] = [b"sshd", b"sudo", b"su", b"doas"];

/// Programs whose other lines may name a client, and say `failed` and `user` of other things.
const OTHERS: [&[u8]; 8] =
    [b"postfix", b"dovecot", b"systemd", b"kernel", b"cron", b"CRON", b"named", b"amavis"];

/// Reads what a message says about a log-in: the program is empty where it is not known, and
/// `tag_service` is the PAM module of an old syslog tag.
///
/// Whoever knows the wording reads it; else its words decide, with low confidence, if the line
/// names a client or the caller has set one before.
pub(super) fn message(
    program: &[u8],
    tag_service: Option<&[u8]>,
    text: &[u8],
    out: &mut Writer<'_>,
) {
    let (text, count) = repeated(text.trim_ascii());
    if let Some(count) = count {
        set_count(count, out);
    }
    if known(program, tag_service, text, out) || KNOWN.contains(&program) {
        return;
    }
    if program.is_empty() {
        return in_columns(text, out);
    }
    if OTHERS.iter().any(|other| program.starts_with(other)) {
        phrases::inform(text, out);
    } else {
        phrases::parse(text, out);
    }
}

/// Reads a message by the wording of its program; false where it is none of those known.
pub(super) fn known(
    program: &[u8],
    tag_service: Option<&[u8]>,
    text: &[u8],
    out: &mut Writer<'_>,
) -> bool {
    if pam::parse(program, tag_service, text, out) {
        return true;
    }
    if program.starts_with(b"sshd") {
        sshd::parse(program, text, out);
        return true;
    }
    if matches!(program, b"sudo" | b"su" | b"doas" | b"pkexec") {
        privilege::parse(program, text, out);
        return true;
    }
    service::parse(program, text, out) || shapes::parse(program, text, out)
}

/// Columns taken off the front of a message before it is taken as it is.
const COLUMNS: usize = 8;

/// Reads the message of a program that is not named, with what loggers put before it: levels,
/// threads, classes, `program[5]:`.
fn in_columns(text: &[u8], out: &mut Writer<'_>) {
    let mut rest = text.trim_ascii();
    for _ in 0..COLUMNS {
        if pam::parse(b"", None, rest, out)
            || service::parse(b"", rest, out)
            || shapes::parse_unnamed(rest, out)
        {
            return;
        }
        if let Some((program, pid, message)) = super::envelope::tag(rest)
            && known(program, None, message, out)
        {
            out.set(Field::Process, program);
            if !pid.is_empty() {
                out.set(Field::Pid, pid);
            }
            return;
        }
        match columns::skip(rest) {
            Some(after) => rest = after,
            None => break,
        }
    }
    phrases::parse(text, out);
}

/// `message repeated 5 times: [ text]`, as rsyslog folds equal lines: the text and the number.
fn repeated(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let unfolded = || {
        let rest = text.strip_prefix(b"message repeated ")?;
        let blank = memchr::memchr(b' ', rest)?;
        let inner = rest[blank..].strip_prefix(b" times: [")?.strip_suffix(b"]")?;
        let count = &rest[..blank];
        let is_count = (1..=9).contains(&count.len()) && count.iter().all(u8::is_ascii_digit);
        is_count.then(|| (inner.trim_ascii(), Some(count)))
    };
    unfolded().unwrap_or((text, None))
}

/// What a line says about a log-in, before it is set.
#[derive(Clone, Copy)]
struct Verdict {
    outcome: AuthOutcome,
    reason: Option<Reason>,
    method: AuthMethod,
    counted: bool,
}

impl Verdict {
    const fn success(method: AuthMethod) -> Self {
        Self { outcome: AuthOutcome::Success, reason: None, method, counted: false }
    }

    /// A failure that counts.
    const fn failure(reason: Reason, method: AuthMethod) -> Self {
        Self { outcome: AuthOutcome::Failure, reason: Some(reason), method, counted: true }
    }

    /// A failure that another line counts, or that is a sign of scanning rather than a guess.
    const fn uncounted(reason: Reason, method: AuthMethod) -> Self {
        Self { counted: false, ..Self::failure(reason, method) }
    }

    fn set(self, action: Action, out: &mut Writer<'_>) {
        let Self { outcome, reason, method, counted } = self;
        out.row.action = action;
        let confidence = Confidence::High;
        out.row.auth = Some(Auth { outcome, reason, method, confidence, counted });
    }
}

fn set_user(user: &[u8], out: &mut Writer<'_>) {
    if user.is_empty() {
        out.row.empty_user = true;
    } else {
        out.set(Field::User, user);
    }
}

/// Cuts `text` in front of and behind the last `part`.
fn cut_last<'t>(text: &'t [u8], part: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = memmem::rfind(text, part)?;
    Some((&text[..at], &text[at + part.len()..]))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memmem::find(text, part).is_some()
}

/// The line stands for so many events.
fn set_count(digits: &[u8], out: &mut Writer<'_>) {
    let count = crate::engine::text::parse_u64(digits).unwrap_or(1);
    out.row.count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    #[test]
    fn a_line_of_another_program_is_an_event() {
        check(
            parse,
            "Nov 20 07:33:00 web1 groupadd[77]: new group: name=web, GID=48",
            &[
                ("time", "2026-11-20T07:33:00.000Z"),
                ("kind", "Auth"),
                ("module", "system"),
                ("format", "syslog:auth"),
                ("action", "auth_info"),
                ("host.hostname", "web1"),
                ("process.name", "groupadd"),
                ("process.pid", "77"),
                ("message", "new group: name=web, GID=48"),
                ("outcome", "-"),
            ],
        );
    }

    #[test]
    fn folded_lines_tell_how_many_they_were() {
        check(
            parse,
            "Nov 20 07:33:00 web1 sshd[9]: message repeated 5 times: [ Failed password for root from 192.0.2.7 port 50 ssh2]",
            &[("count", "5"), ("user.name", "root"), ("client", "192.0.2.7"), ("counted", "true")],
        );
    }

    #[test]
    fn web_servers_that_log_to_syslog_are_read_by_their_own_format() {
        check(
            parse,
            "<187>Nov 20 07:33:01 web1 nginx: 2026/11/20 07:33:00 [error] 5#6: *1 access forbidden by rule, client: 192.0.2.7, server: t",
            &[
                ("format", "nginx:error"),
                ("time", "2026-11-20T07:33:00.000Z"),
                ("client", "192.0.2.7"),
                ("host.hostname", "web1"),
                ("process.pid", "5"),
                ("process.name", "nginx"),
            ],
        );
        check(
            parse,
            "Nov 20 07:33:01 web1 httpd/two[9]: [authz_core:error] [pid 8] [client 192.0.2.7:5] AH01630: client denied by server configuration: /x",
            &[
                ("format", "apache:error"),
                ("time", "2026-11-20T07:33:01.000Z"),
                ("client", "192.0.2.7"),
                ("process.pid", "8"),
                ("host.hostname", "web1"),
            ],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, "hello", Miss::Shape);
        check_miss(
            parse,
            r#"Nov 20 07:33:00 lb1 haproxy[77]: 192.0.2.7:5 [20/Nov/2026:07:33:00.655] fe be/s 0/0/0/0/0 200 1 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1""#,
            Miss::Shape,
        );
        check_miss(parse, "Nov 40 07:33:00 web1 sshd[9]: x", Miss::Time);
        check_miss(
            parse,
            r#"192.0.2.7 - - [20/Nov/2026:07:33:00 +0000] "GET / HTTP/1.1" 200 1"#,
            Miss::Shape,
        );
    }

    static VALID: &[&str] = &[
        "Nov 20 07:00:16 web1 sshd-session[911]: Failed password for invalid user a from 192.0.2.6 port 1 ssh2 from 198.51.100.9 port 50022 ssh2",
        "<38>1 2026-11-20T07:33:00.1Z h sshd 5 - [a b=\"c\\\"]\"] Failed publickey for a from 192.0.2.2 port 55 ssh2: RSA SHA256:x",
        "2026-11-20T07:33:00.123456+00:00 h sshd[5]: Disconnecting invalid user x 192.0.2.7 port 49941: Too many authentication failures [preauth]",
        "Nov 20 07:00:18 h vsftpd[13]: pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=bob rhost=198.51.100.10  user=bob",
        "Nov 20 07:00:18 h sudo: bob : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/ls",
        "Nov 20 07:00:18 h su[5]: FAILED SU (to root) bob on pts/0",
        "Nov 20 07:00:18 h dovecot: imap-login: Disconnected (auth failed, 1 attempts): user=<a>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2",
    ];

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            start in "(Nov 20 07:00:18 h (sshd|sudo|su|x)(\\[5\\])?: )?",
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut line = start.into_bytes();
            line.extend(rest);
            let _ = read(parse, &line);
        }

        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(VALID)) {
            let _ = read(parse, &line);
        }
    }
}
