//! The section about the day on which everybody should log in, in words that all forms share.

use super::config::ComplianceConfig;
use super::judge::{MemberRow, State};
use super::{Compliance, Listed};
use crate::report::figures::{count, minute, of};

use jiff::tz::TimeZone;

/// `08:00–20:00`.
pub(super) fn window(config: &ComplianceConfig) -> String {
    let (from, to) = config.hours();
    format!("{from:02}:00–{to:02}:00")
}

/// Tenths of a percent: `91.7 %`.
pub fn permille(value: u64) -> String {
    format!("{}.{} %", value / 10, value % 10)
}

/// Tenths of a percentage point: `+2.1 points`.
fn points(value: i64) -> String {
    let sign = match value {
        0 => "±",
        1.. => "+",
        _ => "−",
    };
    let value = value.unsigned_abs();
    format!("{sign}{}.{} points", value / 10, value % 10)
}

fn at_least(section: &Compliance) -> &'static str {
    if section.at_least { "at least " } else { "" }
}

/// For the verdict: `Thursday log-ins 187 of 204 (91.7 %, +2.1 points)`.
pub fn verdict(section: &Compliance) -> String {
    format!("{} log-ins {}", section.weekday, rate(section))
}

/// `at least 187 of 204 (91.7 %, +2.1 points)`.
pub fn rate(section: &Compliance) -> String {
    let Some(rate) = section.rate_permille else {
        let reason = if section.is_holiday { "a holiday" } else { "nobody expected" };
        return format!("{} ({reason})", count(section.done));
    };
    let change = section.before.as_ref().and_then(|before| before.change_permille);
    let change = change.map(|change| format!(", {}", points(change))).unwrap_or_default();
    let (done, expected) = (count(section.done), count(section.expected));
    format!("{}{done} of {expected} ({}{change})", at_least(section), permille(rate))
}

/// Title of the section.
pub fn title(section: &Compliance) -> String {
    format!("{} log-ins", section.weekday)
}

/// The day and its window.
pub fn day(section: &Compliance) -> String {
    format!("{}, {} ({})", section.day, section.window, section.zone)
}

/// The figures, each with its label.
pub fn figures(section: &Compliance, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let mut all = vec![("in time", rate(section))];
    if let Some(before) = &section.before {
        let late = of(before.late, "was late", "were late");
        let (done, expected) = (count(before.done), count(before.expected));
        all.push(("before", format!("{}: {done} of {expected}, and {late}", before.day)));
    }
    if let Some(usual) = section.usual {
        let (low, high) = (permille(usual.low_permille), permille(usual.high_permille));
        let (median, weeks) = (permille(usual.median_permille), usual.weeks);
        all.push(("usual", format!("{median}; nine of ten days {low} to {high} ({weeks} weeks)")));
    }
    let exempt = count(section.exempt);
    let expected = count(section.expected);
    let people = of(section.roster, "person", "people");
    all.push(("roster", format!("{people}, {exempt} exempt, {expected} expected")));
    let until = minute(section.grace_ends, zone);
    let open = if section.grace_is_over { "counted until" } else { "still counted until" };
    all.push(("late", format!("{}; {open} {until}", count(section.late))));
    all.push(("not seen", missing(section)));
    let others = section.others;
    let (names, tries) = (count(others.unknown_names), count(others.unknown_tries));
    let more = if others.more { "more than " } else { "" };
    if 0 < others.unknown_names {
        let log_ins = if others.unknown_tries == 1 { "log-in" } else { "log-ins" };
        all.push(("unknown", format!("{more}{names} names tried in vain, {tries} {log_ins}")));
    }
    if 0 < others.unnamed_let_in + others.unnamed_unclear {
        let (let_in, unclear) = (count(others.unnamed_let_in), count(others.unnamed_unclear));
        let text = format!(
            "forms let in {more}{let_in} clients and may have let in {unclear} more, and the log \
             does not say whom; they are in no figure above"
        );
        all.push(("no name", text));
    }
    for (index, reason) in section.doubts.iter().enumerate() {
        all.push((if index == 0 { "doubts" } else { "" }, reason.clone()));
    }
    all
}

/// `17: 2 failed only, 14 not seen; 5 of them not the week before either`.
fn missing(section: &Compliance) -> String {
    if section.is_holiday {
        return "nobody was expected".to_owned();
    }
    let parts = [
        (section.early, State::Early),
        (section.failed_only, State::FailedOnly),
        (section.unproven, State::Unproven),
        (section.never, State::Never),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| 0 < *number)
        .map(|(number, state)| format!("{} {}", count(number), state.words()))
        .collect();
    let total = section.missing_members.count();
    if total == 0 {
        return "0".to_owned();
    }
    let running = match section.missing_running {
        0 => String::new(),
        number => format!("; {} missing twice running or more", count(number)),
    };
    format!("{}: {}{running}", count(total), parts.join(", "))
}

/// What is to be said below the lists.
pub fn key(section: &Compliance) -> String {
    let grades = match section.evidence {
        "A" => "a server or application checked the name (A)",
        _ => "a server or application checked the name (A), or a form let in whom it named (B)",
    };
    let doubt = if section.at_least {
        " Lines of that day are missing: who is not seen may have come."
    } else {
        ""
    };
    format!("Counted: {grades}. A name that a client sent alone counts for nothing.{doubt}")
}

/// A list of people with its title.
#[derive(Debug)]
pub struct People<'a> {
    /// Its title, with their number.
    pub title: String,
    /// The first ones.
    pub rows: &'a [MemberRow],
    /// How many there are besides.
    pub more: u64,
}

/// The lists of people, without empty ones.
pub fn people(section: &Compliance) -> Vec<People<'_>> {
    let list = |title: &str, listed| -> People<'_> {
        let listed: &Listed<MemberRow> = listed;
        let title = format!("{title} ({})", count(listed.count()));
        People { title, rows: &listed.list, more: listed.more }
    };
    let title = if section.at_least { "Not seen; some lines are missing" } else { "Not seen" };
    let mut all = vec![list(title, &section.missing_members), list("Late", &section.late_members)];
    all.extend(section.first_timers.iter().map(|listed| list("For the first time", listed)));
    all.retain(|people| !people.rows.is_empty());
    all
}

/// The name they log in with, what people call them, and their group.
pub fn who(row: &MemberRow) -> String {
    let group = if row.group.is_empty() { String::new() } else { format!(" ({})", row.group) };
    match row.name.as_str() {
        "" => format!("{}{group}", row.user),
        name => format!("{}: {name}{group}", row.user),
    }
}

/// What is told of one of them: how the day went, and when.
pub fn state(row: &MemberRow, zone: &TimeZone) -> String {
    let at = row.at.map(|at| format!(" {}", minute(at, zone))).unwrap_or_default();
    format!("{}{at}", row.state.words())
}

/// The hours from the first in which somebody came to the last, with how many.
pub fn hours(section: &Compliance) -> Vec<(String, u64)> {
    let first = section.hours.iter().position(|number| 0 < *number);
    let last = section.hours.iter().rposition(|number| 0 < *number);
    let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
    (first..=last).map(|hour| (format!("{hour:02}:00"), section.hours[hour])).collect()
}
