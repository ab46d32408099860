//! Tests of rules, at the command line.

use std::fs;

use super::*;

/// A folder with a rule, its tests (the second of them fails), and a log that one of them names.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("written");
    };
    write(
        "ours.toml",
        "schema = 1\n[[rule]]\nid = \"ours.door\"\ntitle = \"Door\"\nwhere = { \"url.path\" = \
         \"/door\" }\ngroup_by = [\"client.net\"]\nwindow = \"1m\"\nthreshold = 2\n",
    );
    write(
        "ours.test.toml",
        "[[test]]\nrule = \"ours.door\"\nname = \"twice\"\nlines = \"door.log\"\nexpect = [{ \
         at_event = 3 }]\n\n[[test]]\nrule = \"ours.door\"\nname = \"once <&>\"\nevents = [{ set = \
         { path = \"/door\" } }]\nexpect = [{}]\n",
    );
    let log = ["/door", "/", "/door"].map(|path| line("203.0.113.9", 1, path, 200)).concat();
    write("door.log", &log);
    folder
}

fn test(arguments: &[&str], folder: &TempDir) -> Gatewatch {
    Gatewatch::new(&[&["test"], arguments].concat()).file(folder.path())
}

#[test]
fn the_rules_that_come_along_pass_their_tests() {
    let outcome = Gatewatch::new(&["test"]).run();
    assert_eq!(0, outcome.code, "{}", outcome.out);
    assert!(outcome.out.ends_with(" passed, 0 failed\n"), "{}", outcome.out);
    let none = Gatewatch::new(&["test", "--filter", "no.such.rule"]).run();
    assert_eq!(USAGE, none.code);
    assert!(none.err.contains("no test with `no.such.rule`"), "{}", none.err);
}

#[test]
fn a_folder_of_rules_is_tested_and_what_fails_is_told_to_people_and_servers() {
    let folder = folder();
    let report = folder.path().join("junit.xml");
    let outcome = test(&[], &folder).file("--junit").file(&report).run();
    assert_eq!(1, outcome.code, "{} {}", outcome.out, outcome.err);
    let wanted = "ours.test.toml:7: ours.door: once <&>: expected an alert of ours.door, got nothing\n2 tests: 1 passed, 1 failed\n";
    assert!(outcome.out.ends_with(wanted), "{}", outcome.out);
    let xml = fs::read_to_string(&report).expect("a report");
    assert!(
        xml.contains("<testsuites name=\"gatewatch test\" tests=\"2\" failures=\"1\">"),
        "{xml}"
    );
    assert!(xml.contains("name=\"once &#60;&#38;&#62;\""), "{xml}");

    let objects = test(&["--output", "json"], &folder).run().objects();
    let passed: Vec<_> = objects.iter().map(|object| object["passed"].as_bool()).collect();
    assert_eq!([Some(true), Some(false)], *passed);
    assert_eq!(7, objects[1]["line"]);

    let filtered = test(&["--filter", "twice"], &folder).run();
    assert_eq!((0, "1 test: 1 passed, 0 failed\n"), (filtered.code, filtered.out.as_str()));
    let nowhere = test(&["--junit", "/nowhere/junit.xml"], &folder).run();
    assert!(nowhere.err.contains("/nowhere/junit.xml"), "{}", nowhere.err);
}

#[test]
fn a_test_file_that_cannot_be_used_runs_nothing() {
    let folder = folder();
    let path = folder.path().join("ours.test.toml");
    let text = fs::read_to_string(&path).expect("a test file");
    fs::write(&path, text.replace("lines =", "linse =")).expect("written");
    let outcome = test(&[], &folder).run();
    assert_eq!((CONFIG, ""), (outcome.code, outcome.out.as_str()));
    let wanted = "ours.test.toml:4: test[0].linse: there is no such setting; did you mean `lines`?";
    assert!(outcome.err.contains(wanted), "{}", outcome.err);

    fs::remove_file(&path).expect("removed");
    let empty = test(&[], &folder).run();
    assert_eq!(CONFIG, empty.code);
    assert!(empty.err.contains("holds no file whose name ends in .test.toml"), "{}", empty.err);
    let missing = Gatewatch::new(&["test", "/nowhere/x.test.toml"]).run();
    assert_eq!(CONFIG, missing.code);
    assert!(missing.err.contains("/nowhere/x.test.toml: cannot be read"), "{}", missing.err);
}

#[test]
fn a_configuration_decides_which_rules_and_log_ins_there_are() {
    let folder = folder();
    let config = folder.path().join("gatewatch.toml");
    fs::write(&config, "[rules]\ndisable = [\"http.jndi\"]\n").expect("written");
    let outcome =
        Gatewatch::new(&["test", "--filter", "http.jndi", "--config"]).file(&config).run();
    assert_eq!(1, outcome.code);
    assert!(outcome.out.contains("`http.jndi` is no rule"), "{}", outcome.out);
}
