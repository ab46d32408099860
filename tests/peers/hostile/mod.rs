//! Requests that would like to be something else in a log, sent to real servers: each is found
//! again as one event that says what was sent.
//!
//! A request carries a mark of its own, in its target or in a header that the server logs. What its
//! event must say follows from the bytes sent and from the status the client was answered; where a
//! server logs less than that, or cuts it, the server's test says so, request by request. Invariant:
//! every line of the log is one event, every request one line, and nothing is left on either side.

mod apache;
mod caddy;
mod forgery;
mod haproxy;
mod lighttpd;
mod nginx;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;

use gatewatch::units::Timestamp;
use serde_json::Value;

use super::support::{PATIENCE, Place, now, until};
use super::web;

/// Where the mark goes.
const MARK: u8 = b'@';

/// Longest header that an event keeps; what is longer is compared as far as it is kept.
const KEPT: usize = 1024;

/// Connections at a time: some servers take their time over a wrong password.
const SENDERS: usize = 8;

/// The agent of requests that are about something else.
const AGENT: &str = "plain agent";

/// Whole requests, or parts of one.
const RAW: &[(&str, &[u8])] = &[
    ("HTTP/0.9", b"GET /@\r\n"),
    ("TLS", b"\x16\x03\x01@\x02\x00\x01\xfc\x03\x03\r\n\r\n"),
    ("binary", b"\x01\x02@\xff\x00 garbage\r\n\r\n"),
    ("word", b"@\r\n\r\n"),
    ("line end", b"\r\n\r\n"),
    ("partial", b"GET /@ HT"),
];

/// Request lines of requests that are sound otherwise.
const LINES: &[(&str, &[u8])] = &[
    ("plain", b"GET /page?@ HTTP/1.1"),
    ("blanks", b"GET /@ b c HTTP/1.1"),
    ("fields", b"GET /@\" 200 1 \"-\" \"evil HTTP/1.1"),
    ("lower case", b"get /@ HTTP/1.1"),
    ("absolute", b"GET http://other.example.org:8080/@?q HTTP/1.1"),
    ("CONNECT", b"CONNECT @.example.org:25 HTTP/1.1"),
    ("OPTIONS", b"OPTIONS * HTTP/1.1"),
    ("HTTP/9.7", b"GET /@ HTTP/9.7"),
    ("HTTP/2.0", b"GET /@ HTTP/2.0"),
    ("non-ASCII", b"GET /@\xc3\xa9\xff HTTP/1.1"),
    ("control", b"GET /@\x01\x1b[31m HTTP/1.1"),
    ("tab", b"GET /@\ta\tb HTTP/1.1"),
    ("percent", b"GET /@%22%20200%20%0a%00%5c HTTP/1.1"),
    ("backslash", b"GET /@\\x22\\\"\\ HTTP/1.1"),
    ("braces", b"GET /@{a|b}?\"#22&c={%22d%22:1} HTTP/1.1"),
    ("HEAD", b"HEAD /page?@ HTTP/1.1"),
];

/// Names in Basic credentials; a name ends at the first colon.
const USERS: &[&str] = &[
    "anna",
    "john doe",
    "x\" 200 1",
    "a - - [20/Nov/2026:07:00:01 +0000] \"GET / HTTP/1.1\"",
    "203.0.113.9 - root [20/Nov/2026 07.00.01 +0000] \"GET /forged HTTP/1.1\" 200 5 \"-\" \"x\"",
    "a\nb",
    "x\r\n203.0.113.9 - root [20/Nov/2026 07.00.01 +0000] \"GET / HTTP/1.1\" 200 5",
    "%22",
    "",
    "-",
    "-  - ",
    " lead",
    "a\0b",
    "\u{e9}\u{1f512}",
    "x] [",
    "\",\"status\",200,\"x\",\"",
    "a|b",
    "\\x22",
    "x\", client, 203.0.113.9",
];

/// User agents and referrers.
const HEADERS: &[&[u8]] = &[
    b"",
    b"-",
    b"\"",
    b"\\",
    b"\\\"",
    b"x\\",
    b"a\" \"b",
    b"\" 200 1 \"-\" \"x",
    b"] [",
    b"\",\"status\":200,\"x\":\"",
    b"{\"a\":1}",
    b"\"} \"GET /forged HTTP/1.1",
    b"{a|b}",
    b"#22",
    b"a\\nb",
    b"\\u0022",
    b"\\x0a203.0.113.1 - - [20/Nov/2026:07:00:01 +0000]",
    b"203.0.113.9 - - [20/Nov/2026:07:00:01 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"",
    b"\xc3\xa9\xf0\x9f\x94\x92",
    b"\xff\xfe",
    CONTROLS,
];

