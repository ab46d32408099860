//! Conditions on one event, with the field names of the event model and Sigma's modifiers.
//!
//! ```toml
//! where = { "event.outcome" = "failure", "url.path|endswith" = [".php", ".asp"] }
//! ```
//!
//! All entries of a table must hold; of a list one is enough. `any = [{…}, {…}]`, `all = [{…}]`
//! and `not = {…}` combine tables. Text is compared without case, as in Sigma; `|cased` compares
//! exactly. `*`, `?` and `\` mean what they mean there: [`pattern`].
//!
//! [`Predicate::holds`] is what a condition means. [`super::matcher`] answers the same for many
//! conditions at once.

mod encoded;
mod entry;
pub mod pattern;

use std::net::IpAddr;

use ipnet::IpNet;
use toml::{Table, Value};

use super::field::Subject;
use crate::engine::batch::{Event, Field};

pub use entry::{Fields, Literal};
pub use pattern::{Pattern, TextTest};

/// A compiled condition.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// Holds if all of these do; holds if there is none.
    All(Vec<Self>),
    /// Holds if one of these does; does not if there is none.
    Any(Vec<Self>),
    /// Holds if this does not.
    Not(Box<Self>),
    /// At least so many of these hold.
    AtLeast(usize, Vec<Self>),
    /// The number lies in this range, ends included.
    Number(Subject, u64, u64),
    /// The subject's text passes one of these.
    Text(Subject, Vec<Pattern>),
    /// The address lies in one of these networks.
    Net(Subject, Vec<IpNet>),
    /// The subject has a value.
    Exists(Subject),
    /// The first subject's text passes the test with the second's; with its case, if so said.
    Same(Subject, TextTest, Subject, bool),
}

impl Predicate {
    /// Holds for every event.
    pub const ALWAYS: Self = Self::All(Vec::new());

    /// Holds for none.
    pub const NEVER: Self = Self::Any(Vec::new());

