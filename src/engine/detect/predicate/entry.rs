//! One entry of a condition: a field with modifiers, and values.
//!
//! Rules in TOML and Sigma's rules both end here, so a modifier means the same in both.

use ipnet::IpNet;
use toml::Value;

use super::encoded::{self, Parts};
use super::pattern::{Flags, parts};
use super::{Pattern, Predicate, TextTest};
use crate::engine::detect::field::{Subject, TimePart};

/// A value of a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Text, in which `*` and `?` are wildcards.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// The field has no value.
    Null,
}

/// Finds the field that a name stands for, or says what is wrong with it.
pub type Fields<'f> = &'f dyn Fn(&str) -> Result<Subject, String>;

/// Values of one entry, encodings of them included.
const VALUES_MAX: usize = 10_000;

/// What the modifiers of an entry ask for.
struct Asked {
    test: TextTest,
    every: bool,
    cased: bool,
    regex: bool,
    flags: Flags,
    field_ref: bool,
    differs: bool,
    encodings: Vec<Encoding>,
    /// What takes the whole entry: a comparison of numbers, networks, or whether there is a value.
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Encoding {
    Base64,
    Base64Offset,
    Utf16Little,
    Utf16Big,
    Utf16Marked,
    WinDash,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Greater,
    AtLeast,
    Less,
    AtMost,
    Cidr,
    Exists,
}

/// The entry of a TOML rule.
pub(super) fn of_toml(key: &str, value: &Value) -> Result<Predicate, String> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let literal = |item: &Value| match item {
        Value::String(text) => Ok(Literal::Text(text.clone())),
        Value::Integer(number) => Ok(Literal::Integer(*number)),
        Value::Float(number) => Ok(Literal::Float(*number)),
        Value::Boolean(flag) => Ok(Literal::Bool(*flag)),
        _ => Err(format!("`{key}` takes text or numbers")),
    };
    let values = list.iter().map(literal).collect::<Result<Vec<_>, _>>()?;
    let mut modifiers = key.split('|');
    let name = modifiers.next().unwrap_or_default();
    let modifiers: Vec<&str> = modifiers.collect();
    let named = |name: &str| {
        Subject::named(name).ok_or_else(|| {
            let near = crate::units::nearest(name, Subject::names());
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!("`{name}` is no field{hint}")
        })
    };
    Predicate::entry(key, named(name)?, &modifiers, &values, &named)
}

impl Predicate {
    /// Compiles one entry: the values that `subject` may have, under modifiers without their bars.
    /// `key` is what complaints call it.
    pub fn entry(
        key: &str,
        subject: Subject,
        modifiers: &[&str],
        values: &[Literal],
        fields: Fields<'_>,
    ) -> Result<Self, String> {
        let (asked, subject) = Asked::read(key, subject, modifiers)?;
        if values.is_empty() {
            return Err(format!("`{key}` has no value"));
        }
        let one = |value: &Literal| asked.one(key, subject, value, fields);
        if let Some(kind) = asked.kind {
            return match kind {
                Kind::Cidr => nets(key, subject, values),
                _ => joined(
                    values.iter().map(|value| compared(key, subject, kind, value)),
                    asked.every,
                ),
            };
        }
        if asked.differs {
            if 1 < values.len() && !asked.every {
                return Err(format!(
                    "`{key}` with several values would always hold: add `|all`, or negate the condition"
                ));
            }
            let differs = values.iter().map(|value| {
                Ok(Self::All(vec![Self::Exists(subject), Self::Not(Box::new(one(value)?))]))
            });
            return joined(differs, true);
        }
        if asked.every {
            return joined(values.iter().map(one), true);
        }
        // The texts of a list stand together, so that the field is looked up once.
        let (mut patterns, mut others) = (Vec::new(), Vec::new());
        for value in values {
            match one(value)? {
                Self::Text(_, more) => patterns.extend(more),
                other => others.push(other),
            }
            if VALUES_MAX < patterns.len() {
                return Err(format!("`{key}` has more than {VALUES_MAX} values"));
            }
        }
        if !patterns.is_empty() {
            others.push(Self::Text(subject, patterns));
        }
        Ok(if others.len() == 1 { others.remove(0) } else { Self::Any(others) })
    }
}

