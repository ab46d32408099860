//! Many conditions at once: which of them hold for an event.
//!
//! Most conditions need some text in some field: a part of a path, the name of a scanner. All such
//! texts of all conditions stand in one automaton for each field, which reads the field once; only
//! conditions whose text was seen, and the few that need none, are then asked one by one. So five
//! hundred rules cost little more than five.
//!
//! Invariant: the answer is that of [`Predicate::holds`] asked of each; only the way there is
//! shorter. A property test holds the two together.

use std::sync::Arc;

use aho_corasick::automaton::StateID;

use super::automaton::Automaton;
use super::field::Subject;
use super::predicate::{Gate, Predicate, is_plain_method};
use crate::engine::batch::{Event, EventBatch, Field};

/// Conditions with their automata. Shared by all who ask.
#[derive(Debug)]
pub struct RuleSet {
    predicates: Vec<Predicate>,
    gates: Vec<Gate>,
    scans: Vec<Scan>,
    /// Conditions that no text announces.
    always: Vec<u32>,
}

/// The texts that are looked for in one field.
#[derive(Debug)]
struct Scan {
    subject: Subject,
    automaton: Automaton,
    /// By text: the conditions that need it.
    owners: Vec<Vec<u32>>,
}

/// Asks a [`RuleSet`] about one event after the other.
#[derive(Debug)]
pub struct Matcher {
    set: Arc<RuleSet>,
    /// By condition: the number of the last event that announced it.
    announced: Vec<u32>,
    event: u32,
    candidates: Vec<u32>,
    matching: Vec<u32>,
    memos: Vec<Memo>,
}

/// Values in which nothing was found: user agents and paths repeat.
#[derive(Debug)]
struct Memo {
    places: Vec<Clean>,
    hasher: ahash::RandomState,
}

/// From `before` the automaton went over `value` to `after` and found nothing.
#[derive(Clone, Debug, Default)]
struct Clean {
    before: StateID,
    value: Vec<u8>,
    after: StateID,
}

/// Values remembered for each field.
const MEMO_PLACES: usize = 2048;

/// Longer values are read anew each time: 2,048 of these take 1 MiB.
const MEMO_VALUE_MAX: usize = 512;

/// Shorter ones are read faster than they are looked up.
const MEMO_VALUE_MIN: usize = 24;

const PATH: Subject = Subject::Text(Field::Path);
const TARGET: Subject = Subject::Text(Field::Target);

/// A text, and the conditions that need it.
type Owned<'p> = (&'p [u8], Vec<u32>);

/// A text that a condition needs, and where.
type Needed<'p> = (Subject, &'p [u8]);

impl RuleSet {
    /// Prepares `predicates`; answers name them by their place.
    pub fn new(predicates: Vec<Predicate>) -> Self {
        let mut always = Vec::new();
        let mut texts: Vec<(Subject, Vec<Owned<'_>>)> = Vec::new();
        for (number, predicate) in (0..).zip(&predicates) {
            let Some(needed) = needs(predicate) else {
                always.push(number);
                continue;
            };
            for (subject, text) in needed {
                // A path is the beginning of its target, nearly always: both are read at once.
                let subject = if subject == PATH { TARGET } else { subject };
                let place = texts.iter().position(|(known, _)| *known == subject);
                let place = place.unwrap_or_else(|| {
                    texts.push((subject, Vec::new()));
                    texts.len() - 1
                });
                texts[place].1.push((text, vec![number]));
            }
        }
        let mut scans = Vec::new();
        for (subject, texts) in texts {
            match Scan::new(subject, texts) {
                Ok(scan) => scans.push(scan),
                Err(owners) => always.extend(owners),
            }
        }
        always.sort_unstable();
        always.dedup();
        let gates = predicates.iter().map(Gate::of).collect();
        Self { gates, scans, always, predicates }
    }

    /// The conditions.
    pub fn predicates(&self) -> &[Predicate] {
        &self.predicates
    }

    /// The condition needs a text, so that asking it costs nothing while the text is not there.
    pub fn is_announced(predicate: &Predicate) -> bool {
        needs(predicate).is_some()
    }
}

impl Scan {
    /// Where no automaton can be that large, the conditions have to be asked each time.
    fn new(subject: Subject, mut texts: Vec<Owned<'_>>) -> Result<Self, Vec<u32>> {
        texts.sort();
        texts.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1.append(&mut next.1);
                kept.1.dedup();
            }
            same
        });
        let automaton = Automaton::new(texts.iter().map(|(text, _)| *text));
        let owners = texts.into_iter().map(|(_, owners)| owners);
        match automaton {
            Some(automaton) => Ok(Self { subject, automaton, owners: owners.collect() }),
            None => Err(owners.flatten().collect()),
        }
    }
}

