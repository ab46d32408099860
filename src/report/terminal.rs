//! The report of `scan`, for a terminal: what an analyst asks, in the order they ask it.
//!
//! Pure: the caller says what the terminal can do ([`Style`]) and prints the text. All text goes
//! through [`Page`], which escapes it.

use jiff::tz::TimeZone;

use super::figures::{bar, bytes, count, exact_stretch, lasting, of, percent, phrase, zone_name};
use super::incident::{Incident, Severities, fold, listed, worked};
use super::page::{Cell, Page, Style, Table, Tone};
use super::top::{self, CountRow, PathRow, Ranked};
use crate::engine::detect::{Alert, Severity};
use crate::engine::tally::{LEVELS, MALFORMED, Tally};
use crate::units::Period;

/// Rows of a list of the heaviest.
const ROWS: usize = 10;
/// Alerts shown in full; the others are counted.
const ALERTS_MAX: usize = 20;
/// Evidence lines shown for each alert.
const EVIDENCE_MAX: usize = 3;
/// Files listed by name.
const FILES_MAX: usize = 20;
/// Sites listed by name.
const SITES_MAX: usize = 12;
/// Width of a bar.
const BAR: usize = 30;
/// Width of the labels beside paragraphs.
const LABEL: usize = 11;

/// A file as it was read.
#[derive(Clone, Debug, Default)]
pub struct ScannedFile {
    /// As given on the command line; `-` is standard input.
    pub name: String,
    /// Lines read.
    pub lines: u64,
    /// Bytes of the lines.
    pub bytes: u64,
    /// Format that read most of them.
    pub format: String,
    /// Why it could not be read to its end.
    pub problem: Option<String>,
}

/// What the report is about.
#[derive(Clone, Copy, Debug)]
pub struct ScanReport<'a> {
    /// The files, in the order given.
    pub files: &'a [ScannedFile],
    /// Counts over all of them.
    pub tally: &'a Tally,
    /// What the rules said.
    pub alerts: &'a [Alert],
    /// Zone that times are shown in.
    pub zone: &'a TimeZone,
    /// How long it took; left out of the report when not given.
    pub elapsed: Option<Period>,
}

/// The report as text.
pub fn render(report: &ScanReport<'_>, style: &Style) -> String {
    let mut page = Page::new(*style);
    let incidents = fold(report.alerts);
    verdict(&mut page, report, &incidents);
    what_was_read(&mut page, report);
    statuses(&mut page, report.tally);
    logins(&mut page, report.tally);
    alerts(&mut page, report, &incidents);
    clients(&mut page, report.tally);
    paths(&mut page, report.tally);
    server_errors(&mut page, report.tally);
    unparsed(&mut page, report.tally);
    notes(&mut page, report);
    page.finish()
}

/// How a severity stands out.
fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Critical => Tone::Alarm,
        Severity::High => Tone::Bad,
        Severity::Medium => Tone::Warn,
        Severity::Low | Severity::Info => Tone::Plain,
    }
}

fn verdict(page: &mut Page, report: &ScanReport<'_>, incidents: &[Incident<'_>]) {
    let tally = report.tally;
    let broken = report.files.iter().filter(|file| file.problem.is_some()).count() as u64;
    let mut lines = of(tally.lines, "line", "lines");
    if 0 < broken {
        lines.push_str(&format!("; {} could not be read to the end", of(broken, "file", "files")));
    }
    let (word, text) = match incidents.first() {
        Some(worst) => {
            let alert = worst.alert;
            let severities = Severities::of(incidents);
            let many = of(severities.total(), "alert", "alerts");
            let text = format!("{many} ({severities}) in {lines}. Worst: {}", alert.summary);
            let word = alert.severity.name().to_ascii_uppercase();
            (Cell::new(tone(alert.severity), word), text)
        }
        None if tally.lines == 0 => {
            (Cell::new(Tone::Warn, "EMPTY"), format!("Nothing to report on: {lines}."))
        }
        None if tally.unparsed == tally.lines => {
            let text = format!("No format understands any of {lines}; nothing was looked at.");
            (Cell::new(Tone::Bad, "UNREADABLE"), text)
        }
        None if mostly_parsed(tally) && broken == 0 => {
            (Cell::new(Tone::Good, "OK"), format!("No alerts in {lines}."))
        }
        None => {
            let share = percent(tally.unparsed, tally.lines);
            let text = format!("No alerts in {lines}; {share} of the lines were not understood.");
            (Cell::new(Tone::Warn, "INCOMPLETE"), text)
        }
    };
    page.verdict(&word, &text);
}

