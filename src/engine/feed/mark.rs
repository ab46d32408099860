//! Which indicator an event meets, and what is said about it in the event.
//!
//! Of several the worst one is told, and of equally bad ones the one that is surest to be about the
//! client. What stands in a header that anybody may write counts one degree less; what was answered,
//! or let in, one more.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::build::hash_of;
use super::index::{Family, Note, key};
use super::kind::Kind;
use super::value::{canonical, is_nobodys, lower, url_parts};
use super::{Feed, FeedSet, TARGET_CODE};
use crate::engine::address::{Network, split_port};
use crate::engine::batch::{AuthOutcome, ClientSource, Field, Kind as EventKind, Writer};
use crate::engine::detect::Severity;
use crate::engine::render::{address_in, hops};
use crate::units::Timestamp;

/// Where in an event an indicator was found; the surest first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Place {
    Client,
    User,
    Request,
    UserAgent,
    Hash,
    Destination,
    Referrer,
    Peer,
    Target,
    Forwarded,
}

impl Place {
    /// `gatewatch.threat.matched`: the field as ECS calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Client => "source.ip",
            Self::User => "user.name",
            Self::Request | Self::Target => "url.original",
            Self::UserAgent => "user_agent.original",
            Self::Hash => "labels",
            Self::Destination => "destination.domain",
            Self::Referrer => "http.request.referrer",
            Self::Peer => "gatewatch.peer.ip",
            Self::Forwarded => "gatewatch.xff_chain",
        }
    }

    /// Anybody may write it there, or it says less than the whole.
    fn is_weak(self) -> bool {
        matches!(self, Self::Forwarded | Self::Target | Self::Referrer)
    }

    /// It is about what was asked for.
    fn is_of_request(self) -> bool {
        matches!(self, Self::Request | Self::Target)
    }
}

/// An indicator that an event meets.
struct Found<'f> {
    feed: &'f Feed,
    note: Note,
    place: Place,
    kind: Kind,
    is_v4: bool,
    severity: Severity,
    name: Vec<u8>,
}

/// Domains above a host that are looked up.
const LABELS_MAX: usize = 16;

/// Labels of an event whose name holds one of these may be a hash.
const HASH_LABELS: [&[u8]; 5] = [b"ja3", b"md5", b"sha1", b"sha256", b"hash"];

/// What is asked about one event.
struct Search<'s> {
    set: &'s FeedSet,
    time: Timestamp,
    /// What happened makes a match worse.
    answered: bool,
    let_in: bool,
    best: Option<Found<'s>>,
}

impl FeedSet {
    /// Says in the open row which indicator it meets, if it meets one. `is_trusted` knows the proxies
    /// whose own addresses mean nothing.
    pub fn mark(&self, raw: &[u8], is_trusted: impl Fn(IpAddr) -> bool, out: &mut Writer<'_>) {
        if out.row.kind == EventKind::ParseFailure {
            return;
        }
        let auth = out.row.auth.map(|auth| auth.outcome);
        let mut search = Search {
            set: self,
            time: out.row.time,
            answered: (200..300).contains(&out.row.status),
            let_in: auth == Some(AuthOutcome::Success),
            best: None,
        };
        search.addresses(raw, out, is_trusted);
        search.hosts(raw, out);
        search.requests(raw, out);
        search.words(raw, out);
        let (time, best) = (search.time, search.best);
        if let Some(found) = best {
            found.tell(time, out);
        }
    }

    fn has(&self, kind: Kind) -> bool {
        self.feeds.iter().any(|feed| feed.has(kind))
    }
}

impl<'s> Search<'s> {
    fn addresses(&mut self, raw: &[u8], out: &Writer<'_>, is_trusted: impl Fn(IpAddr) -> bool) {
        let row = &out.row;
        let field = |field| out.field(raw, field);
        let client = row.client.filter(|_| row.client_source != ClientSource::Ambiguous);
        let mut ask = |place, ip: Option<IpAddr>| {
            if let Some(ip) = ip.filter(|ip| !is_nobodys(*ip) && !is_trusted(*ip)) {
                self.address(place, ip);
            }
        };
        ask(Place::Client, client);
        ask(Place::Peer, field(Field::Peer).and_then(address_in));
        let others = field(Field::RealIp).into_iter();
        let chain = hops(field(Field::Forwarded).unwrap_or_default());
        for ip in others.chain(chain).filter_map(address_in) {
            if Some(ip) != client {
                ask(Place::Forwarded, Some(ip));
            }
        }
    }

