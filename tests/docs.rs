//! Holds the documents to the program: what they name is there, what they paste can be used.
//!
//! A page that names a command, a file or a setting that is gone misleads the person who needs it
//! most. Each complaint names the page and the line.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatewatch::config::Config;
use gatewatch::engine::detect::explain::name_of;
use gatewatch::engine::detect::rule::{self, Limit, Rule};
use gatewatch::engine::detect::{Reported, signature};
use gatewatch::history::{COLUMNS, SCHEMA_VERSION};
use gatewatch::serve::reference;

/// Pages for people, from the root of the repository.
const PAGES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "docs/limits.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "deploy/README.md",
    "deploy/gatewatch.toml",
    "deploy/gatewatch.cron",
    "deploy/gatewatch.service",
    "deploy/gatewatch-once.service",
    "deploy/gatewatch-once.timer",
    "docs/channels.md",
    "docs/compliance.md",
    "docs/detection.md",
    "docs/encodings.md",
    "docs/history.md",
    "docs/metrics.md",
    "docs/rhythm.md",
    "docs/rules.md",
    "docs/siem/elastic.md",
    "docs/siem/graylog.md",
    "docs/siem/loki.md",
    "docs/siem/opentelemetry.md",
    "docs/siem/qradar.md",
    "docs/siem/rsyslog.md",
    "docs/siem/sentinel.md",
    "docs/siem/splunk.md",
    "docs/siem/wazuh.md",
];

/// Folders whose files a page may name in backticks.
const FOLDERS: &[&str] =
    &["src/", "tests/", "deploy/", "docs/", "dashboards/", "templates/", "benches/", "examples/"];

/// Lines of the architecture page: more than this nobody reads.
const ARCHITECTURE_LINES_MAX: usize = 330;

const METRICS_HEAD: &str = "\
# Metrics

What `gatewatch run` serves at `/metrics`, on 127.0.0.1:9477 unless `serve.listen` says otherwise.
This page is made from the table in `src/serve/table.rs`
(`UPDATE_GOLDEN=1 cargo test --test docs`).

Counters begin at 0 when the daemon starts. `site` and `client_ip` hold text that senders of requests
can choose: their series are limited in number, and what finds no room counts as `other`. A client
that is no longer among the busiest loses its series, so rates of client metrics are right and sums
over all time are not.

