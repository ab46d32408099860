//! What an alert mail says, in the order of an analyst's questions: what, did it work, when,
//! where, who, on what evidence, what now, why me, how do I stop this.
//!
//! Pure: an alert and the present moment in, a page out.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::page::{Block, Page, Section};
use super::text::{cut, length, local, plural, safe, span, visible};
use super::{advice, answered};
use crate::engine::detect::{Alert, AlertState, Severity, Step, code_of};
use crate::units::Timestamp;

/// What a mail knows besides its alert.
#[derive(Clone, Debug)]
pub struct MailContext {
    /// Zone of the times shown.
    pub zone: TimeZone,
    /// Name of the machine that runs gatewatch.
    pub host: String,
    /// Version of gatewatch.
    pub version: String,
    /// Least severity of which there are mails.
    pub min_severity: Severity,
    /// Name of the organisation.
    pub organisation: Option<String>,
}

/// Characters of one value from a log in running text.
const VALUE_MAX: usize = 60;
/// Characters of a sentence.
const SENTENCE_MAX: usize = 400;
/// Characters of an evidence line: most lines whole, none of them a page.
const LINE_MAX: usize = 320;
/// Lines of evidence.
const LINES_MAX: usize = 10;
/// An alert's lists end here; a full one may have had more to say.
const LIST_MAX: usize = 10;
/// Characters of a subject line.
const SUBJECT_MAX: usize = 90;
/// Where a subject was cut. In ASCII, so that no word of it is encoded (RFC 2047) and a mail filter,
/// a `grep` over `.eml` files and a person all read the same.
const SUBJECT_CUT: &str = "...";
/// Alerts that a list names; the rest is counted.
const ITEMS_MAX: usize = 25;

/// `[gatewatch] HIGH www.example.org: password spraying from 203.0.113.7 (14 users, 0 succeeded)`,
/// in at most 90 characters: who it was and whether it worked outlive the name of the site.
pub(crate) fn subject(alert: &Alert, min_severity: Severity) -> String {
    // Where there was a mail before: what was milder is in no mail.
    let told = alert.part.as_ref().and_then(|part| part.before);
    let mark = match alert.state {
        AlertState::Resolved => "RESOLVED ",
        _ if is_reminder(alert) => "REMINDER ",
        _ if told.is_some_and(|before| min_severity <= before) => "UPDATE ",
        _ => "",
    };
    let head = format!("[gatewatch] {mark}{} ", shout(alert.severity));
    let (mut place, mut title) = (site(alert).unwrap_or_default(), title(alert));
    // At its end an alert's figures have changed, and the thread shows the first ones.
    let facts = match alert.state {
        AlertState::Firing | AlertState::Escalated => format!(" ({})", facts(alert)),
        AlertState::Resolved => String::new(),
    };
    let tail = format!("{}{facts}", culprit(alert));
    let over = |place: &str, title: &str| {
        let parts = [&head, place, title, &tail].map(|part| part.chars().count());
        let colon = if place.is_empty() { 0 } else { 2 };
        (parts.iter().sum::<usize>() + colon).saturating_sub(SUBJECT_MAX)
    };
    if over(&place, &title) != 0 {
        place = place.strip_prefix("www.").unwrap_or(&place).to_owned();
    }
    place = shortened(&place, over(&place, &title));
    title = shortened(&title, over(&place, &title));
    let colon = if place.is_empty() { "" } else { ": " };
    cut(&format!("{head}{place}{colon}{title}{tail}"), SUBJECT_MAX, SUBJECT_CUT)
}

