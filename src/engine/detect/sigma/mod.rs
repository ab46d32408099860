//! Sigma rules: read from YAML as they are published, compiled to conditions of ours.
//!
//! `rsigma-parser` reads the files; what a rule means is decided here, in the words of
//! [`Predicate`], so that a modifier cannot mean one thing in a Sigma rule and another in a rule of
//! ours. Rules refer to each other across files, so all are read before any is compiled:
//! [`Collection::read`], then [`Collection::compile`].
//!
//! Invariant: each document of each file ends in one [`Entry`] of the report: it is loaded, or it
//! says why not. A bad one never loses the others.

mod correlation;
mod coverage;
mod document;
pub mod fields;

use std::collections::BTreeMap;

use rsigma_parser::{
    ConditionExpr, CorrelationRule, Detection, DetectionItem, Detections, FilterRule,
    FilterRuleTarget, Level, LogSource, Modifier, Quantifier, SigmaValue,
};

pub use self::coverage::{Available, Coverage};
use self::document::{Content, Document};
pub use self::fields::Source;
use super::Severity;
use super::field::Subject;
use super::predicate::{Literal, Predicate};
use super::rule::Rule;

/// Rules that are read and not yet compiled.
#[derive(Debug, Default)]
pub struct Collection {
    documents: Vec<Document>,
    report: Vec<Entry>,
}

/// What became of a collection.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// The rules about single events.
    pub rules: Vec<SigmaRule>,
    /// What the correlations count.
    pub correlations: Vec<Rule>,
    /// What became of each document, by file and line.
    pub report: Vec<Entry>,
}

/// A rule about single events.
#[derive(Clone, Debug)]
pub struct SigmaRule {
    /// The rule's own id; its name or title in lower case where it has none.
    pub id: String,
    /// What correlations may call it.
    pub name: Option<String>,
    /// One line for people.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// Which events it is about.
    pub condition: Predicate,
    /// ATT&CK techniques.
    pub attack: Vec<String>,
    /// Where it is from.
    pub file: String,
    /// Line of its first word.
    pub line: usize,
    /// The logs that it is about.
    pub about: Source,
    /// Its events are those of a client each; else they may be the server's own.
    pub has_client: bool,
    /// It only feeds correlations.
    pub is_silent: bool,
    source: LogSource,
}

/// What became of one document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The file as it was named.
    pub file: String,
    /// The line that the entry is about, from 1.
    pub line: usize,
    /// The rule's id, or as much of a name as it has.
    pub id: String,
    /// The rule's title; empty where it could not be read.
    pub title: String,
    /// What became of it.
    pub state: State,
    /// What is still worth saying.
    pub notes: Vec<String>,
}

/// What became of a document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// It is in force.
    Loaded,
    /// It is sound, but no log that is read here has what it looks at.
    Unevaluable(String),
    /// It cannot be used: the reason, and the fix where there is one.
    Rejected(String),
}

impl State {
    /// All names.
    pub const NAMES: [&'static str; 3] = ["loaded", "unevaluable", "rejected"];

    /// The name in reports and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Unevaluable(_) => "unevaluable",
            Self::Rejected(_) => "rejected",
        }
    }

    /// Why it is not in force.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Loaded => None,
            Self::Unevaluable(reason) | Self::Rejected(reason) => Some(reason),
        }
    }
}

/// Names of fields that no log has, as the rule calls them.
#[derive(Debug, Default)]
struct Missing(Vec<String>);

/// Why a rule cannot be compiled, and a text near which the reason stands in its file.
#[derive(Debug)]
struct Complaint {
    reason: String,
    near: String,
}

fn complaint(near: &str, reason: impl Into<String>) -> Complaint {
    Complaint { reason: reason.into(), near: near.to_owned() }
}

/// How deep detections may lie in each other.
const DEPTH_MAX: usize = 32;

impl Collection {
    /// Takes up what stands in `text`, which is called `file` from now on.
    pub fn read(&mut self, file: &str, text: &str) {
        document::read(file, text, &mut self.documents, &mut self.report);
    }

    /// Takes up that a file cannot be read at all.
    pub fn refuse(&mut self, file: &str, reason: &str) {
        self.report.push(document::refused(file, 1, reason));
    }

    /// Compiles everything that was read.
    pub fn compile(self) -> Compiled {
        let Self { documents, report } = self;
        let mut compiled = Compiled { report, ..Compiled::default() };
        let (mut filters, mut correlations) = (Vec::new(), Vec::new());
        for document in documents {
            match &document.content {
                Content::Rule(_) => compiled.rule(&document),
                Content::Filter(_) => filters.push(document),
                Content::Correlation(_) => correlations.push(document),
            }
        }
        for document in filters {
            if let Content::Filter(filter) = &document.content {
                compiled.filter(&document, filter);
            }
        }
        for document in correlations {
            if let Content::Correlation(correlation) = &document.content {
                compiled.correlation(&document, correlation);
            }
        }
        compiled.report.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        compiled
    }
}