/// A header that most servers refuse.
const CONTROLS: &[u8] = b"\x01\x1b[0m\x7f";

/// Hosts, of which a server may log one.
const HOSTS: &[&[u8]] = &[
    b"",
    b"evil\"x",
    b"203.0.113.9",
    b"[::1]:80",
    b"a b",
    b"www.example.org:99999",
    b"WWW.EXAMPLE.ORG.",
    b"x|y",
    b"203.0.113.9 - - [x]",
];

/// What a request is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Its bytes, by the name of the case.
    Raw(&'static str),
    /// Its request line.
    Line(&'static str),
    /// A target longer than servers take.
    Long,
    /// A name with a wrong password, where one is asked for.
    User(&'static str),
    /// The same where nobody asks.
    Volunteer(&'static str),
    /// The right name and password.
    Member,
    /// A user agent; none where there is no such header.
    Agent(Option<&'static [u8]>),
    Referrer(&'static [u8]),
    Host(&'static [u8]),
    /// Headers of proxies with something that is no address.
    Forwarded,
    /// A body behind it, another request behind it, and that one.
    Body,
    First,
    Second,
    /// What the client has already.
    Cached,
}

/// What an event says of a request.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Told {
    status: Option<u64>,
    method: Option<String>,
    target: Option<String>,
    user: Option<String>,
    agent: Option<String>,
    referrer: Option<String>,
    /// It is a failed log-in that counts.
    is_failure: bool,
}

/// How a server logs a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// In one line, with its mark.
    Marked,
    /// In one line without the mark.
    Unmarked,
    /// Not at all.
    Absent,
}

#[derive(Debug)]
struct Request {
    kind: Kind,
    mark: String,
    told: Told,
}

/// What goes over one connection.
#[derive(Debug)]
struct Exchange {
    bytes: Vec<u8>,
    requests: Vec<Request>,
}

/// A request line and headers, before they are bytes.
struct Draft {
    line: Vec<u8>,
    host: Vec<u8>,
    agent: Option<Vec<u8>>,
    referrer: Option<Vec<u8>>,
    user: Option<(&'static str, &'static str)>,
    more: &'static str,
    body: &'static str,
}

impl Draft {
    fn new(line: &[u8]) -> Self {
        Self {
            line: line.to_vec(),
            host: b"www.example.org".to_vec(),
            agent: Some(AGENT.into()),
            referrer: None,
            user: None,
            more: "Connection: close\r\n",
            body: "",
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.line.clone();
        let mut header = |name: &str, value: &[u8]| {
            bytes.extend_from_slice(format!("\r\n{name}: ").as_bytes());
            bytes.extend_from_slice(value);
        };
        header("Host", &self.host);
        if let Some(agent) = &self.agent {
            header("User-Agent", agent);
        }
        if let Some(referrer) = &self.referrer {
            header("Referer", referrer);
        }
        if let Some((user, password)) = self.user {
            let secret = base64(format!("{user}:{password}").as_bytes());
            header("Authorization", format!("Basic {secret}").as_bytes());
        }
        bytes.extend_from_slice(format!("\r\n{}\r\n{}", self.more, self.body).as_bytes());
        bytes
    }

    fn told(&self) -> Told {
        let (method, target) = parts(&self.line);
        let user = self.user.map(|(user, _)| user.split(':').next().unwrap_or(user));
        Told {
            method,
            target,
            user: user.and_then(|user| shown(user.as_bytes())),
            agent: self.agent.as_deref().and_then(shown),
            referrer: self.referrer.as_deref().and_then(shown),
            ..Told::default()
        }
    }
}

/// Method and target of a request line: the first word, and the rest without the version.
fn parts(line: &[u8]) -> (Option<String>, Option<String>) {
    let mut words: Vec<&[u8]> = line.splitn(2, |byte| *byte == b' ').collect();
    let rest = words.pop().unwrap_or_default();
    let version = rest.iter().rposition(|byte| *byte == b' ');
    let end = version.filter(|at| rest[*at..].starts_with(b" HTTP/")).unwrap_or(rest.len());
    (words.pop().and_then(shown), shown(&rest[..end]))
}

/// A text of a client as events show it: bytes that are not UTF-8 as `\xHH`. What is empty, or a
/// dash, cannot be told from nothing.
fn shown(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    Some(text).filter(|text| !matches!(text.as_str(), "" | "-"))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits: u32, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for sextet in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * sextet) & 63) as usize];
            text.push(if three.len() < sextet { '=' } else { char::from(letter) });
        }
    }
    text
}

