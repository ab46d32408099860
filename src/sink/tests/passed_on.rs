//! What a list of indicators asks to keep is not passed on.

use super::*;

#[test]
fn an_alert_that_is_not_to_be_passed_on_stays() {
    let mut bench = Bench::new();
    let path = bench.path("events.json");
    let secret = Alert { stays: true, ..alert("b", Severity::Critical) };
    let alerts = [alert("a", Severity::High), secret, alert("c", Severity::High)];
    bench.store.commit(&Commit { alerts: &alerts, ..Commit::default() }, NOW).expect("commit");
    let status = run(bench.deliver(&file_config(&path, ""), NOW)).report(NOW);
    assert_eq!((2, 0), (status.alerts, status.waiting_events));
    let ids: Vec<String> = alerts_in(&read(&path)).into_iter().map(|(id, _)| id).collect();
    assert_eq!(["a", "c"], *ids);
}
