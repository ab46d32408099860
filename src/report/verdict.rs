//! The week in one line: green, amber or red, by a rule that the report states.

use serde::Serialize;

use super::compliance::{Compliance, words};
use super::figures::{count, of, percent};
use super::quality::Quality;
use super::week::Alerts;

/// The rule, as printed in each report.
pub const RULE: &str = "Red: any critical alert, any high alert still open, or no line at all. \
                        Amber: any other high or medium alert, more than 1 % of lines not \
                        understood, hours not watched or without the lines expected, or fewer \
                        members than usual on their day. Green: none of these.";

/// How the week was.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Light {
    /// Nothing to do.
    Green,
    /// Worth a look.
    Amber,
    /// Somebody must act.
    Red,
}

impl Light {
    /// The word that stands beside the colour.
    pub fn word(self) -> &'static str {
        match self {
            Self::Green => "GREEN",
            Self::Amber => "AMBER",
            Self::Red => "RED",
        }
    }
}

/// The week in one line, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The light.
    pub light: Light,
    /// `Quiet week: no alerts. 12 failed log-ins. Data complete.`
    pub line: String,
    /// What made it amber or red.
    pub reasons: Vec<String>,
}

/// What the week is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Week<'a> {
    pub(super) alerts: &'a Alerts,
    pub(super) quality: &'a Quality,
    pub(super) compliance: Option<&'a Compliance>,
    /// Log-ins that failed.
    pub(super) failed: u64,
    /// Days it covers.
    pub(super) days: u32,
}

pub(super) fn judge(week: &Week<'_>) -> Verdict {
    let Week { alerts, quality, compliance, .. } = *week;
    let mut reasons = Vec::new();
    let mut blame = |light: Light, amount: u64, reason: String| {
        if 0 < amount {
            reasons.push((light, reason));
        }
    };
    let (opened, open, carried_over) = (alerts.opened, alerts.open, alerts.carried_over);
    let critical = opened.critical + carried_over.critical;
    blame(Light::Red, critical, of(critical, "critical alert", "critical alerts"));
    blame(Light::Red, open.high, of(open.high, "high alert still open", "high alerts still open"));
    let calm = opened.high + carried_over.high - open.high;
    blame(Light::Amber, calm, of(calm, "high alert resolved", "high alerts resolved"));
    let medium = opened.medium + carried_over.medium;
    blame(Light::Amber, medium, of(medium, "medium alert", "medium alerts"));
    let silent = u64::from(quality.lines == 0);
    blame(Light::Red, silent, "no line was read in the whole period".to_owned());
    let share = percent(quality.unparsed, quality.lines);
    let badly = u64::from(quality.is_badly_parsed());
    blame(Light::Amber, badly, format!("{share} of the lines not understood"));
    let gaps = of(quality.gap_hours, "hour", "hours");
    let missed = if quality.lines == 0 { 0 } else { quality.gap_hours };
    blame(Light::Amber, missed, format!("{gaps} without the lines expected"));

    if let Some(compliance) = compliance.filter(|compliance| compliance.is_low()) {
        let low = format!("fewer {} log-ins than usual", compliance.weekday);
        blame(Light::Amber, 1, low);
    }
    let unwatched = of(quality.unwatched_hours, "hour", "hours");
    blame(Light::Amber, quality.unwatched_hours, format!("{unwatched} not watched"));

    let light = reasons.iter().map(|(light, _)| *light).max().unwrap_or(Light::Green);
    Verdict {
        light,
        line: line(light, week),
        reasons: reasons.into_iter().map(|(_, reason)| reason).collect(),
    }
}

fn line(light: Light, week: &Week<'_>) -> String {
    let Week { alerts, quality, failed, .. } = *week;
    let period = if week.days == 7 { "week" } else { "period" };
    let opening = match light {
        Light::Green => format!("Quiet {period}"),
        Light::Amber => "Worth a look".to_owned(),
        Light::Red => "Action needed".to_owned(),
    };
    let opened = match alerts.opened.total() {
        0 => "no alerts".to_owned(),
        _ => format!("{} critical, {}", alerts.opened.critical, others(alerts)),
    };
    let open = match (alerts.open.total(), alerts.opened.total()) {
        (0, 0) => "",
        (0, _) => ", all resolved",
        (_, _) => &format!(", {} still open", alerts.open.total()),
    };
    let failed = of(failed, "failed log-in", "failed log-ins");
    let came = week.compliance.map(|compliance| format!(" {}.", words::verdict(compliance)));
    let came = came.unwrap_or_default();
    format!("{opening}: {opened}{open}.{came} {failed}. {}.", data(quality))
}

fn data(quality: &Quality) -> String {
    let mut faults = Vec::new();
    if !quality.is_complete() {
        let (covered, hours) = (count(quality.covered_hours()), count(quality.hours));
        faults.push(format!("{covered} of {hours} hours covered"));
    }
    if quality.is_badly_parsed() {
        let share = percent(quality.unparsed, quality.lines);
        faults.push(format!("{share} of the lines not understood"));
    }
    match faults.len() {
        0 => "Data complete".to_owned(),
        _ => format!("Data incomplete: {}", faults.join(", ")),
    }
}

fn others(alerts: &Alerts) -> String {
    let opened = alerts.opened;
    let mut text = format!("{} high", opened.high);
    for (number, name) in [(opened.medium, "medium"), (opened.low, "low"), (opened.info, "info")] {
        if 0 < number {
            text.push_str(&format!(", {} {name}", count(number)));
        }
    }
    text
}
