//! The operator's last resort: a regular expression with named groups.
//!
//! A group is named as the nginx variable of the same meaning: `remote_addr`, `remote_user`,
//! `time_local`, `request`, `status`, `http_user_agent`, …

use regex::bytes::{CaptureLocations, Regex, RegexBuilder};

use super::capture::{Applier, Capture, Escape};
use super::{Context, Miss, nginx};
use crate::engine::batch::{Module, Stamp, Writer};

/// The name of the format in its events.
pub(super) const NAME: &str = "regex";

/// Compiled size limit of one expression, in bytes; the default of the library.
const SIZE_LIMIT: usize = 10 << 20;

/// A compiled expression with the meaning of each group.
#[derive(Clone, Debug)]
pub struct RegexFormat {
    regex: Regex,
    locations: CaptureLocations,
    captures: Vec<(usize, Capture)>,
}

impl RegexFormat {
    /// Compiles `pattern`; the complaint completes "bad pattern: …".
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(pattern)
            .unicode(false)
            .size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| error.to_string())?;
        let mut captures = Vec::new();
        for (index, name) in regex.capture_names().enumerate() {
            if let Some(name) = name {
                captures.push((index, nginx::meaning(name)?));
            }
        }
        if captures.is_empty() {
            return Err("it has no named group such as `(?P<remote_addr>\\S+)`".to_owned());
        }
        let locations = regex.capture_locations();
        Ok(Self { regex, locations, captures })
    }

    pub(super) fn captures(&self) -> usize {
        self.captures.len()
    }

    pub(super) fn parse(
        &mut self,
        line: &[u8],
        cx: &mut Context<'_>,
        out: &mut Writer<'_>,
    ) -> Result<(), Miss> {
        let Self { regex, locations, captures } = self;
        regex.captures_read(locations, line).ok_or(Miss::Shape)?;
        let applier = Applier {
            escape: Escape::Default,
            module: Module::App,
            stamp: Stamp::End,
            client_is_address: false,
        };
        for (index, capture) in captures {
            if let Some((start, end)) = locations.get(*index) {
                applier.apply(capture, &line[start..end], true, cx, out)?;
            }
        }
        out.row.format = NAME;
        out.row.module = Module::App;
        Ok(())
    }
}
