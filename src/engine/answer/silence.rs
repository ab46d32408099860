//! Of whom, or of which rules, nothing is told until a moment that is named.
//!
//! Invariant: an alert that a silence covers is recorded like any other. A silence of rules by the
//! beginning of their names leaves those about log-ins alone, unless it says whose alerts it means:
//! nobody silences the door by accident.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::by;
use crate::engine::detect::{Alert, pattern_covers};
use crate::units::Timestamp;

/// Lists of an alert end here: a full one may have had more to say.
const LIST_MAX: usize = 10;

/// Characters of the reason in the name of a silence.
const REASON_MAX: usize = 60;

/// A silence.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Silence {
    /// Its number in the store; 0 before it is there.
    pub number: i64,
    /// When it was asked for.
    pub at: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
    /// When somebody ended it.
    pub ended: Option<Timestamp>,
    /// The user of the system who asked for it.
    pub uid: u32,
    /// The name of that user.
    pub login: String,
    /// Why.
    pub reason: String,
    /// What it covers.
    pub scope: Scope,
}

/// What a silence covers: an alert that fits one entry of each list that is not empty.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Scope {
    /// Ids of rules, or their beginnings followed by `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Clients and their networks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<IpNet>,
    /// Names of users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Sites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// Values of the fields that rules group by. All of them must fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<(String, String)>,
}

impl Silence {
    /// It holds at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.at <= now && now < self.until && self.ended.is_none_or(|ended| now < ended)
    }

    /// The user who asked for it.
    pub fn by(&self) -> String {
        by(&self.login, self.uid)
    }

    /// What it is called where an alert says why nobody was told.
    pub fn label(&self) -> String {
        let reason: String = self.reason.chars().take(REASON_MAX).collect();
        format!("silence {}: {reason}", self.number)
    }
}

impl Scope {
    /// It says nothing, and would silence all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && !self.is_about_someone()
    }

    /// It says whose alerts it means, or where.
    fn is_about_someone(&self) -> bool {
        !(self.clients.is_empty()
            && self.users.is_empty()
            && self.sites.is_empty()
            && self.keys.is_empty())
    }

    /// It covers `alert`.
    pub fn covers(&self, alert: &Alert) -> bool {
        !self.is_empty()
            && (self.rules.is_empty() || self.rules.iter().any(|rule| self.names(rule, alert)))
            && (self.clients.is_empty() || self.has_clients_of(alert))
            && fits(&self.users, alert, "user.name", &alert.users)
            && fits(&self.sites, alert, "site", &alert.sites)
            && self.keys.iter().all(|(name, value)| alert.group_value(name) == Some(value.as_str()))
    }

    fn names(&self, pattern: &str, alert: &Alert) -> bool {
        let rule = &alert.rule;
        let may_begin = rule.category != "authentication" || self.is_about_someone();
        pattern == rule.id || (may_begin && pattern_covers(pattern, &rule.id))
    }

    /// The alert is about one of the clients, or nobody else took part.
    fn has_clients_of(&self, alert: &Alert) -> bool {
        let has = |net: &IpNet| self.clients.iter().any(|one| one.contains(net));
        let grouped = ["client.net", "client.ip", "source.ip", "client.prefix"];
        if let Some(value) = grouped.iter().find_map(|name| alert.group_value(name)) {
            return net_of(value).is_some_and(|net| has(&net));
        }
        let nets = || alert.addresses.iter().map(|ip| IpNet::from(*ip));
        all_of(alert.addresses.len()) && nets().all(|net| has(&net))
    }

    /// In a few words, for lists: `rule http.scan, client 203.0.113.0/24`.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        let mut add = |what: &str, values: Vec<String>| {
            if !values.is_empty() {
                words.push(format!("{what} {}", values.join(" or ")));
            }
        };
        add("rule", self.rules.clone());
        add("client", self.clients.iter().map(short).collect());
        add("user", self.users.clone());
        add("site", self.sites.clone());
        for (name, value) in &self.keys {
            add(name, vec![value.clone()]);
        }
        words.join(", ")
    }
}

/// `wanted` is empty, the alert is about one of them, or it knows of no other.
fn fits(wanted: &[String], alert: &Alert, field: &str, listed: &[String]) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let is_wanted = |value: &str| wanted.iter().any(|one| one.eq_ignore_ascii_case(value));
    match alert.group_value(field) {
        Some(value) => is_wanted(value),
        None => all_of(listed.len()) && listed.iter().all(|value| is_wanted(value)),
    }
}

/// A list of this length says all there is to say.
fn all_of(len: usize) -> bool {
    0 < len && len < LIST_MAX
}