/// At most one line in a hundred was not understood.
fn mostly_parsed(tally: &Tally) -> bool {
    tally.unparsed.saturating_mul(100) <= tally.lines
}

fn what_was_read(page: &mut Page, report: &ScanReport<'_>) {
    let tally = report.tally;
    page.heading("What was read", &of(report.files.len() as u64, "file", "files"));
    let mut table = Table::new(&[">lines", ">size", "format", "file"]);
    for file in report.files.iter().take(FILES_MAX) {
        let (tone, name) = match &file.problem {
            Some(problem) => (Tone::Bad, format!("{}: {problem}", file.name)),
            None => (Tone::Plain, file.name.clone()),
        };
        table.row([
            count(file.lines).into(),
            bytes(file.bytes).into(),
            file.format.as_str().into(),
            Cell::new(tone, name),
        ]);
    }
    page.table(&table);
    if FILES_MAX < report.files.len() {
        let more = of((report.files.len() - FILES_MAX) as u64, "more file", "more files");
        page.paragraph(Tone::Faint, &format!("and {more}"));
    }
    page.blank();
    let parsed = tally.lines - tally.unparsed.min(tally.lines);
    let mut lines = format!("{}, {} understood", of(tally.lines, "line", "lines"), count(parsed));
    lines.push_str(&format!(" ({})", percent(parsed, tally.lines)));
    if 0 < tally.unparsed {
        lines.push_str(&format!(", {} not", count(tally.unparsed)));
    }
    let tone = if mostly_parsed(tally) { Tone::Plain } else { Tone::Warn };
    page.labelled("lines", LABEL, Cell::new(tone, lines));
    if let Some((first, last)) = tally.span {
        let when = exact_stretch(first, last, report.zone);
        let length = lasting(last.since(first));
        let zone = zone_name(report.zone, first);
        page.labelled("period", LABEL, format!("{when} ({length}, {zone})"));
    }
    page.labelled("clients", LABEL, format!("{} different", clients_seen(tally)));
    sites(page, tally);
    if let Some(elapsed) = report.elapsed {
        let speed = tally.lines.saturating_mul(1000) / elapsed.ms().max(1);
        let text = format!("{}, {} lines a second", lasting(elapsed), count(speed));
        page.labelled("took", LABEL, text);
    }
}

fn clients_seen(tally: &Tally) -> String {
    let about = if 0 < tally.clients.evicted() { "about " } else { "" };
    format!("{about}{}", count(tally.distinct_clients()))
}

fn sites(page: &mut Page, tally: &Tally) {
    let mut sites: Vec<_> = tally.sites().iter().map(|site| (site.total(), &site.name)).collect();
    sites.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let named = sites.iter().map(|(total, name)| {
        let name = if name.is_empty() { "(none)" } else { name.as_str() };
        format!("{name} ({})", of(*total, "request", "requests"))
    });
    if let Some(text) = listed(named, SITES_MAX) {
        page.labelled("sites", LABEL, text);
    }
}

fn statuses(page: &mut Page, tally: &Tally) {
    let statuses = tally.by_status();
    let total: u64 = statuses.values().sum();
    if total == 0 {
        return;
    }
    page.heading("Answers", &of(total, "request", "requests"));
    let most = statuses.values().copied().max().unwrap_or(0);
    let mut table = Table::new(&["status", "", ">requests", ">share", ""]);
    for (status, requests) in statuses {
        let tone = match status.class() {
            5 => Tone::Bad,
            4 => Tone::Warn,
            _ => Tone::Plain,
        };
        table.row([
            Cell::new(tone, status.label()),
            Cell::new(Tone::Faint, phrase(&status.label())),
            count(requests).into(),
            percent(requests, total).into(),
            Cell::new(tone, bar(requests, most, BAR)),
        ]);
    }
    page.table(&table);
}

fn logins(page: &mut Page, tally: &Tally) {
    let logins = tally.logins();
    let known = logins.success + logins.failure;
    if known + logins.attempt == 0 {
        page.heading("Log-ins", "none seen");
        return;
    }
    page.heading("Log-ins", "");
    page.labelled("let in", LABEL, count(logins.success));
    let failed =
        format!("{} ({} of known outcomes)", count(logins.failure), percent(logins.failure, known));
    page.labelled("failed", LABEL, failed);
    if 0 < logins.attempt {
        let text = format!("{} (the log does not show how they ended)", count(logins.attempt));
        page.labelled("unclear", LABEL, text);
    }
    counts(
        page,
        "Names with failed log-ins",
        "name",
        &top::counts(&tally.failed_users, None, ROWS),
    );
    counts(
        page,
        "Clients with failed log-ins",
        "client",
        &top::counts(&tally.failed_clients, None, ROWS),
    );
}

