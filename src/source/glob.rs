//! Patterns of paths: `*`, `?`, `[a-z]`, `[!a-z]`, `**` for any directories, `\` to take the next
//! character as it is.
//!
//! As in a shell, `*` and `?` stop at `/` and leave hidden files out. Bytes that are no UTF-8 are
//! matched one by one. Invariant: a walk looks at no more than [`MAX_DEPTH`] levels below the
//! first wildcard and [`MAX_ENTRIES`] directory entries, because a pattern must not take the disk
//! for a walk each second.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Levels of directories below the first wildcard.
pub const MAX_DEPTH: usize = 16;

/// Directory entries looked at in one walk, over all directories.
pub const MAX_ENTRIES: usize = 1 << 18;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Leading part without wildcards.
    root: PathBuf,
    /// The parts from the first wildcard on; empty for a plain path.
    parts: Vec<Part>,
    absolute: bool,
}

#[derive(Clone, Debug)]
enum Part {
    /// `**`: any number of directories, none included.
    Any,
    Name(Vec<Token>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Token {
    Byte(u8),
    One,
    Many,
    Class { negated: bool, ranges: Vec<(u8, u8)> },
}

impl Pattern {
    /// Compiles `text`; the error says what is wrong and what to write instead.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let mut root = PathBuf::from(if text.starts_with('/') { "/" } else { "" });
        let mut parts = Vec::new();
        for name in text.split('/').filter(|name| !name.is_empty()) {
            if name == "**" {
                parts.push(Part::Any);
                continue;
            }
            let tokens = compile(name.as_bytes())?;
            let plain: Option<Vec<u8>> = tokens.iter().map(plain_byte).collect();
            match plain {
                Some(bytes) if parts.is_empty() => root.push(OsString::from_vec(bytes)),
                _ => parts.push(Part::Name(tokens)),
            }
        }
        if parts.iter().filter(|part| matches!(part, Part::Any)).count() > 4 {
            return Err("use at most four `**`");
        }
        Ok(Self { root, parts, absolute: text.contains('/') })
    }

    /// The path itself where the pattern has no wildcard.
    pub fn plain(&self) -> Option<&Path> {
        self.parts.is_empty().then_some(self.root.as_path())
    }

    /// The directory the walk starts in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// True when the whole of `path` matches; a pattern without `/` is matched to the file name.
    pub fn matches(&self, path: &Path) -> bool {
        let relative = if self.absolute {
            match path.strip_prefix(&self.root) {
                Ok(relative) => relative,
                Err(_) => return false,
            }
        } else {
            let Some(name) = path.file_name().map(Path::new) else { return false };
            if self.parts.is_empty() {
                return name == self.root;
            }
            name
        };
        let names: Vec<&[u8]> = relative.iter().map(OsStrExt::as_bytes).collect();
        match_parts(&self.parts, &names)
    }

    /// The files that match, in the order of their names.
    pub fn walk(&self, listings: &mut Listings) -> Vec<PathBuf> {
        let mut found = Vec::new();
        if self.parts.is_empty() {
            return vec![self.root.clone()];
        }
        let root = if self.root.as_os_str().is_empty() { Path::new(".") } else { &self.root };
        walk(root, &self.parts, 0, listings, &mut found);
        found.sort();
        found.dedup();
        found
    }
}

fn plain_byte(token: &Token) -> Option<u8> {
    match token {
        Token::Byte(byte) => Some(*byte),
        Token::One | Token::Many | Token::Class { .. } => None,
    }
}

fn compile(name: &[u8]) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = name;
    while let [first, after @ ..] = rest {
        rest = after;
        tokens.push(match first {
            b'*' if tokens.last() == Some(&Token::Many) => continue,
            b'*' => Token::Many,
            b'?' => Token::One,
            b'[' => {
                let (class, after) = compile_class(rest)?;
                rest = after;
                class
            }
            b'\\' => {
                let [byte, after @ ..] = rest else {
                    return Err("a `\\` at the end has nothing to protect; remove it");
                };
                rest = after;
                Token::Byte(*byte)
            }
            byte => Token::Byte(*byte),
        });
    }
    Ok(tokens)
}

