//! Rule files: read from TOML, checked, compiled.

use serde::Deserialize;

use super::{Absence, FirstSeen, Limit, MAX_LIMIT, Rule, RuleError, Share, Silence, Then};
use crate::engine::detect::Severity;
use crate::engine::detect::calendar::Hours;
use crate::engine::detect::field::Subject;
use crate::engine::detect::predicate::{Gate, Predicate};
use crate::engine::detect::steps::{STEPS_MAX, Steps};
use crate::engine::detect::watch::{self, Flood, Reported};
use crate::units::{Period, TimeOfDay, Weekday};

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
    condition: Option<toml::Table>,
    group_by: Vec<String>,
    window: Period,
    threshold: Option<usize>,
    #[serde(default)]
    distinct: OneOrMore<RawDistinct>,
    #[serde(default)]
    or: Vec<RawLimit>,
    share: Option<RawShare>,
    sum: Option<RawSum>,
    then: Option<toml::Table>,
    #[serde(default)]
    steps: Vec<toml::Table>,
    #[serde(default)]
    in_order: bool,
    unless_known: Option<Period>,
    first_seen: Option<RawFirstSeen>,
    hours: Option<Hours>,
    absence: Option<RawAbsence>,
    silence: Option<RawSilence>,
    reported: Option<Reported>,
    flood: Option<Flood>,
    #[serde(default)]
    covered_by: Vec<String>,
    #[serde(default)]
    severity: Severity,
    severity_field: Option<String>,
    resolve_after: Option<Period>,
    explain: Option<String>,
    #[serde(default)]
    advise: Vec<String>,
    #[serde(default)]
    attack: Vec<String>,
}

/// One table, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl<T> OneOrMore<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(list) => list,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDistinct {
    field: String,
    min: usize,
}

