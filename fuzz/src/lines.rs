//! Any bytes as the lines of one format: that of `GATEWATCH_FORMAT`, a name of the table or `auto`,
//! which finds the format out first.

#![no_main]

mod events;

use std::sync::LazyLock;

use gatewatch::engine::format::{FormatSet, detect};
use gatewatch::engine::time::TimeReader;
use gatewatch::units::Timestamp;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

/// The format; none where it has to be found out.
static FORMATS: LazyLock<Option<FormatSet>> = LazyLock::new(|| {
    let name = std::env::var("GATEWATCH_FORMAT").expect("GATEWATCH_FORMAT names a format");
    (name != "auto").then(|| FormatSet::from_definition(&name).expect("a format of the table"))
});

fuzz_target!(|bytes: &[u8]| {
    let formats = FORMATS.clone().unwrap_or_else(|| {
        let mut times = TimeReader::new(TimeZone::UTC, Timestamp::from_secs(1_795_176_000));
        let definition = detect(bytes, &mut times);
        FormatSet::from_definition(&definition).expect("what was detected exists")
    });
    events::read(formats, bytes);
});
