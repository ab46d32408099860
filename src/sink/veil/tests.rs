//! What leaves through a veil, in every encoding: nothing that names anybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::engine::batch::{FIELDS, Origin};
use crate::engine::detect::{AlertState, Evidence, RuleInfo, Severity};
use crate::engine::enrich::Enricher;
use crate::engine::format::FormatSet;
use crate::engine::parse::{Parser, Text};
use crate::engine::render::event_id::EventId;
use crate::engine::render::{ENCODINGS, EncodingEntry};
use crate::engine::time::TimeReader;
use crate::sink::fixture::{self, NOW};
use crate::sink::{AnySink, Rendered, SinkConfig, SinkContext};
use crate::units::Period;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The settings that hide everything they can.
const VEILS: [&str; 4] = [
    "{ mode = \"token\", key_file = \"/none\" }",
    "{ mode = \"token\", key_file = \"/none\", users = \"drop\" }",
    "{ mode = \"truncated\", users = \"token\", key_file = \"/none\" }",
    "{ mode = \"truncated\", users = \"drop\", ipv4_bits = 16, ipv6_bits = 32 }",
];

fn veil(privacy: &str) -> Veil {
    let config: toml::Table = toml::from_str(&format!("privacy = {privacy}")).expect("TOML");
    let config: PrivacyConfig = config["privacy"].clone().try_into().expect("settings");
    assert_eq!(None, config.complaint());
    let mut veil = Veil::new(&config, None).expect("it hides something");
    veil.key = config.needs_key().then(|| PrivacyKey::of(SECRET));
    veil
}

fn sink(entry: &EncodingEntry, privacy: &str) -> AnySink {
    let text = format!(
        "type = \"file\"\npath = \"x\"\nencoding = \"{}\"\nprivacy = {privacy}",
        entry.name
    );
    let config: SinkConfig = toml::from_str(&text).expect("a sink");
    assert_eq!(None, config.complaint());
    let mut sink = AnySink::new(&config, &SinkContext::default());
    sink.veil = Some(veil(privacy));
    sink
}

/// The events of `batch` as the sink writes them.
fn written(entry: &EncodingEntry, privacy: &str, batch: &EventBatch) -> String {
    let rendered = sink(entry, privacy).preview(batch, batch.len(), NOW);
    assert!(!rendered.is_empty());
    String::from_utf8(rendered.bytes().to_vec()).expect("UTF-8")
}

/// `text` in lower case with each `%XX` undone.
fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let byte = str::from_utf8(&tail[..tail.len().min(2)])
            .ok()
            .filter(|digits| digits.len() == 2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => (out.push(byte), rest = &tail[2..]).0,
            None => (out.push(*first), rest = tail).0,
        }
    }
    String::from_utf8_lossy(&out).to_lowercase()
}

/// All the ways to write an address that a reader would know it by.
fn spellings(ip: IpAddr) -> Vec<String> {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            vec![
                v4.to_string(),
                format!("{a}-{b}-{c}-{d}"),
                format!("{d}.{c}.{b}.{a}"),
                u32::from(v4).to_string(),
                v4.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect(),
                v4.to_string().replace('.', "%2E"),
                v4.to_string().replace('.', "%252e"),
                format!("::ffff:{v4}"),
                format!("[::ffff:{v4}]:443"),
                format!("{v4}:50022"),
            ]
        }
        IpAddr::V6(v6) => {
            let full: Vec<String> =
                v6.segments().iter().map(|group| format!("{group:04x}")).collect();
            vec![
                v6.to_string(),
                v6.to_string().to_uppercase(),
                full.join(":"),
                full.concat(),
                v6.to_string().replace(':', "%3a"),
                format!("[{v6}]:443"),
            ]
        }
    }
}

/// What must not be found, from the spellings of an address.
fn traces(ip: IpAddr) -> Vec<String> {
    spellings(ip).iter().map(|spelling| decoded(spelling)).collect()
}

#[track_caller]
fn check_hidden(what: &str, text: &str, ip: IpAddr, name: &str) {
    let text = decoded(&decoded(text));
    for trace in traces(ip) {
        assert!(!text.contains(&trace), "{what}: {trace} is in {text}");
    }
    assert!(!text.contains(name), "{what}: {name} is in {text}");
}

