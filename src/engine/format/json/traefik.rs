//! Traefik's access log in JSON: one object a request, keys in camel case, durations in
//! nanoseconds. Its other lines are read by the general format.

use std::sync::LazyLock;

use super::super::capture::{Capture, TimeForm, Unit};
use super::super::{Context, FixedFormat, Miss};
use super::keys::{Hint, KeyMap, Place, What};
use crate::engine::batch::{Field, Module, Stamp, Writer};

/// The format; its parser is [`parse`].
pub(in super::super) const FORMAT: FixedFormat =
    FixedFormat { name: NAME, module: Module::Traefik, captures: 41, parse };

const NAME: &str = "traefik:json";

static KEYS: LazyLock<KeyMap> = LazyLock::new(|| {
    use Capture::{BodyBytes, Client, Duration, Endpoint, Host, Label, Number, Protocol};
    use Capture::{Status, Target, Text, Time, TlsVersion, User};
    let fields = [
        ("StartUTC", Time(TimeForm::Any)),
        ("StartLocal", Time(TimeForm::Any)),
        ("time", Time(TimeForm::Any)),
        ("ClientHost", Client),
        ("ClientAddr", Endpoint),
        ("ClientPort", Number(Field::ClientPort)),
        ("ClientUsername", User),
        ("RequestMethod", Text(Field::Method)),
        ("RequestPath", Target),
        ("RequestProtocol", Protocol),
        ("RequestHost", Host),
        ("RequestAddr", Host),
        ("RequestPort", Number(Field::DestinationPort)),
        ("RequestScheme", Text(Field::Scheme)),
        ("RequestContentSize", Number(Field::RequestBodyBytes)),
        ("DownstreamStatus", Status),
        ("DownstreamContentSize", BodyBytes),
        ("OriginStatus", Number(Field::UpstreamStatus)),
        ("Duration", Duration(Unit::Nanoseconds)),
        ("ServiceAddr", Text(Field::UpstreamAddress)),
        ("request_User-Agent", Text(Field::UserAgent)),
        ("request_Referer", Text(Field::Referrer)),
        ("request_X-Forwarded-For", Text(Field::Forwarded)),
        ("request_X-Real-Ip", Text(Field::RealIp)),
        ("request_X-Request-Id", Text(Field::RequestId)),
        ("TLSVersion", TlsVersion),
        ("TLSCipher", Text(Field::TlsCipher)),
        ("RouterName", Label("router".into())),
        ("ServiceName", Label("service".into())),
    ];
    let rows = fields.map(|(key, capture)| (key.as_bytes().to_vec(), What::Is(capture)));
    let credentials = (b"request_Authorization".to_vec(), What::Tells(Hint::Credentials));
    let rows = rows.into_iter().chain([credentials]).collect();
    KeyMap::new(rows, crate::engine::json::Keys::Exact).expect("a table has few meanings")
});

/// Reads one line.
fn parse(line: &[u8], cx: &mut Context<'_>, out: &mut Writer<'_>) -> Result<(), Miss> {
    let found = KEYS.read(line)?;
    let is_access = KEYS.has(&found, Place::Status)
        && KEYS.has(&found, Place::Client)
        && KEYS.has(&found, Place::Method);
    if !is_access {
        return Err(Miss::Shape);
    }
    KEYS.apply(&found, Module::Traefik, Stamp::Start, cx, out)?;
    let row = &mut out.row;
    (row.module, row.format, row.stamp) = (Module::Traefik, NAME, Stamp::Start);
    super::refused_credentials(&found, out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing::{check, check_miss, mutated, read};
    use super::*;

    const LINE: &str = r#"{"ClientAddr":"192.0.2.7:50112","ClientHost":"192.0.2.7","ClientPort":"50112","ClientUsername":"anna","DownstreamContentSize":19,"DownstreamStatus":404,"Duration":251000,"OriginContentSize":19,"OriginDuration":101000,"OriginStatus":404,"Overhead":150000,"RequestAddr":"shop.example.org","RequestContentSize":5,"RequestCount":12,"RequestHost":"shop.example.org","RequestMethod":"GET","RequestPath":"/api?id=1","RequestPort":"-","RequestProtocol":"HTTP/2.0","RequestScheme":"https","RetryAttempts":0,"RouterName":"shop@docker","ServiceAddr":"10.0.0.5:80","ServiceName":"shop","StartLocal":"2026-11-20T08:00:14.25+01:00","StartUTC":"2026-11-20T07:00:14.25Z","TLSCipher":"TLS_AES_128_GCM_SHA256","TLSVersion":"1.3","entryPointName":"websecure","level":"info","msg":"","request_User-Agent":"curl/8.5","request_Referer":"https://example.org/","time":"2026-11-20T07:00:14Z"}"#;

    #[test]
    fn an_access_line_is_read() {
        check(
            parse,
            LINE,
            &[
                ("format", NAME),
                ("module", "traefik"),
                ("time", "2026-11-20T07:00:14.250Z"),
                ("client", "192.0.2.7"),
                ("source.port", "50112"),
                ("user.name", "anna"),
                ("http.request.method", "GET"),
                ("url.path", "/api"),
                ("url.query", "id=1"),
                ("http.version", "2"),
                ("url.scheme", "https"),
                ("destination.domain", "shop.example.org"),
                ("destination.port", "-"),
                ("status", "404"),
                ("bytes", "19"),
                ("duration", "251000"),
                ("http.request.body.bytes", "5"),
                ("tls.version", "1.3"),
                ("gatewatch.upstream.address", "10.0.0.5:80"),
                ("gatewatch.upstream.status", "404"),
                ("user_agent.original", "curl/8.5"),
                ("http.request.referrer", "https://example.org/"),
                ("labels.router", "shop@docker"),
            ],
        );
    }

    #[test]
    fn credentials_that_were_sent_make_a_401_a_failure() {
        let refused = LINE
            .replace(r#""DownstreamStatus":404"#, r#""DownstreamStatus":401"#)
            .replace("anna", "-")
            .replace(r#""msg":"""#, r#""request_Authorization":"REDACTED""#);
        check(parse, &refused, &[("outcome", "failure"), ("counted", "true"), ("user.name", "-")]);
    }

    #[test]
    fn other_lines_are_refused() {
        check_miss(parse, "", Miss::Shape);
        check_miss(parse, "{}", Miss::Shape);
        check_miss(
            parse,
            r#"{"level":"error","msg":"x","time":"2026-11-20T07:00:14Z"}"#,
            Miss::Shape,
        );
        check_miss(parse, &LINE.replace(":404,\"Du", ":4,\"Du"), Miss::Status);
        check_miss(parse, &LINE.replace("2026-11-20T07", "2026-11-40T07"), Miss::Time);
        check_miss(parse, &LINE.replace("\"192.0.2.7\"", "\"a b\""), Miss::Client);
        check_miss(parse, &format!("{LINE}x"), Miss::Shape);
    }

    proptest! {
        #[test]
        fn damaged_lines_are_read_or_refused(line in mutated(&[LINE])) {
            let _ = read(parse, &line);
        }
    }
}
