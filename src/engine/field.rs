//! The text fields of an event, and the names by which rules, filters and encoders know them.
//!
//! To add a field: a variant of [`Field`] and a row in [`FIELDS`].

/// Text fields of an event.
///
/// The fields before [`Field::Peer`] are in nearly every line and have a place in each row; the
/// others are kept in a list of pairs, because most lines have none of them. Those that belong
/// together stand together: encoders pass over a group that no line has.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Field {
    /// Client as logged: an address, a host name, or `unix:`.
    ClientAddress,
    /// Login name, where the server knows one.
    User,
    /// Request method, with its case kept.
    Method,
    /// Request target as received, log escaping undone.
    Target,
    /// Target up to `?`; percent-encoding kept.
    Path,
    /// After the first `?`, without it.
    Query,
    /// `1.1`, `2`, …
    HttpVersion,
    /// Referer header.
    Referrer,
    /// User-Agent header.
    UserAgent,
    /// Virtual host or Host header, lower-cased, without its port.
    Domain,
    /// Text of an error or login line.
    Message,
    /// TCP peer as the server saw it, when the client came from a header.
    Peer,
    /// Port of the client.
    ClientPort,
    /// X-Forwarded-For (or `Forwarded`) as logged.
    Forwarded,
    /// X-Real-IP, CF-Connecting-IP or True-Client-IP as logged.
    RealIp,
    /// Address of the server.
    DestinationIp,
    /// Port of the server.
    DestinationPort,
    /// Host of an absolute target, lower-cased.
    UrlDomain,
    /// Its port.
    UrlPort,
    /// `http` or `https`.
    Scheme,
    /// After `#`, if one was really sent.
    Fragment,
    /// Identifier the server gave the request.
    RequestId,
    /// Whole request in bytes.
    RequestBytes,
    /// Request body in bytes.
    RequestBodyBytes,
    /// Whole response in bytes, with headers.
    ResponseBytes,
    /// `1.2`, `1.3`.
    TlsVersion,
    /// Cipher suite.
    TlsCipher,
    /// Server name the client asked for.
    TlsServerName,
    /// `true` where an earlier session was taken up again.
    TlsResumed,
    /// Protocol agreed on inside TLS: `h2`.
    TlsNextProtocol,
    /// Curve of the key exchange.
    TlsCurve,
    /// Subject of the client's certificate.
    TlsClientSubject,
    /// Issuer of the client's certificate.
    TlsClientIssuer,
    /// Trace that the request belongs to: 32 hexadecimal digits.
    TraceId,
    /// Step of that trace: 16 of them.
    SpanId,
    /// `AH01617`, `401.1`, …
    Code,
    /// Program that wrote an auth or error line.
    Process,
    /// Its process id.
    Pid,
    /// Its thread id.
    Tid,
    /// Machine named in a syslog line.
    Hostname,
    /// Service a PAM line speaks of.
    Service,
    /// Account that sudo or su changes to.
    TargetUser,
    /// Address of the upstream that answered last.
    UpstreamAddress,
    /// Its status.
    UpstreamStatus,
    /// Its response time in seconds.
    UpstreamTime,
    /// How many upstreams were tried.
    UpstreamAttempts,
    /// How long the last one took to be connected to, in seconds.
    UpstreamConnectTime,
    /// How long it took to the end of its header, in seconds.
    UpstreamHeaderTime,
    /// HIT, MISS, …
    CacheStatus,
    /// Serial number of the connection.
    Connection,
    /// Number of the request on its connection.
    ConnectionRequests,
    /// What IIS adds to a status: 1 in `401.1`.
    IisSubstatus,
    /// Result of the request as a code of Windows.
    IisWin32Status,
    /// Program that the user agent names.
    AgentName,
    /// Its version.
    AgentVersion,
    /// Operating system that it names.
    AgentOs,
    /// Version of that.
    AgentOsVersion,
    /// Kind of device: `pc`, `smartphone`, `crawler`, …
    AgentDevice,
    /// Country of the client, ISO 3166-1.
    Country,
    /// Part of the country, ISO 3166-2.
    Region,
    /// City of the client.
    City,
    /// Continent of the client, two letters.
    Continent,
    /// Latitude of the client in degrees.
    Latitude,
    /// Longitude of the client in degrees.
    Longitude,
    /// Number of the network (autonomous system) of the client.
    AsNumber,
    /// Who runs that network.
    AsOrganisation,
    /// Which part of a record of several lines the line is: `begun`, `continued`, `ended`, or
    /// `orphan` where there is none that it could belong to.
    Record,
    /// HAProxy: the side that accepted the connection.
    HaproxyFrontend,
    /// The group of servers it was given to.
    HaproxyBackend,
    /// The server of that group.
    HaproxyServer,
    /// How the session ended: `----`, `CR--`, `SD--`.
    HaproxyTermState,
    /// Milliseconds until the request was there.
    HaproxyTq,
    /// In queues.
    HaproxyTw,
    /// To connect to the server.
    HaproxyTc,
    /// Until the server's answer began.
    HaproxyTr,
    /// Until everything was over.
    HaproxyTa,
    /// Connections tried again.
    HaproxyRetries,
    /// Columns behind those the format knows.
    Trailing,
    /// Why a line could not be parsed.
    Error,
    /// Id of a rule that matches; set once for each.
    RuleId,
    /// Its title.
    RuleName,
    /// List of indicators that the event meets.
    ThreatFeed,
    /// The indicator as the list has it.
    ThreatIndicator,
    /// What it is, in the words of ECS.
    ThreatType,
    /// The field in which it was found.
    ThreatMatched,
    /// How bad that is.
    ThreatSeverity,
    /// How sure the list is: `None`, `Low`, `Medium`, `High`.
    ThreatConfidence,
    /// Whom it may be told to: `CLEAR`, `GREEN`, `AMBER`, `RED`.
    ThreatTlp,
    /// What the list says it is.
    ThreatDescription,
    /// Where more is told.
    ThreatReference,
    /// Since when it is known.
    ThreatSince,
    /// All that the list says, and how old that is, in one line.
    ThreatNote,
    /// Name of a label; its value is the pair behind it.
    LabelName,
    /// Value of the label named by the pair before it.
    LabelValue,
}

