//! Tests of rules: lines or generated events in, alerts out.
//!
//! A test file (`*.test.toml`) lies beside the rules it tests. Generated events are rendered as lines
//! of a log and read by the product's own parser, so that nothing passes by what a real log passes
//! through; the clock is that of the test. The rules that come along have their tests in
//! [`PACK_TESTS`].
//!
//! Invariant: the same test gives the same verdict, on any machine and at any time.

mod bench;
mod case;
mod expect;
mod junit;
mod script;
mod template;

use std::io;
use std::path::{Path, PathBuf};

pub use bench::{Bench, Fired, Verdict};
pub use case::{Case, Kind, read};
pub use junit::report as junit;

use crate::config::Problem;

/// How the name of a test file ends.
pub use crate::config::TEST_FILE_END;

/// The tests of the rules that come along: their files, by name.
pub const PACK_TESTS: &[(&str, &str)] = &[
    ("auth.test.toml", include_str!("../engine/detect/pack_tests/auth.test.toml")),
    ("http.test.toml", include_str!("../engine/detect/pack_tests/http.test.toml")),
    ("ioc.test.toml", include_str!("../engine/detect/pack_tests/ioc.test.toml")),
    ("ops.test.toml", include_str!("../engine/detect/pack_tests/ops.test.toml")),
];

/// The tests of the rules that come along.
pub fn pack() -> (Vec<Case>, Vec<Problem>) {
    let (mut cases, mut problems) = (Vec::new(), Vec::new());
    for (name, text) in PACK_TESTS {
        let (more, wrong) = read(Path::new(name), text);
        cases.extend(more);
        problems.extend(wrong);
    }
    (cases, problems)
}

/// The tests in `paths`: files, and folders with all test files that lie below.
pub fn load(paths: &[PathBuf]) -> (Vec<Case>, Vec<Problem>) {
    let (mut cases, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        let files = match test_files(path) {
            Ok(files) if files.is_empty() => {
                let reason = format!("holds no file whose name ends in {TEST_FILE_END}");
                let file = Some(path.clone());
                problems.push(Problem { file, reason, ..Problem::default() });
                continue;
            }
            Ok(files) => files,
            Err(error) => {
                let hint = "name a test file, or a folder of them".to_owned();
                problems.push(Problem { hint, ..Problem::of_file(path, &error) });
                continue;
            }
        };
        for file in files {
            match std::fs::read_to_string(&file) {
                Ok(text) => {
                    let (more, wrong) = read(&file, &text);
                    cases.extend(more);
                    problems.extend(wrong);
                }
                Err(error) => {
                    let hint = "a test file is text in UTF-8".to_owned();
                    problems.push(Problem { hint, ..Problem::of_file(&file, &error) });
                }
            }
        }
    }
    (cases, problems)
}

/// Folders in each other that are looked into.
const DEPTH_MAX: usize = 16;

/// The file itself, or the test files below a folder, in the order of their names.
fn test_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut pending = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = pending.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let is_test = path.to_string_lossy().ends_with(TEST_FILE_END);
            if path.is_dir() && depth < DEPTH_MAX {
                pending.push((path, depth + 1));
            } else if is_test {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
