//! Lines of JSON or of `key=value` whose keys an operator names: `fields = { client = "remote_ip" }`.
//!
//! The text of such a format is `client=remote_ip` and the like, parted by tabs. A key inside an
//! object is written with dots: `request.ip`.
//!
//! Invariant: only a line with all of the keys that make it a request is read, and none that has
//! one of them twice outside of JSON: there a client may have added it.

use super::super::capture::{Capture, TimeForm, Unit};
use super::keys::What;
use super::written::WrittenJson;
use crate::engine::batch::{Field, Module, Stamp};

/// Between two entries of a definition: what no key has in it.
pub(in super::super) const SEPARATOR: char = '\t';

const NAME: &str = "fields";

/// Longest key, with those of the objects around it.
const KEY_BYTES_MAX: usize = 200;

/// What keys can be mapped to.
const FIELDS: &[(&str, Capture)] = &[
    ("time", Capture::Time(TimeForm::Any)),
    ("client", Capture::Endpoint),
    ("forwarded", Capture::Text(Field::Forwarded)),
    ("user", Capture::User),
    ("served_user", Capture::ServedUser),
    ("request", Capture::Request),
    ("method", Capture::Text(Field::Method)),
    ("url", Capture::Target),
    ("query", Capture::Text(Field::Query)),
    ("protocol", Capture::Protocol),
    ("status", Capture::Status),
    ("bytes", Capture::BodyBytes),
    ("request_bytes", Capture::Number(Field::RequestBytes)),
    ("duration", Capture::Duration(Unit::Guessed)),
    ("duration_s", Capture::Duration(Unit::Seconds)),
    ("duration_ms", Capture::Duration(Unit::Milliseconds)),
    ("duration_us", Capture::Duration(Unit::Microseconds)),
    ("duration_ns", Capture::Duration(Unit::Nanoseconds)),
    ("host", Capture::Host),
    ("scheme", Capture::Text(Field::Scheme)),
    ("referrer", Capture::Text(Field::Referrer)),
    ("user_agent", Capture::Text(Field::UserAgent)),
    ("request_id", Capture::Text(Field::RequestId)),
    ("upstream", Capture::Text(Field::UpstreamAddress)),
    ("hostname", Capture::Text(Field::Hostname)),
    ("pid", Capture::Number(Field::Pid)),
];

/// One of these makes a line a request.
const REQUESTS: [&str; 3] = ["request", "url", "status"];

/// Compiles a definition; the complaint completes "bad fields: …".
pub(in super::super) fn compile(text: &str) -> Result<WrittenJson, String> {
    let mut rows = Vec::new();
    let mut is_request = false;
    for entry in text.split(SEPARATOR).filter(|entry| !entry.is_empty()) {
        let (name, key) = entry.split_once('=').ok_or_else(|| {
            format!("`{entry}` does not say which key it is; write it as `client=remote_ip`")
        })?;
        let Some((_, capture)) = FIELDS.iter().find(|(known, _)| *known == name) else {
            return Err(unknown(name));
        };
        if key.is_empty() || KEY_BYTES_MAX < key.len() || key.contains(char::is_control) {
            return Err(format!("the key for `{name}` is no name of 1 to {KEY_BYTES_MAX} bytes"));
        }
        is_request |= REQUESTS.contains(&name);
        rows.push((key.as_bytes().to_vec(), What::Is(capture.clone())));
    }
    if !is_request {
        return Err(format!("one of {} is needed, to know a request by", REQUESTS.join(", ")));
    }
    WrittenJson::of_keys(NAME, rows, Module::App, Stamp::End)
}

fn unknown(name: &str) -> String {
    let known = || FIELDS.iter().map(|(known, _)| *known);
    match crate::units::nearest(name, known()) {
        Some(near) => format!("`{name}` is no field, did you mean `{near}`?"),
        None => {
            format!("`{name}` is no field; known are {}", known().collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing::{mutated, read};
    use super::super::super::{Context, FormatSet, Miss};
    use super::*;
    use crate::engine::batch::Writer;

    const TEXT: &str = "fields:time=ts\tclient=net.peer\tuser=who\tmethod=verb\turl=what\tstatus=code\tduration_ms=took\tuser_agent=ua";

    const JSON: &str = r#"{"ts":"2026-11-20T07:46:41Z","net":{"peer":"192.0.2.7:50112"},"who":"CORP\\anna","verb":"GET","what":"/x?y=1","code":401,"took":12,"ua":"curl \"8\"","other":[1]}"#;

    const PAIRS: &str = r#"ts=2026-11-20T07:46:41Z level=info net.peer=192.0.2.7:50112 who=CORP\anna verb=GET what="/x?y=1" code=401 took=12 ua="curl \"8\"""#;

    fn parser(
        text: &str,
    ) -> impl FnMut(&[u8], &mut Context<'_>, &mut Writer<'_>) -> Result<(), Miss> {
        let mut set = FormatSet::from_definition(text).expect("sound");
        move |line, cx, out| set.parse(line, cx, out)
    }

    #[test]
    fn keys_are_what_the_operator_says() {
        for line in [JSON, PAIRS] {
            let facts = read(parser(TEXT), line.as_bytes()).expect(line);
            for (name, value) in [
                ("format", "fields"),
                ("time", "2026-11-20T07:46:41.000Z"),
                ("client", "192.0.2.7"),
                ("source.port", "50112"),
                ("user.name", "CORP\\anna"),
                ("http.request.method", "GET"),
                ("url.path", "/x"),
                ("url.query", "y=1"),
                ("status", "401"),
                ("duration", "12000000"),
                ("user_agent.original", "curl \"8\""),
            ] {
                assert_eq!(Some(value), facts.get(name).map(String::as_str), "{name}: {line}");
            }
        }
    }

    #[test]
    fn lines_without_the_keys_and_those_with_two_are_refused() {
        for line in [
            "",
            "plain text",
            "{}",
            &JSON.replace("\"code\"", "\"kode\""),
            &JSON.replace("192.0.2.7:50112", "no host"),
            &PAIRS.replace(" code=401", ""),
            &PAIRS.replace("code=401", "code=4o1"),
            &PAIRS.replace("ts=2026", "ts=x"),
            // What a client has added, whether it stands before the server's own or behind it.
            &format!("{PAIRS} net.peer=198.51.100.66"),
            &format!("code=200 {PAIRS}"),
            &format!("{PAIRS} and words"),
        ] {
            assert!(read(parser(TEXT), line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn lines_inside_lines_are_read() {
        let line = format!("2026-11-20T07:46:41.123456789Z stdout F {PAIRS}");
        let facts = read(parser(TEXT), line.as_bytes()).expect("a line");
        assert_eq!("401", facts["status"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("clinet=ip\tstatus=code", "`clinet` is no field, did you mean `client`?"),
            ("qqqqqqqq=ip", "`qqqqqqqq` is no field; known are time, client"),
            ("status", "`status` does not say which key it is"),
            ("status=", "the key for `status` is no name"),
            ("client=ip", "one of request, url, status is needed"),
            ("", "one of request, url, status is needed"),
        ] {
            let complaint = compile(text).expect_err(text);
            assert!(complaint.starts_with(expected), "{complaint}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in mutated(&[JSON, PAIRS])) {
            let _ = read(parser(TEXT), &line);
        }
    }
}
