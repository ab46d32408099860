//! What signatures make of any target, agent, referrer and user: the four lines of the input.
//!
//! They say the same when asked again, and no view is longer than its field.

#![no_main]

use gatewatch::engine::detect::signature::{Request, Scratch, Shape, View, examine};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (target, agent, referrer, user) = (line(), line(), line(), line());
    let request = Request { target, agent, referrer, user, ..Request::default() };
    let mut scratch = Scratch::default();
    let signs = examine(&request, &mut scratch);
    assert_eq!(signs, examine(&request, &mut scratch), "buffers leave nothing behind");

    let mut view = View::default();
    view.read(target, Shape::Address);
    assert!(view.text().len() <= target.len(), "a view is never longer than its field");
});
