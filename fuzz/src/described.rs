//! A format that somebody describes, in the first line, and lines of it: nginx's `log_format`,
//! Apache's `LogFormat`, or a regular expression where the first line begins with `~`.

#![no_main]

mod events;

use gatewatch::engine::format::FormatSet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let Ok(description) = std::str::from_utf8(&bytes[..at]) else { return };
    let definition = match description.strip_prefix('~') {
        Some(pattern) => format!("regex:{pattern}"),
        None => format!("written:{description}"),
    };
    let Ok(formats) = FormatSet::from_definition(&definition) else { return };
    events::read(formats, bytes.get(at + 1..).unwrap_or_default());
});