fn joined(
    list: impl Iterator<Item = Result<Predicate, String>>,
    every: bool,
) -> Result<Predicate, String> {
    let mut list = list.collect::<Result<Vec<_>, _>>()?;
    Ok(match list.len() {
        1 => list.remove(0),
        _ if every => Predicate::All(list),
        _ => Predicate::Any(list),
    })
}

impl Asked {
    fn read(key: &str, subject: Subject, modifiers: &[&str]) -> Result<(Self, Subject), String> {
        let mut asked = Self {
            test: TextTest::Equals,
            every: false,
            cased: false,
            regex: false,
            flags: Flags::default(),
            field_ref: false,
            differs: false,
            encodings: Vec::new(),
            kind: None,
        };
        let mut subject = subject;
        for modifier in modifiers {
            match *modifier {
                "contains" => asked.test = TextTest::Contains,
                "startswith" => asked.test = TextTest::StartsWith,
                "endswith" => asked.test = TextTest::EndsWith,
                "all" => asked.every = true,
                "cased" => asked.cased = true,
                "re" => asked.regex = true,
                "i" | "ignorecase" => asked.flags.ignore_case = true,
                "m" | "multiline" => asked.flags.multi_line = true,
                "s" | "dotall" => asked.flags.dot_all = true,
                "fieldref" => asked.field_ref = true,
                "neq" => asked.differs = true,
                "base64" => asked.encodings.push(Encoding::Base64),
                "base64offset" => asked.encodings.push(Encoding::Base64Offset),
                "wide" | "utf16le" => asked.encodings.push(Encoding::Utf16Little),
                "utf16be" => asked.encodings.push(Encoding::Utf16Big),
                "utf16" => asked.encodings.push(Encoding::Utf16Marked),
                "windash" => asked.encodings.push(Encoding::WinDash),
                "gt" => asked.kind = Some(Kind::Greater),
                "gte" => asked.kind = Some(Kind::AtLeast),
                "lt" => asked.kind = Some(Kind::Less),
                "lte" => asked.kind = Some(Kind::AtMost),
                "cidr" => asked.kind = Some(Kind::Cidr),
                "exists" => asked.kind = Some(Kind::Exists),
                "expand" => {
                    return Err(format!("`{key}` asks for placeholders: write the values"));
                }
                other => match TimePart::named(other) {
                    Some(part) if subject == Subject::Timestamp => subject = Subject::Time(part),
                    Some(_) => return Err(format!("`|{other}` is asked of `@timestamp` only")),
                    None => {
                        return Err(format!("`{other}` in `{key}` is no modifier known here"));
                    }
                },
            }
        }
        let flagged = asked.flags.ignore_case || asked.flags.multi_line || asked.flags.dot_all;
        if flagged && !asked.regex {
            return Err(format!("`{key}` has a flag of a pattern and no `|re`"));
        }
        if asked.regex && (asked.test != TextTest::Equals || !asked.encodings.is_empty()) {
            return Err(format!("`{key}`: `|re` looks at the whole value; leave the others out"));
        }
        Ok((asked, subject))
    }

