//! The newest lines of a log, read with the format it is said to have.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::model::Shape;
use crate::engine::batch::{Event, EventBatch, Field, Kind, Origin};
use crate::engine::format::{FormatSet, detect, vote};
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::units::Timestamp;

/// Bytes read from the end of a log.
const SAMPLE_BYTES: u64 = 64 << 10;

/// Lines shown.
pub const SHOWN: usize = 5;

/// Requests that it takes to say that they all come through one proxy.
const CROWD: usize = 20;

/// What the newest lines of a log are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The file looked at.
    pub file: PathBuf,
    /// Lines looked at, those of them that were read, and the definition that read them.
    pub lines: usize,
    /// Lines that the format reads.
    pub read: usize,
    /// The definition used, as `FormatSet` has it.
    pub definition: String,
    /// The format that reads most of the lines, where it is another than the one used.
    pub better: Option<&'static str>,
    /// The newest lines that were read, oldest first.
    pub shown: Vec<Shown>,
    /// The peer that nearly all requests come from, if it is an inside address.
    pub crowd: Option<IpAddr>,
}

/// One line in a few words; as the log has it, so not yet safe to look at.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Shown {
    /// When.
    pub time: String,
    /// Who.
    pub client: String,
    /// Under which name.
    pub user: String,
    /// Method and path, or the message of an error or log-in.
    pub what: String,
    /// The status, where there is one.
    pub status: String,
}

/// Looks at the newest file of `files`.
pub fn take(files: &[PathBuf], shape: &Shape, zone: &TimeZone, now: Timestamp) -> Option<Sample> {
    let newest =
        files.iter().filter(|file| !is_compressed(file)).max_by_key(|file| changed(file))?;
    let text = tail(newest)?;
    let reference = changed(newest);
    let times = || TimeReader::new(zone.clone(), reference);
    let definition = match shape {
        Shape::Auto => detect(&text, &mut times()),
        Shape::Named(name) => (*name).to_owned(),
        Shape::Written(text) => format!("written:{text}"),
    };
    let formats = FormatSet::from_definition(&definition).ok()?;
    let mut parser = Parser::new(formats, times(), Arc::default());
    let mut batch = EventBatch::default();
    let origin = Arc::new(Origin::default());
    let bytes = text.clone();
    let part = Text { origin, bytes, from: 0, truncated_last: false, read_at: now };
    parser.fill(&mut batch, part);
    let is_read = |event: &Event<'_>| event.row().kind != Kind::ParseFailure;
    let read = batch.events().filter(is_read).count();
    let mut shown: Vec<Shown> = Vec::new();
    for index in (0..batch.len()).rev() {
        let event = batch.event(index);
        if is_read(&event) && shown.len() < SHOWN {
            shown.push(show(&event));
        }
    }
    shown.reverse();
    let lines = batch.len();
    let votes = vote(&text, &mut times());
    let share = read as f64 / lines.max(1) as f64;
    let better = votes.first().filter(|best| 0 < lines && share + 0.2 < best.score);
    Some(Sample {
        file: newest.clone(),
        lines,
        read,
        definition,
        better: better.map(|best| best.name),
        shown,
        crowd: crowd(&batch),
    })
}

fn is_compressed(file: &Path) -> bool {
    let end = file.extension().and_then(|end| end.to_str());
    end.is_some_and(|end| matches!(end, "gz" | "zst" | "bz2" | "xz"))
}

fn changed(file: &Path) -> Timestamp {
    let modified = file.metadata().and_then(|meta| meta.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    Timestamp(since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
}

/// The last whole lines.
fn tail(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(SAMPLE_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.take(SAMPLE_BYTES).read_to_end(&mut bytes).ok()?;
    if SAMPLE_BYTES < size {
        let first = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |at| at + 1);
        bytes.drain(..first);
    }
    Some(bytes)
}

/// An event in a few words.
pub fn show(event: &Event<'_>) -> Shown {
    let text = |field: Field| {
        event.field(field).map_or_else(String::new, |value| String::from_utf8_lossy(value).into())
    };
    let row = event.row();
    let what = match row.kind {
        Kind::Access => format!("{} {}", text(Field::Method), text(Field::Target)),
        Kind::ServerError | Kind::Auth | Kind::ParseFailure => text(Field::Message),
    };
    Shown {
        time: if row.time_is_read { String::new() } else { row.time.rfc3339() },
        client: String::from_utf8_lossy(event.client_text()).into_owned(),
        user: text(Field::User),
        what: what.trim().to_owned(),
        status: if row.status == 0 { String::new() } else { row.status.to_string() },
    }
}

/// The inside address that nearly all requests come from: a proxy or balancer.
fn crowd(batch: &EventBatch) -> Option<IpAddr> {
    let mut clients: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let requests = batch.events().filter(|event| event.row().kind == Kind::Access);
    for client in requests.filter_map(|event| event.row().client) {
        *clients.entry(client).or_default() += 1;
    }
    let all: usize = clients.values().sum();
    let (client, count) = clients.into_iter().max_by_key(|(_, count)| *count)?;
    (CROWD <= all && all * 19 <= count * 20 && is_inside(client)).then_some(client)
}

/// An address of an inside network, such as 10.0.0.2.
fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(client: impl Fn(usize) -> String, count: usize) -> String {
        let line = |index: usize| {
            let client = client(index);
            format!(
                "{client} - - [20/Nov/2026:07:00:{index:02} +0000] \"GET /{index} HTTP/1.1\" 200 1 \"-\" \"a\"\n"
            )
        };
        (0..count).map(line).collect()
    }

    fn sample(text: &str, shape: &Shape) -> Sample {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("access.log");
        std::fs::write(&file, text).expect("written");
        std::fs::write(folder.path().join("access.log.2.gz"), "").expect("written");
        let files = [file, folder.path().join("access.log.2.gz")];
        take(&files, shape, &TimeZone::UTC, Timestamp::default()).expect("a sample")
    }

    #[test]
    fn the_newest_lines_are_shown_and_the_others_counted() {
        let text = lines(|_| "192.0.2.7".to_owned(), 30) + "no line of this format\n";
        let sample = sample(&text, &Shape::Auto);
        assert_eq!((31, 30, "auto:combined"), (sample.lines, sample.read, &*sample.definition));
        let what: Vec<&str> = sample.shown.iter().map(|one| one.what.as_str()).collect();
        assert_eq!(["GET /25", "GET /26", "GET /27", "GET /28", "GET /29"], *what);
        assert_eq!((None, None), (sample.crowd, sample.better));
    }

    #[test]
    fn a_format_that_does_not_fit_is_told_with_the_one_that_does() {
        let text = lines(|_| "192.0.2.7".to_owned(), 30);
        let shape = Shape::Written("$status $remote_addr".to_owned());
        let sample = sample(&text, &shape);
        assert_eq!((0, Some("combined")), (sample.read, sample.better));
    }

    #[test]
    fn a_proxy_in_front_shows_by_its_address() {
        let many =
            |index: usize| if index == 0 { "192.0.2.1".to_owned() } else { "10.0.0.2".into() };
        assert_eq!("10.0.0.2".parse().ok(), sample(&lines(many, 30), &Shape::Auto).crowd);
        assert_eq!(None, sample(&lines(many, 10), &Shape::Auto).crowd);
        let few = |index: usize| format!("10.0.0.{}", index % 3);
        assert_eq!(None, sample(&lines(few, 30), &Shape::Auto).crowd);
    }
}
