//! The envelope of a syslog line: time, host, program, process id, message.
//!
//! Three headers are read, each with or without `<PRI>` before it: `Nov 20 07:33:00 host prog[5]: `
//! (RFC 3164), the same with an ISO time, and RFC 5424.

use super::Miss;
use crate::engine::address::{is_host_name, parse_ip};
use crate::engine::batch::{Field, Level, Writer};
use crate::engine::text::{cut, parse_u64};
use crate::engine::time::{Logged, TimeReader};
use crate::units::Timestamp;

/// What stands around the message; a part that is not there is empty.
pub(super) struct Envelope<'l> {
    pub(super) logged: Logged,
    /// From `<PRI>`.
    pub(super) level: Option<Level>,
    pub(super) host: &'l [u8],
    pub(super) program: &'l [u8],
    pub(super) pid: &'l [u8],
    /// The PAM module that old systems write into the tag: `su(pam_unix)[5]: `.
    pub(super) tag_service: Option<&'l [u8]>,
    pub(super) message: &'l [u8],
}

impl<'l> Envelope<'l> {
    /// Sets what the envelope tells and the message did not; the time, too.
    pub(super) fn complete(&self, out: &mut Writer<'_>) {
        if out.row.time == Timestamp(0) {
            (out.row.time, out.row.zone_minutes) = self.logged;
        }
        for (field, value) in
            [(Field::Hostname, self.host), (Field::Process, self.program), (Field::Pid, self.pid)]
        {
            if !value.is_empty() && !out.has(field) {
                out.set(field, value);
            }
        }
    }

    pub(super) fn read(line: &'l [u8], times: &mut TimeReader) -> Result<Self, Miss> {
        let (level, rest) = priority(line);
        if let Some(rest) = rest.strip_prefix(b"1 ")
            && level.is_some()
        {
            return Self::rfc5424(level, rest, times);
        }
        let (logged, is_iso, rest) = stamp(rest, times)?;
        let mut envelope = Self {
            logged,
            level,
            host: b"",
            program: b"",
            pid: b"",
            tag_service: None,
            message: rest,
        };
        envelope.tagged(rest, is_iso);
        // Many programs begin their lines with an ISO time; what makes it syslog is the tag.
        if is_iso && envelope.program.is_empty() {
            return Err(Miss::Shape);
        }
        // Solaris numbers its messages.
        if let Some(numbered) = envelope.message.strip_prefix(b"[ID ")
            && let Some((_, message)) = cut(numbered, b"] ")
        {
            envelope.message = message;
        }
        Ok(envelope)
    }

    fn rfc5424(level: Option<Level>, rest: &'l [u8], times: &mut TimeReader) -> Result<Self, Miss> {
        let mut words = rest.splitn(6, |byte| *byte == b' ');
        let mut word = || {
            let word = words.next().ok_or(Miss::Shape)?;
            Ok(if word == b"-" { &b""[..] } else { word })
        };
        let (stamp, host, program, pid, _id) = (word()?, word()?, word()?, word()?, word()?);
        let data = words.next().ok_or(Miss::Shape)?;
        let message = after_structured_data(data).ok_or(Miss::Shape)?;
        let logged = times.iso(stamp).ok_or(Miss::Time)?;
        let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
        Ok(Self { logged, level, host, program, pid, tag_service: None, message })
    }

    /// Reads `host tag: message`, and what daemons make of it.
    fn tagged(&mut self, rest: &'l [u8], is_iso: bool) {
        let (first, after) = word(rest);
        // metalog: `[sshd] message`. Behind an ISO time it is the column of some application.
        if !is_iso
            && let Some(inner) = first.strip_prefix(b"[")
            && let Some(program) = inner.strip_suffix(b"]").or_else(|| inner.strip_suffix(b"]:"))
            && is_program(program)
        {
            (self.program, self.message) = (program, after);
            return;
        }
        // Without a host: `sshd[5]: message`.
        if self.tag(first) {
            self.message = after;
            return;
        }
        let is_name = is_host_name(first) && first[0].is_ascii_alphanumeric();
        if !is_name && parse_ip(first).is_none() {
            return;
        }
        (self.host, self.message) = (first, after);
        let (mut second, mut after) = word(after);
        // Some appliances write their host twice.
        if second == first {
            (second, after) = word(after);
        }
        if self.tag(second) {
            self.message = after;
        }
    }

