//! `init`, `detect` and `explain` as people meet them: a machine's configuration goes in, ours comes
//! out and is used as it is.
//!
//! Invariant: what `init` writes is taken by `check` and `run --once` unchanged, and reads every line.

#![expect(clippy::print_stdout, reason = "what was skipped is told")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use gatewatch::config::Config;
use gatewatch::engine::enrich::Proxies;
use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_gatewatch");

/// A machine's disk below a temporary root.
struct Machine(TempDir);

/// What one call gave.
#[derive(Debug)]
struct Outcome {
    code: i32,
    out: String,
    err: String,
}

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// The machine with a file.
    fn with(self, path: &str, text: &str) -> Self {
        let file = self.path(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, text).expect("written");
        self
    }

    fn linked(self, path: &str, target: &str) -> Self {
        fs::create_dir_all(self.path(path).parent().expect("a folder")).expect("made");
        symlink(target, self.path(path)).expect("linked");
        self
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn root(&self) -> String {
        self.0.path().display().to_string()
    }

    /// Text with the root taken out, so that it reads as on that machine.
    fn plain(&self, text: &str) -> String {
        text.replace(&self.root(), "")
    }

    /// The same of a report, whose lines break elsewhere when the root is gone.
    fn report(&self, text: &str) -> String {
        let lines = self.plain(text);
        let joined = lines.split_inclusive('\n').map(|line| match line.trim_start() {
            "" => "\n".to_owned(),
            line if line.starts_with('>') => line.to_owned(),
            line => format!("{} ", line.trim_end()),
        });
        joined.collect()
    }

    /// Calls `init` for this machine.
    #[track_caller]
    fn init(&self, arguments: &[&str]) -> Outcome {
        let root = self.root();
        call(&[&["init", "--root", root.as_str()], arguments].concat(), "")
    }

    /// The configuration that `init` prints, after `check` and `run --once` have taken it; `lines`
    /// is how many they must read.
    #[track_caller]
    fn used(&self, lines: usize) -> (String, String) {
        let outcome = self.init(&[]);
        assert_eq!(0, outcome.code, "{outcome:?}");
        let config = self.path("gatewatch.toml");
        fs::write(&config, &outcome.out).expect("written");
        let config = config.to_str().expect("a path in UTF-8");
        let check = call(&["check", "-c", config], "");
        assert_eq!(0, check.code, "{check:?}\n{}", outcome.out);
        let run = call(&["run", "--once", "-c", config], "");
        assert_eq!(0, run.code, "{run:?}");
        assert!(run.err.contains(&format!("{lines} lines read")), "{run:?}\n{}", outcome.out);
        (self.plain(&outcome.out), self.report(&outcome.err))
    }
}

#[track_caller]
fn call(arguments: &[&str], input: &str) -> Outcome {
    let mut command = assert_cmd::Command::new(BINARY);
    command.args(arguments).env("TZ", "UTC").write_stdin(input.as_bytes());
    let output = command.timeout(std::time::Duration::from_secs(60)).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!err.contains("panicked at"), "{err}");
    let odd = [&out, &err].iter().any(|text| text.chars().any(|c| c.is_control() && c != '\n'));
    assert!(!odd, "a control character in {out:?} or {err:?}");
    Outcome { code: output.status.code().expect("no signal"), out, err }
}

/// A combined line, with more columns behind it.
fn line(client: &str, second: usize, request: &str, status: u16, more: &str) -> String {
    format!(
        "{client} - - [20/Nov/2026:07:00:{second:02} +0000] \"{request}\" {status} 512 \"-\" \
         \"curl/8.5.0\"{more}\n"
    )
}

fn requests(client: &str, count: usize, more: &str) -> String {
    (0..count).map(|n| line(client, n, &format!("GET /page/{n} HTTP/1.1"), 200, more)).collect()
}

#[track_caller]
fn contains(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in:\n{text}");
}

