//! nginx before a receiver of JSON lines: it refuses bodies that are too large while they are on
//! their way, ends connections after a few requests, and is restarted. Its own log says what came.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::support::{Place, Running, clf, json_lines, now, open_log};
use super::{free_port, peer, web};

/// More than nginx takes of a body here.
const EVENTS: u32 = 1500;

fn write_config(place: &Place, port: u16, inner: u16) {
    let dir = place.path().display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let text = format!(
        r#"
{user}
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
daemon off;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    log_format body escape=json '{{"status":$status,"key":"$http_idempotency_key","body":"$request_body"}}';
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 64k;
        client_body_buffer_size 64k;
        keepalive_requests 7;
        location = /in {{ access_log {dir}/bodies.log body; proxy_pass http://127.0.0.1:{inner}; }}
    }}
    server {{ listen 127.0.0.1:{inner}; access_log off; location / {{ return 200; }} }}
}}
"#
    );
    fs::write(place.path().join("nginx.conf"), text).expect("nginx.conf is written");
}

fn start(nginx: &Path, place: &Place, port: u16) -> Running {
    let mut server = Command::new(nginx);
    server.arg("-p").arg(place.path()).arg("-c").arg(place.path().join("nginx.conf"));
    let server = Running::start(server.args(["-e", "stderr"]));
    web::until_listening(&format!("127.0.0.1:{port}"));
    server
}

#[test]
fn a_receiver_behind_nginx_gets_every_event_in_order() {
    let Some(nginx) = peer("nginx") else { return };
    let place = Place::new();
    let (port, inner) = (free_port(), free_port());
    write_config(&place, port, inner);
    let log = place.log("access.log");
    place.configure(&format!(
        "[[source]]\nname = \"site\"\npath = {log:?}\n[[sink]]\ntype = \"http\"\napi = \"json\"\n\
         url = \"http://127.0.0.1:{port}/in\"\ncompress = false\nin_flight = 1\n"
    ));
    for round in 0..2 {
        let mut server = start(&nginx, &place, port);
        let time = clf(now());
        let (from, to) = (round * EVENTS, (round + 1) * EVENTS);
        let line = |n| format!("192.0.2.8 - - [{time}] \"GET /{n} HTTP/1.1\" 200 9 \"-\" \"-\"\n");
        let lines: String = (from..to).map(line).collect();
        open_log(&log).write_all(lines.as_bytes()).expect("the log is written");
        let (status, _, errors) = place.ask(&["run"], &["--once"]);
        assert!(status.success(), "{errors}");
        server.stops();
    }
    let requests = json_lines(&place.path().join("bodies.log"));
    let refused = requests.iter().filter(|request| request["status"] == 413).count();
    assert!(1 < refused, "nothing was too large");
    let taken: Vec<&Value> = requests.iter().filter(|request| request["status"] == 200).collect();
    let keys: BTreeSet<&str> = taken.iter().filter_map(|request| request["key"].as_str()).collect();
    assert_eq!(taken.len(), keys.len(), "a request came twice");
    let bodies = taken.iter().map(|request| request["body"].as_str().expect("a body"));
    let events: Vec<Value> = bodies
        .flat_map(str::lines)
        .map(|line| serde_json::from_str(line).expect("one event a line"))
        .collect();
    let paths: Vec<&str> =
        events.iter().filter_map(|event| event["url"]["path"].as_str()).collect();
    let expected: Vec<String> = (0..2 * EVENTS).map(|n| format!("/{n}")).collect();
    assert_eq!(expected, paths);
}