";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Calls `complain` with each line of each page, and whether it is there to be pasted; fails with
/// all that it says.
#[track_caller]
fn check(mut complain: impl FnMut(&str, &str, bool) -> Option<String>) {
    let mut complaints = String::new();
    for page in PAGES {
        let mut fenced = false;
        for (index, line) in read(page).lines().enumerate() {
            fenced ^= line.starts_with("```");
            let indented = line.starts_with("    ") || line.starts_with("#   ");
            if let Some(complaint) = complain(page, line, fenced || indented) {
                writeln!(complaints, "{page}:{}: {complaint}", index + 1).expect("memory");
            }
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// The texts between backticks of a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The names of the commands, as the program lists them.
fn commands() -> BTreeSet<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_gatewatch")).arg("--help").output();
    let help = String::from_utf8(help.expect("the program runs").stdout).expect("UTF-8");
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let rows = list.take_while(|line| !line.is_empty());
    // What goes on from the row before is indented further.
    let rows = rows.filter(|row| !row.starts_with("   "));
    rows.filter_map(|row| row.split_whitespace().next()).map(str::to_owned).collect()
}

/// The words that follow `gatewatch` or `cargo run … --` where a command is pasted or quoted.
fn named_commands(line: &str, pasted: bool) -> Vec<&str> {
    let mut named = Vec::new();
    for start in ["gatewatch ", "cargo run --release -- "] {
        for (at, _) in line.match_indices(start) {
            let before = line[..at].chars().next_back();
            let word = line[at + start.len()..].split([' ', '`']).next().unwrap_or_default();
            let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
            let quoted = line[..at].matches('`').count() % 2 == 1;
            if is_word && (quoted || pasted) && matches!(before, None | Some(' ' | '`')) {
                named.push(word);
            }
        }
    }
    named
}

#[test]
fn every_command_that_a_page_names_exists() {
    let known = commands();
    assert!(known.contains("scan"), "{known:?}");
    let mut count = 0;
    check(|_, line, pasted| {
        let named = named_commands(line, pasted);
        count += named.len();
        let unknown = named.into_iter().find(|word| !known.contains(*word));
        unknown.map(|word| format!("`gatewatch {word}` is no command; known: {known:?}"))
    });
    assert!(20 < count, "only {count} commands were found");
}

#[test]
fn every_file_that_a_page_names_exists() {
    check(|_, line, _| {
        let is_path = |text: &&str| {
            FOLDERS.iter().any(|folder| text.starts_with(folder))
                && !text.contains(|c: char| c.is_ascii_uppercase() || " *{<…".contains(c))
        };
        let mut missing = quoted(line).filter(is_path).filter(|text| !root().join(text).exists());
        missing.next().map(|path| format!("there is no `{path}`"))
    });
}

#[test]
fn every_link_leads_to_a_file() {
    check(|page, line, _| {
        let folder = root().join(page).parent().map(Path::to_owned).unwrap_or_default();
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let mut missing =
            targets.filter(|target| !target.contains("://") && !folder.join(target).exists());
        missing.next().map(|target| format!("the link to {target} leads nowhere"))
    });
}

#[test]
fn every_configuration_that_a_page_shows_is_sound() {
    let mut count = 0;
    for page in PAGES.iter().filter(|page| page.ends_with(".md")) {
        let text = read(page);
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            // Rules and their tests have files of their own, and a test of their own below.
            if block.starts_with("schema = ") || block.starts_with("[[test]]") {
                continue;
            }
            let shown = Config::from_texts(&[(PathBuf::from(page), block.to_owned())]);
            assert!(shown.is_ok(), "{page}: {:#?}\n{block}", shown.err());
            count += 1;
        }
    }
    assert!(10 < count, "only {count} blocks were found");
}

#[test]
fn the_architecture_page_is_short_and_knows_every_module() {
    let page = read("ARCHITECTURE.md");
    let lines = page.lines().count();
    assert!(
        lines <= ARCHITECTURE_LINES_MAX,
        "{lines} lines; nobody reads more than {ARCHITECTURE_LINES_MAX}"
    );
    for line in read("src/lib.rs").lines() {
        let Some(module) = line.strip_prefix("pub mod ") else { continue };
        let entry = format!("\n**`{}`** ", module.trim_end_matches(';'));
        assert!(page.contains(&entry), "ARCHITECTURE.md: the code map lacks{entry}");
    }
}

#[test]
fn the_limits_are_where_their_page_says() {
    let page = read("docs/limits.md");
    for row in page.lines().filter(|line| line.contains("` in `")) {
        let names: Vec<&str> = quoted(row.rsplit('|').nth(1).unwrap_or_default()).collect();
        let (file, names) = names.split_last().expect("a file");
        let text = read(file);
        for name in names {
            // A setting is named with its section: `store.max_size`.
            let name = name.rsplit('.').next().unwrap_or(name);
            assert!(text.contains(name), "docs/limits.md: {file} does not set {name}");
        }
    }
}

#[test]
fn the_page_of_metrics_is_the_table() {
    check_page("docs/metrics.md", &format!("{METRICS_HEAD}{}", reference()));
}

#[test]
fn the_page_of_detection_is_the_tables() {
    check_page("docs/detection.md", &signature::page());
}

#[track_caller]
fn check_page(page: &str, made: &str) {
    let path = root().join(page);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, made).expect("a page that can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "{page} is old: UPDATE_GOLDEN=1 cargo test --test docs");
}

const RULES_HEAD: &str = "\
# Rules

What raises alerts. The rules below come with the program (`src/engine/detect/pack.toml`; this page
is made from them: `UPDATE_GOLDEN=1 cargo test --test docs`). Yours go into files that `files` in
`[rules]` names, and one with the id of a rule below replaces it. `disable` turns rules off, and the
allow-list keeps them silent about somebody, until a day and with the reason:

```toml
[rules]
disable = [\"http.crawl\"]

[[allow]]
name = \"uptime probe\"
clients = [\"192.0.2.10\"]
rules = [\"http.*\"]
expires = \"2027-06-30\"
reason = \"the provider's monitor asks once a minute\"
```

`[[maintenance]]` has alerts of some rules recorded and not mailed while you work on the servers: once, or every week.
Rules about log-ins are muted by their whole id only.

## Keys of a rule

| key | what it says |
|---|---|
| `id`, `version`, `title`, `category` | the name for machines, how often it changed, the name for people, and `authentication`, `web` or `ops` |
| `where` | which events count: fields and values, with `any`, `all`, `not` and modifiers such as `\"url.path|startswith\"` |
| `group_by` | what one alert is about: `client.net` (an IPv6 client is its /64), `client.prefix`, `user.name`, `site`, `source`, or several fields; empty: everything together |
| `window`, `threshold` | how many events within how long; the window slides and is exact |
| `distinct` | how many different values of a field, or a list of such limits that must all be reached |
| `or` | other limits, each with its own `window`, `threshold` or `distinct`; one is enough |
| `share` | the least part of the counted events among these and those that match `against`; with `windows` in each of them |
| `sum` | the least sum of a number within the window |
| `then` | fires only when such an event comes while the limit is reached; `unless_known` leaves out a group that had one within that time before |
| `steps`, `in_order` | instead of `where`: a list of conditions that must all be met within the window, in any order or in theirs |
| `first_seen` | fires on a value that the group did not have within `memory`, once the group has been known for `learn` |
| `hours` | only events of these hours count: `days`, `from`, `to`, in the zone of `[calendar]` |
| `absence` | fires when too few events, or values of `distinct`, have come by `check_at` on its `days` (counted `from` midnight): less than `min`, or than `roster_share` of the people of `[roster]`; not on holidays, nor on a day that was not watched from its beginning |
| `silence` | no `where`: fires when a source pauses for `min`, and `times` as long as its longest pause |
| `reported` | no `where`, `group_by = []`: the daemon reports it. `tamper`: a file is not what it was; `unreadable`, `delivery`: a source or a receiver is out of order for the `window`, longer than a run from cron lasts; `clock`: `threshold` lines in a row are off by more than the `window` |
| `flood` | no `where`: fires when a site gets `threshold` requests within the window and `times` what it expects, once it is known for `learn`, and more of them fail or they take longer |
| `covered_by` | rules whose alert about the same client, user or site says it already |
| `severity` | `info` and `low` are lines in the weekly report, `medium` and above are mails |
| `severity_field` | a field of the event that fires, which says it instead |
| `resolve_after` | how long the limit must not have been reached; half an hour, or a quarter of the window |
| `explain`, `advise`, `attack` | the sentence in the mail, what to do, and techniques of ATT&CK |

`gatewatch explain LINE` says of a line what each rule thinks of it. `gatewatch simulate --detect all`
shows which rule notices which adversary at which try, and what honest members raise. What the rules make of logs
of others, and at which line: `GATEWATCH_DATASETS=FOLDER cargo test --test datasets -- --nocapture`.

## The rules

| rule | severity | about | fires at |
|---|---|---|---|
";

/// How rules are tested: what stands behind the list of them.
const RULES_TESTS: &str = include_str!("../src/ruletest/page.md");
const RULES_LIMITS: &str = include_str!("../src/backtest/page.md");

fn limit_in_words(rule: &Rule, limit: &Limit) -> String {
    let mut parts = Vec::new();
    if 1 < limit.events {
        parts.push(format!("{} events", limit.events));
    }
    for (subject, min) in rule.distinct.iter().zip(&limit.values) {
        if 1 < *min {
            parts.push(format!("{min} `{}`", name_of(*subject)));
        }
    }
    if let Some((subject, min)) = rule.sum {
        parts.push(format!("a sum of `{}` of {min}", name_of(subject)));
    }
    match parts.is_empty() {
        true => "one event".to_owned(),
        false => format!("{} in {}", parts.join(" and "), limit.window),
    }
}

fn rules_page() -> String {
    let mut page = RULES_HEAD.to_owned();
    for rule in rule::builtin() {
        let groups: Vec<String> =
            rule.group_by.iter().map(|(name, _)| format!("`{name}`")).collect();
        let limits: Vec<String> =
            rule.limits.iter().map(|limit| limit_in_words(&rule, limit)).collect();
        let mut fires = limits.join(", or ");
        if let Some(silence) = rule.silence {
            fires = format!("a pause of {} and {} times its longest", silence.min, silence.times);
        }
        if let Some(absence) = &rule.absence {
            let share = absence.roster_share * 100.0;
            let times: Vec<String> = absence.check_at.iter().map(ToString::to_string).collect();
            fires = format!("less than {share:.0} % of the roster by {}", times.join(", "));
        }
        if let Some(flood) = rule.flood {
            fires.push_str(&format!(" and {} times what is usual; errors or slow", flood.times));
        }
        let mut groups = groups;
        if let Some(reported) = rule.reported {
            let window = rule.window();
            fires = match reported {
                Reported::Tamper => "once".to_owned(),
                Reported::Unreadable | Reported::Delivery => format!("after {window}"),
                Reported::Missing | Reported::Lull => {
                    "too little for the hour of the week".to_owned()
                }
                Reported::Guessing | Reported::Surge => {
                    "too much for the hour of the week".to_owned()
                }
                Reported::Clock => {
                    format!("{} lines off by more than {window}", rule.events_max())
                }
            };
            groups = reported.about().iter().map(|name| format!("`{name}`")).collect();
        }
        if let Some(share) = &rule.share {
            let _ = write!(fires, "; a share of {:.0} %", share.min * 100.0);
        }
        if rule.then.is_some() {
            fires.push_str("; then a success");
        }
        if let Some(first_seen) = rule.first_seen {
            fires = format!("a new `{}` in {}", name_of(rule.distinct[0]), first_seen.memory);
        }
        let about = if groups.is_empty() { "everything".to_owned() } else { groups.join(", ") };
        let (id, title, severity) = (&rule.id, &rule.title, rule.severity);
        let _ = writeln!(page, "| `{id}` {title} | {severity} | {about} | {fires} |");
    }
    page.push_str(RULES_LIMITS);
    page.push_str(RULES_TESTS);
    page
}

const HISTORY_HEAD: &str = include_str!("../src/history/page.md");

#[test]
fn the_page_of_the_archive_lists_its_columns() {
    let mut made = HISTORY_HEAD.to_owned();
    write!(
        made,
        "## Columns\n\nVersion {SCHEMA_VERSION}, which each file names as `gatewatch.schema`. A column is \
         never renamed and never gets another type; new ones come at the end. What an event does not \
         say is null.\n\n| column | type | what it says |\n|---|---|---|\n"
    )
    .expect("memory");
    for column in COLUMNS {
        let (name, about) = (column.name, column.about);
        writeln!(made, "| `{name}` | {} | {about} |", column.type_name()).expect("memory");
    }
    check_page("docs/history.md", &made);
}

#[test]
fn the_page_of_rules_is_that_of_the_pack() {
    let path = root().join("docs/rules.md");
    let made = rules_page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &made).expect("docs/rules.md can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/rules.md is old: UPDATE_GOLDEN=1 cargo test --test docs");
}

#[test]
fn the_rule_that_the_page_of_rules_tests_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let block = |start: &str| {
        let mut blocks = RULES_TESTS.split("```toml\n").skip(1);
        let block = blocks.find(|block| block.starts_with(start)).expect("a block");
        block.split("```").next().unwrap_or_default()
    };
    fs::write(folder.path().join("ours.toml"), block("schema = ")).expect("written");
    fs::write(folder.path().join("ours.test.toml"), block("[[test]]")).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatewatch"));
    let done = command.arg("test").arg(folder.path()).output().expect("the program runs");
    assert_eq!("3 tests: 3 passed, 0 failed\n", String::from_utf8_lossy(&done.stdout), "{done:?}");
    assert!(done.status.success(), "{done:?}");
}
