//! What to do about an address: lines to paste that block it.
//!
//! Invariant: a command is built from parsed addresses only. Text from a log never reaches one,
//! because somebody will paste it into a root shell.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::page::Block;
use super::text::plural;
use crate::engine::detect::Alert;

/// Clients that get their own block lines; more are better met by a limit on the page.
const BLOCKED_MAX: usize = 3;
/// Group fields whose value is an address or a network.
const CLIENT_FIELDS: &[&str] = &["client.ip", "client.net", "client.prefix", "source.ip"];

/// The addresses an alert is about, as networks: one for IPv4, the /64 for IPv6.
pub(crate) fn clients(alert: &Alert) -> Vec<IpNet> {
    let grouped = CLIENT_FIELDS.iter().filter_map(|field| alert.group_value(field));
    let mut nets: Vec<IpNet> = grouped.filter_map(parse_net).collect();
    if nets.is_empty() {
        for net in alert.addresses.iter().map(|address| net_of(*address)) {
            if !nets.contains(&net) {
                nets.push(net);
            }
        }
    }
    nets
}

/// The clients that advice would block: none of our own networks, and no alert about operations.
pub fn blockable(alert: &Alert) -> Vec<IpNet> {
    if alert.rule.category == "ops" {
        return Vec::new();
    }
    let mut nets = clients(alert);
    nets.retain(|net| !is_own(net));
    nets
}

/// The client as a reader knows it: `203.0.113.7`, or a network with its length.
pub(crate) fn name(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

fn parse_net(text: &str) -> Option<IpNet> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(net_of(address)),
        Err(_) => text.parse::<IpNet>().ok().map(|net| net.trunc()),
    }
}

/// IPv6 customers get a /64 or more, so blocking one address of it blocks nobody.
fn net_of(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(address) => IpNet::from(IpAddr::V4(address)),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 64).trunc().into(),
    }
}

/// How to block the clients of `alert`, with what it would break.
pub(crate) fn blocking(alert: &Alert) -> Vec<Block> {
    let nets = clients(alert);
    let (own, foreign): (Vec<IpNet>, Vec<IpNet>) = nets.into_iter().partition(is_own);
    let mut blocks = Vec::new();
    if let Some(net) = own.first() {
        blocks.push(Block::Note(own_text(net)));
    }
    if foreign.is_empty() {
        return blocks;
    }
    if BLOCKED_MAX < foreign.len() {
        blocks.push(Block::Text(crowd_text(alert, foreign.len())));
        return blocks;
    }
    for net in &foreign {
        blocks.push(Block::Text(format!("To block {}:", name(net))));
        blocks.extend(commands(alert, net));
    }
    blocks.extend(members(alert, foreign.len()));
    blocks.push(Block::Note(side_effects(alert, &foreign)));
    blocks
}

/// True where a web server saw the client; sshd does not ask nginx.
fn is_web(alert: &Alert) -> bool {
    !alert.paths.is_empty() || alert.statuses.keys().any(|code| *code != 0)
}

fn crowd_text(alert: &Alert, len: usize) -> String {
    // The list of addresses ends at ten.
    let at_least = if len < 10 { "" } else { "At least " };
    let instead = instead(alert);
    let clients = plural(len as u64, "client address");
    format!("{at_least}{clients} took part: blocking them one by one seldom helps. {instead}")
}

/// What helps where blocking does not.
fn instead(alert: &Alert) -> &'static str {
    if is_web(alert) {
        "Limit the rate of the page instead (nginx limit_req, Apache mod_qos), or ask for a second \
         factor."
    } else {
        "Allow log-in by key only, or from your own networks only."
    }
}

fn commands(alert: &Alert, net: &IpNet) -> Vec<Block> {
    let (name, family) = (name(net), if net.addr().is_ipv4() { "ip" } else { "ip6" });
    let mut commands = Vec::new();
    if is_web(alert) {
        commands.push(Block::Command("nginx", format!("deny {name};")));
        commands.push(Block::Command("Apache", format!("Require not ip {name}")));
    }
    let rule = format!("nft insert rule inet filter input {family} saddr {name} drop");
    commands.push(Block::Command("nft", rule));
    commands
}

/// Whom a block would lock out, as far as the logs have told.
fn members(alert: &Alert, nets: usize) -> Option<Block> {
    let from = if nets == 1 { "this address" } else { "these addresses" };
    match alert.members_90d? {
        0 => None,
        count => {
            let members = plural(u64::from(count), "member");
            let (them, instead) = (if count == 1 { "this one" } else { "them" }, instead(alert));
            Some(Block::Strong(format!(
                "{members} logged in from {from} in the last 90 days: blocking locks {them} out. \
                 {instead}"
            )))
        }
    }
}

fn side_effects(alert: &Alert, nets: &[IpNet]) -> String {
    let members = match (alert.successes, alert.members_90d) {
        (0, Some(0)) => {
            "No member was seen to log in from there in the last 90 days. An office or a phone network \
             may still share one address."
        }
        (0, _) => {
            "An office or a phone network may share one address, and a block stops all of its people."
        }
        _ => "Somebody logged in from there: if that was a member, a block locks them out too.",
    };
    let mut text = format!("Side effects: {members}");
    if nets.iter().any(|net| net.addr().is_ipv6()) {
        text.push_str(
            " For IPv6 the whole /64 is named, because its user can change address in it.",
        );
    }
    if is_web(alert) {
        text.push_str(" Apache wants its line inside <RequireAll>.");
    }
    text
}

