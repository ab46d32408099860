//! Senders of syslog: rsyslog and syslog-ng over UDP, TCP and TLS, `logger` in its framings, and
//! nginx itself. Every line arrives whole and once, or the kernel's drops say how many did not.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gatewatch::io::Waker;
use gatewatch::store::{Seq, StoreReader};
use gatewatch::units::Period;

use super::http::{Pages, try_get};
use super::support::{Place, Running, clf, now};
use super::{free_port, output, peer, web};

/// Lines that each of the large senders sends.
const LINES: u64 = 100_000;

/// Both sides' certificates, made by one authority, in the folder of a test.
pub(crate) fn write_certificates(folder: &Path) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("written");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let name = rcgen::DnType::CommonName;
    params.distinguished_name.push(name.clone(), "Authority of a test");
    let key = rcgen::KeyPair::generate().expect("a key");
    write("ca.pem", params.self_signed(&key).expect("an authority").pem());
    let issuer = rcgen::Issuer::new(params, key);
    // The expired one has the server's key, so that it can take the server's place.
    let server = rcgen::KeyPair::generate().expect("a key");
    let here = ["127.0.0.1", "localhost"];
    for (file, names, until) in
        [("server", &here[..], 4000), ("expired", &here, 2020), ("client", &["web1"], 4000)]
    {
        let own = rcgen::KeyPair::generate().expect("a key");
        let key = if file == "client" { &own } else { &server };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        params.distinguished_name.push(name.clone(), "127.0.0.1");
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        write(&format!("{file}.pem"), params.signed_by(key, &issuer).expect("signed").pem());
        write(&format!("{file}.key"), key.serialize_pem());
    }
}

/// A gatewatch that listens, and the file that its senders read.
struct Bench {
    place: Place,
    port: u16,
    transport: &'static str,
}

impl Bench {
    fn new(transport: &'static str) -> Self {
        let bench = Self { place: Place::new(), port: free_port(), transport };
        write_certificates(bench.place.path());
        let path = |name| bench.path(name);
        let tls = match transport {
            "tls" => format!(
                "tls_cert = {:?}\ntls_key = {:?}\ntls_client_ca = {:?}\n",
                path("server.pem"),
                path("server.key"),
                path("ca.pem")
            ),
            _ => String::new(),
        };
        bench.place.configure(&format!(
            "[[source]]\nname = \"senders\"\nformat = \"combined\"\n\
             listen = \"{transport}://127.0.0.1:{}\"\n{tls}",
            bench.port
        ));
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// The file of lines that a sender reads.
    fn write_lines(&self, count: u64) -> PathBuf {
        let time = clf(now());
        let line =
            |n| format!("192.0.2.8 - - [{time}] \"GET /line/{n} HTTP/1.1\" 200 9 \"-\" \"-\"\n");
        let path = self.path("lines.log");
        fs::write(&path, (0..count).map(line).collect::<String>()).expect("written");
        path
    }

    /// Starts the daemon, and waits until it listens.
    fn start(&self) -> (Running, Pages) {
        let mut daemon = self.place.run(&[]);
        let pages = Pages::of(&mut daemon);
        pages.until_ready(true, "source senders");
        (daemon, pages)
    }

    /// Waits until `count` lines are stored or known to be dropped; answers how many were dropped.
    fn until_accounted(&self, pages: &Pages, count: u64) -> u64 {
        let accounted = || {
            let dropped = metric(pages, "gatewatch_listener_dropped_datagrams_total")?;
            let lines = metric(pages, "gatewatch_source_lines_total").unwrap_or(0);
            (count <= lines + dropped).then_some(dropped)
        };
        let dropped = patiently(&format!("{count} lines"), accounted);
        self.place.until_delivered(count - dropped);
        dropped
    }

    /// How often each line was forwarded, by its number.
    fn forwarded(&self) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        let events = self.place.events();
        let rotated = PathBuf::from(format!("{}.1", events.display()));
        for file in [rotated, events].iter().filter_map(|path| fs::File::open(path).ok()) {
            for line in BufReader::new(file).lines() {
                let line = line.expect("an event is text");
                if line.contains("\"kind\":\"alert\"") {
                    continue;
                }
                let number = line.split("/line/").nth(1).and_then(|rest| rest.split(' ').next());
                let number = number.and_then(|number| number.parse().ok());
                let number: u64 = number.unwrap_or_else(|| panic!("no number in {line}"));
                *counts.entry(number).or_default() += 1;
            }
        }
        counts
    }

