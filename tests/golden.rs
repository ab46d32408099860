//! What each log format is read as: `tests/golden/format/<format>/<case>/input.log` against the
//! `expected.ndjson` beside it, whole events, byte for byte.
//!
//! The expected events are the specification: `UPDATE_GOLDEN=1 cargo test --test golden` rewrites
//! them, and the diff is what a reviewer reads. A folder is named after its row of `FORMATS`; the
//! folders of [`DESCRIBED`] hold formats that somebody describes, and `auto` holds files whose
//! format is found out. A case that needs more says so in `args`: options as on the command line,
//! one a line.
//!
//! Invariant: nothing of the machine gets in. Agent, host, time of reading and zone are fixed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatewatch::engine::batch::{EventBatch, Kind, Origin};
use gatewatch::engine::enrich::Enricher;
use gatewatch::engine::format::{FORMATS, FormatSet, detect};
use gatewatch::engine::memory::Memory;
use gatewatch::engine::parse::{Parser, Text};
use gatewatch::engine::render::{Agent, Encoder, Encoding};
use gatewatch::engine::time::TimeReader;
use gatewatch::units::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

/// Folders of formats that are no row of the table.
const DESCRIBED: &[&str] = &["apache_custom", "auto", "fields", "nginx_custom", "pattern"];

/// Events that are wrong today: the case, its lines from 1, and what is amiss.
///
/// `expected.ndjson` says what is right, so that the specification is whole. Once a format is
/// mended the test asks for its row to be deleted; an update leaves these lines alone.
const WRONG_TODAY: &[(&str, &[usize], &str)] = &[];

/// The time of reading: 2026-11-20T12:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_795_176_000);

/// How the lines of a case are read.
#[derive(Clone, Debug)]
struct Setting {
    /// As for [`FormatSet::from_definition`]; `auto` where the sample decides.
    definition: String,
    zone: String,
    trusted_proxies: Vec<String>,
    protected: Vec<String>,
    keep_empty: bool,
    /// Signatures speak.
    detect: bool,
    /// The source had to cut the last line.
    truncated_last: bool,
}

impl Setting {
    fn of(format: &str) -> Self {
        Self {
            definition: format.to_owned(),
            zone: "UTC".to_owned(),
            trusted_proxies: Vec::new(),
            protected: Vec::new(),
            keep_empty: false,
            detect: false,
            truncated_last: false,
        }
    }

    /// Reads an `args` file.
    fn read(&mut self, args: &str) {
        for line in args.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            match name {
                "--log-format" => self.definition = format!("written:{value}"),
                "--fields" => self.definition = format!("fields:{}", value.replace(',', "\t")),
                "--pattern" => self.definition = format!("regex:{value}"),
                "--timezone" => self.zone = value.to_owned(),
                "--trusted-proxies" => {
                    self.trusted_proxies = value.split(',').map(str::to_owned).collect();
                }
                "--protected" => {
                    self.protected = value.split(',').map(str::to_owned).collect();
                }
                "--detect" => self.detect = true,
                "--keep-empty" => self.keep_empty = true,
                "--truncated-last" => self.truncated_last = true,
                _ => panic!("`{name}` is no option of a golden case"),
            }
        }
    }

    fn parser(&self, sample: &[u8]) -> Parser {
        let zone = TimeZone::get(&self.zone).expect("a known zone");
        let mut times = TimeReader::new(zone, NOW);
        let definition = match self.definition.as_str() {
            "auto" => detect(sample, &mut times),
            definition => definition.to_owned(),
        };
        let formats = FormatSet::from_definition(&definition).expect("a format that compiles");
        let mut enricher = Enricher::default();
        let proxies =
            self.trusted_proxies.iter().map(|net| net.parse::<ipnet::IpNet>().expect("a network"));
        enricher.trusted_proxies.extend(proxies);
        enricher.logins.protected.clone_from(&self.protected);
        let mut parser = Parser::new(formats, times, Arc::new(enricher));
        parser.keep_empty = self.keep_empty;
        parser
    }
}