fn compile_class(text: &[u8]) -> Result<(Token, &[u8]), &'static str> {
    let (negated, mut rest) = match text {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut ranges = Vec::new();
    loop {
        match rest {
            // A `]` right after the opening stands for itself.
            [b']', after @ ..] if !ranges.is_empty() => {
                return Ok((Token::Class { negated, ranges }, after));
            }
            [low, b'-', high, after @ ..] if *high != b']' => {
                if high < low {
                    return Err("a range in `[…]` runs backwards; write the lower end first");
                }
                ranges.push((*low, *high));
                rest = after;
            }
            [byte, after @ ..] => {
                ranges.push((*byte, *byte));
                rest = after;
            }
            [] => return Err("close the `[` with `]`, or write `\\[` for the character itself"),
        }
    }
}

fn match_parts(parts: &[Part], names: &[&[u8]]) -> bool {
    match (parts, names) {
        ([], []) => true,
        ([Part::Any, rest @ ..], _) => {
            (0..=names.len()).any(|skipped| match_parts(rest, &names[skipped..]))
        }
        ([Part::Name(tokens), rest @ ..], [name, names @ ..]) => {
            match_name(tokens, name) && match_parts(rest, names)
        }
        _ => false,
    }
}

/// Matches with one point of return: the newest `*` takes one more character on each failure, so
/// the time is bounded by the product of the lengths.
fn match_name(tokens: &[Token], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && tokens.first() != Some(&Token::Byte(b'.')) {
        return false;
    }
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        let step = match tokens.get(token) {
            Some(Token::Many) => {
                star = Some((token, at));
                token += 1;
                continue;
            }
            Some(Token::Byte(byte)) => usize::from(*byte == name[at]),
            Some(Token::One) => character_bytes(&name[at..]),
            Some(Token::Class { negated, ranges }) => {
                let hit = ranges.iter().any(|(low, high)| (*low..=*high).contains(&name[at]));
                if hit == *negated { 0 } else { character_bytes(&name[at..]) }
            }
            None => 0,
        };
        if step > 0 {
            (token, at) = (token + 1, at + step);
        } else if let Some((star_token, star_at)) = star {
            star = Some((star_token, star_at + 1));
            (token, at) = (star_token + 1, star_at + 1);
        } else {
            return false;
        }
    }
    tokens[token..].iter().all(|token| *token == Token::Many)
}

/// Bytes of the first character; one for what is no UTF-8.
fn character_bytes(bytes: &[u8]) -> usize {
    let length = match bytes[0] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let whole = bytes.get(..length).is_some_and(|bytes| std::str::from_utf8(bytes).is_ok());
    if whole { length } else { 1 }
}

fn walk(
    directory: &Path,
    parts: &[Part],
    depth: usize,
    listings: &mut Listings,
    found: &mut Vec<PathBuf>,
) {
    let Some((first, rest)) = parts.split_first() else { return };
    if depth > MAX_DEPTH {
        return;
    }
    if matches!(first, Part::Any) {
        walk(directory, rest, depth, listings, found);
    }
    let Ok(names) = listings.names(directory) else { return };
    for name in names {
        let path = directory.join(&name);
        match first {
            Part::Any => {
                // Links are not followed here: they can lead back up.
                let is_directory = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
                if is_directory && !name.as_bytes().starts_with(b".") {
                    walk(&path, parts, depth + 1, listings, found);
                } else if rest.is_empty() && !is_directory {
                    found.push(path);
                }
            }
            Part::Name(tokens) if match_name(tokens, name.as_bytes()) => {
                if rest.is_empty() {
                    found.push(path);
                } else if path.is_dir() {
                    walk(&path, rest, depth + 1, listings, found);
                }
            }
            Part::Name(_) => (),
        }
    }
}

/// The directories read during one look, each at most once.
#[derive(Debug)]
pub struct Listings {
    read: HashMap<PathBuf, Result<Vec<OsString>, io::ErrorKind>>,
    entries_left: usize,
}

