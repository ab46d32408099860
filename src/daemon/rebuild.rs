//! What a start learns from the lines of the longest window: the state of rules and of the memory.

use super::decode::Decoder;
use crate::engine::batch::EventBatch;
use crate::engine::detect::Detectors;
use crate::engine::memory::Memory;
use crate::store::{Seq, StoreError, StoreReader};

/// Sees the lines of the longest window again, without raising anything; answers what they leave
/// to be remembered.
pub(super) fn rebuild(
    reader: &StoreReader,
    decoder: &mut Decoder,
    detectors: &mut Detectors,
) -> Result<Memory, StoreError> {
    let mut memory = Memory::default();
    let last = reader.last_seq()?;
    let Some(newest) = reader.frame_after(Seq(last.0.saturating_sub(1)))? else {
        return Ok(memory);
    };
    let since = newest.last_time.minus(detectors.window_max());
    let mut batch = EventBatch::default();
    let mut muted = Vec::new();
    let mut last_seen = Seq(0);
    for seq in reader.frames_since(since)? {
        let Some(mut frame) = reader.frame_after(Seq(seq.0.saturating_sub(1)))? else { break };
        if frame.seq <= last_seen {
            continue;
        }
        last_seen = frame.seq;
        let bytes = std::mem::take(&mut frame.bytes);
        decoder.replay(&frame, bytes, &mut batch, &mut memory);
        detectors.see(&batch, frame.received, &mut muted);
        muted.clear();
    }
    Ok(memory)
}
