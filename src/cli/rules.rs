//! `gatewatch rules`: which rules there are, what one of them asks, and which of them a log can
//! evaluate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::input::FormatArgs;
use super::output::{Form, Output, say};
use super::{Refused, exit, files};
use crate::config::RuleFolder;
use crate::engine::detect::explain::{in_words, name_of};
use crate::engine::detect::rule::{self, Rule};
use crate::engine::detect::sigma::{Available, Coverage, Entry, State};
use crate::engine::format::{FORMATS, Format};
use crate::escape::{columns, json_line, visible};

/// Lists rules, shows one, or says which rules a log can evaluate.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
    Coverage(Box<CoverageArgs>),
}

/// Lists the rules that come along and those of folders, and says what became of each file.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Rules: a folder or a file of Sigma's (.yml) or ours (.toml)
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// Shows what one rule asks.
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Id of the rule
    id: String,
    /// Rules: a folder or a file of Sigma's (.yml) or ours (.toml)
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
}

/// Says which Sigma rules a log can evaluate, and which fields would unlock the others.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    gatewatch rules coverage --rules sigma/rules/web --format combined\n  \
    gatewatch rules coverage --rules sigma/rules/web /var/log/nginx/access.log")]
struct CoverageArgs {
    /// Log files whose lines show which fields there are; without one the format says it
    files: Vec<PathBuf>,
    /// Rules: a folder or a file of Sigma's (.yml)
    #[arg(long, value_name = "PATH", required = true)]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    format: FormatArgs,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    match &args.command {
        Command::List(args) => list(args),
        Command::Show(args) => show(args),
        Command::Coverage(args) => coverage(args),
    }
}

/// The rules of folders and files; what cannot be used of them is told.
pub(super) fn read(paths: &[PathBuf]) -> Result<RuleFolder> {
    let folder = read_quietly(paths)?;
    for entry in folder.sigma.report.iter().filter(|entry| entry.state != State::Loaded) {
        say(&format!("gatewatch: {}", visible(&told(entry))));
    }
    Ok(folder)
}

/// The rules that raise alerts: those that come along, and those of folders and files, of which
/// one with the id of another replaces it.
pub(super) fn in_force(paths: &[PathBuf]) -> Result<Vec<Rule>> {
    let mut rules = rule::builtin();
    for rule in own(paths)? {
        rules.retain(|known| known.id != rule.id);
        rules.push(rule);
    }
    Ok(rules)
}

/// The rules in `paths` that raise alerts.
pub(super) fn own(paths: &[PathBuf]) -> Result<Vec<Rule>> {
    Ok(read(paths)?.alert_rules())
}

fn read_quietly(paths: &[PathBuf]) -> Result<RuleFolder> {
    RuleFolder::read(paths).map_err(|(path, error)| {
        let path = visible(&path.display().to_string());
        Refused::no_input(format!("{path}: {error}; name a folder of rules, or a file"))
    })
}

/// `FILE:LINE: rejected: REASON (ID, TITLE)`
pub(super) fn told(entry: &Entry) -> String {
    let Entry { file, line, id, title, state, notes } = entry;
    let names: Vec<&str> =
        [id.as_str(), title.as_str()].into_iter().filter(|name| !name.is_empty()).collect();
    let reason = state.reason().map(str::to_owned).unwrap_or_else(|| notes.join("; "));
    let about = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    format!("{file}:{line}: {}: {reason}{about}", state.name())
}

