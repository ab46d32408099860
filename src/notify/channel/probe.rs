//! `notify test --channel`: a sample through one channel, and what `check` asks of its files.

use std::path::{Path, PathBuf};

use super::Failure;
use super::config::ChannelConfig;
use super::post::{self, Post};
use super::told::Matter;
use super::watch::own_alert;
use crate::engine::detect::{Alert, AlertState, Severity};
use crate::notify::MailContext;
use crate::units::Timestamp;

/// Sends a sample, and its end where it would stay open at the receiver's. The answer is what the
/// receiver said, the error why it was not taken.
pub async fn test_channel(
    config: &ChannelConfig,
    credentials: Option<PathBuf>,
    context: MailContext,
    now: Timestamp,
) -> Result<String, String> {
    let words = |failure: Failure| failure.words().to_owned();
    let mut post = Post::new(config, credentials, context);
    let firing = sample(now);
    let answer = post.send(Matter::Alert(&firing), now).await.map_err(words)?;
    if config.kind.entry().closes {
        let over = Alert { state: AlertState::Resolved, ..firing };
        post.send(Matter::Alert(&over), now).await.map_err(words)?;
    }
    Ok(answer)
}

/// What is wrong with the files that a channel needs, if anything; connects to nobody.
pub fn channel_problem(
    config: &ChannelConfig,
    credentials: Option<&Path>,
    now: Timestamp,
) -> Result<(), String> {
    post::ready(config, credentials, now)
}

fn sample(now: Timestamp) -> Alert {
    let advice = ["Nothing happened; there is nothing to do."];
    let title = "Test of an alert channel";
    let summary = "This is a test: gatewatch can tell alerts here.".to_owned();
    own_alert("gatewatch.test", title, Severity::Info, summary, &advice, now, now)
}
