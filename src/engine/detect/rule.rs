//! Rules: read from TOML, checked, compiled.

use serde::Deserialize;

use super::Severity;
use super::field::Subject;
use super::predicate::{Gate, Predicate};
use crate::engine::batch::Field;
use crate::units::Period;

/// The rules that come with the program.
pub const PACK: &str = include_str!("pack.toml");

/// Largest `threshold` and `distinct.min`: what one key may cost in memory.
const MAX_LIMIT: usize = 4096;

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `auth.bruteforce.client`.
    pub id: String,
    /// Grows with each change.
    pub version: u32,
    /// One line for people.
    pub title: String,
    /// `authentication`, `web` or `ops`.
    pub category: String,
    /// Which events count.
    pub condition: Predicate,
    /// What lets most events pass by.
    pub gate: Gate,
    /// What one alert is about; empty: everything together.
    pub group_by: Vec<(String, Subject)>,
    /// Length of the sliding window.
    pub window: Period,
    /// How many events fire it; 1 where only different values count.
    pub threshold: usize,
    /// The subject whose different values count, and how many of them fire it.
    pub distinct: Option<(Subject, usize)>,
    /// The least share of matching events among these and the events that speak against.
    pub share: Option<Share>,
    /// How bad it is.
    pub severity: Severity,
    /// Quiet time after which the alert is resolved.
    pub resolve_after: Period,
    /// The sentence in the mail.
    pub explain: String,
    /// What to do, in the words of the table in [`super::advice`].
    pub advise: Vec<String>,
    /// ATT&CK techniques.
    pub attack: Vec<String>,
}

impl Rule {
    /// Each alert is about one client or one user, so whatever they do belongs to it.
    pub fn is_about_someone(&self) -> bool {
        let someone = |subject: &Subject| {
            matches!(
                subject,
                Subject::ClientNet
                    | Subject::SourceIp
                    | Subject::Text(Field::User | Field::ClientAddress)
            )
        };
        self.group_by.iter().any(|(_, subject)| someone(subject))
    }
}

