//! `gatewatch siem`: what a receiver would get, and whether it gets there.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Subcommand;

use super::config::ConfigArgs;
use super::input::FormatArgs;
use super::output::{Closed, Output};
use super::parse::encodings;
use super::{Refused, environment, exit, files, reveal};
use crate::config::Config;
use crate::daemon::{Decoder, credentials};
use crate::engine::batch::{Action, EventBatch, Field, Kind, Level, Module, Origin};
use crate::engine::render::event_id::{self, EventId};
use crate::engine::render::{Agent, Encoder, Encoding};
use crate::escape::visible;
use crate::io::{Chance as _, Clock as _, Seeded, SystemClock};
use crate::sink::{AnySink, OtelVariables, Protocol, SinkConfig, SinkContext, SinkKind};
use crate::store::{Seq, StoreReader};
use crate::units::Timestamp;

/// About the receivers of events.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints real events as a receiver would get them: those of log files, or the newest stored
    /// ones
    Preview(Box<PreviewArgs>),
    /// Sends one marked event through each sink the way the daemon does, says how far it came, and
    /// how to find it at the receiver; exit code 69 if one did not get through
    Verify(VerifyArgs),
    /// Tells whom tokens of `[sink.privacy]` stand for, and writes down who asked; exit code 1 if one
    /// is unknown, 77 with a wrong key
    Reveal(reveal::Args),
}

#[derive(Debug, clap::Args)]
struct PreviewArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Log files; without one the newest events of the store
    files: Vec<PathBuf>,
    /// Name of the sink whose messages are shown, with their headers
    #[arg(long, value_name = "NAME", conflicts_with = "encoding")]
    sink: Option<String>,
    /// How events are written, whatever the sinks say
    #[arg(long, value_name = "NAME", value_parser = encodings())]
    encoding: Option<Encoding>,
    /// How many events at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5)]
    limit: usize,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Only the sink of this name
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    match &args.command {
        Command::Preview(args) => preview(args),
        Command::Verify(args) => verify(args),
        Command::Reveal(args) => reveal::run(args),
    }
}

/// How events are shown.
enum Show {
    Encoded(Encoder),
    Sent(Box<AnySink>),
}

impl Show {
    fn of(args: &PreviewArgs, config: &Config) -> Result<Self> {
        let context = context(config);
        if let Some(name) = &args.sink {
            return Self::sent(named(config, name)?, &context);
        }
        match (args.encoding, config.sinks.first()) {
            (None, Some(sink)) => Self::sent(sink, &context),
            (encoding, _) => {
                let encoding = encoding.unwrap_or_default();
                Ok(Self::Encoded(Encoder::new(encoding, &context.agent, false)))
            }
        }
    }

    /// As a sink sends it: its tokens are the real ones, so its key must be there.
    fn sent(config: &SinkConfig, context: &SinkContext) -> Result<Self> {
        let mut config = config.clone();
        if let SinkKind::Otlp(otlp) = &mut config.kind {
            // People cannot read protobuf; it says the same.
            otlp.protocol = Some(Protocol::HttpJson);
        }
        let mut sink = AnySink::new(&config, context);
        sink.ready()?;
        Ok(Self::Sent(Box::new(sink)))
    }

    /// The messages of the first `limit` events, each a line.
    fn show(&mut self, batch: &EventBatch, limit: usize, now: Timestamp) -> Vec<u8> {
        let mut text = Vec::new();
        match self {
            Self::Encoded(encoder) => {
                let encoder = encoder.open(&batch.origin);
                for event in batch.events().take(limit) {
                    for record in encoder.records(&event) {
                        encoder.render(&record, now, &mut text);
                        text.push(b'\n');
                    }
                }
            }
            Self::Sent(sink) => {
                for message in sink.preview(batch, limit, now).messages() {
                    let message = sink.shown(message);
                    let message = message.strip_suffix(b"\n").unwrap_or(&message);
                    text.extend_from_slice(visible(&String::from_utf8_lossy(message)).as_bytes());
                    text.push(b'\n');
                }
            }
        }
        text
    }
}

fn preview(args: &PreviewArgs) -> Result<u8> {
    let config = args.config.load()?;
    let mut show = Show::of(args, &config)?;
    let mut out = Output::new();
    let now = SystemClock.now();
    if args.files.is_empty() {
        let reader = StoreReader::open(&config.store.path).map_err(|error| {
            Refused::no_input(format!(
                "{error}; name a log file instead: gatewatch siem preview /var/log/nginx/access.log"
            ))
        })?;
        let Some(frame) = newest_frame(&reader)? else {
            return Err(Refused::no_input("the store holds no lines; name a log file instead"));
        };
        let mut batch = EventBatch::default();
        Decoder::new(Arc::new(config.enricher())).decode(&frame, &mut batch);
        out.write(&show.show(&batch, args.limit, frame.received))?;
        out.flush()?;
        return Ok(exit::OK);
    }
    let plan = args.format.plan(&args.files, 1)?;
    let mut left = args.limit;
    let read = files::read(
        &plan,
        &Arc::new(args.format.enricher()?),
        || (),
        |(), batch| batch.clone(),
        |done| {
            out.write(&show.show(&done.made, left, now))?;
            left = left.saturating_sub(done.made.len());
            // Enough was seen: the rest need not be read.
            if left == 0 { Err(anyhow::Error::new(Closed)) } else { Ok(()) }
        },
        |_| (),
    );
    out.flush()?;
    match read {
        Ok(done) => Ok(done.code),
        Err(error) if error.is::<Closed>() => Ok(exit::OK),
        Err(error) => Err(error),
    }
}

