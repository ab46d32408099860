//! What an event knows of each [`Fact`].

use std::borrow::Cow;
use std::net::IpAddr;

use super::fact::{Fact, Subject, Value};
use super::facts::{Class, PORT_MAX, Rank, action, address_in, dataset, level_of, outcome};
use super::limits::{Limits, TOKEN, WORD};
use super::line::cut;
use super::view::{AddressText, View};
use crate::engine::batch::{Field, Kind, Stamp};
use crate::engine::redact::{self, Form};
use crate::engine::text::parse_u64;
use crate::units::Timestamp;

/// Characters of the path in the summary of a request.
pub(super) const MESSAGE_PATH_MAX: usize = 200;

impl Subject for View<'_> {
    fn get(&self, fact: Fact) -> Option<Value<'_>> {
        self.of_time(fact)
            .or_else(|| self.of_what(fact))
            .or_else(|| self.of_network(fact))
            .or_else(|| self.of_http(fact))
            .or_else(|| self.of_user(fact))
    }

    fn rank(&self) -> Rank {
        Rank::of(self.row)
    }

    fn class(&self) -> Class<'_> {
        Class::of(self.row)
    }

    fn limits(&self) -> &'static Limits {
        self.limits
    }

    fn original_max(&self) -> usize {
        match self.row.kind {
            Kind::ParseFailure => self.limits.unread,
            _ => self.limits.original,
        }
    }

    fn shared(&self) -> &[u8] {
        &self.encoder.encoder.shared
    }
}