fn list(args: &ListArgs) -> Result<u8> {
    let folder = read_quietly(&args.rules)?;
    let mut out = Output::new();
    let own: Vec<Rule> = rule::builtin().into_iter().chain(folder.own.iter().cloned()).collect();
    if args.output == Form::Json {
        for rule in &own {
            out.line(&json_line(&json!({
                "id": rule.id, "title": rule.title, "severity": rule.severity.name(),
                "kind": "gatewatch", "state": "loaded",
            })))?;
        }
        for entry in &folder.sigma.report {
            out.line(&json_line(&entry_object(entry)))?;
        }
        out.flush()?;
        return Ok(code(&folder));
    }
    let rows = own.iter().map(|rule| (&rule.id, rule.severity, &rule.title));
    let sigma = folder.sigma.rules.iter().map(|rule| (&rule.id, rule.severity, &rule.title));
    let counted = folder.sigma.correlations.iter();
    let counted = counted.map(|rule| (&rule.id, rule.severity, &rule.title));
    let rows: Vec<_> = rows.chain(sigma).chain(counted).collect();
    let width = rows.iter().map(|(id, ..)| columns(&visible(id))).max().unwrap_or(0).min(40);
    for (id, severity, title) in rows {
        let id = visible(id);
        let blanks = " ".repeat(width.saturating_sub(columns(&id)));
        out.line(&format!("{id}{blanks}  {:<8}  {}", severity.name(), visible(title)))?;
    }
    let odd = |entry: &&Entry| entry.state != State::Loaded || !entry.notes.is_empty();
    for entry in folder.sigma.report.iter().filter(odd) {
        out.line(&visible(&told(entry)))?;
    }
    if !args.rules.is_empty() {
        let [loaded, unevaluable, rejected] = folder.sigma.counts();
        out.line(&format!("{loaded} loaded, {unevaluable} unevaluable, {rejected} rejected"))?;
    }
    out.flush()?;
    Ok(code(&folder))
}

fn entry_object(entry: &Entry) -> Value {
    json!({
        "id": entry.id, "title": entry.title, "file": entry.file, "line": entry.line,
        "kind": "file", "state": entry.state.name(), "reason": entry.state.reason(),
        "notes": entry.notes,
    })
}

/// A rule that cannot be used is found, not suffered in silence.
fn code(folder: &RuleFolder) -> u8 {
    if folder.sigma.counts()[2] == 0 { exit::OK } else { exit::FOUND }
}

fn show(args: &ShowArgs) -> Result<u8> {
    let folder = read_quietly(&args.rules)?;
    let mut out = Output::new();
    let line = |out: &mut Output, name: &str, value: &str| {
        out.line(&format!("{name:<12}{}", visible(value)))
    };
    if let Some(rule) = folder.sigma.rules.iter().find(|rule| rule.id == args.id) {
        line(&mut out, "id", &rule.id)?;
        line(&mut out, "title", &rule.title)?;
        line(&mut out, "severity", rule.severity.name())?;
        line(&mut out, "from", &format!("{}:{}", rule.file, rule.line))?;
        line(&mut out, "techniques", &rule.attack.join(", "))?;
        line(&mut out, "alert", if rule.is_silent { "by a correlation" } else { "at once" })?;
        out.line("condition")?;
        out.line(&indented(&in_words(&rule.condition)))?;
        out.flush()?;
        return Ok(exit::OK);
    }
    let all: Vec<Rule> = folder
        .own
        .iter()
        .chain(&folder.sigma.correlations)
        .cloned()
        .chain(rule::builtin())
        .collect();
    if let Some(rule) = all.iter().find(|rule| rule.id == args.id) {
        let groups: Vec<&str> = rule.group_by.iter().map(|(name, _)| name.as_str()).collect();
        line(&mut out, "id", &rule.id)?;
        line(&mut out, "title", &rule.title)?;
        line(&mut out, "severity", rule.severity.name())?;
        line(&mut out, "techniques", &rule.attack.join(", "))?;
        line(&mut out, "alert", &format!("for each {}", groups.join(" and ")))?;
        for limit in &rule.limits {
            let mut text = format!("{} events within {}", limit.events, limit.window);
            for (subject, least) in rule.distinct.iter().zip(&limit.values) {
                text.push_str(&format!(", {least} values of {}", name_of(*subject)));
            }
            line(&mut out, "from", &text)?;
        }
        out.line("condition")?;
        out.line(&indented(&in_words(&rule.condition)))?;
        out.flush()?;
        return Ok(exit::OK);
    }
    if let Some(entry) = folder.sigma.report.iter().find(|entry| entry.id == args.id) {
        out.line(&visible(&told(entry)))?;
        out.flush()?;
        return Ok(exit::FOUND);
    }
    let sigma = folder.sigma.rules.iter().map(|rule| rule.id.as_str());
    let known = all.iter().map(|rule| rule.id.as_str()).chain(sigma);
    let near = crate::units::nearest(&args.id, known);
    let hint = near.map_or_else(
        || "`gatewatch rules list` names all of them".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Refused::usage(format!("`{}` is no rule; {hint}", visible(&args.id))))
}

