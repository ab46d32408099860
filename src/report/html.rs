//! The weekly report as HTML for mail programs, browsers and paper.
//!
//! Invariant: nothing in it is active or comes from elsewhere. There is no script, no link, no
//! image; text of the log is escaped by the template engine, and broken so that no mail program
//! makes a link of it. Colour only repeats what a word says. It stays below [`BYTES_MAX`].

use askama::Template;
use askama::filters::{Escaper as _, Html, Safe};

use super::figures::{bytes, count, minute};
use super::text;
use super::verdict::{self, Light};
use super::week::{AlertRow, Change, DayRow, NamedChange, WeekReport};
use crate::engine::detect::Severity;
use crate::escape::{cut, visible};

/// Larger mails are cut by some mail programs.
pub const BYTES_MAX: usize = 100 * 1000;

/// Columns shown of a name, path or client.
const NAME_MAX: usize = 64;
/// Columns shown of a sentence.
const SENTENCE_MAX: usize = 200;

#[derive(Debug, Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a WeekReport,
    hash: String,
}

/// The report as HTML.
pub fn render(report: &WeekReport) -> String {
    let page = Page { report, hash: text::text_hash(report) };
    page.render().expect("a template that writes to a string")
}

/// Text of the log, visible and broken behind dots, colons and the like: `<wbr>` lets long names
/// wrap and keeps mail programs from seeing an address in them.
fn log_text(text: &str, columns: usize) -> Safe<String> {
    let text = cut(&visible(text), columns);
    let mut out = String::with_capacity(text.len() + 32);
    for piece in text.split_inclusive(['.', ':', '@', '/']) {
        Html.write_escaped_str(&mut out, piece).expect("a string takes all that is written to it");
        if piece.ends_with(['.', ':', '@', '/']) {
            out.push_str("<wbr>");
        }
    }
    Safe(out)
}

