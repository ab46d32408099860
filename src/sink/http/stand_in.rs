//! Receivers for tests: strict about what they are sent, and as unkind as receivers can be.
//!
//! Invariant: a stand-in panics at a request that breaks its interface's rules; what it has taken is
//! in `taken`, in the order in which it came.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::ApiName;
use crate::engine::text::hex;
use crate::io::{Chance as _, Seeded};

/// The key that signs requests.
pub(super) const SIGNING_KEY: &str = "a shared secret";

/// A receiver.
#[derive(Clone)]
pub(super) struct StandIn(Arc<Mutex<State>>);

/// What it does, and what it has.
pub(super) struct State {
    pub(super) api: ApiName,
    chance: Seeded,
    /// Percent of the requests that end badly.
    pub(super) faults: u64,
    /// Answers to the next requests, whatever they are: status, headers, body.
    pub(super) script: Vec<(u16, &'static str, String)>,
    /// The events that it never takes, by the number of their line.
    pub(super) refuses: fn(u64) -> bool,
    /// Splunk: tickets are given, and few of them are never redeemed.
    pub(super) tickets: bool,
    next_ticket: u64,
    ticketed: BTreeMap<u64, (Vec<Event>, u32)>,
    /// The lines that it has, each once, in the order in which they came.
    pub(super) taken: Vec<String>,
    /// Each line by its `event.id`.
    pub(super) ids: BTreeMap<String, String>,
    /// How many records came that were there.
    pub(super) duplicates: u64,
    /// How many records each request had.
    pub(super) requests: Vec<usize>,
    pub(super) connections: u64,
    /// The head of the last request.
    pub(super) head: String,
    /// The values of `Idempotency-Key`, with the lines they stood for.
    keys: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Event {
    id: String,
    line: String,
}

impl Event {
    /// The number at the end of its line.
    fn number(&self) -> u64 {
        self.line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    }
}

/// What becomes of a request.
enum Reaction {
    Answer(u16, &'static str, String),
    /// The same, but a kilobyte a second.
    Slowly(String),
    /// So much of the answer, then the end.
    CutShort(String),
    Hang,
    Reset,
}

impl StandIn {
    /// A receiver that listens; it ends with the runtime. Also its port.
    pub(super) async fn open(api: ApiName, seed: u64, tls: Option<TlsAcceptor>) -> (Self, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let state = State {
            api,
            chance: Seeded::new(seed),
            faults: 0,
            script: Vec::new(),
            refuses: |_| false,
            tickets: false,
            next_ticket: 0,
            ticketed: BTreeMap::new(),
            taken: Vec::new(),
            ids: BTreeMap::new(),
            duplicates: 0,
            requests: Vec::new(),
            connections: 0,
            head: String::new(),
            keys: BTreeMap::new(),
        };
        let stand_in = Self(Arc::new(Mutex::new(state)));
        let shared = stand_in.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                shared.state().connections += 1;
                let (shared, tls) = (shared.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => shared.serve(stream).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => shared.serve(stream).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        (stand_in, port)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panicked")
    }

    /// Answers until the connection ends.
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut held = Vec::new();
        loop {
            let head_end = loop {
                if let Some(end) = held.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                    break end + 4;
                }
                read_more(&mut stream, &mut held).await?;
            };
            let head = String::from_utf8(held[..head_end].to_vec()).expect("a head of text");
            let length: usize =
                header(&head, "content-length").expect("a length").parse().expect("it");
            if self.state().resets() {
                while held.len() < head_end + length / 2 {
                    read_more(&mut stream, &mut held).await?;
                }
                // What is left unread makes it a reset.
                return None;
            }
            while held.len() < head_end + length {
                read_more(&mut stream, &mut held).await?;
            }
            let body: Vec<u8> = held.drain(..head_end + length).skip(head_end).collect();
            let reaction = self.state().react(&head, &body);
            self.answer(reaction, &mut stream).await?;
        }
    }

    async fn answer(
        &self,
        reaction: Reaction,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Option<()> {
        let whole = |status, headers: &str, body: &str| {
            format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
        };
        match reaction {
            Reaction::Answer(status, headers, body) => {
                stream.write_all(whole(status, headers, &body).as_bytes()).await.ok()
            }
            Reaction::Slowly(body) => {
                for part in whole(200, "", &body).as_bytes().chunks(10) {
                    stream.write_all(part).await.ok()?;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Some(())
            }
            Reaction::CutShort(body) => {
                let text = whole(200, "", &format!("{body}{}", " ".repeat(99)));
                stream.write_all(&text.as_bytes()[..text.len() - 99]).await.ok()?;
                None
            }
            Reaction::Hang => read_more(stream, &mut Vec::new()).await,
            Reaction::Reset => None,
        }
    }
}

async fn read_more(stream: &mut (impl AsyncRead + Unpin), held: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(held).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

/// The value of a header.
pub(super) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let named = |line: &'h str| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    };
    head.lines().find_map(named)
}

impl State {
    fn happens(&mut self, percent: u64) -> bool {
        (self.chance.next_u64() >> 33) % 100 < percent
    }

    fn resets(&mut self) -> bool {
        let faults = self.faults;
        self.happens(faults.div_ceil(10))
    }

    fn react(&mut self, head: &str, body: &[u8]) -> Reaction {
        head.clone_into(&mut self.head);
        let body = match header(head, "content-encoding") {
            Some("gzip") => {
                let mut plain = Vec::new();
                let mut unpacker = flate2::read::GzDecoder::new(body);
                unpacker.read_to_end(&mut plain).expect("a body that can be unpacked");
                self.check_signature(head, body);
                plain
            }
            None => {
                self.check_signature(head, body);
                body.to_vec()
            }
            other => panic!("{other:?}"),
        };
        let path = head.split(' ').nth(1).expect("a path").to_owned();
        assert!(head.starts_with("POST /"), "{head}");
        if path.starts_with("/services/collector/ack") {
            return self.redeem(&path, head, &body);
        }
        let events = self.understand(&path, head, &body);
        self.requests.push(events.len());
        if !self.script.is_empty() {
            let (status, headers, body) = self.script.remove(0);
            return Reaction::Answer(status, headers, body);
        }
        let faults = self.faults;
        if self.happens(faults) {
            return self.fail(events);
        }
        let (status, body) = self.take(events);
        Reaction::Answer(status, "", body)
    }

    /// One of the ways in which receivers fail.
    fn fail(&mut self, events: Vec<Event>) -> Reaction {
        let answer =
            |status, headers, body: &str| Reaction::Answer(status, headers, body.to_owned());
        match self.chance.next_u64() >> 33 {
            n if n % 12 == 0 => Reaction::Hang,
            n if n % 12 == 1 => Reaction::Slowly(" ".repeat(1000)),
            n if n % 12 == 2 => answer(500, "", "oh"),
            n if n % 12 == 3 => {
                answer(503, "retry-after: 0\r\n", "{\"text\":\"Server is busy\",\"code\":9}")
            }
            n if n % 12 == 4 => answer(429, "retry-after: 1\r\n", ""),
            n if n % 12 == 5 && 1 < events.len() => answer(413, "", "too large"),
            n if n % 12 == 6 => answer(302, "location: http://192.0.2.1/\r\n", ""),
            n if n % 12 == 7 => answer(401, "", "who are you?"),
            n if n % 12 == 8 => {
                self.take(events);
                Reaction::Reset
            }
            n if n % 12 == 9 => {
                let (_, body) = self.take(events);
                Reaction::CutShort(body)
            }
            n if n % 12 == 10 => answer(200, "", &"x".repeat(5 << 20)),
            // For these two, 200 is an acceptance whatever else it says.
            _ if matches!(self.api, ApiName::Json | ApiName::Gelf) => answer(404, "", "<html>"),
            _ => answer(200, "", "{\"items\": [{}], \"co"),
        }
    }

    /// The events of a request that keeps all rules.
    fn understand(&mut self, path: &str, head: &str, body: &[u8]) -> Vec<Event> {
        let text = std::str::from_utf8(body).expect("UTF-8");
        assert!(header(head, "host").is_some_and(|host| host.starts_with("127.0.0.1:")), "{head}");
        assert!(header(head, "user-agent").is_some_and(|agent| agent.starts_with("gatewatch/")));
        let content = header(head, "content-type").expect("a type");
        match self.api {
            ApiName::Elasticsearch => {
                assert_eq!("application/x-ndjson", content);
                assert_eq!("/_bulk", path.split('?').next().expect("a path"));
                assert!(text.ends_with('\n'));
                let lines: Vec<&str> = text.lines().collect();
                lines.chunks(2).map(bulk_item).collect()
            }
            ApiName::SplunkHec => {
                assert_eq!("/services/collector/event", path);
                assert_eq!(36, header(head, "x-splunk-request-channel").expect("a channel").len());
                assert_eq!(Some("Splunk 11111111-2222"), header(head, "authorization"));
                let events = serde_json::Deserializer::from_str(text).into_iter::<Value>();
                events.map(|event| splunk_event(&event.expect("JSON"))).collect()
            }
            ApiName::Loki => {
                assert_eq!(("/loki/api/v1/push", "application/json"), (path, content));
                loki_entries(&serde_json::from_str(text).expect("JSON"))
            }
            ApiName::Gelf => {
                assert_eq!(("/gelf", "application/json"), (path, content));
                text.lines().map(gelf_message).collect()
            }
            ApiName::Json => {
                assert_eq!(("/in", "application/x-ndjson"), (path, content));
                let key = header(head, "idempotency-key").expect("a key").to_owned();
                let kept = self.keys.entry(key).or_insert_with(|| text.to_owned());
                assert_eq!(text, kept, "one key for two requests");
                text.lines().map(|line| event_of(&parsed(line))).collect()
            }
        }
    }

    fn check_signature(&self, head: &str, body: &[u8]) {
        let Some(signature) = header(head, "x-gatewatch-signature") else {
            assert!(self.api != ApiName::Json, "no signature: {head}");
            return;
        };
        let time = header(head, "x-gatewatch-timestamp").expect("a time");
        assert_eq!("1795161600", time);
        let key = hmac::Key::new(hmac::HMAC_SHA256, SIGNING_KEY.as_bytes());
        let signed = [time.as_bytes(), b".", body].concat();
        assert_eq!(format!("sha256={}", hex(hmac::sign(&key, &signed).as_ref())), signature);
    }

    /// Takes what it takes, and says so in the words of its interface.
    fn take(&mut self, events: Vec<Event>) -> (u16, String) {
        let refuses = self.refuses;
        let bad = events.iter().position(|event| refuses(event.number()));
        match (self.api, bad) {
            (ApiName::Elasticsearch, _) => self.take_each(&events),
            (ApiName::SplunkHec, Some(bad)) => {
                // Those before it are indexed.
                events[..bad].iter().for_each(|event| self.keep(event));
                let body = json!({"text": "Invalid data format", "code": 6,
                    "invalid-event-number": bad});
                (400, body.to_string())
            }
            (ApiName::SplunkHec, None) => (200, self.take_for_a_ticket(events)),
            (ApiName::Loki, Some(_)) => {
                events.iter().filter(|event| !refuses(event.number())).for_each(|e| self.keep(e));
                (400, "Max entry size '10' bytes exceeded for stream '{job=\"x\"}'".to_owned())
            }
            (ApiName::Json, Some(_)) => (422, "no\n".to_owned()),
            (api, _) => {
                events.iter().for_each(|event| self.keep(event));
                let status = [200, 200, 204, 202, 200][api as usize];
                (status, String::new())
            }
        }
    }

    fn take_each(&mut self, events: &[Event]) -> (u16, String) {
        let mut items = String::new();
        for event in events {
            let put_off = 0 < self.faults && self.happens(5);
            let outcome = if (self.refuses)(event.number()) {
                json!({"status": 400, "error": {"type": "document_parsing_exception",
                    "reason": "failed to parse field"}})
            } else if put_off {
                json!({"status": 429, "error": {"type": "es_rejected_execution_exception"}})
            } else if self.ids.contains_key(&event.id) {
                self.keep(event);
                json!({"status": 409, "error": {"type": "version_conflict_engine_exception"}})
            } else {
                self.keep(event);
                json!({"status": 201})
            };
            write!(items, "{}{{\"create\":{outcome}}}", if items.is_empty() { "" } else { "," })
                .expect("memory");
        }
        (200, format!("{{\"errors\":false,\"items\":[{items}]}}"))
    }

    fn take_for_a_ticket(&mut self, events: Vec<Event>) -> String {
        if !self.tickets {
            events.iter().for_each(|event| self.keep(event));
            return json!({"text": "Success", "code": 0}).to_string();
        }
        let number = self.next_ticket;
        self.next_ticket += 1;
        if 0 < self.faults && self.happens(98) {
            self.ticketed.insert(number, (events, 0));
        }
        json!({"text": "Success", "code": 0, "ackId": number}).to_string()
    }

    /// Splunk: says which tickets are safe; never at the first question.
    fn redeem(&mut self, path: &str, head: &str, body: &[u8]) -> Reaction {
        let channel = path.split_once("?channel=").expect("a channel").1;
        assert_eq!(Some(channel), header(head, "x-splunk-request-channel"));
        let asked: Value = serde_json::from_slice(body).expect("JSON");
        let number = asked["acks"][0].as_u64().expect("a number");
        let is_safe = match self.ticketed.get_mut(&number) {
            Some((_, questions)) => {
                *questions += 1;
                1 < *questions
            }
            None => false,
        };
        if is_safe && let Some((events, _)) = self.ticketed.remove(&number) {
            events.iter().for_each(|event| self.keep(event));
        }
        let acks: BTreeMap<String, bool> = [(number.to_string(), is_safe)].into();
        Reaction::Answer(200, "", json!({"acks": acks}).to_string())
    }

    fn keep(&mut self, event: &Event) {
        match self.ids.insert(event.id.clone(), event.line.clone()) {
            None => self.taken.push(event.line.clone()),
            Some(line) => {
                assert_eq!(line, event.line, "two events with one id");
                self.duplicates += 1;
            }
        }
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn event_of(event: &Value) -> Event {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
    let line = match event["event"]["kind"].as_str() {
        Some("alert") => format!("alert {}", event["gatewatch"]["alert"]["count"]),
        _ => text(&event["user"]["name"]),
    };
    Event { id: text(&event["event"]["id"]), line }
}

fn bulk_item(lines: &[&str]) -> Event {
    let (action, document) = (parsed(lines[0]), parsed(lines[1]));
    let event = event_of(&document);
    assert_eq!(1, action.as_object().expect("an object").len());
    assert_eq!(event.id, action["create"]["_id"]);
    let dataset = document["event"]["dataset"].as_str().expect("a dataset");
    let index = action["create"]["_index"].as_str().expect("an index");
    assert_eq!(format!("logs-{dataset}-default"), index);
    if let Some(stream) = document.get("data_stream") {
        let parts = ["type", "dataset", "namespace"].map(|key| stream[key].as_str().expect("it"));
        assert_eq!(index, parts.join("-"));
    }
    event
}

fn splunk_event(envelope: &Value) -> Event {
    let known = ["time", "host", "source", "sourcetype", "index", "event"];
    let keys = envelope.as_object().expect("an object").keys();
    assert!(keys.into_iter().all(|key| known.contains(&key.as_str())), "{envelope}");
    assert_eq!(Some(1_795_161_600.0), envelope["time"].as_f64());
    assert_eq!("_json", envelope["sourcetype"]);
    assert_eq!("web", envelope["index"]);
    event_of(&envelope["event"])
}

fn loki_entries(push: &Value) -> Vec<Event> {
    let mut events = Vec::new();
    let mut seen = BTreeSet::new();
    for stream in push["streams"].as_array().expect("streams") {
        let labels = stream["stream"].as_object().expect("labels");
        let known = ["job", "host", "dataset", "level"];
        assert!(labels.keys().all(|key| known.contains(&key.as_str())), "{labels:?}");
        assert!(seen.insert(format!("{labels:?}")), "a stream stands there twice");
        for entry in stream["values"].as_array().expect("entries") {
            assert!(matches!(entry[0].as_str(), Some("1795161600000000000")), "{entry}");
            let event = event_of(&parsed(entry[1].as_str().expect("a line")));
            assert_eq!(event.id, entry[2]["event_id"]);
            events.push(event);
        }
    }
    events
}

fn gelf_message(line: &str) -> Event {
    let message = parsed(line);
    assert_eq!("1.1", message["version"]);
    assert!(["host", "short_message"].iter().all(|key| message[key].is_string()), "{message}");
    let text = |key: &str| message[key].as_str().unwrap_or_else(|| panic!("{message}")).to_owned();
    Event { id: text("_event_id"), line: text("_user_name") }
}
