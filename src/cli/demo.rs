//! `gatewatch demo`: the real daemon on a simulated Thursday, in half a minute.
//!
//! A member site's day with its evening of log-ins and a few attacks is written to a log in a
//! temporary directory, quicker than it would happen. The daemon that would run on a server
//! watches it: nothing is shown that it did not find there.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;

use super::output::Output;
use super::{exit, run};
use crate::config::Config;
use crate::daemon::{Daemon, Options, ReportContext, Stop, week_report};
use crate::engine::detect::{Alert, AlertState};
use crate::escape::visible;
use crate::io::{Clock as _, SystemClock, Waker};
use crate::notify::MailConfig;
use crate::report::{Days, html, text};
use crate::sample::{Attack, AttackKind, AuthLog, Traffic, TrafficConfig};
use crate::sink::{OtelVariables, SinkConfig};
use crate::source::SourceConfig;
use crate::store::StoreReader;
use crate::units::{Period, Timestamp};

/// Shows everything at work: writes the log of a simulated Thursday (members log in, a few attacks
/// happen), runs the real daemon on it, and shows events, metrics, alert mails and the report.
///
/// Nothing leaves the machine: mails are written as files, and the metrics are served on loopback.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long the day takes
    #[arg(long, value_name = "PERIOD", default_value = "20s")]
    length: Period,
    /// Lines of the day
    #[arg(long, value_name = "N", default_value_t = 40_000)]
    lines: u64,
    /// Directory for everything [default: a new one in the system's temporary directory]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// Keep serving the metrics until Ctrl-C
    #[arg(long)]
    stay: bool,
}

const DAY: Period = Period::from_secs(86_400);

/// How often the writer and the watcher look up.
const BEAT: Duration = Duration::from_millis(100);

/// When what happens, in hours of the day.
const ATTACKS: [(AttackKind, u64); 6] = [
    (AttackKind::PathScan, 3),
    (AttackKind::PasswordSpraying, 6),
    (AttackKind::BruteForce, 10),
    (AttackKind::ForgedLines, 12),
    (AttackKind::Outage, 15),
    (AttackKind::CredentialStuffing, 22),
];

pub(super) fn run(args: &Args) -> Result<u8> {
    run::start_log("error");
    let place = Place::new(args)?;
    let mut out = Output::new();
    let thursday = last_thursday(SystemClock.now());
    let config = place.config()?;
    let options = Options { once: false, all_is_live: true };
    let daemon = Daemon::prepare(config.clone(), options, OtelVariables::default())?;
    let address = daemon.address().context("the demo serves its metrics")?;
    out.line(&format!(
        "A Thursday at a member site, in {}. Everything is in {}",
        args.length,
        place.0.display()
    ))?;
    out.line(&format!("metrics: http://{address}/metrics\n"))?;
    out.flush()?;
    let stop = daemon.stop_handle();
    run::stop_on_signals(stop.clone())?;
    let running = std::thread::Builder::new()
        .name("demo".to_owned())
        .spawn(move || daemon.run())
        .context("cannot start the daemon's thread")?;
    let shown = show(args, &place, thursday, &stop, &mut out)
        .and_then(|()| conclude(&place, &config, address, thursday, &mut out));
    if args.stay && shown.is_ok() && !stop.is_asked() {
        out.line(&format!("\nstill serving http://{address}/metrics; Ctrl-C ends it"))?;
        out.flush()?;
    } else {
        stop.stop();
    }
    let ended = running.join();
    shown?;
    ended.map_err(|_| anyhow::anyhow!("the daemon ended early"))??;
    Ok(exit::OK)
}

/// The directory of a demo.
struct Place(PathBuf);