/// Every request of every kind.
fn exchanges() -> Vec<Exchange> {
    let mut all = Vec::new();
    for (name, bytes) in RAW {
        let line = bytes.strip_suffix(b"\r\n").unwrap_or(bytes);
        let (method, target) = parts(line.strip_suffix(b"\r\n").unwrap_or(line));
        let told = Told { method, target, ..Told::default() };
        all.push(exchange(bytes, vec![(Kind::Raw(name), told)]));
    }
    for (kind, draft) in drafts() {
        all.push(exchange(&draft.bytes(), vec![(kind, draft.told())]));
    }
    let first = Draft { more: "", ..Draft::new(b"GET /page?@ HTTP/1.1") };
    let second = Draft::new(b"GET /page?@@ HTTP/1.1");
    let both = vec![(Kind::First, first.told()), (Kind::Second, second.told())];
    all.push(exchange(&[first.bytes(), second.bytes()].concat(), both));
    for (index, exchange) in all.iter_mut().enumerate() {
        exchange.mark(index);
    }
    all
}

fn drafts() -> Vec<(Kind, Draft)> {
    const PAGE: &[u8] = b"GET /page?@ HTTP/1.1";
    const SECRET: &[u8] = b"GET /secret/page?@ HTTP/1.1";
    let plain = || Draft::new(PAGE);
    let mut all = Vec::new();
    for (name, line) in LINES {
        // The mark of one that has none in its line is in its agent.
        let agent = if line.contains(&MARK) { AGENT } else { "@" };
        let draft = Draft { agent: Some(agent.into()), ..Draft::new(line) };
        all.push((Kind::Line(name), draft));
    }
    let long = [b"GET /@", "x".repeat(9000).as_bytes(), b" HTTP/1.1"].concat();
    all.push((Kind::Long, Draft::new(&long)));
    for user in USERS {
        let secret = Draft { user: Some((user, "wrong")), ..Draft::new(SECRET) };
        all.push((Kind::User(user), secret));
        all.push((Kind::Volunteer(user), Draft { user: Some((user, "wrong")), ..plain() }));
    }
    let member = Draft { user: web::MEMBER.split_once(':'), ..Draft::new(SECRET) };
    all.push((Kind::Member, member));
    all.push((Kind::Agent(None), Draft { agent: None, ..plain() }));
    for value in HEADERS {
        all.push((Kind::Agent(Some(value)), Draft { agent: Some(value.to_vec()), ..plain() }));
        all.push((Kind::Referrer(value), Draft { referrer: Some(value.to_vec()), ..plain() }));
    }
    for host in HOSTS {
        all.push((Kind::Host(host), Draft { host: host.to_vec(), ..plain() }));
    }
    let more = "X-Forwarded-For: unknown\" 200 \"x\r\nX-Real-IP: a\\\r\nForwarded: for=\"_x\"\r\n\
                Connection: close\r\n";
    all.push((Kind::Forwarded, Draft { more, ..plain() }));
    let more = "Content-Length: 13\r\nConnection: close\r\n";
    let body = Draft { more, body: "\" 200 1 \"-\"\r\n", ..Draft::new(b"POST /@ HTTP/1.1") };
    all.push((Kind::Body, body));
    let more = "If-None-Match: *\r\nConnection: close\r\n";
    all.push((Kind::Cached, Draft { more, ..plain() }));
    all
}

fn exchange(bytes: &[u8], requests: Vec<(Kind, Told)>) -> Exchange {
    let request = |(kind, told)| Request { kind, mark: String::new(), told };
    Exchange { bytes: bytes.to_vec(), requests: requests.into_iter().map(request).collect() }
}

