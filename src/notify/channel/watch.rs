//! Tells the other channels when alert mails do not leave, and when they leave again.
//!
//! Invariant: one message when mail has failed for five minutes, one when it works again, also over
//! restarts: what was told is kept in the store.

use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use super::config::ChannelConfig;
use crate::engine::detect::{Alert, AlertState, RuleInfo, Severity};
use crate::engine::text::hex;
use crate::notify::text::safe;
use crate::store::{OutboxCounts, StoreError, StoreReader};
use crate::units::{Period, Timestamp};

/// How long mail may fail before others are told.
const PATIENCE: Period = Period::from_secs(300);

/// Its name among the readers of the store.
const READER: &str = "mail-watch";

/// The rule that the alert names.
const RULE: &str = "ops.mail.down";

/// Whether mail is down, for channels that repeat what is open.
#[derive(Clone, Debug, Default)]
pub struct MailState(Arc<Mutex<Option<Alert>>>);

impl MailState {
    /// The alert about it, while it is.
    pub(super) fn down(&self) -> Option<Alert> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, alert: Option<Alert>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = alert;
    }
}

/// Watches the outbox of mail.
#[derive(Debug)]
pub struct MailWatch {
    channels: Vec<ChannelConfig>,
    state: MailState,
}

impl MailWatch {
    /// Goes on with what the store says was told.
    pub fn new(channels: &[ChannelConfig], reader: &StoreReader) -> Result<Self, StoreError> {
        let state = MailState::default();
        let kept = reader.cursor(READER)?.map(|cursor| cursor.state).unwrap_or_default();
        state.set(serde_json::from_str(&kept).ok());
        Ok(Self { channels: channels.to_vec(), state })
    }

    /// What the couriers see of it.
    pub fn state(&self) -> MailState {
        self.state.clone()
    }

    /// Looks at the counts of mail; true when there is something to tell.
    pub fn look(
        &self,
        counts: &OutboxCounts,
        reader: &StoreReader,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let oldest = counts.oldest_waiting.filter(|oldest| oldest.plus(PATIENCE) < now);
        let failing = oldest.zip(counts.failed_last.as_deref());
        let alert = match (self.state.down(), failing) {
            (None, Some((since, reason))) => down(since, reason, now),
            (Some(told), None) => over(&told, now),
            _ => return Ok(false),
        };
        for channel in &self.channels {
            // Who reads it is told in any case; a program only if it was to hear of such things.
            if channel.kind.entry().for_people || channel.chooses(RULE) {
                reader.outbox_add(&channel.message(&alert, now), now)?;
            }
        }
        let standing = (alert.state == AlertState::Firing).then_some(alert);
        let kept = standing.as_ref().map(|alert| serde_json::to_string(alert).expect("JSON"));
        reader.save_cursor(READER, reader.last_seq()?, &kept.unwrap_or_default(), now)?;
        self.state.set(standing);
        Ok(true)
    }
}

fn down(since: Timestamp, reason: &str, now: Timestamp) -> Alert {
    let advice = [
        "Until it is mended, alerts come by this and the other channels only.",
        "`gatewatch notify test` says at which step mail stops, and what helps.",
    ];
    let summary = format!("Mail has failed for more than 5 minutes: {}", safe(reason, 300));
    own_alert(RULE, "Alert mails do not leave", Severity::High, summary, &advice, since, now)
}

/// An alert about this program itself.
pub(super) fn own_alert(
    rule: &str,
    title: &str,
    severity: Severity,
    summary: String,
    advice: &[&str],
    since: Timestamp,
    now: Timestamp,
) -> Alert {
    // The same trouble has the same id, also when a crash forgets that it was told.
    let id = digest(&SHA256, format!("{rule}\0{}", since.0).as_bytes());
    Alert {
        id: hex(&id.as_ref()[..16]),
        state: AlertState::Firing,
        rule: RuleInfo {
            id: rule.to_owned(),
            version: 1,
            title: title.to_owned(),
            category: "ops".to_owned(),
            attack: Vec::new(),
            advice: advice.iter().map(|step| (*step).to_owned()).collect(),
        },
        severity,
        at: now,
        summary,
        count: 1,
        threshold: 1,
        window: PATIENCE,
        first_event: since,
        last_event: now,
        ..Alert::default()
    }
}

fn over(told: &Alert, now: Timestamp) -> Alert {
    Alert {
        state: AlertState::Resolved,
        at: now,
        last_event: now,
        summary: "Alert mails leave again.".to_owned(),
        ..told.clone()
    }
}