fn newest_frame(reader: &StoreReader) -> Result<Option<crate::store::Frame>> {
    let last = reader.last_seq()?;
    Ok(reader.frame_after(Seq(last.0.saturating_sub(1)))?.filter(|frame| !frame.damaged))
}

fn verify(args: &VerifyArgs) -> Result<u8> {
    let config = args.config.load()?;
    let sinks: Vec<&SinkConfig> = match &args.sink {
        Some(name) => vec![named(&config, name)?],
        None => config.sinks.iter().collect(),
    };
    if sinks.is_empty() {
        return Err(Refused::config("there is no [[sink]], so there is nothing to verify"));
    }
    let context = context(&config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut out = Output::new();
    let mut failed = false;
    for config in sinks {
        if context.otel.disables(config) {
            out.line(&format!("sink {}: off by OTEL_SDK_DISABLED=true", visible(&config.name())))?;
            continue;
        }
        let now = SystemClock.now();
        let mut sink = AnySink::new(config, &context);
        let (batch, id) = canary(&context.agent.name, now);
        out.line(&format!("sink {} ({})", visible(sink.name()), sink.kind()))?;
        let preview = sink.preview(&batch, 1, now);
        let bytes: usize = preview.messages().map(<[u8]>::len).sum();
        out.line(&format!("ok       written    1 event, {bytes} bytes"))?;
        match runtime.block_on(sink.deliver_once(&batch, now)) {
            Ok(done) if done.rejections.is_empty() && done.rejected == 0 => {
                out.line(&format!("ok       delivered  {}", proof(config)))?;
                out.line(&format!("find it  {}", query(config, &id)))?;
            }
            Ok(done) => {
                failed = true;
                let reason = done.rejections.first().map_or("no reason given", |l| &l.reason);
                out.line(&format!("REFUSED  delivered  {}", visible(reason)))?;
            }
            Err(error) => {
                failed = true;
                out.line(&format!("FAILED   delivered  {}", visible(&error.words())))?;
            }
        }
    }
    out.flush()?;
    Ok(if failed { exit::UNAVAILABLE } else { exit::OK })
}

/// What the success of a sink proves.
fn proof(config: &SinkConfig) -> &'static str {
    match &config.kind {
        SinkKind::Syslog(config) => config.proof(),
        SinkKind::File(_) => "it is on the disk",
        SinkKind::Http(config) => config.proof(),
        SinkKind::Otlp(_) => "the collector took it; look behind it whether it was passed on",
        SinkKind::Exec(_) => "the program has read it; what it did with it is not known",
        SinkKind::Stdout(_) => "it is written; who reads it is not known",
    }
}

/// How to find the canary at the receiver.
fn query(config: &SinkConfig, id: &str) -> String {
    match &config.kind {
        SinkKind::Syslog(_) => format!(
            "search for {id}: on a syslog server grep -r {id} /var/log, in Splunk \"{id}\", in QRadar \
             a filter on the payload, in Sentinel CommonSecurityLog | where ExternalID == \"{id}\""
        ),
        SinkKind::File(config) => format!("grep {id} '{}'", config.path.display()),
        SinkKind::Http(config) => config.query(id),
        SinkKind::Otlp(_) => format!("search for the attribute log.record.uid = \"{id}\""),
        SinkKind::Exec(_) | SinkKind::Stdout(_) => format!("look for {id} where the lines go"),
    }
}

/// One event that nobody takes for a real one, and its id.
fn canary(host: &str, now: Timestamp) -> (EventBatch, String) {
    let mark = format!("{:016x}", Seeded::from_machine().next_u64());
    let line = format!("gatewatch canary {mark}: a test by `gatewatch siem verify`, not an attack");
    let origin = Origin {
        source: "gatewatch-canary".to_owned(),
        fingerprint: event_id::fingerprint(line.as_bytes()),
        host: host.to_owned(),
        site: host.to_owned(),
        ..Origin::default()
    };
    let mut batch = EventBatch::default();
    batch.refill(Arc::new(origin), line.into_bytes());
    let (raw, mut writer) = batch.open();
    writer.set_line(raw);
    writer.row.kind = Kind::ServerError;
    writer.row.module = Module::App;
    writer.row.format = "gatewatch:canary";
    writer.row.action = Action::ServerError;
    writer.row.level = Level::Info;
    writer.row.time = now;
    writer.set(Field::Message, raw);
    writer.finish();
    let id = EventId::new(&batch.origin).of(&batch.event(0));
    (batch, String::from_utf8_lossy(&id).into_owned())
}

fn named<'c>(config: &'c Config, name: &str) -> Result<&'c SinkConfig> {
    config.sinks.iter().find(|sink| sink.name() == name).ok_or_else(|| {
        let known: Vec<String> = config.sinks.iter().map(SinkConfig::name).collect();
        Refused::usage(match known.is_empty() {
            true => "the configuration has no [[sink]]".to_owned(),
            false => format!("there is no sink `{name}`; there are {}", known.join(", ")),
        })
    })
}

fn context(config: &Config) -> SinkContext {
    let name = config.host.name.clone().unwrap_or_else(super::input::host);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    SinkContext {
        agent: Agent { version, id: String::new(), name },
        pid: std::process::id(),
        credentials: credentials(),
        otel: OtelVariables::read(environment),
    }
}
