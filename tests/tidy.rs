//! Checks of the source text itself: what a reviewer would otherwise say again and again.
//!
//! Each complaint names file, line and fix. Most checks look at [`Source::code`], in which comments
//! and the contents of strings are blank, so that a brace in a text or a word in a comment is not
//! taken for code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gatewatch::config::Config;
use gatewatch::engine::format::FORMATS;
use gatewatch::serve::METRICS;
use gatewatch::sink::SINKS;

/// The modules from the bottom up: each may import those of the rows above its own here, and
/// never a sibling on its row.
const ROWS: &[&[&str]] = &[
    &["escape", "units"],
    &["io"],
    &["engine", "sample"],
    &["store"],
    &["source", "sink"],
    &["history", "notify", "survey"],
    &["backtest", "report", "serve"],
    &["config"],
    &["daemon", "ruletest"],
    &["cli"],
    &["main"],
];

/// What the engine must never name: it would stop being repeatable.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "std::time",
    "std::sync::mpsc",
    "SystemTime",
    "Instant",
    "tokio",
    "rusqlite",
    "tracing",
    "new_v4",
    "thread_rng",
    "async fn",
    "async move",
    "async {",
    ".await",
];

/// What the engine may take from modules that could also do I/O.
const PURE_PARTS: &[(&str, &[&str])] =
    &[("std::net::", &["IpAddr", "Ipv4Addr", "Ipv6Addr"]), ("std::io::", &["Write"])];

/// The modules that may wait for the network.
const ASYNC: &[&str] = &["sink", "notify", "serve", "daemon", "cli"];

/// The part of a module that may, too: it listens where the rest of the module reads files.
const ASYNC_PART: &str = "src/source/listen/";

/// Lines of a file before its tests.
const FILE_LINES_MAX: usize = 600;

/// Files that may be longer: the file, its own limit, and why.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Columns of a line of code that rustfmt could have broken.
const COLUMNS_MAX: usize = 100;

/// What must not be in the repository, in two parts so that this file does not hold it.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("TO", "DO", "do it, or write down why it is not done"),
    ("FIX", "ME", "mend it"),
    ("XX", "X", "say what is meant"),
    ("todo", "!", "do it"),
    ("/ro", "ot/", "no path of one machine belongs here; use a placeholder"),
    ("/ho", "me/", "no path of one machine belongs here; use a placeholder"),
    ("/wo", "rk/", "no path of one machine belongs here; use a placeholder"),
];

/// Folders and files that are made, not written.
const NOT_OURS: &[&str] = &[".git", "target", "Cargo.lock"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Rust file.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
    /// The text with comments and the contents of strings replaced by blanks.
    code: String,
    /// Line, from 0, of the first `#[cfg(test)]`; 0 in a file that only tests use.
    tests_from: usize,
}

impl Source {
    fn read(path: &Path, is_test: bool) -> Self {
        let text = fs::read_to_string(path).expect("a source file in UTF-8");
        let code = without_texts(&text);
        let lines = code.lines().count();
        let tests = code.lines().position(|line| line.trim_start().starts_with("#[cfg(test)]"));
        let tests_from = if is_test { 0 } else { tests_module(&code, tests).unwrap_or(lines) };
        let path = relative(path);
        Self { path, text, code, tests_from }
    }

    /// The top-level module, such as `engine` of `src/engine/parse.rs`.
    fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split(['/', '.']).next().unwrap_or_default()
    }

    /// How many modules lie above, so that as many `super::` reach the root of the crate.
    fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let inside = inside.strip_suffix("/mod.rs").unwrap_or(inside);
        inside.split('/').count()
    }

    /// Lines of code with their numbers from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Lines of code that are in the product.
    fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(number, _)| *number <= self.tests_from)
    }

    fn at(&self, number: usize) -> String {
        format!("{}:{number}", self.path)
    }
}

