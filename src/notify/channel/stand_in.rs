//! A receiver for tests: a small HTTP server that answers as it is told, and the rules by which the
//! real receivers judge what they get.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// Status, further header lines, body.
pub(super) type Reply = (u16, &'static str, &'static str);

/// Takes everything.
pub(super) const TAKEN: Reply = (200, "", "ok");

#[derive(Debug)]
pub(super) struct StandIn {
    pub(super) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    replies: Arc<Mutex<Vec<Reply>>>,
}

impl StandIn {
    /// Answers with `replies` in turn, and with the last one for ever.
    pub(super) fn start(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let mut turned = replies.to_vec();
        turned.reverse();
        let replies = Arc::new(Mutex::new(turned));
        let (seen, script) = (Arc::clone(&got), Arc::clone(&replies));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                std::thread::spawn(move || serve(stream, &seen, &script));
            }
        });
        Self { address, got, replies }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("not poisoned").clone()
    }

    /// From now on this is the answer.
    pub(super) fn answer(&self, reply: Reply) {
        *self.replies.lock().expect("not poisoned") = vec![reply];
    }
}

fn serve(stream: TcpStream, got: &Mutex<Vec<Got>>, replies: &Mutex<Vec<Reply>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut stream = stream;
    while let Some(request) = read(&mut reader) {
        got.lock().expect("not poisoned").push(request);
        let (status, headers, body) = {
            let mut replies = replies.lock().expect("not poisoned");
            if 1 < replies.len() { replies.pop().expect("one") } else { replies[0] }
        };
        if status == 0 {
            // Reads and never answers; ends when the other side does.
            drop(reader.read_to_end(&mut Vec::new()));
            return;
        }
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| 0 < *length)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Got { method, path, headers, body })
}

/// An object with these keys and no other; those without `?` have to be there.
#[track_caller]
fn keys(value: &Value, allowed: &[&str]) {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for key in object.keys() {
        let known = allowed.iter().any(|name| name.trim_end_matches('?') == key);
        assert!(known, "unknown field `{key}` in {value}");
    }
    for name in allowed.iter().filter(|name| !name.ends_with('?')) {
        assert!(object.contains_key(*name), "field `{name}` is missing in {value}");
    }
}

/// A text of 1 to `max` characters.
#[track_caller]
fn text(value: &Value, max: usize) -> &str {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    assert!((1..=max).contains(&text.chars().count()), "{} characters", text.chars().count());
    text
}

#[track_caller]
fn time(value: &Value) -> &str {
    let time = text(value, 40);
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "no time: {time}");
    time
}

/// What the API of Alertmanager 0.25 and later demands of `postableAlerts`.
#[track_caller]
pub(super) fn check_alertmanager(got: &Got) {
    assert_eq!(("POST", "/api/v2/alerts"), (got.method.as_str(), got.path.as_str()));
    assert_eq!("application/json", got.headers["content-type"]);
    for alert in got.json().as_array().expect("a list") {
        keys(alert, &["labels", "annotations", "startsAt", "endsAt?", "generatorURL?"]);
        assert!(time(&alert["startsAt"]) <= time(&alert["endsAt"]), "{alert}");
        let labels = alert["labels"].as_object().expect("labels");
        assert!(labels.contains_key("alertname"));
        for (name, value) in labels.iter().chain(alert["annotations"].as_object().expect("some")) {
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(name.chars().all(valid) && !name.starts_with(char::is_numeric), "{name}");
            text(value, 4000);
        }
    }
}

/// Slack's Block Kit, as far as it is used.
#[track_caller]
pub(super) fn check_slack(got: &Got) {
    let body = got.json();
    keys(&body, &["text", "blocks?", "unfurl_links?", "unfurl_media?"]);
    let fallback = text(&body["text"], 4000);
    assert!(!fallback.contains(['<', '>']), "a link or a mention may be in {fallback}");
    let blocks = body["blocks"].as_array().expect("blocks");
    assert!(blocks.len() <= 50);
    for block in blocks {
        keys(block, &["type", "text"]);
        let max = match block["type"].as_str() {
            Some("header") => 150,
            Some("section") => 3000,
            other => panic!("a block of type {other:?}"),
        };
        keys(&block["text"], &["type", "text", "emoji"]);
        assert_eq!("plain_text", block["text"]["type"]);
        assert_eq!(Value::Bool(false), block["text"]["emoji"]);
        text(&block["text"]["text"], max);
    }
}

