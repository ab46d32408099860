//! How fast each stage of the engine is, alone: lines and bytes a second on one core.
//!
//! `cargo bench` runs all, `cargo bench -- parse` those whose name holds `parse`. Whole programs,
//! ours and others, are compared by `benches/compare`.

use std::path::Path;
use std::sync::Arc;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use gatewatch::engine::batch::EventBatch;
use gatewatch::engine::detect::sigma::Collection;
use gatewatch::engine::detect::{Detectors, Limits, rule};
use gatewatch::engine::enrich::Enricher;
use gatewatch::engine::format::FormatSet;
use gatewatch::engine::parse::{Parser, Text};
use gatewatch::engine::render::otlp::{Form, OtlpEncoder, Piece};
use gatewatch::engine::render::{Agent, ENCODINGS, Encoder, Encoding, Shrink};
use gatewatch::engine::rhythm::{Budget, Hour, SLOTS, Series};
use gatewatch::engine::tally::{Tally, TallyLimits};
use gatewatch::engine::time::TimeReader;
use gatewatch::sample::{Attack, AttackKind, AuthLog, Traffic, TrafficConfig};
use gatewatch::source::LineBlocks;
use gatewatch::store::{Commit, Frame, Store};
use gatewatch::units::{Period, Timestamp};
use jiff::tz::TimeZone;

/// Enough lines that caches see the variety of a day, few enough that a round is short.
const LINES: u64 = 40_000;
const CLIENTS: u32 = 8_000;
const START: Timestamp = Timestamp::from_secs(1_794_787_200);
const SEED: u64 = 7;

/// Lines that one core's cache holds: what the commands hand to a parser at a time.
const TEXT_BYTES: usize = 256 << 10;

const MAX_LINE_BYTES: usize = 64 << 10;

/// 15 variables, as sites that measure their upstreams log them.
const LONG_FORMAT: &str = "written:$remote_addr - $remote_user [$time_local] \"$request\" $status \
     $body_bytes_sent \"$http_referer\" \"$http_user_agent\" $request_time \
     $upstream_response_time $upstream_addr $host $request_length $ssl_protocol $connection";

fn main() {
    divan::main();
}

fn config() -> TrafficConfig {
    TrafficConfig {
        seed: SEED,
        start: START,
        length: Period::from_secs(7 * 86_400),
        lines: LINES,
        clients: CLIENTS,
        attacks: Vec::new(),
    }
}

fn combined(config: &TrafficConfig) -> Vec<u8> {
    let (mut log, mut traffic) = (Vec::new(), Traffic::new(config));
    while traffic.next_line(&mut log) {}
    log
}

fn auth() -> Vec<u8> {
    let (mut log, mut auth) = (Vec::new(), AuthLog::new(&config()));
    while auth.next_line(&mut log) {}
    log
}

/// The lines of `log`, each changed by `write`.
fn rewritten(log: &[u8], mut write: impl FnMut(usize, &[u8], &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, line) in log.split(|byte| *byte == b'\n').enumerate() {
        if !line.is_empty() {
            write(number, line, &mut out);
            out.push(b'\n');
        }
    }
    out
}

/// Combined lines with six more columns: the lines of [`LONG_FORMAT`].
fn long_lines() -> Vec<u8> {
    rewritten(&combined(&config()), |number, line, out| {
        out.extend_from_slice(line);
        let (ms, connection) = (number % 900, 7 * number);
        let rest = format!(
            " 0.{ms:03} 0.{ms:03} 127.0.0.1:3000 www.example.org {} TLSv1.3 {connection}",
            300 + number % 400
        );
        out.extend_from_slice(rest.as_bytes());
    })
}

fn nginx_error() -> Vec<u8> {
    const MESSAGES: [&str; 3] = [
        "open() \"/srv/www/shop\" failed (2: No such file or directory)",
        "user \"member017\": password mismatch",
        "connect() failed (111: Connection refused) while connecting to upstream",
    ];
    rewritten(&combined(&config()), |number, line, out| {
        let client = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let (minute, second) = (number / 60 % 60, number % 60);
        let text = format!(
            "2026/11/20 07:{minute:02}:{second:02} [error] 26486#26487: *{number} {}, client: {}, \
             server: www.example.org, request: \"GET /news/ HTTP/1.1\", host: \"www.example.org\"",
            MESSAGES[number % MESSAGES.len()],
            String::from_utf8_lossy(client),
        );
        out.extend_from_slice(text.as_bytes());
    })
}

/// A log in blocks of whole lines, as the commands read it.
fn texts(log: &[u8]) -> Vec<Text> {
    let mut blocks = LineBlocks::new(log, Path::new("sample.log"), TEXT_BYTES, MAX_LINE_BYTES);
    let mut texts = Vec::new();
    while let Some(block) = blocks.next_block(Vec::new()).expect("memory can be read") {
        texts.push(Text {
            origin: Arc::default(),
            bytes: block.bytes,
            from: block.from,
            truncated_last: block.truncated_last,
            read_at: START,
        });
    }
    texts
}

