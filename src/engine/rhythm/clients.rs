//! The oddest clients: who behaved least like all others, and in what.
//!
//! For each property of a client's hour a histogram of what is usual is kept, and forgets slowly.
//! A client is as odd as its four rarest properties, which are the explanation; whatever lies
//! beyond all that was seen is rarer the further off it is. It is for the weekly report and wakes
//! nobody: a crawler is odd, too.
//!
//! Invariant: a fixed number of bins, whatever clients do; every score is finite.

/// What is known of a client's behaviour within an hour; counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClientHour {
    /// Requests.
    pub requests: u32,
    /// Different paths among them.
    pub paths: u32,
    /// Requests answered 3xx, 4xx, 5xx.
    pub by_class: [u32; 3],
    /// Requests for files that a page consists of.
    pub parts: u32,
    /// Requests by POST.
    pub posts: u32,
    /// Requests by neither GET, HEAD nor POST.
    pub other_methods: u32,
    /// Bytes of the queries.
    pub query_bytes: u32,
    /// Characters in the queries that are no letters, digits or `&=-_.%+`.
    pub odd_characters: u32,
    /// Requests without a referrer.
    pub without_referrer: u32,
    /// Different user agents.
    pub agents: u32,
}

/// Requests from which an hour of a client tells anything.
const REQUESTS_MIN: u32 = 3;

/// Properties of an hour.
const PROPERTIES: usize = 13;

/// What each property is, for people; the order is that of [`ClientHour::properties`].
const NAMES: [&str; PROPERTIES] = [
    "requests",
    "different paths",
    "share of paths asked for once",
    "share of redirects (3xx)",
    "share of refusals (4xx)",
    "share of server errors (5xx)",
    "share of images, styles and scripts",
    "share of POST",
    "share of unusual methods",
    "length of queries",
    "odd characters in queries",
    "share without a referrer",
    "different user agents",
];

/// The range in which each property is told apart: natural logarithms up to e¹², or shares.
const LOGARITHMS: [usize; 5] = [0, 1, 9, 10, 12];
const LOGARITHM_MAX: f32 = 12.0;

const BINS: usize = 24;

/// What an earlier hour of a client still counts after each new one: half after 5,000.
const MEMORY: f32 = 0.999_861;

/// The rarest that a property within what was seen can be: once in a million.
const RAREST: f32 = 1e-6;

/// How much a property beyond all that was seen adds at most.
const OVERSHOOT_MAX: f32 = 3.0;

/// Properties that a score is made of.
const REASONS: usize = 4;

/// Clients that are named.
pub const ODDEST: usize = 5;

impl ClientHour {
    fn properties(&self) -> Option<[f32; PROPERTIES]> {
        if self.requests < REQUESTS_MIN {
            return None;
        }
        let all = self.requests as f32;
        let share = |count: u32| (count as f32 / all).min(1.0);
        let log = |count: u32| (count as f32).ln_1p();
        let [redirects, refusals, errors] = self.by_class;
        Some([
            log(self.requests),
            log(self.paths),
            share(self.paths),
            share(redirects),
            share(refusals),
            share(errors),
            share(self.parts),
            share(self.posts),
            share(self.other_methods),
            log(self.query_bytes / self.requests),
            log(self.odd_characters),
            share(self.without_referrer),
            log(self.agents),
        ])
    }
}

/// What is usual of clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Usual {
    bins: [[f32; BINS]; PROPERTIES],
    /// Smallest and largest value seen.
    range: [(f32, f32); PROPERTIES],
    weight: f32,
}

/// A property that makes a client odd.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reason {
    /// What it is.
    pub what: &'static str,
    /// How rare: 2 is one client hour in a hundred.
    pub rarity: f32,
}

/// How odd a client is, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct OddClient<K> {
    /// Who it is.
    pub client: K,
    /// The sum of its reasons.
    pub score: f32,
    /// Its rarest properties, the rarest first.
    pub reasons: [Reason; REASONS],
}

impl Default for Usual {
    fn default() -> Self {
        let range = [(f32::INFINITY, f32::NEG_INFINITY); PROPERTIES];
        Self { bins: [[0.0; BINS]; PROPERTIES], range, weight: 0.0 }
    }
}

impl Usual {
    /// Learns from the hour of a client.
    pub fn learn(&mut self, hour: &ClientHour) {
        let Some(values) = hour.properties() else { return };
        self.weight = self.weight * MEMORY + 1.0;
        for (property, value) in values.into_iter().enumerate() {
            self.bins[property].iter_mut().for_each(|bin| *bin *= MEMORY);
            self.bins[property][bin_of(property, value)] += 1.0;
            let (least, most) = &mut self.range[property];
            (*least, *most) = (least.min(value), most.max(value));
        }
    }

    /// How odd the hour of `client` is; none where it tells nothing.
    pub fn judge<K>(&self, client: K, hour: &ClientHour) -> Option<OddClient<K>> {
        let values = hour.properties()?;
        let mut reasons: Vec<Reason> = values
            .into_iter()
            .enumerate()
            .map(|(property, value)| Reason {
                what: NAMES[property],
                rarity: self.rarity(property, value),
            })
            .collect();
        reasons.sort_by(|a, b| b.rarity.total_cmp(&a.rarity));
        let reasons: [Reason; REASONS] = std::array::from_fn(|at| reasons[at]);
        let score = reasons.iter().map(|reason| reason.rarity).sum();
        Some(OddClient { client, score, reasons })
    }