/// Texts of which an event that meets the condition has one at least; `None` where none is known.
fn needs(predicate: &Predicate) -> Option<Vec<Needed<'_>>> {
    match predicate {
        Predicate::Text(subject, patterns) if is_scanned(*subject) => {
            let known = patterns.iter().all(|pattern| !pattern.literals().is_empty());
            let literals = patterns.iter().flat_map(|pattern| pattern.literals());
            known.then(|| literals.map(|text| (*subject, &**text)).collect())
        }
        // Of several texts that must all be there the rarest decides: a long one, and few of them.
        Predicate::All(all) => all.iter().filter_map(needs).max_by_key(|list| {
            let shortest = list.iter().map(|(_, text)| text.len()).min().unwrap_or(0);
            (shortest.min(12), std::cmp::Reverse(list.len()))
        }),
        Predicate::Any(any) => {
            let lists: Option<Vec<_>> = any.iter().map(needs).collect();
            Some(lists?.concat())
        }
        // One of any so many conditions is met even if all others that may fail do.
        Predicate::AtLeast(least, some) if 0 < *least => {
            let lists: Option<Vec<_>> = some.iter().map(needs).collect();
            Some(lists?.concat())
        }
        _ => None,
    }
}

/// Fields whose texts differ enough from line to line that one of them says something.
fn is_scanned(subject: Subject) -> bool {
    match subject {
        Subject::Text(field) => {
            !matches!(field, Field::Method | Field::HttpVersion | Field::Scheme | Field::Process)
        }
        Subject::Line => true,
        _ => false,
    }
}

impl Matcher {
    /// Asks `set`.
    pub fn new(set: Arc<RuleSet>) -> Self {
        Self {
            announced: vec![0; set.predicates.len()],
            memos: set.scans.iter().map(|_| Memo::new()).collect(),
            event: 0,
            candidates: Vec::new(),
            matching: Vec::new(),
            set,
        }
    }

    /// The conditions that hold for `event`, in their order.
    pub fn matching(&mut self, event: &Event<'_>) -> &[u32] {
        self.matching.clear();
        self.candidates.clear();
        self.event = self.event.wrapping_add(1);
        if self.event == 0 {
            self.announced.fill(0);
            self.event = 1;
        }
        self.candidates.extend_from_slice(&self.set.always);
        for (scan, memo) in self.set.scans.iter().zip(&mut self.memos) {
            let (announced, number) = (&mut self.announced, self.event);
            let candidates = &mut self.candidates;
            let mut found = |text: usize| {
                for owner in &scan.owners[text] {
                    if announced[*owner as usize] != number {
                        announced[*owner as usize] = number;
                        candidates.push(*owner);
                    }
                }
            };
            let start = scan.automaton.start();
            let parts = if scan.subject.is_line() { repeated_parts(event) } else { None };
            if let Some(parts) = parts {
                let mut state = start;
                for (place, part) in parts.into_iter().enumerate() {
                    state = if place % 2 == 0 {
                        scan.automaton.read(state, part, &mut found)
                    } else {
                        memo.read(&scan.automaton, state, part, &mut found)
                    };
                }
                continue;
            }
            if scan.subject == TARGET
                && let Some(path) = event.field(Field::Path)
                && !event.field(Field::Target).is_some_and(|target| target.starts_with(path))
            {
                memo.read(&scan.automaton, start, path, &mut found);
            }
            scan.subject.any(event, |value| {
                memo.read(&scan.automaton, start, value, &mut found);
                false
            });
        }
        if self.candidates.is_empty() {
            return &[];
        }
        let (status, auth) = (event.row().status, event.row().auth.is_some());
        let is_odd = !event.field(Field::Method).is_some_and(is_plain_method);
        let set = &self.set;
        let holds = |number: &u32| {
            let number = *number as usize;
            set.gates[number].admits(status, auth, is_odd) && set.predicates[number].holds(event)
        };
        self.matching.extend(self.candidates.iter().copied().filter(holds));
        self.matching.sort_unstable();
        self.matching.dedup();
        &self.matching
    }
}

