//! Caddy: the JSON it has by itself, and the lines of its console.

use std::fs;
use std::process::Command;

use super::super::support::{Place, Running};
use super::super::{free_port, output, peer, web};
use super::{CONTROLS, Fate, Kind, Request, Sent, Told};

/// The sites: where each logs to, and how.
const SITES: &[(&str, &str)] = &[("access.log", "json"), ("console.log", "console")];

fn write_config(place: &Place, hash: &str, ports: &[u16]) {
    let dir = place.path().display();
    let (user, _) = web::MEMBER.split_once(':').expect("a name and a password");
    let mut text = format!(
        "{{\n    admin off\n    auto_https off\n    storage file_system {dir}/storage\n}}\n"
    );
    for ((log, format), port) in SITES.iter().zip(ports) {
        text.push_str(&format!(
            r#"
http://:{port} {{
    bind 127.0.0.1
    root * {dir}/www
    log {{
        output file {dir}/logs/{log}
        format {format}
    }}
    basicauth /secret/* {{
        {user} {hash}
    }}
    file_server
}}
"#
        ));
    }
    fs::write(place.path().join("Caddyfile"), text).expect("the Caddyfile is written");
}

/// Caddy logs no request that its HTTP library refuses, no name but one it let in, and a sign in
/// the place of each byte that is not UTF-8.
fn fate(request: &Request, told: &mut Told) -> Fate {
    const REPLACED: &str = "\u{fffd}";
    if request.kind != Kind::Member {
        told.user = None;
    }
    // Credentials were sent, whatever they were.
    told.is_failure = matches!(request.kind, Kind::User(_));
    match request.kind {
        Kind::Raw(_)
        | Kind::Line(
            "blanks" | "fields" | "OPTIONS" | "HTTP/9.7" | "HTTP/2.0" | "control" | "tab",
        )
        | Kind::Agent(Some(CONTROLS))
        | Kind::Referrer(CONTROLS) => return Fate::Absent,
        Kind::Host(_) if told.status == Some(400) => return Fate::Absent,
        Kind::Line("non-ASCII") => {
            told.target = Some(format!("/{}\u{e9}{REPLACED}", request.mark));
        }
        Kind::Agent(Some(b"\xff\xfe")) => told.agent = Some(REPLACED.repeat(2)),
        Kind::Referrer(b"\xff\xfe") => told.referrer = Some(REPLACED.repeat(2)),
        _ => (),
    }
    Fate::Marked
}

#[test]
fn every_request_to_caddy_is_one_right_event() {
    let (Some(caddy), Some(openssl)) = (peer("caddy"), peer("openssl")) else { return };
    let place = Place::new();
    let ports: Vec<u16> = SITES.iter().map(|_| free_port()).collect();
    let (_, password) = web::MEMBER.split_once(':').expect("a name and a password");
    let hash = output(Command::new(&caddy).args(["hash-password", "--plaintext", password]));
    write_config(&place, hash.trim(), &ports);
    super::write_site(&openssl, &place);
    let mut server = Command::new(caddy);
    server.args(["run", "--adapter", "caddyfile", "--config"]).arg(place.path().join("Caddyfile"));
    let home = place.path().join("home");
    let server = server.env("HOME", &home).env("XDG_CONFIG_HOME", &home).env("TZ", "UTC");
    let mut server = Running::start(server.env("XDG_DATA_HOME", &home));
    let send = |port: &u16| {
        let address = format!("127.0.0.1:{port}");
        web::until_listening(&address);
        Sent::to(&address)
    };
    let sent: Vec<Sent> = ports.iter().map(send).collect();
    for ((log, _), sent) in SITES.iter().zip(&sent) {
        sent.until_logged(&place.log(log), fate);
    }
    assert!(server.stops().success(), "{}", server.words());
    for ((log, _), sent) in SITES.iter().zip(&sent) {
        sent.check(&place.log(log), &[], fate);
        sent.check(&place.log(log), &["--format", "caddy"], fate);
    }
}
