//! A long message of GELF as the datagrams that Graylog puts together again. Pure.
//!
//! A chunk is `1E 0F`, eight bytes that all chunks of a message share, its number, how many there are,
//! and its part of the message. The shared bytes come from the message's hash, so that they differ
//! between messages, each of which has its event's id in it, and need no memory.
//!
//! Invariant: a message that fits is sent as it is; parts put in a row are the message.

use sha2::{Digest, Sha256};

/// Bytes of a datagram that also passes through tunnels whole.
const DATAGRAM_BYTES: usize = 1420;

/// Magic number, shared bytes, number and count.
const HEAD_BYTES: usize = 12;

const PART_BYTES: usize = DATAGRAM_BYTES - HEAD_BYTES;

/// More chunks make Graylog drop the message.
const CHUNKS_MAX: usize = 128;

/// The longest message that can be sent.
pub(super) const MESSAGE_BYTES_MAX: usize = CHUNKS_MAX * PART_BYTES;

/// The datagrams of `message`, at most [`MESSAGE_BYTES_MAX`] long; `None` if it needs no chunks.
pub(super) fn chunks(message: &[u8]) -> Option<impl Iterator<Item = Vec<u8>>> {
    if message.len() <= DATAGRAM_BYTES {
        return None;
    }
    let digest = Sha256::digest(message);
    let count = message.len().div_ceil(PART_BYTES);
    let count = u8::try_from(count).expect("a message is not longer than its chunks can be");
    Some(message.chunks(PART_BYTES).zip(0_u8..).map(move |(part, number)| {
        let mut chunk = Vec::with_capacity(HEAD_BYTES + part.len());
        chunk.extend_from_slice(&[0x1e, 0x0f]);
        chunk.extend_from_slice(&digest[..8]);
        chunk.extend_from_slice(&[number, count]);
        chunk.extend_from_slice(part);
        chunk
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_is_no_chunk() {
        assert!(chunks(&[b'x'; DATAGRAM_BYTES]).is_none());
        assert_eq!(2, chunks(&[b'x'; DATAGRAM_BYTES + 1]).expect("chunks").count());
        assert_eq!(128, chunks(&vec![b'x'; MESSAGE_BYTES_MAX]).expect("chunks").count());
    }

    proptest! {
        #[test]
        fn parts_in_a_row_are_the_message(
            message in proptest::collection::vec(any::<u8>(), DATAGRAM_BYTES + 1..20_000),
        ) {
            let mut whole = Vec::new();
            let all: Vec<Vec<u8>> = chunks(&message).expect("chunks").collect();
            for (number, chunk) in all.iter().enumerate() {
                prop_assert!(chunk.len() <= DATAGRAM_BYTES);
                prop_assert_eq!(&chunk[..2], &[0x1e, 0x0f]);
                prop_assert_eq!(&chunk[2..10], &all[0][2..10]);
                prop_assert_eq!((number, all.len()), (chunk[10].into(), chunk[11].into()));
                whole.extend_from_slice(&chunk[HEAD_BYTES..]);
            }
            prop_assert_eq!(message, whole);
        }
    }
}
