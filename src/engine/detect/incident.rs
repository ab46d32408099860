//! Alerts that belong together: one incident, told once, and again when it gets worse.
//!
//! An alert joins an incident of its family (log-ins, requests, operations) that was active within
//! the last six hours when both are about the same client, its network, the same user or the same
//! site. A user or a site links only where a rule was about it: that two strangers tried `root` does
//! not make them one. An alert that is muted takes part in none.
//!
//! Pure: the same alerts in the same order make the same incidents, and those that the store holds
//! make again what was there before a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::alert::{Alert, AlertState, Part, Severity, Step};
use crate::engine::address::{client_net, client_prefix};
use crate::units::{Period, Timestamp};

/// How long after its last sign an incident is joined.
const ACTIVE: Period = Period::from_secs(6 * 3600);

/// How far back an incident of the same client makes the next one a repetition.
pub const MEMORY: Period = Period::from_secs(7 * 86_400);

/// From this incident on within [`MEMORY`] a client is one that comes again and again.
const REPEATED: usize = 3;

/// Incidents remembered; the oldest goes first.
const INCIDENTS_MAX: usize = 1024;

/// Clients, users and sites of one incident.
const KEYS_MAX: usize = 256;

/// Alerts told apart in one incident; further ones only count.
const ALERTS_MAX: usize = 256;

/// Titles listed with an alert.
const TITLES_MAX: usize = 5;

/// The incidents that are going on, or were lately.
#[derive(Debug, Default)]
pub struct Incidents {
    incidents: Vec<Incident>,
}

#[derive(Debug)]
struct Incident {
    id: String,
    family: String,
    severity: Severity,
    has_success: bool,
    opened: Timestamp,
    last: Timestamp,
    alerts: u32,
    /// Alerts that are not over.
    open: BTreeSet<String>,
    /// What it is about.
    keys: BTreeSet<Key>,
    /// Users and sites that took part without being what a rule was about.
    seen: BTreeSet<Key>,
    /// Titles of its rules.
    titles: BTreeMap<String, u32>,
}

/// Something that links alerts.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Key {
    Net(IpAddr),
    Prefix(IpAddr),
    User(String),
    Site(String),
    Source(String),
}

/// What an alert is about, and what it names besides.
struct Keys {
    own: BTreeSet<Key>,
    seen: BTreeSet<Key>,
    is_about_site: bool,
}

impl Keys {
    fn of(alert: &Alert) -> Self {
        let mut own = BTreeSet::new();
        for address in &alert.addresses {
            own.insert(Key::Net(client_net(*address).address));
            own.insert(Key::Prefix(client_prefix(*address).address));
        }
        for (name, value) in &alert.group {
            own.extend(match name.as_str() {
                "user.name" => Some(Key::User(value.to_lowercase())),
                "site" | "url.domain" => Some(Key::Site(value.clone())),
                "source" => Some(Key::Source(value.clone())),
                _ => None,
            });
        }
        let is_about_site = own.iter().any(|key| matches!(key, Key::Site(_)));
        let users = alert.users.iter().map(|user| Key::User(user.to_lowercase()));
        let seen = users.chain(alert.sites.iter().cloned().map(Key::Site)).collect();
        Self { own, seen, is_about_site }
    }
}

impl Incidents {
    /// Says which incident `alert` belongs to, and what that means for it.
    pub fn see(&mut self, alert: &mut Alert) {
        let part = match alert.state {
            AlertState::Firing | AlertState::Escalated if alert.muted_by.is_some() => {
                Some(self.muted(alert))
            }
            AlertState::Firing => self.fired(alert),
            AlertState::Escalated => self.escalated(alert),
            AlertState::Resolved => self.resolved(alert),
        };
        alert.part = part;
    }

