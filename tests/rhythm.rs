//! How well the weekly rhythm tells what is odd, against what others do.
//!
//! Made-up series with known events are judged by the product's model and by six detectors of
//! others; each test holds a promise of `docs/rhythm.md` and prints its table. Without anything
//! said a few series of each kind are judged, which takes seconds; the whole evaluation:
//!
//! ```sh
//! GATEWATCH_SERIES=200 cargo test --release --test rhythm -- --nocapture --test-threads 1
//! ```
//!
//! With `nyc_taxi.csv` of the Numenta Anomaly Benchmark in the folder that `GATEWATCH_DATASETS`
//! names, a real rhythm is judged as well.

#![expect(clippy::print_stdout, reason = "what was measured or skipped is told")]

#[path = "rhythm/chance.rs"]
mod chance;
#[path = "rhythm/detectors.rs"]
mod detectors;
#[path = "rhythm/members.rs"]
mod members;
#[path = "rhythm/score.rs"]
mod score;
#[path = "rhythm/site.rs"]
mod site;
#[path = "rhythm/taxi.rs"]
mod taxi;

use std::fs;
use std::path::Path;

use self::chance::Chance;
use self::detectors::{Detector, OTHERS, above, alarms_of_rhythm, oddness};
use self::members::Guesser;
use self::score::{Score, incidents, mean, median};
use self::site::{Case, DAY, Happening, KINDS, Kind, THURSDAY, WEEK};

/// Series of each kind: fewer make a share of one in ten a matter of chance.
fn series() -> u64 {
    let text = std::env::var_os("GATEWATCH_SERIES");
    text.and_then(|text| text.to_str()?.parse().ok()).unwrap_or(20)
}

/// `count` cases that `make` makes, each of a seed of its own.
fn cases(suite: u64, count: u64, make: impl Fn(&mut Chance) -> Case) -> Vec<Case> {
    (0..count).map(|number| make(&mut Chance::new(suite, number))).collect()
}

/// All cases of all kinds, by kind.
fn of_all_kinds(suite: u64, make: impl Fn(Kind, &mut Chance) -> Case) -> Vec<(Kind, Vec<Case>)> {
    let of = |(number, kind): (usize, Kind)| {
        (kind, cases(suite + number as u64, series(), |chance| make(kind, chance)))
    };
    KINDS.into_iter().enumerate().map(of).collect()
}

fn judge(cases: &[Case], alarms: impl Fn(&Case) -> Vec<usize>) -> Score {
    let mut score = Score::default();
    cases.iter().for_each(|case| score.add(case, &alarms(case)));
    score
}

fn judge_rhythm(cases: &[Case], budget: f64) -> Score {
    judge(cases, |case| alarms_of_rhythm(&case.counts, budget, &[]))
}

/// Precision, recall and false incidents a week, each kind as much as any other.
fn macros(scores: &[Score]) -> (f64, f64, f64) {
    let of = |value: fn(&Score) -> f64| mean(scores.iter().map(value));
    (of(Score::precision), of(Score::recall), of(Score::false_rate))
}

fn print_row(name: &str, (precision, recall, rate): (f64, f64, f64)) {
    let f1 = 2.0 * precision * recall / (precision + recall).max(1e-9);
    println!("{name:<46} {precision:>9.2} {recall:>7.2} {f1:>6.2} {rate:>8.2}");
}

fn print_head(title: &str) {
    println!("\n{title}");
    println!("{:<46} {:>9} {:>7} {:>6} {:>8}", "", "precision", "recall", "F1", "FA/week");
}

#[test]
fn events_are_found_and_little_else() {
    let all = of_all_kinds(100, site::case);
    print_head(&format!("synthetic suite, {} series of each of 5 kinds", series()));
    for budget in [0.10, 0.25, 0.50, 1.0] {
        let scores: Vec<Score> = all.iter().map(|(_, cases)| judge_rhythm(cases, budget)).collect();
        print_row(&format!("weekly rhythm, {budget} a week"), macros(&scores));
        if budget == 0.25 {
            print_kinds(&all, &scores);
            let (precision, recall, rate) = macros(&scores);
            assert!(0.80 <= precision, "precision {precision}");
            assert!(0.90 <= recall, "recall {recall}");
            assert!(rate <= 0.25, "false incidents {rate}");
        }
    }
    for (detector, limit, name) in OTHERS {
        let scores: Vec<Score> =
            all.iter().map(|(_, cases)| others(cases, detector, limit)).collect();
        print_row(name, macros(&scores));
    }
}

fn others(cases: &[Case], detector: Detector, limit: f64) -> Score {
    judge(cases, |case| above(&oddness(detector, &case.counts, case.train), limit))
}