    /// Compiles a table; the complaint names the key and the fix.
    pub fn compile(table: &Table) -> Result<Self, String> {
        let mut all = Vec::new();
        for (key, value) in table {
            all.push(match key.as_str() {
                "any" => Self::Any(tables(key, value)?),
                "all" => Self::All(tables(key, value)?),
                "not" => {
                    let table = value.as_table().ok_or("`not` takes a table")?;
                    Self::Not(Box::new(Self::compile(table)?))
                }
                _ => entry::of_toml(key, value)?,
            });
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Self::All(cheapest_first(all)),
        })
    }

    /// How long it takes to ask, about: what is settled by a comparison comes before what looks
    /// through a text.
    fn cost(&self) -> usize {
        match self {
            Self::All(list) => list.first().map_or(0, Self::cost) + list.len(),
            Self::Any(list) | Self::AtLeast(_, list) => list.iter().map(Self::cost).sum(),
            Self::Not(one) => one.cost(),
            Self::Number(..) | Self::Exists(_) => 1,
            Self::Text(Subject::Line, patterns) => 100 * patterns.len(),
            Self::Text(_, patterns) => patterns.iter().map(Pattern::cost).sum(),
            Self::Net(_, nets) => nets.len(),
            Self::Same(..) => 20,
        }
    }

    /// Whether the condition holds for `event`.
    pub fn holds(&self, event: &Event<'_>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(event)),
            Self::Any(any) => any.iter().any(|one| one.holds(event)),
            Self::Not(one) => !one.holds(event),
            Self::AtLeast(least, some) => {
                *least <= some.iter().filter(|one| one.holds(event)).take(*least).count()
            }
            Self::Number(subject, low, high) => {
                subject.number(event).is_some_and(|number| (*low..=*high).contains(&number))
            }
            Self::Text(subject, patterns) => {
                subject.any(event, |text| patterns.iter().any(|pattern| pattern.passes(text)))
            }
            Self::Net(subject, nets) => {
                let inside = |ip: IpAddr| nets.iter().any(|net| net.contains(&ip));
                subject.address(event).is_some_and(inside)
            }
            Self::Exists(subject) => subject.text(event).is_some(),
            Self::Same(subject, test, other, cased) => other.text(event).is_some_and(|value| {
                let value = if *cased { value.into_owned() } else { value.to_ascii_lowercase() };
                subject.any(event, |text| pattern::compare(*test, text, &value, *cased))
            }),
        }
    }

    /// The same condition without what cannot hold and what always does.
    pub fn simplified(self) -> Self {
        match self {
            Self::All(all) => {
                let mut kept = Vec::new();
                for one in all.into_iter().map(Self::simplified) {
                    match one {
                        Self::All(inner) => kept.extend(inner),
                        Self::Any(none) if none.is_empty() => return Self::NEVER,
                        one => kept.push(one),
                    }
                }
                if kept.len() == 1 { kept.remove(0) } else { Self::All(cheapest_first(kept)) }
            }
            Self::Any(any) => {
                let mut kept = Vec::new();
                for one in any.into_iter().map(Self::simplified) {
                    match one {
                        Self::Any(inner) => kept.extend(inner),
                        Self::All(none) if none.is_empty() => return Self::ALWAYS,
                        one => kept.push(one),
                    }
                }
                if kept.len() == 1 { kept.remove(0) } else { Self::Any(kept) }
            }
            Self::Not(one) => match one.simplified() {
                Self::Not(inner) => *inner,
                one if one.is_always() => Self::NEVER,
                one if one.is_never() => Self::ALWAYS,
                one => Self::Not(Box::new(one)),
            },
            Self::AtLeast(least, some) => {
                let (mut least, mut kept) = (least, Vec::new());
                for one in some.into_iter().map(Self::simplified) {
                    if one.is_always() {
                        least = least.saturating_sub(1);
                    } else if !one.is_never() {
                        kept.push(one);
                    }
                }
                match least {
                    0 => Self::ALWAYS,
                    1 => Self::Any(kept).simplified(),
                    least if kept.len() < least => Self::NEVER,
                    least if kept.len() == least => Self::All(kept).simplified(),
                    least => Self::AtLeast(least, kept),
                }
            }
            leaf => leaf,
        }
    }

    /// It is known to hold for every event.
    pub fn is_always(&self) -> bool {
        matches!(self, Self::All(none) if none.is_empty())
    }

    /// It is known to hold for none.
    pub fn is_never(&self) -> bool {
        matches!(self, Self::Any(none) if none.is_empty())
    }

    /// The subjects that it looks at.
    pub fn subjects(&self, out: &mut Vec<Subject>) {
        match self {
            Self::All(list) | Self::Any(list) | Self::AtLeast(_, list) => {
                list.iter().for_each(|one| one.subjects(out));
            }
            Self::Not(one) => one.subjects(out),
            Self::Number(subject, ..)
            | Self::Text(subject, _)
            | Self::Net(subject, _)
            | Self::Exists(subject) => out.push(*subject),
            Self::Same(subject, _, other, _) => out.extend([*subject, *other]),
        }
    }
}

/// In the order in which they should be asked.
fn cheapest_first(mut all: Vec<Predicate>) -> Vec<Predicate> {
    all.sort_by_key(Predicate::cost);
    all
}

fn tables(key: &str, value: &Value) -> Result<Vec<Predicate>, String> {
    let list = value.as_array().ok_or_else(|| format!("`{key}` takes a list of tables"))?;
    let table = |item: &Value| match item.as_table() {
        Some(table) => Predicate::compile(table),
        None => Err(format!("`{key}` takes a list of tables")),
    };
    list.iter().map(table).collect()
}

/// The methods of nearly all requests.
const PLAIN_METHODS: [&[u8]; 3] = [b"GET", b"HEAD", b"POST"];

/// Whether `method` is that of nearly all requests.
pub fn is_plain_method(method: &[u8]) -> bool {
    PLAIN_METHODS.contains(&method)
}

/// What must hold at least, told by two comparisons: most events are no business of most rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gate {
    /// Only log-in attempts can match.
    auth: bool,
    /// Only requests that are not simply GET, HEAD or POST can match.
    odd_method: bool,
    /// Only what some signature knows can match.
    signs: bool,
    /// Only what some list of indicators knows can match.
    listed: bool,
    /// Only these statuses can match.
    statuses: (u64, u64),
    /// Whatever passes matches: the predicate says no more than this.
    exact: bool,
}

