//! Lines that a log holds although no browser sends such requests.

use std::net::IpAddr;

use super::line::{LineWriter, Request};

/// A sort of odd line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Odd {
    /// The first bytes of a TLS handshake, sent to the port without TLS.
    Handshake,
    /// A connection that said nothing.
    Empty,
    /// Quotes, line breaks and control characters, as the server escaped them.
    Escapes,
    /// A target of some kilobytes.
    LongTarget,
}

const HANDSHAKES: [&str; 3] = [
    r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\xA1\x07\xE3k\x1B\x9C2\xD8\x5C",
    r"\x16\x03\x01\x00\xEE\x01\x00\x00\xEA\x03\x03\x8C#\x22\xF0T+\x91\xB7\x00 ",
    r"\x16\x03\x03\x01\xA6\x01\x00\x01\xA2\x03\x03\xDF\x0F\xB2\x86~\xC4\xE9",
];

const AGENTS: [&str; 4] = [
    r"Mozilla/5.0 \x22Sunset Edition\x22 (X11; Linux x86_64) Gecko/20100101 Firefox/142.0",
    r"reader \x5C\x5C share \x5C 1.0\x09(tab)",
    r"\x1B[31mred\x1B[0m browser/1.0",
    r"caf\xC3\xA9-reader/2.0 (\xE6\x9C\xA8)",
];

/// Appends an odd line and answers its status.
pub(super) fn write(
    odd: Odd,
    at: u64,
    client: IpAddr,
    agent: &str,
    detail: u32,
    lines: &mut LineWriter,
    out: &mut Vec<u8>,
) -> u16 {
    let one_of = |texts: &[&'static str]| texts[detail as usize % texts.len()];
    let request = Request { client, version: "HTTP/1.1", bytes: 157, ..Request::default() };
    match odd {
        Odd::Handshake => {
            let request = Request { status: 400, ..request };
            lines.write_raw(at, one_of(&HANDSHAKES), &request, out);
            400
        }
        Odd::Empty => {
            let request = Request { status: 408, bytes: 0, ..request };
            lines.write_raw(at, "-", &request, out);
            408
        }
        Odd::Escapes => {
            let agent = one_of(&AGENTS);
            let target = "/search?q=%22open%20day%22&from=\\x22mail\\x22";
            lines.write(at, &Request { agent, target, ..request }, out);
            200
        }
        Odd::LongTarget => {
            let target = format!("/search?q={}", "compost+".repeat(250 + detail as usize % 250));
            let request = Request { agent, target: &target, status: 414, ..request };
            lines.write(at, &request, out);
            414
        }
    }
}
