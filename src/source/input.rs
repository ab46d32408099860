//! The inputs of `scan` and `parse`: files, plain or compressed, directories, patterns, or standard
//! input.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use thiserror::Error;

use super::archive::{MAGIC_BYTES, Method};
use super::config::SourceConfig;
use super::encoding::Encoding;
use super::glob::{Listings, Pattern};
use super::journal::{journal_problem, journalctl_missing};
use super::status::Shown;

/// An input that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InputError {
    /// The operating system refused.
    #[error("cannot open {}; {fix}", Shown(path))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the user can do.
        fix: &'static str,
        /// The reason the operating system gave.
        source: io::Error,
    },

    /// The content is compressed in a way that is not read here.
    #[error(
        "cannot read {}: it is compressed with {method}; decompress it and pipe it in: `{command} | gatewatch scan -`",
        Shown(path)
    )]
    Compression {
        /// The file.
        path: PathBuf,
        /// The method by its magic bytes.
        method: &'static str,
        /// What decompresses it.
        command: &'static str,
    },

    /// The journal cannot be read.
    #[error("cannot read the journal: {reason}")]
    Journal {
        /// What is wrong, and the fix.
        reason: String,
    },

    /// A directory without a log.
    #[error("{} holds no file with text; name the logs, such as `DIRECTORY/**/*.log`", Shown(path))]
    NoText {
        /// The directory.
        path: PathBuf,
    },

    /// A name that no file has and that is no pattern either.
    #[error("{} is neither a file nor a pattern: {reason}", Shown(path))]
    Pattern {
        /// As written.
        path: PathBuf,
        /// What is wrong, and the fix.
        reason: &'static str,
    },
}

/// Opens `path` (`-` is standard input) and decompresses it; archives are known by their content.
///
/// A plain file is handed out unbuffered: `LineBlocks` reads whole blocks.
pub fn open_input(path: &Path) -> Result<Box<dyn Read + Send>, InputError> {
    let mut input: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else if let Some(journal) = as_journal(path) {
        return Ok(Box::new(JournalInput::start(&journal)?));
    } else {
        let file = File::open(path).map_err(|source| open_error(path, source))?;
        if file.metadata().is_ok_and(|meta| meta.is_dir()) {
            return Err(open_error(path, io::ErrorKind::IsADirectory.into()));
        }
        Box::new(file)
    };
    let mut magic = Vec::with_capacity(MAGIC_BYTES);
    let read = input.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic);
    read.map_err(|source| open_error(path, source))?;
    let method = Method::of(&magic);
    let input = Box::new(Peeked { head: magic, at: 0, rest: input });
    let Some(method) = method else { return Ok(input) };
    let Some(decoder) = method.decode(input) else {
        let (path, method, command) = (path.to_owned(), method.name, method.command);
        return Err(InputError::Compression { path, method, command });
    };
    decoder.map_err(|source| open_error(path, source))
}

/// An input whose first bytes were looked at.
///
/// They come together with those behind them: whoever makes up their mind over the first bytes of an
/// input shall see more than a few of them.
struct Peeked {
    head: Vec<u8>,
    at: usize,
    rest: Box<dyn Read + Send>,
}

impl Read for Peeked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let head = &self.head[self.at..];
        let count = head.len().min(buffer.len());
        buffer[..count].copy_from_slice(&head[..count]);
        self.at += count;
        if count == buffer.len() {
            return Ok(count);
        }
        match self.rest.read(&mut buffer[count..]) {
            Ok(more) => Ok(count + more),
            // It comes again with the next call, when these bytes are out of the way.
            Err(_) if 0 < count => Ok(count),
            Err(error) => Err(error),
        }
    }
}

/// The journal that `path` stands for, such as `journal:`.
fn as_journal(path: &Path) -> Option<SourceConfig> {
    path.to_str().map(SourceConfig::new).filter(SourceConfig::is_journal)
}

/// What `journalctl` prints. That it failed is an error at the end.
struct JournalInput {
    child: Child,
    output: ChildStdout,
}

impl JournalInput {
    fn start(journal: &SourceConfig) -> Result<Self, InputError> {
        let mut command = journal.read_journal(None, false);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let refused = |error: io::Error| InputError::Journal { reason: journalctl_missing(&error) };
        let mut child = child.map_err(refused)?;
        let output =
            child.stdout.take().ok_or_else(|| io::ErrorKind::BrokenPipe.into()).map_err(refused)?;
        Ok(Self { child, output })
    }
}

