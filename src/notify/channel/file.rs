//! A file with one JSON object a line, for whatever reads files.
//!
//! Invariant: a message counts as taken when its whole line is on disk. A line that a crash cut
//! short is completed by cutting it off and writing it again; one that is there already, because the
//! crash came after it, is not written twice.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::{Failure, Letter, Parcel, webhook};

pub(super) fn render(letter: &Letter<'_>) -> Result<Parcel, Failure> {
    let mut body = webhook::line(letter.matter);
    body.push(b'\n');
    Ok(Parcel { path: String::new(), headers: Vec::new(), body })
}

/// Appends a line; a disk that is slow holds up no other channel.
pub(super) async fn append(path: &Path, line: &[u8]) -> Result<String, Failure> {
    let (file, line): (PathBuf, Vec<u8>) = (path.to_owned(), line.to_owned());
    let written = tokio::task::spawn_blocking(move || write(&file, &line)).await;
    match written {
        Ok(Ok(())) => Ok("written".to_owned()),
        Ok(Err(error)) => {
            let words = format!("cannot write {}: {error}", path.display());
            Err(Failure::Later { words, pause: None })
        }
        Err(error) => Err(Failure::Later { words: error.to_string(), pause: None }),
    }
}

fn write(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(path)?;
    let end = file.seek(SeekFrom::End(0))?;
    let from = end.saturating_sub(line.len() as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::with_capacity(line.len());
    Read::by_ref(&mut file).take(line.len() as u64).read_to_end(&mut tail)?;
    if tail == line {
        return file.sync_all();
    }
    let torn = torn(&tail, line);
    file.set_len(end - torn as u64)?;
    file.seek(SeekFrom::End(0))?;
    if torn == 0 && tail.last().is_some_and(|last| *last != b'\n') {
        file.write_all(b"\n")?;
    }
    file.write_all(line)?;
    file.sync_all()
}

/// Bytes at the end of `tail` that are the beginning of `line`, and no line of their own.
fn torn(tail: &[u8], line: &[u8]) -> usize {
    let start = memchr::memrchr(b'\n', tail).map_or(0, |at| at + 1);
    let rest = &tail[start..];
    if line.starts_with(rest) { rest.len() } else { 0 }
}
