//! Lists of indicators from files: opened, recognised, read.
//!
//! Invariant: memory is bounded by what one list may hold, not by its file: a file is read in a stream
//! and never more than [`BYTES_MAX`] of it.

use std::fs::Metadata;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Deserializer;

use crate::engine::feed::{
    BYTES_MAX, Builder, Columns, CsvReader, Feed, FeedConfig, FeedFormat, PlainReader, Unusable,
    read_misp, read_misp_header, read_stix,
};
use crate::source::open_input;
use crate::units::Timestamp;

/// A list that cannot be used; completes "cannot use the list …: ".
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The file cannot be read.
    #[error("{0}")]
    Read(String),
    /// It is no list, or too large.
    #[error("{0}")]
    Unusable(#[from] Unusable),
}

/// What tells one version of a list from the next: each file with its time and length.
pub type Stamp = Vec<(PathBuf, SystemTime, u64)>;

/// Events of MISP in one folder.
const EVENTS_MAX: usize = 20_000;

/// Bytes by which a format is recognised.
const HEAD_BYTES: u64 = 64 << 10;

/// Longest line.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// The state of the files of a list.
pub fn stamp(path: &Path) -> io::Result<Stamp> {
    let about =
        |path: PathBuf, data: &Metadata| Ok::<_, io::Error>((path, data.modified()?, data.len()));
    let data = std::fs::metadata(path)?;
    if !data.is_dir() {
        return Ok(vec![about(path.to_owned(), &data)?]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let is_event = path.extension().is_some_and(|extension| extension == "json")
            && path.file_stem().is_some_and(|stem| stem != "manifest");
        if is_event {
            let data = std::fs::metadata(&path)?;
            files.push(about(path, &data)?);
        }
        if EVENTS_MAX < files.len() {
            return Err(io::Error::other(format!("it holds more than {EVENTS_MAX} events")));
        }
    }
    files.sort();
    Ok(files)
}

/// Reads the list that `settings` name; hashes are made with `seed`.
pub fn read_feed(settings: &FeedConfig, seed: u64) -> Result<Feed, FeedError> {
    let files = stamp(&settings.path).map_err(|error| unreadable(&settings.path, &error))?;
    let newest = files.iter().map(|(_, modified, _)| *modified).max();
    let as_of = newest.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let as_of = as_of.map_or(Timestamp(0), |since| Timestamp::from_secs(since.as_secs()));
    let mut out = Builder::new(settings, as_of, seed);
    if settings.path.is_dir() {
        if !matches!(settings.format, FeedFormat::Auto | FeedFormat::Misp) {
            let reason = "it is a folder, and only a feed of MISP may be one";
            return Err(FeedError::Read(reason.to_owned()));
        }
        if files.is_empty() {
            return Err(FeedError::Read("no event (*.json) is in the folder".to_owned()));
        }
        let mut left = BYTES_MAX;
        for (file, ..) in &files {
            left = misp(file, left, &mut out)?;
        }
    } else {
        file(settings, &mut out)?;
    }
    Ok(out.finish(settings)?)
}

fn file(settings: &FeedConfig, out: &mut Builder) -> Result<(), FeedError> {
    let path = &settings.path;
    let format = match settings.format {
        FeedFormat::Auto => recognised(path, &settings.columns)?,
        format => format,
    };
    match format {
        FeedFormat::Auto | FeedFormat::Plain => {
            let mut reader = PlainReader::default();
            lines(path, |line| {
                reader.line(line, out);
                !out.is_full()
            })
        }
        FeedFormat::Csv => {
            let mut reader = CsvReader::new(&settings.columns);
            lines(path, |line| {
                reader.line(line, out);
                !out.is_full()
            })?;
            Ok(reader.end(out).map_err(|reason| Unusable::NotOfFormat("CSV", reason))?)
        }
        FeedFormat::Stix => {
            let mut input = BufReader::new(open(path, BYTES_MAX)?);
            let mut json = Deserializer::from_reader(&mut input);
            let read = read_stix(&mut json, out).and_then(|()| json.end());
            Ok(read.map_err(|error| not_of("STIX", path, &error))?)
        }
        FeedFormat::Misp => misp(path, BYTES_MAX, out).map(drop),
    }
}

/// Reads an event; answers how many bytes may still come.
fn misp(path: &Path, bytes: u64, out: &mut Builder) -> Result<u64, FeedError> {
    let mut json = Deserializer::from_reader(BufReader::new(open(path, bytes)?));
    let header = read_misp_header(&mut json).map_err(|error| not_of("MISP", path, &error))?;
    let mut input = BufReader::new(open(path, bytes)?);
    let mut json = Deserializer::from_reader(&mut input);
    let read = read_misp(&mut json, &header, out).and_then(|()| json.end());
    read.map_err(|error| not_of("MISP", path, &error))?;
    Ok(input.get_ref().left)
}

fn not_of(format: &'static str, path: &Path, error: &serde_json::Error) -> FeedError {
    match error.io_error_kind() {
        Some(_) => FeedError::Read(format!("{}: {error}", path.display())),
        None => Unusable::NotOfFormat(format, format!("{}: {error}", path.display())).into(),
    }
}

/// Hands out the lines of a file, a rest behind the last line end included, while `take` wants more.
fn lines(path: &Path, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), FeedError> {
    let mut input = BufReader::new(open(path, BYTES_MAX)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.map_err(|error| unreadable(path, &error))? == 0 {
            return Ok(());
        }
        if !take(line.strip_suffix(b"\n").unwrap_or(&line)) {
            return Ok(());
        }
    }
}

/// The format of a file by its first bytes.
fn recognised(path: &Path, columns: &Columns) -> Result<FeedFormat, FeedError> {
    let mut head = Vec::new();
    let read = open(path, BYTES_MAX)?.take(HEAD_BYTES).read_to_end(&mut head);
    read.map_err(|error| unreadable(path, &error))?;
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    let is_json = match text {
        [b'{', ..] => true,
        [b'[', rest @ ..] => rest.trim_ascii_start().starts_with(b"{"),
        _ => false,
    };
    let holds = |part: &[u8]| memchr::memmem::find(text, part).is_some();
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    Ok(if is_json && (holds(b"\"Event\"") || holds(b"\"Attribute\"")) {
        FeedFormat::Misp
    } else if is_json {
        FeedFormat::Stix
    } else if *columns != Columns::default() || name.contains(".csv") {
        FeedFormat::Csv
    } else {
        FeedFormat::Plain
    })
}

fn open(path: &Path, bytes: u64) -> Result<Capped, FeedError> {
    let input = open_input(path).map_err(|error| FeedError::Read(error.to_string()))?;
    Ok(Capped { input, left: bytes })
}

fn unreadable(path: &Path, error: &io::Error) -> FeedError {
    let fix = match error.kind() {
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::PermissionDenied => "; let the user that runs gatewatch read it",
        _ => "",
    };
    FeedError::Read(format!("{} cannot be read: {error}{fix}", path.display()))
}

/// A file of which no more than so much is read.
struct Capped {
    input: Box<dyn Read + Send>,
    left: u64,
}

impl Read for Capped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let most = BYTES_MAX >> 20;
            io::Error::other(format!("it is larger than {most} MiB; split it"))
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
