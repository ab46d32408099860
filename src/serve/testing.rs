//! Helpers of this module's tests.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::engine::batch::{
    Auth, AuthMethod, AuthOutcome, Confidence, EventBatch, Field, Kind, Level, Malformed,
};
use crate::engine::tally::{Tally, TallyLimits};
use crate::units::Timestamp;

/// Compares with a file under `tests/golden/metrics`; `UPDATE_GOLDEN=1` writes it instead.
#[track_caller]
pub(super) fn check_golden(name: &str, actual: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics");
    let path = folder.join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&folder).expect("a writable folder");
        fs::write(&path, actual).expect("a writable file");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let hint = "run the test with UPDATE_GOLDEN=1 and review the difference";
    assert!(expected == actual, "{} differs; {hint}:\n{actual}", path.display());
}

/// A tally of hand-made events.
pub(super) struct Lines {
    batch: EventBatch,
    /// The counts so far.
    pub(super) tally: Tally,
}

impl Lines {
    /// Counts with room for `keys` clients.
    pub(super) fn new(keys: usize) -> Self {
        Self { batch: EventBatch::default(), tally: Tally::new(TallyLimits { keys, seed: 1 }) }
    }

    /// A request.
    pub(super) fn request(&mut self, site: &str, client: &str, method: &str, status: u16) {
        self.line(Kind::Access, site, client, |writer| {
            writer.row.status = status;
            writer.row.bytes = Some(100);
            writer.set(Field::Method, method.as_bytes());
        });
    }

    /// A request line that makes no sense.
    pub(super) fn malformed(&mut self, site: &str, client: &str, malformed: Malformed) {
        self.line(Kind::Access, site, client, |writer| {
            writer.row.status = 400;
            writer.row.malformed = Some(malformed);
        });
    }

    /// A log-in.
    pub(super) fn login(&mut self, site: &str, client: &str, outcome: AuthOutcome) {
        self.line(Kind::Auth, site, client, |writer| {
            writer.row.auth = Some(Auth {
                outcome,
                reason: None,
                method: AuthMethod::Password,
                confidence: Confidence::High,
                counted: true,
            });
        });
    }

    /// A line of an error log.
    pub(super) fn server_error(&mut self, site: &str, level: Level) {
        self.line(Kind::ServerError, site, "", |writer| writer.row.level = level);
    }

    /// A line that no format understands.
    pub(super) fn unparsed(&mut self) {
        self.line(Kind::ParseFailure, "", "", |_| ());
    }

    fn line(
        &mut self,
        kind: Kind,
        site: &str,
        client: &str,
        fill: impl FnOnce(&mut crate::engine::batch::Writer<'_>),
    ) {
        self.batch.refill(Arc::default(), b"a line".to_vec());
        let (raw, mut writer) = self.batch.open();
        writer.set_line(raw);
        writer.row.kind = kind;
        writer.row.time = Timestamp::from_secs(1_795_160_000);
        writer.set(Field::Domain, site.as_bytes());
        if !client.is_empty() {
            writer.set(Field::ClientAddress, client.as_bytes());
        }
        fill(&mut writer);
        writer.finish();
        self.tally.add(&self.batch);
    }
}