    fn address(&mut self, place: Place, ip: IpAddr) {
        let family = Family::from(ip);
        for feed in &self.set.feeds {
            let found = match family {
                Family::V4(v4) => feed.v4.find(v4).map(|(first, last, note)| {
                    let ip = |number: u32| IpAddr::V4(Ipv4Addr::from(number));
                    (ip(first), ip(last), note, Kind::Ipv4)
                }),
                Family::V6(v6) => feed.v6.find(v6).map(|(first, last, note)| {
                    let ip = |bytes: [u8; 16]| IpAddr::V6(Ipv6Addr::from(bytes));
                    (ip(first), ip(last), note, Kind::Ipv6)
                }),
            };
            if let Some((first, last, note, kind)) = found {
                let kind = if first == last { kind } else { Kind::Network };
                let is_v4 = first.is_ipv4();
                self.take(feed, note, place, kind, is_v4, || stretch(first, last).into_bytes());
            }
        }
    }

    /// The hosts that a request names.
    fn hosts(&mut self, raw: &[u8], out: &Writer<'_>) {
        if !self.set.has(Kind::Domain) {
            return;
        }
        for field in [Field::Domain, Field::UrlDomain, Field::TlsServerName] {
            if let Some(host) = out.field(raw, field) {
                self.host(Place::Destination, split_port(host).0);
            }
        }
        let referrer = out.field(raw, Field::Referrer).and_then(url_parts);
        if let Some((host, _)) = referrer {
            self.host(Place::Referrer, &host);
        }
    }

    /// A host and the domains that it is below.
    fn host(&mut self, place: Place, host: &[u8]) {
        let host = lower(host);
        let host = host.strip_suffix(b".").unwrap_or(&host);
        if 255 < host.len() {
            return;
        }
        let mut rest = host;
        for _ in 0..LABELS_MAX {
            let Some(dot) = memchr::memchr(b'.', rest) else { return };
            self.text(place, Kind::Domain, Kind::Domain as u8, &[rest], rest);
            rest = &rest[dot + 1..];
        }
    }

    /// What a request asks for, and where it says that it comes from.
    fn requests(&mut self, raw: &[u8], out: &Writer<'_>) {
        let (urls, paths) = (self.set.has(Kind::Url), self.set.has(Kind::Path));
        if !urls && !paths {
            return;
        }
        if let Some((host, target)) = out.field(raw, Field::Referrer).and_then(url_parts)
            && urls
        {
            self.url(Place::Referrer, &host, &target);
        }
        let Some(path) = out.field(raw, Field::Path) else { return };
        let target = match out.field(raw, Field::Query) {
            Some(query) => Cow::Owned([path, b"?", query].concat()),
            None => Cow::Borrowed(path),
        };
        let target = canonical(&target);
        if paths {
            let path = canonical(path);
            let code = Kind::Path as u8;
            self.text(Place::Request, Kind::Path, code, &[&target], &target);
            self.text(Place::Request, Kind::Path, code, &[&path], &path);
        }
        if urls {
            let host = out.field(raw, Field::UrlDomain).or_else(|| out.field(raw, Field::Domain));
            if let Some(host) = host {
                self.url(Place::Request, &lower(split_port(host).0), &target);
            }
            self.text(Place::Target, Kind::Url, TARGET_CODE, &[&target], &target);
        }
    }

    fn url(&mut self, place: Place, host: &[u8], target: &[u8]) {
        let name = [host, target].concat();
        self.text(place, Kind::Url, Kind::Url as u8, &[host, target], &name);
    }

    fn words(&mut self, raw: &[u8], out: &Writer<'_>) {
        for (kind, field, place) in [
            (Kind::UserAgent, Field::UserAgent, Place::UserAgent),
            (Kind::User, Field::User, Place::User),
        ] {
            if self.set.has(kind)
                && let Some(value) = out.field(raw, field)
            {
                let value = value.trim_ascii();
                self.text(place, kind, kind as u8, &[value], value);
            }
        }
        if self.set.has(Kind::Hash) {
            let mut is_hash = false;
            for (field, value) in out.rare(raw) {
                match field {
                    Field::LabelName => {
                        let name = value.to_ascii_lowercase();
                        let holds = |part: &&[u8]| memchr::memmem::find(&name, part).is_some();
                        is_hash = HASH_LABELS.iter().any(holds);
                    }
                    Field::LabelValue if is_hash => {
                        let hash = lower(value);
                        self.text(Place::Hash, Kind::Hash, Kind::Hash as u8, &[&hash], &hash);
                    }
                    _ => (),
                }
            }
        }
    }

    fn text(&mut self, place: Place, kind: Kind, code: u8, parts: &[&[u8]], name: &[u8]) {
        for feed in &self.set.feeds {
            if feed.has(kind)
                && let Some(note) = feed.texts.find(key(hash_of(&feed.hasher, parts), code))
            {
                self.take(feed, note, place, kind, false, || name.to_vec());
            }
        }
    }