impl Compiled {
    /// How many documents are loaded, unevaluable and rejected.
    pub fn counts(&self) -> [usize; 3] {
        let of = |name: &str| self.report.iter().filter(|entry| entry.state.name() == name).count();
        State::NAMES.map(of)
    }

    /// The rules that raise alerts: one about each client, and what correlations count.
    pub fn alert_rules(&self) -> Vec<Rule> {
        let loud = self.rules.iter().filter(|rule| !rule.is_silent);
        let single = loud.map(|rule| {
            let mut alert = Rule::of_single_events(
                &rule.id,
                &rule.title,
                rule.condition.clone(),
                rule.severity,
                rule.has_client,
            );
            alert.attack.clone_from(&rule.attack);
            alert
        });
        single.chain(self.correlations.iter().cloned()).collect()
    }

    fn rule(&mut self, document: &Document) {
        let Content::Rule(rule) = &document.content else { return };
        let mut missing = Missing::default();
        let mut notes = document.notes.clone();
        if let Some(known) = self.rules.iter().find(|known| known.id == document.id) {
            let reason = format!("its id is that of {} line {}", known.file, known.line);
            return self.tell(document, "id:", State::Rejected(reason), notes);
        }
        let Some(source) = Source::of(&rule.logsource) else {
            let reason =
                format!("no log that is read here is {}", fields::in_words(&rule.logsource));
            return self.tell(document, "logsource:", State::Unevaluable(reason), notes);
        };
        let condition = match detections(&rule.detection, &mut missing) {
            Ok(condition) => condition.simplified(),
            Err(Complaint { reason, near }) => {
                return self.tell(document, &near, State::Rejected(reason), notes);
            }
        };
        if condition.is_never() {
            let state = State::Unevaluable(missing.in_words());
            return self.tell(document, missing.first(), state, notes);
        }
        if !missing.0.is_empty() {
            notes.push(format!("a part of it is taken as not met: {}", missing.in_words()));
        }
        if rule.detection.timeframe.is_some() {
            notes.push("`timeframe` is passed over: it belongs to correlations".to_owned());
        }
        self.tell(document, "title:", State::Loaded, notes);
        self.rules.push(SigmaRule {
            id: document.id.clone(),
            name: rule.name.clone(),
            title: rule.title.clone(),
            severity: severity(rule.level),
            condition: Predicate::All(vec![source.condition(), condition]).simplified(),
            attack: techniques(&rule.tags),
            file: document.file.clone(),
            line: document.line,
            about: source,
            // What a service says of itself need not have a client.
            has_client: rule.logsource.category.is_some(),
            is_silent: false,
            source: rule.logsource.clone(),
        });
    }

    /// What a filter says must hold beside the conditions of its rules.
    fn filter(&mut self, document: &Document, filter: &FilterRule) {
        let mut missing = Missing::default();
        let mut notes = document.notes.clone();
        let condition = match detections(&filter.detection, &mut missing) {
            Ok(condition) => condition.simplified(),
            Err(Complaint { reason, near }) => {
                return self.tell(document, &near, State::Rejected(reason), notes);
            }
        };
        if !missing.0.is_empty() {
            notes.push(format!("a part of it is taken as not met: {}", missing.in_words()));
        }
        let is_meant = |rule: &SigmaRule| {
            let is_named = match &filter.rules {
                FilterRuleTarget::Any => true,
                FilterRuleTarget::Specific(names) => names.iter().any(|name| rule.is_called(name)),
            };
            is_named && filter.logsource.as_ref().is_none_or(|source| rule.is_from(source))
        };
        let mut count = 0;
        for rule in self.rules.iter_mut().filter(|rule| is_meant(rule)) {
            let before = std::mem::replace(&mut rule.condition, Predicate::ALWAYS);
            rule.condition = Predicate::All(vec![before, condition.clone()]).simplified();
            count += 1;
        }
        let state = match count {
            0 => State::Unevaluable("none of the rules it names is loaded".to_owned()),
            _ => State::Loaded,
        };
        self.tell(document, "rules:", state, notes);
    }

    fn correlation(&mut self, document: &Document, correlation: &CorrelationRule) {
        let result = correlation::compile(&document.id, correlation, &mut self.rules);
        let (near, state) = match result {
            Ok(rule) => {
                self.correlations.push(rule);
                ("title:", State::Loaded)
            }
            Err((near, state)) => (near, state),
        };
        self.tell(document, near, state, document.notes.clone());
    }

