//! Holds dashboards and Prometheus rules to the metrics that exist.
//!
//! A panel that asks for a metric or label nobody exports shows "No data" and looks like peace.
//! So each name in each expression is looked up in the table of metrics, and where promtool is
//! installed it must accept every expression and the rules must pass their own tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatewatch::serve::METRICS;
use serde_json::Value;

/// Labels that Prometheus adds to every series it scrapes.
const TARGET_LABELS: [&str; 2] = ["instance", "job"];

/// Words of PromQL that are followed by a list of labels.
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Words of PromQL that stand where a metric could.
const OPERATORS: [&str; 9] =
    ["and", "or", "unless", "bool", "offset", "inf", "nan", "atan2", "start"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The dashboards with their file names.
fn dashboards() -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("dashboards"))
        .expect("the dashboards' folder")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a readable dashboard");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        (name, value)
    };
    files.into_iter().map(read).collect()
}

/// The panels of a dashboard, those inside closed rows as well.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let top = dashboard["panels"].as_array().expect("panels");
    let inner = |panel: &'_ Value| panel["panels"].as_array().is_some_and(|list| !list.is_empty());
    let mut all: Vec<&Value> = top.iter().collect();
    for panel in top.iter().filter(|panel| inner(panel)) {
        all.extend(panel["panels"].as_array().into_iter().flatten());
    }
    all
}

fn is_row(panel: &&Value) -> bool {
    panel["type"] == "row"
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("no text `{key}` in {value}"))
}

/// What an expression names.
#[derive(Debug, Default, PartialEq)]
struct Names {
    /// Metrics, each with the labels of its matchers.
    metrics: Vec<(String, Vec<String>)>,
    /// Labels in `by`, `on` and the like.
    grouping: Vec<String>,
}

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Sign(char),
}

/// Cuts an expression; texts, numbers, durations and ranges are left out.
fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = expression.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' | '\'' | '`' => {
                while let Some(inside) = chars.next() {
                    match inside {
                        '\\' if char != '`' => drop(chars.next()),
                        _ if inside == char => break,
                        _ => (),
                    }
                }
                tokens.push(Token::Sign('"'));
            }
            '[' => drop(chars.by_ref().find(|inside| *inside == ']')),
            '0'..='9' => {
                let more = |c: &char| c.is_ascii_alphanumeric() || *c == '.';
                while chars.next_if(more).is_some() {}
            }
            'a'..='z' | 'A'..='Z' | '_' | ':' => {
                let mut word = String::from(char);
                let more = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
                while let Some(next) = chars.next_if(more) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
            _ if char.is_whitespace() => (),
            _ => tokens.push(Token::Sign(char)),
        }
    }
    tokens
}

/// Finds the names in an expression. Enough of PromQL for our own expressions; promtool judges
/// the grammar.
fn names(expression: &str) -> Names {
    let tokens = tokens(expression);
    let mut names = Names::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Token::Word(word) = token else { continue };
        let next = tokens.get(at);
        if LABEL_LISTS.contains(&word.as_str()) && next == Some(&Token::Sign('(')) {
            let (labels, after) = words_until(&tokens, at + 1, ')');
            names.grouping.extend(labels);
            at = after;
        } else if next == Some(&Token::Sign('{')) {
            let (labels, after) = words_until(&tokens, at + 1, '}');
            names.metrics.push((word.clone(), labels));
            at = after;
        } else if !is_function(next) && !is_keyword(word) {
            names.metrics.push((word.clone(), Vec::new()));
        }
    }
    names
}

fn words_until(tokens: &[Token], from: usize, end: char) -> (Vec<String>, usize) {
    let mut words = Vec::new();
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::Sign(sign) if *sign == end => return (words, at + 1),
            Token::Word(word) => words.push(word.clone()),
            Token::Sign(_) => (),
        }
    }
    panic!("no `{end}` in {tokens:?}");
}

/// `rate(…)`, and `sum by (…) (…)`.
fn is_function(next: Option<&Token>) -> bool {
    match next {
        Some(Token::Sign('(')) => true,
        Some(Token::Word(word)) => word == "by" || word == "without",
        _ => false,
    }
}

fn is_keyword(word: &str) -> bool {
    OPERATORS.contains(&word.to_ascii_lowercase().as_str()) || LABEL_LISTS.contains(&word)
}

/// The labels of all that may be named: the table, what the rules record, and `up`.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let with_target = |labels: &[&str]| -> BTreeSet<String> {
        labels.iter().chain(&TARGET_LABELS).map(|label| (*label).to_owned()).collect()
    };
    let mut known: BTreeMap<String, BTreeSet<String>> =
        METRICS.iter().map(|entry| (entry.name.to_owned(), with_target(entry.labels))).collect();
    known.insert("up".to_owned(), with_target(&[]));
    for rule in rules() {
        if let Some(record) = rule.record {
            // A recorded series has the labels it was summed by.
            known.insert(record, names(&rule.expression).grouping.into_iter().collect());
        }
    }
    known
}

