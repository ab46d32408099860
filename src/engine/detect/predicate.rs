//! Conditions on one event, with the field names of the event model and Sigma's modifiers.
//!
//! ```toml
//! where = { "event.outcome" = "failure", "url.path|endswith" = [".php", ".asp"] }
//! ```
//!
//! All entries of a table must hold; of a list one is enough. `any = [{…}, {…}]`, `all = [{…}]`
//! and `not = {…}` combine tables. Text is compared without case, as in Sigma; `|cased` compares
//! exactly.

use ipnet::IpNet;
use toml::{Table, Value};

use super::field::Subject;
use crate::engine::batch::{Event, Field};

/// A compiled condition.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// Holds if all of these do; holds if there is none.
    All(Vec<Self>),
    /// Holds if one of these does.
    Any(Vec<Self>),
    /// Holds if this does not.
    Not(Box<Self>),
    /// The number lies in this range, ends included.
    Number(Subject, u64, u64),
    /// A text test on one subject; one of the values is enough.
    Text(Subject, TextTest, Vec<Box<[u8]>>, bool),
    /// The client's address lies in one of these networks.
    Net(Vec<IpNet>),
    /// The subject has a value.
    Exists(Subject),
}

/// How a text is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextTest {
    /// The whole value.
    Equals,
    /// `|contains`.
    Contains,
    /// `|startswith`.
    StartsWith,
    /// `|endswith`.
    EndsWith,
}

impl Predicate {
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
                _ => Self::entry(key, value)?,
            });
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Self::All(all),
        })
    }

    fn entry(key: &str, value: &Value) -> Result<Self, String> {
        let mut parts = key.split('|');
        let name = parts.next().unwrap_or_default();
        let subject = Subject::named(name).ok_or_else(|| {
            let near = crate::units::nearest(name, Subject::names());
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!("`{name}` is no field{hint}")
        })?;
        let (mut test, mut cased, mut every) = (TextTest::Equals, false, false);
        for modifier in parts {
            match modifier {
                "contains" => test = TextTest::Contains,
                "startswith" => test = TextTest::StartsWith,
                "endswith" => test = TextTest::EndsWith,
                "cased" => cased = true,
                "all" => every = true,
                "gt" | "gte" | "lt" | "lte" => return Self::range(subject, key, modifier, value),
                "cidr" => return Self::nets(key, value),
                "exists" => {
                    let wanted = value.as_bool().ok_or("`|exists` takes true or false")?;
                    let exists = Self::Exists(subject);
                    return Ok(if wanted { exists } else { Self::Not(Box::new(exists)) });
                }
                _ => return Err(format!("`{modifier}` in `{key}` is no modifier known here")),
            }
        }
        Self::values(subject, test, cased, every, key, value)
    }

    fn values(
        subject: Subject,
        test: TextTest,
        cased: bool,
        every: bool,
        key: &str,
        value: &Value,
    ) -> Result<Self, String> {
        let list = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        if list.is_empty() {
            return Err(format!("`{key}` has an empty list, so it could never hold"));
        }
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for item in list {
            match item {
                Value::Integer(number) if test == TextTest::Equals => {
                    let number = u64::try_from(*number).map_err(|_| negative(key))?;
                    numbers.push(Self::Number(subject, number, number));
                }
                Value::Boolean(flag) => texts.push(flag.to_string().into_bytes().into()),
                Value::String(text) if cased => texts.push(text.clone().into_bytes().into()),
                Value::String(text) => texts.push(text.to_lowercase().into_bytes().into()),
                _ => return Err(format!("`{key}` takes text or numbers")),
            }
        }
        if every {
            let each = texts.into_iter().map(|text| Self::Text(subject, test, vec![text], cased));
            return Ok(Self::All(each.collect()));
        }
        if !texts.is_empty() {
            numbers.push(Self::Text(subject, test, texts, cased));
        }
        Ok(match numbers.len() {
            1 => numbers.remove(0),
            _ => Self::Any(numbers),
        })
    }

    fn range(subject: Subject, key: &str, modifier: &str, value: &Value) -> Result<Self, String> {
        let limit = value.as_integer().ok_or_else(|| format!("`{key}` takes a whole number"))?;
        let limit = u64::try_from(limit).map_err(|_| negative(key))?;
        let (low, high) = match modifier {
            "gt" => (limit.saturating_add(1), u64::MAX),
            "gte" => (limit, u64::MAX),
            "lt" if limit == 0 => return Err(format!("`{key}` = 0 could never hold")),
            "lt" => (0, limit - 1),
            _ => (0, limit),
        };
        Ok(Self::Number(subject, low, high))
    }

    fn nets(key: &str, value: &Value) -> Result<Self, String> {
        let list = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let net = |item: &Value| item.as_str().and_then(|text| text.parse().ok());
        let nets: Option<Vec<IpNet>> = list.iter().map(net).collect();
        let nets = nets.ok_or_else(|| format!("`{key}` takes networks such as `192.0.2.0/24`"))?;
        Ok(Self::Net(nets))
    }

    /// Whether the condition holds for `event`.
    pub fn holds(&self, event: &Event<'_>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|one| one.holds(event)),
            Self::Any(any) => any.iter().any(|one| one.holds(event)),
            Self::Not(one) => !one.holds(event),
            Self::Number(subject, low, high) => {
                subject.number(event).is_some_and(|number| (*low..=*high).contains(&number))
            }
            Self::Text(subject, test, values, cased) => subject
                .any(event, |text| values.iter().any(|value| test.passes(text, value, *cased))),
            Self::Net(nets) => {
                event.row().client.is_some_and(|ip| nets.iter().any(|net| net.contains(&ip)))
            }
            Self::Exists(subject) => subject.text(event).is_some(),
        }
    }
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
    /// Only these statuses can match.
    statuses: (u64, u64),
    /// Whatever passes matches: the predicate says no more than this.
    exact: bool,
}

