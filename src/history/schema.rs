//! The columns of the archive: one row of [`COLUMNS`] each, with the names of the event model.
//!
//! Files of one version have the same columns in the same order, so that any tool reads a folder of
//! them as one table. What has no column of its own is in `labels`, a JSON object, and lost to
//! nobody.
//!
//! To add a column: a row at the end of [`COLUMNS`], [`SCHEMA_VERSION`] plus one; readers find null
//! where older files lack it. A column that was released is neither renamed nor given another type.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};

use crate::engine::batch::{Event, Field, Kind, Row};
use crate::engine::redact::{self, Form};
use crate::engine::render::event_id::ID_LEN;
use crate::engine::render::{action_of, dataset_of, level_of, outcome_of};
use crate::engine::text::parse_u64;
use crate::escape::push_json;
use crate::units::Timestamp;

/// Version of the columns, written into each file as `gatewatch.schema`.
pub const SCHEMA_VERSION: u32 = 1;

/// Longest text of a cell in bytes; a line of a log is at most 64 KiB.
pub(super) const TEXT_MAX: usize = 8192;

/// Longest `event.original` in bytes.
const ORIGINAL_MAX: usize = 65_536;

/// Name of the column that files are sorted by.
pub const TIME: &str = "@timestamp";
/// Name of the column that is different in each row.
pub const ID: &str = "event.id";
/// Name of the column with the address of the client.
pub const CLIENT: &str = "source.ip";
/// Name of the column with the name of the user.
pub const USER: &str = "user.name";
/// Name of the column with the status of the response.
pub const STATUS: &str = "http.response.status_code";
/// Name of the column with the path of the request.
pub const PATH: &str = "url.path";

/// An event that becomes a row.
pub(super) struct Seen<'e> {
    pub(super) event: Event<'e>,
    pub(super) row: &'e Row,
    pub(super) id: &'e [u8; ID_LEN],
    pub(super) client: &'e str,
    pub(super) created: Timestamp,
    pub(super) keep_original: bool,
}

type Text<'e> = Option<Cow<'e, [u8]>>;

