//! Lists of indicators: what a match looks like in each command, and what is told about the lists.

use super::*;

const LIST: &str = "# a list\n203.0.113.0/28 # botnet\n/shell.php\nevil[.]example\nnonsense\n";

/// Three clients, of which one is listed and one asks for something that is.
fn log() -> String {
    let lines = [
        line("203.0.113.7", 0, "/", 200),
        line("203.0.113.7", 9, "/", 200),
        line("198.51.100.1", 1, "/%73hell.php", 200),
        line("198.51.100.2", 2, "/index.html", 200),
    ];
    lines.concat()
}

fn folder() -> Folder {
    Folder::new().with("block.txt", LIST).with("access.log", log())
}

fn ask(command: &[&str], folder: &Folder) -> Outcome {
    let call = Gatewatch::new(command).file("--feeds").file(folder.path("block.txt"));
    call.file(folder.path("access.log")).run()
}

/// Rule, severity and indicator of each alert.
fn alerts(objects: &[Value]) -> Vec<String> {
    let of = |object: &Value| {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or("-");
        let pointers = ["/rule/id", "/gatewatch/alert/severity", "/threat/indicator/name"];
        pointers.map(text).join(" ")
    };
    objects.iter().map(of).collect()
}

#[test]
fn a_scan_tells_each_list_indicator_and_client_once() {
    let outcome = ask(&["scan", "--output", "alerts"], &folder());
    assert_eq!(0, outcome.code, "{outcome:?}");
    let objects = outcome.objects();
    let expected = ["ioc.client medium 203.0.113.0/28", "ioc.served high /shell.php"];
    assert_eq!(expected, *alerts(&objects));
    let alert = &objects[0];
    let message = alert["message"].as_str().expect("a sentence");
    let start = "203.0.113.7 is in the list block as 203.0.113.0/28 (botnet; list of ";
    assert!(message.starts_with(start), "{message}");
    assert_eq!("ioc", alert["rule"]["ruleset"]);
    assert_eq!(serde_json::json!(["ioc_match"]), alert["tags"]);
    assert_eq!(serde_json::json!(["intrusion_detection", "threat"]), alert["event"]["category"]);
    let told = "block.txt: 3 entries are in force, 1 cannot be read; line 5: it is no address, ";
    assert!(outcome.err.contains(told), "{outcome:?}");
}

#[test]
fn an_event_says_what_it_meets_and_a_line_is_explained() {
    let folder = folder();
    let events = ask(&["parse", "--detect"], &folder).objects();
    assert_eq!("block", events[0]["threat"]["feed"]["name"]);
    assert_eq!("ipv4-addr", events[0]["threat"]["indicator"]["type"]);
    assert_eq!("url.original", events[2]["gatewatch"]["threat"]["matched"]);
    assert_eq!(
        (Value::Null, Value::Null),
        (events[3]["threat"].clone(), events[3]["tags"].clone())
    );
    let line = line("203.0.113.7", 0, "/", 200);
    let call = Gatewatch::new(&["explain", line.trim_end()]).file("--feeds");
    let text = call.file(folder.path("block.txt")).run().out;
    let words: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for told in [
        "threat.indicator.name 203.0.113.0/28 derived: from a list of indicators",
        "ioc.request no match excluded: gatewatch.threat.matched is source.ip",
    ] {
        assert!(words.iter().any(|line| line.starts_with(told)), "{told}: {text}");
    }
    assert!(words.iter().any(|line| line.starts_with("ioc.client matches ")), "{text}");
}

#[test]
fn a_rule_of_the_operator_may_ask_for_the_list() {
    let rule = "schema = 1\n[[rule]]\nid = \"own\"\ntitle = \"Own\"\nwindow = \"1h\"\nthreshold = 2\n\
                where = { \"threat.feed.name\" = \"block\" }\ngroup_by = [\"threat.feed.name\"]\n\
                explain = \"{count} events meet {threat.feed.name}, the last {url.path}\"\n";
    let folder = folder().with("own.toml", rule);
    let call =
        Gatewatch::new(&["scan", "--output", "alerts", "--rules"]).file(folder.path("own.toml"));
    let call = call.file("--feeds").file(folder.path("block.txt"));
    let objects = call.file(folder.path("access.log")).run().objects();
    let own = objects.iter().find(|alert| alert["rule"]["id"] == "own").expect("an alert");
    assert_eq!("2 events meet block, the last /", own["message"]);
}

#[test]
fn a_list_that_cannot_be_used_is_refused_by_name() {
    let folder = folder().with("cut.json", r#"{"type":"bundle","objects":["#);
    let call = Gatewatch::new(&["scan", "--feeds"]).file(folder.path("cut.json"));
    let outcome = call.file(folder.path("access.log")).run();
    assert_eq!((USAGE, ""), (outcome.code, outcome.out.as_str()), "{outcome:?}");
    assert!(outcome.err.contains("cut.json: it is no STIX: "), "{outcome:?}");
}

#[test]
fn the_daemon_holds_lines_against_its_lists() {
    let place = Place::new(STDIN);
    let path = place.0.path("block.txt");
    fs::write(&path, LIST).expect("a list");
    let feed = format!("[[feed]]\nname = \"own\"\npath = {path:?}\nseverity = \"high\"\n");
    let config = fs::read_to_string(place.0.path("gatewatch.toml")).expect("the configuration");
    fs::write(place.0.path("gatewatch.toml"), format!("{config}{feed}")).expect("the same");
    let outcome = place.call(&["run", "--once"]).input(log()).run();
    assert_eq!(0, outcome.code, "{outcome:?}");
    let sunk = place.sunk();
    let (alerts_sunk, events): (Vec<Value>, Vec<Value>) =
        sunk.into_iter().partition(|one| one["event"]["kind"] == "alert");
    let rules = ["ioc.client high 203.0.113.0/28", "ioc.served critical /shell.php"];
    assert_eq!(rules, *alerts(&alerts_sunk));
    let listed = events.iter().filter(|event| event["threat"]["feed"]["name"] == "own");
    assert_eq!((3, 4), (listed.count(), events.len()));
}

#[test]
fn all_mistakes_of_lists_are_told_at_once() {
    let place = Place::new(
        "[[feed]]\npath = \"/a.txt\"\nconfidence_min = 101\nttl = \"0s\"\n\
         [[feed]]\npath = \"/b/a.txt\"\nformat = \"stix\"\ncolumns = { value = \"ip\" }\n\
         [[feed]]\npath = \"/c.txt\"\nurl = \"http://example.org/\"\n",
    );
    let outcome = place.call(&["check"]).run();
    assert_eq!(CONFIG, outcome.code, "{outcome:?}");
    for told in [
        "feed[0].confidence_min: 101 is more than 100",
        "feed[0].ttl: it must be longer than nothing; write `3650d` for always",
        "feed[1].name: two lists are called `a`; give each a `name` of its own",
        "feed[1].columns: only a list of `format = \"csv\"` has columns",
        "feed[2].url: there is no such setting",
    ] {
        assert!(outcome.err.contains(told), "{told}: {outcome:?}");
    }
}

#[test]
fn check_reads_the_lists() {
    let place = Place::new("[[source]]\npath = \"-\"\n[[feed]]\npath = \"/nowhere/a.txt\"\n");
    let outcome = place.call(&["check"]).run();
    assert_eq!(1, outcome.code, "{outcome:?}");
    let told = "! list a: /nowhere/a.txt cannot be read: No such file or directory";
    assert!(outcome.out.contains(told), "{outcome:?}");
}
