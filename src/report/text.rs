//! The weekly report as text: complete in itself, 76 columns, Unicode bars.
//!
//! Everything above its last lines is a function of the data alone, so the same data makes the
//! same text at any time; the SHA-256 of that part is printed below it, with the time of making
//! and the state of the installation. Both the mail and its HTML carry that hash.

use sha2::{Digest as _, Sha256};

use super::compliance::words;
use super::figures::{bar, bytes, count, day, minute, of, percent, phrase, second, stretch};
use super::page::{Cell, Page, Style, Table, Tone};
use super::quality::{Gap, Quality};
use super::top::{CountRow, PathRow, Ranked};
use super::verdict;
use super::week::{AlertRow, Change, NamedChange, WeekReport};
use crate::escape::{cut, unlinked};

/// Fits any mail program without being broken into lines.
pub(super) const STYLE: Style = Style { colour: false, width: 76, unicode: true };
/// Width of the labels beside paragraphs.
const LABEL: usize = 10;
/// Width of a bar.
const BAR: usize = 16;
/// Width of a bar beside the seven columns of a day.
const DAY_BAR: usize = 11;

/// Columns of a client that is not the last column.
const CLIENT_MAX: usize = 39;

/// The report as text, with its hash.
pub fn render(report: &WeekReport) -> String {
    let facts = facts(report);
    let mut page = Page::new(STYLE);
    page.heading("How this report was made", "");
    page.paragraph(Tone::Plain, "SHA-256 of all lines above this section:");
    page.paragraph(Tone::Plain, &hash(&facts));
    page.blank();
    for (label, text) in making(report) {
        page.labelled(label, LABEL, text);
    }
    let making = page.finish();
    // The empty line before the heading is one of the lines above it.
    facts + making.strip_prefix('\n').unwrap_or(&making)
}

/// SHA-256 of the part of the text that depends on the data alone.
pub fn text_hash(report: &WeekReport) -> String {
    hash(&facts(report))
}

fn hash(text: &str) -> String {
    crate::engine::text::hex(&Sha256::digest(text.as_bytes()))
}

/// The part of the text that depends on the data alone.
pub(super) fn facts(report: &WeekReport) -> String {
    let mut page = Page::new(STYLE);
    head(&mut page, report);
    compliance(&mut page, report);
    alerts(&mut page, report);
    days(&mut page, report);
    logins(&mut page, report);
    traffic(&mut page, report);
    tops(&mut page, report);
    quality(&mut page, report);
    page.blank();
    page.finish()
}

fn head(page: &mut Page, report: &WeekReport) {
    let period = &report.period;
    page.line(0, Tone::Plain, "gatewatch weekly report");
    page.blank();
    let word = Cell::new(Tone::Plain, report.verdict.light.word());
    page.verdict(&word, &report.verdict.line);
    page.blank();
    page.labelled("period", LABEL, covered(report));
    page.labelled("zone", LABEL, period.zone.as_str());
    page.labelled("host", LABEL, report.host.as_str());
    page.labelled("data", LABEL, coverage(&report.quality));
    if !report.verdict.reasons.is_empty() {
        page.labelled("because", LABEL, report.verdict.reasons.join("; "));
    }
    if !period.missed.is_empty() {
        page.labelled("missed", LABEL, missed(report));
    }
}

/// `Fri 13 Nov 2026 – Thu 19 Nov 2026`, with the ISO week where it is one.
pub(super) fn covered(report: &WeekReport) -> String {
    let days = report.period.days;
    let week = report.period.week.as_ref().map(|week| format!(" ({week})")).unwrap_or_default();
    format!("{} – {}{week}", day(days.from()), day(days.last()))
}

/// `168 of 168 hours covered (100 %)`.
pub(super) fn coverage(quality: &Quality) -> String {
    let (covered, hours) = (quality.covered_hours(), quality.hours);
    let share = percent(covered, hours);
    format!("{} of {} hours covered ({share})", count(covered), count(hours))
}

/// The reports that were never sent.
pub(super) fn missed(report: &WeekReport) -> String {
    let missed = &report.period.missed;
    let reports = of(missed.len() as u64, "report was", "reports were");
    let names = super::incident::listed(missed.iter().cloned(), 6).unwrap_or_default();
    format!("{reports} not sent because nothing ran when due: {names}")
}