impl Place {
    fn new(args: &Args) -> Result<Self> {
        let path = match &args.directory {
            Some(path) => path.clone(),
            None => std::env::temp_dir().join(format!("gatewatch-demo-{}", uuid::Uuid::new_v4())),
        };
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn config(&self) -> Result<Config> {
        let mut config = Config::default();
        let source = |name: &str, site: &str| SourceConfig {
            site: Some(site.to_owned()),
            timezone: Some("UTC".to_owned()),
            name: Some(name.to_owned()),
            ..SourceConfig::new(self.file(name).display().to_string())
        };
        config.sources =
            vec![source("access.log", "www.example.org"), source("auth.log", "web1.example.org")];
        config.store.path = self.file("state");
        config.mail = MailConfig {
            directory: Some(self.file("mail")),
            from: "gatewatch@example.org".to_owned(),
            to: vec!["analyst@example.org".to_owned()],
            timezone: Some("UTC".to_owned()),
            organisation: Some("Example members".to_owned()),
            ..MailConfig::default()
        };
        let sink = format!("type = \"file\"\npath = {:?}\n", self.file("events.jsonl"));
        config.sinks = vec![toml::from_str::<SinkConfig>(&sink)?];
        config.report.timezone = Some("UTC".to_owned());
        // The usual port, if nobody has it.
        if TcpListener::bind(&config.serve.listen).is_err() {
            config.serve.listen = "127.0.0.1:0".to_owned();
        }
        Ok(config)
    }
}

/// Midnight (UTC) of the last Thursday that is over.
fn last_thursday(now: Timestamp) -> Timestamp {
    // 1 January 1970 was a Thursday.
    let days = now.secs() / 86_400;
    let thursday = days - days % 7;
    let over = if thursday == days { thursday - 7 } else { thursday };
    Timestamp::from_secs(over * 86_400)
}

/// A log of the day, written as its time comes.
struct Day {
    access: (Traffic, Pending),
    auth: (AuthLog, Pending),
}

/// A line that is made but not yet due, and the file it goes to.
struct Pending {
    file: File,
    bytes: Vec<u8>,
    made: bool,
}

impl Day {
    fn new(args: &Args, place: &Place, thursday: Timestamp) -> Result<Self> {
        let at = |hour: u64| thursday.plus(Period::from_secs(hour * 3600));
        let attacks = ATTACKS.map(|(kind, hour)| Attack { kind, at: at(hour) }).to_vec();
        let config = TrafficConfig {
            seed: 2026,
            start: thursday,
            length: DAY,
            lines: args.lines,
            clients: 2500,
            attacks,
        };
        let quiet = TrafficConfig { lines: args.lines / 40, attacks: Vec::new(), ..config.clone() };
        let pending = |name: &str| -> Result<Pending> {
            let path = place.file(name);
            let file = OpenOptions::new().create(true).append(true).open(&path);
            let file = file.with_context(|| format!("cannot write {}", path.display()))?;
            Ok(Pending { file, bytes: Vec::new(), made: true })
        };
        Ok(Self {
            access: (Traffic::new(&config), pending("access.log")?),
            auth: (AuthLog::new(&quiet), pending("auth.log")?),
        })
    }

    /// Writes the share of the day's lines that belongs to the part of it that is over.
    fn write(&mut self, done: f64, args: &Args) -> Result<()> {
        let share = |lines: u64| (lines as f64 * done) as u64;
        let (traffic, pending) = &mut self.access;
        while pending.made && traffic.truth().lines < share(args.lines) {
            pending.made = traffic.next_line(&mut pending.bytes);
        }
        pending.flush()?;
        let (auth, pending) = &mut self.auth;
        while pending.made && auth.truth().lines < share(args.lines / 40) {
            pending.made = auth.next_line(&mut pending.bytes);
        }
        pending.flush()
    }
}

impl Pending {
    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.bytes).context("cannot write the log of the day")?;
        self.bytes.clear();
        Ok(())
    }
}

/// Lets the day pass and shows each alert as it comes.
fn show(
    args: &Args,
    place: &Place,
    thursday: Timestamp,
    stop: &Stop,
    out: &mut Output,
) -> Result<()> {
    let mut day = Day::new(args, place, thursday)?;
    let pause = Arc::new(Waker::default());
    let begin = SystemClock.now();
    let mut seen = 0;
    loop {
        let passed = SystemClock.now().since(begin).ms() as f64 / args.length.ms().max(1) as f64;
        day.write(passed.min(1.0), args)?;
        seen = alerts_since(place, seen, out)?;
        if 1.0 <= passed || stop.is_asked() {
            break;
        }
        pause.wait(BEAT);
    }
    // The last lines are on their way through the daemon.
    let written = day.access.0.truth().lines + day.auth.0.truth().lines;
    let reader = StoreReader::open(&place.file("state"))?;
    while reader.ledger()?.lines < written && !stop.is_asked() {
        pause.wait(BEAT);
    }
    alerts_since(place, seen, out)?;
    Ok(())
}

