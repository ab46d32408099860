//! A program of the operator's: one run a message, the alert's JSON on its standard input.
//!
//! No shell is started and nothing of the alert is an argument, so text from logs cannot become a
//! command. Exit code 0 says that it was taken; after anything else the message waits and comes
//! again.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Failure, Letter, Parcel, webhook};
use crate::escape::visible;
use crate::units::Period;

/// Bytes of complaints that are told.
const COMPLAINTS_MAX: usize = 600;

pub(super) fn render(letter: &Letter<'_>) -> Result<Parcel, Failure> {
    let mut body = webhook::line(letter.matter);
    body.push(b'\n');
    Ok(Parcel { path: String::new(), headers: Vec::new(), body })
}

/// Runs the program; it has `limit` for all of it.
pub(super) async fn run(
    command: &[String],
    input: &[u8],
    limit: Period,
) -> Result<String, Failure> {
    let later = |words: String| Failure::Later { words, pause: None };
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::Blocked { words: "no program is named in `command`".to_owned() });
    };
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| later(format!("cannot start {program}: {error}")))?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let complaints: Arc<std::sync::Mutex<Vec<u8>>> = Arc::default();
    let work = async {
        let feed = async {
            let Some(mut stdin) = stdin else { return };
            // A program that does not want all of it may say so by its exit code.
            drop(stdin.write_all(input).await);
            drop(stdin.shutdown().await);
        };
        let listen = async {
            if let Some(stderr) = stderr {
                keep(stderr, &complaints).await;
            }
        };
        tokio::join!(feed, listen, child.wait()).2
    };
    let ended = timeout(limit.duration(), work).await;
    let said = complaints.lock().map(|said| String::from_utf8_lossy(&said).trim().to_owned());
    let said = said.map_or_else(|_| String::new(), |said| visible(&said).to_string());
    let said = if said.is_empty() { said } else { format!(": {said}") };
    match ended {
        Ok(Ok(status)) if status.success() => Ok(status.to_string()),
        Ok(Ok(status)) => Err(later(format!("{program} ended with {status}{said}"))),
        Ok(Err(error)) => Err(later(format!("cannot wait for {program}: {error}"))),
        // `kill_on_drop` ends it.
        Err(_) => Err(later(format!("{program} did not end within {limit} and was killed{said}"))),
    }
}

/// Keeps the first complaints and reads the others, or the program would wait for ever.
async fn keep(mut stderr: impl AsyncRead + Unpin, kept: &std::sync::Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
        let Ok(mut kept) = kept.lock() else { return };
        let room = COMPLAINTS_MAX.saturating_sub(kept.len()).min(length);
        kept.extend_from_slice(&buffer[..room]);
    }
}

/// Says what is wrong with `program`, if it cannot be started.
pub(super) fn find(program: &str) -> Result<(), String> {
    let path = Path::new(program);
    if path.components().count() < 2 {
        return Ok(());
    }
    match rustix::fs::access(path, rustix::fs::Access::EXEC_OK) {
        Ok(()) => Ok(()),
        Err(error) => Err(format!("cannot start {program}: {error}")),
    }
}
