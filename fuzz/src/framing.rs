//! Any bytes as the stream of a sender of syslog: the lines are the same however the network cuts it,
//! and none is longer than the limit. The first byte says how it is cut.

#![no_main]

use gatewatch::source::listen::framing::{Framer, Lines};
use libfuzzer_sys::fuzz_target;

/// The longest line.
const MAX: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let whole = cut(stream, stream.len().max(1));
    assert_eq!(whole, cut(stream, usize::from(step) + 1));
    let mut start = 0;
    let mut cuts = whole.cuts.iter().copied().peekable();
    while start < whole.bytes.len() {
        let rest = &whole.bytes[start..];
        let end = rest.iter().position(|byte| *byte == b'\n').map(|at| start + at);
        let (end, next) = match (cuts.next_if(|cut| end.is_none_or(|end| *cut <= end)), end) {
            (Some(cut), _) => (cut, cut),
            (None, Some(end)) => (end, end + 1),
            (None, None) => panic!("a line has no end"),
        };
        assert!(end - start <= MAX, "a line of {} bytes", end - start);
        start = next;
    }
    assert_eq!(None, cuts.next());
});

fn cut(stream: &[u8], step: usize) -> Lines {
    let mut framer = Framer::new(MAX);
    let mut lines = Lines::default();
    for part in stream.chunks(step) {
        framer.push(part, &mut lines);
    }
    framer.finish(&mut lines);
    lines
}
