//! Apache: its combined log and its error log are read without a failure, and each failed log-in
//! counts once though both tell it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::support::{Place, Running, until};
use super::web::{self, Statuses, add, curl, logged, paths};
use super::{free_port, peer, skip};

/// Where Debian and Fedora keep the modules.
pub(crate) const MODULES: &[&str] = &["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules"];

const LOADED: &[&str] =
    &["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "alias"];

fn write_config(place: &Place, modules: &Path, port: u16) {
    let dir = place.path().display();
    let load: String = LOADED
        .iter()
        .map(|name| format!("LoadModule {name}_module {}/mod_{name}.so\n", modules.display()))
        .collect();
    let user =
        if rustix::process::geteuid().is_root() { "User nobody\nGroup nogroup\n" } else { "" };
    let text = format!(
        r#"
ServerRoot {dir}
{load}{user}ServerName members.example.org
Listen 127.0.0.1:{port}
PidFile {dir}/apache.pid
DefaultRuntimeDir {dir}
Mutex file:{dir} default
DocumentRoot {dir}/www
ErrorLog {dir}/logs/error.log
LogLevel info
LogFormat "%h %l %u %t \"%r\" %>s %O \"%{{Referer}}i\" \"%{{User-Agent}}i\"" combined
CustomLog {dir}/logs/access.log combined
<Directory {dir}/www>
    AuthType Basic
    AuthName Members
    AuthUserFile {dir}/passwords
    Require valid-user
</Directory>
Redirect 301 /old http://members.example.org/new
"#
    );
    fs::write(place.path().join("apache.conf"), text).expect("apache.conf is written");
}

#[test]
fn apache_is_read_without_a_failure_and_each_failed_login_counts_once() {
    let (Some(apache), Some(curl_path)) = (peer("apache2"), peer("curl")) else { return };
    let Some(openssl) = peer("openssl") else { return };
    let Some(modules) = MODULES.iter().map(Path::new).find(|path| path.is_dir()) else {
        return skip("Apache's modules are not installed");
    };
    let place = Place::new();
    let port = free_port();
    write_config(&place, modules, port);
    fs::create_dir(place.path().join("www")).expect("a document root");
    fs::write(place.path().join("www/page"), "for members\n").expect("a page");
    web::write_passwords(&openssl, &place.path().join("passwords"));
    // Apache gives up root before it reads these.
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut server = Command::new(apache);
    server.arg("-DFOREGROUND").arg("-f").arg(place.path().join("apache.conf"));
    let mut server = Running::start(&mut server);
    let address = format!("127.0.0.1:{port}");
    web::until_listening(&address);
    let source = |name: &str, log: &str| {
        format!("[[source]]\nname = \"{name}\"\npath = {:?}\n", place.log(log))
    };
    place.configure(&(source("access", "access.log") + &source("errors", "error.log")));
    let mut daemon = place.run(&[]);

    let mut sent = Statuses::new();
    let mut failures = 0;
    let base = format!("http://{address}");
    let mut send = |options: &[&str], paths: &[String]| {
        let answers = curl(&curl_path, &base, options, paths);
        add(&mut sent, &answers);
        answers
    };
    for user in ["member017:wrong", "nobody:wrong", "o'brien \"x\": y"] {
        failures += send(&["--user", user], &paths("/w", 7))[&401];
    }
    assert_eq!(Some(&1), send(&["--user", web::MEMBER], &["/page".to_owned()]).get(&200));
    send(&["--user", web::MEMBER], &paths("/missing", 5));
    send(&[], &paths("/", 4));
    send(&[], &["/old".to_owned()]);
    send(&["--referer", "http://[::1]/\"<x>\\", "--user-agent", "\u{1}\t\u{e9}"], &paths("/r", 3));
    send(&["--request", "G\u{7f}T"], &["/odd".to_owned()]);
    // Its workers write when they are done with a connection, and end at once when they are told to.
    let total: u64 = sent.values().sum();
    until("Apache's lines", || {
        let text = fs::read_to_string(place.log("access.log")).ok()?;
        (total <= text.lines().count() as u64).then_some(())
    });
    assert!(server.stops().success(), "{}", server.words());
    let log = fs::read_to_string(place.log("access.log")).expect("Apache's log");
    assert_eq!(sent, logged_by_apache(&log));
    assert_eq!(21, failures);
    web::check(&place, &mut daemon, &sent, failures);
}

/// As [`logged`], for a log in which quotes are escaped.
fn logged_by_apache(log: &str) -> Statuses {
    logged(&[&log.replace("\\\"", "'")])
}
