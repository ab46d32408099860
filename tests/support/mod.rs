//! What the tests of the running program share: a place for its files, the program itself, and a
//! way to wait.
//!
//! Invariants: nothing outlives its test (every process is killed when its value goes), nothing is
//! written outside a temporary directory, and nobody sleeps: a wait ends with what it waits for.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use gatewatch::io::{Clock as _, SystemClock, Waker};
use gatewatch::store::StoreReader;
use gatewatch::units::{Period, Timestamp};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// Longest wait for anything; far beyond what a busy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The present moment.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// Asks `found` until it has an answer. `what` completes "… did not come within 30 s".
#[track_caller]
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = now().plus(Period::from_secs(PATIENCE.as_secs()));
    let pace = Waker::default();
    loop {
        if let Some(answer) = found() {
            return answer;
        }
        assert!(now() < deadline, "{what} did not come within {} s", PATIENCE.as_secs());
        pace.wait(Duration::from_millis(10));
    }
}

/// A process in a group of its own, which is killed when this value goes.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// What it says on standard error, line by line; the channel closes when it ends.
    said: Receiver<String>,
    /// All of that so far.
    heard: Vec<String>,
}

impl Running {
    /// Starts `command` without input, and listens to its standard error.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        Self::start_fed(command)
    }

    /// The same for a command whose standard input is set already.
    #[track_caller]
    pub(crate) fn start_fed(command: &mut Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let errors = child.stderr.take().expect("standard error is a pipe");
        let (say, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
                if say.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { child, said, heard: Vec::new() }
    }

    /// Listens for `limit`, or until the process ends, which is true then.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = now().0 + limit.as_nanos() as u64;
        loop {
            let left = Duration::from_nanos(deadline.saturating_sub(now().0));
            match self.said.recv_timeout(left) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }

    /// Waits for a line that contains `text`; the answer is the line.
    #[track_caller]
    pub(crate) fn says(&mut self, text: &str) -> String {
        if let Some(line) = self.heard.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        let deadline = now().plus(Period(PATIENCE.as_millis() as u64));
        loop {
            match self.said.recv_timeout(deadline.since(now()).duration()) {
                Ok(line) => {
                    self.heard.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(reason) => panic!("nothing about `{text}`: {reason}; it said {}", self.words()),
            }
        }
    }

    /// Everything it has said, for a message.
    pub(crate) fn words(&mut self) -> String {
        self.heard.extend(self.said.try_iter());
        format!("\n  {}", self.heard.join("\n  "))
    }

    /// Sends a signal to the process and its children.
    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = kill_process_group(self.pid(), signal);
    }

    /// Id of the process, which is also the one of its group.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> ExitStatus {
        assert!(self.ends_within(PATIENCE), "it does not end; it said {}", self.words());
        self.child.wait().expect("the process can be waited for")
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn stops(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ends()
    }

    /// Ends it the hard way: kill -9.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("the process can be waited for");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{:?} said{}", self.pid(), self.words());
        }
    }
}