/// Rules about single events, each with the names that a matching event gets.
#[derive(Clone, Debug)]
pub struct LineRules {
    set: Arc<RuleSet>,
    /// Id and title.
    names: Arc<[(String, String)]>,
}

impl LineRules {
    /// Rules as id, title and condition.
    pub fn new(rules: impl IntoIterator<Item = (String, String, Predicate)>) -> Self {
        let (names, predicates): (Vec<_>, Vec<_>) =
            rules.into_iter().map(|(id, title, condition)| ((id, title), condition)).unzip();
        Self { set: Arc::new(RuleSet::new(predicates)), names: names.into() }
    }

    /// What asks them.
    pub fn matcher(&self) -> Matcher {
        Matcher::new(Arc::clone(&self.set))
    }

    /// Writes into each event of `batch` which rules match it.
    pub fn mark(&self, matcher: &mut Matcher, batch: &mut EventBatch) {
        for index in 0..batch.len() {
            for number in matcher.matching(&batch.event(index)) {
                let (id, title) = &self.names[*number as usize];
                batch.add_at(index, Field::RuleId, id.as_bytes());
                batch.add_at(index, Field::RuleName, title.as_bytes());
            }
        }
    }
}

impl Memo {
    fn new() -> Self {
        // Who knows the seeds can make his own lines slower, no other ones.
        Self { places: Vec::new(), hasher: ahash::RandomState::with_seeds(3, 5, 7, 11) }
    }

    /// Has `automaton` read `value`, unless it is known to find nothing there.
    #[inline]
    fn read(
        &mut self,
        automaton: &Automaton,
        before: StateID,
        value: &[u8],
        mut found: impl FnMut(usize),
    ) -> StateID {
        if !(MEMO_VALUE_MIN..=MEMO_VALUE_MAX).contains(&value.len()) {
            return automaton.read(before, value, found);
        }
        if self.places.is_empty() {
            self.places = vec![Clean::default(); MEMO_PLACES];
        }
        let place = &mut self.places[self.hasher.hash_one(value) as usize % MEMO_PLACES];
        if place.before == before && place.value == value {
            return place.after;
        }
        let mut is_clean = true;
        let after = automaton.read(before, value, |text| {
            is_clean = false;
            found(text);
        });
        if is_clean {
            (place.before, place.after) = (before, after);
            place.value.clear();
            place.value.extend_from_slice(value);
        }
        after
    }
}

