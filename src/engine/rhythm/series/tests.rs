//! What a series says of single hours. How well it does on the whole is in `tests/rhythm.rs`.

use super::*;

/// A Monday's first hour.
const START: u32 = 400_008;

const BUDGET: f64 = 0.1;

fn hour(at: usize) -> Hour {
    Hour { number: START + at as u32, slot: at % SLOTS, is_holiday: false }
}

/// Log-ins of members: thirty an hour on Thursday evening, hardly any else, a few more or less.
fn logins(at: usize) -> u64 {
    let (day, hour) = (at / 24 % 7, at % 24);
    let jitter = (at as u64).wrapping_mul(2_654_435_761) >> 7;
    match (day, hour) {
        (3, 17..22) => 26 + jitter % 9,
        (3, 8..17) => 4 + jitter % 4,
        (_, 8..22) => jitter % 2,
        _ => 0,
    }
}

/// A series that has learnt `hours` of log-ins.
fn learnt(hours: usize) -> Series {
    let mut series = Series::default();
    for at in 0..hours {
        series.observe(hour(at), logins(at), Budget::per_week(BUDGET));
    }
    series
}

/// The first hour from `from` on that raises an alarm, and the alarm, where `counts` are counted.
fn first_alarm(
    series: &mut Series,
    from: usize,
    hours: usize,
    counts: impl Fn(usize) -> u64,
) -> Option<(usize, Test)> {
    (from..from + hours).find_map(|at| {
        let verdict = series.observe(hour(at), counts(at), Budget::per_week(BUDGET))?;
        verdict.alarm().map(|test| (at, *test))
    })
}

const WEEK: usize = SLOTS;
const THURSDAY: usize = 3 * 24;

#[test]
fn an_ordinary_week_raises_nothing() {
    assert_eq!(None, first_alarm(&mut learnt(5 * WEEK), 5 * WEEK, 3 * WEEK, logins));
}

#[test]
fn a_missing_thursday_is_told_on_thursday_with_its_reason() {
    let start = 5 * WEEK;
    let nobody = |at: usize| if at / 24 % 7 == 3 { 0 } else { logins(at) };
    let (at, test) = first_alarm(&mut learnt(start), start, WEEK, nobody).expect("an alarm");
    assert_eq!(3, at / 24 % 7, "on Thursday");
    assert!((9..18).contains(&(at % 24)), "at {}", at % 24);
    assert_eq!(Tail::Low, test.tail);
    assert!(test.count <= 2.0 && 8.0 <= test.expected, "{test:?}");
    // By the evening nobody could take it for chance.
    let mut series = learnt(start);
    let verdicts = (start..start + THURSDAY + 21)
        .filter_map(|at| series.observe(hour(at), nobody(at), Budget::per_week(BUDGET)));
    let evening = verdicts.last().expect("a verdict");
    let alarm = evening.alarm().expect("an alarm");
    assert!(52_000.0 < alarm.weeks_between(), "{alarm:?}");
    assert!(0.0 < alarm.band().low, "{alarm:?}");
}

#[test]
fn a_trickle_is_found_by_the_longer_scales() {
    let start = 5 * WEEK + 24;
    let mut series = learnt(start);
    let found = first_alarm(&mut series, start, 24, |at| logins(at) + 2);
    let (at, test) = found.expect("an alarm");
    assert!(at - start < 12, "after {} h", at - start);
    assert_ne!(Scale::Hour, test.scale, "two more an hour are no burst");
}

#[test]
fn the_hour_that_goes_on_is_looked_at_for_too_much_only() {
    let series = learnt(5 * WEEK);
    let look = |count: u64, elapsed: f64| {
        let budget = Budget::per_week(BUDGET);
        series.look(hour(5 * WEEK + THURSDAY + 18), count, elapsed, budget).expect("a test")
    };
    assert!(!look(0, 1.0).is_alarm, "what is missing may still come");
    assert!(!look(8, 0.25).is_alarm, "a quarter of thirty in a quarter of an hour");
    assert!(look(60, 0.25).is_alarm);
    assert!((look(60, 0.25).expected / look(60, 0.5).expected - 0.5).abs() < 1e-9);
    let past = series.look(hour(5 * WEEK - 1), 60, 0.5, Budget::per_week(BUDGET));
    assert_eq!(None, past, "it was judged");
}