    /// Takes up an alert that was stored, as it was told.
    pub fn restore(&mut self, alert: &Alert) {
        let is_over = alert.state == AlertState::Resolved;
        let Some(part) = alert.part.as_ref().filter(|_| alert.muted_by.is_none() || is_over) else {
            return;
        };
        let known = self.incidents.iter().position(|incident| incident.id == part.incident);
        let at = known.unwrap_or_else(|| self.open(alert, part.incident.clone()));
        let incident = &mut self.incidents[at];
        match alert.state {
            AlertState::Firing => incident.join(alert, Keys::of(alert)),
            AlertState::Escalated => incident.worsen(alert),
            AlertState::Resolved => {
                incident.open.remove(&alert.id);
            }
        }
        incident.last = incident.last.max(alert.at);
    }

    fn fired(&mut self, alert: &Alert) -> Option<Part> {
        let keys = Keys::of(alert);
        let linked = |(_, incident): &(usize, &Incident)| incident.is_linked(alert, &keys);
        let latest = |(_, incident): &(usize, &Incident)| incident.last;
        let found = self.incidents.iter().enumerate().filter(linked).max_by_key(latest);
        let Some(at) = found.map(|(at, _)| at) else {
            let repeats = self.repeats(alert, &keys);
            let at = self.open(alert, alert.id.clone());
            self.incidents[at].join(alert, keys);
            return Some(self.incidents[at].part(Step::Opened, None, repeats));
        };
        let incident = &mut self.incidents[at];
        let step = if incident.is_worsened_by(alert) { Step::Worsened } else { Step::Joined };
        let before = Some(incident.severity);
        incident.join(alert, keys);
        Some(incident.part(step, before, 0))
    }

    /// Nobody is told of `alert`, so it neither opens an incident nor makes one worse: what comes
    /// after it, and is not muted, must not pass for more of what is known.
    fn muted(&mut self, alert: &Alert) -> Part {
        let keys = Keys::of(alert);
        let linked = |incident: &&Incident| incident.is_linked(alert, &keys);
        let found = self.incidents.iter().filter(linked).max_by_key(|incident| incident.last);
        found.map_or_else(
            || Part {
                incident: alert.id.clone(),
                step: Step::Opened,
                severity: alert.severity,
                before: None,
                alerts: 1,
                opened: alert.at,
                titles: vec![alert.rule.title.clone()],
                repeats: 0,
            },
            |incident| incident.part(Step::Joined, Some(incident.severity), 0),
        )
    }

    fn escalated(&mut self, alert: &Alert) -> Option<Part> {
        let incident = self.of(alert)?;
        let is_news = incident.is_worsened_by(alert) || incident.alerts == 1;
        let step = if is_news { Step::Worsened } else { Step::Joined };
        let before = Some(incident.severity);
        incident.worsen(alert);
        Some(incident.part(step, before, 0))
    }

    fn resolved(&mut self, alert: &Alert) -> Option<Part> {
        let incident = self.of(alert)?;
        incident.open.remove(&alert.id);
        incident.last = incident.last.max(alert.at);
        let step = if incident.open.is_empty() { Step::Closed } else { Step::Continued };
        Some(incident.part(step, Some(incident.severity), 0))
    }

    /// The incident in which `alert` is open.
    fn of(&mut self, alert: &Alert) -> Option<&mut Incident> {
        self.incidents.iter_mut().rfind(|incident| incident.open.contains(&alert.id))
    }

    /// How many incidents there were about one of its clients lately.
    fn repeats(&self, alert: &Alert, keys: &Keys) -> u32 {
        let nets = || keys.own.iter().filter(|key| matches!(key, Key::Net(_)));
        let is_before = |incident: &&Incident| {
            alert.at <= incident.opened.plus(MEMORY)
                && nets().any(|net| incident.keys.contains(net))
        };
        let before = self.incidents.iter().filter(is_before).count() + 1;
        if before < REPEATED { 0 } else { u32::try_from(before).unwrap_or(u32::MAX) }
    }