/// The events of `blocks`, which follow one another in one file, one JSON object a line.
fn events(setting: &Setting, blocks: &[&[u8]]) -> Vec<String> {
    let origin = Arc::new(Origin {
        source: "golden".to_owned(),
        path: "/var/log/example.log".to_owned(),
        host: "web1.example.org".to_owned(),
        ..Origin::default()
    });
    let agent = Agent {
        version: "0.0.0".to_owned(),
        id: "00000000-0000-4000-8000-000000000000".to_owned(),
        name: "web1.example.org".to_owned(),
    };
    let encoder = Encoder::new(Encoding::Ecs, &agent, false).detecting(setting.detect);
    let mut parser = setting.parser(&blocks.concat());
    let mut batch = EventBatch::default();
    let mut memory = Memory::default();
    let mut from = 0;
    let mut lines = Vec::new();
    for (index, bytes) in blocks.iter().enumerate() {
        let text = Text {
            origin: Arc::clone(&origin),
            bytes: bytes.to_vec(),
            from,
            truncated_last: setting.truncated_last && index + 1 == blocks.len(),
            read_at: NOW,
        };
        parser.fill(&mut batch, text);
        memory.complete(&mut batch, parser.format_name());
        from += bytes.len() as u64;
        for event in batch.events() {
            let mut line = Vec::new();
            encoder.render(&event, NOW, &mut line);
            lines.push(String::from_utf8(line).expect("events are UTF-8"));
        }
    }
    lines
}

/// `text` in pieces of whole lines, with their ends.
fn lines_of(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Nothing stands on the line: a writer that lost its place leaves NUL bytes, which are nothing.
fn is_empty_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.iter().all(|byte| *byte == 0)
}

/// The log speaks of itself, if its format has lines for that.
fn is_directive(setting: &Setting, line: &[u8]) -> bool {
    let nuls = line.iter().take_while(|byte| **byte == 0).count();
    setting.definition.trim_start_matches("auto:") == "w3c" && line[nuls..].starts_with(b"#")
}

/// A line of a batch has one event, parsed or not; so have those that tell nothing where they are
/// kept.
fn expected_count(setting: &Setting, text: &[u8]) -> usize {
    let lines = lines_of(text);
    let tells = |line: &&[u8]| !is_empty_line(line) && !is_directive(setting, line);
    lines.into_iter().filter(|line| setting.keep_empty || tells(line)).count()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format")
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let paths = entries.map(|entry| entry.expect("a readable entry").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Every case: its folder, how it is read, and its input.
fn cases() -> Vec<(PathBuf, Setting, Vec<u8>)> {
    let mut cases = Vec::new();
    for format in folders(&root()) {
        for case in folders(&format) {
            let mut setting = Setting::of(&name_of(&format));
            if let Ok(args) = fs::read_to_string(case.join("args")) {
                setting.read(&args);
            }
            let input = fs::read(case.join("input.log"))
                .unwrap_or_else(|error| panic!("{}/input.log: {error}", case.display()));
            cases.push((case, setting, input));
        }
    }
    cases
}

/// How the events of one case differ from what is expected, one complaint an event.
fn differences(case: &Path, expected: &[&str], actual: &[String]) -> Vec<String> {
    let mut complaints = Vec::new();
    for number in 1..=expected.len().max(actual.len()) {
        let want = expected.get(number - 1).copied().unwrap_or("no event");
        let got = actual.get(number - 1).map_or("no event", String::as_str);
        let place = format!("{}/expected.ndjson:{number}", case.display());
        match (want == got, wrong_today(case, number)) {
            (true, None) | (false, Some(_)) => (),
            (false, None) => {
                complaints.push(format!("{place}\n  expected {want}\n  actual   {got}"));
            }
            (true, Some(amiss)) => complaints.push(format!(
                "{place}\n  is right now; delete it from WRONG_TODAY in tests/golden.rs ({amiss})"
            )),
        }
    }
    complaints
}

/// What is amiss with the event of that line, if it is known to be wrong.
fn wrong_today(case: &Path, number: usize) -> Option<&'static str> {
    let row = WRONG_TODAY
        .iter()
        .find(|(name, numbers, _)| case.ends_with(name) && numbers.contains(&number));
    row.map(|(_, _, amiss)| *amiss)
}

/// The new text of `expected.ndjson`.
fn updated(case: &Path, expected: &[&str], actual: &[String]) -> String {
    let mut text = String::new();
    for (index, line) in actual.iter().enumerate() {
        let kept = expected.get(index).filter(|_| wrong_today(case, index + 1).is_some());
        text.push_str(kept.copied().unwrap_or(line));
        text.push('\n');
    }
    text
}

#[test]
fn every_format_is_read_as_its_golden_events_say() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| !value.is_empty());
    let mut complaints = Vec::new();
    for (case, setting, input) in cases() {
        let actual = events(&setting, &[&input]);
        let path = case.join("expected.ndjson");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let expected: Vec<&str> = text.lines().collect();
        if update {
            fs::write(&path, updated(&case, &expected, &actual)).expect("written");
        } else {
            complaints.extend(differences(&case, &expected, &actual));
        }
    }
    assert!(
        complaints.is_empty(),
        "{} events differ; mend the format, or if the new events are right, run \
         `UPDATE_GOLDEN=1 cargo test --test golden` and review the diff:\n{}",
        complaints.len(),
        complaints.join("\n"),
    );
}

