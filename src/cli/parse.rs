//! `gatewatch parse`: log lines to JSON events.

use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;

use super::files;
use super::input::InputArgs;
use super::output::Output;
use crate::engine::render::ecs::{Agent, Ecs, Profile};

/// How much of an event is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Amount {
    /// Everything that is known.
    #[default]
    Full,
    /// About half of it: what most searches need.
    Compact,
}

/// Turns log lines into JSON events (Elastic Common Schema 8.11), one for each line, in order.
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
    /// How much of each event
    #[arg(long, value_enum, default_value_t)]
    profile: Amount,
    /// Each event carries its raw line
    #[arg(long)]
    keep_original: bool,
    /// Show passwords and tokens in queries, instead of ***
    #[arg(long)]
    show_secrets: bool,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let mut plan = args.input.plan()?;
    plan.keep_empty = true;
    let profile = match args.profile {
        Amount::Full => Profile::Full,
        Amount::Compact => Profile::Compact,
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let agent = Agent { version, id: String::new(), name: plan.host.clone() };
    let ecs = Ecs::new(profile, &agent, args.keep_original).showing_secrets(args.show_secrets);
    let now = plan.now;
    let mut out = Output::new();
    let done = files::read(
        &plan,
        &Arc::new(args.input.enricher()?),
        || (),
        |(), batch| {
            let mut text = Vec::with_capacity(batch.bytes().len() * 6);
            let encoder = ecs.open(&batch.origin);
            for event in batch.events() {
                encoder.render(&event, now, &mut text);
                text.push(b'\n');
            }
            text
        },
        |done| out.write(&done.made),
        |_| (),
    )?;
    out.flush()?;
    Ok(done.code)
}
