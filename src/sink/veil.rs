//! What a sink may tell about people: addresses and names in clear, truncated, or as tokens.
//!
//! A veil is put over the events of a sink after they were chosen and before they are written, and
//! over alerts. Rules, counts and mails see everything.
//!
//! | file | |
//! |---|---|
//! | `settings` | `[sink.privacy]` |
//! | `key` | makes tokens, seals what they stand for |
//! | `scrub` | finds addresses and names in other text |
//!
//! Invariant: behind a veil neither the client's address nor, where names are hidden, the user's name
//! is in any field, and the raw line is withheld. A token leaves only after the store can reveal it:
//! [`Veil::fresh`] goes there before anything is sent. Without its key a veil lets nothing through.

mod key;
mod scrub;
mod settings;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;

pub use key::{KeyError, PrivacyKey};
pub use settings::{PrivacyConfig, PrivacyMode, Users};

use self::key::TokenKind;
use self::scrub::{Look, Marks, address_within, is_nobodys};
use crate::engine::address::Network;
use crate::engine::batch::{Event, EventBatch, Field, Kind, Rewrite};
use crate::engine::detect::Alert;
use crate::engine::detect::field::Subject;
use crate::engine::render::{address_in, hops};
use crate::store::SealedToken;
use crate::units::Timestamp;

/// What stands where something may not be told.
const HIDDEN: &[u8] = b"***";

/// Tokens remembered as stored; whatever is forgotten is stored again.
const KNOWN_MAX: usize = 65_536;

/// Bytes of a value that can be revealed.
const CLEAR_BYTES_MAX: usize = 1024;

const DAY_NS: u64 = 86_400_000_000_000;

/// Hides people from the receiver of one sink.
#[derive(Debug)]
pub(super) struct Veil {
    config: PrivacyConfig,
    /// Where systemd puts credentials.
    credentials: Option<PathBuf>,
    key: Option<PrivacyKey>,
    /// The day on which a token was last stored.
    known: HashMap<String, u64>,
    /// Tokens that the store does not know, or not of today.
    fresh: BTreeMap<String, Vec<u8>>,
    today: u64,
}

impl Veil {
    /// The veil of a sink, if it has one. The key is read when it is needed.
    pub(super) fn new(config: &PrivacyConfig, credentials: Option<PathBuf>) -> Option<Self> {
        config.is_on().then(|| Self {
            config: config.clone(),
            credentials,
            key: None,
            known: HashMap::new(),
            fresh: BTreeMap::new(),
            today: 0,
        })
    }

    /// Reads the key, unless it was read before.
    pub(super) fn ready(&mut self) -> Result<(), KeyError> {
        if self.config.needs_key() && self.key.is_none() {
            let file = self.config.key_file.as_deref();
            self.key = Some(PrivacyKey::find(file, self.credentials.as_deref())?);
        }
        Ok(())
    }

    /// Tokens that must be in the store before anything is sent, and how many it keeps.
    pub(super) fn fresh(&self) -> (Vec<SealedToken<'_>>, u64) {
        let tokens = self.fresh.iter().map(|(token, sealed)| SealedToken { token, sealed });
        (tokens.collect(), self.config.tokens_max())
    }

    /// They are there.
    pub(super) fn stored(&mut self) {
        if KNOWN_MAX < self.known.len() + self.fresh.len() {
            self.known.clear();
        }
        let today = self.today;
        self.known.extend(std::mem::take(&mut self.fresh).into_keys().map(|token| (token, today)));
    }

    /// Hides people in the lines `rows` of `batch`; the other lines are not to be written.
    pub(super) fn events(&mut self, batch: &mut EventBatch, rows: &[u32], now: Timestamp) {
        self.today = now.0 / DAY_NS;
        batch.withhold_lines();
        for row in rows {
            let index = *row as usize;
            let event = batch.event(index);
            let marks = self.marks_of(&event);
            let client = event.row().client;
            let words = match event.row().kind {
                Kind::Access | Kind::ParseFailure => None,
                Kind::ServerError | Kind::Auth => Some(event.row().action.name().replace('_', " ")),
            };
            batch.rewrite(index, |field, value| match (field, &words) {
                (Field::Message, Some(words)) => Rewrite::Set(words.clone().into_bytes()),
                _ => self.value(field, value, &marks),
            });
            if let Some(ip) = client {
                let shown = self.address(ip);
                batch.set_at(index, Field::ClientAddress, &shown);
                batch.row_at(index).client = self.truncated(ip);
            }
        }
    }

