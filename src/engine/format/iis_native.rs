//! IIS's own format: `192.0.2.1, -, 11/20/2026, 7:55:20, W3SVC2, WEB1, 192.0.2.9, 4502, 163, 3223,
//! 200, 0, GET, /x.gif, -,`. The columns are always the same, the time is local.
//!
//! Nothing is escaped, so the name of the user and the path may hold commas. What lies between
//! them is what the server writes, from the date to the status; a line in which two places look
//! like that is refused, because one of them was sent by a client.
//!
//! Invariant: client, time and status are never read from what a client sends.

use super::{Context, FixedFormat, Miss};
use crate::engine::address::{parse_ip, set_client};
use crate::engine::batch::{Field, Module, Stamp, Writer};
use crate::engine::request;
use crate::engine::text::parse_u64;

/// The format; its parser is [`parse`].
pub(super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::Iis, captures: 14, parse };

const NAME: &str = "iis_native";

/// Between two columns.
const COMMA: &[u8] = b", ";

/// Columns from the date to the method.
const SERVERS: usize = 11;

/// Columns of a line that are looked at: more than a path of any use has commas.
const COLUMNS_MAX: usize = 256;

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let line = line.trim_ascii_end();
    let line = line.strip_suffix(b",").ok_or(Miss::Shape)?;
    let end = memchr::memmem::find(line, COMMA).ok_or(Miss::Shape)?;
    let client = &line[..end];
    if parse_ip(client).is_none() {
        return Err(Miss::Client);
    }
    let rest = &line[end + 2..];
    let (at, values) = servers_part(rest)?;
    let [date, time, service, computer, address, taken, received, sent, status, win32, method] =
        values;
    let user = &rest[..at - 2];
    let tail = &rest[offset_in(rest, method) + method.len()..];
    let tail = tail.strip_prefix(COMMA).ok_or(Miss::Shape)?;
    // The path was decoded and may hold a comma and a blank; the parameters were not.
    let comma = memchr::memmem::rfind(tail, COMMA).ok_or(Miss::Shape)?;
    let (path, query) = (&tail[..comma], &tail[comma + 2..]);

    let row = &mut out.row;
    (row.module, row.format, row.stamp) = (Module::Iis, NAME, Stamp::End);
    (row.time, row.zone_minutes) = cx.times.iis(date, time).ok_or(Miss::Time)?;
    row.status = status_of(status)?;
    row.duration_ns = parse_u64(taken).and_then(|ms| ms.checked_mul(1_000_000));
    row.bytes = parse_u64(sent);
    set_client(out, client);
    if user != b"-" {
        out.set(Field::User, user);
    }
    out.label("s-sitename", service);
    out.set(Field::Hostname, computer);
    out.set(Field::DestinationIp, address);
    out.set(Field::RequestBytes, received);
    out.set(Field::ResponseBytes, sent);
    out.set(Field::IisWin32Status, win32);
    if method != b"-" {
        out.set(Field::Method, method);
    }
    if !matches!(path, b"" | b"-") {
        let query = Some(query).filter(|query| !matches!(*query, b"" | b"-"));
        request::join_target(path, query, out);
    }
    Ok(())
}

/// Finds the columns that the server writes: where they begin in `rest`, and their values.
fn servers_part(rest: &[u8]) -> Result<(usize, [&[u8]; SERVERS]), Miss> {
    let mut window: [&[u8]; SERVERS] = [b""; SERVERS];
    let (mut found, mut filled, mut start) = (None, 0, 0);
    for _ in 0..COLUMNS_MAX {
        let end = memchr::memmem::find(&rest[start..], COMMA).map(|length| start + length);
        window.rotate_left(1);
        window[SERVERS - 1] = &rest[start..end.unwrap_or(rest.len())];
        filled += 1;
        // The user stands before them.
        if SERVERS < filled && is_servers(&window) && found.replace(window).is_some() {
            return Err(Miss::Shape);
        }
        let Some(end) = end else {
            let window = found.ok_or(Miss::Shape)?;
            return Ok((offset_in(rest, window[0]), window));
        };
        start = end + 2;
    }
    Err(Miss::Shape)
}

