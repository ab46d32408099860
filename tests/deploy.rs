//! Holds the files of `deploy/` to the program: an example that is refused is worse than none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gatewatch::config::{Config, Problem};

/// Where the units expect the program.
const INSTALLED: &str = "/usr/bin/gatewatch";

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(deploy(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

fn gatewatch(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_gatewatch");
    Command::new(program).args(arguments).output().expect("the program runs")
}

/// All problems but those of files that this machine does not have.
fn problems(text: &str) -> Vec<String> {
    let file = PathBuf::from("gatewatch.toml");
    let found = Config::from_texts(&[(file.clone(), text.to_owned())]).err().unwrap_or_default();
    let of_the_text = |problem: &&Problem| problem.file.as_ref().is_none_or(|named| *named == file);
    found.iter().filter(of_the_text).map(Problem::to_string).collect()
}

/// The example with every setting in force: lines that begin with `#key` or `#[`, without a blank.
fn uncommented(text: &str) -> String {
    let bare = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
            format!("{rest}\n")
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(bare).collect()
}

/// The keys of each section of the example, commented or not; a sink's section has its type.
fn offered(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut sections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines() {
        let line = line.trim_start_matches('#').trim_start();
        if line.starts_with('[') && line.ends_with(']') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once(" = ")
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            if (section.as_str(), key) == ("sink", "type") {
                section = format!("sink {}", value.trim_matches('"'));
            }
            sections.entry(section.clone()).or_default().insert(key.to_owned());
        }
    }
    sections
}

/// The keys that the program knows in a section, as it lists them for one that it does not know.
fn known(section: &str) -> BTreeSet<String> {
    let text = match section.split_once(' ') {
        None if matches!(section, "source" | "channel" | "allow" | "maintenance" | "feed") => {
            format!("[[{section}]]\nqqqqqqqq = 1\n")
        }
        None => format!("[{section}]\nqqqqqqqq = 1\n"),
        Some((list, kind)) => format!("[[{list}]]\ntype = \"{kind}\"\nqqqqqqqq = 1\n"),
    };
    let found = problems(&text);
    let list = found.iter().find_map(|problem| problem.split_once("known are "));
    let (_, list) = list.unwrap_or_else(|| panic!("[{section}] lists no keys: {found:?}"));
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_example_configuration_is_sound_as_it_stands() {
    assert_eq!(Vec::<String>::new(), problems(&read("gatewatch.toml")));
    let path = deploy("gatewatch.toml");
    let check = gatewatch(&["check", "--no-network", "-c", path.to_str().expect("UTF-8")]);
    // A log or a folder may be missing here (1); a mistake in the file would be 78.
    let code = check.status.code();
    assert!(matches!(code, Some(0 | 1)), "{code:?}: {}", String::from_utf8_lossy(&check.stderr));
}

#[test]
fn the_example_configuration_is_sound_with_every_setting_in_force() {
    let text = uncommented(&read("gatewatch.toml"));
    let mut found = problems(&text);
    // The databases are not on every machine.
    found.retain(|problem| !problem.starts_with("client.geoip: /var/lib/GeoIP/"));
    assert_eq!(Vec::<String>::new(), found);
    let sources = text.lines().filter(|line| *line == "[[source]]").count();
    assert!(1 < sources, "nothing was uncommented");
}

#[test]
fn the_example_configuration_offers_every_setting() {
    let offered = offered(&read("gatewatch.toml"));
    let sections = problems("[qqqqqqqq]\n").join("");
    let sections = sections.split_once("known are ").expect("the list of sections").1;
    for section in sections.split(", ").filter(|section| *section != "sink") {
        assert!(offered.contains_key(section), "gatewatch.toml lacks [{section}]");
    }
    for kind in gatewatch::sink::SINKS.iter().map(|sink| sink.kind) {
        let section = format!("sink {kind}");
        assert!(offered.contains_key(&section), "gatewatch.toml lacks a sink of type {kind}");
    }
    // What every sink has is explained with one of them.
    let sinks = || offered.iter().filter(|(section, _)| section.starts_with("sink "));
    let mut common = known("sink file");
    sinks().for_each(|(section, _)| common.retain(|key| known(section).contains(key)));
    for (section, keys) in &offered {
        for key in known(section) {
            let is_explained = keys.contains(&key)
                || (common.contains(&key) && sinks().any(|(_, keys)| keys.contains(&key)));
            assert!(is_explained, "gatewatch.toml lacks {key} in [{section}]");
        }
    }
}

#[test]
fn units_and_cron_call_the_program_with_options_that_it_knows() {
    let mut calls = 0;
    for name in ["gatewatch.service", "gatewatch-once.service", "gatewatch.cron"] {
        for line in read(name).lines().filter(|line| !line.starts_with('#')) {
            let call = match line.split_once(INSTALLED) {
                Some((key, call)) if key.starts_with("Exec") => call,
                _ => match line.rsplit_once(" gatewatch ") {
                    Some((_, call)) if name.ends_with(".cron") => call,
                    _ => continue,
                },
            };
            let arguments: Vec<&str> = call.split_whitespace().chain(["--help"]).collect();
            let told = gatewatch(&arguments);
            assert!(told.status.success(), "{name}: {arguments:?}: {told:?}");
            calls += 1;
        }
    }
    assert_eq!(4, calls, "a call was not found");
}

#[test]
fn systemd_knows_every_key_of_the_units() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        let _ = writeln!(std::io::stderr(), "skipped: systemd-analyze is not installed");
        return;
    };
    assert!(version.status.success());
    let folder = tempfile::tempdir().expect("a folder");
    let mut units = Vec::new();
    for name in ["gatewatch.service", "gatewatch-once.service", "gatewatch-once.timer"] {
        let unit = folder.path().join(name);
        let text = read(name).replace(INSTALLED, env!("CARGO_BIN_EXE_gatewatch"));
        fs::write(&unit, text).expect("the folder can be written");
        units.push(unit);
    }
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(units).output();
    let verify = verify.expect("systemd-analyze runs");
    let said = String::from_utf8_lossy(&verify.stderr);
    assert!(verify.status.success() && !said.contains(folder.path().to_str().unwrap()), "{said}");
}

#[test]
fn the_units_offer_what_the_program_does() {
    let daemon = read("gatewatch.service");
    for key in ["Type=notify", "WatchdogSec=", "RestartPreventExitStatus=78"] {
        assert!(daemon.lines().any(|line| line.starts_with(key)), "gatewatch.service lacks {key}");
    }
    // SIGHUP only makes the daemon say that it has to be started anew.
    assert!(!daemon.lines().any(|line| line.starts_with("ExecReload=")));
    // The password is looked for under this name.
    for name in ["gatewatch.service", "gatewatch-once.service"] {
        assert!(read(name).contains("\n#LoadCredential=smtp-password:"), "{name}");
    }
}

#[test]
fn the_collector_is_sound_bash_and_explains_itself() {
    let script = deploy("collect-logs.sh");
    let syntax = Command::new("bash").arg("-n").arg(&script).output().expect("bash runs");
    assert!(syntax.status.success(), "{}", String::from_utf8_lossy(&syntax.stderr));
    let help = Command::new("bash").arg(&script).arg("--help").output().expect("bash runs");
    assert!(help.status.success());
    let help = String::from_utf8_lossy(&help.stdout);
    for line in read("README.md").lines().filter(|line| line.contains("collect-logs.sh --")) {
        for option in line.split_whitespace().filter(|word| word.starts_with("--")) {
            // Options of runuser end at the bare `--`.
            assert!(option == "--" || help.contains(option), "README.md: {option} is no option");
        }
    }
}