/// Checks the names of `expression`, and that `shown` labels can be in its result.
#[track_caller]
fn check_names(place: &str, expression: &str, shown: &[String]) {
    let known = known();
    let names = names(expression);
    assert!(!names.metrics.is_empty(), "{place}: no metric in `{expression}`");
    let mut possible = BTreeSet::new();
    for (metric, labels) in &names.metrics {
        let has = known.get(metric);
        let has = has.unwrap_or_else(|| panic!("{place}: no metric `{metric}`: `{expression}`"));
        for label in labels {
            assert!(has.contains(label), "{place}: `{metric}` has no label `{label}`");
        }
        possible.extend(has.iter().cloned());
    }
    for label in names.grouping.iter().chain(shown) {
        assert!(possible.contains(label), "{place}: no metric here has the label `{label}`");
    }
    let sums = ["sum", "max", "min", "avg", "count", "topk"].map(|name| format!("{name} by "));
    if expression.matches(" by (").count() == 1 && sums.iter().any(|sum| expression.contains(sum)) {
        for label in shown {
            let kept = names.grouping.contains(label);
            assert!(kept, "{place}: `{label}` is shown and summed away in `{expression}`");
        }
    }
}

/// The labels in a legend (`{{site}}`) or an annotation (`{{ $labels.site }}`).
fn shown_labels(text: &str) -> Vec<String> {
    let inside = text.split("{{").skip(1).filter_map(|part| part.split("}}").next());
    let label = |part: &str| {
        let name = part.trim();
        match name.strip_prefix("$labels.") {
            Some(label) => Some(label.split_whitespace().next().unwrap_or_default().to_owned()),
            None => (!name.starts_with('$')).then(|| name.to_owned()),
        }
    };
    inside.filter_map(label).collect()
}

/// A rule of `deploy/prometheus/gatewatch.rules.yml`.
#[derive(Debug, Default)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expression: String,
    /// All its lines.
    text: String,
}

const RULES: &str = "deploy/prometheus/gatewatch.rules.yml";

/// Reads the rules: each begins with `- record:` or `- alert:`, and an expression is one line or
/// a folded block. That is all of YAML the file uses.
fn rules() -> Vec<Rule> {
    let text = fs::read_to_string(root().join(RULES)).expect("the rules");
    let mut rules: Vec<Rule> = Vec::new();
    let mut block: Option<usize> = None;
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let (indent, content) = (line.len() - line.trim_start().len(), line.trim());
        if let Some(name) = content.strip_prefix("- record: ") {
            rules.push(Rule { record: Some(name.to_owned()), ..Rule::default() });
        } else if let Some(name) = content.strip_prefix("- alert: ") {
            rules.push(Rule { alert: Some(name.to_owned()), ..Rule::default() });
        }
        let Some(rule) = rules.last_mut() else { continue };
        rule.text.push_str(line);
        rule.text.push('\n');
        match content.strip_prefix("expr: ") {
            Some(">-") => block = Some(indent),
            Some(expression) => rule.expression = expression.to_owned(),
            None if block.is_some_and(|start| start < indent) => {
                rule.expression.push_str(content);
                rule.expression.push(' ');
            }
            None => block = None,
        }
    }
    rules
}

/// The expressions of a dashboard, each with the place it is at.
fn expressions(file: &str, dashboard: &Value) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let place = format!("{file}: {}", text(panel, "title"));
            let legend = text(target, "legendFormat").to_owned();
            all.push((place, text(target, "expr").to_owned(), legend));
        }
    }
    all
}

#[test]
fn every_name_in_a_dashboard_is_exported() {
    let mut count = 0;
    for (file, dashboard) in dashboards() {
        for (place, expression, legend) in expressions(&file, &dashboard) {
            check_names(&place, &expression, &shown_labels(&legend));
            count += 1;
        }
        for variable in dashboard["templating"]["list"].as_array().expect("variables") {
            let query = &variable["query"];
            if query.is_object() {
                let query = text(query, "query");
                let inside = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')'));
                let (series, label) = inside.and_then(|q| q.rsplit_once(", ")).expect(query);
                check_names(&file, series, &[label.to_owned()]);
                assert_eq!("StandardVariableQuery", text(&variable["query"], "refId"));
            }
        }
    }
    assert!(40 < count, "only {count} expressions were found");
}

#[test]
fn every_name_in_a_rule_is_exported() {
    let rules = rules();
    assert!(20 < rules.len(), "only {} rules were found", rules.len());
    for rule in &rules {
        let name = rule.alert.as_deref().or(rule.record.as_deref()).expect("a name");
        check_names(&format!("{RULES}: {name}"), &rule.expression, &shown_labels(&rule.text));
        if rule.alert.is_some() {
            assert!(rule.text.contains(" summary: "), "{name} has no summary");
            assert!(rule.text.contains(" description: "), "{name} has no description");
        }
    }
}

