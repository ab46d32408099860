//! Logs of applications that are not syslog: a time in one of many shapes, columns, a message, or
//! `key=value` throughout. Only log-ins are understood; any other line is an event of action
//! `auth_info` with its level and message.
//!
//! Invariant: this is the last resort. A line that syslog or an access log would have is refused,
//! and a line without a date is only read where it tells of a log-in, which then does not count:
//! a line break in what a client sent makes such lines.

use memchr::memmem;

use super::super::envelope::Envelope;
use super::super::{Context, FixedFormat, LAST_RESORT, Miss};
use super::grammar::{Address, address_at};
use super::pairs::pairs;
use super::peer::Peer;
use super::{columns, in_columns};
use crate::engine::batch::{Action, Field, Kind, Level, Module, Writer};
use crate::engine::stamp;
use crate::engine::time::{Logged, TimeReader};

/// The format; the time is all that is sure to be read.
pub(in super::super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::App, captures: LAST_RESORT, parse };

const NAME: &str = "app:log";

/// How far into the line the time may begin, and how many places are tried.
const HEAD: usize = 96;
const PLACES: usize = 32;

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let text = after_priority(line).trim_ascii();
    if matches!(text.first(), None | Some(b'{' | b'#')) || has_request_line(text) {
        return Err(Miss::Shape);
    }
    if Envelope::read(line, cx.times).is_ok() {
        return Err(Miss::Shape);
    }
    let head = Head::find(text, cx.times);
    let message = head.as_ref().map_or_else(|| after_clock(text), |head| head.message);
    let row = &mut out.row;
    (row.kind, row.module, row.format) = (Kind::Auth, Module::App, NAME);
    row.action = Action::AuthInfo;
    if let Some(head) = &head {
        (row.time, row.zone_minutes) = head.logged;
        row.level = head.level.unwrap_or_default();
        if !head.client.text.is_empty() {
            Peer { address: head.client.text, port: head.client.port }.set(out);
        }
    } else {
        row.level = columns::find_level(message).unwrap_or_default();
    }
    match pairs(text) {
        Some(pairs) => {
            let told = pairs.get(b"msg").or_else(|| pairs.get(b"message"));
            out.set(Field::Message, told.unwrap_or(message));
            if let Some(level) = pairs.get(b"level").and_then(columns::level) {
                out.row.level = level;
            }
            in_columns(text, out);
        }
        None => {
            out.set(Field::Message, message);
            in_columns(message, out);
        }
    }
    match &mut out.row.auth {
        None if head.as_ref().is_some_and(|head| !head.is_access) && !is_access(message) => Ok(()),
        None => Err(Miss::Shape),
        Some(_) if head.is_some() => Ok(()),
        Some(_) if out.row.client.is_none() => Err(Miss::Client),
        Some(auth) => {
            auth.counted = false;
            Ok(())
        }
    }
}

/// Skips `<PRI>` of appliances that put nothing else of syslog before their lines.
fn after_priority(line: &[u8]) -> &[u8] {
    let rest = || {
        let rest = line.strip_prefix(b"<")?;
        let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
        rest[..end].iter().all(u8::is_ascii_digit).then(|| &rest[end + 1..])
    };
    rest().unwrap_or(line)
}

/// A request line in quotes and its status: the line is one of an access log.
fn has_request_line(text: &[u8]) -> bool {
    memmem::find_iter(text, b" HTTP/").any(|at| {
        let rest = &text[at + b" HTTP/".len()..];
        let version = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
        matches!(&rest[version.count()..], [b'"', b' ', b'0'..=b'9' | b'-', ..])
    })
}

