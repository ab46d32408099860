//! `gatewatch backtest` and `gatewatch tune`: what other limits would have done with old logs.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use super::config::ConfigArgs;
use super::files::{self, Plan};
use super::input::InputArgs;
use super::output::{Form, Output};
use super::scan::progress_bar;
use super::{Refused, exit, rules};
use crate::backtest::tune::{Proposal, Scales, tune as search, with_scales};
use crate::backtest::{Backtest, Outcome, Raised, Setting, TRIALS_MAX};
use crate::config::Config;
use crate::engine::detect::rule::{Rule, SCALES};
use crate::engine::enrich::Enricher;
use crate::escape::{json_line, visible};
use crate::io::{Chance as _, Seeded};
use crate::notify::MailConfig;
use crate::units::{Period, nearest};

/// Shows what rules would have made of old logs: alerts, incidents and mails a week.
///
/// One rule can be swept over several limits, or two sets of rules compared. Rules, mails, people and
/// exceptions are those of the configuration, and the log's own times are the clock: it is the engine
/// of `run`, so what is counted is what would have come.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    gatewatch backtest --rule auth.bruteforce.user --sweep 10..40 /var/log/nginx/access.log*\n  \
    gatewatch backtest --compare rules.toml new.toml /var/log/nginx/access.log*")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    input: InputArgs,
    /// The rule that is swept
    #[arg(long, value_name = "ID", requires = "sweep", conflicts_with = "compare")]
    rule: Option<String>,
    /// Its limits, smallest and largest: the first number of the rule; its others keep their ratio
    #[arg(long, value_name = "FROM..TO", requires = "rule")]
    sweep: Option<Sweep>,
    /// Files of rules that take the place of those with the same ids: before and after
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    compare: Vec<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// Proposes limits for at most so many mails a week, measured on old logs.
///
/// Rules that mail most give way first. Nothing is changed: what is printed goes into the
/// configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    gatewatch tune --mails 5 /var/log/nginx/access.log*")]
pub(super) struct TuneArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    input: InputArgs,
    /// Mails a week that are welcome
    #[arg(long, value_name = "N", value_parser = mails)]
    mails: f64,
    /// Rules that keep their limits
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    keep: Vec<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// Limits that are tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Sweep {
    from: usize,
    to: usize,
}

impl FromStr for Sweep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let pair = text.split_once("..").and_then(|(from, to)| number(from).zip(number(to)));
        match pair {
            Some((from, to)) if 2 <= from && from <= to => Ok(Self { from, to }),
            _ => Err("write two numbers from 2 on, such as 5..30".to_owned()),
        }
    }
}

impl Sweep {
    /// The numbers that are tried: all, or as many as there may be, evenly apart.
    fn numbers(self) -> Vec<usize> {
        let count = (self.to - self.from + 1).min(TRIALS_MAX - 1);
        let at = |step: usize| self.from + (self.to - self.from) * step / (count - 1).max(1);
        (0..count).map(at).collect()
    }
}

fn mails(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=10_000.0).contains(number));
    number.ok_or_else(|| "write how many mails a week are welcome, such as 5".to_owned())
}

/// What is tried, and over what.
struct Bench {
    plan: Plan,
    enricher: Arc<Enricher>,
    setting: Setting,
    rules: Vec<Rule>,
    weeks: f64,
}

impl Bench {
    fn new(config: &Config, input: &InputArgs) -> Result<Self> {
        let plan = input.plan()?;
        let mut mail = config.mail.clone();
        if !mail.is_enabled() {
            // What would be mailed, if mails were sent.
            mail = MailConfig { directory: Some(config.store.path.join("mail")), ..mail };
        }
        let circumstances = config.circumstances.clone();
        let seed = Seeded::from_machine().next_u64();
        let mut enricher = input.enricher()?;
        enricher.roster.clone_from(&config.enricher().roster);
        Ok(Self {
            plan,
            enricher: Arc::new(enricher),
            setting: Setting { mail, circumstances, seed },
            rules: config.rules.clone(),
            weeks: 0.0,
        })
    }

