//! Days of a small club: who came, and what the section says of it.

use jiff::tz::TimeZone;

use super::*;
use crate::engine::attendance::{Evidence, Person, Sighting};
use crate::engine::batch::Grade;
use crate::engine::detect::Calendar;
use crate::engine::enrich::Roster;
use crate::report::days::moment;
use crate::report::fixture::check_golden;
use crate::report::page::Style;
use crate::units::Day;

const THURSDAY: &str = "2026-11-19";

/// A roster, a calendar and settings, and what was seen.
struct Club {
    roster: Roster,
    calendar: Calendar,
    config: ComplianceConfig,
    seen: Vec<Sighting>,
}

fn date(text: &str) -> Date {
    text.parse().expect("a day")
}

impl Club {
    fn new(config: &str) -> Self {
        let roster = "user,name,group,exempt_until\n\
            alice,Alice Arden,board,\nbob,Bob Berg,,\ncarol,Carol Chen,,\ndave,Dave Diaz,,\n\
            erin,Erin Eke,staff,2027-01-01\nfay,\"=HYPERLINK(\"\"http://x\"\")\",,\n";
        let zone = TimeZone::get("Europe/Paris").expect("a zone of the database");
        let holidays = vec![Day(date("2026-10-29"))];
        Self {
            roster: Roster::read(roster.as_bytes()).expect("sound"),
            calendar: Calendar { zone, holidays },
            config: toml::from_str(config).expect("a valid table"),
            seen: Vec::new(),
        }
    }

    fn terms(&self) -> Terms<'_> {
        Terms { config: &self.config, roster: &self.roster, calendar: &self.calendar }
    }

    /// Somebody was seen on a day at full hours, as `08,17`.
    fn saw(mut self, day: &str, person: Person, evidence: Evidence, hours: &str) -> Self {
        let hours: Vec<i8> = hours.split(',').map(|hour| hour.parse().expect("an hour")).collect();
        let at =
            |hour: i8| moment(date(day), jiff::civil::time(hour, 5, 0, 0), &self.calendar.zone);
        let (first, last) = (at(hours[0]), at(hours[hours.len() - 1]));
        self.seen.push(Sighting {
            day: date(day),
            person,
            evidence,
            count: hours.len() as u64,
            first,
            last,
            hours: hours.iter().map(|hour| 1 << hour).sum(),
            site: "members.example.org".to_owned(),
            client: "192.0.2.7".to_owned(),
            event_id: "01KAE4QS7RRZQ3V4C5E1D0T9FX".to_owned(),
        });
        self
    }

    fn member(self, day: &str, user: &str, evidence: Evidence, hours: &str) -> Self {
        self.saw(day, Person::Member(user.to_owned()), evidence, hours)
    }

    fn rows(&self, day: &str) -> DayRows {
        let (terms, day) = (self.terms(), date(day));
        let last = terms.last_day(day);
        let seen: Vec<Sighting> =
            self.seen.iter().filter(|seen| (day..=last).contains(&seen.day)).cloned().collect();
        DayRows::judge(&terms, day, &seen)
    }

    /// The Thursdays before, as far as somebody watched.
    fn before(&self) -> Vec<DayRows> {
        let watched_from = date("2026-10-15");
        let days = days_before(date(THURSDAY), &self.terms()).into_iter();
        days.filter(|day| watched_from <= *day).map(|day| self.rows(&day.to_string())).collect()
    }

    fn section(&self, doubts: Doubts) -> Compliance {
        let before = self.before();
        let known = self.seen.iter().filter(|seen| seen.day < date(THURSDAY));
        Compliance::build(ComplianceInput {
            terms: self.terms(),
            today: self.rows(THURSDAY).with_running(&before),
            before,
            known: Some(known.map(|seen| seen.person.to_string()).collect()),
            doubts,
            // Friday at seven.
            now: moment(date("2026-11-20"), jiff::civil::time(7, 0, 0, 0), &self.calendar.zone),
        })
    }

    fn list(&self) -> list::WhoList {
        let rows = self.rows(THURSDAY).with_running(&self.before());
        let zone = self.calendar.zone.clone();
        list::WhoList::new(self.section(Doubts::default()), rows.members, rows.strangers, zone)
    }
}

const A: Evidence = Evidence::Graded(Grade::A);
const B: Evidence = Evidence::Graded(Grade::B);
const C: Evidence = Evidence::Graded(Grade::C);
const D: Evidence = Evidence::Graded(Grade::D);
const FAILED: Evidence = Evidence::Failure;

/// How it went for bob with this evidence.
#[track_caller]
fn check(config: &str, seen: &[(&str, Evidence, &str)], expected: State) {
    let club = seen.iter().fold(Club::new(config), |club, (day, evidence, hours)| {
        club.member(day, "bob", *evidence, hours)
    });
    assert_eq!(expected, club.rows(THURSDAY).members[1].state, "{config} {seen:?}");
}

#[test]
fn only_evidence_that_counts_makes_somebody_present() {
    check("", &[], State::Never);
    check("", &[(THURSDAY, A, "9")], State::Done);
    check("", &[(THURSDAY, B, "9")], State::Done);
    check("evidence = \"A\"", &[(THURSDAY, B, "9")], State::Unproven);
    check("", &[(THURSDAY, C, "9")], State::Unproven);
    check("", &[(THURSDAY, D, "9")], State::Unproven);
    check("", &[(THURSDAY, FAILED, "9")], State::FailedOnly);
    check("", &[(THURSDAY, C, "8"), (THURSDAY, FAILED, "9")], State::FailedOnly);
    check("", &[(THURSDAY, FAILED, "9"), (THURSDAY, A, "10")], State::Done);
    check("", &[("2026-11-18", A, "23")], State::Never);
}