impl Read for JournalInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
        if 0 < read || buffer.is_empty() {
            return Ok(read);
        }
        let status = self.child.wait()?;
        if status.success() {
            return Ok(0);
        }
        let mut said = String::new();
        if let Some(errors) = self.child.stderr.take() {
            errors.take(4096).read_to_string(&mut said)?;
        }
        Err(io::Error::other(journal_problem(&said, &status.to_string())))
    }
}

impl Drop for JournalInput {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The files that the arguments of a command stand for, and those left out.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Inputs {
    /// To be read, in the order of the arguments and their names.
    pub paths: Vec<PathBuf>,
    /// Files of a directory that hold no text.
    pub left_out: Vec<PathBuf>,
}

/// Finds the files that `arguments` stand for. Of a directory these are the files right in it that
/// hold text, plain or compressed; hidden ones and directories are left alone. A name that no file
/// has is taken as a pattern, for a shell that did not expand it.
pub fn find_inputs(arguments: &[PathBuf]) -> Result<Inputs, InputError> {
    let mut inputs = Inputs::default();
    for path in arguments {
        if path.is_dir() {
            let before = inputs.paths.len();
            inputs.take_directory(path)?;
            if inputs.paths.len() == before {
                return Err(InputError::NoText { path: path.clone() });
            }
        } else if !path.exists() && is_pattern(path) {
            inputs.take_pattern(path)?;
        } else {
            inputs.paths.push(path.clone());
        }
    }
    Ok(inputs)
}

fn is_pattern(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains(['*', '?', '[']))
}

impl Inputs {
    fn take_directory(&mut self, directory: &Path) -> Result<(), InputError> {
        let names = Listings::default().names(directory);
        let names = names.map_err(|kind| open_error(directory, kind.into()))?;
        for name in names.iter().filter(|name| !name.as_bytes().starts_with(b".")) {
            let path = directory.join(name);
            // A pipe would never answer; a file that cannot be opened is told when it is read.
            if !path.is_file() {
                continue;
            }
            match holds_text(&path) {
                Ok(false) => self.left_out.push(path),
                Ok(true) | Err(_) => self.paths.push(path),
            }
        }
        Ok(())
    }

    fn take_pattern(&mut self, path: &Path) -> Result<(), InputError> {
        let text = path.display().to_string();
        let pattern = Pattern::new(&text)
            .map_err(|reason| InputError::Pattern { path: path.to_owned(), reason })?;
        let found = pattern.walk(&mut Listings::default());
        let mut files: Vec<PathBuf> = found.into_iter().filter(|path| path.is_file()).collect();
        if files.is_empty() {
            return Err(open_error(path, io::ErrorKind::NotFound.into()));
        }
        self.paths.append(&mut files);
        Ok(())
    }
}

/// True when a file begins with text, as far as its first KiB tells. An empty one does.
fn holds_text(path: &Path) -> Result<bool, InputError> {
    let mut first = Vec::new();
    let input = match open_input(path) {
        Err(InputError::Compression { .. }) => return Ok(false),
        input => input?,
    };
    let read = input.take(SAMPLE_BYTES).read_to_end(&mut first);
    read.map_err(|source| open_error(path, source))?;
    let wide = Encoding::of(&first, true).is_some_and(|(encoding, _)| encoding.is_wide());
    Ok(wide || !first.contains(&0))
}

/// Bytes by which a file of a directory is judged.
const SAMPLE_BYTES: u64 = 1024;

