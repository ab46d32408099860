//! What a user agent says about itself: program, version, system and kind of device.
//!
//! A library knows the agents; it is asked once for each text, because it takes longer than
//! everything else that is done to a line. Off unless the operator wants it.

use std::collections::BTreeMap;

use woothee::parser::Parser;
use woothee::woothee::VALUE_UNKNOWN;

use crate::engine::batch::{Field, Writer};

/// Agents whose answer is kept. Real sites see some thousands; a client that makes up new ones
/// costs a question each, and no memory.
const KEPT_MAX: usize = 4096;

/// Longer texts are no agents that anybody knows.
const AGENT_BYTES_MAX: usize = 1024;

/// The answers about agents seen before.
#[derive(Debug)]
pub struct Agents {
    parser: Library,
    known: BTreeMap<Box<[u8]>, Facts>,
}

struct Library(Parser);

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Library")
    }
}

/// A part that is not known is empty.
#[derive(Debug, Default)]
struct Facts {
    name: Box<str>,
    version: Box<str>,
    os: Box<str>,
    os_version: Box<str>,
    device: Box<str>,
}

impl Default for Agents {
    fn default() -> Self {
        Self { parser: Library(Parser::new()), known: BTreeMap::new() }
    }
}

impl Agents {
    /// Sets the parts of the agent of the open row.
    pub(super) fn describe(&mut self, raw: &[u8], out: &mut Writer<'_>) {
        let Some(agent) = out.field(raw, Field::UserAgent) else { return };
        if agent.is_empty() || AGENT_BYTES_MAX < agent.len() {
            return;
        }
        if !self.known.contains_key(agent) {
            if KEPT_MAX <= self.known.len() {
                self.known.clear();
            }
            let facts = Facts::of(&self.parser.0, agent);
            self.known.insert(agent.into(), facts);
        }
        let Some(facts) = self.known.get(agent) else { return };
        for (field, value) in [
            (Field::AgentName, &facts.name),
            (Field::AgentVersion, &facts.version),
            (Field::AgentOs, &facts.os),
            (Field::AgentOsVersion, &facts.os_version),
            (Field::AgentDevice, &facts.device),
        ] {
            if !value.is_empty() {
                out.set(field, value.as_bytes());
            }
        }
    }
}

impl Facts {
    fn of(parser: &Parser, agent: &[u8]) -> Self {
        let Ok(agent) = std::str::from_utf8(agent) else { return Self::default() };
        let Some(found) = parser.parse(agent) else { return Self::default() };
        let known = |text: &str| if text == VALUE_UNKNOWN { "" } else { text }.into();
        Self {
            name: known(found.name),
            version: known(found.version),
            os: known(found.os),
            os_version: known(&found.os_version),
            device: known(found.category),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::batch::EventBatch;

    #[track_caller]
    fn check(agents: &mut Agents, agent: &[u8], expected: &str) {
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), agent.to_vec());
        let (raw, mut out) = batch.open();
        out.set(Field::UserAgent, raw);
        agents.describe(raw, &mut out);
        out.finish();
        let parts = [
            Field::AgentName,
            Field::AgentVersion,
            Field::AgentOs,
            Field::AgentOsVersion,
            Field::AgentDevice,
        ];
        let event = batch.event(0);
        let shown: Vec<&str> = parts
            .iter()
            .map(|part| {
                event.field(*part).map_or("-", |text| std::str::from_utf8(text).expect("text"))
            })
            .collect();
        assert_eq!(expected, shown.join("|"), "{}", agent.escape_ascii());
    }

    #[test]
    fn browsers_and_crawlers_are_told_apart() {
        let mut agents = Agents::default();
        let firefox = b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        for _ in 0..2 {
            check(&mut agents, firefox, "Firefox|128.0|Linux|-|pc");
        }
        let phone = b"Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1";
        check(&mut agents, phone, "Safari|16.6|iPhone|16.6|smartphone");
        let bot = b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        check(&mut agents, bot, "Googlebot|-|-|-|crawler");
        check(&mut agents, b"\xff", "-|-|-|-|-");
    }

    #[test]
    fn agents_made_up_by_the_thousand_are_not_kept() {
        let mut agents = Agents::default();
        for number in 0..KEPT_MAX + 10 {
            let agent = format!("x{number}");
            check(&mut agents, agent.as_bytes(), "-|-|-|-|-");
        }
        assert!(agents.known.len() <= KEPT_MAX);
    }
}
