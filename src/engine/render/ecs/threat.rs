//! What a list of indicators knows about the event: `threat` and `gatewatch.threat`.

use super::Scribe;
use crate::engine::batch::Field;
use crate::engine::render::json::key;
use crate::engine::render::limits::{SHORT, TEXT, WORD};

/// The words that ECS has, as far as they are used here.
const TYPES: [&str; 7] =
    ["ipv4-addr", "ipv6-addr", "domain-name", "url", "software", "file", "user-account"];
const CONFIDENCES: [&str; 4] = ["None", "Low", "Medium", "High"];
const MARKINGS: [&str; 4] = ["CLEAR", "GREEN", "AMBER", "RED"];

impl Scribe<'_, '_> {
    /// An indicator as ECS describes it.
    pub(super) fn threat(&mut self) {
        if !self.is_listed() {
            return;
        }
        let threat = self.json.open(r#""threat":{"#);
        let feed = self.json.open(r#""feed":{"#);
        self.field(key!("name"), "threat.feed.name", Field::ThreatFeed, WORD);
        self.json.close(feed, b'}');
        let indicator = self.json.open(r#""indicator":{"#);
        for (key, name, field) in [
            (key!("name"), "threat.indicator.name", Field::ThreatIndicator),
            (key!("description"), "threat.indicator.description", Field::ThreatDescription),
            (key!("reference"), "threat.indicator.reference", Field::ThreatReference),
        ] {
            self.field(key, name, field, TEXT);
        }
        self.known(key!("type"), Field::ThreatType, &TYPES);
        self.known(key!("confidence"), Field::ThreatConfidence, &CONFIDENCES);
        if let Some(since) = self.fields.value(Field::ThreatSince)
            && let Some(since) = std::str::from_utf8(since).ok()
            && since.parse::<jiff::Timestamp>().is_ok()
        {
            self.json.text(key!("first_seen"), "", since.as_bytes(), SHORT);
        }
        let marking = self.json.open(r#""marking":{"#);
        self.known(key!("tlp"), Field::ThreatTlp, &MARKINGS);
        self.json.close(marking, b'}');
        self.json.close(indicator, b'}');
        self.json.close(threat, b'}');
    }

    /// Where in the event it was found, and how bad that is.
    pub(super) fn matched(&mut self) {
        if !self.is_listed() {
            return;
        }
        let own = self.json.open(r#""threat":{"#);
        let (name, field) = ("gatewatch.threat.matched", Field::ThreatMatched);
        self.field(key!("matched"), name, field, SHORT);
        let (name, field) = ("gatewatch.threat.severity", Field::ThreatSeverity);
        self.field(key!("severity"), name, field, SHORT);
        self.json.close(own, b'}');
    }

    /// A word of a closed list.
    fn known(&mut self, key: &str, field: Field, words: &[&'static str]) {
        let value = self.fields.value(field);
        if let Some(word) = words.iter().find(|word| Some(word.as_bytes()) == value) {
            self.json.word(key, word);
        }
    }

    fn is_listed(&self) -> bool {
        self.fields.has_any(Field::ThreatFeed, Field::ThreatNote)
    }
}