/// The page of one alert.
pub(crate) fn alert_page(alert: &Alert, context: &MailContext, now: Timestamp) -> Page {
    let firing = alert.state != AlertState::Resolved;
    let mut sections = vec![
        Section { label: "What", blocks: what(alert) },
        Section { label: "Incident", blocks: incident(alert, context) },
        Section { label: "Worked?", blocks: vec![worked(alert)] },
        Section { label: "When", blocks: when(alert, context, now) },
        Section { label: "Where", blocks: place(alert) },
        Section { label: "Who", blocks: who(alert) },
    ];
    if firing {
        // Who is tired reads the first screen only, so the lines come after what to do.
        sections.push(Section { label: "Do now", blocks: steps(alert) });
        sections.push(Section { label: "Evidence", blocks: evidence(alert, context) });
    }
    sections.push(Section { label: "Why told", blocks: vec![Block::Text(why(alert))] });
    sections.push(Section { label: "Silence", blocks: silence(alert) });
    sections.retain(|section| !section.blocks.is_empty());
    let (badge, colour) = match firing {
        true => (shout(alert.severity), colour(alert.severity)),
        false => ("RESOLVED".to_owned(), "#1e6b3a"),
    };
    let place = site(alert).map(|site| format!(" on {}", safe(&site, VALUE_MAX)));
    let title = format!("{}{}", headline_safe(alert), place.unwrap_or_default());
    let code = format!("Alert {}; its full id is {}.", code(alert), visible(&alert.id, 40));
    Page { badge, colour, title, sections, footer: footer(context, Some(code)) }
}

/// The page that tells many alerts at once.
pub(crate) fn list_page(
    badge: &str,
    title: String,
    lead: &[&str],
    alerts: &[Alert],
    context: &MailContext,
) -> Page {
    let mut sorted: Vec<&Alert> = alerts.iter().collect();
    sorted.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.at));
    let worst = sorted.first().map_or(Severity::Info, |alert| alert.severity);
    let mut items: Vec<Block> =
        sorted.iter().take(ITEMS_MAX).map(|alert| item(alert, context)).collect();
    if ITEMS_MAX < alerts.len() {
        let rest = alerts.len() - ITEMS_MAX;
        items.push(Block::Note(format!("and {rest} more.")));
    }
    let lead = lead.iter().map(|text| Block::Text((*text).to_owned())).collect();
    let mut sections = vec![
        Section { label: "What", blocks: lead },
        Section { label: "Rules", blocks: by_rule(alerts) },
        Section { label: "Alerts", blocks: items },
    ];
    sections.retain(|section| !section.blocks.is_empty());
    Page {
        badge: badge.to_owned(),
        colour: colour(worst),
        title,
        sections,
        footer: footer(context, None),
    }
}

/// How many alerts each rule raised, the busiest first; nothing for a list that is short anyway.
fn by_rule(alerts: &[Alert]) -> Vec<Block> {
    const LIST_IS_SHORT: usize = 5;
    if alerts.len() <= LIST_IS_SHORT {
        return Vec::new();
    }
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for alert in alerts {
        *counts.entry(&alert.rule.id).or_default() += 1;
    }
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown = counts.iter().take(LIST_MAX);
    shown.map(|(id, count)| Block::Text(format!("{count}× {}", safe(id, VALUE_MAX)))).collect()
}

fn item(alert: &Alert, context: &MailContext) -> Block {
    let resolved = alert.state == AlertState::Resolved;
    let time = local(alert.at, &context.zone, "%a %-d %b %H:%M:%S %Z");
    let place = site(alert).map(|site| format!(", {}", safe(&site, VALUE_MAX)));
    Block::Item {
        badge: if resolved { "RESOLVED".to_owned() } else { shout(alert.severity) },
        colour: if resolved { "#1e6b3a" } else { colour(alert.severity) },
        what: format!("{} ({})", headline_safe(alert), facts(alert)),
        small: format!("{time}{}, alert {}", place.unwrap_or_default(), code(alert)),
    }
}

fn footer(context: &MailContext, first: Option<String>) -> Vec<String> {
    let by = format!(
        "gatewatch {} on {}{}",
        visible(&context.version, 20),
        visible(&context.host, VALUE_MAX),
        context
            .organisation
            .iter()
            .map(|name| format!(", {}", visible(name, 80)))
            .collect::<String>(),
    );
    let dead = "Text from logs is shown with its control characters escaped and its links broken.";
    first.into_iter().chain([by, dead.to_owned()]).collect()
}

