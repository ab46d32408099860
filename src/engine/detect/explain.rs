//! Why a rule's condition holds for an event, or does not: the part of it that decided, in words.
//!
//! Answers what [`Predicate::holds`] answers, with grounds. The words name fields as rules do; values
//! are as the log has them, so whoever shows them makes them safe to look at.

use super::field::{SUBJECTS, Subject};
use super::predicate::{Pattern, Predicate, TextTest};
use crate::engine::batch::{Event, FIELDS};

/// Whether a condition holds, and what decided it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// It holds.
    pub holds: bool,
    /// The tests that decided it, in words.
    pub grounds: Vec<String>,
}

/// Values of a list that are told.
const TOLD_MAX: usize = 4;

/// Tests `predicate` on `event` and says why.
pub fn explain(predicate: &Predicate, event: &Event<'_>) -> Verdict {
    match predicate {
        Predicate::All(parts) => joined(parts, event, true),
        Predicate::Any(parts) => joined(parts, event, false),
        Predicate::Not(inner) => {
            let Verdict { holds, grounds } = explain(inner, event);
            let word = if holds { "excluded" } else { "not excluded" };
            let grounds = grounds.into_iter().map(|ground| format!("{word}: {ground}"));
            Verdict { holds: !holds, grounds: grounds.collect() }
        }
        leaf => {
            let holds = leaf.holds(event);
            Verdict { holds, grounds: vec![ground(leaf, event, holds)] }
        }
    }
}

/// A list of which each must hold (`all`), or one.
fn joined(parts: &[Predicate], event: &Event<'_>, all: bool) -> Verdict {
    let mut grounds = Vec::new();
    for part in parts {
        let verdict = explain(part, event);
        // The first that fails decides about all, the first that holds about any.
        if verdict.holds != all {
            return verdict;
        }
        grounds.extend(verdict.grounds);
    }
    Verdict { holds: all, grounds }
}

fn ground(leaf: &Predicate, event: &Event<'_>, holds: bool) -> String {
    match leaf {
        Predicate::Number(subject, low, high) => said(*subject, event, &range(*low, *high), holds),
        Predicate::Text(subject, patterns) => {
            let mut wanted = worded(&patterns[..patterns.len().min(TOLD_MAX)]);
            if let Some(rest) = patterns.len().checked_sub(TOLD_MAX).filter(|rest| 0 < *rest) {
                wanted.push_str(&format!(" or {rest} more"));
            }
            said(*subject, event, &wanted, holds)
        }
        Predicate::Same(subject, _, other, _) => {
            said(*subject, event, &format!("what {} is", name_of(*other)), holds)
        }
        Predicate::Exists(subject) => {
            let state = if holds { "is there" } else { "is not there" };
            format!("{} {state}", name_of(*subject))
        }
        Predicate::Net(subject, _) => {
            let word = if holds { "one" } else { "none" };
            format!("{} is in {word} of the networks", name_of(*subject))
        }
        Predicate::AtLeast(least, list) => {
            let count = list.iter().filter(|one| one.holds(event)).count();
            format!("{count} of {} conditions hold, wanted {least}", list.len())
        }
        Predicate::All(_) | Predicate::Any(_) | Predicate::Not(_) => "nothing is asked".to_owned(),
    }
}

/// A condition in words, a line for each of its tests.
pub fn in_words(predicate: &Predicate) -> Vec<String> {
    let mut lines = Vec::new();
    words(predicate, "", &mut lines);
    lines
}

fn words(predicate: &Predicate, indent: &str, lines: &mut Vec<String>) {
    let (head, list) = match predicate {
        Predicate::All(list) => ("all of".to_owned(), list.as_slice()),
        Predicate::Any(list) => ("one of".to_owned(), list.as_slice()),
        Predicate::AtLeast(least, list) => (format!("{least} of"), list.as_slice()),
        Predicate::Not(one) => ("not".to_owned(), std::slice::from_ref(&**one)),
        leaf => return lines.push(format!("{indent}{}", asked(leaf))),
    };
    lines.push(format!("{indent}{head}"));
    let deeper = format!("{indent}  ");
    list.iter().for_each(|one| words(one, &deeper, lines));
}

/// What a single test asks.
fn asked(leaf: &Predicate) -> String {
    match leaf {
        Predicate::Number(subject, low, high) => {
            format!("{} is {}", name_of(*subject), range(*low, *high))
        }
        Predicate::Text(subject, patterns) => {
            format!("{} is {}", name_of(*subject), worded(patterns))
        }
        Predicate::Net(subject, nets) => {
            let nets: Vec<String> = nets.iter().map(ToString::to_string).collect();
            format!("{} is in {}", name_of(*subject), nets.join(" or "))
        }
        Predicate::Exists(subject) => format!("{} is there", name_of(*subject)),
        Predicate::Same(subject, _, other, _) => {
            format!("{} is what {} is", name_of(*subject), name_of(*other))
        }
        _ => String::new(),
    }
}

