//! The archive as a whole: what was written is found again, whatever happens in between.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use jiff::tz::TimeZone;
use parquet::arrow::ArrowWriter;
use twox_hash::XxHash64;

use super::*;
use crate::engine::batch::{EventBatch, Origin};
use crate::engine::enrich::Enricher;
use crate::engine::format::FormatSet;
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::io::{Chance as _, Seeded};
use crate::units::{ByteSize, Period, Timestamp, civil_from_days};

/// Friday, 20 November 2026, 08:00 UTC.
const NOW: Timestamp = Timestamp::from_secs(1_795_161_600);
const TODAY: DayNumber = 20_777;
const DAY: u64 = 86_400;

/// A line of an access log.
#[derive(Clone, Debug)]
struct Line {
    at: Timestamp,
    client: String,
    path: String,
    status: u16,
}

impl Line {
    fn new(at: Timestamp, client: &str, path: &str, status: u16) -> Self {
        Self { at, client: client.to_owned(), path: path.to_owned(), status }
    }

    fn text(&self) -> String {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let seconds = self.at.secs();
        let (year, month, day) = civil_from_days((seconds / DAY) as i64);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        format!(
            "{} - alice [{day:02}/{}/{year}:{hour:02}:{minute:02}:{second:02} +0000] \
             \"GET {} HTTP/1.1\" {} 512 \"-\" \"curl/8.5.0\"\n",
            self.client,
            MONTHS[month as usize - 1],
            self.path,
            self.status
        )
    }
}

/// An archive in a folder of its own.
struct Bench {
    dir: tempfile::TempDir,
    archive: Archive,
    parser: Parser,
    /// Where the next line stands in its file.
    offset: u64,
}

impl Bench {
    fn new() -> Self {
        Self::with(&HistoryConfig::default())
    }

    fn with(config: &HistoryConfig) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let archive = Archive::new(&dir.path().join("history"), config);
        let formats = FormatSet::from_definition("combined").expect("a format");
        let times = TimeReader::new(TimeZone::UTC, Timestamp(0));
        let parser = Parser::new(formats, times, Arc::new(Enricher::default()));
        Self { dir, archive, parser, offset: 0 }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("history")
    }

    fn history(&self) -> History {
        History::new(&self.root())
    }

    fn batch(&mut self, text: String) -> EventBatch {
        let mut batch = EventBatch::default();
        let origin = Origin { path: "/var/log/access.log".to_owned(), ..Origin::default() };
        let from = self.offset;
        self.offset += text.len() as u64;
        self.parser.fill(
            &mut batch,
            Text {
                origin: Arc::new(origin),
                bytes: text.into_bytes(),
                from,
                truncated_last: false,
                read_at: NOW,
            },
        );
        batch
    }

    /// Adds lines that stand one behind the other in their file.
    fn add(&mut self, lines: &[Line]) {
        let text = lines.iter().map(Line::text).collect();
        let batch = self.batch(text);
        self.archive.add(&batch, NOW);
    }

    fn publish(&mut self) -> Published {
        self.archive.publish(|| Ok(())).expect("published")
    }

    fn write(&mut self, lines: &[Line]) -> Published {
        self.add(lines);
        self.publish()
    }

    /// The files of the archive, sorted.
    fn parts(&self) -> Vec<PathBuf> {
        let mut parts = Vec::new();
        for folder in fs::read_dir(self.root()).expect("the archive") {
            let folder = folder.expect("an entry").path();
            let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
            if name.starts_with("date=") {
                let files = fs::read_dir(folder).expect("a day");
                parts.extend(files.map(|file| file.expect("an entry").path()));
            }
        }
        parts.sort();
        parts
    }

    /// Time, client, path and status of what `filter` finds, in its order.
    fn find(&self, filter: &Filter) -> Vec<(Timestamp, String, String, i64)> {
        let columns = [TIME, CLIENT, PATH, STATUS];
        let scan = self.history().scan(filter, &columns, Order::Time, || Ok(None));
        let mut found = Vec::new();
        for page in scan.expect("a scan") {
            let page = page.expect("a page");
            for row in 0..page.len() {
                let text = |column| page.text(column, row).unwrap_or_default().to_owned();
                found.push((
                    page.time(0, row).expect("a time"),
                    text(1),
                    text(2),
                    page.number(3, row).expect("a status"),
                ));
            }
        }
        found
    }

    fn paths(&self, filter: &Filter) -> Vec<String> {
        self.find(filter).into_iter().map(|found| found.2).collect()
    }

    fn damage(&self) -> Vec<Damage> {
        let mut scan = self.history().rows(None, None, &[ID]).expect("a scan");
        scan.by_ref().for_each(|page| drop(page.expect("a page")));
        scan.damage()
    }

    /// Every event is there once.
    #[track_caller]
    fn check_ids(&self, expected: u64) {
        let (count, twice) = repeated_ids(&self.history()).expect("a scan");
        assert_eq!(Vec::<String>::new(), twice);
        assert_eq!(expected, count);
    }
}

