//! What every sample promises, checked on the bytes.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::*;

/// Monday, 16 November 2026, 00:00 UTC.
const MONDAY: Timestamp = Timestamp::from_secs(1_794_787_200);
const WEEK: Period = Period::from_secs(7 * 86_400);

fn config(lines: u64, clients: u32) -> TrafficConfig {
    TrafficConfig { seed: 42, start: MONDAY, length: WEEK, lines, clients, attacks: Vec::new() }
}

/// All kinds of attacks, one every five hours from Monday morning.
fn all_attacks() -> Vec<Attack> {
    let hours = (0u64..).map(|n| Period::from_secs((9 + 5 * n) * 3600));
    let kinds = AttackKind::ALL.into_iter().zip(hours);
    kinds.map(|(kind, after)| Attack { kind, at: MONDAY.plus(after) }).collect()
}

fn access_log(config: &TrafficConfig) -> (Vec<u8>, Truth) {
    let (mut log, mut traffic) = (Vec::new(), Traffic::new(config));
    while traffic.next_line(&mut log) {}
    (log, traffic.truth())
}

fn auth_log(config: &TrafficConfig) -> (Vec<u8>, Truth) {
    let (mut log, mut auth) = (Vec::new(), AuthLog::new(config));
    while auth.next_line(&mut log) {}
    (log, auth.truth())
}

fn lines(log: &[u8]) -> Vec<String> {
    let lines = log.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| String::from_utf8(line.to_vec()).expect("escaped by the server")).collect()
}

#[track_caller]
fn check_digest(log: &[u8], expected: &str) {
    let digest = Sha256::digest(log);
    let text: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(expected, text, "the same configuration must give the same bytes");
}

#[test]
fn the_same_configuration_gives_the_same_bytes() {
    let config = TrafficConfig { attacks: all_attacks(), ..config(10_000, 500) };
    check_digest(&access_log(&config).0, "b91f4263df983055");
    check_digest(&auth_log(&config).0, "1d208fdb3f4129d0");
    let other = TrafficConfig { seed: 43, ..config.clone() };
    assert_ne!(access_log(&config).0, access_log(&other).0);
}

#[test]
fn a_log_has_the_lines_bytes_and_clients_that_were_asked_for() {
    for (wanted, clients, distinct) in
        [(0, 5, 0), (1, 1, 1), (40, 100, 40), (5_000, 5_000, 5_000), (30_000, 700, 700)]
    {
        let (log, truth) = access_log(&config(wanted, clients));
        let lines = lines(&log);
        assert_eq!((wanted, wanted), (lines.len() as u64, truth.lines));
        assert_eq!((log.len() as u64, distinct), (truth.bytes, truth.clients));
        let names: BTreeSet<&str> =
            lines.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(distinct, names.len() as u64, "{wanted} lines");
        let by_status: u64 = truth.by_status.values().sum();
        assert_eq!(wanted, by_status + truth.unreadable);
    }
}

#[test]
fn a_line_has_about_240_bytes() {
    let (log, truth) = access_log(&config(50_000, 10_000));
    let mean = log.len() as u64 / truth.lines;
    assert!((225..=255).contains(&mean), "{mean}");
}

#[test]
fn attacks_come_on_top_and_in_order_of_time() {
    let attacks = all_attacks();
    let config = TrafficConfig { attacks: attacks.clone(), ..config(20_000, 400) };
    for (log, truth) in [access_log(&config), auth_log(&config)] {
        assert_eq!((20_000, lines(&log).len()), (truth.lines, 20_000));
        for episode in &truth.episodes {
            let begun = attacks.iter().find(|attack| attack.kind == episode.kind);
            let begun = begun.expect("only what was asked for").at;
            assert!(begun <= episode.start && episode.start < episode.end, "{episode:?}");
            assert!(episode.end < begun.plus(episode.kind.length()), "{episode:?}");
            assert!(episode.kind.lines() <= episode.lines, "{episode:?}");
        }
    }
    assert_eq!(6, access_log(&config).1.episodes.len());
    assert_eq!(3, auth_log(&config).1.episodes.len());
    let times: Vec<String> = lines(&auth_log(&config).0);
    assert!(times.is_sorted_by_key(|line| line[..24].to_owned()));
}

#[test]
fn what_the_truth_says_of_an_attack_stands_in_the_log() {
    let config = TrafficConfig { attacks: all_attacks(), ..config(8_000, 300) };
    let (log, truth) = access_log(&config);
    let lines = lines(&log);
    for episode in truth.episodes.iter().filter(|episode| episode.kind != AttackKind::Outage) {
        let of_attackers = |line: &&String| {
            let client = line.split(' ').next().and_then(|text| text.parse().ok());
            client.is_some_and(|client| episode.clients.contains(&client))
        };
        assert_eq!(episode.lines, lines.iter().filter(of_attackers).count() as u64, "{episode:?}");
    }
    let forged = |line: &&String| line.contains("[01/Jan/2026");
    let refused = lines.iter().filter(|line| line.contains("\" 401 ") && !forged(line));
    let counted = refused.filter(|line| line.contains("POST") || line.contains(" member"));
    assert_eq!(truth.logins_failed, counted.count() as u64);
}

#[test]
fn log_ins_happen_on_thursday_evening() {
    let (log, _) = access_log(&config(60_000, 2_000));
    let lines = lines(&log);
    let log_ins = |day: &str| {
        let done =
            lines.iter().filter(|line| line.contains("POST /login ") && line.contains("\" 302 "));
        done.filter(|line| line.contains(day)).count()
    };
    let (tuesday, thursday) = (log_ins("[17/Nov/2026"), log_ins("[19/Nov/2026"));
    assert!(100 < thursday && tuesday * 8 < thursday, "{tuesday} and {thursday}");
}

#[test]
fn every_text_that_names_somebody_names_nobody_real() {
    let config = TrafficConfig { attacks: all_attacks(), ..config(20_000, 400) };
    for line in lines(&access_log(&config).0) {
        for (_, rest) in line.match_indices("://").map(|(at, text)| line.split_at(at + text.len()))
        {
            let host = rest.split(['/', '"', ')']).next().unwrap_or_default();
            assert!(host.ends_with("example.org"), "{line}");
        }
    }
}
