//! The keys that JSON logs of no special program use, and what they mean.
//!
//! Variables of nginx first, then every other name, row by row; within a row and over all rows the
//! first that is in a line counts. Keys are compared in small letters and without `_`.

use std::sync::LazyLock;

use super::super::capture::{Capture, TimeForm, Unit};
use super::super::nginx;
use super::keys::{Hint, KeyMap, What};
use crate::engine::batch::Field;

/// Variables of nginx that are keys nearly always when nginx writes JSON: they tell that it did.
const NGINX_ONLY: &str = "\
    msec time_iso8601 time_local body_bytes_sent http_user_agent http_referer \
    http_x_forwarded_for remote_user upstream_addr upstream_status upstream_response_time \
    upstream_cache_status ssl_protocol ssl_cipher connection_requests";

/// Its other variables, whose names others use too.
const NGINX: &str = "\
    remote_addr request request_method request_uri uri server_protocol status bytes_sent \
    request_length request_time args query_string host http_host server_name server_port \
    server_addr scheme request_id connection remote_port http_x_real_ip ssl_server_name";

/// Keys under which collectors put the whole object.
const PREFIXES: &str = "\
    fields. attributes. attr. data. json. jsonpayload. log. body. payload. access. accesslog. \
    nginx.access. nginx. apache.access. apache. proxy. context. details. event. eventdata.";

pub(super) static KEYS: LazyLock<KeyMap> = LazyLock::new(|| {
    let nginx = words(NGINX_ONLY).chain(words(NGINX)).map(|name| {
        let capture = match nginx::meaning(name).expect("a variable of nginx") {
            // In objects of other programs these are what the client asked for.
            Capture::MappedPath => Capture::Target,
            Capture::ServerName => Capture::Host,
            other => other,
        };
        (name, What::Is(capture))
    });
    let marks = words(NGINX_ONLY).map(|name| (name, What::Tells(Hint::Mark)));
    let fields = fields().into_iter().map(|(key, capture)| (key, What::Is(capture)));
    let hints =
        HINTS.iter().flat_map(|(hint, keys)| words(keys).map(|key| (key, What::Tells(*hint))));
    KeyMap::guesses(marks.chain(nginx).chain(fields).chain(hints), words(PREFIXES))
});

fn words(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split_ascii_whitespace()
}

/// Every key and what it means; of several for one meaning the first that is there.
fn fields() -> Vec<(&'static str, Capture)> {
    let rows: &[(Capture, &str)] = &[
        (Capture::Time(TimeForm::Any), TIMES),
        (Capture::Client, CLIENTS),
        (Capture::Endpoint, ENDPOINTS),
        (Capture::Number(Field::ClientPort), CLIENT_PORTS),
        (Capture::User, USERS),
        (Capture::Request, REQUESTS),
        (Capture::Text(Field::Method), METHODS),
        (Capture::Target, "request"),
        (Capture::Target, TARGETS),
        // A request line of one word is none, and what was asked for all the same.
        (Capture::Target, "request_line requestline http_request req"),
        (Capture::Text(Field::Query), QUERIES),
        (Capture::Protocol, PROTOCOLS),
        (Capture::Status, STATUSES),
        (Capture::BodyBytes, BODY_BYTES),
        (Capture::ResponseBytes, "response.size http.response.bytes httprequest.responsesize"),
        (Capture::Number(Field::RequestBytes), REQUEST_BYTES),
        (Capture::Number(Field::RequestBodyBytes), REQUEST_BODY_BYTES),
        (Capture::Duration(Unit::Nanoseconds), "event.duration duration_ns latency_ns"),
        (Capture::Duration(Unit::Microseconds), MICROSECONDS),
        (Capture::Duration(Unit::Milliseconds), MILLISECONDS),
        (Capture::Duration(Unit::Seconds), SECONDS),
        (Capture::Duration(Unit::Guessed), "duration latency httprequest.latency"),
        (Capture::Text(Field::UserAgent), AGENTS),
        (Capture::Text(Field::Referrer), REFERRERS),
        (Capture::Host, HOSTS),
        (Capture::Text(Field::Scheme), SCHEMES),
        (Capture::Text(Field::Forwarded), FORWARDED),
        (Capture::Text(Field::RealIp), REAL_IPS),
        (Capture::Text(Field::DestinationIp), "destination.ip dst_ip dest_ip server_ip"),
        (Capture::Number(Field::DestinationPort), "destination.port dst_port dest_port"),
        (Capture::TlsVersion, "tls_version clientsslprotocol tls.protocol ssl_version"),
        (Capture::Text(Field::TlsVersion), "tls.version"),
        (Capture::Text(Field::TlsCipher), "tls_cipher tls.cipher clientsslcipher"),
        (Capture::Text(Field::TlsServerName), "requested_server_name tls.client.server_name"),
        (Capture::Text(Field::RequestId), REQUEST_IDS),
        (Capture::Upstream(Some(Field::UpstreamAddress)), "upstream_host upstream_address"),
        (Capture::Text(Field::CacheStatus), "cachecachestatus cache_status fastly_cache"),
        (Capture::Text(Field::Hostname), "hostname host.hostname host.name _host"),
        (Capture::Number(Field::Pid), "pid process.pid process_id"),
    ];
    let all = rows.iter().flat_map(|(capture, keys)| words(keys).map(|key| (key, capture.clone())));
    all.collect()
}