/// Where `part` begins; fails where it does not stand.
#[track_caller]
fn place(text: &str, part: &str) -> usize {
    text.find(part).unwrap_or_else(|| panic!("no {part:?} in:\n{text}"))
}

/// nginx the way Debian packages it.
fn packaged_nginx() -> Machine {
    Machine::new()
        .with(
            "/etc/nginx/nginx.conf",
            "user www-data;\nerror_log /var/log/nginx/error.log;\n\
             include /etc/nginx/modules-enabled/*.conf;\nevents { worker_connections 768; }\n\
             http {\n\tinclude mime.types;\n\taccess_log /var/log/nginx/access.log;\n\
             \tinclude /etc/nginx/conf.d/*.conf;\n\tinclude /etc/nginx/sites-enabled/*;\n}\n",
        )
        .with("/etc/nginx/mime.types", "types { text/html html; }\n")
        .with(
            "/etc/nginx/sites-available/default",
            "server {\n\tlisten 80 default_server;\n\tserver_name _;\n\troot /var/www/html;\n\
             \tlocation / { try_files $uri =404; }\n}\n",
        )
        .linked("/etc/nginx/sites-enabled/default", "/etc/nginx/sites-available/default")
        .with("/etc/logrotate.conf", "weekly\nrotate 4\ninclude /etc/logrotate.d\n")
        .with(
            "/etc/logrotate.d/nginx",
            "/var/log/nginx/*.log {\n\tdaily\n\trotate 14\n\tcompress\n\tdelaycompress\n\
             \tcreate 0640 www-data adm\n\tpostrotate\n\t\tinvoke-rc.d nginx rotate\n\tendscript\n}\n",
        )
        .with("/etc/group", "root:x:0:\nadm:x:4:\nwww-data:x:33:\n")
}

#[test]
fn packaged_nginx_needs_no_hand() {
    let machine = packaged_nginx()
        .with("/var/log/nginx/access.log", &requests("192.0.2.7", 12, ""))
        .with("/var/log/nginx/error.log", "");
    let (config, report) = machine.used(12);
    contains(
        &config,
        "# Requests: /etc/nginx/nginx.conf:7\n# Format combined, as it is built in\n",
    );
    contains(&config, "[[source]]\npath = \"/var/log/nginx/access.log\"\nformat = \"combined\"\n");
    contains(&config, "path = \"/var/log/nginx/error.log\"\nformat = \"nginx_error\"\n");
    assert!(!config.contains("site ="), "a placeholder is no site: {config}");
    contains(&report, "format combined; 12 of the last 12 lines read");
    assert_eq!(5, report.matches("GET /page/").count(), "{report}");
    contains(&report, "200     GET /page/11");
    let added = "log_format gatewatch '$remote_addr - $remote_user [$time_local] \"$request\" \
                 $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\" \"$host\" \
                 $request_time $connection';";
    contains(&report, added);
    contains(&report, "> access_log /var/log/nginx/access.log gatewatch;");
    assert!(!report.contains("DANGER"), "{report}");
}

/// A server behind a balancer: includes in includes, two formats, a site that asks for passwords.
fn proxied_nginx() -> Machine {
    Machine::new()
        .with(
            "/etc/nginx/nginx.conf",
            "events {}\nhttp {\n  log_format timed '$remote_addr - $remote_user [$time_local] '\n\
             \x20   '\"$request\" $status $body_bytes_sent \"$http_referer\" '\n\
             \x20   '\"$http_user_agent\" $request_time \"$host\"';\n\
             \x20 log_format members escape=json '$remote_addr|$remote_user|$time_iso8601|$request|$status';\n\
             \x20 include conf.d/*.conf;\n  include sites/*/site.conf;\n}\n",
        )
        .with(
            "/etc/nginx/conf.d/proxy.conf",
            "set_real_ip_from 10.0.0.0/8;\nset_real_ip_from 2001:db8:1::/48;\n\
             real_ip_header X-Forwarded-For;\nreal_ip_recursive on;\n",
        )
        .with("/etc/nginx/conf.d/self.conf", "include conf.d/self.conf;\n")
        .with(
            "/etc/nginx/sites/www/site.conf",
            "server {\n  listen 443 ssl;\n  server_name www.example.org example.org;\n\
             \x20 access_log /var/log/nginx/www.access.log timed buffer=32k;\n\
             \x20 location = /favicon.ico { access_log off; }\n\
             \x20 location /app/ { proxy_pass http://127.0.0.1:3000; }\n}\n",
        )
        .with(
            "/etc/nginx/sites/members/site.conf",
            "server {\n  server_name members.example.org;\n\
             \x20 access_log /var/log/nginx/members.log members;\n\
             \x20 access_log syslog:server=192.0.2.9 timed;\n\
             \x20 location /inside/ {\n    auth_basic \"Members\";\n  }\n}\n",
        )
}

