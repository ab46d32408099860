//! lighttpd: the format it has by itself, and one of an administrator's own.

use std::fs;
use std::process::Command;

use super::super::support::{Place, Running};
use super::super::{free_port, peer, web};
use super::{CONTROLS, Fate, Kind, Request, Sent, Told};

const ODD: &str =
    r#"%u|%V|%{%Y-%m-%dT%H:%M:%S%z}t %h \"%r\" %>s %b %D \"%{User-Agent}i\" \"%{Referer}i\""#;

fn write_config(place: &Place, stock: u16, odd: u16) {
    let dir = place.path().display();
    let text = format!(
        r#"
server.modules = ("mod_auth", "mod_authn_file", "mod_accesslog")
server.document-root = "{dir}/www"
server.bind = "127.0.0.1"
server.port = {stock}
server.errorlog = "{dir}/logs/error.log"
accesslog.filename = "{dir}/logs/stock.log"
$SERVER["socket"] == "127.0.0.1:{odd}" {{
    accesslog.filename = "{dir}/logs/odd.log"
    accesslog.format = "{ODD}"
}}
auth.backend = "htpasswd"
auth.backend.htpasswd.userfile = "{dir}/passwords"
auth.require = ("/secret/" => ("method" => "basic", "realm" => "x", "require" => "valid-user"))
"#
    );
    fs::write(place.path().join("lighttpd.conf"), text).expect("lighttpd.conf is written");
}

/// lighttpd logs no name that it did not let in, so no failure either; nothing of a request line
/// that it does not understand; and no connection that ended before there was a request.
fn fate(request: &Request, told: &mut Told) -> Fate {
    if request.kind != Kind::Member {
        told.user = None;
    }
    told.is_failure = false;
    let mut nothing = || {
        *told = Told { status: told.status, ..Told::default() };
        Fate::Unmarked
    };
    match request.kind {
        Kind::Raw("HTTP/0.9" | "partial") => return Fate::Absent,
        Kind::Raw(_) | Kind::Long | Kind::Line("lower case" | "HTTP/9.7" | "HTTP/2.0") => {
            return nothing();
        }
        Kind::Line("CONNECT") => {
            nothing();
            told.method = Some("CONNECT".to_owned());
            return Fate::Unmarked;
        }
        Kind::Line("absolute") => {
            told.target = Some(format!("/{}?q", request.mark));
            told.agent = None;
        }
        Kind::Agent(Some(CONTROLS)) => told.agent = None,
        Kind::Referrer(CONTROLS) => told.referrer = None,
        _ => (),
    }
    Fate::Marked
}

#[test]
fn every_request_to_lighttpd_is_one_right_event() {
    let (Some(lighttpd), Some(openssl)) = (peer("lighttpd"), peer("openssl")) else { return };
    let place = Place::new();
    let ports = [free_port(), free_port()];
    write_config(&place, ports[0], ports[1]);
    super::write_site(&openssl, &place);
    let mut server = Command::new(lighttpd);
    server.arg("-D").arg("-f").arg(place.path().join("lighttpd.conf"));
    let mut server = Running::start(server.env("TZ", "UTC"));
    let sent = ports.map(|port| {
        let address = format!("127.0.0.1:{port}");
        web::until_listening(&address);
        Sent::to(&address)
    });
    for (sent, log) in sent.iter().zip(["stock.log", "odd.log"]) {
        sent.until_logged(&place.log(log), fate);
    }
    let ended = server.stops();
    assert!(ended.success(), "{ended}: {}", server.words());
    let odd = format!("LogFormat \"{ODD}\" odd");
    sent[0].check(&place.log("stock.log"), &[], fate);
    sent[1].check(&place.log("odd.log"), &["--log-format", &odd], fate);
}