/// Lines over some days, a few seconds apart.
fn lines(count: u64, from: Timestamp, step: u64) -> Vec<Line> {
    let line = |n: u64| {
        let at = from.plus(Period::from_secs(n * step));
        let status = [200, 200, 304, 404, 500][(n % 5) as usize];
        Line::new(at, &format!("203.0.113.{}", n % 50), &format!("/page/{}", n % 97), status)
    };
    (0..count).map(line).collect()
}

fn with(condition: Condition) -> Filter {
    Filter { conditions: vec![condition], ..Filter::default() }
}

#[test]
fn what_was_written_is_read_again_sorted_and_in_the_folder_of_its_day() {
    let mut bench = Bench::new();
    let late = Line::new(NOW.minus(Period::from_secs(DAY)), "2001:db8::1", "/late?a=1", 200);
    let published = bench.write(&[
        Line::new(NOW, "203.0.113.7", "/b", 404),
        Line::new(NOW.minus(Period::from_secs(60)), "203.0.113.8", "/a", 200),
        late,
    ]);
    assert_eq!(Published { events: 3, known: 0, parts: 2 }, published);
    assert_eq!(["/late", "/a", "/b"].map(str::to_owned).to_vec(), bench.paths(&Filter::default()));
    let names = bench.parts().iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    assert!(names[0].contains("/date=2026-11-19/part-T080000-"), "{names:?}");
    assert!(names[1].contains("/date=2026-11-20/part-T075900-"), "{names:?}");
    let all: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let page = bench.history().rows(None, None, &all).expect("a scan").next().expect("a row");
    let page = page.expect("a page");
    let cell = |name: &str| {
        let place = all.iter().position(|column| *column == name).expect("a column");
        page.cell(place, 0)
    };
    assert_eq!(Some(CellValue::Text("2001:db8::1")), cell(CLIENT));
    assert_eq!(Some(CellValue::Text("a=1")), cell("url.query"));
    assert_eq!(Some(CellValue::Text("nginx.access")), cell("event.dataset"));
    assert_eq!(Some(CellValue::Text("/var/log/access.log")), cell("log.file.path"));
    assert_eq!(Some(CellValue::Text("curl/8.5.0")), cell("user_agent.original"));
    assert_eq!(Some(CellValue::Number(1)), cell("event.count"));
    assert_eq!(None, cell("event.original"));
}

#[test]
fn a_line_that_cannot_be_read_is_kept_as_it_is_and_secrets_are_not() {
    let mut bench = Bench::new();
    let batch = bench.batch("no log line \u{1b}[31m at all ?token=geheim\n".to_owned());
    bench.archive.add(&batch, NOW);
    bench.publish();
    let scan = bench.history().rows(None, None, &["event.original", "event.kind"]);
    let page = scan.expect("a scan").next().expect("a row").expect("a page");
    assert_eq!(Some("no log line \u{1b}[31m at all ?token=***"), page.text(0, 0));
    assert_eq!(Some("pipeline_error"), page.text(1, 0));
}

