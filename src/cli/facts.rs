//! What an event says, field by field, each with where it came from: for `explain` and `detect`.
//!
//! Invariant: a value said to stand at some bytes of the line is those bytes.

use std::ops::Range;

use crate::engine::batch::{ClientSource, Event, FIELDS, Field, Kind, Stamp};
use crate::engine::detect::field::Subject;
use crate::engine::format::Column;

/// A field of an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fact {
    pub(super) name: String,
    /// As the event has it: not yet safe to look at.
    pub(super) value: String,
    pub(super) source: Source,
}

/// Where a value came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// Bytes of the line, and what the format calls them, where it has a name for them.
    Line(Range<usize>, Option<String>),
    /// It follows from something, in words.
    Derived(String),
}

/// All fields of `event`; `columns` are the values that its format finds in the line.
pub(super) fn facts(event: &Event<'_>, columns: &[Column]) -> Vec<Fact> {
    let mut facts = Vec::new();
    from_columns(event, columns, &mut facts);
    client(event, columns, &mut facts);
    for entry in FIELDS {
        let is_told = |value: &[u8]| {
            let client = event.row().client.map(|ip| ip.to_string());
            entry.field == Field::ClientAddress && client.is_some_and(|ip| ip.as_bytes() == value)
        };
        if let Some(value) = event.field(entry.field).filter(|value| !is_told(value)) {
            let source = if entry.field.is_of_feeds() {
                Source::Derived("from a list of indicators".to_owned())
            } else {
                source_of(event, entry.field, columns)
            };
            push(&mut facts, entry.name, &String::from_utf8_lossy(value), source);
        }
    }
    let mut label = String::new();
    for (field, value) in event.rare() {
        let value = String::from_utf8_lossy(value).into_owned();
        match field {
            Field::LabelName => label = value,
            Field::LabelValue => {
                let source = Source::Derived("a column without a meaning of its own".to_owned());
                push(&mut facts, &format!("labels.{label}"), &value, source);
            }
            _ => (),
        }
    }
    verdicts(event, &mut facts);
    facts
}

fn push(facts: &mut Vec<Fact>, name: &str, value: &str, source: Source) {
    facts.push(Fact { name: name.to_owned(), value: value.to_owned(), source });
}

/// The numbers of the line, which no span remembers.
fn from_columns(event: &Event<'_>, columns: &[Column], facts: &mut Vec<Fact>) {
    let row = event.row();
    let named = |name: &str| {
        let column = columns.iter().find(|column| column.sets == Some(name));
        match column {
            Some(column) => Source::Line(column.range.clone(), Some(column.name.clone())),
            None => Source::Derived(format!("read by the format {}", row.format)),
        }
    };
    if row.time_is_read {
        let source = Source::Derived("the time of reading: the line has none".to_owned());
        push(facts, "@timestamp", &row.time.rfc3339(), source);
    } else {
        push(facts, "@timestamp", &row.time.rfc3339(), named("@timestamp"));
        if row.kind == Kind::Access {
            let (name, what) = match row.stamp {
                Stamp::Start => ("event.start", "began"),
                Stamp::End => ("event.end", "ended"),
            };
            let source = format!("{} logs when a request {what}", row.module.name());
            push(facts, name, &row.time.rfc3339(), Source::Derived(source));
        }
    }
    if row.status != 0 {
        let name = "http.response.status_code";
        push(facts, name, &row.status.to_string(), named(name));
    }
    if let Some(bytes) = row.bytes {
        let name = "http.response.body.bytes";
        push(facts, name, &bytes.to_string(), named(name));
    }
    if let Some(duration) = row.duration_ns {
        push(facts, "event.duration", &format!("{duration} ns"), named("event.duration"));
    }
    if 1 < row.count {
        let source = Source::Derived("the line says that it stands for several".to_owned());
        push(facts, "event.count", &row.count.to_string(), source);
    }
}

fn client(event: &Event<'_>, columns: &[Column], facts: &mut Vec<Fact>) {
    let row = event.row();
    let Some(ip) = row.client else { return };
    let source = match row.client_source {
        ClientSource::Peer => source_of(event, Field::ClientAddress, columns),
        ClientSource::Forwarded => Source::Derived(
            "the right-most address of X-Forwarded-For that is no trusted proxy".to_owned(),
        ),
        ClientSource::RealIp => {
            Source::Derived("a header with the client alone, set by a trusted proxy".to_owned())
        }
        ClientSource::Server => {
            Source::Derived("the server itself looked behind proxies that it trusts".to_owned())
        }
        ClientSource::Ambiguous => {
            Source::Derived("the line can be read in two ways: not counted by client".to_owned())
        }
        other => Source::Derived(format!("not in this line: {}", other.name())),
    };
    push(facts, "source.ip", &ip.to_string(), source);
}

fn source_of(event: &Event<'_>, field: Field, columns: &[Column]) -> Source {
    match event.place(field) {
        Some(range) => {
            let within = |column: &&Column| {
                column.range.start <= range.start && range.end <= column.range.end
            };
            let name = columns.iter().find(within).map(|column| column.name.clone());
            Source::Line(range, name)
        }
        None => Source::Derived("from the line, its escapes undone or its form evened".to_owned()),
    }
}

/// What follows from the values.
fn verdicts(event: &Event<'_>, facts: &mut Vec<Fact>) {
    let row = event.row();
    let status = row.status;
    let by_status = format!("from the status {status}");
    let why = |subject: Subject| match (subject, row.kind) {
        (_, Kind::ParseFailure) => "no format reads the line".to_owned(),
        (Subject::Action | Subject::Outcome | Subject::Reason | Subject::Level, Kind::Access)
            if row.auth.is_some() =>
        {
            "from the verdict on the log-in".to_owned()
        }
        (Subject::Action, Kind::Access) => "a line of an access log is a request".to_owned(),
        (Subject::Outcome | Subject::Level, Kind::Access) => by_status.clone(),
        (Subject::Site, _) if event.field(Field::Domain).is_none_or(<[u8]>::is_empty) => {
            "the line names none: `site` of the source, or this default".to_owned()
        }
        (Subject::Site, _) => "from destination.domain".to_owned(),
        (Subject::ClientNet, _) => "who counts as one client".to_owned(),
        (Subject::Module | Subject::Category, _) => format!("from the format {}", row.format),
        (Subject::Extension, _) => "from url.path".to_owned(),
        (Subject::Malformed, _) => "from the request line".to_owned(),
        _ => "from the text of the line".to_owned(),
    };
    for (name, subject) in [
        ("event.module", Subject::Module),
        ("event.category", Subject::Category),
        ("event.action", Subject::Action),
        ("event.outcome", Subject::Outcome),
        ("event.reason", Subject::Reason),
        ("log.level", Subject::Level),
        ("gatewatch.malformed", Subject::Malformed),
        ("url.extension", Subject::Extension),
        ("site", Subject::Site),
        ("client.net", Subject::ClientNet),
    ] {
        if let Some(value) = subject.text(event) {
            let value = String::from_utf8_lossy(&value);
            push(facts, name, &value, Source::Derived(why(subject)));
        }
    }
}