/// What a column holds, and how it is got from an event.
pub(super) enum Cell {
    /// Microseconds since 1970 UTC.
    Time(fn(&Seen<'_>) -> Timestamp),
    /// A text field of the event as it is.
    Field(Field),
    /// A text.
    Text(for<'e> fn(&Seen<'e>) -> Text<'e>),
    /// A whole number of 32 bits.
    Small(fn(&Seen<'_>) -> Option<i32>),
    /// A whole number of 64 bits.
    Long(fn(&Seen<'_>) -> Option<i64>),
    /// True or false.
    Truth(fn(&Seen<'_>) -> Option<bool>),
}

/// How values of a column are best written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Habit {
    /// The same ones again and again.
    Repeats,
    /// Each a little more than the one before.
    Grows,
    /// All different, but alike at their start.
    Unique,
}

/// A column of the archive.
pub struct Column {
    /// Its name, as in the event model.
    pub name: &'static str,
    /// What it says, for the reference page.
    pub about: &'static str,
    pub(super) cell: Cell,
    pub(super) habit: Habit,
    /// Files know which values are not in them.
    pub(super) bloom: bool,
    /// A search for words looks into it.
    pub(super) searched: bool,
}

impl Column {
    /// The name of its type, as Parquet has it.
    pub fn type_name(&self) -> &'static str {
        match self.cell {
            Cell::Time(_) => "timestamp (µs, UTC)",
            Cell::Field(_) | Cell::Text(_) => "string",
            Cell::Small(_) => "int32",
            Cell::Long(_) => "int64",
            Cell::Truth(_) => "boolean",
        }
    }

    pub(super) fn data_type(&self) -> DataType {
        match self.cell {
            Cell::Time(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Cell::Field(_) | Cell::Text(_) => DataType::Utf8,
            Cell::Small(_) => DataType::Int32,
            Cell::Long(_) => DataType::Int64,
            Cell::Truth(_) => DataType::Boolean,
        }
    }

    const fn searched(mut self) -> Self {
        self.searched = true;
        self
    }

    const fn with_bloom(mut self) -> Self {
        self.bloom = true;
        self
    }

    const fn habit(mut self, habit: Habit) -> Self {
        self.habit = habit;
        self
    }
}

const fn column(name: &'static str, cell: Cell, about: &'static str) -> Column {
    Column { name, about, cell, habit: Habit::Repeats, bloom: false, searched: false }
}

/// All columns from left to right.
pub const COLUMNS: &[Column] = &[
    column(TIME, Cell::Time(|seen| seen.row.time), "when it happened, as logged")
        .habit(Habit::Grows),
    column(
        ID,
        Cell::Text(|seen| Some(Cow::Borrowed(&seen.id[..]))),
        "names the event; once in the archive",
    )
    .habit(Habit::Unique),
    column("gatewatch.source", Cell::Text(source), "source that the line came from"),
    column("log.file.path", Cell::Text(path), "file that the line stands in"),
    column("log.offset", Cell::Long(|seen| long(seen.row.offset)), "where in that file, in bytes")
        .habit(Habit::Grows),
    column("event.created", Cell::Time(|seen| seen.created), "when the line was read"),
    column(
        "event.kind",
        Cell::Text(kind),
        "`event`, or `pipeline_error` where a line could not be read",
    ),
    column(
        "event.dataset",
        Cell::Text(|seen| word(dataset_of(seen.row))),
        "log and program: `nginx.access`",
    )
    .searched(),
    column(
        "event.action",
        Cell::Text(|seen| word(action_of(seen.row).name())),
        "`http_request`, `login`, …",
    )
    .searched(),
    column(
        "event.outcome",
        Cell::Text(|seen| word(outcome_of(seen.row)?)),
        "`success`, `failure`, `unknown`",
    ),
    column(
        "event.reason",
        Cell::Text(|seen| word(seen.row.auth?.reason?.name())),
        "why a log-in failed",
    )
    .searched(),
    column("event.code", Cell::Field(Field::Code), "code of the server: `AH01617`, `401.1`")
        .searched(),
    column(
        "event.severity",
        Cell::Small(|seen| Some(i32::from(level_of(seen.row).severity()))),
        "1 to 99",
    ),
    column(
        "log.level",
        Cell::Text(|seen| word(level_of(seen.row).name())),
        "level, logged or derived",
    ),
    column(
        "event.count",
        Cell::Long(|seen| Some(i64::from(seen.row.count))),
        "how many times it happened",
    ),
    column("host.name", Cell::Text(host), "machine that wrote the line").searched(),
    column("service.name", Cell::Text(service), "site or service").searched(),
    column(
        CLIENT,
        Cell::Text(|seen| text(seen.client.as_bytes())),
        "the client, behind trusted proxies",
    )
    .with_bloom()
    .searched(),
    column("source.address", Cell::Text(client_name), "the client where it is no address: a name")
        .searched(),
    column("source.port", Cell::Small(|seen| small(seen, Field::ClientPort)), "its port"),
    column(
        "gatewatch.peer.ip",
        Cell::Field(Field::Peer),
        "the proxy, where the client came from a header",
    ),
    column(
        "gatewatch.client_ip_source",
        Cell::Text(client_source),
        "where the client was taken from",
    ),
    column(
        "source.geo.country_iso_code",
        Cell::Field(Field::Country),
        "country, where a database knows it",
    ),
    column("source.as.number", Cell::Long(|seen| number(seen, Field::AsNumber)), "its network"),
    column("source.as.organization.name", Cell::Field(Field::AsOrganisation), "who runs that")
        .searched(),
    column(USER, Cell::Field(Field::User), "user, as the server names them")
        .with_bloom()
        .searched(),
    column(
        "user.effective.name",
        Cell::Field(Field::TargetUser),
        "account that sudo or su changes to",
    )
    .searched(),
    column(
        "gatewatch.auth.outcome",
        Cell::Text(|seen| word(seen.row.auth?.outcome.name())),
        "how a log-in ended",
    ),
    column(
        "gatewatch.auth.method",
        Cell::Text(|seen| word(seen.row.auth?.method.name())),
        "`basic`, `form`, `publickey`, …",
    ),
    column(
        "gatewatch.auth.app",
        Cell::Text(|seen| text(seen.row.login_app.as_bytes())),
        "application whose log-in page it was",
    ),
    column(
        "gatewatch.auth.confidence",
        Cell::Text(|seen| word(seen.row.auth?.confidence.name())),
        "how sure that is",
    ),
    column(
        "gatewatch.auth.counted",
        Cell::Truth(|seen| Some(seen.row.auth?.counted)),
        "counts as a failed log-in",
    ),
    column(
        "gatewatch.auth.grade",
        Cell::Text(|seen| word(seen.row.grade?.name())),
        "what it proves about the user: A to D",
    ),
    column("http.request.method", Cell::Field(Field::Method), "method"),
    column("url.scheme", Cell::Field(Field::Scheme), "`http` or `https`"),
    column("destination.domain", Cell::Field(Field::Domain), "virtual host or Host header")
        .searched(),
    column(PATH, Cell::Field(Field::Path), "path, percent-encoding kept").searched(),
    column(
        "url.query",
        Cell::Text(|seen| clean(seen, Field::Query, Form::Query)),
        "query, secrets as `***`",
    )
    .searched(),
    column("url.original", Cell::Text(odd_target), "target, where it is more than path and query")
        .searched(),
    column("http.version", Cell::Field(Field::HttpVersion), "`1.1`, `2`, …"),
    column(STATUS, Cell::Small(status), "status of the response"),
    column(
        "http.response.body.bytes",
        Cell::Long(|seen| long(seen.row.bytes?)),
        "bytes of the response",
    ),
    column(
        "event.duration",
        Cell::Long(|seen| long(seen.row.duration_ns?)),
        "how long it took, in nanoseconds",
    ),
    column(
        "http.request.referrer",
        Cell::Text(|seen| clean(seen, Field::Referrer, Form::Text)),
        "Referer header",
    )
    .searched(),
    column("user_agent.original", Cell::Field(Field::UserAgent), "User-Agent header").searched(),
    column("http.request.id", Cell::Field(Field::RequestId), "identifier of the request")
        .searched(),
    column(
        "gatewatch.malformed",
        Cell::Text(|seen| word(seen.row.malformed?.name())),
        "what is wrong with the request",
    ),
    column("process.name", Cell::Field(Field::Process), "program that wrote the line").searched(),
    column("process.pid", Cell::Long(|seen| number(seen, Field::Pid)), "its process id"),
    column(
        "message",
        Cell::Text(|seen| clean(seen, Field::Message, Form::Text)),
        "text of an error or log-in line",
    )
    .searched(),
    column("error.message", Cell::Field(Field::Error), "why a line could not be read").searched(),
    column(
        "event.original",
        Cell::Text(original),
        "the raw line, where it could not be read or is kept",
    )
    .searched(),
    column(
        "threat.feed.name",
        Cell::Field(Field::ThreatFeed),
        "list of indicators that knows something in it",
    ),
    column("threat.indicator.name", Cell::Field(Field::ThreatIndicator), "the indicator")
        .searched(),
    column("labels", Cell::Text(labels), "all else that the line says: a JSON object").searched(),
];

/// The columns as Arrow has them.
pub(super) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| schema(false));

/// The same with texts as dictionaries, as readers want them: a word is looked at once.
pub(super) static READ_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| schema(true));

fn schema(dictionaries: bool) -> SchemaRef {
    let field = |column: &Column| {
        let plain = column.data_type();
        let data_type = match plain {
            DataType::Utf8 if dictionaries && column.habit == Habit::Repeats => {
                DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
            }
            _ => plain,
        };
        ArrowField::new(column.name, data_type, !matches!(column.name, TIME | ID))
    };
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// Place of the column of that name.
pub(super) fn column_index(name: &str) -> Option<usize> {
    COLUMNS.iter().position(|column| column.name == name)
}

fn word<'e>(word: &'static str) -> Text<'e> {
    Some(Cow::Borrowed(word.as_bytes()))
}

fn text(text: &[u8]) -> Text<'_> {
    (!text.is_empty()).then_some(Cow::Borrowed(text))
}

fn long(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

fn number(seen: &Seen<'_>, field: Field) -> Option<i64> {
    long(parse_u64(seen.event.field(field)?)?)
}

fn small(seen: &Seen<'_>, field: Field) -> Option<i32> {
    i32::try_from(parse_u64(seen.event.field(field)?)?).ok()
}

fn status(seen: &Seen<'_>) -> Option<i32> {
    (seen.row.status != 0).then_some(i32::from(seen.row.status))
}

fn source<'e>(seen: &Seen<'e>) -> Text<'e> {
    text(seen.event.origin().source.as_bytes())
}

fn path<'e>(seen: &Seen<'e>) -> Text<'e> {
    text(seen.event.origin().path.as_bytes())
}

