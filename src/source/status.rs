//! What the follower tells its operator: single happenings and the state of each source.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::generation::Began;
use crate::units::Timestamp;

/// How much a notice matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// Something was lost, or an operator must act.
    Warn,
    /// Part of the life of a log file.
    Info,
    /// Of interest when looking for a fault.
    Debug,
}

/// One happening. `Display` gives the message, with hostile file names escaped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Notice {
    /// Index of the source.
    pub source: usize,
    /// The file it is about.
    pub path: PathBuf,
    /// What happened.
    pub kind: NoticeKind,
}

/// What happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NoticeKind {
    /// A file moved to another name and is read to its end there.
    Rotated {
        /// The new name; `None` when it was deleted or left the directory.
        to: Option<PathBuf>,
    },
    /// Another content stands where a known one was, and its unread rest was found elsewhere.
    Recovered {
        /// What happened to the file.
        reason: Began,
        /// The file that holds the rest.
        copy: PathBuf,
        /// Bytes known to be missing even there.
        lost_bytes: u64,
    },
    /// A known content is gone, with whatever of it had not been read.
    Lost {
        /// What happened to the file; `None` when it was nowhere to be found.
        reason: Option<Began>,
        /// Unread bytes at the last look. More may have been written after it.
        known_bytes: u64,
    },
    /// A file was written and rotated away between two looks, and is read under its rotated name.
    Missed,
    /// Another file stands under the name, which begins as the one before and goes on otherwise.
    Rewritten,
    /// A run of NUL bytes at the start of a file was passed over.
    NulBytes {
        /// How many.
        count: u64,
    },
    /// The archive that holds the rest of a file cannot be read to its end.
    Damaged {
        /// Why, in the words of the decompressor.
        reason: String,
    },
    /// An archive matches the pattern; it is not followed.
    Compressed,
    /// More files match than may be followed.
    TooManyFiles {
        /// The limit.
        max_files: usize,
    },
    /// The pattern reaches more directory entries than one look may visit.
    TooManyEntries,
    /// A file cannot be read.
    Unreadable(Unreadable),
}

impl Notice {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match &self.kind {
            NoticeKind::Lost { .. }
            | NoticeKind::Rewritten
            | NoticeKind::Damaged { .. }
            | NoticeKind::NulBytes { .. }
            | NoticeKind::TooManyFiles { .. }
            | NoticeKind::TooManyEntries
            | NoticeKind::Unreadable(_) => Level::Warn,
            NoticeKind::Recovered { lost_bytes, .. } if 0 < *lost_bytes => Level::Warn,
            NoticeKind::Rotated { .. } | NoticeKind::Recovered { .. } | NoticeKind::Missed => {
                Level::Info
            }
            NoticeKind::Compressed => Level::Debug,
        }
    }

    /// A file went to another name, and its successor may take its time.
    pub fn is_rotation(&self) -> bool {
        matches!(self.kind, NoticeKind::Rotated { to: Some(_) } | NoticeKind::Missed)
    }

    /// How a file is not what it was, where no rotation explains it.
    pub fn tampering(&self) -> Option<String> {
        match &self.kind {
            NoticeKind::Lost { reason: Some(reason), known_bytes }
                if matches!(reason, Began::Truncated | Began::Replaced) =>
            {
                Some(format!(
                    "it was {} and no rotated copy lies beside it; {known_bytes} bytes or more were \
                     not read",
                    said(*reason),
                ))
            }
            NoticeKind::Rewritten => Some("it begins as before and goes on otherwise".to_owned()),
            NoticeKind::Recovered { copy, .. } if *copy == self.path => {
                Some("it begins as before and is shorter than what was read of it".to_owned())
            }
            _ => None,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Shown(&self.path);
        match &self.kind {
            NoticeKind::Rotated { to: Some(to) } => {
                write!(f, "{path} was rotated to {}", Shown(to))
            }
            NoticeKind::Rotated { to: None } => write!(f, "{path} was deleted or moved away"),
            NoticeKind::Recovered { reason, copy, lost_bytes } => write!(
                f,
                "{path} was {}; its rest is read from {}, {lost_bytes} bytes are lost",
                said(*reason),
                Shown(copy),
            ),
            NoticeKind::Lost { reason: Some(reason), known_bytes } => write!(
                f,
                "{path} was {} and no rotated copy was found: {known_bytes} bytes or more were \
                 not read; rotate with `create` instead of `copytruncate`",
                said(*reason),
            ),
            NoticeKind::Lost { reason: None, known_bytes } => write!(
                f,
                "{path} is gone and was not found under another name or in an archive: \
                 {known_bytes} bytes or more were not read; if it was moved, `gatewatch scan` reads it",
            ),
            NoticeKind::Damaged { reason } => write!(
                f,
                "{path} is cut or damaged ({}); it was read as far as it goes",
                reason.escape_debug(),
            ),
            NoticeKind::Missed => {
                write!(f, "{path} was rotated away before it was seen; reading it now")
            }
            NoticeKind::Rewritten => write!(
                f,
                "{path} was written anew: it begins as before and goes on otherwise; it is read again",
            ),
            NoticeKind::NulBytes { count } => write!(
                f,
                "{path} begins with {count} NUL bytes, passed over; its writer should open it for \
                 appending",
            ),
            NoticeKind::Compressed => {
                write!(
                    f,
                    "{path} is compressed and not followed, only searched for the rest of a \
                     rotated log; `gatewatch scan` reads it",
                )
            }
            NoticeKind::TooManyFiles { max_files } => write!(
                f,
                "{path} is not followed: `follow.max_files` = {max_files} is reached; raise it or \
                 narrow the pattern",
            ),
            NoticeKind::TooManyEntries => {
                write!(f, "{path} matches in too many directory entries; narrow the pattern")
            }
            NoticeKind::Unreadable(unreadable) => write!(f, "{unreadable}"),
        }
    }
}