    /// The alert as the receiver may see it.
    pub(super) fn alert(&mut self, alert: &Alert, now: Timestamp) -> Alert {
        self.today = now.0 / DAY_NS;
        let marks = self.marks_of_alert(alert);
        let mut veiled = alert.clone();
        let clients: Vec<String> =
            alert.addresses.iter().map(|ip| text(self.address(*ip))).collect();
        veiled.addresses = alert.addresses.iter().filter_map(|ip| self.truncated(*ip)).collect();
        veiled.addresses.dedup();
        veiled.users =
            alert.users.iter().filter_map(|user| self.user(user.as_bytes())).map(text).collect();
        for (name, value) in &mut veiled.group {
            *value = text(self.group_value(name, value, &marks));
        }
        let own = |value: &mut String, look| {
            if let Some(scrubbed) = marks.scrub(value.as_bytes(), look, |ip| self.unknown(ip)) {
                *value = text(scrubbed);
            }
        };
        veiled.sites.iter_mut().for_each(|site| own(site, Look::Known));
        veiled.paths.iter_mut().for_each(|path| own(path, Look::Addresses));
        veiled.evidence.iter_mut().for_each(|line| line.line = "(withheld)".to_owned());
        veiled.summary = summary(&veiled, &clients);
        if self.key.is_some() {
            // The id is a hash over what the alert is about: a guess at that could be proven by it.
            veiled.id = text(self.token(TokenKind::Alert, alert.id.as_bytes()));
        }
        veiled
    }

    /// Everything in an event that must not be found elsewhere in it.
    fn marks_of(&mut self, event: &Event<'_>) -> Marks {
        let mut marks = Marks::default();
        let field = |field| event.field(field).filter(|value| !value.is_empty());
        let client = field(Field::ClientAddress);
        let client_ip = event.row().client.or_else(|| address_in(client?));
        if let Some(ip) = client_ip {
            self.mark(&mut marks, ip, true);
        }
        let others = [client, field(Field::Peer), field(Field::RealIp)].into_iter().flatten();
        let chain = hops(field(Field::Forwarded).unwrap_or_default());
        for ip in others.chain(chain).filter_map(address_in) {
            self.mark(&mut marks, ip, Some(ip) == client_ip);
        }
        if let (None, Some(name)) = (client.and_then(address_in), client) {
            let shown = self.host(name).unwrap_or_else(|| HIDDEN.to_vec());
            marks.name(name, &shown);
            if let Some(ip) = address_within(name) {
                self.mark(&mut marks, ip, false);
            }
        }
        for name in [field(Field::User), field(Field::TargetUser)].into_iter().flatten() {
            self.mark_user(&mut marks, name);
        }
        marks
    }

    fn marks_of_alert(&mut self, alert: &Alert) -> Marks {
        let mut marks = Marks::default();
        for ip in &alert.addresses {
            self.mark(&mut marks, *ip, true);
        }
        for (name, value) in &alert.group {
            match Subject::named(name) {
                Some(Subject::Text(Field::User | Field::TargetUser)) => {
                    self.mark_user(&mut marks, value.as_bytes());
                }
                _ => {
                    if let Ok(ip) = value.parse() {
                        self.mark(&mut marks, ip, true);
                    }
                }
            }
        }
        for user in &alert.users {
            self.mark_user(&mut marks, user.as_bytes());
        }
        marks
    }

    /// Only the client gets a token: of other addresses a request can name hundreds, which would push
    /// those of clients out of the store.
    fn mark(&mut self, marks: &mut Marks, ip: IpAddr, is_client: bool) {
        let ip = ip.to_canonical();
        if is_nobodys(ip) {
            return;
        }
        let shown = match is_client {
            true => Some(self.address(ip)),
            false => self.unknown(ip),
        };
        marks.address(ip, &shown.unwrap_or_else(|| HIDDEN.to_vec()));
    }

    fn mark_user(&mut self, marks: &mut Marks, name: &[u8]) {
        if self.config.users() != Users::Clear {
            let shown = self.user(name).unwrap_or_else(|| HIDDEN.to_vec());
            marks.name(name, &shown);
        }
    }

    /// What becomes of one value of an event.
    fn value(&mut self, field: Field, value: &[u8], marks: &Marks) -> Rewrite {
        if value.is_empty() {
            return Rewrite::Keep;
        }
        let look = match field {
            Field::ClientAddress => return set(self.client(value)),
            Field::Peer | Field::RealIp => return set(self.hop(value)),
            Field::Forwarded => return set(self.chain(value)),
            Field::User | Field::TargetUser => return set(self.user(value)),
            // Behind a shared address the port and the time name one customer.
            Field::ClientPort | Field::Message => return Rewrite::Drop,
            // What a list knows an address or a name by, and where more is told about it.
            Field::ThreatIndicator
            | Field::ThreatDescription
            | Field::ThreatReference
            | Field::ThreatNote => return Rewrite::Drop,
            Field::TlsClientSubject if self.config.users() != Users::Clear => return Rewrite::Drop,
            Field::Target | Field::Path | Field::Query | Field::Referrer | Field::Fragment => {
                Look::Addresses
            }
            Field::RequestId | Field::Trailing | Field::LabelValue => Look::Addresses,
            // Versions in agents look like addresses.
            _ => Look::Known,
        };
        marks.scrub(value, look, |ip| self.unknown(ip)).map_or(Rewrite::Keep, Rewrite::Set)
    }