fn parser(format: &str) -> Parser {
    let formats = FormatSet::from_definition(format).expect("a known format");
    let times = TimeReader::new(TimeZone::UTC, START);
    Parser::new(formats, times, Arc::new(Enricher::default()))
}

fn batches(format: &str, log: &[u8]) -> Vec<EventBatch> {
    let mut parser = parser(format);
    let parsed = texts(log).into_iter().map(|text| {
        let mut batch = EventBatch::default();
        parser.fill(&mut batch, text);
        batch
    });
    parsed.collect()
}

/// A bencher that reports the lines and bytes of `log`.
fn counted<'a, 'b>(bencher: Bencher<'a, 'b>, log: &[u8]) -> Bencher<'a, 'b> {
    let lines = log.iter().filter(|byte| **byte == b'\n').count();
    bencher.counter(ItemsCount::new(lines)).counter(BytesCount::new(log.len()))
}

/// Parses `log`, and then hands each batch to `then`.
fn bench_parse(
    bencher: Bencher<'_, '_>,
    format: &str,
    log: &[u8],
    mut then: impl FnMut(&EventBatch),
) {
    let texts = texts(log);
    let mut parser = parser(format);
    let mut batch = EventBatch::default();
    for text in &texts {
        parser.fill(&mut batch, text.clone());
    }
    let misses: u64 = parser.misses().iter().sum();
    assert!(misses * 1000 < LINES, "{misses} lines are not of the format {format}");
    let mut buffer = Vec::new();
    counted(bencher, log).bench_local(|| {
        for text in &texts {
            // The commands read into the buffer of an earlier batch; a copy stands in for that.
            buffer.clear();
            buffer.extend_from_slice(&text.bytes);
            let text =
                Text { origin: Arc::clone(&text.origin), bytes: buffer.split_off(0), ..*text };
            buffer = parser.fill(&mut batch, text);
            then(black_box(&batch));
        }
    });
}

#[divan::bench]
fn cut(bencher: Bencher<'_, '_>) {
    let log = combined(&config());
    counted(bencher, &log).bench_local(|| {
        let mut blocks =
            LineBlocks::new(log.as_slice(), Path::new("sample.log"), TEXT_BYTES, MAX_LINE_BYTES);
        let mut buffer = Vec::new();
        while let Some(block) = blocks.next_block(buffer).expect("memory can be read") {
            buffer = black_box(block).bytes;
        }
    });
}

#[divan::bench]
fn parse_combined(bencher: Bencher<'_, '_>) {
    bench_parse(bencher, "combined", &combined(&config()), |_| ());
}

#[divan::bench]
fn parse_log_format_of_15_variables(bencher: Bencher<'_, '_>) {
    bench_parse(bencher, LONG_FORMAT, &long_lines(), |_| ());
}

#[divan::bench]
fn parse_nginx_error(bencher: Bencher<'_, '_>) {
    bench_parse(bencher, "nginx_error", &nginx_error(), |_| ());
}

#[divan::bench]
fn parse_sshd(bencher: Bencher<'_, '_>) {
    bench_parse(bencher, "auth", &auth(), |_| ());
}

#[divan::bench]
fn parse_and_tally(bencher: Bencher<'_, '_>) {
    let mut tally = Tally::new(TallyLimits::scan(SEED));
    bench_parse(bencher, "combined", &combined(&config()), |batch| tally.add(batch));
}

/// The rules of the pack over parsed events: an ordinary week, and one full of attacks.
#[divan::bench(args = [false, true])]
fn detect(bencher: Bencher<'_, '_>, attacked: bool) {
    let hours = (0u64..).map(|n| Period::from_secs((9 + 12 * n) * 3600));
    let attacks = AttackKind::ALL.into_iter().zip(hours);
    let attacks = attacks.map(|(kind, after)| Attack { kind, at: START.plus(after) });
    let attacks = if attacked { attacks.collect() } else { Vec::new() };
    let log = combined(&TrafficConfig { attacks, ..config() });
    let batches = batches("combined", &log);
    counted(bencher, &log)
        .with_inputs(|| Detectors::new(rule::builtin(), Limits::new(SEED)))
        .bench_local_values(|mut detectors| {
            let mut alerts = Vec::new();
            for batch in &batches {
                detectors.see(batch, START.plus(Period::from_secs(30 * 86_400)), &mut alerts);
            }
            (detectors, alerts)
        });
}

/// Sigma rules as they are published, of all kinds, on top of the pack: each line is read once
/// whatever their number.
#[divan::bench(args = [0, 5, 500])]
fn detect_sigma(bencher: Bencher<'_, '_>, count: usize) {
    let log = combined(&config());
    let batches = batches("combined", &log);
    let mut rules = rule::builtin();
    let mut collection = Collection::default();
    (0..count).for_each(|number| collection.read("bench.yml", &sigma_rule(number)));
    rules.extend(collection.compile().alert_rules());
    counted(bencher, &log)
        .with_inputs(|| Detectors::new(rules.clone(), Limits::new(SEED)))
        .bench_local_values(|mut detectors| {
            let mut alerts = Vec::new();
            for batch in &batches {
                detectors.see(batch, START.plus(Period::from_secs(30 * 86_400)), &mut alerts);
            }
            (detectors, alerts)
        });
}

