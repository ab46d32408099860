//! nginx, curl, wrk, logrotate and Prometheus: every request is accounted for, over a rotation.

use std::fs;
use std::process::Command;

use super::http::Pages;
use super::prometheus::Prometheus;
use super::support::{Place, Running};
use super::web::{self, Statuses, add, curl, logged, paths};
use super::{free_port, output, peer};

fn write_config(place: &Place, port: u16) {
    let dir = place.path().display();
    // Only a master that runs as root may name the user of its workers.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let text = format!(
        r#"
{user}
worker_processes 2;
pid {dir}/nginx.pid;
error_log {dir}/logs/error.log info;
daemon off;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port};
        server_name members.example.org;
        access_log {dir}/logs/members.access.log combined;
        location / {{ auth_basic "Members"; auth_basic_user_file {dir}/passwords; root {dir}/www; }}
    }}
    server {{
        listen 127.0.0.1:{port};
        server_name www.example.org;
        access_log {dir}/logs/www.access.log combined;
        location / {{ return 200 "welcome\n"; }}
        location /gone/ {{ return 404; }}
        location /broken/ {{ return 503; }}
    }}
}}
"#
    );
    fs::write(place.path().join("nginx.conf"), text).expect("nginx.conf is written");
    let dir = place.path();
    let rotate = format!(
        "\"{0}/logs/*.log\" {{\n  rotate 9\n  missingok\n  create 0640\n  sharedscripts\n  \
         postrotate\n    kill -USR1 $(cat {0}/nginx.pid)\n  endscript\n}}\n",
        dir.display()
    );
    fs::write(dir.join("logrotate.conf"), rotate).expect("logrotate.conf is written");
}

fn watch(place: &Place) -> Running {
    let source = |name: &str, log: &str| {
        format!("[[source]]\nname = \"{name}\"\nsite = \"{name}\"\npath = {:?}\n", place.log(log))
    };
    place.configure(&format!(
        "{}{}{}",
        source("members.example.org", "members.access.log"),
        source("www.example.org", "www.access.log"),
        source("errors", "error.log"),
    ));
    let mut daemon = place.run(&[]);
    // A file that is rotated before the very first look is history, and not read.
    Pages::of(&mut daemon).until_ready(true, "source errors");
    daemon
}

#[test]
fn every_request_to_nginx_is_accounted_for_over_a_rotation() {
    let (Some(nginx), Some(curl_path)) = (peer("nginx"), peer("curl")) else { return };
    let (Some(logrotate), Some(openssl)) = (peer("logrotate"), peer("openssl")) else { return };
    let Some(prometheus) = peer("prometheus") else { return };
    let place = Place::new();
    let port = free_port();
    write_config(&place, port);
    fs::create_dir(place.path().join("www")).expect("a document root");
    fs::write(place.path().join("www/page"), "for members\n").expect("a page");
    web::write_passwords(&openssl, &place.path().join("passwords"));
    let mut server = Command::new(nginx);
    server.arg("-p").arg(place.path()).arg("-c").arg(place.path().join("nginx.conf"));
    let mut server = Running::start(server.args(["-e", "stderr"]));
    let address = format!("127.0.0.1:{port}");
    web::until_listening(&address);
    let mut daemon = watch(&place);
    let pages = Pages::of(&mut daemon);
    let prometheus = Prometheus::start(&prometheus, &place, &pages, false);

    let base = format!("http://{address}");
    let (mut sent, mut failures) = (Statuses::new(), 0);
    let mut send = |host: &str, options: &[&str], paths: &[String]| {
        let host = format!("Host: {host}");
        let answers = curl(&curl_path, &base, &[&["--header", &host], options].concat(), paths);
        add(&mut sent, &answers);
        answers
    };
    for round in 0..2 {
        let wrong = send("members.example.org", &["--user", "member017:wrong"], &paths("/w", 13));
        failures += wrong[&401];
        let unknown = send("members.example.org", &["--user", "nobody:wrong"], &paths("/u", 2));
        failures += unknown[&401];
        let right = send("members.example.org", &["--user", web::MEMBER], &["/page".to_owned()]);
        assert_eq!(Some(&1), right.get(&200));
        send("members.example.org", &["--user", web::MEMBER], &paths("/missing", 5));
        // Without a name nobody tried to log in: it is what asks for one.
        send("members.example.org", &[], &paths("/", 4));
        send("www.example.org", &[], &paths("/gone/", 20));
        send("www.example.org", &[], &paths("/broken/", 3));
        send("www.example.org", &["--user-agent", "\"quoted\" \\ \u{e9}"], &paths("/?q=%00%22", 6));
        if round == 0 {
            load(&base, || {
                let state = place.path().join("logrotate.state");
                let config = place.path().join("logrotate.conf");
                output(Command::new(&logrotate).arg("-f").arg("-s").arg(state).arg(config));
            });
        }
    }
    // wrk does not know how many of its last requests were served; nginx does. It writes before
    // it ends.
    assert!(server.stops().success(), "{}", server.words());
    let read = |name: &str| fs::read_to_string(place.log(name)).expect("nginx's log");
    let members = [read("members.access.log"), read("members.access.log.1")];
    let www = [read("www.access.log"), read("www.access.log.1")];
    assert!(www.iter().all(|text| !text.is_empty()), "it was rotated in the middle");
    let all: Vec<&str> = members.iter().chain(&www).map(String::as_str).collect();
    let truth = logged(&all);
    for (status, count) in &sent {
        assert!(count <= &truth[status], "status {status}: {count} sent, {} logged", truth[status]);
    }
    assert_eq!(30, failures);
    prometheus.until_requests(None, truth.values().sum());
    for (status, count) in &truth {
        prometheus.until_requests(Some(*status), *count);
    }
    web::check(&place, &mut daemon, &truth, failures);
}

/// Requests as fast as they go, with `meanwhile` in the middle; without wrk only that.
fn load(base: &str, meanwhile: impl FnOnce()) {
    let Some(wrk) = peer("wrk") else { return meanwhile() };
    let mut wrk = Command::new(wrk);
    wrk.args(["-t1", "-c2", "-d1s", "-H", "Host: www.example.org"]).arg(format!("{base}/load"));
    let mut wrk = Running::start(&mut wrk);
    meanwhile();
    assert!(wrk.ends().success(), "{}", wrk.words());
}