    /// Every line was sent, and came once, except for those that were dropped.
    fn check(&self, who: &str, dropped: u64, count: u64) {
        let forwarded = self.forwarded();
        let twice = forwarded.iter().filter(|(_, times)| 1 < **times).count();
        let (transport, came) = (self.transport, forwarded.len() as u64);
        eprintln!("{who} {transport}: {count} sent, {came} came, {dropped} dropped, {twice} twice");
        assert_eq!((count, 0), (came + dropped, twice), "{who} {transport}");
        assert!(forwarded.keys().all(|number| *number < count), "{who} {transport}");
    }
}

/// As [`until`], for what takes longer than anything else.
#[track_caller]
fn patiently<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = now().plus(Period::from_secs(120));
    let pace = Waker::default();
    loop {
        if let Some(answer) = found() {
            return answer;
        }
        assert!(now() < deadline, "{what} did not come");
        pace.wait(Duration::from_millis(100));
    }
}

/// The sum of a metric of the listening source.
fn metric(pages: &Pages, name: &str) -> Option<u64> {
    let (_, text) = try_get(pages.address(), "/metrics")?;
    let mut rows = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    rows.find(|row| row.contains("source=\"senders\""))?.rsplit(' ').next()?.parse().ok()
}

/// A program that reads the lines of a file and sends them.
type Sender = fn(&Bench, &Path, &Path) -> Running;

fn rsyslog(bench: &Bench, program: &Path, lines: &Path) -> Running {
    let dir = bench.place.path().display();
    let port = bench.port;
    let (transport, more) = match bench.transport {
        // The kernel must not be the one who is too slow: a pause for each message.
        "udp" => ("udp", "udp.sendDelay=\"20\"".to_owned()),
        "tcp" => ("tcp", "tcp_framing=\"traditional\"".to_owned()),
        _ => (
            "tcp",
            "tcp_framing=\"octet-counted\" streamDriver=\"ossl\" streamDriverMode=\"1\" \
             streamDriverAuthMode=\"x509/certvalid\""
                .to_owned(),
        ),
    };
    let text = format!(
        "global(workDirectory=\"{dir}\" defaultNetstreamDriverCAFile=\"{dir}/ca.pem\" \
         defaultNetstreamDriverCertFile=\"{dir}/client.pem\" \
         defaultNetstreamDriverKeyFile=\"{dir}/client.key\")\n\
         module(load=\"imfile\")\n\
         input(type=\"imfile\" file=\"{}\" tag=\"nginx:\" ruleset=\"send\")\n\
         ruleset(name=\"send\") {{\n  action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" \
         protocol=\"{transport}\" template=\"RSYSLOG_SyslogProtocol23Format\" \
         action.resumeRetryCount=\"-1\" action.resumeInterval=\"1\" queue.type=\"LinkedList\" \
         queue.size=\"400000\" queue.timeoutEnqueue=\"-1\" {more})\n}}\n",
        lines.display()
    );
    fs::write(bench.path("rsyslog.conf"), text).expect("rsyslog.conf is written");
    let mut command = Command::new(program);
    command.arg("-n").arg("-f").arg(bench.path("rsyslog.conf"));
    Running::start(command.arg("-i").arg(bench.path("rsyslog.pid")))
}

fn syslog_ng(bench: &Bench, program: &Path, lines: &Path) -> Running {
    let dir = bench.place.path().display();
    let port = bench.port;
    let destination = match bench.transport {
        "udp" => format!(
            "network(\"127.0.0.1\" port({port}) transport(\"udp\") throttle(20000) \
             log-fifo-size(200000))"
        ),
        "tcp" => {
            format!("syslog(\"127.0.0.1\" port({port}) transport(\"tcp\") log-fifo-size(200000))")
        }
        _ => format!(
            "syslog(\"127.0.0.1\" port({port}) transport(\"tls\") tls(ca-file(\"{dir}/ca.pem\") \
             cert-file(\"{dir}/client.pem\") key-file(\"{dir}/client.key\") \
             peer-verify(required-trusted)) log-fifo-size(200000))"
        ),
    };
    let text = format!(
        "@version: current\n\
         source s_lines {{ file(\"{}\" flags(no-parse) program-override(\"nginx\") \
         follow-freq(0.1) log-iw-size(100000) log-fetch-limit(10000)); }};\n\
         destination d_gatewatch {{ {destination}; }};\n\
         log {{ source(s_lines); destination(d_gatewatch); flags(flow-control); }};\n",
        lines.display()
    );
    fs::write(bench.path("syslog-ng.conf"), text).expect("syslog-ng.conf is written");
    start_syslog_ng(program, bench.place.path())
}

