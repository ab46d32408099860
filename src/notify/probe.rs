//! `notify test`: sends one test mail and tells each step of its way.

use super::content::MailContext;
use super::mail::render_test;
use super::smtp::{SendError, Step};
use super::transport::{Receipt, Transport};
use crate::io::Chance;
use crate::units::Timestamp;

/// Sends a test mail the way alert mails go, and calls `report` for each step as it happens; after
/// a failed step the others are reported as skipped.
///
/// The receipt names the recipients that were refused while others were not.
pub async fn notify_test(
    transport: &Transport,
    context: &MailContext,
    now: Timestamp,
    chance: &mut dyn Chance,
    report: &mut (dyn FnMut(Step) + Send),
) -> Result<Receipt, SendError> {
    let mail = render_test(context, now, chance.next_u64());
    transport.send_reporting(&mail, &[], report).await
}

#[cfg(test)]
mod tests;