    /// Shows all files to the sets of rules.
    fn run(&mut self, sets: Vec<Vec<Rule>>) -> Result<Vec<Outcome>> {
        let mut backtest = Backtest::new(sets, &self.setting);
        let bar = progress_bar(&self.plan.paths);
        let (now, threads) = (self.plan.now, self.plan.workers);
        let finished = files::read(
            &self.plan,
            &self.enricher,
            || (),
            |(), _| (),
            |done| {
                backtest.see(&done.batch, now, threads);
                Ok(())
            },
            |bytes| bar.inc(bytes),
        )?;
        bar.finish_and_clear();
        if finished.code != exit::OK {
            return Err(Refused::no_input("a log could not be read to its end".to_owned()));
        }
        self.weeks = backtest.weeks();
        Ok(backtest.finish())
    }

    fn per_week(&self, count: u64) -> f64 {
        count as f64 / self.weeks.max(1.0 / 7.0)
    }

    fn rule(&self, id: &str) -> Result<&Rule> {
        let found = self.rules.iter().find(|rule| rule.id == id);
        found.ok_or_else(|| {
            let near = nearest(id, self.rules.iter().map(|rule| rule.id.as_str()));
            let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            let id = visible(id);
            Refused::usage(format!("`{id}` is no rule: {hint}`gatewatch rules list` names them"))
        })
    }
}

/// Runs `backtest`.
pub(super) fn run(args: &Args) -> Result<u8> {
    let config = args.config.load()?;
    let mut bench = Bench::new(&config, &args.input)?;
    let mut out = Output::new();
    match (&args.rule, args.sweep, args.compare.as_slice()) {
        (Some(id), Some(sweep), _) => swept(&mut bench, id, sweep, args.output, &mut out)?,
        (_, _, [old, new]) => {
            let sets = [old, new].map(|path| with_files(&bench.rules, path));
            let [old, new] = sets;
            let outcomes = bench.run(vec![old?, new?])?;
            compared(&bench, &outcomes[0], &outcomes[1], args.output, &mut out)?;
        }
        _ => {
            let rules = bench.rules.clone();
            let outcome = bench.run(vec![rules])?.remove(0);
            totals(&bench, &outcome, args.output, &mut out)?;
        }
    }
    out.flush()?;
    Ok(exit::OK)
}

/// `rules`, some of them as a file has them.
fn with_files(rules: &[Rule], path: &PathBuf) -> Result<Vec<Rule>> {
    let own = rules::own(std::slice::from_ref(path))?;
    let is_replaced = |rule: &&Rule| own.iter().any(|one| one.id == rule.id);
    let kept = rules.iter().filter(|rule| !is_replaced(rule)).cloned();
    Ok(kept.chain(own.iter().cloned()).collect())
}