fn counts(page: &mut Page, title: &str, name: &'static str, ranked: &Ranked<CountRow>) {
    if ranked.top.is_empty() {
        return;
    }
    page.blank();
    page.paragraph(Tone::Strong, &format!("{title}{}", at_least(ranked.lower_by)));
    let mut table = Table::new(&[">failed", name]);
    for row in &ranked.top {
        table.row([count(row.count).into(), row.name.as_str().into()]);
    }
    page.table(&table);
}

/// What the title of a list says when its table was full.
fn at_least(lower_by: u64) -> String {
    match lower_by {
        0 => String::new(),
        _ => format!(" (each at least; up to {} more)", count(lower_by)),
    }
}

fn alerts(page: &mut Page, report: &ScanReport<'_>, incidents: &[Incident<'_>]) {
    if incidents.is_empty() {
        page.heading("Alerts", "none");
        return;
    }
    page.heading("Alerts", &Severities::of(incidents).to_string());
    for (index, incident) in incidents.iter().take(ALERTS_MAX).enumerate() {
        if 0 < index {
            page.blank();
        }
        alert(page, report, incident);
    }
    if ALERTS_MAX < incidents.len() {
        let more = of((incidents.len() - ALERTS_MAX) as u64, "more alert", "more alerts");
        page.blank();
        page.paragraph(Tone::Faint, &format!("and {more}; `--output alerts` has all of them"));
    }
}

fn alert(page: &mut Page, report: &ScanReport<'_>, incident: &Incident<'_>) {
    let alert = incident.alert;
    let word = format!(" {} ", alert.severity.name().to_ascii_uppercase());
    page.pieces(
        1,
        &[
            Cell::new(tone(alert.severity), word),
            Cell::new(Tone::Strong, format!(" {}", alert.rule.title)),
            Cell::new(Tone::Faint, format!("  {}", alert.code())),
        ],
    );
    page.paragraph(Tone::Plain, &alert.summary);
    let (from, to) = (alert.first_event, alert.last_event);
    let when = format!("{} ({})", exact_stretch(from, to, report.zone), lasting(to.since(from)));
    page.labelled("when", LABEL, when);
    let lists = [
        ("from", listed(alert.addresses.iter().map(ToString::to_string), 5)),
        ("names", listed(alert.users.iter().cloned(), 5)),
        ("sites", listed(alert.sites.iter().cloned(), 3)),
        ("paths", listed(alert.paths.iter().cloned(), 3)),
    ];
    for (label, list) in lists {
        if let Some(list) = list {
            page.labelled(label, LABEL, list);
        }
    }
    let tone = if 0 < alert.successes { Tone::Bad } else { Tone::Plain };
    page.labelled("worked", LABEL, Cell::new(tone, worked(alert)));
    page.labelled("counted", LABEL, counted(alert));
    page.labelled("rule", LABEL, rule(alert));
    for (index, step) in alert.rule.advice.iter().enumerate() {
        let label = if index == 0 { "what to do" } else { "" };
        page.labelled(label, LABEL, format!("{}. {step}", index + 1));
    }
    evidence(page, alert);
}

fn counted(alert: &Alert) -> String {
    let mut text = match alert.distinct {
        Some(distinct) => {
            format!("{} different in {}", count(distinct), of(alert.count, "event", "events"))
        }
        None => of(alert.count, "event", "events"),
    };
    text.push_str(&format!("; the limit is {} in {}", count(alert.threshold), alert.window));
    let statuses = alert.statuses.iter().filter(|(status, _)| 0 < **status);
    let statuses = statuses.map(|(status, times)| format!("{status}: {}", count(*times)));
    let statuses: Vec<String> = statuses.collect();
    if let Some(list) = listed(statuses.into_iter(), 6) {
        text.push_str(&format!("; answers {list}"));
    }
    text
}

fn rule(alert: &Alert) -> String {
    let mut text = format!("{} (version {})", alert.rule.id, alert.rule.version);
    if !alert.rule.attack.is_empty() {
        text.push_str(&format!(", ATT&CK {}", alert.rule.attack.join(", ")));
    }
    text
}