/// The line in pieces, of which every second one is a field that repeats from line to line; `None`
/// where the line has escapes, so that it must be read twice.
fn repeated_parts<'e>(event: &Event<'e>) -> Option<[&'e [u8]; 5]> {
    let line = event.line();
    if memchr::memchr(b'\\', line).is_some() {
        return None;
    }
    let referrer = event.place(Field::Referrer)?;
    let agent = event.place(Field::UserAgent)?;
    if line.len() < agent.end || agent.start < referrer.end {
        return None;
    }
    Some([
        &line[..referrer.start],
        &line[referrer.start..referrer.end],
        &line[referrer.end..agent.start],
        &line[agent.start..agent.end],
        &line[agent.end..],
    ])
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::format::FormatSet;
    use crate::engine::parse::{Parser, Text};
    use crate::engine::time::TimeReader;
    use crate::units::Timestamp;

    fn batch(lines: &[String]) -> EventBatch {
        let formats = FormatSet::from_definition("combined").expect("a definition");
        let read_at = Timestamp::from_secs(1_795_160_801);
        let times = TimeReader::new(TimeZone::UTC, read_at);
        let mut parser = Parser::new(formats, times, Arc::default());
        let mut batch = EventBatch::default();
        let (origin, bytes) = (Arc::default(), lines.join("\n").into_bytes());
        parser.fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at });
        batch
    }

    /// A test on one field, with few letters, so that texts meet.
    fn leaf() -> impl Strategy<Value = toml::Table> {
        let key = prop::sample::select(vec![
            "url.original|contains",
            "url.original|startswith",
            "url.path|endswith",
            "url.original",
            "url.original|contains|cased",
            "url.original|contains|all",
            "url.original|re",
            "url.original|re|i",
            "user_agent.original",
            "user_agent.original|contains",
            "http.request.method",
            "event.original",
            "event.original|all",
        ]);
        let values = prop::collection::vec("[aA/][abB*?]{0,3}", 1..4);
        let text = (key, values).prop_map(|(key, values)| {
            let values = values.into_iter().map(|one| {
                // A star repeats nothing at the beginning of an expression.
                let is_regex = key.contains("|re");
                toml::Value::String(if is_regex { one.replace(['*', '?'], ".") } else { one })
            });
            toml::Table::from_iter([(key.to_owned(), toml::Value::Array(values.collect()))])
        });
        let status = (200i64..206).prop_map(|low| {
            ("http.response.status_code|gte".to_owned(), toml::Value::Integer(low))
        });
        let exists = any::<bool>().prop_map(|flag| {
            ("http.request.referrer|exists".to_owned(), toml::Value::Boolean(flag))
        });
        prop_oneof![
            6 => text,
            1 => prop_oneof![status, exists].prop_map(|entry| toml::Table::from_iter([entry])),
        ]
    }

    fn condition() -> impl Strategy<Value = Predicate> {
        let leaf = leaf().prop_map(|table| Predicate::compile(&table).expect("a condition"));
        leaf.prop_recursive(3, 12, 3, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..3);
            prop_oneof![
                list.clone().prop_map(Predicate::All),
                list.clone().prop_map(Predicate::Any),
                (0usize..4, list).prop_map(|(least, list)| Predicate::AtLeast(least, list)),
                inner.prop_map(|one| Predicate::Not(Box::new(one))),
            ]
        })
    }

    fn line() -> impl Strategy<Value = String> {
        let agent =
            prop_oneof![Just("-".to_owned()), "[aAbB/]{1,6}", "[aAbB/]{24,30}", r"a\\x2f[ab]"];
        ("GET|aab|POST", "/[aAbB/?]{0,8}", 200u16..206, "-|[ab]{1,3}", agent).prop_map(
            |(method, target, status, referrer, agent)| {
                format!(
                    "192.0.2.7 - - [20/Nov/2026:07:00:06 +0000] \"{method} {target} HTTP/1.1\" {status} 5 \"{referrer}\" \"{agent}\""
                )
            },
        )
    }

    proptest! {
        /// The short way gives the answers of the long one, also where values come again.
        #[test]
        fn many_at_once_is_each_alone(
            conditions in prop::collection::vec(condition(), 0..8),
            lines in prop::collection::vec(line(), 1..6),
        ) {
            let mut matcher = Matcher::new(Arc::new(RuleSet::new(conditions.clone())));
            let batch = batch(&[lines.clone(), lines].concat());
            for event in batch.events() {
                let each = (0u32..).zip(&conditions).filter(|(_, one)| one.holds(&event));
                let expected: Vec<u32> = each.map(|(number, _)| number).collect();
                prop_assert_eq!(&expected[..], matcher.matching(&event));
            }
        }

        /// What is left out of a condition never decides.
        #[test]
        fn a_simpler_condition_says_the_same(condition in condition(), line in line()) {
            let batch = batch(&[line]);
            let event = batch.event(0);
            let simple = condition.clone().simplified();
            prop_assert_eq!(condition.holds(&event), simple.holds(&event));
        }
    }
}