/// One of several shapes, with texts of its own.
fn sigma_rule(number: usize) -> String {
    let n = number * 7919 % 10_007;
    let detection = match number % 8 {
        0 => {
            format!("s: {{cs-method: POST, cs-uri-query|contains: ['/app{n}/run.jsp', 'cmd{n}=']}}")
        }
        1 => format!("s: {{cs-uri-stem|endswith: '/shell{n}.php', sc-status: 200}}"),
        2 => format!("s: {{cs-uri-query|contains|all: ['/api/v{n}', 'token', '%2e%2e']}}"),
        3 => format!("s: {{cs-user-agent|contains: ['scan{n}', 'probe-{n}/', 'x{n}bot']}}"),
        4 => format!("s: ['${{jndi{n}:', 'union{n} select', 'sleep({n})', '/etc/pass{n}']"),
        5 => format!("s: {{cs-uri-query: '*/portal{n}/*.do?id=*', cs-method: GET}}"),
        6 => format!("s: {{cs-uri-query|re: 'login{n}.*(?:exec|eval)[0-9]+'}}"),
        _ => format!("s: {{cs-referer|contains: 'evil{n}.example', cs-user-agent: null}}"),
    };
    format!(
        "title: Rule {number}\nid: bench-{number}\nlogsource: {{category: webserver}}\n\
         detection:\n  {detection}\n  condition: s\nlevel: high\n"
    )
}

#[divan::bench(args = ENCODINGS.iter().map(|entry| entry.name))]
fn render(bencher: Bencher<'_, '_>, encoding: &str) {
    let log = combined(&config());
    let batches = batches("combined", &log);
    let encoding = Encoding::from_name(encoding).expect("a name of the table");
    let encoder = Encoder::new(encoding, &Agent::default(), false);
    let mut out = Vec::new();
    counted(bencher, &log).bench_local(|| {
        for batch in &batches {
            let encoder = encoder.open(batch.event(0).origin());
            out.clear();
            for event in batch.events() {
                for record in encoder.records(&event) {
                    encoder.render(&record, START, &mut out);
                    out.push(b'\n');
                }
            }
            black_box(&out);
        }
    });
}

/// Compression, and one durable transaction for all of it. Few rounds, for the store grows.
/// Log records in requests of 512, as the OTLP sink makes them before it packs them.
#[divan::bench(args = [false, true])]
fn otlp(bencher: Bencher<'_, '_>, json: bool) {
    let log = combined(&config());
    let batches = batches("combined", &log);
    let agent = Agent::default();
    let form = if json { Form::Json } else { Form::Protobuf };
    let encoder = Encoder::new(Encoding::OtlpJson, &agent, true);
    let encoder = OtlpEncoder::new(form, encoder, &agent, &[]);
    counted(bencher, &log).bench(|| {
        let (mut pieces, mut ends, mut request) = (Vec::new(), Vec::new(), Vec::new());
        for batch in &batches {
            let opened = encoder.encoder().open(&batch.origin);
            for event in batch.events() {
                for record in opened.records(&event) {
                    encoder.event(&opened, &record, START, Shrink::NONE, &mut pieces);
                    ends.push(pieces.len());
                }
                if ends.len() < 512 {
                    continue;
                }
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let made = starts.zip(&ends).map(|(start, end)| Piece::of(&pieces[start..*end]));
                request.clear();
                encoder.assemble(made, &mut request);
                black_box(&request);
                pieces.clear();
                ends.clear();
            }
        }
    });
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn store_commit(bencher: Bencher<'_, '_>) {
    let log = combined(&config());
    let folder = tempfile::tempdir().expect("a folder for the store");
    let mut store = Store::open(folder.path()).expect("a new store");
    let frame = |text: Text| Frame {
        source: "sample".to_owned(),
        from: text.from,
        to: text.from + text.bytes.len() as u64,
        bytes: text.bytes,
        ..Frame::default()
    };
    let frames: Vec<Frame> = texts(&log).into_iter().map(frame).collect();
    counted(bencher, &log).bench_local(|| {
        let commit = Commit { frames: &frames, ..Commit::default() };
        store.commit(&commit, START).expect("room for the frames")
    });
}

/// One hour of one series: judged in six ways, and learnt.
#[divan::bench]
fn rhythm_hour(bencher: Bencher<'_, '_>) {
    let (mut series, mut number) = (Series::default(), 400_000);
    let mut next = || {
        number += 1;
        let slot = number as usize % SLOTS;
        let count = 40 + 37 * (slot as u64 % 24) + u64::from(number).wrapping_mul(SEED) % 29;
        let hour = Hour { number, slot, is_holiday: false };
        series.observe(hour, count, Budget::per_week(0.1))
    };
    (0..5 * SLOTS).for_each(|_| _ = next());
    bencher.bench_local(|| black_box(next()));
}