impl Page<'_> {
    fn name(&self, text: &str) -> Safe<String> {
        log_text(text, NAME_MAX)
    }

    fn sentence(&self, text: &str) -> Safe<String> {
        log_text(text, SENTENCE_MAX)
    }

    fn count(&self, value: &u64) -> String {
        count(*value)
    }

    fn bytes(&self, value: &u64) -> String {
        bytes(*value)
    }

    fn then(&self, before: &Option<u64>) -> String {
        text::then(*before)
    }

    fn was(&self, before: &Option<u64>) -> String {
        before.map_or_else(|| "–".to_owned(), count)
    }

    fn was_bytes(&self, before: &Option<u64>) -> String {
        before.map_or_else(|| "–".to_owned(), bytes)
    }

    fn named(&self, name: &str) -> String {
        text::named(name)
    }

    fn at_least(&self, lower_by: &u64) -> String {
        text::at_least(*lower_by)
    }

    /// Class of the box around the verdict.
    fn light(&self) -> &'static str {
        match self.report.verdict.light {
            Light::Green => "green",
            Light::Amber => "amber",
            Light::Red => "red",
        }
    }

    fn word(&self) -> &'static str {
        self.report.verdict.light.word()
    }

    fn covered(&self) -> String {
        text::covered(self.report)
    }

    fn coverage(&self) -> String {
        text::coverage(&self.report.quality)
    }

    fn reasons(&self) -> String {
        self.report.verdict.reasons.join("; ")
    }

    fn missed(&self) -> Option<String> {
        (!self.report.period.missed.is_empty()).then(|| text::missed(self.report))
    }

    fn severity(&self, severity: &Severity) -> &'static str {
        severity.name()
    }

    fn opened(&self, row: &AlertRow) -> String {
        minute(row.opened, &self.report.zone)
    }

    fn state(&self, row: &AlertRow) -> String {
        text::state(self.report, row)
    }

    /// The rows of log-ins with their names.
    fn logins(&self) -> [(&'static str, Change); 3] {
        let logins = &self.report.logins;
        [("let in", logins.success), ("failed", logins.failure), (text::UNCLEAR, logins.attempt)]
    }

    /// Width of a bar in percent.
    fn share(&self, value: &u64, most: &u64) -> u64 {
        match most {
            0 => 0,
            _ => (u128::from(*value) * 100).div_ceil(u128::from(*most)) as u64,
        }
    }

    /// What stands before the counts of a day.
    fn least(&self, row: &DayRow) -> &'static str {
        if row.incomplete { "≥ " } else { "" }
    }

    fn most_let_in(&self) -> u64 {
        self.report.days.iter().map(|row| row.counts.logins.success).max().unwrap_or(0)
    }

    fn most(&self, rows: &[NamedChange]) -> u64 {
        rows.iter().map(|row| row.count.now).max().unwrap_or(0)
    }

    fn gaps(&self) -> Vec<(String, String)> {
        let gaps = self.report.quality.gaps.iter();
        gaps.map(|gap| text::gap_words(gap, self.report)).collect()
    }

    fn hours_and_lines(&self) -> Vec<(&'static str, String)> {
        text::hours_and_lines(&self.report.quality)
    }

    fn making(&self) -> Vec<(&'static str, String)> {
        text::making(self.report)
    }

    fn rules(&self) -> Option<String> {
        let rules = &self.report.alerts.rules;
        let named = rules.iter().map(|row| format!("{} {}", row.name, count(row.count)));
        (1 < rules.len()).then(|| named.collect::<Vec<_>>().join(", "))
    }

    fn notes(&self) -> Vec<&str> {
        let notes = self.report.quality.notes.iter().map(String::as_str);
        notes.chain(text::PRIVACY).chain([verdict::RULE]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escape::is_visible;
    use crate::report::fixture::{self, Week};

    /// All that a report is made of; none of them can do or load anything.
    const TAGS: &[&str] = &[
        "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "h3", "p",
        "b", "br", "wbr", "span", "table", "tr", "th", "td", "ul", "li",
    ];

    #[track_caller]
    fn check(golden: &str, week: &Week) -> String {
        let html = render(&week.report());
        fixture::check_golden(golden, &html);
        assert!(html.len() < BYTES_MAX, "{} bytes", html.len());
        for tag in html.split('<').skip(1) {
            let tag = tag.split('>').next().unwrap_or_default();
            let name = tag.trim_start_matches('/').split(' ').next().unwrap_or_default();
            assert!(TAGS.contains(&name), "<{tag}>");
            let attributes = tag.split(' ').skip(1).filter_map(|part| part.split_once('='));
            for (attribute, _) in attributes.filter(|_| name != "meta") {
                assert!(["class", "style", "colspan", "lang"].contains(&attribute), "<{tag}>");
            }
        }
        assert!(!html.contains("url(") && !html.contains("@import"), "nothing from elsewhere");
        html
    }

    #[test]
    fn an_attacked_week_is_the_golden_file() {
        let html = check("week.html", &Week::attacked());
        assert!(html.contains(&text::text_hash(&Week::attacked().report())));
        assert!(html.contains("RED: Action needed"));
    }

    #[test]
    fn quiet_first_and_empty_weeks_are_whole_pages() {
        for week in [Week::quiet(), Week::first(), Week::empty()] {
            let html = render(&week.report());
            assert!(html.trim_end().ends_with("</html>"));
        }
    }

    #[test]
    fn the_worst_text_does_not_make_the_mail_too_large() {
        // A dot costs most: a line break follows each.
        let html = render(&Week::worst(&".".repeat(256)).report());
        assert!((BYTES_MAX / 2..BYTES_MAX).contains(&html.len()), "{} bytes", html.len());
    }

    #[test]
    fn hostile_text_stays_text_and_becomes_no_link() {
        let html = check("week_hostile.html", &Week::hostile());
        assert!(!html.contains("://") && !html.contains("www.example"));
        let hidden = |c: char| !matches!(c, '\n' | '\u{2002}') && !is_visible(c);
        assert!(!html.contains(hidden));
        assert!(html.contains("&#60;script&#62;alert(1)&#60;/<wbr>script&#62;"), "{html}");
        assert!(html.contains("{{ 7 * 7 }} {% raw %}"));
    }
}
