//! Alerts that belong together: who hears of which.

use serde_json::Value;

use super::super::stand_in::{TAKEN, check_alertmanager};
use super::{Bench, alert, drain};
use crate::engine::detect::{Alert, AlertState, Escalation, Part, Severity, Step};
use crate::io::Clock as _;
use crate::notify::samples;

/// A transition of an alert of the incident `a`.
fn part(id: &str, state: AlertState, step: Step) -> Alert {
    let part = Part {
        incident: "a".to_owned(),
        step,
        severity: Severity::High,
        alerts: 2,
        opened: samples::START,
        titles: vec!["Password spraying from one client".to_owned()],
        repeats: 0,
        before: None,
    };
    Alert { part: Some(part), ..alert(id, state) }
}

#[test]
fn people_hear_of_an_incident_and_programs_of_each_alert() {
    let begin = part("a", AlertState::Firing, Step::Opened);
    let joined = part("b", AlertState::Firing, Step::Joined);
    let first_end = part("a", AlertState::Resolved, Step::Continued);
    let end = part("b", AlertState::Resolved, Step::Closed);
    for (kind, expected) in [("webhook", 4), ("pagerduty", 2), ("slack", 2)] {
        let mut bench = Bench::new(&[(500, "", ""), (500, "", ""), (500, "", ""), TAKEN]);
        let config = bench.config(kind);
        let all = [begin.clone(), joined.clone(), first_end.clone(), end.clone()];
        bench.commit(&config, &all);
        let mut courier = bench.courier(&config);
        for _ in 0..5 {
            drain(&mut courier);
            bench.clock.moves(60);
        }
        // The end waits for the begin, however often that failed.
        let got = bench.receiver.got();
        assert_eq!(3 + expected, got.len(), "{kind}");
        assert_eq!((0, expected as u64), (bench.counts().waiting, bench.counts().sent), "{kind}");
        if kind == "pagerduty" {
            let of = |at: usize, key: &str| got[at].json()[key].clone();
            assert_eq!(vec!["trigger", "resolve"], [of(3, "event_action"), of(4, "event_action")]);
            assert_eq!(of(3, "dedup_key"), of(4, "dedup_key"));
        }
    }
}

#[test]
fn what_gets_worse_ends_what_it_was_at_alertmanagers() {
    let mut bench = Bench::new(&[TAKEN]);
    let config = bench.config("alertmanager");
    let worse = Alert {
        state: AlertState::Escalated,
        severity: Severity::Critical,
        escalation: Some(Escalation { step: 1, from: Severity::High }),
        ..samples::spray()
    };
    bench.commit(&config, &[samples::spray(), worse]);
    let mut courier = bench.courier(&config);
    drain(&mut courier);
    let got = bench.receiver.got();
    got.iter().for_each(check_alertmanager);
    let entries: Vec<Value> = got[1].json().as_array().expect("a list").clone();
    let shown = |at: usize| (&entries[at]["labels"]["severity"], &entries[at]["endsAt"]);
    assert_eq!(
        (2, "critical", "high"),
        (entries.len(), shown(0).0.as_str().expect("it"), shown(1).0.as_str().expect("it"))
    );
    assert!(shown(1).1.as_str() < Some(&bench.clock.now().rfc3339()), "{entries:?}");
    assert!(Some(&*bench.clock.now().rfc3339()) < shown(0).1.as_str(), "{entries:?}");
}
