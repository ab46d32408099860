//! Whom to block, for programs that do it: gatewatch itself blocks nobody.
//!
//! Invariant: what a line says to another program is made of parsed addresses, times and codes
//! only. Text from a log never reaches one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ipnet::IpNet;

use super::advice::{clients, is_own, name};
use crate::engine::detect::{Alert, Severity};
use crate::units::{Period, Timestamp};

/// A form that some program reads.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The name on the command line.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    head: &'static [&'static str],
    line: fn(&Blocked, Timestamp) -> String,
    tail: &'static [&'static str],
}

/// All forms.
pub const FORMS: &[Form] = &[
    Form {
        name: "plain",
        about: "One address or network a line, for CrowdSec, ipset and scripts",
        head: &[],
        line: |blocked, _| name(&blocked.net),
        tail: &[],
    },
    Form {
        name: "nginx",
        about: "deny directives, to be included in a server or http block",
        head: &[],
        line: |blocked, _| format!("deny {}; # {}", name(&blocked.net), blocked.why()),
        tail: &[],
    },
    Form {
        name: "apache",
        about: "Require directives, to be included in a Directory or Location",
        head: &["<RequireAll>", "Require all granted"],
        line: |blocked, _| format!("# {}\nRequire not ip {}", blocked.why(), name(&blocked.net)),
        tail: &["</RequireAll>"],
    },
    Form {
        name: "nft",
        about: "Elements of the sets blocked4 and blocked6 of nftables, for nft -f",
        head: &[
            "add table inet gatewatch",
            "add set inet gatewatch blocked4 { type ipv4_addr; flags interval, timeout; }",
            "add set inet gatewatch blocked6 { type ipv6_addr; flags interval, timeout; }",
            "add chain inet gatewatch input { type filter hook input priority -10; }",
            "flush chain inet gatewatch input",
            "add rule inet gatewatch input ip saddr @blocked4 drop",
            "add rule inet gatewatch input ip6 saddr @blocked6 drop",
            "flush set inet gatewatch blocked4",
            "flush set inet gatewatch blocked6",
        ],
        line: |blocked, now| {
            let set = if blocked.net.addr().is_ipv4() { "blocked4" } else { "blocked6" };
            let (net, rest) = (name(&blocked.net), blocked.until.since(now).secs());
            format!("add element inet gatewatch {set} {{ {net} timeout {rest}s }}")
        },
        tail: &[],
    },
];

/// A client that should be blocked for a while.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blocked {
    /// The address, or its network.
    pub net: IpNet,
    /// Until when.
    pub until: Timestamp,
    /// The worst of its alerts.
    pub severity: Severity,
    /// The code of that alert.
    pub code: String,
}

impl Blocked {
    /// Until when, and because of which alert.
    fn why(&self) -> String {
        format!("until {}, alert {}, {}", self.until.rfc3339(), self.code, self.severity)
    }
}

/// Why a client of an alert is not on the list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LeftOut {
    /// Somebody logged in from there, now or in the last 90 days, so it may be an office.
    HasMembers,
    /// It is in a network of ours, or a trusted proxy.
    Ours,
    /// Its alerts are not wanted.
    Allowed,
}

impl LeftOut {
    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::HasMembers => "log-ins from there succeeded, so people of yours may be behind it",
            Self::Ours => "it is an address of your own networks or of a proxy you trust",
            Self::Allowed => "[[allow]] names it",
        }
    }
}

/// Whom to block, and whom not although there were alerts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Blocklist {
    /// In the order of their addresses.
    pub blocked: Vec<Blocked>,
    /// The same, each with its reason.
    pub left_out: Vec<(IpNet, LeftOut)>,
}

impl Blocklist {
    /// From alerts about single clients: each is blocked for `lasting` after its last sign. `spared`
    /// are networks that are never blocked, `is_allowed` knows those whose alerts are not wanted.
    pub fn new(
        alerts: &[Alert],
        (now, lasting): (Timestamp, Period),
        spared: &[IpNet],
        is_allowed: impl Fn(&IpNet) -> bool,
    ) -> Self {
        let mut found: BTreeMap<IpNet, (Blocked, bool)> = BTreeMap::new();
        let is_of_one = |alert: &&Alert| {
            let of_client = ["client.net", "client.ip", "source.ip"];
            of_client.iter().any(|field| alert.group_value(field).is_some())
        };
        for alert in alerts.iter().filter(is_of_one) {
            let until = alert.last_event.max(alert.at).plus(lasting);
            for net in clients(alert) {
                let new = || {
                    let (severity, code) = (alert.severity, alert.code());
                    (Blocked { net, until, severity, code }, false)
                };
                let (blocked, has_members) = found.entry(net).or_insert_with(new);
                blocked.until = blocked.until.max(until);
                if blocked.severity < alert.severity {
                    (blocked.severity, blocked.code) = (alert.severity, alert.code());
                }
                *has_members |= 0 < alert.successes.max(alert.members_90d.unwrap_or(0).into());
            }
        }
        let mut list = Self::default();
        for (net, (blocked, has_members)) in found {
            let is_spared = |spared: &IpNet| spared.contains(&net) || net.contains(spared);
            if is_own(&net) || spared.iter().any(is_spared) {
                list.left_out.push((net, LeftOut::Ours));
            } else if is_allowed(&net) {
                list.left_out.push((net, LeftOut::Allowed));
            } else if has_members {
                list.left_out.push((net, LeftOut::HasMembers));
            } else if now < blocked.until {
                list.blocked.push(blocked);
            }
        }
        list
    }

