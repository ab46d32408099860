//! Events as messages: a header ([`Header`]), the event, and what tells one from the next.
//!
//! Invariant: a message has neither a line feed nor a NUL and is never longer than the limit. An event that is too
//! long gives up fields before it is encoded; what is encoded is never cut.

use super::header::{Header, Subject};
use super::{Chosen, Rendered};
use crate::engine::batch::Kind;
use crate::engine::detect::Alert;
use crate::engine::render::{Encoder, OriginEncoder, Record, Shrink, level_of};
use crate::store::DeadLetter;
use crate::units::Timestamp;

/// Writes messages.
#[derive(Debug)]
pub(super) struct MessageWriter {
    encoder: Encoder,
    header: Header,
    /// Longest message in bytes, without its framing.
    max: usize,
    framing: Mark,
    scratch: Vec<u8>,
}

/// What tells one message from the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    /// Nothing: each message travels alone.
    None,
    /// A line feed behind it.
    LineFeed,
    /// A zero byte behind it.
    Nul,
    /// Its length before it.
    Length,
}

impl MessageWriter {
    pub(super) fn new(encoder: Encoder, header: Header, max: usize, framing: Mark) -> Self {
        Self { encoder, header, max, framing, scratch: Vec::new() }
    }

    /// Writes the events of `batch` from number `from` on until `out` is full; returns the number
    /// of the first event that was not written.
    pub(super) fn render(
        &mut self,
        chosen: Chosen<'_>,
        from: usize,
        created: Timestamp,
        out: &mut Rendered,
    ) -> usize {
        let origin = &chosen.batch().origin;
        let host = self.header.host(&origin.host);
        let encoder = self.encoder.open(origin);
        let mut message = std::mem::take(&mut self.scratch);
        let mut next = from;
        for event in chosen.events(from) {
            if out.is_full() {
                break;
            }
            next += 1;
            let (mut shrunk, mut fits) = (false, true);
            for record in encoder.records(&event) {
                let Some(shrink) = self.fit(&encoder, &record, created, &host, &mut message) else {
                    fits = false;
                    continue;
                };
                shrunk |= shrink != Shrink::NONE;
                self.append(&message, out);
                out.end_message();
            }
            match fits {
                true => out.events += 1,
                false => out.reject(&event, &self.too_long()),
            }
            out.shrunk += u64::from(shrunk);
        }
        self.scratch = message;
        next
    }

    /// Writes one transition of an alert that was raised on `host`.
    pub(super) fn render_alert(&mut self, alert: &Alert, host: &str, out: &mut Rendered) {
        let mut message = std::mem::take(&mut self.scratch);
        message.clear();
        let (severity, time) = (alert.severity.syslog(), alert.at);
        let host = &self.header.host(host);
        let subject = Subject { severity, time, host, id: "alert", auth: false };
        self.header.begin(subject, &mut message);
        let header = message.len();
        let mut shrink = Shrink::NONE;
        self.finish_alert(alert, shrink, &mut message);
        while self.max < message.len()
            && let Some(next) = shrink.next()
        {
            shrink = next;
            message.truncate(header);
            self.finish_alert(alert, shrink, &mut message);
        }
        if message.len() <= self.max {
            self.append(&message, out);
            out.end_message();
            out.alerts += 1;
            out.shrunk += u64::from(shrink != Shrink::NONE);
        } else {
            let (event_id, body) = (alert.id.clone(), message.clone());
            let reason = self.too_long();
            out.rejections.push(DeadLetter { event_id, reason, body, ..DeadLetter::default() });
        }
        self.scratch = message;
    }

    /// Everything behind the beginning of the header.
    fn finish_alert(&self, alert: &Alert, shrink: Shrink, message: &mut Vec<u8>) {
        if self.header.has_own() {
            self.encoder.alert_parameters(alert, shrink, message);
        }
        self.header.end(message);
        self.encoder.render_alert(alert, shrink, message);
    }

    fn too_long(&self) -> String {
        format!("longer than a message may be: {} bytes", self.max)
    }

    /// Makes the message with as much of the event as fits; says how much had to go. `None` when
    /// even the least is too long.
    fn fit(
        &self,
        encoder: &OriginEncoder<'_>,
        record: &Record<'_>,
        created: Timestamp,
        host: &str,
        message: &mut Vec<u8>,
    ) -> Option<Shrink> {
        message.clear();
        let row = record.event.row();
        let id = match row.kind {
            Kind::Access => "access",
            Kind::ServerError => "error",
            Kind::Auth => "auth",
            Kind::ParseFailure => "parse_error",
        };
        let (severity, auth) = (level_of(row).syslog(), row.auth.is_some());
        self.header.begin(Subject { severity, time: row.time, host, id, auth }, message);
        let header = message.len();
        let mut shrink = Shrink::NONE;
        loop {
            if self.header.has_own() {
                encoder.parameters(record, created, shrink, message);
            }
            self.header.end(message);
            encoder.render_shrunk(record, created, shrink, message);
            if message.len() <= self.max {
                return Some(shrink);
            }
            message.truncate(header);
            shrink = shrink.next()?;
        }
    }

