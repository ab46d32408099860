//! What rotation does to names: `access.log` becomes `access.log.1`, `access.log-20261120`,
//! `access-20261120.log` or `access.1.log`.
//!
//! Names are hints only. They say where to look and in which order to read; whether a file holds
//! a known generation is decided by its content.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::units::Timestamp;

/// Endings of files that only a decompressor can read.
const COMPRESSED: &[&str] = &["gz", "zst", "bz2", "xz", "lz4", "Z", "zip"];

/// True for an archive by its name.
pub fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| COMPRESSED.iter().any(|known| ending == *known))
}

/// The name of a file, of an archive that of the log it was made of.
pub(super) fn plain_name(path: &Path) -> &OsStr {
    let name = if is_compressed(path) { path.file_stem() } else { path.file_name() };
    name.unwrap_or_default()
}

/// The part of `name` that a rotation of `base` added, such as `.1` or `-20261120`.
fn addition<'a>(base: &OsStr, name: &'a OsStr) -> Option<&'a [u8]> {
    let (base, name) = (base.as_bytes(), name.as_bytes());
    if let Some(addition) = name.strip_prefix(base) {
        return (!addition.is_empty()).then_some(addition);
    }
    // With logrotate's `extension`, the ending stays last.
    let dot = base.iter().rposition(|byte| *byte == b'.').filter(|dot| 0 < *dot)?;
    let (stem, ending) = base.split_at(dot);
    name.strip_prefix(stem)?.strip_suffix(ending)
}

/// True when `name` looks like `base` after a rotation.
pub fn is_rotated_name(base: &OsStr, name: &OsStr) -> bool {
    let Some([b'.' | b'-' | b'_', rest @ ..]) = addition(base, name) else { return false };
    let words: &[&[u8]] = &[b"old", b"bak", b"prev", b"orig", b"save"];
    let dated = |byte: &u8| byte.is_ascii_digit() || b".-_:T".contains(byte);
    words.contains(&rest) || (rest.iter().any(u8::is_ascii_digit) && rest.iter().all(dated))
}

/// True when `name` may hold a copy of `base`; far wider than [`is_rotated_name`].
pub fn may_be_copy(base: &OsStr, name: &OsStr) -> bool {
    addition(base, name).is_some_and(|addition| !addition.is_empty())
}

/// Sorts rotated files of `base` with the oldest first.
///
/// One way of counting holds for all of them, else the comparison would not be an order: plain
/// numbers (the highest is the oldest), dates (the lowest is the oldest), or the last change.
pub fn sort_oldest_first<T>(
    base: &OsStr,
    files: &mut [T],
    name: impl for<'a> Fn(&'a T) -> &'a OsStr,
    modified: impl Fn(&T) -> Timestamp,
) {
    let number = |file: &T| -> Option<u32> {
        let digits = addition(base, name(file))?.get(1..)?;
        std::str::from_utf8(digits).ok().filter(|d| d.len() <= 4)?.parse().ok()
    };
    let date = |file: &T| -> Option<Vec<u8>> {
        let text = addition(base, name(file))?;
        (text.iter().filter(|byte| byte.is_ascii_digit()).count() >= 6).then(|| text.to_vec())
    };
    if files.iter().all(|file| number(file).is_some()) {
        files.sort_by_key(|file| Reverse(number(file)));
    } else if files.iter().all(|file| date(file).is_some()) {
        files.sort_by_key(date);
    } else {
        files.sort_by_key(|file| (modified(file), Reverse(number(file))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_are_known_and_neighbours_are_not_mistaken() {
        let is = |name: &str| is_rotated_name(OsStr::new("access.log"), OsStr::new(name));
        for name in [
            "access.log.1",
            "access.log-20261120",
            "access.log.2026-11-20",
            "access-20261120.log",
            "access.1.log",
            "access.log.old",
            "access.log-20261120.1",
        ] {
            assert!(is(name), "{name}");
        }
        for name in [
            "access.log",
            "access.logs",
            "access-ssl.log",
            "access.log.gz",
            "error.log",
            "access.log.1.gz",
            "access.log.d",
            "access.log2",
            "access.log.",
        ] {
            assert!(!is(name), "{name}");
        }
    }

    #[test]
    fn the_oldest_comes_first_in_each_way_of_counting() {
        let check = |names: &[&str], expected: &[&str]| {
            let mut files: Vec<(String, Timestamp)> = names
                .iter()
                .enumerate()
                .map(|(i, name)| ((*name).to_owned(), Timestamp(i as u64)))
                .collect();
            sort_oldest_first(OsStr::new("a.log"), &mut files, |f| OsStr::new(&f.0), |f| f.1);
            assert_eq!(expected, files.iter().map(|f| f.0.as_str()).collect::<Vec<_>>());
        };
        check(&["a.log.1", "a.log.10", "a.log.2"], &["a.log.10", "a.log.2", "a.log.1"]);
        check(&["a.log-20261120", "a.log-20261119"], &["a.log-20261119", "a.log-20261120"]);
        check(&["a.log.1", "a.log.old"], &["a.log.1", "a.log.old"]);
    }

    #[test]
    fn archives_are_known_by_their_ending() {
        assert!(is_compressed(Path::new("/l/access.log.2.gz")));
        assert!(!is_compressed(Path::new("/l/access.log.2")));
    }
}