fn print_kinds(all: &[(Kind, Vec<Case>)], scores: &[Score]) {
    for ((kind, _), score) in all.iter().zip(scores) {
        let row = (score.precision(), score.recall(), score.false_rate());
        print_row(&format!("  {}", kind.name()), row);
        for (what, (times, delays)) in &score.by_event {
            let mut hours: Vec<f64> = delays.iter().map(|hours| *hours as f64).collect();
            let found = delays.len() as f64 / *times as f64;
            println!("    {:<54} {found:>5.2}  after {} h", what.name(), median(&mut hours));
        }
    }
}

/// With every limit set by the answers to a quarter of a false alarm a week.
#[test]
fn nobody_does_better_at_the_same_noise() {
    let all = of_all_kinds(200, site::case);
    print_head("every limit set, for each kind, by the answers to 0.25 false incidents a week");
    let best = |cases: &[Case], scores: &mut dyn FnMut(&[Case], f64) -> Score, limits: &[f64]| {
        let fitting = limits.iter().map(|limit| scores(cases, *limit));
        let fitting = fitting.filter(|score| score.false_rate() <= 0.25);
        fitting.max_by(|a, b| a.recall().total_cmp(&b.recall())).unwrap_or_default()
    };
    let budgets = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4];
    let ours: Vec<Score> =
        all.iter().map(|(_, cases)| best(cases, &mut judge_rhythm, &budgets)).collect();
    print_row("weekly rhythm", macros(&ours));
    let limits: Vec<f64> = (0..40).map(|step| 0.8 * 1.12f64.powi(step)).collect();
    for (detector, _, name) in OTHERS {
        let scores: Vec<Score> = all
            .iter()
            .map(|(_, cases)| {
                let odd: Vec<Vec<f64>> =
                    cases.iter().map(|case| oddness(detector, &case.counts, case.train)).collect();
                let mut with = |cases: &[Case], limit: f64| {
                    let mut score = Score::default();
                    cases
                        .iter()
                        .zip(&odd)
                        .for_each(|(case, odd)| score.add(case, &above(odd, limit)));
                    score
                };
                best(cases, &mut with, &limits)
            })
            .collect();
        print_row(name, macros(&scores));
        assert!(macros(&scores).1 < macros(&ours).1, "{name} finds more at the same noise");
    }
}

#[test]
fn where_nothing_happens_the_budget_is_kept() {
    const WEEKS: usize = 12;
    let budget = 0.25;
    println!("\nfalse incidents a week where nothing happens, for a budget of {budget}");
    println!("{:<20} {:>8} {:>8} {:>8}", "", "weeks 5-6", "7-12", "");
    for (kind, cases) in of_all_kinds(300, |kind, chance| site::quiet(kind, WEEKS, chance)) {
        let rate = |from: usize, to: usize| {
            let count = |case: &Case| {
                let alarms = alarms_of_rhythm(&case.counts, budget, &[]);
                let starts = incidents(&alarms).into_iter().map(|incident| incident[0] / WEEK);
                starts.filter(|week| (from..to).contains(week)).count() as f64
            };
            mean(cases.iter().map(count)) / (to - from) as f64
        };
        let (first, later) = (rate(4, 6), rate(6, WEEKS));
        println!("{:<20} {first:>8.2} {later:>8.2}", kind.name());
        assert!(later <= 1.6 * budget, "{}: {later}", kind.name());
    }
}

/// A Thursday on which no member logs in is told while it can still be mended.
#[test]
fn a_missing_thursday_is_always_found() {
    let cases = cases(400, 2 * series(), |chance| site::case(Kind::Logins, chance));
    let (mut times, mut waits) = (0, Vec::new());
    for case in &cases {
        let alarms = alarms_of_rhythm(&case.counts, 0.25, &[]);
        for event in case.events.iter().filter(|event| event.what == Happening::MissingThursday) {
            times += 1;
            let found = alarms.iter().find(|at| (event.from..event.to).contains(*at));
            // People are expected from eight in the morning on.
            waits.extend(found.map(|at| (at - event.from + 1) as f64 - 8.0));
        }
    }
    let (found, middle) = (waits.len(), median(&mut waits));
    println!(
        "\nmissing Thursdays: {found} of {times} found, {middle} h after eight in the morning"
    );
    assert_eq!(times, found);
    assert!(middle <= 6.0, "{middle} h");
}

#[test]
fn what_was_taught_wrong_is_forgiven() {
    let all = of_all_kinds(500, site::contaminated);
    let scores: Vec<Score> = all.iter().map(|(_, cases)| judge_rhythm(cases, 0.25)).collect();
    print_head(
        "taught wrong: a burst in week 2, and in log-ins and requests no Thursday in week 3",
    );
    print_row("weekly rhythm, 0.25 a week", macros(&scores));
    for ((kind, _), score) in all.iter().zip(&scores) {
        let row = (score.precision(), score.recall(), score.false_rate());
        print_row(&format!("  {}", kind.name()), row);
    }
    assert!(0.83 <= macros(&scores).1);
}

