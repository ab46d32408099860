//! Opens one input of `scan` and `parse`: a file, plain or compressed, or standard input.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

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
}

/// Opens `path` (`-` is standard input) and decompresses gzip and Zstandard, known by content.
///
/// A plain file is handed out unbuffered: `LineBlocks` reads whole blocks.
pub fn open_input(path: &Path) -> Result<Box<dyn Read + Send>, InputError> {
    let mut input: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(io::stdin())
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
    let unsupported =
        |method, command| Err(InputError::Compression { path: path.to_owned(), method, command });
    match magic.as_slice() {
        [0x1f, 0x8b, ..] => {
            Ok(Box::new(flate2::read::MultiGzDecoder::new(Cursor::new(magic).chain(input))))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::Decoder::new(Cursor::new(magic).chain(input));
            Ok(Box::new(decoder.map_err(|source| open_error(path, source))?))
        }
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', ..] => unsupported("bzip2", "bzcat FILE"),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => unsupported("xz", "xzcat FILE"),
        _ => Ok(Box::new(Cursor::new(magic).chain(input))),
    }
}

const MAGIC_BYTES: usize = 6;

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

    #[test]
    fn compressed_files_are_known_by_their_content() {
        check(&[gzip("one\n"), gzip("two\n")].concat(), "one\ntwo\n");
        check(&zstd::encode_all(&b"one\n"[..], 1).expect("compressed"), "one\n");
    }

    #[test]
    fn a_refusal_names_the_file_and_the_fix() {
        let error = open_input(Path::new("/nowhere/a.log")).map(|_| ()).expect_err("no file");
        assert!(error.to_string().contains("/nowhere/a.log; check the name"), "{error}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"BZh91AY&SY").expect("written");
        let error = open_input(file.path()).map(|_| ()).expect_err("bzip2");
        assert!(error.to_string().contains("bzcat"), "{error}");
    }
}
