//! Requests as servers of applications log them on their own: uWSGI, Django's `runserver`, Gin and
//! Rails. What Gunicorn, Werkzeug, Uvicorn and Puma write is a relative of the common format.
//!
//! None of them escapes all that a client sends, so each line is read from the side on which the
//! server has written the last word, and a line that can be read in two ways is refused.
//!
//! Invariant: client, time and status are never read from what a client sends.

use super::capture::{Unit, duration, status};
use super::{Context, FixedFormat, Miss};
use crate::engine::address::set_client;
use crate::engine::batch::{ClientSource, Field, Module, Stamp, Writer};
use crate::engine::request;
use crate::engine::text::{cut, parse_u64, unescape};
use crate::engine::time::{Logged, TimeReader};

/// uWSGI: `[pid: 7|app: 0|req: 1/1] 192.0.2.7 () {40 vars in 600 bytes} [Fri Nov 20 07:46:41 2026]
/// GET /x => generated 12 bytes in 3 msecs (HTTP/1.1 200) 2 headers in 80 bytes (1 switches on core
/// 0)`.
pub(super) const UWSGI: FixedFormat =
    FixedFormat { name: "uwsgi", module: Module::App, captures: 9, parse: uwsgi };

/// Django's `runserver`: `[20/Nov/2026 07:46:41] "GET /x HTTP/1.1" 200 12`.
pub(super) const DJANGO: FixedFormat =
    FixedFormat { name: "django", module: Module::App, captures: 5, parse: django };

/// Gin: `[GIN] 2026/11/20 - 07:46:41 | 200 |     12.3µs |       192.0.2.7 | GET      "/x"`.
pub(super) const GIN: FixedFormat =
    FixedFormat { name: "gin", module: Module::App, captures: 6, parse: gin };

/// Rails: `Started GET "/x" for 192.0.2.7 at 2026-11-20 07:46:41 +0000`, with the head of Ruby's
/// logger or without. How the request ended is told by another line, which names nobody.
pub(super) const RAILS: FixedFormat =
    FixedFormat { name: "rails", module: Module::App, captures: 5, parse: rails };

/// Places of a line of uWSGI that are looked at for the end of the user's name.
const PLACES_MAX: usize = 64;

fn uwsgi(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let line = match line.strip_prefix(b"{address space usage: ") {
        Some(rest) => &rest[memchr::memmem::find(rest, b"[pid: ").ok_or(Miss::Shape)?..],
        None => line,
    };
    let (pid, rest) = uwsgi_head(line).ok_or(Miss::Shape)?;
    let (client, rest) = cut(rest, b" (").ok_or(Miss::Shape)?;
    // The last arrow is the server's own: nothing of the client stands behind it but the protocol.
    let arrow = memchr::memmem::rfind(rest, b" => generated ").ok_or(Miss::Shape)?;
    let answer = Answer::read(&rest[arrow + 14..]).ok_or(Miss::Shape)?;
    let (user, stamp, asked) = uwsgi_middle(&rest[..arrow]).ok_or(Miss::Shape)?;
    let (method, target) = cut(asked, b" ").ok_or(Miss::Shape)?;
    if !is_method(method) {
        return Err(Miss::Shape);
    }
    begin(out, UWSGI.name, cx.times.ctime(stamp))?;
    out.row.stamp = Stamp::Start;
    out.row.status = status(answer.status)?;
    // Behind a socket without addresses there is none.
    if !client.is_empty() {
        set_address(client, out)?;
    }
    out.row.bytes = parse_u64(answer.bytes);
    out.row.duration_ns = duration(answer.unit, answer.taken);
    out.set(Field::Pid, pid);
    if !user.is_empty() {
        out.set(Field::User, user);
    }
    out.set(Field::Method, method);
    request::split_target(target, out);
    request::set_version(answer.protocol, out);
    Ok(())
}

/// Cuts `[pid: 7|app: 0|req: 1/1] ` from the front; the process and what follows.
fn uwsgi_head(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (pid, rest) = cut(line.strip_prefix(b"[pid: ")?, b"|app: ")?;
    let (app, rest) = cut(rest, b"|req: ")?;
    let (count, rest) = cut(rest, b"] ")?;
    let (of_app, of_all) = cut(count, b"/")?;
    let app = app.strip_prefix(b"-").unwrap_or(app);
    let are_numbers = [pid, app, of_app, of_all].into_iter().all(|one| parse_u64(one).is_some());
    are_numbers.then_some((pid, rest))
}

