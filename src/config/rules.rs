//! Rules from folders: Sigma's and ours, found, read and reported on.
//!
//! Invariant: a file that cannot be used is told with its line and its reason, and loses no other.

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::detect::predicate::Predicate;
use crate::engine::detect::rule::{self, Rule};
use crate::engine::detect::sigma::{Collection, Compiled, Entry, State};

/// What stands in folders of rules.
#[derive(Clone, Debug, Default)]
pub struct RuleFolder {
    /// Rules in our own form.
    pub own: Vec<Rule>,
    /// Sigma's, and the report on all files.
    pub sigma: Compiled,
}

/// Files that are read at most: the published rules are about 4,000.
const FILES_MAX: usize = 20_000;

/// Bytes of a file that are read; more is refused with its name.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// How the name of a file ends that holds tests of rules: it may lie beside them, and is none.
pub const TEST_FILE_END: &str = ".test.toml";

/// Folders in each other.
const DEPTH_MAX: usize = 16;

impl RuleFolder {
    /// Reads all rules in `paths`: folders with all that lies below, or single files. What cannot
    /// be read at all is an error, with its path.
    pub fn read(paths: &[PathBuf]) -> Result<Self, (PathBuf, io::Error)> {
        let mut files = Vec::new();
        for path in paths {
            let known = std::fs::metadata(path).map_err(|error| (path.clone(), error))?;
            if known.is_dir() {
                let mut found = Vec::new();
                find(path, 0, &mut found).map_err(|error| (path.clone(), error))?;
                found.sort();
                files.extend(found);
            } else {
                files.push(path.clone());
            }
        }
        let mut folder = Self::default();
        let mut collection = Collection::default();
        let mut report = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let name = file.display().to_string();
            if number == FILES_MAX {
                collection
                    .refuse(&name, &format!("more than {FILES_MAX} files: the rest is left out"));
                break;
            }
            match text_of(file) {
                Err(reason) => collection.refuse(&name, &reason),
                Ok(text) if has_extension(file, &["toml"]) => {
                    folder.take_own(&name, &text, &mut report);
                }
                Ok(text) => collection.read(&name, &text),
            }
        }
        folder.sigma = collection.compile();
        folder.sigma.report.extend(report);
        folder.sigma.report.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Ok(folder)
    }

    fn take_own(&mut self, file: &str, text: &str, report: &mut Vec<Entry>) {
        let (rules, errors) = rule::parse_each(text);
        let entry = |id: &str, title: &str, state: State| {
            let is_it = |line: &str| {
                let line = line.trim_start();
                line.strip_prefix("id").is_some_and(|rest| {
                    rest.trim_start().starts_with('=') && rest.contains(&format!("\"{id}\""))
                })
            };
            let line = text.lines().position(is_it).map_or(1, |at| at + 1);
            let (id, title) = (id.to_owned(), title.to_owned());
            Entry { file: file.to_owned(), line, id, title, state, notes: Vec::new() }
        };
        for error in errors {
            let mut refused =
                entry(error.rule(), "", State::Rejected(first_line(error.complaint())));
            if let Some(line) = told_line(error.complaint()) {
                refused.line = line;
            }
            report.push(refused);
        }
        for rule in rules {
            if self.own.iter().any(|known| known.id == rule.id) {
                let state = State::Rejected("its id is that of a rule in another file".to_owned());
                report.push(entry(&rule.id, &rule.title, state));
                continue;
            }
            report.push(entry(&rule.id, &rule.title, State::Loaded));
            self.own.push(rule);
        }
    }

    /// The rules that raise alerts.
    pub fn alert_rules(&self) -> Vec<Rule> {
        self.own.iter().cloned().chain(self.sigma.alert_rules()).collect()
    }

    /// Id, title and condition of each rule that one event alone can meet.
    pub fn of_single_events(&self) -> Vec<(String, String, Predicate)> {
        let own = self.own.iter().filter(|rule| rule.is_of_single_events());
        let own = own.map(|rule| (&rule.id, &rule.title, &rule.condition));
        let sigma = self.sigma.rules.iter().map(|rule| (&rule.id, &rule.title, &rule.condition));
        own.chain(sigma).map(|(a, b, c)| (a.clone(), b.clone(), c.clone())).collect()
    }
}

fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            // A link to a folder above would lead round in circles.
            if depth < DEPTH_MAX {
                find(&path, depth + 1, found)?;
            }
        } else if has_extension(&path, &["yml", "yaml", "toml"])
            && !path.to_string_lossy().ends_with(TEST_FILE_END)
            && found.len() <= FILES_MAX
        {
            found.push(path);
        }
    }
    Ok(())
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| known.iter().any(|one| one.eq_ignore_ascii_case(extension)))
}

fn text_of(file: &Path) -> Result<String, String> {
    let size = std::fs::metadata(file).map(|data| data.len());
    if size.as_ref().is_ok_and(|size| FILE_BYTES_MAX < *size) {
        return Err(format!("the file is larger than {} KiB", FILE_BYTES_MAX >> 10));
    }
    std::fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}"))
}

/// The TOML parser draws an arrow over several lines; its last line says what is wrong.
fn first_line(complaint: &str) -> String {
    complaint.trim_end().lines().last().unwrap_or_default().to_owned()
}

fn told_line(complaint: &str) -> Option<usize> {
    let (_, rest) = complaint.split_once("at line ")?;
    rest.split(|one: char| !one.is_ascii_digit()).next()?.parse().ok()
}