#[test]
fn events_that_are_there_already_are_left_out() {
    let mut bench = Bench::new();
    let lines = lines(500, NOW.minus(Period::from_secs(DAY)), 400);
    assert_eq!(500, bench.write(&lines).events);
    bench.offset = 0;
    let again = bench.write(&lines[..300]);
    assert_eq!(Published { events: 0, known: 300, parts: 0 }, again);
    // The same lines further on in the file are other events.
    bench.write(&lines[..10]);
    // Twice in one go.
    let before = bench.offset;
    bench.add(&lines[..5]);
    bench.offset = before;
    bench.add(&lines[..5]);
    assert_eq!(5, bench.publish().known);
    bench.check_ids(515);
}

#[test]
fn a_search_finds_what_a_look_at_each_line_finds() {
    let mut chance = Seeded::new(7);
    let mut bench = Bench::new();
    let from = NOW.minus(Period::from_secs(3 * DAY));
    let mut all = Vec::new();
    for _ in 0..6 {
        let start = from.plus(Period::from_secs(chance.next_u64() % (2 * DAY)));
        let some = lines(700, start, 1 + chance.next_u64() % 90);
        bench.write(&some);
        all.extend(some);
    }
    bench.archive.compact(NOW).expect("joined");
    let network: ipnet::IpNet = "203.0.113.0/29".parse().expect("a network");
    let words = Words::new("PAGE/9").expect("short");
    type Test<'t> = Box<dyn Fn(&Line) -> bool + 't>;
    let cases: Vec<(Condition, Test<'_>)> = vec![
        (Condition::Is(CLIENT, "203.0.113.7".to_owned()), Box::new(|l| l.client == "203.0.113.7")),
        (Condition::Is(CLIENT, "198.51.100.1".to_owned()), Box::new(|_| false)),
        (Condition::Status(500..=599), Box::new(|l| l.status == 500)),
        (
            Condition::Like(PATH, Pattern::new("/page/1*")),
            Box::new(|l| l.path.starts_with("/page/1")),
        ),
        (Condition::Like(PATH, Pattern::new("*7")), Box::new(|l| l.path.ends_with('7'))),
        (Condition::Words(words), Box::new(|l| l.path.contains("page/9"))),
        (
            Condition::Network(network),
            Box::new(move |l| {
                network.contains(&l.client.parse::<std::net::IpAddr>().expect("one"))
            }),
        ),
    ];
    let spans = [(None, None), (Some(NOW.minus(Period::from_secs(2 * DAY))), Some(NOW))];
    for (condition, test) in cases {
        for (from, until) in spans {
            let filter = Filter { from, until, conditions: vec![condition.clone()] };
            let mut expected: Vec<_> = all
                .iter()
                .filter(|line| from.is_none_or(|from| from <= line.at))
                .filter(|line| until.is_none_or(|until| line.at < until) && test(line))
                .map(|l| (l.at, l.client.clone(), l.path.clone(), i64::from(l.status)))
                .collect();
            let mut found = bench.find(&filter);
            assert!(found.is_sorted_by_key(|found| found.0), "{condition:?}");
            expected.sort();
            found.sort();
            assert_eq!(expected, found, "{condition:?}");
        }
    }
}

#[test]
fn rows_that_are_not_archived_are_found_beside_those_that_are() {
    let mut bench = Bench::new();
    bench.write(&[Line::new(NOW, "203.0.113.7", "/old", 404)]);
    let text = Line::new(NOW.plus(Period::from_secs(1)), "203.0.113.7", "/new", 404).text()
        + &Line::new(NOW.plus(Period::from_secs(2)), "203.0.113.7", "/other", 200).text();
    let batch = bench.batch(text);
    for order in [Order::Time, Order::Any] {
        let mut rows = rows::Rows::new(false);
        rows.push(&batch, NOW);
        let beside: Beside = Box::new(std::iter::once(rows.take()));
        let filter = with(Condition::Status(404..=404));
        let scan = bench.history().scan(&filter, &[PATH], order, || Ok(Some(beside)));
        let mut found = Vec::new();
        for page in scan.expect("a scan") {
            let page = page.expect("a page");
            found.extend((0..page.len()).map(|row| page.text(0, row).expect("a path").to_owned()));
        }
        assert_eq!(["/old", "/new"].map(str::to_owned).to_vec(), found, "{order:?}");
    }
}