/// Another limit: what is not said is as in the rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimit {
    window: Option<Period>,
    threshold: Option<usize>,
    #[serde(default)]
    distinct: OneOrMore<RawDistinct>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShare {
    min: f64,
    against: toml::Table,
    #[serde(default)]
    windows: Vec<Period>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSum {
    field: String,
    min: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFirstSeen {
    field: String,
    memory: Period,
    learn: Period,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAbsence {
    #[serde(default)]
    days: Vec<Weekday>,
    from: Option<TimeOfDay>,
    check_at: Vec<TimeOfDay>,
    #[serde(default)]
    min: u64,
    #[serde(default)]
    roster_share: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSilence {
    min: Period,
    times: u32,
}

fn one() -> u32 {
    1
}

pub(super) fn web() -> String {
    "web".to_owned()
}

/// When nothing more is to be expected: what takes a day to be noticed pauses for hours.
pub(super) fn quiet_after(window: Period) -> Period {
    Period::from_secs((window.secs() / 4).max(1800))
}

/// Reads a rule file; all complaints at once.
pub fn parse(text: &str) -> Result<Vec<Rule>, Vec<RuleError>> {
    let (rules, errors) = parse_each(text);
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

/// Reads a rule file: the rules that are sound, and what is wrong with the others.
pub fn parse_each(text: &str) -> (Vec<Rule>, Vec<RuleError>) {
    let complain = |rule: &str, complaint: String| RuleError { rule: rule.to_owned(), complaint };
    let file: RawFile = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => return (Vec::new(), vec![complain("rule file", error.to_string())]),
    };
    if file.schema != 1 {
        let complaint = format!("schema = {} is not known; this version reads 1", file.schema);
        return (Vec::new(), vec![complain("rule file", complaint)]);
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
    (rules, errors)
}

fn compile(raw: RawRule) -> Result<Rule, String> {
    if raw.window.ms() == 0 {
        return Err("`window` must be longer than nothing".to_owned());
    }
    let watched = [raw.silence.is_some(), raw.reported.is_some(), raw.flood.is_some()];
    let kinds = [raw.condition.is_some(), !raw.steps.is_empty()].into_iter().chain(watched);
    if kinds.filter(|is_it| *is_it).count() != 1 {
        return Err("it needs one of `where`, `steps`, `silence`, `reported`, `flood`".to_owned());
    }
    let (distinct, limits) = compile_limits(&raw)?;
    let group = |name: &String| Ok::<_, String>((name.clone(), subject(name)?));
    let group_by: Vec<(String, Subject)> =
        raw.group_by.iter().map(group).collect::<Result<_, _>>()?;
    if raw.silence.is_some() && !matches!(group_by.as_slice(), [(_, Subject::Source)]) {
        return Err("`silence` goes with `group_by = [\"source\"]`".to_owned());
    }
    watch::check(raw.reported, raw.flood, &raw.group_by)?;
    let sum = match &raw.sum {
        Some(sum) if 0 < sum.min => Some((subject(&sum.field)?, sum.min)),
        Some(_) => return Err("`sum.min` is at least 1".to_owned()),
        None => None,
    };
    let then = compile_then(&raw)?;
    let absence = compile_absence(&raw)?;
    let steps = compile_steps(&raw)?;
    let condition = match &steps {
        Some(steps) => Predicate::Any(steps.conditions.clone()).simplified(),
        None => Predicate::compile(&raw.condition.unwrap_or_default())?,
    };
    let longest = limits.iter().map(|limit| limit.window).max().unwrap_or_default();
    let mut rule = Rule {
        gate: Gate::of(&condition),
        condition,
        group_by,
        distinct,
        limits,
        share: raw.share.as_ref().map(|share| compile_share(share, raw.window)).transpose()?,
        sum,
        then,
        steps,
        first_seen: raw.first_seen.map(|raw| FirstSeen { memory: raw.memory, learn: raw.learn }),
        hours: raw.hours,
        absence,
        silence: raw.silence.map(|silence| Silence { min: silence.min, times: silence.times }),
        reported: raw.reported,
        flood: raw.flood,
        covered_by: raw.covered_by,
        is_for_the_busy: false,
        severity: raw.severity,
        severity_field: raw.severity_field.as_deref().map(subject).transpose()?,
        resolve_after: raw.resolve_after.unwrap_or_else(|| quiet_after(longest)),
        explain: raw.explain.unwrap_or_else(|| raw.title.clone()),
        advise: raw.advise,
        attack: raw.attack,
        id: raw.id,
        version: raw.version,
        title: raw.title,
        category: raw.category,
    };
    rule.is_for_the_busy = rule.is_for_the_busy();
    Ok(rule)
}

fn subject(name: &str) -> Result<Subject, String> {
    Subject::named(name).ok_or_else(|| format!("`{name}` is no field that events have"))
}

/// The subjects that are told apart, and the limits: the rule's own first.
fn compile_limits(raw: &RawRule) -> Result<(Vec<Subject>, Vec<Limit>), String> {
    let own = RawLimit { window: None, threshold: raw.threshold, distinct: OneOrMore::default() };
    let each =
        || std::iter::once((&own, &raw.distinct)).chain(raw.or.iter().map(|or| (or, &or.distinct)));
    let mut subjects: Vec<Subject> = Vec::new();
    for one in each().flat_map(|(_, distinct)| distinct.as_slice()) {
        let subject = subject(&one.field)?;
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    if let Some(first_seen) = &raw.first_seen {
        subjects = vec![subject(&first_seen.field)?];
    }
    let is_single = raw.sum.is_some()
        || raw.first_seen.is_some()
        || raw.absence.is_some()
        || raw.reported.is_some()
        || !raw.steps.is_empty();
    let mut limits = Vec::new();
    for (limit, distinct) in each() {
        let mut values = vec![0; subjects.len()];
        for one in distinct.as_slice() {
            let place =
                subjects.iter().position(|known| Some(*known) == Subject::named(&one.field));
            values[place.expect("taken up above")] = within("distinct.min", one.min)?;
        }
        let events = match limit.threshold {
            Some(events) => within("threshold", events)?,
            None if is_single || !distinct.as_slice().is_empty() => 1,
            None => return Err("it needs `threshold`, `distinct`, `sum` or `steps`".to_owned()),
        };
        let window = limit.window.unwrap_or(raw.window);
        if window.ms() == 0 {
            return Err("`window` must be longer than nothing".to_owned());
        }
        limits.push(Limit { window, events, values });
    }
    Ok((subjects, limits))
}

fn compile_share(raw: &RawShare, window: Period) -> Result<Share, String> {
    if !(0.01..=1.0).contains(&raw.min) {
        return Err("`share.min` lies between 0.01 and 1".to_owned());
    }
    let against = Predicate::compile(&raw.against)?;
    let windows = if raw.windows.is_empty() { vec![window] } else { raw.windows.clone() };
    if windows.iter().any(|window| window.ms() < 12) {
        return Err("`share.windows` must be longer than nothing".to_owned());
    }
    Ok(Share { min: raw.min, gate: Gate::of(&against), against, windows })
}

fn compile_then(raw: &RawRule) -> Result<Option<Then>, String> {
    let Some(table) = &raw.then else {
        return match raw.unless_known {
            Some(_) => Err("`unless_known` goes with `then`".to_owned()),
            None => Ok(None),
        };
    };
    let condition = Predicate::compile(table)?;
    let gate = Gate::of(&condition);
    Ok(Some(Then { gate, condition, unless_known: raw.unless_known }))
}

fn compile_absence(raw: &RawRule) -> Result<Option<Absence>, String> {
    let Some(absence) = &raw.absence else { return Ok(None) };
    if absence.check_at.is_empty() || !raw.group_by.is_empty() {
        return Err("`absence` needs `check_at`, and goes with `group_by = []`".to_owned());
    }
    if !(0.0..=1.0).contains(&absence.roster_share)
        || (absence.min == 0 && absence.roster_share == 0.0)
    {
        return Err("`absence` needs `min`, or a `roster_share` of at most 1".to_owned());
    }
    let hours = Hours { days: absence.days.clone(), from: absence.from, to: None };
    if absence.check_at.iter().any(|time| jiff::civil::Time::from(*time) <= hours.begin()) {
        return Err("`absence.check_at` lies after its `from`, on the same day".to_owned());
    }
    Ok(Some(Absence {
        hours,
        check_at: absence.check_at.clone(),
        min: absence.min,
        roster_share: absence.roster_share,
    }))
}

fn compile_steps(raw: &RawRule) -> Result<Option<Steps>, String> {
    match raw.steps.len() {
        0 if raw.in_order => Err("`in_order` goes with `steps`".to_owned()),
        0 => Ok(None),
        2..=STEPS_MAX => {
            let conditions = raw.steps.iter().map(Predicate::compile).collect::<Result<_, _>>()?;
            Ok(Some(Steps { conditions, in_order: raw.in_order }))
        }
        _ => Err(format!("`steps` has from 2 to {STEPS_MAX} entries")),
    }
}

fn within(key: &str, value: usize) -> Result<usize, String> {
    if (1..=MAX_LIMIT).contains(&value) {
        Ok(value)
    } else {
        Err(format!("`{key}` lies between 1 and {MAX_LIMIT}"))
    }
}
