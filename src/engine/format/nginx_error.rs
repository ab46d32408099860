//! nginx's error log: `2026/11/20 07:46:41 [error] 26486#26486: *41 message, client: …, server: …`.
//!
//! nginx writes URLs, user names and header values here as they came, decoded and without any
//! escaping. A client can therefore put a second `, client: ` of its choice into a line, and even
//! whole lines. Nothing read here counts as a failed log-in by itself (the access log decides),
//! and where a line can be read in two ways its client is marked as ambiguous.
//!
//! Invariant: a message that holds no text of the client is followed by the real address; of any
//! other the last address that fits is taken, and marked where an earlier one fits as well.

use memchr::memmem;

use super::{Context, FixedFormat, Miss, modsecurity};
use crate::engine::address::{is_host_name, parse_ip, set_client, split_port};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, ClientSource, Confidence, Field, Kind, Level, Module,
    Reason, Writer,
};
use crate::engine::request;

/// nginx writes no longer records; their end is cut off.
const RECORD_BYTES_MAX: usize = 2048;

/// Bytes of a message from which on its end may have been cut off: the head of a record is short.
const CUT_BYTES_MIN: usize = RECORD_BYTES_MAX - 148;

/// Places where the client may stand that are looked at in a line too long for nginx, so that it
/// does not cost more than it is worth.
const CANDIDATES_MAX: usize = 8;

const CLIENT: &[u8] = b", client: ";

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::Nginx, captures: 5, parse };

/// `gatewatch.format` of its events.
pub(in crate::engine) const NAME: &str = "nginx:error";

/// Reads one line.
pub(super) fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let line = untagged(line, out);
    let Some((stamp, rest)) = line.split_at_checked(19) else { return Err(Miss::Shape) };
    if stamp[4] != b'/' {
        return Err(Miss::Shape);
    }
    let rest = rest.strip_prefix(b" [").ok_or(Miss::Shape)?;
    let close = memchr::memchr(b']', rest).ok_or(Miss::Shape)?;
    let level = Level::from_name(&rest[..close]).ok_or(Miss::Shape)?;
    let rest = rest[close + 1..].strip_prefix(b" ").ok_or(Miss::Shape)?;
    let (time, zone) = cx.times.nginx_error(stamp).ok_or(Miss::Time)?;
    let row = &mut out.row;
    (row.time, row.zone_minutes) = (time, zone);
    (row.kind, row.module, row.format) = (Kind::ServerError, Module::Nginx, NAME);
    (row.action, row.level) = (Action::ServerError, level);

    let message = connection(process(rest, out), out);
    read_message(message, out);
    Ok(())
}

/// Reads what follows the connection.
fn read_message(message: &[u8], out: &mut Writer<'_>) {
    out.set(Field::Message, message);
    let head = match find_client(message) {
        Some(found) => {
            if found.is_ambiguous {
                out.row.client_source = ClientSource::Ambiguous;
            }
            tail(&message[found.at + CLIENT.len()..], out);
            &message[..found.at]
        }
        None => message,
    };
    classify(head, out);
}

/// Records that client text with a line end in it has torn apart.
pub(in crate::engine) mod record {
    use memchr::memmem;

    use super::find_client;
    use crate::engine::batch::Writer;

    /// nginx writes no longer records, the line end at their end included.
    pub(in crate::engine) const BYTES_MAX: usize = super::RECORD_BYTES_MAX;

    /// Beginnings of messages that hold a path between quotes and then say that it failed.
    const PATHS: [&[u8]; 9] = [
        b"open() \"",
        b"openat() \"",
        b"stat() \"",
        b"lstat() \"",
        b"realpath() \"",
        b"opendir() \"",
        b"rename() \"",
        b"unlink() \"",
        b"mkdir() \"",
    ];

    /// Beginnings of messages that go over several lines by themselves.
    const LONG: [&[u8]; 5] =
        [b"FastCGI sent in stderr: ", b"lua ", b"[lua] ", b"ModSecurity: ", b"js: "];