/// User, time and request of `user) {40 vars in 600 bytes} [time] GET /x`. Both the user and the
/// target may look like what stands between them; then nobody knows.
fn uwsgi_middle(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut found = None;
    for at in memchr::memmem::find_iter(text, b") {").take(PLACES_MAX) {
        let Some((stamp, asked)) = uwsgi_counts(&text[at + 3..]) else { continue };
        if found.replace((&text[..at], stamp, asked)).is_some() {
            return None;
        }
    }
    found
}

/// Time and request of `40 vars in 600 bytes} [Fri Nov 20 07:46:41 2026] GET /x`.
fn uwsgi_counts(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (vars, rest) = cut(text, b" vars in ")?;
    let (bytes, rest) = cut(rest, b" bytes} [")?;
    let (stamp, rest) = rest.split_at_checked(24)?;
    let are_numbers = parse_u64(vars).is_some() && parse_u64(bytes).is_some();
    are_numbers.then_some((stamp, rest.strip_prefix(b"] ")?))
}

/// What uWSGI says about its answer.
struct Answer<'l> {
    bytes: &'l [u8],
    taken: &'l [u8],
    unit: Unit,
    protocol: &'l [u8],
    status: &'l [u8],
}

impl<'l> Answer<'l> {
    /// Reads `12 bytes in 3 msecs (HTTP/1.1 200) 2 headers in 80 bytes (1 switches on core 0)`.
    fn read(text: &'l [u8]) -> Option<Self> {
        let (bytes, rest) = cut(text, b" bytes in ")?;
        let (taken, rest) = cut(rest, b" ")?;
        let (unit, rest) = match (rest.strip_prefix(b"msecs "), rest.strip_prefix(b"micros ")) {
            (Some(rest), _) => (Unit::Milliseconds, rest),
            (_, Some(rest)) => (Unit::Microseconds, rest),
            _ => return None,
        };
        let rest = match rest.strip_prefix(b"via ") {
            Some(via) => cut(via, b"() ").filter(|(how, _)| how.is_ascii() && how.len() < 16)?.1,
            None => rest,
        };
        let (protocol, rest) = cut(rest.strip_prefix(b"(")?, b" ")?;
        let (status, rest) = cut(rest, b") ")?;
        let (headers, rest) = cut(rest, b" headers in ")?;
        let (head, rest) = cut(rest, b" bytes (")?;
        let (switches, core) = cut(rest.strip_suffix(b")")?, b" switches on core ")?;
        let numbers = [bytes, taken, headers, head, switches, core];
        let are_numbers = numbers.into_iter().all(|number| parse_u64(number).is_some());
        are_numbers.then_some(Self { bytes, taken, unit, protocol, status })
    }
}

fn django(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let (stamp, rest) =
        line.strip_prefix(b"[").and_then(|rest| rest.split_at_checked(20)).ok_or(Miss::Shape)?;
    let asked = rest.strip_prefix(b"] \"").ok_or(Miss::Shape)?;
    // No quote stands behind the request's own.
    let quote = memchr::memrchr(b'"', asked).ok_or(Miss::Shape)?;
    let answer = asked[quote + 1..].strip_prefix(b" ").ok_or(Miss::Shape)?;
    let (code, bytes) = cut(answer, b" ").ok_or(Miss::Shape)?;
    if stamp[11] != b' ' || (bytes != b"-" && parse_u64(bytes).is_none()) {
        return Err(Miss::Shape);
    }
    let mut clf = [0; 20];
    clf.copy_from_slice(stamp);
    clf[11] = b':';
    begin(out, DJANGO.name, cx.times.clf(&clf))?;
    out.row.status = status(code)?;
    out.row.bytes = parse_u64(bytes);
    request::split(&asked[..quote], out);
    Ok(())
}

