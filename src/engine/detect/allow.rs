//! Whose alerts are not wanted, and until when: the allow-list.
//!
//! Every entry says why it is there and ends by itself, because an exception that nobody remembers
//! is a hole. What an entry keeps silent is counted.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::rule::Rule;
use crate::engine::batch::{Event, Field};
use crate::units::{Day, Timestamp};

/// An entry of the allow-list: `[[allow]]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// What people call it.
    pub name: String,
    /// Addresses and networks of the clients.
    #[serde(default)]
    pub clients: Vec<Client>,
    /// Names of users.
    #[serde(default)]
    pub users: Vec<String>,
    /// Rules that stay silent about them: ids, or their beginnings followed by `*`.
    #[serde(default = "all_rules")]
    pub rules: Vec<String>,
    /// The first day on which it counts no longer, `2027-06-30`; days begin at midnight UTC.
    pub expires: Day,
    /// Why.
    pub reason: String,
}

fn all_rules() -> Vec<String> {
    vec!["*".to_owned()]
}

/// A network, or a single address.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Client(IpNet);

impl TryFrom<String> for Client {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map(Self)
            .map_err(|_| format!("`{text}` is no address and no network such as `192.0.2.0/24`"))
    }
}

impl Allow {
    /// What is wrong with the entry: the key and the reason.
    pub fn complaint(&self, rules: &[Rule]) -> Option<(&'static str, String)> {
        if self.clients.is_empty() && self.users.is_empty() {
            return Some((
                "clients",
                "name `clients` or `users` whose alerts are not wanted".into(),
            ));
        }
        if self.reason.trim().is_empty() {
            return Some(("reason", "say why, for whoever reads this next year".into()));
        }
        let is_of_none = |pattern: &&String| !rules.iter().any(|rule| covers(pattern, &rule.id));
        let pattern = self.rules.iter().find(is_of_none)?;
        Some(("rules", format!("`{pattern}` is the id of no rule that is in force")))
    }

    /// It is about the client or network `net`, at `time`.
    pub fn has_client(&self, net: &IpNet, time: Timestamp) -> bool {
        let is_it = |client: &Client| client.0.contains(net) || net.contains(&client.0);
        time < self.expires.begins_utc() && self.clients.iter().any(is_it)
    }

    /// It keeps `rule` silent about `event` at `time`. Only alerts about somebody are kept silent:
    /// one about a site is not void because an allowed client had a part in it.
    pub(super) fn holds(&self, rule: &Rule, event: &Event<'_>, time: Timestamp) -> bool {
        rule.is_about_someone()
            && time < self.expires.begins_utc()
            && self.rules.iter().any(|pattern| covers(pattern, &rule.id))
            && (self.is_of_client(event) || self.is_of_user(event))
    }

    fn is_of_client(&self, event: &Event<'_>) -> bool {
        let client = event.row().client;
        client.is_some_and(|ip| self.clients.iter().any(|one| one.0.contains(&ip)))
    }

    fn is_of_user(&self, event: &Event<'_>) -> bool {
        let user = event.field(Field::User);
        user.is_some_and(|user| self.users.iter().any(|one| one.as_bytes() == user))
    }
}

/// `pattern` is `id`, or its beginning followed by `*`.
pub(crate) fn covers(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => id.starts_with(start),
        None => pattern == id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::rule;

    fn entry(lines: &str) -> Result<Allow, String> {
        let text = format!("name = \"probe\"\nexpires = \"2027-06-30\"\nreason = \"r\"\n{lines}");
        toml::from_str(&text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn an_entry_names_somebody_a_day_and_rules_that_are_there() {
        let complaint = |lines: &str| entry(lines).expect("it reads").complaint(&rule::builtin());
        assert_eq!(None, complaint("clients = [\"192.0.2.10\", \"2001:db8::/48\"]"));
        assert_eq!(None, complaint("users = [\"backup\"]\nrules = [\"auth.*\", \"http.crawl\"]"));
        assert_eq!("clients", complaint("").expect("nobody is named").0);
        assert_eq!("rules", complaint("users = [\"a\"]\nrules = [\"http.x*\"]").expect("none").0);
        let bad = entry("clients = [\"192.0.2\"]").expect_err("no address");
        assert!(bad.contains("is no address"), "{bad}");
        let bad = Day::try_from("30.6.2027".to_owned()).expect_err("no day");
        assert!(bad.contains("is no day such as"), "{bad}");
    }
}
