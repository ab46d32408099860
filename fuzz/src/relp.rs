//! Any bytes as the answers of a RELP receiver: they are the same however the network cuts them, and
//! what is held is bounded. The first byte says how they are cut.

#![no_main]

use gatewatch::sink::relp::{Malformed, Response, Responses};
use libfuzzer_sys::fuzz_target;

/// More than the longest answer with its head.
const HELD_MAX: usize = 17 << 10;

fuzz_target!(|bytes: &[u8]| {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let whole = read(stream, stream.len().max(1));
    assert_eq!(whole, read(stream, usize::from(step) + 1));
    for response in whole.0 {
        let _ = (response.is_close(), response.verdict(), response.offers("syslog"));
    }
});

/// The answers up to the first that is none, and that.
fn read(stream: &[u8], step: usize) -> (Vec<Response>, Option<Malformed>) {
    let mut responses = Responses::default();
    let mut found = Vec::new();
    for part in stream.chunks(step) {
        responses.feed(part);
        loop {
            match responses.next_frame() {
                Ok(Some(response)) => found.push(response),
                Ok(None) => break,
                Err(malformed) => return (found, Some(malformed)),
            }
        }
        assert!(responses.held() <= HELD_MAX, "{} bytes are held", responses.held());
    }
    (found, None)
}
