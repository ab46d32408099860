//! What encodings made of names and values ask of an event or an alert: one [`Fact`] for each thing
//! that has a name of its own on some wire.
//!
//! Such an encoding is a table of [`Pair`]s and a way to escape. Events and alerts answer the same
//! questions through [`Subject`], so one table writes both.
//!
//! Invariant: a fact that is not known is absent, never an empty text.

use std::borrow::Cow;

use super::facts::{Class, Rank};
use super::limits::{ALL_ELSE, Limits, TEXT, TOKEN, WORD};
use crate::units::Timestamp;

macro_rules! facts {
    ($($(#[$doc:meta])* $fact:ident $name:literal,)+) => {
        /// Something that can be known about an event or an alert.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Fact {
            $($(#[$doc])* $fact,)+
        }

        impl Fact {
            /// Its name in ECS, by which it is told that it was cut.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$fact => $name,)+
                }
            }
        }
    };
}

facts! {
    Time "@timestamp",
    Start "event.start",
    End "event.end",
    Duration "event.duration",
    Created "event.created",
    Id "event.id",
    Original "event.original",
    /// The raw line where no format read it, for wires with no place for others.
    Unread "event.original",
    Message "message",
    Kind "event.kind",
    Action "event.action",
    Outcome "event.outcome",
    Reason "event.reason",
    Severity "event.severity",
    Code "event.code",
    /// How many events a line or an alert stands for.
    Count "event.count",
    /// How many events a line stands for.
    Repeats "event.count",
    Dataset "event.dataset",
    File "log.file.path",
    Offset "log.offset",
    Level "log.level",
    /// Why a line could not be read.
    Error "error.message",
    Host "host.name",
    Site "service.name",
    ClientIp "source.ip",
    /// The same where it is IPv4: some keys take nothing else.
    ClientIpv4 "source.ip",
    ClientIpv6 "source.ip",
    ClientPort "source.port",
    /// What was logged in the place of an address.
    ClientName "source.address",
    Peer "gatewatch.peer.ip",
    Forwarded "gatewatch.xff_chain",
    Country "source.geo.country_iso_code",
    City "source.geo.city_name",
    AsNumber "source.as.number",
    AsName "source.as.organization.name",
    Domain "destination.domain",
    ServerIp "destination.ip",
    ServerIpv4 "destination.ip",
    ServerIpv6 "destination.ip",
    ServerPort "destination.port",
    Transport "network.transport",
    NetworkType "network.type",
    /// The service above the transport: `HTTP` or `HTTPS`.
    App "network.protocol",
    Method "http.request.method",
    /// The whole URL where scheme and host are known, else the target as it was sent.
    Url "url.full",
    Target "url.original",
    /// The same where it is more than path and query.
    OddTarget "url.original",
    Path "url.path",
    Query "url.query",
    Scheme "url.scheme",
    Referrer "http.request.referrer",
    UserAgent "user_agent.original",
    RequestId "http.request.id",
    RequestBytes "http.request.bytes",
    /// The whole response, else its body.
    ResponseBytes "http.response.bytes",
    /// The whole response alone.
    WholeBytes "http.response.bytes",
    BodyBytes "http.response.body.bytes",
    Status "http.response.status_code",
    HttpVersion "http.version",
    User "user.name",
    /// The user of an event that is no log-in.
    ActingUser "user.name",
    /// The user that a log-in is for.
    LoginUser "user.name",
    TargetUser "user.effective.name",
    AuthMethod "gatewatch.auth.method",
    AuthOutcome "gatewatch.auth.outcome",
    LoginApp "gatewatch.auth.app",
    Grade "gatewatch.auth.grade",
    TlsVersion "tls.version",
    TlsCipher "tls.cipher",
    ServerName "tls.client.server_name",
    TraceId "trace.id",
    SpanId "span.id",
    Process "process.name",
    Pid "process.pid",
    Malformed "gatewatch.malformed",
    RuleId "rule.id",
    RuleName "rule.name",
    RuleVersion "rule.version",
    RuleCategory "rule.category",
    Technique "threat.technique.id",
    AlertId "gatewatch.alert.id",
    AlertState "gatewatch.alert.state",
    AlertCount "gatewatch.alert.count",
    Threshold "gatewatch.alert.threshold",
    Window "gatewatch.alert.window_s",
    Group "gatewatch.alert.group_key",
    /// Every address of an alert, where there is more than one.
    Addresses "related.ip",
    Users "related.user",
    /// What CEF calls a correlated event.
    CorrelatedType "event.kind",
}

impl Fact {
    /// Characters of it that are written at most.
    pub(super) fn max(self, limits: &Limits) -> usize {
        match self {
            Self::Message => limits.message,
            Self::Unread => limits.unread,
            Self::Url | Self::Target | Self::OddTarget => limits.target,
            Self::Path => limits.path,
            Self::Query => limits.query,
            Self::Referrer => limits.referrer,
            Self::UserAgent => limits.user_agent,
            Self::User | Self::ActingUser | Self::LoginUser | Self::TargetUser => limits.user,
            Self::Method | Self::HttpVersion | Self::TlsVersion => TOKEN,
            Self::ClientName | Self::Site if limits.minimal => TOKEN,
            Self::Error => limits.message.min(TEXT),
            Self::File | Self::Forwarded | Self::Group | Self::Addresses | Self::Users => TEXT,
            _ => WORD,
        }
    }

    /// It helps to find out what went wrong, and goes early when a message must be short.
    pub(super) fn is_diagnostic(self) -> bool {
        matches!(
            self,
            Self::Peer
                | Self::Forwarded
                | Self::RequestId
                | Self::TraceId
                | Self::SpanId
                | Self::Addresses
                | Self::Users
                | Self::ServerName
                | Self::TlsCipher
        )
    }

    /// It is needed to say what happened, however short a message must be.
    pub(super) fn is_essential(self) -> bool {
        matches!(
            self,
            Self::Time
                | Self::Id
                | Self::Message
                | Self::Unread
                | Self::Action
                | Self::Outcome
                | Self::Reason
                | Self::Severity
                | Self::Dataset
                | Self::Host
                | Self::ClientIp
                | Self::ClientIpv4
                | Self::ClientIpv6
                | Self::ClientName
                | Self::Method
                | Self::Path
                | Self::Status
                | Self::User
                | Self::ActingUser
                | Self::LoginUser
                | Self::Level
                | Self::Kind
                | Self::RuleId
                | Self::RuleName
                | Self::AlertId
                | Self::AlertState
                | Self::AlertCount
                | Self::CorrelatedType
        )
    }
}

/// What is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'v> {
    /// Text of a client or a server: hostile.
    Text(Cow<'v, [u8]>),
    /// A word of ours, which needs no escape on any wire.
    Word(&'static str),
    /// A count, a size, a status.
    Number(u64),
    /// A point in time.
    Time(Timestamp),
    /// A length of time in nanoseconds.
    Nanos(u64),
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(text: &'v [u8]) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// An event or an alert.
pub(super) trait Subject {
    /// What it knows; a text is never empty.
    fn get(&self, fact: Fact) -> Option<Value<'_>>;

    /// How much it matters.
    fn rank(&self) -> Rank;

    /// What it is.
    fn class(&self) -> Class<'_>;

    /// How much of it is asked for.
    fn limits(&self) -> &'static Limits;

    /// Characters of the raw line that are written at most. Of a line that no format read it is all
    /// that is known.
    fn original_max(&self) -> usize {
        self.limits().original
    }

    /// What the encoding wrote once for all subjects.
    fn shared(&self) -> &[u8];
}

/// A key of a wire and the fact it carries.
pub(super) struct Pair {
    pub(super) key: &'static str,
    /// What the key means here, for keys that mean nothing by themselves.
    pub(super) label: Option<&'static str>,
    pub(super) fact: Fact,
    /// Characters that the wire allows.
    pub(super) max: usize,
}

/// A key that means what it says.
pub(super) const fn pair(key: &'static str, fact: Fact, max: usize) -> Pair {
    Pair { key, label: None, fact, max }
}

/// A key that needs a label to say what it means.
pub(super) const fn labelled(
    key: &'static str,
    label: &'static str,
    fact: Fact,
    max: usize,
) -> Pair {
    Pair { key, label: Some(label), fact, max }
}

/// The longest that any encoding allows.
pub(super) const ANY: usize = usize::MAX;

/// Hands each pair of which something is known, and may be written, to `write`, which gets the
/// characters it may write and says whether it had to cut. Returns the names of what was cut.
pub(super) fn each_pair<'s>(
    subject: &'s dyn Subject,
    pairs: &'static [Pair],
    mut write: impl FnMut(&'static Pair, Value<'s>, usize) -> bool,
) -> Vec<&'static str> {
    let limits = subject.limits();
    let mut cuts = Vec::new();
    for pair in pairs {
        let max = match pair.fact {
            Fact::Original => subject.original_max(),
            fact => fact.max(limits),
        };
        let max = max.min(pair.max);
        let value = allowed(subject, pair.fact, max, &mut cuts);
        if value.is_some_and(|value| write(pair, value, max)) {
            note(&mut cuts, pair.fact.name());
        }
    }
    if limits.minimal { vec![ALL_ELSE] } else { cuts }
}

/// The value of `fact`, if the limits leave `max` characters of it.
fn allowed<'s>(
    subject: &'s dyn Subject,
    fact: Fact,
    max: usize,
    cuts: &mut Vec<&'static str>,
) -> Option<Value<'s>> {
    let limits = subject.limits();
    if limits.minimal && !fact.is_essential() && (fact != Fact::Original || max == 0) {
        return None;
    }
    let value = subject.get(fact)?;
    let name = match fact {
        Fact::Original if max == 0 => fact.name(),
        _ if fact.is_diagnostic() && !limits.diagnostics => "gatewatch",
        _ => return Some(value),
    };
    note(cuts, name);
    None
}

fn note(cuts: &mut Vec<&'static str>, name: &'static str) {
    if !cuts.contains(&name) {
        cuts.push(name);
    }
}