fn parsed(format: &str, line: &str) -> EventBatch {
    let formats = FormatSet::from_definition(format).expect("a format");
    let times = TimeReader::new(TimeZone::UTC, NOW);
    let mut enricher = Enricher::default();
    enricher.trusted_proxies.push("192.0.2.0/24".parse().expect("a network"));
    let mut parser = Parser::new(formats, times, Arc::new(enricher));
    let mut batch = EventBatch::default();
    let origin = Arc::new(Origin { path: "/var/log/x.log".to_owned(), ..Origin::default() });
    let bytes = format!("{line}\n").into_bytes();
    parser.fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at: NOW });
    batch
}

/// Lines that name `ip` and `name` wherever lines of their format can, spelt `odd` in what clients
/// write.
fn lines(ip: IpAddr, odd: &str, name: &str) -> Vec<(&'static str, String)> {
    let time = "20/Nov/2026:07:46:41 +0000";
    let request = format!(
        "GET /~{name}/{odd}?ip={odd}&u={name} HTTP/1.1\" 401 9 \"https://{name}.example.net/?from={odd}\" \
         \"agent ({odd}; {name})"
    );
    // A server that looks names up; the address is in the name.
    let by_name = match ip {
        IpAddr::V4(_) => format!("client-{}.example.net", ip.to_string().replace('.', "-")),
        IpAddr::V6(_) => ip.to_string(),
    };
    let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    vec![
        ("combined", format!("{ip} - {name} [{time}] \"{request}\"")),
        ("combined", format!("{by_name} - {name} [{time}] \"{request}\"")),
        (
            "nginx_main",
            format!("192.0.2.9 - {name} [{time}] \"{request}\" \"{odd}, {ip}, 192.0.2.8\""),
        ),
        ("nginx_main", format!("203.0.113.9 - {name} [{time}] \"{request}\" \"{host}:1, {ip}\"")),
        ("vhost_combined", format!("{name}.example.org:80 {ip} - {name} [{time}] \"{request}\"")),
        (
            "nginx_error",
            format!(
                "2026/11/20 07:46:41 [error] 8#8: *1 user \"{name}\": password mismatch, client: {ip}, \
                 server: www.example.org, request: \"GET /~{name}/?ip={odd} HTTP/1.1\", \
                 host: \"www.example.org\""
            ),
        ),
        (
            "auth",
            format!(
                "Nov 20 07:46:41 web1 sshd[9]: Failed password for invalid user {name} from {ip} port 50022 ssh2"
            ),
        ),
        (
            "auth",
            format!(
                "Nov 20 07:46:41 web1 sudo:   {name} : TTY=pts/0 ; PWD=/srv ; USER={name} ; COMMAND=/bin/x {odd}"
            ),
        ),
        (
            "json",
            format!(
                "{{\"time\":\"2026-11-20T07:46:41Z\",\"remote_addr\":\"{ip}\",\"remote_user\":\"{name}\",\
                 \"request\":\"GET /~{name}?q={odd} HTTP/1.1\",\"status\":200,\"body_bytes_sent\":9,\
                 \"http_x_forwarded_for\":\"{ip}\",\"extra\":\"{odd} {name}\"}}"
            ),
        ),
        ("combined", format!("no line of any format, by {name} at {ip} or {odd}")),
    ]
}

fn alert(ip: IpAddr, odd: &str, name: &str) -> Alert {
    Alert {
        id: "bfb2dfe59111cba3ef8bf329f5864b9f".into(),
        state: AlertState::Firing,
        rule: RuleInfo {
            id: "auth.x".into(),
            title: "Failed log-ins".into(),
            ..RuleInfo::default()
        },
        severity: Severity::High,
        at: NOW,
        group: [
            ("client.net", ip.to_string()),
            ("source.ip", ip.to_string()),
            ("source.address", odd.to_owned()),
            ("user.name", name.to_owned()),
            ("url.path", format!("/~{name}/{odd}")),
            ("message", format!("{name} {odd}")),
            ("gatewatch.xff_chain", format!("{odd}, {ip}")),
            ("user_agent.original", format!("x ({odd}; {name})")),
            ("site", format!("{name}.example.org")),
            ("threat.indicator.name", format!("{ip}/32")),
        ]
        .map(|(field, value)| (field.to_owned(), value))
        .to_vec(),
        summary: format!("{name} from {ip} failed 12 times"),
        count: 12,
        distinct: None,
        threshold: 10,
        window: Period::from_secs(60),
        first_event: NOW,
        last_event: NOW,
        addresses: vec![ip],
        users: vec![name.to_owned()],
        sites: vec!["www.example.org".into(), format!("{name}.example.org")],
        paths: vec![format!("/~{name}/?ip={odd}")],
        statuses: BTreeMap::from([(401, 12)]),
        successes: 0,
        evidence: vec![Evidence {
            time: NOW,
            file: "/var/log/x.log".into(),
            offset: 0,
            event_id: "01M7VYQZQ81JRCME75BR5M89E2".into(),
            line: format!("{ip} {name} {odd}"),
        }],
        escalation: None,
        part: None,
        muted_by: None,
        members_90d: None,
        backfill: false,
        stays: false,
    }
}