    fn open(&mut self, alert: &Alert, id: String) -> usize {
        let forgotten =
            |incident: &Incident| incident.open.is_empty() && incident.last.plus(MEMORY) < alert.at;
        self.incidents.retain(|incident| !forgotten(incident));
        if self.incidents.len() == INCIDENTS_MAX {
            self.incidents.remove(0);
        }
        self.incidents.push(Incident {
            id,
            family: alert.rule.category.clone(),
            severity: alert.severity,
            has_success: false,
            opened: alert.at,
            last: alert.at,
            alerts: 0,
            open: BTreeSet::new(),
            keys: BTreeSet::new(),
            seen: BTreeSet::new(),
            titles: BTreeMap::new(),
        });
        self.incidents.len() - 1
    }
}

impl Incident {
    fn is_linked(&self, alert: &Alert, keys: &Keys) -> bool {
        let is_active = !self.open.is_empty() || alert.at <= self.last.plus(ACTIVE);
        if !is_active || self.family != alert.rule.category {
            return false;
        }
        let links = |key: &Key| match key {
            // A site has many visitors: what one of them does to it is told, unless the alert
            // about the site tells of just that.
            Key::Site(_) => {
                let both = keys.own.contains(key) && self.keys.contains(key);
                both || (self.family == "authentication" && alert.severity <= self.severity)
            }
            _ => true,
        };
        let own = keys
            .own
            .iter()
            .any(|key| (self.keys.contains(key) || self.seen.contains(key)) && links(key));
        own || (!keys.is_about_site
            && keys.seen.iter().any(|key| self.keys.contains(key) && links(key)))
    }

    fn is_worsened_by(&self, alert: &Alert) -> bool {
        self.severity < alert.severity || (0 < alert.successes && !self.has_success)
    }

    fn join(&mut self, alert: &Alert, keys: Keys) {
        self.alerts = self.alerts.saturating_add(1);
        if self.open.len() < ALERTS_MAX {
            self.open.insert(alert.id.clone());
        }
        if self.titles.len() < TITLES_MAX || self.titles.contains_key(&alert.rule.title) {
            *self.titles.entry(alert.rule.title.clone()).or_default() += 1;
        }
        let add = |to: &mut BTreeSet<Key>, from: BTreeSet<Key>| {
            let room = KEYS_MAX.saturating_sub(to.len());
            to.extend(from.into_iter().take(room));
        };
        add(&mut self.keys, keys.own);
        add(&mut self.seen, keys.seen);
        self.worsen(alert);
    }

    fn worsen(&mut self, alert: &Alert) {
        self.severity = self.severity.max(alert.severity);
        self.has_success |= 0 < alert.successes;
        self.last = self.last.max(alert.at);
    }