/// Where the tests begin: at the first `#[cfg(test)]` in front of a module with a body.
fn tests_module(code: &str, first: Option<usize>) -> Option<usize> {
    let lines: Vec<&str> = code.lines().collect();
    (first?..lines.len()).find(|index| {
        let next = lines.get(index + 1).map_or("", |line| line.trim());
        lines[*index].trim_start().starts_with("#[cfg(test)]")
            && next.contains("mod ")
            && next.ends_with('{')
    })
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

/// Every file under `folder`, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a readable folder");
            pending.extend(entries.map(|entry| entry.expect("a readable entry").path()));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The Rust files under the named folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let paths: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| files(&root().join(folder)))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    assert!(!paths.is_empty(), "no sources in {folders:?}");
    let tests = test_files(&paths);
    paths.iter().map(|path| Source::read(path, tests.contains(path))).collect()
}

/// Files whose module stands behind `#[cfg(test)]`, and those in a folder of such a module.
fn test_files(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut tests = BTreeSet::new();
    for path in paths {
        let text = without_texts(&fs::read_to_string(path).expect("a source file in UTF-8"));
        let is_root = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| path.ends_with(name));
        let folder = if is_root { path.with_file_name("") } else { path.with_extension("") };
        for (line, next) in text.lines().zip(text.lines().skip(1)) {
            let name = next.trim().strip_suffix(';').and_then(|next| next.rsplit_once("mod "));
            if let (true, Some((_, name))) = (line.trim() == "#[cfg(test)]", name) {
                tests.insert(folder.join(format!("{name}.rs")));
                let inside = folder.join(name);
                tests.extend(paths.iter().filter(|path| path.starts_with(&inside)).cloned());
            }
        }
    }
    tests
}

/// Replaces comments and the contents of strings by blanks; lines stay where they are.
fn without_texts(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let before = at.checked_sub(1).map_or(b' ', |at| bytes[at]);
        let (kept, length) = if rest.starts_with(b"//") {
            (0, line_comment(rest))
        } else if rest.starts_with(b"/*") {
            (0, block_comment(rest))
        } else if !is_word(before) && raw_string(rest).is_some() {
            (1, raw_string(rest).unwrap_or(1))
        } else if rest[0] == b'"' {
            (1, string(rest))
        } else if rest[0] == b'\'' {
            (1, character(rest))
        } else {
            (1, 1)
        };
        code.extend_from_slice(&rest[..kept]);
        let blanks = rest[kept..length].iter();
        code.extend(blanks.map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
        // A string keeps its closing quote, so that it still looks like one.
        if rest[0] == b'"' && 1 < length {
            code.pop();
            code.push(b'"');
        }
        at += length;
    }
    String::from_utf8(code).expect("whole characters are replaced")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn line_comment(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len())
}

fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#` or `br"…"` at the start of `text`.
fn raw_string(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"b").unwrap_or(text).strip_prefix(b"r")?;
    let marks = rest.iter().take_while(|byte| **byte == b'#').count();
    let inside = rest[marks..].strip_prefix(b"\"")?;
    let end = [&b"\""[..], &b"#".repeat(marks)].concat();
    let length = inside.windows(end.len()).position(|window| window == end)?;
    Some(text.len() - inside.len() + length + end.len())
}