#[test]
fn includes_two_formats_and_a_proxy_are_followed() {
    let www = requests("203.0.113.5", 8, " 0.012 \"www.example.org\"");
    let members = "203.0.113.5|alice|2026-11-20T07:00:01+00:00|GET /inside/ HTTP/1.1|401\n";
    let machine = proxied_nginx()
        .with("/var/log/nginx/www.access.log", &www)
        .with("/var/log/nginx/members.log", members)
        .with("/var/log/nginx/error.log", "");
    let (config, report) = machine.used(9);
    contains(
        &config,
        "log_format = '$remote_addr - $remote_user [$time_local] \"$request\" $status \
         $body_bytes_sent \"$http_referer\" \"$http_user_agent\" $request_time \"$host\"'\n",
    );
    contains(&config, "# Format timed: /etc/nginx/nginx.conf:3\n");
    contains(
        &config,
        "log_format = \"log_format members escape=json \
         '$remote_addr|$remote_user|$time_iso8601|$request|$status';\"\nsite = \"members.example.org\"\n",
    );
    contains(&config, "#     asks for a password: /inside/ (/etc/nginx/sites/members/site.conf:6)");
    contains(&config, "#     passes requests on to http://127.0.0.1:3000 (");
    contains(&config, "    \"10.0.0.0/8\", # /etc/nginx/conf.d/proxy.conf:1\n");
    let read = Config::from_texts(&[("a".into(), config.clone())]).expect("sound");
    let trusted: Vec<String> = read
        .client
        .trusted_proxies
        .iter()
        .flat_map(Proxies::networks)
        .map(|net| net.to_string())
        .collect();
    assert_eq!(["10.0.0.0/8", "2001:db8:1::/48"], *trusted);
    let www = read.sources.iter().find(|source| source.path.ends_with("www.access.log"));
    assert_eq!(None, www.expect("a source").site, "the format names the site itself");
    contains(&report, "nginx itself finds the client behind your proxies");
    contains(&report, "the access log of members.example.org goes to syslog");
    contains(&report, "the access log of www.example.org/favicon.ico is switched off");
    contains(&report, "nginx asks for passwords at members.example.org/inside/");
    contains(
        &report,
        "> log_format gatewatch escape=json '$remote_addr|$remote_user|$time_iso8601|$request|$status ",
    );
}

#[test]
fn only_a_path_that_no_site_opens_proves_who_was_let_in() {
    let site = |name: &str, more: &str| {
        format!("server {{ server_name {name}; location /members/ {{ auth_basic x; }} {more} }}\n")
    };
    for (sites, active) in [
        (site("a.example.org", ""), true),
        (site("a.example.org", "") + &site("b.example.org", "location / { }"), true),
        (site("a.example.org", "") + "server { server_name b.example.org; }", false),
        (site("a.example.org", "location ~ \\.php$ { }"), false),
        (site("a.example.org", "error_page 401 =200 /login;"), false),
        (site("a.example.org", "satisfy any;"), false),
    ] {
        let machine = Machine::new()
            .with("/etc/nginx/nginx.conf", &format!("http {{ {sites} }}"))
            .with("/var/log/nginx/access.log", "")
            .with("/var/log/nginx/error.log", "");
        let config = machine.init(&[]).out;
        assert_eq!(
            active,
            config.contains("\n[logins]\nprotected = [\"/members/\"]\n"),
            "{config}"
        );
        Config::from_texts(&[("a".into(), config)]).expect("sound");
    }
}

