//! Prometheus scrapes the daemon and counts what was sent; our rules load and are evaluated.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::http::{Pages, try_get};
use super::scrape::Metrics;
use super::support::{Place, Running, clf, now, open_log, until};
use super::{free_port, peer};

/// A Prometheus that scrapes one daemon each second.
pub(crate) struct Prometheus {
    address: String,
    _server: Running,
}

impl Prometheus {
    /// Starts one from the folder of `place`, which has `rules.yml` when `rules` are to be loaded.
    pub(crate) fn start(program: &Path, place: &Place, pages: &Pages, rules: bool) -> Self {
        let rules = if rules { "rule_files: [rules.yml]\n" } else { "" };
        let config = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\n{rules}scrape_configs:\n  \
             - job_name: gatewatch\n    static_configs:\n      - targets: [{:?}]\n",
            pages.address(),
        );
        fs::write(place.path().join("prometheus.yml"), config).expect("prometheus.yml is written");
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(program);
        command.current_dir(place.path());
        command.args(["--config.file=prometheus.yml", "--log.level=warn"]);
        command.arg("--storage.tsdb.path=tsdb").arg(format!("--web.listen-address={address}"));
        let server = Running::start(&mut command);
        let prometheus = Self { address, _server: server };
        until("a scrape", || (prometheus.value("up")? == 1.0).then_some(()));
        prometheus
    }

    /// The answer of its API, once it is one.
    fn api(&self, path: &str) -> Option<Value> {
        let (_, body) = try_get(&self.address, path)?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// The value of an expression that has one series.
    pub(crate) fn value(&self, expression: &str) -> Option<f64> {
        let data = self.api(&format!("/api/v1/query?query={expression}"))?;
        data["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Waits until the requests it knows, of `status` or of all, are `count`.
    pub(crate) fn until_requests(&self, status: Option<u16>, count: u64) {
        let labels = status.map_or(String::new(), |status| format!("%7Bstatus=%22{status}%22%7D"));
        let sum = format!("sum(gatewatch_http_requests_total{labels})");
        until("every request", || (self.value(&sum)? == count as f64).then_some(()));
    }
}

fn write_requests(place: &Place) -> u64 {
    let mut log = open_log(&place.log("access.log"));
    let time = clf(now());
    let statuses = [200, 200, 200, 301, 401, 404, 500];
    for n in 0..700 {
        let status = statuses[n % statuses.len()];
        writeln!(
            log,
            "192.0.2.{} - - [{time}] \"GET /{n} HTTP/1.1\" {status} 9 \"-\" \"-\"",
            n % 200
        )
        .expect("the log is written");
    }
    700
}

#[test]
fn prometheus_counts_what_was_sent() {
    let (Some(prometheus), Some(promtool)) = (peer("prometheus"), peer("promtool")) else { return };
    let place = Place::new();
    place.configure(&format!("[[source]]\npath = {:?}\n", place.log("access.log")));
    let sent = write_requests(&place);
    let mut daemon = place.run(&[]);
    let pages = Pages::of(&mut daemon);

    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/gatewatch.rules.yml");
    // Our own interval of evaluation is longer than a test should wait.
    let rules = fs::read_to_string(rules).expect("our rules");
    let intervals = rules.lines().filter(|line| !line.trim_start().starts_with("interval:"));
    let rules = intervals.collect::<Vec<_>>().join("\n");
    fs::write(place.path().join("rules.yml"), rules).expect("the rules are written");
    let server = Prometheus::start(&prometheus, &place, &pages, true);

    server.until_requests(None, sent);
    server.until_requests(Some(401), 100);
    until("every rule", || {
        let groups = server.api("/api/v1/rules")?;
        let groups = groups["groups"].as_array()?.clone();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten());
        let rules: Vec<&Value> = rules.collect();
        let bad = rules.iter().find(|rule| rule["health"] == "err");
        assert!(bad.is_none(), "{bad:?}");
        (!rules.is_empty() && rules.iter().all(|rule| rule["health"] == "ok")).then_some(())
    });

    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut check = check.stderr(Stdio::piped()).spawn().expect("promtool starts");
    let scrape = Metrics::of(&pages).0;
    let mut input = check.stdin.take().expect("a pipe");
    input.write_all(scrape.as_bytes()).expect("promtool reads the scrape");
    drop(input);
    let verdict = check.wait_with_output().expect("promtool ends");
    let words = String::from_utf8_lossy(&verdict.stderr);
    assert!(verdict.status.success() && words.is_empty(), "{words}");
    assert!(daemon.stops().success(), "{}", daemon.words());
}
