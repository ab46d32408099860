//! Reports for programs: the same figures as JSON.
//!
//! Text of the log is exact here. Characters that could act on a terminal are written as `\u`
//! escapes of JSON, which any reader turns back into what they were.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::top::{self, ClientRow, CountRow, PathRow, Ranked};
use super::week::WeekReport;
use crate::engine::detect::Alert;
use crate::engine::tally::{LEVELS, LoginCounts, MALFORMED, SiteTally, StatusKey, Tally};
use crate::escape::write_json;

/// Rows of each list: enough for a dashboard, few enough for a pipe.
const ROWS: usize = 100;

/// `scan --output json`.
#[derive(Debug, Serialize)]
struct ScanJson<'a> {
    /// Version of these keys; a new one means that an old one changed its meaning.
    schema: u32,
    /// Lines read, and how many of them no format understood.
    lines: u64,
    unparsed: u64,
    /// Bytes of the lines.
    line_bytes: u64,
    /// Earliest and latest time in the log, RFC 3339 in UTC.
    first_event: Option<String>,
    last_event: Option<String>,
    /// Requests by status: `"200"`, `"other"`, `"none"`.
    statuses: std::collections::BTreeMap<String, u64>,
    /// Log-ins: `success`, `failure`, and `attempt` where the log does not show the outcome.
    logins: LoginCounts,
    sites: Vec<SiteJson<'a>>,
    /// Different clients; an estimate when `clients.lower_by` is not 0.
    distinct_clients: u64,
    clients: Ranked<ClientRow>,
    paths: Ranked<PathRow>,
    not_found: Ranked<PathRow>,
    failing: Ranked<PathRow>,
    failed_users: Ranked<CountRow>,
    failed_clients: Ranked<CountRow>,
    /// Shapes of lines that could not be parsed.
    shapes: Ranked<CountRow>,
    /// Transitions as in the alert log.
    alerts: &'a [Alert],
}

#[derive(Debug, Serialize)]
struct SiteJson<'a> {
    name: &'a str,
    requests: u64,
    bytes: u64,
    logins: LoginCounts,
    /// Lines of error logs by level, without levels that did not occur.
    server_errors: std::collections::BTreeMap<&'static str, u64>,
    /// Requests that make no sense by kind, without kinds that did not occur.
    malformed: std::collections::BTreeMap<&'static str, u64>,
}

impl<'a> From<&'a SiteTally> for SiteJson<'a> {
    fn from(site: &'a SiteTally) -> Self {
        let levels = LEVELS.iter().map(|level| level.name()).zip(site.server_errors);
        let kinds = MALFORMED.iter().map(|kind| kind.name()).zip(site.malformed);
        Self {
            name: &site.name,
            requests: site.total(),
            bytes: site.bytes,
            logins: site.logins,
            server_errors: levels.filter(|(_, count)| 0 < *count).collect(),
            malformed: kinds.filter(|(_, count)| 0 < *count).collect(),
        }
    }
}

/// The scan report as one JSON object. Its keys:
///
/// `schema`, `lines`, `unparsed`, `line_bytes`, `first_event`, `last_event`, `statuses`, `logins`
/// (`success`, `failure`, `attempt`), `sites` (`name`, `requests`, `bytes`, `logins`,
/// `server_errors`, `malformed`), `distinct_clients`, `clients`, `paths`, `not_found`, `failing`,
/// `failed_users`, `failed_clients`, `shapes` and `alerts`. Each list of the heaviest is an object
/// of `lower_by` (how much any of its counts may be too small; 0: exact) and `top`.
pub fn report_json(tally: &Tally, alerts: &[Alert]) -> Value {
    let span = tally.span;
    let label = |(status, count): (StatusKey, u64)| (status.label(), count);
    let json = ScanJson {
        schema: 1,
        lines: tally.lines,
        unparsed: tally.unparsed,
        line_bytes: tally.line_bytes,
        first_event: span.map(|(first, _)| first.rfc3339()),
        last_event: span.map(|(_, last)| last.rfc3339()),
        statuses: tally.by_status().into_iter().map(label).collect(),
        logins: tally.logins(),
        sites: tally.sites().iter().map(SiteJson::from).collect(),
        distinct_clients: tally.distinct_clients(),
        clients: top::clients(tally, None, ROWS),
        paths: top::paths(tally, None, ROWS),
        not_found: top::not_found(tally, None, ROWS),
        failing: top::failing(tally, None, ROWS),
        failed_users: top::counts(&tally.failed_users, None, ROWS),
        failed_clients: top::counts(&tally.failed_clients, None, ROWS),
        shapes: top::counts(&tally.shapes, None, ROWS),
        alerts,
    };
    serde_json::to_value(json).expect("plain data with text keys")
}

/// The weekly report as one JSON object: the fields of [`WeekReport`], and `text_sha256`, the hash
/// that its text and its HTML carry too.
pub fn week_json(report: &WeekReport) -> Value {
    let mut json = serde_json::to_value(report).expect("plain data with text keys");
    json["text_sha256"] = Value::from(super::text::text_hash(report));
    json
}

/// `value` as indented JSON that is safe to look at, with a line end.
pub fn to_text(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, Visible(PrettyFormatter::new()));
    value.serialize(&mut serializer).expect("plain data with text keys");
    out.push(b'\n');
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Writes characters that are not plainly visible as `\uXXXX`.
struct Visible<'i>(PrettyFormatter<'i>);

impl Formatter for Visible<'_> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        write_json(writer, fragment)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_scan_report_as_json_is_the_golden_file() {
        let scan = fixture::Scan::attacked();
        let json = report_json(&scan.tally, &scan.alerts);
        fixture::check_golden("scan.json", &to_text(&json));
    }

    #[test]
    fn hostile_text_is_exact_in_json_and_harmless_on_a_terminal() {
        for text in fixture::HOSTILE {
            let json = to_text(&Value::from(*text));
            assert!(!json.trim_end().contains(char::is_control), "{json}");
            assert_eq!(Value::from(*text), serde_json::from_str::<Value>(&json).expect("JSON"));
        }
    }

    #[test]
    fn an_empty_scan_has_all_keys() {
        let json = report_json(&fixture::tally(), &[]);
        assert_eq!(Some(0), json["lines"].as_u64());
        assert_eq!(Some(0), json["clients"]["lower_by"].as_u64());
        assert!(json["first_event"].is_null());
        assert_eq!(18, json.as_object().expect("an object").len());
    }
}