#[test]
fn every_event_known_to_be_wrong_exists() {
    let cases: Vec<(PathBuf, usize)> = cases()
        .into_iter()
        .map(|(case, setting, input)| (case, expected_count(&setting, &input)))
        .collect();
    for (name, numbers, _) in WRONG_TODAY {
        let case = cases.iter().find(|(case, _)| case.ends_with(name));
        let (_, count) = case.unwrap_or_else(|| panic!("WRONG_TODAY: {name} is no case"));
        assert!(numbers.iter().all(|number| (1..=*count).contains(number)), "WRONG_TODAY: {name}");
    }
}

#[test]
fn every_format_has_golden_cases_and_every_folder_a_format() {
    let folders: BTreeSet<String> = folders(&root()).iter().map(|path| name_of(path)).collect();
    let named = FORMATS.iter().map(|entry| entry.name);
    let expected: BTreeSet<String> =
        named.chain(DESCRIBED.iter().copied()).map(str::to_owned).collect();
    assert_eq!(expected, folders, "one folder of tests/golden/format for each row of FORMATS");
}

#[test]
fn each_line_of_a_golden_case_is_one_event() {
    for (case, setting, input) in cases() {
        let actual = events(&setting, &[&input]);
        assert_eq!(expected_count(&setting, &input), actual.len(), "{}", case.display());
        for line in &actual {
            let value: serde_json::Value = serde_json::from_str(line).expect("valid JSON");
            assert!(value.is_object(), "{}: {line}", case.display());
        }
    }
}

#[test]
fn golden_cases_read_the_same_line_by_line() {
    for (case, setting, input) in cases() {
        // What a sample is judged by is the whole of it, so both readings see the same one.
        let whole = events(&setting, &[&input]);
        let apart = events(&setting, &lines_of(&input));
        assert_eq!(whole, apart, "{}", case.display());
    }
}

/// Lines of every format in their setting, to be damaged.
fn seeds() -> Vec<(Setting, Vec<u8>)> {
    let cases = cases().into_iter().filter(|(_, setting, _)| !setting.truncated_last);
    cases.map(|(_, setting, input)| (setting, input)).collect()
}

