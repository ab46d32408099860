//! Rules: read from TOML, checked, compiled.

use serde::Deserialize;

use super::Severity;
use super::field::Subject;
use super::predicate::{Gate, Predicate};
use super::steps::{STEPS_MAX, Steps};
use crate::engine::batch::Field;
use crate::units::Period;

/// The rules that come with the program.
pub const PACK: &str = include_str!("pack.toml");

/// Largest `threshold` and `distinct.min`: what one key may cost in memory.
pub(super) const MAX_LIMIT: usize = 4096;

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
    /// Subjects whose different values count.
    pub distinct: Vec<Subject>,
    /// How many events and values within which window fire it: one of these is enough. The first
    /// is the one that is told.
    pub limits: Vec<Limit>,
    /// The least share of matching events among these and the events that speak against.
    pub share: Option<Share>,
    /// The number of which the sum within the window must reach this.
    pub sum: Option<(Subject, u64)>,
    /// What must come on top, while the limits are reached.
    pub then: Option<Then>,
    /// Different events that must all come within the window; the condition is any of them.
    pub steps: Option<Steps>,
    /// A value fires that the key did not have before.
    pub first_seen: Option<FirstSeen>,
    /// How long a source must say nothing; such a rule looks at no event.
    pub silence: Option<Silence>,
    /// Rules whose alert about the event's client, user or site says it already.
    pub covered_by: Vec<String>,
    /// Only clients that ask much can reach the limits: see [`super::busy`].
    pub is_for_the_busy: bool,
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

/// Events that a key of a rule about a sum remembers, to tell what was summed up.
const SUMMED_MAX: usize = 64;

/// What fires a rule: that many within a sliding window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limit {
    /// Length of the window.
    pub window: Period,
    /// How many events; 1 where only different values count.
    pub events: usize,
    /// How many different values of each of [`Rule::distinct`]; 0 where it does not matter.
    pub values: Vec<usize>,
}

/// The second step of a sequence.
#[derive(Clone, Debug)]
pub struct Then {
    /// The event that fires the rule, for a key whose limits are reached.
    pub condition: Predicate,
    /// What lets most events pass by.
    pub gate: Gate,
    /// A key that had such an event within this time before is known, and fires nothing.
    pub unless_known: Option<Period>,
}

/// A value that a key did not have before: of the one subject in [`Rule::distinct`].
#[derive(Clone, Copy, Debug)]
pub struct FirstSeen {
    /// How long values are remembered.
    pub memory: Period,
    /// How long a key must be known before anything about it is new.
    pub learn: Period,
}

/// When a source is silent.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// At least this long.
    pub min: Period,
    /// And this many times as long as the longest pause within the window before.
    pub times: u32,
}

impl Rule {
    /// Its longest window.
    pub fn window(&self) -> Period {
        self.limits.iter().map(|limit| limit.window).max().unwrap_or_default()
    }

    /// Events that a key must remember.
    pub fn events_max(&self) -> usize {
        let steps = self.steps.as_ref().map_or(1, |steps| steps.conditions.len());
        let least = if self.sum.is_some() { SUMMED_MAX } else { steps };
        self.limits.iter().map(|limit| limit.events).fold(least, usize::max)
    }

    /// Values of subject `index` of [`Rule::distinct`] that a key must remember.
    pub fn values_max(&self, index: usize) -> usize {
        self.limits.iter().map(|limit| limit.values[index]).max().unwrap_or(0)
    }

    /// A rule that one event fires: an alert for each client, or for each site where the lines name
    /// no client.
    pub fn of_single_events(
        id: &str,
        title: &str,
        condition: Predicate,
        severity: Severity,
        has_client: bool,
    ) -> Self {
        let (name, subject, advice) = if has_client {
            ("client.net", Subject::ClientNet, "block_client")
        } else {
            ("site", Subject::Site, "check_server")
        };
        let window = Period::from_secs(600);
        Self {
            id: id.to_owned(),
            version: 1,
            title: title.to_owned(),
            category: web(),
            gate: Gate::of(&condition),
            condition,
            group_by: vec![(name.to_owned(), subject)],
            distinct: Vec::new(),
            limits: vec![Limit { window, events: 1, values: Vec::new() }],
            share: None,
            sum: None,
            then: None,
            steps: None,
            first_seen: None,
            silence: None,
            covered_by: Vec::new(),
            is_for_the_busy: false,
            severity,
            resolve_after: quiet_after(window),
            explain: format!("{{count}} events of {{{name}}} match this rule within {{window}}"),
            advise: vec![advice.to_owned()],
            attack: Vec::new(),
        }
    }