/// A client whose address ends in 127 must not leave in reverse.
#[test]
fn only_the_loopback_address_itself_is_nobodys() {
    for (address, expected) in [("127.0.0.1", true), ("::1", true), ("127.63.18.198", false)] {
        let ip: IpAddr = address.parse().expect("an address");
        assert_eq!(expected, is_nobodys(ip), "{address}");
    }
}

fn person() -> impl Strategy<Value = (IpAddr, String, String)> {
    let v4 = (any::<u8>(), 1_u8..255).prop_map(|(c, d)| IpAddr::V4(Ipv4Addr::new(198, 18, c, d)));
    let v6 = (1_u16.., 1_u16.., 1_u16..)
        .prop_map(|(a, b, c)| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, a, 0, 0, 0, b, c)));
    (prop_oneof![v4, v6], "qz[a-z]{5,9}", any::<prop::sample::Index>()).prop_map(
        |(ip, name, which)| {
            let spellings = spellings(ip);
            let odd = spellings[which.index(spellings.len())].clone();
            (ip, odd, name)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nobody_is_named_in_an_event((ip, odd, name) in person(), at in 0..VEILS.len()) {
        for (format, line) in lines(ip, &odd, &name) {
            let batch = parsed(format, &line);
            prop_assert_eq!(1, batch.len());
            let is_read = batch.event(0).row().kind != Kind::ParseFailure;
            prop_assert_eq!(is_read, !line.starts_with("no line"), "{}", line);
            for entry in ENCODINGS {
                let text = written(entry, VEILS[at], &batch);
                check_hidden(&format!("{} {} {line}", VEILS[at], entry.name), &text, ip, &name);
            }
        }
    }

    #[test]
    fn nobody_is_named_in_an_alert((ip, odd, name) in person(), at in 0..VEILS.len()) {
        let alert = alert(ip, &odd, &name);
        for entry in ENCODINGS {
            let mut rendered = Rendered::default();
            sink(entry, VEILS[at]).render_alert(&alert, NOW, &mut rendered);
            let text = String::from_utf8_lossy(rendered.bytes()).into_owned();
            prop_assert!(text.contains("Failed log-ins"));
            check_hidden(&format!("{} {}", VEILS[at], entry.name), &text, ip, &name);
        }
    }

    #[test]
    fn any_bytes_in_any_field_pass_without_a_panic(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 8),
    ) {
        let batch = fixture::batch(&["x"], |_, writer| {
            for (entry, value) in FIELDS.iter().zip(values.iter().cycle()) {
                writer.set(entry.field, value);
            }
        });
        for privacy in VEILS {
            for entry in ENCODINGS {
                written(entry, privacy, &batch);
            }
        }
    }
}

#[test]
fn no_field_of_any_kind_of_event_names_anybody() {
    let (ip, name) = ("198.18.7.9".parse().expect("an address"), "qzalice");
    for kind in [Kind::Access, Kind::ServerError, Kind::Auth, Kind::ParseFailure] {
        let batch = fixture::batch(&["198.18.7.9 qzalice"], |line, writer| {
            for entry in FIELDS {
                writer.set(entry.field, line);
            }
            writer.label("column", line);
            writer.set(Field::User, name.as_bytes());
            writer.set(Field::ClientAddress, b"198.18.7.9");
            writer.row.client = Some(ip);
            writer.row.kind = kind;
        });
        for privacy in VEILS {
            for entry in ENCODINGS {
                let text = written(entry, privacy, &batch);
                check_hidden(&format!("{privacy} {}", entry.name), &text, ip, name);
            }
        }
    }
}

#[test]
fn an_event_keeps_its_id_and_loses_its_hash() {
    let line =
        "198.51.100.23 - bob [20/Nov/2026:07:46:41 +0000] \"GET / HTTP/1.1\" 200 9 \"-\" \"-\"";
    let batch = parsed("combined", line);
    let id = EventId::new(&batch.origin).of(&batch.event(0));
    let id = String::from_utf8(id.to_vec()).expect("ASCII");
    for privacy in VEILS {
        let text = written(&ENCODINGS[0], privacy, &batch);
        assert!(text.contains(&id) && !text.contains("\"hash\""), "{text}");
    }
}

