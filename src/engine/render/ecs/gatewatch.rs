//! What ECS has no name for, and the lists of everything that an event is about: `gatewatch` and
//! `related`.

use super::{AddressText, Scribe};
use crate::engine::batch::{AuthOutcome, ClientSource, Field, Kind};
use crate::engine::detect::signature;
use crate::engine::enrich::crawler;
use crate::engine::render::facts::{HOPS_MAX, address_in, hops};
use crate::engine::render::json::{is_decimal, key};
use crate::engine::render::limits::{SHORT, TEXT, WORD};

/// Columns behind the known ones that are written.
const TRAILING_MAX: usize = 16;

impl Scribe<'_, '_> {
    /// Every address and user of the event once, and the hosts it came from. The site that was
    /// asked is not among them: it is `destination.domain` in every event.
    pub(super) fn related(&mut self) {
        if !self.diagnostics("related") {
            return;
        }
        let related = self.json.open(r#""related":{"#);
        let ips = self.json.open(r#""ip":["#);
        if self.row.client.is_some() {
            self.json.out.push(b'"');
            self.json.out.extend_from_slice(self.client.as_bytes());
            self.json.raw(r#"","#);
        }
        self.other_addresses();
        self.json.close(ips, b']');
        let (user, target) = (self.fields.value(Field::User), self.fields.value(Field::TargetUser));
        self.pair(r#""user":["#, "related.user", user, target);
        let client = match self.row.client {
            // What was logged in the place of an address is the name of a host, or a socket.
            None => self.fields.value(Field::ClientAddress).filter(|name| !name.contains(&b':')),
            Some(_) => None,
        };
        self.pair(r#""hosts":["#, "related.hosts", client, self.fields.value(Field::Hostname));
        self.json.close(related, b'}');
    }

    /// A list of at most two different texts.
    fn pair(
        &mut self,
        start: &'static str,
        name: &'static str,
        first: Option<&[u8]>,
        second: Option<&[u8]>,
    ) {
        let list = self.json.open(start);
        if let Some(first) = first {
            self.json.item(name, first, WORD);
        }
        if let Some(second) = second.filter(|_| first != second) {
            self.json.item(name, second, WORD);
        }
        self.json.close(list, b']');
    }

    /// The addresses beside the client's, each once.
    fn other_addresses(&mut self) {
        let mut seen = [None; HOPS_MAX + 4];
        seen[0] = self.row.client.map(|client| client.to_canonical());
        let mut count = 1;
        let single = [Field::Peer, Field::RealIp, Field::DestinationIp];
        let single = single.into_iter().filter_map(|field| self.fields.value(field));
        let chain = hops(self.fields.value(Field::Forwarded).unwrap_or_default());
        for ip in single.chain(chain).filter_map(address_in) {
            if !seen[..count].contains(&Some(ip)) {
                seen[count] = Some(ip);
                count += 1;
                self.json.out.push(b'"');
                self.json.out.extend_from_slice(AddressText::of(Some(ip)).as_bytes());
                self.json.raw(r#"","#);
            }
        }
    }

    /// The profile asks for a part that helps to find out what went wrong. A full event that has
    /// to do without it says so.
    fn diagnostics(&mut self, part: &'static str) -> bool {
        if self.full && !self.limits.diagnostics {
            self.json.note_cut(part);
        }
        self.full && self.limits.diagnostics
    }

    pub(super) fn gatewatch(&mut self) {
        let row = self.row;
        let diagnostics = self.diagnostics("gatewatch");
        let own = self.json.open(r#""gatewatch":{"#);
        if diagnostics {
            match (row.kind, row.format) {
                (_, "") => (),
                (Kind::ParseFailure, _) => self.json.word(key!("format"), "none"),
                (_, format) => self.json.word(key!("format"), format),
            }
            self.path_of_client();
            self.crawler();
        }
        if row.time_is_read {
            self.json.word(key!("time_source"), "read");
        }
        if let Some(malformed) = row.malformed {
            self.json.word(key!("malformed"), malformed.name());
        }
        if diagnostics {
            self.field(key!("record"), "gatewatch.record", Field::Record, SHORT);
            self.upstream();
            self.haproxy();
        }
        self.auth();
        self.detections();
        if diagnostics {
            self.matched();
        }
        if diagnostics {
            self.trailing();
        }
        // Last, because every text before may set them.
        if self.json.nonutf8 {
            self.json.truth(key!("nonutf8"), true);
        }
        self.truncated();
        self.json.close(own, b'}');
    }

    /// Through which hops a request came, and which of them counts as the client.
    fn path_of_client(&mut self) {
        let row = self.row;
        let peer = self.json.open(r#""peer":{"#);
        match self.fields.value(Field::Peer).and_then(address_in) {
            Some(ip) => {
                let text = AddressText::of(Some(ip));
                self.json.text(key!("ip"), "gatewatch.peer.ip", text.as_bytes(), SHORT);
            }
            None if row.client_source == ClientSource::Peer
                && row.kind == Kind::Access
                && row.client.is_some() =>
            {
                self.json.raw(r#""ip":""#);
                self.json.out.extend_from_slice(self.client.as_bytes());
                self.json.raw(r#"","#);
            }
            None => (),
        }
        self.json.close(peer, b'}');
        if row.kind == Kind::Access || row.client_source != ClientSource::Peer {
            self.json.word(key!("client_ip_source"), row.client_source.name());
        }
        self.field(key!("real_ip"), "gatewatch.real_ip", Field::RealIp, WORD);
        let chain = self.json.open(r#""xff_chain":["#);
        for hop in hops(self.fields.value(Field::Forwarded).unwrap_or_default()) {
            self.json.item("gatewatch.xff_chain", hop, WORD);
        }
        self.json.close(chain, b']');
    }

    /// A crawler that a client calls itself, and whether it comes from where that one does.
    fn crawler(&mut self) {
        if let Some(standing) = crawler(self.event) {
            let member = self.json.open(r#""crawler":{"#);
            self.json.word(key!("name"), standing.crawler());
            self.json.word(key!("standing"), standing.name());
            self.json.close(member, b'}');
        }
    }

    /// The classes of attack that the signatures find.
    fn detections(&mut self) {
        if self.encoder.encoder.detect {
            let list = self.json.open(r#""detections":["#);
            for class in signature::of(self.event).classes.iter() {
                self.json.word("", class.name());
            }
            self.json.close(list, b']');
        }
    }

    /// The published weakness that the request is for.
    pub(super) fn vulnerability(&mut self) {
        if self.encoder.encoder.detect
            && let Some(id) = signature::of(self.event).cve()
        {
            let member = self.json.open(r#""vulnerability":{"#);
            self.json.word(key!("enumeration"), "CVE");
            self.json.word(key!("id"), id);
            self.json.close(member, b'}');
        }
    }

    fn upstream(&mut self) {
        if !self.fields.has_any(Field::UpstreamAddress, Field::IisWin32Status) {
            return;
        }
        let upstream = self.json.open(r#""upstream":{"#);
        let (name, field) = ("gatewatch.upstream.address", Field::UpstreamAddress);
        self.field(key!("address"), name, field, WORD);
        self.field_number(key!("status"), Field::UpstreamStatus, 999);
        for (key, field) in [
            (r#""response_time_s":"#, Field::UpstreamTime),
            (r#""connect_time_s":"#, Field::UpstreamConnectTime),
            (r#""header_time_s":"#, Field::UpstreamHeaderTime),
        ] {
            if let Some(seconds) = self.fields.value(field).filter(|value| is_decimal(value)) {
                self.json.raw(key);
                self.json.out.extend_from_slice(seconds);
                self.json.out.push(b',');
            }
        }
        self.field_number(key!("attempts"), Field::UpstreamAttempts, u64::MAX);
        self.json.close(upstream, b'}');
        let cache = self.json.open(r#""cache":{"#);
        self.field(key!("status"), "gatewatch.cache.status", Field::CacheStatus, SHORT);
        self.json.close(cache, b'}');
        let connection = self.json.open(r#""connection":{"#);
        self.field_number(key!("id"), Field::Connection, u64::MAX);
        self.field_number(key!("requests"), Field::ConnectionRequests, u64::MAX);
        self.json.close(connection, b'}');
        let iis = self.json.open(r#""iis":{"#);
        self.field_number(key!("substatus"), Field::IisSubstatus, u64::MAX);
        self.field_number(key!("win32_status"), Field::IisWin32Status, u64::MAX);
        self.json.close(iis, b'}');
    }

    fn haproxy(&mut self) {
        if !self.fields.has_any(Field::HaproxyFrontend, Field::HaproxyRetries) {
            return;
        }
        let member = self.json.open(r#""haproxy":{"#);
        let (name, field) = ("gatewatch.haproxy.frontend", Field::HaproxyFrontend);
        self.field(key!("frontend"), name, field, WORD);
        let (name, field) = ("gatewatch.haproxy.backend", Field::HaproxyBackend);
        self.field(key!("backend"), name, field, WORD);
        let (name, field) = ("gatewatch.haproxy.server", Field::HaproxyServer);
        self.field(key!("server"), name, field, WORD);
        let (name, field) = ("gatewatch.haproxy.term_state", Field::HaproxyTermState);
        self.field(key!("term_state"), name, field, SHORT);
        self.field_number(key!("tq_ms"), Field::HaproxyTq, u64::MAX);
        self.field_number(key!("tw_ms"), Field::HaproxyTw, u64::MAX);
        self.field_number(key!("tc_ms"), Field::HaproxyTc, u64::MAX);
        self.field_number(key!("tr_ms"), Field::HaproxyTr, u64::MAX);
        self.field_number(key!("ta_ms"), Field::HaproxyTa, u64::MAX);
        self.field_number(key!("retries"), Field::HaproxyRetries, u64::MAX);
        self.json.close(member, b'}');
    }

    fn auth(&mut self) {
        let member = self.json.open(r#""auth":{"#);
        if let Some(auth) = self.row.auth {
            self.json.word(key!("method"), auth.method.name());
            if !self.row.login_app.is_empty() {
                self.json.word(key!("app"), self.row.login_app);
            }
            self.json.word(key!("confidence"), auth.confidence.name());
            self.json.truth(key!("counted"), auth.counted);
            // Success and failure are in `event.outcome`, which has no word for the others.
            if matches!(auth.outcome, AuthOutcome::Challenge | AuthOutcome::Attempt) {
                self.json.word(key!("outcome"), auth.outcome.name());
            }
        }
        if let Some(grade) = self.row.grade {
            self.json.word(key!("grade"), grade.name());
        }
        if self.row.empty_user {
            self.json.truth(key!("empty_user"), true);
        }
        self.json.close(member, b'}');
    }

    fn trailing(&mut self) {
        let extra = self.json.open(r#""extra":["#);
        if self.fields.value(Field::Trailing).is_some() {
            let columns = self.event.rare().filter(|(field, _)| *field == Field::Trailing);
            for (_, column) in columns.take(TRAILING_MAX) {
                self.json.item("gatewatch.extra", column, TEXT);
            }
        }
        self.json.close(extra, b']');
    }

    fn truncated(&mut self) {
        if self.limits.minimal {
            self.json.note_all_cut();
        }
        self.json.cut_names(r#""truncated":["#);
    }
}
