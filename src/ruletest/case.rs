//! The first step: from a test file to checked tests. All mistakes are told at once, each with file,
//! line, key, reason and fix.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::expect::Expected;
use super::script::{Entry, EventSet, Script, Start, What};
use super::template::Values;
use crate::config::{Problem, line_of};
use crate::engine::detect::LATENESS;
use crate::engine::enrich::Roster;
use crate::engine::feed::{Builder, Feed, FeedConfig, FeedSet, PlainReader};
use crate::engine::format::FormatSet;
use crate::units::{Period, Timestamp, nearest};

/// What a test is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The rule fires.
    Fires,
    /// The rule is silent, and one more event of the same would fire it.
    Below,
    /// The rule is silent about what looks like its business and is none.
    Benign,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Fires, Self::Below, Self::Benign];

    /// The word in test files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fires => "fires",
            Self::Below => "below",
            Self::Benign => "benign",
        }
    }
}

/// One test, checked.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file, as it was named.
    pub file: String,
    /// The line of its head in the file.
    pub line: usize,
    /// The id of the rule that is tested.
    pub rule: String,
    /// One line for people.
    pub name: String,
    /// What it is for.
    pub kind: Option<Kind>,
    /// When the first event may come.
    pub(super) clock: Timestamp,
    pub(super) script: Script,
    /// How long nothing comes after the last event.
    pub(super) quiet: Option<Period>,
    pub(super) expect: Vec<Expected>,
    /// Who should log in.
    pub(super) roster: Option<Arc<Roster>>,
    /// What its lines are held against, if it says so.
    pub(super) indicators: Option<FeedSet>,
    pub(super) shuffle: Option<Period>,
    pub(super) restart_at_event: Option<usize>,
    pub(super) alone: bool,
    pub(super) nothing_else: bool,
}

/// A Thursday evening, when members log in.
const CLOCK: Timestamp = Timestamp::from_secs(1_795_111_200);

/// Events of one test.
pub(super) const EVENTS_MAX: u64 = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTest {
    rule: String,
    name: String,
    kind: Option<Kind>,
    clock: Option<Moment>,
    format: Option<Spanned<String>>,
    lines: Option<Spanned<String>>,
    #[serde(default)]
    events: Vec<Spanned<RawEntry>>,
    quiet: Option<Period>,
    roster: Option<Vec<String>>,
    indicators: Option<Vec<String>>,
    expect: Vec<Expected>,
    shuffle: Option<Spanned<Period>>,
    restart_at_event: Option<usize>,
    clock_jump: Option<RawJump>,
    #[serde(default)]
    alone: bool,
    #[serde(default)]
    nothing_else: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    #[serde(default = "one")]
    repeat: u64,
    every: Option<Period>,
    start: Option<Period>,
    after: Option<Period>,
    set: Option<EventSet>,
    line: Option<Values>,
    format: Option<String>,
    source: Option<String>,
}

fn one() -> u64 {
    1
}

/// From the event `at_event` on, the stamps in the lines are off by this.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJump {
    at_event: usize,
    by: Shift,
}

/// A period, forwards or (with `-` in front) backwards.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub(super) struct Shift(pub(super) i64);

impl TryFrom<String> for Shift {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let period = text.trim_start_matches(['-', '+']);
        let period: Period =
            period.parse().map_err(|error: crate::units::UnitError| error.to_string())?;
        let ms = i64::try_from(period.ms()).map_err(|_| format!("`{text}` is too long"))?;
        Ok(Self(if text.starts_with('-') { -ms } else { ms }))
    }
}

/// A moment as RFC 3339 writes it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
struct Moment(Timestamp);

impl TryFrom<toml::Value> for Moment {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let text = match value {
            toml::Value::Datetime(moment) => moment.to_string(),
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        let moment: Result<jiff::Timestamp, _> = text.parse();
        let ms = moment.ok().and_then(|moment| u64::try_from(moment.as_millisecond()).ok());
        let wrong = || format!("`{text}` is no moment; write one such as 2026-11-19T18:00:00Z");
        ms.map(|ms| Self(Timestamp::from_ms(ms))).ok_or_else(wrong)
    }
}

/// Reads the `text` of a test file: the tests that are sound, and what is wrong with the others.
pub fn read(file: &Path, text: &str) -> (Vec<Case>, Vec<Problem>) {
    let (mut cases, mut problems) = (Vec::new(), Vec::new());
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        problems.push(Problem::of_toml(&error, "").in_file(file, text, at));
    }
    for (key, value) in table.into_inner() {
        let at = value.span().start;
        let items = match (key.get_ref().as_ref(), value.into_inner()) {
            ("test", DeValue::Array(items)) => items,
            ("test", _) => {
                let problem = Problem::new("test", "it is no list", "write it as [[test]]");
                problems.push(problem.in_file(file, text, at));
                continue;
            }
            (other, _) => {
                let hint = "a test file holds [[test]] only; rules go into a file of their own";
                let problem = Problem::new(other, "there is no such section", hint);
                problems.push(problem.in_file(file, text, key.span().start));
                continue;
            }
        };
        for (index, item) in items.into_iter().enumerate() {
            let mut reader = Reader { file, text, at: item.span().start, index, problems: vec![] };
            cases.extend(reader.case(item));
            problems.append(&mut reader.problems);
        }
    }
    (cases, problems)
}