/// Apache the way Debian packages it.
fn packaged_apache() -> Machine {
    let combined = "%h %l %u %t \\\"%r\\\" %>s %O \\\"%{Referer}i\\\" \\\"%{User-Agent}i\\\"";
    Machine::new()
        .with(
            "/etc/apache2/envvars",
            "SUFFIX=\nexport APACHE_LOG_DIR=/var/log/apache2$SUFFIX\n",
        )
        .with(
            "/etc/apache2/apache2.conf",
            &format!(
                "ErrorLog ${{APACHE_LOG_DIR}}/error.log\nIncludeOptional mods-enabled/*.load\n\
                 LogFormat \"%v:%p {combined}\" vhost_combined\nLogFormat \"{combined}\" combined\n\
                 IncludeOptional conf-enabled/*.conf\nIncludeOptional sites-enabled/*.conf\n"
            ),
        )
        .with("/etc/apache2/mods-enabled/remoteip.load", "LoadModule remoteip_module r.so\n")
        .with(
            "/etc/apache2/conf-enabled/others.conf",
            "CustomLog ${APACHE_LOG_DIR}/other_vhosts_access.log vhost_combined\n",
        )
        .with(
            "/etc/apache2/sites-enabled/000-default.conf",
            "<VirtualHost *:80>\n\tServerName www.example.net\n\tErrorLog ${APACHE_LOG_DIR}/error.log\n\
             \tCustomLog ${APACHE_LOG_DIR}/access.log combined\n\
             \t<Location \"/intern/\">\n\t\tAuthType Basic\n\t\tRequire valid-user\n\t</Location>\n\
             </VirtualHost>\n",
        )
        .with(
            "/etc/apache2/sites-enabled/rotated.conf",
            "<IfModule mod_remoteip.c>\n<VirtualHost *:80>\nServerName old.example.net\n\
             CustomLog \"|/usr/bin/rotatelogs -l /var/log/apache2/old.%Y-%m-%d.log 86400\" \\\n\
             \x20 vhost_combined\n</VirtualHost>\n</IfModule>\n\
             <IfModule !mod_remoteip.c>\nCustomLog /var/log/never.log combined\n</IfModule>\n",
        )
}

#[test]
fn packaged_apache_needs_no_hand() {
    let vhost = |lines: String| -> String {
        lines.lines().map(|line| format!("old.example.net:80 {line}\n")).collect()
    };
    let machine = packaged_apache()
        .with("/var/log/apache2/access.log", &requests("192.0.2.7", 6, ""))
        .with("/var/log/apache2/other_vhosts_access.log", "")
        .with("/var/log/apache2/old.2026-11-19.log", &vhost(requests("192.0.2.8", 3, "")))
        .with("/var/log/apache2/old.2026-11-20.log", &vhost(requests("192.0.2.9", 2, "")))
        .with("/var/log/apache2/error.log", "");
    let (config, report) = machine.used(11);
    contains(
        &config,
        "log_format = '%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"'\nsite = \"www.example.net\"\n",
    );
    contains(&config, "path = \"/var/log/apache2/old.*-*-*.log\"\nformat = \"vhost_combined\"\n");
    contains(&config, "# No site writes to it now: it is for sites without a log of their own.\n");
    contains(&config, "path = \"/var/log/apache2/error.log\"\nformat = \"apache_error\"\n");
    assert!(!config.contains("never.log"), "{config}");
    contains(&report, "Apache asks for passwords at www.example.net/intern/");
    contains(
        &report,
        "> LogFormat \"%h %l %u %t \\\"%r\\\" %>s %O \\\"%{Referer}i\\\" \\\"%{User-Agent}i\\\" %v %D ",
    );
}