/// A method and a status, each a word of its own: an access log that some other format should
/// read, unless it tells of a log-in.
fn is_access(text: &[u8]) -> bool {
    const METHODS: [&[u8]; 8] =
        [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT"];
    let words = || text.split(|byte| matches!(byte, b' ' | b'"' | b'|')).take(64);
    let is_status = |word: &[u8]| matches!(word, [b'1'..=b'5', b, c] if b.is_ascii_digit() && c.is_ascii_digit());
    words().any(|word| METHODS.contains(&word)) && words().any(is_status)
}

/// `07:33:00.123 `: a time without a date is no time, and not a part of the message either.
fn after_clock(text: &[u8]) -> &[u8] {
    let (first, rest) = text.split_at(memchr::memchr(b' ', text).unwrap_or(text.len()));
    let is_clock = first.len() >= 8
        && first.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b','));
    if is_clock { rest.trim_ascii() } else { text }
}

/// The start of a line, up to the message.
struct Head<'l> {
    logged: Logged,
    level: Option<Level>,
    /// The column of the client, where one stands before the time.
    client: Address<'l>,
    message: &'l [u8],
    /// `] "` behind the time, as in all descendants of the Common Log Format.
    is_access: bool,
}

impl<'l> Head<'l> {
    /// Finds the first time in the columns at the start of the line.
    fn find(text: &'l [u8], times: &mut TimeReader) -> Option<Self> {
        let is_border = |byte: u8| matches!(byte, b' ' | b'[' | b'|' | b'=' | b'"' | b'(' | b'>');
        let places = (0..text.len().min(HEAD)).filter(|at| {
            let before = at.checked_sub(1).map(|before| text[before]);
            before.is_none_or(is_border) && (text[*at].is_ascii_alphanumeric() || text[*at] == b'@')
        });
        for at in places.take(PLACES) {
            let Some((logged, length)) = stamp::at_start(&text[at..], times) else { continue };
            let (before, behind) = (&text[..at], &text[at + length..]);
            // A bare number is a time where something says so.
            let is_number = !text[at..at + length].iter().any(|byte| matches!(byte, b':' | b'@'));
            if is_number && !matches!(before, [] | [.., b'[' | b'=' | b'(']) {
                continue;
            }
            if matches!(behind, [byte, ..] if byte.is_ascii_alphanumeric())
                || matches!(behind, [b'.', byte, ..] if byte.is_ascii_digit())
            {
                continue;
            }
            return Some(Self::new(logged, text, before, behind));
        }
        None
    }