fn compliance(page: &mut Page, report: &WeekReport) {
    let Some(section) = &report.compliance else { return };
    let zone = &report.zone;
    page.heading(&words::title(section), &words::day(section));
    for (label, text) in words::figures(section, zone) {
        page.labelled(label, LABEL, text);
    }
    let hours = words::hours(section);
    if !hours.is_empty() {
        page.blank();
        let most = hours.iter().map(|(_, number)| *number).max().unwrap_or(0);
        let mut table = Table::new(&["hour", ">came", "first log-in of each"]);
        for (hour, number) in hours {
            table.row([hour.into(), count(number).into(), bar(number, most, 2 * BAR).into()]);
        }
        page.table(&table);
    }
    for people in words::people(section) {
        page.blank();
        page.paragraph(Tone::Plain, &people.title);
        let mut table = Table::new(&["how", ">failed", ">weeks missing", "who"]);
        for row in people.rows {
            table.row([
                words::state(row, zone).into(),
                count(row.failures).into(),
                count(row.missing_running).into(),
                unlinked(&words::who(row)).into(),
            ]);
        }
        page.table(&table);
        if 0 < people.more {
            let more = format!("and {} more: gatewatch report --who-logged-in", count(people.more));
            page.paragraph(Tone::Plain, &more);
        }
    }
    if !section.strangers.list.is_empty() {
        page.blank();
        let title = format!("Let in, and not on the roster ({})", section.strangers.count());
        page.paragraph(Tone::Plain, &title);
        let mut table = Table::new(&["first", "client", "user"]);
        for row in &section.strangers.list {
            let client = cut(&unlinked(&row.client), CLIENT_MAX);
            table.row([minute(row.at, zone).into(), client.into(), unlinked(&row.user).into()]);
        }
        page.table(&table);
    }
    page.blank();
    page.paragraph(Tone::Plain, &words::key(section));
}

fn alerts(page: &mut Page, report: &WeekReport) {
    let alerts = &report.alerts;
    let total = alerts.list.len() as u64 + alerts.more;
    page.heading("Alerts", &if total == 0 { "none".to_owned() } else { count(total) });
    for (index, row) in alerts.list.iter().enumerate() {
        if 0 < index {
            page.blank();
        }
        alert(page, report, row);
    }
    if 0 < alerts.more {
        page.blank();
        page.paragraph(
            Tone::Plain,
            &format!("and {}", of(alerts.more, "more alert", "more alerts")),
        );
    }
    if 1 < alerts.rules.len() {
        let rules = alerts.rules.iter().map(|row| format!("{} {}", row.name, count(row.count)));
        page.blank();
        page.labelled("by rule", LABEL, rules.collect::<Vec<_>>().join(", "));
    }
}

fn alert(page: &mut Page, report: &WeekReport, row: &AlertRow) {
    let severity = row.severity.name().to_ascii_uppercase();
    page.line(2, Tone::Plain, &format!("{severity}  {}  {}", row.title, row.code));
    page.labelled("when", LABEL, minute(row.opened, &report.zone));
    page.labelled("what", LABEL, unlinked(&row.summary));
    page.labelled("who", LABEL, unlinked(&row.who));
    page.labelled("worked", LABEL, row.worked.as_str());
    page.labelled("state", LABEL, state(report, row));
}

/// `open`, or when it was resolved; and what is special about it.
pub(super) fn state(report: &WeekReport, row: &AlertRow) -> String {
    let mut text = match row.resolved {
        Some(at) => format!("resolved {}", minute(at, &report.zone)),
        None => "still open".to_owned(),
    };
    if row.carried_over {
        text.push_str(", carried over from before");
    }
    if row.backfill {
        text.push_str(", found in old lines");
    }
    if let Some(name) = &row.muted_by {
        let why = if name.starts_with("silence ") { "" } else { "maintenance: " };
        text.push_str(&format!(", not mailed because of {why}{name}"));
    }
    text
}