impl Default for Listings {
    fn default() -> Self {
        Self { read: HashMap::new(), entries_left: MAX_ENTRIES }
    }
}

impl Listings {
    /// The names in `directory`, sorted.
    pub fn names(&mut self, directory: &Path) -> Result<Vec<OsString>, io::ErrorKind> {
        if let Some(known) = self.read.get(directory) {
            return known.clone();
        }
        let directory_or_here =
            if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let names =
            std::fs::read_dir(directory_or_here).map_err(|error| error.kind()).map(|list| {
                let mut names: Vec<OsString> = list
                    .take(self.entries_left)
                    .filter_map(|e| Some(e.ok()?.file_name()))
                    .collect();
                names.sort();
                names
            });
        self.entries_left -= names.as_ref().map_or(0, Vec::len);
        self.read.insert(directory.to_owned(), names.clone());
        names
    }

    /// True when [`MAX_ENTRIES`] was reached and names were left out.
    pub fn is_exhausted(&self) -> bool {
        self.entries_left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let compiled = Pattern::new(pattern).expect("a good pattern");
        for path in matching {
            assert!(compiled.matches(Path::new(path)), "`{pattern}` must match `{path}`");
        }
        for path in other {
            assert!(!compiled.matches(Path::new(path)), "`{pattern}` must not match `{path}`");
        }
    }

    #[test]
    fn a_star_stays_within_one_name() {
        check(
            "/l/*access*.log",
            &["/l/access.log", "/l/a-access-b.log"],
            &["/l/x/access.log", "/l/access.log.1"],
        );
        check("/l/*", &["/l/a"], &["/l/.hidden", "/l", "/m/a"]);
        check("/l/*/*.log", &["/l/a/b.log"], &["/l/b.log", "/l/a/c/b.log"]);
    }

    #[test]
    fn two_stars_span_directories() {
        check(
            "/l/**/a.log",
            &["/l/a.log", "/l/x/a.log", "/l/x/y/a.log"],
            &["/m/a.log", "/l/xa.log"],
        );
        check("/l/**", &["/l/a", "/l/b/c"], &["/m"]);
    }

    #[test]
    fn classes_and_single_characters() {
        check("/l/a[0-9].log", &["/l/a1.log"], &["/l/ab.log", "/l/a12.log"]);
        check("/l/a[!0-9]", &["/l/ab"], &["/l/a1"]);
        check("/l/[]a]", &["/l/]", "/l/a"], &["/l/b"]);
        check("/l/a?c", &["/l/abc", "/l/aüc"], &["/l/ac", "/l/abbc"]);
        check("/l/\\*", &["/l/*"], &["/l/a"]);
    }

    #[test]
    fn a_pattern_without_a_slash_is_about_the_file_name() {
        check("*.gz", &["/l/a.gz", "b.gz"], &["/l/a.log"]);
        check("error.log", &["/l/error.log"], &["/l/access.log"]);
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        let pattern = Pattern::new(&format!("/l/{}b", "*a".repeat(40))).expect("a good pattern");
        assert!(!pattern.matches(&Path::new("/l").join("a".repeat(200))));
    }

    #[test]
    fn a_walk_finds_files_in_order_and_not_below_links() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path();
        std::fs::create_dir_all(root.join("x/y")).expect("directories");
        for name in ["b.log", "a.log", "x/c.log", "x/y/d.log", "e.txt"] {
            std::fs::write(root.join(name), "").expect("a file");
        }
        std::os::unix::fs::symlink("..", root.join("x/up")).expect("a link");
        let found = |tail: &str| {
            let pattern = Pattern::new(&format!("{}/{tail}", root.display())).expect("a pattern");
            let found = pattern.walk(&mut Listings::default());
            let names =
                found.iter().map(|p| p.strip_prefix(root).expect("below").display().to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(["a.log", "b.log"].as_slice(), found("*.log"));
        assert_eq!(["a.log", "b.log", "x/c.log", "x/y/d.log"].as_slice(), found("**/*.log"));
        assert_eq!(["x/c.log"].as_slice(), found("[x-z]/?.log"));
        assert!(found("none/*.log").is_empty());
    }
}