fn alerts_since(place: &Place, seen: i64, out: &mut Output) -> Result<i64> {
    let reader = StoreReader::open(&place.file("state"))?;
    let mut last = seen;
    for (number, alert) in reader.alerts_after(seen, 100)? {
        last = number;
        if alert.state == AlertState::Firing {
            out.line(&headline(&alert))?;
        }
    }
    out.flush()?;
    Ok(last)
}

fn headline(alert: &Alert) -> String {
    let at = alert.at.rfc3339();
    let severity = alert.severity.name().to_uppercase();
    format!("  {} Thu  {severity:<8} {}", &at[11..16], visible(&alert.summary))
}

/// What there is to look at afterwards.
fn conclude(
    place: &Place,
    config: &Config,
    address: SocketAddr,
    thursday: Timestamp,
    out: &mut Output,
) -> Result<()> {
    let reader = StoreReader::open(&config.store.path)?;
    let ledger = reader.ledger()?;
    out.line(&format!("\n{} lines read", ledger.lines))?;
    show_event(place, out)?;
    show_metrics(address, out)?;
    show_mails(place, out)?;
    let zone = TimeZone::UTC;
    let friday = crate::report::figures::local(thursday.plus(DAY), &zone).date();
    let days = Days::week_before(friday).context("a week lies before every Friday")?;
    let context = ReportContext {
        zone: &zone,
        host: "www1.example.org",
        now: SystemClock.now(),
        watched_since: Some(thursday),
        seed: 0,
        store_max: config.store.max_size,
        missed: &[],
        terms: config.compliance_terms(),
    };
    let report = week_report(&reader, days, &context)?;
    std::fs::write(place.file("report.html"), html::render(&report))?;
    std::fs::write(place.file("report.txt"), text::render(&report))?;
    out.line("\nThe weekly report")?;
    let text = text::render(&report);
    for line in text.lines().take(12) {
        out.line(&format!("  {line}"))?;
    }
    out.line(&format!("  …\n\n  all of it: {}", place.file("report.html").display()))?;
    out.line(&format!("             {}", place.file("report.txt").display()))?;
    out.flush()
}

fn show_event(place: &Place, out: &mut Output) -> Result<()> {
    let path = place.file("events.jsonl");
    let events = std::fs::read_to_string(&path).unwrap_or_default();
    let wanted = "\"action\":\"login\",\"outcome\":\"failure\"";
    let login = events.lines().find(|line| line.contains(wanted));
    if let Some(event) = login.or_else(|| events.lines().next()) {
        out.line(&format!("\nOne of {} events in {}", events.lines().count(), path.display()))?;
        let event: Vec<char> = visible(event).chars().collect();
        for piece in event.chunks(96).take(6) {
            out.line(&format!("  {}", piece.iter().collect::<String>()))?;
        }
        out.line("  …")?;
    }
    Ok(())
}

fn show_metrics(address: SocketAddr, out: &mut Output) -> Result<()> {
    let mut stream = TcpStream::connect(address).context("the metrics are not served")?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    out.line(&format!("\nSome of the metrics at http://{address}/metrics"))?;
    let wanted =
        ["gatewatch_http_requests_total{", "gatewatch_logins_total{", "gatewatch_alerts_fired"];
    for name in wanted {
        let told = |line: &&str| line.starts_with(name) && !line.ends_with(" 0");
        for line in page.lines().filter(told).take(4) {
            out.line(&format!("  {}", visible(line)))?;
        }
    }
    Ok(())
}

fn show_mails(place: &Place, out: &mut Output) -> Result<()> {
    let folder = place.file("mail");
    let mut mails: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) => Vec::new(),
    };
    mails.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    mails.sort();
    out.line(&format!("\nAlert mails in {} ({})", folder.display(), mails.len()))?;
    for mail in mails.iter().take(12) {
        if let Some(subject) = subject(mail) {
            out.line(&format!("  {}", visible(&subject)))?;
        }
    }
    Ok(())
}

fn subject(mail: &Path) -> Option<String> {
    let text = std::fs::read_to_string(mail).ok()?;
    let mut lines = text.lines();
    let mut subject = lines.find_map(|line| line.strip_prefix("Subject: "))?.to_owned();
    // A long header goes on behind a blank.
    for line in lines.take_while(|line| line.starts_with(' ')) {
        subject.push_str(line);
    }
    Some(subject)
}
