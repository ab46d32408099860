//! Which format a sample of lines has: every format reads it, and the one that reads most wins.
//!
//! Where lines are wrapped, the lines inside are voted on; a wrapper wins only where more is read
//! with it than without.

use std::cmp::Reverse;
use std::sync::Arc;

use super::wrapper::Wrapper;
use super::{Context, FAMILY, FORMATS, Format, W3c, directives_of, w3c};
use crate::engine::batch::{Action, EventBatch, Field};
use crate::engine::time::TimeReader;

/// How well a format reads a sample of lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    /// The format.
    pub name: &'static str,
    /// Mean over the lines: 1 for a line read whole, 0.5 with columns left over or by the last
    /// resort, 0 for a miss.
    pub score: f64,
    /// Fields that it can read: of equal scores the higher one wins.
    pub captures: usize,
}

/// Lines looked at by [`vote`].
pub const SAMPLE_LINES: usize = 200;

/// Lets every format read `sample` (whole lines) and answers all votes, the best first.
///
/// A reader of a whole family gets no votes for lines that one of its members reads whole: a file of
/// two known formats is one of them with odd lines, not a third.
pub fn vote(sample: &[u8], times: &mut TimeReader) -> Vec<Vote> {
    vote_after("", sample, times)
}

/// The same for lines before which others have told `state`.
fn vote_after(state: &str, sample: &[u8], times: &mut TimeReader) -> Vec<Vote> {
    let mut batch = EventBatch::default();
    batch.refill(Arc::default(), sample.to_vec());
    let (raw, mut out) = batch.open();
    let lines = raw.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines: Vec<&[u8]> =
        lines.filter(|line| !line.trim_ascii().is_empty()).take(SAMPLE_LINES).collect();
    let formats = FORMATS.iter().filter_map(|entry| Some((entry.name, (entry.build)().ok()?)));
    let mut formats: Vec<(&'static str, Format)> = formats.collect();
    formats.sort_by_key(|(_, format)| Reverse(format.captures().min(FAMILY + 1)));
    let mut is_read_whole = [false; SAMPLE_LINES];
    let mut cx = Context { times };
    let mut votes: Vec<Vote> = Vec::with_capacity(formats.len());
    for (name, mut format) in formats {
        if let Format::W3c(w3c) = &mut format {
            *w3c = W3c::with_state(state);
        }
        let captures = format.captures();
        let (mut count, mut sum) = (0u32, 0f64);
        for (line, is_whole) in lines.iter().zip(&mut is_read_whole) {
            count += 1;
            if captures <= FAMILY && *is_whole {
                continue;
            }
            out.reset();
            if format.parse(line, &mut cx, &mut out).is_ok() {
                if out.row.action == Action::LogDirective {
                    // Any line with `#` in front passes for one, and proves nothing.
                    count -= 1;
                    continue;
                }
                let whole = !out.has(Field::Trailing) && !format.is_last_resort();
                sum += if whole { 1.0 } else { 0.5 };
                *is_whole |= whole;
            }
        }
        let score = if count == 0 { 0.0 } else { sum / f64::from(count) };
        votes.push(Vote { name, score, captures });
    }
    votes.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.captures.cmp(&a.captures)));
    votes
}

/// The definition that suits `sample` best; `combined` where nothing reads any of it.
pub fn detect(sample: &[u8], times: &mut TimeReader) -> String {
    detect_after("", sample, times)
}

/// The same for lines before which others have told `state`; the definition is without it.
pub fn detect_after(state: &str, sample: &[u8], times: &mut TimeReader) -> String {
    let best_of = |votes: Vec<Vote>| votes.into_iter().next().filter(|vote| 0.0 < vote.score);
    let Some(bare) = best_of(vote_after(state, sample, times)) else {
        let told = [state, &directives_of(sample)].iter().any(|told| told.contains("Fields:"));
        let inside = best_inside(sample, times, 0.0, false);
        let name = inside.unwrap_or_else(|| if told { w3c::NAME } else { "combined" }.to_owned());
        return format!("auto:{name}");
    };
    // A shipper's object passes for a line of a program until a format reads what is in it.
    let is_guess = bare.name == "json";
    let inside = (bare.score < 1.0 || is_guess)
        .then(|| best_inside(sample, times, bare.score, is_guess))
        .flatten();
    format!("auto:{}", inside.as_deref().unwrap_or(bare.name))
}

/// The wrapper and format that suit better than a format without a wrapper, whose score is given.
fn best_inside(
    sample: &[u8],
    times: &mut TimeReader,
    mut score: f64,
    is_guess: bool,
) -> Option<String> {
    let mut best = None;
    for wrapper in Wrapper::ALL {
        let (inside, share) = unwrapped(wrapper, sample, times);
        let votes = vote(&inside, times);
        // What names columns must be seen by whoever reads the file, not inside its lines.
        let Some(vote) = votes.iter().find(|vote| vote.name != w3c::NAME) else { continue };
        let reached = vote.score * share;
        let is_equal = is_guess && wrapper == Wrapper::Shipper && score <= reached;
        if 0.0 < reached && (score < reached || is_equal) {
            best = Some(format!("{}>{}", wrapper.name(), vote.name));
            score = reached;
        }
    }
    best
}

/// The lines inside those of `sample`, and how many of a sample's lines have one.
fn unwrapped(wrapper: Wrapper, sample: &[u8], times: &mut TimeReader) -> (Vec<u8>, f64) {
    let (mut inside, mut count, mut lines) = (Vec::new(), 0u32, 0u32);
    let all = sample.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    for line in all.take(SAMPLE_LINES) {
        lines += 1;
        let mut scratch = Vec::new();
        if let Some(envelope) = wrapper.unwrap(line.trim_ascii_end(), times, &mut scratch) {
            count += 1;
            inside.extend(envelope.message.iter().map(|byte| match byte {
                b'\n' => b' ',
                other => *other,
            }));
            inside.push(b'\n');
        }
    }
    (inside, f64::from(count) / f64::from(lines.max(1)))
}