fn gin(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let rest = line.strip_prefix(b"[GIN] ").ok_or(Miss::Shape)?;
    // What a client sends is the last column only.
    let mut columns =
        rest.splitn(5, |byte| *byte == b'|').map(|text| uncoloured(text).trim_ascii());
    let mut column = || columns.next().ok_or(Miss::Shape);
    let (stamp, code, taken, client, asked) =
        (column()?, column()?, column()?, column()?, column()?);
    let (date, clock) = cut(stamp, b" - ").ok_or(Miss::Shape)?;
    let (method, target) = cut(asked, b" ").ok_or(Miss::Shape)?;
    let target = uncoloured(target.trim_ascii_start()).trim_ascii_start();
    if !is_method(method) || (date.len(), clock.len()) != (10, 8) {
        return Err(Miss::Shape);
    }
    let mut time = [b' '; 19];
    time[..10].copy_from_slice(date);
    time[11..].copy_from_slice(clock);
    begin(out, GIN.name, cx.times.nginx_error(&time))?;
    out.row.status = status(code)?;
    out.row.duration_ns = Some(go_duration(taken).ok_or(Miss::Shape)?);
    set_address(client, out)?;
    out.row.client_source = ClientSource::Server;
    out.set(Field::Method, method);
    match target {
        [b'"', inner @ .., b'"'] if memchr::memchr(b'\\', inner).is_some() => {
            let mut plain = Vec::with_capacity(inner.len());
            unescape(&mut plain, inner);
            request::split_target(&plain, out);
        }
        // Before version 1.6 there were no quotes.
        [b'"', inner @ .., b'"'] | inner @ [b'/', ..] => request::split_target(inner, out),
        _ => return Err(Miss::Shape),
    }
    Ok(())
}

/// Without the colours of a terminal at either end.
fn uncoloured(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\x1b[0m").unwrap_or(text);
    match text.strip_prefix(b"\x1b[") {
        Some(rest) => match rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';')) {
            Some(end) if rest[end] == b'm' => &rest[end + 1..],
            _ => text,
        },
        None => text,
    }
}

/// `12.3µs`, `1.5s`, `1h2m3s`.
fn go_duration(text: &[u8]) -> Option<u64> {
    let (mut rest, mut sum) = (text, 0u64);
    for (unit, seconds) in [(b'h', 3600), (b'm', 60)] {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if rest.get(digits) == Some(&unit) && rest.get(digits + 1).is_none_or(u8::is_ascii_digit) {
            let part = parse_u64(&rest[..digits])?.checked_mul(seconds * 1_000_000_000)?;
            (sum, rest) = (sum.checked_add(part)?, &rest[digits + 1..]);
        }
    }
    if rest.is_empty() && 0 < sum {
        return Some(sum);
    }
    let has_unit = rest.last().is_some_and(u8::is_ascii_alphabetic);
    let part = if has_unit { duration(Unit::Seconds, rest) } else { None };
    sum.checked_add(part?)
}

fn rails(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let (pid, message) = ruby_head(line, cx.times);
    let message = without_tags(message).strip_prefix(b"Started ").ok_or(Miss::Shape)?;
    let (method, rest) = cut(message, b" \"").ok_or(Miss::Shape)?;
    // The target is not escaped, but neither an address nor a time has a quote in it.
    let quote = memchr::memrchr(b'"', rest).ok_or(Miss::Shape)?;
    let tail = rest[quote + 1..].strip_prefix(b" for ").ok_or(Miss::Shape)?;
    let (client, stamp) = cut(tail, b" at ").ok_or(Miss::Shape)?;
    if !is_method(method) || stamp.len() != 25 {
        return Err(Miss::Shape);
    }
    begin(out, RAILS.name, cx.times.iso(stamp))?;
    out.row.stamp = Stamp::Start;
    set_address(client, out)?;
    out.row.client_source = ClientSource::Server;
    if let Some(pid) = pid {
        out.set(Field::Pid, pid);
    }
    out.set(Field::Method, method);
    request::split_target(&rest[..quote], out);
    Ok(())
}

/// Cuts `I, [2026-11-20T07:46:41.123456 #7]  INFO -- : ` from the front, if it is there.
fn ruby_head<'l>(line: &'l [u8], times: &mut TimeReader) -> (Option<&'l [u8]>, &'l [u8]) {
    let mut read = || {
        let [b'A'..=b'Z', b',', b' ', b'[', rest @ ..] = line else { return None };
        let (head, rest) = cut(rest, b"]")?;
        let (stamp, pid) = cut(head, b" #")?;
        let (level, rest) = cut(rest, b" -- ")?;
        let (program, message) = cut(rest, b": ")?;
        let is_word = |text: &[u8]| text.iter().all(u8::is_ascii_alphanumeric);
        times.iso(stamp)?;
        let fits = parse_u64(pid).is_some() && is_word(level.trim_ascii()) && is_word(program);
        fits.then_some((Some(pid), message))
    };
    read().unwrap_or((None, line))
}

