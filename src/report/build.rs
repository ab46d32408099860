//! Makes the weekly report from the hours and alerts of the store.
//!
//! Pure: the caller brings them, the time and the zone; the same input makes the same report, byte
//! by byte.
//!
//! Invariant: a report is bounded, because every list is cut and says how much it leaves out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::figures;
use super::incident::{self, Incident, Severities};
use super::quality::{self, GAPS_MAX, Quality};
use super::top::{self, CountRow};
use super::verdict::{self, Week};
use super::week::{
    AlertRow, Alerts, Change, DayRow, HourCounts, Logins, Made, NamedChange, PeriodInfo, Stretch,
    Traffic, WeekInput, WeekReport,
};
use crate::engine::attendance;
use crate::engine::enrich::Roster;
use crate::engine::tally::{LEVELS, LoginCounts, MALFORMED, SiteTally, StatusKey, Tally};
use crate::escape::cut;
use crate::units::Timestamp;

/// Rows of a list of the heaviest.
const ROWS: usize = 10;
/// Alerts listed; all of them are counted.
const ALERTS_MAX: usize = 20;
/// Sites listed; all of them are counted.
const SITES_MAX: usize = 10;
/// Statuses listed, the most frequent ones.
const STATUSES_MAX: usize = 16;
/// Sources, readers and rules listed.
const OTHERS_MAX: usize = 10;
/// Columns kept of what an alert says.
const TEXT_MAX: usize = 400;
/// Shapes listed.
const SHAPES_MAX: usize = 5;

impl WeekReport {
    /// Makes the report.
    pub fn build(input: &WeekInput<'_>) -> Self {
        let before = input.before.filter(|before| !before.hours.is_empty());
        let (from, to) = input.days.moments(input.zone);
        let incidents: Vec<Incident<'_>> = incident::fold(input.alerts)
            .into_iter()
            .filter(|incident| belongs(incident, from, to))
            .collect();
        let (quality, incomplete_days) = build_quality(input, before);
        let alerts = build_alerts(&incidents, from);
        let total = &input.this.total;
        let total_before = before.map(Stretch::total);
        let logins = build_logins(total, total_before, input.roster);
        let verdict = verdict::judge(&Week {
            alerts: &alerts,
            quality: &quality,
            compliance: input.compliance.as_ref(),
            failed: logins.failure.now,
            days: input.days.count(),
        });
        let mut health = input.health.clone();
        health.readers.truncate(OTHERS_MAX);
        Self {
            schema: 1,
            period: PeriodInfo {
                label: input.days.to_string(),
                week: input.days.iso_week().map(|week| week.to_string()),
                first_day: input.days.from().to_string(),
                last_day: input.days.last().to_string(),
                from,
                to,
                zone: figures::zone_name(input.zone, from),
                days: input.days,
                missed: input.missed.iter().map(ToString::to_string).collect(),
            },
            host: input.host.to_owned(),
            verdict,
            compliance: input.compliance.clone(),
            traffic: build_traffic(total, total_before),
            days: build_days(input, before, &incidents, &incomplete_days),
            logins,
            clients: top::clients(total, total_before, ROWS),
            paths: top::paths(total, total_before, ROWS),
            not_found: top::not_found(total, total_before, ROWS),
            failing: top::failing(total, total_before, ROWS),
            server_errors: build_server_errors(total, total_before),
            alerts,
            quality,
            made: Made { at: input.generated, version: input.version.to_owned(), health },
            zone: input.zone.clone(),
        }
    }
}

/// Opened in the period, or before it and not resolved before it.
fn belongs(incident: &Incident<'_>, from: Timestamp, to: Timestamp) -> bool {
    incident.opened < to && incident.resolved.is_none_or(|at| from <= at || from <= incident.opened)
}