    /// −log₁₀ of the part of client hours with such a value, or with a larger one if more of them
    /// are larger.
    fn rarity(&self, property: usize, value: f32) -> f32 {
        let bins = &self.bins[property];
        let bin = bin_of(property, value);
        let (least, most) = self.range[property];
        let weight = self.weight.max(1.0);
        if least <= value && value <= most {
            let above: f32 = bins[bin..].iter().sum();
            return -(bins[bin].min(above) / weight).clamp(RAREST, 1.0).log10();
        }
        let off = if value < least { least - value } else { value - most };
        let overshoot = if off.is_finite() { off / self.spread(property) } else { 0.0 };
        -(0.3 / weight).clamp(RAREST, 1.0).log10() + overshoot.clamp(0.0, OVERSHOOT_MAX)
    }

    /// The width of the middle four fifths of a property, at least that of a bin.
    fn spread(&self, property: usize) -> f32 {
        let quantile = |share: f32| {
            let mut sum = 0.0;
            let at = self.bins[property].iter().position(|bin| {
                sum += bin;
                share * self.weight <= sum
            });
            at.unwrap_or(BINS - 1) as f32
        };
        (quantile(0.9) - quantile(0.1)).max(1.0) * width(property)
    }
}

/// The oddest of `clients`, the oddest first.
pub fn oddest<K: Ord>(clients: impl Iterator<Item = OddClient<K>>) -> Vec<OddClient<K>> {
    let mut best: Vec<OddClient<K>> = Vec::with_capacity(ODDEST + 1);
    for client in clients {
        let before = |one: &OddClient<K>| {
            let by_score = client.score.total_cmp(&one.score).reverse();
            by_score.then_with(|| one.client.cmp(&client.client).reverse()).is_ge()
        };
        let at = best.partition_point(before);
        best.insert(at, client);
        best.truncate(ODDEST);
    }
    best
}

/// The width of a bin.
fn width(property: usize) -> f32 {
    let range = if LOGARITHMS.contains(&property) { LOGARITHM_MAX } else { 1.0 };
    range / BINS as f32
}

fn bin_of(property: usize, value: f32) -> usize {
    ((value / width(property)) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Somebody who looks at a few pages.
    fn visitor(number: u32) -> ClientHour {
        let requests = 8 + number % 25;
        ClientHour {
            requests,
            paths: 5 + number % 7,
            by_class: [number % 3, number % 2, 0],
            parts: requests / 2 + number % 3,
            posts: u32::from(number.is_multiple_of(9)),
            query_bytes: 10 * (number % 4),
            without_referrer: 1 + number % 2,
            agents: 1,
            ..ClientHour::default()
        }
    }

    fn usual() -> Usual {
        let mut usual = Usual::default();
        (0..2000).for_each(|number| usual.learn(&visitor(number)));
        usual
    }

    /// A scanner: many paths that are not there, no referrer, odd queries.
    const SCANNER: ClientHour = ClientHour {
        requests: 900,
        paths: 880,
        by_class: [0, 860, 10],
        parts: 0,
        posts: 90,
        other_methods: 20,
        query_bytes: 70_000,
        odd_characters: 4_000,
        without_referrer: 900,
        agents: 4,
    };

    #[test]
    fn a_scanner_is_the_oddest_and_says_why() {
        let usual = usual();
        let visitors = (0..500).filter_map(|number| usual.judge(number, &visitor(number)));
        let scanner = usual.judge(9999, &SCANNER);
        let found = oddest(visitors.chain(scanner));
        assert_eq!(ODDEST, found.len());
        assert_eq!(9999, found[0].client);
        assert!(2.0 * found[1].score < found[0].score, "{found:?}");
        let reasons: Vec<&str> = found[0].reasons.iter().map(|reason| reason.what).collect();
        assert!(reasons.contains(&"odd characters in queries"), "{reasons:?}");
        assert!(found[0].reasons.is_sorted_by(|a, b| b.rarity <= a.rarity));
    }

    #[test]
    fn a_few_requests_of_a_scanner_are_odd_and_fewer_than_three_tell_nothing() {
        let usual = usual();
        let few = ClientHour {
            requests: 5,
            paths: 5,
            by_class: [0, 5, 0],
            query_bytes: 400,
            odd_characters: 30,
            without_referrer: 5,
            agents: 1,
            ..ClientHour::default()
        };
        let score = |hour: &ClientHour| usual.judge((), hour).map(|odd| odd.score);
        let visitors = (0..500).filter_map(|number| score(&visitor(number)));
        let most = visitors.fold(0.0, f32::max);
        assert!(most < score(&few).expect("a score"), "{most}");
        assert_eq!(None, score(&ClientHour { requests: 2, ..few }));
    }

    #[test]
    fn what_has_become_usual_is_odd_no_more() {
        let mut usual = usual();
        let score = |usual: &Usual| usual.judge((), &SCANNER).map_or(0.0, |odd| odd.score);
        let before = score(&usual);
        (0..2000).for_each(|_| usual.learn(&SCANNER));
        assert!(score(&usual) < before / 4.0);
    }

    proptest! {
        #[test]
        fn every_score_is_finite(
            numbers in prop::collection::vec(any::<u32>(), 12), learnt in 0..50u32,
        ) {
            let mut usual = Usual::default();
            (0..learnt).for_each(|number| usual.learn(&visitor(number)));
            let hour = ClientHour {
                requests: numbers[0],
                paths: numbers[1],
                by_class: [numbers[2], numbers[3], numbers[4]],
                parts: numbers[5],
                posts: numbers[6],
                other_methods: numbers[7],
                query_bytes: numbers[8],
                odd_characters: numbers[9],
                without_referrer: numbers[10],
                agents: numbers[11],
            };
            usual.learn(&hour);
            if let Some(odd) = usual.judge((), &hour) {
                prop_assert!(odd.score.is_finite() && 0.0 <= odd.score);
            }
            prop_assert!(usual.judge((), &SCANNER).is_some_and(|odd| odd.score.is_finite()));
        }
    }
}
