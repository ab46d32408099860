//! A mail server with TLS and log-in: alert mails arrive whole and once, also when the server was
//! away, and `notify test` says which step fails.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gatewatch::store::{AlertFilter, StoreReader};
use serde_json::Value;

use super::support::{Place, Running, clf, now, open_log, until};
use super::{free_port, output, peer, script, skip};

const USER: &str = "alerts";
/// Who tries passwords.
const ATTACKERS: [&str; 2] = ["203.0.113.7", "198.51.100.9"];

const PASSWORD: &str = "s3cret with blanks";

/// The Python that has the mail server's library: the system's has, another on the `PATH` may not.
fn python() -> Option<PathBuf> {
    let has_library = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", "import aiosmtpd"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let system = PathBuf::from("/usr/bin/python3");
    let found = std::iter::once(system).chain(peer("python3")).find(has_library);
    if found.is_none() {
        skip("aiosmtpd is not installed (Debian: python3-aiosmtpd)");
    }
    found
}

/// A mail server that is not started yet.
struct Server {
    python: PathBuf,
    place: Place,
    port: u16,
    tls: &'static str,
}

impl Server {
    fn new(tls: &'static str) -> Option<Self> {
        let (python, openssl) = (python()?, peer("openssl")?);
        let server = Self { python, place: Place::new(), port: free_port(), tls };
        fs::create_dir(server.mails()).expect("a directory for mails");
        server.keep_secret("password", PASSWORD);
        server.certify(&openssl, "ca");
        server.certify(&openssl, "other-ca");
        server.sign(&openssl);
        Some(server)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Writes a password the way an operator should.
    fn keep_secret(&self, name: &str, secret: &str) {
        let mut options = fs::File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(self.file(name));
        writeln!(file.expect("a new file"), "{secret}").expect("the password is written");
    }

    fn mails(&self) -> PathBuf {
        self.file("mails")
    }

    /// A certificate authority of our own.
    fn certify(&self, openssl: &Path, name: &str) {
        let mut command = self.request(openssl, name);
        command.args(["-subj", &format!("/CN={name}"), "-addext", "keyUsage=keyCertSign"]);
        output(&mut command);
    }

    /// The server's certificate, from the authority `ca`.
    fn sign(&self, openssl: &Path) {
        let mut command = self.request(openssl, "server");
        command.arg("-CA").arg(self.file("ca.pem")).arg("-CAkey").arg(self.file("ca.key"));
        command.args(["-subj", "/CN=localhost", "-addext", "basicConstraints=CA:FALSE"]);
        command.args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]);
        output(&mut command);
    }

    fn request(&self, openssl: &Path, name: &str) -> Command {
        let mut command = Command::new(openssl);
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        command.args(["-nodes", "-days", "2"]);
        command.arg("-out").arg(self.file(&format!("{name}.pem")));
        command.arg("-keyout").arg(self.file(&format!("{name}.key")));
        command
    }

    fn start(&self) -> Running {
        let mut command = Command::new(&self.python);
        command.arg(script("smtp_server.py")).arg("--port").arg(self.port.to_string());
        command.arg("--directory").arg(self.mails()).args(["--tls", self.tls]);
        command.arg("--certificate").arg(self.file("server.pem"));
        command.arg("--key").arg(self.file("server.key"));
        let mut server = Running::start(command.args(["--user", USER, "--password", PASSWORD]));
        server.says("ready");
        server
    }

    /// Configures gatewatch to send through it. Each of `changes` replaces a value.
    fn configure(&self, changes: &[(&str, &str)]) {
        let scheme = if self.tls == "starttls" { "smtp+starttls" } else { "smtps" };
        let mut settings = vec![
            ("smtp", format!("{scheme}://{USER}@localhost:{}", self.port)),
            ("password_file", self.file("password").display().to_string()),
            ("ca_file", self.file("ca.pem").display().to_string()),
            ("from", "gatewatch <alerts@example.org>".to_owned()),
            ("to", "analyst@example.org".to_owned()),
        ];
        for (key, value) in changes {
            let setting = settings.iter_mut().find(|(name, _)| name == key);
            setting.expect("a setting").1 = (*value).to_owned();
        }
        let mut mail = String::from("[mail]\ntimezone = \"UTC\"\nbundle = \"0s\"\n");
        for (key, value) in settings {
            let value = if key == "to" { format!("[{value:?}]") } else { format!("{value:?}") };
            mail.push_str(&format!("{key} = {value}\n"));
        }
        let log = self.place.log("access.log");
        self.place.configure(&format!("{mail}[[source]]\nname = \"site\"\npath = {log:?}\n"));
    }

    /// The mails that arrived, as a mail program reads them.
    fn read(&self) -> Vec<Value> {
        let files: Vec<PathBuf> = self.arrived();
        let text = output(Command::new(&self.python).arg(script("read_mail.py")).args(&files));
        let mails: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a mail as JSON")).collect();
        assert_eq!(files.len(), mails.len());
        mails
    }

    fn arrived(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.mails()).expect("the mails");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "eml")).collect()
    }

    /// A wave of wrong passwords from each of two clients, with text that would like to be markup.
    fn attack(&self) {
        let mut log = open_log(&self.place.log("access.log"));
        let time = clf(now());
        for (client, n) in ATTACKERS.iter().flat_map(|client| (0..14).map(move |n| (client, n))) {
            let request = format!("GET /files/<b>{n}</b> HTTP/1.1");
            writeln!(log, "{client} - member017 [{time}] \"{request}\" 401 9 \"-\" \"-\"")
                .expect("the log is written");
        }
    }
}