#[test]
fn parts_of_a_day_that_is_over_become_one() {
    let mut bench = Bench::new();
    let yesterday = Timestamp::from_secs((TODAY - 1) * DAY);
    // Parts that overlap: two logs of the same hours.
    for n in 0..6 {
        bench.write(&lines(300, yesterday.plus(Period::from_secs(n * 1800)), 60));
    }
    bench.write(&lines(10, NOW, 1));
    let before = bench.find(&Filter::default());
    assert_eq!(7, bench.parts().len());
    while bench.archive.compact(NOW).expect("joined") {}
    assert_eq!(2, bench.parts().len());
    let after = bench.find(&Filter::default());
    assert!(after.is_sorted_by_key(|found| found.0));
    let sorted = |mut rows: Vec<_>| {
        rows.sort();
        rows
    };
    assert_eq!(sorted(before), sorted(after));
    bench.check_ids(1810);
    assert_eq!(0, fs::read_dir(bench.root().join(".work")).expect("listed").count());
}

#[test]
fn many_small_parts_of_the_present_day_become_one() {
    let mut bench = Bench::new();
    for n in 0..24 {
        bench.write(&lines(5, NOW.plus(Period::from_secs(n)), 1));
    }
    assert_eq!(24, bench.parts().len());
    while bench.archive.compact(NOW.plus(Period::from_secs(60))).expect("joined") {}
    assert_eq!(1, bench.parts().len());
    bench.check_ids(120);
}

#[test]
fn what_is_older_than_it_shall_be_goes_and_nothing_else() {
    let keep = Period::from_secs(3 * DAY);
    let mut bench = Bench::with(&HistoryConfig { keep, ..HistoryConfig::default() });
    for days in 0..6 {
        bench.write(&lines(10, NOW.minus(Period::from_secs(days * DAY)), 1));
    }
    let removed = bench.archive.retain(NOW).expect("removed");
    assert_eq!((2, Some(TODAY - 4), false), (removed.parts, removed.until, removed.early));
    assert_eq!(4, bench.parts().len());
    assert_eq!(Removed::default(), bench.archive.retain(NOW).expect("removed"));
    assert_eq!(Some(TODAY - 3), bench.archive.extent().expect("known").oldest);
}

#[test]
fn the_oldest_go_first_when_there_is_no_room() {
    let size = ByteSize(1 << 20);
    let mut bench =
        Bench::with(&HistoryConfig { max_size: Some(size), ..HistoryConfig::default() });
    let mut early = false;
    for days in (0..30).rev() {
        let day = NOW.minus(Period::from_secs(days * DAY));
        bench.write(&lines(5000, day, 1));
        early |= bench.archive.retain(NOW).expect("removed").early;
        assert!(bench.archive.extent().expect("known").bytes <= size.0);
    }
    assert!(early, "everything fits");
    let newest = bench.find(&Filter::of_time(Some(NOW), None));
    assert_eq!(5000, newest.len());
}

#[test]
fn a_truncated_part_costs_its_own_events_only_and_is_set_aside() {
    let mut bench = Bench::new();
    bench.write(&lines(50, NOW.minus(Period::from_secs(2 * DAY)), 1));
    bench.write(&lines(50, NOW.minus(Period::from_secs(DAY)), 1));
    let part = bench.parts()[1].clone();
    let bytes = fs::read(&part).expect("read");
    fs::write(&part, &bytes[..bytes.len() / 2]).expect("cut");
    assert_eq!(50, bench.paths(&Filter::default()).len());
    let damage = bench.damage();
    assert_eq!(vec![part.clone()], damage.iter().map(|it| it.path.clone()).collect::<Vec<_>>());
    // Whoever writes the same day meets it.
    bench.write(&lines(10, NOW.minus(Period::from_secs(DAY - 10)), 1));
    assert_eq!(1, bench.archive.take_damaged().len());
    assert_eq!(1, bench.archive.extent().expect("known").aside);
    assert!(!part.exists());
    assert_eq!(Vec::<Damage>::new(), bench.damage());
    bench.check_ids(60);
}

