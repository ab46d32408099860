//! The sink that hands lines to a program of the operator's, on its standard input.
//!
//! The program is started without a shell and kept. A turn counts as taken when it has read every
//! byte: that proves that the lines are in its memory, not that it has done anything with them. What
//! it had read and not finished when it ended is lost, unless it ends in the middle of a turn; then
//! the whole turn goes to the next one. A program that must lose nothing keeps a queue of its own,
//! and knows by `event.id` what it gets twice.
//!
//! What it prints is thrown away; what it complains about goes to our log, a few lines a minute.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, timeout};

use super::config::ExecConfig;
use super::lines::Lines;
use super::{Rendered, SinkCommon, SinkContext, SinkError};
use crate::escape::visible;
use crate::units::{Period, Timestamp};

/// The longest pause between two looks at what the program has not read.
const LOOK_MAX: Duration = Duration::from_millis(50);

/// A program that lived at least this long may be started again at once.
const LONG_LIFE: Period = Period::from_secs(60);

/// The longest pause before a program that keeps ending is started again.
const PAUSE_MAX: Period = Period::from_secs(60);

/// How long a program that stopped reading may take to end, so that its status can be told.
const END_LIMIT: Duration = Duration::from_secs(1);

/// Lines of complaints that are logged in a minute, and the bytes of each.
const COMPLAINTS_MAX: u32 = 20;
const COMPLAINT_BYTES_MAX: usize = 512;

/// A sink that feeds a program.
#[derive(Debug)]
pub struct ExecSink {
    name: String,
    command: Vec<String>,
    pub(super) lines: Lines,
    /// How long it may read nothing.
    limit: Period,
    program: Option<Program>,
    /// How many in a row lived a short life.
    short_lives: u32,
    /// The time when the turn went on last.
    now: Timestamp,
}

#[derive(Debug)]
struct Program {
    child: Child,
    stdin: ChildStdin,
    since: Timestamp,
}

impl ExecSink {
    /// A sink as `config` describes it; the program is started when there is something to hand over.
    pub fn new(
        config: &ExecConfig,
        common: &SinkCommon,
        name: &str,
        context: &SinkContext,
    ) -> Self {
        Self {
            name: name.to_owned(),
            command: config.command.clone(),
            lines: Lines::new(config.encoding, common, context),
            limit: config.timeout,
            program: None,
            short_lives: 0,
            now: Timestamp(0),
        }
    }

