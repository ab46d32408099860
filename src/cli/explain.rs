//! `gatewatch explain`: one line, how it is understood, and what each rule makes of it; or an alert,
//! which `explain_alert` does.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::config::{ConfigArgs, complain};
use super::exit;
use super::explain_alert;
use super::facts::{Fact, Source, facts};
use super::input::{FormatArgs, host};
use super::output::{Form, Output, say};
use crate::config::Config;
use crate::engine::batch::{
    Action, AuthMethod, AuthOutcome, Confidence, Event, EventBatch, Field, Grade, Kind, Origin,
};
use crate::engine::detect::explain::{Verdict, explain, name_of};
use crate::engine::detect::rule::{self, Limit, Rule};
use crate::engine::format::{Column, Context, Format, FormatSet, detect, vote};
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::escape::{columns, cut, json_line, visible};
use crate::io::{Clock as _, SystemClock};

/// Explains a log line: each field with the bytes it came from, the verdict on a log-in with its
/// reason, and for each rule whether it matches and what decided that.
///
/// Of an alert, named by its code: what was counted, what the guards saw, which event made it fire,
/// and what other limits would have done with the lines that the store still holds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    gatewatch explain '192.0.2.7 - - [20/Nov/2026:07:00:06 +0000] \"GET / HTTP/1.1\" 200 5'\n  \
    tail -n 1 /var/log/nginx/access.log | gatewatch explain -\n  \
    gatewatch explain 7A2F-4C1D")]
