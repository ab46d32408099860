//! Lines in, odd hours out; and a start that goes on where the last run was.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::*;
use crate::engine::batch::Origin;
use crate::engine::enrich::Enricher;
use crate::engine::format::FormatSet;
use crate::engine::parse::{Parser, Text};
use crate::engine::rhythm::Scale;
use crate::engine::time::TimeReader;

/// A Monday's first hour in Paris, in winter.
const MONDAY: Timestamp = Timestamp::from_secs(1_767_567_600);

const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;

fn calendar() -> Calendar {
    Calendar { zone: TimeZone::get("Europe/Paris").expect("a zone"), holidays: Vec::new() }
}

fn rhythm() -> Rhythm {
    Rhythm::new(calendar(), 5)
}

/// Seconds after [`MONDAY`], user, client and whether the log-in succeeded.
type Login = (u64, u64, u64, bool);

/// A week of fifty members: each logs in on Thursday evening, some on other days too.
fn week(number: u64, skip_thursday: bool) -> Vec<Login> {
    let thursday = number * WEEK + 3 * DAY;
    let members = (0..50).flat_map(|member| {
        let jitter = (member * 7919 + number * 104_729) % (4 * 3600);
        let evening = (thursday + 17 * 3600 + jitter, member, member, true);
        let by_day = number * WEEK + (member % 5) * DAY + 10 * 3600 + jitter / 4;
        let other = member.is_multiple_of(6).then_some((by_day, member, member, true));
        [Some(evening), other]
    });
    let is_wanted = |login: &Login| !skip_thursday || login.0 / DAY % 7 != 3;
    let mut logins: Vec<Login> = members.flatten().filter(is_wanted).collect();
    logins.sort_unstable();
    logins
}

/// The batches that `logins` are read in, `size` lines at a time.
fn batches(logins: &[Login], size: usize) -> Vec<EventBatch> {
    let line = |(second, user, client, succeeded): &Login| {
        let time = MONDAY.plus(Period::from_secs(*second)).rfc3339();
        let outcome = if *succeeded { "success" } else { "failure" };
        format!(
            "{{\"time\":\"{time}\",\"event\":\"login\",\"outcome\":\"{outcome}\",\
             \"user\":\"m{user}\",\"ip\":\"10.0.{}.{}\"}}\n",
            client / 250,
            client % 250 + 1,
        )
    };
    let read_at = MONDAY.plus(Period::from_secs(100 * WEEK));
    let formats = FormatSet::from_definition("json").expect("a format");
    let times = TimeReader::new(TimeZone::UTC, read_at);
    let mut parser = Parser::new(formats, times, Arc::new(Enricher::default()));
    let origin = Origin { source: "app".to_owned(), site: "www".to_owned(), ..Origin::default() };
    let origin = Arc::new(origin);
    let fill = |logins: &[Login]| {
        let mut batch = EventBatch::default();
        let bytes = logins.iter().map(line).collect::<String>().into_bytes();
        let origin = Arc::clone(&origin);
        parser.fill(&mut batch, Text { origin, bytes, from: 0, truncated_last: false, read_at });
        batch
    };
    logins.chunks(size).map(fill).collect()
}

/// Sees all of `logins`, telling the time after each batch.
fn see(rhythm: &mut Rhythm, logins: &[Login], size: usize) {
    let read_at = MONDAY.plus(Period::from_secs(100 * WEEK));
    for batch in batches(logins, size) {
        rhythm.see(&batch, read_at);
        let newest = batch.events().map(|event| event.row().time).max().unwrap_or_default();
        rhythm.turn_to(newest.minus(Period::from_secs(60)));
    }
}

fn weeks(count: u64) -> Vec<Login> {
    (0..count).flat_map(|number| week(number, false)).collect()
}

fn name(text: &str) -> SeriesName {
    text.parse().expect("a name")
}