/// The length of `'x'`; 1 for the mark of a lifetime.
fn character(text: &[u8]) -> usize {
    match text {
        [_, b'\\', _, rest @ ..] => {
            3 + rest.iter().position(|byte| *byte == b'\'').map_or(0, |at| at + 1)
        }
        _ => {
            let inside = text.get(1..).unwrap_or_default();
            let first = std::str::from_utf8(&inside[..inside.len().min(4)])
                .map_or_else(|error| error.valid_up_to(), str::len);
            let shown = std::str::from_utf8(&inside[..first]).unwrap_or_default();
            let length = shown.chars().next().map_or(1, char::len_utf8);
            if inside.get(length) == Some(&b'\'') { length + 2 } else { 1 }
        }
    }
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The top-level modules that a line names, by `crate::` or by enough `super::`.
fn named_modules(line: &str, to_root: usize) -> Vec<String> {
    let mut names = Vec::new();
    let to_root = "super::".repeat(to_root);
    for start in ["crate::", to_root.as_str()] {
        for (at, _) in line.match_indices(start) {
            let is_path_inside = line[..at].ends_with("::") || line[..at].ends_with('$');
            let rest = &line[at + start.len()..];
            if !is_path_inside && !rest.starts_with("super::") {
                names.extend(first_names(rest));
            }
        }
    }
    names
}

/// `a` of `a::b`, or `a` and `c` of `{a::b, c}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(group[start..at].trim_start()));
                return names;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(group[start..at].trim_start()));
                start = at + 1;
            }
            _ => (),
        }
    }
    names.push(name(group[start..].trim_start()));
    names
}

#[test]
fn modules_import_only_what_the_architecture_allows() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| source.path != "src/lib.rs") {
        let module = source.module();
        let Some(row) = row_of(module) else {
            complaints
                .push(format!("{}: give `{module}` a row in ROWS of tests/tidy.rs", source.path));
            continue;
        };
        // A group that goes on over several lines is one import.
        for (number, statement) in statements(source) {
            let in_tests = source.tests_from < number && source.tests_from != 0;
            for name in named_modules(&statement, source.depth() + usize::from(in_tests)) {
                let Some(other) = row_of(&name) else { continue };
                if name != module && row <= other {
                    let place = source.at(number);
                    complaints.push(format!(
                        "{place}: `{module}` may not import `{name}`, which lies beside or above \
                         it; take what is needed as an argument or move it down"
                    ));
                }
            }
        }
    }
    none(&complaints);
}

/// Lines of code, with those of a group of imports joined to the first.
fn statements(source: &Source) -> Vec<(usize, String)> {
    let mut statements: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (number, line) in source.lines() {
        match statements.last_mut().filter(|_| is_open) {
            Some((_, statement)) => statement.push_str(line.trim()),
            None => statements.push((number, line.to_owned())),
        }
        let statement = statements.last().map_or("", |(_, statement)| statement);
        is_open =
            statement.contains("use ") && statement.contains("::{") && !statement.contains(';');
    }
    statements
}

#[test]
fn the_engine_is_pure() {
    let mut complaints = Vec::new();
    for source in sources(&["src/engine"]) {
        for (number, line) in source.product_lines() {
            let place = source.at(number);
            for name in IMPURE.iter().filter(|name| has_word(line, name)) {
                complaints.push(format!(
                    "{place}: the engine may not use `{name}`; take it as an argument"
                ));
            }
            for (path, allowed) in PURE_PARTS {
                for (at, _) in line.match_indices(path) {
                    let names = first_names(&line[at + path.len()..]);
                    for name in names.iter().filter(|name| !allowed.contains(&name.as_str())) {
                        complaints.push(format!(
                            "{place}: of `{path}` the engine may use {allowed:?}, not `{name}`"
                        ));
                    }
                }
            }
        }
    }
    none(&complaints);
}

/// `line` holds `name`, and not as a part of a longer word.
fn has_word(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].bytes().next_back().is_some_and(is_word);
        let after = line[at + name.len()..].bytes().next().is_some_and(is_word);
        let starts_as_word = name.bytes().next().is_some_and(is_word);
        let ends_as_word = name.bytes().next_back().is_some_and(is_word);
        !(before && starts_as_word || after && ends_as_word)
    })
}

#[test]
fn only_the_modules_at_the_network_are_asynchronous() {
    let mut complaints = Vec::new();
    let may_wait =
        |source: &&Source| ASYNC.contains(&source.module()) || source.path.starts_with(ASYNC_PART);
    for source in sources(&["src"]).iter().filter(|source| !may_wait(source)) {
        for (number, line) in source.lines() {
            if ["tokio", "async fn", "async move", ".await"].iter().any(|name| has_word(line, name))
            {
                let place = source.at(number);
                complaints
                    .push(format!("{place}: only {ASYNC:?} and {ASYNC_PART} may be asynchronous"));
            }
        }
    }
    none(&complaints);
}