fn range(low: u64, high: u64) -> String {
    match (low, high) {
        (low, high) if low == high => low.to_string(),
        (low, u64::MAX) => format!("at least {low}"),
        (0, high) => format!("at most {high}"),
        (low, high) => format!("{low} to {high}"),
    }
}

/// Patterns in words; how they are compared is said again only where it changes.
fn worded(patterns: &[Pattern]) -> String {
    let (mut text, mut before) = (String::new(), None);
    for (test, shown) in patterns.iter().map(Pattern::shown) {
        let verb = match test {
            _ if before == Some(test) => "",
            TextTest::Equals => "",
            TextTest::Contains => "a text with ",
            TextTest::StartsWith => "a text that starts with ",
            TextTest::EndsWith => "a text that ends with ",
            TextTest::Matches => "a text like ",
        };
        if before.is_some() {
            text.push_str(" or ");
        }
        text.push_str(verb);
        text.push_str(shown);
        before = Some(test);
    }
    text
}

fn said(subject: Subject, event: &Event<'_>, wanted: &str, holds: bool) -> String {
    let name = name_of(subject);
    let mut values: Vec<String> = Vec::new();
    subject.any(event, |value| {
        values.push(String::from_utf8_lossy(value).into_owned());
        false
    });
    let value = values.join(" and ");
    match (values.is_empty(), holds) {
        (true, _) => format!("{name} is not there, wanted {wanted}"),
        (false, true) if value == wanted => format!("{name} is {value}"),
        (false, true) => format!("{name} is {value}, wanted {wanted}"),
        (false, false) => format!("{name} is {value}, not {wanted}"),
    }
}

/// The name by which rules know a subject.
pub fn name_of(subject: Subject) -> &'static str {
    let by_name = SUBJECTS.iter().find(|(_, known)| *known == subject).map(|(name, _)| *name);
    let field = |entry: &&crate::engine::batch::FieldEntry| Subject::Text(entry.field) == subject;
    let by_field = || FIELDS.iter().find(field).map(|entry| entry.name);
    by_name.or_else(by_field).unwrap_or("a field")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::batch::EventBatch;
    use crate::engine::detect::rule;
    use crate::engine::format::FormatSet;
    use crate::engine::parse::{Parser, Text};
    use crate::engine::time::TimeReader;
    use crate::units::Timestamp;

    fn batch(line: &str) -> EventBatch {
        let formats = FormatSet::from_definition("auto:combined").expect("a definition");
        let times = TimeReader::new(TimeZone::UTC, Timestamp::from_secs(1_795_160_801));
        let mut batch = EventBatch::default();
        let mut parser = Parser::new(formats, times, Arc::default());
        let (origin, bytes) = (Arc::default(), line.as_bytes().to_vec());
        let read_at = Timestamp::from_secs(1_795_160_801);
        parser.fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at });
        batch
    }

    fn line(user: &str, path: &str, status: u16) -> String {
        format!(
            "192.0.2.7 - {user} [20/Nov/2026:07:00:06 +0000] \"GET {path} HTTP/1.1\" {status} 5 \"-\" \"a\""
        )
    }

    #[track_caller]
    fn check(condition: &str, line: &str, holds: bool, grounds: &[&str]) {
        let table: toml::Table = toml::from_str(condition).expect("a table");
        let predicate = Predicate::compile(&table).expect("a condition");
        let verdict = explain(&predicate, &batch(line).event(0));
        assert_eq!(
            (holds, grounds),
            (
                verdict.holds,
                verdict.grounds.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
            )
        );
    }

    #[test]
    fn the_part_that_decides_is_named() {
        let login = line("alice", "/members/", 401);
        check(
            "\"http.response.status_code\" = 403",
            &login,
            false,
            &["http.response.status_code is 401, not 403"],
        );
        check(
            "\"http.response.status_code\" = 401\n\"user.name|exists\" = true",
            &login,
            true,
            &["http.response.status_code is 401", "user.name is there"],
        );
        check(
            "\"http.response.status_code|gte\" = 500\n\"user.name\" = \"bob\"",
            &login,
            false,
            &["http.response.status_code is 401, not at least 500"],
        );
        check(
            "\"url.path|startswith\" = [\"/a\", \"/members\"]",
            &login,
            true,
            &["url.path is /members/, wanted a text that starts with /a or /members"],
        );
        check(
            "not = { \"url.extension\" = \"css\" }",
            &line("-", "/a.css", 404),
            false,
            &["excluded: url.extension is css"],
        );
    }

    proptest! {
        /// The explanation never contradicts what the detectors do.
        #[test]
        fn the_words_agree_with_the_rules(
            user in "-|alice|bob", path in "/|/a\\.css|/login|/wp-login\\.php", status in 200u16..505,
        ) {
            let batch = batch(&line(&user, &path, status));
            let event = batch.event(0);
            for rule in rule::builtin().iter().filter(|rule| rule.looks_at_events()) {
                let verdict = explain(&rule.condition, &event);
                prop_assert_eq!(rule.condition.holds(&event), verdict.holds, "{}", rule.id);
                prop_assert!(!verdict.grounds.is_empty(), "{}", rule.id);
            }
        }
    }
}