impl Exchange {
    /// Puts marks where [`MARK`] stands, twice for the second request.
    fn mark(&mut self, index: usize) {
        let [one, two] = [format!("gw{index:03}z"), format!("gw{index:03}y")];
        let mut bytes = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some(at) = memchr::memchr(MARK, rest) {
            bytes.extend_from_slice(&rest[..at]);
            let is_second = rest[at + 1..].first() == Some(&MARK);
            bytes.extend_from_slice(if is_second { two.as_bytes() } else { one.as_bytes() });
            rest = &rest[at + 1 + usize::from(is_second)..];
        }
        bytes.extend_from_slice(rest);
        self.bytes = bytes;
        for request in &mut self.requests {
            request.mark = if request.kind == Kind::Second { two.clone() } else { one.clone() };
            let Told { method, target, agent, .. } = &mut request.told;
            for text in [method, target, agent].into_iter().flatten() {
                *text = text.replace("@@", &two).replace('@', &one);
            }
        }
    }

    /// Sends it, and reads until the server has had enough.
    fn send(&mut self, address: &str) {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        // A server may end the connection before it has read everything.
        let _ = stream.write_all(&self.bytes);
        if matches!(self.requests[0].kind, Kind::Raw(_)) {
            // The others ask the server to close; of two requests in one go, HAProxy drops the
            // second when it sees this first.
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let mut statuses = statuses(&answer).into_iter();
        for request in &mut self.requests {
            request.told.status = statuses.next();
        }
    }
}

/// The statuses in what a server answered, in order.
fn statuses(answer: &[u8]) -> Vec<u64> {
    let heads = memchr::memmem::find_iter(answer, b"HTTP/1.").map(|at| &answer[at..]);
    let status = |head: &[u8]| {
        let digits = head.get(b"HTTP/1.1 ".len()..)?.get(..3)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    heads.filter_map(status).collect()
}

/// Writes the pages that are asked for, and the password file.
fn write_site(openssl: &Path, place: &Place) {
    let www = place.path().join("www");
    fs::create_dir_all(www.join("secret")).expect("a document root");
    for page in ["page", "secret/page"] {
        fs::write(www.join(page), "a page\n").expect("a page");
    }
    web::write_passwords(openssl, &place.path().join("passwords"));
}

/// Everything that was sent to a server, with the time it took.
struct Sent {
    requests: Vec<Request>,
    since: Timestamp,
    until: Timestamp,
}

impl Sent {
    /// Sends every request to a server.
    fn to(address: &str) -> Self {
        let since = now();
        let mut all = exchanges();
        let mut hands: Vec<Vec<&mut Exchange>> = (0..SENDERS).map(|_| Vec::new()).collect();
        for (index, exchange) in all.iter_mut().enumerate() {
            hands[index % SENDERS].push(exchange);
        }
        std::thread::scope(|scope| {
            for hand in hands {
                scope.spawn(|| hand.into_iter().for_each(|exchange| exchange.send(address)));
            }
        });
        let requests = all.into_iter().flat_map(|exchange| exchange.requests).collect();
        Self { requests, since, until: now() }
    }

    /// Waits until a log has a line for each request that is logged at all.
    fn until_logged(&self, log: &Path, adapt: impl Fn(&Request, &mut Told) -> Fate) {
        let fate = |request: &&Request| adapt(request, &mut request.told.clone()) != Fate::Absent;
        let expected = self.requests.iter().filter(fate).count();
        until(&format!("line {expected} of {}", log.display()), || {
            let text = fs::read(log).ok()?;
            (expected <= memchr::memchr_iter(b'\n', &text).count()).then_some(())
        });
    }

    /// Holds the events of a log against what was sent. `adapt` says how the server logs a request.
    #[track_caller]
    fn check(&self, log: &Path, options: &[&str], adapt: impl Fn(&Request, &mut Told) -> Fate) {
        let text = fs::read(log).expect("the server's log");
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let events = parse(log, options);
        assert_eq!(lines.len(), events.len(), "lines and events of {}", log.display());
        let (mut marked, mut unmarked) = (BTreeMap::new(), Vec::new());
        let mut wrong = Vec::new();
        for request in &self.requests {
            let mut told = request.told.clone();
            told.is_failure = told.status == Some(401) && told.user.is_some();
            match adapt(request, &mut told) {
                Fate::Marked => drop(marked.insert(request.mark.as_bytes(), (request, told))),
                Fate::Unmarked => unmarked.push(told),
                Fate::Absent => (),
            }
        }
        let mut strangers = Vec::new();
        for (line, event) in lines.iter().zip(&events) {
            let shown = String::from_utf8_lossy(&line[..line.len().min(400)]);
            wrong.extend(self.forged(event).map(|what| format!("{what}\n  {shown}")));
            match marks(line).as_slice() {
                [] => strangers.push(told_by(event)),
                [mark] => match marked.remove(*mark) {
                    Some((request, told)) if !agrees(request.kind, &told, &told_by(event)) => {
                        let found = told_by(event);
                        let kind = request.kind;
                        wrong.push(format!("{kind:?}\n  {told:?}\n  {found:?}\n  {shown}"));
                    }
                    Some(_) => (),
                    None => wrong.push(format!("nobody should see this, or twice\n  {shown}")),
                },
                more => wrong.push(format!("{} requests in one line\n  {shown}", more.len())),
            }
        }
        wrong.extend(marked.values().map(|(request, _)| format!("lost: {request:?}")));
        assert!(wrong.is_empty(), "{}: {}", log.display(), wrong.join("\n"));
        let (unmarked, strangers) = (counted(unmarked), counted(strangers));
        assert_eq!(unmarked, strangers, "requests without a mark in {}", log.display());
    }

    /// What is wrong with an event whatever its request was.
    fn forged(&self, event: &Value) -> Option<String> {
        let time = event["@timestamp"].as_str().and_then(|time| time.parse().ok());
        let time = time.map_or(0, |time: jiff::Timestamp| time.as_second()) as u64;
        let is_now = (self.since.secs() - 1..=self.until.secs() + 1).contains(&time);
        let is_access = event["event"]["kind"] == "event" && event["http"]["response"].is_object();
        let is_own = event["source"]["ip"] == "127.0.0.1";
        (!is_now || !is_access || !is_own).then(|| format!("forged or lost: {event}"))
    }
}

/// How many there are of each.
fn counted(all: Vec<Told>) -> BTreeMap<Told, u32> {
    let mut counts = BTreeMap::new();
    for told in all {
        *counts.entry(told).or_default() += 1;
    }
    counts
}

/// The marks in a line.
fn marks(line: &[u8]) -> Vec<&[u8]> {
    let found = memchr::memmem::find_iter(line, b"gw").filter_map(|at| line.get(at..at + 6));
    let is_mark =
        |text: &&[u8]| text[2..5].iter().all(u8::is_ascii_digit) && matches!(text[5], b'y' | b'z');
    let mut marks: Vec<&[u8]> = found.filter(is_mark).collect();
    marks.dedup();
    marks
}

fn told_by(event: &Value) -> Told {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let request = &event["http"]["request"];
    Told {
        status: event["http"]["response"]["status_code"].as_u64(),
        method: text(&request["method"]),
        target: text(&event["url"]["original"]),
        user: text(&event["user"]["name"]),
        agent: text(&event["user_agent"]["original"]),
        referrer: text(&request["referrer"]),
        is_failure: event["gatewatch"]["auth"]["counted"] == true
            && event["event"]["outcome"] == "failure",
    }
}

/// The same, but for the end of texts that are cut.
fn agrees(kind: Kind, told: &Told, found: &Told) -> bool {
    // Some servers keep no more than their line holds.
    let kept = match (kind, &found.target) {
        (Kind::Long, Some(target)) => target.len().clamp(KEPT / 2, KEPT),
        _ => KEPT,
    };
    let cut = |text: &Option<String>| text.as_ref().map(|text| text.chars().take(kept).collect());
    let cut = |told: &Told| Told {
        target: cut(&told.target),
        agent: cut(&told.agent),
        referrer: cut(&told.referrer),
        ..told.clone()
    };
    cut(told) == cut(found)
}

/// The events of a log.
#[track_caller]
fn parse(log: &Path, options: &[&str]) -> Vec<Value> {
    gatewatch(&["parse"], options, &[log])
}

/// What gatewatch prints about logs, object by object.
#[track_caller]
fn gatewatch(command: &[&str], options: &[&str], logs: &[&Path]) -> Vec<Value> {
    let mut gatewatch = Command::new(env!("CARGO_BIN_EXE_gatewatch"));
    gatewatch.args(command).args(["--timezone", "UTC"]).args(options).args(logs);
    let output = gatewatch.output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{gatewatch:?}: {errors}");
    let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    values.map(|value| value.expect("gatewatch prints JSON")).collect()
}