#[test]
fn no_code_is_unsafe() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests"]) {
        for (number, _) in source.lines().filter(|(_, line)| has_word(line, "unsafe")) {
            complaints.push(format!("{}: use a crate that wraps it safely", source.at(number)));
        }
    }
    none(&complaints);
}

#[test]
fn files_are_short_enough_to_be_read() {
    let mut complaints = Vec::new();
    for source in sources(&["src"]) {
        let long = LONG_FILES.iter().find(|(path, ..)| *path == source.path);
        let limit = long.map_or(FILE_LINES_MAX, |(_, limit, _)| *limit);
        let lines =
            if source.tests_from == 0 { source.text.lines().count() } else { source.tests_from };
        if limit < lines {
            complaints.push(format!(
                "{}: {lines} lines before the tests, at most {limit}; move a part of it to a file of its own",
                source.at(limit + 1)
            ));
        }
        if long.is_some() && lines <= FILE_LINES_MAX {
            complaints
                .push(format!("{}: is no longer long; delete it from LONG_FILES", source.path));
        }
    }
    for (path, ..) in LONG_FILES.iter().filter(|(path, ..)| !root().join(path).is_file()) {
        complaints.push(format!("{path}: does not exist; delete it from LONG_FILES"));
    }
    none(&complaints);
}

#[test]
fn functions_fit_on_a_screen() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests"]) {
        for (name, first, last) in functions(&source.code) {
            let lines = last + 1 - first;
            if FUNCTION_LINES_MAX < lines {
                complaints.push(format!(
                    "{}: `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}; keep the \
                     branching and move the steps out",
                    source.at(first)
                ));
            }
        }
    }
    none(&complaints);
}

/// Every function with a body: its name, and its first and last line from 1.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut functions = Vec::new();
    let line_at = |at: usize| code[..at].bytes().filter(|byte| *byte == b'\n').count() + 1;
    for (at, _) in code.match_indices("fn ") {
        let is_keyword = at == 0 || !code[..at].bytes().next_back().is_some_and(is_word);
        let names = first_names(&code[at + 3..]);
        let name = names.into_iter().next().filter(|name| !name.is_empty());
        let (true, Some(name)) = (is_keyword, name) else { continue };
        if let Some(end) = body_end(&code[at..]) {
            functions.push((name, line_at(at), line_at(at + end)));
        }
    }
    functions
}

/// Where the body ends that follows a signature; `None` where there is only a signature.
fn body_end(code: &str) -> Option<usize> {
    let (mut braces, mut others) = (0usize, 0isize);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others -= 1,
            b';' if braces == 0 && others == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(at);
                }
            }
            _ => (),
        }
    }
    None
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests"]) {
        if !source.text.starts_with("//! ") {
            complaints.push(format!("{}: open it with `//!`: purpose and invariant", source.at(1)));
        }
    }
    none(&complaints);
}

#[test]
fn lines_are_neat() {
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests"]) {
        let texts = source.text.lines().zip(source.code.lines()).enumerate();
        for (index, (text, code)) in texts {
            let place = source.at(index + 1);
            if text.contains('\t') {
                complaints.push(format!("{place}: a tab; write blanks, or \\t in a string"));
            }
            if text.ends_with(' ') && !is_in_text(code, text) {
                complaints.push(format!("{place}: blanks at the end of the line"));
            }
            // Strings and comments are as long as they must be.
            if COLUMNS_MAX < text.chars().count() && !is_in_text(code, text) && !code.contains('"')
            {
                complaints.push(format!("{place}: more than {COLUMNS_MAX} columns; run cargo fmt"));
            }
        }
        if !source.text.ends_with('\n') || source.text.ends_with("\n\n") {
            complaints.push(format!("{}: ends in one line end", source.path));
        }
    }
    none(&complaints);
}