#[test]
fn dashboards_can_be_provisioned_as_files() {
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        let uid = text(&dashboard, "uid").to_owned();
        assert_eq!(format!("{uid}.json"), file);
        assert!(uid.len() <= 40 && uids.insert(uid), "{file}: the uid is long or used twice");
        assert!(dashboard["id"].is_null(), "{file}: an id belongs to one Grafana only");
        assert_eq!(39, dashboard["schemaVersion"], "{file}");
        assert!(dashboard.get("__inputs").is_none(), "{file}: provisioning leaves __inputs alone");
        let raw = dashboard.to_string();
        assert!(!raw.contains("${DS_"), "{file}: provisioning does not fill in ${{DS_…}}");
        let variables = dashboard["templating"]["list"].as_array().expect("variables");
        let names: Vec<&str> = variables.iter().map(|variable| text(variable, "name")).collect();
        assert_eq!(["datasource", "instance", "site"], *names, "{file}");
    }
    assert!(!uids.is_empty(), "no dashboards were found");
}

#[test]
fn every_panel_explains_itself_and_has_a_unit() {
    for (file, dashboard) in dashboards() {
        for panel in panels(&dashboard).into_iter().filter(|panel| !is_row(panel)) {
            let place = format!("{file}: {}", text(panel, "title"));
            assert!(text(panel, "description").ends_with('.'), "{place}: no sentence");
            assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "{place}");
            let targets = panel["targets"].as_array().expect("targets");
            let mut ids = BTreeSet::new();
            for source in targets.iter().chain([panel]).map(|part| &part["datasource"]) {
                assert_eq!("${datasource}", text(source, "uid"), "{place}");
            }
            assert!(targets.iter().all(|target| ids.insert(text(target, "refId"))), "{place}");
        }
    }
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    for (file, dashboard) in dashboards() {
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in panels(&dashboard) {
            let place = format!("{file}: {}", text(panel, "title"));
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{place}: id used twice");
            let side = |name: &str| panel["gridPos"][name].as_u64().expect("a position");
            let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
            assert!(x + w <= 24, "{place}: wider than the page");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{place}: overlaps another panel at {cell:?}");
            }
        }
    }
}

/// Runs promtool, or says that it is not there.
#[track_caller]
fn promtool(folder: &Path, arguments: &[&str]) {
    match Command::new("promtool").args(arguments).current_dir(folder).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "skipped: cannot run promtool: {error}");
        }
    }
}

#[test]
fn prometheus_accepts_every_expression_of_a_dashboard() {
    let mut file = String::from("groups:\n- name: dashboards\n  rules:\n");
    for (name, dashboard) in dashboards() {
        for (number, (_, expression, _)) in expressions(&name, &dashboard).iter().enumerate() {
            let expression = expression
                .replace("$__rate_interval", "5m")
                .replace("$__range", "1h")
                .replace(['$'], "");
            let quoted = Value::from(expression).to_string();
            file.push_str(&format!("  - record: dashboard:panel{number}\n    expr: {quoted}\n"));
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("dashboards.yml"), file).expect("a file");
    promtool(folder.path(), &["check", "rules", "dashboards.yml"]);
}

#[test]
fn prometheus_accepts_the_rules_and_they_pass_their_tests() {
    let folder = root().join("deploy/prometheus");
    promtool(&folder, &["check", "rules", "gatewatch.rules.yml"]);
    promtool(&folder, &["test", "rules", "gatewatch.rules.test.yml"]);
}

/// The names as text: `metric{label} by label`.
#[track_caller]
fn check(expression: &str, metrics: &[(&str, &[&str])], grouping: &[&str]) {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let expected = Names {
        metrics: metrics.iter().map(|(name, labels)| ((*name).to_owned(), owned(labels))).collect(),
        grouping: owned(grouping),
    };
    assert_eq!(expected, names(expression), "{expression}");
}

#[test]
fn names_are_found_in_expressions() {
    check("up", &[("up", &[])], &[]);
    check(r#"a{b="c{d}",e=~'f'} > 5m"#, &[("a", &["b", "e"])], &[]);
    check("sum by (x, y) (rate(a[5m])) / 2", &[("a", &[])], &["x", "y"]);
    check("sum(a) by (x)", &[("a", &[])], &["x"]);
    check("a * on (x) group_left () b offset 5m", &[("a", &[]), ("b", &[])], &["x"]);
    check("topk(10, a:b:c1m) or vector(1e-9) unless b", &[("a:b:c1m", &[]), ("b", &[])], &[]);
    check("rate(a{x=\"$x\"}[$__rate_interval])", &[("a", &["x"])], &[]);
}
