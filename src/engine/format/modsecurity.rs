//! What ModSecurity writes into the error logs of Apache and nginx:
//! `ModSecurity: Access denied with code 403 (phase 2). … [id "949110"] … [hostname "h"] [uri "/x"]`.
//!
//! Quotes inside a value are escaped by the module, and what it knows itself stands behind what it
//! has matched.
//!
//! Invariant: a part is only read from its own brackets; the client never comes from here.

use memchr::memmem;

use crate::engine::batch::{Field, Writer};

/// Reads a message of the module; true when it says that the request was refused.
pub(super) fn parse(message: &[u8], out: &mut Writer<'_>) -> bool {
    let Some(text) = message.strip_prefix(b"ModSecurity:") else { return false };
    if !out.has(Field::Code)
        && let Some(id) = memmem::find(text, b"[id \"").and_then(|at| value(&text[at + 5..]))
    {
        out.set(Field::Code, id);
    }
    for (name, field) in [
        (&b"[hostname \""[..], Field::Domain),
        (b"[uri \"", Field::Path),
        (b"[unique_id \"", Field::RequestId),
    ] {
        if !out.has(field)
            && let Some(value) =
                memmem::rfind(text, name).and_then(|at| value(&text[at + name.len()..]))
        {
            out.set(field, value);
        }
    }
    // Old versions name the rule first.
    let mut rest = text.trim_ascii_start();
    while rest.starts_with(b"[") {
        let Some(end) = memmem::find(rest, b"\"] ") else { break };
        rest = rest[end + 3..].trim_ascii_start();
    }
    rest.starts_with(b"Access denied")
}

/// What stands before the closing quote and bracket.
fn value(text: &[u8]) -> Option<&[u8]> {
    let end = memmem::find(text, b"\"]")?;
    (0 < end).then(|| &text[..end])
}

#[cfg(test)]
mod tests {
    use crate::engine::format::testing::check;
    use crate::engine::format::{apache_error, nginx_error};

    const PARTS: &str = r#"[file "/etc/a.conf"] [line "3"] [id "949110"] [data "[id \x225\x22]"] [hostname "www.example.org"] [uri "/x"] [unique_id "Zk1"]"#;
    const EXPECTED: &[(&str, &str)] = &[
        ("client", "192.0.2.7"),
        ("event.code", "949110"),
        ("destination.domain", "www.example.org"),
        ("url.path", "/x"),
        ("http.request.id", "Zk1"),
    ];

    #[test]
    fn parts_are_read_in_both_logs_and_a_refusal_is_known() {
        for (message, action) in [
            (
                format!("ModSecurity: Access denied with code 403 (phase 2). Match. {PARTS}"),
                "access_denied",
            ),
            (
                format!("ModSecurity:  {PARTS} Access denied with code 403 (phase 2). Match."),
                "access_denied",
            ),
            (
                format!("ModSecurity: Warning. Matched \"Access denied\" at ARGS:x. {PARTS}"),
                "server_error",
            ),
        ] {
            let mut expected = EXPECTED.to_vec();
            expected.push(("action", action));
            let both = "[client 192.0.2.7:5] [client 192.0.2.7] ";
            check(
                apache_error::parse,
                &format!(
                    "[Fri Nov 20 07:46:01.3 2026] [:error] [pid 9] {both}{message}, referer: x"
                ),
                &expected,
            );
            check(
                nginx_error::parse,
                &format!(
                    r#"2026/11/20 07:46:41 [error] 5#6: *4 {message}, client: 192.0.2.7, server: www.example.org, request: "GET /x HTTP/1.1""#
                ),
                &expected,
            );
        }
    }
}