#[test]
fn the_most_dangerous_comes_first() {
    let machine = Machine::new()
        .with(
            "/etc/nginx/nginx.conf",
            "http {\n set_real_ip_from 0.0.0.0/0;\n real_ip_header X-Forwarded-For;\n\
             server { server_name a.example.org; access_log /var/log/nginx/a.log; }\n\
             server { server_name b.example.org; access_log off; }\n\
             server { server_name c.example.org; access_log /var/log/nginx/c.log.gz combined gzip; }\n}\n",
        )
        .with("/etc/logrotate.conf", "/var/log/nginx/*.log {\n  rotate 7\n  copytruncate\n}\n")
        .with("/etc/passwd", "gatewatch:x:64001:64001::/:/bin/false\n")
        .with("/etc/group", "adm:x:64004:\n")
        .with("/var/log/nginx/a.log", &requests("192.0.2.7", 3, ""))
        .with("/var/log/nginx/error.log", "");
    fs::set_permissions(machine.path("/var/log/nginx/a.log"), fs::Permissions::from_mode(0o600))
        .expect("set");
    let report = machine.report(&machine.init(&[]).err);
    let parts = [
        "1  DANGER   user gatewatch may not read /var/log/nginx/a.log",
        "> setfacl -R -m u:gatewatch:rX -m d:u:gatewatch:rX /var/log/nginx",
        "2  DANGER   copytruncate loses lines of /var/log/nginx/a.log and /var/log/nginx/error.log",
        "at /etc/logrotate.conf:3",
        "3  DANGER   anyone may choose the address that nginx logs",
        "at /etc/nginx/nginx.conf:2",
        "the access log of c.example.org is compressed at once",
        "the access log of b.example.org is switched off",
        "ADVICE",
    ];
    let places: Vec<usize> = parts.iter().map(|part| place(&report, part)).collect();
    assert!(places.is_sorted(), "{report}");
}

#[test]
fn a_proxy_that_the_server_does_not_look_behind_is_told() {
    let machine = packaged_nginx()
        .with("/var/log/nginx/access.log", &requests("10.0.0.2", 30, ""))
        .with("/var/log/nginx/error.log", "");
    let (_, report) = machine.used(30);
    contains(&report, "nearly all requests in /var/log/nginx/access.log come from 10.0.0.2");
    contains(&report, "> set_real_ip_from 10.0.0.2;");
    contains(&report, "leaves out the client behind the proxy");
    contains(&report, "\"$http_x_forwarded_for\"");
}

#[test]
fn lines_in_another_format_than_configured_are_still_read() {
    let machine = packaged_nginx()
        .with(
            "/etc/nginx/conf.d/log.conf",
            "log_format short '$status $remote_addr';\nserver { server_name a.example.org;\n\
             access_log /var/log/nginx/access.log short; }\n",
        )
        .with("/var/log/nginx/access.log", &requests("192.0.2.7", 9, ""))
        .with("/var/log/nginx/error.log", "");
    // The default site writes combined to the same file.
    let (config, report) = machine.used(9);
    contains(&config, "[[source]]\npath = \"/var/log/nginx/access.log\"\n\n");
    contains(&report, "/var/log/nginx/access.log is written in two formats");
}

#[test]
fn logs_that_are_not_there_yet_are_marked_and_the_rest_is_used() {
    let machine = packaged_nginx().with("/var/log/nginx/error.log", "");
    let (config, report) = machine.used(0);
    contains(&config, "#[[source]]\n#path = \"/var/log/nginx/access.log\"\n");
    contains(&report, "/var/log/nginx/access.log is not there yet");
}