impl Gate {
    const OPEN: Self =
        Self { auth: false, odd_method: false, statuses: (0, u64::MAX), exact: false };

    /// The gate of a predicate: whatever it shuts out, the predicate would refuse.
    pub fn of(predicate: &Predicate) -> Self {
        match predicate {
            Predicate::Number(Subject::Status, low, high) => {
                // A line without a status has no number, so zero never matches.
                Self { statuses: (*low.max(&1), *high), exact: true, ..Self::OPEN }
            }
            Predicate::Text(Subject::EventKind, TextTest::Equals, values, _)
                if values.iter().all(|value| **value == *b"pipeline_error") =>
            {
                Self { statuses: (0, 0), ..Self::OPEN }
            }
            Predicate::Text(Subject::Text(Field::Method), TextTest::Equals, values, _) => {
                let is_plain = |value: &[u8]| is_plain_method(&value.to_ascii_uppercase());
                Self { odd_method: !values.iter().any(|value| is_plain(value)), ..Self::OPEN }
            }
            Predicate::Not(inner) => match &**inner {
                Predicate::Text(Subject::Text(Field::Method), TextTest::Equals, values, false) => {
                    let excludes = |method: &&[u8]| {
                        values.iter().any(|value| value.eq_ignore_ascii_case(method))
                    };
                    Self { odd_method: PLAIN_METHODS.iter().all(excludes), ..Self::OPEN }
                }
                _ => Self::OPEN,
            },
            Predicate::Text(Subject::AuthOutcome | Subject::AuthCounted, ..)
            | Predicate::Exists(Subject::AuthOutcome | Subject::AuthCounted) => {
                Self { auth: true, ..Self::OPEN }
            }
            Predicate::All(all) => {
                let open = Self { exact: true, ..Self::OPEN };
                all.iter().map(Self::of).fold(open, |a, b| Self {
                    auth: a.auth || b.auth,
                    odd_method: a.odd_method || b.odd_method,
                    statuses: (a.statuses.0.max(b.statuses.0), a.statuses.1.min(b.statuses.1)),
                    exact: a.exact && b.exact,
                })
            }
            Predicate::Any(any) => {
                let gates = any.iter().map(Self::of);
                let joined = gates.reduce(|a, b| Self {
                    auth: a.auth && b.auth,
                    odd_method: a.odd_method && b.odd_method,
                    statuses: (a.statuses.0.min(b.statuses.0), a.statuses.1.max(b.statuses.1)),
                    // Between two ranges there may be a gap.
                    exact: false,
                });
                joined.unwrap_or(Self::OPEN)
            }
            Predicate::Number(..)
            | Predicate::Text(..)
            | Predicate::Net(_)
            | Predicate::Exists(_) => Self::OPEN,
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

    /// Whatever is admitted matches.
    pub fn is_exact(self) -> bool {
        self.exact
    }
}

fn negative(key: &str) -> String {
    format!("`{key}` takes no negative number")
}

fn tables(key: &str, value: &Value) -> Result<Vec<Predicate>, String> {
    let list = value.as_array().ok_or_else(|| format!("`{key}` takes a list of tables"))?;
    let table = |item: &Value| match item.as_table() {
        Some(table) => Predicate::compile(table),
        None => Err(format!("`{key}` takes a list of tables")),
    };
    list.iter().map(table).collect()
}

impl TextTest {
    /// `value` is lower-case unless `cased`.
    fn passes(self, text: &[u8], value: &[u8], cased: bool) -> bool {
        let same = |part: &[u8]| {
            if cased { part == value } else { part.eq_ignore_ascii_case(value) }
        };
        match self {
            Self::Equals => same(text),
            Self::StartsWith => text.len() >= value.len() && same(&text[..value.len()]),
            Self::EndsWith => text.len() >= value.len() && same(&text[text.len() - value.len()..]),
            Self::Contains if cased => memchr::memmem::find(text, value).is_some(),
            Self::Contains => {
                value.is_empty()
                    || text.windows(value.len()).any(|part| part.eq_ignore_ascii_case(value))
            }
        }
    }
}
