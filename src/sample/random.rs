//! Repeatable chance for the samples.
//!
//! Integers only: floating-point functions may differ in the last digit from machine to machine,
//! and the same seed must give the same bytes on all of them.

/// A sequence of values that its seed decides (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The sequence number `stream` of `seed`; streams do not disturb each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed) ^ mix(stream.wrapping_add(0x5851_f42d_4c95_7f2d)))
    }

    /// The next value, evenly spread over all 64 bits.
    #[inline]
    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A value below `limit`; zero where `limit` is.
    #[inline]
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(limit)) >> 64) as u64
    }

    /// True in `n` of a thousand cases.
    #[inline]
    pub(super) fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    /// One of `items`, each as likely as the other.
    #[inline]
    pub(super) fn pick<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// One of `items`, as often as its weight says.
    #[inline]
    pub(super) fn weighted<T: Copy>(&mut self, items: &[(T, u32)]) -> T {
        let total: u32 = items.iter().map(|(_, weight)| weight).sum();
        let mut left = self.below(u64::from(total)) as u32;
        for (item, weight) in items {
            if left < *weight {
                return *item;
            }
            left -= weight;
        }
        items[items.len() - 1].0
    }

    /// A rank below `count` after Zipf's law: each octave of ranks is as likely as the other.
    #[inline]
    pub(super) fn zipf(&mut self, count: u64) -> u64 {
        let octaves = u64::from((count + 1).ilog2()) + 1;
        let first = 1u64 << self.below(octaves);
        let rank = first - 1 + self.below(first);
        // The last octave may reach beyond the last rank.
        if rank < count { rank } else { self.below(count) }
    }
}

/// Spreads the bits of `value`: neighbours get unlike results.
#[inline]
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_ranks_are_drawn_most_and_all_stay_below_the_count() {
        let mut random = Random::new(1, 0);
        for count in [1, 2, 3, 100, 1000] {
            let mut drawn = vec![0u32; count as usize];
            for _ in 0..20_000 {
                drawn[random.zipf(count) as usize] += 1;
            }
            assert_eq!(drawn.iter().max(), drawn.first(), "{count}");
        }
    }

    #[test]
    fn weights_decide_how_often() {
        let mut random = Random::new(2, 0);
        let often = (0..10_000).filter(|_| random.weighted(&[(true, 9), (false, 1)])).count();
        assert!((8_800..9_200).contains(&often), "{often}");
    }
}
