//! The commands about receivers and the store.

use std::fs;
use std::net::{TcpListener, UdpSocket};

use super::*;

const FOUND: i32 = 1;
const USAGE: i32 = 2;
const NO_INPUT: i32 = 66;
const UNAVAILABLE: i32 = 69;

/// A place that has read the ordinary log from standard input; `more` is configuration.
fn read(more: &str) -> Place {
    let place = Place::new(&format!("{STDIN}{more}"));
    place.call(&["run", "--once"]).input(ordinary_log()).run();
    place
}

/// `gatewatch COMMAND --config … ARGUMENTS`.
fn ask(place: &Place, command: &[&str], arguments: &[&str]) -> Outcome {
    arguments.iter().fold(place.call(command), Gatewatch::file).run()
}

/// An address on which nobody listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("tcp://{}", listener.local_addr().expect("an address"))
}

#[test]
fn status_tells_what_waits_and_why() {
    let address = closed_port();
    let place =
        read(&format!("[[sink]]\ntype = \"syslog\"\nname = \"siem\"\naddress = \"{address}\"\n"));
    let Outcome { code, out: text, .. } = ask(&place, &["status"], &[]);
    assert_eq!(FOUND, code, "{text}");
    assert!(text.contains("sink events (file): nothing waits"), "{text}");
    assert!(text.contains("sink siem (syslog): 20 events ("), "{text}");
    assert!(text.contains("last success: never"), "{text}");
    assert!(text.contains(&format!("cannot connect to {address}: ")), "{text}");
    let json = ask(&place, &["status"], &["--output", "json"]).out;
    let sinks: Vec<Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&"events".into(), &0.into()), (&sinks[0]["sink"], &sinks[0]["waiting_events"]));
    assert!(sinks[0]["last_success"].is_string() && sinks[0]["error"].is_null(), "{json}");
    assert_eq!((&20.into(), &"syslog".into()), (&sinks[1]["waiting_events"], &sinks[1]["type"]));
    assert!(sinks[1]["error"].is_string() && sinks[1]["last_success"].is_null(), "{json}");
}

#[test]
fn what_is_in_the_store_can_be_taken_out_and_checked() {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = receiver.local_addr().expect("an address");
    let place = read(&format!(
        "[[sink]]\ntype = \"syslog\"\nname = \"small\"\naddress = \"udp://{address}\"\n\
         max_message = \"100B\"\n"
    ));
    let log = ordinary_log();
    let lines = ask(&place, &["store", "export"], &["lines"]).out;
    assert_eq!(log, lines);
    let none = ask(&place, &["store", "export"], &["lines", "--source", "other"]).out;
    assert_eq!("", none);
    let events = ask(&place, &["store", "export"], &["events", "--encoding", "ecs"]).out;
    let ids = |text: &str| -> Vec<String> {
        let event = |line| serde_json::from_str::<Value>(line).expect("JSON");
        text.lines().map(|line| event(line)["event"]["id"].to_string()).collect()
    };
    let sunk: Vec<String> =
        place.sunk().iter().map(|event| event["event"]["id"].to_string()).collect();
    assert_eq!(sunk, ids(&events), "the same events as the sink wrote");

    let letters = ask(&place, &["store", "export"], &["dead-letters", "--sink", "small"]).out;
    let letters: Vec<Value> =
        letters.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(20, letters.len());
    assert_eq!("longer than a message may be: 100 bytes", letters[0]["reason"]);
    assert_eq!(log.lines().next(), letters[0]["body"].as_str());
    let text = ask(&place, &["status"], &[]).out;
    assert!(text.contains("20 dead letters; see them with: gatewatch store export"), "{text}");

    let Outcome { code, out: text, .. } = ask(&place, &["store", "inspect"], &[]);
    assert!(code == 0 && text.contains("source stdin: 20 lines, "), "{text}");
    assert!(text.contains("sink:small: frame 1 at "), "{text}");
    let Outcome { code, out: text, .. } = ask(&place, &["store", "verify"], &[]);
    assert!(code == 0 && text.contains("frames: 1 read, 0 damaged"), "{text}");
}