    fn take(
        &mut self,
        feed: &'s Feed,
        note: Note,
        place: Place,
        kind: Kind,
        is_v4: bool,
        name: impl FnOnce() -> Vec<u8>,
    ) {
        let is_secret = self.set.for_others && feed.notes.tlp(note).stays();
        if is_secret || !feed.notes.counts(note, self.time) {
            return;
        }
        let severity = self.severity(feed.severity, place);
        let rank = (severity, std::cmp::Reverse(place));
        if self
            .best
            .as_ref()
            .is_none_or(|best| (best.severity, std::cmp::Reverse(best.place)) < rank)
        {
            self.best = Some(Found { feed, note, place, kind, is_v4, severity, name: name() });
        }
    }

    fn severity(&self, of_feed: Severity, place: Place) -> Severity {
        let all = Severity::ALL;
        let at = all.iter().position(|one| *one == of_feed).unwrap_or_default();
        let worse = self.let_in || (self.answered && place.is_of_request());
        let at = (at + usize::from(worse)).saturating_sub(usize::from(place.is_weak()));
        all[at.min(all.len() - 1)]
    }
}

impl Found<'_> {
    fn tell(self, time: Timestamp, out: &mut Writer<'_>) {
        let about = self.feed.notes.about(self.note);
        let since = (about.since != 0).then(|| Timestamp::from_secs(u64::from(about.since)));
        let note = self.in_words(time, since, &about.description, &about.reference);
        out.row.is_listed = true;
        let mut set = |field, value: &[u8]| {
            if !value.is_empty() {
                out.set(field, value);
            }
        };
        set(Field::ThreatFeed, self.feed.name.as_bytes());
        set(Field::ThreatIndicator, &self.name);
        set(Field::ThreatType, self.kind.ecs(self.is_v4).as_bytes());
        set(Field::ThreatMatched, self.place.name().as_bytes());
        set(Field::ThreatSeverity, self.severity.name().as_bytes());
        let confidence = about.confidence.map_or("", confidence_word);
        set(Field::ThreatConfidence, confidence.as_bytes());
        set(Field::ThreatTlp, about.tlp.name().unwrap_or_default().as_bytes());
        set(Field::ThreatDescription, about.description.as_bytes());
        set(Field::ThreatReference, about.reference.as_bytes());
        let since = since.map_or_else(String::new, Timestamp::rfc3339);
        set(Field::ThreatSince, since.as_bytes());
        set(Field::ThreatNote, note.as_bytes());
    }

    /// `botnet; https://…; known since 2026-11-17, 3 days before; list of 2026-11-19`
    fn in_words(
        &self,
        time: Timestamp,
        since: Option<Timestamp>,
        description: &str,
        reference: &str,
    ) -> String {
        let day = |at: Timestamp| at.rfc3339().chars().take(10).collect::<String>();
        let mut parts: Vec<String> = [description, reference]
            .into_iter()
            .filter(|t| !t.is_empty())
            .map(str::to_owned)
            .collect();
        if let Some(since) = since {
            let days = time.since(since).secs() / 86_400;
            let ago = if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
            let known = format!("known since {}", day(since));
            parts.push(if since <= time { format!("{known}, {ago} before") } else { known });
        }
        parts.push(format!("list of {}", day(self.feed.as_of)));
        parts.join("; ")
    }
}

/// The words of ECS for a confidence of 0 to 100, as STIX 2.1 (appendix A) parts them.
fn confidence_word(confidence: u8) -> &'static str {
    match confidence {
        0 => "None",
        1..=29 => "Low",
        30..=69 => "Medium",
        70.. => "High",
    }
}

/// One address, a network, or `FIRST-LAST`.
fn stretch(first: IpAddr, last: IpAddr) -> String {
    if first == last {
        return first.to_string();
    }
    let whole: u8 = if first.is_ipv4() { 32 } else { 128 };
    let end_of = |bits: u8| match (Network::of(first, bits).address, whole - bits) {
        (start, _) if start != first => None,
        (IpAddr::V4(v4), free) => {
            let mask = (1u64 << free) - 1;
            Some(IpAddr::V4((u32::from(v4) | mask as u32).into()))
        }
        (IpAddr::V6(v6), free) => {
            let mask = u128::MAX.checked_shr(128 - u32::from(free)).unwrap_or(0);
            Some(IpAddr::V6((u128::from(v6) | mask).into()))
        }
    };
    match (1..whole).find(|bits| end_of(*bits) == Some(last)) {
        Some(bits) => format!("{first}/{bits}"),
        None => format!("{first}-{last}"),
    }
}
