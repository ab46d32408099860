//! `gatewatch test`: unit tests of rules.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use serde_json::json;

use super::config::ConfigArgs;
use super::output::{Form, Output, say};
use super::{Refused, exit, rules};
use crate::config::Config;
use crate::engine::detect::Circumstances;
use crate::engine::enrich::Enricher;
use crate::escape::{json_line, visible};
use crate::ruletest::{self, Bench, Case, Kind, Verdict};

/// Runs tests of rules: lines or generated events in, the expected alerts out.
///
/// Without a path the tests of the rules that come along are run. Of a folder all files *.test.toml
/// below it are, with the rules that lie there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    gatewatch test\n  \
    gatewatch test rules/ --junit report.xml\n  \
    gatewatch test --config /etc/gatewatch/gatewatch.toml --filter auth.")]
pub(super) struct Args {
    /// Test files, and folders of them and of rules
    paths: Vec<PathBuf>,
    /// Rules: a folder or a file of Sigma's (.yml) or ours (.toml)
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Configuration file: its rules, log-ins, roster, calendar and exceptions are those of the tests
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Runs only tests in whose rule or name this stands
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Writes a report for CI servers, in JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let bench = bench(args)?;
    let (mut cases, problems) = match args.paths.as_slice() {
        [] => ruletest::pack(),
        paths => ruletest::load(paths),
    };
    if !problems.is_empty() {
        for problem in &problems {
            say(&visible(&problem.to_string()));
        }
        return Err(Refused::config("test files cannot be used; nothing was run"));
    }
    if let Some(part) = &args.filter {
        cases.retain(|case| case.rule.contains(part) || case.name.contains(part));
    }
    if cases.is_empty() {
        let part = visible(args.filter.as_deref().unwrap_or_default());
        return Err(Refused::usage(format!("there is no test with `{part}` in its rule or name")));
    }
    let verdicts = run_all(&bench, &cases);
    print(args.output, &cases, &verdicts)?;
    if let Some(path) = &args.junit {
        write_junit(path, &ruletest::junit(cases.iter().zip(&verdicts)))?;
    }
    let failed = verdicts.iter().any(|verdict| !verdict.complaints.is_empty());
    Ok(if failed { exit::FOUND } else { exit::OK })
}

/// The rules that are tested, and what they see.
fn bench(args: &Args) -> Result<Bench> {
    let folders = args.paths.iter().filter(|path| path.is_dir());
    let paths: Vec<PathBuf> = args.rules.iter().chain(folders).cloned().collect();
    if args.config.is_none() {
        let rules = rules::in_force(&paths)?;
        return Ok(Bench {
            rules,
            enricher: Arc::new(Enricher::default()),
            circumstances: Circumstances::default(),
            seed: 1,
        });
    }
    let config: Config = ConfigArgs { config: args.config.clone() }.load()?;
    let enricher = Arc::new(config.enricher());
    let mut rules = config.rules;
    for rule in rules::read(&paths)?.alert_rules() {
        rules.retain(|known| known.id != rule.id);
        rules.push(rule);
    }
    Ok(Bench { rules, enricher, circumstances: config.circumstances, seed: 1 })
}

/// Runs the tests on all cores; the verdicts are in their order.
fn run_all(bench: &Bench, cases: &[Case]) -> Vec<Verdict> {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(index) else { return done };
            done.push((index, bench.run(case)));
        }
    };
    let mut verdicts = vec![Verdict::default(); cases.len()];
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers.min(cases.len())).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let done = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for (index, verdict) in done {
                verdicts[index] = verdict;
            }
        }
    });
    verdicts
}

fn print(form: Form, cases: &[Case], verdicts: &[Verdict]) -> Result<()> {
    let mut out = Output::new();
    let mut failed = 0;
    for (case, verdict) in cases.iter().zip(verdicts) {
        let has_passed = verdict.complaints.is_empty();
        failed += usize::from(!has_passed);
        if form == Form::Json {
            out.line(&json_line(&json!({
                "file": case.file, "line": case.line, "rule": case.rule, "name": case.name,
                "kind": case.kind.map(Kind::name), "passed": has_passed,
                "complaints": verdict.complaints,
            })))?;
            continue;
        }
        for complaint in &verdict.complaints {
            let Case { file, line, rule, name, .. } = case;
            out.line(&visible(&format!("{file}:{line}: {rule}: {name}: {complaint}")))?;
        }
    }
    if form == Form::Human {
        let (all, passed) = (cases.len(), cases.len() - failed);
        let tests = if all == 1 { "test" } else { "tests" };
        out.line(&format!("{all} {tests}: {passed} passed, {failed} failed"))?;
    }
    out.flush()
}

fn write_junit(path: &Path, report: &str) -> Result<()> {
    let written =
        std::fs::File::create(path).and_then(|mut file| file.write_all(report.as_bytes()));
    written.map_err(|error| {
        let path = visible(&path.display().to_string());
        Refused::cannot_create(format!("{path}: {error}; name a file that can be written"))
    })
}