/// A guard against crowds: the matching events must not be a small part of what the key does.
#[derive(Clone, Debug)]
pub struct Share {
    /// Least share, above 0 and at most 1.
    pub min: f64,
    /// Which events speak against.
    pub against: Predicate,
    /// What lets most events pass by.
    pub gate: Gate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    schema: u32,
    #[serde(default)]
    rule: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: String,
    #[serde(default = "one")]
    version: u32,
    title: String,
    #[serde(default = "web")]
    category: String,
    #[serde(rename = "where")]
    condition: toml::Table,
    group_by: Vec<String>,
    window: Period,
    threshold: Option<usize>,
    distinct: Option<RawDistinct>,
    share: Option<RawShare>,
    #[serde(default)]
    severity: Severity,
    #[serde(default = "half_an_hour")]
    resolve_after: Period,
    explain: Option<String>,
    #[serde(default)]
    advise: Vec<String>,
    #[serde(default)]
    attack: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDistinct {
    field: String,
    min: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShare {
    min: f64,
    against: toml::Table,
}

fn one() -> u32 {
    1
}

fn web() -> String {
    "web".to_owned()
}

fn half_an_hour() -> Period {
    Period::from_secs(1800)
}

/// A rule that cannot be used; the message names the rule, the key and the fix.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{rule}: {complaint}")]
pub struct RuleError {
    rule: String,
    complaint: String,
}

/// The rules of the built-in pack.
pub fn builtin() -> Vec<Rule> {
    parse(PACK).expect("the built-in pack compiles: a test reads it")
}

/// Reads a rule file; all complaints at once.
pub fn parse(text: &str) -> Result<Vec<Rule>, Vec<RuleError>> {
    let complain = |rule: &str, complaint: String| RuleError { rule: rule.to_owned(), complaint };
    let file: RawFile =
        toml::from_str(text).map_err(|error| vec![complain("rule file", error.to_string())])?;
    if file.schema != 1 {
        let complaint = format!("schema = {} is not known; this version reads 1", file.schema);
        return Err(vec![complain("rule file", complaint)]);
    }
    let (mut rules, mut errors): (Vec<Rule>, Vec<RuleError>) = (Vec::new(), Vec::new());
    for raw in file.rule {
        let id = raw.id.clone();
        match compile(raw) {
            Ok(rule) if rules.iter().any(|known| known.id == rule.id) => {
                errors.push(complain(&id, "the id is used twice".to_owned()));
            }
            Ok(rule) => rules.push(rule),
            Err(complaint) => errors.push(complain(&id, complaint)),
        }
    }
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

fn compile(raw: RawRule) -> Result<Rule, String> {
    let subject = |name: &String| {
        Subject::named(name).ok_or_else(|| format!("`{name}` is no field that events have"))
    };
    let distinct = match &raw.distinct {
        Some(distinct) => Some((subject(&distinct.field)?, limit("distinct.min", distinct.min)?)),
        None => None,
    };
    let threshold = match raw.threshold {
        Some(threshold) => limit("threshold", threshold)?,
        None if distinct.is_some() => 1,
        None => return Err("it needs `threshold` or `distinct`".to_owned()),
    };
    let group = |name: &String| Ok::<_, String>((name.clone(), subject(name)?));
    let group_by = raw.group_by.iter().map(group).collect::<Result<_, _>>()?;
    if raw.window.ms() == 0 {
        return Err("`window` must be longer than nothing".to_owned());
    }
    let share = raw.share.as_ref().map(compile_share).transpose()?;
    let condition = Predicate::compile(&raw.condition)?;
    Ok(Rule {
        gate: Gate::of(&condition),
        condition,
        group_by,
        window: raw.window,
        threshold,
        distinct,
        share,
        severity: raw.severity,
        resolve_after: raw.resolve_after,
        explain: raw.explain.unwrap_or_else(|| raw.title.clone()),
        advise: raw.advise,
        attack: raw.attack,
        id: raw.id,
        version: raw.version,
        title: raw.title,
        category: raw.category,
    })
}

fn compile_share(raw: &RawShare) -> Result<Share, String> {
    if !(0.01..=1.0).contains(&raw.min) {
        return Err("`share.min` lies between 0.01 and 1".to_owned());
    }
    let against = Predicate::compile(&raw.against)?;
    Ok(Share { min: raw.min, gate: Gate::of(&against), against })
}

fn limit(key: &str, value: usize) -> Result<usize, String> {
    if (1..=MAX_LIMIT).contains(&value) {
        Ok(value)
    } else {
        Err(format!("`{key}` lies between 1 and {MAX_LIMIT}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pack_compiles_and_each_rule_explains_itself() {
        for rule in builtin() {
            assert!(rule.explain.contains("{window}"), "{}", rule.id);
            assert!(!rule.advise.is_empty(), "{}", rule.id);
        }
    }

    #[track_caller]
    fn check_error(line: &str, expected: &str) {
        let text =
            format!("schema = 1\n[[rule]]\nid = \"x\"\ntitle = \"X\"\nwindow = \"5m\"\n{line}\n");
        let errors = parse(&text).expect_err("a complaint");
        assert!(errors[0].to_string().contains(expected), "{}", errors[0]);
    }

    #[test]
    fn a_bad_rule_is_refused_with_the_key_and_the_fix() {
        check_error("where = {}\ngroup_by = []", "needs `threshold` or `distinct`");
        check_error("where = {}\ngroup_by = [\"user\"]\nthreshold = 5", "`user` is no field");
        check_error(
            "where = { \"url.pth\" = \"/\" }\ngroup_by = []\nthreshold = 5",
            "did you mean `url.path`?",
        );
        check_error("where = {}\ngroup_by = []\nthreshold = 0", "between 1 and");
        check_error("where = {}\ngroup_by = []\ntreshold = 5", "treshold");
    }
}