impl View<'_> {
    fn of_time(&self, fact: Fact) -> Option<Value<'_>> {
        let row = self.row;
        match fact {
            Fact::Time => Some(Value::Time(row.time)),
            Fact::Created => Some(Value::Time(self.created)),
            Fact::Start => self.period().0.map(Value::Time),
            Fact::End => self.period().1.map(Value::Time),
            Fact::Duration => row.duration_ns.map(Value::Nanos),
            _ => None,
        }
    }

    /// When a request began and ended, as far as the line tells: servers log one of the two.
    pub(super) fn period(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let row = self.row;
        if row.kind != Kind::Access || row.time_is_read {
            return (None, None);
        }
        match (row.stamp, row.duration_ns) {
            (Stamp::End, Some(ns)) => {
                (Some(Timestamp(row.time.0.saturating_sub(ns))), Some(row.time))
            }
            (Stamp::Start, Some(ns)) => {
                (Some(row.time), Some(Timestamp(row.time.0.saturating_add(ns))))
            }
            (Stamp::End, None) => (None, Some(row.time)),
            (Stamp::Start, None) => (Some(row.time), None),
        }
    }

    fn of_what(&self, fact: Fact) -> Option<Value<'_>> {
        let row = self.row;
        match fact {
            Fact::Id => Some(Value::Text(Cow::Owned(self.id().to_vec()))),
            Fact::Kind => Some(Value::Word(match row.kind {
                Kind::ParseFailure => "pipeline_error",
                _ => "event",
            })),
            Fact::Action => Some(Value::Word(action(row).name())),
            Fact::Outcome => outcome(row).map(Value::Word),
            Fact::Reason => row.auth?.reason.map(|reason| Value::Word(reason.name())),
            Fact::Severity => Some(Value::Number(u64::from(level_of(row).severity()))),
            Fact::Count | Fact::Repeats => {
                (1 < row.count).then_some(Value::Number(u64::from(row.count)))
            }
            Fact::Dataset => Some(Value::Word(dataset(row))),
            Fact::Level => Some(Value::Word(level_of(row).name())),
            Fact::Offset => {
                (!self.event.origin().path.is_empty()).then_some(Value::Number(row.offset))
            }
            Fact::Malformed => row.malformed.map(|what| Value::Word(what.name())),
            Fact::Message => self.message().map(Value::Text),
            Fact::Original => self.original().map(Value::Text),
            Fact::Unread if row.kind == Kind::ParseFailure => self.original().map(Value::Text),
            Fact::File => text(self.event.origin().path.as_bytes()),
            Fact::Host => text(self.host()),
            Fact::Site => text(self.service()),
            Fact::Code => self.field(Field::Code),
            Fact::Error => self.field(Field::Error),
            Fact::Process => self.field(Field::Process),
            Fact::Pid => self.number(Field::Pid, u64::MAX),
            _ => None,
        }
    }

    fn of_network(&self, fact: Fact) -> Option<Value<'_>> {
        let row = self.row;
        let v4 = |ip: IpAddr| ip.to_canonical().is_ipv4();
        match fact {
            Fact::ClientIp => row.client.and_then(|_| text(self.client.as_bytes())),
            Fact::ClientIpv4 => {
                row.client.filter(|ip| v4(*ip)).and_then(|_| text(self.client.as_bytes()))
            }
            Fact::ClientIpv6 => {
                row.client.filter(|ip| !v4(*ip)).and_then(|_| text(self.client.as_bytes()))
            }
            Fact::ClientName if row.client.is_none() => self.field(Field::ClientAddress),
            Fact::ClientPort => self.number(Field::ClientPort, PORT_MAX),
            Fact::Peer => address(address_in(self.fields.value(Field::Peer)?)?),
            Fact::Forwarded => self.field(Field::Forwarded),
            Fact::Country => self.field(Field::Country),
            Fact::City => self.field(Field::City),
            Fact::AsNumber => self.number(Field::AsNumber, u64::from(u32::MAX)),
            Fact::AsName => self.field(Field::AsOrganisation),
            Fact::Domain => self.field(Field::Domain),
            Fact::ServerIp => address(self.server()?),
            Fact::ServerIpv4 => address(self.server().filter(|ip| v4(*ip))?),
            Fact::ServerIpv6 => address(self.server().filter(|ip| !v4(*ip))?),
            Fact::ServerPort => self.number(Field::DestinationPort, PORT_MAX),
            // HTTP/3 is the one version that does not run over TCP.
            Fact::Transport if row.kind == Kind::Access => {
                Some(Value::Word(match self.fields.value(Field::HttpVersion) {
                    Some(b"3") => "udp",
                    _ => "tcp",
                }))
            }
            Fact::NetworkType => {
                row.client.map(|ip| Value::Word(if v4(ip) { "ipv4" } else { "ipv6" }))
            }
            _ => None,
        }
    }

    fn of_http(&self, fact: Fact) -> Option<Value<'_>> {
        let row = self.row;
        match fact {
            Fact::Method => self.field(Field::Method),
            Fact::Url => self.url().map(Value::Text),
            Fact::Target => self.redacted(Field::Target, Form::Text),
            Fact::OddTarget if !self.is_path_and_query() => {
                self.redacted(Field::Target, Form::Text)
            }
            Fact::Path => self.field(Field::Path),
            Fact::Query => self.redacted(Field::Query, Form::Query),
            Fact::Scheme => self.field(Field::Scheme),
            Fact::App if row.kind == Kind::Access => match self.fields.value(Field::Scheme) {
                Some(b"https") => Some(Value::Word("HTTPS")),
                Some(b"http") => Some(Value::Word("HTTP")),
                _ => None,
            },
            Fact::Referrer => self.redacted(Field::Referrer, Form::Text),
            Fact::UserAgent => self.field(Field::UserAgent),
            Fact::RequestId => self.field(Field::RequestId),
            Fact::RequestBytes => self.number(Field::RequestBytes, u64::MAX),
            Fact::ResponseBytes => {
                self.number(Field::ResponseBytes, u64::MAX).or_else(|| row.bytes.map(Value::Number))
            }
            Fact::WholeBytes => self.number(Field::ResponseBytes, u64::MAX),
            // A format that logs only the whole response counts it in both places.
            Fact::BodyBytes => row.bytes.map(Value::Number).filter(|bytes| {
                self.number(Field::ResponseBytes, u64::MAX).as_ref() != Some(bytes)
            }),
            Fact::Status => (row.status != 0).then_some(Value::Number(u64::from(row.status))),
            Fact::HttpVersion => self.field(Field::HttpVersion),
            Fact::TlsVersion => self.field(Field::TlsVersion),
            Fact::TlsCipher => self.field(Field::TlsCipher),
            Fact::ServerName => self.field(Field::TlsServerName),
            Fact::TraceId => self.field(Field::TraceId),
            Fact::SpanId => self.field(Field::SpanId),
            _ => None,
        }
    }

    fn of_user(&self, fact: Fact) -> Option<Value<'_>> {
        let row = self.row;
        match fact {
            Fact::User => self.field(Field::User),
            Fact::LoginUser if self.class().is_auth() => self.field(Field::User),
            Fact::ActingUser if !self.class().is_auth() => self.field(Field::User),
            Fact::TargetUser => self.field(Field::TargetUser),
            Fact::AuthMethod => row.auth.map(|auth| Value::Word(auth.method.name())),
            Fact::AuthOutcome => row.auth.map(|auth| Value::Word(auth.outcome.name())),
            Fact::LoginApp => (!row.login_app.is_empty()).then_some(Value::Word(row.login_app)),
            Fact::Grade => row.grade.map(|grade| Value::Word(grade.name())),
            _ => None,
        }
    }

    /// `event.id`.
    pub(super) fn id(&self) -> [u8; super::event_id::ID_LEN] {
        self.encoder.id.of(&self.event)
    }

    fn field(&self, field: Field) -> Option<Value<'_>> {
        self.fields.value(field).map(Value::from)
    }

    fn number(&self, field: Field, max: u64) -> Option<Value<'_>> {
        let number = parse_u64(self.fields.value(field)?)?;
        (number <= max).then_some(Value::Number(number))
    }

    fn redacted(&self, field: Field, form: Form) -> Option<Value<'_>> {
        Some(Value::Text(self.clean(self.fields.value(field)?, form)))
    }

    /// A text without the secrets of its query.
    fn clean<'t>(&self, text: &'t [u8], form: Form) -> Cow<'t, [u8]> {
        match self.encoder.encoder.show_secrets {
            true => Cow::Borrowed(text),
            false => redact::secrets(text, form),
        }
    }

    /// Machine that wrote the line.
    pub(super) fn host(&self) -> &[u8] {
        match self.event.origin().host.as_bytes() {
            b"" => self.fields.value(Field::Hostname).unwrap_or_default(),
            host => host,
        }
    }

    fn service(&self) -> &[u8] {
        self.fields.value(Field::Service).unwrap_or_else(|| self.event.site())
    }

    /// Address of the server.
    pub(super) fn server(&self) -> Option<IpAddr> {
        address_in(self.fields.value(Field::DestinationIp)?)
    }

    /// Host of the URL: of an absolute target, else the one that was asked.
    pub(super) fn url_host(&self) -> Option<&[u8]> {
        self.fields.value(Field::UrlDomain).or_else(|| self.fields.value(Field::Domain))
    }

    /// The whole URL, where it is known.
    pub(super) fn whole_url(&self) -> Option<Cow<'_, [u8]>> {
        let target = self.fields.value(Field::Target)?;
        if !target.starts_with(b"/") {
            let is_absolute = memchr::memmem::find(target, b"://").is_some();
            return is_absolute.then(|| self.clean(target, Form::Text));
        }
        let (scheme, host) = (self.fields.value(Field::Scheme)?, self.url_host()?);
        let mut url = [scheme, b"://", host].concat();
        let usual = if scheme == b"https" { 443 } else { 80 };
        match self.number(Field::DestinationPort, PORT_MAX) {
            Some(Value::Number(port)) if port != usual => {
                url.push(b':');
                super::line::number(port, &mut url);
            }
            _ => (),
        }
        url.extend_from_slice(&self.clean(target, Form::Text));
        Some(Cow::Owned(url))
    }

    /// The target says no more than its path and its query.
    fn is_path_and_query(&self) -> bool {
        let whole = |field| self.fields.present(field).unwrap_or_default();
        let (target, path) = (whole(Field::Target), whole(Field::Path));
        match target.strip_prefix(path) {
            Some(b"") => true,
            Some(rest) => rest.strip_prefix(b"?") == self.fields.present(Field::Query),
            None => false,
        }
    }

    fn url(&self) -> Option<Cow<'_, [u8]>> {
        let target = || Some(self.clean(self.fields.value(Field::Target)?, Form::Text));
        self.whole_url().or_else(target)
    }

    /// The raw line, where it is kept: as the operator wants it, and of a line that no format read.
    fn original(&self) -> Option<Cow<'_, [u8]>> {
        let kept = self.row.kind == Kind::ParseFailure || self.encoder.encoder.keep_original;
        let line = self.event.line_to_show()?;
        (kept && !line.is_empty()).then(|| self.clean(line, Form::Text))
    }

    /// One line for people.
    pub(super) fn message(&self) -> Option<Cow<'_, [u8]>> {
        match self.row.kind {
            Kind::Access => Some(Cow::Owned(self.summary())),
            Kind::ServerError | Kind::Auth => {
                // Servers quote the request or the referrer in their messages.
                Some(self.clean(self.fields.value(Field::Message)?, Form::Text))
            }
            Kind::ParseFailure => Some(Cow::Borrowed(b"this line could not be read")),
        }
    }

    /// `GET /members/ 401 bob 198.51.100.23`
    fn summary(&self) -> Vec<u8> {
        let word = |field, max| cut(self.fields.value(field).unwrap_or(b"-"), max);
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(word(Field::Method, TOKEN));
        out.push(b' ');
        match self.fields.value(Field::Path) {
            Some(path) => out.extend_from_slice(cut(path, MESSAGE_PATH_MAX)),
            // The target of CONNECT is no path.
            None => {
                let target =
                    self.clean(self.fields.value(Field::Target).unwrap_or(b"-"), Form::Text);
                out.extend_from_slice(cut(&target, MESSAGE_PATH_MAX));
            }
        }
        out.push(b' ');
        match self.row.status {
            0 => out.push(b'-'),
            status => super::line::number(u64::from(status), &mut out),
        }
        out.push(b' ');
        out.extend_from_slice(word(Field::User, self.limits.user));
        out.push(b' ');
        if self.row.client.is_some() {
            out.extend_from_slice(self.client.as_bytes());
        } else {
            out.extend_from_slice(word(Field::ClientAddress, WORD));
        }
        out
    }
}

fn text(text: &[u8]) -> Option<Value<'_>> {
    (!text.is_empty()).then(|| Value::from(text))
}

fn address(ip: IpAddr) -> Option<Value<'static>> {
    Some(Value::Text(Cow::Owned(AddressText::of(Some(ip)).as_bytes().to_vec())))
}
