//! What an alert knows of each [`Fact`].

use std::borrow::Cow;
use std::net::IpAddr;

use super::Encoder;
use super::alert::{action, transition_id};
use super::fact::{Fact, Subject, Value};
use super::facts::{Class, Rank};
use super::limits::Limits;
use crate::engine::detect::Alert;

/// Separates the values of a group key, as in the alert's id.
const GROUP_SEPARATOR: &str = "\u{1f}";

/// What an encoding is asked to write of an alert.
pub(super) struct AlertView<'v> {
    pub(super) encoder: &'v Encoder,
    pub(super) alert: &'v Alert,
    pub(super) limits: &'static Limits,
}

impl Subject for AlertView<'_> {
    fn get(&self, fact: Fact) -> Option<Value<'_>> {
        let alert = self.alert;
        match fact {
            Fact::Time => Some(Value::Time(alert.at)),
            Fact::Start => Some(Value::Time(alert.first_event)),
            Fact::End => Some(Value::Time(alert.last_event)),
            Fact::Id => Some(Value::Text(Cow::Owned(transition_id(alert).into_bytes()))),
            Fact::Message => text(&alert.summary),
            Fact::Kind => Some(Value::Word("alert")),
            Fact::CorrelatedType => Some(Value::Number(2)),
            Fact::Action => Some(Value::Word(action(alert.state))),
            Fact::Severity => Some(Value::Number(u64::from(alert.severity.score()))),
            Fact::Level => Some(Value::Word(alert.severity.name())),
            Fact::Count | Fact::AlertCount => Some(Value::Number(alert.count)),
            Fact::Dataset => Some(Value::Word("gatewatch.alert")),
            Fact::Host => text(&self.encoder.agent.name),
            Fact::Original => self.evidence(),
            _ => self.of_rule(fact).or_else(|| self.of_group(fact)),
        }
    }

    fn rank(&self) -> Rank {
        Rank::Alert(self.alert.severity)
    }

    fn class(&self) -> Class<'_> {
        Class::Alert(&self.alert.rule.id, &self.alert.rule.title)
    }

    fn limits(&self) -> &'static Limits {
        self.limits
    }

    fn shared(&self) -> &[u8] {
        &self.encoder.shared
    }
}

impl AlertView<'_> {
    fn of_rule(&self, fact: Fact) -> Option<Value<'_>> {
        let alert = self.alert;
        match fact {
            Fact::RuleId => text(&alert.rule.id),
            Fact::RuleName => text(&alert.rule.title),
            Fact::RuleVersion => Some(Value::Number(u64::from(alert.rule.version))),
            Fact::RuleCategory => text(&alert.rule.category),
            Fact::Technique => joined(&alert.rule.attack, ",", 1),
            Fact::AlertId => text(&alert.id),
            Fact::AlertState => Some(Value::Word(alert.state.name())),
            Fact::Threshold => Some(Value::Number(alert.threshold)),
            Fact::Window => Some(Value::Number(alert.window.secs())),
            _ => None,
        }
    }

    /// What the alert is about: the first of each kind, and all of them where there are more.
    fn of_group(&self, fact: Fact) -> Option<Value<'_>> {
        let alert = self.alert;
        let first = alert.addresses.first().map(IpAddr::to_canonical);
        let address = |ip: IpAddr| Some(Value::Text(Cow::Owned(ip.to_string().into_bytes())));
        match fact {
            Fact::ClientIp => first.and_then(address),
            Fact::ClientIpv4 => first.filter(IpAddr::is_ipv4).and_then(address),
            Fact::ClientIpv6 => first.filter(IpAddr::is_ipv6).and_then(address),
            Fact::User | Fact::LoginUser => text(alert.users.first()?),
            // A name that a client chose: the shortest form has no room for it.
            Fact::Domain | Fact::Site if self.limits.minimal => None,
            Fact::Domain | Fact::Site => text(alert.sites.first()?),
            Fact::Path => text(alert.paths.first()?),
            Fact::Addresses => {
                let all: Vec<String> = alert.addresses.iter().map(IpAddr::to_string).collect();
                joined(&all, ",", 2)
            }
            Fact::Users => joined(&alert.users, ",", 2),
            Fact::Group => {
                let values: Vec<String> = alert.group.iter().map(|(_, v)| v.clone()).collect();
                joined(&values, GROUP_SEPARATOR, 1)
            }
            _ => None,
        }
    }

    /// The lines that made the rule fire.
    fn evidence(&self) -> Option<Value<'_>> {
        let lines: Vec<String> = self.alert.evidence.iter().map(|line| line.line.clone()).collect();
        joined(&lines, "\n", 1)
    }
}

fn text(text: &str) -> Option<Value<'_>> {
    (!text.is_empty()).then(|| Value::from(text.as_bytes()))
}

/// All of `parts`, if there are at least so many.
fn joined(parts: &[String], separator: &str, least: usize) -> Option<Value<'static>> {
    let all = parts.join(separator);
    (least <= parts.len() && !all.is_empty()).then(|| Value::Text(Cow::Owned(all.into_bytes())))
}