    fn tag(&mut self, word: &'l [u8]) -> bool {
        let Some(tag) = Tag::read(word) else { return false };
        (self.program, self.pid, self.tag_service) = (tag.program, tag.pid, tag.service);
        true
    }
}

/// What a program calls itself in front of its message.
struct Tag<'l> {
    program: &'l [u8],
    pid: &'l [u8],
    service: Option<&'l [u8]>,
}

impl<'l> Tag<'l> {
    /// Reads `prog[5]:`, `prog:`, `prog(pam_unix)[5]:`, and `prog[5]` of programs that put something
    /// else before the colon.
    fn read(word: &'l [u8]) -> Option<Self> {
        let has_pid = word.ends_with(b"]") && word.iter().any(u8::is_ascii_digit);
        let tag = word.strip_suffix(b":").or_else(|| has_pid.then_some(word))?;
        let (name, pid) = match tag.strip_suffix(b"]").and_then(|tag| cut(tag, b"[")) {
            Some((name, pid)) => (name, pid),
            None => (tag, &b""[..]),
        };
        let (program, service) = match name.strip_suffix(b")").and_then(|name| cut(name, b"(")) {
            Some((name, service)) => (name, Some(service)),
            None => (name, None),
        };
        let pid = if pid.iter().all(u8::is_ascii_digit) { pid } else { b"" };
        is_program(program).then_some(Self { program, pid, service })
    }
}

/// The program, its process id and its message, where `text` is `[host ]prog[5]: message`.
pub(super) fn tag(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (first, after) = word(text);
    if let Some(tag) = Tag::read(first) {
        return Some((tag.program, tag.pid, after));
    }
    let (second, after) = word(after);
    let tag = Tag::read(second).filter(|tag| is_host_name(first) && !tag.pid.is_empty())?;
    Some((tag.program, tag.pid, after))
}

fn is_program(name: &[u8]) -> bool {
    let fits = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/' | b'@' | b'+')
    };
    !name.is_empty() && name.len() <= 64 && name.iter().all(fits)
}

/// The next word and what follows the blanks behind it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = memchr::memchr(b' ', text).unwrap_or(text.len());
    // One blank only: those of the message belong to it.
    (&text[..end], &text[(end + 1).min(text.len())..])
}

/// Reads `<PRI>`.
fn priority(line: &[u8]) -> (Option<Level>, &[u8]) {
    let read = || {
        let (digits, rest) = cut(line.strip_prefix(b"<")?, b">")?;
        let value = parse_u64(digits).filter(|value| *value <= 191 && digits.len() <= 3)?;
        Some((Level::from_syslog(value % 8), rest))
    };
    read().unwrap_or((None, line))
}

/// Reads the time and the blank behind it; tells whether it was an ISO time.
fn stamp<'l>(text: &'l [u8], times: &mut TimeReader) -> Result<(Logged, bool, &'l [u8]), Miss> {
    if text.first().is_some_and(u8::is_ascii_digit) {
        let end = memchr::memchr(b' ', text).ok_or(Miss::Shape)?;
        if end < 19 || text[4] != b'-' || text[10] != b'T' {
            return Err(Miss::Shape);
        }
        let logged = times.iso(&text[..end]).ok_or(Miss::Time)?;
        return Ok((logged, true, &text[end + 1..]));
    }
    // `Nov 20 07:33:00 `, `Nov  2 07:33:00 `, and `Nov 2 07:33:00 ` of daemons that do not pad.
    for length in [15, 14] {
        let Some((stamp, rest)) = text.split_at_checked(length) else { continue };
        let Some(rest) = rest.strip_prefix(b" ") else { continue };
        if stamp[3] != b' ' || stamp[length - 3] != b':' || stamp[length - 6] != b':' {
            continue;
        }
        let logged = times.syslog(stamp).ok_or(Miss::Time)?;
        return Ok((logged, false, rest));
    }
    Err(Miss::Shape)
}

