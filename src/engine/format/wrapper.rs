//! Lines inside lines: what collectors of logs put around a line of the program.
//!
//! A wrapper gives the line inside, and the host, program and time that it tells beside. The line
//! inside is read by any format; what it says itself wins. A wrapper stands in front of a format's
//! name: `docker>combined`.
//!
//! A line that a container runtime cut in parts (`P` of the Container Runtime Interface) is not
//! joined again. Each part is a line of its own, which no format reads, and is kept as such.

use super::envelope::Envelope;
use crate::engine::json::{Keys, Kind, Reader, Value};
use crate::engine::text::parse_u64;
use crate::engine::time::{Logged, TimeReader};
use crate::engine::vocabulary::Level;
use crate::units::Timestamp;

/// What stands around a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wrapper {
    /// Docker's `json-file` driver, and Fluentd: `{"log":"…\n","stream":"stdout","time":"…"}`.
    Docker,
    /// The Container Runtime Interface: `2026-11-20T07:33:00.123456789Z stdout F …`.
    Cri,
    /// The header of syslog, RFC 3164 or RFC 5424.
    Syslog,
    /// `journalctl -o json`.
    Journald,
    /// An object of a log shipper with the whole line in `message`.
    Shipper,
}

impl Wrapper {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Docker, Self::Cri, Self::Syslog, Self::Journald, Self::Shipper];

    /// The name in definitions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Cri => "cri",
            Self::Syslog => "syslog",
            Self::Journald => "journald",
            Self::Shipper => "shipper",
        }
    }

    /// Cuts the wrapper from the front of `docker>combined`.
    pub(super) fn cut(definition: &str) -> (Option<Self>, &str) {
        let cut = definition.split_once('>').and_then(|(name, rest)| {
            let wrapper = Self::ALL.into_iter().find(|wrapper| wrapper.name() == name)?;
            Some((Some(wrapper), rest))
        });
        cut.unwrap_or((None, definition))
    }

    /// Takes the wrapper off. A line whose escapes have to be undone is put into `scratch`.
    pub(super) fn unwrap<'l>(
        self,
        line: &'l [u8],
        times: &mut TimeReader,
        scratch: &'l mut Vec<u8>,
    ) -> Option<Envelope<'l>> {
        match self {
            Self::Docker => OBJECTS[0].unwrap(line, times, scratch),
            Self::Journald => OBJECTS[1].unwrap(line, times, scratch),
            Self::Shipper => OBJECTS[2].unwrap(line, times, scratch),
            Self::Cri => cri(line, times),
            Self::Syslog => Envelope::read(line, times).ok(),
        }
    }
}

/// Reads `<time> stdout F <line>`.
fn cri<'l>(line: &'l [u8], times: &mut TimeReader) -> Option<Envelope<'l>> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let (stamp, stream, tags) = (words.next()?, words.next()?, words.next()?);
    let is_whole = tags == b"F" || tags.starts_with(b"F:");
    if !matches!(stream, b"stdout" | b"stderr") || !is_whole || stamp.get(10) != Some(&b'T') {
        return None;
    }
    let logged = times.iso(stamp)?;
    Some(Envelope { message: words.next()?, ..Envelope::empty(logged) })
}

/// The keys of a wrapper that is an object; of several for one meaning the first in the line.
struct Object {
    line: &'static [&'static [u8]],
    /// One of these must be there.
    needs: &'static [&'static [u8]],
    time: &'static [&'static [u8]],
    host: &'static [&'static [u8]],
    program: &'static [&'static [u8]],
    pid: &'static [&'static [u8]],
}

const OBJECTS: [Object; 3] = [
    Object {
        line: &[b"log"],
        needs: &[b"stream", b"time", b"date"],
        time: &[b"time", b"date"],
        host: &[b"kubernetes.host"],
        program: &[b"kubernetes.container_name"],
        pid: &[],
    },
    Object {
        line: &[b"MESSAGE"],
        needs: &[b"__REALTIME_TIMESTAMP", b"_SOURCE_REALTIME_TIMESTAMP"],
        time: &[b"__REALTIME_TIMESTAMP", b"_SOURCE_REALTIME_TIMESTAMP"],
        host: &[b"_HOSTNAME"],
        program: &[b"SYSLOG_IDENTIFIER", b"_COMM"],
        pid: &[b"_PID", b"SYSLOG_PID"],
    },
    Object {
        line: &[b"message", b"event.original", b"textPayload", b"msg"],
        needs: &[b"@timestamp", b"timestamp", b"time"],
        time: &[b"@timestamp", b"timestamp", b"time"],
        host: &[b"host.name", b"host.hostname", b"hostname", b"host"],
        program: &[b"process.name", b"appname", b"ident"],
        pid: &[b"process.pid", b"procid", b"pid"],
    },
];

impl Object {
    fn unwrap<'l>(
        &self,
        line: &'l [u8],
        times: &mut TimeReader,
        scratch: &'l mut Vec<u8>,
    ) -> Option<Envelope<'l>> {
        let mut envelope = Envelope::empty((Timestamp(0), 0));
        let (mut text, mut is_ours): (Option<Value<'l>>, _) = (None, false);
        let mut reader = Reader::new(line, Keys::Exact).ok()?;
        while let Some(leaf) = reader.next_leaf().ok()? {
            let (path, value) = (leaf.path, leaf.value);
            is_ours |= self.needs.contains(&path);
            if self.line.contains(&path) {
                match value.kind {
                    Kind::Text if text.is_none() => text = Some(value),
                    // journald writes what is no UTF-8 as a list of bytes.
                    Kind::Number => scratch.push(u8::try_from(parse_u64(value.text)?).ok()?),
                    _ => (),
                }
            } else if self.time.contains(&path) && envelope.logged.0 == Timestamp(0) {
                envelope.logged = times.any(value.text)?;
            } else if path == b"PRIORITY" {
                envelope.level = parse_u64(value.text).and_then(Level::from_syslog);
            } else {
                let places = [
                    (self.host, &mut envelope.host),
                    (self.program, &mut envelope.program),
                    (self.pid, &mut envelope.pid),
                ];
                for (keys, place) in places {
                    let rank = |key: &[u8]| keys.iter().position(|known| *known == key);
                    if place.is_empty() && rank(path).is_some() {
                        *place = value.text;
                    }
                }
            }
        }
        if !is_ours {
            return None;
        }
        match text {
            Some(value) if value.escaped => {
                scratch.clear();
                crate::engine::json::unescape(scratch, value.text);
                envelope.message = scratch.trim_ascii_end();
            }
            Some(value) => envelope.message = value.text,
            None if scratch.is_empty() => return None,
            None => envelope.message = scratch,
        }
        Some(envelope)
    }
}

impl Envelope<'_> {
    /// An envelope that tells a time at most.
    fn empty(logged: Logged) -> Self {
        Self {
            logged,
            level: None,
            host: b"",
            program: b"",
            pid: b"",
            tag_service: None,
            message: b"",
        }
    }
}