pub(super) struct Args {
    /// The line, in quotes; `-` reads lines from standard input; or the code of an alert
    #[arg(value_name = "LINE|CODE")]
    line: String,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    format: FormatArgs,
    /// Rules that are asked beside those that come along: a file of ours (.toml), one of Sigma's
    /// (.yml), or a folder of both
    #[arg(long, value_name = "PATH")]
    rules: Option<std::path::PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// Lines explained in one call.
const MAX_BYTES: u64 = 1 << 20;

/// Columns of the report.
const WIDTH: usize = 100;

/// How a line came to its format.
struct Reading {
    definition: String,
    /// Told to people.
    how: String,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    if explain_alert::is_code(&args.line) {
        let config = args.config.load_for_state()?;
        return explain_alert::run(&args.line, &config, args.output);
    }
    let text = match args.line.as_str() {
        "-" => {
            let mut bytes = Vec::new();
            let input = std::io::stdin().lock();
            input.take(MAX_BYTES).read_to_end(&mut bytes).context("cannot read standard input")?;
            bytes
        }
        line => line.as_bytes().to_vec(),
    };
    let rules = rules(args.rules.as_deref())?;
    let now = SystemClock.now();
    let times = TimeReader::new(args.format.zone()?, now);
    let reading = reading(args.format.definition()?, &text, &times);
    let formats = FormatSet::from_definition(&reading.definition)?;
    let mut parser = Parser::new(formats, times.clone(), Arc::new(args.format.enricher()?));
    let mut batch = EventBatch::default();
    let origin = Arc::new(Origin { host: host(), ..Origin::default() });
    let part = Text { origin, bytes: text, from: 0, truncated_last: false, read_at: now };
    parser.fill(&mut batch, part);
    let mut out = Output::new();
    for (index, event) in batch.events().enumerate() {
        let facts = facts(&event, &columns_of(&event, &reading.definition, &times));
        let of_events = rules.iter().filter(|rule| rule.looks_at_events());
        let verdicts: Vec<(&Rule, Verdict)> =
            of_events.map(|rule| (rule, explain(&rule.condition, &event))).collect();
        match args.output {
            Form::Human => {
                if 0 < index {
                    out.line("")?;
                }
                show(&event, &reading, &facts, &verdicts, &mut out)?;
            }
            Form::Json => out.line(&json_line(&object(&event, &facts, &verdicts)))?,
        }
    }
    out.flush()?;
    let is_read = |event: Event<'_>| event.row().kind != Kind::ParseFailure;
    if batch.is_empty() {
        say("gatewatch: there is no line to explain");
        return Ok(exit::DATA);
    }
    Ok(if batch.events().all(is_read) { exit::OK } else { exit::DATA })
}

/// The rules that come along, and those of a file.
fn rules(file: Option<&Path>) -> Result<Vec<Rule>> {
    let Some(file) = file else { return Ok(rule::builtin()) };
    if file.extension().is_none_or(|extension| extension != "toml") {
        return super::rules::in_force(&[file.to_owned()]);
    }
    // As the daemon reads them, so that a mistake is told in the same words.
    let path = toml::Value::String(file.display().to_string());
    let text = format!("[rules]\nfiles = [{path}]\n");
    let config = Config::from_texts(&[("--rules".into(), text)]);
    config.map(|config| config.rules).map_err(|problems| complain(&problems))
}

fn reading(asked: String, text: &[u8], times: &TimeReader) -> Reading {
    if asked != "auto" {
        let how = match asked.split_once(':') {
            Some(_) => "the format given".to_owned(),
            None => format!("{asked}, as asked for"),
        };
        return Reading { definition: asked, how };
    }
    let definition = detect(text, &mut times.clone());
    let name = definition.strip_prefix("auto:").unwrap_or(&definition);
    let votes = vote(text, &mut times.clone());
    let own = votes.iter().find(|vote| vote.name == name && 0.0 < vote.score);
    let rest = votes.iter().find(|vote| vote.name != name && 0.0 < vote.score);
    let rest = rest.map_or_else(
        || "no other reads it".to_owned(),
        |vote| format!("runner-up {} {:.2}", vote.name, vote.score),
    );
    let how = match own {
        Some(own) => format!("{name}, found out: score {:.2}, {rest}", own.score),
        None if name.contains('>') => format!("{name}, found out"),
        None => "no format: none of them reads it".to_owned(),
    };
    Reading { definition, how }
}

/// The columns of the format that has read `event`.
fn columns_of(event: &Event<'_>, definition: &str, times: &TimeReader) -> Vec<Column> {
    let format = match definition.split_once(':') {
        Some(("written", text)) => Format::written(text),
        _ => Format::named(event.row().format),
    };
    let mut times = times.clone();
    format.map_or_else(
        |_| Vec::new(),
        |format| format.columns(event.line(), &mut Context { times: &mut times }),
    )
}

fn show(
    event: &Event<'_>,
    reading: &Reading,
    facts: &[Fact],
    verdicts: &[(&Rule, Verdict)],
    out: &mut Output,
) -> Result<()> {
    let line = String::from_utf8_lossy(event.line());
    out.line(&visible(&line))?;
    let row = event.row();
    // With `auto`, an odd line may be read by another format.
    let is_found_out = reading.definition.starts_with("auto:");
    let is_other =
        reading.definition.strip_prefix("auto:").is_some_and(|name| !name.ends_with(row.format));
    let other = if row.kind != Kind::ParseFailure && is_found_out && is_other {
        format!("; this line by {}", row.format)
    } else {
        String::new()
    };
    out.line(&visible(&format!("read as {}{other}", reading.how)))?;
    out.line("")?;
    let width = |pick: fn(&Fact) -> &str, most: usize| {
        let longest = facts.iter().map(|fact| columns(&visible(pick(fact)))).max().unwrap_or(0);
        longest.min(most)
    };
    let (names, values) = (width(|fact| &fact.name, 32), width(|fact| &fact.value, 40));
    for fact in facts {
        let name = padded(&visible(&fact.name), names);
        let value = padded(&cut(&visible(&fact.value), values), values);
        out.line(&format!("  {name}  {value}  {}", whence(&fact.source)))?;
    }
    out.line("")?;
    for text in login(event) {
        out.line(&format!("  {text}"))?;
    }
    out.line("\n  rules")?;
    for (rule, verdict) in verdicts {
        let sign = if verdict.holds { "matches" } else { "no match" };
        let grounds = verdict.grounds.join("; ");
        let id = padded(&visible(&rule.id), 24);
        let text = format!("    {id}  {}  {}", padded(sign, 8), visible(&grounds));
        out.line(&cut(&text, 2 * WIDTH))?;
        if verdict.holds {
            out.line(&format!("{}  {}", " ".repeat(38), visible(&needed(rule, event))))?;
        }
    }
    Ok(())
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Bytes are counted from 1, as editors count columns.
fn whence(source: &Source) -> String {
    match source {
        Source::Line(range, name) => {
            let bytes = match range.len() {
                0 => format!("byte {}, empty", range.start + 1),
                1 => format!("byte {}", range.end),
                _ => format!("bytes {}-{}", range.start + 1, range.end),
            };
            match name {
                Some(name) => format!("{bytes}  {}", visible(name)),
                None => bytes,
            }
        }
        Source::Derived(how) => format!("derived: {}", visible(how)),
    }
}

/// The verdict on a log-in and what it rests on.
fn login(event: &Event<'_>) -> Vec<String> {
    let row = event.row();
    let proof =
        row.grade.map(|grade| format!("          proof {}: {}", grade.name(), proof(grade)));
    let Some(auth) = row.auth else {
        let mut lines = vec!["log-in    none".to_owned()];
        if row.action == Action::Logout {
            lines.push("          the end of a session, by its path".to_owned());
        }
        lines.extend(proof);
        return lines;
    };
    let counted = if auth.counted { "counts for the rules" } else { "does not count as a failure" };
    let reason = auth.reason.map_or_else(String::new, |reason| format!(", {}", reason.name()));
    let mut lines = vec![
        format!(
            "log-in    {}{reason}, by {}; confidence {}; {counted}",
            auth.outcome.name(),
            auth.method.name(),
            auth.confidence.name()
        ),
        format!("          evidence: {}", visible(&evidence(event, auth))),
    ];
    lines.extend(proof);
    lines
}

/// What a grade says about the user who is named.
fn proof(grade: Grade) -> &'static str {
    match grade {
        Grade::A => "the name was checked: this user was let in",
        Grade::B => "the application answers so after a success, and the user is named",
        Grade::C => "none: a name that the client claimed and nobody is known to have checked",
        Grade::D => "none: how the attempt ended is not in the log",
    }
}

fn evidence(event: &Event<'_>, auth: crate::engine::batch::Auth) -> String {
    let row = event.row();
    if row.kind != Kind::Access {
        return match auth.confidence {
            Confidence::Low => "the words of a log that clients can write into".to_owned(),
            Confidence::Medium | Confidence::High => "the words of the program itself".to_owned(),
        };
    }
    let text = |field: Field| {
        let value = event.field(field).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    };
    let status = row.status;
    if auth.outcome == AuthOutcome::Challenge {
        return format!(
            "{status} without a user name: the server asks for one, nothing was refused"
        );
    }
    if matches!(auth.method, AuthMethod::Basic | AuthMethod::Digest) {
        let whose = if row.empty_user { "an empty user name" } else { "a user name" };
        return format!(
            "{status} with {whose}: credentials were sent, and the server refused them"
        );
    }
    let known = match auth.confidence {
        Confidence::High => "the operator has said what its answers mean",
        Confidence::Medium => "its log-in page is known, and what its answers mean",
        Confidence::Low => "the path looks like a log-in; how the application answers is a guess",
    };
    let (method, path) = (text(Field::Method), text(Field::Path));
    let app = match row.login_app {
        "" | "site" => String::new(),
        app => format!(" of {app}"),
    };
    format!("{method} to {path}{app} answered {status}; {known}")
}

/// What it takes beside this event to raise an alert.
fn needed(rule: &Rule, event: &Event<'_>) -> String {
    let keys = rule.group_by.iter().map(|(name, subject)| match subject.text(event) {
        Some(value) => format!("{name} {}", String::from_utf8_lossy(&value)),
        None => format!("{name}, which this event lacks"),
    });
    let keys: Vec<String> = keys.collect();
    let about =
        if keys.is_empty() { String::new() } else { format!(" for {}", keys.join(" and ")) };
    let limits: Vec<String> = rule.limits.iter().map(|limit| reached(rule, limit)).collect();
    let mut text = format!("an alert needs {}{about}", limits.join(", or "));
    if let Some((subject, min)) = rule.sum {
        text.push_str(&format!(", with a sum of {} of at least {min}", name_of(subject)));
    }
    if rule.then.is_some() {
        text.push_str(", and then what the rule waits for");
    }
    if rule.first_seen.is_some() {
        text.push_str(", and a value that is new");
    }
    if let Some(share) = &rule.share {
        let percent = share.min * 100.0;
        text.push_str(&format!(", and at least {percent:.0} % of all that the rule weighs"));
    }
    text
}

/// A limit in words.
fn reached(rule: &Rule, limit: &Limit) -> String {
    let mut parts = Vec::new();
    if 1 < limit.events {
        parts.push(format!("{} of these", limit.events));
    }
    for (subject, min) in rule.distinct.iter().zip(&limit.values) {
        if 1 < *min {
            parts.push(format!("{min} different values of {}", name_of(*subject)));
        }
    }
    match parts.as_slice() {
        [] => "one of these".to_owned(),
        parts => format!("{} within {}", parts.join(" with "), limit.window),
    }
}

fn object(event: &Event<'_>, facts: &[Fact], verdicts: &[(&Rule, Verdict)]) -> Value {
    let fields = facts.iter().map(|fact| {
        let mut field = json!({ "name": fact.name, "value": fact.value });
        match &fact.source {
            Source::Line(range, name) => {
                field["bytes"] = json!([range.start, range.end]);
                field["column"] = json!(name);
            }
            Source::Derived(how) => field["derived"] = json!(how),
        }
        field
    });
    let login = event.row().auth.map(|auth| {
        json!({
            "outcome": auth.outcome.name(),
            "reason": auth.reason.map(|reason| reason.name()),
            "method": auth.method.name(),
            "confidence": auth.confidence.name(),
            "counted": auth.counted,
            "evidence": evidence(event, auth),
        })
    });
    let proof =
        event.row().grade.map(|grade| json!({ "grade": grade.name(), "says": proof(grade) }));
    let rules = verdicts.iter().map(|(rule, verdict)| {
        json!({
            "id": rule.id,
            "matches": verdict.holds,
            "grounds": verdict.grounds,
            "needs": verdict.holds.then(|| needed(rule, event)),
        })
    });
    json!({
        "line": String::from_utf8_lossy(event.line()),
        "format": event.row().format,
        "fields": fields.collect::<Vec<_>>(),
        "login": login,
        "proof": proof,
        "rules": rules.collect::<Vec<_>>(),
    })
}