    /// The message ends as nginx ends it: what it says, then the client and all that follows.
    pub(in crate::engine) fn is_closed(message: &[u8]) -> bool {
        let Some(found) = find_client(message) else { return ends_in_context(message) };
        let head = &message[..found.at];
        if PATHS.iter().any(|start| message.starts_with(start)) {
            // `" failed (2: No such file or directory)`, perhaps with what nginx was doing.
            let end = memmem::rfind(head, b") while ").map_or(head.len(), |at| at + 1);
            return head[..end].ends_with(b")")
                && memmem::find(&head[..end], b"\" failed (").is_some();
        }
        if message.starts_with(b"user \"") {
            return head.ends_with(b"\": password mismatch")
                || (head.ends_with(b"\"")
                    && memmem::find(head, b"\" was not found in \"").is_some());
        }
        true
    }

    /// Scripts that run outside of any request end in `, context: ngx.timer`.
    fn ends_in_context(message: &[u8]) -> bool {
        let Some(at) = memmem::rfind(message, b", context: ") else { return false };
        message[at + 11..].iter().all(|byte| byte.is_ascii_alphanumeric() || b"._*".contains(byte))
    }

    /// The message stops in the middle of text that may hold a line end.
    pub(in crate::engine) fn is_open(message: &[u8]) -> bool {
        let starts = |parts: &[&[u8]]| parts.iter().any(|part| message.starts_with(part));
        let may_go_on = starts(&PATHS)
            || starts(&LONG)
            || message.starts_with(b"user \"")
            || memchr::memchr_iter(b'"', message).count() % 2 == 1;
        may_go_on && !is_closed(message)
    }

    /// Reads the message of a record that was put together.
    pub(in crate::engine) fn read(message: &[u8], out: &mut Writer<'_>) {
        super::read_message(message, out);
    }
}

/// Reads the `host nginx[5]: ` that a relay of syslog without times leaves in front, once or twice,
/// and answers what follows.
fn untagged<'l>(line: &'l [u8], out: &mut Writer<'_>) -> &'l [u8] {
    let mut rest = line;
    for _ in 0..2 {
        let mut words = rest.splitn(3, |byte| *byte == b' ');
        let (Some(host), Some(tag), Some(after)) = (words.next(), words.next(), words.next())
        else {
            break;
        };
        let is_tag = tag.starts_with(b"nginx") && tag.ends_with(b":") && tag.len() <= 64;
        if !is_tag || !is_host_name(host) {
            break;
        }
        if !out.has(Field::Hostname) {
            out.set(Field::Hostname, host);
            out.set(Field::Process, &tag[..5]);
        }
        rest = after;
    }
    rest
}

/// Reads `pid#tid: ` and answers what follows.
fn process<'l>(rest: &'l [u8], out: &mut Writer<'_>) -> &'l [u8] {
    let (pid, after) = digits(rest);
    let Some(after) = after.strip_prefix(b"#") else { return rest };
    let (tid, after) = digits(after);
    let Some(after) = after.strip_prefix(b":") else { return rest };
    if pid.is_empty() || tid.is_empty() {
        return rest;
    }
    out.set(Field::Pid, pid);
    out.set(Field::Tid, tid);
    after.strip_prefix(b" ").unwrap_or(after)
}

