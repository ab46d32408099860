//! The weekly report as HTML for mail programs, browsers and paper.
//!
//! Invariant: nothing in it is active or comes from elsewhere. There is no script, no link, no
//! image; text of the log is escaped by the template engine, and broken so that no mail program
//! makes a link of it. Colour only repeats what a word says. It stays below [`BYTES_MAX`].

use askama::Template;
use askama::filters::{Escaper as _, Html, Safe};

use super::compliance::{Compliance, MemberRow, StrangerRow, words};
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
/// Columns shown of a name that is not alone in its row.
const SHORT_MAX: usize = 28;
/// Columns shown of a sentence.
const SENTENCE_MAX: usize = 170;

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

    /// A name beside others in a row.
    fn short(&self, text: &str) -> Safe<String> {
        log_text(text, SHORT_MAX)
    }

    fn compliance_title(&self, section: &Compliance) -> String {
        words::title(section)
    }

    fn compliance_day(&self, section: &Compliance) -> String {
        words::day(section)
    }

    fn compliance_figures(&self, section: &Compliance) -> Vec<(&'static str, String)> {
        words::figures(section, &self.report.zone)
    }

    /// Each hour, how many came, and how wide its bar is in percent.
    fn compliance_hours(&self, section: &Compliance) -> Vec<(String, u64, u64)> {
        let hours = words::hours(section);
        let most = hours.iter().map(|(_, number)| *number).max().unwrap_or(0);
        let row = |(hour, number)| (hour, number, self.share(&number, &most));
        hours.into_iter().map(row).collect()
    }

    fn compliance_people<'s>(&self, section: &'s Compliance) -> Vec<words::People<'s>> {
        words::people(section)
    }

    fn compliance_key(&self, section: &Compliance) -> String {
        words::key(section)
    }

    fn member_state(&self, row: &MemberRow) -> String {
        words::state(row, &self.report.zone)
    }

    fn stranger_count(&self, section: &Compliance) -> String {
        count(section.strangers.count())
    }

    fn stranger_at(&self, row: &StrangerRow) -> String {
        minute(row.at, &self.report.zone)
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
        notes.chain([text::privacy(self.report), verdict::RULE]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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

    /// All numbers of a text, with their points and colons.
    fn numbers(text: &str) -> BTreeSet<String> {
        let pieces = text.split(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | ':'));
        let pieces = pieces.map(|piece| piece.trim_matches(['.', ',', ':']).to_owned());
        pieces.filter(|piece| !piece.is_empty()).collect()
    }

    #[test]
    fn text_and_html_say_the_same_numbers() {
        for week in [Week::attacked(), Week::quiet(), Week::first()] {
            let report = week.report();
            let html = render(&report).replace("<wbr>", "");
            let body = html.split_once("<body>").expect("a body").1;
            let words = body.split('<').filter_map(|piece| piece.split_once('>'));
            let shown: Vec<&str> = words.map(|(_, words)| words).collect();
            // The numbers of escapes are none of the report.
            let shown = shown.join(" ").replace("&#", "&").replace("&60;", "").replace("&39;", "");
            assert_eq!(numbers(&text::render(&report)), numbers(&shown));
        }
    }

    /// Relative luminance of `#rrggbb` or `#rgb`, after WCAG 2.
    fn luminance(colour: &str) -> f64 {
        let digits: Vec<u32> = colour.chars().map(|c| c.to_digit(16).expect("hex")).collect();
        let parts: Vec<u32> = match digits.len() {
            3 => digits.iter().map(|digit| digit * 17).collect(),
            _ => digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect(),
        };
        let linear = |part: u32| match f64::from(part) / 255.0 {
            part if part <= 0.040_45 => part / 12.92,
            part => ((part + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(parts[0]) + 0.7152 * linear(parts[1]) + 0.0722 * linear(parts[2])
    }

    #[test]
    fn each_colour_of_text_stands_out_from_each_background() {
        let html = render(&Week::attacked().report());
        let values = |property: &str| -> BTreeSet<String> {
            let found = html.split(['{', ';']).filter_map(|rule| rule.strip_prefix(property));
            let hex = found.filter_map(|value| value.strip_prefix('#'));
            hex.map(|hex| hex.chars().take_while(char::is_ascii_hexdigit).collect()).collect()
        };
        let (texts, backgrounds) = (values("color:"), values("background:"));
        assert!(4 <= texts.len() && 5 <= backgrounds.len(), "{texts:?} {backgrounds:?}");
        for text in &texts {
            for background in &backgrounds {
                let (one, two) = (luminance(text), luminance(background));
                let contrast = (one.max(two) + 0.05) / (one.min(two) + 0.05);
                assert!(4.5 <= contrast, "#{text} on #{background}: {contrast:.1}");
            }
        }
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
