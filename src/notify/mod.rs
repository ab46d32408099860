//! Tells people: alert mails an analyst can act on, other channels, and the alert log.
//!
//! ```text
//!  alert ─▶ enqueue ─▶ store's outbox ─▶ Mailer (when, what together) ─▶ content ─▶ page ─▶ mail
//!                                          ▲ Accepted, Failed                                │
//!                                          └───────────── transport: SMTP or a directory ◀───┘
//! ```
//!
//! Invariant: an alert is on its way from the transaction that stored it, is told once as far as
//! anybody can know, and whatever does not leave is kept and said aloud.

mod advice;
mod alert_log;
mod answered;
pub mod blocklist;
pub mod channel;
mod config;
mod content;
mod error;
mod mail;
mod mailer;
mod meter;
mod outbox;
mod page;
mod probe;
#[cfg(test)]
mod samples;
mod smtp;
#[cfg(test)]
mod smtp_server;
mod text;
mod transport;

pub use advice::blockable;
pub use alert_log::{AlertLog, AlertLogLimits};
pub use answered::{hold, people, reminders};
pub use config::{MailConfig, MailProblem, Password};
pub use content::MailContext;
pub use error::MailError;
pub use mail::{
    Letter, RenderedMail, render, render_backfill, render_bundle, render_letter, render_storm,
    render_test,
};
pub use mailer::{Action, Input, Mailer, MailerLimits, Parcel, Pending, Sent};
pub use meter::MailMeter;
pub use outbox::{Dispatcher, Fate, Observer, enqueue, enqueue_letter};
pub use probe::notify_test;
pub use smtp::{Outcome, SendError, Step, StepKind};
pub use transport::{Receipt, Transport};