fn evidence(page: &mut Page, alert: &Alert) {
    for (index, evidence) in alert.evidence.iter().take(EVIDENCE_MAX).enumerate() {
        let label = if index == 0 { "evidence" } else { "" };
        let place = format!("{}:{}", evidence.file, evidence.offset);
        page.labelled(label, LABEL, Cell::new(Tone::Faint, place));
        page.line(LABEL + 5, Tone::Plain, &evidence.line);
    }
    if EVIDENCE_MAX < alert.evidence.len() {
        let more = of((alert.evidence.len() - EVIDENCE_MAX) as u64, "more line", "more lines");
        page.labelled("", LABEL, Cell::new(Tone::Faint, format!("and {more}")));
    }
}

fn clients(page: &mut Page, tally: &Tally) {
    let ranked = top::clients(tally, None, ROWS);
    if ranked.top.is_empty() {
        return;
    }
    let title = format!("Top clients{}", at_least(ranked.lower_by));
    page.heading(&title, &format!("of {}", clients_seen(tally)));
    let mut table =
        Table::new(&[">requests", ">4xx", ">5xx", ">bytes", ">failed log-ins", "client"]);
    for row in ranked.top {
        let tone = if 0 < row.failed_logins { Tone::Warn } else { Tone::Faint };
        table.row([
            number(row.requests),
            number(row.client_errors),
            number(row.server_errors),
            bytes(row.bytes).into(),
            Cell::new(tone, count(row.failed_logins)),
            row.client.into(),
        ]);
    }
    page.table(&table);
}

fn paths(page: &mut Page, tally: &Tally) {
    let ranked = top::paths(tally, None, ROWS);
    if ranked.top.is_empty() {
        return;
    }
    page.heading(&format!("Top paths{}", at_least(ranked.lower_by)), "");
    path_table(page, &[">requests", ">404", ">5xx", "path"], &ranked, |row| {
        [row.requests, row.not_found, row.server_errors]
    });
    let ranked = top::not_found(tally, None, ROWS);
    if !ranked.top.is_empty() {
        page.heading(&format!("Top paths not found{}", at_least(ranked.lower_by)), "");
        path_table(page, &[">404", ">requests", ">5xx", "path"], &ranked, |row| {
            [row.not_found, row.requests, row.server_errors]
        });
    }
    let ranked = top::failing(tally, None, ROWS);
    if !ranked.top.is_empty() {
        page.heading(&format!("Top paths with server errors{}", at_least(ranked.lower_by)), "");
        path_table(page, &[">5xx", ">requests", ">404", "path"], &ranked, |row| {
            [row.server_errors, row.requests, row.not_found]
        });
    }
}

/// A count; nothing to see where it is zero.
fn number(value: u64) -> Cell {
    Cell::new(if value == 0 { Tone::Faint } else { Tone::Plain }, count(value))
}

