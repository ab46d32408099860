//! gatewatch reads web-server and login logs, and tells people and machines what happened.
//!
//! ```text
//!  files, stdin               one pipeline thread                    readers, each with a cursor
//!  ┌────────┐ Block ┌───────────────────────────────────────┐ Frame ┌─ sink: syslog · file ─▶ SIEM
//!  │ source │──────▶│ cut ─▶ parse ─▶ enrich ─▶ detect ─▶ tally │──────▶├─ notify: outbox ─▶ mail
//!  └────────┘       └──────────────────┬────────────────────┘       └─ serve: /metrics · /healthz
//!                                      ▼ one transaction: frames + positions + alerts + outbox
//!                                  store (SQLite)
//! ```
//!
//! Read the modules in this order; each one imports only modules listed above it, and never one
//! of its own row (`ARCHITECTURE.md` has the table, `tests/tidy.rs` holds the code to it).

pub mod escape;
pub mod units;

pub mod io;

pub mod engine;
pub mod sample;

pub mod store;

pub mod sink;
pub mod source;

pub mod history;
pub mod notify;
pub mod survey;

pub mod backtest;
pub mod report;
pub mod serve;

pub mod config;

pub mod daemon;
pub mod ruletest;

pub mod cli;