/// Reads one test.
struct Reader<'t> {
    file: &'t Path,
    text: &'t str,
    /// Where the test begins.
    at: usize,
    index: usize,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn complain(&mut self, at: usize, key: &str, reason: impl Into<String>, hint: &str) {
        let key = format!("test[{}].{key}", self.index);
        let problem = Problem::new(&key, reason, hint);
        self.problems.push(problem.in_file(self.file, self.text, at));
    }

    fn case(&mut self, item: Spanned<DeValue<'_>>) -> Option<Case> {
        let raw = match RawTest::deserialize(ValueDeserializer::from(item)) {
            Ok(raw) => raw,
            Err(error) => {
                let at = error.span().map_or(self.at, |span| span.start);
                let problem = Problem::of_toml(&error, &format!("test[{}]", self.index));
                self.problems.push(problem.in_file(self.file, self.text, at));
                return None;
            }
        };
        self.check(&raw);
        let script = self.script(&raw)?;
        let roster = self.roster(&raw);
        let indicators = self.indicators(&raw);
        let case = Case {
            file: self.file.display().to_string(),
            line: line_of(self.text, self.at),
            rule: raw.rule,
            name: raw.name,
            kind: raw.kind,
            clock: raw.clock.map_or(CLOCK, |moment| moment.0),
            script,
            quiet: raw.quiet,
            expect: raw.expect,
            roster,
            indicators,
            shuffle: raw.shuffle.map(Spanned::into_inner),
            restart_at_event: raw.restart_at_event,
            alone: raw.alone,
            nothing_else: raw.nothing_else,
        };
        self.problems.is_empty().then_some(case)
    }

    /// What cannot be meant.
    fn check(&mut self, raw: &RawTest) {
        let at = self.at;
        if let Some(shuffle) = &raw.shuffle {
            if LATENESS < *shuffle.get_ref() {
                let reason = format!("lines later than {LATENESS} are late: rules do not wait");
                self.complain(shuffle.span().start, "shuffle", reason, "write less");
            }
            if raw.expect.iter().any(|one| one.at_event.is_some()) {
                let hint = "leave `at_event` out of `expect`, or write a test of each";
                self.complain(shuffle.span().start, "shuffle", "which event fires changes", hint);
            }
        }
        let is_about_it = |one: &Expected| one.rule.as_ref().is_none_or(|id| *id == raw.rule);
        let has_own = raw.expect.iter().any(|one| is_about_it(one) && one.count != 0);
        match raw.kind {
            Some(Kind::Fires) if !has_own => {
                let hint = "say in `expect` what fires, or name another kind";
                self.complain(at, "kind", "`fires`, and no alert is expected", hint);
            }
            Some(Kind::Below | Kind::Benign) if has_own => {
                self.complain(at, "kind", "an alert is expected", "write kind = \"fires\"");
            }
            _ => (),
        }
        if raw.alone && raw.expect.iter().any(|one| !is_about_it(one)) {
            let hint = "leave out `alone`, or the other rule in `expect`";
            self.complain(at, "alone", "no other rule runs", hint);
        }
    }

    fn roster(&mut self, raw: &RawTest) -> Option<Arc<Roster>> {
        let quoted = |name: &String| format!("\"{}\"\n", name.replace('"', "\"\""));
        let names = raw.roster.as_ref()?.iter().map(quoted);
        let text: String = std::iter::once("user\n".to_owned()).chain(names).collect();
        match Roster::read(text.as_bytes()) {
            Ok(roster) => Some(Arc::new(roster)),
            Err(error) => {
                self.complain(self.at, "roster", error.to_string(), "");
                None
            }
        }
    }

    fn indicators(&mut self, raw: &RawTest) -> Option<FeedSet> {
        let settings: FeedConfig = toml::from_str("path = \"list\"").expect("sound settings");
        let as_of = raw.clock.as_ref().map_or(CLOCK, |moment| moment.0);
        let mut list = Builder::new(&settings, as_of, 0);
        let mut reader = PlainReader::default();
        for line in raw.indicators.as_ref()? {
            reader.line(line.as_bytes(), &mut list);
        }
        let read = list.finish(&settings).map_err(|error| error.to_string());
        let sound = |feed: Feed| match feed.report().complaint() {
            None => Ok(FeedSet::new(vec![Arc::new(feed)])),
            Some(complaint) => Err(complaint),
        };
        let complain = |reason| {
            let hint = "addresses, networks, domains, URLs, paths, agents";
            self.complain(self.at, "indicators", reason, hint);
        };
        read.and_then(sound).map_err(complain).ok()
    }

    fn script(&mut self, raw: &RawTest) -> Option<Script> {
        if let Some(lines) = &raw.lines {
            return self.lines(raw, lines);
        }
        if raw.events.is_empty() {
            self.complain(self.at, "events", "there is nothing to see", "add `events` or `lines`");
        }
        if let Some(format) = &raw.format {
            let hint = "entries of `events` have a `format` of their own, for `line`";
            self.complain(format.span().start, "format", "it goes with `lines`", hint);
        }
        let mut entries = Vec::new();
        for (index, entry) in raw.events.iter().enumerate() {
            entries.extend(self.entry(index, entry));
        }
        let total = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.repeat));
        if EVENTS_MAX < total {
            let reason = format!("{total} events; at most {EVENTS_MAX}");
            self.complain(self.at, "events", reason, "");
        }
        let jump = raw.clock_jump.map(|jump| (jump.at_event, jump.by));
        Some(Script::Events { entries, jump })
    }

    fn lines(&mut self, raw: &RawTest, lines: &Spanned<String>) -> Option<Script> {
        let at = lines.span().start;
        if !raw.events.is_empty() {
            self.complain(at, "lines", "there are `events`, too", "write a test of each");
        }
        if raw.clock_jump.is_some() {
            self.complain(at, "clock_jump", "it goes with `events`", "write other times");
        }
        let format = raw.format.as_ref().map_or("auto", |format| format.get_ref().as_str());
        if format != "auto"
            && let Err(error) = FormatSet::from_definition(format)
        {
            self.complain(at, "format", error.to_string(), "");
        }
        let text = lines.get_ref();
        let text = if text.contains('\n') {
            text.clone()
        } else {
            let path = self.file.parent().unwrap_or_else(|| Path::new("")).join(text);
            match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => {
                    let reason = format!("{}: {error}", path.display());
                    let hint = "name a file beside this one, or write lines in \"\"\"";
                    self.complain(at, "lines", reason, hint);
                    return None;
                }
            }
        };
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Some(Script::Lines { format: format.to_owned(), lines })
    }

    fn entry(&mut self, index: usize, entry: &Spanned<RawEntry>) -> Option<Entry> {
        let (at, raw) = (entry.span().start, entry.get_ref());
        let before = self.problems.len();
        let key = |name: &str| format!("events[{index}].{name}");
        if !(1..=EVENTS_MAX).contains(&raw.repeat) {
            let reason = format!("it lies between 1 and {EVENTS_MAX}");
            self.complain(at, &key("repeat"), reason, "");
        }
        if 1 < raw.repeat && raw.every.is_none() {
            let hint = "say how long it is from one to the next: every = \"1m\"";
            self.complain(at, &key("every"), "it is missing", hint);
        }
        let what = match (&raw.set, &raw.line) {
            (Some(set), None) => {
                if raw.format.is_some() || raw.source.is_some() {
                    let hint = "the format follows from `set`; `source` goes into `set`";
                    self.complain(at, &key("format"), "it goes with `line`", hint);
                }
                if let Err((name, reason, hint)) = set.check() {
                    self.complain(at, &key(&format!("set.{name}")), reason, hint);
                }
                Some(What::Set(Box::new(set.clone())))
            }
            (None, Some(line)) => {
                let format = raw.format.as_deref().unwrap_or("auto:combined");
                if let Err(error) = FormatSet::from_definition(format) {
                    self.complain(at, &key("format"), error.to_string(), "");
                }
                let source = raw.source.as_deref().unwrap_or("log");
                Some(What::Line(format.to_owned(), source.to_owned(), line.clone()))
            }
            _ => {
                let hint = "write `set` for a generated event, or `line` for one that you write";
                self.complain(at, &key("set"), "it needs one of `set` and `line`", hint);
                None
            }
        };
        let start = match (raw.start, raw.after) {
            (Some(_), Some(_)) => {
                self.complain(at, &key("after"), "there is a `start`, too", "write one of them");
                return None;
            }
            (Some(start), None) => Start::At(start),
            (None, Some(after)) => Start::After(after),
            (None, None) => Start::At(Period::default()),
        };
        let every = raw.every.unwrap_or_default();
        let entry = Entry { repeat: raw.repeat, every, start, what: what? };
        (before == self.problems.len()).then_some(entry)
    }
}

/// A hint for a rule that is none.
pub(super) fn no_rule<'r>(id: &str, known: impl Iterator<Item = &'r str>) -> String {
    match nearest(id, known) {
        Some(near) => format!("`{id}` is no rule; did you mean `{near}`?"),
        None => format!(
            "`{id}` is no rule; `gatewatch rules list` names all of them, and `--rules` adds those of a folder"
        ),
    }
}
