//! Who asked whom for what: `source`, `destination`, `network`, `http`, `url`, `user_agent`, `tls`.

use super::{AddressText, Scribe};
use crate::engine::batch::{ClientSource, Field, Kind};
use crate::engine::redact::Form;
use crate::engine::render::facts::PORT_MAX;
use crate::engine::render::json::{is_decimal, key};
use crate::engine::render::limits::{SHORT, TEXT, TOKEN, WORD};

impl<'s> Scribe<'s, '_> {
    pub(super) fn source(&mut self) {
        let source = self.json.open(r#""source":{"#);
        if self.row.client.is_some() {
            self.json.raw(r#""ip":""#);
            self.json.out.extend_from_slice(self.client.as_bytes());
            self.json.raw(r#"","#);
        }
        if let Some(address) = self.fields.value(Field::ClientAddress)
            && (self.full || address != self.client.as_bytes())
            && (!self.limits.minimal || self.row.client.is_none())
        {
            let max = if self.limits.minimal { TOKEN } else { WORD };
            self.json.text(key!("address"), "source.address", address, max);
        }
        self.field_number(key!("port"), Field::ClientPort, PORT_MAX);
        if !self.limits.minimal {
            self.place();
        }
        self.json.close(source, b'}');
    }

    /// Where the client is and whose network it is in, as the operator's databases say.
    fn place(&mut self) {
        if !self.fields.has_any(Field::Country, Field::AsOrganisation) {
            return;
        }
        let geo = self.json.open(r#""geo":{"#);
        let names = [
            (key!("country_iso_code"), "source.geo.country_iso_code", Field::Country),
            (key!("region_iso_code"), "source.geo.region_iso_code", Field::Region),
            (key!("city_name"), "source.geo.city_name", Field::City),
            (key!("continent_code"), "source.geo.continent_code", Field::Continent),
        ];
        for (key, name, field) in names {
            self.field(key, name, field, WORD);
        }
        self.location();
        self.json.close(geo, b'}');
        let network = self.json.open(r#""as":{"#);
        self.field_number(key!("number"), Field::AsNumber, u64::from(u32::MAX));
        let organisation = self.json.open(r#""organization":{"#);
        let name = "source.as.organization.name";
        self.field(key!("name"), name, Field::AsOrganisation, WORD);
        self.json.close(organisation, b'}');
        self.json.close(network, b'}');
    }

    /// A point has both its numbers, on the globe; receivers refuse the event for any other.
    fn location(&mut self) {
        let (Some(latitude), Some(longitude)) =
            (self.degrees(Field::Latitude, 90.0), self.degrees(Field::Longitude, 180.0))
        else {
            return;
        };
        let location = self.json.open(r#""location":{"#);
        for (key, degrees) in [(key!("lat"), latitude), (key!("lon"), longitude)] {
            self.json.raw(key);
            self.json.out.extend_from_slice(degrees);
            self.json.out.push(b',');
        }
        self.json.close(location, b'}');
    }

    fn degrees(&self, field: Field, most: f64) -> Option<&'s [u8]> {
        let text = self.fields.value(field)?;
        let number = text.strip_prefix(b"-").unwrap_or(text);
        let degrees: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
        (is_decimal(number) && degrees <= most).then_some(text)
    }

    pub(super) fn destination(&mut self) {
        let destination = self.json.open(r#""destination":{"#);
        self.field(key!("domain"), "destination.domain", Field::Domain, WORD);
        if let Some(ip) = self.view.server() {
            let text = AddressText::of(Some(ip));
            self.json.text(key!("ip"), "destination.ip", text.as_bytes(), SHORT);
        }
        self.field_number(key!("port"), Field::DestinationPort, PORT_MAX);
        self.json.close(destination, b'}');
    }

    pub(super) fn network(&mut self) {
        let network = self.json.open(r#""network":{"#);
        if self.row.kind == Kind::Access {
            // HTTP/3 is the one version that does not run over TCP.
            self.json.raw(match self.fields.value(Field::HttpVersion) {
                Some(b"3") => r#""protocol":"http","transport":"udp","#,
                _ => r#""protocol":"http","transport":"tcp","#,
            });
        }
        if let Some(client) = self.row.client {
            let ipv4 = client.to_canonical().is_ipv4();
            self.json.word(key!("type"), if ipv4 { "ipv4" } else { "ipv6" });
            if matches!(self.row.client_source, ClientSource::Forwarded | ClientSource::RealIp) {
                self.json.raw(r#""forwarded_ip":""#);
                self.json.out.extend_from_slice(self.client.as_bytes());
                self.json.raw(r#"","#);
            }
        }
        self.json.close(network, b'}');
    }

    pub(super) fn http(&mut self) {
        let http = self.json.open(r#""http":{"#);
        self.request();
        self.response();
        self.field(key!("version"), "http.version", Field::HttpVersion, TOKEN);
        self.json.close(http, b'}');
    }

    fn request(&mut self) {
        let request = self.json.open(r#""request":{"#);
        self.field(key!("method"), "http.request.method", Field::Method, TOKEN);
        if !self.limits.minimal {
            let max = self.limits.referrer;
            if let Some(referrer) = self.fields.value(Field::Referrer) {
                let name = "http.request.referrer";
                self.url_text(key!("referrer"), name, referrer, Form::Text, max);
            }
            self.field(key!("id"), "http.request.id", Field::RequestId, WORD);
            self.field_number(key!("bytes"), Field::RequestBytes, u64::MAX);
            let body = self.json.open(r#""body":{"#);
            self.field_number(key!("bytes"), Field::RequestBodyBytes, u64::MAX);
            self.json.close(body, b'}');
        }
        self.json.close(request, b'}');
    }

    fn response(&mut self) {
        let response = self.json.open(r#""response":{"#);
        if self.row.status != 0 {
            self.json.number(key!("status_code"), u64::from(self.row.status));
        }
        let whole =
            self.fields.value(Field::ResponseBytes).and_then(crate::engine::text::parse_u64);
        if let Some(bytes) = whole {
            self.json.number(key!("bytes"), bytes);
        }
        // A format that logs only the whole response counts it in both places.
        if let Some(bytes) = self.row.bytes
            && whole != Some(bytes)
        {
            let body = self.json.open(r#""body":{"#);
            self.json.number(key!("bytes"), bytes);
            self.json.close(body, b'}');
        }
        self.json.close(response, b'}');
    }

    pub(super) fn url(&mut self) {
        let limits = self.limits;
        let url = self.json.open(r#""url":{"#);
        if let Some(target) = self.fields.value(Field::Target).filter(|_| !limits.minimal) {
            let (name, max) = ("url.original", limits.target);
            self.url_text(key!("original"), name, target, Form::Text, max);
        }
        self.field(key!("path"), "url.path", Field::Path, limits.path);
        if !limits.minimal {
            if let Some(query) = self.fields.present(Field::Query) {
                self.url_text(key!("query"), "url.query", query, Form::Query, limits.query);
            }
            self.field(key!("fragment"), "url.fragment", Field::Fragment, TEXT);
            self.extension();
            if self.fields.value(Field::UrlDomain).is_some() {
                self.field(key!("domain"), "url.domain", Field::UrlDomain, WORD);
                self.field_number(key!("port"), Field::UrlPort, PORT_MAX);
            } else if self.row.kind == Kind::Access {
                self.field(key!("domain"), "url.domain", Field::Domain, WORD);
            }
            self.field(key!("scheme"), "url.scheme", Field::Scheme, SHORT);
        }
        self.json.close(url, b'}');
    }

    /// `url.extension`: `php` of `/a/Login.PHP`.
    fn extension(&mut self) {
        let Some(path) = self.fields.value(Field::Path) else { return };
        if let Some(extension) = extension(path) {
            self.json.raw(r#""extension":""#);
            self.json.out.extend(extension.iter().map(u8::to_ascii_lowercase));
            self.json.raw(r#"","#);
        }
    }

    pub(super) fn user_agent(&mut self) {
        let agent = self.json.open(r#""user_agent":{"#);
        let max = self.limits.user_agent;
        self.field(key!("original"), "user_agent.original", Field::UserAgent, max);
        if self.fields.has_any(Field::AgentName, Field::AgentDevice) {
            self.field(key!("name"), "user_agent.name", Field::AgentName, WORD);
            self.field(key!("version"), "user_agent.version", Field::AgentVersion, WORD);
            let system = self.json.open(r#""os":{"#);
            self.field(key!("name"), "user_agent.os.name", Field::AgentOs, WORD);
            self.field(key!("version"), "user_agent.os.version", Field::AgentOsVersion, WORD);
            self.json.close(system, b'}');
            let device = self.json.open(r#""device":{"#);
            self.field(key!("name"), "user_agent.device.name", Field::AgentDevice, WORD);
            self.json.close(device, b'}');
        }
        self.json.close(agent, b'}');
    }

    pub(super) fn trace(&mut self) {
        let trace = self.json.open(r#""trace":{"#);
        self.field(key!("id"), "trace.id", Field::TraceId, SHORT);
        self.json.close(trace, b'}');
        let span = self.json.open(r#""span":{"#);
        self.field(key!("id"), "span.id", Field::SpanId, SHORT);
        self.json.close(span, b'}');
    }

    pub(super) fn tls(&mut self) {
        if !self.fields.has_any(Field::TlsVersion, Field::TlsClientIssuer) {
            return;
        }
        let tls = self.json.open(r#""tls":{"#);
        if self.fields.value(Field::TlsVersion).is_some() {
            self.field(key!("version"), "tls.version", Field::TlsVersion, TOKEN);
            self.json.word(key!("version_protocol"), "tls");
        }
        self.field(key!("cipher"), "tls.cipher", Field::TlsCipher, WORD);
        self.field(key!("curve"), "tls.curve", Field::TlsCurve, SHORT);
        self.field(key!("next_protocol"), "tls.next_protocol", Field::TlsNextProtocol, SHORT);
        if let Some(resumed) = self.fields.value(Field::TlsResumed) {
            self.json.truth(key!("resumed"), resumed == b"true");
        }
        let client = self.json.open(r#""client":{"#);
        self.field(key!("server_name"), "tls.client.server_name", Field::TlsServerName, WORD);
        self.field(key!("subject"), "tls.client.subject", Field::TlsClientSubject, WORD);
        self.field(key!("issuer"), "tls.client.issuer", Field::TlsClientIssuer, WORD);
        self.json.close(client, b'}');
        self.json.close(tls, b'}');
    }
}

/// Letters and digits behind the last dot of the last segment, eight at most.
fn extension(path: &[u8]) -> Option<&[u8]> {
    let tail = &path[path.len().saturating_sub(9)..];
    let at = tail.iter().rposition(|byte| !byte.is_ascii_alphanumeric())?;
    let extension = &tail[at + 1..];
    (tail[at] == b'.' && !extension.is_empty()).then_some(extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_short_and_in_the_last_segment() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(expected.map(str::as_bytes), extension(path.as_bytes()), "{path}");
        };
        check("/a/Login.PHP", Some("PHP"));
        check("/archive.tar.gz", Some("gz"));
        check("/a.php/x", None);
        check("/a.", None);
        check("/a.verylongone", None);
        check("/a.12345678", Some("12345678"));
        check("/", None);
        check("", None);
    }
}