#[test]
fn caddy_without_a_log_is_told_how_to_have_one() {
    let machine = Machine::new().with(
        "/etc/caddy/Caddyfile",
        "{\n\temail a@example.org\n}\nwww.example.org {\n\tlog {\n\t\toutput file /var/log/caddy/www.log\n\
         \t}\n\treverse_proxy 127.0.0.1:8080\n}\n(common) {\n\tlog {\n\t\toutput file /var/log/caddy/b.log\n\t}\n}\n\
         b.example.org {\n\timport common\n}\nquiet.example.org {\n\trespond \"a\"\n}\n",
    );
    let machine = machine.with("/var/log/caddy/www.log", "").with("/var/log/caddy/b.log", "");
    let (config, report) = machine.used(0);
    contains(&config, "path = \"/var/log/caddy/www.log\"\n");
    contains(&config, "path = \"/var/log/caddy/b.log\"\n");
    contains(&report, "quiet.example.org has no access log");
    contains(&report, "output file /var/log/caddy/access.log");
}

#[test]
fn a_machine_without_logs_is_told_what_to_do() {
    let outcome = Machine::new().init(&[]);
    assert_eq!((1, ""), (outcome.code, outcome.out.as_str()), "{outcome:?}");
    contains(&outcome.err, "--from");
    let outcome = call(&["init", "--root", "/nowhere/at/all"], "");
    assert_eq!(66, outcome.code, "{outcome:?}");
    contains(&outcome.err, "is no directory");
}

#[test]
fn log_ins_that_only_the_journal_has_are_read_from_there() {
    let machine = packaged_nginx();
    let login_logs = [machine.path("var/log/auth.log"), machine.path("var/log/secure")];
    login_logs
        .iter()
        .filter(|log| log.exists())
        .for_each(|log| fs::remove_file(log).expect("gone"));
    fs::create_dir_all(machine.path("var/log/journal")).expect("made");
    let outcome = machine.init(&[]);
    // The journal of a tree that lies somewhere else is not this machine's.
    contains(&outcome.out, "#[[source]]\n#path = \"journal:\"\n#matches = [\"SYSLOG_FACILITY=4\"");
    contains(&machine.report(&outcome.err), "usermod -aG systemd-journal gatewatch");
}

#[test]
fn a_configuration_that_is_there_is_not_replaced_unasked() {
    let machine =
        packaged_nginx().with("/var/log/nginx/access.log", "").with("/var/log/nginx/error.log", "");
    let outcome = machine.init(&["--write"]);
    assert_eq!(0, outcome.code, "{outcome:?}");
    let target = machine.path("/etc/gatewatch/gatewatch.toml");
    let mode = fs::metadata(&target).expect("written").permissions().mode();
    assert_eq!(0o640, mode & 0o777);
    contains(&machine.plain(&outcome.out), "written: /etc/gatewatch/gatewatch.toml");
    if rustix::process::geteuid().is_root() {
        // There is no such user on that machine.
        contains(&machine.plain(&outcome.out), "chgrp gatewatch /etc/gatewatch/gatewatch.toml");
    }
    Config::load(&target).expect("sound");

    fs::write(&target, "# mine\n").expect("written");
    let outcome = machine.init(&["--write"]);
    assert_eq!((73, ""), (outcome.code, outcome.out.as_str()), "{outcome:?}");
    contains(&outcome.err, "--force replaces it");
    assert_eq!("# mine\n", fs::read_to_string(&target).expect("there"));
    assert_eq!(0, machine.init(&["--write", "--force"]).code);
    Config::load(&target).expect("sound");
}

#[test]
fn a_file_named_by_hand_is_known_by_what_it_says() {
    let machine = Machine::new()
        .with(
            "/srv/web/main.conf",
            "http { server { server_name a.example.org; access_log /srv/a.log; } }",
        )
        .with(
            "/srv/httpd/main.conf",
            "ServerName b.example.org\nCustomLog /srv/b.log \"%h %l %u %t \\\"%r\\\" %>s %b\"\n",
        )
        .with("/srv/a.log", "")
        .with("/srv/b.log", "");
    for (from, path) in
        [("/srv/web/main.conf", "/srv/a.log"), ("/srv/httpd/main.conf", "/srv/b.log")]
    {
        let outcome = machine.init(&["--from", machine.path(from).to_str().expect("UTF-8")]);
        assert_eq!(0, outcome.code, "{outcome:?}");
        contains(&machine.plain(&outcome.out), &format!("path = \"{path}\"\n"));
    }
    let outcome = machine.init(&["--from", "/srv/none.conf"]);
    assert_eq!(66, outcome.code, "{outcome:?}");
}