fn swept(bench: &mut Bench, id: &str, sweep: Sweep, output: Form, out: &mut Output) -> Result<()> {
    let rule = bench.rule(id)?;
    if !rule.can_be_scaled() {
        return Err(Refused::usage(format!("`{id}` has no number of events or values to sweep")));
    }
    let main = rule.main_limit();
    let numbers = sweep.numbers();
    let scales = |number: usize| {
        let factor = number as f64 / main as f64;
        Scales::from([(id.to_owned(), factor.clamp(*SCALES.start(), *SCALES.end()))])
    };
    let mut sets = vec![bench.rules.clone()];
    sets.extend(numbers.iter().map(|number| with_scales(&bench.rules, &scales(*number))));
    let outcomes = bench.run(sets)?;
    let (now, tried) = outcomes.split_first().expect("the rules as they are");
    if output == Form::Human {
        out.line(&format!("{id}, whose limit is {main}, over {}:\n", weeks(bench)))?;
        out.line(
            "limit   its alerts/week   all alerts   incidents   mails/week   median delay   lost",
        )?;
    }
    for (number, outcome) in numbers.iter().zip(tried) {
        let own = outcome.rules.get(id).map_or(0, |(alerts, _)| *alerts);
        let lost = outcome.lost(now).len();
        let of_rule = Outcome {
            raised: outcome.raised.iter().filter(|raised| raised.rule == id).cloned().collect(),
            ..Outcome::default()
        };
        let delay = of_rule.median_delay();
        match output {
            Form::Human => {
                let mark = if *number == main { "*" } else { " " };
                let seconds = |delay: Period| Period::from_secs(delay.secs()).to_string();
                let delay = delay.map_or_else(|| "-".to_owned(), seconds);
                out.line(&format!(
                    "{number:>5}{mark}  {:>15.1}   {:>10}   {:>9}   {:>10.1}   {delay:>12}   {lost:>4}",
                    bench.per_week(own),
                    outcome.alerts,
                    outcome.incidents,
                    bench.per_week(outcome.mails),
                ))?;
            }
            Form::Json => out.line(&json_line(&json!({
                "rule": id, "limit": number, "scale": *number as f64 / main as f64,
                "weeks": bench.weeks, "rule_alerts": own, "alerts": outcome.alerts,
                "incidents": outcome.incidents, "mails": outcome.mails,
                "median_delay_ms": delay.map(Period::ms), "lost": lost,
            })))?,
        }
    }
    if output == Form::Human {
        out.line("\n* as it is. Lost: alerts of the rules as they are that no longer come. To set one:\n")?;
        out.line(&format!("    [rules.scale]\n    \"{id}\" = LIMIT / {main}"))?;
    }
    Ok(())
}

fn compared(
    bench: &Bench,
    old: &Outcome,
    new: &Outcome,
    output: Form,
    out: &mut Output,
) -> Result<()> {
    if output == Form::Human {
        out.line(&format!("over {}:\n", weeks(bench)))?;
        out.line("                     old        new")?;
        for (name, of) in [
            ("alerts", (old.alerts, new.alerts)),
            ("incidents", (old.incidents, new.incidents)),
            ("mails", (old.mails, new.mails)),
        ] {
            out.line(&format!("{name:<14}{:>10}{:>11}", of.0, of.1))?;
        }
    }
    let sides = [("lost", new.lost(old)), ("gained", old.lost(new))];
    for (side, raised) in sides {
        if output == Form::Human {
            out.line(&format!("\n{side}: {}", raised.len()))?;
        }
        for one in raised {
            out.line(&shown(side, one, output))?;
        }
    }
    Ok(())
}

fn shown(side: &str, raised: &Raised, output: Form) -> String {
    let Raised { rule, about, at, .. } = raised;
    match output {
        Form::Human => format!("  {}  {rule:<32} {}", at.rfc3339(), visible(about)),
        Form::Json => json_line(&json!({
            "change": side, "rule": rule, "about": about, "at": at.rfc3339(),
        })),
    }
}

fn totals(bench: &Bench, outcome: &Outcome, output: Form, out: &mut Output) -> Result<()> {
    if output == Form::Json {
        let rules: serde_json::Map<String, serde_json::Value> = outcome
            .rules
            .iter()
            .map(|(id, (alerts, mailed))| (id.clone(), json!({"alerts": alerts, "mailed": mailed})))
            .collect();
        return out.line(&json_line(&json!({
            "weeks": bench.weeks, "alerts": outcome.alerts, "incidents": outcome.incidents,
            "mails": outcome.mails, "rules": rules,
        })));
    }
    out.line(&format!("over {}, each week:\n", weeks(bench)))?;
    for (name, count) in
        [("alerts", outcome.alerts), ("incidents", outcome.incidents), ("mails", outcome.mails)]
    {
        out.line(&format!("  {name:<10}{:>10.1}", bench.per_week(count)))?;
    }
    out.line("\nby rule                               alerts   mailed")?;
    let mut rules: Vec<_> = outcome.rules.iter().collect();
    rules.sort_by_key(|(id, (alerts, mailed))| (std::cmp::Reverse((*mailed, *alerts)), *id));
    for (id, (alerts, mailed)) in rules {
        out.line(&format!("  {id:<32}{alerts:>10}{mailed:>9}"))?;
    }
    Ok(())
}

