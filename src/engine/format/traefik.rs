//! Traefik's access log in its own common format: `192.0.2.7 - alice [20/Nov/2026:07:00:14 +0000]
//! "GET /api HTTP/1.1" 404 19 "referrer" "agent" 12 "router@docker" "http://198.51.100.1:80" 3ms`.
//!
//! Traefik puts quotes around texts and escapes none inside. What it writes itself is read from both
//! ends of the line; where the middle can be read in more than one way, a client has written quotes,
//! and the texts are left out rather than believed.

use memchr::memmem;

use super::capture::{Unit, duration, status};
use super::{Context, FixedFormat, Miss};
use crate::engine::address::{parse_ip, set_client};
use crate::engine::batch::{Field, Module, Stamp, Writer};
use crate::engine::request;
use crate::engine::text::parse_u64;

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::Traefik, captures: 11, parse };

const NAME: &str = "traefik_clf";

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let (middle, tail) = tail(line).ok_or(Miss::Shape)?;
    let blank = memchr::memchr(b' ', line).ok_or(Miss::Shape)?;
    let client = &line[..blank];
    let rest = middle.get(blank..).and_then(|rest| rest.strip_prefix(b" - ")).ok_or(Miss::Shape)?;
    let start = memmem::find(rest, b" [").or_else(|| rest.starts_with(b"[").then_some(0));
    let start = start.ok_or(Miss::Shape)?;
    let texts = memmem::find(&rest[start..], b"] \"").ok_or(Miss::Shape)? + start;
    let time = rest[start..texts].trim_ascii_start();
    let time = time.strip_prefix(b"[").ok_or(Miss::Shape)?;
    (out.row.time, out.row.zone_minutes) = cx.times.clf(time).ok_or(Miss::Time)?;
    parse_ip(client).ok_or(Miss::Client)?;
    set_client(out, client);
    // A second time behind: one of the two is part of a name.
    let is_sure = memmem::find_iter(rest, b"] \"").nth(1).is_none();
    let user = &rest[..start];
    if is_sure && !matches!(user, b"-" | b"") {
        out.set(Field::User, user);
    }
    let texts = &rest[texts + 3..];
    match Texts::read(texts).filter(|_| is_sure) {
        Some(texts) => texts.set(out)?,
        None => out.set(Field::Trailing, texts),
    }
    tail.set(out);
    (out.row.module, out.row.format, out.row.stamp) = (Module::Traefik, NAME, Stamp::Start);
    Ok(())
}

/// What Traefik writes behind the last text of the client.
struct Tail<'l> {
    router: &'l [u8],
    server: &'l [u8],
    millis: &'l [u8],
}

/// Reads `" 12 "router" "server" 3ms` from the end; answers what stands before it, too.
fn tail(line: &[u8]) -> Option<(&[u8], Tail<'_>)> {
    let millis = line.strip_suffix(b"ms")?;
    let blank = memchr::memrchr(b' ', millis)?;
    let (rest, millis) = (&millis[..blank], &millis[blank + 1..]);
    parse_u64(millis)?;
    let (rest, server) = text_at_end(rest)?;
    let (rest, router) = text_at_end(rest)?;
    let blank = memchr::memrchr(b' ', rest)?;
    let count = &rest[blank + 1..];
    if count != b"-" && parse_u64(count).is_none() {
        return None;
    }
    Some((&rest[..blank], Tail { router, server, millis }))
}

/// The text in quotes, or the `-` of old versions, at the end; and what stands before its blank.
fn text_at_end(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(before) = rest.strip_suffix(b" -") {
        return Some((before, b"-"));
    }
    let inner = rest.strip_suffix(b"\"")?;
    let open = memchr::memrchr(b'"', inner)?;
    Some((inner[..open].strip_suffix(b" ")?, &inner[open + 1..]))
}

impl Tail<'_> {
    fn set(&self, out: &mut Writer<'_>) {
        if !matches!(self.router, b"-" | b"") {
            out.label("router", self.router);
        }
        if !matches!(self.server, b"-" | b"") {
            out.set(Field::UpstreamAddress, self.server);
        }
        out.row.duration_ns = duration(Unit::Milliseconds, self.millis);
    }
}

/// Request, status, size, referrer and agent.
struct Texts<'l> {
    request: &'l [u8],
    status: &'l [u8],
    size: &'l [u8],
    referrer: &'l [u8],
    agent: &'l [u8],
}