#[test]
fn hostile_text_in_configurations_and_logs_stays_text() {
    let machine = Machine::new()
        .with(
            "/etc/nginx/nginx.conf",
            "http { log_format \"x\ny\" '$remote_addr \u{1b}[31m$status';\n\
             server { server_name \"a\n[store]\u{1b}.example.org\"; access_log \"/var/log/a\nb[1]*.log\" \"x\ny\";\n\
             location \"/\u{202e}\n[mail]\" { auth_basic x; } } }\n",
        )
        .with("/var/log/a\nb[1]*.log", "192.0.2.7 \u{1b}[31m200\n")
        .with("/var/log/a\nb1c.log", "192.0.2.8 \u{1b}[31m200\n");
    // `call` refuses control characters; the path means this one file.
    let outcome = machine.init(&[]);
    let texts = [("a".into(), outcome.out.clone())];
    let config =
        Config::from_texts(&texts).unwrap_or_else(|error| panic!("{error:?}\n{}", outcome.out));
    let path = format!("{}/var/log/a\nb\\[1\\]\\*.log", machine.root());
    assert!(config.sources.iter().any(|source| source.path == path), "{:#?}", config.sources);
    assert!(!outcome.out.contains("\n[mail]"), "{}", outcome.out);
}

/// The real packages of this machine, where they are installed.
#[test]
fn the_trees_that_packages_install_are_understood() {
    for (folder, logs, sources) in [
        ("/etc/nginx", ["/var/log/nginx/access.log", "/var/log/nginx/error.log"], 2),
        ("/etc/apache2", ["/var/log/apache2/access.log", "/var/log/apache2/error.log"], 2),
    ] {
        let main = if folder == "/etc/nginx" { "nginx.conf" } else { "apache2.conf" };
        let is_stock = Path::new(folder).join("sites-enabled").is_dir()
            && Path::new(folder).join(main).is_file();
        if !is_stock {
            println!("skipped: {folder} is not as Debian packages it");
            continue;
        }
        let machine = Machine::new().with(logs[0], &requests("192.0.2.7", 7, "")).with(logs[1], "");
        fs::create_dir_all(machine.path("/etc")).expect("made");
        let copied = Command::new("cp").arg("-a").arg(folder).arg(machine.path("/etc")).status();
        assert!(copied.expect("cp starts").success());
        let (config, report) = machine.used(7);
        assert!(sources <= config.matches("\n[[source]]\n").count(), "{config}");
        contains(&config, &format!("path = \"{}\"\n", logs[0]));
        contains(&report, "7 of the last 7 lines read");
    }
}

#[test]
fn detect_names_the_format_the_runner_up_and_the_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("a[1].log");
    let odd = line("192.0.2.7", 1, "GET / HTTP/1.1", 200, "").replace(":07:", ":77:");
    fs::write(&log, requests("192.0.2.7", 19, "") + &odd).expect("written");
    let log = log.to_str().expect("UTF-8");
    let outcome = call(&["detect", log], "");
    assert_eq!(0, outcome.code, "{outcome:?}");
    for part in [
        "format     combined",
        "score      0.95 of 1, over 20 lines; 19 are read",
        "runner-up  common",
        "not read   1 line\n",
        "  the time in the line is none\n",
        "source.ip                  192.0.2.7",
    ] {
        contains(&outcome.out, part);
    }
    let found: Value = serde_json::from_str(&call(&["detect", "--output", "json", log], "").out)
        .expect("an object");
    assert_eq!("combined", found["format"]);
    assert_eq!(1, found["not_read"]["bad_time"]);
    let source = found["source"].as_str().expect("a text");
    let config = Config::from_texts(&[("a".into(), source.to_owned())]).expect("sound");
    assert_eq!("auto", config.sources[0].format.0, "the odd line is left to the other formats");
    assert!(config.sources[0].path.ends_with("a\\[1\\].log"), "{source}");
}

