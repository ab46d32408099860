//! Every encoding of events and alerts: what it writes for one shared set of lines, and what must
//! hold for any bytes in any field.
//!
//! The golden files are the specification: `UPDATE_GOLDEN=1 cargo test --test encodings` rewrites
//! them, and the diff is what a reviewer reads.
//!
//! Invariant: what an encoding writes is read back here by small decoders that share no code with it.

#[path = "encodings/alerts.rs"]
mod alerts;
#[path = "encodings/decode.rs"]
mod decode;
#[path = "encodings/ecs.rs"]
mod ecs;
#[path = "encodings/events.rs"]
mod events;
#[path = "encodings/hostile.rs"]
mod hostile;
#[path = "encodings/ocsf.rs"]
mod ocsf;
#[path = "encodings/otlp.rs"]
mod otlp;
#[path = "encodings/readback.rs"]
mod readback;

use std::fs;
use std::path::PathBuf;

use gatewatch::engine::render::{ENCODINGS, EncodingEntry, Shrink};

use self::events::{INPUTS, encoder};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/encoding")
}

/// Compares `actual` with the golden file, or writes it.
#[track_caller]
fn check_golden(entry: &EncodingEntry, name: &str, actual: &str) {
    let path = folder().join(entry.name).join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| !value.is_empty()) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, actual).expect("written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} differs; if the new text is right, run `UPDATE_GOLDEN=1 cargo test --test encodings` \
         and review the diff\n{actual}",
        path.display()
    );
}

#[test]
fn events_are_written_as_the_golden_files_show() {
    for entry in ENCODINGS {
        for input in INPUTS {
            let batch = input.batch();
            let lines = events::records(&encoder(entry.encoding), &batch, Shrink::NONE);
            check_golden(entry, input.name, &(lines.join("\n") + "\n"));
        }
    }
}

#[test]
fn alerts_are_written_as_the_golden_files_show() {
    for entry in ENCODINGS {
        let lines: Vec<String> =
            alerts::alerts().iter().map(|alert| alerts::rendered(entry, alert)).collect();
        check_golden(entry, "alerts", &(lines.join("\n") + "\n"));
    }
}

#[test]
fn every_folder_of_golden_files_is_an_encoding() {
    for entry in fs::read_dir(folder()).expect("a folder") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let known = name == "input" || ENCODINGS.iter().any(|entry| entry.name == name);
        assert!(known, "tests/golden/encoding/{name} belongs to no row of ENCODINGS");
    }
}