/// Reads `*41 ` and answers what follows.
fn connection<'l>(rest: &'l [u8], out: &mut Writer<'_>) -> &'l [u8] {
    let Some(after) = rest.strip_prefix(b"*") else { return rest };
    let (number, after) = digits(after);
    let Some(after) = after.strip_prefix(b" ") else { return rest };
    if !number.is_empty() {
        out.set(Field::Connection, number);
    }
    after
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

struct Found {
    /// Where [`CLIENT`] begins.
    at: usize,
    is_ambiguous: bool,
}

/// Beginnings of messages that hold no text of the client at all, or a user name, which holds no
/// colon: there the first place is the real one, whatever a header or the request adds behind it.
const TRUSTED_HEADS: &[&[u8]] = &[
    b"user \"",
    b"PAM: user '",
    b"no user/password was provided",
    b"access forbidden by ",
    b"limiting ",
    b"delaying request",
    b"client sent HTTP/1.1 request without ",
    b"client sent invalid method while",
    b"client sent invalid request while",
    b"client sent invalid version while",
    b"client sent plain HTTP request",
    b"client sent too long URI while",
    b"client intended to send too large body",
    b"no live upstreams while",
    b"upstream timed out (",
    b"upstream prematurely closed connection",
    b"connect() failed (",
    b"recv() failed (",
    b"SSL_do_handshake() failed (",
];

/// Finds the place where nginx itself wrote the client.
fn find_client(message: &[u8]) -> Option<Found> {
    let may_be_cut = CUT_BYTES_MIN <= message.len();
    let is_client = |at: &usize| walk(&message[*at + CLIENT.len()..], may_be_cut, |_, _| ());
    let limit = if message.len() <= RECORD_BYTES_MAX { usize::MAX } else { CANDIDATES_MAX };
    let mut forward = memmem::find_iter(message, CLIENT).take(limit);
    if TRUSTED_HEADS.iter().any(|head| message.starts_with(head)) {
        let at = forward.next().filter(is_client)?;
        return Some(Found { at, is_ambiguous: false });
    }
    let at = memmem::rfind_iter(message, CLIENT).take(limit).find(is_client)?;
    let is_ambiguous = forward.any(|other| other < at && is_client(&other));
    Some(Found { at, is_ambiguous })
}

/// The parts behind the client that are in quotes. nginx writes them in this order and leaves out
/// what it does not know; builds of others have been seen to swap them. Each is there once.
const QUOTED: [&[u8]; 7] =
    [b"login", b"request", b"subrequest", b"upstream", b"host", b"referrer", b"session"];

/// Which of [`QUOTED`] have been read, one bit each.
#[derive(Clone, Copy, Default)]
struct Seen(u8);

impl Seen {
    fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    fn with(self, index: usize) -> Self {
        Self(self.0 | (1 << index))
    }
}

/// Walks over `<ip>, server: <name>, request: "…", …` and shows each part to `visit`; true when
/// the text is of that shape up to its end.
fn walk<'l>(
    text: &'l [u8],
    may_be_cut: bool,
    mut visit: impl FnMut(&'static [u8], &'l [u8]),
) -> bool {
    let end = memchr::memchr(b',', text).unwrap_or(text.len());
    let client = &text[..end];
    if parse_ip(split_port(client).0).is_none() && !client.starts_with(b"unix:") {
        return false;
    }
    visit(b"client", client);
    let mut rest = &text[end..];
    if let Some(server) = rest.strip_prefix(b", server: ") {
        let end = memmem::find(server, b", ").unwrap_or(server.len());
        visit(b"server", server[..end].trim_ascii_end());
        rest = &server[end..];
    }
    let mut seen = Seen::default();
    while !rest.is_empty() {
        let Some((index, value)) = quoted_part(rest, seen) else {
            // The stream and mail modules end in counts and states of their own.
            return is_plain_end(rest) || may_be_cut;
        };
        seen = seen.with(index);
        let Some(end) = closing_quote(value, seen) else {
            visit(QUOTED[index], value);
            return may_be_cut;
        };
        visit(QUOTED[index], &value[..end]);
        rest = &value[end + 1..];
    }
    true
}

/// `, name: "` at the start of `text`, of the parts not read so far: its index and what follows.
fn quoted_part(text: &[u8], seen: Seen) -> Option<(usize, &[u8])> {
    let text = text.strip_prefix(b", ")?;
    (0..QUOTED.len()).filter(|index| !seen.has(*index)).find_map(|index| {
        let value = text.strip_prefix(QUOTED[index])?.strip_prefix(b": \"")?;
        Some((index, value))
    })
}

/// Where a value ends: at the first quote that another part or nothing follows, for the value may
/// hold quotes.
fn closing_quote(value: &[u8], seen: Seen) -> Option<usize> {
    memchr::memchr_iter(b'"', value)
        .take(64)
        .find(|at| {
            let after = &value[at + 1..];
            after.is_empty() || quoted_part(after, seen).is_some() || is_plain_end(after)
        })
        .or_else(|| value.ends_with(b"\"").then(|| value.len() - 1))
}

/// `, bytes from/to client:0/0, …` and the like: words without quotes, in which no other client
/// is named.
fn is_plain_end(text: &[u8]) -> bool {
    text.starts_with(b", ")
        && memchr::memchr(b'"', text).is_none()
        && memmem::find(text, CLIENT).is_none()
}

