//! Alertmanager takes what we tell it: an alert, its repetitions, its end, and nothing hostile.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::http::try_get;
use super::support::{Place, Running, clf, now, open_log, until};
use super::{free_port, peer};

/// Starts one; the answer is its address.
fn start(program: &Path, place: &Place) -> (String, Running) {
    let config = "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n";
    fs::write(place.path().join("alertmanager.yml"), config).expect("its configuration is written");
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(program);
    command.current_dir(place.path());
    command.args(["--config.file=alertmanager.yml", "--storage.path=am", "--log.level=warn"]);
    command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
    let server = Running::start(&mut command);
    until("Alertmanager", || try_get(&address, "/-/ready").filter(|(code, _)| *code == 200));
    (address, server)
}

/// The alerts it shows.
fn alerts(address: &str) -> Vec<Value> {
    let Some((_, body)) = try_get(address, "/api/v2/alerts") else { return Vec::new() };
    serde_json::from_str(&body).unwrap_or_default()
}

#[test]
fn alertmanager_holds_our_alert_and_a_test_opens_and_closes_one() {
    let Some(program) = peer("prometheus-alertmanager") else { return };
    let place = Place::new();
    let (address, _server) = start(&program, &place);
    let log = place.log("access.log");
    place.configure(&format!(
        "[[source]]\npath = {log:?}\n[[channel]]\ntype = \"alertmanager\"\nname = \"am\"\n\
         url = \"http://{address}\"\nmin_severity = \"info\"\n"
    ));
    let (status, words, errors) = place.ask(&["notify", "test"], &["--channel", "am"]);
    assert!(status.success() && words.starts_with("ok       am: 200"), "{words}{errors}");
    // It was opened and closed, so it is not among those that are open.
    assert_eq!(Vec::<Value>::new(), alerts(&address));

    let mut log = open_log(&log);
    let time = clf(now());
    for n in 0..60 {
        let line =
            format!("203.0.113.7 - - [{time}] \"POST /wp-login.php HTTP/1.1\" 200 {n} \"-\" \"-\"");
        writeln!(log, "{line}").expect("the log is written");
        let user = "<script>alert(1)</script>";
        let line =
            format!("203.0.113.7 - {user} [{time}] \"GET /.env?{n} HTTP/1.1\" 401 9 \"-\" \"-\"");
        writeln!(log, "{line}").expect("the log is written");
    }
    let mut daemon = place.run(&[]);
    let open = until("an alert", || Some(alerts(&address)).filter(|open| !open.is_empty()));
    for alert in &open {
        let labels = alert["labels"].as_object().expect("labels");
        assert_eq!(labels["alertname"], labels["rule"]);
        assert!(labels.contains_key("severity"), "{alert}");
        assert_eq!("active", alert["status"]["state"], "{alert}");
        for annotation in ["title", "summary", "description", "runbook", "code"] {
            assert!(alert["annotations"][annotation].is_string(), "{annotation} of {alert}");
        }
    }
    assert!(daemon.stops().success(), "{}", daemon.words());
    let (_, words, _) = place.ask(&["status"], &[]);
    assert!(words.contains("channel am (alertmanager): 0 wait, "), "{words}");
}