    fn tell(&mut self, document: &Document, near: &str, state: State, notes: Vec<String>) {
        // A rule that is fine stands where it begins.
        let line = match state {
            State::Loaded => document.line,
            _ => document.line_of(near),
        };
        self.report.push(Entry {
            file: document.file.clone(),
            line,
            id: document.id.clone(),
            title: document.title().to_owned(),
            state,
            notes,
        });
    }
}

impl SigmaRule {
    /// Correlations and filters name a rule by its id or by its name.
    fn is_called(&self, name: &str) -> bool {
        self.id == name || self.name.as_deref() == Some(name)
    }

    /// The log source is the rule's, or a wider one.
    fn is_from(&self, source: &LogSource) -> bool {
        let fits = |asked: &Option<String>, own: &Option<String>| asked.is_none() || asked == own;
        fits(&source.category, &self.source.category)
            && fits(&source.product, &self.source.product)
            && fits(&source.service, &self.source.service)
    }
}

impl Missing {
    fn add(&mut self, name: &str) {
        if !self.0.iter().any(|known| known == name) {
            self.0.push(name.to_owned());
        }
    }

    fn first(&self) -> &str {
        self.0.first().map_or("condition:", String::as_str)
    }

    fn in_words(&self) -> String {
        match self.0.as_slice() {
            [] => "its condition can never hold".to_owned(),
            [one] => format!("no log that is read here has the field `{one}`"),
            names => format!("no log that is read here has the fields `{}`", names.join("`, `")),
        }
    }
}

/// The `detection` of a rule or a filter; several conditions are alternatives.
fn detections(detections: &Detections, missing: &mut Missing) -> Result<Predicate, Complaint> {
    let mut named = BTreeMap::new();
    for (name, detection) in &detections.named {
        let part = self::detection(name, detection, missing, 0)?;
        named.insert(name.as_str(), part);
    }
    if detections.conditions.is_empty() {
        return Err(complaint("condition:", "there is no condition"));
    }
    let conditions = detections.conditions.iter().map(|one| condition(one, &named));
    Ok(Predicate::Any(conditions.collect::<Result<_, _>>()?))
}

fn condition(
    expression: &ConditionExpr,
    named: &BTreeMap<&str, Predicate>,
) -> Result<Predicate, Complaint> {
    let each = |list: &[ConditionExpr]| {
        list.iter().map(|one| condition(one, named)).collect::<Result<Vec<_>, _>>()
    };
    Ok(match expression {
        ConditionExpr::And(list) => Predicate::All(each(list)?),
        ConditionExpr::Or(list) => Predicate::Any(each(list)?),
        ConditionExpr::Not(one) => Predicate::Not(Box::new(condition(one, named)?)),
        ConditionExpr::Identifier(name) => named.get(name.as_str()).cloned().ok_or_else(|| {
            let near = crate::units::nearest(name, named.keys().copied());
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            complaint(
                "condition:",
                format!("the condition names `{name}`, which is not there{hint}"),
            )
        })?,
        ConditionExpr::Selector { quantifier, pattern } => {
            let meant = named.iter().filter(|(name, _)| pattern.matches_detection_name(name));
            let meant: Vec<Predicate> = meant.map(|(_, part)| part.clone()).collect();
            if meant.is_empty() {
                let reason = format!("the condition names `{pattern}`, and nothing is called so");
                return Err(complaint("condition:", reason));
            }
            match quantifier {
                Quantifier::Any => Predicate::Any(meant),
                Quantifier::All => Predicate::All(meant),
                Quantifier::Count(count) => {
                    let count = usize::try_from(*count).unwrap_or(usize::MAX);
                    Predicate::AtLeast(count, meant)
                }
            }
        }
    })
}

fn detection(
    name: &str,
    detection: &Detection,
    missing: &mut Missing,
    depth: usize,
) -> Result<Predicate, Complaint> {
    if DEPTH_MAX < depth {
        return Err(complaint(name, format!("`{name}` lies deeper than {DEPTH_MAX} lists")));
    }
    let nothing = || complaint(name, format!("`{name}` asks for nothing"));
    let each = |list: &[Detection], missing: &mut Missing| {
        let parts = list.iter().map(|one| self::detection(name, one, missing, depth + 1));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        if parts.is_empty() { Err(nothing()) } else { Ok(parts) }
    };
    Ok(match detection {
        Detection::AllOf(items) if items.is_empty() => return Err(nothing()),
        Detection::AllOf(items) => {
            let items = items.iter().map(|one| item(one, missing));
            Predicate::All(items.collect::<Result<_, _>>()?)
        }
        Detection::AnyOf(list) => Predicate::Any(each(list, missing)?),
        Detection::And(list) => Predicate::All(each(list, missing)?),
        Detection::Keywords(values) => {
            let values: Vec<Literal> = values.iter().map(literal).collect();
            if values.iter().all(|value| *value == Literal::Null) {
                return Err(nothing());
            }
            let entry = Predicate::entry(name, Subject::Line, &[], &values, &fields::subject);
            entry.map_err(|reason| complaint(name, reason))?
        }
        Detection::ArrayMatch { .. } | Detection::Conditional { .. } => {
            let reason = format!("`{name}` looks into lists, which events here do not have");
            return Err(complaint(name, reason));
        }
    })
}