    fn part(&self, step: Step, before: Option<Severity>, repeats: u32) -> Part {
        let titles = self.titles.iter().map(|(title, count)| match count {
            1 => title.clone(),
            count => format!("{count}\u{d7} {title}"),
        });
        Part {
            incident: self.id.clone(),
            step,
            severity: self.severity,
            before,
            alerts: self.alerts,
            opened: self.opened,
            titles: titles.collect(),
            repeats,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::{Escalation, RuleInfo};

    const START: Timestamp = Timestamp::from_secs(1_795_160_800);

    /// An alert `minutes` after the start, about what `group` says.
    fn alert(minutes: u64, rule: &str, group: &[(&str, &str)], severity: Severity) -> Alert {
        let category = match rule.split_once('.').map_or(rule, |(family, _)| family) {
            "auth" => "authentication",
            "http" => "web",
            other => other,
        };
        let value = |name: &str| {
            let found = group.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let at = START.plus(Period::from_secs(60 * minutes));
        let text: Vec<&str> = group.iter().map(|(_, value)| *value).collect();
        Alert {
            id: format!("{rule} {} {minutes}", text.join(" ")),
            rule: RuleInfo {
                id: rule.to_owned(),
                title: rule.to_owned(),
                category: category.to_owned(),
                ..RuleInfo::default()
            },
            severity,
            at,
            group: group
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            addresses: value("client.net").iter().filter_map(|net| net.parse().ok()).collect(),
            users: value("user.name").into_iter().collect(),
            ..Alert::default()
        }
    }

    /// What happens to incidents: the step of each alert, and the first letters of its incident.
    fn steps(incidents: &mut Incidents, alerts: &mut [Alert]) -> Vec<(Step, usize)> {
        let mut known: Vec<String> = Vec::new();
        let mut place = |part: &Part| {
            let at = known.iter().position(|id| *id == part.incident).unwrap_or(known.len());
            if at == known.len() {
                known.push(part.incident.clone());
            }
            (part.step, at)
        };
        alerts
            .iter_mut()
            .map(|alert| {
                incidents.see(alert);
                place(alert.part.as_ref().expect("a part"))
            })
            .collect()
    }

    fn of_client(minutes: u64, rule: &str, client: &str, severity: Severity) -> Alert {
        alert(minutes, rule, &[("client.net", client)], severity)
    }

    fn over(alert: &Alert, minutes: u64) -> Alert {
        let at = START.plus(Period::from_secs(60 * minutes));
        Alert { state: AlertState::Resolved, at, part: None, ..alert.clone() }
    }

    #[test]
    fn alerts_about_one_client_are_one_incident_that_is_told_when_it_gets_worse_and_ends() {
        use Severity::{Critical, High, Medium};
        let client = "203.0.113.7";
        let first = of_client(0, "auth.bruteforce.client", client, Medium);
        let second = of_client(5, "auth.spray.client", client, High);
        let third = of_client(9, "auth.bruteforce.client_day", client, Medium);
        let mut alerts = [
            first.clone(),
            second.clone(),
            third.clone(),
            over(&first, 40),
            of_client(41, "auth.spray_then_success", client, Critical),
            over(&second, 50),
            over(&third, 51),
            // Somebody else, and the same client as a visitor.
            of_client(52, "auth.bruteforce.client", "198.51.100.1", Medium),
            of_client(53, "http.payload", client, Medium),
            // From the same network.
            of_client(54, "auth.bruteforce.client", "203.0.113.8", Medium),
        ];
        let expected = vec![
            (Step::Opened, 0),
            (Step::Worsened, 0),
            (Step::Joined, 0),
            (Step::Continued, 0),
            (Step::Worsened, 0),
            (Step::Continued, 0),
            (Step::Continued, 0),
            (Step::Opened, 1),
            (Step::Opened, 2),
            (Step::Joined, 0),
        ];
        assert_eq!(expected, steps(&mut Incidents::default(), &mut alerts));
        let last = alerts[9].part.as_ref().expect("a part");
        assert_eq!((Critical, 5, START), (last.severity, last.alerts, last.opened));
        assert_eq!("2\u{d7} auth.bruteforce.client", last.titles[0]);
    }

    #[test]
    fn strangers_who_try_the_same_name_are_two_incidents() {
        let by = |minutes, client: &str| Alert {
            users: vec!["root".to_owned()],
            ..of_client(minutes, "auth.bruteforce.client", client, Severity::Medium)
        };
        let mut alerts = [
            by(0, "203.0.113.7"),
            by(1, "198.51.100.1"),
            // The name is what this one is about: whoever tries it now belongs to it.
            alert(2, "auth.distributed.user", &[("user.name", "root")], Severity::High),
            by(3, "192.0.2.200"),
        ];
        let told = steps(&mut Incidents::default(), &mut alerts);
        assert_eq!((Step::Opened, Step::Opened), (told[0].0, told[1].0));
        assert_ne!(told[0].1, told[1].1);
        assert_eq!((Step::Worsened, Step::Joined), (told[2].0, told[3].0));
        assert_eq!(told[2].1, told[3].1);
    }

    #[test]
    fn an_attack_on_a_site_does_not_hide_what_a_client_does_to_it() {
        use Severity::{High, Medium};
        let errors = alert(0, "http.5xx.site", &[("site", "www")], High);
        let site = |alert: Alert| Alert { sites: vec!["www".to_owned()], ..alert };
        let served = site(of_client(1, "http.payload.served", "203.0.113.7", High));
        let stuffing = alert(2, "auth.stuffing.site", &[("site", "www")], Severity::Critical);
        let part_of_it = site(of_client(3, "auth.bruteforce.client", "203.0.113.9", Medium));
        let mut alerts = [errors, served, stuffing, part_of_it];
        let told = steps(&mut Incidents::default(), &mut alerts);
        let expected =
            vec![(Step::Opened, 0), (Step::Opened, 1), (Step::Opened, 2), (Step::Joined, 2)];
        assert_eq!(expected, told);
    }

    #[test]
    fn an_incident_is_joined_for_six_hours_and_counts_as_a_repetition_for_a_week() {
        let client =
            |minutes| of_client(minutes, "auth.bruteforce.client", "203.0.113.7", Severity::Medium);
        let first = client(0);
        let mut alerts = [first.clone(), over(&first, 10), client(10 + 360), client(10 + 360)];
        let mut incidents = Incidents::default();
        let told = steps(&mut incidents, &mut alerts);
        assert_eq!(vec![(Step::Opened, 0), (Step::Closed, 0), (Step::Joined, 0)], told[..3]);
        let mut repeats = Vec::new();
        for day in 0..4 {
            let minutes = 24 * 60 * (day + 2);
            let mut next = client(minutes);
            // What is open for ever would be joined.
            for open in alerts.iter().filter(|alert| alert.state == AlertState::Firing) {
                incidents.see(&mut over(open, minutes - 600));
            }
            incidents.see(&mut next);
            let part = next.part.clone().expect("a part");
            assert_eq!(Step::Opened, part.step);
            repeats.push(part.repeats);
            incidents.see(&mut over(&next, minutes + 1));
        }
        assert_eq!(vec![0, 3, 4, 5], repeats);
    }

    #[test]
    fn what_is_muted_hides_nothing_that_is_not() {
        use Severity::{High, Medium};
        let client = "203.0.113.7";
        let muted = |alert| Alert { muted_by: Some("silence 1".to_owned()), ..alert };
        let first = muted(of_client(0, "auth.spray.client", client, High));
        let heard = of_client(5, "auth.bruteforce.client", client, Medium);
        let mut alerts = [
            first.clone(),
            heard.clone(),
            muted(of_client(6, "auth.spray.client", client, High)),
            over(&heard, 50),
            muted(over(&first, 51)),
            of_client(52, "auth.spray.client", client, High),
        ];
        let mut incidents = Incidents::default();
        alerts.iter_mut().for_each(|alert| incidents.see(alert));
        let steps: Vec<Option<Step>> =
            alerts.iter().map(|alert| alert.part.as_ref().map(|part| part.step)).collect();
        let expected = [Step::Opened, Step::Opened, Step::Joined, Step::Closed];
        assert_eq!(expected.map(Some), steps[..4]);
        assert_eq!([None, Some(Step::Worsened)], steps[4..]);
        let incident = |at: usize| alerts[at].part.as_ref().map(|part| part.incident.clone());
        assert_eq!(Some(heard.id), incident(2));

        let mut again = Incidents::default();
        alerts[..5].iter().for_each(|alert| again.restore(alert));
        let mut last = Alert { part: None, ..alerts[5].clone() };
        again.see(&mut last);
        assert_eq!(alerts[5], last);
    }

    #[test]
    fn what_was_stored_makes_the_same_incidents_again() {
        use Severity::{High, Medium};
        let client = "203.0.113.7";
        let first = of_client(0, "auth.bruteforce.client", client, Medium);
        let second = of_client(5, "auth.spray.client", client, High);
        let escalation = Some(Escalation { step: 1, from: Medium });
        let grown =
            Alert { state: AlertState::Escalated, severity: High, escalation, ..first.clone() };
        let mut before = [first.clone(), second.clone(), grown, over(&first, 40)];
        let after = [of_client(41, "auth.bruteforce.user", client, High), over(&second, 50)];

        let mut whole = Incidents::default();
        steps(&mut whole, &mut before);
        let mut expected = after.clone();
        steps(&mut whole, &mut expected);

        let mut again = Incidents::default();
        before.iter().for_each(|alert| again.restore(alert));
        let mut told = after;
        steps(&mut again, &mut told);
        assert_eq!(expected, told);
    }
}
