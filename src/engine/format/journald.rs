//! journald's export in JSON (`journalctl -o json`): the events are those of the same line in
//! syslog.
//!
//! Invariant: host and process id are the fields that journald vouches for, not those the program
//! sent.

use super::wrapper::Wrapper;
use super::{Context, FixedFormat, Miss, auth};
use crate::engine::batch::{Module, Writer};

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: auth::FORMAT.name, module: Module::System, captures: 42, parse };

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    if line.first() != Some(&b'{') {
        return Err(Miss::Shape);
    }
    let mut scratch = Vec::new();
    let envelope = Wrapper::Journald.unwrap(line, cx.times, &mut scratch).ok_or(Miss::Shape)?;
    auth::read(&envelope, cx, out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const LINE: &str = r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1795158016123456","_HOSTNAME":"web1","PRIORITY":"6","SYSLOG_IDENTIFIER":"sshd","_COMM":"sshd","_PID":"911","_UID":"0","MESSAGE":"Failed password for invalid user \"x\" from 192.0.2.7 port 50022 ssh2"}"#;

    #[test]
    fn a_line_of_sshd_is_the_same_event_as_in_syslog() {
        check(
            parse,
            LINE,
            &[
                ("format", "syslog:auth"),
                ("kind", "Auth"),
                ("time", "2026-11-20T07:00:16.123Z"),
                ("host.hostname", "web1"),
                ("process.name", "sshd"),
                ("process.pid", "911"),
                ("user.name", "\"x\""),
                ("client", "192.0.2.7"),
                ("source.port", "50022"),
                ("outcome", "failure"),
                ("counted", "true"),
                ("level", "info"),
            ],
        );
    }

    #[test]
    fn a_message_that_is_no_text_is_a_list_of_bytes() {
        let bytes: Vec<String> = b"Failed password for \xff from 192.0.2.7 port 5 ssh2"
            .iter()
            .map(u8::to_string)
            .collect();
        let message = format!("\"MESSAGE\":[{}]}}", bytes.join(","));
        let at = LINE.find("\"MESSAGE\"").expect("a message");
        check(
            parse,
            &format!("{}{message}", &LINE[..at]),
            &[("user.name", "\u{fffd}"), ("client", "192.0.2.7"), ("counted", "true")],
        );
    }

    #[test]
    fn programs_with_formats_of_their_own_are_read_by_them() {
        let nginx = LINE.replace("\"sshd\"", "\"nginx\"").replace(
            "Failed password for invalid user \\\"x\\\" from 192.0.2.7 port 50022 ssh2",
            "2026/11/20 07:33:00 [error] 5#6: *1 access forbidden by rule, client: 192.0.2.7, server: t",
        );
        check(
            parse,
            &nginx,
            &[
                ("format", "nginx:error"),
                ("time", "2026-11-20T07:33:00.000Z"),
                ("client", "192.0.2.7"),
                ("host.hostname", "web1"),
            ],
        );
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, "{}", Miss::Shape);
        check_miss(parse, r#"{"MESSAGE":"x"}"#, Miss::Shape);
        check_miss(parse, &LINE.replace("1795158016123456", "x"), Miss::Shape);
        check_miss(parse, &LINE.replace("\"MESSAGE\"", "\"MASSAGE\""), Miss::Shape);
        check_miss(
            parse,
            &LINE.replace("Failed password for invalid user", "192.0.2.7 - - [x] GET / HTTP/1.1"),
            Miss::Shape,
        );
    }

    proptest! {
        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(&[LINE])) {
            let _ = read(parse, &line);
        }
    }
}
