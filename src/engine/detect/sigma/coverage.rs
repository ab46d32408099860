//! Which rules a log can evaluate, and which field would unlock the others.

use super::SigmaRule;
use super::fields::Source;
use crate::engine::batch::{Event, FIELDS, Field, Kind, Module};
use crate::engine::detect::explain::name_of;
use crate::engine::detect::field::Subject;
use crate::engine::detect::predicate::Predicate;

/// What a log has.
#[derive(Clone, Debug, Default)]
pub struct Available {
    subjects: Vec<Subject>,
    web: bool,
    system: bool,
}

/// Whether a rule can be evaluated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Coverage {
    /// It can.
    Full,
    /// One of these fields alone would do; if there is none, all of the second list together.
    Locked(Vec<&'static str>, Vec<&'static str>),
    /// It is about another kind of log.
    OtherLog,
}

/// What follows from the line itself, whatever its format.
const DERIVED: &[Subject] = &[
    Subject::EventKind,
    Subject::Category,
    Subject::Action,
    Subject::Outcome,
    Subject::Module,
    Subject::Level,
    Subject::Site,
    Subject::Line,
    Subject::Timestamp,
];

impl Available {
    /// Adds the fields of these names, of a log of web servers.
    pub fn add_names<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        self.web = true;
        names.filter_map(Subject::named).for_each(|subject| self.add(subject));
    }

    /// Adds what an event has.
    pub fn add_event(&mut self, event: &Event<'_>) {
        match (event.row().kind, event.row().module) {
            (Kind::ParseFailure, _) => return,
            (_, Module::System) => self.system = true,
            _ => self.web = true,
        }
        let fields = FIELDS.iter().map(|entry| Subject::Text(entry.field));
        let others = [
            Subject::Status,
            Subject::Bytes,
            Subject::Duration,
            Subject::SourceIp,
            Subject::Extension,
        ];
        for subject in fields.chain(others) {
            if !self.subjects.contains(&subject) && subject.text(event).is_some() {
                self.add(subject);
            }
        }
    }

    /// Adds what another part of the log has.
    pub fn merge(&mut self, other: &Self) {
        (self.web, self.system) = (self.web || other.web, self.system || other.system);
        other.subjects.iter().for_each(|subject| self.add(*subject));
    }

    fn add(&mut self, subject: Subject) {
        let follow: &[Subject] = match subject {
            Subject::Duration => &[Subject::TimeTaken],
            Subject::Text(Field::ClientAddress) => &[Subject::SourceIp, Subject::ClientNet],
            Subject::Text(Field::HttpVersion) => &[Subject::Protocol],
            Subject::Text(Field::Path) => &[Subject::Extension],
            _ => &[],
        };
        for subject in std::iter::once(&subject).chain(follow) {
            if !self.subjects.contains(subject) {
                self.subjects.push(*subject);
            }
        }
    }

    fn has(&self, subject: Subject) -> bool {
        DERIVED.contains(&subject)
            || matches!(subject, Subject::Time(_))
            || self.subjects.contains(&subject)
    }

    /// Whether `rule` can be evaluated.
    pub fn covers(&self, rule: &SigmaRule) -> Coverage {
        let is_known = match rule.about {
            Source::Web => self.web,
            Source::System(_) => self.system,
            Source::Any => true,
        };
        if !is_known {
            return Coverage::OtherLog;
        }
        let can = |more: Option<Subject>| {
            let has = |subject: Subject| self.has(subject) || more == Some(subject);
            !restricted(&rule.condition, &has).simplified().is_never()
        };
        if can(None) {
            return Coverage::Full;
        }
        let mut missing = Vec::new();
        rule.condition.subjects(&mut missing);
        missing.retain(|subject| !self.has(*subject));
        let mut names: Vec<&'static str> = missing.iter().copied().map(name_of).collect();
        names.sort_unstable();
        names.dedup();
        let alone = missing.iter().filter(|subject| can(Some(**subject)));
        let mut alone: Vec<&'static str> = alone.copied().map(name_of).collect();
        alone.sort_unstable();
        alone.dedup();
        Coverage::Locked(alone, names)
    }
}

/// The condition where only some subjects have values.
fn restricted(condition: &Predicate, has: &dyn Fn(Subject) -> bool) -> Predicate {
    let each = |list: &[Predicate]| list.iter().map(|one| restricted(one, has)).collect();
    match condition {
        Predicate::All(list) => Predicate::All(each(list)),
        Predicate::Any(list) => Predicate::Any(each(list)),
        Predicate::AtLeast(least, list) => Predicate::AtLeast(*least, each(list)),
        Predicate::Not(one) => Predicate::Not(Box::new(restricted(one, has))),
        leaf => {
            let mut subjects = Vec::new();
            leaf.subjects(&mut subjects);
            if subjects.iter().all(|subject| has(*subject)) {
                leaf.clone()
            } else {
                Predicate::NEVER
            }
        }
    }
}