    /// The list as a program reads it.
    pub fn render(&self, form: &Form, now: Timestamp) -> String {
        let mut out = String::new();
        let lines = self.blocked.iter().map(|blocked| (form.line)(blocked, now));
        let fixed = |lines: &'static [&'static str]| lines.iter().map(|line| (*line).to_owned());
        for line in fixed(form.head).chain(lines).chain(fixed(form.tail)) {
            let _ = writeln!(out, "{line}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::samples;

    const DAY: Period = Period::from_secs(86_400);

    fn alert(net: &str, hours: u64, severity: Severity, successes: u64) -> Alert {
        let at = samples::START.plus(Period::from_secs(3600 * hours));
        Alert {
            id: format!("{hours:08x}00000000"),
            group: vec![("client.net".to_owned(), net.to_owned())],
            addresses: Vec::new(),
            severity,
            at,
            last_event: at,
            successes,
            ..Alert::default()
        }
    }

    fn list(alerts: &[Alert]) -> Blocklist {
        let now = samples::START.plus(Period::from_secs(30 * 3600));
        let spared = ["198.51.100.0/24".parse().expect("a network")];
        let is_allowed = |net: &IpNet| net.to_string() == "192.0.2.10/32";
        Blocklist::new(alerts, (now, DAY), &spared, is_allowed)
    }

    #[test]
    fn clients_are_blocked_for_a_while_after_their_last_alert() {
        use Severity::{High, Medium};
        let alerts = [
            alert("203.0.113.7", 1, High, 0),
            alert("203.0.113.7", 20, Medium, 0),
            alert("2001:db8:7:1::/64", 29, Medium, 0),
            alert("203.0.113.9", 2, High, 0),
        ];
        let list = list(&alerts);
        let told: Vec<_> =
            list.blocked.iter().map(|one| (one.net.to_string(), one.severity)).collect();
        let expected =
            vec![("203.0.113.7/32".to_owned(), High), ("2001:db8:7:1::/64".to_owned(), Medium)];
        assert_eq!(expected, told, "the third has been quiet for a day");
        assert_eq!(alerts[1].at.plus(DAY), list.blocked[0].until);
        assert_eq!(Vec::<(IpNet, LeftOut)>::new(), list.left_out);
    }

    #[test]
    fn whom_it_would_hurt_to_block_is_left_out_with_the_reason() {
        let high = Severity::High;
        let alerts = [
            alert("203.0.113.7", 29, high, 0),
            alert("203.0.113.7", 29, high, 1),
            alert("198.51.100.4", 29, high, 0),
            alert("10.1.2.3", 29, high, 0),
            alert("192.0.2.10", 29, high, 0),
            Alert { members_90d: Some(2), ..alert("203.0.113.8", 29, high, 0) },
        ];
        let list = list(&alerts);
        assert_eq!(Vec::<Blocked>::new(), list.blocked);
        let reasons: Vec<LeftOut> = list.left_out.iter().map(|(_, reason)| *reason).collect();
        assert_eq!(
            [
                LeftOut::Ours,
                LeftOut::Allowed,
                LeftOut::Ours,
                LeftOut::HasMembers,
                LeftOut::HasMembers
            ],
            reasons.as_slice()
        );
    }

    #[test]
    fn each_form_is_what_its_program_reads() {
        let alerts = [
            alert("203.0.113.7", 29, Severity::High, 0),
            alert("2001:db8::/64", 29, Severity::High, 0),
        ];
        let list = list(&alerts);
        let now = samples::START.plus(Period::from_secs(30 * 3600));
        let text = |name: &str| {
            let form = FORMS.iter().find(|form| form.name == name).expect("a form");
            list.render(form, now)
        };
        assert_eq!("203.0.113.7\n2001:db8::/64\n", text("plain"));
        let nginx = text("nginx");
        assert!(nginx.starts_with("deny 203.0.113.7; # until 20"), "{nginx}");
        let apache = text("apache");
        assert!(apache.contains("\nRequire not ip 2001:db8::/64\n</RequireAll>\n"), "{apache}");
        let nft = text("nft");
        assert!(nft.contains("blocked4 { 203.0.113.7 timeout 82800s }\n"), "{nft}");
        assert!(nft.contains("blocked6 { 2001:db8::/64 timeout 82800s }\n"), "{nft}");
    }
}