fn kind<'e>(seen: &Seen<'e>) -> Text<'e> {
    word(if seen.row.kind == Kind::ParseFailure { "pipeline_error" } else { "event" })
}

fn host<'e>(seen: &Seen<'e>) -> Text<'e> {
    match seen.event.origin().host.as_bytes() {
        b"" => text(seen.event.field(Field::Hostname)?),
        host => text(host),
    }
}

fn service<'e>(seen: &Seen<'e>) -> Text<'e> {
    text(seen.event.field(Field::Service).unwrap_or_else(|| seen.event.site()))
}

fn client_name<'e>(seen: &Seen<'e>) -> Text<'e> {
    if seen.row.client.is_some() { None } else { text(seen.event.field(Field::ClientAddress)?) }
}

fn client_source<'e>(seen: &Seen<'e>) -> Text<'e> {
    let known = seen.row.client.is_some() || seen.event.field(Field::ClientAddress).is_some();
    if known { word(seen.row.client_source.name()) } else { None }
}

/// A field without the secrets of queries.
fn clean<'e>(seen: &Seen<'e>, field: Field, form: Form) -> Text<'e> {
    Some(redact::secrets(seen.event.field(field)?, form))
}

/// The target where path and query do not say it.
fn odd_target<'e>(seen: &Seen<'e>) -> Text<'e> {
    let target = seen.event.field(Field::Target)?;
    let path = seen.event.field(Field::Path).unwrap_or_default();
    let told = match target.strip_prefix(path) {
        Some(b"") => true,
        Some(rest) => rest.strip_prefix(b"?") == seen.event.field(Field::Query),
        None => false,
    };
    if told { None } else { clean(seen, Field::Target, Form::Text) }
}

