//! Reading configuration files below a root directory, within limits.
//!
//! A survey may look at another machine's disk that is mounted somewhere, so every path that a
//! configuration names, and every symbolic link on the way, is taken to begin at that root.
//!
//! Invariants: at most [`MAX_FILES`] files and [`MAX_BYTES`] bytes are read for one server, whatever
//! includes what; nothing above the root is opened.

use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use super::model::{Place, Trouble};
use crate::source::glob::{Listings, Pattern};

/// Files read for one server.
pub(super) const MAX_FILES: usize = 2000;

/// Bytes read for one server.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// Files that include each other in a row.
pub(super) const MAX_INCLUDES: usize = 16;

/// Symbolic links followed on one path.
const MAX_LINKS: usize = 40;

/// The files below a root.
#[derive(Debug)]
pub(super) struct Tree {
    /// Empty for `/`.
    root: PathBuf,
    files: usize,
    bytes: usize,
    /// What could not be read.
    pub(super) troubles: Vec<Trouble>,
}

impl Tree {
    /// The files below `root`.
    pub(super) fn new(root: &Path) -> Self {
        let root = if root == Path::new("/") { PathBuf::new() } else { root.to_owned() };
        Self { root, files: 0, bytes: 0, troubles: Vec::new() }
    }

    /// How many files were read.
    pub(super) fn files(&self) -> usize {
        self.files
    }

    /// Where the file that a configuration calls `path` is on this machine.
    pub(super) fn here(&self, path: &str) -> PathBuf {
        let relative = path.trim_start_matches('/');
        if self.root.as_os_str().is_empty() {
            PathBuf::from(format!("/{relative}"))
        } else {
            self.root.join(relative)
        }
    }

    /// The same with every symbolic link followed below the root.
    fn followed(&self, path: &str) -> PathBuf {
        if self.root.as_os_str().is_empty() {
            return self.here(path);
        }
        let mut rest: Vec<PathBuf> = parts(Path::new(path));
        let (mut at, mut links) = (PathBuf::new(), 0);
        while let Some(part) = rest.pop() {
            if part == Path::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(&part);
            match fs::read_link(self.root.join(&next)) {
                Ok(target) if links < MAX_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        at = PathBuf::new();
                    }
                    rest.extend(parts(&target));
                }
                _ => at = next,
            }
        }
        self.root.join(at)
    }

    /// There is such a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.followed(path).is_file()
    }

    /// There is such a directory.
    pub(super) fn has_directory(&self, path: &str) -> bool {
        self.followed(path).is_dir()
    }

    /// The content of a file, or a trouble said to be at `asked_by`.
    pub(super) fn read(&mut self, path: &str, asked_by: &Place) -> Option<Vec<u8>> {
        let file = self.followed(path);
        let left = MAX_BYTES.saturating_sub(self.bytes);
        if MAX_FILES <= self.files || left == 0 {
            let text = format!("{} is one file too many; it was left out", file.display());
            self.troubles.push(Trouble { place: asked_by.clone(), text });
            return None;
        }
        let mut content = Vec::new();
        let read =
            fs::File::open(&file).and_then(|file| file.take(left as u64).read_to_end(&mut content));
        match read {
            Ok(bytes) => {
                self.files += 1;
                self.bytes += bytes;
                Some(content)
            }
            Err(error) => {
                let text = format!("{} cannot be read: {error}", file.display());
                self.troubles.push(Trouble { place: asked_by.clone(), text });
                None
            }
        }
    }

    /// The paths, as configurations call them, that fit `pattern`; itself where it has no wildcard.
    pub(super) fn glob(&self, pattern: &str) -> Vec<String> {
        let whole = format!("{}{pattern}", escaped(&self.root.to_string_lossy()));
        match Pattern::new(&whole) {
            Ok(compiled) if compiled.plain().is_none() => {
                let found = compiled.walk(&mut Listings::default());
                found.iter().map(|path| self.named(path)).collect()
            }
            _ => vec![pattern.to_owned()],
        }
    }

    /// Every file in a directory and those below, in the order of their names.
    pub(super) fn all_in(&self, directory: &str) -> Vec<String> {
        let found = self.glob(&format!("{}/**", directory.trim_end_matches('/')));
        found.into_iter().filter(|path| self.has(path)).collect()
    }

    /// What a configuration below the root calls `path`.
    pub(super) fn named(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned();
        if inside.starts_with('/') { inside } else { format!("/{inside}") }
    }
}

/// The names of a path, the first one last.
fn parts(path: &Path) -> Vec<PathBuf> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<PathBuf> = names.collect();
    names.reverse();
    names
}

/// `path` as a pattern that fits only itself.
pub fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for char in path.chars() {
        if matches!(char, '*' | '?' | '[' | ']' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

/// `path`, or below `folder` where it is relative.
pub(super) fn below(folder: &str, path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{}/{path}", folder.trim_end_matches('/'))
    }
}

/// The folder that holds `path`.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_never_lead_out_of_the_root() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("machine");
        fs::create_dir_all(root.join("etc/real")).expect("made");
        fs::write(root.join("etc/real/a.conf"), "inside").expect("written");
        fs::write(folder.path().join("secret"), "outside").expect("written");
        std::os::unix::fs::symlink("/etc/real/a.conf", root.join("etc/a")).expect("linked");
        std::os::unix::fs::symlink("../../secret", root.join("etc/b")).expect("linked");
        std::os::unix::fs::symlink("c", root.join("etc/c")).expect("linked");
        let mut tree = Tree::new(&root);
        let place = Place::default();
        assert_eq!(Some(b"inside".to_vec()), tree.read("/etc/a", &place));
        assert_eq!(Some(b"inside".to_vec()), tree.read("/etc/real/../../../etc/a", &place));
        assert_eq!(None, tree.read("/etc/b", &place));
        assert_eq!(None, tree.read("/etc/c", &place));
        assert_eq!(2, tree.troubles.len());
    }

    #[test]
    fn patterns_answer_with_the_paths_of_the_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("etc/d")).expect("made");
        for name in ["b.conf", "a.conf", ".hidden.conf", "c.txt"] {
            fs::write(folder.path().join("etc/d").join(name), "").expect("written");
        }
        let tree = Tree::new(folder.path());
        assert_eq!(["/etc/d/a.conf", "/etc/d/b.conf"].as_slice(), tree.glob("/etc/d/*.conf"));
        assert_eq!(["/etc/none"].as_slice(), tree.glob("/etc/none"));
        assert!(tree.glob("/none/*").is_empty());
        assert_eq!(4, tree.all_in("/etc/d").len());
    }
}
