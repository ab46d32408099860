//! Where lines come from; the same for all lines of a batch.

/// Where the lines of a batch come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Stable name of the source, chosen by the operator; part of each event id.
    pub source: String,
    /// File as configured; empty for standard input.
    pub path: String,
    /// SHA-256 of the first line of the file (at most 4096 bytes): the identity of its content.
    pub fingerprint: [u8; 32],
    /// Site that lines without a virtual host belong to.
    pub site: String,
    /// Machine that wrote the log.
    pub host: String,
    /// The file is UTF-16, and its lines were made UTF-8 on the way: offsets count as in the file.
    pub wide: bool,
}

impl Origin {
    /// The site of lines whose source nobody gave one.
    pub const UNNAMED_SITE: &str = "default";
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            source: "stdin".to_owned(),
            path: String::new(),
            fingerprint: [0; 32],
            site: Self::UNNAMED_SITE.to_owned(),
            host: String::new(),
            wide: false,
        }
    }
}