/// Sets the fields of what follows `, client: `.
fn tail(text: &[u8], out: &mut Writer<'_>) {
    let mut server = None;
    let mut host = None;
    walk(text, true, |name, value| match name {
        b"client" => {
            let (address, port) = split_port(value);
            set_client(out, address);
            if port.is_some()
                && let Some(colon) = memchr::memrchr(b':', value)
            {
                out.set(Field::ClientPort, &value[colon + 1..]);
            }
        }
        b"server" => server = Some(value),
        b"login" if !value.is_empty() => out.set(Field::User, value),
        b"request" => request::split(value, out),
        b"upstream" => out.set(Field::UpstreamAddress, upstream_address(value)),
        b"host" => host = Some(value),
        b"referrer" if !value.is_empty() => out.set(Field::Referrer, value),
        _ => (),
    });
    let named = host.into_iter().chain(server).map(|name| split_port(name).0);
    // `0.0.0.0:443` is where the server listens and `_` stands for any name.
    let mut named = named.filter(|name| !matches!(*name, b"" | b"_" | b"0.0.0.0" | b"::"));
    if let Some(name) = named.next() {
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.iter().any(u8::is_ascii_uppercase) {
            out.set_with(Field::Domain, |to| to.extend(name.iter().map(u8::to_ascii_lowercase)));
        } else {
            out.set(Field::Domain, name);
        }
    }
}

/// `127.0.0.1:3000` of `http://127.0.0.1:3000/path`, `unix:/run/app.sock` of
/// `fastcgi://unix:/run/app.sock:`.
fn upstream_address(upstream: &[u8]) -> &[u8] {
    let rest = match memmem::find(upstream, b"://") {
        Some(at) => &upstream[at + 3..],
        None => upstream,
    };
    let end = match rest.strip_prefix(b"unix:") {
        Some(path) => memchr::memchr(b':', path).map(|at| at + 5),
        None => memchr::memchr(b'/', rest),
    };
    &rest[..end.unwrap_or(rest.len())]
}

/// Decides what the message before the client says.
fn classify(head: &[u8], out: &mut Writer<'_>) {
    if credentials(head, out) {
        return;
    }
    let has = |part: &[u8]| memmem::find(head, part).is_some();
    let starts = |parts: &[&[u8]]| parts.iter().any(|part| head.starts_with(part));
    // What nginx was doing stands at the end, behind anything a client can write.
    let doing = memmem::rfind(head, b" while ").map_or(&b""[..], |at| &head[at..]);
    out.row.action = if starts(&[b"limiting ", b"delaying request"]) {
        Action::RateLimited
    } else if modsecurity::parse(head, out)
        || starts(&[b"access forbidden by ", b"directory index of ", b"NAXSI_FMT: "])
    {
        Action::AccessDenied
    } else if has(b"Primary script unknown") {
        Action::FileNotFound
    } else if starts(&[b"FastCGI sent in stderr: \"PHP message: "]) {
        // The backend answers; its script complains.
        Action::ServerError
    } else if is_upstream(head, doing) {
        Action::UpstreamError
    } else if starts(&[
        b"client sent plain HTTP request to HTTPS port",
        b"SSL_",
        b"client SSL certificate verify error",
        b"client sent no required SSL certificate",
        b"peer closed connection in SSL",
    ]) || doing.starts_with(b" while SSL handshaking")
    {
        Action::TlsError
    } else if starts(&[b"client sent ", b"client intended to send "]) {
        Action::BadRequest
    } else if [&b"(2: No such"[..], b"(20: Not a dir", b"(36: File name"]
        .iter()
        .any(|part| has(part))
    {
        Action::FileNotFound
    } else if has(b"(13: Permission denied)") {
        Action::AccessDenied
    } else {
        Action::ServerError
    };
}

fn is_upstream(head: &[u8], doing: &[u8]) -> bool {
    let is_about = head.starts_with(b"upstream ")
        || head.starts_with(b"no live upstreams")
        || memmem::find(doing, b"upstream").is_some();
    let is_harmless = [&b"client prematurely closed"[..], b"buffered to a temporary file"]
        .iter()
        .any(|part| memmem::find(head, part).is_some());
    is_about && !is_harmless
}

