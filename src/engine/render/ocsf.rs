//! Events as objects of the Open Cybersecurity Schema Framework, version 1.8.0.
//!
//! | ours | class |
//! |---|---|
//! | a request | 4002 HTTP Activity |
//! | a log-in or log-out with a user's name | 3002 Authentication |
//! | an alert | 2004 Detection Finding |
//! | everything else | 6008 Application Error |
//!
//! The schema has one class an event, so a request that is a log-in makes two records, the second of
//! which names the first in `metadata.correlation_uid`.
//!
//! Invariant: every object has what its class requires and only names that the schema knows; what has
//! no place stands under `unmapped`.

mod finding;

pub(super) use self::finding::finding;

use super::Agent;
use super::fact::{Fact, Subject, Value};
use super::facts::{action, is_attempt};
use super::json::{Json, key};
use super::limits::WORD;
use super::view::View;
use super::{Part, event_id};
use crate::engine::batch::{Action, AuthMethod, Event, Field, Kind, Level};
use crate::engine::text::parse_u64;

/// `"metadata":{"version":…,"product":{…},`
pub(super) fn agent(agent: &Agent, out: &mut Vec<u8>) {
    let mut json = Json::new(out);
    json.raw(r#""metadata":{"version":"1.8.0","product":{"#);
    json.raw(r#""name":"gatewatch","vendor_name":"gatewatch","version":""#);
    super::json::push_text(json.out, agent.version.as_bytes(), WORD);
    json.raw(r#""},"#);
}

/// The records of an event.
pub(super) fn parts(event: &Event<'_>) -> &'static [Part] {
    let row = event.row();
    let is_login = is_attempt(row) || row.action == Action::Logout;
    match row.kind {
        Kind::Access if is_login && has_user(event) => &[Part::Whole, Part::Login],
        _ => &[Part::Whole],
    }
}

fn has_user(event: &Event<'_>) -> bool {
    event.field(Field::User).is_some_and(|user| !user.is_empty())
}

/// Appends one object.
pub(super) fn event(view: &View<'_>, out: &mut Vec<u8>) {
    let mut scribe = Scribe { json: Json::new(out), view };
    match (view.row.kind, view.part) {
        (_, Part::Login) => scribe.authentication(),
        (Kind::Auth, _) if has_user(&view.event) => scribe.authentication(),
        (Kind::Access, _) if is_request(view) => scribe.http_activity(),
        _ => scribe.application_error(),
    }
}

/// Something is known of the request or of its response, as the class asks for.
fn is_request(view: &View<'_>) -> bool {
    view.row.status != 0 || view.get(Fact::Method).is_some() || view.get(Fact::Path).is_some()
}

struct Scribe<'s, 'o> {
    json: Json<'o>,
    view: &'s View<'s>,
}

/// A class with its category, as its objects begin.
macro_rules! class {
    ($category:literal, $category_name:literal, $class:literal, $class_name:literal) => {
        concat!(
            "\"category_uid\":",
            $category,
            ",\"category_name\":\"",
            $category_name,
            "\",\"class_uid\":",
            $class,
            ",\"class_name\":\"",
            $class_name,
            "\","
        )
    };
}
use class;

impl Scribe<'_, '_> {
    fn http_activity(&mut self) {
        let start = self.json.open("{");
        self.metadata();
        self.json.raw(class!(4, "Network Activity", 4002, "HTTP Activity"));
        let method = self.view.fields.value(Field::Method);
        let (id, name) = http_activity(method.unwrap_or_default());
        self.activity(4002, "HTTP Activity", id, name);
        self.times();
        self.status();
        self.put(key!("http_status"), Fact::Status);
        self.message();
        self.request();
        self.response();
        self.source();
        self.destination();
        self.device();
        self.connection();
        self.traffic();
        self.tls();
        self.rest("src_endpoint.ip");
        self.json.close(start, b'}');
        self.json.out.pop();
    }

    fn authentication(&mut self) {
        let start = self.json.open("{");
        self.metadata();
        self.json.raw(class!(3, "Identity & Access Management", 3002, "Authentication"));
        let (id, name) = match action(self.view.row) {
            Action::Login | Action::AuthFailed | Action::HttpRequest | Action::SessionOpened => {
                (1, "Logon")
            }
            Action::Logout | Action::SessionClosed => (2, "Logoff"),
            Action::PreauthDisconnect => (6, "Preauth"),
            Action::PrivilegeElevation => (7, "Account Switch"),
            other => (99, other.name()),
        };
        self.activity(3002, "Authentication", id, name);
        self.times();
        self.status();
        self.message();
        let user = self.json.open(r#""user":{"#);
        self.put(key!("name"), Fact::User);
        self.json.close(user, b'}');
        let service = self.json.open(r#""service":{"#);
        self.always(key!("name"), Fact::Site);
        self.json.close(service, b'}');
        self.source();
        self.destination();
        self.device();
        self.protocol();
        if self.view.row.client.is_some() {
            self.json.raw(r#""logon_type_id":3,"logon_type":"Network","is_remote":true,"#);
        }
        if id == 7 {
            self.json.raw(r#""account_switch_type_id":1,"account_switch_type":"Substitute User","#);
        }
        self.rest("src_endpoint.ip");
        self.json.close(start, b'}');
        self.json.out.pop();
    }

    fn application_error(&mut self) {
        let start = self.json.open("{");
        self.metadata();
        self.json.raw(class!(6, "Application Activity", 6008, "Application Error"));
        let (id, name) = match self.view.row.kind {
            Kind::ParseFailure => (2, "Translation Error"),
            _ => (1, "General Error"),
        };
        self.activity(6008, "Application Error", id, name);
        self.times();
        self.message();
        self.put(key!("status_detail"), Fact::Error);
        self.put(key!("status_code"), Fact::Code);
        self.device();
        self.rest(UNMAPPED_CLIENT);
        self.json.close(start, b'}');
        self.json.out.pop();
    }

    fn metadata(&mut self) {
        let view = self.view;
        self.json.out.extend_from_slice(view.shared());
        self.json.raw(r#""uid":""#);
        self.json.out.extend_from_slice(&view.id());
        if view.part == Part::Login {
            self.json.raw(r#"-a","correlation_uid":""#);
            self.json.out.extend_from_slice(&view.id()[..event_id::ID_LEN]);
        }
        self.json.raw(r#"","#);
        self.put(key!("log_name"), Fact::Dataset);
        self.put(key!("log_source"), Fact::File);
        if !view.row.format.is_empty() && !view.limits.minimal {
            self.json.word(key!("log_format"), view.row.format);
        }
        self.json.number(key!("logged_time"), view.created.ms());
        self.put(key!("sequence"), Fact::Offset);
        if !view.host().is_empty() {
            self.json.raw(r#""profiles":["host"],"#);
        }
        // Its comma becomes its end.
        self.json.out.pop();
        self.json.raw("},");
    }

    /// The activity, the type that follows from it, and the severity.
    fn activity(&mut self, class: u64, class_name: &str, id: u64, name: &str) {
        let json = &mut self.json;
        json.number(key!("activity_id"), id);
        json.word(key!("activity_name"), name);
        json.number(key!("type_uid"), class * 100 + id);
        json.raw(key!("type_name"));
        json.out.push(b'"');
        json.raw(class_name);
        json.raw(": ");
        json.raw(name);
        json.raw("\",");
        let (id, name) = severity(super::facts::level_of(self.view.row));
        json.number(key!("severity_id"), id);
        json.word(key!("severity"), name);
    }

    fn times(&mut self) {
        self.put(key!("time"), Fact::Time);
        self.put(key!("start_time"), Fact::Start);
        self.put(key!("end_time"), Fact::End);
        self.put(key!("duration"), Fact::Duration);
        self.put(key!("count"), Fact::Count);
        let minutes = i64::from(self.view.row.zone_minutes);
        if !self.view.limits.minimal && minutes.abs() <= 1080 {
            self.json.raw(key!("timezone_offset"));
            self.json.raw(itoa::Buffer::new().format(minutes));
            self.json.out.push(b',');
        }
    }

    fn status(&mut self) {
        let (id, name) = match self.view.get(Fact::Outcome) {
            Some(Value::Word("success")) => (1, "Success"),
            Some(Value::Word("failure")) => (2, "Failure"),
            _ => (0, "Unknown"),
        };
        self.json.number(key!("status_id"), id);
        self.json.word(key!("status"), name);
        if let Some(Value::Number(status)) = self.view.get(Fact::Status) {
            self.json.word(key!("status_code"), itoa::Buffer::new().format(status));
        }
        self.put(key!("status_detail"), Fact::Reason);
    }

    fn message(&mut self) {
        self.put(key!("message"), Fact::Message);
    }

    fn request(&mut self) {
        let request = self.json.open(r#""http_request":{"#);
        self.put(key!("http_method"), Fact::Method);
        self.put(key!("version"), Fact::HttpVersion);
        self.put(key!("user_agent"), Fact::UserAgent);
        self.put(key!("referrer"), Fact::Referrer);
        self.put(key!("args"), Fact::Query);
        self.put(key!("uid"), Fact::RequestId);
        self.put(key!("length"), Fact::RequestBytes);
        self.forwarded();
        self.url();
        self.json.close(request, b'}');
    }

    /// The schema has no URL without a path or the whole of it.
    fn url(&mut self) {
        let has_target = !self.view.limits.minimal && self.view.get(Fact::Url).is_some();
        if !has_target && self.view.get(Fact::Path).is_none() {
            return;
        }
        let url = self.json.open(r#""url":{"#);
        self.put(key!("url_string"), Fact::Url);
        self.put(key!("scheme"), Fact::Scheme);
        if let Some(host) = self.view.url_host().filter(|_| !self.view.limits.minimal) {
            self.json.text(key!("hostname"), "url.domain", host, WORD);
        }
        self.put(key!("path"), Fact::Path);
        self.put(key!("query_string"), Fact::Query);
        self.json.close(url, b'}');
    }

    /// The addresses of a forwarding header; the schema takes nothing else there.
    fn forwarded(&mut self) {
        if !self.view.limits.diagnostics || self.view.limits.minimal {
            return;
        }
        let list = self.json.open(r#""x_forwarded_for":["#);
        let header = self.view.fields.value(Field::Forwarded).unwrap_or_default();
        for ip in super::facts::hops(header).filter_map(super::facts::address_in) {
            let text = super::view::AddressText::of(Some(ip));
            self.json.item("gatewatch.xff_chain", text.as_bytes(), WORD);
        }
        self.json.close(list, b']');
    }

    fn response(&mut self) {
        // The class demands a code wherever there is a response.
        if self.view.row.status == 0 {
            return;
        }
        let response = self.json.open(r#""http_response":{"#);
        self.put(key!("code"), Fact::Status);
        let whole = self.view.fields.value(Field::ResponseBytes).and_then(parse_u64);
        if !self.view.limits.minimal {
            if let Some(bytes) = whole {
                number(&mut self.json, key!("length"), bytes);
            }
            if let Some(bytes) = self.view.row.bytes.filter(|bytes| whole != Some(*bytes)) {
                number(&mut self.json, key!("body_length"), bytes);
            }
        }
        self.put(key!("latency"), Fact::Duration);
        self.json.close(response, b'}');
    }

    fn source(&mut self) {
        if !self.has_source() {
            return;
        }
        let source = self.json.open(r#""src_endpoint":{"#);
        self.put(key!("ip"), Fact::ClientIp);
        self.put(key!("name"), Fact::ClientName);
        self.put(key!("port"), Fact::ClientPort);
        if self.view.row.kind == Kind::Access && self.view.part == Part::Whole {
            let owner = self.json.open(r#""owner":{"#);
            self.put(key!("name"), Fact::User);
            self.json.close(owner, b'}');
        }
        let hops = self.json.open(r#""intermediate_ips":["#);
        self.put("", Fact::Peer);
        self.json.close(hops, b']');
        let place = self.json.open(r#""location":{"#);
        self.put(key!("country"), Fact::Country);
        self.put(key!("city"), Fact::City);
        self.json.close(place, b'}');
        let network = self.json.open(r#""autonomous_system":{"#);
        self.put(key!("number"), Fact::AsNumber);
        self.put(key!("name"), Fact::AsName);
        self.json.close(network, b'}');
        self.json.close(source, b'}');
    }

    /// The schema has no endpoint without an address or a name.
    fn has_source(&self) -> bool {
        self.view.row.client.is_some() || self.view.get(Fact::ClientName).is_some()
    }

    fn destination(&mut self) {
        let destination = self.json.open(r#""dst_endpoint":{"#);
        self.put(key!("hostname"), Fact::Domain);
        self.put(key!("ip"), Fact::ServerIp);
        self.put(key!("port"), Fact::ServerPort);
        self.put(key!("svc_name"), Fact::Site);
        self.json.close(destination, b'}');
    }

    fn device(&mut self) {
        if self.view.host().is_empty() {
            return;
        }
        let device = self.json.open(r#""device":{"#);
        self.put(key!("hostname"), Fact::Host);
        self.json.raw(r#""type_id":1,"type":"Server","#);
        self.json.close(device, b'}');
    }

    fn connection(&mut self) {
        let connection = self.json.open(r#""connection_info":{"#);
        self.json.raw(r#""direction_id":1,"direction":"Inbound","#);
        self.put(key!("protocol_name"), Fact::Transport);
        let version = match self.view.get(Fact::NetworkType) {
            Some(Value::Word("ipv4")) => r#""protocol_ver_id":4,"#,
            Some(Value::Word("ipv6")) => r#""protocol_ver_id":6,"#,
            _ => "",
        };
        self.json.raw(version);
        self.json.close(connection, b'}');
        self.json.raw(r#""observation_point_id":2,"observation_point":"Destination","#);
    }

    /// The schema counts from the client: out is what it sent.
    fn traffic(&mut self) {
        let traffic = self.json.open(r#""traffic":{"#);
        self.put(key!("bytes_in"), Fact::ResponseBytes);
        self.put(key!("bytes_out"), Fact::RequestBytes);
        self.json.close(traffic, b'}');
    }

    fn tls(&mut self) {
        if self.view.get(Fact::TlsVersion).is_none() {
            return;
        }
        let tls = self.json.open(r#""tls":{"#);
        self.put(key!("version"), Fact::TlsVersion);
        self.put(key!("cipher"), Fact::TlsCipher);
        self.put(key!("sni"), Fact::ServerName);
        self.json.close(tls, b'}');
    }

    fn protocol(&mut self) {
        let (id, name) = match self.view.row.auth.map(|auth| auth.method) {
            Some(AuthMethod::Basic) => (11, "Basic Authentication"),
            Some(AuthMethod::Digest) => (3, "Digest"),
            Some(other) => (99, other.name()),
            None => return,
        };
        self.json.number(key!("auth_protocol_id"), id);
        self.json.word(key!("auth_protocol"), name);
    }

    /// The addresses to search for, the raw line, and what the schema has no place for.
    fn rest(&mut self, client: &str) {
        self.observables(client);
        let max = self.view.original_max();
        if max == 0 && self.view.get(Fact::Original).is_some() {
            self.json.note_cut("event.original");
        } else if let Some(Value::Text(line)) = self.view.get(Fact::Original) {
            self.json.text(key!("raw_data"), "event.original", &line, max);
        }
        self.unmapped(client == UNMAPPED_CLIENT);
    }

    /// `client` is the path of the member that holds the client's address.
    fn observables(&mut self, client: &str) {
        let list = self.json.open(r#""observables":["#);
        if self.view.row.client.is_some() {
            let item = self.json.open("{");
            self.json.word(key!("name"), client);
            self.json.raw(r#""type_id":2,"type":"IP Address","#);
            self.put(key!("value"), Fact::ClientIp);
            self.json.close(item, b'}');
        }
        self.json.close(list, b']');
    }

    fn unmapped(&mut self, with_client: bool) {
        let unmapped = self.json.open(r#""unmapped":{"#);
        if with_client {
            self.put(key!("source_ip"), Fact::ClientIp);
        }
        self.put(key!("gatewatch_action"), Fact::Action);
        if self.view.row.kind == Kind::Access && !self.has_source() {
            self.put(key!("user"), Fact::User);
        }
        self.put(key!("gatewatch_malformed"), Fact::Malformed);
        self.put(key!("gatewatch_auth_grade"), Fact::Grade);
        self.put(key!("gatewatch_auth_app"), Fact::LoginApp);
        if self.view.row.kind == Kind::ServerError || self.view.row.kind == Kind::Auth {
            self.put(key!("http_method"), Fact::Method);
            self.put(key!("url"), Fact::Target);
            self.put(key!("process_name"), Fact::Process);
            self.put(key!("process_pid"), Fact::Pid);
            self.put(key!("target_user"), Fact::TargetUser);
        }
        if self.view.limits.minimal {
            self.json.note_all_cut();
        }
        self.json.cut_names(r#""gatewatch_truncated":["#);
        self.json.close(unmapped, b'}');
    }

    /// A fact under its key, if it is known and the limits leave it.
    fn put(&mut self, key: &str, fact: Fact) {
        let limits = self.view.limits;
        let left_out =
            limits.minimal && !fact.is_essential() || fact.is_diagnostic() && !limits.diagnostics;
        if !left_out {
            self.always(key, fact);
        }
    }

    /// The same for what a class demands.
    fn always(&mut self, key: &str, fact: Fact) {
        if let Some(value) = self.view.get(fact) {
            write(&mut self.json, key, fact, &value, fact.max(self.view.limits));
        }
    }
}

/// Where the client's address stands in the class that has no endpoints.
const UNMAPPED_CLIENT: &str = "unmapped.source_ip";

/// The members that the schema gives 64 bits; every other number has 32.
const LONGS: &[&str] =
    &[key!("duration"), key!("bytes_in"), key!("bytes_out"), key!("process_pid")];

/// A member that is a number, unless its type cannot hold it.
fn number(json: &mut Json<'_>, key: &str, number: u64) {
    if number <= i32::MAX.unsigned_abs().into() || LONGS.contains(&key) {
        json.number(key, number);
    }
}

/// A member; times and lengths of time in milliseconds.
fn write(json: &mut Json<'_>, key: &str, fact: Fact, value: &Value<'_>, max: usize) {
    match value {
        Value::Text(text) => json.text(key, fact.name(), text, max),
        Value::Word(word) => json.word(key, word),
        Value::Number(value) => number(json, key, *value),
        Value::Time(time) => json.number(key, time.ms()),
        Value::Nanos(nanos) => number(json, key, nanos / 1_000_000),
    }
}

/// `activity_id` of 4002 and its name.
fn http_activity(method: &[u8]) -> (u64, &'static str) {
    match method {
        b"" => (0, "Unknown"),
        b"CONNECT" => (1, "Connect"),
        b"DELETE" => (2, "Delete"),
        b"GET" => (3, "Get"),
        b"HEAD" => (4, "Head"),
        b"OPTIONS" => (5, "Options"),
        b"POST" => (6, "Post"),
        b"PUT" => (7, "Put"),
        b"TRACE" => (8, "Trace"),
        b"PATCH" => (9, "Patch"),
        _ => (99, "Other"),
    }
}

/// `severity_id` and its name.
fn severity(level: Level) -> (u64, &'static str) {
    match level {
        Level::Debug | Level::Info | Level::Notice => (1, "Informational"),
        Level::Warn => (2, "Low"),
        Level::Error => (3, "Medium"),
        Level::Critical | Level::Alert => (4, "High"),
        Level::Emergency => (5, "Critical"),
    }
}