#[test]
fn a_preview_shows_what_would_be_sent() {
    let place = Place::new(
        "[[sink]]\ntype = \"syslog\"\nname = \"siem\"\naddress = \"tcp://192.0.2.1:601\"\nencoding \
         = \"cef\"\n",
    );
    let log = place.0.path("one.log");
    fs::write(&log, line("192.0.2.7", 1, "/a|b=c", 404).repeat(9)).expect("written");
    let log = log.to_str().expect("UTF-8");
    let shown = ask(&place, &["siem", "preview"], &["--sink", "siem", "-n", "2", log]);
    let text = shown.out;
    assert_eq!(0, shown.code, "{}", shown.err);
    assert_eq!(2, text.lines().count(), "{text}");
    assert!(text.starts_with("<133>1 20") && text.contains(" access - CEF:0|gatewatch|"), "{text}");
    let text = ask(&place, &["siem", "preview"], &["--encoding", "leef", log]).out;
    assert_eq!(5, text.lines().count());
    assert!(text.starts_with("LEEF:2.0|gatewatch|"), "{text}");
    let Outcome { code, err: errors, .. } =
        ask(&place, &["siem", "preview"], &["--sink", "other", log]);
    assert_eq!(USAGE, code);
    assert!(errors.contains("there is no sink `other`; there are events, siem"), "{errors}");
    let Outcome { code, err: errors, .. } = ask(&place, &["siem", "preview"], &[]);
    assert_eq!(NO_INPUT, code);
    assert!(errors.contains("name a log file instead"), "{errors}");
}

#[test]
fn a_canary_goes_the_way_of_events_and_can_be_found() {
    let address = closed_port();
    let place = Place::new(&format!(
        "[[sink]]\ntype = \"syslog\"\nname = \"siem\"\naddress = \"{address}\"\n"
    ));
    let Outcome { code, out: text, .. } = ask(&place, &["siem", "verify"], &["--sink", "siem"]);
    assert_eq!(UNAVAILABLE, code, "{text}");
    assert!(text.contains(&format!("FAILED   delivered  cannot connect to {address}: ")), "{text}");
    let Outcome { code, out: text, .. } = ask(&place, &["siem", "verify"], &["--sink", "events"]);
    assert!(code == 0, "{text}");
    let id = text.split("grep ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an id");
    let events = place.sunk();
    assert_eq!((1, Some(id)), (events.len(), events[0]["event"]["id"].as_str()));
    let message = events[0]["message"].as_str().expect("a message");
    assert!(message.starts_with("gatewatch canary "), "{message}");
}

/// A key file that only its owner may read.
fn key_file(folder: &Folder, name: &str, secret: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.path(name);
    fs::write(&path, secret.repeat(32)).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    path.display().to_string()
}

#[test]
fn the_privacy_report_names_each_place_and_each_receiver() {
    let folder = Folder::new();
    let key = key_file(&folder, "key", "a");
    let sinks = format!(
        "[[sink]]\ntype = \"file\"\nname = \"veiled\"\npath = {:?}\nleave_out = [\"url.query\"]\n\
         privacy = {{ mode = \"token\", key_file = {key:?} }}\n",
        folder.path("veiled.json")
    );
    let before = Place::new(&sinks);
    let shown = ask(&before, &["privacy", "report"], &[]);
    assert_eq!(0, shown.code, "before anything is stored: {}", shown.err);
    assert!(shown.out.contains("  frames of raw lines\n"), "{}", shown.out);

    let place = read(&sinks);
    let shown = ask(&place, &["privacy", "report"], &[]).out;
    assert!(shown.contains("frames of raw lines (20 lines): "), "{shown}");
    let veiled = "    where: veiled\n    what:  addresses as tokens, names of users as tokens, no raw \
                  lines, without url.query\n";
    assert!(shown.contains(veiled), "{shown}");
    assert!(shown.contains("    what:  addresses and names of users as logged"), "{shown}");

    let rows: Vec<Value> = ask(&place, &["privacy", "report"], &["--output", "json"])
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |what: &str| rows.iter().find(|row| row["what"] == what).expect("a row");
    assert_ne!(0, of("tokens")["count"].as_u64().expect("a count"), "clients were hidden");
    assert_eq!("kept", of("alert log")["kind"]);
    assert_eq!(2, rows.iter().filter(|row| row["what"] == "sink of type file").count());
}