fn days(page: &mut Page, report: &WeekReport) {
    page.heading("Day by day", "");
    let titles = ["day", ">requests", ">5xx", ">let in", ">before", ">failed", ">alerts", ""];
    let mut table = Table::new(&titles);
    let most = report.days.iter().map(|row| row.counts.logins.success).max().unwrap_or(0);
    for row in &report.days {
        let at_least = if row.incomplete { "≥" } else { "" };
        let counts = row.counts;
        table.row([
            row.name.as_str().into(),
            format!("{at_least}{}", count(counts.requests)).into(),
            count(counts.server_errors).into(),
            format!("{at_least}{}", count(counts.logins.success)).into(),
            row.successes_before.map_or_else(|| "–".to_owned(), count).into(),
            count(counts.logins.failure).into(),
            count(row.alerts).into(),
            bar(counts.logins.success, most, DAY_BAR).into(),
        ]);
    }
    page.table(&table);
    page.blank();
    page.paragraph(Tone::Plain, DAYS_KEY);
    if report.days.iter().any(|row| row.incomplete) {
        page.paragraph(
            Tone::Plain,
            "≥: lines of that day are missing; all its counts are lower bounds.",
        );
    }
}

/// What the columns of the table of days are.
pub(super) const DAYS_KEY: &str =
    "let in, failed: log-ins; before: let in on the same day a week earlier; bar: let in";

/// Log-ins without a known outcome.
pub(super) const UNCLEAR: &str = "unclear (the log does not show it)";

fn logins(page: &mut Page, report: &WeekReport) {
    let logins = &report.logins;
    page.heading("Log-ins", "");
    let mut table = Table::new(&["outcome", ">this week", ">before", ">change", ""]);
    let rows = [("let in", logins.success), ("failed", logins.failure), (UNCLEAR, logins.attempt)];
    for (name, change) in rows {
        change_row(&mut table, name, change, count, String::new());
    }
    page.table(&table);
    counted(page, "Names with failed log-ins", "name, as typed", &logins.failed_users);
    counted(page, "Clients with failed log-ins", "client", &logins.failed_clients);
}

fn change_row(
    table: &mut Table,
    name: &str,
    change: Change,
    show: fn(u64) -> String,
    last: String,
) {
    table.row([
        name.into(),
        show(change.now).into(),
        change.before.map_or_else(|| "–".to_owned(), show).into(),
        change.text().into(),
        last.into(),
    ]);
}

fn counted(page: &mut Page, title: &str, name: &'static str, ranked: &Ranked<CountRow>) {
    if ranked.top.is_empty() {
        return;
    }
    page.blank();
    page.paragraph(Tone::Plain, &format!("{title}{}", at_least(ranked.lower_by)));
    let mut table = Table::new(&[">failed", ">before", name]);
    for row in &ranked.top {
        table.row([count(row.count).into(), then(row.before).into(), unlinked(&row.name).into()]);
    }
    page.table(&table);
}

/// A status with its phrase; other names as they are.
pub(super) fn named(name: &str) -> String {
    format!("{name} {}", phrase(name)).trim_end().to_owned()
}

/// The count of the week before; `new` where there was none.
pub(super) fn then(before: Option<u64>) -> String {
    match before {
        None => "–".to_owned(),
        Some(0) => "new".to_owned(),
        Some(before) => count(before),
    }
}

/// What the title of a list says when its table was full.
pub(super) fn at_least(lower_by: u64) -> String {
    match lower_by {
        0 => String::new(),
        _ => format!(" (each at least; up to {} more)", count(lower_by)),
    }
}

fn traffic(page: &mut Page, report: &WeekReport) {
    let traffic = &report.traffic;
    page.heading("Traffic", "");
    let mut table = Table::new(&["", ">this week", ">before", ">change", ""]);
    change_row(&mut table, "requests", traffic.requests, count, String::new());
    change_row(&mut table, "sent", traffic.bytes, bytes, String::new());
    change_row(&mut table, "clients", traffic.clients, count, String::new());
    page.table(&table);
    changes(page, &["answers", ">requests", ">before", ">change", ""], &traffic.classes);
    changes(page, &["status", ">requests", ">before", ">change", ""], &traffic.statuses);
    if 1 < traffic.sites.len() {
        page.blank();
        let mut table = Table::new(&[">requests", ">before", ">change", "site"]);
        for row in &traffic.sites {
            table.row([
                count(row.count.now).into(),
                then(row.count.before).into(),
                row.count.text().into(),
                unlinked(&row.name).into(),
            ]);
        }
        page.table(&table);
        if 0 < traffic.more_sites {
            let more = of(traffic.more_sites, "more site", "more sites");
            page.paragraph(Tone::Plain, &format!("and {more}"));
        }
    }
    changes(page, &["error log", ">lines", ">before", ">change", ""], &report.server_errors);
}