/// Loopback, private and link-local networks: blocking them cuts off ourselves.
/// It is no address of the internet.
pub(super) fn is_own(net: &IpNet) -> bool {
    match net.addr() {
        IpAddr::V4(ip) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        IpAddr::V6(ip) => {
            // The network of ::1 is ::/64.
            ip == Ipv6Addr::UNSPECIFIED || ip.is_unique_local() || ip.is_unicast_link_local()
        }
    }
}

fn own_text(net: &IpNet) -> String {
    let loopback = net.addr().is_loopback() || net.addr().is_unspecified();
    if loopback {
        return "The client is this server itself: most likely a proxy in front hides the real \
                one. Make the web server log the forwarded address."
            .to_owned();
    }
    format!(
        "{} is inside your own network: do not block it, find the machine. If it is a proxy, make \
         the web server log the forwarded address.",
        name(net)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::samples;

    #[track_caller]
    fn check(addresses: &[&str], expected: &[&str]) {
        let mut alert = samples::spray();
        alert.group.clear();
        alert.addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let blocks = blocking(&alert);
        let actual: Vec<String> = blocks
            .iter()
            .filter_map(|block| match block {
                Block::Command(program, code) => Some(format!("{program}: {code}")),
                Block::Text(text) if text.starts_with("To block") => Some(text.clone()),
                Block::Text(text) | Block::Note(text) => text.split(':').next().map(str::to_owned),
                _ => None,
            })
            .collect();
        assert_eq!(expected, actual);
    }

    #[test]
    fn an_address_is_blocked_in_three_places() {
        check(
            &["203.0.113.7"],
            &[
                "To block 203.0.113.7:",
                "nginx: deny 203.0.113.7;",
                "Apache: Require not ip 203.0.113.7",
                "nft: nft insert rule inet filter input ip saddr 203.0.113.7 drop",
                "Side effects",
            ],
        );
    }

    #[track_caller]
    fn check_members(members: Option<u32>, expected: &str, unexpected: &str) {
        let alert = Alert { members_90d: members, ..samples::spray() };
        let text: Vec<String> = blocking(&alert)
            .into_iter()
            .filter_map(|block| match block {
                Block::Strong(text) | Block::Note(text) => Some(text),
                _ => None,
            })
            .collect();
        let text = text.join("\n");
        assert!(text.contains(expected) && !text.contains(unexpected), "{text}");
    }

    #[test]
    fn members_behind_an_address_are_told_before_it_is_blocked() {
        check_members(None, "An office", "logged in from");
        check_members(Some(0), "No member was seen to log in from there", "locks");
        check_members(
            Some(1),
            "1 member logged in from this address in the last 90 days: blocking locks this one out.",
            "No member",
        );
        check_members(Some(3), "3 members logged in from this address", "No member");
        check_members(Some(3), "Limit the rate of the page instead", "No member");
    }

    #[test]
    fn addresses_of_one_ipv6_customer_are_one_network() {
        check(
            &["2001:db8:1:2::1", "2001:db8:1:2:ffff::2"],
            &[
                "To block 2001:db8:1:2::/64:",
                "nginx: deny 2001:db8:1:2::/64;",
                "Apache: Require not ip 2001:db8:1:2::/64",
                "nft: nft insert rule inet filter input ip6 saddr 2001:db8:1:2::/64 drop",
                "Side effects",
            ],
        );
    }

    #[test]
    fn a_client_that_no_web_server_saw_is_blocked_by_the_firewall() {
        let mut alert = samples::spray();
        (alert.paths, alert.statuses) = (vec![], std::collections::BTreeMap::from([(0, 41)]));
        let programs: Vec<&str> = blocking(&alert)
            .iter()
            .filter_map(|block| match block {
                Block::Command(program, _) => Some(*program),
                _ => None,
            })
            .collect();
        assert_eq!(vec!["nft"], programs);
    }

    #[test]
    fn our_own_addresses_are_never_blocked() {
        check(&["127.0.0.1"], &["The client is this server itself"]);
        check(&["::1"], &["The client is this server itself"]);
        check(&["192.168.1.9"], &["192.168.1.9 is inside your own network"]);
    }

    #[test]
    fn a_crowd_is_met_by_a_limit() {
        check(
            &["203.0.113.1", "203.0.113.2", "203.0.113.3", "198.51.100.4"],
            &["4 client addresses took part"],
        );
    }

    #[test]
    fn a_group_value_that_is_no_address_makes_no_command() {
        let mut alert = samples::spray();
        alert.addresses.clear();
        alert.group = vec![("client.net".into(), "203.0.113.7; rm -rf /".into())];
        assert_eq!(Vec::<IpNet>::new(), clients(&alert));
        assert!(blocking(&alert).is_empty());
        alert.group = vec![("client.prefix".into(), "203.0.113.0/24".into())];
        assert_eq!(vec!["203.0.113.0/24"], clients(&alert).iter().map(name).collect::<Vec<_>>());
    }
}
