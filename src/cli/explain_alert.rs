//! `gatewatch explain CODE`: the arithmetic of an alert, from what the store still holds.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use super::codes::find;
use super::exit;
use super::output::{Form, Output};
use crate::config::Config;
use crate::daemon::Decoder;
use crate::engine::batch::EventBatch;
use crate::engine::detect::explain::name_of;
use crate::engine::detect::reckoning::{Guard, Outcome, Reckoning};
use crate::engine::detect::rule::{Limit, Rule};
use crate::engine::detect::{Alert, AlertState};
use crate::escape::{cut, json_line, visible};
use crate::io::{Clock as _, SystemClock};
use crate::store::{AlertFilter, Seq, StoreReader};

/// Bytes of lines that are read again at most.
const READ_BYTES_MAX: u64 = 512 << 20;

/// Characters of an evidence line.
const LINE_MAX: usize = 160;

/// The argument is the code or the id of an alert: no line of a log is made of so few digits.
pub(super) fn is_code(text: &str) -> bool {
    let digits = text.chars().filter(|c| *c != '-').count();
    (4..=32).contains(&digits) && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

/// What reading the store again has come to.
#[derive(Debug, Default)]
struct Read {
    lines: u64,
    /// Lines of that time that were not read because there were too many.
    is_cut: bool,
    damaged: u64,
}

pub(super) fn run(code: &str, config: &Config, form: Form) -> Result<u8> {
    let reader = StoreReader::open(&config.store.path)?;
    let last = find(&reader, code)?;
    let alert = as_it_fired(&reader, &last)?;
    let mut out = Output::new();
    let rule = config.rules.iter().find(|rule| rule.id == alert.rule.id);
    match rule.filter(|rule| rule.looks_at_events() && rule.absence.is_none()) {
        Some(rule) => {
            let mut reckoning = Reckoning::new(rule, &alert, &config.circumstances);
            let read = see(&reader, config, &mut reckoning)?;
            match form {
                Form::Human => show(&alert, rule, &reckoning, &read, &mut out)?,
                Form::Json => out.line(&json_line(&json_of(&alert, rule, &reckoning, &read)))?,
            }
        }
        None => {
            let why = match rule {
                Some(_) => "the rule is about what no line tells: there is nothing to count again",
                None => "the rule is not in force any more: there is nothing to count it by",
            };
            match form {
                Form::Human => {
                    head(&alert, &mut out)?;
                    evidence(&alert, |_, _| None, &mut out)?;
                    out.line(&format!("what if    {why}"))?;
                }
                Form::Json => out.line(&json_line(&json!({ "alert": id(&alert), "why": why })))?,
            }
        }
    }
    out.flush()?;
    Ok(exit::OK)
}

/// The alert with the counts that made it fire, and the time until which it went on: one that goes on
/// still has no last event as yet.
fn as_it_fired(reader: &StoreReader, last: &Alert) -> Result<Alert> {
    let filter = AlertFilter {
        since: Some(last.first_event),
        rule: Some(last.rule.id.clone()),
        ..AlertFilter::default()
    };
    let all = reader.alerts(&filter)?;
    let fired = all.into_iter().find(|one| one.id == last.id && one.state == AlertState::Firing);
    let fired = fired.unwrap_or_else(|| last.clone());
    let last_event = match last.state {
        AlertState::Resolved => last.last_event,
        AlertState::Firing | AlertState::Escalated => SystemClock.now().max(last.last_event),
    };
    Ok(Alert { last_event, ..fired })
}

/// Reads the lines of the alert's time again, as far as they are there.
fn see(reader: &StoreReader, config: &Config, reckoning: &mut Reckoning<'_>) -> Result<Read> {
    let (from, to) = reckoning.span();
    let mut read = Read::default();
    let mut decoder = Decoder::new(Arc::new(config.enricher()));
    let (mut batch, mut bytes) = (EventBatch::default(), 0);
    for seq in reader.frames_since(from, u64::MAX)? {
        let Some(frame) = reader.frame_after(Seq(seq.0.saturating_sub(1)))? else { break };
        if frame.seq != seq || frame.damaged {
            read.damaged += 1;
            continue;
        }
        // Lines without a time are as old as their arrival.
        let has_times = frame.last_time.0 != 0;
        if has_times && (frame.last_time < from || to < frame.first_time) {
            continue;
        }
        bytes += frame.bytes.len() as u64;
        if READ_BYTES_MAX < bytes {
            read.is_cut = true;
            break;
        }
        read.lines += frame.lines;
        decoder.decode(&frame, &mut batch);
        reckoning.see(&batch, frame.received);
    }
    Ok(read)
}

fn id(alert: &Alert) -> Value {
    json!({ "id": alert.id, "code": alert.code(), "rule": alert.rule.id })
}

fn head(alert: &Alert, out: &mut Output) -> Result<()> {
    let rule = &alert.rule;
    out.line(&format!(
        "{}  {} v{}, {}: {}",
        alert.code(),
        visible(&rule.id),
        rule.version,
        alert.severity,
        visible(&alert.summary)
    ))?;
    for (name, value) in &alert.group {
        out.line(&format!("about      {} {}", visible(name), visible(value)))?;
    }
    let distinct = alert.distinct.map(|count| format!(", {count} different values"));
    out.line(&format!(
        "counted    {} events{} from {} to {}",
        alert.count,
        distinct.unwrap_or_default(),
        alert.first_event.rfc3339(),
        alert.at.rfc3339(),
    ))?;
    out.line(&format!("limit      {} in {}", alert.threshold, alert.window))?;
    out.line(&format!(
        "fired      at {}, by event {} of those counted",
        alert.at.rfc3339(),
        alert.count
    ))
}

fn evidence(
    alert: &Alert,
    has_line: impl Fn(&str, u64) -> Option<bool>,
    out: &mut Output,
) -> Result<()> {
    let mut label = "evidence";
    for line in &alert.evidence {
        let gone = match has_line(&line.file, line.offset) {
            Some(false) => "  (gone from the store)",
            _ => "",
        };
        let file = visible(&line.file);
        out.line(&format!("{label:<9}  {file}:{}  {}{gone}", line.offset, line.time.rfc3339()))?;
        out.line(&format!("             {}", cut(&visible(&line.line), LINE_MAX)))?;
        label = "";
    }
    Ok(())
}

fn show(
    alert: &Alert,
    rule: &Rule,
    reckoning: &Reckoning<'_>,
    read: &Read,
    out: &mut Output,
) -> Result<()> {
    head(alert, out)?;
    if rule.version != alert.rule.version {
        let (now, then) = (rule.version, alert.rule.version);
        out.line(&format!("           the rule has changed since: v{then} then, v{now} now"))?;
    }
    for limit in &rule.limits {
        let reached = reckoning.limit() == Some(limit);
        let mark = if reached { "  (this one was reached)" } else { "" };
        out.line(&format!("rule says  {}{mark}", limit_in_words(rule, limit)))?;
    }
    for guard in reckoning.guards() {
        out.line(&format!("guard      {}", guard_in_words(rule, &guard)))?;
    }
    if !rule.covered_by.is_empty() {
        let covers = visible(&rule.covered_by.join(", "));
        out.line(&format!("           not told while an alert of {covers} says it already"))?;
    }
    evidence(alert, |file, offset| Some(reckoning.has_line(file, offset)), out)?;
    out.line("")?;
    for line in honesty(alert, reckoning, read) {
        out.line(&line)?;
    }
    let outcomes = reckoning.outcomes();
    if outcomes.is_empty() {
        return out.line("what if    the rule has no plain limit that could be another");
    }
    let mut label = "what if";
    for outcome in &outcomes {
        out.line(&format!("{label:<9}  {}", outcome_in_words(outcome)))?;
        label = "";
    }
    Ok(())
}

/// How much of what was counted then is there to be counted again.
fn honesty(alert: &Alert, reckoning: &Reckoning<'_>, read: &Read) -> Vec<String> {
    let found = reckoning.found();
    let mut lines = Vec::new();
    let plain = format!("{} lines of that time are in the store", read.lines);
    lines.push(match found {
        0 => format!(
            "lines      {plain}; none of the {} events is among them any more, so what follows is \
             not worth much",
            alert.count
        ),
        found if found < alert.count => format!(
            "lines      {plain}; of the {} events {found} are among them, the others are gone: read \
             what follows as a lower bound",
            alert.count
        ),
        _ => format!("lines      {plain}, with all {} events", alert.count),
    });
    if read.is_cut {
        lines.push("           there are more lines of that time than are read again".to_owned());
    }
    if 0 < read.damaged {
        lines.push(format!("           {} frames are damaged", read.damaged));
    }
    lines
}

fn limit_in_words(rule: &Rule, limit: &Limit) -> String {
    let mut parts = Vec::new();
    let has_values = limit.values.iter().any(|min| 0 < *min);
    if 1 < limit.events || !has_values {
        parts.push(format!("{} events", limit.events));
    }
    let values = rule.distinct.iter().zip(&limit.values).filter(|(_, min)| 0 < **min);
    parts.extend(values.map(|(subject, min)| format!("{min} different {}", name_of(*subject))));
    format!("{} within {}", parts.join(" and "), limit.window)
}

fn guard_in_words(rule: &Rule, guard: &Guard) -> String {
    match guard {
        Guard::Share { window, matching, against, min } => {
            let all = matching + against;
            let share = if all == 0 { 0.0 } else { *matching as f64 / all as f64 };
            format!(
                "share in {window}: {:.0} % of {all} events ({against} spoke against); at least {:.0} %",
                share * 100.0,
                min * 100.0
            )
        }
        Guard::Values { index, found, min } => {
            let name = rule.distinct.get(*index).map_or("values", |subject| name_of(*subject));
            format!("{found} different {name}; at least {min}")
        }
        Guard::Sum { found, min } => format!("a sum of {found}; at least {min}"),
    }
}

fn outcome_in_words(outcome: &Outcome) -> String {
    let limit = outcome.limit;
    let own = if outcome.is_own { " (in force)" } else { "" };
    match (outcome.first, outcome.at_event) {
        (Some(first), at) => {
            let event = at.filter(|at| 0 < *at).map(|at| format!(", by event {at}"));
            let again = match outcome.alerts {
                1 => String::new(),
                alerts => format!(", and {} times in all", alerts),
            };
            let event = event.unwrap_or_else(|| ", before the first of these events".to_owned());
            format!("limit {limit}{own}: fires at {}{event}{again}", first.rfc3339())
        }
        (None, _) => format!("limit {limit}{own}: silent"),
    }
}

fn json_of(alert: &Alert, rule: &Rule, reckoning: &Reckoning<'_>, read: &Read) -> Value {
    let guards: Vec<String> =
        reckoning.guards().iter().map(|guard| guard_in_words(rule, guard)).collect();
    let limits: Vec<String> = rule.limits.iter().map(|limit| limit_in_words(rule, limit)).collect();
    let outcomes: Vec<Value> = reckoning
        .outcomes()
        .iter()
        .map(|one| {
            json!({
                "limit": one.limit,
                "in_force": one.is_own,
                "alerts": one.alerts,
                "first": one.first.map(crate::units::Timestamp::rfc3339),
                "at_event": one.at_event,
            })
        })
        .collect();
    let evidence: Vec<Value> = alert
        .evidence
        .iter()
        .map(|line| {
            json!({
                "file": line.file,
                "offset": line.offset,
                "time": line.time.rfc3339(),
                "text": line.line,
                "in_store": reckoning.has_line(&line.file, line.offset),
            })
        })
        .collect();
    json!({
        "alert": id(alert),
        "fired": alert.at.rfc3339(),
        "first_event": alert.first_event.rfc3339(),
        "looked_at_until": alert.last_event.rfc3339(),
        "count": alert.count,
        "distinct": alert.distinct,
        "threshold": alert.threshold,
        "window_s": alert.window.secs(),
        "limits": limits,
        "guards": guards,
        "evidence": evidence,
        "lines": { "read": read.lines, "events_found": reckoning.found(), "cut": read.is_cut },
        "what_if": outcomes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_from_a_line() {
        for code in ["7A2F-4C1D", "7a2f", "37c2b9cd7088dc36dbf9094acf7818cc"] {
            assert!(is_code(code), "{code}");
        }
        for line in
            ["-", "abc", "1.2.3.4", "", "----", "GET /", "deadbeefdeadbeefdeadbeefdeadbeef0"]
        {
            assert!(!is_code(line), "{line}");
        }
    }
}