const TIMES: &str = "\
    @timestamp timestamp time ts @t t t.$date date datetime start_time startTime started_at \
    request_time requestTimeEpoch EdgeStartTimestamp eventTime event.created event_time \
    time_date asctime log_time logged_at created_at instant.epochSecond";

const CLIENTS: &str = "\
    source.ip client.ip source.address client.address client_ip clientAddr client_addr \
    client_address client-ip remote_ip remote-addr remote_address request.remote_ip \
    request.remote_addr request.client_ip req.remoteAddress req.ip req.remoteIp request.ip \
    request.remote_address remote_host remotehost httpRequest.remoteIp httpRequest.clientIp \
    source_ip source_ip_address identity.sourceIp src_ip srcip src src.ip visitor_ip user_ip \
    ip_address ipaddr ipaddress ip c-ip client client_host h ci http.client_ip http.remote_addr \
    network.client.ip meta.remote_ip peer_ip rhost addr address remote";

const ENDPOINTS: &str = "\
    downstream_remote_address downstream_direct_remote_address remote_addr addr.remote remote \
    client peer client_addr source";

const CLIENT_PORTS: &str = "\
    source.port client.port client_port src_port remote_port ClientSrcPort cp";

const USERS: &str = "\
    user.name username user_name remote_user login user user_id auth_user userIdentity.userName \
    principalName principal account u uname actor";

const REQUESTS: &str = "request request_line requestline req http_request r";

const METHODS: &str = "\
    request_method http.request.method http.method method verb http_method httpmethod \
    request.method req.method ClientRequestMethod httpRequest.requestMethod \
    httpRequest.httpMethod http.http_method http_verb cs-method request m";

const TARGETS: &str = "\
    request_uri url.original ClientRequestURI request.uri req.originalUrl req.url request.url \
    httpRequest.requestUrl httpRequest.uri http.target http.url url.full original_url \
    originalurl request_url uri url request_path requestpath http_path http_request_path \
    request.path req.path ClientRequestPath url.path http.path path uri_path resource_path \
    target cs-uri-stem";

const QUERIES: &str = "\
    url.query query request_query http_query query_string querystring queryString \
    request.query_string httpRequest.args cs-uri-query q";

const PROTOCOLS: &str = "\
    http.version http_version httpversion http.flavor protocol request_protocol proto \
    ClientRequestProtocol request.protocol request.proto httpRequest.protocol \
    httpRequest.httpVersion http.protocol";

const STATUSES: &str = "\
    status http.response.status_code status_code statuscode response.status response.status_code \
    response.statusCode res.statusCode res.status response_status response_code responsecode \
    httpRequest.status responseCodeSent EdgeResponseStatus http_status http_status_code \
    http_status_rsp http.status_code http.status http.response.status response sc-status code st \
    s final_status";