#[test]
fn a_missing_thursday_is_told_that_evening_with_its_reason() {
    let mut rhythm = rhythm();
    see(&mut rhythm, &weeks(6), 40);
    assert_eq!(Vec::<Odd>::new(), rhythm.take_odd(), "ordinary weeks");
    let mut last = week(6, true);
    last.retain(|login| login.0 < 6 * WEEK + 3 * DAY);
    see(&mut rhythm, &last, 40);
    let midnight = MONDAY.plus(Period::from_secs(6 * WEEK + 4 * DAY));
    let (mut mark, mut told) = (MONDAY.plus(Period::from_secs(6 * WEEK + 3 * DAY)), Vec::new());
    while mark < midnight {
        mark = mark.plus(Period::from_secs(600));
        rhythm.turn_to(mark);
        told.extend(rhythm.take_odd());
    }
    let odd = told.iter().find(|odd| odd.series == name("logins@www")).expect("it is told");
    let hour = calendar().local(odd.to).hour();
    assert!((18..=21).contains(&hour), "in the evening: {hour}");
    assert_eq!(Tail::Low, odd.tail());
    let text = odd.detail(&calendar());
    assert!(text.starts_with("Log-ins of www from "), "{text}");
    assert!(text.contains("to Thursday "), "{text}");
    assert!(text.contains(": 0; usual is "), "{text}");
    assert!(text.contains(". By chance about once in "), "{text}");
}

#[test]
fn a_crowd_that_guesses_is_told_and_one_forgetful_person_is_not() {
    let fail = |count: u64, clients: u64| -> Vec<Login> {
        let start = 6 * WEEK + DAY + 3 * 3600;
        (0..count).map(|n| (start + 60 * n, n % clients, n % clients, false)).collect()
    };
    let told = |failures: Vec<Login>| {
        let mut rhythm = rhythm();
        // A failure now and then, so that there is something to learn.
        let mut logins = weeks(6);
        let some = (0..6).map(|week| (week * WEEK + 3 * DAY + 18 * 3600, 3, 3, false));
        logins.extend(some);
        logins.extend(failures);
        logins.sort_unstable();
        see(&mut rhythm, &logins, 40);
        rhythm.turn_to(MONDAY.plus(Period::from_secs(6 * WEEK + DAY + 6 * 3600)));
        let odd = rhythm.take_odd().into_iter();
        odd.filter(|odd| odd.series.measure == Measure::Failures).collect::<Vec<_>>()
    };
    assert_eq!(Vec::<Odd>::new(), told(fail(50, 1)));
    let crowd = told(fail(50, 50));
    assert_eq!(Tail::High, crowd.first().expect("it is told").tail());
}

/// Wherever a run ends: what is stored, and the lines of the hours that go on, give the same.
#[test]
fn a_start_goes_on_as_if_there_had_been_no_end() {
    let logins: Vec<Login> = (0..7).flat_map(|number| week(number, number == 5)).collect();
    let mut whole = rhythm();
    see(&mut whole, &logins, 10);
    for cut in (10..logins.len()).step_by(70) {
        let cut = cut / 10 * 10;
        let mut first = rhythm();
        see(&mut first, &logins[..cut], 10);
        let mut odd = first.take_odd();
        let mut second = rhythm();
        assert_eq!(0, second.restore(&first.records()));
        // All lines are there to be seen again; those of hours that are over are known.
        see(&mut second, &logins[..cut], 10);
        assert_eq!(Vec::<Odd>::new(), second.take_odd(), "nothing is told twice");
        see(&mut second, &logins[cut..], 10);
        odd.extend(second.take_odd());
        let series =
            |rhythm: &Rhythm| rhythm.series().map(|(_, one)| one.clone()).collect::<Vec<_>>();
        assert_eq!(series(&whole), series(&second), "cut at {cut}");
        assert_eq!(whole.odd, odd, "cut at {cut}");
    }
}

#[test]
fn sites_beyond_the_limit_are_counted_together() {
    let mut counts = HourCounts::default();
    for site in 0..100u32 {
        let site = format!("site{site}");
        counts.add((Measure::Requests, site.as_bytes(), 2), OTHER, |_, rows| rows < SITES_MAX);
    }
    let all: Vec<_> = counts.all().collect();
    assert_eq!(SITES_MAX + 1, all.len());
    assert_eq!(200, all.iter().map(|(_, count)| count).sum::<u64>());
}

#[test]
fn hours_in_which_nobody_looked_teach_nothing() {
    let mut rhythm = rhythm();
    see(&mut rhythm, &weeks(6), 40);
    let learnt = |rhythm: &Rhythm| rhythm.series[&name("logins@www")].hours();
    let before = learnt(&rhythm);
    rhythm.turn_to(MONDAY.plus(Period::from_secs(7 * WEEK)));
    assert!(learnt(&rhythm) <= before + 1, "{before} {}", learnt(&rhythm));
    see(&mut rhythm, &week(7, false), 40);
    let day = rhythm.take_odd().into_iter().filter(|odd| odd.test.scale == Scale::Day);
    assert_eq!(0, day.count());
}
