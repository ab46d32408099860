//! Millions of addresses, networks and texts in little memory, found by binary search.
//!
//! A single IPv4 address takes 8 bytes, one of IPv6 20, a network up to 28 or 68, a text 12: texts are
//! kept as keyed hashes of 60 bits beside four bits for their kind. So a text that is not listed is
//! taken for one that is with a chance of `n / 2^60` for each look-up, where `n` texts of its kind are
//! listed: for five million of them once in 2 * 10^11 look-ups. Addresses are exact.
//!
//! Invariant: a look-up is a binary search and allocates nothing, whatever the list holds. Of several
//! networks that hold an address the one that begins last decides: the innermost.

use std::net::IpAddr;

/// What stands behind an address: the number of a note.
pub(super) type Note = u32;

/// An address as a number that can be compared and counted.
pub(super) trait Number: Copy + Ord {
    /// The one behind it.
    fn next(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Bytes in the order of the network, because a `u128` would be padded to 16 beside its note.
impl Number for [u8; 16] {
    fn next(self) -> Option<Self> {
        u128::from_be_bytes(self).checked_add(1).map(u128::to_be_bytes)
    }
}

/// A stretch of addresses, ends included.
pub(super) type Range<A> = (A, A, Note);

/// No range.
const NONE: u32 = u32::MAX;

/// Addresses and ranges of one family.
#[derive(Debug)]
pub(super) struct Addresses<A> {
    singles: Vec<(A, Note)>,
    /// Where a stretch begins in which the same range decides, and its number or [`NONE`].
    pieces: Vec<(A, u32)>,
    ranges: Vec<Range<A>>,
}

impl<A: Number> Addresses<A> {
    /// Takes addresses and ranges in any order; `better` says whether the first note is to be kept
    /// rather than the second where both are about the same.
    pub(super) fn new(
        mut singles: Vec<(A, Note)>,
        mut ranges: Vec<Range<A>>,
        better: impl Fn(Note, Note) -> bool,
    ) -> Self {
        singles.sort_unstable();
        singles.dedup_by(|next, kept| {
            if next.0 == kept.0 && better(next.1, kept.1) {
                kept.1 = next.1;
            }
            next.0 == kept.0
        });
        singles.shrink_to_fit();
        // A wide range stands before those in it that begin at the same place.
        ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
        ranges.dedup_by(|next, kept| {
            let same = (next.0, next.1) == (kept.0, kept.1);
            if same && better(next.2, kept.2) {
                kept.2 = next.2;
            }
            same
        });
        ranges.shrink_to_fit();
        let pieces = pieces(&ranges);
        Self { singles, pieces, ranges }
    }

    /// The first and last address of what lists `address`, and its note.
    pub(super) fn find(&self, address: A) -> Option<Range<A>> {
        if let Ok(at) = self.singles.binary_search_by(|(one, _)| one.cmp(&address)) {
            return Some((address, address, self.singles[at].1));
        }
        let at = self.pieces.partition_point(|(start, _)| *start <= address);
        let (_, range) = *self.pieces.get(at.checked_sub(1)?)?;
        self.ranges.get(range as usize).copied()
    }

    /// How many single addresses and how many ranges.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.singles.len(), self.ranges.len())
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.singles.capacity() * size_of::<(A, Note)>()
            + self.pieces.capacity() * size_of::<(A, u32)>()
            + self.ranges.capacity() * size_of::<Range<A>>()
    }
}

/// Cuts sorted ranges into stretches in each of which one range decides.
fn pieces<A: Number>(ranges: &[Range<A>]) -> Vec<(A, u32)> {
    let mut pieces: Vec<(A, u32)> = Vec::with_capacity(ranges.len());
    let mut open: Vec<u32> = Vec::new();
    let mut put = |start: A, range: u32| match pieces.last_mut() {
        Some(last) if last.0 == start => last.1 = range,
        Some(last) if last.1 == range => (),
        _ => pieces.push((start, range)),
    };
    let end_of = |range: u32| ranges[range as usize].1;
    // Ends what ends before `next`; where nothing comes any more, everything.
    let close = |open: &mut Vec<u32>, next: Option<A>, put: &mut dyn FnMut(A, u32)| {
        while let Some(top) = open.last().copied() {
            let end = end_of(top);
            if next.is_some_and(|next| next <= end) {
                return;
            }
            let Some(behind) = end.next() else { return open.clear() };
            while open.last().is_some_and(|under| end_of(*under) < behind) {
                open.pop();
            }
            put(behind, open.last().copied().unwrap_or(NONE));
        }
    };
    for (number, (start, _, _)) in (0..).zip(ranges) {
        close(&mut open, Some(*start), &mut put);
        put(*start, number);
        open.push(number);
    }
    close(&mut open, None, &mut put);
    pieces.shrink_to_fit();
    pieces
}

/// Bits of a text's key that tell its kind.
const KIND_BITS: u64 = 0b1111;

/// Texts on average between two places where a search begins.
const STRIDE: usize = 8;

/// Texts of all kinds.
#[derive(Debug)]
pub(super) struct Texts {
    keys: Vec<u64>,
    notes: Vec<Note>,
    /// Where the keys with the same first bits begin.
    starts: Vec<u32>,
    shift: u32,
}

impl Texts {
    /// Takes keys in any order; see [`Addresses::new`].
    pub(super) fn new(mut entries: Vec<(u64, Note)>, better: impl Fn(Note, Note) -> bool) -> Self {
        entries.sort_unstable();
        entries.dedup_by(|next, kept| {
            if next.0 == kept.0 && better(next.1, kept.1) {
                kept.1 = next.1;
            }
            next.0 == kept.0
        });
        let bits = (entries.len() / STRIDE).max(1).ilog2();
        // One bit at least stays, so that the shift is none of all 64.
        let shift = 64 - bits.max(1);
        let mut starts = vec![0; (1 << bits.max(1)) + 1];
        for (key, _) in &entries {
            starts[(key >> shift) as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let keys = entries.iter().map(|(key, _)| *key).collect();
        let notes = entries.iter().map(|(_, note)| *note).collect();
        Self { keys, notes, starts, shift }
    }

    pub(super) fn find(&self, key: u64) -> Option<Note> {
        let bucket = (key >> self.shift) as usize;
        let (from, to) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        let at = self.keys[from..to].binary_search(&key).ok()?;
        Some(self.notes[from + at])
    }

    /// How many there are of a kind.
    pub(super) fn count(&self, kind: u8) -> usize {
        self.keys.iter().filter(|key| **key & KIND_BITS == u64::from(kind)).count()
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.keys.capacity() * 8 + (self.notes.capacity() + self.starts.capacity()) * 4
    }
}

/// The key of a text with the hash `hash`.
pub(super) fn key(hash: u64, kind: u8) -> u64 {
    hash & !KIND_BITS | u64::from(kind)
}

/// An address as its family's number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    V4(u32),
    V6([u8; 16]),
}

impl From<IpAddr> for Family {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.into()),
            IpAddr::V6(v6) => Self::V6(v6.octets()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What [`Addresses::find`] means, slowly.
    fn naive(singles: &[(u32, Note)], ranges: &[Range<u32>], address: u32) -> Option<(u32, u32)> {
        if singles.iter().any(|(one, _)| *one == address) {
            return Some((address, address));
        }
        let holds = |range: &&Range<u32>| range.0 <= address && address <= range.1;
        let innermost = ranges.iter().filter(holds);
        innermost.max_by_key(|range| (range.0, u32::MAX - range.1)).map(|range| (range.0, range.1))
    }

    proptest! {
        #[test]
        fn an_index_answers_what_a_list_would(
            singles in proptest::collection::vec((0..64u32, 0..9u32), 0..12),
            ranges in proptest::collection::vec((0..64u32, 0..40u32), 0..12),
        ) {
            // Some reach the last address there is.
            let place = |at: u32| if 60 < at { u32::MAX - (64 - at) } else { at };
            let singles: Vec<_> = singles.iter().map(|(at, note)| (place(*at), *note)).collect();
            let ranges: Vec<Range<u32>> = ranges
                .iter()
                .map(|(start, len)| (place(*start), place(*start).saturating_add(*len), 1))
                .collect();
            let index = Addresses::new(singles.clone(), ranges.clone(), |_, _| false);
            for at in (0..110).chain(u32::MAX - 70..=u32::MAX) {
                let found = index.find(at).map(|range| (range.0, range.1));
                prop_assert_eq!(naive(&singles, &ranges, at), found, "{}", at);
            }
        }

        #[test]
        fn the_same_holds_for_ipv6(ranges in proptest::collection::vec((0..64u8, 0..9u8), 0..12)) {
            let wide = |at: u32| (u128::from(at) << 64).to_be_bytes();
            let narrow: Vec<Range<u32>> = ranges
                .iter()
                .map(|(start, len)| (u32::from(*start), u32::from(*start + *len), 1))
                .collect();
            let ranges = narrow.iter().map(|(a, b, note)| (wide(*a), wide(*b), *note)).collect();
            let index = Addresses::new(Vec::new(), ranges, |_, _| false);
            for at in 0..80 {
                let expected = naive(&[], &narrow, at).map(|(a, b)| (wide(a), wide(b)));
                prop_assert_eq!(expected, index.find(wide(at)).map(|range| (range.0, range.1)));
            }
        }

        #[test]
        fn texts_are_found_and_no_others(keys in proptest::collection::vec(any::<u64>(), 0..200)) {
            let listed: Vec<_> = keys.iter().map(|hash| (key(*hash, 3), 7)).collect();
            let index = Texts::new(listed, |_, _| false);
            for hash in &keys {
                prop_assert_eq!(Some(7), index.find(key(*hash, 3)));
                let is_listed = keys.iter().any(|one| one >> 4 == (hash ^ 16) >> 4);
                prop_assert_eq!(is_listed, index.find(key(hash ^ 16, 3)).is_some());
                prop_assert_eq!(None, index.find(key(*hash, 4)));
            }
        }
    }

    #[test]
    fn of_two_notes_about_the_same_the_better_one_is_kept() {
        let better = |one: Note, other: Note| other < one;
        let index =
            Addresses::new(vec![(5, 1), (5, 9), (5, 3)], vec![(7, 8, 2), (7, 8, 4)], better);
        assert_eq!(Some((5, 5, 9)), index.find(5));
        assert_eq!(Some((7, 8, 4)), index.find(8));
        assert_eq!((1, 1), index.len());
        let texts = Texts::new(vec![(key(16, 1), 1), (key(16, 1), 9)], better);
        assert_eq!(Some(9), texts.find(key(16, 1)));
    }

    /// The lists of `docs/feeds.md`.
    #[test]
    fn five_million_of_a_kind_take_the_bytes_that_the_page_says() {
        const MANY: u32 = 5_000_000;
        let spread = |at: u32| at.wrapping_mul(2_654_435_761);
        let singles = (0..MANY).map(|at| (spread(at), 0)).collect();
        let index: Addresses<u32> = Addresses::new(singles, Vec::new(), |_, _| false);
        assert_eq!((MANY as usize, 0), index.len());
        assert_eq!(40_000_000, index.bytes());
        let key_of = |at: u32| u64::from(at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let texts = Texts::new((0..MANY).map(|at| (key(key_of(at), 1), 0)).collect(), |_, _| false);
        assert_eq!(62_097_156, texts.bytes());
        assert_eq!(Some(0), texts.find(key(key_of(77), 1)));
    }
}
