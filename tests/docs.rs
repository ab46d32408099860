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
    "docs/encodings.md",
    "docs/metrics.md",
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
const ARCHITECTURE_LINES_MAX: usize = 300;

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
    assert!(lines <= ARCHITECTURE_LINES_MAX, "{lines} lines; nobody reads more than 300");
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
    let path = root().join("docs/metrics.md");
    let made = format!("{METRICS_HEAD}{}", reference());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &made).expect("docs/metrics.md can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/metrics.md is old: UPDATE_GOLDEN=1 cargo test --test docs");
}