impl Gate {
    const OPEN: Self = Self {
        auth: false,
        odd_method: false,
        signs: false,
        listed: false,
        statuses: (0, u64::MAX),
        exact: false,
    };

    /// The gate of a predicate: whatever it shuts out, the predicate would refuse.
    pub fn of(predicate: &Predicate) -> Self {
        match predicate {
            Predicate::Number(Subject::Status, low, high) => {
                // A line without a status has no number, so zero never matches.
                Self { statuses: (*low.max(&1), *high), exact: true, ..Self::OPEN }
            }
            Predicate::Text(Subject::EventKind, patterns)
                if !patterns.iter().any(|pattern| pattern.passes(b"event")) =>
            {
                Self { statuses: (0, 0), ..Self::OPEN }
            }
            Predicate::Text(Subject::Text(Field::Method), patterns) => {
                let passes = |method: &&[u8]| patterns.iter().any(|one| one.passes(method));
                Self { odd_method: !PLAIN_METHODS.iter().any(passes), ..Self::OPEN }
            }
            Predicate::Not(inner) => match &**inner {
                Predicate::Text(Subject::Text(Field::Method), patterns) => {
                    let passes = |method: &&[u8]| patterns.iter().any(|one| one.passes(method));
                    Self { odd_method: PLAIN_METHODS.iter().all(passes), ..Self::OPEN }
                }
                _ => Self::OPEN,
            },
            Predicate::Text(Subject::AuthOutcome | Subject::AuthCounted, ..)
            | Predicate::Exists(Subject::AuthOutcome | Subject::AuthCounted) => {
                Self { auth: true, ..Self::OPEN }
            }
            Predicate::Text(Subject::Detections | Subject::Vulnerability, ..) => {
                Self { signs: true, ..Self::OPEN }
            }
            Predicate::Text(Subject::Text(field), _) | Predicate::Exists(Subject::Text(field))
                if field.is_of_feeds() =>
            {
                Self { listed: true, ..Self::OPEN }
            }
            Predicate::All(all) => {
                let open = Self { exact: true, ..Self::OPEN };
                all.iter().map(Self::of).fold(open, |a, b| Self {
                    auth: a.auth || b.auth,
                    odd_method: a.odd_method || b.odd_method,
                    signs: a.signs || b.signs,
                    listed: a.listed || b.listed,
                    statuses: (a.statuses.0.max(b.statuses.0), a.statuses.1.min(b.statuses.1)),
                    exact: a.exact && b.exact,
                })
            }
            Predicate::Any(any) => {
                let gates = any.iter().map(Self::of);
                let joined = gates.reduce(|a, b| Self {
                    auth: a.auth && b.auth,
                    odd_method: a.odd_method && b.odd_method,
                    signs: a.signs && b.signs,
                    listed: a.listed && b.listed,
                    statuses: (a.statuses.0.min(b.statuses.0), a.statuses.1.max(b.statuses.1)),
                    // Between two ranges there may be a gap.
                    exact: false,
                });
                joined.unwrap_or(Self::OPEN)
            }
            Predicate::AtLeast(..)
            | Predicate::Number(..)
            | Predicate::Text(..)
            | Predicate::Net(..)
            | Predicate::Exists(_)
            | Predicate::Same(..) => Self::OPEN,
        }
    }

    /// An event with this status, with a log-in verdict or without one, and with a method that is
    /// not plain or with a plain one, may match.
    pub fn admits(self, status: u16, auth: bool, odd_method: bool) -> bool {
        let status = u64::from(status);
        (!self.auth || auth)
            && (!self.odd_method || odd_method)
            && self.statuses.0 <= status
            && status <= self.statuses.1
    }

    /// Only what some list of indicators knows matches.
    pub fn needs_list(self) -> bool {
        self.listed
    }

    /// Only what some signature knows matches.
    pub fn needs_signs(self) -> bool {
        self.signs
    }

    /// Whatever is admitted matches.
    pub fn is_exact(self) -> bool {
        self.exact
    }
}