    fn new(logged: Logged, text: &'l [u8], before: &'l [u8], behind: &'l [u8]) -> Self {
        let is_mark = |byte: &u8| matches!(byte, b']' | b'"' | b')' | b':' | b',' | b'|' | b' ');
        let marks = behind.iter().take_while(|byte| is_mark(byte)).count();
        // A time in the middle of the message is a part of it.
        let message = if columns::is_only(before) { &behind[marks..] } else { text };
        let level = columns::find_level(before).or_else(|| columns::find_level(message));
        let is_open = |byte: &u8| matches!(byte, b' ' | b'[' | b'-' | b'|');
        let address = address_at(before).filter(|it| before[it.len..].iter().all(is_open));
        let is_access = before.ends_with(b"- [") && behind.starts_with(b"] \"");
        Self { logged, level, client: address.unwrap_or_default(), message, is_access }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    #[test]
    fn a_log_in_is_read_in_any_envelope() {
        for line in [
            "2026-11-20 07:00:01,000 WARN [main] Login failed for user bob from 192.0.2.7",
            "[20-Nov-2026 07:00:01 +0000]: Login failed for user bob from 192.0.2.7",
            "[Nov 20 07:00:01] WARN: Login failed for user bob from 192.0.2.7",
            r#"time="2026-11-20T07:00:01Z" level=warn msg="login failed" user=bob ip=192.0.2.7"#,
            "<188>date=2026-11-20 time=07:00:01 level=warning action=login status=failed srcip=192.0.2.7 user=bob",
            "192.0.2.7 2026-11-20 07:00:01 UTC [5] WARN login failed for user bob",
            "type=USER_LOGIN msg=audit(1795158001.000:5): pid=1 msg='op=login acct=\"bob\" addr=192.0.2.7 level=WARN res=failed'",
        ] {
            check(
                parse,
                line,
                &[
                    ("time", "2026-11-20T07:00:01.000Z"),
                    ("outcome", "failure"),
                    ("client", "192.0.2.7"),
                    ("user.name", "bob"),
                    ("counted", "true"),
                    ("module", "app"),
                    ("kind", "Auth"),
                ],
            );
        }
    }

    #[test]
    fn other_lines_keep_level_and_message() {
        check(
            parse,
            "2026-11-20 07:00:01.5 [ERROR] disk is full",
            &[
                ("action", "auth_info"),
                ("level", "error"),
                ("message", "[ERROR] disk is full"),
                ("outcome", "-"),
                ("client", "-"),
            ],
        );
        check(
            parse,
            r#"level=debug ts=2026-11-20T07:00:01Z msg="all is well" n=5"#,
            &[("action", "auth_info"), ("level", "debug"), ("message", "all is well")],
        );
    }

    #[test]
    fn a_line_without_a_date_never_counts() {
        let told = [("outcome", "failure"), ("client", "192.0.2.7"), ("counted", "false")];
        check(parse, "WARNING: login failed for bob from 192.0.2.7", &told);
        check(parse, "07:00:01.123 [main] WARN x.Y - login failed for bob from 192.0.2.7", &told);
        check_miss(parse, "WARNING: login failed for bob", Miss::Shape);
        check_miss(parse, "WARNING: all is well, 192.0.2.7", Miss::Shape);
    }

    #[test]
    fn lines_of_other_formats_are_refused() {
        for line in [
            "",
            "# Fields: x",
            r#"{"time":"2026-11-20T07:00:01Z","msg":"login failed"}"#,
            r#"192.0.2.7 - - [20/Nov/2026:07:00:01 +0000] "GET / HTTP/1.1" 200 5 extra"#,
            r#"192.0.2.7 - - [20/Nov/2026:07:00:01 +0000] "-" 400 0"#,
            "2026-11-20 07:00:01 192.0.2.1 GET / - 80 - 192.0.2.7 - 200 0 0 5",
            "Nov 20 07:00:01 web1 sshd[5]: Failed password for bob from 192.0.2.7 port 5 ssh2",
            "<38>1 2026-11-20T07:00:01Z web1 sshd 5 - - x",
        ] {
            check_miss(parse, line, Miss::Shape);
        }
    }

    static VALID: &[&str] = &[
        "2026-11-20 07:00:01,000 WARN [main] Login failed for user bob from 192.0.2.7",
        "[2026-11-20 07:00:01] NOTICE[5] chan_sip.c: Registration from '\"1\" <sip:1@x>' failed for '192.0.2.7:5060' - Wrong password",
        "time=\"2026-11-20T07:00:01Z\" level=warn msg=\"login failed\" user=bob remote_ip=192.0.2.7",
        "Fri Nov 20 07:00:01 2026 [pid 2] [bob] FAIL LOGIN: Client \"2001:db8::7\"",
        "2026-11-20 07:00:01 dovecot_login authenticator failed for (x) [192.0.2.7]:53: 535 Incorrect authentication data (set_id=bob)",
    ];

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            start in "(2026-11-20 07:00:01 )?(login failed |from |user=)?",
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

        #[test]
        fn no_name_moves_the_blame(name in "[a-z0-9 .:='\"\\[\\]()@-]{0,40}( from | ip=|, IP: |@)?(203\\.0\\.113\\.66)?[a-z '\"\\]:]{0,10}") {
            let line = format!("2026-11-20 07:00:01 WARN login failed for user {name} from 192.0.2.7");
            if let Ok(facts) = read(parse, line.as_bytes()) {
                let is_counted = facts.get("counted").is_some_and(|counted| counted == "true");
                let is_sure = facts["client_source"] != "ambiguous";
                let client = facts.get("client").map(String::as_str);
                prop_assert!(!(is_counted && is_sure) || client == Some("192.0.2.7"), "{line}\n{facts:?}");
            }
        }
    }
}
