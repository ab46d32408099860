//! How the lines of a source are read: as configured, until they tell more.

use jiff::tz::TimeZone;

use crate::config::definition;
use crate::engine::format::Miss;
use crate::source::SourceConfig;
use crate::units::Timestamp;

/// How a source's lines are read.
#[derive(Debug)]
pub(super) struct SourceFormat {
    pub(super) name: String,
    pub(super) definition: String,
    /// The format was named in the configuration.
    pub(super) fixed: bool,
    pub(super) zone: String,
    pub(super) site: String,
    /// Lines that the choice rests on.
    pub(super) seen: usize,
}

impl SourceFormat {
    pub(super) fn new(source: &SourceConfig, host: &str) -> Self {
        let machine = TimeZone::system();
        let machine = machine.iana_name().unwrap_or("UTC");
        Self {
            name: source.id().to_owned(),
            definition: definition(source),
            fixed: source.log_format.is_some()
                || !source.fields.is_empty()
                || source.format.0 != "auto"
                || source.is_journal(),
            zone: source.timezone.clone().unwrap_or_else(|| machine.to_owned()),
            site: source.site.clone().unwrap_or_else(|| host.to_owned()),
            seen: 0,
        }
    }
}

/// What was read of one source since the last commit.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) lines: u64,
    pub(super) bytes: u64,
    pub(super) last_event: Option<Timestamp>,
    pub(super) misses: [u64; Miss::ALL.len()],
}