fn net_of(text: &str) -> Option<IpNet> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or(address).ok()
}

/// An address without the length of a network of one.
fn short(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::RuleInfo;

    fn alert(rule: &str, group: &[(&str, &str)], addresses: &[&str], users: &[&str]) -> Alert {
        let category = if rule.starts_with("auth.") { "authentication" } else { "web" };
        let group = group.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Alert {
            rule: RuleInfo { id: rule.into(), category: category.into(), ..RuleInfo::default() },
            group: group.collect(),
            addresses: addresses.iter().map(|ip| ip.parse().expect("an address")).collect(),
            users: users.iter().map(|user| (*user).into()).collect(),
            ..Alert::default()
        }
    }

    fn scope(rules: &[&str], clients: &[&str], users: &[&str]) -> Scope {
        Scope {
            rules: rules.iter().map(|rule| (*rule).into()).collect(),
            clients: clients.iter().filter_map(|text| net_of(text)).collect(),
            users: users.iter().map(|user| (*user).into()).collect(),
            ..Scope::default()
        }
    }

    #[track_caller]
    fn check(expected: bool, scope: &Scope, alert: &Alert) {
        assert_eq!(expected, scope.covers(alert), "{} {alert:?}", scope.words());
    }

    #[test]
    fn rules_are_named_and_those_about_log_ins_by_their_whole_id() {
        let scan = alert("http.scan.paths", &[], &[], &[]);
        let spray = alert("auth.spray.client", &[("client.net", "203.0.113.7")], &[], &[]);
        check(false, &Scope::default(), &scan);
        check(true, &scope(&["http.*"], &[], &[]), &scan);
        check(false, &scope(&["http.*"], &[], &[]), &spray);
        check(false, &scope(&["*"], &[], &[]), &spray);
        check(true, &scope(&["auth.spray.client"], &[], &[]), &spray);
        check(true, &scope(&["*"], &["203.0.113.0/24"], &[]), &spray);
        check(false, &scope(&["http.*"], &["203.0.113.0/24"], &[]), &spray);
    }

    #[test]
    fn a_client_is_the_one_that_the_alert_is_about_or_the_only_one() {
        let net = scope(&[], &["203.0.113.0/24"], &[]);
        check(true, &net, &alert("a", &[("client.net", "203.0.113.7")], &[], &[]));
        check(false, &net, &alert("a", &[("client.net", "198.51.100.7")], &["203.0.113.7"], &[]));
        check(true, &net, &alert("a", &[("site", "s")], &["203.0.113.7", "203.0.113.8"], &[]));
        check(false, &net, &alert("a", &[("site", "s")], &["203.0.113.7", "192.0.2.1"], &[]));
        check(false, &net, &alert("a", &[("site", "s")], &[], &[]));
        check(false, &net, &alert("a", &[], &["203.0.113.7"; 10], &[]));
        let six = scope(&[], &["2001:db8:7::/48"], &[]);
        check(true, &six, &alert("a", &[("client.net", "2001:db8:7:1::/64")], &[], &[]));
        // Whoever silences one address does not mean its network.
        let one = scope(&[], &["2001:db8:7:1::1"], &[]);
        check(false, &one, &alert("a", &[("client.net", "2001:db8:7:1::/64")], &[], &[]));
    }

    #[test]
    fn users_sites_and_keys_must_fit_as_well() {
        let user = scope(&[], &[], &["Backup"]);
        check(true, &user, &alert("a", &[("user.name", "backup")], &[], &[]));
        check(false, &user, &alert("a", &[], &[], &["backup", "admin"]));
        let site = Scope { sites: vec!["www".into()], ..user.clone() };
        check(false, &site, &alert("a", &[("user.name", "backup")], &[], &[]));
        check(true, &site, &alert("a", &[("user.name", "backup"), ("site", "www")], &[], &[]));
        let key = Scope { keys: vec![("source".into(), "web".into())], ..Scope::default() };
        check(true, &key, &alert("a", &[("source", "web")], &[], &[]));
        check(false, &key, &alert("a", &[("source", "mail")], &[], &[]));
    }

    #[test]
    fn it_ends_by_itself_or_before() {
        let at = |secs| Timestamp::from_secs(secs);
        let silence = Silence { at: at(10), until: at(20), ..Silence::default() };
        assert_eq!([false, true, false], [9, 10, 20].map(|now| silence.holds(at(now))));
        let ended = Silence { ended: Some(at(15)), ..silence };
        assert_eq!([true, false], [14, 15].map(|now| ended.holds(at(now))));
    }
}