    /// One event alone can fire it.
    pub fn is_of_single_events(&self) -> bool {
        let is_single =
            |limit: &Limit| limit.events == 1 && limit.values.iter().all(|min| *min == 0);
        self.limits.iter().any(is_single)
            && self.share.is_none()
            && self.sum.is_none()
            && self.then.is_none()
            && self.steps.is_none()
            && self.first_seen.is_none()
            && self.silence.is_none()
    }

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
    /// The windows over which the share is taken; it must be reached in each.
    pub windows: Vec<Period>,
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
    silence: Option<RawSilence>,
    #[serde(default)]
    covered_by: Vec<String>,
    #[serde(default)]
    severity: Severity,
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
struct RawSilence {
    min: Period,
    times: u32,
}

fn one() -> u32 {
    1
}

fn web() -> String {
    "web".to_owned()
}

/// When nothing more is to be expected: what takes a day to be noticed pauses for hours.
fn quiet_after(window: Period) -> Period {
    Period::from_secs((window.secs() / 4).max(1800))
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

impl RuleError {
    /// The id of the rule that it is about; `rule file` where it is about all of them.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// What is wrong.
    pub fn complaint(&self) -> &str {
        &self.complaint
    }
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
    let kinds = [raw.condition.is_some(), !raw.steps.is_empty(), raw.silence.is_some()];
    if kinds.iter().filter(|is_it| **is_it).count() != 1 {
        return Err("it needs one of `where`, `steps` and `silence`".to_owned());
    }
    let (distinct, limits) = compile_limits(&raw)?;
    let group = |name: &String| Ok::<_, String>((name.clone(), subject(name)?));
    let group_by: Vec<(String, Subject)> =
        raw.group_by.iter().map(group).collect::<Result<_, _>>()?;
    if raw.silence.is_some() && !matches!(group_by.as_slice(), [(_, Subject::Source)]) {
        return Err("`silence` goes with `group_by = [\"source\"]`".to_owned());
    }
    let sum = match &raw.sum {
        Some(sum) if 0 < sum.min => Some((subject(&sum.field)?, sum.min)),
        Some(_) => return Err("`sum.min` is at least 1".to_owned()),
        None => None,
    };
    let then = compile_then(&raw)?;
    let steps = compile_steps(&raw)?;
    let condition = match &steps {
        Some(steps) => Predicate::Any(steps.conditions.clone()).simplified(),
        None => Predicate::compile(&raw.condition.unwrap_or_default())?,
    };
    let longest = limits.iter().map(|limit| limit.window).max().unwrap_or_default();
    let is_for_the_busy =
        matches!(group_by.first(), Some((_, Subject::ClientNet))) && limits.iter().all(is_fast);
    Ok(Rule {
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
        silence: raw.silence.map(|silence| Silence { min: silence.min, times: silence.times }),
        covered_by: raw.covered_by,
        is_for_the_busy,
        severity: raw.severity,
        resolve_after: raw.resolve_after.unwrap_or_else(|| quiet_after(longest)),
        explain: raw.explain.unwrap_or_else(|| raw.title.clone()),
        advise: raw.advise,
        attack: raw.attack,
        id: raw.id,
        version: raw.version,
        title: raw.title,
        category: raw.category,
    })
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
    let is_single = raw.sum.is_some() || raw.first_seen.is_some() || !raw.steps.is_empty();
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

/// Whether only a client with more than [`super::busy::EVENTS`] a minute can reach it.
fn is_fast(limit: &Limit) -> bool {
    let most = limit.values.iter().copied().max().unwrap_or(0).max(limit.events) as u64;
    let minutes = limit.window.secs().div_ceil(60).max(1);
    3 * super::busy::EVENTS <= most && 2 * super::busy::EVENTS * minutes <= most
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pack_compiles_and_each_rule_explains_itself() {
        for rule in builtin() {
            assert!(rule.explain.contains('{'), "{}", rule.id);
            assert!(!rule.advise.is_empty(), "{}", rule.id);
        }
    }

    #[test]
    fn what_covers_a_rule_of_the_pack_is_a_rule_of_the_pack() {
        let rules = builtin();
        for rule in &rules {
            for id in &rule.covered_by {
                assert!(rules.iter().any(|other| other.id == *id), "{}: no {id}", rule.id);
            }
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
        check_error("where = {}\ngroup_by = []", "needs `threshold`, `distinct`, `sum` or `steps`");
        check_error("where = {}\ngroup_by = [\"user\"]\nthreshold = 5", "`user` is no field");
        check_error(
            "where = { \"url.pth\" = \"/\" }\ngroup_by = []\nthreshold = 5",
            "did you mean `url.path`?",
        );
        check_error("where = {}\ngroup_by = []\nthreshold = 0", "between 1 and");
        check_error("where = {}\ngroup_by = []\ntreshold = 5", "treshold");
    }
}