    /// What one value asks for.
    fn one(
        &self,
        key: &str,
        subject: Subject,
        value: &Literal,
        fields: Fields<'_>,
    ) -> Result<Predicate, String> {
        let complain = |reason: String| format!("`{key}`: {reason}");
        let text = match value {
            Literal::Null => {
                return Ok(Predicate::Not(Box::new(Predicate::Exists(subject))));
            }
            Literal::Integer(number)
                if self.test == TextTest::Equals && self.is_plain() && !subject.is_line() =>
            {
                return match u64::try_from(*number) {
                    Ok(number) => Ok(Predicate::Number(subject, number, number)),
                    Err(_) => Err(negative(key)),
                };
            }
            Literal::Text(text) => text.clone(),
            Literal::Integer(number) => number.to_string(),
            Literal::Float(number) => number.to_string(),
            Literal::Bool(flag) => flag.to_string(),
        };
        if self.field_ref {
            let other = fields(&text)?;
            return Ok(Predicate::Same(subject, self.test, other, self.cased));
        }
        if self.regex {
            let pattern = Pattern::of_regex(&text, self.flags).map_err(complain)?;
            return Ok(Predicate::Text(subject, vec![pattern]));
        }
        let mut spelled = vec![parts(&text)];
        for encoding in &self.encodings {
            let next: Result<Vec<Vec<Parts>>, String> =
                spelled.iter().map(|one| encoding.spell(one)).collect();
            spelled = next.map_err(complain)?.into_iter().flatten().collect();
        }
        // A keyword may stand anywhere in the line.
        let test = if subject.is_line() && self.test == TextTest::Equals {
            TextTest::Contains
        } else {
            self.test
        };
        let patterns =
            spelled.into_iter().map(|one| Pattern::of_parts(&text, one, test, self.cased));
        let patterns = patterns.collect::<Result<Vec<_>, _>>().map_err(complain)?;
        Ok(Predicate::Text(subject, patterns))
    }

    fn is_plain(&self) -> bool {
        !self.regex && !self.field_ref && self.encodings.is_empty()
    }
}

impl Encoding {
    fn spell(self, value: &Parts) -> Result<Vec<Parts>, String> {
        Ok(match self {
            Self::Base64 => vec![encoded::base64(value)?],
            Self::Base64Offset => encoded::base64_offsets(value)?,
            Self::Utf16Little => vec![encoded::utf16(value, true, false)?],
            Self::Utf16Big => vec![encoded::utf16(value, false, false)?],
            Self::Utf16Marked => vec![encoded::utf16(value, true, true)?],
            Self::WinDash => encoded::windash(value),
        })
    }
}

/// A comparison of numbers, or whether there is a value.
fn compared(key: &str, subject: Subject, kind: Kind, value: &Literal) -> Result<Predicate, String> {
    if kind == Kind::Exists {
        let wanted = match value {
            Literal::Bool(flag) => *flag,
            _ => return Err(format!("`{key}` takes true or false")),
        };
        let exists = Predicate::Exists(subject);
        return Ok(if wanted { exists } else { Predicate::Not(Box::new(exists)) });
    }
    let limit = match value {
        Literal::Integer(number) => i128::from(*number),
        // Values of events are whole numbers: above 1.5 begins at 2.
        Literal::Float(number) if matches!(kind, Kind::Greater | Kind::AtMost) => {
            number.floor() as i128
        }
        Literal::Float(number) => number.ceil() as i128,
        Literal::Text(text) => text.parse().map_err(|_| format!("`{key}` takes a whole number"))?,
        _ => return Err(format!("`{key}` takes a whole number")),
    };
    let (low, high) = match kind {
        Kind::Greater => (limit + 1, i128::from(u64::MAX)),
        Kind::AtLeast => (limit, i128::from(u64::MAX)),
        Kind::Less => (0, limit - 1),
        _ => (0, limit),
    };
    if high < 0 || high < low {
        return Err(format!("`{key}` = {limit} could never hold"));
    }
    let clamped = |limit: i128| u64::try_from(limit.max(0)).unwrap_or(u64::MAX);
    Ok(Predicate::Number(subject, clamped(low), clamped(high)))
}

fn nets(key: &str, subject: Subject, values: &[Literal]) -> Result<Predicate, String> {
    let net = |value: &Literal| match value {
        Literal::Text(text) => {
            text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
        }
        _ => None,
    };
    let nets: Option<Vec<IpNet>> = values.iter().map(net).collect();
    let nets = nets.ok_or_else(|| format!("`{key}` takes networks such as `192.0.2.0/24`"))?;
    Ok(Predicate::Net(subject, nets))
}

fn negative(key: &str) -> String {
    format!("`{key}` takes no negative number")
}
