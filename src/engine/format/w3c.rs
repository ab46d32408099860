//! The W3C extended log format: IIS, its FTP server and its HTTPERR log, CloudFront, and whoever
//! else writes a line `#Fields: date time c-ip …` above its lines.
//!
//! The columns are named in the file, and may change in its middle. So what a line means depends
//! on the directives before it: [`State`] is all that has to be known of them. It is a short text
//! as well, so that a line can be read again without the lines before it.
//!
//! IIS writes blanks inside a value as `+` and CloudFront as `%20`, so there the number of columns
//! is the server's word. Other writers put such values in quotes, or do not care: a line of theirs
//! that has not the right number of columns is refused, because what a client sends could stand
//! in the place of the status.
//!
//! Invariant: the state is changed by lines that begin with `#` and by nothing else.

mod layout;
mod services;

use std::sync::Arc;

use self::layout::{Layout, Product};
use super::{Context, Miss};
use crate::engine::batch::{Action, Field, Kind, Module, Writer};

/// Name of the format, and of its row in the table.
pub(super) const NAME: &str = "w3c";

/// Bytes of a `#Fields` line that are kept: the state is stored with each block of lines.
const FIELDS_BYTES_MAX: usize = 4096;

/// Bytes of the name of the writer that are kept.
const SOFTWARE_BYTES_MAX: usize = 64;

/// How many columns of a line are of interest, to be weighed against other formats.
const CAPTURES: usize = 16;

/// A reader of lines under the directives seen so far.
#[derive(Clone, Debug, Default)]
pub struct W3c {
    state: Arc<State>,
}

/// The directives in force, and what they make of a line.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The same as a text: `Software: …#Fields: …#Date: …`, each where it matters.
    text: String,
    directives: Directives,
    layout: Option<Layout>,
}

/// What was said by directives and matters to later lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Directives {
    software: String,
    /// Only until columns are named that hold the date themselves.
    date: String,
    fields: String,
}

impl W3c {
    /// A reader that goes on where the one with the state `text` was.
    pub(super) fn with_state(text: &str) -> Self {
        let mut reader = Self::default();
        for directive in text.split('#').filter(|directive| !directive.is_empty()) {
            reader.obey(directive.as_bytes());
        }
        reader
    }

    pub(super) fn state(&self) -> &Arc<State> {
        &self.state
    }

    pub(super) fn set_state(&mut self, state: &Arc<State>) {
        self.state = Arc::clone(state);
    }

    /// Takes in the directives among the lines of `bytes`; no other line is looked at.
    pub(super) fn skim(&mut self, bytes: &[u8]) {
        for at in memchr::memchr_iter(b'#', bytes) {
            // A writer that lost its place leaves NUL bytes in front of a line.
            let nuls = bytes[..at].iter().rev().take_while(|byte| **byte == 0).count();
            if at == nuls || bytes[at - nuls - 1] == b'\n' {
                let line = &bytes[at + 1..];
                let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
                self.obey(&line[..end]);
            }
        }
    }

    pub(super) fn captures(&self) -> usize {
        CAPTURES
    }

    pub(super) fn identity(&self) -> (Module, &'static str) {
        self.state.layout.as_ref().map_or(Product::Other, |layout| layout.product).identity()
    }

    /// Reads one line, or obeys it.
    pub(super) fn parse(
        &mut self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        if let [b'#', directive @ ..] = line {
            self.obey(directive);
            (out.row.module, out.row.format) = self.identity();
            out.row.kind = Kind::ServerError;
            out.row.action = Action::LogDirective;
            out.set(Field::Message, line);
            return Ok(());
        }
        self.state.layout.as_ref().ok_or(Miss::Shape)?.parse(line, cx, out)
    }