#[test]
fn detect_says_when_nothing_reads_a_log() {
    let outcome = call(&["detect", "-"], "what is\nthis \u{1b}[2J\n");
    assert_eq!(1, outcome.code, "{outcome:?}");
    contains(&outcome.out, "none reads any of the first 2 lines");
    contains(
        &outcome.out,
        "this \\x1B[2J\n               the line fits none of the formats tried\n",
    );
    let outcome = call(&["detect", "-"], "");
    assert_eq!(1, outcome.code, "{outcome:?}");
    contains(&outcome.out, "no line is in it yet");
    assert_eq!(66, call(&["detect", "/nowhere/a.log"], "").code);
}

#[test]
fn explain_names_the_bytes_of_each_field() {
    let text = line("192.0.2.7", 6, "POST /wp-login.php?a=%20 HTTP/1.1", 200, "");
    let outcome = call(&["explain", "-", "--output", "json"], &text);
    assert_eq!(0, outcome.code, "{outcome:?}");
    let said: Value = serde_json::from_str(&outcome.out).expect("an object");
    let field = |name: &str| {
        let fields = said["fields"].as_array().expect("a list");
        fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    };
    for (name, bytes) in [
        ("source.ip", "192.0.2.7"),
        ("@timestamp", "20/Nov/2026:07:00:06 +0000"),
        ("http.response.status_code", "200"),
        ("url.query", "a=%20"),
        ("user_agent.original", "curl/8.5.0"),
    ] {
        let range = field(name)["bytes"].as_array().unwrap_or_else(|| panic!("{name}: {said:#}"));
        let at = |index: usize| range[index].as_u64().expect("a number") as usize;
        assert_eq!(bytes, &text[at(0)..at(1)], "{name}");
    }
    assert_eq!("failure", said["login"]["outcome"]);
    assert!(field("event.outcome")["derived"].is_string());
    let rule = |id: &str| {
        let rules = said["rules"].as_array().expect("a list");
        rules.iter().find(|rule| rule["id"] == id).unwrap_or_else(|| panic!("no {id}")).clone()
    };
    assert_eq!(true, rule("auth.bruteforce.client")["matches"]);
    assert_eq!(false, rule("http.403.burst")["matches"]);
    assert_eq!("http.response.status_code is 200, not 403", rule("http.403.burst")["grounds"][0]);
}

#[test]
fn explain_says_whose_word_it_took() {
    let text = line("10.0.0.2", 6, "GET / HTTP/1.1", 200, " \"203.0.113.9, 10.0.0.1\"");
    let arguments = ["explain", text.trim_end(), "--format", "nginx_main"];
    let alone = call(&arguments, "").out;
    contains(&alone, "source.ip                  10.0.0.2");
    let trusted = [&arguments[..], &["--trusted-proxies", "10.0.0.0/8"]].concat();
    let behind = call(&trusted, "").out;
    contains(&behind, "source.ip                  203.0.113.9");
    contains(
        &behind,
        "derived: the right-most address of X-Forwarded-For that is no trusted proxy",
    );
    let claimed = line("192.0.2.7", 6, "GET / HTTP/1.1", 200, "").replacen("- -", "- mallory", 1);
    contains(&call(&["explain", claimed.trim_end()], "").out, "proof C: none");
}

#[test]
fn explain_says_that_a_line_is_not_read() {
    let outcome = call(&["explain", "no log line at all \u{1b}]0;x"], "");
    assert_eq!(65, outcome.code, "{outcome:?}");
    contains(&outcome.out, "no format: none of them reads it");
    assert_eq!(65, call(&["explain", "-"], "").code);
    let outcome = call(&["explain", "x", "--rules", "/nowhere/rules.toml"], "");
    assert_eq!(78, outcome.code, "{outcome:?}");
    contains(&outcome.err, "/nowhere/rules.toml");
}