/// A part of a hostile file.
#[derive(Clone, Debug)]
enum Part {
    /// Any bytes.
    Noise(Vec<u8>),
    /// A line of the seed with some of its bytes replaced.
    Damaged { line: prop::sample::Index, bytes: Vec<(prop::sample::Index, u8)> },
    /// The head of a line of the seed.
    Cut { line: prop::sample::Index, at: prop::sample::Index },
    /// A line end, of any kind.
    End(&'static [u8]),
}

fn part() -> impl Strategy<Value = Part> {
    use prop::collection::vec;
    let index = any::<prop::sample::Index>;
    prop_oneof![
        vec(any::<u8>(), 0..80).prop_map(Part::Noise),
        (index(), vec((index(), any::<u8>()), 0..6))
            .prop_map(|(line, bytes)| Part::Damaged { line, bytes }),
        (index(), index()).prop_map(|(line, at)| Part::Cut { line, at }),
        prop::sample::select(vec![&b"\n"[..], b"\r\n", b"\n\n", b"\0\0\0", b"\n\0\0\n", b"\r"])
            .prop_map(Part::End),
    ]
}

fn assemble(parts: &[Part], seed: &[u8]) -> Vec<u8> {
    let lines = lines_of(seed);
    let mut text = Vec::new();
    for part in parts {
        match part {
            Part::Noise(bytes) => text.extend_from_slice(bytes),
            Part::Damaged { line, bytes } => {
                let mut line = line.get(&lines).to_vec();
                for (at, byte) in bytes {
                    let at = at.index(line.len());
                    line[at] = *byte;
                }
                text.extend_from_slice(&line);
            }
            Part::Cut { line, at } => {
                let line = line.get(&lines);
                text.extend_from_slice(&line[..at.index(line.len() + 1)]);
            }
            Part::End(bytes) => text.extend_from_slice(bytes),
        }
    }
    text
}

/// Cuts `text` behind the line ends that `cuts` choose.
fn in_blocks<'t>(text: &'t [u8], cuts: &[bool]) -> Vec<&'t [u8]> {
    let mut blocks = Vec::new();
    let (mut start, mut end) = (0, 0);
    for (index, line) in lines_of(text).iter().enumerate() {
        end += line.len();
        if cuts.get(index % cuts.len().max(1)).copied().unwrap_or(true) {
            blocks.push(&text[start..end]);
            start = end;
        }
    }
    blocks.push(&text[start..]);
    blocks
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_give_one_event_a_line_however_they_are_cut_into_blocks(
        seed in prop::sample::select(seeds()),
        parts in prop::collection::vec(part(), 0..24),
        cuts in prop::collection::vec(any::<bool>(), 1..8),
        keep_empty in any::<bool>(),
    ) {
        let (mut setting, lines) = seed;
        setting.keep_empty = keep_empty;
        if setting.definition == "auto" {
            setting.definition = "auto:combined".to_owned();
        }
        let text = assemble(&parts, &lines);
        let whole = events(&setting, &[&text]);
        prop_assert_eq!(expected_count(&setting, &text), whole.len());
        for line in &whole {
            // The parser survives its own mistakes; here they are to be seen.
            prop_assert!(!line.contains("internal error while reading this line"), "{}", line);
        }
        let apart = events(&setting, &in_blocks(&text, &cuts));
        prop_assert_eq!(whole, apart);
    }
}

#[test]
fn a_refused_line_keeps_all_its_bytes() {
    let setting = Setting::of("combined");
    let mut parser = setting.parser(b"");
    let mut batch = EventBatch::default();
    let line = b"no \"log\" line \xff\x1b[2J";
    let text = Text {
        origin: Arc::default(),
        bytes: line.to_vec(),
        from: 0,
        truncated_last: false,
        read_at: NOW,
    };
    parser.fill(&mut batch, text);
    assert_eq!(1, batch.len());
    assert_eq!(Kind::ParseFailure, batch.event(0).row().kind);
    assert_eq!(line, batch.event(0).line());
}