#[test]
fn alert_mails_arrive_whole_and_once_though_the_server_was_away() {
    let Some(server) = Server::new("starttls") else { return };
    server.configure(&[]);
    server.attack();
    let mut daemon = server.place.run(&[]);
    daemon.says("an alert mail waits for the mail server");
    assert!(daemon.stops().success(), "{}", daemon.words());

    let _smtp = server.start();
    // A start tries at once what waits, however long the pause was that the failures had earned.
    let mut daemon = server.place.run(&[]);
    let reader = StoreReader::open(&server.place.state()).expect("the store is there");
    let alerts = reader.alerts(&AlertFilter::default()).expect("the alerts");
    until("every mail", || (alerts.len() <= server.arrived().len()).then_some(()));
    until("an empty outbox", || (reader.outbox_counts().ok()?.waiting == 0).then_some(()));
    assert!(daemon.stops().success(), "{}", daemon.words());
    // One more start has nothing to send.
    assert!(server.place.ask(&["run"], &["--once"]).0.success());

    let mails = server.read();
    assert_eq!(alerts.len(), mails.len());
    let mut ids = std::collections::HashSet::new();
    for mail in &mails {
        check_mail(mail);
        assert!(ids.insert(mail["headers"]["message-id"].to_string()), "a mail twice");
    }
    for client in ATTACKERS {
        let is_about = |mail: &&Value| mail["headers"]["subject"].to_string().contains(client);
        assert_eq!(1, mails.iter().filter(is_about).count(), "mails about {client}");
    }
    if let Some(file) = std::env::var_os("GATEWATCH_KEEP_MAIL") {
        fs::write(file, mails[0]["html"].as_str().expect("text")).expect("the mail is kept");
    }
}

fn check_mail(mail: &Value) {
    assert_eq!(Value::Array(vec![]), mail["defects"], "{mail:#}");
    assert_eq!("multipart/alternative", mail["type"], "{mail:#}");
    assert_eq!(serde_json::json!(["text/plain", "text/html"]), mail["parts"]);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let header = |name: &str| text(&mail["headers"][name]);
    assert_eq!("analyst@example.org", header("to"));
    assert!(header("message-id").ends_with(".web1.example.org>"), "{}", header("message-id"));
    let (plain, html) = (text(&mail["text"]), text(&mail["html"]));
    for body in [&plain, &html] {
        assert!(body.contains("Failed log-ins") && body.contains("member017"), "{body}");
    }
    assert!(plain.contains("/files/<b>0</b>"), "{plain}");
    assert!(!html.contains("<b>0</b>") && html.contains("&#60;b&#62;"), "{html}");
}

/// What `notify test` prints, with the changes of [`Server::configure`], and whether it is content.
fn notify_test(server: &Server, changes: &[(&str, &str)]) -> (bool, String) {
    server.configure(changes);
    let (status, text, errors) = server.place.ask(&["notify", "test"], &[]);
    assert!(!text.contains(PASSWORD) && !errors.contains(PASSWORD), "the password is shown");
    assert_eq!(Some(if status.success() { 0 } else { 69 }), status.code(), "{text}{errors}");
    (status.success(), text)
}

/// The step `notify test` stops at is `step`, and its line says `reason`.
#[track_caller]
fn check_step(server: &Server, changes: &[(&str, &str)], step: &str, reason: &str) {
    let (content, text) = notify_test(server, changes);
    let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("FAILED")).collect();
    assert!(!content && failed.len() == 1, "{text}");
    let line = failed[0].trim_start_matches("FAILED").trim_start();
    assert!(line.starts_with(step) && line.contains(reason), "{text}");
}

#[test]
fn notify_test_says_which_step_fails() {
    for tls in ["starttls", "implicit"] {
        let Some(server) = Server::new(tls) else { return };
        check_step(&server, &[], "connect", "refused");
        let smtp = server.start();
        let (content, text) = notify_test(&server, &[]);
        assert!(content && text.lines().all(|line| line.starts_with("ok ")), "{text}");
        server.keep_secret("wrong", "guess");
        let wrong = server.file("wrong").display().to_string();
        check_step(&server, &[("password_file", &wrong)], "log in", "`mail.password_file`");
        check_step(&server, &[("to", "unknown@example.org")], "recipient", "no such user here");
        let other = server.file("other-ca.pem").display().to_string();
        check_step(&server, &[("ca_file", &other)], "TLS", "`mail.ca_file`");
        assert_eq!(1, server.arrived().len(), "only the mail that was content");
        drop(smtp);
    }
}
