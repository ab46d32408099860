//! Apache: common, combined, Debian's format with the site in front, and one of an
//! administrator's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::super::apache::MODULES;
use super::super::support::{Place, Running};
use super::super::{free_port, peer, skip, web};
use super::{CONTROLS, Fate, Kind, Request, Sent, Told};

const LOADED: &[&str] =
    &["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic"];

const COMBINED: &str = r#""%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"""#;

/// The user in front, where nothing guards it; the time in pieces.
const ODD: &str = r#""%u in %V at %{%Y-%m-%dT%H:%M:%S}t.%{msec_frac}t%{%z}t \"%r\" by \"%{User-agent}i\" from %a %>s %D us %X \"%{Referer}i\"""#;

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
{load}{user}ServerName www.example.org
Listen 127.0.0.1:{port}
PidFile {dir}/apache.pid
DefaultRuntimeDir {dir}
Mutex file:{dir} default
DocumentRoot {dir}/www
ErrorLog {dir}/logs/error.log
CustomLog {dir}/logs/combined.log {COMBINED}
CustomLog {dir}/logs/vhost.log "%v:%p %h %l %u %t \"%r\" %>s %O \"%{{Referer}}i\" \"%{{User-Agent}}i\""
CustomLog {dir}/logs/common.log "%h %l %u %t \"%r\" %>s %b"
CustomLog {dir}/logs/odd.log {ODD}
<Directory {dir}/www>
    Require all granted
</Directory>
<Location /secret/>
    AuthType Basic
    AuthName Members
    AuthUserFile {dir}/passwords
    Require valid-user
</Location>
"#
    );
    fs::write(place.path().join("apache.conf"), text).expect("apache.conf is written");
}

/// Apache logs the names only that it asked for, cuts texts at a zero byte and a request line it
/// does not understand behind the second word, and tells nothing of what never became a request.
fn fate(request: &Request, told: &mut Told) -> Fate {
    let mark = &request.mark;
    let refused = |told: &mut Told| (told.agent, told.referrer) = (None, None);
    match request.kind {
        Kind::Raw("line end" | "partial") => return Fate::Absent,
        Kind::Raw("HTTP/0.9") => told.status = Some(404),
        Kind::Raw("TLS" | "binary") => (told.method, told.target) = (None, None),
        Kind::Line("blanks") => told.target = Some(format!("/{mark} b")),
        Kind::Line("fields") => told.target = Some(format!("/{mark}\" 200")),
        Kind::Line("tab") => told.target = Some(format!("/{mark} a")),
        Kind::Volunteer(_) => told.user = None,
        Kind::User("a\0b") => told.user = Some("a".to_owned()),
        // An empty name is a name, and written as two quotes.
        Kind::User("") => told.is_failure = true,
        Kind::Agent(Some(CONTROLS)) | Kind::Referrer(CONTROLS) => told.referrer = None,
        _ => (),
    }
    match request.kind {
        Kind::Raw(_)
        | Kind::Long
        | Kind::Line("blanks" | "fields" | "tab" | "control" | "braces")
        | Kind::Agent(Some(CONTROLS)) => refused(told),
        _ => (),
    }
    Fate::Marked
}

#[test]
fn every_request_to_apache_is_one_right_event() {
    let (Some(apache), Some(openssl)) = (peer("apache2"), peer("openssl")) else { return };
    let Some(modules) = MODULES.iter().map(Path::new).find(|path| path.is_dir()) else {
        return skip("Apache's modules are not installed");
    };
    let place = Place::new();
    let port = free_port();
    write_config(&place, modules, port);
    super::write_site(&openssl, &place);
    // Apache gives up root before it reads these.
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut server = Command::new(apache);
    server.arg("-DFOREGROUND").arg("-f").arg(place.path().join("apache.conf"));
    let mut server = Running::start(server.env("TZ", "UTC"));
    let address = format!("127.0.0.1:{port}");
    web::until_listening(&address);
    let sent = Sent::to(&address);
    // Its workers write when they are done with a connection, and end at once when they are told to.
    for log in ["combined.log", "vhost.log", "odd.log"] {
        sent.until_logged(&place.log(log), fate);
    }
    assert!(server.stops().success(), "{}", server.words());
    let headless = |request: &Request, told: &mut Told| {
        let fate = fate(request, told);
        (told.agent, told.referrer) = (None, None);
        // The mark was in the agent.
        if request.kind == Kind::Line("OPTIONS") { Fate::Unmarked } else { fate }
    };
    let odd = format!("LogFormat {ODD} odd");
    let combined = format!("LogFormat {COMBINED} combined");
    sent.check(&place.log("combined.log"), &[], fate);
    sent.check(&place.log("combined.log"), &["--log-format", &combined], fate);
    sent.check(&place.log("vhost.log"), &[], fate);
    sent.check(&place.log("common.log"), &[], headless);
    sent.check(&place.log("odd.log"), &["--log-format", &odd], fate);
}
