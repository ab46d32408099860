//! One request as a line of the `combined` format.

use std::io::Write as _;
use std::net::IpAddr;

use crate::units::{Timestamp, civil_from_days};

/// What a line says, apart from its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'r> {
    pub(super) client: IpAddr,
    /// Number of the member whose password came along, if one did.
    pub(super) member: Option<u32>,
    pub(super) method: &'static str,
    pub(super) target: &'r str,
    pub(super) version: &'static str,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) referrer: &'r str,
    pub(super) agent: &'r str,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self {
            client: IpAddr::from([192, 0, 2, 1]),
            member: None,
            method: "GET",
            target: "/",
            version: "HTTP/2.0",
            status: 200,
            bytes: 0,
            referrer: "-",
            agent: "-",
        }
    }
}

/// Writes lines; keeps the text of the second it wrote last.
#[derive(Debug)]
pub(super) struct LineWriter {
    second: u64,
    /// ` [20/Nov/2026:07:46:41 +0000] "`, empty before the first line.
    time: Vec<u8>,
}

impl LineWriter {
    pub(super) fn new() -> Self {
        Self { second: 0, time: Vec::new() }
    }

    /// Appends `request` as it was logged `at` (milliseconds since 1970), with a line feed.
    #[inline]
    pub(super) fn write(&mut self, at: u64, request: &Request<'_>, out: &mut Vec<u8>) {
        self.begin(at, request.client, request.member, out);
        for text in [request.method, " ", request.target, " ", request.version] {
            out.extend_from_slice(text.as_bytes());
        }
        self.end(request, out);
    }

    /// Appends a line whose request is `raw`, as the server escaped it.
    pub(super) fn write_raw(
        &mut self,
        at: u64,
        raw: &str,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) {
        self.begin(at, request.client, request.member, out);
        out.extend_from_slice(raw.as_bytes());
        self.end(request, out);
    }

    /// Appends a line that ends in the middle of its target: the disk was full, or the power gone.
    pub(super) fn write_cut(&mut self, at: u64, request: &Request<'_>, out: &mut Vec<u8>) {
        self.begin(at, request.client, request.member, out);
        out.extend_from_slice(request.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(&request.target.as_bytes()[..request.target.len().div_ceil(2)]);
        out.push(b'\n');
    }

    fn begin(&mut self, at: u64, client: IpAddr, member: Option<u32>, out: &mut Vec<u8>) {
        push_address(client, out);
        out.extend_from_slice(b" - ");
        match member {
            Some(number) => push_member(number, out),
            None => out.push(b'-'),
        }
        if self.second != at / 1000 || self.time.is_empty() {
            self.second = at / 1000;
            self.time = time_text(Timestamp::from_ms(at));
        }
        out.extend_from_slice(&self.time);
    }

    fn end(&self, request: &Request<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\" ");
        push_number(u64::from(request.status), out);
        out.push(b' ');
        push_number(request.bytes, out);
        for text in [" \"", request.referrer, "\" \"", request.agent, "\"\n"] {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn time_text(time: Timestamp) -> Vec<u8> {
    let seconds = time.secs();
    let (year, month, day) = civil_from_days((seconds / 86_400).cast_signed());
    let month = MONTHS[month as usize - 1];
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!(" [{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000] \"").into_bytes()
}

/// Appends the name of a member: `member017`.
pub(super) fn push_member(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"member");
    for digits in [100, 10] {
        if number < digits {
            out.push(b'0');
        }
    }
    push_number(u64::from(number), out);
}

pub(super) fn push_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn push_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            for (index, octet) in v4.octets().into_iter().enumerate() {
                if index != 0 {
                    out.push(b'.');
                }
                push_number(u64::from(octet), out);
            }
        }
        IpAddr::V6(v6) => write!(out, "{v6}").expect("a vector takes every byte"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(request: &Request<'_>, expected: &str) {
        let mut out = Vec::new();
        LineWriter::new().write(1_795_160_801_120, request, &mut out);
        assert_eq!(expected, String::from_utf8_lossy(&out));
    }

    #[test]
    fn a_line_has_the_shape_that_web_servers_write() {
        check(
            &Request { bytes: 512, ..Request::default() },
            "192.0.2.1 - - [20/Nov/2026:07:46:41 +0000] \"GET / HTTP/2.0\" 200 512 \"-\" \"-\"\n",
        );
        let client = "2001:db8::7".parse().expect("an address");
        check(
            &Request { client, member: Some(7), status: 401, ..Request::default() },
            "2001:db8::7 - member007 [20/Nov/2026:07:46:41 +0000] \"GET / HTTP/2.0\" 401 0 \"-\" \
             \"-\"\n",
        );
    }

    #[test]
    fn member_names_have_at_least_three_digits() {
        for (number, name) in
            [(0, "member000"), (17, "member017"), (100, "member100"), (1234, "member1234")]
        {
            let mut out = Vec::new();
            push_member(number, &mut out);
            assert_eq!(name.as_bytes(), out);
        }
    }
}