/// One field with its values. A field that no log has is never met, but by `null`.
fn item(item: &DetectionItem, missing: &mut Missing) -> Result<Predicate, Complaint> {
    let name = item.field.name.as_deref();
    let modifiers: Vec<&str> = item.field.modifiers.iter().map(|one| modifier(*one)).collect();
    let key = [name.unwrap_or_default()].into_iter().chain(modifiers.iter().copied());
    let key = key.collect::<Vec<_>>().join("|");
    let values: Vec<Literal> = item.values.iter().map(literal).collect();
    let subject = match name {
        None => Subject::Line,
        Some(name) => match fields::subject(name) {
            Ok(subject) => subject,
            Err(_) => {
                // The entry must be sound nevertheless; any field tells.
                Predicate::entry(&key, Subject::Line, &modifiers, &values, &fields::subject)
                    .map_err(|reason| complaint(&key, reason))?;
                let is_absent = |value: &Literal| match value {
                    Literal::Null => true,
                    Literal::Bool(flag) => modifiers.contains(&"exists") && !flag,
                    _ => false,
                };
                let holds = if modifiers.contains(&"all") {
                    values.iter().all(is_absent)
                } else {
                    values.iter().any(is_absent)
                };
                if !holds {
                    missing.add(name);
                }
                return Ok(if holds { Predicate::ALWAYS } else { Predicate::NEVER });
            }
        },
    };
    let entry = Predicate::entry(&key, subject, &modifiers, &values, &fields::subject);
    entry.map_err(|reason| complaint(&key, reason))
}

fn literal(value: &SigmaValue) -> Literal {
    match value {
        SigmaValue::String(text) => Literal::Text(text.original.clone()),
        SigmaValue::Integer(number) => Literal::Integer(*number),
        SigmaValue::Float(number) => Literal::Float(*number),
        SigmaValue::Bool(flag) => Literal::Bool(*flag),
        SigmaValue::Null => Literal::Null,
    }
}

/// The name under which [`Predicate::entry`] knows a modifier.
fn modifier(modifier: Modifier) -> &'static str {
    match modifier {
        Modifier::Contains => "contains",
        Modifier::StartsWith => "startswith",
        Modifier::EndsWith => "endswith",
        Modifier::All => "all",
        Modifier::Base64 => "base64",
        Modifier::Base64Offset => "base64offset",
        Modifier::Wide => "wide",
        Modifier::Utf16be => "utf16be",
        Modifier::Utf16 => "utf16",
        Modifier::WindAsh => "windash",
        Modifier::Re => "re",
        Modifier::Cidr => "cidr",
        Modifier::Cased => "cased",
        Modifier::Exists => "exists",
        Modifier::Expand => "expand",
        Modifier::FieldRef => "fieldref",
        Modifier::Gt => "gt",
        Modifier::Gte => "gte",
        Modifier::Lt => "lt",
        Modifier::Lte => "lte",
        Modifier::Neq => "neq",
        Modifier::IgnoreCase => "i",
        Modifier::Multiline => "m",
        Modifier::DotAll => "s",
        Modifier::Minute => "minute",
        Modifier::Hour => "hour",
        Modifier::Day => "day",
        Modifier::Week => "week",
        Modifier::Month => "month",
        Modifier::Year => "year",
    }
}

fn severity(level: Option<Level>) -> Severity {
    match level {
        Some(Level::Informational) => Severity::Info,
        Some(Level::Low) => Severity::Low,
        Some(Level::Medium) | None => Severity::Medium,
        Some(Level::High) => Severity::High,
        Some(Level::Critical) => Severity::Critical,
    }
}

/// `attack.t1190` is T1190.
fn techniques(tags: &[String]) -> Vec<String> {
    let technique = |tag: &String| {
        let name = tag.to_ascii_lowercase();
        let number = name.strip_prefix("attack.t")?;
        let is_number = number.starts_with(|first: char| first.is_ascii_digit());
        is_number.then(|| format!("T{number}"))
    };
    tags.iter().filter_map(technique).collect()
}

#[cfg(test)]
mod tests;