#[track_caller]
pub(super) fn check_mattermost(got: &Got) {
    let body = got.json();
    keys(&body, &["text", "channel?", "username?", "icon_url?", "attachments?", "props?"]);
    let text = text(&body["text"], 4000);
    // Whatever begins a mention, a link, an image or code has a backslash before it.
    let inside = text.trim_start_matches("**").replacen("**\n", "\n", 1);
    let mut escaped = false;
    for character in inside.chars() {
        let special = "@<>[]()*_~`#!|&\\".contains(character);
        assert!(!special || escaped || character == '\\', "`{character}` acts in {text}");
        escaped = character == '\\' && !escaped;
    }
}

/// The envelope of a workflow, and Adaptive Cards 1.4 as far as they are used.
#[track_caller]
pub(super) fn check_teams(got: &Got) {
    let body = got.json();
    assert!(got.body.len() <= 28 << 10, "{} bytes", got.body.len());
    keys(&body, &["type", "attachments"]);
    assert_eq!("message", body["type"]);
    let [card] = body["attachments"].as_array().expect("a list").as_slice() else {
        panic!("one attachment")
    };
    keys(card, &["contentType", "contentUrl", "content"]);
    assert_eq!("application/vnd.microsoft.card.adaptive", card["contentType"]);
    keys(&card["content"], &["$schema", "type", "version", "body"]);
    assert_eq!("AdaptiveCard", card["content"]["type"]);
    for block in card["content"]["body"].as_array().expect("blocks") {
        keys(block, &["type", "inlines"]);
        assert_eq!("RichTextBlock", block["type"], "a TextBlock would read Markdown");
        for run in block["inlines"].as_array().expect("runs") {
            keys(run, &["type", "text", "weight?", "size?", "color?", "isSubtle?"]);
            assert_eq!("TextRun", run["type"]);
            text(&run["text"], 2000);
        }
    }
}

/// ntfy's JSON form.
#[track_caller]
pub(super) fn check_ntfy(got: &Got) {
    assert_eq!("/", got.path);
    let body = got.json();
    keys(&body, &["topic", "message", "title?", "tags?", "priority?", "markdown?", "click?"]);
    assert!(body["message"].as_str().expect("a message").len() <= 4096);
    text(&body["title"], 250);
    assert!((1..=5).contains(&body["priority"].as_u64().expect("a number")));
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    assert!(text(&body["topic"], 64).chars().all(valid));
}

#[track_caller]
pub(super) fn check_gotify(got: &Got) {
    assert_eq!("/message", got.path);
    assert_eq!(Some("Bearer sesame"), got.headers.get("authorization").map(String::as_str));
    let body = got.json();
    keys(&body, &["title", "message", "priority", "extras"]);
    text(&body["title"], 250);
    text(&body["message"], 9000);
    assert!((0..=10).contains(&body["priority"].as_u64().expect("a number")));
    assert_eq!("text/plain", body["extras"]["client::display"]["contentType"]);
}

/// PagerDuty's Events API v2.
#[track_caller]
pub(super) fn check_pagerduty(got: &Got) {
    let body = got.json();
    assert_eq!(32, text(&body["routing_key"], 32).len());
    text(&body["dedup_key"], 255);
    match body["event_action"].as_str() {
        Some("resolve") => keys(&body, &["routing_key", "event_action", "dedup_key"]),
        Some("trigger") => {
            keys(&body, &["routing_key", "event_action", "dedup_key", "payload", "client"]);
            let payload = &body["payload"];
            let optional = ["timestamp?", "component?", "group?", "class?", "custom_details?"];
            keys(payload, &[["summary", "source", "severity"].as_slice(), &optional].concat());
            text(&payload["summary"], 1024);
            text(&payload["source"], 1024);
            time(&payload["timestamp"]);
            let severity = payload["severity"].as_str().unwrap_or_default();
            assert!(["critical", "error", "warning", "info"].contains(&severity), "{severity}");
        }
        other => panic!("{other:?}"),
    }
}