    /// What becomes of a value by which a rule groups.
    fn group_value(&mut self, name: &str, value: &str, marks: &Marks) -> Vec<u8> {
        let bytes = value.as_bytes();
        match Subject::named(name) {
            Some(Subject::SourceIp | Subject::ClientNet) => self.net(value),
            Some(Subject::Text(field)) => match self.value(field, bytes, marks) {
                Rewrite::Keep => bytes.to_vec(),
                Rewrite::Drop => HIDDEN.to_vec(),
                Rewrite::Set(shown) => shown,
            },
            _ => marks
                .scrub(bytes, Look::Known, |ip| self.unknown(ip))
                .unwrap_or_else(|| bytes.to_vec()),
        }
    }

    /// An address, or a network of IPv6 as rules see clients.
    fn net(&mut self, value: &str) -> Vec<u8> {
        if let Ok(ip) = value.parse() {
            return self.address(ip);
        }
        let network = value.split_once('/').and_then(|(ip, _)| ip.parse().ok());
        match network.map(|ip| self.truncated(ip)) {
            Some(Some(ip)) => format!("{ip}/{}", self.config.bits().1).into_bytes(),
            Some(None) => self.token(TokenKind::Network, value.as_bytes()),
            None => HIDDEN.to_vec(),
        }
    }

    /// A client as it was logged.
    fn client(&mut self, value: &[u8]) -> Option<Vec<u8>> {
        match address_in(value) {
            Some(ip) => Some(self.address(ip)),
            None => self.host(value),
        }
    }

    /// The name of a client's host: it has no bits to leave out.
    fn host(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        match self.config.mode {
            _ if name.starts_with(b"unix:") || name == b"-" => Some(name.to_vec()),
            PrivacyMode::Token => Some(self.token(TokenKind::Host, name)),
            PrivacyMode::Clear | PrivacyMode::Truncated => None,
        }
    }

    /// An address on the way: receivers want an address in these fields, or nothing.
    fn hop(&self, value: &[u8]) -> Option<Vec<u8>> {
        let ip = self.truncated(address_in(value)?)?;
        Some(ip.to_string().into_bytes())
    }

    fn chain(&self, value: &[u8]) -> Option<Vec<u8>> {
        let hops: Vec<Vec<u8>> = hops(value).filter_map(|hop| self.hop(hop)).collect();
        (!hops.is_empty()).then(|| hops.join(&b", "[..]))
    }

    fn user(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        match self.config.users() {
            Users::Clear => Some(name.to_vec()),
            Users::Token => Some(self.token(TokenKind::User, name)),
            Users::Drop => None,
        }
    }

    /// An address that is the client's.
    fn address(&mut self, ip: IpAddr) -> Vec<u8> {
        let ip = ip.to_canonical();
        if let Some(ip) = self.truncated(ip) {
            return ip.to_string().into_bytes();
        }
        let kind = if ip.is_ipv4() { TokenKind::Ipv4 } else { TokenKind::Ipv6 };
        self.token(kind, ip.to_string().as_bytes())
    }

    /// The address as far as it may be sent as an address.
    fn truncated(&self, ip: IpAddr) -> Option<IpAddr> {
        let ip = ip.to_canonical();
        let (v4, v6) = self.config.bits();
        match self.config.mode {
            _ if is_nobodys(ip) => Some(ip),
            PrivacyMode::Clear | PrivacyMode::Token => None,
            PrivacyMode::Truncated => {
                Some(Network::of(ip, if ip.is_ipv4() { v4 } else { v6 }).address)
            }
        }
    }

    /// What stands in the place of an address that somebody wrote into a text.
    fn unknown(&self, ip: IpAddr) -> Option<Vec<u8>> {
        if is_nobodys(ip) {
            return None;
        }
        let truncated = self.truncated(ip).map(|ip| ip.to_string().into_bytes());
        Some(truncated.unwrap_or_else(|| HIDDEN.to_vec()))
    }

    fn token(&mut self, kind: TokenKind, value: &[u8]) -> Vec<u8> {
        let Some(key) = &self.key else { return HIDDEN.to_vec() };
        let token = key.token(kind, value);
        let shown = token.clone().into_bytes();
        if self.known.get(&token) != Some(&self.today) && !self.fresh.contains_key(&token) {
            let sealed = key.seal(&token, &value[..value.len().min(CLEAR_BYTES_MAX)]);
            self.fresh.insert(token, sealed);
        }
        shown
    }
}

/// What the alert says, from what is left of it.
fn summary(alert: &Alert, clients: &[String]) -> String {
    let mut out = format!("{}: {} in {}", alert.rule.title, alert.count, alert.window);
    for (name, value) in &alert.group {
        out.push_str(&format!("; {name} {value}"));
    }
    for (what, list) in [("clients", clients), ("users", &alert.users)] {
        if !list.is_empty() {
            out.push_str(&format!("; {what} {}", list.join(", ")));
        }
    }
    out
}

fn set(value: Option<Vec<u8>>) -> Rewrite {
    value.map_or(Rewrite::Drop, Rewrite::Set)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