fn build_alerts(incidents: &[Incident<'_>], from: Timestamp) -> Alerts {
    let open = || incidents.iter().filter(|incident| incident.resolved.is_none());
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    for incident in incidents {
        *rules.entry(&incident.alert.rule.id).or_default() += 1;
    }
    let mut rules: Vec<CountRow> = rules
        .into_iter()
        .map(|(name, count)| CountRow { name: name.to_owned(), count, before: None })
        .collect();
    rules.sort_by_key(|row| std::cmp::Reverse(row.count));
    rules.truncate(OTHERS_MAX);
    let row = |incident: &Incident<'_>| AlertRow {
        id: incident.alert.id.clone(),
        code: incident.alert.code(),
        severity: incident.alert.severity,
        rule: incident.alert.rule.id.clone(),
        title: incident.alert.rule.title.clone(),
        summary: cut(&incident.alert.summary, TEXT_MAX),
        who: cut(&incident::who(incident.alert, 3), TEXT_MAX),
        worked: incident::worked(incident.alert),
        successes: incident.alert.successes,
        opened: incident.opened,
        resolved: incident.resolved,
        carried_over: incident.opened < from,
        backfill: incident.alert.backfill,
        muted_by: incident.alert.muted_by.clone(),
    };
    Alerts {
        opened: Severities::of(incidents.iter().filter(|incident| from <= incident.opened)),
        open: Severities::of(open()),
        carried_over: Severities::of(open().filter(|incident| incident.opened < from)),
        rules,
        list: incidents.iter().take(ALERTS_MAX).map(row).collect(),
        more: incidents.len().saturating_sub(ALERTS_MAX) as u64,
    }
}

fn build_traffic(total: &Tally, before: Option<&Tally>) -> Traffic {
    let now = total.by_status();
    let then = before.map(Tally::by_status);
    let sum = |all: &BTreeMap<StatusKey, u64>, class: usize| -> u64 {
        all.iter().filter(|(status, _)| status.class() == class).map(|(_, count)| count).sum()
    };
    let classes = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"].iter().enumerate();
    let classes = classes.map(|(class, name)| NamedChange {
        name: (*name).to_owned(),
        count: Change { now: sum(&now, class), before: then.as_ref().map(|then| sum(then, class)) },
    });
    let mut statuses: Vec<(StatusKey, u64)> =
        now.iter().map(|(key, count)| (*key, *count)).collect();
    statuses.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    statuses.truncate(STATUSES_MAX);
    statuses.sort();
    let statuses = statuses.into_iter().map(|(status, now)| NamedChange {
        name: status.label(),
        count: Change {
            now,
            before: then.as_ref().map(|then| then.get(&status).copied().unwrap_or(0)),
        },
    });
    let bytes = |tally: &Tally| tally.sites().iter().map(|site| site.bytes).sum();
    let mut sites = site_changes(total, before);
    let more_sites = sites.len().saturating_sub(SITES_MAX) as u64;
    sites.truncate(SITES_MAX);
    Traffic {
        requests: Change {
            now: now.values().sum(),
            before: then.as_ref().map(|then| then.values().sum()),
        },
        bytes: Change { now: bytes(total), before: before.map(bytes) },
        clients: Change {
            now: total.distinct_clients(),
            before: before.map(Tally::distinct_clients),
        },
        // Classes that occur in neither week would only be noise.
        classes: classes.filter(|row| row.count.now + row.count.before.unwrap_or(0) != 0).collect(),
        statuses: statuses.collect(),
        sites,
        more_sites,
    }
}

fn site_changes(total: &Tally, before: Option<&Tally>) -> Vec<NamedChange> {
    let of = |tally: &Tally, name: &str| {
        tally.sites().iter().find(|site| site.name == name).map_or(0, SiteTally::total)
    };
    let mut sites: Vec<NamedChange> = total
        .sites()
        .iter()
        .filter(|site| 0 < site.total())
        .map(|site| NamedChange {
            name: site.name.clone(),
            count: Change {
                now: site.total(),
                before: before.map(|before| of(before, &site.name)),
            },
        })
        .collect();
    sites.sort_by(|a, b| b.count.now.cmp(&a.count.now).then_with(|| a.name.cmp(&b.name)));
    sites
}

fn build_logins(total: &Tally, before: Option<&Tally>, roster: Option<(&Roster, u64)>) -> Logins {
    let now = total.logins();
    let then = before.map(Tally::logins);
    let change =
        |pick: fn(&LoginCounts) -> u64| Change { now: pick(&now), before: then.as_ref().map(pick) };
    let users = before.map(|before| &before.failed_users);
    let clients = before.map(|before| &before.failed_clients);
    let mut failed_users = top::counts(&total.failed_users, users, ROWS);
    if let Some((roster, seed)) = roster {
        for row in &mut failed_users.top {
            if roster.member(row.name.as_bytes()).is_none() {
                row.name = attendance::hashed(row.name.as_bytes(), seed);
            }
        }
    }
    Logins {
        success: change(|logins| logins.success),
        failure: change(|logins| logins.failure),
        attempt: change(|logins| logins.attempt),
        failed_users,
        unknown_are_hashed: roster.is_some(),
        failed_clients: top::counts(&total.failed_clients, clients, ROWS),
    }
}