/// The line holds a part of a string or a comment.
fn is_in_text(code: &str, text: &str) -> bool {
    code.trim_end() != text.trim_end()
}

#[test]
fn nothing_is_left_undone_and_nothing_names_one_machine() {
    let mut complaints = Vec::new();
    for path in files(root()) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (index, line) in text.lines().enumerate() {
            for (head, tail, fix) in FORBIDDEN {
                if has_word(line, &format!("{head}{tail}")) {
                    let place = format!("{}:{}", relative(&path), index + 1);
                    complaints.push(format!("{place}: `{head}{tail}`: {fix}"));
                }
            }
        }
    }
    none(&complaints);
}

#[test]
fn every_format_has_a_golden_case() {
    let mut complaints = Vec::new();
    for entry in FORMATS {
        let folder = format!("tests/golden/format/{}", entry.name);
        let cases = fs::read_dir(root().join(&folder)).into_iter().flatten().flatten();
        if !cases.into_iter().any(|case| case.path().join("input.log").is_file()) {
            complaints.push(format!("{folder}: add a case with an input.log; see tests/golden.rs"));
        }
    }
    none(&complaints);
}

#[test]
fn every_metric_is_in_the_manual() {
    // The reference page is written from the table; a hand-written page must not fall behind it.
    let mut manuals = vec![root().join("tests/golden/metrics/reference.md")];
    manuals.extend(Some(root().join("docs/metrics.md")).filter(|page| page.is_file()));
    let mut complaints = Vec::new();
    for manual in manuals {
        let text = fs::read_to_string(&manual).expect("the reference of metrics");
        for metric in METRICS.iter().filter(|metric| !has_word(&text, metric.name)) {
            complaints.push(format!("{}: describe {}", relative(&manual), metric.name));
        }
    }
    none(&complaints);
}

#[test]
fn every_sink_example_and_every_shipped_configuration_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut complaints = Vec::new();
    for entry in SINKS {
        let path = folder.path().join("gatewatch.toml");
        fs::write(&path, entry.example).expect("written");
        match Config::load(&path) {
            Ok(config) if config.sinks.len() == 1 => (),
            Ok(_) => complaints.push(format!("the example of sink `{}` makes none", entry.kind)),
            Err(problems) => {
                complaints
                    .extend(problems.iter().map(|problem| format!("{}: {problem}", entry.kind)));
            }
        }
    }
    let shipped = ["deploy", "examples"].iter().map(|folder| root().join(folder));
    for path in shipped.filter(|folder| folder.is_dir()).flat_map(|folder| files(&folder)) {
        if path.file_name().is_some_and(|name| name == "gatewatch.toml")
            && let Err(problems) = Config::load(&path)
        {
            complaints
                .extend(problems.iter().map(|problem| format!("{}: {problem}", relative(&path))));
        }
    }
    none(&complaints);
}

#[test]
fn comments_and_strings_are_no_code() {
    let text =
        "let a = \"{ // \\\" }\"; // {\nlet b = '{'; let c: &'a str = r#\"\"{\"#; /* { \n */ d";
    let code = without_texts(text);
    assert_eq!(text.len(), code.len());
    assert_eq!(text.lines().count(), code.lines().count());
    assert!(!code.contains('{') && !code.contains('}'), "{code}");
    for kept in ["let a = \"", "let c: &'a str", "d"] {
        assert!(code.contains(kept), "{kept} in {code}");
    }
}

#[test]
fn imports_are_found_in_every_way_they_are_written() {
    assert_eq!(["io"], *named_modules("use crate::io::Clock;", 1));
    assert_eq!(["io", "units"], *named_modules("use crate::{io::{Clock, Chance}, units};", 1));
    assert_eq!(["sink"], *named_modules("    let a = super::super::sink::open();", 2));
    assert!(named_modules("use super::batch::Event;", 2).is_empty());
    assert!(named_modules("use super::super::batch::Event;", 3).is_empty());
}