    /// A turn begins: there is a program that runs, or an error says why not.
    pub(super) async fn begin(&mut self, now: Timestamp) -> Result<(), SinkError> {
        self.now = now;
        let ended = match &mut self.program {
            Some(program) => program.child.try_wait().map_err(|error| self.failed("ask", error))?,
            None => None,
        };
        if let Some(status) = ended {
            return Err(self.ended(Some(status)));
        }
        if self.program.is_none() {
            self.start().await?;
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<(), SinkError> {
        let (program, arguments) = self.command.split_first().expect("checked with the settings");
        let started = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = started.map_err(|error| self.failed("start", error))?;
        if let Some(complaints) = child.stderr.take() {
            tokio::spawn(pass_on(complaints, self.name.clone()));
        }
        let stdin = child.stdin.take();
        let stdin = stdin.ok_or_else(|| self.failed("feed", io::ErrorKind::BrokenPipe.into()))?;
        self.program = Some(Program { child, stdin, since: self.now });
        self.write(&self.lines.header()).await
    }

    /// Hands whole lines over.
    pub(super) async fn send(
        &mut self,
        rendered: &Rendered,
        now: Timestamp,
    ) -> Result<(), SinkError> {
        self.now = now;
        self.write(rendered.bytes()).await
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), SinkError> {
        while !bytes.is_empty() {
            let Some(program) = &mut self.program else {
                return Err(self.failed("feed", io::ErrorKind::BrokenPipe.into()));
            };
            match timeout(self.limit.duration(), program.stdin.write(bytes)).await {
                Ok(Ok(written)) => bytes = &bytes[written..],
                Ok(Err(_)) => return Err(self.stopped_reading().await),
                Err(_) => return Err(self.hangs()),
            }
        }
        Ok(())
    }

    /// Waits until the program has read all of it.
    pub(super) async fn finish(&mut self) -> Result<(), SinkError> {
        let (mut pause, mut least) = (Duration::from_millis(1), u64::MAX);
        let mut progress = Instant::now();
        loop {
            let Some(program) = &mut self.program else { return Ok(()) };
            let has_ended = program.child.try_wait().is_ok_and(|status| status.is_some());
            let unread = rustix::io::ioctl_fionread(&program.stdin);
            let unread = unread.map_err(|error| self.failed("ask", error.into()))?;
            if unread == 0 {
                return Ok(());
            }
            if has_ended {
                return Err(self.stopped_reading().await);
            }
            if unread < least {
                (least, progress) = (unread, Instant::now());
            } else if self.limit.duration() <= progress.elapsed() {
                return Err(self.hangs());
            }
            tokio::time::sleep(pause).await;
            pause = LOOK_MAX.min(pause * 2);
        }
    }

    /// The program reads nothing any more: it has ended, or is about to.
    async fn stopped_reading(&mut self) -> SinkError {
        let Some(program) = &mut self.program else {
            return self.failed("feed", io::ErrorKind::BrokenPipe.into());
        };
        let status = timeout(END_LIMIT, program.child.wait()).await;
        let status = status.ok().and_then(Result::ok);
        if status.is_none() {
            self.kill();
        }
        self.ended(status)
    }

    fn hangs(&mut self) -> SinkError {
        self.kill();
        self.rest();
        let limit = self.limit;
        SinkError::Timeout { address: self.command[0].clone(), action: "read its input", limit }
    }

    fn kill(&mut self) {
        if let Some(program) = &mut self.program {
            // It may have ended by itself this moment.
            drop(program.child.start_kill());
        }
    }

    /// Forgets the program; says how long to wait before the next.
    fn rest(&mut self) -> Period {
        let lived = self.program.take().map_or(LONG_LIFE, |program| self.now.since(program.since));
        self.short_lives = if lived < LONG_LIFE { self.short_lives + 1 } else { 0 };
        match self.short_lives {
            0 => Period(0),
            many => Period::from_secs(1 << (many - 1).min(16)).min(PAUSE_MAX),
        }
    }

    fn ended(&mut self, status: Option<ExitStatus>) -> SinkError {
        let answer = match status {
            Some(status) => format!("it ended with {status}"),
            None => "it closed its input".to_owned(),
        };
        SinkError::Refused {
            address: self.command[0].clone(),
            answer,
            hint: "; it has to read lines until its input ends: see its complaints in the log",
            pause: Some(self.rest()),
        }
    }

    fn failed(&self, action: &'static str, error: io::Error) -> SinkError {
        SinkError::file(action, Path::new(&self.command[0]), error)
    }
}

/// Logs what a program complains about.
async fn pass_on(mut complaints: impl AsyncRead + Unpin, sink: String) {
    let mut told = Complaints { left: COMPLAINTS_MAX, since: Instant::now(), dropped: 0 };
    let (mut line, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = complaints.read(&mut buffer).await {
        for byte in &buffer[..length] {
            match byte {
                b'\n' => {
                    told.tell(&line, &sink);
                    line.clear();
                }
                byte if line.len() < COMPLAINT_BYTES_MAX => line.push(*byte),
                _ => (),
            }
        }
    }
    if !line.is_empty() {
        told.tell(&line, &sink);
    }
}

/// How many complaints were told lately.
struct Complaints {
    left: u32,
    since: Instant,
    dropped: u64,
}

impl Complaints {
    fn tell(&mut self, line: &[u8], sink: &str) {
        if Duration::from_secs(60) <= self.since.elapsed() {
            if 0 < self.dropped {
                tracing::warn!(sink, "{} more lines of complaints", self.dropped);
            }
            *self = Self { left: COMPLAINTS_MAX, since: Instant::now(), dropped: 0 };
        }
        if self.left == 0 {
            self.dropped += 1;
            return;
        }
        self.left -= 1;
        tracing::warn!(sink, "the program says: {}", visible(&String::from_utf8_lossy(line)));
    }
}