/// Runs `tune`.
pub(super) fn run_tune(args: &TuneArgs) -> Result<u8> {
    if args.input.files.iter().any(|path| path.as_os_str() == "-") {
        let why = "the logs are read several times, which standard input cannot be; name files";
        return Err(Refused::usage(why.to_owned()));
    }
    let config = args.config.load()?;
    let mut bench = Bench::new(&config, &args.input)?;
    for id in &args.keep {
        bench.rule(id)?;
    }
    let rules = bench.rules.clone();
    // How many weeks there are is known after the first reading.
    let first = bench.run(vec![rules.clone()])?;
    let mails_max = args.mails * bench.weeks.max(1.0 / 7.0);
    let mut first = Some(first);
    let proposal = search(&rules, mails_max, &args.keep, |sets| match first.take() {
        Some(outcomes) => Ok(outcomes),
        None => bench.run(sets),
    })?;
    let mut out = Output::new();
    match args.output {
        Form::Human => proposed(&bench, &proposal, args.mails, &mut out)?,
        Form::Json => out.line(&json_line(&json!({
            "weeks": bench.weeks, "mails_asked": args.mails,
            "mails_now": bench.per_week(proposal.now.mails),
            "mails_then": bench.per_week(proposal.then.mails),
            "is_within": proposal.is_within, "scale": proposal.scales,
            "lost": proposal.then.lost(&proposal.now).len(),
        })))?,
    }
    out.flush()?;
    Ok(if proposal.is_within { exit::OK } else { exit::FOUND })
}

fn proposed(bench: &Bench, proposal: &Proposal, asked: f64, out: &mut Output) -> Result<()> {
    let now = bench.per_week(proposal.now.mails);
    out.line(&format!("Over {} there would have been {now:.1} mails a week.", weeks(bench)))?;
    if proposal.scales.is_empty() {
        let words = match proposal.is_within {
            true => "That is no more than you asked for: nothing has to change.",
            false => "No rule that mails has a limit to raise: look at `gatewatch backtest`.",
        };
        return out.line(words);
    }
    let then = bench.per_week(proposal.then.mails);
    let lost = proposal.then.lost(&proposal.now);
    out.line(&format!(
        "With these limits it is {then:.1}, and {} of {} alerts do not come:\n",
        lost.len(),
        proposal.now.alerts
    ))?;
    out.line("    [rules.scale]")?;
    for (id, factor) in &proposal.scales {
        let limits =
            bench.rule(id).map(|rule| (rule.main_limit(), rule.scaled(*factor).main_limit()));
        let (from, to) = limits?;
        out.line(&format!("    {:<40} # {from} becomes {to}", format!("\"{id}\" = {factor}")))?;
    }
    if !proposal.is_within {
        out.line(&format!(
            "\nThat is still more than {asked}: the rest comes from rules whose limits cannot be \
             raised further. `gatewatch backtest` names them."
        ))?;
    }
    let shown_max = 10;
    if !lost.is_empty() {
        out.line("\nWhat would not have come, for you to judge:")?;
    }
    for one in lost.iter().take(shown_max) {
        out.line(&shown("lost", one, Form::Human))?;
    }
    if shown_max < lost.len() {
        out.line(&format!("  and {} more", lost.len() - shown_max))?;
    }
    Ok(())
}

fn weeks(bench: &Bench) -> String {
    match bench.weeks {
        weeks if weeks < 1.0 => format!("{:.1} days", weeks * 7.0),
        weeks => format!("{weeks:.1} weeks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_tries_all_or_as_many_as_there_may_be() {
        let sweep = |text: &str| text.parse::<Sweep>().map(Sweep::numbers);
        assert_eq!(Ok(vec![5, 6, 7]), sweep("5..7"));
        assert_eq!(Ok(vec![4]), sweep("4..4"));
        let many = sweep("2..4000").expect("a sweep");
        assert_eq!(
            (TRIALS_MAX - 1, Some(&2), Some(&4000)),
            (many.len(), many.first(), many.last())
        );
        assert!(sweep("9..5").is_err() && sweep("1..5").is_err() && sweep("5").is_err());
    }
}