fn indented(text: &[String]) -> String {
    text.iter().map(|line| format!("  {}", visible(line))).collect::<Vec<_>>().join("\n")
}

fn coverage(args: &CoverageArgs) -> Result<u8> {
    let folder = read_quietly(&args.rules)?;
    let available = available(args)?;
    let mut out = Output::new();
    let (mut full, mut other) = (0, 0);
    let mut locks: BTreeMap<String, usize> = BTreeMap::new();
    for rule in &folder.sigma.rules {
        let coverage = available.covers(rule);
        let (state, fields) = match &coverage {
            Coverage::Full => ("evaluated", String::new()),
            Coverage::OtherLog => ("other log", String::new()),
            Coverage::Locked(alone, all) if alone.is_empty() => ("locked", all.join(" and ")),
            Coverage::Locked(alone, _) => ("locked", alone.join(" or ")),
        };
        match coverage {
            Coverage::Full => full += 1,
            Coverage::OtherLog => other += 1,
            Coverage::Locked(..) => *locks.entry(fields.clone()).or_default() += 1,
        }
        if args.output == Form::Json {
            let fields = (!fields.is_empty()).then_some(&fields);
            out.line(&json_line(&json!({
                "id": rule.id, "title": rule.title, "state": state, "unlocked_by": fields,
            })))?;
        } else if !fields.is_empty() {
            let (id, title) = (visible(&rule.id), visible(&rule.title));
            out.line(&format!("{state}: {id}  {title}: would need {fields}"))?;
        }
    }
    for entry in folder.sigma.report.iter().filter(|entry| entry.state != State::Loaded) {
        match args.output {
            Form::Json => out.line(&json_line(&entry_object(entry)))?,
            Form::Human => out.line(&visible(&told(entry)))?,
        }
    }
    if args.output == Form::Human {
        let [_, unevaluable, rejected] = folder.sigma.counts();
        let rules = folder.sigma.rules.len();
        let locked: usize = locks.values().sum();
        out.line(&format!(
            "{full} of {rules} rules can be evaluated, {locked} need a field, {other} are about other logs; \
             {unevaluable} unevaluable anywhere, {rejected} rejected"
        ))?;
        let mut locks: Vec<_> = locks.into_iter().collect();
        locks.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (field, count) in locks {
            let rules = if count == 1 { "rule" } else { "rules" };
            out.line(&format!("  {field} would unlock {count} {rules}"))?;
        }
    }
    out.flush()?;
    Ok(exit::OK)
}

/// What the log has, by its lines or by its format.
fn available(args: &CoverageArgs) -> Result<Available> {
    let mut available = Available::default();
    if !args.files.is_empty() {
        let plan = args.format.plan(&args.files, 1)?;
        let enricher = Arc::new(args.format.enricher()?);
        let mut seen = Available::default();
        files::read(
            &plan,
            &enricher,
            || (),
            |(), batch| {
                let mut part = Available::default();
                batch.events().take(LINES_MAX).for_each(|event| part.add_event(&event));
                part
            },
            |done| {
                seen.merge(&done.made);
                Ok(())
            },
            |_| (),
        )?;
        return Ok(seen);
    }
    let definition = args.format.definition()?;
    let format = match definition.split_once(':') {
        Some(("written", text)) => Format::written(text)?,
        Some(("regex", pattern)) => Format::regex(pattern)?,
        _ if definition == "auto" => {
            return Err(Refused::usage("name a log file, or its --format or --log-format"));
        }
        _ => Format::named(&definition)?,
    };
    let Some(names) = format.names() else {
        let known = FORMATS
            .iter()
            .filter(|entry| Format::named(entry.name).is_ok_and(|format| format.names().is_some()));
        let known: Vec<&str> = known.map(|entry| entry.name).collect();
        return Err(Refused::usage(format!(
            "which fields `{}` has differs from line to line: name a log file of it (or one of {})",
            visible(&definition),
            known.join(", ")
        )));
    };
    available.add_names(names.into_iter());
    Ok(available)
}

/// Lines of each block that are looked at.
const LINES_MAX: usize = 1000;
