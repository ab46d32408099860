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

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::{FormatSet, detect, testing};
    use super::*;

    const ACCESS: &str =
        r#"192.0.2.7 - anna [20/Nov/2026:07:00:06 +0000] "GET /a HTTP/1.1" 200 210 "-" "curl/8""#;

    fn times() -> TimeReader {
        TimeReader::new(TimeZone::UTC, Timestamp::from_secs(1_795_160_801))
    }

    fn docker(line: &str) -> String {
        let text = serde_json::to_string(&format!("{line}\n")).expect("text");
        format!(r#"{{"log":{text},"stream":"stdout","time":"2026-11-20T07:00:09.123456789Z"}}"#)
    }

    fn cri(line: &str) -> String {
        format!("2026-11-20T07:00:09.123456789Z stdout F {line}")
    }

    fn syslog(line: &str) -> String {
        format!("<190>Nov 20 07:00:09 web1 nginx[7]: {line}")
    }

    fn journald(line: &str) -> String {
        let text = serde_json::to_string(line).expect("text");
        format!(
            r#"{{"__REALTIME_TIMESTAMP":"1795158009000000","_HOSTNAME":"web1","SYSLOG_IDENTIFIER":"nginx","_PID":"7","MESSAGE":{text}}}"#
        )
    }

    fn shipper(line: &str) -> String {
        let text = serde_json::to_string(line).expect("text");
        format!(
            r#"{{"@timestamp":"2026-11-20T07:00:09.000Z","host":{{"name":"web1"}},"message":{text}}}"#
        )
    }

    type Wrap = fn(&str) -> String;

    const WRAPPERS: [(&str, Wrap); 5] = [
        ("docker", docker),
        ("cri", cri),
        ("syslog", syslog),
        ("journald", journald),
        ("shipper", shipper),
    ];

    #[track_caller]
    fn read(definition: &str, line: &str, expected: &[(&str, &str)]) {
        let mut set = FormatSet::from_definition(definition).expect("a sound definition");
        let facts = testing::read(|line, cx, out| set.parse(line, cx, out), line.as_bytes());
        let facts = facts.unwrap_or_else(|miss| panic!("{definition}: {miss:?}: {line}"));
        for (name, value) in expected {
            let actual = facts.get(*name).map_or("-", String::as_str);
            assert_eq!(*value, actual, "{definition}: {name} of {line}\n{facts:#?}");
        }
    }

    const EXPECTED: [(&str, &str); 7] = [
        ("format", "combined"),
        ("time", "2026-11-20T07:00:06.000Z"),
        ("client", "192.0.2.7"),
        ("user.name", "anna"),
        ("url.path", "/a"),
        ("user_agent.original", "curl/8"),
        ("status", "200"),
    ];

    #[test]
    fn the_wrapper_of_a_file_is_found_out() {
        for (name, wrap) in WRAPPERS {
            let line = wrap(ACCESS);
            let definition = detect(line.as_bytes(), &mut times());
            assert_eq!(format!("auto:{name}>combined"), definition, "{line}");
            read(&definition, &line, &EXPECTED);
        }
    }

    #[test]
    fn an_odd_line_is_read_wrapped_or_not() {
        for (name, wrap) in WRAPPERS {
            let line = wrap(ACCESS);
            read(&format!("auto:{name}>combined"), ACCESS, &EXPECTED);
            read(&format!("{name}>combined"), &line, &EXPECTED);
            // Any wrapper around a format that was named.
            read("combined", &line, &EXPECTED);
            if name != "shipper" {
                read("auto:combined", &line, &EXPECTED);
            }
        }
    }

    #[test]
    fn what_the_wrapper_tells_is_kept() {
        let place = [("host.hostname", "web1"), ("process.name", "nginx"), ("process.pid", "7")];
        read("auto:syslog>combined", &syslog(ACCESS), &place);
        read("auto:journald>combined", &journald(ACCESS), &place);
    }

    #[test]
    fn the_time_of_the_wrapper_is_used_where_the_line_has_none() {
        let definition = "written:$remote_addr $status";
        for (name, wrap) in WRAPPERS {
            let line = wrap("192.0.2.7 200");
            let mut set = FormatSet::from_definition(definition).expect("a sound definition");
            let facts = testing::read(|line, cx, out| set.parse(line, cx, out), line.as_bytes());
            let time = facts.expect(name)["time"].clone();
            assert!(time.starts_with("2026-11-20T07:00:09."), "{name}: {time}");
        }
    }

    #[test]
    fn json_inside_a_wrapper_is_read_by_its_own_format() {
        let caddy = r#"{"level":"info","ts":1795158011.25,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"192.0.2.7","remote_port":"5","proto":"HTTP/2.0","method":"GET","host":"t","uri":"/a","headers":{}},"duration":0.1,"size":9,"status":200}"#;
        for (name, wrap) in WRAPPERS {
            let line = wrap(caddy);
            let definition = detect(line.as_bytes(), &mut times());
            read(&definition, &line, &[("format", "caddy:access"), ("client", "192.0.2.7")]);
            assert!(!definition.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_part_of_a_line_is_not_taken_for_a_whole_one() {
        let mut set = FormatSet::from_definition("auto:cri>combined").expect("sound");
        let line = cri(ACCESS).replace(" F ", " P ");
        assert!(testing::read(|line, cx, out| set.parse(line, cx, out), line.as_bytes()).is_err());
    }
}
