//! Access logs of Nginx Proxy Manager: `[20/Nov/2026:07:00:01 +0000] - 200 200 - GET https
//! www.example.org "/path" [Client 192.0.2.1] [Length 12] [Gzip -] [Sent-to app] "agent" "referrer"`.
//!
//! Logs of hosts begin with the verdict of the cache and the status of the upstream, which the log of
//! the fallback lacks; which of the bracketed columns are there depends on the version. They are nginx
//! logs: whatever a client sends has its quotes escaped, and brackets of a client stand in quotes.

use super::capture::{Applier, Capture, Escape, Unit};
use super::columns::Columns;
use super::{Context, FixedFormat, Miss};
use crate::engine::batch::{Field, Module, Stamp, Writer};

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::Nginx, captures: 12, parse };

const NAME: &str = "nginx_proxy_manager";

const APPLIER: Applier = Applier {
    escape: Escape::Default,
    module: Module::Nginx,
    stamp: Stamp::End,
    client_is_address: true,
};

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let mut columns = Columns::new(line);
    let time = columns.between(b'[', b']').ok_or(Miss::Shape)?;
    let quote = memchr::memmem::find(columns.rest(), b" \"").ok_or(Miss::Shape)?;
    let (words, rest) = columns.rest().split_at(quote);
    let mut words = words.rsplitn(5, |byte| *byte == b' ');
    let mut word = || words.next().ok_or(Miss::Shape);
    let (host, scheme, method, dash, answers) = (word()?, word()?, word()?, word()?, word()?);
    if dash != b"-" || !matches!(scheme, b"http" | b"https") {
        return Err(Miss::Shape);
    }
    let mut columns = Columns::new(&rest[1..]);
    let target = columns.quoted().ok_or(Miss::Shape)?;
    let mut set = |capture: &Capture, value: &[u8]| APPLIER.apply(capture, value, true, cx, out);
    let mut has_client = false;
    while let Some(column) = columns.between(b'[', b']') {
        let blank = memchr::memchr(b' ', column).ok_or(Miss::Shape)?;
        let value = &column[blank + 1..];
        match &column[..blank] {
            b"Client" => {
                set(&Capture::Client, value)?;
                has_client = true;
            }
            b"Length" => set(&Capture::BodyBytes, value)?,
            b"Sent-to" => set(&Capture::Upstream(Some(Field::UpstreamAddress)), value)?,
            b"Request-Time" | b"Time" => set(&Capture::Duration(Unit::Seconds), value)?,
            b"Gzip" => (),
            _ => return Err(Miss::Shape),
        }
    }
    if !has_client {
        return Err(Miss::Shape);
    }
    set(&Capture::Time(super::capture::TimeForm::Clf), time)?;
    let answered = memchr::memrchr(b' ', answers);
    set(&Capture::Status, &answers[answered.map_or(0, |blank| blank + 1)..])?;
    if let Some(before) = answered.map(|blank| &answers[..blank]) {
        let blank = memchr::memchr(b' ', before).unwrap_or(before.len());
        set(&Capture::Text(Field::CacheStatus), &before[..blank])?;
        set(&Capture::Upstream(Some(Field::UpstreamStatus)), before[blank..].trim_ascii())?;
    }
    set(&Capture::Text(Field::Method), method)?;
    set(&Capture::Text(Field::Scheme), scheme)?;
    set(&Capture::Host, host)?;
    set(&Capture::Target, target)?;
    for capture in [Capture::Text(Field::UserAgent), Capture::Text(Field::Referrer)] {
        set(&capture, columns.quoted().ok_or(Miss::Shape)?)?;
    }
    if !columns.rest().is_empty() {
        out.set(Field::Trailing, columns.rest());
    }
    (out.row.module, out.row.format, out.row.stamp) = (Module::Nginx, NAME, Stamp::End);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const HOST: &str = "[20/Nov/2026:07:00:01 +0000] HIT 502, 200 200 - GET https www.example.org \"/a?b\" \
         [Client 192.0.2.1] [Length 12] [Gzip 2.10] [Sent-to app] \"agent [Client 198.51.100.1]\" \"-\"";
    const FALLBACK: &str = "[20/Nov/2026:07:00:01 +0000] 444 - GET http 203.0.113.1 \"/.env\" \
         [Client 2001:db8::1] [Length 0] [Gzip -] \"agent\" \"https://example.net/\"";

    #[test]
    fn hosts_and_the_fallback_are_read() {
        check(
            parse,
            HOST,
            &[
                ("client", "192.0.2.1"),
                ("status", "200"),
                ("gatewatch.upstream.status", "200"),
                ("gatewatch.upstream.address", "app"),
                ("gatewatch.cache.status", "HIT"),
                ("http.request.method", "GET"),
                ("url.query", "b"),
                ("url.scheme", "https"),
                ("destination.domain", "www.example.org"),
                ("bytes", "12"),
                ("user_agent.original", "agent [Client 198.51.100.1]"),
                ("http.request.referrer", "-"),
            ],
        );
        check(
            parse,
            FALLBACK,
            &[
                ("client", "2001:db8::1"),
                ("status", "444"),
                ("gatewatch.cache.status", "-"),
                ("http.request.referrer", "https://example.net/"),
            ],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, &FALLBACK.replace("[Client 2001:db8::1] ", ""), Miss::Shape);
        check_miss(parse, &FALLBACK.replace("2001:db8::1", "x"), Miss::Client);
        check_miss(parse, &FALLBACK.replace("444", "4444"), Miss::Status);
        check_miss(parse, &FALLBACK.replace("20/Nov", "20/Nev"), Miss::Time);
        check_miss(
            parse,
            "[20/Nov/2026:07:00:01 +0000] a b \"GET / HTTP/1.1\" 200 12",
            Miss::Shape,
        );
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in mutated(&[HOST, FALLBACK])) {
            let _ = read(parse, &line);
        }
    }
}
