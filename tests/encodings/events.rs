//! Events to be written: lines of real formats, and rows filled with any bytes.

use std::fs;
use std::sync::Arc;

use gatewatch::engine::batch::{EventBatch, Origin, Writer};
use gatewatch::engine::enrich::Enricher;
use gatewatch::engine::format::FormatSet;
use gatewatch::engine::memory::Memory;
use gatewatch::engine::parse::{Parser, Text};
use gatewatch::engine::render::{Agent, Encoder, Encoding, Shrink};
use gatewatch::engine::time::TimeReader;
use gatewatch::units::Timestamp;
use jiff::tz::TimeZone;

/// The time of reading: 2026-11-20T07:46:50Z.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_160_810);

/// A file of `tests/golden/encoding/input`, and how it is read.
pub(super) struct Input {
    pub(super) name: &'static str,
    definition: &'static str,
}

pub(super) const INPUTS: &[Input] = &[
    Input {
        name: "site",
        definition: "written:$remote_addr - $remote_user [$time_local] \"$request\" $status \
                     $body_bytes_sent \"$http_referer\" \"$http_user_agent\" \
                     \"$http_x_forwarded_for\" $request_time $scheme $host $server_port",
    },
    Input { name: "nginx_error", definition: "nginx_error" },
    Input { name: "auth", definition: "auth" },
];

impl Input {
    pub(super) fn batch(&self) -> EventBatch {
        let path = super::folder().join("input").join(format!("{}.log", self.name));
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let formats = FormatSet::from_definition(self.definition).expect("a format that compiles");
        let times = TimeReader::new(TimeZone::UTC, NOW);
        let mut enricher = Enricher::default();
        enricher.trusted_proxies.push("2001:db8::/32".parse().expect("a network"));
        let mut parser = Parser::new(formats, times, Arc::new(enricher));
        parser.keep_empty = true;
        let mut batch = EventBatch::default();
        let origin = Arc::new(origin());
        let text = Text { origin, bytes: text, from: 0, truncated_last: false, read_at: NOW };
        parser.fill(&mut batch, text);
        Memory::default().complete(&mut batch, parser.format_name());
        batch
    }
}

pub(super) fn origin() -> Origin {
    Origin {
        source: "web1:nginx-access".to_owned(),
        path: "/var/log/nginx/access.log".to_owned(),
        site: "www.example.org".to_owned(),
        host: "web1.example.org".to_owned(),
        ..Origin::default()
    }
}

pub(super) fn encoder(encoding: Encoding) -> Encoder {
    let agent = Agent {
        version: "0.0.0".to_owned(),
        id: "00000000-0000-4000-8000-000000000000".to_owned(),
        name: "web1.example.org".to_owned(),
    };
    Encoder::new(encoding, &agent, false)
}

/// A batch of one event.
pub(super) fn made(line: &[u8], fill: impl FnOnce(&mut Writer<'_>)) -> EventBatch {
    let mut batch = EventBatch::default();
    batch.refill(Arc::new(origin()), line.to_vec());
    let (raw, mut writer) = batch.open();
    writer.set_line(raw);
    writer.row.time = NOW;
    fill(&mut writer);
    writer.finish();
    batch
}

/// All records of all events of `batch`.
pub(super) fn records(encoder: &Encoder, batch: &EventBatch, shrink: Shrink) -> Vec<String> {
    let encoder = encoder.open(&batch.origin);
    let mut records = Vec::new();
    for event in batch.events() {
        for record in encoder.records(&event) {
            let mut line = b"before".to_vec();
            encoder.render_shrunk(&record, NOW, shrink, &mut line);
            let line = String::from_utf8(line).expect("records are UTF-8");
            records.push(line.strip_prefix("before").expect("what was there stays").to_owned());
        }
    }
    records
}