fn said(reason: Began) -> &'static str {
    match reason {
        Began::Truncated => "truncated",
        Began::InodeReused => "deleted and its inode reused",
        Began::Rotated => "rotated",
        Began::Replaced | Began::Discovered | Began::Missed | Began::History => "replaced",
    }
}

/// A file that cannot be read, with the reason and the fix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unreadable {
    /// The file or directory.
    pub path: PathBuf,
    /// Why, in the words of the operating system.
    pub reason: String,
    /// What the operator can do.
    pub fix: &'static str,
}

impl Unreadable {
    pub(super) fn new(path: &Path, error: &io::Error) -> Self {
        let fix = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "add the user to group adm: usermod -aG adm gatewatch"
            }
            io::ErrorKind::NotFound => "check the path; it is looked for again each second",
            io::ErrorKind::IsADirectory => "name the files in it, such as `/var/log/nginx/*.log`",
            _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
                "raise the open files limit: LimitNOFILE=65536 in the service unit"
            }
            _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                "remove the symbolic link that leads back to itself"
            }
            _ => "check the disk and the file; it is tried again each second",
        };
        Self { path: path.to_owned(), reason: error.to_string(), fix }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}; {}", Shown(&self.path), self.reason, self.fix)
    }
}

/// A path fit for a message: control characters and bad UTF-8 are escaped.
pub(super) struct Shown<'a>(pub(super) &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.to_string_lossy().escape_debug())
    }
}

/// The state of one source. Counters count since the start of the process.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SourceStatus {
    /// Stable name of the source.
    pub name: String,
    /// Files followed, rotated ones with an unread rest included.
    pub files: usize,
    /// Bytes in them that have not been read.
    pub lag_bytes: u64,
    /// When a file of it was last seen to change.
    pub last_growth: Option<Timestamp>,
    /// No file matches.
    pub missing: bool,
    /// Files that cannot be read now, at most [`MAX_UNREADABLE`].
    pub unreadable: Vec<Unreadable>,
    /// Files renamed or deleted.
    pub rotations: u64,
    /// Files cut to nothing and written anew.
    pub truncations: u64,
    /// Files whose content changed under the same name.
    pub replaced: u64,
    /// Inodes of deleted files met again under new files.
    pub inodes_reused: u64,
    /// Generations found only under a rotated name.
    pub missed: u64,
    /// Contents that were gone before they were read to the end.
    pub losses: u64,
    /// Unread bytes known to be in them.
    pub lost_bytes: u64,
    /// NUL bytes passed over.
    pub nul_bytes: u64,
    /// Lines longer than the limit.
    pub long_lines: u64,
    /// Archives left out at the last look.
    pub compressed: usize,
    /// Files left out at the last look because of `max_files`.
    pub over_limit: usize,
}

/// Unreadable files that are listed for one source; all of one source share their reason anyhow.
pub const MAX_UNREADABLE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_denied_names_the_group() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = Unreadable::new(Path::new("/var/log/a.log"), &error).to_string();
        assert!(text.ends_with("add the user to group adm: usermod -aG adm gatewatch"), "{text}");
    }

    #[test]
    fn a_file_name_cannot_forge_a_message() {
        let path = PathBuf::from("a\nb\u{1b}[31m.log");
        let notice = Notice { source: 0, path, kind: NoticeKind::Missed };
        let text = notice.to_string();
        assert!(!text.contains('\n') && !text.contains('\u{1b}'), "{text:?}");
    }
}