/// A holiday that nobody announced is told of; the week after it is not; and one that was
/// announced is not, either.
#[test]
fn a_holiday_has_no_echo() {
    println!("\na day in week 6 on which a fifth came");
    for kind in [Kind::Requests, Kind::Logins] {
        let cases = cases(600, series(), |chance| site::with_holiday(kind, 3, chance));
        let day = 5 * WEEK + THURSDAY;
        let told = |holidays: &[usize], from: usize| {
            let tells = |case: &&Case| {
                let alarms = alarms_of_rhythm(&case.counts, 0.25, holidays);
                alarms.iter().any(|at| (from..from + DAY + 2).contains(at))
            };
            cases.iter().filter(tells).count() as f64 / cases.len() as f64
        };
        let (that_day, echo) = (told(&[], day), told(&[], day + WEEK));
        let announced = told(&[day / DAY], day);
        println!(
            "{:<16} told {that_day:.2}, a week later {echo:.2}, if it was announced {announced:.2}",
            kind.name()
        );
        assert!(0.5 <= that_day, "{}: {that_day}", kind.name());
        assert!(echo <= 0.10, "{}: {echo}", kind.name());
        assert!(announced <= 0.05, "{}: {announced}", kind.name());
    }
}

/// Failed log-ins, capped: forgetful members are silent, guessers of all speeds are heard.
#[test]
fn forgetful_members_are_silent_and_slow_guessers_are_not() {
    let runs = series();
    println!(
        "\nfailed log-ins of members, at most 3 of a client and user within an hour, 0.1 a week"
    );
    println!(
        "{:<10} {:>8} {:>12} {:>10} {:>10} {:>10}",
        "members", "raw", "capped", "17/h", "2/h", "0.5/h"
    );
    for members in [60, 200, 1000] {
        let rate = |cap: usize| {
            let cases = cases(700, runs, |chance| members::case(members, None, cap, chance));
            judge_rhythm(&cases, 0.1).false_rate()
        };
        let find = |guesser: Guesser| {
            let make =
                |chance: &mut Chance| members::case(members, Some(guesser), members::CAP, chance);
            let score = judge_rhythm(&cases(700, runs, make), 0.1);
            let delays = score.by_event.values().flat_map(|(_, delays)| delays.clone());
            let mut delays: Vec<f64> = delays.map(|hours| hours as f64).collect();
            (score.recall(), median(&mut delays))
        };
        let (raw, capped) = (rate(usize::MAX), rate(members::CAP));
        let fast = find(Guesser { rate: 17.0, is_spread: true, hours: 100 });
        let slow = find(Guesser { rate: 2.0, is_spread: false, hours: 72 });
        let slowest = find(Guesser { rate: 0.5, is_spread: false, hours: 72 });
        let cell = |(found, hours): (f64, f64)| format!("{found:.2} {hours} h");
        println!(
            "{members:<10} {raw:>8.2} {capped:>12.2} {:>10} {:>10} {:>10}",
            cell(fast),
            cell(slow),
            cell(slowest)
        );
        assert!(capped <= 0.2, "{members} members: {capped}");
        assert!(fast.1 <= 2.0 && slow.1 <= 5.0 && slowest.1 <= 24.0, "{members} members");
        assert!(1.0 <= fast.0 && 0.95 <= slow.0 && 0.8 <= slowest.0, "{members} members");
    }
}

/// Real rides, where the file is there.
#[test]
fn a_real_rhythm_is_judged_as_well() {
    let Some(folder) = std::env::var_os("GATEWATCH_DATASETS") else {
        println!("skipped: GATEWATCH_DATASETS names no folder with nyc_taxi.csv");
        return;
    };
    let Ok(text) = fs::read_to_string(Path::new(&folder).join("nyc_taxi.csv")) else {
        println!("skipped: there is no nyc_taxi.csv in GATEWATCH_DATASETS");
        return;
    };
    let rides = taxi::read(&text).expect("the file of the benchmark");
    let whole = [taxi::as_it_is(&rides)];
    print_head("nyc_taxi as it is, five labelled anomalies");
    for budget in [0.05, 0.10, 0.25] {
        let score = judge_rhythm(&whole, budget);
        print_row(
            &format!("weekly rhythm, {budget} a week"),
            (score.precision(), score.recall(), score.false_rate()),
        );
        if budget == 0.10 {
            assert_eq!(5, score.found);
            assert!(score.false_rate() <= 0.12);
        }
    }
    for (detector, limit, name) in OTHERS {
        let score = others(&whole, detector, limit);
        print_row(name, (score.precision(), score.recall(), score.false_rate()));
    }
    print_head("nyc_taxi thinned, with six events each, 0.1 a week");
    for mean in [1000.0, 50.0, 5.0] {
        let cases = cases(800, series().max(40), |chance| taxi::thinned(&rides, mean, chance));
        let score = judge_rhythm(&cases, 0.1);
        print_row(
            &format!("{mean} an hour"),
            (score.precision(), score.recall(), score.false_rate()),
        );
        if mean == 50.0 {
            assert!(0.90 <= score.precision() && 0.95 <= score.recall());
            assert!(score.false_rate() <= 0.05);
        }
    }
}