fn build_server_errors(total: &Tally, before: Option<&Tally>) -> Vec<NamedChange> {
    let of = |tally: &Tally, level: usize| -> u64 {
        tally.sites().iter().map(|site| site.server_errors[level]).sum()
    };
    let rows = LEVELS.iter().enumerate().rev().map(|(index, level)| NamedChange {
        name: level.name().to_owned(),
        count: Change { now: of(total, index), before: before.map(|before| of(before, index)) },
    });
    rows.filter(|row| row.count.now + row.count.before.unwrap_or(0) != 0).collect()
}

fn build_days(
    input: &WeekInput<'_>,
    before: Option<&Stretch>,
    incidents: &[Incident<'_>],
    incomplete_days: &BTreeSet<Date>,
) -> Vec<DayRow> {
    let by_day = |stretch: &Stretch| {
        let mut days: BTreeMap<_, HourCounts> = BTreeMap::new();
        for (hour, counts) in &stretch.hours {
            let day = figures::local(quality::begin_of(*hour), input.zone).date();
            days.entry(day).or_default().add(counts);
        }
        days
    };
    let (days, days_before) = (by_day(input.this), before.map(by_day));
    let week_ago = jiff::Span::new().days(i64::from(input.days.count()));
    let row = |date: Date| {
        let opened =
            |incident: &&Incident<'_>| figures::local(incident.opened, input.zone).date() == date;
        DayRow {
            date: date.to_string(),
            name: date.strftime("%a %d %b").to_string(),
            counts: days.get(&date).copied().unwrap_or_default(),
            successes_before: days_before.as_ref().map(|days| {
                let then = date.checked_sub(week_ago).ok();
                then.and_then(|day| days.get(&day)).map_or(0, |counts| counts.logins.success)
            }),
            alerts: incidents.iter().filter(opened).count() as u64,
            incomplete: incomplete_days.contains(&date),
        }
    };
    input.days.iter().map(row).collect()
}

/// How complete the data is, and the days whose counts are lower bounds.
fn build_quality(input: &WeekInput<'_>, before: Option<&Stretch>) -> (Quality, BTreeSet<Date>) {
    let total = &input.this.total;
    let hours = input.days.hours(input.zone);
    let since = input.watched_since.map_or(0, Timestamp::hour);
    let begin = since.clamp(hours.start, hours.end);
    let end = input.generated.hour().clamp(begin, hours.end);
    let hours_before = before.map(|before| (&before.hours, since));
    let mut found = quality::silence(begin..end, &input.this.hours, hours_before, input.zone);
    let incomplete_days = quality::incomplete_days(input.days, begin..end, &found.gaps, input.zone);
    let more_gaps = found.gaps.len().saturating_sub(GAPS_MAX) as u64;
    found.gaps.truncate(GAPS_MAX);
    let kind = |index: usize| total.sites().iter().map(|site| site.malformed[index]).sum();
    let malformed = MALFORMED.iter().enumerate().map(|(index, name)| (name.name(), kind(index)));
    let mut sources = input.sources.clone();
    sources.truncate(OTHERS_MAX);
    let shapes = before.map(|before| &before.total.shapes);
    let quality = Quality {
        hours: hours.len() as u64,
        hours_with_lines: hours.clone().filter(|hour| input.this.hours.contains_key(hour)).count()
            as u64,
        quiet_hours: found.quiet_hours,
        gap_hours: found.gap_hours,
        unwatched_hours: u64::from(begin - hours.start) + u64::from(hours.end - end),
        gaps: found.gaps,
        more_gaps,
        lines: total.lines,
        unparsed: total.unparsed,
        shapes: top::counts(&total.shapes, shapes, SHAPES_MAX),
        sources,
        malformed: malformed.filter(|(_, count)| 0 < *count).collect(),
        notes: notes(input, before),
    };
    (quality, incomplete_days)
}

/// What a reader must know to read the figures right.
fn notes(input: &WeekInput<'_>, before: Option<&Stretch>) -> Vec<String> {
    let mut notes = Vec::new();
    let (from, to) = input.days.moments(input.zone);
    let total = &input.this.total;
    let since = input.watched_since.filter(|since| from < *since);
    if let Some(since) = since {
        let since = figures::minute(since, input.zone);
        notes.push(format!("Watched since {since}: figures of the hours before are missing."));
    }
    if input.generated < to {
        notes
            .push("The period is not over: figures are those up to the time of making.".to_owned());
    }
    match (before, input.days.before()) {
        (None, _) => notes.push("There is no week before to compare with.".to_owned()),
        (Some(_), Some(days)) => {
            let (begin, _) = days.moments(input.zone);
            if since.is_none() && input.watched_since.is_some_and(|since| begin < since) {
                notes.push(
                    "The week before was not watched from its beginning: changes look larger than \
                     they are."
                        .to_owned(),
                );
            }
        }
        (Some(_), None) => (),
    }
    let lists = [
        ("clients", total.clients.error()),
        ("paths", total.paths.error()),
        ("clients with failed log-ins", total.failed_clients.error()),
        ("names with failed log-ins", total.failed_users.error()),
        ("shapes of lines", total.shapes.error()),
    ];
    for (name, lower_by) in lists.into_iter().filter(|(_, lower_by)| 0 < *lower_by) {
        notes.push(format!(
            "Lower bounds: there were too many different {name}; counts in that list may be up to \
             {} too small. Totals are exact.",
            figures::count(lower_by)
        ));
    }
    let unreadable = input.this.unreadable + before.map_or(0, |before| before.unreadable);
    if 0 < unreadable {
        notes.push(format!(
            "{} of the store could not be read and is missing from the figures.",
            figures::of(unreadable, "hour", "hours")
        ));
    }
    if !from.secs().is_multiple_of(3600) {
        notes.push(
            "Counts are kept by hours of UTC and days of this zone begin in the middle of one: an \
             hour belongs to the day that it begins in."
                .to_owned(),
        );
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Light;
    use super::*;
    use crate::engine::detect::{Alert, Severity};
    use crate::report::fixture::{self, Week};
    use crate::report::json::{to_text, week_json};
    use crate::units::Period;

    #[test]
    fn the_report_as_json_is_the_golden_file() {
        fixture::check_golden("week.json", &to_text(&week_json(&Week::attacked().report())));
    }

    #[test]
    fn names_that_are_not_on_the_roster_are_hashed() {
        let mut week = Week::attacked();
        let names = |week: &Week| -> Vec<String> {
            let report = week.report();
            report.logins.failed_users.top.into_iter().map(|row| row.name).collect()
        };
        let typed = names(&week);
        assert!(typed.contains(&"admin".to_owned()), "{typed:?}");
        week.roster = Some(Roster::read(b"user\na.ruiz\n").expect("sound"));
        let shown = names(&week);
        assert_eq!(typed.len(), shown.len());
        for (typed, shown) in typed.iter().zip(&shown) {
            let is_hashed = shown.starts_with("unknown#") && shown.len() == 16;
            assert!(if typed == "a.ruiz" { shown == typed } else { is_hashed }, "{typed} {shown}");
        }
    }

    #[test]
    fn a_quiet_week_is_green() {
        let report = Week::quiet().report();
        assert_eq!(Light::Green, report.verdict.light);
        assert_eq!(
            "Quiet week: no alerts. Thursday log-ins 33 of 35 (94.3 %, ±0.0 points). 21 failed log-ins. Data complete.",
            report.verdict.line
        );
        assert_eq!(Change { now: 21, before: Some(14) }, report.logins.failure);
        assert_eq!("Thu 19 Nov", report.days[6].name);
        assert_eq!(196, report.days[6].counts.logins.success);
        assert_eq!(Some(182), report.days[6].successes_before);
        assert!(report.quality.is_complete());
        assert!(report.quality.notes.is_empty(), "{:?}", report.quality.notes);
    }

    #[test]
    fn an_attacked_week_is_red_and_says_why() {
        let report = Week::attacked().report();
        assert_eq!(Light::Red, report.verdict.light);
        let reasons = [
            "1 critical alert",
            "1 high alert resolved",
            "2 medium alerts",
            "1.1 % of the lines not understood",
            "3 hours without the lines expected",
        ];
        assert_eq!(reasons, *report.verdict.reasons);
        assert_eq!(165, report.quality.covered_hours());
        let incomplete = report.days.iter().filter(|row| row.incomplete);
        assert_eq!(vec!["Wed 18 Nov"], incomplete.map(|row| &row.name).collect::<Vec<_>>());
    }

    #[test]
    fn each_light_follows_its_rule() {
        let at = fixture::MADE.minus(Period::from_secs(86_400));
        let light = |alerts: Vec<Alert>| Week { alerts, ..Week::quiet() }.report().verdict.light;
        let (critical, high) = (fixture::spraying(at), fixture::scanning(at));
        let medium = fixture::forgetful(at);
        let low = Alert { severity: Severity::Low, ..medium.clone() };
        assert_eq!(Light::Green, light(vec![low]));
        assert_eq!(Light::Amber, light(vec![medium]));
        assert_eq!(Light::Red, light(vec![high.clone()]));
        assert_eq!(Light::Amber, light(vec![high.clone(), fixture::resolved(&high)]));
        assert_eq!(Light::Red, light(vec![critical.clone(), fixture::resolved(&critical)]));
    }

    #[test]
    fn an_empty_week_is_red_and_complete_nowhere() {
        let report = Week::empty().report();
        assert_eq!(Light::Red, report.verdict.light);
        assert_eq!(vec!["no line was read in the whole period"], report.verdict.reasons);
        assert!(report.verdict.line.contains("Data incomplete"), "{}", report.verdict.line);
        assert_eq!(7, report.days.len());
    }

    #[test]
    fn the_first_week_compares_with_nothing() {
        let report = Week::first().report();
        assert_eq!(Change { now: 4 * 3, before: None }, report.logins.failure);
        assert_eq!(82, report.quality.unwatched_hours);
        assert_eq!(vec!["82 hours not watched"], report.verdict.reasons);
        let incomplete = report.days.iter().map(|row| row.incomplete);
        assert_eq!(
            vec![true, true, true, true, false, false, false],
            incomplete.collect::<Vec<_>>()
        );
        assert_eq!(0, report.quality.gap_hours);
        assert!(report.quality.notes[0].starts_with("Watched since Mon 16 Nov 10:00"));
        assert_eq!("There is no week before to compare with.", report.quality.notes[1]);
        assert!(report.verdict.line.ends_with("86 of 168 hours covered."), "{report:?}");
    }

    #[test]
    fn alerts_of_other_weeks_are_left_out_unless_they_are_still_open() {
        let before = fixture::MADE.minus(Period::from_secs(10 * 86_400));
        let after = fixture::MADE.plus(Period::from_secs(60));
        let closed = fixture::scanning(before);
        let alerts = vec![
            fixture::resolved(&closed),
            closed,
            fixture::forgetful(after),
            fixture::spraying(before),
        ];
        let report = Week { alerts, ..Week::quiet() }.report();
        assert_eq!(1, report.alerts.list.len());
        assert!(report.alerts.list[0].carried_over);
        assert_eq!((0, 1), (report.alerts.opened.total(), report.alerts.open.critical));
        assert_eq!(Light::Red, report.verdict.light);
    }

    #[test]
    fn weeks_with_a_change_of_the_clocks_have_their_hours() {
        for (days, hours) in [("2026-10-23..2026-10-30", 169), ("2026-03-27..2026-04-03", 167)] {
            let mut week = Week::empty();
            week.days = days.parse().expect("days");
            week.this = fixture::hours(week.days, &week.zone, 3);
            week.before = fixture::hours(week.days.before().expect("days"), &week.zone, 3);
            let report = week.report();
            assert_eq!(hours, report.quality.hours);
            assert_eq!(hours, report.quality.hours_with_lines);
            let each_day = report.days.iter().map(|row| row.counts.logins.failure);
            assert_eq!(vec![3; 7], each_day.collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_hour_that_cannot_be_read_is_said_to_be_missing() {
        let stretch = Stretch::read([(497_000, "{\"lines\": 1"), (497_001, "")], 7);
        assert_eq!((0, 2), (stretch.total().lines, stretch.unreadable));
    }

    #[test]
    fn every_list_is_bounded() {
        let report = Week::hostile().report();
        assert_eq!((ALERTS_MAX, 24), (report.alerts.list.len(), report.alerts.more));
        assert_eq!(OTHERS_MAX, report.quality.sources.len());
        assert!(report.clients.top.len() <= ROWS && report.traffic.sites.len() <= SITES_MAX);
    }
}