/// `text` without `over` of its characters, but never with fewer than a reader needs.
fn shortened(text: &str, over: usize) -> String {
    const MIN: usize = 14;
    let len = text.chars().count();
    cut(text, len.saturating_sub(over).max(MIN), SUBJECT_CUT)
}

/// What happened and who did it.
fn headline(alert: &Alert) -> String {
    format!("{}{}", title(alert), culprit(alert))
}

/// [`headline`] for the body of a mail, as the start of a sentence.
fn headline_safe(alert: &Alert) -> String {
    let headline = safe(&headline(alert), 160);
    let mut chars = headline.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}", first.unwrap_or_default(), chars.as_str())
}

/// The rule's title in lower case, without its "from one client".
fn title(alert: &Alert) -> String {
    let title = visible(&alert.rule.title, 80);
    let tails = [" from one ", " by one ", " for one ", " against one "];
    let end = tails.iter().find_map(|tail| title.find(tail)).unwrap_or(title.len());
    let mut chars = title[..end].chars();
    let first = chars.next().map(|first| match chars.clone().next() {
        Some(second) if second.is_lowercase() => first.to_lowercase().to_string(),
        // `HTTP floods` keeps its capitals.
        _ => first.to_string(),
    });
    format!("{}{}", first.unwrap_or_default(), chars.as_str())
}

fn culprit(alert: &Alert) -> String {
    if let Some(user) = alert.group_value("user.name") {
        return format!(", user {}", visible(user, 24));
    }
    match advice::clients(alert).as_slice() {
        [] => String::new(),
        [one] => format!(" from {}", advice::name(one)),
        many if many.len() < LIST_MAX => format!(" from {} addresses", many.len()),
        many => format!(" from {} or more addresses", many.len()),
    }
}

/// The site, where the alert is about one.
fn site(alert: &Alert) -> Option<String> {
    let only = (alert.sites.len() == 1).then(|| alert.sites[0].as_str());
    alert.group_value("site").or(only).filter(|site| !site.is_empty()).map(|site| visible(site, 32))
}

fn facts(alert: &Alert) -> String {
    let how_many = match (alert.distinct, counted(alert)) {
        (Some(distinct), Some(one)) => plural(distinct, one),
        _ => plural(alert.count, if is_login(alert) { "attempt" } else { "event" }),
    };
    if !is_login(alert) {
        let answered = alert.statuses.range(200..300).map(|(_, count)| count).sum::<u64>();
        return match answered {
            0 => how_many,
            count => format!("{how_many}, {count} answered 2xx"),
        };
    }
    format!("{how_many}, {} succeeded", alert.successes)
}

/// What a rule that counts different values has counted: the list that has as many.
fn counted(alert: &Alert) -> Option<&'static str> {
    let distinct = usize::try_from(alert.distinct?).unwrap_or(usize::MAX).min(LIST_MAX);
    let lists = [
        (alert.users.len(), "user"),
        (alert.paths.len(), "path"),
        (alert.addresses.len(), "address"),
    ];
    // A list of one proves nothing: every alert about one client has one address.
    lists.iter().find(|(len, _)| *len == distinct && 1 < distinct).map(|(_, name)| *name)
}

fn what(alert: &Alert) -> Vec<Block> {
    vec![Block::Strong(safe(&alert.summary, SENTENCE_MAX))]
}

fn worked(alert: &Alert) -> Block {
    if is_login(alert) {
        return match alert.successes {
            0 => Block::Text(format!(
                "No. None of {} succeeded.",
                plural(alert.count, "log-in attempt")
            )),
            count => Block::Strong(format!(
                "YES, it seems: {} succeeded for the same key. Treat the account as taken until \
                 its owner says otherwise.",
                plural(count, "log-in")
            )),
        };
    }
    if alert.rule.category != "web" {
        return Block::Text("Does not apply: this is about the logs, not about an attack.".into());
    }
    let answers = answers(alert);
    let good: u64 = alert.statuses.range(200..300).map(|(_, count)| count).sum();
    match good {
        0 if answers.is_empty() => Block::Text("Unknown: the lines show no answers.".into()),
        0 => Block::Text(format!("No. Nothing was answered with success ({answers}).")),
        count => Block::Strong(format!(
            "MAYBE: the server answered {} with success ({answers}). Look at what it sent.",
            plural(count, "request")
        )),
    }
}