/// Skips `-` or `[id name="value"]…` and the blank behind it.
fn after_structured_data(data: &[u8]) -> Option<&[u8]> {
    let mut rest = data;
    if let Some(after) = rest.strip_prefix(b"-") {
        rest = after;
    } else {
        while rest.starts_with(b"[") {
            let (mut in_quotes, mut is_escaped) = (false, false);
            let end = rest.iter().position(|byte| {
                let ends = *byte == b']' && !in_quotes;
                in_quotes ^= *byte == b'"' && !is_escaped;
                is_escaped = *byte == b'\\' && !is_escaped;
                ends
            })?;
            rest = &rest[end + 1..];
        }
    }
    match rest {
        [] => Some(rest),
        [b' ', message @ ..] => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Miss, auth, testing};
    use crate::engine::batch::Writer;

    fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
        (auth::FORMAT.parse)(line, cx, out)
    }

    /// The parts as `time|level|host|program|pid|message`.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let facts = testing::read(parse, line.as_bytes()).expect("a syslog line");
        let names = ["time", "level", "host.hostname", "process.name", "process.pid", "message"];
        let parts = names.map(|name| facts.get(name).map_or("-", String::as_str));
        assert_eq!(expected, parts.join("|"), "{line}");
    }

    #[test]
    fn three_headers_are_read() {
        let expected = "2026-11-20T07:33:00.000Z|info|web1|prog|5|hello  you";
        check("Nov 20 07:33:00 web1 prog[5]: hello  you", expected);
        check("<38>Nov 20 07:33:00 web1 prog[5]: hello  you", expected);
        check("2026-11-20T08:33:00.000000+01:00 web1 prog[5]: hello  you", expected);
        check("<38>1 2026-11-20T07:33:00Z web1 prog 5 - - hello  you", expected);
        check(r#"<38>1 2026-11-20T07:33:00Z web1 prog 5 ID [a b="]\"c"][d] hello  you"#, expected);
        check("<35>Nov  2 07:33:00 web1 prog: x", "2026-11-02T07:33:00.000Z|error|web1|prog|-|x");
        check("Nov 2 07:33:00 web1 prog: x", "2026-11-02T07:33:00.000Z|info|web1|prog|-|x");
    }

    #[test]
    fn odd_tags_are_read() {
        let time = "2026-11-20T07:33:00.000Z|info";
        check("Nov 20 07:33:00 [prog] x y", &format!("{time}|-|prog|-|x y"));
        check("Nov 20 07:33:00 prog[5]: x y", &format!("{time}|-|prog|5|x y"));
        check("Nov 20 07:33:00 web1 web1 prog[5]: x", &format!("{time}|web1|prog|5|x"));
        check("Nov 20 07:33:00 192.0.2.7 prog[5]: x", &format!("{time}|192.0.2.7|prog|5|x"));
        check("Nov 20 07:33:00 web1 prog: [ID 8 auth.info] x", &format!("{time}|web1|prog|-|x"));
        check("Nov 20 07:33:00 web1 prog(pam_unix)[5]: x", &format!("{time}|web1|prog|5|x"));
        check(
            "Nov 20 07:33:00 --- last message ---",
            &format!("{time}|-|-|-|--- last message ---"),
        );
        testing::check_miss(parse, "2026-11-20T07:33:00Z ACCEPT host=x", Miss::Shape);
        check("Nov 20 07:33:00 web1 no tag here", &format!("{time}|web1|-|-|no tag here"));
    }
}