/// Starts syslog-ng with `syslog-ng.conf` in `directory`.
pub(crate) fn start_syslog_ng(program: &Path, directory: &Path) -> Running {
    let mut command = Command::new(program);
    command.args(["--foreground", "--no-caps", "--stderr"]);
    for (option, file) in [
        ("--cfgfile", "syslog-ng.conf"),
        ("--persist-file", "syslog-ng.persist"),
        ("--pidfile", "syslog-ng.pid"),
        ("--control", "syslog-ng.ctl"),
    ] {
        command.arg(option).arg(directory.join(file));
    }
    Running::start(&mut command)
}

/// All lines that the sender reads come this way.
fn check_sender(program: &str, sender: Sender, transport: &'static str) {
    let Some(path) = peer(program) else { return };
    let bench = Bench::new(transport);
    let lines = bench.write_lines(LINES);
    let (mut daemon, pages) = bench.start();
    let mut sender = sender(&bench, &path, &lines);
    let dropped = bench.until_accounted(&pages, LINES);
    sender.stops();
    assert!(daemon.stops().success(), "{}", daemon.words());
    bench.check(program, dropped, LINES);
}

#[test]
fn rsyslog_sends_every_line_over_udp() {
    check_sender("rsyslogd", rsyslog, "udp");
}

#[test]
fn rsyslog_sends_every_line_over_tcp() {
    check_sender("rsyslogd", rsyslog, "tcp");
}

#[test]
fn rsyslog_sends_every_line_over_tls_with_a_certificate() {
    check_sender("rsyslogd", rsyslog, "tls");
}

#[test]
fn syslog_ng_sends_every_line_over_udp() {
    check_sender("syslog-ng", syslog_ng, "udp");
}

#[test]
fn syslog_ng_sends_every_line_over_tcp() {
    check_sender("syslog-ng", syslog_ng, "tcp");
}

#[test]
fn syslog_ng_sends_every_line_over_tls_with_a_certificate() {
    check_sender("syslog-ng", syslog_ng, "tls");
}

#[test]
fn after_a_kill_the_store_is_whole_and_the_sender_goes_on() {
    let Some(program) = peer("rsyslogd") else { return };
    let bench = Bench::new("tcp");
    let lines = bench.write_lines(LINES);
    let (mut daemon, pages) = bench.start();
    let mut sender = rsyslog(&bench, &program, &lines);
    let some = || metric(&pages, "gatewatch_source_lines_total").filter(|lines| 0 < *lines);
    patiently("some lines", some);
    daemon.kill();
    let stored = StoreReader::open(&bench.place.state()).expect("the store").ledger();
    let stored = stored.expect("the ledger").lines;
    assert!(0 < stored && stored < LINES, "it was killed in the middle: {stored}");
    let (mut daemon, _) = bench.start();
    // The sender cannot know what was read of what it had sent; the last line was not among it.
    let last = format!("/line/{} ", LINES - 1);
    patiently("the last line", || {
        let text = fs::read_to_string(bench.place.events()).ok()?;
        text.contains(&last).then_some(())
    });
    sender.stops();
    assert!(daemon.stops().success(), "{}", daemon.words());
    let forwarded = bench.forwarded();
    let twice = forwarded.values().filter(|times| 1 < **times).count();
    let lost = LINES - forwarded.len() as u64;
    eprintln!("kill -9 after {stored} stored lines: {lost} lost on the way, {twice} twice");
    assert!((0..stored).all(|number| forwarded.contains_key(&number)), "what was stored is there");
    check_positions(&bench.place.state());
}

/// The frames of a source follow each other without a gap, over all runs.
fn check_positions(state: &Path) {
    let reader = StoreReader::open(state).expect("the store");
    let mut ends: BTreeMap<u64, u64> = BTreeMap::new();
    let mut seq = Seq(0);
    while let Some(frame) = reader.frame_after(seq).expect("the frames can be read") {
        assert!(!frame.damaged, "frame {} is damaged", frame.seq.0);
        seq = frame.seq;
        if let Some(end) = ends.insert(frame.generation, frame.to) {
            assert_eq!(end, frame.from, "frame {}", seq.0);
        }
    }
    assert_eq!(1, ends.len(), "one listener, one generation");
}