#[test]
fn a_series_says_nothing_before_it_knows_two_weeks() {
    let mut series = Series::default();
    for at in 0..2 * WEEK {
        let verdict = series.observe(hour(at), logins(at), Budget::per_week(BUDGET));
        assert_eq!(Some(Stage::Learning), verdict.map(|verdict| verdict.stage), "{at}");
    }
    assert_eq!(Stage::Provisional, series.stage());
    assert_eq!(Stage::Ready, learnt(4 * WEEK).stage());
}

#[test]
fn hours_that_were_seen_are_not_learnt_again_and_gaps_are_passed_over() {
    let mut series = learnt(5 * WEEK);
    let before = series.clone();
    for at in [0, 5 * WEEK - 1] {
        assert_eq!(None, series.observe(hour(at), 1_000, Budget::per_week(BUDGET)));
    }
    assert_eq!(before, series);
    // Nobody looked for a week: Thursday is not missed.
    let at = 6 * WEEK + 24;
    let verdict =
        series.observe(hour(at), logins(at), Budget::per_week(BUDGET)).expect("a verdict");
    assert_eq!(None, verdict.alarm());
    assert!(verdict.tests.iter().all(|test| test.expected < 3.0), "only the hour itself counts");
}

#[test]
fn an_attack_teaches_nothing_and_a_habit_is_learnt_in_its_second_week() {
    let (start, night) = (5 * WEEK, 24 + 3);
    let mut series = learnt(start);
    let at_night = |at: usize| if at % WEEK == night { 40 } else { logins(at) };
    let expected = |series: &Series| series.expected(hour(night));
    let before = expected(&series);
    assert!(first_alarm(&mut series, start, WEEK, at_night).is_some());
    let mut weeks = vec![before];
    let mut series = learnt(start);
    for week in 0..6 {
        for at in start + week * WEEK..start + (week + 1) * WEEK {
            series.observe(hour(at), at_night(at), Budget::per_week(BUDGET));
        }
        weeks.push(expected(&series));
    }
    assert!(weeks[1] < 2.0 * weeks[0] + 0.1, "{weeks:?}");
    assert!(weeks[2] <= weeks[6], "{weeks:?}");
}

#[test]
fn nobody_is_missed_on_a_holiday() {
    let start = 5 * WEEK;
    let judge = |is_holiday: bool| {
        let mut series = learnt(start);
        (start..start + 6 * 24)
            .filter(|at| {
                let count = if at / 24 % 7 == 3 { 0 } else { logins(*at) };
                let hour = Hour { is_holiday: is_holiday && at / 24 % 7 == 3, ..hour(*at) };
                let verdict = series.observe(hour, count, Budget::per_week(BUDGET));
                verdict.is_some_and(|verdict| verdict.alarm().is_some())
            })
            .count()
    };
    assert_eq!(0, judge(true));
    assert_ne!(0, judge(false));
}

#[test]
fn growth_is_followed_and_raises_nothing() {
    let grown = |at: usize| (logins(at) as f64 * 1.02f64.powf(at as f64 / WEEK as f64)) as u64;
    let mut series = Series::default();
    let found = first_alarm(&mut series, 0, 26 * WEEK, grown);
    assert_eq!(None, found);
    let thursday = hour(26 * WEEK + THURSDAY + 19);
    let (expected, usual) = (series.expected(thursday), 30.0 * 1.02f64.powi(26));
    assert!((0.85..1.15).contains(&(expected / usual)), "{expected} of {usual}");
}

#[test]
fn a_series_with_too_many_incidents_gets_quieter_and_says_so() {
    let budget = Budget::per_week(BUDGET);
    let mut series = learnt(5 * WEEK);
    // Every other day another hour in which a dozen come: no rhythm at all.
    let wild = |at: usize| if at.is_multiple_of(53) { 12 } else { logins(at) };
    let (mut early, mut late, mut said) = (0, 0, false);
    for at in 5 * WEEK..25 * WEEK {
        let verdict = series.observe(hour(at), wild(at), budget);
        let alarms = usize::from(verdict.is_some_and(|verdict| verdict.alarm().is_some()));
        early += if at < 8 * WEEK { alarms } else { 0 };
        late += if 22 * WEEK <= at { alarms } else { 0 };
        said |= series.is_too_irregular(budget);
    }
    assert!(said);
    assert!(2 * late < early, "{early} alarms, then {late}");
    assert!(!learnt(9 * WEEK).is_too_irregular(budget));
}
