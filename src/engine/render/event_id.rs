//! Names an event by what it is, so that the same line read again is recognised.
//!
//! The id is a ULID: 48 bits of event time and 80 bits of SHA-256 over the name of the source, the
//! identity of the file's content, the offset of the line and the line itself. Nothing in it
//! depends on when or how often the line was read, on the path, or on the inode: a replay, a
//! renamed file and its compressed copy all give the ids of the first run.
//!
//! Invariant: an event whose time is only the time of reading has zero as its time part, because
//! that time would differ in a replay.

use sha2::{Digest, Sha256};

use crate::engine::batch::{Event, Origin};

/// Length of an id in characters.
pub const ID_LEN: usize = 26;

/// How many bytes of a file identify its content at most.
pub const FINGERPRINT_BYTES_MAX: usize = 4096;

/// Gives the ids of one origin's events.
///
/// What all lines of an origin share is hashed once, here; each line adds its offset and its text.
#[derive(Clone, Debug)]
pub struct EventId {
    shared: Sha256,
}

impl EventId {
    /// Prepares the ids of `origin`.
    pub fn new(origin: &Origin) -> Self {
        let mut shared = Sha256::new();
        shared.update(b"gw1\0");
        shared.update(origin.source.as_bytes());
        shared.update(b"\0");
        shared.update(origin.fingerprint);
        Self { shared }
    }

    /// The id of `event` as 26 characters of Crockford's base 32.
    pub fn of(&self, event: &Event<'_>) -> [u8; ID_LEN] {
        let row = event.row();
        let time_ms = if row.time_is_read { 0 } else { row.time.ms() };
        self.of_line(time_ms, row.offset, event.line())
    }

    /// The id of the line `raw` (without its ending) at `offset`, which happened at `time_ms`.
    pub fn of_line(&self, time_ms: u64, offset: u64, raw: &[u8]) -> [u8; ID_LEN] {
        let mut hash = self.shared.clone();
        hash.update(offset.to_le_bytes());
        hash.update(raw);
        let digest: [u8; 32] = hash.finalize().into();
        let mut id = [b'0'; ID_LEN];
        base32(&mut id[..10], time_ms.min((1 << 48) - 1));
        base32(&mut id[10..18], big_endian(&digest[..5]));
        base32(&mut id[18..], big_endian(&digest[5..10]));
        id
    }
}

/// Identity of a file's content: the hash of its first data line, with its ending.
///
/// `first` are the bytes up to and including the first LF that ends a data line; what lies behind
/// [`FINGERPRINT_BYTES_MAX`] is left out.
pub fn fingerprint(first: &[u8]) -> [u8; 32] {
    Sha256::digest(&first[..first.len().min(FINGERPRINT_BYTES_MAX)]).into()
}

/// Appends `event.hash`: SHA-256 of the raw line in lower-case hexadecimal.
pub fn push_line_hash(out: &mut Vec<u8>, raw: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(Sha256::digest(raw)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out.extend_from_slice(&text);
}

fn base32(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(value & 31) as usize];
        value >>= 5;
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::batch::EventBatch;
    use crate::engine::text::hex;
    use crate::units::Timestamp;

    const LINE: &[u8] = b"203.0.113.7 - alice [20/Nov/2026:07:46:41 +0000] \
        \"GET /secret/?a=1 HTTP/1.1\" 401 179 \"-\" \"curl/8.5.0\"";
    const TIME_MS: u64 = 1_795_160_801_000;

    fn origin() -> Origin {
        let first = [LINE, b"\n"].concat();
        let fingerprint = fingerprint(&first);
        Origin { source: "web1:nginx-access".to_owned(), fingerprint, ..Origin::default() }
    }

    #[track_caller]
    fn check(time_ms: u64, offset: u64, expected: &str) {
        let id = EventId::new(&origin()).of_line(time_ms, offset, LINE);
        assert_eq!(expected, String::from_utf8_lossy(&id));
    }

    #[test]
    fn the_same_line_at_two_places_has_two_known_ids() {
        assert_eq!(101, LINE.len());
        check(TIME_MS, 0, "01M7VYQZQ8MYGD1BN6DYFEBQMQ");
        check(TIME_MS, 102, "01M7VYQZQ8CJSRQQC42KZCNTSR");
    }

    #[test]
    fn fingerprint_and_line_hash_are_the_known_ones() {
        assert_eq!(
            "8bad7903442aa0519fd4aa133fa40df6406ed7483b5d350f9449d74ceb807fe6",
            hex(&origin().fingerprint)
        );
        let mut hash = Vec::new();
        push_line_hash(&mut hash, LINE);
        assert_eq!(
            "546883636d29eb788762aa4961cdec287360e18e53f0baa4ebecbeb89f77a079",
            String::from_utf8_lossy(&hash)
        );
    }

    #[test]
    fn a_long_first_line_counts_with_its_first_bytes_only() {
        let long = vec![b'a'; FINGERPRINT_BYTES_MAX + 9];
        assert_eq!(fingerprint(&long[..FINGERPRINT_BYTES_MAX]), fingerprint(&long));
    }

    #[test]
    fn an_event_without_a_time_of_its_own_has_the_same_id_whenever_it_is_read() {
        let ids = [1, 2].map(|second| {
            let mut batch = EventBatch::default();
            batch.refill(origin().into(), LINE.to_vec());
            let (raw, mut writer) = batch.open();
            writer.set_line(raw);
            writer.row.time = Timestamp::from_secs(second);
            writer.row.time_is_read = true;
            writer.finish();
            EventId::new(&batch.origin).of(&batch.event(0))
        });
        assert_eq!(ids[0], ids[1]);
        assert!(ids[0].starts_with(b"0000000000"));
    }
}