fn open_error(path: &Path, source: io::Error) -> InputError {
    // Nobody looks again, unlike for a file that is followed, and any user may have asked.
    let fix = match source.kind() {
        io::ErrorKind::NotFound => "check the name",
        io::ErrorKind::PermissionDenied => {
            "let this user read it (on Debian: usermod -aG adm USER), or use sudo"
        }
        io::ErrorKind::IsADirectory => "name the files in it, such as `/var/log/nginx/*.log`",
        _ => "check the disk and the file",
    };
    InputError::Open { path: path.to_owned(), fix, source }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::source::LineBlocks;

    #[track_caller]
    fn check(content: &[u8], expected: &str) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        let mut text = String::new();
        let mut input = open_input(file.path()).expect("an input");
        input.read_to_string(&mut text).expect("readable");
        assert_eq!(expected, text);
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("compressed");
        encoder.finish().expect("compressed")
    }

    #[test]
    fn plain_and_tiny_files_are_read_as_they_are() {
        for text in ["", "x", "one\ntwo\n"] {
            check(text.as_bytes(), text);
        }
    }

    fn bzip2(text: &str) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("compressed");
        encoder.finish().expect("compressed")
    }

    fn zstandard(text: &str) -> Vec<u8> {
        zstd::encode_all(text.as_bytes(), 1).expect("compressed")
    }

    #[test]
    fn compressed_files_are_known_by_their_content() {
        for compress in [gzip, bzip2, zstandard] {
            check(&[compress("one\n"), compress(""), compress("two\n")].concat(), "one\ntwo\n");
            check(&compress(""), "");
        }
        let skippable = [b"\x50\x2a\x4d\x18\x02\0\0\0ab".as_slice(), &zstandard("one\n")].concat();
        check(&skippable, "one\n");
    }

    #[test]
    fn a_truncated_archive_gives_what_it_holds_and_then_the_error() {
        let text: String = (0..60_000).map(|n| format!("line {n} of the log\n")).collect();
        for compress in [gzip, bzip2, zstandard] {
            let whole = compress(&text);
            for part in [whole.len() / 2, whole.len() - 1] {
                let file = tempfile::NamedTempFile::new().expect("a file");
                std::fs::write(file.path(), &whole[..part]).expect("written");
                let input = open_input(file.path()).expect("an input");
                let mut blocks = LineBlocks::new(input, file.path(), 4096, 1000);
                let mut found = Vec::new();
                let error = loop {
                    match blocks.next_block(Vec::new()) {
                        Ok(block) => found.extend(block.expect("an error comes first").bytes),
                        Err(error) => break error,
                    }
                };
                assert_eq!(None, error.raw_os_error());
                assert!(text.as_bytes().starts_with(&found) && 1000 < found.len());
            }
        }
    }

    #[test]
    fn a_refusal_names_the_file_and_the_fix() {
        let error = open_input(Path::new("/nowhere/a.log")).map(|_| ()).expect_err("no file");
        assert!(error.to_string().contains("/nowhere/a.log; check the name"), "{error}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (magic, command) in [(&b"\x1f\x9d\x90"[..], "zcat"), (b"PK\x03\x04\x14", "unzip -p")] {
            std::fs::write(file.path(), magic).expect("written");
            let error = open_input(file.path()).map(|_| ()).expect_err("not read here");
            assert!(error.to_string().contains(command), "{error}");
        }
    }

    #[test]
    fn directories_and_patterns_stand_for_their_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("below")).expect("a directory");
        for (name, content) in [
            ("a.log", b"text\n".to_vec()),
            ("a.log.1", Vec::new()),
            ("a.log.2.gz", gzip("text\n")),
            ("b.log.3.zip", b"PK\x03\x04".to_vec()),
            ("wtmp", vec![0; 400]),
            ("wide.log", b"\xff\xfea\0\n\0".to_vec()),
            (".hidden", b"text\n".to_vec()),
            ("below/c.log", b"text\n".to_vec()),
            ("a[1].log", b"text\n".to_vec()),
        ] {
            std::fs::write(at(name), content).expect("written");
        }
        let paths = |names: &[&str]| names.iter().map(|name| at(name)).collect::<Vec<_>>();
        let find = |name: &str| find_inputs(&[at(name)]);
        let all = find_inputs(&[directory.path().to_owned()]).expect("files");
        let text = paths(&["a.log", "a.log.1", "a.log.2.gz", "a[1].log", "wide.log"]);
        assert_eq!(Inputs { paths: text, left_out: paths(&["b.log.3.zip", "wtmp"]) }, all);
        assert_eq!(paths(&["a.log.1", "a.log.2.gz"]), find("a.log.*").expect("files").paths);
        assert_eq!(paths(&["below/c.log"]), find("*/c.log").expect("files").paths);
        assert_eq!(paths(&["a[1].log"]), find("a[1].log").expect("a file is no pattern").paths);
        assert_eq!(paths(&["none.log"]), find("none.log").expect("told when it is opened").paths);
        for (name, words) in [("x*", "check the name"), ("x[", "close the `[`")] {
            let error = find(name).expect_err("no file").to_string();
            assert!(error.contains(words), "{error}");
        }
        std::fs::create_dir(at("empty")).expect("a directory");
        assert!(find("empty").expect_err("no file").to_string().contains("no file with text"));
    }
}