/// What else belongs to it, where it is not alone.
fn incident(alert: &Alert, context: &MailContext) -> Vec<Block> {
    let Some(part) = &alert.part else { return Vec::new() };
    let mut blocks = Vec::new();
    if is_reminder(alert) {
        blocks.push(Block::Text("Nothing new: it still goes on.".to_owned()));
    }
    if let Some(escalation) = alert.escalation.filter(|_| alert.state == AlertState::Escalated) {
        let times = if escalation.step == 1 { "ten times" } else { "a hundred times" };
        blocks.push(Block::Text(format!("It is {times} what made the rule fire.")));
    }
    if 1 < part.alerts {
        let since = local(part.opened, &context.zone, "%a %-d %b %H:%M:%S %Z");
        let code = visible(&code_of(&part.incident), 16);
        let alerts = plural(u64::from(part.alerts), "alert");
        blocks.push(Block::Text(format!("{alerts} since {since}, the first one is {code}:")));
        let titles = part.titles.iter().take(LIST_MAX);
        blocks.extend(titles.map(|title| Block::Text(safe(title, VALUE_MAX))));
    }
    if part.repeats != 0 {
        let text = format!("The same client was noticed {} times within seven days.", part.repeats);
        blocks.push(Block::Note(text));
    }
    blocks
}

/// `41× 401, 2× 403`
fn answers(alert: &Alert) -> String {
    let shown = alert.statuses.iter().filter(|(code, _)| **code != 0).take(LIST_MAX);
    shown.map(|(code, count)| format!("{count}× {code}")).collect::<Vec<_>>().join(", ")
}

fn when(alert: &Alert, context: &MailContext, now: Timestamp) -> Vec<Block> {
    let (first, last) = (alert.first_event, alert.last_event.max(alert.first_event));
    let mut text = span(first, last, &context.zone);
    if first != last {
        text = format!("{text} ({})", length(last.since(first)));
    }
    match alert.state {
        AlertState::Resolved => {
            let quiet = length(alert.at.since(last));
            text = format!("{text}; over, nothing more in {quiet}");
        }
        AlertState::Firing | AlertState::Escalated => text.push_str("; it may still go on"),
    }
    let mut blocks = vec![Block::Text(text)];
    let late = now.since(alert.at);
    if LATE_MIN_S < late.secs() {
        let late = length(late);
        blocks.push(Block::Note(format!("This mail was written {late} after the alert.")));
    }
    blocks
}

/// A mail later than this says so.
const LATE_MIN_S: u64 = 900;

fn place(alert: &Alert) -> Vec<Block> {
    let mut blocks = Vec::new();
    if !alert.sites.is_empty() {
        blocks.push(Block::Text(list(&alert.sites, VALUE_MAX)));
    }
    if !alert.paths.is_empty() {
        blocks.push(Block::Text(format!("paths: {}", list(&alert.paths, VALUE_MAX))));
    }
    if is_login(alert) && !answers(alert).is_empty() {
        blocks.push(Block::Note(format!("answers: {}", answers(alert))));
    }
    blocks
}

fn who(alert: &Alert) -> Vec<Block> {
    let mut blocks = Vec::new();
    if !alert.addresses.is_empty() {
        let shown: Vec<String> =
            alert.addresses.iter().take(LIST_MAX).map(ToString::to_string).collect();
        blocks.push(Block::Text(format!("{}{}", shown.join(", "), more(alert.addresses.len()))));
    }
    if !alert.users.is_empty() {
        blocks.push(Block::Text(format!("users: {}", list(&alert.users, 40))));
    }
    blocks
}

