//! What a start learns from the lines that rules and the memory look back at.

use super::decode::Decoder;
use super::rhythm::Weekly;
use crate::config::Config;
use crate::engine::batch::EventBatch;
use crate::engine::detect::incident::{self, Incidents};
use crate::engine::detect::{Alert, Detectors};
use crate::engine::memory::Memory;
use crate::store::{AlertFilter, Frame, Seq, StoreError, StoreReader};
use crate::units::{Period, Timestamp};

/// How far back rules and the memory look: lines stay in the store as long.
pub(super) fn reach(config: &Config, detectors: &Detectors) -> Period {
    detectors.window_max().max(config.logins.session_gap)
}

/// Bytes of lines that a start reads again at most, so that it takes a second or so on a busy
/// machine too. What rules over days saw before them is forgotten by a restart.
const REPLAYED_BYTES_MAX: u64 = 256 << 20;

/// Sees the lines of the time `reach` again, without raising anything, and goes on with the alerts that
/// were `open`; answers what the lines leave to be remembered.
pub(super) fn rebuild(
    reader: &StoreReader,
    decoder: &mut Decoder,
    (detectors, weekly): (&mut Detectors, &mut Weekly),
    open: &[Alert],
    reach: Period,
) -> Result<Memory, StoreError> {
    let mut memory = decoder.memory();
    let last = reader.last_seq()?;
    let mut seqs = Vec::new();
    // Nothing is seen again: all that was open began before.
    let mut since = Timestamp(u64::MAX);
    if let Some(newest) = reader.frame_after(Seq(last.0.saturating_sub(1)))? {
        since = newest.last_time.minus(reach);
        seqs = reader.frames_since(since, REPLAYED_BYTES_MAX)?;
        if seqs.len() < reader.frames_since(since, u64::MAX)?.len() {
            let first = seqs.first().map(|seq| reader.frame_after(Seq(seq.0.saturating_sub(1))));
            since = first.transpose()?.flatten().map_or(since, |frame| frame.last_time);
            weekly.forget_before(since);
        }
    }
    detectors.resume(open, since, |detectors| {
        replay(reader, &seqs, |mut frame, batch| {
            let bytes = std::mem::take(&mut frame.bytes);
            decoder.replay(&frame, bytes, batch, &mut memory);
            detectors.see(batch, frame.received, &mut Vec::new());
            weekly.see(batch, frame.received);
        })
    })?;
    Ok(memory)
}

/// Transitions of alerts that a start reads again at most.
const TRANSITIONS_MAX: usize = 20_000;

/// The incidents as the alerts that were stored made them; `open` are those that go on.
pub(super) fn incidents_of(
    reader: &StoreReader,
    open: &[Alert],
    now: Timestamp,
) -> Result<Incidents, StoreError> {
    let since = Some(now.minus(incident::MEMORY));
    let filter = AlertFilter { since, limit: TRANSITIONS_MAX, ..AlertFilter::default() };
    let mut stored = reader.alerts(&filter)?;
    stored.reverse();
    let mut incidents = Incidents::default();
    let is_older = |alert: &&Alert| alert.at < now.minus(incident::MEMORY);
    open.iter().filter(is_older).chain(&stored).for_each(|alert| incidents.restore(alert));
    Ok(incidents)
}

/// Hands each of the frames to `see`, in their order.
fn replay(
    reader: &StoreReader,
    seqs: &[Seq],
    mut see: impl FnMut(Frame, &mut EventBatch),
) -> Result<(), StoreError> {
    let (mut batch, mut last_seen) = (EventBatch::default(), Seq(0));
    for seq in seqs {
        let Some(frame) = reader.frame_after(Seq(seq.0.saturating_sub(1)))? else { break };
        if last_seen < frame.seq {
            last_seen = frame.seq;
            see(frame, &mut batch);
        }
    }
    Ok(())
}
