//! An alert as a Detection Finding, class 2004.

use super::{class, write};
use crate::engine::detect::{AlertState, Severity};
use crate::engine::render::alert::transition_id;
use crate::engine::render::fact::{Fact, Subject};
use crate::engine::render::json::{Json, key};
use crate::engine::render::of_alert::AlertView;

/// Appends one object.
pub(in crate::engine::render) fn finding(view: &AlertView<'_>, out: &mut Vec<u8>) {
    let mut scribe = Scribe { json: Json::new(out), view };
    scribe.object();
}

struct Scribe<'s, 'o> {
    json: Json<'o>,
    view: &'s AlertView<'s>,
}

impl Scribe<'_, '_> {
    fn object(&mut self) {
        let start = self.json.open("{");
        self.json.out.extend_from_slice(self.view.shared());
        self.json.word(key!("uid"), &transition_id(self.view.alert));
        self.json.raw(r#""log_name":"gatewatch.alert","profiles":["security_control"]},"#);
        self.json.raw(class!(2, "Findings", 2004, "Detection Finding"));
        self.json.raw(match self.view.alert.state {
            AlertState::Firing => concat!(
                r#""activity_id":1,"activity_name":"Create","type_uid":200401,"#,
                r#""type_name":"Detection Finding: Create","status_id":1,"status":"New","#,
                r#""is_alert":true,"#
            ),
            AlertState::Escalated => concat!(
                r#""activity_id":2,"activity_name":"Update","type_uid":200402,"#,
                r#""type_name":"Detection Finding: Update","status_id":2,"status":"In Progress","#,
                r#""is_alert":true,"#
            ),
            AlertState::Resolved => concat!(
                r#""activity_id":3,"activity_name":"Close","type_uid":200403,"#,
                r#""type_name":"Detection Finding: Close","status_id":4,"status":"Resolved","#,
                r#""is_alert":false,"#
            ),
        });
        self.put(key!("time"), Fact::Time);
        self.put(key!("start_time"), Fact::Start);
        self.put(key!("end_time"), Fact::End);
        let (id, name) = severity(self.view.alert.severity);
        self.json.number(key!("severity_id"), id);
        self.json.word(key!("severity"), name);
        // The program watches; it stops nobody.
        self.json.raw(r#""action_id":3,"action":"Observed","disposition_id":15,"#);
        self.json.raw(r#""disposition":"Detected","#);
        self.put(key!("count"), Fact::AlertCount);
        self.put(key!("message"), Fact::Message);
        self.finding_info();
        if !self.view.limits.minimal {
            self.evidences();
            self.observables();
        }
        self.unmapped();
        self.json.close(start, b'}');
        self.json.out.pop();
    }

    fn finding_info(&mut self) {
        let info = self.json.open(r#""finding_info":{"#);
        self.put(key!("uid"), Fact::AlertId);
        self.put(key!("title"), Fact::RuleName);
        self.put(key!("desc"), Fact::Message);
        let analytic = self.json.open(r#""analytic":{"#);
        self.json.raw(r#""type_id":1,"type":"Rule","#);
        self.put(key!("uid"), Fact::RuleId);
        self.put(key!("name"), Fact::RuleName);
        let version = itoa::Buffer::new().format(self.view.alert.rule.version).to_owned();
        self.json.word(key!("version"), &version);
        self.json.close(analytic, b'}');
        self.put(key!("first_seen_time"), Fact::Start);
        self.put(key!("last_seen_time"), Fact::End);
        self.put(key!("created_time"), Fact::Time);
        self.put(key!("related_events_count"), Fact::AlertCount);
        let types = self.json.open(r#""types":["#);
        self.put("", Fact::RuleCategory);
        self.json.close(types, b']');
        let attacks = self.json.open(r#""attacks":["#);
        for technique in &self.view.alert.rule.attack {
            self.json.raw(r#"{"technique":{"#);
            self.json.text(key!("uid"), "threat.technique.id", technique.as_bytes(), 32);
            self.json.out.pop();
            self.json.raw("}},");
        }
        self.json.close(attacks, b']');
        self.json.close(info, b'}');
    }

    /// Whom and what the alert is about, and the events that prove it.
    fn evidences(&mut self) {
        let list = self.json.open(r#""evidences":["#);
        let evidence = self.json.open("{");
        let source = self.json.open(r#""src_endpoint":{"#);
        self.put(key!("ip"), Fact::ClientIp);
        self.json.close(source, b'}');
        let target = self.json.open(r#""dst_endpoint":{"#);
        self.put(key!("hostname"), Fact::Domain);
        self.json.close(target, b'}');
        let user = self.json.open(r#""user":{"#);
        self.put(key!("name"), Fact::User);
        self.json.close(user, b'}');
        let url = self.json.open(r#""url":{"#);
        self.put(key!("path"), Fact::Path);
        self.json.close(url, b'}');
        if self.view.limits.original != 0 {
            self.data();
        }
        self.json.close(evidence, b'}');
        // An endpoint has one address, so each further one is evidence of its own.
        for ip in self.view.alert.addresses.iter().skip(1) {
            let evidence = self.json.open("{");
            let source = self.json.open(r#""src_endpoint":{"#);
            self.json.word(key!("ip"), &ip.to_canonical().to_string());
            self.json.close(source, b'}');
            self.json.close(evidence, b'}');
        }
        self.json.close(list, b']');
    }

    fn data(&mut self) {
        let data = self.json.open(r#""data":{"#);
        let ids = self.json.open(r#""event_ids":["#);
        for line in self.view.alert.evidence.iter().filter(|line| !line.event_id.is_empty()) {
            self.json.item("gatewatch.alert.sample_ids", line.event_id.as_bytes(), 64);
        }
        self.json.close(ids, b']');
        let lines = self.json.open(r#""lines":["#);
        for line in &self.view.alert.evidence {
            self.json.item("gatewatch.alert.evidence", line.line.as_bytes(), 2048);
        }
        self.json.close(lines, b']');
        self.json.close(data, b'}');
    }

    fn observables(&mut self) {
        let list = self.json.open(r#""observables":["#);
        for ip in &self.view.alert.addresses {
            self.json.raw(r#"{"name":"evidences[].src_endpoint.ip","type_id":2,"#);
            self.json.raw(r#""type":"IP Address","#);
            self.json.word(key!("value"), &ip.to_canonical().to_string());
            self.json.out.pop();
            self.json.raw("},");
        }
        self.json.close(list, b']');
    }

    /// The names of what was cut.
    fn unmapped(&mut self) {
        let limits = self.view.limits;
        if limits.original == 0 {
            self.json.note_cut("gatewatch.alert.evidence");
        }
        if limits.minimal {
            self.json.note_all_cut();
        }
        let unmapped = self.json.open(r#""unmapped":{"#);
        self.json.cut_names(r#""gatewatch_truncated":["#);
        self.json.close(unmapped, b'}');
    }

    fn put(&mut self, key: &str, fact: Fact) {
        if let Some(value) = self.view.get(fact) {
            write(&mut self.json, key, fact, &value, fact.max(self.view.limits));
        }
    }
}

/// `severity_id` and its name.
fn severity(severity: Severity) -> (u64, &'static str) {
    match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}