const BODY_BYTES: &str = "\
    body_bytes_sent http.response.body.bytes EdgeResponseBytes response_body_size response_size \
    response_length responsesize body_bytes bytes_sent sent_bytes bytes_out bytes_read \
    res.contentLength response_content_length content_length contentlength size bytes length b \
    http.length";

const REQUEST_BYTES: &str = "\
    request_length http.request.bytes request.size httpRequest.requestSize bytes_in";

const REQUEST_BODY_BYTES: &str = "\
    http.request.body.bytes bytes_received ClientRequestBytes request_body_size";

const MICROSECONDS: &str = "duration_us request_time_us response_time_us time_elapsed latency_us";

const MILLISECONDS: &str = "\
    duration_ms request_time_ms response_time_ms latency_ms time_ms elapsed_ms took_ms \
    time_taken_ms generation_time_milli durationMs latencies.request responseLatency \
    responseTime response-time res.responseTime elapsed elapsed_time";

const SECONDS: &str = "\
    request_time duration_s duration_seconds request_duration request_time_s elapsedTimeS \
    time_taken";

const AGENTS: &str = "\
    http_user_agent user_agent.original user_agent user-agent userAgent useragent agent ua \
    request_user_agent ClientRequestUserAgent httpRequest.userAgent http.user_agent \
    http.http_user_agent http.useragent headers.user-agent request.headers.user-agent \
    req.headers.user-agent http.request.headers.user-agent httpRequest.headers.user-agent \
    req.userAgent cs(user-agent)";

const REFERRERS: &str = "\
    http_referer http.request.referrer referer referrer http_referrer request_referer \
    ClientRequestReferer httpRequest.referer headers.referer request.headers.referer \
    req.headers.referer http.request.headers.referer httpRequest.headers.referer http.http_refer \
    http.referer req.referer ref";

const HOSTS: &str = "\
    url.domain destination.domain server.domain server.address vhost virtual_host http_host host \
    domain authority request_host ClientRequestHost request.host request.headers.host \
    req.headers.host headers.host http.request.headers.host httpRequest.headers.host http.host \
    http.hostname httpHostName server_name site";

const SCHEMES: &str = "\
    scheme url.scheme http.scheme ClientRequestScheme protocol request_scheme";

const FORWARDED: &str = "\
    x_forwarded_for x-forwarded-for http_x_forwarded_for xff forwarded_for \
    headers.x-forwarded-for request.headers.x-forwarded-for req.headers.x-forwarded-for \
    http.request.headers.x-forwarded-for httpRequest.headers.x-forwarded-for";

const REAL_IPS: &str = "x_real_ip x-real-ip req.headers.x-real-ip headers.x-real-ip";

const REQUEST_IDS: &str = "\
    http.request.id request_id requestid req_id RayID x_request_id correlation_id \
    httpRequest.requestId req.id trace_id";

const HINTS: &[(Hint, &str)] = &[
    (
        Hint::Message,
        "\
        message msg @m short_message text event.original textPayload @mt alert.signature \
        errorMessage description",
    ),
    (
        Hint::Level,
        "\
        level log.level severity lvl levelname @l loglevel log_level severity_text eventLogLevel",
    ),
    (
        Hint::Program,
        "\
        syslog_identifier program app appname app_name application service service.name \
        process.name logger logger_name sender component name process eventSource source",
    ),
    (
        Hint::Event,
        "\
        event eventid event_id event_name eventname event.action event_type eventtype action \
        operation type log_type",
    ),
    (Hint::Class, "event.category category event_category event.type"),
    (
        Hint::Outcome,
        "\
        event.outcome outcome result success status state login_status \
        responseElements.ConsoleLogin succeeded auth_result",
    ),
    (Hint::Error, "error error.message err reason failure_reason error_code"),
    (
        Hint::Credentials,
        "\
        headers.authorization request.headers.authorization req.headers.authorization \
        http.request.headers.authorization httpRequest.headers.authorization",
    ),
];