#[test]
fn logger_is_understood_in_each_of_its_framings() {
    let Some(logger) = peer("logger") else { return };
    for (transport, options) in [
        ("tcp", &["--tcp", "--octet-count"][..]),
        ("tcp", &["--tcp", "--rfc3164"]),
        ("udp", &["--udp", "--rfc3164"]),
        ("udp", &["--udp", "--rfc5424=notq"]),
    ] {
        let bench = Bench::new(transport);
        let lines = bench.write_lines(300);
        let (mut daemon, pages) = bench.start();
        let mut command = Command::new(&logger);
        command.args(options).args(["--server", "127.0.0.1", "--tag", "nginx", "--port"]);
        output(command.arg(bench.port.to_string()).arg("--file").arg(lines));
        let dropped = bench.until_accounted(&pages, 300);
        assert!(daemon.stops().success(), "{}", daemon.words());
        bench.check(&format!("logger {options:?}"), dropped, 300);
    }
}

#[test]
fn nginx_sends_its_logs_itself() {
    let (Some(nginx), Some(curl)) = (peer("nginx"), peer("curl")) else { return };
    let place = Place::new();
    let (port, listens) = (free_port(), free_port());
    let dir = place.path().display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let text = format!(
        "{user}\nworker_processes 1;\npid {dir}/nginx.pid;\ndaemon off;\n\
         error_log syslog:server=127.0.0.1:{listens},tag=nginx error;\n\
         events {{ worker_connections 64; }}\nhttp {{\n\
         client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
         fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
         server {{\n  listen 127.0.0.1:{port};\n  root {dir}/www;\n  \
         access_log syslog:server=127.0.0.1:{listens},tag=nginx combined;\n  \
         access_log syslog:server=unix:{dir}/log.sock,tag=nginx combined;\n}} }}\n"
    );
    fs::write(place.path().join("nginx.conf"), text).expect("nginx.conf is written");
    fs::create_dir(place.path().join("www")).expect("a document root");
    fs::write(place.path().join("www/page"), "a page\n").expect("a page");
    place.configure(&format!(
        "keep_original = true\n[[source]]\nname = \"senders\"\nlisten = \"udp://127.0.0.1:{listens}\"\n\
         [[source]]\nname = \"socket\"\nlisten = \"unix://{dir}/log.sock\"\n"
    ));
    let mut daemon = place.run(&[]);
    let pages = Pages::of(&mut daemon);
    pages.until_ready(true, "source socket");
    let mut server = Command::new(nginx);
    server.arg("-p").arg(place.path()).arg("-c").arg(place.path().join("nginx.conf"));
    let mut server = Running::start(server.args(["-e", "stderr"]));
    let address = format!("127.0.0.1:{port}");
    web::until_listening(&address);
    // Each request comes twice, and an error for each page that is missing. A Unix socket holds as
    // many datagrams as `net.unix.max_dgram_qlen` says, 10 by default, and nginx drops the others.
    let mut sent = 0;
    for (paths, status, each) in
        [(web::paths("/page?line=", 40), 200, 2), (web::paths("/missing", 10), 404, 3)]
    {
        for paths in paths.chunks(5) {
            let answers = web::curl(&curl, &format!("http://{address}"), &[], paths);
            assert_eq!(Some(&(paths.len() as u64)), answers.get(&status));
            sent += each * paths.len() as u64;
            place.until_delivered(sent);
        }
    }
    assert!(server.stops().success(), "{}", server.words());
    assert!(daemon.stops().success(), "{}", daemon.words());
    let text = fs::read_to_string(place.events()).expect("the events");
    let count = |words: &[&str]| {
        text.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    // The header of syslog is taken off: these are nginx's own events.
    assert_eq!(100, count(&["\"dataset\":\"nginx.access\"", "\"source\":{\"ip\":\"127.0.0.1\""]));
    assert_eq!(80, count(&["/page?line="]));
    assert_eq!(10, count(&["\"dataset\":\"nginx.error\"", "/missing", "No such file"]));
    assert_eq!(50, count(&["log.sock", "nginx: "]));
    assert_eq!((110, 110), (count(&["nginx: "]), text.lines().count()));
}