    /// Changes the state as `Name: value` says; what is not known changes nothing.
    fn obey(&mut self, directive: &[u8]) {
        let Some(colon) = memchr::memchr(b':', &directive[..directive.len().min(16)]) else {
            return;
        };
        let (name, value) = (&directive[..colon], directive[colon + 1..].trim_ascii());
        let mut said = self.state.directives.clone();
        if name.eq_ignore_ascii_case(b"Software") {
            said.software =
                plain(&value[..value.len().min(SOFTWARE_BYTES_MAX)]).unwrap_or_default();
        } else if name.eq_ignore_ascii_case(b"Date") {
            said.date = value.get(..10).and_then(date).map(str::to_owned).unwrap_or_default();
        } else if name.eq_ignore_ascii_case(b"Fields") {
            // Columns that cannot be understood end those before them all the same.
            said.fields =
                plain(value).filter(|_| value.len() <= FIELDS_BYTES_MAX).unwrap_or_default();
        } else {
            return;
        }
        if said == self.state.directives {
            return;
        }
        let layout = Layout::compile(&said);
        if name.eq_ignore_ascii_case(b"Fields") && layout.as_ref().is_some_and(Layout::has_date) {
            said.date.clear();
        }
        self.state = Arc::new(State { text: said.text(), directives: said, layout });
    }
}

impl State {
    /// What [`W3c::with_state`] takes; empty before any directive.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Directives {
    fn text(&self) -> String {
        // In this order, for columns that are named end the use of a date named before them.
        let said = [("Software", &self.software), ("Fields", &self.fields), ("Date", &self.date)];
        let said = said.into_iter().filter(|(_, value)| !value.is_empty());
        said.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("#")
    }
}

/// A value that may stand in a definition, with one blank between its words.
fn plain(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let fits = |word: &&str| word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    words.iter().all(fits).then(|| words.join(" "))
}