impl<'l> Texts<'l> {
    /// Reads `GET / HTTP/1.1" 200 12 "referrer" "agent"`, if that is possible in one way only.
    fn read(texts: &'l [u8]) -> Option<Self> {
        let mut answers = memmem::find_iter(texts, b"\" ").filter_map(|at| {
            let (status, rest) = word(&texts[at + 2..])?;
            let (size, rest) = word(rest)?;
            let is_status = status == b"-" || (status.len() == 3 && parse_u64(status).is_some());
            let is_size = size == b"-" || parse_u64(size).is_some();
            (is_status && is_size).then_some((&texts[..at], status, size, rest))
        });
        let (request, status, size, rest) = answers.next()?;
        if answers.next().is_some() {
            return None;
        }
        let (referrer, agent) = headers(rest)?;
        Some(Self { request, status, size, referrer, agent })
    }

    fn set(&self, out: &mut Writer<'_>) -> Result<(), Miss> {
        out.row.status = if self.status == b"-" { 0 } else { status(self.status)? };
        out.row.bytes = if self.size == b"-" { Some(0) } else { parse_u64(self.size) };
        request::split(self.request, out);
        for (field, text) in [(Field::Referrer, self.referrer), (Field::UserAgent, self.agent)] {
            if text != b"-" {
                out.set(field, text);
            }
        }
        Ok(())
    }
}

/// `"referrer" "agent"`, or the `-` of old versions for either.
fn headers(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(agent) = rest.strip_prefix(b"- ") {
        return Some((b"-", text_alone(agent)?));
    }
    if let Some(referrer) = rest.strip_suffix(b" -") {
        return Some((text_alone(referrer)?, b"-"));
    }
    let inner = rest.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut seams = memmem::find_iter(inner, b"\" \"");
    let seam = seams.next()?;
    seams.next().is_none().then(|| (&inner[..seam], &inner[seam + 3..]))
}

fn text_alone(text: &[u8]) -> Option<&[u8]> {
    if text == b"-" { Some(text) } else { text.strip_prefix(b"\"")?.strip_suffix(b"\"") }
}

/// The text before the next blank, and what follows it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = memchr::memchr(b' ', text)?;
    Some((&text[..blank], &text[blank + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const LINE: &str = "192.0.2.7 - alice b [20/Nov/2026:07:00:14 +0000] \"GET /api?x HTTP/1.1\" 401 19 \
         \"https://example.net/\" \"curl/8 \\\" 12 \"web@docker -> leaf@docker\" \"http://198.51.100.1:80\" 3ms";
    const PLAIN: &str = "2001:db8::7 - - [20/Nov/2026:07:00:14 +0000] \"GET / HTTP/2.0\" - - - \"-\" 12 \"-\" - 0ms";

    #[test]
    fn a_line_is_read_from_both_ends() {
        check(
            parse,
            LINE,
            &[
                ("client", "192.0.2.7"),
                ("user.name", "alice b"),
                ("url.path", "/api"),
                ("status", "401"),
                ("bytes", "19"),
                ("http.request.referrer", "https://example.net/"),
                ("user_agent.original", "curl/8 \\"),
                ("labels.router", "web@docker -> leaf@docker"),
                ("gatewatch.upstream.address", "http://198.51.100.1:80"),
                ("duration", "3000000"),
                ("module", "traefik"),
                ("gatewatch.extra", "-"),
            ],
        );
        let expected =
            [("client", "2001:db8::7"), ("status", "-"), ("duration", "0"), ("user.name", "-")];
        check(parse, PLAIN, &expected);
    }

    #[test]
    fn quotes_of_a_client_forge_nothing() {
        let agent = LINE.replace("curl/8", "x\" 200 1 \"-\" \"y\" 1 \"r\" \"s");
        check(parse, &agent, &[("status", "-"), ("url.path", "-"), ("client", "192.0.2.7")]);
        let path = LINE.replace("/api?x", "/\" 200 5 \"-\" \"-\" ");
        check(parse, &path, &[("status", "-"), ("labels.router", "web@docker -> leaf@docker")]);
        let user =
            LINE.replace("alice b", "x [20/Nov/2020:00:00:00 +0000] \"GET /y HTTP/1.1\" 200 1");
        check(parse, &user, &[("status", "-"), ("user.name", "-"), ("url.path", "-")]);
        // Quotes that leave one reading only are part of the text.
        let agent = LINE.replace("curl/8 \\", "a \"quoted\" word");
        check(parse, &agent, &[("status", "401"), ("user_agent.original", "a \"quoted\" word")]);
    }

    #[test]
    fn other_lines_are_refused() {
        let combined = LINE.split(" 12 \"web").next().expect("the front");
        check_miss(parse, combined, Miss::Shape);
        check_miss(parse, &PLAIN.replace("2001:db8::7", "x"), Miss::Client);
        check_miss(parse, &PLAIN.replace("20/Nov", "20/Nev"), Miss::Time);
        check_miss(parse, &PLAIN.replace("0ms", "0s"), Miss::Shape);
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in mutated(&[LINE, PLAIN])) {
            let _ = read(parse, &line);
        }
    }
}