fn path_table(
    page: &mut Page,
    titles: &[&'static str; 4],
    ranked: &Ranked<PathRow>,
    figures: impl Fn(&PathRow) -> [u64; 3],
) {
    let mut table = Table::new(titles);
    for row in &ranked.top {
        let [first, second, third] = figures(row).map(number);
        table.row([first, second, third, row.path.as_str().into()]);
    }
    page.table(&table);
}

fn server_errors(page: &mut Page, tally: &Tally) {
    let level = |index: usize| tally.sites().iter().map(|site| site.server_errors[index]).sum();
    let levels: Vec<(&str, u64)> =
        LEVELS.iter().enumerate().map(|(index, name)| (name.name(), level(index))).collect();
    let total: u64 = levels.iter().map(|(_, count)| count).sum();
    if total == 0 {
        return;
    }
    page.heading("Error log", &of(total, "line", "lines"));
    let most = levels.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let mut table = Table::new(&["level", ">lines", ""]);
    for (name, lines) in levels.into_iter().rev().filter(|(_, lines)| 0 < *lines) {
        table.row([name.into(), count(lines).into(), bar(lines, most, BAR).into()]);
    }
    page.table(&table);
}

fn unparsed(page: &mut Page, tally: &Tally) {
    let ranked = top::counts(&tally.shapes, None, ROWS);
    if !ranked.top.is_empty() {
        let share = percent(tally.unparsed, tally.lines);
        page.heading(
            &format!("Lines not understood{}", at_least(ranked.lower_by)),
            &format!("{}, {share} of all", of(tally.unparsed, "line", "lines")),
        );
        let mut table = Table::new(&[">lines", "shape (9: digits, a: letters)"]);
        for row in &ranked.top {
            table.row([count(row.count).into(), row.name.as_str().into()]);
        }
        page.table(&table);
    }
    let kind = |index: usize| tally.sites().iter().map(|site| site.malformed[index]).sum::<u64>();
    let kinds: Vec<String> = MALFORMED
        .iter()
        .enumerate()
        .filter(|(index, _)| 0 < kind(*index))
        .map(|(index, name)| format!("{} {}", name.name(), count(kind(index))))
        .collect();
    if !kinds.is_empty() {
        page.heading("Requests that make no sense", "");
        page.paragraph(Tone::Plain, &kinds.join(", "));
    }
}

fn notes(page: &mut Page, report: &ScanReport<'_>) {
    let tally = report.tally;
    let mut notes = Vec::new();
    let lists = [
        ("clients", tally.clients.error()),
        ("paths", tally.paths.error()),
        ("clients with failed log-ins", tally.failed_clients.error()),
        ("names with failed log-ins", tally.failed_users.error()),
        ("shapes of lines", tally.shapes.error()),
    ];
    for (name, lower_by) in lists.into_iter().filter(|(_, lower_by)| 0 < *lower_by) {
        notes.push(format!(
            "There were too many different {name} to count each exactly: any count in that list \
             may be up to {} too small. Totals are exact.",
            count(lower_by)
        ));
    }
    if tally.sites().len() > crate::engine::tally::MAX_SITES {
        notes.push("Sites beyond the first 64 are counted together as `other`.".to_owned());
    }
    if tally.logins().attempt > 0 {
        notes.push(
            "Log-ins are unclear where a form was posted and the answer is the same for both \
             outcomes."
                .to_owned(),
        );
    }
    if !tally.failed_users.is_empty() {
        notes.push(
            "Names are as typed: people sometimes type a password there. Keep this to yourself."
                .to_owned(),
        );
    }
    if notes.is_empty() {
        return;
    }
    page.heading("Notes", "");
    for note in notes {
        page.labelled("·", 1, Cell::new(Tone::Faint, note));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escape::columns;
    use crate::report::fixture::{self, Scan};

    const PLAIN: Style = Style { colour: false, width: 100, unicode: true };

    #[track_caller]
    fn check(golden: &str, scan: &Scan, style: &Style) -> String {
        let text = render(&scan.report(), style);
        fixture::check_golden(golden, &text);
        if !style.colour {
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "no control characters");
            assert!(text.lines().all(|line| columns(line) <= style.width), "{text}");
        }
        text
    }

    #[test]
    fn an_attacked_site_is_the_golden_file() {
        check("scan.txt", &Scan::attacked(), &PLAIN);
    }

    #[test]
    fn colours_are_the_golden_file() {
        check("scan.ansi", &Scan::attacked(), &Style { colour: true, ..PLAIN });
    }

    #[test]
    fn a_narrow_terminal_without_unicode_is_the_golden_file() {
        let style = Style { colour: false, width: 80, unicode: false };
        let text = check("scan.ascii.txt", &Scan::attacked(), &style);
        assert!(text.is_ascii());
    }

    #[test]
    fn quiet_logs_say_so() {
        check("scan_quiet.txt", &Scan::quiet(), &PLAIN);
    }

    #[test]
    fn nothing_and_nothing_understood_are_not_called_ok() {
        let text = render(&Scan::empty().report(), &PLAIN);
        assert!(text.starts_with(" EMPTY  Nothing to report on: 0 lines."), "{text}");
        let text = render(&Scan::unreadable().report(), &PLAIN);
        assert!(text.starts_with(" UNREADABLE  No format"), "{text}");
    }

    #[test]
    fn counts_that_may_be_too_small_say_so() {
        let text = render(&Scan::crowded().report(), &PLAIN);
        assert!(text.contains("Top clients (each at least; up to"), "{text}");
        assert!(text.contains("different clients to count each exactly"), "{text}");
    }

    #[test]
    fn hostile_text_does_nothing_to_the_terminal() {
        for colour in [false, true] {
            let text = render(&Scan::hostile().report(), &Style { colour, ..PLAIN });
            for (index, _) in text.match_indices('\x1b') {
                let rest = &text[index + 1..];
                let code = rest.split('m').next().unwrap_or_default();
                let own = ["[0", "[1", "[2", "[33", "[1;31", "[1;32", "[1;37;41"];
                assert!(colour && own.contains(&code), "{code:?}");
            }
            let active = |c: char| c != '\n' && c != '\x1b' && !crate::escape::is_visible(c);
            assert!(!text.contains(active), "{text}");
            assert!(text.contains("\\x1B[2J"), "{text}");
            assert!(text.contains("\\u{202E}"), "{text}");
        }
    }
}