impl Field {
    /// It says which indicator of which list an event meets.
    pub fn is_of_feeds(self) -> bool {
        (Self::ThreatFeed..=Self::ThreatNote).contains(&self)
    }
}

/// How many fields have a place in each row.
pub(super) const HOT: usize = Field::Peer as usize;

/// A field, its ECS name, and whether its value is a number.
pub struct FieldEntry {
    /// The field.
    pub field: Field,
    /// Name in the Elastic Common Schema, or under `gatewatch.` where ECS has none.
    pub name: &'static str,
    /// The value is written as a JSON number.
    pub numeric: bool,
}

const fn text(field: Field, name: &'static str) -> FieldEntry {
    FieldEntry { field, name, numeric: false }
}

const fn number(field: Field, name: &'static str) -> FieldEntry {
    FieldEntry { field, name, numeric: true }
}

/// Every text field with the name by which rules, filters and encoders know it.
pub const FIELDS: &[FieldEntry] = &[
    text(Field::ClientAddress, "source.address"),
    text(Field::User, "user.name"),
    text(Field::Method, "http.request.method"),
    text(Field::Target, "url.original"),
    text(Field::Path, "url.path"),
    text(Field::Query, "url.query"),
    text(Field::HttpVersion, "http.version"),
    text(Field::Referrer, "http.request.referrer"),
    text(Field::UserAgent, "user_agent.original"),
    text(Field::Domain, "destination.domain"),
    text(Field::Message, "message"),
    text(Field::Peer, "gatewatch.peer.ip"),
    number(Field::ClientPort, "source.port"),
    text(Field::Forwarded, "gatewatch.xff_chain"),
    text(Field::RealIp, "gatewatch.real_ip"),
    text(Field::DestinationIp, "destination.ip"),
    number(Field::DestinationPort, "destination.port"),
    text(Field::UrlDomain, "url.domain"),
    number(Field::UrlPort, "url.port"),
    text(Field::Scheme, "url.scheme"),
    text(Field::Fragment, "url.fragment"),
    text(Field::RequestId, "http.request.id"),
    number(Field::RequestBytes, "http.request.bytes"),
    number(Field::RequestBodyBytes, "http.request.body.bytes"),
    number(Field::ResponseBytes, "http.response.bytes"),
    text(Field::TlsVersion, "tls.version"),
    text(Field::TlsCipher, "tls.cipher"),
    text(Field::TlsServerName, "tls.client.server_name"),
    text(Field::TlsResumed, "tls.resumed"),
    text(Field::TlsNextProtocol, "tls.next_protocol"),
    text(Field::TlsCurve, "tls.curve"),
    text(Field::TlsClientSubject, "tls.client.subject"),
    text(Field::TlsClientIssuer, "tls.client.issuer"),
    text(Field::TraceId, "trace.id"),
    text(Field::SpanId, "span.id"),
    text(Field::Code, "event.code"),
    text(Field::Process, "process.name"),
    number(Field::Pid, "process.pid"),
    number(Field::Tid, "process.thread.id"),
    text(Field::Hostname, "host.hostname"),
    text(Field::Service, "service.name"),
    text(Field::TargetUser, "user.effective.name"),
    text(Field::UpstreamAddress, "gatewatch.upstream.address"),
    number(Field::UpstreamStatus, "gatewatch.upstream.status"),
    number(Field::UpstreamTime, "gatewatch.upstream.response_time_s"),
    number(Field::UpstreamAttempts, "gatewatch.upstream.attempts"),
    number(Field::UpstreamConnectTime, "gatewatch.upstream.connect_time_s"),
    number(Field::UpstreamHeaderTime, "gatewatch.upstream.header_time_s"),
    text(Field::CacheStatus, "gatewatch.cache.status"),
    number(Field::Connection, "gatewatch.connection.id"),
    number(Field::ConnectionRequests, "gatewatch.connection.requests"),
    number(Field::IisSubstatus, "gatewatch.iis.substatus"),
    number(Field::IisWin32Status, "gatewatch.iis.win32_status"),
    text(Field::AgentName, "user_agent.name"),
    text(Field::AgentVersion, "user_agent.version"),
    text(Field::AgentOs, "user_agent.os.name"),
    text(Field::AgentOsVersion, "user_agent.os.version"),
    text(Field::AgentDevice, "user_agent.device.name"),
    text(Field::Country, "source.geo.country_iso_code"),
    text(Field::Region, "source.geo.region_iso_code"),
    text(Field::City, "source.geo.city_name"),
    text(Field::Continent, "source.geo.continent_code"),
    number(Field::Latitude, "source.geo.location.lat"),
    number(Field::Longitude, "source.geo.location.lon"),
    number(Field::AsNumber, "source.as.number"),
    text(Field::AsOrganisation, "source.as.organization.name"),
    text(Field::Record, "gatewatch.record"),
    text(Field::HaproxyFrontend, "gatewatch.haproxy.frontend"),
    text(Field::HaproxyBackend, "gatewatch.haproxy.backend"),
    text(Field::HaproxyServer, "gatewatch.haproxy.server"),
    text(Field::HaproxyTermState, "gatewatch.haproxy.term_state"),
    number(Field::HaproxyTq, "gatewatch.haproxy.tq_ms"),
    number(Field::HaproxyTw, "gatewatch.haproxy.tw_ms"),
    number(Field::HaproxyTc, "gatewatch.haproxy.tc_ms"),
    number(Field::HaproxyTr, "gatewatch.haproxy.tr_ms"),
    number(Field::HaproxyTa, "gatewatch.haproxy.ta_ms"),
    number(Field::HaproxyRetries, "gatewatch.haproxy.retries"),
    text(Field::Trailing, "gatewatch.extra"),
    text(Field::Error, "error.message"),
    text(Field::RuleId, "rule.id"),
    text(Field::RuleName, "rule.name"),
    text(Field::ThreatFeed, "threat.feed.name"),
    text(Field::ThreatIndicator, "threat.indicator.name"),
    text(Field::ThreatType, "threat.indicator.type"),
    text(Field::ThreatMatched, "gatewatch.threat.matched"),
    text(Field::ThreatSeverity, "gatewatch.threat.severity"),
    text(Field::ThreatConfidence, "threat.indicator.confidence"),
    text(Field::ThreatTlp, "threat.indicator.marking.tlp"),
    text(Field::ThreatDescription, "threat.indicator.description"),
    text(Field::ThreatReference, "threat.indicator.reference"),
    text(Field::ThreatSince, "threat.indicator.first_seen"),
    text(Field::ThreatNote, "gatewatch.threat.note"),
];