#[test]
fn no_flipped_byte_stops_a_scan_and_none_is_carried_on() {
    let mut bench = Bench::new();
    let yesterday = NOW.minus(Period::from_secs(DAY));
    bench.write(&lines(400, yesterday, 1));
    bench.write(&lines(100, yesterday.plus(Period::from_secs(1000)), 1));
    let part = bench.parts()[0].clone();
    let whole = fs::read(&part).expect("read");
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&part, &bytes).expect("flipped");
        // Whatever that does, it ends, and the other part is read.
        assert!(100 <= bench.paths(&Filter::default()).len(), "byte {at}");
    }
    while bench.archive.compact(NOW).expect("joined") {}
    assert_eq!(1, bench.archive.take_damaged().len());
    bench.check_ids(100);
}

#[test]
fn a_part_that_is_gone_is_missed_by_nobody() {
    let mut bench = Bench::new();
    bench.write(&lines(50, NOW.minus(Period::from_secs(DAY)), 1));
    bench.write(&lines(50, NOW, 1));
    fs::remove_file(&bench.parts()[0]).expect("deleted");
    assert_eq!(50, bench.paths(&Filter::default()).len());
    bench.archive.compact(NOW).expect("nothing to do");
    bench.archive.retain(NOW).expect("nothing to do");
    bench.check_ids(50);
}

#[test]
fn a_part_of_an_older_version_lacks_columns_and_is_read() {
    let mut bench = Bench::new();
    bench.write(&[Line::new(NOW, "203.0.113.7", "/new", 200)]);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = vec![
        Field::new(TIME, time, false),
        Field::new(ID, DataType::Utf8, false),
        Field::new("gone.since", DataType::Utf8, true),
        Field::new(CLIENT, DataType::Utf8, true),
    ];
    let second = NOW.minus(Period::from_secs(1)).0 as i64 / 1000;
    let columns: Vec<arrow_array::ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![second]).with_timezone("UTC")),
        Arc::new(StringArray::from(vec!["01M7VYQZQ8MYGD1BN6DYFEBQMQ"])),
        Arc::new(StringArray::from(vec!["x"])),
        Arc::new(StringArray::from(vec!["203.0.113.9"])),
    ];
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a row");
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, rows.schema(), None).expect("a writer");
    writer.write(&rows).expect("written");
    writer.close().expect("closed");
    let name = files::part_name(Timestamp(second as u64 * 1000), XxHash64::oneshot(0, &file));
    fs::write(bench.root().join("date=2026-11-20").join(name), file).expect("written");

    let clients: BTreeSet<String> = {
        let scan = bench.history().rows(None, None, &[CLIENT, STATUS]).expect("a scan");
        let pages = scan.map(|page| page.expect("a page")).collect::<Vec<_>>();
        let rows = pages.iter().flat_map(|page| (0..page.len()).map(move |row| (page, row)));
        rows.map(|(page, row)| format!("{:?} {:?}", page.text(0, row), page.number(1, row)))
            .collect()
    };
    let expected = ["Some(\"203.0.113.7\") Some(200)", "Some(\"203.0.113.9\") None"];
    assert_eq!(expected.map(str::to_owned).into_iter().collect::<BTreeSet<_>>(), clients);
    assert_eq!(1, bench.paths(&with(Condition::Status(200..=200))).len());
    assert_eq!(Vec::<Damage>::new(), bench.damage());
    bench.archive.compact(NOW.plus(Period::from_secs(2 * DAY))).expect("joined");
    assert_eq!(1, bench.parts().len());
    bench.check_ids(2);
}

#[test]
fn the_schema_is_the_one_that_was_published() {
    let text: String =
        COLUMNS.iter().map(|column| format!("{} {}\n", column.name, column.type_name())).collect();
    let golden = include_str!("../../tests/golden/history/schema_1.txt");
    assert_eq!(golden, text, "a column was changed: that is version {}", SCHEMA_VERSION + 1);
}