fn list(values: &[String], chars_max: usize) -> String {
    let shown: Vec<String> =
        values.iter().take(LIST_MAX).map(|value| safe(value, chars_max)).collect();
    format!("{}{}", shown.join(", "), more(values.len()))
}

fn more(len: usize) -> &'static str {
    if len < LIST_MAX { "" } else { " (the first ten; there may be more)" }
}

fn evidence(alert: &Alert, context: &MailContext) -> Vec<Block> {
    let lines = alert.evidence.iter().take(LINES_MAX).map(|line| {
        let time = local(line.time, &context.zone, "%H:%M:%S");
        let file = safe(&line.file, 200);
        let origin = format!("{time}  {file} at byte {}", line.offset);
        Block::Line(origin, safe(&line.line, LINE_MAX))
    });
    lines.collect()
}

fn steps(alert: &Alert) -> Vec<Block> {
    let advice = alert.rule.advice.iter().take(LIST_MAX).map(|text| safe(text, SENTENCE_MAX));
    let mut blocks: Vec<Block> =
        advice.enumerate().map(|(index, text)| Block::Step(index + 1, text)).collect();
    if alert.rule.category != "ops" {
        blocks.extend(advice::blocking(alert));
    }
    blocks
}

fn why(alert: &Alert) -> String {
    let reached = match (alert.distinct, counted(alert)) {
        (None, _) if alert.count == 0 => "nothing came".to_owned(),
        (Some(count), Some(one)) => format!("{} counted", plural(count, one)),
        (Some(count), None) => format!("{count} different values counted"),
        (None, _) => format!("{} counted", plural(alert.count, "event")),
    };
    let attack = match alert.rule.attack.as_slice() {
        [] => String::new(),
        ids => format!(" ATT&CK {}.", list(ids, 20)),
    };
    format!(
        "Rule {} v{}, {}: {reached}, the limit is {} in {}.{attack}",
        rule_id(alert),
        alert.rule.version,
        alert.severity,
        alert.threshold,
        length(alert.window),
    )
}

/// How to answer: the commands, and what else keeps such mails away.
fn silence(alert: &Alert) -> Vec<Block> {
    if alert.state == AlertState::Resolved {
        let last = "This was the last mail about this alert. A new one comes if it starts again.";
        let mut blocks = vec![Block::Text(last.to_owned())];
        blocks.extend(answered::verdicts(alert));
        return blocks;
    }
    let mut blocks = answered::replies(alert);
    blocks.extend(answered::verdicts(alert));
    let text = format!(
        "Another mail comes when it gets worse or is over; after an ack only when it gets worse. If \
         it is expected again and again: write rule {} anew in a file of your own ([rules] files) \
         with a higher limit, allow this client or user until a day ([[allow]]), or name the rule \
         in [rules] disable.",
        rule_id(alert)
    );
    blocks.push(Block::Note(text));
    blocks
}

/// The transition that a mail is about: a reminder is one of its own.
pub(crate) fn transition(alert: &Alert) -> String {
    match is_reminder(alert) {
        true => format!("reminded-{}", alert.at.secs()),
        false => alert.transition(),
    }
}

fn is_reminder(alert: &Alert) -> bool {
    alert.part.as_ref().is_some_and(|part| part.step == Step::Reminded)
}

/// The code for people; empty for an id that was never ours.
pub(crate) fn code(alert: &Alert) -> String {
    if alert.id.is_ascii() { visible(&alert.code(), 16) } else { String::new() }
}

fn rule_id(alert: &Alert) -> String {
    visible(&alert.rule.id, VALUE_MAX)
}

fn is_login(alert: &Alert) -> bool {
    alert.rule.category == "authentication"
}

fn shout(severity: Severity) -> String {
    severity.name().to_ascii_uppercase()
}

/// White text on each of these has a contrast of at least 4.5.
fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "#4a5560",
        Severity::Low => "#2a5d84",
        Severity::Medium => "#8a5a00",
        Severity::High => "#b3261e",
        Severity::Critical => "#7a0019",
    }
}