/// Reads the messages about user names and passwords.
fn credentials(head: &[u8], out: &mut Writer<'_>) -> bool {
    let failure = if head.starts_with(b"no user/password was provided") {
        None
    } else if let Some(rest) = head.strip_prefix(b"user \"") {
        if let Some(user) = rest.strip_suffix(b"\": password mismatch") {
            Some((Some(user), Reason::WrongPassword, AuthMethod::Basic))
        } else if rest.ends_with(b"\"")
            && let Some(end) = memmem::rfind(rest, b"\" was not found in \"")
        {
            Some((Some(&rest[..end]), Reason::UnknownUser, AuthMethod::Basic))
        } else {
            return false;
        }
    } else if let Some(rest) = head.strip_prefix(b"PAM: user '") {
        if let Some(end) = memmem::find(rest, b"' - not authenticated: ") {
            Some((Some(&rest[..end]), Reason::BadCredentials, AuthMethod::Pam))
        } else if let Some(end) = memmem::find(rest, b"' - invalid account: ") {
            Some((Some(&rest[..end]), Reason::NotAllowed, AuthMethod::Pam))
        } else {
            return false;
        }
    } else if is_refused_token(head) {
        Some((None, Reason::BadCredentials, AuthMethod::Other))
    } else {
        return false;
    };
    let (outcome, reason, method) = match failure {
        None => (AuthOutcome::Challenge, None, AuthMethod::Basic),
        Some((user, reason, method)) => {
            match user {
                Some(b"") => out.row.empty_user = true,
                Some(user) => out.set(Field::User, user),
                None => (),
            }
            out.row.action = Action::AuthFailed;
            (AuthOutcome::Failure, Some(reason), method)
        }
    };
    // Any client can write this line (see above), so it never counts by itself.
    let confidence = Confidence::Low;
    out.row.auth = Some(Auth { outcome, reason, method, confidence, counted: false });
    true
}