    fn append(&self, message: &[u8], out: &mut Rendered) {
        match self.framing {
            Mark::None => out.bytes.extend_from_slice(message),
            Mark::LineFeed => append_ended(message, b'\n', &mut out.bytes),
            Mark::Nul => append_ended(message, 0, &mut out.bytes),
            Mark::Length => {
                let length = itoa::Buffer::new().format(message.len()).to_owned();
                out.bytes.extend_from_slice(length.as_bytes());
                out.bytes.push(b' ');
                out.bytes.extend_from_slice(message);
            }
        }
    }
}

fn append_ended(message: &[u8], end: u8, out: &mut Vec<u8>) {
    // One within a message would make two of it, the second one forged.
    assert!(memchr::memchr(end, message).is_none(), "a message does not hold its end");
    out.extend_from_slice(message);
    out.push(end);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::config::Facility;
    use super::super::header::{HeaderForm, HeaderSettings, StructuredData};
    use super::*;
    use crate::engine::batch::EventBatch;
    use crate::engine::batch::{Auth, AuthMethod, AuthOutcome, Confidence, Field, Level};
    use crate::engine::render::{Agent, Encoding};
    use crate::sink::fixture;

    const CREATED: Timestamp = Timestamp::from_ms(1_795_160_801_120);

    fn render(batch: &EventBatch, max: usize, framing: Mark) -> Rendered {
        rendered(batch, Encoding::Ecs, max, framing)
    }

    fn rendered(batch: &EventBatch, encoding: Encoding, max: usize, framing: Mark) -> Rendered {
        written(batch, encoding, max, framing, None)
    }

    fn written(
        batch: &EventBatch,
        encoding: Encoding,
        max: usize,
        framing: Mark,
        sd_id: Option<&str>,
    ) -> Rendered {
        let encoder = Encoder::new(encoding, &Agent::default(), false);
        let header = Header::new(&HeaderSettings {
            form: HeaderForm::Rfc5424,
            facility: Facility::Local0,
            auth_facility: None,
            app_name: "gatewatch",
            pid: 812,
            version: "",
            data: sd_id.map_or(StructuredData::None, |_| StructuredData::Fields),
            sd_id,
            bom: false,
            zone: jiff::tz::TimeZone::UTC,
            ipv6_host: true,
            tagged: false,
        });
        let mut writer = MessageWriter::new(encoder, header, max, framing);
        let mut out = Rendered::default();
        let rows: Vec<u32> = (0..batch.len() as u32).collect();
        let next = writer.render(Chosen::new(batch, &rows), 0, CREATED, &mut out);
        assert_eq!(batch.len(), next);
        out
    }

    #[test]
    fn a_message_has_the_header_of_rfc_5424() {
        let batch = fixture::batch(&["one"], |_, writer| {
            writer.row.time = Timestamp::from_ms(1_795_160_801_000);
            writer.row.level = Level::Notice;
        });
        let text = String::from_utf8(render(&batch, 8000, Mark::LineFeed).bytes).expect("UTF-8");
        let expected = "<133>1 2026-11-20T07:46:41.000Z web1.example.org gatewatch 812 access - \
                        {\"@timestamp\":\"2026-11-20T07:46:41.000Z\"";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("}\n"));
    }

    #[test]
    fn priority_and_message_id_follow_the_event() {
        let check = |kind: Kind, level: Level, failed: bool, expected: &str| {
            let batch = fixture::batch(&["x"], |_, writer| {
                writer.row.kind = kind;
                writer.row.level = level;
                writer.row.auth = failed.then_some(Auth {
                    outcome: AuthOutcome::Failure,
                    reason: None,
                    method: AuthMethod::Password,
                    confidence: Confidence::High,
                    counted: true,
                });
            });
            let text = render(&batch, 8000, Mark::None).bytes;
            let text = String::from_utf8(text).expect("UTF-8");
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(expected, format!("{} {}", words[0], words[5]));
        };
        check(Kind::Access, Level::Info, false, "<134>1 access");
        check(Kind::Access, Level::Error, false, "<131>1 access");
        check(Kind::Auth, Level::Info, true, "<132>1 auth");
        check(Kind::ServerError, Level::Emergency, false, "<128>1 error");
        check(Kind::ParseFailure, Level::Warn, false, "<132>1 parse_error");
    }

    #[test]
    fn octet_counting_says_the_length_of_each_message() {
        let batch = fixture::batch(&["one", "two\u{e9}"], |line, writer| {
            writer.set(Field::User, line);
        });
        let bytes = render(&batch, 8000, Mark::Length).bytes;
        let mut rest = bytes.as_slice();
        for _ in 0..2 {
            let blank = rest.iter().position(|byte| *byte == b' ').expect("a length");
            let length = crate::engine::text::parse_u64(&rest[..blank]).expect("digits") as usize;
            let message = &rest[blank + 1..blank + 1 + length];
            assert!(message.starts_with(b"<134>1 ") && message.ends_with(b"}"));
            rest = &rest[blank + 1 + length..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn a_long_event_is_shortened_and_still_json() {
        let batch = fixture::batch(&["x"], |_, writer| {
            writer.set(Field::Target, &[b'/'; 9000]);
            writer.set(Field::Path, &[b'\x01'; 9000]);
            writer.set(Field::UserAgent, &[b'a'; 9000]);
        });
        for max in [8000, 2048, 1400] {
            let out = render(&batch, max, Mark::None);
            assert_eq!((1, 0), (out.shrunk, out.rejections.len()));
            assert!(out.bytes.len() <= max);
            let json = out.bytes.iter().position(|byte| *byte == b'{').expect("JSON");
            let event: serde_json::Value =
                serde_json::from_slice(&out.bytes[json..]).expect("JSON");
            assert!(event["gatewatch"]["truncated"].is_array());
        }
    }

    #[test]
    fn values_of_structured_data_cannot_end_it() {
        let batch = fixture::batch(&["x"], |_, writer| {
            writer.row.status = 401;
            writer.set(Field::Scheme, b"https");
            writer.set(Field::Method, b"GET");
            writer.set(Field::Target, b"/a]b?x=\"y\"\\z\n");
            writer.set(Field::Domain, b"a.b");
            writer.set(Field::User, &[b'u'; 300]);
        });
        let out = written(&batch, Encoding::Ecs, 8000, Mark::LineFeed, Some("site@1"));
        let text = String::from_utf8(out.bytes).expect("UTF-8");
        let (_, own) = text.split_once("][site@1 ").expect("an element of one's own");
        let (own, rest) = own.split_once("\"] {").expect("its end");
        assert!(
            own.contains(r#"/a\]b?x=\"y\"\\z "#) && own.contains(" httpStatus=\"401\""),
            "{own}"
        );
        assert!(rest.starts_with("\"@timestamp\""), "{rest}");
        // What is cut is cut there, too: the whole message stays below the limit.
        let short = written(&batch, Encoding::Ecs, 1400, Mark::None, Some("site@1"));
        assert!(short.bytes.len() <= 1400 && short.rejections.is_empty());
        let values =
            fixture::batch(&["x"], |_, writer| writer.set(Field::Method, b"]\"\\\0\x7f\xff"));
        let out = written(&values, Encoding::Ecs, 8000, Mark::Nul, Some("site@1"));
        let text = String::from_utf8(out.bytes).expect("UTF-8");
        assert!(text.contains(r#" requestMethod="\]\"\\  \\xFF""#), "{text}");
    }

    #[test]
    fn an_event_that_cannot_fit_is_counted_and_the_next_one_goes_on() {
        let batch = fixture::batch(&["one", "two"], |_, _| ());
        let out = render(&batch, 100, Mark::None);
        assert_eq!((2, 0), (out.rejections.len(), out.bytes.len()));
    }

    proptest! {
        /// Whatever is in a line, a receiver finds the messages that were written, in each framing.
        #[test]
        fn a_receiver_finds_the_messages_that_were_written(
            values in vec(vec(any::<u8>(), 0..80), 1..5),
            encoding in proptest::sample::select(
                &[Encoding::Ecs, Encoding::Cef, Encoding::Leef, Encoding::Gelf, Encoding::Text][..],
            ),
        ) {
            let lines: Vec<String> = (0..values.len()).map(|n| n.to_string()).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let batch = fixture::batch(&lines, |line, writer| {
                let number = crate::engine::text::parse_u64(line).expect("a number") as usize;
                writer.set(Field::User, &values[number]);
                writer.set(Field::Target, &values[number]);
                writer.set(Field::UserAgent, &values[number]);
            });
            let single = rendered(&batch, encoding, 8000, Mark::None);
            let expected: Vec<&[u8]> = single.messages().collect();
            for mark in [Mark::LineFeed, Mark::Nul, Mark::Length] {
                let stream = rendered(&batch, encoding, 8000, mark).bytes;
                prop_assert_eq!(&expected, &found(&stream, mark));
            }
        }
    }

    /// The messages that a receiver finds in `stream`.
    fn found(stream: &[u8], mark: Mark) -> Vec<&[u8]> {
        let end = match mark {
            Mark::LineFeed => b'\n',
            Mark::Nul => 0,
            Mark::Length | Mark::None => {
                let mut rest = stream;
                let mut messages = Vec::new();
                while let Some(blank) = memchr::memchr(b' ', rest) {
                    let length = crate::engine::text::parse_u64(&rest[..blank]).expect("a count");
                    let (message, next) = rest[blank + 1..].split_at(length as usize);
                    messages.push(message);
                    rest = next;
                }
                return messages;
            }
        };
        let whole = stream.strip_suffix(&[end]).expect("the last one is ended, too");
        whole.split(|byte| *byte == end).collect()
    }
}