/// Without `[tag] ` in front: the number of the request and the like. One that has other signs in it
/// may be what a client sent, and stays.
fn without_tags(message: &[u8]) -> &[u8] {
    let mut rest = message;
    while let Some((tag, after)) = rest.strip_prefix(b"[").and_then(|rest| cut(rest, b"] ")) {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_@.:/".contains(byte);
        if !tag.iter().all(fits) {
            break;
        }
        rest = after;
    }
    rest
}

fn begin(out: &mut Writer<'_>, format: &'static str, logged: Option<Logged>) -> Result<(), Miss> {
    let row = &mut out.row;
    (row.module, row.format, row.stamp) = (Module::App, format, Stamp::End);
    (row.time, row.zone_minutes) = logged.ok_or(Miss::Time)?;
    Ok(())
}

fn set_address(client: &[u8], out: &mut Writer<'_>) -> Result<(), Miss> {
    set_client(out, client);
    out.row.client.map(drop).ok_or(Miss::Client)
}

fn is_method(method: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_');
    !method.is_empty() && method.len() <= 32 && method.iter().all(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const UWSGI_LINE: &str = "[pid: 7|app: 0|req: 3/9] 192.0.2.7 (anna) {40 vars in 600 bytes} [Fri Nov 20 07:46:41 2026] GET /x?y=1 => generated 12 bytes in 3 msecs (HTTP/1.1 200) 2 headers in 80 bytes (1 switches on core 0)";
    const DJANGO_LINE: &str = r#"[20/Nov/2026 07:46:41] "GET /x?y=1 HTTP/1.1" 404 12"#;
    const GIN_LINE: &str =
        r#"[GIN] 2026/11/20 - 07:46:41 | 401 |      12.3µs |       192.0.2.7 | GET      "/x?y=1""#;
    const RAILS_LINE: &str = r#"I, [2026-11-20T07:46:41.123456 #7]  INFO -- : [0b1c2d3e-0000-4000-8000-00000000000a] Started GET "/x?y=1" for 192.0.2.7 at 2026-11-20 08:46:41 +0100"#;

    const LINES: &[&str] = &[UWSGI_LINE, DJANGO_LINE, GIN_LINE, RAILS_LINE];

    const FACTS: [(&str, &str); 5] = [
        ("time", "2026-11-20T07:46:41.000Z"),
        ("kind", "Access"),
        ("http.request.method", "GET"),
        ("url.path", "/x"),
        ("url.query", "y=1"),
    ];

    #[test]
    fn the_lines_of_each_are_read() {
        let parsers: [(super::super::testing::Parse, &str); 4] =
            [(uwsgi, UWSGI_LINE), (django, DJANGO_LINE), (gin, GIN_LINE), (rails, RAILS_LINE)];
        for (parse, line) in parsers {
            check(parse, line, &FACTS);
        }
        check(
            uwsgi,
            UWSGI_LINE,
            &[
                ("client", "192.0.2.7"),
                ("user.name", "anna"),
                ("status", "200"),
                ("bytes", "12"),
                ("duration", "3000000"),
                ("process.pid", "7"),
                ("http.version", "1.1"),
            ],
        );
        check(django, DJANGO_LINE, &[("status", "404"), ("bytes", "12"), ("client", "-")]);
        let facts = [("status", "401"), ("client", "192.0.2.7"), ("client_source", "server")];
        check(gin, GIN_LINE, &facts);
        check(gin, GIN_LINE, &[("duration", "12300")]);
        let facts =
            [("client", "192.0.2.7"), ("status", "-"), ("process.pid", "7"), ("zone", "60")];
        check(rails, RAILS_LINE, &facts);
    }

    #[test]
    fn what_may_be_otherwise_is_read_too() {
        let line = UWSGI_LINE.replace("anna", "").replace("3 msecs ", "3 micros via sendfile() ");
        check(uwsgi, &line, &[("user.name", "-"), ("duration", "3000")]);
        let line =
            format!("{{address space usage: 1 bytes/0MB}} {{rss usage: 2 bytes/0MB}} {UWSGI_LINE}");
        check(uwsgi, &line.replace("192.0.2.7", ""), &[("client", "-"), ("status", "200")]);
        check(django, &DJANGO_LINE.replace(" 12", " -"), &[("status", "404"), ("bytes", "-")]);
        for (duration, expected) in
            [("1m2s", "62000000000"), ("1h0m1.5s", "3601500000000"), ("0s", "0")]
        {
            check(gin, &GIN_LINE.replace("12.3µs", duration), &[("duration", expected)]);
        }
        check(gin, &GIN_LINE.replace('"', ""), &FACTS);
        let coloured = "[GIN] 2026/11/20 - 07:46:41 |\x1b[97;42m 200 \x1b[0m|  1ms |  192.0.2.7 |\x1b[97;44m GET     \x1b[0m \"/x?y=1\"";
        check(gin, coloured, &FACTS);
        check(gin, &GIN_LINE.replace("/x", r#"/x\"z"#), &[("url.path", "/x\"z")]);
        let bare = &RAILS_LINE[RAILS_LINE.find("Started").expect("it is there")..];
        check(rails, bare, &FACTS);
        check(rails, &format!("[a1] [web.1] {bare}"), &FACTS);
    }

    #[test]
    fn what_a_client_sends_is_no_client_status_or_time() {
        let forged = "/x => generated 9 bytes in 9 msecs (HTTP/1.1 500) 2 headers in 80 bytes (1 switches on core 0)";
        let facts = [("status", "200"), ("client", "192.0.2.7"), ("bytes", "12")];
        check(uwsgi, &UWSGI_LINE.replace("/x", forged), &facts);
        let forged = "a) {1 vars in 2 bytes} [Sat Nov 21 07:46:41 2026] POST /y";
        check_miss(uwsgi, &UWSGI_LINE.replace("anna", forged), Miss::Shape);
        check_miss(uwsgi, &UWSGI_LINE.replace("/x", &format!("/x ({forged}")), Miss::Shape);
        let forged = r#"/x HTTP/1.1" 200 12 "#;
        check(django, &DJANGO_LINE.replace("/x", forged), &[("status", "404")]);
        let forged = r#"/x" | 200 | 1ms | 198.51.100.66 | GET "/y"#;
        check(gin, &GIN_LINE.replace("/x", forged), &[("status", "401"), ("client", "192.0.2.7")]);
        let forged = r#"/x" for 198.51.100.66 at 2026-11-20 07:00:00 +0000 "#;
        let facts = [("client", "192.0.2.7"), ("time", "2026-11-20T07:46:41.000Z")];
        check(rails, &RAILS_LINE.replace("/x", forged), &facts);
    }

    #[test]
    fn other_lines_are_refused() {
        for (parse, line) in [
            (uwsgi as super::super::testing::Parse, "[pid: 7|app: 0|req: 3/9] spawned".to_owned()),
            (uwsgi, UWSGI_LINE.replace("{40", "{x")),
            (uwsgi, UWSGI_LINE.replace("core 0)", "core 0) ")),
            (django, DJANGO_LINE.replace("] \"", "] ")),
            (django, r#"[20/Nov/2026 07:46:41] code 400, message Bad request"#.to_owned()),
            (gin, GIN_LINE.replace("[GIN]", "[GIN-debug]")),
            (gin, GIN_LINE.replace("12.3µs", "12.3")),
            (rails, RAILS_LINE.replace("Started", "Completed")),
            (rails, RAILS_LINE.replace(" +0100", "")),
        ] {
            check_miss(parse, &line, Miss::Shape);
        }
        check_miss(uwsgi, &UWSGI_LINE.replace("Nov", "Nev"), Miss::Time);
        check_miss(uwsgi, &UWSGI_LINE.replace(" 200)", " 20)"), Miss::Status);
        check_miss(uwsgi, &UWSGI_LINE.replace("192.0.2.7", "x"), Miss::Client);
        check_miss(django, &DJANGO_LINE.replace("Nov", "Nev"), Miss::Time);
        check_miss(django, &DJANGO_LINE.replace("404", "4o4"), Miss::Status);
        check_miss(gin, &GIN_LINE.replace("/11/", "/13/"), Miss::Time);
        check_miss(gin, &GIN_LINE.replace("401", "4"), Miss::Status);
        check_miss(gin, &GIN_LINE.replace("192.0.2.7", "web"), Miss::Client);
        check_miss(rails, &RAILS_LINE.replace("-20 08", "-32 08"), Miss::Time);
        check_miss(rails, &RAILS_LINE.replace("192.0.2.7", "web"), Miss::Client);
    }

    proptest! {
        #[test]
        fn no_line_makes_them_panic(line in mutated(LINES)) {
            for parse in [uwsgi, django, gin, rails] {
                let _ = read(parse, &line);
            }
        }
    }
}
