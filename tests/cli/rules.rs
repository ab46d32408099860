//! Rules from folders, at the command line.

use std::fs;

use super::*;

const FOUND: i32 = 1;

/// A folder with a rule, one that no log can evaluate, and one that is broken.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let rule = |id: &str, detection: &str| {
        format!(
            "title: Rule {id}\nid: {id}\nlogsource:\n    category: webserver\ndetection:\n    \
             s:\n        {detection}\n    condition: s\nlevel: high\n"
        )
    };
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    };
    write("a.yml", &rule("shell", "cs-uri-query|contains: /shell.php"));
    write("deep/b.yaml", &rule("cookie", "cs-cookie: x"));
    write("broken.yml", &rule("broken", "cs-uri-query|contians: x"));
    write("agent.yml", &rule("agent", "cs-user-agent|contains: probe"));
    folder
}

fn rules(arguments: &[&str], folder: &TempDir) -> Gatewatch {
    Gatewatch::new(arguments).file("--rules").file(folder.path())
}

#[test]
fn events_name_the_rules_that_match_them() {
    let folder = folder();
    let log = format!(
        "{}{}",
        line("203.0.113.9", 1, "/shell.php?c=id", 404),
        line("203.0.113.9", 2, "/", 200)
    );
    let outcome = rules(&["parse", "--detect"], &folder).input(log.clone()).run();
    assert_eq!(0, outcome.code);
    let events = outcome.objects();
    assert_eq!(serde_json::json!(["shell"]), events[0]["rule"]["id"]);
    assert_eq!(serde_json::json!(["Rule shell"]), events[0]["rule"]["name"]);
    assert!(events[1].get("rule").is_none());
    assert!(outcome.err.contains("broken.yml:7: rejected"), "{}", outcome.err);

    let alerts = rules(&["scan", "--output", "alerts"], &folder).input(log).run().objects();
    assert!(alerts.iter().any(|alert| alert["rule"]["id"] == "shell"), "{alerts:?}");
}

#[test]
fn what_became_of_each_file_is_listed() {
    let folder = folder();
    let outcome = rules(&["rules", "list"], &folder).run();
    assert_eq!(FOUND, outcome.code, "one is broken");
    assert!(outcome.out.contains("2 loaded, 1 unevaluable, 1 rejected"), "{}", outcome.out);
    assert!(outcome.out.contains("b.yaml:7: unevaluable"), "{}", outcome.out);
    let shown = rules(&["rules", "show", "shell"], &folder).run();
    assert!(shown.out.contains("url.original is a text with /shell.php"), "{}", shown.out);
    let unknown = rules(&["rules", "show", "shall"], &folder).run();
    assert_eq!(USAGE, unknown.code);
    assert!(unknown.err.contains("did you mean `shell`?"), "{}", unknown.err);
}

#[test]
fn coverage_names_what_a_format_lacks() {
    let folder = folder();
    let common = rules(&["rules", "coverage", "--format", "common"], &folder).run();
    assert!(common.out.contains("1 of 2 rules can be evaluated"), "{}", common.out);
    assert!(common.out.contains("user_agent.original would unlock 1 rule"), "{}", common.out);
    let combined = rules(&["rules", "coverage", "--format", "combined"], &folder).run();
    assert!(combined.out.contains("2 of 2 rules can be evaluated"), "{}", combined.out);
    let log = folder.path().join("access.log");
    fs::write(&log, line("203.0.113.9", 1, "/", 200)).expect("a log");
    let read = rules(&["rules", "coverage"], &folder).file(&log).run();
    assert!(read.out.contains("of 2 rules can be evaluated"), "{}", read.out);
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let outcome = Gatewatch::new(&["rules", "list", "--rules", "/nowhere/rules"]).run();
    assert_eq!(NO_INPUT, outcome.code);
    assert!(outcome.err.contains("/nowhere/rules"), "{}", outcome.err);
}

#[test]
fn adversaries_are_simulated_as_a_log_and_as_verdicts() {
    let list = Gatewatch::new(&["simulate", "--list"]).run().out;
    assert!(list.lines().any(|line| line.starts_with("slow-spray ")), "{list}");

    let quick = ["simulate", "--members", "20", "fast", "spray"];
    let log = Gatewatch::new(&quick).run().out;
    let found = Gatewatch::new(&["scan", "--output", "alerts"]).input(log).run().objects();
    let rules: BTreeSet<&str> =
        found.iter().filter_map(|alert| alert["rule"]["id"].as_str()).collect();
    let wanted = ["auth.bruteforce.client", "auth.spray.client"];
    assert!(wanted.iter().all(|rule| rules.contains(rule)), "{rules:?}");

    let told = Gatewatch::new(&[&quick[..], &["--detect"]].concat()).run();
    assert_eq!(0, told.code, "{}", told.out);
    let has = |start: &str| told.out.lines().any(|line| line.starts_with(start));
    assert!(has("spray                auth.spray.client                     8    7 min  8"));

    let unknown = Gatewatch::new(&["simulate", "fas"]).run();
    assert!(unknown.code == 2 && unknown.err.contains("did you mean `fast`?"), "{}", unknown.err);
}