#[test]
fn a_token_is_revealed_to_whom_has_the_key_and_written_down() {
    let folder = Folder::new();
    let (key, other) = (key_file(&folder, "key", "a"), key_file(&folder, "other", "b"));
    let sunk = folder.path("veiled.json");
    let sink = format!(
        "[[sink]]\ntype = \"file\"\nname = \"veiled\"\npath = {sunk:?}\n\
         privacy = {{ mode = \"token\", key_file = {key:?} }}\n"
    );
    let place = read(&sink);
    let text = fs::read_to_string(&sunk).expect("the sink has written");
    assert_eq!(20, text.lines().filter(|line| !line.contains("\"kind\":\"alert\"")).count());
    let first: Value = serde_json::from_str(text.lines().next().expect("an event")).expect("JSON");
    let token = first["source"]["address"].as_str().expect("a token").to_owned();
    assert!(token.starts_with("ip4-") && first["source"]["ip"].is_null(), "{first}");

    let preview = ask(&place, &["siem", "preview"], &["-n", "1", "--sink", "veiled"]);
    assert!(preview.out.contains("ip4-"), "{}", preview.out);

    let shown = ask(&place, &["siem", "reveal"], &[&token, "--key-file", &key]);
    assert_eq!(0, shown.code, "{}", shown.err);
    let address = shown.out.trim().strip_prefix(&format!("{token}  ")).expect("token and value");
    assert!(ordinary_log().contains(address) && !text.contains(address), "{address}");
    assert!(shown.err.contains(&token), "it is logged: {}", shown.err);

    let wrong = ask(&place, &["siem", "reveal"], &[&token, "--key-file", &other]);
    assert_eq!((77, ""), (wrong.code, &*wrong.out));
    assert!(wrong.err.contains("the key does not open"), "{}", wrong.err);
    let unknown = ask(&place, &["siem", "reveal"], &["user-0", "--key-file", &key]);
    assert_eq!(FOUND, unknown.code);
    assert!(unknown.out.contains("unknown"), "{}", unknown.out);
    assert_eq!(USAGE, ask(&place, &["siem", "reveal"], &[&token]).code, "without a key");

    let log = ask(&place, &["siem", "reveal"], &["--log"]).out;
    let outcomes: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once(&token).map(|(_, rest)| rest.trim()))
        .collect();
    assert_eq!(["revealed", "wrong key"], *outcomes, "{log}");
    assert!(log.contains("user-0  unknown") && log.contains("uid "), "{log}");
    assert!(log.contains("tokens can be revealed, 0 were given up"), "{log}");
}

#[test]
fn without_its_key_a_sink_sends_nothing_and_says_why() {
    let folder = Folder::new();
    let sunk = folder.path("veiled.json");
    let sink = format!(
        "[[sink]]\ntype = \"file\"\nname = \"veiled\"\npath = {sunk:?}\n\
         privacy = {{ mode = \"token\", key_file = \"/none/key\" }}\n"
    );
    let place = read(&sink);
    let check = ask(&place, &["check"], &[]);
    assert!(check.out.contains("! sink veiled: cannot read the key /none/key: "), "{}", check.out);
    assert!(!sunk.exists());
    let status = ask(&place, &["status"], &[]).out;
    assert!(status.contains("cannot read the key /none/key"), "{status}");
}

#[test]
fn what_strangers_wrote_is_harmless_in_every_json_output() {
    let place = Place::new(&format!(
        "{STDIN}[[sink]]\ntype = \"syslog\"\nname = \"small\"\naddress = \"udp://127.0.0.1:9\"\n\
         max_message = \"100B\"\n"
    ));
    // A reversed direction, and a terminal command of eight-bit controls.
    let hostile = "/a\u{202e}b\u{9b}31m";
    let line = line("192.0.2.7", 1, hostile, 200);
    place.call(&["run", "--once"]).input(line.clone()).run();
    let letters = ask(&place, &["store", "export"], &["dead-letters"]).out;
    let explained = Gatewatch::new(&["explain", "--output", "json", line.trim_end()]).run().out;
    for text in [letters, explained] {
        assert!(text.contains("\\u202e") && text.contains("\\u009b"), "{text}");
        assert!(!text.contains(['\u{202e}', '\u{9b}']), "{text:?}");
    }
}

#[test]
fn the_standard_variable_switches_a_sink_of_the_variables_off() {
    let place = Place::new(&format!("{STDIN}[[sink]]\ntype = \"otlp\"\nname = \"collector\"\n"));
    let off = ("OTEL_SDK_DISABLED", "true");
    let run = place.call(&["run", "--once"]).env(off.0, off.1).input(ordinary_log()).run();
    assert_eq!(0, run.code, "nothing waits: {}", run.err);
    let told = run.err.matches("OTEL_SDK_DISABLED=true switches the sink collector off").count();
    assert_eq!(1, told, "{}", run.err);
    let verify = place.call(&["siem", "verify", "--sink", "collector"]).env(off.0, off.1).run();
    assert_eq!((0, "sink collector: off by OTEL_SDK_DISABLED=true\n"), (verify.code, &*verify.out));
}
