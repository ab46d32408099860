//! `gatewatch parse`: log lines to events, in any encoding.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::files;
use super::input::InputArgs;
use super::output::Output;
use super::rules;
use crate::engine::detect::matcher::LineRules;
use crate::engine::render::{Agent, ENCODINGS, Encoder, Encoding};

/// Turns log lines into events, one for each line, in order; by default as JSON with the names of the
/// Elastic Common Schema.
///
/// A line that cannot be parsed is an event too, with `event.kind` = `pipeline_error` and the line
/// in `event.original`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    gatewatch parse /var/log/nginx/access.log | jq .source.ip\n  \
    gatewatch parse --log-format '$remote_addr [$time_local] \"$request\" $status' app.log")]
pub(super) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// How events are written
    #[arg(long, value_name = "NAME", value_parser = encodings(), default_value = "ecs")]
    encoding: Encoding,
    /// Each event carries its raw line
    #[arg(long)]
    keep_original: bool,
    /// With --detect: each event names the rules that match it; a folder or a file of Sigma's (.yml)
    /// or ours (.toml)
    #[arg(long, value_name = "PATH", requires = "detect")]
    rules: Vec<PathBuf>,
    /// Show passwords and tokens in queries, instead of ***
    #[arg(long)]
    show_secrets: bool,
    /// Say what each event looks like: sqli, xss, scanner … in gatewatch.detections, and the CVE in
    /// vulnerability.id (ecs, ecs_compact)
    #[arg(long)]
    detect: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let mut plan = args.input.plan()?;
    plan.keep_empty = true;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let agent = Agent { version, id: String::new(), name: plan.host.clone() };
    let encoder = Encoder::new(args.encoding, &agent, args.keep_original)
        .showing_secrets(args.show_secrets)
        .detecting(args.detect);
    let now = plan.now;
    let rules = if args.rules.is_empty() { None } else { Some(line_rules(&args.rules)?) };
    let mut out = Output::new();
    if let Some(names) = encoder.entry().header {
        out.write(format!("{names}\n").as_bytes())?;
    }
    let done = files::read(
        &plan,
        &Arc::new(args.input.enricher()?),
        || rules.as_ref().map(LineRules::matcher),
        |matcher, batch| {
            if let (Some(rules), Some(matcher)) = (&rules, matcher) {
                rules.mark(matcher, batch);
            }
            let mut text = Vec::with_capacity(batch.bytes().len() * 6);
            let encoder = encoder.open(&batch.origin);
            for event in batch.events() {
                for record in encoder.records(&event) {
                    encoder.render(&record, now, &mut text);
                    text.push(b'\n');
                }
            }
            text
        },
        |done| out.write(&done.made),
        |_| (),
    )?;
    out.flush()?;
    Ok(done.code)
}

/// The rules of folders and files that one event alone can meet.
fn line_rules(paths: &[PathBuf]) -> Result<LineRules> {
    let folder = rules::read(paths)?;
    Ok(LineRules::new(folder.of_single_events()))
}

/// The names of the table with what they mean.
pub(super) fn encodings() -> impl TypedValueParser<Value = Encoding> {
    let named = ENCODINGS.iter().map(|entry| PossibleValue::new(entry.name).help(entry.summary));
    PossibleValuesParser::new(named)
        .map(|name| Encoding::from_name(&name).expect("only names of the table pass"))
}
