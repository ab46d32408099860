//! nginx: combined, its packaged `main`, a format of an administrator's own, and JSON.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::support::{Place, Running};
use super::super::{free_port, peer, web};
use super::{Fate, Kind, Request, Sent, Told};

/// As `log_format` is written, the user in front where nothing guards it.
const ODD: &str = r#"'$remote_user|"$http_user_agent" $remote_addr:$remote_port <$time_iso8601> $status '
    '"$request" "$http_referer" $host $request_time $body_bytes_sent'"#;

const MAIN: &str = r#"'$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent" "$http_x_forwarded_for"'"#;

const JSON: &str = r#"escape=json '{"ts":"$time_iso8601","ip":"$remote_addr","user":"$remote_user",'
    '"req":"$request","st":$status,"bytes":$body_bytes_sent,"ref":"$http_referer",'
    '"ua":"$http_user_agent","up":"$upstream_addr"}'"#;

/// An nginx of our own, that asks for a password under `/secret/`.
pub(super) struct Nginx {
    server: Running,
    pub(super) address: String,
}

impl Nginx {
    pub(super) fn start(program: &Path, openssl: &Path, place: &Place) -> Self {
        let port = free_port();
        let dir = place.path().display();
        // Only a master that runs as root may name the user of its workers.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let text = format!(
            r#"
{user}
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/logs/error.log;
daemon off;
events {{}}
http {{
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    log_format main {MAIN};
    log_format odd {ODD};
    log_format objects {JSON};
    access_log {dir}/logs/combined.log combined;
    access_log {dir}/logs/main.log main;
    access_log {dir}/logs/odd.log odd;
    access_log {dir}/logs/objects.log objects;
    server {{
        listen 127.0.0.1:{port};
        server_name www.example.org;
        root {dir}/www;
        location /secret/ {{ auth_basic "Members"; auth_basic_user_file {dir}/passwords; }}
    }}
}}
"#
        );
        fs::write(place.path().join("nginx.conf"), text).expect("nginx.conf is written");
        super::write_site(openssl, place);
        let mut server = Command::new(program);
        server.arg("-p").arg(place.path()).arg("-c").arg(place.path().join("nginx.conf"));
        let server = Running::start(server.args(["-e", "stderr"]).env("TZ", "UTC"));
        let address = format!("127.0.0.1:{port}");
        web::until_listening(&address);
        Self { server, address }
    }

    /// Ends it; its logs are whole then.
    #[track_caller]
    pub(super) fn stops(&mut self) {
        assert!(self.server.stops().success(), "{}", self.server.words());
    }
}

/// nginx logs the request line as it came, and no header of a request that it refused while it
/// read it.
fn fate(request: &Request, told: &mut Told) -> Fate {
    match request.kind {
        Kind::Raw("HTTP/0.9") => told.status = Some(404),
        Kind::Raw("line end" | "partial") => told.status = Some(400),
        Kind::Raw("TLS" | "binary") => (told.method, told.target) = (None, None),
        _ => (),
    }
    if let Kind::Raw(_) = request.kind {
        told.agent = None;
    }
    if matches!(told.status, Some(400 | 414 | 505)) {
        (told.agent, told.referrer, told.user) = (None, None, None);
    }
    match request.kind {
        Kind::Raw("line end") | Kind::Line("OPTIONS") => Fate::Unmarked,
        _ => Fate::Marked,
    }
}

#[test]
fn every_request_to_nginx_is_one_right_event() {
    let (Some(nginx), Some(openssl)) = (peer("nginx"), peer("openssl")) else { return };
    let place = Place::new();
    let mut server = Nginx::start(&nginx, &openssl, &place);
    let sent = Sent::to(&server.address);
    // It writes its lines when connections end, after the client has all.
    for log in ["combined.log", "main.log", "odd.log", "objects.log"] {
        sent.until_logged(&place.log(log), fate);
    }
    server.stops();
    let written = |definition: &str| format!("log_format test {definition};");
    let (main, odd, objects) = (written(MAIN), written(ODD), written(JSON));
    sent.check(&place.log("combined.log"), &[], fate);
    sent.check(&place.log("combined.log"), &["--format", "combined"], fate);
    sent.check(&place.log("main.log"), &[], fate);
    sent.check(&place.log("main.log"), &["--log-format", &main], fate);
    sent.check(&place.log("odd.log"), &["--log-format", &odd], fate);
    sent.check(&place.log("objects.log"), &["--log-format", &objects], fate);
    sent.check(&place.log("objects.log"), &[], fate);
}