fn original<'e>(seen: &Seen<'e>) -> Text<'e> {
    if seen.row.kind != Kind::ParseFailure && !seen.keep_original {
        return None;
    }
    let line = seen.event.line();
    let line = &line[..line.len().min(ORIGINAL_MAX)];
    (!line.is_empty()).then(|| redact::secrets(line, Form::Text))
}

/// Fields that have a column, or that others are made of.
const HAVE_COLUMNS: &[Field] = &[
    Field::ClientPort,
    Field::Peer,
    Field::Country,
    Field::AsNumber,
    Field::AsOrganisation,
    Field::TargetUser,
    Field::Scheme,
    Field::Code,
    Field::Process,
    Field::Pid,
    Field::Service,
    Field::RequestId,
    Field::Error,
    Field::ThreatFeed,
    Field::ThreatIndicator,
    Field::Record,
];

/// All that has no column, by its name in the event model, as a JSON object.
fn labels<'e>(seen: &Seen<'e>) -> Text<'e> {
    let mut object = serde_json::Map::new();
    let mut label: &[u8] = b"";
    for (field, value) in seen.event.rare() {
        let name = match field {
            Field::LabelName => {
                label = value;
                continue;
            }
            Field::LabelValue => {
                let name = std::mem::take(&mut label);
                format!("labels.{}", String::from_utf8_lossy(name))
            }
            field if HAVE_COLUMNS.contains(&field) => continue,
            field => match name_of(field) {
                Some(name) => name.to_owned(),
                None => continue,
            },
        };
        let value = redact::secrets(&value[..value.len().min(TEXT_MAX)], Form::Text);
        let value = String::from_utf8_lossy(&value).into_owned();
        object.entry(name).or_insert(value.into());
    }
    if seen.row.suspect_forged {
        object.insert("tags".to_owned(), "suspect_forged".into());
    }
    if object.is_empty() {
        return None;
    }
    let mut json = Vec::new();
    push_json(&mut json, &object);
    Some(Cow::Owned(json))
}

fn name_of(field: Field) -> Option<&'static str> {
    let entry = crate::engine::batch::FIELDS.iter().find(|entry| entry.field == field)?;
    Some(entry.name)
}