#[test]
fn the_window_and_the_grace_are_kept() {
    let evening = "from = \"18:00\"\nto = \"22:00\"";
    check(evening, &[(THURSDAY, A, "18")], State::Done);
    check(evening, &[(THURSDAY, A, "9,21,23")], State::Done);
    check(evening, &[(THURSDAY, A, "9,22")], State::Late);
    check(evening, &[(THURSDAY, A, "17")], State::Early);
    check("", &[("2026-11-22", A, "23")], State::Late);
    check("", &[("2026-11-23", A, "0")], State::Never);
    check("grace = \"0s\"", &[("2026-11-20", A, "0")], State::Never);
    // The grace begins where the window ends.
    check("to = \"20:00\"\ngrace = \"1d\"", &[("2026-11-20", A, "19")], State::Late);
    check("to = \"20:00\"\ngrace = \"1d\"", &[("2026-11-20", A, "20")], State::Never);
}

#[test]
fn who_is_exempt_or_no_member_is_in_no_rate() {
    let club = Club::new("")
        .member(THURSDAY, "erin", A, "9")
        .member(THURSDAY, "gone", A, "9")
        .saw(THURSDAY, Person::Stranger("zoe".to_owned()), A, "9")
        .saw(THURSDAY, Person::Stranger("unknown#0badcafe".to_owned()), FAILED, "9")
        .saw(THURSDAY, Person::Unnamed("192.0.2.9".to_owned()), C, "9");
    let section = club.section(Doubts::default());
    assert_eq!((6, 1, 5, 0), (section.roster, section.exempt, section.expected, section.done));
    assert_eq!("zoe", section.strangers.list[0].user);
    let others = section.others;
    assert_eq!((1, 1, 1), (others.unknown_names, others.unknown_tries, others.unnamed_let_in));
    let erin = &club.rows(THURSDAY).members[4];
    assert_eq!((State::Exempt, Some(Grade::A)), (erin.state, erin.evidence));
}

/// Five weeks in which all but two came, and a Thursday on which few did.
fn autumn() -> Club {
    let mut club = Club::new("");
    for day in ["2026-10-15", "2026-10-22", "2026-11-05", "2026-11-12"] {
        for user in ["alice", "bob", "carol"] {
            club = club.member(day, user, A, "18");
        }
    }
    club.member("2026-11-14", "dave", A, "9")
        .member(THURSDAY, "alice", A, "8,18")
        .member(THURSDAY, "bob", C, "9")
        .member(THURSDAY, "carol", FAILED, "9,10")
        .member(THURSDAY, "dave", B, "18")
        .saw(THURSDAY, Person::Stranger("=zoe".to_owned()), A, "9")
        .saw(THURSDAY, Person::Unnamed("192.0.2.9".to_owned()), D, "9")
}

#[test]
fn the_day_is_held_against_the_weeks_before() {
    let section = autumn().section(Doubts::default());
    assert_eq!("Thursday log-ins 2 of 5 (40.0 %, −20.0 points)", words::verdict(&section));
    let before = section.before.as_ref().expect("a week before");
    assert_eq!((3, 1), (before.done, before.late), "dave came on the Saturday");
    let usual = Usual { median_permille: 600, low_permille: 590, high_permille: 610, weeks: 4 };
    assert_eq!(Some(usual), section.usual);
    assert!(section.is_low());
    assert_eq!((1, 1, 1), (section.failed_only, section.unproven, section.never));
    assert_eq!((1, 1), (section.hours[8], section.hours[18]));
    let missing = &section.missing_members.list;
    // The holiday between is passed over.
    assert_eq!(("fay", 5), (missing[0].user.as_str(), missing[0].missing_running));
    assert_eq!(1, section.missing_running);
    let first = section.first_timers.expect("enough is known");
    assert_eq!(0, first.list.len(), "dave came late the week before");
}

#[test]
fn where_lines_are_missing_figures_are_lower_bounds_and_nobody_is_blamed() {
    let reasons = vec!["no line Thu 19 Nov 10:00 – 12:00, about 90 lines expected".to_owned()];
    let section = autumn().section(Doubts { at_least: true, reasons });
    assert_eq!("Thursday log-ins at least 2 of 5 (40.0 %, −20.0 points)", words::verdict(&section));
    assert!(!section.is_low());
    assert!(words::key(&section).contains("who is not seen may have come"));
}

#[test]
fn on_a_holiday_nobody_is_missed() {
    let mut club = autumn();
    club.calendar.holidays.push(Day(date(THURSDAY)));
    let section = club.section(Doubts::default());
    assert_eq!("Thursday log-ins 2 (a holiday)", words::verdict(&section));
    assert_eq!((0, None), (section.missing_members.count(), section.rate_permille));
}

#[test]
fn the_list_of_everybody_is_the_golden_files() {
    let list = autumn().list();
    check_golden("who.txt", &list.text(Style { colour: false, width: 100, unicode: true }));
    check_golden("who.json", &crate::report::json::to_text(&list));
    check_golden("who.csv", &list.csv());
    assert!(list.csv().contains("'=HYPERLINK"), "{}", list.csv());
    assert!(list.csv().contains("'=zoe"), "{}", list.csv());
}