/// The modules for tokens and directories say why they refuse, but not whom.
fn is_refused_token(head: &[u8]) -> bool {
    const TOKENS: [&[u8]; 3] =
        [b"auth_jwt: rejected due to ", b"JWT signature validation failed", b"JWT validate failed"];
    TOKENS.iter().any(|start| head.starts_with(start))
        || (head.starts_with(b"http_auth_ldap: ")
            && memmem::find(head, b"(49: Invalid credentials)").is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check_miss, mutated, read};
    use super::*;

    const PREFIX: &str = "2026/11/20 07:46:41 [error] 26486#26487: *41 ";
    const TAIL: &str = concat!(
        r#", client: 192.0.2.10, server: t.example.org, request: "GET /x?y HTTP/1.1", "#,
        r#"upstream: "http://127.0.0.1:3000/x", host: "T.example.org:8080", referrer: "https://r/""#
    );

    #[track_caller]
    fn check(message: &str, expected: &[(&str, &str)]) {
        super::super::testing::check(parse, &format!("{PREFIX}{message}"), expected);
    }

    #[test]
    fn the_whole_tail_is_read() {
        let message = format!(
            "connect() failed (111: Connection refused) while connecting to upstream{TAIL}"
        );
        check(
            &message,
            &[
                ("time", "2026-11-20T07:46:41.000Z"),
                ("kind", "ServerError"),
                ("module", "nginx"),
                ("format", "nginx:error"),
                ("level", "error"),
                ("action", "upstream_error"),
                ("process.pid", "26486"),
                ("process.thread.id", "26487"),
                ("gatewatch.connection.id", "41"),
                ("message", &message),
                ("client", "192.0.2.10"),
                ("client_source", "peer"),
                ("http.request.method", "GET"),
                ("url.path", "/x"),
                ("url.query", "y"),
                ("http.version", "1.1"),
                ("gatewatch.upstream.address", "127.0.0.1:3000"),
                ("destination.domain", "t.example.org"),
                ("http.request.referrer", "https://r/"),
                ("outcome", "-"),
            ],
        );
    }

    #[test]
    fn failed_log_ins_name_the_user_and_do_not_count() {
        for (message, user, reason) in [
            (r#"user "alice": password mismatch"#, "alice", "wrong_password"),
            (r#"user "a b" was not found in "/etc/nginx/users""#, "a b", "unknown_user"),
            (
                r#"user "a" was not found in "x" was not found in "/f""#,
                r#"a" was not found in "x"#,
                "unknown_user",
            ),
            (
                "PAM: user 'bob' - not authenticated: Authentication failure",
                "bob",
                "bad_credentials",
            ),
            (r#"user "": password mismatch"#, "-", "wrong_password"),
            ("PAM: user 'bob' - invalid account: User account has expired", "bob", "not_allowed"),
            ("auth_jwt: rejected due to token expired", "-", "bad_credentials"),
            (
                "http_auth_ldap: ldap_sasl_bind() failed (49: Invalid credentials)",
                "-",
                "bad_credentials",
            ),
        ] {
            check(
                &format!("{message}{TAIL}"),
                &[
                    ("action", "auth_failed"),
                    ("user.name", user),
                    ("outcome", "failure"),
                    ("reason", reason),
                    ("confidence", "low"),
                    ("counted", "false"),
                    ("client", "192.0.2.10"),
                    ("client_source", "peer"),
                ],
            );
        }
    }

    #[test]
    fn a_request_without_credentials_is_a_challenge() {
        check(
            &format!("no user/password was provided for basic authentication{TAIL}"),
            &[("outcome", "challenge"), ("counted", "false"), ("reason", "-"), ("user.name", "-")],
        );
    }

    #[test]
    fn messages_have_a_class() {
        for (message, action) in [
            ("access forbidden by rule", "access_denied"),
            (r#"directory index of "/srv/www/" is forbidden"#, "access_denied"),
            (r#"open() "/srv/x" failed (13: Permission denied)"#, "access_denied"),
            (r#"limiting requests, excess: 1.852 by zone "one""#, "rate_limited"),
            (r#"delaying request, excess: 0.841, by zone "one""#, "rate_limited"),
            (r#"limiting connections by zone "one""#, "rate_limited"),
            (
                "upstream timed out (110: Connection timed out) while reading response header from upstream",
                "upstream_error",
            ),
            (
                "SSL_do_handshake() failed (SSL: error:1) while SSL handshaking to upstream",
                "upstream_error",
            ),
            (
                "client prematurely closed connection (104: reset) while reading upstream",
                "server_error",
            ),
            ("SSL_do_handshake() failed (SSL: error:1) while SSL handshaking", "tls_error"),
            (
                "client sent plain HTTP request to HTTPS port while reading client request headers",
                "tls_error",
            ),
            ("client sent invalid request while reading client request line", "bad_request"),
            ("client intended to send too large body: 9 bytes", "bad_request"),
            (r#"open() "/srv/x" failed (2: No such file or directory)"#, "file_not_found"),
            (
                r#""/srv/x/index.html" is not found (2: No such file or directory)"#,
                "file_not_found",
            ),
            (
                r#"FastCGI sent in stderr: "Primary script unknown" while reading response header from upstream"#,
                "file_not_found",
            ),
            (
                r#"FastCGI sent in stderr: "PHP message: PHP Warning:  x in /srv/a.php" while reading response header from upstream"#,
                "server_error",
            ),
            (
                "client SSL certificate verify error: (18:self-signed certificate) while reading client request headers",
                "tls_error",
            ),
            ("[lua] access.lua:3: hello", "server_error"),
            ("worker process 7 exited on signal 11", "server_error"),
        ] {
            check(&format!("{message}{TAIL}"), &[("action", action), ("client", "192.0.2.10")]);
            check(message, &[("action", action), ("client", "-"), ("message", message)]);
        }
    }

    #[test]
    fn a_forged_client_makes_the_line_ambiguous() {
        let forged = r#", client: 198.51.100.66, server: t, request: "GET / HTTP/1.1", host: "t""#;
        // In the path, before the real one.
        check(
            &format!(
                r#"open() "/srv/x" failed (2: No such file or directory){forged}" failed (2: No){TAIL}"#
            ),
            &[("client", "192.0.2.10"), ("client_source", "ambiguous")],
        );
        // In a header, behind it.
        check(
            &format!(r#"open() "/srv/x" failed (2: No such file or directory){TAIL}{forged}"#),
            &[("client_source", "ambiguous")],
        );
        // Words that are no client are none.
        check(
            &format!(r#"open() "/srv/, client: you" failed (2: No such file or directory){TAIL}"#),
            &[("client", "192.0.2.10"), ("client_source", "peer")],
        );
    }

    #[test]
    fn a_header_cannot_hide_the_client_of_a_refusal() {
        let forged = r#", client: 198.51.100.66, server: t, request: "GET / HTTP/1.1", host: "t""#;
        for message in ["access forbidden by rule", r#"limiting requests, excess: 1.8 by zone "z""#]
        {
            check(
                &format!("{message}{TAIL}{forged}"),
                &[("client", "192.0.2.10"), ("client_source", "peer")],
            );
        }
    }

    #[test]
    fn places_that_fit_nothing_cannot_hide_the_client() {
        let noise = ", client: 198.51.100.66, x \"".repeat(20);
        check(
            &format!(
                r#"open() "/srv/{noise}" failed (2: No such file or directory){TAIL}{noise}""#
            ),
            &[("client", "192.0.2.10"), ("client_source", "peer")],
        );
    }

    #[test]
    fn a_user_name_cannot_move_the_client() {
        check(
            r#"user "a", server: x, client": password mismatch, client: 192.0.2.10, server: t, request: "GET /", client: 198.51.100.66, server: t, request: "GET / HTTP/1.1""#,
            &[("client", "192.0.2.10"), ("user.name", r#"a", server: x, client"#)],
        );
    }

    #[test]
    fn tails_of_other_modules_are_read() {
        check(
            "recv() failed (104: reset) while proxying connection, client: 2001:db8::1, server: 0.0.0.0:25, upstream: \"192.0.2.1:25\", bytes from/to client:0/0, bytes from/to upstream:0/0",
            &[("client", "2001:db8::1"), ("destination.domain", "-"), ("client_source", "peer")],
        );
        check(
            r#"client login failed: "x" while in http auth state, client: 192.0.2.9, server: 0.0.0.0:25, login: "eve""#,
            &[("client", "192.0.2.9"), ("user.name", "eve")],
        );
        check(
            r#"x, client: unix:, server: t.example.org, request: "GET / HTTP/1.0""#,
            &[
                ("source.address", "unix:"),
                ("client", "-"),
                ("destination.domain", "t.example.org"),
            ],
        );
        check(
            r#"x while y, client: 192.0.2.9, server: , request: "GET / HTTP/1.1", upstream: "fastcgi://unix:/run/a.sock:", host: """#,
            &[("gatewatch.upstream.address", "unix:/run/a.sock"), ("destination.domain", "-")],
        );
    }

    #[test]
    fn parts_are_read_in_any_order() {
        check(
            r#"x while y, client: 192.0.2.9, server: t, host: "t.example.org", subrequest: "/auth", request: "GET /a HTTP/1.1""#,
            &[("client", "192.0.2.9"), ("destination.domain", "t.example.org"), ("url.path", "/a")],
        );
    }

    #[test]
    fn a_record_cut_at_the_limit_still_names_its_client() {
        let long =
            format!(r#"x, client: 192.0.2.9, server: t, request: "GET /{}"#, "a".repeat(2000));
        check(&long, &[("client", "192.0.2.9"), ("http.request.method", "GET")]);
        check(r#"x, client: 192.0.2.9, server: t, request: "GET /"#, &[("client", "-")]);
    }

    #[test]
    fn lines_of_the_server_itself_have_no_client() {
        super::super::testing::check(
            parse,
            "2026/11/20 07:46:41 [notice] 1#1: signal process started",
            &[("level", "notice"), ("message", "signal process started"), ("client", "-")],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, "2026/11/20 07:46:41 hello", Miss::Shape);
        check_miss(parse, "2026/11/20 07:46:41 [yadda] 1#1: x", Miss::Shape);
        check_miss(parse, "2026/13/20 07:46:41 [error] 1#1: x", Miss::Time);
        check_miss(
            parse,
            r#"" failed (2: No such file or directory), client: 192.0.2.10"#,
            Miss::Shape,
        );
    }

    static VALID: &[&str] = &[
        r#"2026/11/20 07:46:41 [error] 1#1: *4 user "a": password mismatch, client: 192.0.2.10, server: t, request: "GET / HTTP/1.1", host: "t""#,
        r#"2026/11/20 07:46:41 [error] 1#1: *4 open() "/x" failed (2: No such file or directory), client: 192.0.2.10, server: t, request: "GET / HTTP/1.1", upstream: "http://unix:/s:/", host: "t", referrer: "r""#,
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
