//! What people read: the report of `scan` on a terminal, and the weekly report by mail.
//!
//! ```text
//!  Tally, alerts of a scan ──▶ terminal ──▶ text            (page: layout, escape: hostile text)
//!                         └──▶ json
//!  hours, alerts of the store ──▶ week ──▶ text, html, JSON ──▶ mail
//!                       compliance ─┤                        └──▶ csv
//!                                  ▲
//!                     schedule ── days: which week is due
//! ```
//!
//! Everything here is pure: data in, bytes out. The figures of the weekly report are decided once,
//! in [`week`]; its three forms only show them, so they cannot disagree.
//!
//! Invariant: text of the log leaves only through an escape of its output: [`page`] for terminals
//! and plain text, the template engine for HTML, [`json`] for programs.

pub mod figures;
pub mod page;

pub mod days;
pub mod incident;
pub mod top;

pub mod compliance;
pub mod config;
pub mod schedule;

pub mod csv;
pub mod json;
pub mod terminal;

pub mod quality;
pub mod verdict;
mod build;
pub mod week;

pub mod html;
pub mod mail;
pub mod pdf;
pub mod text;

#[cfg(test)]
mod fixture;

pub use compliance::{Compliance, ComplianceConfig};
pub use config::{ReportConfig, ReportConfigError};
pub use days::{Days, DaysError, Week};
pub use json::{report_json, week_json};
pub use mail::{ReportMail, report_mail};
pub use page::Style;
pub use schedule::{Due, Schedule};
pub use terminal::{ScanReport, ScannedFile};
pub use week::{Health, ReaderHealth, Stretch, WeekInput, WeekReport};