fn changes(page: &mut Page, titles: &[&'static str; 5], rows: &[NamedChange]) {
    if rows.is_empty() {
        return;
    }
    page.blank();
    let mut table = Table::new(titles);
    let most = rows.iter().map(|row| row.count.now).max().unwrap_or(0);
    for row in rows {
        let name = named(&row.name);
        change_row(&mut table, &name, row.count, count, bar(row.count.now, most, BAR));
    }
    page.table(&table);
}

fn tops(page: &mut Page, report: &WeekReport) {
    let clients = &report.clients;
    if !clients.top.is_empty() {
        page.heading(&format!("Top clients{}", at_least(clients.lower_by)), "");
        let titles = [">requests", ">before", ">4xx", ">5xx", ">bytes", ">failed", "client"];
        let mut table = Table::new(&titles);
        for row in &clients.top {
            table.row([
                count(row.requests).into(),
                then(row.before).into(),
                count(row.client_errors).into(),
                count(row.server_errors).into(),
                bytes(row.bytes).into(),
                count(row.failed_logins).into(),
                unlinked(&row.client).into(),
            ]);
        }
        page.table(&table);
    }
    paths(page, "Top paths", [">requests", ">before"], &report.paths, |row| row.requests);
    paths(page, "Not found", [">404", ">before"], &report.not_found, |row| row.not_found);
    paths(page, "Server errors by path", [">5xx", ">before"], &report.failing, |row| {
        row.server_errors
    });
}

fn paths(
    page: &mut Page,
    title: &str,
    titles: [&'static str; 2],
    ranked: &Ranked<PathRow>,
    figure: impl Fn(&PathRow) -> u64,
) {
    if ranked.top.is_empty() {
        return;
    }
    page.heading(&format!("{title}{}", at_least(ranked.lower_by)), "");
    let mut table = Table::new(&[titles[0], titles[1], "path"]);
    for row in &ranked.top {
        table.row([count(figure(row)).into(), then(row.before).into(), unlinked(&row.path).into()]);
    }
    page.table(&table);
}

fn quality(page: &mut Page, report: &WeekReport) {
    let quality = &report.quality;
    page.heading("Data quality", &coverage(quality));
    for (label, text) in hours_and_lines(quality) {
        page.labelled(label, LABEL, text);
    }
    for (index, gap) in quality.gaps.iter().enumerate() {
        let label = if index == 0 { "gaps" } else { "" };
        let (when, missing) = gap_words(gap, report);
        let text = format!("{when}{missing}");
        page.labelled(label, LABEL, text);
    }
    if 0 < quality.more_gaps {
        page.labelled("", LABEL, format!("and {}", of(quality.more_gaps, "more gap", "more gaps")));
    }
    if !quality.shapes.top.is_empty() {
        page.blank();
        page.paragraph(Tone::Plain, SHAPES_TITLE);
        let mut table = Table::new(&[">lines", ">before", "shape"]);
        for row in &quality.shapes.top {
            table.row([
                count(row.count).into(),
                then(row.before).into(),
                unlinked(&row.name).into(),
            ]);
        }
        page.table(&table);
    }
    if !quality.sources.is_empty() {
        page.blank();
        let mut table = Table::new(&[">lines", ">size", "source"]);
        for row in &quality.sources {
            table.row([count(row.lines).into(), bytes(row.bytes).into(), row.name.as_str().into()]);
        }
        page.table(&table);
    }
    page.blank();
    for note in quality.notes.iter().map(String::as_str).chain([privacy(report)]) {
        page.labelled("·", 1, note);
    }
    page.labelled("·", 1, verdict::RULE);
}

/// When a gap was, and what is missing.
pub(super) fn gap_words(gap: &Gap, report: &WeekReport) -> (String, String) {
    let missing = match gap.expected {
        0 => String::new(),
        lines => format!(", about {} expected", of(lines, "line", "lines")),
    };
    (stretch(gap.from, gap.to, &report.zone), missing)
}

/// Title of the table of shapes.
pub(super) const SHAPES_TITLE: &str = "Lines not understood, by shape (9: digits, a: letters)";

/// What every reader of names must know.
pub(super) fn privacy(report: &WeekReport) -> &'static str {
    match report.logins.unknown_are_hashed {
        true => {
            "Names of failed log-ins that are not on the roster are shown as a hash, because people \
             sometimes type a password there. Handle this report as confidential."
        }
        false => {
            "Names are as typed; people sometimes type a password there. Handle this report as \
             confidential."
        }
    }
}

/// Hours and lines in words.
pub(super) fn hours_and_lines(quality: &Quality) -> Vec<(&'static str, String)> {
    let mut hours = format!("{} with lines", count(quality.hours_with_lines));
    let others = [
        (quality.quiet_hours, "quiet (no lines expected)"),
        (quality.gap_hours, "without the lines expected"),
        (quality.unwatched_hours, "not watched"),
    ];
    for (number, name) in others.into_iter().filter(|(number, _)| 0 < *number) {
        hours.push_str(&format!(", {} {name}", count(number)));
    }
    let (unparsed, lines) = (quality.unparsed, quality.lines);
    let share = percent(unparsed, lines);
    let mut all = vec![
        ("hours", hours),
        ("lines", format!("{} read, {} not understood ({share})", count(lines), count(unparsed))),
    ];
    if !quality.malformed.is_empty() {
        let kinds =
            quality.malformed.iter().map(|(name, times)| format!("{name} {}", count(*times)));
        all.push(("malformed", format!("requests: {}", kinds.collect::<Vec<_>>().join(", "))));
    }
    all
}

/// When and by what the report was made, and the state of the installation then.
pub(super) fn making(report: &WeekReport) -> Vec<(&'static str, String)> {
    let made = &report.made;
    let health = &made.health;
    let at = second(made.at, &report.zone);
    let mut all =
        vec![("made", format!("{at} ({}) by gatewatch {}", report.period.zone, made.version))];
    if let Some(size) = health.store_bytes {
        let max = health.store_max.map(|max| format!(" of {}", bytes(max))).unwrap_or_default();
        let oldest = health.oldest_event.map(|at| second(at, &report.zone));
        let oldest = oldest.map(|at| format!(", lines since {at}")).unwrap_or_default();
        all.push(("store", format!("{}{max}{oldest}", bytes(size))));
    }
    let mut mails = format!("{} waiting", count(health.mails_waiting));
    if 0 < health.mails_expired {
        mails.push_str(&format!(", {} never delivered", count(health.mails_expired)));
    }
    if let Some(error) = &health.mail_error {
        mails.push_str(&format!("; last error: {}", unlinked(error)));
    }
    all.push(("mails", mails));
    for reader in &health.readers {
        let behind = match reader.frames_behind {
            0 => "up to date".to_owned(),
            behind => format!("{} behind", of(behind, "frame", "frames")),
        };
        all.push(("forwarding", format!("{}: {behind}", reader.name)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escape::{columns, is_visible};
    use crate::report::fixture::{self, Week};

    #[track_caller]
    fn check(golden: &str, week: &Week) -> String {
        let text = render(&week.report());
        fixture::check_golden(golden, &text);
        assert!(text.lines().all(|line| columns(line) <= 76), "{text}");
        assert!(!text.contains(|c: char| c != '\n' && !is_visible(c)), "{text}");
        text
    }

    #[test]
    fn an_attacked_week_is_the_golden_file() {
        check("week.txt", &Week::attacked());
    }

    #[test]
    fn quiet_first_and_empty_weeks_are_the_golden_files() {
        check("week_quiet.txt", &Week::quiet());
        check("week_first.txt", &Week::first());
        check("week_empty.txt", &Week::empty());
    }

    #[test]
    fn hostile_text_is_shown_and_linked_nowhere() {
        let text = check("week_hostile.txt", &Week::hostile());
        assert!(text.contains("\\x1B[2J"), "{text}");
        assert!(text.contains("http[:]//evil.example.org/login www[.]example.org"), "{text}");
        assert!(!text.contains("://") && !text.contains("www.ex"), "{text}");
    }

    #[test]
    fn the_hash_covers_the_facts_and_not_the_making() {
        let mut report = Week::attacked().report();
        let text = render(&report);
        let (facts, rest) = text.split_at(text.rfind("How this report").expect("a section"));
        assert!(rest.contains(&hash(facts)), "{rest}");
        report.made.at = fixture::MADE.plus_ms(86_400_000);
        report.made.health.mails_waiting = 7;
        assert_eq!(hash(facts), text_hash(&report));
    }
}
