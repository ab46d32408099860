//! Verdicts as JUnit's XML, which CI servers read.
//!
//! Invariant: it is well-formed, whatever names of tests and lines of logs hold. The template engine
//! escapes what has a meaning in XML; what XML cannot hold at all is shown as an escape before.

use askama::Template;

use super::{Case, Verdict};
use crate::escape::visible;

#[derive(Template)]
#[template(path = "junit.xml")]
struct Report {
    total: usize,
    failures: usize,
    suites: Vec<Suite>,
}

struct Suite {
    name: String,
    failures: usize,
    cases: Vec<Row>,
}

struct Row {
    rule: String,
    name: String,
    line: usize,
    complaints: Vec<String>,
}

/// A suite for each file, in the order of the tests.
pub fn report<'c>(done: impl Iterator<Item = (&'c Case, &'c Verdict)>) -> String {
    let mut suites: Vec<Suite> = Vec::new();
    for (case, verdict) in done {
        let file = visible(&case.file);
        if suites.last().is_none_or(|suite| suite.name != file) {
            suites.push(Suite { name: file, failures: 0, cases: Vec::new() });
        }
        let suite = suites.last_mut().expect("one was pushed");
        suite.failures += usize::from(!verdict.complaints.is_empty());
        suite.cases.push(Row {
            rule: visible(&case.rule),
            name: visible(&case.name),
            line: case.line,
            complaints: verdict.complaints.iter().map(|text| visible(text)).collect(),
        });
    }
    let total = suites.iter().map(|suite| suite.cases.len()).sum();
    let failures = suites.iter().map(|suite| suite.failures).sum();
    let report = Report { total, failures, suites };
    report.render().expect("a template that writes to a string")
}