#[test]
fn tokens_are_stable_and_all_that_left_can_be_revealed() {
    let line = |host: u8| {
        format!(
            "198.51.100.{host} - bob [20/Nov/2026:07:46:41 +0000] \"GET / HTTP/1.1\" 200 9 \"-\" \"-\""
        )
    };
    let mut veil = veil(VEILS[0]);
    let mut shown = Vec::new();
    for host in [23, 24, 23] {
        let mut batch = parsed("combined", &line(host));
        veil.events(&mut batch, &[0], NOW);
        let event = batch.event(0);
        assert_eq!(None, event.row().client);
        let field =
            |field| String::from_utf8_lossy(event.field(field).expect("there")).into_owned();
        shown.push((field(Field::ClientAddress), field(Field::User)));
    }
    assert_eq!(shown[0], shown[2]);
    assert_eq!(shown[0].1, shown[1].1);
    assert_ne!(shown[0].0, shown[1].0);
    let of_alert = veil.alert(&alert("198.51.100.23".parse().expect("it"), "x", "bob"), NOW);
    assert_eq!((&shown[0].0, &shown[0].1), (&of_alert.group[0].1, &of_alert.group[3].1));
    assert!(of_alert.summary.contains(&shown[0].0), "{}", of_alert.summary);

    let key = PrivacyKey::of(SECRET);
    let (tokens, _) = veil.fresh();
    let open = |token: &str| {
        let found = tokens.iter().find(|sealed| sealed.token == token).expect("it is stored");
        String::from_utf8(key.open(token, found.sealed).expect("the same key")).expect("text")
    };
    assert_eq!("198.51.100.23", open(&shown[0].0));
    assert_eq!("bob", open(&shown[0].1));
    assert_eq!("bfb2dfe59111cba3ef8bf329f5864b9f", open(&of_alert.id));
    veil.stored();
    veil.events(&mut parsed("combined", &line(23)), &[0], NOW);
    assert!(veil.fresh().0.is_empty(), "it is known");
    veil.events(&mut parsed("combined", &line(23)), &[0], NOW.plus(Period::from_secs(86_400)));
    assert_eq!(2, veil.fresh().0.len(), "touched once a day");
}

#[test]
fn truncated_addresses_are_still_addresses() {
    let mut veil = veil("{ mode = \"truncated\" }");
    let check = |veil: &mut Veil, client: &str, expected: &str| {
        let line = format!(
            "{client} - bob [20/Nov/2026:07:46:41 +0000] \"GET / HTTP/1.1\" 200 9 \"-\" \"-\" \"{client}\""
        );
        let mut batch = parsed("nginx_main", &line);
        veil.events(&mut batch, &[0], NOW);
        let event = batch.event(0);
        assert_eq!(expected.parse().ok(), event.row().client);
        assert_eq!(Some(expected.as_bytes()), event.field(Field::ClientAddress));
        assert_eq!(Some(expected.as_bytes()), event.field(Field::Forwarded));
        assert_eq!(Some(&b"bob"[..]), event.field(Field::User), "names are kept by default");
    };
    check(&mut veil, "198.51.100.23", "198.51.100.0");
    check(&mut veil, "2001:db8:1:2:3:4:5:6", "2001:db8:1::");
    check(&mut veil, "127.0.0.1", "127.0.0.1");
    let mut alert = alert("2001:db8:1:2:3:4:5:6".parse().expect("it"), "x", "bob");
    alert.group[0].1 = "2001:db8:1:2::/64".to_owned();
    let veiled = veil.alert(&alert, NOW);
    assert_eq!("2001:db8:1::/48", veiled.group[0].1);
    assert_eq!(vec!["2001:db8:1::".parse::<IpAddr>().expect("it")], veiled.addresses);
    assert!(veil.fresh().0.is_empty());
}

#[test]
fn without_its_key_a_veil_lets_nothing_through() {
    let mut veil = veil(VEILS[0]);
    veil.key = None;
    assert!(veil.ready().is_err());
    let mut batch =
        parsed("combined", &lines("198.18.1.2".parse().expect("it"), "x", "qzalice")[0].1);
    veil.events(&mut batch, &[0], NOW);
    assert_eq!(Some(HIDDEN), batch.event(0).field(Field::ClientAddress));
    assert_eq!(Some(HIDDEN), batch.event(0).field(Field::User));
}