/// `2026-11-20`, by its shape.
fn date(value: &[u8]) -> Option<&str> {
    let digit = |(at, byte): (usize, &u8)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    let fits = value.len() == 10 && value.iter().enumerate().all(digit);
    std::str::from_utf8(value).ok().filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{mutated, read};
    use super::super::{FormatSet, detect};
    use super::layout::{COLUMNS_MAX, IIS_DEFAULT};
    use super::*;
    use crate::engine::batch::EventBatch;
    use crate::engine::parse::{Parser, Text};
    use crate::engine::time::TimeReader;
    use crate::units::Timestamp;

    const IIS: &str = IIS_DEFAULT;
    const FTP: &str = "time c-ip cs-method cs-uri-stem sc-status";

    /// The reader of lines below `#Fields: fields`.
    fn below(fields: &str) -> W3c {
        W3c::with_state(&format!("Fields: {fields}"))
    }

    /// As [`super::super::testing::check`], below these columns.
    #[track_caller]
    fn check(fields: &str, line: &str, expected: &[(&str, &str)]) {
        let mut reader = below(fields);
        let facts = read(|line, cx, out| reader.parse(line, cx, out), line.as_bytes());
        let facts = facts.unwrap_or_else(|miss| panic!("{miss:?}: {line}"));
        for (name, value) in expected {
            let actual = facts.get(*name).map_or("-", String::as_str);
            assert_eq!(*value, actual, "{name} of {line}\n{facts:#?}");
        }
    }

    #[track_caller]
    fn check_miss(fields: &str, line: &str, expected: Miss) {
        let mut reader = below(fields);
        match read(|line, cx, out| reader.parse(line, cx, out), line.as_bytes()) {
            Ok(facts) => panic!("read {line} as {facts:#?}"),
            Err(miss) => assert_eq!(expected, miss, "{line}"),
        }
    }

    #[test]
    fn a_line_means_what_its_columns_say() {
        check(
            IIS,
            "2026-11-20 07:00:10 10.2.2.2 GET /a.aspx id=7&x=%27 443 CORP\\anna 192.0.2.60 \
             Mozilla/5.0+(X11;+Linux) https://www.example.org/ 401 1 2148074252 46",
            &[
                ("time", "2026-11-20T07:00:10.000Z"),
                ("zone", "0"),
                ("destination.ip", "10.2.2.2"),
                ("destination.port", "443"),
                ("http.request.method", "GET"),
                ("url.original", "/a.aspx?id=7&x=%27"),
                ("url.path", "/a.aspx"),
                ("url.query", "id=7&x=%27"),
                ("user.name", "CORP\\anna"),
                ("client", "192.0.2.60"),
                ("user_agent.original", "Mozilla/5.0 (X11; Linux)"),
                ("http.request.referrer", "https://www.example.org/"),
                ("status", "401"),
                ("event.code", "401.1"),
                ("gatewatch.iis.substatus", "1"),
                ("gatewatch.iis.win32_status", "2148074252"),
                ("duration", "46000000"),
                ("module", "iis"),
                ("format", "w3c"),
            ],
        );
        // Whatever their order and case.
        check(
            "SC-Status C-IP Date Time",
            "304 2001:db8::7 2026-11-20 07:00:10.5",
            &[("status", "304"), ("client", "2001:db8::7"), ("time", "2026-11-20T07:00:10.500Z")],
        );
    }

    #[test]
    fn durations_are_milliseconds_unless_the_writer_counts_seconds() {
        for (fields, taken, expected) in [
            ("date time c-ip sc-win32-status time-taken", "15", "15000000"),
            ("date time c-ip sc-win32-status time-taken", "1.5", "1500000000"),
            ("date time c-ip x-edge-location time-taken", "15", "15000000000"),
            ("date time c-ip x-edge-location time-taken", "0.001", "1000000"),
            ("date time c-ip s-action time-taken", "15", "15000000"),
        ] {
            let line = format!("2026-11-20 07:00:10 192.0.2.7 0 {taken}");
            check(fields, &line, &[("duration", expected)]);
        }
    }

    #[test]
    fn the_module_of_iis_for_logs_of_ones_own_quotes_and_may_write_local_time() {
        let fields = "date-local time-local c-ip cs-uri-stem cs(User-Agent) sc-status TimeTakenMS";
        check(
            fields,
            "2026-11-20 07:00:10.250 192.0.2.7 /a \"curl/8+x\" 200 15",
            &[
                ("time", "2026-11-20T07:00:10.250Z"),
                ("user_agent.original", "curl/8 x"),
                ("duration", "15000000"),
                ("module", "iis"),
            ],
        );
        check(
            &format!("date time {fields}"),
            "2026-11-20 06:00:10 2026-11-20 07:00:10 192.0.2.7 /a \"curl 8\" 200 15",
            &[("time", "2026-11-20T06:00:10.000Z"), ("user_agent.original", "curl 8")],
        );
        check_miss(fields, "2026-11-20 - 192.0.2.7 /a - 200 15", Miss::Time);
    }

    #[test]
    fn values_that_reveal_a_session_are_dropped_and_unknown_ones_are_labels() {
        check(
            "date time c-ip cs(Cookie) cs(Authorization) cs(X-Trace-Id) x-point sc(Set-Cookie)",
            "2026-11-20 07:00:10 192.0.2.7 sid=1 Basic+eA== abc eu sid=2",
            &[
                ("labels.http_x_trace_id", "abc"),
                ("labels.x-point", "eu"),
                ("labels.http_cookie", "-"),
                ("labels.cs(cookie)", "-"),
                ("labels.http_authorization", "-"),
                ("labels.sent_http_set_cookie", "-"),
            ],
        );
    }

    #[test]
    fn cloudfront_escapes_once_and_names_the_site_twice() {
        check(
            "date time x-edge-location c-ip cs(Host) sc-status cs(User-Agent) x-host-header",
            "2026-11-20\t07:00:10\tFRA60\t192.0.2.7\td1.example.net\t000\ta%20b%2520c%\tWWW.Example.org",
            &[
                ("user_agent.original", "a b%20c%"),
                ("destination.domain", "www.example.org"),
                ("labels.http_host", "d1.example.net"),
                ("status", "-"),
                ("module", "aws"),
                ("format", "cloudfront"),
            ],
        );
    }

    #[test]
    fn forwarding_headers_are_known_by_their_usual_names() {
        for name in ["X-Forwarded-For", "cs(X-Forwarded-For)", "x-forwarded-for"] {
            check(
                &format!("date time c-ip sc-substatus {name}"),
                "2026-11-20 07:00:10 192.0.2.7 0 203.0.113.9,+198.51.100.2",
                &[("gatewatch.xff_chain", "203.0.113.9, 198.51.100.2"), ("client", "192.0.2.7")],
            );
        }
    }

    #[test]
    fn a_log_in_over_ftp_ends_with_the_answer_to_the_password() {
        let fields = "date time c-ip cs-username cs-method cs-uri-stem sc-status sc-win32-status \
                      x-session";
        for (line, expected) in [
            (
                "- USER bob 331 0 s",
                [("user.name", "bob"), ("outcome", "-"), ("action", "auth_info")],
            ),
            (
                "- PASS *** 530 1326 s",
                [("outcome", "failure"), ("counted", "true"), ("status", "-")],
            ),
            (
                "bob PASS *** 230 0 s",
                [("outcome", "success"), ("user.name", "bob"), ("url.path", "-")],
            ),
            (
                "- LIST - 530 5 s",
                [("outcome", "-"), ("event.code", "530"), ("action", "auth_info")],
            ),
            ("bob RETR /a 226 0 s", [("url.path", "/a"), ("outcome", "-"), ("kind", "Auth")]),
        ] {
            check(fields, &format!("2026-11-20 07:00:10 192.0.2.7 {line}"), &expected);
        }
    }

    #[test]
    fn the_date_of_old_logs_stands_above_their_lines() {
        let iis = "#Software: Microsoft Internet Information Services 6.0";
        let mut reader = W3c::default();
        for line in [iis, "#Date: 2026-11-20 00:00:00", &format!("#Fields: {FTP}")] {
            read(|line, cx, out| reader.parse(line, cx, out), line.as_bytes()).expect("obeyed");
        }
        let mut see = |line: &str| {
            let facts = read(|line, cx, out| reader.parse(line, cx, out), line.as_bytes());
            facts.map(|facts| (facts["time"].clone(), facts["format"].clone()))
        };
        let line = "07:00:10 192.0.2.7 [3]PASS secret 530";
        let known = |time: &str| Ok((time.to_owned(), "iis:ftp".to_owned()));
        assert_eq!(known("2026-11-20T07:00:10.000Z"), see(line));
        see("#Date: 2026-11-21 00:00:00").expect("obeyed");
        assert_eq!(known("2026-11-21T07:00:10.000Z"), see(line));
        see("#Date: soon").expect("obeyed");
        assert_eq!(Err(Miss::Shape), see(line), "no date is better than the one before");
    }

    #[test]
    fn a_password_is_not_kept() {
        let state = format!("Software: Internet Information Services#Fields: date {FTP}");
        let mut reader = W3c::with_state(&state);
        let line = b"2026-11-20 07:00:10 192.0.2.7 [3]PASS hunter2 530";
        let facts = read(|line, cx, out| reader.parse(line, cx, out), line).expect("a line");
        assert!(facts.values().all(|value| !value.contains("hunter2")), "{facts:#?}");
    }

    #[test]
    fn quotes_hold_blanks_together_where_the_writer_has_no_other_way() {
        let fields = "date time c-ip cs(User-Agent) sc-status cs(Referer)";
        check(
            fields,
            "2026-11-20 07:00:10 192.0.2.7 \"a+b c\" 200 \"-\"",
            &[("user_agent.original", "a+b c"), ("status", "200"), ("http.request.referrer", "-")],
        );
        check(
            fields,
            "2026-11-20  07:00:10 192.0.2.7 a+b 200 -",
            &[("user_agent.original", "a b")],
        );
        // IIS does not quote; a quote is the client's.
        check(
            IIS,
            "2026-11-20 07:00:10 10.2.2.2 GET / - 80 - 192.0.2.7 \"a b\" 200 0 0 1",
            &[("user_agent.original", "\"a"), ("http.request.referrer", "b\"")],
        );
    }

    #[test]
    fn a_client_cannot_move_the_columns() {
        let fields = "date time c-ip cs(User-Agent) sc-status";
        for agent in ["a b", "\"a\" 200", "\"a", "a\" 200 \"b", "x 200"] {
            for quote in ["", "\""] {
                let line = format!("2026-11-20 07:00:10 192.0.2.7 {quote}{agent}{quote} 404");
                let mut reader = below(fields);
                let facts = read(|line, cx, out| reader.parse(line, cx, out), line.as_bytes());
                let status = facts.map(|facts| facts["status"].clone());
                assert!(status.is_err() || status.as_deref() == Ok("404"), "{line}: {status:?}");
            }
        }
    }

    #[test]
    fn columns_too_many_are_kept_apart_and_columns_too_few_are_refused() {
        let fields = "date time c-ip sc-status sc-substatus";
        check(fields, "2026-11-20 07:00:10 192.0.2.7 200 0 more", &[("gatewatch.extra", "more")]);
        check_miss(fields, "2026-11-20 07:00:10 192.0.2.7 200", Miss::Shape);
        check_miss("date time c-ip sc-status", "2026-11-20 07:00:10 192.0.2.7 200 0", Miss::Shape);
    }

    #[test]
    fn lines_of_the_default_columns_are_read_below_other_columns_of_iis() {
        let line = "2026-11-20 07:00:10 10.2.2.2 GET / - 80 - 192.0.2.7 a - 200 0 0 15";
        check(IIS, line, &[("status", "200")]);
        check(&IIS.replace(" s-port", ""), line, &[("client", "192.0.2.7"), ("status", "200")]);
        check("date time c-ip sc-win32-status", line, &[("client", "192.0.2.7")]);
        let longer = format!("{IIS} cs-host");
        check(
            &longer,
            line,
            &[("status", "200"), ("duration", "15000000"), ("client", "192.0.2.7")],
        );
        let unsure = "2026-11-20 07:00:10 10.2.2.2 GET / - - - 192.0.2.7 a - 200 0 0 15";
        check_miss(&longer, unsure, Miss::Shape);
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        let fields = "date time c-ip sc-status sc-substatus sc-win32-status";
        check_miss(fields, "2026-11-31 07:00:10 192.0.2.7 200 0 0", Miss::Time);
        check_miss(fields, "- 07:00:10 192.0.2.7 200 0 0", Miss::Time);
        check_miss(fields, "2026-11-20 07:00:10 localhost 200 0 0", Miss::Client);
        check_miss(fields, "2026-11-20 07:00:10 192.0.2.7 2000 0 0", Miss::Status);
        check_miss(fields, "2026-11-20 07:00:10 192.0.2.7 200 x 0", Miss::Status);
        check_miss(fields, "2026-11-20 07:00:10 192.0.2.7 200 0 -1", Miss::Status);
    }

    #[test]
    fn columns_of_other_logs_are_none() {
        for fields in [
            "date time action protocol src-ip dst-ip",
            "date-time,session-id,c-ip",
            "time c-ip sc-status",
            "date c-ip sc-status",
            "",
        ] {
            let mut reader = below(fields);
            let line = b"2026-11-20 07:00:10 192.0.2.7 200 192.0.2.7 200";
            let facts = read(|line, cx, out| reader.parse(line, cx, out), line);
            assert_eq!(Err(Miss::Shape), facts, "{fields}");
        }
        let many = "x ".repeat(COLUMNS_MAX) + "date time c-ip";
        check_miss(&many, "2026-11-20 07:00:10 192.0.2.7", Miss::Shape);
    }

    #[test]
    fn a_header_that_is_not_understood_ends_the_one_before() {
        let mut reader = below(IIS);
        reader.skim(b"#Fields: date time \xff\n");
        assert_eq!("", reader.state().text());
        assert!(reader.state().layout.is_none());
    }

    #[test]
    fn what_is_kept_of_a_header_is_bounded() {
        let mut reader = W3c::default();
        let long = "c-ip ".repeat(60_000);
        reader.skim(format!("#Software: {long}\n#Date: {long}\n#Fields: {long}\n").as_bytes());
        assert!(reader.state().text().len() < 100, "{}", reader.state().text());
    }

    /// Parts of a file: directives, lines below them, and what looks like either.
    fn file() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            mutated(LINES),
            prop::sample::select(LINES).prop_map(|line| line.as_bytes().to_vec()),
        ];
        let end = prop::sample::select(vec![&b"\n"[..], b"\r\n", b"\n\0\0", b"\n\n", b"\n#"]);
        prop::collection::vec((part, end), 0..24).prop_map(|parts| {
            parts.into_iter().flat_map(|(part, end)| [part, end.to_vec()].concat()).collect()
        })
    }

    const LINES: &[&str] = &[
        "#Software: Microsoft Internet Information Services 10.0",
        "#Software: Microsoft HTTP API 2.0",
        "#Date: 2026-11-20 07:00:00",
        "#Date: none",
        "#Remark: nothing",
        "#Fields: time c-ip cs-method cs-uri-stem sc-status",
        "#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query cs(User-Agent) sc-status \
         sc-substatus",
        "#Fields: date-time\tc-ip\tcs-uri\tcs(User-Agent)\ttime-taken",
        "#Fields: date time c-ip c-port cs-method cs-uri sc-status s-siteid s-reason s-queuename",
        "#Fields: nothing of interest",
        "07:00:10 192.0.2.7 GET /a 200",
        "07:00:10 192.0.2.7 [3]PASS secret 530",
        "2026-11-20 07:00:10 192.0.2.7 GET /a b=1 curl+8 401 2",
        "2026-11-20 07:00:10 192.0.2.7 GET /a #Fields:+date curl+8 401 2",
        "2026-11-20T07:00:10Z\t192.0.2.7\t/a?b\t\"curl 8\"\t0.5",
        "2026-11-20 07:00:10 192.0.2.7 5000 GET /a?b 503 1 ConnLimit Pool",
    ];

    /// The events of blocks that follow one another, each read by a parser of its own, made from
    /// the definition that the block before has left.
    fn events(blocks: &[&[u8]], keep_empty: bool) -> Vec<String> {
        let mut definition = NAME.to_owned();
        let (mut events, mut from) = (Vec::new(), 0);
        for bytes in blocks {
            let formats = FormatSet::from_definition(&definition).expect("a definition");
            let times = TimeReader::new(jiff::tz::TimeZone::UTC, Timestamp(0));
            let mut parser = Parser::new(formats, times, Arc::default());
            parser.keep_empty = keep_empty;
            let mut batch = EventBatch::default();
            parser.fill(
                &mut batch,
                Text {
                    origin: Arc::default(),
                    bytes: bytes.to_vec(),
                    from,
                    truncated_last: false,
                    read_at: Timestamp::from_secs(1_795_160_801),
                },
            );
            from += bytes.len() as u64;
            let shown = batch.events().map(|event| {
                let fields = crate::engine::batch::FIELDS.iter().map(|entry| {
                    event.field(entry.field).map(|value| value.escape_ascii().to_string())
                });
                let row = event.row();
                let told = (row.offset, row.time, row.kind, row.status, row.format, row.module);
                format!("{told:?} {:?} {:?}", row.auth, fields.collect::<Vec<_>>())
            });
            events.extend(shown);
            definition = parser.definition().into_owned();
        }
        events
    }

    proptest! {
        #[test]
        fn a_file_gives_the_same_events_however_it_is_cut(
            text in file(),
            cuts in prop::collection::vec(any::<bool>(), 1..8),
            keep_empty in any::<bool>(),
        ) {
            let mut blocks = Vec::new();
            let (mut start, mut end) = (0, 0);
            let lines = text.split_inclusive(|byte| *byte == b'\n');
            for (line, cut) in lines.zip(cuts.iter().cycle()) {
                end += line.len();
                if *cut {
                    blocks.push(&text[start..end]);
                    start = end;
                }
            }
            blocks.push(&text[start..]);
            prop_assert_eq!(events(&[&text], keep_empty), events(&blocks, keep_empty));
        }

        #[test]
        fn to_skim_is_to_read_as_far_as_directives_go(text in file()) {
            let mut skimmed = FormatSet::from_definition("auto:w3c").expect("a format");
            skimmed.skim(&text);
            let formats = FormatSet::from_definition("auto:w3c").expect("a format");
            let times = TimeReader::new(jiff::tz::TimeZone::UTC, Timestamp(0));
            let mut parser = Parser::new(formats, times, Arc::default());
            let text = Text {
                origin: Arc::default(),
                bytes: text,
                from: 0,
                truncated_last: false,
                read_at: Timestamp(1),
            };
            parser.fill(&mut EventBatch::default(), text);
            prop_assert_eq!(parser.definition(), skimmed.definition());
        }

        #[test]
        fn a_state_is_its_text(text in file()) {
            let mut reader = W3c::default();
            reader.skim(&text);
            let again = W3c::with_state(reader.state().text());
            prop_assert_eq!(&reader.state().directives, &again.state().directives);
            prop_assert_eq!(reader.state().text(), again.state().text());
            prop_assert_eq!(
                format!("{:?}", reader.state().layout),
                format!("{:?}", again.state().layout)
            );
        }

        #[test]
        fn damaged_lines_are_read_or_refused(
            line in mutated(LINES),
            header in prop::sample::select(LINES),
        ) {
            let mut reader = W3c::default();
            reader.skim(header.as_bytes());
            let _ = read(|line, cx, out| reader.parse(line, cx, out), &line);
        }
    }

    #[test]
    fn a_directive_that_is_cut_marks_no_other_line() {
        let formats = FormatSet::from_definition("w3c").expect("a format");
        let times = TimeReader::new(jiff::tz::TimeZone::UTC, Timestamp(0));
        let mut parser = Parser::new(formats, times, Arc::default());
        let mut batch = EventBatch::default();
        let text = b"#Fields: date time c-ip\n2026-11-20 07:00:10 192.0.2.7\n#Remark: x";
        for (keep_empty, marked) in [(false, [false].as_slice()), (true, &[false, false, true])] {
            parser.keep_empty = keep_empty;
            let text = Text {
                origin: Arc::default(),
                bytes: text.to_vec(),
                from: 40,
                truncated_last: true,
                read_at: Timestamp(1),
            };
            parser.fill(&mut batch, text);
            let cut: Vec<bool> =
                batch.events().map(|event| event.row().malformed.is_some()).collect();
            assert_eq!(marked, cut);
        }
    }

    #[test]
    fn a_definition_says_which_columns_are_in_force() {
        let mut formats = FormatSet::from_definition("auto:w3c").expect("a format");
        assert_eq!("auto:w3c", formats.definition());
        formats
            .skim(b"#Version: 1.0\r\n#Date: 2026-11-20 07:00:00\r\n#Fields: date  time\tc-ip\r\n");
        let told = "auto:w3c#Fields: date time c-ip";
        assert_eq!(told, formats.definition());
        let again = FormatSet::from_definition(told).expect("what it says itself");
        assert_eq!(told, again.definition());
        // Other formats have no use for it.
        for definition in
            ["regex:(?P<remote_addr>#Fields)", "written:$remote_addr #Fields: $status"]
        {
            let formats = FormatSet::from_definition(definition).expect("a format");
            assert_eq!(definition, formats.definition());
        }
        assert!(FormatSet::from_definition("combined#Fields: date").is_err());
    }

    #[test]
    fn a_line_with_names_of_columns_tells_the_format_and_other_comments_do_not() {
        let mut times = TimeReader::new(jiff::tz::TimeZone::UTC, Timestamp(0));
        let combined =
            "192.0.2.7 - - [20/Nov/2026:07:00:06 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"";
        let fields = format!("#Fields: {IIS}");
        let line = "2026-11-20 07:00:10 10.2.2.2 GET / - 80 - 192.0.2.7 a - 200 0 0 15";
        for (sample, expected) in [
            (format!("{line}\n{line}\n{fields}\n"), "auto:w3c"),
            (format!("{fields}\n{line}\n{combined}\n{line}\n"), "auto:w3c"),
            (format!("{fields}\n"), "auto:w3c"),
            (format!("# a comment\n# another\n{combined}\n"), "auto:combined"),
            (format!("{fields}\n{combined}\n"), "auto:combined"),
            ("# a comment\n".to_owned(), "auto:combined"),
            (format!("{line}\n"), "auto:combined"),
        ] {
            assert_eq!(expected, detect(sample.as_bytes(), &mut times), "{sample}");
        }
    }

    #[test]
    fn a_line_of_another_format_is_read_by_it_and_changes_nothing() {
        let mut formats = FormatSet::from_definition("auto:combined").expect("a format");
        formats.skim(b"#Fields: date time c-ip\n");
        assert_eq!("auto:combined", formats.definition());
        let state = FormatSet::from_definition("w3c#Fields: date time c-ip").expect("a format");
        formats.set_state(&state.state());
        assert_eq!("auto:combined", formats.definition());
    }
}