/// A directory with the logs, the configuration and the state of one gatewatch.
#[derive(Debug)]
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// An empty place.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("logs")).expect("a directory for logs");
        Self { dir }
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A log of this name; its directory is there, the file is not yet.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path().join("logs").join(name)
    }

    /// Where the store is.
    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Where the file sink of [`Place::configure`] writes.
    pub(crate) fn events(&self) -> PathBuf {
        self.path().join("events.ndjson")
    }

    /// Writes the configuration: store, listener and file sink, and `more` behind it.
    pub(crate) fn configure(&self, more: &str) {
        let events = self.events();
        self.configure_bare(&format!(
            "[[sink]]\ntype = \"file\"\nname = \"events\"\npath = {events:?}\n{more}"
        ));
    }

    /// The same without the file sink.
    pub(crate) fn configure_bare(&self, more: &str) {
        let state = self.state();
        let text = format!(
            "[store]\npath = {state:?}\n[serve]\nlisten = \"127.0.0.1:0\"\n[host]\nname = \
             \"web1.example.org\"\n{more}\n"
        );
        fs::write(self.config(), text).expect("the configuration is written");
    }

    fn config(&self) -> PathBuf {
        self.path().join("gatewatch.toml")
    }

    /// `gatewatch COMMAND --config …` and then `arguments`.
    pub(crate) fn gatewatch(&self, command: &[&str], arguments: &[&str]) -> Command {
        let mut gatewatch = Command::new(env!("CARGO_BIN_EXE_gatewatch"));
        gatewatch.args(command).arg("--config").arg(self.config()).args(arguments);
        gatewatch.current_dir(self.path()).env("TZ", "UTC").env_remove("GATEWATCH_LOG");
        gatewatch
    }

    /// Starts the daemon.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Running {
        Running::start(&mut self.gatewatch(&["run"], arguments))
    }

    /// Runs a command to its end; the answer is what it printed, on both channels.
    #[track_caller]
    pub(crate) fn ask(&self, command: &[&str], arguments: &[&str]) -> (ExitStatus, String, String) {
        let output = self.gatewatch(command, arguments).stdin(Stdio::null()).output();
        let output = output.expect("gatewatch can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let errors = text(&output.stderr);
        assert!(!errors.contains("panicked at"), "{errors}");
        (output.status, text(&output.stdout), errors)
    }

    /// The weekly report about all of this and the next days, as JSON.
    #[track_caller]
    pub(crate) fn report(&self) -> serde_json::Value {
        let day = |seconds: i64| {
            let time = jiff::Timestamp::from_second(now().secs() as i64 + seconds);
            time.expect("a time").strftime("%Y-%m-%d").to_string()
        };
        let days = format!("{}..{}", day(-3 * 86_400), day(2 * 86_400));
        let (status, text, errors) = self.ask(&["report"], &["--week", &days, "--format", "json"]);
        assert!(status.success(), "{errors}");
        serde_json::from_str(&text).expect("the report is JSON")
    }

    /// Waits until the store and the file sink have this many lines.
    #[track_caller]
    pub(crate) fn until_delivered(&self, lines: u64) {
        let reader = until("the store", || StoreReader::open(&self.state()).ok());
        until("every line", || (lines <= reader.ledger().ok()?.lines).then_some(()));
        until("every event", || {
            let cursor = reader.cursor("sink:events").ok()??;
            (cursor.seq == reader.last_seq().ok()?).then_some(())
        });
    }

    /// The events that the file sink wrote, rotated files included. Each transition of an alert
    /// must be there once.
    pub(crate) fn sunk(&self) -> Vec<serde_json::Value> {
        let mut all = json_lines(&self.events());
        let mut alerts: Vec<_> =
            all.extract_if(.., |event| event["event"]["kind"] == "alert").collect();
        let transition = |alert: &serde_json::Value| {
            let alert = &alert["gatewatch"]["alert"];
            format!("{} {} {}", alert["id"], alert["state"], alert["escalation"])
        };
        alerts.sort_by_key(transition);
        let twice = alerts.windows(2).find(|pair| transition(&pair[0]) == transition(&pair[1]));
        assert_eq!(None, twice, "a transition of an alert is there twice");
        all
    }
}

/// The lines of a file and of those it was rotated to, as JSON.
pub(crate) fn json_lines(path: &Path) -> Vec<serde_json::Value> {
    let numbered = |n: usize| PathBuf::from(format!("{}.{n}", path.display()));
    let files = std::iter::once(path.to_owned()).chain((1..).map(numbered));
    let mut values = Vec::new();
    for text in files.map_while(|file| fs::read(file).ok()) {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let value = serde_json::from_slice(line);
            values.push(value.unwrap_or_else(|error| {
                panic!("{error} in {}: {}", path.display(), String::from_utf8_lossy(line))
            }));
        }
    }
    values
}

/// Fails when a text is there more than once; the answer is how often each of them is.
#[track_caller]
pub(crate) fn each_once<'t>(
    what: &str,
    texts: impl Iterator<Item = &'t str>,
) -> HashMap<&'t str, u32> {
    let mut counts = HashMap::new();
    for text in texts {
        *counts.entry(text).or_insert(0) += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| 1 < **count).take(5).collect();
    assert!(twice.is_empty(), "{what} more than once: {twice:?}");
    counts
}

/// A time as access logs write it.
pub(crate) fn clf(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(time.secs() as i64).expect("a time");
    time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

/// Opens a log the way servers do.
pub(crate) fn open_log(path: &Path) -> File {
    let opened = File::options().append(true).create(true).open(path);
    opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