/// Where `part` lies in `text`.
fn offset_in(text: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

fn is_servers(values: &[&[u8]; SERVERS]) -> bool {
    let [date, time, service, _, address, numbers @ .., method] = values;
    let is_date = |text: &[u8]| {
        (6..=10).contains(&text.len())
            && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'/')
            && text.iter().filter(|byte| **byte == b'/').count() == 2
    };
    let is_time = |text: &[u8]| {
        (7..=8).contains(&text.len())
            && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b':')
    };
    is_date(date)
        && is_time(time)
        && !service.is_empty()
        && service.iter().all(u8::is_ascii_alphanumeric)
        && parse_ip(address).is_some()
        && numbers.iter().all(|number| parse_u64(number).is_some())
        && !method.is_empty()
        && method.iter().all(u8::is_ascii_graphic)
}

fn status_of(text: &[u8]) -> Result<u16, Miss> {
    match parse_u64(text) {
        Some(0) => Ok(0),
        Some(status @ 100..=999) => Ok(status as u16),
        _ => Err(Miss::Status),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    #[test]
    fn a_line_has_fifteen_columns() {
        check(
            parse,
            "192.0.2.1, CORP\\anna, 11/20/2026, 7:55:20, W3SVC2, WEB1, 192.0.2.9, 4502, 163, 3223, \
             401, 1326, GET, /a.aspx, id=7,",
            &[
                ("time", "2026-11-20T07:55:20.000Z"),
                ("client", "192.0.2.1"),
                ("user.name", "CORP\\anna"),
                ("host.hostname", "WEB1"),
                ("labels.s-sitename", "W3SVC2"),
                ("destination.ip", "192.0.2.9"),
                ("duration", "4502000000"),
                ("http.request.bytes", "163"),
                ("http.response.bytes", "3223"),
                ("status", "401"),
                ("gatewatch.iis.win32_status", "1326"),
                ("http.request.method", "GET"),
                ("url.original", "/a.aspx?id=7"),
                ("url.path", "/a.aspx"),
                ("url.query", "id=7"),
            ],
        );
    }

    #[test]
    fn commas_of_clients_stay_in_their_columns() {
        check(
            parse,
            "192.0.2.1, one, two, 11/20/26, 17:55:20, W3SVC2, WEB1, 192.0.2.9, 1, 2, 3, 200, 0, \
             GET, /a, b, c.gif, -,",
            &[("user.name", "one, two"), ("url.path", "/a, b, c.gif"), ("url.query", "-")],
        );
    }

    #[test]
    fn a_line_with_two_places_for_the_status_is_refused() {
        let part = "11/20/2026, 7:55:20, W3SVC2, WEB1, 192.0.2.9, 1, 2, 3, 200, 0, GET";
        check_miss(parse, &format!("192.0.2.1, -, {part}, {part}, /a, -,"), Miss::Shape);
        check_miss(parse, &format!("192.0.2.1, -, {part}, /a, {part}, -,"), Miss::Shape);
    }

    #[test]
    fn other_lines_are_refused() {
        let line = "192.0.2.1, -, 11/20/2026, 7:55:20, W3SVC2, WEB1, 192.0.2.9, 1, 2, 3, 200, 0, \
                    GET, /a, -,";
        check(parse, line, &[("status", "200")]);
        check_miss(parse, &line[..line.len() - 1], Miss::Shape);
        check_miss(parse, &line.replace("192.0.2.1,", "localhost,"), Miss::Client);
        check_miss(parse, &line.replace("11/20", "20/11"), Miss::Time);
        check_miss(parse, &line.replace(" 200,", " 42,"), Miss::Status);
        check_miss(parse, &line.replace(" 1, 2,", " 1, x,"), Miss::Shape);
        check_miss(parse, "192.0.2.1, -,", Miss::Shape);
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, &line.replace("/a", &", ".repeat(60_000)), Miss::Shape);
    }

    const LINES: &[&str] = &[
        "192.0.2.1, -, 11/20/2026, 7:55:20, W3SVC2, WEB1, 192.0.2.9, 1, 2, 3, 200, 0, GET, /a, -,",
        "2001:db8::1, a, b, 11/20/26, 17:55:20, W3SVC2, , 192.0.2.9, 1, 2, 3, 0, 0, -, -, -,",
    ];

    proptest! {
        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(LINES)) {
            let _ = read(parse, &line);
        }

        #[test]
        fn any_user_name_leaves_client_and_status_as_they_are(user in "[^\\x00-\\x1f]{1,60}") {
            let line = format!(
                "192.0.2.1, {user}, 11/20/2026, 7:55:20, W3SVC2, WEB1, 192.0.2.9, 1, 2, 3, 401, 0, GET, /a, -,"
            );
            let facts = read(parse, line.as_bytes()).expect("a line that is read");
            prop_assert_eq!("192.0.2.1", &facts["client"]);
            prop_assert_eq!("401", &facts["status"]);
        }
    }
}
